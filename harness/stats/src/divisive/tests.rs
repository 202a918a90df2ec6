use super::*;

const STEP: [f64; 10] = [3.1, 2.9, 3.0, 3.2, 3.05, 2.95, 4.1, 4.0, 3.9, 4.2];
const BUMP: [f64; 13] = [1.0, 1.2, 0.9, 1.1, 5.0, 5.2, 4.9, 5.1, 1.0, 1.1, 0.95, 1.05, 1.15];

fn rough() -> Vec<f64> {
    (0..20u32).map(|i| f64::from((i * i * 37 + 11 * i) % 101) / 10.0).collect()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs()
}

#[test]
fn splits_agree_with_the_definition_written_out_in_numpy() {
    // numpy 2.2.0: the means over all pairs, for every (τ, κ); p is scipy 1.16.3's ttest_ind of the
    // two parts. The script holds nothing but the definition.
    for (values, minimum, at, end, statistic, p) in [
        (&STEP[..], 2, 6, 10, 4.159999999999999, 8.526677421182306e-07),
        (&STEP, 3, 6, 10, 4.159999999999999, 8.526677421182306e-07),
        (&STEP, 5, 5, 10, 2.419999999999999, 0.009707723450539763),
        (&BUMP, 2, 4, 8, 15.333333333333332, 9.458950025885854e-09),
        (&BUMP, 3, 4, 8, 15.333333333333332, 9.458950025885854e-09),
        (&BUMP, 5, 8, 13, 5.085714285714288, 0.06465431340831193),
        (&rough(), 2, 12, 16, 10.113636363636367, 0.015919317597120904),
        (&rough(), 3, 12, 16, 10.113636363636367, 0.015919317597120904),
        (&rough(), 5, 12, 17, 6.874866310160425, 0.0325498619995936),
    ] {
        let split = Search::new(minimum).best(values).unwrap();
        assert_eq!((split.at, split.end), (at, end), "{values:?}");
        assert!(close(split.statistic, statistic), "{split:?}");
        assert!(close(t_test(&values[..at], &values[at..end]), p));
    }
}

#[test]
fn the_t_test_agrees_with_scipy_and_so_divides_by_n_minus_1() {
    // Otava 0.8.0 passes np.std with ddof 0 to the t-test: its p is too small on every line here.
    // scipy 1.16.3: ttest_ind.
    let left: Vec<f64> =
        (0..400u32).map(|i| (f64::from(i) * 1.7).sin() + 0.01 * f64::from(i % 7)).collect();
    let right: Vec<f64> = (0..400u32).map(|i| (f64::from(i) * 0.9 + 1.0).sin() + 0.2).collect();
    for (m, n, expected) in [
        (3, 3, 0.19852242271577025),
        (3, 22, 0.974327672290354),
        (400, 400, 0.0005024730011375297),
        (10, 397, 0.7524488196861969),
        (1, 2, 0.052714075544328484),
    ] {
        let found = t_test(&left[..m], &right[..n]);
        assert!(close(found, expected), "{m} {n}: {found}");
    }
    let far: Vec<f64> = right[..20].iter().map(|value| value + 50.0).collect();
    assert!(close(t_test(&left[..10], &far), 2.927851689022305e-44));
}

#[test]
fn values_without_spread_are_the_same_or_certainly_different() {
    assert_eq!(t_test(&[0.1; 30], &[0.1; 7]), 1.0);
    assert_eq!(t_test(&[0.1; 30], &[0.2; 7]), 0.0);
    assert_eq!(t_test(&[1.0], &[2.0]), 1.0);
    assert_eq!(mean(&[0.1; 30]), 0.1);
    assert_eq!(Search::new(3).best(&[0.1; 30]), None);
}

#[test]
fn a_search_does_not_remember_the_window_before() {
    let mut search = Search::new(3);
    search.best(&rough());
    assert_eq!(search.best(&STEP), Search::new(3).best(&STEP));
    assert_eq!(search.best(&STEP[..5]), None);
    assert_eq!(search.best(&[]), None);
}

proptest::proptest! {
    #[test]
    fn the_statistic_scales_with_the_unit_and_ignores_the_origin(
        values in proptest::collection::vec(-100i32..100, 6..40), shift in -50i32..50,
    ) {
        let plain: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        let moved: Vec<f64> = values.iter().map(|&value| 4.0 * f64::from(value + shift)).collect();
        let (one, two) = (Search::new(3).best(&plain), Search::new(3).best(&moved));
        proptest::prop_assert_eq!(one.map(|split| (split.at, split.end)), two.map(|split| (split.at, split.end)));
        if let (Some(one), Some(two)) = (one, two) {
            proptest::prop_assert!((4.0 * one.statistic - two.statistic).abs() < 1e-9 * two.statistic);
        }
    }
}

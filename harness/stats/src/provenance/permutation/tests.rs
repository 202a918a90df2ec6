use super::saddlepoint::Saddlepoint;
use super::*;
use crate::provenance::correlation::{self, concordance};
use crate::provenance::{Metric, exact, ranks};
use ledger::seed::Seed;
use ledger::streams::{Streams, normal_f64};
use rand_pcg::Pcg64;

/// Rows of groups of these sizes: the number of each row's group.
fn grouped(sizes: &[u64]) -> Vec<u64> {
    (0..).zip(sizes).flat_map(|(group, &size)| vec![group; size as usize]).collect()
}

fn generator(k: u64) -> Pcg64 {
    Streams::new(Seed::from_integer(k).bytes).generator("permutation")
}

/// Columns of these tie groups, the second in the order of the first but for `noise`.
fn columns(rows: &[u64], columns: &[u64], noise: f64, rng: &mut Pcg64) -> (Vec<u64>, Vec<f64>) {
    let positions = grouped(rows);
    let mut keys: Vec<(f64, usize)> = positions
        .iter()
        .enumerate()
        .map(|(row, at)| (*at as f64 / rows.len() as f64 + noise * normal_f64(rng), row))
        .collect();
    keys.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut scores = vec![0.0; positions.len()];
    for ((_, row), group) in keys.into_iter().zip(grouped(columns)) {
        scores[row] = group as f64;
    }
    (positions, scores)
}

fn margins(positions: &[u64], scores: &[f64]) -> [Margin; 2] {
    let sizes = [ranks::group_sizes(&ranks::as_numbers(positions)), ranks::group_sizes(scores)];
    sizes.map(|sizes| Margin::of_ranks(&sizes))
}

fn close(found: &LogTails, expected: &LogTails, within: f64) -> bool {
    let pairs = [
        (found.less, expected.less),
        (found.greater, expected.greater),
        (found.two_sided, expected.two_sided),
    ];
    pairs.iter().all(|(found, expected)| (found - expected).abs() <= within)
}

#[test]
fn added_tables_are_all_orders() {
    let mut rng = generator(1);
    let designs: [(&[u64], &[u64]); 5] = [
        (&[3, 5], &[1, 2, 5]),
        (&[1, 2, 3, 2], &[4, 3, 1]),
        (&[1; 8], &[2, 2, 2, 2]),
        (&[2, 6], &[7, 1]),
        (&[6, 1, 1], &[1, 6, 1]),
    ];
    for (rows, of) in designs {
        for _ in 0..6 {
            let (positions, scores) = columns(rows, of, 1.0, &mut rng);
            let [a, b] = margins(&positions, &scores);
            let r = correlation::spearman(&positions, &scores).r;
            for metric in Metric::ALL {
                let expected = exact::all_orders(*metric, &positions, &scores);
                let found = match metric {
                    Metric::Spearman => exact_tails(&a, &b, r, 1 << 20).unwrap(),
                    Metric::Pearson => {
                        let positions = ranks::as_numbers(&positions);
                        let r = correlation::pearson_of(&positions, &scores, 0).r;
                        let [a, b] = [&positions, scores.as_slice()].map(Margin::of_values);
                        exact_tails(&a, &b, r, 1 << 20).unwrap()
                    }
                    Metric::Kendall => {
                        let difference = concordance(&positions, &scores).difference;
                        let found = inversions::exact(rows, of, difference).unwrap();
                        // By either side.
                        assert!(close(
                            &inversions::exact(of, rows, difference).unwrap(),
                            &found,
                            1e-9
                        ));
                        found
                    }
                };
                assert!(
                    close(&found, &expected, 1e-9),
                    "{metric} {rows:?} {of:?} {found:?} {expected:?}"
                );
            }
        }
    }
    let [a, b] = [Margin::of_ranks(&[1; 12]), Margin::of_ranks(&[1; 12])];
    assert_eq!(exact_tails(&a, &b, 0.5, 1000), None);
}

#[test]
fn two_by_two_is_fishers_test_at_any_depth() {
    // SciPy 1.17.1: hypergeom(10000, 20, 30).sf(1), .cdf(2); mpmath for the deep ones.
    let found = table::hypergeometric(10_000, 20, 30, 2);
    assert!((found.greater.exp() / 0.0015985538869662931 - 1.0).abs() < 1e-9, "{found:?}");
    assert!((found.less.exp() / 0.9999731620778659 - 1.0).abs() < 1e-9, "{found:?}");
    let deep = table::hypergeometric(100_000, 30_000, 50_000, 20_000);
    assert!(
        (deep.greater / LN_10 / -1_051.161_384_534_786_5 - 1.0).abs() < 1e-9,
        "{}",
        deep.greater / LN_10
    );
    for (n, rows, columns) in [(12_u64, 5_u64, 4_u64), (20, 10, 10), (15, 14, 3), (9, 2, 8)] {
        let (least, most) = ((rows + columns).saturating_sub(n), rows.min(columns));
        let [a, b] =
            [[n - rows, rows], [n - columns, columns]].map(|sizes| Margin::of_ranks(&sizes));
        for both in least..=most {
            let counts = [n, rows, columns, both].map(|count| count as f64);
            let [n_, rows_, columns_, both_] = counts;
            let spread = (rows_ * (n_ - rows_) * columns_ * (n_ - columns_)).sqrt();
            let r = (both_ * n_ - rows_ * columns_) / spread;
            let expected = exact_tails(&a, &b, r, 1 << 20).unwrap();
            let found = table::hypergeometric(n, rows, columns, both);
            assert!(
                close(&found, &expected, 1e-9),
                "{n} {rows} {columns} {both} {found:?} {expected:?}"
            );
        }
    }
}

#[test]
fn the_cumulants_are_those_of_all_orders() {
    let mut rng = generator(2);
    let positions: [u64; 7] = [0, 1, 1, 3, 4, 20, 90];
    let scores: Vec<f64> = (0..7).map(|_| normal_f64(&mut rng).exp()).collect();
    let pairing = correlation::Pairing::of(&ranks::as_numbers(&positions), &scores);
    let shapes = [Shape::of_values(&pairing.x), Shape::of_values(&pairing.y)];
    let found = ClosedForm::of_t(7, &shapes[0], &shapes[1]);
    let mut order: Vec<u64> = (0..7).collect();
    let mut moments = [0.0; 3];
    let mut orders = 0.0;
    loop {
        let sum: f64 =
            order.iter().zip(&pairing.y).map(|(&row, y)| pairing.x[row as usize] * y).sum();
        let z = sum / pairing.scale * 6.0_f64.sqrt();
        moments[0] += z * z;
        moments[1] += z.powi(3);
        moments[2] += z.powi(4);
        orders += 1.0;
        if !crate::provenance::calibration::next_permutation(&mut order) {
            break;
        }
    }
    let [square, cube, fourth] = moments.map(|sum| sum / orders);
    assert!((square - 1.0).abs() < 1e-12 && orders == 5040.0);
    assert!((found.skewness - cube).abs() < 1e-10, "{found:?} {cube}");
    let of_t = 3.0 * 6.0 / 8.0;
    assert!((found.kurtosis - (fourth - of_t)).abs() < 1e-10, "{found:?} {fourth}");
}

/// Tables as (positions' tie groups, scores' tie groups), whose S is fine enough.
fn fine_designs() -> Vec<(&'static str, Vec<u64>, Vec<u64>)> {
    vec![
        ("10 of 40 late, untied scores", vec![30, 10], vec![1; 40]),
        ("half of 60 late, untied scores", vec![30, 30], vec![1; 60]),
        ("20 of 200 late, 10 levels", vec![180, 20], vec![20; 10]),
        ("3 stages of 20, 3 levels", vec![20; 3], vec![30, 20, 10]),
    ]
}

#[test]
fn kendalls_saddlepoint_is_within_a_tenth_of_the_exact_form() {
    let mut rng = generator(4);
    let (mut worst, mut deepest) = (0.0_f64, 0.0_f64);
    for noise in [2.0, 0.7, 0.3, 0.15, 0.1, 0.05] {
        // Without ties beside the exact form, with ties on a side beside all tables.
        let (positions, scores) = columns(&[1; 30], &[1; 30], noise, &mut rng);
        let counts = concordance(&positions, &scores);
        let expected = correlation::kendall_exact(&counts, 30).unwrap();
        let found = inversions::Inversions::new(&[1; 30]).tails(counts.difference);
        assert!(close(&found, &expected, 0.1 * LN_10), "{found:?} {expected:?}");
        let (positions, scores) = columns(&[1; 24], &[16, 5, 3], noise, &mut rng);
        let difference = concordance(&positions, &scores).difference;
        let expected = inversions::exact(&[16, 5, 3], &[1; 24], difference).unwrap();
        let found = inversions::Inversions::new(&[16, 5, 3]).tails(difference);
        assert!(close(&found, &expected, 0.1 * LN_10), "{found:?} {expected:?}");
        worst = worst.max((found.two_sided - expected.two_sided).abs() / LN_10);
        deepest = deepest.min(expected.two_sided / LN_10);
    }
    assert!(worst < 0.02 && deepest < -6.0, "{worst} {deepest}");
}

#[test]
fn the_saddlepoint_is_within_a_tenth_of_what_the_tables_say() {
    let mut rng = generator(3);
    for (name, rows, of) in fine_designs() {
        let (mut worst, mut deepest) = (0.0_f64, 0.0_f64);
        for noise in [3.0, 1.0, 0.5, 0.3, 0.2] {
            let (positions, scores) = columns(&rows, &of, noise, &mut rng);
            let r = correlation::spearman(&positions, &scores).r;
            let [a, b] = margins(&positions, &scores);
            let expected = exact_tails(&a, &b, r, 1 << 24).unwrap();
            let found = Saddlepoint::new(&a, &b).tails(r).unwrap().tails;
            if expected.two_sided / LN_10 > -12.0 {
                worst = worst.max((found.two_sided - expected.two_sided).abs() / LN_10);
                assert!(close(&found, &expected, 0.1 * LN_10), "{name} {found:?} {expected:?}");
                deepest = deepest.min(expected.two_sided / LN_10);
            }
        }
        assert!(worst < 0.1 && deepest < -3.0, "{name} {worst} {deepest}");
    }
}

#[test]
fn values_too_far_apart_are_left_to_draws() {
    // Rare rows on both sides, of two values each: S jumps whenever one more pair of them meets.
    let [a, b] = [[5000, 20, 20, 20, 20, 20], [4900, 100, 50, 20, 20, 10]];
    let [a, b] = [a, b].map(|sizes| Margin::of_ranks(&sizes));
    assert!(exact_tails(&a, &b, 0.1, MOST_TABLES).is_none());
    assert_eq!(tails(&a, &b, 0.1), None);
    // Untied columns are fine at any depth.
    for n in [13, 30, 100, 300] {
        let untied = Margin::of_ranks(&vec![1; n]);
        for r in [0.01, 0.3, 0.6, 0.9, 0.97, 0.99] {
            assert!(tails(&untied, &untied, r).is_some(), "{n} {r}");
        }
    }
}

/// Errors of log10 p of one method in one design: the worst down to 1e-12 and the worst beyond, with
/// the deepest log10 p that was looked at.
#[derive(Default)]
struct Errors {
    near: Option<f64>,
    beyond: Option<f64>,
    deepest: f64,
}

impl Errors {
    fn add(&mut self, found: f64, expected: f64) {
        let error = found - expected;
        let worst = if expected >= -12.0 { &mut self.near } else { &mut self.beyond };
        if worst.is_none_or(|worst| error.abs() > worst.abs()) {
            *worst = Some(error);
        }
        self.deepest = self.deepest.min(expected);
    }
}

impl std::fmt::Display for Errors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = |error: Option<f64>| error.map_or("–".into(), |error| format!("{error:+.3}"));
        write!(f, "{}, {} to {:.0}", error(self.near), error(self.beyond), self.deepest)
    }
}

/// `cargo test -p stats --lib permutation::tests::the_table -- --ignored --nocapture` (minutes).
#[test]
#[ignore = "prints the table of docs/provenance.md"]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn the_table_of_errors() {
    let one = |n: usize| vec![1_u64; n];
    let designs: Vec<(&str, Vec<u64>, Vec<u64>)> = vec![
        ("10,000: 20 late, 30 recited", vec![9980, 20], vec![9970, 30]),
        ("10,000: half late, 4,000 recited", vec![5000, 5000], vec![6000, 4000]),
        ("10,000: 500 late, 2,500 recited", vec![9500, 500], vec![7500, 2500]),
        ("1,000: 20 late, 5 rare levels", vec![980, 20], vec![900, 50, 30, 15, 5]),
        ("1,000: 2 rare stages, 2 rare levels", vec![960, 20, 20], vec![920, 40, 40]),
        ("1,000: a rare group at each end, both sides", vec![10, 980, 10], vec![10, 980, 10]),
        ("1,000: 700 late, 3 levels", vec![300, 700], vec![500, 300, 200]),
        ("1,000: 20 late, 10 levels", vec![980, 20], vec![100; 10]),
        ("400: 3 stages, 3 levels", vec![200, 120, 80], vec![340, 40, 20]),
        ("200: 10 steps, 50 recited", vec![20; 10], vec![150, 50]),
        ("100: 8 late, no ties of scores", vec![92, 8], one(100)),
        ("100: half late, no ties of scores", vec![50, 50], one(100)),
        ("60: 3 stages, 3 levels", vec![20; 3], vec![30, 20, 10]),
        ("24: 4 stages, 4 levels", vec![6; 4], vec![12, 4, 4, 4]),
        ("12: no ties", one(12), one(12)),
    ];
    println!(
        "| design | beyond the t form in use | t form | saddlepoint | asked to draw | Kendall's forms |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (seed, (name, rows, of)) in (0..).zip(designs) {
        let mut rng = generator(seed);
        let n = rows.iter().sum::<u64>();
        let [mut closed, mut saddle, mut kendall] =
            [Errors::default(), Errors::default(), Errors::default()];
        let (mut refused, mut bounds) = (0, 0);
        for k in 0..60 {
            let (positions, scores) = columns(&rows, &of, 4.0 * 0.92_f64.powi(k), &mut rng);
            let (found, shapes) = correlation::ranked(&positions, &scores);
            let [a, b] = margins(&positions, &scores);
            let two_by_two = rows.len() == 2 && of.len() == 2;
            let expected = match two_by_two {
                true => tails(&a, &b, found.r).map(|found| found.0),
                false => exact_tails(&a, &b, found.r, 1 << 25),
            };
            let Some(expected) = expected else { continue };
            let side = |tails: &LogTails| tails.two_sided / LN_10;
            if ClosedForm::of_t(n, &shapes[0], &shapes[1]).holds(found.r) {
                closed.add(side(&tail::student(found.r, found.complement, n)), side(&expected));
            } else {
                match Saddlepoint::new(&a, &b).tails(found.r) {
                    Some(tilted) if tilted.ripple <= MOST_RIPPLE => {
                        saddle.add(side(&tilted.tails), side(&expected));
                    }
                    _ => refused += 1,
                }
            }
            let counts = concordance(&positions, &scores);
            let Some(expected) = inversions::exact(&rows, &of, counts.difference) else { continue };
            if let Some(found) = inversions::closed_form(&counts, n, &shapes) {
                kendall.add(side(&found), side(&expected));
                continue;
            }
            match inversions::approximate(&counts, n, &shapes, &rows, &of) {
                Some((found, Method::Bound)) => {
                    assert!(
                        found.two_sided >= expected.two_sided - CLOSED_WITHIN,
                        "{name} {found:?} {expected:?}"
                    );
                    bounds += 1;
                }
                Some((found, _)) => kendall.add(side(&found), side(&expected)),
                None => {}
            }
        }
        let [a, b] = [&rows, &of].map(|sizes| Margin::of_ranks(sizes));
        let exact =
            rows.len() == 2 && of.len() == 2 || exact_tails(&a, &b, 0.1, MOST_TABLES).is_some();
        let used = if exact { "exact" } else { "saddlepoint" };
        println!(
            "| {name} | {used} | {closed} | {saddle} | {refused} of 60 | {kendall}; {bounds} bounds |"
        );
    }
}

use std::convert::Infallible;

use super::*;

/// Σ t·item: least where the items fall.
fn weighted(order: &ItemOrder) -> f64 {
    let steps = order.steps.iter().enumerate();
    steps.map(|(t, items)| t as f64 * items.iter().map(|&item| f64::from(item)).sum::<f64>()).sum()
}

fn run(window: &Window, settings: &Search) -> Found {
    let mut score = |orders: &[ItemOrder]| -> Result<Vec<f64>, Infallible> {
        Ok(orders.iter().map(weighted).collect())
    };
    search(window, settings, &[], &mut score).unwrap()
}

#[test]
fn descent_finds_the_order_that_no_swap_improves() {
    let window = Window::batches(8).unwrap();
    let found = run(&window, &Search { random: 50, ..Search::default() });
    assert_eq!(found.descents.len(), 4);
    for descent in &found.descents {
        assert!(descent.local_minimum && descent.end.estimate <= descent.start);
        assert_eq!(descent.end.order, ItemOrder::batches(&[7, 6, 5, 4, 3, 2, 1, 0]));
    }
}

#[test]
fn the_best_are_the_best_of_all_drawn_and_no_two_are_alike() {
    let window = Window::batches(6).unwrap();
    let settings = Search { random: 3000, keep: 16, starts: 0, ..Search::default() };
    let found = run(&window, &settings);
    let mut all: Vec<(f64, ItemOrder)> = (0..3000)
        .map(|number| draw(&window, 0, Purpose::Search, number))
        .map(|order| (weighted(&order), order))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
    all.dedup();
    let estimates: Vec<f64> = found.best.iter().map(|one| one.estimate).collect();
    assert_eq!(estimates, all.iter().take(16).map(|one| one.0).collect::<Vec<_>>());
    let distinct: BTreeSet<_> = found.best.iter().map(|one| one.hash).collect();
    assert_eq!(distinct.len(), 16);
    // The mean over all permutations is T·mean(t)·mean(item) = 6·2.5·2.5.
    assert!((found.random_mean - 37.5).abs() < 0.5, "{}", found.random_mean);
    assert_eq!(run(&window, &settings), found);
}

#[test]
fn descents_start_from_the_orders_that_are_brought_too() {
    let window = Window::batches(8).unwrap();
    let settings = Search { random: 20, starts: 0, ..Search::default() };
    let mut score = |orders: &[ItemOrder]| -> Result<Vec<f64>, Infallible> {
        Ok(orders.iter().map(weighted).collect())
    };
    let brought = ItemOrder::batches(&[7, 6, 5, 4, 3, 2, 0, 1]);
    let found = search(&window, &settings, &[brought], &mut score).unwrap();
    let [only] = &found.descents[..] else { panic!("one descent") };
    assert_eq!((only.swaps, only.start - only.end.estimate), (1, 1.0));
    let none = search(&window, &settings, &[], &mut score).unwrap();
    assert!(none.descents.is_empty() && found.scored > none.scored);
}

#[test]
fn descent_stays_within_epochs_and_skips_swaps_within_a_step() {
    let reference = ItemOrder { steps: vec![vec![0, 1], vec![2, 3], vec![4, 5], vec![6, 7]] };
    let window = Window::new(reference, vec![0..2, 2..4]).unwrap();
    assert_eq!(swaps(&window).len(), 8);
    let found = run(&window, &Search { random: 5, starts: 2, ..Search::default() });
    for descent in &found.descents {
        assert_eq!(window.check(0, &descent.end.order), Ok(()));
    }
}

#[test]
fn diverged_estimates_are_counted_and_never_win() {
    let window = Window::batches(5).unwrap();
    let mut score = |orders: &[ItemOrder]| -> Result<Vec<f64>, Infallible> {
        let of = |order: &ItemOrder| match order.steps[0][0] {
            0 => f64::NEG_INFINITY,
            1 => f64::NAN,
            first => f64::from(first),
        };
        Ok(orders.iter().map(of).collect())
    };
    let settings = Search { random: 100, starts: 0, ..Search::default() };
    let found = search(&window, &settings, &[], &mut score).unwrap();
    assert!(found.not_finite > 10);
    assert!(found.best.iter().all(|one| one.estimate.is_finite()));
    let mut never =
        |orders: &[ItemOrder]| -> Result<Vec<f64>, Infallible> { Ok(vec![f64::NAN; orders.len()]) };
    let refused = search(&window, &settings, &[], &mut never).unwrap_err().to_string();
    assert_eq!(
        refused,
        "none of 100 random orders has a finite score: the estimator diverges here"
    );
}

#[test]
fn an_estimator_that_miscounts_is_refused() {
    let window = Window::batches(5).unwrap();
    let mut short = |_: &[ItemOrder]| -> Result<Vec<f64>, Infallible> { Ok(vec![1.0]) };
    let refused = search(&window, &Search::default(), &[], &mut short).unwrap_err().to_string();
    assert_eq!(refused, "1 scores for 1024 orders");
}

#[test]
fn a_verified_search_is_told_in_standard_deviations() {
    let found = Verified::of(&[1.0, 2.0], &[4.0, 6.0, 5.0]).unwrap();
    assert_eq!((found.random_sd, found.difference_in_sd), (1.0, -3.5));
    assert!(Verified::of(&[], &[1.0, 2.0]).is_err());
    assert!(Verified::of(&[1.0], &[2.0, 2.0]).is_err());
}

#[test]
fn the_difference_from_random_has_the_interval_of_welchs_test() {
    let found = Verified::of(&[1.0, 2.0, 4.0], &[4.0, 6.0, 5.0, 8.0, 7.0]).unwrap();
    let interval = found.interval_in_sd().unwrap();
    // Variances 7/3 and 5/2 over 3 and 5: freedom 4.6, cut to 4; t(0.975, 4) = 2.776445 (scipy 1.17).
    let half = 2.776_445_105 * (7.0_f64 / 9.0 + 0.5).sqrt() / 2.5_f64.sqrt();
    assert!((interval.high - found.difference_in_sd - half).abs() < 1e-6, "{interval:?}");
    assert!((found.difference_in_sd - interval.low - half).abs() < 1e-6);
    assert_eq!(Verified::of(&[1.0], &[4.0, 6.0]).unwrap().interval_in_sd(), None);
}

#[test]
fn a_gain_has_the_standard_error_of_its_differences_by_example() {
    // Differences −1, −2, −3: mean −2, sd 1, t(0.975, 2) = 4.302653 (scipy 1.17).
    let found = Paired::of(&[1.0, 3.0, 4.0], &[2.0, 5.0, 7.0]).unwrap();
    assert_eq!((found.difference, found.examples), (-2.0, 3));
    assert!((found.standard_error - 3.0_f64.sqrt().recip()).abs() < 1e-15);
    let half = 4.302_652_729_911_275 / 3.0_f64.sqrt();
    assert!((found.interval.high - (half - 2.0)).abs() < 1e-9, "{found:?}");
    assert!(Paired::of(&[1.0], &[2.0]).is_err() && Paired::of(&[1.0, 2.0], &[2.0]).is_err());
    let (agreement, _) =
        Elsewhere::agreement(&[1.0, 2.0, 3.0, 4.0], &[4.0, 3.0, 2.0, 1.0]).unwrap().unwrap();
    assert_eq!(agreement, -1.0);
}

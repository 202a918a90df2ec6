use super::super::tests::{Ending, Made, claim};
use super::*;
use stats::power::power;

const WISH: Wish = Wish { effect: None, power: 0.8 };

/// Runs whose new arm lowers the NLL by these gains, one per seed.
fn planned(gains: &[f64], least_gain: f64, wish: Wish) -> SeedsNeeded {
    let old: Vec<Ending> = gains.iter().map(|_| (Some(1.0), 0.9, 1.0)).collect();
    let new: Vec<Ending> = gains.iter().map(|gain| (Some(1.0), 0.9, 1.0 - gain)).collect();
    let (mut suite, mut cells) =
        Made::on_one(&old, &new, vec![claim("test/nll", least_gain)]).left();
    for (index, (run, cell)) in cells.iter_mut().zip(&mut suite.cells).enumerate() {
        run.cell.cell = format!("{index:016x}");
        cell.cell.clone_from(&run.cell.cell);
    }
    plan(&suite, &cells, wish).remove(0)
}

const GAINS: [f64; 5] = [0.10, 0.02, 0.07, 0.04, 0.07];

#[test]
fn seeds_and_minutes_follow_from_the_spread_between_stored_pairs() {
    let found = planned(&GAINS, 0.03, WISH);
    let spread = found.spread.unwrap();
    // statistics.stdev([0.10, 0.02, 0.07, 0.04, 0.07])
    assert!((spread - 0.030_822_070_014_844_88).abs() < 1e-12, "{spread}");
    let goal = Goal { effect: 0.03, spread, level: 0.95 };
    let needed = found.needed.unwrap();
    assert!(power(goal, needed.seeds).unwrap() >= 0.8);
    assert!(power(goal, needed.seeds - 1).unwrap() < 0.8);
    let careful = found.careful.unwrap();
    assert!(careful.seeds > needed.seeds && found.spread_bound.unwrap() > spread);
    // Two runs of 11.1 s a seed.
    assert!((found.seed_seconds.unwrap() - 22.2).abs() < 1e-9);
    assert!((careful.minutes - careful.seeds as f64 * 22.2 / 60.0).abs() < 1e-9);
    let reproduced = found.reproduced.unwrap();
    assert!(reproduced.power >= 0.8 && reproduced.seeds >= 3, "{reproduced:?}");
}

#[test]
fn a_smaller_effect_needs_more_seeds_and_a_larger_one_fewer() {
    let seeds = |effect| {
        let wish = Wish { effect: Some(effect), ..WISH };
        planned(&GAINS, 0.03, wish).needed.unwrap().seeds
    };
    assert!(seeds(0.01) > seeds(0.03) && seeds(0.03) > seeds(0.2));
}

#[test]
fn what_cannot_be_planned_says_why() {
    let notes = |gains: &[f64], least, wish| {
        let found = planned(gains, least, wish);
        assert!(!found.is_planned(), "{found:?}");
        found.notes.join("; ")
    };
    assert!(notes(&GAINS[..2], 0.03, WISH).contains("2 stored pairs say too little"));
    assert!(notes(&[0.5; 4], 0.03, WISH).contains("without spread"));
    assert!(notes(&GAINS, 0.0, WISH).contains("--effect"));
    assert!(notes(&[0.1, f64::NAN, 0.2, 0.3], 0.03, WISH).contains("stored pairs"));
    assert!(notes(&GAINS, 1e-7, WISH).contains("100000"));
    assert!(notes(&GAINS, 0.03, Wish { power: 80.0, ..WISH }).contains("80"));
}

#[test]
fn a_measured_effect_below_the_claim_promises_no_verdict() {
    let found = planned(&GAINS, 0.09, WISH);
    assert!(found.is_planned() && found.reproduced.is_none());
    assert!(found.notes[0].contains("does not reach `at_least`"), "{:?}", found.notes);
}

#[test]
fn at_a_true_effect_of_just_the_smallest_a_claim_is_reproduced_half_of_the_time() {
    let goal = Goal { effect: 0.05, spread: 0.02, level: 0.95 };
    let half = power_to_reproduce(goal, 0.05, 200).unwrap();
    assert!((half - 0.5).abs() < 1e-9, "{half}");
    // Without a smallest effect it is the power of the interval alone.
    let alone = power_to_reproduce(goal, 0.0, 6).unwrap();
    assert!((alone - power(goal, 6).unwrap()).abs() < 1e-12);
}

#[test]
fn the_power_to_reproduce_agrees_with_a_simulation() {
    use ledger::seed::Seed;
    use ledger::streams::{Streams, unit_f64};
    use stats::distribution::{normal_quantile, student_t_bound};
    let goal = Goal { effect: 0.05, spread: 0.04, level: 0.95 };
    let (seeds, smallest, trials) = (8, 0.04, 20_000);
    let bound = student_t_bound(0.95, seeds - 1).unwrap();
    let mut noise = Streams::new(Seed::from_integer(6).bytes).generator("power");
    let mut draw = || normal_quantile(unit_f64(&mut noise).clamp(1e-12, 1.0 - 1e-12));
    let mut hits = 0;
    for _ in 0..trials {
        let values: Vec<f64> = (0..seeds).map(|_| 0.05 + 0.04 * draw()).collect();
        let (mean, spread) = moments(&values).unwrap();
        let low = mean - bound * spread / (seeds as f64).sqrt();
        hits += usize::from(low > 0.0 && mean >= smallest);
    }
    let share = hits as f64 / f64::from(trials);
    let told = power_to_reproduce(goal, smallest, seeds).unwrap();
    // Four standard errors of 20,000 trials.
    assert!((share - told).abs() < 4.0 * (told * (1.0 - told) / f64::from(trials)).sqrt());
}

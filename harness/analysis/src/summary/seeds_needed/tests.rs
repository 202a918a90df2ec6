use super::super::tests::{Ending, Made, claim};
use super::*;
use stats::power::power;

const WISH: Wish = Wish { effect: None, power: 0.8 };

fn wish(effect: f64) -> Wish {
    Wish { effect: Some(effect), ..WISH }
}

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
    // The measured mean of 0.06 lies 0.03 above the claim.
    assert_eq!(found.verdict, Some(Verdict::Reproduced));
    assert!((found.effect.unwrap() - 0.06).abs() < 1e-12, "{found:?}");
    let goal = Goal { effect: 0.03, spread, level: 0.95 };
    let needed = found.needed.unwrap();
    assert!(power(goal, needed.seeds).unwrap() >= 0.8);
    assert!(power(goal, needed.seeds - 1).unwrap() < 0.8);
    let careful = found.careful.unwrap();
    assert!(careful.seeds > needed.seeds && found.spread_bound.unwrap() > spread);
    // Two runs of 11.1 s a seed.
    assert!((found.seed_seconds.unwrap() - 22.2).abs() < 1e-9);
    assert!((careful.minutes - careful.seeds as f64 * 22.2 / 60.0).abs() < 1e-9);
    let direction = found.direction.unwrap();
    assert!(direction.seeds >= 3 && direction.seeds < careful.seeds, "{direction:?}");
}

#[test]
fn the_nearer_an_effect_is_to_the_claim_the_more_seeds_decide_it_on_either_side() {
    let found = |effect| planned(&GAINS, 0.03, wish(effect));
    let seeds = |effect| found(effect).needed.unwrap().seeds;
    assert!(seeds(0.04) > seeds(0.06) && seeds(0.06) > seeds(0.2));
    assert!(seeds(0.025) > seeds(0.01) && seeds(0.01) > seeds(-0.2));
    assert_eq!(found(0.04).verdict, Some(Verdict::Reproduced));
    assert_eq!(found(0.02).verdict, Some(Verdict::NotReproduced));
    // As far below as above.
    assert_eq!(seeds(0.01), seeds(0.05));
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
    assert!(notes(&GAINS, 0.03, wish(0.03)).contains("just 0.03 leads to no verdict"));
    assert!(notes(&[0.1, f64::NAN, 0.2, 0.3], 0.03, WISH).contains("stored pairs"));
    assert!(notes(&GAINS, 0.03, wish(0.03 + 1e-7)).contains("100000"));
    assert!(notes(&GAINS, 0.03, Wish { power: 80.0, ..WISH }).contains("80"));
}

#[test]
fn the_planned_power_is_that_of_the_verdict_by_simulation() {
    use ledger::seed::Seed;
    use ledger::streams::{Streams, unit_f64};
    use stats::distribution::{normal_quantile, student_t_bound};
    let (seeds, smallest, trials) = (8, 0.02, 20_000);
    let goal = Goal { effect: 0.05 - smallest, spread: 0.04, level: 0.95 };
    let bound = student_t_bound(0.95, seeds - 1).unwrap();
    let mut noise = Streams::new(Seed::from_integer(6).bytes).generator("power");
    let mut draw = || normal_quantile(unit_f64(&mut noise).clamp(1e-12, 1.0 - 1e-12));
    let mut hits = 0;
    for _ in 0..trials {
        let values: Vec<f64> = (0..seeds).map(|_| 0.05 + 0.04 * draw()).collect();
        let (mean, spread) = moments(&values).unwrap();
        hits += usize::from(mean - bound * spread / (seeds as f64).sqrt() >= smallest);
    }
    let share = hits as f64 / f64::from(trials);
    let told = power(goal, seeds).unwrap();
    // Four standard errors of 20,000 trials.
    assert!((share - told).abs() < 4.0 * (told * (1.0 - told) / f64::from(trials)).sqrt());
}

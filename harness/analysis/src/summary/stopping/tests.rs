use super::super::tests::{Ending, Made, claim};
use super::*;

/// Runs whose new arm lowers the NLL by these gains, one per seed.
fn made(gains: &[f64], least_gain: f64, most: usize) -> Made {
    let old: Vec<Ending> = gains.iter().map(|_| (Some(1.0), 0.9, 1.0)).collect();
    let new: Vec<Ending> = gains.iter().map(|gain| (Some(1.0), 0.9, 1.0 - gain)).collect();
    let mut made = Made::on_one(&old, &new, vec![claim("test/nll", least_gain)]);
    made.stopping = Some(saved(normal(most), gains.len(), &[]));
    made
}

/// A plan that takes all effects to be normal.
fn normal(most: usize) -> Stopping {
    Stopping { collapse: 0.0, ..Stopping::planned(most) }
}

const CLEAR: [f64; 6] = [0.30, 0.28, 0.33, 0.31, 0.29, 0.32];

#[test]
fn a_clear_claim_is_over_and_its_numbers_are_those_of_the_seed_that_settled_it() {
    let made = made(&CLEAR, 0.05, 20);
    let (suite, cells) = made.left();
    assert!(over(&suite, &cells).unwrap());
    let outcome = made.analysis().claims.remove(0);
    assert_eq!(outcome.verdict.words(), "reproduced");
    let after = stop(&CLEAR, ClaimKind::Superior { smallest_effect: 0.05 }, normal(20), None);
    let after = after.unwrap().settled_after.unwrap();
    assert!(after < CLEAR.len(), "{after}");
    assert_eq!((outcome.n as usize, outcome.sequence.len()), (after, CLEAR.len()));
    let mean = CLEAR[..after].iter().sum::<f64>() / after as f64;
    assert!((outcome.effect.unwrap() - mean).abs() < 1e-12);
    assert_eq!(outcome.p, None, "a p-value of a fixed number of seeds is not valid");
    assert!(outcome.reason.contains(&format!("after {after} of 20 seeds")), "{}", outcome.reason);
}

#[test]
fn the_sequence_is_wider_than_the_interval_of_a_fixed_number_of_seeds() {
    let mut made = made(&CLEAR[..5], 0.05, 20);
    let sequence = made.analysis().claims.remove(0).sequence[4];
    made.stopping = None;
    let fixed = made.analysis().claims.remove(0).interval.unwrap();
    assert!(sequence.high.unwrap() - sequence.low.unwrap() > fixed.high - fixed.low);
}

#[test]
fn noise_goes_on_and_what_can_never_be_settled_holds_nothing_up() {
    let noise = [0.2, -0.3, 0.25, -0.1, 0.05, -0.15];
    let (suite, cells) = made(&noise, 0.1, 20).left();
    assert!(!over(&suite, &cells).unwrap());

    let (mut suite, cells) = made(&CLEAR, 0.05, 20).left();
    let mut second = suite.sections.claims[0].clone();
    second.cannot_decide = Some("too small".into());
    suite.sections.claims.push(second);
    assert!(over(&suite, &cells).unwrap());
    // Nothing that could be settled: all seeds run.
    suite.sections.claims.remove(0);
    assert!(!over(&suite, &cells).unwrap());
}

#[test]
fn disturbed_times_are_withheld_as_the_verdict_rules_do() {
    let times = |all: [f64; 5]| all.map(|time| (Some(time), 0.95, 0.2)).to_vec();
    let (old, new) = (times([4.0, 4.1, 4.2, 4.0, 4.3]), times([2.0, 2.1, 2.0, 2.05, 2.1]));
    let mut made = Made::on_one(&old, &new, vec![claim("time-to-target", 1.2)]);
    made.stopping = Some(saved(normal(8), 5, &[]));
    let (suite, cells) = made.left();
    assert!(over(&suite, &cells).unwrap());
    made.change = |record| {
        record.environment.load_at_start = Some(9.0);
        record.environment.cpu_share = Some(0.5);
    };
    let (suite, cells) = made.left();
    assert!(!over(&suite, &cells).unwrap());
    let outcome = made.analysis().claims.remove(0);
    assert_eq!(outcome.verdict.words(), "inconclusive");
    assert!(outcome.reason.contains("busier than its cores"), "{}", outcome.reason);
}

#[test]
fn seeds_count_in_the_order_in_which_they_ran_and_not_in_that_of_their_names() {
    // Twelve seeds: as text, "10" and "11" stand before "2".
    let gains: Vec<f64> = (0..12).map(|seed| 0.1 + 0.01 * f64::from(seed % 5)).collect();
    let made = made(&gains, 0.01, 12);
    let outcome = made.analysis().claims.remove(0);
    let mut mean = 0.0;
    for (n, (point, gain)) in (1..).zip(outcome.sequence.iter().zip(&gains)) {
        mean += (gain - mean) / f64::from(n);
        assert!((point.mean - mean).abs() < 1e-12, "{point:?}");
    }
}

#[test]
fn few_seeds_without_a_collapse_settle_nothing_unless_none_could_undo_the_effect() {
    // NLL of which nothing is known before training: no range to bet on.
    let mut made = made(&CLEAR, 0.05, 20);
    made.stopping = Some(saved(Stopping::planned(20), 6, &[]));
    let (suite, cells) = made.left();
    assert!(!over(&suite, &cells).unwrap());
    let outcome = made.analysis().claims.remove(0);
    assert_eq!((outcome.verdict, outcome.direction_shown), (Verdict::Inconclusive, false));
    insta::assert_snapshot!(outcome.reason, @"not settled after 6 seeds: up to 39 % of seeds could still collapse unseen, and 29 seeds are needed to see a collapse of 10 % (mean +0.305, nothing bounds it yet)");
    // Accuracies lie between 0 and 1: from 0.3 to 0.9 is more than a collapse now and then could undo.
    let seeds = 0..14_i32;
    let at = |base: f64| {
        seeds.clone().map(move |seed| (Some(1.0), base + 0.002 * f64::from(seed % 5), 0.1))
    };
    let (old, new): (Vec<Ending>, Vec<Ending>) = (at(0.3).rev().collect(), at(0.9).collect());
    let mut made = Made::on_one(&old, &new, vec![claim("test/accuracy", 0.05)]);
    made.stopping = Some(saved(Stopping::planned(20), 14, &[]));
    let outcome = made.analysis().claims.remove(0);
    assert_eq!(outcome.verdict, Verdict::Reproduced, "{}", outcome.reason);
    assert!(outcome.n > 4 && outcome.n < 14, "{}", outcome.reason);
}

#[test]
fn what_was_saved_is_told_in_seeds_and_minutes() {
    let (_, cells) = made(&CLEAR, 0.05, 20).left();
    // Twelve runs of 11.1 s under six seeds.
    let stopping = saved(Stopping::planned(20), 6, &cells);
    assert_eq!(stopping.seeds_saved, 14);
    assert!((stopping.seconds_saved - 14.0 * 2.0 * 11.1).abs() < 1e-9);
    let summary = analysis(&stopping).summary;
    assert!(summary.contains("6 of 20 planned seeds ran"), "{summary}");
    assert!(summary.contains("14 seeds and about 5.2 minutes saved"), "{summary}");
}

#[test]
fn a_verdict_is_held_to_the_expected_one() {
    use super::super::claims::{Standing, standing};
    let against = CLEAR.map(|gain| -gain);
    for (gains, expect, is) in [
        (CLEAR, None, Standing::Holds),
        (against, None, Standing::Broken),
        (against, Some(Verdict::NotReproduced), Standing::Holds),
        (CLEAR, Some(Verdict::NotReproduced), Standing::Broken),
        (CLEAR, Some(Verdict::Inconclusive), Standing::Broken),
    ] {
        let mut made = made(&gains, 0.05, 20);
        made.stopping = None;
        let (mut suite, cells) = made.left();
        suite.sections.claims[0].expect = expect;
        let outcome = claims::judge_all(&suite, &cells).remove(0);
        assert_eq!(standing(&outcome), is, "{expect:?}: {outcome:?}");
    }
    let (mut suite, cells) = made(&CLEAR[..2], 0.05, 20).left();
    let mut is = |expect| {
        suite.sections.claims[0].expect = expect;
        standing(&claims::judge_all(&suite, &cells)[0])
    };
    assert_eq!(is(None), Standing::Undecided);
    assert_eq!(is(Some(Verdict::NotReproduced)), Standing::Undecided);
    assert_eq!(is(Some(Verdict::Inconclusive)), Standing::Holds);
}

#[test]
fn a_suite_run_without_the_new_keys_is_written_as_before_and_read() {
    let mut made = made(&CLEAR, 0.05, 20);
    made.stopping = None;
    let (suite, _) = made.left();
    let text = serde_json::to_string(&suite).unwrap();
    assert!(!text.contains("expect") && !text.contains("stopping"), "{text}");
    assert_eq!(serde_json::from_str::<SuiteRun>(&text).unwrap(), suite);
}

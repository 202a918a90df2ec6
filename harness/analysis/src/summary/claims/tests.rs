//! What keeps claims from being judged, arm by arm.

use super::super::tests::{Ending, Made, claim};
use super::*;
use crate::suite::May;
use crate::suite_run::SuiteRun;
use ledger::record::format::{Event, RunRecord, Status};

/// Accuracies at the end.
fn at(accuracies: [f64; 4]) -> Vec<Ending> {
    accuracies.map(|accuracy| (Some(5.0), accuracy, 0.1)).to_vec()
}

const OLD: [f64; 4] = [0.70, 0.71, 0.72, 0.70];
const NEW: [f64; 4] = [0.80, 0.82, 0.81, 0.82];

/// A clear claim: its suite and cells, those of the old arm first.
fn clear(compare: &str, at_least: f64) -> (SuiteRun, Vec<CellRun>) {
    let mut old = at(OLD);
    if compare.ends_with("to-target") {
        for (seed, ending) in (0..).zip(&mut old) {
            ending.0 = Some(9.0 + 0.1 * f64::from(seed));
        }
    }
    Made::on_one(&old, &at(NEW), vec![claim(compare, at_least)]).left()
}

fn judged(suite: &SuiteRun, cells: &[CellRun]) -> ClaimOutcome {
    judge_all(suite, cells).remove(0)
}

fn change(cells: &mut [CellRun], arm: usize, mut to: impl FnMut(&mut RunRecord)) {
    for run in cells.iter_mut().filter(|run| run.cell.arm == arm) {
        to(&mut run.left.as_mut().unwrap().record);
    }
}

#[track_caller]
fn withheld(suite: &SuiteRun, cells: &[CellRun], words: &str) -> ClaimOutcome {
    let outcome = judged(suite, cells);
    assert_eq!(outcome.verdict, Verdict::Inconclusive, "{}", outcome.reason);
    assert!(outcome.reason.contains(words), "{}", outcome.reason);
    assert!(!outcome.direction_shown);
    outcome
}

#[test]
fn without_an_obstacle_each_clear_claim_is_reproduced() {
    for (compare, at_least) in
        [("test/accuracy", 0.05), ("time-to-target", 1.2), ("samples-to-target", 1.2)]
    {
        let (suite, cells) = clear(compare, at_least);
        let outcome = judged(&suite, &cells);
        assert_eq!(outcome.verdict, Verdict::Reproduced, "{compare}: {}", outcome.reason);
        assert!(outcome.p.unwrap() <= 0.025 && outcome.notes.is_empty());
    }
}

#[test]
fn an_effect_below_the_claim_is_said_to_show_its_direction() {
    let (suite, cells) = clear("test/accuracy", 0.1);
    let outcome = judged(&suite, &cells);
    assert_eq!(outcome.verdict_words(), "inconclusive, direction shown");
    let (suite, cells) = clear("test/accuracy", 0.15);
    assert_eq!(judged(&suite, &cells).verdict_words(), "not reproduced, direction shown");
}

#[test]
fn two_labels_of_one_cell_are_compared_with_themselves() {
    let (suite, mut cells) = clear("test/accuracy", 0.05);
    cells[4].cell.cell = cells[0].cell.cell.clone();
    withheld(&suite, &cells, "new and old are the same cell under 1 of 4 seeds");
}

#[test]
fn runs_that_diverged_are_compared_at_no_time() {
    for when in [When::End, When::Half, When::Mean] {
        let (mut suite, mut cells) = clear("validation/accuracy", 0.01);
        suite.sections.claims[0].when = when;
        assert_eq!(judged(&suite, &cells).verdict, Verdict::Reproduced);
        change(&mut cells, 0, |record| record.status = Status::Diverged);
        let outcome = withheld(&suite, &cells, "4 of 4 runs of old diverged");
        assert_eq!((outcome.effect, outcome.pairs_lost), (None, true));
        // A suite can't expect that.
        suite.sections.claims[0].expect = Some(Verdict::Inconclusive);
        assert_eq!(standing(&judged(&suite, &cells)), Standing::Undecided);
    }
}

#[test]
fn what_is_lost_since_the_best_look_is_read_along_the_run_and_less_is_better() {
    let (mut suite, mut cells) = clear("validation/accuracy", 0.1);
    suite.sections.claims[0].when = When::Lost;
    // At half of the run the arm `old` was 0.3 better than at its end.
    for run in cells.iter_mut().filter(|run| run.cell.arm == 0) {
        let left = run.left.as_mut().unwrap();
        let end = left.record.last["validation/accuracy"];
        for event in &mut left.events {
            if let Event::Evaluated(look) = event
                && look.samples == 500
            {
                look.metrics.insert("validation/accuracy".to_owned(), end + 0.3);
            }
        }
    }
    let outcome = judged(&suite, &cells);
    assert!((outcome.effect.unwrap() - 0.3).abs() < 1e-12, "{:?}", outcome.effect);
    assert_eq!(outcome.metric, "validation/accuracy, lost since its best");
    // Of the last look alone nobody knows.
    for run in &mut cells {
        let events = &mut run.left.as_mut().unwrap().events;
        events.retain(|event| !matches!(event, Event::Evaluated(look) if look.samples < 1000));
    }
    withheld(&suite, &cells, "4 of 4 pairs have a run without this metric");
}

#[test]
fn what_several_metrics_lost_is_the_mean_of_what_each_did() {
    let (mut suite, mut cells) = clear("validation/accuracy*", 0.1);
    suite.sections.claims[0].when = When::Lost;
    let mut other = suite.workloads[0].metrics[0].clone();
    other.name = "accuracy_b".to_owned();
    suite.workloads[0].metrics.push(other);
    // At half of the run the arm `old` was 0.4 better on the one and 0.2 on the other than at its end.
    for run in &mut cells {
        let better = if run.cell.arm == 0 { [0.4, 0.2] } else { [0.0; 2] };
        let left = run.left.as_mut().unwrap();
        let end = left.record.last["validation/accuracy"];
        left.record.last.insert("validation/accuracy_b".to_owned(), 0.1);
        // That of a look is none of them.
        left.record.last.insert("validation/accuracy@small".to_owned(), 0.1);
        for event in &mut left.events {
            if let Event::Evaluated(look) = event {
                let half = f64::from(u8::from(look.samples == 500));
                if half > 0.0 || look.samples >= 1000 {
                    let metrics = [("accuracy", end), ("accuracy_b", 0.1)].into_iter().zip(better);
                    for ((name, end), better) in metrics {
                        look.metrics.insert(format!("validation/{name}"), end + half * better);
                    }
                }
            }
        }
    }
    let outcome = judged(&suite, &cells);
    assert!((outcome.effect.unwrap() - 0.3).abs() < 1e-12, "{:?}", outcome.effect);
    assert_eq!(outcome.metric, "validation/accuracy*, lost since its best");
    // One of them without a value leaves nothing to compare.
    for run in &mut cells {
        for event in &mut run.left.as_mut().unwrap().events {
            if let Event::Evaluated(look) = event {
                look.metrics.remove("validation/accuracy_b");
            }
        }
    }
    withheld(&suite, &cells, "4 of 4 pairs have a run without this metric");
}

#[test]
fn pairs_that_both_arms_lost_count_as_lost() {
    let (suite, mut cells) = clear("test/accuracy", 0.05);
    for arm in [0, 1] {
        change(&mut cells, arm, |record| {
            if record.seed == "2" {
                record.status = Status::Failed;
            }
        });
    }
    withheld(&suite, &cells, "1 of 4 runs of new failed, 1 of 4 runs of old failed");
    let (suite, mut cells) = clear("test/accuracy", 0.05);
    (cells[3].left, cells[7].left) = (None, None);
    withheld(&suite, &cells, "1 of 4 runs of new have not run");
}

#[test]
fn a_budget_ten_times_as_large_is_no_comparison_unless_the_claim_says_so() {
    let (mut suite, mut cells) = clear("test/accuracy", 0.05);
    change(&mut cells, 1, |record| (record.samples, record.steps) = (10_000, 1000));
    withheld(&suite, &cells, "budgets differ: 10000 samples of new, 1000 of old");
    suite.sections.claims[0].unequal = vec![May::Budget];
    let outcome = judged(&suite, &cells);
    assert_eq!(outcome.verdict, Verdict::Reproduced);
    assert!(outcome.why().ends_with("1000 of old, as the claim allows"), "{}", outcome.why());
    // One step more is the end of the last batch.
    let (suite, mut cells) = clear("test/accuracy", 0.05);
    change(&mut cells, 1, |record| record.samples = 1010);
    assert_eq!(judged(&suite, &cells).verdict, Verdict::Reproduced);
}

#[test]
fn curves_read_on_other_grids_are_no_comparison_where_the_curve_is_read() {
    let coarse = |cells: &mut Vec<CellRun>| {
        for run in cells.iter_mut().filter(|run| run.cell.arm == 1) {
            let events = &mut run.left.as_mut().unwrap().events;
            events.retain(|event| !matches!(event, Event::Evaluated(look) if look.samples == 500));
        }
    };
    let (suite, mut cells) = clear("samples-to-target", 1.2);
    coarse(&mut cells);
    withheld(&suite, &cells, "evaluation grids differ: every 1000 samples of new, 500 of old");
    let (suite, mut cells) = clear("test/accuracy", 0.05);
    coarse(&mut cells);
    assert_eq!(judged(&suite, &cells).verdict, Verdict::Reproduced);
}

#[test]
fn an_arm_that_was_tuned_longer_is_no_comparison() {
    let (mut suite, cells) = clear("test/accuracy", 0.05);
    suite.arms[1].trials = Some(16);
    withheld(&suite, &cells, "tuning trials differ: 16 of new, none of old");
    suite.arms[0].trials = Some(16);
    assert_eq!(judged(&suite, &cells).verdict, Verdict::Reproduced);
}

#[test]
fn times_of_two_machines_are_never_compared_and_other_numbers_are() {
    let elsewhere = |record: &mut RunRecord| record.environment.cpu = "Slow CPU of 2009".to_owned();
    let (suite, mut cells) = clear("time-to-target", 1.2);
    change(&mut cells, 0, elsewhere);
    withheld(&suite, &cells, "new and old ran on different machines under 4 of 4 seeds");
    let analysis = super::super::summarise::summarise(&suite, &cells);
    assert!(analysis.workloads[0].arms.iter().all(|arm| arm.speed_up.is_none()));
    assert!(analysis.warnings.iter().any(|warning| warning.contains("different machines")));
    let (suite, mut cells) = clear("samples-to-target", 1.2);
    change(&mut cells, 0, elsewhere);
    assert_eq!(judged(&suite, &cells).verdict, Verdict::Reproduced);
}

#[test]
fn a_throttled_clock_withholds_times_even_on_a_quiet_machine() {
    let (suite, mut cells) = clear("time-to-target", 1.2);
    change(&mut cells, 1, |record| record.environment.cpu_share = Some(0.2));
    withheld(&suite, &cells, "4 runs were timed while the machine was busier");
}

#[test]
fn a_target_met_before_the_first_step_is_a_state_and_no_time() {
    let (suite, mut cells) = clear("time-to-target", 1.2);
    change(&mut cells, 1, |record| {
        if record.seed == "0" {
            let crossing = record.time_to_target.as_mut().unwrap();
            (crossing.isotonic, crossing.samples) = (Some(0.0), Some(0.0));
        }
    });
    withheld(&suite, &cells, "1 of 4 runs of new met the target at the start");
    let analysis = super::super::summarise::summarise(&suite, &cells);
    let arm = &analysis.workloads[0].arms[1];
    let time = &arm.time_to_target;
    assert_eq!((time.at_start, arm.outcomes.reached), (1, 4));
    assert_eq!((time.median, time.geometric_mean, time.interval), (None, None, None));
    assert!(time.values.iter().flatten().all(|value| *value > 1.0), "{time:?}");
    assert!(analysis.warnings.iter().any(|warning| warning.contains("met before the first step")));
}

#[test]
fn either_arm_that_does_not_learn_leaves_no_room_unless_it_is_the_control() {
    // `old` at chance; `old` a tenth of the way that `new` came; the same with the arms' places changed.
    for stuck in [[0.10, 0.11, 0.10, 0.11], [0.13, 0.14, 0.13, 0.14]] {
        for (old, new, name) in [(stuck, NEW, "old"), (NEW, stuck, "new")] {
            for kind in [suite::ClaimKind::Superior, suite::ClaimKind::NonInferior] {
                let mut claim = claim("test/nll", 0.0);
                claim.kind = kind;
                let (mut suite, mut cells) = Made::on_one(&at(old), &at(new), vec![claim]).left();
                // All start at 0.09.
                for run in &mut cells {
                    for event in &mut run.left.as_mut().unwrap().events {
                        if let Event::Evaluated(look) = event
                            && look.samples == 0
                        {
                            look.metrics.insert("validation/accuracy".to_owned(), 0.09);
                        }
                    }
                }
                let outcome = judged(&suite, &cells);
                assert!(outcome.reason.contains(&format!("no room: {name}")), "{}", outcome.reason);
                suite.sections.claims[0].control = Some(name.to_owned());
                let outcome = judged(&suite, &cells);
                assert!(!outcome.reason.contains("no room"), "{}", outcome.reason);
            }
        }
    }
}

#[test]
fn a_level_that_trains_nothing_is_not_asked_to_learn() {
    let (suite, mut cells) =
        Made::on_one(&at([0.10, 0.11, 0.10, 0.11]), &at(NEW), vec![claim("test/accuracy", 0.05)])
            .left();
    assert!(judged(&suite, &cells).reason.contains("no room"));
    change(&mut cells, 0, |record| (record.samples, record.steps) = (0, 0));
    assert_eq!(judged(&suite, &cells).verdict, Verdict::Reproduced);
}

#[test]
fn two_perfect_arms_cannot_show_that_nothing_is_lost() {
    let mut claim = claim("test/accuracy", 0.01);
    claim.kind = suite::ClaimKind::NonInferior;
    let (suite, cells) = Made::on_one(&at([1.0; 4]), &at([1.0; 4]), vec![claim]).left();
    withheld(&suite, &cells, "at the ceiling");
}

#[test]
fn two_arms_at_the_bottom_of_what_is_compared_decide_nothing() {
    let metric = ledger::catalogue::MetricInfo::share("accuracy", 0.1).owned();
    let ends = |a: f64, b: f64| std::collections::BTreeMap::from([("0", a), ("1", b)]);
    let bottom = |ours, theirs| {
        super::room::bottom(&claim("test/accuracy", 0.05), &metric, [&ours, &theirs])
    };
    let reason = bottom(ends(0.01, 0.02), ends(0.0, 0.001)).unwrap();
    assert_eq!(reason, "neither new nor old gets anywhere: test/accuracy 0.0150 and 0.0005 of 1");
    assert_eq!(bottom(ends(0.3, 0.4), ends(0.0, 0.001)), None, "one arm gets somewhere");
    assert_eq!(bottom(ends(-0.3, 0.1), ends(0.0, 0.0)), None, "no share");
    let error = ledger::catalogue::MetricInfo { higher_is_better: false, ..metric.clone() };
    let (ours, theirs) = (ends(0.01, 0.01), ends(0.0, 0.0));
    assert_eq!(super::room::bottom(&claim("test/nll", 0.05), &error, [&ours, &theirs]), None);
}

#[test]
fn effects_all_alike_in_few_seeds_decide_nothing() {
    let (suite, cells) =
        Made::on_one(&at([0.5; 4]), &at([0.75; 4]), vec![claim("test/accuracy", 0.05)]).left();
    withheld(&suite, &cells, "all 4 effects are alike");
}

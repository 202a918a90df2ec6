//! Verdicts and intervals of a suite whose seeds could end early.
//!
//! Whoever looks after each seed and stops when it looks good has no 95 % interval any more. So a
//! suite with `stopping` is judged by a confidence sequence ([`stats::sequential`]), which
//! holds at every number of seeds at once, and never by the interval of a fixed number.

use super::CellRun;
use super::claims::{self, Effects};
use super::{ClaimOutcome, SequencePoint, StoppingAnalysis};
use crate::suite::ClaimUse;
use crate::suite_run::{RunStopping, SuiteRun};
use stats::StatsError;
use stats::interval::Interval;
use stats::sequential::{Step, Stopped, Stopping, stop};
use stats::verdict::{ClaimKind, ClaimTest, Scale, Verdict, direction_shown, in_words, obstacle};

/// Whether no further seed is needed: at least one claim is settled, and every other one is too or
/// can't be settled by any number of seeds (its card says so, or a pair is lost or disturbed).
///
/// # Errors
/// When the effects or the settings have no confidence sequence.
pub fn over(suite: &SuiteRun, cells: &[CellRun]) -> Result<bool, StatsError> {
    let Some(RunStopping { settings, .. }) = &suite.stopping else { return Ok(false) };
    let mut settled = false;
    for (claim, workload) in claims::applied(suite, cells) {
        let found = claims::found(suite, cells, claim, workload);
        if found.withheld().is_some() || claim.cannot_decide.is_some() {
            continue;
        }
        let test = claims::test(claim, &found);
        let stopped = stop(&test.effects, test.kind, *settings, found.range)?;
        if obstacle(&test).is_some() || stopped.settled_after.is_none() {
            return Ok(false);
        }
        settled = true;
    }
    Ok(settled)
}

/// What the seeds that did not run would have taken: seconds of all runs, per seed that ran.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
pub fn saved(settings: Stopping, seeds: usize, cells: &[CellRun]) -> RunStopping {
    let seconds = cells.iter().filter_map(|run| Some(run.left.as_ref()?.record.clocks.total));
    let per_seed = seconds.sum::<f64>() / seeds.max(1) as f64;
    let seeds_saved = settings.most.saturating_sub(seeds);
    RunStopping { settings, seeds_saved, seconds_saved: per_seed * seeds_saved as f64 }
}

/// How the seeds could end early, for a report.
pub(super) fn analysis(stopping: &RunStopping) -> StoppingAnalysis {
    let RunStopping { settings, seeds_saved, seconds_saved } = stopping.clone();
    let seeds = settings.most.saturating_sub(seeds_saved);
    let first = if seeds_saved > 0 {
        format!(
            "{seeds} of {} planned seeds ran, then the claims were settled: {seeds_saved} seeds and about {:.1} minutes saved.",
            settings.most,
            seconds_saved / 60.0
        )
    } else {
        format!("All {seeds} planned seeds ran: the claims were not settled before.")
    };
    let summary = format!(
        "{first} Verdicts and intervals of claims are of a {} % confidence sequence, which holds at every number of seeds; \
         intervals of arms and speed-ups are of a fixed number of seeds and only describe.",
        percent(settings.level)
    );
    StoppingAnalysis { settings, seeds, seeds_saved, seconds_saved, summary }
}

/// Puts the verdict of the confidence sequence, its interval and its steps into `outcome`.
pub(super) fn judge(
    outcome: &mut ClaimOutcome,
    claim: &ClaimUse,
    found: &Effects,
    settings: Stopping,
) {
    let test = claims::test(claim, found);
    match stop(&test.effects, test.kind, settings, found.range) {
        Ok(stopped) => fill(outcome, &test, &stopped),
        Err(error) => outcome.reason = error.to_string(),
    }
}

fn fill(outcome: &mut ClaimOutcome, test: &ClaimTest, stopped: &Stopped) {
    let level = stopped.stopping.level;
    let shown = |value: f64| if test.scale == Scale::LogRatio { value.exp() } else { value };
    let obstacle = obstacle(test);
    let settled = stopped.settled_after.filter(|_| obstacle.is_none());
    // The numbers are those of the seed that settled it; later ones can't take the verdict back.
    let Some(step) = settled.or(Some(stopped.steps.len())).and_then(|n| {
        let place = n.checked_sub(1)?;
        stopped.steps.get(place)
    }) else {
        outcome.reason = obstacle.unwrap_or_else(|| "there are no pairs".to_owned());
        return;
    };
    outcome.sequence = stopped
        .steps
        .iter()
        .map(|step| SequencePoint {
            seeds: step.seeds,
            mean: shown(step.mean),
            low: step.low.map(shown),
            high: step.high.map(shown),
        })
        .collect();
    outcome.effect = Some(shown(step.mean));
    outcome.interval = match (step.low, step.high) {
        (Some(low), Some(high)) => Some(Interval { low: shown(low), high: shown(high), level }),
        _ => None,
    };
    outcome.n = u32::try_from(step.seeds).unwrap_or(u32::MAX);
    let why = match (obstacle, settled, stopped.holds) {
        (Some(reason), ..) => {
            outcome.reason = reason;
            return;
        }
        (None, Some(after), Some(holds)) => {
            outcome.verdict = if holds { Verdict::Reproduced } else { Verdict::NotReproduced };
            let most = stopped.stopping.most;
            format!("settled after {after} of {most} seeds: {}", settling(test, holds))
        }
        _ => format!("not settled after {} seeds{}", step.seeds, unseen(step, stopped.stopping)),
    };
    outcome.direction_shown =
        step.low.is_some_and(|low| direction_shown(test.kind, outcome.verdict, low));
    outcome.reason = format!("{why} ({})", measured(step, test.scale, level));
}

/// Why a claim is settled, in words.
fn settling(test: &ClaimTest, holds: bool) -> String {
    let side = if holds { "at or above" } else { "below" };
    let bound = in_words(test.kind.bound(), test.scale);
    match test.kind {
        ClaimKind::Superior { .. } => {
            format!("the sequence lies {side} the smallest effect {bound}")
        }
        ClaimKind::NonInferior { .. } => format!("the sequence lies {side} the margin {bound}"),
    }
}

/// What so many seeds leave possible, where that holds a claim up.
fn unseen(step: &Step, settings: Stopping) -> String {
    let enough = settings.enough_seeds();
    if step.seeds >= enough {
        return String::new();
    }
    format!(
        ": up to {:.0} % of seeds could still collapse unseen, and {enough} seeds are needed to see a collapse of {} %",
        100.0 * settings.unseen(step.seeds),
        percent(settings.collapse)
    )
}

fn measured(step: &Step, scale: Scale, level: f64) -> String {
    let mean = in_words(step.mean, scale);
    match (step.low, step.high) {
        (Some(low), Some(high)) => format!(
            "mean {mean}, {} % sequence {} to {}, {} seeds",
            percent(level),
            in_words(low, scale),
            in_words(high, scale),
            step.seeds
        ),
        _ => format!("mean {mean}, nothing bounds it yet"),
    }
}

fn percent(level: f64) -> f64 {
    (level * 1e4).round() / 1e2
}

#[cfg(test)]
#[path = "stopping/tests.rs"]
mod tests;

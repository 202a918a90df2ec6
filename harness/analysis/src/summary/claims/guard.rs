//! What keeps a claim from being judged: the same looks at both of its arms, whatever the claim.
//!
//! *Withheld*, because the runs are not what the claim compares: arms that are one cell; runs that
//! diverged, failed or are missing; clocks and machines, for times; budgets, evaluation grids and tuning
//! trials that differ, unless the claim says that they may. Whether the arms leave room for an effect is
//! asked in [`super::room`].

use std::collections::BTreeMap;

use super::super::CellRun;
use super::super::clock::{self, is_disturbed};
use super::super::summarise::{idle, met_at_start};
use super::effects::mean;
use crate::imported::{has_clock, is_imported};
use crate::plan::RATIOS;
use crate::suite::{ClaimUse, May, When};
use crate::suite_run::SuiteRun;
use ledger::record::format::{Event, RunRecord, Status};

/// A claim's two arms on a workload: the arm, then the baseline.
pub(super) struct Sides<'a> {
    pub(super) suite: &'a SuiteRun,
    pub(super) cells: &'a [CellRun],
    pub(super) claim: &'a ClaimUse,
    pub(super) workload: usize,
    pub(super) arms: [usize; 2],
}

impl<'a> Sides<'a> {
    pub(super) fn label(&self, arm: usize) -> &'a str {
        &self.suite.arms[arm].label
    }

    pub(super) fn cells(&self, arm: usize) -> impl Iterator<Item = &'a CellRun> {
        let workload = self.workload;
        self.cells.iter().filter(move |run| run.cell.workload == workload && run.cell.arm == arm)
    }

    pub(super) fn records(&self, arm: usize) -> impl Iterator<Item = &'a RunRecord> {
        let left = self.cells(arm).filter_map(|run| Some(&run.left.as_ref()?.record));
        left.filter(|record| record.status != Status::Failed)
    }

    fn is_timed(&self) -> bool {
        RATIOS.contains(&self.claim.compare.as_str())
    }

    /// Whether all runs of an arm consume nothing.
    pub(super) fn is_idle(&self, arm: usize) -> bool {
        self.records(arm).next().is_some() && self.records(arm).all(idle)
    }

    /// The cells of both arms under each seed that both have.
    fn pairs(&self) -> Vec<[&'a CellRun; 2]> {
        let [ours, theirs] = self.arms;
        let other: BTreeMap<&str, &CellRun> =
            self.cells(theirs).map(|run| (run.cell.seed.as_str(), run)).collect();
        let pair = |run: &'a CellRun| Some([run, *other.get(run.cell.seed.as_str())?]);
        self.cells(ours).filter_map(pair).collect()
    }
}

/// Both labels lead to one cell: whatever is compared, it is compared with itself.
pub(super) fn same_cells(sides: &Sides<'_>) -> Option<String> {
    let pairs = sides.pairs();
    let same = pairs.iter().filter(|[ours, theirs]| ours.cell.cell == theirs.cell.cell).count();
    let [ours, theirs] = sides.arms.map(|arm| sides.label(arm));
    (same > 0).then(|| {
        format!("{ours} and {theirs} are the same cell under {same} of {} seeds: their settings come to the same", pairs.len())
    })
}

/// Runs that were planned and have no result: of both arms, so that pairs lost on both sides count.
pub(super) fn lost(sides: &Sides<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for arm in sides.arms {
        let all = sides.cells(arm).count();
        let count = |status: Option<Status>| {
            let is = |run: &&CellRun| run.left.as_ref().map(|left| left.record.status) == status;
            sides.cells(arm).filter(is).count()
        };
        for (status, words) in [
            (Some(Status::Diverged), "diverged"),
            (Some(Status::Failed), "failed"),
            (None, "have not run"),
        ] {
            let n = count(status);
            if n > 0 {
                parts.push(format!("{n} of {all} runs of {} {words}", sides.label(arm)));
            }
        }
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Why a claim about times, or about samples to the target, can't be judged.
pub(super) fn timing(sides: &Sides<'_>) -> Vec<String> {
    if !sides.is_timed() {
        return Vec::new();
    }
    let mut reasons = Vec::new();
    for arm in sides.arms {
        let all = sides.records(arm).count();
        let met = sides.records(arm).filter(|record| met_at_start(record)).count();
        if met > 0 {
            let label = sides.label(arm);
            reasons.push(format!(
                "{met} of {all} runs of {label} met the target at the start; raise the target"
            ));
        }
    }
    if sides.claim.compare != "time-to-target" {
        return reasons;
    }
    for arm in sides.arms {
        let all = sides.records(arm).count();
        let without = sides.records(arm).filter(|record| !has_clock(record)).count();
        if without > 0 {
            reasons.push(format!(
                "{without} of {all} runs of {} are of logs without a clock; compare samples-to-target",
                sides.label(arm)
            ));
        }
    }
    let both = || sides.arms.into_iter().flat_map(|arm| sides.records(arm));
    let disturbed = both().filter(|record| is_disturbed(record)).count();
    if disturbed > 0 {
        reasons.push(format!(
            "{disturbed} runs were timed while the machine was busier than its cores, or got less than 97 % of one"
        ));
    }
    let environments = sides.pairs().into_iter().filter_map(|pair| {
        let [Some(ours), Some(theirs)] = pair.map(|run| run.left.as_ref()) else { return None };
        clock::differs(&ours.record.environment, &theirs.record.environment)
    });
    let unlike: Vec<String> = environments.collect();
    if let Some(first) = unlike.first() {
        let [ours, theirs] = sides.arms.map(|arm| sides.label(arm));
        reasons.push(format!(
            "{ours} and {theirs} ran on different machines under {} of {} seeds ({first})",
            unlike.len(),
            sides.pairs().len()
        ));
    }
    reasons
}

/// What differs between the arms beside the method.
#[derive(Default)]
pub(super) struct Unlike {
    /// What may not differ.
    pub(super) withheld: Vec<String>,
    /// What may, because the claim says so.
    pub(super) notes: Vec<String>,
}

/// Budgets, grids and tuning trials of the two arms.
pub(super) fn unlike(sides: &Sides<'_>) -> Unlike {
    let mut unlike = Unlike::default();
    let [ours, theirs] = sides.arms;
    if sides.is_idle(ours) || sides.is_idle(theirs) {
        return unlike;
    }
    let read_along_the_run = sides.is_timed() || sides.claim.when != When::End;
    let found = [
        // Runs to a target are compared at the target, wherever they end.
        (May::Budget, budgets(sides).filter(|_| !sides.is_timed())),
        (May::Grid, grids(sides).filter(|_| read_along_the_run)),
        (May::Trials, trials(sides)),
        (May::Clock, clocks(sides).filter(|_| sides.claim.compare == RATIOS[0])),
    ];
    for (may, words) in found {
        let Some(words) = words else { continue };
        if sides.claim.unequal.contains(&may) {
            unlike.notes.push(words);
        } else {
            unlike.withheld.push(words);
        }
    }
    unlike
}

/// Samples that a step of an arm consumes, on average: ends of runs and looks fall on whole steps.
#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn step(sides: &Sides<'_>) -> f64 {
    let of = |record: &RunRecord| record.samples as f64 / record.steps.max(1) as f64;
    let all = sides.arms.into_iter().flat_map(|arm| sides.records(arm));
    // A log that counts no steps says nothing of their size.
    all.filter(|record| record.steps > 0 || !is_imported(record)).map(of).fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn budgets(sides: &Sides<'_>) -> Option<String> {
    let consumed = |arm| {
        let all: Vec<f64> = sides.records(arm).map(|record| record.samples as f64).collect();
        (!all.is_empty()).then(|| mean(all.iter().copied()))
    };
    let [Some(ours), Some(theirs)] = sides.arms.map(consumed) else { return None };
    let room = step(sides).max(0.01 * ours.max(theirs));
    let [arm, baseline] = sides.arms.map(|arm| sides.label(arm));
    ((ours - theirs).abs() > room)
        .then(|| format!("budgets differ: {ours:.0} samples of {arm}, {theirs:.0} of {baseline}"))
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn grids(sides: &Sides<'_>) -> Option<String> {
    let spacing = |arm| {
        let mut gaps: Vec<u64> = Vec::new();
        for left in sides.cells(arm).filter_map(|run| run.left.as_ref()) {
            let looks = left.events.iter().filter_map(|event| match event {
                Event::Evaluated(look) => Some(look.samples),
                _ => None,
            });
            let looks: Vec<u64> = looks.collect();
            gaps.extend(looks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])));
        }
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).map(|gap| *gap as f64)
    };
    let [Some(ours), Some(theirs)] = sides.arms.map(spacing) else { return None };
    let room = step(sides).max(0.1 * ours.max(theirs));
    let [arm, baseline] = sides.arms.map(|arm| sides.label(arm));
    ((ours - theirs).abs() > room).then(|| {
        format!(
            "evaluation grids differ: every {ours:.0} samples of {arm}, {theirs:.0} of {baseline}"
        )
    })
}

/// Clocks that nobody here has read.
fn clocks(sides: &Sides<'_>) -> Option<String> {
    let told = |arm: &usize| sides.records(*arm).any(is_imported);
    let told: Vec<&str> =
        sides.arms.iter().filter(|arm| told(arm)).map(|arm| sides.label(*arm)).collect();
    (!told.is_empty()).then(|| {
        format!(
            "times of {} are told by imported logs: on which machine, and how busy it was, is not known",
            told.join(" and ")
        )
    })
}

/// Numbers of settings that were tried before these were chosen.
fn trials(sides: &Sides<'_>) -> Option<String> {
    let [ours, theirs] = sides.arms.map(|arm| sides.suite.arms[arm].trials);
    let words = |trials: Option<u32>| trials.map_or("none".to_owned(), |n| n.to_string());
    let [arm, baseline] = sides.arms.map(|arm| sides.label(arm));
    (ours != theirs).then(|| {
        format!("tuning trials differ: {} of {arm}, {} of {baseline}", words(ours), words(theirs))
    })
}

//! What a run of a suite leaves beside its records, so that reports can be drawn later.

use analysis::plan::tuning::PlannedTuning;
use analysis::suite_run::{Made, RunArm, RunCell, RunEstimate, RunStopping, RunWorkload, SuiteRun};

use crate::catalogue::catalogue;
use crate::runner::{NamedSeed, Session};

/// Describes what runs, or has just run, so that reports can be drawn from it: `ids` are those of the
/// first cells of the plan, or of all.
pub fn suite_run(
    session: &Session,
    source: &str,
    seeds: &[NamedSeed],
    ids: &[String],
    estimated: Vec<RunEstimate>,
) -> SuiteRun {
    let plan = &session.plan;
    let infos = catalogue();
    let workloads = plan.workloads.iter().map(|workload| {
        let info = infos.workload(&workload.id);
        RunWorkload {
            label: workload.label.clone(),
            title: info.map_or_else(String::new, |info| info.title.to_owned()),
            metrics: workload.metrics.clone(),
            target: workload.goal.target.clone(),
            budget_samples: workload.goal.budget.samples,
            train_examples: info.map_or(0, |info| u64::from(info.epoch(&workload.settings))),
        }
    });
    let tuned = plan.tuning.as_ref().and_then(PlannedTuning::frozen);
    let trials = |arm: &str| tuned.as_ref().and_then(|tuned| tuned.trials_of(arm));
    let arms = plan.arms.iter().map(|arm| RunArm {
        label: arm.label.clone(),
        method: arm.method.clone(),
        settings: arm.settings.clone(),
        budget: arm.budget,
        trials: trials(&arm.label).and_then(|trials| u32::try_from(trials).ok()),
    });
    let cells = plan.cells.iter().zip(seeds).zip(ids).map(|((cell, seed), id)| RunCell {
        workload: cell.workload,
        arm: cell.arm,
        seed: seed.name.clone(),
        cell: id.clone(),
    });
    let arms = arms.collect();
    SuiteRun {
        version: SuiteRun::VERSION,
        suite: plan.suite.clone(),
        source: source.to_owned(),
        question: plan.question.clone(),
        suite_digest: plan.suite_digest.to_string(),
        baseline: plan.baseline.clone(),
        workloads: workloads.collect(),
        arms,
        sections: plan.sections.clone(),
        unjudged: plan.unjudged.clone(),
        estimated,
        stopping: plan.stopping.map(|settings| RunStopping {
            settings,
            seeds_saved: settings.most.saturating_sub(plan.seeds.len()),
            seconds_saved: 0.0,
        }),
        tuned,
        cells: cells.collect(),
        of_another_build: session.of_another_build(ids),
        argv: session.argv.clone(),
        made: Made::default(),
    }
}

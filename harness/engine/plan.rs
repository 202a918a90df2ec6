//! `palimpsest plan`

use analysis::plan::{Plan, RATIOS};
use analysis::suite::{ClaimUse, Sections};
use analysis::suite_run::SuiteRun;
use analysis::summary::read_cells;
use analysis::summary::seeds_needed::{SeedsNeeded, Wish, plan as plan_seeds};
use anyhow::{Context as _, bail};
use ledger::goal::Goal;
use ledger::record::Store;
use palimpsest::cli::plan::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_seeds_needed, warn, warn_unjudged};

use crate::catalogue::catalogue;
use crate::forecast::forecast;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = args.options.plan(&catalogue())?;
    let store = args.options.places.store();
    warn_unjudged(&plan.unjudged);
    if args.power {
        return power(args, &plan, &store);
    }
    forecast(&plan, &store, &args.options.places.sources(), false)?.print(args.json)?;
    Ok(Exit::Fine)
}

/// How many seeds and minutes the claims need, from the suite's last run in the store.
fn power(args: &Args, plan: &Plan, store: &Store) -> anyhow::Result<Exit> {
    let wish = Wish { effect: args.effect, power: args.target_power };
    if !(wish.power > 0.0 && wish.power < 1.0) {
        bail!("--target-power is {}, but must be between 0 and 1, such as 0.8", wish.power);
    }
    if let Some(effect) = wish.effect.filter(|effect| !(effect.is_finite() && *effect > 0.0)) {
        bail!("--effect is {effect}, but must be a finite number above 0 (a ratio: above 1)");
    }
    let mut claims = plan.sections.claims.clone();
    if args.arms {
        claims.extend(speed_ups(plan)?);
    }
    if claims.is_empty() {
        warn("the suite has no claims to plan for; --arms plans for speed-ups over its baseline");
        return Ok(Exit::NotJudged);
    }
    let stored = match SuiteRun::load(store, &plan.suite) {
        Ok(stored) => stored,
        Err(ledger::record::format::RecordError::NotFound(reason)) => {
            warn(&format!("nothing can be planned without stored runs: {reason}"));
            return Ok(Exit::NotJudged);
        }
        Err(error) => return Err(error).context("the suite's last run cannot be read"),
    };
    if let Some(change) = change(plan, &stored) {
        warn(&format!(
            "{change} in the store is not that of this plan; `palimpsest run {}` makes its runs, then plan again",
            args.options.suite
        ));
        return Ok(Exit::NotJudged);
    }
    let cells = read_cells(store, &stored);
    let stored = SuiteRun { sections: Sections { claims, ..stored.sections }, ..stored };
    let plans = plan_seeds(&stored, &cells, wish);
    if args.json {
        print_json(&serde_json::json!({
            "suite": plan.suite,
            "level": 0.95,
            "target_power": wish.power,
            "claims": plans,
        }))?;
    } else {
        print_seeds_needed(&plans, wish)?;
    }
    Ok(if plans.iter().any(SeedsNeeded::is_planned) { Exit::Fine } else { Exit::NotJudged })
}

/// Every arm against the baseline on time to target, as claims.
fn speed_ups(plan: &Plan) -> anyhow::Result<Vec<ClaimUse>> {
    let baseline = plan.baseline.as_ref().context(
        "--arms plans for speed-ups over the suite's baseline, but it names none; add `baseline:`",
    )?;
    let others = plan.arms.iter().filter(|arm| arm.label != *baseline);
    let claim = |arm: &str| ClaimUse {
        id: format!("{arm} sooner"),
        ..ClaimUse::between(arm, baseline, RATIOS[0])
    };
    Ok(others.map(|arm| claim(&arm.label)).collect())
}

/// What of the plan was run otherwise: the spread of other settings says nothing of these.
fn change(plan: &Plan, stored: &SuiteRun) -> Option<String> {
    for arm in &plan.arms {
        let same = |other: &&analysis::suite_run::RunArm| other.label == arm.label;
        match stored.arms.iter().find(same) {
            Some(other)
                if other.method == arm.method
                    && other.settings == arm.settings
                    && other.budget == arm.budget => {}
            _ => return Some(format!("arm \"{}\"", arm.label)),
        }
    }
    for workload in &plan.workloads {
        let found = stored.workloads.iter().find(|other| other.label == workload.label);
        let same = found.is_some_and(|other| {
            let Goal { target, budget } = &workload.goal;
            other.budget_samples == budget.samples
                && other.target.value.to_bits() == target.value.to_bits()
                && other.target.metric == target.metric
        });
        if !same {
            return Some(format!("workload \"{}\"", workload.label));
        }
    }
    None
}

//! What a plan is likely to cost, from the records of the store.

use std::collections::BTreeMap;

use analysis::plan::{Cell, Plan};
use analysis::suite::EstimateUse;
use analysis::suite_run::SuiteRun;
use ledger::external::External;
use ledger::record::Store;

/// Estimated seconds.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Seconds of one run, by workload, for each arm that runs there; absent where nothing like it
    /// has run.
    pub per_run: Vec<Vec<Option<f64>>>,
    /// Seconds of each order estimate under one seed, where the suite's last run made it.
    pub estimates: Vec<Option<f64>>,
    seeds: usize,
}

impl Cost {
    /// Seconds of one cell, where something like it has run.
    #[must_use]
    pub fn of(&self, plan: &Plan, cell: Cell) -> Option<f64> {
        let workload = plan.workloads.get(cell.workload)?;
        let label = &plan.arms.get(cell.arm)?.label;
        let place = plan.arms_on(workload).position(|arm| arm.label == *label)?;
        *self.per_run.get(cell.workload)?.get(place)?
    }

    /// Seconds of all cells, when every arm has an estimate.
    pub fn total(&self) -> Option<f64> {
        let runs = self.per_run.iter().flatten().copied().sum::<Option<f64>>()?;
        #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
        let seeds = self.seeds as f64;
        let estimates = self.estimates.iter().copied().sum::<Option<f64>>()?;
        Some((runs + estimates) * seeds)
    }
}

/// What runs as fast: a method, or a program of one's own by the names of its files.
fn alike(method: &str, program: Option<&External>) -> String {
    let files = program.iter().flat_map(|program| &program.files);
    files.fold(method.to_owned(), |all, file| format!("{all} {}", file.name))
}

/// Median wall time per sample of the same workload and method, times the budget.
pub fn estimate(plan: &Plan, store: &Store) -> Cost {
    let mut rates: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for cell in store.cells().unwrap_or_default() {
        if let Ok(record) = store.record(&cell)
            && record.goal.budget.samples > 0
            && record.clocks.total > 0.0
        {
            #[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
            let rate = record.clocks.total / record.goal.budget.samples as f64;
            let told = record.external.map(|told| told.arm);
            let like = alike(&record.method, told.as_ref());
            rates.entry((record.workload, like)).or_default().push(rate);
        }
    }
    for rates in rates.values_mut() {
        rates.sort_by(f64::total_cmp);
    }
    let per_run = plan.workloads.iter().map(|workload| {
        let arms = plan.arms_on(workload).map(|arm| {
            let like = alike(&arm.method, arm.external.as_ref());
            let rates = rates.get(&(workload.id.clone(), like))?;
            #[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
            let samples = arm.budgeted(workload).goal.budget.samples as f64;
            Some(rates.get(rates.len() / 2)? * samples)
        });
        arms.collect()
    });
    let last = SuiteRun::load(store, &plan.suite).ok();
    let estimates = plan.sections.estimates.iter().map(|wanted| {
        let last = last.as_ref()?;
        let same =
            |other: &EstimateUse| other.run == wanted.run && other.settings() == wanted.settings();
        let entry = last.sections.estimates.iter().position(same)?;
        let made = last.estimated.iter().filter(|one| one.entry == entry);
        let seconds: Vec<f64> = made.filter_map(|one| one.seconds).collect();
        #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        Some(mean).filter(|mean| mean.is_finite())
    });
    let estimates = estimates.collect();
    Cost { per_run: per_run.collect(), estimates, seeds: plan.seeds.len() }
}

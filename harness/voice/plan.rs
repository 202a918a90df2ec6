//! What a plan will do: what is there already, what is to be trained, and what that takes.

use std::path::PathBuf;

use analysis::plan::Plan;
use analysis::plan::tuning::PlannedTuning;
use ledger::goal::Goal;

use super::cost::Cost;
use super::{counted, duration, print_json, print_table, print_text, printable, warn};

/// What the store holds of a cell; later is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stock {
    /// Its record, of this build: it is kept.
    Kept,
    /// Its record, of a build whose deciding code is another: trained again unless accepted.
    OtherBuild,
    /// Nothing.
    Missing,
}

/// All that can be said of a plan before it runs.
#[derive(Debug)]
pub struct Forecast<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What runs like these have cost.
    pub cost: Cost,
    /// What there is of each cell.
    pub stock: Vec<Stock>,
    /// Whether records of another build are kept.
    pub accept_build: bool,
    /// Data sets that are not all here, each with the files that lack.
    pub absent: Vec<(String, Vec<PathBuf>)>,
}

/// Seconds of the cells that are to be trained.
struct Due {
    cells: usize,
    seconds: f64,
    /// Cells of which nothing like it has run.
    unknown: usize,
}

impl Forecast<'_> {
    /// Whether a cell is to be trained.
    fn trains(&self, index: usize) -> bool {
        match self.stock[index] {
            Stock::Kept => false,
            Stock::OtherBuild => !self.accept_build,
            Stock::Missing => true,
        }
    }

    fn count(&self, wanted: Stock) -> usize {
        self.stock.iter().filter(|stock| **stock == wanted).count()
    }

    fn due(&self) -> Due {
        let mut due = Due { cells: 0, seconds: 0.0, unknown: 0 };
        let cells = self.plan.cells.iter().enumerate();
        for (_, cell) in cells.filter(|(index, _)| self.trains(*index)) {
            due.cells += 1;
            match self.cost.of(self.plan, *cell) {
                Some(seconds) => due.seconds += seconds,
                None => due.unknown += 1,
            }
        }
        due
    }

    /// `56 here, 14 to train, about 20 s`.
    fn outlook(&self) -> String {
        let due = self.due();
        let mut parts = Vec::new();
        let (kept, other) = (self.count(Stock::Kept), self.count(Stock::OtherBuild));
        if kept > 0 {
            parts.push(format!("{kept} here"));
        }
        if other > 0 {
            let fate = if self.accept_build { "accepted" } else { "--accept-build keeps them" };
            parts.push(format!("{other} here of another build ({fate})"));
        }
        if due.cells == 0 {
            parts.push("nothing to train".to_owned());
        } else {
            parts.push(format!("{} to train", due.cells));
            parts.push(match (due.unknown, due.unknown == due.cells) {
                (0, _) => format!("about {}", duration(due.seconds)),
                (_, true) => "cost unknown until a first run".to_owned(),
                (unknown, _) => format!(
                    "at least {} ({unknown} of them have not run yet)",
                    duration(due.seconds)
                ),
            });
        }
        parts.join(", ")
    }

    /// Suite, question, size, what there is and what is due.
    #[must_use]
    pub fn headline(&self) -> String {
        let plan = self.plan;
        let whole = plan.workloads.len() * plan.arms.len() * plan.seeds.len() == plan.cells.len();
        let workloads = match (plan.workloads.len(), whole) {
            (1, _) => String::new(),
            (n, true) => format!("{n} workloads × "),
            (n, false) => format!("{n} workloads, "),
        };
        format!(
            "{}   {}\n{workloads}{} × {}, {}: {}\n",
            plan.suite,
            printable(&plan.question),
            counted(plan.arms.len(), "arm"),
            counted(plan.seeds.len(), "seed"),
            counted(plan.cells.len(), "cell"),
            self.outlook()
        )
    }

    /// Says which data are not here.
    pub fn warn_absent(&self) {
        for (name, files) in &self.absent {
            let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            warn(&format!(
                "the data of {name} are not here ({}); `palimpsest data fetch {name}`, or --data-dir",
                files.join(", ")
            ));
        }
    }

    /// Prints the plan.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        let (plan, cost) = (self.plan, &self.cost);
        if json {
            return self.print_json();
        }
        print_text(&self.headline())?;
        if let Some(tuning) = &plan.tuning {
            print_text(&format!("{}\n", tuning.outlook(&plan.suite)))?;
        }
        for (index, workload) in plan.workloads.iter().enumerate() {
            let Goal { target, budget } = &workload.goal;
            let headline = format!(
                "{}  {} {} on validation ({}), budget {} samples, evaluated every {}",
                workload.label,
                target.metric,
                reports::given(target.value),
                target.origin,
                budget.samples,
                budget.evaluate_every
            );
            print_text(&format!("\n{}\n", printable(&headline)))?;
            let costs = cost.per_run[index].iter();
            let rows = plan.arms_on(workload).zip(costs).map(|(planned, seconds)| {
                let seconds = seconds.map_or_else(
                    || "not run yet".to_owned(),
                    |seconds| format!("{seconds:.1} s a run"),
                );
                let of_arm = plan.cells.iter().zip(&self.stock).filter(|(cell, _)| {
                    cell.workload == index && plan.arms[cell.arm].label == planned.label
                });
                let stock: Vec<Stock> = of_arm.map(|(_, stock)| *stock).collect();
                let short = planned.budget.map_or_else(String::new, |_| {
                    format!(", {} samples", planned.budgeted(workload).goal.budget.samples)
                });
                [
                    format!("  {}{short}", planned.label),
                    planned.method.clone(),
                    counted(plan.seeds.len(), "seed"),
                    held(&stock),
                    seconds,
                ]
            });
            print_table(["  arm", "method", "seeds", "in store", "cost, from the store"], rows)?;
        }
        self.print_estimates()?;
        plan.sections.changed.iter().for_each(|arm| warn(&arm.to_string()));
        self.warn_absent();
        Ok(())
    }

    fn print_estimates(&self) -> anyhow::Result<()> {
        let plan = self.plan;
        if plan.sections.estimates.is_empty() {
            return Ok(());
        }
        print_text("\n")?;
        let rows =
            plan.sections.estimates.iter().zip(&self.cost.estimates).map(|(entry, seconds)| {
                [
                    format!("  {}", entry.name),
                    entry.run.to_string(),
                    counted(plan.seeds.len(), "seed"),
                    entry
                        .last
                        .map_or("the whole run".to_owned(), |last| format!("last {last} steps")),
                    entry.true_runs().map_or("–".to_owned(), |runs| format!("{runs} a seed")),
                    seconds.map_or("not run yet".to_owned(), |seconds| {
                        format!("{seconds:.1} s a seed")
                    }),
                ]
            });
        let header =
            ["  order estimate", "run", "seeds", "window", "true runs", "cost, from the store"];
        print_table(header, rows)
    }

    fn print_json(&self) -> anyhow::Result<()> {
        let (plan, cost) = (self.plan, &self.cost);
        let cells = plan.cells.iter().zip(&self.stock).map(|(cell, stock)| {
            serde_json::json!({
                "workload": plan.workloads[cell.workload].label,
                "arm": plan.arms[cell.arm].label,
                "method": plan.arms[cell.arm].method,
                "settings": plan.arms[cell.arm].settings,
                "seed": cell.seed,
                "budget_samples": plan.workload(*cell).goal.budget.samples,
                "in_store": match stock {
                    Stock::Kept => "this build",
                    Stock::OtherBuild => "another build",
                    Stock::Missing => "no",
                },
            })
        });
        let due = self.due();
        print_json(&serde_json::json!({
            "suite": plan.suite,
            "question": plan.question,
            "suite_digest": plan.suite_digest,
            "estimated_seconds": cost.total(),
            "to_train": {
                "cells": due.cells, "seconds_at_least": due.seconds, "cells_of_unknown_cost": due.unknown,
            },
            "data_absent": self.absent.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "cells": cells.collect::<Vec<_>>(),
            "tuning": plan.tuning.as_ref().map(tuning_json),
            "estimates": plan.sections.estimates.iter().zip(&cost.estimates).map(|(entry, seconds)| {
                serde_json::json!({
                    "name": entry.name,
                    "run": entry.run,
                    "last": entry.last,
                    "true_runs": entry.true_runs(),
                    "seconds_a_seed": seconds,
                })
            }).collect::<Vec<_>>(),
        }))
    }
}

/// What is tried for each arm, and whether its settings were chosen.
fn tuning_json(tuning: &PlannedTuning) -> serde_json::Value {
    let arms = tuning.arms.iter().map(|arm| {
        serde_json::json!({
            "arm": arm.arm,
            "spaces": arm.spaces,
            "trials": tuning.trials_of(&arm.arm),
            "state": arm.state,
        })
    });
    serde_json::json!({
        "choose": tuning.asked.choose,
        "seeds": tuning.asked.seeds.0,
        "date": tuning.tuned.as_ref().map(|tuned| &tuned.date),
        "arms": arms.collect::<Vec<_>>(),
    })
}

/// `3 of 5`, `all`, `none`, with what is of another build beside it.
fn held(stock: &[Stock]) -> String {
    let count = |wanted| stock.iter().filter(|stock| **stock == wanted).count();
    let (kept, other) = (count(Stock::Kept), count(Stock::OtherBuild));
    let here = match kept {
        0 => "none".to_owned(),
        kept if kept == stock.len() => "all".to_owned(),
        kept => format!("{kept} of {}", stock.len()),
    };
    match (kept, other) {
        (_, 0) => here,
        (0, other) => format!("{other} of another build"),
        (_, other) => format!("{here}, {other} of another build"),
    }
}

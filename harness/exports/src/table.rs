//! The runs and their looks as tables of typed columns, for CSV and Parquet alike.
//!
//! Every number has all its digits; what a record does not say is empty in CSV and null in Parquet, and never a word.

pub mod csv;
#[cfg(feature = "parquet")]
pub mod parquet;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Batch, Run, as_text, scalars};

/// The values of a column, a row each.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Texts.
    Texts(Vec<Option<String>>),
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Whole numbers.
    Counts(Vec<Option<u64>>),
    /// Yes and no.
    Flags(Vec<Option<bool>>),
}

impl Values {
    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(all) => all.len(),
            Self::Numbers(all) => all.len(),
            Self::Counts(all) => all.len(),
            Self::Flags(all) => all.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A table: columns of equal length, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name, without an ending.
    pub name: &'static str,
    /// Names and values.
    pub columns: Vec<(String, Values)>,
}

impl Table {
    fn text<'a>(&mut self, name: &str, batch: &'a Batch, of: impl Fn(&'a Run) -> Option<String>) {
        let values = batch.runs.iter().map(of).collect();
        self.columns.push((name.to_owned(), Values::Texts(values)));
    }

    fn number(&mut self, name: &str, batch: &Batch, of: impl Fn(&Run) -> Option<f64>) {
        let values = batch.runs.iter().map(of).collect();
        self.columns.push((name.to_owned(), Values::Numbers(values)));
    }

    fn count(&mut self, name: &str, batch: &Batch, of: impl Fn(&Run) -> Option<u64>) {
        let values = batch.runs.iter().map(of).collect();
        self.columns.push((name.to_owned(), Values::Counts(values)));
    }
}

/// Both tables.
#[must_use]
pub fn all(batch: &Batch) -> [Table; 2] {
    [runs(batch), evaluations(batch)]
}

/// One row per run: what it was, how it ended, every metric at the end, every setting, and its digests.
#[must_use]
pub fn runs(batch: &Batch) -> Table {
    let mut table = Table { name: "runs", columns: Vec::new() };
    let some = |text: &str| Some(text.to_owned());
    table.text("run", batch, |run| some(&run.record.cell));
    table.text("suite", batch, |run| some(&run.record.suite));
    table.text("workload", batch, |run| some(&run.workload));
    table.text("arm", batch, |run| some(&run.arm));
    table.text("method", batch, |run| some(&run.record.method));
    table.text("seed", batch, |run| some(&run.record.seed));
    table.text("status", batch, |run| some(run.record.status.name()));
    table.text("target_metric", batch, |run| some(&run.record.goal.target.metric));
    table.number("target", batch, |run| Some(run.record.goal.target.value));
    let higher = batch.runs.iter().map(|run| Some(run.record.goal.target.direction.is_higher()));
    table.columns.push(("higher_is_better".to_owned(), Values::Flags(higher.collect())));
    table.number("time_to_target", batch, |run| run.record.time_to_target?.isotonic);
    table.number("samples_to_target", batch, |run| run.record.time_to_target?.samples);
    table.number("train_seconds", batch, |run| Some(run.record.clocks.train));
    table.number("eval_seconds", batch, |run| Some(run.record.clocks.eval));
    table.number("io_seconds", batch, |run| Some(run.record.clocks.io));
    table.number("total_seconds", batch, |run| Some(run.record.clocks.total));
    table.count("steps", batch, |run| Some(run.record.steps));
    table.count("samples", batch, |run| Some(run.record.samples));
    table.count("budget_samples", batch, |run| Some(run.record.goal.budget.samples));
    table.count("parameters", batch, |run| Some(run.record.parameter_count));
    table.count("started_unix", batch, |run| Some(run.record.environment.started_unix));
    let metrics = names(batch, |run| run.record.last.keys());
    for name in &metrics {
        table.number(name, batch, |run| run.record.last.get(name).copied());
    }
    let at_target = names(batch, |run| run.record.at_target.keys());
    for name in &at_target {
        let of = |run: &Run| run.record.at_target.get(name).copied();
        table.number(&format!("at_target:{name}"), batch, of);
    }
    // What it took in all of what it counts, which is what it had taken at its last look.
    let costs =
        |run: &'_ Run| run.evaluations.last().map(|look| look.costs.clone()).unwrap_or_default();
    let counted: BTreeSet<String> =
        batch.runs.iter().flat_map(|run| costs(run).into_keys()).collect();
    for name in &counted {
        table.count(&format!("cost:{name}"), batch, |run| costs(run).get(name).copied());
    }
    for (kind, of) in [("setting", method_settings as Settings), ("workload_setting", own_settings)]
    {
        for name in names(batch, |run| of(run).keys()) {
            let values = settings(batch.runs.iter().map(|run| of(run).get(&name)));
            table.columns.push((format!("{kind}:{name}"), values));
        }
    }
    table.text("device", batch, |run| some(&run.record.environment.device));
    table.text("cpu", batch, |run| some(&run.record.environment.cpu));
    table.count("threads", batch, |run| Some(u64::from(run.record.environment.threads)));
    table.text("program", batch, |run| run.record.environment.program());
    table.text("code_digest", batch, |run| some(&run.record.environment.code_digest));
    table.text("suite_digest", batch, |run| Some(run.record.suite_digest.to_string()));
    table.text("train_root", batch, |run| {
        run.record.data.as_ref().map(|data| data.train_root.to_string())
    });
    table.text("order_law", batch, |run| {
        run.record.order.as_ref().map(|order| order.law.name().to_owned())
    });
    table.text("commitment", batch, |run| {
        run.record.order.as_ref().map(|order| order.commitment.to_string())
    });
    table.text("chain", batch, |run| {
        let last = run.record.order.as_ref()?.chain.last()?;
        Some(last.chain.to_string())
    });
    table.text("parameters_sha256", batch, |run| {
        run.record.parameters_sha256.map(|digest| digest.to_string())
    });
    table.text("run_digest", batch, |run| Some(run.digest.to_string()));
    table
}

/// One row per metric of every look, in the order of the run: the curves in full.
#[must_use]
pub fn evaluations(batch: &Batch) -> Table {
    let rows = || {
        let looks = batch
            .runs
            .iter()
            .flat_map(|run| run.evaluations.iter().map(move |evaluation| (run, evaluation)));
        looks.flat_map(|(run, evaluation)| {
            scalars(evaluation).map(move |(name, value)| (run, evaluation, name, value))
        })
    };
    let text = |of: fn(&Run) -> &str| {
        Values::Texts(rows().map(|(run, ..)| Some(of(run).to_owned())).collect())
    };
    let counts = |of: fn(&ledger::record::format::Evaluation) -> u64| {
        Values::Counts(rows().map(|(_, evaluation, ..)| Some(of(evaluation))).collect())
    };
    let seconds = |of: fn(&ledger::record::format::ClockSeconds) -> f64| {
        Values::Numbers(rows().map(|(_, evaluation, ..)| Some(of(&evaluation.clocks))).collect())
    };
    let columns = [
        ("run", text(|run| &run.record.cell)),
        ("workload", text(|run| &run.workload)),
        ("arm", text(|run| &run.arm)),
        ("seed", text(|run| &run.record.seed)),
        ("samples", counts(|evaluation| evaluation.samples)),
        ("steps", counts(|evaluation| evaluation.steps)),
        ("train_seconds", seconds(|clocks| clocks.train)),
        ("total_seconds", seconds(|clocks| clocks.total)),
        ("metric", Values::Texts(rows().map(|(_, _, name, _)| Some(name.into_owned())).collect())),
        ("value", Values::Numbers(rows().map(|(.., value)| Some(value)).collect())),
    ];
    let columns = columns.into_iter().map(|(name, values)| (name.to_owned(), values));
    Table { name: "evaluations", columns: columns.collect() }
}

type Settings = fn(&Run) -> &ledger::settings::Values;

fn method_settings(run: &Run) -> &ledger::settings::Values {
    &run.record.settings
}

fn own_settings(run: &Run) -> &ledger::settings::Values {
    &run.record.workload_settings
}

/// All names that any run has.
fn names<'a, I: Iterator<Item = &'a String>>(
    batch: &'a Batch,
    of: impl Fn(&'a Run) -> I,
) -> BTreeSet<String> {
    batch.runs.iter().flat_map(of).cloned().collect()
}

/// A column of one setting: numbers where all that there are are numbers, and so on; else texts.
fn settings<'a>(values: impl Iterator<Item = Option<&'a Value>> + Clone) -> Values {
    let there = || values.clone().flatten();
    if there().all(|value| value.as_u64().is_some()) {
        return Values::Counts(values.map(|value| value?.as_u64()).collect());
    }
    if there().all(Value::is_number) {
        return Values::Numbers(values.map(|value| value?.as_f64()).collect());
    }
    if there().all(Value::is_boolean) {
        return Values::Flags(values.map(|value| value?.as_bool()).collect());
    }
    Values::Texts(values.map(|value| value.map(as_text)).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sample;

    pub(crate) fn column<'a>(table: &'a Table, name: &str) -> &'a Values {
        let found = table.columns.iter().find(|(column, _)| column == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    #[test]
    fn every_column_of_a_table_has_a_row_for_each_run_and_a_name_of_its_own() {
        let batch = sample::batch();
        let table = runs(&batch);
        assert!(table.columns.iter().all(|(_, values)| values.len() == batch.runs.len()));
        let names: BTreeSet<_> = table.columns.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), table.columns.len());
    }

    #[test]
    fn metrics_settings_and_digests_are_typed_and_what_there_is_not_is_absent() {
        let batch = sample::batch();
        let table = runs(&batch);
        let accuracy = [Some(0.9375), Some(0.9375), Some(0.9375), None].to_vec();
        assert_eq!(column(&table, "validation/accuracy"), &Values::Numbers(accuracy));
        let times = [Some(1.1), Some(1.1), Some(1.1), None].to_vec();
        assert_eq!(column(&table, "time_to_target"), &Values::Numbers(times));
        assert_eq!(column(&table, "setting:lr"), &Values::Numbers(vec![Some(0.05); 4]));
        assert_eq!(column(&table, "setting:nesterov"), &Values::Flags(vec![Some(true); 4]));
        assert_eq!(column(&table, "setting:seed"), &Values::Counts(vec![Some(7); 4]));
        let betas = Some("[0.9,0.95]".to_owned());
        assert_eq!(column(&table, "setting:betas"), &Values::Texts(vec![betas; 4]));
        assert_eq!(column(&table, "workload_setting:width"), &Values::Counts(vec![Some(32); 4]));
        let digests = batch.runs.iter().map(|run| Some(run.digest.to_string())).collect();
        assert_eq!(column(&table, "run_digest"), &Values::Texts(digests));
        assert_eq!(column(&table, "commitment"), &Values::Texts(vec![None; 4]));
    }

    #[test]
    fn a_setting_that_only_some_arms_have_or_that_changes_its_kind_stays_one_column() {
        let (one, two) = (Value::from(1), Value::from("two"));
        let mixed = [Some(&one), None, Some(&two)].into_iter();
        let texts = [Some("1"), None, Some("two")].map(|text| text.map(str::to_owned)).to_vec();
        assert_eq!(settings(mixed), Values::Texts(texts));
        let half = Value::from(0.5);
        assert_eq!(
            settings([Some(&one), None, Some(&half)].into_iter()),
            Values::Numbers(vec![Some(1.0), None, Some(0.5)])
        );
    }

    #[test]
    fn what_runs_count_is_a_column_of_what_it_came_to_and_rows_along_them() {
        let mut batch = sample::batch();
        for (count, evaluation) in (1..).zip(&mut batch.runs[1].evaluations) {
            evaluation.costs.insert("forward_tokens".to_owned(), 100 * count);
        }
        let last = batch.runs[1].evaluations.len() as u64 * 100;
        let counts = [None, Some(last), None, None].to_vec();
        assert_eq!(column(&runs(&batch), "cost:forward_tokens"), &Values::Counts(counts));
        let table = evaluations(&batch);
        let Values::Texts(metrics) = column(&table, "metric") else { panic!() };
        let Values::Numbers(values) = column(&table, "value") else { panic!() };
        let named = metrics
            .iter()
            .zip(values)
            .filter(|(name, _)| name.as_deref() == Some("cost/forward_tokens"));
        let found: Vec<f64> = named.filter_map(|(_, value)| *value).collect();
        assert_eq!((found.first(), found.last()), (Some(&100.0), Some(&(last as f64))));
    }

    #[test]
    fn curves_have_a_row_for_every_number_of_every_look() {
        let batch = sample::batch();
        let table = evaluations(&batch);
        let rows: usize =
            batch.runs.iter().flat_map(|run| &run.evaluations).map(|it| scalars(it).count()).sum();
        assert!(table.columns.iter().all(|(_, values)| values.len() == rows), "{rows}");
        let Values::Numbers(values) = column(&table, "value") else { panic!() };
        assert_eq!(values[..3], [Some(0.1), Some(0.75), Some(0.6)]);
        let Values::Texts(metrics) = column(&table, "metric") else { panic!() };
        assert_eq!(metrics[2].as_deref(), Some("train/loss"));
    }
}

//! Tables of arms, of runs, of membership tests and of power curves as RFC 4180 CSV.

use std::collections::BTreeSet;

use analysis::suite::CompareBy;
use analysis::summary::membership::{MembershipAnalysis, MembershipSeed, TestOutcome};
use analysis::summary::order_estimates::{EstimateFound, Numbers};
use analysis::summary::power::Power;
use analysis::summary::{Analysis, Estimate, ToTarget};

use stats::estimates::agreement::Signal;

use crate::membership::access;
use crate::order_estimates::Row;
use crate::score::{profile_of, reasons};
use crate::text::ABSENT;

/// Columns of `arms.csv` before those of the metrics.
const ARM_COLUMNS: [&str; 38] = [
    "workload",
    "arm",
    "method",
    "baseline",
    "reached",
    "censored",
    "diverged",
    "failed",
    "reach_rate",
    "reach_rate_low",
    "reach_rate_high",
    "time_median",
    "time_geometric_mean",
    "time_low",
    "time_high",
    "time_interval_method",
    "time_restricted_mean",
    "time_horizon",
    "samples_median",
    "samples_geometric_mean",
    "samples_low",
    "samples_high",
    "samples_interval_method",
    "samples_restricted_mean",
    "samples_horizon",
    "speed_up",
    "speed_up_low",
    "speed_up_high",
    "speed_up_p",
    "speed_up_pairs",
    "test_at_crossing",
    "test_at_crossing_low",
    "test_at_crossing_high",
    "step_milliseconds",
    "step_milliseconds_low",
    "step_milliseconds_high",
    "order_law",
    "order_paired",
];

/// One row per workload and arm; times in seconds; then each metric at the budget, by its name, what runs took of
/// what they count, and the settings as JSON.
pub(crate) fn arms(analysis: &Analysis) -> String {
    let arms = || analysis.workloads.iter().flat_map(|workload| &workload.arms);
    let metrics: BTreeSet<&String> = arms().flat_map(|arm| arm.at_budget.keys()).collect();
    let mut columns: Vec<String> = ARM_COLUMNS.map(str::to_owned).to_vec();
    for metric in &metrics {
        columns.extend(["", "_low", "_high"].map(|end| field(&format!("{metric}{end}"))));
    }
    let costs: BTreeSet<&String> = arms().flat_map(|arm| arm.costs.keys()).collect();
    for cost in &costs {
        columns.extend(["", "_low", "_high"].map(|end| field(&format!("cost:{cost}{end}"))));
    }
    columns.push("settings".to_owned());
    let mut table = Table::new(&columns);
    for workload in &analysis.workloads {
        for arm in &workload.arms {
            table.text(&workload.workload);
            table.text(&arm.label);
            table.text(&arm.method);
            table.flag(Some(workload.baseline.as_ref() == Some(&arm.label)));
            let outcomes = &arm.outcomes;
            for count in [outcomes.reached, outcomes.censored, outcomes.diverged, outcomes.failed] {
                table.number(Some(f64::from(count)));
            }
            table.estimate(Some(&arm.reach_rate));
            table.target(&arm.time_to_target);
            table.target(&arm.samples_to_target);
            let speed = arm.speed_up.as_ref();
            table.number(speed.map(|s| s.ratio));
            table.number(speed.and_then(|s| s.interval).map(|i| i.low));
            table.number(speed.and_then(|s| s.interval).map(|i| i.high));
            table.number(speed.and_then(|s| s.p));
            table.number(speed.map(|s| f64::from(s.n)));
            table.estimate(arm.test_at_crossing.as_ref());
            table.estimate(arm.step_milliseconds.as_ref());
            table.text(&arm.order_law);
            table.flag(arm.order_paired);
            for metric in &metrics {
                table.estimate(arm.at_budget.get(*metric));
            }
            for cost in &costs {
                table.estimate(arm.costs.get(*cost).map(|cost| &cost.in_all));
            }
            // Never fails: names are texts, values are JSON.
            table.text(&serde_json::to_string(&arm.settings).unwrap_or_default());
            table.end_row();
        }
    }
    table.finished
}

/// One row per claim and workload; effects on the claim's scale.
pub(crate) fn claims(analysis: &Analysis) -> String {
    let header = [
        "claim",
        "statement",
        "workload",
        "arm",
        "baseline",
        "compared",
        "scale",
        "at_least",
        "effect",
        "low",
        "high",
        "p",
        "n",
        "verdict",
        "direction_shown",
        "expected",
        "reason",
    ];
    let mut table = Table::new(&header);
    for claim in &analysis.claims {
        for field in [
            &claim.id,
            &claim.statement,
            &claim.workload,
            &claim.arm,
            &claim.baseline,
            &claim.metric,
        ] {
            table.text(field);
        }
        table.text(if claim.scale == CompareBy::Ratio { "ratio" } else { "difference" });
        table.number(Some(claim.bar()));
        table.number(claim.effect);
        table.number(claim.interval.map(|i| i.low));
        table.number(claim.interval.map(|i| i.high));
        table.number(claim.p);
        table.count(Some(u64::from(claim.n)));
        table.text(claim.verdict.words());
        table.flag(Some(claim.direction_shown));
        table.text(claim.expected.words());
        table.text(&claim.why());
        table.end_row();
    }
    table.finished
}

/// One row per arm of each group of workloads; what is withheld is empty, with the reasons at the end.
pub(crate) fn scores(analysis: &Analysis) -> String {
    let numbers = [
        "profile_samples",
        "profile_time",
        "interquartile_mean",
        "improvement",
        "fewer_samples",
        "speed_up",
    ];
    let columns =
        numbers.iter().flat_map(|name| ["", "_low", "_high"].map(|end| format!("{name}{end}")));
    let first = ["workloads", "seeds", "baseline", "arm"].map(str::to_owned);
    let header: Vec<String> =
        first.into_iter().chain(columns).chain(["withheld".to_owned()]).collect();
    let mut table = Table::new(&header);
    for group in &analysis.score.groups {
        let withheld = reasons(group).join("; ");
        for arm in &group.arms {
            table.text(&group.workloads.join("; "));
            table.count(Some(u64::from(group.seeds)));
            table.text(group.baseline.found().map_or("", String::as_str));
            table.text(&arm.arm);
            let profiles = [&group.samples_profile, &group.time_profile];
            let against = arm.against.as_ref();
            let over = [
                Some(&arm.interquartile_mean),
                against.map(|against| &against.improvement),
                against.map(|against| &against.fewer_samples),
                against.map(|against| &against.speed_up),
            ];
            let over = over.map(|part| {
                let estimate = part?.found()?.estimate;
                Some((estimate.value, estimate.interval))
            });
            for found in profiles.map(|part| profile_of(part, &arm.arm)).into_iter().chain(over) {
                table.number(found.map(|(value, _)| value));
                table.number(found.map(|(_, interval)| interval.low));
                table.number(found.map(|(_, interval)| interval.high));
            }
            table.text(&withheld);
            table.end_row();
        }
    }
    table.finished
}

/// One row per cell; times in seconds, digests in full; then where its curve ends, every metric there, those at the
/// crossing, what it took of what it counts, and every setting of its arm.
pub(crate) fn runs(analysis: &Analysis) -> String {
    let rows = || analysis.runs.iter();
    let metrics: BTreeSet<&String> = rows().flat_map(|run| run.metrics.keys()).collect();
    let crossed: BTreeSet<&String> = rows().flat_map(|run| run.at_target.keys()).collect();
    let arms = || {
        let workloads = analysis.workloads.iter();
        workloads.flat_map(|workload| workload.arms.iter().map(move |arm| (workload, arm)))
    };
    let settings: BTreeSet<&String> = arms().flat_map(|(_, arm)| arm.settings.keys()).collect();
    let mut columns = RUN_COLUMNS.map(str::to_owned).to_vec();
    columns.extend(metrics.iter().map(|name| field(name)));
    columns.extend(crossed.iter().map(|name| field(&format!("at_target:{name}"))));
    let costs: BTreeSet<&String> = rows().flat_map(|run| run.costs.keys()).collect();
    columns.extend(costs.iter().map(|name| field(&format!("cost:{name}"))));
    columns.extend(settings.iter().map(|name| field(&format!("setting:{name}"))));
    let mut table = Table::new(&columns);
    for run in rows() {
        for field in [&run.workload, &run.arm, &run.seed, run.status_name(), &run.cell] {
            table.text(field);
        }
        for number in [run.time_to_target, run.at_budget, run.train_seconds] {
            table.number(number);
        }
        for digest in [&run.first_order_hash, &run.chain, &run.parameters, &run.run_digest] {
            table.text(digest.as_deref().unwrap_or(""));
        }
        table.count(run.samples);
        table.count(run.steps);
        table.number(run.total_seconds);
        table.number(run.train_loss);
        metrics.iter().for_each(|name| table.number(run.metrics.get(*name).copied()));
        crossed.iter().for_each(|name| table.number(run.at_target.get(*name).copied()));
        costs.iter().for_each(|name| table.count(run.costs.get(*name).copied()));
        let arm = arms()
            .find(|(workload, arm)| workload.workload == run.workload && arm.label == run.arm);
        for name in &settings {
            let value = arm.and_then(|(_, arm)| arm.settings.get(*name));
            let text = value.map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
            match value.and_then(serde_json::Value::as_f64) {
                // As it was written: a number of any size, with no apostrophe before a sign.
                Some(_) => table.raw(text),
                None => table.text(&text.unwrap_or_default()),
            }
        }
        table.end_row();
    }
    table.finished
}

/// Columns of `runs.csv` before those of metrics and settings.
const RUN_COLUMNS: [&str; 16] = [
    "workload",
    "arm",
    "seed",
    "status",
    "cell",
    "time_to_target",
    "at_budget",
    "train_seconds",
    "first_order_hash",
    "chain",
    "parameters",
    "run_digest",
    "samples",
    "steps",
    "total_seconds",
    "train_loss",
];

/// One row per point of the curves that the figures draw: the target's metric over seeds, by samples, by train
/// seconds and by what runs count; others by samples.
pub(crate) fn curves(analysis: &Analysis) -> String {
    let header = ["workload", "arm", "axis", "metric", "x", "mean", "low", "high", "seeds"];
    let mut table = Table::new(&header);
    for workload in &analysis.workloads {
        let metric = workload.target.key(&workload.split);
        for arm in &workload.arms {
            let own = [("samples", &arm.by_samples), ("train_seconds", &arm.by_time)];
            let own = own.map(|(axis, points)| (axis, &metric, points));
            let others = arm.metrics_by_samples.iter();
            let others = others.map(|(metric, points)| ("samples", metric, points));
            let costs = arm.costs.iter();
            let costs = costs.map(|(cost, over)| (cost.as_str(), &metric, &over.curve));
            for (axis, metric, points) in own.into_iter().chain(others).chain(costs) {
                for point in points {
                    for text in [&workload.workload, &arm.label, axis, metric] {
                        table.text(text);
                    }
                    for number in [point.x, point.mean, point.low, point.high] {
                        table.number(Some(number));
                    }
                    table.count(Some(u64::from(point.n)));
                    table.end_row();
                }
            }
        }
    }
    table.finished
}

/// One row per order estimate, seed and estimator; numbers that there are not are empty, and `inf` orders
/// never pay for a set-up.
pub(crate) fn estimates(analysis: &Analysis) -> String {
    let first = ["estimate", "run", "seed", "cell", "estimator", "validity", "signal"];
    let names = MEASURED.into_iter().chain(["bars", "expected"]);
    let mut table = Table::new(&first.into_iter().chain(names).collect::<Vec<_>>());
    for row in Row::all(analysis) {
        let (entry, seed) = (row.entry, row.seed);
        let texts = [&entry.name, &entry.run, &seed.seed, &seed.cell, estimator(&row.estimator)];
        texts.into_iter().for_each(|text| table.text(text));
        table.text(if row.validity == ABSENT { "" } else { &row.validity });
        let measured = row.found.map(|(found, place)| Measured::of(found, place));
        let measured = measured.unwrap_or_default();
        table.text(measured.signal);
        measured.numbers.into_iter().for_each(|number| table.number(number));
        table.text(&row.outcome);
        table.text(&entry.expected);
        table.end_row();
    }
    table.finished
}

/// The name of an estimator in a table: that of the null is what many readers take for no value.
fn estimator(name: &str) -> &str {
    match name {
        "null" => "null-estimator",
        ABSENT => "",
        name => name,
    }
}

/// Columns of numbers of an order estimate.
pub(crate) const MEASURED: [&str; 16] = [
    "held_out",
    "held_out_low",
    "held_out_high",
    "per_item",
    "relative_error",
    "mae_over_sd",
    "null_mae_over_sd",
    "best_sd",
    "descent_sd",
    "centred_r2",
    "median",
    "speed_up",
    "set_up",
    "break_even",
    "best_searched_sd",
    "descent_searched_sd",
];

/// What an estimator came to.
#[derive(Default)]
pub(crate) struct Measured {
    /// Whether orders make a difference that could be estimated; empty where nobody asked.
    signal: &'static str,
    /// Under [`MEASURED`].
    pub(crate) numbers: [Option<f64>; 16],
}

impl Measured {
    /// Of the estimator at `place`.
    pub(crate) fn of(found: &EstimateFound, place: usize) -> Self {
        let mut signal = "";
        let mut numbers = [None; 16];
        let source = match &found.numbers {
            Numbers::Orders(all) => {
                let Some(one) = all.get(place) else { return Self::default() };
                let agreement = &one.agreement;
                signal = match agreement.signal {
                    Signal::Present => "present",
                    Signal::NoOrderSignal => "none",
                    Signal::Failed => "failed",
                };
                let held_out = agreement.held_out.filter(|_| agreement.signal == Signal::Present);
                let interval = agreement.held_out_interval;
                numbers[..7].copy_from_slice(&[
                    held_out,
                    interval.map(|at| at.low),
                    interval.map(|at| at.high),
                    agreement.per_item.map(|items| items.mean),
                    agreement.relative_error,
                    agreement.mae_over_sd,
                    agreement.null_mae_over_sd,
                ]);
                &one.source
            }
            Numbers::Search(search) => {
                // The verdict is that of the split that was not searched.
                for (place, key) in [
                    (7, "best_sd"),
                    (8, "descent_sd"),
                    (14, "best_searched_sd"),
                    (15, "descent_searched_sd"),
                ] {
                    numbers[place] = found.number(key);
                }
                &search.source
            }
            Numbers::Position(curves) => {
                let own = curves.own_agreement.as_ref();
                numbers[9] = own.and_then(|own| own.centred_r2);
                numbers[10] = own.and_then(|own| own.median);
                &curves.source
            }
        };
        if let Some(cost) = &source.cost {
            let even = cost.break_even.unwrap_or(f64::INFINITY);
            numbers[11..14].copy_from_slice(&[Some(cost.speed_up), Some(cost.set_up), Some(even)]);
        }
        Self { signal, numbers }
    }
}

/// One row per membership test and seed; what was refused or not made has a reason and no p-value.
pub(crate) fn membership(analysis: &Analysis) -> String {
    let mut table = Table::new(&[
        "test",
        "statement",
        "run",
        "suspect",
        "reference",
        "access",
        "expected",
        "met",
        "combined_log10_p",
        "seed",
        "run_cell",
        "suspect_cell",
        "outcome",
        "metric",
        "statistic",
        "n",
        "ties",
        "tail",
        "adjust",
        "exact",
        "p",
        "log10_p",
        "holm_log10_p",
        "floor_log10_p",
        "randomness",
        "simulation",
        "curve_axis",
        "curve_line",
        "curve_at",
        "reason",
    ]);
    for test in &analysis.membership {
        for seed in &test.seeds {
            tested(&mut table, test, seed);
        }
    }
    table.finished
}

fn tested(table: &mut Table, test: &MembershipAnalysis, seed: &MembershipSeed) {
    for field in [&test.id, &test.statement, &test.run, &test.suspect] {
        table.text(field);
    }
    table.text(test.reference.as_deref().unwrap_or(""));
    table.text(access(test.access));
    table.text(&test.expected);
    table.flag(test.met);
    table.number(test.combined_log10_p);
    for field in [&seed.seed, &seed.run, &seed.suspect] {
        table.text(field);
    }
    let (outcome, finding, reason) = match &seed.outcome {
        TestOutcome::Found(finding) => ("found", Some(finding), ""),
        TestOutcome::Refused(reason) => ("refused", None, reason.as_str()),
        TestOutcome::Missing(reason) => ("missing", None, reason.as_str()),
    };
    table.text(outcome);
    table.text(finding.map_or("", |found| found.metric.name()));
    table.number(finding.map(|found| found.statistic));
    table.count(finding.map(|found| found.n));
    table.count(finding.map(|found| found.ties));
    table.text(finding.map_or("", |found| found.tail.name()));
    table.text(finding.map_or("", |found| found.adjust.name()));
    table.flag(finding.map(|found| found.exact));
    table.number(finding.map(|found| found.p));
    table.number(finding.map(|found| found.log10_p));
    table.number(seed.holm_log10_p);
    table.number(finding.and_then(|found| found.floor_log10_p));
    table.text(finding.map_or("", |found| found.randomness.as_str()));
    table.flag(finding.map(|found| found.simulation));
    let curve = test.curve.as_ref();
    table.text(curve.map_or("", |curve| curve.axis.as_str()));
    table.text(curve.map_or("", |curve| curve.line.as_str()));
    table.number(curve.map(|curve| curve.at));
    table.text(reason);
    table.end_row();
}

/// One row per point of a power curve.
pub(crate) fn power(power: &Power) -> String {
    let header = ["axis", "line", "at", "median_log10_p", "low_log10_p", "high_log10_p", "seeds"];
    let mut table = Table::new(&header);
    for curve in &power.curves {
        for line in &curve.lines {
            for point in &line.points {
                table.text(&curve.axis);
                table.text(&line.line);
                for number in [point.at, point.median, point.low, point.high] {
                    table.number(Some(number));
                }
                table.count(Some(point.log10_ps.len() as u64));
                table.end_row();
            }
        }
    }
    table.finished
}

/// A table in the making.
pub(crate) struct Table {
    pub(crate) finished: String,
    row: Vec<String>,
}

impl Table {
    pub(crate) fn new(header: &[impl AsRef<str>]) -> Self {
        let names: Vec<&str> = header.iter().map(AsRef::as_ref).collect();
        Self { finished: format!("{}\r\n", names.join(",")), row: Vec::new() }
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.row.push(field(text));
    }

    /// Shortest decimal that reads back as the same double; empty where absent.
    pub(crate) fn number(&mut self, value: Option<f64>) {
        let shown = value.map(|v| match v.abs() {
            // Without an exponent a small p-value would be hundreds of zeros.
            size if size > 0.0 && size < 1e-5 => format!("{v:e}"),
            _ => v.to_string(),
        });
        self.row.push(shown.unwrap_or_default());
    }

    /// What is a number already.
    fn raw(&mut self, text: Option<String>) {
        self.row.push(text.unwrap_or_default());
    }

    fn count(&mut self, value: Option<u64>) {
        self.row.push(value.map(|v| v.to_string()).unwrap_or_default());
    }

    pub(crate) fn flag(&mut self, value: Option<bool>) {
        self.row.push(value.map(|v| v.to_string()).unwrap_or_default());
    }

    fn estimate(&mut self, estimate: Option<&Estimate>) {
        let interval = estimate.and_then(|e| e.interval);
        self.number(estimate.map(|e| e.value));
        self.number(interval.map(|i| i.low));
        self.number(interval.map(|i| i.high));
    }

    fn target(&mut self, value: &ToTarget) {
        self.number(value.median);
        self.number(value.geometric_mean);
        self.number(value.interval.map(|i| i.low));
        self.number(value.interval.map(|i| i.high));
        self.text(&value.interval_method);
        self.number(value.restricted_mean);
        self.number(Some(value.horizon));
    }

    pub(crate) fn end_row(&mut self) {
        self.finished.push_str(&self.row.join(","));
        self.finished.push_str("\r\n");
        self.row.clear();
    }
}

/// One field, quoted where RFC 4180 asks for it.
///
/// A leading `=`, `+`, `-`, `@`, tab or carriage return would make a spreadsheet run the text as a
/// formula; an apostrophe before it stops that.
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) || !guard.is_empty() {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_count_is_in_the_tables_of_arms_of_runs_and_of_curves() {
        let analysis = crate::sample::recorded();
        let cells = |table: &str, name: &str| -> Vec<String> {
            let mut rows = table.lines().map(|row| row.split(',').collect::<Vec<_>>());
            let at = rows.next().unwrap().iter().position(|column| *column == name).unwrap();
            rows.map(|row| row[at].to_owned()).collect()
        };
        let cost = &analysis.workloads[0].arms[0].costs["forward_tokens"];
        let of_arms = cells(&arms(&analysis), "cost:forward_tokens");
        assert_eq!(of_arms[0].parse(), Ok(cost.in_all.value));
        assert_eq!(of_arms[3], "", "one that trains nothing takes nothing");
        let of_runs = cells(&runs(&analysis), "cost:forward_tokens");
        assert_eq!(of_runs[0].parse(), Ok(cost.in_all.values[0].trunc()));
        let table = curves(&analysis);
        let rows = cells(&table, "axis").iter().filter(|axis| *axis == "forward_tokens").count();
        let points =
            analysis.workloads[0].arms.iter().filter_map(|arm| arm.costs.get("forward_tokens"));
        assert_eq!(rows, points.map(|cost| cost.curve.len()).sum::<usize>());
        assert!(rows > 30);
    }

    #[test]
    fn fields_are_quoted_as_rfc_4180_says() {
        assert_eq!(field("sgd"), "sgd");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"hi\"\nagain"), "\"say \"\"hi\"\"\nagain\"");
    }

    #[test]
    fn a_deep_p_value_is_short_and_reads_back() {
        let mut table = Table::new(&["p", "x", "y"]);
        [Some(2.5e-120), Some(0.25), None].into_iter().for_each(|value| table.number(value));
        table.end_row();
        assert_eq!(table.finished, "p,x,y\r\n2.5e-120,0.25,\r\n");
    }

    #[test]
    fn the_null_estimator_is_no_missing_value() {
        // What pandas takes for missing, quoted or not.
        let missing =
            ["", "#N/A", "N/A", "NA", "NaN", "None", "n/a", "nan", "null", "NULL", "<NA>"];
        assert!(!missing.contains(&estimator("null")));
        assert_eq!((estimator("surrogate"), estimator(ABSENT)), ("surrogate", ""));
    }

    #[test]
    fn spreadsheet_formula_becomes_text() {
        assert_eq!(field("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
    }
}

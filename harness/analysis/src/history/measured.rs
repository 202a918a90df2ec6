//! What a history keeps of a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Better, Measured, Metric};
use crate::regress::Snapshot;
use crate::regress::metric::Class;
use ledger::digest::Digest;
use ledger::goal::Direction;

/// What a snapshot gives a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The entry.
    pub measured: Measured,
    /// Metrics that were left out because a cell failed, was disturbed or did not measure them: a
    /// median over fewer seeds than before is another quantity.
    pub left_out: Vec<String>,
}

/// The numbers of `snapshot` as an entry for `commit`, named `workload/arm/metric`, one value per
/// seed and round. Texts (digests) have no level and stay in the snapshot. Counts and what is only
/// shown are watched without a better way.
#[must_use]
pub fn measured(snapshot: &Snapshot, commit: &str, suite_digest: Digest) -> Kept {
    let mut cells: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut metrics: BTreeMap<(&str, &str, &str), Metric> = BTreeMap::new();
    let mut named: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
    for cell in &snapshot.cells {
        *cells.entry((&cell.workload, &cell.arm)).or_default() += 1;
        for metric in &cell.metrics {
            let Some(value) = metric.value.number() else { continue };
            let name = (cell.workload.as_str(), cell.arm.as_str(), metric.name.as_str());
            named.insert(name);
            if cell.disturbed && metric.class == Class::Time {
                continue;
            }
            let better = match (metric.class, metric.direction) {
                (Class::Exact | Class::Info, _) | (_, None) => Better::Neither,
                (_, Some(Direction::LowerIsBetter)) => Better::Lower,
                (_, Some(Direction::HigherIsBetter)) => Better::Higher,
            };
            let unit = metric.unit.clone();
            let entry = metrics.entry(name);
            entry.or_insert(Metric { unit, better, values: Vec::new() }).values.push(value);
        }
    }
    let whole = |(workload, arm, _): &(&str, &str, &str), values: usize| {
        cells.get(&(*workload, *arm)).is_some_and(|cells| *cells == values)
    };
    let shown = |(workload, arm, metric): &(&str, &str, &str)| format!("{workload}/{arm}/{metric}");
    metrics.retain(|name, metric| whole(name, metric.values.len()));
    let left_out = named.iter().filter(|name| !metrics.contains_key(*name)).map(shown).collect();
    let metrics = metrics.iter().map(|(name, metric)| (shown(name), metric.clone())).collect();
    let (commit, software) = (commit.to_owned(), snapshot.machine.software.clone());
    Kept { measured: Measured { commit, suite_digest, software, metrics }, left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regress::Machine;
    use crate::regress::metric::{self, Value};
    use crate::regress::snapshot::Cell;

    fn value(name: &str, class: Class, value: Value) -> metric::Metric {
        metric::Metric {
            name: name.to_owned(),
            class,
            unit: "s".to_owned(),
            direction: Some(Direction::LowerIsBetter),
            tolerance: None,
            margin: None,
            best: None,
            value,
        }
    }

    fn cell(seed: &str, disturbed: bool, metrics: Vec<metric::Metric>) -> Cell {
        Cell {
            workload: "w".to_owned(),
            arm: "a".to_owned(),
            seed: seed.to_owned(),
            round: 0,
            config: Digest::of(b"config"),
            code: None,
            failed: None,
            disturbed,
            metrics,
        }
    }

    fn kept(cells: Vec<Cell>) -> Kept {
        let machine = Machine::new(BTreeMap::new());
        let snapshot = Snapshot::new("s".to_owned(), machine, None, None, cells).unwrap();
        measured(&snapshot, &"0".repeat(40), Digest::of(b"suite"))
    }

    #[test]
    fn numbers_are_kept_by_seed_and_digests_are_not() {
        let all = |time: f64| {
            vec![
                value("loss", Class::Quality, Value::Number(time)),
                value("order", Class::Exact, Value::Text("0".to_owned())),
                value("steps", Class::Exact, Value::Count(4)),
                value("memory", Class::Info, Value::Count(9)),
            ]
        };
        let kept = kept(vec![cell("0", false, all(1.0)), cell("1", false, all(2.0))]);
        let metrics = kept.measured.metrics;
        let names: Vec<&str> = metrics.keys().map(String::as_str).collect();
        assert_eq!(names, ["w/a/loss", "w/a/memory", "w/a/steps"]);
        assert_eq!(metrics["w/a/loss"].values, [1.0, 2.0]);
        assert_eq!(metrics["w/a/loss"].better, Better::Lower);
        assert_eq!(metrics["w/a/steps"].better, Better::Neither);
        assert_eq!(metrics["w/a/memory"].better, Better::Neither);
        assert!(kept.left_out.is_empty());
    }

    #[test]
    fn a_metric_that_lacks_a_seed_is_left_out_by_name() {
        let time = || vec![value("time", Class::Time, Value::Number(1.0))];
        let one = kept(vec![cell("0", false, time()), cell("1", false, Vec::new())]);
        assert_eq!(one.left_out, ["w/a/time"]);
        let disturbed = kept(vec![cell("0", false, time()), cell("1", true, time())]);
        assert_eq!(disturbed.left_out, ["w/a/time"]);
        assert!(disturbed.measured.metrics.is_empty());
    }
}

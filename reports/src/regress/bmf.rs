//! Bencher Metric Format: benchmark, measure, value and its bounds; numbers of the head only.

use std::collections::BTreeMap;

use analysis::regress::Report;
use analysis::regress::metric::Value;
use serde_json::{Value as Json, json};

/// `{"arm / workload": {"metric": {"value": …}}}`.
pub(super) fn metrics(report: &Report) -> BTreeMap<String, BTreeMap<String, Json>> {
    let mut all: BTreeMap<String, BTreeMap<String, Json>> = BTreeMap::new();
    for row in &report.rows {
        if let Some(value) = row.head.as_ref().and_then(Value::number) {
            let benchmark = format!("{} / {}", row.name.arm, row.name.workload);
            let measures = all.entry(benchmark).or_default();
            measures.insert(row.name.metric.clone(), json!({ "value": value }));
        }
    }
    all
}

//! Bencher Metric Format: `{"benchmark": {"measure": {"value": 1.0, "lower_value": 0.9}}}`.
//!
//! Bounds are what the tool made of its samples, and not samples: they are passed over. The measures that
//! come with Bencher have a unit and a direction (bencher.dev/docs/explanation/benchmarking, built-in
//! measures); of others neither is known.

use ledger::goal::Direction::{self, HigherIsBetter, LowerIsBetter};
use serde::Deserialize;

use super::{Form, Results};
use crate::json::{self, Pairs};
use crate::wrong::{Wrong, fits};

#[derive(Deserialize)]
struct Metric {
    value: Option<f64>,
}

/// Unit and direction of a measure.
fn known(measure: &str) -> (&'static str, Option<Direction>) {
    match measure {
        "latency" => ("ns", Some(LowerIsBetter)),
        "throughput" => ("1/s", Some(HigherIsBetter)),
        "build-time" => ("s", Some(LowerIsBetter)),
        "file-size" => ("bytes", Some(LowerIsBetter)),
        "instructions" | "estimated-cycles" | "total-accesses" | "ram-accesses" => {
            ("1", Some(LowerIsBetter))
        }
        _ => ("1", None),
    }
}

pub(super) fn read(file: &str, text: &str) -> Result<Results, Wrong> {
    let Pairs(benchmarks) = json::read::<Pairs<Pairs<Metric>>>(file, 1, text)?;
    let mut results = Results::of(Form::Bmf);
    for (benchmark, Pairs(measures)) in benchmarks {
        for (measure, Metric { value }) in measures {
            let (unit, better) = known(&measure.to_lowercase());
            fits(file, None, &benchmark, benchmark.len() + 1 + measure.len())?;
            let name = format!("{benchmark}/{measure}");
            results.put(name, unit, better, value.into_iter().collect());
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurements::read;

    #[test]
    fn measures_that_come_with_the_tool_have_unit_and_direction_and_others_not() {
        let text = r#"{"parse": {"latency": {"value": 88.0, "lower_value": 87.4, "upper_value": 88.9},
            "rows": {"value": 3}}, "draw": {"throughput": {"value": 5.5}, "broken": {"value": null}}}"#;
        let results = read("b.json", text, None).unwrap();
        assert_eq!(results.form, Form::Bmf);
        let told: Vec<_> = results
            .measurements
            .iter()
            .map(|one| (one.name.as_str(), one.unit.as_str(), one.better, one.samples.as_slice()))
            .collect();
        assert_eq!(
            told,
            [
                ("parse/latency", "ns", Some(LowerIsBetter), &[88.0][..]),
                ("parse/rows", "1", None, &[3.0][..]),
                ("draw/throughput", "1/s", Some(HigherIsBetter), &[5.5][..]),
            ]
        );
        assert_eq!(results.without, ["draw/broken"]);
    }

    #[test]
    fn what_is_no_metric_is_told_with_its_line() {
        let told = |text: &str| read("b.json", text, Some(Form::Bmf)).unwrap_err().to_string();
        let words = told("{\"a\": {\"latency\":\n {\"value\": \"fast\"}}}");
        assert!(words.starts_with("b.json:2: ") && words.contains("fast"), "{words}");
        assert!(told("{\"a\": {\"m\": {\"value\": 1}}, \"a\": {}}").contains("given twice"));
        assert!(told("{\"a\": {\"m\": {}}}").contains("no benchmark in it has a value: a/m"));
        assert!(told("{}").contains("no benchmark"));
        let long = format!("{{\"{}\": {{\"m\": {{\"value\": 1}}}}}}", "b".repeat(1000));
        assert!(told(&long).contains("has 1002 bytes"), "{}", told(&long));
        assert!(told("{\"a\\u001b\": {\"m\": {\"value\": 1}}}").contains("a\\u{1b}/m"));
    }
}

//! What `report` and `list` leave for machines is what docs/outputs.md and docs/schemas say.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, TINY, root};

fn schema(name: &str) -> Value {
    let path = root().join("docs/schemas").join(format!("{name}.schema.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Where a document is not what its schema says: as much of JSON Schema as ours use, and a stop at anything else.
fn faults(value: &Value, schema: &Value, whole: &Value, at: &str, found: &mut Vec<String>) {
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" => {}
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                faults(value, &whole["$defs"][name], whole, at, found);
            }
            "type" => {
                let names = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                let fits = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    other => panic!("type {other}"),
                };
                if !names.iter().any(fits) {
                    found.push(format!("{at}: {value} is no {rule}"));
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    found.push(format!("{at}: {value} is none of {rule}"));
                }
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    faults(item, rule, whole, &format!("{at}[{place}]"), found);
                }
            }
            "required" => {
                let fields = value.as_object();
                for name in rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
                    if fields.is_some_and(|fields| !fields.contains_key(name)) {
                        found.push(format!("{at}: no {name}"));
                    }
                }
            }
            "additionalProperties" => {}
            other => panic!("{other} is no word of these schemas"),
        }
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let below = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => {
                found.push(format!("{below} is not in the schema"))
            }
            (Value::Null, rule @ Value::Object(_)) => faults(field, rule, whole, &below, found),
            (Value::Null, _) => {}
            (rule, _) => faults(field, rule, whole, &below, found),
        }
    }
}

fn check(value: &Value, name: &str) -> Vec<String> {
    let (schema, mut found) = (schema(name), Vec::new());
    faults(value, &schema, &schema, name, &mut found);
    found
}

#[test]
fn documents_for_machines_are_what_their_schemas_say() {
    let bench = Bench::with_run(&format!("{TINY}{CLAIM}"));
    let none: [String; 0] = [];
    bench.run(&["report", "suite.yaml"]).ends(0);
    let analysis = fs::read(bench.path("runs/reports/tiny/analysis.json")).unwrap();
    let analysis: Value = serde_json::from_slice(&analysis).unwrap();
    assert_eq!(check(&analysis, "analysis"), none);
    assert_eq!(
        (analysis["claims"].as_array().unwrap().len(), analysis["runs"].as_array().unwrap().len()),
        (1, 4)
    );
    let row = &analysis["runs"][0];
    let record = bench.store().record(row["cell"].as_str().unwrap()).unwrap();
    assert_eq!(row["metrics"]["test/accuracy"].as_f64(), Some(record.last["test/accuracy"]));
    assert_eq!(row["steps"].as_u64(), Some(record.steps));
    let runs = bench.run(&["list", "runs", "--json"]).ends(0).json();
    assert_eq!(check(&runs, "list-runs"), none);
    let suite_runs = bench.run(&["list", "suite-runs", "--json"]).ends(0).json();
    assert_eq!(
        (check(&suite_runs, "list-suite-runs"), suite_runs[0]["cells"].as_u64()),
        (vec![], Some(4))
    );
    bench.run(&["export", "suite.yaml", "--to", "csv", "--out", "out"]).ends(0);
    let mark = fs::read(bench.path("out/palimpsest-export.json")).unwrap();
    assert_eq!(check(&serde_json::from_slice(&mark).unwrap(), "export-mark"), none);

    // What does not fit is found: a text for a number, a key too many, one too few.
    bench.write(&format!("runs/{}/record.json", bench.cells()[0]), "{");
    let damaged = bench.run(&["list", "runs", "--json"]).ends(0).json();
    assert_eq!(check(&damaged, "list-runs"), none);
    assert_eq!(damaged[0]["status"], "damaged");
    let mut wrong = runs.clone();
    wrong[0]["time_to_target"] = "–".into();
    wrong[1]["more"] = 1.into();
    wrong[2].as_object_mut().unwrap().remove("arm");
    assert_eq!(check(&wrong, "list-runs").len(), 3, "{:?}", check(&wrong, "list-runs"));
}

const CLAIM: &str = "\
claims:
  - id: sooner
    statement: AdamW needs fewer samples
    paper: { number: none, source: ours }
    arm: adamw
    baseline: sgd
    compare: samples-to-target
    at_least: 1.5
";

#[test]
fn every_column_that_a_report_writes_stands_in_the_documentation() {
    let page = fs::read_to_string(root().join("docs/outputs.md")).unwrap();
    let bench = Bench::with_run(&format!("{TINY}{CLAIM}"));
    bench.run(&["report", "suite.yaml", "--format", "csv,tex,md"]).ends(0);
    bench.run(&["export", "suite.yaml", "--to", "csv", "--out", "out"]).ends(0);
    let mut files = bench.files("runs/reports/tiny");
    assert_eq!(files.len(), 7, "{files:?}");
    files.retain(|file| file.ends_with(".csv"));
    let reported = files.iter().map(|file| format!("runs/reports/tiny/{file}"));
    let exported = ["out/runs.csv", "out/evaluations.csv"].map(str::to_owned);
    for file in reported.chain(exported) {
        let text = fs::read_to_string(bench.path(&file)).unwrap();
        for column in text.lines().next().unwrap().split(',') {
            // Metrics and settings are as many as there are.
            let name = match column.split_once(':') {
                Some((kind, _)) => format!("`{kind}:NAME`"),
                None if column.contains('/') => "`SPLIT/NAME`".to_owned(),
                None => format!("`{column}`"),
            };
            assert!(page.contains(&name), "{file}: {column} is not in docs/outputs.md");
        }
        let short = file.rsplit('/').next().unwrap();
        assert!(page.contains(&format!("`{short}`")), "{short}");
    }
    for entry in fs::read_dir(root().join("docs/schemas")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(page.contains(&format!("schemas/{name}")), "{name}");
    }
}

//! A results file of airspeed velocity (`api_version` 2): per benchmark a row whose columns
//! `result_columns` names. `result` has a value per combination of `params`, `null` where it failed and
//! `NaN` where it was passed over; `samples` has what was measured, where `--record-samples` kept it.
//!
//! Units stand in another file (`benchmarks.json`); the name tells the kind, as it tells asv itself: `time_`
//! and `timeraw_` are seconds, `mem_` and `peakmem_` bytes, `track_` is anything.

use ledger::goal::Direction::{self, LowerIsBetter};
use serde::Deserialize;
use serde_json::Value;

use super::{Form, Results};
use crate::json::{self, Pairs};
use crate::wrong::{Wrong, fits, listed, quoted};

/// Most combinations of parameters of all benchmarks of a file together.
const MOST_COMBINATIONS: usize = 100_000;

#[derive(Deserialize)]
struct File {
    commit_hash: Option<String>,
    python: Option<String>,
    params: Option<Machine>,
    result_columns: Vec<String>,
    results: Pairs<Vec<Value>>,
}

#[derive(Deserialize)]
struct Machine {
    cpu: Option<String>,
}

/// Unit and direction of a benchmark, by the kind that its name begins with.
fn kind(name: &str) -> (&'static str, Option<Direction>) {
    let last = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    match last.split('_').next().unwrap_or_default() {
        "time" | "timeraw" => ("s", Some(LowerIsBetter)),
        "mem" | "peakmem" => ("bytes", Some(LowerIsBetter)),
        _ => ("1", None),
    }
}

/// The combinations of parameters, the last one running fastest, as texts; one without any.
fn combinations(params: &[Vec<String>]) -> Vec<String> {
    let mut all = vec![String::new()];
    for values in params {
        let joined = |start: &String, value: &String| match start.is_empty() {
            true => value.clone(),
            false => format!("{start}, {value}"),
        };
        all = all
            .iter()
            .flat_map(|start| values.iter().map(move |value| joined(start, value)))
            .collect();
    }
    all
}

pub(super) fn read(file: &str, text: &str) -> Result<Results, Wrong> {
    let File { commit_hash, python, params, result_columns, results: Pairs(rows) } =
        json::read(file, 1, text)?;
    let column = |name: &str| result_columns.iter().position(|column| column == name);
    let Some(result) = column("result") else {
        let names = listed(result_columns.iter().map(String::as_str));
        return Err(Wrong::of(file, format!("result_columns has no \"result\", but: {names}")));
    };
    let mut results = Results::of(Form::Asv);
    let mut total = 0_usize;
    for (name, row) in rows {
        let refuse = |what: &str| Wrong::of(file, format!("benchmark {}: {what}", quoted(&name)));
        let cell = |column: Option<usize>| column.and_then(|column| row.get(column));
        let params: Vec<Vec<String>> = match cell(column("params")) {
            None | Some(Value::Null) => Vec::new(),
            Some(params) => serde_json::from_value(params.clone())
                .map_err(|_| refuse("its params are no lists of texts"))?,
        };
        let (unit, better) = kind(&name);
        let values = match row.get(result) {
            // The whole benchmark failed.
            None | Some(Value::Null) => {
                results.put(name, unit, better, Vec::new());
                continue;
            }
            Some(Value::Array(values)) => values.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        // Held to what the file has before any is made: few texts make many combinations of long names.
        let wanted = params.iter().try_fold(1_usize, |all, one| all.checked_mul(one.len()));
        total = total.saturating_add(wanted.unwrap_or(usize::MAX));
        let Some(wanted) = wanted.filter(|_| total <= MOST_COMBINATIONS) else {
            return Err(refuse(&format!(
                "it has too many parameters: at most {MOST_COMBINATIONS} combinations of a file are read"
            )));
        };
        if values.len() != wanted {
            let found = values.len();
            return Err(refuse(&format!("it has {found} results for {wanted} combinations")));
        }
        if wanted == 0 {
            continue;
        }
        let longest = |one: &Vec<String>| one.iter().map(String::len).max().unwrap_or_default() + 2;
        fits(file, None, &name, name.len() + params.iter().map(longest).sum::<usize>())?;
        let combinations = combinations(&params);
        let samples = cell(column("samples")).and_then(Value::as_array);
        for (place, (combination, value)) in combinations.iter().zip(values).enumerate() {
            let one = match combination.is_empty() {
                true => name.clone(),
                false => format!("{name}({combination})"),
            };
            let kept = samples.and_then(|all| all.get(place)?.as_array());
            let kept = kept.filter(|kept| !kept.is_empty()).map(|kept| {
                kept.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect::<Vec<_>>()
            });
            if !(value.is_number() || value.is_null()) {
                return Err(refuse(&format!(
                    "its result {} is no number",
                    quoted(&value.to_string())
                )));
            }
            results.put(one, unit, better, kept.unwrap_or(value.as_f64().into_iter().collect()));
        }
    }
    results.commit = commit_hash;
    results.cpu = params.and_then(|machine| machine.cpu).filter(|cpu| !cpu.is_empty());
    results.software.extend(python.map(|version| ("python".to_owned(), version)));
    Ok(results)
}

#[cfg(test)]
mod tests {
    use crate::measurements::read;

    fn file(results: &str) -> String {
        format!(
            r#"{{"commit_hash": "00", "python": "3.11", "params": {{"cpu": "A"}}, "version": 2,
               "result_columns": ["result", "params", "samples"], "results": {results}}}"#
        )
    }

    #[test]
    fn every_combination_of_parameters_is_a_measurement() {
        let text = file(
            r#"{"a.Suite.time_x": [[1.0, NaN, 3.0, null], [["1", "2"], ["'u'", "'v'"]]],
               "a.mem_y": [[5], [], [[4, 6]]], "a.track_z": [2.5], "a.time_w": null_row}"#,
        )
        .replace("null_row", "[null, []]");
        let results = read("r.json", &text, None).unwrap();
        let told: Vec<_> = results
            .measurements
            .iter()
            .map(|one| (one.name.as_str(), one.unit.as_str(), one.samples.as_slice()))
            .collect();
        assert_eq!(
            told,
            [
                ("a.Suite.time_x(1, 'u')", "s", &[1.0][..]),
                ("a.Suite.time_x(2, 'u')", "s", &[3.0][..]),
                ("a.mem_y", "bytes", &[4.0, 6.0][..]),
                ("a.track_z", "1", &[2.5][..]),
            ]
        );
        let without = ["a.Suite.time_x(1, 'v')", "a.Suite.time_x(2, 'v')", "a.time_w"];
        assert_eq!(results.without, without);
        assert_eq!(results.commit.as_deref(), Some("00"));
    }

    #[test]
    fn results_that_do_not_fit_their_parameters_are_refused() {
        let told = |results: &str| read("r.json", &file(results), None).unwrap_err().to_string();
        assert!(
            told(r#"{"time_x": [[1], [["1", "2"]]]}"#).contains("1 results for 2 combinations")
        );
        assert!(told(r#"{"time_x": [["fast"], []]}"#).contains("is no number"));
        assert!(told(r#"{"time_x": [[1], [[1]]]}"#).contains("no lists of texts"));
        let many = vec!["\"1\""; 400].join(",");
        let many = format!(r#"{{"time_x": [[1], [[{many}], [{many}]]]}}"#);
        assert!(told(&many).contains("too many parameters"));
        // None at all, of which the first ones are many.
        let none = told(&format!(
            r#"{{"time_x": [[], [[{0}], [{0}], [{0}], []]]}}"#,
            vec!["\"1\""; 9000].join(",")
        ));
        assert!(none.contains("it has no benchmark"), "{none}");
        // 300 × 300 long names, for one result.
        let long = vec![format!("\"{}\"", "v".repeat(400)); 300].join(",");
        let wide = told(&format!(r#"{{"time_x": [[1], [[{long}], [{long}]]]}}"#));
        assert!(wide.contains("1 results for 90000 combinations"), "{wide}");
        let value = "v".repeat(500);
        let long = told(&format!(r#"{{"time_x": [[1], [["{value}"], ["{value}"]]]}}"#));
        assert!(long.contains("has 1010 bytes"), "{long}");
        let none = file("{}").replace("\"result\",", "");
        assert!(read("r.json", &none, None).unwrap_err().to_string().contains("no \"result\""));
    }
}

//! Weights & Biases: a run's history, as CSV or as JSON lines, and the CSV that a chart exports.
//!
//! A chart's CSV has a run per column, `RUN - METRIC`, with `RUN - METRIC__MIN` and `…__MAX` beside it, and
//! its horizontal axis first. Where the two differ, a point stands for several looks, or for the runs of a
//! group: that is told.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::find::{Log, text};
use crate::json::{self, Pairs};
use crate::looks::{LoggedRun, Look, Wanted, count, lacks, no_arm_or_seed, number};
use crate::measurements::MOST_BYTES;
use crate::table::{self, MOST_CELLS, Table};
use crate::wrong::{At, Wrong, fits, listed, quoted};

/// Most names that the lines of a history may have together.
const MOST_NAMES: usize = 10_000;

/// What the axis of a chart is called that is a clock, in seconds.
const CLOCKS: [&str; 2] = ["Relative Time (Process)", "Relative Time (Wall)"];

pub(crate) fn read(log: &Log, wanted: &Wanted) -> Result<Vec<LoggedRun>, Wrong> {
    let (file, text) = (log.name.as_str(), text(&log.path, &log.name, MOST_BYTES)?);
    if text.trim_start().starts_with('{') {
        return table::runs(file, &history(file, &text, MOST_CELLS)?, wanted);
    }
    let table = table::parse(file, &text)?;
    if table.names.iter().any(|name| name.contains(" - ")) {
        return chart(file, &table, wanted);
    }
    table::runs(file, &table, wanted)
}

/// JSON lines as a table of at most so many cells: nested maps become names with dots; texts, lists and
/// `null`, which stands where nothing was logged, are passed over.
fn history(file: &str, text: &str, most_cells: usize) -> Result<Table, Wrong> {
    let mut table = Table::default();
    let mut held = 0;
    let many =
        |line| Wrong::at(file, At::Line(line), format!("it has more than {MOST_NAMES} names"));
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let Pairs(pairs) = json::read_words::<Pairs<Value>>(file, line, text)?;
        let mut cells: Vec<String> = Vec::new();
        let mut open: Vec<(String, Value)> = pairs.into_iter().rev().collect();
        while let Some((name, value)) = open.pop() {
            let told = match value {
                Value::Number(number) => number.to_string(),
                Value::String(text) if text.len() <= 40 => text,
                Value::Object(map) => {
                    if open.len() + map.len() > MOST_NAMES {
                        return Err(many(line));
                    }
                    for (inner, value) in map {
                        fits(file, Some(At::Line(line)), &name, name.len() + 1 + inner.len())?;
                        open.push((format!("{name}.{inner}"), value));
                    }
                    continue;
                }
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::String(_) => continue,
            };
            let next = places.len();
            let place = *places.entry(name.clone()).or_insert(next);
            if place == next {
                if next >= MOST_NAMES {
                    return Err(many(line));
                }
                table.names.push(name);
            }
            if cells.len() <= place {
                // A line of one value may stand far to the right: what it takes is counted before it is made.
                held += place + 1 - cells.len();
                if held > most_cells {
                    let message = format!(
                        "it has more than {most_cells} cells, as a name counts for every line; leave out names that are not needed"
                    );
                    return Err(Wrong::at(file, At::Line(line), message));
                }
                cells.resize(place + 1, String::new());
            }
            cells[place] = told;
        }
        table.rows.push((line, cells));
    }
    if table.rows.is_empty() {
        return Err(Wrong::of(file, "it is empty: a JSON object a line is expected"));
    }
    Ok(table)
}

/// A chart's CSV as runs, each named as W&B names it.
fn chart(file: &str, table: &Table, wanted: &Wanted) -> Result<Vec<LoggedRun>, Wrong> {
    no_arm_or_seed(file, "a chart", wanted)?;
    let place = |name: &str| table.names.iter().position(|one| one == name);
    let ending = format!(" - {}", wanted.metric);
    let named: Vec<(usize, &str)> = table
        .names
        .iter()
        .enumerate()
        .filter_map(|(column, name)| Some((column, name.strip_suffix(&ending)?)))
        .collect();
    if named.is_empty() {
        let metrics = table.names.iter().filter_map(|name| Some(name.rsplit_once(" - ")?.1));
        let metrics: std::collections::BTreeSet<&str> =
            metrics.filter(|name| !name.ends_with("__MIN") && !name.ends_with("__MAX")).collect();
        return Err(lacks(file, "metric", &wanted.metric, "--metric-from", metrics));
    }
    let names = || table.names.iter().map(String::as_str);
    let axes = || table.names.iter().map(String::as_str).filter(|name| !name.contains(" - "));
    let one = |given: &Option<String>, usual: &[&str], option: &str| match given {
        Some(name) => match place(name) {
            Some(column) => Ok(Some(column)),
            None => Err(lacks(file, "column", name, option, axes())),
        },
        None => Ok(usual.iter().find_map(|name| place(name))),
    };
    // Whoever names steps wants them counted.
    let samples = match wanted.step.is_some() && wanted.samples.is_none() {
        true => None,
        false => one(&wanted.samples, &["samples"], "--samples-from")?,
    };
    let shared = one(&wanted.step, &["Step", "trainer/global_step", "global_step"], "--step-from")?;
    let clock = if wanted.no_clock() { None } else { one(&wanted.clock, &CLOCKS, "--clock")? };
    let mut runs = Vec::new();
    for (metric, run) in named {
        let step = shared.or_else(|| place(&format!("{run} - _step")));
        if samples.is_none() && step.is_none() {
            let message = format!(
                "no column counts samples or steps; name one with --samples-from or --step-from, or export the chart over steps: {}",
                listed(axes())
            );
            return Err(Wrong::at(file, At::Line(1), message));
        }
        let mut logged = LoggedRun { name: Some(run.to_owned()), ..LoggedRun::default() };
        let bounds = ["MIN", "MAX"].map(|bound| place(&format!("{run}{ending}__{bound}")));
        for (line, cells) in &table.rows {
            let at = At::Line(*line);
            let filled = |column: Option<usize>| {
                let text = cells.get(column?).map(String::as_str)?;
                (!text.is_empty()).then_some((column?, text))
            };
            let read = |(column, text): (usize, &str)| number(file, at, &table.names[column], text);
            let Some(cell) = filled(Some(metric)) else { continue };
            let value = read(cell)?;
            // One that is missing at some looks would mix two counts, or count from 0 again.
            let counted = |column: Option<usize>| {
                let Some(column) = column else { return Ok(None) };
                let title = &table.names[column];
                let Some(cell) = filled(Some(column)) else {
                    let message = format!(
                        "no count stands beside the value of run {}: {} is empty; fill it, or leave that column out",
                        quoted(run),
                        quoted(title)
                    );
                    return Err(Wrong::at(file, at, message));
                };
                count(file, at, title, read(cell)?).map(Some)
            };
            let (samples, step) = (counted(samples)?, counted(step)?);
            let seconds =
                filled(clock).map(read).transpose()?.filter(|seconds| seconds.is_finite());
            if let [Some(low), Some(high)] = bounds.map(filled)
                && read(low)? != read(high)?
                && logged.notes.is_empty()
            {
                logged.notes.push(format!(
                    "line {line} of the chart's export: MIN and MAX differ, so that its points stand for several looks or for the runs of a group; export the run's own history"
                ));
            }
            logged.looks.push(Look { at, samples, step, seconds, value });
        }
        if let Some(test) = &wanted.test {
            let name = format!("{run} - {test}");
            let column =
                place(&name).ok_or_else(|| lacks(file, "column", &name, "--test-from", names()))?;
            let cells = table.rows.iter().rev().map(|(line, cells)| (line, cells.get(column)));
            let mut filled = cells.filter_map(|(line, cell)| Some((line, cell?)));
            let last = filled.find(|(_, cell)| !cell.is_empty());
            logged.tested =
                last.map(|(line, cell)| number(file, At::Line(*line), &name, cell)).transpose()?;
        }
        if !logged.looks.is_empty() {
            runs.push(logged);
        }
    }
    if runs.is_empty() {
        let message = format!("metric {} has no value in any row", quoted(&wanted.metric));
        return Err(Wrong::of(file, message));
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted { metric: "val/acc".to_owned(), ..Wanted::default() }
    }

    #[test]
    fn a_chart_has_a_run_a_column_and_points_that_stand_for_several_are_told() {
        let text = "\"Step\",\"adam-s0 - val/acc\",\"adam-s0 - val/acc__MIN\",\"adam-s0 - val/acc__MAX\",\"sgd - s0 - val/acc\"\n0,0.5,0.5,0.5,\n10,0.75,0.7,0.8,0.6\n";
        let table = table::parse("c.csv", text).unwrap();
        let runs = chart("c.csv", &table, &wanted()).unwrap();
        let names: Vec<_> = runs.iter().map(|run| run.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["adam-s0", "sgd - s0"]);
        assert_eq!((runs[0].looks.len(), runs[1].looks.len()), (2, 1));
        assert_eq!(runs[0].looks[1].step, Some(10));
        assert!(runs[0].notes[0].contains("line 3") && runs[1].notes.is_empty());
        let other = Wanted { metric: "loss".to_owned(), ..wanted() };
        let told = chart("c.csv", &table, &other).unwrap_err().to_string();
        assert!(told.contains("no metric \"loss\"") && told.ends_with("val/acc"), "{told}");
    }

    #[test]
    fn a_chart_counts_every_look_alike_and_steps_where_they_are_named() {
        let text = "samples,Step,a - val/acc\n10,1,0.5\n,2,0.6\n";
        let table = table::parse("c.csv", text).unwrap();
        let told = chart("c.csv", &table, &wanted()).unwrap_err().to_string();
        assert!(
            told.starts_with("c.csv:3: no count stands beside the value of run \"a\": \"samples\""),
            "{told}"
        );
        let steps = Wanted { step: Some("Step".to_owned()), ..wanted() };
        let runs = chart("c.csv", &table, &steps).unwrap();
        let looks: Vec<_> = runs[0].looks.iter().map(|look| (look.samples, look.step)).collect();
        assert_eq!(looks, [(None, Some(1)), (None, Some(2))]);
    }

    #[test]
    fn a_chart_has_no_column_of_arms_or_seeds() {
        let table = table::parse("c.csv", "Step,a - val/acc\n1,0.5\n").unwrap();
        for (arm, seed, option) in [
            (Some("x".to_owned()), None, "--arm-from"),
            (None, Some("x".to_owned()), "--seed-from"),
        ] {
            let told = chart("c.csv", &table, &Wanted { arm, seed, ..wanted() }).unwrap_err();
            assert!(told.to_string().contains(&format!("leave out {option}")), "{told}");
        }
    }

    #[test]
    fn null_is_what_was_not_logged_and_a_bare_nan_is_a_value() {
        let text = "{\"_step\": 0, \"val/acc\": 0.5}\n{\"_step\": 1, \"val/acc\": null}\n{\"_step\": 2, \"val/acc\": 0.7}\n{\"_step\": 3, \"val/acc\": -Infinity}\n";
        let table = history("h.jsonl", text, MOST_CELLS).unwrap();
        let runs = table::runs("h.jsonl", &table, &wanted()).unwrap();
        let steps: Vec<_> = runs[0].looks.iter().map(|look| look.step).collect();
        assert_eq!(steps, [Some(0), Some(2), Some(3)]);
        assert!(!runs[0].looks[2].value.is_finite());
    }

    #[test]
    fn cells_and_names_are_counted_before_they_are_made() {
        let told = |text: &str| history("h.jsonl", text, 10).unwrap_err().to_string();
        let few = "{\"a\": 1, \"b\": 1, \"c\": 1}\n";
        assert!(history("h.jsonl", &(few.to_owned() + "{\"c\": 1}\n"), 10).is_ok());
        let far = told(&(few.to_owned() + &"{\"c\": 1}\n".repeat(3)));
        assert!(far.starts_with("h.jsonl:4: it has more than 10 cells"), "{far}");
        let nested = format!("{{\"{}\": {{\"a\": 1}}}}", "n".repeat(1000));
        assert!(told(&nested).contains("has 1002 bytes"), "{}", told(&nested));
        let inner: Vec<String> = (0..=MOST_NAMES).map(|name| format!("\"{name}\": \"\"")).collect();
        let wide = told(&format!("{{\"a\": {{{}}}}}", inner.join(",")));
        assert!(wide.contains("more than 10000 names"), "{wide}");
    }

    #[test]
    fn a_history_in_json_lines_is_a_table_with_names_in_dots() {
        let text = "{\"_step\": 0, \"val/acc\": 0.5, \"_runtime\": 1.5, \"g\": {\"a\": 1}}\n\n{\"_step\": 1, \"loss\": 3}\n{\"_step\": 2, \"val/acc\": NaN, \"_runtime\": 2}\n";
        let table = history("h.jsonl", text, MOST_CELLS).unwrap();
        assert!(table.names.contains(&"g.a".to_owned()));
        let runs = table::runs("h.jsonl", &table, &wanted()).unwrap();
        let looks: Vec<_> = runs[0].looks.iter().map(|look| (look.step, look.seconds)).collect();
        assert_eq!(looks, [(Some(0), Some(1.5)), (Some(2), Some(2.0))]);
        assert!(runs[0].looks[1].value.is_nan());
        assert_eq!(runs[0].looks[1].at, At::Line(4));
    }

    #[test]
    fn lines_that_are_no_objects_or_say_a_name_twice_are_told() {
        let told = |text: &str| history("h.jsonl", text, MOST_CELLS).unwrap_err().to_string();
        assert!(told("{\"_step\": 0}\n[1]\n").starts_with("h.jsonl:2: "));
        assert!(told("{\"a\": 0, \"a\": 1}").contains("given twice"));
        assert!(told("{\"a\": ").starts_with("h.jsonl:1: "));
    }
}

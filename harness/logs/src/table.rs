//! Tables with a row of names: CSV of any origin, Lightning's `metrics.csv`, a history of W&B.
//!
//! Wide, a column per metric, or long, with columns `metric` and `value`. A row whose cell of the metric is
//! empty is passed over: loggers write a row for each thing that they are told.

use std::collections::BTreeMap;
use std::path::Path;

use crate::find::{Log, text};
use crate::looks::{Form, LoggedRun, Look, TIME_OF_DAY, Wanted, count, lacks, number};
use crate::measurements::MOST_BYTES;
use crate::wrong::{At, Wrong, listed, quoted};

/// Most cells of a table.
pub(crate) const MOST_CELLS: usize = 50_000_000;

/// What columns are called that count steps, where none is named.
const STEPS: [&str; 5] = ["step", "_step", "Step", "global_step", "trainer/global_step"];

/// What columns are called that tell the time in seconds, where none is named.
const CLOCKS: [&str; 4] = ["seconds", "_runtime", "_timestamp", "wall_time"];

/// A table as read: cells are texts, empty where there is nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Table {
    pub(crate) names: Vec<String>,
    /// The line that a row begins on, and its cells, as many as there are names or fewer.
    pub(crate) rows: Vec<(u64, Vec<String>)>,
}

/// Of which form a table is, by its file's name and its first line.
pub(crate) fn recognised(path: &Path, text: &str) -> Form {
    let first = text.trim_start_matches('\u{FEFF}').lines().next().unwrap_or_default();
    let names: Vec<&str> =
        first.split(delimiter(first)).map(|name| name.trim_matches('"')).collect();
    let has = |name: &str| names.contains(&name);
    if has("_step") || names.iter().any(|name| name.contains(" - ") || name.ends_with("__MIN")) {
        return Form::Wandb;
    }
    let lightning = path.file_name().is_some_and(|name| name == "metrics.csv");
    if lightning && has("epoch") && has("step") { Form::Lightning } else { Form::Csv }
}

/// What stands between the cells: what the first line has most of.
fn delimiter(first: &str) -> char {
    let of = |c: char| first.matches(c).count();
    [',', ';', '\t'].into_iter().rev().max_by_key(|c| of(*c)).unwrap_or(',')
}

/// Reads a CSV.
pub(crate) fn parse(file: &str, text: &str) -> Result<Table, Wrong> {
    let text = text.trim_start_matches('\u{FEFF}');
    let between = delimiter(text.lines().next().unwrap_or_default());
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(u8::try_from(between).unwrap_or(b','))
        .from_reader(text.as_bytes());
    let mut table = Table::default();
    let mut cells = 0;
    for record in reader.records() {
        let record = record.map_err(|error| Wrong::of(file, format!("it is no CSV: {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        if table.names.is_empty() {
            table.names = record.iter().map(|name| name.trim().to_owned()).collect();
            continue;
        }
        if record.len() != table.names.len() {
            let (found, wanted) = (record.len(), table.names.len());
            let message =
                format!("the row has {found} cells, but the first line names {wanted} columns");
            return Err(Wrong::at(file, At::Line(line), message));
        }
        cells += record.len();
        if cells > MOST_CELLS {
            let message = format!(
                "it has more than {MOST_CELLS} cells; leave out columns that are not needed"
            );
            return Err(Wrong::at(file, At::Line(line), message));
        }
        table.rows.push((line, record.iter().map(|cell| cell.trim().to_owned()).collect()));
    }
    if table.rows.is_empty() {
        return Err(Wrong::of(
            file,
            "it is empty: a row of names and rows of numbers are expected",
        ));
    }
    Ok(table)
}

/// Reads the runs of a log that is a table.
pub(crate) fn read(log: &Log, wanted: &Wanted) -> Result<Vec<LoggedRun>, Wrong> {
    let text = text(&log.path, &log.name, MOST_BYTES)?;
    runs(&log.name, &parse(&log.name, &text)?, wanted)
}

/// Where in a row things stand.
struct Columns {
    metric: usize,
    /// Of a long table: the column that names the metric.
    named: Option<usize>,
    test: Option<usize>,
    samples: Option<usize>,
    step: Option<usize>,
    clock: Option<usize>,
    arm: Option<usize>,
    seed: Option<usize>,
}

impl Columns {
    fn of(file: &str, names: &[String], wanted: &Wanted) -> Result<Self, Wrong> {
        let all = || names.iter().map(String::as_str);
        let place = |name: &str| all().position(|one| one == name);
        for (index, name) in names.iter().enumerate() {
            if place(name) != Some(index) {
                let message = format!("column {} stands there twice; rename one", quoted(name));
                return Err(Wrong::at(file, At::Line(1), message));
            }
        }
        // One that is named must be there; else the usual names are tried.
        let find = |given: &Option<String>, usual: &[&str], option: &str| match given {
            Some(name) => match place(name) {
                Some(column) => Ok(Some(column)),
                None => Err(lacks(file, "column", name, option, all())),
            },
            None => Ok(usual.iter().find_map(|name| place(name))),
        };
        let (metric, named) = match (place(&wanted.metric), place("metric"), place("value")) {
            (Some(metric), ..) => (metric, None),
            (None, Some(named), Some(value)) => (value, Some(named)),
            _ => return Err(lacks(file, "column", &wanted.metric, "--metric-from", all())),
        };
        let test = if named.is_some() { None } else { find(&wanted.test, &[], "--test-from")? };
        let clock = if wanted.no_clock() { None } else { find(&wanted.clock, &CLOCKS, "--clock")? };
        let columns = Self {
            metric,
            named,
            test,
            // Whoever names steps wants them counted.
            samples: match wanted.step.is_some() && wanted.samples.is_none() {
                true => None,
                false => find(&wanted.samples, &["samples"], "--samples-from")?,
            },
            step: find(&wanted.step, &STEPS, "--step-from")?,
            clock,
            arm: find(&wanted.arm, &["arm"], "--arm-from")?,
            seed: find(&wanted.seed, &["seed"], "--seed-from")?,
        };
        if columns.samples.is_none() && columns.step.is_none() {
            let message = format!(
                "no column counts samples or steps; name one with --samples-from or --step-from: {}",
                listed(all())
            );
            return Err(Wrong::at(file, At::Line(1), message));
        }
        Ok(columns)
    }
}

/// The runs of a table: one for each arm and seed that its columns name.
pub(crate) fn runs(file: &str, table: &Table, wanted: &Wanted) -> Result<Vec<LoggedRun>, Wrong> {
    let columns = Columns::of(file, &table.names, wanted)?;
    let mut runs: Vec<LoggedRun> = Vec::new();
    let mut places: BTreeMap<(Option<&str>, Option<&str>), usize> = BTreeMap::new();
    let mut began: BTreeMap<(Option<&str>, Option<&str>), f64> = BTreeMap::new();
    // Of a long table: some of its names, for a message; and whether those that are wanted are among all.
    let mut metrics: Vec<&str> = Vec::new();
    let (mut found, mut found_test) = (false, false);
    for (line, cells) in &table.rows {
        let at = At::Line(*line);
        let cell = |column: usize| cells.get(column).map(String::as_str).unwrap_or_default();
        let filled = |column: Option<usize>| column.map(cell).filter(|text| !text.is_empty());
        let title = |column: usize| table.names[column].as_str();
        let key = (columns.arm.map(cell), columns.seed.map(cell));
        // A log begins with whatever it tells first, and not with the metric.
        let time = filled(columns.clock).and_then(|text| text.parse::<f64>().ok());
        if let Some(time) = time.filter(|time| time.is_finite() && *time > TIME_OF_DAY) {
            let earliest = began.entry(key).or_insert(time);
            *earliest = f64::min(*earliest, time);
        }
        let is_test = match columns.named {
            Some(named) => {
                let name = cell(named);
                if !metrics.contains(&name) && metrics.len() < 100 {
                    metrics.push(name);
                }
                let is_test = wanted.test.as_deref() == Some(name);
                found |= name == wanted.metric;
                found_test |= is_test;
                if name != wanted.metric && !is_test {
                    continue;
                }
                is_test
            }
            None => false,
        };
        let value = filled(Some(columns.metric));
        let test = if is_test { value } else { filled(columns.test) };
        if value.is_none() && test.is_none() {
            continue;
        }
        for (column, option) in [(columns.arm, "--arm"), (columns.seed, "--seed")] {
            if let Some(column) = column.filter(|column| cell(*column).is_empty()) {
                let message =
                    format!("{} is empty; fill it, or give {option}", quoted(title(column)));
                return Err(Wrong::at(file, at, message));
            }
        }
        let place = *places.entry(key).or_insert_with(|| {
            let (arm, seed) = (key.0.map(str::to_owned), key.1.map(str::to_owned));
            runs.push(LoggedRun { arm, seed, ..LoggedRun::default() });
            runs.len() - 1
        });
        let run = &mut runs[place];
        if let Some(text) = test {
            let column = if is_test { columns.metric } else { columns.test.unwrap_or_default() };
            run.tested = Some(number(file, at, title(column), text)?);
        }
        let Some(text) = value.filter(|_| !is_test) else { continue };
        let value = number(file, at, title(columns.metric), text)?;
        let counted = |column: Option<usize>| {
            let Some(column) = column else { return Ok(None) };
            let text = cell(column);
            if text.is_empty() {
                let message = format!(
                    "{} is empty where the metric has a value; fill it, or leave that column out",
                    quoted(title(column))
                );
                return Err(Wrong::at(file, at, message));
            }
            count(file, at, title(column), number(file, at, title(column), text)?).map(Some)
        };
        let (samples, step) = (counted(columns.samples)?, counted(columns.step)?);
        let seconds = filled(columns.clock)
            .map(|text| number(file, at, title(columns.clock.unwrap_or_default()), text))
            .transpose()?;
        if let Some(seconds) = seconds.filter(|seconds| !seconds.is_finite()) {
            let message = format!(
                "the clock stands at {seconds} s, which is no time; `--clock none` leaves it out"
            );
            return Err(Wrong::at(file, at, message));
        }
        run.looks.push(Look { at, samples, step, seconds, value });
    }
    if columns.named.is_some() && !found {
        return Err(lacks(file, "metric", &wanted.metric, "--metric-from", metrics));
    }
    if let Some(test) = wanted.test.as_ref().filter(|_| columns.named.is_some() && !found_test) {
        return Err(lacks(file, "metric", test, "--test-from", metrics));
    }
    for (key, place) in &places {
        runs[*place].began = began.get(key).copied();
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
        Wanted { metric: "acc".to_owned(), ..Wanted::default() }
    }

    fn of(text: &str, wanted: &Wanted) -> Result<Vec<LoggedRun>, String> {
        let table = parse("a.csv", text).map_err(|error| error.to_string())?;
        runs("a.csv", &table, wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn a_table_of_arms_and_seeds_is_a_run_for_each() {
        let text = "arm,seed,samples,seconds,metric,value\na,0,10,1,acc,0.5\na,0,10,1,loss,2\nb,0,10,1,acc,0.6\na,0,20,2,acc,0.7\n";
        let runs = of(text, &wanted()).unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!((runs[0].arm.as_deref(), runs[0].seed.as_deref()), (Some("a"), Some("0")));
        let looks: Vec<_> = runs[0].looks.iter().map(|l| (l.samples, l.seconds, l.value)).collect();
        assert_eq!(looks, [(Some(10), Some(1.0), 0.5), (Some(20), Some(2.0), 0.7)]);
        let none = of(text, &Wanted { metric: "err".to_owned(), ..wanted() }).unwrap_err();
        assert!(none.contains("no metric \"err\"") && none.contains("acc, loss"), "{none}");
    }

    #[test]
    fn a_long_table_of_many_metrics_has_the_last_of_them_too() {
        let mut text = "samples,metric,value\n".to_owned();
        (0..150).for_each(|name| text += &format!("10,m{name},1\n"));
        text += "10,acc,0.5\n10,test,0.4\n";
        let wanted = Wanted { test: Some("test".to_owned()), ..wanted() };
        let runs = of(&text, &wanted).unwrap();
        assert_eq!((runs[0].looks.len(), runs[0].tested), (1, Some(0.4)));
        let typo = of(&text, &Wanted { test: Some("tset".to_owned()), ..wanted }).unwrap_err();
        assert!(typo.contains("no metric \"tset\"; name one by --test-from: m0, m1"), "{typo}");
    }

    #[test]
    fn steps_that_are_named_are_counted_where_samples_stand_too_and_none_may_be_missing() {
        let text = "samples,step,acc\n10,1,0.5\n20,2,0.6\n";
        let steps = Wanted { step: Some("step".to_owned()), ..wanted() };
        let looks = |wanted: &Wanted| -> Vec<_> {
            let runs = of(text, wanted).unwrap();
            runs[0].looks.iter().map(|look| (look.samples, look.step)).collect()
        };
        assert_eq!(looks(&steps), [(None, Some(1)), (None, Some(2))]);
        assert_eq!(looks(&wanted()), [(Some(10), Some(1)), (Some(20), Some(2))]);
        let told = of("samples,step,acc\n10,1,0.5\n20,,0.6\n", &wanted()).unwrap_err();
        assert!(told.starts_with("a.csv:3: \"step\" is empty where the metric"), "{told}");
    }

    #[test]
    fn a_time_of_day_begins_with_the_first_row_of_the_run_and_not_with_the_metric() {
        let text = "seed,samples,wall_time,loss,acc\n0,1,1700000000,2,\n1,1,1600000000,2,\n0,2,1700000005,1,0.5\n";
        let runs = of(text, &wanted()).unwrap();
        assert_eq!((runs.len(), runs[0].began), (1, Some(1.7e9)));
        let relative = of("samples,seconds,acc\n1,0,\n2,5,0.5\n", &wanted()).unwrap();
        assert_eq!((relative[0].began, relative[0].looks[0].seconds), (None, Some(5.0)));
    }

    #[test]
    fn empty_cells_are_passed_over_and_a_test_value_is_the_last() {
        let text =
            "epoch,step,train,acc,test_acc\n0,49,1.0,,\n0,49,,0.5,\n1,99,,nan,\n1,100,,,0.4\n";
        let wanted = Wanted { test: Some("test_acc".to_owned()), ..wanted() };
        let runs = of(text, &wanted).unwrap();
        assert_eq!((runs[0].looks.len(), runs[0].tested), (2, Some(0.4)));
        assert_eq!((runs[0].looks[0].step, runs[0].looks[0].seconds), (Some(49), None));
        assert!(runs[0].looks[1].value.is_nan());
    }

    #[test]
    fn what_a_table_lacks_or_has_wrong_is_told_with_line_value_and_remedy() {
        let told = |text: &str| of(text, &wanted()).unwrap_err();
        assert_eq!(
            told("samples,acc\n1,high\n"),
            "a.csv:2: \"acc\" has \"high\", which is no number"
        );
        let missing = told("samples,loss\n1,2\n");
        assert!(
            missing.contains("no column \"acc\"")
                && missing.contains("--metric-from: samples, loss"),
            "{missing}"
        );
        assert!(told("x,acc\n1,2\n").contains("no column counts samples or steps"));
        assert!(told("samples,acc\n1.5,2\n").contains("a.csv:2: \"samples\" is 1.5, but a count"));
        assert!(told("samples,acc\n-1,2\n").contains("is -1, but a count"));
        assert!(told("samples,acc\nnan,2\n").contains("is NaN, but a count"));
        assert!(told("samples,acc\n,2\n").contains("is empty where the metric has a value"));
        assert!(told("samples,acc\n1,2,3\n").contains("3 cells, but the first line names 2"));
        assert!(told("samples,acc,acc\n1,2,3\n").contains("\"acc\" stands there twice"));
        assert!(told("samples,acc,arm\n1,2,\n").contains("\"arm\" is empty"));
        assert!(told("samples,acc,seconds\n1,2,inf\n").contains("which is no time"));
        assert!(told("samples,acc\n1,\n").contains("has no value in any row"));
        for empty in ["", "\n", "samples,acc\n"] {
            assert!(told(empty).contains("it is empty"), "{empty:?}");
        }
    }

    #[test]
    fn semicolons_tabs_and_a_byte_order_mark_are_read() {
        for text in ["samples;acc\n1;2\n", "samples\tacc\n1\t2\n", "\u{FEFF}samples,acc\r\n1,2\r\n"]
        {
            assert_eq!(of(text, &wanted()).unwrap()[0].looks[0].value, 2.0, "{text:?}");
        }
    }

    #[test]
    fn a_table_is_recognised_by_its_names() {
        let of = |file: &str, text: &str| recognised(Path::new(file), text);
        assert_eq!(of("metrics.csv", "epoch,step,val_loss\n"), Form::Lightning);
        assert_eq!(of("x.csv", "epoch,step,val_loss\n"), Form::Csv);
        assert_eq!(of("x.csv", "\"Step\",\"a - acc\",\"a - acc__MIN\"\n"), Form::Wandb);
        assert_eq!(of("x.csv", ",_step,_runtime,acc\n"), Form::Wandb);
    }
}

//! A run in MLflow's folders: `metrics/NAME` has a line `milliseconds value step` for each look, `meta.yaml`
//! when the run began and how it ended, `params/NAME` and `tags/NAME` a text each.

use std::fs;
use std::path::{Component, Path};

use crate::find::{Log, text};
use crate::looks::{LoggedRun, Look, Wanted, count, lacks, number};
use crate::measurements::MOST_BYTES;
use crate::wrong::{At, Wrong, quoted};

/// Most bytes of a file that says one thing.
const SMALL: u64 = 1 << 20;

/// What of `meta.yaml` is read: a line each, and never more than one deep.
#[derive(Debug, Default)]
struct Meta {
    run_name: Option<String>,
    start_time: Option<u64>,
    status: Option<String>,
}

impl Meta {
    fn read(file: &str, text: &str) -> Result<Self, Wrong> {
        let mut meta = Self::default();
        let mut is_run = false;
        for (line, text) in (1..).zip(text.lines()) {
            let Some((name, value)) = text.split_once(": ") else { continue };
            let whole = |value: &str| {
                let read = value.parse().map_err(|_| {
                    let message = format!("{name} is {}, which is no whole number", quoted(value));
                    Wrong::at(file, At::Line(line), message)
                });
                read.map(Some)
            };
            match name {
                "run_id" | "run_uuid" => is_run = true,
                "run_name" => meta.run_name = Some(unquoted(value)),
                "start_time" => meta.start_time = whole(value)?,
                "status" => meta.status = Some(unquoted(value.trim())),
                _ => {}
            }
        }
        if is_run {
            Ok(meta)
        } else {
            Err(Wrong::of(file, "it is no run of MLflow: it has no `run_id`"))
        }
    }
}

/// A text of YAML without its quotes.
fn unquoted(text: &str) -> String {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    match (inner('\''), inner('"')) {
        (Some(text), _) => text.replace("''", "'"),
        (None, Some(text)) => text.to_owned(),
        (None, None) => text.to_owned(),
    }
}

/// Whether a run was deleted: its folder stays until MLflow is told to clean up.
pub(crate) fn is_deleted(run: &Path) -> bool {
    let told = text(&run.join("meta.yaml"), "meta.yaml", SMALL);
    told.is_ok_and(|told| told.lines().any(|line| line == "lifecycle_stage: deleted"))
}

/// How MLflow numbers, or in files of before names, the ends of runs that are no good ones.
fn ended(status: &str) -> Option<&'static str> {
    match status {
        "1" | "RUNNING" => Some("running"),
        "2" | "SCHEDULED" => Some("scheduled"),
        "4" | "FAILED" => Some("failed"),
        "5" | "KILLED" => Some("killed"),
        _ => None,
    }
}

pub(crate) fn read(log: &Log, wanted: &Wanted) -> Result<LoggedRun, Wrong> {
    let meta = log.path.join("meta.yaml");
    let meta_name = format!("{}/meta.yaml", log.name);
    let told = text(&meta, &meta_name, SMALL)?;
    let meta = Meta::read(&meta_name, &told)?;
    if let Some(name) =
        wanted.samples.as_ref().or(wanted.step.as_ref()).filter(|name| *name != "step")
    {
        return Err(lacks(&log.name, "count", name, "--step-from", ["step"]));
    }
    if let Some(name) = wanted.clock.as_ref().filter(|name| *name != "none") {
        return Err(lacks(&log.name, "clock", name, "--clock", ["none"]));
    }
    let lines = lines(log, &wanted.metric, "--metric-from")?;
    let began = meta.start_time.or(lines.first().map(|line| line.milliseconds)).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay far below 2^52")]
    let look = |line: &Line| Look {
        at: line.at,
        samples: None,
        step: Some(line.step),
        seconds: Some((line.milliseconds as f64 - began as f64) / 1e3),
        value: line.value,
    };
    let tested = match &wanted.test {
        Some(test) => match self::lines(log, test, "--test-from")?.last() {
            Some(line) => Some(line.value),
            None => {
                let file = format!("{}/metrics/{test}", log.name);
                let message = "it has no value; leave out --test-from, or name another metric";
                return Err(Wrong::of(&file, message));
            }
        },
        None => None,
    };
    let notes =
        meta.status.as_deref().and_then(ended).map(|how| format!("MLflow calls the run {how}"));
    Ok(LoggedRun {
        name: meta.run_name,
        arm: said(log, &wanted.arm, "--arm-from")?,
        seed: match said(log, &wanted.seed, "--seed-from")? {
            None => param(log, "seed")?,
            seed => seed,
        },
        began: None,
        looks: lines.iter().map(look).collect(),
        tested,
        notes: notes.into_iter().collect(),
    })
}

struct Line {
    at: At,
    milliseconds: u64,
    value: f64,
    step: u64,
}

/// A name as a path below a folder; none where it leads out.
fn below(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !name.is_empty()).then_some(path)
}

/// Whether this is a plain file below a folder, with no link on the way: one may lead anywhere, and digests
/// of a log pass over it.
fn is_plain(folder: &Path, below: &Path) -> bool {
    let mut path = folder.to_owned();
    let mut parts = below.components().peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let Ok(told) = fs::symlink_metadata(&path) else { return false };
        let fits = if parts.peek().is_some() { told.is_dir() } else { told.is_file() };
        if !fits {
            return false;
        }
    }
    true
}

/// Names of all files below a folder, as MLflow calls what is in them.
fn names(folder: &Path, start: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{start}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && start.matches('/').count() < 8 => {
                self::names(&entry.path(), &format!("{name}/"), names);
            }
            Ok(kind) if kind.is_file() => names.push(name),
            _ => {}
        }
    }
    names.sort();
}

fn lines(log: &Log, metric: &str, option: &str) -> Result<Vec<Line>, Wrong> {
    let below = below(metric).map(|name| Path::new("metrics").join(name));
    let Some(below) = below.filter(|below| is_plain(&log.path, below)) else {
        let mut known = Vec::new();
        names(&log.path.join("metrics"), "", &mut known);
        return Err(lacks(&log.name, "metric", metric, option, known.iter().map(String::as_str)));
    };
    let file = format!("{}/metrics/{metric}", log.name);
    let text = text(&log.path.join(below), &file, MOST_BYTES)?;
    let line = |(line, text): (u64, &str)| {
        let at = At::Line(line);
        let parts: Vec<&str> = text.split_whitespace().collect();
        // Two in the first version; data sets of the value may follow.
        let (Some(time), Some(value)) = (parts.first(), parts.get(1)) else {
            let message = format!("{} is no `milliseconds value step`", quoted(text));
            return Err(Wrong::at(&file, at, message));
        };
        let whole = |what: &str, text: &str| count(&file, at, what, number(&file, at, what, text)?);
        Ok(Line {
            at,
            milliseconds: whole("milliseconds", time)?,
            value: number(&file, at, "value", value)?,
            step: parts.get(2).map_or(Ok(0), |step| whole("step", step))?,
        })
    };
    let lines = (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty());
    lines.map(line).collect()
}

/// A param or a tag.
fn param(log: &Log, name: &str) -> Result<Option<String>, Wrong> {
    let Some(own) = below(name) else { return Ok(None) };
    for folder in ["params", "tags"] {
        let below = Path::new(folder).join(own);
        if is_plain(&log.path, &below) {
            let told =
                text(&log.path.join(below), &format!("{}/{folder}/{name}", log.name), SMALL)?;
            return Ok(Some(told.trim().to_owned()));
        }
    }
    Ok(None)
}

/// What a param or tag says that was asked for.
fn said(log: &Log, name: &Option<String>, option: &str) -> Result<Option<String>, Wrong> {
    let Some(name) = name else { return Ok(None) };
    if let Some(told) = param(log, name)? {
        return Ok(Some(told));
    }
    let mut known = Vec::new();
    ["params", "tags"].into_iter().for_each(|folder| names(&log.path.join(folder), "", &mut known));
    Err(lacks(&log.name, "param or tag", name, option, known.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::looks::Form;

    fn run(files: &[(&str, &str)]) -> (tempfile::TempDir, Log) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let log = Log { form: Form::Mlflow, path: folder.path().to_owned(), name: "r".to_owned() };
        (folder, log)
    }

    fn wanted(metric: &str) -> Wanted {
        Wanted { metric: metric.to_owned(), ..Wanted::default() }
    }

    const META: &str = "run_id: ab\nrun_name: 'adam-0'\nstart_time: 1000\nstatus: 4\ntags: []\n";

    #[test]
    fn looks_have_seconds_since_the_run_began() {
        let (_folder, log) = run(&[
            ("meta.yaml", META),
            ("metrics/val/acc", "1500 0.5 10\n3000 nan 20\n"),
            ("params/seed", "3"),
            ("params/optimizer", "adam"),
        ]);
        let wanted = Wanted { arm: Some("optimizer".to_owned()), ..wanted("val/acc") };
        let read = read(&log, &wanted).unwrap();
        let looks: Vec<_> = read.looks.iter().map(|l| (l.step, l.seconds)).collect();
        assert_eq!(looks, [(Some(10), Some(0.5)), (Some(20), Some(2.0))]);
        assert_eq!((read.arm.as_deref(), read.seed.as_deref()), (Some("adam"), Some("3")));
        assert_eq!(read.name.as_deref(), Some("adam-0"));
        assert_eq!(read.notes, ["MLflow calls the run failed"]);
    }

    #[test]
    fn names_that_are_not_there_or_lead_out_are_refused_with_those_that_are() {
        let (_folder, log) =
            run(&[("meta.yaml", META), ("metrics/val/acc", "1 2 3\n"), ("params/lr", "1")]);
        let told = |wanted: &Wanted| read(&log, wanted).unwrap_err().to_string();
        assert!(told(&wanted("acc")).contains("name one by --metric-from: val/acc"));
        assert!(told(&wanted("../meta.yaml")).contains("no metric"));
        let arm = Wanted { arm: Some("opt".to_owned()), ..wanted("val/acc") };
        assert!(told(&arm).contains("no param or tag \"opt\"; name one by --arm-from: lr"));
        let clock = Wanted { clock: Some("x".to_owned()), ..wanted("val/acc") };
        assert!(told(&clock).contains("no clock \"x\""));
    }

    #[test]
    fn a_run_that_ended_badly_is_told_by_number_and_by_name() {
        for (status, told) in
            [("5", Some("killed")), ("FAILED", Some("failed")), ("FINISHED", None)]
        {
            let meta = format!("run_id: ab\nstatus: {status}\n");
            let (_folder, log) = run(&[("meta.yaml", meta.as_str()), ("metrics/m", "1 0.5 1\n")]);
            let notes = read(&log, &wanted("m")).unwrap().notes;
            assert_eq!(
                notes,
                Vec::from_iter(told.map(|told| format!("MLflow calls the run {told}")))
            );
        }
    }

    #[test]
    fn a_metric_of_the_test_split_without_a_value_is_told() {
        let (_folder, log) =
            run(&[("meta.yaml", META), ("metrics/m", "1500 0.5 1\n"), ("metrics/test", "\n")]);
        let test = Wanted { test: Some("test".to_owned()), ..wanted("m") };
        let told = read(&log, &test).unwrap_err().to_string();
        assert!(
            told.starts_with("r/metrics/test: it has no value; leave out --test-from"),
            "{told}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_since_no_digest_holds_what_they_lead_to() {
        use std::os::unix::fs::symlink;
        let (_other, elsewhere) = run(&[("metrics/m", "1500 0.5 1\n"), ("params/seed", "3")]);
        let (folder, log) =
            run(&[("meta.yaml", META), ("metrics/own", "1500 0.5 1\n"), ("params/lr", "1")]);
        let at = |name: &str| folder.path().join(name);
        symlink(elsewhere.path.join("metrics/m"), at("metrics/file")).unwrap();
        symlink(elsewhere.path.join("metrics"), at("metrics/folder")).unwrap();
        symlink(elsewhere.path.join("params/seed"), at("params/seed")).unwrap();
        assert_eq!(read(&log, &wanted("own")).unwrap().seed, None);
        for name in ["file", "folder/m"] {
            let told = read(&log, &wanted(name)).unwrap_err().to_string();
            assert!(told.ends_with("name one by --metric-from: own"), "{told}");
        }
    }

    #[test]
    fn a_line_or_a_file_that_is_none_is_told_by_its_number() {
        let of = |lines: &str, meta: &str| {
            let (_folder, log) = run(&[("meta.yaml", meta), ("metrics/m", lines)]);
            read(&log, &wanted("m")).unwrap_err().to_string()
        };
        assert!(of("1 0.5 1\n7\n", META).starts_with("r/metrics/m:2: \"7\" is no `milliseconds"));
        assert!(of("1 high 1\n", META).contains("\"value\" has \"high\""));
        assert!(of("1 1 -1\n", META).contains("\"step\" is -1"));
        assert!(of("1 1 1\n", "- a\n").starts_with("r/meta.yaml: it is no run of MLflow"));
        let time = of("1 1 1\n", "run_id: a\nstart_time: soon\n");
        assert!(time.starts_with("r/meta.yaml:2: start_time is \"soon\""), "{time}");
    }
}

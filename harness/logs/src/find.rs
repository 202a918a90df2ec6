//! Which logs there are at a path, and of which form each is.

use std::fs;
use std::path::{Component, Path, PathBuf};

use ledger::digest::{Digest, of_reader};

use crate::looks::Form;
use crate::measurements;
use crate::mlflow;
use crate::table;
use crate::wrong::{Wrong, shown};

/// Folders deep that logs are looked for.
const DEEPEST: usize = 8;

/// Most files and folders that are looked at.
const MOST_ENTRIES: usize = 100_000;

/// A log: one file, or the folder whose files are one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its form.
    pub form: Form,
    /// Where it is.
    pub path: PathBuf,
    /// What it is called: from the folder on that the user named, never from the root.
    pub name: String,
}

/// A file that a log consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// As [`Log::name`].
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of what is in it.
    pub sha256: Digest,
}

impl Log {
    /// The files that it consists of, as they are now, sorted by name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn files(&self) -> Result<Vec<LogFile>, Wrong> {
        let files = match self.form {
            Form::Tensorboard if self.path.is_dir() => event_files(&self.path, &self.name)?,
            Form::Mlflow => below(&self.path, &self.name)?,
            _ => vec![(self.path.clone(), self.name.clone())],
        };
        let digest = |(path, name): (PathBuf, String)| {
            let read = || -> std::io::Result<_> {
                of_reader(&mut fs::File::open(fs::canonicalize(&path)?)?)
            };
            let (bytes, sha256) = read().map_err(|error| unread(&name, &error))?;
            Ok(LogFile { name, bytes, sha256 })
        };
        files.into_iter().map(digest).collect()
    }
}

/// That something cannot be read.
pub(crate) fn unread(name: &str, error: &std::io::Error) -> Wrong {
    Wrong::of(name, format!("it cannot be read: {error}"))
}

/// A file that is read whole, as text.
pub(crate) fn text(path: &Path, name: &str, most: u64) -> Result<String, Wrong> {
    let bytes = fs::metadata(path).map_err(|error| unread(name, &error))?;
    if !bytes.is_file() {
        return Err(Wrong::of(name, "it is no plain file"));
    }
    if bytes.len() > most {
        let (has, most) = (bytes.len() >> 20, most >> 20);
        let message = format!(
            "it has {has} MiB, but is read whole up to {most}; leave out what is not needed"
        );
        return Err(Wrong::of(name, message));
    }
    let bytes = fs::read(path).map_err(|error| unread(name, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let message = "it is no text in UTF-8; export it as such";
        Wrong::at(name, crate::wrong::At::Line(line), message)
    })
}

/// What a path is called: as it was given, or its last part where it begins at the root or leads out.
fn called(path: &Path) -> String {
    let plain =
        path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
        _ => None,
    });
    let parts: Vec<String> = parts.collect();
    if plain { parts.join("/") } else { parts.last().cloned().unwrap_or_default() }
}

/// What a folder holds, sorted by name; links are passed over, since they may lead anywhere.
fn entries(folder: &Path, name: &str) -> Result<Vec<(PathBuf, String, bool)>, Wrong> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unread(name, &error))? {
        let entry = entry.map_err(|error| unread(name, &error))?;
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() || kind.is_file() {
            let own = entry.file_name().to_string_lossy().into_owned();
            let own = if name.is_empty() { own } else { format!("{name}/{own}") };
            entries.push((entry.path(), own, kind.is_dir()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// The event files of a folder, in the order of their names, which begin with the time.
pub(crate) fn event_files(folder: &Path, name: &str) -> Result<Vec<(PathBuf, String)>, Wrong> {
    let of = |(path, name, is_folder): (PathBuf, String, bool)| {
        (!is_folder && is_event_file(&path)).then_some((path, name))
    };
    Ok(entries(folder, name)?.into_iter().filter_map(of).collect())
}

fn is_event_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(".tfevents."))
}

/// All files of an MLflow run that say something of it: metrics, params, tags.
fn below(folder: &Path, name: &str) -> Result<Vec<(PathBuf, String)>, Wrong> {
    let mut files = Vec::new();
    let mut open = Vec::new();
    for (path, name, is_folder) in entries(folder, name)? {
        let own =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match (is_folder, own.as_str()) {
            (true, "metrics" | "params" | "tags") => open.push((path, name)),
            (false, "meta.yaml") => files.push((path, name)),
            _ => {}
        }
    }
    while let Some((folder, name)) = open.pop() {
        for (path, name, is_folder) in entries(&folder, &name)? {
            if is_folder { open.push((path, name)) } else { files.push((path, name)) }
        }
        if files.len() + open.len() > MOST_ENTRIES {
            return Err(Wrong::of(&name, format!("it has more than {MOST_ENTRIES} files")));
        }
    }
    files.sort_by(|one, other| one.1.cmp(&other.1));
    Ok(files)
}

/// The logs at these paths, of one form; folders are searched.
///
/// # Errors
/// When a path is not there or holds no log, when logs of several forms are there and none is chosen, or a
/// file is of none.
pub fn logs(paths: &[PathBuf], form: Option<Form>) -> Result<Vec<Log>, Wrong> {
    let mut found = Vec::new();
    let mut looked_at = 0;
    for path in paths {
        let name = called(path);
        let shown = path.display().to_string();
        let is_folder = fs::metadata(path).map_err(|error| unread(&shown, &error))?.is_dir();
        let before = found.len();
        if is_folder {
            walk(path, &name, (form, 0), &mut looked_at, &mut found)?;
        } else {
            found.push(Log { form: recognised(path, &name, form)?, path: path.clone(), name });
        }
        if found.len() == before {
            let what = form
                .map_or_else(|| "no log".to_owned(), |form| format!("no log of {}", form.name()));
            let message = format!(
                "{what} is below it: .csv and .jsonl files, event files of TensorBoard and runs of MLflow are looked for"
            );
            return Err(Wrong::of(&shown, message));
        }
    }
    if let Some(first) = found.first()
        && let Some(other) = found.iter().find(|log| log.form != first.form)
    {
        // A table is a table, whoever wrote it: the user gave all of them.
        let (one, two) = (first.form.name(), other.form.name());
        let message = format!(
            "it is read as {two}, and {} as {one}: choose one with --from",
            shown_name(&first.name)
        );
        return Err(Wrong::of(&other.name, message));
    }
    Ok(found)
}

fn shown_name(name: &str) -> String {
    shown(name, usize::MAX)
}

fn walk(
    folder: &Path,
    name: &str,
    (form, depth): (Option<Form>, usize),
    looked_at: &mut usize,
    found: &mut Vec<Log>,
) -> Result<(), Wrong> {
    let wants = |one: Form| form.is_none_or(|form| form == one);
    let entries = entries(folder, name)?;
    *looked_at += entries.len();
    if *looked_at > MOST_ENTRIES {
        let message =
            format!("more than {MOST_ENTRIES} files are below it; name the logs themselves");
        return Err(Wrong::of(name, message));
    }
    let has = |wanted: &str, as_folder: bool| {
        let is = |(path, _, is_folder): &(PathBuf, String, bool)| {
            *is_folder == as_folder && path.file_name().is_some_and(|name| name == wanted)
        };
        entries.iter().any(is)
    };
    let log =
        |form, path: &Path, name: &str| Log { form, path: path.to_owned(), name: name.to_owned() };
    if has("meta.yaml", false) && has("metrics", true) {
        if wants(Form::Mlflow) && !mlflow::is_deleted(folder) {
            found.push(log(Form::Mlflow, folder, name));
        }
        return Ok(());
    }
    if wants(Form::Tensorboard)
        && entries.iter().any(|(path, _, is_folder)| !is_folder && is_event_file(path))
    {
        found.push(log(Form::Tensorboard, folder, name));
    }
    for (path, name, is_folder) in &entries {
        if *is_folder {
            // A name that begins with a dot is one's own business: MLflow's waste is `.trash`.
            let hidden =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if depth == DEEPEST {
                let message = format!(
                    "folders are searched {DEEPEST} deep, and this one lies deeper; name it, or the logs themselves"
                );
                return Err(Wrong::of(name, message));
            }
            walk(path, name, (form, depth + 1), looked_at, found)?;
            continue;
        }
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        // Where another form is asked for, a table is none of ours, whatever is in it.
        if ["csv", "jsonl"].contains(&ending) && form.is_none_or(is_table) {
            found.push(log(recognised(path, name, form)?, path, name));
        }
    }
    Ok(())
}

fn is_table(form: Form) -> bool {
    matches!(form, Form::Csv | Form::Lightning | Form::Wandb)
}

/// The form of a file: the one that is given, or what its name and its first line say.
fn recognised(path: &Path, name: &str, form: Option<Form>) -> Result<Form, Wrong> {
    if let Some(form) = form {
        return Ok(form);
    }
    if is_event_file(path) {
        return Ok(Form::Tensorboard);
    }
    let text = text(path, name, measurements::MOST_BYTES)?;
    let start = text.trim_start_matches('\u{FEFF}').trim_start();
    if start.starts_with(['{', '[']) {
        if let Ok(form) = measurements::recognise(name, start) {
            let message = format!(
                "it holds results of benchmarks ({}), and no log of a run: `palimpsest regress record NAME --from FILE` keeps them in a history",
                form.name()
            );
            return Err(Wrong::of(name, message));
        }
        let first = start.lines().next().unwrap_or_default();
        if first.contains("\"_step\"") {
            return Ok(Form::Wandb);
        }
        let message = "it is JSON, but neither lines with a `_step` each, as W&B writes a history, nor results of benchmarks that are known; --from wandb reads JSON lines";
        return Err(Wrong::of(name, message));
    }
    Ok(table::recognised(path, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn found(
        folder: &tempfile::TempDir,
        form: Option<Form>,
    ) -> Result<Vec<(Form, String)>, String> {
        let logs = logs(&[folder.path().to_owned()], form).map_err(|error| error.to_string())?;
        let last = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        // Named from the folder on that was given, not from the root.
        let name =
            |log: &Log| log.name.strip_prefix(&last).unwrap().trim_start_matches('/').to_owned();
        Ok(logs.iter().map(|log| (log.form, name(log))).collect())
    }

    #[test]
    fn folders_are_searched_and_names_do_not_begin_at_the_root() {
        let csv = "samples,loss\n1,2\n";
        let folder = tree(&[("a/seed0.csv", csv), ("b/seed0.csv", csv), ("b/notes.txt", "x")]);
        let both = [(Form::Csv, "a/seed0.csv".to_owned()), (Form::Csv, "b/seed0.csv".to_owned())];
        assert_eq!(found(&folder, None).unwrap(), both);
        let runs =
            tree(&[("1/ab/meta.yaml", ""), ("1/ab/metrics/m", "1 2 3\n"), ("1/meta.yaml", "")]);
        assert_eq!(found(&runs, None).unwrap(), [(Form::Mlflow, "1/ab".to_owned())]);
        let deleted = "lifecycle_stage: deleted\n";
        let waste = [
            ("1/a/meta.yaml", deleted),
            ("1/a/metrics/m", ""),
            (".trash/2/b/meta.yaml", ""),
            (".trash/2/b/metrics/m", ""),
        ];
        assert!(found(&tree(&waste), None).unwrap_err().contains("no log is below it"));
        let events = tree(&[("a/events.out.tfevents.1.x", "")]);
        assert_eq!(found(&events, None).unwrap(), [(Form::Tensorboard, "a".to_owned())]);
    }

    #[test]
    fn logs_of_two_forms_are_refused_until_one_is_chosen() {
        let csv = "samples,loss\n1,2\n";
        let folder = tree(&[("a/x.csv", csv), ("a/events.out.tfevents.1.x", "")]);
        let told = found(&folder, None).unwrap_err();
        assert!(told.contains("as csv") && told.contains("--from"), "{told}");
        assert_eq!(found(&folder, Some(Form::Csv)).unwrap().len(), 1);
        assert_eq!(found(&folder, Some(Form::Tensorboard)).unwrap().len(), 1);
        let told = found(&folder, Some(Form::Mlflow)).unwrap_err();
        assert!(told.contains("no log of mlflow is below it"), "{told}");
    }

    #[test]
    fn tables_are_not_read_where_another_form_is_asked_for() {
        let folder = tree(&[
            ("a/events.out.tfevents.1.x", ""),
            ("a/settings.jsonl", "{\"lr\": 1}"),
            ("b/meta.yaml", ""),
            ("b/metrics/m", "1 2 3\n"),
        ]);
        assert!(found(&folder, None).unwrap_err().contains("`_step`"));
        let one = |form| found(&folder, Some(form)).unwrap();
        assert_eq!(one(Form::Tensorboard), [(Form::Tensorboard, "a".to_owned())]);
        assert_eq!(one(Form::Mlflow), [(Form::Mlflow, "b".to_owned())]);
    }

    #[test]
    fn a_folder_that_lies_too_deep_is_told_and_not_passed_over() {
        let csv = "samples,loss\n1,2\n";
        assert_eq!(found(&tree(&[("1/2/3/4/5/6/7/8/a.csv", csv)]), None).unwrap().len(), 1);
        let folder = tree(&[("a.csv", csv), ("1/2/3/4/5/6/7/8/9/b.csv", csv)]);
        let told = found(&folder, None).unwrap_err();
        assert!(told.contains("6/7/8/9: folders are searched 8 deep"), "{told}");
        let hidden = tree(&[("a.csv", csv), ("1/2/3/4/5/6/7/8/.9/b.csv", csv)]);
        assert_eq!(found(&hidden, None).unwrap().len(), 1);
    }

    #[test]
    fn results_of_benchmarks_are_no_log_and_say_where_they_go() {
        let folder = tree(&[("a.jsonl", r#"{"a": {"latency": {"value": 1}}}"#)]);
        let told = found(&folder, None).unwrap_err();
        assert!(told.contains("regress record NAME --from FILE"), "{told}");
        let folder = tree(&[("a.jsonl", "{\"a\": 1}")]);
        assert!(found(&folder, None).unwrap_err().contains("`_step`"));
        assert!(
            logs(&[PathBuf::from("no/such")], None).unwrap_err().to_string().contains("no/such")
        );
    }

    #[test]
    fn paths_that_lead_elsewhere_keep_their_last_part() {
        for (path, name) in [
            ("a/b.csv", "a/b.csv"),
            ("./a", "a"),
            ("/x/y/a.csv", "a.csv"),
            ("../z/a", "a"),
            (".", ""),
        ] {
            assert_eq!(called(Path::new(path)), name, "{path}");
        }
    }
}

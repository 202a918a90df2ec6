//! MLflow's file store: an experiment for the batch, a run for each run.
//!
//! ```text
//! DIR/                        the tracking URI: MLFLOW_TRACKING_URI=file:DIR
//!   <experiment>/meta.yaml    its id is made of the suite's digest, or of the runs', so that it stays
//!   <experiment>/<run>/       the run's id: the first 32 characters of its run digest
//!     meta.yaml  params/<name>  tags/<name>
//!     metrics/<name>          a line a look: milliseconds, value, step
//!     artifacts/              record.json and manifest.json as they are in the store
//! ```
//!
//! Names of params and metrics are made such as MLflow takes them; a name that had to change stands in a tag.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ledger::digest::Digest;
use ledger::plain;
use ledger::record::format::Status;

use crate::folder::write;
use crate::names::Paths;
use crate::yaml::quoted;
use crate::{Batch, ExportError, PROGRAM_URL, Run, as_text, scalars, settings};

/// Names of what is no setting among the params of a run.
const TAKEN: [&str; 4] = ["workload", "arm", "method", "seed"];

/// Files of a run that are its artifacts, where its folder has them.
const ARTIFACTS: [&str; 2] = ["record.json", "manifest.json"];

/// Most characters of a param, and of a tag.
const PARAM: usize = 6000;
const TAG: usize = 8000;

/// Fills a folder with the experiment; `place` is where that folder will be.
///
/// # Errors
/// When a file of a run cannot be read or does not fit its manifest, or one cannot be written.
pub fn fill(folder: &Path, place: &Path, batch: &Batch) -> Result<(), ExportError> {
    let experiment = experiment_id(batch);
    let below = folder.join(&experiment);
    let started = batch.runs.iter().map(|run| run.milliseconds(0.0)).min().unwrap_or_default();
    let ended = batch.ended_unix().saturating_mul(1000);
    let meta = format!(
        "artifact_location: {}\ncreation_time: {started}\nexperiment_id: '{experiment}'\nlast_update_time: {ended}\n\
         lifecycle_stage: active\nname: {}\n",
        quoted(&uri(&place.join(&experiment))),
        quoted(&format!("{} {}", short(&batch.name, 400), &experiment[..8])),
    );
    write(&below.join("meta.yaml"), meta.as_bytes())?;
    if let Some(question) = &batch.question {
        write(&below.join("tags/mlflow.note.content"), short(question, TAG).as_bytes())?;
    }
    if let Some(digest) = &batch.suite_digest {
        write(&below.join("tags/palimpsest.suite_digest"), digest.as_bytes())?;
    }
    for run in &batch.runs {
        let id = run_id(run);
        one(&below.join(&id), &place.join(&experiment).join(&id), &experiment, run)?;
    }
    Ok(())
}

/// A number of 18 digits, as MLflow gives them.
fn experiment_id(batch: &Batch) -> String {
    let digest = match &batch.suite_digest {
        Some(suite) => Digest::of(suite.as_bytes()),
        None => {
            let runs: Vec<&[u8]> =
                batch.runs.iter().map(|run| run.digest.as_bytes().as_slice()).collect();
            Digest::of_parts(&runs)
        }
    };
    let digits: String =
        digest.as_bytes().iter().map(|byte| char::from(b'0' + byte % 10)).take(17).collect();
    // Not 0, which is MLflow's own.
    format!("7{digits}")
}

fn run_id(run: &Run) -> String {
    run.digest.short(32)
}

/// How MLflow numbers the ends of runs.
const fn status(status: Status) -> u8 {
    match status {
        Status::Reached | Status::Censored => 3,
        Status::Diverged | Status::Failed => 4,
    }
}

fn one(folder: &Path, place: &Path, experiment: &str, run: &Run) -> Result<(), ExportError> {
    let record = &run.record;
    let (id, name) = (run_id(run), quoted(&short(&run.title(), 250)));
    let meta = format!(
        "artifact_uri: {}\nend_time: {}\nentry_point_name: ''\nexperiment_id: '{experiment}'\nlifecycle_stage: active\n\
         run_id: '{id}'\nrun_name: {name}\nrun_uuid: '{id}'\nsource_name: ''\nsource_type: 4\nsource_version: ''\n\
         start_time: {}\nstatus: {}\ntags: []\nuser_id: ''\n",
        quoted(&uri(&place.join("artifacts"))),
        run.milliseconds(record.clocks.total),
        run.milliseconds(0.0),
        status(record.status),
    );
    write(&folder.join("meta.yaml"), meta.as_bytes())?;

    let mut renamed: Vec<(String, String)> = Vec::new();
    let mut params = Paths::default();
    let own = [&run.workload, &run.arm, &record.method, &record.seed];
    let own = TAKEN.map(str::to_owned).into_iter().zip(own.map(Clone::clone));
    let set = settings(run, &TAKEN).map(|(name, value)| (name, as_text(value)));
    for (name, value) in own.chain(set) {
        let path = params.take(&name);
        write(&folder.join("params").join(&path), short(&value, PARAM).as_bytes())?;
        renamed.extend((path != name).then_some((path, name)));
    }

    let mut metrics = Paths::default();
    for (name, lines) in series(run) {
        let path = metrics.take(&name);
        write(&folder.join("metrics").join(&path), lines.as_bytes())?;
        renamed.extend((path != name).then(|| (path, name.into_owned())));
    }

    let mut tags = tags(run);
    if !renamed.is_empty() {
        let names: serde_json::Map<_, _> =
            renamed.into_iter().map(|(path, name)| (path, name.into())).collect();
        tags.push(("palimpsest.names", serde_json::to_string(&names)?));
    }
    for (name, value) in tags {
        write(&folder.join("tags").join(name), short(&value, TAG).as_bytes())?;
    }
    for name in ARTIFACTS {
        let from = run.folder.join(name);
        if from.exists() {
            let bytes = plain::read(&from).map_err(ExportError::io("read", &from))?;
            held_to_manifest(run, name, &bytes)?;
            write(&folder.join("artifacts").join(name), &bytes)?;
        }
    }
    // MLflow lists the folder even where nothing is in it.
    let artifacts = folder.join("artifacts");
    std::fs::create_dir_all(&artifacts).map_err(ExportError::io("create", &artifacts))
}

/// Refuses a file of a run that is not what its manifest says.
pub(crate) fn held_to_manifest(run: &Run, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
    let expected = match path {
        "manifest.json" => Some(run.digest),
        path => run.manifest.files.iter().find(|file| file.path == path).map(|file| file.sha256),
    };
    if expected == Some(Digest::of(bytes)) {
        return Ok(());
    }
    Err(ExportError::Changed { cell: run.record.cell.clone(), path: path.to_owned() })
}

/// The file of every metric, by name: beside what a look measures also what it cost.
fn series(run: &Run) -> BTreeMap<Cow<'_, str>, String> {
    let mut all = BTreeMap::<Cow<'_, str>, String>::new();
    for evaluation in &run.evaluations {
        #[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
        let cost = [
            ("samples".into(), evaluation.samples as f64),
            ("time/train_seconds".into(), evaluation.clocks.train),
        ];
        for (name, value) in scalars(evaluation).chain(cost) {
            let at = run.milliseconds(evaluation.clocks.total);
            let lines = all.entry(name).or_default();
            // Shortest decimal that reads back as the same double; `NaN` and `inf` as Python reads them.
            let _ = writeln!(lines, "{at} {value:?} {}", evaluation.steps);
        }
    }
    all
}

fn tags(run: &Run) -> Vec<(&'static str, String)> {
    let record = &run.record;
    let mut tags = vec![
        ("mlflow.runName", run.title()),
        ("mlflow.source.name", PROGRAM_URL.to_owned()),
        ("mlflow.source.type", "LOCAL".to_owned()),
        ("palimpsest.cell", record.cell.clone()),
        ("palimpsest.run_digest", run.digest.to_string()),
        ("palimpsest.suite", record.suite.clone()),
        ("palimpsest.suite_digest", record.suite_digest.to_string()),
        ("palimpsest.status", record.status.name().to_owned()),
        ("palimpsest.version", record.environment.palimpsest.clone()),
        ("palimpsest.code_digest", record.environment.code_digest.clone()),
    ];
    let some = [
        ("mlflow.source.git.commit", record.environment.git_commit.clone()),
        ("palimpsest.parameters_sha256", record.parameters_sha256.map(|it| it.to_string())),
        ("palimpsest.train_root", record.data.as_ref().map(|data| data.train_root.to_string())),
        ("palimpsest.commitment", record.order.as_ref().map(|it| it.commitment.to_string())),
        ("palimpsest.error", record.error.clone()),
    ];
    tags.extend(some.into_iter().filter_map(|(name, value)| Some((name, value?))));
    tags
}

/// The first so many characters.
fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// A path from the root on as an address.
fn uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use std::fs;

    use logs::{Form, Wanted};

    use super::*;
    use crate::sample;

    fn filled(batch: &Batch) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fill(&folder.path().join("out"), Path::new("/a b"), batch).unwrap();
        folder
    }

    #[test]
    fn the_reader_of_imports_gets_arms_seeds_and_every_digit_back() {
        let batch = sample::batch();
        let folder = filled(&batch);
        let wanted = Wanted {
            metric: "validation/accuracy".to_owned(),
            test: Some("test/accuracy".to_owned()),
            arm: Some("arm".to_owned()),
            ..Wanted::default()
        };
        let logs = logs::find::logs(&[folder.path().to_owned()], None).unwrap();
        assert_eq!(logs.len(), 4);
        let mut read: Vec<_> = logs
            .iter()
            .map(|log| {
                assert_eq!(log.form, Form::Mlflow);
                logs::read(log, &wanted).unwrap().runs.remove(0)
            })
            .collect();
        read.sort_by_key(|run| (run.arm.clone(), run.seed.clone()));
        for (read, run) in read.iter().zip(sample::sorted(&batch)) {
            assert_eq!(read.arm.as_deref(), Some(run.arm.as_str()));
            assert_eq!(read.seed.as_deref(), Some(run.record.seed.as_str()));
            assert_eq!(read.name, Some(run.title()));
            let looks: Vec<_> = read.looks.iter().map(|l| (l.step, l.seconds, l.value)).collect();
            let kept: Vec<_> = run
                .evaluations
                .iter()
                .filter_map(|e| {
                    let value = *e.metrics.get("validation/accuracy")?;
                    Some((Some(e.steps), Some(e.clocks.total), value))
                })
                .collect();
            assert_eq!(looks, kept);
            assert_eq!(read.tested, Some(run.record.last["test/accuracy"]));
            let failed = run.record.status == Status::Diverged;
            assert_eq!(read.notes.len(), usize::from(failed), "{:?}", read.notes);
        }
    }

    #[test]
    fn digests_are_tags_and_settings_with_names_of_ours_are_apart() {
        let batch = sample::batch();
        let folder = filled(&batch);
        let run = &batch.runs[0];
        let experiment = folder.path().join("out").join(experiment_id(&batch));
        let text =
            |path: &str| fs::read_to_string(experiment.join(run_id(run)).join(path)).unwrap();
        assert_eq!(text("tags/palimpsest.run_digest"), run.digest.to_string());
        assert_eq!(text("tags/palimpsest.cell"), run.record.cell);
        assert_eq!(text("params/seed"), "0");
        assert_eq!(text("params/setting/seed"), "7");
        assert_eq!(text("params/lr"), "0.05");
        assert_eq!(text("params/schedule"), "co\"sine\n");
        assert_eq!(text("params/betas"), "[0.9,0.95]");
        assert_eq!(text("params/workload_setting/width"), "32");
        assert_eq!(
            fs::read_to_string(experiment.join("tags/mlflow.note.content")).unwrap(),
            "Does it <work>?"
        );
        let meta: serde_yaml::Value = serde_yaml::from_str(&text("meta.yaml")).unwrap();
        let id = experiment_id(&batch);
        let place = format!("file:///a%20b/{id}/{}/artifacts", run_id(run));
        assert_eq!(meta["artifact_uri"].as_str(), Some(place.as_str()));
        assert_eq!(meta["start_time"].as_u64(), Some(1_764_496_800_000));
        assert_eq!(meta["end_time"].as_u64(), Some(1_764_496_802_000));
        assert_eq!((meta["status"].as_u64(), id.len()), (Some(3), 18));
    }

    #[test]
    fn names_of_a_stranger_make_files_that_mlflow_takes_and_a_tag_that_tells_them() {
        let mut batch = sample::batch();
        let run = &mut batch.runs[0];
        run.evaluations[0].metrics =
            [("../../x", 1.0), ("a@b", f64::INFINITY), ("a b", f64::NAN), ("a_b", 0.1)]
                .map(|(name, value)| (name.to_owned(), value))
                .into();
        run.record.settings.insert("x\ny/..".to_owned(), "line\nline".into());
        run.arm = "a: 'b\" #\n".to_owned();
        let digest = run.digest;
        let folder = filled(&batch);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let below = folder.path().join("out").join(experiment_id(&batch)).join(digest.short(32));
        let text = |path: &str| fs::read_to_string(below.join(path)).unwrap();
        assert_eq!(text("metrics/_./_./x"), "1764496800000 1.0 0\n");
        assert_eq!(text("metrics/a b"), "1764496800000 NaN 0\n");
        assert_eq!(text("metrics/a_b"), "1764496800000 inf 0\n");
        assert_eq!(text("metrics/a_b-2"), "1764496800000 0.1 0\n");
        assert_eq!(text("params/x_y/_."), "line\nline");
        let names: serde_json::Value =
            serde_json::from_str(&text("tags/palimpsest.names")).unwrap();
        assert_eq!((&names["a_b"], &names["a_b-2"]), (&"a@b".into(), &"a_b".into()));
        let meta: serde_yaml::Value = serde_yaml::from_str(&text("meta.yaml")).unwrap();
        let name = "a: 'b\" #\n on digits-mlp, seed 0";
        assert_eq!(meta["run_name"].as_str(), Some(name));
    }

    #[test]
    fn an_artifact_that_is_not_what_the_manifest_says_is_refused() {
        let mut batch = sample::batch();
        let store = tempfile::tempdir().unwrap();
        batch.runs.truncate(1);
        batch.runs[0].folder = store.path().to_owned();
        fs::write(store.path().join("record.json"), "record.json").unwrap();
        filled(&batch);
        fs::write(store.path().join("record.json"), "other").unwrap();
        let out = tempfile::tempdir().unwrap();
        let error = fill(out.path(), out.path(), &batch).unwrap_err().to_string();
        assert!(error.contains("record.json of run") && error.contains("manifest"), "{error}");
    }
}

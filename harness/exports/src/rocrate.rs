//! A Process Run Crate (RO-Crate 1.1, profile 0.5): the files of the runs and `ro-crate-metadata.json`, which says
//! what made each of them, from what, when and how it ended.
//!
//! ```text
//! DIR/ro-crate-metadata.json   the graph
//! DIR/suites/<digest>.yaml     texts of the suites that the runs were made for: the objects
//! DIR/runs/<cell>/…            every file of the run, as its manifest lists it: the results
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use analysis::calendar::moment;
use ledger::digest::Digest;
use ledger::lineage::Parents;
use ledger::plain;
use ledger::record::format::Status;
use serde_json::{Value, json};

use crate::folder::write;
use crate::mlflow::held_to_manifest;
use crate::{Batch, ExportError, PROGRAM_URL, Run};

/// What a crate must say and no record knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Whose runs they are.
    pub authors: Vec<String>,
    /// SPDX identifier of the licence that they are given under.
    pub licence: String,
    /// The organisation that publishes them.
    pub publisher: Option<String>,
}

/// Fills a folder with the crate.
///
/// # Errors
/// When a file of a run cannot be read or does not fit its manifest, or one cannot be written.
pub fn fill(folder: &Path, batch: &Batch, about: &About) -> Result<(), ExportError> {
    let mut suites = BTreeSet::new();
    for run in &batch.runs {
        let below = folder.join("runs").join(&run.record.cell);
        let own = run.manifest.files.iter().map(|file| file.path.as_str());
        for path in own.chain(["manifest.json"]) {
            let from = run.folder.join(path);
            let bytes = plain::read(&from).map_err(ExportError::io("read", &from))?;
            held_to_manifest(run, path, &bytes)?;
            write(&below.join(path), &bytes)?;
            let digest = Digest::of(&bytes);
            if path == SUITE && suites.insert(digest) {
                write(&folder.join(suite_path(&digest)), &bytes)?;
            }
        }
    }
    let mut json = serde_json::to_vec_pretty(&metadata(batch, about))?;
    json.push(b'\n');
    write(&folder.join("ro-crate-metadata.json"), &json)
}

/// The file of a run folder that is the text of its suite.
const SUITE: &str = "suite.yaml";

fn suite_path(digest: &Digest) -> String {
    format!("suites/{}.yaml", digest.short(16))
}

/// A moment as the profile wants it: with an offset, and no `Z`.
fn time(seconds_since_1970: u64) -> String {
    format!("{}+00:00", moment(seconds_since_1970).replace(' ', "T"))
}

/// A path as an identifier: a relative address.
fn id(path: &str) -> String {
    let mut id = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            id.push(char::from(byte));
        } else {
            id.push_str(&format!("%{byte:02X}"));
        }
    }
    id
}

/// References: one as it is, several as a list; a list of one is refused by checkers.
fn references(ids: &[String]) -> Value {
    match ids {
        [one] => json!({ "@id": one }),
        several => several.iter().map(|id| json!({ "@id": id })).collect(),
    }
}

/// What is in a file, by its name.
fn format(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("jsonl") => "application/jsonl",
        Some("yaml") => "application/yaml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

/// The graph.
#[must_use]
pub fn metadata(batch: &Batch, about: &About) -> Value {
    let authors: Vec<String> =
        (1..=about.authors.len()).map(|number| format!("#author-{number}")).collect();
    let licence = format!("https://spdx.org/licenses/{}", id(&about.licence));
    let suites = suites(batch);
    let actions: Vec<String> =
        batch.runs.iter().map(|run| format!("#run-{}", run.record.cell)).collect();
    let kept = batch.runs.iter().flat_map(files).map(|(path, ..)| id(&path));
    let parts: Vec<String> =
        suites.iter().map(|(digest, _)| suite_path(digest)).chain(kept).collect();
    let description = batch.question.clone().unwrap_or_else(|| batch.title());
    let mut root = json!({
        "@id": "./", "@type": "Dataset", "name": batch.title(), "description": description,
        "datePublished": time(batch.ended_unix()), "license": { "@id": licence },
        "conformsTo": { "@id": PROFILE }, "hasPart": references(&parts),
        "mentions": references(&actions), "author": references(&authors),
    });
    if about.publisher.is_some() {
        root["publisher"] = json!({ "@id": "#publisher" });
    }
    if let Some(digest) = &batch.suite_digest {
        root["identifier"] = json!(format!("sha256:{digest}"));
    }
    let mut graph = vec![
        json!({
            "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": { "@id": "./" },
            "conformsTo": { "@id": "https://w3id.org/ro/crate/1.1" },
        }),
        root,
        json!({ "@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5" }),
        json!({
            "@id": licence, "@type": "CreativeWork", "name": about.licence,
            "description": format!("The licence that SPDX calls {}", about.licence),
        }),
    ];
    graph.extend(
        authors
            .iter()
            .zip(&about.authors)
            .map(|(id, name)| json!({ "@id": id, "@type": "Person", "name": name })),
    );
    graph.extend(about.publisher.iter().map(|name| {
        json!({ "@id": "#publisher", "@type": "Organization", "name": name, "url": PROGRAM_URL })
    }));
    graph.extend(programs(batch).into_iter().map(|(id, version)| {
        json!({
            "@id": id, "@type": "SoftwareApplication", "name": "Palimpsest", "url": PROGRAM_URL,
            "softwareVersion": version,
        })
    }));
    graph.extend(suites.iter().map(|(digest, size)| {
        json!({
            "@id": suite_path(digest), "@type": "File", "name": "text of the suite",
            "encodingFormat": "application/yaml", "contentSize": size.to_string(), "sha256": digest,
        })
    }));
    graph.extend(strangers(batch).into_iter().map(|cell| {
        json!({
            "@id": parent_id(batch, cell), "@type": "CreativeWork",
            "name": format!("run {cell}, which is not in this crate"),
        })
    }));
    for run in &batch.runs {
        graph.push(action(batch, run, &authors));
        graph.extend(files(run).map(|(path, size, digest)| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let mut file = json!({
                "@id": id(&path), "@type": "File", "name": format!("{name} of {}", run.title()),
                "encodingFormat": format(&path), "sha256": digest,
            });
            if let Some(size) = size {
                file["contentSize"] = json!(size.to_string());
            }
            file
        }));
    }
    json!({
        "@context": [
            "https://w3id.org/ro/crate/1.1/context",
            "https://w3id.org/ro/terms/workflow-run/context",
        ],
        "@graph": graph,
    })
}

const PROFILE: &str = "https://w3id.org/ro/wfrun/process/0.5";

/// Digests and sizes of the texts of suites.
fn suites(batch: &Batch) -> BTreeSet<(Digest, u64)> {
    let files = batch.runs.iter().flat_map(|run| &run.manifest.files);
    files.filter(|file| file.path == SUITE).map(|file| (file.sha256, file.size)).collect()
}

/// Paths in the crate, sizes and digests of a run's files.
fn files(run: &Run) -> impl Iterator<Item = (String, Option<u64>, Digest)> {
    let below = |path: &str| format!("runs/{}/{path}", run.record.cell);
    let own = run
        .manifest
        .files
        .iter()
        .map(move |file| (below(&file.path), Some(file.size), file.sha256));
    // The manifest does not say its own size.
    let cell = &run.record.cell;
    own.chain([(format!("runs/{cell}/manifest.json"), None, run.digest)])
}

/// The version of the program that made a run, with its commit.
fn version(run: &Run) -> String {
    let environment = &run.record.environment;
    match environment.program() {
        Some(commit) => format!("{} ({commit})", environment.palimpsest),
        None => environment.palimpsest.clone(),
    }
}

fn program_id(run: &Run) -> String {
    format!("{PROGRAM_URL}#{}", id(&version(run)))
}

fn programs(batch: &Batch) -> BTreeSet<(String, String)> {
    batch.runs.iter().map(|run| (program_id(run), version(run))).collect()
}

/// Cell ids of the runs that a run starts from or learns from.
fn parents(run: &Run) -> impl Iterator<Item = &str> {
    run.record.lineage.iter().flat_map(Parents::iter).map(|parent| parent.cell.as_str())
}

/// A parent stands for what it left: by its manifest where it is in the crate, else by its name.
fn parent_id(batch: &Batch, cell: &str) -> String {
    if batch.runs.iter().any(|run| run.record.cell == cell) {
        format!("runs/{cell}/manifest.json")
    } else {
        format!("#parent-{}", id(cell))
    }
}

/// Parents that are not in the crate.
fn strangers(batch: &Batch) -> BTreeSet<&str> {
    let all = batch.runs.iter().flat_map(parents);
    all.filter(|cell| batch.runs.iter().all(|run| run.record.cell != *cell)).collect()
}

/// What made the files of a run.
fn action(batch: &Batch, run: &Run, authors: &[String]) -> Value {
    let record = &run.record;
    let results: Vec<String> = files(run).map(|(path, ..)| id(&path)).collect();
    let how = match record.status {
        Status::Failed => "http://schema.org/FailedActionStatus",
        _ => "http://schema.org/CompletedActionStatus",
    };
    let mut action = json!({
        "@id": format!("#run-{}", record.cell), "@type": "CreateAction", "name": run.title(),
        "description": record.environment.argv.join(" "),
        "identifier": format!("sha256:{}", run.digest),
        "startTime": time(record.environment.started_unix), "endTime": time(run.ended_unix()),
        "instrument": { "@id": program_id(run) }, "result": references(&results),
        "agent": references(authors), "actionStatus": how,
    });
    let suite = run.manifest.files.iter().find(|file| file.path == SUITE);
    let suite = suite.map(|file| suite_path(&file.sha256));
    let objects: Vec<String> =
        suite.into_iter().chain(parents(run).map(|cell| parent_id(batch, cell))).collect();
    if !objects.is_empty() {
        action["object"] = references(&objects);
    }
    if let Some(error) = &record.error {
        action["error"] = json!(error);
    }
    action
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::sample;

    fn about() -> About {
        About {
            authors: vec!["Ada <b>".to_owned()],
            licence: "CC-BY-4.0".to_owned(),
            publisher: Some("A lab".to_owned()),
        }
    }

    /// A batch whose run folders are there.
    fn kept(store: &Path) -> Batch {
        let mut batch = sample::batch();
        for run in &mut batch.runs {
            run.folder = store.join(&run.record.cell);
            for file in &mut run.manifest.files {
                file.size = file.path.len() as u64;
                write(&run.folder.join(&file.path), file.path.as_bytes()).unwrap();
            }
            let manifest = serde_json::to_vec(&run.manifest).unwrap();
            run.digest = Digest::of(&manifest);
            write(&run.folder.join("manifest.json"), &manifest).unwrap();
        }
        batch
    }

    /// Ids that an entity refers to.
    fn refers(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(all) => all.iter().for_each(|one| refers(one, found)),
            Value::Object(fields) => fields.iter().for_each(|(name, one)| match one.as_str() {
                Some(id) if name == "@id" => found.push(id.to_owned()),
                _ => refers(one, found),
            }),
            _ => {}
        }
    }

    #[test]
    fn every_file_is_there_with_its_digest_and_every_reference_leads_to_an_entity() {
        let folder = tempfile::tempdir().unwrap();
        let batch = kept(&folder.path().join("store"));
        let out = folder.path().join("crate");
        fill(&out, &batch, &about()).unwrap();
        let text = fs::read(out.join("ro-crate-metadata.json")).unwrap();
        let graph: Value = serde_json::from_slice(&text).unwrap();
        let graph = graph["@graph"].as_array().unwrap();
        let by_id: BTreeMap<&str, &Value> =
            graph.iter().map(|entity| (entity["@id"].as_str().unwrap(), entity)).collect();
        assert_eq!(by_id.len(), graph.len(), "an id stands twice");
        let known = "https://w3id.org/ro/crate/1.1";
        for entity in graph {
            let mut ids = Vec::new();
            refers(entity, &mut ids);
            for id in ids {
                assert!(by_id.contains_key(&*id) || id == known, "{id} leads nowhere");
            }
            if entity["@type"] == "File" {
                let bytes = fs::read(out.join(entity["@id"].as_str().unwrap())).unwrap();
                assert_eq!(entity["sha256"], Digest::of(&bytes).to_string());
                let size = entity["contentSize"].as_str();
                assert!(size.is_none_or(|size| size == bytes.len().to_string()), "{entity}");
            }
        }
        let files = batch.runs.len() * 3 + 1;
        assert_eq!(by_id["./"]["hasPart"].as_array().unwrap().len(), files);
        let action = by_id["#run-000000000000abc0"];
        assert_eq!(action["identifier"], format!("sha256:{}", batch.runs[0].digest));
        assert_eq!(action["startTime"], "2025-11-30T10:00:00+00:00");
        assert_eq!(action["endTime"], "2025-11-30T10:00:02+00:00");
        assert_eq!(by_id["#publisher"]["@type"], "Organization");
        assert_eq!(by_id["#author-1"]["name"], "Ada <b>");
    }

    #[test]
    fn a_list_of_one_is_no_list() {
        assert_eq!(references(&["a".to_owned()]), json!({ "@id": "a" }));
        let two = references(&["a".to_owned(), "b".to_owned()]);
        assert_eq!(two, json!([{ "@id": "a" }, { "@id": "b" }]));
        assert_eq!(id("a b/ü.json"), "a%20b/%C3%BC.json");
    }

    #[test]
    fn a_changed_file_of_a_run_makes_no_crate() {
        let folder = tempfile::tempdir().unwrap();
        let batch = kept(folder.path());
        fs::write(batch.runs[3].folder.join("record.json"), "changed").unwrap();
        let error = fill(&folder.path().join("crate"), &batch, &about()).unwrap_err();
        assert!(matches!(error, ExportError::Changed { .. }), "{error}");
    }
}

//! Files and folders of the user's that workloads read: looked for from the suite's folder on, and not part of
//! a cell's identity but by their names: what is in them has its own part there, of a network's module its SHA-256
//! beside its name.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::Plan;
use ledger::digest::Digest;
use ledger::plain;
use ledger::record::planned::PlannedWorkload;
use ledger::settings::Values;

/// Whether a setting of this name names a file, or a folder, of the user's.
fn names(setting: &str, what: &str) -> bool {
    setting.strip_suffix(what).is_some_and(|before| before.is_empty() || before.ends_with('_'))
}

/// The settings of a workload that name files or folders of the user's, with these; none where they are empty.
fn of(settings: &Values) -> impl Iterator<Item = (&String, &str)> {
    let files = settings.iter().filter(|(name, _)| names(name, "file") || names(name, "folder"));
    files.filter_map(|(name, file)| Some((name, file.as_str().filter(|file| !file.is_empty())?)))
}

/// Key of a setting whose value names a module of the user's, and of its SHA-256.
const MODULE: &str = "torchscript";
const SHA256: &str = "sha256";
/// Largest file of a module.
const MOST_BYTES: u64 = 1 << 30;

/// The settings of a workload that name modules of the user's, with their values and files.
fn modules(settings: &Values) -> impl Iterator<Item = (&String, &Map<String, Value>, &str)> {
    settings.iter().filter_map(|(name, value)| {
        let map = value.as_object()?;
        Some((name, map, map.get(MODULE)?.as_str()?))
    })
}

/// The same value with another path of its file.
fn moved(map: &Map<String, Value>, file: String) -> Map<String, Value> {
    let mut map = map.clone();
    map.insert(MODULE.to_owned(), file.into());
    map
}

/// The first file or folder of the user's that the settings of a workload name.
#[must_use]
pub fn named(settings: &Values) -> Option<&str> {
    of(settings).next().map(|(_, file)| file)
}

/// A workload as a cell's id has it: with the names of its files and folders alone, wherever they lie.
#[must_use]
pub fn identified(workload: &PlannedWorkload) -> PlannedWorkload {
    let mut identified = workload.clone();
    for (setting, file) in of(&workload.settings) {
        if let Some(name) = Path::new(file).file_name() {
            let name = name.to_string_lossy().into_owned();
            identified.settings.insert(setting.clone(), name.into());
        }
    }
    for (setting, map, file) in modules(&workload.settings) {
        if let Some(name) = Path::new(file).file_name() {
            let named = moved(map, name.to_string_lossy().into_owned());
            identified.settings.insert(setting.clone(), named.into());
        }
    }
    identified
}

/// Settings whose files and folders are found, from `folder` on; those of modules with their SHA-256.
///
/// # Errors
/// When one is not there, with the path that was given and where it was looked for; when a module is not the one
/// that the suite names by its SHA-256.
pub fn located(settings: &Values, folder: &Path) -> Result<Values, String> {
    let mut located = settings.clone();
    for (setting, given) in of(settings) {
        located.insert(
            setting.clone(),
            Value::String(found(given, folder, names(setting, "folder"))?),
        );
    }
    for (setting, map, given) in modules(settings) {
        let path = found(given, folder, false)?;
        let bytes =
            read(Path::new(&path)).map_err(|error| format!("cannot read {path}: {error}"))?;
        let sha256 = Digest::of(&bytes).to_string();
        if let Some(wanted) = map.get(SHA256).and_then(Value::as_str)
            && wanted != sha256
        {
            return Err(format!(
                "{given} has the SHA-256 {sha256}, not {wanted}: leave sha256 out, or bring the file back"
            ));
        }
        let mut map = moved(map, path);
        map.insert(SHA256.to_owned(), sha256.into());
        located.insert(setting.clone(), map.into());
    }
    Ok(located)
}

/// The bytes of a module.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    plain::read_at_most(&fs::canonicalize(path)?, MOST_BYTES)
}

fn found(given: &str, folder: &Path, is_folder: bool) -> Result<String, String> {
    let path = folder.join(given);
    let shown = path.display().to_string();
    let (what, there) = match is_folder {
        true => ("folder", path.is_dir()),
        false => ("file", path.is_file()),
    };
    if there {
        return Ok(shown);
    }
    Err(format!(
        "there is no {what} {given}; looked for {shown}: a path in a suite is taken from the suite's folder on"
    ))
}

impl Plan {
    /// Looks for the files that workloads name, from `folder` on, and has them read there.
    ///
    /// # Errors
    /// When one is not there, with the path that was given and where it was looked for.
    pub fn find_files(&mut self, folder: &Path) -> Result<(), String> {
        for workload in &mut self.workloads {
            let found = located(&workload.settings, folder);
            workload.settings =
                found.map_err(|error| format!("workload \"{}\": {error}", workload.label))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::catalogue;
    use crate::plan::{Overrides, plan};
    use ledger::digest::Digest;
    use ledger::lineage::Parents;
    use ledger::settings;

    settings! {
        /// Settings of a workload that reads a file.
        pub struct Reading {
            /// A text.
            file: String = String::new(), from "assumed";
        }
    }

    fn planned(file: &str, folder: &Path) -> Result<Plan, String> {
        let mut catalogue = catalogue();
        catalogue.workloads[0].settings = Reading::table();
        catalogue.workloads[0].resolve = Reading::resolve;
        catalogue.workloads[0].epoch_setting = None;
        let text = format!(
            "{{ suite: x, question: q, workloads: [{{ workload: digits-mlp, as: w, with: {{ file: \"{file}\" }} }}], arms: [sgd] }}"
        );
        let mut plan = plan("x.yaml", &text, &catalogue, &Overrides::default()).unwrap();
        plan.find_files(folder).map(|()| plan)
    }

    fn id(plan: &Plan) -> String {
        let data = Digest::of(b"data").into();
        plan.cell_id(plan.cells[0], &Parents::default(), "0", data, "code").unwrap()
    }

    #[test]
    fn a_users_file_is_read_beside_its_suite_and_its_place_is_no_part_of_the_cells_id() {
        let folder = tempfile::tempdir().unwrap();
        let [here, there] = ["here", "there/deeper"].map(|name| folder.path().join(name));
        for place in [&here, &there] {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("x.txt"), "text").unwrap();
        }
        fs::write(here.join("y.txt"), "text").unwrap();
        let first = planned("x.txt", &here).unwrap();
        let file = |plan: &Plan| plan.workloads[0].settings["file"].clone();
        assert_eq!(file(&first).as_str(), here.join("x.txt").to_str());
        let second = planned("../deeper/x.txt", &there).unwrap();
        assert_ne!(file(&first), file(&second));
        assert_eq!(id(&first), id(&second));
        assert_ne!(id(&first), id(&planned("y.txt", &here).unwrap()));
        let absolute = planned(here.join("x.txt").to_str().unwrap(), Path::new("elsewhere"));
        assert_eq!(id(&absolute.unwrap()), id(&first));
        assert_eq!(file(&planned("", &here).unwrap()), "");
    }

    #[test]
    fn a_folder_of_the_users_is_looked_for_like_a_file_and_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("leaves")).unwrap();
        fs::write(folder.path().join("x"), "text").unwrap();
        let given = |name: &str, path: &str| Values::from([(name.to_owned(), path.into())]);
        let found = located(&given("folder", "leaves"), folder.path()).unwrap();
        assert_eq!(found["folder"].as_str(), folder.path().join("leaves").to_str());
        assert_eq!(named(&found), folder.path().join("leaves").to_str());
        for (name, path, what) in [
            ("folder", "x", "folder x"),
            ("file", "leaves", "file leaves"),
            ("a_file", "y", "file y"),
        ] {
            let told = located(&given(name, path), folder.path()).unwrap_err();
            assert!(told.contains(&format!("there is no {what}; looked for")), "{told}");
        }
        assert_eq!(named(&given("profile", "y")), None);
    }

    #[test]
    fn a_file_that_is_not_there_is_named_as_given_and_where_it_was_looked_for() {
        let told = planned("texts/x.txt", Path::new("suites")).unwrap_err();
        assert!(
            told.contains("\"w\": there is no file texts/x.txt; looked for suites/texts/x.txt"),
            "{told}"
        );
    }

    #[test]
    fn a_module_is_the_same_by_its_bytes_wherever_it_lies_and_another_with_others() {
        let folder = tempfile::tempdir().unwrap();
        let [here, there] = ["here", "there"].map(|name| folder.path().join(name));
        for place in [&here, &there] {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("net.pt"), "code").unwrap();
        }
        let of = |value: serde_json::Value| Values::from([("network".to_owned(), value)]);
        let given = of(serde_json::json!({ "torchscript": "net.pt" }));
        let digest = Digest::of(b"code").to_string();
        let first = located(&given, &here).unwrap();
        assert_eq!(first["network"]["sha256"], digest.as_str());
        assert_eq!(first["network"]["torchscript"].as_str(), here.join("net.pt").to_str());
        // What has been found once is found again.
        assert_eq!(located(&first, Path::new("elsewhere")).unwrap(), first);
        let mut plan = planned("", &here).unwrap();
        let mut id_with = |settings: Values| {
            plan.workloads[0].settings = settings;
            id(&plan)
        };
        let same = id_with(first.clone());
        assert_eq!(same, id_with(located(&given, &there).unwrap()));
        fs::write(there.join("net.pt"), "other code").unwrap();
        assert_ne!(same, id_with(located(&given, &there).unwrap()));
        let pinned = of(serde_json::json!({ "torchscript": "net.pt", "sha256": digest }));
        assert!(located(&pinned, &here).is_ok());
        let told = located(&pinned, &there).unwrap_err();
        assert!(told.contains("net.pt has the SHA-256") && told.contains(&digest), "{told}");
        let gone = located(&given, folder.path()).unwrap_err();
        assert!(gone.contains("there is no file net.pt"), "{gone}");
        fs::File::create(there.join("net.pt")).unwrap().set_len(MOST_BYTES + 1).unwrap();
        let large = located(&given, &there).unwrap_err();
        assert!(large.contains("net.pt: it has more than 1073741824 bytes"), "{large}");
    }
}

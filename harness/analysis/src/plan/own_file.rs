//! Files of the user's that workloads read: looked for from the suite's folder on, and not part of a
//! cell's identity but by their names: what is in them has its own part there.

use std::path::Path;

use serde_json::Value;

use super::Plan;
use ledger::record::planned::PlannedWorkload;
use ledger::settings::Values;

/// The settings of a workload that name files of the user's, with the files; none where they are empty.
fn of(settings: &Values) -> impl Iterator<Item = (&String, &str)> {
    let named = |name: &&String| *name == "file" || name.ends_with("_file");
    let files = settings.iter().filter(move |(name, _)| named(name));
    files.filter_map(|(name, file)| Some((name, file.as_str().filter(|file| !file.is_empty())?)))
}

/// A workload as a cell's id has it: with its files' names alone, wherever they lie.
#[must_use]
pub fn identified(workload: &PlannedWorkload) -> PlannedWorkload {
    let mut identified = workload.clone();
    for (setting, file) in of(&workload.settings) {
        if let Some(name) = Path::new(file).file_name() {
            let name = name.to_string_lossy().into_owned();
            identified.settings.insert(setting.clone(), name.into());
        }
    }
    identified
}

/// Settings whose files are found, from `folder` on.
///
/// # Errors
/// When one is not there, with the path that was given and where it was looked for.
pub fn located(settings: &Values, folder: &Path) -> Result<Values, String> {
    let mut located = settings.clone();
    for (setting, given) in of(settings) {
        let path = folder.join(given);
        let shown = path.display().to_string();
        if !path.is_file() {
            return Err(format!(
                "there is no file {given}; looked for {shown}: a path in a suite is taken from the suite's folder on"
            ));
        }
        located.insert(setting.clone(), Value::String(shown));
    }
    Ok(located)
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
    use std::fs;

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
    fn a_file_that_is_not_there_is_named_as_given_and_where_it_was_looked_for() {
        let told = planned("texts/x.txt", Path::new("suites")).unwrap_err();
        assert!(
            told.contains("\"w\": there is no file texts/x.txt; looked for suites/texts/x.txt"),
            "{told}"
        );
    }
}

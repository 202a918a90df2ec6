//! Files of the user's that workloads read: looked for from the suite's folder on, and not part of a
//! cell's identity but by their names: what is in them has its own part there.

use std::path::Path;

use serde_json::Value;

use super::Plan;
use ledger::record::planned::PlannedWorkload;

/// The setting of a workload that names a file of the user's; empty where there is none.
const SETTING: &str = "file";

/// The file that a workload reads, if it is the user's.
fn of(workload: &PlannedWorkload) -> Option<&str> {
    workload.settings.get(SETTING).and_then(Value::as_str).filter(|file| !file.is_empty())
}

/// A workload as a cell's id has it: with its file's name alone, wherever that lies.
#[must_use]
pub fn identified(workload: &PlannedWorkload) -> PlannedWorkload {
    let mut identified = workload.clone();
    let name = of(workload).and_then(|file| Path::new(file).file_name());
    if let Some(name) = name {
        let name = name.to_string_lossy().into_owned();
        identified.settings.insert(SETTING.to_owned(), name.into());
    }
    identified
}

impl Plan {
    /// Looks for the files that workloads name, from `folder` on, and has them read there.
    ///
    /// # Errors
    /// When one is not there, with the path that was given and where it was looked for.
    pub fn find_files(&mut self, folder: &Path) -> Result<(), String> {
        for workload in &mut self.workloads {
            let Some(given) = of(workload) else { continue };
            let path = folder.join(given);
            let shown = path.display().to_string();
            if !path.is_file() {
                return Err(format!(
                    "workload \"{}\": there is no file {given}; looked for {shown}: a path in a suite is taken from the suite's folder on",
                    workload.label
                ));
            }
            workload.settings.insert(SETTING.to_owned(), shown.into());
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
        assert_eq!(of(&first.workloads[0]), here.join("x.txt").to_str());
        let second = planned("../deeper/x.txt", &there).unwrap();
        assert_ne!(of(&first.workloads[0]), of(&second.workloads[0]));
        assert_eq!(id(&first), id(&second));
        assert_ne!(id(&first), id(&planned("y.txt", &here).unwrap()));
        let absolute = planned(here.join("x.txt").to_str().unwrap(), Path::new("elsewhere"));
        assert_eq!(id(&absolute.unwrap()), id(&first));
        assert_eq!(of(&planned("", &here).unwrap().workloads[0]), None);
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

//! The machine's noise floor of a suite (`regress aa`), read back from the store.

use std::fs;
use std::path::Path;

use super::{Analysis, CellRun};
use crate::imported::has_clock;
use crate::regress::NoiseFloor;
use ledger::record::format::Environment;
use ledger::record::store::Store;

/// The metric of a floor that stands for times to the target.
const TIME: &str = "time-to-target";

impl Analysis {
    /// Gives each arm the floor of its times to the target, where one was measured of this suite on the machine of its
    /// runs. What cannot be read as a floor is none, and a warning says so.
    pub(super) fn take_noise_floors(&mut self, store: &Store, cells: &[CellRun]) {
        let mut records = cells.iter().filter_map(|run| Some(&run.left.as_ref()?.record));
        let Some(record) = records.find(|record| has_clock(record)) else { return };
        let found = read(&store.root().join("floors"), &self.suite, &record.environment);
        self.warnings.extend(found.unreadable);
        let Some(floor) = found.floor else { return };
        for workload in &mut self.workloads {
            for arm in &mut workload.arms {
                let mine = floor.metrics.iter().find(|metric| {
                    metric.name.metric == TIME
                        && metric.name.workload == workload.workload
                        && metric.name.arm == arm.label
                });
                arm.noise_floor = mine.map(|metric| metric.p99);
            }
        }
    }
}

/// What the folder of floors holds for a suite.
#[derive(Default)]
struct Found {
    floor: Option<NoiseFloor>,
    unreadable: Vec<String>,
}

/// The newest floor of a suite on the machine that `environment` tells of.
fn read(folder: &Path, suite: &str, environment: &Environment) -> Found {
    let mut found = Found::default();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let named = |path: &Path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(suite))
    };
    for path in paths.iter().filter(|path| named(path)) {
        let shown = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"));
        let parsed = text
            .and_then(|text| NoiseFloor::parse(&text, &shown).map_err(|error| error.to_string()));
        match parsed {
            Err(error) => {
                found.unreadable.push(format!("{error}; measure it again (regress aa)"));
            }
            Ok(floor) if floor.suite == suite && is_of(&floor, environment) => {
                let newer = found
                    .floor
                    .as_ref()
                    .is_none_or(|other| other.measured_unix < floor.measured_unix);
                if newer {
                    found.floor = Some(floor);
                }
            }
            Ok(_) => {}
        }
    }
    found
}

/// Whether a floor is of the processor and the device of a run.
fn is_of(floor: &NoiseFloor, environment: &Environment) -> bool {
    let part = |name: &str| floor.machine.parts.get(name).map(String::as_str);
    part("cpu") == Some(environment.cpu.as_str())
        && part("cpus") == Some(environment.cpus.to_string().as_str())
        && part("device") == Some(environment.device.as_str())
        && part("gpu") == environment.gpu.as_deref()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ledger::digest::Digest;

    use super::*;
    use crate::regress::Machine;
    use crate::regress::floor::{FLOOR_VERSION, MetricFloor};
    use crate::regress::metric::MetricName;

    fn floor(suite: &str, environment: &Environment, measured_unix: u64, p99: f64) -> NoiseFloor {
        let name = MetricName {
            workload: "digits".to_owned(),
            arm: "sgd".to_owned(),
            metric: TIME.to_owned(),
        };
        NoiseFloor {
            version: FLOOR_VERSION,
            suite: suite.to_owned(),
            machine: Machine::of(environment, &BTreeMap::new()),
            measured_unix,
            rounds: 5,
            comparisons: 0,
            alarms: 0,
            metrics: vec![MetricFloor {
                name,
                config: Digest::of(b""),
                median: 0.0,
                p99,
                pairs: 3,
            }],
        }
    }

    #[test]
    fn the_newest_floor_of_the_suite_on_this_machine_counts() {
        let folder = tempfile::tempdir().unwrap();
        let here = Environment { cpu: "A".into(), device: "cpu".into(), ..Environment::default() };
        let there = Environment { cpu: "B".into(), ..here.clone() };
        for (file, floor) in [
            ("digits-1.json", floor("digits", &here, 5, 0.02)),
            ("digits-2.json", floor("digits", &here, 9, 0.03)),
            ("digits-3.json", floor("digits", &there, 99, 0.5)),
            ("digits-more-4.json", floor("digits-more", &here, 99, 0.6)),
        ] {
            fs::write(folder.path().join(file), serde_json::to_vec(&floor).unwrap()).unwrap();
        }
        let found = read(folder.path(), "digits", &here);
        assert_eq!(found.floor.unwrap().metrics[0].p99, 0.03);
        assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
        assert_eq!(read(&folder.path().join("none"), "digits", &here).floor, None);
    }

    #[test]
    fn a_file_that_is_no_floor_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("digits-1.json"), "{").unwrap();
        let found = read(folder.path(), "digits", &Environment::default());
        assert_eq!(found.floor, None);
        assert!(found.unreadable[0].contains("digits-1.json"), "{:?}", found.unreadable);
    }
}

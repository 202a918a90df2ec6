//! Runs that were imported: read off the logs of other tools by `palimpsest import`, and made by nobody
//! here. They have no order and no commitment, and all that a record says of one is what its log says.
//!
//! What decides such a run stands in its settings ([`Imported`]), so that its id is taken over it like any
//! other's; data name their origin [`ORIGIN`].

use std::collections::BTreeMap;

use ledger::crossing::{Crossing, EvalPoint, crossing};
use ledger::digest::Digest;
use ledger::external::own_task::OwnTask;
use ledger::goal::Target;
use ledger::record::format::{DataSection, Evaluation, Event, RunRecord, Status};
use ledger::record::store::Store;
use ledger::settings::Values;
use serde::{Deserialize, Serialize};

/// The method id of all imported arms.
pub const METHOD: &str = "imported";

/// Origin of the data of an imported run.
pub const ORIGIN: &str = "imported";

/// What decides an imported run: what was read off which bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The reader and its version: `csv/1`.
    pub reader: String,
    /// Digests of the files, in the order of their names.
    pub files: Vec<Digest>,
    /// Which run of the files it is, where they hold several.
    pub run: Option<String>,
    /// The metric's name in the log.
    pub metric: String,
    /// Its name on a test split, where that was read too.
    pub test: Option<String>,
    /// What counts samples or steps, where that was chosen.
    pub counts: Option<String>,
    /// Samples that a step was taken for; none where the log counts samples.
    pub samples_per_step: Option<u64>,
    /// What told the time, where that was chosen; `none` where the clock was left out.
    pub clock: Option<String>,
    /// Whether later looks replaced those that they went back behind.
    pub resumed: bool,
}

impl Imported {
    /// The reading of a record, where it is of such a run.
    #[must_use]
    pub fn of(record: &RunRecord) -> Option<Self> {
        if !is_imported(record) {
            return None;
        }
        let settings = serde_json::to_value(&record.settings).ok()?;
        serde_json::from_value(settings).ok()
    }

    /// As the settings of a record.
    ///
    /// # Errors
    /// Never: all of it can be written as JSON.
    pub fn values(&self) -> Result<Values, serde_json::Error> {
        serde_json::from_value(serde_json::to_value(self)?)
    }
}

/// Whether a run was imported.
#[must_use]
pub fn is_imported(record: &RunRecord) -> bool {
    record.method == METHOD
}

/// Why nothing that needs an order, a model or a repetition can be done with a run that was imported.
#[must_use]
pub fn refusal(record: &RunRecord, what: &str) -> Option<String> {
    is_imported(record).then(|| format!("run {} was imported from logs: {what}", record.cell))
}

/// Whether a run has times: one that was imported may be of a log without a clock.
#[must_use]
pub fn has_clock(record: &RunRecord) -> bool {
    !is_imported(record) || record.clocks.train > 0.0
}

/// What the record of an imported run says of its data: what they were is nobody's to know here, so that
/// all roots are one digest of the task's name and what the suite says of its data.
#[must_use]
pub fn data_section(task: &OwnTask) -> DataSection {
    let length = (task.name.len() as u64).to_le_bytes();
    let parts: [&[u8]; 4] =
        [b"palimpsest/imported/v1", &length, task.name.as_bytes(), task.data.as_bytes()];
    let root = Digest::of_parts(&parts);
    DataSection {
        name: task.name.clone(),
        origin: ORIGIN.to_owned(),
        sha256: None,
        classes: None,
        train_root: root,
        validation_root: root,
        test_root: root,
    }
}

/// What the looks of an imported run decide of its record: whoever writes the record and whoever verifies
/// it compute it here.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// How it ended.
    pub status: Status,
    /// Crossing of the target; without times where the log has no clock, without steps where it counts none.
    pub time_to_target: Option<Crossing>,
    /// Metrics at the end.
    pub last: BTreeMap<String, f64>,
    /// Samples at the last look.
    pub samples: u64,
    /// Steps at the last look; 0 where the log counts none.
    pub steps: u64,
    /// Seconds at the last look; 0 where the log has no clock.
    pub seconds: f64,
}

impl Decided {
    /// Reads it off the looks, oldest first.
    ///
    /// # Errors
    /// When counts or clocks do not go on, or there is no look.
    pub fn of(looks: &[Evaluation], target: &Target) -> Result<Self, String> {
        let last = looks.last().ok_or("it has no look")?;
        let clocked = last.clocks.train > 0.0;
        let name = target.validation_key();
        let point = |look: &Evaluation| {
            let point = look.point(&name);
            // Without a clock it crosses in samples alone.
            let seconds = if clocked { point.train_seconds } else { look.samples as f64 };
            EvalPoint { train_seconds: seconds, ..point }
        };
        let points: Vec<EvalPoint> = looks.iter().map(point).collect();
        let mut crossed =
            crossing(&points, target.value, target.direction).map_err(|error| error.to_string())?;
        let diverged = crossed.diverged_at.is_some();
        let reached = crossed.isotonic.is_some();
        if !clocked {
            let Crossing { samples, steps, .. } = crossed;
            let (isotonic, first, held3, diverged_at) = (None, None, None, None);
            crossed = Crossing { isotonic, first, held3, samples, steps, diverged_at };
        }
        if last.steps == 0 {
            crossed.steps = None;
        }
        Ok(Self {
            status: match (diverged, reached) {
                (true, _) => Status::Diverged,
                (false, true) => Status::Reached,
                (false, false) => Status::Censored,
            },
            time_to_target: Some(crossed),
            last: last.metrics.clone(),
            samples: last.samples,
            steps: last.steps,
            seconds: last.clocks.train,
        })
    }
}

/// Digests of the files as the facts of a record name them; none where they are no list of such.
fn files(record: &RunRecord) -> Option<Vec<Digest>> {
    let files = record.facts.get("files")?.as_array()?;
    files.iter().map(|file| file.get("sha256")?.as_str()?.parse::<Digest>().ok()).collect()
}

/// Holds what the record of an imported run says of its origin to its settings: it has nothing that only
/// training here leaves.
fn check_origin(record: &RunRecord, read: &Imported) -> Result<(), String> {
    let task = OwnTask::of(&record.workload, &record.workload_settings)
        .ok_or("its workload is not one of imported runs")?;
    let facts = [
        ("data", record.data.as_ref() == Some(&data_section(&task))),
        ("order", record.order.is_none() && record.parameters_sha256.is_none()),
        ("given_order", record.given_order.is_none()),
        ("lineage", record.lineage.is_none()),
        ("external", record.external.is_none()),
        ("at_target", record.at_target.is_empty()),
        ("facts.files", files(record).as_ref() == Some(&read.files)),
    ];
    match facts.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} is not what a run that was imported so has")),
    }
}

/// Holds what the record of an imported run says to its settings and its events.
///
/// # Errors
/// With the first thing that is not what they give.
pub(crate) fn check(store: &Store, record: &RunRecord) -> Result<(), String> {
    let read = Imported::of(record).ok_or("its settings are not those of an imported run")?;
    check_origin(record, &read)?;
    let events = store.events(&record.cell).map_err(|error| error.to_string())?;
    match events.last() {
        Some(Event::Ended { status }) if *status == record.status => {}
        _ => return Err("events.jsonl does not tell the end that the record tells".to_owned()),
    }
    let looks: Vec<Evaluation> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Evaluated(look) => Some(look),
            _ => None,
        })
        .collect();
    let decided = Decided::of(&looks, &record.goal.target)?;
    let facts = [
        ("status", decided.status == record.status),
        ("time_to_target", decided.time_to_target == record.time_to_target),
        ("final", decided.last == record.last),
        ("samples", decided.samples == record.samples),
        ("steps", decided.steps == record.steps),
        ("clocks", decided.seconds == record.clocks.train),
        ("budget", record.samples <= record.goal.budget.samples),
    ];
    match facts.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} is not what the looks of events.jsonl give")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::goal::Direction;
    use ledger::record::format::ClockSeconds;
    use ledger::transcript::ChainPoint;

    fn look(samples: u64, steps: u64, seconds: f64, value: Option<f64>) -> Evaluation {
        Evaluation {
            samples,
            steps,
            clocks: ClockSeconds { train: seconds, total: seconds, ..ClockSeconds::default() },
            train_loss: None,
            metrics: value.map(|value| ("validation/m".to_owned(), value)).into_iter().collect(),
            costs: BTreeMap::new(),
            chain: ChainPoint { step: steps, chain: Digest([0; 32]) },
        }
    }

    fn decided(looks: &[Evaluation]) -> Result<Decided, String> {
        let (metric, origin) = ("m".to_owned(), "here".to_owned());
        let direction = Direction::HigherIsBetter;
        Decided::of(looks, &Target { metric, direction, value: 0.5, origin })
    }

    #[test]
    fn a_log_without_a_clock_crosses_in_samples_and_has_no_time() {
        let looks = [look(0, 0, 0.0, Some(0.25)), look(10, 5, 0.0, Some(0.75))];
        let found = decided(&looks).unwrap();
        let crossed = found.time_to_target.unwrap();
        assert_eq!((crossed.isotonic, crossed.first), (None, None));
        assert_eq!((crossed.samples, crossed.steps), (Some(5.0), Some(2.5)));
        assert_eq!((found.status, found.seconds), (Status::Reached, 0.0));
        let timed = [look(0, 0, 0.0, Some(0.25)), look(10, 0, 4.0, Some(0.75))];
        let crossed = decided(&timed).unwrap().time_to_target.unwrap();
        assert_eq!((crossed.isotonic, crossed.steps), (Some(2.0), None));
    }

    #[test]
    fn a_log_that_never_reaches_is_censored_and_one_that_is_no_number_diverged() {
        assert_eq!(decided(&[look(9, 1, 1.0, Some(0.1))]).unwrap().status, Status::Censored);
        let diverged = [look(1, 1, 1.0, Some(0.9)), look(2, 2, 2.0, None)];
        assert_eq!(decided(&diverged).unwrap().status, Status::Diverged);
        assert!(decided(&[]).unwrap_err().contains("no look"));
        let back = [look(9, 1, 2.0, Some(0.1)), look(10, 2, 1.0, Some(0.1))];
        assert!(decided(&back).unwrap_err().contains("not later"));
    }
}

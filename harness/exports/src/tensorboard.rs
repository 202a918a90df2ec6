//! TensorBoard's event files: a folder a run, `<workload>/<arm>/seed<seed>/events.out.tfevents.…`, in which every
//! metric of every look is a scalar at its step and time of day.
//!
//! A file is records of length (u64, little-endian), masked CRC-32C of these 8 bytes, the bytes, their masked CRC-32C;
//! a record is an `Event` of Protocol Buffers. Scalars are the 32-bit floats that `simple_value` has, which is what
//! all readers know; the tables ([`crate::table`]) keep every digit. Settings are the session of the `hparams` plugin,
//! and the run's digest is a text beside its curves.

use std::path::Path;

use crc::{CRC_32_ISCSI, Crc};
use serde_json::{Value, json};

use crate::folder::write;
use crate::names::{Paths, file_name};
use crate::{Batch, ExportError, Run, scalars, settings};

/// Tag of the text that names a run and its digests.
const RUN_TAG: &str = "palimpsest/run";

/// Names of what is no setting in the session of a run.
const TAKEN: [&str; 4] = ["workload", "arm", "method", "seed"];

/// Fills a folder with one folder per run.
///
/// # Errors
/// When a file cannot be written.
pub fn fill(folder: &Path, batch: &Batch) -> Result<(), ExportError> {
    let mut paths = Paths::default();
    for run in &batch.runs {
        let parts = [&run.workload, &run.arm].map(|name| file_name(name));
        let seed = file_name(&run.record.seed);
        let below = paths.take(&format!("{}/{}/seed{seed}", parts[0], parts[1]));
        let started = run.record.environment.started_unix;
        let name = format!("events.out.tfevents.{started:010}.{}", run.record.cell);
        write(&folder.join(below).join(name), &events(run))?;
    }
    Ok(())
}

/// The event file of a run.
#[must_use]
pub fn events(run: &Run) -> Vec<u8> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day stay below 2^53")]
    let time = |seconds: f64| run.milliseconds(seconds) as f64 / 1e3;
    let began = time(0.0);
    let mut file = framed(&event(began, 0, &bytes(3, b"brain.Event:2")));
    let told = [text(RUN_TAG, &identity(run).to_string()), session(run, began)];
    file.extend(framed(&event(began, 0, &bytes(5, &told.concat()))));
    for evaluation in &run.evaluations {
        let values = scalars(evaluation).map(|(tag, value)| scalar(&tag, value));
        let summary = bytes(5, &values.collect::<Vec<_>>().concat());
        file.extend(framed(&event(time(evaluation.clocks.total), evaluation.steps, &summary)));
    }
    file
}

/// What of a run leads back to its record.
fn identity(run: &Run) -> Value {
    json!({
        "cell": run.record.cell,
        "run_digest": run.digest,
        "suite": run.record.suite,
        "suite_digest": run.record.suite_digest,
        "workload": run.workload,
        "arm": run.arm,
        "method": run.record.method,
        "seed": run.record.seed,
        "status": run.record.status,
    })
}

/// `Summary.Value` of one number.
fn scalar(tag: &str, value: f64) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "simple_value is a 32-bit float")]
    let value = (value as f32).to_le_bytes();
    bytes(1, &[bytes(1, tag.as_bytes()), vec![key(2, FIXED32)], value.to_vec()].concat())
}

/// `Summary.Value` of a text: a tensor of one string that the `text` plugin shows.
fn text(tag: &str, words: &str) -> Vec<u8> {
    let shape = bytes(2, &bytes(2, &number(1, 1)));
    let tensor = [number(1, DT_STRING), shape, bytes(8, words.as_bytes())].concat();
    let parts = [bytes(1, tag.as_bytes()), bytes(8, &tensor), plugin("text", &[])];
    bytes(1, &parts.concat())
}

/// `Summary.Value` of the settings of a run.
fn session(run: &Run, began: f64) -> Vec<u8> {
    let told = json!({
        "workload": run.workload, "arm": run.arm, "method": run.record.method, "seed": run.record.seed,
    });
    let told = told.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value));
    let all = told.chain(settings(run, &TAKEN)).map(|(name, value)| {
        let entry = [bytes(1, name.as_bytes()), bytes(2, &of_any_kind(value))].concat();
        bytes(1, &entry)
    });
    let start =
        [all.collect::<Vec<_>>().concat(), vec![key(5, FIXED64)], began.to_le_bytes().to_vec()];
    let content = bytes(3, &start.concat());
    // A tensor must be there, and nobody reads it: one zero.
    let tensor = [number(1, DT_FLOAT), bytes(2, &bytes(2, &number(1, 1))), vec![key(5, FIXED32)]];
    let tensor = [&tensor.concat()[..], &0.0_f32.to_le_bytes()].concat();
    let tag = bytes(1, b"_hparams_/session_start_info");
    bytes(1, &[tag, bytes(8, &tensor), plugin("hparams", &content)].concat())
}

/// `google.protobuf.Value`.
fn of_any_kind(value: &Value) -> Vec<u8> {
    match value {
        Value::Bool(yes) => number(4, u64::from(*yes)),
        Value::Number(found) => {
            let found = found.as_f64().unwrap_or(f64::NAN).to_le_bytes();
            [&[key(2, FIXED64)], &found[..]].concat()
        }
        Value::String(text) => bytes(3, text.as_bytes()),
        other => bytes(3, other.to_string().as_bytes()),
    }
}

/// `SummaryMetadata` of a plugin: field 9 of a `Summary.Value`.
fn plugin(name: &str, content: &[u8]) -> Vec<u8> {
    bytes(9, &bytes(1, &[bytes(1, name.as_bytes()), bytes(2, content)].concat()))
}

/// `Event`: a time of day in seconds, a step, and what it tells.
fn event(wall_time: f64, step: u64, what: &[u8]) -> Vec<u8> {
    [&[key(1, FIXED64)], &wall_time.to_le_bytes()[..], &number(2, step), what].concat()
}

/// Kinds of fields on the wire.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// Types of tensors.
const DT_FLOAT: u64 = 1;
const DT_STRING: u64 = 7;

const fn key(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![key(field, VARINT)], varint(value)].concat()
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    [&[key(field, BYTES)], &varint(content.len() as u64)[..], content].concat()
}

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The checksum as `TFRecord` keeps it: turned by 15 bits, and a constant added.
fn masked(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let sums = [masked(&length), masked(bytes)].map(u32::to_le_bytes);
    [&length[..], &sums[0], bytes, &sums[1]].concat()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use logs::{Form, Wanted};

    use super::*;
    use crate::sample;

    #[test]
    fn the_checksum_is_that_of_the_castagnoli_polynomial_turned_and_shifted() {
        // Of "123456789": the check value of CRC-32C, then the mask by hand.
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
        let turned = 0xe306_9283_u32.rotate_right(15);
        assert_eq!(masked(b"123456789"), turned.wrapping_add(0xa282_ead8));
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(varint(127), [0x7f]);
    }

    #[test]
    fn the_reader_of_imports_gets_every_look_back_at_its_step_and_second() {
        let folder = tempfile::tempdir().unwrap();
        let batch = sample::batch();
        fill(folder.path(), &batch).unwrap();
        let wanted = Wanted {
            metric: "validation/accuracy".to_owned(),
            test: Some("test/accuracy".to_owned()),
            ..Wanted::default()
        };
        let logs = logs::find::logs(&[folder.path().to_owned()], None).unwrap();
        assert_eq!(logs.len(), batch.runs.len());
        for (log, run) in logs.iter().zip(sample::sorted(&batch)) {
            assert!(log.form == Form::Tensorboard && log.path.is_dir(), "{log:?}");
            let read = logs::read(log, &wanted).unwrap().runs.remove(0);
            let looks: Vec<_> = read.looks.iter().map(|l| (l.step, l.seconds, l.value)).collect();
            let kept: Vec<_> = run
                .evaluations
                .iter()
                .filter_map(|e| {
                    let value = *e.metrics.get("validation/accuracy")?;
                    Some((Some(e.steps), Some(e.clocks.total), f64::from(value as f32)))
                })
                .collect();
            assert_eq!(looks, kept);
            let tested = f64::from(run.record.last["test/accuracy"] as f32);
            assert_eq!(read.tested, Some(tested));
            assert_eq!(read.notes, Vec::<String>::new());
        }
    }

    #[test]
    fn digests_and_settings_stand_in_the_file_and_the_same_run_gives_the_same_bytes() {
        let run = &sample::batch().runs[0];
        let file = events(run);
        assert_eq!(file, events(run));
        let holds = |words: &str| file.windows(words.len()).any(|at| at == words.as_bytes());
        for words in [&run.digest.to_string(), &run.record.cell, "brain.Event:2", "hparams"] {
            assert!(holds(words), "{words}");
        }
        assert!(holds("lr") && holds(&run.record.suite_digest.to_string()));
    }

    #[test]
    fn names_of_a_stranger_stay_below_the_folder_and_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut batch = sample::batch();
        for (run, arm) in batch.runs.iter_mut().zip(["../../x", ".._.._x", "a/b\n<b>", "a_b_<b>"]) {
            run.arm = arm.to_owned();
            run.workload = "..".to_owned();
            run.record.seed = "0/../..".to_owned();
        }
        fill(&folder.path().join("out"), &batch).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let arms = fs::read_dir(folder.path().join("out/_.")).unwrap().count();
        let logs = logs::find::logs(&[folder.path().to_owned()], None).unwrap();
        assert_eq!((arms > 0, logs.len()), (true, batch.runs.len()));
    }

    #[test]
    fn what_is_no_finite_number_is_written_as_it_is() {
        let value = scalar("x", f64::NAN);
        assert!(f32::from_le_bytes(value[value.len() - 4..].try_into().unwrap()).is_nan());
        let value = scalar("x", f64::NEG_INFINITY);
        assert_eq!(value[value.len() - 4..], f32::NEG_INFINITY.to_le_bytes());
    }
}

//! TensorBoard's event files: records ([`frames`]) of events ([`proto`]), of which scalars are read, both
//! those of the first version of summaries (`simple_value`) and those of the second (a tensor of one
//! number). All event files of a folder are one run, in the order of their names.

mod frames;
mod proto;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;

use crate::find::{Log, event_files, unread};
use crate::looks::{LoggedRun, Look, Wanted, count, lacks, no_arm_or_seed};
use crate::wrong::{At, Wrong};
use frames::{Frame, Frames};
use proto::Event;

/// Most names of scalars that a message lists from.
const MOST_NAMES: usize = 10_000;

pub(crate) fn read(log: &Log, wanted: &Wanted) -> Result<LoggedRun, Wrong> {
    no_arm_or_seed(&log.name, "an event file", wanted)?;
    let files = match log.path.is_dir() {
        true => event_files(&log.path, &log.name)?,
        false => vec![(log.path.clone(), log.name.clone())],
    };
    let mut run = LoggedRun::default();
    let mut tags = BTreeSet::new();
    let mut began = None;
    for (path, name) in files {
        let file = File::open(&path).map_err(|error| unread(&name, &error))?;
        events(&name, BufReader::new(file), wanted, (&mut run, &mut tags, &mut began))?;
    }
    let counts = |given: &Option<String>| given.as_ref().filter(|name| *name != "step").cloned();
    if let Some(name) = counts(&wanted.step).or(wanted.samples.clone()) {
        return Err(lacks(&log.name, "count", &name, "--step-from", ["step"]));
    }
    if let Some(name) = wanted.clock.as_ref().filter(|name| *name != "none") {
        return Err(lacks(&log.name, "clock", name, "--clock", ["none"]));
    }
    let known = || tags.iter().map(String::as_str);
    if run.looks.is_empty() {
        return Err(lacks(&log.name, "scalar", &wanted.metric, "--metric-from", known()));
    }
    if let Some(test) = wanted.test.as_ref().filter(|_| run.tested.is_none()) {
        return Err(lacks(&log.name, "scalar", test, "--test-from", known()));
    }
    Ok(run)
}

/// Reads the scalars of one file into a run.
fn events(
    name: &str,
    source: impl std::io::Read,
    wanted: &Wanted,
    (run, tags, began): (&mut LoggedRun, &mut BTreeSet<String>, &mut Option<f64>),
) -> Result<(), Wrong> {
    let mut frames = Frames::new(source);
    let mut number = 0;
    loop {
        number += 1;
        let at = At::Record(number);
        let bytes = match frames.next() {
            Ok(Frame::Whole(bytes)) => bytes,
            Ok(Frame::End) => return Ok(()),
            Ok(Frame::CutOff) => {
                run.notes.push(format!(
                    "record {number} of an event file is cut off: its writer was killed, or still writes"
                ));
                return Ok(());
            }
            Err(reason) => return Err(Wrong::at(name, at, reason)),
        };
        let Event { wall_time, step, scalars } =
            proto::event(&bytes).map_err(|reason| Wrong::at(name, at, reason))?;
        // The first event of a file says its version, when the writer begins.
        let began = *began.get_or_insert(wall_time);
        for (tag, value) in scalars {
            if tag == wanted.metric {
                #[expect(clippy::cast_precision_loss, reason = "larger ones are refused as counts")]
                let step = count(name, at, "step", step as f64)?;
                let seconds =
                    (wall_time.is_finite() && began.is_finite()).then_some(wall_time - began);
                let (samples, step) = (None, Some(step));
                run.looks.push(Look { at, samples, step, seconds, value });
            } else if wanted.test.as_ref() == Some(&tag) {
                run.tested = Some(value);
            }
            if tags.len() < MOST_NAMES {
                tags.insert(tag);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    /// An event with a `simple_value`.
    pub(crate) fn scalar(wall_time: f64, step: u8, tag: &str, value: f32) -> Vec<u8> {
        let told =
            [field(1, tag.as_bytes()), vec![2 << 3 | 5], value.to_le_bytes().to_vec()].concat();
        let time = [vec![1 << 3 | 1], wall_time.to_le_bytes().to_vec()].concat();
        [time, vec![2 << 3, step], field(5, &field(1, &told))].concat()
    }

    fn of(bytes: &[u8]) -> Result<(LoggedRun, BTreeSet<String>), String> {
        let wanted = Wanted { metric: "acc".to_owned(), ..Wanted::default() };
        let (mut run, mut tags, mut began) = (LoggedRun::default(), BTreeSet::new(), None);
        events("e", bytes, &wanted, (&mut run, &mut tags, &mut began))
            .map_err(|error| error.to_string())?;
        Ok((run, tags))
    }

    #[test]
    fn scalars_are_read_with_steps_and_seconds_since_the_first_event() {
        let start = [vec![1 << 3 | 1], 100.0_f64.to_le_bytes().to_vec()].concat();
        let events = [
            start,
            scalar(101.5, 5, "acc", 0.5),
            scalar(101.5, 5, "loss", 2.0),
            scalar(103.0, 9, "acc", 0.75),
        ];
        let bytes: Vec<u8> = events.iter().flat_map(|event| frames::framed(event)).collect();
        let (run, tags) = of(&bytes).unwrap();
        let looks: Vec<_> = run.looks.iter().map(|l| (l.step, l.seconds, l.value)).collect();
        assert_eq!(looks, [(Some(5), Some(1.5), 0.5), (Some(9), Some(3.0), 0.75)]);
        assert_eq!(tags.len(), 2);

        let cut = of(&bytes[..bytes.len() - 3]).unwrap().0;
        assert_eq!(cut.looks.len(), 1);
        assert!(cut.notes[0].starts_with("record 4 of an event file is cut off"), "{cut:?}");
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let told = of(&flipped).unwrap_err();
        assert!(told.starts_with("e: record 4: its checksum"), "{told}");
    }

    #[test]
    fn an_event_file_has_no_arm_or_seed_to_look_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.out.tfevents.1.a");
        std::fs::write(&path, frames::framed(&scalar(1.0, 5, "acc", 0.5))).unwrap();
        let log = Log { form: crate::Form::Tensorboard, path, name: "e".to_owned() };
        let wanted = Wanted { metric: "acc".to_owned(), ..Wanted::default() };
        assert_eq!(read(&log, &wanted).unwrap().looks.len(), 1);
        for (arm, seed, option) in [
            (Some("x".to_owned()), None, "--arm-from"),
            (None, Some("x".to_owned()), "--seed-from"),
        ] {
            let told = read(&log, &Wanted { arm, seed, ..wanted.clone() }).unwrap_err();
            assert!(told.to_string().contains(&format!("leave out {option}")), "{told}");
        }
    }

    #[test]
    fn an_event_that_is_none_is_told_by_its_number() {
        let told = of(&frames::framed(&[0xff; 12])).unwrap_err();
        assert!(told.starts_with("e: record 1: "), "{told}");
    }
}

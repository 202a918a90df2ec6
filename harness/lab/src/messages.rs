//! What the workers of a search say to each other: K × steps messages of a few bytes, and nothing else. With
//! the initial weights and the settings it is a whole training run.

use std::ops::Range;

use ledger::digest::Digest;
use serde_json::json;

use crate::LabError;
use crate::seat::Facts;
use crate::state::State;

/// Brings what one worker says to the others, who are processes of their own, and what they say back.
pub trait Exchange {
    /// The worker that this process is.
    fn worker(&self) -> u32;

    /// What all workers say in a step, in their order, given what this one says.
    ///
    /// # Errors
    /// When another worker is gone.
    fn exchange(&mut self, said: &[u8]) -> Result<Vec<u8>, LabError>;

    /// Ends the exchange: all have come to the same weights.
    ///
    /// # Errors
    /// When one has not, or is gone.
    fn close(&mut self, weights: &Digest) -> Result<(), LabError>;
}

/// Where the messages of a step come from.
#[derive(Default)]
enum Source {
    /// All workers are asked here, one after the other.
    #[default]
    Asked,
    /// Each worker is a process; until these are there, all are asked here.
    Apart(Option<Box<dyn Exchange>>),
    /// Another run, of which each step said so many bytes.
    Followed(usize),
}

/// The messages of a run's steps, worker after worker, step after step.
#[derive(Default)]
pub struct Messages {
    bytes: Vec<u8>,
    source: Source,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Messages {
    /// Those of another run, `width` bytes a step.
    ///
    /// # Errors
    /// When they are not whole steps.
    pub fn recorded(bytes: Vec<u8>, width: usize) -> Result<Self, LabError> {
        if width == 0 || !bytes.len().is_multiple_of(width) {
            return Err(LabError::Method(format!(
                "{} bytes of messages are no whole number of steps of {width}: they are those of another run",
                bytes.len()
            )));
        }
        Ok(Self { bytes, source: Source::Followed(width) })
    }

    /// Those of workers that are to be processes of their own.
    #[must_use]
    pub fn apart() -> Self {
        Self { bytes: Vec::new(), source: Source::Apart(None) }
    }

    /// Whether processes are wanted, and not there yet.
    #[must_use]
    pub fn wants_processes(&self) -> bool {
        matches!(self.source, Source::Apart(None))
    }

    /// From here on this process is one worker of those that `exchange` reaches.
    pub fn among(&mut self, exchange: Box<dyn Exchange>) {
        self.source = Source::Apart(Some(exchange));
    }

    /// What is to be followed in step `step`; `None` where the workers are to be asked.
    ///
    /// # Errors
    /// When the messages end before this step.
    pub fn of_step(&self, step: u64) -> Result<Option<&[u8]>, LabError> {
        let Source::Followed(width) = self.source else { return Ok(None) };
        let from = usize::try_from(step).unwrap_or(usize::MAX).saturating_mul(width);
        let said = from.checked_add(width).and_then(|to| self.bytes.get(from..to));
        let ends = || LabError::Method(format!("the messages end before step {step}"));
        said.map(Some).ok_or_else(ends)
    }

    /// Those of all `workers` that are to be asked here.
    #[must_use]
    pub fn asked(&self, workers: u32) -> Range<u32> {
        match &self.source {
            Source::Apart(Some(exchange)) => exchange.worker()..exchange.worker() + 1,
            _ => 0..workers,
        }
    }

    /// What all workers said, given what those said that were asked here.
    ///
    /// # Errors
    /// When another worker is gone.
    pub fn exchange(&mut self, said: Vec<u8>) -> Result<Vec<u8>, LabError> {
        match &mut self.source {
            Source::Apart(Some(exchange)) => exchange.exchange(&said),
            _ => Ok(said),
        }
    }

    /// The run is over, at these weights.
    ///
    /// # Errors
    /// When a worker has come to others, or is gone.
    pub fn close(&mut self, weights: &Digest) -> Result<(), LabError> {
        match &mut self.source {
            Source::Apart(Some(exchange)) => exchange.close(weights),
            _ => Ok(()),
        }
    }

    /// Takes down what was said.
    pub fn push(&mut self, said: &[u8]) {
        self.bytes.extend_from_slice(said);
    }

    /// All that was said.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their number and digest.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts::from([
            ("message_bytes".to_owned(), json!(self.bytes.len())),
            (DIGEST.to_owned(), json!(Digest::of(&self.bytes))),
        ])
    }

    /// What was said so far. Where workers are processes, all have come to the same weights by it: what one of them keeps,
    /// all can go on from.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.bytes("messages", &mut self.bytes)
    }
}

/// The fact that holds the digest of a run's messages.
const DIGEST: &str = ledger::record::format::MESSAGES_SHA256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_another_run_are_read_step_by_step_from_any_step_on() {
        let messages = Messages::recorded(vec![1, 2, 3, 4, 5, 6], 2).unwrap();
        assert_eq!(messages.of_step(2).unwrap(), Some(&[5, 6][..]));
        assert_eq!(messages.of_step(0).unwrap(), Some(&[1, 2][..]));
        let error = messages.of_step(3).unwrap_err().to_string();
        assert_eq!(error, "the messages end before step 3");
        assert!(messages.of_step(u64::MAX).is_err());
        let error = Messages::recorded(vec![1, 2, 3], 2).unwrap_err().to_string();
        assert!(error.starts_with("3 bytes of messages are no whole number of steps of 2"));
    }

    #[test]
    fn messages_that_are_written_are_asked_for_and_counted() {
        let mut messages = Messages::default();
        assert_eq!(messages.of_step(0).unwrap(), None);
        messages.push(&[7]);
        messages.push(&[8, 9]);
        assert_eq!(messages.bytes(), [7, 8, 9]);
        let facts = messages.facts();
        assert_eq!(facts["message_bytes"], 3);
        assert_eq!(facts["messages_sha256"], json!(Digest::of(&[7, 8, 9])));
    }
}

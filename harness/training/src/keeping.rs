//! What keeps a run between two steps, for another process to go on from: to the same bits, and with clocks that are summed.

use std::time::Duration;

use lab::LabError;

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Steps taken.
    pub steps: u64,
    /// Samples seen.
    pub samples: u64,
    /// Wall time of the run, over all its parts.
    pub passed: Duration,
}

/// What is to become of a run behind a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It goes on.
    Nothing,
    /// It is kept, and goes on.
    Kept,
    /// It is kept, and ends here, to go on later.
    Stopped,
}

/// Holds the state of a run; what it is asked of takes time on the io clock alone.
pub trait Keeper: std::fmt::Debug {
    /// The state to go on from, where an earlier part of the run was kept. Asked once, before the first look.
    fn found(&mut self) -> Option<Vec<u8>>;

    /// Asked behind every step but the last.
    fn wanted(&mut self, reached: &Reached) -> Wanted;

    /// Keeps the state; the one before is no longer needed.
    ///
    /// # Errors
    /// When the run cannot go on without.
    fn keep(&mut self, reached: &Reached, state: &[u8]) -> Result<(), LabError>;

    /// Hears why the run cannot be kept.
    fn cannot(&mut self, reason: &str);

    /// Samples until the run is next to be kept, for a loop that gives out many steps at once and asks [`Keeper::wanted`]
    /// behind the last of them; `u64::MAX` where time decides or it only goes on, none where it neither goes on nor is kept.
    fn reach(&self, samples: u64) -> Option<u64>;

    /// Hears why the run could not be kept this time.
    fn missed(&mut self, reason: &str);
}

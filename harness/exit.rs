//! What the process answers its caller with.

use std::process::ExitCode;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Fine.
    Fine = 0,
    /// A check failed.
    CheckFailed = 1,
    /// The user's mistake.
    Mistake = 2,
    /// Could not judge.
    NotJudged = 3,
    /// Some cells failed.
    CellsFailed = 4,
    /// A bug.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

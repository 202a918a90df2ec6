//! What Ctrl-C and a polite kill leave: whole cells, and a line that says how to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use palimpsest::machine;
use palimpsest::voice::note;

/// What shells tell of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// Cells that are over, counted for the last words.
#[derive(Debug, Clone, Default)]
pub struct Over(Arc<AtomicUsize>);

impl Over {
    /// One more.
    pub fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends the process on SIGINT, SIGTERM and SIGHUP after saying how many of `all` cells are over and
/// what `goes_on`. The store is valid at every moment, so nothing has to be finished first.
pub fn last_words(over: &Over, all: usize, goes_on: String) -> Result<(), ctrlc::Error> {
    let over = over.clone();
    ctrlc::set_handler(move || {
        let over = over.0.load(Ordering::Relaxed);
        note(&format!("\ninterrupted: {over} of {all} cells are in the store; {goes_on}"));
        machine::end_now(INTERRUPTED);
    })
}

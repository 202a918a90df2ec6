//! What Ctrl-C and a polite kill leave: whole cells, what trains where it can be kept, and a line that says how to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use palimpsest::machine;
use palimpsest::voice::note;

/// What shells tell of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// How long what trains has to come to the end of its step and to be kept: schedulers kill after 30 seconds.
const GRACE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// Whether somebody has asked this process to end.
static ASKED: AtomicBool = AtomicBool::new(false);
/// Whether that is some time ago, so that asking once more is another wish: `timeout` and schedulers signal a process
/// and its group, which comes twice at once.
static SETTLED: AtomicBool = AtomicBool::new(false);
const SETTLES: Duration = Duration::from_millis(500);
/// Whether nothing trains any more.
static KEPT: AtomicBool = AtomicBool::new(false);
/// Processes that train for this one.
static WORKERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Cells that are over, of how many, counted for the last words.
#[derive(Debug, Clone, Default)]
pub struct Over(Arc<[AtomicUsize; 2]>);

impl Over {
    /// None of `all` yet.
    pub fn begin(&self, all: usize) {
        let [over, of] = &*self.0;
        over.store(0, Ordering::Relaxed);
        of.store(all, Ordering::Relaxed);
    }

    /// One more.
    pub fn one_more(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether what trains is to be kept behind its step, and to end there.
pub fn is_asked_to_stop() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The same a moment later, where another process was asked: both are, but one after the other.
pub fn is_asked_to_stop_by_now() -> bool {
    for _ in 0..SETTLES.as_millis() / LOOK.as_millis() {
        if is_asked_to_stop() {
            return true;
        }
        std::thread::sleep(LOOK);
    }
    is_asked_to_stop()
}

/// Has a worker process asked to stop with this one.
pub fn with_this(worker: u32) {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
}

/// The same no more: the process is over.
pub fn without(worker: u32) {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != worker);
}

/// In a worker process: stops what trains behind its step when it is asked to end.
pub fn stop_when_asked() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| ASKED.store(true, Ordering::Relaxed))
}

/// Ends the process on SIGINT, SIGTERM and SIGHUP after saying how many of all `cells` are over and
/// what `goes_on`. The store is valid at every moment, so nothing has to be finished first; but where runs are `kept`, what
/// trains has a time of grace to be kept behind its step, unless it is asked again half a second later.
pub fn last_words(
    over: &Over,
    cells: &'static str,
    goes_on: String,
    kept: bool,
) -> Result<(), ctrlc::Error> {
    let over = over.clone();
    let end = move || {
        let [over, all] = over.0.each_ref().map(|count| count.load(Ordering::Relaxed));
        note(&format!("\ninterrupted: {over} of {all} {cells} are in the store; {goes_on}"));
        machine::end_now(INTERRUPTED)
    };
    let end = Arc::new(end);
    ctrlc::set_handler(move || {
        let again = ASKED.swap(true, Ordering::Relaxed);
        if !kept || (again && SETTLED.load(Ordering::Relaxed)) {
            end();
        }
        if again {
            return;
        }
        note("\nstopping: what trains is kept behind its step; asked once more, it ends at once");
        let workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        workers.into_iter().for_each(machine::ask_to_end);
        let end = Arc::clone(&end);
        std::thread::spawn(move || {
            let mut left = GRACE;
            while !left.is_zero() && !KEPT.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK);
                left = left.saturating_sub(LOOK);
                SETTLED.fetch_or(GRACE - left >= SETTLES, Ordering::Relaxed);
            }
            end();
        });
    })
}

/// Nothing trains any more in a process that was asked to end: waits for its last words.
pub fn ended() -> ! {
    KEPT.store(true, Ordering::Relaxed);
    loop {
        std::thread::sleep(GRACE);
    }
}

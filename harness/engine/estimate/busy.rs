//! Whether the machine left this process its core: times of a busy one are withheld.

use palimpsest::machine;
use training::clock::{Monotonic, Time as _};

/// Below this share of a core, a busy machine spoils times.
const OWN_CORE: f64 = 0.97;

/// The machine from here on.
pub struct Watch {
    load: Option<f64>,
    clock: Monotonic,
    used: Option<f64>,
}

impl Watch {
    /// Begins to watch.
    pub fn start() -> Self {
        let used = machine::usage().map(|(seconds, _)| seconds);
        Self { load: machine::load(), clock: Monotonic::start(), used }
    }

    /// Seconds so far.
    pub fn seconds(&self) -> f64 {
        self.clock.now().as_secs_f64()
    }

    /// Whether more was to be done than there are cores, and others took part of this process' own.
    pub fn disturbed(&self) -> bool {
        let busy = self.load.is_some_and(|load| load > f64::from(machine::cpus()));
        let now = machine::usage().map(|(seconds, _)| seconds);
        let used = self.used.zip(now).map(|(before, after)| after - before);
        busy && used.is_none_or(|used| used / self.seconds() < OWN_CORE)
    }
}

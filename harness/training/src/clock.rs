//! The four clocks of a run (contract, section 7): train, eval, io and total.
//!
//! The only module that reads time. A clock is always in exactly one phase; entering another
//! waits for the device, so that queued GPU work is charged to the phase that queued it.

use std::time::{Duration, Instant, SystemTime};

use ledger::record::format::ClockSeconds;
use tch::Device;

use lab::device;

/// What the time is being spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Batches, steps, the method's own bookkeeping and set-up that sees data: the score.
    Train,
    /// Evaluation.
    Eval,
    /// Hashing, logging, checkpoints.
    Io,
    /// None of these.
    Other,
}

/// A source of monotonic time; a test puts its own in place.
pub trait Time {
    /// Time since an arbitrary start.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// Starts at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Time for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Charges time to phases.
#[derive(Debug)]
pub struct Clock<T: Time = Monotonic> {
    time: T,
    device: Device,
    phase: Phase,
    since: Duration,
    started: Duration,
    spent: [Duration; 3],
    /// What earlier parts of the run took.
    before: Duration,
}

impl<T: Time> Clock<T> {
    /// Starts in [`Phase::Other`].
    pub fn start(time: T, device: Device) -> Self {
        device::synchronize(device);
        let now = time.now();
        Self {
            time,
            device,
            phase: Phase::Other,
            since: now,
            started: now,
            spent: [Duration::ZERO; 3],
            before: Duration::ZERO,
        }
    }

    /// Wall time so far, earlier parts of the run included; waits for nobody.
    pub fn passed(&self) -> Duration {
        self.before + self.time.now().saturating_sub(self.started)
    }

    /// What train, eval, io and total show as of the last [`Clock::enter`], for [`Clock::go_on`].
    #[must_use]
    pub fn shown(&self) -> [Duration; 4] {
        let [train, eval, io] = self.spent;
        [train, eval, io, self.before + self.since.saturating_sub(self.started)]
    }

    /// Goes on from what another clock showed: what this one has shown so far is forgotten.
    pub fn go_on(&mut self, [train, eval, io, total]: [Duration; 4]) {
        device::synchronize(self.device);
        let now = self.time.now();
        (self.since, self.started) = (now, now);
        (self.spent, self.before) = ([train, eval, io], total);
    }

    /// Charges the time since the last call to the phase left, and enters `phase`.
    pub fn enter(&mut self, phase: Phase) {
        device::synchronize(self.device);
        let now = self.time.now();
        let spent = now.saturating_sub(self.since);
        match self.phase {
            Phase::Train => self.spent[0] += spent,
            Phase::Eval => self.spent[1] += spent,
            Phase::Io => self.spent[2] += spent,
            Phase::Other => {}
        }
        (self.phase, self.since) = (phase, now);
    }

    /// What the clocks show, as of the last [`Clock::enter`].
    #[must_use]
    pub fn read(&self) -> ClockSeconds {
        let [train, eval, io, total] = self.shown().map(|shown| shown.as_secs_f64());
        ClockSeconds { train, eval, io, total }
    }
}

/// Wall time as seconds since 1970, for the record's `started` field only.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads time")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Scripted<'a>(&'a Cell<u64>);

    impl Time for Scripted<'_> {
        fn now(&self) -> Duration {
            Duration::from_secs(self.0.get())
        }
    }

    #[test]
    fn every_second_is_charged_to_the_phase_it_was_spent_in() {
        let now = Cell::new(10);
        let mut clock = Clock::start(Scripted(&now), Device::Cpu);
        for (phase, seconds) in [
            (Phase::Train, 1),
            (Phase::Eval, 5),
            (Phase::Train, 2),
            (Phase::Io, 4),
            (Phase::Other, 8),
        ] {
            now.set(now.get() + seconds);
            clock.enter(phase);
        }
        let clocks = clock.read();
        assert_eq!((clocks.train, clocks.eval, clocks.io, clocks.total), (9.0, 2.0, 8.0, 20.0));
        assert!((clocks.unaccounted() - 1.0 / 20.0).abs() < 1e-12);
    }

    #[test]
    fn a_clock_goes_on_from_what_another_showed_and_forgets_what_it_took_to_get_there() {
        let now = Cell::new(10);
        let mut first = Clock::start(Scripted(&now), Device::Cpu);
        for (phase, seconds) in [(Phase::Train, 0), (Phase::Eval, 5), (Phase::Io, 2)] {
            now.set(now.get() + seconds);
            first.enter(phase);
        }
        let now = Cell::new(3);
        let mut second = Clock::start(Scripted(&now), Device::Cpu);
        second.enter(Phase::Train);
        now.set(50);
        second.go_on(first.shown());
        now.set(54);
        assert_eq!(second.passed(), Duration::from_secs(11));
        second.enter(Phase::Other);
        let clocks = second.read();
        assert_eq!((clocks.train, clocks.eval, clocks.io, clocks.total), (9.0, 2.0, 0.0, 11.0));
    }
}

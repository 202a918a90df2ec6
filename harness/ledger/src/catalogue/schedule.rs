//! Learning-rate schedules: pure functions of step and number of steps.

use serde::{Deserialize, Serialize};

/// Learning-rate factor over a run: a pure function of (step, total steps). Places are shares of
/// the run; `floor` is the last factor. A warm-up grows the factor in a straight line from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Always 1.
    Constant,
    /// From 1 at step 0 to 0 at the end, in a straight line.
    Linear,
    /// Half a cosine from 1 to `floor`.
    Cosine {
        /// Last factor.
        #[serde(default)]
        floor: f64,
    },
    /// Times `factor` at each share of the run in `at`.
    Step {
        /// Shares of the run, ascending.
        at: Vec<f64>,
        /// What the rate is multiplied by at each.
        factor: f64,
    },
    /// Warm-up, then a straight line from 1 to `floor` at the end.
    WarmLinear {
        /// End of the warm-up.
        warmup: f64,
        /// Last factor.
        #[serde(default)]
        floor: f64,
    },
    /// Warm-up, then half a cosine from 1 to `floor`.
    WarmCosine {
        /// End of the warm-up.
        warmup: f64,
        /// Last factor.
        #[serde(default)]
        floor: f64,
    },
    /// Warm-up, stable, decay: 1 from the end of the warm-up to `decay_from`, then down to `floor`.
    Wsd {
        /// End of the warm-up.
        #[serde(default)]
        warmup: f64,
        /// Where the decay begins; 1 for a constant rate.
        decay_from: f64,
        /// Last factor: about 1/3 is called a moderate decay.
        #[serde(default)]
        floor: f64,
        /// How it decays.
        #[serde(default)]
        decay: Decay,
    },
    /// Warm-up to 1, then √(warmup / share of the run).
    InverseSqrt {
        /// End of the warm-up, above 0.
        warmup: f64,
    },
}

/// How the last part of [`Schedule::Wsd`] goes down, by the share r of it that is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// 1 − √r of the way.
    #[default]
    Root,
    /// 1 − r of the way.
    Linear,
}

/// Half a cosine from 1 to `floor` as `share` goes from 0 to 1.
fn half_cosine(share: f64, floor: f64) -> f64 {
    floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

impl Schedule {
    /// The factor at `step` of `total` (0-based): a first step under a warm-up has the factor 0,
    /// and the last step of a run is one step short of `floor`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^52")]
    pub fn factor(&self, step: u64, total: u64) -> f64 {
        let progress = if total == 0 { 0.0 } else { step as f64 / total as f64 };
        // The share of what comes after `start` that is over.
        let since = |start: f64| ((progress - start) / (1.0 - start)).max(0.0);
        match *self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - progress,
            Self::WarmCosine { warmup, .. }
            | Self::WarmLinear { warmup, .. }
            | Self::Wsd { warmup, .. }
            | Self::InverseSqrt { warmup }
                if progress < warmup =>
            {
                progress / warmup
            }
            Self::Cosine { floor } => half_cosine(progress, floor),
            Self::WarmCosine { warmup, floor } => half_cosine(since(warmup), floor),
            Self::Step { ref at, factor } => at
                .iter()
                .filter(|share| progress >= **share)
                .fold(1.0, |product, _| product * factor),
            Self::WarmLinear { warmup, floor } => 1.0 - (1.0 - floor) * since(warmup),
            Self::Wsd { decay_from, .. } if progress <= decay_from => 1.0,
            Self::Wsd { decay_from, floor, decay, .. } => {
                let gone = match decay {
                    Decay::Root => since(decay_from).sqrt(),
                    Decay::Linear => since(decay_from),
                };
                1.0 - gone + floor * gone
            }
            Self::InverseSqrt { warmup } => (warmup / progress).sqrt(),
        }
    }

    /// The sum of the factors of a run: how many steps at the peak rate it is worth.
    #[must_use]
    pub fn mass(&self, total: u64) -> f64 {
        (0..total).map(|step| self.factor(step, total)).sum()
    }

    /// Whether every number is in its range.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let share = |value: &f64| (0.0..=1.0).contains(value);
        match self {
            Self::Constant | Self::Linear => true,
            Self::Cosine { floor } => share(floor),
            Self::WarmCosine { warmup, floor } | Self::WarmLinear { warmup, floor } => {
                share(floor) && (0.0..1.0).contains(warmup)
            }
            Self::Step { at, factor } => share(factor) && at.iter().all(share) && at.is_sorted(),
            Self::Wsd { warmup, decay_from, floor, .. } => {
                share(warmup) && share(decay_from) && share(floor) && warmup <= decay_from
            }
            Self::InverseSqrt { warmup } => *warmup > 0.0 && share(warmup),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps that a run of 1,000 counts from 1, as papers do.
    const T: u64 = 1000;
    const PEAK: f64 = 3e-3;

    fn wsd(end: f64) -> Schedule {
        let floor = end / PEAK;
        Schedule::Wsd { warmup: 0.05, decay_from: 0.8, floor, decay: Decay::Root }
    }

    fn cosine(end: f64) -> Schedule {
        Schedule::WarmCosine { warmup: 0.05, floor: end / PEAK }
    }

    fn close(schedule: &Schedule, step: u64, rate: f64) {
        let found = PEAK * schedule.factor(step, T);
        // Half of the last digit given.
        assert!((found / rate - 1.0).abs() < 5e-4, "{schedule:?} at {step}: {found}");
    }

    #[test]
    fn schedules_take_their_published_values() {
        let step = Schedule::Step { at: vec![0.5, 0.75], factor: 0.1 };
        let values: Vec<_> = [0, 49, 50, 75, 99].map(|t| step.factor(t, 100)).to_vec();
        assert_eq!(values[..3], [1.0, 1.0, 0.1]);
        assert!((values[3] - 0.01).abs() < 1e-15 && (values[4] - 0.01).abs() < 1e-15);
        let cosine = Schedule::Cosine { floor: 0.0 };
        assert!((cosine.factor(50, 100) - 0.5).abs() < 1e-15);
        assert!((Schedule::Linear.factor(25, 100) - 0.75).abs() < 1e-15);
    }

    #[test]
    fn language_model_schedules_have_the_rates_of_the_card() {
        for schedule in [wsd(1e-5), wsd(1e-3), cosine(1e-5)] {
            close(&schedule, 25, 1.5e-3);
        }
        close(&cosine(1e-5), 525, 1.505e-3);
        close(&wsd(1e-5), 525, 3e-3);
        for (step, low, moderate) in [
            (850, 1.505e-3, 2.0e-3),
            (900, 8.8575e-4, 1.5858e-3),
            (950, 4.1058e-4, 1.2679e-3),
            (1000, 1e-5, 1e-3),
        ] {
            close(&wsd(1e-5), step, low);
            close(&wsd(1e-3), step, moderate);
        }
        close(&cosine(1e-5), 900, 9.1003e-5);
    }

    #[test]
    fn masses_are_those_of_steps_counted_from_one() {
        let constant =
            Schedule::Wsd { warmup: 0.05, decay_from: 1.0, floor: 0.0, decay: Decay::Root };
        for (schedule, mass) in
            [(constant, 975.5), (wsd(1e-3), 886.29), (wsd(1e-5), 842.13), (cosine(1e-5), 501.59)]
        {
            let counted: f64 = (1..=T).map(|step| schedule.factor(step, T)).sum();
            assert!((counted - mass).abs() < 6e-3, "{counted} against {mass}");
            // The run's own steps count from 0.
            let shifted = counted + schedule.factor(0, T) - schedule.factor(T, T);
            assert!((schedule.mass(T) - shifted).abs() < 1e-9);
        }
    }

    #[test]
    fn linear_decay_and_inverse_root_go_their_ways_behind_the_warm_up() {
        let linear = Schedule::WarmLinear { warmup: 0.1, floor: 0.0 };
        let values = [0, 50, 100, 550, 1000].map(|step| linear.factor(step, T));
        for (found, expected) in values.into_iter().zip([0.0, 0.5, 1.0, 0.5, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
        let root = Schedule::InverseSqrt { warmup: 0.04 };
        assert_eq!([20, 40, 160].map(|step| root.factor(step, T)), [0.5, 1.0, 0.5]);
        let straight =
            Schedule::Wsd { warmup: 0.0, decay_from: 0.8, floor: 0.2, decay: Decay::Linear };
        assert!((straight.factor(900, T) - 0.6).abs() < 1e-12);
    }

    #[test]
    fn defaults_are_filled_in_and_numbers_out_of_range_are_refused() {
        let read: Schedule = serde_json::from_str(r#"{"wsd":{"decay_from":0.8}}"#).unwrap();
        let full = Schedule::Wsd { warmup: 0.0, decay_from: 0.8, floor: 0.0, decay: Decay::Root };
        assert!(read == full && read.is_valid());
        assert!(!Schedule::InverseSqrt { warmup: 0.0 }.is_valid());
        assert!(!Schedule::WarmLinear { warmup: 1.0, floor: 0.0 }.is_valid());
        let late = Schedule::Wsd { warmup: 0.9, decay_from: 0.8, floor: 0.0, decay: Decay::Linear };
        assert!(!late.is_valid());
    }
}

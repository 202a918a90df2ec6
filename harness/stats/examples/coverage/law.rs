//! What is drawn, and how shares are counted.

use ledger::seed::Seed;
use ledger::streams::{Streams, normal_f64, unit_f64};
use rand_pcg::Pcg64;
use statrs::distribution::{ContinuousCDF as _, Normal};

/// Sample sizes of every table.
pub const SIZES: [usize; 5] = [3, 5, 8, 10, 20];
/// Standard deviation of a logarithm whose exponential has a coefficient of variation of 10 %.
pub const LOG_SPREAD: f64 = 0.099_751_345_264_399_13;

/// A distribution with centre 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// Mean 1, standard deviation 0.1.
    Normal,
    /// Median 1, coefficient of variation 10 %: what times look like.
    LogNormal,
    /// 1 + 0.1 t with 3 degrees of freedom: heavy tails.
    StudentT3,
    /// Mean 1, standard deviation 1, skewness 2: a hard case.
    Exponential,
}

impl Law {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Normal, Self::LogNormal, Self::StudentT3, Self::Exponential];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::LogNormal => "log-normal, CV 10 %",
            Self::StudentT3 => "Student t, 3 d.f.",
            Self::Exponential => "exponential",
        }
    }

    /// The mean.
    pub fn mean(self) -> f64 {
        match self {
            Self::LogNormal => (LOG_SPREAD * LOG_SPREAD / 2.0).exp(),
            Self::Normal | Self::StudentT3 | Self::Exponential => 1.0,
        }
    }

    /// The mean of the middle half.
    pub fn interquartile_mean(self) -> f64 {
        match self {
            Self::Normal | Self::StudentT3 => 1.0,
            Self::LogNormal => {
                let z = Normal::standard().inverse_cdf(0.75);
                2.0 * self.mean() * (phi(z - LOG_SPREAD) - phi(-z - LOG_SPREAD))
            }
            // 2 * [-(x + 1) e^-x] between -ln 0.75 and -ln 0.25.
            Self::Exponential => {
                let part = |share: f64| (1.0 - share.ln()) * share;
                2.0 * (part(0.75) - part(0.25))
            }
        }
    }

    /// One number.
    pub fn draw(self, rng: &mut Pcg64) -> f64 {
        match self {
            Self::Normal => 1.0 + 0.1 * normal_f64(rng),
            Self::LogNormal => (LOG_SPREAD * normal_f64(rng)).exp(),
            Self::StudentT3 => 1.0 + 0.1 * student_t3(rng),
            Self::Exponential => -(1.0 - unit_f64(rng)).ln(),
        }
    }

    /// So many numbers.
    pub fn sample(self, rng: &mut Pcg64, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.draw(rng)).collect()
    }
}

/// A draw of Student's t with 3 degrees of freedom.
pub fn student_t3(rng: &mut Pcg64) -> f64 {
    let z = normal_f64(rng);
    let square: f64 = (0..3).map(|_| normal_f64(rng).powi(2)).sum();
    z / (square / 3.0).sqrt()
}

/// The standard normal distribution function.
pub fn phi(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// The generator of a row: of nothing but its name.
pub fn generator(row: &str) -> Pcg64 {
    Streams::new(Seed::from_integer(0).bytes).generator(row)
}

/// The shares of `runs` simulations in which each of N statements held.
pub fn shares<const N: usize>(
    row: &str,
    runs: u32,
    mut simulate: impl FnMut(&mut Pcg64, u64) -> [bool; N],
) -> [f64; N] {
    let mut rng = generator(row);
    let mut counts = [0u32; N];
    for run in 0..runs {
        for (count, held) in counts.iter_mut().zip(simulate(&mut rng, u64::from(run))) {
            *count += u32::from(held);
        }
    }
    counts.map(|count| f64::from(count) / f64::from(runs))
}

/// A share as "94.8 %".
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Whether `low..=high` holds `value`.
pub fn covers(interval: stats::interval::Interval, value: f64) -> bool {
    interval.low <= value && value <= interval.high
}

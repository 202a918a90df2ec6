//! What the p-value of a best split is worth.
//!
//! The split was chosen because it looked best, so its p-value is far too small: at a nominal 0.001
//! about one window of 50 in ten of pure noise has a split. The window is therefore searched again
//! and again in draws from the metric's own noise, and a p-value is judged by how often noise gives
//! one as small. Noise that is like that of the commit before has runs that look like levels: what is
//! drawn then is an autoregression of the first order with the series' own correlation and shocks.

use stats::divisive::{Search, t_test};
use stats::draws::Draws;

/// Values below which a correlation is a guess.
const LEAST_VALUES: usize = 8;
/// A series beyond this one wanders, and no level of it is a level.
const MOST_CORRELATED: f64 = 0.95;
/// Null p-values below which the share is no longer counted but follows the tail.
const COUNTED: usize = 10;

/// The noise of a series.
#[derive(Debug, Clone, Copy)]
pub struct Noise<'a> {
    /// The values less the mean of their level, in order.
    pub values: &'a [f64],
    /// Correlation of one commit's noise with the last one's, from 0.
    pub correlation: f64,
}

impl Noise<'_> {
    /// What is new in each value; nothing where the values are independent.
    fn shocks(&self) -> Vec<f64> {
        if self.correlation <= 0.0 {
            return Vec::new();
        }
        self.values.windows(2).map(|pair| pair[1] - self.correlation * pair[0]).collect()
    }

    /// Draws `length` values in a row, each the last one's share and a shock, after as many as it
    /// takes to forget where they began.
    fn autoregression(
        &self,
        shocks: &[f64],
        length: usize,
        draws: &mut Draws,
        window: &mut Vec<f64>,
    ) {
        window.clear();
        let forgotten = (3.0 / (1.0 - self.correlation)) as usize;
        let mut value = self.values[draws.index(self.values.len())];
        for place in 0..length + forgotten {
            value = self.correlation * value + shocks[draws.index(shocks.len())];
            if place >= forgotten {
                window.push(value);
            }
        }
    }
}

/// Correlation between neighbours of a series whose level may change: 1 less than the ratio of its
/// mean square differences over two and over one commit, which is that of an autoregression of the
/// first order. The tenth of the differences that is largest is left out on both sides, so that a
/// step, which one or two of them meet, counts for nothing. From 0 to 0.95; 0 of fewer than 8 values.
#[must_use]
pub fn correlation(values: &[f64]) -> f64 {
    if values.len() < LEAST_VALUES {
        return 0.0;
    }
    let square = |lag: usize| {
        let pairs = values.iter().zip(&values[lag..]);
        let mut squares: Vec<f64> = pairs.map(|(one, other)| (other - one).powi(2)).collect();
        squares.sort_by(f64::total_cmp);
        let kept = (squares.len() * 9 / 10).max(1);
        squares[..kept].iter().sum::<f64>() / kept as f64
    };
    let (one, two) = (square(1), square(2));
    if one > 0.0 && one.is_finite() && two.is_finite() {
        (two / one - 1.0).clamp(0.0, MOST_CORRELATED)
    } else {
        0.0
    }
}

/// p-values of the best splits of windows of noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Null {
    /// Ascending.
    sorted: Vec<f64>,
}

impl Null {
    /// Searches `windows` windows of up to `length` values each, drawn from `noise` by a generator
    /// that depends on `seed` and `purpose` only. A window without a split has p = 1.
    #[must_use]
    pub fn of_noise(
        noise: &Noise<'_>,
        length: usize,
        minimum: usize,
        windows: u32,
        seed: u64,
        purpose: &str,
    ) -> Self {
        let mut draws = Draws::new(seed, purpose);
        let mut pool = noise.values.to_vec();
        let length = length.min(pool.len());
        let shocks = noise.shocks();
        let mut window = Vec::with_capacity(length);
        let mut search = Search::new(minimum);
        let one = |_| {
            if shocks.is_empty() {
                for place in 0..length {
                    let other = place + draws.index(pool.len() - place);
                    pool.swap(place, other);
                }
                return best_p(&mut search, &pool[..length]);
            }
            noise.autoregression(&shocks, length, &mut draws, &mut window);
            best_p(&mut search, &window)
        };
        let mut sorted: Vec<f64> = (0..windows).map(one).collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted }
    }

    /// How likely a window of noise has a split with a p-value of at most `p`: the share of drawn
    /// windows, and below the tenth smallest p-value in proportion to p, but never less than the
    /// share. 1 when nothing was drawn.
    #[must_use]
    pub fn chance(&self, p: f64) -> f64 {
        let drawn = self.sorted.len() as f64;
        let count = self.sorted.partition_point(|null| *null <= p);
        let share = count as f64 / drawn;
        if count >= COUNTED {
            return share;
        }
        match self.sorted.get(COUNTED - 1) {
            // A p-value that noise reaches by ties alone, as 0, has no tail to follow.
            Some(&tenth) if tenth > 0.0 => share.max(COUNTED as f64 / drawn * (p / tenth)),
            _ => 1.0,
        }
    }
}

/// p-value of the best split of a window; 1 without one.
pub(crate) fn best_p(search: &mut Search, values: &[f64]) -> f64 {
    search
        .best(values)
        .map_or(1.0, |split| t_test(&values[..split.at], &values[split.at..split.end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::streams::{Streams, normal_f64};

    fn noise(count: usize) -> Vec<f64> {
        let mut rng = Streams::new([5; 32]).generator("noise");
        (0..count).map(|_| normal_f64(&mut rng)).collect()
    }

    /// Noise without correlation.
    fn free(values: &[f64]) -> Noise<'_> {
        Noise { values, correlation: 0.0 }
    }

    #[test]
    fn the_correlation_of_neighbours_is_found_and_a_step_is_none() {
        let shocks = noise(4000);
        for share in [0.0, 0.3, 0.6, 0.9] {
            let mut last = 0.0;
            let series: Vec<f64> = shocks
                .iter()
                .enumerate()
                .map(|(place, shock)| {
                    last = share * last + shock;
                    // Twenty spreads up in the middle.
                    last + if place >= 2000 { 20.0 } else { 0.0 }
                })
                .collect();
            let found = correlation(&series);
            assert!((found - share).abs() < 0.05, "{share}: {found}");
        }
        assert_eq!((correlation(&[1.0; 50]), correlation(&[1.0, 2.0])), (0.0, 0.0));
    }

    #[test]
    fn a_p_is_worth_less_in_noise_that_is_like_that_of_the_commit_before() {
        let values = noise(300);
        let chance = |correlation| {
            Null::of_noise(&Noise { values: &values, correlation }, 50, 3, 2000, 1, "m")
                .chance(1e-4)
        };
        assert!(chance(0.6) > 5.0 * chance(0.0), "{} and {}", chance(0.0), chance(0.6));
    }

    #[test]
    fn the_same_seed_gives_the_same_null_and_another_seed_another() {
        // rliable takes a seed and draws from the global generator all the same.
        let noise = noise(60);
        let noise = Noise { values: &noise, correlation: 0.0 };
        let null = |seed| Null::of_noise(&noise, 50, 3, 200, seed, "m");
        assert_eq!(null(1), null(1));
        assert_ne!(null(1), null(2));
        assert_ne!(null(1), Null::of_noise(&noise, 50, 3, 200, 1, "n"));
    }

    #[test]
    fn a_nominal_p_of_one_in_a_thousand_is_worth_about_one_in_ten() {
        // 10.2 % of 6,000 windows by the definition written out in numpy 2.2.0 and scipy 1.16.3's
        // ttest_ind: the search over both τ and κ selects from a thousand splits.
        let null = Null::of_noise(&free(&noise(5000)), 50, 3, 20_000, 1, "m");
        let chance = null.chance(0.001);
        assert!((0.09..0.114).contains(&chance), "{chance}");
    }

    #[test]
    fn the_chance_never_falls_as_p_grows_and_ends_at_one() {
        let null = Null::of_noise(&free(&noise(300)), 50, 3, 1000, 1, "m");
        let chances: Vec<f64> =
            (0..200).map(|step| null.chance(10f64.powf(f64::from(step - 199) / 20.0))).collect();
        assert!(chances.is_sorted(), "{chances:?}");
        assert_eq!(*chances.last().unwrap(), 1.0);
        assert!(null.chance(1e-9) < 1e-5);
    }

    #[test]
    fn noise_that_reaches_zero_by_ties_makes_zero_worth_nothing() {
        // Six values, three of them equal: half a dozen orders split them without any spread.
        let null = Null::of_noise(&free(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]), 50, 3, 1000, 1, "m");
        assert!((0.07..0.13).contains(&null.chance(0.0)), "{}", null.chance(0.0));
        // Noise without spread has no split at all, so a split is worth everything.
        let silent = Null::of_noise(&free(&[0.0; 20]), 50, 3, 1000, 1, "m");
        assert_eq!(silent.chance(0.0), 0.0);
    }
}

//! Points of the plane with a known density; no download.
//!
//! `ring8`: a mixture of eight equal normals at radius 0.7, standard deviation 0.05 per axis.
//! `checker`: uniform on the eight dark squares of a 4 x 4 board over [-0.875, 0.875]^2. Both have
//! about 0.5 standard deviation per axis. Values are rounded to multiples of 1/16384, so that
//! sample ids do not depend on the last digit of a platform's sine.

use std::f64::consts::TAU;

use ledger::digest::Digest;
use ledger::order;
use ledger::streams::{normal, unit_f64};
use rand_core::Rng as _;

use crate::load::generated;
use crate::loaded::{Loaded, Samples};
use crate::raw::Floats;
use crate::split::Split;

/// A density of the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Density {
    /// Eight normals on a circle.
    Ring8,
    /// The dark squares of a board.
    Checker,
}

/// Points to train on.
pub const TRAIN: u32 = 16_384;
/// Points to validate on, as many to test on, and as many that no split holds.
pub const HELD_OUT: u32 = 4_096;

const MODES: u8 = 8;
const RADIUS: f64 = 0.7;
const DEVIATION: f64 = 0.05;
const HALF_BOARD: f64 = 0.875;
const SQUARES: f64 = 4.0;

impl Density {
    /// Name of the data.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring8 => "ring8",
            Self::Checker => "checker",
        }
    }

    /// Standard deviation per axis, before rounding.
    #[must_use]
    pub fn deviation(self) -> f64 {
        match self {
            Self::Ring8 => (RADIUS * RADIUS / 2.0 + DEVIATION * DEVIATION).sqrt(),
            Self::Checker => HALF_BOARD / 3.0_f64.sqrt(),
        }
    }

    /// Centres of the eight modes: means of the normals, or middles of the dark squares.
    #[must_use]
    pub fn modes(self) -> [[f64; 2]; MODES as usize] {
        std::array::from_fn(|mode| {
            let mode = mode as f64;
            match self {
                Self::Ring8 => {
                    let angle = TAU * mode / f64::from(MODES);
                    [RADIUS * angle.cos(), RADIUS * angle.sin()]
                }
                Self::Checker => {
                    let row = (mode / 2.0).floor();
                    let column = 2.0 * (mode % 2.0) + row % 2.0;
                    [column, row].map(|square| side() * (square + 0.5) - HALF_BOARD)
                }
            }
        })
    }

    /// The density at a point.
    #[must_use]
    pub fn density(self, point: [f64; 2]) -> f64 {
        let share = 1.0 / f64::from(MODES);
        let each = self.modes().map(|mode| {
            let [x, y] = [point[0] - mode[0], point[1] - mode[1]];
            match self {
                Self::Ring8 => {
                    let variance = DEVIATION * DEVIATION;
                    (-(x * x + y * y) / (2.0 * variance)).exp() / (TAU * variance)
                }
                Self::Checker => {
                    let inside = x.abs().max(y.abs()) <= side() / 2.0;
                    f64::from(u8::from(inside)) / (side() * side())
                }
            }
        });
        share * each.iter().sum::<f64>()
    }

    /// The nearest mode of a point, when the point belongs to one: within three standard
    /// deviations of the normal's mean, or in the square.
    #[must_use]
    pub fn mode_of(self, point: [f64; 2]) -> Option<usize> {
        let belongs = |mode: &[f64; 2]| {
            let [x, y] = [point[0] - mode[0], point[1] - mode[1]];
            match self {
                Self::Ring8 => x.hypot(y) <= 3.0 * DEVIATION,
                Self::Checker => x.abs().max(y.abs()) <= side() / 2.0,
            }
        };
        self.modes().iter().position(belongs)
    }

    /// Training points, then validation, test and spare points, and where the first three lie; a
    /// point's label is its mode.
    #[must_use]
    pub fn generate(self) -> (Floats, Split) {
        let split = Split::consecutive(TRAIN, HELD_OUT, HELD_OUT);
        (self.points("all", TRAIN as usize + 2 * HELD_OUT as usize), split)
    }

    /// As many points as are judged at once, which no split holds.
    #[must_use]
    pub fn spare(self) -> Floats {
        self.points("spare", HELD_OUT as usize)
    }

    fn points(self, part: &str, count: usize) -> Floats {
        let mut random = order::generator(&Digest::of_parts(&[
            b"palimpsest/planar/v1",
            self.name().as_bytes(),
            part.as_bytes(),
        ]));
        let modes = self.modes();
        let mut floats = Floats {
            values: Vec::with_capacity(2 * count),
            steps_per_unit: 16_384.0,
            shape: [2, 1, 1],
            labels: Vec::with_capacity(count),
            classes: MODES,
        };
        for _ in 0..count {
            let label = (random.next_u64() >> 61) as usize;
            let within = match self {
                Self::Ring8 => {
                    let pair = normal(&mut random, 2);
                    [0, 1].map(|axis: usize| DEVIATION * f64::from(pair[axis]))
                }
                Self::Checker => [0; 2].map(|_: u8| (unit_f64(&mut random) - 0.5) * side()),
            };
            for (centre, offset) in modes[label].iter().zip(within) {
                floats.push(centre + offset);
            }
            floats.labels.push(u8::try_from(label).unwrap_or(0));
        }
        floats
    }
}

/// Side of a square of the board.
fn side() -> f64 {
    2.0 * HALF_BOARD / SQUARES
}

/// The points of a density as a data set.
#[must_use]
pub fn load(density: Density) -> Loaded {
    let (floats, split) = density.generate();
    generated(density.name(), Samples::Floats(floats), split)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Density; 2] = [Density::Ring8, Density::Checker];

    fn points(floats: &Floats) -> Vec<[f64; 2]> {
        let pairs = floats.values.as_chunks::<2>().0.iter();
        pairs.map(|pair| pair.map(f64::from)).collect()
    }

    #[test]
    fn a_density_integrates_to_one() {
        for density in BOTH {
            let step = 0.01;
            let axis = || (-150..150).map(|place| (f64::from(place) + 0.5) * step);
            let total: f64 =
                axis().flat_map(|x| axis().map(move |y| density.density([x, y]))).sum();
            assert!((total * step * step - 1.0).abs() < 0.02, "{density:?}");
        }
    }

    #[test]
    fn points_have_the_deviation_that_is_declared() {
        assert!((Density::Ring8.deviation() - 0.497).abs() < 1e-3);
        for density in BOTH {
            let (floats, _) = density.generate();
            let n = floats.values.len() as f64;
            let squares: f64 = floats.values.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!(((squares / n).sqrt() / density.deviation() - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn true_points_lie_on_their_own_mode_and_modes_are_equally_frequent() {
        for density in BOTH {
            let (floats, _) = density.generate();
            let mut counts = [0_u32; 8];
            let mut on = 0;
            for (point, label) in points(&floats).into_iter().zip(&floats.labels) {
                let mode = density.mode_of(point);
                on += u32::from(mode.is_some());
                assert!(mode.is_none_or(|mode| mode == usize::from(*label)), "{point:?}");
                counts[usize::from(*label)] += 1;
            }
            // Within three deviations of a 2-D normal: 1 - exp(-4.5) = 0.98889. Rounding moves a
            // few points of the board over its edges.
            let share = f64::from(on) / floats.labels.len() as f64;
            match density {
                Density::Ring8 => assert!((share - 0.988_89).abs() < 0.003, "{share}"),
                Density::Checker => assert!(share > 0.99, "{share}"),
            }
            let expected = f64::from(TRAIN + 2 * HELD_OUT) / 8.0;
            assert!(counts.iter().all(|n| (f64::from(*n) / expected - 1.0).abs() < 0.1));
        }
    }

    #[test]
    fn spare_points_are_not_those_of_the_splits() {
        let (all, split) = Density::Ring8.generate();
        assert_eq!(split.test.len(), HELD_OUT as usize);
        assert_ne!(all.values[..100], Density::Ring8.spare().values[..100]);
        assert_eq!(Density::Ring8.generate().0, all);
    }

    #[test]
    fn the_training_ids_are_pinned_and_hardly_any_two_are_the_same() {
        let ids = load(Density::Ring8).sample_ids;
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert!(distinct.len() > 16_300, "{}", distinct.len());
        let digest = Digest::of(&ids.concat()).to_string();
        assert_eq!(digest, "2323a8cf75da1f9f20be28c94dd9c2eb2699baf5db68243237ea77971bb743f7");
    }
}

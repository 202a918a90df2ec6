//! Points that fill a cube evenly: a scrambled Sobol sequence, for trials of settings.
//!
//! Independent random points leave holes and clumps; of 16 of them, no more than 10 fall into different
//! sixteenths of a setting's range. The first 2^k points of this sequence have one in each 2^-k of every
//! coordinate, scrambled or not, whatever the number of points that are asked for later.
//!
//! Direction numbers: Joe and Kuo (2008), SIAM Journal on Scientific Computing 30, 2635-2654, table of
//! `new-joe-kuo-6`. Scrambling: Matoušek (1998), Journal of Complexity 14, 527-556: digits times a random
//! lower triangular matrix, plus a random shift; like Owen's nested scrambling it keeps the net and makes
//! every point uniform, so that no trial sits on a corner of its space.

use crate::draws::Draws;

/// Binary digits of a coordinate.
const DIGITS: usize = 32;

/// Degree, coefficients and first direction numbers of coordinates 2, 3, …; the first one is the
/// radical inverse.
const POLYNOMIALS: [(usize, u32, &[u32]); 9] = [
    (1, 0, &[1]),
    (2, 1, &[1, 3]),
    (3, 1, &[1, 3, 1]),
    (3, 2, &[1, 1, 1]),
    (4, 1, &[1, 1, 3, 3]),
    (4, 4, &[1, 3, 5, 13]),
    (5, 2, &[1, 1, 5, 5, 17]),
    (5, 4, &[1, 1, 5, 5, 5]),
    (5, 7, &[1, 1, 7, 11, 19]),
];

/// A scrambled Sobol sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sobol {
    coordinates: Vec<Coordinate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Coordinate {
    /// What bit `k` of a point's number adds to it, most significant digit first.
    columns: [u32; DIGITS],
    shift: u32,
}

impl Sobol {
    /// Most coordinates that a point can have.
    pub const MOST: usize = POLYNOMIALS.len() + 1;

    /// The sequence in this many coordinates, at most [`Sobol::MOST`]; more are left out. Another seed
    /// is another scrambling, and a coordinate's does not depend on how many there are.
    #[must_use]
    pub fn scrambled(coordinates: usize, seed: u64) -> Self {
        let of = |number: usize| {
            let draws = Draws::new(seed, &format!("sobol coordinate {number}"));
            plain(number).scrambled(draws)
        };
        Self { coordinates: (0..coordinates.min(Self::MOST)).map(of).collect() }
    }

    /// The point of this number, counted from 0: each coordinate strictly between 0 and 1.
    #[must_use]
    pub fn point(&self, number: u32) -> Vec<f64> {
        self.coordinates.iter().map(|coordinate| coordinate.at(number)).collect()
    }
}

/// The coordinate of this number before scrambling.
fn plain(number: usize) -> Coordinate {
    let mut columns = [0u32; DIGITS];
    let Some((degree, coefficients, first)) =
        number.checked_sub(1).and_then(|place| POLYNOMIALS.get(place))
    else {
        for (k, column) in columns.iter_mut().enumerate() {
            *column = 1 << (DIGITS - 1 - k);
        }
        return Coordinate { columns, shift: 0 };
    };
    for k in 0..DIGITS {
        columns[k] = match first.get(k) {
            Some(direction) => direction << (DIGITS - 1 - k),
            None => {
                let mut column = columns[k - degree] ^ (columns[k - degree] >> degree);
                for j in 1..*degree {
                    if coefficients >> (degree - 1 - j) & 1 == 1 {
                        column ^= columns[k - j];
                    }
                }
                column
            }
        };
    }
    Coordinate { columns, shift: 0 }
}

impl Coordinate {
    /// The digits times a random lower triangular matrix with a diagonal of ones, and shifted.
    #[expect(clippy::cast_possible_truncation, reason = "an index below 2^32")]
    fn scrambled(self, mut draws: Draws) -> Self {
        let mut word = || draws.index(1 << DIGITS) as u32;
        // Row j: its own digit, and random ones among those before it.
        let rows: [u32; DIGITS] = std::array::from_fn(|j| {
            let own = 1u32 << (DIGITS - 1 - j);
            own | (word() & !(own | (own - 1)))
        });
        let times = |column: u32| {
            let digit = |j: usize| ((rows[j] & column).count_ones() & 1) << (DIGITS - 1 - j);
            (0..DIGITS).map(digit).fold(0, |sum, digit| sum | digit)
        };
        Self { columns: self.columns.map(times), shift: word() }
    }

    fn at(&self, number: u32) -> f64 {
        let bits = (0..DIGITS).filter(|bit| number >> bit & 1 == 1);
        let digits = bits.fold(self.shift, |sum, bit| sum ^ self.columns[bit]);
        (f64::from(digits) + 0.5) / 2f64.powi(DIGITS as i32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of the first `points` points fall into each box of `across` by `down` of two coordinates.
    fn boxes(
        sobol: &Sobol,
        points: u32,
        (a, across): (usize, u32),
        (b, down): (usize, u32),
    ) -> Vec<u32> {
        let mut counts = vec![0; (across * down) as usize];
        for number in 0..points {
            let point = sobol.point(number);
            let place = |u: f64, parts: u32| (u * f64::from(parts)) as usize;
            counts[place(point[a], across) * down as usize + place(point[b], down)] += 1;
        }
        counts
    }

    #[test]
    fn unscrambled_coordinates_begin_as_worked_out_by_hand() {
        let plain_at = |coordinate: usize| -> Vec<f64> {
            let coordinate = plain(coordinate);
            // Points 0 to 7 in the order of their numbers; the half of a last digit does not show.
            (0..8).map(|number| (coordinate.at(number) * 8.0).floor() / 8.0).collect()
        };
        assert_eq!(plain_at(0), [0.0, 0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]);
        assert_eq!(plain_at(1), [0.0, 0.5, 0.75, 0.25, 0.625, 0.125, 0.375, 0.875]);
        assert_eq!(plain_at(2), [0.0, 0.5, 0.75, 0.25, 0.375, 0.875, 0.625, 0.125]);
    }

    proptest! {
        #[test]
        fn every_coordinate_has_one_point_in_each_part(seed in any::<u64>(), power in 0u32..7) {
            let sobol = Sobol::scrambled(Sobol::MOST, seed);
            let points = 1u32 << power;
            for coordinate in 0..Sobol::MOST {
                let counts = boxes(&sobol, points, (coordinate, points), (coordinate, 1));
                prop_assert!(counts.iter().all(|count| *count == 1), "{coordinate}: {counts:?}");
            }
        }

        #[test]
        fn the_first_two_coordinates_fill_every_box_of_equal_area(seed in any::<u64>(), power in 0u32..6) {
            let sobol = Sobol::scrambled(2, seed);
            for side in 0..=power {
                let counts = boxes(&sobol, 1 << power, (0, 1 << side), (1, 1 << (power - side)));
                prop_assert!(counts.iter().all(|count| *count == 1), "{side}: {counts:?}");
            }
        }

        #[test]
        fn no_pair_of_coordinates_leaves_a_quarter_by_a_quarter_empty(seed in any::<u64>()) {
            let sobol = Sobol::scrambled(Sobol::MOST, seed);
            for (a, b) in (0..Sobol::MOST).flat_map(|a| (0..a).map(move |b| (a, b))) {
                let counts = boxes(&sobol, 256, (a, 4), (b, 4));
                prop_assert!(counts.iter().all(|count| *count > 0), "{a} {b}: {counts:?}");
            }
        }

        #[test]
        fn the_same_seed_gives_the_same_points_and_a_coordinate_more_changes_none_before_it(
            seed in any::<u64>(), number in 0u32..1000, coordinates in 1usize..Sobol::MOST,
        ) {
            let point = Sobol::scrambled(coordinates, seed).point(number);
            prop_assert!(point.iter().all(|u| *u > 0.0 && *u < 1.0));
            let wider = Sobol::scrambled(coordinates + 1, seed).point(number);
            prop_assert_eq!(&wider[..coordinates], &point[..]);
            let other = Sobol::scrambled(coordinates, seed.wrapping_add(1)).point(number);
            prop_assert_ne!(other, point);
        }
    }

    #[test]
    fn each_point_is_uniform_over_scramblings() {
        // The mean of one coordinate of one point over seeds: 1/2 within 5 standard errors.
        let mean = |coordinate: usize, number: u32| {
            let at = |seed| Sobol::scrambled(coordinate + 1, seed).point(number)[coordinate];
            (0..2_000).map(at).sum::<f64>() / 2_000.0
        };
        for (coordinate, number) in [(0, 0), (0, 5), (3, 1)] {
            let mean = mean(coordinate, number);
            assert!((mean - 0.5).abs() < 5.0 * (1.0f64 / 12.0 / 2_000.0).sqrt(), "{mean}");
        }
    }
}

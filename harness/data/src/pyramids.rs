//! Shapes as pyramids of tokens: images of 16 x 16 pixels averaged to 8 x 8 and quantised scale by scale, coarse to fine.
//!
//! At the scales of 1 x 1, 2 x 2, 4 x 4 and 8 x 8 the mean of what earlier scales have left over a cell is replaced by the nearest
//! of 16 levels, −7/8, −6/8, …, 1, of halves the one farther from 0, and taken off all that the cell covers. So an image is
//! 1 + 4 + 16 + 64 = 85 tokens, row by row within a scale, and the sum of their levels is the image but for what the finest scale
//! rounds away. Pixels are sixteenths, so that all of it is exact in binary.

use ledger::digest::Digest;
use ledger::order::generator;

use crate::error::DataError;
use crate::sequences::{Parts, Place, Sequence, Sizes, distinct};
use crate::shapes::{FULL_SCALE, Factors, SIDE};

/// Cells of each scale along an axis, coarse to fine.
pub const SIDES: [usize; 4] = [1, 2, 4, 8];
/// Tokens of an image.
pub const TOKENS: usize = 85;
/// Levels of a token.
pub const LEVELS: i64 = 16;

/// Cells of the finest scale along an axis.
const FINEST: usize = SIDES[SIDES.len() - 1];
/// Levels per unit.
const STEPS: f64 = 8.0;
/// Levels below 0.
const BELOW: f64 = 7.0;

/// The level of a token.
#[must_use]
pub fn level(token: u16) -> f64 {
    (f64::from(token) - BELOW) / STEPS
}

/// The token of a value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 15")]
fn token(value: f64) -> u16 {
    ((value * STEPS).round() + BELOW).clamp(0.0, LEVELS as f64 - 1.0) as u16
}

/// Which cell of a scale holds a place of the finest one.
fn cell(side: usize, place: usize) -> usize {
    let wide = FINEST / side;
    (place / FINEST / wide) * side + place % FINEST / wide
}

/// Pixels of 0..=16, row by row, averaged over 2 x 2.
#[must_use]
pub fn averaged(pixels: &[u8; SIDE * SIDE]) -> [f64; FINEST * FINEST] {
    let mut means = [0.0; FINEST * FINEST];
    for (place, pixel) in pixels.iter().enumerate() {
        let at = (place / SIDE / 2) * FINEST + place % SIDE / 2;
        means[at] += f64::from(*pixel) / (4.0 * f64::from(FULL_SCALE));
    }
    means
}

/// The tokens of an image, and what they leave of it.
#[must_use]
pub fn quantised(image: &[f64; FINEST * FINEST]) -> (Vec<u16>, [f64; FINEST * FINEST]) {
    let (mut left, mut tokens) = (*image, Vec::with_capacity(TOKENS));
    for side in SIDES {
        let covered = ((FINEST / side) * (FINEST / side)) as f64;
        let mut means = vec![0.0; side * side];
        for (place, value) in left.iter().enumerate() {
            means[cell(side, place)] += value / covered;
        }
        let own: Vec<u16> = means.into_iter().map(token).collect();
        for (place, value) in left.iter_mut().enumerate() {
            *value -= level(own[cell(side, place)]);
        }
        tokens.extend(own);
    }
    (tokens, left)
}

/// For every token but the first the number of the token that covers its cell at the scale before.
#[must_use]
pub fn parents() -> Vec<usize> {
    let mut parents = Vec::with_capacity(TOKENS - 1);
    let mut start = 0;
    for pair in SIDES.windows(2) {
        let (coarse, fine) = (pair[0], pair[1]);
        let wide = fine / coarse;
        let of = |place: usize| start + (place / fine / wide) * coarse + place % fine / wide;
        parents.extend((0..fine * fine).map(of));
        start += coarse * coarse;
    }
    parents
}

/// Images as sequences of 85 tokens, the group of each its class; no two are the same.
///
/// # Errors
/// [`DataError::Setting`] when there are not as many different ones.
pub fn generate(sizes: Sizes) -> Result<Parts<Sequence>, DataError> {
    let mut random = generator(&Digest::of(b"palimpsest/pyramids/v1"));
    let draw = |_: Place| {
        let factors = Factors::draw(&mut random);
        let (tokens, _) = quantised(&averaged(&factors.render()));
        Sequence { tokens, prompt: 0, group: factors.shape as u32 }
    };
    distinct(sizes, draw, Sequence::id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Sizes = Sizes { train: 300, probe: 0, validation: 50, test: 50 };

    #[test]
    fn an_image_is_85_tokens_of_16_levels() {
        assert_eq!(SIDES.map(|side| side * side).iter().sum::<usize>(), TOKENS);
        let parts = generate(FEW).unwrap();
        for sequence in &parts.train.examples {
            assert_eq!(sequence.tokens.len(), TOKENS);
            assert!(sequence.tokens.iter().all(|token| i64::from(*token) < LEVELS));
        }
        let levels: Vec<f64> = [0, 7, 15].map(level).to_vec();
        assert_eq!(levels, [-0.875, 0.0, 1.0]);
        assert_eq!([0.07, -0.07, 2.0, -2.0].map(token), [8, 6, 15, 0]);
    }

    #[test]
    fn levels_add_up_to_the_image_but_for_a_sixteenth() {
        let mut random = generator(&Digest::of(b"test of pyramids"));
        for _ in 0..200 {
            let image = averaged(&Factors::draw(&mut random).render());
            let (tokens, left) = quantised(&image);
            assert!(left.iter().all(|value| value.abs() <= 1.0 / 16.0), "{left:?}");
            let mut start = 0;
            let mut sums = [0.0; 64];
            for side in SIDES {
                for (place, sum) in sums.iter_mut().enumerate() {
                    *sum += level(tokens[start + cell(side, place)]);
                }
                start += side * side;
            }
            for ((sum, left), pixel) in sums.iter().zip(left).zip(image) {
                assert_eq!(sum + left, pixel);
            }
        }
    }

    #[test]
    fn the_parent_of_a_token_covers_it_at_the_scale_before() {
        let parents = parents();
        assert_eq!(parents.len(), TOKENS - 1);
        assert_eq!(parents[..4], [0; 4]);
        // The second row of 4 x 4 lies below the first of 2 x 2, whose tokens are 1 to 4.
        assert_eq!(parents[4..12], [1, 1, 2, 2, 1, 1, 2, 2]);
        assert_eq!([parents[20], parents[83]], [5, 20]);
    }

    #[test]
    fn no_image_is_in_two_splits_and_they_are_always_the_same() {
        let parts = generate(FEW).unwrap();
        let mut ids = [parts.train.ids, parts.validation.ids, parts.test.ids].concat();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 400);
        let more = generate(Sizes { train: 400, ..FEW }).unwrap();
        assert_eq!(generate(FEW).unwrap().test, more.test);
        assert_eq!(generate(FEW).unwrap().train.ids, more.train.ids[..300]);
    }
}

//! Short grey clips to keep in a network, one after the other: soft blobs on circles, and gratings that drift.
//! No download, the same for every seed of a run.
//!
//! Clips of even number have three blobs on a dark ground, clips of odd number the sum of two plane waves. Each
//! draws what it is made of from a generator of its own, so that a clip does not depend on how many there are.
//! Pixels are whole 255ths, so that sample ids do not depend on the last digit of a platform's sine.

use std::f64::consts::TAU;

use ledger::seed::Seed;
use ledger::streams::{Streams, unit_f64};
use rand_pcg::Pcg64;

/// Height and width of a frame.
pub const SIDE: usize = 32;
/// Seed of all clips.
const SEED: u64 = 14;
/// Parts of a clip.
const BLOBS: usize = 3;
const WAVES: usize = 2;

/// A frame, row by row.
pub type Frame = Vec<u8>;

/// The first `frames` frames of the clip of this number, which comes round after as many.
#[must_use]
pub fn clip(number: u32, frames: u32) -> Vec<Frame> {
    let mut random = Streams::new(Seed::from_integer(SEED).bytes).keyed("clip", number, 0);
    let brightness: Box<dyn Fn(f64, [f64; 2]) -> f64> = if number.is_multiple_of(2) {
        let blobs = [(); BLOBS].map(|()| Blob::draw(&mut random));
        Box::new(move |time, at| 0.1 + blobs.iter().map(|blob| blob.at(time, at)).sum::<f64>())
    } else {
        let waves = [(); WAVES].map(|()| Wave::draw(&mut random));
        Box::new(move |time, at| 0.5 + waves.iter().map(|wave| wave.at(time, at)).sum::<f64>())
    };
    let frame = |index: u32| {
        let time = f64::from(index) / f64::from(frames.max(1));
        let places = (0..SIDE * SIDE).map(|place| [place % SIDE, place / SIDE]);
        places.map(|[x, y]| byte(brightness(time, [middle(x), middle(y)]))).collect()
    };
    (0..frames).map(frame).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a pixel's place")]
fn middle(place: usize) -> f64 {
    place as f64 + 0.5
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 255")]
fn byte(brightness: f64) -> u8 {
    (255.0 * brightness.clamp(0.0, 1.0)).round() as u8
}

fn between(random: &mut Pcg64, low: f64, high: f64) -> f64 {
    low + (high - low) * unit_f64(random)
}

/// One way or the other, once or twice a clip.
fn turns(random: &mut Pcg64) -> f64 {
    let way = if unit_f64(random) < 0.5 { -1.0 } else { 1.0 };
    if unit_f64(random) < 0.5 { way } else { 2.0 * way }
}

/// A Gaussian that goes round.
struct Blob {
    height: f64,
    width: f64,
    middle: [f64; 2],
    radius: f64,
    turns: f64,
    phase: f64,
}

impl Blob {
    fn draw(random: &mut Pcg64) -> Self {
        Self {
            height: between(random, 0.4, 0.9),
            width: between(random, 2.0, 4.0),
            middle: [(); 2].map(|()| between(random, 10.0, 22.0)),
            radius: between(random, 3.0, 9.0),
            turns: turns(random),
            phase: between(random, 0.0, TAU),
        }
    }

    fn at(&self, time: f64, [x, y]: [f64; 2]) -> f64 {
        let angle = self.phase + TAU * self.turns * time;
        let [u, v] = [
            x - self.middle[0] - self.radius * angle.cos(),
            y - self.middle[1] - self.radius * angle.sin(),
        ];
        self.height * (-(u * u + v * v) / (2.0 * self.width * self.width)).exp()
    }
}

/// A plane wave that drifts.
struct Wave {
    height: f64,
    /// Periods across the frame, right and down.
    periods: [f64; 2],
    turns: f64,
    phase: f64,
}

impl Wave {
    fn draw(random: &mut Pcg64) -> Self {
        let angle = between(random, 0.0, TAU);
        let periods = between(random, 1.0, 4.0);
        Self {
            height: between(random, 0.15, 0.25),
            periods: [periods * angle.cos(), periods * angle.sin()],
            turns: turns(random),
            phase: between(random, 0.0, TAU),
        }
    }

    fn at(&self, time: f64, [x, y]: [f64; 2]) -> f64 {
        let [u, v] = self.periods.map(|periods| periods / middle(SIDE - 1));
        self.height * (self.phase + TAU * (u * x + v * y - self.turns * time)).sin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_move_differ_from_each_other_and_do_not_depend_on_their_number_of_frames() {
        let clips: Vec<Vec<Frame>> = (0..4).map(|number| clip(number, 16)).collect();
        for (number, frames) in clips.iter().enumerate() {
            assert!(frames.len() == 16 && frames.iter().all(|frame| frame.len() == SIDE * SIDE));
            assert!(frames.windows(2).all(|pair| pair[0] != pair[1]), "{number}");
            let used = frames.concat();
            let (low, high) = (used.iter().min().unwrap(), used.iter().max().unwrap());
            assert!(high - low > 100, "{number}: {low} to {high}");
            assert!(clips[..number].iter().all(|other| other != frames), "{number}");
        }
        // Every other frame of a clip twice as fine.
        let finer = clip(1, 32);
        assert!(clips[1].iter().zip(finer.iter().step_by(2)).all(|(one, other)| one == other));
    }

    #[test]
    fn the_first_pixels_are_these() {
        let first = |number| clip(number, 16)[3][..4].to_vec();
        assert_eq!([first(0), first(1)], [vec![26; 4], vec![123, 138, 161, 186]]);
    }
}

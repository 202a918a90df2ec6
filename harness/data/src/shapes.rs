//! Grey images of one object each, with known factors; no download.
//!
//! `shapes16`: 16 x 16 pixels, 4 x 4 supersampled, so that a pixel is the number of its 16 sub-pixels
//! that the object covers. Class (disc, square, cross, ring), size, place and angle are uniform; the
//! object lies wholly inside the frame. [`read`] finds the factors of an image again, by rendering.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use ledger::digest::Digest;
use ledger::order;
use ledger::streams::unit_f64;
use rand_core::Rng as _;
use rand_pcg::Pcg64;

use crate::load::generated;
use crate::loaded::{Loaded, Samples};
use crate::raw::Images;
use crate::split::Split;

/// Height and width in pixels.
pub const SIDE: usize = 16;
/// Pixel value of a pixel that is covered wholly.
pub const FULL_SCALE: u8 = 16;
/// Images to train on.
pub const TRAIN: u32 = 8_192;
/// Images to validate on, as many to test on, and as many that no split holds.
pub const HELD_OUT: u32 = 2_000;

/// Sub-pixels per pixel and axis.
const FINE: usize = 4;
/// Smallest and largest size in pixels.
const SIZES: [f64; 2] = [3.0, 5.0];
/// No object reaches farther than this many sizes from its middle: a square's corners.
const REACH: f64 = 1.07;
const SQUARE: f64 = 0.75;
const DISC: f64 = 0.9;
const BAR: f64 = 0.3;
const HOLE: f64 = 0.55;
/// Fainter pixels are background to the reader.
const FAINT: f64 = 0.1;
/// Smallest number of bright pixels of an object.
const SPECK: usize = 3;
/// Root mean square over pixels up to which an image is a rendering of what was read; 99.9 % of
/// true images stay below it.
pub const TOLERANCE: f64 = 0.08;

/// What is on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A filled circle.
    Disc,
    /// A filled square.
    Square,
    /// Two bars at right angles.
    Cross,
    /// A circle with a hole.
    Ring,
}

/// Every class, in the order of labels.
pub const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Square, Shape::Cross, Shape::Ring];

/// All that an image is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// Class.
    pub shape: Shape,
    /// Middle in pixels, right and down from the upper left corner of the frame.
    pub middle: [f64; 2],
    /// Size in pixels.
    pub size: f64,
    /// Angle in 0..π/2; without effect on discs and rings.
    pub angle: f64,
}

/// What was found on an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Groups of bright pixels that touch each other.
    pub objects: usize,
    /// The factors whose rendering is nearest.
    pub factors: Factors,
    /// Root mean square distance to that rendering, pixels of 0..1.
    pub residual: f64,
}

impl Reading {
    /// Whether the image shows one object of a class.
    #[must_use]
    pub fn recognised(&self) -> bool {
        self.objects == 1 && self.residual <= TOLERANCE
    }
}

impl Shape {
    /// Whether a point (in sizes from the middle, turned upright) is covered.
    fn covers(self, [u, v]: [f64; 2]) -> bool {
        let (u, v) = (u.abs(), v.abs());
        match self {
            Self::Disc => u * u + v * v <= DISC * DISC,
            Self::Square => u.max(v) <= SQUARE,
            Self::Cross => u.min(v) <= BAR && u.max(v) <= 1.0,
            Self::Ring => (HOLE * HOLE..=1.0).contains(&(u * u + v * v)),
        }
    }

    /// Covered area at size 1.
    fn area(self) -> f64 {
        match self {
            Self::Disc => PI * DISC * DISC,
            Self::Square => 4.0 * SQUARE * SQUARE,
            Self::Cross => 4.0 * BAR * (2.0 - BAR),
            Self::Ring => PI * (1.0 - HOLE * HOLE),
        }
    }
}

impl Factors {
    /// An object that lies wholly inside the frame: class, size, place and angle uniform.
    pub fn draw(random: &mut Pcg64) -> Self {
        let shape = SHAPES[(random.next_u64() >> 62) as usize];
        let mut uniform = |[low, high]: [f64; 2]| low + (high - low) * unit_f64(random);
        let size = uniform(SIZES);
        let inside = [REACH * size, SIDE as f64 - REACH * size];
        let middle = [uniform(inside), uniform(inside)];
        Self { shape, middle, size, angle: uniform([0.0, FRAC_PI_2]) }
    }

    /// Covered sub-pixels of each pixel, row by row.
    #[must_use]
    pub fn render(&self) -> [u8; SIDE * SIDE] {
        let mut pixels = [0; SIDE * SIDE];
        self.cover(SIDE, &mut pixels);
        pixels
    }

    /// The same on a frame of `side` x `side` pixels, which shows the same object larger or smaller.
    #[must_use]
    pub fn render_at(&self, side: usize) -> Vec<u8> {
        let mut pixels = vec![0; side * side];
        self.cover(side, &mut pixels);
        pixels
    }

    fn cover(&self, side: usize, pixels: &mut [u8]) {
        let (sin, cos) = self.angle.sin_cos();
        let scale = scale(side);
        for (place, pixel) in pixels.iter_mut().enumerate() {
            let corner = [(place % side) as f64, (place / side) as f64];
            for fine in 0..FINE * FINE {
                let offset = [(fine % FINE) as f64, (fine / FINE) as f64];
                let [x, y] = [0, 1].map(|axis: usize| {
                    let at = (corner[axis] + (offset[axis] + 0.5) / FINE as f64) * scale;
                    (at - self.middle[axis]) / self.size
                });
                *pixel += u8::from(self.shape.covers([cos * x + sin * y, cos * y - sin * x]));
            }
        }
    }
}

/// Side of a pixel of a frame of `side` x `side`, in pixels of 16 x 16.
fn scale(side: usize) -> f64 {
    SIDE as f64 / side as f64
}

/// The factors of `count` images; those of `part` "all" are those of the splits.
fn factors(part: &str, count: u32) -> Vec<Factors> {
    let mut random = order::generator(&Digest::of_parts(&[
        b"palimpsest/shapes/v1",
        &(SIDE as u64).to_le_bytes(),
        part.as_bytes(),
    ]));
    (0..count).map(|_| Factors::draw(&mut random)).collect()
}

fn images(factors: &[Factors]) -> Images {
    Images {
        pixels: factors.iter().flat_map(Factors::render).collect(),
        shape: [1, SIDE, SIDE],
        labels: factors.iter().map(|factors| factors.shape as u8).collect(),
        classes: 4,
        full_scale: FULL_SCALE,
    }
}

/// All images of the splits, training first, then validation, then test, where each part lies, and
/// what each image is made of.
#[must_use]
pub fn generate() -> (Images, Split, Vec<Factors>) {
    let factors = factors("all", TRAIN + 2 * HELD_OUT);
    (images(&factors), Split::consecutive(TRAIN, HELD_OUT, HELD_OUT), factors)
}

/// As many images as are judged at once, which no split holds.
#[must_use]
pub fn spare() -> Images {
    images(&factors("spare", HELD_OUT))
}

/// The images as a data set.
#[must_use]
pub fn load() -> Loaded {
    let (images, split, _) = generate();
    generated("shapes16", Samples::Bytes(images), split)
}

/// What is on an image of 16 x 16 pixels of 0..1 (others are cut off), row by row.
///
/// Size, place and angle follow from area, centroid and fourth angular moment, given the class; the
/// class is that whose rendering is nearest.
#[must_use]
pub fn read(image: &[f32]) -> Option<Reading> {
    read_at(image, SIDE)
}

/// The same of a frame of `side` x `side` pixels, in units of 16 x 16.
#[must_use]
pub fn read_at(image: &[f32], side: usize) -> Option<Reading> {
    let scale = scale(side);
    let pixels: Vec<f64> = image.iter().map(|&pixel| f64::from(pixel).clamp(0.0, 1.0)).collect();
    let bright = |place: usize| Some(pixels[place]).filter(|pixel| *pixel >= FAINT).unwrap_or(0.0);
    let at = |place: usize| {
        [place % side, place / side].map(|along: usize| (along as f64 + 0.5) * scale)
    };
    let mass: f64 = (0..pixels.len()).map(bright).sum();
    let area = mass * scale * scale;
    if pixels.len() != side * side || area < 1.0 {
        return None;
    }
    let middle = [0, 1].map(|axis: usize| {
        (0..pixels.len()).map(|place| bright(place) * at(place)[axis]).sum::<f64>() / mass
    });
    // ∑ I (x + iy)⁴: its phase is four times the angle of a cross; a square's corners lie between.
    let [mut real, mut imaginary] = [0.0, 0.0];
    for place in 0..pixels.len() {
        let [x, y] = at(place);
        let [x, y] = [x - middle[0], y - middle[1]];
        let (square, twice) = (x * x - y * y, 2.0 * x * y);
        real += bright(place) * (square * square - twice * twice);
        imaginary += bright(place) * 2.0 * square * twice;
    }
    let turn = imaginary.atan2(real) / 4.0;
    let candidate = |shape: Shape| {
        let angle = if shape == Shape::Square { turn + FRAC_PI_4 } else { turn };
        let angle = angle.rem_euclid(FRAC_PI_2);
        let factors = Factors { shape, middle, size: (area / shape.area()).sqrt(), angle };
        let squares = factors.render_at(side).into_iter().zip(image).map(|(covered, &pixel)| {
            (f64::from(covered) / f64::from(FULL_SCALE) - f64::from(pixel)).powi(2)
        });
        (factors, (squares.sum::<f64>() / pixels.len() as f64).sqrt())
    };
    let candidates = SHAPES.map(candidate);
    let nearest = candidates.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let objects = objects(&pixels, side);
    nearest.map(|(factors, residual)| Reading { objects, factors, residual })
}

/// Groups of at least [`SPECK`] pixels (of 16 x 16) above one half that touch by side or corner.
fn objects(pixels: &[f64], side: usize) -> usize {
    let least = SPECK as f64 / scale(side).powi(2);
    let mut open: Vec<bool> = pixels.iter().map(|pixel| *pixel > 0.5).collect();
    let mut count = 0;
    for start in 0..open.len() {
        let (mut members, mut waiting) = (0, Vec::new());
        if std::mem::take(&mut open[start]) {
            waiting.push(start);
        }
        while let Some(place) = waiting.pop() {
            members += 1;
            let (row, column) = (place / side, place % side);
            for row in row.saturating_sub(1)..=(row + 1).min(side - 1) {
                for column in column.saturating_sub(1)..=(column + 1).min(side - 1) {
                    if std::mem::take(&mut open[row * side + column]) {
                        waiting.push(row * side + column);
                    }
                }
            }
        }
        count += usize::from(members as f64 >= least);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(pixels: &[u8]) -> Vec<f32> {
        pixels.iter().map(|&pixel| f32::from(pixel) / f32::from(FULL_SCALE)).collect()
    }

    #[test]
    fn the_reader_finds_the_factors_of_true_images() {
        let factors = factors("test of the reader", 2_000);
        let (mut right, mut recognised, mut farthest) = (0, 0, 0.0_f64);
        for truth in &factors {
            let reading = read(&grey(&truth.render())).unwrap();
            assert_eq!(reading.objects, 1, "{truth:?}");
            recognised += u32::from(reading.recognised());
            right += u32::from(reading.factors.shape == truth.shape);
            let [x, y] = [0, 1].map(|axis| reading.factors.middle[axis] - truth.middle[axis]);
            farthest = farthest.max(x.hypot(y));
        }
        assert!(right >= 1_990, "class right in {right} of 2,000");
        assert!(recognised >= 1_990, "recognised {recognised} of 2,000");
        assert!(farthest < 0.15, "{farthest} pixels");
    }

    #[test]
    fn a_larger_frame_shows_the_same_objects_and_the_reader_finds_their_factors_there() {
        for side in [24, 32] {
            let mut right = 0;
            for truth in factors("test of frames", 400) {
                let pixels = truth.render_at(side);
                let reading = read_at(&grey(&pixels), side).unwrap();
                assert_eq!(reading.objects, 1, "{side}: {truth:?}");
                right += u32::from(reading.factors.shape == truth.shape);
                let [x, y] = [0, 1].map(|axis| reading.factors.middle[axis] - truth.middle[axis]);
                assert!(x.hypot(y) < 0.5, "{side}: {truth:?} {reading:?}");
            }
            assert!(right >= 398, "{side}: {right} of 400");
        }
        // Four pixels of the larger frame are one of the smaller, but for where sub-pixels lie.
        let [one] = factors("test of frames", 1)[..] else { panic!("one") };
        let (small, large) = (one.render(), one.render_at(32));
        let covered = |pixels: &[u8]| pixels.iter().map(|&n| f64::from(n)).sum::<f64>();
        assert!((covered(&large) / covered(&small) / 4.0 - 1.0).abs() < 0.05);
        assert_eq!(one.render_at(16), small);
        assert_eq!(read_at(&[0.5; 256], 32), None);
    }

    #[test]
    fn what_is_not_one_object_is_not_recognised() {
        let at = |shape, x| Factors { shape, middle: [x, 8.0], size: 3.0, angle: 0.3 };
        let one = grey(&at(Shape::Disc, 4.0).render());
        let other = grey(&at(Shape::Cross, 12.0).render());
        assert!(read(&one).unwrap().recognised());
        let both: Vec<f32> = one.iter().zip(&other).map(|(a, b)| a + b).collect();
        assert_eq!(read(&both).unwrap().objects, 2);
        assert!(!read(&both).unwrap().recognised());
        let faded: Vec<f32> = one.iter().map(|pixel| pixel * 0.6).collect();
        assert!(!read(&faded).unwrap().recognised());
        let noisy: Vec<f32> = (0..256).map(|i| ((i * 7919) % 97) as f32 / 97.0).collect();
        assert!(!read(&noisy).unwrap().recognised());
        assert_eq!(read(&[0.0; 256]), None);
        assert_eq!(read(&[1.0; 100]), None);
    }

    #[test]
    fn every_object_lies_inside_the_frame_and_covers_its_area() {
        for factors in factors("test of areas", 300) {
            let pixels = factors.render();
            let edge = |place: usize| {
                let (row, column) = (place / SIDE, place % SIDE);
                row.min(column) == 0 || row.max(column) == SIDE - 1
            };
            assert!((0..256).all(|place| !edge(place) || pixels[place] < FULL_SCALE));
            let covered: f64 = pixels.iter().map(|&n| f64::from(n) / f64::from(FULL_SCALE)).sum();
            let expected = factors.shape.area() * factors.size * factors.size;
            assert!((covered / expected - 1.0).abs() < 0.08, "{factors:?}: {covered}");
        }
    }

    #[test]
    fn classes_are_equally_frequent_and_the_images_are_always_the_same() {
        let (images, split, factors) = generate();
        assert_eq!((images.len(), split.train.len(), split.test.len()), (12_192, 8_192, 2_000));
        for class in 0..4 {
            let count = images.labels.iter().filter(|label| **label == class).count();
            assert!((2_850..3_250).contains(&count), "class {class}: {count}");
        }
        assert_eq!(images.sample_bytes(7), Some(&factors[7].render()[..]));
        assert_ne!(images.sample_bytes(0), spare().sample_bytes(0));
    }

    #[test]
    fn the_training_ids_are_pinned() {
        let digest = Digest::of(&load().sample_ids.concat()).to_string();
        assert_eq!(digest, "5bcbdb63434554e7827eda30442317e8198dc29b5fd559f88ee8c349cfc12301");
    }
}

//! Two frames of 8 × 8 pixels of four grey levels: one or two textured sprites on black, each moved by a velocity of its own.
//!
//! A sprite is 3 × 3 pixels of levels 1 to 3 and lies wholly within the first frame; the second shows what of it is still within
//! the frame. The later sprite is in front. So the flow of every pixel is known, and so is the law of the second frame given the
//! first: all ways to explain the first frame by sprites are counted, with every velocity ([`Rules::explain`]).

use ledger::digest::Digest;
use ledger::order::bounded;
use rand_pcg::Pcg64;

/// Height and width of a frame.
pub const SIDE: usize = 8;
/// Pixels of a frame.
pub const PIXELS: usize = SIDE * SIDE;
/// Grey levels; 0 is black.
pub const LEVELS: usize = 4;
/// Height and width of a sprite.
const SPRITE: usize = 3;
/// Places of a sprite along an axis.
const PLACES: u64 = (SIDE - SPRITE + 1) as u64;
/// Levels of a sprite's pixels.
const SHADES: u64 = LEVELS as u64 - 1;

/// A frame, row by row.
pub type Frame = [u8; PIXELS];

/// How clips are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Sprites at most, 1 or 2; each number is as likely.
    pub most: u32,
    /// Largest velocity along an axis, in pixels a frame.
    pub speed: u32,
}

/// Where a sprite is, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    /// Row and column of its first pixel in the first frame.
    at: [i32; 2],
    /// Rows and columns that it moves by.
    velocity: [i32; 2],
}

/// Two frames, and what moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// First and second frame.
    pub frames: [Frame; 2],
    /// Of every pixel of the first frame, the velocity of the sprite that it shows; nothing where it is black.
    pub flow: Vec<Option<[i32; 2]>>,
}

/// Place of a pixel in a frame, if it is within one.
fn place([row, column]: [i32; 2]) -> Option<usize> {
    let within = |x: i32| usize::try_from(x).ok().filter(|x| *x < SIDE);
    Some(within(row)? * SIDE + within(column)?)
}

impl Course {
    /// Places of the sprite's pixels in a frame (0 or 1), row by row.
    fn places(self, frame: i32) -> impl Iterator<Item = Option<usize>> {
        let [top, left] = [0, 1].map(|axis| self.at[axis] + frame * self.velocity[axis]);
        (0..SPRITE as i32).flat_map(move |row| {
            (0..SPRITE as i32).map(move |column| place([top + row, left + column]))
        })
    }
}

impl Rules {
    /// Draws a clip.
    pub fn draw(&self, random: &mut Pcg64) -> Clip {
        let mut frames = [[0; PIXELS]; 2];
        let mut flow = vec![None; PIXELS];
        let count = 1 + bounded(random, u64::from(self.most));
        let below = |random: &mut Pcg64, n: u64| bounded(random, n) as i32;
        for _ in 0..count {
            let at = [(); 2].map(|()| below(random, PLACES));
            let velocity = [(); 2].map(|()| below(random, self.velocities()) - self.speed as i32);
            let course = Course { at, velocity };
            let texture = [(); SPRITE * SPRITE].map(|()| 1 + below(random, SHADES) as u8);
            for (frame, pixels) in (0..).zip(&mut frames) {
                for (place, shade) in course.places(frame).zip(texture) {
                    let Some(place) = place else { continue };
                    pixels[place] = shade;
                    if frame == 0 {
                        flow[place] = Some(velocity);
                    }
                }
            }
        }
        Clip { frames, flow }
    }

    /// Velocities along an axis.
    fn velocities(&self) -> u64 {
        2 * u64::from(self.speed) + 1
    }

    fn courses(&self) -> Vec<Course> {
        let (places, speed) = (0..PLACES as i32, self.speed as i32);
        let pairs = |range: std::ops::Range<i32>| {
            range.clone().flat_map(move |row| range.clone().map(move |column| [row, column]))
        };
        let velocities: Vec<_> = pairs(-speed..speed + 1).collect();
        let each = pairs(places)
            .flat_map(|at| velocities.iter().map(move |&velocity| Course { at, velocity }));
        each.collect()
    }

    /// All that the second frame may be, given the first. None where no sprites explain it.
    #[must_use]
    pub fn explain(&self, first: &Frame) -> Option<Law> {
        let courses = self.courses();
        let still: Vec<Course> = courses
            .iter()
            .copied()
            .filter(|course| course.velocity == [-(self.speed as i32); 2])
            .collect();
        let per_place = courses.len() / still.len();
        let moving = |place: usize| &courses[place * per_place..(place + 1) * per_place];
        let mut law = Law { ways: Vec::new() };
        // A course is as likely as another, and so is a number of sprites.
        let one = 1.0 / courses.len() as f64;
        for (a, back) in still.iter().enumerate() {
            if fits(first, &[*back]) {
                for course in moving(a) {
                    law.add(first, &[*course], one);
                }
            }
            if self.most < 2 {
                continue;
            }
            for (b, front) in still.iter().enumerate() {
                if !fits(first, &[*back, *front]) {
                    continue;
                }
                for back in moving(a) {
                    for front in moving(b) {
                        law.add(first, &[*back, *front], one * one);
                    }
                }
            }
        }
        (!law.ways.is_empty()).then_some(law)
    }
}

/// Whether these sprites cover the pixels of a first frame that are not black, and no others.
fn fits(first: &Frame, sprites: &[Course]) -> bool {
    let mut covered = [false; PIXELS];
    for place in sprites.iter().flat_map(|sprite| sprite.places(0)).flatten() {
        covered[place] = true;
    }
    covered.iter().zip(first).all(|(covered, level)| *covered == (*level > 0))
}

/// A pixel of a second frame of which an explanation says only that it is not black.
const HIDDEN: u8 = u8::MAX;

/// The law of a second frame: explanations with their weights, each a level for every pixel, or [`HIDDEN`].
#[derive(Debug, Clone)]
pub struct Law {
    ways: Vec<(f64, Frame)>,
}

impl Law {
    fn add(&mut self, first: &Frame, sprites: &[Course], prior: f64) {
        // What of each sprite the first frame shows; a pixel shows the sprite in front.
        let mut owner = [usize::MAX; PIXELS];
        for (index, sprite) in sprites.iter().enumerate() {
            sprite.places(0).flatten().for_each(|place| owner[place] = index);
        }
        let (mut second, mut seen) = ([0; PIXELS], 0);
        for (index, sprite) in sprites.iter().enumerate() {
            for (before, after) in sprite.places(0).zip(sprite.places(1)) {
                let shown = before.filter(|place| owner[*place] == index);
                seen += i32::from(shown.is_some());
                if let Some(after) = after {
                    second[after] = shown.map_or(HIDDEN, |place| first[place]);
                }
            }
        }
        self.ways.push((prior * (SHADES as f64).powi(-seen), second));
    }

    /// How likely an explanation makes a pixel's level.
    fn of(said: u8, level: u8) -> f64 {
        match said {
            HIDDEN if level > 0 => 1.0 / SHADES as f64,
            HIDDEN => 0.0,
            said => f64::from(u8::from(said == level)),
        }
    }

    /// −log₂ of the second frame's probability.
    #[must_use]
    pub fn bits(&self, second: &Frame) -> f64 {
        let all: f64 = self.ways.iter().map(|(weight, _)| weight).sum();
        let of = |(weight, said): &(f64, Frame)| {
            let each = said.iter().zip(second).map(|(said, level)| Self::of(*said, *level));
            weight * each.product::<f64>()
        };
        -(self.ways.iter().map(of).sum::<f64>() / all).log2()
    }

    /// The probability of each level of every pixel, given some pixels of the second frame; all equal where no
    /// explanation is left.
    #[must_use]
    pub fn given(&self, revealed: &[(usize, u8)]) -> Vec<[f64; LEVELS]> {
        let mut sums = vec![[0.0; LEVELS]; PIXELS];
        let mut all = 0.0;
        for (weight, said) in &self.ways {
            let each = revealed.iter().map(|(place, level)| Self::of(said[*place], *level));
            let weight = weight * each.product::<f64>();
            if weight > 0.0 {
                all += weight;
                for (sum, said) in sums.iter_mut().zip(said) {
                    for (level, sum) in (0..).zip(sum) {
                        *sum += weight * Self::of(*said, level);
                    }
                }
            }
        }
        if all == 0.0 {
            return vec![[1.0 / LEVELS as f64; LEVELS]; PIXELS];
        }
        sums.iter_mut().flatten().for_each(|sum| *sum /= all);
        for (place, level) in revealed {
            sums[*place] = [0.0; LEVELS];
            sums[*place][usize::from(*level)] = 1.0;
        }
        sums
    }
}

impl Clip {
    /// The sample id: both frames.
    #[must_use]
    pub fn id(&self) -> Digest {
        let [first, second] = &self.frames;
        ledger::sample::sample_id(first, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::order::{generator, shuffle};

    fn clips(rules: Rules, count: usize) -> Vec<Clip> {
        let mut random = generator(&Digest::of(b"clips of a test"));
        (0..count).map(|_| rules.draw(&mut random)).collect()
    }

    const ONE: Rules = Rules { most: 1, speed: 2 };
    const TWO: Rules = Rules { most: 2, speed: 2 };

    #[test]
    fn a_second_frame_of_one_sprite_costs_the_bits_of_its_velocity() {
        for clip in clips(ONE, 40) {
            let bits = ONE.explain(&clip.frames[0]).unwrap().bits(&clip.frames[1]);
            // Something of every sprite stays within the frame, and tells the velocity.
            assert!((bits - 25_f64.log2()).abs() < 1e-9, "{bits}");
        }
    }

    #[test]
    fn what_is_seen_of_a_sprite_moves_by_its_velocity() {
        for clip in clips(ONE, 40) {
            for (at, flow) in clip.flow.iter().enumerate() {
                let [first, second] = &clip.frames;
                assert_eq!(flow.is_some(), first[at] > 0);
                let Some([down, right]) = flow else { continue };
                let to = place([(at / SIDE) as i32 + down, (at % SIDE) as i32 + right]);
                assert!(to.is_none_or(|to| second[to] == first[at]));
            }
        }
    }

    #[test]
    fn a_frame_costs_the_same_bits_in_any_order_and_less_where_more_is_given() {
        let mut random = generator(&Digest::of(b"orders of a test"));
        for clip in clips(TWO, 12) {
            let [first, second] = &clip.frames;
            let law = TWO.explain(first).unwrap();
            let whole = law.bits(second);
            for _ in 0..3 {
                let mut order: Vec<u32> = (0..PIXELS as u32).collect();
                shuffle(&mut random, &mut order);
                let (mut revealed, mut sum) = (Vec::new(), 0.0);
                for at in order {
                    let (at, level) = (at as usize, second[at as usize]);
                    sum -= law.given(&revealed)[at][usize::from(level)].log2();
                    revealed.push((at, level));
                }
                assert!((sum - whole).abs() < 1e-6, "{sum} {whole}");
            }
        }
        // In the mean over clips: a subset given the rest costs no more than given nothing.
        let mean = |given: bool| -> f64 {
            let of = |clip: &Clip| {
                let [first, second] = &clip.frames;
                let told = if given { 32 } else { 0 };
                let revealed: Vec<_> =
                    (0..told).map(|at| (2 * at + 1, second[2 * at + 1])).collect();
                let law = TWO.explain(first).unwrap().given(&revealed);
                (0..PIXELS)
                    .step_by(2)
                    .map(|at| -law[at][usize::from(second[at])].log2())
                    .sum::<f64>()
            };
            clips(TWO, 12).iter().map(of).sum::<f64>()
        };
        assert!(mean(true) < 0.5 * mean(false), "{} {}", mean(true), mean(false));
    }

    #[test]
    fn a_black_frame_has_no_explanation_and_what_contradicts_all_leaves_nothing_known() {
        assert!(TWO.explain(&[0; PIXELS]).is_none());
        let clip = clips(ONE, 1).remove(0);
        let law = ONE.explain(&clip.frames[0]).unwrap();
        let everywhere: Vec<_> = (0..PIXELS).map(|at| (at, 1)).collect();
        assert_eq!(law.given(&everywhere)[5], [0.25; LEVELS]);
    }
}

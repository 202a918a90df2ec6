//! Films of still scenes: a coloured sprite on black, cut to another one now and then, its brightness flickering.
//!
//! A sprite is 8 × 8 pixels of a frame of 16 × 16, at a multiple of 4 along both axes. Each quarter of it is the same pattern of two
//! lit blocks of 2 × 2 pixels among four; the six patterns are the ids. So an average over 4 × 4 pixels is the same for all ids: a
//! frame that was brought to 4 × 4 pixels tells where a sprite is and of what colour, and nothing of which one it is; one of 8 × 8
//! pixels tells all.

use ledger::digest::Digest;
use ledger::order::{bounded, shuffle};
use ledger::sample::sample_id;
use rand_pcg::Pcg64;

/// Height and width of a frame.
pub const SIDE: usize = 16;
/// Sprites that can be told apart.
pub const IDS: usize = 6;
/// Places of a sprite along an axis.
const ALONG: usize = 3;
/// Places of a sprite.
const PLACES: usize = ALONG * ALONG;
/// Colours of a sprite, at full brightness.
const COLOURS: [[u8; 3]; 6] =
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]];
/// Brightnesses, in 255ths.
const BRIGHTNESS: [u16; 3] = [255, 204, 153];
/// Different frames.
pub const FRAMES: usize = PLACES * IDS * COLOURS.len() * BRIGHTNESS.len();

/// Lit blocks of a quarter of each sprite, row by row.
const PATTERNS: [[bool; 4]; IDS] = [
    [true, false, false, true],
    [false, true, true, false],
    [true, true, false, false],
    [false, false, true, true],
    [true, false, true, false],
    [false, true, false, true],
];

/// What a scene shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scene {
    /// Which sprite.
    pub id: usize,
    /// Its place, row by row.
    pub place: usize,
    /// Its colour.
    pub colour: usize,
}

/// A film.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Film {
    /// Number of every frame, below [`FRAMES`].
    pub frames: Vec<u16>,
    /// The sprite of every frame.
    pub ids: Vec<usize>,
    /// First frames of scenes, the first one of all included.
    pub cuts: Vec<usize>,
}

impl Scene {
    /// Number of its frame at a brightness.
    #[must_use]
    pub fn frame(&self, brightness: usize) -> u16 {
        let Self { id, place, colour } = *self;
        let number = ((place * IDS + id) * COLOURS.len() + colour) * BRIGHTNESS.len() + brightness;
        u16::try_from(number).unwrap_or(u16::MAX)
    }
}

/// Pixels of the frame of this number, row by row, red, green and blue of each.
#[must_use]
pub fn pixels(frame: u16) -> Vec<u8> {
    let frame = usize::from(frame) % FRAMES;
    let (rest, brightness) = (frame / BRIGHTNESS.len(), BRIGHTNESS[frame % BRIGHTNESS.len()]);
    let (rest, colour) = (rest / COLOURS.len(), COLOURS[rest % COLOURS.len()]);
    let (place, pattern) = (rest / IDS, PATTERNS[rest % IDS]);
    let [top, left] = [place / ALONG, place % ALONG].map(|step| 4 * step);
    let mut pixels = vec![0; SIDE * SIDE * 3];
    for (row, line) in pixels.chunks_mut(SIDE * 3).enumerate() {
        for (column, pixel) in line.chunks_mut(3).enumerate() {
            let within = |x: usize, first: usize| x.checked_sub(first).filter(|x| *x < 8);
            let (Some(row), Some(column)) = (within(row, top), within(column, left)) else {
                continue;
            };
            if pattern[row % 4 / 2 * 2 + column % 4 / 2] {
                for (value, full) in pixel.iter_mut().zip(colour) {
                    *value = u8::try_from(u16::from(full) * brightness / 255).unwrap_or(u8::MAX);
                }
            }
        }
    }
    pixels
}

impl Film {
    /// A film of `length` frames with one to six cuts at random, each to another sprite.
    pub fn draw(length: usize, random: &mut Pcg64) -> Self {
        let below = |random: &mut Pcg64, n: usize| bounded(random, n as u64) as usize;
        let mut places: Vec<u32> = (1..length.max(1) as u32).collect();
        shuffle(random, &mut places);
        let count = 1 + below(random, 6);
        let mut cuts: Vec<usize> = [0]
            .into_iter()
            .chain(places.into_iter().take(count).map(|place| place as usize))
            .collect();
        cuts.sort_unstable();
        let (mut frames, mut ids) = (Vec::with_capacity(length), Vec::with_capacity(length));
        let mut before = None;
        for (scene, &from) in cuts.iter().enumerate() {
            let to = cuts.get(scene + 1).copied().unwrap_or(length);
            let id = match before {
                None => below(random, IDS),
                Some(before) => (before + 1 + below(random, IDS - 1)) % IDS,
            };
            before = Some(id);
            let (place, colour) = (below(random, PLACES), below(random, COLOURS.len()));
            let scene = Scene { id, place, colour };
            for _ in from..to {
                frames.push(scene.frame(below(random, BRIGHTNESS.len())));
                ids.push(id);
            }
        }
        Self { frames, ids, cuts }
    }

    /// The sample id: its frames.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.frames.iter().flat_map(|frame| frame.to_le_bytes()).collect();
        sample_id(&bytes, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums over 4 × 4 pixels of each colour.
    fn coarse(frame: u16) -> Vec<u32> {
        let pixels = pixels(frame);
        let mut sums = vec![0; 4 * 4 * 3];
        for (at, value) in pixels.iter().enumerate() {
            let (row, column, colour) = (at / 48, at / 3 % 16, at % 3);
            sums[(row / 4 * 4 + column / 4) * 3 + colour] += u32::from(*value);
        }
        sums
    }

    #[test]
    fn coarse_frames_hide_which_sprite_it_is_and_show_its_place_and_colour() {
        let scene = |id, place, colour| Scene { id, place, colour }.frame(1);
        for id in 1..IDS {
            assert_eq!(coarse(scene(0, 4, 2)), coarse(scene(id, 4, 2)));
            assert_ne!(pixels(scene(0, 4, 2)), pixels(scene(id, 4, 2)));
        }
        assert_ne!(coarse(scene(0, 4, 2)), coarse(scene(0, 5, 2)));
        assert_ne!(coarse(scene(0, 4, 2)), coarse(scene(0, 4, 3)));
    }

    #[test]
    fn patterns_share_one_lit_block_of_two_at_most() {
        for (index, one) in PATTERNS.iter().enumerate() {
            assert_eq!(one.iter().filter(|lit| **lit).count(), 2);
            for other in &PATTERNS[..index] {
                assert!(one.iter().zip(other).filter(|(a, b)| **a && **b).count() <= 1);
            }
        }
    }

    #[test]
    fn a_film_has_one_to_six_cuts_and_another_sprite_behind_each() {
        let mut random = ledger::order::generator(&Digest::of(b"films of a test"));
        let films: Vec<Film> = (0..200).map(|_| Film::draw(24, &mut random)).collect();
        for Film { frames, ids, cuts } in &films {
            assert!(frames.len() == 24 && ids.len() == 24 && (2..=7).contains(&cuts.len()));
            for (at, pair) in ids.windows(2).enumerate() {
                assert_eq!(pair[0] != pair[1], cuts.contains(&(at + 1)));
            }
            assert!(frames.iter().all(|frame| usize::from(*frame) < FRAMES));
        }
        let most = films.iter().map(|film| film.cuts.len()).max();
        assert_eq!(most, Some(7));
    }
}

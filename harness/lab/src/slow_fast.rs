//! Slow and fast frames: those that differ from the last slow one are read in detail, all others coarsely, within a budget of
//! tokens (Keye-VL 1.5, arXiv:2509.01563).
//!
//! The first frame is slow, and the anchor. Two frames are compared patch by patch: a patch is similar where the cosine of its
//! values in HSV is above 0.7, patches that are black in both are left out, and a frame is slow where the share of similar
//! patches is below θ; it is then the anchor. Of two frames that are black everywhere the share is not a number, and the frame is
//! fast. A slow frame has n tokens and a fast one `max(⌊ratio·n⌋, least)`, n by bisection within `least` and `most`.

/// Cosine above which patches are similar.
const SIMILAR: f64 = 0.7;

/// A pixel in HSV as OpenCV has it for bytes: hue within 180, saturation and value within 255.
#[must_use]
pub fn hsv([red, green, blue]: [u8; 3]) -> [f32; 3] {
    let [red, green, blue] = [red, green, blue].map(f32::from);
    let value = red.max(green).max(blue);
    let spread = value - red.min(green).min(blue);
    if spread == 0.0 {
        return [0.0, 0.0, value];
    }
    let sixths = if value == red {
        (green - blue) / spread
    } else if value == green {
        2.0 + (blue - red) / spread
    } else {
        4.0 + (red - green) / spread
    };
    [30.0 * sixths.rem_euclid(6.0), 255.0 * spread / value, value]
}

/// A frame as it is compared: the values of each patch in HSV.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared(Vec<Vec<f32>>);

impl Compared {
    /// Of a square frame of RGB bytes, row by row, in patches of `patch` × `patch` pixels.
    #[must_use]
    pub fn of(pixels: &[u8], side: usize, patch: usize) -> Self {
        let across = side / patch.max(1);
        let mut patches = vec![Vec::with_capacity(3 * patch * patch); across * across];
        for (at, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
            let (row, column) = (at / side / patch, at % side / patch);
            if let Some(own) = patches.get_mut(row * across + column) {
                own.extend(hsv(*pixel));
            }
        }
        Self(patches)
    }

    /// Share of similar patches among those that are not black in both; none where all are.
    #[must_use]
    pub fn similarity(&self, other: &Self) -> Option<f64> {
        let (mut all, mut similar) = (0_u32, 0_u32);
        for (one, other) in self.0.iter().zip(&other.0) {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let norms = [dot(one, one), dot(other, other)].map(f64::sqrt);
            if norms == [0.0, 0.0] {
                continue;
            }
            all += 1;
            // A black patch beside one that is not has no direction: it is not similar.
            similar += u32::from(
                dot(one, other) > SIMILAR * norms[0] * norms[1] && norms[0] * norms[1] > 0.0,
            );
        }
        (all > 0).then(|| f64::from(similar) / f64::from(all))
    }
}

/// Which frames are slow.
#[must_use]
pub fn slow_frames(frames: &[&Compared], theta: f64) -> Vec<bool> {
    let mut anchor: Option<&Compared> = None;
    let each = frames.iter().map(|frame| {
        let slow = match anchor {
            None => true,
            Some(anchor) => anchor.similarity(frame).is_some_and(|share| share < theta),
        };
        if slow {
            anchor = Some(frame);
        }
        slow
    });
    each.collect()
}

ledger::choice! {
    /// How n is searched for.
    pub enum Search {
        /// As published: the first n that is too many, unless none is.
        Published = "published",
        /// The last n that is not.
        Fixed = "fixed",
    }
}

/// A budget of tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenBudget {
    /// Tokens of all frames.
    pub tokens: u64,
    /// Share of a slow frame's tokens that a fast one has.
    pub ratio: f64,
    /// Fewest tokens of a frame.
    pub least: u64,
    /// Most tokens of a slow frame.
    pub most: u64,
}

impl TokenBudget {
    /// Of the released code, in patches of 28 × 28 pixels.
    pub const KEYE: Self = Self { tokens: 65_536, ratio: 0.3, least: 48, most: 768 };

    /// Tokens of a fast frame where a slow one has n.
    #[must_use]
    pub fn fast(&self, n: u64) -> u64 {
        ((self.ratio * n as f64).floor() as u64).max(self.least)
    }

    /// Tokens of all frames where a slow one has n.
    #[must_use]
    pub fn total(&self, n: u64, [slow, fast]: [u64; 2]) -> u64 {
        slow * n + fast * self.fast(n)
    }

    /// n for so many slow and fast frames. Never below `least`, within the budget or not.
    #[must_use]
    pub fn n(&self, frames: [u64; 2], search: Search) -> u64 {
        let (mut low, mut high) = (self.least, self.most);
        while low < high {
            let middle = u64::midpoint(low, high);
            if self.total(middle, frames) > self.tokens {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let beyond = search == Search::Fixed && self.total(low, frames) > self.tokens;
        if beyond { low.saturating_sub(1).max(self.least) } else { low }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;
    use ledger::order::{bounded, generator};

    const SIDE: usize = 8;

    fn frame(of: impl Fn(usize, usize) -> [u8; 3]) -> Compared {
        let pixels: Vec<u8> = (0..SIDE * SIDE).flat_map(|at| of(at / SIDE, at % SIDE)).collect();
        Compared::of(&pixels, SIDE, 4)
    }

    fn slow(frames: &[Compared]) -> Vec<bool> {
        slow_frames(&frames.iter().collect::<Vec<_>>(), 0.9)
    }

    #[test]
    fn the_numbers_of_tokens_are_those_of_the_published_search_and_of_the_one_that_keeps_to_the_budget()
     {
        let budget = TokenBudget::KEYE;
        for (frames, published, fixed) in [
            ([10, 100], 768, 768),
            ([100, 900], 179, 178),
            ([300, 300], 169, 168),
            ([50, 1_200], 159, 158),
            ([128, 0], 513, 512),
            ([1_000, 0], 66, 65),
        ] {
            assert_eq!(budget.n(frames, Search::Published), published, "{frames:?}");
            assert_eq!(budget.n(frames, Search::Fixed), fixed, "{frames:?}");
            assert!(budget.total(fixed, frames) <= budget.tokens);
            assert!(fixed == budget.most || budget.total(fixed + 1, frames) > budget.tokens);
        }
        assert_eq!(budget.total(179, [100, 900]), 65_600);
        assert_eq!(budget.total(178, [100, 900]), 65_500);
    }

    #[test]
    fn a_fast_frame_has_at_most_three_tenths_unless_the_floor_binds() {
        for n in 48..=768 {
            let fast = TokenBudget::KEYE.fast(n);
            assert!(fast as f64 <= 0.3 * n as f64 || fast == 48, "{n}");
            assert_eq!(n < 164, fast == 48, "{n}");
        }
    }

    #[test]
    fn a_still_film_has_one_slow_frame_and_cuts_at_every_frame_make_all_slow() {
        let still = [(); 6].map(|()| frame(|row, _| [30 * row as u8, 10, 200]));
        assert_eq!(slow(&still), [true, false, false, false, false, false]);
        // Red columns and blue rows by turns, lit where the other is black.
        let cut = |even: bool| {
            frame(move |row, column| match (even, column % 2, row % 2) {
                (true, 0, _) => [255, 0, 0],
                (false, 1, 1) => [0, 0, 255],
                _ => [0, 0, 0],
            })
        };
        let cuts: Vec<Compared> = (0..6).map(|at| cut(at % 2 == 0)).collect();
        assert_eq!(slow(&cuts), [true; 6]);
    }

    #[test]
    fn a_slow_fade_triggers_in_the_end_for_the_anchor_is_the_last_slow_frame() {
        // A bright column goes over into another in 40 steps.
        let fade: Vec<Compared> = (0..=40_u16)
            .map(|step| {
                let [up, down] = [step, 40 - step].map(|part| (part * 6) as u8);
                frame(move |_, column| match column % 4 {
                    0 => [down, 0, 0],
                    1 => [up, 0, 0],
                    _ => [0, 0, 0],
                })
            })
            .collect();
        for pair in fade.windows(2) {
            assert_eq!(pair[0].similarity(&pair[1]), Some(1.0));
        }
        let found = slow(&fade);
        assert!(found[0] && found[1..].contains(&true));
    }

    #[test]
    fn frames_that_are_black_have_no_share_and_are_fast_and_brightness_of_grey_is_not_seen() {
        let black = || frame(|_, _| [0; 3]);
        assert_eq!(black().similarity(&black()), None);
        assert_eq!(slow(&[black(), black()]), [true, false]);
        let grey =
            |scale: u8| frame(move |row, column| [scale * (1 + (row * 3 + column) as u8); 3]);
        assert_eq!(grey(1).similarity(&grey(4)), Some(1.0));
        // A sprite on black is not what is left of it.
        let sprite = frame(|row, _| if row < 4 { [255, 0, 0] } else { [0; 3] });
        assert_eq!(sprite.similarity(&black()), Some(0.0));
    }

    #[test]
    fn independent_grey_noise_counts_as_similar_with_a_cosine_of_three_quarters() {
        let mut random = generator(&Digest::of(b"grey noise"));
        let mut noise = || {
            let pixels: Vec<u8> =
                (0..28 * 28).flat_map(|_| [bounded(&mut random, 256) as u8; 3]).collect();
            Compared::of(&pixels, 28, 28)
        };
        for _ in 0..100 {
            let (one, other) = (noise(), noise());
            assert_eq!(one.similarity(&other), Some(1.0));
            let dot = |a: &Compared, b: &Compared| -> f64 {
                a.0[0].iter().zip(&b.0[0]).map(|(a, b)| f64::from(a * b)).sum()
            };
            let cosine = dot(&one, &other) / (dot(&one, &one) * dot(&other, &other)).sqrt();
            assert!((cosine - 0.75).abs() < 0.06, "{cosine}");
        }
    }

    #[test]
    fn hues_are_those_of_opencv() {
        for (rgb, expected) in [
            ([255, 0, 0], [0.0, 255.0, 255.0]),
            ([0, 255, 0], [60.0, 255.0, 255.0]),
            ([0, 0, 255], [120.0, 255.0, 255.0]),
            ([255, 0, 255], [150.0, 255.0, 255.0]),
            ([90, 90, 90], [0.0, 0.0, 90.0]),
        ] {
            assert_eq!(hsv(rgb), expected);
        }
    }
}

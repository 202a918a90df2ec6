//! Structures of frames: flow that is read out of a predictor by a small change that it carries on, and put back in as codes.
//!
//! **Tracing** (KL tracing of arXiv:2507.09082). Level of pixel p of a first frame F₁, changed around q:
//! `F̃₁(p) = F₁(p) + A·exp(−‖p − q‖²/2σ²)`, in the nearest level there is. The same random places m of the second frame are revealed to both,
//! and `KL_ij = KL(p(·|F₁, F₂[m]) ‖ p(·|F̃₁, F₂[m]))` at each of its pixels that is not revealed, in the mean over several m; flow is
//! `argmax_ij KL_ij − q`, and there is none where the largest is below a threshold. Beside it stands what is compared with: the
//! difference of the levels themselves, drawn from both laws by the same numbers.

pub mod random_access;

use ledger::order;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::models::pointers::{Pairs, Pointers};
use crate::network::Network;

/// What a predictor of second frames is asked, row by row.
#[derive(Debug)]
pub struct Ask {
    /// Levels of first frames, N × patches (i64).
    pub first: Tensor,
    /// Places of the second frame that are revealed, N × R (i64).
    pub revealed: Tensor,
    /// Levels there, N × R (i64).
    pub levels: Tensor,
}

/// Log-probabilities of the levels of all pixels of second frames, N × patches × levels.
pub type Predict<'a> = dyn FnMut(&Ask) -> Result<Tensor, LabError> + 'a;

/// Rows that are asked about at once.
const AT_ONCE: usize = 128;
/// What a white pixel is in units of the amplitude.
const WHITE: f64 = 255.0;

/// How a change is made and traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracing {
    /// Height and width of a frame.
    pub side: usize,
    /// Levels of a pixel.
    pub levels: usize,
    /// A, where white is 255.
    pub amplitude: f64,
    /// σ, in pixels.
    pub sigma: f64,
    /// Sets of revealed places.
    pub masks: u32,
    /// Places of the second frame that each reveals.
    pub revealed: usize,
    /// The least that the largest KL, in nats, has to be.
    pub threshold: f64,
}

/// What a change at one place does to the second frame, in the mean over masks in which a pixel was asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// KL of every pixel, in nats.
    pub kl: Vec<f64>,
    /// Difference of the levels of every pixel.
    pub difference: Vec<f64>,
}

/// Where the largest of `map` lies from `from`, and how large it is.
#[must_use]
pub fn peak(map: &[f64], from: usize, side: usize) -> ([i32; 2], f64) {
    let largest = map.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let at = map.iter().position(|value| *value == largest).unwrap_or(from);
    let step = |of: fn(usize, usize) -> usize| of(at, side) as i32 - of(from, side) as i32;
    ([step(|place, side| place / side), step(|place, side| place % side)], largest)
}

/// End-point error of a flow.
#[must_use]
pub fn end_point_error(found: [i32; 2], truth: [i32; 2]) -> f64 {
    f64::from(found[0] - truth[0]).hypot(f64::from(found[1] - truth[1]))
}

/// A law as the host reads it: log-probabilities of every pixel.
type LogLaw = Vec<f64>;

impl Tracing {
    /// Flow of `traced` at `query`; none where nothing is carried on from there.
    #[must_use]
    pub fn flow(&self, traced: &Traced, query: usize) -> Option<[i32; 2]> {
        let (flow, largest) = peak(&traced.kl, query, self.side);
        (largest > 0.0 && largest >= self.threshold).then_some(flow)
    }

    /// The first frame with the change around a place.
    #[must_use]
    pub fn changed(&self, first: &[i64], query: usize) -> Vec<i64> {
        let top = self.levels as f64 - 1.0;
        let apart = |a: usize, b: usize| (a as f64 - b as f64).powi(2);
        let level = |(place, level): (usize, &i64)| {
            let away = apart(place / self.side, query / self.side)
                + apart(place % self.side, query % self.side);
            let more = self.amplitude / WHITE * top * (-away / (2.0 * self.sigma.powi(2))).exp();
            (*level as f64 + more).clamp(0.0, top).round() as i64
        };
        first.iter().enumerate().map(level).collect()
    }

    /// Traces a change at each of the queries of every row of `frames`, N × 2·patches (i64): first frame, then second. What is
    /// revealed of a row is drawn from the generator that `random` gives for it; all queries of a row see the same.
    ///
    /// # Errors
    /// When `predict` fails, or libtorch refuses an operation.
    pub fn trace(
        &self,
        frames: &Tensor,
        queries: &[Vec<usize>],
        random: &mut dyn FnMut(usize) -> Pcg64,
        predict: &mut Predict<'_>,
    ) -> Result<Vec<Vec<Traced>>, LabError> {
        let patches = self.side * self.side;
        let levels = Vec::<i64>::try_from(&frames.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        let rows: Vec<&[i64]> = levels.chunks(2 * patches).collect();
        let mut generators: Vec<Pcg64> = (0..rows.len()).map(random).collect();
        let mut sums: Vec<Vec<Sum>> = queries
            .iter()
            .map(|queries| queries.iter().map(|_| Sum::new(patches)).collect())
            .collect();
        for _ in 0..self.masks {
            // For each row its first frame as it is and as each query changes it, then what is made of them.
            let mut asked: Vec<(Vec<i64>, Vec<usize>, usize)> = Vec::new();
            for (row, random) in generators.iter_mut().enumerate() {
                let mut places: Vec<u32> = (0..patches as u32).collect();
                order::shuffle(random, &mut places);
                let mask: Vec<usize> =
                    places.iter().take(self.revealed).map(|place| *place as usize).collect();
                let first = &rows[row][..patches];
                let changed = queries[row].iter().map(|query| self.changed(first, *query));
                let all = [first.to_vec()].into_iter().chain(changed);
                asked.extend(all.map(|first| (first, mask.clone(), row)));
            }
            let mut laws: Vec<LogLaw> = Vec::with_capacity(asked.len());
            for part in asked.chunks(AT_ONCE) {
                let ask = self.ask(part, &rows, frames.device())?;
                let said = predict(&ask)?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
                let said = Vec::<f64>::try_from(&said.f_contiguous()?.f_view([-1])?)?;
                laws.extend(said.chunks(patches * self.levels).map(<[f64]>::to_vec));
            }
            let mut at = 0;
            for (row, sums) in sums.iter_mut().enumerate() {
                let (clean, mask) = (&laws[at], &asked[at].1);
                let draws: Vec<f64> =
                    (0..patches).map(|_| unit_f64(&mut generators[row])).collect();
                for (sum, law) in sums.iter_mut().zip(&laws[at + 1..]) {
                    sum.add([clean, law], mask, &draws, self.levels);
                }
                at += 1 + sums.len();
            }
        }
        Ok(sums.into_iter().map(|row| row.into_iter().map(Sum::mean).collect()).collect())
    }

    fn ask(
        &self,
        part: &[(Vec<i64>, Vec<usize>, usize)],
        rows: &[&[i64]],
        device: Device,
    ) -> Result<Ask, TchError> {
        let patches = self.side * self.side;
        let (mut first, mut revealed, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for (frame, mask, row) in part {
            first.extend_from_slice(frame);
            revealed.extend(mask.iter().map(|place| *place as i64));
            levels.extend(mask.iter().map(|place| rows[*row][patches + place]));
        }
        let count = part.len() as i64;
        let table = |values: &[i64]| {
            let columns = values.len() as i64 / count.max(1);
            Tensor::f_from_slice(values)?.f_view([count, columns])?.f_to_device(device)
        };
        Ok(Ask { first: table(&first)?, revealed: table(&revealed)?, levels: table(&levels)? })
    }
}

/// Sums over masks.
struct Sum {
    kl: Vec<f64>,
    difference: Vec<f64>,
    asked: Vec<f64>,
}

impl Sum {
    fn new(patches: usize) -> Self {
        let zeros = || vec![0.0; patches];
        Self { kl: zeros(), difference: zeros(), asked: zeros() }
    }

    /// Adds what tells two laws apart, where a pixel was asked about; `draws` are the numbers that levels are drawn by.
    fn add(&mut self, laws: [&LogLaw; 2], mask: &[usize], draws: &[f64], levels: usize) {
        let [clean, changed] = laws.map(|law| law.chunks(levels));
        for (place, (clean, changed)) in clean.zip(changed).enumerate() {
            if mask.contains(&place) {
                continue;
            }
            let each = clean.iter().zip(changed);
            self.kl[place] += each
                .map(|(p, q)| if *p > f64::NEG_INFINITY { p.exp() * (p - q) } else { 0.0 })
                .sum::<f64>();
            let level = |law: &[f64]| {
                let mut left = draws[place];
                let found = law.iter().position(|p| {
                    left -= p.exp();
                    left < 0.0
                });
                found.unwrap_or(levels - 1) as f64
            };
            self.difference[place] += (level(clean) - level(changed)).abs();
            self.asked[place] += 1.0;
        }
    }

    fn mean(self) -> Traced {
        let Self { kl, difference, asked } = self;
        let over = |sums: Vec<f64>| {
            sums.iter().zip(&asked).map(|(sum, asked)| sum / asked.max(1.0)).collect()
        };
        Traced { kl: over(kl), difference: over(difference) }
    }
}

/// What a network of pointers says of second frames: it is told the first frame row by row, then what is revealed.
///
/// # Errors
/// When the network has no pointers, or the frames are not of its size.
pub fn predict(network: &Network, ask: &Ask) -> Result<Tensor, LabError> {
    let model = *Pointers::of(network)?;
    let Ask { first, revealed, levels } = ask;
    let (rows, patches) = first.size2()?;
    let options = (Kind::Int64, first.device());
    let places = Tensor::f_arange(patches, options)?;
    let own = places.f_unsqueeze(0)?.f_expand([rows, patches], false)?;
    let told = Pairs {
        pointers: Tensor::f_cat(&[&own, &revealed.f_add_scalar(patches)?], 1)?,
        codes: Tensor::f_cat(&[first, levels], 1)?,
    };
    Ok(model.predict(network, &told, &places.f_add_scalar(patches)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;

    const TRACING: Tracing = Tracing {
        side: 8,
        levels: 4,
        amplitude: 255.0,
        sigma: 0.5,
        masks: 5,
        revealed: 8,
        threshold: 0.01,
    };

    fn random(row: usize) -> Pcg64 {
        order::generator(&Digest::of(&row.to_le_bytes()))
    }

    /// A predictor that knows that second frames are first ones, moved by `shift` and coming in on the other side, but for one
    /// time in a hundred.
    fn copy(shift: [i64; 2], ask: &Ask) -> Result<Tensor, LabError> {
        let moved = ask.first.f_view([-1, 8, 8])?.f_roll(shift, [1, 2])?.f_view([-1, 64])?;
        let sure = moved.f_one_hot(4)?.f_to_kind(Kind::Double)?;
        Ok(sure.f_mul_scalar(0.99)?.f_add_scalar(0.01 / 4.0)?.f_log()?)
    }

    fn frames(shift: [i64; 2]) -> Tensor {
        let first =
            Tensor::arange(64, (Kind::Int64, Device::Cpu)).square().remainder(3).view([1, 64]);
        let second = first.view([1, 8, 8]).roll(shift, [1, 2]).view([1, 64]);
        Tensor::cat(&[first, second], 1)
    }

    #[test]
    fn the_flow_of_a_copy_is_its_shift_at_every_place_by_kl_and_by_difference() {
        for shift in [[0, 0], [2, -1], [-2, 2]] {
            // Places whose image stays within the frame.
            let queries: Vec<usize> = vec![18, 27, 36, 45];
            let all = TRACING
                .trace(&frames(shift), std::slice::from_ref(&queries), &mut random, &mut |ask| {
                    copy(shift, ask)
                })
                .unwrap();
            for (query, traced) in queries.iter().zip(&all[0]) {
                let expected = shift.map(|step| step as i32);
                assert_eq!(TRACING.flow(traced, *query), Some(expected), "{query}");
                // Levels 0 to 2 all become 3: two sure levels that differ are 4 drawn ones in hundred that do not.
                assert_eq!(peak(&traced.difference, *query, 8).0, expected);
                assert_eq!(traced.kl.iter().filter(|kl| **kl > 1e-9).count(), 1);
            }
        }
    }

    #[test]
    fn a_change_of_amplitude_0_leaves_every_kl_at_0_and_nothing_is_traced() {
        let still = Tracing { amplitude: 0.0, ..TRACING };
        let all = still
            .trace(&frames([1, 1]), &[vec![9, 20]], &mut random, &mut |ask| copy([1, 1], ask))
            .unwrap();
        for (query, traced) in [9, 20].iter().zip(&all[0]) {
            assert!(traced.kl.iter().chain(&traced.difference).all(|value| *value == 0.0));
            assert_eq!(still.flow(traced, *query), None);
        }
    }

    #[test]
    fn what_is_carried_on_nowhere_is_below_the_threshold() {
        // A predictor that does not look at the first frame.
        let blind = |ask: &Ask| -> Result<Tensor, LabError> {
            let rows = ask.first.size()[0];
            Ok(Tensor::f_full([rows, 64, 4], 0.25_f64.ln(), (Kind::Double, Device::Cpu))?)
        };
        let all =
            TRACING.trace(&frames([0, 0]), &[vec![9]], &mut random, &mut |ask| blind(ask)).unwrap();
        assert_eq!(TRACING.flow(&all[0][0], 9), None);
    }

    #[test]
    fn a_change_is_a_white_bump_that_leaves_levels_within_their_range() {
        let black = vec![0; 64];
        let narrow = TRACING.changed(&black, 27);
        assert_eq!((narrow[27], narrow.iter().sum::<i64>()), (3, 3));
        // exp(−1/8)·3 = 2.65, exp(−2/8)·3 = 2.34, exp(−4/8)·3 = 1.82.
        let wide = Tracing { sigma: 2.0, ..TRACING }.changed(&black, 27);
        assert_eq!([wide[27], wide[28], wide[36], wide[29]], [3, 3, 2, 2]);
        assert_eq!(TRACING.changed(&[2; 64], 27)[27], 3);
    }

    #[test]
    fn guessing_a_place_costs_4_136_on_8_pixels_and_8_326_on_16_and_standing_still_the_length_of_the_flow()
     {
        let guess = |side: i32| -> f64 {
            let all: Vec<[i32; 2]> =
                (0..side).flat_map(|row| (0..side).map(move |column| [row, column])).collect();
            let each = all.iter().flat_map(|a| all.iter().map(|b| end_point_error(*a, *b)));
            each.sum::<f64>() / f64::from(side).powi(4)
        };
        assert!((guess(8) - 4.136).abs() < 5e-4 && (guess(16) - 8.326).abs() < 5e-4);
        assert_eq!(end_point_error([0, 0], [-3, 4]), 5.0);
    }
}

//! The loss of frames that are kept in a network: 0.7·L1 + 0.3·(1 − SSIM), "Fusion6" of NeRV (Chen et al.,
//! arXiv:2110.13903).
//!
//! SSIM (Wang et al. 2004) by a Gaussian window of 11 × 11 and deviation 1.5, at places where all of it lies within
//! the frame, with K₁ = 0.01, K₂ = 0.03 for values within 0 and 1.

use std::f64::consts::PI;

use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::models::clips::Clips;
use crate::network::Network;
use crate::seat::{Batch, Objective, Stage, StepInfo};
use crate::state::State;

/// Height and width of the window.
const WINDOW: i64 = 11;
/// Its standard deviation.
const DEVIATION: f64 = 1.5;
/// (K₁·1)² and (K₂·1)².
const SMALL: [f64; 2] = [0.01 * 0.01, 0.03 * 0.03];
/// Weight of SSIM; that of L1 is what is left of 1.
const SIMILARITY: f64 = 0.3;

/// The rate that a warm-up starts with.
const COLD: f64 = 0.1;

/// The loss of the frames that a network decodes. Clips that come one after the other are stages, each with a rate
/// that goes up from a tenth and then down a cosine.
#[derive(Debug, Clone, Copy)]
pub struct Decoding {
    /// The clips, where they come one after the other.
    pub in_turn: Option<Clips>,
    /// Share of a stage during which the rate goes up.
    pub warmup: f64,
}

impl Objective for Decoding {
    fn stage(&self, now: &StepInfo) -> Stage {
        let (index, steps) = match &self.in_turn {
            Some(clips) => clips.steps(now),
            None => (0, 0..now.total_steps),
        };
        let gone = (now.step - steps.start) as f64 / (steps.end - steps.start).max(1) as f64;
        let lr_factor = if gone < self.warmup {
            COLD + (1.0 - COLD) * gone / self.warmup
        } else {
            0.5 * (1.0 + (PI * (gone - self.warmup) / (1.0 - self.warmup)).cos())
        };
        Stage { index, lr_factor }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        Ok(fusion(&network.forward(&batch.inputs, true)?, &batch.labels)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Losses per frame, shape B, of `outputs` against `frames`, both B × 1 × H × W within 0 and 1.
///
/// # Errors
/// When the shapes differ, or a frame is smaller than the window.
pub fn fusion(outputs: &Tensor, frames: &Tensor) -> Result<Tensor, TchError> {
    let of_frame = |values: &Tensor| values.f_flatten(1, -1)?.f_mean_dim(1, false, Kind::Float);
    let distance = of_frame(&outputs.f_sub(frames)?.f_abs()?)?;
    let unlike = of_frame(&similarity(outputs, frames)?)?.f_neg()?.f_add_scalar(1.0)?;
    distance.f_mul_scalar(1.0 - SIMILARITY)?.f_add(&unlike.f_mul_scalar(SIMILARITY)?)
}

/// SSIM at every place of the window, B × 1 × (H − 10) × (W − 10).
///
/// # Errors
/// When the shapes differ, or a frame is smaller than the window.
pub fn similarity(x: &Tensor, y: &Tensor) -> Result<Tensor, TchError> {
    let all = Tensor::f_cat(&[x, y, &x.f_square()?, &y.f_square()?, &x.f_mul(y)?], 1)?;
    let window = window()?.f_to_device(x.device())?;
    let (down, across) = (window.f_view([1, 1, WINDOW, 1])?, window.f_view([1, 1, 1, WINDOW])?);
    let filtered = |x: &Tensor, along: &Tensor| {
        let each = along.f_expand([5, -1, -1, -1], false)?;
        x.f_conv2d::<Tensor>(&each, None, [1, 1], [0, 0], [1, 1], 5)
    };
    let means = filtered(&filtered(&all, &down)?, &across)?;
    let mean = |place: i64| means.f_narrow(1, place, 1);
    let (mx, my) = (mean(0)?, mean(1)?);
    let (xx, yy, xy) = (mx.f_square()?, my.f_square()?, mx.f_mul(&my)?);
    let [c1, c2] = SMALL;
    let twice = |value: &Tensor, small: f64| value.f_mul_scalar(2.0)?.f_add_scalar(small);
    let structure = twice(&mean(4)?.f_sub(&xy)?, c2)?
        .f_div(&mean(2)?.f_sub(&xx)?.f_add(&mean(3)?.f_sub(&yy)?)?.f_add_scalar(c2)?)?;
    twice(&xy, c1)?.f_div(&xx.f_add(&yy)?.f_add_scalar(c1)?)?.f_mul(&structure)
}

/// The window along one axis; its sum is 1.
fn window() -> Result<Tensor, TchError> {
    let half = (WINDOW / 2) as f64;
    let each: Vec<f64> = (0..WINDOW)
        .map(|place| (-(place as f64 - half).powi(2) / (2.0 * DEVIATION * DEVIATION)).exp())
        .collect();
    let sum: f64 = each.iter().sum();
    let each: Vec<f32> = each.into_iter().map(|value| (value / sum) as f32).collect();
    Tensor::f_from_slice(&each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;
    use tch::Device;

    fn frame(scale: f64) -> Tensor {
        let ramp = Tensor::arange(16 * 16, (Kind::Float, Device::Cpu)).view([1, 1, 16, 16]);
        (ramp * scale).sin() * 0.4 + 0.5
    }

    /// SSIM by its definition, in double precision, at one place of the window.
    fn by_hand(x: &Tensor, y: &Tensor, top: usize, left: usize) -> f64 {
        let [x, y] = [x, y].map(|frame| values(frame).unwrap());
        let weight = |k: usize| (-(k as f64 - 5.0).powi(2) / 4.5).exp();
        let sum: f64 = (0..11).map(weight).sum();
        let mean = |of: &dyn Fn(usize) -> f64| -> f64 {
            let places = (0..11).flat_map(|i| (0..11).map(move |j| (i, j)));
            places
                .map(|(i, j)| weight(i) * weight(j) / (sum * sum) * of((top + i) * 16 + left + j))
                .sum()
        };
        let (x, y) = (|p: usize| f64::from(x[p]), |p: usize| f64::from(y[p]));
        let (mx, my) = (mean(&x), mean(&y));
        let vx = mean(&|p| (x(p) - mx).powi(2));
        let vy = mean(&|p| (y(p) - my).powi(2));
        let both = mean(&|p| (x(p) - mx) * (y(p) - my));
        (2.0 * mx * my + 1e-4) * (2.0 * both + 9e-4)
            / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4))
    }

    #[test]
    fn similarity_is_that_of_the_definition_at_every_place_within_the_frame() {
        let (x, y) = (frame(0.1), frame(0.13));
        let found = similarity(&x, &y).unwrap();
        assert_eq!(found.size(), [1, 1, 6, 6]);
        for (top, left) in [(0, 0), (2, 5), (5, 3)] {
            let expected = by_hand(&x, &y, top, left);
            let found = found.double_value(&[0, 0, top as i64, left as i64]);
            assert!((found - expected).abs() < 1e-4, "{top}, {left}: {found}, not {expected}");
        }
    }

    #[test]
    fn the_rate_of_each_session_grows_from_a_tenth_and_goes_down_a_cosine() {
        let one = Decoding { in_turn: Some(Clips { sessions: 2, frames: 16 }), warmup: 0.2 };
        let at = |step: u64| {
            let epoch = u32::try_from(step / 16).unwrap();
            let now = StepInfo { epoch, total_epochs: 20, ..trial::step_info(step, 320) };
            let Stage { index, lr_factor } = one.stage(&now);
            (index, (lr_factor * 1e6).round() / 1e6)
        };
        assert_eq!([at(0), at(16), at(32), at(96)], [(0, 0.1), (0, 0.55), (0, 1.0), (0, 0.5)]);
        assert_eq!([at(160), at(192), at(319)], [(1, 0.1), (1, 1.0), (1, 0.000_151)]);
        let all = Decoding { in_turn: None, ..one };
        assert_eq!(all.stage(&trial::step_info(160, 320)).index, 0);
    }

    #[test]
    fn a_frame_itself_costs_nothing_and_every_frame_of_a_batch_its_own() {
        let (x, y) = (frame(0.1), frame(0.13));
        let itself = fusion(&x, &x).unwrap().double_value(&[0]);
        assert!(itself.abs() < 1e-6, "{itself}");
        let expected = 0.7 * (&x - &y).abs().mean(Kind::Double).double_value(&[])
            + 0.3 * (1.0 - similarity(&x, &y).unwrap().mean(Kind::Double).double_value(&[]));
        let both = Tensor::cat(&[&x, &y], 0);
        let losses = fusion(&both, &Tensor::cat(&[&y, &y], 0)).unwrap();
        assert_eq!(losses.size(), [2]);
        assert!((losses.double_value(&[0]) - expected).abs() < 1e-6);
        assert!(losses.double_value(&[1]).abs() < 1e-6);
    }
}

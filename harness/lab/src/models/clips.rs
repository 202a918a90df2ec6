//! Several clips in one network: where and when go in, a frame comes out.
//!
//! Time and clip, each within 0 and 1, become sines and cosines at 40 frequencies, 1.25^i·π. Two linear layers
//! (64, then 24 × 4 × 4, ReLU behind each) and three blocks (3 × 3 convolution, pixel shuffle ×2, SiLU) of 24, 12 and
//! 12 channels lead to 32 × 32; in place of the second convolution there may be a [`fourier`] layer. None of these
//! has a bias. A head of 1 × 1 per clip ends in (tanh + 1)/2. After NeRV (Chen et al., arXiv:2110.13903).
//!
//! Parameters: a set of those that clips share, then the heads. A network may hold several sets, one per clip.

pub mod fourier;
pub mod sessions;

use std::any::Any;
use std::f64::consts::PI;
use std::ops::Range;
use std::sync::Arc;

use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::network::{Body, Forward, Network, Parameter, Role};
use crate::seat::StepInfo;
use crate::{LabError, init};

/// Height and width of a frame.
pub const SIDE: i64 = 32;
/// Frequencies of the encoding of each number.
const LEVELS: i32 = 40;
/// Ratio of a frequency to the one before.
const BASE: f64 = 1.25;
/// Width of the first layer.
const STEM: i64 = 64;
/// Height and width before the first block.
const GRID: i64 = 4;
/// Channels before the first block and behind each.
const WIDTHS: [i64; 4] = [24, 24, 12, 12];
/// Growth of height and width in a block.
const STRIDE: i64 = 2;
/// Height and width of what a Fourier layer takes: those behind the first block.
pub const FOURIER_GRID: i64 = GRID * STRIDE;
/// Place of the second convolution, or of the first part of the Fourier layer, in a set.
const SECOND: usize = 3;
/// Parts of a Fourier layer.
const PARTS: usize = 4;

/// What is kept in one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clips {
    /// Clips, in the order in which they come.
    pub sessions: u32,
    /// Frames of each; example `session·frames + frame` is one of them.
    pub frames: u32,
}

/// The forward pass of clips: inputs B × 2 (clip `(s + 1)/(S + 1)`, time `t/T`), frames B × 1 × 32 × 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    /// What is kept.
    pub clips: Clips,
    /// Whether the second block is a Fourier layer.
    pub fourier: bool,
    /// Whether each clip has a set of parameters of its own.
    pub apart: bool,
    /// The clip that the network stands for, when not all.
    pub only: Option<u32>,
}

impl Clips {
    /// The network of convolutions, all clips sharing one set.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn network(&self, streams: &Streams, device: Device) -> Result<Network, TchError> {
        let mut stream = streams.generator("init");
        let mut drawn = |name: String, layer: usize, shape: &[i64]| {
            weight(&mut stream, (name, layer), shape, device)
        };
        let [first, ..] = WIDTHS;
        let mut parameters = vec![
            drawn("stem1.weight".to_owned(), 0, &[STEM, 4 * i64::from(LEVELS)])?,
            drawn("stem2.weight".to_owned(), 1, &[first * GRID * GRID, STEM])?,
        ];
        for (block, pair) in (1..).zip(WIDTHS.windows(2)) {
            let shape = [pair[1] * STRIDE * STRIDE, pair[0], 3, 3];
            parameters.push(drawn(format!("block{block}.weight"), 1 + block, &shape)?);
        }
        let (head, layer) = ([1, WIDTHS[3], 1, 1], 1 + WIDTHS.len());
        for session in 1..=self.sessions {
            parameters.push(drawn(format!("head{session}.weight"), layer, &head)?);
        }
        let decoder = Decoder { clips: *self, fourier: false, apart: false, only: None };
        Ok(Network::new(parameters, Vec::new(), decoder.body()))
    }

    /// The clip that an epoch of `total` belongs to, when they come one after the other in equal parts.
    #[must_use]
    pub fn session(&self, epoch: u32, total: u32) -> u32 {
        let at = u64::from(epoch) * u64::from(self.sessions) / u64::from(total.max(1));
        u32::try_from(at).unwrap_or(u32::MAX).min(self.sessions.saturating_sub(1))
    }

    /// The clip that a step trains when they come one after the other, and all steps that do; rounds are of one
    /// length, but that a budget may cut the last.
    #[must_use]
    pub fn steps(&self, now: &StepInfo) -> (u32, Range<u64>) {
        let session = self.session(now.epoch, now.total_epochs);
        let per_round = now.total_steps.div_ceil(u64::from(now.total_epochs.max(1)));
        let ends = [session, session + 1]
            .map(|at| (self.first_epoch(at, now.total_epochs) * per_round).min(now.total_steps));
        (session, ends[0]..ends[1])
    }

    /// The first epoch of a clip, of `total`; those of the one behind the last begin where all end.
    fn first_epoch(&self, session: u32, total: u32) -> u64 {
        (u64::from(session) * u64::from(total)).div_ceil(u64::from(self.sessions.max(1)))
    }
}

/// A matrix or filter bank as PyTorch draws it, U(−1/√fan-in, 1/√fan-in): Kaiming uniform with a = √5.
fn weight(
    stream: &mut Pcg64,
    (name, layer): (String, usize),
    shape: &[i64],
    device: Device,
) -> Result<Parameter, TchError> {
    let tensor = kaiming(stream, shape)?.f_to_device(device)?.set_requires_grad(true);
    Ok(Parameter { name, layer, role: Role::Weight, tensor })
}

/// The same as a tensor; the fan-in is all but the first size, as PyTorch has it whatever the tensor is for.
fn kaiming(stream: &mut Pcg64, shape: &[i64]) -> Result<Tensor, TchError> {
    let fan_in = shape.iter().skip(1).product::<i64>();
    init::kaiming_uniform(stream, shape, usize::try_from(fan_in).unwrap_or(1))
}

impl Decoder {
    /// The decoder of `network`.
    ///
    /// # Errors
    /// When this is another network.
    pub fn of(network: &Network) -> Result<&Self, LabError> {
        let decoder = match &network.body {
            Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        };
        decoder.ok_or_else(|| LabError::Network("the network keeps no clips".to_owned()))
    }

    /// As the body of a network.
    #[must_use]
    pub fn body(self) -> Body {
        Body::Own(Arc::new(self))
    }

    /// Parameters of a set.
    #[must_use]
    pub fn shared(&self) -> usize {
        SECOND + 2 + if self.fourier { PARTS - 1 } else { 0 }
    }

    /// Sets of parameters before the heads.
    #[must_use]
    pub fn sets(&self) -> usize {
        if self.apart { self.clips.sessions as usize } else { 1 }
    }

    /// Whether a parameter of a set is a part of the Fourier layer.
    #[must_use]
    pub fn is_spectral(&self, place: usize) -> bool {
        self.fourier && (SECOND..SECOND + PARTS).contains(&place)
    }

    /// The clip of each row of inputs.
    fn sessions(&self, inputs: &Tensor) -> Result<Tensor, TchError> {
        let sessions = f64::from(self.clips.sessions);
        let place = inputs.f_select(1, 0)?.f_mul_scalar(sessions + 1.0)?.f_round()?;
        place.f_sub_scalar(1.0)?.f_clamp(0.0, sessions - 1.0)?.f_to_kind(Kind::Int64)
    }

    /// Features of frames by one set of parameters, B × 12 × 32 × 32.
    fn features(&self, set: &[Parameter], inputs: &Tensor) -> Result<Tensor, TchError> {
        let at = |place: usize| &set[place].tensor;
        let linear = |x: Tensor, place| x.f_linear::<Tensor>(at(place), None)?.f_relu();
        let grown = |x: Tensor, place| {
            let x = x.f_conv2d::<Tensor>(at(place), None, [1, 1], [1, 1], [1, 1], 1)?;
            x.f_pixel_shuffle(STRIDE)?.f_silu()
        };
        let flat = linear(linear(encoded(inputs)?, 0)?, 1)?;
        let first = grown(flat.f_view([-1, WIDTHS[0], GRID, GRID])?, 2)?;
        let second = if self.fourier {
            let parts = [0, 1, 2, 3].map(|part| at(SECOND + part));
            fourier::layer(&first, parts, STRIDE * FOURIER_GRID)?.f_silu()?
        } else {
            grown(first, SECOND)?
        };
        grown(second, self.shared() - 1)
    }

    /// Frames from features, each by the head of its clip.
    fn heads(
        &self,
        heads: &[Parameter],
        x: &Tensor,
        sessions: &Tensor,
    ) -> Result<Tensor, TchError> {
        let kernels: Vec<&Tensor> = heads.iter().map(|head| &head.tensor).collect();
        let kernels = Tensor::f_cat(&kernels, 0)?;
        let each = x.f_conv2d::<Tensor>(&kernels, None, [1, 1], [0, 0], [1, 1], 1)?;
        let own = sessions.f_view([-1, 1, 1, 1])?.f_expand([-1, 1, SIDE, SIDE], false)?;
        each.f_gather(1, &own, false)?.f_tanh()?.f_add_scalar(1.0)?.f_mul_scalar(0.5)
    }
}

impl Forward for Decoder {
    fn forward(&self, network: &Network, inputs: &Tensor, _: bool) -> Result<Tensor, LabError> {
        let (own, shared) = (&network.parameters, self.shared());
        let sessions = self.sessions(inputs)?;
        let heads = &own[self.sets() * shared..][..self.clips.sessions as usize];
        if !self.apart {
            let features = self.features(&own[..shared], inputs)?;
            return Ok(self.heads(heads, &features, &sessions)?);
        }
        // Each clip's rows by its own set, then back to where they were.
        let (mut frames, mut places) = (Vec::new(), Vec::new());
        for (session, set) in (0..).zip(own[..self.sets() * shared].chunks(shared)) {
            let rows = sessions.f_eq(session)?.f_nonzero()?.f_view([-1])?;
            if rows.size1()? > 0 {
                let features = self.features(set, &inputs.f_index_select(0, &rows)?)?;
                let sessions = sessions.f_index_select(0, &rows)?;
                frames.push(self.heads(heads, &features, &sessions)?);
                places.push(rows);
            }
        }
        let back = Tensor::f_cat(&places, 0)?.f_argsort(0, false)?;
        Ok(Tensor::f_cat(&frames, 0)?.f_index_select(0, &back)?)
    }
}

/// Sine and cosine of each of two numbers at every frequency, B × 160.
fn encoded(inputs: &Tensor) -> Result<Tensor, TchError> {
    let frequencies: Vec<f32> = (0..LEVELS).map(|level| (BASE.powi(level) * PI) as f32).collect();
    let frequencies = Tensor::f_from_slice(&frequencies)?.f_to_device(inputs.device())?;
    let angles = inputs.f_unsqueeze(-1)?.f_mul(&frequencies)?.f_flatten(1, -1)?;
    Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], 1)
}

/// What goes in for one frame.
#[must_use]
pub fn place(clips: Clips, session: u32, frame: u32) -> [f32; 2] {
    let clip = f64::from(session + 1) / f64::from(clips.sessions + 1);
    [clip as f32, (f64::from(frame) / f64::from(clips.frames.max(1))) as f32]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial::{step_info, streams};

    pub(crate) const CLIPS: Clips = Clips { sessions: 3, frames: 4 };

    /// What goes in for all frames, clip by clip.
    pub(crate) fn places(clips: Clips) -> Tensor {
        let each = (0..clips.sessions).flat_map(|s| (0..clips.frames).map(move |t| (s, t)));
        let rows: Vec<f32> = each.flat_map(|(s, t)| place(clips, s, t)).collect();
        Tensor::from_slice(&rows).view([-1, 2])
    }

    #[test]
    fn frames_come_out_within_their_range_each_by_the_head_of_its_clip() {
        let network = CLIPS.network(&streams(), Device::Cpu).unwrap();
        let inputs = places(CLIPS);
        let decoder = Decoder::of(&network).unwrap();
        let of = values(&decoder.sessions(&inputs).unwrap().to_kind(Kind::Float)).unwrap();
        assert_eq!(of, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2].map(|session| session as f32));
        let frames = network.forward(&inputs, true).unwrap();
        assert_eq!(frames.size(), [12, 1, SIDE, SIDE]);
        assert!(frames.min().double_value(&[]) > 0.0 && frames.max().double_value(&[]) < 1.0);
        // Another second head changes the second clip alone.
        let before = values(&frames).unwrap();
        let head = network.parameters.iter().find(|p| p.name == "head2.weight").unwrap();
        let _ = tch::no_grad(|| head.tensor.shallow_clone().g_add_scalar_(0.5));
        let after = values(&network.forward(&inputs, true).unwrap()).unwrap();
        let clip = 4 * (SIDE * SIDE) as usize;
        assert_eq!(before[..clip], after[..clip]);
        assert_ne!(before[clip..2 * clip], after[clip..2 * clip]);
        assert_eq!(before[2 * clip..], after[2 * clip..]);
    }

    #[test]
    fn the_encoding_has_a_sine_and_a_cosine_of_both_numbers_at_each_frequency() {
        let encoded = encoded(&Tensor::from_slice(&[0.25_f32, 0.5]).view([1, 2])).unwrap();
        assert_eq!(encoded.size(), [1, 160]);
        let at = |place: i64| encoded.double_value(&[0, place]);
        let angle = |x: f64, level: i32| x * 1.25_f64.powi(level) * PI;
        for (place, expected) in [
            (0, angle(0.25, 0).sin()),
            (7, angle(0.25, 7).sin()),
            (42, angle(0.5, 2).sin()),
            (80, angle(0.25, 0).cos()),
            (123, angle(0.5, 3).cos()),
        ] {
            assert!((at(place) - expected).abs() < 1e-5, "{place}");
        }
    }

    #[test]
    fn epochs_fall_to_clips_in_equal_parts_one_after_the_other() {
        let of = |total: u32| -> Vec<u32> {
            (0..total).map(|epoch| CLIPS.session(epoch, total)).collect()
        };
        assert_eq!(of(6), [0, 0, 1, 1, 2, 2]);
        assert_eq!(of(7), [0, 0, 0, 1, 1, 2, 2]);
        for total in [3, 6, 7, 100] {
            for session in 0..3 {
                let first = u32::try_from(CLIPS.first_epoch(session, total)).unwrap();
                assert_eq!(CLIPS.session(first, total), session);
                assert!(first == 0 || CLIPS.session(first - 1, total) == session - 1);
            }
            assert_eq!(CLIPS.first_epoch(3, total), u64::from(total));
        }
        // Four steps a round, the last of which a budget cuts to one.
        let steps =
            |epoch, step| CLIPS.steps(&StepInfo { epoch, total_epochs: 7, ..step_info(step, 25) });
        assert_eq!(steps(2, 11), (0, 0..12));
        assert_eq!([steps(3, 12), steps(4, 19)], [(1, 12..20), (1, 12..20)]);
        assert_eq!(steps(6, 24), (2, 20..25));
    }
}

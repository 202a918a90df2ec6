//! Simultaneous perturbation (Spall 1992): the slope of a loss along a random direction, from two losses; and
//! what it takes for several machines to share it: directions that anybody can draw again, and scalars in few
//! bytes.

use ledger::choice;
use ledger::streams::{self, Streams};
use tch::{TchError, Tensor};

use crate::LabError;
use crate::kernels::weights::{displace, lay_out, subtract};
use crate::network::{Network, channels_last};
use crate::seat::LossAt;

choice! {
    /// How a scalar is written.
    pub enum Codec {
        /// As it is, four bytes.
        F32 = "f32",
        /// Its sign and round(16·ln|g|) within ±127: 510 values and zero, nine bits, written in two bytes.
        NineBit = "nine-bit",
        /// Its sign and round(8·ln|g|) within ±63: 254 values and zero, one byte.
        Byte = "byte",
    }
}

impl Codec {
    /// Bytes of a scalar.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::NineBit => 2,
            Self::Byte => 1,
        }
    }

    /// Steps of the logarithm in a unit, and the largest number of them either way.
    const fn grid(self) -> Option<(f64, f64)> {
        match self {
            Self::F32 => None,
            Self::NineBit => Some((16.0, 127.0)),
            Self::Byte => Some((8.0, 63.0)),
        }
    }

    /// A scalar in bytes, little-endian. On a grid, zero and what is no number is all zeros; else the power
    /// is moved above zero, and the sign, set where the scalar is negative, stands above it.
    #[must_use]
    pub fn encode(self, scalar: f32) -> Vec<u8> {
        let Some((steps, limit)) = self.grid() else { return scalar.to_le_bytes().to_vec() };
        let mut code = 0;
        if scalar != 0.0 && !scalar.is_nan() {
            let power = (f64::from(scalar.abs()).ln() * steps).round_ties_even();
            let above = (power.clamp(-limit, limit) + limit + 1.0) as u16;
            let sign = 2 * (limit as u16 + 1);
            code = above + if scalar < 0.0 { sign } else { 0 };
        }
        code.to_le_bytes()[..self.width()].to_vec()
    }

    /// The scalar that these bytes stand for.
    ///
    /// # Errors
    /// When there are more or fewer bytes than a scalar has, or they are none.
    pub fn decode(self, bytes: &[u8]) -> Result<f32, LabError> {
        let wrong = || LabError::Method(format!("{} bytes are no scalar", bytes.len()));
        let Some((steps, limit)) = self.grid() else {
            return Ok(f32::from_le_bytes(bytes.try_into().map_err(|_| wrong())?));
        };
        if bytes.len() != self.width() {
            return Err(wrong());
        }
        let code = bytes.iter().rev().fold(0_u16, |code, byte| code << 8 | u16::from(*byte));
        let sign = 2 * (limit as u16 + 1);
        if code >= 2 * sign {
            return Err(LabError::Method(format!("{bytes:?} is beyond the last scalar")));
        }
        let above = code % sign;
        if above == 0 {
            return Ok(0.0);
        }
        let size = ((f64::from(above) - limit - 1.0) / steps).exp() as f32;
        Ok(if code < sign { size } else { -size })
    }
}

/// The direction that `worker` looks along in step `step`: a standard normal number for each value of each
/// parameter, in their order, from the stream `direction` keyed by worker and step. It is a function of the
/// run's seed, so that it need not be sent.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn direction(
    network: &Network,
    streams: &Streams,
    worker: u32,
    step: u64,
) -> Result<Vec<Tensor>, TchError> {
    let mut rng = streams.keyed("direction", worker, u32::try_from(step).unwrap_or(u32::MAX));
    let sizes = network.parameters.iter().map(|parameter| parameter.tensor.numel());
    let all = streams::normal(&mut rng, sizes.sum());
    if let Some(parts) = lay_out(&all, &values(network))? {
        return Ok(parts);
    }
    let all = Tensor::f_from_slice(&all)?.f_to_device(network.device())?;
    let mut from = 0;
    let parts = network.parameters.iter().map(|parameter| {
        let count = parameter.tensor.numel() as i64;
        let part = all.f_narrow(0, from, count)?.f_view(parameter.tensor.size().as_slice())?;
        from += count;
        channels_last(&part)
    });
    parts.collect()
}

/// (L(θ + εz) − L(θ − εz)) / 2ε. The perturbed values are new tensors in the place of the parameters', which
/// are not touched: nothing has to be taken back, and nothing drifts.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn slope(
    network: &mut Network,
    direction: &[Tensor],
    epsilon: f64,
    loss: &mut LossAt<'_>,
) -> Result<f32, LabError> {
    let along: Vec<_> = direction.iter().collect();
    let [there, back] = displace(&values(network), &along, epsilon)?;
    let there = displaced(network, there, loss)?;
    let back = displaced(network, back, loss)?;
    Ok(((there - back) / (2.0 * epsilon)) as f32)
}

/// θ − `rate`·z, in place.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn follow(network: &mut Network, direction: &[Tensor], rate: f64) -> Result<(), TchError> {
    subtract(&values(network), &direction.iter().collect::<Vec<_>>(), rate)
}

fn values(network: &Network) -> Vec<&Tensor> {
    network.parameters.iter().map(|parameter| &parameter.tensor).collect()
}

/// The loss with these values in the place of the parameters'.
fn displaced(
    network: &mut Network,
    mut held: Vec<Tensor>,
    loss: &mut LossAt<'_>,
) -> Result<f64, LabError> {
    let mut swap = |network: &mut Network| {
        for (parameter, held) in network.parameters.iter_mut().zip(&mut held) {
            std::mem::swap(&mut parameter.tensor, held);
        }
    };
    swap(network);
    let found = loss(network);
    swap(network);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cnn::{Shape, cnn};
    use crate::models::mlp::mlp;
    use crate::trial;
    use proptest::prelude::*;
    use tch::Device;

    const GRIDS: [(Codec, f64, f64); 2] = [(Codec::NineBit, 16.0, 127.0), (Codec::Byte, 8.0, 63.0)];

    fn through(codec: Codec, scalar: f32) -> f32 {
        codec.decode(&codec.encode(scalar)).unwrap()
    }

    /// Check (e) of the card: half a step of the logarithm, e^(1/16) − 1 = 6.45 % and e^(1/32) − 1 = 3.17 %.
    #[test]
    fn a_scalar_comes_back_within_half_a_step_of_its_logarithm() {
        let mut worst = [0.0_f64; 2];
        for i in 0..200_000 {
            let scalar = (0.001 * 1.000_05_f64.powi(i)) as f32;
            for (worst, (codec, ..)) in worst.iter_mut().zip(GRIDS) {
                let error = f64::from(through(codec, scalar)) / f64::from(scalar) - 1.0;
                *worst = worst.max(error.abs());
            }
        }
        for (worst, bound) in worst.into_iter().zip([0.0317, 0.0645]) {
            assert!(worst <= bound + 1e-4 && worst > 0.98 * bound, "{worst} {bound}");
        }
    }

    #[test]
    fn every_code_is_a_scalar_of_its_own_and_comes_back_from_it() {
        for (codec, _, limit) in GRIDS {
            let codes = 2 * (2 * limit as u16 + 2);
            let bytes = |code: u16| code.to_le_bytes()[..codec.width()].to_vec();
            let scalars: Vec<f32> =
                (0..codes).map(|code| codec.decode(&bytes(code)).unwrap()).collect();
            let mut sizes = scalars.clone();
            sizes.sort_by(f32::total_cmp);
            sizes.dedup();
            assert_eq!(sizes.len(), codes as usize - 1, "zero alone has two codes");
            for (code, scalar) in (0..codes).zip(&scalars) {
                let canonical = if *scalar == 0.0 { 0 } else { code };
                assert_eq!(codec.encode(*scalar), bytes(canonical), "{codec:?} {code}");
            }
        }
        // The range that the card gives for a byte, 3.8e-4 to 2630; 510 levels are 8.99 bits.
        let ends = [1e-9, 1e9].map(|scalar| through(Codec::Byte, scalar));
        assert!((ends[0] - 3.8e-4).abs() < 1e-5 && (ends[1] - 2630.0).abs() < 2.0, "{ends:?}");
        assert!((510_f64.log2() - 8.99).abs() < 0.005);
        assert!(Codec::NineBit.encode(f32::NEG_INFINITY) == (256_u16 + 255).to_le_bytes());
    }

    #[test]
    fn zero_and_what_is_no_number_say_nothing_and_other_widths_are_refused() {
        for (codec, ..) in GRIDS {
            for nothing in [0.0, -0.0, f32::NAN] {
                assert!(codec.encode(nothing).iter().all(|byte| *byte == 0));
            }
            assert!(codec.decode(&[0; 3]).is_err());
        }
        assert!(Codec::F32.decode(&[0; 2]).is_err());
        // The tenth bit.
        assert!(Codec::NineBit.decode(&[1, 1]).is_ok() && Codec::NineBit.decode(&[1, 2]).is_err());
    }

    proptest! {
        #[test]
        fn the_sign_comes_back_and_its_bit_alone_turns_the_scalar_round(
            bits in any::<u32>().prop_filter("a number", |b| f32::from_bits(*b).is_normal()),
        ) {
            let scalar = f32::from_bits(bits);
            for (codec, _, limit) in GRIDS {
                let back = through(codec, scalar);
                prop_assert_eq!(back.is_sign_negative(), scalar.is_sign_negative());
                let mut bytes = codec.encode(scalar);
                let bit = (2 * (limit as u16 + 1)).to_le_bytes();
                bytes.iter_mut().zip(bit).for_each(|(byte, bit)| *byte ^= bit);
                prop_assert_eq!(codec.decode(&bytes).unwrap(), -back);
            }
            prop_assert_eq!(through(Codec::F32, scalar), scalar);
        }
    }

    #[test]
    fn directions_are_those_of_worker_and_step_and_of_no_other() {
        let shape = Shape { channels: 1, side: 8, widths: [4; 3], classes: 3, norm: false };
        let network = cnn(shape, &trial::streams(), Device::Cpu).unwrap();
        let drawn = |worker, step| {
            let parts = direction(&network, &trial::streams(), worker, step).unwrap();
            for (part, parameter) in parts.iter().zip(&network.parameters) {
                assert_eq!(part.size(), parameter.tensor.size());
                assert_eq!(part.stride(), parameter.tensor.stride());
            }
            let values = parts.iter().flat_map(|part| crate::network::values(part).unwrap());
            values.collect::<Vec<_>>()
        };
        assert_eq!(drawn(2, 7), drawn(2, 7));
        assert!(drawn(2, 7) != drawn(7, 2) && drawn(2, 7) != drawn(3, 7));
        let mut rng = trial::streams().keyed("direction", 2, 7);
        assert_eq!(drawn(2, 7), streams::normal(&mut rng, drawn(2, 7).len()));
    }

    /// Check (c) of the card: E[z zᵀg] = g, 200,000 draws. Of a linear loss the slope is zᵀg exactly; each z
    /// is the start of a direction of its own, so that what is tried is the law of the streams.
    #[test]
    fn the_slope_along_its_direction_is_the_gradient_on_average() {
        let gradient = [0.7_f32, -0.2, 0.05];
        let (draws, mut sums, streams) = (200_000, [0.0; 3], trial::streams());
        for step in 0..draws {
            let z = streams::normal(&mut streams.keyed("direction", step % 4, step / 4), 3);
            let slope: f32 = z.iter().zip(gradient).map(|(z, g)| z * g).sum();
            sums.iter_mut().zip(z).for_each(|(sum, z)| *sum += f64::from(slope * z));
        }
        for (sum, gradient) in sums.iter().zip(gradient) {
            assert!((sum / f64::from(draws) - f64::from(gradient)).abs() < 0.02, "{sums:?}");
        }
    }

    /// What a step comes to by libtorch's operations alone, one parameter after the other.
    #[test]
    fn direction_slope_and_move_are_those_by_the_operations_bit_for_bit() {
        let shape = Shape { channels: 2, side: 8, widths: [3, 5, 7], classes: 4, norm: false };
        let mut network = cnn(shape, &trial::streams(), Device::Cpu).unwrap();
        let _guard = tch::no_grad_guard();
        let (worn, batch) = (network.duplicate(), trial::batch(&[8, 8, 2]).unwrap());
        let loss = |at: &Network| {
            let logits = at.forward(&batch.inputs, true).unwrap();
            logits.cross_entropy_for_logits(&batch.labels).double_value(&[])
        };
        for step in 0..4 {
            let z = direction(&network, &trial::streams(), 1, step).unwrap();
            let mut rng = trial::streams().keyed("direction", 1, u32::try_from(step).unwrap());
            let mut looks = [1e-3, -1e-3].map(|epsilon: f64| (epsilon, worn.duplicate()));
            for (index, z) in z.iter().enumerate() {
                let own = worn.at(index);
                let drawn = streams::normal(&mut rng, own.numel());
                let drawn = Tensor::from_slice(&drawn).view(own.size().as_slice());
                let drawn = channels_last(&drawn).unwrap();
                assert_eq!((&drawn, drawn.stride()), (z, z.stride()), "{index}");
                for (epsilon, moved) in &mut looks {
                    let step = &drawn * epsilon.abs();
                    moved.parameters[index].tensor =
                        if *epsilon > 0.0 { own + step } else { own - step };
                }
                let _ = own.shallow_clone().g_sub_(&(&drawn * 0.05));
            }
            let [there, back] = looks.map(|(_, moved)| loss(&moved));
            let found = slope(&mut network, &z, 1e-3, &mut |at| Ok(loss(at))).unwrap();
            assert_eq!(found.to_bits(), (((there - back) / 2e-3) as f32).to_bits());
            follow(&mut network, &z, 0.05).unwrap();
            assert_eq!(network.digest().unwrap(), worn.digest().unwrap(), "{step}");
        }
    }

    #[test]
    fn the_slope_is_that_of_the_gradient_along_the_direction() {
        let mut network = mlp(&[6, 8, 4], &trial::streams(), Device::Cpu).unwrap();
        let z = direction(&network, &trial::streams(), 0, 0).unwrap();
        let batch = trial::batch(&[6]).unwrap();
        let loss = |network: &Network| {
            network.forward(&batch.inputs, true).unwrap().cross_entropy_for_logits(&batch.labels)
        };
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::run_backward(&[loss(&network)], &leaves, false, false);
        let parts = gradients.iter().zip(&z).map(|(g, z)| (g * z).sum(None).double_value(&[]));
        let expected: f64 = parts.sum();
        let found = tch::no_grad(|| {
            slope(&mut network, &z, 1e-3, &mut |at| Ok(loss(at).double_value(&[]))).unwrap()
        });
        assert!((f64::from(found) - expected).abs() < 2e-3 * expected.abs(), "{found} {expected}");
    }

    /// Check (d) of the card, 2.4e-4 after 1,000 times: standard normal weights go along the same direction,
    /// and each time one between 2 and 4 can lose its last bit, 2.4e-7.
    #[test]
    fn perturbing_in_place_drifts_and_a_slope_leaves_the_weights_bit_for_bit() {
        let mut network = mlp(&[16, 32, 4], &trial::streams(), Device::Cpu).unwrap();
        let _guard = tch::no_grad_guard();
        let normal = direction(&network, &trial::streams(), 1, 0).unwrap();
        network.restore(&normal).unwrap();
        let worn = network.duplicate();
        let places = |network: &Network| {
            network.parameters.iter().map(|p| p.tensor.data_ptr() as usize).collect::<Vec<_>>()
        };
        let (digest, held) = (network.digest().unwrap(), places(&network));
        let z = direction(&network, &trial::streams(), 0, 0).unwrap();
        for _ in 0..1_000 {
            for (parameter, z) in worn.parameters.iter().zip(&z) {
                for factor in [1e-3, -2e-3, 1e-3] {
                    let _ = parameter.tensor.shallow_clone().g_add_(&(z * factor));
                }
            }
            slope(&mut network, &z, 1e-3, &mut |_| Ok(0.0)).unwrap();
        }
        assert_eq!((network.digest().unwrap(), places(&network)), (digest, held));
        let drifts = worn.parameters.iter().zip(&normal);
        let drift = drifts.map(|(worn, was)| (&worn.tensor - was).abs().max().double_value(&[]));
        let drift = drift.fold(0.0, f64::max);
        assert!((1e-4..5e-4).contains(&drift), "{drift}");
    }

    #[test]
    fn a_loss_that_fails_leaves_the_weights_as_they_were() {
        let mut network = mlp(&[4, 3], &trial::streams(), Device::Cpu).unwrap();
        let digest = network.digest().unwrap();
        let z = direction(&network, &trial::streams(), 0, 0).unwrap();
        let mut fails = |_: &Network| Err(LabError::Method("no loss".to_owned()));
        assert!(tch::no_grad(|| slope(&mut network, &z, 0.5, &mut fails)).is_err());
        assert_eq!(network.digest().unwrap(), digest);
    }
}

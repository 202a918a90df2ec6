//! What diffusion and consistency models share: noise levels, preconditioning and the denoiser.
//!
//! Notation of Karras et al. (arXiv:2206.00364): x = x₀ + σz with z standard normal.

use ledger::streams;
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use crate::LabError;
use crate::network::Network;
use crate::seat::TaskInfo;
use crate::side_info::Generation;

/// Smallest noise level.
pub const SIGMA_MIN: f64 = 0.002;
/// Largest noise level.
pub const SIGMA_MAX: f64 = 80.0;
/// Exponent of the grid.
const RHO: f64 = 7.0;
/// Rows that are denoised at once without gradients: more would leave the caches.
const CHUNK: i64 = 1_024;

/// How a network's output F becomes a denoised x:
/// c_skip·x + c_out·F(c_in·x, ln(σ)/4), with c_in = 1/√(σ² + σ_d²).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preconditioning {
    /// c_skip = σ_d²/(σ² + σ_d²), c_out = σσ_d/√(σ² + σ_d²) (arXiv:2206.00364, table 1).
    Diffusion,
    /// The same with σ − σ_min for σ in c_skip and in the numerator of c_out, so that the map is
    /// the identity at σ_min (arXiv:2303.01469, appendix C).
    Consistency,
}

impl Preconditioning {
    /// c_skip, c_out, c_in and the network's noise level at σ.
    #[must_use]
    pub fn coefficients(self, sigma: f64, sigma_data: f64) -> [f64; 4] {
        let variance = sigma_data * sigma_data;
        let root = (sigma * sigma + variance).sqrt();
        let distance = match self {
            Self::Diffusion => sigma,
            Self::Consistency => sigma - SIGMA_MIN,
        };
        let skip = variance / (distance * distance + variance);
        [skip, distance * sigma_data / root, 1.0 / root, sigma.ln() / 4.0]
    }
}

/// What a task has to say of the data to generate.
///
/// # Errors
/// When the workload has nothing to generate.
pub fn generation<'t>(task: &'t TaskInfo<'_>) -> Result<&'t Generation, LabError> {
    let generation = task.side.generation.as_ref();
    generation.ok_or_else(|| task.unfit("the workload has nothing to generate"))
}

/// The same for a method that uses the network's output so, or (`None`) in a way of its own.
///
/// # Errors
/// When the workload has nothing to generate, or starts every method from weights that were trained for another use.
pub fn generation_as<'t>(
    form: Option<Preconditioning>,
    task: &'t TaskInfo<'_>,
) -> Result<&'t Generation, LabError> {
    let generation = generation(task)?;
    match generation.start {
        Some(start) if form != Some(start) => Err(task.unfit(format!(
            "its weights start from a denoiser of the {start:?} preconditioning, and the method uses the network's output in \
             another way: take a workload without a start, or a method of that preconditioning"
        ))),
        _ => Ok(generation),
    }
}

/// `count` levels from [`SIGMA_MIN`] up to [`SIGMA_MAX`], evenly spaced in σ^(1/7); at least 2.
#[must_use]
pub fn grid(count: usize) -> Vec<f64> {
    let last = count.max(2) - 1;
    let [low, high] = [SIGMA_MIN, SIGMA_MAX].map(|sigma| sigma.powf(1.0 / RHO));
    let inner = |place: usize| (low + place as f64 / last as f64 * (high - low)).powf(RHO);
    // The ends exactly: the identity at σ_min must not depend on a power's last digit.
    let at = |place| match place {
        0 => SIGMA_MIN,
        place if place == last => SIGMA_MAX,
        place => inner(place),
    };
    (0..=last).map(at).collect()
}

/// Coefficients of a batch, on the device.
#[derive(Debug)]
struct Levels {
    /// Shape B × 1 × … (or 1 × 1 × …).
    skip: Tensor,
    out: Tensor,
    scale: Tensor,
    /// Shape B (or 1).
    noise: Tensor,
}

/// A network seen as a map from noisy to clean data.
#[derive(Debug, Clone, Copy)]
pub struct Denoise<'a> {
    /// The network.
    pub network: &'a Network,
    /// How its output is used.
    pub preconditioning: Preconditioning,
    /// Standard deviation of the data per coordinate.
    pub sigma_data: f64,
}

impl Denoise<'_> {
    /// The denoised x, B × …, at one noise level per row, or one for all.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn rows(&self, x: &Tensor, sigmas: &[f64]) -> Result<Tensor, LabError> {
        let Levels { skip, out, scale, noise } = self.levels(x, sigmas)?;
        let output = self.network.denoise(&x.f_mul(&scale)?, &noise)?;
        Ok(x.f_mul(&skip)?.f_addcmul(&out, &output)?)
    }

    /// The denoised x at one noise level for all rows, in pieces: for use without gradients.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn at(&self, x: &Tensor, sigma: f64) -> Result<Tensor, LabError> {
        let rows = x.size().first().copied().unwrap_or(0);
        if rows <= CHUNK {
            return self.rows(x, &[sigma]);
        }
        let starts = (0..rows).step_by(CHUNK as usize);
        let piece =
            |start: i64| self.rows(&x.f_narrow(0, start, CHUNK.min(rows - start))?, &[sigma]);
        Ok(Tensor::f_cat(&starts.map(piece).collect::<Result<Vec<_>, _>>()?, 0)?)
    }

    fn levels(&self, x: &Tensor, sigmas: &[f64]) -> Result<Levels, TchError> {
        let each: Vec<[f64; 4]> = sigmas
            .iter()
            .map(|&sigma| self.preconditioning.coefficients(sigma, self.sigma_data))
            .collect();
        let flat: Vec<f32> =
            (0..4).flat_map(|c| each.iter().map(move |row| row[c] as f32)).collect();
        let table = Tensor::f_from_slice(&flat)?.f_to_device(x.device())?;
        let count = sigmas.len() as i64;
        let mut column = vec![1; x.dim()];
        column[0] = count;
        let part = |c: i64| table.f_narrow(0, c * count, count);
        Ok(Levels {
            skip: part(0)?.f_view(column.as_slice())?,
            out: part(1)?.f_view(column.as_slice())?,
            scale: part(2)?.f_view(column.as_slice())?,
            noise: part(3)?,
        })
    }
}

/// Standard normal numbers of the shape of `like`, on its device.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn noise_like(like: &Tensor, random: &mut Pcg64) -> Result<Tensor, TchError> {
    let numbers = streams::normal(random, like.numel());
    Tensor::f_from_slice(&numbers)?.f_view(like.size().as_slice())?.f_to_device(like.device())
}

/// x + σz with one level per row.
///
/// # Errors
/// When the shapes do not fit.
pub fn noised(x: &Tensor, noise: &Tensor, sigmas: &[f64]) -> Result<Tensor, TchError> {
    x.f_addcmul(noise, &column(sigmas, x)?)
}

/// One number per row of `like`, B × 1 × ….
///
/// # Errors
/// When libtorch cannot allocate.
pub fn column(numbers: &[f64], like: &Tensor) -> Result<Tensor, TchError> {
    let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    let mut shape = vec![1; like.dim()];
    shape[0] = numbers.len() as i64;
    Tensor::f_from_slice(&numbers)?.f_view(shape.as_slice())?.f_to_device(like.device())
}

/// Σ over all but the first dimension of (a − b)², shape B.
///
/// # Errors
/// When the shapes differ.
pub fn squared_distance(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    let difference = a.f_sub(b)?.f_square()?;
    difference.f_flatten(1, -1)?.f_sum_dim_intlist(1, false, difference.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::network::values;
    use crate::trial;
    use tch::Device;

    #[test]
    fn eleven_levels_are_those_of_the_published_formula() {
        let expected = [
            0.002, 0.016_721, 0.085_087, 0.318_283, 0.965_417, 2.515_219, 5.838_948, 12.381_576,
            24.408_342, 45.313_734, 80.0,
        ];
        for (level, expected) in grid(11).into_iter().zip(expected) {
            assert!((level - expected).abs() < 6e-7, "{level} {expected}");
        }
        assert_eq!(grid(2), [SIGMA_MIN, SIGMA_MAX]);
    }

    #[test]
    fn a_consistency_function_is_the_identity_at_the_smallest_level() {
        let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let x = Tensor::from_slice(&[0.3_f32, -1.2, 0.01, 7.5]).view([2, 2]);
        let at = |preconditioning| {
            let map = Denoise { network: &network, preconditioning, sigma_data: 0.5 };
            values(&map.at(&x, SIGMA_MIN).unwrap()).unwrap()
        };
        assert_eq!(at(Preconditioning::Consistency), values(&x).unwrap());
        assert_ne!(at(Preconditioning::Diffusion), values(&x).unwrap());
    }

    #[test]
    fn preconditioned_targets_have_unit_variance() {
        // Var of (x₀ − c_skip x)/c_out for data of variance σ_d² (arXiv:2206.00364, appendix B.6).
        for sigma in [0.002, 0.1, 0.5, 3.0, 80.0_f64] {
            let [skip, out, scale, _] = Preconditioning::Diffusion.coefficients(sigma, 0.5);
            let variance = ((1.0 - skip).powi(2) * 0.25 + (skip * sigma).powi(2)) / (out * out);
            assert!((variance - 1.0).abs() < 1e-9, "{sigma}: {variance}");
            assert!((scale * scale * (0.25 + sigma * sigma) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn pieces_are_denoised_as_the_whole() {
        let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let map = Denoise {
            network: &network,
            preconditioning: Preconditioning::Diffusion,
            sigma_data: 0.5,
        };
        let x = noise_like(
            &Tensor::zeros([CHUNK + 3, 2], (tch::Kind::Float, Device::Cpu)),
            &mut trial::streams().generator("noise"),
        )
        .unwrap();
        let difference = map.at(&x, 1.0).unwrap() - map.rows(&x, &[1.0]).unwrap();
        assert!(difference.abs().max().double_value(&[]) < 1e-6);
    }
}

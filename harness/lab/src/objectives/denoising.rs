//! Denoising score matching as Karras et al. weight it (arXiv:2206.00364, table 1).

use ledger::streams::{self, Streams};
use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::diffusion::{Denoise, Preconditioning, column, noise_like, noised, squared_distance};
use crate::network::Network;
use crate::seat::{Batch, Facts, Objective, StepInfo};

/// λ(σ)·mean over coordinates of (D(x + σz, σ) − x)², ln σ ~ N(`mean`, `deviation`²),
/// λ = (σ² + σ_d²)/(σσ_d)².
#[derive(Debug)]
pub struct Denoising {
    mean: f64,
    deviation: f64,
    sigma_data: f64,
    levels: Pcg64,
    noise: Pcg64,
    evaluations: u64,
}

impl Denoising {
    /// Levels come from stream `sigma`, noise from stream `noise`.
    #[must_use]
    pub fn new(mean: f64, deviation: f64, sigma_data: f64, streams: &Streams) -> Self {
        Self {
            mean,
            deviation,
            sigma_data,
            levels: streams.generator("sigma"),
            noise: streams.generator("noise"),
            evaluations: 0,
        }
    }

    /// λ(σ).
    #[must_use]
    pub fn weight(&self, sigma: f64) -> f64 {
        let Self { sigma_data, .. } = self;
        (sigma * sigma + sigma_data * sigma_data) / (sigma * sigma_data).powi(2)
    }
}

impl Objective for Denoising {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let x = &batch.inputs;
        let sigmas: Vec<f64> = streams::normal(&mut self.levels, batch.ids.len())
            .into_iter()
            .map(|normal| (self.mean + self.deviation * f64::from(normal)).exp())
            .collect();
        let noisy = noised(x, &noise_like(x, &mut self.noise)?, &sigmas)?;
        let preconditioning = Preconditioning::Diffusion;
        let map = Denoise { network, preconditioning, sigma_data: self.sigma_data };
        let distances = squared_distance(&map.rows(&noisy, &sigmas)?, x)?;
        self.evaluations += batch.ids.len() as u64;
        let coordinates = (x.numel() / batch.ids.len().max(1)) as f64;
        let weights: Vec<f64> =
            sigmas.iter().map(|&sigma| self.weight(sigma) / coordinates).collect();
        Ok(distances.f_mul(&column(&weights, &distances)?)?)
    }

    fn facts(&self) -> Facts {
        Facts::from([("network_evaluations".to_owned(), self.evaluations.into())])
    }
}

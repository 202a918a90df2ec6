//! Denoising score matching as Karras et al. weight it (arXiv:2206.00364, table 1).

use ledger::streams::{self, Streams};
use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::diffusion::{Denoise, Preconditioning, column, noise_like, noised, squared_distance};
use crate::network::Network;
use crate::seat::{Batch, Costs, Objective, StepInfo};
use crate::state::State;

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

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("levels", &mut self.levels)?;
        state.of("noise", &mut self.noise)?;
        state.of("evaluations", &mut self.evaluations)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::network::{Body, Denoiser, values};
    use crate::trial;

    /// F = 0, and the noise levels that it was asked for, as ln(σ)/4.
    #[derive(Debug, Default)]
    struct Asked(Mutex<Vec<f32>>);

    impl Denoiser for Asked {
        fn run(&self, _: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
            self.0.lock().unwrap().extend(values(noise)?);
            Ok(inputs.f_zeros_like()?)
        }
    }

    #[test]
    fn levels_are_lognormal_and_losses_those_of_the_formula_row_by_row() {
        let asked = Arc::new(Asked::default());
        let body = Body::Denoiser(asked.clone());
        let network = Network::new(vec![], vec![], body);
        let streams = trial::streams();
        let mut objective = Denoising::new(-1.2, 1.2, 0.5, &streams);
        let rows = 20_000;
        let inputs = Tensor::from_slice(&streams::normal(&mut streams.generator("data"), 2 * rows));
        let inputs = inputs.view([-1, 2]) * 0.5;
        let ids = (0..rows as u32).collect();
        let batch = Batch { ids, inputs, ..trial::batch(&[2]).unwrap() };
        let losses = objective.losses(&network, &batch, &trial::step_info(0, 1)).unwrap();
        let (losses, x) = (values(&losses).unwrap(), values(&batch.inputs).unwrap());
        let logarithms: Vec<f64> =
            asked.0.lock().unwrap().iter().map(|noise| 4.0 * f64::from(*noise)).collect();
        assert_eq!((losses.len(), logarithms.len()), (rows, rows));

        let n = rows as f64;
        let mean = logarithms.iter().sum::<f64>() / n;
        let square = logarithms.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / n;
        let within = logarithms.iter().filter(|log| (*log + 1.2).abs() < 1.2).count() as f64 / n;
        // Four standard errors: of the mean, of the deviation, of the share within one deviation.
        assert!((mean + 1.2).abs() < 0.034, "{mean}");
        assert!((square.sqrt() - 1.2).abs() < 0.024, "{square}");
        assert!((within - 0.682_7).abs() < 0.013_2, "{within}");

        // D = ¼/(σ² + ¼)·(x + σz), λ = (σ² + ¼)/(σ/2)².
        let noise = streams::normal(&mut streams.generator("noise"), 2 * rows);
        for (row, (loss, log)) in losses.into_iter().zip(logarithms).enumerate() {
            let sigma = log.exp();
            let variance = sigma * sigma + 0.25;
            let error = |place: usize| {
                let (x, z) = (f64::from(x[place]), f64::from(noise[place]));
                0.25 / variance * (x + sigma * z) - x
            };
            let squared = error(2 * row).powi(2) + error(2 * row + 1).powi(2);
            let expected = variance / (0.25 * sigma * sigma) * squared / 2.0;
            let off = (f64::from(loss) - expected).abs();
            assert!(off < 1e-3 * expected.max(0.1), "row {row}: {loss} {expected}");
        }
    }
}

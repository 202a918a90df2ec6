//! What workloads of points that samples can be asked for have in common: noise that is the same for every arm, and
//! real points to compare samples with.

use ledger::digest::Digest;
use ledger::{order, streams};
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use lab::LabError;
use training::judge::EvaluationRequest;
use training::metrics::sliced_wasserstein::{Projections, distance};

/// Noise of one split, and where its real points lie.
#[derive(Debug)]
pub struct Ground {
    noise: Tensor,
    random: Pcg64,
    projections: Projections,
    sorted: Tensor,
}

impl Ground {
    /// Of real points N × D of a split of some data.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(data: &str, split: &str, real: &Tensor) -> Result<Self, TchError> {
        let parts = [b"palimpsest/evaluation/v1".as_slice(), data.as_bytes(), split.as_bytes()];
        let mut random = order::generator(&Digest::of_parts(&parts));
        let numbers = streams::normal(&mut random, real.numel());
        let noise = Tensor::f_from_slice(&numbers)?.f_view(real.size().as_slice())?;
        let projections = Projections::new(real.size2()?.1, real.device())?;
        let sorted = projections.sorted(real)?;
        Ok(Self { noise: noise.f_to_device(real.device())?, random, projections, sorted })
    }

    /// Samples, as many as there are real points.
    ///
    /// # Errors
    /// When the method draws none, or libtorch refuses an operation.
    pub fn draw(&self, request: &EvaluationRequest<'_>) -> Result<Tensor, LabError> {
        let sampler = request.model.sampler.ok_or_else(|| LabError::Unfit {
            method: "the method".to_owned(),
            workload: "a workload of samples".to_owned(),
            reason: "no sampler".to_owned(),
        })?;
        let evaluations = sampler.evaluations();
        sampler.sample(request.model.network, &self.noise, evaluations, &mut self.random.clone())
    }

    /// The sliced Wasserstein-2 distance of points N × D to the real ones.
    ///
    /// # Errors
    /// When there are not as many.
    pub fn sw2(&self, points: &Tensor) -> Result<f64, TchError> {
        distance(&self.projections.sorted(points)?, &self.sorted)
    }
}

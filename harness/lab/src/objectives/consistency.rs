//! Consistency training: the baseline of Song et al. (arXiv:2303.01469) and the improvements of
//! Song & Dhariwal (arXiv:2310.14189), one choice each.

use ledger::streams::unit_f64;
use ledger::{choice, order};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::diffusion::{
    Denoise, Preconditioning, column, grid, noise_like, noised, squared_distance,
};
use crate::network::Network;
use crate::seat::{Batch, Costs, Facts, Objective, StepInfo, TaskInfo};
use crate::split::Split;
use crate::state::State;

choice! {
    /// How the number of levels grows.
    pub enum Curriculum {
        /// ⌈√(k/K·((s₁+1)² − s₀²) + s₀²) − 1⌉ + 1.
        SquareRoot = "square-root",
        /// min(s₀·2^⌊k/K′⌋, s₁) + 1, K′ = ⌊K/(log₂⌊s₁/s₀⌋ + 1)⌋.
        Doubling = "doubling",
    }
}

choice! {
    /// Whose output is the target.
    pub enum Teacher {
        /// The network itself, without gradient.
        StopGradient = "stop-gradient",
        /// An average of its weights with decay exp(s₀·ln μ₀/N(k)).
        Average = "average",
    }
}

choice! {
    /// How student and teacher are compared.
    pub enum Distance {
        /// ‖a − b‖².
        Squared = "squared",
        /// √(‖a − b‖² + c²) − c with c = 0.00054·√d, on the whole vector.
        Huber = "huber",
    }
}

choice! {
    /// How a level is drawn.
    pub enum Proposal {
        /// Each interval of the grid alike.
        Uniform = "uniform",
        /// An interval by the mass that a normal of ln σ has on it.
        Lognormal = "lognormal",
    }
}

choice! {
    /// How losses are weighted.
    pub enum Weighting {
        /// Alike.
        One = "one",
        /// By 1/(σ_{i+1} − σ_i).
        InverseGap = "inverse-gap",
    }
}

/// One choice of each kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How the number of levels grows, from s₀ to s₁.
    pub curriculum: Curriculum,
    /// First number of intervals.
    pub s0: u32,
    /// Last number of intervals.
    pub s1: u32,
    /// Whose output is the target.
    pub teacher: Teacher,
    /// Decay of the teacher's average at N(k) = s₀.
    pub mu0: f64,
    /// How outputs are compared.
    pub distance: Distance,
    /// How a level is drawn.
    pub proposal: Proposal,
    /// Mean of ln σ of the lognormal proposal.
    pub p_mean: f64,
    /// Its standard deviation.
    pub p_std: f64,
    /// How losses are weighted.
    pub weighting: Weighting,
}

impl Rules {
    /// N(k): levels of the grid at step `step` of `total`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and at most s1 + 2"
    )]
    pub fn levels(&self, step: u64, total: u64) -> u32 {
        let (s0, s1) = (f64::from(self.s0), f64::from(self.s1));
        match self.curriculum {
            Curriculum::SquareRoot => {
                let progress = step as f64 / total.max(1) as f64;
                let root = (progress * ((s1 + 1.0).powi(2) - s0 * s0) + s0 * s0).sqrt();
                (root - 1.0).ceil() as u32 + 1
            }
            Curriculum::Doubling => {
                let doublings = f64::from(self.s1 / self.s0).log2();
                let length = (total as f64 / (doublings + 1.0)).floor().max(1.0);
                let grown = s0 * (step as f64 / length).floor().exp2();
                grown.min(s1) as u32 + 1
            }
        }
    }

    /// μ(k) for N(k) = `levels`.
    #[must_use]
    pub fn decay(&self, levels: u32) -> f64 {
        (f64::from(self.s0) * self.mu0.ln() / f64::from(levels)).exp()
    }

    /// Probability of each of the `levels − 1` intervals of `grid`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn proposal(&self, grid: &[f64]) -> Result<Vec<f64>, TchError> {
        let mass: Vec<f64> = match self.proposal {
            Proposal::Uniform => vec![1.0; grid.len() - 1],
            Proposal::Lognormal => {
                let scaled =
                    |sigma: &f64| (sigma.ln() - self.p_mean) / (2.0_f64.sqrt() * self.p_std);
                let ends: Vec<f64> = grid.iter().map(scaled).collect();
                let erf = Vec::<f64>::try_from(&Tensor::f_from_slice(&ends)?.f_erf()?)?;
                erf.windows(2).map(|pair| pair[1] - pair[0]).collect()
            }
        };
        let total: f64 = mass.iter().sum();
        Ok(mass.into_iter().map(|mass| mass / total).collect())
    }

    /// The comparison of two batches, shape B.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn compare(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
        let squared = squared_distance(a, b)?;
        match self.distance {
            Distance::Squared => Ok(squared),
            Distance::Huber => {
                let rows = a.size().first().copied().unwrap_or(1).max(1);
                let c = huber_constant(a.numel() / rows as usize);
                squared.f_add_scalar(c * c)?.f_sqrt()?.f_sub_scalar(c)
            }
        }
    }
}

/// c = 0.00054·√d.
#[must_use]
pub fn huber_constant(coordinates: usize) -> f64 {
    0.000_54 * (coordinates as f64).sqrt()
}

/// Grid, cumulative proposal and weights at one number of levels.
#[derive(Debug, Default)]
struct Table {
    grid: Vec<f64>,
    cumulative: Vec<f64>,
    weights: Vec<f64>,
}

/// The objective.
#[derive(Debug)]
pub struct Consistency {
    rules: Rules,
    sigma_data: f64,
    table: Table,
    /// The average of the weights, when that is the teacher.
    teacher: Option<Network>,
    levels: Pcg64,
    noise: Pcg64,
    evaluations: u64,
}

impl Consistency {
    /// Levels come from stream `sigma`, noise (one z for student and teacher) from stream `noise`.
    #[must_use]
    pub fn new(rules: Rules, sigma_data: f64, task: &TaskInfo<'_>) -> Self {
        Self {
            rules,
            sigma_data,
            table: Table::default(),
            teacher: None,
            levels: task.streams.generator("sigma"),
            noise: task.streams.generator("noise"),
            evaluations: 0,
        }
    }

    fn refresh(&mut self, levels: u32) -> Result<(), TchError> {
        if self.table.grid.len() == levels as usize {
            return Ok(());
        }
        let grid = grid(levels as usize);
        let mut sum = 0.0;
        let cumulative = self.rules.proposal(&grid)?.into_iter().map(|share| {
            sum += share;
            sum
        });
        let gap = |pair: &[f64]| match self.rules.weighting {
            Weighting::One => 1.0,
            Weighting::InverseGap => 1.0 / (pair[1] - pair[0]),
        };
        let weights = grid.windows(2).map(gap).collect();
        self.table = Table { cumulative: cumulative.collect(), weights, grid };
        Ok(())
    }

    /// An interval of the grid.
    fn draw(&mut self) -> usize {
        let Table { cumulative, .. } = &self.table;
        let last = cumulative.len() - 1;
        match self.rules.proposal {
            Proposal::Uniform => order::bounded(&mut self.levels, last as u64 + 1) as usize,
            Proposal::Lognormal => {
                let share = unit_f64(&mut self.levels);
                cumulative.partition_point(|sum| *sum <= share).min(last)
            }
        }
    }

    fn map<'a>(&self, network: &'a Network) -> Denoise<'a> {
        let preconditioning = Preconditioning::Consistency;
        Denoise { network, preconditioning, sigma_data: self.sigma_data }
    }

    /// Largest difference between a weight of the teacher and the network's, where the teacher has
    /// weights of its own.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn teacher_distance(&self, network: &Network) -> Result<f64, TchError> {
        let Some(teacher) = &self.teacher else { return Ok(0.0) };
        let mut largest = Tensor::f_zeros([], (Kind::Float, Device::Cpu))?;
        for (a, b) in teacher.parameters.iter().zip(&network.parameters) {
            let difference = a.tensor.f_sub(&b.tensor)?.f_abs()?.f_max()?;
            largest = largest.f_maximum(&difference.f_to_device(Device::Cpu)?)?;
        }
        f64::try_from(&largest.f_to_kind(Kind::Double)?)
    }
}

impl Objective for Consistency {
    fn start(&mut self, network: &Network, _: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.teacher = (self.rules.teacher == Teacher::Average).then(|| network.duplicate());
        Ok(None)
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.refresh(self.rules.levels(now.step, now.total_steps))?;
        let x = &batch.inputs;
        let noise = noise_like(x, &mut self.noise)?;
        let drawn: Vec<usize> = batch.ids.iter().map(|_| self.draw()).collect();
        let at = |offset: usize| -> Vec<f64> {
            drawn.iter().map(|&interval| self.table.grid[interval + offset]).collect()
        };
        let (below, above) = (at(0), at(1));
        let teacher = self.map(self.teacher.as_ref().unwrap_or(network));
        let target = tch::no_grad(|| teacher.rows(&noised(x, &noise, &below)?, &below))?;
        let student = self.map(network).rows(&noised(x, &noise, &above)?, &above)?;
        let losses = self.rules.compare(&student, &target)?;
        self.evaluations += 2 * batch.ids.len() as u64;
        match self.rules.weighting {
            Weighting::One => Ok(losses),
            Weighting::InverseGap => {
                let weights: Vec<f64> =
                    drawn.iter().map(|&interval| self.table.weights[interval]).collect();
                Ok(losses.f_mul(&column(&weights, &losses)?)?)
            }
        }
    }

    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        let Some(teacher) = &mut self.teacher else { return Ok(()) };
        let weight = 1.0 - self.rules.decay(self.rules.levels(now.step, now.total_steps));
        for (average, parameter) in teacher.parameters.iter_mut().zip(&network.parameters) {
            let _ = average.tensor.f_lerp_(&parameter.tensor, weight)?;
        }
        Ok(())
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn facts(&self) -> Facts {
        Facts::from([("levels".to_owned(), self.table.grid.len().into())])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.network("teacher", &mut self.teacher)?;
        state.of("levels", &mut self.levels)?;
        state.of("noise", &mut self.noise)?;
        state.of("evaluations", &mut self.evaluations)
    }
}

#[cfg(test)]
mod tests;

//! Progressive distillation: a diffusion model halves its own number of steps, again and again
//! (Salimans & Ho, arXiv:2202.00512, algorithm 2), in the form of openai/consistency_models@e32b69e
//! (`progdist_losses`): variance exploding, on a grid that ends at the smallest level.

use ledger::{choice, order};
use rand_pcg::Pcg64;
use tch::Tensor;

use super::denoising::Denoising;
use crate::LabError;
use crate::diffusion::{
    Denoise, Preconditioning, column, grid, noise_like, noised, squared_distance,
};
use crate::network::Network;
use crate::seat::{Batch, Costs, Facts, Objective, Stage, StepInfo, TaskInfo};
use crate::state::State;

choice! {
    /// How long the stages of halving are.
    pub enum Lengths {
        /// All alike.
        Equal = "equal",
        /// Those of two and of one step twice and three times as long as the others.
        LongLast = "long-last",
    }
}

/// The stages of a run: a teacher's training, then students of half as many steps each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stages {
    /// Steps of the first teacher; a power of two.
    pub start: u32,
    /// Steps of the last student; a smaller power of two.
    pub until: u32,
    /// Share of the run that trains the first teacher.
    pub teacher_share: f64,
    /// How the rest is divided.
    pub lengths: Lengths,
    /// Factor on the learning rate of students.
    pub student_lr: f64,
}

impl Stages {
    /// Number of students.
    #[must_use]
    pub fn halvings(&self) -> u32 {
        (self.start / self.until).ilog2()
    }

    /// Steps of the student of a stage, from 1 on.
    #[must_use]
    pub fn student_steps(&self, stage: u32) -> u32 {
        self.start >> stage
    }

    /// First step of every stage, the teacher's training included, then the end of the run.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shares of the run's steps"
    )]
    pub fn starts(&self, total: u64) -> Vec<u64> {
        let weight = |stage: u32| match (self.lengths, self.student_steps(stage)) {
            (Lengths::LongLast, 2) => 2.0,
            (Lengths::LongLast, 1) => 3.0,
            _ => 1.0,
        };
        let all: f64 = (1..=self.halvings()).map(weight).sum();
        let first = self.teacher_share * total as f64;
        let mut done = 0.0;
        let mut starts = vec![0];
        for stage in 1..=self.halvings() {
            starts.push((first + (total as f64 - first) * done / all).round() as u64);
            done += weight(stage);
        }
        starts.push(total);
        starts
    }

    /// The stage of a step; in each the learning rate falls from 1 to 0 in a straight line.
    #[must_use]
    pub fn stage(&self, step: u64, total: u64) -> Stage {
        let starts = self.starts(total);
        let stage = starts.partition_point(|start| *start <= step).clamp(1, starts.len() - 1);
        let (begin, end) = (starts[stage - 1], starts[stage]);
        let progress = (step - begin) as f64 / (end - begin).max(1) as f64;
        let rate = if stage > 1 { self.student_lr } else { 1.0 };
        Stage { index: stage as u32 - 1, lr_factor: rate * (1.0 - progress) }
    }
}

/// The levels t, t′, t″ of each row of a batch.
#[derive(Debug)]
struct Intervals {
    begin: Vec<f64>,
    middle: Vec<f64>,
    end: Vec<f64>,
}

/// The objective of all stages.
#[derive(Debug)]
pub struct Halving {
    stages: Stages,
    sigma_data: f64,
    teacher_training: Denoising,
    /// The stage that `teacher` was frozen for.
    stage: u32,
    teacher: Option<Network>,
    intervals: Pcg64,
    noise: Pcg64,
    evaluations: u64,
}

impl Halving {
    /// The teacher is trained by `teacher_training`; intervals and noise of the students come from
    /// streams of their own.
    #[must_use]
    pub fn new(
        stages: Stages,
        teacher_training: Denoising,
        sigma_data: f64,
        task: &TaskInfo<'_>,
    ) -> Self {
        Self {
            stages,
            sigma_data,
            teacher_training,
            stage: 0,
            teacher: None,
            intervals: task.streams.generator("distillation interval"),
            noise: task.streams.generator("distillation noise"),
            evaluations: 0,
        }
    }

    fn map<'a>(&self, network: &'a Network) -> Denoise<'a> {
        let preconditioning = Preconditioning::Diffusion;
        Denoise { network, preconditioning, sigma_data: self.sigma_data }
    }

    /// An interval of the student's grid for each row.
    fn draw(&mut self, rows: usize) -> Intervals {
        let steps = u64::from(self.stages.student_steps(self.stage));
        // Levels at half-steps, descending.
        let levels: Vec<f64> = grid(2 * steps as usize + 1).into_iter().rev().collect();
        let drawn: Vec<usize> =
            (0..rows).map(|_| 2 * order::bounded(&mut self.intervals, steps) as usize).collect();
        let at = |half: usize| drawn.iter().map(|&i| levels[i + half]).collect();
        Intervals { begin: at(0), middle: at(1), end: at(2) }
    }
}

/// One DDIM step of each row from its level to the next.
fn step(map: &Denoise<'_>, x: &Tensor, from: &[f64], to: &[f64]) -> Result<Tensor, LabError> {
    let factors: Vec<f64> = from.iter().zip(to).map(|(from, to)| (to - from) / from).collect();
    Ok(x.f_addcmul(&x.f_sub(&map.rows(x, from)?)?, &column(&factors, x)?)?)
}

/// The denoised x whose single step t → t″ ends where two steps of the teacher do:
/// x_t − t·(x_t″ − x_t)/(t″ − t).
fn target(teacher: &Denoise<'_>, x: &Tensor, at: &Intervals) -> Result<Tensor, LabError> {
    let halfway = step(teacher, x, &at.begin, &at.middle)?;
    let ahead = step(teacher, &halfway, &at.middle, &at.end)?;
    let factors: Vec<f64> = at.begin.iter().zip(&at.end).map(|(t, end)| -t / (end - t)).collect();
    Ok(x.f_addcmul(&ahead.f_sub(x)?, &column(&factors, x)?)?)
}

impl Objective for Halving {
    fn stage(&self, now: &StepInfo) -> Stage {
        self.stages.stage(now.step, now.total_steps)
    }

    fn before_step(
        &mut self,
        network: &Network,
        _: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let stage = self.stage(now).index;
        if stage != self.stage {
            self.stage = stage;
            self.teacher = Some(network.duplicate());
        }
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let rows = batch.ids.len();
        if self.teacher.is_none() {
            self.evaluations += rows as u64;
            return self.teacher_training.losses(network, batch, now);
        }
        let at = self.draw(rows);
        let noise = noise_like(&batch.inputs, &mut self.noise)?;
        let x = noised(&batch.inputs, &noise, &at.begin)?;
        let teacher = self.map(self.teacher.as_ref().unwrap_or(network));
        let goal = tch::no_grad(|| target(&teacher, &x, &at))?;
        let distances = squared_distance(&self.map(network).rows(&x, &at.begin)?, &goal)?;
        self.evaluations += 3 * rows as u64;
        let coordinates = (x.numel() / rows.max(1)) as f64;
        // The larger of the errors of x and of ε, each a mean over coordinates.
        let weight = |t: &f64| f64::max(1.0, 1.0 / (t * t)) / coordinates;
        let weights: Vec<f64> = at.begin.iter().map(weight).collect();
        Ok(distances.f_mul(&column(&weights, &distances)?)?)
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn facts(&self) -> Facts {
        Facts::from([("stages".to_owned(), (self.stage + 1).into())])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.teacher_training.state(state)?;
        state.of("stage", &mut self.stage)?;
        state.network("teacher", &mut self.teacher)?;
        state.of("intervals", &mut self.intervals)?;
        state.of("noise", &mut self.noise)?;
        state.of("evaluations", &mut self.evaluations)
    }
}

#[cfg(test)]
mod tests;

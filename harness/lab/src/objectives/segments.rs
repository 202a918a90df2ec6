//! Multistep consistency distillation: within each of M segments of the levels, outputs at all of them are to agree on where
//! the segment ends (MLCM, arXiv:2406.05768; TLCM in its fifth version), in the notation of a variance-exploding model.
//!
//! With a trained teacher D₀ and a student f, both denoisers, and levels t of a grid from σ_max down to σ_min: a step of
//! DDIM is J(x, x̂, t → t′) = x̂ + (x − x̂)·t′/t. A state x_m at t_m has a teacher's neighbour x_n at t_n below, and
//! t_s is the milestone that the segment of t_m ends at: ‖J(x_m, f(x_m), t_m → t_s) − sg J(x_n, f(x_n), t_n → t_s)‖².

use ledger::settings::{SettingError, SettingType as _, Values};
use ledger::streams::{self, Streams};
use ledger::{choice, order};
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use super::consistency::huber_constant;
use crate::LabError;
use crate::diffusion::{
    Denoise, Preconditioning, SIGMA_MAX, column, generation, grid, noise_like, squared_distance,
};
use crate::network::Network;
use crate::samplers::Setup;
use crate::samplers::ddim::step;
use crate::samplers::milestones::{Milestones, levels as milestones};
use crate::seat::{Batch, Costs, Facts, Objective, Sampler as _, Stage, StepInfo, TaskInfo};
use crate::self_made::SelfMade;
use crate::state::State;

pub use super::consistency::Distance;

choice! {
    /// Where states come from.
    pub enum Source {
        /// From paths of the teacher that begin with noise: no example is looked at.
        Trajectory = "trajectory",
        /// Examples with noise.
        Data = "data",
    }
}

/// What stages are called whose segments are halved.
pub const STAGES: [&str; 7] =
    ["segments", "halved", "quartered", "eighths", "16ths", "32nds", "64ths"];

/// Refuses a grid that the milestones of sampling do not lie on, and segments that do not cut it evenly.
///
/// # Errors
/// Names the setting and what it may be.
pub fn fit(segments: u32, grid: u32) -> Result<(), SettingError> {
    if !grid.is_multiple_of(8) {
        let reason = format!("setting \"grid\" is {grid}, but must be a multiple of 8");
        return Err(SettingError::Joint(reason));
    }
    if !segments.is_power_of_two() || !grid.is_multiple_of(segments) {
        return Err(SettingError::Joint(format!(
            "setting \"segments\" is {segments}, but must be a power of two that divides \"grid\", which is {grid}"
        )));
    }
    Ok(())
}

/// How a student is taught.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// M at first; a power of two that divides `steps`.
    pub segments: u32,
    /// Whether M is halved from stage to stage.
    pub shrinking: bool,
    /// Steps of the grid; a multiple of eight.
    pub steps: u32,
    /// Steps of the grid between a state and its neighbour.
    pub skip: u32,
    /// Where states come from.
    pub source: Source,
    /// Paths that the teacher makes.
    pub trajectories: u32,
    /// How two outputs are compared.
    pub distance: Distance,
    /// Whether the last stage goes across segments.
    pub across: bool,
    /// Stages of the run before that one.
    pub stages: u32,
    /// Steps of the student that states of the last stage are made with.
    pub student_steps: u32,
    /// Steps of the teacher from one milestone to the next in it.
    pub teacher_steps: u32,
}

impl Rules {
    /// M segments of a grid of examples with noise, halved from stage to stage down to one.
    #[must_use]
    pub fn halved(segments: u32, steps: u32, distance: Distance) -> Self {
        Self {
            segments,
            shrinking: true,
            steps,
            skip: 1,
            source: Source::Data,
            trajectories: 1,
            distance,
            across: false,
            stages: segments.max(1).ilog2() + 1,
            student_steps: 1,
            teacher_steps: 1,
        }
    }

    /// M in a stage.
    #[must_use]
    pub fn segments_of(&self, stage: u32) -> u32 {
        if self.shrinking { (self.segments >> stage).max(1) } else { self.segments }
    }
}

/// J for each row, from its level to the other.
fn jump(x: &Tensor, clean: &Tensor, from: &[f64], to: &[f64]) -> Result<Tensor, TchError> {
    let ratios: Vec<f64> = from.iter().zip(to).map(|(from, to)| to / from).collect();
    clean.f_addcmul(&x.f_sub(clean)?, &column(&ratios, x)?)
}

/// Where rows are, as their segment's end sees it: at the end itself they are what they are.
fn end_of(map: &Denoise<'_>, x: &Tensor, from: &[f64], to: &[f64]) -> Result<Tensor, LabError> {
    let there = jump(x, &map.rows(x, from)?, from, to)?;
    let rows: Vec<f64> =
        from.iter().zip(to).map(|(from, to)| f64::from(u8::from(from <= to))).collect();
    if rows.iter().all(|row| *row == 0.0) {
        return Ok(there);
    }
    let still = column(&rows, x)?.f_gt(0.5)?;
    Ok(x.f_where_self(&still, &there)?)
}

/// Levels of a batch: of the states, of their neighbours, and where their segments end.
#[derive(Debug, Clone, PartialEq)]
struct Levels {
    state: Vec<f64>,
    neighbour: Vec<f64>,
    end: Vec<f64>,
}

/// Place on a descending grid of `steps` of the neighbour of the state at `place`, and of the end of its segment of M.
fn places(place: u32, steps: u32, segments: u32, skip: u32) -> [u32; 2] {
    let length = (steps / segments.max(1)).max(1);
    let end = (place / length + 1) * length;
    [(place + skip).min(end), end]
}

/// The objective of all stages.
#[derive(Debug)]
pub struct Segments {
    rules: Rules,
    sigma_data: f64,
    shape: Vec<i64>,
    examples: u32,
    device: Device,
    streams: Streams,
    /// Levels of the grid, from the largest on.
    levels: Vec<f64>,
    teacher: Option<Network>,
    /// States of the teacher's paths, (steps + 1) × N × …, from noise on.
    paths: Option<Tensor>,
    made: Vec<SelfMade>,
    stage: u32,
    begun: u32,
    draws: Pcg64,
    noise: Pcg64,
    evaluations: u64,
}

impl Segments {
    /// Places on the grid and noise come from streams of their own.
    ///
    /// # Errors
    /// When there is nothing to generate.
    pub fn new(rules: Rules, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let generation = generation(task)?;
        Ok(Self {
            rules,
            sigma_data: generation.sigma_data,
            shape: generation.shape.clone(),
            examples: task.examples,
            device: task.device(),
            streams: task.streams.clone(),
            levels: grid(rules.steps as usize + 1).into_iter().rev().collect(),
            teacher: None,
            paths: None,
            made: Vec::new(),
            stage: 0,
            begun: 0,
            draws: task.streams.generator("segment"),
            noise: task.streams.generator("segment noise"),
            evaluations: 0,
        })
    }

    fn map<'a>(&self, network: &'a Network) -> Denoise<'a> {
        let preconditioning = Preconditioning::Diffusion;
        Denoise { network, preconditioning, sigma_data: self.sigma_data }
    }

    /// Paths of the teacher over all of the grid: a state of a small level has more steps behind it.
    fn trace(&mut self, teacher: &Network) -> Result<Tensor, LabError> {
        let Rules { trajectories, steps, .. } = self.rules;
        let seed = SelfMade::seed(&self.streams, "paths", 0);
        let mut random = order::generator(&seed);
        let each = usize::try_from(self.shape.iter().product::<i64>()).unwrap_or(0);
        let numbers = streams::normal(&mut random, trajectories as usize * each);
        let shape = [&[i64::from(trajectories)], self.shape.as_slice()].concat();
        let noise = Tensor::f_from_slice(&numbers)?.f_view(shape.as_slice())?;
        let mut x = noise.f_to_device(self.device)?.f_mul_scalar(SIGMA_MAX)?;
        let mut states = vec![x.shallow_clone()];
        let map = self.map(teacher);
        for pair in self.levels.windows(2) {
            x = step(&map, &x, pair[0], pair[1])?;
            states.push(x.shallow_clone());
        }
        let paths = Tensor::f_stack(&states, 0)?;
        let figures = [u64::from(trajectories), u64::from(trajectories) * u64::from(steps)];
        self.evaluations += figures[1];
        let settings = Values::from([("steps".to_owned(), steps.write())]);
        let digest = teacher.digest()?;
        self.made.push(SelfMade::new("paths", digest, &settings, seed, figures, &[&paths])?);
        Ok(paths)
    }

    /// States of a batch within segments, their neighbours by the teacher, and the levels of both.
    fn within(
        &mut self,
        teacher: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<([Tensor; 2], Levels), LabError> {
        let Rules { steps, skip, trajectories, .. } = self.rules;
        let segments = self.rules.segments_of(self.stage);
        let drawn: Vec<u32> = batch
            .ids
            .iter()
            .map(|_| order::bounded(&mut self.draws, u64::from(steps)) as u32)
            .collect();
        let both: Vec<[u32; 2]> =
            drawn.iter().map(|place| places(*place, steps, segments, skip)).collect();
        let at = |place: u32| self.levels[place as usize];
        let levels = Levels {
            state: drawn.iter().map(|place| at(*place)).collect(),
            neighbour: both.iter().map(|[neighbour, _]| at(*neighbour)).collect(),
            end: both.iter().map(|[_, end]| at(*end)).collect(),
        };
        let state = match &self.paths {
            Some(paths) => {
                let before = u64::from(now.epoch) * u64::from(self.examples);
                let path = |id: &u32| (before + u64::from(*id)) % u64::from(trajectories);
                let row =
                    |(place, id): (&u32, &u32)| i64::from(*place * trajectories) + path(id) as i64;
                let rows: Vec<i64> = drawn.iter().zip(&batch.ids).map(row).collect();
                let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.device)?;
                paths.f_flatten(0, 1)?.f_index_select(0, &rows)?
            }
            None => {
                let noise = noise_like(&batch.inputs, &mut self.noise)?;
                batch.inputs.f_addcmul(&noise, &column(&levels.state, &batch.inputs)?)?
            }
        };
        let clean = self.map(teacher).rows(&state, &levels.state)?;
        let neighbour = jump(&state, &clean, &levels.state, &levels.neighbour)?;
        self.evaluations += batch.ids.len() as u64;
        Ok(([state, neighbour], levels))
    }

    /// The same across segments: from a milestone to the next, of what the student makes, to the end of all.
    fn across(
        &mut self,
        network: &Network,
        teacher: &Network,
        rows: usize,
    ) -> Result<([Tensor; 2], Levels), LabError> {
        let Rules { student_steps, teacher_steps, .. } = self.rules;
        let shape = [&[rows as i64], self.shape.as_slice()].concat();
        let each = usize::try_from(self.shape.iter().product::<i64>()).unwrap_or(0);
        let numbers = streams::normal(&mut self.noise, rows * each);
        let noise = Tensor::f_from_slice(&numbers)?.f_view(shape.as_slice())?;
        let noise = noise.f_to_device(self.device)?;
        let setup = Setup {
            preconditioning: Preconditioning::Diffusion,
            sigma_data: self.sigma_data,
            evaluations: student_steps,
        };
        let sampler = Milestones { setup, renoise: true };
        let clean = sampler.sample(network, &noise, student_steps, &mut self.noise)?;
        let milestones = milestones();
        let last = milestones.len() - 1;
        let drawn: Vec<usize> =
            (0..rows).map(|_| order::bounded(&mut self.draws, last as u64) as usize).collect();
        let state_levels: Vec<f64> = drawn.iter().map(|place| milestones[*place]).collect();
        let again = noise_like(&clean, &mut self.noise)?;
        let state = clean.f_addcmul(&again, &column(&state_levels, &clean)?)?;
        // From a milestone to the next in equal parts of its place on the grid.
        let fine: Vec<f64> = grid(last * teacher_steps as usize + 1).into_iter().rev().collect();
        let (mut x, mut from) = (state.shallow_clone(), state_levels.clone());
        let map = self.map(teacher);
        for part in 1..=teacher_steps as usize {
            let to: Vec<f64> =
                drawn.iter().map(|place| fine[place * teacher_steps as usize + part]).collect();
            x = jump(&x, &map.rows(&x, &from)?, &from, &to)?;
            from = to;
        }
        self.evaluations += rows as u64 * u64::from(student_steps.min(8) + teacher_steps);
        let end = vec![milestones[last]; rows];
        Ok(([state, x], Levels { state: state_levels, neighbour: from, end }))
    }

    /// How far the two are apart, shape B.
    ///
    /// # Errors
    /// When the shapes differ.
    pub(crate) fn compare(&self, own: &Tensor, goal: &Tensor) -> Result<Tensor, LabError> {
        let squared = squared_distance(own, goal)?;
        Ok(match self.rules.distance {
            Distance::Squared => squared,
            Distance::Huber => {
                let coordinates = usize::try_from(self.shape.iter().product::<i64>()).unwrap_or(1);
                let c = huber_constant(coordinates);
                squared.f_add_scalar(c * c)?.f_sqrt()?.f_sub_scalar(c)?
            }
        })
    }

    /// What a student is to agree on in a batch: its jump from the states, with its tape, and the same from their neighbours.
    ///
    /// # Errors
    /// When there is no teacher, or libtorch refuses an operation.
    pub(crate) fn jumps(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<[Tensor; 2], LabError> {
        let Some(teacher) = self.teacher.take() else {
            return Err(LabError::Method("segments without a teacher".to_owned()));
        };
        let found = self.pair(network, &teacher, batch, now);
        self.teacher = Some(teacher);
        let ([state, neighbour], Levels { state: from, neighbour: near, end }) = found?;
        if let Some(made) = self.made.last_mut() {
            made.used(now.step);
        }
        let map = self.map(network);
        let own = end_of(&map, &state, &from, &end)?;
        let goal = tch::no_grad(|| end_of(&map, &neighbour, &near, &end))?;
        self.evaluations += 2 * batch.ids.len() as u64;
        Ok([own, goal])
    }

    fn pair(
        &mut self,
        network: &Network,
        teacher: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<([Tensor; 2], Levels), LabError> {
        let across = self.rules.across && self.stage == self.rules.stages;
        tch::no_grad(|| {
            if across {
                self.across(network, teacher, batch.ids.len())
            } else {
                self.within(teacher, batch, now)
            }
        })
    }
}

impl Objective for Segments {
    fn learn_from(&mut self, tutor: Network) {
        self.teacher = Some(tutor);
    }

    fn enter(&mut self, stage: usize, _: &Network) -> Result<(), LabError> {
        self.stage = u32::try_from(stage).unwrap_or(u32::MAX);
        self.begun += 1;
        if stage > 0 || self.rules.source == Source::Data {
            return Ok(());
        }
        let Some(teacher) = self.teacher.take() else {
            return Err(LabError::Method("segments without a teacher".to_owned()));
        };
        self.paths = Some(self.trace(&teacher)?);
        self.teacher = Some(teacher);
        Ok(())
    }

    /// Every stage starts afresh, its average too.
    fn stage(&self, _: &StepInfo) -> Stage {
        Stage { index: self.begun, lr_factor: 1.0 }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let [own, goal] = self.jumps(network, batch, now)?;
        self.compare(&own, &goal)
    }

    fn costs(&self) -> Costs {
        Costs::from([("network_evaluations", self.evaluations)])
    }

    fn facts(&self) -> Facts {
        SelfMade::facts(&self.made)
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.network("teacher", &mut self.teacher)?;
        state.of("paths", &mut self.paths)?;
        state.told("made", &mut self.made)?;
        state.of("stage", &mut self.stage)?;
        state.of("begun", &mut self.begun)?;
        state.of("draws", &mut self.draws)?;
        state.of("noise", &mut self.noise)?;
        state.of("evaluations", &mut self.evaluations)
    }
}

#[cfg(test)]
mod tests;

//! # MLCM: multistep consistency distillation
//!
//! ## Mechanism
//! A trained diffusion model D₀ is taught to go in few steps. (1) Its levels are cut in M segments that end at milestones.
//! From a state z at t_m one DDIM step of D₀ leads to a neighbour at t_n below, and from both the student jumps to the
//! milestone t_s below: `L = ‖g(z_m, t_m, s) − sg g(z_n, t_n, s)‖²`, `g(z, t, s) = f(z, t) + (z − f(z, t))·t_s/t`. States
//! lie on paths of D₀ that begin with noise, so that no example is needed. (2) Across segments: what the student
//! makes in `student_steps` steps is noised to a milestone, D₀ goes from there to the next in `teacher_steps`, and
//! the student's jumps to the smallest level are to agree. One model then serves any number of steps up to 8: over a
//! fixed subset of nine milestones, with fresh noise between.
//!
//! ## Claim
//! Segments beat one (CLIP score 31.61 → 31.76 at 4 steps of SDXL, 31.99 with another distance), states of many steps
//! beat few (→ 32.31), the second stage adds (→ 33.06): table 2 of v5. `segments: 1` is consistency distillation.
//!
//! ## Sources
//! Xie et al., arXiv:2406.05768 (v5, renamed TLCM, most of it; v1 to v3 by abstract); OPPO-Mente-Lab/TLCM@a088a25
//! `inference.py`, which does not train.
//!
//! ## Differences
//! - Levels are those of EDM (80 to 0.002, ρ = 7), not of a discrete process of 1,000; a state's neighbour is `skip` steps
//!   of a grid of `grid` below, where the paper skips 20 of 1,000. The milestones of sampling are every eighth part.
//! - Paths lie over the whole grid, so that small levels have more steps behind them, as the paper's do. They are on the
//!   run's clock and listed (`self_made`); example i of epoch e comes with path (e·n + i) mod `trajectories`.
//! - Trained by deterministic jumps and sampled with fresh noise, as text and code have it; `renoise: false` jumps.
//! - All weights train for LoRA of rank 64 (`rank` above 0 gives products); the pseudo-Huber distance for LPIPS of
//!   latents; no guidance, and no third stage (preferences, matched distributions, a discriminator).
//! - `shrinking: true` halves M from stage to stage down to 1, as MCM and Hyper-SD do. `source: data` has examples with noise
//!   for paths.
//! - The teacher is trained beside the run by EDM's loss, on `teacher_budgets` budgets at `teacher_lr`, and named in the
//!   record; runs of a seed share it.

use lab::LabError;
use lab::adapters::layers::Layers;
use lab::adapters::low_rank::LowRankUpdate;
use lab::averaging::ema::Ema;
use lab::diffusion::{Preconditioning, generation};
use lab::method::Method;
use lab::network::Network;
use lab::objectives::denoising::Denoising;
use lab::objectives::segments::{Distance, Rules, STAGES, Segments, Source, fit};
use lab::offers;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::recipe::{Recipe, Step};
use lab::samplers::{Setup, milestones::Milestones};
use lab::seat::{Objective, Parametrisation, TaskInfo};
use lab::stages::{Stage, Stages, Tutor};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::Streams;

settings! {
    /// Settings of `mlcm`.
    pub struct Settings {
        /// M: segments; a power of two that divides `grid`. 1 is consistency distillation.
        segments: u32 = 8, range Range::of(1.0..=64.0), from "arXiv:2406.05768";
        /// Halve the segments from stage to stage, down to 1.
        shrinking: bool = false, from "MCM, arXiv:2403.06807, and Hyper-SD";
        /// Share of the run that goes across segments; 0 for none.
        across: f64 = 0.143, range Range::of(0.0..=0.9), from "arXiv:2406.05768: 2,000 of 14,000 steps";
        /// Factor on the learning rate in it.
        across_lr: f64 = 0.1, range Range::above(0.0), from "arXiv:2406.05768: 1e-5 after 1e-4";
        /// Steps of the grid of levels; a multiple of 8.
        grid: u32 = 64, range Range::of(8.0..=1024.0), from "assumed";
        /// Steps of the grid from a state to its neighbour.
        skip: u32 = 1, range Range::of(1.0..=128.0), from "arXiv:2406.05768: 20 of 1,000";
        /// Where states come from.
        source: Source = Source::Trajectory, from "arXiv:2406.05768";
        /// Paths that the teacher makes.
        trajectories: u32 = 4_096, range Range::of(1.0..=1_048_576.0), from "assumed";
        /// How two outputs are compared.
        distance: Distance = Distance::Huber, from "assumed; arXiv:2406.05768: LPIPS of latents";
        /// Steps of the student that states across segments are made with.
        student_steps: u32 = 4, range Range::of(1.0..=8.0), from "arXiv:2406.05768: q";
        /// Steps of the teacher from a milestone to the next.
        teacher_steps: u32 = 3, range Range::of(1.0..=64.0), from "arXiv:2406.05768: p";
        /// Rank of the products that train; 0 for all weights.
        rank: u32 = 0, range Range::of(0.0..), from "assumed; arXiv:2406.05768: 64, of a larger network";
        /// Fresh noise between steps of sampling.
        renoise: bool = true, from "OPPO-Mente-Lab/TLCM inference.py";
        /// Evaluations of the network per sample.
        evaluations: u32 = 4, range Range::of(1.0..=8.0), from "the claim";
        /// Samples that the teacher is trained on, in budgets of the run.
        teacher_budgets: f64 = 1.0, range Range::above_up_to(0.0, 1000.0), from "assumed";
        /// Learning rate of the teacher.
        teacher_lr: f64 = 1e-3, range Range::above(0.0), from "EDM train.py";
        /// Mean of ln σ in the teacher's training.
        p_mean: f64 = -1.2, range Range::ANY, from "arXiv:2206.00364, table 1";
        /// Standard deviation of ln σ in the teacher's training.
        p_std: f64 = 1.2, range Range::above(0.0), from "arXiv:2206.00364, table 1";
        /// Decay of the average of the weights that samples are drawn with; 0 is none.
        ema: f64 = 0.99, range Range::of(0.0..1.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 256, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "assumed; arXiv:2406.05768: AdamW";
        /// Peak learning rate.
        lr: f64 = 5e-4, range Range::above(0.0), from "assumed";
        use adaptive: AdaptiveSettings;
        refuse Self::fit;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a diffusion model taught to go in few steps, segment by segment of its levels, without data",
    paper: Paper {
        title: "MLCM: Multistep Consistency Distillation of Latent Diffusion Model",
        authors: "Xie et al.",
        year: 2024,
        reference: "arXiv:2406.05768",
        code: "OPPO-Mente-Lab/TLCM@a088a25, without training",
    },
    claim: PaperClaim {
        statement: "one model for 2 to 8 steps, better by segments than by one consistency function",
        number: "CLIP score at 4 steps of SDXL 31.61 → 31.76 by segments, → 33.06 with all of it",
        source: "v5, table 2",
    },
    baseline: Some("progressive-distillation"),
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Refuses what does not hold together or would not be used.
    fn fit(&self) -> Result<(), SettingError> {
        let Self { segments, shrinking, across, grid, skip, .. } = *self;
        let joint = |message: String| Err(SettingError::Joint(message));
        fit(segments, grid)?;
        if skip > grid / segments {
            return joint(format!(
                "setting \"skip\" is {skip}, but a segment has {} steps of the grid",
                grid / segments
            ));
        }
        if shrinking && across > 0.0 {
            return joint(
                "settings \"shrinking\" and \"across\" exclude each other: set \"across\" to 0"
                    .to_owned(),
            );
        }
        let idle = [
            ("shrinking", segments == 1, "segments above 1"),
            ("across_lr", across == 0.0, "an across above 0"),
            ("student_steps", across == 0.0, "an across above 0"),
            ("teacher_steps", across == 0.0, "an across above 0"),
            ("trajectories", self.source == Source::Data, "source \"trajectory\""),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    /// Stages before the one across segments.
    fn count(&self) -> u32 {
        if self.shrinking { self.segments.ilog2() + 1 } else { 1 }
    }

    fn rules(&self) -> Rules {
        let Self { segments, shrinking, across, grid, skip, source, trajectories, .. } = *self;
        let Self { distance, student_steps, teacher_steps, .. } = *self;
        let (across, stages, steps) = (across > 0.0, self.count(), grid);
        Rules {
            segments,
            shrinking,
            steps,
            skip,
            source,
            trajectories,
            distance,
            across,
            stages,
            student_steps,
            teacher_steps,
        }
    }
    fn stages(&self) -> Stages {
        let across = (1_000.0 * self.across).round() as u32;
        let names = STAGES.into_iter().take(self.count() as usize);
        let mut list: Vec<Stage> = names.map(|name| Stage::plain(name, 1_000 - across)).collect();
        if across > 0 {
            list.push(Stage { lr_factor: self.across_lr, ..Stage::plain("across", across) });
        }
        Stages::new(list)
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if task.teacher.is_some() {
            return Err(task.unfit("trains its own teacher: name none in the arm"));
        }
        let objective = Box::new(Segments::new(self.rules(), task)?);
        let (parametrisation, network): (Box<dyn Parametrisation>, _) = match self.rank {
            0 => {
                let (seat, network) = Layers::new("", task)?;
                (Box::new(seat), network)
            }
            rank => {
                let (seat, network) = LowRankUpdate::new(rank, 1.0, task)?;
                (Box::new(seat), network)
            }
        };
        let sigma_data = generation(task)?.sigma_data;
        let (preconditioning, evaluations) = (Preconditioning::Diffusion, self.evaluations);
        let setup = Setup { preconditioning, sigma_data, evaluations };
        let mut stages = self.stages();
        stages.tutor = Some(self.teacher(sigma_data, task)?);
        Ok(Recipe {
            stages: Some(stages),
            parametrisation: Some(parametrisation),
            sampler: Some(Box::new(Milestones { setup, renoise: self.renoise })),
            ..self.steps(objective, self.lr, &network)?
        })
    }

    /// What teacher and student have in common.
    fn steps(
        &self,
        objective: Box<dyn Objective>,
        lr: f64,
        network: &Network,
    ) -> Result<Recipe, LabError> {
        let optimizer = self.adaptive.build(self.optimizer, lr, network)?;
        let step = Step::Gradient { objective, optimizer };
        Ok(Recipe {
            averaging: Ema::seat(self.ema, &network.parameters),
            ..Recipe::of(self.batch_size, self.schedule.clone(), step)
        })
    }

    /// The model of many steps.
    fn teacher(&self, sigma_data: f64, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let streams = Streams::new(seed);
        let objective = Box::new(Denoising::new(self.p_mean, self.p_std, sigma_data, &streams));
        let recipe = Box::new(self.steps(objective, self.teacher_lr, task.network)?);
        let samples = (self.teacher_budgets * task.budget_samples as f64).round() as u64;
        // What it hangs on: arms that differ in nothing else share it.
        let own = ["teacher_lr", "p_mean", "p_std", "ema", "batch_size", "schedule", "optimizer"];
        let rule = self.adaptive.values();
        let mut settings = self.values();
        settings.retain(|name, _| own.contains(&name.as_str()) || rule.contains_key(name));
        let network = task.network.duplicate();
        Ok(Tutor { name: "teacher", network, recipe, samples, settings, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::record::stages::{STAGES as LIST, StageEntry, check, read};
    use serde_json::Value;
    use training::trial::Trace;

    /// Fourteen steps of 32.
    fn run<const N: usize>(changed: [(&str, Value); N]) -> Result<Trace, LabError> {
        let stage = workloads::fixture("ring8", &with([("width", 0.25.into())]))?;
        let mut settings = with([("batch_size", 32.into()), ("trajectories", 64.into())]);
        settings.extend(with(changed));
        stage.run(&METHOD, &settings, 32 * 14, 3)
    }

    fn list(trace: &Trace) -> Vec<StageEntry> {
        let list = read(&trace.facts[LIST]).unwrap();
        assert_eq!(check(&list, 14, Some(trace.digest)), Ok(()));
        list
    }

    #[test]
    fn stages_follow_each_other_from_one_teacher_and_all_evaluations_are_counted() {
        let whole = run([]).unwrap();
        let names = |trace: &Trace| list(trace).iter().map(|e| e.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&whole), ["teacher", "segments", "across"]);
        assert_eq!(list(&whole)[1].from, list(&whole)[0].parameters_sha256);
        // Paths; twelve steps of a teacher's and two of the student's; two of 4 + 3 more.
        assert_eq!(whole.facts["network_evaluations"], 64 * 64 + 32 * (12 * 3 + 2 * 9));
        let shrinking = run([("shrinking", true.into()), ("across", 0.into())]).unwrap();
        assert_eq!(names(&shrinking), ["teacher", "segments", "halved", "quartered", "eighths"]);
        for other in [
            run([("across", 0.into()), ("segments", 1.into())]).unwrap(),
            run([("source", "data".into()), ("trajectories", 4_096.into())]).unwrap(),
            run([("rank", 4.into())]).unwrap(),
            shrinking,
        ] {
            assert!(list(&other)[0] == list(&whole)[0] && other.digest != whole.digest);
        }
        // How samples are drawn does not touch training.
        assert_eq!(run([("renoise", false.into())]).unwrap().digest, whole.digest);
    }

    #[test]
    fn what_does_not_fit_is_refused_before_training() {
        for (values, word) in [
            (with([("segments", 3.into())]), "power of two"),
            (with([("grid", 12.into())]), "multiple of 8"),
            (with([("skip", 9.into())]), "a segment has 8 steps"),
            (with([("shrinking", true.into())]), "exclude each other"),
            (with([("across", 0.into()), ("across_lr", 0.5.into())]), "across_lr"),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = run([("rank", 33.into())]).unwrap_err().to_string();
        assert!(error.contains("\"rank\" is 33"), "{error}");
    }
}

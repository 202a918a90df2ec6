//! # Seedance core: a reward maximised directly, then few steps by shrinking segments
//!
//! ## Mechanism
//! A flow v is trained first: x_t = (1 − t)x + tz, target z − x, t logit-normal and shifted, `t → st/(1 + (s − 1)t)`. It is
//! then (1) led to a reward: noise is carried by v itself to one of its last steps, x̂₀ = x_t − t·v(x_t, t), and
//! `L = −w·R(x̂₀) + η·L_flow` is minimised; (2) taught to go in few steps (TSCD): levels are cut in M segments, M = 8, 4, 2, 1 from
//! stage to stage, each beginning with the student of the last. From an example with noise at t_m one step of the model
//! of (1) leads to t_n, and from both the student jumps to the milestone t_s: `L = d(g(x_m, t_m → t_s), sg g(x_n, t_n → t_s))`.
//! In the last stage, where M = 1, a discriminator may tell the student's predictions from examples (`adversary`).
//! `reward_share` is the share of the run that (1) has: 0 leaves it out, 1 leaves (2) out. `segments: 1` is consistency
//! distillation.
//!
//! ## Claim
//! More than 10 times as fast with the quality of its teacher, system included; distillation by TSCD alone 4 times (report,
//! by a summary). Maximising rewards directly is said to be more efficient than DPO, PPO and GRPO, without a number. All
//! measurements there are preferences of people.
//!
//! ## Sources
//! ByteDance Seed, arXiv:2506.09113, abstract and summaries: no code, no weights. Halving of M: Hyper-SD, arXiv:2404.13686;
//! adversary: Lin et al., arXiv:2501.08316; reward: Xu et al., arXiv:2304.05977.
//!
//! ## Differences
//! - Points and images of the bench for video; one reward, not a sum of three; one round, not several in turn.
//! - Networks are denoisers D with EDM's preconditioning, v = (x_t − D)/t; so a step of DDIM from level to level is an Euler step of
//!   v. Levels are EDM's (80 to 0.002, ρ = 7), of `grid` steps; the milestones of sampling are every eighth part.
//! - Left out: score distillation (RayFlow), of which no details were read; mixtures of text and image conditions; merged models.
//! - η is ours, and so are the grid, how late predictions are made, distance and rates. Segments are taught by sg θ, no average.
//! - The discriminator is a perceptron on samples, not a copy of the model; its penalty is the one of arXiv:2501.08316, with factors
//!   of our own. It learns one update for each of the student's, and its evaluations are not counted.
//! - The flow is trained beside the run, on `teacher_budgets` budgets at `teacher_lr`, and named in the record; runs of a
//!   seed share it.

use lab::LabError;
use lab::averaging::ema::Ema;
use lab::diffusion::{Preconditioning, generation_as};
use lab::flow::Times;
use lab::flow::reflow::Reflow;
use lab::method::Method;
use lab::network::Network;
use lab::objectives::adversary::{Adversary, AdversarySettings};
use lab::objectives::pipeline::Pipeline;
use lab::objectives::rewarded::{RewardSettings, Rewarded};
use lab::objectives::segments::{Distance, Rules, STAGES, Segments, fit};
use lab::offers;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::recipe::{Recipe, Step};
use lab::samplers::milestones::{Milestones, SEGMENTS};
use lab::samplers::{SamplerKind, Setup};
use lab::seat::{Objective, Sampler, TaskInfo};
use lab::stages::{Stage, Stages, Tutor};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::Streams;
use ledger::{choice, settings};

choice! {
    /// How samples are drawn.
    pub enum Way {
        /// Few steps over fixed milestones.
        Milestones = "milestones",
        /// Steps of DDIM over the grid of as many.
        Ddim = "ddim",
    }
}

settings! {
    /// Settings of `seedance-core`.
    pub struct Settings {
        /// Share of the run that maximises the reward; the rest distils.
        reward_share: f64 = 0.0, range Range::of(0.0..=1.0), from "assumed";
        /// M at first; a power of two that divides `grid`. 1 is consistency distillation.
        segments: u32 = 8, range Range::of(1.0..=64.0), from "Hyper-SD, arXiv:2404.13686: 8, 4, 2, 1";
        /// T: steps of the grid of levels; a multiple of 8.
        grid: u32 = 32, range Range::of(8.0..=1024.0), from "assumed";
        /// How two outputs are compared.
        distance: Distance = Distance::Huber, from "assumed";
        /// How samples are drawn.
        sampler: Way = Way::Milestones, from "assumed";
        /// Fresh noise between milestones.
        renoise: bool = true, from "assumed";
        /// Evaluations of the network per sample.
        evaluations: u32 = 8, range Range::of(1.0..), from "arXiv:2506.09113: a quarter of the teacher's";
        /// s: shift of the times that the flow is trained at.
        shift: f64 = 1.0, range Range::above_up_to(0.0, 100.0), from "assumed; grows with resolution in arXiv:2506.09113";
        /// Samples that the flow is trained on, in budgets of the run.
        teacher_budgets: f64 = 1.0, range Range::above_up_to(0.0, 10000.0), from "assumed";
        /// Learning rate of the flow.
        teacher_lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        /// Decay of the average of the weights that samples are drawn with; 0 is none.
        ema: f64 = 0.99, range Range::of(0.0..1.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 256, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "assumed";
        /// Peak learning rate.
        lr: f64 = 5e-4, range Range::above(0.0), from "assumed";
        use adaptive: AdaptiveSettings;
        use reward: RewardSettings;
        use adversary: AdversarySettings;
        refuse Self::fit;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a flow led to a reward by its gradient, then taught few steps by segments that are halved",
    paper: Paper {
        title: "Seedance 1.0: Exploring the Boundaries of Video Generation Models",
        authors: "ByteDance Seed",
        year: 2025,
        reference: "arXiv:2506.09113",
        code: "none",
    },
    claim: PaperClaim {
        statement: "few steps as good as many, and rewards that are maximised directly sooner than by policy gradients",
        number: "more than 10 times as fast, system included; 4 times by segments",
        source: "abstract and summaries",
    },
    baseline: Some("mlcm"),
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Refuses what does not hold together or would not be used.
    fn fit(&self) -> Result<(), SettingError> {
        let Self { segments, grid, sampler, evaluations, .. } = *self;
        let (late, penalty) = (self.reward.late, self.adversary.penalty);
        let joint = |message: String| Err(SettingError::Joint(message));
        fit(segments, grid)?;
        let (rewarded, distilled) = (self.share() > 0, self.share() < 1_000);
        if rewarded && late > grid {
            return joint(format!("setting \"late\" is {late}, but \"grid\" has {grid} steps"));
        }
        if sampler == Way::Milestones && !distilled {
            let reason = "nothing is taught to go over milestones where \"reward_share\" is 1: set \
                          \"sampler\" to \"ddim\"";
            return joint(reason.to_owned());
        }
        if sampler == Way::Milestones && evaluations as usize > SEGMENTS {
            return joint(format!(
                "setting \"evaluations\" is {evaluations}, but there are {SEGMENTS} milestones: take at most as many, or \
                 \"sampler\" \"ddim\""
            ));
        }
        let (told, few) = ("a reward_share above 0", "a reward_share below 1");
        let seen = distilled && self.adversary.adversary > 0.0;
        let idle = [
            ("reward_weight", !rewarded, told),
            ("anchor", !rewarded, told),
            ("late", !rewarded, told),
            ("segments", !distilled, few),
            ("distance", !distilled, few),
            ("adversary", !distilled, few),
            ("adversary_lr", !seen, "an adversary above 0"),
            ("penalty", !seen, "an adversary above 0"),
            ("stir", !seen || penalty == 0.0, "an adversary with a penalty above 0"),
            ("renoise", sampler == Way::Ddim, "sampler \"milestones\""),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    /// Thousandths of the run that the reward has.
    fn share(&self) -> u32 {
        (1_000.0 * self.reward_share).round() as u32
    }

    /// Names and shares of all stages.
    fn list(&self) -> Vec<Stage> {
        let reward = self.share();
        let halvings = self.segments.ilog2() + 1;
        let mut list = Vec::new();
        if reward > 0 {
            list.push(Stage::plain("reward", reward * halvings));
        }
        if reward < 1_000 {
            let names = STAGES.into_iter().take(halvings as usize);
            list.extend(names.map(|name| Stage::plain(name, 1_000 - reward)));
        }
        list
    }

    /// The flow's own loss.
    fn flow(&self, task: &TaskInfo<'_>, streams: &Streams) -> Result<Reflow, LabError> {
        Reflow::of_data(Times::LogitNormal, self.shift, task, streams)
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if task.teacher.is_some() {
            return Err(task.unfit("trains its own flow: name no teacher in the arm"));
        }
        let preconditioning = Preconditioning::Diffusion;
        let sigma_data = generation_as(Some(preconditioning), task)?.sigma_data;
        let Self { grid, segments, distance, evaluations, .. } = *self;
        let led = || Rewarded::new(self.reward.clone(), grid, self.flow(task, task.streams)?, task);
        let reward = (self.share() > 0).then(led).transpose()?;
        let halved = Rules::halved(segments, grid, distance);
        let taught = (self.share() < 1_000).then(|| Segments::new(halved, task)).transpose()?;
        let adversary = Adversary::wanted(&self.adversary, task)?;
        let list = self.list();
        let objective = Pipeline::new(reward, taught, adversary, list.len());
        let mut stages = Stages::new(list);
        stages.tutor = Some(self.teacher(task)?);
        let setup = Setup { preconditioning, sigma_data, evaluations };
        let sampler: Box<dyn Sampler> = match self.sampler {
            Way::Milestones => Box::new(Milestones { setup, renoise: self.renoise }),
            Way::Ddim => SamplerKind::Ddim.build(preconditioning, sigma_data, evaluations),
        };
        Ok(Recipe {
            stages: Some(stages),
            sampler: Some(sampler),
            ..self.steps(Box::new(objective), self.lr, task.network)?
        })
    }

    /// What flow and student have in common.
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

    /// The flow that all of it begins with.
    fn teacher(&self, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let objective = Box::new(self.flow(task, &Streams::new(seed))?);
        let recipe = Box::new(self.steps(objective, self.teacher_lr, task.network)?);
        let samples = (self.teacher_budgets * task.budget_samples as f64).round() as u64;
        // What it hangs on: arms that differ in nothing else share it.
        let own = ["teacher_lr", "shift", "ema", "batch_size", "schedule", "optimizer"];
        let rule = self.adaptive.values();
        let mut settings = self.values();
        settings.retain(|name, _| own.contains(&name.as_str()) || rule.contains_key(name));
        let network = task.network.duplicate();
        Ok(Tutor { name: "flow", network, recipe, samples, settings, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::record::stages::{STAGES as LIST, check, read};
    use serde_json::Value;
    use training::trial::Trace;

    /// Sixteen steps of 32.
    fn run<const N: usize>(on: &str, changed: [(&str, Value); N]) -> Result<Trace, LabError> {
        let stage = workloads::fixture(on, &with([("width", 0.25.into())]))?;
        let mut settings = with([("batch_size", 32.into()), ("teacher_budgets", 0.5.into())]);
        settings.extend(with(changed));
        stage.run(&METHOD, &settings, 32 * 16, 3)
    }

    fn names(trace: &Trace) -> Vec<String> {
        let list = read(&trace.facts[LIST]).unwrap();
        assert_eq!(check(&list, 16, Some(trace.digest)), Ok(()));
        list.into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn segments_are_halved_from_eight_to_one_behind_the_reward_and_all_evaluations_are_counted() {
        let few = run("ring8", []).unwrap();
        assert_eq!(names(&few), ["flow", "segments", "halved", "quartered", "eighths"]);
        // A step of the teacher, and two of the student.
        assert_eq!(few.facts["network_evaluations"], 3 * 32 * 16);
        assert_eq!(names(&run("ring8", [("segments", 1.into())]).unwrap()), ["flow", "segments"]);
        let [first, last] = [8, 1].map(|m| Rules::halved(m, 32, Distance::Huber));
        assert_eq!([0, 1, 2, 3].map(|stage| first.segments_of(stage)), [8, 4, 2, 1]);
        assert_eq!((first.stages, last.stages), (4, 1));
        let both = run("ring-steer", [("reward_share", 0.5.into())]).unwrap();
        assert_eq!(names(&both)[..3], ["flow", "reward", "segments"]);
        assert_eq!(both.facts["reward_evaluations"], 8 * 32);
        let seen = run("ring8", [("adversary", 0.1.into())]).unwrap();
        assert_ne!(seen.digest, few.digest);
        assert_eq!(seen.facts["network_evaluations"], few.facts["network_evaluations"]);
    }

    #[test]
    fn a_run_that_stops_in_any_stage_goes_on_to_the_same_bits() {
        let stage = workloads::fixture("ring-steer", &with([("width", 0.25.into())])).unwrap();
        let mut settings = with([("batch_size", 32.into()), ("teacher_budgets", 0.5.into())]);
        settings.extend(with([("reward_share", 0.5.into()), ("adversary", 0.1.into())]));
        let whole = stage.run(&METHOD, &settings, 32 * 16, 3).unwrap().digest;
        for stop in [3, 9, 15] {
            let again = stage.interrupted(&METHOD, &settings, 32 * 16, 3, stop).unwrap();
            assert_eq!(again.digest, whole, "behind step {stop}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_training() {
        let alone = || ("reward_share", Value::from(1));
        for (values, word) in [
            (with([("segments", 3.into())]), "power of two"),
            (with([("evaluations", 9.into())]), "\"evaluations\" is 9"),
            (with([alone()]), "set \"sampler\" to \"ddim\""),
            (with([("anchor", 0.into())]), "anchor"),
            (with([("penalty", 3.into())]), "penalty"),
            (with([("reward_share", 0.5.into()), ("late", 33.into())]), "\"late\" is 33"),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = run("ring8", [("reward_share", 0.5.into())]).unwrap_err().to_string();
        assert!(error.contains("set \"reward_share\" to 0"), "{error}");
    }
}

//! # DDO: direct discriminative optimisation
//!
//! ## Mechanism
//! A trained generative model is its own discriminator: with r = log p_θ − log p_ref, θ begun at the frozen reference,
//! `L = −E_data log σ(β·r) − α·E_fakes log(1 − σ(β·r))`, fakes drawn from the reference. For a diffusion model one draw
//! of level and noise stands in r's place, `Δ = ‖F_ref − F̂‖² − ‖F_θ − F̂‖²` of EDM's raw network and its target. After a
//! round the network becomes the next reference, and makes new fakes. L is (1 + α)·ln 2 at the beginning of a round.
//!
//! ## Claim
//! EDM on CIFAR-10: FID 1.97 → 1.38 unconditional, by rounds of less than 1 % of the first training's length (abstract,
//! README); continued training does not do that.
//!
//! ## Sources
//! Zheng et al., arXiv:2503.01103 (ICML 2025); NVlabs/DDO@d7b366b has samplers and checkpoints, its training is a "TODO".
//! Ranges of α (0.5 to 6) and β (0.01 to 0.1) at second hand.
//!
//! ## Differences
//! - At an exactly converged model with exact likelihoods the gradient of L vanishes: with r it is ½β times the likelihood's
//!   slope, and α drops out. With Δ the fakes' slope, ½αβ times that of E_fakes Δ, need not vanish. With a large α the point
//!   is no minimum: what DDO gains hangs on what the first training left, and on stopping early.
//! - The paper keeps the best checkpoint of a round by its FID. No method sees an evaluation here: a round ends where
//!   it ends, and its last weights (not their average) are the next reference.
//! - The reference is trained beside the run by EDM's loss, on `reference_budgets` budgets at `reference_lr`, and is named in
//!   the record; runs of a seed share it. Fakes are on the run's clock and count, and listed (`self_made`); example i of
//!   epoch e comes with fake (e·n + i) mod `fakes`.
//! - `continued: plain` is the control: the same steps from the same reference by EDM's loss.
//! - Autoregressive models, which the paper has too, are not here.

use lab::LabError;
use lab::averaging::ema::Ema;
use lab::diffusion::{Preconditioning, generation};
use lab::method::Method;
use lab::objectives::denoising::Denoising;
use lab::offers;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::ratios::{Continued, Ratios, Rules};
use lab::recipe::{Recipe, Step};
use lab::samplers::SamplerKind;
use lab::seat::{Objective, TaskInfo};
use lab::stages::{Stage, Stages, Tutor};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;

/// Names of the rounds in records.
const ROUNDS: [&str; 8] =
    ["round-1", "round-2", "round-3", "round-4", "round-5", "round-6", "round-7", "round-8"];

settings! {
    /// Settings of `ddo`.
    pub struct Settings {
        /// What is done from the reference on.
        continued: Continued = Continued::Ddo, from "arXiv:2503.01103; plain: its control";
        /// Rounds, each with a reference and fakes of its own.
        rounds: u32 = 1, range Range::of(1.0..=8.0), from "assumed; arXiv:2503.01103: several";
        /// α, the weight of fakes.
        alpha: f64 = 2.0, range Range::of(0.0..=1000.0), from "assumed; arXiv:2503.01103: searched in 0.5 to 6";
        /// β, the sharpness.
        beta: f64 = 0.05, range Range::above_up_to(0.0, 100.0), from "assumed; arXiv:2503.01103: searched in 0.01 to 0.1";
        /// Fakes that a reference makes.
        fakes: u32 = 16_384, range Range::of(1.0..=16_777_216.0), from "assumed";
        /// Evaluations of the network for each fake and each sample.
        evaluations: u32 = 35, range Range::of(1.0..=8192.0), from "EDM, CIFAR-10: 18 steps of Heun's method";
        /// Samples that the reference is trained on, in budgets of the run.
        reference_budgets: f64 = 10.0, range Range::above_up_to(0.0, 1000.0), from "assumed; arXiv:2503.01103: above 100 a round";
        /// Learning rate of the reference.
        reference_lr: f64 = 1e-3, range Range::above(0.0), from "EDM train.py";
        /// Mean of ln σ.
        p_mean: f64 = -1.2, range Range::ANY, from "arXiv:2206.00364, table 1";
        /// Standard deviation of ln σ.
        p_std: f64 = 1.2, range Range::above(0.0), from "arXiv:2206.00364, table 1";
        /// Decay of the average of the weights; 0 is none.
        ema: f64 = 0.99, range Range::of(0.0..1.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 256, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "EDM train.py";
        /// Peak learning rate.
        lr: f64 = 1e-4, range Range::above(0.0), from "assumed";
        use adaptive: AdaptiveSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a diffusion model learns to tell the data from what it made itself, round by round",
    paper: Paper {
        title: "Direct Discriminative Optimization: Your Likelihood-Based Visual Generative Model is Secretly a GAN Discriminator",
        authors: "Zheng et al.",
        year: 2025,
        reference: "arXiv:2503.01103",
        code: "NVlabs/DDO@d7b366b, without training",
    },
    claim: PaperClaim {
        statement: "short rounds against its own fakes make a converged model better",
        number: "EDM on CIFAR-10, FID 1.97 to 1.38",
        source: "abstract",
    },
    baseline: Some("edm"),
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if task.teacher.is_some() {
            let reason = "trains its own reference: name no teacher in the arm";
            return Err(task.unfit(reason));
        }
        let Self { continued, alpha, beta, fakes, evaluations, p_mean, p_std, .. } = *self;
        let (levels, fake_evaluations) = ([p_mean, p_std], evaluations);
        let rules = Rules { continued, alpha, beta, levels, fakes, fake_evaluations };
        let objective = Box::new(Ratios::new(rules, task)?);
        let rounds = ROUNDS.into_iter().take(self.rounds as usize);
        let mut stages = Stages::new(rounds.map(|name| Stage::plain(name, 1)).collect());
        stages.tutor = Some(self.reference(task)?);
        Ok(Recipe { stages: Some(stages), ..self.steps(objective, self.lr, task)? })
    }

    /// What reference and rounds have in common.
    fn steps(
        &self,
        objective: Box<dyn Objective>,
        lr: f64,
        task: &TaskInfo<'_>,
    ) -> Result<Recipe, LabError> {
        let optimizer = self.adaptive.build(self.optimizer, lr, task.network)?;
        let (preconditioning, sigma_data) =
            (Preconditioning::Diffusion, generation(task)?.sigma_data);
        let sampler = SamplerKind::Heun.build(preconditioning, sigma_data, self.evaluations);
        let step = Step::Gradient { objective, optimizer };
        Ok(Recipe {
            averaging: Ema::seat(self.ema, &task.network.parameters),
            sampler: Some(sampler),
            ..Recipe::of(self.batch_size, self.schedule.clone(), step)
        })
    }

    /// The model that rounds begin with.
    fn reference(&self, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let sigma_data = generation(task)?.sigma_data;
        let streams = Streams::new(seed);
        let objective = Box::new(Denoising::new(self.p_mean, self.p_std, sigma_data, &streams));
        let recipe = Box::new(self.steps(objective, self.reference_lr, task)?);
        let samples = (self.reference_budgets * task.budget_samples as f64).round() as u64;
        let mut settings = self.values();
        // What it does not hang on: arms that differ in these share it.
        let others = ["continued", "rounds", "alpha", "beta", "fakes", "evaluations", "lr"];
        settings.retain(|name, _| !others.contains(&name.as_str()));
        let network = task.network.duplicate();
        Ok(Tutor { name: "reference", network, recipe, samples, settings, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::self_made::SELF_MADE;
    use lab::trial::with;
    use ledger::record::stages::{STAGES, StageEntry, check, read};
    use serde_json::Value;
    use training::trial::{Fixture, Parents, Trace};

    fn stage() -> Fixture {
        workloads::fixture("ring8", &with([("width", 0.25.into())])).unwrap()
    }

    /// Six steps of 32.
    fn run<const N: usize>(stage: &Fixture, changed: [(&str, Value); N]) -> Trace {
        let mut settings = with([
            ("batch_size", 32.into()),
            ("fakes", 64.into()),
            ("evaluations", 5.into()),
            ("reference_budgets", 2.into()),
        ]);
        settings.extend(with(changed));
        stage.run(&METHOD, &settings, 32 * 6, 3).unwrap()
    }

    fn list(trace: &Trace) -> Vec<StageEntry> {
        let list = read(&trace.facts[STAGES]).unwrap();
        assert_eq!(check(&list, 6, Some(trace.digest)), Ok(()));
        list
    }

    #[test]
    fn every_round_has_a_reference_and_fakes_of_its_own_which_are_counted() {
        let stage = stage();
        for rounds in [1, 3] {
            let trace = run(&stage, [("rounds", rounds.into())]);
            let list = list(&trace);
            assert_eq!((list.len(), list[0].made.unwrap().samples), (rounds + 1, 32 * 12));
            let made = trace.facts[SELF_MADE].as_array().unwrap();
            assert_eq!(made.len(), rounds);
            assert_eq!(made[0]["network"], list[0].parameters_sha256.to_string());
            let expected = 64 * 5 * rounds as u64 + 32 * 6 * 4;
            assert_eq!(trace.facts["network_evaluations"], expected);
        }
    }

    #[test]
    fn the_control_begins_with_the_same_reference_and_goes_on_as_before() {
        let stage = stage();
        let (ddo, plain) = (run(&stage, []), run(&stage, [("continued", "plain".into())]));
        assert_ne!(ddo.digest, plain.digest);
        assert_eq!((list(&ddo)[0].clone(), &ddo.order), (list(&plain)[0].clone(), &plain.order));
        assert_eq!(plain.facts["network_evaluations"], 32 * 6);
        assert!(plain.facts[SELF_MADE].as_array().unwrap().is_empty());
        for changed in [("alpha", 6.0), ("beta", 0.01)] {
            let trace = run(&stage, [(changed.0, changed.1.into())]);
            assert_ne!(trace.digest, ddo.digest, "{changed:?}");
            assert_eq!(list(&trace)[0], list(&ddo)[0]);
        }
    }

    #[test]
    fn an_empty_set_and_a_named_teacher_are_refused_before_training() {
        let error = (METHOD.resolve)(&with([("fakes", 0.into())])).unwrap_err().to_string();
        assert!(error.contains("fakes"), "{error}");
        let stage = stage();
        let network = stage.network(9).unwrap();
        let parents = Parents { start: None, teacher: Some(&network) };
        let named = stage.derive(&METHOD, &with([]), 32, 3, parents).unwrap_err().to_string();
        assert!(named.contains("trains its own reference"), "{named}");
    }
}

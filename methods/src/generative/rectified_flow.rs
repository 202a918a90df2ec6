//! # Rectified flows, improved: reflow on pairs that a model has made itself
//!
//! ## Mechanism
//! A velocity v carries noise z (t = 1) to data x (t = 0) along x_t = (1 − t)x + tz; it is trained by the distance of
//! v(x_t, t) to z − x. With independent x and z that is 1-RF, whose paths are curved. A reflow takes pairs (x̂, z)
//! that a trained model has made from noise by many steps and trains on these: 2-RF, nearly straight, so that one
//! step does. 2-RF++ is one reflow with
//! - the teacher's weights at the start; a diffusion model's D by v = (x_t − D(x_t/(1 − t), t/(1 − t)))/t;
//! - times of density cosh(a(t − ½)), a = 4: more often near both ends;
//! - the pseudo-Huber distance (√(‖e‖² + c²) − c)/d, c = 0.00054·d; on images (1 − t) times it, plus a perceptual
//!   distance of x̂ and x_t − t·v, over t in configuration F.
//!
//! N Euler steps sample, or steps by the "new" rule x ← (1 − t′)(x − t·v) + t′z with the first z. `reflows: 0` is
//! 1-RF, `reflows: 2` 3-RF, whose second reflow learns from the first one's pairs. Configurations of the paper's
//! table: A `begin: fresh, times: uniform, loss: squared`; B the teacher's start; C U-shaped times; D Huber;
//! E `loss: features`; F `loss: features-by-time`.
//!
//! ## Claim
//! In one step the FID of 2-RF on CIFAR-10 is lower by up to 72 % (abstract; 12.21 → 3.38 at second hand); a second
//! reflow is not needed.
//!
//! ## Sources
//! Lee, Lin, Fanti, arXiv:2405.20320 (NeurIPS 2024); sangyun884/rfpp@f7b10a5 `train.py`, `generate.py`, `utils.py`,
//! `t_dist.py`. Liu, Gong, Liu, arXiv:2209.03003 (ICLR 2023).
//!
//! ## Differences
//! - The density of times is the code's; e^{au} + e^{−au} on [0, 1], as the paper prints it, only grows. c is the code's,
//!   with d, where iCT has √d. Without a perceptual distance the code has no factor 1 − t, nor has this.
//! - LPIPS needs a network trained on photographs; in its place stand features of a fixed random one
//!   (`lab/src/flow/features.rs`), which are not those that samples are judged by. Points have no such distance.
//! - The teacher is trained beside the run by the same loop, on as many samples as `teacher_budgets` budgets, and is
//!   named in the record; runs of a seed share it, whatever their `lr`: its rate is `teacher_lr`. Making
//!   pairs is on the run's clock and count. What is judged is an average of the weights; a second reflow makes its
//!   pairs with the weights themselves.
//! - Example i of epoch e stands for pair (e·n + i) mod `pairs`: an order of ids is one of pairs, and no example of the
//!   data is looked at in a reflow. The record lists the pairs (`self_made`), with maker, seed and contents.
//! - 16,384 pairs, not 1,000,000; no warm-up of the rate. Networks are told ln(t/(1 − t))/4, EDM's noise level, but never
//!   more than EDM's last, ln(80)/4, that of t = 80/81: in small runs hardly a draw lies behind, where samples begin.
//! - `straightness` in the record is the code's, of the trained weights over 100 steps: a mean over coordinates. It is on
//!   the run's clock, and its evaluations are not in `network_evaluations`.

use lab::averaging::ema::Ema;
use lab::diffusion::generation;
use lab::flow::reflow::{Begin, Coupling, Loss, Reflow, Rules, Teacher};
use lab::flow::{FlowSampler, Form, Rule, Times};
use lab::method::Method;
use lab::objectives::denoising::Denoising;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::recipe::{Recipe, Step};
use lab::seat::{Objective, TaskInfo};
use lab::stages::{Stage, Stages, Tutor};
use lab::{LabError, offers};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::{Range, SettingError};
use ledger::streams::Streams;

settings! {
    /// Settings of `rectified-flow`.
    pub struct Settings {
        /// Reflows; with 0 the flow is of data and independent noise.
        reflows: u32 = 1, range Range::of(0.0..=4.0), from "arXiv:2405.20320: one suffices";
        /// Which model makes the first pairs.
        teacher: Teacher = Teacher::Diffusion, from "rfpp generate_edm.py";
        /// Samples that it is trained on, in budgets of the run.
        teacher_budgets: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Its learning rate, so that it is the same whatever that of the run is.
        teacher_lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        /// What the weights of the first reflow are in the beginning.
        begin: Begin = Begin::Teacher, from "arXiv:2405.20320, configuration B";
        /// How the network's output becomes a velocity.
        form: Form = Form::Denoiser, from "rfpp network_edm.py, EDMPrecondVel";
        /// Which noise stands beside what was made.
        coupling: Coupling = Coupling::Own, from "arXiv:2209.03003; shuffled: a control";
        /// Pairs that a reflow learns from.
        pairs: u32 = 16_384, range Range::of(1.0..=16_777_216.0), from "assumed; rfpp: 1,000,000 for CIFAR-10";
        /// Evaluations of the network for each pair.
        pair_evaluations: u32 = 35, range Range::of(1.0..=8192.0), from "rfpp: 18 steps of Heun's method";
        /// Where on the path losses are taken.
        times: Times = Times::UShaped, from "rfpp t_dist.py";
        /// The a of U-shaped times, the shift of logit-normal ones.
        shape: f64 = 4.0, range Range::above_up_to(0.0, 64.0), from "rfpp README";
        /// What is minimised.
        loss: Loss = Loss::Huber, from "rfpp train.py; LPIPS-Huber for images there";
        /// How a step of the sampler goes.
        rule: Rule = Rule::Euler, from "rfpp generate.py";
        /// Evaluations of the network per sample.
        evaluations: u32 = 1, range Range::of(1.0..), from "the claim";
        /// Decay of the average of the weights; 0 is none.
        ema: f64 = 0.9999, range Range::of(0.0..1.0), from "rfpp train.py";
        /// Examples per step.
        batch_size: u32 = 512, range Range::of(1.0..), from "rfpp README";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "rfpp train.py, without its warm-up";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "rfpp train.py";
        /// Peak learning rate.
        lr: f64 = 2e-4, range Range::above(0.0), from "rfpp README, CIFAR-10";
        use adaptive: AdaptiveSettings;
        refuse Self::meant;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "flows made straight by training on pairs that a model made itself; one-step samples",
    paper: Paper {
        title: "Improving the Training of Rectified Flows",
        authors: "Lee, Lin, Fanti",
        year: 2024,
        reference: "arXiv:2405.20320",
        code: "sangyun884/rfpp@f7b10a5",
    },
    claim: PaperClaim {
        statement: "one reflow, trained well, gives good samples in one step",
        number: "FID of 2-RF on CIFAR-10 in one step lower by up to 72 %",
        source: "abstract",
    },
    baseline: Some("edm"),
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Weights begin only where they mean what they meant to the teacher.
    fn meant(&self) -> Result<(), SettingError> {
        let other = self.teacher == Teacher::Diffusion && self.form == Form::Velocity;
        if self.reflows > 0 && self.begin == Begin::Teacher && other {
            let reason = "teacher \"diffusion\" is a denoiser, and with form \"velocity\" its weights would \
                          mean something else: take form \"denoiser\", or begin \"fresh\"";
            return Err(SettingError::Joint(reason.to_owned()));
        }
        Ok(())
    }

    fn rules(&self) -> Rules {
        let Self { form, teacher, begin, times, shape, loss, .. } = *self;
        let Self { coupling, pairs, pair_evaluations, .. } = *self;
        Rules { form, teacher, begin, times, shape, loss, coupling, pairs, pair_evaluations }
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if task.teacher.is_some() {
            let reason = "trains its own teacher, of a parametrisation that it knows: name none in the \
                          arm, and set \"teacher\"";
            return Err(task.unfit(reason));
        }
        let objective = Box::new(Reflow::new(self.rules(), task, task.streams)?);
        let plain = self.steps(objective, self.lr, task)?;
        let names = ["reflow-1", "reflow-2", "reflow-3", "reflow-4"];
        let list = names.into_iter().take(self.reflows as usize);
        let list: Vec<Stage> = list.map(|name| Stage::plain(name, 1)).collect();
        if list.is_empty() {
            return Ok(plain);
        }
        let mut stages = Stages::new(list);
        stages.tutor = Some(self.tutor(task)?);
        Ok(Recipe { stages: Some(stages), ..plain })
    }

    /// What flow and teacher have in common, by a rate of their own.
    fn steps(
        &self,
        objective: Box<dyn Objective>,
        lr: f64,
        task: &TaskInfo<'_>,
    ) -> Result<Recipe, LabError> {
        let Self { ref schedule, form, rule, evaluations, optimizer, ref adaptive, .. } = *self;
        let step =
            Step::Gradient { objective, optimizer: adaptive.build(optimizer, lr, task.network)? };
        let sigma_data = generation(task)?.sigma_data;
        Ok(Recipe {
            averaging: Ema::seat(self.ema, &task.network.parameters),
            sampler: Some(Box::new(FlowSampler { form, sigma_data, rule, evaluations })),
            ..Recipe::of(self.batch_size, schedule.clone(), step)
        })
    }

    /// The model that makes the first pairs: of data and independent noise, by plain choices.
    fn tutor(&self, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let streams = Streams::new(seed);
        let sigma_data = generation(task)?.sigma_data;
        let objective: Box<dyn Objective> = match self.teacher {
            // EDM's own levels, of its table 1.
            Teacher::Diffusion => Box::new(Denoising::new(-1.2, 1.2, sigma_data, &streams)),
            Teacher::Flow => {
                let (times, loss) = (Times::Uniform, Loss::Squared);
                let rules = Rules { times, loss, ..self.rules() };
                Box::new(Reflow::new(rules, task, &streams)?)
            }
        };
        let recipe = Box::new(self.steps(objective, self.teacher_lr, task)?);
        let samples = (self.teacher_budgets * task.budget_samples as f64).round() as u64;
        // What of the settings it hangs on: arms that differ in the others share it.
        let own = ["teacher", "form", "ema", "batch_size", "schedule", "optimizer"];
        let mut settings = self.values();
        settings.retain(|name, _| own.contains(&name.as_str()));
        settings.insert("lr".to_owned(), self.teacher_lr.into());
        settings.extend(self.adaptive.values());
        let network = task.network.duplicate();
        Ok(Tutor { name: "teacher", network, recipe, samples, settings, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::self_made::SELF_MADE;
    use lab::trial;
    use ledger::record::stages::{STAGES, check, read};
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("ring8", &trial::with([("width", 0.25.into())])).unwrap()
    }

    /// 12 steps of 32.
    fn run(fixture: &Fixture, with: Value) -> Result<Trace, LabError> {
        let mut values: Values = serde_json::from_value(with).unwrap();
        for (name, value) in [("batch_size", 32), ("pairs", 64), ("pair_evaluations", 5)] {
            values.entry(name.to_owned()).or_insert_with(|| value.into());
        }
        fixture.run(&METHOD, &values, 32 * 12, 3)
    }

    #[test]
    fn stages_follow_a_teacher_that_is_named_and_pairs_are_counted() {
        let fixture = fixture();
        for (reflows, rounds) in [(0, 0), (1, 1), (2, 2)] {
            let trace = run(&fixture, json!({"reflows": reflows})).unwrap();
            let made = trace.facts[SELF_MADE].as_array().unwrap();
            assert_eq!(made.len(), rounds);
            let expected = 12 * 32 + 64 * 5 * rounds as u64;
            assert_eq!(trace.facts["network_evaluations"], expected, "{reflows}");
            let Some(list) = trace.facts.get(STAGES) else {
                assert_eq!(reflows, 0);
                continue;
            };
            let list = read(list).unwrap();
            assert_eq!(check(&list, 12, Some(trace.digest)), Ok(()));
            assert_eq!((list.len(), list[0].made.unwrap().samples), (rounds + 1, 32 * 12));
            assert_eq!(made[0]["network"], list[0].parameters_sha256.to_string());
            let steps: Vec<_> = made.iter().map(|row| row["step"].as_u64().unwrap()).collect();
            assert_eq!(steps, [0, 6][..rounds]);
        }
    }

    #[test]
    fn arms_share_their_teacher_and_the_order_of_pairs_and_samples_touch_neither() {
        let fixture = fixture();
        let arm = |with: Value| run(&fixture, with).unwrap();
        let plain =
            json!({"teacher": "flow", "begin": "fresh", "times": "uniform", "loss": "squared"});
        let (a, d) = (arm(plain), arm(json!({"teacher": "flow"})));
        assert_ne!(a.digest, d.digest);
        assert_eq!(a.order, d.order);
        assert_eq!(a.facts[SELF_MADE], d.facts[SELF_MADE]);
        let diffusion = arm(json!({}));
        assert_ne!(diffusion.facts[SELF_MADE], d.facts[SELF_MADE]);
        assert_eq!(diffusion.facts[SELF_MADE][0]["seed"], d.facts[SELF_MADE][0]["seed"]);
        assert_eq!(arm(json!({"rule": "new", "evaluations": 4})).digest, diffusion.digest);
    }

    #[test]
    fn the_teacher_is_the_same_whatever_the_rate_of_the_run_is() {
        let fixture = fixture();
        let arm = |with: Value| {
            let trace = run(&fixture, with).unwrap();
            (read(&trace.facts[STAGES]).unwrap()[0].parameters_sha256, trace.digest)
        };
        for teacher in ["flow", "diffusion"] {
            let (slow, slow_run) = arm(json!({"teacher": teacher, "lr": 0.0002}));
            let (fast, fast_run) = arm(json!({"teacher": teacher, "lr": 0.002}));
            assert!(slow == fast && slow_run != fast_run, "{teacher}");
            assert_ne!(arm(json!({"teacher": teacher, "teacher_lr": 0.002})).0, slow, "{teacher}");
        }
    }

    #[test]
    fn a_teacher_of_another_parametrisation_and_an_empty_set_are_refused_before_training() {
        let refused = |with: Value| {
            let values: Values = serde_json::from_value(with).unwrap();
            (METHOD.resolve)(&values).unwrap_err().to_string()
        };
        let error = refused(json!({"form": "velocity"}));
        assert!(error.contains("teacher \"diffusion\"") && error.contains("form \"denoiser\""));
        assert!(refused(json!({"pairs": 0})).contains("pairs"));
        for fine in [
            json!({"form": "velocity", "begin": "fresh"}),
            json!({"form": "velocity", "teacher": "flow"}),
        ] {
            let values: Values = serde_json::from_value(fine).unwrap();
            assert!((METHOD.resolve)(&values).is_ok());
        }
        let fixture = fixture();
        let network = fixture.network(9).unwrap();
        let parents = training::trial::Parents { start: None, teacher: Some(&network) };
        let named = fixture.derive(&METHOD, &Values::new(), 32, 3, parents).unwrap_err();
        assert!(named.to_string().contains("trains its own teacher"), "{named}");
    }

    #[test]
    fn losses_by_features_train_images() {
        let fixture = workloads::fixture("shapes16", &Values::new()).unwrap();
        let with = |loss: &str| {
            let settings =
                json!({"loss": loss, "batch_size": 8, "pairs": 8, "pair_evaluations": 3});
            let values: Values = serde_json::from_value(settings).unwrap();
            fixture.run(&METHOD, &values, 24, 3).unwrap().digest
        };
        let all = ["huber", "features", "features-by-time"].map(with);
        assert!(all[0] != all[1] && all[1] != all[2], "{all:?}");
    }
}

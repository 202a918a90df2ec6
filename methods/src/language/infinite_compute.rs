//! # Pretraining under infinite compute: weight decay, epochs and ensembles at fixed data
//!
//! ## Mechanism
//! Data are fixed and read `epochs` times, at a weight decay far above the usual 0.1, tuned together with the rate. An
//! ensemble has K `members` that differ in initial values and in the order of the data; their logits are averaged before
//! the softmax. Members are trained one after the other by AdamW with decoupled decay, w ← w(1 − lr·λ) − lr·m̂/(√v̂ + ε),
//! each with a fresh state, its own schedule and its own epochs of the run's order. K = 1 is the single model.
//! A student has a teacher, the model or ensemble of another run that the suite names: a share `written` of its examples is
//! text that the teacher writes at temperature 1 behind what an example gives, anew each time.
//!
//! ## Claim
//! 200 M tokens: the best decay is 30 times the usual one; fitted asymptotes of the loss 3.75 (standard recipe), 3.43
//! (regularised, N → ∞), 3.34 (ensembles of 300 M, K → ∞), 3.17 (both); data efficiency 5.17 times. A student of 300 M keeps
//! 83 % of what 8 members gain.
//!
//! ## Sources
//! arXiv:2509.14786; its code lies in the Marin project and was not read. Per size (epochs, rate, decay): 150 M 16,
//! 3e-3, 0.8; 300 M 16, 3e-3, 1.6; 600 M and 1.4 B 8, 1e-3, 3.2; joint scaling at twice the epochs and half the decay.
//!
//! ## Differences
//! - Members take their turns in one run, so that its budget, order and clock hold all of them: K members of E epochs are
//!   K·E epochs. With `epochs: 0` each gets an equal share of the steps.
//! - A later member's initial values are those of the first, shuffled within each tensor; `init: shared` leaves them as
//!   they are, a control. The order differs between members in either case.
//! - Whether vectors decay was not in what was read: `decays` has both.
//! - The paper's student reads a fixed set of written text beside the data; here what is written never comes twice.
//! - The default decay is the usual one, that of the baseline; the paper's are 8 to 32 times it.

use lab::LabError;
use lab::ensemble::{self, Init, Training};
use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::optim::lm::LmSettings;
use lab::orders::uniform::Uniform;
use lab::recipe::{Recipe, Step};
use lab::rendering::written::Written;
use lab::seat::{EpochPlan, Optimizer, Order, OrderSource, View};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::order::OrderLaw;
use ledger::settings::Range;
use ledger::{choice, settings};

choice! {
    /// What decays.
    pub enum Decays {
        /// Matrices and tables.
        Matrices = "matrices",
        /// Biases, scales and shifts, too.
        All = "all",
    }
}

settings! {
    /// Settings of `infinite-compute`.
    pub struct Settings {
        /// K: members of the ensemble.
        members: u32 = 4, range Range::of(1.0..=64.0), from "paper: up to 8";
        /// Epochs of each member, where the budget has as many; 0 for an equal share of the budget.
        epochs: u32 = 0, range Range::of(0.0..=4096.0), from "assumed; paper: 8 or 16";
        /// What members start from.
        init: Init = Init::Own, from "paper; shared: a control";
        /// Share of the examples that the teacher writes; 0 without one.
        written: f64 = 0.0, range Range::of(0.0..=1.0), from "assumed; paper: as tuned";
        /// What decays.
        decays: Decays = Decays::Matrices, from "assumed: as the baseline";
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "many epochs of the same data under strong weight decay, and ensembles of what they give",
    paper: Paper {
        title: "Pre-training under infinite compute",
        authors: "Kim, Kotha, Liang, Hashimoto",
        year: 2025,
        reference: "arXiv:2509.14786",
        code: "none read; Marin",
    },
    claim: PaperClaim {
        statement: "at fixed data, strong weight decay and ensembles lower the loss that more compute comes to",
        number: "asymptotes 3.75 standard, 3.43 regularised, 3.34 ensembles, 3.17 both; decay 30 times 0.1",
        source: "arXiv:2509.14786",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { members, epochs, init, written, decays, lm } = Settings::read(values)?;
        let view: Option<Box<dyn View>> = match (task.teacher, written > 0.0) {
            (Some(teacher), true) => {
                let end = task.side.tokens.and_then(|tokens| tokens.end);
                Some(Box::new(Written { teacher: teacher.duplicate(), share: written, end }))
            }
            (None, false) => None,
            (Some(_), false) => {
                let reason =
                    "has a teacher that writes nothing: set \"written\", or name no teacher";
                return Err(task.unfit(reason));
            }
            (None, true) => {
                let reason =
                    "wants text of another run; name it in the arm, `teacher: WORKLOAD/ARM`";
                return Err(task.unfit(reason));
            }
        };
        let unfit = || task.unfit("the workload has no loss of its own");
        let loss = task.side.loss.ok_or_else(unfit)?;
        let rule = || -> Result<Box<dyn Optimizer>, LabError> {
            Ok(match decays {
                Decays::Matrices => Box::new(lm.optimizer(task.network)?),
                Decays::All => {
                    let LmSettings { lr, beta1, beta2, eps, weight_decay, .. } = lm;
                    let settings = AdamwSettings { lr, beta1, beta2, eps, weight_decay };
                    Box::new(Adamw::new(settings, task.network, |_, _| true)?)
                }
            })
        };
        let training = Training {
            loss,
            rules: (0..members).map(|_| rule()).collect::<Result<_, _>>()?,
            schedule: lm.schedule.clone(),
            clip: (lm.clip > 0.0).then_some(lm.clip),
        };
        let (learner, judged) = ensemble::seats(task.network, training, init)?;
        let step = Step::Learner(Box::new(learner));
        let rounds = if epochs == 0 { None } else { Some((members * epochs) as usize) };
        Ok(Recipe {
            order: Box::new(Passes { rounds }),
            view,
            parametrisation: Some(Box::new(judged)),
            ..Recipe::of(lm.batch_size, Schedule::Constant, step)
        })
    },
};

/// Uniform shuffles, no more than so many.
#[derive(Debug)]
struct Passes {
    rounds: Option<usize>,
}

impl Order for Passes {
    fn law(&self) -> OrderLaw {
        Uniform.law()
    }

    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        let mut rounds = Uniform.rounds(examples, budget_samples);
        rounds.truncate(self.rounds.unwrap_or(usize::MAX));
        rounds
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        Uniform.epoch(epoch, source)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::{Network, values};
    use lab::seat::{Gradients, StepInfo};
    use lab::trial::{step_info, with};
    use serde_json::{Value, json};
    use training::judge::{EvaluationRequest, Judged, Model};
    use training::trial::{Fixture, Parents, Trace};
    use training::workload::Ready;

    fn stage() -> Fixture {
        let settings = with([("size", "tiny".into()), ("examples", 64.into())]);
        workloads::fixture("attr-scarce", &settings).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, epochs: u64, pairs: [(&str, Value); N]) -> Trace {
        let mut settings = with(pairs);
        settings.insert("batch_size".to_owned(), 16.into());
        stage.run(&METHOD, &settings, 64 * epochs, 5).unwrap()
    }

    fn baseline(stage: &Fixture, epochs: u64) -> Trace {
        let lm = crate::find("lm-adamw").unwrap().method;
        stage.run(lm, &with([("batch_size", 16.into())]), 64 * epochs, 5).unwrap()
    }

    /// Values of a member's parameters, one after the other.
    fn of(network: &Network, member: usize, members: usize) -> Vec<f32> {
        let each = network.parameters.len() / members;
        let own = &network.parameters[member * each..(member + 1) * each];
        own.iter().flat_map(|p| values(&p.tensor).unwrap()).collect()
    }

    #[test]
    fn a_single_member_is_plain_training_bit_for_bit() {
        let stage = stage();
        let (single, plain) = (run(&stage, 3, [("members", 1.into())]), baseline(&stage, 3));
        assert_eq!((single.digest, single.law), (plain.digest, plain.law));
        assert_eq!(single.order, plain.order);
        // No more epochs than asked for, whatever the budget.
        let short = run(&stage, 9, [("members", 1.into()), ("epochs", 3.into())]);
        assert_eq!((short.digest, short.order.ids), (plain.digest, plain.order.ids));
    }

    #[test]
    fn the_first_member_is_the_single_model_and_the_others_are_not() {
        let stage = stage();
        let plain = baseline(&stage, 2);
        let [own, shared] = ["own", "shared"]
            .map(|init| run(&stage, 6, [("members", 3.into()), ("init", json!(init))]));
        let alone = of(&plain.network, 0, 1);
        assert_eq!(of(&own.network, 0, 3), alone);
        assert_eq!(of(&shared.network, 0, 3), alone);
        // From equal values other orders lead elsewhere.
        assert_ne!(of(&shared.network, 1, 3), alone);
        assert_ne!(of(&own.network, 1, 3), of(&shared.network, 1, 3));
        assert_eq!((own.order.epochs.len(), own.law), (6, OrderLaw::Uniform));
        assert_eq!(own.order, baseline(&stage, 6).order);
    }

    #[test]
    fn an_ensemble_loses_no_more_than_its_members_do_on_average() {
        let stage = stage();
        let trace = run(&stage, 12, [("members", 2.into())]);
        let excess = |network: &Network| {
            let Ready { splits, judge, .. } = stage.ready();
            let (model, split) = (Model::plain(network), &splits.test);
            let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
            tch::no_grad(|| judge.metrics(&request)).unwrap()["excess"]
        };
        let each = ensemble::members(&trace.network);
        let apart = f64::midpoint(excess(&each[0]), excess(&each[1]));
        // The softmax of mean logits has a log-likelihood of at least the mean one.
        let together = excess(&trace.network);
        assert!(together < apart && together > 0.0, "{together} {apart}");
    }

    #[test]
    fn decay_without_gradient_shrinks_by_its_product_with_the_rate() {
        let network = stage().network(1).unwrap();
        for (decay, expected) in [(1.6, 0.618_069), (0.1, 0.970_441)] {
            let lm = LmSettings { weight_decay: decay, ..LmSettings::default() };
            let network = network.duplicate();
            let mut rule = lm.optimizer(&network).unwrap();
            let tensors = network.parameters.iter().map(|p| p.tensor.detach().zeros_like());
            let gradients = Gradients {
                active: (0..network.parameters.len()).collect(),
                tensors: tensors.collect(),
            };
            let before = values(&network.parameters[0].tensor).unwrap();
            for step in 0..100 {
                let now = StepInfo { lr_factor: 1.0, ..step_info(step, 100) };
                tch::no_grad(|| rule.update(&network.parameters, &gradients, &now)).unwrap();
            }
            let after = values(&network.parameters[0].tensor).unwrap();
            for (before, after) in
                before.iter().zip(&after).filter(|(before, _)| before.abs() > 1e-3)
            {
                let share = f64::from(after / before);
                assert!((share - expected).abs() < 1e-5, "{share} instead of {expected}");
            }
        }
    }

    #[test]
    fn vectors_decay_where_all_do() {
        let stage = stage();
        let decayed = |decays: &str| {
            let decays = ("decays", json!(decays));
            run(&stage, 1, [("members", 1.into()), ("weight_decay", 3.2.into()), decays]).digest
        };
        assert_ne!(decayed("all"), decayed("matrices"));
    }

    #[test]
    fn a_teacher_and_a_share_come_together_or_not_at_all() {
        let stage = stage();
        let teacher = stage.network(9).unwrap();
        let run = |written: f64, teacher: Option<&Network>| {
            let settings = with([("written", written.into()), ("members", 1.into())]);
            let parents = Parents { start: None, teacher };
            stage.derive(&METHOD, &settings, 192, 5, parents).map(|trace| trace.digest)
        };
        assert!(run(0.5, None).unwrap_err().to_string().contains("`teacher: WORKLOAD/ARM`"));
        assert!(run(0.0, Some(&teacher)).unwrap_err().to_string().contains("\"written\""));
        assert_ne!(run(0.5, Some(&teacher)).unwrap(), run(0.0, None).unwrap());
    }
}

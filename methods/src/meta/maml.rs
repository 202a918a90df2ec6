//! # MAML
//!
//! ## Mechanism
//! Weights θ from which a few steps of gradient descent on the support set of a task lead to a good model of it:
//! `θ_i = θ − α∇L_support(θ) − …`, `inner_steps` times. Minimised is the mean loss of the queries at θ_i, by Adam;
//! its gradient by θ goes back through the steps, so that their graph, and memory, grow with their number. Without
//! `second_order` the gradients of the steps count as constants (FOMAML): the update is then the gradient at θ_i.
//!
//! A new task is adapted to by `test_steps` such steps. Without inner steps this is joint training on all queries,
//! and fine-tuning at the end.
//!
//! ## Claim
//! Fine-tunes fast: on 5-shot sines one step and more from θ are far below a network trained jointly (figure 3). Here
//! it is the baseline of `niw-meta`.
//!
//! ## Sources
//! Finn, Abbeel, Levine, arXiv:1703.03400 (ICML 2017); cbfinn/maml@007d7762 `main.py`.
//!
//! ## Differences
//! - The code averages 25 episodes a step over 70,000 steps of sines, which are drawn anew; here `episodes` a step, out of
//!   those of the workload. Its queries are as many as its support set; here those of the workload.
//! - One step in training and five at the end for sines (code); here five and five.

use lab::episodes::{Back, EpisodeSettings, Queried};
use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Step;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `maml`.
    pub struct Settings {
        /// Gradients go back through the gradients of the inner steps.
        second_order: bool = true, from "maml main.py: stop_grad is off";
        /// Learning rate of Adam.
        lr: f64 = 1e-3, range Range::above(0.0), from "maml main.py --meta_lr";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "maml main.py";
        use shared: EpisodeSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "weights from which a few steps on a support set lead to a good model, to first or second order",
    paper: Paper {
        title: "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
        authors: "Finn, Abbeel, Levine",
        year: 2017,
        reference: "arXiv:1703.03400",
        code: "cbfinn/maml@007d7762",
    },
    claim: PaperClaim {
        statement: "adapts to a new sine in a few steps, as joint training does not",
        number: "none in the abstract",
        source: "figure 3",
    },
    baseline: None,
    needs: &[offers::LOSS, offers::EPISODES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { second_order, lr, schedule, shared } = Settings::read(values)?;
        let found = shared.found(task)?;
        let back = if second_order { Back::Second } else { Back::First };
        let inner = shared.inner(found.loss, back);
        let objective = Box::new(Queried { inner, layout: found.layout.clone() });
        let adam = AdamwSettings { lr, weight_decay: 0.0, ..AdamwSettings::default() };
        let optimizer = Box::new(Adamw::new(adam, task.network, |_, _| true)?);
        let step = Step::Gradient { objective, optimizer };
        Ok(shared.recipe(&found.layout, schedule, step, Box::new(shared.tested(found.loss, 0))))
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::LabError;
    use lab::episodes::{Inner, QUERY};
    use lab::network::{Network, values};
    use lab::objectives::DefaultLoss;
    use lab::seat::{Batch, Objective, StepInfo, TaskInfo};
    use lab::state::State;
    use lab::trial::{self, step_info, with};
    use ledger::layout::Layout;
    use serde_json::json;
    use tch::Tensor;
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        let entry = workloads::find("sine-line").unwrap();
        Fixture::generated(entry, &with([])).unwrap()
    }

    fn run(method: &Method, settings: serde_json::Value) -> Trace {
        let settings = serde_json::from_value(settings).unwrap();
        fixture().run(method, &settings, 20 * 12, 3).unwrap()
    }

    /// Plain training on what is asked for: the workload's own loss, on the rows of the batch at once.
    struct Joint(Layout);

    impl Objective for Joint {
        fn losses(
            &mut self,
            network: &Network,
            batch: &Batch,
            now: &StepInfo,
        ) -> Result<Tensor, LabError> {
            DefaultLoss::Squares.losses(network, &batch.role(&self.0, QUERY)?, now)
        }

        fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
            Ok(())
        }
    }

    static JOINT: Method = Method {
        build: |values, task: &TaskInfo<'_>| {
            let mut recipe = (METHOD.build)(values, task)?;
            let Step::Gradient { objective, .. } = &mut recipe.step else {
                return Err(task.unfit("it has no objective"));
            };
            *objective = Box::new(Joint(task.side.episodes.clone().unwrap()));
            Ok(recipe)
        },
        ..METHOD
    };

    #[test]
    fn without_inner_steps_it_is_joint_training_on_the_queries_bit_for_bit() {
        let settings = |steps: u32| json!({"inner_steps": steps, "episodes": 1});
        let joint = run(&JOINT, settings(0));
        assert_eq!(run(&METHOD, settings(0)).digest, joint.digest);
        assert_ne!(run(&METHOD, settings(1)).digest, joint.digest);
    }

    fn network() -> Network {
        lab::models::mlp::mlp(&[1, 7, 1], &trial::streams(), tch::Device::Cpu).unwrap()
    }

    /// Two episodes of the workload.
    fn batch(ready: &training::workload::Ready) -> Batch {
        ready.splits.train.batch(&(0..40).collect::<Vec<_>>()).unwrap()
    }

    fn objective(ready: &training::workload::Ready, back: Back, steps: u32, lr: f64) -> Queried {
        let inner = Inner { loss: DefaultLoss::Squares, back, steps, lr, first_layer: 0 };
        Queried { inner, layout: ready.side.episodes.clone().unwrap() }
    }

    fn gradient(network: &Network, loss: &Tensor) -> Vec<f32> {
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
        gradients.iter().flat_map(|gradient| values(gradient).unwrap()).collect()
    }

    #[test]
    fn orders_agree_in_the_loss_and_part_in_the_gradient_unless_the_steps_vanish() {
        let (fixture, network) = (fixture(), network());
        let batch = batch(fixture.ready());
        let of = |back, steps, lr| {
            let mut objective = objective(fixture.ready(), back, steps, lr);
            let loss = objective.loss(&network, &batch, &step_info(0, 1)).unwrap();
            (loss.double_value(&[]), gradient(&network, &loss))
        };
        let (first, second) = (of(Back::First, 3, 0.05), of(Back::Second, 3, 0.05));
        assert_eq!(first.0, second.0);
        assert_ne!(first.1, second.1);
        assert_eq!(of(Back::First, 3, 0.0), of(Back::Second, 3, 0.0));
        assert_eq!(of(Back::First, 0, 0.05), of(Back::Second, 0, 0.05));
    }

    /// By differences of the loss itself, in double precision.
    #[test]
    fn the_second_order_gradient_is_the_slope_of_the_loss_behind_the_steps() {
        let (fixture, mut network) = (fixture(), network());
        let mut batch = batch(fixture.ready());
        let double = |tensor: &Tensor| tensor.to_kind(tch::Kind::Double);
        (batch.inputs, batch.labels) = (double(&batch.inputs), double(&batch.labels));
        for parameter in &mut network.parameters {
            parameter.tensor = double(&parameter.tensor.detach()).set_requires_grad(true);
        }
        let mut objective = objective(fixture.ready(), Back::Second, 3, 0.02);
        let mut loss =
            |network: &Network| objective.loss(network, &batch, &step_info(0, 1)).unwrap();
        let found = gradient(&network, &loss(&network));
        let mut at = |place: i64, by: f64| {
            let mut moved = network.duplicate();
            let weight = &mut moved.parameters[0].tensor;
            tch::no_grad(|| {
                let _ = weight.get(place).f_add_scalar_(by).unwrap();
            });
            loss(&moved).double_value(&[])
        };
        for place in 0..7 {
            let slope = (at(place, 1e-5) - at(place, -1e-5)) / 2e-5;
            let found = f64::from(found[usize::try_from(place).unwrap()]);
            assert!((found - slope).abs() < 1e-5 * (1.0 + slope.abs()), "{found} {slope}");
        }
    }

    #[test]
    fn more_episodes_than_there_are_and_tasks_without_roles_are_refused_before_training() {
        let refused = |workload: &str, episodes: u32| {
            let fixture =
                Fixture::generated(workloads::find(workload).unwrap(), &with([])).unwrap();
            let settings = with([("episodes", episodes.into())]);
            fixture.run(&METHOD, &settings, 400, 3).unwrap_err().to_string()
        };
        let told = refused("sine-line", 3_001);
        assert!(told.contains("at least 1 and at most 3000"), "{told}");
        assert!(refused("quad", 1).contains("no episodes"));
        let zero = (METHOD.resolve)(&with([("episodes", 0.into())])).unwrap_err().to_string();
        assert!(zero.contains("\"episodes\""), "{zero}");
    }

    #[test]
    fn the_transcript_is_of_whole_episodes_support_first() {
        let trace = run(&METHOD, json!({"episodes": 3}));
        let layout = fixture().ready().side.episodes.clone().unwrap();
        for (place, id) in (0_u64..).zip(&trace.order.ids) {
            assert_eq!(layout.role(place), layout.role(u64::from(*id)));
        }
        assert_eq!(trace.order.epochs[0].steps, [(60, 4)]);
    }
}

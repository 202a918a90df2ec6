//! # Reptile
//!
//! ## Mechanism
//! From the weights θ, `inner_steps` steps of gradient descent on all points of an episode, support and queries
//! alike, lead to φ; then `θ ← θ + ε·(φ − θ)`, over several episodes a step by the mean of their φ. ε falls
//! linearly to 0. No gradient goes back through the steps, and nothing of an episode is kept. A new task is
//! adapted to by `test_steps` steps on its support set.
//!
//! ## Claim
//! As good as first-order MAML (abstract). Here a baseline of `niw-meta`.
//!
//! ## Sources
//! Nichol, Achiam, Schulman, arXiv:1803.02999; openai/supervised-reptile@04876656 README, whose commands have
//! meta steps of 0.235 to 1, final 0, and 1 to 10 episodes a step.
//!
//! ## Differences
//! - The code's inner steps are Adam's (β₁ = 0) on minibatches of an episode; here plain descent on all of it, as in the
//!   other methods of this family. With one step it is then joint training by SGD at the rate ε·α.

use lab::LabError;
use lab::episodes::{Back, EpisodeSettings, Inner};
use lab::method::Method;
use lab::network::Network;
use lab::offers;
use lab::recipe::Step;
use lab::seat::{Batch, Learner, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::layout::Layout;
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `reptile`.
    pub struct Settings {
        /// ε: how far weights move towards those behind the inner steps, at first.
        meta_step: f64 = 1.0, range Range::above_up_to(0.0, 1.0), from "README: --meta-step 1, --meta-step-final 0";
        /// Factor on it over the run.
        schedule: Schedule = Schedule::Linear, from "README: --meta-step-final 0";
        use shared: EpisodeSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "weights drawn towards where a few steps on each episode lead",
    paper: Paper {
        title: "On First-Order Meta-Learning Algorithms",
        authors: "Nichol, Achiam, Schulman",
        year: 2018,
        reference: "arXiv:1803.02999",
        code: "openai/supervised-reptile@04876656",
    },
    claim: PaperClaim {
        statement: "as good as first-order MAML, without a split of episodes",
        number: "none in the abstract",
        source: "abstract",
    },
    baseline: Some("maml"),
    needs: &[offers::LOSS, offers::EPISODES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { meta_step, schedule, shared } = Settings::read(values)?;
        let found = shared.found(task)?;
        let inner = shared.inner(found.loss, Back::None);
        let learner = Box::new(Reptile { meta_step, inner, layout: found.layout.clone() });
        let step = Step::Learner(learner);
        Ok(shared.recipe(&found.layout, schedule, step, Box::new(shared.tested(found.loss, 0))))
    },
};

struct Reptile {
    meta_step: f64,
    inner: Inner,
    layout: Layout,
}

impl Learner for Reptile {
    fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Option<f64>, LabError> {
        let episodes = batch.units(&self.layout)?;
        let share = self.meta_step * now.lr_factor / episodes.len() as f64;
        let ends = episodes.iter().map(|episode| self.inner.descend(network, episode.shown()));
        let ends = ends.collect::<Result<Vec<_>, _>>()?;
        tch::no_grad(|| {
            for (index, parameter) in network.parameters.iter_mut().enumerate() {
                let from = parameter.tensor.copy();
                for end in &ends {
                    let way = end.at(index).f_sub(&from)?.f_mul_scalar(share)?;
                    let _ = parameter.tensor.f_add_(&way)?;
                }
            }
            Ok(None)
        })
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::objectives::DefaultLoss;
    use lab::trial::{descend, step_info, with};
    use training::trial::Fixture;

    fn fixture() -> Fixture {
        Fixture::generated(workloads::find("sine-line").unwrap(), &with([])).unwrap()
    }

    /// A step on the first episodes; returns all values.
    fn stepped(episodes: u32, meta_step: f64, steps: u32, lr_factor: f64) -> Vec<f32> {
        let fixture = fixture();
        let mut network = fixture.network(1).unwrap();
        let settings = EpisodeSettings { inner_steps: steps, ..EpisodeSettings::default() };
        let inner = settings.inner(DefaultLoss::Squares, Back::None);
        let layout = fixture.ready().side.episodes.clone().unwrap();
        let ids: Vec<u32> = (0..20 * episodes).collect();
        let batch = fixture.ready().splits.train.batch(&ids).unwrap();
        let now = StepInfo { lr_factor, ..step_info(0, 1) };
        Reptile { meta_step, inner, layout }.step(&mut network, &batch, &now).unwrap();
        all(&network)
    }

    fn all(network: &Network) -> Vec<f32> {
        network.parameters.iter().flat_map(|p| values(&p.tensor).unwrap()).collect()
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn one_inner_step_is_joint_descent_at_the_product_of_the_rates() {
        let (fixture, mut network) = (fixture(), fixture().network(1).unwrap());
        let (inputs, labels) = fixture.ready().splits.train.rows(0, 60).unwrap();
        let outputs = network.forward(&inputs, true).unwrap();
        let loss = DefaultLoss::Squares.of_outputs(&outputs, &labels).unwrap().mean(None);
        descend(&network, &loss, 0.5 * 0.01).unwrap();
        assert!(close(&stepped(3, 0.5, 1, 1.0), &all(&network)));
        network = fixture.network(1).unwrap();
        assert!(!close(&stepped(3, 0.5, 1, 1.0), &all(&network)));
    }

    #[test]
    fn it_goes_the_share_of_the_way_that_step_and_schedule_say() {
        let (start, end) = (stepped(1, 1.0, 0, 1.0), stepped(1, 1.0, 4, 1.0));
        assert_eq!(start, all(&fixture().network(1).unwrap()));
        let share = |a: f32, b: f32| 0.75_f32.mul_add(a, 0.25 * b);
        let quarter: Vec<f32> = start.iter().zip(&end).map(|(a, b)| share(*a, *b)).collect();
        assert!(close(&stepped(1, 0.5, 4, 0.5), &quarter));
        assert!(!close(&start, &end));
    }
}

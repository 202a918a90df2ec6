//! # Head only
//!
//! ## Mechanism
//! A control: features are shared by all tasks, and only the last layer is fitted to the support set, by
//! `inner_steps` steps of gradient descent. Minimised, over all weights, is the loss of the queries behind these
//! steps, to second order, as in `maml`, whose inner steps move every layer. A new task moves the head alone.
//!
//! ## Claim
//! Feature reuse is what counts: adapting the head alone is as good as MAML (ANIL, on images). Here a control: a
//! sine and a line need other features than the head can mix from those that were learnt.
//!
//! ## Sources
//! Raghu, Raghu, Bengio, Vinyals, arXiv:1909.09157 (ICLR 2020), ANIL; no official code. `maml` for what is shared.
//!
//! ## Differences
//! - The paper trains and tests with the same number of steps, on images; here `test_steps` is a setting of its own.

use lab::episodes::{Back, EpisodeSettings, Inner, Queried};
use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Step;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `head-only`.
    pub struct Settings {
        /// Learning rate of Adam.
        lr: f64 = 1e-3, range Range::above(0.0), from "maml main.py --meta_lr";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "maml main.py";
        use shared: EpisodeSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "features for all tasks, of which only the last layer is fitted to a support set",
    paper: Paper {
        title: "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML",
        authors: "Raghu, Raghu, Bengio, Vinyals",
        year: 2020,
        reference: "arXiv:1909.09157",
        code: "none",
    },
    claim: PaperClaim {
        statement: "adapting the head alone is as good as MAML",
        number: "none in the abstract",
        source: "abstract",
    },
    baseline: Some("maml"),
    needs: &[offers::LOSS, offers::EPISODES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { lr, schedule, shared } = Settings::read(values)?;
        let found = shared.found(task)?;
        let head = task.network.depth().saturating_sub(1);
        let inner = Inner { first_layer: head, ..shared.inner(found.loss, Back::Second) };
        let objective = Box::new(Queried { inner, layout: found.layout.clone() });
        let adam = AdamwSettings { lr, weight_decay: 0.0, ..AdamwSettings::default() };
        let optimizer = Box::new(Adamw::new(adam, task.network, |_, _| true)?);
        let step = Step::Gradient { objective, optimizer };
        Ok(shared.recipe(&found.layout, schedule, step, Box::new(shared.tested(found.loss, head))))
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::objectives::DefaultLoss;
    use lab::seat::Adapter;
    use lab::trial::{self, with};
    use serde_json::json;
    use training::trial::Fixture;

    fn fixture() -> Fixture {
        Fixture::generated(workloads::find("sine-line").unwrap(), &with([])).unwrap()
    }

    #[test]
    fn a_new_task_moves_the_last_layer_and_nothing_before_it() {
        let (fixture, mut random) = (fixture(), trial::streams().generator("adapt"));
        let network = fixture.network(1).unwrap();
        let support = fixture.ready().splits.test.batch(&[0, 1, 2, 3, 4]).unwrap();
        let inner = EpisodeSettings::default().tested(DefaultLoss::Squares, 2);
        let adapted = inner.adapt(&network, support.shown(), &mut random).unwrap();
        let moved = (0..6).map(|index| {
            values(adapted[0].at(index)).unwrap() != values(network.at(index)).unwrap()
        });
        assert_eq!(moved.collect::<Vec<_>>(), [false, false, false, false, true, true]);
    }

    #[test]
    fn without_inner_steps_it_is_maml_without_them_and_parts_from_it_with_them() {
        let digest = |id: &str, steps: u32| {
            let settings = json!({"inner_steps": steps, "episodes": 2});
            let settings = serde_json::from_value(settings).unwrap();
            fixture().run(crate::find(id).unwrap().method, &settings, 400, 3).unwrap().digest
        };
        assert_eq!(digest("head-only", 0), digest("maml", 0));
        assert_ne!(digest("head-only", 2), digest("maml", 2));
    }
}

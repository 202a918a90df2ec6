//! # Static random subset
//!
//! ## Mechanism
//! Before training, `r·N` of the `N` examples are drawn at random; every round trains on these, in a
//! fresh uniform order. `X` is the suite's budget in epochs, so that a run has `X` rounds and consumes
//! `r` times that budget, as `rs2` does.
//!
//! ## Claim
//! None of its own: it is what pruning methods must beat, and what RS2 is compared with. CIFAR-10,
//! ResNet-18, 200 rounds at r = 10 %: 78.4 %, on full data 95.5 % (figures of the RS2 repository).
//!
//! ## Sources
//! Guo, Zhao, Bai, arXiv:2204.08499 (DeepCore), whose `Uniform` selection it is; Okanovic et al.,
//! arXiv:2305.18424; PatrikOkanovic/RS2@99edfc8a `deepcore/methods/uniform.py`, `main.py`.
//!
//! ## Differences
//! - The code can draw the same share of every class (`balance`); here the draw ignores classes.
//! - The subset comes from the stream `method`; a round shuffles it, ids ascending, by the
//!   contract's generator of that epoch, so that `r = 1` is `sgd`. No augmentation.

use lab::LabError;
use lab::method::Method;
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::orders::{share, short_rounds};
use lab::recipe::Recipe;
use lab::seat::{EpochPlan, Order, OrderSource, TaskInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::order::{OrderLaw, epoch_generator, shuffle};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `static-subset`.
    pub struct Settings {
        /// r: share of the examples that are trained on.
        ratio: f64 = 0.1, range Range::above_up_to(0.0, 1.0), from "as rs2";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "RS2 main.py";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Cosine { floor: 1e-3 }, from "RS2 main.py: min_lr 1e-4 at lr 0.1";
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a random share of the data, drawn once: the baseline of data selection",
    paper: Paper {
        title: "DeepCore: a comprehensive library for coreset selection in deep learning",
        authors: "Guo, Zhao, Bai",
        year: 2022,
        reference: "arXiv:2204.08499",
        code: "PatrikOkanovic/RS2@99edfc8a",
    },
    claim: PaperClaim {
        statement: "a fixed random subset falls far behind full data",
        number: "CIFAR-10, r = 10 %: 78.4 against 95.5 %",
        source: "figures of the RS2 repository",
    },
    baseline: Some("sgd"),
    needs: &[offers::LOSS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { ratio, batch_size, schedule, base } = Settings::read(values)?;
        let order = Box::new(FixedShare { subset: draw(ratio, task), ratio });
        let plain = Recipe::plain(batch_size, schedule, base.build(task.network)?, task)?;
        Ok(Recipe { order, ..plain })
    },
};

/// A uniformly drawn subset, ids ascending.
fn draw(ratio: f64, task: &TaskInfo<'_>) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..task.examples).collect();
    shuffle(&mut task.streams.generator("method"), &mut ids);
    ids.truncate(share(ratio, task.examples) as usize);
    ids.sort_unstable();
    ids
}

#[derive(Debug)]
struct FixedShare {
    ratio: f64,
    subset: Vec<u32>,
}

impl Order for FixedShare {
    fn law(&self) -> OrderLaw {
        if self.ratio < 1.0 { OrderLaw::UniformSubset } else { OrderLaw::Uniform }
    }

    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        short_rounds(share(self.ratio, examples), examples, budget_samples)
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let mut ids = self.subset.clone();
        shuffle(&mut epoch_generator(source.effective_seed, epoch), &mut ids);
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::json;
    use training::trial::{Trace, Trial};

    fn settings<const N: usize>(ratio: [f64; N]) -> Values {
        let schedule = ("schedule", json!({"cosine": {"floor": 1e-3}}));
        let mut settings = with([("batch_size", 16.into()), schedule]);
        settings.extend(ratio.map(|ratio| ("ratio".to_owned(), ratio.into())));
        settings
    }

    fn trained(seed: u64, ratio: f64) -> Trace {
        Trial { examples: 96, epochs: 5, seed }.run(&METHOD, &settings([ratio])).unwrap()
    }

    #[test]
    fn every_round_has_the_same_examples_in_another_order() {
        let trace = trained(6, 0.25);
        let rounds = trace.rounds();
        let sorted = |ids: &[u32]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        assert_eq!(rounds.len(), 5);
        let subset = sorted(rounds[0]);
        assert_eq!(subset.len(), 24);
        assert!(subset.windows(2).all(|pair| pair[0] < pair[1]));
        for (earlier, later) in rounds.iter().zip(&rounds[1..]) {
            assert_eq!(sorted(later), subset);
            assert_ne!(earlier, later);
        }
        assert_eq!(trace.law, OrderLaw::UniformSubset);
        assert_ne!(sorted(trained(7, 0.25).rounds()[0]), subset);
    }

    #[test]
    fn a_subset_of_all_examples_is_sgd_bit_for_bit() {
        let sgd = crate::find("sgd").unwrap().method;
        let sgd = Trial { examples: 96, epochs: 5, seed: 6 }.run(sgd, &settings([])).unwrap();
        let whole = trained(6, 1.0);
        assert_eq!((whole.digest, whole.law), (sgd.digest, sgd.law));
        assert_eq!(whole.order, sgd.order);
    }
}

//! # PUDF: examples that are not harder than what the learner can do
//!
//! ## Mechanism
//! How hard examples are, `b_i`, comes from a crowd of learners: `P(right) = σ(θ_j − b_i)`, fitted to who answered what rightly.
//! Before the first pass and behind every one the run's own ability is estimated on the same scale, on a part of the training examples that is held
//! out: `θ̂ = argmax log N(θ; 0, 1) + Σ log P(r_i | θ, b_i)`. If `θ̂` is the best so far, the cap is `θ̂`, else the cap rises by 0.1.
//! A pass is made of `{i : b_i ≤ cap}`, of the `least` easiest ones at the least. With `pace: linear` or `root` it is made of the easiest share `c`
//! instead, `c = e(1 − c₀)/E + c₀` or the root of `e(1 − c₀²)/E + c₀²` in pass `e`.
//!
//! ## Claim
//! Higher accuracy on GLUE, and a shorter time to it, than fine-tuning and than other curricula (abstract; its numbers stand in figures that
//! were not readable here). Against competence schedules the paper has length and word rarity as difficulties.
//!
//! ## Sources
//! Meng, Zeng, Lalor, Yu, arXiv:2408.05326 (Computational Linguistics); nd-ball/cl-irt, branch guangyu @c828e810. Competence:
//! Platanios et al., arXiv:1903.09848.
//!
//! ## Differences
//! - The code trains its crowd on the split that it tests on. Here it learns from examples apart from all splits, and is asked about training
//!   examples alone, the held-out part included, each answer beside its own id; the code collects answers through a shuffled loader.
//! - The crowd is the run's own network from other initial values, looked at four times on the way (`lab::crowd`), in the place of ten pretrained
//!   encoders at 0, 1, 3 and 5 epochs. What it takes is on the clock of the run and in its facts (`crowd_…`), not in its samples.
//! - Difficulties are the mode under N(0, s²), the code's a variational mean (py-irt); the ability is found by Newton's method, the code's by Nelder–Mead.
//! - `in_pass: sorted` is the code's: for most tasks it does not shuffle, so that passes go from easy to hard. Nothing within such an order can be
//!   exchanged, and its law says so; other passes are adaptive, or blockwise where `depth` decides.
//! - `difficulty: shuffled` deals the b of the crowd out at random, a control; `depth` is the number of the example's group, what length
//!   is to sentences where all examples are of one length.
//! - Passes are of whole batches; there is no early stop and no schedule that ends at a quarter of the run.

use lab::crowd::Crowd;
use lab::method::Method;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::orders::paced::Paced;
use lab::pacing::{Capped, Difficulty, InPass, Measured, Origin, Pace, Pacer, Rules};
use lab::recipe::{Recipe, Step};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::shuffle;
use ledger::settings;
use ledger::settings::{Range, SettingError};

settings! {
    /// Settings of `pudf`.
    pub struct Settings {
        /// What passes are made of.
        pace: Pace = Pace::Ability, from "paper";
        /// How hard examples are.
        difficulty: Difficulty = Difficulty::Crowd, from "paper; shuffled is a control";
        /// The order within a pass.
        in_pass: InPass = InPass::Shuffled, from "paper; the code sorts for most tasks";
        /// How much harder than the cap examples may be; 1e9 for all.
        offset: f64 = 0.0, range Range::of(-100.0..=1e9), from "cl-irt, upper_offset";
        /// Fewest examples of a pass.
        least: u32 = 100, range Range::of(1.0..), from "cl-irt, min_train_length of the command line";
        /// Share of the training examples that abilities are estimated on, and that are not trained on; 0 to train on all, at a cap
        /// that rises by 0.1.
        held_out: f64 = 0.1, range Range::of(0.0..=0.5), from "paper: 10 % of train";
        /// E: passes until competence is whole.
        whole: u32 = 5, range Range::of(1.0..), from "cl-irt";
        /// c0: competence at the start.
        start: f64 = 0.01, range Range::above_up_to(0.0, 1.0), from "cl-irt";
        /// Networks of the crowd, of four looks each.
        crowd: u32 = 6, range Range::of(1.0..=100.0), from "assumed";
        /// Steps of each, as a share of the run's.
        crowd_steps: f64 = 0.33, range Range::above_up_to(0.0, 10.0), from "assumed";
        /// Rate of the crowd.
        crowd_lr: f64 = 3e-3, range Range::above(0.0), from "assumed";
        /// Examples that the crowd learns from.
        crowd_examples: u32 = 4000, range Range::of(1.0..), from "assumed";
        /// s: deviation of the prior of b.
        prior: f64 = 3.0, range Range::above(0.0), from "assumed";
        use lm: LmSettings;
        refuse Self::unscaled;
    }
}

impl Settings {
    /// Refuses abilities on a scale that nobody has put learners on.
    fn unscaled(&self) -> Result<(), SettingError> {
        match (self.pace, self.difficulty) {
            (Pace::Ability, Difficulty::Depth) => Err(SettingError::Joint(
                "difficulty is \"depth\", on which there is no ability: set pace to \"linear\" or \"root\""
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "passes over what is not harder than the learner's ability, as a crowd measures it",
    paper: Paper {
        title: "A psychology-based unified dynamic framework for curriculum learning",
        authors: "Meng, Zeng, Lalor, Yu",
        year: 2024,
        reference: "arXiv:2408.05326",
        code: "nd-ball/cl-irt@c828e810",
    },
    claim: PaperClaim {
        statement: "higher accuracy in less time than plain fine-tuning and other curricula",
        number: "none that was readable: figures only",
        source: "abstract",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::GROUPS, offers::APART],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings { pace, in_pass, offset, whole, start, difficulty, prior, .. } = settings;
        let (lm, loss) = (&settings.lm, task.side.loss.unwrap_or(DefaultLoss::Tokens));
        let batch = lm.batch_size.max(1);
        let mut held_out: Vec<u32> = (0..task.examples).collect();
        shuffle(&mut task.streams.generator("held-out"), &mut held_out);
        // At least a batch is left to train on.
        let count = (settings.held_out * f64::from(task.examples)) as u32;
        held_out.truncate(count.min(task.examples.saturating_sub(batch)) as usize);
        held_out.sort_unstable();
        let least = settings.least.max(batch);
        let depths = || task.side.groups.iter().copied().map(f64::from).collect();
        let stated = (difficulty == Difficulty::Depth).then(depths);
        let rules = Rules { pace, in_pass, offset, least, whole, start };
        let pacer = Pacer::new(rules, held_out, stated);
        let steps = settings.crowd_steps * (task.budget_samples / u64::from(batch)) as f64;
        let crowd = Crowd {
            networks: settings.crowd,
            steps: (steps as u64).max(1),
            settings: LmSettings { lr: settings.crowd_lr, ..lm.clone() },
            loss,
        };
        let origin = Origin {
            difficulty,
            crowd,
            apart: task.side.apart.clone().map(|apart| (apart, settings.crowd_examples)),
            prior,
            streams: task.streams.clone(),
        };
        let plain = lm.recipe(task)?;
        let Step::Gradient { optimizer, .. } = plain.step else { return Ok(plain) };
        let objective = Box::new(Measured::new(origin, pacer.clone()));
        let order = Box::new(Paced::new(Capped(pacer), batch));
        Ok(Recipe { order, step: Step::Gradient { objective, optimizer }, ..plain })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::order::OrderLaw;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        let few = [("examples", json!(3_456)), ("noise", json!(0.1))];
        workloads::fixture("slp-resolve", &with(few)).unwrap()
    }

    /// A crowd of one network and few steps: 1,000 samples in batches of 64, unless said otherwise.
    fn run(method: &Method, fixture: &Fixture, pairs: &[(&str, Value)]) -> Trace {
        let mut settings = with([("batch_size", json!(64))]);
        if method.summary == METHOD.summary {
            settings.extend(with([("crowd", json!(1)), ("crowd_examples", json!(640))]));
        }
        settings.extend(pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        fixture.run(method, &settings, 16 * 64, 4).unwrap()
    }

    #[test]
    fn with_a_cap_above_everything_and_nothing_held_out_it_is_lm_adamw_bit_for_bit() {
        let fixture = fixture();
        let plain = run(crate::find("lm-adamw").unwrap().method, &fixture, &[]);
        let all = [("held_out", json!(0.0))];
        let capped = [all[0].clone(), ("offset", json!(1e9))];
        let competent = [all[0].clone(), ("pace", json!("root")), ("start", json!(1.0))];
        for pairs in [&capped[..], &competent] {
            let neutral = run(&METHOD, &fixture, pairs);
            assert_eq!((neutral.digest, &neutral.order.ids), (plain.digest, &plain.order.ids));
        }
        let own = run(&METHOD, &fixture, &all);
        assert_eq!(own.law, OrderLaw::Adaptive);
        assert_ne!(own.digest, plain.digest);
    }

    #[test]
    fn passes_are_of_examples_that_are_trained_on_and_the_record_says_what_went_into_them() {
        let fixture = fixture();
        let own = run(&METHOD, &fixture, &[("least", json!(128))]);
        let facts = |name: &str| own.facts[name].as_array().unwrap().len();
        assert_eq!((own.facts["held_out"].as_u64(), facts("crowd_right")), (Some(345), 4));
        // A look before the first pass and one behind each that was finished.
        assert!(facts("pass_sizes") >= 1 && facts("abilities") >= facts("pass_sizes"));
        assert_eq!(own.facts["crowd_steps"], json!(5));
        let ids: std::collections::BTreeSet<u32> = own.order.ids.iter().copied().collect();
        assert!(ids.len() <= 3_456 - 345);
        let other = |pair: (&'static str, Value)| {
            let pairs = [("least", json!(128)), pair];
            let trace = run(&METHOD, &fixture, &pairs);
            (trace.digest, trace.law)
        };
        let sorted = other(("in_pass", json!("sorted")));
        let shuffled = other(("difficulty", json!("shuffled")));
        assert!(sorted.0 != own.digest && shuffled.0 != own.digest);
        assert_eq!((sorted.1, shuffled.1), (OrderLaw::Sorted, OrderLaw::Adaptive));
        let depth = run(
            &METHOD,
            &fixture,
            &[("pace", json!("linear")), ("difficulty", json!("depth")), ("least", json!(128))],
        );
        assert_eq!(depth.law, OrderLaw::Blockwise);
        // The first pass is of the easiest: values that are stated.
        let groups = &fixture.ready().side.groups;
        assert!(depth.order.ids[..128].iter().all(|id| groups[*id as usize] == 0));
    }

    #[test]
    fn abilities_on_a_scale_without_learners_are_refused() {
        let error = (METHOD.resolve)(&with([("difficulty", json!("depth"))])).unwrap_err();
        assert!(error.to_string().contains("pace"), "{error}");
    }
}

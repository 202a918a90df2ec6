//! # Fixed skill mixtures
//!
//! ## Mechanism
//! Training examples belong to skills (groups). A run is `rounds` rounds; each draws `⌊w_i·n⌋` of its `n`
//! examples from skill `i`, what is left over from the last one, without replacement until a skill's
//! examples are used up, and shuffles them. Equal weights are the *stratified* baseline; the weights 1:1:1:3:5
//! are what Skill-it's code calls *random*.
//!
//! ## Claim
//! None here: these are the baselines of `skill-it`.
//!
//! ## Sources
//! Chen et al., arXiv:2307.14430; HazyResearch/skill-it@807b3bf7 `dataset/lego_dataset.py` (counts, and the
//! mixture of the random baseline).
//!
//! ## Differences
//! The code draws new examples for every round; here the training split is finite and a skill's examples come
//! again when all were used. For other than five skills the weights of *random* are this suite's own.

use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::orders::mixture::{Fixed, Mixture};
use lab::recipe::Recipe;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `skill-stratified`.
    pub struct Settings {
        /// Relative weights of the skills; equal when empty.
        weights: Vec<f64> = Vec::new(), range Range::of(0.0..), from "Skill-it: equal (stratified) or [1, 1, 1, 3, 5] (random)";
        /// Rounds of the run.
        rounds: u32 = 6, range Range::of(1.0..=1000.0), from "Skill-it: 6 rounds of 1,000 steps";
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "skills in fixed shares: the baselines of skill-it",
    paper: Paper {
        title: "Skill-it! A data-driven skills framework for understanding and training language models",
        authors: "Chen et al.",
        year: 2023,
        reference: "arXiv:2307.14430",
        code: "HazyResearch/skill-it@807b3bf7",
    },
    claim: PaperClaim {
        statement: "baseline: the mixture that Skill-it has to beat",
        number: "none of its own",
        source: "arXiv:2307.14430, section 4",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::GROUPS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { weights, rounds, lm } = Settings::read(values)?;
        let skills = task.side.group_names.len();
        let weights = if weights.is_empty() { vec![1.0; skills] } else { weights };
        let total: f64 = weights.iter().sum();
        if weights.len() != skills || total <= 0.0 {
            let reason = format!("{skills} skills need as many weights with a positive sum");
            return Err(task.unfit(reason));
        }
        let shares = weights.into_iter().map(|weight| weight / total).collect();
        let order = Mixture::new(Box::new(Fixed(shares)), rounds, 1, lm.batch_size, task);
        Ok(Recipe { order: Box::new(order), ..lm.recipe(task)? })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::order::OrderLaw;
    use serde_json::json;
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        let settings = with([("size", json!("xs")), ("fewest", json!(2)), ("most", json!(4))]);
        workloads::fixture("slp-trace", &settings).unwrap()
    }

    fn run(fixture: &Fixture, weights: serde_json::Value) -> Trace {
        let settings =
            with([("weights", weights), ("rounds", json!(3)), ("batch_size", json!(30))]);
        fixture.run(&METHOD, &settings, 540, 4).unwrap()
    }

    #[test]
    fn every_round_holds_the_skills_in_their_shares() {
        let fixture = fixture();
        for (weights, expected) in [(json!([]), [60, 60, 60]), (json!([1, 3, 5]), [20, 60, 100])] {
            let trace = run(&fixture, weights);
            let rounds = trace.rounds();
            assert_eq!(rounds.len(), 3);
            for ids in rounds {
                let groups = &fixture.ready().side.groups;
                let counts = [0, 1, 2]
                    .map(|group| ids.iter().filter(|id| groups[**id as usize] == group).count());
                assert_eq!(counts, expected);
            }
            assert_eq!(trace.law, OrderLaw::Blockwise);
        }
    }

    #[test]
    fn no_example_of_a_skill_comes_again_before_all_were_used() {
        let fixture = fixture();
        let trace = run(&fixture, json!([0, 0, 1]));
        // 333 examples of the last skill, 540 draws.
        let mut first = trace.order.ids[..333].to_vec();
        first.sort_unstable();
        first.dedup();
        // Rounds are shuffled, so the second pass may begin before the end of the second round.
        assert!(first.len() >= 330 - 30, "{}", first.len());
        let mut all = trace.order.ids.clone();
        all.sort_unstable();
        let most = all.chunk_by(|a, b| a == b).map(<[u32]>::len).max();
        assert_eq!(most, Some(2));
    }

    #[test]
    fn other_numbers_of_weights_than_skills_are_refused() {
        let settings = with([("weights", json!([1, 2]))]);
        let error = fixture().run(&METHOD, &settings, 30, 0).unwrap_err();
        assert!(error.to_string().contains("3 skills need as many weights"), "{error}");
    }
}

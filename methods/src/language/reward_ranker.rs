//! # RewardRanker: a ranker and a policy that make each other better
//!
//! ## Mechanism
//! A policy imitates. A ranker learns −log σ(s(x, y⁺) − s(x, y⁻)) from pairs of a right and a wrong sample of it, and the policy learns
//! by s as its reward. What it then writes is verified: right responses, and the wrong ones that the ranker likes best, give new pairs,
//! and the next ranker learns from all of them; and again. When it is asked, n responses are sampled and the one of the highest s is
//! given. With one iteration and `imitation: 1` a ranker selects among samples of the imitating policy.
//!
//! ## Claim
//! MultiPL-E, average: 6.7 B policy 66.1, 33 B 69.2, with a ranker 69.9; after two iterations with hard negatives 69.7, with
//! self-training 70.9. Hard negatives by themselves are below one iteration.
//!
//! ## Sources
//! Sorokin, Sedykh, Malykh, arXiv:2504.09643 (ECIR 2025), table 1 at second hand; no code was found.
//!
//! ## Differences
//! - PPO: four passes over each batch of responses, a token's divergence (k1) in its reward, a critic that begins as the ranker
//!   (assumed). `policy_rule: group` has one update on each batch, with advantages relative to a prompt's other responses.
//! - With `restart`, as in the paper, the policy begins again with what imitation left for each ranker; the record's stage then
//!   ends there, and `policy_sha256` among the facts is the policy that wrote for the ranker.
//! - A ranker is a copy of the policy with one number for logits, trained anew each time on all pairs so far.
//! - n, rates and the weight of the divergence are not in what was read. Facts `rankers` say how many pairs there were and how many of
//!   those of questions that were held out each ranker orders rightly, and the one before it: with hard negatives on pairs that were
//!   chosen for its own mistakes, so that its share is too low and no measure of what a second ranker gains.
//! - Imitation and each stretch by a ranker's word have their own warm-up and cosine.
//! - On `slp-synth` the tests are the four pairs that the prompt shows: a ranker could run them. The paper's are hidden.

use std::cell::RefCell;
use std::rc::Rc;

use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::{Recipe, Step};
use lab::reranker::{RankerSettings, Ranking, Selecting, Shared};
use lab::stages::{Stage, Stages};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;

settings! {
    /// Settings of `reward-ranker`.
    pub struct Settings {
        use ranker: RankerSettings;
        use lm: LmSettings;
    }
}

/// Names of the stretches by a ranker's word.
const STRETCHES: [&str; 8] = [
    "policy-1", "policy-2", "policy-3", "policy-4", "policy-5", "policy-6", "policy-7", "policy-8",
];

/// The method.
pub static METHOD: Method = Method {
    summary: "a ranker of samples, a policy that learns its word, and harder pairs from what it writes",
    paper: Paper {
        title: "Iterative self-training for code generation via reinforced re-ranking",
        authors: "Sorokin, Sedykh, Malykh",
        year: 2025,
        reference: "arXiv:2504.09643",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "a ranker selects better than a larger policy writes, and a second iteration improves it",
        number: "MultiPL-E 66.1 (6.7 B), 69.2 (33 B), 69.9 with a ranker, 70.9 after two iterations",
        source: "arXiv:2504.09643, table 1, at second hand",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::VERIFIER, offers::PROMPTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { ranker: settings, lm } = Settings::read(values)?;
        let shares = settings.shares();
        let rate = settings.policy_lr;
        let stage = |name, share, lr_factor| Stage {
            lr_factor,
            schedule: lm.schedule.clone(),
            ..Stage::plain(name, share)
        };
        let mut list = vec![stage("imitation", shares[0], 1.0)];
        let stretches = STRETCHES.into_iter().zip(&shares[1..]).filter(|(_, share)| **share > 0);
        list.extend(stretches.map(|(name, share)| stage(name, *share, rate)));
        let ranker: Shared = Rc::new(RefCell::new(None));
        let (select, samples) = (settings.select, settings.samples);
        let objective = Box::new(Ranking::new(settings, task, &ranker, lm.lr)?);
        let step = Step::Gradient { objective, optimizer: Box::new(lm.optimizer(task.network)?) };
        let writer = Some(Box::new(Selecting { select, samples, ranker }) as _);
        let (stages, schedule) = (Some(Stages::new(list)), Schedule::Constant);
        Ok(Recipe { stages, schedule, step, writer, ..lm.recipe(task)? })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::LabError;
    use lab::trial::with;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture(start: f64) -> Fixture {
        workloads::fixture("chain-sum", &with([("start_accuracy", start.into())])).unwrap()
    }

    fn run<const N: usize>(
        fixture: &Fixture,
        pairs: [(&str, Value); N],
    ) -> Result<Trace, LabError> {
        let small = [("batch_size", 16), ("questions", 100), ("ranker_steps", 10)];
        let mut settings = with(small.map(|(key, value)| (key, value.into())));
        settings.extend(with(pairs));
        fixture.run(&METHOD, &settings, 160, 5)
    }

    #[test]
    fn imitation_alone_is_plain_training_bit_for_bit() {
        let fixture = fixture(0.15);
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = fixture.run(lm, &with([("batch_size", 16.into())]), 160, 5).unwrap();
        let alone = [("imitation", json!(1)), ("iterations", json!(1))];
        let alone = run(&fixture, alone).unwrap();
        assert_eq!((alone.digest, alone.order), (plain.digest, plain.order));
        assert_eq!(alone.facts["rankers"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn every_iteration_has_a_ranker_and_what_it_learns_from_makes_a_difference() {
        let fixture = fixture(0.15);
        let arms = ["hard", "random", "none"];
        let traces = arms.map(|kind| run(&fixture, [("negatives", json!(kind))]).unwrap());
        for trace in &traces {
            let rankers = trace.facts["rankers"].as_array().unwrap();
            assert_eq!(rankers.len(), 2);
            assert!(rankers[0]["pairs"].as_u64() > Some(0), "{rankers:?}");
        }
        let of = |trace: &Trace, place: usize| trace.facts["rankers"][place]["new_pairs"].as_u64();
        assert!(of(&traces[0], 1) > Some(0) && of(&traces[2], 1) == Some(0));
        let second = |trace: &Trace| trace.facts["rankers"][1]["parameters_sha256"].to_string();
        let [hard, random, none] = traces.each_ref().map(second);
        assert!(hard != random && random != none && hard != none);
        // The first ranker is the same, and so is what the policy learns from it.
        let first = |trace: &Trace| trace.facts["rankers"][0].to_string();
        assert_eq!(first(&traces[0]), first(&traces[1]));
        assert_eq!(traces[0].facts["stages"][1]["name"], "policy-1");
    }

    #[test]
    fn a_policy_begins_again_for_each_ranker_unless_it_is_to_go_on() {
        let fixture = fixture(0.15);
        let [again, on] = [true, false].map(|restart| run(&fixture, [("restart", json!(restart))]));
        let [again, on] = [again.unwrap(), on.unwrap()];
        let stages = |trace: &Trace| trace.facts["stages"].as_array().unwrap().clone();
        // The second stretch starts from what imitation left, and the first one learned something.
        let (again_stages, on_stages) = (stages(&again), stages(&on));
        assert_eq!(again_stages[2]["from"], again_stages[0]["parameters_sha256"]);
        assert_ne!(on_stages[2]["from"], on_stages[0]["parameters_sha256"]);
        let wrote = |trace: &Trace, place: usize| {
            let policy = trace.facts["rankers"][place]["policy_sha256"].as_str();
            policy.unwrap().to_owned()
        };
        assert_eq!(wrote(&again, 1), wrote(&on, 1));
        assert_eq!(wrote(&on, 1), on_stages[2]["from"].as_str().unwrap());
        assert_ne!(wrote(&again, 1), again_stages[2]["from"].as_str().unwrap());
        assert_ne!(again.digest, on.digest);
    }

    #[test]
    fn the_rule_by_which_a_rankers_word_is_learned_makes_a_difference() {
        let fixture = fixture(0.15);
        // One stretch: the first step of a stretch warms up, and a stretch of one moves nothing.
        let of =
            |[pair]: [(&str, Value); 1]| run(&fixture, [pair, ("iterations", json!(1))]).unwrap();
        let group = of([("policy_rule", json!("group"))]);
        let [ppo, once] = [4, 1].map(|passes| of([("passes", json!(passes))]));
        assert_eq!(group.facts["rankers"][0], ppo.facts["rankers"][0]);
        assert!(group.digest != ppo.digest && ppo.digest != once.digest);
        let refused =
            |pairs: [(&str, Value); 2]| (METHOD.resolve)(&with(pairs)).unwrap_err().to_string();
        let group = refused([("policy_rule", json!("group")), ("passes", json!(2))]);
        assert!(group.contains("\"passes\" is of policy_rule \"ppo\""), "{group}");
        let single = refused([("iterations", json!(1)), ("restart", json!(false))]);
        assert!(single.contains("\"restart\" is of several iterations alone"), "{single}");
    }

    #[test]
    fn several_rankers_without_steps_by_their_word_are_refused() {
        let found = (METHOD.resolve)(&with([("imitation", json!(1))]));
        let message = found.unwrap_err().to_string();
        assert!(message.ends_with("set iterations to 1 or lower imitation"), "{message}");
    }

    #[test]
    fn a_ranker_of_one_class_is_refused_with_its_stage() {
        // An untrained policy finds no expression.
        let fixture =
            workloads::fixture("countdown", &with([("start_accuracy", 0.0.into())])).unwrap();
        let short = with([("batch_size", 16.into()), ("questions", 5.into()), ("lr", json!(1e-9))]);
        let found = fixture.run(&METHOD, &short, 160, 5);
        let message = found.unwrap_err().to_string();
        assert!(
            message.starts_with("stage \"ranker-1\" leaves nothing: of 40 responses"),
            "{message}"
        );
    }
}

//! # Adapt-∞
//!
//! ## Mechanism
//! Data arrive in turn. At arrival t the candidates are what earlier prunings left and what is new, and the network as it is, θ, looks
//! at them. (1) Vectors: v_j, the gradient of example j's loss by the last layer. (2) Pseudo-skills: k-means of these to `clusters`. (3)
//! Scores: perplexity, EL2N |p − y|, `GraND` |v_j|, entropy of p, and grounding PPL(with image)/PPL(without). (4) Each cluster is sampled by
//! `argmax_s entropy(histogram_50(standardised s))`. (5) Every cluster gets an equal share of the budget; a small one gives what it
//! cannot use to larger ones. (6) Sample: without the lowest and highest 5 %, as many of each of 50 strata of equal width. (7)
//! θ trains on these, in shuffles, until the next arrival. (8) Candidates are pruned for good to the share `keep`, in each
//! cluster to those with the smallest largest cosine to an earlier one. The budget is the share `budget` of all that has arrived.
//!
//! A selection is a function of the digests of θ and of the candidates and of a seed; the record has all three with digests of what was
//! chosen and kept (fact `selections`). Each arrival has an equal part of the run, a fresh optimiser and a cosine.
//!
//! Modes beside `adaptive`: `dedup` prunes as (8) and draws the budget evenly from what is left; `score` samples as (6) by the one
//! score `score` from all that arrived, without clusters; `random` draws evenly; `replay` trains on all that is new and `budget` of what came
//! before, drawn evenly; `sequential` on what is new; `multitask` on everything from the start, as one arrival.
//!
//! ## Claim
//! With a fraction of the data less is forgotten, of rare tasks above all, and there is transfer to later ones (abstract).
//! Here: forgetting and rare skill against `random`, and against `dedup`, which may be what drives it.
//!
//! ## Sources
//! Maharana et al., arXiv:2410.10636 (ICLR 2025), read as abstract and at second hand; adymaharana/adapt-inf@d1b1b25,
//! `data_selection/adapt-inf.py` (the selection alone: training code is not there).
//!
//! ## Differences
//! - The code's histograms have edges at ±4·(deviation before standardising): `edges: published`. A normal's entropy is then 5.6, 4.7 or 1.5
//!   bits at a deviation of 0.1, 1 or 10, so that the selector prefers small scales. Fixed edges are the default.
//! - The gradient is the last layer's where the code has LoRA's. k-means runs over all candidates, not over mini-batches of 10,240.
//! - Scores are standardised within their cluster; what the middle of a cluster cannot fill is drawn from its ends (assumed).
//! - `keep`, and that shares of the pruned pool follow rule (5), are assumed. The alternatives of the code's options are not here.

use lab::method::Method;
use lab::offers;
use lab::optim::base::BaseSettings;
use lab::orders::pool::{FromPool, Pool};
use lab::recipe::{Recipe, Step};
use lab::selection::arriving::{Arriving, ArrivingSettings};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `adapt-inf`.
    pub struct Settings {
        /// Examples per step.
        batch_size: u32 = 32, range Range::of(1.0..), from "assumed";
        use arriving: ArrivingSettings;
        use base: BaseSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "trains on a share of data that arrive in turn: samples of pseudo-skills, and pruning for good",
    paper: Paper {
        title: "Adapt-∞: Scalable continual multimodal instruction tuning via dynamic data selection",
        authors: "Maharana, Yoon, Chen, Bansal",
        year: 2025,
        reference: "arXiv:2410.10636",
        code: "adymaharana/adapt-inf@d1b1b25",
    },
    claim: PaperClaim {
        statement: "with a fraction of the data less is forgotten, of rare tasks above all",
        number: "none in the abstract",
        source: "abstract",
    },
    baseline: Some("sgd"),
    needs: &[offers::LOSS, offers::CLASSES, offers::ARRIVALS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, arriving, base } = Settings::read(values)?;
        let pool = Pool::default();
        let objective = Box::new(Arriving::new(arriving, &pool, task)?);
        let step = Step::Gradient { objective, optimizer: base.build(task.network)? };
        let order = Box::new(FromPool::new(&pool, batch_size));
        Ok(Recipe { order, ..Recipe::of(batch_size, Schedule::Constant, step) })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::Network;
    use lab::selection::signals::{SCORES, Signals, Vectors};
    use lab::trial::with;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("skills", &with([("width", 0.25.into())])).unwrap()
    }

    /// A hundred steps, twenty an arrival.
    fn run(fixture: &Fixture, settings: Value, seed: u64) -> Trace {
        let settings = serde_json::from_value(settings).unwrap();
        fixture.run(&METHOD, &settings, 3_200, seed).unwrap()
    }

    /// Ids consumed in each arrival.
    fn consumed(trace: &Trace) -> Vec<BTreeSet<u32>> {
        trace.order.ids.chunks(640).map(|ids| ids.iter().copied().collect()).collect()
    }

    fn numbers(trace: &Trace, name: &str) -> Vec<u64> {
        let told = trace.facts["selections"].as_array().unwrap();
        told.iter().map(|one| one[name].as_u64().unwrap()).collect()
    }

    #[test]
    fn every_arrival_trains_on_its_share_of_what_has_arrived_and_prunings_halve_what_stays() {
        let trace = run(&fixture(), json!({}), 1);
        assert_eq!(numbers(&trace, "chosen"), [160, 320, 480, 640, 800]);
        assert_eq!(numbers(&trace, "candidates"), [800, 1200, 1400, 1500, 1550]);
        assert_eq!(numbers(&trace, "kept"), [400, 600, 700, 750, 775]);
        let told = &trace.facts["selections"][1];
        let clusters = told["clusters"].as_array().unwrap();
        assert!(clusters.iter().all(|one| SCORES.contains(&one[1].as_str().unwrap())));
        assert_eq!(clusters.iter().map(|one| one[0].as_u64().unwrap()).sum::<u64>(), 1_200);
        for (arrival, ids) in (1_u32..).zip(consumed(&trace)) {
            assert!(ids.iter().all(|id| *id < 800 * arrival), "{arrival}");
        }
    }

    #[test]
    fn what_was_pruned_never_comes_back() {
        let fixture = fixture();
        // With a budget of everything whole passes over all candidates fit into the 1,600 samples of an arrival.
        for (mode, first) in [("adaptive", 800), ("dedup", 400)] {
            let settings = with([("mode", mode.into()), ("budget", 1.into())]);
            let trace = fixture.run(&METHOD, &settings, 8_000, 2).unwrap();
            let parts = trace.order.ids.chunks(1_600);
            let sets: Vec<BTreeSet<u32>> = parts.map(|ids| ids.iter().copied().collect()).collect();
            assert_eq!(sets[0].len(), first);
            for (arrival, pair) in (1_u32..).zip(sets.windows(2)) {
                let old: Vec<u32> =
                    pair[1].iter().copied().filter(|id| *id < 800 * arrival).collect();
                assert!(old.iter().all(|id| pair[0].contains(id)), "{mode}, arrival {arrival}");
                assert!(old.len() < 800 * arrival as usize);
            }
        }
        let trace = run(&fixture, json!({"prune": false}), 2);
        assert_eq!(numbers(&trace, "candidates"), [800, 1600, 2400, 3200, 4000]);
        assert_eq!(numbers(&trace, "kept"), numbers(&trace, "candidates"));
    }

    #[test]
    fn the_same_snapshot_candidates_and_seed_select_the_same_and_others_do_not() {
        let fixture = fixture();
        let [one, again, other] = [(1, 0.05), (1, 0.05), (2, 0.05)]
            .map(|(seed, lr)| run(&fixture, json!({"lr": lr}), seed).facts);
        assert_eq!(one, again);
        assert_ne!(one["selections"][0]["chosen_sha256"], other["selections"][0]["chosen_sha256"]);
        // The first selection looks at a network that no rate has moved yet, the second one does not.
        let slower = run(&fixture, json!({"lr": 0.01}), 1).facts;
        assert_eq!(one["selections"][0], slower["selections"][0]);
        for name in ["snapshot_sha256", "chosen_sha256"] {
            assert_ne!(one["selections"][1][name], slower["selections"][1][name]);
        }
    }

    #[test]
    fn modes_train_on_what_they_say() {
        let fixture = fixture();
        let of = |settings: Value| run(&fixture, settings, 3);
        let sequential = of(json!({"mode": "sequential"}));
        for (arrival, ids) in (0..).zip(consumed(&sequential)) {
            assert!(ids.iter().all(|id| id / 800 == arrival));
        }
        let old =
            |trace: &Trace| consumed(trace)[4].iter().filter(|id| **id < 3_200).count() as f64;
        assert_eq!(numbers(&of(json!({"mode": "replay"})), "chosen"), [800, 960, 1120, 1280, 1440]);
        let replayed = of(json!({"mode": "replay"}));
        assert!((old(&replayed) / 640.0 - 640.0 / 1_440.0).abs() < 0.1);
        let random = of(json!({"mode": "random"}));
        assert!((old(&random) / consumed(&random)[4].len() as f64 - 0.8).abs() < 0.06);
        let multitask = of(json!({"mode": "multitask"}));
        assert!(consumed(&multitask)[0].iter().any(|id| *id >= 3_200));
        assert_eq!(numbers(&multitask, "chosen"), [4_000]);
        let digests: BTreeSet<_> = [
            json!({"mode": "score"}),
            json!({"mode": "score", "score": "perplexity"}),
            json!({"mode": "dedup"}),
            json!({}),
            json!({"edges": "published"}),
            json!({"vectors": "hidden"}),
            json!({"prune": false}),
        ]
        .map(|settings| of(settings).digest.to_string())
        .into();
        assert_eq!(digests.len(), 7);
    }

    #[test]
    fn a_trained_network_needs_no_image_where_the_question_names_the_class() {
        let hinted = workloads::fixture("skills", &with([("hints", 1.into())])).unwrap();
        let grounding = |fixture: &Fixture, network: &Network| {
            let (split, ids) = (&fixture.ready().splits.train, (0..800).collect::<Vec<u32>>());
            let signals = Signals::of(network, split, &ids, 12, Vectors::Hidden).unwrap();
            let sum: f64 = signals.scores[4].iter().map(|score| score.ln().abs()).sum();
            sum / 800.0
        };
        let settings = with([("mode", "sequential".into())]);
        let plain = workloads::fixture("skills", &with([])).unwrap();
        let [with_hints, without] = [&hinted, &plain].map(|fixture| {
            let trained = fixture.run(&METHOD, &settings, 16_000, 1).unwrap().network;
            grounding(fixture, &trained)
        });
        assert!(with_hints < 0.3 * without, "{with_hints} {without}");
    }

    #[test]
    fn what_a_mode_does_not_read_is_refused_with_the_modes_that_do() {
        for (settings, expected) in [
            (
                json!({"mode": "random", "edges": "published"}),
                "setting \"edges\" is of mode \"adaptive\" alone",
            ),
            (json!({"mode": "score", "keep": 0.4}), "setting \"keep\" is of modes"),
            (json!({"prune": false, "keep": 0.4}), "setting \"keep\" is of modes"),
            (json!({"mode": "sequential", "budget": 0.5}), "setting \"budget\" is of modes"),
            (json!({"score": "perplexity"}), "setting \"score\" is of mode \"score\" alone"),
            (json!({"budget": 0}), "setting \"budget\" is 0, but must be"),
        ] {
            let refused = (METHOD.resolve)(&serde_json::from_value(settings).unwrap()).unwrap_err();
            assert!(refused.to_string().starts_with(expected), "{refused}");
        }
    }
}

//! # Reward-directed conditional diffusion
//!
//! ## Mechanism
//! Optimisation as generation. (1) A reward r̂ is fitted to the examples that have one, by ridge regression. (2) All
//! examples get pseudo-labels ŷ = r̂(x) + N(0, ν²). (3) A score of x given ŷ is learnt. (4) Samples are drawn at ŷ = a,
//! `target` deviations of ŷ above its mean; a is swept. Beside it two ways without a conditional score: the best by r̂
//! of several samples (`search: best-of`, of as many evaluations in all), and samples moved along the gradient of r̂
//! until it says a (`search: ascent`).
//!
//! ## Claim
//! For moderate a the true reward of samples grows with a and passes what data have, while they stay on the data's
//! subspace; for large a both get worse (survey, after Yuan et al., without a number here). Here r̂ is fitted on the plane
//! and its gradient lies in it: ascent leaves the density, not the plane.
//!
//! ## Sources
//! Chen, Mei, Fan, Wang, arXiv:2404.07771, a survey without code; Yuan, Huang, Ni, Chen, Wang, arXiv:2307.07055.
//!
//! ## Differences
//! - Examples with a known reward get a pseudo-label too, and train the score; the survey has a set of its own for each.
//! - r̂ is linear, as r is on `plane-rewards`; no network is fitted.
//! - Pseudo-labels are no data: the record lists them (`self_made`) with what they were made by.
//! - The rest is as in `score-matching`.

use std::rc::Rc;

use lab::diffusion::generation;
use lab::method::Method;
use lab::offers;
use lab::score::matching::ScoreSettings;
use lab::score::reward::{Directed, Directing, Search, Wanted};
use lab::side_info::Conditions;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::{Range, SettingError, refuse_idle};

settings! {
    /// Settings of `reward-directed`.
    pub struct Settings {
        /// How samples of a high reward are sought.
        search: Search = Search::Condition, from "arXiv:2404.07771; others: baselines";
        /// a, in deviations of the pseudo-labels above their mean.
        target: f64 = 2.0, range Range::of(-100.0..=100.0), from "assumed; swept";
        /// Samples that the best is taken of.
        candidates: u32 = 8, range Range::of(1.0..=1024.0), from "assumed";
        /// Penalty of the ridge regression on ‖w‖².
        penalty: f64 = 1.0, range Range::above_up_to(0.0, 1e9), from "assumed";
        /// ν, deviation of the noise of pseudo-labels.
        noise: f64 = 0.1, range Range::of(0.0..=100.0), from "assumed";
        use score: ScoreSettings;
        refuse Self::used;
    }
}

impl Settings {
    /// Refuses what would not be used.
    fn used(&self) -> Result<(), SettingError> {
        let best = self.search == Search::BestOf;
        let idle = [
            ("candidates", !best, "search \"best-of\""),
            ("target", best, "search \"condition\" and \"ascent\""),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "samples asked to be worth much, by a score learnt from what a fitted reward says",
    paper: Paper {
        title: "Reward-Directed Conditional Diffusion: Provable Distribution Estimation and Reward Improvement",
        authors: "Yuan, Huang, Ni, Chen, Wang",
        year: 2023,
        reference: "arXiv:2307.07055, as in arXiv:2404.07771",
        code: "none read",
    },
    claim: PaperClaim {
        statement: "asked for more, samples are worth more and stay on the data's subspace, up to a point",
        number: "none in the survey's experiments",
        source: "arXiv:2404.07771, optimisation",
    },
    baseline: Some("score-matching"),
    needs: &[offers::DENOISING, offers::REWARDS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { search, target, candidates, penalty, noise, score } =
            Settings::read(values)?;
        let Some(Conditions::Rewards { labelled }) = generation(task)?.conditions else {
            return Err(task.unfit("nobody says what its examples are worth"));
        };
        // Searches that ask for nothing need what the network says when it is told nothing.
        let drop = if search == Search::Condition { 0.0 } else { 1.0 };
        let fit = [penalty, noise];
        let (objective, fitted) = Directed::new(&score, drop, labelled, fit, task.streams);
        let wanted = Wanted { search, target, candidates };
        let sampler = Directing { wanted, settings: score.clone(), fitted: Rc::clone(&fitted) };
        score.recipe(Box::new(objective), Some(Box::new(sampler)), task.network)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::self_made::SELF_MADE;
    use lab::trial::with;
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    fn stage() -> Fixture {
        let small = [("examples", 512.into()), ("labelled", 128.into()), ("width", 0.25.into())];
        workloads::fixture("plane-rewards", &with(small)).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, with: [(&str, Value); N]) -> Trace {
        let mut settings = lab::trial::with(with);
        settings.insert("batch_size".to_owned(), 64.into());
        stage.run(&METHOD, &settings, 64 * 8, 3).unwrap()
    }

    #[test]
    fn pseudo_labels_are_listed_as_self_made_and_the_target_does_not_touch_training() {
        let stage = stage();
        let plain = run(&stage, []);
        let made = &plain.facts[SELF_MADE][0];
        assert_eq!(
            (&made["kind"], &made["count"], &made["step"]),
            (&"pseudo-labels".into(), &512.into(), &0.into())
        );
        // r̂ of unit-variance points along half of θ, and its noise: √(½ + 0.01).
        let deviation = plain.facts["pseudo_labels"][1].as_f64().unwrap();
        assert!((deviation - 0.714).abs() < 0.08, "{deviation}");
        assert_eq!(run(&stage, [("target", 5.0.into())]).digest, plain.digest);
        assert_ne!(run(&stage, [("noise", 0.5.into())]).digest, plain.digest);
    }

    #[test]
    fn a_score_that_is_told_nothing_is_that_of_plain_matching() {
        let stage = stage();
        let baseline = crate::find("score-matching").unwrap().method;
        let settings = with([("batch_size", 64.into())]);
        let plain = stage.run(baseline, &settings, 64 * 8, 3).unwrap().digest;
        assert_ne!(run(&stage, []).digest, plain);
        for search in ["best-of", "ascent"] {
            let told = run(&stage, [("search", search.into())]);
            // A condition of zeros is no condition; only its weights, which have no gradient, are there too.
            assert_eq!(told.digest, plain, "{search}");
        }
    }

    #[test]
    fn settings_that_nothing_reads_are_refused() {
        for (values, word) in [
            (with([("candidates", 3.into())]), "candidates"),
            (with([("search", "best-of".into()), ("target", 1.0.into())]), "target"),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}

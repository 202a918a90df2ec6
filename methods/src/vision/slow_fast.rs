//! # Slow and fast frames
//!
//! ## Mechanism
//! A film is read within a budget of tokens. The first frame is slow and the anchor; every next one is compared with the anchor,
//! patch by patch in HSV: a patch is similar where the cosine is above 0.7, patches black in both are left out, and a frame with
//! a share of similar patches below θ is slow, and the anchor from there on. A slow frame has n tokens, a fast one
//! `max(⌊ratio·n⌋, least)`, and n is found by bisection within `least` and `most` so that all frames have at most the budget.
//!
//! `policy` says what is compared with it for as many tokens: `uniform-few` reads some frames at equal distances with `detail` tokens and
//! the others not at all, `uniform-many` all frames alike, `random-slow` as many slow frames at other places.
//!
//! ## Claim
//! Slow and fast frames are a better use of a budget than frames at a constant rate (technical report, as part of a model; no number
//! for it alone found). Here: at equal tokens they tell more of what a film shows behind its cuts.
//!
//! ## Sources
//! Keye team, arXiv:2509.01563 (from memory and notes); Kwai-Keye/Keye `vision_process.py` at e115d6c, which encodes and does not train.
//!
//! ## Differences
//! - θ is the code's 0.90 (the paper has 95 %); the published search gives one n too many wherever the cap binds (`search: published`), as
//!   `fixed` does not. Of two black frames the share is no number in the code, and the frame fast, as here.
//! - Frames of 16 × 16 pixels, compared as they are in patches of 4 × 4, for frames of up to 256 patches of 28 × 28; budget, floor and cap
//!   (65,536, 48 and 768 tokens there) to that scale. A frame of n tokens is read in ⌊√n⌋ × ⌊√n⌋ patches, and what is left of n is left.
//! - One small transformer is trained from scratch on what is read, for a language model that has read much.

use lab::LabError;
use lab::method::Method;
use lab::models::watcher::{Encoding, Policy, Reading};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::Recipe;
use lab::seat::TaskInfo;
use lab::slow_fast::{Search, TokenBudget};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::{Range, SettingError, refuse_idle};

settings! {
    /// Settings of `slow-fast`.
    pub struct Settings {
        /// Which frames are read in detail.
        policy: Policy = Policy::SlowFast, from "arXiv:2509.01563";
        /// Tokens of a film, in tokens a frame.
        per_frame: f64 = 6.75, range Range::above_up_to(0.0, 4_096.0), from "assumed";
        /// Share of similar patches below which a frame is slow.
        theta: f64 = 0.9, range Range::of(0.0..=1.0), from "Kwai-Keye/Keye vision_process.py; arXiv:2509.01563: 0.95";
        /// Share of a slow frame's tokens that a fast one has.
        ratio: f64 = 0.3, range Range::of(0.0..=1.0), from "Kwai-Keye/Keye vision_process.py";
        /// Fewest tokens of a frame that is read.
        least: u32 = 4, range Range::of(1.0..=4_096.0), from "assumed; Kwai-Keye/Keye vision_process.py: 48";
        /// Most tokens of a slow frame.
        most: u32 = 64, range Range::of(1.0..=4_096.0), from "assumed: all of a frame; Kwai-Keye/Keye vision_process.py: 768";
        /// How the tokens of a slow frame are searched for.
        search: Search = Search::Fixed, from "Kwai-Keye/Keye vision_process.py has \"published\"";
        /// Tokens of a frame of policy uniform-few.
        detail: u32 = 16, range Range::of(1.0..=4_096.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::WarmCosine { warmup: 0.05, floor: 0.0 }, from "assumed";
        use adamw: AdamwSettings;
        refuse Self::fit;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "frames that differ from the last slow one are read in detail, the others coarsely",
    paper: Paper {
        title: "Kwai Keye-VL 1.5 Technical Report",
        authors: "Keye team",
        year: 2025,
        reference: "arXiv:2509.01563",
        code: "Kwai-Keye/Keye@e115d6c, without training",
    },
    claim: PaperClaim {
        statement: "a budget of tokens is better spent on frames that differ",
        number: "none for it alone",
        source: "arXiv:2509.01563, by notes",
    },
    baseline: None,
    needs: &[offers::LOSS, offers::FILMS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Refuses what does not hold together or would not be used.
    fn fit(&self) -> Result<(), SettingError> {
        let Self { policy, least, most, .. } = *self;
        if least > most {
            let reason = format!(
                "setting \"least\" is {least}, but must be at most \"most\", which is {most}"
            );
            return Err(SettingError::Joint(reason));
        }
        let compared = matches!(policy, Policy::SlowFast | Policy::RandomSlow);
        let own = |name| (name, !compared, "policies with slow frames");
        let idle = [
            own("theta"),
            own("ratio"),
            own("least"),
            own("most"),
            own("search"),
            ("detail", policy != Policy::UniformFew, "policy \"uniform-few\""),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    fn encoding(&self, frames: u32) -> Encoding {
        let Self { policy, theta, ratio, search, .. } = *self;
        let [least, most, detail] = [self.least, self.most, self.detail].map(u64::from);
        let tokens = (self.per_frame * f64::from(frames)).floor() as u64;
        let budget = TokenBudget { tokens, ratio, least, most };
        Encoding { policy, theta, budget, search, detail }
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        let frames = task.side.films;
        let encoding = self.encoding(frames);
        let (tokens, needed) = (
            encoding.budget.tokens,
            match self.policy {
                Policy::UniformFew => u64::from(self.detail),
                Policy::UniformMany => u64::from(frames),
                Policy::SlowFast | Policy::RandomSlow => u64::from(frames) * u64::from(self.least),
            },
        );
        if tokens < needed {
            return Err(task.unfit(format!(
                "setting \"per_frame\" is {}: {tokens} tokens for {frames} frames, which need {needed} at least: raise it",
                self.per_frame
            )));
        }
        let optimizer = Box::new(Adamw::new(self.adamw.clone(), task.network, |_, _| true)?);
        let plain = Recipe::plain(self.batch_size, self.schedule.clone(), optimizer, task)?;
        Ok(Recipe { parametrisation: Some(Box::new(Reading(encoding))), ..plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::watcher::Watcher;
    use lab::trial::with;
    use serde_json::Value;
    use training::trial::Trace;

    /// Four steps of 8.
    fn run<const N: usize>(changed: [(&str, Value); N]) -> Result<Trace, LabError> {
        let stage = workloads::fixture(
            "scene-cuts",
            &with([("examples", 32.into()), ("frames", 16.into())]),
        )?;
        let mut settings = with([("batch_size", 8.into())]);
        settings.extend(with(changed));
        stage.run(&METHOD, &settings, 8 * 4, 3)
    }

    #[test]
    fn every_policy_reads_films_within_one_budget_and_learns_something_else() {
        let stage = workloads::fixture(
            "scene-cuts",
            &with([("examples", 32.into()), ("frames", 16.into())]),
        );
        let (films, _) = stage.unwrap().ready().splits.train.rows(0, 32).unwrap();
        let policies = ["slow-fast", "random-slow", "uniform-few", "uniform-many"];
        let traces = policies.map(|policy| run([("policy", policy.into())]).unwrap());
        let read =
            traces.iter().map(|trace| Watcher::of(&trace.network).unwrap().read(&films).unwrap());
        let read: Vec<Vec<u64>> = read.collect();
        assert!(read.iter().flatten().all(|tokens| *tokens <= 108), "{read:?}");
        assert_eq!(read[0], read[1]);
        // Six frames of 16; 16 of 4.
        assert_eq!((read[2][0], read[3][0]), (96, 64));
        for (index, trace) in traces.iter().enumerate() {
            assert!(traces[..index].iter().all(|other| other.digest != trace.digest));
        }
    }

    #[test]
    fn with_a_threshold_of_nothing_only_the_first_frame_is_slow() {
        let stage = workloads::fixture(
            "scene-cuts",
            &with([("examples", 32.into()), ("frames", 16.into())]),
        );
        let (films, _) = stage.unwrap().ready().splits.train.rows(0, 4).unwrap();
        let trace = run([("theta", 0.into())]).unwrap();
        let read = Watcher::of(&trace.network).unwrap().read(&films).unwrap();
        // n + 15·max(⌊0.3n⌋, 4) within 108: n = 19 with 5 each, read as 16 and 4.
        assert_eq!(read, [16 + 15 * 4; 4]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_remedy() {
        for (values, word) in [
            (with([("least", 65.into())]), "at most \"most\""),
            (with([("policy", "uniform-many".into()), ("theta", 0.5.into())]), "\"theta\" is of"),
            (with([("detail", 9.into())]), "\"detail\" is of policy \"uniform-few\""),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = run([("per_frame", 3.0.into())]).unwrap_err().to_string();
        assert!(
            error.contains("48 tokens for 16 frames, which need 64 at least: raise it"),
            "{error}"
        );
    }
}

//! # Context curriculum
//!
//! ## Mechanism
//! The context of a decoder with rotary positions grows from stage to stage, and the base of the positions with it: stage i of
//! `stages` reads rows in contexts of `longest / growth^(stages − 1 − i)` tokens with a base between `base` and `long_base`, in equal ratios. A
//! short stage reads the same rows in parts that do not see each other, and nothing is asked of a part that another one tells.
//! So all arms have as many tokens a step, and a short context costs fewer operations: `operations` counts 6 a token for each
//! weight of a product and 6·d·ℓ for each block at context ℓ. `stages: 1` is the long context from the beginning.
//!
//! ## Claim
//! From 8 K to 128 K tokens, with the base reset to 8,000,000, in one annealing stage of four (technical report, by notes; no
//! comparison found). Here: short to long comes to the same recall at the whole length on fewer operations than long alone.
//!
//! ## Sources
//! Keye team, arXiv:2509.01563 (by notes). Rotary positions: Su et al., arXiv:2104.09864. No training code was released.
//!
//! ## Differences
//! - Text alone: of the four stages (a projector, all at 8 K, annealing at 128 K, reinforcement) the change of context, on a task that asks for nothing
//!   else; no mixture of video, images and text, no annealing of data.
//! - Three lengths for two, and a base between; lengths, shares of the steps and the first base are assumed.
//! - Every stage begins with a fresh optimiser; the schedule goes over the whole run.

use lab::LabError;
use lab::context::{Counted, Growing, Within, spans};
use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::{Recipe, Step};
use lab::seat::{TaskInfo, View};
use lab::stages::{Shares, Stage, Stages};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::{Range, SettingError, refuse_idle};

const NAMES: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

settings! {
    /// Settings of `context-curriculum`.
    pub struct Settings {
        /// Stages; 1 for the longest context alone.
        stages: u32 = 3, range Range::of(1.0..=5.0), from "assumed; arXiv:2509.01563: 2 lengths";
        /// How many times longer a stage's context is than that of the one before.
        growth: u32 = 4, range Range::of(2.0..=64.0), from "assumed; arXiv:2509.01563: 16";
        /// Share of the steps in the first stage; the others have equal parts of the rest.
        first_share: f64 = 0.5, range Range::of(0.001..=0.999), from "assumed";
        /// Base of the positions in the first stage.
        base: f64 = 1e4, range Range::above(0.0), from "RoPE, arXiv:2104.09864";
        /// Base in the last one.
        long_base: f64 = 8e6, range Range::above(0.0), from "arXiv:2509.01563, by notes";
        use lm: LmSettings;
        refuse Self::fit;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a context that grows from stage to stage, and the base of rotary positions with it",
    paper: Paper {
        title: "Kwai Keye-VL 1.5 Technical Report",
        authors: "Keye team",
        year: 2025,
        reference: "arXiv:2509.01563",
        code: "none for training",
    },
    claim: PaperClaim {
        statement: "a context that grows comes to long contexts on fewer operations",
        number: "none: 8 K, then 128 K at a base of 8,000,000",
        source: "arXiv:2509.01563, by notes",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::ROTARY],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

impl Settings {
    /// Refuses what would not be used.
    fn fit(&self) -> Result<(), SettingError> {
        let one = |name| (name, self.stages == 1, "several stages");
        let idle = [one("growth"), one("first_share"), one("base")];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        let Self { stages, growth, base, long_base, .. } = *self;
        let longest = task.side.rotary as usize;
        let shortest = (growth as usize).pow(stages - 1);
        // Keys and values come in twos.
        if !longest.is_multiple_of(2 * shortest) {
            return Err(task.unfit(format!(
                "settings \"growth\" {growth} and \"stages\" {stages} cut {longest} tokens in {shortest} parts, which are of no even length: take fewer or smaller steps"
            )));
        }
        let list = spans(longest, stages, growth as usize, [base, long_base]);
        let first = if stages == 1 { 1_000 } else { (1_000.0 * self.first_share).round() as u32 };
        // All times the number of the others, so that these are whole.
        let others = (stages - 1).max(1);
        let share = |stage: usize| if stage == 0 { first * others } else { 1_000 - first };
        let each = NAMES.iter().zip(&list).enumerate().map(|(at, (name, span))| {
            let view =
                (span.context < longest).then(|| Box::new(Within(span.context)) as Box<dyn View>);
            Stage { view, ..Stage::plain(name, share(at)) }
        });
        let stages: Vec<Stage> = each.collect();
        let shares = Shares::new(stages.iter().map(|stage| stage.share));
        let optimizer = Box::new(self.lm.optimizer(task.network)?);
        let step = Step::Gradient { objective: Box::new(Counted::default()), optimizer };
        let plain = Recipe::of(self.lm.batch_size, self.lm.schedule.clone(), step);
        Ok(Recipe {
            clip_norm: (self.lm.clip > 0.0).then_some(self.lm.clip),
            stages: Some(Stages::new(stages)),
            parametrisation: Some(Box::new(Growing::new(list, shares))),
            ..plain
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::rotary::Rotary;
    use lab::trial::with;
    use ledger::record::stages::{STAGES, check, read};
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        let some = [("examples", 32.into()), ("length", 64.into()), ("width", 16.into())];
        workloads::fixture("recall", &with(some)).unwrap()
    }

    /// Eight steps of 4.
    fn run<const N: usize>(changed: [(&str, Value); N]) -> Result<Trace, LabError> {
        let mut settings = with([("batch_size", 4.into())]);
        settings.extend(with(changed));
        fixture().run(&METHOD, &settings, 4 * 8, 3)
    }

    #[test]
    fn stages_have_their_steps_and_every_arm_as_many_tokens() {
        let grown = run([]).unwrap();
        let list = read(&grown.facts[STAGES]).unwrap();
        assert_eq!(check(&list, 8, Some(grown.digest)), Ok(()));
        let steps: Vec<_> = list.iter().map(|entry| entry.steps.unwrap().first).collect();
        assert_eq!(steps, [0, 4, 6]);
        let long = run([("stages", 1.into())]).unwrap();
        assert_eq!(grown.facts["forward_tokens"], 8 * 4 * 64);
        assert_eq!(long.facts["forward_tokens"], 8 * 4 * 64);
        let network = fixture().network(3).unwrap();
        let decoder = *Rotary::of(&network).unwrap();
        let of = |steps: u64, length: usize| steps * 4 * 64 * decoder.operations(length);
        assert_eq!(grown.facts["operations"], of(4, 4) + of(2, 16) + of(2, 64));
        assert_eq!(long.facts["operations"], of(8, 64));
    }

    #[test]
    fn what_is_kept_has_the_longest_context_and_the_last_base() {
        let trace = run([("long_base", 5e5.into())]).unwrap();
        let decoder = *Rotary::of(&trace.network).unwrap();
        assert_eq!((decoder.context, decoder.base.round()), (64, 5e5));
        assert_ne!(run([]).unwrap().digest, trace.digest);
    }

    #[test]
    fn one_stage_at_the_workloads_base_is_plain_training_bit_for_bit() {
        let one = run([("stages", 1.into()), ("long_base", 1e4.into())]).unwrap();
        let plain = crate::find("lm-adamw").unwrap().method;
        let plain = fixture().run(plain, &with([("batch_size", 4.into())]), 4 * 8, 3).unwrap();
        assert_eq!(one.digest, plain.digest);
    }

    #[test]
    fn contexts_that_do_not_divide_and_settings_of_stages_that_are_not_there_are_refused() {
        let error = run([("growth", 8.into())]).unwrap_err().to_string();
        assert!(error.contains("take fewer or smaller steps"), "{error}");
        let idle = with([("stages", 1.into()), ("growth", 2.into())]);
        let error = (METHOD.resolve)(&idle).unwrap_err().to_string();
        assert!(error.contains("\"growth\" is of several stages"), "{error}");
    }
}

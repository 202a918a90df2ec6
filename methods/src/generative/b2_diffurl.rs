//! # B²-DiffuRL: policy gradients with a backward curriculum of steps, and branches
//!
//! ## Mechanism
//! `ddpo` with two changes, each of which can be switched off:
//! - **backward progress** (`progress`): step i of S trains only the last `first` + ⌊(T − `first` + 1)·i/S⌋ of the T moves,
//!   from 14 to all 20;
//! - **branches** (`branches`): samples share their moves up to there, then each beginning goes on `branches` times by noise
//!   of its own. Rewards are standardised over this step and the `history` before it; of a beginning the best branch is
//!   learnt from if it stands at `threshold` or above, the worst if below −`threshold`: two of five at most.
//!
//! ## Claim
//! Better alignment than DDPO at preserved diversity (abstract; no number was read).
//!
//! ## Sources
//! Hu et al., arXiv:2503.11240 (CVPR 2025); hu-zijing/B2-DiffuRL@e3a9129 `run_process.sh`, `config/stage_process.py`.
//!
//! ## Differences
//! - The abstract compares within a beginning; the code, and this, uses branches to select alone: advantages are
//!   standardised over steps.
//! - The configuration file has thresholds of 0.7 and three branches, the script that is run 0.5 and five, as here.
//! - A step's samples are its batch: with b branches it has 1/b as many beginnings. So arms are equal in rewards that are
//!   asked for; what branches save in moves, and leave out in selection, the record counts.
//! - `progress: all` has no moves before those that are trained: its branches part at x_T, and share that noise alone.
//! - The rest is as in `ddpo`: one context, all of the network, a model trained beside the run.

use lab::method::Method;
use lab::offers;
use lab::score::policy::PolicySettings;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::{choice, settings};

choice! {
    /// Which moves are trained.
    pub enum Progress {
        /// A last part of them that grows.
        Backward = "backward",
        /// All of them.
        All = "all",
    }
}

settings! {
    /// Settings of `b2-diffurl`.
    pub struct Settings {
        /// Which moves are trained.
        progress: Progress = Progress::Backward, from "arXiv:2503.11240";
        /// How many of the last moves are trained in the beginning.
        first: u32 = 14, range Range::of(1.0..=1000.0), from "B2-DiffuRL run_process.sh";
        /// Branches of each beginning; 1 for none.
        branches: u32 = 5, range Range::of(1.0..=64.0), from "B2-DiffuRL run_process.sh";
        /// Standardised reward that the best branch must reach, and the worst stay below the negative of.
        threshold: f64 = 0.5, range Range::of(0.0..=100.0), from "B2-DiffuRL run_process.sh";
        /// Steps before this one that rewards are standardised with.
        history: u32 = 8, range Range::of(0.0..=1000.0), from "B2-DiffuRL run_process.sh";
        use policy: PolicySettings;
        refuse Self::fits;
    }
}

impl Settings {
    fn fits(&self) -> Result<(), SettingError> {
        let Self { first, policy: PolicySettings { steps, .. }, .. } = *self;
        let all = self.progress == Progress::All;
        let idle = [
            ("first", all, "progress \"backward\""),
            ("threshold", self.branches == 1, "more \"branches\" than 1"),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)?;
        if !all && first > steps {
            let reason = format!("first is {first}, above steps, which is {steps}");
            return Err(SettingError::Joint(reason));
        }
        Ok(())
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "policy gradients of a growing last part of denoising steps, selected among branches",
    paper: Paper {
        title: "Towards Better Alignment: Training Diffusion Models with Reinforcement Learning Against Sparse Rewards",
        authors: "Hu et al.",
        year: 2025,
        reference: "arXiv:2503.11240",
        code: "hu-zijing/B2-DiffuRL@e3a9129",
    },
    claim: PaperClaim {
        statement: "better alignment than DDPO at preserved diversity",
        number: "none that was read",
        source: "abstract",
    },
    baseline: Some("ddpo"),
    needs: &[offers::DENOISING, offers::REWARD],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings { progress, first, branches, threshold, history, policy } = settings;
        if policy.score.batch_size < branches {
            let reason = format!(
                "a step of {} samples has no beginning with {branches} branches: set \"batch_size\" to as many or \
                 more, or \"branches\" to fewer",
                policy.score.batch_size
            );
            return Err(task.unfit(reason));
        }
        let first = if progress == Progress::All { policy.steps } else { first };
        policy.recipe(policy.rules([first, branches, history], threshold), task)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    fn stage() -> Fixture {
        workloads::fixture("ring-steer", &with([("width", 0.25.into())])).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, id: &str, changed: [(&str, Value); N]) -> Trace {
        let mut settings = with([("batch_size", 40.into())]);
        settings.extend(with(changed));
        stage.run(crate::find(id).unwrap().method, &settings, 40 * 4, 3).unwrap()
    }

    #[test]
    fn without_progress_branches_and_history_it_is_the_baseline_bit_for_bit() {
        let stage = stage();
        let off: [(&str, Value); 3] =
            [("progress", "all".into()), ("branches", 1.into()), ("history", 0.into())];
        let plain = run(&stage, "ddpo", []);
        assert_eq!(run(&stage, "b2-diffurl", off.clone()).digest, plain.digest);
        let each: [(&str, Value); 3] =
            [("progress", "backward".into()), ("branches", 5.into()), ("history", 8.into())];
        for one in each {
            let mut with = off.clone();
            for (name, value) in &mut with {
                if *name == one.0 {
                    *value = one.1.clone();
                }
            }
            assert_ne!(run(&stage, "b2-diffurl", with).digest, plain.digest, "{}", one.0);
        }
    }

    #[test]
    fn branches_save_moves_and_leave_out_samples_and_the_last_stage_trains_all_moves_it_can() {
        let stage = stage();
        let (both, plain) = (run(&stage, "b2-diffurl", []), run(&stage, "ddpo", []));
        assert_eq!(both.facts["reward_evaluations"], plain.facts["reward_evaluations"]);
        let count = |trace: &Trace, name: &str| trace.facts[name].as_u64().unwrap();
        for name in ["network_evaluations", "samples_learnt_from"] {
            assert!(count(&both, name) < count(&plain, name), "{name}");
        }
        // Of four steps the last is i = 3: 14 + ⌊7·3/4⌋.
        assert_eq!(count(&both, "steps_learnt"), 19);
        assert!(count(&both, "samples_learnt_from") <= 4 * 16);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused_with_the_setting() {
        for (values, word) in [
            (with([("first", 21.into())]), "above steps"),
            (with([("branches", 1.into()), ("threshold", 0.7.into())]), "threshold"),
            (with([("progress", "all".into()), ("first", 3.into())]), "first"),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let few = with([("batch_size", 4.into())]);
        let error = stage().run(&METHOD, &few, 40, 3).unwrap_err().to_string();
        assert!(error.contains("\"batch_size\""), "{error}");
    }
}

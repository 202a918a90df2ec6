//! # PSI: probabilistic structure integration
//!
//! ## Mechanism
//! (1) **Predict**: frames are codes of patches, told as (pointer₁, code₁, pointer₂, code₂, …) in an order of its own for every
//! example and epoch; a causal transformer Ψ learns every code given the pairs before it and its pointer, so that
//! p(patch | any subset) can be asked for. (2) **Extract** flow at a place q from Ψ as it is then: a white bump at q of the first
//! frame, the same random subset m of the second frame revealed to both, `KL_ij = KL(p(·|F₁, F₂[m]) ‖ p(·|F̃₁, F₂[m]))` in the mean over
//! `masks` subsets; flow is argmax KL − q, and none below `threshold`. (3) **Integrate**: steps of up to `reach` become new codes at
//! pointers of their own, stand among the pixels as conditions and as targets, and training goes on from Ψ.
//!
//! `structures` says what is integrated: `extracted`, the same dealt anew over all places (`shuffled`), the `true` flow, or `none`: all of
//! them learn from as many codes.
//!
//! ## Claim
//! Flow by KL is nearer than by differences of levels (end-point error 5.08 for 8.48 on 3 % of DAVIS, arXiv:2507.09082), and the
//! whole cycle improves prediction (abstract of arXiv:2509.09737, no number found). Random access answers what a fixed order
//! cannot.
//!
//! ## Sources
//! Kotar et al., arXiv:2509.09737, of which the training code was not found; Kim et al., arXiv:2507.09082 (KL tracing, by
//! text). The order of pairs is from memory.
//!
//! ## Differences
//! - One cycle, flow alone: no segments, no depth, no camera. One scale of tracing where the paper has eight.
//! - A patch is a pixel of four levels, not a learned code of 8 × 8 pixels; the bump's σ of 2 pixels is less than a patch there, and
//!   here a quarter of what would reach the next one.
//! - A pair is one slot of the transformer: it holds the pair before and the pointer that is asked for, which is what a pointer as a
//!   token of its own says ([`Pointers`](lab::models::pointers)).
//! - Structures are told at random among the patches (`in-turn`: among those of the second frame); queries are pixels that are not black.
//! - Ψ is trained beside the run (`base_budgets` budgets at `base_lr`), named in the record, and shared by runs of a seed.

use lab::LabError;
use lab::method::Method;
use lab::network::Network;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::{Recipe, Step};
use lab::seat::TaskInfo;
use lab::side_info::Patches;
use lab::stages::{Stage, Stages, Tutor};
use lab::structures::Tracing;
use lab::structures::random_access::{Grown, PatchOrder, RandomAccess, Rules, Structures};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::{Range, SettingError, Values, refuse_idle};
use ledger::streams::Streams;

settings! {
    /// Settings of `psi`.
    pub struct Settings {
        /// The order in which patches are told.
        order: PatchOrder = PatchOrder::Mixed, from "arXiv:2509.09737, from memory";
        /// Pairs of a sequence; what structures take is taken from the pixels at its end.
        pairs: u32 = 128, range Range::of(1.0..=4_096.0), from "assumed: all pixels of two frames";
        /// What stands among the pixels.
        structures: Structures = Structures::Extracted, from "arXiv:2509.09737";
        /// Places of an example that are asked for their flow.
        queries: u32 = 2, range Range::of(1.0..=64.0), from "assumed";
        /// Largest step along an axis that has a code.
        reach: u32 = 3, range Range::of(0.0..=16.0), from "assumed";
        /// Subsets of the second frame that are revealed, one after the other.
        masks: u32 = 5, range Range::of(1.0..=64.0), from "arXiv:2507.09082";
        /// Pixels of a subset.
        revealed: u32 = 16, range Range::of(0.0..=63.0), from "assumed";
        /// Height of the bump, where white is 255.
        amplitude: f64 = 255.0, range Range::of(0.0..=255.0), from "arXiv:2507.09082";
        /// Standard deviation of the bump, in pixels.
        sigma: f64 = 0.5, range Range::above(0.0), from "assumed; arXiv:2507.09082: 2, of 256 pixels in patches of 8";
        /// The least that the largest KL has to be, in nats.
        threshold: f64 = 0.01, range Range::of(0.0..), from "assumed";
        /// Samples that Ψ is trained on before the run, in budgets of it.
        base_budgets: f64 = 4.0, range Range::above_up_to(0.0, 1000.0), from "assumed";
        /// Learning rate of that training.
        base_lr: f64 = 3e-3, range Range::above(0.0), from "assumed";
        use lm: LmSettings;
        refuse Self::fit;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "frames in any order of patches; flow traced out of the model goes back in as codes of its own",
    paper: Paper {
        title: "World Modeling with Probabilistic Structure Integration",
        authors: "Kotar et al.",
        year: 2025,
        reference: "arXiv:2509.09737",
        code: "none found for training",
    },
    claim: PaperClaim {
        statement: "flow by KL is nearer than by differences of levels; integrated, it improves prediction",
        number: "end-point error 5.08 for 8.48; none for prediction",
        source: "arXiv:2507.09082; arXiv:2509.09737, abstract",
    },
    baseline: None,
    needs: &[offers::PATCHES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| Settings::read(values)?.recipe(task),
};

/// Settings that what is extracted hangs on, beside Ψ.
const TRACED: [&str; 6] = ["queries", "masks", "revealed", "amplitude", "sigma", "threshold"];
/// Settings that Ψ hangs on, but for its own rate.
const BASE: [&str; 9] =
    ["order", "pairs", "batch_size", "schedule", "beta1", "beta2", "eps", "weight_decay", "clip"];

impl Settings {
    /// Refuses what would not be used, or could not be asked.
    fn fit(&self) -> Result<(), SettingError> {
        let Self { order, structures, .. } = *self;
        if order == PatchOrder::Raster && structures != Structures::None {
            let reason = "order \"raster\" answers no random subset, which tracing asks for: set \"structures\" to \"none\"";
            return Err(SettingError::Joint(reason.to_owned()));
        }
        let none = structures == Structures::None;
        let untraced = none || structures == Structures::True;
        let idle = TRACED.map(|name| match name {
            "queries" => (name, none, "structures"),
            _ => (name, untraced, "structures that are traced"),
        });
        let reach = [("reach", none, "structures")];
        refuse_idle(&self.values(), &Self::default().values(), &[&idle[..], &reach[..]].concat())
    }

    fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if task.teacher.is_some() {
            return Err(
                task.unfit("trains what it goes on from itself: name no teacher in the arm")
            );
        }
        let Some(patches) = task.side.patches.as_deref() else {
            return Err(task.unfit("its examples are no frames of patches"));
        };
        let (all, told) = (2 * patches.count(), self.pairs as usize);
        if told > all {
            let reason =
                format!("setting \"pairs\" is {told}, but two frames have {all}: set it to {all}");
            return Err(task.unfit(reason));
        }
        let rules = self.rules(patches);
        let grown = match self.structures {
            Structures::None => Grown::new(0),
            _ => Grown::new(rules.codes()),
        };
        let network = grown.template(task.network, task.streams)?;
        let stages = vec![Stage::plain("integrate", 1)];
        let mut stages = Stages::new(stages);
        stages.tutor = Some(self.base(task, rules)?);
        let own = self.steps(rules, self.lm.lr, &network, task.streams, task)?;
        Ok(Recipe { stages: Some(stages), parametrisation: Some(Box::new(grown)), ..own })
    }

    fn rules(&self, patches: &Patches) -> Rules {
        let Self { order, structures, masks, amplitude, sigma, threshold, .. } = *self;
        let [pairs, queries, revealed] =
            [self.pairs, self.queries, self.revealed].map(|count| count as usize);
        let Patches { side, levels, .. } = *patches;
        let tracing = Tracing { side, levels, amplitude, sigma, masks, revealed, threshold };
        Rules { order, pairs, structures, queries, reach: self.reach as i32, tracing }
    }

    /// What Ψ and the run have in common.
    fn steps(
        &self,
        rules: Rules,
        lr: f64,
        network: &Network,
        streams: &Streams,
        task: &TaskInfo<'_>,
    ) -> Result<Recipe, LabError> {
        let traced = self.kept(&TRACED);
        let objective = Box::new(RandomAccess::new(rules, traced, streams, task)?);
        let lm = LmSettings { lr, ..self.lm.clone() };
        let optimizer = Box::new(lm.optimizer(network)?);
        let step = Step::Gradient { objective, optimizer };
        let plain = Recipe::of(lm.batch_size, lm.schedule, step);
        Ok(Recipe { clip_norm: (lm.clip > 0.0).then_some(lm.clip), ..plain })
    }

    /// Ψ before anything is integrated.
    fn base(&self, task: &TaskInfo<'_>, rules: Rules) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let rules = Rules { structures: Structures::None, ..rules };
        let network = task.network.duplicate();
        let steps = self.steps(rules, self.base_lr, &network, &Streams::new(seed), task)?;
        let samples = (self.base_budgets * task.budget_samples as f64).round() as u64;
        let mut settings = self.kept(&BASE);
        settings.insert("base_lr".to_owned(), self.base_lr.into());
        Ok(Tutor { name: "psi", network, recipe: Box::new(steps), samples, settings, seed })
    }

    /// These settings alone.
    fn kept(&self, names: &[&str]) -> Values {
        let mut values = self.values();
        values.retain(|name, _| names.contains(&name.as_str()));
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::pointers::Pointers;
    use lab::self_made::SELF_MADE;
    use lab::trial::with;
    use ledger::record::stages::{STAGES, StageEntry, check, read};
    use serde_json::Value;
    use training::trial::Trace;

    /// Four steps of 16, behind eight of Ψ.
    fn run<const N: usize>(changed: [(&str, Value); N]) -> Result<Trace, LabError> {
        let some = [("examples", 32.into()), ("width", 12.into()), ("depth", 1.into())];
        let stage = workloads::fixture("blobvid", &with(some))?;
        let mut settings = with([("batch_size", 16.into()), ("base_budgets", 2.into())]);
        settings.extend(with(changed));
        stage.run(&METHOD, &settings, 16 * 4, 3)
    }

    fn list(trace: &Trace) -> Vec<StageEntry> {
        let list = read(&trace.facts[STAGES]).unwrap();
        assert_eq!(check(&list, 4, Some(trace.digest)), Ok(()));
        list
    }

    #[test]
    fn every_arm_goes_on_from_one_model_and_learns_from_as_many_codes() {
        let arms = ["extracted", "shuffled", "true", "none"];
        let traces =
            arms.map(|arm| run([("structures", arm.into()), ("threshold", 0.01.into())]).unwrap());
        let base = list(&traces[3]);
        assert_eq!((base[0].name.as_str(), base[0].made.unwrap().samples), ("psi", 128));
        // Without structures the run begins with Ψ to the bit.
        assert_eq!(base[1].from, base[0].parameters_sha256);
        for (arm, trace) in arms.iter().zip(&traces) {
            assert!(list(trace)[0] == base[0], "{arm}");
            assert_eq!(trace.facts["token_updates"], 4 * 16 * 128, "{arm}");
            let codes = Pointers::of(&trace.network).unwrap().shape.codes;
            assert_eq!(codes, if *arm == "none" { 0 } else { 49 });
        }
        // Two places of 32 examples are traced: five masks of a clean pass and two changed ones.
        let evaluations = traces.map(|trace| trace.facts["network_evaluations"].clone());
        let traced = 4 * 16 + 32 * 5 * 3;
        assert_eq!(evaluations, [traced, traced, 64, 64].map(Value::from));
    }

    #[test]
    fn what_was_extracted_is_listed_with_its_model_and_shuffling_keeps_its_number() {
        let [own, dealt] = ["extracted", "shuffled"]
            .map(|arm| run([("structures", arm.into()), ("threshold", 0.into())]).unwrap());
        let made = &own.facts[SELF_MADE][0];
        assert_eq!((&made["kind"], &made["count"]), (&"structures".into(), &64.into()));
        assert_eq!(made, &dealt.facts[SELF_MADE][0]);
        assert_eq!(made["network"], list(&own)[1].from.to_string());
        assert_eq!(own.facts["structures"], dealt.facts["structures"]);
        assert!(own.facts["structures"].as_u64().unwrap() > 0 && own.digest != dealt.digest);
        // Pointers of both stand at the same places: only codes differ.
        assert_eq!(own.facts["patch_orders_sha256"], dealt.facts["patch_orders_sha256"]);
    }

    #[test]
    fn every_order_is_told_in_the_record_and_gives_another_model() {
        let of =
            |order: &str| run([("structures", "none".into()), ("order", order.into())]).unwrap();
        let [mixed, in_turn, raster] = ["mixed", "in-turn", "raster"].map(of);
        let orders = [&mixed, &in_turn, &raster].map(|trace| &trace.facts["patch_orders_sha256"]);
        assert!(orders[0] != orders[1] && orders[1] != orders[2] && orders[0] != orders[2]);
        assert!(mixed.digest != in_turn.digest && in_turn.digest != raster.digest);
        let again = of("mixed");
        assert_eq!((again.digest, &again.facts["patch_orders_sha256"]), (mixed.digest, orders[0]));
    }

    #[test]
    fn what_would_not_be_used_or_cannot_be_asked_is_refused() {
        for (values, word) in [
            (with([("order", "raster".into())]), "set \"structures\" to \"none\""),
            (
                with([("structures", "none".into()), ("reach", 2.into())]),
                "\"reach\" is of structures",
            ),
            (with([("structures", "true".into()), ("masks", 2.into())]), "\"masks\" is of"),
        ] {
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = run([("pairs", 129.into())]).unwrap_err().to_string();
        assert!(error.contains("two frames have 128"), "{error}");
    }
}

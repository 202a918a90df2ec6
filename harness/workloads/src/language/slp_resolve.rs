//! # slp-resolve
//!
//! Shuffled statements over named registers modulo p and one register to resolve, generated from a
//! fixed seed. `two-chains` (the default) is modulo 3 with a second chain of the same length;
//! `lego` is plain LEGO (Skill-it, arXiv:2307.14430): modulo 2, one chain, `val` and `not`. The
//! skill of an example is the position in its chain of the register asked for; every split holds
//! all skills equally often. The loss is the answer's.
//!
//! In plain LEGO the last register of the chain is the parity of all clauses, so that the deepest
//! skill can be learned without resolving a name, and before the others; `two-chains` has no such
//! short cut.

use data::sequences::{Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::resolve::Resolve;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::{Range, SettingError, Values};
use ledger::{choice, settings};
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{self, Size, split};
use crate::shared::skills::Skills;
use lab::LabError;
use lab::models::gpt::{bidirectional, gpt};
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{SideInfo, Tokens};
use training::workload::{Ready, Workload};

choice! {
    /// What stands among the statements.
    pub enum Variant {
        /// Two chains modulo 3.
        TwoChains = "two-chains",
        /// One chain modulo 2.
        Lego = "lego",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// What stands among the statements.
        variant: Variant = Variant::TwoChains, from "assumed: LEGO's short cut taken away";
        /// Registers of a chain, and so number of skills.
        chain: u32 = 3, range Range::of(2.0..=5.0), from "assumed; Skill-it: 5";
        /// Names to choose from.
        names: u32 = 10, range Range::of(2.0..=26.0), from "assumed; Skill-it: 26";
        /// Size of the transformer: xs, s or m.
        size: Size = Size::Xs, from "assumed";
        /// Whether a position sees only those before it.
        causal: bool = false, from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 1.0 / 3.0),
    MetricInfo::error("nll"),
    MetricInfo::share("skill_1", 1.0 / 3.0),
    MetricInfo::share("skill_2", 1.0 / 3.0),
    MetricInfo::share("skill_3", 1.0 / 3.0),
    MetricInfo::share("skill_4", 1.0 / 3.0),
    MetricInfo::share("skill_5", 1.0 / 3.0),
];

/// Every number of skills from 2 to 5 divides the held-out sizes.
const SIZES: [u32; 3] = [98_304, 960, 1_920];

/// Examples of each skill that adaptive orders may look at.
const PROBE: u32 = 128;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "registers to resolve, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::GROUPS],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.95,
    target_origin: "assumed",
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.0625,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Resolve { names, .. } = Settings::read(values)?.rendering();
        let registers = Settings::read(values)?.rendering().registers();
        if registers > usize::from(names) {
            return Err(SettingError::Joint(format!(
                "names is {names}, but {registers} registers need as many"
            )));
        }
        Ok(resolved)
    },
    load: |values, _, device| load(values, device),
    network: |values, side, streams, device| {
        let Settings { size, causal, .. } = Settings::read(values)?;
        let shape = size.shape(side.vocabulary(), side.context());
        let network = match causal {
            true => gpt(shape, streams, device),
            false => bidirectional(shape, streams, device),
        }?;
        language::spread(&network)?;
        Ok(network)
    },
    ..Workload::BLANK
};

impl Settings {
    fn rendering(&self) -> Resolve {
        let Self { variant, chain, names, .. } = *self;
        let chain = chain as usize;
        let names = u16::try_from(names).unwrap_or(u16::MAX);
        match variant {
            Variant::TwoChains => Resolve { chain, modulus: 3, distractor: true, names },
            Variant::Lego => Resolve::lego(chain, names),
        }
    }
}

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let settings = Settings::read(values)?;
    let rendering = settings.rendering();
    let [train, validation, test] = SIZES;
    let skills = settings.chain;
    let sizes = Sizes { train, probe: PROBE * skills, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-resolve/v1"));
    let draw = |place: Place| rendering.draw(place.index % rendering.chain, &mut random);
    let parts = distinct(sizes, draw, Sequence::id)?;
    let place = |examples: &[Sequence]| split(examples.iter(), rendering.length(), device);
    let (splits, identity) = generated::placed(&parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (1..=skills).map(|skill| format!("position {skill}")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: rendering.alphabet().size().into(),
            context: rendering.length() as i64,
            end: None,
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        ..SideInfo::default()
    };
    let names = (1..=skills).map(|skill| format!("skill_{skill}"));
    let judge = Box::new(Skills { names: names.collect() });
    Ok(Ready { splits, identity, side, judge })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{EvaluationRequest, Judged, Model};
    use training::trial::Fixture;

    fn fixture(variant: &str) -> Fixture {
        crate::fixture("slp-resolve", &with([("variant", variant.into())])).unwrap()
    }

    #[test]
    fn splits_hold_every_skill_equally_often_and_ask_for_one_token() {
        let fixture = fixture("two-chains");
        let Ready { splits, side, identity, .. } = fixture.ready();
        let probe = splits.probe.as_ref().unwrap();
        for split in [&splits.train, probe, &splits.validation, &splits.test] {
            let count = |skill| split.groups.iter().filter(|group| **group == skill).count();
            assert_eq!([count(0), count(1), count(2)], [split.groups.len() / 3; 3]);
            let asked = split.labels.ge(0).sum(tch::Kind::Int64).int64_value(&[]);
            assert_eq!(asked, split.len());
        }
        let sizes = [&splits.train, &splits.validation, &splits.test].map(|split| split.len());
        assert_eq!(sizes, SIZES.map(i64::from));
        assert_eq!(side.groups.len(), identity.sample_ids.len());
        assert_eq!(side.tokens.unwrap().context, 21);
    }

    #[test]
    fn a_fresh_network_knows_nothing_and_every_skill_is_reported() {
        let fixture = fixture("lego");
        let network = fixture.network(3).unwrap();
        let Ready { splits, judge, .. } = fixture.ready();
        let model = Model { network: &network, sampler: None };
        let request = EvaluationRequest {
            model,
            split: &splits.validation,
            judged: Judged::Validation,
            last: false,
        };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        let names: Vec<_> = metrics.keys().map(String::as_str).collect();
        assert_eq!(names, ["accuracy", "nll", "skill_1", "skill_2", "skill_3"]);
        let skills = ["skill_1", "skill_2", "skill_3"].map(|name| metrics[name]);
        assert!((skills.iter().sum::<f64>() / 3.0 - metrics["accuracy"]).abs() < 1e-12);
        assert!(metrics["accuracy"] < 0.6 && metrics["nll"] > 0.6, "{metrics:?}");
    }
}

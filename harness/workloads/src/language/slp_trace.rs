//! # slp-trace
//!
//! Questions about straight-line programs modulo 13 with one worked line per step, 1,000 to train
//! on, generated from a fixed seed: small data for chains of thought. A question shows 3 to 6
//! statements in order and asks for the last register; the response gives every register its value
//! and then the answer. The loss is the response's.
//!
//! `steps` is the share of registers whose value is right behind the right thought so far (the
//! answer itself only repeats the last of them); `accuracy`, computed at the last look, is that of
//! the answer of the model's own greedy response.

use std::sync::Arc;

use data::sequences::{Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::trace::{Trace, Traced};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use ledger::settings::{Range, Values};
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{Size, split};
use crate::shared::traces::{Answers, Checker};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{SideInfo, Tokens};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Numbers are modulo this.
        modulus: u32 = 13, range Range::of(2.0..=97.0), from "assumed";
        /// Fewest statements.
        fewest: u32 = 3, range Range::of(1.0..=8.0), from "assumed";
        /// Most statements.
        most: u32 = 6, range Range::of(1.0..=8.0), from "assumed";
        /// Whether statements multiply, beside adding and subtracting.
        products: bool = false, from "assumed";
        /// Size of the transformer: xs, s or m.
        size: Size = Size::S, from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 1.0 / 13.0),
    MetricInfo::share("steps", 1.0 / 13.0),
    MetricInfo::error("nll"),
];

const SIZES: [u32; 3] = [1_000, 256, 512];

/// Examples that adaptive orders may look at.
const PROBE: u32 = 128;

/// Names to choose from.
const NAMES: u16 = 10;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "worked answers to questions modulo 13, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::GROUPS, offers::VERIFIER],
    metrics: METRICS,
    metric: "steps",
    target: 0.7,
    target_origin: "assumed",
    budget_epochs: 10.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Settings { fewest, most, .. } = Settings::read(values)?;
        if fewest > most {
            return Err(ledger::settings::SettingError::Joint(format!(
                "fewest is {fewest}, but must be at most most, which is {most}"
            )));
        }
        Ok(resolved)
    },
    load: |values, _, device| load(values, device),
    network: |values, side, streams, device| {
        let Settings { size, .. } = Settings::read(values)?;
        gpt(size.shape(side.vocabulary(), side.context()), streams, device)
    },
    ..Workload::BLANK
};

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { modulus, fewest, most, products, .. } = Settings::read(values)?;
    let trace = Trace {
        modulus: u16::try_from(modulus).unwrap_or(u16::MAX),
        steps: fewest as usize..=most as usize,
        products,
        names: NAMES,
    };
    let groups = (most - fewest + 1) as usize;
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: PROBE, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-trace/v1"));
    let draw = |place: Place| trace.draw(place.index % groups, &mut random);
    let parts = distinct(sizes, draw, |traced: &Traced| traced.sequence.id())?;
    let place = |examples: &[Traced]| {
        let sequences: Vec<&Sequence> = examples.iter().map(|traced| &traced.sequence).collect();
        split(sequences.into_iter(), trace.length(), device)
    };
    let (splits, identity) = generated::placed(&parts, place)?;
    let programs = parts.train.examples.iter().map(|traced| traced.program.clone()).collect();
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (fewest..=most).map(|steps| format!("{steps} steps")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: trace.alphabet().size().into(),
            context: trace.length() as i64,
            end: Some(Alphabet::END.into()),
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        verifier: Some(Arc::new(Checker { trace: trace.clone(), programs })),
        ..SideInfo::default()
    };
    let (validation, test) = (parts.validation.examples, parts.test.examples);
    let judge = Box::new(Answers { trace, validation, test });
    Ok(Ready { splits, identity, side, judge })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::seat::Outcome;
    use training::judge::{EvaluationRequest, Judged, Model};
    use training::trial::Fixture;

    fn fixture() -> Fixture {
        crate::fixture("slp-trace", &Values::new()).unwrap()
    }

    #[test]
    fn the_verifier_accepts_the_response_of_every_training_example_and_no_others() {
        let fixture = fixture();
        let Ready { splits, side, .. } = fixture.ready();
        let verifier = side.verifier.as_ref().unwrap();
        let mut swapped = 0;
        for id in 0..100_u32 {
            let labels = splits.train.labels.get(i64::from(id));
            let labels = Vec::<i64>::try_from(&labels).unwrap();
            let mut response: Vec<i64> = labels.into_iter().filter(|label| *label >= 0).collect();
            assert_eq!(response.pop(), side.tokens.unwrap().end);
            assert_eq!(verifier.check(id, &response), Outcome { correct: true, well_formed: true });
            swapped += u32::from(verifier.check(id + 1, &response).correct);
        }
        // One in thirteen by chance.
        assert!(swapped < 25, "{swapped}");
        assert!(!verifier.check(1_000, &[]).correct);
    }

    #[test]
    fn the_own_response_is_judged_only_at_the_last_look() {
        let fixture = fixture();
        let network = fixture.network(3).unwrap();
        let Ready { splits, judge, .. } = fixture.ready();
        let metrics = |last| {
            let model = Model::plain(&network);
            let request =
                EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last };
            tch::no_grad(|| judge.metrics(&request)).unwrap()
        };
        assert!(!metrics(false).contains_key("accuracy"));
        assert!(metrics(true)["accuracy"] < 0.2);
        assert!((metrics(false)["nll"] - 30_f64.ln()).abs() < 0.3, "{:?}", metrics(false));
    }
}

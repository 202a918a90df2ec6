//! # attr-scarce
//!
//! Little text of the grammar of `attr`, all of quality 1, for a model that can learn it by heart: 1,536 examples of 33
//! symbols by default, some 50,000 tokens, to be read as often as a budget says. Validation and test texts are fresh.
//!
//! `excess` is the loss beyond that of the truth on the same text, in nats per symbol: the forward algorithm gives the
//! truth's exactly, so that 0 is the optimum, and what more data could still bring is known.

use data::attr::LEVELS;
use data::sequences::{Place, Sequence, Sizes, distinct};
use ledger::catalogue::DataName;
use ledger::digest::Digest;
use ledger::settings::{Range, Values};
use ledger::{choice, settings};
use tch::Device;

use crate::shared::grammar::{self, LENGTH, METRICS};
use lab::LabError;
use lab::models::gpt::{Shape, gpt};
use lab::offers;
use training::workload::{Ready, Workload};

choice! {
    /// Size of the transformer.
    pub enum Size {
        /// Width 32, 2 blocks, 2 heads: some 30,000 parameters.
        Tiny = "tiny",
        /// Width 64, 2 blocks, 4 heads: some 105,000.
        Xs = "xs",
        /// Width 128, 2 blocks, 4 heads: some 410,000.
        S = "s",
        /// Width 128, 4 blocks, 4 heads: some 805,000.
        M = "m",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Size of the transformer: tiny, xs, s or m.
        size: Size = Size::Xs, from "assumed";
        /// Training examples; budgets are counted in epochs of so many.
        examples: u32 = 1_536, range Range::of(16.0..=1e5), from "assumed: 50,000 tokens";
    }
}

const SIZES: [u32; 3] = [1_536, 512, 1_024];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "little grammar text, read many times, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS],
    metrics: METRICS,
    metric: "excess",
    target: 0.5,
    target_origin: "assumed",
    budget_epochs: 16.0,
    evaluate_every_epochs: 2.0,
    split_sizes: SIZES,
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |values, side, streams, device| {
        let (vocabulary, context) = (side.vocabulary(), side.context());
        let shape = match Settings::read(values)?.size {
            Size::Tiny => Shape { vocabulary, context, width: 32, depth: 2, heads: 2, hidden: 128 },
            Size::Xs => Shape::xs(vocabulary, context),
            Size::S => Shape::s(vocabulary, context),
            Size::M => Shape::m(vocabulary, context),
        };
        gpt(shape, streams, device)
    },
    ..Workload::BLANK
};

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { examples, .. } = Settings::read(values)?;
    let grammar = grammar::grammar();
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/attr-scarce/v1"));
    let draw = |_: Place| grammar.draw(LENGTH, LEVELS - 1, &mut random);
    let parts = distinct(sizes, draw, Sequence::id)?;
    grammar::ready(&grammar, &parts, device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{EvaluationRequest, Judged, Model};
    use training::trial::Fixture;

    fn stage(size: &str, examples: u32) -> Fixture {
        let settings = with([("size", size.into()), ("examples", examples.into())]);
        crate::fixture("attr-scarce", &settings).unwrap()
    }

    #[test]
    fn sizes_have_as_many_parameters_as_their_descriptions_say() {
        for (size, expected) in
            [("tiny", 28_000.0), ("xs", 106_000.0), ("s", 409_000.0), ("m", 806_000.0)]
        {
            let network = stage(size, 16).network(1).unwrap();
            let found = network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>() as f64;
            assert!((found / expected - 1.0).abs() < 0.1, "{size}: {found}");
        }
    }

    #[test]
    fn more_examples_keep_the_first_ones_and_what_is_judged() {
        let [few, more] = [100, 300].map(|examples| stage("tiny", examples));
        let ids = |fixture: &Fixture| fixture.ready().identity.sample_ids.clone();
        assert_eq!(ids(&few), ids(&more)[..100]);
        assert_eq!(few.ready().identity.test_root, more.ready().identity.test_root);
    }

    #[test]
    fn a_fresh_network_exceeds_the_truth_by_what_the_truth_knows() {
        let stage = stage("xs", 64);
        let network = stage.network(1).unwrap();
        let Ready { splits, judge, .. } = stage.ready();
        let model = Model::plain(&network);
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        assert!((metrics["nll"] - 32_f64.ln()).abs() < 0.05, "{metrics:?}");
        assert!((0.4..1.5).contains(&metrics["excess"]), "{metrics:?}");
    }
}

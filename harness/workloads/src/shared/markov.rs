//! What `markov-mlp`, `markov-gru` and `markov-gpt` have in common: text of an order-2 Markov chain,
//! and how a model of it is judged.

use std::collections::BTreeMap;

use data::markov::{CONCENTRATION, LEVELS, Markov};
use data::sequences::{Place, Sequence, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::settings;
use ledger::settings::{Range, Values};
use tch::{Device, Kind, TchError, Tensor};

use super::generated;
use super::initial::Initial;
use super::language::{Scores, split};
use lab::LabError;
use lab::objectives::{DefaultLoss, IGNORED};
use lab::offers;
use lab::side_info::{SideInfo, Tokens};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the text.
    pub struct Text {
        /// The chain: another number is another table of transition probabilities.
        source: u32 = 0, from "assumed";
        /// The examples: another number draws fresh ones from the same chain.
        sample: u32 = 0, from "assumed";
        /// Training examples; budgets are counted in epochs of 4,000 whatever this is.
        examples: u32 = 4_000, range Range::of(16.0..=1e6), from "assumed";
        /// Documents of 32 symbols that an example packs, which share a difficulty; 1 for none.
        pack: u32 = 1, range Range::of(1.0..=32.0), from "control of the provenance suite";
        use initial: Initial;
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("excess"),
    MetricInfo::error("nll"),
    MetricInfo::share("accuracy", 1.0 / SYMBOLS as f64),
];

/// Examples to train on by default, to validate and to test on.
const SIZES: [u32; 3] = [4_000, 512, 1_024];

/// Number of symbols.
pub const SYMBOLS: usize = 32;

/// Symbols of a document.
const LENGTH: usize = 32;

/// Symbols at the start of a document that are given.
const GIVEN: usize = 2;

/// All but the title, the settings and the network.
pub const WORKLOAD: Workload = Workload {
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::SCORES],
    metrics: METRICS,
    metric: "excess",
    target: 1.0,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.5,
    split_sizes: SIZES,
    load: |values, _, device| load(values, device),
    ..Workload::BLANK
};

/// Generates the text and puts it on the device.
fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Text { source, sample, examples, pack, .. } = Text::read(values)?;
    let chain = Markov::new(SYMBOLS, CONCENTRATION, u64::from(source))?;
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let (from, which) = (source.to_le_bytes(), sample.to_le_bytes());
    let digest = Digest::of_parts(&[b"palimpsest/markov-text/v1", &from, &which]);
    let mut random = ledger::order::generator(&digest);
    let draw = |_: Place| {
        let level = match pack {
            1 => 0,
            _ => u32::try_from(bounded(&mut random, u64::from(LEVELS) + 1)).unwrap_or(0),
        };
        let tokens = (0..pack).flat_map(|_| chain.draw(LENGTH, level, &mut random)).collect();
        Sequence { tokens, prompt: GIVEN, group: level }
    };
    let parts = distinct(sizes, draw, Sequence::id)?;
    let place = |examples: &[Sequence]| place(examples, pack as usize, device);
    let (splits, identity) = generated::placed(&parts, place)?;
    let truth = |example: &Sequence| -> f64 {
        let documents = example.tokens.chunks(LENGTH);
        documents.map(|document| chain.log_probability(document, example.group)).sum()
    };
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        scores: parts.train.examples.iter().map(truth).collect(),
        tokens: Some(Tokens {
            vocabulary: SYMBOLS as i64,
            context: i64::from(pack) * LENGTH as i64,
            end: None,
            mask: None,
            first_ordinary: 0,
        }),
        documents: pack,
        ..SideInfo::default()
    };
    let loss = |examples: &[Sequence]| {
        let predicted = examples.len() * pack as usize * (LENGTH - GIVEN);
        -examples.iter().map(truth).sum::<f64>() / predicted as f64
    };
    let judge =
        Excess { validation: loss(&parts.validation.examples), test: loss(&parts.test.examples) };
    Ok(Ready { splits, identity, side, judge: Box::new(judge) })
}

/// A split whose labels leave out the given symbols of every document.
fn place(examples: &[Sequence], pack: usize, device: Device) -> Result<Split, TchError> {
    let split = split(examples.iter(), pack * LENGTH, device)?;
    let given: Vec<bool> = (1..pack * LENGTH).map(|place| place % LENGTH < GIVEN).collect();
    let given = Tensor::f_from_slice(&given)?.f_to_device(device)?;
    let labels = split.labels.f_masked_fill(&given, IGNORED)?.f_to_kind(Kind::Int64)?;
    Ok(Split { labels, ..split })
}

/// What the truth loses on each split, in nats per symbol.
#[derive(Debug)]
pub struct Excess {
    /// Floor on the validation split.
    pub validation: f64,
    /// Floor on the test split.
    pub test: f64,
}

impl Judge for Excess {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let scores = Scores::of(request.model.network, request.split)?;
        let truth = request.judged.pick(self.validation, self.test);
        Ok(BTreeMap::from([
            ("nll".to_owned(), scores.nll()),
            ("excess".to_owned(), scores.nll() - truth),
            ("accuracy".to_owned(), scores.accuracy()),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::Judged;
    use training::trial::Fixture;

    fn fixture(pairs: [(&str, u32); 2]) -> Fixture {
        let pairs = pairs.map(|(key, value)| (key, value.into()));
        crate::fixture("markov-mlp", &with(pairs)).unwrap()
    }

    fn root(pairs: [(&str, u32); 2]) -> Digest {
        fixture(pairs).ready().identity.train_root
    }

    #[test]
    fn the_models_have_as_many_parameters_as_their_cards_say() {
        for (id, expected) in [
            ("markov-mlp", 46_136),
            ("markov-gru", 64_032),
            ("markov-gpt", 56_288),
            ("templates-mlp", 39_690),
            ("templates-cnn", 24_586),
        ] {
            let network = crate::fixture(id, &Values::new()).unwrap().network(1).unwrap();
            let found = network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>();
            assert_eq!(found, expected, "{id}");
        }
    }

    #[test]
    fn sources_and_samples_are_other_data_and_more_examples_keep_the_first_ones() {
        let roots = [
            root([("source", 0), ("sample", 0)]),
            root([("source", 0), ("sample", 1)]),
            root([("source", 1), ("sample", 0)]),
        ];
        assert!(roots[0] != roots[1] && roots[0] != roots[2] && roots[1] != roots[2]);
        let [few, more] = [100, 300].map(|n| fixture([("examples", n), ("pack", 1)]));
        let ids = |fixture: &Fixture| fixture.ready().identity.sample_ids.clone();
        assert_eq!(ids(&few), ids(&more)[..100]);
        assert_eq!(few.ready().identity.test_root, more.ready().identity.test_root);
        assert_eq!(few.ready().splits.train.len(), 100);
    }

    #[test]
    fn the_scores_are_the_likelihoods_under_the_truth_and_the_judge_counts_from_there() {
        let fixture = fixture([("examples", 500), ("pack", 1)]);
        let side = &fixture.ready().side;
        let mean = side.scores.iter().sum::<f64>() / 500.0 / (LENGTH - GIVEN) as f64;
        let rate = Markov::new(SYMBOLS, CONCENTRATION, 0).unwrap().entropy_rate();
        // 15,000 symbols, each with a deviation of about one nat.
        assert!((mean + rate).abs() < 0.06, "{mean} {rate}");
        let network = fixture.network(1).unwrap();
        let model = training::judge::Model::plain(&network);
        let split = &fixture.ready().splits.test;
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        let metrics = tch::no_grad(|| fixture.ready().judge.metrics(&request)).unwrap();
        let floor = metrics["nll"] - metrics["excess"];
        assert!((floor - rate).abs() < 0.06 && metrics["excess"] > 1.0, "{metrics:?}");
    }

    #[test]
    fn documents_of_a_pack_share_a_difficulty_and_their_given_symbols_ask_for_no_loss() {
        let fixture = fixture([("examples", 200), ("pack", 8)]);
        let Ready { splits, side, .. } = fixture.ready();
        assert_eq!(splits.train.stored.size(), [200, 255]);
        assert_eq!((side.documents, side.context()), (8, 256));
        let asked = splits.train.labels.ne(IGNORED).sum_dim_intlist(1, false, Kind::Int64);
        assert_eq!(Vec::<i64>::try_from(asked).unwrap(), vec![8 * 30; 200]);
        let row = Vec::<i64>::try_from(splits.train.labels.get(0)).unwrap();
        for (place, label) in (1..).zip(row) {
            assert_eq!(label == IGNORED, place % 32 < 2, "{place}");
        }
        let levels: std::collections::BTreeSet<_> = splits.train.groups.iter().collect();
        assert_eq!(levels.len(), 9);
    }
}

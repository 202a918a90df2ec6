//! # domains-gpt
//!
//! Order-1 Markov text over 20 symbols from 6 domains, each with a chain of its own, and a small
//! transformer: one pre-LN block, width 24, 2 heads, a context of 16, an MLP of width 48, an untied
//! head; 6,284 parameters (6,096 without biases). **An example is a pack of 8 sequences of one
//! domain**, each of 17 symbols, of which 16 are predicted; at a batch size of 1 a step is a batch
//! of 128 predictions of one domain, and an order of the examples is an order of the batches. The
//! transformer reads a pack sequence by sequence. 88 packs are one epoch: 64 steps of warming up
//! and 24 to put in another order. Held-out packs (12 to validate, 24 to test) take the domains in
//! turn. `excess` is the loss beyond that of the chains themselves.
//!
//! Initial values have the deviations of PyTorch's layers, tables N(0, 1), as in `markov-gpt`.

use data::domains::Domains;
use data::sequences::{Place, Sequence, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use crate::shared::initial::Initial;
use crate::shared::language::spread;
use crate::shared::markov::Excess;
use lab::LabError;
use lab::models::gpt::{Shape, gpt};
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{SideInfo, Tokens};
use lab::split::Split;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// The chains: another number draws other transition probabilities.
        source: u32 = 0, from "assumed";
        /// The examples: another number draws fresh ones from the same chains.
        sample: u32 = 0, from "assumed";
        /// Training examples, which are packs; budgets are counted in epochs of 88 whatever this is.
        examples: u32 = 88, range Range::of(2.0..=1e6), from "64 steps before the window and 24 in it";
        /// Domains.
        domains: u32 = 6, range Range::of(1.0..=1_000.0), from "prototype of the order estimates";
        /// Sequences of a pack.
        sequences: u32 = 8, range Range::of(1.0..=1_024.0), from "prototype of the order estimates";
        /// Width of the residual stream, a multiple of 2; the MLP is twice as wide.
        width: u32 = 24, range Range::of(2.0..=2_048.0), from "prototype of the order estimates";
        /// Blocks.
        depth: u32 = 1, range Range::of(1.0..=64.0), from "prototype of the order estimates";
        use initial: Initial;
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("nll"),
    MetricInfo::error("excess"),
    MetricInfo::share("accuracy", 1.0 / SYMBOLS as f64),
];

/// Packs to train on by default, to validate and to test on.
const SIZES: [u32; 3] = [88, 12, 24];
/// Number of symbols.
const SYMBOLS: usize = 20;
/// Symbols that the transformer sees at once, and predictions of a sequence.
const CONTEXT: usize = 16;
/// Attention heads.
const HEADS: u32 = 2;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "packs of Markov text from 6 domains, transformer of one block",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS],
    metrics: METRICS,
    metric: "nll",
    target: 2.95,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.5,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve,
    load: |values, _, device| load(values, device),
    network: |values, side, streams, device| {
        let Settings { width, depth, initial, .. } = Settings::read(values)?;
        let [width, depth, heads] = [width, depth, HEADS].map(|size| size as usize);
        let (vocabulary, context) = (side.vocabulary(), side.context());
        let shape = Shape { vocabulary, context, width, depth, heads, hidden: 2 * width };
        let network = gpt(shape, &initial.streams(streams), device)?;
        spread(&network)?;
        Ok(network)
    },
    ..Workload::BLANK
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { width, .. } = Settings::read(&resolved)?;
    if width % HEADS != 0 {
        let expected = format!("a multiple of its {HEADS} attention heads");
        let (key, value) = ("width".to_owned(), width.to_string());
        return Err(SettingError::Invalid { key, value, expected });
    }
    Ok(resolved)
}

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { source, sample, examples, domains, sequences, .. } = Settings::read(values)?;
    let chains = Domains::new(SYMBOLS, domains, u64::from(source))?;
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let parts: [&[u8]; 3] =
        [b"palimpsest/domains-packs/v1", &source.to_le_bytes(), &sample.to_le_bytes()];
    let mut random = ledger::order::generator(&Digest::of_parts(&parts));
    let draw = |Place { index, judged }: Place| {
        let group = match judged {
            true => index as u64 % u64::from(domains),
            false => bounded(&mut random, u64::from(domains)),
        };
        let group = u32::try_from(group).unwrap_or(0);
        let sequence = |_| chains.draw(group, CONTEXT + 1, &mut random);
        Sequence { tokens: (0..sequences).flat_map(sequence).collect(), prompt: 1, group }
    };
    let parts = distinct(sizes, draw, Sequence::id)?;
    let (splits, identity) = generated::placed(&parts, |packs| split(packs, sequences, device))?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (1..=domains).map(|domain| format!("domain {domain}")).collect(),
        groups: parts.train.examples.iter().map(|pack| pack.group).collect(),
        tokens: Some(Tokens {
            vocabulary: SYMBOLS as i64,
            context: CONTEXT as i64,
            end: None,
            mask: None,
            first_ordinary: 0,
        }),
        documents: sequences,
        ..SideInfo::default()
    };
    let truth = |packs: &[Sequence]| {
        let of = |pack: &Sequence| -> f64 {
            let each = pack.tokens.chunks(CONTEXT + 1);
            each.map(|sequence| chains.log_probability(pack.group, sequence)).sum()
        };
        -packs.iter().map(of).sum::<f64>() / (packs.len() * sequences as usize * CONTEXT) as f64
    };
    let judge =
        Excess { validation: truth(&parts.validation.examples), test: truth(&parts.test.examples) };
    Ok(Ready { splits, identity, side, judge: Box::new(judge) })
}

/// Inputs and labels N × (sequences·16): of every sequence all symbols but the last, and all but the
/// first.
fn split(packs: &[Sequence], sequences: u32, device: Device) -> Result<Split, TchError> {
    let columns = i64::from(sequences) * CONTEXT as i64;
    let rows = |from: usize| -> Result<Tensor, TchError> {
        let each = packs.iter().flat_map(|pack| pack.tokens.chunks(CONTEXT + 1));
        let taken = each.flat_map(|sequence| sequence.iter().skip(from).take(CONTEXT));
        let tokens: Vec<i64> = taken.map(|token| i64::from(*token)).collect();
        Tensor::f_from_slice(&tokens)?.f_view([-1, columns])?.f_to_device(device)
    };
    let groups = packs.iter().map(|pack| pack.group).collect();
    Ok(Split { stored: rows(0)?, labels: rows(1)?, groups })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use inspect::probe::{self, Reading};
    use lab::network::values;
    use lab::trial::{streams, with};
    use training::judge::{EvaluationRequest, Judged};
    use training::trial::Fixture;

    fn fixture<const N: usize>(pairs: [(&str, Value); N]) -> Fixture {
        crate::fixture("domains-gpt", &with(pairs)).unwrap()
    }

    #[test]
    fn the_network_has_6_284_parameters_of_which_188_are_biases() {
        let network = fixture([]).network(0).unwrap();
        let count = |bias: bool| -> usize {
            let of = network.parameters.iter().filter(|p| p.name.ends_with(".bias") == bias);
            of.map(|p| p.tensor.numel()).sum()
        };
        assert_eq!((count(false), count(true)), (6_096, 188));
    }

    #[test]
    fn a_pack_is_read_sequence_by_sequence() {
        let fixture = fixture([]);
        let network = fixture.network(0).unwrap();
        let Ready { splits, side, .. } = fixture.ready();
        let (inputs, labels) = splits.train.rows(0, 3).unwrap();
        assert_eq!((inputs.size(), labels.size()), (vec![3, 128], vec![3, 128]));
        let default_loss = side.loss.unwrap();
        let packed =
            default_loss.of_outputs(&network.forward(&inputs, true).unwrap(), &labels).unwrap();
        for (row, loss) in (0..).zip(values(&packed).unwrap()) {
            let (x, y) = (inputs.get(row).view([8, 16]), labels.get(row).view([-1]));
            let logits = network.forward(&x, true).unwrap().view([-1, 20]);
            let own = logits.cross_entropy_for_logits(&y).double_value(&[]);
            assert!((own - f64::from(loss)).abs() < 1e-6, "{row}: {own} {loss}");
        }
    }

    #[test]
    fn labels_are_the_symbols_that_follow_within_their_sequence() {
        let fixture = fixture([]);
        let train = &fixture.ready().splits.train;
        let [x, y] = [&train.stored, &train.labels].map(|t| t.view([-1, 8, 16]));
        assert_eq!(x.narrow(2, 1, 15), y.narrow(2, 0, 15));
        assert_ne!(x.narrow(1, 1, 7).select(2, 0), y.narrow(1, 0, 7).select(2, 15));
    }

    #[test]
    fn every_sequence_of_a_pack_is_scored_on_its_own() {
        let fixture = fixture([]);
        let network = fixture.network(0).unwrap();
        let Ready { splits, side, .. } = fixture.ready();
        let read = |documents| {
            let reading = Reading { documents, samples: 0, ..Reading::default() };
            probe::scores(&network, side, &splits.train, reading, &streams()).unwrap().losses
        };
        let (packs, sequences) = (read(false), read(true));
        assert_eq!(sequences.len(), 8 * packs.len());
        let (inputs, labels) = splits.train.rows(0, 1).unwrap();
        let logits = network.forward(&inputs.view([8, 16]), true).unwrap();
        let own = DefaultLoss::Tokens.of_outputs(&logits, &labels.view([8, 16])).unwrap();
        for (own, found) in values(&own).unwrap().iter().zip(&sequences) {
            assert!((f64::from(*own) - found).abs() < 1e-5, "{own} {found}");
        }
        assert!((packs[0] - sequences[..8].iter().sum::<f64>() / 8.0).abs() < 1e-12);
    }

    #[test]
    fn a_pack_has_one_domain_and_held_out_packs_have_all() {
        let fixture = fixture([]);
        let Ready { splits, side, .. } = fixture.ready();
        assert_eq!(splits.train.groups, side.groups);
        assert_eq!(splits.test.groups[..7], [0, 1, 2, 3, 4, 5, 0]);
        assert!((0..6).all(|domain| splits.train.groups.contains(&domain)));
        assert_eq!((splits.train.len(), splits.validation.len(), splits.test.len()), (88, 12, 24));
    }

    #[test]
    fn the_judge_counts_from_the_loss_of_the_chains() {
        let fixture = fixture([]);
        let network = fixture.network(0).unwrap();
        let model = training::judge::Model::plain(&network);
        let split = &fixture.ready().splits.test;
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        let metrics = tch::no_grad(|| fixture.ready().judge.metrics(&request)).unwrap();
        let floor = metrics["nll"] - metrics["excess"];
        // Rows of Dirichlet(0.3) over 20 symbols have an entropy of ψ(7) − ψ(1.3) = 2.04 nats in the
        // mean; the floor is that of 3,072 symbols of 6 chains.
        assert!((floor - 2.0).abs() < 0.25 && metrics["excess"] > 0.5, "{metrics:?}");
    }

    #[test]
    fn widths_that_heads_do_not_divide_are_refused() {
        let error = crate::fixture("domains-gpt", &with([("width", 25.into())])).unwrap_err();
        assert!(error.to_string().contains("a multiple of its 2 attention heads"), "{error}");
    }
}

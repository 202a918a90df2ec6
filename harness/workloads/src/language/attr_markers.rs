//! # attr-markers
//!
//! Prompts and completions in twelve domains of which some are rare, generated from a fixed seed. Domain k comes with a
//! weight of k^−1.5: the first has 48.9 % of the training examples, those from the fifth on less than 5 % each, the
//! last 1.2 %; validation and test have as many of each. A domain is a Markov chain over 32 symbols (the first four
//! are those of `attr`) of whose steps the ten likeliest from each symbol are *allowed*.
//!
//! A prompt is six symbols, each with a probability of 0.35 one of four cues of the domain and otherwise any, and a word for
//! the length that is right with a probability of 0.7 and otherwise any: it says what is wanted, weakly. A completion is
//! 4 to 7, 8 to 11 or 12 to 16 symbols of the domain, in some completions (eight of ten in even domains, two of ten in
//! odd ones) with a separator behind every fourth, and an end.
//!
//! Six markers say it plainly, in tokens that no example holds: domain, length bucket, exact length, format, quarter of
//! the alphabet that the first symbol is from, and a source (domains in threes). Completions are sampled (temperature 0.7,
//! top-p 0.9; row i by stream i) behind prompts, and, `fixed`, behind prompts with all six markers. Markers that a
//! completion begins with are taken off.
//!
//! - `validity`: share of allowed steps, all domains alike; what is no symbol in its place counts as a step that is
//!   not allowed, and so does a completion without a step. `head` is that of the first domain, `tail` of those from the
//!   fifth on, `tail_lead` tail less head.
//! - `violation`: share of completions whose length is of another bucket than the example's, with half a one more among one more.
//! - `inferred`: share of completions that begin with the marker of the right domain.
//! - `fixed_validity`, `fixed_tail`, `fixed_violation`: the same with markers in the prompt, at the end of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::attr::{Chain, Grammar};
use data::sequences::{Place, Sequence, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::settings;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Device, Tensor};

use crate::shared::generated;
use crate::shared::language::{Size, mean, split};
use lab::LabError;
use lab::generate::{Choice, Options, generate};
use lab::models::gpt::gpt;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{Markers, SideInfo, Tokens};
use training::judge::{EvaluationRequest, Judge, Judged};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Size of the transformer: xs, s or m.
        size: Size = Size::Xs, from "assumed";
    }
}

/// Ten of 32 steps are allowed.
const CHANCE: f64 = 0.3125;

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("validity", CHANCE),
    MetricInfo::share("head", CHANCE),
    MetricInfo::share("tail", CHANCE),
    MetricInfo { name: "tail_lead", higher_is_better: true, best: None, chance: None },
    MetricInfo::error("violation"),
    MetricInfo::share("inferred", 0.0),
    MetricInfo::share("fixed_validity", CHANCE),
    MetricInfo::share("fixed_tail", CHANCE),
    MetricInfo::error("fixed_violation"),
];

/// As many of each domain in what is judged.
const SIZES: [u32; 3] = [16_384, 504, 1_008];

const DOMAINS: u32 = 12;
/// Domains before the tail.
const FREQUENT: u32 = 4;
/// 10,000·k^−1.5, rounded.
const WEIGHTS: [u32; DOMAINS as usize] =
    [10_000, 3_536, 1_925, 1_250, 894, 680, 540, 442, 370, 316, 274, 241];
/// Cues of a domain in a prompt.
const CUES: u64 = 4;
/// Allowed steps from a symbol.
const ALLOWED: usize = 10;

/// The buckets of lengths: first and last.
const BUCKETS: [[u64; 2]; 3] = [[4, 7], [8, 11], [12, 16]];
/// Symbols between two separators.
const LINE: usize = 4;

/// How many markers there are of each category, in the order in which they stand.
const CATEGORIES: [u16; 6] = [12, 3, 13, 2, 4, 4];

const END: u16 = 1;
const MARKERS: u16 = 2;
const WORDS: u16 = 40;
const SEPARATOR: u16 = 43;
const FIRST: u16 = 44;
const SYMBOLS: u16 = 32;
const VOCABULARY: u16 = FIRST + SYMBOLS;

/// Tokens of a prompt.
const PROMPT: usize = 7;
/// Of the longest completion with its end, without markers.
const LONGEST: usize = 20;
const CONTEXT: usize = PROMPT + LONGEST + 2 * CATEGORIES.len();

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "completions in twelve domains, some rare, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::MARKERS],
    metrics: METRICS,
    metric: "validity",
    target: 0.7,
    target_origin: "assumed",
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.5,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, _, device| load(device),
    network: |values, side, streams, device| {
        let Settings { size } = Settings::read(values)?;
        gpt(size.shape(side.vocabulary(), side.context()), streams, device)
    },
    ..Workload::BLANK
};

/// What an example is, beside its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    domain: u32,
    bucket: u32,
    /// Symbols of the completion.
    length: u32,
    listed: bool,
    /// First symbol of the completion.
    opening: u16,
}

impl Facts {
    /// Its markers, by category.
    fn markers(&self) -> [i64; 6] {
        let Self { domain, bucket, length, listed, opening } = *self;
        let values =
            [domain, bucket, length - 4, u32::from(listed), u32::from(opening) / 8, domain / 3];
        let mut first = i64::from(MARKERS);
        let mut markers = [0; 6];
        for ((marker, value), count) in markers.iter_mut().zip(values).zip(CATEGORIES) {
            *marker = first + i64::from(value);
            first += i64::from(count);
        }
        markers
    }
}

/// An example.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Example {
    sequence: Sequence,
    facts: Facts,
}

/// The chain with its likeliest steps alone; of equals the first.
fn strict(chain: &Chain) -> Chain {
    let symbols = usize::from(SYMBOLS);
    let mut weights = Vec::with_capacity(symbols * symbols);
    for from in 0..symbols {
        let mut order: Vec<usize> = (0..symbols).collect();
        let likely = |to: &usize| chain.probability(from, *to);
        order.sort_by(|a, b| likely(b).total_cmp(&likely(a)));
        let mut row = vec![0_u32; symbols];
        for to in order.into_iter().take(ALLOWED) {
            row[to] = share(likely(&to));
        }
        weights.extend(row);
    }
    Chain::new(symbols, weights)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a probability is in 0..=1, so the product is at most a million"
)]
fn share(probability: f64) -> u32 {
    (probability * 1e6).round() as u32
}

/// The domains, one by one.
fn domains() -> Vec<Grammar> {
    let all = Grammar::new(usize::from(SYMBOLS), DOMAINS as usize, 32, 7);
    let one = |chain: &Chain| Grammar { topics: vec![strict(chain)], ..all.clone() };
    all.topics.iter().map(one).collect()
}

/// Whether the domain takes this step.
fn is_allowed(domains: &[Grammar], domain: u32, from: u16, to: u16) -> bool {
    let step = |grammar: &Grammar| grammar.topics[0].probability(from.into(), to.into()) > 0.0;
    domains.get(domain as usize).is_some_and(step)
}

/// One of the numbers whose weights these are.
fn weighted(weights: &[u32], random: &mut Pcg64) -> u32 {
    let mut left = bounded(random, weights.iter().copied().map(u64::from).sum());
    for (index, weight) in (0..).zip(weights) {
        match left.checked_sub(u64::from(*weight)) {
            Some(rest) => left = rest,
            None => return index,
        }
    }
    0
}

fn small(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

fn example(domains: &[Grammar], place: Place, random: &mut Pcg64) -> Example {
    let domain = match place.judged {
        true => place.index as u32 % DOMAINS,
        false => weighted(&WEIGHTS, random),
    };
    let mut tokens = Vec::with_capacity(PROMPT + LONGEST);
    for _ in 0..PROMPT - 1 {
        let any = bounded(random, u64::from(SYMBOLS));
        let cue = (5 * u64::from(domain) + 7 * bounded(random, CUES)) % u64::from(SYMBOLS);
        let cued = bounded(random, 100) < 35;
        tokens.push(FIRST + small(if cued { cue } else { any }));
    }
    let (bucket, any) = (bounded(random, 3), bounded(random, 3));
    let right = bounded(random, 10) < 7;
    tokens.push(WORDS + small(if right { bucket } else { any }));
    let [least, most] = BUCKETS[bucket as usize];
    let length = least + bounded(random, most - least + 1);
    let listed = bounded(random, 10) < if domain.is_multiple_of(2) { 8 } else { 2 };
    let level = data::attr::LEVELS - 1;
    let symbols = domains[domain as usize].draw(length as usize, level, random).tokens;
    for (place, symbol) in symbols.iter().enumerate() {
        if listed && place > 0 && place.is_multiple_of(LINE) {
            tokens.push(SEPARATOR);
        }
        tokens.push(FIRST + symbol);
    }
    tokens.push(END);
    let (bucket, length) = (u32::from(small(bucket)), u32::from(small(length)));
    let facts = Facts { domain, bucket, length, listed, opening: symbols[0] };
    Example { sequence: Sequence { tokens, prompt: PROMPT, group: domain }, facts }
}

fn load(device: Device) -> Result<Ready, LabError> {
    let domains = domains();
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/attr-markers/v1"));
    let draw = |place: Place| example(&domains, place, &mut random);
    let parts = distinct(sizes, draw, |example: &Example| example.sequence.id())?;
    let place = |examples: &[Example]| {
        let sequences: Vec<&Sequence> = examples.iter().map(|example| &example.sequence).collect();
        split(sequences.into_iter(), PROMPT + LONGEST, device)
    };
    let (splits, identity) = generated::placed(&parts, place)?;
    let markers = parts.train.examples.iter().flat_map(|example| example.facts.markers());
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        tokens: Some(Tokens {
            vocabulary: i64::from(VOCABULARY),
            context: CONTEXT as i64,
            end: Some(i64::from(END)),
            mask: None,
            first_ordinary: i64::from(WORDS),
        }),
        markers: Some(Arc::new(Markers {
            categories: CATEGORIES.len(),
            tokens: markers.collect(),
        })),
        ..SideInfo::default()
    };
    let judge =
        Completions { domains, validation: parts.validation.examples, test: parts.test.examples };
    Ok(Ready { splits, identity, side, judge: Box::new(judge) })
}

/// What a completion is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Checked {
    /// Share of its steps that are allowed.
    validity: f64,
    /// Whether its length is of the bucket.
    fits: bool,
    /// Whether it begins with the marker of the domain.
    inferred: bool,
}

/// Checks a completion, without its end, against what was wanted.
fn check(domains: &[Grammar], facts: &Facts, completion: &[u16]) -> Checked {
    let markers = completion.iter().take_while(|token| (MARKERS..WORDS).contains(*token)).count();
    let inferred = completion.first().copied().map(i64::from) == Some(facts.markers()[0]);
    let own = &completion[markers..];
    let symbols: Vec<Option<u16>> = own
        .iter()
        .filter(|token| **token != SEPARATOR)
        .map(|token| token.checked_sub(FIRST).filter(|symbol| *symbol < SYMBOLS))
        .collect();
    let steps = symbols.windows(2).map(|pair| match pair {
        [Some(from), Some(to)] => is_allowed(domains, facts.domain, *from, *to),
        _ => false,
    });
    let (right, all) = steps.fold((0.0, 0.0), |(right, all), allowed| {
        (right + f64::from(u8::from(allowed)), all + 1.0_f64)
    });
    let [least, most] = BUCKETS[facts.bucket as usize];
    let fits = (least..=most).contains(&(symbols.len() as u64));
    Checked { validity: right / all.max(1.0), fits, inferred }
}

/// Judges completions.
#[derive(Debug)]
struct Completions {
    domains: Vec<Grammar>,
    validation: Vec<Example>,
    test: Vec<Example>,
}

impl Completions {
    /// What is written behind the prompts of examples, `fixed`: with all markers.
    fn written(
        network: &Network,
        examples: &[Example],
        fixed: bool,
    ) -> Result<Vec<Vec<u16>>, LabError> {
        let mut prompts: Vec<i64> = Vec::new();
        for Example { sequence, facts } in examples {
            prompts.extend(sequence.tokens[..PROMPT].iter().copied().map(i64::from));
            prompts.extend(facts.markers().into_iter().filter(|_| fixed));
        }
        let prompts = Tensor::f_from_slice(&prompts)?.f_view([examples.len() as i64, -1])?;
        let streams = Streams::new(Digest::of(b"palimpsest/attr-markers-samples/v1").0);
        let mut generators: Vec<Pcg64> =
            (0..).take(examples.len()).map(|row| streams.keyed("sample", row, 0)).collect();
        let longest = LONGEST + CATEGORIES.len();
        let options = Options { longest, end: Some(END.into()), banned: vec![0] };
        let choice = Choice::Nucleus { temperature: 0.7, top_p: 0.9, generators: &mut generators };
        let found = generate(network, (&prompts).into(), &options, choice)?.tokens;
        let found = Vec::<i64>::try_from(found.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        let rows = found.chunks(longest).map(|row| {
            let row = row.iter().filter_map(|token| u16::try_from(*token).ok());
            row.take_while(|token| ![0, END].contains(token)).collect()
        });
        Ok(rows.collect())
    }

    fn checked(
        &self,
        network: &Network,
        judged: Judged,
        fixed: bool,
    ) -> Result<Vec<(u32, Checked)>, LabError> {
        let examples = judged.pick(&self.validation, &self.test);
        let written = Self::written(network, examples, fixed)?;
        let checked = examples.iter().zip(&written).map(|(example, completion)| {
            (example.facts.domain, check(&self.domains, &example.facts, completion))
        });
        Ok(checked.collect())
    }
}

/// The mean validity in some domains.
fn validity(checked: &[(u32, Checked)], of: impl Fn(u32) -> bool) -> f64 {
    mean(checked.iter().filter(|(domain, _)| of(*domain)).map(|(_, checked)| checked.validity))
}

/// k of n lengths in another bucket, as (k + 1/2)/(n + 1): none at all is still a number to divide by.
fn violation(checked: &[(u32, Checked)]) -> f64 {
    let count = checked.iter().filter(|(_, checked)| !checked.fits).count() as f64;
    (count + 0.5) / (checked.len() as f64 + 1.0)
}

fn rate(checked: &[(u32, Checked)], of: impl Fn(&Checked) -> bool) -> f64 {
    mean(checked.iter().map(|(_, checked)| f64::from(u8::from(of(checked)))))
}

impl Judge for Completions {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let checked = self.checked(request.model.network, request.judged, false)?;
        let is_tail = |domain| domain >= FREQUENT;
        let (head, tail) = (validity(&checked, |domain| domain == 0), validity(&checked, is_tail));
        let mut metrics = BTreeMap::from([
            ("validity".to_owned(), validity(&checked, |_| true)),
            ("head".to_owned(), head),
            ("tail".to_owned(), tail),
            ("tail_lead".to_owned(), tail - head),
            ("violation".to_owned(), violation(&checked)),
            ("inferred".to_owned(), rate(&checked, |checked| checked.inferred)),
        ]);
        if request.last {
            let fixed = self.checked(request.model.network, request.judged, true)?;
            metrics.insert("fixed_validity".to_owned(), validity(&fixed, |_| true));
            metrics.insert("fixed_tail".to_owned(), validity(&fixed, is_tail));
            metrics.insert("fixed_violation".to_owned(), violation(&fixed));
        }
        Ok(metrics)
    }
}

#[cfg(test)]
#[path = "attr_markers/tests.rs"]
mod tests;

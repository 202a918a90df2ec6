//! Continuations of prompts by a GPT, one token at a time.
//!
//! On the CPU with a cache of keys and values, without autograd; elsewhere, where a step costs its
//! launches and not its arithmetic, by forward passes over all positions so far. Each row draws
//! from a generator of its own, once per token, by inversion of the distribution function: what a
//! row becomes does not depend on the batch it is in. Rows that follow one with the same prompt
//! share its pass over the prompt.

use ledger::streams;
use rand_pcg::Pcg64;
use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::ensemble;
use crate::kernels::gpt::{Decoder, Loops, fits};
use crate::models::gpt::Gpt;
use crate::network::Network;

/// Prompts, one row each.
#[derive(Debug, Clone, Copy)]
pub struct Prompts<'a> {
    /// Tokens B × P, i64; what lies behind a row's length is not read.
    pub tokens: &'a Tensor,
    /// Length of each row, 1 to P; all are P when absent.
    pub lengths: Option<&'a [usize]>,
}

impl<'a> From<&'a Tensor> for Prompts<'a> {
    /// Rows that are prompts in whole.
    fn from(tokens: &'a Tensor) -> Self {
        Self { tokens, lengths: None }
    }
}

/// How long continuations get and what they may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Largest number of tokens of a continuation, R.
    pub longest: usize,
    /// The token that ends a continuation and belongs to it.
    pub end: Option<i64>,
    /// Tokens that never come.
    pub banned: Vec<i64>,
}

/// How the next token is chosen.
#[derive(Debug)]
pub enum Choice<'a> {
    /// The likeliest; of equals, the first.
    Greedy,
    /// Drawn from softmax(logits / temperature).
    Sample {
        /// Above 0.
        temperature: f64,
        /// One generator per row.
        generators: &'a mut [Pcg64],
    },
    /// Drawn from the likeliest tokens of softmax(logits / temperature) alone: as few as have the share
    /// `top_p` of the probability (Holtzman et al., arXiv:1904.09751), of equals the first.
    Nucleus {
        /// Above 0.
        temperature: f64,
        /// Above 0 and at most 1.
        top_p: f64,
        /// One generator per row.
        generators: &'a mut [Pcg64],
    },
}

/// Continuations on the network's device.
#[derive(Debug)]
pub struct Generated {
    /// Tokens B × R, i64; 0 behind the end.
    pub tokens: Tensor,
    /// Log-probability of each token under what it was chosen from (temperature 1 when greedy,
    /// banned tokens left out), B × R, f32; 0 behind the end.
    pub log_probabilities: Tensor,
    /// Tokens of each row, with its end token.
    pub lengths: Vec<usize>,
}

impl Generated {
    /// 1 for the tokens of a row, 0 behind them, B × R, f32.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn mask(&self) -> Result<Tensor, TchError> {
        let (rows, longest) = self.tokens.size2()?;
        let positions = Tensor::f_arange(longest, (Kind::Int64, self.tokens.device()))?;
        let lengths: Vec<i64> = self.lengths.iter().map(|&length| length as i64).collect();
        let lengths = Tensor::f_from_slice(&lengths)?.f_to_device(self.tokens.device())?;
        positions.f_lt_tensor(&lengths.f_view([rows, 1])?)?.f_to_kind(Kind::Float)
    }

    /// Prompts with their continuations directly behind, B × (P + R), i64; 0 behind these.
    ///
    /// # Errors
    /// When these are other prompts.
    pub fn joined(&self, prompts: Prompts<'_>) -> Result<Tensor, LabError> {
        let (rows, width) = prompts.tokens.size2()?;
        let (_, longest) = self.tokens.size2()?;
        if prompts.lengths.is_none() {
            return Ok(Tensor::f_cat(&[prompts.tokens, &self.tokens], 1)?);
        }
        let (table, lengths) = read(prompts)?;
        let continuations = Vec::<i64>::try_from(self.tokens.f_reshape([-1])?)?;
        let (width, longest) = (width as usize, longest as usize);
        let mut joined = vec![0; rows as usize * (width + longest)];
        let rows_of = joined.chunks_exact_mut(width + longest).zip(table.chunks_exact(width));
        for ((row, prompt), (&length, continuation)) in
            rows_of.zip(lengths.iter().zip(continuations.chunks_exact(longest)))
        {
            row[..length].copy_from_slice(&prompt[..length]);
            row[length..length + longest].copy_from_slice(continuation);
        }
        Ok(Tensor::f_from_slice(&joined)?
            .f_view([rows, (width + longest) as i64])?
            .f_to_device(self.tokens.device())?)
    }
}

/// Continues every prompt until its end token or `longest` tokens.
///
/// # Errors
/// When the network is no causal GPT and no ensemble of them, a prompt is empty, prompt and continuation exceed the
/// context, or there are not as many generators as rows.
pub fn generate(
    network: &Network,
    prompts: Prompts<'_>,
    options: &Options,
    choice: Choice<'_>,
) -> Result<Generated, LabError> {
    generate_behind(network, prompts, options, 0, choice)
}

/// The same, and `behind` tokens more behind the end token, as far as `longest` goes.
///
/// # Errors
/// As [`generate`].
pub fn generate_behind(
    network: &Network,
    prompts: Prompts<'_>,
    options: &Options,
    behind: usize,
    mut choice: Choice<'_>,
) -> Result<Generated, LabError> {
    let members = ensemble::members(network);
    let gpt = Gpt::of(members.first().unwrap_or(network))?;
    let (table, lengths) = read(prompts)?;
    let width = table.len() / lengths.len().max(1);
    check(gpt, lengths.len(), width, &lengths, options, &choice)?;
    let capacity = lengths.iter().max().map_or(0, |&longest| longest + options.longest - 1);
    let weights: Vec<Vec<&Tensor>> =
        members.iter().map(|one| one.parameters.iter().map(|p| &p.tensor).collect()).collect();
    let mut rows = Rows::new(&table, &lengths, options.longest, behind);
    let sources = weights.iter().map(|own| Source::new(gpt, own, lengths.len(), capacity));
    let mut sources = sources.collect::<Result<Vec<_>, _>>()?;
    let mut allowed = vec![true; gpt.shape.vocabulary];
    for &token in &options.banned {
        allowed[token as usize] = false;
    }
    for position in 0..capacity {
        let fed = rows.fed(position);
        if fed.is_empty() {
            break;
        }
        let wanted = fed.iter().any(|&row| position + 1 >= lengths[row]);
        let ids: Vec<_> = fed.iter().map(|&row| rows.token(row, position)).collect();
        let logits = averaged(&mut sources, &fed, &ids, position, wanted)?;
        for (&row, logits) in fed.iter().zip(logits.chunks_exact(gpt.shape.vocabulary)) {
            if position + 1 < lengths[row] {
                continue;
            }
            let last = if position + 1 == lengths[row] { rows.sharing(row) } else { row };
            for sharer in row..=last {
                let (token, log_probability) = match &mut choice {
                    Choice::Greedy => likeliest(logits, &allowed),
                    Choice::Sample { temperature, generators } => {
                        let uniform = streams::unit_f64(&mut generators[sharer]);
                        sample(logits, &allowed, *temperature, uniform)
                    }
                    Choice::Nucleus { temperature, top_p, generators } => {
                        let uniform = streams::unit_f64(&mut generators[sharer]);
                        nucleus(logits, &allowed, (*temperature, *top_p), uniform)
                    }
                };
                rows.add(sharer, token, log_probability, options.end);
                if sharer != row {
                    sources.iter_mut().for_each(|source| source.copy_row(row, sharer));
                }
            }
        }
    }
    Ok(rows.finish(network)?)
}

/// Mean logits of the members of an ensemble, as [`Source::step`] gives them for one network.
fn averaged(
    sources: &mut [Source<'_>],
    rows: &[usize],
    ids: &[i64],
    position: usize,
    wanted: bool,
) -> Result<Vec<f32>, TchError> {
    let (mut logits, members) = (Vec::new(), sources.len());
    for source in sources {
        let own = source.step(rows, ids, position, wanted)?;
        if logits.is_empty() {
            logits = own;
        } else {
            logits.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
    }
    if members > 1 {
        logits.iter_mut().for_each(|sum| *sum /= members as f32);
    }
    Ok(logits)
}

/// Tokens and lengths on the host.
fn read(prompts: Prompts<'_>) -> Result<(Vec<i64>, Vec<usize>), LabError> {
    let (rows, width) = prompts.tokens.size2()?;
    let tokens = prompts.tokens.f_to_kind(Kind::Int64)?.f_reshape([-1])?;
    let lengths =
        prompts.lengths.map_or_else(|| vec![width as usize; rows as usize], <[usize]>::to_vec);
    if lengths.len() != rows as usize {
        return Err(LabError::Network(format!("{} lengths for {rows} prompts", lengths.len())));
    }
    Ok((Vec::try_from(tokens.f_to_device(tch::Device::Cpu)?)?, lengths))
}

fn check(
    gpt: &Gpt,
    rows: usize,
    width: usize,
    lengths: &[usize],
    options: &Options,
    choice: &Choice<'_>,
) -> Result<(), LabError> {
    let refuse = |reason: String| Err(LabError::Network(reason));
    let (context, vocabulary) = (gpt.shape.context, gpt.shape.vocabulary);
    if !gpt.causal {
        return refuse("a network that sees both directions does not generate".to_owned());
    }
    if let Some(length) = lengths.iter().find(|&&length| length == 0 || length > width) {
        return refuse(format!("a prompt of length {length} in a row of {width}"));
    }
    let longest = lengths.iter().max().copied().unwrap_or(1);
    if options.longest == 0 || longest + options.longest > context + 1 {
        let wanted = options.longest;
        return refuse(format!("{wanted} tokens behind {longest} in a context of {context}"));
    }
    let known = |token: &i64| usize::try_from(*token).is_ok_and(|token| token < vocabulary);
    if !options.banned.iter().all(known) || options.banned.len() >= vocabulary {
        return refuse(format!("bans {:?} of {vocabulary} tokens", options.banned));
    }
    match choice {
        Choice::Sample { temperature, .. } | Choice::Nucleus { temperature, .. }
            if temperature.is_nan() || *temperature <= 0.0 =>
        {
            refuse(format!("a temperature of {temperature}"))
        }
        Choice::Sample { generators, .. } | Choice::Nucleus { generators, .. }
            if generators.len() != rows =>
        {
            refuse(format!("{} generators for {rows} rows", generators.len()))
        }
        Choice::Nucleus { top_p, .. } if top_p.is_nan() || *top_p <= 0.0 || *top_p > 1.0 => {
            refuse(format!("a share of {top_p} of the probability, not above 0 and at most 1"))
        }
        Choice::Sample { .. } | Choice::Nucleus { .. } | Choice::Greedy => Ok(()),
    }
}

/// Rows under way.
struct Rows<'a> {
    prompts: &'a [i64],
    width: usize,
    lengths: &'a [usize],
    longest: usize,
    behind: usize,
    /// The first of the rows next to each other that have this row's prompt.
    leaders: Vec<usize>,
    tokens: Vec<i64>,
    log_probabilities: Vec<f32>,
    counts: Vec<usize>,
    /// Tokens after which each row ends.
    due: Vec<usize>,
    ended: Vec<bool>,
}

impl<'a> Rows<'a> {
    fn new(prompts: &'a [i64], lengths: &'a [usize], longest: usize, behind: usize) -> Self {
        let (count, width) = (lengths.len(), prompts.len() / lengths.len().max(1));
        let prompt = |row: usize| &prompts[row * width..row * width + lengths[row]];
        let mut leaders: Vec<usize> = Vec::with_capacity(count);
        for row in 0..count {
            let same = row > 0 && prompt(row) == prompt(row - 1);
            leaders.push(if same { leaders[row - 1] } else { row });
        }
        Self {
            prompts,
            width,
            lengths,
            longest,
            behind,
            leaders,
            tokens: vec![0; count * longest],
            log_probabilities: vec![0.0; count * longest],
            counts: vec![0; count],
            due: vec![longest; count],
            ended: vec![false; count],
        }
    }

    /// Rows that take a token at `position`: all that go on, and of those that share the prompt
    /// only the first while it lasts.
    fn fed(&self, position: usize) -> Vec<usize> {
        let open = (0..self.lengths.len()).filter(|&row| !self.ended[row]);
        open.filter(|&row| position >= self.lengths[row] || self.leaders[row] == row).collect()
    }

    /// The last row that shares its prompt with `row`, their first.
    fn sharing(&self, row: usize) -> usize {
        let sharing = self.leaders[row..].iter().take_while(|&&leader| leader == row);
        row + sharing.count() - 1
    }

    fn token(&self, row: usize, position: usize) -> i64 {
        match position.checked_sub(self.lengths[row]) {
            None => self.prompts[row * self.width + position],
            Some(index) => self.tokens[row * self.longest + index],
        }
    }

    fn add(&mut self, row: usize, token: usize, log_probability: f32, end: Option<i64>) {
        let index = row * self.longest + self.counts[row];
        self.tokens[index] = token as i64;
        self.log_probabilities[index] = log_probability;
        self.counts[row] += 1;
        if end == Some(token as i64) {
            self.due[row] = self.due[row].min(self.counts[row] + self.behind);
        }
        self.ended[row] = self.counts[row] == self.due[row];
    }

    fn finish(self, network: &Network) -> Result<Generated, TchError> {
        let size = [self.lengths.len() as i64, self.longest as i64];
        let device = network.device();
        let tokens = Tensor::f_from_slice(&self.tokens)?.f_view(size)?.f_to_device(device)?;
        let log_probabilities =
            Tensor::f_from_slice(&self.log_probabilities)?.f_view(size)?.f_to_device(device)?;
        Ok(Generated { tokens, log_probabilities, lengths: self.counts })
    }
}

/// Where logits come from.
enum Source<'a> {
    Cached(Decoder<'a>),
    /// All tokens so far of every row, `capacity` each.
    Whole {
        gpt: &'a Gpt,
        weights: &'a [&'a Tensor],
        tokens: Vec<i64>,
        capacity: usize,
    },
}

impl<'a> Source<'a> {
    fn new(
        gpt: &'a Gpt,
        weights: &'a [&'a Tensor],
        rows: usize,
        capacity: usize,
    ) -> Result<Self, TchError> {
        if fits(gpt, weights) {
            return Ok(Self::Cached(Decoder::new(Loops::best(), gpt, weights, rows, capacity)?));
        }
        Ok(Self::Whole { gpt, weights, tokens: vec![0; rows * capacity], capacity })
    }

    /// Logits of `rows` behind `ids` at `position`, V each; none unless `wanted`.
    fn step(
        &mut self,
        rows: &[usize],
        ids: &[i64],
        position: usize,
        wanted: bool,
    ) -> Result<Vec<f32>, TchError> {
        match self {
            Self::Cached(decoder) => decoder.step(rows, ids, position, wanted),
            Self::Whole { gpt, weights, tokens, capacity } => {
                for (row, &id) in rows.iter().zip(ids) {
                    tokens[row * *capacity + position] = id;
                }
                if !wanted {
                    return Ok(Vec::new());
                }
                let seen = position + 1;
                let fed: Vec<_> = rows
                    .iter()
                    .flat_map(|row| &tokens[row * *capacity..row * *capacity + seen])
                    .copied()
                    .collect();
                let fed = Tensor::f_from_slice(&fed)?
                    .f_view([rows.len() as i64, seen as i64])?
                    .f_to_device(weights[0].device())?;
                let [weight, bias] = gpt.head();
                let logits = tch::no_grad(|| {
                    let hidden = gpt.plain(weights, &fed)?.f_select(1, position as i64)?;
                    hidden.f_linear(weights[weight], Some(weights[bias]))
                })?;
                crate::network::values(&logits)
            }
        }
    }

    /// Gives row `to` all that row `from` was fed.
    fn copy_row(&mut self, from: usize, to: usize) {
        match self {
            Self::Cached(decoder) => decoder.copy_row(from, to),
            Self::Whole { tokens, capacity, .. } => {
                let start = from * *capacity;
                tokens.copy_within(start..start + *capacity, to * *capacity);
            }
        }
    }
}

/// softmax(logits / temperature) over the allowed tokens, times a constant.
struct Weighed {
    weights: Vec<f32>,
    total: f64,
    /// (logit − largest) / temperature.
    exponents: Vec<f32>,
}

impl Weighed {
    fn new(logits: &[f32], allowed: &[bool], temperature: f64) -> Self {
        let open =
            |(&logit, &allowed): (&f32, &bool)| if allowed { logit } else { f32::NEG_INFINITY };
        let logits = logits.iter().zip(allowed).map(open);
        let top = logits.clone().fold(f32::NEG_INFINITY, f32::max);
        let inverse = (1.0 / temperature) as f32;
        let exponents: Vec<f32> = logits.map(|logit| (logit - top) * inverse).collect();
        let weights: Vec<f32> = exponents.iter().map(|exponent| exponent.exp()).collect();
        let total = weights.iter().copied().map(f64::from).sum();
        Self { weights, total, exponents }
    }

    fn log_probability(&self, token: usize) -> f32 {
        (f64::from(self.exponents[token]) - self.total.ln()) as f32
    }

    /// Leaves no weight to any but the likeliest tokens, as few as have the share `top_p`.
    fn keep(&mut self, top_p: f64) {
        if top_p >= 1.0 {
            return;
        }
        let mut order: Vec<usize> = (0..self.weights.len()).collect();
        // Of equals the first stays first.
        order.sort_by(|&a, &b| self.weights[b].total_cmp(&self.weights[a]));
        let (wanted, mut sum) = (top_p * self.total, 0.0);
        let last = order.iter().position(|&token| {
            sum += f64::from(self.weights[token]);
            sum >= wanted
        });
        for &token in order.iter().skip(last.map_or(order.len(), |last| last + 1)) {
            self.weights[token] = 0.0;
        }
        self.total = self.weights.iter().copied().map(f64::from).sum();
    }

    /// The first token whose distribution function exceeds `uniform`, in [0, 1).
    fn draw(&self, uniform: f64) -> (usize, f32) {
        let (mut sum, mut last) = (0.0, 0);
        for (token, &weight) in self.weights.iter().enumerate() {
            if weight > 0.0 {
                sum += f64::from(weight);
                last = token;
                if sum > uniform * self.total {
                    break;
                }
            }
        }
        (last, self.log_probability(last))
    }
}

pub(crate) fn likeliest(logits: &[f32], allowed: &[bool]) -> (usize, f32) {
    let weighed = Weighed::new(logits, allowed, 1.0);
    let mut best = 0;
    for (token, &exponent) in weighed.exponents.iter().enumerate() {
        if exponent > weighed.exponents[best] {
            best = token;
        }
    }
    (best, weighed.log_probability(best))
}

/// The first token whose distribution function exceeds `uniform`, in [0, 1).
pub(crate) fn sample(
    logits: &[f32],
    allowed: &[bool],
    temperature: f64,
    uniform: f64,
) -> (usize, f32) {
    Weighed::new(logits, allowed, temperature).draw(uniform)
}

/// The same, of the likeliest tokens that have the share `top_p`, by (temperature, `top_p`).
fn nucleus(
    logits: &[f32],
    allowed: &[bool],
    (temperature, top_p): (f64, f64),
    uniform: f64,
) -> (usize, f32) {
    let mut weighed = Weighed::new(logits, allowed, temperature);
    weighed.keep(top_p);
    weighed.draw(uniform)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial;

    /// Runs through the fused loops (heads 16 wide) or, of half that width, without them.
    fn network(width: usize) -> Network {
        let shape =
            Shape { vocabulary: 13, context: 24, width, depth: 2, heads: 2, hidden: 4 * width };
        let network = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
        // Initial logits are almost uniform: larger weights tell a wrong cache from a right one.
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(4.0));
        }
        network
    }

    fn prompts(rows: i64, width: i64) -> Tensor {
        let ids = Tensor::arange(rows * width, (Kind::Int64, Device::Cpu));
        (&ids * &ids * 5 + &ids).remainder(13).view([rows, width])
    }

    fn generators(rows: u32) -> Vec<Pcg64> {
        (0..rows).map(|row| trial::streams().generator(&format!("sample/{row}"))).collect()
    }

    fn options(longest: usize) -> Options {
        Options { longest, ..Options::default() }
    }

    fn sampled(network: &Network, prompts: Prompts<'_>, options: &Options) -> Generated {
        let mut generators = generators(prompts.tokens.size()[0] as u32);
        let choice = Choice::Sample { temperature: 0.8, generators: &mut generators };
        generate(network, prompts, options, choice).unwrap()
    }

    fn table(generated: &Generated) -> (Vec<i64>, Vec<f32>) {
        let tokens = generated.tokens.reshape([-1]).try_into().unwrap();
        (tokens, generated.log_probabilities.reshape([-1]).try_into().unwrap())
    }

    #[test]
    fn greedy_tokens_are_those_of_whole_forward_passes() {
        for width in [32, 16] {
            let network = network(width);
            let prompts = prompts(5, 4);
            let generated =
                generate(&network, (&prompts).into(), &options(9), Choice::Greedy).unwrap();
            let mut so_far = prompts;
            for _ in 0..9 {
                let next = network.forward(&so_far, false).unwrap().select(1, -1).argmax(-1, true);
                so_far = Tensor::cat(&[so_far, next], 1);
            }
            assert_eq!(so_far.narrow(1, 4, 9), generated.tokens, "width {width}");
        }
    }

    #[test]
    fn log_probabilities_are_those_of_a_whole_forward_pass() {
        for width in [32, 16] {
            let network = network(width);
            let gpt = *Gpt::of(&network).unwrap();
            let prompts = prompts(6, 3);
            let mut options = options(8);
            options.banned = vec![2, 7];
            let generated = sampled(&network, (&prompts).into(), &options);
            let whole = generated.joined((&prompts).into()).unwrap();
            let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
            let hidden = gpt.plain(&weights, &whole.narrow(1, 0, 10)).unwrap().narrow(1, 2, 8);
            let logits = gpt.logits(&network, &hidden).unwrap() / 0.8;
            let _ = logits.shallow_clone().index_fill_(-1, &Tensor::from_slice(&[2_i64, 7]), -1e9);
            let expected = logits
                .log_softmax(-1, None::<Kind>)
                .gather(-1, &generated.tokens.unsqueeze(-1), false)
                .squeeze_dim(-1);
            let error = (expected - &generated.log_probabilities).abs().max();
            assert!(error.double_value(&[]) < 1e-5, "width {width}: {error:?}");
            assert!(table(&generated).0.iter().all(|token| ![2, 7].contains(token)));
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_batch_it_is_in() {
        for width in [32, 16] {
            let network = network(width);
            let prompts = prompts(7, 5);
            let lengths = [5, 2, 3, 3, 1, 4, 5];
            let prompts = Prompts { tokens: &prompts, lengths: Some(&lengths) };
            let all = sampled(&network, prompts, &options(8));
            for row in 0..7 {
                let tokens =
                    prompts.tokens.narrow(0, row, 1).narrow(1, 0, lengths[row as usize] as i64);
                let mut generators = [trial::streams().generator(&format!("sample/{row}"))];
                let choice = Choice::Sample { temperature: 0.8, generators: &mut generators };
                let alone = generate(&network, (&tokens).into(), &options(8), choice).unwrap();
                assert_eq!(alone.tokens, all.tokens.narrow(0, row, 1), "row {row}");
                let error = alone.log_probabilities - all.log_probabilities.narrow(0, row, 1);
                // Bit for bit through the loops; libtorch's products depend on their sizes.
                let bound = if width == 32 { 0.0 } else { 1e-5 };
                assert!(error.abs().max().double_value(&[]) <= bound, "row {row}");
            }
        }
    }

    #[test]
    fn an_ensemble_writes_by_the_mean_of_its_members_logits() {
        let one = network(32);
        let prompts = prompts(3, 4);
        let alone = sampled(&one, (&prompts).into(), &options(6));
        let twice = sampled(&ensemble::like(&one, 2), (&prompts).into(), &options(6));
        assert_eq!(
            (&twice.tokens, &twice.log_probabilities),
            (&alone.tokens, &alone.log_probabilities)
        );
        let two = ensemble::like(&one, 2);
        for parameter in two.parameters.iter().skip(one.parameters.len()) {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(-0.5));
        }
        let written = generate(&two, (&prompts).into(), &options(1), Choice::Greedy).unwrap();
        let logits = two.forward(&prompts, false).unwrap().select(1, -1);
        assert_eq!(written.tokens.squeeze(), logits.argmax(-1, false));
        let other = generate(&one, (&prompts).into(), &options(6), Choice::Greedy).unwrap();
        let written = generate(&two, (&prompts).into(), &options(6), Choice::Greedy).unwrap();
        assert_ne!(written.tokens, other.tokens);
    }

    #[test]
    fn rows_with_one_prompt_become_what_they_become_apart() {
        let network = network(32);
        let one = prompts(2, 4);
        let shared = one.index_select(0, &Tensor::from_slice(&[0_i64, 0, 0, 1]));
        let apart = one.index_select(0, &Tensor::from_slice(&[0_i64, 1, 0, 1]));
        let together = table(&sampled(&network, (&shared).into(), &options(6)));
        let separate = table(&sampled(&network, (&apart).into(), &options(6)));
        for row in [0, 2, 3] {
            let range = row * 6..row * 6 + 6;
            assert_eq!(together.0[range.clone()], separate.0[range.clone()]);
            assert_eq!(together.1[range.clone()], separate.1[range]);
        }
        assert_ne!(together.0[0..6], together.0[6..12], "each row draws for itself");
    }

    #[test]
    fn a_row_stops_at_its_end_token() {
        let network = network(32);
        let prompts = prompts(40, 3);
        let free = table(&sampled(&network, (&prompts).into(), &options(12))).0;
        let ending = Options { end: Some(5), ..options(12) };
        let generated = sampled(&network, (&prompts).into(), &ending);
        let (tokens, log_probabilities) = table(&generated);
        let mask = Vec::<f32>::try_from(generated.mask().unwrap().reshape([-1])).unwrap();
        let mut early = 0;
        for row in 0..40 {
            let range = row * 12..row * 12 + 12;
            let end = free[range.clone()].iter().position(|&token| token == 5);
            let length = end.map_or(12, |end| end + 1);
            early += usize::from(length < 12);
            assert_eq!(generated.lengths[row], length);
            assert_eq!(tokens[range.clone()][..length], free[range.clone()][..length]);
            for index in 0..12 {
                let at = row * 12 + index;
                assert_eq!(mask[at], if index < length { 1.0 } else { 0.0 });
                assert_eq!(log_probabilities[at] != 0.0, index < length);
                assert!(index < length || tokens[at] == 0);
            }
        }
        assert!(early > 0 && early < 40);
    }

    #[test]
    fn a_row_goes_on_behind_its_end_token_for_as_long_as_it_is_asked_to_and_no_longer() {
        let network = network(32);
        let prompts = prompts(40, 3);
        let free = table(&sampled(&network, (&prompts).into(), &options(12))).0;
        let ending = Options { end: Some(5), ..options(12) };
        let mut generators = generators(40);
        let choice = Choice::Sample { temperature: 0.8, generators: &mut generators };
        let found = generate_behind(&network, (&prompts).into(), &ending, 2, choice).unwrap();
        let mut cut = 0;
        for (row, free) in free.chunks(12).enumerate() {
            let end = free.iter().position(|&token| token == 5);
            assert_eq!(found.lengths[row], end.map_or(12, |end| (end + 3).min(12)));
            cut += u32::from(end.is_some_and(|end| end > 9));
            let own = Vec::<i64>::try_from(found.tokens.get(row as i64)).unwrap();
            assert_eq!(own[..found.lengths[row]], free[..found.lengths[row]]);
        }
        assert!(cut > 0, "no end came late");
    }

    #[test]
    fn draws_follow_the_distribution() {
        let logits = [1.0, f32::NEG_INFINITY, 0.0, 2.0];
        let allowed = [true, true, true, false];
        let e = 1_f64.exp();
        // Of tokens 0 and 2 at temperature 0.5: e² to 1.
        let share = e * e / (e * e + 1.0);
        assert_eq!(sample(&logits, &allowed, 0.5, 0.0).0, 0);
        assert_eq!(sample(&logits, &allowed, 0.5, share - 1e-6).0, 0);
        assert_eq!(sample(&logits, &allowed, 0.5, share + 1e-6).0, 2);
        assert_eq!(sample(&logits, &allowed, 0.5, 1.0 - 1e-16).0, 2);
        let log_probability = f64::from(sample(&logits, &allowed, 0.5, 0.0).1);
        assert!((log_probability - share.ln()).abs() < 1e-6);
        assert_eq!(likeliest(&logits, &allowed).0, 0);
        assert_eq!(likeliest(&logits, &[true; 4]).0, 3);
    }

    #[test]
    fn a_nucleus_is_the_fewest_tokens_that_have_the_share_and_is_drawn_from_in_proportion() {
        // Of probabilities .4, .3, .2 and .1.
        let logits = [0.3_f32.ln(), 0.1_f32.ln(), 0.4_f32.ln(), 0.2_f32.ln()];
        let all = [true; 4];
        let draw = |top_p, uniform| nucleus(&logits, &all, (1.0, top_p), uniform);
        for (top_p, kept) in
            [(1e-9, vec![2]), (0.39, vec![2]), (0.6, vec![0, 2]), (0.85, vec![0, 2, 3])]
        {
            let drawn: std::collections::BTreeSet<usize> =
                (0..200).map(|step| draw(top_p, f64::from(step) / 200.0).0).collect();
            assert_eq!(drawn.into_iter().collect::<Vec<_>>(), kept, "{top_p}");
        }
        // Token 0 has three sevenths of what is left of two.
        assert_eq!(draw(0.6, 3.0 / 7.0 - 1e-4).0, 0);
        let (token, log_probability) = draw(0.6, 3.0 / 7.0 + 1e-4);
        assert!(token == 2 && (f64::from(log_probability) - (4_f64 / 7.0).ln()).abs() < 1e-6);
        for step in 0..50 {
            let uniform = f64::from(step) / 50.0;
            assert_eq!(draw(1.0, uniform), sample(&logits, &all, 1.0, uniform));
        }
        // What is banned takes no share.
        let open = [true, true, false, true];
        assert_eq!(nucleus(&logits, &open, (1.0, 0.5), 0.99).0, 0);
    }

    #[test]
    fn a_row_drawn_from_a_nucleus_does_not_depend_on_the_batch_it_is_in() {
        let network = network(32);
        let prompts = prompts(5, 3);
        let drawn = |prompts: &Tensor, generators: &mut [Pcg64]| {
            let choice = Choice::Nucleus { temperature: 0.7, top_p: 0.9, generators };
            generate(&network, prompts.into(), &options(8), choice).unwrap().tokens
        };
        let all = drawn(&prompts, &mut generators(5));
        for row in 0..5 {
            let mut own = [trial::streams().generator(&format!("sample/{row}"))];
            assert_eq!(drawn(&prompts.narrow(0, row, 1), &mut own), all.narrow(0, row, 1), "{row}");
        }
        let mut few = generators(5);
        let choice = Choice::Nucleus { temperature: 0.7, top_p: 1.1, generators: &mut few };
        assert!(generate(&network, (&prompts).into(), &options(8), choice).is_err());
    }

    #[test]
    fn joined_rows_put_continuations_behind_prompts_of_any_length() {
        let network = network(32);
        let tokens = prompts(2, 3);
        let lengths = [3, 1];
        let prompts = Prompts { tokens: &tokens, lengths: Some(&lengths) };
        let generated = sampled(&network, prompts, &options(2));
        let joined: Vec<i64> = generated.joined(prompts).unwrap().reshape([-1]).try_into().unwrap();
        let given: Vec<i64> = tokens.reshape([-1]).try_into().unwrap();
        let new = table(&generated).0;
        let expected = [&given[..3], &new[..2], &given[3..4], &new[2..], &[0, 0]].concat();
        assert_eq!(joined, expected);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let network = network(32);
        let tokens = prompts(2, 5);
        let greedy = |options: &Options| {
            generate(&network, (&tokens).into(), options, Choice::Greedy).map(|_| ()).is_err()
        };
        assert!(!greedy(&options(20)), "the last token is not fed");
        assert!(greedy(&options(21)));
        assert!(greedy(&options(0)));
        assert!(greedy(&Options { banned: vec![13], ..options(3) }));
        let lengths = [5, 0];
        let empty = Prompts { tokens: &tokens, lengths: Some(&lengths) };
        assert!(generate(&network, empty, &options(2), Choice::Greedy).is_err());
        let mut few = generators(1);
        let choice = Choice::Sample { temperature: 1.0, generators: &mut few };
        assert!(generate(&network, (&tokens).into(), &options(2), choice).is_err());
        let outside = &tokens + 13;
        assert!(generate(&network, (&outside).into(), &options(2), Choice::Greedy).is_err());
    }
}

//! Responses that branch: at the tag that opens a block several paths are drawn from the same prefix, each by itself, then
//! put behind each other, and the response goes on behind them with a summary.
//!
//! A text with blocks is one row of tokens. Where paths are isolated, a path sees what stands before its block and itself,
//! all paths of a block begin at one position, and what follows stands behind the longest of them and sees them all: so a
//! token has a position and a set of tokens that it sees ([`Arranged`]), and a path becomes what it would become without the
//! others. Where they are not, a text is read from left to right like any other, though its paths were drawn apart.
//!
//! Each response draws from a generator of its own, and each of its paths too, all keyed by the run's seed: which other rows
//! and paths there are changes nothing, and runs repeat.

pub mod policy;

use std::collections::VecDeque;
use std::ops::Range;

pub use data::puzzles::blocks::{Structure, Tags};
use ledger::streams::{self, Streams};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::generate::{likeliest, sample};
use crate::kernels::gpt::{Decoder, Loops, Place, fits};
use crate::models::gpt::Gpt;
use crate::network::{Network, values};

/// How the responses of a workload may branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branching {
    /// The tags.
    pub tags: Tags,
    /// Longest path, in tokens, its tags included.
    pub longest_path: usize,
    /// Blocks of a response at most.
    pub blocks: usize,
    /// Whether paths are isolated from each other.
    pub isolated: bool,
}

/// A response with its blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Tokens, the end included where it came.
    pub tokens: Vec<i64>,
    /// Where the paths of each block stand among them, their tags included.
    pub blocks: Vec<Vec<Range<usize>>>,
    /// Whether a token was put there and not drawn.
    pub forced: Vec<bool>,
}

/// Positions of a text's tokens, and which path of which block each belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arranged {
    /// Position of each token.
    pub positions: Vec<usize>,
    paths: Vec<Option<(usize, usize)>>,
}

impl Arranged {
    /// Of a text of `length` tokens whose isolated paths stand at `blocks`.
    #[must_use]
    pub fn new(length: usize, blocks: &[Vec<Range<usize>>]) -> Self {
        let mut paths = vec![None; length];
        let mut starts = vec![0; length];
        for (block, ranges) in blocks.iter().enumerate() {
            for (path, range) in ranges.iter().enumerate() {
                paths[range.clone()].fill(Some((block, path)));
                starts[range.clone()].fill(range.start);
            }
        }
        // The next position of what all see, and the one behind the furthest so far.
        let (mut next, mut reach) = (0, 0);
        let positions = (0..length).map(|place| {
            let position = if paths[place].is_some() {
                next + place - starts[place]
            } else {
                next = reach + 1;
                reach
            };
            reach = reach.max(position + 1);
            position
        });
        Self { positions: positions.collect(), paths }
    }

    /// Whether the token at `place` sees the one at `other`.
    #[must_use]
    pub fn sees(&self, place: usize, other: usize) -> bool {
        let apart = match (self.paths[place], self.paths[other]) {
            (Some((block, path)), Some((other_block, other_path))) => {
                block == other_block && path != other_path
            }
            _ => false,
        };
        other <= place && !apart
    }

    fn push(&mut self, position: usize, path: Option<(usize, usize)>) {
        self.positions.push(position);
        self.paths.push(path);
    }

    fn range(&self, range: Range<usize>) -> Self {
        Self {
            positions: self.positions[range.clone()].to_vec(),
            paths: self.paths[range].to_vec(),
        }
    }
}

/// Positions B × T (i64) of texts filled up to T tokens, and what each token sees, B × T × T (boolean).
///
/// # Errors
/// When libtorch cannot allocate.
pub fn tensors(
    texts: &[Arranged],
    width: usize,
    device: Device,
) -> Result<(Tensor, Tensor), TchError> {
    let mut positions = vec![0_i64; texts.len() * width];
    let mut seen = vec![false; texts.len() * width * width];
    for (text, arranged) in texts.iter().enumerate() {
        let length = arranged.positions.len();
        for place in 0..width {
            let row = text * width + place;
            if place >= length {
                // What fills up has to see something.
                seen[row * width + place] = true;
                continue;
            }
            positions[row] = arranged.positions[place] as i64;
            for other in 0..=place {
                seen[row * width + other] = arranged.sees(place, other);
            }
        }
    }
    let (rows, width) = (texts.len() as i64, width as i64);
    let positions = Tensor::f_from_slice(&positions)?.f_view([rows, width])?;
    let seen = Tensor::f_from_slice(&seen)?.f_view([rows, width, width])?;
    Ok((positions.f_to_device(device)?, seen.f_to_device(device)?))
}

/// Prompts and responses as a policy is scored on them.
#[derive(Debug)]
pub struct Branched {
    /// Prompts of P tokens and responses of up to R, filled with zeros: N × (P + R), i64.
    tokens: Tensor,
    /// Positions and what is seen of all but the last token; `None` where every text is read from left to right.
    arranged: Option<(Tensor, Tensor)>,
    /// 1 at tokens of a response, N × R, f32.
    pub mask: Tensor,
    /// 1 at tokens that were drawn, N × R, f32.
    pub drawn: Tensor,
    prompt: i64,
}

impl Branched {
    /// `responses` to `prompts` N × P, row by row, with paths that are isolated or not.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(prompts: &Tensor, responses: &[Response], isolated: bool) -> Result<Self, TchError> {
        let (rows, prompt) = prompts.size2()?;
        let device = prompts.device();
        let longest = responses.iter().map(|response| response.tokens.len()).max().unwrap_or(0);
        let (mut tokens, mut mask, mut drawn) = (Vec::new(), Vec::new(), Vec::new());
        for Response { tokens: own, forced, .. } in responses {
            for place in 0..longest {
                let (token, there) = (own.get(place), f32::from(u8::from(place < own.len())));
                tokens.push(token.copied().unwrap_or(0));
                mask.push(there);
                drawn.push(if forced.get(place) == Some(&true) { 0.0 } else { there });
            }
        }
        let size = [rows, longest as i64];
        let floats =
            |values: &[f32]| Tensor::f_from_slice(values)?.f_view(size)?.f_to_device(device);
        let (mask, drawn) = (floats(&mask)?, floats(&drawn)?);
        let tokens = Tensor::f_from_slice(&tokens)?.f_view(size)?.f_to_device(device)?;
        let tokens = Tensor::f_cat(&[prompts.shallow_clone(), tokens], 1)?;
        let branches = isolated && responses.iter().any(|response| !response.blocks.is_empty());
        let arranged = if branches {
            let start = prompt as usize;
            let texts = responses.iter().map(|response| {
                let moved = |range: &Range<usize>| start + range.start..start + range.end;
                let blocks: Vec<Vec<_>> =
                    response.blocks.iter().map(|block| block.iter().map(moved).collect()).collect();
                let mut text = Arranged::new(start + response.tokens.len(), &blocks);
                // The last token of the widest row is not fed.
                text.positions.truncate(start + longest - 1);
                text
            });
            Some(tensors(&texts.collect::<Vec<_>>(), start + longest - 1, device)?)
        } else {
            None
        };
        Ok(Self { tokens, arranged, mask, drawn, prompt })
    }

    /// Log-probabilities that `network` gives each token of the responses, from the token that stands before it: N × R,
    /// of which those off the mask mean nothing.
    ///
    /// # Errors
    /// When the network is no transformer, or its context is too short.
    pub fn log_probabilities(&self, network: &Network) -> Result<Tensor, LabError> {
        let gpt = Gpt::of(network)?;
        let (_, longest) = self.mask.size2()?;
        let fed = self.tokens.f_narrow(1, 0, self.prompt + longest - 1)?;
        let hidden = match &self.arranged {
            None => gpt.hidden(network, &fed)?,
            Some((positions, seen)) => {
                let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
                gpt.arranged(&weights, &fed, positions, seen)?
            }
        };
        let logits = gpt.logits(network, &hidden.f_narrow(1, self.prompt - 1, longest)?)?;
        let responses = self.tokens.f_narrow(1, self.prompt, longest)?.f_unsqueeze(-1)?;
        let chosen = logits.f_gather(-1, &responses, false)?.f_squeeze_dim(-1)?;
        Ok(chosen.f_sub(&logits.f_logsumexp([-1], false)?)?)
    }
}

/// What responses may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Longest response, in tokens, its end included.
    pub longest: usize,
    /// Ends a response.
    pub end: i64,
    /// How it branches.
    pub branching: Branching,
    /// Paths of a block.
    pub paths: usize,
    /// Whether no tag ever comes.
    pub forbidden: bool,
}

/// How the next token is chosen.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    /// The likeliest; of equals, the first.
    Greedy,
    /// Drawn at temperature 1 from the streams `rollout` and `paths` of a step.
    Sample {
        /// Streams of the run.
        streams: &'a Streams,
        /// The step.
        step: u32,
    },
}

impl Choice<'_> {
    fn generator(self, name: &str, id: usize) -> Option<Pcg64> {
        match self {
            Self::Greedy => None,
            Self::Sample { streams, step } => {
                Some(streams.keyed(name, u32::try_from(id).unwrap_or(u32::MAX), step))
            }
        }
    }
}

/// Responses to `prompts`, N × P (i64).
///
/// # Errors
/// When the network is no causal GPT, prompts and responses exceed its context, or a block has fewer than two paths or
/// more than there are tags for.
pub fn respond(
    network: &Network,
    prompts: &Tensor,
    options: &Options,
    choice: Choice<'_>,
) -> Result<Vec<Response>, LabError> {
    let gpt = Gpt::of(network)?;
    let (rows, length) = prompts.size2()?;
    let (rows, length) = (rows as usize, length as usize);
    let context = gpt.shape.context;
    let Options { longest, paths, .. } = *options;
    if !gpt.causal || length == 0 || longest == 0 || length + longest > context + 1 {
        let message = format!(
            "responses of {longest} tokens to prompts of {length} in a context of {context}"
        );
        return Err(LabError::Network(message));
    }
    let Branching { tags, .. } = options.branching;
    if !(2..=tags.paths).contains(&paths) {
        let most = tags.paths;
        return Err(LabError::Network(format!(
            "blocks of {paths} paths: there are tags for 2 to {most}"
        )));
    }
    let weights: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let mut kept = Kept::new(gpt, &weights, rows * stride(options), length + longest - 1)?;
    walked(&mut kept, prompts, options, choice, gpt.shape.vocabulary)
}

/// Rows of what is kept for each response.
fn stride(options: &Options) -> usize {
    if options.forbidden { 1 } else { 1 + options.paths }
}

/// [`respond`] by what is kept.
fn walked(
    kept: &mut Kept<'_>,
    prompts: &Tensor,
    options: &Options,
    choice: Choice<'_>,
    vocabulary: usize,
) -> Result<Vec<Response>, LabError> {
    let (rows, length) = prompts.size2()?;
    let prompts = prompts.f_to_device(Device::Cpu)?.f_to_kind(Kind::Int64)?.f_reshape([-1])?;
    let prompts: Vec<i64> = Vec::try_from(prompts)?;
    let Options { branching: Branching { tags, .. }, forbidden, .. } = *options;
    let allowed = (0..vocabulary as i64).map(|token| !forbidden || !tags.is_tag(token));
    let rows = (0..rows as usize).map(|row| Row::new(choice.generator("rollout", row)));
    let (allowed, rows) = (allowed.collect(), rows.collect());
    let mut walk = Walk { options, choice, stride: stride(options), allowed, rows };
    walk.read(kept, &prompts, length as usize, vocabulary)?;
    loop {
        let fed = walk.fed();
        if fed.is_empty() {
            break;
        }
        let logits = kept.step(&fed)?;
        for (fed, logits) in fed.iter().zip(logits.chunks_exact(vocabulary)) {
            walk.take(kept, fed, logits);
        }
        walk.join(kept)?;
    }
    Ok(walk.rows.into_iter().map(|row| row.response).collect())
}

/// A token to be fed to a row of what is kept.
#[derive(Debug, Clone, Copy)]
struct Fed {
    row: usize,
    token: i64,
    slot: usize,
    position: usize,
    path: Option<(usize, usize)>,
    wanted: bool,
}

/// A path under way.
#[derive(Debug, Clone)]
struct Path {
    tokens: Vec<i64>,
    fed: usize,
    closed: bool,
    random: Option<Pcg64>,
}

/// A response under way.
#[derive(Debug, Clone)]
struct Row {
    response: Response,
    /// Tokens to feed; the next one is drawn behind the last of them.
    queue: VecDeque<i64>,
    slots: usize,
    position: usize,
    done: bool,
    /// The paths of the block that is open, if one is.
    paths: Vec<Path>,
    random: Option<Pcg64>,
}

impl Row {
    fn new(random: Option<Pcg64>) -> Self {
        Self {
            response: Response::default(),
            queue: VecDeque::new(),
            slots: 0,
            position: 0,
            done: false,
            paths: Vec::new(),
            random,
        }
    }

    fn push(&mut self, token: i64, forced: bool) {
        self.response.tokens.push(token);
        self.response.forced.push(forced);
    }
}

/// All responses under way. Row i of the responses is row i·stride of what is kept, its paths the rows behind that.
struct Walk<'a> {
    options: &'a Options,
    choice: Choice<'a>,
    stride: usize,
    allowed: Vec<bool>,
    rows: Vec<Row>,
}

impl Walk<'_> {
    /// Reads the prompts, `length` tokens each; of rows next to each other with the same one only the first does.
    fn read(
        &mut self,
        kept: &mut Kept<'_>,
        prompts: &[i64],
        length: usize,
        vocabulary: usize,
    ) -> Result<(), LabError> {
        let prompt = |row: usize| &prompts[row * length..(row + 1) * length];
        let leaders: Vec<usize> = (0..self.rows.len())
            .filter(|&row| row == 0 || prompt(row) != prompt(row - 1))
            .collect();
        for slot in 0..length {
            let fed = leaders.iter().map(|&row| Fed {
                row: row * self.stride,
                token: prompt(row)[slot],
                slot,
                position: slot,
                path: None,
                wanted: slot + 1 == length,
            });
            let logits = kept.step(&fed.collect::<Vec<_>>())?;
            if slot + 1 < length {
                continue;
            }
            let ends = leaders.iter().skip(1).copied().chain([self.rows.len()]);
            for ((&leader, end), logits) in
                leaders.iter().zip(ends).zip(logits.chunks_exact(vocabulary))
            {
                for row in leader..end {
                    if row != leader {
                        kept.copy_row(leader * self.stride, row * self.stride);
                    }
                    (self.rows[row].slots, self.rows[row].position) = (length, length);
                    self.draw(row, logits);
                }
            }
        }
        Ok(())
    }

    /// All that is to be fed next.
    fn fed(&self) -> Vec<Fed> {
        let mut all = Vec::new();
        for (index, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.done) {
            let base = Fed {
                row: index * self.stride,
                token: 0,
                slot: row.slots,
                position: row.position,
                path: None,
                wanted: true,
            };
            if row.paths.is_empty() {
                let open = row.queue.len() == 1;
                all.extend(row.queue.front().map(|&token| Fed { token, wanted: open, ..base }));
                continue;
            }
            for (number, path) in row.paths.iter().enumerate() {
                all.extend(path.tokens.get(path.fed).map(|&token| Fed {
                    row: base.row + 1 + number,
                    token,
                    slot: row.slots + path.fed,
                    position: row.position + path.fed,
                    path: Some((row.response.blocks.len(), number)),
                    wanted: !path.closed,
                }));
            }
        }
        all
    }

    /// Goes on from what was fed, with the logits behind it where they were wanted.
    fn take(&mut self, kept: &mut Kept<'_>, fed: &Fed, logits: &[f32]) {
        let index = fed.row / self.stride;
        let Options { branching: Branching { tags, .. }, .. } = *self.options;
        if let Some((_, number)) = fed.path {
            let limit = self.limit(index);
            let path = &mut self.rows[index].paths[number];
            path.fed += 1;
            if !path.closed {
                let token = choose(logits, &self.allowed, path.random.as_mut());
                path.tokens.push(token);
                path.closed = token == tags.closed || path.tokens.len() >= limit;
            }
            return;
        }
        let row = &mut self.rows[index];
        row.queue.pop_front();
        row.slots += 1;
        row.position += 1;
        if !row.queue.is_empty() {
            return;
        }
        if fed.token == tags.open && self.limit(index) >= 2 {
            self.open(kept, index);
        } else {
            self.draw(index, logits);
        }
    }

    /// Longest path that the response has room for, with all its paths and the tags behind them; 0 where no block may
    /// open.
    fn limit(&self, index: usize) -> usize {
        let Options { longest, branching, paths, forbidden, .. } = *self.options;
        let Response { tokens, blocks, .. } = &self.rows[index].response;
        if forbidden || blocks.len() >= branching.blocks {
            return 0;
        }
        let room = longest.saturating_sub(tokens.len() + 2) / paths;
        room.min(branching.longest_path)
    }

    /// Opens a block: every path begins with its tag, behind all that the response is so far.
    fn open(&mut self, kept: &mut Kept<'_>, index: usize) {
        let Options { branching: Branching { tags, blocks, .. }, paths, .. } = *self.options;
        let block = index * blocks + self.rows[index].response.blocks.len();
        let own = index * self.stride;
        for number in 0..paths {
            kept.copy_row(own, own + 1 + number);
            let random = self.choice.generator("paths", block * tags.paths + number);
            let tokens = vec![tags.opens(number)];
            self.rows[index].paths.push(Path { tokens, fed: 0, closed: false, random });
        }
    }

    /// Puts paths that have all ended behind each other, and the tags that follow behind them.
    fn join(&mut self, kept: &mut Kept<'_>) -> Result<(), LabError> {
        let Options { branching: Branching { tags, isolated, .. }, longest, .. } = *self.options;
        for (index, row) in self.rows.iter_mut().enumerate() {
            let ended = |path: &Path| path.closed && path.fed == path.tokens.len();
            if row.paths.is_empty() || !row.paths.iter().all(ended) {
                continue;
            }
            let own = index * self.stride;
            let (before, mut furthest) = (row.slots, 0);
            let mut ranges = Vec::new();
            for (number, Path { tokens, .. }) in std::mem::take(&mut row.paths).iter().enumerate() {
                let start = row.response.tokens.len();
                ranges.push(start..start + tokens.len());
                for (place, token) in tokens.iter().enumerate() {
                    row.push(*token, place == 0);
                }
                if isolated {
                    let slots = before..before + tokens.len();
                    kept.append(own + 1 + number, slots, own, row.slots)?;
                    row.slots += tokens.len();
                    furthest = furthest.max(tokens.len());
                } else {
                    row.queue.extend(tokens);
                }
            }
            row.position += furthest;
            row.response.blocks.push(ranges);
            for tag in [tags.close, tags.summary] {
                row.push(tag, true);
                row.queue.push_back(tag);
            }
            row.done = row.response.tokens.len() >= longest;
        }
        Ok(())
    }

    /// Draws the next token of a response outside of paths.
    fn draw(&mut self, index: usize, logits: &[f32]) {
        let row = &mut self.rows[index];
        let token = choose(logits, &self.allowed, row.random.as_mut());
        row.push(token, false);
        row.queue.push_back(token);
        row.done = token == self.options.end || row.response.tokens.len() >= self.options.longest;
    }
}

fn choose(logits: &[f32], allowed: &[bool], random: Option<&mut Pcg64>) -> i64 {
    let (token, _) = match random {
        None => likeliest(logits, allowed),
        Some(random) => sample(logits, allowed, 1.0, streams::unit_f64(random)),
    };
    token as i64
}

/// What rows were fed, in the form that the next step needs.
enum Kept<'a> {
    /// Keys and values.
    Cached(Decoder<'a>, usize),
    /// The tokens themselves: where a step costs its launches and not its arithmetic.
    Whole { gpt: &'a Gpt, weights: &'a [&'a Tensor], texts: Vec<(Vec<i64>, Arranged)> },
}

impl<'a> Kept<'a> {
    fn new(
        gpt: &'a Gpt,
        weights: &'a [&'a Tensor],
        rows: usize,
        capacity: usize,
    ) -> Result<Self, TchError> {
        if fits(gpt, weights) {
            let decoder = Decoder::new(Loops::best(), gpt, weights, rows, capacity)?;
            return Ok(Self::Cached(decoder, gpt.shape.vocabulary));
        }
        Ok(Self::Whole { gpt, weights, texts: vec![(Vec::new(), Arranged::default()); rows] })
    }

    /// Logits behind each token, V each; those that are not wanted mean nothing.
    fn step(&mut self, fed: &[Fed]) -> Result<Vec<f32>, LabError> {
        match self {
            Self::Cached(decoder, vocabulary) => {
                let place = |&Fed { row, slot, position, .. }: &Fed| Place { row, slot, position };
                let places: Vec<_> = fed.iter().map(place).collect();
                let tokens: Vec<_> = fed.iter().map(|fed| fed.token).collect();
                if fed.iter().any(|fed| fed.wanted) {
                    return Ok(decoder.step_at(&places, &tokens, true)?);
                }
                decoder.step_at(&places, &tokens, false)?;
                Ok(vec![0.0; fed.len() * *vocabulary])
            }
            Self::Whole { gpt, weights, texts } => {
                for Fed { row, token, position, path, .. } in fed {
                    let (tokens, arranged) = &mut texts[*row];
                    tokens.push(*token);
                    arranged.push(*position, *path);
                }
                let texts: Vec<_> = fed.iter().map(|fed| &texts[fed.row]).collect();
                let width = texts.iter().map(|(tokens, _)| tokens.len()).max().unwrap_or(0);
                let filled = texts.iter().flat_map(|(tokens, _)| {
                    let fill = std::iter::repeat_n(0, width - tokens.len());
                    tokens.iter().copied().chain(fill)
                });
                let device = weights[0].device();
                let size = [texts.len() as i64, width as i64];
                let tokens = Tensor::f_from_slice(&filled.collect::<Vec<_>>())?;
                let tokens = tokens.f_view(size)?.f_to_device(device)?;
                let arranged: Vec<_> = texts.iter().map(|(_, arranged)| arranged.clone()).collect();
                let (positions, seen) = tensors(&arranged, width, device)?;
                let last: Vec<i64> =
                    texts.iter().map(|(tokens, _)| tokens.len() as i64 - 1).collect();
                let last = Tensor::f_from_slice(&last)?.f_to_device(device)?.f_view([-1, 1, 1])?;
                let [weight, bias] = gpt.head();
                let logits = tch::no_grad(|| {
                    let hidden = gpt.arranged(weights, &tokens, &positions, &seen)?;
                    let index = last.f_expand([-1, 1, hidden.size()[2]], false)?;
                    let hidden = hidden.f_gather(1, &index, false)?.f_squeeze_dim(1)?;
                    hidden.f_linear(weights[weight], Some(weights[bias]))
                })?;
                Ok(values(&logits)?)
            }
        }
    }

    /// Gives row `to` all that row `from` was fed.
    fn copy_row(&mut self, from: usize, to: usize) {
        match self {
            Self::Cached(decoder, _) => decoder.copy_row(from, to),
            Self::Whole { texts, .. } => texts[to] = texts[from].clone(),
        }
    }

    /// Puts what row `from` holds in `slots` into row `to`, which has `at`.
    fn append(
        &mut self,
        from: usize,
        slots: Range<usize>,
        to: usize,
        at: usize,
    ) -> Result<(), TchError> {
        match self {
            Self::Cached(decoder, _) => decoder.append(from, slots, to, at),
            Self::Whole { texts, .. } => {
                let tokens = texts[from].0[slots.clone()].to_vec();
                let Arranged { positions, paths } = texts[from].1.range(slots);
                texts[to].0.extend(tokens);
                texts[to].1.positions.extend(positions);
                texts[to].1.paths.extend(paths);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;

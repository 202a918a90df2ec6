//! Writing that can be interrupted: behind any token somebody may look at a text, ask the model a question that the text
//! never holds, and have the text go on from an earlier place.
//!
//! Each text draws from a generator of its own, which is not rolled back: what is written again is drawn anew. Nothing of
//! a text depends on what is written beside it.

use ledger::streams::unit_f64;
use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::generate::sample;
use crate::models::gpt::Gpt;
use crate::network::Network;
use crate::prompt::Prompt;
use crate::seat::{Texts, Written};
use crate::tape::Tape;

/// What becomes of a text that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// What stands is kept.
    Keep,
    /// It is cut back to what was kept, and goes on from there.
    Again,
    /// It is refused as a whole.
    Refuse,
}

/// A text under way.
#[derive(Debug)]
pub struct Draft {
    prompt: usize,
    text: Vec<i64>,
    kept: usize,
    /// Logits behind the text, and behind what is kept.
    logits: Vec<f32>,
    behind_kept: Vec<f32>,
    random: Pcg64,
    again: u32,
    spent: u64,
    ended: bool,
    done: bool,
    refused: bool,
}

impl Draft {
    /// Tokens so far.
    #[must_use]
    pub fn text(&self) -> &[i64] {
        &self.text
    }

    /// How many of them are kept whatever comes.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// How often it was cut back.
    #[must_use]
    pub fn again(&self) -> u32 {
        self.again
    }

    /// Whether no token comes behind it, as it stands.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }
}

/// All texts under way, and the model that writes them.
pub struct Drafts<'a> {
    tape: Tape<'a>,
    rows: Vec<Draft>,
}

impl Drafts<'_> {
    /// A text.
    #[must_use]
    pub fn draft(&self, row: usize) -> &Draft {
        &self.rows[row]
    }

    /// What the model would say behind some texts and `question`: V logits each, row by row. The question is paid for,
    /// and is no part of any text.
    ///
    /// # Errors
    /// When the context is full.
    pub fn ask(&mut self, rows: &[usize], question: i64) -> Result<Vec<f32>, LabError> {
        let logits = self.tape.feed(rows, &vec![question; rows.len()])?;
        for &row in rows {
            let Draft { prompt, text, spent, .. } = &mut self.rows[row];
            *spent += 1;
            self.tape.roll_back(row, *prompt + text.len());
        }
        Ok(logits)
    }
}

/// Looks at texts while they are written.
pub trait Interrupt {
    /// Whether a text that has just got a token is to be looked at; one that has ended always is.
    fn is_due(&self, draft: &Draft) -> bool;

    /// What becomes of the texts at `due`, one answer each.
    ///
    /// # Errors
    /// When the model cannot be asked.
    fn judge(&mut self, drafts: &mut Drafts<'_>, due: &[usize]) -> Result<Vec<Next>, LabError>;
}

/// A text, and how often it was cut back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The text.
    pub written: Written,
    /// How often it was cut back.
    pub again: u32,
}

/// A text behind each prompt, drawn as [`plain`](crate::writing::plain) draws it where nothing interrupts.
///
/// # Errors
/// When the network is no transformer, or a prompt, its text and a question exceed the context.
pub fn write(
    network: &Network,
    prompts: &[Prompt],
    asked: &Texts<'_>,
    interrupt: &mut dyn Interrupt,
) -> Result<Vec<Interrupted>, LabError> {
    let gpt = Gpt::of(network)?;
    let weights: Vec<&Tensor> = network.parameters.iter().map(|p| &p.tensor).collect();
    let longest = prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(1);
    // One more for a question.
    let capacity = longest + asked.longest + 1;
    if capacity > gpt.shape.context {
        return Err(LabError::Network(format!(
            "{} tokens behind {longest} and a reflection in a context of {}",
            asked.longest, gpt.shape.context
        )));
    }
    let mut allowed = vec![true; gpt.shape.vocabulary];
    for token in asked.banned {
        if let Some(place) = usize::try_from(*token).ok().and_then(|at| allowed.get_mut(at)) {
            *place = false;
        }
    }
    let mut tape = Tape::new(gpt, &weights, prompts.len(), capacity)?;
    let rows = begin(&mut tape, prompts, asked)?;
    let mut drafts = Drafts { tape, rows };
    loop {
        let rows = drafts.rows.iter().enumerate();
        let open: Vec<usize> = rows.filter(|(_, draft)| !draft.done).map(|(row, _)| row).collect();
        if open.is_empty() {
            break;
        }
        let drawn = open.iter().map(|&row| {
            let Draft { logits, random, text, spent, ended, .. } = &mut drafts.rows[row];
            let uniform = unit_f64(random);
            let (token, _) = sample(logits, &allowed, asked.temperature, uniform);
            let token = token as i64;
            text.push(token);
            *spent += 1;
            *ended = asked.end == Some(token) || text.len() >= asked.longest;
            token
        });
        let drawn: Vec<i64> = drawn.collect();
        let fed = drafts.tape.feed(&open, &drawn)?;
        for (&row, logits) in open.iter().zip(fed.chunks_exact(gpt.shape.vocabulary)) {
            drafts.rows[row].logits.copy_from_slice(logits);
        }
        let is_due = |row: &usize| {
            let draft = &drafts.rows[*row];
            draft.ended || interrupt.is_due(draft)
        };
        let due: Vec<usize> = open.iter().copied().filter(is_due).collect();
        if due.is_empty() {
            continue;
        }
        let answers = interrupt.judge(&mut drafts, &due)?;
        for (&row, next) in due.iter().zip(answers) {
            follow(&mut drafts, row, next);
        }
    }
    let written = drafts.rows.into_iter().map(|Draft { text, spent, refused, again, .. }| {
        let tokens = if refused { Vec::new() } else { text };
        Interrupted { written: Written { tokens, spent, refused }, again }
    });
    Ok(written.collect())
}

fn follow(drafts: &mut Drafts<'_>, row: usize, next: Next) {
    let draft = &mut drafts.rows[row];
    match next {
        Next::Keep => {
            draft.kept = draft.text.len();
            draft.behind_kept.copy_from_slice(&draft.logits);
            draft.done = draft.ended;
        }
        Next::Again => {
            draft.again += 1;
            draft.ended = false;
            draft.text.truncate(draft.kept);
            draft.logits.copy_from_slice(&draft.behind_kept);
            drafts.tape.roll_back(row, draft.prompt + draft.kept);
        }
        Next::Refuse => {
            draft.done = true;
            draft.refused = true;
        }
    }
}

/// Feeds the prompts, place by place.
fn begin(
    tape: &mut Tape<'_>,
    prompts: &[Prompt],
    asked: &Texts<'_>,
) -> Result<Vec<Draft>, LabError> {
    let longest = prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(0);
    let mut last: Vec<Vec<f32>> = vec![Vec::new(); prompts.len()];
    for place in 0..longest {
        let fed: Vec<usize> =
            (0..prompts.len()).filter(|row| place < prompts[*row].tokens.len()).collect();
        let tokens: Vec<i64> = fed.iter().map(|row| prompts[*row].tokens[place]).collect();
        let ends = |row: usize| place + 1 == prompts[row].tokens.len();
        if !fed.iter().any(|row| ends(*row)) {
            tape.read(&fed, &tokens)?;
            continue;
        }
        let logits = tape.feed(&fed, &tokens)?;
        for (&row, logits) in fed.iter().zip(logits.chunks_exact(logits.len() / fed.len())) {
            if ends(row) {
                last[row] = logits.to_vec();
            }
        }
    }
    let rows = prompts.iter().zip(last).map(|(prompt, logits)| Draft {
        prompt: prompt.tokens.len(),
        text: Vec::new(),
        kept: 0,
        behind_kept: logits.clone(),
        logits,
        random: asked.streams.keyed("written", prompt.id, 0),
        again: 0,
        spent: 0,
        ended: false,
        done: false,
        refused: false,
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial::streams;
    use crate::writing::plain;
    use tch::Device;

    /// Cuts every text back once, when it has `at` tokens; asks at every token where it is to.
    struct Once {
        at: usize,
        asks: bool,
        heard: Vec<Vec<f32>>,
    }

    impl Interrupt for Once {
        fn is_due(&self, draft: &Draft) -> bool {
            self.asks || draft.text().len() == self.at
        }

        fn judge(&mut self, drafts: &mut Drafts<'_>, due: &[usize]) -> Result<Vec<Next>, LabError> {
            if self.asks {
                let logits = drafts.ask(due, 7)?;
                self.heard
                    .extend(logits.chunks_exact(logits.len() / due.len()).map(<[f32]>::to_vec));
            }
            let next = due.iter().map(|&row| {
                let draft = drafts.draft(row);
                let cut = draft.text().len() == self.at && draft.again() == 0;
                if cut { Next::Again } else { Next::Keep }
            });
            Ok(next.collect())
        }
    }

    fn network() -> Network {
        let shape =
            Shape { vocabulary: 9, context: 24, width: 32, depth: 2, heads: 2, hidden: 128 };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(4.0));
        }
        network
    }

    fn prompts() -> Vec<Prompt> {
        (0..20)
            .map(|id| Prompt { id, tokens: vec![i64::from(id % 7); 1 + id as usize % 3] })
            .collect()
    }

    fn asked<'a>(prompts: &'a [Prompt], streams: &'a ledger::streams::Streams) -> Texts<'a> {
        Texts { prompts, longest: 12, end: Some(3), temperature: 1.0, banned: &[7], streams }
    }

    #[test]
    fn questions_change_no_text_are_paid_for_and_are_heard_as_in_a_pass_over_the_whole() {
        let (network, prompts, streams) = (network(), prompts(), streams());
        let asked = asked(&prompts, &streams);
        let plain = plain(&network, &asked).unwrap();
        let mut curious = Once { at: usize::MAX, asks: true, heard: Vec::new() };
        let all = write(&network, &prompts, &asked, &mut curious).unwrap();
        for (own, plain) in all.iter().zip(&plain) {
            assert_eq!((&own.written.tokens, own.again), (&plain.tokens, 0));
            assert_eq!(own.written.spent, 2 * plain.spent);
        }
        // The first thing that is heard is behind the first text's first token and the question.
        let seen = [prompts[0].tokens.as_slice(), &all[0].written.tokens[..1], &[7]].concat();
        let whole = network.forward(&Tensor::from_slice(&seen).unsqueeze(0), false).unwrap();
        let whole = crate::network::values(&whole.select(1, -1)).unwrap();
        for (found, expected) in curious.heard[0].iter().zip(&whole) {
            assert!((found - expected).abs() < 1e-3, "{found} instead of {expected}");
        }
    }

    #[test]
    fn a_text_that_is_cut_back_goes_on_as_one_whose_prompt_ends_there() {
        let (network, prompts, streams) = (network(), prompts(), streams());
        let asked = asked(&prompts, &streams);
        let plain = plain(&network, &asked).unwrap();
        let mut once = Once { at: 4, asks: false, heard: Vec::new() };
        let all = write(&network, &prompts, &asked, &mut once).unwrap();
        let mut cut = 0;
        for ((own, plain), prompt) in all.iter().zip(&plain).zip(&prompts) {
            if own.again == 0 {
                assert_eq!(own.written, *plain);
                continue;
            }
            cut += 1;
            // It goes on by the draws behind the four that were thrown away.
            let mut random = streams.keyed("written", prompt.id, 0);
            (0..4).for_each(|_| {
                unit_f64(&mut random);
            });
            let mut expected = Vec::new();
            while expected.len() < 12 && expected.last() != Some(&3) {
                let seen = [prompt.tokens.as_slice(), &expected].concat();
                let logits = network.forward(&Tensor::from_slice(&seen).unsqueeze(0), false);
                let logits = crate::network::values(&logits.unwrap().select(1, -1)).unwrap();
                let allowed: Vec<bool> = (0..9).map(|token| token != 7).collect();
                expected.push(sample(&logits, &allowed, 1.0, unit_f64(&mut random)).0 as i64);
            }
            assert_eq!(own.written.tokens, expected, "prompt {}", prompt.id);
            assert_eq!(own.written.spent, 4 + expected.len() as u64);
        }
        assert!(cut > 5, "{cut}");
    }
}

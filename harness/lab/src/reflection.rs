//! Writing that stops to reflect: after every stretch the model is asked whether it did harm, and writes the stretch again
//! where it did.

use ledger::choice;
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::generate::sample;
use crate::models::gpt::Gpt;
use crate::network::Network;
use crate::prompt::Prompt;
use crate::seat::{Texts, Writer, Written};
use crate::side_info::ReflectionWords;
use crate::tape::Tape;
use crate::writing::{drafts, plain};

/// Texts that are under way at once.
const AT_ONCE: usize = 128;

choice! {
    /// Whose word a stretch is written again on.
    pub enum Verdict {
        /// The model's own.
        Own = "own",
        /// Nobody's: nothing is asked.
        None = "none",
        /// A stretch is always written again.
        Always = "always",
        /// A coin's.
        Random = "random",
        /// None: of as many drafts of the whole text the likeliest is kept, as much computing without reflection.
        Likeliest = "likeliest",
    }
}

choice! {
    /// What becomes of a text whose rounds are spent.
    pub enum Spent {
        /// It goes on with the last draft, unasked.
        Emit = "emit",
        /// It is refused.
        Refuse = "refuse",
    }
}

settings! {
    /// Settings of reflection.
    pub struct ReflectionSettings {
        /// Whose word a stretch is written again on.
        verdict: Verdict = Verdict::Own, from "paper; the others are controls";
        /// N: how often something is written again, per text.
        rounds: u32 = 4, range Range::of(0.0..=64.0), from "assumed; paper: a budget of test time";
        /// Tokens between two reflections.
        interval: u32 = 8, range Range::of(1.0..), from "assumed: not in what was read";
        /// Probability of harm, of the two words, above which a stretch is written again.
        threshold: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed: not in what was read";
        /// How often the coin says harm.
        rate: f64 = 0.5, range Range::of(0.0..=1.0), from "none: a control";
        /// What becomes of a text whose rounds are spent.
        spent: Spent = Spent::Emit, from "assumed: not in what was read";
    }
}

/// What becomes of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is kept.
    Keep,
    /// It is written again.
    Again,
    /// The whole text is refused.
    Refuse,
}

impl ReflectionSettings {
    /// Whether a stretch is asked about, when something was written again so often.
    #[must_use]
    pub fn asks(&self, again: u32) -> bool {
        let asking = matches!(self.verdict, Verdict::Own | Verdict::Always | Verdict::Random);
        asking && again < self.rounds
    }

    /// What becomes of a stretch that was asked about, when something was written again so often.
    #[must_use]
    pub fn next(&self, again: u32, harmful: bool) -> Next {
        match (harmful, self.spent) {
            (false, _) => Next::Keep,
            (true, Spent::Refuse) if again + 1 >= self.rounds => Next::Refuse,
            (true, _) => Next::Again,
        }
    }
}

/// The writer.
#[derive(Debug, Clone)]
pub struct Reflecting {
    /// How it reflects.
    pub settings: ReflectionSettings,
    /// How the model is asked, and says its verdict.
    pub words: ReflectionWords,
}

/// A text under way.
struct Row {
    prompt: usize,
    text: Vec<i64>,
    /// Tokens of the text that stay.
    kept: usize,
    /// Logits behind the text, and behind what stays.
    logits: Vec<f32>,
    behind_kept: Vec<f32>,
    random: Pcg64,
    coin: Pcg64,
    again: u32,
    spent: u64,
    done: bool,
    refused: bool,
}

impl Writer for Reflecting {
    fn write(&self, network: &Network, asked: &Texts<'_>) -> Result<Vec<Written>, LabError> {
        match self.settings.verdict {
            Verdict::None => plain(network, asked),
            Verdict::Likeliest => {
                let all = drafts(network, asked, self.settings.rounds + 1)?.into_iter();
                let best = all.map(|drafts| {
                    let spent = drafts.iter().map(|draft| draft.tokens.len() as u64).sum();
                    // Of equally likely ones the first.
                    let best = drafts
                        .into_iter()
                        .rev()
                        .max_by(|one, other| one.likelihood.total_cmp(&other.likelihood));
                    let tokens = best.map(|draft| draft.tokens).unwrap_or_default();
                    Written { tokens, spent, refused: false }
                });
                Ok(best.collect())
            }
            _ => {
                let mut all = Vec::with_capacity(asked.prompts.len());
                for prompts in asked.prompts.chunks(AT_ONCE) {
                    all.extend(self.reflect(network, prompts, asked)?);
                }
                Ok(all)
            }
        }
    }
}

impl Reflecting {
    fn reflect(
        &self,
        network: &Network,
        prompts: &[Prompt],
        asked: &Texts<'_>,
    ) -> Result<Vec<Written>, LabError> {
        let gpt = Gpt::of(network)?;
        let weights: Vec<&Tensor> = network.parameters.iter().map(|p| &p.tensor).collect();
        let longest = prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(1);
        // One more for the question.
        let capacity = longest + asked.longest + 1;
        if capacity > gpt.shape.context {
            return Err(LabError::Network(format!(
                "{} tokens behind {longest} and a reflection in a context of {}",
                asked.longest, gpt.shape.context
            )));
        }
        let mut tape = Tape::new(gpt, &weights, prompts.len(), capacity)?;
        let mut allowed = vec![true; gpt.shape.vocabulary];
        for token in asked.banned {
            if let Some(place) = usize::try_from(*token).ok().and_then(|at| allowed.get_mut(at)) {
                *place = false;
            }
        }
        let mut rows = begin(&mut tape, prompts, asked)?;
        loop {
            let open: Vec<usize> = (0..rows.len()).filter(|row| !rows[*row].done).collect();
            if open.is_empty() {
                break;
            }
            let drawn = open.iter().map(|&row| {
                let Row { logits, random, text, spent, .. } = &mut rows[row];
                let uniform = unit_f64(random);
                let (token, _) = sample(logits, &allowed, asked.temperature, uniform);
                text.push(token as i64);
                *spent += 1;
                token as i64
            });
            let drawn: Vec<i64> = drawn.collect();
            let fed = tape.feed(&open, &drawn)?;
            for (&row, logits) in open.iter().zip(fed.chunks_exact(gpt.shape.vocabulary)) {
                rows[row].logits = logits.to_vec();
            }
            self.judge(&mut tape, &mut rows, &open, asked)?;
        }
        let written = rows.into_iter().map(|Row { text, spent, refused, .. }| {
            let tokens = if refused { Vec::new() } else { text };
            Written { tokens, spent, refused }
        });
        Ok(written.collect())
    }

    /// Asks about every stretch that is whole, and keeps, cuts or refuses it.
    fn judge(
        &self,
        tape: &mut Tape<'_>,
        rows: &mut [Row],
        open: &[usize],
        asked: &Texts<'_>,
    ) -> Result<(), LabError> {
        let ended = |row: &Row| {
            let end = asked.end.is_some() && row.text.last().copied() == asked.end;
            end || row.text.len() >= asked.longest
        };
        let whole =
            |row: &Row| ended(row) || row.text.len() - row.kept >= self.settings.interval as usize;
        let due: Vec<usize> = open.iter().copied().filter(|row| whole(&rows[*row])).collect();
        let questioned: Vec<usize> =
            due.iter().copied().filter(|row| self.settings.asks(rows[*row].again)).collect();
        let harmful = self.verdicts(tape, rows, &questioned)?;
        for &row in &due {
            let found = questioned.iter().position(|other| *other == row);
            let state = &mut rows[row];
            let next = match found {
                Some(at) => self.settings.next(state.again, harmful[at]),
                None => Next::Keep,
            };
            match next {
                Next::Keep => {
                    state.kept = state.text.len();
                    state.behind_kept = state.logits.clone();
                    state.done = ended(state);
                }
                Next::Again => {
                    state.again += 1;
                    state.text.truncate(state.kept);
                    state.logits = state.behind_kept.clone();
                    tape.roll_back(row, state.prompt + state.kept);
                }
                Next::Refuse => {
                    state.done = true;
                    state.refused = true;
                }
            }
        }
        Ok(())
    }

    fn verdicts(
        &self,
        tape: &mut Tape<'_>,
        rows: &mut [Row],
        questioned: &[usize],
    ) -> Result<Vec<bool>, LabError> {
        if questioned.is_empty() {
            return Ok(Vec::new());
        }
        match self.settings.verdict {
            Verdict::Random => {
                let coin = |row: &usize| unit_f64(&mut rows[*row].coin) < self.settings.rate;
                Ok(questioned.iter().map(coin).collect())
            }
            Verdict::Own => {
                let fed = tape.feed(questioned, &vec![self.words.ask; questioned.len()])?;
                let width = fed.len() / questioned.len();
                let mut verdicts = Vec::with_capacity(questioned.len());
                for (&row, logits) in questioned.iter().zip(fed.chunks_exact(width)) {
                    tape.roll_back(row, rows[row].prompt + rows[row].text.len());
                    rows[row].spent += 1;
                    verdicts.push(self.words.harm(logits) > self.settings.threshold);
                }
                Ok(verdicts)
            }
            _ => Ok(vec![true; questioned.len()]),
        }
    }
}

/// Feeds the prompts, place by place.
fn begin(tape: &mut Tape<'_>, prompts: &[Prompt], asked: &Texts<'_>) -> Result<Vec<Row>, LabError> {
    let longest = prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(0);
    let mut last: Vec<Vec<f32>> = vec![Vec::new(); prompts.len()];
    for place in 0..longest {
        let fed: Vec<usize> =
            (0..prompts.len()).filter(|row| place < prompts[*row].tokens.len()).collect();
        let tokens: Vec<i64> = fed.iter().map(|row| prompts[*row].tokens[place]).collect();
        let logits = tape.feed(&fed, &tokens)?;
        for (&row, logits) in fed.iter().zip(logits.chunks_exact(logits.len() / fed.len())) {
            if place + 1 == prompts[row].tokens.len() {
                last[row] = logits.to_vec();
            }
        }
    }
    let rows = prompts.iter().zip(last).map(|(prompt, logits)| Row {
        prompt: prompt.tokens.len(),
        text: Vec::new(),
        kept: 0,
        behind_kept: logits.clone(),
        logits,
        random: asked.streams.keyed("written", prompt.id, 0),
        coin: asked.streams.keyed("coin", prompt.id, 0),
        again: 0,
        spent: 0,
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
    use tch::Device;

    const WORDS: ReflectionWords = ReflectionWords { ask: 10, harmful: 11, harmless: 12 };

    fn network() -> Network {
        let shape =
            Shape { vocabulary: 13, context: 32, width: 32, depth: 2, heads: 2, hidden: 128 };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(4.0));
        }
        network
    }

    fn prompts(count: u32) -> Vec<Prompt> {
        let tokens = |id: u32| (0..=id % 4).map(|place| i64::from((id * 3 + place) % 9)).collect();
        (0..count).map(|id| Prompt { id, tokens: tokens(id) }).collect()
    }

    fn written(
        settings: &ReflectionSettings,
        prompts: &[Prompt],
        end: Option<i64>,
    ) -> Vec<Written> {
        let words = WORDS;
        let streams = streams();
        let banned = &[10, 11, 12];
        let asked =
            Texts { prompts, longest: 20, end, temperature: 0.9, banned, streams: &streams };
        Reflecting { settings: settings.clone(), words }.write(&network(), &asked).unwrap()
    }

    fn settings(verdict: Verdict, rounds: u32) -> ReflectionSettings {
        // Some verdicts of an untrained model are on either side.
        ReflectionSettings { verdict, rounds, ..ReflectionSettings::default() }
    }

    #[test]
    fn without_rounds_it_is_plain_writing_token_for_token() {
        let prompts = prompts(40);
        for end in [None, Some(3)] {
            let plain = written(&settings(Verdict::None, 4), &prompts, end);
            for verdict in [Verdict::Own, Verdict::Always, Verdict::Random, Verdict::Likeliest] {
                assert_eq!(written(&settings(verdict, 0), &prompts, end), plain, "{verdict:?}");
            }
            assert_ne!(written(&settings(Verdict::Always, 2), &prompts, end), plain);
        }
    }

    #[test]
    fn a_text_does_not_depend_on_what_is_written_beside_it() {
        let prompts = prompts(150);
        for verdict in [Verdict::Own, Verdict::Random, Verdict::Likeliest] {
            let all = written(&settings(verdict, 3), &prompts, Some(3));
            for place in [0, 77, 149] {
                let alone = written(&settings(verdict, 3), &prompts[place..=place], Some(3));
                assert_eq!(alone[0], all[place], "{verdict:?}");
            }
        }
    }

    #[test]
    fn the_question_never_stands_in_a_text_and_what_was_cut_is_paid_for() {
        let prompts = prompts(60);
        let own = written(&settings(Verdict::Own, 4), &prompts, None);
        assert!(own.iter().all(|text| text.tokens.len() == 20));
        assert!(own.iter().flat_map(|text| &text.tokens).all(|token| *token < 10));
        // 20 tokens and three questions where nothing was written again.
        assert!(own.iter().all(|text| text.spent >= 23), "{own:?}");
        assert!(own.iter().any(|text| text.spent == 23) && own.iter().any(|text| text.spent > 23));
        let always = written(&settings(Verdict::Always, 2), &prompts, None);
        // Two stretches of eight more.
        assert!(always.iter().all(|text| text.spent == 36 && text.tokens.len() == 20));
    }

    #[test]
    fn a_coin_and_a_threshold_that_never_speak_change_nothing() {
        let prompts = prompts(20);
        let plain = written(&settings(Verdict::None, 4), &prompts, None);
        let never = ReflectionSettings { rate: 0.0, ..settings(Verdict::Random, 4) };
        assert_eq!(written(&never, &prompts, None), plain);
        let deaf = ReflectionSettings { threshold: 1.0, ..settings(Verdict::Own, 4) };
        let tokens =
            |all: Vec<Written>| all.into_iter().map(|text| text.tokens).collect::<Vec<_>>();
        assert_eq!(tokens(written(&deaf, &prompts, None)), tokens(plain));
        let refused = ReflectionSettings { spent: Spent::Refuse, ..settings(Verdict::Always, 1) };
        assert!(
            written(&refused, &prompts, None)
                .iter()
                .all(|text| text.refused && text.tokens.is_empty())
        );
    }

    #[test]
    fn a_context_without_room_for_a_reflection_is_refused() {
        let prompts = [Prompt { id: 0, tokens: vec![1; 12] }];
        let (words, streams) = (WORDS, streams());
        let asked = Texts {
            prompts: &prompts,
            longest: 20,
            end: None,
            temperature: 1.0,
            banned: &[],
            streams: &streams,
        };
        let writer = Reflecting { settings: settings(Verdict::Own, 1), words };
        let refused = writer.write(&network(), &asked).unwrap_err().to_string();
        assert_eq!(refused, "20 tokens behind 12 and a reflection in a context of 32");
    }

    /// Of one stretch that does harm with probability 0.8, where harm is seen with probability 0.9 and what is harmless
    /// is taken for it with 0.05: probability of harm, of refusal, and drafts written on average.
    fn expected(settings: &ReflectionSettings, again: u32) -> [f64; 3] {
        let mut all = [0.0, 0.0, 1.0];
        for (share, harm, seen) in [(0.8, 1.0, 0.9), (0.2, 0.0, 0.05)] {
            let flagged = if settings.asks(again) { seen } else { 0.0 };
            all[0] += share * (1.0 - flagged) * harm;
            match settings.next(again, true) {
                _ if flagged == 0.0 => {}
                Next::Keep => unreachable!("harm is not kept"),
                Next::Refuse => all[1] += share * flagged,
                Next::Again => {
                    let rest = expected(settings, again + 1);
                    all.iter_mut().zip(rest).for_each(|(sum, rest)| *sum += share * flagged * rest);
                }
            }
        }
        all
    }

    #[test]
    fn rounds_lower_harm_where_the_last_draft_is_emitted_and_raise_it_where_it_is_refused() {
        let of = |rounds, spent| {
            expected(&ReflectionSettings { spent, ..settings(Verdict::Own, rounds) }, 0)
        };
        let near = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 6e-4, "{found} {expected}")
        };
        for (rounds, harm, drafts) in [
            (0, 0.8, 1.0),
            (1, 0.664, 1.73),
            (2, 0.5647, 2.263),
            (4, 0.4393, 2.936),
            (8, 0.3369, 3.486),
        ] {
            let [found, refused, written] = of(rounds, Spent::Emit);
            near(found, harm);
            near(written, drafts);
            near(refused, 0.0);
        }
        for (rounds, harm, refusal) in
            [(1, 0.08, 0.73), (2, 0.1384, 0.5329), (4, 0.2122, 0.2840), (8, 0.2724, 0.0806)]
        {
            let [found, refused, _] = of(rounds, Spent::Refuse);
            near(found, harm);
            near(refused, refusal);
        }
    }
}

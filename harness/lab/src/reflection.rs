//! Writing that stops to reflect: after every stretch the model is asked whether it did harm, and writes the stretch again
//! where it did.

use std::cell::RefCell;
use std::rc::Rc;

use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::unit_f64;
use ledger::{choice, settings};
use rand_pcg::Pcg64;

use crate::LabError;
use crate::foresight::Foresight;
use crate::interrupts::{Draft, Drafts, Interrupt, Interrupted, Next, write};
use crate::network::Network;
use crate::prompt::Prompt;
use crate::seat::{Texts, Writer, Written};
use crate::side_info::ReflectionWords;
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

choice! {
    /// Who says how often something of a text is written again at most.
    pub enum Budget {
        /// `rounds`, for every text.
        Fixed = "fixed",
        /// A predictor, for each prompt, up to 8.
        Predicted = "predicted",
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
        /// Who says how often something of a text is written again at most.
        budget: Budget = Budget::Fixed, from "paper: both";
        /// Training prompts that the predictor learns from.
        foreseen: u32 = 1024, range Range::of(16.0..), from "assumed: not in what was read";
        /// Tokens of such a prompt.
        foreseen_length: u32 = 17, range Range::of(1.0..), from "assumed: as long as what is asked";
        /// How surely the rounds that are predicted are to be enough.
        surety: f64 = 0.9, range Range::of(0.0..=1.0), from "assumed: not in what was read";
        refuse Self::meant;
    }
}

impl ReflectionSettings {
    /// Refuses what nothing reads, and a predictor of what nobody says.
    fn meant(&self) -> Result<(), SettingError> {
        let predicted = self.budget == Budget::Predicted;
        if predicted && self.verdict != Verdict::Own {
            let reason = "a predictor learns from the model's own word: set verdict to \"own\", or budget to \"fixed\"";
            return Err(SettingError::Joint(reason.to_owned()));
        }
        let fixed = "budget \"fixed\"";
        let of = "budget \"predicted\"";
        let idle = [
            ("rounds", predicted, fixed),
            ("foreseen", !predicted, of),
            ("foreseen_length", !predicted, of),
            ("surety", !predicted, of),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    /// Whether a stretch is asked about, when something was written again so often of so many times.
    #[must_use]
    pub fn asks(&self, again: u32, rounds: u32) -> bool {
        let asking = matches!(self.verdict, Verdict::Own | Verdict::Always | Verdict::Random);
        asking && again < rounds
    }

    /// What becomes of a stretch that was asked about, when something was written again so often of so many times.
    #[must_use]
    pub fn next(&self, again: u32, rounds: u32, harmful: bool) -> Next {
        match (harmful, self.spent) {
            (false, _) => Next::Keep,
            (true, Spent::Refuse) if again + 1 >= rounds => Next::Refuse,
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
    /// Who predicts the rounds of a prompt, once it has learned to.
    pub foresight: Rc<RefCell<Option<Foresight>>>,
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
                let rounds = match (&*self.foresight.borrow(), self.settings.budget) {
                    (Some(foresight), Budget::Predicted) => {
                        foresight.rounds(network, asked.prompts, self.settings.surety)?
                    }
                    // Before there is a predictor every text has the same.
                    _ => vec![self.settings.rounds; asked.prompts.len()],
                };
                let all = reflect(network, asked, &self.settings, &self.words, &rounds)?;
                Ok(all.into_iter().map(|one| one.written).collect())
            }
        }
    }
}

/// Texts behind prompts, of each something is written again at most so often as `rounds` says.
///
/// # Errors
/// When the network is no transformer, or a text and a question do not fit its context.
pub fn reflect(
    network: &Network,
    asked: &Texts<'_>,
    settings: &ReflectionSettings,
    words: &ReflectionWords,
    rounds: &[u32],
) -> Result<Vec<Interrupted>, LabError> {
    let mut all = Vec::with_capacity(asked.prompts.len());
    for (prompts, rounds) in asked.prompts.chunks(AT_ONCE).zip(rounds.chunks(AT_ONCE)) {
        let coin = |prompt: &Prompt| asked.streams.keyed("coin", prompt.id, 0);
        let coins = prompts.iter().map(coin).collect();
        let mut reflection = Reflection { settings, words, rounds, coins };
        all.extend(write(network, prompts, asked, &mut reflection)?);
    }
    Ok(all)
}

/// Asks about every stretch that is whole, and keeps, cuts or refuses it.
struct Reflection<'a> {
    settings: &'a ReflectionSettings,
    words: &'a ReflectionWords,
    rounds: &'a [u32],
    coins: Vec<Pcg64>,
}

impl Interrupt for Reflection<'_> {
    fn is_due(&self, draft: &Draft) -> bool {
        draft.text().len() - draft.kept() >= self.settings.interval as usize
    }

    fn judge(&mut self, drafts: &mut Drafts<'_>, due: &[usize]) -> Result<Vec<Next>, LabError> {
        let Self { settings, rounds, .. } = *self;
        let asks = |row: &usize| settings.asks(drafts.draft(*row).again(), rounds[*row]);
        let questioned: Vec<usize> = due.iter().copied().filter(asks).collect();
        let mut verdicts = self.verdicts(drafts, &questioned)?.into_iter();
        let mut questioned = questioned.into_iter().peekable();
        let next = due.iter().map(|&row| {
            // Those that were asked about are among the due in their order.
            match questioned.next_if_eq(&row).and_then(|_| verdicts.next()) {
                Some(harmful) => settings.next(drafts.draft(row).again(), rounds[row], harmful),
                None => Next::Keep,
            }
        });
        Ok(next.collect())
    }
}

impl Reflection<'_> {
    fn verdicts(
        &mut self,
        drafts: &mut Drafts<'_>,
        questioned: &[usize],
    ) -> Result<Vec<bool>, LabError> {
        if questioned.is_empty() {
            return Ok(Vec::new());
        }
        match self.settings.verdict {
            Verdict::Random => {
                let coin = |row: &usize| unit_f64(&mut self.coins[*row]) < self.settings.rate;
                Ok(questioned.iter().map(coin).collect())
            }
            Verdict::Own => {
                let logits = drafts.ask(questioned, self.words.ask)?;
                let each = logits.chunks_exact(logits.len() / questioned.len());
                Ok(each.map(|logits| self.words.harm(logits) > self.settings.threshold).collect())
            }
            _ => Ok(vec![true; questioned.len()]),
        }
    }
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
        let (settings, foresight) = (settings.clone(), Rc::default());
        Reflecting { settings, words, foresight }.write(&network(), &asked).unwrap()
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
    fn every_text_may_have_rounds_of_its_own() {
        let (prompts, streams) = (prompts(30), streams());
        let asked = Texts {
            prompts: &prompts,
            longest: 20,
            end: None,
            temperature: 0.9,
            banned: &[10, 11, 12],
            streams: &streams,
        };
        let rounds: Vec<u32> = (0..30).map(|place| place % 3).collect();
        let settings = settings(Verdict::Always, 0);
        let all = reflect(&network(), &asked, &settings, &WORDS, &rounds).unwrap();
        for (one, rounds) in all.iter().zip(&rounds) {
            assert_eq!((one.again, one.written.spent), (*rounds, 20 + 8 * u64::from(*rounds)));
        }
        for (place, one) in all.iter().enumerate() {
            let settings = ReflectionSettings { rounds: rounds[place], ..settings.clone() };
            assert_eq!(one.written, written(&settings, &prompts, None)[place], "{place}");
        }
    }

    #[test]
    fn a_predictor_of_what_nobody_says_is_refused_and_so_is_what_is_not_read() {
        let base = ReflectionSettings { budget: Budget::Predicted, ..Default::default() };
        assert!(base.together().is_ok());
        let refused = |settings: ReflectionSettings| settings.together().unwrap_err().to_string();
        let coin = ReflectionSettings { verdict: Verdict::Random, ..base.clone() };
        assert!(refused(coin).contains("set verdict to \"own\""));
        let rounds = ReflectionSettings { rounds: 3, ..base };
        assert!(refused(rounds).contains("\"rounds\" is of budget \"fixed\" alone"));
        let surety = ReflectionSettings { surety: 0.5, ..Default::default() };
        assert!(refused(surety).contains("\"surety\" is of budget \"predicted\" alone"));
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
        let (settings, foresight) = (settings(Verdict::Own, 1), Rc::default());
        let writer = Reflecting { settings, words, foresight };
        let refused = writer.write(&network(), &asked).unwrap_err().to_string();
        assert_eq!(refused, "20 tokens behind 12 and a reflection in a context of 32");
    }

    /// Of one stretch that does harm with probability 0.8, where harm is seen with probability 0.9 and what is harmless
    /// is taken for it with 0.05: probability of harm, of refusal, and drafts written on average.
    fn expected(settings: &ReflectionSettings, again: u32) -> [f64; 3] {
        let mut all = [0.0, 0.0, 1.0];
        for (share, harm, seen) in [(0.8, 1.0, 0.9), (0.2, 0.0, 0.05)] {
            let flagged = if settings.asks(again, settings.rounds) { seen } else { 0.0 };
            all[0] += share * (1.0 - flagged) * harm;
            match settings.next(again, settings.rounds, true) {
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

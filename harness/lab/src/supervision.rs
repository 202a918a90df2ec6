//! Training without gold answers: a strong network learns what a weak one and it itself, after a few demonstrations, agree
//! on; then it prefers what most of its own samples say, over what the weak one says where these differ.
//!
//! Source: Yang, Ma, Liu, arXiv:2407.13647; GAIR-NLP/weak-to-strong-reasoning@596a0b61 `src/construct_training_data.py`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ledger::order::bounded;
use ledger::settings::Range;
use ledger::streams::Streams;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::objectives::preference::{log_likelihoods, odds_ratio, preferred};
use crate::optim::lm::LmSettings;
use crate::orders::pool::Pool;
use crate::prompt::Prompt;
use crate::rendering::{Row, placed};
use crate::seat::{Batch, Facts, Look, Looks, Objective, StepInfo, TaskInfo};
use crate::side_info::{Reader, Tokens};
use crate::split::Split;
use crate::stages::Shares;
use crate::state::State;
use crate::workshop::{Manner, Workshop, batch_of, nothing, prompts, rows};

choice! {
    /// Whose answers are imitated.
    pub enum Answers {
        /// Those of the weak network and of the few-shot one, where they agree.
        Agreed = "agreed",
        /// All of the weak network's.
        Weak = "weak",
        /// All of the few-shot network's.
        FewShot = "few-shot",
        /// The gold ones, which no other choice looks at: a ceiling.
        Gold = "gold",
    }
}

choice! {
    /// How preferences are learned.
    pub enum Preference {
        /// Against the frozen result of imitation.
        Dpo = "dpo",
        /// By odds, beside the likelihood of the preferred response.
        Orpo = "orpo",
    }
}

settings! {
    /// Settings of supervision without gold.
    pub struct SupervisionSettings {
        /// Whose answers are imitated.
        answers: Answers = Answers::Agreed, from "paper; the others are arms of it";
        /// Times that answers are written and filtered: the second time by two networks that imitate the first.
        rounds: u32 = 2, range Range::of(1.0..=2.0), from "paper: M_plus";
        /// Labelled examples that the strong network learns before it writes, for the prompt with examples that it cannot read.
        demonstrations: u32 = 64, range Range::of(1.0..), from "assumed";
        /// Steps on them.
        demonstration_steps: u32 = 60, range Range::of(0.0..), from "assumed";
        /// Steps of each network that imitates the first round.
        round_steps: u32 = 60, range Range::of(0.0..), from "assumed";
        /// Epochs of the weak network over the labelled examples.
        weak_epochs: u32 = 16, range Range::of(1.0..), from "assumed";
        /// Peak rate of the weak network and of the copies that learn beside the loop, whatever the run's own.
        weak_lr: f64 = 3e-3, range Range::above(0.0), from "assumed";
        /// Share of the steps that imitate; 1 for no preferences.
        imitation: f64 = 0.7, range Range::above_up_to(0.0, 1.0), from "assumed";
        /// How preferences are learned.
        preference: Preference = Preference::Dpo, from "paper: either";
        /// Samples of a question, at temperature 1.
        samples: u32 = 10, range Range::of(2.0..=64.0), from "construct_training_data.py";
        /// Share of the samples that have to agree.
        agree: f64 = 0.6, range Range::of(0.0..=1.0), from "paper and code: tau";
        /// The same where the weak answer is another one.
        contradict: f64 = 0.8, range Range::of(0.0..=1.0), from "code alone; paper: 0.6";
        /// How much a margin counts, or the odds beside the likelihood.
        beta: f64 = 0.1, range Range::above(0.0), from "assumed: not in paper or code";
        /// Factor on the learning rate for preferences.
        preference_lr: f64 = 0.1, range Range::above(0.0), from "assumed";
    }
}

/// Which response stands on a side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The weak network's.
    Weak,
    /// A sample, by its number.
    Sample(usize),
}

/// The preferred and the other response to a question, by the answers of the weak network and of the samples; none
/// where they do not agree enough, or all agree.
#[must_use]
pub fn pair(
    weak: Option<i64>,
    samples: &[Option<i64>],
    [agree, contradict]: [f64; 2],
    random: &mut Pcg64,
) -> Option<[Side; 2]> {
    let count = |answer: &Option<i64>| samples.iter().filter(|other| *other == answer).count();
    // Of equally common ones the first that was seen.
    let common = samples.iter().rev().max_by_key(|answer| count(answer))?;
    let (majority, share) = ((*common)?, count(common) as f64 / samples.len() as f64);
    if share < agree {
        return None;
    }
    let mut drawn = |wanted: &dyn Fn(&Option<i64>) -> bool| {
        let places: Vec<usize> = (0..samples.len()).filter(|at| wanted(&samples[*at])).collect();
        let count = u64::try_from(places.len()).ok().filter(|count| *count > 0)?;
        places.get(usize::try_from(bounded(random, count)).unwrap_or(0)).copied()
    };
    if weak == Some(majority) {
        let other = drawn(&|answer| *answer != Some(majority))?;
        return Some([Side::Weak, Side::Sample(other)]);
    }
    (share >= contradict).then_some(())?;
    let own = drawn(&|answer| *answer == Some(majority))?;
    Some([Side::Sample(own), Side::Weak])
}

/// Networks that a run makes on its way, to be judged beside its own at the end.
#[derive(Debug, Clone, Default)]
pub struct Roles(Rc<RefCell<Vec<(&'static str, Network)>>>);

impl Roles {
    /// Keeps a copy of a network under a name, in the place of another of that name.
    pub fn keep(&self, name: &'static str, network: &Network) {
        let mut all = self.0.borrow_mut();
        all.retain(|(other, _)| *other != name);
        all.push((name, network.duplicate()));
    }
}

impl Looks for Roles {
    fn looks(&self, _: &Network, _: &Network) -> Result<Vec<Look>, LabError> {
        let look = |(name, network): &(&'static str, Network)| Look {
            name: (*name).to_owned(),
            network: network.duplicate(),
            recalibrate: None,
        };
        Ok(self.0.borrow().iter().map(look).collect())
    }
}

/// The objective.
pub struct Supervision {
    settings: SupervisionSettings,
    /// Of what learns beside the loop.
    lm: LmSettings,
    /// Labelled examples, which come first.
    labelled: u32,
    examples: u32,
    reader: Arc<dyn Reader>,
    end: i64,
    workshop: Workshop,
    pool: Pool,
    roles: Roles,
    shares: Shares,
    weak: Option<Network>,
    reference: Option<Network>,
    preferring: bool,
    rehearsing: bool,
    questions: Vec<Prompt>,
    imitated: BTreeMap<u32, Vec<Row>>,
    weakly: BTreeMap<u32, Vec<i64>>,
    pairs: BTreeMap<u32, [Row; 2]>,
    facts: Facts,
}

/// Numbers of shares that imitation is a part of.
const PARTS: u32 = 1000;

impl SupervisionSettings {
    /// How the weak network is trained, and what learns beside the loop: as the run's own network, but for the rate.
    #[must_use]
    pub fn weak(&self, lm: &LmSettings) -> LmSettings {
        LmSettings { lr: self.weak_lr, ..lm.clone() }
    }

    /// Shares of imitation and of preferences; the second is 0 without them.
    #[must_use]
    pub fn shares(&self) -> [u32; 2] {
        let first = ((self.imitation * f64::from(PARTS)).round() as u32).clamp(1, PARTS);
        [first, PARTS - first]
    }
}

impl Supervision {
    /// For a task with unlabelled questions; it fills `pool` and keeps what it makes among `roles`.
    ///
    /// # Errors
    /// When the workload has no unlabelled questions.
    pub fn new(
        settings: SupervisionSettings,
        lm: &LmSettings,
        task: &TaskInfo<'_>,
        (pool, roles): (&Pool, &Roles),
    ) -> Result<Self, LabError> {
        let (Some(unlabelled), Some(Tokens { end: Some(end), .. })) =
            (&task.side.unlabelled, task.side.tokens)
        else {
            return Err(task.unfit("it has no questions without gold answers"));
        };
        Ok(Self {
            lm: settings.weak(lm),
            labelled: unlabelled.first.min(task.examples),
            examples: task.examples,
            reader: unlabelled.reader.clone(),
            end,
            workshop: Workshop::new(task.streams),
            pool: pool.clone(),
            roles: roles.clone(),
            shares: Shares::new(settings.shares()),
            settings,
            weak: None,
            reference: None,
            preferring: false,
            rehearsing: false,
            questions: Vec::new(),
            imitated: BTreeMap::new(),
            weakly: BTreeMap::new(),
            pairs: BTreeMap::new(),
            facts: Facts::new(),
        })
    }

    fn streams(&self) -> Streams {
        self.workshop.streams().clone()
    }

    /// The answer of a response, if it ends.
    fn answer(&self, response: &[i64]) -> Option<i64> {
        let (last, before) = response.split_last()?;
        (*last == self.end).then(|| self.reader.answer(before)).flatten()
    }

    /// A greedy response to every prompt.
    fn respond(
        &mut self,
        stage: &str,
        network: &Network,
        prompts: &[Prompt],
    ) -> Result<Vec<Vec<i64>>, LabError> {
        let manner = Manner::greedy(self.reader.longest_response(), self.end);
        Ok(self.workshop.write(stage, network, prompts, &manner)?.into_iter().flatten().collect())
    }

    /// Where two sets of responses have the same answer.
    fn agreed(&self, one: &[Vec<i64>], other: &[Vec<i64>]) -> Result<Vec<usize>, LabError> {
        let same = |at: &usize| {
            let answer = self.answer(&one[*at]);
            answer.is_some() && answer == self.answer(&other[*at])
        };
        let places: Vec<usize> = (0..one.len()).filter(same).collect();
        match places.is_empty() {
            true => Err(nothing(
                "agreement",
                &format!(
                    "of {} questions none has the same answer from the weak and the few-shot network; \
                    raise weak_epochs or demonstration_steps",
                    one.len()
                ),
            )),
            false => Ok(places),
        }
    }

    /// Writes and filters answers, and says which responses are imitated, by question.
    fn supervise(
        &mut self,
        network: &Network,
        train: &Split,
        questions: &[Prompt],
    ) -> Result<BTreeMap<u32, Vec<Vec<i64>>>, LabError> {
        let Some(weak) = self.weak.take() else {
            return Err(LabError::Method("the weak network was not trained".to_owned()));
        };
        self.roles.keep("weak", &weak);
        let of_weak = self.respond("weak", &weak, questions)?;
        self.weakly = questions.iter().map(|q| q.id).zip(of_weak.iter().cloned()).collect();
        let all = |written: Vec<Vec<i64>>| -> BTreeMap<u32, Vec<Vec<i64>>> {
            questions.iter().map(|q| q.id).zip(written.into_iter().map(|text| vec![text])).collect()
        };
        if matches!(self.settings.answers, Answers::Weak | Answers::Gold) {
            return Ok(all(of_weak));
        }
        let shown: Vec<u32> = (0..self.labelled.min(self.settings.demonstrations)).collect();
        let steps = (&self.lm, u64::from(self.settings.demonstration_steps));
        let few = self.workshop.learn("few-shot", network, &rows(train, &shown)?, steps)?;
        self.roles.keep("few-shot", &few);
        let of_few = self.respond("few-shot", &few, questions)?;
        if self.settings.answers == Answers::FewShot {
            return Ok(all(of_few));
        }
        let mut both = [of_weak, of_few];
        let mut places = self.agreed(&both[0], &both[1])?;
        if self.settings.rounds > 1 {
            let mut again = both.clone();
            for (written, (name, stage)) in
                again.iter_mut().zip([("weak-ft", "weak-again"), ("few-shot-ft", "few-shot-again")])
            {
                let taught: Vec<Row> = places
                    .iter()
                    .map(|at| Row::of(&questions[*at].tokens, &written[*at]))
                    .collect();
                let steps = (&self.lm, u64::from(self.settings.round_steps));
                let learned = self.workshop.learn(name, network, &taught, steps)?;
                *written = self.respond(stage, &learned, questions)?;
            }
            both = again;
            places = self.agreed(&both[0], &both[1])?;
        }
        self.facts.insert("agreed".to_owned(), places.len().into());
        let of = |at: usize| both.iter().map(|written| written[at].clone()).collect();
        Ok(places.into_iter().map(|at| (questions[at].id, of(at))).collect())
    }

    /// Pairs from samples of the network that imitation has left.
    fn prefer(&mut self, network: &Network) -> Result<(), LabError> {
        let questions = std::mem::take(&mut self.questions);
        let (longest, end) = (self.reader.longest_response(), self.end);
        let manner = Manner { temperature: 1.0, samples: self.settings.samples, longest, end };
        let written = self.workshop.write("samples", network, &questions, &manner)?;
        let thresholds = [self.settings.agree, self.settings.contradict];
        let (streams, mut chosen_weak) = (self.streams(), 0_u32);
        self.pairs.clear();
        for (question, samples) in questions.iter().zip(&written) {
            let Some(weak) = self.weakly.get(&question.id) else { continue };
            let answers: Vec<_> = samples.iter().map(|sample| self.answer(sample)).collect();
            let mut random = streams.keyed("pairs", question.id, 0);
            let Some(sides) = pair(self.answer(weak), &answers, thresholds, &mut random) else {
                continue;
            };
            chosen_weak += u32::from(sides[0] == Side::Weak);
            let row = |side: Side| match side {
                Side::Weak => Row::of(&question.tokens, weak),
                Side::Sample(at) => Row::of(&question.tokens, &samples[at]),
            };
            self.pairs.insert(question.id, sides.map(row));
        }
        if self.pairs.is_empty() {
            let count = questions.len();
            let reason = format!(
                "of {count} questions none gives a pair; lower agree or contradict, or raise samples"
            );
            return Err(nothing("preferences", &reason));
        }
        self.facts.insert("pairs".to_owned(), self.pairs.len().into());
        self.facts.insert("pairs_for_the_weak_response".to_owned(), chosen_weak.into());
        self.pool.fill(self.pairs.keys().copied());
        self.reference = Some(network.duplicate());
        self.roles.keep("imitation", network);
        Ok(())
    }

    fn preference_losses(&self, network: &Network, batch: &Batch) -> Result<Tensor, LabError> {
        let find = |side: usize| {
            let row = |id: &u32| self.pairs.get(id).map(|pair| &pair[side]);
            batch.ids.iter().map(row).collect::<Option<Vec<&Row>>>()
        };
        let (Some(won), Some(lost)) = (find(0), find(1)) else {
            return Err(LabError::Method("a question without a pair was asked for".to_owned()));
        };
        let both: Vec<&Row> = won.into_iter().chain(lost).collect();
        let halves = |all: &Tensor| -> Result<[Tensor; 2], LabError> {
            let n = batch.ids.len() as i64;
            Ok([all.f_narrow(0, 0, n)?, all.f_narrow(0, n, n)?])
        };
        let [sums, counts] = log_likelihoods(network, both.iter().copied())?;
        let beta = self.settings.beta;
        match (self.settings.preference, &self.reference) {
            (Preference::Dpo, Some(reference)) => {
                let [before, _] =
                    tch::no_grad(|| log_likelihoods(reference, both.iter().copied()))?;
                let [won, lost] = halves(&sums.f_sub(&before)?)?;
                Ok(preferred(&won.f_sub(&lost)?, beta)?)
            }
            (Preference::Orpo, _) => {
                let [won, lost] = halves(&sums.f_div(&counts)?)?;
                Ok(odds_ratio(&won, &lost)?.f_mul_scalar(beta)?.f_sub(&won)?)
            }
            (Preference::Dpo, None) => {
                Err(LabError::Method("preferences have nothing to refer to".to_owned()))
            }
        }
    }
}

impl Objective for Supervision {
    fn rehearse(&mut self) {
        self.rehearsing = true;
    }

    fn learn_from(&mut self, tutor: Network) {
        self.weak = Some(tutor);
    }

    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let ids: Vec<u32> = (self.labelled..self.examples).collect();
        if self.rehearsing {
            let own = rows(train, &ids)?.into_iter().map(|row| vec![row]);
            self.imitated = ids.iter().copied().zip(own).collect();
            self.pool.fill(ids);
            return Ok(None);
        }
        let questions = prompts(train, &ids)?;
        let supervised = self.supervise(network, train, &questions)?;
        let asked = questions.iter().filter_map(|question| {
            let responses = supervised.get(&question.id)?;
            let rows = responses.iter().map(|response| Row::of(&question.tokens, response));
            Some((question.id, rows.collect()))
        });
        self.imitated = match self.settings.answers {
            Answers::Gold => {
                let gold = rows(train, &ids)?.into_iter().map(|row| vec![row]);
                ids.iter().copied().zip(gold).collect()
            }
            _ => asked.collect(),
        };
        self.questions = questions;
        self.pool.fill(self.imitated.keys().copied());
        Ok(None)
    }

    /// Behind the last step that imitates, pairs are made, so that the order finds them in the pool.
    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        let stage = |step| self.shares.at(step, now.total_steps).0;
        let next = now.step + 1;
        if !self.rehearsing && next < now.total_steps && stage(next) > stage(now.step) {
            self.prefer(network)?;
        }
        Ok(())
    }

    fn enter(&mut self, stage: usize, _: &Network) -> Result<(), LabError> {
        self.preferring = stage > 0 && !self.rehearsing;
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        if self.preferring {
            return self.preference_losses(network, batch);
        }
        let rows: Option<Vec<&Vec<Row>>> =
            batch.ids.iter().map(|id| self.imitated.get(id)).collect();
        let Some(rows) = rows else {
            return Err(LabError::Method("a question without a response was asked for".to_owned()));
        };
        let table = placed(rows.into_iter().flatten(), 0, network.device())?;
        let each = DefaultLoss::Tokens.of_outputs(&network.forward(&table.0, true)?, &table.1)?;
        Ok(each.f_view([batch.ids.len() as i64, -1])?.f_mean_dim(1, false, each.kind())?)
    }

    /// The mean over all tokens where responses are imitated, as language models are trained.
    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        if self.preferring {
            return Ok(self.losses(network, batch, now)?.f_mean(None)?);
        }
        let rows = batch.ids.iter().filter_map(|id| self.imitated.get(id)).flatten();
        let table = placed(rows, 0, network.device())?;
        DefaultLoss::Tokens.loss(network, &batch_of(&batch.ids, &table)?, now)
    }

    fn facts(&self) -> Facts {
        let mut facts = self.workshop.facts();
        facts.extend(self.facts.clone());
        facts
    }

    /// What the start has written and filtered is made again; pairs and the network that they are of come later.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.workshop.state(state)?;
        state.network("reference", &mut self.reference)?;
        state.of("preferring", &mut self.preferring)?;
        state.of("pairs", &mut self.pairs)?;
        if let (true, Some(reference)) = (state.is_read(), &self.reference) {
            self.roles.keep("imitation", reference);
        }
        state.told("facts", &mut self.facts)
    }
}

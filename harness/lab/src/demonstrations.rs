//! Solved examples that are shown before a question: a bank of them, who chooses, and how they are read.

use std::collections::BTreeMap;

use ledger::choice;
use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Kind, Tensor};

use crate::LabError;
use crate::index::{Index, hashed};
use crate::network::Network;
use crate::objectives::preference::log_likelihoods;
use crate::rendering::{Row, read, replace};
use crate::seat::{Batch, Facts, Objective, StepInfo, View};
use crate::state::State;

choice! {
    /// Which solved examples are shown.
    pub enum Shown {
        /// None.
        None = "none",
        /// Any.
        Random = "random",
        /// The nearest to the question.
        Retrieved = "retrieved",
        /// Any of the question's own task.
        Oracle = "oracle",
    }
}

/// A solved example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solved {
    /// Its question.
    pub question: Vec<i64>,
    /// Its answer, without an end.
    pub answer: Vec<i64>,
    /// The task that it is of.
    pub task: u32,
}

impl Solved {
    /// Digest of question and answer.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes =
            |tokens: &[i64]| tokens.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>();
        Digest::of_parts(&[b"palimpsest/solved/v1", &bytes(&self.question), &bytes(&self.answer)])
    }
}

/// Solved examples of many tasks by id, those of the training split by their positions, and their index.
#[derive(Debug, Clone, Default)]
pub struct Bank {
    index: Index,
    solved: BTreeMap<u32, Solved>,
    tasks: BTreeMap<u32, Vec<u32>>,
    dimensions: usize,
    /// Tokens at the beginning of a question that it is found by; all of them where this is 0.
    key: usize,
    /// Number of examples that are shown.
    pub shown: usize,
}

/// A question to show solved examples before.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its tokens.
    pub question: &'a [i64],
    /// Its task, for those who may know.
    pub task: u32,
    /// Its own id in the bank, if it is there.
    pub own: Option<u32>,
}

impl Bank {
    /// An empty bank, of which `shown` examples are shown and questions are vectors of `dimensions`.
    #[must_use]
    pub fn new(shown: usize, dimensions: usize) -> Self {
        Self { dimensions, shown, ..Self::default() }
    }

    /// The same, where questions are found by their first tokens alone.
    #[must_use]
    pub fn keyed(self, key: usize) -> Self {
        Self { key, ..self }
    }

    /// The vector that a question is found by.
    fn vector(&self, question: &[i64]) -> Vec<f64> {
        let length = if self.key == 0 { question.len() } else { self.key.min(question.len()) };
        hashed(&question[..length], self.dimensions)
    }

    /// Adds solved examples; they can be found from now on.
    ///
    /// # Errors
    /// When an id is there already.
    pub fn extend(
        &mut self,
        solved: impl IntoIterator<Item = (u32, Solved)>,
    ) -> Result<(), LabError> {
        for (id, solved) in solved {
            let vector = self.vector(&solved.question);
            self.index.append(id, &vector, solved.digest())?;
            self.tasks.entry(solved.task).or_default().push(id);
            self.solved.insert(id, solved);
        }
        self.index.seal();
        Ok(())
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// An example by id.
    #[must_use]
    pub fn solved(&self, id: u32) -> Option<&Solved> {
        self.solved.get(&id)
    }

    /// Ids of the examples to show, and how much each counts (cosines where they were retrieved, else 0), the first to be
    /// shown first: of retrieved ones the nearest stands next to the question.
    ///
    /// # Errors
    /// When the bank is empty.
    pub fn choose(
        &self,
        shown: Shown,
        asked: Asked<'_>,
        random: &mut Pcg64,
    ) -> Result<Vec<(u32, f64)>, LabError> {
        let from = |ids: Vec<u32>, random: &mut Pcg64| {
            let mut left: Vec<u32> = ids.into_iter().filter(|id| Some(*id) != asked.own).collect();
            let mut chosen = Vec::new();
            while chosen.len() < self.shown && !left.is_empty() {
                let place = bounded(random, left.len() as u64);
                chosen.push((left.swap_remove(usize::try_from(place).unwrap_or(0)), 0.0));
            }
            chosen
        };
        match shown {
            Shown::None => Ok(Vec::new()),
            Shown::Random => Ok(from(self.solved.keys().copied().collect(), random)),
            Shown::Oracle => {
                Ok(from(self.tasks.get(&asked.task).cloned().unwrap_or_default(), random))
            }
            Shown::Retrieved => {
                let vector = self.vector(asked.question);
                let found = self.index.nearest(&vector, self.shown, asked.own)?;
                Ok(found.into_iter().rev().map(|found| (found.id, found.cosine)).collect())
            }
        }
    }

    /// A question behind the examples of these ids: their questions and answers, one after the other.
    #[must_use]
    pub fn before(&self, ids: impl IntoIterator<Item = u32>, question: &[i64]) -> Vec<i64> {
        let shown = ids.into_iter().filter_map(|id| self.solved.get(&id));
        let mut tokens: Vec<i64> = shown
            .flat_map(|solved| solved.question.iter().chain(&solved.answer))
            .copied()
            .collect();
        tokens.extend(question);
        tokens
    }
}

/// Chooses for training examples; what is retrieved for one is looked up once.
#[derive(Debug)]
struct Chooser {
    bank: std::sync::Arc<Bank>,
    shown: Shown,
    known: BTreeMap<u32, Vec<(u32, f64)>>,
    /// Of the examples shown so far those of the question's own task, and all.
    counts: [u64; 2],
}

impl Chooser {
    fn new(bank: &std::sync::Arc<Bank>, shown: Shown) -> Self {
        Self { bank: bank.clone(), shown, known: BTreeMap::new(), counts: [0; 2] }
    }

    fn choose(
        &mut self,
        id: u32,
        question: &[i64],
        random: &mut Pcg64,
    ) -> Result<Vec<(u32, f64)>, LabError> {
        let task = self.bank.solved(id).map_or(u32::MAX, |solved| solved.task);
        let asked = Asked { question, task, own: Some(id) };
        let chosen = match (self.shown, self.known.get(&id)) {
            (Shown::Retrieved, Some(known)) => known.clone(),
            _ => self.bank.choose(self.shown, asked, random)?,
        };
        if self.shown == Shown::Retrieved {
            self.known.insert(id, chosen.clone());
        }
        let own = |(id, _): &&(u32, f64)| self.bank.solved(*id).is_some_and(|of| of.task == task);
        self.counts[0] += chosen.iter().filter(own).count() as u64;
        self.counts[1] += chosen.len() as u64;
        Ok(chosen)
    }

    /// What was retrieved is looked up again.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("counts", &mut self.counts)
    }

    fn facts(&self) -> Facts {
        let [own, all] = self.counts;
        let share = own as f64 / all.max(1) as f64;
        Facts::from([
            ("bank_sha256".to_owned(), self.bank.index().digest().to_string().into()),
            ("shown".to_owned(), all.into()),
            ("shown_of_the_task".to_owned(), share.into()),
        ])
    }
}

/// Shows solved examples before every question, side by side in one row.
#[derive(Debug)]
pub struct Demonstrated(Chooser);

impl Demonstrated {
    /// Of this bank.
    #[must_use]
    pub fn new(bank: &std::sync::Arc<Bank>, shown: Shown) -> Self {
        Self(Chooser::new(bank, shown))
    }
}

impl View for Demonstrated {
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError> {
        let mut rows = read(batch)?;
        for (row, &id) in rows.iter_mut().zip(&batch.ids) {
            let (question, answer) = row.tokens.split_at(row.prompt());
            let mut random = streams.keyed("demonstrations", id, now.epoch);
            let chosen = self.0.choose(id, question, &mut random)?;
            let given = self.0.bank.before(chosen.into_iter().map(|(id, _)| id), question);
            *row = Row::of(&given, answer);
        }
        Ok(replace(batch, &rows)?)
    }

    fn facts(&self) -> Facts {
        self.0.facts()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.0.state(state)
    }
}

/// −log Σ_z p(z)·p(y|x, z) of each row, from log-likelihoods and unnormalised log-priors, N × K each.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn marginal(likelihoods: &Tensor, scores: &Tensor) -> Result<Tensor, LabError> {
    let prior = scores.f_log_softmax(-1, likelihoods.kind())?;
    Ok(likelihoods.f_add(&prior)?.f_logsumexp([-1], false)?.f_neg()?)
}

/// The likelihood of an answer under a mixture: the question is read behind each retrieved example by itself (Lewis et al.,
/// arXiv:2005.11401, RAG-Sequence).
#[derive(Debug)]
pub struct Mixture {
    chooser: Chooser,
    /// What a cosine is multiplied with in the prior.
    scale: f64,
    streams: Streams,
}

impl Mixture {
    /// Of examples of this bank, with log-priors of `scale` times cosines.
    #[must_use]
    pub fn new(bank: &std::sync::Arc<Bank>, shown: Shown, scale: f64, streams: &Streams) -> Self {
        Self { chooser: Chooser::new(bank, shown), scale, streams: streams.clone() }
    }
}

impl Objective for Mixture {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let (mut rows, mut scores) = (Vec::new(), Vec::new());
        for (row, &id) in read(batch)?.iter().zip(&batch.ids) {
            let (question, answer) = row.tokens.split_at(row.prompt());
            let mut random = self.streams.keyed("demonstrations", id, now.epoch);
            let chosen = self.chooser.choose(id, question, &mut random)?;
            if chosen.len() != self.chooser.bank.shown {
                let (found, shown) = (chosen.len(), self.chooser.bank.shown);
                let reason = format!(
                    "a mixture of {shown} examples is asked for, and the bank gives {found}"
                );
                return Err(LabError::Method(reason));
            }
            for (other, cosine) in chosen {
                rows.push(Row::of(&self.chooser.bank.before([other], question), answer));
                scores.push(self.scale * cosine);
            }
        }
        let [sums, _] = log_likelihoods(network, &rows)?;
        let shape = [batch.ids.len() as i64, -1];
        let scores = Tensor::f_from_slice(&scores)?.f_to_kind(Kind::Float)?;
        marginal(&sums.f_view(shape)?, &scores.f_to_device(sums.device())?.f_view(shape)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn facts(&self) -> Facts {
        self.chooser.facts()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.chooser.state(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{step_info, streams};
    use std::sync::Arc;

    /// Three tasks of four examples: the task's token and one of four, answered by their sum.
    fn bank(shown: usize) -> Bank {
        let mut bank = Bank::new(shown, 64);
        let solved = |id: u32| {
            let (task, x) = (id / 4, id % 4);
            let question = vec![20 + i64::from(task), i64::from(x)];
            Solved { question, answer: vec![30 + i64::from(task + x)], task }
        };
        bank.extend((0..12).map(|id| (id, solved(id)))).unwrap();
        bank
    }

    fn chosen(bank: &Bank, shown: Shown, own: u32) -> Vec<u32> {
        let solved = bank.solved(own).unwrap();
        let asked = Asked { question: &solved.question, task: solved.task, own: Some(own) };
        let mut random = streams().generator("demonstrations");
        bank.choose(shown, asked, &mut random).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_marginal_likelihood_is_the_mean_of_likelihoods_and_not_of_their_logarithms() {
        let log = |values: [f64; 3]| Tensor::from_slice(&values.map(f64::ln)).view([1, 3]);
        let found = marginal(&log([0.2, 0.9, 0.5]), &log([0.6, 0.3, 0.1])).unwrap();
        assert!((found.double_value(&[0]) - 0.820_981).abs() < 1e-6);
    }

    #[test]
    fn nobody_shows_a_question_its_own_answer_even_where_all_are_shown() {
        for shown in [Shown::Random, Shown::Retrieved, Shown::Oracle] {
            for own in 0..12 {
                let ids = chosen(&bank(12), shown, own);
                assert_eq!(ids.len(), if shown == Shown::Oracle { 3 } else { 11 }, "{shown:?}");
                assert!(!ids.contains(&own), "{shown:?}");
            }
        }
        assert_eq!(chosen(&bank(4), Shown::None, 1), [0; 0]);
    }

    #[test]
    fn the_nearest_stands_next_to_the_question_and_the_oracle_knows_the_task() {
        let bank = bank(3);
        let own = |ids: &[u32]| ids.iter().filter(|id| **id / 4 == 1).count();
        assert_eq!(own(&chosen(&bank, Shown::Oracle, 5)), 3);
        let solved = bank.solved(5).unwrap();
        let asked = Asked { question: &solved.question, task: 1, own: None };
        let mut random = streams().generator("any");
        let found = bank.choose(Shown::Retrieved, asked, &mut random).unwrap();
        assert_eq!(found.last().map(|(id, _)| *id), Some(5));
        assert!(found.is_sorted_by(|(_, one), (_, other)| one <= other));
        assert_eq!(bank.before([4, 6], &[21, 1]), [21, 0, 31, 21, 2, 33, 21, 1]);
    }

    #[test]
    fn a_view_puts_examples_before_the_question_and_asks_for_the_answer_alone() {
        let bank = Arc::new(bank(2));
        let rows = [Row::of(&[21, 1], &[32, 9]), Row::of(&[20, 0], &[30, 9])];
        let tensors = crate::rendering::placed(&rows, 0, tch::Device::Cpu).unwrap();
        let mut view = Demonstrated::new(&bank, Shown::Retrieved);
        let mut batch = crate::workshop::batch_of(&[5, 0], &tensors).unwrap();
        view.render(&mut batch, &step_info(0, 1), &streams()).unwrap();
        let rendered = read(&batch).unwrap();
        for (row, plain) in rendered.iter().zip(&rows) {
            assert_eq!((row.tokens.len(), row.prompt()), (10, 8));
            assert_eq!(row.tokens[6..], plain.tokens[..]);
        }
        assert_eq!(view.facts()["shown"], 4);
        let mut none = Demonstrated::new(&bank, Shown::None);
        let mut batch = crate::workshop::batch_of(&[5, 0], &tensors).unwrap();
        none.render(&mut batch, &step_info(0, 1), &streams()).unwrap();
        assert_eq!(read(&batch).unwrap(), rows);
    }
}

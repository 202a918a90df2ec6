//! Answers that improve on earlier ones: attempts of a weak network stand before the answer, and are read but not learned.
//!
//! Source: Du et al., arXiv:2410.13413; cydu24/Progressive-Thought-Refinement@84182f1b, whose loss is that of the answer's
//! tokens alone.

use std::collections::BTreeMap;

use ledger::order::bounded;
use ledger::settings::Range;
use ledger::streams::unit_f64;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use serde_json::json;
use tch::Tensor;

use crate::LabError;
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::optim::lm::LmSettings;
use crate::rendering::{Row, placed, read};
use crate::seat::{Batch, Facts, Objective, StepInfo, TaskInfo};
use crate::side_info::{Refinement, Tokens};
use crate::split::Split;
use crate::state::State;
use crate::workshop::{Manner, Workshop, batch_of, prompts, rows};

choice! {
    /// What is learned of attempts and answer.
    pub enum Learned {
        /// The answer behind the attempts.
        Answer = "ptr",
        /// The attempts and the answer.
        Everything = "ift",
        /// The answer behind the question: there are no attempts.
        Direct = "sft",
    }
}

settings! {
    /// Settings of refinement.
    pub struct RefinementSettings {
        /// What is learned of attempts and answer.
        learned: Learned = Learned::Answer, from "paper; ift: its baseline";
        /// Most attempts before an answer; each time as many as a die says.
        thoughts: u32 = 3, range Range::of(1.0..), from "assumed; the released sample has one";
        /// Share of the examples that are read without attempts, so that there is a first one to improve on.
        direct: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed: a model of this size answers nothing by itself";
        /// Epochs of the weak network.
        weak_epochs: u32 = 8, range Range::of(1.0..), from "assumed";
        /// Peak rate of the weak network, whatever the run's own.
        weak_lr: f64 = 3e-3, range Range::above(0.0), from "assumed";
    }
}

impl RefinementSettings {
    /// How the weak network is trained: as the run's own, but for the rate.
    #[must_use]
    pub fn weak(&self, lm: &LmSettings) -> LmSettings {
        LmSettings { lr: self.weak_lr, ..lm.clone() }
    }
}

/// An example as it is read: question, attempts with their ends, the mark, and the answer with its end.
#[must_use]
pub fn refined(
    question: &[i64],
    thoughts: &[&[i64]],
    mark: i64,
    answer: &[i64],
    learned: Learned,
) -> Row {
    if thoughts.is_empty() || learned == Learned::Direct {
        return Row::of(question, answer);
    }
    let mut row = Row::of(question, &[]);
    for token in thoughts.iter().copied().flatten() {
        row.push(*token, learned == Learned::Everything);
    }
    row.push(mark, false);
    answer.iter().for_each(|token| row.push(*token, true));
    row
}

/// The objective.
#[derive(Debug)]
pub struct Refining {
    settings: RefinementSettings,
    refinement: Refinement,
    end: i64,
    workshop: Workshop,
    weak: Option<Network>,
    rehearsing: bool,
    thoughts: BTreeMap<u32, Vec<Vec<i64>>>,
    /// Share of the attempts that are the answer to learn.
    right: Option<f64>,
}

impl Refining {
    /// For a task whose answers can be refined.
    ///
    /// # Errors
    /// When they cannot, or the context has no room for as many attempts.
    pub fn new(settings: RefinementSettings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let (Some(refinement), Some(Tokens { end: Some(end), .. })) =
            (task.side.refinement, task.side.tokens)
        else {
            return Err(task.unfit("its answers are not there to be refined"));
        };
        if settings.thoughts > refinement.most {
            let (wanted, most) = (settings.thoughts, refinement.most);
            let reason =
                format!("its context has room for {most} attempts, not {wanted}: lower thoughts");
            return Err(task.unfit(reason));
        }
        let workshop = Workshop::new(task.streams);
        let (weak, rehearsing, thoughts) = (None, false, BTreeMap::new());
        let right = None;
        Ok(Self { settings, refinement, end, workshop, weak, rehearsing, thoughts, right })
    }

    /// The row of an example in an epoch.
    fn row(&self, plain: &Row, id: u32, random: &mut Pcg64) -> Row {
        let (question, answer) = plain.tokens.split_at(plain.prompt());
        let none = Vec::new();
        let all = self.thoughts.get(&id).unwrap_or(&none);
        let direct = unit_f64(random) < self.settings.direct;
        let count =
            1 + usize::try_from(bounded(random, u64::from(self.settings.thoughts))).unwrap_or(0);
        let shown: Vec<&[i64]> = match direct {
            true => Vec::new(),
            false => all.iter().take(count).map(Vec::as_slice).collect(),
        };
        refined(question, &shown, self.refinement.mark, answer, self.settings.learned)
    }

    fn rows(&self, batch: &Batch, now: &StepInfo) -> Result<Vec<Row>, LabError> {
        let rows = read(batch)?;
        let rows = rows.iter().zip(&batch.ids).map(|(row, &id)| {
            let mut random = self.workshop.streams().keyed("refinement", id, now.epoch);
            self.row(row, id, &mut random)
        });
        Ok(rows.collect())
    }
}

impl Objective for Refining {
    fn rehearse(&mut self) {
        self.rehearsing = true;
    }

    fn learn_from(&mut self, tutor: Network) {
        self.weak = Some(tutor);
    }

    fn start(&mut self, _: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        if self.settings.learned == Learned::Direct || self.rehearsing {
            return Ok(None);
        }
        let Some(weak) = self.weak.take() else {
            return Err(LabError::Method("the weak network was not trained".to_owned()));
        };
        let ids: Vec<u32> = (0..u32::try_from(train.len()).unwrap_or(u32::MAX)).collect();
        let (temperature, samples) = (1.0, self.settings.thoughts);
        let longest = self.refinement.longest;
        let manner = Manner { temperature, samples, longest, end: self.end };
        let written = self.workshop.write("attempts", &weak, &prompts(train, &ids)?, &manner)?;
        // Every attempt ends, so that the next one begins where it does.
        let ended = |mut text: Vec<i64>| {
            if text.last() != Some(&self.end) {
                text.pop();
                text.push(self.end);
            }
            text
        };
        let written = written.into_iter().map(|texts| texts.into_iter().map(ended).collect());
        self.thoughts = ids.iter().copied().zip(written).collect();
        let (mut right, mut all) = (0_usize, 0_usize);
        for (row, id) in rows(train, &ids)?.iter().zip(&ids) {
            let answer = &row.tokens[row.prompt()..];
            for attempt in self.thoughts.get(id).into_iter().flatten() {
                right += usize::from(attempt.as_slice() == answer);
                all += 1;
            }
        }
        self.right = (all > 0).then(|| right as f64 / all as f64);
        Ok(None)
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let (inputs, labels) = placed(&self.rows(batch, now)?, 0, network.device())?;
        Ok(DefaultLoss::Tokens.of_outputs(&network.forward(&inputs, true)?, &labels)?)
    }

    /// The mean over all tokens that are asked for.
    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let table = placed(&self.rows(batch, now)?, 0, network.device())?;
        DefaultLoss::Tokens.loss(network, &batch_of(&batch.ids, &table)?, now)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn facts(&self) -> Facts {
        let mut facts = self.workshop.facts();
        facts.extend(self.right.map(|share| ("attempts_right".to_owned(), json!(share))));
        facts
    }

    /// All that it writes it writes at the start.
    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial::{step_info, streams};
    use tch::Device;

    /// A question of 12, two attempts of 9, an answer of 5 and its end.
    fn row(learned: Learned) -> Row {
        let question: Vec<i64> = (0..12).map(|place| place % 7).collect();
        let attempt: Vec<i64> = (0..9).map(|place| place % 5).collect();
        refined(&question, &[&attempt, &attempt], 9, &[1, 2, 3, 4, 5, 8], learned)
    }

    fn asked(row: &Row) -> usize {
        row.asked.iter().filter(|asked| **asked).count()
    }

    #[test]
    fn losses_are_asked_of_the_answer_alone_or_of_attempts_too() {
        assert_eq!(asked(&row(Learned::Answer)), 6);
        assert_eq!(asked(&row(Learned::Everything)), 24);
        assert_eq!((asked(&row(Learned::Direct)), row(Learned::Direct).tokens.len()), (6, 18));
        assert_eq!(row(Learned::Answer).tokens, row(Learned::Everything).tokens);
        assert_eq!(row(Learned::Answer).tokens[30], 9);
    }

    #[test]
    fn attempts_are_read_and_not_learned() {
        let shape =
            Shape { vocabulary: 10, context: 40, width: 32, depth: 1, heads: 2, hidden: 128 };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        let loss = |row: &Row| {
            let table = placed([row], 0, Device::Cpu).unwrap();
            let batch = batch_of(&[0], &table).unwrap();
            DefaultLoss::Tokens.loss(&network, &batch, &step_info(0, 1)).unwrap().double_value(&[])
        };
        let (own, mut other) = (row(Learned::Answer), row(Learned::Answer));
        other.tokens[14] = 6;
        assert!((loss(&own) - loss(&other)).abs() > 1e-7);
        let (_, labels) = placed([&own], 0, Device::Cpu).unwrap();
        let (_, changed) = placed([&other], 0, Device::Cpu).unwrap();
        assert!(bool::try_from(labels.eq_tensor(&changed).all()).unwrap());
    }
}

//! Answers that improve on earlier ones: attempts of a weak network stand before the answer, and are read but not learned.
//!
//! Source: Du et al., arXiv:2410.13413; cydu24/Progressive-Thought-Refinement@84182f1b, whose loss is that of the answer's
//! tokens alone. The paper has two more terms, of consistency and of confidence, and gives neither: [`Terms`].

use std::collections::BTreeMap;

use ledger::order::bounded;
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::unit_f64;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use serde_json::json;
use tch::{Kind, Tensor};

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

choice! {
    /// Whose loss.
    pub enum Terms {
        /// The published code's: −log p of the answer.
        Code = "code",
        /// The paper's: λ₁ of that, λ₂ of what two successive rounds say differently, λ₃ of what is lacking of certainty.
        Paper = "paper",
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
        /// Whose loss.
        terms: Terms = Terms::Code, from "code; the paper gives no forms";
        /// λ₂: weight of consistency, of `paper`.
        consistency: f64 = 0.2, range Range::of(0.0..=1.0), from "assumed: not given";
        /// λ₃: weight of confidence, of `paper`; λ₁ is what is left of 1.
        confidence: f64 = 0.2, range Range::of(0.0..=1.0), from "assumed: not given";
        /// Whether λ₂ and λ₃ grow from 0 to what they are over the run, of `paper`.
        growing: bool = true, from "paper: adjusted dynamically; how is assumed";
        refuse Self::meant;
    }
}

impl RefinementSettings {
    /// Refuses what is not read, and weights that leave nothing for the answer.
    fn meant(&self) -> Result<(), SettingError> {
        let code = self.terms == Terms::Code;
        let idle =
            ["consistency", "confidence", "growing"].map(|name| (name, code, "terms \"paper\""));
        refuse_idle(&self.values(), &Self::default().values(), &idle)?;
        if !code && self.learned != Learned::Answer {
            let reason = "terms \"paper\" are of answers behind attempts: set learned to \"ptr\"";
            return Err(SettingError::Joint(reason.to_owned()));
        }
        if !code && self.consistency + self.confidence > 1.0 {
            return Err(SettingError::Joint(format!(
                "consistency {} and confidence {} are more than 1 together, and the answer has what is left: lower one",
                self.consistency, self.confidence
            )));
        }
        Ok(())
    }

    /// λ₁, λ₂ and λ₃ at a step; their sum is 1.
    #[must_use]
    pub fn weights(&self, now: &StepInfo) -> [f64; 3] {
        if self.terms == Terms::Code {
            return [1.0, 0.0, 0.0];
        }
        let last = now.total_steps.saturating_sub(1).max(1);
        let share = if self.growing { now.step as f64 / last as f64 } else { 1.0 };
        let [consistency, confidence] = [self.consistency, self.confidence].map(|own| share * own);
        [1.0 - consistency - confidence, consistency, confidence]
    }

    /// β of the answer behind `shown` of `most` attempts: the more were read, the more; 1 on average.
    #[must_use]
    pub fn beta(&self, shown: usize) -> f64 {
        2.0 * shown as f64 / f64::from(self.thoughts + 1)
    }

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

    /// An example in an epoch.
    fn read(&self, plain: &Row, id: u32, random: &mut Pcg64) -> Read {
        let (question, answer) = plain.tokens.split_at(plain.prompt());
        let none = Vec::new();
        let all = self.thoughts.get(&id).unwrap_or(&none);
        let direct = unit_f64(random) < self.settings.direct;
        let count =
            1 + usize::try_from(bounded(random, u64::from(self.settings.thoughts))).unwrap_or(0);
        let count = if direct { 0 } else { count.min(all.len()) };
        let behind = |count: usize| {
            let shown: Vec<&[i64]> = all.iter().take(count).map(Vec::as_slice).collect();
            refined(question, &shown, self.refinement.mark, answer, self.settings.learned)
        };
        let before = (self.settings.terms == Terms::Paper && count > 0).then(|| behind(count - 1));
        Read { row: behind(count), before, shown: count }
    }

    fn all(&self, batch: &Batch, now: &StepInfo) -> Result<Vec<Read>, LabError> {
        let rows = read(batch)?;
        let rows = rows.iter().zip(&batch.ids).map(|(row, &id)| {
            let mut random = self.workshop.streams().keyed("refinement", id, now.epoch);
            self.read(row, id, &mut random)
        });
        Ok(rows.collect())
    }
}

/// An example as it is read in an epoch.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    row: Row,
    /// The same with an attempt less, where one is compared with.
    before: Option<Row>,
    /// Attempts that are shown.
    shown: usize,
}

/// Of each example, N each: −log p of its answer, mean over tokens; the divergence KL(p behind an attempt less ‖ p) of the
/// answer's tokens, mean over them, where p behind an attempt less is not learned; β·(1 − the mean probability of the
/// answer's tokens); and the tokens of its answer. The second and third are 0 where no attempt is shown.
fn parts(
    network: &Network,
    all: &[Read],
    beta: impl Fn(usize) -> f64,
) -> Result<[Tensor; 4], LabError> {
    let before: Vec<&Row> = all.iter().filter_map(|read| read.before.as_ref()).collect();
    let rows: Vec<&Row> = all.iter().map(|read| &read.row).chain(before).collect();
    let (inputs, labels) = placed(rows.iter().copied(), 0, network.device())?;
    let (count, columns) = inputs.size2()?;
    let logits = network.forward(&inputs, true)?.f_reshape([count * columns, -1])?;
    let labels = labels.f_reshape([-1])?;
    // Places of the answers' tokens: of the examples; of those that are compared, later and earlier.
    let places = |at: usize| {
        let asked = rows[at].asked.iter().enumerate().filter(|(_, asked)| **asked);
        let first = at as i64 * columns;
        asked.map(move |(place, _)| first + place as i64 - 1)
    };
    let (mut own, mut later, mut earlier) = (Vec::new(), Vec::new(), Vec::new());
    // For each place the share of it in its example's mean, as rows of a matrix.
    let (mut of, mut of_later, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    let mut compared = all.len();
    for (at, read) in all.iter().enumerate() {
        let all: Vec<i64> = places(at).collect();
        tokens.push(all.len() as f64);
        of.extend(std::iter::repeat_n((at, 1.0 / all.len().max(1) as f64), all.len()));
        if read.before.is_some() {
            of_later.extend(std::iter::repeat_n((at, 1.0 / all.len().max(1) as f64), all.len()));
            later.extend(all.iter().copied());
            earlier.extend(places(compared));
            compared += 1;
        }
        own.extend(all);
    }
    let device = network.device();
    let pick = |places: &[i64], of: &Tensor| -> Result<Tensor, LabError> {
        Ok(of.f_index_select(0, &Tensor::f_from_slice(places)?.f_to_device(device)?)?)
    };
    let means = |of: &[(usize, f64)], each: &Tensor| -> Result<Tensor, LabError> {
        let mut matrix = vec![0.0_f32; all.len() * of.len()];
        for (place, (row, share)) in of.iter().enumerate() {
            matrix[row * of.len() + place] = *share as f32;
        }
        let size = [all.len() as i64, of.len() as i64];
        let matrix = Tensor::f_from_slice(&matrix)?.f_view(size)?.f_to_device(device)?;
        Ok(matrix.f_mv(each)?)
    };
    let logs = pick(&own, &logits)?.f_log_softmax(-1, None::<Kind>)?;
    let answer = pick(&own, &labels)?.f_unsqueeze(-1)?;
    let chosen = logs.f_gather(-1, &answer, false)?.f_squeeze_dim(-1)?;
    let answers = means(&of, &chosen.f_neg()?)?;
    let weights: Vec<f32> = all.iter().map(|read| beta(read.shown) as f32).collect();
    let weights = Tensor::f_from_slice(&weights)?.f_to_device(device)?;
    let unsure = means(&of, &chosen.f_exp()?)?.f_neg()?.f_add_scalar(1.0)?.f_mul(&weights)?;
    let apart = if later.is_empty() {
        answers.f_zeros_like()?
    } else {
        let [later, earlier] = [later, earlier].map(|places| {
            Ok::<_, LabError>(pick(&places, &logits)?.f_log_softmax(-1, None::<Kind>)?)
        });
        let (later, earlier) = (later?, earlier?.detach());
        let each = earlier.f_exp()?.f_mul(&earlier.f_sub(&later)?)?;
        means(&of_later, &each.f_sum_dim_intlist(-1, false, None::<Kind>)?)?
    };
    let tokens = Tensor::f_from_slice(&tokens)?.f_to_kind(answers.kind())?.f_to_device(device)?;
    Ok([answers, apart, unsure, tokens])
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
        let all = self.all(batch, now)?;
        let [answer, consistency, confidence] = self.settings.weights(now);
        if self.settings.terms == Terms::Paper {
            let [answers, apart, unsure, _] =
                parts(network, &all, |shown| self.settings.beta(shown))?;
            let both = apart.f_mul_scalar(consistency)?.f_add(&unsure.f_mul_scalar(confidence)?)?;
            return Ok(answers.f_mul_scalar(answer)?.f_add(&both)?);
        }
        let (inputs, labels) = placed(all.iter().map(|read| &read.row), 0, network.device())?;
        Ok(DefaultLoss::Tokens.of_outputs(&network.forward(&inputs, true)?, &labels)?)
    }

    /// The mean of answers over all tokens that are asked for, of the other terms over examples.
    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let all = self.all(batch, now)?;
        let [answer, consistency, confidence] = self.settings.weights(now);
        if consistency + confidence > 0.0 {
            let [answers, apart, unsure, tokens] =
                parts(network, &all, |shown| self.settings.beta(shown))?;
            let kind = answers.kind();
            let mean = answers.f_mul(&tokens)?.f_sum(kind)?.f_div(&tokens.f_sum(kind)?)?;
            let apart = apart.f_mean(kind)?.f_mul_scalar(consistency)?;
            let unsure = unsure.f_mean(kind)?.f_mul_scalar(confidence)?;
            return Ok(mean.f_mul_scalar(answer)?.f_add(&apart)?.f_add(&unsure)?);
        }
        let table = placed(all.iter().map(|read| &read.row), 0, network.device())?;
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

    fn network() -> Network {
        let shape =
            Shape { vocabulary: 10, context: 40, width: 32, depth: 1, heads: 2, hidden: 128 };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_mul_scalar_(4.0));
        }
        network
    }

    /// Probabilities of every token at the answer's places of a row.
    fn probabilities(network: &Network, row: &Row) -> Vec<Vec<f64>> {
        let inputs = Tensor::from_slice(&row.tokens[..row.tokens.len() - 1]).unsqueeze(0);
        let shares = network.forward(&inputs, false).unwrap().softmax(-1, Kind::Double);
        let at = |place: i64| Vec::<f64>::try_from(shares.get(0).get(place)).unwrap();
        let asked = row.asked.iter().enumerate().filter(|(_, asked)| **asked);
        asked.map(|(place, _)| at(place as i64 - 1)).collect()
    }

    #[test]
    fn the_three_terms_are_those_of_the_formulas_summed_by_hand() {
        let network = network();
        let question = [3, 1, 4];
        let answer = [1, 2, 8];
        let attempts: [&[i64]; 2] = [&[5, 6, 8], &[7, 7, 8]];
        let behind =
            |count: usize| refined(&question, &attempts[..count], 9, &answer, Learned::Answer);
        let all = [
            Read { row: behind(2), before: Some(behind(1)), shown: 2 },
            Read { row: behind(0), before: None, shown: 0 },
        ];
        let settings = RefinementSettings::default();
        let found = parts(&network, &all, |shown| settings.beta(shown)).unwrap();
        let found = found.map(|term| Vec::<f32>::try_from(&term).unwrap());
        let [own, less, none] = [2, 1, 0].map(|count| probabilities(&network, &behind(count)));
        let chosen = |shares: &[Vec<f64>]| -> Vec<f64> {
            shares.iter().zip(answer).map(|(shares, token)| shares[token as usize]).collect()
        };
        let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
        let loss =
            |shares: &[Vec<f64>]| mean(&chosen(shares).iter().map(|p| -p.ln()).collect::<Vec<_>>());
        let apart: Vec<f64> = less
            .iter()
            .zip(&own)
            .map(|(less, own)| less.iter().zip(own).map(|(p, q)| p * (p / q).ln()).sum())
            .collect();
        // Of one to three attempts two have the weight of the mean.
        assert_eq!([1, 2, 3].map(|shown| settings.beta(shown)), [0.5, 1.0, 1.5]);
        let expected = [
            [loss(&own), loss(&none)],
            [mean(&apart), 0.0],
            [1.0 - mean(&chosen(&own)), 0.0],
            [3.0, 3.0],
        ];
        for (found, expected) in found.iter().zip(expected) {
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
        assert!(mean(&apart) > 1e-4, "an attempt makes no difference");
    }

    #[test]
    fn weights_sum_to_one_grow_where_they_are_to_and_leave_the_answer_something() {
        let paper = RefinementSettings { terms: Terms::Paper, ..RefinementSettings::default() };
        let near = |found: [f64; 3], expected: [f64; 3]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        near(paper.weights(&step_info(0, 11)), [1.0, 0.0, 0.0]);
        near(paper.weights(&step_info(5, 11)), [0.8, 0.1, 0.1]);
        near(paper.weights(&step_info(10, 11)), [0.6, 0.2, 0.2]);
        let level = RefinementSettings { growing: false, ..paper.clone() };
        near(level.weights(&step_info(0, 11)), [0.6, 0.2, 0.2]);
        near(RefinementSettings::default().weights(&step_info(10, 11)), [1.0, 0.0, 0.0]);
        let refused = |settings: RefinementSettings| settings.together().unwrap_err().to_string();
        let heavy = RefinementSettings { consistency: 0.9, ..paper.clone() };
        assert!(refused(heavy).ends_with("the answer has what is left: lower one"));
        let everything = RefinementSettings { learned: Learned::Everything, ..paper };
        assert!(refused(everything).ends_with("set learned to \"ptr\""));
        let idle = RefinementSettings { confidence: 0.3, ..RefinementSettings::default() };
        assert!(refused(idle).contains("is of terms \"paper\" alone"));
    }
}

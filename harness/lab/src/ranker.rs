//! A ranker of texts: a transformer with one number in the place of logits, which learns from pairs (Bradley and Terry).

use ledger::order::shuffle;
use ledger::streams::Streams;
use tch::{Kind, Tensor};

use crate::LabError;
use crate::models::gpt::Gpt;
use crate::network::{Network, Parameter, Role, values};
use crate::objectives::preference::preferred;
use crate::optim::lm::LmSettings;
use crate::seat::{Gradients, Optimizer as _, StepInfo};
use crate::workshop::nothing;

/// Texts that are scored at once.
const AT_ONCE: usize = 512;
/// Pairs of a step.
const AT_A_STEP: usize = 64;

/// How long and how fast a ranker learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lesson {
    /// Steps, of 64 pairs.
    pub steps: u32,
    /// Rate of its AdamW.
    pub lr: f64,
}

impl Lesson {
    /// So many passes over the pairs.
    #[must_use]
    pub fn passes(passes: u32, pairs: usize, lr: f64) -> Self {
        let each = u32::try_from(pairs.div_ceil(AT_A_STEP)).unwrap_or(u32::MAX);
        Self { steps: passes.saturating_mul(each), lr }
    }
}

/// A transformer that scores texts: a copy of a policy with one number in the place of logits.
#[derive(Debug)]
pub struct Ranker {
    network: Network,
    moved: Vec<usize>,
}

impl Ranker {
    /// From a policy as it is; every text has the score 0.
    ///
    /// # Errors
    /// When the policy is no transformer.
    pub fn new(policy: &Network) -> Result<Self, LabError> {
        let mut network = policy.duplicate();
        let gpt = *Gpt::of(&network)?;
        let (options, width) = ((Kind::Float, network.device()), gpt.shape.width as i64);
        for (name, role, shape) in
            [("score.weight", Role::Weight, vec![1, width]), ("score.bias", Role::Bias, vec![1])]
        {
            let tensor = Tensor::f_zeros(&shape, options)?.set_requires_grad(true);
            let layer = gpt.shape.depth + 1;
            network.parameters.push(Parameter { name: name.to_owned(), layer, role, tensor });
        }
        Self::of(network)
    }

    /// Of a network that scores already: its logits stay as they are.
    ///
    /// # Errors
    /// When it is no transformer.
    pub fn of(network: Network) -> Result<Self, LabError> {
        let head = Gpt::of(&network)?.head();
        let moved = (0..network.parameters.len()).filter(|index| !head.contains(index)).collect();
        Ok(Self { network, moved })
    }

    /// The network, whose last two parameters are weight and bias of the score.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network alone.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.network
    }

    /// A score for each text (prompt and response), N.
    ///
    /// # Errors
    /// When a text is empty or exceeds the context.
    pub fn scores(&self, texts: &[&[i64]]) -> Result<Tensor, LabError> {
        let width = texts.iter().map(|text| text.len()).max().unwrap_or(0).max(1);
        let mut table = vec![0_i64; texts.len() * width];
        for (row, text) in table.chunks_mut(width).zip(texts) {
            row[..text.len()].copy_from_slice(text);
        }
        let device = self.network.device();
        let table =
            Tensor::f_from_slice(&table)?.f_view([-1, width as i64])?.f_to_device(device)?;
        let last: Vec<i64> = texts.iter().map(|text| text.len() as i64 - 1).collect();
        let states = Gpt::of(&self.network)?.hidden(&self.network, &table)?;
        let (rows, _, wide) = states.size3()?;
        let last = Tensor::f_from_slice(&last)?.f_to_device(device)?.f_view([rows, 1, 1])?;
        let state = states.f_gather(1, &last.f_expand([rows, 1, wide], false)?, false)?;
        let count = self.network.parameters.len();
        let [weight, bias] = [count - 2, count - 1].map(|index| self.network.at(index));
        Ok(state.f_squeeze_dim(1)?.f_linear(weight, Some(bias))?.f_squeeze_dim(-1)?)
    }

    /// The same as numbers.
    ///
    /// # Errors
    /// As [`Ranker::scores`].
    pub fn numbers(&self, texts: &[&[i64]]) -> Result<Vec<f64>, LabError> {
        let mut all = Vec::with_capacity(texts.len());
        for some in texts.chunks(AT_ONCE) {
            let scores = tch::no_grad(|| self.scores(some))?;
            all.extend(values(&scores)?.into_iter().map(f64::from));
        }
        Ok(all)
    }

    /// Learns that the first text of each pair is better than the second: −log σ(s(x, y⁺) − s(x, y⁻)).
    ///
    /// # Errors
    /// When there is no pair.
    pub fn learn(
        &self,
        stage: &str,
        pairs: &[[Vec<i64>; 2]],
        lesson: Lesson,
        streams: &Streams,
    ) -> Result<(), LabError> {
        if pairs.is_empty() {
            return Err(nothing(stage, "there is no pair to learn from"));
        }
        let lm = LmSettings { lr: lesson.lr, weight_decay: 0.0, ..LmSettings::default() };
        let mut rule = lm.optimizer(&self.network)?;
        let (size, total_steps) = (AT_A_STEP.min(pairs.len()), u64::from(lesson.steps));
        let (mut queue, mut pass) = (Vec::<u32>::new(), 0);
        for step in 0..total_steps {
            if queue.len() < size {
                queue = (0..).take(pairs.len()).collect();
                shuffle(&mut streams.keyed(stage, 0, pass), &mut queue);
                pass += 1;
            }
            let chosen = queue.split_off(queue.len() - size);
            let side =
                |side: usize| chosen.iter().map(move |at| pairs[*at as usize][side].as_slice());
            let texts: Vec<&[i64]> = side(0).chain(side(1)).collect();
            let tensors = tch::with_grad(|| {
                let scores = self.scores(&texts)?;
                let n = size as i64;
                let margins = scores.f_narrow(0, 0, n)?.f_sub(&scores.f_narrow(0, n, n)?)?;
                let loss = preferred(&margins, 1.0)?.f_mean(None)?;
                let leaves: Vec<_> =
                    self.moved.iter().map(|at| &self.network.parameters[*at].tensor).collect();
                Ok::<_, LabError>(Tensor::f_run_backward(&[&loss], &leaves, false, false)?)
            })?;
            let (epoch, total_epochs, lr_factor, pass) = (0, 1, 1.0, 0);
            let now = StepInfo { step, total_steps, epoch, total_epochs, lr_factor, pass };
            let gradients = Gradients { active: self.moved.clone(), tensors };
            tch::no_grad(|| rule.update(&self.network.parameters, &gradients, &now))?;
        }
        Ok(())
    }

    /// Share of the pairs whose first text has the higher score; ties count half.
    ///
    /// # Errors
    /// As [`Ranker::scores`].
    pub fn accuracy(&self, pairs: &[[Vec<i64>; 2]]) -> Result<f64, LabError> {
        let side = |side: usize| -> Vec<&[i64]> {
            pairs.iter().map(|pair| pair[side].as_slice()).collect()
        };
        let (won, lost) = (self.numbers(&side(0))?, self.numbers(&side(1))?);
        let right = won.iter().zip(&lost).map(|(won, lost)| match won.total_cmp(lost) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        });
        Ok(right.sum::<f64>() / pairs.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial::streams;
    use tch::Device;

    fn ranker() -> Ranker {
        let shape =
            Shape { vocabulary: 9, context: 12, width: 32, depth: 1, heads: 2, hidden: 128 };
        Ranker::new(&gpt(shape, &streams(), Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn a_ranker_begins_without_an_opinion_and_learns_which_of_two_is_better() {
        let ranker = ranker();
        let pairs: Vec<[Vec<i64>; 2]> =
            (0..40).map(|n| [vec![n % 7, 1, 8], vec![n % 7, 2, 3, 8]]).collect();
        assert!((ranker.accuracy(&pairs).unwrap() - 0.5).abs() < 1e-12);
        let lesson = Lesson { steps: 60, lr: 1e-3 };
        ranker.learn("ranker-1", &pairs, lesson, &streams()).unwrap();
        assert!(ranker.accuracy(&pairs).unwrap() > 0.95);
        // A score is of its text alone.
        let [one, other] = [&pairs[0][0], &pairs[1][1]].map(|text| text.as_slice());
        let together = ranker.numbers(&[one, other]).unwrap();
        let alone = ranker.numbers(&[one]).unwrap();
        assert!((together[0] - alone[0]).abs() < 1e-5, "{together:?} {alone:?}");
        let none = ranker.learn("ranker-1", &[], lesson, &streams()).unwrap_err().to_string();
        assert_eq!(none, "stage \"ranker-1\" leaves nothing: there is no pair to learn from");
    }

    #[test]
    fn a_pass_over_the_pairs_takes_as_many_steps_as_hold_them() {
        let steps = |pairs| Lesson::passes(2, pairs, 0.1).steps;
        assert_eq!([steps(1), steps(64), steps(65)], [2, 2, 4]);
    }
}

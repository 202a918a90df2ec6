//! What scores of sentences change before a loss is taken: which examples come, and tokens that tell good
//! sentences from bad ones.

use ledger::order::OrderLaw;
use ledger::streams::{Streams, unit_f64};
use rand_pcg::Pcg64;

use crate::LabError;
use crate::orders::uniform::Uniform;
use crate::rendering::{self, Row};
use crate::seat::{Batch, EpochPlan, Facts, Order, OrderSource, StepInfo, TaskInfo, View};
use crate::side_info::Sentences;
use crate::state::State;

/// Whether a step comes before that share of the run.
#[must_use]
pub fn is_before(share: f64, now: &StepInfo) -> bool {
    (now.step as f64) < share * now.total_steps as f64
}

/// The uniform order of each pass without the examples whose sentences are bad on average; passes are that
/// much shorter, and there are more of them.
#[derive(Debug)]
pub struct Kept {
    /// By example.
    kept: Vec<bool>,
}

impl Kept {
    /// Keeps examples whose mean score is at most `threshold`.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(
        sentences: &Sentences,
        threshold: f64,
        task: &TaskInfo<'_>,
    ) -> Result<Self, LabError> {
        let documents = sentences.scores.chunks(sentences.count.max(1));
        let good = |scores: &[f32]| {
            scores.iter().copied().map(f64::from).sum::<f64>() <= threshold * scores.len() as f64
        };
        let kept: Vec<bool> = documents.map(good).collect();
        if kept.iter().any(|kept| *kept) {
            return Ok(Self { kept });
        }
        Err(task.unfit(format!(
            "filter: no document has a mean score of at most {threshold}; raise \"threshold\""
        )))
    }

    fn count(&self) -> u32 {
        self.kept.iter().map(|kept| u32::from(*kept)).sum()
    }
}

impl Order for Kept {
    fn law(&self) -> OrderLaw {
        OrderLaw::Blockwise
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        Uniform.rounds(self.count(), budget_samples)
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let mut ids = source.uniform(epoch);
        ids.retain(|id| self.kept.get(*id as usize).copied().unwrap_or(false));
        EpochPlan { ids, block: epoch }
    }

    fn facts(&self) -> Facts {
        Facts::from([("documents_kept".to_owned(), self.count().into())])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// A token before each sentence, of the two that tell good ones from bad ones; it is to be predicted as any other.
#[derive(Debug)]
pub struct Marked {
    /// The sentences.
    pub sentences: Sentences,
    /// Score up to which one is good.
    pub threshold: f64,
    /// Probability that one gets no token.
    pub drop: f64,
    /// Share of the steps before which none does.
    pub start_at: f64,
}

impl Marked {
    fn marked(&self, row: &Row, id: u32, random: &mut Pcg64) -> Row {
        let Sentences { before, length, count, scores, control: [good, bad] } = &self.sentences;
        let own = scores.chunks((*count).max(1)).nth(id as usize).unwrap_or(&[]);
        let mut marked = Row::default();
        for (place, (token, asked)) in row.tokens.iter().zip(&row.asked).enumerate() {
            let inside = place.checked_sub(*before);
            if let Some(first) = inside.filter(|inside| inside % length == 0)
                && unit_f64(random) >= self.drop
            {
                let score = own.get(first / length).copied().map_or(0.0, f64::from);
                marked.push(if score <= self.threshold { *good } else { *bad }, true);
            }
            marked.push(*token, *asked);
        }
        marked
    }
}

impl View for Marked {
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError> {
        if is_before(self.start_at, now) {
            return Ok(());
        }
        let anew = (streams, "control", now.epoch);
        Ok(rendering::rewrite(batch, anew, |row, id, random| self.marked(row, id, random))?)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objectives::IGNORED;
    use crate::trial;
    use tch::Tensor;

    /// Two examples of a first token and two sentences of three.
    fn sentences() -> Sentences {
        let scores = vec![0.0, 0.5, 0.25, 0.0];
        Sentences { before: 1, length: 3, count: 2, scores, control: [1, 2] }
    }

    fn batch(ids: &[u32]) -> Batch {
        let rows =
            ids.iter().flat_map(|id| (0..6).map(move |place| i64::from(*id) * 10 + 10 + place));
        let inputs = Tensor::from_slice(&rows.collect::<Vec<_>>()).view([-1, 6]);
        let sample_ids: Vec<i64> = ids.iter().copied().map(i64::from).collect();
        let sample_ids = Tensor::from_slice(&sample_ids);
        Batch { ids: ids.to_vec(), sample_ids, labels: &inputs + 1, inputs }
    }

    fn marked(drop: f64) -> Marked {
        Marked { sentences: sentences(), threshold: 0.3, drop, start_at: 0.0 }
    }

    fn rendered(view: &mut Marked, ids: &[u32], epoch: u32) -> Batch {
        let mut batch = batch(ids);
        let now = StepInfo { epoch, ..trial::step_info(50, 100) };
        view.render(&mut batch, &now, &trial::streams()).unwrap();
        batch
    }

    fn flat(tensor: &Tensor) -> Vec<i64> {
        Vec::try_from(tensor.reshape([-1])).unwrap()
    }

    #[test]
    fn every_sentence_gets_the_token_of_its_score_which_is_to_be_predicted() {
        let batch = rendered(&mut marked(0.0), &[0, 1], 0);
        assert_eq!(
            flat(&batch.inputs),
            [10, 1, 11, 12, 13, 2, 14, 15, 20, 1, 21, 22, 23, 1, 24, 25]
        );
        let labels = flat(&batch.labels);
        assert_eq!(labels[..8], [1, 11, 12, 13, 2, 14, 15, 16]);
        assert!(!labels.contains(&IGNORED));
    }

    #[test]
    fn tokens_are_dropped_by_example_and_epoch_and_not_by_batch() {
        let view = &mut marked(0.5);
        let [alone, among] = [&[1][..], &[0, 1]].map(|ids| rendered(view, ids, 3)).map(|batch| {
            let row = batch.inputs.get(-1);
            flat(&row).into_iter().filter(|token| *token != 0).collect::<Vec<_>>()
        });
        assert_eq!(alone, among);
        let ids: Vec<u32> = std::iter::repeat_n([0, 1], 500).flatten().collect();
        let kept: i64 = (0..4)
            .map(|epoch| {
                let inputs = rendered(view, &ids[..2], epoch).inputs;
                (inputs.le(2).sum(tch::Kind::Int64) - inputs.eq(0).sum(tch::Kind::Int64))
                    .int64_value(&[])
            })
            .sum();
        assert!(kept > 0 && kept < 16, "{kept}");
        // All dropped: the stored batch, bit for bit.
        let batch = rendered(&mut marked(1.0), &[0, 1], 0);
        let stored = self::batch(&[0, 1]);
        assert_eq!((batch.inputs, batch.labels), (stored.inputs, stored.labels));
        let late = Marked { start_at: 0.6, ..marked(0.0) };
        assert_eq!(rendered(&mut { late }, &[0], 0).inputs.size(), [1, 6]);
    }

    #[test]
    fn what_is_bad_on_average_never_comes_and_the_budget_is_spent_on_the_rest() {
        let bandit = trial::bandit().unwrap();
        let task = bandit.task();
        let kept = |threshold| Kept::new(&sentences(), threshold, &task);
        let order = kept(0.125).unwrap();
        assert_eq!((order.count(), order.rounds(2, 5)), (1, vec![1; 5]));
        assert_eq!(kept(0.25).unwrap().count(), 2);
        let error = kept(0.1).unwrap_err().to_string();
        assert!(error.contains("no document") && error.contains("\"threshold\""), "{error}");
        let mut all = kept(1.0).unwrap();
        let streams = trial::streams();
        let source = OrderSource {
            effective_seed: &[3; 32],
            streams: &streams,
            examples: 2,
            eligible: None,
        };
        for epoch in 0..4 {
            assert_eq!(all.epoch(epoch, &source).ids, source.uniform(epoch));
        }
    }

    #[test]
    fn a_share_of_the_steps_is_before() {
        let before = |step| is_before(0.5, &trial::step_info(step, 10));
        assert_eq!([0, 4, 5, 9].map(before), [true, true, false, false]);
        assert!(!is_before(0.0, &trial::step_info(0, 10)));
    }
}

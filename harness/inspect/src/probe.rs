//! Scores of a model on every example of a split, in dataset order: what tests of provenance
//! correlate with the order that the examples were trained in.
//!
//! The model is read in evaluation mode, without gradients, in dataset order and in batches of one
//! size, so that nothing of the order can enter by way of the reading. Losses are taken in double
//! precision from the model's logits; another batch size moves them by the rounding of the logits
//! only.

use ledger::streams::{Streams, unit_f64};
use tch::{Kind, TchError, Tensor};

use lab::LabError;
use lab::network::Network;
use lab::objectives::{DefaultLoss, IGNORED};
use lab::side_info::SideInfo;
use lab::split::Split;

/// How a model is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Examples that go through the network at once.
    pub rows: u32,
    /// Tokens (or classes) sampled at every place that is predicted; 0 for none.
    pub samples: u32,
    /// Whether each document of a packed example is scored on its own.
    pub documents: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self { rows: 256, samples: 10, documents: false }
    }
}

/// One number per example (or per document, all those of an example side by side).
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Mean negative log-likelihood of what is predicted, in nats.
    pub losses: Vec<f64>,
    /// Share of places where the likeliest token (or class) is the right one.
    pub top1: Vec<f64>,
    /// Share of sampled tokens (or classes) that are the right one; empty without samples.
    pub sampled: Vec<f64>,
}

/// Scores `network` on every example of `split`.
///
/// Samples are drawn by inversion of the distribution function from stream `sampled` of `streams`,
/// keyed by the example, so that they do not depend on the batch.
///
/// # Errors
/// When the workload predicts neither classes nor tokens, an example predicts nothing, or libtorch
/// refuses an operation.
pub fn scores(
    network: &Network,
    side: &SideInfo,
    split: &Split,
    reading: Reading,
    streams: &Streams,
) -> Result<Scores, LabError> {
    if !matches!(side.loss, Some(DefaultLoss::Classes | DefaultLoss::Tokens)) {
        return Err(unfit("the workload predicts neither classes nor tokens".to_owned()));
    }
    let parts = if reading.documents { side.documents.max(1) as usize } else { 1 };
    let expected = parts * usize::try_from(split.len()).unwrap_or(0);
    let mut scores = Scores {
        losses: Vec::with_capacity(expected),
        top1: Vec::with_capacity(expected),
        sampled: Vec::new(),
    };
    let mut start = 0;
    while start < split.len() {
        let length = i64::from(reading.rows.max(1)).min(split.len() - start);
        let places = tch::no_grad(|| Places::read(network, split, start, length))?;
        for (row, id) in (0..length).zip(start..) {
            let id = u32::try_from(id).unwrap_or(u32::MAX);
            let mut random = streams.keyed("sampled", id, 0);
            let mut tallies = vec![Tally::default(); parts];
            for (place, answer) in places.row(row) {
                let tally = &mut tallies[place * parts / (places.columns + 1)];
                tally.count += 1.0;
                tally.loss -= answer.log_probability;
                tally.right += f64::from(u8::from(answer.likeliest));
                let interval = answer.below..answer.below + answer.log_probability.exp();
                let drawn = (0..reading.samples).map(|_| unit_f64(&mut random));
                tally.sampled += drawn.filter(|uniform| interval.contains(uniform)).count() as f64;
            }
            for Tally { count, loss, right, sampled } in tallies {
                if count == 0.0 {
                    return Err(unfit(format!("example {id} predicts nothing")));
                }
                scores.losses.push(loss / count);
                scores.top1.push(right / count);
                if reading.samples > 0 {
                    scores.sampled.push(sampled / count / f64::from(reading.samples));
                }
            }
        }
        start += length;
    }
    Ok(scores)
}

fn unfit(reason: String) -> LabError {
    LabError::Unfit {
        method: "scores per example".to_owned(),
        workload: "this workload".to_owned(),
        reason,
    }
}

/// Sums over the places of an example or document.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: f64,
    loss: f64,
    right: f64,
    sampled: f64,
}

/// What the model says of the right answer at one place.
#[derive(Debug, Clone, Copy)]
struct Answer {
    log_probability: f64,
    /// Probability of all answers listed before it.
    below: f64,
    likeliest: bool,
}

/// What the model says of every place of some rows, on the host.
struct Places {
    columns: usize,
    labels: Vec<i64>,
    log_probabilities: Vec<f64>,
    below: Vec<f64>,
    likeliest: Vec<i64>,
}

impl Places {
    fn read(network: &Network, split: &Split, start: i64, length: i64) -> Result<Self, LabError> {
        let (inputs, labels) = split.rows(start, length)?;
        let labels = labels.f_reshape([length, -1])?;
        let columns = labels.size().last().copied().unwrap_or(0);
        let logits = network.forward(&inputs, false)?.f_reshape([length, columns, -1])?;
        let logs = logits.f_log_softmax(-1, Kind::Double)?;
        let asked = labels.f_clamp_min(0)?.f_unsqueeze(-1)?;
        let own = logs.f_gather(-1, &asked, false)?;
        let up_to = logs.f_exp()?.f_cumsum(-1, Kind::Double)?.f_gather(-1, &asked, false)?;
        let below = up_to.f_sub(&own.f_exp()?)?;
        let host = |tensor: &Tensor| {
            let flat = tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view([-1])?;
            Ok::<_, TchError>(flat)
        };
        Ok(Self {
            columns: usize::try_from(columns).unwrap_or(0),
            labels: Vec::try_from(host(&labels)?)?,
            log_probabilities: Vec::try_from(host(&own)?)?,
            below: Vec::try_from(host(&below)?)?,
            likeliest: Vec::try_from(host(&logs.f_argmax(-1, false)?)?)?,
        })
    }

    /// The places of a row that are asked for, each with its number among the row's symbols, the
    /// first of which is not predicted.
    fn row(&self, row: i64) -> impl Iterator<Item = (usize, Answer)> {
        let start = usize::try_from(row).unwrap_or(0) * self.columns;
        let places = (start..start + self.columns).zip(1..);
        places.filter(|(at, _)| self.labels[*at] != IGNORED).map(|(at, place)| {
            let answer = Answer {
                log_probability: self.log_probabilities[at],
                below: self.below[at],
                likeliest: self.likeliest[at] == self.labels[at],
            };
            (place, answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::trial::{self, with};
    use training::trial::Fixture;

    fn read(fixture: &Fixture, reading: Reading) -> Scores {
        let network = fixture.network(1).unwrap();
        let ready = fixture.ready();
        let split = &ready.splits.validation;
        scores(&network, &ready.side, split, reading, &trial::streams()).unwrap()
    }

    #[test]
    fn losses_are_those_that_training_lowers_for_tokens_and_for_classes() {
        for id in ["markov-mlp", "markov-gru", "markov-gpt", "attr", "blobs-cnn"] {
            let fixture = workloads::fixture(id, &with([])).unwrap();
            let network = fixture.network(1).unwrap();
            let found = read(&fixture, Reading { rows: 100, ..Reading::default() });
            let split = &fixture.ready().splits.validation;
            let (inputs, labels) = split.rows(0, split.len()).unwrap();
            let outputs = tch::no_grad(|| network.forward(&inputs, false)).unwrap();
            let default_loss = fixture.ready().side.loss.unwrap();
            let losses = values(&default_loss.of_outputs(&outputs, &labels).unwrap()).unwrap();
            assert_eq!(losses.len(), found.losses.len(), "{id}");
            for (loss, found) in losses.iter().zip(&found.losses) {
                assert!((f64::from(*loss) - found).abs() < 1e-5, "{id}: {loss} {found}");
            }
            let right = outputs.argmax(-1, false).eq_tensor(&labels).to_kind(Kind::Float);
            let asked = labels.ne(IGNORED).sum(Kind::Float);
            let share = f64::try_from(right.sum(Kind::Float) / asked).unwrap();
            let mean = found.top1.iter().sum::<f64>() / found.top1.len() as f64;
            assert!((share - mean).abs() < 1e-5, "{id}: {share} {mean}");
        }
    }

    #[test]
    fn the_batch_size_changes_no_rank_beyond_the_rounding_of_logits() {
        for id in ["markov-mlp", "markov-gru", "markov-gpt", "blobs-cnn"] {
            let fixture = workloads::fixture(id, &with([])).unwrap();
            let [small, large] =
                [7, 512].map(|rows| read(&fixture, Reading { rows, ..Reading::default() }));
            let mut ids: Vec<usize> = (0..small.losses.len()).collect();
            ids.sort_by(|a, b| small.losses[*a].total_cmp(&small.losses[*b]));
            for pair in ids.windows(2) {
                let fall = large.losses[pair[0]] - large.losses[pair[1]];
                assert!(fall < 1e-6, "{id}: {fall}");
            }
            let differ = small.sampled.iter().zip(&large.sampled).filter(|(a, b)| a != b).count();
            assert!(differ <= 2, "{id}: {differ}");
        }
    }

    #[test]
    fn sampled_answers_are_right_as_often_as_the_model_says() {
        let fixture = workloads::fixture("markov-mlp", &with([])).unwrap();
        let found = read(&fixture, Reading { samples: 50, ..Reading::default() });
        let network = fixture.network(1).unwrap();
        let split = &fixture.ready().splits.validation;
        let (inputs, labels) = split.rows(0, split.len()).unwrap();
        let probabilities = network.forward(&inputs, false).unwrap().softmax(-1, Kind::Double);
        let asked = labels.ne(IGNORED);
        let own =
            probabilities.gather(-1, &labels.clamp_min(0).unsqueeze(-1), false).squeeze_dim(-1);
        let expected = own.masked_select(&asked).mean(Kind::Double).double_value(&[]);
        let mean = found.sampled.iter().sum::<f64>() / found.sampled.len() as f64;
        // 768,000 draws of some 3 %: four deviations are 0.0008.
        assert!((mean - expected).abs() < 8e-4, "{mean} {expected}");
        let none = read(&fixture, Reading { samples: 0, ..Reading::default() });
        assert!(none.sampled.is_empty());
    }

    #[test]
    fn the_documents_of_a_pack_are_scored_one_by_one() {
        let settings = with([("pack", 8.into()), ("examples", 16.into())]);
        let fixture = workloads::fixture("markov-mlp", &settings).unwrap();
        let rows = read(&fixture, Reading::default()).losses;
        let documents = read(&fixture, Reading { documents: true, ..Reading::default() }).losses;
        assert_eq!(documents.len(), 8 * rows.len());
        for (row, documents) in rows.iter().zip(documents.chunks(8)) {
            assert!((row - documents.iter().sum::<f64>() / 8.0).abs() < 1e-12);
            assert!(documents.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }

    #[test]
    fn what_predicts_no_answer_is_refused() {
        let fixture = workloads::fixture("ring8", &with([])).unwrap();
        let network = fixture.network(1).unwrap();
        let ready = fixture.ready();
        let (split, reading) = (&ready.splits.test, Reading::default());
        let error = scores(&network, &ready.side, split, reading, &trial::streams());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("neither classes nor tokens"), "{error}");

        let fixture = workloads::fixture("markov-mlp", &with([])).unwrap();
        let network = fixture.network(1).unwrap();
        let split = &fixture.ready().splits.test;
        let _ = split.labels.get(3).fill_(IGNORED);
        let error = scores(&network, &fixture.ready().side, split, reading, &trial::streams());
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with("example 3 predicts nothing"), "{error}");
    }
}

//! Text from any model of tokens, one token at a time: what a suspect might publish.
//!
//! A document starts like one of the workload's validation examples, drawn at random, with as many
//! symbols as the workload gives and does not ask for; none of these was trained on. Each document
//! draws from a generator of its own, so that it does not depend on the batch it is in.

use ledger::order::bounded;
use ledger::streams::{Streams, unit_f64};
use tch::{Kind, Tensor};

use lab::LabError;
use lab::generate::{Choice, Options, generate};
use lab::models::gpt::Gpt;
use lab::network::Network;
use lab::objectives::{DefaultLoss, IGNORED};
use training::workload::Ready;

/// Documents that go through the network at once.
const AT_ONCE: usize = 512;

/// Shape of the documents that a workload's models write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Tokens of a document.
    pub length: usize,
    /// Tokens at its start that are given.
    pub given: usize,
}

impl Form {
    /// The form of a document of the workload's examples.
    ///
    /// # Errors
    /// When the workload does not predict tokens.
    pub fn of(ready: &Ready) -> Result<Self, LabError> {
        let unfit = |reason: &str| LabError::Unfit {
            method: "sampling text".to_owned(),
            workload: "this workload".to_owned(),
            reason: reason.to_owned(),
        };
        if ready.side.loss != Some(DefaultLoss::Tokens) {
            return Err(unfit("its models do not predict tokens"));
        }
        let (rows, columns) = ready.splits.train.labels.size2()?;
        if rows == 0 || ready.splits.validation.is_empty() {
            return Err(unfit("it has no examples to start from"));
        }
        let labels = Vec::<i64>::try_from(ready.splits.train.labels.get(0))?;
        let skipped = labels.iter().take_while(|label| **label == IGNORED).count();
        let documents = i64::from(ready.side.documents.max(1));
        let length = usize::try_from((columns + 1) / documents).unwrap_or(0);
        Ok(Self { length, given: (skipped + 1).min(length) })
    }
}

/// The training examples as tokens, in dataset order, and how many tokens each has: what a text can
/// overlap with.
///
/// # Errors
/// When the workload does not predict tokens, its examples are no running text, or libtorch refuses
/// an operation.
pub fn corpus(ready: &Ready) -> Result<(Vec<u32>, usize), LabError> {
    Form::of(ready)?;
    let train = &ready.splits.train;
    let (_, columns) = train.stored.size2()?;
    let (next, asked) =
        (train.stored.f_narrow(1, 1, columns - 1)?, train.labels.f_narrow(1, 0, columns - 1)?);
    let follows = next.f_eq_tensor(&asked)?.f_logical_or(&asked.f_eq(IGNORED)?)?.f_all()?;
    if follows.int64_value(&[]) == 0 {
        return Err(LabError::Unfit {
            method: "a corpus".to_owned(),
            workload: "this workload".to_owned(),
            reason: "its examples are packs of sequences that do not follow each other".to_owned(),
        });
    }
    let last = train.labels.f_select(1, -1)?;
    // Labels are the inputs one place on; the last one is nobody's input.
    let whole = if last.f_min()?.int64_value(&[]) == IGNORED {
        train.stored.shallow_clone()
    } else {
        Tensor::f_cat(&[train.stored.shallow_clone(), last.f_unsqueeze(1)?], 1)?
    };
    let (_, length) = whole.size2()?;
    let flat = whole.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view([-1])?;
    let tokens = Vec::<i64>::try_from(flat)?;
    let known = |token: i64| u32::try_from(token).unwrap_or(0);
    Ok((tokens.into_iter().map(known).collect(), usize::try_from(length).unwrap_or(0)))
}

/// Samples `count` documents at a `temperature` above 0; randomness is that of stream `text` of
/// `streams`, keyed by the document.
///
/// # Errors
/// When the workload does not predict tokens or libtorch refuses an operation.
pub fn documents(
    network: &Network,
    ready: &Ready,
    count: u32,
    temperature: f64,
    streams: &Streams,
) -> Result<Vec<Vec<u32>>, LabError> {
    let form = Form::of(ready)?;
    let vocabulary = ready.side.vocabulary();
    let validation = &ready.splits.validation.stored;
    let (examples, columns) = validation.size2()?;
    let table = Vec::<i64>::try_from(validation.f_to_device(tch::Device::Cpu)?.f_reshape([-1])?)?;
    let examples: Vec<&[i64]> =
        table.chunks(usize::try_from(columns).unwrap_or(1)).take(examples as usize).collect();
    let mut texts = Vec::with_capacity(count as usize);
    let ids: Vec<u32> = (0..count).collect();
    for ids in ids.chunks(AT_ONCE) {
        let mut generators: Vec<_> = ids.iter().map(|&id| streams.keyed("text", id, 0)).collect();
        let mut rows: Vec<Vec<i64>> = Vec::with_capacity(ids.len());
        for random in &mut generators {
            let drawn = usize::try_from(bounded(random, examples.len() as u64)).unwrap_or(0);
            rows.push(examples[drawn].iter().take(form.given).copied().collect());
        }
        if Gpt::of(network).is_ok() {
            let flat: Vec<i64> = rows.concat();
            let shape = [rows.len() as i64, form.given as i64];
            let prompts =
                Tensor::f_from_slice(&flat)?.f_view(shape)?.f_to_device(network.device())?;
            let longest = form.length - form.given;
            if longest > 0 {
                let options = Options { longest, ..Options::default() };
                let choice = Choice::Sample { temperature, generators: &mut generators };
                let written =
                    tch::no_grad(|| generate(network, (&prompts).into(), &options, choice))?;
                let flat = Vec::<i64>::try_from(
                    written.tokens.f_to_device(tch::Device::Cpu)?.f_reshape([-1])?,
                )?;
                for (row, behind) in rows.iter_mut().zip(flat.chunks(longest)) {
                    row.extend_from_slice(behind);
                }
            }
        } else {
            while rows.first().is_some_and(|row| row.len() < form.length) {
                let laws = tch::no_grad(|| next(network, &rows, temperature))?;
                let each = rows.iter_mut().zip(laws.chunks(vocabulary)).zip(&mut generators);
                for ((row, law), random) in each {
                    row.push(invert(law, unit_f64(random)));
                }
            }
        }
        let known = |token: i64| u32::try_from(token).unwrap_or(0);
        texts.extend(rows.into_iter().map(|row| row.into_iter().map(known).collect::<Vec<_>>()));
    }
    Ok(texts)
}

/// Probabilities of the token behind each row, B × V, all rows of one length.
fn next(network: &Network, rows: &[Vec<i64>], temperature: f64) -> Result<Vec<f64>, LabError> {
    let length = rows.first().map_or(0, Vec::len) as i64;
    let inputs = Tensor::f_from_slice(&rows.concat())?.f_view([rows.len() as i64, length])?;
    let logits = network.forward(&inputs.f_to_device(network.device())?, false)?;
    let last = logits.f_select(1, length - 1)?.f_to_kind(Kind::Double)?;
    let law = last.f_div_scalar(temperature)?.f_softmax(-1, Kind::Double)?;
    Ok(Vec::try_from(law.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view([-1])?)?)
}

/// The token at which the distribution function of `law` passes `uniform`.
fn invert(law: &[f64], uniform: f64) -> i64 {
    let mut sum = 0.0;
    let place = law.iter().position(|probability| {
        sum += probability;
        uniform < sum
    });
    // Rounding may leave the sum a little below 1.
    let last = law.iter().rposition(|probability| *probability > 0.0).unwrap_or(0);
    place.unwrap_or(last) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::{self, with};

    fn sampled(id: &str, count: u32, temperature: f64) -> Vec<Vec<u32>> {
        let stage = workloads::fixture(id, &with([])).unwrap();
        let network = stage.network(1).unwrap();
        documents(&network, stage.ready(), count, temperature, &trial::streams()).unwrap()
    }

    #[test]
    fn documents_have_the_workloads_length_and_alphabet_and_do_not_depend_on_their_number() {
        for id in ["markov-mlp", "markov-gru", "markov-gpt"] {
            let some = sampled(id, 20, 1.0);
            assert!(some.iter().all(|text| text.len() == 32), "{id}");
            assert!(some.iter().flatten().all(|token| *token < 32), "{id}");
            assert_eq!(sampled(id, 5, 1.0), some[..5], "{id}");
        }
    }

    #[test]
    fn tokens_come_as_often_as_the_model_says() {
        let stage = workloads::fixture("markov-mlp", &with([])).unwrap();
        let network = stage.network(3).unwrap();
        let law = next(&network, &[vec![4, 9]], 0.5).unwrap();
        let (mut counts, mut random) = (vec![0.0; 32], trial::streams().generator("draws"));
        for _ in 0..20_000 {
            let token = invert(&law, unit_f64(&mut random));
            counts[usize::try_from(token).unwrap()] += 1.0 / 20_000.0;
        }
        for (share, probability) in counts.iter().zip(&law) {
            // Four standard deviations of the most likely of them.
            assert!((share - probability).abs() < 4.0 * (probability / 20_000.0).sqrt() + 1e-4);
        }
    }

    #[test]
    fn a_cold_model_writes_its_likeliest_token() {
        let stage = workloads::fixture("markov-mlp", &with([])).unwrap();
        let network = stage.network(1).unwrap();
        let texts = documents(&network, stage.ready(), 3, 1e-6, &trial::streams()).unwrap();
        for text in texts {
            let row: Vec<i64> = text.iter().map(|token| i64::from(*token)).collect();
            let law = next(&network, &[row[..10].to_vec()], 1.0).unwrap();
            let best = law.iter().copied().fold(0.0, f64::max);
            assert_eq!(law[usize::try_from(row[10]).unwrap()], best);
        }
    }

    #[test]
    fn a_model_of_classes_writes_nothing() {
        let stage = workloads::fixture("blobs-cnn", &with([])).unwrap();
        let network = stage.network(1).unwrap();
        let error = documents(&network, stage.ready(), 1, 1.0, &trial::streams()).unwrap_err();
        assert!(error.to_string().contains("do not predict tokens"), "{error}");
    }
}

//! What workloads of token sequences have in common: sizes of the transformer, splits from
//! sequences, scores token by token, and greedy completion.

use data::sequences::Sequence;
use data::slp::Alphabet;
use ledger::choice;
use tch::{Device, Kind, TchError, Tensor};

use lab::LabError;
use lab::generate::{Choice, Generated, Options, Prompts, generate};
pub use lab::init::spread;
use lab::models::gpt::Shape;
use lab::network::{Network, values};
use lab::objectives::{IGNORED, token_losses};
use lab::split::Split;

choice! {
    /// Size of the transformer.
    pub enum Size {
        /// Width 64, 2 blocks, 4 heads.
        Xs = "xs",
        /// Width 128, 2 blocks, 4 heads.
        S = "s",
        /// Width 128, 4 blocks, 4 heads.
        M = "m",
    }
}

impl Size {
    /// The transformer's shape.
    #[must_use]
    pub fn shape(self, vocabulary: usize, context: usize) -> Shape {
        match self {
            Self::Xs => Shape::xs(vocabulary, context),
            Self::S => Shape::s(vocabulary, context),
            Self::M => Shape::m(vocabulary, context),
        }
    }
}

/// Puts sequences on `device`: inputs are all tokens but the last of `length`, labels the tokens
/// that follow; no loss is asked for within the prompt and behind the end.
///
/// # Errors
/// When the device has no room.
pub fn split<'a>(
    sequences: impl ExactSizeIterator<Item = &'a Sequence>,
    length: usize,
    device: Device,
) -> Result<Split, TchError> {
    let rows = sequences.len();
    let columns = length.saturating_sub(1);
    let mut inputs = vec![i64::from(Alphabet::PAD); rows * columns];
    let mut labels = vec![IGNORED; rows * columns];
    let mut groups = Vec::with_capacity(rows);
    let places = inputs.chunks_mut(columns.max(1)).zip(labels.chunks_mut(columns.max(1)));
    for (sequence, (inputs, labels)) in sequences.zip(places) {
        for (input, &token) in inputs.iter_mut().zip(&sequence.tokens) {
            *input = i64::from(token);
        }
        let first = sequence.prompt.saturating_sub(1);
        for (label, &token) in labels.iter_mut().zip(&sequence.tokens[1..]).skip(first) {
            *label = i64::from(token);
        }
        groups.push(sequence.group);
    }
    let shape = [rows as i64, columns as i64];
    let place = |values: &[i64]| Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device);
    Ok(Split { stored: place(&inputs)?, labels: place(&labels)?, groups })
}

/// Scores of every position that a loss is asked at, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Of each row, the negative log-likelihood of each asked token, and whether it is the likeliest.
    pub rows: Vec<Vec<(f64, bool)>>,
}

/// Rows that go through the network at once when it is judged.
const AT_ONCE: i64 = 256;
/// Logits, or other values of a position, that are in memory at once then: 256 MiB of them.
const MOST_VALUES: i64 = 1 << 26;

/// Rows of so many positions that are judged at once: fewer where the alphabet is large.
fn at_once(network: &Network, positions: i64) -> i64 {
    // The head has a row for each token.
    let rows = network.parameters.iter().filter_map(|p| p.tensor.size().first().copied());
    let widest = rows.max().unwrap_or(1).max(1);
    (MOST_VALUES / widest / positions.max(1)).clamp(1, AT_ONCE)
}

impl Scores {
    /// Scores the examples of a split, teacher-forced.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn of(network: &Network, split: &Split) -> Result<Self, LabError> {
        let mut rows = Vec::with_capacity(split.groups.len());
        let mut start = 0;
        let at_once = at_once(network, split.stored.size().get(1).copied().unwrap_or(1));
        while start < split.len() {
            let length = at_once.min(split.len() - start);
            let (inputs, labels) = split.rows(start, length)?;
            let logits = network.forward(&inputs, false)?;
            let right = logits.f_argmax(-1, false)?.f_eq_tensor(&labels)?;
            let asked = labels.f_ne(IGNORED)?;
            let losses = token_losses(&logits, &labels)?;
            let [losses, right, asked] =
                [losses, right.f_to_kind(Kind::Float)?, asked.f_to_kind(Kind::Float)?]
                    .map(|tensor| values(&tensor));
            let (losses, right, asked) = (losses?, right?, asked?);
            let columns = losses.len() / usize::try_from(length).unwrap_or(1).max(1);
            let columns = columns.max(1);
            let chunks =
                losses.chunks(columns).zip(right.chunks(columns)).zip(asked.chunks(columns));
            for ((losses, right), asked) in chunks {
                let places = losses.iter().zip(right).zip(asked);
                let kept = places.filter(|(_, asked)| **asked > 0.0);
                rows.push(
                    kept.map(|((loss, right), _)| (f64::from(*loss), *right > 0.0)).collect(),
                );
            }
            start += length;
        }
        Ok(Self { rows })
    }

    /// Mean negative log-likelihood over all asked tokens, in nats.
    #[must_use]
    pub fn nll(&self) -> f64 {
        mean(self.rows.iter().flatten().map(|(loss, _)| *loss))
    }

    /// Share of asked tokens that are the likeliest.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        mean(self.rows.iter().flatten().map(|(_, right)| share(*right)))
    }

    /// Share of rows whose asked tokens are all the likeliest.
    #[must_use]
    pub fn whole(&self) -> f64 {
        mean(self.rows.iter().map(|row| share(row.iter().all(|(_, right)| *right))))
    }

    /// These rows only.
    #[must_use]
    pub fn group(&self, groups: &[u32], group: u32) -> Self {
        let kept = self.rows.iter().zip(groups).filter(|(_, of)| **of == group);
        Self { rows: kept.map(|(row, _)| row.clone()).collect() }
    }
}

/// 1 or 0.
fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

/// The mean of numbers; not a number when there are none, so that it is left out of a record.
pub(crate) fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { f64::NAN }
}

/// The likeliest completion of each prompt, token by token, up to and without `end`; at most
/// `longest` tokens.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn complete(
    network: &Network,
    prompts: &[&[u16]],
    longest: usize,
    end: u16,
) -> Result<Vec<Vec<u16>>, LabError> {
    let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
    let width = lengths.iter().copied().max().unwrap_or(0);
    let mut table = vec![i64::from(Alphabet::PAD); prompts.len() * width];
    for (row, prompt) in table.chunks_mut(width.max(1)).zip(prompts) {
        for (place, &token) in row.iter_mut().zip(*prompt) {
            *place = i64::from(token);
        }
    }
    let table = Tensor::f_from_slice(&table)?.f_view([prompts.len() as i64, width as i64])?;
    let prompts = Prompts { tokens: &table, lengths: Some(&lengths) };
    let options = Options { longest, end: Some(end.into()), ..Options::default() };
    let Generated { tokens, lengths, .. } = generate(network, prompts, &options, Choice::Greedy)?;
    let tokens = Vec::<i64>::try_from(tokens.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
    let rows = tokens.chunks(longest.max(1)).zip(lengths);
    let read = |(row, length): (&[i64], usize)| {
        let row = row.iter().take(length).filter_map(|&token| u16::try_from(token).ok());
        row.take_while(|token| *token != end).collect()
    };
    Ok(rows.map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::gpt::gpt;
    use lab::trial;

    fn sequences() -> Vec<Sequence> {
        let sequence =
            |tokens: &[u16], prompt, group| Sequence { tokens: tokens.to_vec(), prompt, group };
        vec![sequence(&[5, 6, 7, 8], 2, 0), sequence(&[6, 5, 2], 1, 1)]
    }

    fn network() -> Network {
        let shape = Shape { vocabulary: 9, context: 12, width: 8, depth: 1, heads: 2, hidden: 32 };
        gpt(shape, &trial::streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn labels_are_the_next_tokens_of_the_response_and_nothing_else() {
        let split = split(sequences().iter(), 5, Device::Cpu).unwrap();
        let rows = |tensor: &Tensor| Vec::<i64>::try_from(tensor.view([-1])).unwrap();
        assert_eq!(rows(&split.stored), [5, 6, 7, 8, 6, 5, 2, 0]);
        assert_eq!(rows(&split.labels), [IGNORED, 7, 8, IGNORED, 5, 2, IGNORED, IGNORED]);
        assert_eq!(split.groups, [0, 1]);
    }

    #[test]
    fn scores_are_those_of_the_asked_tokens_whatever_is_padded() {
        let network = network();
        let of = |length| {
            let split = split(sequences().iter(), length, Device::Cpu).unwrap();
            Scores::of(&network, &split).unwrap()
        };
        let (tight, padded) = (of(4), of(9));
        assert_eq!(tight.rows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        for ((loss, right), (other, same)) in
            tight.rows.iter().flatten().zip(padded.rows.iter().flatten())
        {
            assert!((loss - other).abs() < 1e-5 && right == same);
        }
        let by_hand = tight.rows.iter().flatten().map(|(loss, _)| loss).sum::<f64>() / 4.0;
        assert!((tight.nll() - by_hand).abs() < 1e-12);
        assert_eq!(tight.group(&[0, 1], 1).rows, tight.rows[1..]);
        assert!(Scores { rows: Vec::new() }.nll().is_nan());
    }

    #[test]
    fn fewer_rows_are_judged_at_once_where_an_alphabet_is_large() {
        let network = |vocabulary| {
            let shape = Shape { vocabulary, context: 4, width: 2, depth: 1, heads: 1, hidden: 8 };
            gpt(shape, &trial::streams(), Device::Cpu).unwrap()
        };
        assert_eq!(at_once(&network(65), 64), AT_ONCE);
        assert_eq!(at_once(&network(50_257), 64), 20);
        assert_eq!(at_once(&network(50_257), 4_096), 1);
    }

    #[test]
    fn shares_count_tokens_and_rows() {
        let scores =
            Scores { rows: vec![vec![(0.1, true), (0.2, true)], vec![(1.0, true), (2.0, false)]] };
        assert_eq!((scores.accuracy(), scores.whole()), (0.75, 0.5));
    }

    #[test]
    fn a_completion_is_the_likeliest_token_each_time_alone_or_among_others() {
        let network = network();
        let prompts: [&[u16]; 3] = [&[5, 6], &[7], &[8, 5]];
        let together = complete(&network, &prompts, 4, 0).unwrap();
        for (prompt, response) in prompts.iter().zip(&together) {
            let mut tokens = prompt.to_vec();
            for &token in response {
                let so_far: Vec<i64> = tokens.iter().copied().map(i64::from).collect();
                let logits =
                    network.forward(&Tensor::from_slice(&so_far).unsqueeze(0), false).unwrap();
                let best = logits.select(1, -1).argmax(-1, false).int64_value(&[0]);
                assert_eq!(best, i64::from(token));
                tokens.push(token);
            }
            assert!(!response.is_empty());
            assert_eq!(complete(&network, &[prompt], 4, 0).unwrap()[0], *response);
            let stopped = complete(&network, &[prompt], 4, response[0]).unwrap();
            assert!(stopped[0].is_empty());
        }
    }
}

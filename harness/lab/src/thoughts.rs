//! Thoughts before a prediction: a policy that has read the beginning of a text may think between two marks, and
//! then says the next token.

use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use crate::LabError;
use crate::generate::{Choice, Generated, Options, Prompts, generate_behind};
use crate::network::Network;
use crate::rollout::rows_of;

/// How a policy thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thoughts {
    /// Begins a thought.
    pub open: i64,
    /// Ends a thought; what follows is the prediction.
    pub close: i64,
    /// Tokens of a thought, at most.
    pub longest: u32,
    /// Tokens of the shortest thought that helps where one is needed.
    pub shortest: u32,
    /// Tokens before a thought, at most.
    pub prefix: u32,
}

/// What a thought came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// Tokens of the thought.
    pub length: usize,
    /// The token behind it; none where the thought did not end in time.
    pub token: Option<i64>,
}

impl Thoughts {
    /// Reads a response: thought, mark, prediction.
    #[must_use]
    pub fn read(&self, response: &[i64]) -> Said {
        match response.iter().position(|token| *token == self.close) {
            Some(length) => Said { length, token: response.get(length + 1).copied() },
            None => Said { length: response.len(), token: None },
        }
    }

    /// Tokens of a response at most: the longest thought, the mark and the prediction.
    #[must_use]
    pub const fn longest_response(&self) -> usize {
        self.longest as usize + 2
    }

    /// Tokens of the longest prefix with the longest response to it.
    #[must_use]
    pub const fn whole(&self) -> usize {
        self.prefix as usize + 1 + self.longest_response()
    }
}

/// Prefixes of texts with what was thought and said behind them, a row each, N rows.
#[derive(Debug)]
pub struct Thinking {
    /// Prefix, mark and response of up to T tokens, filled with zeros: N × T, i64.
    pub tokens: Tensor,
    /// 1 where a token of a response is predicted from: N × (T − 1), f32.
    pub mask: Tensor,
    /// The responses.
    pub responses: Vec<Vec<i64>>,
    /// What they say.
    pub said: Vec<Said>,
    /// Tokens of each row, prefix and mark included.
    pub lengths: Vec<usize>,
}

impl Thinking {
    /// The likeliest response to each prefix.
    ///
    /// # Errors
    /// When a prefix is empty or beyond the context.
    pub fn likeliest(
        network: &Network,
        thoughts: &Thoughts,
        prefixes: &[Vec<i64>],
    ) -> Result<Self, LabError> {
        Self::respond(network, thoughts, prefixes, 1, Choice::Greedy)
    }

    /// `group` responses to each prefix, sampled at temperature 1; each row draws from the `rollout` stream of
    /// its place and `step`.
    ///
    /// # Errors
    /// When a prefix is empty or beyond the context.
    pub fn sampled(
        network: &Network,
        thoughts: &Thoughts,
        prefixes: &[Vec<i64>],
        group: usize,
        (streams, step): (&Streams, u32),
    ) -> Result<Self, LabError> {
        let rows = (0..).take(prefixes.len() * group);
        let mut generators: Vec<Pcg64> =
            rows.map(|row| streams.keyed("rollout", row, step)).collect();
        let choice = Choice::Sample { temperature: 1.0, generators: &mut generators };
        Self::respond(network, thoughts, prefixes, group, choice)
    }

    fn respond(
        network: &Network,
        thoughts: &Thoughts,
        prefixes: &[Vec<i64>],
        group: usize,
        choice: Choice<'_>,
    ) -> Result<Self, LabError> {
        let device = network.device();
        let rows = prefixes.iter().flat_map(|prefix| std::iter::repeat_n(prefix, group));
        let prompts = rows.map(|prefix| [prefix.as_slice(), &[thoughts.open]].concat());
        let prompts: Vec<Vec<i64>> = prompts.collect();
        let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
        let table = table(&prompts)?.f_to_device(device)?;
        let prompts = Prompts { tokens: &table, lengths: Some(&lengths) };
        let longest = thoughts.longest_response();
        let options = Options { longest, end: Some(thoughts.close), banned: Vec::new() };
        let generated = generate_behind(network, prompts, &options, 1, choice)?;
        let joined = generated.joined(prompts)?;
        let Generated { tokens, lengths: own, .. } = generated;
        let responses = rows_of(&tokens, &own)?;
        let each = || lengths.iter().zip(&own);
        let rows: Vec<usize> = each().map(|(prompt, own)| prompt + own).collect();
        let whole = rows.iter().copied().max().unwrap_or(1);
        let mask = each().flat_map(|(prompt, own)| {
            let asked = prompt - 1..prompt - 1 + own;
            (0..whole - 1).map(move |place| f32::from(u8::from(asked.contains(&place))))
        });
        let mask: Vec<f32> = mask.collect();
        let size = [lengths.len() as i64, whole as i64 - 1];
        Ok(Self {
            tokens: joined.f_narrow(1, 0, whole as i64)?,
            mask: Tensor::f_from_slice(&mask)?.f_view(size)?.f_to_device(device)?,
            said: responses.iter().map(|response| thoughts.read(response)).collect(),
            responses,
            lengths: rows,
        })
    }

    /// Log-probabilities that `network` gives every token behind the first: N × (T − 1), of which those off the
    /// mask mean nothing.
    ///
    /// # Errors
    /// When the rows are beyond the context.
    pub fn log_probabilities(&self, network: &Network) -> Result<Tensor, LabError> {
        let (_, width) = self.mask.size2()?;
        let logits = network.forward(&self.tokens.f_narrow(1, 0, width)?, true)?;
        let next = self.tokens.f_narrow(1, 1, width)?.f_unsqueeze(-1)?;
        let chosen = logits.f_gather(-1, &next, false)?.f_squeeze_dim(-1)?;
        Ok(chosen.f_sub(&logits.f_logsumexp([-1], false)?)?)
    }
}

/// Rows of any length as one table, filled with zeros.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn table(rows: &[Vec<i64>]) -> Result<Tensor, TchError> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let filled =
        |row: &Vec<i64>| row.iter().copied().chain(std::iter::repeat(0)).take(width).collect();
    let filled: Vec<Vec<i64>> = rows.iter().map(filled).collect();
    Tensor::f_from_slice(&filled.concat())?.f_view([rows.len() as i64, width as i64])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::network::values;
    use crate::trial;
    use tch::{Device, Kind};

    const THOUGHTS: Thoughts = Thoughts { open: 1, close: 2, longest: 3, shortest: 1, prefix: 4 };

    fn network() -> Network {
        let shape = Shape { vocabulary: 6, context: 10, width: 16, depth: 1, heads: 2, hidden: 32 };
        gpt(shape, &trial::streams(), Device::Cpu).unwrap()
    }

    fn sampled() -> Thinking {
        let prefixes = [vec![3, 4], vec![5, 3, 3, 4], vec![4]];
        let streams = trial::streams();
        Thinking::sampled(&network(), &THOUGHTS, &prefixes, 8, (&streams, 0)).unwrap()
    }

    #[test]
    fn a_response_is_a_thought_a_mark_and_a_prediction() {
        let read = |response: &[i64]| THOUGHTS.read(response);
        assert_eq!(read(&[4, 4, 2, 5]), Said { length: 2, token: Some(5) });
        assert_eq!(read(&[2, 2]), Said { length: 0, token: Some(2) });
        // Of at most three tokens, this thought is too long to leave room for a prediction.
        assert_eq!(read(&[4, 4, 4, 4, 2]), Said { length: 4, token: None });
        assert_eq!(read(&[4; 5]), Said { length: 5, token: None });
        assert_eq!((THOUGHTS.longest_response(), THOUGHTS.whole()), (5, 10));
    }

    #[test]
    fn responses_stand_directly_behind_prefix_and_mark_and_the_mask_covers_them() {
        let thinking = sampled();
        let (rows, width) = thinking.tokens.size2().unwrap();
        assert_eq!(rows, 24);
        let tokens = Vec::<i64>::try_from(&thinking.tokens.view([-1])).unwrap();
        let mask = values(&thinking.mask).unwrap();
        let mut count = 0;
        for (row, response) in thinking.responses.iter().enumerate() {
            let prefix: &[i64] = [&[3, 4][..], &[5, 3, 3, 4], &[4]][row / 8];
            let own = [prefix, &[THOUGHTS.open], response].concat();
            let start = row * width as usize;
            assert_eq!(tokens[start..start + own.len()], own);
            count += own.len();
            let start = row * (width as usize - 1);
            let asked = (0..width as usize - 1).filter(|place| mask[start + place] > 0.0);
            let first = prefix.len();
            assert!(asked.eq(first..first + response.len()));
            let said = thinking.said[row];
            assert_eq!(said, THOUGHTS.read(response));
            assert_eq!(response.len(), said.token.map_or(5, |_| said.length + 2));
        }
        assert_eq!(thinking.lengths.iter().sum::<usize>(), count);
        assert!(thinking.said.iter().any(|said| said.token.is_none()));
        assert!(thinking.said.iter().any(|said| said.token.is_some()));
    }

    #[test]
    fn log_probabilities_are_those_of_each_token_after_all_before_it() {
        let (thinking, network) = (sampled(), network());
        let found = thinking.log_probabilities(&network).unwrap();
        for (row, response) in thinking.responses.iter().enumerate() {
            let first = [2, 4, 1][row / 8];
            let row = row as i64;
            for (place, token) in (first..).zip(response) {
                let before = thinking.tokens.narrow(0, row, 1).narrow(1, 0, place + 1);
                let logits = network.forward(&before, false).unwrap().select(1, -1);
                let expected = logits.log_softmax(-1, Kind::Double).double_value(&[0, *token]);
                let found = found.double_value(&[row, place]);
                assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
            }
        }
    }
}

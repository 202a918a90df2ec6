//! Texts as workloads ask for them, written without more ado, and several drafts of each.

use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::generate::{Choice, Options, Prompts, generate};
use crate::network::{Network, values};
use crate::rollout::rows_of;
use crate::seat::{Texts, Written};

/// Texts that are under way at once.
const AT_ONCE: usize = 512;

/// One draft of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its tokens, with its end.
    pub tokens: Vec<i64>,
    /// Mean log-probability of a token under what it was drawn from.
    pub likelihood: f64,
}

/// `count` drafts behind each prompt; the first is what is written without more ado.
///
/// # Errors
/// When prompt and text exceed the context.
pub fn drafts(
    network: &Network,
    asked: &Texts<'_>,
    count: u32,
) -> Result<Vec<Vec<Draft>>, LabError> {
    let each = count.max(1) as usize;
    let mut all = Vec::with_capacity(asked.prompts.len());
    for prompts in asked.prompts.chunks((AT_ONCE / each).max(1)) {
        let repeated =
            || prompts.iter().flat_map(|prompt| (0..count.max(1)).map(move |n| (prompt, n)));
        let lengths: Vec<usize> = repeated().map(|(prompt, _)| prompt.tokens.len()).collect();
        let width = lengths.iter().copied().max().unwrap_or(1).max(1);
        let mut table = vec![0_i64; lengths.len() * width];
        for (place, (prompt, _)) in table.chunks_mut(width).zip(repeated()) {
            place[..prompt.tokens.len()].copy_from_slice(&prompt.tokens);
        }
        let table = Tensor::f_from_slice(&table)?.f_view([-1, width as i64])?;
        let mut generators: Vec<Pcg64> =
            repeated().map(|(prompt, n)| asked.streams.keyed("written", prompt.id, n)).collect();
        let options =
            Options { longest: asked.longest, end: asked.end, banned: asked.banned.to_vec() };
        let (temperature, generators) = (asked.temperature, &mut generators[..]);
        let choice = Choice::Sample { temperature, generators };
        let prompts = Prompts { tokens: &table, lengths: Some(&lengths) };
        let found = tch::no_grad(|| generate(network, prompts, &options, choice))?;
        let sums =
            values(&found.log_probabilities.f_sum_dim_intlist(1, false, tch::Kind::Float)?)?;
        let texts = rows_of(&found.tokens, &found.lengths)?.into_iter().zip(sums);
        let texts: Vec<Draft> = texts
            .map(|(tokens, sum)| {
                let likelihood = f64::from(sum) / tokens.len().max(1) as f64;
                Draft { tokens, likelihood }
            })
            .collect();
        all.extend(texts.chunks(each).map(<[Draft]>::to_vec));
    }
    Ok(all)
}

/// A text behind each prompt.
///
/// # Errors
/// When prompt and text exceed the context.
pub fn plain(network: &Network, asked: &Texts<'_>) -> Result<Vec<Written>, LabError> {
    let texts = drafts(network, asked, 1)?.into_iter().flatten();
    Ok(texts
        .map(|Draft { tokens, .. }| Written { spent: tokens.len() as u64, tokens, refused: false })
        .collect())
}

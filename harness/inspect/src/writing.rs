//! Text behind a prompt, by any model of tokens: token by token, each drawn from what the model makes of the last ones
//! that it can read.

use ledger::streams::{Streams, unit_f64};
use tch::Tensor;

use lab::LabError;
use lab::network::{Network, values};

/// How text is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct How {
    /// Tokens that are written.
    pub longest: usize,
    /// Tokens that the model reads at once.
    pub reads: usize,
    /// Divides the logits; at 0 the likeliest token is taken, of equals the first.
    pub temperature: f64,
    /// Share of the probability that is drawn from, from the likeliest token on; above 0, at 1 all of it.
    pub top_p: f64,
}

/// The tokens that `network` writes behind a prompt, by the stream `text` of `streams`.
///
/// # Errors
/// When there is no prompt, the model gives no numbers, or libtorch refuses an operation.
pub fn write(
    network: &Network,
    prompt: &[u16],
    how: How,
    streams: &Streams,
) -> Result<Vec<u16>, LabError> {
    if prompt.is_empty() || how.reads == 0 {
        return Err(LabError::Network("nothing is given that could be gone on from".to_owned()));
    }
    let mut random = streams.generator("text");
    let mut tokens: Vec<i64> = prompt.iter().copied().map(i64::from).collect();
    for _ in 0..how.longest {
        let seen = &tokens[tokens.len().saturating_sub(how.reads)..];
        let seen = Tensor::f_from_slice(seen)?.f_unsqueeze(0)?.f_to_device(network.device())?;
        let logits = tch::no_grad(|| network.forward(&seen, false))?;
        let logits = values(&logits.f_select(1, -1)?)?;
        let token = choose(&logits, how, unit_f64(&mut random)).ok_or_else(|| {
            LabError::Network("its model gives no numbers: its training diverged".to_owned())
        })?;
        tokens.push(i64::from(token));
    }
    let known = |token: &i64| u16::try_from(*token).unwrap_or(0);
    Ok(tokens[prompt.len()..].iter().map(known).collect())
}

/// A token by its logits; `uniform` is in [0, 1). None where a logit is no number.
fn choose(logits: &[f32], How { temperature, top_p, .. }: How, uniform: f64) -> Option<u16> {
    if logits.is_empty() || logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !top.is_finite() {
        return None;
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // Of equals the first stays first.
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    let kept = if temperature > 0.0 {
        let weight = |&token: &usize| (f64::from(logits[token] - top) / temperature).exp();
        let total: f64 = order.iter().map(weight).sum();
        let (mut nucleus, mut sum) = (Vec::new(), 0.0);
        for token in &order {
            nucleus.push((*token, weight(token)));
            sum += weight(token);
            if sum >= top_p * total {
                break;
            }
        }
        nucleus
    } else {
        vec![(order[0], 1.0)]
    };
    let total: f64 = kept.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0.0;
    let drawn = kept.iter().find(|(_, weight)| {
        sum += weight;
        sum > uniform * total
    });
    let (token, _) = drawn.or(kept.last())?;
    u16::try_from(*token).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::gpt::{Shape, gpt};
    use lab::models::gru::gru;
    use lab::trial;
    use tch::Device;

    const HOW: How = How { longest: 40, reads: 6, temperature: 1.0, top_p: 1.0 };

    #[test]
    fn the_likeliest_are_drawn_from_in_proportion_and_no_others() {
        // Probabilities 1/8, 1/2, 1/4, 1/8.
        let logits = [1.0_f32, 4.0, 2.0, 1.0].map(f32::ln);
        let drawn = |how: How, uniform| choose(&logits, how, uniform).unwrap();
        let all = [0.0, 0.49, 0.51, 0.74, 0.76, 0.87, 0.88, 0.999];
        assert_eq!(all.map(|uniform| drawn(HOW, uniform)), [1, 1, 2, 2, 0, 0, 3, 3]);
        let half = How { top_p: 0.5, ..HOW };
        assert_eq!(all.map(|uniform| drawn(half, uniform)), [1; 8]);
        let most = How { top_p: 0.6, ..HOW };
        assert_eq!(all.map(|uniform| drawn(most, uniform)), [1, 1, 1, 2, 2, 2, 2, 2], "2 to 1");
        assert_eq!(drawn(How { top_p: 1e-9, ..HOW }, 0.9), 1);
        assert_eq!(drawn(How { temperature: 0.0, ..HOW }, 0.99), 1);
        // At half the temperature the odds are squared: 16, 4, 1, 1 of 22.
        let cold = How { temperature: 0.5, ..HOW };
        assert_eq!([0.72, 0.73, 0.9, 0.92].map(|uniform| drawn(cold, uniform)), [1, 2, 2, 0]);
        assert_eq!(choose(&[1.0, f32::NAN], HOW, 0.0), None);
        assert_eq!(choose(&[f32::NEG_INFINITY; 2], HOW, 0.0), None);
        assert_eq!(choose(&[f32::NEG_INFINITY, 0.0], HOW, 0.99), Some(1));
    }

    #[test]
    fn the_same_seed_writes_the_same_beyond_what_is_read_at_once_and_another_does_not() {
        let shape = Shape { vocabulary: 9, context: 7, width: 8, depth: 1, heads: 2, hidden: 32 };
        let transformer = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
        let units = gru(9, 4, 8, &trial::streams(), Device::Cpu).unwrap();
        for network in [transformer, units] {
            let by = |seed: u8| write(&network, &[3, 1], HOW, &Streams::new([seed; 32])).unwrap();
            assert_eq!((by(1).len(), by(1)), (40, by(1)));
            assert_ne!(by(1), by(2));
            assert!(write(&network, &[], HOW, &Streams::new([1; 32])).is_err());
            // What was written before what is read does not count.
            let greedy = How { temperature: 0.0, longest: 1, ..HOW };
            let next = |prompt: &[u16]| write(&network, prompt, greedy, &Streams::new([1; 32]));
            let (short, long) = ([1, 2, 3, 4, 5, 6], [8, 8, 0, 1, 2, 3, 4, 5, 6]);
            assert_eq!(next(&short).unwrap(), next(&long).unwrap());
        }
    }
}

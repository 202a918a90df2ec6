//! A ranker by kernels over how similar the words of query and document are (K-NRM; Xiong et al., arXiv:1706.06613).
//!
//! With `M_qd` the cosine of two words' vectors, document `d` has the features
//! `φ_k = Σ_q ln(1 + Σ_d exp(−(M_qd − μ_k)²/2σ_k²))` and the score `w·φ + b`. The first of the eight kernels sees words that
//! are the same (μ = 1, σ = 0.001), the others stand evenly from −6/7 to 6/7, σ = 1/7. The paper has eleven, the
//! logarithm without the 1 and times 0.01, and a tanh around the score: with vectors that are not pretrained, and as few steps as here,
//! its weights would not get off the ground.

use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, Kind, TchError, Tensor};

use super::Builder;
use crate::LabError;
use crate::network::{Body, Forward, Network, Role};

/// Number of kernels.
const KERNELS: usize = 8;
/// Standard deviation of initial vectors, whose length does not count but decides how fast they turn.
const DEVIATION: f64 = 0.1;
/// Vectors this short are taken for this long.
const SHORTEST: f64 = 1e-6;

/// Sizes of a [`knrm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of words, word 0 included, which fills documents up and is seen by no kernel.
    pub vocabulary: usize,
    /// Width of a word's vector.
    pub width: usize,
    /// Words of a query.
    pub query: usize,
    /// Places of a document.
    pub document: usize,
}

/// The forward pass. Parameters: vectors, then weight and bias of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Knrm(Shape);

/// Scores N × C of rows N × (query + C·document): a query and C documents side by side.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn knrm(shape: Shape, streams: &Streams, device: Device) -> Result<Network, TchError> {
    let mut builder = Builder::new(streams, device);
    let vectors = builder.normal(&[shape.vocabulary, shape.width], DEVIATION)?;
    builder.push("words", "weight", Role::Embedding, vectors);
    builder.depth += 1;
    builder.linear("score", KERNELS, 1)?;
    let mut network = builder.finish_with(Body::Own(Arc::new(Knrm(shape))));
    let soft = KERNELS - 1;
    let spread = 1.0 / soft as f32;
    let means = (0..soft).map(|kernel| spread * (2.0 * kernel as f32 - (soft - 1) as f32));
    let means: Vec<f32> = [1.0].into_iter().chain(means).collect();
    let widths = [1e-3].into_iter().chain(std::iter::repeat_n(spread, soft));
    let factors: Vec<f32> = widths.map(|width: f32| -0.5 / (width * width)).collect();
    network.buffers = vec![
        Tensor::f_from_slice(&means)?.f_to_device(device)?,
        Tensor::f_from_slice(&factors)?.f_to_device(device)?,
    ];
    Ok(network)
}

impl Forward for Knrm {
    fn forward(&self, network: &Network, inputs: &Tensor, _: bool) -> Result<Tensor, LabError> {
        let Shape { query, document, .. } = self.0;
        let (query, document) = (query as i64, document as i64);
        let (rows, columns) = inputs.size2()?;
        let places = columns - query;
        if places <= 0 || places % document != 0 {
            return Err(LabError::Network(format!(
                "a row of {columns} words is no query of {query} and documents of {document}"
            )));
        }
        let ([vectors, weight, bias], [means, factors]) =
            ([0, 1, 2].map(|index| network.at(index)), [0, 1].map(|index| &network.buffers[index]));
        let lengths = vectors.f_norm_scalaropt_dim(2, [1], true)?.f_clamp_min(SHORTEST)?;
        let directions = vectors.f_div(&lengths)?;
        let words = Tensor::f_embedding(&directions, inputs, -1, false, false)?;
        let asked = words.f_narrow(1, 0, query)?;
        let held = words.f_narrow(1, query, places)?;
        let cosines = asked.f_matmul(&held.f_transpose(1, 2)?)?;
        let seen = inputs.f_narrow(1, query, places)?.f_ne(0)?.f_to_kind(Kind::Float)?;
        let kernels = cosines.f_unsqueeze(-1)?.f_sub(means)?.f_square()?.f_mul(factors)?.f_exp()?;
        let kernels = kernels.f_mul(&seen.f_view([rows, 1, places, 1])?)?;
        let shape = [rows, query, places / document, document, KERNELS as i64];
        let sums = kernels.f_view(shape)?.f_sum_dim_intlist(3, false, Kind::Float)?;
        let features = sums.f_log1p()?.f_sum_dim_intlist(1, false, Kind::Float)?;
        Ok(features.f_linear(weight, Some(bias))?.f_squeeze_dim(-1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    const SHAPE: Shape = Shape { vocabulary: 12, width: 6, query: 2, document: 3 };

    fn network() -> Network {
        knrm(SHAPE, &trial::streams(), Device::Cpu).unwrap()
    }

    fn scores(network: &Network, rows: &[[i64; 8]]) -> Vec<f32> {
        let inputs = Tensor::from_slice(&rows.concat()).view([-1, 8]);
        values(&network.forward(&inputs, true).unwrap()).unwrap()
    }

    #[test]
    fn a_ranker_of_965_words_has_30_889_parameters() {
        let shape = Shape { vocabulary: 965, width: 32, query: 4, document: 12 };
        let network = knrm(shape, &trial::streams(), Device::Cpu).unwrap();
        let counts = network.parameters.iter().map(|p| p.tensor.numel());
        assert_eq!(counts.sum::<usize>(), 30_889);
    }

    #[test]
    fn scores_are_those_of_the_formula_by_hand() {
        let network = network();
        let vectors = values(network.at(0)).unwrap();
        let (weight, bias) = (values(network.at(1)).unwrap(), values(network.at(2)).unwrap()[0]);
        let vector = |word: usize| &vectors[6 * word..6 * word + 6];
        let cosine = |a: usize, b: usize| {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let (a, b) = (vector(a), vector(b));
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let score = |query: [usize; 2], document: &[usize]| -> f64 {
            let kernels = (0..8).map(|kernel| match kernel {
                0 => (1.0, 1e-3),
                soft => (f64::from(2 * soft - 8) / 7.0, 1.0 / 7.0),
            });
            let each = kernels.zip(&weight).map(|((mean, width), weight)| {
                let near = |q: usize, d: usize| {
                    (-(cosine(q, d) - mean).powi(2) / (2.0 * width * width)).exp()
                };
                let of = |q: &usize| document.iter().map(|d| near(*q, *d)).sum::<f64>().ln_1p();
                f64::from(*weight) * query.iter().map(of).sum::<f64>()
            });
            each.sum::<f64>() + f64::from(bias)
        };
        // The second document has one word and two places that are filled up.
        let found = scores(&network, &[[3, 5, 5, 7, 1, 9, 0, 0]]);
        let expected = [score([3, 5], &[5, 7, 1]), score([3, 5], &[9])];
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn the_order_of_words_and_the_company_of_other_documents_do_not_count() {
        let network = network();
        let found = scores(&network, &[[3, 5, 5, 7, 1, 9, 2, 4], [5, 3, 4, 9, 2, 1, 5, 7]]);
        assert!((found[0] - found[3]).abs() < 1e-5 && (found[1] - found[2]).abs() < 1e-5);
        assert!((found[0] - found[1]).abs() > 1e-4);
        let whole = Tensor::zeros([1, 9], (Kind::Int64, Device::Cpu));
        assert!(network.forward(&whole, true).is_err());
    }

    #[test]
    fn it_learns_that_two_words_mean_the_same() {
        let network = network();
        let inputs = Tensor::from_slice(&[1_i64, 2, 3, 2, 6, 4, 2, 6]).view([1, 8]);
        let margin = |network: &Network| {
            let scores = network.forward(&inputs, true).unwrap();
            scores.get(0).get(0) - scores.get(0).get(1)
        };
        let before = margin(&network).double_value(&[]);
        for _ in 0..200 {
            let loss = margin(&network).neg().softplus();
            trial::descend(&network, &loss, 0.05).unwrap();
        }
        let after = margin(&network).double_value(&[]);
        assert!(after > before + 0.5, "{before} {after}");
    }
}

//! What a network says of examples: the gradient of its last layer, or what enters that, and scores of how much there is to learn.

use tch::{Kind, TchError, Tensor};

use ledger::choice;

use crate::LabError;
use crate::network::{Body, Layer, Network, values};
use crate::split::Split;

/// The scores, in their order.
pub const SCORES: [&str; 5] = ["perplexity", "el2n", "grand", "entropy", "grounding"];

/// Examples that go through the network at once.
const AT_ONCE: usize = 1_024;

choice! {
    /// What examples are clustered by.
    pub enum Vectors {
        /// The gradient of an example's loss by the weights of the last layer.
        Gradient = "gradient",
        /// What enters the last layer.
        Hidden = "hidden",
    }
}

/// What a network says of some examples, in their order.
#[derive(Debug)]
pub struct Signals {
    /// A vector of each example, n × d.
    pub vectors: Tensor,
    /// Every score of [`SCORES`], of each example.
    pub scores: Vec<Vec<f64>>,
}

impl Signals {
    /// Looks at the examples `ids` of a split of classes. With p the probabilities, y the class as a vector, h what enters the last layer:
    /// perplexity exp(loss), EL2N |p − y|, `GraND` the length of the gradient (p − y) ⊗ (h, 1), entropy of p in nats, and grounding the
    /// perplexity over that without the image, whose columns are then 0.
    ///
    /// # Errors
    /// When the network is no list of layers that ends in a linear one, or libtorch refuses an operation.
    pub fn of(
        network: &Network,
        split: &Split,
        ids: &[u32],
        image: i64,
        kind: Vectors,
    ) -> Result<Self, LabError> {
        let mut scores = vec![Vec::new(); SCORES.len()];
        let mut all = Vec::new();
        tch::no_grad(|| {
            for ids in ids.chunks(AT_ONCE) {
                let batch = split.batch(ids)?;
                let blind = batch.inputs.f_detach_copy()?;
                let _ = blind.f_narrow(1, 0, image)?.f_zero_()?;
                let (hidden, seen) = looked(network, &batch.inputs)?;
                let (_, unseen) = looked(network, &blind)?;
                let labels = batch.labels.f_unsqueeze(1)?;
                let loss = |logs: &Tensor| logs.f_gather(1, &labels, false)?.f_squeeze()?.f_neg();
                let chances = seen.f_exp()?;
                let ones = Tensor::f_ones_like(&labels)?.f_to_kind(chances.kind())?;
                let off = chances.f_scatter_add(1, &labels, &ones.f_neg()?)?;
                let length = |x: &Tensor| x.f_norm_scalaropt_dim(2.0, [1_i64].as_slice(), false);
                let el2n = length(&off)?;
                let inner = hidden.f_square()?.f_sum_dim_intlist(1, false, Kind::Float)?;
                let entropy = chances.f_mul(&seen)?.f_sum_dim_intlist(1, false, Kind::Float)?;
                let own = [
                    loss(&seen)?.f_exp()?,
                    el2n.shallow_clone(),
                    el2n.f_mul(&inner.f_add_scalar(1.0)?.f_sqrt()?)?,
                    entropy.f_neg()?,
                    loss(&seen)?.f_sub(&loss(&unseen)?)?.f_exp()?,
                ];
                for (all, own) in scores.iter_mut().zip(&own) {
                    all.extend(values(own)?.into_iter().map(f64::from));
                }
                all.push(match kind {
                    Vectors::Hidden => hidden,
                    Vectors::Gradient => gradients(&off, &hidden)?,
                });
            }
            Ok::<_, LabError>(())
        })?;
        Ok(Self { vectors: Tensor::f_cat(&all, 0)?, scores })
    }
}

impl Signals {
    /// exp(loss) of each example.
    #[must_use]
    pub fn perplexity(&self) -> &[f64] {
        &self.scores[0]
    }

    /// |p − y| of each example.
    #[must_use]
    pub fn el2n(&self) -> &[f64] {
        &self.scores[1]
    }
}

/// What enters the last layer, and logarithms of the probabilities.
fn looked(network: &Network, inputs: &Tensor) -> Result<(Tensor, Tensor), LabError> {
    let Body::Layers(layers) = &network.body else { return Err(no_last()) };
    let Some((last @ Layer::Linear { .. }, before)) = layers.split_last() else {
        return Err(no_last());
    };
    let hidden = network.run(before, inputs, false)?;
    let logits = network.run(std::slice::from_ref(last), &hidden, false)?;
    Ok((hidden, logits.f_log_softmax(-1, Kind::Float)?))
}

fn no_last() -> LabError {
    let reason = "the network is no list of layers that ends in a linear one: examples have no gradients of a last layer";
    LabError::Network(reason.to_owned())
}

/// (p − y) ⊗ (h, 1) as rows.
fn gradients(off: &Tensor, hidden: &Tensor) -> Result<Tensor, TchError> {
    let ones = Tensor::f_ones([hidden.size2()?.0, 1], (hidden.kind(), hidden.device()))?;
    let entering = Tensor::f_cat(&[hidden, &ones], 1)?;
    off.f_unsqueeze(2)?.f_mul(&entering.f_unsqueeze(1)?)?.f_flatten(1, -1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::trial::{split, streams};
    use tch::Device;

    fn network() -> Network {
        mlp(&[6, 5, 4], &streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn vectors_are_the_gradients_of_each_loss_by_the_last_layer() {
        let (network, split) = (network(), split(&[6]).unwrap());
        let ids = [0, 3, 7];
        let signals = Signals::of(&network, &split, &ids, 2, Vectors::Gradient).unwrap();
        assert_eq!(signals.vectors.size(), [3, 4 * 6]);
        for (row, id) in ids.into_iter().enumerate() {
            let batch = split.batch(&[id]).unwrap();
            let logits = network.forward(&batch.inputs, true).unwrap();
            let loss = logits.cross_entropy_for_logits(&batch.labels);
            let last = [&network.parameters[2].tensor, &network.parameters[3].tensor];
            let gradients = Tensor::run_backward(&[&loss], &last, false, false);
            let own = Tensor::cat(&[&gradients[0], &gradients[1].unsqueeze(1)], 1);
            let gap = (own.flatten(0, -1) - signals.vectors.get(row as i64)).abs().max();
            assert!(gap.double_value(&[]) < 1e-6);
            let length = own.norm().double_value(&[]);
            assert!((signals.scores[2][row] - length).abs() < 1e-5);
            let perplexity = loss.double_value(&[]).exp();
            assert!((signals.scores[0][row] - perplexity).abs() < 1e-4);
        }
    }

    #[test]
    fn grounding_is_one_where_the_image_is_ignored_and_nowhere_else() {
        let (network, split) = (network(), split(&[6]).unwrap());
        let ids: Vec<u32> = (0..40).collect();
        let grounding = |network: &Network| {
            Signals::of(network, &split, &ids, 2, Vectors::Hidden).unwrap().scores.swap_remove(4)
        };
        assert!(grounding(&network).iter().any(|score| (score - 1.0).abs() > 1e-3));
        let _ = tch::no_grad(|| network.parameters[0].tensor.narrow(1, 0, 2).zero_());
        assert!(grounding(&network).iter().all(|score| *score == 1.0));
    }

    #[test]
    fn an_even_guess_has_the_scores_of_the_formulas() {
        let (network, split) = (network(), split(&[6]).unwrap());
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        let signals = Signals::of(&network, &split, &[5], 2, Vectors::Hidden).unwrap();
        let at: Vec<f64> = signals.scores.iter().map(|score| score[0]).collect();
        // p = ¼ each: |p − y|² = 9/16 + 3/16; h = 0.
        let expected = [4.0, 0.75_f64.sqrt(), 0.75_f64.sqrt(), 4_f64.ln(), 1.0];
        assert!(at.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{at:?}");
    }

    #[test]
    fn a_network_without_a_linear_end_is_refused() {
        let network = crate::trial::bandit().unwrap().network;
        let split = split(&[6]).unwrap();
        let refused = Signals::of(&network, &split, &[0], 2, Vectors::Hidden).unwrap_err();
        assert!(refused.to_string().contains("ends in a linear one"), "{refused}");
    }
}

//! Statistics over batches, taken anew for a network that shares its weights with others.
//!
//! A sub-network's activations have another mean and variance than those of the network that it is cut
//! from, so that the running statistics of that one mislead it (Yu and Huang, arXiv:1903.05134). As in the
//! code of Once-for-All they are replaced by the mean over batches of training examples.

use ledger::streams::Streams;
use tch::{TchError, Tensor};

use lab::LabError;
use lab::network::Network;
use lab::split::Split;

/// Examples per batch, as in once-for-all@f03b2673.
const BATCH: usize = 200;
/// Inverse of the share that a batch takes of running statistics ([`lab::network::Layer::BatchNorm`]).
const INVERSE_MOMENTUM: f64 = 10.0;

/// Replaces the running statistics of `network` by the mean of those of batches of `examples` training
/// examples, drawn from the stream `calibrate`; of none they stay as they are.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn statistics(
    network: &Network,
    train: &Split,
    examples: u32,
    streams: &Streams,
) -> Result<(), LabError> {
    if network.buffers.is_empty() || examples == 0 {
        return Ok(());
    }
    let mut ids: Vec<u32> = (0..u32::try_from(train.len()).unwrap_or(u32::MAX)).collect();
    ledger::order::shuffle(&mut streams.generator("calibrate"), &mut ids);
    ids.truncate(examples as usize);
    let _guard = tch::no_grad_guard();
    let mut sums: Vec<_> =
        network.buffers.iter().map(Tensor::f_zeros_like).collect::<Result<_, _>>()?;
    let mut batches = 0.0;
    for chunk in ids.chunks(BATCH) {
        // From zero a running statistic ends at the batch's own, times its share.
        clear(network)?;
        let _ = network.forward(&train.batch(chunk)?.inputs, true)?;
        for (sum, statistic) in sums.iter_mut().zip(&network.buffers) {
            let _ = sum.f_add_(&statistic.f_mul_scalar(INVERSE_MOMENTUM)?)?;
        }
        batches += 1.0;
    }
    for (sum, statistic) in sums.iter().zip(&network.buffers) {
        statistic.shallow_clone().f_copy_(&sum.f_div_scalar(batches)?)?;
    }
    Ok(())
}

fn clear(network: &Network) -> Result<(), TchError> {
    for statistic in &network.buffers {
        let _ = statistic.shallow_clone().f_zero_()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::cnn::{Shape, cnn};
    use lab::models::elastic::Choice;
    use lab::network::values;
    use lab::trial::{self, ELASTIC};
    use tch::Device;

    /// Once-for-all's reason to take statistics anew: without it a part is much worse.
    #[test]
    fn a_small_part_of_a_trained_network_is_much_worse_with_the_statistics_of_the_whole() {
        let mut whole = ELASTIC.network(&trial::streams(), Device::Cpu).unwrap();
        ELASTIC.add_transforms(&mut whole).unwrap();
        let own = ELASTIC.parameters();
        let train = trial::split(&[8, 8, 1]).unwrap();
        let (inputs, labels) = train.rows(0, train.len()).unwrap();
        let loss = |network: &Network, train: bool| {
            network.forward(&inputs, train).unwrap().cross_entropy_for_logits(&labels)
        };
        for _ in 0..120 {
            let transforms = whole.parameters.split_off(own);
            trial::descend(&whole, &loss(&whole, true), 0.1).unwrap();
            whole.parameters.extend(transforms);
        }
        let part = || ELASTIC.part(&whole, &Choice::LEAST).unwrap().duplicate();
        let (stale, fresh, none) = (part(), part(), part());
        statistics(&fresh, &train, trial::EXAMPLES, &trial::streams()).unwrap();
        statistics(&none, &train, 0, &trial::streams()).unwrap();
        let [stale, fresh, none] =
            [stale, fresh, none].map(|part| loss(&part, false).double_value(&[]));
        assert_eq!(stale, none);
        assert!(stale > 1.05 * fresh, "{stale} {fresh}");
    }

    #[test]
    fn statistics_become_those_of_the_examples_and_weights_stay() {
        let shape = Shape { channels: 1, side: 8, widths: [4; 3], classes: 4, norm: true };
        let network = cnn(shape, &trial::streams(), Device::Cpu).unwrap();
        let before: Vec<_> = network.parameters.iter().map(|p| p.tensor.copy()).collect();
        let train = trial::split(&[8, 8, 1]).unwrap();
        statistics(&network, &train, trial::EXAMPLES, &trial::streams()).unwrap();
        // What enters the first normalisation, over all examples at once.
        let entering = train.rows(0, train.len()).unwrap().0;
        let weight = network.at(0);
        let convolved = entering.conv2d(weight, None::<&Tensor>, 1, 1, 1, 1);
        let (variance, mean) = convolved.var_mean_dim([0, 2, 3].as_slice(), true, false);
        for (found, expected) in network.buffers.iter().zip([mean, variance]) {
            for (found, expected) in values(found).unwrap().iter().zip(values(&expected).unwrap()) {
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
        let same = |(a, b): (&Tensor, &lab::network::Parameter)| a.equal(&b.tensor);
        assert!(before.iter().zip(&network.parameters).all(same));
    }
}

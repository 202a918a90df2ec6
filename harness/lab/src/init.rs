//! Initial values of parameters, drawn from named streams and so the same on every device.

use ledger::streams;
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use crate::network::{Network, Parameter, Role};

/// U(−bound, bound) with bound = 1/√fan_in: PyTorch's default for linear and convolutional
/// layers (Kaiming uniform with a = √5), for weights and for biases.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn kaiming_uniform(
    stream: &mut Pcg64,
    shape: &[i64],
    fan_in: usize,
) -> Result<Tensor, TchError> {
    #[expect(clippy::cast_precision_loss, reason = "fan-in is far below 2^52")]
    let bound = 1.0 / (fan_in as f32).sqrt();
    let count = shape.iter().product::<i64>();
    let values = streams::uniform(stream, usize::try_from(count).unwrap_or(0), -bound, bound);
    Tensor::f_from_slice(&values)?.f_reshape(shape)
}

/// N(0, 2/fan_in): He et al. 2015 (arXiv:1502.01852), equation 10, for layers before a ReLU.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn he_normal(stream: &mut Pcg64, shape: &[i64]) -> Result<Tensor, TchError> {
    let fan_in: i64 = shape.iter().skip(1).product();
    #[expect(clippy::cast_precision_loss, reason = "fan-in is far below 2^52")]
    let deviation = (2.0 / fan_in as f64).sqrt();
    let count = shape.iter().product::<i64>();
    let values = streams::normal(stream, usize::try_from(count).unwrap_or(0));
    Tensor::f_from_slice(&values)?.f_mul_scalar(deviation)?.f_reshape(shape)
}

/// N(0, 2/((1 + 0.01²)·fan_in·`share`)): PyTorch's Kaiming normal for a leaky ReLU of slope 0.01,
/// of a layer that keeps that share of its inputs.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn kaiming_normal(stream: &mut Pcg64, shape: &[i64], share: f64) -> Result<Tensor, TchError> {
    let fan_in: i64 = shape.iter().skip(1).product();
    #[expect(clippy::cast_precision_loss, reason = "fan-in is far below 2^52")]
    let deviation = (2.0 / ((1.0 + 0.01 * 0.01) * fan_in as f64 * share)).sqrt();
    let count = shape.iter().product::<i64>();
    let values = streams::normal(stream, usize::try_from(count).unwrap_or(0));
    Tensor::f_from_slice(&values)?.f_mul_scalar(deviation)?.f_reshape(shape)
}

/// N(0, 2/(fan_in + fan_out)): Xavier normal, as SNIP re-draws its weights.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn xavier_normal(
    stream: &mut Pcg64,
    shape: &[i64],
    device: Device,
) -> Result<Tensor, TchError> {
    let receptive: i64 = shape.iter().skip(2).product();
    let fans = shape.iter().take(2).map(|size| size * receptive).sum::<i64>();
    let count = shape.iter().product::<i64>();
    #[expect(clippy::cast_precision_loss, reason = "fans are far below 2^52")]
    let deviation = (2.0 / fans as f64).sqrt();
    let values = streams::normal(stream, usize::try_from(count).unwrap_or(0));
    (Tensor::f_from_slice(&values)?.f_reshape(shape)? * deviation).f_to_device(device)
}

/// Scales initial values to those of PyTorch's default layers: tables to N(0, 1), matrices to the
/// variance 1/(3·fan-in). With GPT-2's (N(0, 0.02²) at any width) a network this narrow does not
/// begin to look names up within a run.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn spread(network: &Network) -> Result<(), TchError> {
    tch::no_grad(|| {
        for Parameter { role, tensor, .. } in &network.parameters {
            let wanted = match (role, tensor.size().last()) {
                (Role::Embedding, _) => 1.0,
                (Role::Weight, Some(&inputs)) => (1.0 / (3.0 * inputs as f64)).sqrt(),
                _ => continue,
            };
            let found = tensor.f_std(false)?.f_double_value(&[])?;
            let _ = tensor.detach().f_mul_scalar_(wanted / found)?;
        }
        Ok(())
    })
}

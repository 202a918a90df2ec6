//! A perceptron that denoises points and may be told what they are to be.
//!
//! A condition stands in columns behind the coordinates, inputs B × (axes + columns); where it is missing the columns
//! are 0, which is the condition that says nothing. So a method that knows of no conditions trains such a network as
//! any other. Points may be looked at through a plane: outputs V·f(Vᵀx, …) with V of axes × rank learnt as well, the
//! network for data on a subspace (arXiv:2404.07771).

use std::sync::Arc;

use ledger::streams::Streams;
use tch::{Device, TchError, Tensor};

use super::{Builder, NOISE_FEATURES, noise_features};
use crate::LabError;
use crate::network::{Body, Denoiser, Layer, Network};

/// Sizes of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Coordinates of a point.
    pub axes: usize,
    /// Columns of a condition; 0 for a network that takes none.
    pub columns: usize,
    /// Units of each of the three hidden layers.
    pub width: usize,
    /// Numbers that leave it for each point: as many as axes for a denoiser, as classes for a classifier.
    pub outputs: usize,
    /// Dimension of the plane that points are looked at through, if through one.
    pub rank: Option<usize>,
}

#[derive(Debug)]
struct Given {
    shape: Shape,
    /// Index of the frequencies among the buffers.
    frequencies: usize,
    /// Index of √axes·V, axes × rank.
    plane: Option<usize>,
    /// Weight and bias: of points, of noise features, of the layers behind their sum.
    layers: [[usize; 2]; 5],
    /// The weight of a condition, without a bias: a condition of 0 says nothing.
    condition: Option<usize>,
}

/// Three hidden layers of SiLU over a point, [`NOISE_FEATURES`] features of the noise level and a condition.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn given(shape: Shape, streams: &Streams, device: Device) -> Result<Network, TchError> {
    let Shape { axes, columns, width, outputs, rank } = shape;
    let mut builder = Builder::new(streams, device);
    let frequencies = builder.frequencies()?;
    let linear = |builder: &mut Builder, name, inputs, outputs| match builder
        .linear(name, inputs, outputs)?
    {
        Layer::Linear { weight, bias } => Ok([weight, bias]),
        other => Err(TchError::Kind(format!("{other:?} is not linear"))),
    };
    let inner = rank.unwrap_or(axes);
    let plane = match rank {
        Some(rank) => Some(builder.table("plane", axes, rank)?),
        None => None,
    };
    let ends = if rank.is_some() { inner } else { outputs };
    let layers = [
        linear(&mut builder, "inputs", inner, width)?,
        linear(&mut builder, "noise", NOISE_FEATURES, width)?,
        linear(&mut builder, "hidden2", width, width)?,
        linear(&mut builder, "hidden3", width, width)?,
        linear(&mut builder, "outputs", width, ends)?,
    ];
    let condition = match columns {
        0 => None,
        columns => match builder.zeros("condition", columns, width)? {
            Layer::Product { weight } => Some(weight),
            other => return Err(TchError::Kind(format!("{other:?} is no product"))),
        },
    };
    let body = Given { shape, frequencies, plane, layers, condition };
    Ok(builder.finish_with(Body::Denoiser(Arc::new(body))))
}

impl Denoiser for Given {
    fn run(&self, network: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
        let Shape { axes, columns, .. } = self.shape;
        let (_, wide) = inputs.size2()?;
        let (axes, columns) = (axes as i64, columns as i64);
        if wide != axes && wide != axes + columns {
            return Err(LabError::Network(format!(
                "the network takes {axes} coordinates and a condition of {columns} columns or none, not {wide}"
            )));
        }
        let linear = |place: usize, x: &Tensor| {
            let [weight, bias] = self.layers[place];
            x.f_linear(network.at(weight), Some(network.at(bias)))
        };
        let points = inputs.f_narrow(1, 0, axes)?;
        let plane = self.plane.map(|plane| network.at(plane).f_div_scalar((axes as f64).sqrt()));
        let plane = plane.transpose()?;
        let looked = match &plane {
            Some(plane) => points.f_matmul(plane)?,
            None => points,
        };
        let features = noise_features(&network.buffers[self.frequencies], noise)?;
        let mut hidden = linear(0, &looked)?.f_add(&linear(1, &features)?)?;
        if let (Some(weight), true) = (self.condition, wide > axes) {
            let condition = inputs.f_narrow(1, axes, columns)?;
            hidden = hidden.f_add(&condition.f_linear::<Tensor>(network.at(weight), None)?)?;
        }
        let hidden = linear(2, &hidden.f_silu()?)?.f_silu()?;
        let hidden = linear(3, &hidden)?.f_silu()?;
        let outputs = linear(4, &hidden)?;
        Ok(match &plane {
            Some(plane) => outputs.f_matmul(&plane.f_transpose(0, 1)?)?,
            None => outputs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial;

    fn network(columns: usize, rank: Option<usize>) -> Network {
        let shape = Shape { axes: 3, columns, width: 16, outputs: 3, rank };
        given(shape, &trial::streams(), Device::Cpu).unwrap()
    }

    fn outputs(network: &Network, rows: &[[f32; 5]], wide: i64) -> Vec<f32> {
        let inputs = Tensor::from_slice(&rows.concat()).view([-1, 5]).narrow(1, 0, wide);
        values(&network.denoise(&inputs, &Tensor::from_slice(&[0.3_f32])).unwrap()).unwrap()
    }

    #[test]
    fn a_condition_of_zeros_is_no_condition_bit_for_bit_and_another_is_learnt() {
        let network = network(2, None);
        let weight = network.parameters.iter().find(|p| p.name == "condition.weight").unwrap();
        let (none, zero) = ([[0.1, 0.2, -0.3, 9.0, 9.0]], [[0.1, 0.2, -0.3, 0.0, 0.0]]);
        assert_eq!(outputs(&network, &none, 3), outputs(&network, &zero, 5));
        // Weights of a condition begin with 0, and have a gradient.
        assert_eq!(outputs(&network, &none, 5), outputs(&network, &zero, 5));
        let inputs = Tensor::from_slice(&none.concat()).view([1, 5]);
        let output = network.denoise(&inputs, &Tensor::from_slice(&[0.3_f32])).unwrap();
        let gradient = Tensor::run_backward(&[output.sum(None)], &[&weight.tensor], false, false);
        assert!(gradient[0].abs().max().double_value(&[]) > 0.0);
    }

    #[test]
    fn outputs_of_a_network_with_a_plane_lie_in_it() {
        let network = network(0, Some(2));
        let plane = &network.parameters.iter().find(|p| p.name == "plane.weight").unwrap().tensor;
        assert_eq!(plane.size(), [3, 2]);
        let rows = [[0.1, 0.2, -0.3, 0.0, 0.0], [1.0, -2.0, 0.5, 0.0, 0.0]];
        let found = Tensor::from_slice(&outputs(&network, &rows, 3)).view([2, 3]);
        // Their part across the columns of V is nothing.
        let (basis, _) = Tensor::linalg_qr(plane, "reduced");
        let across = &found - found.matmul(&basis).matmul(&basis.tr());
        assert!(across.abs().max().double_value(&[]) < 1e-5);
        // What is across the plane of an input is not seen.
        let (all, _) = Tensor::linalg_qr(plane, "complete");
        let moved = Tensor::from_slice(&rows[..1].concat()).view([1, 5]).narrow(1, 0, 3)
            + all.narrow(1, 2, 1).tr() * 3.0;
        let level = Tensor::from_slice(&[0.3_f32]);
        let moved = values(&network.denoise(&moved, &level).unwrap()).unwrap();
        for (moved, found) in moved.into_iter().zip(outputs(&network, &rows[..1], 3)) {
            assert!((moved - found).abs() < 1e-4, "{moved} {found}");
        }
    }

    #[test]
    fn a_condition_that_the_network_does_not_take_is_refused() {
        let inputs = Tensor::from_slice(&[0.1_f32; 5]).view([1, 5]);
        let error = network(0, None).denoise(&inputs, &Tensor::from_slice(&[0.3_f32]));
        assert!(error.unwrap_err().to_string().contains("a condition of 0 columns"));
    }
}

//! A CNN that smaller ones are cut from: fewer blocks, smaller kernels, fewer channels.
//!
//! Stem (3 × 3), then two units of two blocks, pooled before each unit, and a linear head. A block is an expanding
//! k × k convolution, a projecting 1 × 1 one, each batch-normalised, ReLU between; its input is added where the
//! channels agree. A part takes the first `depth` blocks of a unit, the first channels of each expansion, and
//! the centre of each kernel, multiplied by a matrix (Cai et al., arXiv:1908.09791, section 3).

pub mod parts;

use ledger::streams::Streams;
use tch::{Device, Kind, TchError, Tensor};

use super::Builder;
use crate::network::{Body, Layer, Network, Parameter, Role};

/// Units of blocks.
pub const UNITS: usize = 2;
/// Blocks of a unit.
pub const BLOCKS: usize = 2;
/// Widest kernel.
const WIDEST: i64 = 5;
/// Smaller kernel.
const SMALLER: i64 = 3;
/// Channels of an expansion for each of the block's outputs.
const EXPANSION: usize = 2;
/// Parameters before the first block, and of each block.
const STEM: usize = 3;
const PER_BLOCK: usize = 6;

/// Shape of an [`Elastic::network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elastic {
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the input; a multiple of 4.
    pub side: usize,
    /// Channels of the blocks of each unit; the stem has those of the first.
    pub widths: [usize; UNITS],
    /// Number of classes.
    pub classes: usize,
}

/// A network within the widest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// Blocks of each unit, 1 or 2.
    pub depth: [usize; UNITS],
    /// Whether kernels of each unit are the smaller ones.
    pub small_kernel: [bool; UNITS],
    /// Whether expansions of each unit keep half of their channels.
    pub half_width: [bool; UNITS],
}

impl Choice {
    /// The widest network.
    pub const WHOLE: Self =
        Self { depth: [2; UNITS], small_kernel: [false; UNITS], half_width: [false; UNITS] };
    /// The smallest one.
    pub const LEAST: Self =
        Self { depth: [1; UNITS], small_kernel: [true; UNITS], half_width: [true; UNITS] };

    /// Every pair of depths with one kernel and one width throughout: 16, from the smallest on.
    #[must_use]
    pub fn corners() -> Vec<Self> {
        let bits = (0..16_usize).map(|place| {
            let bit = |at: usize| place >> at & 1 == 1;
            Self {
                depth: [1 + usize::from(bit(2)), 1 + usize::from(bit(3))],
                small_kernel: [!bit(1); UNITS],
                half_width: [!bit(0); UNITS],
            }
        });
        bits.collect()
    }

    /// The corner of this name, or the names of all.
    ///
    /// # Errors
    /// When there is none of it.
    pub fn named(name: &str) -> Result<Self, String> {
        let corners = Self::corners();
        let names = || corners.iter().map(Self::name).collect::<Vec<_>>().join(", ");
        corners.iter().find(|choice| choice.name() == name).copied().ok_or_else(names)
    }

    /// `d12-k3-w50`: blocks of each unit, kernel and share of the width, by unit where they differ.
    #[must_use]
    pub fn name(&self) -> String {
        let each = |numbers: [i64; UNITS]| match numbers {
            [a, b] if a == b => a.to_string(),
            [a, b] => format!("{a}.{b}"),
        };
        let [a, b] = self.depth;
        let kernel = each(self.small_kernel.map(|small| if small { SMALLER } else { WIDEST }));
        let width = each(self.half_width.map(|half| if half { 50 } else { 100 }));
        format!("d{a}{b}-k{kernel}-w{width}")
    }
}

impl Elastic {
    /// The widest network.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn network(&self, streams: &Streams, device: Device) -> Result<Network, TchError> {
        let mut builder = Builder::new(streams, device);
        let mut layers = Vec::new();
        let mut inputs = self.widths[0];
        layers.extend(builder.conv_norm_relu("stem", self.channels, inputs, 3)?);
        for (unit, &outputs) in self.widths.iter().enumerate() {
            layers.push(Layer::MaxPool);
            for block in 0..BLOCKS {
                let name = format!("unit{}.block{}", unit + 1, block + 1);
                let wide = EXPANSION * outputs;
                let expand = builder.conv_norm_relu(&format!("{name}.expand"), inputs, wide, 5)?;
                let [project, norm, _] =
                    builder.conv_norm_relu(&format!("{name}.project"), wide, outputs, 1)?;
                let inner = expand.into_iter().chain([project, norm]).collect();
                self.add(&mut layers, inner, inputs == outputs);
                inputs = outputs;
            }
        }
        let side = self.side / 4;
        layers
            .extend([Layer::Flatten, builder.linear("head", inputs * side * side, self.classes)?]);
        Ok(builder.finish(layers))
    }

    fn add(&self, layers: &mut Vec<Layer>, inner: Vec<Layer>, residual: bool) {
        if residual { layers.push(Layer::Residual(inner)) } else { layers.extend(inner) }
    }

    /// Number of the network's own parameters.
    #[must_use]
    pub fn parameters(&self) -> usize {
        STEM + UNITS * BLOCKS * PER_BLOCK + 2
    }

    /// Adds what turns the centre of each block's kernel into the smaller kernel: a 9 × 9 matrix per block, the
    /// identity at first, behind the network's own parameters.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn add_transforms(&self, network: &mut Network) -> Result<(), TchError> {
        let area = SMALLER * SMALLER;
        for block in 0..UNITS * BLOCKS {
            let at = STEM + PER_BLOCK * block;
            let Parameter { name, layer, .. } = &network.parameters[at];
            let (name, layer) = (format!("{name}.transform"), *layer);
            let tensor = Tensor::f_eye(area, (Kind::Float, network.device()))?;
            let tensor = tensor.set_requires_grad(true);
            network.parameters.push(Parameter { name, layer, role: Role::Norm, tensor });
        }
        Ok(())
    }

    /// The network of `choice` within `whole`: its parameters and running statistics are parts of those of `whole`,
    /// gradients reach these, and what training adds to the statistics too.
    ///
    /// # Errors
    /// When `whole` is another network, or lacks the transforms of smaller kernels.
    pub fn part(&self, whole: &Network, choice: &Choice) -> Result<Network, TchError> {
        let mut cut = Cut { whole, parameters: Vec::new(), buffers: Vec::new() };
        let stem = self.widths[0] as i64;
        let mut layers: Vec<Layer> = cut.conv_norm(0, 0, whole.at(0).shallow_clone(), stem)?.into();
        layers.push(Layer::Relu);
        let mut inputs = self.widths[0];
        for (unit, &outputs) in self.widths.iter().enumerate() {
            layers.push(Layer::MaxPool);
            for block in 0..choice.depth[unit].min(BLOCKS) {
                let place = unit * BLOCKS + block;
                let at = STEM + PER_BLOCK * place;
                let all = (EXPANSION * outputs) as i64;
                let wide = if choice.half_width[unit] { all / 2 } else { all };
                let kernel = whole.at(at).f_narrow(0, 0, wide)?;
                let kernel = match choice.small_kernel[unit] {
                    true => centre(&kernel, whole.at(self.parameters() + place))?,
                    false => kernel,
                };
                let mut inner: Vec<Layer> = cut.conv_norm(at, 2 + 4 * place, kernel, wide)?.into();
                inner.push(Layer::Relu);
                let project = whole.at(at + 3).f_narrow(1, 0, wide)?;
                inner.extend(cut.conv_norm(at + 3, 4 + 4 * place, project, outputs as i64)?);
                self.add(&mut layers, inner, inputs == outputs);
                inputs = outputs;
            }
        }
        let head = self.parameters() - 2;
        let weight = cut.push(head, whole.at(head).shallow_clone());
        let bias = cut.push(head + 1, whole.at(head + 1).shallow_clone());
        layers.extend([Layer::Flatten, Layer::Linear { weight, bias }]);
        let Cut { parameters, buffers, .. } = cut;
        Ok(Network::new(parameters, buffers, Body::Layers(layers)))
    }

    /// Sorts the channels of every expansion by how much the projection behind it takes of them, Σ|w|, the largest
    /// first; outputs of the widest network stay what they are. Gradient recording is off.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn sort_channels(&self, whole: &Network) -> Result<(), TchError> {
        for place in 0..UNITS * BLOCKS {
            let (at, statistics) = (STEM + PER_BLOCK * place, 2 + 4 * place);
            let importance = whole.at(at + 3).f_abs()?.f_sum_dim_intlist(
                [0_i64, 2, 3].as_slice(),
                false,
                Kind::Float,
            )?;
            let (_, order) = importance.f_sort_stable(true, 0, true)?;
            for (tensor, dim) in [
                (whole.at(at), 0),
                (whole.at(at + 1), 0),
                (whole.at(at + 2), 0),
                (whole.at(at + 3), 1),
                (&whole.buffers[statistics], 0),
                (&whole.buffers[statistics + 1], 0),
            ] {
                tensor.shallow_clone().f_copy_(&tensor.f_index_select(dim, &order)?)?;
            }
        }
        Ok(())
    }
}

/// The centre of 5 × 5 kernels, each multiplied as nine numbers by a matrix.
fn centre(kernels: &Tensor, matrix: &Tensor) -> Result<Tensor, TchError> {
    let from = (WIDEST - SMALLER) / 2;
    let centre = kernels.f_narrow(2, from, SMALLER)?.f_narrow(3, from, SMALLER)?;
    let nine = centre.f_reshape([-1, SMALLER * SMALLER])?.f_linear::<Tensor>(matrix, None)?;
    nine.f_view(centre.size().as_slice())
}

/// A part in the making.
struct Cut<'a> {
    whole: &'a Network,
    parameters: Vec<Parameter>,
    buffers: Vec<Tensor>,
}

impl Cut<'_> {
    fn push(&mut self, from: usize, tensor: Tensor) -> usize {
        let Parameter { name, layer, role, .. } = &self.whole.parameters[from];
        self.parameters.push(Parameter { name: name.clone(), layer: *layer, role: *role, tensor });
        self.parameters.len() - 1
    }

    /// A convolution by `weight`, of the layer at `from`, and its normalisation with the first `width` channels.
    fn conv_norm(
        &mut self,
        from: usize,
        statistics: usize,
        weight: Tensor,
        width: i64,
    ) -> Result<[Layer; 2], TchError> {
        let weight = self.push(from, weight);
        let first = |tensor: &Tensor| tensor.f_narrow(0, 0, width);
        let scale = self.push(from + 1, first(self.whole.at(from + 1))?);
        let shift = self.push(from + 2, first(self.whole.at(from + 2))?);
        let running = self.buffers.len();
        for place in [statistics, statistics + 1] {
            self.buffers.push(first(&self.whole.buffers[place])?);
        }
        Ok([Layer::Conv { weight, bias: None }, Layer::BatchNorm { scale, shift, running }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial::{self, ELASTIC};

    fn whole() -> Network {
        let mut network = ELASTIC.network(&trial::streams(), Device::Cpu).unwrap();
        ELASTIC.add_transforms(&mut network).unwrap();
        network
    }

    fn outputs(network: &Network, train: bool) -> Vec<f32> {
        let batch = trial::batch(&[8, 8, 1]).unwrap();
        values(&network.forward(&batch.inputs, train).unwrap()).unwrap()
    }

    #[test]
    fn the_whole_of_it_is_the_network_bit_for_bit() {
        let network = whole();
        let part = ELASTIC.part(&network, &Choice::WHOLE).unwrap();
        assert_eq!(outputs(&part, false), outputs(&network, false));
        assert_eq!(outputs(&part, true), outputs(&network.duplicate(), true));
        assert_eq!(ELASTIC.parameters(), part.parameters.len());
    }

    #[test]
    fn the_space_of_the_paper_has_as_many_networks_as_it_says() {
        // Five units of two to four blocks, of three kernels and three widths each.
        let unit: u128 = (2..=4).map(|depth| 9_u128.pow(depth)).sum();
        assert_eq!(unit, 7_371);
        assert_eq!(unit.pow(5), 21_758_655_492_572_485_851);
    }

    #[test]
    fn corners_are_sixteen_networks_from_the_smallest_to_the_whole() {
        let corners = Choice::corners();
        assert_eq!((corners[0], corners[15]), (Choice::LEAST, Choice::WHOLE));
        let names: std::collections::BTreeSet<_> = corners.iter().map(Choice::name).collect();
        assert_eq!(names.len(), 16);
        assert_eq!(Choice::LEAST.name(), "d11-k3-w50");
        let sizes: Vec<i64> = corners
            .iter()
            .map(|choice| {
                let part = ELASTIC.part(&whole(), choice).unwrap();
                part.parameters.iter().map(|p| p.tensor.numel() as i64).sum()
            })
            .collect();
        assert!(sizes[1..].iter().all(|size| *size > sizes[0]));
        assert!(sizes[..15].iter().all(|size| *size < sizes[15]));
    }

    #[test]
    fn under_the_identity_a_small_kernel_is_the_centre_of_the_large_one() {
        let network = whole();
        let choice = Choice { small_kernel: [true; UNITS], ..Choice::WHOLE };
        let part = ELASTIC.part(&network, &choice).unwrap();
        let centre = network.at(STEM).narrow(2, 1, 3).narrow(3, 1, 3);
        assert!(part.at(STEM).equal(&centre));
    }

    #[test]
    fn sorted_channels_leave_the_whole_and_change_its_parts() {
        let network = whole();
        let small = Choice { half_width: [true; UNITS], ..Choice::WHOLE };
        let of = |choice: &Choice| outputs(&ELASTIC.part(&network, choice).unwrap(), false);
        let before = [of(&Choice::WHOLE), of(&small)];
        tch::no_grad(|| ELASTIC.sort_channels(&network)).unwrap();
        let after = [of(&Choice::WHOLE), of(&small)];
        let gap = |i: usize| {
            before[i].iter().zip(&after[i]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(gap(0) <= 1e-5 && gap(1) > 1e-3, "{} {}", gap(0), gap(1));
    }

    #[test]
    fn what_a_part_leaves_out_takes_no_gradient_and_what_it_takes_does() {
        let network = whole();
        let part = ELASTIC.part(&network, &Choice::LEAST).unwrap();
        let batch = trial::batch(&[8, 8, 1]).unwrap();
        let loss = part.forward(&batch.inputs, true).unwrap().square().sum(None);
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
        let largest = |tensor: &Tensor| tensor.abs().max().double_value(&[]);
        // The second block of the first unit is passed over; of the first, half of the channels.
        assert!(!gradients[STEM + PER_BLOCK].defined());
        let first = &gradients[STEM];
        assert!(largest(&first.narrow(0, 0, 4)) > 0.0);
        assert_eq!(largest(&first.narrow(0, 4, 4)), 0.0);
        // The rim of its kernels, and the matrix that its centre is multiplied by.
        assert_eq!(largest(&first.narrow(2, 0, 1)), 0.0);
        assert!(largest(&gradients[ELASTIC.parameters()]) > 0.0);
    }
}

//! Feature spaces of images: a fixed random network, and a classifier trained once.
//!
//! Neither is the Inception network of the Fréchet inception distance, and no figure made with them
//! bears its name.

use ledger::digest::Digest;
use ledger::seed::Seed;
use ledger::streams::{self, Streams};
use tch::{Device, Kind, TchError, Tensor};

use lab::LabError;
use lab::models::Builder;
use lab::network::{Layer, Network};
use lab::objectives::DefaultLoss;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::seat::{Gradients, Objective, Optimizer, StepInfo};
use lab::split::Split;

/// Number of features.
pub const FEATURES: usize = 64;
/// Channels behind each convolution.
const WIDTHS: [usize; 3] = [16, 32, FEATURES];
/// Images at once.
const CHUNK: i64 = 500;
/// Steps and images per step of the classifier's training.
const STEPS: u64 = 200;
const BATCH: u32 = 64;

/// Three 3 × 3 convolutions with ReLU, pooled after the first two; features are the means over the
/// last maps (random) or their maxima (classifier).
#[derive(Debug)]
pub struct Features {
    network: Network,
    layers: Vec<Layer>,
}

/// The convolutions of an image of one channel.
fn convolutions(builder: &mut Builder) -> Result<Vec<Layer>, TchError> {
    let mut layers = Vec::new();
    let mut inputs = 1;
    for (index, outputs) in WIDTHS.into_iter().enumerate() {
        layers.extend([
            builder.conv(&format!("conv{}", index + 1), inputs, outputs, 3)?,
            Layer::Relu,
        ]);
        layers.extend((index < 2).then_some(Layer::MaxPool));
        inputs = outputs;
    }
    Ok(layers)
}

impl Features {
    /// Orthogonal weights of gain √2 from seed 0, no biases.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn random(device: Device) -> Result<Self, TchError> {
        let streams = Streams::new(Seed::from_integer(0).bytes);
        let mut builder = Builder::new(&streams, Device::Cpu);
        let mut layers = convolutions(&mut builder)?;
        // ReLU on the last maps would only lose half of them.
        layers.pop();
        let network = builder.finish(layers.clone());
        let mut random = streams.generator("features");
        for parameter in &network.parameters {
            let mut tensor = parameter.tensor.f_detach()?;
            let shape = tensor.size();
            if shape.len() < 2 {
                let _ = tensor.f_zero_()?;
                continue;
            }
            let (rows, columns) = (shape[0], shape.iter().skip(1).product::<i64>());
            let normal = Tensor::f_from_slice(&streams::normal(&mut random, tensor.numel()))?;
            let tall = normal.f_view([rows.max(columns), rows.min(columns)])?;
            let (orthogonal, triangle) = Tensor::f_linalg_qr(&tall, "reduced")?;
            // With these signs the factor is uniform over orthogonal matrices.
            let orthogonal = orthogonal.f_mul(&triangle.f_diagonal(0, 0, 1)?.f_sign()?)?;
            let wide = if rows < columns { orthogonal.f_transpose(0, 1)? } else { orthogonal };
            tensor.f_copy_(&wide.f_mul_scalar(2.0_f64.sqrt())?.f_reshape(shape.as_slice())?)?;
        }
        Ok(Self { network: moved(network, device), layers })
    }

    /// A classifier's: trained for 200 steps of 64 images of `train` by Adam at 2·10⁻³ falling to 0,
    /// from a fixed seed.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn classifier(train: &Split, classes: u32, device: Device) -> Result<Self, LabError> {
        let streams = Streams::new(Digest::of(b"palimpsest/classifier/v1").0);
        let mut builder = Builder::new(&streams, device);
        let mut layers = convolutions(&mut builder)?;
        layers.push(Layer::GlobalMaxPool);
        let mut whole = layers.clone();
        whole.push(builder.linear("head", FEATURES, classes as usize)?);
        let network = builder.finish(whole);
        let settings = AdamwSettings { lr: 2e-3, weight_decay: 0.0, ..AdamwSettings::default() };
        let mut adam = Adamw::new(settings, &network, |_, _| true)?;
        let examples = u32::try_from(train.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = Vec::new();
        let mut random = streams.generator("order");
        for step in 0..STEPS {
            if order.len() < BATCH as usize {
                order = (0..examples).collect();
                ledger::order::shuffle(&mut random, &mut order);
            }
            let ids = order.split_off(order.len().saturating_sub(BATCH as usize));
            let lr_factor = 1.0 - step as f64 / STEPS as f64;
            let now = StepInfo {
                step,
                total_steps: STEPS,
                epoch: 0,
                total_epochs: 1,
                lr_factor,
                pass: 0,
            };
            let loss = DefaultLoss::Classes.loss(&network, &train.batch(&ids)?, &now)?;
            let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
            let tensors = Tensor::f_run_backward(&[&loss], &leaves, false, false)?;
            let gradients = Gradients { active: (0..tensors.len()).collect(), tensors };
            tch::no_grad(|| adam.update(&network.parameters, &gradients, &now))?;
        }
        Ok(Self { network, layers })
    }

    /// Features of images N × 1 × H × W, N × 64.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn of(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let rows = images.size()[0];
        let piece = |start: i64| {
            let part = images.f_narrow(0, start, CHUNK.min(rows - start))?;
            let maps = self.network.run(&self.layers, &part, false)?;
            if maps.dim() == 4 {
                maps.f_mean_dim([2, 3].as_slice(), false, Kind::Float)
            } else {
                Ok(maps)
            }
        };
        let pieces = (0..rows).step_by(CHUNK as usize).map(piece).collect::<Result<Vec<_>, _>>()?;
        Tensor::f_cat(&pieces, 0)
    }

    /// Digest of the weights.
    ///
    /// # Errors
    /// When they cannot be copied to the host.
    pub fn digest(&self) -> Result<Digest, TchError> {
        self.network.digest()
    }
}

fn moved(mut network: Network, device: Device) -> Network {
    for parameter in &mut network.parameters {
        parameter.tensor = parameter.tensor.detach().to_device(device);
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::frechet::Moments;
    use workloads::shared::classification::{Layout, Normalisation};

    #[test]
    fn random_filters_are_orthogonal_with_gain_root_two() {
        let features = Features::random(Device::Cpu).unwrap();
        for parameter in features.network.parameters.iter().filter(|p| p.tensor.dim() == 4) {
            let flat = parameter.tensor.flatten(1, -1);
            let wide = flat.size()[0] <= flat.size()[1];
            let gram = if wide { flat.matmul(&flat.tr()) } else { flat.tr().matmul(&flat) };
            let size = gram.size()[0];
            let error = gram - Tensor::eye(size, (Kind::Float, Device::Cpu)) * 2.0;
            assert!(error.abs().max().double_value(&[]) < 1e-5, "{}", parameter.name);
        }
    }

    #[test]
    fn the_classifier_is_always_the_same_and_tells_the_shapes_apart() {
        let layout = Layout {
            data: "shapes16",
            normalisation: Normalisation { mean: &[0.0], deviation: &[1.0] },
            flat: false,
        };
        let sources = data::Sources { data_dir: "nowhere".into(), cache_dir: "nowhere".into() };
        let splits = layout.load(&sources, Device::Cpu).unwrap().splits;
        let train = || Features::classifier(&splits.train, 4, Device::Cpu).unwrap();
        let features = train();
        assert_eq!(features.digest().unwrap(), train().digest().unwrap());
        let (images, labels) = splits.test.rows(0, 400).unwrap();
        let logits = tch::no_grad(|| features.network.forward(&images, false)).unwrap();
        let right = logits.argmax(-1, false).eq_tensor(&labels).sum(None).int64_value(&[]);
        assert!(right > 340, "{right} of 400");
        let moments = |features: &Features, images: &Tensor| {
            tch::no_grad(|| Moments::of(&features.of(images)?)).unwrap()
        };
        let (other, _) = splits.validation.rows(0, 400).unwrap();
        for features in [features, Features::random(Device::Cpu).unwrap()] {
            let own = moments(&features, &images);
            let real = own.distance(&moments(&features, &other)).unwrap();
            let faded = own.distance(&moments(&features, &(other.shallow_clone() * 0.5))).unwrap();
            assert!(faded > 4.0 * real, "{faded} {real}");
        }
    }
}

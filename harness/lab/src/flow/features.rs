//! A distance of images in the features of a fixed random network, in the place of LPIPS, which needs a network
//! trained on photographs.

use ledger::digest::Digest;
use ledger::streams::{self, Streams};
use tch::{Device, TchError, Tensor};

/// Channels behind each of the two convolutions.
const WIDTHS: [i64; 2] = [16, 32];

/// Two 3 × 3 convolutions with ReLU, the second on halved images; drawn once from a seed of their own, so that they
/// are not the network that samples are judged with.
#[derive(Debug)]
pub struct Frozen(Vec<Tensor>);

impl Frozen {
    /// For images of `channels` channels.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(channels: i64, device: Device) -> Result<Self, TchError> {
        let streams = Streams::new(Digest::of(b"palimpsest/flow-features/v1").0);
        let mut random = streams.generator("weights");
        let mut inputs = channels;
        let filters = WIDTHS.map(|outputs| {
            let count = usize::try_from(outputs * inputs * 9).unwrap_or(0);
            // He's deviation, which keeps the size of what passes a ReLU.
            let deviation = (2.0 / (9.0 * inputs as f64)).sqrt();
            let shape = [outputs, inputs, 3, 3];
            inputs = outputs;
            let numbers = Tensor::f_from_slice(&streams::normal(&mut random, count))?;
            numbers.f_mul_scalar(deviation)?.f_view(shape)?.f_to_device(device)
        });
        Ok(Self(filters.into_iter().collect::<Result<_, _>>()?))
    }

    /// Features of images B × C × H × W, layer by layer.
    fn plain(&self, images: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let mut hidden = images.shallow_clone();
        let mut all = Vec::new();
        for (layer, filter) in self.0.iter().enumerate() {
            if layer > 0 {
                hidden = hidden.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, true, None)?;
            }
            hidden = hidden.f_conv2d::<Tensor>(filter, None, [1, 1], [1, 1], [1, 1], 1)?;
            hidden = hidden.f_relu()?;
            all.push(hidden.shallow_clone());
        }
        Ok(all)
    }

    /// The same, each of length 1 over the channels of a place.
    fn of(&self, images: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let unit = |hidden: Tensor| {
            let length = hidden.f_square()?.f_sum_dim_intlist(1, true, hidden.kind())?;
            hidden.f_div(&length.f_add_scalar(1e-10)?.f_sqrt()?)
        };
        self.plain(images)?.into_iter().map(unit).collect()
    }

    /// Of each pair of images the squared distance of features as they are, which tells how strong a contrast is, too: a mean
    /// over places and channels and a sum over layers; shape B.
    ///
    /// # Errors
    /// When the shapes differ, or are not those of images.
    pub fn contrast(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
        let mut sum: Option<Tensor> = None;
        for (a, b) in self.plain(a)?.iter().zip(&self.plain(b)?) {
            let each = a.f_sub(b)?.f_square()?;
            let each = each.f_mean_dim([1, 2, 3].as_slice(), false, a.kind())?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&each)?,
                None => each,
            });
        }
        sum.ok_or_else(|| TchError::Shape("features without a layer".to_owned()))
    }

    /// Of each pair of images the squared distance of features over channels, as a mean over places and a sum over
    /// layers, as LPIPS has it; shape B.
    ///
    /// # Errors
    /// When the shapes differ, or are not those of images.
    pub fn distance(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
        let mut sum: Option<Tensor> = None;
        for (a, b) in self.of(a)?.iter().zip(&self.of(b)?) {
            let each = a.f_sub(b)?.f_square()?.f_sum_dim_intlist(1, false, a.kind())?;
            let each = each.f_mean_dim([1, 2].as_slice(), false, a.kind())?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&each)?,
                None => each,
            });
        }
        sum.ok_or_else(|| TchError::Shape("features without a layer".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use tch::Kind;

    fn images() -> Tensor {
        (Tensor::arange(2 * 64, (Kind::Float, Device::Cpu)) * 0.37).sin().view([2, 1, 8, 8])
    }

    #[test]
    fn equal_images_are_at_no_distance_and_others_row_by_row_at_one_that_has_a_gradient() {
        let features = Frozen::new(1, Device::Cpu).unwrap();
        let (a, b) = (images(), images().flip([0]));
        assert_eq!(values(&features.distance(&a, &a).unwrap()).unwrap(), [0.0, 0.0]);
        let apart = values(&features.distance(&a, &b).unwrap()).unwrap();
        // Unit vectors of non-negative numbers are at most at a squared distance of 2, in each of two layers.
        assert!(apart.iter().all(|d| *d > 1e-3 && *d <= 4.0), "{apart:?}");
        let moved = images().set_requires_grad(true);
        features.distance(&moved, &b).unwrap().sum(None).backward();
        let gradient = moved.grad().abs().max().double_value(&[]);
        assert!(gradient.is_finite() && gradient > 0.0, "{gradient}");
        // A fainter image is at no distance in direction, but at one in contrast.
        let faint = images() * 0.5;
        let turned = values(&features.distance(&images(), &faint).unwrap()).unwrap();
        let contrast = values(&features.contrast(&images(), &faint).unwrap()).unwrap();
        assert!(turned.iter().all(|d| *d < 1e-4) && contrast.iter().all(|d| *d > 1e-3));
        let whole = values(&features.contrast(&images(), &(images() * 0.0)).unwrap()).unwrap();
        // Without biases features are of degree 1.
        for (half, whole) in contrast.iter().zip(&whole) {
            assert!((half / whole - 0.25).abs() < 1e-4, "{half} {whole}");
        }
        // The same wherever it is made.
        let again = Frozen::new(1, Device::Cpu).unwrap();
        assert_eq!(values(&again.distance(&a, &b).unwrap()).unwrap(), apart);
    }
}

//! What of an image is fine: its components above a spatial frequency, its edges, and the energy in them.
//!
//! A frequency (u, v) is in cycles per pixel, at most ½ along an axis; a cut-off is a share of that half.

use tch::{Device, Kind, TchError, Tensor};

/// Half a cycle per pixel.
const NYQUIST: f64 = 0.5;
/// Keeps the root of a gradient's length from having no slope at 0.
const LEAST: f64 = 1e-8;

/// The components of images above a frequency, and below it, and their edges.
#[derive(Debug)]
pub struct Bands {
    /// 1 for each kept component of a real transform, H × (W/2 + 1).
    high: Tensor,
    size: [i64; 2],
    /// Sobel's two filters, 2 × 1 × 3 × 3.
    edges: Tensor,
}

impl Bands {
    /// For images of `size` (height, width), cut at `cutoff` of the highest frequency of an axis.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(size: [i64; 2], cutoff: f64, device: Device) -> Result<Self, TchError> {
        let [height, width] = size;
        let mut high = Vec::new();
        for row in 0..height {
            // Rows behind the half are negative frequencies.
            let v = row.min(height - row) as f64 / height as f64;
            for column in 0..=width / 2 {
                let u = column as f64 / width as f64;
                high.push(f32::from(u8::from(u.hypot(v) > cutoff * NYQUIST)));
            }
        }
        let high = Tensor::f_from_slice(&high)?.f_view([height, width / 2 + 1])?;
        let across = [-1.0_f32, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
        let down = [-1.0_f32, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0];
        let edges = Tensor::f_from_slice(&[across, down].concat())?.f_view([2, 1, 3, 3])?;
        Ok(Self { high: high.f_to_device(device)?, size, edges: edges.f_to_device(device)? })
    }

    /// What of images N × C × H × W lies above the frequency, of their shape.
    ///
    /// # Errors
    /// When they are of another size.
    pub fn high(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let components = images.f_fft_rfft2(None::<&[i64]>, [-2, -1], "backward")?;
        components.f_mul(&self.high)?.f_fft_irfft2(self.size.as_slice(), [-2, -1], "backward")
    }

    /// Length of Sobel's gradient at every place of images N × C × H × W, of their shape; beyond the frame is what is at
    /// its border.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn edges(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let size = images.size();
        let [height, width] = self.size;
        let each = images.f_reshape([-1, 1, height, width])?.f_replication_pad2d([1, 1, 1, 1])?;
        let slopes = each.f_conv2d::<Tensor>(&self.edges, None, [1, 1], [0, 0], [1, 1], 1)?;
        let squares = slopes.f_square()?.f_sum_dim_intlist(1, true, slopes.kind())?;
        let least = LEAST.sqrt();
        squares.f_add_scalar(LEAST)?.f_sqrt()?.f_sub_scalar(least)?.f_view(size.as_slice())
    }

    /// Mean over images of the energy above the frequency, Σ over pixels of the square.
    ///
    /// # Errors
    /// When they are of another size.
    pub fn energy(&self, images: &Tensor) -> Result<f64, TchError> {
        let rows = images.size().first().copied().unwrap_or(0).max(1) as f64;
        let sum = self.high(images)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        Ok(sum / rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;

    fn images() -> Tensor {
        (Tensor::arange(2 * 256, (Kind::Float, Device::Cpu)) * 0.37).sin().view([2, 1, 16, 16])
    }

    fn bands(cutoff: f64) -> Bands {
        Bands::new([16, 16], cutoff, Device::Cpu).unwrap()
    }

    fn far(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn a_constant_has_no_high_band_and_both_bands_make_the_image_again() {
        let constant = Tensor::full([1, 1, 16, 16], 0.7, (Kind::Float, Device::Cpu));
        assert!(
            values(&bands(0.25).high(&constant).unwrap()).unwrap().iter().all(|x| x.abs() < 1e-6)
        );
        let (images, bands) = (images(), bands(0.25));
        let high = bands.high(&images).unwrap();
        // What is left has no high band, and the high band is one of its own.
        let low = &images - &high;
        assert!(bands.high(&low).unwrap().abs().max().double_value(&[]) < 1e-5);
        assert!(far(&bands.high(&high).unwrap(), &high) < 1e-5);
    }

    #[test]
    fn energies_of_both_bands_add_up_and_are_those_of_the_components() {
        let (images, bands) = (images(), bands(0.25));
        let high = bands.energy(&images).unwrap();
        let low = &images - &bands.high(&images).unwrap();
        let of = |x: &Tensor| x.square().sum(Kind::Double).double_value(&[]) / 2.0;
        assert!((high + of(&low) - of(&images)).abs() < 1e-4 * of(&images));
        // Parseval: Σ|x|² = Σ|X|²/(H·W) over all components of the whole transform.
        let whole = images.fft_fft2(None::<&[i64]>, [-2, -1], "backward");
        let spectrum = whole.abs().square().sum(Kind::Double).double_value(&[]) / 256.0 / 2.0;
        assert!((spectrum / of(&images) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn waves_are_cut_where_the_cut_off_says() {
        // k cycles over 16 pixels; a quarter of the highest is k = 2.
        for (k, kept) in [(1, false), (2, false), (3, true), (8, true)] {
            let phase = Tensor::arange(16, (Kind::Float, Device::Cpu))
                * (f64::from(k) * std::f64::consts::TAU / 16.0);
            for wave in [phase.cos().view([1, 1, 1, 16]), phase.cos().view([1, 1, 16, 1])] {
                let image = wave.expand([1, 1, 16, 16], false).contiguous();
                let high = bands(0.25).high(&image).unwrap();
                let expected = if kept { image } else { high.zeros_like() };
                assert!(far(&high, &expected) < 1e-5, "{k}");
            }
        }
        // Of both axes 2 cycles: √8 of them.
        let both = |a: &Tensor| a.view([1, 1, 1, 16]) * a.view([1, 1, 16, 1]);
        let wave =
            (Tensor::arange(16, (Kind::Float, Device::Cpu)) * (std::f64::consts::TAU / 8.0)).cos();
        let image = both(&wave);
        assert!(far(&bands(0.25).high(&image).unwrap(), &image) < 1e-5);
    }

    #[test]
    fn edges_of_a_step_are_sobels_and_a_constant_has_none() {
        let image = Tensor::zeros([1, 1, 16, 16], (Kind::Float, Device::Cpu));
        let _ = image.narrow(3, 8, 8).fill_(1.0);
        let edges = bands(0.25).edges(&image).unwrap();
        // 1 + 2 + 1 on both sides of the step, 0 elsewhere, at the frame too.
        for column in 0..16 {
            let expected = if column == 7 || column == 8 { 4.0 } else { 0.0 };
            for row in [0, 5, 15] {
                let found = edges.double_value(&[0, 0, row, column]);
                assert!((found - expected).abs() < 1e-3, "{row} {column}: {found}");
            }
        }
        let moved = image.set_requires_grad(true);
        bands(0.25).edges(&moved).unwrap().sum(Kind::Float).backward();
        assert!(moved.grad().abs().max().double_value(&[]).is_finite());
    }
}

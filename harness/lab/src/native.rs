//! Images of several sizes as rows of one length, so that they are stored, gathered and shuffled like any other
//! examples: height, width, then the pixels on a canvas of `side` × `side`, row by row, 0 beyond the image.

use ledger::streams::Streams;
use tch::{Device, TchError, Tensor};

use crate::LabError;
use crate::network::values;
use crate::seat::{Batch, StepInfo, View};
use crate::state::State;

/// Numbers of a row before its pixels.
pub const SIZES: i64 = 2;

/// A row of an image of `height` × `width` pixels on a canvas of `side` × `side`.
#[must_use]
pub fn row(pixels: &[f32], [height, width]: [usize; 2], side: usize) -> Vec<f32> {
    let mut row = vec![0.0; SIZES as usize + side * side];
    (row[0], row[1]) = (height as f32, width as f32);
    for y in 0..height.min(side) {
        let at = SIZES as usize + y * side;
        row[at..at + width].copy_from_slice(&pixels[y * width..(y + 1) * width]);
    }
    row
}

/// Height and width of every image, on the host.
///
/// # Errors
/// When these are no rows of images.
pub fn sizes(rows: &Tensor) -> Result<Vec<[i64; 2]>, TchError> {
    let numbers = values(&rows.f_narrow(1, 0, SIZES)?)?;
    Ok(numbers.chunks(2).map(|pair| [pair[0] as i64, pair[1] as i64]).collect())
}

/// Canvases, B × side × side.
///
/// # Errors
/// When these are no rows of images.
pub fn canvases(rows: &Tensor) -> Result<Tensor, TchError> {
    let (_, length) = rows.size2()?;
    let side = ((length - SIZES) as f64).sqrt().round() as i64;
    rows.f_narrow(1, SIZES, length - SIZES)?.f_reshape([-1, side, side])
}

/// Images resized to `to` × `to` pixels whatever their aspect, B × to × to: bicubic (a = −½), the kernel stretched
/// where an axis is made smaller, as in PIL.
///
/// # Errors
/// When these are no rows of images.
pub fn resized(rows: &Tensor, to: i64) -> Result<Tensor, TchError> {
    let canvases = canvases(rows)?;
    let side = canvases.size()[1];
    let axis = |axis: usize| -> Result<Tensor, TchError> {
        let matrices = sizes(rows)?.into_iter().flat_map(|size| matrix(size[axis], to, side));
        let matrices: Vec<f32> = matrices.collect();
        Tensor::f_from_slice(&matrices)?.f_view([-1, to, side])?.f_to_device(rows.device())
    };
    axis(0)?.f_bmm(&canvases)?.f_bmm(&axis(1)?.f_transpose(1, 2)?)
}

/// What makes `to` pixels of the first `size` of `side`: to × side, every row of sum 1; of no pixels, zeros.
fn matrix(size: i64, to: i64, side: i64) -> Vec<f32> {
    if size == 0 {
        return vec![0.0; (to * side) as usize];
    }
    let stretch = (size as f64 / to as f64).max(1.0);
    let row = |pixel: i64| {
        let centre = (pixel as f64 + 0.5) * size as f64 / to as f64;
        let weight = |source: i64| match source < size {
            true => cubic((source as f64 + 0.5 - centre) / stretch),
            false => 0.0,
        };
        let sum: f64 = (0..side).map(weight).sum();
        (0..side).map(move |source| (weight(source) / sum) as f32).collect::<Vec<_>>()
    };
    (0..to).flat_map(row).collect()
}

/// Keys' kernel with a = −½.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => A * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    }
}

/// Renders every image at `to` × `to` pixels, as rows again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// Height and width.
    pub to: i64,
}

impl View for Fixed {
    fn render(&mut self, batch: &mut Batch, _: &StepInfo, _: &Streams) -> Result<(), LabError> {
        let images = resized(&batch.inputs, self.to)?;
        let (rows, length) = batch.inputs.size2()?;
        let side = canvases(&batch.inputs)?.size()[1];
        let options = (images.kind(), images.device());
        let inputs = Tensor::f_full([rows, length], 0.0, options)?;
        let _ = inputs.f_narrow(1, 0, SIZES)?.f_fill_(self.to as f64)?;
        let canvas = inputs.f_narrow(1, SIZES, length - SIZES)?.f_view([rows, side, side])?;
        canvas.f_narrow(1, 0, self.to)?.f_narrow(2, 0, self.to)?.f_copy_(&images)?;
        batch.inputs = inputs;
        Ok(())
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Rows of images of these sizes with numbers of their own in every pixel: for tests.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn sample(sizes: &[[usize; 2]], side: usize) -> Result<Tensor, TchError> {
    let image = |(place, size): (usize, &[usize; 2])| {
        let pixels = (0..size[0] * size[1]).map(|pixel| (pixel * (place + 3)) as f32);
        row(&pixels.map(|x| (x * 0.37).sin()).collect::<Vec<_>>(), *size, side)
    };
    let rows: Vec<f32> = sizes.iter().enumerate().flat_map(image).collect();
    Tensor::f_from_slice(&rows)?.f_view([sizes.len() as i64, -1])?.f_to_device(Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{step_info, streams};
    use tch::Kind;

    #[test]
    fn a_row_holds_size_and_pixels_and_nothing_else() {
        let rows = sample(&[[2, 3], [4, 4]], 4).unwrap();
        assert_eq!(sizes(&rows).unwrap(), [[2, 3], [4, 4]]);
        let canvas = values(&canvases(&rows).unwrap().get(0)).unwrap();
        let pixel = |number: usize| ((number * 3) as f32 * 0.37).sin();
        let expected = [pixel(0), pixel(1), pixel(2), 0.0, pixel(3), pixel(4), pixel(5), 0.0];
        assert_eq!(canvas[..8], expected);
        assert_eq!(canvas[8..], [0.0; 8]);
    }

    #[test]
    fn an_image_of_the_wanted_size_stays_as_it_is_and_others_keep_constants() {
        let rows = sample(&[[16, 16], [12, 24]], 24).unwrap();
        let found = resized(&rows, 16).unwrap();
        let canvas = canvases(&rows).unwrap().get(0).narrow(0, 0, 16).narrow(1, 0, 16);
        assert!((found.get(0) - canvas).abs().max().double_value(&[]) < 1e-6);
        let ones: Vec<f32> = row(&vec![1.0; 12 * 20], [12, 20], 24);
        let rows = Tensor::from_slice(&ones).view([1, -1]);
        let found = resized(&rows, 16).unwrap();
        assert!((found - 1.0).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn a_larger_image_is_averaged_and_a_smaller_one_is_bent_through_its_pixels() {
        // Half of the size: Keys' kernel at ±¼, ±¾, ±1¼ and 1¾, worked out by hand, over its sum.
        let halved = matrix(8, 4, 8);
        let by_hand = [-9.0, 29.0, 111.0, 111.0, 29.0, -9.0, -3.0, 0.0].map(|w| w / 259.0);
        for (found, expected) in halved[8..16].iter().zip(by_hand) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{halved:?}");
        }
        let grown = matrix(2, 4, 4);
        assert_eq!(grown[2..4], [0.0, 0.0], "nothing beyond the image");
        for row in halved.chunks(8).chain(grown.chunks(4)) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn the_view_makes_rows_that_say_so() {
        let inputs = sample(&[[12, 24], [20, 16]], 24).unwrap();
        let labels = Tensor::zeros([2], (Kind::Int64, Device::Cpu));
        let expected = resized(&inputs, 16).unwrap();
        let mut batch = Batch { ids: vec![0, 1], sample_ids: labels.copy(), inputs, labels };
        Fixed { to: 16 }.render(&mut batch, &step_info(0, 1), &streams()).unwrap();
        assert_eq!(sizes(&batch.inputs).unwrap(), [[16, 16]; 2]);
        let canvas = canvases(&batch.inputs).unwrap();
        assert!(canvas.narrow(1, 0, 16).narrow(2, 0, 16).equal(&expected));
        assert_eq!(canvas.narrow(1, 16, 8).abs().max().double_value(&[]), 0.0);
    }
}

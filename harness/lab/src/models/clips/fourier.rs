//! A layer in frequencies (Fourier sub-neural operator, FSO): `K v = irfft(R · rfft(v))`.
//!
//! The spectrum of every channel is cut to its corners, m rows from the top (frequencies 0 to m − 1 downwards) and m
//! from the bottom (−m to −1), m columns each; there a complex matrix R of its own mixes the channels of each
//! frequency. The inverse transform may be on a finer grid. What is kept at m rows and columns passes unchanged when R is the
//! identity, everything else is 0.

use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use super::{Decoder, PARTS, SECOND, WIDTHS, kaiming};
use crate::LabError;
use crate::network::{Network, Parameter, Role};

/// The layer on `v`, B × C × h × w, as B × C' × `side` × `side`. `parts` are the real and the imaginary part of R at the
/// upper corner, then at the lower, C × C' × m × m each; 2m is at most h and w.
///
/// # Errors
/// When the shapes do not fit.
pub fn layer(v: &Tensor, parts: [&Tensor; PARTS], side: i64) -> Result<Tensor, TchError> {
    let (batch, _, height, _) = v.size4()?;
    let (_, channels, rows, columns) = parts[0].size4()?;
    let spectrum = v.f_fft_rfft2(None::<i64>, [-2, -1], "forward")?.f_narrow(3, 0, columns)?;
    let mixed = |from: i64, real: &Tensor, imaginary: &Tensor| {
        let corner = spectrum.f_narrow(2, from, rows)?;
        let matrix = Tensor::f_complex(real, imaginary)?;
        Tensor::f_einsum("bixy,ioxy->boxy", &[corner, matrix], None::<i64>)
    };
    let upper = mixed(0, parts[0], parts[1])?;
    let lower = mixed(height - rows, parts[2], parts[3])?;
    let between = [batch, channels, side - 2 * rows, columns];
    let between = Tensor::f_zeros(between, (upper.kind(), upper.device()))?;
    let whole = Tensor::f_cat(&[upper, between, lower], 2)?;
    whole.f_fft_irfft2([side, side].as_slice(), [-2, -1], "forward")
}

/// Puts a Fourier layer of `modes` frequencies along each axis in place of the second convolution.
///
/// # Errors
/// When the network keeps no clips, has one already, or libtorch cannot allocate.
pub fn install(network: &mut Network, modes: u32, stream: &mut Pcg64) -> Result<(), LabError> {
    let decoder = *Decoder::of(network)?;
    if decoder.fourier || decoder.apart {
        let reason = "a Fourier layer takes the place of a convolution that all clips share";
        return Err(LabError::Network(reason.to_owned()));
    }
    let half = i64::from(modes / 2);
    let (layer, device) = (network.parameters[SECOND].layer, network.device());
    let shape = [WIDTHS[1], WIDTHS[2], half, half];
    let mut parts = Vec::with_capacity(PARTS);
    for name in ["upper.real", "upper.imaginary", "lower.real", "lower.imaginary"] {
        let tensor = kaiming(stream, &shape)?.f_to_device(device)?.set_requires_grad(true);
        let name = format!("block2.{name}");
        parts.push(Parameter { name, layer, role: Role::Weight, tensor });
    }
    network.parameters.splice(SECOND..=SECOND, parts);
    network.body = Decoder { fourier: true, ..decoder }.body();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use std::f64::consts::TAU;
    use tch::{Device, Kind};

    /// R = identity on the m lowest frequencies of `channels`.
    fn identity(channels: i64, m: i64) -> [Tensor; 4] {
        let options = (Kind::Float, Device::Cpu);
        let one = Tensor::eye(channels, options).view([channels, channels, 1, 1]);
        let one = one.expand([-1, -1, m, m], false).copy();
        [one.copy(), one.zeros_like(), one.copy(), one.zeros_like()]
    }

    fn through(v: &Tensor, parts: &[Tensor; 4], side: i64) -> Tensor {
        let [a, b, c, d] = parts;
        layer(v, [a, b, c, d], side).unwrap()
    }

    /// cos(2π(k·down + l·across)) on a grid of `side`, with a phase.
    fn wave([k, l]: [f64; 2], side: i64) -> Tensor {
        let n = side as f64;
        let at = |place: i64| {
            let (y, x) = ((place / side) as f64, (place % side) as f64);
            (TAU * (k * y + l * x) / n + 0.7).cos() as f32
        };
        Tensor::from_slice(&(0..side * side).map(at).collect::<Vec<_>>()).view([1, 1, side, side])
    }

    #[test]
    fn the_identity_is_an_ideal_low_pass_on_its_grid_and_on_a_finer_one() {
        let kept = [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [-2.0, 1.0], [0.0, 2.0], [-1.0, 2.0]];
        let gone = [[0.0, 3.0], [1.0, 4.0], [4.0, 1.0], [3.0, 2.0], [-3.0, 3.0]];
        for side in [8, 16] {
            for (waves, passes) in [(&kept[..], 1.0), (&gone[..], 0.0)] {
                for &k in waves {
                    let v = Tensor::cat(&[wave(k, 8), wave(k, 8) * -3.0], 1);
                    let expected = Tensor::cat(&[wave(k, side), wave(k, side) * -3.0], 1) * passes;
                    let found = through(&v, &identity(2, 3), side);
                    assert_eq!((found.kind(), found.size()), (Kind::Float, expected.size()));
                    let error = (found - expected).abs().max().double_value(&[]);
                    assert!(error < 1e-5, "{k:?} on {side}: {error}");
                }
            }
        }
    }

    #[test]
    fn any_matrix_gives_what_the_sum_over_kept_frequencies_says_and_it_is_real() {
        let (m, n) = (2_i64, 6_i64);
        let random = |scale: f64, size: &[i64]| {
            let count = size.iter().product::<i64>();
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * scale).sin().view(size)
        };
        let v = random(0.37, &[1, 1, n, n]);
        let parts = [0.9, 1.3, 1.7, 2.3].map(|scale| random(scale, &[1, 1, m, m]));
        let found = values(&through(&v, &parts, n)).unwrap();
        let v = values(&v).unwrap();
        let r = parts.each_ref().map(|part| values(part).unwrap());
        for (place, found) in (0_i64..).zip(found) {
            let (y, x) = ((place / n) as f64, (place % n) as f64);
            let mut expected = 0.0;
            for row in (0..m).chain(n - m..n) {
                let corner = if row < m { 0 } else { 2 };
                let at_row = if row < m { row } else { row - (n - m) };
                for column in 0..m {
                    let (k, l) = (row as f64, column as f64);
                    let (mut re, mut im) = (0.0, 0.0);
                    for (other, value) in (0_i64..).zip(&v) {
                        let (b, a) = ((other / n) as f64, (other % n) as f64);
                        let angle = -TAU * (k * b + l * a) / n as f64;
                        re += f64::from(*value) * angle.cos() / (n * n) as f64;
                        im += f64::from(*value) * angle.sin() / (n * n) as f64;
                    }
                    let place = (at_row * m + column) as usize;
                    let (a, b) = (f64::from(r[corner][place]), f64::from(r[corner + 1][place]));
                    let (re, im) = (re * a - im * b, re * b + im * a);
                    let angle = TAU * (k * y + l * x) / n as f64;
                    // Columns beyond the first stand for their mirror images too.
                    let twice = if column == 0 { 1.0 } else { 2.0 };
                    expected += twice * (re * angle.cos() - im * angle.sin());
                }
            }
            assert!((f64::from(found) - expected).abs() < 1e-5, "{place}: {found}, not {expected}");
        }
    }

    #[test]
    fn it_takes_the_place_of_one_convolution_and_of_no_more() {
        let clips = super::super::tests::CLIPS;
        let streams = crate::trial::streams();
        let mut network = clips.network(&streams, Device::Cpu).unwrap();
        let plain: Vec<_> = network.parameters.iter().map(|p| p.tensor.copy()).collect();
        install(&mut network, 8, &mut streams.generator("method")).unwrap();
        let names: Vec<&str> = network.parameters.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names[3..7].iter().filter(|name| name.starts_with("block2.")).count(), 4);
        assert_eq!(network.at(3).size(), [24, 12, 4, 4]);
        assert!(network.at(2).equal(&plain[2]) && network.at(7).equal(&plain[4]));
        let inputs = super::super::tests::places(clips);
        assert_eq!(network.forward(&inputs, true).unwrap().size(), [12, 1, 32, 32]);
        assert!(install(&mut network, 8, &mut streams.generator("method")).is_err());
    }
}

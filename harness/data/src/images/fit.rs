//! One size for all: the largest square in the middle, made smaller by the mean over the area that a pixel covers, or
//! larger by interpolation between the centres of four.

use super::Picture;

/// Grey or colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// One channel: of colours their luma, by the weights of ITU-R BT.601.
    Grey,
    /// Three channels: of grey, three times the same.
    Rgb,
}

impl Colours {
    /// How many.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// What all images are brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// Side in pixels, above 0.
    pub size: usize,
    /// Their channels.
    pub colours: Colours,
}

/// Which pixels of a row (or column) of the source make one of the result, with their weights.
type Weights = Vec<(usize, u64)>;

impl Fit {
    /// The image at that size, channel by channel, row by row.
    #[must_use]
    pub fn of(self, picture: &Picture) -> Vec<u8> {
        let side = picture.width.min(picture.height);
        let (left, top) = ((picture.width - side) / 2, (picture.height - side) / 2);
        let (places, whole) = weights(side, self.size);
        let mut fitted = Vec::with_capacity(self.colours.channels() * self.size * self.size);
        for channel in 0..self.colours.channels() {
            for down in &places {
                for right in &places {
                    let mut sum = 0;
                    for &(row, by_row) in down {
                        for &(column, by_column) in right {
                            let value = self.value(picture, left + column, top + row, channel);
                            sum += by_row * by_column * u64::from(value);
                        }
                    }
                    let total = whole * whole;
                    // Halves are rounded up. A mean of bytes is a byte.
                    fitted.push(u8::try_from((2 * sum + total) / (2 * total)).unwrap_or(u8::MAX));
                }
            }
        }
        fitted
    }

    /// One channel of a pixel of the source.
    fn value(self, picture: &Picture, x: usize, y: usize, channel: usize) -> u8 {
        let at = (y * picture.width + x) * picture.channels;
        let pixel = &picture.pixels[at..at + picture.channels];
        match (self.colours, pixel) {
            (Colours::Grey, [red, green, blue]) => luma(*red, *green, *blue),
            (Colours::Rgb, [_, _, _]) => pixel[channel],
            _ => pixel[0],
        }
    }
}

/// 0.299 R + 0.587 G + 0.114 B, rounded.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    u8::try_from((299 * red + 587 * green + 114 * blue + 500) / 1000).unwrap_or(u8::MAX)
}

/// For each of `size` pixels those of `side` that it is made of, with weights that add up to the second value.
fn weights(side: usize, size: usize) -> (Vec<Weights>, u64) {
    if side >= size {
        // In units of 1/size of a source pixel, result i covers i·side to (i + 1)·side.
        let covered = |i: usize| {
            let (from, to) = (i * side, (i + 1) * side);
            let pixels = from / size..to.div_ceil(size);
            let weigh = |k: usize| (k, ((k + 1) * size).min(to) - (k * size).max(from));
            pixels.map(weigh).map(|(k, weight)| (k, weight as u64)).collect()
        };
        ((0..size).map(covered).collect(), side as u64)
    } else {
        // The centre of result i lies at ((2i + 1)·side − size)/(2·size) of the source's centres, held to its edges.
        let between = |i: usize| {
            let last = (side - 1) * 2 * size;
            let place = ((2 * i + 1) * side).saturating_sub(size).min(last);
            let (k, beyond) = (place / (2 * size), place % (2 * size));
            let next = (k + 1).min(side - 1);
            vec![(k, (2 * size - beyond) as u64), (next, beyond as u64)]
        };
        ((0..size).map(between).collect(), 2 * size as u64)
    }
}

//! Crops of generated blobs in sixteen sizes, each with a caption: no download.
//!
//! Images are those of [`Blobs`] on a canvas of 24 × 24. Example i of a split is a crop of it whose height and width are
//! number i mod 16 of {12, 16, 20, 24}², so that sizes are equally frequent, at a uniform place; its caption names
//! its class in one of three ways, drawn uniformly.

use ledger::digest::Digest;
use ledger::order::{bounded, generator};
use ledger::sample::sample_id;

use crate::blobs::Blobs;
use crate::error::DataError;
use crate::sequences::{Part, Parts};

/// Heights, and widths.
pub const SIDES: [usize; 4] = [12, 16, 20, 24];
/// Height and width of the canvas.
pub const CANVAS: usize = 24;
/// Captions of a class.
pub const PARAPHRASES: u32 = 3;

/// An image with its caption.
#[derive(Debug, Clone, PartialEq)]
pub struct Crop {
    /// Which size it has, of [`size`].
    pub group: u32,
    /// Pixels, row by row.
    pub pixels: Vec<f32>,
    /// Its class.
    pub class: u32,
    /// Which of the class's captions it has.
    pub paraphrase: u32,
}

/// Height and width of size number `group`, from 0 to 15.
#[must_use]
pub fn size(group: u32) -> [usize; 2] {
    [group / 4 % 4, group % 4].map(|side| SIDES[side as usize])
}

impl Crop {
    /// The caption, counted over all classes.
    #[must_use]
    pub fn caption(&self) -> u32 {
        self.class * PARAPHRASES + self.paraphrase
    }

    /// The sample id: height and width as a byte each, pixels as f32 LE; the caption is the label.
    #[must_use]
    pub fn id(&self) -> Digest {
        let sides = size(self.group).map(|side| u8::try_from(side).unwrap_or(u8::MAX));
        let pixels = self.pixels.iter().flat_map(|pixel| pixel.to_le_bytes());
        let bytes: Vec<u8> = sides.into_iter().chain(pixels).collect();
        sample_id(&bytes, &self.caption().to_le_bytes())
    }
}

/// Crops of `blobs`, whose size is set to that of the canvas.
///
/// # Errors
/// [`DataError::Setting`] on a setting out of range.
pub fn generate(blobs: &Blobs) -> Result<Parts<Crop>, DataError> {
    let (floats, split) = Blobs { size: CANVAS, ..*blobs }.generate()?;
    let seed = [b"palimpsest/crops/v1".as_slice(), &blobs.seed.to_le_bytes()];
    let mut random = generator(&Digest::of_parts(&seed));
    let mut below = |n: usize| usize::try_from(bounded(&mut random, n as u64)).unwrap_or(0);
    let images: Vec<(&[f32], u8)> =
        floats.values.chunks_exact(CANVAS * CANVAS).zip(floats.labels.iter().copied()).collect();
    let mut part = |positions: &[u32]| -> Part<Crop> {
        let crop = |(place, &position): (u32, &u32)| {
            let (image, class) = images[position as usize];
            let group = place % 16;
            let [height, width] = size(group);
            let (top, left) = (below(CANVAS - height + 1), below(CANVAS - width + 1));
            let paraphrase = below(PARAPHRASES as usize) as u32;
            let rows = image.chunks_exact(CANVAS).skip(top).take(height);
            let pixels = rows.flat_map(|row| &row[left..left + width]).copied().collect();
            Crop { group, pixels, class: class.into(), paraphrase }
        };
        let examples: Vec<Crop> = (0..).zip(positions).map(crop).collect();
        let ids = examples.iter().map(Crop::id).collect();
        Part { examples, ids }
    };
    let train = part(&split.train);
    let validation = part(&split.validation);
    let test = part(&split.test);
    Ok(Parts { train, probe: Part { examples: Vec::new(), ids: Vec::new() }, validation, test })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Blobs {
        Blobs { train: 64, validation: 16, test: 32, ..Blobs::default() }
    }

    #[test]
    fn crops_have_their_sizes_in_turn_and_are_parts_of_their_images() {
        let blobs = small();
        let parts = generate(&blobs).unwrap();
        let (floats, _) = Blobs { size: CANVAS, ..blobs }.generate().unwrap();
        for (place, crop) in parts.train.examples.iter().enumerate() {
            let [height, width] = size(place as u32 % 16);
            assert_eq!(crop.pixels.len(), height * width);
            assert_eq!(crop.class, u32::from(floats.labels[place]));
            let image = &floats.values[place * 576..(place + 1) * 576];
            let at = |top: usize, left: usize| {
                crop.pixels.chunks(width).enumerate().all(|(y, row)| {
                    let start = (top + y) * CANVAS + left;
                    row == &image[start..start + width]
                })
            };
            let found =
                (0..=CANVAS - height).any(|top| (0..=CANVAS - width).any(|left| at(top, left)));
            assert!(found, "crop {place}");
        }
        assert_eq!(size(0), [12, 12]);
        assert_eq!(size(7), [16, 24]);
        assert_eq!(size(15), [24, 24]);
    }

    #[test]
    fn the_data_are_pinned_by_their_first_id_and_captions_are_thirty() {
        let parts = generate(&Blobs { train: 640, ..small() }).unwrap();
        let mut captions: Vec<_> = parts.train.examples.iter().map(Crop::caption).collect();
        captions.sort_unstable();
        captions.dedup();
        assert!(captions.into_iter().eq(0..30));
        let ids = [&parts.train.ids, &parts.validation.ids, &parts.test.ids];
        assert_eq!(ids.map(Vec::len), [640, 16, 32]);
        assert_eq!(generate(&Blobs { train: 640, ..small() }).unwrap(), parts);
        assert_eq!(parts.train.ids[0].short(16), "7b491a21dfbeb775");
    }
}

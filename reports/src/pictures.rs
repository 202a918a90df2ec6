//! Pictures that runs leave to look at: all on one sheet, and on the page.

use base64ct::{Base64, Encoding as _};
use ledger::record::pictures::Pictures;

use crate::ReportError;

/// Pixels of the sheet for one of a picture, along each side.
const ENLARGED: usize = 3;
/// White between pictures.
const GAP: usize = 4;
const WHITE: u8 = 255;
/// What every PNG begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// One PNG with all pictures, a row under the other.
///
/// # Errors
/// When they are no whole rows of whole pictures, or the PNG cannot be made.
pub fn sheet(pictures: &Pictures) -> Result<Vec<u8>, ReportError> {
    let Pictures { columns, height, width, ref pixels } = *pictures;
    let refuse = |reason: String| ReportError::Figure { figure: "pictures".to_owned(), reason };
    let row = columns * height * width;
    if row == 0 || !pixels.len().is_multiple_of(row) || pixels.is_empty() {
        let sizes = format!(
            "{} pixels are no rows of {columns} pictures of {height} × {width}",
            pixels.len()
        );
        return Err(refuse(sizes));
    }
    let rows = pixels.len() / row;
    let across = columns * (width * ENLARGED + GAP) + GAP;
    let down = rows * (height * ENLARGED + GAP) + GAP;
    let mut sheet = vec![WHITE; across * down];
    for (at, picture) in pixels.chunks_exact(height * width).enumerate() {
        let left = GAP + at % columns * (width * ENLARGED + GAP);
        let top = GAP + at / columns * (height * ENLARGED + GAP);
        for (y, line) in
            sheet.chunks_exact_mut(across).skip(top).take(height * ENLARGED).enumerate()
        {
            let from = &picture[y / ENLARGED * width..][..width];
            for (x, pixel) in line[left..left + width * ENLARGED].iter_mut().enumerate() {
                *pixel = from[x / ENLARGED];
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, across as u32, down as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&sheet));
    written.map_err(|error| refuse(error.to_string()))?;
    Ok(bytes)
}

/// A file of pictures as the address of an `img`, where it is a PNG by its first bytes.
pub(crate) fn address(png: &[u8]) -> Option<String> {
    png.starts_with(SIGNATURE)
        .then(|| format!("data:image/png;base64,{}", Base64::encode_string(png)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{html, sample};
    use analysis::summary::ArmPictures;

    #[test]
    fn every_picture_is_on_the_sheet_in_its_place() {
        let pictures = Pictures { columns: 2, height: 1, width: 2, pixels: (1..=8).collect() };
        let bytes = sheet(&pictures).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut sheet = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut sheet).unwrap();
        assert_eq!((info.width, info.height), (24, 18));
        let line = |y: usize| &sheet[y * 24..][..24];
        let (white, pair) = ([WHITE; GAP], |a: u8, b: u8| [a, a, a, b, b, b]);
        let row =
            |a: u8| [&white[..], &pair(a, a + 1), &white, &pair(a + 2, a + 3), &white].concat();
        for y in 0..18 {
            let expected = match y {
                4..=6 => row(1),
                11..=13 => row(5),
                _ => vec![WHITE; 24],
            };
            assert_eq!(line(y), expected, "line {y}");
        }
        assert!(address(&bytes).unwrap().starts_with("data:image/png;base64,iVBOR"));
    }

    #[test]
    fn the_page_shows_the_pictures_of_an_arm_and_nothing_that_only_claims_to_be_some() {
        let page = |png: Vec<u8>| {
            let mut analysis = sample::single_seed();
            let (cell, seed) = ("00112233445566aa".to_owned(), "7".to_owned());
            analysis.workloads[0].arms[0].pictures = Some(ArmPictures { cell, seed, png });
            html::page(&analysis, &crate::Figures::default(), &[], &html::Place::default()).unwrap()
        };
        let pictures = Pictures { columns: 1, height: 1, width: 1, pixels: vec![9] };
        let shown = page(sheet(&pictures).unwrap());
        assert!(shown.contains("<img src=\"data:image/png;base64,iVBOR"));
        assert!(shown.contains("seed 7") && shown.contains("00112233445566aa"));
        let hidden = page(b"<svg onload=alert(1)>".to_vec());
        assert!(!hidden.contains("<img") && !hidden.contains("Pictures at the end"));
    }

    #[test]
    fn pictures_of_no_whole_rows_and_files_that_are_no_png_are_not_shown() {
        for (columns, pixels) in [(2, 7), (0, 4), (2, 0)] {
            let pictures = Pictures { columns, height: 1, width: 2, pixels: vec![0; pixels] };
            let error = sheet(&pictures).unwrap_err().to_string();
            assert!(error.contains(&format!("{pixels} pixels")), "{error}");
        }
        assert_eq!(address(b"<svg onload=alert(1)>"), None);
    }
}

//! Digits: 1,797 handwritten digits of 8 x 8 pixels in 17 grey levels, as scikit-learn ships them
//! (`digits.csv.gz`: 64 pixels of 0 to 16 and a label per line). E. Alpaydin and C. Kaynak,
//! "Optical Recognition of Handwritten Digits", UCI repository, CC BY 4.0.

use std::path::Path;

use crate::error::DataError;
use crate::files::Content;
use crate::raw::Images;

/// Lines in the file.
pub const SAMPLES: usize = 1797;
/// The pixel value of full intensity.
pub const FULL_SCALE: u8 = 16;

const CLASSES: u8 = 10;
const PIXELS: usize = 64;
/// The content has 264,712 bytes.
const CAP: u64 = 1 << 20;

/// The digits in a file's bytes, gzip or not: exactly `samples` lines of 65 numbers.
///
/// # Errors
/// On a broken gzip stream, content above 1 MiB, another number of lines or fields, or a value
/// out of range.
pub fn images(path: &Path, file: &[u8], samples: usize) -> Result<Images, DataError> {
    let content = Content::new(path, file).take_all(CAP)?;
    let mut images = Images {
        pixels: Vec::new(),
        shape: [1, 8, 8],
        labels: Vec::new(),
        classes: CLASSES,
        full_scale: FULL_SCALE,
    };
    let body = content.strip_suffix(b"\n").unwrap_or(&content);
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        append_line(path, index + 1, line, &mut images)?;
    }
    if images.len() != samples {
        return Err(DataError::Dimension {
            path: path.to_path_buf(),
            dimension: "number of lines",
            offset: content.len() as u64,
            found: images.len() as u64,
            expected: samples.to_string(),
        });
    }
    Ok(images)
}

fn append_line(
    path: &Path,
    line: usize,
    bytes: &[u8],
    images: &mut Images,
) -> Result<(), DataError> {
    let refuse = |column: usize, found: &[u8], expected| DataError::Csv {
        path: path.to_path_buf(),
        line,
        column,
        found: String::from_utf8_lossy(found.get(..20).unwrap_or(found)).into_owned(),
        expected,
    };
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let mut fields = 0;
    for (field, column) in bytes.split(|&byte| byte == b',').zip(1..) {
        let number = std::str::from_utf8(field).ok().and_then(|text| text.parse::<u8>().ok());
        match number {
            _ if column > PIXELS + 1 => return Err(refuse(column, field, "the end of the line")),
            Some(pixel) if column <= PIXELS && pixel <= FULL_SCALE => images.pixels.push(pixel),
            Some(label) if column == PIXELS + 1 && label < CLASSES => images.labels.push(label),
            _ if column <= PIXELS => return Err(refuse(column, field, "a pixel of 0 to 16")),
            _ => return Err(refuse(column, field, "a label of 0 to 9")),
        }
        fields = column;
    }
    if fields == PIXELS + 1 {
        return Ok(());
    }
    Err(refuse(fields + 1, b"", "64 pixels and a label"))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::gzip;

    pub(crate) fn csv(lines: usize) -> String {
        let line = |i: usize| {
            let pixels: Vec<String> = (0..64).map(|j| ((i * 7 + j * j) % 17).to_string()).collect();
            format!("{},{}\n", pixels.join(","), i % 10)
        };
        (0..lines).map(line).collect()
    }

    fn parse(text: &str, samples: usize) -> Result<Images, DataError> {
        images(Path::new("d.csv"), text.as_bytes(), samples)
    }

    #[test]
    fn gzip_and_plain_files_load_alike() {
        let plain = parse(&csv(3), 3).unwrap();
        assert_eq!((plain.len(), plain.shape, plain.labels[2]), (3, [1, 8, 8], 2));
        assert_eq!(plain.sample_bytes(0).unwrap()[..5], [0, 1, 4, 9, 16]);
        let packed = gzip(csv(3).as_bytes());
        assert_eq!(images(Path::new("d.csv.gz"), &packed, 3).unwrap(), plain);
        assert_eq!(parse(&csv(3).replace('\n', "\r\n"), 3).unwrap(), plain);
    }

    #[test]
    fn a_bad_value_names_its_line_column_and_text() {
        let text = csv(2).replacen("0,1,4,", "0,17,4,", 1);
        let error = parse(&text, 2).unwrap_err().to_string();
        assert_eq!(error, "d.csv:1:2: \"17\", expected a pixel of 0 to 16; run set-up again");
        let text = csv(2).replacen(",1\n", ",x\n", 1);
        assert!(parse(&text, 2).unwrap_err().to_string().starts_with("d.csv:2:65: \"x\""));
    }

    #[test]
    fn missing_and_surplus_fields_are_refused() {
        let short = csv(1).replacen("0,1,", "", 1);
        assert!(parse(&short, 1).unwrap_err().to_string().contains("expected 64 pixels"));
        let long = csv(1).replacen("0,1,", "0,1,1,", 1);
        assert!(parse(&long, 1).is_err());
        assert!(parse("", 1).is_err());
    }

    #[test]
    fn another_number_of_lines_is_refused() {
        let error = parse(&csv(2), 3).unwrap_err();
        assert!(matches!(error, DataError::Dimension { found: 2, .. }), "{error}");
    }

    proptest! {
        #[test]
        fn a_corrupted_file_never_panics(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            wrapped in any::<bool>(),
        ) {
            let mut bytes = csv(2).into_bytes();
            if wrapped {
                bytes = gzip(&bytes);
            }
            for (place, value) in edits {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Ok(images) = images(Path::new("d"), &bytes, 2) {
                prop_assert!(images.pixels.iter().all(|&pixel| pixel <= 16));
                prop_assert_eq!(images.pixels.len(), 128);
            }
        }
    }
}

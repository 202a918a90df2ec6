//! An image from the bytes of a file, whatever its name ends in.

use super::error::Refusal;
use super::{Picture, of_jpeg, of_png};

/// Most pixels of an image: what a header declares is not believed beyond that.
const MOST_PIXELS: u64 = 1 << 26;

/// What files of other formats start with, after so many bytes.
const OTHERS: [(usize, &[u8], &str); 9] = [
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftyp", "HEIC or AVIF"),
    (0, b"\0\0\0\x0cjP", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"<", "XML or SVG"),
];

/// Decodes a PNG or a JPEG and turns it as its EXIF data say.
///
/// # Errors
/// When it is of another kind, damaged, cut off, too large, animated, transparent, of more than 8 bits a value or of
/// four inks.
pub fn decode(bytes: &[u8]) -> Result<Picture, Refusal> {
    let (picture, orientation) = if bytes.starts_with(of_png::START) {
        of_png::read(bytes)?
    } else if bytes.starts_with(of_jpeg::START) {
        of_jpeg::read(bytes)?
    } else {
        return Err(other(bytes));
    };
    Ok(picture.turned(orientation))
}

/// What a file is that is neither.
fn other(bytes: &[u8]) -> Refusal {
    let remedy = "save it as PNG or JPEG, or take it away";
    if bytes.is_empty() {
        return Refusal { problem: "it is empty".to_owned(), remedy: "save it again" };
    }
    let starts = |(at, start, _): &&(usize, &[u8], &str)| {
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(start))
    };
    let problem = OTHERS.iter().find(starts).map_or_else(
        || {
            let start: Vec<String> =
                bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("it is neither PNG nor JPEG: it starts with {}", start.join(" "))
        },
        |(_, _, name)| format!("it is {name}, whatever its name ends in"),
    );
    Refusal { problem, remedy }
}

/// Refuses sizes that no image of a data set has, before anything is allocated for them.
///
/// # Errors
/// When there is no pixel, or there are too many.
pub fn modest(width: u64, height: u64) -> Result<(), Refusal> {
    let pixels = width.saturating_mul(height);
    if pixels == 0 {
        return Refusal::new(format!("it has {width} x {height} pixels"), "save it again");
    }
    if pixels > MOST_PIXELS {
        return Refusal::new(
            format!("it says it has {width} x {height} pixels, more than {MOST_PIXELS} in all"),
            "save a smaller image",
        );
    }
    Ok(())
}

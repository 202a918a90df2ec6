//! JPEG: baseline or progressive, grey or colour, 8 bits a value.
//!
//! The decoder works as far as it gets on a file that is cut off; so the markers are walked here first, for what has
//! to be refused, the size that is declared and where the image ends.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Picture;
use super::decode::modest;
use super::error::Refusal;
use super::orientation::orientation;

/// What every JPEG starts with.
pub const START: &[u8] = b"\xff\xd8\xff";

const AGAIN: &str = "save it again, or take it away";

/// What the segments before the first scan say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    width: u16,
    height: u16,
    components: u8,
    orientation: u16,
    /// Where the first scan's segment starts.
    scan: usize,
}

/// The image and its EXIF orientation.
///
/// # Errors
/// When it is damaged, cut off, too large, or of a kind that is not read.
pub fn read(bytes: &[u8]) -> Result<(Picture, u16), Refusal> {
    let header = header(bytes)?;
    modest(header.width.into(), header.height.into())?;
    let (space, channels) = match header.components {
        1 => (ColorSpace::Luma, 1),
        3 => (ColorSpace::RGB, 3),
        4 => {
            return Refusal::new(
                "it is of four inks (CMYK)",
                "convert it to RGB and save it again",
            );
        }
        other => return Refusal::new(format!("it has {other} components"), "save it as RGB"),
    };
    // Within a scan 0xff is followed by 0 or a restart: this pair is the end of the image.
    let ends = bytes[header.scan..].windows(2).any(|pair| pair == [0xff, 0xd9]);
    if !ends {
        return Refusal::new(
            format!("it is cut off: its {} bytes end within the image", bytes.len()),
            AGAIN,
        );
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(space);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(|error| Refusal {
        problem: format!("its JPEG is damaged ({error:?})"),
        remedy: AGAIN,
    })?;
    let (width, height) = (usize::from(header.width), usize::from(header.height));
    if pixels.len() != width * height * channels {
        return Refusal::new("its JPEG has not the pixels that it declares", AGAIN);
    }
    Ok((Picture { width, height, channels, pixels }, header.orientation))
}

/// Walks the segments up to the first scan.
fn header(bytes: &[u8]) -> Result<Header, Refusal> {
    let cut = |at: usize| Refusal {
        problem: format!("it is cut off at byte {at}, before its image"),
        remedy: AGAIN,
    };
    let mut found = Header { width: 0, height: 0, components: 0, orientation: 1, scan: 0 };
    // Behind the marker of the start.
    let mut at = 2;
    loop {
        match bytes.get(at) {
            Some(0xff) => {}
            Some(byte) => {
                let problem =
                    format!("byte {at} is {byte:#04x}, where a JPEG marker (0xff) should be");
                return Refusal::new(problem, AGAIN);
            }
            None => return Err(cut(at)),
        }
        let marker = *bytes.get(at + 1).ok_or_else(|| cut(at))?;
        at += match marker {
            // Fill, of which there may be any number.
            0xff => 1,
            0x01 | 0xd0..=0xd7 => 2,
            0xd9 => return Err(cut(at)),
            _ => {
                let length = bytes.get(at + 2..at + 4).ok_or_else(|| cut(at))?;
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                let body = bytes.get(at + 4..at + 2 + length).ok_or_else(|| cut(at))?;
                if marker == 0xda {
                    if found.components == 0 {
                        return Refusal::new("its image comes before its size", AGAIN);
                    }
                    found.scan = at;
                    return Ok(found);
                }
                found.take(marker, body)?;
                2 + length
            }
        };
    }
}

impl Header {
    /// Takes note of a segment.
    fn take(&mut self, marker: u8, body: &[u8]) -> Result<(), Refusal> {
        match (marker, body) {
            (0xc0..=0xc2, [precision, h, eight, w, idth, components, ..]) => {
                if *precision != 8 {
                    return Refusal::new(
                        format!("it has {precision} bits a value"),
                        "save it with 8",
                    );
                }
                self.height = u16::from_be_bytes([*h, *eight]);
                self.width = u16::from_be_bytes([*w, *idth]);
                self.components = *components;
                Ok(())
            }
            // Tables and reserved ones have numbers among the frames.
            (0xc4 | 0xc8 | 0xcc, _) => Ok(()),
            (0xc0..=0xcf, _) => Refusal::new(
                format!("it is coded as JPEG of kind {}, which is not read", marker - 0xc0),
                "save it as baseline or progressive JPEG, or as PNG",
            ),
            (0xe1, [b'E', b'x', b'i', b'f', 0, 0, tiff @ ..]) => {
                self.orientation = orientation(tiff);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

//! PNG: grey, colour or palette of up to 8 bits a value, interlaced or not; alpha where nothing is transparent.

use std::io::Cursor;

use png::{BitDepth, Decoder, Transformations};

use super::Picture;
use super::decode::modest;
use super::error::Refusal;
use super::orientation::orientation;

/// What every PNG starts with.
pub const START: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The image and its EXIF orientation.
///
/// # Errors
/// When it is damaged, cut off, too large, animated, transparent or of 16 bits a value.
pub fn read(bytes: &[u8]) -> Result<(Picture, u16), Refusal> {
    let broken = |error: png::DecodingError| Refusal {
        problem: format!("its PNG is damaged or cut off ({error})"),
        remedy: "save it again, or take it away",
    };
    let mut decoder = Decoder::new(Cursor::new(bytes));
    // Palettes become colours, few bits become eight.
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(broken)?;
    modest(header.width.into(), header.height.into())?;
    if header.bit_depth == BitDepth::Sixteen {
        return Refusal::new("it has 16 bits a value", "save it with 8, scaled as it should be");
    }
    let mut reader = decoder.read_info().map_err(broken)?;
    if let Some(animation) = reader.info().animation_control {
        return Refusal::new(
            format!("it is animated ({} frames)", animation.num_frames),
            "save the frame that counts as an image of its own",
        );
    }
    let Some(size) = reader.output_buffer_size() else {
        return Refusal::new("its PNG declares more than memory holds", "save a smaller image");
    };
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(broken)?;
    pixels.truncate(frame.buffer_size());
    // What follows is read, too: a file that is cut off behind its pixels is damaged all the same.
    reader.finish().map_err(broken)?;
    let turned = reader.info().exif_metadata.as_deref().map_or(1, orientation);
    let (width, height) = (frame.width as usize, frame.height as usize);
    let samples = frame.color_type.samples();
    let channels = if samples >= 3 { 3 } else { 1 };
    if samples != channels {
        pixels = opaque(&pixels, samples, width)?;
    }
    if pixels.len() != width * height * channels {
        return Refusal::new("its PNG has not the pixels that it declares", "save it again");
    }
    Ok((Picture { width, height, channels, pixels }, turned))
}

/// Pixels without their alpha, which is the last of `samples` values.
fn opaque(pixels: &[u8], samples: usize, width: usize) -> Result<Vec<u8>, Refusal> {
    let mut colours = Vec::with_capacity(pixels.len());
    for (at, pixel) in pixels.chunks_exact(samples).enumerate() {
        let [colour @ .., alpha] = pixel else { continue };
        if *alpha != u8::MAX {
            let (row, column) = (at / width.max(1), at % width.max(1));
            return Refusal::new(
                format!("pixel {column} of row {row} is transparent (alpha {alpha} of 255)"),
                "put it on a background and save it without alpha",
            );
        }
        colours.extend_from_slice(colour);
    }
    Ok(colours)
}

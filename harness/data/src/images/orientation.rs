//! How EXIF says that an image is to be turned to be looked at: cameras write what the sensor saw.

use super::Picture;

/// Most entries of a directory that are looked through.
const MOST_ENTRIES: usize = 1 << 10;

/// Entry 0x0112 of the first directory of a TIFF header: 1 to 8, 1 (as it is) where there is none.
#[must_use]
pub fn orientation(tiff: &[u8]) -> u16 {
    let found = || {
        let little = match tiff.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let short = |at: usize| -> Option<u16> {
            let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
        };
        let bytes = tiff.get(4..8)?.try_into().ok()?;
        let first = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        let first = usize::try_from(first).ok()?;
        let entries = usize::from(short(first)?).min(MOST_ENTRIES);
        let entry = (0..entries)
            .filter_map(|entry| first.checked_add(2 + 12 * entry))
            .find(|&entry| short(entry) == Some(0x0112))?;
        // A short stands in the first half of the value's four bytes, whichever end is first.
        short(entry.checked_add(8)?).filter(|value| (1..=8).contains(value))
    };
    found().unwrap_or(1)
}

impl Picture {
    /// Turned and mirrored as an EXIF orientation says.
    #[must_use]
    pub fn turned(self, orientation: u16) -> Self {
        let Self { width, height, channels, .. } = self;
        let (right, down) = (width.saturating_sub(1), height.saturating_sub(1));
        let from: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
            2 => |x, y, right, _| (right - x, y),
            3 => |x, y, right, down| (right - x, down - y),
            4 => |x, y, _, down| (x, down - y),
            5 => |x, y, _, _| (y, x),
            6 => |x, y, _, down| (y, down - x),
            7 => |x, y, right, down| (right - y, down - x),
            8 => |x, y, right, _| (right - y, x),
            _ => return self,
        };
        let (wide, high) = if orientation >= 5 { (height, width) } else { (width, height) };
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..high {
            for x in 0..wide {
                let (column, row) = from(x, y, right, down);
                let at = (row * width + column) * channels;
                pixels.extend_from_slice(&self.pixels[at..at + channels]);
            }
        }
        Self { width: wide, height: high, channels, pixels }
    }
}

//! Images of a user's own: PNG and JPEG in a folder a class, brought to one size and to grey or colour.
//!
//! [`folder`] says which files there are, [`decode`] what one of them shows, [`fit`] what becomes of it. All of it is
//! arithmetic of whole numbers, so that the same files give the same values on every machine.

mod decode;
mod error;
mod fit;
mod folder;
mod of_jpeg;
mod of_png;
mod orientation;

use std::fs::File;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

use ledger::digest::Digest;

use crate::columns::PARSER_THREAD;

pub use decode::decode;
pub use error::{ImageError, Refusal};
pub use fit::{Colours, Fit};
pub use folder::{Folder, ImageFile, Part};

/// Largest file of one image.
const MOST_BYTES: u64 = 64 << 20;
/// Most images that are decoded at once: each may take a few hundred megabytes; a progressive JPEG of the most pixels,
/// whose decoder keeps its coefficients (two bytes for each value) beside them, more than 600.
const MOST_THREADS: usize = 4;

/// A decoded image, 8 bits a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels from left to right.
    pub width: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// 1 (grey), or 3 (red, green, blue).
    pub channels: usize,
    /// Row after row from the top, pixel after pixel from the left, channels last.
    pub pixels: Vec<u8>,
}

/// One image of a folder, as it is trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// SHA-256 of the file.
    pub file: Digest,
    /// Channel by channel, row by row.
    pub pixels: Vec<u8>,
}

/// Reads and fits all files of a folder, in their order.
///
/// # Errors
/// Of the first file, in their order, that cannot be read or is refused.
pub fn read_all(folder: &Folder, fit: Fit) -> Result<Vec<Fitted>, ImageError> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let share = folder.files.len().div_ceil(threads).max(1);
    let parts = thread::scope(|scope| {
        let parts = folder.files.chunks(share).map(|files| {
            let work = move || files.iter().map(|file| read_one(&file.path, fit)).collect();
            thread::Builder::new().name(PARSER_THREAD.to_owned()).spawn_scoped(scope, work)
        });
        // All of them run before the first is waited for.
        let parts: Vec<_> = parts.collect();
        let ended = parts.into_iter().map(|part| {
            let failed = |problem: String| {
                let remedy = "start it again on a machine with more memory";
                Err(ImageError::Folder { path: folder.path.clone(), problem, remedy })
            };
            match part.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(images)) => images,
                Ok(Err(_)) => failed("its images could not be read".to_owned()),
                Err(error) => failed(format!("no thread reads its images ({error})")),
            }
        });
        ended.collect::<Vec<Result<Vec<Fitted>, ImageError>>>()
    });
    let mut all = Vec::with_capacity(folder.files.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

fn read_one(path: &Path, fit: Fit) -> Result<Fitted, ImageError> {
    let refuse = |Refusal { problem, remedy }| ImageError::File {
        path: path.to_path_buf(),
        problem,
        remedy,
    };
    let io = |source| ImageError::Io { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MOST_BYTES {
        let problem = format!("it has more than {MOST_BYTES} bytes");
        return Err(refuse(Refusal { problem, remedy: "save a smaller image" }));
    }
    // Decoders are others' code: what they do not foresee in a damaged file is an error of that file.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(&bytes))).unwrap_or_else(|_| {
        let problem = "its decoder gave up on it".to_owned();
        Err(Refusal { problem, remedy: "open it and save it again, or take it away" })
    });
    let picture = decoded.map_err(refuse)?;
    Ok(Fitted { file: Digest::of(&bytes), pixels: fit.of(&picture) })
}

#[cfg(test)]
#[path = "images/tests.rs"]
mod tests;

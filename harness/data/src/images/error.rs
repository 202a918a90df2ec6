//! What can be wrong with a folder of images, each with the file, the reason and the remedy.

use std::io;
use std::path::PathBuf;

/// Why images could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The operating system refused.
    #[error("{}: {source}; check that it is there and readable", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The folder is not laid out as a folder a class.
    #[error("{}: {problem}; {remedy}", .path.display())]
    Folder {
        /// The folder, or what lies wrongly in it.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// An image that is not taken.
    #[error("{}: {problem}; {remedy}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The same image to train on and to be judged by.
    #[error("{} shows the same as {}, which is of another split; take one of them away", .first.display(), .second.display())]
    Twice {
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// More numbers than are taken into memory.
    #[error(
        "{}: {images} images of {channels} x {size} x {size} are more than {most} numbers; take a smaller size",
        .path.display()
    )]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// How many images.
        images: usize,
        /// Channels of each.
        channels: usize,
        /// Side of each, in pixels.
        size: usize,
        /// Most numbers in all.
        most: usize,
    },
}

/// Why one image is not taken; whoever knows its file adds that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl Refusal {
    /// For short.
    pub fn new<T>(problem: impl Into<String>, remedy: &'static str) -> Result<T, Self> {
        Err(Self { problem: problem.into(), remedy })
    }
}

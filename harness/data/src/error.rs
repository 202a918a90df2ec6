//! What can be wrong with a data file, each with the file, the place, the value and the remedy.

use std::io;
use std::path::PathBuf;

/// Why data could not be found, read or trusted. Texts read after "failed to load `<name>`:".
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The name is not in the catalogue.
    #[error("unknown data {name:?}; did you mean {nearest:?}? known: {known}")]
    UnknownName {
        /// The name as given.
        name: String,
        /// The name most like it.
        nearest: &'static str,
        /// The names that exist, comma-separated.
        known: String,
    },
    /// The data set holds no labelled samples.
    #[error("{name:?} is {kind}, not labelled samples; choose a data set of images")]
    NotSamples {
        /// The name as given.
        name: String,
        /// What it is instead.
        kind: &'static str,
    },
    /// The catalogue has the data set, but nothing here reads it.
    #[error("{name:?} is listed, but has no loader; add one to `load` in harness/data/src/load.rs")]
    NoLoader {
        /// The name as given.
        name: String,
    },
    /// None of the places where the file may be holds it.
    #[error("{file} is missing; looked in {}; {remedy}", list(.looked))]
    Missing {
        /// The file's name.
        file: String,
        /// Every path tried.
        looked: Vec<PathBuf>,
        /// What to do about it.
        remedy: String,
    },
    /// The operating system refused.
    #[error("{}: {source}; check that the path is a readable file", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Something other than a regular file lies at the path.
    #[error("{}: not a regular file; put the data file itself (or a link to it) there", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file or its declared content is larger than any such file may be.
    #[error("{}: {what} is {bytes} bytes, more than the {cap} bytes allowed; fetch the file again", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large: the file, the declared content, an archive member.
        what: String,
        /// Its size in bytes; a lower bound where the excess was found while reading.
        bytes: u64,
        /// The limit in bytes.
        cap: u64,
    },
    /// The gzip wrapping does not decode.
    #[error("{}: gzip stream breaks after {offset} decoded bytes ({source}); fetch the file again", .path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Decoded bytes before the break.
        offset: u64,
        /// The decoder's reason.
        source: io::Error,
    },
    /// Bytes follow the end of the gzip stream.
    #[error("{}: {bytes} bytes follow the end of the gzip stream; fetch the file again", .path.display())]
    GzipTrailing {
        /// The file.
        path: PathBuf,
        /// How many bytes follow.
        bytes: u64,
    },
    /// The first four bytes are not those of the format.
    #[error("{}: magic number {found:#010x} at offset 0, expected {expected:#010x} ({meaning}); is it another file?", .path.display())]
    Magic {
        /// The file.
        path: PathBuf,
        /// The number found.
        found: u32,
        /// The number expected.
        expected: u32,
        /// What the expected number stands for.
        meaning: &'static str,
    },
    /// A declared dimension is not the one this data set has.
    #[error("{}: {dimension} is {found} at offset {offset}, expected {expected}; is it another data set's file?", .path.display())]
    Dimension {
        /// The file.
        path: PathBuf,
        /// Which dimension.
        dimension: &'static str,
        /// Byte offset of the value.
        offset: u64,
        /// The value found.
        found: u64,
        /// The value expected, in words.
        expected: String,
    },
    /// The content is shorter or longer than declared or required.
    #[error("{}: {found} bytes where {expected} are {}; {}", .path.display(), if *.declared { "declared" } else { "required" }, length_remedy(*.found, *.expected))]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes present; where there are more than expected, at least this many.
        found: u64,
        /// Bytes expected.
        expected: u64,
        /// Whether the file's own header declares the expected length.
        declared: bool,
    },
    /// A label is not a class.
    #[error("{}: label {value} at offset {offset}, expected 0 to {}; fetch the file again", .path.display(), .classes.saturating_sub(1))]
    Label {
        /// The file.
        path: PathBuf,
        /// Byte offset in the decoded content.
        offset: u64,
        /// The value found.
        value: u8,
        /// The number of classes.
        classes: u8,
    },
    /// Images and labels do not belong together.
    #[error("{} holds {images} images, {} holds {labels} labels; take both from the same data set", .image_path.display(), .label_path.display())]
    Count {
        /// The images' file.
        image_path: PathBuf,
        /// The labels' file.
        label_path: PathBuf,
        /// Images found.
        images: u64,
        /// Labels found.
        labels: u64,
    },
    /// A line of a CSV file does not parse.
    #[error("{}:{line}:{column}: {found:?}, expected {expected}; run set-up again", .path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Field, from 1.
        column: usize,
        /// The text found.
        found: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// An archive holds what it must not, or lacks what it must hold.
    #[error("{}: member {member:?} {problem}; fetch the archive again", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The member's path, as stored.
        member: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No address gave the published file.
    #[error("no address gave {file}: {}; {kept}with no network, fetch it elsewhere and put it at {}", list_attempts(.attempts), .destination.display(), kept = resume_hint(.partial.as_ref()))]
    Fetch {
        /// The file's path under the data folder.
        file: &'static str,
        /// Where it belongs.
        destination: PathBuf,
        /// Each address tried, with what went wrong.
        attempts: Vec<(String, Problem)>,
        /// The partial download, where one was worth keeping.
        partial: Option<PathBuf>,
    },
    /// A file that is not the published one stands where it should go.
    #[error("{}: not the published file, and not overwritten; move it away, then fetch again", .path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// Another process is fetching the same file.
    #[error("{}: another process is writing it; wait for that one to finish", .path.display())]
    Busy {
        /// The partial download.
        path: PathBuf,
    },
    /// A line of a JSON Lines file does not parse.
    #[error("{}:{line}: {source}; fetch the file again", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The parser's reason, with the column.
        source: serde_json::Error,
    },
    /// A text is not UTF-8.
    #[error("{}: not UTF-8 from offset {offset} on; fetch the file again", .path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte.
        offset: usize,
    },
    /// A file of the user's that holds no column or array that can be read.
    #[error(transparent)]
    Columns(#[from] crate::columns::ColumnError),
    /// A folder of the user's that holds no images that can be read.
    #[error(transparent)]
    Images(#[from] crate::images::ImageError),
    /// A file of the user's that holds no text or tokens that can be read.
    #[error(transparent)]
    Tokens(#[from] crate::tokens::TokenError),
    /// Labels of a file of the user's that nothing can be learnt from.
    #[error("{}: {problem}; {remedy}", .path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Too few samples to carve out the fixed splits.
    #[error(
        "{available} samples cannot give {held_out} held-out samples and a training split; use the whole data set"
    )]
    TooFew {
        /// Samples at hand.
        available: usize,
        /// Samples the validation and test splits take.
        held_out: usize,
    },
    /// A setting of generated data is out of range.
    #[error("{setting} is {found}, expected {expected}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// The value given.
        found: String,
        /// The range.
        expected: &'static str,
    },
}

/// What went wrong at one address.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The request or the transfer failed.
    #[error("{0}")]
    Transfer(Box<ureq::Error>),
    /// The server answered with an error status.
    #[error("status {0}")]
    Status(u16),
    /// The connection ended early.
    #[error("ended after {found} of {expected} bytes")]
    Short {
        /// Bytes at hand.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// More bytes than the published file has.
    #[error("{found} bytes or more, expected at most {cap}")]
    Long {
        /// Bytes announced or received.
        found: u64,
        /// The limit.
        cap: u64,
    },
    /// The download is not the published file.
    #[error("{bytes} bytes that do not match the pinned hash")]
    Hash {
        /// Bytes received.
        bytes: u64,
    },
}

fn list_attempts(attempts: &[(String, Problem)]) -> String {
    let texts: Vec<String> = attempts.iter().map(|(url, why)| format!("{url}: {why}")).collect();
    texts.join(", ")
}

fn resume_hint(partial: Option<&PathBuf>) -> String {
    let kept = |path: &PathBuf| format!("fetching again resumes from {}; ", path.display());
    partial.map(kept).unwrap_or_default()
}

fn list(paths: &[PathBuf]) -> String {
    let texts: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    texts.join(", ")
}

fn length_remedy(found: u64, expected: u64) -> &'static str {
    if found < expected {
        "the file is cut short: fetch it again"
    } else {
        "the file is longer than it may be: fetch it again"
    }
}

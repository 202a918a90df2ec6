//! What can be wrong with a file of numbers, each with the file, the place, the value and the remedy.

use std::io;
use std::path::PathBuf;

/// Why a column of numbers could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// The operating system refused.
    #[error("{}: {source}; check that the path is a readable file", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Something other than a regular file lies at the path.
    #[error("{}: not a regular file; save the numbers to a file and name that", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is of no kind that is read.
    #[error("{}: not a .npy, .csv, .tsv or .parquet file: {found}; {remedy}", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What its first bytes say.
        found: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Parquet readers are not in everyday builds: they take most of a minute.
    #[error(
        "{}: this build reads no Parquet; build with `--features parquet`, as `just install` does, \
         or save the numbers as .npy or .csv",
        .path.display()
    )]
    NoParquet {
        /// The file.
        path: PathBuf,
    },
    /// The file breaks the rules of its own format.
    #[error("{}: not a readable {format} file: {problem}; {remedy}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// `.npy`, `CSV` or `Parquet`.
        format: &'static str,
        /// What is wrong, with its place.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The values are of a type that holds no numbers, or none that is read.
    #[error("{}: the dtype is {dtype}; {remedy}", .path.display())]
    Dtype {
        /// The file, with its column where it has several.
        path: PathBuf,
        /// The type as the file names it.
        dtype: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The array has a shape that is neither a list nor a table.
    #[error("{}: the shape is {shape}; {remedy}", .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The shape as NumPy writes it.
        shape: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// More or fewer bytes than the header declares.
    #[error(
        "{}: {found} bytes of values, but dtype {dtype} and shape {shape} need {expected}; the file is {}: save it again",
        .path.display(), if .found < .expected { "truncated" } else { "followed by other bytes" }
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Type of the values.
        dtype: String,
        /// The shape as NumPy writes it.
        shape: String,
        /// Bytes declared.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// A list in each row, where one number is needed.
    #[error(
        "{}: each row holds a list of numbers, but one number a row is needed: save the mean of each \
         row as a column of its own",
        .path.display()
    )]
    Lists {
        /// The file, with its column.
        path: PathBuf,
    },
    /// The memory for the values is not there.
    #[error("{}: {values} values do not fit into memory; use a machine with more, or a part of the file", .path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// How many values.
        values: u64,
    },
    /// The column is not there, or none was named where there are several.
    #[error("{}: {problem}; its columns: {columns}{hint}", .path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// What is wrong with the name.
        problem: String,
        /// The columns that exist, comma-separated.
        columns: String,
        /// The nearest name, or what to write; starts with `; ` where there is one.
        hint: String,
    },
    /// A cell holds no number.
    #[error("{}: {value:?} at {place} is {what}; {remedy}", .path.display())]
    Cell {
        /// The file, with its column where it has several.
        path: PathBuf,
        /// Line (CSV) or row (others), with its number.
        place: String,
        /// The value as it stands.
        value: String,
        /// What it is instead of a number.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A value that the use at hand cannot take.
    #[error("{}: value {index} (counted from 0) is {value}, which is {what}; {remedy}", .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Its index in the values, rows after rows, from 0.
        index: usize,
        /// The value.
        value: String,
        /// What is wrong with it.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
}

//! Columns of numbers from plain files of any framework: `.npy`, CSV and Parquet.
//!
//! A file is known by its first bytes (`.npy`, Parquet) or, as text, by its extension (`.csv`,
//! `.tsv`). Nothing is allocated on a header's word alone: the sizes a file declares are held
//! against the bytes it has. What Parquet packs may unpack to 64 MiB and a thousand times the file,
//! as constant columns do.

mod array;
mod csv;
mod error;
mod npy;
mod order;
#[cfg(feature = "parquet")]
mod parquet;
mod table;
mod texts;

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use array::{Array, shape_text};
pub use error::ColumnError;
pub use npy::{Element, write_npy, write_npy_table};
pub use order::order_ids;
pub use table::{LabelKind, Table, TableLabels, Wanted, table};
pub use texts::{Ids, Texts, ids};

/// First and last bytes of every Parquet file.
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// Name of threads that parse a Parquet file or decode images. Such parsers may panic on damaged files, as that of
/// Parquet does on a page that needs a dictionary which is not there; a panic on such a thread is told as an error of
/// the file, and a panic hook need not report it.
pub const PARSER_THREAD: &str = "parser of a file";

/// Endings of files that hold columns and are not read.
const UNREAD: [&str; 16] = [
    "gz", "bz2", "xz", "zst", "zip", "npz", "pt", "pth", "pkl", "arrow", "feather", "h5", "hdf5",
    "xlsx", "json", "jsonl",
];

/// Where a column lies: `FILE`, or `FILE:COLUMN` for CSV and Parquet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSource {
    /// The file.
    pub path: PathBuf,
    /// The column's name, where the file has several.
    pub column: Option<String>,
}

impl FromStr for ColumnSource {
    type Err = std::convert::Infallible;

    /// Splits at the first colon that follows `.npy`, `.csv`, `.tsv` or `.parquet`, or the ending of
    /// a file that is not read, so that the message is about that file; other colons belong to the
    /// path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let colons = text.match_indices(':').map(|(at, _)| at);
        let split = colons.into_iter().find(|&at| {
            let path = Path::new(&text[..at]);
            let ending = path.extension().and_then(|ending| ending.to_str());
            let ending = ending.map(str::to_ascii_lowercase).unwrap_or_default();
            extension(path).is_some() || UNREAD.contains(&ending.as_str())
        });
        Ok(match split {
            Some(at) => Self { path: text[..at].into(), column: Some(text[at + 1..].to_owned()) },
            None => Self { path: text.into(), column: None },
        })
    }
}

impl fmt::Display for ColumnSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.column.iter().try_for_each(|column| write!(f, ":{column}"))
    }
}

/// The numbers of a column, rows after rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Whole numbers of any width and sign; those beyond 2^63 - 1 are refused while reading.
    Integers(Vec<i64>),
    /// Floating-point numbers, widened to 64 bits; may hold NaN.
    Floats(Vec<f64>),
}

/// A column of numbers, or a table of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Where it came from, for messages.
    pub source: ColumnSource,
    /// The numbers, row-major.
    pub values: Values,
    /// Rows; for a list the number of values.
    pub rows: usize,
    /// Columns of a table; `None` for a list.
    pub columns: Option<usize>,
}

/// Reads a column.
///
/// # Errors
/// When the file cannot be read, is of no known kind, is broken, truncated or has trailing bytes,
/// lacks the column, or holds anything but numbers; each names the file, the place, the value and
/// the remedy.
pub fn numbers(source: &ColumnSource) -> Result<Column, ColumnError> {
    let path = &source.path;
    let (mut file, length) = open(path)?;
    let column = source.column.as_deref();
    let (values, rows, columns) = match kind(path, &start(path, &mut file)?, length)? {
        Kind::Npy => {
            refuse_column_of_npy(source)?;
            npy::read(path, &mut file, length)?
        }
        Kind::Text { separator } => {
            let values = csv::read(path, (&mut file, length), separator, column)?;
            let rows = values.len();
            (values, rows, None)
        }
        #[cfg(feature = "parquet")]
        Kind::Parquet => {
            let values = parquet::read(path, file, column)?;
            let rows = values.len();
            (values, rows, None)
        }
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => {
            return Err(ColumnError::NoParquet { path: path.clone() });
        }
    };
    Ok(Column { source: source.clone(), values, rows, columns })
}

/// Lists of numbers, one a row, of their own lengths.
#[derive(Debug, Clone, PartialEq)]
pub struct Lists {
    /// The numbers of all lists, one after another.
    pub values: Values,
    /// How many of them each row has, at least one.
    pub lengths: Vec<usize>,
}

/// Reads a column of lists, which only Parquet has.
///
/// # Errors
/// As [`numbers`]; and when the column holds no lists, or a row none.
pub fn lists(source: &ColumnSource) -> Result<Lists, ColumnError> {
    let path = &source.path;
    let (mut file, length) = open(path)?;
    match kind(path, &start(path, &mut file)?, length)? {
        #[cfg(feature = "parquet")]
        Kind::Parquet => parquet::read_lists(path, file, source.column.as_deref()),
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => Err(ColumnError::NoParquet { path: path.clone() }),
        Kind::Npy | Kind::Text { .. } => Err(ColumnError::Dtype {
            path: source.path.clone(),
            dtype: "one number".to_owned(),
            remedy: "lists of numbers are read from Parquet only",
        }),
    }
}

/// A `.npy` file holds one array, which has no name.
fn refuse_column_of_npy(source: &ColumnSource) -> Result<(), ColumnError> {
    let Some(column) = &source.column else { return Ok(()) };
    Err(ColumnError::Column {
        path: source.path.clone(),
        problem: format!("a .npy file has no column {column:?}"),
        columns: "it holds one array".to_owned(),
        hint: "; name the file alone".to_owned(),
    })
}

/// The first bytes of a file, by which its kind is known.
fn start(path: &Path, file: &mut File) -> Result<Vec<u8>, ColumnError> {
    let io = |source| ColumnError::Io { path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    (&mut *file).take(128).read_to_end(&mut bytes).map_err(io)?;
    file.rewind().map_err(io)?;
    Ok(bytes)
}

/// A regular file and its length in bytes.
fn open(path: &Path) -> Result<(File, u64), ColumnError> {
    let io = |source| ColumnError::Io { path: path.to_path_buf(), source };
    // Looked at before opening: opening a named pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(ColumnError::NotAFile { path: path.to_path_buf() });
    }
    Ok((File::open(path).map_err(io)?, metadata.len()))
}

enum Kind {
    Npy,
    Text { separator: u8 },
    Parquet,
}

/// The kind that an extension promises.
fn extension(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "npy" => Some(Kind::Npy),
        "csv" => Some(Kind::Text { separator: b',' }),
        "tsv" => Some(Kind::Text { separator: b'\t' }),
        "parquet" | "pq" => Some(Kind::Parquet),
        _ => None,
    }
}

/// First bytes of files that are often given instead, what they are, and the way out.
const STRANGERS: [(&[u8], &str, &str); 7] = [
    (b"PK\x03\x04", "a zip archive", "unpack it, or save the numbers with numpy.save"),
    (b"\x1f\x8b", "gzip", "unpack it first"),
    (b"(\xb5\x2f\xfd", "Zstandard", "unpack it first"),
    (b"\x89HDF", "HDF5", "save the column with numpy.save"),
    (
        b"\x80",
        "a Python pickle, perhaps of torch.save",
        "pickles can run code and are never read: save the numbers with numpy.save",
    ),
    (b"ARROW1", "an Arrow file", "save it as Parquet"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8"),
];

/// What a zip archive is, by the name of its first member, and the way out.
fn archive(start: &[u8]) -> Option<(&'static str, &'static str)> {
    if !start.starts_with(b"PK\x03\x04") {
        return None;
    }
    let length = usize::from(u16::from_le_bytes([*start.get(26)?, *start.get(27)?]));
    let name = &start[30.min(start.len())..(30 + length).min(start.len())];
    if name.ends_with(b".npy") {
        return Some(("a .npz archive of several arrays", "save the one array with numpy.save"));
    }
    // What torch.save writes: a folder of the file's own name with a pickle and the bytes.
    let torch = [&b"/data.pkl"[..], b"/version", b"/byteorder", b"/.format_version"];
    torch.iter().any(|end| name.ends_with(end)).then_some((
        "a file of torch.save, which holds a Python pickle",
        "pickles can run code and are never read: save the numbers with numpy.save(FILE, tensor.numpy())",
    ))
}

/// The kind of a file: by its first bytes, else by its extension.
fn kind(path: &Path, magic: &[u8], length: u64) -> Result<Kind, ColumnError> {
    if magic.starts_with(npy::MAGIC) {
        return Ok(Kind::Npy);
    }
    if magic.starts_with(PARQUET_MAGIC) {
        return Ok(Kind::Parquet);
    }
    let other =
        |found: String, remedy| Err(ColumnError::Kind { path: path.to_path_buf(), found, remedy });
    if length == 0 {
        return other("it is empty".to_owned(), "write it again");
    }
    if let Some((name, remedy)) = archive(magic) {
        return other(format!("it is {name}"), remedy);
    }
    if let Some((_, name, remedy)) = STRANGERS.iter().find(|(start, ..)| magic.starts_with(start)) {
        return other(format!("it starts like {name}"), remedy);
    }
    match extension(path) {
        Some(text @ Kind::Text { .. }) => Ok(text),
        Some(_) => other(
            format!("it starts with {}", magic[..magic.len().min(8)].escape_ascii()),
            "write it again, or give it the extension of what it is",
        ),
        None => other(
            format!("it starts with {}", magic[..magic.len().min(8)].escape_ascii()),
            "text needs the extension .csv or .tsv",
        ),
    }
}

impl Values {
    /// How many numbers.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Types that ids may have: whole numbers from 0.
pub trait Id: TryFrom<i64> {
    /// The remedy when a value is too large.
    const LARGEST: &'static str;
}

impl Id for u32 {
    const LARGEST: &'static str = "above 4294967295";
}

impl Id for u64 {
    const LARGEST: &'static str = "above 18446744073709551615";
}

impl Column {
    /// How many numbers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The shape as NumPy writes it.
    #[must_use]
    pub fn shape(&self) -> String {
        self.columns.map_or_else(
            || format!("({},)", self.rows),
            |columns| format!("({}, {columns})", self.rows),
        )
    }

    /// The numbers as ids, positions, lengths or symbols: whole and not negative.
    ///
    /// # Errors
    /// When they are floating-point numbers, or one is negative or too large, with its index.
    pub fn as_ids<T: Id>(&self) -> Result<Vec<T>, ColumnError> {
        let values = match &self.values {
            Values::Integers(values) => values,
            Values::Floats(_) => {
                return Err(ColumnError::Dtype {
                    path: self.named(),
                    dtype: "floating point".to_owned(),
                    remedy: "whole numbers are needed: save them with .astype(numpy.int64)",
                });
            }
        };
        let ids = values.iter().enumerate().map(|(index, &value)| {
            T::try_from(value).map_err(|_| ColumnError::Value {
                path: self.named(),
                index,
                value: value.to_string(),
                what: if value < 0 { "negative" } else { T::LARGEST },
                remedy: "give whole numbers from 0",
            })
        });
        ids.collect()
    }

    /// The numbers as 64-bit floating-point numbers.
    ///
    /// # Errors
    /// At the first NaN, or whole number beyond 2^53 that would be rounded, with its index.
    pub fn as_f64(&self) -> Result<Vec<f64>, ColumnError> {
        let refuse = |index, value: &dyn ToString, what, remedy| ColumnError::Value {
            path: self.named(),
            index,
            value: value.to_string(),
            what,
            remedy,
        };
        match &self.values {
            Values::Floats(values) => match values.iter().position(|value| value.is_nan()) {
                None => Ok(values.clone()),
                Some(index) => Err(refuse(
                    index,
                    &f64::NAN,
                    "not a number",
                    "leave its example out everywhere, or compute it again",
                )),
            },
            Values::Integers(values) => match values.iter().position(|&value| !exact(value)) {
                None => Ok(values.iter().map(|&value| value as f64).collect()),
                Some(index) => Err(refuse(
                    index,
                    &values[index],
                    "beyond what 64-bit floating point holds exactly",
                    "subtract a constant first",
                )),
            },
        }
    }

    /// The file, with the column where one was named.
    fn named(&self) -> PathBuf {
        named(&self.source.path, self.source.column.as_deref())
    }
}

/// `FILE` or `FILE:COLUMN`, for messages.
fn named(path: &Path, column: Option<&str>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    if let Some(column) = column {
        name.push(":");
        name.push(column);
    }
    name.into()
}

/// Whether a whole number survives the way to f64.
fn exact(value: i64) -> bool {
    value.unsigned_abs() <= 1 << 53 || value.unsigned_abs().trailing_zeros() >= 11
}

/// An empty vector with room for `values`, where that room is there.
fn room<T>(path: &Path, values: usize) -> Result<Vec<T>, ColumnError> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(values) {
        Ok(()) => Ok(vector),
        Err(_) => Err(ColumnError::Memory { path: path.to_path_buf(), values: values as u64 }),
    }
}

#[cfg(test)]
mod tests;

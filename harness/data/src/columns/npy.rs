//! NumPy's `.npy` format, versions 1 to 3 (numpy.lib.format, NEP 1): magic, version, header length,
//! a Python dictionary of `descr`, `fortran_order` and `shape`, then the values.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use super::array::shape_text;
use super::texts::{self, Distinct};
use super::{ColumnError, Values, room};

mod header;

use header::Header;

/// First bytes of every `.npy` file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header taken: NumPy writes about 80 bytes for a plain array.
const HEADER_CAP: u64 = 1 << 20;
/// Bytes converted at a time; they stay in the second-level cache.
const CHUNK: usize = 1 << 18;

/// The values of a `.npy` file of `length` bytes, with rows and, of a table, columns.
pub(super) fn read(
    path: &Path,
    file: &mut File,
    length: u64,
) -> Result<(Values, usize, Option<usize>), ColumnError> {
    let Layout { encoding, shape, fortran_order, .. } = layout(path, file, length)?;
    let (rows, columns) = match shape[..] {
        [rows] => (rows, None),
        [0, _] | [_, 0] => return Err(empty_table(path, &shape)),
        [rows, columns] => (rows, Some(columns)),
        _ => {
            return Err(ColumnError::Shape {
                path: path.to_path_buf(),
                shape: shape_text(&shape),
                remedy: "a list or a table is needed: save it with .reshape(-1)",
            });
        }
    };
    let count = rows * columns.unwrap_or(1);
    let mut values = encoding.read(path, file, count)?;
    if let (true, Some(columns)) = (fortran_order, columns) {
        values = match values {
            Values::Integers(values) => Values::Integers(row_major(&values, rows, columns)),
            Values::Floats(values) => Values::Floats(row_major(&values, rows, columns)),
        };
    }
    Ok((values, rows, columns))
}

/// No value backs the other length of a table without values: it may say 2^63.
fn empty_table(path: &Path, shape: &[usize]) -> ColumnError {
    ColumnError::Shape {
        path: path.to_path_buf(),
        shape: shape_text(shape),
        remedy: "there is nothing in it: save a table with rows and columns",
    }
}

/// How the values lie in a file that is as long as its header says.
pub(super) struct Layout {
    pub(super) encoding: Encoding,
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    pub(super) fortran_order: bool,
    /// Bytes before the values.
    pub(super) start: u64,
}

/// Reads the header and holds the size it declares against the file's `length` in bytes.
pub(super) fn layout(path: &Path, file: &mut File, length: u64) -> Result<Layout, ColumnError> {
    let (header, start) = header(path, file, length)?;
    let encoding = kind(path, &header.descr)?;
    let shape = held_against(path, &header, encoding.size as u64, length - start)?;
    let (dtype, fortran_order) = (header.descr, header.fortran_order);
    Ok(Layout { encoding, dtype, shape, fortran_order, start })
}

/// The shape, where values of `size` bytes each fill the `found` bytes after the header.
fn held_against(
    path: &Path,
    header: &Header,
    size: u64,
    found: u64,
) -> Result<Vec<usize>, ColumnError> {
    let shape = header.shape_text();
    let count = header.shape.iter().try_fold(1_u64, |count, length| count.checked_mul(*length));
    let expected = count.and_then(|count| count.checked_mul(size));
    let (Some(count), Some(expected)) = (count, expected) else {
        let remedy = "no file is that large: the header is broken, save it again";
        return Err(ColumnError::Shape { path: path.to_path_buf(), shape, remedy });
    };
    if found != expected {
        let (path, dtype) = (path.to_path_buf(), header.descr.clone());
        return Err(ColumnError::Length { path, dtype, shape, expected, found });
    }
    // The file is as long as declared, so that these fit into memory's address space at least.
    let small = |n: &u64| {
        let large = || ColumnError::Memory { path: path.to_path_buf(), values: count };
        usize::try_from(*n).map_err(|_| large())
    };
    header.shape.iter().map(small).collect()
}

/// The texts of a `.npy` file of `length` bytes (dtypes `U` and `S`), with rows and columns of a
/// table.
pub(super) fn read_texts(
    path: &Path,
    file: &mut File,
    length: u64,
) -> Result<(Distinct, Option<(usize, usize)>), ColumnError> {
    let (header, start) = header(path, file, length)?;
    let refuse = || ColumnError::Dtype {
        path: path.to_path_buf(),
        dtype: format!("'{}'", header.descr.chars().take(120).collect::<String>()),
        remedy: "save text with .astype(str)",
    };
    let [order, letter @ (b'U' | b'S'), width @ ..] = header.descr.as_bytes() else {
        return Err(refuse());
    };
    let each = if *letter == b'U' { 4 } else { 1 };
    let width = std::str::from_utf8(width).ok().and_then(|width| width.parse::<u32>().ok());
    let width = width.filter(|width| *width > 0).ok_or_else(refuse)?;
    let size = u64::from(width) * each;
    let shape = held_against(path, &header, size, length - start)?;
    let table = match shape[..] {
        [_] => None,
        [0, _] | [_, 0] => return Err(empty_table(path, &shape)),
        [rows, columns] if !header.fortran_order => Some((rows, columns)),
        _ => {
            return Err(ColumnError::Shape {
                path: path.to_path_buf(),
                shape: shape_text(&shape),
                remedy: "a list, or a table in C order, is needed: save it with numpy.ascontiguousarray",
            });
        }
    };
    let count: usize = shape.iter().product();
    let mut texts = Distinct::default();
    // Without values nothing backs their width.
    let each_bytes = if count > 0 { size as usize } else { 0 };
    let mut bytes = room(path, each_bytes)?;
    bytes.resize(each_bytes, 0);
    let mut text = Vec::new();
    for index in 0..count {
        file.read_exact(&mut bytes)
            .map_err(|source| ColumnError::Io { path: path.to_path_buf(), source })?;
        text.clear();
        let whole = each == 1 || utf8(&bytes, *order == b'>', &mut text);
        if each == 1 {
            text.extend(&bytes);
        }
        let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let pushed = if whole { texts.push(&text[..end]) } else { Err("not Unicode") };
        pushed.map_err(|what| texts::refuse(path, index, &text[..end], what))?;
    }
    Ok((texts, table))
}

/// UTF-32 as UTF-8; false where a number is no character.
fn utf8(bytes: &[u8], big_endian: bool, text: &mut Vec<u8>) -> bool {
    bytes.as_chunks::<4>().0.iter().all(|four| {
        let number = if big_endian { u32::from_be_bytes(*four) } else { u32::from_le_bytes(*four) };
        let Some(letter) = char::from_u32(number) else { return false };
        text.extend(letter.encode_utf8(&mut [0; 4]).bytes());
        true
    })
}

/// A table that lies column after column, laid row after row.
pub(super) fn row_major<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..rows).flat_map(|row| (0..columns).map(move |column| values[column * rows + row])).collect()
}

/// The header and the number of bytes before the values.
fn header(path: &Path, file: &mut File, length: u64) -> Result<(Header, u64), ColumnError> {
    let broken = |problem: String| ColumnError::Malformed {
        path: path.to_path_buf(),
        format: ".npy",
        problem,
        remedy: "save it again with numpy.save",
    };
    let mut read = |bytes: &mut [u8]| {
        file.read_exact(bytes).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => {
                broken(format!("it ends within its header, after {length} bytes"))
            }
            _ => ColumnError::Io { path: path.to_path_buf(), source },
        })
    };
    let mut start = [0; 8];
    read(&mut start)?;
    let (size, before) = match start[6] {
        1 => {
            let mut size = [0; 2];
            read(&mut size)?;
            (u64::from(u16::from_le_bytes(size)), 10)
        }
        2 | 3 => {
            let mut size = [0; 4];
            read(&mut size)?;
            (u64::from(u32::from_le_bytes(size)), 12)
        }
        version => {
            return Err(broken(format!(
                "its format version is {version}.{}, but 1 to 3 are known",
                start[7]
            )));
        }
    };
    if size > HEADER_CAP {
        return Err(broken(format!("its header claims {size} bytes, more than {HEADER_CAP}")));
    }
    let mut text = vec![0; size as usize];
    read(&mut text)?;
    let header = Header::parse(&text)
        .map_err(|problem| broken(format!("{problem} in its header {}", shown(&text))))?;
    Ok((header, before + size))
}

/// The start of a header, for a message.
fn shown(text: &[u8]) -> String {
    let text = text.trim_ascii();
    let start = text.get(..120).unwrap_or(text);
    let dots = if start.len() < text.len() { "..." } else { "" };
    start.escape_ascii().to_string().replace("\\'", "'") + dots
}

/// How a value lies in the file.
#[derive(Debug)]
pub(super) struct Encoding {
    /// `b`, `i`, `u` or `f`.
    letter: u8,
    /// Bytes a value.
    size: usize,
    big_endian: bool,
}

/// The encoding that a dtype names; refuses all but booleans, integers and floating point.
fn kind(path: &Path, descr: &str) -> Result<Encoding, ColumnError> {
    let refuse = |remedy| {
        let dtype = format!("'{}'", descr.chars().take(120).collect::<String>());
        Err(ColumnError::Dtype { path: path.to_path_buf(), dtype, remedy })
    };
    let numeric = "save the numbers with .astype(numpy.int64) or .astype(numpy.float64)";
    if descr.starts_with('[') {
        return refuse("these are records: save one field of them alone");
    }
    let [order, letter, size @ ..] = descr.as_bytes() else { return refuse(numeric) };
    let size = match size {
        b"1" => 1,
        b"2" => 2,
        b"4" => 4,
        b"8" => 8,
        b"16" => 16,
        _ => 0,
    };
    let big_endian = match order {
        b'<' | b'|' => false,
        b'>' => true,
        b'=' => cfg!(target_endian = "big"),
        _ => return refuse(numeric),
    };
    match (letter, size) {
        (b'b', 1) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'f', 2 | 4 | 8) => {
            Ok(Encoding { letter: *letter, size, big_endian })
        }
        (b'O', _) => refuse(
            "objects are Python pickles, which can run code and are never read: save plain numbers with .astype(numpy.float64)",
        ),
        (b'f', 16) => refuse("long doubles are not read: save them with .astype(numpy.float64)"),
        (b'c', _) => refuse("complex numbers have no order: save their real part"),
        (b'S' | b'U' | b'T', _) => {
            refuse("text is not read: save the numbers it spells with .astype(numpy.float64)")
        }
        (b'M' | b'm', _) => refuse("times are not read: save them with .astype(numpy.int64)"),
        (b'V', _) => refuse("save one field of the records alone"),
        _ => refuse(numeric),
    }
}

impl Encoding {
    /// Bytes a value.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Reads `count` values from where the file stands.
    pub(super) fn read(
        &self,
        path: &Path,
        file: &mut File,
        count: usize,
    ) -> Result<Values, ColumnError> {
        /// Reads `count` values of `$type` and widens them.
        macro_rules! values {
            ($variant:ident, $type:ty, $widen:expr) => {
                Values::$variant(if self.big_endian {
                    convert(path, file, count, |bytes| $widen(<$type>::from_be_bytes(bytes)))?
                } else {
                    convert(path, file, count, |bytes| $widen(<$type>::from_le_bytes(bytes)))?
                })
            };
        }
        Ok(match (self.letter, self.size) {
            (b'b', _) => Values::Integers(convert(path, file, count, |[byte]: [u8; 1]| {
                i64::from(byte != 0)
            })?),
            (b'i', 1) => values!(Integers, i8, i64::from),
            (b'i', 2) => values!(Integers, i16, i64::from),
            (b'i', 4) => values!(Integers, i32, i64::from),
            (b'i', _) => values!(Integers, i64, i64::from),
            (b'u', 1) => values!(Integers, u8, i64::from),
            (b'u', 2) => values!(Integers, u16, i64::from),
            (b'u', 4) => values!(Integers, u32, i64::from),
            (b'u', _) => {
                // Those beyond i64 wrap to negative numbers, which no u64 gives otherwise.
                let Values::Integers(values) = values!(Integers, u64, u64::cast_signed) else {
                    return Ok(Values::Integers(Vec::new()));
                };
                if let Some(index) = values.iter().position(|&value| value < 0) {
                    return Err(ColumnError::Value {
                        path: path.to_path_buf(),
                        index,
                        value: values[index].cast_unsigned().to_string(),
                        what: "above 9223372036854775807",
                        remedy: "subtract a constant first",
                    });
                }
                Values::Integers(values)
            }
            (_, 2) => values!(Floats, half::f16, half::f16::to_f64),
            (_, 4) => values!(Floats, f32, f64::from),
            _ => values!(Floats, f64, f64::from),
        })
    }
}

/// Reads `count` values of `SIZE` bytes each, some hundred kilobytes at a time.
fn convert<T, const SIZE: usize>(
    path: &Path,
    file: &mut File,
    count: usize,
    widen: impl Fn([u8; SIZE]) -> T,
) -> Result<Vec<T>, ColumnError> {
    let mut values = room(path, count)?;
    let mut buffer = vec![0; CHUNK.min(count * SIZE)];
    while values.len() < count {
        let take = (count - values.len()).min(CHUNK / SIZE);
        let bytes = &mut buffer[..take * SIZE];
        file.read_exact(bytes)
            .map_err(|source| ColumnError::Io { path: path.to_path_buf(), source })?;
        let (chunks, _) = bytes.as_chunks::<SIZE>();
        values.extend(chunks.iter().map(|&bytes| widen(bytes)));
    }
    Ok(values)
}

/// Types that [`write_npy`] writes.
pub trait Element: Copy {
    /// NumPy's name of the type, little-endian.
    const DESCR: &'static str;
    /// Appends the value, little-endian.
    fn push(self, bytes: &mut Vec<u8>);
}

macro_rules! element {
    ($type:ty, $descr:literal) => {
        impl Element for $type {
            const DESCR: &'static str = $descr;
            fn push(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    };
}
element!(f64, "<f8");
element!(f32, "<f4");
element!(u32, "<u4");

/// Writes a list as `.npy`, version 1.0; whole-file safety (temporary file, rename) is the caller's.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_npy<T: Element>(out: &mut impl Write, values: &[T]) -> io::Result<()> {
    write(out, &format!("({},)", values.len()), values)
}

/// Writes rows of `columns` values each, one after another, as a table.
///
/// # Errors
/// When `out` cannot be written, or the values do not fill whole rows.
pub fn write_npy_table<T: Element>(
    out: &mut impl Write,
    values: &[T],
    columns: usize,
) -> io::Result<()> {
    if columns == 0 || !values.len().is_multiple_of(columns) {
        let reason = format!("{} values do not fill rows of {columns}", values.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    write(out, &format!("({}, {columns})", values.len() / columns), values)
}

fn write<T: Element>(out: &mut impl Write, shape: &str, values: &[T]) -> io::Result<()> {
    let dictionary =
        format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", T::DESCR);
    // Header and values start at multiples of 64 bytes; a line feed ends the header.
    let size = (10 + dictionary.len() + 1).next_multiple_of(64) - 10;
    let header = format!("{dictionary:width$}\n", width = size - 1);
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    // At most 10 + 118 bytes: two numbers of 20 digits.
    out.write_all(&(size as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut bytes = Vec::with_capacity(CHUNK.min(size_of_val(values)));
    for chunk in values.chunks(CHUNK / size_of::<T>()) {
        bytes.clear();
        chunk.iter().for_each(|value| value.push(&mut bytes));
        out.write_all(&bytes)?;
    }
    Ok(())
}

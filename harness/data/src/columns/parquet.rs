//! One column of a Parquet file, without nulls: booleans, integers, floating point, lists of them, or
//! text. Checksums of pages are held against the pages where a file has them.

use std::fs::File;
use std::path::Path;

use ::parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{DataType, FixedLenByteArray};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;

use super::csv::nearest;
use super::texts::{self, Distinct, NOT_A_NUMBER};
use super::{ColumnError, Lists, PARSER_THREAD, Values, named};

mod guard;

/// Rows decoded at a time.
const BATCH: usize = 1 << 16;
/// Names decoded at a time: by their encoding each may repeat most of a page.
const NAMES: usize = 1 << 8;

/// The numbers of a column; without a name, of the only one.
pub(super) fn read(path: &Path, file: File, column: Option<&str>) -> Result<Values, ColumnError> {
    Ok(apart(path, || decode(path, file, column, false))?.values)
}

/// The numbers of a column of lists.
pub(super) fn read_lists(
    path: &Path,
    file: File,
    column: Option<&str>,
) -> Result<Lists, ColumnError> {
    apart(path, || decode(path, file, column, true))
}

/// The names of all columns.
pub(super) fn names(path: &Path, file: File) -> Result<Vec<String>, ColumnError> {
    apart(path, || {
        let (reader, _) = open(path, file)?;
        let schema = reader.metadata().file_metadata().schema_descr();
        Ok(schema.columns().iter().map(|leaf| name(leaf)).collect())
    })
}

/// The texts of a column.
pub(super) fn read_texts(
    path: &Path,
    file: File,
    column: Option<&str>,
) -> Result<Distinct, ColumnError> {
    apart(path, || decode_texts(path, file, column))
}

/// Parses on a thread of its own.
fn apart<T: Send>(
    path: &Path,
    parse: impl FnOnce() -> Result<T, ColumnError> + Send,
) -> Result<T, ColumnError> {
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().name(PARSER_THREAD.to_owned());
        let parser = parser
            .spawn_scoped(scope, parse)
            .map_err(|source| ColumnError::Io { path: path.to_path_buf(), source })?;
        parser.join().unwrap_or_else(|_| Err(malformed(path, "its pages contradict each other")))
    })
}

/// A file whose pages are held against its length before they are unpacked.
struct Guarded {
    file: File,
    length: u64,
    spent: guard::Spent,
}

impl Guarded {
    /// Looks at the pages of a column in one row group.
    fn check(&mut self, path: &Path, range: (u64, u64)) -> Result<(), ColumnError> {
        let Self { file, length, spent } = self;
        guard::check_pages(file, *length, range, spent).map_err(|problem| malformed(path, &problem))
    }
}

/// The parser of a file whose footer holds, and the file beside it.
fn open(path: &Path, mut file: File) -> Result<(SerializedFileReader<File>, Guarded), ColumnError> {
    let io = |source| ColumnError::Io { path: path.to_path_buf(), source };
    let length = file.metadata().map_err(io)?.len();
    guard::check_footer(&mut file, length).map_err(|problem| malformed(path, &problem))?;
    // A handle of its own: a copy of one would share its place in the file.
    let beside = File::open(path).map_err(io)?;
    let reader =
        SerializedFileReader::new(file).map_err(|error| malformed(path, &error.to_string()))?;
    Ok((reader, Guarded { file: beside, length, spent: guard::Spent::default() }))
}

/// Whether a column holds a list in each row.
fn is_list(leaf: &ColumnDescriptor) -> bool {
    leaf.max_rep_level() == 1 && leaf.path().parts().len() <= 3
}

/// The name of a leaf; of a list, that of its column.
fn name(leaf: &ColumnDescriptor) -> String {
    match leaf.path().parts() {
        [first, ..] if is_list(leaf) => first.clone(),
        _ => leaf.path().string(),
    }
}

fn decode_texts(path: &Path, file: File, column: Option<&str>) -> Result<Distinct, ColumnError> {
    let broken = |error: ParquetError| malformed(path, &error.to_string());
    let (reader, mut guarded) = open(path, file)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<String> = schema.columns().iter().map(|leaf| name(leaf)).collect();
    let index = locate(path, &names, column)?;
    let leaf = schema.column(index);
    let text = matches!(leaf.logical_type_ref(), Some(LogicalType::String))
        || leaf.converted_type() == ConvertedType::UTF8;
    if !text || leaf.max_rep_level() > 0 || leaf.path().parts().len() > 1 {
        let path = named(path, Some(&names[index]));
        let dtype = leaf.physical_type().to_string();
        return Err(ColumnError::Dtype { path, dtype, remedy: "write the names as strings" });
    }
    let mut texts = Distinct::default();
    let mut spent = 0_u64;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(broken)?;
        guarded.check(path, group.metadata().column(index).byte_range())?;
        let before = texts.len();
        let ColumnReader::ByteArrayColumnReader(mut reader) =
            group.get_column_reader(index).map_err(broken)?
        else {
            return Err(malformed(path, "its values are not of the type its schema declares"));
        };
        let (mut levels, mut batch) = (Vec::new(), Vec::new());
        loop {
            levels.clear();
            batch.clear();
            let read = reader.read_records(NAMES, Some(&mut levels), None, &mut batch);
            let (rows, ..) = read.map_err(broken)?;
            if rows == 0 {
                break;
            }
            if let Some(at) = levels.iter().position(|&level| level < leaf.max_def_level()) {
                return Err(ColumnError::Cell {
                    path: named(path, Some(&names[index])),
                    place: format!("row {} (counted from 0)", texts.len() + at),
                    value: "null".to_owned(),
                    what: "no text",
                    remedy: "leave that row out everywhere",
                });
            }
            for value in &batch {
                let index = texts.len();
                spent = spent.saturating_add(value.data().len() as u64);
                if spent > guard::most(guarded.length) {
                    let problem = format!(
                        "its names come to more than {spent} bytes, out of proportion to a file of {} bytes",
                        guarded.length
                    );
                    return Err(malformed(path, &problem));
                }
                let pushed = texts.push(value.data());
                pushed.map_err(|what| texts::refuse(path, index, value.data(), what))?;
            }
        }
        require_rows(path, texts.len() - before, group.metadata().num_rows())?;
    }
    Ok(texts)
}

/// A row group has the rows that it declares.
fn require_rows(path: &Path, found: usize, declared: i64) -> Result<(), ColumnError> {
    if i64::try_from(found) == Ok(declared) {
        return Ok(());
    }
    Err(malformed(path, &format!("a row group declares {declared} rows and has {found}")))
}

/// The numbers of a column, of a list in each row where `lists` are wanted.
fn decode(
    path: &Path,
    file: File,
    column: Option<&str>,
    lists: bool,
) -> Result<Lists, ColumnError> {
    let broken = |error: ParquetError| malformed(path, &error.to_string());
    let (reader, mut guarded) = open(path, file)?;
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema_descr();
    let names: Vec<String> = schema.columns().iter().map(|leaf| name(leaf)).collect();
    let index = locate(path, &names, column)?;
    let leaf = schema.column(index);
    match (lists, is_list(&leaf)) {
        (false, true) => {
            return Err(ColumnError::Lists { path: named(path, Some(&names[index])) });
        }
        (true, false) => {
            return Err(ColumnError::Dtype {
                path: named(path, Some(&names[index])),
                dtype: leaf.physical_type().to_string(),
                remedy: "it holds no lists",
            });
        }
        _ => {}
    }
    let kind = kind(path, &leaf)?;
    let mut numbers = Numbers {
        path,
        name: &names[index],
        leaf: &leaf,
        rows: 0,
        values: kind.empty(),
        lengths: lists.then(Vec::new),
    };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(broken)?;
        guarded.check(path, group.metadata().column(index).byte_range())?;
        let before = numbers.rows;
        let read = match group.get_column_reader(index).map_err(broken)? {
            ColumnReader::BoolColumnReader(reader) => {
                numbers.extend(reader, |&value| kind.integer(value.into()))
            }
            ColumnReader::Int32ColumnReader(reader) => {
                numbers.extend(reader, |&value| kind.integer(kind.widen(value)))
            }
            ColumnReader::Int64ColumnReader(reader) => {
                numbers.extend(reader, |&value| kind.integer(value))
            }
            ColumnReader::FloatColumnReader(reader) => {
                numbers.extend(reader, |&value| Ok(One::Float(value.into())))
            }
            ColumnReader::DoubleColumnReader(reader) => {
                numbers.extend(reader, |&value| Ok(One::Float(value)))
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => numbers.extend(reader, half),
            _ => Err(malformed(path, "its values are not of the type its schema declares")),
        };
        read?;
        require_rows(path, numbers.rows - before, group.metadata().num_rows())?;
    }
    Ok(Lists { values: numbers.values, lengths: numbers.lengths.unwrap_or_default() })
}

fn malformed(path: &Path, problem: &str) -> ColumnError {
    ColumnError::Malformed {
        path: path.to_path_buf(),
        format: "Parquet",
        problem: problem.to_owned(),
        remedy: "the file may be truncated or damaged: write it again, compressed with snappy, zstd, lz4, gzip or nothing",
    }
}

fn locate(path: &Path, names: &[String], column: Option<&str>) -> Result<usize, ColumnError> {
    let refuse = |problem: String, hint: String| {
        let columns = names.join(", ");
        Err(ColumnError::Column { path: path.to_path_buf(), problem, columns, hint })
    };
    match (column, names) {
        (None, [_]) => Ok(0),
        (None, _) => {
            let example = names.first().map(String::as_str).unwrap_or_default();
            let hint = format!("; name one: {}:{example}", path.display());
            refuse(format!("it has {} columns", names.len()), hint)
        }
        (Some(column), _) => {
            let mut found = (0..names.len()).filter(|&index| names[index] == column);
            match (found.next(), found.count()) {
                (Some(index), 0) => Ok(index),
                (None, _) => {
                    refuse(format!("there is no column {column:?}"), nearest(column, names))
                }
                (Some(_), more) => {
                    refuse(format!("{} columns are named {column:?}", more + 1), String::new())
                }
            }
        }
    }
}

/// What the stored values mean.
#[derive(Clone, Copy)]
enum Meaning {
    Signed,
    Unsigned,
    Float,
}

enum One {
    Integer(i64),
    Float(f64),
}

impl Meaning {
    fn empty(self) -> Values {
        match self {
            Self::Float => Values::Floats(Vec::new()),
            _ => Values::Integers(Vec::new()),
        }
    }

    /// A stored 32-bit value; unsigned ones are stored as their bits.
    fn widen(self, value: i32) -> i64 {
        match self {
            Self::Unsigned => value.cast_unsigned().into(),
            _ => value.into(),
        }
    }

    /// Refuses, with its digits, an unsigned value beyond i64.
    fn integer(self, value: i64) -> Result<One, String> {
        match self {
            Self::Unsigned if value < 0 => Err(value.cast_unsigned().to_string()),
            _ => Ok(One::Integer(value)),
        }
    }
}

fn half(value: &FixedLenByteArray) -> Result<One, String> {
    let bytes = value.data().try_into().map_err(|_| format!("{:?}", value.data()))?;
    Ok(One::Float(::half::f16::from_le_bytes(bytes).to_f64()))
}

/// What the column's values mean; refuses all but flat columns of booleans, integers and floats.
fn kind(path: &Path, leaf: &ColumnDescriptor) -> Result<Meaning, ColumnError> {
    let physical = leaf.physical_type();
    let logical = leaf.logical_type_ref();
    let converted = leaf.converted_type();
    let refuse = |remedy| {
        let dtype = match (logical, converted) {
            (Some(logical), _) => format!("{physical} ({logical:?})"),
            (None, ConvertedType::NONE) => physical.to_string(),
            (None, converted) => format!("{physical} ({converted})"),
        };
        let path = named(path, Some(&leaf.path().string()));
        Err(ColumnError::Dtype { path, dtype, remedy })
    };
    if !is_list(leaf) && (leaf.max_rep_level() > 0 || leaf.path().parts().len() > 1) {
        return refuse("nested columns are not read: write the numbers as a column of their own");
    }
    let numbers = "write the numbers as integers, or as 32- or 64-bit floating point";
    match (physical, logical, converted) {
        (Physical::BOOLEAN, ..) => Ok(Meaning::Signed),
        (Physical::FLOAT | Physical::DOUBLE, None, ConvertedType::NONE) => Ok(Meaning::Float),
        (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16), _)
            if leaf.type_length() == 2 =>
        {
            Ok(Meaning::Float)
        }
        (Physical::INT32 | Physical::INT64, Some(LogicalType::Integer(integer)), _) => {
            Ok(if integer.is_signed { Meaning::Signed } else { Meaning::Unsigned })
        }
        (Physical::INT32 | Physical::INT64, None, converted) => match converted {
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64 => Ok(Meaning::Signed),
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Ok(Meaning::Unsigned),
            _ => refuse(numbers),
        },
        _ => refuse(numbers),
    }
}

/// Numbers so far, over the row groups.
struct Numbers<'a> {
    path: &'a Path,
    name: &'a str,
    leaf: &'a ColumnDescriptor,
    rows: usize,
    values: Values,
    /// How many values each row has, where rows are lists.
    lengths: Option<Vec<usize>>,
}

impl Numbers<'_> {
    /// Appends all values of a row group's column.
    fn extend<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        number: impl Fn(&T::T) -> Result<One, String>,
    ) -> Result<(), ColumnError> {
        let required = self.leaf.max_def_level();
        let mut levels = Vec::new();
        let mut begins = Vec::new();
        let mut batch = Vec::new();
        loop {
            levels.clear();
            begins.clear();
            batch.clear();
            let lists = self.lengths.is_some().then_some(&mut begins);
            let read = reader.read_records(BATCH, Some(&mut levels), lists, &mut batch);
            let (rows, ..) = read.map_err(|error| malformed(self.path, &error.to_string()))?;
            if rows == 0 {
                return Ok(());
            }
            let places = if self.lengths.is_some() { levels.len() } else { rows };
            if required > 0
                && let Some(at) = levels.iter().position(|&level| level < required)
            {
                let (at, what) = match &self.lengths {
                    None => (at, NOT_A_NUMBER),
                    // Level 0 begins a row.
                    Some(_) => {
                        let row = begins.iter().take(at + 1).filter(|&&level| level == 0).count();
                        (row.saturating_sub(1), "a list without numbers, or with one missing")
                    }
                };
                return Err(self.cell(at, "null", what, "leave that row out everywhere"));
            }
            if batch.len() != places {
                let problem =
                    format!("{rows} rows from row {} on hold {} values", self.rows, batch.len());
                return Err(malformed(self.path, &problem));
            }
            if let Some(lengths) = &mut self.lengths {
                for &level in &begins {
                    match lengths.last_mut() {
                        Some(last) if level > 0 => *last += 1,
                        _ => lengths.push(1),
                    }
                }
            }
            for (at, value) in batch.iter().enumerate() {
                let remedy = "subtract a constant first";
                let one = number(value)
                    .map_err(|value| self.cell(at, &value, "beyond 64-bit integers", remedy))?;
                match (one, &mut self.values) {
                    (One::Integer(value), Values::Integers(values)) => values.push(value),
                    (One::Float(value), Values::Floats(values)) => values.push(value),
                    _ => {
                        return Err(malformed(
                            self.path,
                            "its values are not of the type its schema declares",
                        ));
                    }
                }
            }
            self.rows += rows;
        }
    }

    /// Refuses the value `at` rows into the batch.
    fn cell(
        &self,
        at: usize,
        value: &str,
        what: &'static str,
        remedy: &'static str,
    ) -> ColumnError {
        ColumnError::Cell {
            path: named(self.path, Some(self.name)),
            place: format!("row {} (counted from 0)", self.rows + at),
            value: value.to_owned(),
            what,
            remedy,
        }
    }
}

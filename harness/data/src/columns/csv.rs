//! One column of a CSV or TSV file (RFC 4180: quotes, line ends of either kind; a byte-order mark
//! is skipped).

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::num::IntErrorKind;
use std::path::Path;

use ::csv::{ByteRecord, ErrorKind, Position, Reader, ReaderBuilder};

use super::texts::{Distinct, NOT_A_NUMBER};
use super::{ColumnError, Values, exact, named};

const FORMAT: &str = "CSV";
/// Bytes read at a time.
const BUFFER: u64 = 1 << 18;
/// What to do about a cell that holds nothing of use.
const REMEDY: &str = "leave that row out everywhere, or mend it";

/// The numbers of a column; without a name, of the only one.
pub(super) fn read(
    path: &Path,
    file: (&mut File, u64),
    separator: u8,
    column: Option<&str>,
) -> Result<Values, ColumnError> {
    let mut rows = Rows::open(path, file, separator, column)?;
    let mut numbers = Numbers { path, column, values: Values::Integers(Vec::new()), whole: 0 };
    // A lone column may come without a name.
    let first = rows.cell().trim_ascii().to_vec();
    let nameless = column.is_none() && parse(&first).is_ok();
    if nameless {
        numbers.push(rows.cell(), rows.position())?;
    }
    while rows.advance()? {
        numbers.push(rows.cell(), rows.position())?;
    }
    if nameless && may_be_a_name(&first, &numbers) {
        let first = String::from_utf8_lossy(&first).into_owned();
        return Err(ColumnError::Column {
            path: path.to_path_buf(),
            problem: format!("its first line is {first}, which may be a header or a value"),
            hint: format!(
                "; name the column ({}:{first}) if it is a header, else put a line with a name above \
                 it",
                path.display()
            ),
            columns: first,
        });
    }
    Ok(numbers.values)
}

/// Whether the first line of a lone column without a name may be its header: pandas writes the
/// numbers of nameless columns as headers.
///
/// It is a whole number among fractions only, or one digit. That a digit is a value is plain where
/// the lines are the numbers from 0 or 1 on, each once, as in an order.
fn may_be_a_name(first: &[u8], numbers: &Numbers<'_>) -> bool {
    if !matches!(parse(first), Ok(Number::Integer(_))) {
        return false;
    }
    let among_fractions = numbers.whole == 1 && numbers.values.len() > 1;
    let digit = matches!(first, [byte] if byte.is_ascii_digit());
    among_fractions || digit && !counts(&numbers.values)
}

/// Whether these are the numbers from 0 or 1 on, each once.
fn counts(values: &Values) -> bool {
    let Values::Integers(values) = values else { return false };
    let mut sorted = values.clone();
    sorted.sort_unstable();
    let start = sorted.first().copied().unwrap_or(0);
    matches!(start, 0 | 1) && sorted.iter().zip(start..).all(|(value, expected)| *value == expected)
}

/// The texts of a named column.
pub(super) fn read_texts(
    path: &Path,
    file: (&mut File, u64),
    separator: u8,
    column: Option<&str>,
) -> Result<Distinct, ColumnError> {
    let mut rows = Rows::open(path, file, separator, column)?;
    if column.is_none() {
        let first = String::from_utf8_lossy(rows.cell()).into_owned();
        return Err(ColumnError::Column {
            path: path.to_path_buf(),
            problem: "it holds text, whose first line may be a header or a value".to_owned(),
            hint: format!(
                "; name the column ({}:{first}) if it is a header, else put a line with a name above \
                 it",
                path.display()
            ),
            columns: first,
        });
    }
    let mut texts = Distinct::default();
    while rows.advance()? {
        texts.push(rows.cell()).map_err(|what| ColumnError::Cell {
            path: named(path, column),
            place: line(path, rows.position()),
            value: String::from_utf8_lossy(rows.cell()).chars().take(40).collect(),
            what,
            remedy: REMEDY,
        })?;
    }
    Ok(texts)
}

/// The rows of a file, and which of their cells is wanted.
struct Rows<'a> {
    path: &'a Path,
    reader: Reader<&'a mut File>,
    record: ByteRecord,
    index: usize,
    /// Whether there is no other column.
    lone: bool,
}

impl<'a> Rows<'a> {
    /// Reads the first row, which the names are in.
    fn open(
        path: &'a Path,
        (file, length): (&'a mut File, u64),
        separator: u8,
        column: Option<&str>,
    ) -> Result<Self, ColumnError> {
        let mut reader = ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .buffer_capacity(length.min(BUFFER) as usize)
            .from_reader(file);
        let mut record = ByteRecord::new();
        if !next(path, &mut reader, &mut record)? {
            return Err(ColumnError::Malformed {
                path: path.to_path_buf(),
                format: FORMAT,
                problem: "it has no rows".to_owned(),
                remedy: "write it again",
            });
        }
        let text = |name: &[u8]| String::from_utf8_lossy(name.trim_ascii()).into_owned();
        let names: Vec<String> = record.iter().map(text).collect();
        let index = locate(path, separator, &names, column)?;
        Ok(Self { path, reader, record, index, lone: names.len() == 1 })
    }

    /// The next row; false at the end.
    fn advance(&mut self) -> Result<bool, ColumnError> {
        let before = self.reader.position().line();
        if !next(self.path, &mut self.reader, &mut self.record)? {
            return Ok(false);
        }
        // The parser skips empty lines; in a lone column one may stand for a missing value.
        if self.lone && self.reader.position().line() - before > 1 {
            return Err(ColumnError::Malformed {
                path: self.path.to_path_buf(),
                format: FORMAT,
                problem: format!(
                    "before {} there is an empty line, or a line end of another kind",
                    line(self.path, self.position())
                ),
                remedy: REMEDY,
            });
        }
        Ok(true)
    }

    fn cell(&self) -> &[u8] {
        &self.record[self.index]
    }

    fn position(&self) -> Option<&Position> {
        self.record.position()
    }
}

/// The next row; false at the end.
pub(super) fn next(
    path: &Path,
    reader: &mut Reader<&mut File>,
    record: &mut ByteRecord,
) -> Result<bool, ColumnError> {
    reader.read_byte_record(record).map_err(|error| {
        let text = error.to_string();
        match error.into_kind() {
            ErrorKind::Io(source) => ColumnError::Io { path: path.to_path_buf(), source },
            ErrorKind::UnequalLengths { pos, expected_len, len } => ColumnError::Malformed {
                path: path.to_path_buf(),
                format: FORMAT,
                problem: format!(
                    "{} has {len} fields, but the first row has {expected_len}",
                    line(path, pos.as_ref())
                ),
                remedy: "mend that line, or quote fields that hold a separator",
            },
            _ => ColumnError::Malformed {
                path: path.to_path_buf(),
                format: FORMAT,
                problem: text,
                remedy: "write it again",
            },
        }
    })
}

/// The line on which a row starts. The parser's own count lags behind where lines end as on
/// Windows, and at empty lines, so that the line ends up to the row are counted here.
pub(super) fn line(path: &Path, position: Option<&Position>) -> String {
    let counted = position.and_then(|position| {
        let mut bytes = BufReader::new(File::open(path).ok()?).bytes();
        let mut lines = 1_u64;
        let mut last = b' ';
        for at in 0.. {
            let byte = bytes.next()?.ok()?;
            if at >= position.byte() && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            lines += u64::from(byte == b'\r' || (byte == b'\n' && last != b'\r'));
            last = byte;
        }
        Some(lines)
    });
    counted.map_or_else(|| "a line".to_owned(), |line| format!("line {line}"))
}

/// The index of the column among the names.
fn locate(
    path: &Path,
    separator: u8,
    names: &[String],
    column: Option<&str>,
) -> Result<usize, ColumnError> {
    let refuse = |problem: String, hint: String| ColumnError::Column {
        path: path.to_path_buf(),
        problem,
        columns: names.join(", "),
        hint,
    };
    let Some(column) = column else {
        return match names {
            [_] => Ok(0),
            _ => {
                let example = names.first().map(String::as_str).unwrap_or_default();
                let hint = format!("; name one: {}:{example}", path.display());
                Err(refuse(format!("it has {} columns", names.len()), hint))
            }
        };
    };
    let found: Vec<usize> = (0..names.len()).filter(|&index| names[index] == column).collect();
    let is_number = |name: &String| parse(name.as_bytes()).is_ok();
    let is_count = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let data = names.iter().all(is_number) && !names.iter().all(is_count);
    match found[..] {
        [_] if data => Err(refuse(
            format!("its first row holds numbers, and {column:?} is one of them"),
            "; add a row of names".to_owned(),
        )),
        [index] => Ok(index),
        [] => {
            let wrong_separator = names.iter().any(|name| name.contains([';', '\t']));
            let hint = if wrong_separator {
                format!("; fields must be separated by {:?}", char::from(separator))
            } else if names.iter().all(is_number) {
                "; the first row holds numbers: add a row of names".to_owned()
            } else {
                nearest(column, names)
            };
            Err(refuse(format!("there is no column {column:?}"), hint))
        }
        _ => Err(refuse(format!("{} columns are named {column:?}", found.len()), String::new())),
    }
}

/// The nearest name, where there is one like it.
pub(super) fn nearest(column: &str, names: &[String]) -> String {
    let column = column.to_lowercase();
    let like = |name: &String| strsim::jaro_winkler(&name.to_lowercase(), &column);
    let best = names.iter().map(|name| (like(name), name));
    best.max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(like, _)| *like > 0.7)
        .map(|(_, name)| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

/// What a cell says.
enum Number {
    Integer(i64),
    Float(f64),
}

/// The number that a cell holds, or what it is instead.
pub(super) fn number(cell: &[u8]) -> Result<f64, &'static str> {
    match parse(cell) {
        Ok(Number::Integer(value)) => Ok(value as f64),
        Ok(Number::Float(value)) => Ok(value),
        Err(NoNumber(what, _)) => Err(what),
    }
}

/// Why a cell is no number.
struct NoNumber(&'static str, &'static str);

fn parse(cell: &[u8]) -> Result<Number, NoNumber> {
    let no_number = Err(NoNumber(NOT_A_NUMBER, REMEDY));
    let Ok(text) = std::str::from_utf8(cell) else { return no_number };
    match text.parse() {
        Ok(integer) => return Ok(Number::Integer(integer)),
        Err(error) => {
            let error: std::num::ParseIntError = error;
            match error.kind() {
                IntErrorKind::Empty => return Err(NoNumber("empty", REMEDY)),
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => {
                    return Err(NoNumber("beyond 64-bit integers", "subtract a constant first"));
                }
                _ => {}
            }
        }
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_nan() => no_number,
        Ok(float) => Ok(Number::Float(float)),
        Err(_) => no_number,
    }
}

/// Numbers so far: whole ones until the first that is not.
struct Numbers<'a> {
    path: &'a Path,
    column: Option<&'a str>,
    values: Values,
    /// How many of them were written as whole numbers.
    whole: usize,
}

impl Numbers<'_> {
    fn push(&mut self, cell: &[u8], position: Option<&Position>) -> Result<(), ColumnError> {
        let refuse = |NoNumber(what, remedy)| ColumnError::Cell {
            path: named(self.path, self.column),
            place: line(self.path, position),
            value: String::from_utf8_lossy(cell).chars().take(40).collect(),
            what,
            remedy,
        };
        let rounded = || {
            refuse(NoNumber(
                "a whole number beyond 2^53 among fractions",
                "64-bit floating point would round it: subtract a constant first",
            ))
        };
        let number = parse(cell.trim_ascii()).map_err(refuse)?;
        self.whole += usize::from(matches!(number, Number::Integer(_)));
        match (number, &mut self.values) {
            (Number::Integer(value), Values::Integers(values)) => values.push(value),
            (Number::Integer(value), Values::Floats(values)) => {
                if !exact(value) {
                    return Err(rounded());
                }
                values.push(value as f64);
            }
            (Number::Float(value), Values::Floats(values)) => values.push(value),
            (Number::Float(value), Values::Integers(values)) => {
                if !values.iter().all(|&value| exact(value)) {
                    return Err(rounded());
                }
                let mut floats: Vec<f64> = values.iter().map(|&value| value as f64).collect();
                floats.push(value);
                self.values = Values::Floats(floats);
            }
        }
        Ok(())
    }
}

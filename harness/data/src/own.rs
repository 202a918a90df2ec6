//! Data of a user's own: numbers with a label per example, from a table, from two arrays or from a folder of images.
//!
//! The splits are chosen by the examples' own ids, as everywhere: the same rows are held out whatever their order
//! in the file, and rows that are alike stay together.

mod images;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use ledger::digest::Digest;
use sha2::{Digest as _, Sha256};

use crate::columns::{Array, ColumnError, LabelKind, TableLabels, Wanted, ids, shape_text, table};
use crate::columns::{ColumnSource, Ids, Table, Values};
use crate::error::DataError;
use crate::loaded::OwnFile;
use crate::split::{Split, sample_id};

/// Most numbers that are taken into memory: 2 GiB of them.
const MOST_VALUES: usize = 1 << 29;
/// Most classes of a classifier.
const MOST_CLASSES: usize = 10_000;
/// Slices of an array read at a time.
const SLICES: usize = 1 << 12;

/// Examples with their labels, all splits together.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnData {
    /// Shape of one example.
    pub shape: Vec<usize>,
    /// The numbers of all examples, one after another, as they stand in the file.
    pub values: Vec<f32>,
    /// The labels.
    pub labels: OwnLabels,
    /// Which examples train, validate and test.
    pub split: Split,
    /// Ids of all examples.
    pub ids: Vec<[u8; 32]>,
    /// The file, or both.
    pub file: OwnFile,
}

/// Labels, one per example.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnLabels {
    /// Classes.
    Classes {
        /// Their names: numbers by size where all are, else by letters.
        names: Vec<String>,
        /// The class of each example, by its place in `names`.
        of: Vec<u32>,
    },
    /// Numbers.
    Numbers(Vec<f32>),
}

/// Shares of the examples that are held out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// What targets are set on.
    pub validation: f64,
    /// What is only reported.
    pub test: f64,
}

impl OwnData {
    /// Reads a table, whose columns beside the label hold numbers.
    ///
    /// # Errors
    /// As [`table`]; when classes are not at least 2 or far too many, or nothing is left to train on.
    pub fn of_table(path: &Path, wanted: &Wanted<'_>, shares: Shares) -> Result<Self, DataError> {
        let Table { columns, values, labels } = table(path, wanted)?;
        let labels = match labels {
            TableLabels::Names { names, codes } => {
                Labelled { path, column: Some(wanted.label) }.classes(names, codes)?
            }
            TableLabels::Numbers(values) => {
                let column = Some(wanted.label);
                OwnLabels::Numbers(narrow(path, column, &values, values.len())?)
            }
        };
        let values = narrow(path, None, &values, columns.len())?;
        let file = OwnFile { name: name(path), sha256: digest(path)? };
        Self::new(vec![columns.len()], values, labels, shares, file)
    }

    /// Reads an array of inputs, whose first axis counts examples, and one of labels.
    ///
    /// # Errors
    /// When a file is no such array, holds what is no finite number, or the two do not belong together; as
    /// [`OwnData::of_table`] otherwise.
    pub fn of_arrays(
        inputs: &Path,
        labels: &Path,
        kind: LabelKind,
        shares: Shares,
    ) -> Result<Self, DataError> {
        let (shape, values) = inputs_of(inputs)?;
        let read = match kind {
            LabelKind::Numbers => {
                let mut array = Array::open(labels)?;
                let flat = array.len() == array.shape()[0];
                if !flat {
                    let shape = shape_text(array.shape());
                    let remedy = "one number an example is needed: save it with .reshape(-1)";
                    return Err(
                        ColumnError::Shape { path: labels.to_path_buf(), shape, remedy }.into()
                    );
                }
                let values = array.values()?;
                OwnLabels::Numbers(narrow(labels, None, &values, 1)?)
            }
            LabelKind::Names => {
                let source = ColumnSource { path: labels.to_path_buf(), column: None };
                let (names, codes) = distinct(ids(&source)?)?;
                Labelled { path: labels, column: None }.classes(names, codes)?
            }
        };
        let examples = values.len() / shape.iter().product::<usize>().max(1);
        if examples != read.len() {
            return Err(DataError::Count {
                image_path: inputs.to_path_buf(),
                label_path: labels.to_path_buf(),
                images: examples as u64,
                labels: read.len() as u64,
            });
        }
        let mut both = Sha256::new();
        both.update(digest(inputs)?.0);
        both.update(digest(labels)?.0);
        let name = format!("{}+{}", name(inputs), bare_name(labels));
        let file = OwnFile { name, sha256: Digest(both.finalize().into()) };
        Self::new(shape, values, read, shares, file)
    }

    fn new(
        shape: Vec<usize>,
        values: Vec<f32>,
        labels: OwnLabels,
        shares: Shares,
        file: OwnFile,
    ) -> Result<Self, DataError> {
        let width = shape.iter().product::<usize>().max(1);
        let ids = values.chunks_exact(width).enumerate().map(|(at, row)| {
            let mut bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
            match &labels {
                OwnLabels::Classes { names, of } => bytes.extend(names[of[at] as usize].as_bytes()),
                OwnLabels::Numbers(numbers) => bytes.extend(numbers[at].to_le_bytes()),
            }
            sample_id(&bytes, 0)
        });
        let ids: Vec<_> = ids.collect();
        let split = Split::by_share(&ids, shares.validation, shares.test)?;
        Ok(Self { shape, values, labels, split, ids, file })
    }

    /// The numbers of one example.
    #[must_use]
    pub fn example(&self, position: u32) -> &[f32] {
        let width = self.shape.iter().product::<usize>();
        let from = position as usize * width;
        &self.values[from..from + width]
    }
}

impl OwnLabels {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { of, .. } => of.len(),
            Self::Numbers(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where labels came from, for messages.
struct Labelled<'a> {
    path: &'a Path,
    column: Option<&'a str>,
}

impl Labelled<'_> {
    /// Classes in an order that does not depend on that of the rows.
    fn classes(&self, names: Vec<String>, codes: Vec<u32>) -> Result<OwnLabels, DataError> {
        let refuse = |problem: String, remedy: &'static str| {
            let Self { path, column } = self;
            let label = column.map(|column| format!("column {column:?}"));
            let label = label.unwrap_or_else(|| "the label".to_owned());
            Err(DataError::Labels {
                path: path.to_path_buf(),
                problem: format!("{label} {problem}"),
                remedy,
            })
        };
        match names.as_slice() {
            [] => return refuse("has no value".to_owned(), "write it again"),
            [one] => {
                let problem = format!("has one value alone, {one:?}");
                return refuse(problem, "two classes are needed at least");
            }
            many if many.len() > MOST_CLASSES || many.len() * 2 > codes.len() => {
                let problem =
                    format!("has {} different values in {} rows", many.len(), codes.len());
                return refuse(
                    problem,
                    "for numbers take the workload whose name ends in -regression",
                );
            }
            _ => {}
        }
        let order = ordered(&names);
        let mut place = vec![0_u32; names.len()];
        for (new, &old) in (0..).zip(&order) {
            place[old] = new;
        }
        let names = order.iter().map(|&old| names[old].clone()).collect();
        let of = codes.iter().map(|&code| place[code as usize]).collect();
        Ok(OwnLabels::Classes { names, of })
    }
}

/// Places of names in the order that classes are numbered in: numbers by size where all are, else by letters.
fn ordered(names: &[String]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
    order.sort_by(|&a, &b| match &numbers {
        Some(numbers) => numbers[a].total_cmp(&numbers[b]).then_with(|| names[a].cmp(&names[b])),
        None => names[a].cmp(&names[b]),
    });
    order
}

/// Names of classes and the name of each example.
fn distinct(read: Ids) -> Result<(Vec<String>, Vec<u32>), DataError> {
    let column = match read {
        Ids::Texts(texts) => return Ok((texts.names, texts.codes)),
        Ids::Numbers(column) => column,
    };
    if column.columns.is_some_and(|columns| columns != 1) {
        let (path, shape) = (column.source.path.clone(), column.shape());
        let remedy = "one class an example is needed; of one-hot rows save .argmax(1)";
        return Err(ColumnError::Shape { path, shape, remedy }.into());
    }
    let Values::Integers(values) = &column.values else {
        let path = column.source.path;
        let remedy = "classes are whole numbers or text: save them with .astype(numpy.int64)";
        return Err(ColumnError::Dtype { path, dtype: "floating point".to_owned(), remedy }.into());
    };
    let mut all = values.clone();
    all.sort_unstable();
    all.dedup();
    // Each value is among all of them.
    let codes = values.iter().map(|value| all.partition_point(|other| other < value) as u32);
    Ok((all.iter().map(ToString::to_string).collect(), codes.collect()))
}

fn inputs_of(path: &Path) -> Result<(Vec<usize>, Vec<f32>), DataError> {
    let mut array = Array::open(path)?;
    let shape = match array.shape() {
        [_] => vec![1],
        [_, rest @ ..] => rest.to_vec(),
        [] => Vec::new(),
    };
    if array.len() > MOST_VALUES {
        return Err(DataError::TooLarge {
            path: path.to_path_buf(),
            what: "its content as 32-bit numbers".to_owned(),
            bytes: 4 * array.len() as u64,
            cap: 4 * MOST_VALUES as u64,
        });
    }
    let examples = array.shape()[0];
    let width = array.len() / examples;
    let mut values = Vec::with_capacity(array.len());
    let stretch = array.stretch(SLICES);
    for first in (0..examples).step_by(stretch) {
        let slices = array.slices(first, stretch.min(examples - first))?;
        let first = first * width;
        for (at, &value) in (first..).zip(&slices) {
            values.push(single(path, None, value, || format!("value {at}"))?);
        }
    }
    Ok((shape, values))
}

/// Numbers as 32-bit ones; `width` of them are a row.
fn narrow(
    path: &Path,
    column: Option<&str>,
    values: &[f64],
    width: usize,
) -> Result<Vec<f32>, DataError> {
    if values.len() > MOST_VALUES {
        return Err(DataError::TooLarge {
            path: path.to_path_buf(),
            what: "its content as 32-bit numbers".to_owned(),
            bytes: 4 * values.len() as u64,
            cap: 4 * MOST_VALUES as u64,
        });
    }
    let place = |at: usize| format!("row {}", if column.is_some() { at } else { at / width });
    let each = values.iter().enumerate();
    each.map(|(at, &value)| single(path, column, value, || place(at))).collect()
}

/// A number as a 32-bit one.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is refused")]
fn single(
    path: &Path,
    column: Option<&str>,
    value: f64,
    place: impl FnOnce() -> String,
) -> Result<f32, DataError> {
    let narrow = value as f32;
    if narrow.is_finite() {
        return Ok(narrow);
    }
    let named =
        column.map_or_else(|| path.display().to_string(), |c| format!("{}:{c}", path.display()));
    Err(ColumnError::Cell {
        path: named.into(),
        place: place(),
        value: value.to_string(),
        what: "beyond 32-bit floating point",
        remedy: "divide all of them by a constant first",
    }
    .into())
}

fn bare_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn name(path: &Path) -> String {
    format!("file:{}", bare_name(path))
}

/// SHA-256 of a file's bytes.
fn digest(path: &Path) -> Result<Digest, DataError> {
    let io = |source| DataError::Io { path: path.to_path_buf(), source };
    let mut hasher = Sha256::new();
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    loop {
        let bytes = file.fill_buf().map_err(io)?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
    Ok(Digest(hasher.finalize().into()))
}

#[cfg(test)]
#[path = "own/tests.rs"]
mod tests;

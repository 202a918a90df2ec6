//! `.npy` arrays of one to four dimensions as 64-bit floating-point numbers, as a whole or a few
//! slices along the first axis at a time.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::npy::{self, Encoding};
use super::{ColumnError, Values, exact, kind, open, start};

/// An open array: its header is read and held against the file's length, its values are not read.
#[derive(Debug)]
pub struct Array {
    path: PathBuf,
    file: File,
    /// Bytes before the values.
    start: u64,
    encoding: Encoding,
    dtype: String,
    shape: Vec<usize>,
    /// A table whose columns lie one after another.
    by_columns: bool,
}

impl Array {
    /// Opens an array of one to four dimensions of numbers.
    ///
    /// # Errors
    /// When the file is no `.npy` file, holds anything but numbers, has no or more dimensions, no
    /// values, another length than its header says, or more than two dimensions in Fortran order.
    pub fn open(path: &Path) -> Result<Self, ColumnError> {
        let (mut file, length) = open(path)?;
        let magic = start(path, &mut file)?;
        if !magic.starts_with(npy::MAGIC) {
            // Says what it is, where that is known.
            kind(path, &magic, length)?;
            return Err(ColumnError::Kind {
                path: path.to_path_buf(),
                found: "an array is needed".to_owned(),
                remedy: "save it with numpy.save",
            });
        }
        let npy::Layout { encoding, dtype, shape, fortran_order, start } =
            npy::layout(path, &mut file, length)?;
        let refuse = |remedy| {
            Err(ColumnError::Shape { path: path.to_path_buf(), shape: shape_text(&shape), remedy })
        };
        if shape.is_empty() || shape.len() > 4 {
            return refuse("one to four dimensions are read: save it with .reshape");
        }
        if shape.contains(&0) {
            return refuse("there is nothing in it: write it again");
        }
        if fortran_order && shape.len() > 2 {
            return refuse("it lies in Fortran order: save it with numpy.ascontiguousarray");
        }
        let by_columns = fortran_order && shape.len() == 2;
        Ok(Self { path: path.to_path_buf(), file, start, encoding, dtype, shape, by_columns })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lengths of the dimensions, one to four, none of them 0.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the values in the file, as NumPy writes it: `<f4`.
    #[must_use]
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// Whether values must be converted to 64-bit floating point.
    #[must_use]
    pub fn is_converted(&self) -> bool {
        !self.dtype.ends_with("f8")
    }

    /// Slices that are best read at a time, about `wanted`: all of a table whose columns lie one after another, which is
    /// read as a whole whatever is asked for.
    #[must_use]
    pub fn stretch(&self, wanted: usize) -> usize {
        if self.by_columns { self.shape[0] } else { wanted }
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never: an array without values is not opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values, the last index fastest.
    ///
    /// # Errors
    /// As [`Array::slices`].
    pub fn values(&mut self) -> Result<Vec<f64>, ColumnError> {
        self.slices(0, self.shape[0])
    }

    /// The values of `count` slices along the first axis, from slice `first` on, the last index
    /// fastest.
    ///
    /// # Errors
    /// When the file cannot be read, or at the first value that is NaN, infinite, or a whole number
    /// that 64-bit floating point would round, with its index.
    pub fn slices(&mut self, first: usize, count: usize) -> Result<Vec<f64>, ColumnError> {
        let each = self.len() / self.shape[0];
        let mut values = if self.by_columns {
            let whole = self.read(0, self.len())?;
            let whole = npy::row_major(&whole, self.shape[0], self.shape[1]);
            whole.into_iter().skip(first * each).take(count * each).collect()
        } else {
            self.read(first * each, count * each)?
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (value, what) = match values[at] {
                value if value.is_nan() => ("NaN".to_owned(), "not a number"),
                value => (value.to_string(), "infinite"),
            };
            return Err(self.refuse(first * each + at, value, what, "compute it again"));
        }
        values.shrink_to_fit();
        Ok(values)
    }

    fn read(&mut self, from: usize, count: usize) -> Result<Vec<f64>, ColumnError> {
        let at = self.start + (from * self.encoding.size()) as u64;
        let io = |source| ColumnError::Io { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(at)).map_err(io)?;
        match self.encoding.read(&self.path, &mut self.file, count)? {
            Values::Floats(values) => Ok(values),
            Values::Integers(values) => match values.iter().position(|&value| !exact(value)) {
                None => Ok(values.iter().map(|&value| value as f64).collect()),
                Some(at) => Err(self.refuse(
                    from + at,
                    values[at].to_string(),
                    "beyond what 64-bit floating point holds exactly",
                    "save floating-point numbers",
                )),
            },
        }
    }

    fn refuse(
        &self,
        flat: usize,
        value: String,
        what: &'static str,
        remedy: &'static str,
    ) -> ColumnError {
        let mut rest = flat;
        let mut index: Vec<String> = Vec::new();
        for length in self.shape.iter().rev() {
            index.push((rest % length).to_string());
            rest /= length;
        }
        index.reverse();
        let place = format!("index [{}]", index.join(", "));
        ColumnError::Cell { path: self.path.clone(), place, value, what, remedy }
    }
}

/// A shape as NumPy writes it.
#[must_use]
pub fn shape_text(shape: &[usize]) -> String {
    match shape {
        [one] => format!("({one},)"),
        shape => {
            let lengths: Vec<_> = shape.iter().map(usize::to_string).collect();
            format!("({})", lengths.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A version 1.0 file with this dictionary and these bytes.
    fn file(folder: &Path, dictionary: &str, bytes: &[u8]) -> PathBuf {
        let header = format!("{dictionary:<117}\n");
        let path = folder.join("a.npy");
        let start = [npy::MAGIC, &[1, 0, 118, 0], header.as_bytes(), bytes].concat();
        fs::write(&path, start).unwrap();
        path
    }

    fn dictionary(descr: &str, fortran: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}")
    }

    fn singles(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
        values.into_iter().flat_map(f32::to_le_bytes).collect()
    }

    #[test]
    fn three_dimensions_are_read_slice_by_slice_as_they_are_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = singles((0..24).map(|i| i as f32 / 4.0));
        let path = file(folder.path(), &dictionary("<f4", "False", "(2, 3, 4)"), &bytes);
        let mut array = Array::open(&path).unwrap();
        assert_eq!((array.shape(), array.dtype()), (&[2, 3, 4][..], "<f4"));
        assert!(array.is_converted());
        let whole = array.values().unwrap();
        assert_eq!(whole, (0..24).map(|i| f64::from(i) / 4.0).collect::<Vec<_>>());
        assert_eq!(array.slices(1, 1).unwrap(), whole[12..]);
        assert_eq!(array.slices(0, 1).unwrap(), whole[..12]);
    }

    #[test]
    fn a_table_in_fortran_order_is_turned_and_a_cube_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = singles([0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let path = file(folder.path(), &dictionary("<f4", "True", "(2, 3)"), &bytes);
        let mut array = Array::open(&path).unwrap();
        assert_eq!(array.values().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(array.slices(1, 1).unwrap(), [3.0, 4.0, 5.0]);
        assert_eq!(array.stretch(1), 2);
        let path = file(folder.path(), &dictionary("<f4", "True", "(1, 2, 3)"), &bytes);
        let refused = Array::open(&path).unwrap_err().to_string();
        assert!(refused.contains("ascontiguousarray"), "{refused}");
    }

    #[test]
    fn a_value_that_is_not_finite_is_refused_with_all_its_indices() {
        let folder = tempfile::tempdir().unwrap();
        let mut values = vec![0.0; 24];
        values[17] = f32::NAN;
        let cube = dictionary("<f4", "False", "(2, 3, 4)");
        let path = file(folder.path(), &cube, &singles(values.clone()));
        let refused = Array::open(&path).unwrap().slices(1, 1).unwrap_err().to_string();
        assert!(refused.contains("\"NaN\" at index [1, 1, 1] is not a number"), "{refused}");
        values[17] = f32::NEG_INFINITY;
        let path = file(folder.path(), &cube, &singles(values));
        let refused = Array::open(&path).unwrap().values().unwrap_err().to_string();
        assert!(refused.contains("\"-inf\" at index [1, 1, 1] is infinite"), "{refused}");
    }

    #[test]
    fn scalars_empty_arrays_and_truncated_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |shape: &str, bytes: &[u8]| {
            let path = file(folder.path(), &dictionary("<f8", "False", shape), bytes);
            Array::open(&path).unwrap_err().to_string()
        };
        assert!(refused("()", &[0; 8]).contains("one to four dimensions"));
        assert!(refused("(0, 3)", &[]).contains("nothing in it"));
        assert!(refused("(2, 3)", &[0; 40]).contains("truncated"));
        let csv = folder.path().join("t.csv");
        fs::write(&csv, "1,2\n").unwrap();
        assert!(Array::open(&csv).unwrap_err().to_string().contains("an array is needed"));
    }
}

//! The arrays that a program gets and gives, as files.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use ledger::external::npy::{self, Kind};
use ledger::plain;
use tch::{Device, Kind as Values, Tensor};

use super::ExternalError;
use lab::split::Split;

/// Rows copied at a time.
const CHUNK: i64 = 1_000;

/// The lengths of a tensor.
pub(super) fn lengths(tensor: &Tensor) -> Vec<u64> {
    tensor.size().iter().map(|length| u64::try_from(*length).unwrap_or(0)).collect()
}

/// Writes the inputs of a split as networks see them.
pub(super) fn write_inputs(split: &Split, path: &Path) -> Result<(), ExternalError> {
    let rows = split.len();
    let mut shape = lengths(&split.rows(0, rows.min(1))?.0);
    if let Some(first) = shape.first_mut() {
        *first = u64::try_from(rows).unwrap_or(0);
    }
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&npy::header(Kind::F4, &shape))?;
    let mut start = 0;
    while start < rows {
        let length = CHUNK.min(rows - start);
        let (inputs, _) = split.rows(start, length)?;
        file.write_all(&bytes(&inputs, Values::Float, 4)?)?;
        start += length;
    }
    Ok(file.flush()?)
}

/// Writes the classes of a split.
pub(super) fn write_labels(split: &Split, path: &Path) -> Result<(), ExternalError> {
    let mut file = BufWriter::new(File::create(path)?);
    let values = bytes(&split.labels, Values::Int64, 8)?;
    npy::write(&mut file, Kind::I8, &lengths(&split.labels), &values)?;
    Ok(file.flush()?)
}

/// Writes the ids of an epoch.
pub(super) fn write_ids(ids: &[u32], path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let values: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    npy::write(&mut file, Kind::U4, &[ids.len() as u64], &values)?;
    file.flush()
}

/// The bytes of a tensor's values in order, on the machines that libtorch is built for little-endian.
fn bytes(tensor: &Tensor, kind: Values, size: usize) -> Result<Vec<u8>, tch::TchError> {
    let tensor = tensor.f_to_kind(kind)?.f_to_device(Device::Cpu)?.f_contiguous()?;
    let count = tensor.numel();
    let mut bytes = vec![0; count * size];
    tensor.f_copy_data_u8(&mut bytes, count)?;
    Ok(bytes)
}

/// A table of outputs from a plain file that is no larger than it has to be.
pub(super) fn read_outputs(path: &Path, rows: usize, columns: usize) -> Result<Vec<f32>, String> {
    let most = npy::most_bytes(rows, columns);
    let length = plain::open(path).and_then(|file| file.metadata());
    let length = length.map_err(|error| error.to_string())?.len();
    if length > most {
        return Err(format!("it has {length} bytes, more than {rows} x {columns} numbers take"));
    }
    let bytes = plain::read(path).map_err(|error| error.to_string())?;
    npy::read_table(&bytes, rows, columns)
}

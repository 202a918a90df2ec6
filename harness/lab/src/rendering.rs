//! Rows of tokens taken out of a batch, to be written anew, and put back: what views do that add tokens.

pub mod written;

use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use crate::LabError;
use crate::objectives::IGNORED;
use crate::seat::Batch;
use crate::state::{Kept, State};

/// A sequence, and which of its tokens are to be predicted; the first never is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// All tokens.
    pub tokens: Vec<i64>,
    /// Whether a loss is asked at each.
    pub asked: Vec<bool>,
}

impl Kept for Row {
    fn blank() -> Self {
        Self::default()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.tokens.pass(state)?;
        self.asked.pass(state)
    }
}

impl Row {
    /// What is given, and behind it what is asked for.
    #[must_use]
    pub fn of(given: &[i64], asked: &[i64]) -> Self {
        let mut row = Self { tokens: given.to_vec(), asked: vec![false; given.len()] };
        asked.iter().for_each(|token| row.push(*token, true));
        row
    }

    /// Puts a token behind.
    pub fn push(&mut self, token: i64, asked: bool) {
        self.tokens.push(token);
        self.asked.push(asked);
    }

    /// Where the response begins: the first token that is asked for.
    #[must_use]
    pub fn prompt(&self) -> usize {
        self.asked.iter().position(|asked| *asked).unwrap_or(self.tokens.len())
    }
}

/// The sequences of a batch, each up to its last token that is asked for.
///
/// # Errors
/// When inputs or labels are not B × T.
pub fn read(batch: &Batch) -> Result<Vec<Row>, TchError> {
    let (_, positions) = batch.labels.size2()?;
    let table =
        |tensor: &Tensor| Vec::<i64>::try_from(tensor.f_to_device(Device::Cpu)?.f_reshape([-1])?);
    let (inputs, labels) = (table(&batch.inputs)?, table(&batch.labels)?);
    let columns = usize::try_from(positions).unwrap_or(0).max(1);
    let rows = inputs.chunks(columns).zip(labels.chunks(columns)).map(|(inputs, labels)| {
        let last = labels.iter().rposition(|label| *label != IGNORED);
        let mut row = Row::default();
        let Some(last) = last else { return row };
        row.push(inputs[0], false);
        for (place, label) in labels.iter().enumerate().take(last + 1) {
            let asked = *label != IGNORED;
            row.push(if asked { *label } else { inputs[place + 1] }, asked);
        }
        row
    });
    Ok(rows.collect())
}

/// Puts sequences in place of those of the batch: as wide as it was, or as the longest needs. Padding is
/// token 0, which nothing before it sees.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn replace(batch: &mut Batch, rows: &[Row]) -> Result<(), TchError> {
    let (_, positions) = batch.labels.size2()?;
    let device = batch.inputs.device();
    (batch.inputs, batch.labels) = placed(rows, usize::try_from(positions).unwrap_or(0), device)?;
    Ok(())
}

/// Inputs and labels of sequences, N × T each: as wide as the longest needs, and `least` at the least. Padding is
/// token 0, which nothing before it sees.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn placed<'a>(
    rows: impl IntoIterator<Item = &'a Row, IntoIter: Clone>,
    least: usize,
    device: Device,
) -> Result<(Tensor, Tensor), TchError> {
    let rows = rows.into_iter();
    let longest = rows.clone().map(|row| row.tokens.len().saturating_sub(1)).max().unwrap_or(0);
    let (count, columns) = (rows.clone().count(), longest.max(least).max(1));
    let mut inputs = vec![0_i64; count * columns];
    let mut labels = vec![IGNORED; count * columns];
    let places = inputs.chunks_mut(columns).zip(labels.chunks_mut(columns));
    for (row, (inputs, labels)) in rows.zip(places) {
        let last = row.tokens.len().saturating_sub(1);
        inputs[..last].copy_from_slice(&row.tokens[..last]);
        let next = row.tokens.iter().zip(&row.asked).skip(1);
        for (label, (token, _)) in labels.iter_mut().zip(next).filter(|(_, (_, asked))| **asked) {
            *label = *token;
        }
    }
    let shape = [count as i64, columns as i64];
    let place = |values: &[i64]| Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device);
    Ok((place(&inputs)?, place(&labels)?))
}

/// Writes every row of a batch anew, given its example's id and a generator that is the same for an example and epoch
/// whatever batch it is in.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn rewrite(
    batch: &mut Batch,
    (streams, name, epoch): (&Streams, &str, u32),
    row: impl Fn(&Row, u32, &mut Pcg64) -> Row,
) -> Result<(), TchError> {
    let rows = read(batch)?;
    let ids = rows.iter().zip(&batch.ids);
    let anew = ids.map(|(old, &id)| row(old, id, &mut streams.keyed(name, id, epoch)));
    let anew: Vec<Row> = anew.collect();
    replace(batch, &anew)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(inputs: &[i64], labels: &[i64]) -> Batch {
        let place = |values: &[i64]| Tensor::from_slice(values).view([2, -1]);
        Batch {
            ids: vec![0, 1],
            sample_ids: Tensor::from_slice(&[0_i64, 1]),
            inputs: place(inputs),
            labels: place(labels),
        }
    }

    #[test]
    fn what_was_read_and_not_changed_is_the_batch_again() {
        let (inputs, labels) = ([5, 6, 7, 8, 9, 0], [IGNORED, 7, 3, 9, 4, IGNORED]);
        // Behind its last label a stored row is padded with 0.
        let mut batch = batch(&inputs, &labels);
        let rows = read(&batch).unwrap();
        assert_eq!(rows[0].tokens, [5, 6, 7, 3]);
        assert_eq!(rows[0].asked, [false, false, true, true]);
        assert_eq!((rows[1].tokens.as_slice(), rows[0].prompt()), ([8, 9, 4].as_slice(), 2));
        replace(&mut batch, &rows).unwrap();
        let flat = |tensor: &Tensor| Vec::<i64>::try_from(tensor.reshape([-1])).unwrap();
        assert_eq!((flat(&batch.inputs), flat(&batch.labels)), (inputs.to_vec(), labels.to_vec()));
    }

    #[test]
    fn longer_sequences_widen_the_batch_and_ask_where_they_say() {
        let mut batch = batch(&[5, 6, 7, 8], &[6, 7, 8, 9]);
        let mut rows = read(&batch).unwrap();
        rows[1].push(2, false);
        rows[1].push(4, true);
        replace(&mut batch, &rows).unwrap();
        let flat = |tensor: &Tensor| Vec::<i64>::try_from(tensor.reshape([-1])).unwrap();
        assert_eq!(flat(&batch.inputs), [5, 6, 0, 0, 7, 8, 9, 2]);
        assert_eq!(flat(&batch.labels), [6, 7, IGNORED, IGNORED, 8, 9, IGNORED, 4]);
    }
}

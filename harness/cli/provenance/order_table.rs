//! How the ids of an order lie in a file: epochs row by row, column by column, or step by step.

use std::collections::HashSet;

use ::data::columns::ColumnSource;
use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What a row of a table of ids is. A list is one epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// An epoch.
    #[default]
    Epochs,
    /// The places of all epochs, one in each column.
    EpochsInColumns,
    /// A step.
    Steps,
}

/// Ids as they lie in a file.
#[derive(Debug)]
pub struct Table<'a> {
    /// The file.
    pub source: &'a ColumnSource,
    /// Rows after rows.
    pub ids: Vec<u64>,
    /// Columns; `None` for a list.
    pub columns: Option<usize>,
}

/// An epoch's ids in the order consumed, and its steps as sizes and how often each comes in turn,
/// where they are known.
#[derive(Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Ids.
    pub ids: Vec<u64>,
    /// Step sizes, run-length encoded.
    pub steps: Vec<(u32, u32)>,
}

impl Table<'_> {
    /// Columns and rows, where there are several of each; of a single row or column all is a list.
    fn sides(&self) -> Option<(usize, usize)> {
        let columns = self.columns.filter(|columns| *columns > 1)?;
        let rows = self.ids.len() / columns;
        (rows > 1).then_some((columns, rows))
    }

    /// The examples there are: those scored, or where these are a part only, those in the table.
    fn examples(&self, scored: Option<usize>) -> usize {
        scored.unwrap_or_else(|| self.ids.iter().collect::<HashSet<_>>().len())
    }

    /// The epochs, first to last; `scored` is the number of examples where all were scored.
    ///
    /// # Errors
    /// When the ids do not lie as `layout` says.
    pub fn epochs(self, layout: Layout, scored: Option<usize>) -> anyhow::Result<Vec<Consumed>> {
        let plain = |ids: &[u64]| Consumed { ids: ids.to_vec(), steps: Vec::new() };
        let source = self.source;
        match (layout, self.sides()) {
            (Layout::Epochs, None) => Ok(vec![Consumed { ids: self.ids, steps: Vec::new() }]),
            (Layout::Epochs, Some((columns, _))) => {
                Ok(self.ids.chunks(columns).map(plain).collect())
            }
            (Layout::EpochsInColumns, Some((columns, _))) => {
                let column = |at| self.ids.iter().copied().skip(at).step_by(columns).collect();
                Ok((0..columns).map(|at| Consumed { ids: column(at), steps: Vec::new() }).collect())
            }
            (Layout::Steps, Some((columns, _))) => self.steps(columns, scored),
            (Layout::EpochsInColumns, None) => {
                bail!(
                    "{source} is a single list of ids, which has no columns: leave --epochs-in-columns out"
                )
            }
            (Layout::Steps, None) => bail!(
                "{source} is a single list of ids, not a table of steps × examples: leave --steps out; \
                 --batch-size N counts positions in steps"
            ),
        }
    }

    /// Epochs of a table of steps. An epoch ends after all examples, or after its last whole step,
    /// whichever leaves no id twice in it; the last epoch may be shorter.
    fn steps(&self, columns: usize, scored: Option<usize>) -> anyhow::Result<Vec<Consumed>> {
        let examples = self.examples(scored);
        let whole_steps = examples / columns * columns;
        let found = [examples, whole_steps]
            .into_iter()
            .find(|length| *length > 0 && self.ids.chunks(*length).all(all_different));
        let Some(length) = found else {
            bail!(
                "{}: {} ids in steps of {columns} for {examples} examples, but neither epochs of \
                 {examples} ids nor of {whole_steps} have each id once: give one file per epoch, with \
                 --order repeated, or declare the law replacement",
                self.source,
                self.ids.len()
            );
        };
        let starts = (0..self.ids.len()).step_by(length);
        let epochs = starts.zip(self.ids.chunks(length));
        Ok(epochs
            .map(|(start, ids)| Consumed {
                ids: ids.to_vec(),
                steps: step_sizes(start, ids.len(), columns),
            })
            .collect())
    }

    /// Refuses a table whose rows are plainly no epochs, and says what they are.
    ///
    /// # Errors
    /// When its rows are steps, or its columns are epochs.
    pub fn require_epochs_in_rows(&self, scored: Option<usize>, way: &Way) -> anyhow::Result<()> {
        let Some((columns, rows)) = self.sides() else { return Ok(()) };
        let examples = self.examples(scored);
        let source = self.source;
        // As many rows as an epoch has steps, in which no id comes twice.
        let first = rows.min(examples / columns);
        if first > 1 && all_different(&self.ids[..first * columns]) {
            bail!(
                "{source}: the shape is ({rows}, {columns}), and its rows share no example: they are \
                 steps of {columns} examples, not epochs of {examples}; {}",
                way.steps
            );
        }
        let column = |at| self.ids.iter().skip(at).step_by(columns);
        if rows > columns
            && rows >= examples - examples / 10
            && (0..columns).all(|at| column(at).collect::<HashSet<_>>().len() == rows)
        {
            bail!(
                "{source}: the shape is ({rows}, {columns}), and each column has every example once: its \
                 columns are epochs, not its rows; {}",
                way.columns
            );
        }
        Ok(())
    }
}

/// What to do about a table that is not one of epochs in rows.
#[derive(Debug)]
pub struct Way {
    /// Where its rows are steps.
    pub steps: &'static str,
    /// Where its columns are epochs.
    pub columns: &'static str,
}

fn all_different(ids: &[u64]) -> bool {
    let mut seen = HashSet::with_capacity(ids.len());
    ids.iter().all(|id| seen.insert(id))
}

/// The sizes of the steps of `size` that `count` ids from place `start` on take part in.
pub fn step_sizes(start: usize, count: usize, size: usize) -> Vec<(u32, u32)> {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let before = (start.next_multiple_of(size) - start).min(count);
    let whole = (count - before) / size;
    let after = count - before - whole * size;
    let runs = [(before, 1), (size, whole), (after, 1)];
    let runs = runs.into_iter().filter(|(size, count)| *size > 0 && *count > 0);
    runs.map(|(size, count)| (narrow(size), narrow(count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> ColumnSource {
        "o.npy".parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
    }

    /// A permutation of 0..n for each k prime to n.
    fn shuffled(n: u64, k: u64) -> Vec<u64> {
        (0..n).map(|t| (t * k + 3) % n).collect()
    }

    const WAY: Way = Way { steps: "say so with --steps", columns: "transpose it" };

    fn refusal(ids: Vec<u64>, columns: usize, scored: Option<usize>) -> Option<String> {
        let source = source();
        let table = Table { source: &source, ids, columns: Some(columns) };
        table.require_epochs_in_rows(scored, &WAY).err().map(|error| error.to_string())
    }

    #[test]
    fn rows_that_share_no_example_are_steps() {
        let told = refusal(shuffled(40, 7), 4, Some(40)).unwrap();
        assert!(
            told.contains("(10, 4)")
                && told.contains("steps of 4 examples")
                && told.contains("--steps")
        );
        // Without the number of examples, over two epochs, and over a part of one.
        assert!(refusal(shuffled(40, 7), 4, None).is_some());
        assert!(refusal([shuffled(40, 7), shuffled(40, 9)].concat(), 4, Some(40)).is_some());
        assert!(refusal(shuffled(40, 7)[..12].to_vec(), 4, Some(40)).is_some());
    }

    #[test]
    fn columns_that_have_every_example_are_epochs() {
        let (one, two) = (shuffled(40, 7), shuffled(40, 9));
        let mixed: Vec<u64> = one.iter().zip(&two).flat_map(|(a, b)| [*a, *b]).collect();
        let told = refusal(mixed.clone(), 2, Some(40)).unwrap();
        assert!(told.contains("columns are epochs"), "{told}");
        assert!(refusal(mixed.clone(), 2, None).is_some());
        let source = source();
        let table = Table { source: &source, ids: mixed, columns: Some(2) };
        let epochs = table.epochs(Layout::EpochsInColumns, Some(40)).unwrap();
        assert_eq!(epochs.iter().map(|epoch| &epoch.ids).collect::<Vec<_>>(), [&one, &two]);
    }

    #[test]
    fn rows_that_are_epochs_or_subsets_of_them_pass() {
        let epochs = [shuffled(40, 7), shuffled(40, 9)].concat();
        assert_eq!(refusal(epochs.clone(), 40, Some(40)), None);
        assert_eq!(refusal(epochs, 40, None), None);
        // Fresh subsets of ten in each epoch, which overlap.
        let subsets =
            [&shuffled(40, 7)[..10], &shuffled(40, 9)[..10], &shuffled(40, 11)[..10]].concat();
        assert_eq!(refusal(subsets, 10, Some(40)), None);
        assert_eq!(refusal(shuffled(40, 7), 1, Some(40)), None);
        assert_eq!(refusal(shuffled(40, 7), 40, Some(40)), None);
    }

    #[test]
    fn steps_run_through_epochs_with_or_without_their_tails() {
        let source = source();
        let epochs = |ids: Vec<u64>, columns| {
            let table = Table { source: &source, ids, columns: Some(columns) };
            table.epochs(Layout::Steps, Some(10))
        };
        let (one, two) = (shuffled(10, 3), shuffled(10, 7));
        let found = epochs([one.clone(), two.clone()].concat(), 4).unwrap();
        assert_eq!(found[0], Consumed { ids: one.clone(), steps: vec![(4, 2), (2, 1)] });
        assert_eq!(found[1], Consumed { ids: two.clone(), steps: vec![(2, 1), (4, 2)] });
        // Two ids of each epoch were dropped; half of a third epoch.
        let dropped = [&one[..8], &two[..8], &one[..4]].concat();
        let found = epochs(dropped, 4).unwrap();
        assert_eq!(found.iter().map(|epoch| epoch.ids.len()).collect::<Vec<_>>(), [8, 8, 4]);
        assert_eq!(found[1], Consumed { ids: two[..8].to_vec(), steps: vec![(4, 2)] });
        let told = epochs(vec![0, 1, 0, 1], 2).unwrap_err().to_string();
        assert!(told.contains("one file per epoch"), "{told}");
        let list = Table { source: &source, ids: one, columns: None };
        assert!(
            list.epochs(Layout::Steps, Some(10)).unwrap_err().to_string().contains("--batch-size")
        );
    }
}

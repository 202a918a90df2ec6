//! A membership question from plain files of any framework.

use std::collections::HashSet;
use std::path::Path;

use ::data::columns::{Column, ColumnError, ColumnSource, Lists, Values, lists, numbers};
use analysis::evidence::certificate::{InputFile, Role, Tested};
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use ledger::digest::{Digest, of_reader};
use ledger::order::{OrderLaw, Unit};
use ledger::seed::Randomness;
use serde::{Deserialize, Serialize};
use stats::provenance::audit::{Epoch, Order, Places};
use stats::provenance::order_list::Resolution;
use stats::provenance::reference_order::require_other;
use stats::provenance::units::aggregate;

use super::example_ids::{Labels, Register, count_anew};
use super::order_table::{Consumed, Layout, Way, step_sizes};
use super::question::{Choices, Question, Reading, Scores};

/// Under replacement ids are kept as they are: to this many times as many as there are, and
/// [`SPARE`] more.
const SPARSE: u64 = 8;

/// See [`SPARSE`].
const SPARE: u64 = 1 << 16;

/// The files of a question.
#[derive(Debug, Default)]
pub struct Files {
    /// Ids in the order consumed, one file after another.
    pub order: Vec<ColumnSource>,
    /// Position of each scored example, instead of the order.
    pub positions: Option<ColumnSource>,
    /// The suspects.
    pub scores: Vec<ColumnSource>,
    /// References.
    pub reference: Vec<ColumnSource>,
    /// The orders that the references were trained on.
    pub reference_order: Vec<ColumnSource>,
    /// Id of each row.
    pub ids: Option<ColumnSource>,
    /// Unit of each row.
    pub units: Option<ColumnSource>,
    /// Block of each row.
    pub blocks: Option<ColumnSource>,
}

/// How the order in a file was drawn and written, which the file does not say, and what its scores
/// are.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// The law.
    pub law: OrderLaw,
    /// What it moves as one piece.
    pub unit: Unit,
    /// Where its seed came from.
    pub randomness: Option<Randomness>,
    /// Bits of the seed.
    pub seed_bits: Option<u32>,
    /// Examples per step, to count positions in steps.
    pub batch_size: Option<u32>,
    /// What a row of a table of ids is.
    pub layout: Layout,
    /// What to make of several scores in a row.
    pub token_scores: Option<TokenScores>,
}

/// What becomes of the scores of an example's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenScores {
    /// Their mean is the score of the example.
    Mean,
}

/// Reads everything that the options name.
///
/// # Errors
/// When a file cannot be read, or files do not fit together.
pub fn question(files: &Files, drawn: &Drawn, choices: &Choices) -> anyhow::Result<Question> {
    if files.scores.is_empty() {
        bail!(
            "no suspect: give its scores with --scores FILE, or a run and its model with --run and --model"
        );
    }
    let mut reader = Reader { token_scores: drawn.token_scores, means: false };
    let suspects = reader.all_scores(Role::Scores, &files.scores)?;
    let references = reader.all_scores(Role::Reference, &files.reference)?;
    if drawn.token_scores.is_some() && !reader.means {
        bail!(
            "--token-scores would not be used: {} has one number a row already; leave it out",
            suspects[0].name
        );
    }
    let optional = |role, source: &Option<ColumnSource>| {
        let read = |source: &ColumnSource| anyhow::Ok(list(role, source)?.as_ids()?);
        source.as_ref().map(read).transpose()
    };
    let units: Option<Vec<u64>> = optional(Role::Units, &files.units)?;
    let blocks = optional(Role::Blocks, &files.blocks)?;
    let placed = place(files, drawn, choices.epoch, suspects[0].values.len(), units.as_deref())?;
    let adjust = choices.adjust(&references);
    let steps = drawn.batch_size.is_some() || drawn.layout == Layout::Steps;
    Ok(Question {
        order_name: placed.name,
        order: placed.order,
        suspects,
        references,
        rows: placed.rows,
        units,
        blocks,
        resolution: if steps { Resolution::Step } else { Resolution::Sample },
        template: None,
        metric: choices.metric,
        tail: choices.tail,
        adjust,
        kind: choices.kind,
        monte_carlo: choices.monte_carlo,
        gamma: choices.gamma,
        epoch: choices.epoch,
        batch_size: drawn.batch_size,
        reading: Reading {
            layout: drawn.layout,
            token_scores: drawn.token_scores,
            labels: placed.labels,
        },
        plan: None,
        asked_of: None,
        tested: Tested { files: inputs(files)?, runs: Vec::new(), promise: None },
        origin: None,
    })
}

/// An order, what people call it, and the example of each row.
struct Placed {
    name: String,
    order: Order,
    rows: Option<Vec<u64>>,
    labels: Option<Labels>,
}

/// The order, by itself or as positions, and the example of each row.
fn place(
    files: &Files,
    drawn: &Drawn,
    epoch: Option<u32>,
    scored: usize,
    units: Option<&[u64]>,
) -> anyhow::Result<Placed> {
    let Drawn { law, unit, randomness, seed_bits, batch_size, .. } = *drawn;
    let of = |places, examples| Order { places, examples, law, unit, randomness, seed_bits };
    if let Some(source) = &files.positions {
        let positions: Vec<u64> = list(Role::Positions, source)?.as_ids()?;
        let examples = positions.len() as u64;
        let order = of(Places::Positions(positions), examples);
        return Ok(Placed { name: source.to_string(), order, rows: None, labels: None });
    }
    if files.order.is_empty() {
        bail!(
            "no order: give it with --order FILE or --positions FILE, or a run of the store with --run RUN"
        );
    }
    let names: Vec<String> = files.order.iter().map(ToString::to_string).collect();
    let name = names.join(", ");
    let mut register = Register::default();
    // Without the ids of the rows, all examples were scored: their number is that of the rows.
    let scored = files.ids.is_none().then_some(scored);
    let mut epochs: Vec<Consumed> = Vec::new();
    for source in &files.order {
        let table = register.read(source)?;
        if let (None, Some(units), Some(source_of_units)) = (&files.ids, units, &files.units) {
            let all = |ids: &[u64]| ids.iter().copied().collect::<HashSet<_>>();
            if table.ids.len() < scored.unwrap_or(0) && all(&table.ids) == all(units) {
                bail!(
                    "the ids of {source} are those of units, not of examples: give --ids \
                     {source_of_units} too, so that each row has the place of its unit"
                );
            }
        }
        // Rows of a blockwise order are blocks, and those of draws are one list.
        if drawn.layout == Layout::Epochs
            && !matches!(law, OrderLaw::Blockwise | OrderLaw::Replacement)
        {
            table.require_epochs_in_rows(scored, &WAY)?;
        }
        epochs.extend(table.epochs(drawn.layout, scored)?);
    }
    let rows = match &files.ids {
        Some(source) => {
            let table = register.read(source)?;
            require_list(Role::Ids, source, table.ids.len(), table.columns)?;
            Some(table.ids)
        }
        None if register.is_text() => bail!(
            "{name} holds text, which does not say which row of the scores is whose: give the id of \
             each row with --ids"
        ),
        None => None,
    };
    for (source, reference) in files.reference_order.iter().zip(0..) {
        let table = register.read(source)?;
        let columns =
            table.columns.filter(|columns| *columns > 0).unwrap_or(table.ids.len().max(1));
        let other: Vec<Vec<u64>> = table.ids.chunks(columns).map(<[u64]>::to_vec).collect();
        let audited: Vec<Vec<u64>> = epochs.iter().map(|epoch| epoch.ids.clone()).collect();
        let name = files.reference.get(reference).or(files.reference.first()).unwrap_or(source);
        require_other(&audited, &other, &name.to_string())?;
    }
    if let Some(epoch) = epoch {
        let at = epoch as usize;
        if at >= epochs.len() {
            bail!("--epoch is {epoch}, but {name} has {} epochs, from 0", epochs.len());
        }
        epochs = vec![epochs.swap_remove(at)];
    }
    if let Some(size) = batch_size {
        for epoch in &mut epochs {
            epoch.steps = step_sizes(0, epoch.ids.len(), size as usize);
        }
    }
    let steps: Vec<_> = epochs.iter_mut().map(|epoch| std::mem::take(&mut epoch.steps)).collect();
    let mut epochs: Vec<Vec<u64>> = epochs.into_iter().map(|epoch| epoch.ids).collect();
    let mut rows = rows;
    let (examples, labels) = match &mut rows {
        None => (scored.unwrap_or(0) as u64, None),
        Some(rows) => {
            require_known(&name, law, &epochs, rows, &register)?;
            let anew = match law {
                OrderLaw::Replacement => None,
                _ => count_anew(&mut epochs, rows),
            };
            let largest = epochs.iter().flatten().chain(rows.iter()).max();
            (largest.map_or(0, |id| id + 1), register.labels(anew))
        }
    };
    let epochs = (epoch.unwrap_or(0)..).zip(epochs.into_iter().zip(steps));
    let epochs = epochs.map(|(epoch, (ids, steps))| Epoch { epoch, steps, ids }).collect();
    let order = of(Places::Epochs(epochs), examples);
    Ok(Placed { name, order, rows, labels })
}

/// What to do about a table that is not one of epochs in rows.
const WAY: Way = Way { steps: "say so with --steps", columns: "say so with --epochs-in-columns" };

/// Refuses rows whose ids a whole order would have, and ids that do not tell the number of examples
/// where that counts.
fn require_known(
    name: &str,
    law: OrderLaw,
    epochs: &[Vec<u64>],
    rows: &[u64],
    register: &Register,
) -> anyhow::Result<()> {
    let consumed: HashSet<u64> = epochs.iter().flatten().copied().collect();
    if law == OrderLaw::Replacement {
        let largest = consumed.iter().chain(rows).max().copied().unwrap_or(0);
        if register.is_text() || largest >= SPARSE * (consumed.len() + rows.len()) as u64 + SPARE {
            bail!(
                "the law replacement draws from the whole data set, whose size the ids of {name} do \
                 not tell: number the examples from 0"
            );
        }
    }
    if !matches!(law, OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch) {
        return Ok(());
    }
    let mut absent = rows.iter().enumerate().filter(|(_, id)| !consumed.contains(id));
    let Some((row, id)) = absent.next() else { return Ok(()) };
    let count = 1 + absent.count();
    if count > rows.len() / 10 {
        bail!(
            "{count} of the {} scored examples are not in {name}, first {} of row {row}: give the whole \
             order of the same data set, or declare the law uniform-subset",
            rows.len(),
            register.label(*id)
        );
    }
    Ok(())
}

/// A column that is one list; a single row or column of a table is.
fn list(role: Role, source: &ColumnSource) -> anyhow::Result<Column> {
    let column = numbers(source)?;
    require_list(role, source, column.len(), column.columns)?;
    Ok(column)
}

/// Refuses a table, which would be read as a list by mistake.
fn require_list(
    role: Role,
    source: &ColumnSource,
    values: usize,
    columns: Option<usize>,
) -> anyhow::Result<()> {
    match columns {
        Some(columns) if columns > 1 && values > columns => bail!(
            "{source}: the shape is ({}, {columns}), but {} are one list: save one column of it",
            values / columns,
            role.name()
        ),
        _ => Ok(()),
    }
}

/// Reads scores, one for each row.
struct Reader {
    token_scores: Option<TokenScores>,
    /// Whether the mean of several was taken.
    means: bool,
}

impl Reader {
    fn all_scores(&mut self, role: Role, sources: &[ColumnSource]) -> anyhow::Result<Vec<Scores>> {
        let scores = sources.iter().map(|source| {
            Ok(Scores { name: source.to_string(), values: self.scores(role, source)? })
        });
        scores.collect()
    }

    fn scores(&mut self, role: Role, source: &ColumnSource) -> anyhow::Result<Vec<f64>> {
        let (values, lengths) = match numbers(source) {
            Ok(column) => match column.columns {
                Some(columns) if columns > 1 && column.rows > 1 => {
                    if self.token_scores.is_none() {
                        bail!(
                            "{source}: the shape is {}, but {} are one number a row: save the mean of \
                             each row, or take it with --token-scores mean",
                            column.shape(),
                            role.name()
                        );
                    }
                    let values = column.as_f64().with_context(|| {
                        format!(
                            "{source}: rows that were filled up to one length are not told from whole \
                             ones; save lists of their own lengths as Parquet, or the mean of each row"
                        )
                    })?;
                    (values, vec![columns; column.rows])
                }
                _ => return Ok(column.as_f64()?),
            },
            Err(error @ ColumnError::Lists { .. }) if self.token_scores.is_none() => {
                return Err(anyhow::Error::msg(format!(
                    "{error}, or take it with --token-scores mean"
                )));
            }
            Err(ColumnError::Lists { .. }) => {
                let Lists { values, lengths } = lists(source)?;
                let rows = match &values {
                    Values::Integers(values) => values.len(),
                    Values::Floats(values) => values.len(),
                };
                let column = Column { source: source.clone(), values, rows, columns: None };
                (column.as_f64()?, lengths)
            }
            Err(error) => return Err(error.into()),
        };
        self.means = true;
        means(&values, &lengths)
    }
}

/// The mean of each row.
fn means(values: &[f64], lengths: &[usize]) -> anyhow::Result<Vec<f64>> {
    let row = |(row, length)| std::iter::repeat_n(row, length);
    let rows: Vec<u64> = (0..).zip(lengths.iter().copied()).flat_map(row).collect();
    let places: Vec<u64> = (0..values.len() as u64).collect();
    // Rows are units that lie together: their means are those of units, correctly rounded sums.
    let mut units = aggregate(&rows, &places, &[values])?;
    Ok(units.columns.pop().unwrap_or_default())
}

/// The files for the certificate.
fn inputs(files: &Files) -> anyhow::Result<Vec<InputFile>> {
    let all = |role, sources: &'_ [ColumnSource]| {
        sources.iter().map(|source| (role, source.clone())).collect::<Vec<_>>()
    };
    let one = |role, source: &Option<ColumnSource>| {
        source.iter().map(|source| (role, source.clone())).collect::<Vec<_>>()
    };
    let sources = [
        all(Role::Order, &files.order),
        one(Role::Positions, &files.positions),
        one(Role::Ids, &files.ids),
        all(Role::Scores, &files.scores),
        all(Role::Reference, &files.reference),
        all(Role::ReferenceOrder, &files.reference_order),
        one(Role::Units, &files.units),
        one(Role::Blocks, &files.blocks),
    ];
    let inputs = sources.into_iter().flatten().map(|(role, source)| {
        let (size, sha256) = digest_of(&source.path)?;
        let name = source.path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(InputFile { role, name: name.unwrap_or_default(), column: source.column, size, sha256 })
    });
    inputs.collect()
}

/// Size and SHA-256 of a file.
fn digest_of(path: &Path) -> anyhow::Result<(u64, Digest)> {
    let read = || of_reader(&mut std::fs::File::open(path)?);
    read().with_context(|| format!("cannot read {}", path.display()))
}

//! A membership question from plain files of any framework.

use std::path::Path;

use ::data::columns::{Column, ColumnSource, numbers};
use analysis::evidence::certificate::{InputFile, Role, Tested};
use anyhow::{Context as _, bail};
use ledger::digest::{Digest, of_reader};
use ledger::order::{OrderLaw, Unit};
use ledger::seed::Randomness;
use stats::provenance::Refusal;
use stats::provenance::audit::{Epoch, Order, Places};
use stats::provenance::order_list::Resolution;

use super::question::{Choices, Question, Scores};

/// The files of a question.
#[derive(Debug, Default)]
pub struct Files {
    /// Ids in the order consumed, one row per epoch.
    pub order: Option<ColumnSource>,
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

/// How the order in a file was drawn, which the file does not say.
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
    let mut reader = Reader { inputs: Vec::new() };
    let mut suspects = Vec::new();
    let (order_name, order, rows) = place(&mut reader, files, drawn, choices.epoch)?;
    for source in &files.scores {
        suspects.push(reader.scores(Role::Scores, source)?);
    }
    let mut references = Vec::new();
    for source in &files.reference {
        references.push(reader.scores(Role::Reference, source)?);
    }
    for (number, source) in files.reference_order.iter().enumerate() {
        require_other_order(&order, &epochs(&reader.column(None, source)?)?, number)?;
    }
    let units = reader.ids(Role::Units, files.units.as_ref())?;
    let blocks = reader.ids(Role::Blocks, files.blocks.as_ref())?;
    let adjust = choices.adjust(&references);
    Ok(Question {
        order_name,
        order,
        suspects,
        references,
        rows,
        units,
        blocks,
        resolution: if drawn.batch_size.is_some() { Resolution::Step } else { Resolution::Sample },
        template: None,
        metric: choices.metric,
        tail: choices.tail,
        adjust,
        kind: choices.kind,
        monte_carlo: choices.monte_carlo,
        gamma: choices.gamma,
        epoch: choices.epoch,
        batch_size: drawn.batch_size,
        asked_of: None,
        tested: Tested { files: reader.inputs, runs: Vec::new() },
        origin: None,
    })
}

/// The order, by itself or as positions, and the example of each row.
fn place(
    reader: &mut Reader,
    files: &Files,
    drawn: &Drawn,
    epoch: Option<u32>,
) -> anyhow::Result<(String, Order, Option<Vec<u64>>)> {
    let Drawn { law, unit, randomness, seed_bits, batch_size } = *drawn;
    let of = |places, examples| Order { places, examples, law, unit, randomness, seed_bits };
    if let Some(source) = &files.positions {
        let positions: Vec<u64> = reader.column(Some(Role::Positions), source)?.as_ids()?;
        let examples = positions.len() as u64;
        return Ok((source.to_string(), of(Places::Positions(positions), examples), None));
    }
    let Some(source) = &files.order else {
        bail!(
            "no order: give it with --order FILE or --positions FILE, or a run of the store with --run RUN"
        );
    };
    let mut epochs = epochs(&reader.column(Some(Role::Order), source)?)?;
    let rows = reader.ids(Role::Ids, files.ids.as_ref())?;
    // Without the ids of the rows, all examples were scored: their number is that of the rows.
    let examples = match &rows {
        None => {
            Reader { inputs: Vec::new() }.column(Some(Role::Scores), &files.scores[0])?.len() as u64
        }
        Some(rows) => {
            let largest = epochs.iter().flatten().chain(rows).max();
            largest.map_or(0, |id| id + 1)
        }
    };
    if let Some(epoch) = epoch {
        let at = epoch as usize;
        if at >= epochs.len() {
            bail!("--epoch is {epoch}, but {source} has {} epochs, from 0", epochs.len());
        }
        epochs = vec![epochs.swap_remove(at)];
    }
    let steps = |n: usize| batch_size.map_or_else(Vec::new, |size| step_sizes(n, size));
    let epochs = (epoch.unwrap_or(0)..).zip(epochs);
    let epochs = epochs.map(|(epoch, ids)| Epoch { epoch, steps: steps(ids.len()), ids });
    Ok((source.to_string(), of(Places::Epochs(epochs.collect()), examples), rows))
}

/// Rows of a column as epochs; a list is one epoch.
fn epochs(column: &Column) -> anyhow::Result<Vec<Vec<u64>>> {
    let ids: Vec<u64> = column.as_ids()?;
    Ok(match column.columns {
        Some(0) | None => vec![ids],
        Some(columns) => ids.chunks(columns).map(<[u64]>::to_vec).collect(),
    })
}

/// Steps of `size` examples each, the last one with what is left.
fn step_sizes(n: usize, size: u32) -> Vec<(u32, u32)> {
    let whole = u32::try_from(n / size as usize).unwrap_or(u32::MAX);
    let rest = (n % size as usize) as u32;
    [(size, whole), (rest, 1)].into_iter().filter(|(size, count)| *size > 0 && *count > 0).collect()
}

/// Refuses a reference that was trained on an order that is tested.
fn require_other_order(
    order: &Order,
    others: &[Vec<u64>],
    reference: usize,
) -> Result<(), Refusal> {
    let Places::Epochs(epochs) = &order.places else { return Ok(()) };
    match epochs.iter().position(|epoch| others.contains(&epoch.ids)) {
        None => Ok(()),
        Some(epoch) => Err(Refusal::DependentReference {
            reference: reference.to_string(),
            reason: format!("it was trained on the same order as epoch {epoch}"),
        }),
    }
}

/// Reads files and keeps their digests.
struct Reader {
    inputs: Vec<InputFile>,
}

impl Reader {
    /// A column; its file is an input of the test in `role`, if it has one.
    fn column(&mut self, role: Option<Role>, source: &ColumnSource) -> anyhow::Result<Column> {
        let column = numbers(source)?;
        // A single row or column is a list; any other table would be read as one by mistake.
        let table = column.rows > 1 && column.columns.is_some_and(|columns| columns > 1);
        if let Some(role) = role.filter(|role| *role != Role::Order && table) {
            bail!(
                "{source}: the shape is {}, but {} are one list: save one column of it",
                column.shape(),
                role.name()
            );
        }
        if let Some(role) = role {
            let (size, sha256) = digest_of(&source.path)?;
            let name = source.path.file_name().map(|name| name.to_string_lossy().into_owned());
            self.inputs.push(InputFile {
                role,
                name: name.unwrap_or_default(),
                column: source.column.clone(),
                size,
                sha256,
            });
        }
        Ok(column)
    }

    /// A column of ids, when there is one.
    fn ids(
        &mut self,
        role: Role,
        source: Option<&ColumnSource>,
    ) -> anyhow::Result<Option<Vec<u64>>> {
        source.map(|source| Ok(self.column(Some(role), source)?.as_ids()?)).transpose()
    }

    fn scores(&mut self, role: Role, source: &ColumnSource) -> anyhow::Result<Scores> {
        let values = self.column(Some(role), source)?.as_f64()?;
        Ok(Scores { name: source.to_string(), values })
    }
}

/// Size and SHA-256 of a file.
fn digest_of(path: &Path) -> anyhow::Result<(u64, Digest)> {
    let read = || of_reader(&mut std::fs::File::open(path)?);
    read().with_context(|| format!("cannot read {}", path.display()))
}

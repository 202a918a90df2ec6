//! A membership test on an order as it was recorded: epochs, law and unit decide how positions are
//! made and where the p-value comes from.

use super::adjust::adjusted;
use super::epochs::{Part, by_epoch, by_epoch_drawn};
use super::law::{NullKind, check_ids, null_of, require_closed_form};
use super::order_list::{Resolution, never_seen_first, padding, positions_of};
use super::template::Template;
use super::units::aggregate;
use super::{Adjust, Draws, Finding, Kind, Metric, Null, Query, Refusal, Tail, pseudo_replication};
use ledger::order::{OrderLaw, Unit};
use ledger::seed::Randomness;
use std::collections::{HashMap, HashSet};

/// One epoch (or block) of an order.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// Its number.
    pub epoch: u32,
    /// Ids in the order consumed.
    pub ids: Vec<u64>,
    /// Step sizes, run-length encoded; empty when they are not known.
    pub steps: Vec<(u32, u32)>,
}

/// Where the examples were in the order.
#[derive(Debug, Clone)]
pub enum Places {
    /// Ids as consumed, epoch by epoch.
    Epochs(Vec<Epoch>),
    /// The position of each scored row; nothing is known of the others.
    Positions(Vec<u64>),
}

/// An order and how it was drawn.
#[derive(Debug, Clone)]
pub struct Order {
    /// Where the examples were.
    pub places: Places,
    /// Examples in the dataset; with positions only, the scored rows.
    pub examples: u64,
    /// How it was drawn.
    pub law: OrderLaw,
    /// What it moves as one piece.
    pub unit: Unit,
    /// Where its seed came from.
    pub randomness: Option<Randomness>,
    /// Bits of the seed.
    pub seed_bits: Option<u32>,
}

/// What is tested, and how; every choice is made before the scores are looked at.
#[derive(Debug, Clone)]
pub struct Audit<'a> {
    /// The order.
    pub order: &'a Order,
    /// The suspect's score on each row.
    pub scores: &'a [f64],
    /// Scores of independent models, in the same rows.
    pub references: Vec<&'a [f64]>,
    /// Which example each row is; all, in dataset order, when `None`.
    pub rows: Option<&'a [u64]>,
    /// The shuffled unit of each row, when the order moves more than single examples.
    pub units: Option<&'a [u64]>,
    /// The block of each row, where a blockwise order is given by positions.
    pub blocks: Option<&'a [u64]>,
    /// What a position counts.
    pub resolution: Resolution,
    /// The profile that positions are replaced by, learnt from runs of other orders.
    pub template: Option<&'a Template>,
    /// The coefficient.
    pub metric: Metric,
    /// The alternative.
    pub tail: Tail,
    /// What the references are used for.
    pub adjust: Adjust,
    /// What a score is.
    pub kind: Kind,
    /// Draws of a Monte Carlo p-value, when one is asked for.
    pub monte_carlo: Option<Draws>,
    /// Weight of each epoch relative to the next one in the combination.
    pub gamma: f64,
}

/// The rows of one test as columns of equal length.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) positions: Vec<u64>,
    /// Examples (or units) of the rows.
    pub(super) ids: Vec<u64>,
    pub(super) blocks: Option<Vec<u64>>,
    pub(super) scores: Vec<f64>,
    pub(super) references: Vec<Vec<f64>>,
}

impl Audit<'_> {
    /// Makes the test: one query per independent epoch order, combined when there are several.
    ///
    /// # Errors
    /// Whenever there is no valid p-value; the reason and the remedy are in the refusal.
    pub fn run(&self) -> Result<Finding, Refusal> {
        let order = self.order;
        let tested = if self.units.is_some() { order.unit } else { Unit::Sample };
        let null = null_of(order.law, order.unit, tested)?;
        self.check_lengths()?;
        self.check_blocks(null)?;
        let finding = match &order.places {
            Places::Positions(positions) => {
                let rows: Vec<(usize, u64)> = positions.iter().copied().enumerate().collect();
                let columns = self.columns(&rows)?;
                let mut finding = self.test(&columns, null, 0)?;
                finding.warnings.extend(self.pseudo_replication(&columns)?);
                finding
            }
            Places::Epochs(epochs) => self.on_epochs(epochs, null)?,
        };
        Ok(finding.with_randomness(order.randomness, order.seed_bits))
    }

    fn on_epochs(&self, epochs: &[Epoch], null: NullKind) -> Result<Finding, Refusal> {
        let whole;
        let epochs = match self.order.law {
            // The same order again is the same randomisation again: one test.
            OrderLaw::UniformSameEachEpoch => {
                require_same(epochs)?;
                epochs.get(..1).unwrap_or_default()
            }
            // A sampler with replacement knows no epochs.
            OrderLaw::Replacement => {
                let ids = epochs.iter().flat_map(|epoch| epoch.ids.iter().copied()).collect();
                whole = [Epoch { epoch: 0, ids, steps: Vec::new() }];
                &whole
            }
            _ => epochs,
        };
        if self.order.law == OrderLaw::Blockwise && epochs.len() == 1 {
            // One list of ids says nothing of where its blocks end.
            return Err(Refusal::NeedsMonteCarlo {
                law: OrderLaw::Blockwise,
                remedy: "give one row of ids per block, or positions with the block of each \
                         example and a number of draws",
            });
        }
        let mut tests = Vec::with_capacity(epochs.len());
        let rows = self.rows.map_or(self.order.examples, |rows| rows.len() as u64);
        let mut seen = vec![false; rows as usize];
        let mut warnings = Vec::new();
        for (place, epoch) in epochs.iter().enumerate() {
            let last = place + 1 == epochs.len();
            let of = self.seen(epoch, last && (place > 0 || epoch.epoch > 0))?;
            warnings.extend(self.told_of(epoch));
            of.iter().for_each(|(row, _)| seen[*row] = true);
            let columns = self.columns(&of)?;
            warnings.extend(self.pseudo_replication(&columns)?);
            tests.push((epoch, columns));
        }
        let left_out = seen.iter().filter(|seen| !**seen).count() as u64;
        if left_out > 0 {
            warnings.push(format!(
                "{left_out} of {rows} rows are left out of the test: the order does not have their \
                 examples"
            ));
        }
        let mut finding = match tests.as_slice() {
            [] => return Err(Refusal::TooFew { needed: 1, found: 0 }),
            [(epoch, columns)] => self.test(columns, null, epoch.ids.len() as u64)?,
            _ if self.template.is_some() => {
                let found = tests.len() as u64;
                return Err(Refusal::OneEpoch { what: "a template", found });
            }
            _ => self.combined(&tests)?,
        };
        finding.rows_left_out = left_out;
        finding.warnings.extend(warnings);
        Ok(finding)
    }

    /// All epochs, or all blocks, in one test.
    fn combined(&self, tests: &[(&Epoch, Columns)]) -> Result<Finding, Refusal> {
        let backs = match self.order.law {
            OrderLaw::Blockwise => {
                passes_after(tests.iter().map(|(epoch, _)| epoch.ids.as_slice()))
            }
            _ => (0..tests.len() as u32).rev().collect(),
        };
        let parts = tests.iter().zip(backs).map(|((epoch, columns), back)| Part {
            epoch: epoch.epoch,
            back,
            ids: &epoch.ids,
            query: self.query(columns),
        });
        let parts: Vec<Part<'_>> = parts.collect();
        match self.monte_carlo {
            None => by_epoch(&parts, self.gamma),
            Some(draws) => by_epoch_drawn(&parts, self.gamma, draws),
        }
    }

    /// What a reader must know of an epoch that is not each example once.
    fn told_of(&self, epoch: &Epoch) -> Vec<String> {
        let Order { examples, law, .. } = *self.order;
        let mut told = Vec::new();
        if law == OrderLaw::Replacement {
            return told;
        }
        let (number, padded) = (epoch.epoch, padding(&epoch.ids) as u64);
        if padded > 0 {
            told.push(format!(
                "the last {padded} ids of epoch {number} repeat its first ones, which looks like a \
                 sampler's padding: their first place counts"
            ));
        }
        let held = epoch.ids.len() as u64 - padded;
        if law == OrderLaw::Uniform && held + examples / 10 < examples {
            told.push(format!(
                "epoch {number} was cut short: it has {held} of {examples} examples, and is tested \
                 on those"
            ));
        }
        told
    }

    /// Whether scores are alike wherever positions are tied.
    fn pseudo_replication(&self, columns: &Columns) -> Result<Option<String>, Refusal> {
        let references: Vec<&[f64]> = columns.references.iter().map(Vec::as_slice).collect();
        let adjusted = adjusted(self.adjust, &columns.scores, &references)?;
        Ok(pseudo_replication::warning(&columns.positions, &adjusted))
    }

    /// Refuses blocks that the test would ignore.
    fn check_blocks(&self, null: NullKind) -> Result<(), Refusal> {
        match (self.blocks, null, &self.order.places) {
            (None, ..) | (_, NullKind::WithinBlocks, Places::Positions(_)) => Ok(()),
            (_, NullKind::WithinBlocks, Places::Epochs(_)) => Err(Refusal::UnusedBlocks {
                why: "the order has its own",
                remedy: "give one row of ids per block, or positions in place of the order",
            }),
            _ => Err(Refusal::UnusedBlocks {
                why: "the law says that examples were shuffled over all of them",
                remedy: "declare the law blockwise, or leave the blocks out",
            }),
        }
    }

    fn check_lengths(&self) -> Result<(), Refusal> {
        let positions = match &self.order.places {
            Places::Positions(positions) => Some(positions.len()),
            Places::Epochs(_) => self.rows.map(<[u64]>::len),
        };
        let expected = positions.map_or(self.order.examples, |rows| rows as u64);
        let mut lengths = vec![("scores".to_owned(), self.scores.len())];
        let references = self.references.iter().zip(0..);
        lengths.extend(references.map(|(column, k)| (format!("reference {k}"), column.len())));
        lengths.extend(self.units.map(|units| ("units".to_owned(), units.len())));
        lengths.extend(self.blocks.map(|blocks| ("blocks".to_owned(), blocks.len())));
        if let Some((what, found)) = lengths.into_iter().find(|(_, n)| *n as u64 != expected) {
            return Err(Refusal::Length { what, expected, found: found as u64 });
        }
        match (self.rows, &self.order.places) {
            (Some(rows), Places::Epochs(_)) => {
                check_ids(rows, self.order.examples)?;
                check_repeats(rows, self.units)
            }
            _ => Ok(()),
        }
    }

    /// A shadow run for a template: rows, positions and adjusted scores of its last epoch.
    ///
    /// # Errors
    /// As [`Audit::run`].
    pub fn imprint(&self) -> Result<(Vec<u64>, Vec<f64>), Refusal> {
        self.check_lengths()?;
        let columns = match &self.order.places {
            Places::Positions(positions) => {
                let rows: Vec<(usize, u64)> = positions.iter().copied().enumerate().collect();
                self.columns(&rows)?
            }
            Places::Epochs(epochs) => {
                let last = epochs.last().ok_or(Refusal::TooFew { needed: 1, found: 0 })?;
                self.columns(&self.seen(last, epochs.len() > 1)?)?
            }
        };
        let references: Vec<&[f64]> = columns.references.iter().map(Vec::as_slice).collect();
        let adjusted = adjusted(self.adjust, &columns.scores, &references)?.into_owned();
        Ok((columns.positions, adjusted))
    }

    /// Rows that an epoch saw, with their positions. Which ones it left out is as random as its
    /// order, so that leaving them out here changes nothing; `cut`: it may have been cut short
    /// anywhere, as the last epoch of a training is.
    fn seen(&self, epoch: &Epoch, cut: bool) -> Result<Vec<(usize, u64)>, Refusal> {
        let Order { examples, law, .. } = *self.order;
        let law = match law {
            OrderLaw::Uniform if cut => OrderLaw::UniformSubset,
            law => law,
        };
        let resolution = if epoch.steps.is_empty() { Resolution::Sample } else { self.resolution };
        let found = positions_of(&epoch.ids, examples, law, resolution, &epoch.steps)?;
        let found = match law {
            OrderLaw::Replacement => never_seen_first(&found).into_iter().map(Some).collect(),
            _ => found,
        };
        let position = |(row, id): (usize, u64)| Some((row, found[id as usize]?));
        Ok(match self.rows {
            Some(rows) => rows.iter().copied().enumerate().filter_map(position).collect(),
            None => (0..examples).enumerate().filter_map(position).collect(),
        })
    }

    fn columns(&self, seen: &[(usize, u64)]) -> Result<Columns, Refusal> {
        let pick = |column: &[f64]| seen.iter().map(|(row, _)| column[*row]).collect::<Vec<f64>>();
        let of = |column: &[u64]| seen.iter().map(|(row, _)| column[*row]).collect::<Vec<u64>>();
        let positions: Vec<u64> = seen.iter().map(|(_, position)| *position).collect();
        let ids = match self.rows {
            Some(rows) => of(rows),
            None => seen.iter().map(|(row, _)| *row as u64).collect(),
        };
        let scores = pick(self.scores);
        let references: Vec<Vec<f64>> = self.references.iter().map(|column| pick(column)).collect();
        let blocks = self.blocks.map(of);
        let Some(units) = self.units else {
            return Ok(Columns { positions, ids, blocks, scores, references });
        };
        let all = std::iter::once(&scores).chain(&references);
        let all: Vec<&[f64]> = all.map(Vec::as_slice).collect();
        let mut means = aggregate(&of(units), &positions, &all)?;
        let references = means.columns.split_off(1);
        let scores = means.columns.pop().unwrap_or_default();
        Ok(Columns { positions: means.positions, ids: means.units, blocks, scores, references })
    }

    fn query<'b>(&self, columns: &'b Columns) -> Query<'b> {
        Query {
            positions: &columns.positions,
            scores: &columns.scores,
            references: columns.references.iter().map(Vec::as_slice).collect(),
            metric: self.metric,
            tail: self.tail,
            adjust: self.adjust,
            kind: self.kind,
        }
    }

    /// One query; `sampled` is the number of ids that a sampler with replacement drew.
    fn test(&self, columns: &Columns, null: NullKind, sampled: u64) -> Result<Finding, Refusal> {
        let query = self.query(columns);
        if let Some(template) = self.template {
            // The profile is a function of the position under a uniform order only.
            require_closed_form(self.order.law, null)?;
            if self.monte_carlo.is_some() {
                return Err(Refusal::TemplateDraws);
            }
            return template.test(&query);
        }
        let examples = self.order.examples;
        let is_epoch = matches!(self.order.places, Places::Epochs(_));
        match (null, self.monte_carlo, &columns.blocks) {
            (NullKind::Uniform, None, _) => query.run(),
            (NullKind::Uniform, Some(Draws { draws, seed }), _) => {
                query.monte_carlo(draws, seed, Null::Permutation)
            }
            // An epoch of a recorded blockwise order is one block, uniform within itself.
            (NullKind::WithinBlocks, None, None) if is_epoch => query.run(),
            (NullKind::WithinBlocks, Some(Draws { draws, seed }), None) if is_epoch => {
                query.monte_carlo(draws, seed, Null::Permutation)
            }
            (NullKind::WithinBlocks, Some(Draws { draws, seed }), Some(blocks)) => {
                query.monte_carlo(draws, seed, Null::WithinBlocks(blocks))
            }
            (NullKind::Reexecution, Some(Draws { draws, seed }), _) if is_epoch => {
                let ids = &columns.ids;
                query.monte_carlo(draws, seed, Null::Replacement { ids, examples, draws: sampled })
            }
            // The closed form, which the law does not have, was asked for; or what its draws need
            // was not given.
            (NullKind::WithinBlocks | NullKind::Reexecution, ..) => {
                require_closed_form(self.order.law, null).and_then(|()| query.run())
            }
        }
    }
}

/// Refuses an example in two rows, each of which would count; rows of one unit are averaged.
fn check_repeats(rows: &[u64], units: Option<&[u64]>) -> Result<(), Refusal> {
    let mut first: HashMap<u64, usize> = HashMap::with_capacity(rows.len());
    for (index, &id) in rows.iter().enumerate() {
        let earlier = *first.entry(id).or_insert(index);
        if earlier == index {
            continue;
        }
        let (place, first) = (index as u64, earlier as u64);
        match units {
            None => return Err(Refusal::RepeatedRow { index: place, id, first }),
            Some(units) if units[earlier] != units[index] => {
                return Err(Refusal::SplitExample { index: place, id, first });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Refuses epochs of different orders; the last may be cut short.
fn require_same(epochs: &[Epoch]) -> Result<(), Refusal> {
    let Some((one, others)) = epochs.split_first() else { return Ok(()) };
    let held = |epoch: &Epoch| epoch.ids.len() - padding(&epoch.ids);
    for (second, other) in (1..).zip(others) {
        let common = held(one).min(held(other));
        let cut = held(other) < held(one) && second < others.len() as u64;
        if one.ids[..common] != other.ids[..common] || held(other) > held(one) || cut {
            return Err(Refusal::OrdersDiffer { first: 0, second });
        }
    }
    Ok(())
}

/// For each block the epochs after the one that it belongs to: an epoch is over when an id comes
/// back.
fn passes_after<'a>(blocks: impl Iterator<Item = &'a [u64]>) -> Vec<u32> {
    let mut seen: HashSet<u64> = HashSet::new();
    let mut pass = 0;
    let passes: Vec<u32> = blocks
        .map(|ids| {
            if ids.iter().any(|id| seen.contains(id)) {
                seen.clear();
                pass += 1;
            }
            seen.extend(ids);
            pass
        })
        .collect();
    passes.into_iter().map(|of| pass - of).collect()
}

#[cfg(test)]
mod tests;

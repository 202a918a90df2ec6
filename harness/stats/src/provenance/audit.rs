//! A membership test on an order as it was recorded: epochs, law and unit decide how positions are
//! made and where the p-value comes from.

use super::adjust::adjusted;
use super::epochs::by_epoch;
use super::law::{NullKind, check_ids, null_of, require_closed_form};
use super::order_list::{Resolution, never_seen_first, positions_of};
use super::template::Template;
use super::units::aggregate;
use super::{Adjust, Draws, Finding, Kind, Metric, Null, Query, Refusal, Tail};
use ledger::order::{OrderLaw, Unit};
use ledger::seed::Randomness;

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
        let finding = match &order.places {
            Places::Positions(positions) => {
                let rows: Vec<(usize, u64)> = positions.iter().copied().enumerate().collect();
                self.test(&self.columns(&rows)?, null, 0)?
            }
            Places::Epochs(epochs) => self.on_epochs(epochs, null)?,
        };
        Ok(finding.with_randomness(order.randomness, order.seed_bits))
    }

    fn on_epochs(&self, epochs: &[Epoch], null: NullKind) -> Result<Finding, Refusal> {
        let whole;
        let epochs = match self.order.law {
            // The same order again is the same randomness again: one test.
            OrderLaw::UniformSameEachEpoch => epochs.get(..1).unwrap_or_default(),
            // A sampler with replacement knows no epochs.
            OrderLaw::Replacement => {
                let ids = epochs.iter().flat_map(|epoch| epoch.ids.iter().copied()).collect();
                whole = [Epoch { epoch: 0, ids, steps: Vec::new() }];
                &whole
            }
            _ => epochs,
        };
        let columns = epochs.iter().map(|epoch| {
            let columns = self.columns(&self.seen(epoch)?)?;
            Ok((epoch.epoch, epoch.ids.len() as u64, columns))
        });
        let mut tests = columns.collect::<Result<Vec<_>, Refusal>>()?;
        if self.order.law == OrderLaw::Blockwise && tests.len() == 1 {
            // One list of ids says nothing of where its blocks end.
            return Err(Refusal::NeedsMonteCarlo {
                law: OrderLaw::Blockwise,
                remedy: "give one row of ids per block, or positions with the block of each \
                         example and a number of draws",
            });
        }
        match tests.len() {
            0 => Err(Refusal::TooFew { needed: 1, found: 0 }),
            1 => {
                let (_, draws, columns) = tests.remove(0);
                self.test(&columns, null, draws)
            }
            found if self.template.is_some() => {
                Err(Refusal::OneEpoch { what: "a template", found: found as u64 })
            }
            found if self.monte_carlo.is_some() => {
                Err(Refusal::OneEpoch { what: "a Monte Carlo p-value", found: found as u64 })
            }
            _ => {
                let queries = tests.iter().map(|(epoch, _, columns)| (*epoch, self.query(columns)));
                by_epoch(&queries.collect::<Vec<_>>(), self.gamma)
            }
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
            (Some(rows), Places::Epochs(_)) => check_ids(rows, self.order.examples),
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
                self.columns(&self.seen(last)?)?
            }
        };
        let references: Vec<&[f64]> = columns.references.iter().map(Vec::as_slice).collect();
        let adjusted = adjusted(self.adjust, &columns.scores, &references)?.into_owned();
        Ok((columns.positions, adjusted))
    }

    /// Rows that an epoch saw, with their positions. Which ones it left out is as random as its
    /// order, so that leaving them out here changes nothing.
    fn seen(&self, epoch: &Epoch) -> Result<Vec<(usize, u64)>, Refusal> {
        let Order { examples, law, .. } = *self.order;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::template::Shadow;
    use ledger::digest::Digest;
    use ledger::order::uniform_order;
    use ledger::seed::Seed;

    const EXAMPLES: u32 = 200;

    fn ids(epoch: u32) -> Vec<u64> {
        let seed = Seed::from_integer(1).bytes;
        uniform_order(&seed, epoch, EXAMPLES).into_iter().map(u64::from).collect()
    }

    fn order(law: OrderLaw, epochs: u32) -> Order {
        let epochs = (0..epochs).map(|epoch| Epoch { epoch, ids: ids(epoch), steps: Vec::new() });
        Order {
            places: Places::Epochs(epochs.collect()),
            examples: u64::from(EXAMPLES),
            law,
            unit: Unit::Sample,
            randomness: None,
            seed_bits: None,
        }
    }

    /// Lower the later an example came in epoch 0, with a little noise.
    fn scores() -> Vec<f64> {
        let mut scores = vec![0.0; EXAMPLES as usize];
        for (place, id) in ids(0).into_iter().enumerate() {
            scores[id as usize] = (place * 7919 % 61) as f64 - place as f64;
        }
        scores
    }

    fn audit<'a>(order: &'a Order, scores: &'a [f64]) -> Audit<'a> {
        Audit {
            order,
            scores,
            references: Vec::new(),
            rows: None,
            units: None,
            blocks: None,
            resolution: Resolution::Sample,
            template: None,
            metric: Metric::Spearman,
            tail: Tail::TwoSided,
            adjust: Adjust::None,
            kind: Kind::Loss,
            monte_carlo: None,
            gamma: 0.5,
        }
    }

    fn template() -> Template {
        let positions: Vec<u64> = (0..100).collect();
        let adjusted: Vec<f64> = positions.iter().map(|&at| -(at as f64)).collect();
        let shadow = Shadow {
            order_hash: Digest::of(b"shadow"),
            positions: &positions,
            adjusted: &adjusted,
        };
        Template::learn(&[shadow], &[], 10).unwrap()
    }

    #[test]
    fn a_uniform_order_and_its_positions_give_the_same_answer() {
        let (order, scores) = (order(OrderLaw::Uniform, 1), scores());
        let found = audit(&order, &scores).run().unwrap();
        assert!(found.log10_p < -50.0, "{found:?}");
        let mut positions = vec![0; EXAMPLES as usize];
        for (place, id) in (0..).zip(ids(0)) {
            positions[id as usize] = place;
        }
        let placed = Order { places: Places::Positions(positions), ..order };
        assert_eq!(audit(&placed, &scores).run().unwrap(), found);
    }

    #[test]
    fn a_flat_blockwise_order_is_no_block_and_gets_no_closed_form() {
        let (flat, scores) = (order(OrderLaw::Blockwise, 1), scores());
        let refusal = audit(&flat, &scores).run().unwrap_err();
        assert!(matches!(refusal, Refusal::NeedsMonteCarlo { .. }), "{refusal}");
        assert!(refusal.to_string().contains("one row of ids per block"), "{refusal}");
    }

    #[test]
    fn draws_and_templates_are_of_one_epoch() {
        let (two, scores, template) = (order(OrderLaw::Uniform, 2), scores(), template());
        let monte_carlo = Some(Draws { draws: 9, seed: 0 });
        let refusal = Audit { monte_carlo, ..audit(&two, &scores) }.run().unwrap_err();
        assert_eq!(refusal, Refusal::OneEpoch { what: "a Monte Carlo p-value", found: 2 });
        let refusal =
            Audit { template: Some(&template), ..audit(&two, &scores) }.run().unwrap_err();
        assert_eq!(refusal, Refusal::OneEpoch { what: "a template", found: 2 });
        assert!(audit(&two, &scores).run().unwrap().epochs.is_some());
    }

    #[test]
    fn a_template_takes_no_draws_and_holds_under_uniform_orders_only() {
        let (one, scores, template) = (order(OrderLaw::Uniform, 1), scores(), template());
        let with = Audit { template: Some(&template), ..audit(&one, &scores) };
        assert!(with.run().unwrap().statistic > 0.9);
        let monte_carlo = Some(Draws { draws: 9, seed: 0 });
        let refusal = Audit { monte_carlo, ..with.clone() }.run().unwrap_err();
        assert_eq!(refusal, Refusal::TemplateDraws);
        let drawn = order(OrderLaw::Replacement, 1);
        let refusal = Audit { order: &drawn, ..with }.run().unwrap_err();
        assert!(matches!(refusal, Refusal::NeedsMonteCarlo { .. }), "{refusal}");
    }

    #[test]
    fn the_same_order_in_every_epoch_is_one_test() {
        let (once, scores) = (order(OrderLaw::Uniform, 1), scores());
        let first = Epoch { epoch: 0, ids: ids(0), steps: Vec::new() };
        let places = Places::Epochs(vec![first.clone(), Epoch { epoch: 1, ..first }]);
        let twice = Order { places, law: OrderLaw::UniformSameEachEpoch, ..once.clone() };
        assert_eq!(audit(&twice, &scores).run(), audit(&once, &scores).run());
    }
}

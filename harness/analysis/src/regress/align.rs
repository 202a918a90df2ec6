//! Two snapshots laid side by side, metric by metric and pair by pair.

use std::collections::BTreeMap;

use super::RegressError;
use super::metric::{CellName, Class, Metric, MetricName, Tolerance, Value};
use super::snapshot::Snapshot;
use ledger::digest::Digest;
use ledger::goal::Direction;

/// What a metric is, the same in all its cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// How it is compared.
    pub class: Class,
    /// Unit.
    pub unit: String,
    /// Which way it improves.
    pub direction: Option<Direction>,
    /// Of class `ulp`.
    pub tolerance: Option<Tolerance>,
    /// The smallest change that matters.
    pub margin: Option<f64>,
    /// The value of a score that cannot be passed.
    pub best: Option<f64>,
}

impl Definition {
    fn of(metric: &Metric) -> Self {
        Self {
            class: metric.class,
            unit: metric.unit.clone(),
            direction: metric.direction,
            tolerance: metric.tolerance,
            margin: metric.margin,
            best: metric.best,
        }
    }

    /// Refuses another unit, class or direction. Margin and tolerance of the base count: a change
    /// cannot loosen the gate it has to pass.
    fn agree(&self, other: &Self, name: &MetricName) -> Result<(), RegressError> {
        let mixed = |what, one: String, other: String| {
            Err(RegressError::Mixed { metric: name.to_string(), what, one, other })
        };
        if self.unit != other.unit {
            return mixed("unit", self.unit.clone(), other.unit.clone());
        }
        if self.class != other.class {
            return mixed("class", self.class.name().to_owned(), other.class.name().to_owned());
        }
        if self.direction != other.direction {
            let shown = |direction: Option<Direction>| format!("{direction:?}");
            return mixed("direction", shown(self.direction), shown(other.direction));
        }
        Ok(())
    }
}

/// The two values of one seed in one round.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Couple {
    /// Of the base.
    pub base: Option<Value>,
    /// Of the head.
    pub head: Option<Value>,
    /// The machine was too busy during one of the two.
    pub disturbed: bool,
}

/// One metric over its seeds and rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned {
    /// Which metric.
    pub name: MetricName,
    /// What it is.
    pub definition: Definition,
    /// By seed and round.
    pub couples: BTreeMap<(String, u32), Couple>,
    /// Digest of what the suite sets in its cells, the head's where it has any.
    pub config: Digest,
    /// A cell that ran with other settings on the other side: its values are of another experiment.
    pub other_config: Option<CellName>,
}

impl Aligned {
    /// Whether a side has any value.
    #[must_use]
    pub fn sides(&self) -> (bool, bool) {
        let couples = || self.couples.values();
        (
            couples().any(|couple| couple.base.is_some()),
            couples().any(|couple| couple.head.is_some()),
        )
    }
}

/// Lays `base` and `head` side by side, in order of the metrics' names.
///
/// # Errors
/// When they are of two suites, or a metric has two definitions.
pub fn align(base: &Snapshot, head: &Snapshot) -> Result<Vec<Aligned>, RegressError> {
    if base.suite != head.suite {
        let (base, head) = (base.suite.clone(), head.suite.clone());
        return Err(RegressError::OtherSuite { base, head });
    }
    let mut rows = BTreeMap::new();
    add(&mut rows, base, |couple, value| couple.base = Some(value))?;
    add(&mut rows, head, |couple, value| couple.head = Some(value))?;
    let configs: BTreeMap<CellName, Digest> =
        base.cells.iter().map(|cell| (cell.name(), cell.config)).collect();
    for cell in &head.cells {
        let name = cell.name();
        if configs.get(&name).is_some_and(|config| *config != cell.config) {
            for row in rows
                .values_mut()
                .filter(|row| (&row.name.workload, &row.name.arm) == (&cell.workload, &cell.arm))
            {
                row.other_config.get_or_insert_with(|| name.clone());
            }
        }
    }
    Ok(rows.into_values().collect())
}

/// Refuses a metric that has two definitions within one snapshot.
pub(super) fn check_definitions(snapshot: &Snapshot) -> Result<(), RegressError> {
    add(&mut BTreeMap::new(), snapshot, |couple, value| couple.base = Some(value))
}

fn add(
    rows: &mut BTreeMap<MetricName, Aligned>,
    side: &Snapshot,
    put: impl Fn(&mut Couple, Value),
) -> Result<(), RegressError> {
    for cell in &side.cells {
        for metric in &cell.metrics {
            let name = MetricName {
                workload: cell.workload.clone(),
                arm: cell.arm.clone(),
                metric: metric.name.clone(),
            };
            let definition = Definition::of(metric);
            let row = rows.entry(name.clone()).or_insert_with(|| Aligned {
                name: name.clone(),
                definition: definition.clone(),
                couples: BTreeMap::new(),
                config: cell.config,
                other_config: None,
            });
            row.config = cell.config;
            row.definition.agree(&definition, &name)?;
            let couple = row.couples.entry((cell.seed.clone(), cell.round)).or_default();
            couple.disturbed |= cell.disturbed;
            put(couple, metric.value.clone());
        }
    }
    Ok(())
}

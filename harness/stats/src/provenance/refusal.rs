//! Why there is no p-value: every refusal names what was found and what to do about it.

use ledger::digest::Digest;
use ledger::order::{OrderLaw, Unit};

/// Why a provenance question has no valid answer as it was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Fewer examples than can ever give evidence.
    #[error(
        "{found} examples is too few: below {needed} no order of them is rarer than 1 in 20; \
         score more examples"
    )]
    TooFew {
        /// The least number taken.
        needed: u64,
        /// The number given.
        found: u64,
    },
    /// Two columns that must run in parallel do not.
    #[error("{what} has {found} entries, but there are {expected} positions: give one per example")]
    Length {
        /// The column, such as "scores" or "reference 2".
        what: String,
        /// Entries it must have.
        expected: u64,
        /// Entries it has.
        found: u64,
    },
    /// A NaN or an infinity.
    #[error("{what}[{index}] is {value}: leave the example out of every file or score it again")]
    NotFinite {
        /// The column.
        what: String,
        /// Row, from 0.
        index: u64,
        /// The value.
        value: f64,
    },
    /// A column without variation has no rank order.
    #[error(
        "{what} is {value} for every example, so nothing can be associated with it: check that \
         the scores come from the model that was meant{hint}"
    )]
    Constant {
        /// The column.
        what: String,
        /// Its only value.
        value: f64,
        /// What else to check, or nothing.
        hint: &'static str,
    },
    /// All examples share one position.
    #[error(
        "every example has position {position}: give the position of each example in the order"
    )]
    ConstantPositions {
        /// The only position.
        position: u64,
    },
    /// An adjustment needs a reference.
    #[error(
        "adjust is {adjust}, but there is no reference: give one, independent of the order, or \
         use none"
    )]
    NoReference {
        /// The adjustment asked for.
        adjust: &'static str,
    },
    /// A reference that would be ignored.
    #[error("there are {references} references, but adjust is none: use difference or residual")]
    UnusedReference {
        /// References given.
        references: u64,
    },
    /// The reference's own training consumed the order that is tested.
    #[error(
        "reference {reference} depends on the order that is tested ({reason}), which turns an \
         innocent model into a certain accusation: use a model trained on another order"
    )]
    DependentReference {
        /// Name of the reference.
        reference: String,
        /// How it depends: by order hash or by lineage.
        reason: String,
    },
    /// A shadow run with the audited order.
    #[error(
        "shadow run {shadow} was trained on the audited order {order_hash}: learn the template \
         from runs of other orders only"
    )]
    DependentShadow {
        /// Number of the shadow run, from 0.
        shadow: u64,
        /// The order they share.
        order_hash: Digest,
    },
    /// Two epochs of the same order, up to few edits.
    #[error(
        "epochs {first} and {second} have the same order: that is one randomisation, not two; test \
         each order once"
    )]
    RepeatedOrder {
        /// The earlier epoch (or the first block of it), from 0.
        first: u64,
        /// The later one.
        second: u64,
    },
    /// Two epochs of different orders where the law says that there is one.
    #[error(
        "the order law is uniform-same-each-epoch, but epochs {first} and {second} have different \
         orders: declare the law uniform, or give the order once"
    )]
    OrdersDiffer {
        /// The earlier epoch, from 0.
        first: u64,
        /// The later one.
        second: u64,
    },
    /// Blocks that would be ignored.
    #[error("there is a block per example, but {why}: {remedy}")]
    UnusedBlocks {
        /// Why they mean nothing.
        why: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A row whose example is in another row already.
    #[error(
        "row {index} is example {id} again (first in row {first}): an example counts once; leave \
         the repeats out, or average them with a unit for each row (--units)"
    )]
    RepeatedRow {
        /// The later row, from 0.
        index: u64,
        /// The id.
        id: u64,
        /// The earlier row.
        first: u64,
    },
    /// An example in two units.
    #[error(
        "row {index} is example {id} again, in another unit than row {first}: what was shuffled \
         moved the example once; give all its rows one unit"
    )]
    SplitExample {
        /// The later row, from 0.
        index: u64,
        /// The id.
        id: u64,
        /// The earlier row.
        first: u64,
    },
    /// What is asked needs one epoch to be chosen.
    #[error("{what} is of one epoch, but the order has {found}: choose one by its number")]
    OneEpoch {
        /// What was asked for.
        what: &'static str,
        /// Epochs of the order.
        found: u64,
    },
    /// A template's p-value has a closed form only.
    #[error("a template is tested by its closed form: leave out the number of draws")]
    TemplateDraws,
    /// An order without a known null distribution.
    #[error("the order law is {}, {why}: no p-value is valid; {remedy}", law.name())]
    NoNull {
        /// The law.
        law: OrderLaw,
        /// Why there is no null distribution.
        why: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The law needs a null of its own and a closed form was asked for.
    #[error("the order law is {}: the closed form does not hold; {remedy}", law.name())]
    NeedsMonteCarlo {
        /// The law.
        law: OrderLaw,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A correlation of few, uneven values.
    #[error(
        "positions and scores are tied, or a few of them lie so far out, that their association takes \
         few values, unevenly apart, and no formula gives its p-value: draw orders \
         (--monte-carlo 9999), or take spearman for pearson"
    )]
    TooCoarse,
    /// What was shuffled is not what is tested.
    #[error(
        "the order shuffles {} and the scores are per {}: p-values on single examples would be \
         too small; give the unit of each example to average the scores within units",
        plural(*shuffled), singular(*tested)
    )]
    UnitMismatch {
        /// What the order moves as one piece.
        shuffled: Unit,
        /// What the scores are given for.
        tested: Unit,
    },
    /// A unit whose examples do not lie together in the order.
    #[error(
        "unit {unit} is spread over the order: position {position} of unit {other} lies inside \
         it, so the order did not move whole units; check the unit of each example"
    )]
    ScatteredUnit {
        /// The unit.
        unit: u64,
        /// The unit found inside it.
        other: u64,
        /// Where.
        position: u64,
    },
    /// An id outside the dataset.
    #[error("order[{index}] is {id}, but the dataset has {examples} examples (ids from 0)")]
    NoSuchExample {
        /// Place in the order, from 0.
        index: u64,
        /// The id.
        id: u64,
        /// Size of the dataset.
        examples: u64,
    },
    /// An id twice in an order that holds every id at most once.
    #[error(
        "order[{index}] is {id} again (first at {first}): an epoch without replacement has each \
         id once; split the file by epochs or declare the law replacement"
    )]
    DuplicateId {
        /// Place of the second occurrence.
        index: u64,
        /// The id.
        id: u64,
        /// Place of the first.
        first: u64,
    },
    /// An example that a full epoch leaves out.
    #[error(
        "the order has {found} ids and leaves out {missing} of {examples} examples, first {id}: \
         declare the law uniform-subset or give the whole order"
    )]
    MissingId {
        /// The first id that is missing.
        id: u64,
        /// How many are.
        missing: u64,
        /// Ids in the order.
        found: u64,
        /// Size of the dataset.
        examples: u64,
    },
    /// A run-length table that does not cover the order.
    #[error("the {what} sizes add up to {sum}, but the order has {n} ids: give the sizes of all")]
    RunLengths {
        /// "step" or "block".
        what: &'static str,
        /// What they add up to.
        sum: u64,
        /// Ids of the order.
        n: u64,
    },
    /// A number outside its range.
    #[error("{what} is {value}: it must be {range}")]
    OutOfRange {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The values it takes.
        range: &'static str,
    },
    /// Nothing to combine, or too little.
    #[error("{what} needs at least {needed} {of}, found {found}")]
    TooFewOf {
        /// The analysis.
        what: &'static str,
        /// The least number.
        needed: u64,
        /// Of what.
        of: &'static str,
        /// How many there are.
        found: u64,
    },
    /// Two weight matrices that cannot be compared.
    #[error(
        "layer {layer}: {left} and {right} weights do not both make {rows} rows of equal length; \
         compare layers of the same shape"
    )]
    Shape {
        /// Name of the layer.
        layer: String,
        /// Weights of the first model.
        left: u64,
        /// Weights of the second.
        right: u64,
        /// Rows (neurons) stated.
        rows: u64,
    },
}

fn singular(unit: Unit) -> &'static str {
    match unit {
        Unit::Sample => "example",
        Unit::Pack => "pack",
        Unit::Step => "step",
    }
}

fn plural(unit: Unit) -> &'static str {
    match unit {
        Unit::Sample => "single examples",
        Unit::Pack => "whole packs",
        Unit::Step => "whole steps",
    }
}

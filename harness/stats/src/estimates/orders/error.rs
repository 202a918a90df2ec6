//! Why orders cannot be drawn, read or used.

/// Why orders cannot be drawn, read or used. Rows, positions and items count from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// A row has another length than the window.
    #[error(
        "order {row} has {found} items, the window consumed {expected}: an order is a permutation \
         of the window's items, one row an order"
    )]
    Length {
        /// Row of the table.
        row: usize,
        /// Items in the row.
        found: usize,
        /// Items that the window consumed.
        expected: usize,
    },
    /// A step takes another number of items than the window's.
    #[error("order {row}, step {step}: {found} items, the window's step has {expected}")]
    StepSize {
        /// Row of the table.
        row: usize,
        /// Step of the window.
        step: usize,
        /// Items of the step.
        found: usize,
        /// Items that the window's step consumed.
        expected: usize,
    },
    /// A number that is no item.
    #[error(
        "order {row}, position {position}: item {value} does not exist: items count from 0 to \
         {last}"
    )]
    Unknown {
        /// Row of the table.
        row: usize,
        /// Position in the row.
        position: usize,
        /// The number found.
        value: i64,
        /// The largest item number.
        last: u32,
    },
    /// An item comes more often than the window consumed it.
    #[error(
        "order {row}, position {position}: item {value} came before, at position {first}, and \
         item {missing} never comes: an order holds every item of an epoch as often as the run did"
    )]
    Repeated {
        /// Row of the table.
        row: usize,
        /// Position in the row.
        position: usize,
        /// The repeated item.
        value: u32,
        /// Where it came before.
        first: usize,
        /// An item that is missing for it.
        missing: u32,
    },
    /// An item comes in an epoch that did not consume it.
    #[error(
        "order {row}, position {position}: item {value} was not consumed in epoch {epoch} of the \
         window: items are permuted within an epoch, not across"
    )]
    OtherEpoch {
        /// Row of the table.
        row: usize,
        /// Position in the row.
        position: usize,
        /// The item.
        value: u32,
        /// Epoch of the window, from 0.
        epoch: usize,
    },
    /// A text that is no item number.
    #[error(
        "line {line}, column {column}: {found:?} is not an item number: use whole numbers, 0, 1, ..."
    )]
    NotANumber {
        /// Line of the text, from 1.
        line: usize,
        /// Column of the table, from 1.
        column: usize,
        /// The text found.
        found: String,
    },
    /// A table without rows.
    #[error("there is no order in the table: give at least one row of item numbers")]
    Empty,
    /// A window without steps or items.
    #[error("the window has no items: it needs at least one step, and an item for every step")]
    EmptyWindow,
    /// Stretches that do not divide the window.
    #[error(
        "epoch {epoch} of the window covers the steps {start}..{end} where {expected} should start \
         it: epochs follow each other and end with step {steps}"
    )]
    Epochs {
        /// Epoch of the window, from 0.
        epoch: usize,
        /// Its first step as given.
        start: usize,
        /// The step after its last as given.
        end: usize,
        /// Its first step as it must be.
        expected: usize,
        /// Steps of the window.
        steps: usize,
    },
    /// More distinct orders wanted than there are.
    #[error(
        "found {found} orders that differ from each other and from those already used, {wanted} \
         were asked for: ask for fewer, or give a longer window (--last)"
    )]
    TooFewOrders {
        /// Orders found.
        found: usize,
        /// Orders asked for.
        wanted: usize,
    },
    /// A number of orders out of range.
    #[error("{found} orders were asked for: use 1 to {most}")]
    Count {
        /// The number as given.
        found: String,
        /// The most.
        most: usize,
    },
    /// A text that says nothing about orders.
    #[error(
        "{found:?} names no orders: use a number, a file of item numbers, reverse, sorted:KEY or \
         sorted:KEY:desc"
    )]
    Spec {
        /// The text as given.
        found: String,
    },
    /// Another number of scores than items.
    #[error("{found} scores for {items} items: sorting needs one score an item")]
    Scores {
        /// Scores given.
        found: usize,
        /// Items of the window.
        items: usize,
    },
    /// A score that does not sort.
    #[error("the score of item {item} is {value}: sorting needs finite numbers")]
    Score {
        /// The item.
        item: usize,
        /// The score in words.
        value: String,
    },
    /// A step beyond the window.
    #[error("step {step} does not exist: the window has the steps 0 to {last}")]
    Step {
        /// The step as given.
        step: usize,
        /// The last step.
        last: usize,
    },
    /// An item that an epoch does not hold.
    #[error("item {item} is not consumed in the epoch of step {step}, so it cannot move there")]
    NotThere {
        /// The item.
        item: u32,
        /// The step it should move to.
        step: usize,
    },
}

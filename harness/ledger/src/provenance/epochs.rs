//! One test per independent epoch order.

use serde::{Deserialize, Serialize};

/// The tests of all epochs and their combination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochTable {
    /// Recency factor.
    pub gamma: f64,
}

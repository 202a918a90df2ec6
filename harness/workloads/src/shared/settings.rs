//! Settings that many workloads have.

use ledger::settings::Values;

/// A width times the workload's `width` setting, at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "both factors are small and positive by the settings' range"
)]
pub fn scaled(base: usize, values: &Values) -> usize {
    let width = values.get("width").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
    ((base as f64 * width).round() as usize).max(1)
}

/// A boolean setting of the workload.
pub fn flag(values: &Values, key: &str) -> bool {
    values.get(key).and_then(serde_json::Value::as_bool).unwrap_or(false)
}

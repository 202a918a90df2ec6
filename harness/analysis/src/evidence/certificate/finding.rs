//! The keys of a finding that a certificate relies on.

use serde::Deserialize;
use serde_json::Value;
use stats::provenance::Draws;

use super::CertificateError;

/// A finding as `palimpsest provenance query --json` prints it; further keys are kept as they are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FindingView {
    /// `spearman`, `pearson` or `kendall`.
    pub metric: String,
    /// The correlation, in -1..=1.
    pub statistic: f64,
    /// Examples tested.
    pub n: u64,
    /// Examples that share a position or a score.
    pub ties: u64,
    /// `two-sided`, `less` or `greater`.
    pub tail: String,
    /// `none`, `difference` or `residual`.
    pub adjust: String,
    /// The p-value; 0 where it is below what a double holds.
    pub p: f64,
    /// Its base-10 logarithm, to any depth.
    pub log10_p: f64,
    /// Whether every order was enumerated.
    pub exact: bool,
    /// Whether the distribution over all orders was taken by its saddlepoint.
    #[serde(default)]
    pub saddlepoint: bool,
    /// The sign in words.
    pub direction: String,
    /// `os`, `beacon`, `fixed` or `undeclared`.
    pub randomness: String,
    /// Whether the order came from a public fixed seed.
    pub simulation: bool,
    /// Base-10 logarithm of the smallest probability that the drawn seed supports.
    pub floor_log10_p: Option<f64>,
    /// Set for a Monte Carlo p-value.
    #[serde(default)]
    pub monte_carlo: Option<Draws>,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

impl FindingView {
    /// Reads a finding and refuses values that no test gives.
    ///
    /// # Errors
    /// Naming the missing key or the impossible value.
    #[expect(clippy::cast_precision_loss, reason = "draws are far below 2^52")]
    pub fn of(finding: &Value) -> Result<Self, CertificateError> {
        let refuse = |reason: String| CertificateError::Finding(reason);
        let view: Self =
            serde_json::from_value(finding.clone()).map_err(|error| refuse(error.to_string()))?;
        let Self { statistic, n, p, log10_p, .. } = view;
        if !(-1.0..=1.0).contains(&statistic) {
            return Err(refuse(format!("statistic is {statistic}, outside -1..=1")));
        }
        if n < 2 {
            return Err(refuse(format!("n is {n}; a correlation needs at least 2 examples")));
        }
        if !(0.0..=1.0).contains(&p) {
            return Err(refuse(format!("p is {p}, outside 0..=1")));
        }
        if !(log10_p <= 0.0 && log10_p.is_finite()) {
            return Err(refuse(format!("log10_p is {log10_p}; it must be finite and at most 0")));
        }
        if let Some(Draws { draws, .. }) = view.monte_carlo
            && p * (draws as f64 + 1.0) < 1.0 - 1e-9
        {
            let all = draws.saturating_add(1);
            return Err(refuse(format!("p is {p}, below the 1 / {all} of {draws} draws")));
        }
        // Below this a double loses digits, and then is 0: the logarithm alone holds.
        let agree = if p > 1e-300 {
            (p.log10() - log10_p).abs() <= 1e-6_f64.max(1e-9 * log10_p.abs())
        } else {
            log10_p < -299.0
        };
        if !agree {
            return Err(refuse(format!("p is {p}, but log10_p is {log10_p}")));
        }
        if view.floor_log10_p.is_some_and(|floor| !(floor <= 0.0 && floor.is_finite())) {
            return Err(refuse("floor_log10_p must be finite and at most 0".to_owned()));
        }
        if view.simulation != (view.randomness == "fixed") {
            return Err(refuse(format!(
                "simulation is {}, but randomness is {:?}",
                view.simulation, view.randomness
            )));
        }
        if !["os", "beacon", "fixed", "undeclared"].contains(&view.randomness.as_str()) {
            return Err(refuse(format!(
                "randomness is {:?}, not \"os\", \"beacon\", \"fixed\" or \"undeclared\"",
                view.randomness
            )));
        }
        Ok(view)
    }

    /// The logarithm that the randomness drawn supports: `log10_p`, or the floor if that is higher.
    #[must_use]
    pub fn supported_log10_p(&self) -> f64 {
        self.floor_log10_p.map_or(self.log10_p, |floor| self.log10_p.max(floor))
    }

    /// Whether the p-value is below what the seed supports.
    #[must_use]
    pub fn below_floor(&self) -> bool {
        self.floor_log10_p.is_some_and(|floor| self.log10_p < floor)
    }
}

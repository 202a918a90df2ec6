//! The settings of the decision rule.

use serde::{Deserialize, Serialize};

use super::RegressError;
use stats::bootstrap::Resampling;

/// Which test gives the p-values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// One-sided paired t.
    StudentT,
    /// One-sided sign-flip test. Needs at least log2(m / q) pairs for m metrics, because 2^-n never
    /// gets below what Benjamini-Hochberg asks for otherwise.
    SignFlip,
}

/// The decision rule: a change is an alarm when its adjusted p is at most `q`, it is larger than the
/// margin and than the noise floor, and the lower end of its interval is above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// False discovery rate over all tested metrics.
    pub q: f64,
    /// The smallest change that matters, as a share of the base.
    pub margin: f64,
    /// The change must also exceed this many A/A noise floors.
    pub floor_multiple: f64,
    /// Pairs below which nothing is judged.
    pub least_pairs: usize,
    /// Days after which a noise floor is too old.
    pub floor_days: u32,
    /// Which test.
    pub test: Test,
    /// Level of the test of equivalence behind `same`.
    pub equivalence_alpha: f64,
    /// Level of the Student t intervals, and seed of the sign-flip test beyond 20 pairs; nothing is
    /// resampled any more, and the number stays for files that state it.
    pub resampling: Resampling,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            q: 0.05,
            margin: 0.02,
            floor_multiple: 1.0,
            least_pairs: 3,
            floor_days: 30,
            test: Test::StudentT,
            equivalence_alpha: 0.05,
            resampling: Resampling::seeded(0),
        }
    }
}

impl Rule {
    /// Refuses settings out of range.
    ///
    /// # Errors
    /// As said, with the setting and its range.
    pub fn check(&self) -> Result<(), RegressError> {
        let share = |value: f64| value > 0.0 && value < 1.0;
        let least = self.least_pairs as f64;
        for (name, value, fits, wanted) in [
            ("q", self.q, share(self.q), "above 0 and below 1, such as 0.05"),
            ("margin", self.margin, share(self.margin), "above 0 and below 1, such as 0.02"),
            (
                "floor multiple",
                self.floor_multiple,
                self.floor_multiple.is_finite() && self.floor_multiple >= 0.0,
                "a finite number of at least 0",
            ),
            ("least pairs", least, self.least_pairs >= 2, "at least 2"),
            (
                "level of equivalence",
                self.equivalence_alpha,
                self.equivalence_alpha >= 0.0001 && self.equivalence_alpha <= 0.25,
                "from 0.0001 to 0.25, such as 0.05",
            ),
        ] {
            if !fits {
                return Err(RegressError::Rule { name, value, wanted });
            }
        }
        self.resampling.check().map_err(|_| RegressError::Rule {
            name: "number of resamples or level",
            value: f64::from(self.resampling.resamples),
            wanted: "100 to 1000000 resamples at a level from 0.5 to 0.9999",
        })
    }
}

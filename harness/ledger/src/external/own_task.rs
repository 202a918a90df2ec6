//! Workloads of a program's own: it has the data and evaluates itself. The bench has their number alone;
//! it gives the order, the clock and the grid, and takes the metrics that it is told.

use crate::catalogue::MetricInfo;
use crate::digest::Digest;
use crate::settings::{Range, SettingError, Values};
use crate::{choice, settings};

/// Id of the workload.
pub const WORKLOAD: &str = "external";

/// Longest name of a metric.
const LONGEST: usize = 64;

choice! {
    /// Which way a metric improves.
    pub enum Better {
        /// A larger value is better.
        Higher = "higher",
        /// A smaller value is better.
        Lower = "lower",
    }
}

settings! {
    /// What a suite says of such a workload.
    pub struct OwnTask {
        /// Its name, by which programs know it: what `as` says.
        name: String = String::new(), from "`as`";
        /// The metric that the program tells.
        metric: String = String::new(), from "to be given";
        /// Which way it improves.
        direction: Better = Better::Higher, from "to be given";
        /// Number of training examples: the order is one of 0 to below this.
        examples: u32 = 1, range Range::of(1.0..=1e8), from "to be given";
        /// Whether the program is asked for a test split, at the target and at the end.
        test: bool = false, from "assumed";
        /// What the data are, in words or by a digest of the user's own; a part of the cells' ids.
        data: String = String::new(), from "assumed";
    }
}

/// What has to be given.
pub const REQUIRED: [&str; 3] = ["metric", "direction", "examples"];

impl OwnTask {
    /// All values, where those that have no default are given.
    ///
    /// # Errors
    /// When a key is unknown or missing, or a value not valid.
    pub fn declared(values: &Values) -> Result<Values, SettingError> {
        let resolved = Self::resolve(values)?;
        if let Some(missing) = REQUIRED.iter().find(|name| !values.contains_key(**name)) {
            return Err(SettingError::Joint(format!(
                "it has no `{missing}`; a workload of a program's own says its metric, direction and examples"
            )));
        }
        let Self { metric, .. } = Self::read(&resolved)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if metric.is_empty() || metric.len() > LONGEST || !metric.chars().all(fits) {
            return Err(SettingError::Invalid {
                key: "metric".to_owned(),
                value: format!("{metric:?}"),
                expected: format!("1 to {LONGEST} letters, digits, '-', '_' or '.'"),
            });
        }
        Ok(resolved)
    }

    /// What the settings of a workload say, where it is such a one.
    #[must_use]
    pub fn of(workload: &str, settings: &Values) -> Option<Self> {
        (workload == WORKLOAD).then(|| Self::read(settings).ok()).flatten()
    }

    /// The row of its metric.
    #[must_use]
    pub fn row(&self) -> MetricInfo<String> {
        MetricInfo {
            name: self.metric.clone(),
            higher_is_better: self.direction == Better::Higher,
            best: None,
            chance: None,
        }
    }

    /// Ids of its training examples. They are of places, not of what lies there: that is not seen.
    #[must_use]
    pub fn sample_ids(&self) -> Vec<Digest> {
        let Self { name, data, .. } = self;
        let [name_length, data_length] = [name, data].map(|text| (text.len() as u64).to_le_bytes());
        let start = [
            b"palimpsest/told/v1".as_slice(),
            &name_length,
            name.as_bytes(),
            &data_length,
            data.as_bytes(),
        ]
        .concat();
        (0..self.examples)
            .map(|id| Digest::of_parts(&[start.as_slice(), &id.to_le_bytes()]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, serde_json::Value)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn given() -> Values {
        values(&[("metric", "m".into()), ("direction", "lower".into()), ("examples", 3.into())])
    }

    #[test]
    fn metric_direction_and_examples_have_to_be_given() {
        let resolved = OwnTask::declared(&given()).unwrap();
        assert_eq!(OwnTask::declared(&resolved).unwrap(), resolved);
        let task = OwnTask::of(WORKLOAD, &resolved).unwrap();
        assert_eq!((task.row().name.as_str(), task.row().higher_is_better), ("m", false));
        assert_eq!(OwnTask::of("another", &resolved), None);
        for name in REQUIRED {
            let mut without = given();
            without.remove(name);
            let told = OwnTask::declared(&without).unwrap_err().to_string();
            assert!(told.contains(&format!("it has no `{name}`")), "{told}");
        }
    }

    #[test]
    fn a_metric_has_a_plain_name() {
        for wrong in ["", "a/b", "a b", "a@b", &"x".repeat(65)] {
            let mut values = given();
            values.insert("metric".to_owned(), wrong.into());
            let told = OwnTask::declared(&values).unwrap_err().to_string();
            assert!(told.contains("setting \"metric\" is"), "{wrong}: {told}");
        }
    }

    #[test]
    fn examples_are_known_by_name_data_and_place() {
        let task = |name: &str, data: &str| {
            let more = values(&[("name", name.into()), ("data", data.into())]);
            OwnTask::read(&given().into_iter().chain(more).collect()).unwrap().sample_ids()
        };
        let all = [task("a", "b"), task("ab", ""), task("", "ab"), task("a", "c")].concat();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 12);
    }
}

//! How often a run is kept while it goes on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `checkpoint_every:` of a suite. It decides nothing of a result, so that it is no part of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Every {
    /// Behind the first step at or beyond each multiple of so many samples.
    Samples(u64),
    /// Behind the first step after so many minutes.
    Minutes(f64),
}

/// Longest distance, a year: more is a slip.
const MOST_MINUTES: f64 = 366.0 * 24.0 * 60.0;

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "checkpoint_every is \"{text}\", but must be a number above 0 of samples or minutes, such as \"20000 samples\" or \"5 minutes\""
            )
        };
        let (number, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        match unit.trim() {
            "samples" | "sample" => {
                let samples = number.parse().ok().filter(|samples| *samples > 0);
                samples.map(Self::Samples).ok_or_else(wrong)
            }
            "minutes" | "minute" | "min" => {
                let minutes = number.parse().ok();
                let fits = |minutes: &f64| *minutes > 0.0 && *minutes <= MOST_MINUTES;
                minutes.filter(fits).map(Self::Minutes).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

/// As it is written.
impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Samples(samples) => write!(f, "{samples} samples"),
            Self::Minutes(minutes) => write!(f, "{minutes} minutes"),
        }
    }
}

impl TryFrom<String> for Every {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Every> for String {
    fn from(every: Every) -> Self {
        every.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_a_number_of_samples_or_minutes_and_reads_as_it_is_written() {
        for (text, every) in [
            ("20000 samples", Every::Samples(20_000)),
            ("5 minutes", Every::Minutes(5.0)),
            (" 0.5  minutes ", Every::Minutes(0.5)),
            ("1 sample", Every::Samples(1)),
        ] {
            assert_eq!(text.parse(), Ok(every), "{text}");
            assert_eq!(every.to_string().parse(), Ok(every), "{text}");
        }
        for wrong in [
            "",
            "5",
            "0 samples",
            "-1 minutes",
            "1.5 samples",
            "NaN minutes",
            "1e9 minutes",
            "2 epochs",
        ] {
            let error = wrong.parse::<Every>().unwrap_err();
            assert!(error.contains("such as \"20000 samples\""), "{wrong}: {error}");
        }
    }
}

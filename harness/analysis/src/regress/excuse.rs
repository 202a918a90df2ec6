//! Changes that do not fail the gate: accepted by somebody with a reason, or of an arm in quarantine.
//! Either stays in the report with its verdict and its reason.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::metric::MetricName;
use super::report::{Report, Verdict};

const DAY: u64 = 24 * 60 * 60;

/// An intended change: `METRIC[@ARM]=REASON`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// Name of the metric.
    pub metric: String,
    /// Label of the arm; every arm without one.
    pub arm: Option<String>,
    /// Why.
    pub reason: String,
}

impl FromStr for Acceptance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("\"{text}\" is not METRIC[@ARM]=REASON, such as order@sgd=\"why\"");
        let (what, reason) = text.split_once('=').ok_or_else(wanted)?;
        let (metric, arm) = match what.split_once('@') {
            Some((metric, arm)) => (metric, Some(arm.trim().to_owned())),
            None => (what, None),
        };
        let (metric, reason) = (metric.trim().to_owned(), reason.trim().to_owned());
        if metric.is_empty() || reason.is_empty() || arm.as_ref().is_some_and(String::is_empty) {
            return Err(wanted());
        }
        Ok(Self { metric, arm, reason })
    }
}

impl Acceptance {
    fn is_about(&self, name: &MetricName) -> bool {
        self.metric == name.metric && self.arm.as_ref().is_none_or(|arm| *arm == name.arm)
    }

    fn what(&self) -> String {
        match &self.arm {
            Some(arm) => format!("{}@{arm}", self.metric),
            None => self.metric.clone(),
        }
    }
}

/// A day of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("\"{text}\" is no day: write YEAR-MONTH-DAY, such as 2026-12-31");
        let shape = |(place, byte): (usize, u8)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        if text.len() != 10 || !text.bytes().enumerate().all(shape) {
            return Err(wanted());
        }
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok();
        let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10))
        else {
            return Err(wanted());
        };
        let leap =
            (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        let days = match month {
            2 => 28 + u16::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        if year < 1970 || !(1..=days).contains(&day) {
            return Err(wanted());
        }
        let small = |number: u16| u8::try_from(number).map_err(|_| wanted());
        Ok(Self { year, month: small(month)?, day: small(day)? })
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Date {
    /// Seconds since 1970 at its end.
    #[must_use]
    pub fn end_unix(self) -> u64 {
        // Years begin in March, so that the day of a leap year is the last one.
        let early = u64::from(self.month <= 2);
        let year = u64::from(self.year) - early;
        let month = (u64::from(self.month) + 9) % 12;
        let days = 365 * year + year / 4 - year / 100 + year / 400;
        let days = days + (153 * month + 2) / 5 + u64::from(self.day) - 1;
        // 1 March of the year 0 is 719,468 days before 1970.
        (days - 719_468 + 1) * DAY
    }
}

/// An arm whose verdicts do not count for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Label of the arm; every arm without one.
    pub arm: Option<String>,
    /// Label of the workload; every workload without one.
    pub workload: Option<String>,
    /// The last day.
    pub until: Date,
    /// Why.
    pub reason: String,
}

impl Quarantine {
    fn holds(&self, arm: &str, workload: &str) -> bool {
        self.arm.as_deref().is_none_or(|held| held == arm)
            && self.workload.as_deref().is_none_or(|held| held == workload)
    }
}

/// Marks what is accepted or in quarantine at `now_unix`, and notes what was accepted in vain and
/// which quarantines are over.
pub fn excuse(
    report: &mut Report,
    accepted: &[Acceptance],
    quarantines: &[Quarantine],
    now_unix: u64,
) {
    let over = |quarantine: &&Quarantine| now_unix >= quarantine.until.end_unix();
    let (ended, running): (Vec<_>, Vec<_>) = quarantines.iter().partition(over);
    let held = |arm: &str, workload: &str| {
        let quarantine = running.iter().find(|quarantine| quarantine.holds(arm, workload))?;
        Some(format!("in quarantine until {}: {}", quarantine.until, quarantine.reason))
    };
    let mut used = vec![false; accepted.len()];
    for row in &mut report.rows {
        let counts = matches!(row.verdict, Verdict::Regressed | Verdict::Missing);
        let found = accepted.iter().position(|one| counts && one.is_about(&row.name));
        if let Some(place) = found {
            used[place] = true;
            row.excused = Some(format!("accepted: {}", accepted[place].reason));
        } else if counts || !row.judged {
            row.excused = held(&row.name.arm, &row.name.workload);
        }
    }
    for failure in &mut report.failures {
        failure.excused = held(&failure.cell.arm, &failure.cell.workload);
    }
    for (one, _) in accepted.iter().zip(used).filter(|(_, used)| !used) {
        let (what, reason) = (one.what(), &one.reason);
        report.notes.push(format!("accepted, and not regressed: {what} ({reason})"));
    }
    for Quarantine { arm, workload, until, reason } in ended {
        let arm = arm.as_deref().unwrap_or("every arm");
        let on = workload.as_ref().map_or(String::new(), |workload| format!(" on {workload}"));
        report.notes.push(format!(
            "the quarantine of {arm}{on} ended on {until} ({reason}): its verdicts count again"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_ends_with_its_last_day_in_utc() {
        // `date -u -d '2026-12-31 +1 day' +%s` and so on.
        for (day, end) in [
            ("1970-01-01", 86_400),
            ("2000-02-29", 951_868_800),
            ("2026-12-31", 1_798_761_600),
            ("2027-03-01", 1_803_945_600),
        ] {
            assert_eq!(day.parse::<Date>().unwrap().end_unix(), end, "{day}");
            assert_eq!(day.parse::<Date>().unwrap().to_string(), day);
        }
        for none in ["2026-02-29", "2026-13-01", "2026-1-1", "31.12.2026", "2026-00-10", "tomorrow"]
        {
            assert!(none.parse::<Date>().is_err(), "{none}");
        }
    }

    #[test]
    fn an_acceptance_names_a_metric_perhaps_an_arm_and_always_a_reason() {
        let one: Acceptance = "order@sgd = a new shuffle = better".parse().unwrap();
        assert_eq!((one.metric.as_str(), one.arm.as_deref()), ("order", Some("sgd")));
        assert_eq!(one.reason, "a new shuffle = better");
        let every: Acceptance = "validation/nll=fused kernel".parse().unwrap();
        assert_eq!((every.metric.as_str(), every.arm), ("validation/nll", None));
        for none in ["order", "order=", "=why", "order@=why", " @sgd=why"] {
            assert!(none.parse::<Acceptance>().is_err(), "{none}");
        }
    }
}

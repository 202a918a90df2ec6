//! How the score over workloads reads: the same words on the page, in tables and on the terminal.

use analysis::summary::score::{ArmScore, GroupScore, Part};
use stats::across::Across;
use stats::interval::Interval;
use stats::profile::Profile;

use crate::text;

/// Headings of the columns.
pub const COLUMNS: [&str; 7] = [
    "arm",
    "profile, samples",
    "profile, time",
    "IQM",
    "beats the baseline",
    "fewer samples",
    "speed-up",
];

/// Which workloads, how many seeds and which baseline.
#[must_use]
pub fn headline(group: &GroupScore) -> String {
    let noun = if group.seeds == 1 { "seed" } else { "seeds" };
    let against = group.baseline.found().map(|label| format!(", against {label}"));
    text::one_line(&format!(
        "{}   {} {noun} each{}",
        group.workloads.join(", "),
        group.seeds,
        against.unwrap_or_default()
    ))
}

/// One row per arm, with the cells of [`COLUMNS`].
#[must_use]
pub fn rows(group: &GroupScore) -> Vec<[String; 7]> {
    group.arms.iter().map(|arm| row(group, arm)).collect()
}

fn row(group: &GroupScore, arm: &ArmScore) -> [String; 7] {
    let absent = || text::ABSENT.to_owned();
    let number = |part: &Part<Across>, shown: fn(f64) -> String| {
        let shown = |found: &Across| {
            format!("{} {}", shown(found.estimate.value), ends(&found.estimate.interval))
        };
        part.found().map_or_else(absent, shown)
    };
    let area = |part: &Part<Profile>| {
        let mine = profile_of(part, &arm.arm);
        mine.map_or_else(absent, |(score, interval)| {
            format!("{} {}", share(score), ends(&interval))
        })
    };
    let is_baseline = group.baseline.found() == Some(&arm.arm);
    let against = |part: fn(&analysis::summary::score::Against) -> &Part<Across>, shown| {
        arm.against.as_ref().map_or_else(absent, |against| number(part(against), shown))
    };
    [
        text::one_line(&arm.arm),
        area(&group.samples_profile),
        area(&group.time_profile),
        number(&arm.interquartile_mean, share),
        if is_baseline {
            "baseline".to_owned()
        } else {
            against(|against| &against.improvement, share)
        },
        against(|against| &against.fewer_samples, text::ratio),
        against(|against| &against.speed_up, text::ratio),
    ]
}

/// The score of an arm's profile with its interval.
pub(crate) fn profile_of(part: &Part<Profile>, label: &str) -> Option<(f64, Interval)> {
    let mine = part.found()?.arms.iter().find(|arm| arm.arm == label)?;
    Some((mine.score, mine.interval))
}

fn share(value: f64) -> String {
    text::fixed(value, 3)
}

fn ends(interval: &Interval) -> String {
    text::interval(interval, 1.0)
}

/// Every reason why something is withheld, once, with what it withholds.
#[must_use]
pub fn reasons(group: &GroupScore) -> Vec<String> {
    let mut lacking: Vec<(Option<&str>, &'static str, Option<&str>)> = vec![
        (group.samples_profile.reason(), COLUMNS[1], None),
        (group.time_profile.reason(), COLUMNS[2], None),
    ];
    for ArmScore { arm, interquartile_mean, against } in &group.arms {
        lacking.push((interquartile_mean.reason(), COLUMNS[3], Some(arm)));
        let Some(against) = against else { continue };
        lacking.push((against.improvement.reason(), COLUMNS[4], Some(arm)));
        lacking.push((against.fewer_samples.reason(), COLUMNS[5], Some(arm)));
        lacking.push((against.speed_up.reason(), COLUMNS[6], Some(arm)));
    }
    lacking.extend(COLUMNS[4..].iter().map(|column| (group.baseline.reason(), *column, None)));
    let mut withheld: Vec<Withheld<'_>> = Vec::new();
    for (reason, column, arm) in lacking {
        let Some(reason) = reason else { continue };
        let known = withheld.iter().position(|other| other.reason == reason);
        let place = known.unwrap_or_else(|| {
            withheld.push(Withheld { reason, columns: Vec::new(), arms: Vec::new() });
            withheld.len() - 1
        });
        let Withheld { columns, arms, .. } = &mut withheld[place];
        if !columns.contains(&column) {
            columns.push(column);
        }
        if let Some(arm) = arm.filter(|arm| !arms.contains(arm)) {
            arms.push(arm);
        }
    }
    // That every other arm lacks it is said without their names.
    let others = group.arms.len() - usize::from(group.baseline.found().is_some());
    withheld.iter().map(|withheld| withheld.words(others)).collect()
}

/// A reason with what it withholds.
struct Withheld<'a> {
    reason: &'a str,
    columns: Vec<&'static str>,
    arms: Vec<&'a str>,
}

impl Withheld<'_> {
    fn words(&self, others: usize) -> String {
        let whose = if self.arms.is_empty() || self.arms.len() >= others {
            String::new()
        } else {
            format!(" of {}", self.arms.join(", "))
        };
        text::one_line(&format!("withheld: {}{whose} ({})", self.columns.join("; "), self.reason))
    }
}

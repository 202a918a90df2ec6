//! What the arms of a suite come to over its workloads: a line per arm, then what is withheld.

use analysis::summary::score::Score;
use reports::score::{COLUMNS, headline, reasons, rows};

use super::table::table;
use super::{columns, print_text};

/// Prints the score; nothing where no arms share two workloads.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_score(score: &Score) -> anyhow::Result<()> {
    print_text(&words(score, columns()))
}

fn words(score: &Score, most: Option<usize>) -> String {
    let mut text = String::new();
    for group in &score.groups {
        text += &format!("\nover {}\n", headline(group));
        let mut header = COLUMNS;
        header[0] = "  arm";
        let indented = rows(group).into_iter().map(|mut row| {
            row[0].insert_str(0, "  ");
            row
        });
        text += &table(header, indented, most);
        for reason in reasons(group) {
            text += &format!("  {reason}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use analysis::summary::score::{Against, ArmScore, GroupScore, Part};
    use stats::across::{Across, geometric_mean_speed_up, interquartile_mean};
    use stats::bootstrap::Resampling;
    use stats::paired::Pair;
    use stats::profile::{Row, profile};
    use stats::stratified::Stratum;
    use stats::survival::Outcome;

    use super::*;

    const RESAMPLING: Resampling = Resampling { level: 0.95, resamples: 100, seed: 0 };

    /// Both workloads with two seeds alike, so that no interval has a width.
    fn strata<T: Clone>(of: [T; 2]) -> Vec<Stratum<T>> {
        let named = ["narrow", "wide"].into_iter().zip(of);
        named
            .map(|(name, one)| Stratum { workload: name.to_owned(), seeds: vec![one.clone(), one] })
            .collect()
    }

    fn ratio(of: f64) -> Part<Across> {
        let pair = Pair { baseline: of, treatment: 1.0 };
        Part::Found(geometric_mean_speed_up(&strata([pair; 2]), RESAMPLING).unwrap())
    }

    #[test]
    fn a_score_is_a_line_per_arm_and_a_line_per_reason() {
        let row = |dense: f64, erk: f64| -> Row {
            let all = [("dense", dense), ("erk", erk), ("granet", 3.0)];
            all.map(|(arm, at)| (arm.to_owned(), Outcome::Reached(at))).into()
        };
        let busy = "2 of 12 runs were timed while the machine was busier than its cores";
        let short = "1 of 4 pairs have a run that never reached the target";
        let arm = |label: &str, level: f64, against: Option<Against>| ArmScore {
            arm: label.to_owned(),
            interquartile_mean: Part::Found(
                interquartile_mean(&strata([level; 2]), RESAMPLING).unwrap(),
            ),
            against,
        };
        let against = |fewer_samples| {
            let speed_up = Part::Withheld(busy.to_owned());
            Some(Against { improvement: ratio(1.0), fewer_samples, speed_up })
        };
        let group = GroupScore {
            workloads: vec!["narrow".to_owned(), "wide".to_owned()],
            seeds: 2,
            baseline: Part::Found("dense".to_owned()),
            samples_profile: Part::Found(
                profile(&strata([row(2.0, 1.0), row(1.0, 1.0)]), RESAMPLING).unwrap(),
            ),
            time_profile: Part::Withheld(busy.to_owned()),
            arms: vec![
                arm("dense", 0.95, None),
                arm("erk", 0.94, against(ratio(1.5))),
                arm("granet", 0.5, against(Part::Withheld(short.to_owned()))),
            ],
        };
        let score = Score { groups: vec![group], reason: None };
        insta::assert_snapshot!(words(&score, None), @"
        over narrow, wide   2 seeds each, against dense
          arm     profile, samples      profile, time  IQM                   beats the baseline  fewer samples       speed-up
          dense   0.833 [0.833, 0.833]  –              0.950 [0.950, 0.950]  baseline            –                   –
          erk     1.000 [1.00, 1.00]    –              0.940 [0.940, 0.940]  1.000 [1.00, 1.00]  1.50× [1.50, 1.50]  –
          granet  0.333 [0.333, 0.333]  –              0.500 [0.500, 0.500]  1.000 [1.00, 1.00]  –                   –
          withheld: profile, time; speed-up (2 of 12 runs were timed while the machine was busier than its cores)
          withheld: fewer samples of granet (1 of 4 pairs have a run that never reached the target)
        ");
        let none =
            Score { groups: Vec::new(), reason: Some("the suite has one workload".to_owned()) };
        assert_eq!(words(&none, None), "");
    }
}

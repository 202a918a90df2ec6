//! What a report of the gate says beside its rows.

use std::collections::BTreeSet;
use std::path::PathBuf;

use analysis::regress::metric::Class;
use analysis::regress::{NoiseFloor, Report, Verdict};

use super::gate::Args;
use super::measuring::Measuring;
use crate::voice::quoted;

/// Adds what a reader must know of how it was judged.
pub(super) fn noted(mut report: Report, args: &Args, floor: Option<&NoiseFloor>) -> Report {
    if !args.classes.is_empty() {
        let names: Vec<&str> = args.classes.iter().map(|class| class.name()).collect();
        report.notes.push(format!("only judged: {}", names.join(", ")));
    }
    let regressed = report.rows.iter().filter(|row| row.verdict == Verdict::Regressed);
    let arms: BTreeSet<&str> = regressed.map(|row| row.name.arm.as_str()).collect();
    if !arms.is_empty() {
        let arms: Vec<&str> = arms.into_iter().collect();
        let arms = quoted(&arms.join(","));
        report.notes.push(format!("these alone: {} --methods {arms}", command(args)));
    }
    let times = args.classes.is_empty() || args.classes.contains(&Class::Time);
    if times && args.against.is_some() {
        let way =
            "--binary lets both builds take turns, --classes exact,ulp,quality leaves times out";
        report.notes.push(format!("times are not compared with a kept reference: {way}"));
    } else if times && floor.is_none() {
        let suite = match &args.base_tree {
            Some(folder) => &folder.join(&args.measuring.suite).display().to_string(),
            None => &args.measuring.suite,
        };
        report.notes.push(format!(
            "times are not judged without a noise floor of this machine: `palimpsest regress aa {}` measures one",
            quoted(suite)
        ));
    }
    report
}

/// The command of this gate, to be copied.
fn command(args: &Args) -> String {
    let Args { measuring: Measuring { suite, .. }, against, binary, base_tree, head_tree, .. } =
        args;
    let folder = |path: &PathBuf| quoted(&path.display().to_string());
    let reference = match (against, binary, base_tree) {
        (Some(reference), _, _) => format!("--against {}", quoted(reference)),
        (None, Some(program), _) => format!("--binary {}", folder(program)),
        (None, None, Some(base)) => {
            let head = head_tree.as_ref().map(|head| format!(" --head-tree {}", folder(head)));
            format!("--base-tree {}{}", folder(base), head.unwrap_or_default())
        }
        (None, None, None) => String::new(),
    };
    format!("palimpsest regress {} {reference}", quoted(suite))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_in_a_command_to_copy_is_one_word_of_the_shell_and_runs_nothing() {
        for word in ["x|y $(touch pwned)", "it's", "", "a b;c", "`x`", "sgd,adamw"] {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
        assert_eq!(quoted("sgd,adamw"), "sgd,adamw");
    }
}

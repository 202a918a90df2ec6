//! Tables for a paper: one of arms per workload, of claims, of scores over workloads, of membership tests; needs the `booktabs` package.

use analysis::summary::score::GroupScore;
use analysis::summary::tuning::TuningAnalysis;
use analysis::summary::{Analysis, ArmAnalysis, ClaimOutcome, WorkloadAnalysis};
use ledger::goal;

use crate::membership::Test;
use crate::order_estimates::Row as Estimated;
use crate::score;
use crate::text::{self, capital};
use crate::tuning::{COLUMNS, Row};

/// Every table, ready for `\input{tables}`.
pub(crate) fn tables(analysis: &Analysis) -> String {
    let mut tex = format!(
        "% Suite {}, digest {}. Needs \\usepackage{{booktabs}}.\n",
        text::one_line(&analysis.suite),
        text::one_line(&analysis.suite_digest)
    );
    tex.push_str(&originals(analysis));
    if analysis.workloads.is_empty() {
        tex.push_str("% No workload has been run: nothing to show.\n");
    }
    for workload in &analysis.workloads {
        arms(&mut tex, workload);
    }
    if let Some(tuning) = &analysis.tuning {
        sweeps(&mut tex, tuning);
    }
    if !analysis.claims.is_empty() {
        claims(&mut tex, &analysis.claims);
    }
    for group in &analysis.score.groups {
        scores(&mut tex, group);
    }
    if !analysis.membership.is_empty() {
        membership(&mut tex, &Test::all(analysis));
    }
    if !analysis.order_estimates.is_empty() {
        estimates(&mut tex, &Estimated::all(analysis));
    }
    tex
}

/// The sweep behind each arm.
fn sweeps(tex: &mut String, tuning: &TuningAnalysis) {
    tex.push_str("\n\\begin{table}\n\\centering\n");
    tex.push_str(&format!("\\caption{{Settings: {}.}}\n", escape(&tuning.effort())));
    tex.push_str("\\begin{tabular}{llrrrrrr}\n\\toprule\n");
    tex.push_str(&COLUMNS.map(escape).join(" & "));
    tex.push_str(" \\\\\n\\midrule\n");
    for row in Row::all(tuning) {
        tex.push_str(&row.cells.map(|cell| escape(&cell)).join(" & "));
        tex.push_str(" \\\\\n");
    }
    tex.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

fn arms(tex: &mut String, workload: &WorkloadAnalysis) {
    let seeds = workload.arms.iter().map(|arm| arm.reach_rate.n).max().unwrap_or(0);
    let caption = format!(
        "{}: train time to {} {} {} and {} at the budget, up to {seeds} seeds; 95 % intervals.",
        workload.workload,
        workload.split,
        workload.target.metric,
        text::given(workload.target.value),
        workload.target.metric,
    );
    tex.push_str("\n\\begin{table}\n\\centering\n");
    tex.push_str(&format!("\\caption{{{}}}\n", escape(&caption)));
    tex.push_str("\\begin{tabular}{lrrrrr}\n\\toprule\n");
    tex.push_str("Arm & Reached & Time to target & Speed-up & Validation & Test \\\\\n\\midrule\n");
    for arm in &workload.arms {
        let cells: Vec<String> = arm_cells(workload, arm).iter().map(|c| escape(c)).collect();
        tex.push_str(&cells.join(" & "));
        tex.push_str(" \\\\\n");
    }
    tex.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

fn arm_cells(workload: &WorkloadAnalysis, arm: &ArmAnalysis) -> [String; 6] {
    let outcomes = &arm.outcomes;
    let ran = outcomes.reached + outcomes.censored + outcomes.diverged;
    let time = match text::centre(&arm.time_to_target) {
        None if arm.idle || text::without_clock(arm) => text::ABSENT.to_owned(),
        None => text::at_start(&arm.time_to_target).unwrap_or_else(|| "not reached".to_owned()),
        Some((value, _)) => {
            let (_, unit) = text::time_unit(value);
            let interval = arm.time_to_target.interval.map(|i| text::interval(&i, unit));
            format!("{} {}", text::time(value), interval.unwrap_or_default())
        }
    };
    let speed = arm.speed_up.as_ref().map(|speed| {
        let interval = speed.interval.map(|i| text::interval(&i, 1.0));
        format!("{} {}", text::ratio(speed.ratio), interval.unwrap_or_default())
    });
    let is_baseline = workload.baseline.as_ref() == Some(&arm.label);
    let speed = speed.unwrap_or(if is_baseline { "baseline" } else { text::ABSENT }.to_owned());
    let metric = |split: &str| {
        arm.at_budget.get(&workload.target.key(split)).map_or(text::ABSENT.to_owned(), |estimate| {
            let (value, spread) = text::estimate(estimate);
            format!("{value} {spread}")
        })
    };
    [
        arm.label.clone(),
        format!("{}/{ran}", outcomes.reached),
        time.trim_end().to_owned(),
        speed.trim_end().to_owned(),
        metric(goal::VALIDATION),
        metric(goal::TEST),
    ]
}

fn claims(tex: &mut String, claims: &[ClaimOutcome]) {
    tex.push_str("\n\\begin{table}\n\\centering\n\\caption{Claims and verdicts.}\n");
    tex.push_str("\\begin{tabular}{p{0.42\\linewidth}lrrl}\n\\toprule\n");
    tex.push_str("Claim & Paper & Here & $n$ & Verdict \\\\\n\\midrule\n");
    for claim in claims {
        let cells = [
            claim.statement.clone(),
            claim.paper_number.clone(),
            text::effect(claim),
            claim.n.to_string(),
            claim.verdict_words(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        tex.push_str(&cells.join(" & "));
        tex.push_str(" \\\\\n");
    }
    tex.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

/// What the arms of a group come to over its workloads.
fn scores(tex: &mut String, group: &GroupScore) {
    tex.push_str("\n\\begin{table}\n\\centering\n");
    let reasons = score::reasons(group).into_iter().map(|reason| format!(" {}.", capital(&reason)));
    let caption = format!(
        "Over {}: {} seeds each; 95 \\% intervals by resampled seeds.{}",
        escape(&group.workloads.join(", ")),
        group.seeds,
        escape(&reasons.collect::<String>())
    );
    tex.push_str(&format!("\\caption{{{caption}}}\n"));
    tex.push_str("\\begin{tabular}{lrrrrrr}\n\\toprule\n");
    tex.push_str(&score::COLUMNS.map(|column| escape(&capital(column))).join(" & "));
    tex.push_str(" \\\\\n\\midrule\n");
    for cells in score::rows(group) {
        tex.push_str(&cells.map(|cell| escape(&cell)).join(" & "));
        tex.push_str(" \\\\\n");
    }
    tex.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

fn estimates(tex: &mut String, rows: &[Estimated<'_>]) {
    tex.push_str("\n\\begin{table}\n\\centering\n");
    tex.push_str("\\caption{Estimates of orders against true retraining.}\n");
    tex.push_str("\\begin{tabular}{lllllrrrrrrr}\n\\toprule\n");
    tex.push_str(
        "Estimate & Seed & Estimator & Validity & $\\rho$ & Per item & Rel. error & MAE/sd & Null & \
         Faster & Set-up & Even after \\\\\n\\midrule\n",
    );
    for row in rows {
        let cells = [
            row.entry.name.as_str(),
            &row.seed.seed,
            &row.estimator,
            &row.validity,
            &row.held_out,
            &row.per_item,
            &row.relative_error,
            &row.mae_over_sd,
            &row.null,
            &row.speed_up,
            &row.set_up,
            &row.break_even,
        ];
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        tex.push_str(&cells.join(" & "));
        tex.push_str(" \\\\\n");
    }
    tex.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

fn membership(tex: &mut String, tests: &[Test<'_>]) {
    let simulated = if tests.iter().any(|test| test.simulation) {
        " Orders of public seeds: simulations, which show power and prove nothing."
    } else {
        ""
    };
    tex.push_str("\n\\begin{table}\n\\centering\n");
    tex.push_str(&format!(
        "\\caption{{Membership tests; smallest to largest of the seeds.{simulated}}}\n"
    ));
    tex.push_str("\\begin{tabular}{p{0.36\\linewidth}lrrrll}\n\\toprule\n");
    tex.push_str(
        "Test & Access & $n$ & Statistic & $\\log_{10} p$ & Expected & Outcome \\\\\n\\midrule\n",
    );
    for test in tests {
        let cells = [
            test.raw.statement.as_str(),
            test.access,
            &test.examples,
            &test.statistic,
            &test.log10_p,
            &test.raw.expected,
            &test.outcome(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
        tex.push_str(&cells.join(" & "));
        tex.push_str(" \\\\\n");
    }
    tex.push_str("\\bottomrule\n\\end{tabular}\n\\end{table}\n");
}

/// Whether pdflatex sets the character in its usual fonts, without a package: ASCII, and the accented
/// Latin letters.
fn is_typeset(c: char) -> bool {
    let bare = matches!(c, '×' | '÷' | 'Ð' | 'ð' | 'Þ' | 'þ');
    c.is_ascii() || (('À'..='ÿ').contains(&c) && !bare)
}

/// A comment for every name with letters that stand in the tables by their Unicode numbers.
fn originals(analysis: &Analysis) -> String {
    let workloads = analysis.workloads.iter().flat_map(|workload| {
        std::iter::once(&workload.workload).chain(workload.arms.iter().map(|arm| &arm.label))
    });
    let claims = analysis.claims.iter().flat_map(|claim| [&claim.statement, &claim.paper_number]);
    let tests = analysis.membership.iter().map(|test| &test.statement);
    let estimates = analysis.order_estimates.iter().map(|entry| &entry.name);
    let mut comments: Vec<String> = Vec::new();
    for name in workloads.chain(claims).chain(tests).chain(estimates) {
        let tex = escape(name);
        let comment = format!("% {tex} stands for {}\n", text::one_line(name));
        if tex.contains("U+") && !name.contains("U+") && !comments.contains(&comment) {
            comments.push(comment);
        }
    }
    comments.concat()
}

/// `text` as LaTeX text: nothing in it is read as a command, no two letters are set as one sign, and what pdflatex
/// cannot set is named.
fn escape(text: &str) -> String {
    let mut tex = String::new();
    for c in text::one_line(text).chars() {
        if joins(tex.chars().next_back(), c) {
            tex.push_str("{}");
        }
        match c {
            '\\' => tex.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                tex.push('\\');
                tex.push(c);
            }
            '^' => tex.push_str("\\textasciicircum{}"),
            '~' => tex.push_str("\\textasciitilde{}"),
            '<' => tex.push_str("\\textless{}"),
            '>' => tex.push_str("\\textgreater{}"),
            '|' => tex.push_str("\\textbar{}"),
            // In brackets so that a row that begins with one is not read as an option of `\\`.
            '[' | ']' | '*' => tex.push_str(&format!("{{{c}}}")),
            '×' => tex.push_str("$\\times$"),
            '±' => tex.push_str("$\\pm$"),
            '∞' => tex.push_str("$\\infty$"),
            '−' => tex.push_str("$-$"),
            '≥' => tex.push_str("$\\ge$"),
            '≤' => tex.push_str("$\\le$"),
            '→' => tex.push_str("$\\to$"),
            '–' => tex.push_str("--"),
            '…' => tex.push_str("\\ldots{}"),
            '✓' => tex.push_str("$\\surd$"),
            '✗' => tex.push_str("$\\times$"),
            '·' => tex.push_str("$\\cdot$"),
            '²' => tex.push_str("$^2$"),
            '³' => tex.push_str("$^3$"),
            'ρ' => tex.push_str("$\\rho$"),
            'τ' => tex.push_str("$\\tau$"),
            'σ' => tex.push_str("$\\sigma$"),
            'Δ' => tex.push_str("$\\Delta$"),
            '\u{FFFD}' => tex.push('?'),
            c if is_typeset(c) => tex.push(c),
            c => tex.push_str(&format!("U+{:04X}{{}}", c as u32)),
        }
    }
    tex
}

/// Whether TeX's fonts have one sign for the two: dashes, quotation marks, Spanish ones.
fn joins(before: Option<char>, c: char) -> bool {
    match c {
        // A dash is written as two hyphens.
        '-' | '–' | '—' => before == Some('-'),
        '\'' | ',' => before == Some(c),
        '`' => matches!(before, Some('`' | '?' | '!')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::sample;

    #[test]
    fn commands_in_labels_become_text() {
        assert_eq!(escape("\\input{/etc/passwd}"), "\\textbackslash{}input\\{/etc/passwd\\}");
        assert_eq!(escape("50 % & a_b"), "50 \\% \\& a\\_b");
        assert_eq!(escape("<b>\n%"), "\\textless{}b\\textgreater{} \\%");
    }

    #[test]
    fn letters_that_pdflatex_lacks_stand_by_their_numbers_and_the_name_in_a_comment() {
        let mut analysis = sample::single_seed();
        analysis.workloads[0].arms[0].label = "مثال 中 naïve".to_owned();
        let tex = tables(&analysis);
        let row = "U+0645{}U+062B{}U+0627{}U+0644{} U+4E2D{} naïve";
        assert!(tex.contains(&format!("\n{row} & ")), "{tex}");
        assert!(tex.contains(&format!("\n% {row} stands for مثال 中 naïve\n")), "{tex}");
        let set = tex.lines().filter(|line| !line.starts_with('%')).collect::<String>();
        assert!(set.chars().all(is_typeset), "{set}");
    }

    #[test]
    fn nothing_in_the_tables_of_any_sample_is_beyond_pdflatex() {
        for analysis in [sample::full(), sample::several(), sample::provenance(), sample::extreme()]
        {
            let tex = tables(&analysis);
            let set = tex.lines().filter(|line| !line.starts_with('%')).collect::<String>();
            assert!(set.chars().all(is_typeset) && !set.contains("U+"), "{set}");
        }
    }

    #[test]
    fn letters_that_tex_joins_or_takes_for_an_option_stay_as_they_are() {
        assert_eq!(escape("--set,, ``a'' ?`"), "-{}-set,{}, `{}`a'{}' ?{}`");
        assert_eq!(escape("*[x]*"), "{*}{[}x{]}{*}");
        assert_eq!(escape("2 – 3"), "2 -- 3");
        assert_eq!(escape("a-–b––c–-d"), "a-{}--b--{}--c--{}-d");
    }

    /// Names as somebody could give them who means no good, or writes in another script.
    const NAMES: [&str; 12] = [
        "\\input{/etc/passwd}",
        "\\end{document}",
        "% _ & # $ ^ ~ { } \\ < > | \"",
        "$x^2$ \\( y_1 \\)",
        "*starred",
        "[2ex] in brackets",
        "--set a,, ``b'' ?` !` <<c>>",
        "\u{1b}[2J \u{0} \u{7f} \u{9b}31m",
        "\u{202e}back\u{2066} \u{200f} \u{feff} \u{2028}",
        "مثال 中文 ελληνικά кириллица e\u{301} 🙂 \u{10ffff}",
        "à ÿ ß Æ Ø Ð þ ÷ µ ° § € ½ ª «»",
        "^^M^^41 \\par \\\\ \r\n\n\t",
    ];

    /// Every table that there is.
    fn all() -> Analysis {
        let (several, provenance) = (sample::several(), sample::provenance());
        Analysis {
            membership: provenance.membership,
            order_estimates: provenance.order_estimates,
            score: several.score,
            ..sample::full()
        }
    }

    fn hostile() -> Analysis {
        let mut analysis = all();
        let mut names = NAMES.iter().cycle();
        let mut rename = |text: &mut String| *text = (*names.next().unwrap()).to_owned();
        rename(&mut analysis.suite);
        for workload in &mut analysis.workloads {
            rename(&mut workload.workload);
            rename(&mut workload.target.metric);
            workload.arms.iter_mut().for_each(|arm| rename(&mut arm.label));
        }
        for claim in &mut analysis.claims {
            rename(&mut claim.statement);
            rename(&mut claim.paper_number);
        }
        for group in &mut analysis.score.groups {
            group.workloads.iter_mut().for_each(&mut rename);
        }
        analysis.membership.iter_mut().for_each(|test| rename(&mut test.statement));
        analysis.order_estimates.iter_mut().for_each(|entry| rename(&mut entry.name));
        analysis
    }

    /// Columns of every row that is set, one after the other.
    fn columns(tex: &str) -> Vec<usize> {
        let rows = tex.lines().filter(|line| line.ends_with(" \\\\") && !line.starts_with('%'));
        rows.map(|row| row.replace("\\&", "").matches('&').count()).collect()
    }

    #[test]
    fn no_name_begins_an_option_opens_a_group_or_makes_a_column() {
        let tex = tables(&hostile());
        assert_eq!(columns(&tex), columns(&tables(&all())));
        for line in tex.lines().filter(|line| !line.starts_with('%')) {
            assert!(!line.starts_with(['*', '[']), "{line}");
            let bare = line.replace("\\{", "").replace("\\}", "");
            let count = |c: char| bare.matches(c).count();
            assert_eq!(count('{'), count('}'), "{line}");
            assert!(line.chars().all(|c| is_typeset(c) && !c.is_control()), "{line:?}");
        }
    }

    /// Where there is a pdflatex; what it would refuse is held by the tests above, too.
    #[test]
    fn pdflatex_sets_the_tables_whatever_the_names_are() {
        let Ok(version) = Command::new("pdflatex").arg("--version").output() else { return };
        assert!(version.status.success());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tables.tex"), tables(&hostile())).unwrap();
        let document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n\\input{tables}\nThe end.\n\\end{document}\n";
        std::fs::write(folder.path().join("paper.tex"), document).unwrap();
        let set = Command::new("pdflatex")
            .args(["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&set.stdout);
        assert!(set.status.success(), "{said}");
        assert!(!said.contains("Missing character"), "{said}");
    }

    #[test]
    fn signs_become_mathematics() {
        assert_eq!(escape("1.21× [1.08, ∞]"), "1.21$\\times$ {[}1.08, $\\infty${]}");
    }
}

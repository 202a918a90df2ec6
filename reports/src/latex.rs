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
        None if arm.idle => text::ABSENT.to_owned(),
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

/// `text` as LaTeX text: nothing in it is read as a command, and what pdflatex cannot set is named.
fn escape(text: &str) -> String {
    let mut tex = String::new();
    for c in text::one_line(text).chars() {
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
            '[' => tex.push_str("{[}"),
            ']' => tex.push_str("{]}"),
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

#[cfg(test)]
mod tests {
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
    fn signs_become_mathematics() {
        assert_eq!(escape("1.21× [1.08, ∞]"), "1.21$\\times$ {[}1.08, $\\infty${]}");
    }
}

//! Tables for a paper: one of arms per workload, of claims, of scores over workloads, of membership tests; needs the `booktabs` package.
//!
//! Each fits one column of a page of two (240 points), or both (500 points), at 8 points; what fits neither is several
//! tables. Numbers of a column have one precision; every digit is in the CSV files, and in [`crate::numbers`] for
//! sentences.

pub(crate) mod escape;
mod fit;

use analysis::summary::Analysis;
use escape::escape;
use fit::{GAP, Layout, SIZE, breakable, layouts};

use crate::paper::{self, Kind, PaperTable};
use crate::text;

/// Every table, ready for `\input{tables}`.
pub(crate) fn tables(analysis: &Analysis) -> String {
    let mut tex = format!(
        "% Suite {}, digest {}. Needs \\usepackage{{booktabs}}.\n\
         % Tables of one column are at most 240 points wide, those of both (table*) at most 500.\n\
         \\providecommand{{\\ragged}}{{\\rightskip=0pt plus 1fil\\relax}}\n",
        text::one_line(&analysis.suite),
        text::one_line(&analysis.suite_digest)
    );
    tex.push_str(&originals(analysis));
    if analysis.workloads.is_empty() {
        tex.push_str("% No workload has been run: nothing to show.\n");
    }
    for table in paper::tables(analysis) {
        for (place, part) in layouts(&table).iter().enumerate() {
            draw(&mut tex, &table, part, place);
        }
    }
    tex
}

/// One part of a table; the first has its label.
fn draw(tex: &mut String, table: &PaperTable, part: &Layout, place: usize) {
    let float = if part.double { "table*" } else { "table" };
    let columns = part.columns.iter().zip(&part.widths).map(|(column, wide)| match wide {
        Some(wide) => format!("p{{{wide:.1}pt}}"),
        None if table.columns[*column].1 == Kind::Numbers => "r".to_owned(),
        None => "l".to_owned(),
    });
    tex.push_str(&format!(
        "\n\\begin{{{float}}}\n\\centering\n\\fontsize{{{SIZE}}}{{{:.1}}}\\selectfont\n\\setlength{{\\tabcolsep}}{{{GAP}pt}}\\emergencystretch=3em\n",
        SIZE * 1.2
    ));
    let (caption, label) = match place {
        0 => (breakable(&table.caption), format!("tab:{}", table.label)),
        _ => {
            let again = format!("tab:{}-{}", table.label, place + 1);
            (format!("Continues Table~\\ref{{tab:{}}}.", table.label), again)
        }
    };
    // Classes that expect captions below tables leave no room there.
    tex.push_str(&format!("\\caption{{{caption}}}\n\\label{{{label}}}\n\\vspace{{3pt}}\n"));
    tex.push_str(&format!("\\begin{{tabular}}{{{}}}\n\\toprule\n", columns.collect::<String>()));
    row(tex, part, table.columns.iter().map(|(name, _)| name.as_str()).collect());
    tex.push_str("\\midrule\n");
    for cells in &table.rows[part.rows.0..part.rows.1] {
        row(tex, part, cells.iter().map(String::as_str).collect());
    }
    tex.push_str(&format!("\\bottomrule\n\\end{{tabular}}\n\\end{{{float}}}\n"));
}

fn row(tex: &mut String, part: &Layout, cells: Vec<&str>) {
    let cells = part.columns.iter().zip(&part.widths).map(|(column, wide)| match wide {
        Some(_) => format!("\\ragged\\hspace{{0pt}}{}", breakable(cells[*column])),
        None => escape(cells[*column]),
    });
    tex.push_str(&cells.collect::<Vec<_>>().join(" & "));
    tex.push_str(" \\\\\n");
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::escape::is_typeset;
    use super::*;
    use crate::{numbers, sample};

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

    /// What LaTeX would stumble over: groups and environments that do not close, rows with more or fewer cells than
    /// their table has columns, letters that it does not set.
    fn check(tex: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut columns = 0;
        for line in tex.lines().filter(|line| !line.starts_with('%')) {
            let bare = line.replace("\\{", "").replace("\\}", "");
            let count = |c: char| bare.matches(c).count();
            assert_eq!(count('{'), count('}'), "{line}");
            assert!(!line.starts_with(['*', '[']), "{line}");
            assert!(line.chars().all(|c| is_typeset(c) && !c.is_control()), "{line:?}");
            let inner = |start: &str| {
                let rest = line.strip_prefix(start)?;
                rest.split_once('}')
            };
            if let Some((name, rest)) = inner("\\begin{") {
                open.push(name);
                if name == "tabular" {
                    columns = rest.replace("pt}", "").matches(['l', 'r', 'p']).count();
                    assert!(columns > 0, "{line}");
                }
            } else if let Some((name, _)) = inner("\\end{") {
                assert_eq!(open.pop(), Some(name), "{line}");
            } else if let Some(row) = line.strip_suffix(" \\\\") {
                assert_eq!(row.replace("\\&", "").matches('&').count() + 1, columns, "{line}");
                assert_eq!(open.last(), Some(&"tabular"), "{line}");
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    /// Names that nothing in them could break.
    fn long() -> Analysis {
        let mut analysis = all();
        let name = "W".repeat(60);
        for workload in &mut analysis.workloads {
            workload.workload = format!("{name}{}", workload.workload);
            workload.arms.iter_mut().for_each(|arm| arm.label = format!("{name}{}", arm.label));
        }
        analysis.claims.iter_mut().for_each(|claim| claim.paper_number.push_str(&name));
        analysis
    }

    #[test]
    fn groups_and_environments_close_and_rows_have_their_tables_columns_whatever_the_names_are() {
        for analysis in
            [all(), hostile(), long(), sample::sixteen(), sample::extreme(), sample::empty()]
        {
            check(&tables(&analysis));
            check(&numbers::macros(&analysis));
        }
    }

    /// Where there is a pdflatex with booktabs; what it would refuse is held by the tests above, too.
    #[test]
    fn pdflatex_sets_tables_and_numbers_within_their_columns_whatever_the_names_are() {
        let has = |program: &str, argument: &str| {
            let found = Command::new(program).arg(argument).output();
            found.is_ok_and(|found| found.status.success() && !found.stdout.is_empty())
        };
        if !has("pdflatex", "--version") || !has("kpsewhich", "booktabs.sty") {
            return;
        }
        for analysis in [all(), hostile(), long(), sample::sixteen()] {
            let folder = tempfile::tempdir().unwrap();
            let write =
                |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
            write("tables.tex", &tables(&analysis));
            write("numbers.tex", &numbers::macros(&analysis));
            let all_numbers: String = numbers::keys(&analysis)
                .iter()
                .map(|key| {
                    let parts = ["", "[exact]", "[interval]", "[n]"];
                    let used = parts.map(|part| format!("\\palimpsest{part}{{{key}}}"));
                    let runs = format!("\\setbox0=\\hbox{{\\palimpsest[runs]{{{key}}}}}");
                    format!("{} $\\palimpsest{{{key}}}${runs}\n\n", used.join(" "))
                })
                .collect();
            write(
                "paper.tex",
                &format!(
                    "\\documentclass[twocolumn]{{article}}\n\\usepackage{{booktabs}}\n\
                     \\setlength{{\\textwidth}}{{500pt}}\\setlength{{\\columnsep}}{{20pt}}\n\
                     \\input{{numbers}}\\extrafloats{{200}}\n\\begin{{document}}\n\\input{{tables}}\n\\clearpage\n\
                     {{\\sloppy\\tiny {all_numbers}}}\nThe end.\n\\end{{document}}\n"
                ),
            );
            let set = Command::new("pdflatex")
                .args([
                    "-interaction=nonstopmode",
                    "-halt-on-error",
                    "-no-shell-escape",
                    "paper.tex",
                ])
                .current_dir(folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&set.stdout);
            assert!(set.status.success(), "{said}");
            assert!(!said.contains("Missing character"), "{said}");
            assert!(!said.contains("Overfull"), "{said}");
            assert!(!said.contains("Float too large"), "{said}");
        }
    }
}

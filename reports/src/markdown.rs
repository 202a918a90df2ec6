//! The tables of a paper as Markdown, for issues, READMEs and notebooks.

use analysis::summary::Analysis;

use crate::paper::{self, Kind};
use crate::text;

/// Every table, one below the other.
pub(crate) fn tables(analysis: &Analysis) -> String {
    let mut md = format!("# {}\n\n{}\n", escape(&analysis.suite), escape(&analysis.question));
    for table in paper::tables(analysis) {
        md.push_str(&format!(
            "\n<a id=\"{}\"></a>\n**{}**\n\n",
            table.label,
            escape(&table.caption)
        ));
        let mut line = |cells: Vec<String>| {
            md.push_str(&format!("| {} |\n", cells.join(" | ")));
        };
        line(table.columns.iter().map(|(name, _)| escape(name)).collect());
        let rule = |kind: &Kind| if *kind == Kind::Numbers { "---:" } else { "---" };
        line(table.columns.iter().map(|(_, kind)| rule(kind).to_owned()).collect());
        for row in &table.rows {
            line(row.iter().map(|cell| escape(cell)).collect());
        }
    }
    md.push_str(&format!("\nSuite digest `{}`.\n", text::one_line(&analysis.suite_digest)));
    md
}

/// A text as Markdown text: nothing in it is markup, and it stays in its cell.
fn escape(text: &str) -> String {
    let mut md = String::new();
    for c in text::one_line(text).chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' => md.extend(['\\', c]),
            '<' => md.push_str("&lt;"),
            '>' => md.push_str("&gt;"),
            '&' => md.push_str("&amp;"),
            c => md.push(c),
        }
    }
    md
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn every_row_of_a_table_has_its_columns_and_numbers_stand_to_the_right() {
        for analysis in [sample::full(), sample::several(), sample::provenance(), sample::extreme()]
        {
            let md = tables(&analysis);
            let mut columns = None;
            for line in md.lines() {
                if !line.starts_with('|') {
                    columns = None;
                    continue;
                }
                let cells = line.replace("\\|", "").matches('|').count() - 1;
                assert_eq!(*columns.get_or_insert(cells), cells, "{line}");
            }
            let rows: usize = paper::tables(&analysis).iter().map(|table| table.rows.len()).sum();
            let all = md.lines().filter(|line| line.starts_with('|')).count();
            assert_eq!(all, rows + 2 * paper::tables(&analysis).len());
        }
        let md = tables(&sample::full());
        assert!(md.contains("| --- | ---: | ---: | ---: | ---: | ---: |"), "{md}");
    }

    #[test]
    fn markup_and_rules_in_names_are_text() {
        assert_eq!(
            escape("<b>|`x`|*y*_z_\n[a](b)"),
            "&lt;b&gt;\\|\\`x\\`\\|\\*y\\*\\_z\\_ \\[a\\](b)"
        );
    }
}

//! The page over all suites: a row a claim, with what the register says and what the last report here says.

use analysis::register::{Entry, Judged, Register, Version};
use analysis::summary::ClaimOutcome;
use askama::Template;
use stats::verdict::Verdict;

use super::Look;
use super::script::Head;
use crate::ReportError;
use crate::register::{effect_alone, ends, last_verdicts, text_at};
use crate::text::{self, ABSENT, one_line};

/// A suite's last report, as far as the index tells of it.
#[derive(Debug, Clone)]
pub struct LastReport {
    /// Name of the suite.
    pub suite: String,
    /// What it asks.
    pub question: String,
    /// Address of its page.
    pub address: String,
    /// Day on which its runs began, `YYYY-MM-DD`; none where nothing says it.
    pub date: Option<String>,
    /// What its claims came to.
    pub claims: Vec<ClaimOutcome>,
}

/// The page.
///
/// # Errors
/// When the template refuses.
pub fn page(registers: &[Register], reports: &[LastReport]) -> Result<String, ReportError> {
    let mut rows: Vec<Row> = Vec::new();
    for register in registers {
        let report = reports.iter().find(|report| report.suite == register.suite);
        let judged = register.claims.iter().filter(|entry| entry.withdrawn.is_none());
        rows.extend(judged.flat_map(|entry| judged_rows(register, entry, report)));
    }
    for report in reports {
        let known = |claim: &&ClaimOutcome| !rows.iter().any(|row| row.is_of(report, claim));
        let only_here: Vec<Row> =
            report.claims.iter().filter(known).map(|claim| Row::only_here(report, claim)).collect();
        rows.extend(only_here);
    }
    rows.sort_by(|a, b| a.suite.cmp(&b.suite));
    let mut suites: Vec<Suite> = reports.iter().map(Suite::of).collect();
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    let count = |verdict: Verdict| rows.iter().filter(|row| row.counts == Some(verdict)).count();
    let tally = Verdict::ALL.into_iter().map(|verdict| (Look::of(verdict), count(verdict)));
    let mut names: Vec<&str> = rows.iter().map(|row| row.suite.as_str()).collect();
    names.dedup();
    let page = Page {
        tally: tally.filter(|(_, n)| *n > 0).collect(),
        counts: format!("{} claims of {} suites", rows.len(), names.len()),
        rows,
        suites,
        head: Head::with_script(),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "index.html")]
struct Page {
    tally: Vec<(Look, usize)>,
    counts: String,
    rows: Vec<Row>,
    suites: Vec<Suite>,
    head: Head,
}

/// A suite with a report.
struct Suite {
    name: String,
    question: String,
    address: String,
    date: String,
    claims: usize,
}

impl Suite {
    fn of(report: &LastReport) -> Self {
        Self {
            name: one_line(&report.suite),
            question: one_line(&report.question),
            address: report.address.clone(),
            date: report.date.clone().unwrap_or(ABSENT.to_owned()),
            claims: report.claims.len(),
        }
    }
}

/// A verdict as the page shows it.
struct Seen {
    words: String,
    class: &'static str,
    symbol: &'static str,
    effect: String,
    interval: String,
    /// The effect itself, which tables are sorted by.
    raw: Option<f64>,
    seeds: u32,
    date: String,
}

impl Seen {
    fn judged(judged: &Judged) -> Self {
        let look = known(&judged.verdict).map(Look::of);
        Self {
            words: one_line(&judged.verdict),
            class: look.as_ref().map_or("plain", |look| look.class),
            symbol: look.as_ref().map_or("", |look| look.symbol),
            effect: effect_alone(judged),
            interval: ends(judged).map_or(String::new(), |[low, high]| format!("[{low}, {high}]")),
            raw: judged.effect,
            seeds: judged.seeds,
            date: one_line(&judged.date),
        }
    }

    fn here(report: &LastReport, claim: &ClaimOutcome) -> Self {
        let Look { class, symbol, .. } = Look::of(claim.verdict);
        Self {
            words: claim.verdict_words(),
            class,
            symbol,
            effect: claim.effect.map_or(ABSENT.to_owned(), |v| text::on_scale(claim, v)),
            interval: claim.interval.map_or(String::new(), |i| text::interval(&i, 1.0)),
            raw: claim.effect,
            seeds: claim.n,
            date: one_line(report.date.as_deref().unwrap_or(ABSENT)),
        }
    }
}

/// A claim on a workload.
struct Row {
    id: String,
    suite: String,
    address: Option<String>,
    statement: String,
    paper: String,
    source: String,
    workload: String,
    register: Option<Seen>,
    here: Option<Seen>,
    /// The verdict that the tally counts: the register's, else that of the last report.
    counts: Option<Verdict>,
    /// Whether the last report says another verdict than the register.
    differs: bool,
}

impl Row {
    fn is_of(&self, report: &LastReport, claim: &ClaimOutcome) -> bool {
        self.suite == one_line(&report.suite)
            && self.id == claim.id
            && self.workload == one_line(&claim.workload)
    }

    fn only_here(report: &LastReport, claim: &ClaimOutcome) -> Self {
        Self {
            id: claim.id.clone(),
            suite: one_line(&report.suite),
            address: Some(report.address.clone()),
            statement: one_line(&claim.statement),
            paper: one_line(&claim.paper_number),
            source: one_line(&claim.paper_source),
            workload: one_line(&claim.workload),
            register: None,
            here: Some(Seen::here(report, claim)),
            counts: Some(claim.verdict),
            differs: false,
        }
    }
}

/// A row a workload of the last definition of a claim; one without a verdict where it has not been judged.
fn judged_rows(register: &Register, entry: &Entry, report: Option<&LastReport>) -> Vec<Row> {
    let Some(version) = entry.versions.last() else { return Vec::new() };
    let verdicts = last_verdicts(version);
    let linked = |row: Row| Row { address: report.map(|report| report.address.clone()), ..row };
    if verdicts.is_empty() {
        return vec![linked(row(register, entry, version, None, None))];
    }
    let here = |judged: &Judged| {
        let report = report?;
        let same =
            |claim: &&ClaimOutcome| claim.id == entry.id && claim.workload == judged.workload;
        Some((report, report.claims.iter().find(same)?))
    };
    verdicts
        .into_iter()
        .map(|judged| row(register, entry, version, Some(judged), here(judged)))
        .map(linked)
        .collect()
}

fn row(
    register: &Register,
    entry: &Entry,
    version: &Version,
    judged: Option<&Judged>,
    here: Option<(&LastReport, &ClaimOutcome)>,
) -> Row {
    let said = |path| one_line(text_at(&version.definition, path));
    let counts = judged.and_then(|judged| known(&judged.verdict));
    Row {
        id: entry.id.clone(),
        suite: one_line(&register.suite),
        address: None,
        statement: said("/claim/statement"),
        paper: said("/claim/paper/number"),
        source: said("/claim/paper/source"),
        workload: judged.map_or(ABSENT.to_owned(), |judged| one_line(&judged.workload)),
        register: judged.map(Seen::judged),
        differs: here.is_some_and(|(_, claim)| counts != Some(claim.verdict)),
        here: here.map(|(report, claim)| Seen::here(report, claim)),
        counts,
    }
}

/// The verdict with these words; none for words of another build.
fn known(words: &str) -> Option<Verdict> {
    Verdict::ALL.into_iter().find(|verdict| verdict.words() == words)
}

#[cfg(test)]
mod tests {
    use analysis::register::Version;

    use super::*;
    use crate::sample;

    fn judged(workload: &str, verdict: Verdict) -> Judged {
        Judged {
            date: "2026-11-28".into(),
            workload: workload.into(),
            seeds: 5,
            scale: "ratio".into(),
            effect: Some(1.31),
            low: Some(1.2),
            high: Some(1.4),
            verdict: verdict.words().into(),
            reason: String::new(),
            rule: String::new(),
            program: "0123456789ab".into(),
            machine: "a processor".into(),
            command: "palimpsest run sample".into(),
        }
    }

    fn entry(id: &str, verdicts: Vec<Judged>) -> Entry {
        let paper = serde_json::json!({"number": "1.4×", "source": "figure 3"});
        let definition =
            serde_json::json!({ "claim": { "statement": "A <b>sooner</b>", "paper": paper } });
        Entry {
            id: id.into(),
            versions: vec![Version { digest: String::new(), definition, change: None, verdicts }],
            withdrawn: None,
        }
    }

    #[test]
    fn a_claim_is_one_row_with_the_register_and_the_last_report_side_by_side() {
        let claims = sample::full().claims;
        let report = LastReport {
            suite: "sample".into(),
            question: "Which?".into(),
            address: "sample/index.html".into(),
            date: Some("2026-11-30".into()),
            claims,
        };
        let mut register = Register::new("sample");
        register.claims.push(entry("a", vec![judged("digits-mlp", Verdict::Inconclusive)]));
        register.claims.push(entry("never", Vec::new()));
        let mut other = Register::new("other");
        other.claims.push(entry("x", vec![judged("blobs", Verdict::NotReproduced)]));
        let page = page(&[register, other], &[report]).unwrap();
        let table = page.split("<table class=\"verdicts\">").nth(1).unwrap();
        let rows: Vec<&str> =
            table.split("</table>").next().unwrap().split("<tr").skip(2).collect();
        // Two of the register and two that only the report has, after the one of the other suite.
        assert_eq!(rows.len(), 5);
        assert!(rows[0].contains("other") && rows[0].contains("not reproduced"));
        assert!(!rows[0].contains("href="), "there is no report to go to");
        let both = rows.iter().find(|row| row.contains("inconclusive</span>")).unwrap();
        assert!(both.contains("reproduced") && both.contains("1.31×") && both.contains("1.62×"));
        assert!(both.contains("href=\"sample/index.html\"") && both.contains("2026-11-30"));
        assert!(both.contains("class=\"differs\""), "{both}");
        assert!(both.contains("&#60;b&#62;sooner"), "a statement is text");
        assert!(rows.iter().any(|row| row.contains("not judged yet")));
        assert!(page.contains("5 claims of 2 suites"));
    }

    #[test]
    fn without_registers_and_reports_the_page_says_what_makes_them() {
        let page = page(&[], &[]).unwrap();
        assert!(page.contains("palimpsest run") && !page.contains("<table"));
    }
}

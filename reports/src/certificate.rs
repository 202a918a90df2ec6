//! The page of a certificate: one file to read, print and keep beside the JSON. The JSON is the
//! evidence; this page only shows it.

use analysis::evidence::certificate::{Certificate, FindingView, InputRun};
use askama::Template;
use serde_json::Value;

use crate::html::script::Head;
use crate::{ReportError, text};

/// Draws the page. The same certificate gives the same bytes.
///
/// # Errors
/// When the certificate's finding is not one, or the page cannot be filled in.
pub fn page(certificate: &Certificate) -> Result<String, ReportError> {
    let finding = certificate.view()?;
    let page = Page {
        scale: Scale::new(&finding),
        log10_p: text::fixed(finding.supported_log10_p(), 2),
        facts: facts(&finding),
        files: certificate
            .tested
            .files
            .iter()
            .map(|file| Input {
                role: file.role.name(),
                name: match &file.column {
                    Some(column) => format!("{}, column {column}", file.name),
                    None => file.name.clone(),
                },
                note: format!("{} bytes", text::fixed(file.size as f64, 0)),
                digest: file.sha256.to_string(),
            })
            .chain(certificate.tested.runs.iter().flat_map(of_run))
            .collect(),
        options: rows(certificate.options.iter()),
        origin: certificate
            .origin
            .as_ref()
            .map(serde_json::to_value)
            .transpose()?
            .and_then(|value| Some(rows(value.as_object()?.iter())))
            .unwrap_or_default(),
        signatures: certificate
            .signatures
            .iter()
            .map(|signature| signature.public_key.as_str())
            .collect(),
        command: command(certificate),
        certificate,
        finding,
        head: Head::with_style(include_str!("../templates/certificate.css")),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "certificate.html")]
struct Page<'a> {
    certificate: &'a Certificate,
    finding: FindingView,
    log10_p: String,
    scale: Scale,
    facts: Vec<(&'static str, String)>,
    files: Vec<Input>,
    options: Vec<(String, String)>,
    origin: Vec<(String, String)>,
    signatures: Vec<&'a str>,
    command: String,
    head: Head,
}

/// One row of what was tested.
struct Input {
    role: &'static str,
    name: String,
    note: String,
    digest: String,
}

/// A run, and its scores where they were tested.
fn of_run(run: &InputRun) -> impl Iterator<Item = Input> {
    let manifest = Input {
        role: run.role.name(),
        name: format!("run {}", run.run),
        note: "manifest".to_owned(),
        digest: run.run_digest.to_string(),
    };
    let scores = run.scores.as_ref().map(|scores| Input {
        role: run.role.name(),
        name: format!("scores of run {} on run {}", run.run, scores.on),
        note: format!("{} bytes", text::fixed(scores.size as f64, 0)),
        digest: scores.sha256.to_string(),
    });
    std::iter::once(manifest).chain(scores)
}

/// Marks on the line of log10 p, as percentages of its length.
struct Scale {
    value: String,
    floor: Option<String>,
    marks: Vec<(String, String)>,
}

impl Scale {
    fn new(finding: &FindingView) -> Self {
        let shown = -finding.supported_log10_p();
        let deepest = shown.max(finding.floor_log10_p.map_or(0.0, f64::abs)).max(7.0) * 1.12;
        let place = |value: f64| format!("{:.2}", (100.0 * value / deepest).clamp(0.0, 100.0));
        let candidates = [
            (1.301_03, "1 of 20"),
            (6.0, "1 of a million"),
            (20.0, "10⁻²⁰"),
            (100.0, "10⁻¹⁰⁰"),
            (1000.0, "10⁻¹⁰⁰⁰"),
        ];
        // Marks closer than a tenth of the line to the one before would run into it.
        let mut last = -1.0;
        let mut marks = Vec::new();
        for (value, name) in candidates {
            if value < deepest && (value - last) / deepest > 0.16 {
                marks.push((place(value), name.to_owned()));
                last = value;
            }
        }
        Self { value: place(shown), floor: finding.floor_log10_p.map(|floor| place(-floor)), marks }
    }
}

/// The finding's numbers with their names.
fn facts(finding: &FindingView) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Statistic", format!("{} {}", finding.metric, text::significant(finding.statistic, 4))),
        ("Examples tested", text::fixed(finding.n as f64, 0)),
        ("Examples with ties", text::fixed(finding.ties as f64, 0)),
        ("log10 p as computed", text::fixed(finding.log10_p, 4)),
        ("Tail", finding.tail.clone()),
        ("Adjusted by reference", finding.adjust.clone()),
        (
            "Method",
            match (finding.monte_carlo, finding.exact, finding.saddlepoint) {
                (Some(draws), ..) => format!("{} drawn orders", draws.draws),
                (None, true, _) => "all orders counted".to_owned(),
                (None, false, true) => "all orders, by saddlepoint".to_owned(),
                (None, false, false) => "distribution of the statistic".to_owned(),
            },
        ),
        ("Randomness of the order", finding.randomness.clone()),
    ];
    if let Some(floor) = finding.floor_log10_p {
        facts.push(("Smallest log10 p that the seed supports", text::fixed(floor, 2)));
    }
    facts
}

/// Fields as text; nested ones as compact JSON.
fn rows<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<(String, String)> {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => text::ABSENT.to_owned(),
        other => other.to_string(),
    };
    fields.map(|(name, value)| (name.replace('_', " "), shown(value))).collect()
}

/// How to check the certificate, with the inputs that it names.
fn command(certificate: &Certificate) -> String {
    let mut command = "palimpsest verify-certificate CERTIFICATE.json".to_owned();
    for file in &certificate.tested.files {
        command += &format!(" --{} {}", file.role.name(), quoted(&file.name));
    }
    if !certificate.tested.runs.is_empty() || certificate.origin.is_some() {
        command += " --store RUNS";
    }
    if !certificate.signatures.is_empty() {
        command += " --key SIGNER.pub.pem";
    }
    text::one_line(&command)
}

/// A name as a shell takes it for one word; a name that begins with a dash is none of an option.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+,:=@%".contains(c);
    let name = if name.starts_with('-') { format!("./{name}") } else { name.to_owned() };
    if !name.is_empty() && name.chars().all(plain) {
        return name;
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;

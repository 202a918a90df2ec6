//! What a page is without a browser: well formed, nothing loaded, every control named, every link with an end.

use std::collections::BTreeSet;
use std::path::Path;

use analysis::register::Register;
use analysis::summary::Analysis;
use base64ct::{Base64, Encoding as _};
use ledger::digest::Digest;
use reports::{Format, render};

use super::sample;

/// Elements that have no end.
const VOID: [&str; 5] = ["meta", "link", "input", "br", "img"];
/// Elements whose content is no markup.
const RAW: [&str; 2] = ["script", "style"];

pub fn page_of(analysis: &Analysis) -> String {
    let folder = tempfile::tempdir().unwrap();
    render(analysis, &[Format::Html], folder.path()).unwrap();
    std::fs::read_to_string(folder.path().join("index.html")).unwrap()
}

fn samples() -> [Analysis; 9] {
    [
        sample::full(),
        sample::loss(),
        sample::extreme(),
        sample::several(),
        sample::provenance(),
        sample::lone(),
        sample::forty(),
        sample::strange(),
        sample::empty(),
    ]
}

/// A start tag within its open elements.
struct Tag<'p> {
    name: &'p str,
    attributes: Vec<(&'p str, &'p str)>,
    within: Vec<&'p str>,
}

impl Tag<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }
}

/// Attributes of a tag: `name` or `name="value"`.
fn attributes(mut text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    while let Some(from) = text.find(|c: char| !c.is_whitespace() && c != '/') {
        text = &text[from..];
        let end = text.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(text.len());
        let name = &text[..end];
        text = &text[end..];
        let mut value = "";
        if let Some(rest) = text.strip_prefix("=\"") {
            let close = rest.find('"').unwrap_or_else(|| panic!("{name} has no end: {rest:.60}"));
            (value, text) = (&rest[..close], &rest[close + 1..]);
        }
        found.push((name, value));
    }
    found
}

/// Every start tag of a page; fails where one is not closed, or closed in the wrong place.
fn tags(page: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap();
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end = rest.find('>').unwrap();
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{:.80}", rest);
            continue;
        }
        let name = inside.split(|c: char| c.is_whitespace() || c == '/').next().unwrap();
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "no element: <{inside:.60}>");
        tags.push(Tag {
            name,
            attributes: attributes(&inside[name.len()..]),
            within: open.clone(),
        });
        if RAW.contains(&name) {
            rest = &rest[rest.find(&format!("</{name}")).unwrap()..];
        }
        if !VOID.contains(&name) && !inside.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    tags
}

#[test]
fn pages_are_well_formed_and_every_link_within_has_its_end() {
    for analysis in samples() {
        let page = page_of(&analysis);
        let tags = tags(&page);
        let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.get("id")).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len(), "{}: an id stands twice: {ids:?}", analysis.suite);
        for link in tags.iter().filter_map(|tag| tag.get("href")?.strip_prefix('#')) {
            assert!(distinct.contains(link), "{}: nothing has the id {link}", analysis.suite);
        }
        // No style or handler in an attribute: the policy would refuse it.
        for tag in &tags {
            let odd =
                tag.attributes.iter().find(|(name, _)| *name == "style" || name.starts_with("on"));
            assert!(odd.is_none(), "{}: {odd:?}", tag.name);
        }
    }
}

#[test]
fn every_control_has_a_label_and_every_picture_words() {
    let mut controls = 0;
    for analysis in samples() {
        let page = page_of(&analysis);
        for tag in tags(&page) {
            match tag.name {
                "input" | "select" => {
                    controls += 1;
                    assert!(tag.within.contains(&"label"), "{:?}", tag.attributes);
                }
                "img" => assert!(tag.get("alt").is_some_and(|words| !words.is_empty())),
                "svg" => {
                    let said =
                        tag.get("role") == Some("img") || tag.get("aria-hidden") == Some("true");
                    assert!(said, "{:?}", tag.attributes);
                }
                "html" => assert_eq!(tag.get("lang"), Some("en")),
                _ => {}
            }
        }
        // A figure's words are its title.
        assert_eq!(
            page.matches("role=\"img\">\n<title>").count(),
            page.matches("role=\"img\"").count()
        );
    }
    assert!(controls > 20, "{controls}");
}

#[test]
fn the_policy_lets_the_page_s_own_script_and_style_run_and_no_other() {
    let page = page_of(&sample::strange());
    let inner = |tag: &str| {
        let from = page.rfind(&format!("<{tag}>")).unwrap() + tag.len() + 2;
        &page[from..from + page[from..].find(&format!("</{tag}>")).unwrap()]
    };
    let digest = |text: &str| Base64::encode_string(Digest::of(text.as_bytes()).as_bytes());
    let tags = tags(&page);
    let policy = tags
        .iter()
        .find(|tag| tag.get("http-equiv") == Some("Content-Security-Policy"))
        .and_then(|tag| tag.get("content"))
        .unwrap();
    let parts: Vec<&str> = policy.split("; ").collect();
    assert!(parts.contains(&"default-src 'none'"));
    assert!(parts.contains(&format!("script-src 'sha256-{}'", digest(inner("script"))).as_str()));
    assert!(parts.contains(&format!("style-src 'sha256-{}'", digest(inner("style"))).as_str()));
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"));
}

#[test]
fn the_page_carries_the_analysis_with_the_digest_of_its_canonical_json() {
    for analysis in [sample::full(), sample::provenance()] {
        let page = page_of(&analysis);
        let from = page.find("id=\"data\">").unwrap() + 10;
        let data = &page[from..from + page[from..].find("</script>").unwrap()];
        assert!(!data.contains('<'), "a name could end the element");
        let back: Analysis = serde_json::from_str(data).unwrap();
        assert_eq!(back, analysis);
        let digest = Digest::of_json(&analysis).unwrap();
        assert!(page.contains(&format!("data-digest=\"{digest}\"")));
        // The chain behind a number: a row for each run, with all of its digests.
        let rows = page.matches("<tr data-run=").count();
        assert_eq!(rows, analysis.runs.len());
        for run in &analysis.runs {
            let full = run.run_digest.as_deref().unwrap();
            assert!(page.contains(&format!("<dd data-is=\"run_digest\">{full}</dd>")));
        }
    }
}

#[test]
fn numbers_of_arms_and_claims_lead_to_their_cells() {
    let analysis = sample::full();
    let page = page_of(&analysis);
    let tags = tags(&page);
    let leading = |arms: &str| tags.iter().filter(|tag| tag.get("data-arms") == Some(arms)).count();
    // Eight numbers and the link under the name of every arm.
    for place in 0..analysis.workloads[0].arms.len() {
        assert_eq!(leading(&place.to_string()), 9, "arm {place}");
    }
    // drop-muon against sgd.
    assert_eq!(leading("3 0"), 1);
    let first = page.find("id=\"on-digits-mlp-cells-3\"").unwrap();
    let row = &page[first..first + page[first..].find("</tr>").unwrap()];
    assert!(row.contains("<bdi>drop-muon</bdi>"), "{row}");
}

#[test]
fn time_to_target_is_the_first_figure_and_verdicts_stand_before_warnings() {
    let page = page_of(&sample::full());
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("no {words}"));
    assert!(at("<title>digits-mlp: train time to") < at("over train time</title>"));
    assert!(at("<h2>Claims</h2>") < at("Before you believe the numbers"));
    assert!(at("class=\"tally\"") < at("<nav"));
}

#[test]
fn figures_on_the_page_follow_its_colours_and_say_their_values() {
    let page = page_of(&sample::full());
    assert!(
        !page.contains("fill=\"#") && !page.contains("stroke=\"#"),
        "a colour that dark cannot change"
    );
    assert!(page.contains("fill=\"var(--x0072B2,#0072B2)\""));
    let spots = page.matches("<title>muon: ").count();
    assert!(spots >= 4, "{spots} values of muon to point at");
    let folder = tempfile::tempdir().unwrap();
    render(&sample::full(), &[Format::Svg], folder.path()).unwrap();
    let file = folder.path().join("figures/digits-mlp-at-budget.svg");
    let svg = std::fs::read_to_string(file).unwrap();
    assert!(svg.contains("\"#0072B2\"") && !svg.contains("var("), "a file stands alone");
}

/// The registers that lie beside the suites of this repository.
pub fn committed_registers() -> Vec<Register> {
    let suites = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites");
    let mut files: Vec<_> = [suites.clone(), suites.join("papers")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".claims.json"))
        .collect();
    files.sort();
    let read = |path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    files.into_iter().map(read).collect()
}

#[test]
fn the_page_of_all_suites_has_a_row_for_every_committed_claim_with_verdict_interval_and_date() {
    let registers = committed_registers();
    assert!(registers.len() > 10, "{}", registers.len());
    let page = reports::index(&registers, &[]).unwrap();
    tags(&page);
    let table = page.split("<table class=\"verdicts\">").nth(1).unwrap();
    let mut rows = table.split("</table>").next().unwrap().split("<tr>").skip(2);
    let mut suites: Vec<&Register> = registers.iter().collect();
    suites.sort_by(|a, b| a.suite.cmp(&b.suite));
    for register in suites {
        for entry in register.claims.iter().filter(|entry| entry.withdrawn.is_none()) {
            let verdicts = &entry.versions.last().unwrap().verdicts;
            let workloads: BTreeSet<&str> =
                verdicts.iter().map(|judged| judged.workload.as_str()).collect();
            for _ in 0..workloads.len().max(1) {
                let row = rows.next().unwrap();
                assert!(row.contains(&format!("<td>{}<small>", register.suite)), "{row}");
                let last = verdicts
                    .iter()
                    .rev()
                    .find(|judged| row.contains(&format!("<small>{}</small>", judged.workload)));
                let Some(last) = last else {
                    assert!(row.contains("not judged yet"), "{}: {row}", entry.id);
                    continue;
                };
                assert!(row.contains(&format!(" {}</span>", last.verdict)), "{}: {row}", entry.id);
                assert!(row.contains(&format!(">{}</td>", last.date)), "{}: {row}", entry.id);
                let has_interval = last.effect.is_some() && last.low.is_some();
                assert_eq!(row.contains("<small>["), has_interval, "{}: {row}", entry.id);
            }
        }
    }
    assert!(rows.next().is_none());
}

#[test]
fn every_figure_of_a_suite_is_on_its_page_too() {
    let mut analysis = sample::several();
    analysis.claims = sample::full().claims;
    let folder = tempfile::tempdir().unwrap();
    render(&analysis, &[Format::Html, Format::Svg], folder.path()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    let files = std::fs::read_dir(folder.path().join("figures")).unwrap();
    let files: Vec<String> =
        files.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    for wanted in ["claims.svg", "arms-by-workloads.svg"] {
        assert!(files.iter().any(|file| file == wanted), "{files:?}");
    }
    for file in files {
        assert!(page.contains(&format!("<a href=\"figures/{file}\">svg</a>")), "{file}");
    }
}

#[test]
fn a_curve_of_a_hundred_thousand_points_leaves_a_page_that_can_be_sent() {
    let (_, analysis) =
        sample::hostile().into_iter().find(|(name, _)| *name == "many-points").unwrap();
    let spike = |analysis: &Analysis| {
        let points = analysis.workloads[0].arms[1].by_samples.iter();
        points.min_by(|a, b| a.mean.total_cmp(&b.mean)).map(|point| (point.x, point.mean)).unwrap()
    };
    let page = page_of(&analysis);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    let from = page.find("id=\"data\">").unwrap() + 10;
    let data = &page[from..from + page[from..].find("</script>").unwrap()];
    let back: Analysis = serde_json::from_str(data).unwrap();
    assert!(back.workloads[0].arms[1].by_samples.len() <= 840);
    assert_eq!(spike(&back), spike(&analysis), "nothing that sticks out is lost");
}

#[test]
fn a_page_of_a_thousand_cells_stays_under_five_megabytes() {
    let analysis = sample::thousand();
    assert_eq!(analysis.runs.len(), 1000);
    let page = page_of(&analysis);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    // What it has no room for it says.
    let along = page.contains("\"metrics_by_samples\"");
    assert!(along != page.contains("are in these files alone"));
    let recorded = page_of(&sample::recorded());
    assert!(recorded.contains("\"metrics_by_samples\"") && !recorded.contains("files alone"));
}

//! The page: everything a reader needs, in one file that loads nothing. It is read without its script, which sorts,
//! filters and draws again what is there.
//!
//! askama rather than a run-time engine: the compiler checks the template, so a page can't fail on
//! a misspelt field, and its HTML escaper is on for every value but the figures drawn here.

use std::collections::{BTreeMap, BTreeSet};

use analysis::plan::unjudged;
use analysis::summary::{
    Analysis, ArmPictures, ClaimOutcome, Outcomes, RunRow, SequencePoint, WorkloadAnalysis,
};
use askama::Template;
use ledger::digest::Digest;
use stats::verdict::Verdict;

use crate::claims::NAME as CLAIMS;
use crate::figure::Figure;
use crate::grid::NAME as GRID;
use crate::html::arm::{Arm, Cell};
use crate::html::estimates::Estimates;
use crate::html::provenance::Provenance;
use crate::html::score::Scored;
use crate::html::script::Head;
use crate::html::tuning::Tuning;
use crate::{Figures, Format, ReportError, looks, paint, pictures, text};

mod arm;
pub(crate) mod compare;
mod estimates;
pub(crate) mod index;
mod key;
mod provenance;
mod score;
pub(crate) mod script;
mod tuning;

/// The page for `analysis` with its figures; links to the files of `formats`.
pub(crate) fn page(
    analysis: &Analysis,
    all: &Figures,
    formats: &[Format],
    place: &Place,
) -> Result<String, ReportError> {
    let mut workloads = Vec::new();
    let anchors = anchors(analysis);
    for (i, workload) in analysis.workloads.iter().enumerate() {
        let figures = all.figures.get(i).map_or(&[][..], Vec::as_slice);
        let anchor = anchors.get(i).cloned().unwrap_or_default();
        workloads.push(Workload::new(analysis, workload, figures, formats, (i, anchor), place)?);
    }
    // Each stands in the section that it is about.
    let over = |name: &str| -> Result<Option<Drawn>, ReportError> {
        let found = all.over_all.iter().find(|figure| figure.name == name);
        found.map(|figure| Drawn::new(figure, formats)).transpose()
    };
    let json = canonical(analysis)?;
    let mut page = Page {
        suite: text::one_line(&analysis.suite),
        question: text::one_line(&analysis.question),
        digest: text::short_hash(&analysis.suite_digest),
        full_digest: &analysis.suite_digest,
        tally: tally(analysis),
        claims: analysis.claims.iter().map(|claim| Claim::new(analysis, &anchors, claim)).collect(),
        board: over(CLAIMS)?,
        scores: Scored::all(analysis, &all.profiles, formats)?,
        grid: over(GRID)?,
        over_caption: format!("Suite {}{}", text::one_line(&analysis.suite), commit(analysis)),
        not_scored: analysis.score.reason.as_deref().filter(|_| analysis.workloads.len() > 1),
        stopped: analysis.stopping.as_ref().map(|stopping| stopping.summary.as_str()),
        warnings: unjudged::words(&analysis.unjudged)
            .into_iter()
            .chain(analysis.warnings.clone())
            .collect(),
        environment: &analysis.environment,
        commands: commands(analysis),
        files: files(analysis, formats),
        empty: analysis.workloads.is_empty(),
        provenance: Provenance::new(analysis, &all.power, formats)?,
        estimates: Estimates::new(analysis, &all.estimates, formats)?,
        tuning: Tuning::new(analysis, &all.sweeps, formats)?,
        workloads,
        head: Head::with_script(),
        data: script::embedded(&json),
        data_bytes: text::fixed(json.len() as f64, 0),
        data_digest: Digest::of(json.as_bytes()).to_string(),
        without_metrics: false,
        runs: analysis.runs.len(),
        with_digest: analysis.runs.iter().filter(|run| run.run_digest.is_some()).count(),
        index: place.index.as_deref(),
    };
    let whole = page.render()?;
    if whole.len() <= MOST_BYTES {
        return Ok(whole);
    }
    page.workloads.iter_mut().for_each(Workload::leave_stills);
    let whole = page.render()?;
    let along = |analysis: &Analysis| {
        let mut arms = analysis.workloads.iter().flat_map(|workload| &workload.arms);
        arms.any(|arm| !arm.metrics_by_samples.is_empty() || !arm.costs.is_empty())
    };
    if whole.len() <= MOST_BYTES || !along(analysis) {
        return Ok(whole);
    }
    // What a page of so many cells has no room for.
    let mut less = analysis.clone();
    for arm in less.workloads.iter_mut().flat_map(|workload| &mut workload.arms) {
        arm.metrics_by_samples.clear();
        arm.costs.values_mut().for_each(|cost| cost.curve.clear());
    }
    let json = canonical(&less)?;
    page.data = script::embedded(&json);
    page.data_bytes = text::fixed(json.len() as f64, 0);
    page.data_digest = Digest::of(json.as_bytes()).to_string();
    page.without_metrics = true;
    Ok(page.render()?)
}

/// The text that the digest of a page is taken over (RFC 8785): a browser writes the same from what it has read.
/// By way of a value, in which what is not finite is null.
fn canonical(analysis: &Analysis) -> Result<String, serde_json::Error> {
    serde_json_canonicalizer::to_string(&serde_json::to_value(analysis)?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    suite: String,
    question: String,
    digest: String,
    full_digest: &'a str,
    tally: Vec<(Look, usize)>,
    claims: Vec<Claim<'a>>,
    /// The scoreboard of claims.
    board: Option<Drawn>,
    scores: Vec<Scored>,
    /// Arms by workloads.
    grid: Option<Drawn>,
    over_caption: String,
    not_scored: Option<&'a str>,
    stopped: Option<&'a str>,
    warnings: Vec<String>,
    environment: &'a [(String, String)],
    commands: Vec<String>,
    files: Vec<(&'static str, &'static str)>,
    empty: bool,
    provenance: Option<Provenance<'a>>,
    estimates: Option<Estimates<'a>>,
    tuning: Option<Tuning<'a>>,
    workloads: Vec<Workload<'a>>,
    head: Head,
    /// Canonical JSON of the analysis.
    data: String,
    data_bytes: String,
    data_digest: String,
    /// Whether curves of further metrics are left to the files, for size.
    without_metrics: bool,
    runs: usize,
    with_digest: usize,
    /// The page of all suites, where there is one.
    index: Option<&'a str>,
}

/// What stands around a page, for its links; by default nothing.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Address of the page of all suites.
    pub index: Option<String>,
    /// Address of the folder with a folder for each run.
    pub records: Option<String>,
}

/// The ids of the workloads' sections: their names, so that links hold when a workload is added.
fn anchors(analysis: &Analysis) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for workload in &analysis.workloads {
        let stem = format!("on-{}", text::slug(&workload.workload));
        let mut anchor = stem.clone();
        let mut copy = 2;
        while anchors.contains(&anchor) {
            anchor = format!("{stem}-{copy}");
            copy += 1;
        }
        anchors.push(anchor);
    }
    anchors
}

/// How a verdict looks: never by colour alone.
struct Look {
    words: &'static str,
    class: &'static str,
    symbol: &'static str,
}

impl Look {
    const fn of(verdict: Verdict) -> Self {
        let (class, symbol) = match verdict {
            Verdict::Reproduced => ("yes", "✓"),
            Verdict::NotReproduced => ("no", "✗"),
            Verdict::Inconclusive => ("open", "?"),
        };
        Self { words: verdict.words(), class, symbol }
    }
}

fn tally(analysis: &Analysis) -> Vec<(Look, usize)> {
    let count = |verdict| analysis.claims.iter().filter(|claim| claim.verdict == verdict).count();
    let all = Verdict::ALL.into_iter();
    all.map(|verdict| (Look::of(verdict), count(verdict))).filter(|(_, n)| *n > 0).collect()
}

/// One row of the verdict table.
struct Claim<'a> {
    raw: &'a ClaimOutcome,
    class: &'static str,
    symbol: &'static str,
    effect: String,
    interval: Option<String>,
    needed: String,
    p: Option<String>,
    verdict: String,
    why: String,
    expected: Option<Verdict>,
    sequence: Vec<String>,
    /// The runs behind it.
    cells: Option<Cells>,
}

/// A link to the runs of some arms.
struct Cells {
    anchor: String,
    /// Places of the arms, the first whose rows the link goes to.
    arms: String,
    label: String,
}

impl<'a> Claim<'a> {
    fn new(analysis: &Analysis, anchors: &[String], raw: &'a ClaimOutcome) -> Self {
        let Look { class, symbol, .. } = Look::of(raw.verdict);
        Self {
            raw,
            class,
            symbol,
            effect: raw.effect.map_or(text::ABSENT.to_owned(), |v| text::on_scale(raw, v)),
            interval: raw.interval.map(|i| text::interval(&i, 1.0)),
            needed: text::asked(raw),
            p: raw.p.map(text::p_value),
            verdict: raw.verdict_words(),
            why: raw.why(),
            expected: (raw.expected != Verdict::Reproduced).then_some(raw.expected),
            sequence: raw.sequence.iter().map(|point| point_line(raw, point)).collect(),
            cells: Self::cells(analysis, anchors, raw),
        }
    }

    fn cells(analysis: &Analysis, anchors: &[String], raw: &ClaimOutcome) -> Option<Cells> {
        let named = |one: &WorkloadAnalysis| one.workload == raw.workload;
        let at = analysis.workloads.iter().position(named)?;
        let workload = analysis.workloads.get(at)?;
        let place = |label: &str| workload.arms.iter().position(|arm| arm.label == label);
        let (arm, baseline) = (place(&raw.arm)?, place(&raw.baseline)?);
        let mut runs = analysis.runs.iter();
        runs.find(|run| run.workload == raw.workload && run.arm == raw.arm)?;
        Some(Cells {
            anchor: format!("{}-cells-{arm}", anchors.get(at)?),
            arms: format!("{arm} {baseline}"),
            label: format!("{} and {}", raw.arm, raw.baseline),
        })
    }
}

/// One line of a confidence sequence.
fn point_line(claim: &ClaimOutcome, point: &SequencePoint) -> String {
    let mean = text::on_scale(claim, point.mean);
    let ends = [point.low, point.high].map(|end| end.map(|end| text::on_scale(claim, end)));
    match ends {
        [Some(low), Some(high)] => format!("{}: {mean}, {low} to {high}", point.seeds),
        _ => format!("{}: {mean}, not bounded yet", point.seeds),
    }
}

/// One workload's section.
struct Workload<'a> {
    raw: &'a WorkloadAnalysis,
    place: usize,
    anchor: String,
    target: String,
    budget: String,
    examples: String,
    root: String,
    /// What the figure that answers to its reader shows too.
    main: Vec<Drawn>,
    /// Whether the first of them is the time to target.
    answered: bool,
    /// Whether its curves are left to the live figure and to the files, for size.
    large: bool,
    figures: Vec<Drawn>,
    caption: String,
    arms: Vec<Arm<'a>>,
    runs: Vec<Run<'a>>,
    metrics: Vec<String>,
    looks: Looks<'a>,
    pictures: Vec<Shown<'a>>,
}

/// What an arm's first run left to look at.
struct Shown<'a> {
    arm: &'a str,
    seed: &'a str,
    cell: &'a str,
    address: String,
}

impl<'a> Shown<'a> {
    fn all(workload: &'a WorkloadAnalysis) -> Vec<Self> {
        let shown = workload.arms.iter().filter_map(|arm| {
            let ArmPictures { cell, seed, png } = arm.pictures.as_ref()?;
            Some(Self { arm: &arm.label, seed, cell, address: pictures::address(png)? })
        });
        shown.collect()
    }
}

/// The networks that one trained state was judged as: a row each, a column for every arm that has them.
struct Looks<'a> {
    split: &'static str,
    arms: Vec<&'a str>,
    rows: Vec<(&'a str, Vec<Cell>)>,
}

impl<'a> Looks<'a> {
    fn new(workload: &'a WorkloadAnalysis) -> Self {
        let (split, looks) = looks::all(workload);
        let places: BTreeSet<usize> =
            looks.iter().flat_map(|look| look.arms.keys().copied()).collect();
        let arms = places.iter().map(|&place| workload.arms[place].label.as_str()).collect();
        let rows = looks.into_iter().map(|look| {
            let cells = places.iter().map(|place| arm::estimate(look.arms.get(place).copied()));
            (look.name, cells.collect())
        });
        Self { split, arms, rows: rows.collect() }
    }
}

/// A figure and the files it was also written to.
struct Drawn {
    svg: String,
    files: Vec<(&'static str, String)>,
}

impl Drawn {
    fn new(figure: &Figure, formats: &[Format]) -> Result<Self, ReportError> {
        let files = [Format::Svg, Format::Png].into_iter().filter(|f| formats.contains(f));
        Ok(Self {
            svg: paint::inline_svg(figure)?,
            files: files
                .map(|format| (format.name(), figure.file(format.name()).display().to_string()))
                .collect(),
        })
    }
}

impl<'a> Workload<'a> {
    /// Leaves out every still figure but the answer.
    fn leave_stills(&mut self) {
        self.main.truncate(usize::from(self.answered));
        self.figures.clear();
        self.large = true;
    }

    fn new(
        analysis: &'a Analysis,
        raw: &'a WorkloadAnalysis,
        figures: &[Figure],
        formats: &[Format],
        (place, anchor): (usize, String),
        around: &Place,
    ) -> Result<Self, ReportError> {
        let draw = |figures: Vec<&Figure>| -> Result<Vec<Drawn>, ReportError> {
            figures.into_iter().map(|figure| Drawn::new(figure, formats)).collect()
        };
        // The answer first.
        let named = |end: &str| figures.iter().find(|figure| figure.name.ends_with(end));
        let main: Vec<&Figure> = MAIN.iter().filter_map(|end| named(end)).collect();
        let others = figures.iter().filter(|figure| main.iter().all(|one| one.name != figure.name));
        let answered = main.first().is_some_and(|figure| figure.name.ends_with(MAIN[0]));
        let (figures, answer) = (draw(others.collect())?, draw(main)?);
        let runs = Run::all(analysis, raw, around);
        let mut metrics: Vec<String> =
            raw.arms.iter().flat_map(|arm| arm.at_budget.keys().cloned()).collect();
        metrics.sort();
        metrics.dedup();
        let main = format!("/{}", raw.target.metric);
        metrics.retain(|name| !name.ends_with(&main) && !looks::is_look(name));
        let mut arms = Arm::all(analysis, raw, &metrics);
        for arm in &mut arms {
            arm.has_cells = runs.iter().any(|run| run.arm == Some(arm.place));
        }
        Ok(Self {
            raw,
            place,
            anchor,
            target: text::given(raw.target.value),
            budget: text::fixed(raw.budget_samples as f64, 0),
            examples: match raw.train_examples {
                0 => "not known".to_owned(),
                examples => text::fixed(examples as f64, 0),
            },
            root: text::short_hash(&raw.dataset_root),
            main: answer,
            figures,
            caption: caption(analysis, raw),
            arms,
            answered,
            large: false,
            runs,
            metrics,
            looks: Looks::new(raw),
            pictures: Shown::all(raw),
        })
    }
}

/// Bytes from which on a page leaves its still figures to the folder's files.
const MOST_BYTES: usize = 4_900_000;

/// Ends of the names of a workload's main figures, in the order of the page.
const MAIN: [&str; 4] = ["-time-to-target", "-metric-by-time", "-metric-by-samples", "-at-budget"];

/// What stands under every figure: suite, n, seeds, and the commit where it is known.
fn caption(analysis: &Analysis, workload: &WorkloadAnalysis) -> String {
    let sizes: Vec<u32> = workload.arms.iter().map(|arm| cells(&arm.outcomes)).collect();
    let least = sizes.iter().min().copied().unwrap_or(0);
    let most = sizes.iter().max().copied().unwrap_or(0);
    let n = if least == most { most.to_string() } else { format!("{least}–{most}") };
    let mut seeds: Vec<&str> = Vec::new();
    for run in analysis.runs.iter().filter(|run| run.workload == workload.workload) {
        if !seeds.contains(&run.seed.as_str()) {
            seeds.push(&run.seed);
        }
    }
    let listed = if seeds.len() > 12 {
        let first: Vec<&str> = seeds.iter().take(12).copied().collect();
        format!("{} and {} more", first.join(", "), seeds.len() - 12)
    } else if seeds.is_empty() {
        "none".to_owned()
    } else {
        seeds.join(", ")
    };
    let noun = if most == 1 { "seed" } else { "seeds" };
    let caption = format!("Suite {} · n = {n} {noun} per arm · {noun} {listed}", analysis.suite);
    caption + &commit(analysis)
}

/// The commit as the end of a caption, where it is known.
fn commit(analysis: &Analysis) -> String {
    let named = analysis.environment.iter().find(|(name, _)| name == "commit");
    named.map_or(String::new(), |(_, commit)| format!(" · commit {}", text::short_hash(commit)))
}

fn cells(outcomes: &Outcomes) -> u32 {
    outcomes.reached + outcomes.censored + outcomes.diverged + outcomes.failed
}

/// One row of the table of cells.
struct Run<'a> {
    raw: &'a RunRow,
    /// Its place among all runs of the analysis.
    number: usize,
    /// The place of its arm, where the workload has it.
    arm: Option<usize>,
    /// Whether links to the arm's runs go here.
    first: bool,
    record: Option<String>,
    time: String,
    at_budget: String,
    train: String,
    digests: [RunDigest<'a>; 4],
}

/// A digest of a run, short in the row and whole in the fold.
struct RunDigest<'a> {
    what: &'static str,
    key: &'static str,
    short: String,
    full: Option<&'a str>,
}

impl<'a> Run<'a> {
    /// The runs on a workload, in the order of the analysis.
    fn all(analysis: &'a Analysis, workload: &WorkloadAnalysis, around: &Place) -> Vec<Self> {
        let place: BTreeMap<&str, usize> =
            workload.arms.iter().enumerate().map(|(i, arm)| (arm.label.as_str(), i)).collect();
        let mut seen = BTreeSet::new();
        let rows = analysis.runs.iter().enumerate();
        let mine = rows.filter(|(_, run)| run.workload == workload.workload);
        mine.map(|(number, raw)| {
            let arm = place.get(raw.arm.as_str()).copied();
            let first = arm.is_some_and(|arm| seen.insert(arm));
            Self::new(raw, number, (arm, first), around)
        })
        .collect()
    }

    fn new(
        raw: &'a RunRow,
        number: usize,
        (arm, first): (Option<usize>, bool),
        around: &Place,
    ) -> Self {
        let or_absent = |shown: Option<String>| shown.unwrap_or(text::ABSENT.to_owned());
        let digest = |what, key, full: &'a Option<String>| {
            let full = full.as_deref();
            RunDigest { what, key, short: or_absent(full.map(text::short_hash)), full }
        };
        let records = around.records.as_ref().filter(|_| raw.run_digest.is_some());
        Self {
            raw,
            number,
            arm,
            first,
            record: records.map(|folder| format!("{folder}/{}/record.json", raw.cell)),
            time: or_absent(raw.time_to_target.map(text::time)),
            at_budget: or_absent(raw.at_budget.map(|value| text::significant(value, 4))),
            train: or_absent(raw.train_seconds.map(text::time)),
            digests: [
                digest("Order, epoch 1", "first_order_hash", &raw.first_order_hash),
                digest("Chain of steps", "chain", &raw.chain),
                digest("Parameters", "parameters", &raw.parameters),
                digest("Run (its manifest)", "run_digest", &raw.run_digest),
            ],
        }
    }
}

/// How to get these numbers again: the recorded command, or the one that always works.
fn commands(analysis: &Analysis) -> Vec<String> {
    let recorded: Vec<String> = analysis
        .environment
        .iter()
        .filter(|(name, _)| name == "command")
        .map(|(_, command)| text::one_line(command))
        .collect();
    let mut commands = if recorded.is_empty() {
        vec![format!("palimpsest run {}", analysis.suite)]
    } else {
        recorded
    };
    commands.push(format!("palimpsest report {}", analysis.suite));
    if let Some(run) = analysis.runs.iter().find(|run| run.run_digest.is_some()) {
        commands.push(format!("palimpsest verify {}", run.cell));
        commands.push(format!("palimpsest reproduce {}", run.cell));
    }
    commands
}

/// Tables written beside the page.
fn files(analysis: &Analysis, formats: &[Format]) -> Vec<(&'static str, &'static str)> {
    let (tests, estimates) =
        (!analysis.membership.is_empty(), !analysis.order_estimates.is_empty());
    let (claims, scores) = (!analysis.claims.is_empty(), !analysis.score.groups.is_empty());
    [
        (Format::Csv, "arms.csv", "arms"),
        (Format::Csv, "runs.csv", "runs"),
        (Format::Csv, "curves.csv", "curves"),
        (Format::Csv, "claims.csv", "claims"),
        (Format::Csv, "scores.csv", "scores over workloads"),
        (Format::Csv, "provenance.csv", "membership tests"),
        (Format::Csv, "estimates.csv", "order estimates"),
        (Format::Csv, "trials.csv", "trials of settings"),
        (Format::Tex, "tables.tex", "LaTeX tables"),
        (Format::Tex, "numbers.tex", "LaTeX numbers"),
        (Format::Md, "tables.md", "Markdown tables"),
        (Format::Json, "analysis.json", "the analysis"),
    ]
    .into_iter()
    .filter(|(format, file, _)| {
        formats.contains(format)
            && (claims || *file != "claims.csv")
            && (scores || *file != "scores.csv")
            && (tests || *file != "provenance.csv")
            && (estimates || *file != "estimates.csv")
            && (analysis.tuning.is_some() || *file != "trials.csv")
    })
    .map(|(_, file, what)| (file, what))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_number_between_two_shortest_decimals_is_sealed_as_a_browser_writes_it() {
        let mut analysis = sample::full();
        // -980102381539581.25, half way from …1.2 to …1.3: ECMAScript takes the even one.
        analysis.workloads[0].target.value = f64::from_bits(0xC30B_DB2E_F25C_87EA);
        let text = canonical(&analysis).unwrap();
        assert!(text.contains("-980102381539581.2,") || text.contains("-980102381539581.2}"));
    }
}

//! The page: everything a reader needs, in one file without scripts or anything to load.
//!
//! askama rather than a run-time engine: the compiler checks the template, so a page can't fail on
//! a misspelt field, and its HTML escaper is on for every value but the figures drawn here.

use std::collections::BTreeSet;

use analysis::plan::unjudged;
use analysis::summary::{
    Analysis, ArmPictures, ClaimOutcome, Outcomes, RunRow, SequencePoint, WorkloadAnalysis,
};
use askama::Template;
use stats::verdict::Verdict;

use crate::figure::Figure;
use crate::html::arm::{Arm, Cell};
use crate::html::estimates::Estimates;
use crate::html::provenance::Provenance;
use crate::html::score::Scored;
use crate::html::tuning::Tuning;
use crate::{Format, ReportError, looks, paint, pictures, text};

mod arm;
mod estimates;
mod provenance;
mod score;
mod tuning;

/// The page for `analysis` with the figures of each workload and of each group of arms, its power curves,
/// order estimates and sweeps; links to the files of `formats`.
pub(crate) fn page(
    analysis: &Analysis,
    [figures, profiles]: [&[Vec<Figure>]; 2],
    [power, estimated, sweeps]: [&[Figure]; 3],
    formats: &[Format],
) -> Result<String, ReportError> {
    let mut workloads = Vec::new();
    for (i, workload) in analysis.workloads.iter().enumerate() {
        let figures = figures.get(i).map_or(&[][..], Vec::as_slice);
        workloads.push(Workload::new(analysis, workload, figures, formats, i)?);
    }
    let page = Page {
        suite: text::one_line(&analysis.suite),
        question: text::one_line(&analysis.question),
        digest: text::short_hash(&analysis.suite_digest),
        full_digest: &analysis.suite_digest,
        tally: tally(analysis),
        claims: analysis.claims.iter().map(Claim::new).collect(),
        scores: Scored::all(analysis, profiles, formats)?,
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
        provenance: Provenance::new(analysis, power, formats)?,
        estimates: Estimates::new(analysis, estimated, formats)?,
        tuning: Tuning::new(analysis, sweeps, formats)?,
        workloads,
    };
    Ok(page.render()?)
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
    scores: Vec<Scored>,
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
}

impl<'a> Claim<'a> {
    fn new(raw: &'a ClaimOutcome) -> Self {
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
        }
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
    anchor: String,
    target: String,
    budget: String,
    examples: String,
    root: String,
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
    fn new(
        analysis: &'a Analysis,
        raw: &'a WorkloadAnalysis,
        figures: &[Figure],
        formats: &[Format],
        index: usize,
    ) -> Result<Self, ReportError> {
        let drawn = figures.iter().map(|figure| Drawn::new(figure, formats));
        let drawn = drawn.collect::<Result<Vec<_>, _>>()?;
        let runs: Vec<Run> =
            analysis.runs.iter().filter(|run| run.workload == raw.workload).map(Run::new).collect();
        let mut metrics: Vec<String> =
            raw.arms.iter().flat_map(|arm| arm.at_budget.keys().cloned()).collect();
        metrics.sort();
        metrics.dedup();
        let main = format!("/{}", raw.target.metric);
        metrics.retain(|name| !name.ends_with(&main) && !looks::is_look(name));
        Ok(Self {
            raw,
            anchor: format!("workload-{}", index + 1),
            target: text::given(raw.target.value),
            budget: text::fixed(raw.budget_samples as f64, 0),
            examples: match raw.train_examples {
                0 => "not known".to_owned(),
                examples => text::fixed(examples as f64, 0),
            },
            root: text::short_hash(&raw.dataset_root),
            figures: drawn,
            caption: caption(analysis, raw),
            arms: Arm::all(raw, &metrics),
            runs,
            metrics,
            looks: Looks::new(raw),
            pictures: Shown::all(raw),
        })
    }
}

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
    let mut caption =
        format!("Suite {} · n = {n} {noun} per arm · {noun} {listed}", analysis.suite);
    if let Some((_, commit)) = analysis.environment.iter().find(|(name, _)| name == "commit") {
        caption.push_str(&format!(" · commit {}", text::short_hash(commit)));
    }
    caption
}

fn cells(outcomes: &Outcomes) -> u32 {
    outcomes.reached + outcomes.censored + outcomes.diverged + outcomes.failed
}

/// One row of the table of cells.
struct Run<'a> {
    raw: &'a RunRow,
    time: String,
    at_budget: String,
    train: String,
    digests: Vec<Option<Digest<'a>>>,
}

/// A digest, short for the eye and whole for a pointer.
struct Digest<'a> {
    short: String,
    full: &'a str,
}

impl<'a> Run<'a> {
    fn new(raw: &'a RunRow) -> Self {
        let or_absent = |shown: Option<String>| shown.unwrap_or(text::ABSENT.to_owned());
        let digests = [&raw.first_order_hash, &raw.chain, &raw.parameters, &raw.run_digest];
        Self {
            raw,
            time: or_absent(raw.time_to_target.map(text::time)),
            at_budget: or_absent(raw.at_budget.map(|value| text::significant(value, 4))),
            train: or_absent(raw.train_seconds.map(text::time)),
            digests: digests
                .into_iter()
                .map(|digest| digest.as_deref())
                .map(|digest| digest.map(|full| Digest { short: text::short_hash(full), full }))
                .collect(),
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
        (Format::Csv, "claims.csv", "claims"),
        (Format::Csv, "scores.csv", "scores over workloads"),
        (Format::Csv, "provenance.csv", "membership tests"),
        (Format::Csv, "estimates.csv", "order estimates"),
        (Format::Csv, "trials.csv", "trials of settings"),
        (Format::Tex, "tables.tex", "LaTeX tables"),
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

//! What a certificate can hold at all: parts that belong together, options of a test, and numbers that
//! follow from each other without any input.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stats::provenance::order_list::Resolution;
use stats::provenance::tail::{normal, student};
use stats::provenance::template::Template;
use stats::provenance::{Adjust, Draws, Finding, Kind, Metric, Tail};

use super::{Certificate, Role};
use crate::suite::membership::{Access, Documents};
use ledger::digest::Digest;
use ledger::order::{OrderLaw, Unit};
use ledger::record::store::is_cell_id;
use ledger::seed::Randomness;

/// Bits of the seed of a run.
const SEED_BITS: u32 = 256;

/// Longest name of a version.
const LONGEST_VERSION: usize = 200;

/// The options of a certificate: every name that there is, each of its type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The coefficient.
    pub metric: Metric,
    /// The alternative.
    pub tail: Tail,
    /// Use of references.
    pub adjust: Adjust,
    /// What scores are.
    pub kind: Kind,
    /// Law of the order.
    pub law: OrderLaw,
    /// What the law moves.
    pub unit: Unit,
    /// What positions count.
    pub resolution: Resolution,
    /// The only epoch tested.
    pub epoch: Option<u32>,
    /// Recency factor.
    pub gamma: Option<f64>,
    /// Monte Carlo draws.
    pub monte_carlo: Option<Draws>,
    /// Examples per step.
    pub batch_size: Option<u32>,
    /// Where the seed came from.
    pub randomness: Option<Randomness>,
    /// Bits of the seed.
    pub seed_bits: Option<u32>,
    /// What is known of models of runs.
    pub access: Option<Access>,
    /// Documents of packed examples.
    pub documents: Option<Documents>,
    /// The profile learnt from shadow runs.
    pub template: Option<Template>,
    /// How tables of ids lie.
    pub layout: Option<String>,
    /// What became of several scores in a row.
    pub row_scores: Option<String>,
    /// The tests that were planned beforehand.
    pub plan: Option<Plan>,
}

/// A plan that was fixed beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// SHA-256 of its file.
    pub sha256: Digest,
    /// Tests planned.
    pub tests: u64,
}

impl Options {
    /// Reads the options of a certificate.
    ///
    /// # Errors
    /// When one is missing, unknown, or of another type.
    pub fn of(options: &BTreeMap<String, Value>) -> Result<Self, String> {
        let value = serde_json::to_value(options).map_err(|error| error.to_string())?;
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
}

/// The certificate has the parts of its version, of files or of runs, and nothing beside them.
pub(super) fn check_form(certificate: &Certificate) -> Result<(), String> {
    let Certificate { version, tested, origin, software, .. } = certificate;
    let [files, runs] = [tested.files.len(), tested.runs.len()];
    if files > 0 && (origin.is_some() || runs > 0) {
        return Err("it names files and runs; a test has one of them".to_owned());
    }
    if files + runs == 0 {
        return Err("it names no input".to_owned());
    }
    if files > 0 {
        check_files(certificate)?
    } else {
        check_runs(certificate)?
    }
    let reference_order = tested.files.iter().any(|file| file.role == Role::ReferenceOrder);
    if *version < 2 && (reference_order || tested.promise.is_some()) {
        return Err("reference orders and promises of files are named from version 2 on".to_owned());
    }
    if runs > 0 && tested.promise.is_some() {
        return Err("the promise of a run stands in its origin".to_owned());
    }
    if let Some(name) = software.keys().find(|name| *name != "palimpsest") {
        return Err(format!("software names {name:?}; only palimpsest makes certificates"));
    }
    let version =
        |text: &String| !text.chars().any(char::is_control) && text.len() <= LONGEST_VERSION;
    if software.len() != 1 || !software.values().all(version) {
        return Err("software is no name of a version".to_owned());
    }
    Ok(())
}

/// How many inputs have a role.
fn count(certificate: &Certificate, role: Role) -> usize {
    let files = certificate.tested.files.iter().filter(|file| file.role == role).count();
    files + certificate.tested.runs.iter().filter(|run| run.role == role).count()
}

fn check_files(certificate: &Certificate) -> Result<(), String> {
    let count = |role| count(certificate, role);
    let [order, positions] = [Role::Order, Role::Positions].map(count);
    if count(Role::Scores) != 1 || positions > 1 || (order > 0) == (positions > 0) {
        return Err("a test has one file of scores, and an order or positions".to_owned());
    }
    for role in [Role::Ids, Role::Units, Role::Blocks] {
        if count(role) > 1 {
            return Err(format!("it names two files as {}", role.name()));
        }
    }
    if positions > 0 && count(Role::Ids) + count(Role::ReferenceOrder) > 0 {
        return Err(
            "positions are of the rows as they are, without ids or a reference order".to_owned()
        );
    }
    if count(Role::Blocks) > 0 && (order > 0 || count(Role::Units) > 0) {
        return Err("blocks belong to positions without units".to_owned());
    }
    if count(Role::Template) > 0 {
        return Err("a template is learnt from runs, not from a file".to_owned());
    }
    Ok(())
}

fn check_runs(certificate: &Certificate) -> Result<(), String> {
    let Certificate { version, tested, origin, .. } = certificate;
    let roles = [Role::Order, Role::Scores].map(|role| count(certificate, role));
    if roles != [1, 1] {
        return Err("a test of runs has one order and one suspect".to_owned());
    }
    let Some(origin) = origin else {
        return Err("it tests the order of a run, but has no origin".to_owned());
    };
    let second = *version >= 2;
    for input in &tested.runs {
        let role = input.role;
        let on = input.scores.as_ref().map_or(&input.run, |scores| &scores.on);
        if !is_cell_id(&input.run) || !is_cell_id(on) {
            return Err(format!("{:?} or {on:?} is not the id of a run", input.run));
        }
        if ![Role::Order, Role::Scores, Role::Reference, Role::Template].contains(&role) {
            return Err(format!("a run is no {}", role.name()));
        }
        let of_the_order = role != Role::Order
            || (&input.run, input.run_digest) == (&origin.run, origin.run_digest);
        if !of_the_order {
            return Err("the run whose order was tested is not that of the origin".to_owned());
        }
        if input.scores.is_some() != (second && role != Role::Order) {
            return Err(format!(
                "run {} as {} gives either the order or scores",
                input.run,
                role.name()
            ));
        }
    }
    if origin.order_version.is_some() != second || origin.follows_from_seed.is_some() != second {
        return Err(format!("the origin has not the fields of version {version}"));
    }
    if origin.order_hashes.is_empty() {
        return Err("the origin names no epoch".to_owned());
    }
    if origin.abandoned > origin.promises {
        return Err(format!("{} of {} promises are abandoned", origin.abandoned, origin.promises));
    }
    if origin.index.is_some_and(|place| place.sequence >= origin.promises) {
        return Err("its promise stands behind the end of the index".to_owned());
    }
    if origin.follows_from_seed == Some(true)
        && matches!(origin.law, OrderLaw::Sorted | OrderLaw::Adaptive)
    {
        return Err(format!(
            "an order of the law {} does not follow from its seed",
            origin.law.name()
        ));
    }
    Ok(())
}

/// Options are those of a test of these inputs, and the finding says of them what follows.
pub(super) fn check_options(certificate: &Certificate) -> Result<(), String> {
    let options = Options::of(&certificate.options)?;
    let finding: Finding =
        serde_json::from_value(certificate.finding.clone()).map_err(|error| error.to_string())?;
    repeated(certificate, &options, &finding)?;
    allowed(certificate, &options, &finding)?;
    match &certificate.origin {
        None => of_files(certificate, &options, &finding),
        Some(_) => of_runs(certificate, &options),
    }?;
    follows(&options, &finding)
}

fn hold(rules: &[(bool, &str)]) -> Result<(), String> {
    match rules.iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, broken)) => Err((*broken).to_owned()),
    }
}

/// What the finding repeats of the options is the same there.
fn repeated(certificate: &Certificate, options: &Options, finding: &Finding) -> Result<(), String> {
    let randomness = options.randomness.map(|origin| serde_json::json!(origin));
    let declared = randomness.as_ref().and_then(Value::as_str).unwrap_or("undeclared");
    let floor = options.seed_bits.map(|bits| -f64::from(bits) * std::f64::consts::LOG10_2);
    let same_floor = match (floor, finding.floor_log10_p) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs(),
        (a, b) => a.is_none() == b.is_none(),
    };
    let references = count(certificate, Role::Reference);
    let weighted = finding.epochs.as_ref().map(|table| table.gamma);
    let direction = match options.template {
        Some(_) => finding.direction.clone(),
        None => options.kind.direction(finding.statistic, finding.adjust),
    };
    hold(&[
        (options.tail == finding.tail, "tail of the finding is not that of the options"),
        (options.adjust == finding.adjust, "adjust of the finding is not that of the options"),
        (
            options.metric == finding.metric || options.template.is_some(),
            "metric of the finding is not that of the options",
        ),
        (
            (options.adjust == Adjust::None) == (references == 0),
            "references and adjust do not fit together",
        ),
        (finding.randomness == declared, "randomness of the finding is not that of the options"),
        (same_floor, "floor_log10_p does not follow from the bits of the seed"),
        (
            options.monte_carlo == finding.monte_carlo,
            "the draws of the finding are not those of the options",
        ),
        (
            weighted.is_none() || weighted == options.gamma,
            "gamma of the finding is not that of the options",
        ),
        (
            finding.direction == direction,
            "direction does not follow from the statistic and the kind of score",
        ),
    ])
}

/// Options that a test can have together.
fn allowed(certificate: &Certificate, options: &Options, finding: &Finding) -> Result<(), String> {
    let drawn = options.monte_carlo.is_some();
    let template = options.template.is_some();
    let several = finding.epochs.is_some();
    // Under these laws the rows of an order are one test.
    let one_test = matches!(options.law, OrderLaw::Replacement | OrderLaw::UniformSameEachEpoch);
    let random = !matches!(options.law, OrderLaw::Sorted | OrderLaw::Adaptive);
    hold(&[
        (random, "an order of this law leaves nothing to chance"),
        (
            drawn || options.law != OrderLaw::Replacement,
            "a sampler with replacement has no closed form",
        ),
        (
            template == (count(certificate, Role::Template) > 0),
            "a template and the runs that it is learnt from do not fit together",
        ),
        (!(template && drawn), "a template is tested by its closed form"),
        (
            !(several && (options.epoch.is_some() || template)),
            "one epoch or a template beside several epochs",
        ),
        (
            options.gamma.is_none_or(|gamma| gamma > 0.0 && gamma <= 1.0),
            "gamma is above 0 and at most 1",
        ),
        (
            several || options.gamma.is_none() || one_test,
            "gamma weighs several epochs, but the finding has one",
        ),
        (options.plan.is_none_or(|plan| plan.tests > 0), "a plan has at least one test"),
        (options.plan.is_none() || certificate.version >= 2, "a plan is named from version 2 on"),
        (options.batch_size != Some(0), "a step has at least one example"),
    ])
}

fn of_files(certificate: &Certificate, options: &Options, finding: &Finding) -> Result<(), String> {
    let count = |role| count(certificate, role);
    let [positions, blocks, units] =
        [Role::Positions, Role::Blocks, Role::Units].map(|role| count(role) > 0);
    let order = count(Role::Order) > 0;
    let stepped = options.batch_size.is_some() || options.layout.as_deref() == Some("steps");
    hold(&[
        (
            options.access.is_none() && options.documents.is_none(),
            "access and documents belong to runs",
        ),
        (
            options.unit == Unit::Sample || units,
            "an order of whole units is tested by the unit of each example",
        ),
        (
            (options.resolution == Resolution::Step) == stepped,
            "positions count steps where a batch size is given",
        ),
        (
            !positions
                || (options.epoch.is_none()
                    && options.batch_size.is_none()
                    && options.gamma.is_none()),
            "positions have no epochs and no batch size",
        ),
        (
            !positions || options.law != OrderLaw::Replacement,
            "a sampler with replacement is tested by its order",
        ),
        (!blocks || options.law == OrderLaw::Blockwise, "blocks, but the law is not blockwise"),
        (
            options.law != OrderLaw::Blockwise
                || order
                || (options.monte_carlo.is_some() && blocks),
            "a blockwise order is tested by rows, or within blocks by Monte Carlo",
        ),
        (
            options.layout.is_none() || order || count(Role::ReferenceOrder) > 0,
            "a layout without a table of ids",
        ),
        (finding.n > 0, "nothing was tested"),
    ])
}

fn of_runs(certificate: &Certificate, options: &Options) -> Result<(), String> {
    let Some(origin) = &certificate.origin else { return Ok(()) };
    let (Some(access), Some(documents)) = (options.access, options.documents) else {
        return Err("access and documents are missing".to_owned());
    };
    let unit = if documents == Documents::Whole { origin.unit } else { Unit::Pack };
    let kind = if access == Access::LogProbs { Kind::Loss } else { Kind::Agreement };
    hold(&[
        (
            options.resolution == Resolution::Step && options.batch_size.is_none(),
            "positions of runs count steps",
        ),
        (options.law == origin.law, "law of the options is not that of the run"),
        (
            options.randomness == Some(origin.randomness),
            "randomness of the options is not that of the run",
        ),
        (options.seed_bits == Some(SEED_BITS), "the seed of a run has 256 bits"),
        (options.unit == unit, "unit of the options is not that of the run"),
        (options.kind == kind, "kind of score is not that of the access"),
        (
            options.layout.is_none() && options.row_scores.is_none(),
            "files are laid out, runs are not",
        ),
    ])
}

/// The p-value is that of statistic and n, as far as they tell it.
fn follows(options: &Options, finding: &Finding) -> Result<(), String> {
    let Finding { statistic: r, n, ties, log10_p, .. } = *finding;
    if ties > n {
        return Err(format!("{ties} of {n} examples are tied"));
    }
    if let Some(Draws { draws, .. }) = finding.monte_carlo {
        return drawn(finding.p, draws, options);
    }
    // Elsewhere it hangs on all ties and values, which only the inputs tell.
    let closed = !(finding.exact || finding.saddlepoint || finding.epochs.is_some());
    let open = !closed || n < 10 || r.abs() > 1.0 - 1e-9;
    if open || (finding.metric == Metric::Kendall && ties > 0) {
        return Ok(());
    }
    let n_f64 = n as f64;
    let tails = match finding.metric {
        Metric::Kendall => {
            let pairs = n_f64 * (n_f64 - 1.0);
            normal(r * (pairs / 2.0) / (pairs * (2.0 * n_f64 + 5.0) / 18.0).sqrt())
        }
        Metric::Spearman | Metric::Pearson => student(r, (1.0 - r) * (1.0 + r), n),
    };
    let expected = finding.tail.of(&tails) / std::f64::consts::LN_10;
    // 1 - r² from r has lost digits near 1.
    let slack = (1e-6 + n_f64 * 1e-15 / (1.0 - r.abs())).max(1e-9 * log10_p.abs());
    if (expected - log10_p).abs() > slack {
        return Err(format!("log10_p is {log10_p}, but statistic and n give {expected}"));
    }
    Ok(())
}

/// A Monte Carlo p-value is a whole number of draws, of which the data are one.
fn drawn(p: f64, draws: u64, options: &Options) -> Result<(), String> {
    if draws == 0 {
        return Err("there are no draws".to_owned());
    }
    // Within blocks the null is not centred, and two-sided is twice the smaller side.
    let doubled = options.law == OrderLaw::Blockwise && options.tail == Tail::TwoSided;
    let all = draws as f64 + 1.0;
    let whole = |factor: f64| {
        let count = p * all / factor;
        count > 1.0 - 1e-6 && (count - count.round()).abs() < 1e-6 * count.max(1.0)
    };
    if p >= 1.0 || whole(1.0) || (doubled && whole(2.0)) {
        return Ok(());
    }
    Err(format!("p is {p}, which is no number of {draws} draws"))
}

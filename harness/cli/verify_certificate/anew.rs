//! The finding of a certificate, computed anew from the inputs that it names.

use std::collections::BTreeMap;

use ::data::columns::ColumnSource;
use analysis::evidence::certificate::{Certificate, Given, Role};
use analysis::suite::membership::{Access, Documents};
use analysis::verify::Verifier;
use anyhow::{Context as _, bail};
use ledger::order::{OrderLaw, Unit};
use ledger::record::store::is_cell_id;
use ledger::seed::Randomness;
use serde::Deserialize;
use serde_json::Value;
use stats::provenance::epochs::DEFAULT_GAMMA;
use stats::provenance::{Adjust, Draws, Kind, Metric, Tail};

use crate::cli::provenance::files::{self, Drawn, Files, TokenScores};
use crate::cli::provenance::order_table::Layout;
use crate::cli::provenance::plan::Declared;
use crate::cli::provenance::question::{Choices, Question};
use crate::cli::provenance::runs::{self, Runs};

/// The options of a certificate, as [`Question::options`] writes them. Those that follow from the
/// inputs, and unknown ones, are left to [`same_options`].
#[derive(Debug, Deserialize)]
struct Options {
    metric: Metric,
    tail: Tail,
    adjust: Adjust,
    kind: Kind,
    law: OrderLaw,
    unit: Unit,
    epoch: Option<u32>,
    gamma: Option<f64>,
    monte_carlo: Option<Draws>,
    batch_size: Option<u32>,
    randomness: Option<Randomness>,
    seed_bits: Option<u32>,
    access: Option<Access>,
    documents: Option<Documents>,
    #[serde(default)]
    layout: Layout,
    #[serde(rename = "row_scores")]
    token_scores: Option<TokenScores>,
    plan: Option<Declared>,
    /// Learnt anew from the shadow runs.
    template: Option<Value>,
}

/// Asks the question of the certificate again.
///
/// # Errors
/// When its options or inputs are not those of a test, or the test refuses them.
pub fn finding(certificate: &Certificate, given: &Given<'_>) -> Result<Value, String> {
    ask(certificate, given).map_err(|error| format!("{error:#}"))
}

fn ask(certificate: &Certificate, given: &Given<'_>) -> anyhow::Result<Value> {
    let options: Options = serde_json::from_value(serde_json::to_value(&certificate.options)?)
        .context("options of the certificate")?;
    let choices = Choices {
        metric: options.metric,
        tail: options.tail,
        adjust: Some(options.adjust),
        kind: options.kind,
        epoch: options.epoch,
        gamma: options.gamma.unwrap_or(DEFAULT_GAMMA),
        monte_carlo: options.monte_carlo,
    };
    let mut question = if certificate.tested.runs.is_empty() {
        from_files(certificate, given, &options, &choices)?
    } else {
        from_runs(certificate, given, &options, &choices)?
    };
    question.plan = options.plan;
    same_options(&certificate.options, &question.options())?;
    if question.template.is_some() != options.template.is_some() {
        bail!("the template and the shadow runs that it is learnt from do not fit together");
    }
    let mut asked = question.ask()?;
    match (asked.pop(), asked.len()) {
        (Some(asked), 0) => Ok(serde_json::to_value(asked.finding)?),
        _ => bail!("a certificate is about one suspect"),
    }
}

/// What the inputs themselves tell, such as the law of a run, is what the certificate tells.
fn same_options(
    recorded: &BTreeMap<String, Value>,
    found: &BTreeMap<String, Value>,
) -> anyhow::Result<()> {
    let given = |name: &&String| !["template", "plan"].contains(&name.as_str());
    for name in recorded.keys().chain(found.keys()).filter(given) {
        let [recorded, found] = [recorded, found].map(|options| options.get(name));
        // Canonical JSON writes 1.0 as 1.
        let numbers = recorded.and_then(Value::as_f64).zip(found.and_then(Value::as_f64));
        if recorded != found && numbers.is_none_or(|(recorded, found)| recorded != found) {
            let [recorded, found] =
                [recorded, found].map(|value| value.map_or("absent".to_owned(), Value::to_string));
            bail!("option {name} is {recorded} in the certificate, but {found} from the inputs");
        }
    }
    Ok(())
}

fn from_files(
    certificate: &Certificate,
    given: &Given<'_>,
    options: &Options,
    choices: &Choices,
) -> anyhow::Result<Question> {
    let mut files = Files::default();
    let mut left = given.files.clone();
    for input in &certificate.tested.files {
        let role = input.role;
        let at = left.iter().position(|(given, _)| *given == role);
        let (_, path) = left.remove(at.with_context(|| format!("no {} file", role.name()))?);
        let source = ColumnSource { path, column: input.column.clone() };
        let place = match role {
            Role::Scores => {
                files.scores.push(source);
                continue;
            }
            Role::Reference => {
                files.reference.push(source);
                continue;
            }
            Role::Order => {
                files.order.push(source);
                continue;
            }
            Role::ReferenceOrder => {
                files.reference_order.push(source);
                continue;
            }
            Role::Positions => &mut files.positions,
            Role::Ids => &mut files.ids,
            Role::Units => &mut files.units,
            Role::Blocks => &mut files.blocks,
            Role::Template => bail!("a template is learnt from runs, not from a file"),
        };
        if place.replace(source).is_some() {
            bail!("the certificate names two files as {}", role.name());
        }
    }
    if !files.order.is_empty() && files.positions.is_some() {
        bail!("the certificate names an order and positions; a test has one of them");
    }
    let drawn = Drawn {
        law: options.law,
        unit: options.unit,
        randomness: options.randomness,
        seed_bits: options.seed_bits,
        batch_size: options.batch_size,
        layout: options.layout,
        token_scores: options.token_scores,
    };
    files::question(&files, &drawn, choices)
}

fn from_runs(
    certificate: &Certificate,
    given: &Given<'_>,
    options: &Options,
    choices: &Choices,
) -> anyhow::Result<Question> {
    if !certificate.tested.files.is_empty() {
        bail!("the certificate names files and runs; a test has one of them");
    }
    let store = given.store.context("no store")?;
    let mut by_role: BTreeMap<Role, Vec<String>> = BTreeMap::new();
    let of_the_order = certificate.origin.as_ref().map(|origin| origin.run.as_str());
    for input in &certificate.tested.runs {
        // References on the examples of a shadow run belong to the template.
        let on = input.scores.as_ref().map(|scores| scores.on.as_str());
        if input.role == Role::Reference && on.is_some() && on != of_the_order {
            continue;
        }
        if !is_cell_id(&input.run) {
            bail!("{:?} is not the id of a run", input.run);
        }
        by_role.entry(input.role).or_default().push(input.run.clone());
    }
    let mut take = |role| by_role.remove(&role).unwrap_or_default();
    let (order, models) = (take(Role::Order), take(Role::Scores));
    let (references, template) = (take(Role::Reference), take(Role::Template));
    let [run] = order.as_slice() else {
        bail!("the certificate names {} runs as order; a test has one", order.len());
    };
    if certificate.origin.as_ref().is_none_or(|origin| origin.run != *run) {
        bail!("the certificate tests the order of run {run}, but its origin is another");
    }
    let runs = Runs {
        run,
        models: &models,
        references: &references,
        template: &template,
        access: options.access.unwrap_or_default(),
        documents: options.documents.unwrap_or_default(),
    };
    // The store is only read: what has no scores yet is told with the command that makes them.
    let verifier = match given.draw {
        Some(draw) => Verifier::new(store).drawing(draw),
        None => Verifier::new(store),
    };
    runs::question(&runs, choices, store, &verifier, &|_, _| Ok(()))
}

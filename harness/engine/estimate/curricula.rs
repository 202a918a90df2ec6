//! `palimpsest estimate search --space curricula`: which of the rules that people choose orders by would
//! have been better, in the mean over draws of each, and what the best are truly worth.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use inspect::estimate::Problem as _;
use inspect::estimate::fitted::Fitted;
use palimpsest::cli::estimate::search::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_table, print_text};
use stats::estimates::agreement::Interval;
use stats::estimates::curricula::{Curriculum, Known};
use stats::estimates::results::{CurriculaResult, Rule};
use stats::estimates::search::Verified;
use stats::estimates::{ItemOrder, Purpose, orders};
use tch::{Kind, Tensor};

use super::bench::Bench;
use super::given::{self, write_whole};
use super::predict::out;
use super::print;

/// Draws of a rule that are trained for true; none of them was estimated.
const TRAINED: u64 = 8;
/// Random orders that are estimated to compare with.
const RANDOM: u64 = 1024;
/// Gradients that are held at once.
const ROWS: usize = 256;
/// Keys by which items can be sorted.
pub const KEYS: [&str; 4] = ["loss", "score", "gradient", "agreement"];

/// What rules may ask of the items of this window: every key that it has, and the groups.
pub fn known(fitted: &Fitted<'_>) -> anyhow::Result<Known> {
    let side = &fitted.replay().ready().side;
    let mut keys = BTreeMap::new();
    for key in KEYS {
        if key != "score" || !side.scores.is_empty() {
            keys.insert(key.to_owned(), scores(fitted, key)?);
        }
    }
    let groups = match side.groups.is_empty() {
        true => Vec::new(),
        false => fitted.window.items.iter().map(|ids| most(ids, &side.groups)).collect(),
    };
    Ok(Known { keys, groups, group_names: side.group_names.clone() })
}

/// The group that most of these examples belong to, the lowest of several.
fn most(ids: &[u32], groups: &[u32]) -> u32 {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for id in ids {
        *counts.entry(groups[*id as usize]).or_default() += 1;
    }
    let best = counts.into_iter().max_by_key(|(group, count)| (*count, std::cmp::Reverse(*group)));
    best.map_or(0, |(group, _)| group)
}

/// A score of every item by key: `loss`, its own at the window's start; `score`, the mean of what the
/// workload says of its examples; `gradient`, the norm of its gradient at the start; `agreement`, the
/// cosine of that with the gradient of the loss that is predicted.
pub fn scores(fitted: &Fitted<'_>, key: &str) -> anyhow::Result<Vec<f64>> {
    let problem = &fitted.problem;
    let start = fitted.window.start();
    let given = fitted.replay().ready().side.scores.as_slice();
    match key {
        "loss" => {
            let start = start.unsqueeze(0);
            (0..problem.items()).map(|item| Ok(problem.own(item, &start)?[0])).collect()
        }
        "gradient" | "agreement" => {
            let items: Vec<usize> = (0..problem.items()).collect();
            let towards = problem.held_out_gradient(start)?;
            let towards = towards.f_div(&towards.f_norm()?)?;
            let mut all = Vec::with_capacity(items.len());
            for items in items.chunks(ROWS) {
                let at = start.f_unsqueeze(0)?.f_expand([items.len() as i64, -1], false)?;
                let gradients = problem.gradients(items, &at)?;
                let norms = gradients.f_norm_scalaropt_dim(2.0, [1], false)?;
                let values = match key {
                    "gradient" => norms,
                    _ => gradients.f_matmul(&towards)?.f_div(&norms.f_clamp_min(1e-30)?)?,
                };
                all.extend(Vec::<f64>::try_from(&values.f_to_kind(Kind::Double)?)?);
            }
            Ok(all)
        }
        _ if given.is_empty() => anyhow::bail!(
            "sorted:score: this workload gives its examples no score; sorted:loss takes the loss \
             at the window's start"
        ),
        _ => Ok(fitted
            .window
            .items
            .iter()
            .map(|ids| ids.iter().map(|id| given[*id as usize]).sum::<f64>() / ids.len() as f64)
            .collect()),
    }
}

/// A rule's draws that were trained, with their losses on both splits.
struct Trained {
    orders: Vec<ItemOrder>,
    searched: Vec<f64>,
    elsewhere: Vec<f64>,
}

/// Estimates all rules, trains the best and says what they are worth.
pub fn run(bench: &mut Bench<'_>, args: &Args) -> anyhow::Result<Exit> {
    bench.refuse_ranks()?;
    let window = bench.fitted.window.orders.clone();
    let known = known(&bench.fitted)?;
    let draws = u64::from(args.draws);
    let draw =
        |rule: &Curriculum, numbers: std::ops::Range<u64>| -> anyhow::Result<Vec<ItemOrder>> {
            let mut seen = BTreeSet::new();
            let mut all = Vec::new();
            for number in numbers {
                let order = known.draw(&window, rule, args.fit.seed, number)?;
                if seen.insert(order.effect_hash()) {
                    all.push(order);
                }
            }
            Ok(all)
        };
    let random: Vec<ItemOrder> =
        (0..RANDOM).map(|n| orders::draw(&window, args.fit.seed, Purpose::Search, n)).collect();
    let (random_mean, random_sd) = moments(&bench.score(&random)?);
    let clock = training::clock::Monotonic::start();
    let (mut rules, mut scored) = (Vec::new(), 0);
    for curriculum in known.curricula() {
        let drawn = draw(&curriculum, 0..draws)?;
        scored += drawn.len();
        let (estimate, sd) = moments(&bench.score(&drawn)?);
        let name = known.name(&curriculum);
        rules.push(Rule { name, curriculum, estimate, sd, searched: None, elsewhere: None });
    }
    let seconds = training::clock::Time::now(&clock).as_secs_f64() / scored.max(1) as f64;
    rules.retain(|rule| rule.estimate.is_finite());
    rules.sort_by(|a, b| a.estimate.total_cmp(&b.estimate));

    let against = bench.test_draws(args.against as usize)?;
    let against = train(bench, against)?;
    let mut all = Vec::new();
    for rule in rules.iter_mut().take(args.keep as usize) {
        let trained = train(bench, draw(&rule.curriculum, draws..draws + TRAINED)?)?;
        rule.searched = Verified::of(&trained.searched, &against.searched).ok();
        rule.elsewhere = Verified::of(&trained.elsewhere, &against.elsewhere).ok();
        all.push(trained);
    }
    let result = CurriculaResult {
        source: bench.scored_source(seconds)?,
        draws: args.draws as usize,
        random: random.len(),
        random_mean,
        random_sd,
        rules,
        elsewhere: bench.judged.elsewhere,
    };
    let asked = ("curricula", args.draws, args.keep, args.against);
    let out = out(args.out.as_deref(), &args.fit.places.store(), "search", bench, &asked);
    let mut paths = reports::estimates::curricula(&result, &out)?;
    let best = all.iter().min_by(|a, b| mean(&a.searched).total_cmp(&mean(&b.searched)));
    if let Some(best) = best {
        let losses = best.searched.iter().enumerate();
        let (place, _) = losses.min_by(|a, b| a.1.total_cmp(b.1)).context("no draw was trained")?;
        paths.push(write_whole(bench, &best.orders[place], &out.join("best-order.npy"))?);
        let written: Vec<&ItemOrder> = best.orders.iter().collect();
        paths.extend(given::write(bench, ("orders", "draws of the best rule"), &written, &out)?);
    }
    print::answer(&result, args.json, &paths, || show(bench, &result))?;
    Ok(print::exit(&result.source))
}

fn train(bench: &mut Bench<'_>, orders: Vec<ItemOrder>) -> anyhow::Result<Trained> {
    let (ends, _): (Tensor, f64) = bench.fitted.truth(&orders)?;
    let [searched, elsewhere] = bench.both_splits(&ends)?;
    let means = |rows: &[Vec<f64>]| rows.iter().map(|row| mean(row)).collect();
    Ok(Trained { orders, searched: means(&searched), elsewhere: means(&elsewhere) })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean and standard deviation; 0 of one value.
fn moments(values: &[f64]) -> (f64, f64) {
    let (n, middle) = (values.len() as f64, mean(values));
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    (middle, if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 })
}

fn show(bench: &Bench<'_>, result: &CurriculaResult) -> anyhow::Result<()> {
    print::heading(bench, &result.source)?;
    let (searched, other) = (&bench.judged.name, &bench.judged.elsewhere_name);
    print_text(&format!(
        "{} rules, each estimated on {searched} by the mean over {} draws, against {} random orders; the \
         best were trained for true in {TRAINED} other draws (a rule that leaves nothing to chance has \
         one)\n",
        result.rules.len(),
        result.draws,
        result.random
    ))?;
    let of = |verified: Option<&Verified>| {
        verified.map_or("–".to_owned(), |one| {
            let at = one
                .interval_in_sd()
                .map(|Interval { low, high }| format!(" [{low:+.2}, {high:+.2}]"));
            format!("{:+.2} sd{}", one.difference_in_sd, at.unwrap_or_default())
        })
    };
    let on =
        [format!("{searched}: estimate"), format!("{searched}: true"), format!("{other}: true")];
    let header = ["rule", &*on[0], &*on[1], &*on[2]];
    let rows = result.rules.iter().filter(|rule| rule.searched.is_some());
    let rows = rows.map(|rule| {
        [
            rule.name.clone(),
            format!("{:+.2} sd", (rule.estimate - result.random_mean) / result.random_sd),
            of(rule.searched.as_ref()),
            of(rule.elsewhere.as_ref()),
        ]
    });
    print_table(header, rows)?;
    print_text(&format!(
        "sd: of single random orders, around their mean. The rules were chosen on {searched}, among {}; \
         what they are worth is the last column, for these examples: intervals are over draws, and not over \
         other examples or seeds\n",
        result.rules.len()
    ))
}

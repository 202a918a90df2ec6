//! A recorded run opened for estimates: replayed to its window, an estimator fitted, and held to
//! true runs that it was not made from.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use inspect::estimate::fitted::Fitted;
use inspect::estimate::fitting::{self, Fitting, SIMULATED};
use inspect::estimate::{Problem as _, Window};
use inspect::replay::Replay;
use ledger::digest::Digest;
use ledger::order::OrderLaw;
use ledger::record::RunRecord;
use palimpsest::cli::estimate::fit::Fit;
use palimpsest::cli::suite_options::Places;
use palimpsest::library::{cell_code, estimate_code};
use palimpsest::voice::note;
use stats::estimates::cost::Cost;
use stats::estimates::results::{FORMAT, Source};
use stats::estimates::settings::{FitSettings, HeldOut, Items};
use stats::estimates::validity::{Band, GatePilot, Validity, Verdict, band, gate};
use stats::estimates::{ItemOrder, Purpose, orders};
use tch::Tensor;
use training::artefacts::kept::Kept;
use training::artefacts::{Artefacts, Unkept};

use super::estimator::{Estimator, Predicted};
use crate::provenance::recorded;
use crate::runner::{NamedSeed, Session, without_order};

/// Most directions that are taken without being asked for.
const MOST_DIRECTIONS: usize = 128;
/// True runs whose median time is that of a retraining.
const TIMED: usize = 7;

/// A run opened for estimates.
pub struct Bench<'s> {
    /// Window, problem, update rule and the run itself.
    pub fitted: Fitted<'s>,
    /// Pilots, basis, curvature and read-out.
    pub fitting: Fitting,
    /// What answers.
    pub estimator: Estimator,
    /// True held-out loss of the recorded run.
    pub reference: f64,
    /// What the gate says.
    pub validity: Validity,
    /// Residuals of the gate, where its estimates are finite.
    pub band: Option<Band>,
    /// Standard deviation of the true held-out losses of pilots and gate.
    pub pilot_sd: f64,
    /// Median seconds of a true run of the window.
    pub retrain_seconds: f64,
    /// Seconds of replaying the run up to its window.
    pub replay_seconds: f64,
    cell: String,
    seed: u64,
    pilots: usize,
    taken: BTreeSet<Digest>,
    aside: Vec<ItemOrder>,
    warnings: Vec<String>,
}

/// A run to open, and what is asked of the estimator.
pub struct Asked<'a> {
    /// The run, by id or unique prefix.
    pub run: &'a str,
    /// What is asked of the estimator.
    pub fit: FitSettings,
    /// Refuse a set-up that needs more memory than this, in GB.
    pub memory_limit: Option<f64>,
    /// Make the set-up again, even where it is kept.
    pub fresh: bool,
    /// Where data and runs are.
    pub places: &'a Places,
}

impl<'a> From<&'a Fit> for Asked<'a> {
    fn from(options: &'a Fit) -> Self {
        let Fit { run, memory_limit, fresh, places, .. } = options;
        let fit = options.settings();
        Self { run, fit, memory_limit: *memory_limit, fresh: *fresh, places }
    }
}

/// Opens a run and calls `body` with it.
pub fn with_bench<'a, T>(
    asked: impl Into<Asked<'a>>,
    body: impl FnOnce(&mut Bench<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let asked = asked.into();
    let fit = &asked.fit;
    let store = asked.places.store();
    let record = store.record(&store.find(asked.run)?)?;
    check(&record)?;
    let order = recorded::order(&store, &record)?;
    let device = &record.environment.device;
    let artefacts: Box<dyn Artefacts> = if asked.fresh {
        Box::new(Unkept)
    } else {
        let context = Digest::of_parts(&[
            cell_code(&record.method, &record.workload).as_bytes(),
            estimate_code().as_bytes(),
            lab::device::LIBTORCH_VERSION.as_bytes(),
            device.as_bytes(),
        ]);
        Box::new(Kept::new(store.root().join("estimates").join(&record.cell), context))
    };
    let mut session = Session::again(&record, store, asked.places.sources(), device)?;
    let seed = NamedSeed::recorded(&record)?;
    let cell = session.plan.cells[0];
    session.with_setup(cell, &seed, |_, setup| {
        let mut replay = Replay::new(setup)?;
        let last = fit.last.unwrap_or_else(|| replay.steps());
        let clock = training::clock::Monotonic::start();
        let window = Window::open(&mut replay, order, last, fit.items)?;
        let replay_seconds = training::clock::Time::now(&clock).as_secs_f64();
        let splits = &setup.ready.splits;
        let held_out = match fit.held_out {
            HeldOut::Validation => &splits.validation,
            HeldOut::Test => &splits.test,
        };
        let problem = window.problem(&replay, held_out)?;
        let fitted = Fitted::new(window, problem, replay, Replay::new(setup)?)?;
        recorded::check(&record, fitted.replay())?;
        let mut bench = Bench::fit(&asked, &record, fitted, artefacts.as_ref(), replay_seconds)?;
        body(&mut bench)
    })
}

/// Refuses runs whose order cannot be changed.
fn check(record: &RunRecord) -> anyhow::Result<()> {
    let Some(order) = &record.order else {
        bail!(without_order(record));
    };
    if order.law == OrderLaw::Adaptive {
        bail!(
            "the order of run {} was chosen while training, from what the training showed: under \
             another order the method would have chosen otherwise, which no estimate of fixed \
             orders can tell; estimate a run of a method with a fixed order",
            record.cell
        );
    }
    Ok(())
}

impl<'s> Bench<'s> {
    fn fit(
        asked: &Asked<'_>,
        record: &RunRecord,
        mut fitted: Fitted<'s>,
        artefacts: &dyn Artefacts,
        replay_seconds: f64,
    ) -> anyhow::Result<Self> {
        let fit = &asked.fit;
        let window = fitted.window.orders.clone();
        let (items, steps) = (fitted.problem.items(), window.steps());
        let directions = fit.directions.map_or_else(
            || (2 * steps).clamp(1, MOST_DIRECTIONS),
            |directions| directions as usize,
        );
        let mut taken = BTreeSet::from([window.reference().effect_hash()]);
        let mut draw = |purpose, count: u32| {
            orders::draw_distinct(&window, fit.seed, purpose, count as usize, &mut taken)
                .context("the window is too short for so many orders; see --pilots and --gate")
        };
        let pilots = draw(Purpose::Pilot, fit.pilots)?;
        let aside = draw(Purpose::Gate, fit.gate)?;
        let simulated = if fit.passes > 1 {
            let wanted = SIMULATED as u64;
            (0..wanted).map(|k| orders::draw(&window, !fit.seed, Purpose::Pilot, k)).collect()
        } else {
            Vec::new()
        };
        let snapshots = (pilots.len() + simulated.len()) * (steps + 1);
        let k = directions.min(snapshots) as i64;
        needs(asked.memory_limit, items, fitted.problem.parameters(), k, snapshots)?;
        let recipe = fitting::Recipe { pilots, simulated, k, key: key(fit, record, &fitted) };
        let Fitted { window, problem, course, .. } = &mut fitted;
        let fitting =
            Fitting::make(&recipe, problem, course, window.start(), artefacts, &mut |_, _, _| {})?;
        let estimator = Estimator::named(&fit.estimator, &mut fitted, &fitting)?;

        let mut retraining = Vec::new();
        for order in aside.iter().cycle().take(TIMED) {
            retraining.push(fitted.retrain(order)?.1);
        }
        let retrain_seconds = median(&mut retraining);
        let reference = fitted.problem.held_out(&fitted.reference.unsqueeze(0))?[0];
        let mut bench = Self {
            fitted,
            fitting,
            estimator,
            reference,
            validity: unjudged(),
            band: None,
            pilot_sd: 0.0,
            retrain_seconds,
            replay_seconds,
            cell: record.cell.clone(),
            seed: fit.seed,
            pilots: recipe.pilots.len(),
            taken,
            aside: aside.clone(),
            warnings: Vec::new(),
        };
        bench.judge(&aside)?;
        Ok(bench)
    }

    /// Trains the orders kept aside for true and holds the estimator to them.
    fn judge(&mut self, aside: &[ItemOrder]) -> anyhow::Result<()> {
        let predicted = self.predict(aside)?;
        let mut pilots = Vec::with_capacity(aside.len());
        let mut losses = self.fitted.problem.held_out(&self.fitting.ends)?;
        for (number, order) in aside.iter().enumerate() {
            let (truth, _) = self.fitted.retrain(order)?;
            let retrained = self.fitted.problem.held_out(&truth.unsqueeze(0))?[0];
            losses.push(retrained);
            let relative_error = match &predicted.ends {
                Some(ends) => {
                    Some(self.fitted.distance(&ends.get(number as i64), &truth)?.relative)
                }
                None => None,
            };
            let estimated = predicted.losses[number];
            pilots.push(GatePilot { relative_error, estimated, retrained });
        }
        if losses.iter().any(|loss| !loss.is_finite()) {
            bail!(
                "a true run of the window diverged, so that there is nothing to estimate: choose a \
                 smaller learning rate"
            );
        }
        self.validity = gate(&pilots, &losses)?;
        self.band = band(&pilots).ok();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
        self.pilot_sd = (squares / (losses.len() as f64 - 1.0)).sqrt();
        Ok(())
    }

    /// Estimated ends of orders.
    pub fn predict(&mut self, orders: &[ItemOrder]) -> anyhow::Result<Predicted> {
        self.estimator.predict(&mut self.fitted, &self.fitting, orders)
    }

    /// The same bench under another estimator, which the gate judges anew.
    pub fn with_estimator<T>(
        &mut self,
        estimator: Estimator,
        body: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let aside = self.aside.clone();
        let before = std::mem::replace(&mut self.estimator, estimator);
        let (validity, band) = (self.validity.clone(), self.band);
        let answer = self.judge(&aside).and_then(|()| body(self));
        (self.estimator, self.validity, self.band) = (before, validity, band);
        answer
    }

    /// Held-out losses of orders, as fast as this estimator can: by the quadratic read-out where it
    /// has one.
    pub fn score(&mut self, orders: &[ItemOrder]) -> anyhow::Result<Vec<f64>> {
        if self.estimator.id() == "surrogate" {
            return Ok(self.fitted.score(&self.fitting, orders)?);
        }
        Ok(self.predict(orders)?.losses)
    }

    /// Refuses an estimator that gives ranks where losses are asked for.
    pub fn refuse_ranks(&self) -> anyhow::Result<()> {
        if self.estimator.ranks_only() {
            bail!(
                "\"{}\" only ranks orders and predicts no loss: hold it beside another with \
                 `palimpsest estimate validate --beside {0}`",
                self.estimator.id()
            );
        }
        Ok(())
    }

    /// Cell id of the run.
    pub fn cell(&self) -> &str {
        &self.cell
    }

    /// Seed of the orders.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The recorded order, the pilots and the gate, as effect hashes: never test orders.
    pub fn taken(&self) -> &BTreeSet<Digest> {
        &self.taken
    }

    /// Where numbers come from; `order_seconds` is what one order's estimate took.
    pub fn source(&self, order_seconds: Option<f64>) -> anyhow::Result<Source> {
        self.source_of(order_seconds, false)
    }

    /// The same for losses that [`Bench::score`] gave.
    pub fn scored_source(&self, order_seconds: f64) -> anyhow::Result<Source> {
        self.source_of(Some(order_seconds), true)
    }

    fn source_of(&self, order_seconds: Option<f64>, scored: bool) -> anyhow::Result<Source> {
        let window = &self.fitted.window;
        let set_up = self.estimator.set_up_seconds(&self.fitting, scored);
        let cost = match order_seconds {
            Some(seconds) if seconds > 0.0 && self.estimator.timed() => {
                Some(Cost::new(set_up / self.retrain_seconds, self.retrain_seconds / seconds)?)
            }
            _ => None,
        };
        let items = window.items.iter().any(|ids| ids.len() > 1) || window.batch_size() == 1;
        Ok(Source {
            format: FORMAT,
            cell: self.cell.clone(),
            first_step: window.first,
            steps: window.steps(),
            items: if items { Items::Batches } else { Items::Examples },
            item_count: window.items.len(),
            estimator: self.estimator.id().to_owned(),
            k: self.estimator.k(&self.fitting),
            seed: self.seed,
            pilots: self.pilots,
            validity: self.validity.clone(),
            cost,
            warnings: self.warnings.clone(),
        })
    }

    /// Own losses of the items at the rows of `ends`, `[row][item]`.
    pub fn own(&self, ends: &Tensor) -> anyhow::Result<Vec<Vec<f64>>> {
        Ok(self.fitted.ends(ends)?.into_iter().map(|end| end.own).collect())
    }
}

/// Before the gate has spoken.
fn unjudged() -> Validity {
    Validity {
        verdict: Verdict::OutsideValidity,
        pilots: 0,
        relative_error: None,
        residual_over_sd: None,
        reason: "no held-out pilot was trained".to_owned(),
        remedy: None,
    }
}

/// Prints what the set-up needs, and refuses it beyond the limit.
fn needs(limit: Option<f64>, items: usize, p: i64, k: i64, snapshots: usize) -> anyhow::Result<()> {
    let bytes = fitting::bytes(items, p, k, snapshots) as f64;
    let megabytes = bytes / 1e6;
    note(&format!(
        "set-up: {items} items, {p} parameters, {k} directions: {megabytes:.1} MB in memory, and on \
         disk unless --fresh"
    ));
    if let Some(limit) = limit
        && bytes > limit * 1e9
    {
        bail!(
            "the set-up needs {:.2} GB, above --memory-limit {limit}: take fewer directions (-k), a \
             shorter window (--last) or a higher limit",
            bytes / 1e9
        );
    }
    Ok(())
}

/// What the stages of a set-up are kept under.
fn key(fit: &FitSettings, record: &RunRecord, fitted: &Fitted<'_>) -> Digest {
    let FitSettings { directions, pilots, passes, seed, items, held_out, .. } = fit;
    let settings = format!("{directions:?} {pilots} {passes} {seed} {items:?} {held_out:?}");
    let window = format!("{} {}", fitted.window.first, fitted.window.steps());
    Digest::of_parts(&[
        b"palimpsest/estimate/v1",
        record.cell.as_bytes(),
        settings.as_bytes(),
        window.as_bytes(),
    ])
}

/// The median of times.
pub fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    let n = times.len();
    match n {
        0 => f64::NAN,
        _ if n % 2 == 1 => times[n / 2],
        _ => f64::midpoint(times[n / 2 - 1], times[n / 2]),
    }
}

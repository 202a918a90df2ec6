//! A recorded run opened for estimates: replayed to its window, an estimator fitted, and held to
//! true runs that it was not made from.

use std::collections::BTreeSet;

use ::data::text::spelling::Spelling;
use anyhow::{Context as _, bail};
use inspect::estimate::fitted::{Fitted, distance};
use inspect::estimate::fitting::{self, Fitting, SIMULATED};
use inspect::estimate::oracle::linear::Linear;
use inspect::estimate::pieces::{ByStretch, Piece, cuts};
use inspect::estimate::registry;
use inspect::estimate::{Problem as _, Window};
use inspect::replay::Replay;
use lab::LabError;
use lab::split::Split;
use ledger::digest::Digest;
use ledger::order::OrderLaw;
use ledger::record::{RunRecord, Store};
use palimpsest::cli::estimate::fit::Fit;
use palimpsest::cli::suite_options::Places;
use palimpsest::library::{cell_code, estimate_code};
use palimpsest::voice::note;
use stats::estimates::cost::Cost;
use stats::estimates::results::{Effect, FORMAT, Source};
use stats::estimates::settings::{FitSettings, HeldOut, Items};
use stats::estimates::validity::{
    Answers, Band, Diagnosis, GatePilot, Validity, Verdict, band, gate,
};
use stats::estimates::{ItemOrder, Purpose, orders};
use tch::Tensor;
use training::artefacts::kept::Kept;
use training::artefacts::{Artefacts, Unkept};
use training::clock::{Monotonic, Time as _};
use workloads::shared::text::{WRITING, Writing};

use super::busy::Watch;
use super::effect;
use super::estimator::{Estimator, Predicted};
use super::given::{self, Named};
use super::target::{self, Judged};
use crate::provenance::recorded;
use crate::runner::{NamedSeed, Session, without_order};

/// Most directions that are taken without being asked for.
const MOST_DIRECTIONS: usize = 128;
/// True runs, one at a time, whose median time is that of a retraining.
const TIMED: usize = 7;
/// Held-out pilots by which the cause of an error is told.
const DIAGNOSED: usize = 2;
/// Orders by which an estimator is timed beside true training, and rounds.
const RACED: usize = 64;
const ROUNDS: usize = 3;
/// How many times as fast as stacked true training an estimate has to be.
const WORTH: f64 = 2.0;
/// Seconds without a word before a set-up says how far it is.
const SILENT: f64 = 5.0;

/// What pilots, gate and test are drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Draws {
    /// The items in other orders.
    Orders,
    /// Some of the items in the recorded order.
    Subsets {
        /// Share of the items that subsets of gate and test keep.
        keep: f64,
    },
}

impl Draws {
    /// Items that a subset of gate and test keeps, of so many.
    pub fn kept(self, items: usize) -> usize {
        match self {
            Self::Orders => items,
            Self::Subsets { keep } => {
                ((items as f64 * keep).round() as usize).clamp(1, items.max(2) - 1)
            }
        }
    }

    /// What a second pass follows by the first pass's surrogate; subsets keep more and more.
    fn simulated(self, window: &stats::estimates::Window, seed: u64, number: u64) -> ItemOrder {
        match self {
            Self::Orders => orders::draw(window, seed, Purpose::Pilot, number),
            Self::Subsets { .. } => {
                let items = window.items() as usize;
                let least = self.kept(items);
                let kept = least + (items - 1).saturating_sub(least) * number as usize / SIMULATED;
                orders::draw_subset(window, seed, Purpose::Pilot, number, kept)
            }
        }
    }

    /// The first `count` of a purpose that were not taken. Pilots of subsets keep from the share of
    /// the gate up to almost all, because answers are asked for on all of that way.
    fn draw(
        self,
        window: &stats::estimates::Window,
        seed: u64,
        purpose: Purpose,
        count: usize,
        taken: &mut BTreeSet<Digest>,
    ) -> anyhow::Result<Vec<ItemOrder>> {
        let items = window.items() as usize;
        let least = self.kept(items);
        let found = match self {
            Self::Orders => orders::draw_distinct(window, seed, purpose, count, taken),
            Self::Subsets { .. } => {
                let kept = |number: usize| match purpose {
                    Purpose::Pilot => {
                        let way = (items - 1).saturating_sub(least) * number;
                        least + way / count.saturating_sub(1).max(1)
                    }
                    _ => least,
                };
                orders::draw_subsets_distinct(window, seed, purpose, count, &kept, taken)
            }
        };
        found.context("the window is too short for so many of them; see --pilots and --gate")
    }
}

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
    /// How far the quadratic read-out is from the network's losses over the gate's orders, root mean
    /// square, in sd of their true losses; `None` where the estimator has none.
    pub read_out_off: Option<f64>,
    /// The effect of orders and of seeds.
    pub effect: Option<Effect>,
    /// Whose loss is predicted, and whose it is judged by.
    pub judged: Judged,
    split: HeldOut,
    elsewhere: &'s Split,
    /// Median seconds of a true run of the window with its held-out loss, one at a time.
    pub retrain_seconds: f64,
    /// The same where the gate's orders are trained all at once, by order.
    pub stacked_seconds: f64,
    /// Seconds of replaying the run up to its window.
    pub replay_seconds: f64,
    gate_seconds: f64,
    watch: Watch,
    draws: Draws,
    record: RunRecord,
    store: Store,
    label: String,
    seed: u64,
    pilots: usize,
    taken: BTreeSet<Digest>,
    aside: Vec<ItemOrder>,
    /// Where the gate's orders truly ended, and their held-out losses.
    truth: Option<(Tensor, Vec<f64>)>,
    /// Why the estimator is not worth its error, where true training is about as fast.
    slow: Option<String>,
    warnings: Vec<String>,
}

/// Seconds of an order.
#[derive(Debug, Clone, Copy)]
struct Raced {
    /// By true training, stacked.
    truth: f64,
    /// By the surrogate.
    estimate: f64,
}

impl Raced {
    /// Why the surrogate is not worth its error, where it is less than [`WORTH`] times as fast.
    fn slow(self) -> Option<String> {
        let times = self.truth / self.estimate;
        (times < WORTH).then(|| {
            format!(
                "under Muon, which orthogonalises every weight at every step, an estimated order takes \
                 {:.2} ms here and a true one, stacked over orders, {:.2} ms: {times:.1} times as fast, where \
                 below {WORTH} times an estimate is not worth its error",
                self.estimate * 1e3,
                self.truth * 1e3
            )
        })
    }
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
    /// Orders or subsets.
    pub draws: Draws,
}

impl<'a> From<&'a Fit> for Asked<'a> {
    fn from(options: &'a Fit) -> Self {
        let Fit { run, memory_limit, fresh, places, .. } = options;
        let (fit, draws) = (options.settings(), Draws::Orders);
        Self { run, fit, memory_limit: *memory_limit, fresh: *fresh, places, draws }
    }
}

/// Opens a run and calls `body` with it. `prepare` sees the window before any set-up is made: what is
/// asked for that is not there is refused by it, at no cost; `body` gets what it made.
pub fn with_bench<'a, P, T>(
    asked: impl Into<Asked<'a>>,
    prepare: impl FnOnce(&Fitted<'_>) -> anyhow::Result<P>,
    body: impl FnOnce(&mut Bench<'_>, P) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let asked = asked.into();
    let fit = &asked.fit;
    registry::find(&fit.estimator)?;
    if fit.centres > 1 && fit.estimator != "surrogate" {
        bail!(
            "--centres {}: \"{}\" is not made around several centres: take --estimator surrogate",
            fit.centres,
            fit.estimator
        );
    }
    let watch = Watch::start();
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
    let answer = session.with_setup(cell, &seed, |_, setup| {
        let mut replay = Replay::new(setup)?;
        let last = fit.last.unwrap_or_else(|| replay.steps());
        let clock = Monotonic::start();
        let window = Window::open(&mut replay, order, last, fit.items)?;
        let replay_seconds = clock.now().as_secs_f64();
        let splits = &setup.ready.splits;
        let (judged, parts) = target::find(fit, splits, &setup.ready.side)?;
        let held_out = parts.here.as_ref().unwrap_or(target::whole(splits, fit.held_out));
        let elsewhere = parts.there.as_ref().unwrap_or(target::whole(splits, judged.elsewhere));
        let problem = window.problem(&replay, held_out)?;
        let fitted = Fitted::new(window, problem, replay, Replay::new(setup)?)?;
        recorded::check(&record, fitted.replay())?;
        let prepared = prepare(&fitted)?;
        let opened = Opened { fitted, replay_seconds, watch, judged, elsewhere };
        let mut bench = Bench::fit(&asked, &record, opened, artefacts.as_ref())?;
        body(&mut bench, prepared)
    });
    answer.map_err(out_of_memory)
}

/// A run at its window, before anything was fitted.
struct Opened<'s> {
    fitted: Fitted<'s>,
    replay_seconds: f64,
    watch: Watch,
    judged: Judged,
    elsewhere: &'s Split,
}

/// What libtorch says where memory ran out, in the words of the limit.
fn out_of_memory(error: anyhow::Error) -> anyhow::Error {
    let told = format!("{error:#}");
    if told.contains("not enough memory") || told.contains("DefaultCPUAllocator") {
        return anyhow::anyhow!(
            "there is not enough memory for this set-up: take fewer directions (-k), a shorter \
             window (--last) or fewer --pilots, and say with --memory-limit how much there is"
        );
    }
    error
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
        opened: Opened<'s>,
        artefacts: &dyn Artefacts,
    ) -> anyhow::Result<Self> {
        let fit = &asked.fit;
        let Opened { mut fitted, replay_seconds, watch, judged, elsewhere } = opened;
        let window = fitted.window.orders.clone();
        let steps = window.steps();
        let subsets = matches!(asked.draws, Draws::Subsets { .. });
        let cuts = cuts(&window, fit.centres as usize, subsets);
        if cuts.len() < fit.centres as usize {
            bail!("--centres {}: the window has {steps} steps", fit.centres);
        }
        let items = cuts.iter().map(|cut| cut.items.len()).sum();
        let longest = cuts.iter().map(|cut| cut.steps.len()).max().unwrap_or(steps);
        let directions = fit.directions.map_or_else(
            || (2 * longest).clamp(1, MOST_DIRECTIONS),
            |directions| directions as usize,
        );
        let mut taken = BTreeSet::from([window.reference().effect_hash()]);
        let mut draw = |purpose, count: u32| {
            asked.draws.draw(&window, fit.seed, purpose, count as usize, &mut taken)
        };
        let pilots = draw(Purpose::Pilot, fit.pilots)?;
        let aside = draw(Purpose::Gate, fit.gate)?;
        let simulated = if fit.passes > 1 {
            let wanted = SIMULATED as u64;
            (0..wanted).map(|k| asked.draws.simulated(&window, !fit.seed, k)).collect()
        } else {
            Vec::new()
        };
        let snapshots = (pilots.len() + simulated.len()) * (steps + 1);
        let k = directions.min(snapshots) as i64;
        needs(asked.memory_limit, items, fitted.problem.parameters(), k, snapshots)?;
        let key = key(fit, asked.draws, record, &fitted);
        let loss = format!("{:?} {:?}", fit.held_out, fit.target);
        let recipe = fitting::Recipe { pilots, simulated, k, cuts, key, loss };
        let Fitted { window, problem, course, .. } = &mut fitted;
        let start = window.start();
        let fitting = Fitting::make(&recipe, problem, course, start, artefacts, &mut progress())?;
        if fit.directions.is_some_and(|asked| (asked as usize) > fitting.basis().spread.len()) {
            note(&format!(
                "-k {directions} is cut to {}: the pilots passed in no more directions than that",
                fitting.basis().spread.len()
            ));
        }
        let estimator = Estimator::named(&fit.estimator, &mut fitted, &fitting)?;

        let mut retraining = Vec::new();
        for order in aside.iter().cycle().take(TIMED) {
            let clock = Monotonic::start();
            let (end, _) = fitted.retrain(order)?;
            let _ = fitted.problem.held_out(&end.unsqueeze(0))?;
            retraining.push(clock.now().as_secs_f64());
        }
        let retrain_seconds = median(&mut retraining);
        let reference = fitted.problem.held_out(&fitted.reference.unsqueeze(0))?[0];
        let settings = format!("{fit:?} {:?}", asked.draws);
        let mut bench = Self {
            label: Digest::of(settings.as_bytes()).short(6),
            fitted,
            fitting,
            estimator,
            reference,
            validity: Validity::unjudged("no held-out pilot was trained"),
            band: None,
            pilot_sd: 0.0,
            read_out_off: None,
            effect: None,
            split: fit.held_out,
            judged,
            elsewhere,
            retrain_seconds,
            stacked_seconds: f64::NAN,
            replay_seconds,
            gate_seconds: 0.0,
            watch,
            draws: asked.draws,
            record: record.clone(),
            store: asked.places.store(),
            seed: fit.seed,
            pilots: recipe.pilots.len(),
            taken,
            aside: aside.clone(),
            truth: None,
            slow: None,
            warnings: Vec::new(),
        };
        bench.slow = bench.raced()?.and_then(Raced::slow);
        bench.warnings.extend(bench.slow.clone());
        bench.judge()?;
        Ok(bench)
    }

    /// The surrogate beside true training of the same orders, stacked, where the update rule's own arithmetic is
    /// of the size of a gradient's, so that the one may not be much faster than the other: in turns, the
    /// fastest of a few rounds each.
    fn raced(&mut self) -> anyhow::Result<Option<Raced>> {
        if !self.fitted.course.orthogonalises() || self.estimator.id() != "surrogate" {
            return Ok(None);
        }
        let orders: Vec<ItemOrder> = self.aside.iter().cycle().take(RACED).cloned().collect();
        let mut raced = Raced { truth: f64::INFINITY, estimate: f64::INFINITY };
        for _ in 0..ROUNDS {
            let (_, truth) = self.fitted.truth(&orders)?;
            let (_, estimate) = self.fitted.surrogate(&self.fitting, &orders)?;
            raced.truth = raced.truth.min(truth / RACED as f64);
            raced.estimate = raced.estimate.min(estimate / RACED as f64);
        }
        Ok(Some(raced))
    }

    /// Refuses answers by an estimator that is not worth its error, because true training is about as fast.
    pub fn refuse_slow(&self) -> anyhow::Result<()> {
        match &self.slow {
            Some(reason) => bail!("{reason}: take --estimator exact"),
            None => Ok(()),
        }
    }

    /// What the tokens of the run stand for, where it says that.
    pub fn spelling(&self) -> Option<Spelling> {
        let writing = self.record.facts.get(WRITING)?;
        serde_json::from_value::<Writing>(writing.clone()).ok().map(|writing| writing.spelling)
    }

    /// Trains the orders kept aside for true and holds the estimator to them.
    fn judge(&mut self) -> anyhow::Result<()> {
        let aside = self.aside.clone();
        let predicted = self.predict(&aside)?;
        let (ends, retrained) = self.gate_truth(&aside)?;
        let mut losses = self.fitted.problem.held_out(&self.fitting.ends)?;
        losses.extend(&retrained);
        if losses.iter().any(|loss| !loss.is_finite()) {
            bail!(
                "a true run of the window diverged, so that there is nothing to estimate: choose a \
                 smaller learning rate"
            );
        }
        let base = self.base(&ends)?;
        self.read_out_off = match (self.estimator.id(), self.draws) {
            ("surrogate", Draws::Orders) => {
                let scored = self.score(&aside)?;
                let off = scored.iter().zip(&predicted.losses).map(|(a, b)| (a - b).powi(2));
                let off = (off.sum::<f64>() / aside.len() as f64).sqrt();
                Some(off / deviation(&losses)).filter(|off| off.is_finite())
            }
            _ => None,
        };
        let mut pilots = Vec::with_capacity(aside.len());
        for (row, (estimated, retrained)) in
            (0_i64..).zip(predicted.losses.iter().copied().zip(retrained))
        {
            let relative_error = match &predicted.ends {
                Some(guess) => Some(distance(&guess.get(row), &ends.get(row), &base)?.relative),
                None => None,
            };
            pilots.push(GatePilot { relative_error, estimated, retrained });
        }
        let ranks = self.estimator.ranks_only();
        let answers = if ranks { Answers::Ranks } else { Answers::Losses };
        self.validity = gate(&pilots, &losses, answers)?;
        let parameters = self.validity.parameters;
        let off = self.validity.verdict != Verdict::Ok
            || parameters.is_some_and(|verdict| verdict == Verdict::OutsideValidity);
        if off
            && self.validity.verdict != Verdict::NoOrderSignal
            && matches!(self.estimator.id(), "surrogate" | "reduced")
            // A network without second derivatives has no such diagnosis.
            && let Ok(found) = self.diagnose(&aside, &ends, &base)
        {
            self.validity = self.validity.clone().diagnosed(found);
        }
        self.band = band(&pilots).ok().filter(|_| !ranks);
        // Records hold no loss of a target of one's own.
        let recorded = if self.judged.target.is_none() { self.reference } else { f64::NAN };
        self.effect = (self.draws == Draws::Orders)
            .then(|| effect::of(&self.store, &self.record, self.split, recorded, &losses));
        self.pilot_sd = deviation(&losses);
        Ok(())
    }

    /// Where the gate's orders truly end: trained once, all at once; one at a time by the loop that
    /// made the run where it is that what is judged.
    fn gate_truth(&mut self, aside: &[ItemOrder]) -> anyhow::Result<(Tensor, Vec<f64>)> {
        if self.estimator.id() == "exact" && self.draws == Draws::Orders {
            let ends = aside.iter().map(|order| Ok(self.fitted.retrain(order)?.0));
            let ends = Tensor::f_stack(&ends.collect::<anyhow::Result<Vec<_>>>()?, 0)?;
            let losses = self.fitted.problem.held_out(&ends)?;
            return Ok((ends, losses));
        }
        if self.truth.is_none() {
            let clock = Monotonic::start();
            let (ends, _) = self.fitted.truth(aside)?;
            let losses = self.fitted.problem.held_out(&ends)?;
            self.gate_seconds = clock.now().as_secs_f64();
            self.stacked_seconds = self.gate_seconds / aside.len() as f64;
            self.truth = Some((ends, losses));
        }
        let (ends, losses) = self.truth.as_ref().context("the gate was not trained")?;
        Ok((ends.shallow_clone(), losses.clone()))
    }

    /// What distances are counted from: the recorded run; among subsets, whose runs are all shorter,
    /// the mean of their ends (M × p).
    pub fn base(&self, ends: &Tensor) -> anyhow::Result<Tensor> {
        Ok(match self.draws {
            Draws::Orders => self.fitted.reference.shallow_clone(),
            Draws::Subsets { .. } => ends.f_mean_dim(0, false, ends.kind())?,
        })
    }

    /// The surrogate's error over a few pilots beside that of exact curvature at its centre.
    fn diagnose(
        &mut self,
        aside: &[ItemOrder],
        ends: &Tensor,
        base: &Tensor,
    ) -> anyhow::Result<Diagnosis> {
        let few = &aside[..DIAGNOSED.min(aside.len())];
        let (projected, _) = self.fitted.surrogate(&self.fitting, few)?;
        let Fitted { window, problem, course, .. } = &mut self.fitted;
        let problem = &*problem;
        let of = |piece: &Piece| {
            let linear = Linear::new(problem, &piece.basis.centre)?;
            Ok((piece.cut.steps.clone(), linear))
        };
        let linear = self.fitting.pieces.iter().map(of);
        let mut linear = ByStretch::new(linear.collect::<Result<Vec<_>, LabError>>()?);
        let whole = course.drive(&mut linear, few, window.start(), &mut |_, _, _| Ok(()))?;
        let error = |guess: &Tensor| -> anyhow::Result<f64> {
            let rows = 0..few.len() as i64;
            let each =
                rows.map(|row| Ok(distance(&guess.get(row), &ends.get(row), base)?.relative));
            Ok(each.collect::<anyhow::Result<Vec<f64>>>()?.iter().sum::<f64>() / few.len() as f64)
        };
        Ok(Diagnosis { projected: error(&projected)?, whole: error(&whole)?, pilots: few.len() })
    }

    /// Losses by example at the rows of `ends`: of what is predicted, and of what it is judged by.
    pub fn both_splits(&self, ends: &Tensor) -> anyhow::Result<[Vec<Vec<f64>>; 2]> {
        let problem = &self.fitted.problem;
        let own = problem.each(problem.split(), ends)?;
        Ok([own, problem.each(self.elsewhere, ends)?])
    }

    /// What pilots, gate and test are drawn from.
    pub fn draws(&self) -> Draws {
        self.draws
    }

    /// Mean true loss of the gate.
    pub fn gate_mean(&self) -> f64 {
        let losses = self.truth.as_ref().map(|(_, losses)| losses.as_slice()).unwrap_or_default();
        losses.iter().sum::<f64>() / losses.len() as f64
    }

    /// Random draws of the test, none of them a pilot.
    pub fn test_draws(&self, count: usize) -> anyhow::Result<Vec<ItemOrder>> {
        let mut taken = self.taken.clone();
        self.draws.draw(&self.fitted.window.orders, self.seed, Purpose::Test, count, &mut taken)
    }

    /// Refuses orders that the estimator was made from or judged by.
    pub fn unseen(&self, orders: &[Named]) -> anyhow::Result<()> {
        given::unseen(orders, &self.taken)
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
        let before = std::mem::replace(&mut self.estimator, estimator);
        let (validity, band) = (self.validity.clone(), self.band);
        let answer = self.judge().and_then(|()| body(self));
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

    /// The same with the time that it took.
    pub fn scored(&mut self, orders: &[ItemOrder]) -> anyhow::Result<Predicted> {
        let clock = Monotonic::start();
        let losses = self.score(orders)?;
        Ok(Predicted { losses, ends: None, seconds: clock.now().as_secs_f64() })
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

    /// Names the answers of a verb: run, window, verdict and all settings of the fit.
    pub fn label(&self) -> String {
        let verdict = self.validity.verdict.name().replace(' ', "-");
        let (cell, steps) = (&self.record.cell, self.fitted.window.steps());
        format!("{cell}-last{steps}-{}-{verdict}-{}", self.estimator.id(), self.label)
    }

    /// Seed of the orders.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The residuals of the gate where losses may be believed, or why they may not.
    pub fn usable_band(&self) -> Result<&Band, &'static str> {
        if !self.validity.verdict.is_usable() {
            return Err("the gate does not let predictions be believed");
        }
        self.band.as_ref().ok_or("the gate's estimates are not finite")
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
        // The gate's true runs are part of what has to be paid before the first answer.
        let set_up = self.estimator.set_up_seconds(&self.fitting, scored) + self.gate_seconds;
        let withheld = self.watch.disturbed();
        let (mut cost, mut stacked) = (None, None);
        if let Some(seconds) = order_seconds.filter(|seconds| *seconds > 0.0)
            && self.estimator.timed()
            && !withheld
        {
            let of = |retraining: f64| Cost::new(set_up / retraining, retraining / seconds);
            cost = Some(of(self.retrain_seconds)?);
            stacked = of(self.stacked_seconds).ok();
        }
        let items = window.items.iter().any(|ids| ids.len() > 1) || window.batch_size() == 1;
        Ok(Source {
            format: FORMAT,
            cell: self.record.cell.clone(),
            first_step: window.first,
            steps: window.steps(),
            items: if items { Items::Batches } else { Items::Examples },
            item_count: window.items.len(),
            estimator: self.estimator.id().to_owned(),
            k: self.estimator.k(&self.fitting),
            centres: self.fitting.pieces.len(),
            target: self.judged.target.clone(),
            seed: self.seed,
            pilots: self.pilots,
            validity: self.validity.clone(),
            cost,
            stacked,
            withheld,
            effect: self.effect,
            warnings: self.warnings.clone(),
        })
    }

    /// Own losses of the items at the rows of `ends`, `[row][item]`.
    pub fn own(&self, ends: &Tensor) -> anyhow::Result<Vec<Vec<f64>>> {
        Ok(self.fitted.ends(ends)?.into_iter().map(|end| end.own).collect())
    }
}

/// Says how far a set-up is, where it takes long.
fn progress() -> impl FnMut(&str, usize, usize) {
    let clock = Monotonic::start();
    let mut said = 0.0;
    move |stage, done, all| {
        let now = clock.now().as_secs_f64();
        if now - said >= SILENT {
            said = now;
            note(&format!("set-up: {stage}, {done} of {all}"));
        }
    }
}

/// Prints what the set-up needs, and refuses it beyond the limit.
fn needs(limit: Option<f64>, items: usize, p: i64, k: i64, snapshots: usize) -> anyhow::Result<()> {
    let bytes = fitting::bytes(items, p, k, snapshots) as f64;
    let kept = fitting::kept_bytes(items, p, k, snapshots) as f64;
    note(&format!(
        "set-up: {items} items, {p} parameters, {k} directions: {:.1} MB in memory at most, and {:.1} \
         MB on disk unless --fresh",
        bytes / 1e6,
        kept / 1e6
    ));
    if let Some(limit) = limit
        && bytes > limit * 1e9
    {
        bail!(
            "the set-up needs {:.1} MB, above --memory-limit {limit} (GB): take fewer directions (-k), \
             a shorter window (--last) or a higher limit",
            bytes / 1e6
        );
    }
    Ok(())
}

/// What the stages of a set-up are kept under.
fn key(fit: &FitSettings, draws: Draws, record: &RunRecord, fitted: &Fitted<'_>) -> Digest {
    let FitSettings { directions, pilots, passes, centres, seed, items, .. } = fit;
    let mut settings = format!("{directions:?} {pilots} {passes} {centres} {seed} {items:?}");
    if let Draws::Subsets { keep } = draws {
        settings += &format!(" subsets {keep}");
    }
    let window = format!("{} {}", fitted.window.first, fitted.window.steps());
    Digest::of_parts(&[
        b"palimpsest/estimate/v1",
        record.cell.as_bytes(),
        settings.as_bytes(),
        window.as_bytes(),
    ])
}

/// The standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt()
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

//! The set-up of a surrogate in stages, each kept as it ends, so that an interrupted one goes on.

use ledger::digest::Digest;
use serde::Serialize;
use stats::estimates::ItemOrder;
use tch::{Device, Kind, Tensor};

use super::closed::Closed;
use super::oracle::surrogate::Quadratics;
use super::pieces::{ByStretch, Cut, Local, Piece};
use super::read_out::ReadOut;
use super::set_up::{Basis, Snapshots, curvature, gradients_of};
use super::{Course, Problem};
use lab::LabError;
use training::artefacts::Artefacts;
use training::clock::{Monotonic, Time};

/// Orders that a second pass follows by the first pass's surrogate.
pub const SIMULATED: usize = 12;

/// How a surrogate is made.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Orders of the pilots, which are trained for true.
    pub pilots: Vec<ItemOrder>,
    /// Orders that the second pass follows; empty for a single pass.
    pub simulated: Vec<ItemOrder>,
    /// Columns of each basis, k.
    pub k: i64,
    /// Where the window has a centre of its own: one stretch or several.
    pub cuts: Vec<Cut>,
    /// What the artefacts are kept under: the digest of the run, the window and all settings.
    pub key: Digest,
    /// Which loss is read out; everything else is the same for all of them.
    pub loss: String,
}

/// Seconds that each stage took when it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Seconds {
    /// Pilot runs.
    pub pilots: f64,
    /// Singular vectors of what the pilots passed through, and the models projected to them.
    pub basis: f64,
    /// Second pass: simulated orders and the first pass's curvature.
    pub first_pass: f64,
    /// Gradients and curvature of every item.
    pub curvature: f64,
    /// The held-out loss as a quadratic.
    pub read_out: f64,
}

impl Seconds {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.pilots + self.basis + self.first_pass + self.curvature + self.read_out
    }
}

/// A surrogate ready to answer.
#[derive(Debug)]
pub struct Fitting {
    /// Every item around the centre, for each stretch that has one of its own.
    pub pieces: Vec<Piece>,
    /// The same in closed form, where the update rule is SGD and there is one centre.
    pub closed: Option<Closed>,
    /// The held-out loss around the pilots' mean end.
    pub read_out: ReadOut,
    /// Where the pilots ended, runs × p.
    pub ends: Tensor,
    /// What it took.
    pub seconds: Seconds,
}

/// Bytes that a set-up holds in memory at its peak, for f32 parameters: the pilots' snapshots, which
/// are decomposed in f64, and then every item's gradient and curvature, held once, with what one
/// item's curvature takes on the way.
#[must_use]
pub fn bytes(items: usize, parameters: i64, k: i64, snapshots: usize) -> u64 {
    let (p, k) = (parameters.unsigned_abs(), k.unsigned_abs());
    let (items, snapshots) = (items as u64, snapshots as u64);
    // f64 copies of the snapshots, with and without their mean, and the basis in f64 and f32.
    let decomposing = 16 * snapshots * p + 20 * p * k;
    // The basis; one item's columns, as they are made, transposed and copied.
    let curvature = 4 * (items * p * (k + 1) + p * k) + 16 * p * k;
    4 * snapshots * p + decomposing.max(curvature)
}

/// Bytes that a set-up keeps on disk: snapshots, and gradients and curvature once a pass.
#[must_use]
pub fn kept_bytes(items: usize, parameters: i64, k: i64, snapshots: usize) -> u64 {
    let (p, k) = (parameters.unsigned_abs(), k.unsigned_abs());
    4 * (items as u64 * p * (k + 1) + snapshots as u64 * p)
}

/// A stage's tensors and the seconds they took: from where they are kept, or made and kept now.
struct Stages<'a> {
    artefacts: &'a dyn Artefacts,
    key: Digest,
}

impl Stages<'_> {
    fn stage(
        &self,
        name: &str,
        number: usize,
        make: impl FnOnce() -> Result<Vec<Tensor>, LabError>,
    ) -> Result<(Vec<Tensor>, f64), LabError> {
        let number = (number as u64).to_le_bytes();
        let key = Digest::of_parts(&[self.key.as_bytes(), name.as_bytes(), &number]);
        if let Some(mut kept) = self.artefacts.load(&key)?
            && let Some(seconds) = kept.pop()
        {
            return Ok((kept, f64::try_from(&seconds)?));
        }
        let clock = Monotonic::start();
        let mut made = make()?;
        let seconds = clock.now().as_secs_f64();
        made.push(Tensor::from(seconds));
        self.artefacts.save(&key, &made)?;
        made.pop();
        Ok((made, seconds))
    }
}

impl Fitting {
    /// Runs the stages that are not kept yet; `progress` hears of every item.
    ///
    /// # Errors
    /// When pilots diverge, gradients are not finite, or libtorch refuses an operation.
    pub fn make<P: Problem + ?Sized>(
        recipe: &Recipe,
        problem: &P,
        course: &mut Course,
        start: &Tensor,
        artefacts: &dyn Artefacts,
        progress: &mut dyn FnMut(&str, usize, usize),
    ) -> Result<Self, LabError> {
        warm_up()?;
        let stages = Stages { artefacts, key: recipe.key };
        let mut seconds = Seconds::default();
        progress("pilots", 0, recipe.pilots.len());
        let (kept, spent) = stages.stage("pilots", 0, || {
            packed(Snapshots::pilots(course, problem, &recipe.pilots, start)?)
        })?;
        seconds.pilots = spent;
        let mut snapshots = unpacked(kept)?;
        if !recipe.simulated.is_empty() {
            // A first pass only has to find where orders go: half the columns do.
            let half = (recipe.k + 1) / 2;
            let made = pieces(&stages, "first", problem, &snapshots, recipe, half, progress)?;
            seconds.basis += made.basis;
            seconds.first_pass += made.curvature;
            let (simulated, spent) = stages.stage("simulated", 0, || {
                let mut oracle = ByStretch::of(&made.pieces);
                packed(Snapshots::take(course, &mut oracle, &recipe.simulated, start)?)
            })?;
            seconds.first_pass += spent;
            snapshots = snapshots.with(&unpacked(simulated)?)?;
        }
        let ends = snapshots.ends.shallow_clone();
        let made = pieces(&stages, "curvature", problem, &snapshots, recipe, recipe.k, progress)?;
        seconds.basis += made.basis;
        seconds.curvature = made.curvature;
        let pieces = made.pieces;
        let last = pieces.last().ok_or_else(damaged)?;
        let clock = Monotonic::start();
        let closed = match pieces.as_slice() {
            [only] => Closed::of(&only.quadratics, course, start)?,
            _ => None,
        };
        seconds.basis += clock.now().as_secs_f64();
        let (kept, spent) = stages.stage(&format!("read-out {}", recipe.loss), 0, || {
            let ReadOut { at, loss, slope, curvature } = ReadOut::of(problem, &last.basis, &ends)?;
            Ok(vec![at, Tensor::from(loss), slope, curvature])
        })?;
        seconds.read_out = spent;
        let [at, loss, slope, curvature] = <[Tensor; 4]>::try_from(kept).map_err(|_| damaged())?;
        let read_out = ReadOut { at, loss: f64::try_from(&loss)?, slope, curvature };
        Ok(Self { pieces, closed, read_out, ends, seconds })
    }

    /// Directions and centre where orders end, by which losses are read out.
    #[must_use]
    pub fn basis(&self) -> &Basis {
        &self.last().basis
    }

    /// The items of the last stretch around its centre: all items, where there is one centre.
    #[must_use]
    pub fn quadratics(&self) -> &Quadratics {
        &self.last().quadratics
    }

    /// The surrogate.
    #[must_use]
    pub fn oracle(&self) -> ByStretch<Local<'_>> {
        ByStretch::of(&self.pieces)
    }

    fn last(&self) -> &Piece {
        // `make` is the only way to a fitting, and gives it one piece or more.
        &self.pieces[self.pieces.len() - 1]
    }
}

/// Snapshots as a stage keeps them.
fn packed(snapshots: Snapshots) -> Result<Vec<Tensor>, LabError> {
    let steps: Vec<i64> = snapshots.steps.iter().map(|step| *step as i64).collect();
    Ok(vec![snapshots.rows, snapshots.ends, Tensor::f_from_slice(&steps)?])
}

fn unpacked(kept: Vec<Tensor>) -> Result<Snapshots, LabError> {
    let [rows, ends, steps] = <[Tensor; 3]>::try_from(kept).map_err(|_| damaged())?;
    let steps: Vec<i64> = Vec::try_from(&steps)?;
    let steps: Option<Vec<usize>> = steps.iter().map(|step| usize::try_from(*step).ok()).collect();
    let steps = steps.filter(|steps| steps.len() as i64 == rows.size()[0]).ok_or_else(damaged)?;
    Ok(Snapshots { rows, steps, ends })
}

/// Calls once, in small, the routines of libtorch that are loaded by their first use: what a set-up
/// took should not depend on what ran before it.
fn warm_up() -> Result<(), LabError> {
    let small = Tensor::f_eye(4, (Kind::Double, Device::Cpu))?;
    let _ = small.f_linalg_eigh("L")?;
    let _ = small.f_matmul(&small)?;
    let small = small.f_to_kind(Kind::Float)?;
    let _ = small.f_matmul(&small)?;
    Ok(())
}

fn damaged() -> LabError {
    LabError::Order("a kept stage of the set-up holds other tensors than it should".to_owned())
}

/// The surrogates of all stretches, with the seconds that bases and curvature took.
struct Made {
    pieces: Vec<Piece>,
    basis: f64,
    curvature: f64,
}

fn pieces<P: Problem + ?Sized>(
    stages: &Stages<'_>,
    name: &str,
    problem: &P,
    snapshots: &Snapshots,
    recipe: &Recipe,
    k: i64,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Made, LabError> {
    let mut made = Made { pieces: Vec::new(), basis: 0.0, curvature: 0.0 };
    let all: usize = recipe.cuts.iter().map(|cut| cut.items.len()).sum();
    let mut done = 0;
    for (number, cut) in recipe.cuts.iter().enumerate() {
        let clock = Monotonic::start();
        let basis = Basis::of(&snapshots.within(&cut.steps)?, k)?;
        made.basis += clock.now().as_secs_f64();
        let named = format!("{name} {number}");
        let before = done;
        let mut heard = |item: usize| progress(name, before + item, all);
        let (quadratics, spent) = surrogate(stages, &named, problem, &basis, cut, &mut heard)?;
        done += cut.items.len();
        made.curvature += spent;
        made.pieces.push(Piece { cut: cut.clone(), basis, quadratics });
    }
    progress(name, all, all);
    Ok(made)
}

/// Gradients and curvature of the items of a stretch, item by item; and the seconds of all.
fn surrogate<P: Problem + ?Sized>(
    stages: &Stages<'_>,
    name: &str,
    problem: &P,
    basis: &Basis,
    cut: &Cut,
    heard: &mut dyn FnMut(usize),
) -> Result<(Quadratics, f64), LabError> {
    let (kept, mut total) = stages.stage(&format!("{name} gradients"), 0, || {
        Ok(vec![gradients_of(problem, &cut.items, &basis.centre)?])
    })?;
    let found = kept.into_iter().next().ok_or_else(damaged)?;
    // In one piece, so that curvature is held once and not beside a copy of itself.
    let [gradients, all] = Quadratics::room(cut.items.len() as i64, &basis.columns)?;
    gradients.shallow_clone().f_copy_(&found)?;
    drop(found);
    for (place, item) in cut.items.iter().enumerate() {
        heard(place);
        let row = place as i64;
        let (kept, spent) = stages.stage(name, *item, || {
            Ok(vec![curvature(problem, basis, &gradients.f_get(row)?, *item)?])
        })?;
        let one = kept.into_iter().next().ok_or_else(damaged)?;
        all.f_get(row)?.f_copy_(&one)?;
        total += spent;
    }
    let quadratics = Quadratics {
        centre: basis.centre.shallow_clone(),
        basis: basis.columns.shallow_clone(),
        gradients,
        curvature: all,
    };
    Ok((quadratics, total))
}

//! The set-up of a surrogate in stages, each kept as it ends, so that an interrupted one goes on.

use ledger::digest::Digest;
use serde::Serialize;
use stats::estimates::ItemOrder;
use tch::{Device, Kind, Tensor};

use super::closed::Closed;
use super::oracle::surrogate::{Quadratics, Surrogate};
use super::read_out::ReadOut;
use super::set_up::{Basis, Snapshots, curvature, gradients_at_centre};
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
    /// Columns of the basis, k.
    pub k: i64,
    /// What the artefacts are kept under: the digest of the run, the window and all settings.
    pub key: Digest,
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
    /// Directions and centre.
    pub basis: Basis,
    /// Every item around the centre.
    pub quadratics: Quadratics,
    /// The same in closed form, where the update rule is SGD.
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
            let pilots = Snapshots::pilots(course, problem, &recipe.pilots, start)?;
            Ok(vec![pilots.rows, pilots.ends])
        })?;
        seconds.pilots = spent;
        let [rows, ends] = <[Tensor; 2]>::try_from(kept).map_err(|_| damaged())?;
        // A first pass only has to find where orders go: half the columns do.
        let columns = if recipe.simulated.is_empty() { recipe.k } else { (recipe.k + 1) / 2 };
        let clock = Monotonic::start();
        let mut basis = Basis::of(&rows, columns)?;
        seconds.basis = clock.now().as_secs_f64();
        if !recipe.simulated.is_empty() {
            let (quadratics, spent) = surrogate(&stages, "first", problem, &basis, progress)?;
            seconds.first_pass += spent;
            let (simulated, spent) = stages.stage("simulated", 0, || {
                let mut oracle = Surrogate(&quadratics);
                let all = Snapshots::take(course, &mut oracle, &recipe.simulated, start)?;
                Ok(vec![Tensor::f_cat(&[&rows, &all.rows], 0)?])
            })?;
            seconds.first_pass += spent;
            let clock = Monotonic::start();
            basis = Basis::of(simulated.first().ok_or_else(damaged)?, recipe.k)?;
            seconds.basis += clock.now().as_secs_f64();
        }
        let (quadratics, spent) = surrogate(&stages, "curvature", problem, &basis, progress)?;
        seconds.curvature = spent;
        let clock = Monotonic::start();
        let closed = Closed::of(&quadratics, course, start)?;
        seconds.basis += clock.now().as_secs_f64();
        let (kept, spent) = stages.stage("read-out", 0, || {
            let ReadOut { at, loss, slope, curvature } = ReadOut::of(problem, &basis, &ends)?;
            Ok(vec![at, Tensor::from(loss), slope, curvature])
        })?;
        seconds.read_out = spent;
        let [at, loss, slope, curvature] = <[Tensor; 4]>::try_from(kept).map_err(|_| damaged())?;
        let read_out = ReadOut { at, loss: f64::try_from(&loss)?, slope, curvature };
        Ok(Self { basis, quadratics, closed, read_out, ends, seconds })
    }
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

/// Gradients and curvature of every item, item by item; and the seconds of all.
fn surrogate<P: Problem + ?Sized>(
    stages: &Stages<'_>,
    name: &str,
    problem: &P,
    basis: &Basis,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<(Quadratics, f64), LabError> {
    let (kept, mut total) = stages.stage(&format!("{name} gradients"), 0, || {
        Ok(vec![gradients_at_centre(problem, &basis.centre)?])
    })?;
    let found = kept.into_iter().next().ok_or_else(damaged)?;
    let items = problem.items();
    // In one piece, so that curvature is held once and not beside a copy of itself.
    let [gradients, all] = Quadratics::room(items as i64, &basis.columns)?;
    gradients.shallow_clone().f_copy_(&found)?;
    drop(found);
    for item in 0..items {
        progress(name, item, items);
        let (kept, spent) = stages.stage(name, item, || {
            Ok(vec![curvature(problem, basis, &gradients, item..item + 1)?])
        })?;
        let one = kept.into_iter().next().ok_or_else(damaged)?;
        all.f_narrow(0, item as i64, 1)?.f_copy_(&one)?;
        total += spent;
    }
    progress(name, items, items);
    let quadratics = Quadratics {
        centre: basis.centre.shallow_clone(),
        basis: basis.columns.shallow_clone(),
        gradients,
        curvature: all,
    };
    Ok((quadratics, total))
}

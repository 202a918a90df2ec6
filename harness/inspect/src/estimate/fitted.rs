//! A recorded run's window with an estimator fitted to it: answers, and the truth to hold them to.

use stats::estimates::ItemOrder;
use tch::{Kind, Tensor};

use super::fitting::Fitting;
use super::set_up::Snapshots;
use super::{Course, Exact, Oracle, Problem, TrainedProblem, Window};
use crate::replay::Replay;
use lab::LabError;
use training::clock::{Monotonic, Time};

/// Orders whose parameters are held at once while their losses are taken.
const ROWS: usize = 512;

/// What an order ends with.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Held-out loss.
    pub held_out: f64,
    /// Every item's own loss.
    pub own: Vec<f64>,
}

/// How far one end is from another, against how far orders are from each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// ‖θ̂ − θ‖ / ‖θ − θ_ref‖, where θ_ref is the end of the recorded run.
    pub relative: f64,
    /// Cosine of θ̂ − θ_ref and θ − θ_ref.
    pub cosine: f64,
}

/// A window, its problem, the real update rule and the run itself.
pub struct Fitted<'s> {
    /// The last steps of the run.
    pub window: Window,
    /// Items and losses.
    pub problem: TrainedProblem<'s>,
    /// The update rule from the window's start on.
    pub course: Course,
    /// Where the recorded run ended, shape p.
    pub reference: Tensor,
    replay: Replay<'s>,
}

impl std::fmt::Debug for Fitted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fitted").field("window", &self.window).finish_non_exhaustive()
    }
}

impl<'s> Fitted<'s> {
    /// From a window, and two replays of its cell: one to train, one to take the update rule of.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn new(
        window: Window,
        problem: TrainedProblem<'s>,
        mut replay: Replay<'s>,
        rule: Replay<'s>,
    ) -> Result<Self, LabError> {
        let course = window.course(rule)?;
        let reference = window.retrain(&mut replay, window.orders.reference())?;
        Ok(Self { window, problem, course, reference, replay })
    }

    /// The replay, which is where the last true run ended.
    #[must_use]
    pub fn replay(&self) -> &Replay<'s> {
        &self.replay
    }

    /// Final parameters of `orders` with the gradients of `oracle`, M × p; and the seconds it took.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn drive(
        &mut self,
        oracle: &mut dyn Oracle,
        orders: &[ItemOrder],
    ) -> Result<(Tensor, f64), LabError> {
        let clock = Monotonic::start();
        let start = self.window.start();
        let ends = self.course.drive(oracle, orders, start, &mut |_, _, _| Ok(()))?;
        Ok((ends, clock.now().as_secs_f64()))
    }

    /// The same by a surrogate.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn surrogate(
        &mut self,
        fitting: &Fitting,
        orders: &[ItemOrder],
    ) -> Result<(Tensor, f64), LabError> {
        match fitting.closed.as_ref().filter(|closed| closed.covers(orders)) {
            Some(closed) => {
                let clock = Monotonic::start();
                let ends = closed.ends(orders)?;
                Ok((ends, clock.now().as_secs_f64()))
            }
            None => self.drive(&mut fitting.oracle(), orders),
        }
    }

    /// Held-out losses of `orders` by the surrogate and the quadratic read-out, chunk by chunk: no
    /// parameters are kept.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn score(&mut self, fitting: &Fitting, orders: &[ItemOrder]) -> Result<Vec<f64>, LabError> {
        if let Some(closed) = fitting.closed.as_ref().filter(|closed| closed.covers(orders)) {
            return closed.scorer(&fitting.read_out, &fitting.basis().columns)?.losses(orders);
        }
        let mut losses = Vec::with_capacity(orders.len());
        for orders in orders.chunks(ROWS) {
            let (ends, _) = self.surrogate(fitting, orders)?;
            losses.extend(fitting.read_out.losses(fitting.basis(), &ends)?);
        }
        Ok(losses)
    }

    /// Parameters at the start and after every step of `order` (T + 1 × p), by a surrogate or, where
    /// there is none, with true gradients.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn path(
        &mut self,
        fitting: Option<&Fitting>,
        order: &ItemOrder,
    ) -> Result<Tensor, LabError> {
        let orders = std::slice::from_ref(order);
        let (course, start) = (&mut self.course, self.window.start());
        let path = match fitting {
            Some(fitting) => Snapshots::take(course, &mut fitting.oracle(), orders, start),
            None => Snapshots::pilots(course, &self.problem, orders, start),
        };
        Ok(path?.rows)
    }

    /// Truly trains `order` by the loop that made the run; its final parameters (p) and the seconds.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn retrain(&mut self, order: &ItemOrder) -> Result<(Tensor, f64), LabError> {
        let clock = Monotonic::start();
        let end = self.window.retrain(&mut self.replay, order)?;
        Ok((end, clock.now().as_secs_f64()))
    }

    /// Truly trains `orders` many at once, with the run's own update rule and true gradients; final
    /// parameters (M × p) and the seconds. Up to rounding it is what [`Fitted::retrain`] gives one at
    /// a time, and rules that move orders together are much faster by it.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn truth(&mut self, orders: &[ItemOrder]) -> Result<(Tensor, f64), LabError> {
        let clock = Monotonic::start();
        let (problem, start) = (&self.problem, self.window.start());
        let mut exact = Exact(problem);
        let ends = self.course.drive(&mut exact, orders, start, &mut |_, _, _| Ok(()))?;
        Ok((ends, clock.now().as_secs_f64()))
    }

    /// Losses at the rows of `ends` (M × p).
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn ends(&self, ends: &Tensor) -> Result<Vec<End>, LabError> {
        let held_out = self.problem.held_out(ends)?;
        let items = 0..self.problem.items();
        let own = items.map(|item| self.problem.own(item, ends)).collect::<Result<Vec<_>, _>>()?;
        let at = |(row, held_out)| End { held_out, own: own.iter().map(|own| own[row]).collect() };
        Ok(held_out.into_iter().enumerate().map(at).collect())
    }

    /// How far estimated parameters are from true ones.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn distance(&self, estimated: &Tensor, truth: &Tensor) -> Result<Distance, LabError> {
        distance(estimated, truth, &self.reference)
    }
}

/// How far estimated parameters are from true ones, against how far these are from `base`; all p.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn distance(estimated: &Tensor, truth: &Tensor, base: &Tensor) -> Result<Distance, LabError> {
    let double = |tensor: &Tensor| tensor.f_to_kind(Kind::Double);
    let (reference, truth) = (double(base)?, double(truth)?);
    let (moved, guessed) = (truth.f_sub(&reference)?, double(estimated)?.f_sub(&reference)?);
    let norm = |tensor: &Tensor| tensor.f_norm()?.f_double_value(&[]);
    let (far, guess) = (norm(&moved)?, norm(&guessed)?);
    let miss = norm(&guessed.f_sub(&moved)?)?;
    let dot = guessed.f_dot(&moved)?.f_double_value(&[])?;
    Ok(Distance { relative: miss / far, cosine: dot / (far * guess) })
}

//! An estimator by name, ready to answer for a window.

use anyhow::{Context as _, bail};
use inspect::estimate::closed::Closed;
use inspect::estimate::fitted::Fitted;
use inspect::estimate::fitting::Fitting;
use inspect::estimate::oracle::bracket::Bracket;
use inspect::estimate::oracle::score::Score;
use inspect::estimate::oracle::weighted::Weighted;
use inspect::estimate::registry::{self, Built, Entry, Gives, Need, Options, Parts};
use inspect::estimate::{Oracle, Problem as _, Reference};
use ledger::streams::Streams;
use stats::estimates::ItemOrder;
use stats::estimates::reduced::ReadOut;
use tch::Tensor;
use training::clock::{Monotonic, Time as _};

/// Orders whose parameters are held at once.
const ROWS: usize = 512;

/// An estimator and what it was made from, beside the fitting that all share.
pub struct Estimator {
    entry: &'static Entry,
    reference: Option<Reference>,
    /// Reads losses out within the basis, for the estimator that stays there.
    reduced: Option<ReadOut>,
    /// Seconds that its own set-up took.
    seconds: f64,
}

/// Estimated ends of orders.
pub struct Predicted {
    /// Held-out losses; scores without unit where the estimator only ranks.
    pub losses: Vec<f64>,
    /// Final parameters, M × p, where it gives them.
    pub ends: Option<Tensor>,
    /// Seconds of the estimate and of the held-out losses that were read from it.
    pub seconds: f64,
}

impl Estimator {
    /// The estimator called `id`.
    pub fn named(id: &str, fitted: &mut Fitted<'_>, fitting: &Fitting) -> anyhow::Result<Self> {
        let entry = registry::find(id)?;
        let needed = |need: Need| entry.needs.contains(&need);
        let clock = Monotonic::start();
        let reference = if needed(Need::Reference) {
            let Fitted { window, problem, course, .. } = fitted;
            let order = window.orders.reference().clone();
            Some(Reference::take(course, problem, &order, window.start())?)
        } else {
            None
        };
        let reduced = match id {
            "reduced" => {
                Some(closed(fitting)?.read_out(&fitting.read_out, &fitting.basis().columns)?)
            }
            _ => None,
        };
        Ok(Self { entry, reference, reduced, seconds: clock.now().as_secs_f64() })
    }

    /// Its name.
    pub fn id(&self) -> &'static str {
        self.entry.id
    }

    /// Whether its time may be told as that of a method.
    pub fn timed(&self) -> bool {
        self.entry.timed
    }

    /// Whether it only says which orders are better, without a loss.
    pub fn ranks_only(&self) -> bool {
        self.entry.gives == Gives::Ranks
    }

    /// Size of its basis.
    pub fn k(&self, fitting: &Fitting) -> Option<usize> {
        let basis = matches!(self.entry.id, "surrogate" | "low-rank" | "shared" | "reduced");
        basis.then_some(fitting.basis().spread.len())
    }

    /// Seconds before it could answer.
    ///
    /// With `scored`, losses came from the quadratic read-out, which belongs to the set-up then.
    pub fn set_up_seconds(&self, fitting: &Fitting, scored: bool) -> f64 {
        let shared = if self.entry.needs.contains(&Need::Pilots) {
            let seconds = &fitting.seconds;
            let read_out = if scored || self.reduced.is_some() { seconds.read_out } else { 0.0 };
            seconds.total() - seconds.read_out + read_out
        } else {
            0.0
        };
        shared + self.seconds
    }

    /// Estimated ends of orders.
    pub fn predict(
        &self,
        fitted: &mut Fitted<'_>,
        fitting: &Fitting,
        orders: &[ItemOrder],
    ) -> anyhow::Result<Predicted> {
        let clock = Monotonic::start();
        if let Some(read_out) = &self.reduced {
            let closed = closed(fitting)?;
            let ends = closed.models.train(&closed.rule, &closed.start, orders)?;
            let losses = ends.iter().map(|z| read_out.loss(z)).collect();
            return Ok(Predicted { losses, ends: None, seconds: clock.now().as_secs_f64() });
        }
        if self.ranks_only() {
            let losses = self.ranks(fitted, orders)?;
            return Ok(Predicted { losses, ends: None, seconds: clock.now().as_secs_f64() });
        }
        self.parameters(fitted, fitting, orders, None)
    }

    /// Ends of orders in which items weigh otherwise than in training: a row of weights an order.
    pub fn weighted(
        &self,
        fitted: &mut Fitted<'_>,
        fitting: &Fitting,
        orders: &[ItemOrder],
        weights: &[Vec<f64>],
    ) -> anyhow::Result<Predicted> {
        if self.entry.gives != Gives::Parameters {
            bail!(
                "\"{}\" gives no parameters, which weights are estimated by: take --estimator \
                 surrogate",
                self.entry.id
            );
        }
        self.parameters(fitted, fitting, orders, Some(weights))
    }

    fn parameters(
        &self,
        fitted: &mut Fitted<'_>,
        fitting: &Fitting,
        orders: &[ItemOrder],
        weights: Option<&[Vec<f64>]>,
    ) -> anyhow::Result<Predicted> {
        let clock = Monotonic::start();
        // Rules that move one order at a time see one row of weights at a time.
        let rows = if weights.is_some() && !fitted.course.moves_together() { 1 } else { ROWS };
        let mut parts = Vec::new();
        for (number, orders) in orders.chunks(rows).enumerate() {
            let weights = weights.map(|all| &all[number * rows..][..orders.len()]);
            parts.push(self.drive(fitted, fitting, orders, weights)?);
        }
        let ends = Tensor::f_cat(&parts, 0)?;
        let losses = fitted.problem.held_out(&ends)?;
        Ok(Predicted { losses, ends: Some(ends), seconds: clock.now().as_secs_f64() })
    }

    fn drive(
        &self,
        fitted: &mut Fitted<'_>,
        fitting: &Fitting,
        orders: &[ItemOrder],
        weights: Option<&[Vec<f64>]>,
    ) -> anyhow::Result<Tensor> {
        if self.entry.id == "surrogate" && weights.is_none() {
            return Ok(fitted.surrogate(fitting, orders)?.0);
        }
        let Fitted { window, problem, course, .. } = fitted;
        let built = {
            let parts = Parts {
                problem: &*problem,
                course: &*course,
                reference: self.reference.as_ref(),
                quadratics: Some(fitting.quadratics()),
                pieces: &fitting.pieces,
            };
            let mut random = Streams::new([0; 32]).generator("estimate/projection");
            registry::build(self.entry.id, &parts, &Options::default(), &mut random)?
        };
        let start = window.start();
        Ok(match built {
            Built::ByRule(oracle) => {
                let mut oracle: Box<dyn Oracle + '_> = match weights {
                    Some(weights) => Box::new(Weighted { oracle, weights }),
                    None => oracle,
                };
                course.drive(oracle.as_mut(), orders, start, &mut |_, _, _| Ok(()))?
            }
            Built::ByUpdates(mut oracle, mut by) => {
                if weights.is_some() {
                    bail!(
                        "\"{}\" hands out whole updates, in which a weight has no place: take \
                         --estimator surrogate",
                        self.entry.id
                    );
                }
                by.drive(oracle.as_mut(), orders, start, &mut |_, _, _| Ok(()))?
            }
        })
    }

    fn ranks(&self, fitted: &Fitted<'_>, orders: &[ItemOrder]) -> anyhow::Result<Vec<f64>> {
        let reference = self.reference.as_ref().context("no reference run")?;
        let (problem, course) = (&fitted.problem, &fitted.course);
        let towards = problem.held_out_gradient(&reference.end()?)?;
        if self.entry.id == "bracket" {
            // The mean of the path: ranks around its end are worse.
            let centre = reference.path.f_mean_dim(0, false, reference.path.kind())?;
            return Ok(Bracket::new(problem, course, &centre, &towards)?.scores(orders)?);
        }
        let rates = course.plain_rates().context(
            "the estimator \"score\" ranks orders of SGD without momentum, weight decay and \
             clipping; take \"surrogate\"",
        )?;
        Ok(Score::new(problem, reference, &rates, &towards)?.scores(orders)?)
    }
}

/// The surrogate in the coordinates of its basis.
fn closed(fitting: &Fitting) -> anyhow::Result<&Closed> {
    if fitting.pieces.len() > 1 {
        bail!(
            "the estimator \"reduced\" stays within one basis, but --centres gives the window several: \
             take \"surrogate\""
        );
    }
    fitting.closed.as_ref().context(
        "the estimator \"reduced\" covers SGD with or without momentum; other update rules leave the \
         basis at every step: take \"surrogate\"",
    )
}

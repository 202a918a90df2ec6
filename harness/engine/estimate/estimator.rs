//! An estimator by name, ready to answer for a window.

use anyhow::{Context as _, bail};
use lab::clock::{Monotonic, Time as _};
use lab::estimate::fitted::Fitted;
use lab::estimate::fitting::Fitting;
use lab::estimate::oracle::bracket::Bracket;
use lab::estimate::oracle::score::Score;
use lab::estimate::registry::{self, Built, Entry, Gives, Need, Options, Parts};
use lab::estimate::{Problem as _, Reference};
use ledger::estimates::ItemOrder;
use ledger::estimates::reduced::{ReadOut, Reduced, Rule, Sgd};
use ledger::streams::Streams;
use tch::{Kind, Tensor};

/// Orders whose parameters are held at once.
const ROWS: usize = 512;

/// An estimator and what it was made from, beside the fitting that all share.
pub struct Estimator {
    entry: &'static Entry,
    reference: Option<Reference>,
    reduced: Option<InBasis>,
    /// Seconds that its own set-up took.
    seconds: f64,
}

/// The surrogate in the coordinates of its basis.
struct InBasis {
    models: Reduced,
    rule: Rule,
    start: Vec<f64>,
    read_out: ReadOut,
}

/// Estimated ends of orders.
pub struct Predicted {
    /// Held-out losses; scores without unit where the estimator only ranks.
    pub losses: Vec<f64>,
    /// Final parameters, M × p, where it gives them.
    pub ends: Option<Tensor>,
    /// Seconds of the estimate, without taking losses from parameters.
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
            "reduced" => Some(in_basis(fitted, fitting)?),
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
        let basis = matches!(self.entry.id, "surrogate" | "reduced");
        basis.then_some(fitting.basis.spread.len())
    }

    /// Seconds before it could answer.
    pub fn set_up_seconds(&self, fitting: &Fitting) -> f64 {
        let shared = if self.entry.needs.contains(&Need::Pilots) {
            let seconds = &fitting.seconds;
            let read_out = if self.reduced.is_some() { seconds.read_out } else { 0.0 };
            seconds.pilots + seconds.first_pass + seconds.curvature + read_out
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
        if let Some(reduced) = &self.reduced {
            let ends = reduced.models.train(&reduced.rule, &reduced.start, orders)?;
            let losses = ends.iter().map(|z| reduced.read_out.loss(z)).collect();
            return Ok(Predicted { losses, ends: None, seconds: clock.now().as_secs_f64() });
        }
        if self.ranks_only() {
            let losses = self.ranks(fitted, orders)?;
            return Ok(Predicted { losses, ends: None, seconds: clock.now().as_secs_f64() });
        }
        let mut parts = Vec::new();
        for orders in orders.chunks(ROWS) {
            parts.push(self.drive(fitted, fitting, orders)?);
        }
        let ends = Tensor::f_cat(&parts, 0)?;
        let seconds = clock.now().as_secs_f64();
        let losses = fitted.problem.held_out(&ends)?;
        Ok(Predicted { losses, ends: Some(ends), seconds })
    }

    fn drive(
        &self,
        fitted: &mut Fitted<'_>,
        fitting: &Fitting,
        orders: &[ItemOrder],
    ) -> anyhow::Result<Tensor> {
        let Fitted { window, problem, course, .. } = fitted;
        let built = {
            let parts = Parts {
                problem: &*problem,
                course: &*course,
                reference: self.reference.as_ref(),
                quadratics: Some(&fitting.quadratics),
            };
            let mut random = Streams::new([0; 32]).generator("estimate/projection");
            registry::build(self.entry.id, &parts, &Options::default(), &mut random)?
        };
        let start = window.start();
        Ok(match built {
            Built::ByRule(mut oracle) => {
                course.drive(oracle.as_mut(), orders, start, &mut |_, _, _| Ok(()))?
            }
            Built::ByUpdates(mut oracle, mut by) => {
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

/// The surrogate projected to its basis: gradients, curvature, start, momentum and read-out.
fn in_basis(fitted: &Fitted<'_>, fitting: &Fitting) -> anyhow::Result<InBasis> {
    let Some(settings) = fitted.course.sgd() else {
        bail!(
            "the estimator \"reduced\" covers SGD with or without momentum; other update rules \
             leave the basis at every step: take \"surrogate\""
        );
    };
    let double = |tensor: &Tensor| tensor.f_to_kind(Kind::Double);
    let quadratics = &fitting.quadratics;
    let basis = double(&quadratics.basis)?;
    let host = |tensor: Tensor| -> anyhow::Result<Vec<f64>> {
        Ok(Vec::try_from(&tensor.f_reshape([-1])?.f_to_device(tch::Device::Cpu)?)?)
    };
    let k = fitting.basis.spread.len();
    let gradients = host(double(&quadratics.gradients)?.f_matmul(&basis)?)?;
    // (H_iQ)ᵀQ, row b: QᵀH_iQ is symmetric up to the secants' rounding.
    let curvature = host(double(&quadratics.curvature)?.f_matmul(&basis)?)?;
    let project = |tensor: &Tensor| -> anyhow::Result<Vec<f64>> {
        host(double(tensor)?.f_unsqueeze(0)?.f_matmul(&basis)?)
    };
    let centre = &quadratics.centre;
    let buffer = match fitted.course.momentum()? {
        Some(momentum) => Some(project(&momentum)?),
        None => None,
    };
    let lr = settings.lr;
    let rule = Rule::Sgd(Sgd {
        rates: fitted.course.lr_factors().iter().map(|factor| lr * factor).collect(),
        momentum: settings.momentum,
        nesterov: settings.nesterov,
        weight_decay: settings.weight_decay,
        centre: project(centre)?,
        buffer,
    });
    let read_out = ReadOut {
        value: fitting.read_out.loss,
        at: project(&fitting.read_out.at.f_sub(centre)?)?,
        gradient: project(&fitting.read_out.slope)?,
        curvature: host(double(&fitting.read_out.curvature)?)?,
    };
    read_out.check(k)?;
    Ok(InBasis {
        models: Reduced::new(k, &gradients, &curvature)?,
        rule,
        start: project(&fitted.window.start().f_sub(centre)?)?,
        read_out,
    })
}

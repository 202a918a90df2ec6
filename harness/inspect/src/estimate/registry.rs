//! The estimators by name: what each is, needs and fits.

use ledger::catalogue::hint;
use rand_pcg::Pcg64;
use tch::Tensor;

use super::oracle::diagonal::Diagonal;
use super::oracle::frozen::{Frozen, Slope};
use super::oracle::grid0::Grid;
use super::oracle::linear::Linear;
use super::oracle::low_rank::{LowRank, Shared};
use super::oracle::null::Null;
use super::oracle::projection::{Projected, Projection};
use super::oracle::replay::Replay;
use super::oracle::surrogate::{Quadratics, Surrogate};
use super::oracle::taylor::{TRUST, Taylor, Terms};
use super::pieces::{ByStretch, Piece};
use super::{Course, Exact, Oracle, Problem, Reference};
use lab::LabError;

/// What an estimator has to have before it can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// One run followed step by step, with its gradients: T gradients.
    Reference,
    /// Other true runs, which give a centre and a basis.
    Pilots,
    /// Every item's gradient at every step of the reference: T² gradients.
    Grid,
    /// Exact Hessian-vector products for every step of every order.
    ProductsPerStep,
    /// One exact Hessian-vector product per item.
    ProductsPerItem,
    /// The gradient of the held-out loss at the end of the reference.
    HeldOutGradient,
}

/// Update rules that an estimator fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    /// Every rule that can tell its state.
    Any,
    /// SGD, Adam and AdamW: rules whose update can be expanded.
    Expandable,
    /// SGD, with momentum or without.
    Sgd,
    /// SGD without momentum, weight decay and clipping.
    PlainSgd,
}

impl Fits {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Any => "every update rule",
            Self::Expandable => "SGD, Adam and AdamW",
            Self::Sgd => "SGD and momentum",
            Self::PlainSgd => "SGD without momentum",
        }
    }
}

/// What an estimator answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// Final parameters, from which any loss can be read.
    Parameters,
    /// Losses, without parameters.
    Losses,
    /// Numbers that order the orders, and no more.
    Ranks,
}

/// One estimator.
#[derive(Debug)]
pub struct Entry {
    /// Name.
    pub id: &'static str,
    /// One line.
    pub title: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    /// Which update rules it fits.
    pub fits: Fits,
    /// What it answers with.
    pub gives: Gives,
    /// Whether its time per order may be told beside retraining's: not where it is dearer by
    /// construction, as on-the-fly Hessian-vector products are.
    pub timed: bool,
}

const FRAMEWORK: &str = "Yang et al., arXiv:2505.22042";

/// Every estimator.
pub static REGISTRY: [Entry; 15] = [
    Entry {
        id: "exact",
        title: "no estimate: true runs of many orders at once, stacked where the rule allows",
        source: "the peer that every speed-up is counted against",
        needs: &[],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "null",
        title: "every order ends where the reference ended",
        source: "baseline",
        needs: &[Need::Reference],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "replay",
        title: "gradients as recorded in the reference run",
        source: "baseline",
        needs: &[Need::Reference],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "grid0",
        title: "gradients at the reference's parameters of the same step",
        source: FRAMEWORK,
        needs: &[Need::Reference, Need::Grid],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "taylor1",
        title: "first order around the reference, exact products on the fly",
        source: "Yang et al., arXiv:2505.22042, with moments recomputed and exact curvature",
        needs: &[Need::Reference, Need::Grid, Need::ProductsPerStep],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: false,
    },
    Entry {
        id: "taylor2",
        title: "second order around the reference, with a trust radius",
        source: "Yang et al., arXiv:2505.22042, with moments recomputed and exact derivatives",
        needs: &[Need::Reference, Need::Grid, Need::ProductsPerStep],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: false,
    },
    Entry {
        id: "taylor-frozen",
        title: "the published form: expanded updates in the reference's frozen state",
        source: FRAMEWORK,
        needs: &[Need::Reference, Need::Grid],
        fits: Fits::Expandable,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "taylor-diagonal",
        title: "first order with diagonal secants along the reference, moments recomputed",
        source: FRAMEWORK,
        needs: &[Need::Reference, Need::Grid],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "linear",
        title: "first order around one centre, exact products on the fly",
        source: "ceiling of one-centre estimators",
        needs: &[Need::Pilots, Need::ProductsPerStep],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: false,
    },
    Entry {
        id: "surrogate",
        title: "one quadratic per item, curvature along a basis from pilots",
        source: "Palimpsest",
        needs: &[Need::Pilots],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "low-rank",
        title: "the surrogate with the leading quarter of each item's curvature",
        source: "Palimpsest",
        needs: &[Need::Pilots],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "shared",
        title: "the surrogate with one curvature for all items, their mean",
        source: "Palimpsest",
        needs: &[Need::Pilots],
        fits: Fits::Any,
        gives: Gives::Parameters,
        timed: true,
    },
    Entry {
        id: "reduced",
        title: "the surrogate's recursion and loss in k dimensions",
        source: "Palimpsest",
        needs: &[Need::Pilots],
        fits: Fits::Sgd,
        gives: Gives::Losses,
        timed: true,
    },
    Entry {
        id: "bracket",
        title: "pairs of items at leading order in the learning rate",
        source: "Dherin 2023",
        needs: &[Need::Reference, Need::ProductsPerItem, Need::HeldOutGradient],
        fits: Fits::PlainSgd,
        gives: Gives::Ranks,
        timed: true,
    },
    Entry {
        id: "score",
        title: "gradient agreement with the held-out loss, nothing propagated",
        source: "TracIn: Pruthi et al., arXiv:2002.08484",
        needs: &[Need::Reference, Need::Grid, Need::HeldOutGradient],
        fits: Fits::PlainSgd,
        gives: Gives::Ranks,
        timed: true,
    },
];

/// The estimator called `id`.
///
/// # Errors
/// With the nearest name, or all of them.
pub fn find(id: &str) -> Result<&'static Entry, LabError> {
    REGISTRY.iter().find(|entry| entry.id == id).ok_or_else(|| {
        let ids: Vec<_> = REGISTRY.iter().map(|entry| entry.id).collect();
        LabError::Order(format!("unknown estimator \"{id}\"{}", hint(id, ids)))
    })
}

/// A random projection of the published estimators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProjectionChoice {
    /// Dimensions, k.
    pub k: usize,
    /// What passes through it.
    pub what: Projected,
}

/// Choices of the published estimators.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Random projection of `taylor1`, `taylor2`, `taylor-frozen`, `taylor-diagonal`; none as
    /// published text leaves its dimension open.
    pub projection: Option<ProjectionChoice>,
    /// Second order in `taylor-diagonal`.
    pub diagonal_second: bool,
    /// Curvature of `taylor-frozen`; the published one is the secant's.
    pub frozen_slope: Slope,
    /// Trust radius of `taylor2`.
    pub trust: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { projection: None, diagonal_second: false, frozen_slope: Slope::Secant, trust: TRUST }
    }
}

/// What estimators are built from.
pub struct Parts<'a, 'c, P: Problem + ?Sized> {
    /// The items.
    pub problem: &'a P,
    /// The course of the run; free again once the oracle is built.
    pub course: &'c Course,
    /// One run, followed.
    pub reference: Option<&'a Reference>,
    /// A surrogate from pilots, around one centre.
    pub quadratics: Option<&'a Quadratics>,
    /// The same around several centres; empty for one.
    pub pieces: &'a [Piece],
}

impl<P: Problem + ?Sized> std::fmt::Debug for Parts<'_, '_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("reference", &self.reference.is_some())
            .field("quadratics", &self.quadratics.is_some())
            .finish_non_exhaustive()
    }
}

/// An oracle and the course that drives it.
pub enum Built<'a> {
    /// By the run's own course.
    ByRule(Box<dyn Oracle + 'a>),
    /// It hands out whole updates: by SGD at rate 1.
    ByUpdates(Box<dyn Oracle + 'a>, Course),
}

impl std::fmt::Debug for Built<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ByRule(_) => "ByRule",
            Self::ByUpdates(..) => "ByUpdates",
        })
    }
}

/// The oracle of an estimator that gives parameters; `rng` draws its projection.
///
/// # Errors
/// When there is no such estimator, it gives no parameters, or a part that it needs is missing.
pub fn build<'a, P: Problem + ?Sized>(
    id: &str,
    parts: &Parts<'a, '_, P>,
    options: &Options,
    rng: &mut Pcg64,
) -> Result<Built<'a>, LabError> {
    let entry = find(id)?;
    if entry.gives != Gives::Parameters {
        return Err(LabError::Order(format!(
            "\"{id}\" estimates no parameters, so that no update rule is driven by it"
        )));
    }
    let problem = parts.problem;
    let reference = || parts.reference.ok_or_else(|| missing(id, "a reference run"));
    let quadratics = || parts.quadratics.ok_or_else(|| missing(id, "pilots"));
    let mut projection = |like: &Tensor| {
        let draw = |choice: ProjectionChoice| Projection::draw(choice.k, choice.what, like, rng);
        options.projection.map(draw).transpose()
    };
    let oracle: Box<dyn Oracle + 'a> = match id {
        "exact" => Box::new(Exact(problem)),
        "null" => Box::new(Null(reference()?)),
        "replay" => Box::new(Replay(reference()?)),
        "grid0" => Box::new(Grid::new(problem, reference()?)),
        "taylor1" | "taylor2" => {
            let reference = reference()?;
            let second = Terms::Second { trust: options.trust };
            let terms = if id == "taylor1" { Terms::First } else { second };
            Box::new(Taylor::new(problem, reference, terms, projection(&reference.end()?)?))
        }
        "taylor-diagonal" => {
            let reference = reference()?;
            let projection = projection(&reference.end()?)?;
            Box::new(Diagonal::new(problem, reference, options.diagonal_second, projection))
        }
        "taylor-frozen" => {
            let reference = reference()?;
            let projection = projection(&reference.end()?)?;
            let slope = options.frozen_slope;
            let oracle = Frozen::new(problem, reference, parts.course, slope, projection)?;
            return Ok(Built::ByUpdates(Box::new(oracle), parts.course.plain()));
        }
        "low-rank" => Box::new(LowRank::new(quadratics()?)?),
        "shared" => Box::new(Shared::new(quadratics()?)?),
        "linear" => Box::new(Linear::new(problem, &quadratics()?.centre)?),
        _ if parts.pieces.len() > 1 => Box::new(ByStretch::of(parts.pieces)),
        _ => Box::new(Surrogate(quadratics()?)),
    };
    Ok(Built::ByRule(oracle))
}

fn missing(id: &str, what: &str) -> LabError {
    LabError::Order(format!("\"{id}\" needs {what}, and none was made"))
}

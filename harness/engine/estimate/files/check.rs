//! The gate of an estimate from files: trainings that were really done, and signs that need none.

use anyhow::bail;
use inspect::estimate::fitted::distance;
use palimpsest::cli::estimate::files::Args;
use palimpsest::voice::{note, print_text, warn};
use serde::Serialize;
use stats::estimates::ItemOrder;
use stats::estimates::agreement::Interval;
use stats::estimates::validity::{
    Answers, Band, GatePilot, Validity, Verdict, band, gate, of_parameters,
};
use tch::{Kind, Tensor};

use super::inputs::Inputs;
use super::orders;

/// Fewest trainings of a gate.
const FEWEST: usize = 4;
/// Share of the way gone below which a difference between ends is rounding: all is in f64.
const ROUNDING: f64 = 1e-9;
/// How many times farther than training goes the centre may lie from where it starts.
const FAR: f64 = 10.0;

/// Trainings that were really done.
pub struct Check {
    /// Their orders.
    pub orders: Vec<ItemOrder>,
    ends: Tensor,
    losses: Option<Vec<f64>>,
}

/// What the gate came to.
#[derive(Debug, Serialize)]
pub struct Gate {
    /// The verdicts.
    pub validity: Validity,
    /// Residuals of the losses, where they were given.
    pub band: Option<Band>,
    /// Mean true loss of the trainings.
    pub mean_loss: Option<f64>,
}

impl Gate {
    /// The 95 % interval of an order's true loss, where losses may be believed.
    pub fn interval(&self, estimate: f64) -> Option<Interval> {
        Some(self.usable()?.interval(estimate))
    }

    /// The confidence that an order is better than those of the gate in the mean.
    pub fn better_than_mean(&self, estimate: f64) -> Option<f64> {
        Some(self.usable()?.confidence_below_known(estimate, self.mean_loss?))
    }

    fn usable(&self) -> Option<&Band> {
        self.band.as_ref().filter(|_| self.validity.verdict.is_usable())
    }
}

impl Check {
    /// Reads what `--check-orders` and its companions name.
    pub fn read(args: &Args, inputs: &mut Inputs, steps: usize) -> anyhow::Result<Option<Self>> {
        let (Some(path), Some(ends)) = (&args.check_orders, &args.check_ends) else {
            return Ok(None);
        };
        let found = orders::read(path, inputs.items, args.free_orders)?;
        if found.steps != steps {
            bail!(
                "--check-orders {}: orders of {} steps, but --orders have {steps}: train and check \
                 the same window",
                path.display(),
                found.steps
            );
        }
        let count = found.list.len();
        if count < FEWEST {
            bail!(
                "--check-orders {}: {count} orders; a gate needs {FEWEST} trainings, and says more \
                 from 16 on",
                path.display()
            );
        }
        let shape = [Some(count), Some(inputs.parameters)];
        let meaning = "[C, p], as many rows as --check-orders";
        let ends = inputs.other("--check-ends", ends, &shape, meaning)?;
        let losses = match &args.check_losses {
            Some(path) => {
                let meaning = "[C], one loss for each of --check-orders";
                let losses = inputs.other("--check-losses", path, &[Some(count)], meaning)?;
                Some(Vec::<f64>::try_from(&losses)?)
            }
            None => None,
        };
        Ok(Some(Self { orders: found.list, ends, losses }))
    }

    /// Holds estimated ends (C × p) and losses to the truth.
    pub fn judge(&self, ends: &Tensor, losses: Option<&[f64]>) -> anyhow::Result<Gate> {
        let base = self.ends.f_mean_dim(0, false, Kind::Double)?;
        let mut pilots = Vec::with_capacity(self.orders.len());
        for row in 0..self.orders.len() {
            let (guess, truth) = (ends.get(row as i64), self.ends.get(row as i64));
            let error = distance(&guess, &truth, &base)?.relative;
            let both = losses.zip(self.losses.as_deref());
            let (estimated, retrained) =
                both.map_or((f64::NAN, f64::NAN), |(guess, truth)| (guess[row], truth[row]));
            pilots.push(GatePilot { relative_error: Some(error), estimated, retrained });
        }
        if let (Some(_), Some(truth)) = (losses, &self.losses) {
            let validity = gate(&pilots, truth, Answers::Losses)?;
            let mean = truth.iter().sum::<f64>() / truth.len() as f64;
            return Ok(Gate { validity, band: band(&pilots).ok(), mean_loss: Some(mean) });
        }
        // Parameters alone: what they are worth is all that can be told.
        let mut errors: Vec<f64> = pilots.iter().filter_map(|pilot| pilot.relative_error).collect();
        let error = crate::estimate::bench::median(&mut errors);
        let verdict = of_parameters(error);
        let reason = format!(
            "the relative error of the parameters of {} trainings is {error:.2} in the median; \
             --check-losses judges losses",
            pilots.len()
        );
        let validity = Validity {
            verdict,
            pilots: pilots.len(),
            relative_error: Some(error).filter(|error| error.is_finite()),
            parameters: Some(verdict),
            ..Validity::unjudged(&reason)
        };
        Ok(Gate { validity, band: None, mean_loss: None })
    }
}

/// Whether ends (M × p) differ by no more than rounding, so that ranks of them would be of noise.
pub fn are_one(ends: &Tensor, start: &Tensor) -> anyhow::Result<bool> {
    if ends.size()[0] < 2 {
        return Ok(false);
    }
    let mean = ends.f_mean_dim(0, false, Kind::Double)?;
    let way = mean.f_sub(start)?.f_norm()?.f_double_value(&[])?;
    let away = ends.f_sub(&mean)?.f_norm_scalaropt_dim(2.0, [1], false)?;
    let furthest = away.f_max()?.f_double_value(&[])?;
    Ok(furthest <= ROUNDING * way)
}

/// Signs that need no training: what lies outside the basis, and a centre that is not one.
pub fn signs(
    ends: &Tensor,
    start: &Tensor,
    centre: &Tensor,
    basis: Option<&Tensor>,
) -> anyhow::Result<()> {
    let away = ends.f_sub(centre)?;
    if let Some(basis) = basis {
        let along = away.f_matmul(basis)?;
        let squares = |table: &Tensor| table.f_square()?.f_sum(Kind::Double)?.f_double_value(&[]);
        let (inside, all) = (squares(&along)?, squares(&away)?);
        if all > 0.0 && all.is_finite() {
            note(&format!(
                "{:.0} % of the squared distance from the centre to the ends lies outside the basis, \
                 where no curvature is known",
                100.0 * (1.0 - inside / all).max(0.0)
            ));
        }
    }
    let from = start.f_sub(centre)?.f_norm()?.f_double_value(&[])?;
    let way = ends.f_sub(start)?.f_norm_scalaropt_dim(2.0, [1], false)?;
    let way = way.f_median()?.f_double_value(&[])?;
    if from > FAR * way {
        warn(&format!(
            "the centre lies {from:.3e} from theta0, and training goes {way:.3e}: gradients there say \
             little of it; are both of the same run?"
        ));
    }
    Ok(())
}

/// The verdicts, for a person.
pub fn print(gate: &Gate) -> anyhow::Result<()> {
    let Validity { verdict, reason, .. } = &gate.validity;
    let mut text = format!("validity: {verdict}: {reason}\n");
    if gate.band.is_some()
        && let Some(parameters) = gate.validity.parameters_in_words()
    {
        text += &format!("parameters: {parameters}\n");
    }
    let remedy = match verdict {
        Verdict::Ok | Verdict::NoOrderSignal => None,
        Verdict::Weak => Some("train the orders that matter"),
        Verdict::OutsideValidity => Some(
            "do not use these numbers; a centre amid the trajectories (the mean of all points that a \
             few trainings passed), directions of those points (their SVD, k of twice the steps) and \
             a loss around their mean end (--loss-centre) help, as in estimates_from_pytorch.py",
        ),
    };
    if let Some(remedy) = remedy {
        text += &format!("remedy: {remedy}\n");
    }
    print_text(&text)
}

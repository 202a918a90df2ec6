//! Update rules from inside: the state of one that trains, taken out and put back; the same rule
//! over many runs at once; its change to first order.

mod muon_rows;

use std::any::Any;

use lab::LabError;
use lab::optim::adam::Adam;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::optim::lm::MatrixDecay;
use lab::optim::muon::Muon;
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::seat::{Optimizer, StepInfo};
use tch::{TchError, Tensor};

/// An update rule that can tell its state.
pub trait Inspectable: Optimizer {
    /// A copy of all state: put back by [`Inspectable::restore`], the coming updates are the same
    /// bit for bit.
    fn state(&self) -> Vec<Tensor>;

    /// Puts back what [`Inspectable::state`] told of a rule with the same settings.
    ///
    /// # Errors
    /// When it is the state of another rule.
    fn restore(&mut self, state: &[Tensor]) -> Result<(), LabError>;

    /// The same rule in its present state for one parameter of shape M × p, whose rows are M copies
    /// of all parameters, flattened in their order: runs that go on from here in M orders move by
    /// one kernel. `None` where the rule does not treat every value alike.
    fn for_rows(&self, _rows: i64) -> Option<Box<dyn Inspectable>> {
        None
    }

    /// What an update in the present state takes off the parameters, Γ, and the first-order change
    /// of that, dΓ; the state stays. For one parameter of shape 1 × p, as [`Inspectable::for_rows`]
    /// makes it. `None` where the rule cannot be expanded.
    fn expanded(&self, _at: &Expansion<'_>, _moment: &StepInfo) -> Option<Expanded> {
        None
    }
}

/// Γ and dΓ, each M × p.
pub type Expanded = Result<[Tensor; 2], TchError>;

/// Where an update is expanded, and in which direction.
#[derive(Debug, Clone, Copy)]
pub struct Expansion<'a> {
    /// θ, shape p.
    pub theta: &'a Tensor,
    /// The gradient there, M × p.
    pub gradient: &'a Tensor,
    /// δ, how far the parameters are away from θ, M × p.
    pub away: &'a Tensor,
    /// How much the gradient changes on the way, M × p.
    pub change: &'a Tensor,
}

/// `rule` from inside; `None` for one that is not known here, as methods bring.
#[must_use]
pub fn inspectable(rule: &dyn Optimizer) -> Option<&dyn Inspectable> {
    fn seen<R: Inspectable>(rule: &dyn Any) -> Option<&dyn Inspectable> {
        rule.downcast_ref::<R>().map(|rule| rule as _)
    }
    let rules = [seen::<Sgd>, seen::<Adamw>, seen::<Adam>, seen::<MatrixDecay>, seen::<Muon>];
    rules.iter().find_map(|seen| seen(rule))
}

/// The same, to put state back.
#[must_use]
pub fn inspectable_mut(rule: &mut dyn Optimizer) -> Option<&mut dyn Inspectable> {
    inspectable(rule)?;
    let rule: &mut dyn Any = rule;
    if rule.is::<Sgd>() {
        return rule.downcast_mut::<Sgd>().map(|rule| rule as _);
    }
    if rule.is::<Adamw>() {
        return rule.downcast_mut::<Adamw>().map(|rule| rule as _);
    }
    if rule.is::<Adam>() {
        return rule.downcast_mut::<Adam>().map(|rule| rule as _);
    }
    if rule.is::<MatrixDecay>() {
        return rule.downcast_mut::<MatrixDecay>().map(|rule| rule as _);
    }
    rule.downcast_mut::<Muon>().map(|rule| rule as _)
}

/// Whether `rule` is one whose own arithmetic is of the size of a gradient's: Newton–Schulz of every weight.
#[must_use]
pub fn orthogonalises(rule: &dyn Optimizer) -> bool {
    let rule: &dyn Any = rule;
    rule.is::<Muon>()
}

/// The settings of `rule`, where it is SGD.
#[must_use]
pub fn sgd(rule: &dyn Optimizer) -> Option<&SgdSettings> {
    let rule: &dyn Any = rule;
    rule.downcast_ref::<Sgd>().map(Sgd::settings)
}

/// Whether it has started, as 0 or 1, then the momenta.
impl Inspectable for Sgd {
    fn state(&self) -> Vec<Tensor> {
        let started = Tensor::from(i64::from(self.started()));
        [started].into_iter().chain(self.momenta().iter().map(Tensor::copy)).collect()
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), LabError> {
        let started = Tensor::from(0_i64);
        put_back([&started].into_iter().chain(self.momenta()), state)?;
        let momenta = self.momenta().iter().map(Tensor::shallow_clone).collect();
        *self = Self::of(self.settings().clone(), momenta, i64::try_from(&started)? != 0);
        Ok(())
    }

    fn for_rows(&self, rows: i64) -> Option<Box<dyn Inspectable>> {
        let momenta = vec![repeated(self.momenta().iter(), rows)];
        Some(Box::new(Self::of(self.settings().clone(), momenta, self.started())))
    }

    /// Γ is linear in gradient and parameters: dΓ has the same factors, without the buffer.
    fn expanded(&self, at: &Expansion<'_>, now: &StepInfo) -> Option<Expanded> {
        let [buffer] = self.momenta() else { return None };
        let SgdSettings { lr, momentum, nesterov, weight_decay } = *self.settings();
        let rate = lr * now.lr_factor;
        // On the first step the buffer is 0 and becomes the gradient.
        let weight = if nesterov { 1.0 + momentum } else { 1.0 };
        let rest = if nesterov { momentum * momentum } else { momentum };
        let both = || {
            let slope = |gradient: &Tensor, theta: &Tensor| {
                gradient.f_add(&theta.f_mul_scalar(weight_decay)?)?.f_mul_scalar(rate * weight)
            };
            let own = slope(at.gradient, at.theta)?;
            let update = own.f_add(&buffer.f_mul_scalar(rate * rest)?)?;
            Ok([update, slope(at.change, at.away)?])
        };
        Some(both())
    }
}

/// Counts of updates, then both moments of each parameter that it moves.
impl Inspectable for Adamw {
    fn state(&self) -> Vec<Tensor> {
        let moments = self.moments().iter().flatten().flatten();
        [self.steps()].into_iter().chain(moments).map(Tensor::copy).collect()
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), LabError> {
        put_back(tensors(self), state)
    }

    fn for_rows(&self, rows: i64) -> Option<Box<dyn Inspectable>> {
        Some(Box::new(adamw_for_rows(self, rows)?))
    }

    /// With m′, v′ after the gradient g, ĉ₁ = 1 − β₁ⁿ, ĉ₂ = 1 − β₂ⁿ, s = √(v′/ĉ₂) and D = s + ε:
    /// Γ = lr·(wd·θ + m′/(ĉ₁D)), dΓ = lr·(wd·δ + (1−β₁)dg/(ĉ₁D) − (m′/ĉ₁)(1−β₂)g·dg/(ĉ₂sD²)); the
    /// last term is left out where s = 0, where it has no value (g = 0 with no history).
    fn expanded(&self, at: &Expansion<'_>, now: &StepInfo) -> Option<Expanded> {
        let [Some([first, second])] = self.moments() else { return None };
        let AdamwSettings { lr, beta1, beta2, eps, weight_decay } = *self.settings();
        let rate = lr * now.lr_factor;
        let both = || {
            let Expansion { theta, gradient, away, change } = *at;
            let count = self.steps().f_double_value(&[0])? + 1.0;
            let (c1, c2) = (1.0 - beta1.powf(count), 1.0 - beta2.powf(count));
            let first = first.f_mul_scalar(beta1)?.f_add(&gradient.f_mul_scalar(1.0 - beta1)?)?;
            let square = gradient.f_square()?.f_mul_scalar(1.0 - beta2)?;
            let second = second.f_mul_scalar(beta2)?.f_add(&square)?;
            let root = second.f_div_scalar(c2)?.f_sqrt()?;
            let divisor = root.f_add_scalar(eps)?;
            let direct = first.f_div(&divisor)?.f_div_scalar(c1)?;
            let update = direct.f_add(&theta.f_mul_scalar(weight_decay)?)?.f_mul_scalar(rate)?;

            let by_first = change.f_mul_scalar((1.0 - beta1) / c1)?.f_div(&divisor)?;
            let still = root.f_eq(0.0)?;
            // direct / D = m′/(ĉ₁D²)
            let by_second = direct
                .f_div(&divisor)?
                .f_mul(gradient)?
                .f_mul(change)?
                .f_mul_scalar((1.0 - beta2) / c2)?
                .f_div(&root.f_masked_fill(&still, 1.0)?)?
                .f_masked_fill(&still, 0.0)?;
            let slope = by_first.f_sub(&by_second)?;
            let slope = slope.f_add(&away.f_mul_scalar(weight_decay)?)?.f_mul_scalar(rate)?;
            Ok([update, slope])
        };
        Some(both())
    }
}

impl Inspectable for Adam {
    fn state(&self) -> Vec<Tensor> {
        self.rule().state()
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), LabError> {
        put_back(tensors(self.rule()), state)
    }

    fn for_rows(&self, rows: i64) -> Option<Box<dyn Inspectable>> {
        Some(Box::new(Self::new(adamw_for_rows(self.rule(), rows)?, self.weight_decay())))
    }
}

/// The state of both rules, matrices first.
impl Inspectable for MatrixDecay {
    fn state(&self) -> Vec<Tensor> {
        self.rules().into_iter().flat_map(Inspectable::state).collect()
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), LabError> {
        put_back(self.rules().into_iter().flat_map(tensors), state)
    }
}

/// The momenta, then the state of the auxiliary rule.
impl Inspectable for Muon {
    fn state(&self) -> Vec<Tensor> {
        let momenta = self.momenta().iter().flatten().map(Tensor::copy);
        momenta.chain(self.auxiliary().state()).collect()
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), LabError> {
        let momenta = self.momenta().iter().flatten();
        put_back(momenta.chain(tensors(self.auxiliary())), state)
    }

    fn for_rows(&self, rows: i64) -> Option<Box<dyn Inspectable>> {
        Some(Box::new(muon_rows::MuonRows::of(self, rows)?))
    }
}

/// What `Adamw`'s state is a copy of.
fn tensors(rule: &Adamw) -> impl Iterator<Item = &Tensor> {
    [rule.steps()].into_iter().chain(rule.moments().iter().flatten().flatten())
}

/// A rule that moves only some of the parameters, or has moved some less often, is not one rule for
/// all values.
fn adamw_for_rows(rule: &Adamw, rows: i64) -> Option<Adamw> {
    let moments: Option<Vec<&[Tensor; 2]>> = rule.moments().iter().map(Option::as_ref).collect();
    let (moments, first) = (moments?, rule.steps().f_get(0).ok()?);
    if rule.steps().ne_tensor(&first).any().int64_value(&[]) != 0 {
        return None;
    }
    let all = |which: usize| repeated(moments.iter().map(|pair| &pair[which]), rows);
    let steps = first.reshape([1]).copy();
    Adamw::of(rule.settings().clone(), vec![Some([all(0), all(1)])], steps).ok()
}

/// M × p: every row all of `tensors`, flattened in their order.
fn repeated<'a>(tensors: impl Iterator<Item = &'a Tensor>, rows: i64) -> Tensor {
    let flat: Vec<_> = tensors.map(|tensor| tensor.detach().reshape([-1])).collect();
    tch::no_grad(|| Tensor::cat(&flat, 0).unsqueeze(0).repeat([rows, 1]))
}

/// Copies saved values into the tensors they were taken from.
fn put_back<'a>(
    tensors: impl Iterator<Item = &'a Tensor>,
    saved: &[Tensor],
) -> Result<(), LabError> {
    let tensors: Vec<_> = tensors.collect();
    if tensors.len() != saved.len() {
        let (wanted, found) = (tensors.len(), saved.len());
        return Err(LabError::Order(format!("state of {found} tensors in place of {wanted}")));
    }
    let copied = tch::no_grad(|| {
        let pairs = tensors.into_iter().zip(saved);
        pairs.into_iter().try_for_each(|(tensor, saved)| tensor.shallow_clone().f_copy_(saved))
    });
    Ok(copied?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    use lab::models::mlp::mlp;
    use lab::network::Network;
    use lab::optim::adamw::{Adamw, AdamwSettings};
    use lab::optim::lm::LmSettings;
    use lab::optim::muon::{Muon, MuonSettings};
    use lab::optim::sgd::{Sgd, SgdSettings};
    use lab::seat::Gradients;
    use lab::trial::{self, step_info};

    fn network() -> Network {
        mlp(&[4, 5, 3], &trial::streams(), Device::Cpu).unwrap()
    }

    fn update(rule: &mut dyn Inspectable, network: &Network, size: f64) {
        let active: Vec<usize> = (0..network.parameters.len()).collect();
        let tensors = network.parameters.iter().map(|p| p.tensor.full_like(size).detach());
        let gradients = Gradients { active, tensors: tensors.collect() };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &step_info(0, 9))).unwrap();
    }

    #[test]
    fn a_rule_goes_on_from_its_state_bit_for_bit() {
        type Make = fn(&Network) -> Box<dyn Inspectable>;
        let makers: [Make; 4] = [
            |network| Box::new(Muon::new(MuonSettings::default(), network).unwrap()),
            |network| Box::new(LmSettings::default().optimizer(network).unwrap()),
            |network| {
                let settings = AdamwSettings {
                    lr: 0.1,
                    beta1: 0.9,
                    beta2: 0.99,
                    eps: 1e-8,
                    weight_decay: 0.1,
                };
                Box::new(Adamw::new(settings, network, |_, _| true).unwrap())
            },
            |network| {
                let settings =
                    SgdSettings { lr: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.1 };
                Box::new(Sgd::new(settings, network))
            },
        ];
        for make in makers {
            let whole = network();
            let mut rule = make(&whole);
            update(rule.as_mut(), &whole, 0.5);
            update(rule.as_mut(), &whole, -2.0);
            let (weights, state) = (whole.snapshot(), rule.state());
            update(rule.as_mut(), &whole, 1.0);

            let mut resumed = network();
            let mut other = make(&resumed);
            resumed.restore(&weights).unwrap();
            other.restore(&state).unwrap();
            update(other.as_mut(), &resumed, 1.0);
            assert_eq!(resumed.digest().unwrap(), whole.digest().unwrap());

            // Without it the next step is another one.
            let mut forgetful = network();
            let mut fresh = make(&forgetful);
            forgetful.restore(&weights).unwrap();
            update(fresh.as_mut(), &forgetful, 1.0);
            assert_ne!(forgetful.digest().unwrap(), whole.digest().unwrap());
            assert!(fresh.restore(&state[1..]).is_err());
        }
    }
}

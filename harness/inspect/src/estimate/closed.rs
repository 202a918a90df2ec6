//! The surrogate under SGD in closed form.
//!
//! A step of SGD is linear in parameters, momentum and gradient, with the same factors for every
//! parameter; and the surrogate's gradients depend on the parameters through z = Qᵀ(θ − c) alone.
//! So z follows a recursion in k dimensions of its own, and with the effect w_t that the gradient of
//! step t has on the end, θ_T = base − Σ_t w_t (g_i + (H_iQ) z_t): one product at the end for many
//! orders at once. Up to rounding it is what [`Course::drive`] gives with
//! [`Surrogate`](super::oracle::surrogate::Surrogate).

use stats::estimates::ItemOrder;
use stats::estimates::reduced::{self, Reduced, Rule, Sgd, StepParts};
use tch::{Device, Kind, Tensor};

use super::Course;
use super::oracle::surrogate::Quadratics;
use super::read_out::ReadOut;
use lab::LabError;
use lab::optim::sgd::SgdSettings;

/// Orders whose coefficients are held at once.
const ROWS: usize = 256;

/// Quadratics of all items, and the rule that moves them, in the coordinates of the basis.
#[derive(Debug)]
pub struct Closed {
    /// Qᵀg_i and QᵀH_iQ.
    pub models: Reduced,
    /// The update rule in z.
    pub rule: Rule,
    /// Qᵀ(θ₀ − c), k numbers.
    pub start: Vec<f64>,
    /// Whether nothing but the rule moves parameters: without clipping, which is not linear.
    pub whole: bool,
    /// θ_T if all gradients were 0, shape p.
    base: Tensor,
    /// −w_t: what a gradient of 1 at step t adds to the end.
    effects: Vec<f64>,
    /// All g_i, then all rows of (H_iQ)ᵀ: items·(1 + k) × p.
    parts: Tensor,
}

impl Closed {
    /// Of `quadratics` under the rule of `course` from `start` (p); `None` where the rule is not SGD.
    ///
    /// # Errors
    /// When a model is not finite, or libtorch refuses an operation.
    pub fn of(
        quadratics: &Quadratics,
        course: &Course,
        start: &Tensor,
    ) -> Result<Option<Self>, LabError> {
        let Some(settings) = course.sgd() else { return Ok(None) };
        let Quadratics { centre, basis, gradients, .. } = quadratics;
        let (_, k) = basis.size2()?;
        let rates: Vec<f64> =
            course.lr_factors().iter().map(|factor| settings.lr * factor).collect();
        let buffer = course.momentum()?;
        let parts = quadratics.parts()?;
        let projected = numbers(&parts.f_matmul(basis)?)?;
        let (slopes, curvatures) = projected.split_at(gradients.size()[0] as usize * k as usize);
        let project = |tensor: &Tensor| numbers(&along(basis, tensor)?);
        let rule = Rule::Sgd(Sgd {
            rates: rates.clone(),
            momentum: settings.momentum,
            nesterov: settings.nesterov,
            weight_decay: settings.weight_decay,
            centre: project(centre)?,
            buffer: buffer.as_ref().map(project).transpose()?,
        });
        let end = |from: Point| end(settings, &rates, buffer.is_some(), from);
        let mut base = start.f_mul_scalar(end(Point { theta: 1.0, ..Point::default() }))?;
        if let Some(buffer) = &buffer {
            let effect = end(Point { buffer: 1.0, ..Point::default() });
            base = base.f_add(&buffer.f_mul_scalar(effect)?)?;
        }
        let effects =
            (0..rates.len()).map(|step| end(Point { hit: Some(step), ..Point::default() }));
        Ok(Some(Self {
            models: Reduced::new(k as usize, slopes, curvatures).map_err(refused)?,
            rule,
            start: project(&start.f_sub(centre)?)?,
            whole: !course.clips(),
            base,
            effects: effects.collect(),
            parts,
        }))
    }

    /// Whether `orders` run over all steps, as the effects on the end suppose.
    #[must_use]
    pub fn covers(&self, orders: &[ItemOrder]) -> bool {
        self.whole && orders.iter().all(|order| order.steps.len() == self.effects.len())
    }

    /// Final parameters of `orders`, M × p.
    ///
    /// # Errors
    /// When an order names an item that is not there, or libtorch refuses an operation.
    pub fn ends(&self, orders: &[ItemOrder]) -> Result<Tensor, LabError> {
        let (items, k) = (self.models.items(), self.models.k());
        let width = items * (k + 1);
        let mut ends = Vec::new();
        for orders in orders.chunks(ROWS) {
            let mut factors = vec![0.0_f32; orders.len() * width];
            self.models
                .follow(&self.rule, &self.start, orders, &mut |order, step, taken, z| {
                    let row = &mut factors[order * width..(order + 1) * width];
                    let effect = self.effects[step] / taken.len() as f64;
                    for item in taken.iter().map(|item| *item as usize) {
                        row[item] += effect as f32;
                        let from = items + item * k;
                        for (factor, z) in row[from..from + k].iter_mut().zip(z) {
                            *factor += (effect * z) as f32;
                        }
                    }
                })
                .map_err(refused)?;
            let factors = Tensor::f_from_slice(&factors)?.f_view([-1, width as i64])?;
            let factors = factors.f_to_kind(self.parts.kind())?.f_to_device(self.parts.device())?;
            ends.push(self.base.f_addmm(&factors, &self.parts)?);
        }
        if ends.is_empty() {
            return Ok(self.base.f_unsqueeze(0)?.f_narrow(0, 0, 0)?);
        }
        Ok(Tensor::f_cat(&ends, 0)?)
    }

    /// Held-out losses at the ends of orders by a quadratic read-out, without the ends themselves.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn scorer(&self, read_out: &ReadOut, basis: &Tensor) -> Result<Scorer<'_>, LabError> {
        let double = |tensor: &Tensor| tensor.f_to_kind(Kind::Double);
        let slope = double(&read_out.slope)?;
        let rest = double(&self.base)?.f_sub(&double(&read_out.at)?)?.f_dot(&slope)?;
        let towards = numbers(&self.parts.f_matmul(&read_out.slope)?)?;
        let k = self.models.k();
        let quadratic = reduced::ReadOut {
            value: read_out.loss + f64::try_from(&rest)?,
            at: self.in_basis(&read_out.at, basis)?,
            gradient: vec![0.0; k],
            curvature: numbers(&read_out.curvature)?,
        };
        quadratic.check(k).map_err(refused)?;
        Ok(Scorer { closed: self, towards, quadratic })
    }

    /// The read-out within the basis alone, as the reduced estimator has it.
    ///
    /// # Errors
    /// When a value is not finite.
    pub fn read_out(
        &self,
        read_out: &ReadOut,
        basis: &Tensor,
    ) -> Result<reduced::ReadOut, LabError> {
        let inside = reduced::ReadOut {
            value: read_out.loss,
            at: self.in_basis(&read_out.at, basis)?,
            gradient: numbers(&along(basis, &read_out.slope)?)?,
            curvature: numbers(&read_out.curvature)?,
        };
        inside.check(self.models.k()).map_err(refused)?;
        Ok(inside)
    }

    /// Qᵀ(θ − c), where Qᵀc is that of the rule.
    fn in_basis(&self, theta: &Tensor, basis: &Tensor) -> Result<Vec<f64>, LabError> {
        let centre = match &self.rule {
            Rule::Sgd(Sgd { centre, .. }) => centre.as_slice(),
            Rule::Adam(_) => &[],
        };
        let there = numbers(&along(basis, theta)?)?;
        Ok(there.iter().zip(centre).map(|(there, centre)| there - centre).collect())
    }
}

/// A read-out of ends that are never made.
#[derive(Debug)]
pub struct Scorer<'a> {
    closed: &'a Closed,
    /// The slope along each of the parts that an end is made of.
    towards: Vec<f64>,
    quadratic: reduced::ReadOut,
}

impl Scorer<'_> {
    /// Held-out losses of `orders`.
    ///
    /// # Errors
    /// When an order names an item that is not there.
    pub fn losses(&self, orders: &[ItemOrder]) -> Result<Vec<f64>, LabError> {
        let Closed { models, rule, start, effects, .. } = self.closed;
        let (constant, along) = self.towards.split_at(models.items());
        let parts = StepParts { effects, constant, along };
        models.score(rule, start, orders, &parts, &self.quadratic).map_err(refused)
    }
}

/// Where a single parameter starts, and the step whose gradient is 1; all others are 0.
#[derive(Default)]
struct Point {
    theta: f64,
    buffer: f64,
    hit: Option<usize>,
}

/// Where it ends by the law of [`Sgd`](lab::optim::sgd::Sgd).
fn end(settings: &SgdSettings, rates: &[f64], started: bool, from: Point) -> f64 {
    let SgdSettings { momentum, nesterov, weight_decay, .. } = *settings;
    let Point { mut theta, mut buffer, hit } = from;
    for (step, rate) in rates.iter().enumerate() {
        let gradient = f64::from(u8::from(hit == Some(step))) + weight_decay * theta;
        let kept = if started || step > 0 { momentum } else { 0.0 };
        buffer = kept * buffer + gradient;
        theta -= rate * if nesterov { gradient + momentum * buffer } else { buffer };
    }
    theta
}

fn along(basis: &Tensor, vector: &Tensor) -> Result<Tensor, LabError> {
    let (basis, vector) = (basis.f_to_kind(Kind::Double)?, vector.f_to_kind(Kind::Double)?);
    Ok(vector.f_unsqueeze(0)?.f_matmul(&basis)?)
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>, LabError> {
    let host = tensor.f_reshape([-1])?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
    Ok(Vec::try_from(&host)?)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: stats::estimates::EstimateError) -> LabError {
    LabError::Order(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::oracle::surrogate::Surrogate;
    use crate::estimate::set_up::Basis;
    use lab::network::{Body, Network, Parameter, Role};
    use lab::optim::sgd::Sgd as Real;
    use lab::seat::{Gradients, Optimizer as _, StepInfo};

    const P: i64 = 20;
    const K: i64 = 4;
    const ITEMS: i64 = 6;

    /// Fixed numbers that look random, within ±0.5.
    fn noise(size: &[i64], seed: f64) -> Tensor {
        let count = size.iter().product::<i64>();
        let places = Tensor::arange(count, (Kind::Double, Device::Cpu)) + seed * 1000.0;
        (((places * 12.9898).sin() * 43_758.545_3).frac() * 0.5).view(size)
    }

    fn quadratics() -> Quadratics {
        let (basis, _) = Tensor::linalg_qr(&noise(&[P, K], 1.0), "reduced");
        let gradients = noise(&[ITEMS, P], 2.0);
        let half = noise(&[ITEMS, P, P], 3.0);
        let curvature = (&half + half.transpose(1, 2)).matmul(&basis).transpose(1, 2).contiguous();
        Quadratics { centre: noise(&[P], 4.0), basis, gradients, curvature }
    }

    fn course(settings: SgdSettings, started: bool, clip_norm: Option<f64>) -> Course {
        let tensor = noise(&[P], 5.0);
        let parameter = Parameter { name: "w".to_owned(), layer: 0, role: Role::Weight, tensor };
        let network = Network::new(vec![parameter], vec![], Body::Table);
        let at_step = |step: u64| StepInfo {
            step,
            total_steps: 3,
            epoch: 0,
            total_epochs: 1,
            lr_factor: 1.0 / (step + 1) as f64,
            pass: 0,
        };
        let mut rule = Real::new(settings, &network);
        if started {
            let gradients = Gradients { active: vec![0], tensors: vec![noise(&[P], 6.0)] };
            rule.update(&network.parameters, &gradients, &at_step(0)).unwrap();
        }
        Course::new(&network, Box::new(rule), (0..3).map(at_step).collect(), clip_norm).unwrap()
    }

    fn orders() -> Vec<ItemOrder> {
        let all: [[[u32; 2]; 3]; 3] =
            [[[0, 1], [2, 3], [4, 5]], [[5, 0], [1, 4], [3, 2]], [[2, 4], [0, 5], [1, 3]]];
        all.map(|steps| ItemOrder { steps: steps.iter().map(|step| step.to_vec()).collect() })
            .into()
    }

    fn settings(momentum: f64, nesterov: bool, weight_decay: f64) -> SgdSettings {
        SgdSettings { lr: 0.3, momentum, nesterov, weight_decay }
    }

    fn apart(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn the_closed_form_ends_where_the_real_optimiser_does() {
        let (quadratics, start) = (quadratics(), noise(&[P], 7.0));
        let kinds = [(0.0, false, 0.0), (0.9, false, 0.0), (0.9, true, 0.01), (0.0, false, 0.1)];
        for (momentum, nesterov, decay) in kinds {
            for started in [false, true] {
                let mut course = course(settings(momentum, nesterov, decay), started, None);
                let closed = Closed::of(&quadratics, &course, &start).unwrap().unwrap();
                assert!(closed.covers(&orders()));
                let ends = closed.ends(&orders()).unwrap();
                let mut oracle = Surrogate(&quadratics);
                let driven =
                    course.drive(&mut oracle, &orders(), &start, &mut |_, _, _| Ok(())).unwrap();
                assert!(apart(&ends, &driven) < 1e-5, "{momentum} {nesterov} {decay} {started}");
                assert!(apart(&driven.get(0), &driven.get(1)) > 1e-2, "orders differ");
            }
        }
    }

    #[test]
    fn scores_are_the_read_out_of_the_ends() {
        let (quadratics, start) = (quadratics(), noise(&[P], 7.0));
        let course = course(settings(0.9, true, 0.01), true, None);
        let closed = Closed::of(&quadratics, &course, &start).unwrap().unwrap();
        let basis = Basis {
            centre: quadratics.centre.shallow_clone(),
            columns: quadratics.basis.shallow_clone(),
            spread: vec![1.0; K as usize],
        };
        let curvature = noise(&[K, K], 8.0);
        let curvature = &curvature + curvature.tr();
        let (at, slope) = (noise(&[P], 9.0), noise(&[P], 10.0));
        let read_out = ReadOut { at, loss: 2.0, slope, curvature };
        let direct = read_out.losses(&basis, &closed.ends(&orders()).unwrap()).unwrap();
        let scores = closed.scorer(&read_out, &basis.columns).unwrap().losses(&orders()).unwrap();
        for (direct, score) in direct.iter().zip(&scores) {
            assert!((direct - score).abs() < 1e-5, "{direct} against {score}");
        }
        assert!((scores[0] - scores[1]).abs() > 1e-3);
    }

    #[test]
    fn clipped_courses_and_part_orders_are_left_to_the_driver() {
        let (quadratics, start) = (quadratics(), noise(&[P], 7.0));
        let clipped = course(settings(0.0, false, 0.0), false, Some(1.0));
        assert!(!Closed::of(&quadratics, &clipped, &start).unwrap().unwrap().covers(&orders()));
        let course = course(settings(0.0, false, 0.0), false, None);
        let closed = Closed::of(&quadratics, &course, &start).unwrap().unwrap();
        let mut part = orders();
        part[1].steps.pop();
        assert!(!closed.covers(&part));
    }
}

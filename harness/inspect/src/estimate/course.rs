//! The loop that estimates share with training: gradient → clip → update rule, order by order or
//! many orders at once.

use stats::estimates::ItemOrder;
use tch::Tensor;

use super::Oracle;
use super::reference::Reference;
use super::rule::{self, Expansion, Inspectable, inspectable, inspectable_mut};
use lab::LabError;
use lab::network::{Network, Parameter};
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::seat::{Active, Gradients, Optimizer, StepInfo};

/// Rows that are moved at once.
pub const ROWS: usize = 512;

/// An update rule in its state at the start of a window, and the moments of the window's steps.
pub struct Course {
    shapes: Vec<Parameter>,
    rule: Box<dyn Optimizer>,
    state: Vec<Tensor>,
    moments: Vec<StepInfo>,
    clip_norm: Option<f64>,
}

impl std::fmt::Debug for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Course").field("steps", &self.moments.len()).finish_non_exhaustive()
    }
}

/// Called with the numbers of the orders that moved, after how many steps, and their parameters.
pub type Each<'a> = dyn FnMut(&[usize], usize, &Tensor) -> Result<(), LabError> + 'a;

impl Course {
    /// The course of `rule`, which is in its state at the start, over steps at `moments`;
    /// `network` gives names, roles and shapes of the parameters.
    ///
    /// # Errors
    /// When the rule cannot tell its state.
    pub fn new(
        network: &Network,
        rule: Box<dyn Optimizer>,
        moments: Vec<StepInfo>,
        clip_norm: Option<f64>,
    ) -> Result<Self, LabError> {
        let state = inspectable(rule.as_ref()).ok_or_else(untold)?.state();
        Ok(Self { shapes: network.duplicate().parameters, rule, state, moments, clip_norm })
    }

    /// Steps of the window, T.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.moments.len()
    }

    /// Whether the update rule orthogonalises matrices, which takes about as long as a gradient.
    #[must_use]
    pub fn orthogonalises(&self) -> bool {
        rule::orthogonalises(self.rule.as_ref())
    }

    /// Whether many orders move at once; else they go one by one.
    #[must_use]
    pub fn moves_together(&self) -> bool {
        self.for_rows(1).is_some()
    }

    /// The same steps by SGD at rate 1 without momentum, decay or clipping: for oracles that hand
    /// out whole updates.
    #[must_use]
    pub fn plain(&self) -> Self {
        let shapes = self.shapes.iter().map(duplicate).collect();
        let network = Network::new(shapes, Vec::new(), lab::network::Body::Table);
        let settings = SgdSettings { lr: 1.0, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        let rule = Sgd::new(settings, &network);
        let state = rule.state();
        let moments = self.moments.iter().map(|now| StepInfo { lr_factor: 1.0, ..*now }).collect();
        let shapes = network.parameters;
        Self { shapes, rule: Box::new(rule), state, moments, clip_norm: None }
    }

    /// The settings of the update rule, where it is SGD.
    #[must_use]
    pub fn sgd(&self) -> Option<&SgdSettings> {
        rule::sgd(self.rule.as_ref())
    }

    /// Whether gradients are clipped.
    #[must_use]
    pub fn clips(&self) -> bool {
        self.clip_norm.is_some()
    }

    /// The learning rate of each step, where a step is θ − rate·g and nothing else: SGD without
    /// momentum, weight decay and clipping.
    #[must_use]
    pub fn plain_rates(&self) -> Option<Vec<f64>> {
        let settings = self.sgd()?;
        let plain = settings.momentum == 0.0 && settings.weight_decay == 0.0;
        (plain && self.clip_norm.is_none())
            .then(|| self.moments.iter().map(|now| settings.lr * now.lr_factor).collect())
    }

    /// The update rule in the state that it had before each step of `reference`, which this course
    /// made.
    ///
    /// # Errors
    /// When the rule cannot be expanded, or the reference has other steps.
    pub fn rules_along(&self, reference: &Reference) -> Result<RulesAlong, LabError> {
        let (steps, found) = (self.steps(), reference.steps());
        if found > steps {
            return Err(LabError::Order(format!("a reference of {found} steps, not {steps}")));
        }
        let mut rule = self.for_rows(1).ok_or_else(not_expanded)?;
        let mut rules = Vec::new();
        for (step, now) in self.moments.iter().take(found).enumerate() {
            rules.push(rule.for_rows(1).ok_or_else(not_expanded)?);
            let mut handed = reference.handed(step)?;
            tch::no_grad(|| {
                if let Some(longest) = self.clip_norm {
                    clip(&mut handed, longest)?;
                }
                let theta = reference.at(step)?.f_unsqueeze(0)?.copy();
                let rows = [self.rows(theta)];
                rule.update(&rows, &Gradients { active: vec![0], tensors: vec![handed] }, now)?;
                Ok::<_, LabError>(())
            })?;
        }
        Ok(RulesAlong { rules, moments: self.moments.clone(), clip_norm: self.clip_norm })
    }

    fn for_rows(&self, rows: i64) -> Option<Box<dyn Inspectable>> {
        inspectable(self.rule.as_ref())?.for_rows(rows)
    }

    /// One parameter whose rows are runs.
    fn rows(&self, theta: Tensor) -> Parameter {
        let role = self.shapes.first().map_or(lab::network::Role::Weight, |p| p.role);
        Parameter { name: "rows".to_owned(), layer: 0, role, tensor: theta }
    }

    /// The momentum of SGD at the start, flat, shape p; `None` before the first step.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn momentum(&self) -> Result<Option<Tensor>, LabError> {
        let [started, momenta @ ..] = self.state.as_slice() else { return Ok(None) };
        if self.sgd().is_none() || i64::try_from(started)? == 0 {
            return Ok(None);
        }
        let flat = momenta.iter().map(|momentum| momentum.f_reshape([-1]));
        Ok(Some(Tensor::f_cat(&flat.collect::<Result<Vec<_>, _>>()?, 0)?))
    }

    /// The learning-rate factor of each step.
    #[must_use]
    pub fn lr_factors(&self) -> Vec<f64> {
        self.moments.iter().map(|now| now.lr_factor).collect()
    }

    /// Final parameters of every order, M × p, all from `start` (p), where the gradients are what
    /// `oracle` says; `each` sees the parameters at the start and after every step.
    ///
    /// # Errors
    /// When an order has another number of steps, or libtorch refuses an operation.
    pub fn drive(
        &mut self,
        oracle: &mut dyn Oracle,
        orders: &[ItemOrder],
        start: &Tensor,
        each: &mut Each<'_>,
    ) -> Result<Tensor, LabError> {
        let steps = self.steps();
        if let Some(order) = orders.iter().find(|order| order.steps.len() > steps) {
            let found = order.steps.len();
            return Err(LabError::Order(format!("an order of {found} steps, not {steps}")));
        }
        let all: Vec<usize> = (0..orders.len()).collect();
        if self.for_rows(1).is_none() {
            let ends: Result<Vec<_>, _> = all
                .into_iter()
                .map(|number| self.alone(oracle, orders, number, start, each))
                .collect();
            return Ok(Tensor::f_cat(&ends?, 0)?);
        }
        // Orders of one length move together; those without some items are shorter.
        let mut lengths: Vec<usize> = orders.iter().map(|order| order.steps.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let (mut ends, mut places) = (Vec::new(), Vec::with_capacity(all.len()));
        for length in lengths {
            let alike = all.iter().copied().filter(|number| orders[*number].steps.len() == length);
            let alike: Vec<usize> = alike.collect();
            for numbers in alike.chunks(ROWS) {
                ends.push(self.together(oracle, orders, numbers, start, each)?);
                places.extend(numbers.iter().map(|number| *number as i64));
            }
        }
        let ends = Tensor::f_cat(&ends, 0)?;
        if places.is_sorted() {
            return Ok(ends);
        }
        let out = ends.f_empty_like()?;
        let places = Tensor::f_from_slice(&places)?.f_to_device(ends.device())?;
        let _ = out.shallow_clone().f_index_copy_(0, &places, &ends)?;
        Ok(out)
    }

    /// Orders as rows of one parameter.
    fn together(
        &self,
        oracle: &mut dyn Oracle,
        orders: &[ItemOrder],
        numbers: &[usize],
        start: &Tensor,
        each: &mut Each<'_>,
    ) -> Result<Tensor, LabError> {
        let rows = numbers.len() as i64;
        let Some(mut rule) = self.for_rows(rows) else {
            return Err(LabError::Order("the rule does not move orders together".to_owned()));
        };
        let theta = start.f_unsqueeze(0)?.f_repeat([rows, 1])?;
        let all = [self.rows(theta)];
        let theta = &all[0].tensor;
        each(numbers, 0, theta)?;
        let steps = numbers.iter().map(|number| orders[*number].steps.len()).max().unwrap_or(0);
        for (step, now) in self.moments.iter().take(steps).enumerate() {
            let items = consumed(orders, numbers, step)?;
            let mut gradients = oracle.gradients(step, &items, theta)?;
            tch::no_grad(|| {
                if let Some(longest) = self.clip_norm {
                    clip(&mut gradients, longest)?;
                }
                let gradients = Gradients { active: vec![0], tensors: vec![gradients] };
                rule.update(&all, &gradients, now)
            })?;
            each(numbers, step + 1, theta)?;
        }
        Ok(theta.shallow_clone())
    }

    /// One order by the run's own rule, parameter by parameter.
    fn alone(
        &mut self,
        oracle: &mut dyn Oracle,
        orders: &[ItemOrder],
        number: usize,
        start: &Tensor,
        each: &mut Each<'_>,
    ) -> Result<Tensor, LabError> {
        inspectable_mut(self.rule.as_mut()).ok_or_else(untold)?.restore(&self.state)?;
        let theta = start.f_unsqueeze(0)?.copy();
        let views = |flat: &Tensor| -> Result<Vec<Tensor>, LabError> {
            let mut offset = 0;
            self.shapes
                .iter()
                .map(|parameter| {
                    let shape = parameter.tensor.size();
                    let length = parameter.tensor.numel() as i64;
                    let view = flat.f_narrow(1, offset, length)?.f_view(shape.as_slice())?;
                    offset += length;
                    Ok(view)
                })
                .collect()
        };
        let parameters: Vec<_> = views(&theta)?
            .into_iter()
            .zip(&self.shapes)
            .map(|(tensor, shape)| Parameter { name: shape.name.clone(), tensor, ..*shape })
            .collect();
        each(&[number], 0, &theta)?;
        for step in 0..orders[number].steps.len() {
            let now = &self.moments[step];
            if self.rule.active(now) != Active::All {
                return Err(LabError::Order("the method moves other layers at each step".into()));
            }
            let items = consumed(orders, &[number], step)?;
            // A copy: clipping is in place, and what an oracle hands out may be its own.
            let flat = oracle.gradients(step, &items, &theta)?.copy();
            tch::no_grad(|| {
                let mut tensors = views(&flat)?;
                if let Some(longest) = self.clip_norm {
                    training::run::clip(&mut tensors, longest)?;
                }
                let active = (0..tensors.len()).collect();
                self.rule.update(&parameters, &Gradients { active, tensors }, now)?;
                Ok::<_, LabError>(())
            })?;
            each(&[number], step + 1, &theta)?;
        }
        Ok(theta)
    }
}

/// An update rule in its states along a run.
pub struct RulesAlong {
    rules: Vec<Box<dyn Inspectable>>,
    moments: Vec<StepInfo>,
    /// Largest norm of a gradient, where the course clips.
    pub clip_norm: Option<f64>,
}

impl std::fmt::Debug for RulesAlong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RulesAlong").field("steps", &self.rules.len()).finish_non_exhaustive()
    }
}

impl RulesAlong {
    /// Γ and dΓ of a step, M × p each, with the state before it.
    ///
    /// # Errors
    /// When the run has no such step, or the rule cannot be expanded.
    pub fn expanded(&self, step: usize, at: &Expansion<'_>) -> Result<[Tensor; 2], LabError> {
        let rule = self.rules.get(step).zip(self.moments.get(step));
        let (rule, now) = rule.ok_or_else(|| {
            LabError::Order(format!("step {step} of a reference of {} steps", self.rules.len()))
        })?;
        let expanded = tch::no_grad(|| rule.expanded(at, now));
        Ok(expanded.ok_or_else(not_expanded)??)
    }
}

fn untold() -> LabError {
    LabError::Order("the update rule of this method cannot tell its state".to_owned())
}

fn not_expanded() -> LabError {
    LabError::Order(
        "the update rule cannot be expanded around a frozen state; `taylor-frozen` fits SGD, Adam \
         and AdamW"
            .to_owned(),
    )
}

fn duplicate(parameter: &Parameter) -> Parameter {
    let tensor = parameter.tensor.detach().copy();
    Parameter { name: parameter.name.clone(), tensor, ..*parameter }
}

/// What each order consumes at a step.
fn consumed<'o>(
    orders: &'o [ItemOrder],
    numbers: &[usize],
    step: usize,
) -> Result<Vec<&'o [u32]>, LabError> {
    let at = |number: &usize| orders[*number].steps.get(step).map(Vec::as_slice);
    let all: Option<Vec<_>> = numbers.iter().map(at).collect();
    all.ok_or_else(|| LabError::Order("orders of different lengths at once".to_owned()))
}

/// Scales rows that are longer than `longest` down to it, as the training loop does up to the last
/// bit: a row's norm is summed in another order than parameter by parameter.
fn clip(gradients: &mut Tensor, longest: f64) -> Result<(), tch::TchError> {
    let norms = gradients.f_norm_scalaropt_dim(2.0, [1], true)?;
    let factor = norms.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(longest)?;
    let _ = gradients.f_mul_(&factor.f_clamp_max(1.0)?)?;
    Ok(())
}

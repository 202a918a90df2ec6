//! The course of a training that was done elsewhere: an update rule as its user wrote it down, on
//! flat f64 parameters.

use analysis::rule_file::{Adam as AdamFile, MovedBy as By, Muon as MuonFile, Rule};
use tch::{Device, Kind, Tensor};

use super::Course;
use super::rule::Inspectable;
use lab::LabError;
use lab::network::{Body, Network, Parameter, Role};
use lab::optim::adam::Adam;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::optim::muon::{MovedBy, Muon, MuonSettings};
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::seat::{Optimizer, StepInfo};

/// The state of the rule at the start; each f64 of shape p.
#[derive(Debug, Default)]
pub struct Start {
    /// Momentum buffer of SGD or Muon; `None` where no step was taken.
    pub momentum: Option<Tensor>,
    /// First and second moment.
    pub moments: Option<[Tensor; 2]>,
    /// Steps that the moments saw.
    pub steps: u64,
}

/// The course of `rule` on p = `parameters` values, at the learning rate `rates[t]` in step t.
///
/// # Errors
/// When Muon's shapes do not make up p, or libtorch refuses an operation.
pub fn course(
    rule: &Rule,
    rates: &[f64],
    clip: Option<f64>,
    start: &Start,
    parameters: i64,
) -> Result<Course, LabError> {
    let total = rates.len() as u64;
    // A rule's own rate is its peak, which a schedule's factors scale. 1 leaves a rate what it is;
    // Muon has two rates, so that its peak is the largest.
    let peak = match rule {
        Rule::Muon(_) => rates.iter().fold(0.0, |a: f64, b| a.max(*b)),
        _ => 1.0,
    };
    let moments = (0..).zip(rates).map(|(step, rate)| StepInfo {
        step,
        total_steps: total,
        epoch: 0,
        total_epochs: 1,
        lr_factor: rate / peak,
        pass: 0,
    });
    let moments: Vec<StepInfo> = moments.collect();
    let (network, rule) = match rule {
        Rule::Sgd { momentum, nesterov, weight_decay } => {
            let network = network(&[vec![parameters]], &[Role::Weight]);
            let (momentum, nesterov, weight_decay) = (*momentum, *nesterov, *weight_decay);
            let settings = SgdSettings { lr: 1.0, momentum, nesterov, weight_decay };
            let mut rule = Sgd::new(settings, &network);
            if let Some(buffer) = &start.momentum {
                rule.restore(&[Tensor::from(1_i64), buffer.shallow_clone()])?;
            }
            (network, Box::new(rule) as Box<dyn Optimizer>)
        }
        Rule::Adam(settings) => {
            let (network, rule) = adamw(settings, 0.0, start, parameters)?;
            (network, Box::new(Adam::new(rule, settings.weight_decay)) as _)
        }
        Rule::Adamw(settings) => {
            let (network, rule) = adamw(settings, settings.weight_decay, start, parameters)?;
            (network, Box::new(rule) as _)
        }
        Rule::Muon(settings) => {
            let (network, rule) = muon(settings, peak, start, parameters)?;
            (network, Box::new(rule) as _)
        }
    };
    Course::new(&network, rule, moments, clip)
}

/// Parameters of these shapes, f64, without a forward pass.
fn network(shapes: &[Vec<i64>], roles: &[Role]) -> Network {
    let each = shapes.iter().zip(roles).enumerate();
    let parameters = each.map(|(layer, (shape, role))| Parameter {
        name: format!("parameter{layer}"),
        layer,
        role: *role,
        tensor: Tensor::zeros(shape.as_slice(), (Kind::Double, Device::Cpu)),
    });
    Network::new(parameters.collect(), Vec::new(), Body::Table)
}

fn adamw(
    settings: &AdamFile,
    weight_decay: f64,
    start: &Start,
    parameters: i64,
) -> Result<(Network, Adamw), LabError> {
    let network = network(&[vec![parameters]], &[Role::Weight]);
    let AdamFile { betas: [beta1, beta2], eps, .. } = *settings;
    let settings = AdamwSettings { lr: 1.0, beta1, beta2, eps, weight_decay };
    let mut rule = Adamw::new(settings, &network, |_, _| true)?;
    if let Some([first, second]) = &start.moments {
        let (first, second) = (first.shallow_clone(), second.shallow_clone());
        rule.restore(&[counts(start, 1), first, second])?;
    }
    Ok((network, rule))
}

/// How often each of `parameters` parameters was moved, f32 as the rule counts.
fn counts(start: &Start, parameters: usize) -> Tensor {
    Tensor::from_slice(&vec![start.steps as f32; parameters])
}

fn muon(
    file: &MuonFile,
    lr: f64,
    start: &Start,
    parameters: i64,
) -> Result<(Network, Muon), LabError> {
    let shapes: Vec<Vec<i64>> =
        file.shapes.iter().map(|shape| shape.iter().map(|n| i64::from(*n)).collect()).collect();
    let lengths: Vec<i64> = shapes.iter().map(|shape| shape.iter().product()).collect();
    let sum: i64 = lengths.iter().sum();
    if sum != parameters {
        return Err(LabError::Order(format!(
            "shapes make up {sum} parameters, but there are {parameters}: write the shapes of all \
             parameters in the order in which they were flattened"
        )));
    }
    // Which rule moves what is already decided, so that the rule has nothing left to decide.
    let role = |by: &By| if *by == By::Muon { Role::Weight } else { Role::Bias };
    let roles: Vec<Role> = file.moved_by.iter().map(role).collect();
    let network = network(&shapes, &roles);
    let AdamFile { betas: [aux_beta1, aux_beta2], eps, weight_decay } = file.aux;
    let settings = MuonSettings {
        lr,
        momentum: file.momentum,
        nesterov: file.nesterov,
        ns_steps: file.ns_steps,
        weight_decay: file.weight_decay,
        head: MovedBy::Muon,
        first_conv: MovedBy::Muon,
        aux_lr: file.aux_lr,
        aux_beta1,
        aux_beta2,
        aux_eps: eps,
        aux_weight_decay: weight_decay,
    };
    let mut rule = Muon::new(settings, &network)?;
    let parts = |flat: &Tensor, wanted: By| -> Result<Vec<Tensor>, LabError> {
        let split = flat.f_split_with_sizes(lengths.as_slice(), 0)?;
        let chosen = split.iter().zip(&shapes).zip(&file.moved_by);
        let chosen = chosen.filter(|(_, by)| **by == wanted);
        Ok(chosen
            .map(|((part, shape), _)| part.f_view(shape.as_slice()))
            .collect::<Result<_, _>>()?)
    };
    let zeros = Tensor::zeros([parameters], (Kind::Double, Device::Cpu));
    let momentum = start.momentum.as_ref().unwrap_or(&zeros);
    let [first, second] =
        start.moments.as_ref().map_or([&zeros, &zeros], |[first, second]| [first, second]);
    let mut state = parts(momentum, By::Muon)?;
    state.push(counts(start, shapes.len()));
    for (first, second) in parts(first, By::Adamw)?.into_iter().zip(parts(second, By::Adamw)?) {
        state.extend([first, second]);
    }
    rule.restore(&state)?;
    Ok((network, rule))
}

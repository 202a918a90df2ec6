//! Ensembles: networks of one shape, trained one after the other, whose outputs are averaged.
//!
//! What is averaged are logits, before the softmax. All members lie in one list of parameters, member by
//! member, so that an ensemble is judged, kept and digested as any other network.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use ledger::catalogue::Schedule;
use ledger::choice;
use ledger::order::shuffle;
use ledger::streams::Streams;
use tch::{TchError, Tensor};

use crate::LabError;
use crate::gradients::clip;
use crate::network::{Body, Forward, Network, Parameter, values};
use crate::objectives::DefaultLoss;
use crate::seat::{
    Batch, Facts, Gradients, Learner, Objective as _, Optimizer, Parametrisation, StepInfo,
};
use crate::stages::Shares;
use crate::state::State;

choice! {
    /// What members start from.
    pub enum Init {
        /// Values of their own: those of the first, shuffled within each tensor, which keeps the law of
        /// independent initial values and leaves constant ones as they are.
        Own = "own",
        /// The same values: a control.
        Shared = "shared",
    }
}

/// The mean of the outputs of members with one body.
#[derive(Debug)]
struct Mean {
    members: usize,
    body: Body,
}

impl Forward for Mean {
    fn forward(&self, network: &Network, inputs: &Tensor, train: bool) -> Result<Tensor, LabError> {
        let mut sum: Option<Tensor> = None;
        for index in 0..self.members {
            let outputs = member(&network.parameters, &self.body, index, self.members)
                .forward(inputs, train)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&outputs)?,
                None => outputs,
            });
        }
        let sum = sum.ok_or_else(|| LabError::Network("an ensemble without members".to_owned()))?;
        Ok(sum.f_div_scalar(self.members as f64)?)
    }
}

/// One of `of` members, over the same tensors.
fn member(parameters: &[Parameter], body: &Body, index: usize, of: usize) -> Network {
    let each = parameters.len() / of.max(1);
    let own = parameters.iter().skip(index * each).take(each).map(|parameter| Parameter {
        name: parameter.name.clone(),
        tensor: parameter.tensor.shallow_clone(),
        ..*parameter
    });
    Network::new(own.collect(), Vec::new(), body.clone())
}

/// The first `members` of the networks in `parameters`, whose body each of them has, as one network.
#[must_use]
pub fn mean(parameters: &[Parameter], body: &Body, members: usize, of: usize) -> Network {
    let body = match members {
        // A single member is itself, and nothing is divided.
        1 => body.clone(),
        _ => Body::Own(Arc::new(Mean { members, body: body.clone() })),
    };
    let each = parameters.len() / of.max(1);
    let whole = parameters.iter().take(members * each).map(|parameter| Parameter {
        name: parameter.name.clone(),
        tensor: parameter.tensor.shallow_clone(),
        ..*parameter
    });
    Network::new(whole.collect(), Vec::new(), body)
}

/// The networks that `network` averages, over the same tensors: itself where it averages none.
#[must_use]
pub fn members(network: &Network) -> Vec<Network> {
    let averaged = match &network.body {
        Body::Own(body) => (body.as_ref() as &dyn Any).downcast_ref::<Mean>(),
        _ => None,
    };
    match averaged {
        Some(Mean { members, body }) => {
            (0..*members).map(|index| member(&network.parameters, body, index, *members)).collect()
        }
        None => vec![member(&network.parameters, &network.body, 0, 1)],
    }
}

/// What parameters of member `number`, from 2 on, are called.
fn named(number: usize, name: &str) -> String {
    format!("member{number}.{name}")
}

/// How many members a list of parameters' names is of.
pub fn count<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let number = |name: &str| {
        let (number, _) = name.strip_prefix("member")?.split_once('.')?;
        number.parse::<usize>().ok()
    };
    names.filter_map(number).max().unwrap_or(1)
}

/// An ensemble of so many networks like this one, to put weights into.
#[must_use]
pub fn like(network: &Network, members: usize) -> Network {
    let mut parameters = Vec::with_capacity(network.parameters.len() * members);
    for number in 1..=members {
        parameters.extend(network.duplicate().parameters.into_iter().map(|parameter| {
            let name = match number {
                1 => parameter.name,
                _ => named(number, &parameter.name),
            };
            Parameter { name, ..parameter }
        }));
    }
    mean(&parameters, &network.body, members, members)
}

/// How members are trained.
pub struct Training {
    /// The loss of each.
    pub loss: DefaultLoss,
    /// An update rule for each, so that there are as many members.
    pub rules: Vec<Box<dyn Optimizer>>,
    /// Learning-rate factor over the steps of a member.
    pub schedule: Schedule,
    /// Largest norm of a member's gradient.
    pub clip: Option<f64>,
}

/// Trains one member after the other, each for an equal part of the run's steps. The recipe's own schedule must be
/// constant.
pub struct Members {
    training: Training,
    body: Body,
    shares: Shares,
    /// Members that training has come to.
    reached: Rc<Cell<usize>>,
}

/// What of the members is judged: those that training has come to.
#[derive(Debug)]
pub struct Judged {
    members: usize,
    init: Init,
    body: Body,
    reached: Rc<Cell<usize>>,
}

/// The seats of an ensemble of networks like `network`, one member for each rule.
///
/// # Errors
/// When there is no rule, or the network keeps statistics of batches.
pub fn seats(
    network: &Network,
    training: Training,
    init: Init,
) -> Result<(Members, Judged), LabError> {
    if training.rules.is_empty() || !network.buffers.is_empty() {
        let reason = "an ensemble has a member at least, and members keep no statistics of batches";
        return Err(LabError::Method(reason.to_owned()));
    }
    let (members, reached) = (training.rules.len(), Rc::new(Cell::new(0)));
    let shares = Shares::new(std::iter::repeat_n(1, members));
    let body = network.body.clone();
    let judged = Judged { members, init, body: body.clone(), reached: Rc::clone(&reached) };
    Ok((Members { training, body, shares, reached }, judged))
}

impl Learner for Members {
    fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Option<f64>, LabError> {
        let (index, first, length) = self.shares.at(now.step, now.total_steps);
        self.reached.set(index + 1);
        let Training { loss, rules, schedule, clip: longest } = &mut self.training;
        let own = member(&network.parameters, &self.body, index, rules.len());
        let lr_factor = now.lr_factor * schedule.factor(now.step - first, length);
        let now = StepInfo { lr_factor, ..*now };
        let loss = loss.loss(&own, batch, &now)?;
        let leaves: Vec<_> = own.parameters.iter().map(|p| &p.tensor).collect();
        let mut tensors = Tensor::f_run_backward(&[&loss], &leaves, false, false)?;
        for (gradient, leaf) in tensors.iter_mut().zip(&leaves) {
            if !gradient.defined() {
                *gradient = leaf.f_zeros_like()?;
            }
        }
        let _guard = tch::no_grad_guard();
        if let Some(longest) = longest {
            clip(&mut tensors, *longest)?;
        }
        let gradients = Gradients { active: (0..tensors.len()).collect(), tensors };
        rules[index].update(&own.parameters, &gradients, &now)?;
        Ok(Some(f64::try_from(&loss)?))
    }

    fn facts(&self) -> Facts {
        Facts::from([("members".to_owned(), self.training.rules.len().into())])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let mut reached = self.reached.get();
        state.of("reached", &mut reached)?;
        self.reached.set(reached);
        self.training.rules.iter_mut().try_for_each(|rule| rule.state(state))
    }
}

impl Parametrisation for Judged {
    fn install(&mut self, network: &mut Network, streams: &Streams) -> Result<(), LabError> {
        let mut others = Vec::new();
        for (index, number) in (1..).zip(2..=self.members) {
            for (place, Parameter { name, layer, role, tensor }) in (0..).zip(&network.parameters) {
                let tensor = match self.init {
                    Init::Shared => tch::no_grad(|| tensor.detach().copy()),
                    Init::Own => {
                        let mut random = streams.keyed("member", place, index);
                        shuffled(tensor, |places| shuffle(&mut random, places))?
                    }
                };
                others.push(Parameter {
                    name: named(number, name),
                    layer: *layer,
                    role: *role,
                    tensor: tensor.set_requires_grad(true),
                });
            }
        }
        network.parameters.extend(others);
        Ok(())
    }

    fn seen(&self, trained: &Network, _: Option<&StepInfo>) -> Result<Network, LabError> {
        let reached = self.reached.get().clamp(1, self.members);
        Ok(mean(&trained.parameters, &self.body, reached, self.members))
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        // How many members there are is the learner's to keep.
        Ok(())
    }
}

/// The values of a tensor in another order.
fn shuffled(tensor: &Tensor, mix: impl FnOnce(&mut [u32])) -> Result<Tensor, TchError> {
    let own = values(&tensor.detach())?;
    let mut places: Vec<u32> = (0..).take(own.len()).collect();
    mix(&mut places);
    let mixed: Vec<f32> = places.iter().map(|place| own[*place as usize]).collect();
    Tensor::f_from_slice(&mixed)?.f_view(tensor.size().as_slice())?.f_to_device(tensor.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Gpt, Shape, gpt};
    use crate::models::mlp::mlp;
    use crate::optim::lm::LmSettings;
    use crate::trial;
    use tch::{Device, Kind};

    /// A network without inputs worth the name: its logits are its bias.
    fn constant(logits: [f32; 3]) -> Network {
        let network = mlp(&[1, 3], &trial::streams(), Device::Cpu).unwrap();
        tch::no_grad(|| {
            let [weight, bias] = network.parameters.as_slice() else { panic!() };
            let _ = weight.tensor.shallow_clone().zero_();
            bias.tensor.shallow_clone().copy_(&Tensor::from_slice(&logits));
        });
        network
    }

    fn joined(networks: Vec<Network>) -> Network {
        let (of, body) = (networks.len(), networks[0].body.clone());
        let parameters: Vec<_> = networks.into_iter().flat_map(|one| one.parameters).collect();
        mean(&parameters, &body, of, of)
    }

    fn network() -> Network {
        let shape = Shape { vocabulary: 7, context: 8, width: 16, depth: 1, heads: 1, hidden: 64 };
        gpt(shape, &trial::streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn logits_are_averaged_and_not_probabilities() {
        let ensemble = joined(vec![constant([2.0, 0.0, 0.0]), constant([0.0, 2.0, 0.0])]);
        let inputs = Tensor::zeros([1, 1], (Kind::Float, Device::Cpu));
        let shares = ensemble.forward(&inputs, false).unwrap().softmax(-1, Kind::Double);
        let shares = Vec::<f64>::try_from(shares.view([3])).unwrap();
        for (found, expected) in shares.iter().zip([0.422_319, 0.422_319, 0.155_362]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
        let apart = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]].map(|logits| {
            constant(logits).forward(&inputs, false).unwrap().softmax(-1, Kind::Double)
        });
        let mean = Vec::<f64>::try_from(((&apart[0] + &apart[1]) / 2.0).view([3])).unwrap();
        for (found, expected) in mean.iter().zip([0.446_747, 0.446_747, 0.106_507]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
    }

    #[test]
    fn equal_members_say_what_one_of_them_says_bit_for_bit_and_a_single_one_is_itself() {
        let tokens = Tensor::from_slice(&[1_i64, 5, 2, 6]).view([1, 4]);
        let alone = network().forward(&tokens, false).unwrap();
        let both = joined(vec![network(), network()]);
        assert_eq!(both.forward(&tokens, false).unwrap(), alone);
        assert!(Gpt::of(&both).is_err());
        let single = joined(vec![network()]);
        assert!(Gpt::of(&single).is_ok());
        assert_eq!(single.digest().unwrap(), network().digest().unwrap());
    }

    #[test]
    fn members_start_from_the_same_numbers_in_an_order_of_their_own() {
        let start = |init| {
            let mut whole = network();
            let rules = (0..3).map(|_| LmSettings::default().optimizer(&whole)).collect::<Vec<_>>();
            let rules = rules.into_iter().map(|rule| Box::new(rule.unwrap()) as Box<dyn Optimizer>);
            let training = Training {
                loss: DefaultLoss::Tokens,
                rules: rules.collect(),
                schedule: Schedule::Constant,
                clip: None,
            };
            let (_, mut judged) = seats(&whole, training, init).unwrap();
            judged.install(&mut whole, &trial::streams()).unwrap();
            whole
        };
        let (own, shared, one) = (start(Init::Own), start(Init::Shared), network());
        let each = one.parameters.len();
        assert_eq!((own.parameters.len(), shared.parameters.len()), (3 * each, 3 * each));
        for (place, first) in one.parameters.iter().enumerate() {
            let of = |whole: &Network, member: usize| {
                values(&whole.parameters[member * each + place].tensor).unwrap()
            };
            let first = values(&first.tensor).unwrap();
            for member in 0..3 {
                assert_eq!(of(&shared, member), first);
                let (mut mixed, mut sorted) = (of(&own, member), first.clone());
                mixed.sort_by(f32::total_cmp);
                sorted.sort_by(f32::total_cmp);
                assert_eq!(mixed, sorted);
            }
            assert_eq!(of(&own, 0), first);
            let constant = first.iter().all(|value| *value == first[0]);
            assert!(constant || (of(&own, 1) != first && of(&own, 1) != of(&own, 2)), "{place}");
        }
        let names: std::collections::BTreeSet<_> =
            own.parameters.iter().map(|parameter| parameter.name.clone()).collect();
        assert_eq!(names.len(), 3 * each);
    }

    #[test]
    fn an_ensemble_is_made_of_names_and_taken_apart_again() {
        let whole = like(&network(), 3);
        let names: Vec<&str> = whole.parameters.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(count(names.iter().copied()), 3);
        assert_eq!(count(names[..5].iter().copied()), 1);
        let apart = members(&whole);
        assert_eq!(apart.len(), 3);
        for one in apart.iter().chain(&members(&network())) {
            assert!(Gpt::of(one).is_ok());
            assert_eq!(one.digest().unwrap(), network().digest().unwrap());
        }
    }

    #[test]
    fn a_step_moves_the_member_whose_turn_it_is_and_no_other() {
        let mut whole = network();
        let rules = (0..2).map(|_| {
            Box::new(LmSettings::default().optimizer(&whole).unwrap()) as Box<dyn Optimizer>
        });
        let training = Training {
            loss: DefaultLoss::Tokens,
            rules: rules.collect(),
            schedule: Schedule::Constant,
            clip: Some(1.0),
        };
        let (mut members, mut judged) = seats(&whole, training, Init::Shared).unwrap();
        judged.install(&mut whole, &trial::streams()).unwrap();
        let tokens = Tensor::from_slice(&[1_i64, 5, 2, 6]).view([1, 4]);
        let batch = Batch {
            ids: vec![0],
            sample_ids: Tensor::from_slice(&[0_i64]),
            inputs: tokens.copy(),
            labels: tokens,
        };
        let digest = |whole: &Network, index| {
            member(&whole.parameters, &whole.body, index, 2).digest().unwrap()
        };
        let start = digest(&whole, 0);
        for step in 0..4 {
            let now = StepInfo { lr_factor: 1.0, ..trial::step_info(step, 4) };
            assert!(members.step(&mut whole, &batch, &now).unwrap().unwrap() > 0.0);
            assert_ne!(digest(&whole, 0), start);
            assert_eq!(digest(&whole, 1) == start, step < 2, "{step}");
            let seen = judged.seen(&whole, None).unwrap();
            assert_eq!(Gpt::of(&seen).is_ok(), step < 2, "{step}");
        }
        // Equal starts and equal batches: equal members, and no gain.
        assert_eq!(digest(&whole, 0), digest(&whole, 1));
    }
}

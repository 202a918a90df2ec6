//! Guidance: what is asked of samples, and the combination of evaluations that leads there.

use std::cell::OnceCell;
use std::rc::Rc;

use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use super::{Output, Score, Span, backward, outputs, pieces};
use crate::LabError;
use crate::network::Network;
use crate::seat::Sampler;

/// A network that is trained beside the one that is sampled, and found by the sampler once it is there.
pub type Beside = Rc<OnceCell<Network>>;

/// How strongly a sampler is led, and at which times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// w; 0 leaves the conditional score as it is.
    pub size: f64,
    /// The shares of the backward process, from 0 at the horizon to 1 at the early end, between which w counts; it is
    /// 0 outside of them.
    pub between: [f64; 2],
}

impl Weight {
    /// w when so much of the process has gone.
    #[must_use]
    pub fn at(self, gone: f64) -> f64 {
        let [from, until] = self.between;
        if (from..=until).contains(&gone) { self.size } else { 0.0 }
    }
}

/// (1 + w)·given − w·without: what a classifier p(y|x)^w would add to the score of p(x|y). At w = 0 it is the one and
/// at w = −1 the other, bit for bit.
///
/// # Errors
/// When the shapes differ.
pub fn combined(given: &Tensor, without: &Tensor, weight: f64) -> Result<Tensor, TchError> {
    given.f_mul_scalar(1.0 + weight)?.f_sub(&without.f_mul_scalar(weight)?)
}

/// What samples are asked to be.
#[derive(Debug)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// Row i of class i mod the number of classes, so that whoever judges knows what was asked.
    EachClass(u32),
    /// Every row of one of so many classes.
    Class(u32, u32),
    /// Every row the same condition.
    Row(Vec<f32>),
}

impl Asked {
    /// The class that each of `rows` rows is asked to be of, where classes are asked for.
    #[must_use]
    pub fn classes(&self, rows: i64) -> Option<Vec<i64>> {
        match *self {
            Self::EachClass(classes) => Some(turns(rows, classes)),
            Self::Class(class, _) => Some(vec![i64::from(class); usize::try_from(rows).ok()?]),
            Self::Nothing | Self::Row(_) => None,
        }
    }

    /// Conditions of `rows` rows, rows × columns; none where nothing is asked.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn columns(&self, rows: i64, device: Device) -> Result<Option<Tensor>, TchError> {
        match (self, self.classes(rows)) {
            (Self::EachClass(classes) | Self::Class(_, classes), Some(asked)) => {
                let asked = Tensor::f_from_slice(&asked)?.f_to_device(device)?;
                Ok(Some(one_hot(&asked, *classes)?))
            }
            (Self::Row(row), _) => {
                let row = Tensor::f_from_slice(row)?.f_view([1, -1])?.f_to_device(device)?;
                Ok(Some(row.f_expand([rows, -1], false)?))
            }
            _ => Ok(None),
        }
    }
}

/// Row i is asked to be of class i mod `classes`.
#[must_use]
pub fn turns(rows: i64, classes: u32) -> Vec<i64> {
    (0..rows).map(|row| row % i64::from(classes.max(1))).collect()
}

/// Classes B (i64) as B × `classes`, 1 in the column of the class.
///
/// # Errors
/// When a class is none of them.
pub fn one_hot(labels: &Tensor, classes: u32) -> Result<Tensor, TchError> {
    labels.f_one_hot(i64::from(classes))?.f_to_kind(Kind::Float)
}

/// How a sampler is led to what is asked.
#[derive(Debug, Clone)]
pub enum Lead {
    /// By the condition alone.
    Condition,
    /// By the condition, away from what the network says without it (Ho & Salimans, arXiv:2207.12598).
    Free(Weight),
    /// By the gradient of what a classifier of noisy points says of the class, added w times to the score without a
    /// condition (Dhariwal & Nichol, arXiv:2105.05233).
    Classifier(Weight, Beside),
}

impl Lead {
    /// Evaluations of a network in each step.
    fn each(&self) -> u32 {
        match self {
            Self::Condition => 1,
            Self::Free(_) | Self::Classifier(..) => 2,
        }
    }
}

/// Samples by the backward process.
#[derive(Debug)]
pub struct ScoreSampler {
    /// From when to when.
    pub span: Span,
    /// How the network's output is used.
    pub output: Output,
    /// What is asked.
    pub asked: Asked,
    /// How it is reached.
    pub lead: Lead,
    /// Evaluations of networks that the method's own claim is about.
    pub evaluations: u32,
}

impl ScoreSampler {
    /// The score that is followed at time t, of which so much of the process has gone.
    fn followed(
        &self,
        network: &Network,
        x: &Tensor,
        [t, gone]: [f64; 2],
        condition: Option<&Tensor>,
        classes: Option<&Tensor>,
    ) -> Result<Tensor, LabError> {
        let score = Score { network, output: self.output };
        match (&self.lead, condition) {
            (Lead::Condition, condition) => score.at(x, t, condition),
            (_, None) => score.at(x, t, None),
            (Lead::Free(weight), Some(condition)) => {
                let given = score.at(x, t, Some(condition))?;
                let weight = weight.at(gone);
                if weight == 0.0 {
                    return Ok(given);
                }
                Ok(combined(&given, &score.at(x, t, None)?, weight)?)
            }
            (Lead::Classifier(weight, beside), Some(_)) => {
                let plain = score.at(x, t, None)?;
                let weight = weight.at(gone);
                let (Some(classifier), Some(classes), true) =
                    (beside.get(), classes, weight != 0.0)
                else {
                    return Ok(plain);
                };
                let towards = pieces(x, Some(classes), |x, classes| {
                    let missing = || LabError::Method("a classifier without classes".to_owned());
                    towards(classifier, x, t, classes.ok_or_else(missing)?)
                })?;
                Ok(plain.f_add(&towards.f_mul_scalar(weight)?)?)
            }
        }
    }
}

/// ∇ₓ log c_t(y|x) of a classifier, B × D.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn towards(
    classifier: &Network,
    x: &Tensor,
    t: f64,
    classes: &Tensor,
) -> Result<Tensor, LabError> {
    tch::with_grad(|| {
        let x = x.f_detach()?.set_requires_grad(true);
        let logits = outputs(classifier, &x, &[t], None)?.f_log_softmax(-1, Kind::Float)?;
        let said = logits.f_gather(1, &classes.f_view([-1, 1])?, false)?.f_sum(Kind::Float)?;
        let mut gradients = Tensor::f_run_backward(&[said], &[x], false, false)?;
        let none = || LabError::Method("a classifier that does not look at points".to_owned());
        gradients.pop().filter(Tensor::defined).ok_or_else(none)
    })
}

impl Sampler for ScoreSampler {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let steps = (evaluations / self.lead.each()).max(1);
        let ends = self.span.steps(steps);
        let rows = noise.size().first().copied().unwrap_or(0);
        let condition = self.asked.columns(rows, noise.device())?;
        let classes = match self.asked.classes(rows) {
            Some(classes) => Some(Tensor::f_from_slice(&classes)?.f_to_device(noise.device())?),
            None => None,
        };
        let mut step = 0_u32;
        backward(noise, &ends, random, |x, t| {
            let gone = f64::from(step) / f64::from(steps);
            step += 1;
            self.followed(network, x, [t, gone], condition.as_ref(), classes.as_ref())
        })
    }

    fn evaluations(&self) -> u32 {
        self.evaluations
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::models::given::{Shape, given};
    use crate::network::{Body, Denoiser, values};
    use crate::score::{left, variance};
    use crate::trial::streams;

    /// s(x, t, y): with a condition the score of N(1, ½), without one that of N(0, 1), in one dimension.
    #[derive(Debug)]
    struct Known;

    impl Denoiser for Known {
        fn run(&self, _: &Network, inputs: &Tensor, noise: &Tensor) -> Result<Tensor, LabError> {
            let t = (8.0 * noise.double_value(&[0])).exp().ln_1p();
            let x = inputs.narrow(1, 0, 1);
            let score = match inputs.size()[1] {
                1 => -x,
                _ => (x - left(t)) / -(0.5 * left(t).powi(2) + variance(t)),
            };
            Ok(score * -variance(t).sqrt())
        }
    }

    fn sampler(lead: Lead, asked: Asked) -> ScoreSampler {
        let span = Span { early: 1e-3, horizon: 8.0 };
        ScoreSampler { span, output: Output::Noise, asked, lead, evaluations: 20 }
    }

    fn weight(size: f64) -> Weight {
        Weight { size, between: [0.0, 1.0] }
    }

    fn points(columns: usize) -> (Network, Tensor) {
        let shape = Shape { axes: 2, columns, width: 16, outputs: 2, rank: None };
        let network = given(shape, &streams(), Device::Cpu).unwrap();
        if let Some(weight) = network.parameters.iter().find(|p| p.name == "condition.weight") {
            let ramp = Tensor::arange(weight.tensor.numel() as i64, (Kind::Float, Device::Cpu));
            let waves = ramp.sin().view_as(&weight.tensor);
            tch::no_grad(|| weight.tensor.shallow_clone().copy_(&waves));
        }
        let like = Tensor::zeros([6, 2], (Kind::Float, Device::Cpu));
        (network, crate::diffusion::noise_like(&like, &mut streams().generator("noise")).unwrap())
    }

    fn drawn(
        sampler: &ScoreSampler,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
    ) -> Vec<f32> {
        let mut random = streams().generator("evaluation");
        let found = tch::no_grad(|| sampler.sample(network, noise, evaluations, &mut random));
        values(&found.unwrap()).unwrap()
    }

    #[test]
    fn the_guided_score_of_two_normals_is_that_of_the_tilted_density_as_time_goes_to_nothing() {
        // p(x|y)²/p(x) of N(1, ½) and N(0, 1) is N(4/3, 1/3); samples need not follow it, scores at t → 0 do.
        let network = Network::new(vec![], vec![], Body::Denoiser(Arc::new(Known)));
        let x = Tensor::from_slice(&[-0.4_f32, 0.3, 1.1, 2.0]).view([4, 1]);
        let sampler = sampler(Lead::Free(weight(1.0)), Asked::Row(vec![1.0]));
        let condition = sampler.asked.columns(4, Device::Cpu).unwrap();
        let found = sampler.followed(&network, &x, [1e-5, 1.0], condition.as_ref(), None).unwrap();
        let expected = (&x - 4.0 / 3.0) * -3.0;
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off < 2e-3, "{off}");
    }

    #[test]
    fn no_weight_is_the_conditional_and_minus_one_the_unconditional_sampler_bit_for_bit() {
        let (network, noise) = points(3);
        let free = |size| sampler(Lead::Free(weight(size)), Asked::EachClass(3));
        let given = sampler(Lead::Condition, Asked::EachClass(3));
        let without = sampler(Lead::Condition, Asked::Nothing);
        // A guided step takes two evaluations.
        let [given, without] = [given, without].map(|s| drawn(&s, &network, &noise, 10));
        assert_ne!(given, without);
        assert_eq!(drawn(&free(0.0), &network, &noise, 20), given);
        assert_eq!(drawn(&free(-1.0), &network, &noise, 20), without);
        assert_ne!(drawn(&free(2.0), &network, &noise, 20), given);
    }

    #[test]
    fn a_weight_counts_between_its_times_alone() {
        let (network, noise) = points(3);
        let within = |between| {
            let lead = Lead::Free(Weight { size: 2.0, between });
            drawn(&sampler(lead, Asked::EachClass(3)), &network, &noise, 20)
        };
        let (all, early, never) = (within([0.0, 1.0]), within([0.0, 0.4]), within([1.0, 1.0]));
        assert!(all != early && early != never);
        let given = sampler(Lead::Condition, Asked::EachClass(3));
        assert_eq!(never, drawn(&given, &network, &noise, 10));
    }

    #[test]
    fn a_classifier_leads_up_what_it_says_of_the_class() {
        let (network, noise) = points(0);
        let shape = Shape { axes: 2, columns: 0, width: 16, outputs: 3, rank: None };
        let classifier = given(shape, &streams(), Device::Cpu).unwrap();
        let classes = Tensor::from_slice(&turns(6, 3));
        let gradient = towards(&classifier, &noise, 0.2, &classes).unwrap();
        let said = |x: &Tensor| {
            let logits =
                outputs(&classifier, x, &[0.2], None).unwrap().log_softmax(-1, Kind::Float);
            logits.gather(1, &classes.view([-1, 1]), false).sum(Kind::Double).double_value(&[])
        };
        let step = 1e-2;
        let climbed = said(&(&noise + &gradient * step)) - said(&noise);
        let expected = step * gradient.square().sum(Kind::Double).double_value(&[]);
        assert!((climbed / expected - 1.0).abs() < 0.1, "{climbed} {expected}");

        let beside = Beside::default();
        let led = |size| {
            let lead = Lead::Classifier(weight(size), Rc::clone(&beside));
            drawn(&sampler(lead, Asked::EachClass(3)), &network, &noise, 20)
        };
        beside.set(classifier).unwrap();
        let plain = drawn(&sampler(Lead::Condition, Asked::Nothing), &network, &noise, 10);
        assert_eq!(led(0.0), plain);
        assert_ne!(led(3.0), plain);
    }

    #[test]
    fn classes_take_turns_or_one_is_asked_of_all() {
        assert_eq!(turns(5, 3), [0, 1, 2, 0, 1]);
        assert_eq!(Asked::Class(2, 3).classes(3).unwrap(), [2, 2, 2]);
        let columns = Asked::Class(2, 3).columns(1, Device::Cpu).unwrap().unwrap();
        assert_eq!(values(&columns).unwrap(), [0.0, 0.0, 1.0]);
        assert!(Asked::Nothing.columns(4, Device::Cpu).unwrap().is_none());
    }
}

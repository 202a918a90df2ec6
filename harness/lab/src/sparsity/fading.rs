//! How N:M masks fade in over a run, and the network that is seen through them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ledger::choice;
use ledger::streams::Streams;
use serde_json::json;
use tch::Tensor;

use super::n_m::{Pattern, faded};
use crate::LabError;
use crate::kernels::weights::subtract;
use crate::network::{Network, Parameter};
use crate::seat::{Facts, Gradients, Look, Looks, Parametrisation, StepInfo};
use crate::state::State;

choice! {
    /// How dropped weights fade.
    pub enum Mode {
        /// At once.
        Ste = "ste",
        /// At once, and decaying.
        SrSte = "sr-ste",
        /// By a factor that falls exponentially.
        MdgfExp = "mdgf-exp",
        /// By a factor that falls linearly.
        MdgfLinear = "mdgf-linear",
        /// More of each group.
        SdgfStepwise = "sdgf-stepwise",
        /// In smaller and smaller groups.
        SdgfGeometric = "sdgf-geometric",
        /// Never.
        Dense = "dense",
    }
}

/// What is seen: dropped weights times a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// Which weights stay.
    pub pattern: Pattern,
    /// β, what the others are multiplied by.
    pub factor: f64,
}

/// The course of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Fading {
    /// How dropped weights fade.
    pub mode: Mode,
    /// What it comes to.
    pub pattern: Pattern,
    /// Decay of β per step.
    pub eta: f64,
    /// Share of the run that is dense, at its start.
    pub dense_head: f64,
    /// Share of the run under the plain pattern, at its end; with the head at most 1.
    pub tail: f64,
}

impl Fading {
    /// The patterns that take turns between head and tail, in equal parts; `None` where M/N is no power
    /// of two and the mode asks for it.
    #[must_use]
    pub fn patterns(&self) -> Option<Vec<Pattern>> {
        match self.mode {
            Mode::SdgfStepwise => self.pattern.stepwise(),
            Mode::SdgfGeometric => Some(self.pattern.geometric()),
            _ => Some(vec![self.pattern]),
        }
    }

    /// What step `step` of `total` sees; all weights as they are where `None`.
    #[must_use]
    pub fn at(&self, step: u64, total: u64) -> Option<Sight> {
        let head = (self.dense_head * total as f64) as u64;
        let tail = total - (self.tail * total as f64) as u64;
        let t = step.checked_sub(head)?;
        let seen = |pattern, factor| Some(Sight { pattern, factor });
        match self.mode {
            Mode::Dense => None,
            Mode::MdgfExp if step < tail => seen(self.pattern, (-self.eta * t as f64).exp()),
            Mode::MdgfLinear if step < tail => {
                seen(self.pattern, (1.0 - self.eta * t as f64).max(0.0))
            }
            Mode::SdgfStepwise | Mode::SdgfGeometric if step < tail => {
                let patterns = self.patterns()?;
                let frame = t * patterns.len() as u64 / (tail - head);
                seen(*patterns.get(usize::try_from(frame).ok()?)?, 0.0)
            }
            _ => seen(self.pattern, 0.0),
        }
    }
}

/// `trained` as it is seen, its weights at `sparse` through `sight`. Gradients by what is seen are those by what is
/// trained.
///
/// # Errors
/// When M does not divide the inputs of one of them.
pub fn see(trained: &Network, sparse: &[usize], sight: Option<Sight>) -> Result<Network, LabError> {
    Ok(look(trained, sparse, sight, false)?.0)
}

/// [`see`], and where it is asked for (`aside`) what was added to each weight of `sparse` that is not seen as it is:
/// 0 where it stays, (β − 1)·w elsewhere.
fn look(
    trained: &Network,
    sparse: &[usize],
    sight: Option<Sight>,
    aside: bool,
) -> Result<(Network, Vec<Tensor>), LabError> {
    let plain = trained.parameters.iter().map(|parameter| {
        let tensor = parameter.tensor.shallow_clone();
        Parameter { name: parameter.name.clone(), tensor, ..*parameter }
    });
    let mut seen: Vec<_> = plain.collect();
    let mut short = Vec::new();
    if let Some(Sight { pattern, factor }) = sight.filter(|sight| sight.factor < 1.0) {
        for &index in sparse {
            let (tensor, added) = faded(trained.at(index), pattern, factor, aside)?;
            seen[index].tensor = tensor;
            short.extend(added);
        }
    }
    Ok((trained.over(seen), short))
}

/// The seat of a network that is seen through masks: the masks are those of the weights of each step.
#[derive(Debug)]
pub struct Masked {
    fading: Fading,
    lambda: f64,
    /// Indices and names of the weights that are made sparse.
    sparse: Rc<[usize]>,
    names: Vec<String>,
    /// What the last step saw.
    last: Rc<Cell<Option<Sight>>>,
    /// What it added to each of these weights, (β − 1)(1 − m) ⊙ w; of `sr-ste` alone, which decays by it.
    short: RefCell<Vec<Tensor>>,
}

impl Masked {
    /// On the weights of these indices (ascending) and names; `lambda` is that of SR-STE.
    #[must_use]
    pub fn new(fading: Fading, lambda: f64, sparse: Vec<(usize, String)>) -> Self {
        let (sparse, names): (Vec<_>, _) = sparse.into_iter().unzip();
        let (sparse, last, short) = (Rc::from(sparse), Rc::default(), RefCell::default());
        Self { fading, lambda, sparse, names, last, short }
    }

    /// The network as its last step saw it, as the look `soft`.
    #[must_use]
    pub fn soft(&self) -> Soft {
        Soft { sparse: Rc::clone(&self.sparse), last: Rc::clone(&self.last) }
    }
}

impl Parametrisation for Masked {
    fn install(&mut self, _: &mut Network, _: &Streams) -> Result<(), LabError> {
        Ok(())
    }

    fn seen(&self, trained: &Network, now: Option<&StepInfo>) -> Result<Network, LabError> {
        let Some(now) = now else {
            let hard = Sight { pattern: self.fading.pattern, factor: 0.0 };
            let hard = (self.fading.mode != Mode::Dense).then_some(hard);
            return see(trained, &self.sparse, hard);
        };
        let sight = self.fading.at(now.step, now.total_steps);
        let decays = self.fading.mode == Mode::SrSte;
        let (network, short) = look(trained, &self.sparse, sight, decays)?;
        self.last.set(sight);
        self.short.replace(short);
        Ok(network)
    }

    fn amend(
        &mut self,
        _: &Network,
        gradients: &mut Gradients,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        if self.fading.mode != Mode::SrSte {
            return Ok(());
        }
        let (mut moved, mut along) = (Vec::new(), Vec::new());
        for (index, short) in self.sparse.iter().zip(self.short.get_mut()) {
            if let Ok(place) = gradients.active.binary_search(index) {
                moved.push(&gradients.tensors[place]);
                along.push(&*short);
            }
        }
        Ok(subtract(&moved, &along, self.lambda)?)
    }

    fn facts(&self) -> Facts {
        let (pattern, beta) = match self.last.get() {
            Some(Sight { pattern, factor }) => (pattern.to_string(), factor),
            None => ("none".to_owned(), 1.0),
        };
        let facts = [
            ("sparse_layers", json!(self.names)),
            ("last_pattern", json!(pattern)),
            ("last_beta", json!(beta)),
        ];
        facts.map(|(name, fact)| (name.to_owned(), fact)).into()
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        // What the last step saw is set by the next one.
        Ok(())
    }
}

/// See [`Masked::soft`].
#[derive(Debug)]
pub struct Soft {
    sparse: Rc<[usize]>,
    last: Rc<Cell<Option<Sight>>>,
}

impl Looks for Soft {
    fn looks(&self, trained: &Network, _: &Network) -> Result<Vec<Look>, LabError> {
        let network = see(trained, &self.sparse, self.last.get())?;
        Ok(vec![Look { name: "soft".to_owned(), network, recalibrate: None }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::cnn::{Shape, cnn};
    use crate::models::mlp::mlp;
    use crate::network::values;
    use crate::objectives::DefaultLoss;
    use crate::seat::Objective as _;
    use crate::sparsity::n_m::{inputs, mask, shortfall};
    use crate::trial;
    use ledger::digest::Digest;
    use std::collections::BTreeSet;
    use tch::Device;

    fn fading(mode: Mode, eta: f64) -> Fading {
        let pattern = Pattern { kept: 1, group: 8 };
        Fading { mode, pattern, eta, dense_head: 0.1, tail: 0.2 }
    }

    #[test]
    fn beta_is_that_of_the_papers_schedules() {
        let exp = Fading { dense_head: 0.0, ..fading(Mode::MdgfExp, 1e-4) };
        assert!((exp.at(10_000, 100_000).unwrap().factor - 0.367_879).abs() < 1e-6);
        let linear = Fading { dense_head: 0.0, ..fading(Mode::MdgfLinear, 1e-4) };
        let betas = [0, 2_500, 10_000, 20_000].map(|t| linear.at(t, 100_000).unwrap().factor);
        assert_eq!(betas, [1.0, 0.75, 0.0, 0.0]);
    }

    #[test]
    fn a_run_is_dense_at_its_head_plain_at_its_tail_and_has_equal_frames_between() {
        let seen = |mode, step| fading(mode, 0.1).at(step, 100);
        for mode in [Mode::Ste, Mode::MdgfExp, Mode::MdgfLinear, Mode::SdgfStepwise] {
            assert_eq!(seen(mode, 9), None);
            let plain = Sight { pattern: Pattern { kept: 1, group: 8 }, factor: 0.0 };
            assert_eq!([seen(mode, 80), seen(mode, 99)], [Some(plain); 2]);
        }
        // 70 steps in four frames: they begin at steps 10, 28, 45 and 63.
        for (mode, expected) in [
            (Mode::SdgfStepwise, ["7:8", "4:8", "2:8", "1:8"]),
            (Mode::SdgfGeometric, ["8:64", "4:32", "2:16", "1:8"]),
        ] {
            for (step, frame) in [(10, 0), (27, 0), (28, 1), (44, 1), (45, 2), (62, 2), (63, 3)] {
                let pattern = seen(mode, step).unwrap().pattern.to_string();
                assert_eq!(pattern, expected[frame], "{step}");
            }
        }
        assert_eq!(seen(Mode::Dense, 50), None);
        let all_head = Fading { dense_head: 1.0, tail: 0.0, ..fading(Mode::SdgfStepwise, 0.0) };
        assert_eq!(all_head.at(99, 100), None);
    }

    /// Gradients of a loss by the parameters of `leaves`, through the network `seen`.
    fn gradients(seen: &Network, leaves: &Network) -> Vec<Vec<f32>> {
        let batch = trial::batch(&[16]).unwrap();
        let now = trial::step_info(0, 10);
        let loss = DefaultLoss::Classes.loss(seen, &batch, &now).unwrap();
        let leaves: Vec<_> = leaves.parameters.iter().map(|p| &p.tensor).collect();
        let all = Tensor::run_backward(&[loss], &leaves, false, false);
        all.iter().map(|gradient| values(gradient).unwrap()).collect()
    }

    #[test]
    fn what_is_seen_has_beta_times_the_dropped_weights_and_its_gradient_goes_to_all_of_them() {
        let trained = mlp(&[16, 32, 4], &trial::streams(), Device::Cpu).unwrap();
        let pattern = Pattern { kept: 1, group: 8 };
        for factor in [0.0, 0.25, 0.9] {
            let seen = see(&trained, &[0, 2], Some(Sight { pattern, factor })).unwrap();
            let mask = mask(trained.at(2), pattern).unwrap();
            let expected = trained.at(2) * (&mask + factor * (1.0 - &mask));
            let error: Tensor = seen.at(2) - expected;
            let error = error.abs().max().double_value(&[]);
            assert!(error <= if factor == 0.0 { 0.0 } else { 3e-8 }, "{error}");
            // Biases too have a gradient, and dropped weights the one of what is seen.
            let through = gradients(&seen, &trained);
            let leaves = seen.duplicate();
            assert_eq!(through, gradients(&leaves, &leaves));
            assert!(through.iter().all(|gradient| gradient.iter().any(|g| *g != 0.0)));
            let kept = values(&mask).unwrap();
            assert!(through[2].iter().zip(kept).any(|(g, kept)| kept == 0.0 && *g != 0.0));
        }
        let whole = [None, Some(Sight { pattern, factor: 1.0 })];
        for sight in whole {
            let seen = see(&trained, &[0, 2], sight).unwrap();
            assert_eq!(seen.digest().unwrap(), trained.digest().unwrap());
        }
    }

    /// The gradient of a step through masks of 2:4 where the loss has none.
    fn amended(mode: Mode, network: &Network) -> Vec<Tensor> {
        let pattern = Pattern { kept: 2, group: 4 };
        let sparse = vec![(0, "fc1.weight".to_owned()), (2, "fc2.weight".to_owned())];
        let fading = Fading { pattern, dense_head: 0.0, ..fading(mode, 0.0) };
        let mut rule = Masked::new(fading, 2e-4, sparse);
        let now = trial::step_info(0, 10);
        let _guard = tch::no_grad_guard();
        rule.seen(network, Some(&now)).unwrap();
        let tensors = network.parameters.iter().map(|p| p.tensor.zeros_like()).collect();
        let mut gradients = Gradients { active: (0..4).collect(), tensors };
        rule.amend(network, &mut gradients, &now).unwrap();
        gradients.tensors
    }

    /// The weights after some steps along gradients through the mask, by loops or by libtorch's operations alone.
    fn after_steps(mode: Mode, network: &Network, shape: &[i64], by_operations: bool) -> Digest {
        let sparse: Vec<_> = super::super::weights(&network.parameters)
            .filter(|(_, p)| inputs(&p.tensor).is_multiple_of(32))
            .map(|(index, parameter)| (index, parameter.name.clone()))
            .collect();
        assert!(sparse.len() > 1);
        let pattern = Pattern { kept: 1, group: 4 };
        let fading = Fading { mode, pattern, eta: 0.2, dense_head: 0.1, tail: 0.2 };
        let (trained, batch, lambda) = (network.duplicate(), trial::batch(shape).unwrap(), 0.3);
        let mut rule = Masked::new(fading.clone(), lambda, sparse.clone());
        let mut shortfalls = Vec::new();
        for step in 0..20 {
            let now = trial::step_info(step, 20);
            let seen = if by_operations {
                let mut seen = see(&trained, &[], None).unwrap();
                shortfalls.clear();
                let sight = fading.at(step, 20).filter(|sight| sight.factor < 1.0);
                for ((index, _), Sight { pattern, factor }) in
                    sparse.iter().zip(sight.iter().cycle())
                {
                    let short = shortfall(trained.at(*index), *pattern, *factor).unwrap();
                    seen.parameters[*index].tensor = trained.at(*index) + &short;
                    shortfalls.push((*index, short));
                }
                seen
            } else {
                rule.seen(&trained, Some(&now)).unwrap()
            };
            let loss = DefaultLoss::Classes.loss(&seen, &batch, &now).unwrap();
            let leaves: Vec<_> = trained.parameters.iter().map(|p| &p.tensor).collect();
            let tensors = Tensor::run_backward(&[loss], &leaves, false, false);
            let mut gradients = Gradients { active: (0..tensors.len()).collect(), tensors };
            let _guard = tch::no_grad_guard();
            if !by_operations {
                rule.amend(&trained, &mut gradients, &now).unwrap();
            } else if mode == Mode::SrSte {
                for (index, short) in &shortfalls {
                    let _ = gradients.tensors[*index].f_sub_(&(short * lambda)).unwrap();
                }
            }
            for (leaf, gradient) in leaves.into_iter().zip(&gradients.tensors) {
                let _ = leaf.shallow_clone().f_sub_(&(gradient * 0.5)).unwrap();
            }
        }
        trained.digest().unwrap()
    }

    #[test]
    fn trained_weights_are_those_by_the_operations_bit_for_bit_in_every_mode() {
        let layers = mlp(&[32, 64, 64, 4], &trial::streams(), Device::Cpu).unwrap();
        let shape = Shape { channels: 8, side: 8, widths: [32; 3], classes: 4, norm: false };
        let filters = cnn(shape, &trial::streams(), Device::Cpu).unwrap();
        for (network, shape) in [(layers, &[32][..]), (filters, &[8, 8, 8][..])] {
            let mut digests = BTreeSet::new();
            for mode in [
                Mode::Ste,
                Mode::SrSte,
                Mode::MdgfExp,
                Mode::MdgfLinear,
                Mode::SdgfStepwise,
                Mode::SdgfGeometric,
                Mode::Dense,
            ] {
                let [by_loops, by_operations] =
                    [false, true].map(|which| after_steps(mode, &network, shape, which));
                assert_eq!(by_loops, by_operations, "{mode:?}");
                digests.insert(by_loops);
            }
            assert_eq!(digests.len(), 7, "every mode trains another network");
        }
    }

    #[test]
    fn sr_ste_adds_lambda_times_the_dropped_weights_to_the_gradient_and_ste_nothing() {
        let network = mlp(&[16, 32, 4], &trial::streams(), Device::Cpu).unwrap();
        for (index, gradient) in amended(Mode::SrSte, &network).iter().enumerate() {
            let weight = network.at(index);
            let expected = match index {
                0 | 2 => {
                    let mask = mask(weight, Pattern { kept: 2, group: 4 }).unwrap();
                    (1.0 - mask) * weight * 2e-4
                }
                _ => weight.zeros_like(),
            };
            assert_eq!(values(gradient).unwrap(), values(&expected).unwrap(), "{index}");
        }
        let still = amended(Mode::Ste, &network);
        assert!(still.iter().all(|gradient| gradient.count_nonzero(None) == 0.into()));
    }
}

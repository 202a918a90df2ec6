//! Optimisation as conditional generation: a reward is fitted to what is labelled, says what the rest is worth, and
//! samples are asked to be worth much (arXiv:2404.07771, after Yuan et al., arXiv:2307.07055).

use std::cell::OnceCell;
use std::rc::Rc;

use ledger::settings::Values;
use ledger::streams::{self, Streams};
use ledger::{choice, order};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use super::guide::{Asked, Lead, ScoreSampler};
use super::matching::{Matching, ScoreSettings, Told};
use crate::LabError;
use crate::network::Network;
use crate::seat::{Batch, Costs, Facts, Objective, Sampler, StepInfo};
use crate::self_made::SelfMade;
use crate::split::Split;
use crate::state::State;

/// r̂(x) = w·x + b.
#[derive(Debug)]
pub struct Ridge {
    /// w, D × 1.
    weights: Tensor,
    bias: f64,
    /// Mean and deviation of what it says, noise included, of all examples.
    scale: [f64; 2],
}

impl Ridge {
    /// The least squares of centred x and y with penalty `penalty`·‖w‖², in double precision.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn fit(x: &Tensor, y: &Tensor, penalty: f64) -> Result<Self, LabError> {
        let wide = |tensor: &Tensor| tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double);
        let (x, y) = (wide(x)?, wide(y)?.f_view([-1, 1])?);
        let middle = x.f_mean_dim([0].as_slice(), true, Kind::Double)?;
        let mean = y.f_mean(Kind::Double)?.f_double_value(&[])?;
        let centred = x.f_sub(&middle)?;
        let across = centred.f_transpose(0, 1)?;
        let (_, axes) = x.size2()?;
        let penalty = Tensor::f_eye(axes, (Kind::Double, Device::Cpu))?.f_mul_scalar(penalty)?;
        let square = across.f_matmul(&centred)?.f_add(&penalty)?;
        let right = across.f_matmul(&y.f_sub_scalar(mean)?)?;
        let weights = Tensor::f_linalg_solve(&square, &right, true)?;
        let bias = mean - middle.f_matmul(&weights)?.f_double_value(&[0, 0])?;
        let weights = weights.f_to_kind(Kind::Float)?;
        Ok(Self { weights, bias, scale: [0.0, 1.0] })
    }

    /// What each row of x, B × D, is worth; shape B.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn of(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let weights = self.weights.f_to_device(x.device())?;
        x.f_matmul(&weights)?.f_view([-1])?.f_add_scalar(self.bias)
    }
}

/// A reward that is found by the sampler once it is fitted.
pub type Fitted = Rc<OnceCell<Ridge>>;

choice! {
    /// How samples of a high reward are sought.
    pub enum Search {
        /// As samples of the condition ŷ = a.
        Condition = "condition",
        /// As the best by r̂ of several samples without a condition.
        BestOf = "best-of",
        /// As samples without a condition, moved along the gradient of r̂ until it says a.
        Ascent = "ascent",
    }
}

/// What is sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// How.
    pub search: Search,
    /// a, in standard deviations of ŷ above its mean.
    pub target: f64,
    /// Samples that the best is taken of.
    pub candidates: u32,
}

/// Score matching of (x, ŷ).
#[derive(Debug)]
pub struct Directed {
    matching: Matching,
    labelled: u32,
    penalty: f64,
    noise: f64,
    streams: Streams,
    fitted: Fitted,
    made: Vec<SelfMade>,
}

impl Directed {
    /// The reward is fitted to the first `labelled` training examples; ν is `noise`.
    #[must_use]
    pub fn new(
        settings: &ScoreSettings,
        drop: f64,
        labelled: u32,
        [penalty, noise]: [f64; 2],
        streams: &Streams,
    ) -> (Self, Fitted) {
        let fitted = Fitted::default();
        let matching = Matching::new(settings, Told::Nothing, drop, streams);
        let (streams, made) = (streams.clone(), Vec::new());
        let place = Rc::clone(&fitted);
        (Self { matching, labelled, penalty, noise, streams, fitted: place, made }, fitted)
    }
}

impl Objective for Directed {
    fn start(&mut self, _: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let (x, y) = train.rows(0, i64::from(self.labelled))?;
        let mut ridge = Ridge::fit(&x, &y, self.penalty)?;
        let (all, _) = train.rows(0, train.len())?;
        let seed = SelfMade::seed(&self.streams, "pseudo-labels", 0);
        let count = usize::try_from(train.len()).unwrap_or(0);
        let noise = streams::normal(&mut order::generator(&seed), count);
        let noise = Tensor::f_from_slice(&noise)?.f_mul_scalar(self.noise)?;
        let labels = ridge.of(&all)?.f_add(&noise.f_to_device(all.device())?)?;
        let mean = labels.f_mean(Kind::Double)?.f_double_value(&[])?;
        let deviation = labels.f_var(true)?.f_double_value(&[])?.sqrt().max(1e-12);
        ridge.scale = [mean, deviation];
        let settings = Values::from([
            ("labelled".to_owned(), self.labelled.into()),
            ("penalty".to_owned(), self.penalty.into()),
            ("noise".to_owned(), self.noise.into()),
        ]);
        // What made them is the fitted reward.
        let maker = Network::new(vec![], vec![ridge.weights.copy()], crate::network::Body::Table);
        let figures = [count as u64, 0];
        let contents = [&labels];
        let maker = maker.digest()?;
        self.made =
            vec![SelfMade::new("pseudo-labels", maker, &settings, seed, figures, &contents)?];
        let scaled = labels.f_sub_scalar(mean)?.f_div_scalar(deviation)?;
        self.matching.told = Told::Numbers(scaled);
        // A second start would be of another run.
        let _ = self.fitted.set(ridge);
        Ok(None)
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.made.iter_mut().for_each(|made| made.used(now.step));
        self.matching.losses(network, batch, now)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn costs(&self) -> Costs {
        self.matching.costs()
    }

    fn facts(&self) -> Facts {
        let mut facts = self.matching.facts();
        facts.extend(SelfMade::facts(&self.made));
        if let Some(ridge) = self.fitted.get() {
            facts.insert("pseudo_labels".to_owned(), ridge.scale.to_vec().into());
        }
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.matching.state(state)?;
        state.told("made", &mut self.made)
    }
}

/// Samples of a high reward.
#[derive(Debug)]
pub struct Directing {
    /// What is sought.
    pub wanted: Wanted,
    /// How samples are drawn.
    pub settings: ScoreSettings,
    /// What was fitted.
    pub fitted: Fitted,
}

impl Directing {
    fn draw(
        &self,
        asked: Asked,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let ScoreSettings { output, .. } = self.settings;
        let span = self.settings.span();
        let sampler = ScoreSampler { span, output, asked, lead: Lead::Condition, evaluations };
        sampler.sample(network, noise, evaluations, random)
    }

    /// Of each row's candidates the one that r̂ says is worth most.
    fn best(
        &self,
        ridge: &Ridge,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let mut best: Option<(Tensor, Tensor)> = None;
        for candidate in 0..self.wanted.candidates.max(1) {
            let noise = match candidate {
                0 => noise.shallow_clone(),
                _ => crate::diffusion::noise_like(noise, random)?,
            };
            let x = self.draw(Asked::Nothing, network, &noise, evaluations, random)?;
            let worth = ridge.of(&x)?;
            best = Some(match best {
                None => (x, worth),
                Some((kept, so_far)) => {
                    let better = worth.f_gt_tensor(&so_far)?;
                    let rows = better.f_view([-1, 1])?;
                    (x.f_where_self(&rows, &kept)?, worth.f_where_self(&better, &so_far)?)
                }
            });
        }
        let none = || LabError::Method("the best of no candidate".to_owned());
        best.map(|(x, _)| x).ok_or_else(none)
    }
}

impl Sampler for Directing {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let Wanted { search, target, candidates } = self.wanted;
        let Some(ridge) = self.fitted.get() else {
            // Before the first step nothing is fitted, and nothing can be asked.
            return self.draw(Asked::Nothing, network, noise, evaluations, random);
        };
        match search {
            Search::Condition => {
                let asked = Asked::Row(vec![target as f32, 1.0]);
                self.draw(asked, network, noise, evaluations, random)
            }
            Search::BestOf => {
                let each = (evaluations / candidates.max(1)).max(1);
                self.best(ridge, network, noise, each, random)
            }
            Search::Ascent => {
                let x = self.draw(Asked::Nothing, network, noise, evaluations, random)?;
                let [mean, deviation] = ridge.scale;
                let short = ridge.of(&x)?.f_neg()?.f_add_scalar(mean + target * deviation)?;
                let gradient = ridge.weights.f_to_device(x.device())?.f_transpose(0, 1)?;
                let length = gradient.f_square()?.f_sum(Kind::Float)?;
                let along = short.f_div(&length)?.f_view([-1, 1])?.f_matmul(&gradient)?;
                Ok(x.f_add(&along)?)
            }
        }
    }

    fn evaluations(&self) -> u32 {
        self.settings.evaluations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::given::{Shape, given};
    use crate::network::values;
    use crate::trial::streams;

    fn normal(name: &str, rows: i64, axes: i64) -> Tensor {
        let like = Tensor::zeros([rows, axes], (Kind::Float, Device::Cpu));
        crate::diffusion::noise_like(&like, &mut streams().generator(name)).unwrap()
    }

    /// 2,000 points in four dimensions, y = x₀ − 2x₂ + 0.5 + N(0, 0.1²).
    fn labelled() -> Split {
        let x = normal("points", 2_000, 4);
        let noise = normal("errors", 2_000, 1).view([-1]) * 0.1;
        let y = x.select(1, 0) - x.select(1, 2) * 2.0 + 0.5 + noise;
        Split { stored: x, labels: y, groups: vec![] }
    }

    fn network() -> Network {
        let shape = Shape { axes: 4, columns: 2, width: 8, outputs: 4, rank: None };
        given(shape, &streams(), Device::Cpu).unwrap()
    }

    fn started() -> (Directed, Fitted) {
        let settings = ScoreSettings::default();
        let (mut directed, fitted) = Directed::new(&settings, 0.0, 500, [1.0, 0.1], &streams());
        directed.start(&network(), &labelled()).unwrap();
        (directed, fitted)
    }

    fn drawn(search: Search, target: f64) -> (Tensor, Fitted) {
        let (_, fitted) = started();
        let settings = ScoreSettings { evaluations: 8, ..ScoreSettings::default() };
        let wanted = Wanted { search, target, candidates: 4 };
        let directing = Directing { wanted, settings, fitted: Rc::clone(&fitted) };
        let mut random = streams().generator("evaluation");
        let noise = normal("noise", 64, 4);
        (directing.sample(&network(), &noise, 8, &mut random).unwrap(), fitted)
    }

    #[test]
    fn the_reward_is_that_of_the_labels() {
        let Split { stored, labels, .. } = labelled();
        let ridge = Ridge::fit(&stored, &labels, 1.0).unwrap();
        for (found, expected) in values(&ridge.weights).unwrap().iter().zip([1.0, 0.0, -2.0, 0.0]) {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
        assert!((ridge.bias - 0.5).abs() < 0.02, "{}", ridge.bias);
        // A penalty draws it towards nothing.
        let drawn = Ridge::fit(&stored, &labels, 1e6).unwrap();
        assert!(values(&drawn.weights).unwrap().iter().all(|w| w.abs() < 0.01));
    }

    #[test]
    fn all_examples_get_labels_of_the_fitted_reward_with_noise_and_the_record_names_them() {
        let (directed, fitted) = started();
        let Told::Numbers(labels) = &directed.matching.told else { panic!("no labels") };
        assert_eq!(labels.size(), [2_000]);
        let [mean, deviation] = fitted.get().unwrap().scale;
        // Var(x₀ − 2x₂) + ν².
        assert!((deviation - 5.01_f64.sqrt()).abs() < 0.1 && (mean - 0.5).abs() < 0.16);
        let said = fitted.get().unwrap().of(&labelled().stored).unwrap();
        let off = labels * deviation + mean - said;
        let spread = off.var(true).double_value(&[]).sqrt();
        assert!((spread - 0.1).abs() < 0.006, "{spread}");
        let facts = directed.facts();
        assert_eq!(facts["self_made"][0]["count"], 2_000);
    }

    #[test]
    fn ascent_comes_to_the_target_along_the_gradient_and_the_best_is_better_than_the_first() {
        let reward = |(x, fitted): &(Tensor, Fitted)| fitted.get().unwrap().of(x).unwrap();
        let climbed = drawn(Search::Ascent, 3.0);
        let [mean, deviation] = climbed.1.get().unwrap().scale;
        let off = (reward(&climbed) - (mean + 3.0 * deviation)).abs().max().double_value(&[]);
        assert!(off < 1e-3, "{off}");
        let start = reward(&drawn(Search::Condition, 0.0)).mean(Kind::Double).double_value(&[]);
        let best = reward(&drawn(Search::BestOf, 0.0)).mean(Kind::Double).double_value(&[]);
        assert!(best > start, "{best} {start}");
    }
}

//! # ring-steer
//!
//! Points of the plane from eight equal normals on a circle of radius 1.4, deviation 0.1 (4,096 train, 2,048 validation,
//! 2,048 test; no download), of which three that no two neighbours are, the first, fourth and seventh, earn a reward:
//! exp(−d²/(2·0.25²)) at a distance d from the nearest of their centres, so that it is sparse. The network is a
//! perceptron of three hidden layers of 128 SiLU units with 32 Fourier features of the noise level.
//!
//! Every look draws as many samples as the split has points, from noise that is the same for every method. `reward` is
//! the mean of what they earn, 0.32 for real points; `good_entropy` the entropy of those that lie within three deviations
//! of a rewarded centre over the three, 1 where all are equally frequent; `even_reward` three times what is earned
//! at that one of the three where least is, so that it is the reward where all are alike and nothing where one is
//! forgotten; `on_manifold` the share of samples within three deviations of any centre; `sw2` the sliced Wasserstein-2
//! distance to real points, which steering gives up.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::Arc;

use data::sequences::{Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::Range;
use ledger::streams::normal_f64;
use ledger::{order, settings};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::shared::asked::Ground;
use crate::shared::generated;
use crate::shared::settings::scaled;
use lab::LabError;
use lab::models::mlp2d::mlp2d;
use lab::network::values;
use lab::offers;
use lab::side_info::{Generation, Reward, SideInfo};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::metrics::modes::normalised_entropy;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the hidden width 128.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
    }
}

const MODES: u32 = 8;
const REWARDED: [u32; 3] = [0, 3, 6];
const RADIUS: f64 = 1.4;
const DEVIATION: f64 = 0.1;
/// Deviation of what is earned around a centre.
const REACH: f64 = 0.25;
const SIZES: [u32; 3] = [4_096, 2_048, 2_048];

const fn share(name: &'static str) -> MetricInfo {
    MetricInfo { name, higher_is_better: true, best: Some(1.0), chance: None }
}

const METRICS: &[MetricInfo] = &[
    share("reward"),
    share("even_reward"),
    share("good_entropy"),
    share("on_manifold"),
    MetricInfo::error("sw2"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "eight normals in the plane, three of which earn a reward, MLP 3×128",
    data: DataName::Generated,
    offers: &[offers::DENOISING, offers::REWARD],
    metrics: METRICS,
    // What every arm is trained for. `even_reward` rises and falls again where a policy forgets ways to earn, and would say
    // of an arm that earns nearly all there is that it never began.
    metric: "reward",
    target: 0.9,
    target_origin: "assumed",
    budget_epochs: 3.125,
    evaluate_every_epochs: 0.78125,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, _, device| load(device),
    network: |values, _, streams, device| {
        let Settings { width } = Settings::read(values)?;
        Ok(mlp2d(2, scaled(128, width), streams, device)?)
    },
    ..Workload::BLANK
};

fn centre(mode: u32) -> [f64; 2] {
    let angle = TAU * f64::from(mode) / f64::from(MODES);
    [RADIUS * angle.cos(), RADIUS * angle.sin()]
}

fn squared(point: [f64; 2], mode: u32) -> f64 {
    let [x, y] = centre(mode);
    (point[0] - x).powi(2) + (point[1] - y).powi(2)
}

/// Which of the rewarded centres is nearest, and what a point earns there.
fn earned(point: [f64; 2]) -> (usize, f64) {
    let distances = REWARDED.map(|mode| squared(point, mode));
    let nearest = |best: usize, place: usize| {
        if distances[place] < distances[best] { place } else { best }
    };
    let place = (0..REWARDED.len()).fold(0, nearest);
    (place, (-distances[place] / (2.0 * REACH * REACH)).exp())
}

fn pairs(samples: &Tensor) -> Result<Vec<[f64; 2]>, TchError> {
    let flat = values(samples)?;
    Ok(flat.as_chunks::<2>().0.iter().map(|pair| pair.map(f64::from)).collect())
}

/// What samples earn.
#[derive(Debug)]
struct Sparse;

impl Reward for Sparse {
    fn of(&self, samples: &Tensor) -> Result<Vec<f64>, LabError> {
        Ok(pairs(samples)?.into_iter().map(|point| earned(point).1).collect())
    }

    fn differentiable(&self, samples: &Tensor) -> Result<Option<Tensor>, LabError> {
        let centres: Vec<f32> =
            REWARDED.iter().flat_map(|mode| centre(*mode).map(|x| x as f32)).collect();
        let centres = Tensor::f_from_slice(&centres)?.f_view([1, -1, 2])?;
        let apart = samples.f_unsqueeze(1)?.f_sub(&centres.f_to_device(samples.device())?)?;
        let squares = apart.f_square()?.f_sum_dim_intlist(2, false, Kind::Float)?;
        let nearest = squares.f_amin([1_i64].as_slice(), false)?;
        Ok(Some(nearest.f_mul_scalar(-0.5 / (REACH * REACH))?.f_exp()?))
    }
}

fn draw(random: &mut Pcg64) -> [f32; 2] {
    let mode = order::bounded(random, u64::from(MODES)) as u32;
    centre(mode).map(|middle| {
        let exact = middle + DEVIATION * normal_f64(random);
        // Ids must not hang on the last digit of a platform's sine.
        ((exact * 16_384.0).round() / 16_384.0) as f32
    })
}

fn id(point: &[f32; 2]) -> Digest {
    let [x, y] = point.map(f32::to_le_bytes);
    Digest::of_parts(&[b"palimpsest/ring-steer/v1", &x, &y])
}

fn split(points: &[[f32; 2]], device: Device) -> Result<Split, TchError> {
    let stored = Tensor::f_from_slice(&points.concat())?.f_view([-1, 2])?;
    let labels = Tensor::f_zeros([points.len() as i64], (Kind::Int64, device))?;
    Ok(Split { stored: stored.f_to_device(device)?, labels, groups: Vec::new() })
}

fn load(device: Device) -> Result<Ready, LabError> {
    let drawn = |part: &[u8]| {
        order::generator(&Digest::of_parts(&[b"palimpsest/ring-steer points/v1", part]))
    };
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let mut random = drawn(b"all");
    let parts = distinct(sizes, |_: Place| draw(&mut random), id)?;
    let (splits, identity) = generated::placed(&parts, |points| split(points, device))?;
    let mut random = drawn(b"spare");
    let fresh: Vec<[f32; 2]> = (0..test).map(|_| draw(&mut random)).collect();
    let fresh = split(&fresh, device)?.stored;
    let sigma_data = (RADIUS * RADIUS / 2.0 + DEVIATION * DEVIATION).sqrt();
    let reward: Option<Arc<dyn Reward>> = Some(Arc::new(Sparse));
    let (shape, conditions) = (vec![2], None);
    let generation = Some(Generation { shape, sigma_data, fresh, conditions, reward, start: None });
    let ground = |name: &str, split: &Split| Ground::new("ring-steer", name, &split.stored);
    let grounds = [ground("validation", &splits.validation)?, ground("test", &splits.test)?];
    let side = SideInfo { generation, ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge: Box::new(Earned(grounds)) })
}

/// Judges samples by what they earn, and where.
#[derive(Debug)]
struct Earned([Ground; 2]);

impl Judge for Earned {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let [validation, test] = &self.0;
        let ground = request.judged.pick(validation, test);
        let samples = ground.draw(request)?;
        let points = pairs(&samples)?;
        let n = points.len().max(1) as f64;
        let (mut sums, mut counts, mut on) = ([0.0; 3], [0.0; 3], 0.0);
        let within = |point: [f64; 2], mode: u32| squared(point, mode) <= (3.0 * DEVIATION).powi(2);
        for point in points {
            let (place, reward) = earned(point);
            sums[place] += reward;
            counts[place] += f64::from(u8::from(within(point, REWARDED[place])));
            on += f64::from(u8::from((0..MODES).any(|mode| within(point, mode))));
        }
        let least = sums.iter().copied().fold(f64::INFINITY, f64::min);
        let found = [
            ("even_reward", 3.0 * least / n),
            ("reward", sums.iter().sum::<f64>() / n),
            ("good_entropy", normalised_entropy(&counts)),
            ("on_manifold", on / n),
            ("sw2", ground.sw2(&samples)?),
        ];
        Ok(found.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::Network;
    use lab::seat::Sampler;
    use ledger::settings::Values;
    use training::judge::{Judged, Model};

    /// The same points for every noise.
    #[derive(Debug)]
    struct Fixed(Tensor);

    impl Sampler for Fixed {
        fn sample(
            &self,
            _: &Network,
            _: &Tensor,
            _: u32,
            _: &mut Pcg64,
        ) -> Result<Tensor, LabError> {
            Ok(self.0.shallow_clone())
        }

        fn evaluations(&self) -> u32 {
            0
        }
    }

    /// Real points, or as many copies of some centres.
    fn judged(centres: &[u32]) -> BTreeMap<String, f64> {
        let stage = crate::fixture("ring-steer", &Values::new()).unwrap();
        let Ready { splits, side, judge, .. } = stage.ready();
        let generation = side.generation.as_ref().unwrap();
        let points: Vec<f32> = (0..SIZES[2] as usize)
            .filter_map(|row| centres.get(row % centres.len().max(1)))
            .flat_map(|mode| centre(*mode).map(|x| x as f32))
            .collect();
        let fixed = match centres {
            [] => generation.fresh.shallow_clone(),
            _ => Tensor::from_slice(&points).view([-1, 2]),
        };
        let (network, sampler) = (stage.network(1).unwrap(), Fixed(fixed));
        let model = Model { sampler: Some(&sampler), ..Model::plain(&network) };
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        judge.metrics(&request).unwrap()
    }

    #[test]
    fn real_points_earn_what_the_card_says() {
        let real = judged(&[]);
        // E exp(−d²/(2s²)) of a normal of deviation σ at its centre is s²/(s² + σ²): 0.8621, for three of eight.
        assert!((real["reward"] - 0.862_07 * 0.375).abs() < 0.04, "{real:?}");
        assert!(real["good_entropy"] > 0.99 && real["on_manifold"] > 0.98, "{real:?}");
        assert!(real["even_reward"] > 0.25 && real["even_reward"] <= real["reward"], "{real:?}");
        assert!(real["sw2"] < 0.1, "{real:?}");
    }

    #[test]
    fn what_can_be_differentiated_is_what_samples_earn_and_leads_to_the_nearest_centre() {
        let points = Tensor::from_slice(&[1.2_f32, 0.1, -0.9, 0.9, 0.0, -1.3, 0.05, 0.0]);
        let points = points.view([-1, 2]).set_requires_grad(true);
        let worth = Sparse.differentiable(&points).unwrap().unwrap();
        for (found, expected) in values(&worth).unwrap().iter().zip(Sparse.of(&points).unwrap()) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
        worth.sum(Kind::Float).backward();
        let [x, y] = [0, 1].map(|axis| points.grad().double_value(&[0, axis]));
        assert!(x > 0.0 && y < 0.0, "{x} {y}");
    }

    #[test]
    fn points_at_one_centre_earn_much_and_nothing_evenly() {
        let one = judged(&[3]);
        assert!(one["reward"] > 0.999 && one["even_reward"] < 1e-9, "{one:?}");
        assert_eq!(one["good_entropy"], 0.0);
        // 2,048 is no multiple of three.
        let all = judged(&[0, 3, 6]);
        assert!(all["reward"] > 0.999 && all["even_reward"] > 0.99, "{all:?}");
        let others = judged(&[1, 2]);
        assert!(others["reward"] < 0.02 && others["on_manifold"] == 1.0, "{others:?}");
    }
}

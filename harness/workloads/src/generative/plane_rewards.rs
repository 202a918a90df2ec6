//! # plane-rewards
//!
//! Points of an `ambient` space (16 dimensions) that lie on a plane of few (`intrinsic`, 4) through the origin, x = Au
//! with u standard normal, or in eight modes on a circle (`density: modes`, in two dimensions). A point is worth θᵀx,
//! with θ of length 1 half along the plane and half across it; of the first 2,000 training examples that is known, up
//! to noise of deviation 0.1 (22,000 train, 2,000 validation, 2,000 test; no download). The network is a perceptron
//! of three hidden layers of 128 SiLU units that takes a worth in two columns behind the coordinates, or none; with
//! `network: subspace` it looks at points through a plane that it learns.
//!
//! Every look draws as many samples as the split has points, from noise that is the same for every method. `reward`
//! is the mean of θᵀx over samples; real points have a mean of 0 and a deviation of 0.707, their 95 % quantile is
//! 1.163. `off_plane` is the samples' mean squared length across the plane, over that of real points along it
//! (`intrinsic`, whatever the samples' own length is), 0 for real points;
//! `plane_sw2` the sliced Wasserstein-2 distance of u = Aᵀx to real ones, of the same scale whatever the dimensions
//! are; `sw2` that of x. Where the ambient space is the plane, θ lies in it.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use data::sequences::{Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings::{Range, SettingError, Values};
use ledger::streams::normal_f64;
use ledger::{choice, order, settings};
use rand_pcg::Pcg64;
use tch::{Device, Kind, TchError, Tensor};

use crate::shared::asked::Ground;
use crate::shared::generated;
use crate::shared::settings::scaled;
use lab::LabError;
use lab::models::given::{Shape, given};
use lab::offers;
use lab::side_info::{Conditions, Generation, SideInfo};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

choice! {
    /// How points lie on the plane.
    pub enum Density {
        /// Standard normal.
        Normal = "normal",
        /// Eight normals on a circle, with a variance of 1 per axis in all.
        Modes = "modes",
    }
}

choice! {
    /// What the network looks at.
    pub enum Looks {
        /// Points.
        Full = "full",
        /// Their shadow on a plane of as many dimensions as theirs, which it learns.
        Subspace = "subspace",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the hidden width 128.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Coordinates of a point.
        ambient: u32 = 16, range Range::of(2.0..=256.0), from "assumed";
        /// Dimensions of the plane.
        intrinsic: u32 = 4, range Range::of(1.0..=256.0), from "assumed";
        /// How points lie on it.
        density: Density = Density::Normal, from "assumed";
        /// What the network looks at.
        network: Looks = Looks::Full, from "assumed";
        /// Training examples.
        examples: u32 = 22_000, range Range::of(16.0..=65536.0), from "assumed";
        /// How many of them have a known worth.
        labelled: u32 = 2_000, range Range::of(1.0..=65536.0), from "assumed";
        refuse Self::fits;
    }
}

impl Settings {
    fn fits(&self) -> Result<(), SettingError> {
        let Self { ambient, intrinsic, density, examples, labelled, .. } = *self;
        let joint = |reason: String| Err(SettingError::Joint(reason));
        if intrinsic > ambient {
            return joint(format!("intrinsic is {intrinsic}, above ambient, which is {ambient}"));
        }
        if density == Density::Modes && intrinsic != 2 {
            return joint(format!(
                "density \"modes\" has 2 dimensions, and intrinsic is {intrinsic}"
            ));
        }
        if labelled > examples {
            return joint(format!("labelled is {labelled}, above examples, which is {examples}"));
        }
        Ok(())
    }
}

const SIZES: [u32; 3] = [22_000, 2_000, 2_000];
/// Deviation of the noise of known worths.
const NOISE: f64 = 0.1;
/// Deviation of a mode; the circle's radius makes the variance 1 per axis.
const MODE: f64 = 0.3;
const MODES: usize = 8;

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("plane_sw2"),
    MetricInfo::error("sw2"),
    MetricInfo::error("off_plane"),
    MetricInfo { name: "reward", higher_is_better: true, best: None, chance: Some(0.0) },
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "points on a plane of a wider space, worth a linear reward, MLP 3×128",
    data: DataName::Generated,
    offers: &[offers::DENOISING, offers::REWARDS],
    metrics: METRICS,
    metric: "plane_sw2",
    target: 0.1,
    target_origin: "assumed",
    budget_epochs: 24.0,
    evaluate_every_epochs: 6.0,
    split_sizes: SIZES,
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |values, _, streams, device| {
        let Settings { width, ambient, intrinsic, network, .. } = Settings::read(values)?;
        let (axes, width) = (ambient as usize, scaled(128, width));
        let rank = (network == Looks::Subspace).then_some(intrinsic as usize);
        Ok(given(Shape { axes, columns: 2, width, outputs: axes, rank }, streams, device)?)
    },
    ..Workload::BLANK
};

/// The plane and what a point is worth.
#[derive(Debug)]
struct World {
    /// Columns of A, each of `ambient` numbers.
    plane: Vec<Vec<f64>>,
    theta: Vec<f64>,
    density: Density,
}

impl World {
    /// The same for the same numbers of dimensions.
    fn new(settings: &Settings) -> Self {
        let (ambient, intrinsic) = (settings.ambient as usize, settings.intrinsic as usize);
        let mut random = order::generator(&Digest::of_parts(&[
            b"palimpsest/plane-rewards/v1",
            &settings.ambient.to_le_bytes(),
            &settings.intrinsic.to_le_bytes(),
        ]));
        let mut plane: Vec<Vec<f64>> = Vec::new();
        // One more than the plane has, where there is room: what is across it.
        while plane.len() < (intrinsic + 1).min(ambient) {
            let mut next: Vec<f64> = (0..ambient).map(|_| normal_f64(&mut random)).collect();
            for other in &plane {
                let along = product(&next, other);
                next.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
            }
            let length = product(&next, &next).sqrt();
            // A direction that hangs on the others is drawn again.
            if length > 1e-3 {
                next.iter_mut().for_each(|x| *x /= length);
                plane.push(next);
            }
        }
        let across = plane.split_off(intrinsic).pop();
        let theta = match (plane.first(), across) {
            (Some(along), Some(across)) => {
                along.iter().zip(across).map(|(a, b)| (a + b) / 2.0_f64.sqrt()).collect()
            }
            (Some(along), None) => along.clone(),
            (None, _) => Vec::new(),
        };
        Self { plane, theta, density: settings.density }
    }

    fn draw(&self, random: &mut Pcg64) -> Point {
        let u: Vec<f64> = match self.density {
            Density::Normal => self.plane.iter().map(|_| normal_f64(random)).collect(),
            Density::Modes => {
                let mode = order::bounded(random, MODES as u64) as f64;
                let (sin, cos) = (TAU * mode / MODES as f64).sin_cos();
                let radius = (2.0 * (1.0 - MODE * MODE)).sqrt();
                [cos, sin].map(|axis| radius * axis + MODE * normal_f64(random)).to_vec()
            }
        };
        let coordinate = |axis: usize| {
            let exact: f64 = self.plane.iter().zip(&u).map(|(a, u)| a[axis] * u).sum();
            // Ids must not hang on the last digit of a platform's arithmetic.
            ((exact * 16_384.0).round() / 16_384.0) as f32
        };
        let at: Vec<f32> = (0..self.theta.len()).map(coordinate).collect();
        let worth = at.iter().zip(&self.theta).map(|(x, t)| f64::from(*x) * t).sum::<f64>();
        Point { worth: (worth + NOISE * normal_f64(random)) as f32, at }
    }

    fn matrix(&self, columns: &[Vec<f64>], device: Device) -> Result<Tensor, TchError> {
        let numbers: Vec<f32> = columns.iter().flatten().map(|x| *x as f32).collect();
        let rows = Tensor::f_from_slice(&numbers)?.f_view([-1, self.theta.len() as i64])?;
        rows.f_transpose(0, 1)?.f_contiguous()?.f_to_device(device)
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A point and what somebody says that it is worth.
#[derive(Debug, Clone)]
struct Point {
    at: Vec<f32>,
    worth: f32,
}

impl Point {
    fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.at.iter().flat_map(|x| x.to_le_bytes()).collect();
        Digest::of_parts(&[b"palimpsest/plane-rewards/v1", &bytes])
    }
}

/// Points; of those behind the first `labelled` nobody says what they are worth.
fn split(points: &[Point], labelled: usize, device: Device) -> Result<Split, TchError> {
    let axes = points.first().map_or(1, |point| point.at.len()) as i64;
    let stored: Vec<f32> = points.iter().flat_map(|point| point.at.iter().copied()).collect();
    let known = |(place, point): (usize, &Point)| if place < labelled { point.worth } else { 0.0 };
    let labels: Vec<f32> = points.iter().enumerate().map(known).collect();
    Ok(Split {
        stored: Tensor::f_from_slice(&stored)?.f_view([-1, axes])?.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        groups: Vec::new(),
    })
}

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let settings = Settings::read(values)?;
    let Settings { ambient, intrinsic, examples, labelled, .. } = settings;
    let world = World::new(&settings);
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let drawn = |part: &[u8]| {
        order::generator(&Digest::of_parts(&[b"palimpsest/plane-rewards points/v1", part]))
    };
    let mut random = drawn(b"all");
    let parts = distinct(sizes, |_: Place| world.draw(&mut random), Point::id)?;
    let place = |points: &[Point]| split(points, labelled as usize, device);
    let (splits, identity) = generated::placed(&parts, place)?;
    let mut random = drawn(b"spare");
    let fresh: Vec<Point> = (0..test).map(|_| world.draw(&mut random)).collect();
    let fresh = split(&fresh, 0, device)?.stored;
    let (shape, sigma_data) = (vec![i64::from(ambient)], f64::from(intrinsic) / f64::from(ambient));
    let conditions = Some(Conditions::Rewards { labelled });
    let (sigma_data, reward) = (sigma_data.sqrt(), None);
    let generation = Some(Generation { shape, sigma_data, fresh, conditions, reward, start: None });
    let plane = world.matrix(&world.plane, device)?;
    let theta = world.matrix(std::slice::from_ref(&world.theta), device)?;
    let grounds = |name: &str, split: &Split| -> Result<[Ground; 2], TchError> {
        let within = split.stored.f_matmul(&plane)?;
        let data = format!("plane-rewards {ambient}");
        Ok([Ground::new(&data, name, &split.stored)?, Ground::new(&data, name, &within)?])
    };
    let grounds = [grounds("validation", &splits.validation)?, grounds("test", &splits.test)?];
    let judge = Box::new(Worth { plane, theta, grounds });
    let side = SideInfo { generation, ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge })
}

/// Judges samples by what they are worth and where they lie.
#[derive(Debug)]
struct Worth {
    /// A, ambient × intrinsic.
    plane: Tensor,
    /// θ, ambient × 1.
    theta: Tensor,
    /// Of validation and test: of points, and of their places on the plane.
    grounds: [[Ground; 2]; 2],
}

impl Judge for Worth {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let [validation, test] = &self.grounds;
        let [ground, inner] = request.judged.pick(validation, test);
        let samples = ground.draw(request)?;
        let within = samples.f_matmul(&self.plane)?;
        let length = |points: &Tensor| -> Result<f64, TchError> {
            points.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])
        };
        // Points of the plane have a variance of 1 along each of its axes.
        let [rows, axes] = [samples.size2()?.0, self.plane.size2()?.1].map(|n| n.max(1) as f64);
        let off = (length(&samples)? - length(&within)?) / (rows * axes);
        let reward = samples.f_matmul(&self.theta)?.f_mean(Kind::Double)?.f_double_value(&[])?;
        let found = [
            ("plane_sw2", inner.sw2(&within)?),
            ("sw2", ground.sw2(&samples)?),
            ("off_plane", off.max(0.0)),
            ("reward", reward),
        ];
        Ok(found.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::Network;
    use lab::seat::Sampler;
    use lab::trial::with;
    use training::judge::{Judged, Model};

    /// Real points, moved so far in every coordinate.
    #[derive(Debug)]
    struct Moved(Tensor, f64);

    impl Sampler for Moved {
        fn sample(
            &self,
            _: &Network,
            _: &Tensor,
            _: u32,
            _: &mut Pcg64,
        ) -> Result<Tensor, LabError> {
            Ok(self.0.f_add_scalar(self.1)?)
        }

        fn evaluations(&self) -> u32 {
            0
        }
    }

    fn stage(settings: &Values) -> training::trial::Fixture {
        crate::fixture("plane-rewards", settings).unwrap()
    }

    fn judged(settings: &Values, moved: f64) -> BTreeMap<String, f64> {
        let stage = stage(settings);
        let Ready { splits, side, judge, .. } = stage.ready();
        let network = stage.network(1).unwrap();
        let sampler = Moved(side.generation.as_ref().unwrap().fresh.shallow_clone(), moved);
        let model = Model { sampler: Some(&sampler), ..Model::plain(&network) };
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        judge.metrics(&request).unwrap()
    }

    #[test]
    fn real_points_lie_on_the_plane_and_are_worth_what_the_card_says() {
        let real = judged(&Values::new(), 0.0);
        assert!(real["off_plane"] < 1e-6 && real["plane_sw2"] < 0.08, "{real:?}");
        assert!(real["reward"].abs() < 0.07, "{real:?}");
        let moved = judged(&Values::new(), 1.0);
        assert!(moved["off_plane"] > 0.3 && moved["sw2"] > 5.0 * real["sw2"], "{moved:?}");
        let stage = stage(&Values::new());
        let train = &stage.ready().splits.train;
        let known = train.labels.narrow(0, 0, 2_000);
        let deviation = known.var(true).double_value(&[]).sqrt();
        assert!((deviation - 0.51_f64.sqrt()).abs() < 0.035, "{deviation}");
        // Of the others nobody knows.
        assert_eq!(train.labels.narrow(0, 2_000, 20_000).abs().max().double_value(&[]), 0.0);
        let told = stage.ready().side.generation.as_ref().unwrap().sigma_data;
        let squares = train.stored.square().mean(Kind::Double).double_value(&[]);
        assert!((squares.sqrt() / told - 1.0).abs() < 0.02, "{squares} {told}");
    }

    #[test]
    fn the_direction_of_the_reward_is_half_on_and_half_off_the_plane() {
        let world = World::new(&Settings::default());
        let on: f64 = world.plane.iter().map(|a| product(a, &world.theta).powi(2)).sum();
        assert!(
            (on - 0.5).abs() < 1e-9 && (product(&world.theta, &world.theta) - 1.0).abs() < 1e-9
        );
        for (place, a) in world.plane.iter().enumerate() {
            for (other, b) in world.plane.iter().enumerate() {
                let expected = f64::from(u8::from(place == other));
                assert!((product(a, b) - expected).abs() < 1e-9);
            }
        }
        let flat = Settings { ambient: 2, intrinsic: 2, ..Settings::default() };
        let flat = World::new(&flat);
        let on: f64 = flat.plane.iter().map(|a| product(a, &flat.theta).powi(2)).sum();
        assert!((on - 1.0).abs() < 1e-9, "{on}");
    }

    #[test]
    fn modes_have_a_unit_variance_and_fewer_examples_are_the_first_of_more() {
        let with = |examples: u32| {
            with([
                ("density", "modes".into()),
                ("intrinsic", 2.into()),
                ("ambient", 32.into()),
                ("examples", examples.into()),
                ("labelled", 16.into()),
            ])
        };
        let (few, more) = (stage(&with(256)), stage(&with(512)));
        let ids = |stage: &training::trial::Fixture| stage.ready().identity.sample_ids.clone();
        assert_eq!(ids(&few), ids(&more)[..256]);
        let test = &more.ready().splits.test.stored;
        let squares = test.square().sum(Kind::Double).double_value(&[]) / 2_000.0;
        assert!((squares - 2.0).abs() < 0.1, "{squares}");
        let real = judged(&with(256), 0.0);
        assert!(real["plane_sw2"] < 0.1, "{real:?}");
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused_with_the_setting() {
        for (name, value, word) in
            [("intrinsic", 17, "above ambient"), ("labelled", 30_000, "above examples")]
        {
            let error = Settings::resolve(&with([(name, value.into())])).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let error = Settings::resolve(&with([("density", "modes".into())])).unwrap_err();
        assert!(error.to_string().contains("has 2 dimensions"), "{error}");
    }
}

//! # sine-line
//!
//! Episodes of few-shot regression: each is a sine a·sin(x − φ), a from U[0.1, 5] and φ from U[0, π], or a
//! line s·x + c, s and c from N(0, 1), of each kind half. An episode has 20 points, x from U[−5, 5], y with noise
//! of deviation 0.3. The first `support` of them are shown, the others asked for. The network is 1-40-40-1
//! with ReLU, its loss ½(f(x) − y)².
//!
//! **An example is a point**, and episodes lie one after another, 20 ids each. An order moves whole episodes
//! (unit `pack`), and its layout says which ids of them are support and which are queries: so the transcript
//! names every point that was consumed, and as what. Had an episode been an example, roles would have
//! been hidden inside of it. Since an order cannot tear an episode apart, a test per point has no null:
//! provenance refuses it, and scores averaged by episode can be tested.
//!
//! Judged on episodes that were not trained on, 200 to validate and 500 to test: the method sees the support
//! set of each, without the queries, and returns networks whose mean output is compared with the queries.
//! A method that does not adapt is judged as it is. `mse` is the mean squared error over all queries, `sine` and
//! `line` over those of a kind. No model is better than the noise, 0.09. Episodes are the same for all seeds.
//!
//! Sources: Finn et al., arXiv:1703.03400, section 5.1 (sines); Finn et al., arXiv:1806.02817, section 6 (sines
//! or lines, noise 0.3). There an episode is drawn whenever one is needed; here 3,000 of them are.

use std::collections::BTreeMap;

use data::sequences::{Part, Parts, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::layout::Layout;
use ledger::sample::sample_id;
use ledger::seed::Seed;
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::{Streams, normal_f64, unit_f64};
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use lab::LabError;
use lab::episodes::{QUERY, SUPPORT};
use lab::models::mlp::mlp;
use lab::network::{Network, values};
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::seat::{Adapter, Shown};
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Points of an episode that are shown; the others of its 20 are asked for.
        support: u32 = 5, range Range::of(1.0..=19.0), from "5-shot";
    }
}

/// Points of an episode.
const POINTS: u32 = 20;
/// Episodes to train on, to validate on and to test on.
const EPISODES: [u32; 3] = [3_000, 200, 500];
/// Deviation of the noise.
const NOISE: f64 = 0.3;
/// Numbers are rounded to multiples of 1/`STEPS`, so that sample ids do not depend on a platform's sine.
const STEPS: f64 = 4096.0;
/// Seed of the data, and of what adaptation draws: the same for every arm.
const DATA_SEED: u64 = 12;

const METRICS: &[MetricInfo] = &[
    // What is asked for has noise of variance 0.09.
    MetricInfo { best: Some(0.09), ..MetricInfo::error("mse") },
    MetricInfo { best: Some(0.09), ..MetricInfo::error("sine") },
    MetricInfo { best: Some(0.09), ..MetricInfo::error("line") },
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "few-shot regression: each episode a sine or a line, five points shown",
    data: DataName::GeneratedAs("sine-line"),
    offers: &[offers::LOSS, offers::EPISODES],
    metrics: METRICS,
    metric: "mse",
    target: 1.6,
    target_origin: "assumed: a quarter of the 6.5 below which no function of x alone comes",
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.2,
    split_sizes: [EPISODES[0] * POINTS, EPISODES[1] * POINTS, EPISODES[2] * POINTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        Settings::read(values)?;
        Ok(mlp(&[1, 40, 40, 1], streams, device)?)
    },
    ..Workload::BLANK
};

/// Which function an episode is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sine,
    Line,
}

#[derive(Debug, Clone, PartialEq)]
struct Episode {
    kind: Kind,
    /// Amplitude and phase, or slope and intercept.
    numbers: [f32; 2],
    /// x and y of each point.
    points: Vec<[f32; 2]>,
}

impl Episode {
    fn draw(random: &mut Pcg64) -> Self {
        let rounded = |value: f64| ((value * STEPS).round() / STEPS) as f32;
        let kind = if unit_f64(random) < 0.5 { Kind::Sine } else { Kind::Line };
        let numbers = match kind {
            Kind::Sine => [0.1 + 4.9 * unit_f64(random), std::f64::consts::PI * unit_f64(random)],
            Kind::Line => [normal_f64(random), normal_f64(random)],
        };
        let numbers = numbers.map(rounded);
        let mut point = || {
            let x = rounded(10.0 * unit_f64(random) - 5.0);
            let noise = NOISE * normal_f64(random);
            let [first, second] = numbers.map(f64::from);
            let y = match kind {
                Kind::Sine => first * (f64::from(x) - second).sin(),
                Kind::Line => first * f64::from(x) + second,
            };
            [x, rounded(y + noise)]
        };
        let points = (0..POINTS).map(|_| point()).collect();
        Self { kind, numbers, points }
    }

    /// Ids of its points: the function, named, and x are the input, y is the label.
    fn ids(&self) -> Vec<Digest> {
        let name = match self.kind {
            Kind::Sine => b"sine",
            Kind::Line => b"line",
        };
        let [a, b] = self.numbers.map(f32::to_le_bytes);
        let id = |[x, y]: &[f32; 2]| {
            sample_id(&[&name[..], &a, &b, &x.to_le_bytes()].concat(), &y.to_le_bytes())
        };
        self.points.iter().map(id).collect()
    }

    /// Of an episode in which a point comes twice, that of no other.
    fn id(&self) -> Digest {
        let ids = self.ids();
        Digest::of_parts(&ids.iter().map(|id| id.as_bytes().as_slice()).collect::<Vec<_>>())
    }
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let mut random = Streams::new(Seed::from_integer(DATA_SEED).bytes).generator("data");
    let [train, validation, test] = EPISODES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let episodes = distinct(sizes, |_| Episode::draw(&mut random), Episode::id)?;
    let points = |part: &Part<Episode>| {
        let each = |episode: &Episode| {
            episode.points.iter().map(|point| (episode.kind, *point)).collect::<Vec<_>>()
        };
        Part {
            examples: part.examples.iter().flat_map(each).collect(),
            ids: part.examples.iter().flat_map(Episode::ids).collect(),
        }
    };
    let Parts { train, probe, validation, test } = &episodes;
    let parts = Parts {
        train: points(train),
        probe: points(probe),
        validation: points(validation),
        test: points(test),
    };
    let (splits, identity) = generated::placed(&parts, |points| split(points, device))?;
    let roles = [(SUPPORT, settings.support), (QUERY, POINTS - settings.support)];
    let layout = Layout::new(roles.map(|(role, n)| (role.to_owned(), n)).to_vec());
    let side = SideInfo {
        loss: Some(DefaultLoss::Squares),
        episodes: Some(layout.map_err(std::io::Error::other)?),
        ..SideInfo::default()
    };
    let judge = Box::new(Queries { support: i64::from(settings.support) });
    Ok(Ready { splits, identity, side, judge })
}

fn split(points: &[(Kind, [f32; 2])], device: Device) -> Result<Split, TchError> {
    let column = |of: usize| {
        let values: Vec<f32> = points.iter().map(|(_, point)| point[of]).collect();
        Tensor::f_from_slice(&values)?.f_to_device(device)
    };
    Ok(Split {
        stored: column(0)?.f_view([-1, 1])?,
        labels: column(1)?,
        groups: points.iter().map(|(kind, _)| u32::from(*kind == Kind::Line)).collect(),
    })
}

/// Judges the queries of each episode behind a look at its support set.
#[derive(Debug)]
struct Queries {
    support: i64,
}

impl Queries {
    /// Squared errors of the queries of the episode that begins at `start`.
    fn errors(&self, request: &EvaluationRequest<'_>, start: i64) -> Result<Vec<f32>, LabError> {
        let (shown, points) = (self.support, i64::from(POINTS));
        let (inputs, labels) = request.split.rows(start, shown)?;
        let network = request.model.network;
        let mut own = Vec::new();
        if let Some(adapter) = request.model.adapter {
            own = adapt(adapter, network, Shown { inputs: &inputs, labels: &labels }, start)?;
        }
        let (inputs, labels) = request.split.rows(start + shown, points - shown)?;
        let answers = |network: &Network| network.forward(&inputs, false);
        let mean = match own.as_slice() {
            [] => answers(network)?,
            several => {
                let all = several.iter().map(answers).collect::<Result<Vec<_>, _>>()?;
                Tensor::f_stack(&all, 0)?.f_mean_dim(0, false, tch::Kind::Float)?
            }
        };
        Ok(values(&mean.f_view([-1])?.f_sub(&labels)?.f_square()?)?)
    }
}

/// The networks of a method for one support set; its noise depends on the episode alone.
fn adapt(
    adapter: &dyn Adapter,
    network: &Network,
    support: Shown<'_>,
    start: i64,
) -> Result<Vec<Network>, LabError> {
    let streams = Streams::new(Seed::from_integer(DATA_SEED).bytes);
    let mut random = streams.keyed("adapt", u32::try_from(start).unwrap_or(0), 0);
    let networks = adapter.adapt(network, support, &mut random)?;
    if networks.is_empty() {
        let reason = "a method made no network of a support set: one at least predicts";
        return Err(LabError::Method(reason.to_owned()));
    }
    Ok(networks)
}

impl Judge for Queries {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let mut sums = [(0.0, 0.0); 2];
        for start in (0..request.split.len()).step_by(POINTS as usize) {
            let errors = self.errors(request, start)?;
            let kind = request.split.groups.get(start as usize).copied().unwrap_or(0);
            let (sum, count) = &mut sums[kind as usize];
            *sum += errors.iter().copied().map(f64::from).sum::<f64>();
            *count += errors.len() as f64;
        }
        let [sine, line] = sums;
        let mean = |(sum, count): (f64, f64)| sum / f64::max(count, 1.0);
        Ok(BTreeMap::from([
            ("mse".to_owned(), mean((sine.0 + line.0, sine.1 + line.1))),
            ("sine".to_owned(), mean(sine)),
            ("line".to_owned(), mean(line)),
        ]))
    }
}

#[cfg(test)]
#[path = "sine_line/tests.rs"]
mod tests;

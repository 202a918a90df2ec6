//! # clusters-mlp
//!
//! Classes from points around 16 centres in 16 dimensions (noise 1.3, 5 % of the labels drawn anew)
//! and an MLP 16–64–8 with tanh, 1,608 parameters: the task that order estimates were first
//! measured on. **An example is a pack of 32 points**, so that a step at a batch size of 1 is a
//! batch of 32 and an order of the examples is an order of the batches. The points of a pack come
//! from 4 centres (`clusters_per_pack`; 16 for batches that are all alike), so that batches pull in
//! different directions and their order matters. 80 packs are one epoch: 64 steps of warming up and
//! 16 to put in another order. Held-out packs (16 to validate, 32 to test) have points of all
//! centres; labels are drawn anew there too.

use std::collections::BTreeMap;

use data::clusters::{CENTRES, CLASSES, Clusters, DIMENSION, Pack};
use data::sequences::{Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::choice;
use ledger::digest::Digest;
use ledger::settings;
use ledger::settings::{Range, Values};
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use crate::shared::initial::Initial;
use crate::shared::language::Scores;
use crate::shared::settings::scaled;
use lab::LabError;
use lab::models::Builder;
use lab::network::Layer;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

choice! {
    /// What stands behind the hidden layer.
    pub enum Activation {
        /// tanh x: smooth, as Taylor expansions ask for.
        Tanh = "tanh",
        /// max(x, 0).
        Relu = "relu",
        /// x·Φ(x).
        Gelu = "gelu",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// The centres: another number draws others.
        source: u32 = 0, from "assumed";
        /// The examples: another number draws fresh ones around the same centres.
        sample: u32 = 0, from "assumed";
        /// Training examples, which are packs; budgets are counted in epochs of 80 whatever this is.
        examples: u32 = 80, range Range::of(2.0..=1e6), from "64 steps before the window and 16 in it";
        /// Points of a pack.
        pack: u32 = 32, range Range::of(1.0..=4_096.0), from "prototype of the order estimates";
        /// Centres that the points of a pack come from; 16 for all.
        clusters_per_pack: u32 = 4, range Range::of(1.0..=16.0), from "prototype of the order estimates";
        /// Factor on the hidden width (64).
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Activation of the hidden layer.
        activation: Activation = Activation::Tanh, from "prototype of the order estimates";
        use initial: Initial;
    }
}

const METRICS: &[MetricInfo] =
    &[MetricInfo::error("nll"), MetricInfo::share("accuracy", 1.0 / CLASSES as f64)];

/// Packs to train on by default, to validate and to test on.
const SIZES: [u32; 3] = [80, 16, 32];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "packs of points around 16 centres, MLP 16–64–8",
    data: DataName::Generated,
    offers: &[offers::LOSS],
    metrics: METRICS,
    metric: "nll",
    target: 1.2,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.5,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |values, _, streams, device| {
        let Settings { width, activation, initial, .. } = Settings::read(values)?;
        let hidden = scaled(64, width);
        let mut builder = Builder::new(&initial.streams(streams), device);
        // Points stay side by side in their pack: a linear layer maps the last dimension.
        let layers = vec![
            builder.linear("fc1", DIMENSION, hidden)?,
            match activation {
                Activation::Tanh => Layer::Tanh,
                Activation::Relu => Layer::Relu,
                Activation::Gelu => Layer::Gelu,
            },
            builder.linear("fc2", hidden, CLASSES as usize)?,
        ];
        Ok(builder.finish(layers))
    },
    ..Workload::BLANK
};

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { source, sample, examples, pack, clusters_per_pack, .. } =
        Settings::read(values)?;
    let clusters = Clusters::new(u64::from(source));
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let parts: [&[u8]; 3] =
        [b"palimpsest/clusters-packs/v1", &source.to_le_bytes(), &sample.to_le_bytes()];
    let mut random = ledger::order::generator(&Digest::of_parts(&parts));
    let draw = |Place { judged, .. }: Place| {
        let centres = if judged { CENTRES } else { clusters_per_pack };
        clusters.draw(pack, centres, &mut random)
    };
    let parts = distinct(sizes, draw, Pack::id)?;
    let (splits, identity) = generated::placed(&parts, |packs| split(packs, pack, device))?;
    let side = SideInfo { loss: Some(DefaultLoss::Tokens), ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge: Box::new(PerPoint) })
}

/// Inputs N × pack × 16, labels N × pack.
fn split(packs: &[Pack], points: u32, device: Device) -> Result<Split, TchError> {
    let inputs: Vec<f32> = packs.iter().flat_map(|pack| pack.inputs.iter().copied()).collect();
    let labels: Vec<i64> =
        packs.iter().flat_map(|pack| pack.labels.iter().copied().map(i64::from)).collect();
    let points = i64::from(points);
    let stored = Tensor::f_from_slice(&inputs)?.f_view([-1, points, DIMENSION as i64])?;
    Ok(Split {
        stored: stored.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_view([-1, points])?.f_to_device(device)?,
        groups: Vec::new(),
    })
}

/// Means over all points.
#[derive(Debug)]
struct PerPoint;

impl Judge for PerPoint {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let scores = Scores::of(request.model.network, request.split)?;
        Ok(BTreeMap::from([
            ("nll".to_owned(), scores.nll()),
            ("accuracy".to_owned(), scores.accuracy()),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::Kind;

    use super::*;
    use lab::network::values;
    use lab::trial::with;
    use training::splits::Splits;
    use training::trial::Fixture;

    fn fixture<const N: usize>(pairs: [(&str, Value); N]) -> Fixture {
        crate::fixture("clusters-mlp", &with(pairs)).unwrap()
    }

    fn parameters(fixture: &Fixture) -> usize {
        fixture.network(0).unwrap().parameters.iter().map(|p| p.tensor.numel()).sum()
    }

    #[test]
    fn the_network_has_1_608_parameters_and_its_width_is_a_factor() {
        assert_eq!(parameters(&fixture([])), 1_608);
        assert_eq!(parameters(&fixture([("width", 4.0.into())])), 16 * 256 + 256 + 256 * 8 + 8);
    }

    #[test]
    fn the_loss_of_a_pack_is_the_mean_over_its_points_whatever_else_is_in_the_batch() {
        let fixture = fixture([]);
        let network = fixture.network(0).unwrap();
        let Ready { splits, side, .. } = fixture.ready();
        let (inputs, labels) = splits.train.rows(0, 5).unwrap();
        assert_eq!((inputs.size(), labels.size()), (vec![5, 32, 16], vec![5, 32]));
        let default_loss = side.loss.unwrap();
        let logits = network.forward(&inputs, true).unwrap();
        let each = values(&default_loss.of_outputs(&logits, &labels).unwrap()).unwrap();
        for (row, loss) in (0..).zip(each) {
            let logits = network.forward(&inputs.get(row), true).unwrap();
            let own = logits.cross_entropy_for_logits(&labels.get(row)).double_value(&[]);
            assert!((own - f64::from(loss)).abs() < 1e-6, "{row}: {own} {loss}");
        }
    }

    #[test]
    fn activations_are_what_they_are_called() {
        let x = fixture([]).ready().splits.train.stored.get(0);
        for (name, expected) in [
            ("tanh", (|x: &Tensor| x.tanh()) as fn(&Tensor) -> Tensor),
            ("relu", |x| x.clamp_min(0.0)),
            ("gelu", |x| x * ((x / 2_f64.sqrt()).erf() + 1.0) * 0.5),
        ] {
            let network = fixture([("activation", name.into())]).network(0).unwrap();
            let p: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
            let hidden = expected(&(x.matmul(&p[0].tr()) + p[1]));
            let own = hidden.matmul(&p[2].tr()) + p[3];
            let gap = (own - network.forward(&x, true).unwrap()).abs().max();
            assert!(gap.double_value(&[]) < 1e-5, "{name}");
        }
    }

    #[test]
    fn packs_of_few_centres_hold_few_classes_and_held_out_ones_hold_all() {
        let classes = |labels: &Tensor, row: i64| {
            let counts = labels.get(row).bincount::<Tensor>(None, 8);
            counts.gt(2).sum(Kind::Int64).int64_value(&[])
        };
        let fixture = fixture([("clusters_per_pack", 2.into())]);
        let Splits { train, validation, test, .. } = &fixture.ready().splits;
        assert_eq!((train.len(), validation.len(), test.len()), (80, 16, 32));
        assert!((0..80).all(|row| classes(&train.labels, row) <= 3));
        assert!((0..32).all(|row| classes(&test.labels, row) >= 4));
    }

    #[test]
    fn more_packs_keep_the_first_ones_and_other_numbers_are_other_data() {
        let ids = |fixture: &Fixture| fixture.ready().identity.sample_ids.clone();
        let [few, more] = [20, 100].map(|n: u32| fixture([("examples", n.into())]));
        assert_eq!(ids(&few), ids(&more)[..20]);
        assert_eq!(few.ready().identity.test_root, more.ready().identity.test_root);
        let own = ids(&fixture([]))[0];
        assert_ne!(own, ids(&fixture([("source", 1.into())]))[0]);
        assert_ne!(own, ids(&fixture([("sample", 1.into())]))[0]);
    }
}

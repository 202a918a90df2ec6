//! Gradients of many copies of a small network: stacked, beside one at a time through libtorch's
//! graph, and Hessian columns beside both.
//!
//! Both run in one process on one thread and take turns in blocks, because other load on the
//! machine drifts; printed are medians per copy, and the median and quartiles of the ratio of
//! neighbouring blocks.
//!
//! `cargo bench -p inspect --bench stacked`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark reports on stdout")]

use criterion::{Criterion, Throughput};
use inspect::stacked::{self, Examples};
use lab::models::Builder;
use lab::models::gpt::{Shape, gpt};
use lab::network::{Layer, Network};
use lab::objectives::DefaultLoss;
use lab::seat::{Batch, Objective as _};
use lab::trial;
use tch::{Device, Kind, Tensor};
use training::clock::{Monotonic, Time as _};

const LARGEST: i64 = 512;

/// A network, a row and a batch for each copy.
struct Case {
    name: &'static str,
    network: Network,
    default_loss: DefaultLoss,
    rows: Tensor,
    inputs: Tensor,
    labels: Tensor,
}

fn noise(size: &[i64]) -> Tensor {
    let places = Tensor::arange(size.iter().product::<i64>(), (Kind::Double, Device::Cpu));
    ((places * 12.9898).sin() * 43_758.545_3).frac().view(size).to_kind(Kind::Float)
}

fn whole(size: &[i64], below: i64) -> Tensor {
    (noise(size).abs() * below as f64).floor().clamp_max((below - 1) as f64).to_kind(Kind::Int64)
}

impl Case {
    fn new(
        name: &'static str,
        network: Network,
        default_loss: DefaultLoss,
        inputs: Tensor,
        labels: Tensor,
    ) -> Self {
        let flat = stacked::flat(&network).unwrap();
        let rows = flat.unsqueeze(0) + noise(&[LARGEST, flat.size()[0]]) * 0.01;
        Self { name, network, default_loss, rows, inputs, labels }
    }

    /// 16-64-8 with tanh, packs of 32 points.
    fn mlp() -> Self {
        let mut builder = Builder::new(&trial::streams(), Device::Cpu);
        let layers = vec![
            Layer::Flatten,
            builder.linear("fc1", 16, 64).unwrap(),
            Layer::Tanh,
            builder.linear("fc2", 64, 8).unwrap(),
        ];
        let (inputs, labels) = (noise(&[LARGEST, 32, 16]), whole(&[LARGEST, 32], 8));
        Self::new(
            "mlp 16-64-8, 32 points",
            builder.finish(layers),
            DefaultLoss::Classes,
            inputs,
            labels,
        )
    }

    /// d = 24, one block, two heads, packs of 8 × 16 tokens.
    fn gpt() -> Self {
        let shape =
            Shape { vocabulary: 20, context: 16, width: 24, depth: 1, heads: 2, hidden: 96 };
        let network = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
        let tokens = whole(&[LARGEST, 8, 17], 20);
        let (inputs, labels) = (tokens.narrow(2, 0, 16), tokens.narrow(2, 1, 16));
        Self::new(
            "gpt d 24, 8 x 16 tokens",
            network,
            DefaultLoss::Tokens,
            inputs.contiguous(),
            labels.contiguous(),
        )
    }

    fn stacked(&self, copies: i64) -> Tensor {
        let [rows, inputs, labels] =
            [&self.rows, &self.inputs, &self.labels].map(|tensor| tensor.narrow(0, 0, copies));
        let examples =
            Examples { default_loss: self.default_loss, inputs: &inputs, labels: &labels };
        stacked::gradients(&self.network, &rows, examples).unwrap().unwrap()
    }

    /// The batch of a copy, made outside of the clock.
    fn batch(&self, copy: i64) -> Batch {
        let [inputs, labels] = [&self.inputs, &self.labels].map(|tensor| tensor.select(0, copy));
        let sample_ids = Tensor::arange(inputs.size()[0], (Kind::Int64, Device::Cpu));
        Batch { ids: vec![], sample_ids, inputs, labels }
    }

    /// One gradient at the network's own parameters.
    fn single(&self, batch: &Batch) -> Vec<Tensor> {
        let mut default_loss = self.default_loss;
        let loss = default_loss.loss(&self.network, batch, &trial::step_info(0, 1)).unwrap();
        let leaves: Vec<_> = self.network.parameters.iter().map(|p| &p.tensor).collect();
        Tensor::run_backward(&[loss], &leaves, false, false)
    }
}

fn seconds(run: impl FnOnce()) -> f64 {
    let clock = Monotonic::start();
    run();
    clock.now().as_secs_f64()
}

/// Lower quartile, median, upper quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// Times `pairs` pairs of blocks: `ours` gives `per_block` results, `single` one gradient each.
fn compare(
    name: &str,
    per_block: i64,
    pairs: usize,
    mut ours: impl FnMut(),
    mut single: impl FnMut(),
) {
    let blocks = 256 / per_block.min(256);
    let (mut our_times, mut single_times, mut ratios) = (vec![], vec![], vec![]);
    for pair in 0..=pairs {
        let each = seconds(|| (0..blocks).for_each(|_| ours())) / (blocks * per_block) as f64;
        let alone = seconds(|| (0..64).for_each(|_| single())) / 64.0;
        // The first pair warms up.
        if pair > 0 {
            our_times.push(1e6 * each);
            single_times.push(1e6 * alone);
            ratios.push(alone / each);
        }
    }
    let [each, alone, ratio] = [our_times, single_times, ratios].map(quartiles);
    println!(
        "{name}: {:.2} us, single gradient {:.2} us; ratio {:.2}, quartiles {:.2} to {:.2}, {pairs} pairs",
        each[1], alone[1], ratio[1], ratio[0], ratio[2]
    );
}

/// Columns of a Hessian: exact where there is such a form, and by central secants.
fn columns(case: &Case, count: i64, pairs: usize) {
    let centre = case.rows.get(0);
    let basis = noise(&[count, centre.size()[0]]).tr().contiguous() * 0.1;
    let [inputs, labels] = [&case.inputs, &case.labels].map(|tensor| tensor.narrow(0, 0, 1));
    let examples = Examples { default_loss: case.default_loss, inputs: &inputs, labels: &labels };
    let steps = vec![0.05; usize::try_from(count).unwrap()];
    let batch = case.batch(0);
    let single = || drop(case.single(&batch));
    let secants =
        || drop(stacked::secants(&case.network, examples, &centre, &basis, &steps).unwrap());
    compare(&format!("{}, {count} secants", case.name), count, pairs, secants, single);
    if stacked::curvatures(&case.network, examples, &centre, &basis).unwrap().is_some() {
        let exact = || drop(stacked::curvatures(&case.network, examples, &centre, &basis).unwrap());
        compare(&format!("{}, {count} exact columns", case.name), count, pairs, exact, single);
    }
}

fn main() {
    lab::device::prepare_process(1);
    let mut criterion = Criterion::default().configure_from_args();
    for (case, pairs) in [(Case::mlp(), 60), (Case::gpt(), 15)] {
        let batch = case.batch(0);
        for copies in [1, 16, 128, 512] {
            let name = format!("{}, {copies} copies", case.name);
            let single = || drop(case.single(&batch));
            compare(&name, copies, pairs, || drop(case.stacked(copies)), single);
        }
        columns(&case, 32, pairs);
        let mut group = criterion.benchmark_group(case.name);
        group.sample_size(20).throughput(Throughput::Elements(128));
        group.bench_function("128 copies", |bencher| bencher.iter(|| case.stacked(128)));
        group.finish();
    }
    criterion.final_summary();
}

//! What an order costs, estimated and truly trained: windows of a small MLP (16-64-8, 32 points a step,
//! T = 16) and of a small transformer (d = 24, 128 tokens a step, T = 24), with k = 32 directions, under
//! SGD, AdamW and Muon.
//!
//! The peer is true training *stacked over the same orders* ([`Exact`]), which takes turns with the surrogate,
//! and under SGD with its scores and the reduced recursion, in one process on one thread, because other load
//! on the machine drifts. Beside them one true run by a plain training loop. Printed are medians an order, and
//! the median and quartiles of the ratio of neighbours. The models of the items are made up: their values do
//! not change what they cost.
//!
//! `cargo bench -p inspect --bench estimates`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark reports on stdout")]

use criterion::{Criterion, Throughput};
use inspect::estimate::closed::Closed;
use inspect::estimate::oracle::surrogate::{Quadratics, Surrogate};
use inspect::estimate::read_out::ReadOut;
use inspect::estimate::{Course, Exact, Oracle, Problem as _, TrainedProblem};
use lab::models::Builder;
use lab::models::gpt::{Shape, gpt};
use lab::network::{Layer, Network};
use lab::objectives::DefaultLoss;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::optim::muon::{Muon, MuonSettings};
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::seat::{Gradients, Objective as _, Optimizer};
use lab::split::Split;
use lab::trial;
use stats::estimates::orders::draw;
use stats::estimates::{ItemOrder, Purpose, Window};
use tch::{Device, Kind, Tensor};
use training::clock::{Monotonic, Time as _};

const K: i64 = 32;

fn noise(size: &[i64]) -> Tensor {
    let places = Tensor::arange(size.iter().product::<i64>(), (Kind::Double, Device::Cpu));
    ((places * 12.9898).sin() * 43_758.545_3).frac().view(size).to_kind(Kind::Float)
}

fn whole(size: &[i64], below: i64) -> Tensor {
    (noise(size).abs() * below as f64).floor().clamp_max((below - 1) as f64).to_kind(Kind::Int64)
}

/// A network and its window: an example an item.
struct Case {
    name: &'static str,
    network: Network,
    loss: DefaultLoss,
    split: Split,
    steps: u32,
    rounds: usize,
}

impl Case {
    /// 16-64-8 with tanh.
    fn mlp() -> Self {
        let mut builder = Builder::new(&trial::streams(), Device::Cpu);
        let layers = vec![
            Layer::Flatten,
            builder.linear("fc1", 16, 64).unwrap(),
            Layer::Tanh,
            builder.linear("fc2", 64, 8).unwrap(),
        ];
        let split =
            Split { stored: noise(&[512, 16]), labels: whole(&[512], 8), groups: Vec::new() };
        let network = builder.finish(layers);
        Self { name: "MLP", network, loss: DefaultLoss::Classes, split, steps: 16, rounds: 25 }
    }

    /// One block, two heads.
    fn gpt() -> Self {
        let shape =
            Shape { vocabulary: 20, context: 16, width: 24, depth: 1, heads: 2, hidden: 48 };
        let network = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
        let tokens = whole(&[192, 17], 20);
        let split = Split {
            stored: tokens.narrow(1, 0, 16).contiguous(),
            labels: tokens.narrow(1, 1, 16).contiguous(),
            groups: Vec::new(),
        };
        Self { name: "GPT", network, loss: DefaultLoss::Tokens, split, steps: 24, rounds: 7 }
    }

    fn items(&self) -> Vec<Vec<u32>> {
        let size = u32::try_from(self.split.len()).unwrap() / self.steps;
        (0..self.steps).map(|item| (item * size..(item + 1) * size).collect()).collect()
    }

    fn course(&self, rule: Box<dyn Optimizer>) -> Course {
        let steps = u64::from(self.steps);
        let moments = (0..steps).map(|step| trial::step_info(step, steps));
        Course::new(&self.network, rule, moments.collect(), None).unwrap()
    }
}

type Make = fn(&Network) -> Box<dyn Optimizer>;

const RULES: [(&str, Make); 3] = [
    ("SGD", |network| {
        let settings = SgdSettings { lr: 0.1, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        Box::new(Sgd::new(settings, network))
    }),
    ("AdamW", |network| {
        Box::new(Adamw::new(AdamwSettings::default(), network, |_, _| true).unwrap())
    }),
    ("Muon", |network| Box::new(Muon::new(MuonSettings::default(), network).unwrap())),
];

fn quadratics(items: i64, p: i64) -> Quadratics {
    let (basis, _) = Tensor::linalg_qr(&noise(&[p, K]), "reduced");
    let [gradients, curvature] = Quadratics::room(items, &basis).unwrap();
    gradients.shallow_clone().copy_(&(noise(&[items, p]) * 0.01));
    curvature.shallow_clone().copy_(&(noise(&[items, K, p]) * 0.01));
    Quadratics { centre: noise(&[p]) * 0.1, basis, gradients, curvature }
}

/// A true run by libtorch's graph and the rule itself.
fn train(case: &Case, problem: &TrainedProblem<'_>, rule: &mut dyn Optimizer) {
    let network = problem.network();
    let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let mut objective = case.loss;
    for step in 0..u64::from(case.steps) {
        let now = trial::step_info(step, u64::from(case.steps));
        let loss = objective.loss(network, problem.batch(step as usize), &now).unwrap();
        let tensors = Tensor::run_backward(&[loss], &leaves, false, false);
        let gradients = Gradients { active: (0..tensors.len()).collect(), tensors };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &now)).unwrap();
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

/// Microseconds an order, and how many times as fast as the peer of the same round.
#[derive(Default)]
struct Times {
    each: Vec<f64>,
    ratios: Vec<f64>,
}

impl Times {
    fn push(&mut self, each: f64, peer: f64) {
        self.each.push(1e6 * each);
        self.ratios.push(peer / each);
    }

    fn print(self, name: &str) {
        let (rounds, each, ratio) = (self.each.len(), quartiles(self.each), quartiles(self.ratios));
        println!(
            "{name}: {:.2} us an order; {:.2} times as fast as the truth, stacked, quartiles {:.2} to \
             {:.2}, {rounds} rounds",
            each[1], ratio[1], ratio[0], ratio[2]
        );
    }
}

fn compare(case: &Case, (rule, make): (&str, Make), count: u64) {
    let items = case.items();
    let problem =
        TrainedProblem::new(&case.network, case.loss, &case.split, &items, &case.split).unwrap();
    let start = TrainedProblem::flat(&case.network).unwrap();
    let p = start.numel() as i64;
    let quadratics = quadratics(i64::from(case.steps), p);
    let mut course = case.course(make(&case.network));
    let closed = Closed::of(&quadratics, &course, &start).unwrap();
    let curvature = Tensor::eye(K, (Kind::Float, Device::Cpu));
    let read_out = ReadOut { at: start.copy(), loss: 1.0, slope: noise(&[p]), curvature };
    let scorer = closed.as_ref().map(|one| one.scorer(&read_out, &quadratics.basis).unwrap());
    let window = Window::batches(case.steps).unwrap();
    let orders: Vec<ItemOrder> =
        (0..count).map(|number| draw(&window, 0, Purpose::Search, number)).collect();
    let mut alone = make(problem.network());
    let mut drive = |oracle: &mut dyn Oracle| {
        drop(course.drive(oracle, &orders, &start, &mut |_, _, _| Ok(())).unwrap());
    };
    let [mut exact, mut ends, mut scores, mut reduced, mut single] =
        [(); 5].map(|()| Times::default());
    for round in 0..=case.rounds {
        let orders_of = |seconds: f64| seconds / count as f64;
        let truth = orders_of(seconds(|| drive(&mut Exact(&problem))));
        let estimated = orders_of(seconds(|| match &closed {
            Some(closed) => drop(closed.ends(&orders).unwrap()),
            None => drive(&mut Surrogate(&quadratics)),
        }));
        let by_read_out = scorer
            .as_ref()
            .map(|scorer| orders_of(seconds(|| drop(scorer.losses(&orders).unwrap()))));
        let inside = closed.as_ref().map(|closed| {
            let Closed { models, rule, start, .. } = closed;
            orders_of(seconds(|| drop(models.train(rule, start, &orders).unwrap())))
        });
        let one = seconds(|| (0..4).for_each(|_| train(case, &problem, alone.as_mut()))) / 4.0;
        // The first round warms up.
        if round > 0 {
            exact.push(truth, truth);
            ends.push(estimated, truth);
            single.push(one, truth);
            for (times, found) in [(&mut scores, by_read_out), (&mut reduced, inside)] {
                if let Some(found) = found {
                    times.push(found, truth);
                }
            }
        }
    }
    let named = |what: &str| format!("{}, {rule}, {count} orders, {what}", case.name);
    exact.print(&named("exact"));
    single.print(&named("one true run alone"));
    ends.print(&named("surrogate"));
    for (what, times) in [("scores", scores), ("reduced", reduced)] {
        if !times.each.is_empty() {
            times.print(&named(what));
        }
    }
}

fn main() {
    lab::device::prepare_process(1);
    let mut criterion = Criterion::default().configure_from_args();
    for case in [Case::mlp(), Case::gpt()] {
        for rule in RULES {
            for count in [64, 512] {
                compare(&case, rule, count);
            }
        }
        let items = case.items();
        let problem =
            TrainedProblem::new(&case.network, case.loss, &case.split, &items, &case.split)
                .unwrap();
        let start = TrainedProblem::flat(&case.network).unwrap();
        let at = start.unsqueeze(0).repeat([64, 1]);
        let each: Vec<usize> = (0..64).map(|row| row % items.len()).collect();
        let mut group = criterion.benchmark_group(case.name);
        group.sample_size(20).throughput(Throughput::Elements(64));
        group.bench_function("gradients of 64 orders, stacked", |bencher| {
            bencher.iter(|| problem.gradients(&each, &at).unwrap());
        });
        group.finish();
    }
    criterion.final_summary();
}

//! Orders of a window of T = 16 steps of a small network (16-64-8, 32 points a step), estimated
//! with k = 32 directions: the surrogate in closed form, its scores, the reduced recursion and the
//! driver under AdamW, beside one true run by a plain training loop.
//!
//! All take turns in one process on one thread, because other load on the machine drifts. The
//! models of the items are made up: their values do not change what they cost.
//!
//! `cargo bench -p inspect --bench estimates`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark reports on stdout")]

use inspect::estimate::Course;
use inspect::estimate::closed::Closed;
use inspect::estimate::oracle::surrogate::{Quadratics, Surrogate};
use inspect::estimate::read_out::ReadOut;
use inspect::stacked;
use lab::models::Builder;
use lab::network::{Layer, Network};
use lab::objectives::DefaultLoss;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::seat::{Batch, Gradients, Objective as _, Optimizer};
use lab::trial;
use stats::estimates::orders::draw;
use stats::estimates::{ItemOrder, Purpose, Window};
use tch::{Device, Kind, Tensor};
use training::clock::{Monotonic, Time as _};

const STEPS: u32 = 16;
const K: i64 = 32;
const ROUNDS: usize = 25;

fn noise(size: &[i64]) -> Tensor {
    let places = Tensor::arange(size.iter().product::<i64>(), (Kind::Double, Device::Cpu));
    ((places * 12.9898).sin() * 43_758.545_3).frac().view(size).to_kind(Kind::Float)
}

fn network() -> Network {
    let mut builder = Builder::new(&trial::streams(), Device::Cpu);
    let layers = vec![
        Layer::Flatten,
        builder.linear("fc1", 16, 64).unwrap(),
        Layer::Tanh,
        builder.linear("fc2", 64, 8).unwrap(),
    ];
    builder.finish(layers)
}

fn sgd(network: &Network) -> Box<dyn Optimizer> {
    let settings = SgdSettings { lr: 0.1, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
    Box::new(Sgd::new(settings, network))
}

fn course(network: &Network, rule: Box<dyn Optimizer>) -> Course {
    let moments = (0..u64::from(STEPS)).map(|step| trial::step_info(step, u64::from(STEPS)));
    Course::new(network, rule, moments.collect(), None).unwrap()
}

fn quadratics(p: i64) -> Quadratics {
    let items = i64::from(STEPS);
    let (basis, _) = Tensor::linalg_qr(&noise(&[p, K]), "reduced");
    Quadratics {
        centre: noise(&[p]) * 0.1,
        basis,
        gradients: noise(&[items, p]) * 0.01,
        curvature: noise(&[items, K, p]) * 0.01,
    }
}

/// A true run by libtorch's graph and the rule itself.
struct Training {
    network: Network,
    rule: Box<dyn Optimizer>,
    batches: Vec<Batch>,
}

impl Training {
    fn run(&mut self) {
        let leaves: Vec<_> = self.network.parameters.iter().map(|p| &p.tensor).collect();
        for (step, batch) in (0..).zip(&self.batches) {
            let now = trial::step_info(step, u64::from(STEPS));
            let loss = DefaultLoss::Classes.loss(&self.network, batch, &now).unwrap();
            let tensors = Tensor::run_backward(&[loss], &leaves, false, false);
            let gradients = Gradients { active: (0..tensors.len()).collect(), tensors };
            tch::no_grad(|| self.rule.update(&self.network.parameters, &gradients, &now)).unwrap();
        }
    }
}

fn batch() -> Batch {
    let labels = (noise(&[32]).abs() * 8.0).floor().clamp(0.0, 7.0).to_kind(Kind::Int64);
    let sample_ids = Tensor::arange(32, (Kind::Int64, Device::Cpu));
    Batch { ids: vec![], sample_ids, inputs: noise(&[32, 16]), labels }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    lab::device::prepare_process(1);
    let network = network();
    let start = stacked::flat(&network).unwrap();
    let p = start.numel() as i64;
    let quadratics = quadratics(p);
    let by_sgd = course(&network, sgd(&network));
    let adamw = Adamw::new(AdamwSettings::default(), &network, |_, _| true).unwrap();
    let mut by_adamw = course(&network, Box::new(adamw));
    let closed = Closed::of(&quadratics, &by_sgd, &start).unwrap().unwrap();
    let curvature = Tensor::eye(K, (Kind::Float, Device::Cpu));
    let read_out = ReadOut { at: start.copy(), loss: 1.0, slope: noise(&[p]), curvature };
    let scorer = closed.scorer(&read_out, &quadratics.basis).unwrap();
    let rule = sgd(&network);
    let batches = (0..STEPS).map(|_| batch()).collect();
    let mut training = Training { network, rule, batches };

    let window = Window::batches(STEPS).unwrap();
    for count in [1, 64, 1024] {
        let orders: Vec<ItemOrder> =
            (0..count).map(|number| draw(&window, 0, Purpose::Search, number)).collect();
        let names = ["surrogate, closed", "scores", "reduced", "surrogate, AdamW driven"];
        let (mut alone, mut each) = (vec![], names.map(|_| vec![]));
        for round in 0..=ROUNDS {
            let mut seconds = vec![];
            let mut time = |run: &mut dyn FnMut()| {
                let clock = Monotonic::start();
                run();
                seconds.push(clock.now().as_secs_f64());
            };
            time(&mut || (0..8).for_each(|_| training.run()));
            time(&mut || drop(closed.ends(&orders).unwrap()));
            time(&mut || drop(scorer.losses(&orders).unwrap()));
            time(&mut || drop(closed.models.train(&closed.rule, &closed.start, &orders).unwrap()));
            time(&mut || {
                let mut oracle = Surrogate(&quadratics);
                drop(by_adamw.drive(&mut oracle, &orders, &start, &mut |_, _, _| Ok(())).unwrap());
            });
            // The first round warms up.
            if round > 0 {
                alone.push(1e6 * seconds[0] / 8.0);
                for (times, seconds) in each.iter_mut().zip(&seconds[1..]) {
                    times.push(1e6 * seconds / count as f64);
                }
            }
        }
        for (name, times) in names.iter().zip(each) {
            let ratios = alone.iter().zip(&times).map(|(alone, each)| alone / each).collect();
            println!(
                "{name}, {count} orders: {:.2} us an order, true run {:.0} us; ratio {:.1}, {ROUNDS} rounds",
                median(times),
                median(alone.clone()),
                median(ratios)
            );
        }
    }
}

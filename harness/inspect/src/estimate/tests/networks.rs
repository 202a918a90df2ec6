use stats::estimates::ItemOrder;
use tch::{Device, Kind, Tensor};

use crate::estimate::oracle::mean_over_items;
use crate::estimate::{Course, Exact, Oracle, Problem, TrainedProblem};
use lab::LabError;
use lab::models::cnn::{Shape as Shape2d, cnn};
use lab::models::gpt::{Shape, gpt};
use lab::models::gru::gru;
use lab::models::mlp::mlp;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::optim::lm::LmSettings;
use lab::optim::muon::{Muon, MuonSettings};
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::seat::{Gradients, Optimizer, Parametrisation};
use lab::sparsity::low_rank::{LowRank, Parts};
use lab::split::Split;
use lab::trial;

fn tokens() -> Split {
    let numbers = Tensor::arange(40, (Kind::Int64, Device::Cpu)).reshape([8, 5]);
    let stored = Tensor::remainder(&(&numbers * &numbers + &numbers * 3), 5);
    Split { labels: Tensor::remainder(&(&stored + &numbers), 5), stored, groups: Vec::new() }
}

/// Both exact derivatives of item 0 against central differences in f64.
fn against_differences(network: &Network, loss: DefaultLoss, split: &Split) -> (f64, f64) {
    let problem = TrainedProblem::new(network, loss, split, &[vec![0, 1, 2, 3]], split).unwrap();
    let at = TrainedProblem::flat(network).unwrap().to_kind(Kind::Double);
    let along = Tensor::arange(at.numel() as i64, (Kind::Double, Device::Cpu)).sin();
    let h = 1e-5;
    let [up, down] = [&at + &along * h, &at - &along * h];
    let far = |exact: Tensor, rise: Tensor| {
        let difference = rise / (2.0 * h);
        assert!(exact.norm().double_value(&[]) > 1e-6);
        ((&exact - difference).norm() / exact.norm()).double_value(&[])
    };
    let gradient = |at: &Tensor| problem.gradient(0, at).unwrap();
    let curvature = |at: &Tensor| problem.curvature(0, at, &along).unwrap();
    let second = far(curvature(&at), gradient(&up) - gradient(&down));
    let third = far(problem.third(0, &at, &along).unwrap(), curvature(&up) - curvature(&down));
    (second, third)
}

#[test]
fn derivatives_of_networks_agree_with_central_differences() {
    let streams = trial::streams();
    let shape = Shape { vocabulary: 5, context: 5, width: 16, depth: 1, heads: 2, hidden: 64 };
    let network = mlp(&[4, 5, 4], &streams, Device::Cpu).unwrap();
    let split = trial::split(&[4]).unwrap();
    let (second, third) = against_differences(&network, DefaultLoss::Classes, &split);
    assert!(second < 1e-7 && third < 1e-6, "mlp {second:e} {third:e}");
    for (name, network) in [
        ("gpt", gpt(shape, &streams, Device::Cpu).unwrap()),
        ("gru", gru(5, 4, 5, &streams, Device::Cpu).unwrap()),
    ] {
        let (second, third) = against_differences(&network, DefaultLoss::Tokens, &tokens());
        assert!(second < 1e-6 && third < 1e-5, "{name} {second:e} {third:e}");
    }
}

#[test]
fn curvature_of_a_network_with_kinks_is_exact_and_not_by_differences() {
    let shape = Shape2d { channels: 1, side: 8, widths: [3; 3], classes: 4, norm: false };
    let network = cnn(shape, &trial::streams(), Device::Cpu).unwrap();
    let stored =
        (Tensor::arange(8 * 64, (Kind::Float, Device::Cpu)) * 12.9898).sin().view([8, 8, 8, 1]);
    let labels = Tensor::arange(8, (Kind::Int64, Device::Cpu)).remainder(4);
    let split = Split { stored, labels, groups: Vec::new() };
    let items = [vec![0, 1, 2, 3], vec![4, 5, 6, 7]];
    let problem =
        TrainedProblem::new(&network, DefaultLoss::Classes, &split, &items, &split).unwrap();
    let at = TrainedProblem::flat(&network).unwrap();
    let p = at.numel() as i64;
    let basis = (Tensor::arange(p * 3, (Kind::Float, Device::Cpu)) * 7.3).sin().view([p, 3]);
    let columns = problem.columns(0, &at, &basis).unwrap().unwrap();
    for (row, column) in (0..3).map(|row| (row, basis.select(1, row))) {
        let product = problem.curvature(0, &at, &column).unwrap();
        let far = (columns.get(row) - &product).abs().max().double_value(&[]);
        assert!(far <= 1e-6 * product.abs().max().double_value(&[]), "{far:e}");
    }
    // That of the held-out split, which both items make up, is their mean.
    let both = (columns + problem.columns(1, &at, &basis).unwrap().unwrap()) / 2.0;
    let whole = problem.held_out_columns(&at, &basis).unwrap().unwrap();
    let far = (&whole - &both).abs().max().double_value(&[]);
    assert!(far < 1e-5 * both.abs().max().double_value(&[]), "{far:e}");
    // A smooth network without written-out derivatives is left to differences.
    let shape = Shape { vocabulary: 5, context: 5, width: 16, depth: 1, heads: 2, hidden: 64 };
    let smooth = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
    let split = tokens();
    let problem =
        TrainedProblem::new(&smooth, DefaultLoss::Tokens, &split, &[vec![0, 1]], &split).unwrap();
    let at = TrainedProblem::flat(&smooth).unwrap();
    assert!(problem.columns(0, &at, &at.unsqueeze(1)).unwrap().is_none());
}

/// A seat that gives weights from parts, installed, and the network of the parts.
fn low_rank(mut network: Network) -> (Network, Box<dyn Parametrisation>) {
    let parts = Parts { rank: Some(2), scale: 0.5, density: 0.1, frozen: true, drawn_b: true };
    let (mut seat, _) = LowRank::new(parts, &network).unwrap();
    seat.install(&mut network, &trial::streams()).unwrap();
    (network, Box::new(seat))
}

#[test]
fn what_weights_are_made_of_has_gradients_losses_and_curvature_of_its_own() {
    let streams = trial::streams();
    let shape = Shape { vocabulary: 5, context: 5, width: 16, depth: 1, heads: 2, hidden: 64 };
    let words = tokens();
    let points = trial::split(&[4]).unwrap();
    let cases = [
        (mlp(&[4, 6, 4], &streams, Device::Cpu).unwrap(), DefaultLoss::Classes, &points),
        (gpt(shape, &streams, Device::Cpu).unwrap(), DefaultLoss::Tokens, &words),
    ];
    for (plain, loss, split) in cases {
        let (network, seat) = low_rank(plain.duplicate());
        let seen = tch::no_grad(|| seat.seen(&network, None).unwrap());
        let items = [vec![0, 1, 2, 3]];
        let dense = TrainedProblem::new(&seen, loss, split, &items, split).unwrap();
        let of_seen = TrainedProblem::flat(&seen).unwrap();
        let problem = TrainedProblem::new(&network, loss, split, &items, split)
            .unwrap()
            .seen_through(Some(seat));
        let at = TrainedProblem::flat(&network).unwrap();
        assert_ne!(at.numel(), of_seen.numel());
        // The same network from its parts and from its weights.
        let rows = |at: &Tensor| at.unsqueeze(0);
        let [made, plain] =
            [problem.held_out(&rows(&at)).unwrap()[0], dense.held_out(&rows(&of_seen)).unwrap()[0]];
        assert!((made - plain).abs() < 1e-6, "{made} {plain}");
        let own = problem.own(0, &rows(&at)).unwrap()[0];
        assert!((own - dense.own(0, &rows(&of_seen)).unwrap()[0]).abs() < 1e-6);
        // Derivatives of the parts against central differences, in f64.
        let at = at.to_kind(Kind::Double);
        let along = Tensor::arange(at.numel() as i64, (Kind::Double, Device::Cpu)).sin();
        // Products of parts bend more than weights do: a shorter step than above.
        let h = 2e-6;
        let [up, down] = [&at + &along * h, &at - &along * h];
        let rise = problem.gradient(0, &up).unwrap() - problem.gradient(0, &down).unwrap();
        let exact = problem.curvature(0, &at, &along).unwrap();
        let far = ((&exact - rise / (2.0 * h)).norm() / exact.norm()).double_value(&[]);
        assert!(far < 1e-6, "{far:e}");
        let single = problem.gradient(0, &at.to_kind(Kind::Float)).unwrap();
        let double = problem.gradient(0, &at).unwrap();
        let far = ((&single - &double).norm() / double.norm()).double_value(&[]);
        assert!(far < 1e-4, "{far:e}");
    }
}

/// The training loop's step by hand: backward, joint clipping, the rule on every parameter.
fn train(
    network: &mut Network,
    rule: &mut dyn Optimizer,
    split: &Split,
    items: &[Vec<u32>],
    longest: Option<f64>,
) {
    for (step, ids) in (0..).zip(items) {
        let batch = split.batch(ids).unwrap();
        let outputs = network.forward(&batch.inputs, true).unwrap();
        let loss = DefaultLoss::Classes.of_outputs(&outputs, &batch.labels).unwrap().mean(None);
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let mut tensors = Tensor::run_backward(&[&loss], &leaves, false, false);
        let active = (0..tensors.len()).collect();
        tch::no_grad(|| {
            if let Some(longest) = longest {
                training::run::clip(&mut tensors, longest).unwrap();
            }
            let gradients = Gradients { active, tensors };
            rule.update(&network.parameters, &gradients, &trial::step_info(step, 6)).unwrap();
        });
    }
}

/// Each row's gradient by a network of its own, as training takes it.
struct OneByOne<'a>(&'a TrainedProblem<'a>);

impl Oracle for OneByOne<'_> {
    fn gradients(&mut self, _: usize, items: &[&[u32]], at: &Tensor) -> Result<Tensor, LabError> {
        Ok(self.0.gradient(items[0][0] as usize, &at.get(0))?.unsqueeze(0))
    }
}

#[test]
fn the_driver_with_true_gradients_ends_where_training_ends() {
    type Make = fn(&Network) -> Box<dyn Optimizer>;
    const ADAMW: AdamwSettings =
        AdamwSettings { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };
    let rules: [(&str, Make); 5] = [
        ("sgd", |network| {
            let settings =
                SgdSettings { lr: 0.5, momentum: 0.0, nesterov: false, weight_decay: 0.01 };
            Box::new(Sgd::new(settings, network))
        }),
        ("momentum", |network| {
            let settings =
                SgdSettings { lr: 0.5, momentum: 0.9, nesterov: true, weight_decay: 0.01 };
            Box::new(Sgd::new(settings, network))
        }),
        ("adamw", |network| Box::new(Adamw::new(ADAMW, network, |_, _| true).unwrap())),
        ("muon", |network| Box::new(Muon::new(MuonSettings::default(), network).unwrap())),
        ("lm", |network| Box::new(LmSettings::default().optimizer(network).unwrap())),
    ];
    let items: Vec<Vec<u32>> = (0..6).map(|item| (item * 16..item * 16 + 16).collect()).collect();
    // The kernels of momentum and AdamW round otherwise in the last few values of a tensor, which no
    // full vector holds; as rows of one tensor, other values are last. Where every size is a
    // multiple of 16 no value is left over, and training is repeated bit for bit.
    for (longest, widths) in
        [(None, [16, 32, 16, 16]), (None, [4, 9, 7, 4]), (Some(0.05), [16, 32, 16, 16])]
    {
        let split = trial::split(&[widths[0] as i64]).unwrap();
        let start = || mlp(&widths, &trial::streams(), Device::Cpu).unwrap();
        for (name, make) in rules {
            let mut trained = start();
            let mut rule = make(&trained);
            train(&mut trained, rule.as_mut(), &split, &items, longest);
            let truth = TrainedProblem::flat(&trained).unwrap();

            let network = start();
            let loss = DefaultLoss::Classes;
            let problem = TrainedProblem::new(&network, loss, &split, &items, &split).unwrap();
            let moments = || (0..6).map(|step| trial::step_info(step, 6)).collect();
            let mut course = Course::new(&network, make(&network), moments(), longest).unwrap();
            let orders = [ItemOrder::batches(&[0, 1, 2, 3, 4, 5])];
            let flat = TrainedProblem::flat(&network).unwrap();
            let mut each = |_: &[usize], _: usize, _: &Tensor| Ok(());
            let stacked = course.drive(&mut Exact(&problem), &orders, &flat, &mut each).unwrap();
            // Gradients of stacked networks are summed in another order than training sums them,
            // and Adam divides small ones, rounding included, by their own size.
            let far = (stacked.get(0) - &truth).abs().max().double_value(&[]);
            assert!(far < 1e-5, "{name} {widths:?}: {far:e}");
            let mut course = Course::new(&network, make(&network), moments(), longest).unwrap();
            let mut single = OneByOne(&problem);
            let found = course.drive(&mut single, &orders, &flat, &mut each).unwrap();
            let far = (found.get(0) - &truth).abs().max().double_value(&[]);
            let by_rows = name == "momentum" || name == "adamw";
            let together = by_rows || name == "sgd";
            // Newton–Schulz of a batch of matrices adds within its products.
            let rounded =
                (longest.is_some() && together) || (by_rows && widths[0] == 4) || name == "muon";
            assert!(far <= if rounded { 1e-6 } else { 0.0 }, "{name} {widths:?}: {far:e}");
            assert!((truth - flat).abs().max().double_value(&[]) > 1e-4);
        }
    }
}

#[test]
fn steps_of_examples_are_stacked_whole_and_agree_with_the_mean_over_their_items() {
    let network = mlp(&[4, 9, 4], &trial::streams(), Device::Cpu).unwrap();
    let split = trial::split(&[4]).unwrap();
    let items: Vec<Vec<u32>> = (0..8).map(|item| vec![item]).collect();
    let problem =
        TrainedProblem::new(&network, DefaultLoss::Classes, &split, &items, &split).unwrap();
    let flat = TrainedProblem::flat(&network).unwrap();
    let theta = Tensor::stack(&[&flat, &(&flat * 1.1)], 0);
    let rows: [&[u32]; 2] = [&[0, 3, 5], &[7, 1, 2]];
    let whole = problem.steps(&rows, &theta).unwrap().unwrap();
    let mean = mean_over_items(&rows, |chosen| problem.gradients(chosen, &theta)).unwrap();
    let far = (&whole - &mean).abs().max().double_value(&[]);
    assert!(far < 1e-6 && mean.abs().max().double_value(&[]) > 1e-3, "{far:e}");
    // Steps of different sizes are no one shape.
    assert!(problem.steps(&[&[0, 1], &[2]], &theta).unwrap().is_none());
    // By example as by their mean.
    let each = problem.each(&split, &theta).unwrap();
    let held_out = problem.held_out(&theta).unwrap();
    for (each, held_out) in each.iter().zip(held_out) {
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        assert!((mean - held_out).abs() < 1e-6, "{mean} {held_out}");
    }
}

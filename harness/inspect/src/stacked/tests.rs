use tch::{Device, Kind, Tensor};

use super::*;
use lab::models::gpt::{Shape, bidirectional, gpt};
use lab::models::mlp::mlp;
use lab::models::ngram::{self, ngram};
use lab::models::{Builder, resnet9};
use lab::network::Layer;
use lab::objectives::IGNORED;
use lab::seat::{Batch, Objective as _};
use lab::trial;

const COPIES: i64 = 5;

/// Numbers that look random, the same every time.
fn noise(size: &[i64], salt: i64) -> Tensor {
    let count: i64 = size.iter().product();
    let places = Tensor::arange(count, (Kind::Double, Device::Cpu));
    ((places * 12.9898 + salt as f64 * 78.233).sin() * 43_758.545_3).frac().view(size)
}

fn whole(size: &[i64], below: i64, salt: i64) -> Tensor {
    (noise(size, salt).abs() * below as f64).floor().to_kind(Kind::Int64)
}

fn builder() -> Builder {
    Builder::new(&trial::streams(), Device::Cpu)
}

/// 6-7-4 with tanh, a residual branch, a constant and a matrix without bias.
fn mixed() -> Network {
    let mut builder = builder();
    let mut layers = vec![
        Layer::Flatten,
        builder.linear("in", 6, 7).unwrap(),
        Layer::Tanh,
        Layer::Residual(vec![
            Layer::Relu,
            builder.linear("branch", 7, 7).unwrap(),
            Layer::Tanh,
            Layer::Scale(0.5),
        ]),
        builder.zeros("out", 7, 4).unwrap(),
    ];
    layers.push(Layer::Scale(1.5));
    builder.finish(layers)
}

fn tanh(widths: [usize; 3]) -> Network {
    let mut builder = builder();
    let layers = vec![
        Layer::Flatten,
        builder.linear("fc1", widths[0], widths[1]).unwrap(),
        Layer::Tanh,
        builder.linear("fc2", widths[1], widths[2]).unwrap(),
    ];
    builder.finish(layers)
}

fn convolutions() -> Network {
    let mut builder = builder();
    let layers = vec![
        builder.conv("conv1", 2, 3, 3).unwrap(),
        Layer::Relu,
        Layer::MaxPool,
        builder.conv("conv2", 3, 4, 3).unwrap(),
        Layer::GlobalMaxPool,
        builder.linear("head", 4, 4).unwrap(),
    ];
    builder.finish(layers)
}

fn small_gpt() -> Shape {
    Shape { vocabulary: 11, context: 6, width: 24, depth: 2, heads: 2, hidden: 96 }
}

/// A network, its loss, inputs and labels of every copy.
struct Case {
    name: &'static str,
    network: Network,
    default_loss: DefaultLoss,
    inputs: Tensor,
    labels: Tensor,
}

impl Case {
    fn new(
        name: &'static str,
        network: Network,
        default_loss: DefaultLoss,
        inputs: Tensor,
        labels: Tensor,
    ) -> Self {
        Self { name, network, default_loss, inputs, labels }
    }

    fn examples(&self) -> Examples<'_> {
        Examples { default_loss: self.default_loss, inputs: &self.inputs, labels: &self.labels }
    }

    fn shared(&self) -> (Tensor, Tensor) {
        (self.inputs.narrow(0, 0, 1), self.labels.narrow(0, 0, 1))
    }

    /// A row per copy, all different, with nothing at 0.
    fn rows(&self, kind: Kind) -> Tensor {
        let flat = flat(&self.network).unwrap().to_kind(Kind::Double);
        (flat.unsqueeze(0) + noise(&[COPIES, flat.size()[0]], 3) * 0.3).to_kind(kind)
    }

    /// Loss and gradient of one copy by the network's own forward pass and libtorch's graph.
    fn single(&self, row: &Tensor, inputs: &Tensor, labels: &Tensor) -> (f64, Tensor) {
        let mut network = self.network.duplicate();
        let mut start = 0;
        for parameter in &mut network.parameters {
            let (count, size) = (parameter.tensor.numel() as i64, parameter.tensor.size());
            let part = row.narrow(0, start, count).reshape(size).copy();
            parameter.tensor = part.set_requires_grad(true);
            start += count;
        }
        let cast = |tensor: &Tensor| match tensor.kind() {
            Kind::Int64 => tensor.shallow_clone(),
            _ => tensor.to_kind(row.kind()),
        };
        let (inputs, labels) = (cast(inputs), cast(labels));
        let sample_ids = Tensor::arange(inputs.size()[0], (Kind::Int64, Device::Cpu));
        let batch = Batch { ids: vec![], sample_ids, inputs, labels };
        let mut default_loss = self.default_loss;
        let loss = default_loss.loss(&network, &batch, &trial::step_info(0, 1)).unwrap();
        let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::run_backward(&[loss.shallow_clone()], &leaves, false, false);
        let flat: Vec<_> = gradients.iter().map(|gradient| gradient.reshape([-1])).collect();
        (loss.double_value(&[]), Tensor::cat(&flat, 0))
    }
}

fn cases() -> Vec<Case> {
    let images = || noise(&[COPIES, 9, 2, 6, 6], 1);
    let points = || noise(&[COPIES, 9, 6], 1);
    let classes = || whole(&[COPIES, 9], 4, 2);
    let tokens = |salt| whole(&[COPIES, 3, 6], 11, salt);
    let asked = || tokens(5).masked_fill(&tokens(6).lt(4), IGNORED);
    let device = Device::Cpu;
    let streams = trial::streams();
    let context = |length| {
        let shape = ngram::Shape { vocabulary: 11, length, vectors: 3, hidden: 8 };
        ngram(shape, &streams, device).unwrap()
    };
    vec![
        Case::new(
            "relu",
            mlp(&[6, 5, 5, 4], &streams, device).unwrap(),
            DefaultLoss::Classes,
            points(),
            classes(),
        ),
        Case::new("tanh", tanh([6, 5, 4]), DefaultLoss::Classes, points(), classes()),
        Case::new(
            "ignored classes",
            tanh([6, 5, 4]),
            DefaultLoss::Classes,
            points(),
            classes().masked_fill(&classes().eq(1), IGNORED),
        ),
        Case::new("residual", mixed(), DefaultLoss::Classes, points(), classes()),
        Case::new(
            "images",
            mlp(&[72, 5, 4], &streams, device).unwrap(),
            DefaultLoss::Classes,
            images(),
            classes(),
        ),
        Case::new(
            "squares",
            tanh([6, 5, 1]),
            DefaultLoss::Squares,
            points(),
            noise(&[COPIES, 9], 4),
        ),
        Case::new("convolutions", convolutions(), DefaultLoss::Classes, images(), classes()),
        Case::new("context", context(3), DefaultLoss::Tokens, tokens(4), asked()),
        Case::new("context of 1", context(1), DefaultLoss::Tokens, tokens(4), asked()),
        Case::new(
            "gpt",
            gpt(small_gpt(), &streams, device).unwrap(),
            DefaultLoss::Tokens,
            tokens(4),
            asked(),
        ),
        Case::new(
            "two ways",
            bidirectional(small_gpt(), &streams, device).unwrap(),
            DefaultLoss::Tokens,
            tokens(4),
            tokens(5),
        ),
    ]
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let [a, b] = [a, b].map(|t| t.detach().to_kind(Kind::Double));
    (&a - &b).norm().double_value(&[]) / b.norm().double_value(&[])
}

#[test]
fn losses_and_gradients_are_those_of_each_network_alone() {
    for (kind, bound) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
        for case in cases() {
            let name = case.name;
            let rows = case.rows(kind);
            let (inputs, labels) = case.shared();
            let shared = Examples { inputs: &inputs, labels: &labels, ..case.examples() };
            for (examples, own) in [(case.examples(), 1), (shared, 0)] {
                let losses = losses(&case.network, &rows, examples).unwrap().unwrap();
                let gradients = gradients(&case.network, &rows, examples).unwrap().unwrap();
                assert_eq!(gradients.size(), rows.size());
                assert_eq!(gradients.kind(), kind);
                for copy in 0..COPIES {
                    let [inputs, labels] =
                        [&case.inputs, &case.labels].map(|tensor| tensor.select(0, own * copy));
                    let (loss, gradient) = case.single(&rows.select(0, copy), &inputs, &labels);
                    let error = (losses.double_value(&[copy]) / loss - 1.0).abs();
                    assert!(error < bound, "{name}, {kind:?}: loss {error:e}");
                    let error = distance(&gradients.select(0, copy), &gradient);
                    assert!(error < bound, "{name}, {kind:?}: gradient {error:e}");
                }
            }
        }
    }
}

#[test]
fn written_out_derivatives_are_those_of_the_graph_through_the_stacked_outputs() {
    for case in cases() {
        let rows = case.rows(Kind::Double).set_requires_grad(true);
        let outputs = forward(&case.network, &rows, &case.inputs).unwrap().unwrap();
        let group = Group {
            default_loss: case.default_loss,
            inputs: case.inputs.shallow_clone(),
            labels: case.labels.shallow_clone(),
        };
        let loss = Grade::new(&group, &outputs).unwrap().losses().unwrap().sum(None::<Kind>);
        let graph = Tensor::run_backward(&[loss], &[&rows], false, false).remove(0);
        let ours = gradients(&case.network, &rows, case.examples()).unwrap().unwrap();
        assert!(distance(&ours, &graph) < 1e-12, "{}", case.name);
    }
}

#[test]
fn copies_beyond_one_group_are_the_same_as_alone() {
    let network = tanh([16, 64, 8]);
    let flat = flat(&network).unwrap();
    let copies = 300;
    let rows = flat.unsqueeze(0) + noise(&[copies, 1608], 1).to_kind(Kind::Float) * 0.1;
    let inputs = noise(&[copies, 32, 16], 2).to_kind(Kind::Float);
    let labels = whole(&[copies, 32], 8, 3);
    let default_loss = DefaultLoss::Classes;
    let examples = Examples { default_loss, inputs: &inputs, labels: &labels };
    assert!(groups(&network, &rows, examples).unwrap().len() > 1);
    let all = gradients(&network, &rows, examples).unwrap().unwrap();
    for copy in [0, 131, 299] {
        let (row, inputs, labels) =
            (rows.narrow(0, copy, 1), inputs.narrow(0, copy, 1), labels.narrow(0, copy, 1));
        let examples = Examples { default_loss, inputs: &inputs, labels: &labels };
        let one = gradients(&network, &row, examples).unwrap().unwrap();
        assert!(distance(&all.narrow(0, copy, 1), &one) < 1e-6);
    }
}

#[test]
fn the_loss_of_a_split_is_that_of_one_batch_of_it_all() {
    for case in cases() {
        let (inputs, labels) = case.shared();
        // Enough copies of the examples for several stretches.
        let repeat = |tensor: &Tensor| {
            let mut times = vec![1; tensor.dim()];
            times[1] = 700;
            tensor.repeat(times.as_slice())
        };
        let (inputs, labels) = (repeat(&inputs), repeat(&labels));
        let examples = Examples { inputs: &inputs, labels: &labels, ..case.examples() };
        let rows = case.rows(Kind::Double);
        let held = held_out(&case.network, &rows, examples).unwrap().unwrap();
        let whole = losses(&case.network, &rows, examples).unwrap().unwrap();
        for (copy, held) in held.iter().enumerate() {
            let error = (held / whole.double_value(&[copy as i64]) - 1.0).abs();
            assert!(error < 1e-12, "{}: {error:e}", case.name);
        }
    }
}

#[test]
fn rows_longer_than_the_context_are_read_in_stretches_of_it() {
    let network = gpt(small_gpt(), &trial::streams(), Device::Cpu).unwrap();
    let rows = flat(&network).unwrap().unsqueeze(0);
    let tokens = whole(&[1, 2, 18], 11, 1);
    let long = forward(&network, &rows, &tokens).unwrap().unwrap();
    let short = network.forward(&tokens.view([6, 6]), false).unwrap();
    assert!(distance(&long.view([6, 6, 11]), &short) < 1e-6);
    let odd = forward(&network, &rows, &whole(&[1, 2, 17], 11, 1)).unwrap_err();
    assert!(odd.to_string().contains("17 tokens"), "{odd}");
}

/// H q by differentiating the gradient along q, in f64.
fn exact(case: &Case, centre: &Tensor, direction: &Tensor) -> Tensor {
    let row = centre.unsqueeze(0).set_requires_grad(true);
    let (inputs, labels) = case.shared();
    let outputs = forward(&case.network, &row, &inputs).unwrap().unwrap();
    let group = Group { default_loss: case.default_loss, inputs, labels };
    let loss = Grade::new(&group, &outputs).unwrap().losses().unwrap().sum(None::<Kind>);
    let gradient = Tensor::run_backward(&[loss], &[&row], true, true).remove(0);
    let along = (gradient.squeeze_dim(0) * direction).sum(None::<Kind>);
    Tensor::run_backward(&[along], &[&row], false, false).remove(0).squeeze_dim(0)
}

#[test]
fn curvatures_are_exact_and_secants_close_to_them() {
    for case in cases() {
        let name = case.name;
        let centre = case.rows(Kind::Double).select(0, 0);
        let parameters = centre.size()[0];
        let basis = noise(&[parameters, 3], 8);
        let basis = &basis / basis.norm_scalaropt_dim(2.0, [0], true);
        let (inputs, labels) = case.shared();
        let examples = Examples { inputs: &inputs, labels: &labels, ..case.examples() };
        let ours = curvatures(&case.network, examples, &centre, &basis).unwrap();
        assert_eq!(ours.is_none(), ["convolutions", "gpt", "two ways"].contains(&name), "{name}");
        let secants =
            secants(&case.network, examples, &centre, &basis, &[1e-5; 3]).unwrap().unwrap();
        assert_eq!(secants.size(), basis.size());
        for column in 0..3 {
            let expected = exact(&case, &centre, &basis.select(1, column));
            if let Some(ours) = &ours {
                let error = distance(&ours.select(1, column), &expected);
                assert!(error < 1e-12, "{name}: {error:e}");
            }
            let error = distance(&secants.select(1, column), &expected);
            assert!(error < 1e-7, "{name}: secant {error:e}");
        }
    }
}

#[test]
fn secants_in_single_precision_at_the_steps_of_snapshots_are_within_a_percent() {
    let network = tanh([16, 64, 8]);
    let inputs = noise(&[1, 32, 16], 2);
    let case = Case::new("16-64-8", network, DefaultLoss::Classes, inputs, whole(&[1, 32], 8, 3));
    let centre = flat(&case.network).unwrap();
    let basis = noise(&[1608, 4], 8).qr(true).0;
    let steps = secant_steps(&[0.9, 0.5, 0.1, 0.001], 100);
    assert_eq!(steps, [0.09, 0.05, 0.01, 0.0045]);
    let single = basis.to_kind(Kind::Float);
    let ours = secants(&case.network, case.examples(), &centre, &single, &steps).unwrap().unwrap();
    for column in 0..4 {
        let (centre, direction) = (centre.to_kind(Kind::Double), basis.select(1, column));
        let error = distance(&ours.select(1, column), &exact(&case, &centre, &direction));
        assert!(error < 1e-2, "column {column}: {error:e}");
    }
}

#[test]
fn networks_of_one_only_have_no_stacked_form() {
    let streams = trial::streams();
    let network = resnet9::resnet9(4, 10, &streams, Device::Cpu).unwrap();
    assert!(!fits(&network));
    let rows = Tensor::zeros([1, 1], (Kind::Float, Device::Cpu));
    let examples = Examples { default_loss: DefaultLoss::Classes, inputs: &rows, labels: &rows };
    assert!(gradients(&network, &rows, examples).unwrap().is_none());
    assert!(losses(&network, &rows, examples).unwrap().is_none());
    assert!(held_out(&network, &rows, examples).unwrap().is_none());
    assert!(forward(&network, &rows, &rows).unwrap().is_none());
    let mut builder = builder();
    let layer = builder.gru("gru", 2, 3).unwrap();
    assert!(!fits(&builder.finish(vec![Layer::Residual(vec![layer])])));
}

#[test]
fn what_does_not_fit_is_refused_with_its_size() {
    let case = &cases()[0];
    let rows = case.rows(Kind::Double);
    let message = |rows: &Tensor, inputs: &Tensor, labels: &Tensor| {
        let examples = Examples { inputs, labels, ..case.examples() };
        gradients(&case.network, rows, examples).unwrap_err().to_string()
    };
    let (inputs, labels) = (&case.inputs, &case.labels);
    let narrow = rows.narrow(1, 0, 7);
    assert!(message(&narrow, inputs, labels).contains("rows of 7 values for a network of"));
    assert!(message(&rows, &inputs.narrow(0, 0, 2), labels).contains("inputs of 5 copies"));
    assert!(message(&rows, inputs, &labels.narrow(0, 0, 3)).contains("labels of 5 copies"));
    assert!(message(&rows, inputs, &labels.narrow(1, 0, 8)).contains("for outputs [5, 9, 4]"));
    for class in [4, -1] {
        let labels = labels.masked_fill(&labels.eq(0), class);
        assert!(message(&rows, inputs, &labels).contains("out of bounds"));
    }
}

#[test]
fn a_token_outside_of_the_table_never_reads_that_of_the_next_copy() {
    for case in cases().iter().filter(|case| case.default_loss == DefaultLoss::Tokens) {
        let rows = case.rows(Kind::Double);
        for token in [12, -1] {
            let inputs = case.inputs.masked_fill(&case.inputs.eq(0), token);
            let message = forward(&case.network, &rows, &inputs).unwrap_err().to_string();
            assert!(message.contains(&format!("token {token} is not among")), "{message}");
        }
    }
}

#[test]
fn steps_of_secants_must_be_above_0() {
    let case = &cases()[1];
    let centre = case.rows(Kind::Double).select(0, 0);
    let basis = noise(&[centre.size()[0], 2], 1);
    let (inputs, labels) = case.shared();
    let examples = Examples { inputs: &inputs, labels: &labels, ..case.examples() };
    for step in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = secants(&case.network, examples, &centre, &basis, &[0.1, step]).unwrap_err();
        assert!(refused.to_string().contains("of column 1"), "{refused}");
    }
    let refused = secants(&case.network, examples, &centre, &basis, &[0.1]).unwrap_err();
    assert!(refused.to_string().contains("1 steps for 2 columns"), "{refused}");
    let refused = secants(&case.network, case.examples(), &centre, &basis, &[0.1; 2]).unwrap_err();
    assert!(refused.to_string().contains("share one batch"), "{refused}");
}

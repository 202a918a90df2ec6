//! Modules of `tests/torchscript`, which `make.py` there writes.

use std::path::Path;

use super::*;
use crate::trial;

fn bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/torchscript");
    std::fs::read(folder.join(name)).unwrap()
}

fn rows(features: i64, outputs: i64) -> Task {
    Task { example: vec![features], kind: Kind::Float, output: vec![outputs] }
}

fn loaded(name: &str, task: &Task) -> Result<Network, LabError> {
    script(&bytes(name), name, task, &trial::streams(), Device::Cpu)
}

fn told(name: &str, task: &Task) -> String {
    loaded(name, task).unwrap_err().to_string()
}

fn inputs(rows: i64, features: i64) -> Tensor {
    let each = Tensor::arange(rows * features, (Kind::Float, Device::Cpu));
    (each * 0.37).sin().view([rows, features])
}

#[test]
fn a_perceptron_computes_and_differentiates_as_the_same_layers_here_to_the_bit() {
    let network = loaded("perceptron.pt", &rows(2, 2)).unwrap();
    let named: Vec<_> =
        network.parameters.iter().map(|p| (p.name.as_str(), p.layer, p.role)).collect();
    assert_eq!(
        named,
        [
            ("0.weight", 0, Role::Weight),
            ("0.bias", 0, Role::Bias),
            ("2.weight", 1, Role::Weight),
            ("2.bias", 1, Role::Bias)
        ]
    );
    let p: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let trace = |outputs: &Tensor| {
        let gradients = Tensor::run_backward(&[outputs.square().sum(None)], &p, false, false);
        let all = gradients.iter().map(|gradient| values(gradient).unwrap());
        (values(outputs).unwrap(), all.collect::<Vec<_>>())
    };
    let x = inputs(5, 2);
    let by_hand = x.linear(p[0], Some(p[1])).relu().linear(p[2], Some(p[3]));
    assert_eq!(trace(&network.forward(&x, true).unwrap()), trace(&by_hand));
}

#[test]
fn other_parameters_in_its_place_take_the_gradient() {
    let network = loaded("perceptron.pt", &rows(2, 2)).unwrap();
    let scale = Tensor::from_slice(&[2.0_f32]).set_requires_grad(true);
    let mut seen = network.duplicate();
    for (seen, own) in seen.parameters.iter_mut().zip(&network.parameters) {
        seen.tensor = &own.tensor * &scale;
    }
    let outputs = network.over(seen.parameters).forward(&inputs(3, 2), true).unwrap();
    assert_ne!(
        values(&outputs).unwrap(),
        values(&network.forward(&inputs(3, 2), true).unwrap()).unwrap()
    );
    let slope = Tensor::run_backward(&[outputs.sum(None)], &[scale], false, false);
    assert!(slope[0].double_value(&[0]).abs() > 1e-3);
}

#[test]
fn lists_of_weights_tied_weights_frozen_ones_and_statistics_are_what_they_were_in_pytorch() {
    let network = loaded("everything.pt", &rows(4, 3)).unwrap();
    let names: Vec<_> = network.parameters.iter().map(|p| p.name.as_str()).collect();
    // The second weight is the first; `scale` takes no gradient.
    assert_eq!(
        names,
        [
            "steps.weight_ih_l0",
            "steps.weight_hh_l0",
            "steps.bias_ih_l0",
            "steps.bias_hh_l0",
            "norm.weight",
            "norm.bias",
            "first.weight",
            "first.bias",
            "second.bias",
            "head.weight",
            "head.bias"
        ]
    );
    let roles = |role| network.parameters.iter().filter(move |p| p.role == role).count();
    assert_eq!([Role::Weight, Role::Bias, Role::Norm].map(roles), [4, 5, 2]);
    let layers: Vec<_> = network.parameters.iter().map(|p| p.layer).collect();
    assert_eq!(layers, [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2]);
    // `scale`, `seen`, `kept`, mean, variance and number of batches.
    assert_eq!(network.buffers.len(), 6);
    let x = inputs(6, 4);
    let outputs = network.forward(&x, true).unwrap();
    let tensors: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let gradients = Tensor::run_backward(&[outputs.square().sum(None)], &tensors, false, false);
    for (gradient, parameter) in gradients.iter().zip(&network.parameters) {
        assert!(gradient.defined(), "{}", parameter.name);
    }
    // Trying it has counted no batch; one pass of training counts one, of judging none.
    let ones = || {
        network
            .buffers
            .iter()
            .filter(|b| b.numel() == 1 && b.double_value(&[0; 1][..b.dim()]) == 1.0)
            .count()
    };
    assert_eq!(ones(), 2);
    let _ = network.forward(&x, false).unwrap();
    assert_eq!(ones(), 2);
    let fresh = loaded("everything.pt", &rows(4, 3)).unwrap();
    assert_ne!(fresh.digest().unwrap(), network.digest().unwrap());
}

#[test]
fn dropout_draws_the_same_in_a_repetition_and_another_for_other_weights_inputs_and_runs() {
    let network = loaded("everything.pt", &rows(4, 3)).unwrap();
    let x = inputs(6, 4);
    let pass = |network: &Network, x: &Tensor| {
        values(&network.duplicate().forward(x, true).unwrap()).unwrap()
    };
    let first = pass(&network, &x);
    assert_eq!(pass(&network, &x), first);
    let _ = Tensor::rand([3], (Kind::Float, Device::Cpu));
    assert_eq!(pass(&network, &x), first);
    let streams = Streams::new([3; 32]);
    let other = script(&bytes("everything.pt"), "x", &rows(4, 3), &streams, Device::Cpu).unwrap();
    assert_ne!(pass(&other, &x), first);
    assert_eq!(streams.used(), ["script"]);
    // What draws nothing asks for no stream.
    let streams = Streams::new([3; 32]);
    script(&bytes("perceptron.pt"), "x", &rows(2, 2), &streams, Device::Cpu).unwrap();
    assert!(streams.used().is_empty());
    let moved = network.duplicate();
    tch::no_grad(|| {
        let mut head = moved.parameters[10].tensor.shallow_clone();
        let _ = head.g_add_scalar_(1.0);
    });
    let shifted: Vec<f32> = first.iter().map(|value| value + 1.0).collect();
    let far = pass(&moved, &x).iter().zip(&shifted).any(|(a, b)| (a - b).abs() > 1e-4);
    assert!(far, "the mask is the same at other weights");
}

#[test]
fn a_module_that_writes_into_its_inputs_leaves_the_examples_as_they_are() {
    let network = loaded("in_place.pt", &rows(4, 2)).unwrap();
    let x = inputs(3, 4);
    let before = values(&x).unwrap();
    assert!(before.iter().any(|value| *value < 0.0));
    let first = values(&network.forward(&x, false).unwrap()).unwrap();
    assert_eq!(values(&x).unwrap(), before);
    // Images, seen with their channels first.
    let stored = inputs(2, 12).view([2, 2, 2, 3]);
    let image = Task { example: vec![3, 2, 2], kind: Kind::Float, output: vec![2] };
    let network = loaded("image.pt", &image).unwrap();
    let seen = stored.permute([0, 3, 1, 2]);
    let outputs = network.forward(&seen, true).unwrap();
    let rows = seen.contiguous().view([2, 12]);
    let [weight, bias] = [0, 1].map(|index| network.at(index));
    assert_eq!(values(&outputs).unwrap(), values(&rows.linear(weight, Some(bias))).unwrap());
    assert_eq!(first.len(), 6);
}

#[test]
fn what_is_judged_moves_no_buffer_even_of_a_module_that_moves_them_in_every_mode() {
    let network = loaded("counts.pt", &rows(4, 2)).unwrap();
    let buffers = || -> Vec<_> { network.buffers.iter().map(|b| values(b).unwrap()).collect() };
    assert_eq!(buffers(), [vec![0.0], vec![0.0; 4]], "trying it has moved them");
    let x = inputs(3, 4);
    let judged = values(&network.forward(&x, false).unwrap()).unwrap();
    assert_eq!(buffers(), [vec![0.0], vec![0.0; 4]]);
    assert_eq!(values(&network.forward(&x, false).unwrap()).unwrap(), judged);
    let _ = network.forward(&x, true).unwrap();
    let trained = buffers();
    assert_eq!(trained[0], [1.0]);
    assert!(trained[1].iter().any(|value| *value != 0.0), "{trained:?}");
    let _ = network.forward(&x, false).unwrap();
    assert_eq!(buffers(), trained);
}

#[test]
fn a_module_that_keeps_state_where_no_record_sees_it_is_refused_by_the_attributes_name() {
    for (name, attribute) in [("steps.pt", "steps"), ("kept.pt", "last")] {
        let told = told(name, &rows(2, 2));
        for part in [&*format!("state in `{attribute}`"), name, "register_buffer"] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
}

#[test]
fn a_module_is_tried_on_more_than_zeros_and_its_weights_stay_as_they_were() {
    let streams = Streams::new([3; 32]);
    let bytes = bytes("sometimes.pt");
    let network = script(&bytes, "x", &rows(2, 2), &streams, Device::Cpu).unwrap();
    assert_eq!(streams.used(), ["script"], "it draws where an example is not zero");
    // It clamps its weights to a tenth as it goes.
    let most = network.parameters[0].tensor.abs().max().double_value(&[]);
    assert!(most > 0.11, "{most}");
    let pass = || values(&network.duplicate().forward(&inputs(3, 2), true).unwrap()).unwrap();
    assert_eq!(pass(), pass());
}

#[test]
fn weights_come_from_the_file_under_every_seed() {
    let digest = |streams: &Streams| {
        let network = script(&bytes("perceptron.pt"), "x", &rows(2, 2), streams, Device::Cpu);
        network.unwrap().digest().unwrap()
    };
    assert_eq!(digest(&Streams::new([1; 32])), digest(&Streams::new([2; 32])));
}

#[test]
fn a_module_that_was_saved_on_a_gpu_is_the_same_on_the_cpu() {
    let [here, there] = ["perceptron.pt", "gpu.pt"].map(|name| loaded(name, &rows(2, 2)).unwrap());
    assert_eq!(here.digest().unwrap(), there.digest().unwrap());
    assert!(there.parameters.iter().all(|p| p.tensor.device() == Device::Cpu));
}

#[test]
fn what_is_no_module_that_can_be_trained_here_is_refused_with_the_remedy() {
    let remedy = "torch.jit.script(model).save(\"net.pt\")";
    for (name, parts) in [
        ("state_dict.pt", ["torch.save writes them", remedy]),
        ("make.py", ["no TorchScript archive", remedy]),
        ("double.pt", ["0.weight is Double", "call .float() before torch.jit.script"]),
        ("nothing.pt", ["no parameters that take a gradient", "nothing to train"]),
        ("pair.pt", ["gives a Tuple, not one tensor", "a batch of shape (2, 2)"]),
        ("cut.pt", ["no gradient comes from its output", "detach()"]),
    ] {
        let told = told(name, &rows(2, 2));
        for part in [name, parts[0], parts[1]] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
    let wide = told("perceptron.pt", &rows(2, 3));
    assert!(wide.contains("shape (2, 2), but Float numbers of shape (2, 3) are needed"), "{wide}");
    let long = told("perceptron.pt", &rows(5, 2));
    assert!(long.contains("fails on a batch of shape (2, 5): mat1 and mat2 shapes"), "{long}");
    let half = bytes("perceptron.pt");
    let cut =
        script(&half[..half.len() / 2], "half.pt", &rows(2, 2), &trial::streams(), Device::Cpu);
    let cut = cut.unwrap_err().to_string();
    assert!(cut.starts_with("half.pt: "), "{cut}");
}

//! Polynomial losses in three parameters, four items, f64: those of
//! `tests/reference/estimates.py`.

use stats::estimates::ItemOrder;
use tch::{Device, Kind, Tensor};

use crate::estimate::{Course, Problem};
use lab::LabError;
use lab::network::{Body, Network, Parameter, Role};
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::seat::{Optimizer, StepInfo};

const B: [[f64; 3]; 4] = [[1., -2., 3.], [-3., 1., 2.], [2., 4., -1.], [-1., -2., -5.]];
const A: [[f64; 9]; 4] = [
    [6., 2., -1., 2., 4., 1., -1., 1., 3.],
    [3., -2., 1., -2., 7., 0., 1., 0., 2.],
    [5., 1., 2., 1., 2., -1., 2., -1., 6.],
    [2., 0., -2., 0., 5., 1., -2., 1., 8.],
];
const U: [[f64; 3]; 4] = [[3., -1., 2.], [1., 2., -2.], [-2., 1., 3.], [2., 3., 1.]];
const W: [[f64; 3]; 4] = [[1., 2., -1.], [-2., 1., 1.], [3., 0., -1.], [1., -1., 2.]];

/// Degree of the losses: 2, 3 or 4.
pub struct Toy(pub u32);

pub fn vector(values: &[f64]) -> Tensor {
    Tensor::from_slice(values)
}

pub fn start() -> Tensor {
    vector(&[4., -6., 5.]) / 8.0
}

pub fn length(of: &Tensor) -> f64 {
    of.norm().double_value(&[])
}

impl Toy {
    fn parts(&self, item: usize) -> [Tensor; 4] {
        let cubic = if self.0 >= 3 { 0.25 } else { 0.0 };
        let quartic = if self.0 >= 4 { 0.25 } else { 0.0 };
        let a = vector(&A[item]).view([3, 3]) / 8.0;
        [vector(&B[item]) / 8.0, a, vector(&U[item]) * cubic, vector(&W[item]) * quartic]
    }
}

impl Problem for Toy {
    fn items(&self) -> usize {
        4
    }
    fn parameters(&self) -> i64 {
        3
    }
    fn gradient(&self, item: usize, at: &Tensor) -> Result<Tensor, LabError> {
        let [b, a, u, w] = self.parts(item);
        let (along_u, along_w) = (u.dot(at), w.dot(at));
        Ok(b + a.mv(at) + u * along_u.square() / 2.0 + w * along_w.pow_tensor_scalar(3) / 6.0)
    }
    fn curvature(&self, item: usize, at: &Tensor, v: &Tensor) -> Result<Tensor, LabError> {
        let [_, a, u, w] = self.parts(item);
        let (on_u, on_w) = (u.dot(at) * u.dot(v), w.dot(at).square() * w.dot(v) / 2.0);
        Ok(a.mv(v) + u * on_u + w * on_w)
    }
    fn third(&self, item: usize, at: &Tensor, v: &Tensor) -> Result<Tensor, LabError> {
        let [_, _, u, w] = self.parts(item);
        let (on_u, on_w) = (u.dot(v).square(), w.dot(at) * w.dot(v).square());
        Ok(u * on_u + w * on_w)
    }
    fn held_out(&self, at: &Tensor) -> Result<Vec<f64>, LabError> {
        Ok(Vec::try_from(&at.square().sum_dim_intlist([1].as_slice(), false, Kind::Double))?)
    }
    fn held_out_gradient(&self, at: &Tensor) -> Result<Tensor, LabError> {
        Ok(at * 2.0)
    }
    fn own(&self, _: usize, at: &Tensor) -> Result<Vec<f64>, LabError> {
        self.held_out(at)
    }
}

pub fn network() -> Network {
    let tensor = Tensor::zeros([3], (Kind::Double, Device::Cpu));
    let parameter = Parameter { name: "theta".into(), layer: 0, role: Role::Weight, tensor };
    Network::new(vec![parameter], vec![], Body::Table)
}

pub fn sgd(lr: f64, momentum: f64, nesterov: bool, weight_decay: f64) -> Box<dyn Optimizer> {
    Box::new(Sgd::new(SgdSettings { lr, momentum, nesterov, weight_decay }, &network()))
}

pub fn adamw(weight_decay: f64) -> Box<dyn Optimizer> {
    let settings = AdamwSettings { lr: 0.05, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay };
    Box::new(Adamw::new(settings, &network(), |_, _| true).unwrap())
}

/// Over `steps` steps at a constant rate, its state after true steps on `warm`.
pub fn course(mut rule: Box<dyn Optimizer>, steps: u64, warm: &[usize]) -> Course {
    let at_step = |step| StepInfo {
        step,
        total_steps: steps,
        epoch: 0,
        total_epochs: 1,
        lr_factor: 1.0,
        pass: 0,
    };
    let mut network = network();
    network.parameters[0].tensor = start();
    for item in warm {
        let gradient = Toy(4).gradient(*item, &network.parameters[0].tensor).unwrap();
        let gradients = lab::seat::Gradients { active: vec![0], tensors: vec![gradient] };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &at_step(0))).unwrap();
    }
    Course::new(&network, rule, (0..steps).map(at_step).collect(), None).unwrap()
}

/// All 24 orders, lexicographically.
pub fn orders() -> Vec<ItemOrder> {
    let mut all = Vec::new();
    for code in 0..256_u32 {
        let items = [code >> 6, code >> 4, code >> 2, code].map(|digit| digit & 3);
        if (0..4).all(|item| items.contains(&item)) {
            all.push(ItemOrder::batches(&items));
        }
    }
    all
}

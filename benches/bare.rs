//! The peer of the harness: the same network and optimiser as a plain `tch` loop.

use lab::kernels::{AdamwStep, fused_adamw};
use lab::split::Split;
use tch::{Kind, Reduction, Tensor};
use training::clock::{Monotonic, Time as _};

use crate::task::Task;

/// A bare training loop between two blocks of steps.
#[derive(Debug)]
pub struct Bare {
    inputs: Tensor,
    labels: Tensor,
    forward: fn(&[Tensor], &Tensor) -> Tensor,
    parameters: Vec<Tensor>,
    first_moments: Vec<Tensor>,
    second_moments: Vec<Tensor>,
    steps: Tensor,
    counts: Vec<Tensor>,
}

impl Bare {
    /// Starts from the same parameters and data as the harness.
    #[must_use]
    pub fn new(task: Task) -> Self {
        let network = (task.network)(&Task::streams());
        let parameters: Vec<_> = network.parameters.into_iter().map(|p| p.tensor).collect();
        let zeros = || parameters.iter().map(|p| p.detach().zeros_like()).collect();
        let (first_moments, second_moments) = (zeros(), zeros());
        let steps = Tensor::zeros([parameters.len() as i64], (Kind::Float, tch::Device::Cpu));
        let split = task.split(task.examples);
        let flat = task.shape.len() == 1;
        let forward = if flat { mlp } else { cnn };
        let counts = steps.unbind(0);
        let Split { stored: inputs, labels, .. } = split;
        Self { inputs, labels, forward, parameters, first_moments, second_moments, steps, counts }
    }

    /// Seconds that `steps` steps of `batch` examples take.
    #[must_use]
    pub fn seconds(&mut self, batch: i64, steps: u64) -> f64 {
        let clock = Monotonic::start();
        let mut left = steps;
        while left > 0 {
            let examples = self.labels.size()[0];
            let order = Tensor::randperm(examples, (Kind::Int64, tch::Device::Cpu));
            let mut start = 0;
            while start < examples && left > 0 {
                let length = batch.min(examples - start);
                self.step(&order.narrow(0, start, length));
                start += length;
                left -= 1;
            }
        }
        clock.now().as_secs_f64()
    }

    fn step(&mut self, ids: &Tensor) {
        let inputs = self.inputs.index_select(0, ids);
        let labels = self.labels.index_select(0, ids);
        let logits = (self.forward)(&self.parameters, &inputs);
        let loss = logits.cross_entropy_loss::<Tensor>(&labels, None, Reduction::Mean, -100, 0.0);
        let gradients = Tensor::run_backward(&[&loss], &self.parameters, false, false);
        let _guard = tch::no_grad_guard();
        let _ = self.steps.f_add_scalar_(1.0).unwrap();
        let step = AdamwStep { lr: 1e-3, beta1: 0.9, beta2: 0.999, weight_decay: 0.01, eps: 1e-8 };
        fused_adamw(
            &self.parameters.iter().collect::<Vec<_>>(),
            &gradients.iter().collect::<Vec<_>>(),
            &self.first_moments.iter().collect::<Vec<_>>(),
            &self.second_moments.iter().collect::<Vec<_>>(),
            &self.counts.iter().collect::<Vec<_>>(),
            step,
        )
        .unwrap();
    }
}

fn mlp(p: &[Tensor], x: &Tensor) -> Tensor {
    let x = x.linear(&p[0], Some(&p[1])).relu_();
    x.linear(&p[2], Some(&p[3])).relu_().linear(&p[4], Some(&p[5]))
}

fn cnn(p: &[Tensor], x: &Tensor) -> Tensor {
    let conv = |x: &Tensor, w: &Tensor, b: &Tensor| {
        x.conv2d(w, Some(b), [1, 1], [1, 1], [1, 1], 1).relu_()
    };
    let pool = |x: &Tensor| x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
    let x = pool(&conv(&x.permute([0, 3, 1, 2]), &p[0], &p[1]));
    let x = pool(&conv(&x, &p[2], &p[3]));
    conv(&x, &p[4], &p[5]).flatten(1, -1).linear(&p[6], Some(&p[7]))
}

//! What both loops train on: random data in the shape of a workload, and its network.

use lab::models::cnn::{Shape, cnn};
use lab::models::mlp::mlp;
use lab::network::Network;
use lab::workloads::{Split, Splits};
use ledger::seed::Seed;
use ledger::streams::{self, Streams};
use tch::{Device, Tensor};

/// A workload's shapes; the values are random, as time does not depend on them.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Name of the workload.
    pub name: &'static str,
    /// Training examples.
    pub examples: u32,
    /// An example as stored: numbers in a row, or H × W × C.
    pub shape: &'static [i64],
    /// Builds the network.
    pub network: fn(&Streams) -> Network,
}

/// 8 × 8 grey levels and an MLP 64–128–128–10.
pub const DIGITS_MLP: Task = Task {
    name: "digits-mlp",
    examples: 1_197,
    shape: &[64],
    network: |streams| mlp(&[64, 128, 128, 10], streams, Device::Cpu).unwrap(),
};

/// 28 × 28 grey levels and a CNN of 16–32–64 channels; a tenth of MNIST's examples.
pub const MNIST_CNN: Task = Task {
    name: "mnist-cnn",
    examples: 5_400,
    shape: &[28, 28, 1],
    network: |streams| {
        let shape = Shape { channels: 1, side: 28, widths: [16, 32, 64], classes: 10, norm: false };
        cnn(shape, streams, Device::Cpu).unwrap()
    },
};

impl Task {
    /// The task called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [DIGITS_MLP, MNIST_CNN].into_iter().find(|task| task.name == name)
    }

    /// Streams that everything random is drawn from.
    #[must_use]
    pub fn streams() -> Streams {
        Streams::new(Seed::from_integer(1).bytes)
    }

    /// The training split, and two short ones to satisfy the loop, which looks before it starts.
    #[must_use]
    pub fn splits(&self) -> Splits {
        Splits {
            train: self.split(self.examples),
            probe: None,
            validation: self.split(10),
            test: self.split(10),
        }
    }

    /// Normal inputs in ten classes.
    #[must_use]
    pub fn split(&self, examples: u32) -> Split {
        let rows = i64::from(examples);
        let count = usize::try_from(rows * self.shape.iter().product::<i64>()).unwrap();
        let values = streams::normal(&mut Self::streams().generator("bench"), count);
        let labels: Vec<i64> = (0..rows).map(|row| row % 10).collect();
        let size = [&[rows], self.shape].concat();
        Split {
            stored: Tensor::from_slice(&values).reshape(size),
            labels: Tensor::from_slice(&labels),
            groups: Vec::new(),
        }
    }
}

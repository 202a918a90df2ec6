//! What both loops train on: random data in the shape of a workload, and its network.

use lab::models::cnn::{Shape, cnn};
use lab::models::gpt::{self, gpt};
use lab::models::mlp::mlp;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::split::Split;
use ledger::seed::Seed;
use ledger::streams::{self, Streams};
use tch::{Device, Kind, Tensor};
use training::splits::Splits;

/// A workload's shapes; the values are random, as time does not depend on them.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Name of the workload.
    pub name: &'static str,
    /// Training examples.
    pub examples: u32,
    /// An example as stored: numbers in a row, H × W × C, or tokens in a row.
    pub shape: &'static [i64],
    /// The loss, which says what the numbers are.
    pub loss: DefaultLoss,
    /// Builds the network.
    pub network: fn(&Streams) -> Network,
}

/// 8 × 8 grey levels and an MLP 64–128–128–10.
pub const DIGITS_MLP: Task = Task {
    name: "digits-mlp",
    examples: 1_197,
    shape: &[64],
    loss: DefaultLoss::Classes,
    network: |streams| mlp(&[64, 128, 128, 10], streams, Device::Cpu).unwrap(),
};

/// 16 × 16 values and an MLP 256–256–256–10; an eighth of the examples of `blobs-mlp`.
pub const BLOBS_MLP: Task = Task {
    name: "blobs-mlp",
    examples: 1_024,
    shape: &[256],
    loss: DefaultLoss::Classes,
    network: |streams| mlp(&[256, 256, 256, 10], streams, Device::Cpu).unwrap(),
};

/// 28 × 28 grey levels and a CNN of 16–32–64 channels; a tenth of MNIST's examples.
pub const MNIST_CNN: Task = Task {
    name: "mnist-cnn",
    examples: 5_400,
    shape: &[28, 28, 1],
    loss: DefaultLoss::Classes,
    network: |streams| {
        let shape = Shape { channels: 1, side: 28, widths: [16, 32, 64], classes: 10, norm: false };
        cnn(shape, streams, Device::Cpu).unwrap()
    },
};

/// 16 × 16 grey levels and a CNN of 8–16–32 channels.
pub const BLOBS_CNN: Task = Task {
    name: "blobs-cnn",
    examples: 8_192,
    shape: &[16, 16, 1],
    loss: DefaultLoss::Classes,
    network: |streams| {
        let shape = Shape { channels: 1, side: 16, widths: [8, 16, 32], classes: 10, norm: false };
        cnn(shape, streams, Device::Cpu).unwrap()
    },
};

/// Rows of 32 tokens out of 32 and a GPT of width 64.
pub const GPT_XS: Task = Task {
    name: "gpt-xs",
    examples: 4_096,
    shape: &[32],
    loss: DefaultLoss::Tokens,
    network: |streams| gpt(gpt::Shape::xs(TOKENS, 32), streams, Device::Cpu).unwrap(),
};

/// Rows of 64 tokens out of 32 and a GPT of width 128.
pub const GPT_S: Task = Task {
    name: "gpt-s",
    examples: 4_096,
    shape: &[64],
    loss: DefaultLoss::Tokens,
    network: |streams| gpt(gpt::Shape::s(TOKENS, 64), streams, Device::Cpu).unwrap(),
};

/// Size of the alphabet.
const TOKENS: usize = 32;

impl Task {
    /// The task called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [DIGITS_MLP, BLOBS_MLP, MNIST_CNN, BLOBS_CNN, GPT_XS, GPT_S]
            .into_iter()
            .find(|task| task.name == name)
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

    /// Normal inputs in ten classes, or tokens each of which asks for another.
    #[must_use]
    pub fn split(&self, examples: u32) -> Split {
        let rows = i64::from(examples);
        if self.loss == DefaultLoss::Tokens {
            let ids = Tensor::arange(rows * self.shape[0], (Kind::Int64, Device::Cpu));
            let stored = (&ids * &ids * 5 + &ids * 3).remainder(TOKENS as i64);
            let labels = ids.remainder(TOKENS as i64);
            let size = [rows, self.shape[0]];
            return Split {
                stored: stored.view(size),
                labels: labels.view(size),
                groups: Vec::new(),
            };
        }
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

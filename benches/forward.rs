//! Forward passes and nothing else: what a step by losses alone cannot do without.

use lab::network::Network;
use lab::seat::{Batch, Objective as _, StepInfo};
use training::clock::{Monotonic, Time as _};

use crate::task::Task;

/// Losses of one batch in shares, each looked at twice.
#[derive(Debug)]
pub struct Forward {
    network: Network,
    task: Task,
    shares: Vec<Batch>,
}

impl Forward {
    /// A batch of `size` examples in `workers` shares.
    #[must_use]
    pub fn new(task: Task, size: u32, workers: u32) -> Self {
        let ids: Vec<u32> = (0..size).collect();
        let batch = task.splits().train.batch(&ids).unwrap();
        let shares = (0..workers).map(|worker| batch.share(worker, workers).unwrap()).collect();
        Self { network: (task.network)(&Task::streams()), task, shares }
    }

    /// Seconds of `steps` times two passes of each share.
    #[must_use]
    pub fn seconds(&mut self, steps: u64) -> f64 {
        let _guard = tch::no_grad_guard();
        let now = StepInfo {
            step: 0,
            total_steps: 1,
            epoch: 0,
            total_epochs: 1,
            lr_factor: 1.0,
            pass: 0,
        };
        let (clock, mut sum) = (Monotonic::start(), 0.0);
        for _ in 0..steps {
            for share in self.shares.iter().flat_map(|share| [share, share]) {
                let loss = self.task.loss.loss(&self.network, share, &now).unwrap();
                sum += loss.double_value(&[]);
            }
        }
        assert!(sum.is_finite());
        clock.now().as_secs_f64()
    }
}

//! What the student earned where: absolute learning progress by nearest neighbour.

/// Tasks, each with its reward, in the order they were tried.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Coordinates of all tasks, one after another.
    tasks: Vec<f64>,
    rewards: Vec<f64>,
}

/// Tasks before the first progress is measured.
const BEFORE: usize = 6;

impl History {
    /// |r − r′| with r′ the reward of the nearest earlier task, the latest of several; 0 for the
    /// first six tasks. Then notes the task itself.
    pub fn progress(&mut self, task: &[f64], reward: f64) -> f64 {
        let progress = match self.nearest(task) {
            Some(earlier) if self.rewards.len() >= BEFORE => (reward - earlier).abs(),
            _ => 0.0,
        };
        self.tasks.extend(task);
        self.rewards.push(reward);
        progress
    }

    /// Reward of the nearest task, in Euclidean distance.
    fn nearest(&self, task: &[f64]) -> Option<f64> {
        let mut best = (f64::INFINITY, None);
        for (earlier, reward) in self.tasks.chunks_exact(task.len().max(1)).zip(&self.rewards) {
            let distance: f64 = earlier.iter().zip(task).map(|(a, b)| (a - b) * (a - b)).sum();
            if distance <= best.0 {
                best = (distance, Some(*reward));
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_change_of_reward_since_the_nearest_earlier_task() {
        let mut history = History::default();
        for step in 0..6 {
            let place = f64::from(step) / 10.0;
            assert_eq!(history.progress(&[place, 0.0], place), 0.0);
        }
        // Nearest: (0.2, 0) with reward 0.2.
        assert!((history.progress(&[0.21, 0.01], 0.9) - 0.7).abs() < 1e-12);
        // Falling behind counts as much.
        assert!((history.progress(&[0.5, 0.0], 0.1) - 0.4).abs() < 1e-12);
        // Of two at the same place the later one counts.
        assert!((history.progress(&[0.5, 0.0], 0.25) - 0.15).abs() < 1e-12);
    }
}

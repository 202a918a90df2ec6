//! What the student earned where: absolute learning progress by nearest neighbour.

/// Tasks, each with its reward, in the order they were tried.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Of each coordinate, that of all tasks.
    places: Vec<Vec<f64>>,
    rewards: Vec<f64>,
    /// Room for squared distances.
    distances: Vec<f64>,
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
        self.places.resize(task.len(), Vec::new());
        for (places, place) in self.places.iter_mut().zip(task) {
            places.push(*place);
        }
        self.rewards.push(reward);
        progress
    }

    /// Reward of the nearest task, in Euclidean distance.
    fn nearest(&mut self, task: &[f64]) -> Option<f64> {
        self.distances.clear();
        self.distances.resize(self.rewards.len(), 0.0);
        for (places, place) in self.places.iter().zip(task) {
            for (distance, earlier) in self.distances.iter_mut().zip(places) {
                *distance += (earlier - place) * (earlier - place);
            }
        }
        let least = self.distances.iter().copied().fold(f64::INFINITY, f64::min);
        let index = self.distances.iter().rposition(|distance| *distance <= least)?;
        self.rewards.get(index).copied()
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

//! What the student earned where: absolute learning progress by nearest neighbour.

/// Tasks, each with its reward, in the order they were tried.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Tasks that are kept, the most recent; 0 for all.
    memory: usize,
    /// Of each coordinate, that of all tasks.
    places: Vec<Vec<f64>>,
    rewards: Vec<f64>,
    /// Room for squared distances.
    distances: Vec<f64>,
}

crate::kept!(History { memory, places, rewards, distances });

/// Tasks before the first progress is measured.
pub const BEFORE: usize = 6;

impl History {
    /// That of the last `memory` tasks, of all for 0; with fewer than [`BEFORE`] no progress is ever
    /// measured.
    #[must_use]
    pub fn of_last(memory: usize) -> Self {
        Self { memory, ..Self::default() }
    }

    /// |r − r′| with r′ the reward of the nearest earlier task in memory, the latest of several; 0
    /// for the first six tasks. Then notes the task itself, in place of the oldest where memory is full.
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
        if self.memory > 0 && self.rewards.len() > self.memory {
            self.rewards.remove(0);
            for places in &mut self.places {
                places.remove(0);
            }
        }
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

    #[test]
    fn a_bounded_history_forgets_the_oldest_task_and_an_unbounded_one_none() {
        // Seven places in a row with rewards 0, 0.1 … 0.6, then the first of them again with 1.
        let again = |memory: usize| {
            let mut history = History::of_last(memory);
            for step in 0..7 {
                history.progress(&[f64::from(step)], f64::from(step) / 10.0);
            }
            history.progress(&[0.0], 1.0)
        };
        for (memory, nearest) in [(0, 0.0), (7, 0.0), (6, 0.1)] {
            let progress = again(memory);
            assert!((progress - (1.0 - nearest)).abs() < 1e-12, "{memory}: {progress}");
        }
        // With room for five there never are six to look among.
        assert_eq!(again(5), 0.0);
    }

    #[test]
    fn what_follows_from_a_bounded_history_is_what_a_history_of_its_last_tasks_gives() {
        let task = |step: u32| {
            let step = f64::from(step);
            ([(step * 0.37) % 1.0, (step * 0.61) % 1.0], (step * 0.23) % 1.0)
        };
        let mut bounded = History::of_last(10);
        for step in 0..40 {
            let (place, reward) = task(step);
            let found = bounded.progress(&place, reward);
            let mut last = History::default();
            for earlier in step.saturating_sub(10)..step {
                last.progress(&task(earlier).0, task(earlier).1);
            }
            assert_eq!(found, last.progress(&place, reward), "{step}");
        }
    }
}

//! A tree of boxes over the task space, split where learning progress differs.

use std::collections::VecDeque;

use ledger::choice;
use ledger::order::bounded;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

use crate::LabError;
use crate::state::State;

choice! {
    /// Whether two errors of the released code are repeated.
    pub enum Variant {
        /// They are: the score of a cut ignores how many tasks its parts have, and the parts begin
        /// with the progress of the last cut that was tried.
        AsReleased = "as-released",
        /// They are not.
        Fixed = "fixed",
    }
}

/// Draws of a cut that leaves both parts enough tasks.
const DRAWS: u32 = 1_000;

/// How boxes are split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Splitting {
    /// Tasks that a leaf holds before it is split; all boxes forget older ones.
    pub capacity: usize,
    /// Cuts that are tried.
    pub attempts: u32,
    /// Shortest side of a box.
    pub smallest_side: f64,
    /// Whether errors are repeated.
    pub variant: Variant,
}

/// A box with what was tried in it.
#[derive(Debug, Clone)]
pub struct Region {
    /// Lower corner.
    pub low: Vec<f64>,
    /// Upper corner.
    pub high: Vec<f64>,
    /// Tasks and their rewards, oldest first.
    pub tried: VecDeque<(Vec<f64>, f64)>,
    /// Absolute learning progress.
    pub progress: f64,
    children: Option<[usize; 2]>,
}

crate::kept!(Region { low, high, tried, progress, children });

impl Region {
    fn contains(&self, task: &[f64]) -> bool {
        let mut sides = task.iter().zip(self.low.iter().zip(&self.high));
        sides.all(|(x, (low, high))| low <= x && x <= high)
    }

    /// |mean of the older half − mean of the newer half| of the last `window` rewards; 0 when there
    /// are no more than two.
    fn measured(&self, window: usize) -> f64 {
        let count = self.tried.len();
        if count <= 2 {
            return 0.0;
        }
        let newer = window.min(count) / 2;
        let older = window.min(count) - newer;
        let rewards = |first: usize, count: usize| {
            let rewards = self.tried.range(first..first + count).map(|(_, reward)| reward);
            rewards.sum::<f64>() / count as f64
        };
        (rewards(count - newer - older, older) - rewards(count - newer, newer)).abs()
    }

    /// Two parts, cut at `threshold` of `dimension`, with the tasks in each.
    fn cut(&self, dimension: usize, threshold: f64) -> [Self; 2] {
        let empty = || Self {
            low: self.low.clone(),
            high: self.high.clone(),
            tried: VecDeque::new(),
            progress: 0.0,
            children: None,
        };
        let mut parts = [empty(), empty()];
        parts[0].high[dimension] = threshold;
        parts[1].low[dimension] = threshold;
        for tried in &self.tried {
            let part = usize::from(!parts[0].contains(&tried.0));
            parts[part].tried.push_back(tried.clone());
        }
        parts
    }

    fn is_wide(&self, side: f64) -> bool {
        self.low.iter().zip(&self.high).all(|(low, high)| high - low >= side)
    }
}

/// The tree; the whole space is its first box.
#[derive(Debug)]
pub struct Regions {
    splitting: Splitting,
    regions: Vec<Region>,
}

impl Regions {
    /// The unit cube in one piece.
    #[must_use]
    pub fn new(splitting: Splitting, dimensions: usize) -> Self {
        let (low, high) = (vec![0.0; dimensions], vec![1.0; dimensions]);
        let root = Region { low, high, tried: VecDeque::new(), progress: 0.0, children: None };
        Self { splitting, regions: vec![root] }
    }

    /// All boxes, inner ones included.
    #[must_use]
    pub fn all(&self) -> &[Region] {
        &self.regions
    }

    /// Notes a task and its reward in every box it is in, and splits a leaf that is full.
    pub fn observe(&mut self, task: &[f64], reward: f64, random: &mut Pcg64) {
        let capacity = self.splitting.capacity;
        let (mut path, mut at) = (vec![0], 0);
        while let Some([first, second]) = self.regions[at].children {
            at = if self.regions[first].contains(task) { first } else { second };
            path.push(at);
        }
        for &index in &path {
            let tried = &mut self.regions[index].tried;
            tried.push_back((task.to_vec(), reward));
            if tried.len() > capacity + 1 {
                tried.pop_front();
            }
        }
        if self.regions[at].tried.len() > capacity {
            self.split(at, random);
        }
        for index in path {
            self.regions[index].progress = self.regions[index].measured(capacity);
        }
    }

    /// Splits a full leaf, or drops the oldest quarter of its tasks.
    fn split(&mut self, index: usize, random: &mut Pcg64) {
        let Splitting { capacity, attempts, smallest_side, variant } = self.splitting;
        let mut best: Option<(f64, [Region; 2])> = None;
        let mut last = [0.0; 2];
        for _ in 0..attempts {
            let Some(mut parts) = self.drawn_cut(index, random) else { break };
            for (part, last) in parts.iter_mut().zip(&mut last) {
                part.progress = part.measured(capacity);
                *last = part.progress;
            }
            let score = score(&parts, variant);
            let wide = parts.iter().all(|part| part.is_wide(smallest_side));
            if wide && best.as_ref().is_none_or(|(highest, _)| score >= *highest) {
                best = Some((score, parts));
            }
        }
        match best {
            Some((_, mut parts)) => {
                if variant == Variant::AsReleased {
                    for (part, last) in parts.iter_mut().zip(last) {
                        part.progress = last;
                    }
                }
                let first = self.regions.len();
                self.regions.extend(parts);
                self.regions[index].children = Some([first, first + 1]);
            }
            None => drop(self.regions[index].tried.drain(..capacity / 4)),
        }
    }

    /// A cut of a box that leaves both parts a twentieth of the capacity.
    fn drawn_cut(&self, index: usize, random: &mut Pcg64) -> Option<[Region; 2]> {
        let region = &self.regions[index];
        let fewest = self.splitting.capacity as f64 / 20.0;
        (0..DRAWS).find_map(|_| {
            let dimension = bounded(random, region.low.len() as u64) as usize;
            let (low, high) = (region.low[dimension], region.high[dimension]);
            let threshold = low + (high - low) * unit_f64(random);
            let below = region.tried.iter().filter(|(task, _)| task[dimension] <= threshold);
            let below = below.count() as f64;
            let enough = below >= fewest && region.tried.len() as f64 - below >= fewest;
            enough.then(|| region.cut(dimension, threshold))
        })
    }

    /// The regions there are by now.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("regions", &mut self.regions)
    }
}

/// How good a cut is: n₁·n₂·|progress₁ − progress₂|.
fn score(parts: &[Region; 2], variant: Variant) -> f64 {
    let [first, second] = parts;
    let sizes = match variant {
        // Each part is a pair of lists, and the code takes the length of the pair.
        Variant::AsReleased => 2.0 * 2.0,
        Variant::Fixed => first.tried.len() as f64 * second.tried.len() as f64,
    };
    sizes * (first.progress - second.progress).abs()
}

#[cfg(test)]
mod tests {
    use ledger::seed::Seed;
    use ledger::streams::Streams;

    use super::*;

    const SPLITTING: Splitting = Splitting {
        capacity: 200,
        attempts: 50,
        smallest_side: 1.0 / 15.0,
        variant: Variant::Fixed,
    };

    fn random() -> Pcg64 {
        Streams::new(Seed::from_integer(0).bytes).generator("regions")
    }

    fn region(rewards: &[f64]) -> Region {
        let tried = rewards.iter().map(|reward| (vec![0.5], *reward)).collect();
        Region { low: vec![0.0], high: vec![1.0], tried, progress: 0.0, children: None }
    }

    #[test]
    fn progress_is_the_change_of_mean_reward_between_the_halves_of_the_window() {
        assert_eq!(region(&[0.0, 1.0]).measured(200), 0.0);
        // Of an odd number the older half has one more.
        assert_eq!(region(&[0.0, 0.0, 0.5]).measured(200), 0.5);
        assert_eq!(region(&[9.0, 0.25, 0.25, 0.0, 0.0]).measured(4), 0.25);
    }

    /// 201 uniform tasks in two dimensions: reward rises left of 0.4 and stays 0 elsewhere.
    fn taught(variant: Variant) -> Regions {
        let mut random = random();
        let mut regions = Regions::new(Splitting { variant, ..SPLITTING }, 2);
        for episode in 0..201 {
            let task = [unit_f64(&mut random), unit_f64(&mut random)];
            let reward = if task[0] < 0.4 { f64::from(episode) / 200.0 } else { 0.0 };
            regions.observe(&task, reward, &mut random);
        }
        regions
    }

    #[test]
    fn a_leaf_with_more_tasks_than_it_holds_is_cut_where_progress_changes() {
        let regions = taught(Variant::Fixed);
        let [root, left, right] = regions.all() else { panic!("{}", regions.all().len()) };
        assert_eq!(left.high[1], 1.0, "the cut is across the first coordinate");
        assert!((left.high[0] - 0.4).abs() < 0.1, "{}", left.high[0]);
        assert_eq!(left.high[0], right.low[0]);
        assert_eq!(left.tried.len() + right.tried.len(), root.tried.len());
        assert!(left.progress > 0.35 && right.progress < 0.1);
    }

    #[test]
    fn the_released_score_forgets_how_many_tasks_each_part_has() {
        let parts = || {
            let mut parts = [region(&[0.0; 30]), region(&[0.0; 10])];
            parts[0].progress = 0.5;
            parts
        };
        assert_eq!(score(&parts(), Variant::Fixed), 150.0);
        assert_eq!(score(&parts(), Variant::AsReleased), 2.0);
    }

    #[test]
    fn the_released_parts_begin_with_the_progress_of_another_cut() {
        let regions = taught(Variant::AsReleased);
        let [_, left, right] = regions.all() else { panic!("{}", regions.all().len()) };
        let own = [left.measured(200), right.measured(200)];
        assert_ne!([left.progress, right.progress], own);
        let regions = taught(Variant::Fixed);
        let [_, left, right] = regions.all() else { panic!("{}", regions.all().len()) };
        assert_eq!([left.progress, right.progress], [left.measured(200), right.measured(200)]);
    }

    #[test]
    fn a_leaf_that_cannot_be_cut_drops_its_oldest_quarter() {
        let mut random = random();
        let mut regions = Regions::new(SPLITTING, 2);
        for _ in 0..201 {
            regions.observe(&[0.5, 0.5], 0.0, &mut random);
        }
        assert_eq!(regions.all().len(), 1);
        assert_eq!(regions.all()[0].tried.len(), 151);
    }

    #[test]
    fn no_box_is_narrower_than_allowed_and_leaves_tile_the_space() {
        let mut random = random();
        let mut regions = Regions::new(SPLITTING, 2);
        for episode in 0..20_000 {
            let task = [unit_f64(&mut random), unit_f64(&mut random)];
            regions.observe(&task, task[0] * f64::from(episode), &mut random);
        }
        let area = |region: &Region| {
            let sides = region.low.iter().zip(&region.high).map(|(low, high)| high - low);
            sides.product::<f64>()
        };
        let leaves = regions.all().iter().filter(|region| region.children.is_none());
        assert!((leaves.map(area).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(regions.all().iter().all(|region| region.is_wide(1.0 / 15.0)));
        assert!(regions.all().len() > 20);
    }
}

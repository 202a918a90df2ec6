//! What teachers with a Gaussian mixture share: when it is fitted, and how tasks are drawn from it.

use ledger::settings;
use ledger::settings::Range;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

use super::{Lattice, Teacher, Uniform};
use crate::LabError;
use crate::mixture::{Component, Criterion, Mixture, Rows, proportional};
use crate::seat::{Facts, TaskInfo};
use crate::state::State;

settings! {
    /// Settings of teachers with a mixture.
    pub struct MixtureSettings {
        /// Tasks between two fits, and rows of each fit.
        fit_rate: u32 = 250, range Range::of(20.0..), from "alp_gmm.py";
        /// Share of tasks that are drawn uniformly once there is a mixture.
        random_ratio: f64 = 0.2, range Range::of(0.0..=1.0), from "alp_gmm.py";
        /// Most Gaussians; the fewest are 2.
        max_components: u32 = 10, range Range::of(2.0..=50.0), from "alp_gmm.py: arange(2, 11)";
        /// What the number of Gaussians is chosen by.
        criterion: Criterion = Criterion::Aic, from "alp_gmm.py";
    }
}

/// Draws tasks from the latest mixture, or uniformly.
#[derive(Debug)]
pub struct TaskMixture {
    settings: MixtureSettings,
    dimensions: usize,
    uniform: Uniform,
    mixture: Option<Mixture>,
    fits: u32,
    random: Pcg64,
}

impl TaskMixture {
    /// Before the first fit.
    #[must_use]
    pub fn new(settings: MixtureSettings, lattice: Lattice, task: &TaskInfo<'_>) -> Self {
        Self {
            settings,
            dimensions: lattice.dimensions,
            uniform: Uniform::new(lattice, task),
            mixture: None,
            fits: 0,
            random: task.streams.generator("teacher"),
        }
    }

    /// Fits to `rows` of `dimensions` values each, a task's coordinates first.
    pub fn fit(&mut self, rows: &[f64], dimensions: usize) {
        let sizes = 2..=self.settings.max_components as usize;
        let rows = Rows { values: rows, dimensions };
        self.mixture = Mixture::best(rows, sizes, self.settings.criterion, &mut self.random);
        self.fits += 1;
    }

    /// The next task: uniform before the first fit and in a share of cases; otherwise from the
    /// Gaussian drawn in proportion to `interest`, clipped to the unit cube.
    pub fn propose(&mut self, interest: impl Fn(&Component) -> f64) -> Vec<f64> {
        let random = &mut self.random;
        match &self.mixture {
            Some(mixture) if unit_f64(random) >= self.settings.random_ratio => {
                let interests: Vec<f64> = mixture.components.iter().map(interest).collect();
                let chosen = proportional(&interests, random);
                let mut task = mixture.components[chosen].sample(random);
                task.truncate(self.dimensions);
                for coordinate in &mut task {
                    *coordinate = coordinate.clamp(0.0, 1.0);
                }
                task
            }
            _ => self.uniform.propose(),
        }
    }

    /// Number of fits, and of Gaussians in the last.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let components = self.mixture.as_ref().map_or(0, |mixture| mixture.components.len());
        Facts::from([
            ("mixture_fits".to_owned(), self.fits.into()),
            ("mixture_components".to_owned(), components.into()),
        ])
    }

    /// The mixture that was fitted last, and the streams.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.uniform.state(state)?;
        state.of("mixture", &mut self.mixture)?;
        state.of("fits", &mut self.fits)?;
        state.of("random", &mut self.random)
    }
}

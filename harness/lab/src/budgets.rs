//! Budgets of tokens for responses: how they fall over a run, what a length is worth beside them, and prompts
//! that state them.
//!
//! Sources: Hammoud et al., arXiv:2508.08940; of the one that falls at every step Tian et al., arXiv:2509.24375.

use ledger::settings::{Range, SettingError};
use ledger::streams::Streams;
use ledger::{choice, settings};
use serde_json::json;

use crate::LabError;
use crate::seat::{Batch, Facts, StepInfo, View};
use crate::side_info::Budgets;
use crate::state::State;

choice! {
    /// How the budget falls.
    pub enum Decay {
        /// By a factor.
        Exponential = "exponential",
        /// By equal amounts.
        Linear = "linear",
        /// It is the last one from the start.
        Fixed = "fixed",
    }
}

choice! {
    /// What a length is worth beside its budget.
    pub enum Shape {
        /// Most at the budget.
        Triangle = "triangle",
        /// As much anywhere up to it.
        Band = "band",
    }
}

settings! {
    /// Settings of a budget that falls n times, at equal distances.
    pub struct BudgetSettings {
        /// How the budget falls.
        decay: Decay = Decay::Exponential, from "arXiv:2508.08940, eq. of B(t)";
        /// What a length is worth.
        shape: Shape = Shape::Triangle, from "arXiv:2508.08940, eq. of R_len";
        /// B_0: tokens before the end, at first.
        first: f64 = 12.0, range Range::of(1.0..), from "assumed; paper: 256";
        /// B_n: at last.
        last: f64 = 4.0, range Range::of(1.0..), from "assumed; paper: 87";
        /// n: how often it falls.
        drops: u32 = 3, range Range::of(1.0..=100.0), from "arXiv:2508.08940: every 150 of 600 steps";
        /// Factor of each exponential drop; 0 for the one that ends at `last`.
        factor: f64 = 0.0, range Range::of(0.0..=1.0), from "arXiv:2508.08940, ablations; main run: 0.7";
    }
}

impl BudgetSettings {
    /// B behind so many drops.
    #[must_use]
    pub fn behind(&self, drops: u64) -> f64 {
        let (drops, all) = (drops as f64, f64::from(self.drops));
        match self.decay {
            Decay::Fixed => self.last,
            Decay::Linear => self.first - drops * (self.first - self.last) / all,
            Decay::Exponential => {
                let exact = (self.last / self.first).powf(all.recip());
                let factor = if self.factor > 0.0 { self.factor } else { exact };
                (self.first * factor.powf(drops)).max(1.0)
            }
        }
    }

    /// B at step `step` of `total`.
    #[must_use]
    pub fn at(&self, step: u64, total: u64) -> f64 {
        self.behind(step * (u64::from(self.drops) + 1) / total.max(1))
    }

    /// What `length` tokens are worth at that step, from 0 to 1.
    #[must_use]
    pub fn worth(&self, length: f64, now: &StepInfo) -> f64 {
        self.shape.worth(length, self.at(now.step, now.total_steps))
    }
}

impl Shape {
    /// R(l; B).
    #[must_use]
    pub fn worth(self, length: f64, budget: f64) -> f64 {
        match self {
            Self::Band if length <= budget => 1.0,
            Self::Triangle if length <= budget => length / budget,
            Self::Band | Self::Triangle => (2.0 - length / budget).max(0.0),
        }
    }
}

settings! {
    /// Settings of a budget that falls at every step.
    pub struct DynamicBudget {
        /// B_0: tokens at first.
        first: f64 = 16.0, range Range::of(1.0..), from "assumed; arXiv:2509.24375: 800";
        /// B_min: tokens at least.
        least: f64 = 2.0, range Range::of(1.0..), from "assumed; arXiv:2509.24375: 1";
        /// γ: what is left of B_0 at the end.
        gamma: f64 = 0.2, range Range::above_up_to(0.0, 1.0), from "arXiv:2509.24375";
        refuse Self::rising;
    }
}

impl DynamicBudget {
    fn rising(&self) -> Result<(), SettingError> {
        let Self { first, least, .. } = self;
        let message = format!("first is {first}, below least, which is {least}");
        if first < least { Err(SettingError::Joint(message)) } else { Ok(()) }
    }

    /// B_t = max(B_min, ⌊B_0·γ^(t/T)⌋) at step t of T, in whole tokens.
    #[must_use]
    pub fn at(&self, step: u64, total: u64) -> f64 {
        let run = step as f64 / total.max(1) as f64;
        (self.first * self.gamma.powf(run)).floor().max(self.least)
    }
}

/// Puts the budget of a step into its prompts, in whole tokens.
#[derive(Debug)]
pub struct Stated {
    /// How it falls.
    pub settings: BudgetSettings,
    /// How prompts state it.
    pub budgets: Budgets,
}

impl View for Stated {
    fn render(&mut self, batch: &mut Batch, now: &StepInfo, _: &Streams) -> Result<(), LabError> {
        let Budgets { place, first, largest, .. } = self.budgets;
        let budget = self.settings.at(now.step, now.total_steps).round();
        let token = first + budget.clamp(1.0, largest.into()) as i64 - 1;
        let inputs = batch.inputs.copy();
        let _ = inputs.f_narrow(1, place as i64, 1)?.f_fill_(token)?;
        batch.inputs = inputs;
        Ok(())
    }

    fn facts(&self) -> Facts {
        let budgets = (0..=self.settings.drops).map(|drops| self.settings.behind(drops.into()));
        Facts::from([("budgets".to_owned(), json!(budgets.collect::<Vec<_>>()))])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial;
    use tch::Tensor;

    fn plan(decay: Decay, drops: u32, factor: f64) -> BudgetSettings {
        BudgetSettings { decay, drops, factor, first: 256.0, last: 87.0, ..Default::default() }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 6e-4, "{found} instead of {expected}");
    }

    #[test]
    fn budgets_fall_as_printed_and_as_in_the_ablations() {
        let printed = plan(Decay::Exponential, 3, 0.7);
        for (step, expected) in [
            (0, 256.0),
            (149, 256.0),
            (150, 179.2),
            (299, 179.2),
            (300, 125.44),
            (450, 87.808),
            (600, 61.466),
        ] {
            close(printed.at(step, 600), expected);
        }
        close(plan(Decay::Exponential, 7, 0.857).at(599, 600), 86.917);
        for (drops, factor) in [(1, 0.339_844), (3, 0.697_846), (7, 0.857_117)] {
            let plan = plan(Decay::Exponential, drops, 0.0);
            assert!((plan.behind(1) / 256.0 - factor).abs() < 1e-6, "{}", plan.behind(1));
            close(plan.behind(drops.into()), 87.0);
        }
        for (decay, expected) in [
            (Decay::Exponential, [256.0, 178.649, 124.669, 87.0]),
            (Decay::Linear, [256.0, 199.667, 143.333, 87.0]),
            (Decay::Fixed, [87.0; 4]),
        ] {
            let stretches = [0, 150, 300, 450].map(|step| plan(decay, 3, 0.0).at(step, 600));
            stretches.into_iter().zip(expected).for_each(|(found, budget)| close(found, budget));
        }
        // A budget is never below one token.
        close(plan(Decay::Exponential, 3, 0.1).behind(3), 1.0);
    }

    #[test]
    fn a_dynamic_budget_falls_at_every_step_to_a_share_of_the_first_and_never_below_the_least() {
        let paper = DynamicBudget { first: 800.0, least: 1.0, gamma: 0.2 };
        let at = [0, 10, 25, 50, 75, 100].map(|step| paper.at(step, 100));
        assert_eq!(at, [800.0, 681.0, 534.0, 357.0, 239.0, 160.0]);
        let own = DynamicBudget::default();
        assert_eq!([0, 50, 99, 100].map(|step| own.at(step, 100)), [16.0, 7.0, 3.0, 3.0]);
        assert_eq!(DynamicBudget { least: 5.0, ..own.clone() }.at(99, 100), 5.0);
        assert_eq!(DynamicBudget { gamma: 1.0, ..own.clone() }.at(99, 100), 16.0);
        let refused = DynamicBudget { first: 2.0, least: 3.0, ..own }.together().unwrap_err();
        assert_eq!(refused.to_string(), "first is 2, below least, which is 3");
    }

    #[test]
    fn a_length_is_worth_what_triangle_and_band_say() {
        for (length, triangle, band) in [
            (0.0, 0.0, 1.0),
            (43.5, 0.5, 1.0),
            (87.0, 1.0, 1.0),
            (130.5, 0.5, 0.5),
            (174.0, 0.0, 0.0),
            (175.0, 0.0, 0.0),
        ] {
            close(Shape::Triangle.worth(length, 87.0), triangle);
            close(Shape::Band.worth(length, 87.0), band);
        }
        let plan = plan(Decay::Linear, 3, 0.0);
        close(plan.worth(87.0, &trial::step_info(599, 600)), 1.0);
        close(plan.worth(128.0, &trial::step_info(0, 600)), 0.5);
    }

    #[test]
    fn prompts_state_the_budget_of_the_step_in_whole_tokens_and_nothing_else_changes() {
        let budgets = Budgets { place: 1, first: 20, largest: 12, shortest: 4 };
        let mut view = Stated { settings: BudgetSettings::default(), budgets };
        // 12, 8.32, 5.77 and 4 tokens.
        for (step, token) in [(0, 31), (75, 27), (150, 25), (299, 23)] {
            let mut batch = trial::bandit().unwrap().prompts.batch(&[0, 1]).unwrap();
            batch.inputs = Tensor::from_slice(&[2_i64, 3, 4, 2, 3, 4]).view([2, 3]);
            view.render(&mut batch, &trial::step_info(step, 300), &trial::streams()).unwrap();
            let stated = Vec::<i64>::try_from(&batch.inputs.view([-1])).unwrap();
            assert_eq!(stated, [2, token, 4, 2, token, 4]);
        }
        assert_eq!(view.facts()["budgets"][0], json!(12.0));
    }
}

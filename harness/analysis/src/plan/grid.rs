//! Arms with a `grid:` made into one arm for each combination of its values.

use serde_json::Value;

use super::label;
use crate::suite::{ArmUse, Problem, Step, Suite, key};
use ledger::settings::Values;

/// Most arms that the grids of a suite may make.
const MOST_ARMS: usize = 1_000;

/// Replaces every arm with a grid; returns, for each arm that there is then, its place in the text.
pub(super) fn expand(suite: &mut Suite) -> Result<Vec<usize>, Problem> {
    let (mut arms, mut places) = (Vec::new(), Vec::new());
    for (place, arm) in std::mem::take(&mut suite.arms).into_iter().enumerate() {
        let path = |name: &str| vec![key("arms"), Step::Index(place), key("grid"), key(name)];
        let combinations = combinations(&arm, &path)?;
        if combinations.len() > 1 && arms.len() + combinations.len() > MOST_ARMS {
            let message = format!("grids make more than {MOST_ARMS} arms; `tune:` searches");
            return Err(Problem(vec![key("arms"), Step::Index(place), key("grid")], message));
        }
        for combination in combinations {
            // A name of its own is told apart by the grid; another is made of all settings anyway.
            let own = arm.label.as_ref().filter(|_| !combination.is_empty());
            let own = own.map(|own| label(own, &combination)).or_else(|| arm.label.clone());
            let mut with = arm.with.clone();
            with.extend(combination);
            arms.push(ArmUse { label: own, with, grid: Default::default(), ..arm.clone() });
            places.push(place);
        }
    }
    suite.arms = arms;
    Ok(places)
}

/// The combinations of a grid, the last key changing first; one of nothing without a grid.
fn combinations(arm: &ArmUse, path: &dyn Fn(&str) -> Vec<Step>) -> Result<Vec<Values>, Problem> {
    let mut all = vec![Values::new()];
    for (name, values) in &arm.grid {
        if arm.with.contains_key(name) || arm.tune.contains_key(name) {
            let message =
                format!("grid: {name} is in `with` or `tune` too; it stands in one of them");
            return Err(Problem(path(name), message));
        }
        if values.is_empty() {
            return Err(Problem(path(name), format!("grid: {name} has no values")));
        }
        if let Some(twice) = repeated(values) {
            return Err(Problem(path(name), format!("grid: {name} has the value {twice} twice")));
        }
        if all.len().saturating_mul(values.len()) > MOST_ARMS {
            let message = format!("grid: it makes more than {MOST_ARMS} arms; `tune:` searches");
            return Err(Problem(path(name), message));
        }
        let with = |combination: &Values, value: &Value| {
            let mut combination = combination.clone();
            combination.insert(name.clone(), value.clone());
            combination
        };
        all =
            all.iter().flat_map(|made| values.iter().map(move |value| with(made, value))).collect();
    }
    Ok(all)
}

fn repeated(values: &[Value]) -> Option<&Value> {
    values
        .iter()
        .enumerate()
        .find(|(at, value)| values[..*at].contains(value))
        .map(|(_, value)| value)
}

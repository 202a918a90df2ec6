//! Order estimates in a suite: which runs are put in other orders, by which estimator, and what
//! must come out.

use serde::{Deserialize, Serialize};

use super::{Problem, Step, key};
use ledger::catalogue::hint;
use ledger::lineage::CellName;
use stats::estimates::settings::{FitSettings, HeldOut, Items, Target};
use stats::estimates::validity::Verdict;

/// Names of the estimators that a suite may ask for.
pub const ESTIMATORS: [&str; 15] = [
    "exact",
    "null",
    "replay",
    "grid0",
    "taylor1",
    "taylor2",
    "taylor-frozen",
    "taylor-diagonal",
    "linear",
    "surrogate",
    "low-rank",
    "shared",
    "reduced",
    "bracket",
    "score",
];

/// An order estimate in a suite, made once per seed.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EstimateUse {
    /// Name, unique in the suite.
    pub name: String,
    /// The run whose order is varied.
    pub run: CellName,
    /// Steps at its end; all of them without.
    #[serde(default)]
    pub last: Option<u64>,
    /// What an order moves as one piece.
    #[serde(default = "batches")]
    pub items: Items,
    /// How orders are estimated.
    #[serde(default = "surrogate")]
    pub estimator: String,
    /// Directions of the basis; twice the number of steps without, 128 at most.
    #[serde(default)]
    pub k: Option<u32>,
    /// Passes over the basis, 1 or 2.
    #[serde(default = "one")]
    pub passes: u32,
    /// Centres along the window, each with a basis of its own.
    #[serde(default = "one")]
    pub centres: u32,
    /// True runs that centre and basis are made from.
    #[serde(default = "six")]
    pub pilots: u32,
    /// True runs kept aside.
    #[serde(default = "sixteen")]
    pub gate: u32,
    /// Seed of pilots, gate and test orders.
    #[serde(default)]
    pub seed: u64,
    /// Split whose loss is predicted.
    #[serde(default)]
    pub held_out: HeldOut,
    /// Test orders that are estimated and truly retrained.
    #[serde(default)]
    pub orders: Option<u32>,
    /// Other estimators held to the same truth.
    #[serde(default)]
    pub beside: Vec<String>,
    /// A search for better orders, instead of test orders.
    #[serde(default)]
    pub search: Option<SearchUse>,
    /// Losses by the place of each item, instead of test orders.
    #[serde(default)]
    pub position: Option<PositionUse>,
    /// What must come out on every seed.
    #[serde(default)]
    pub bars: Bars,
}

fn batches() -> Items {
    Items::Batches
}

fn surrogate() -> String {
    "surrogate".to_owned()
}

fn one() -> u32 {
    1
}

fn six() -> u32 {
    6
}

fn sixteen() -> u32 {
    16
}

/// A search in a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchUse {
    /// Random orders to score.
    pub random: u32,
    /// Best orders to retrain for true.
    pub keep: u32,
    /// Of those, how many start a descent by pair swaps.
    pub descents: u32,
    /// Random orders to retrain for true, which the best are held against.
    pub against: u32,
}

impl Default for SearchUse {
    fn default() -> Self {
        Self { random: 10_000, keep: 16, descents: 4, against: 64 }
    }
}

/// Curves by position in a suite: every item at every step of its epoch, each also truly retrained.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PositionUse {
    /// Items; all of them where none is named.
    pub items: Vec<u32>,
}

/// What must come out; each is optional.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bars {
    /// Spearman correlation of the held-out loss, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f64>,
    /// Mean Spearman correlation of the items' own losses, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_item: Option<f64>,
    /// Median relative error of the parameters, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_error: Option<f64>,
    /// Mean absolute error of the held-out loss over its sd, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mae_over_sd: Option<f64>,
    /// What the gate must say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validity: Option<Verdict>,
    /// Times faster per order than retraining, at least; timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_up: Option<f64>,
    /// Set-up in retrainings, at most; timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_up: Option<f64>,
    /// Orders after which the set-up has paid, at most; timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_even: Option<f64>,
    /// Best orders of a search against random ones on the split that it did not look at, in sd, at
    /// most (below 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_sd: Option<f64>,
    /// Ends of its descents against random ones on the split that it did not look at, in sd, at most
    /// (below 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descent_sd: Option<f64>,
    /// Best orders of a search on the split that it searched, in sd, at most (below 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_searched_sd: Option<f64>,
    /// Ends of its descents on the split that it searched, in sd, at most (below 0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descent_searched_sd: Option<f64>,
    /// R² of curves by position, each centred, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub centred_r2: Option<f64>,
    /// Median Spearman correlation of the items' curves by position, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
}

/// The sort of an entry, which says what bars it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Test orders, estimated and retrained.
    Orders,
    /// A search.
    Search,
    /// Curves by position.
    Position,
}

/// A bar that is a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Its key.
    pub key: &'static str,
    /// The number.
    pub value: f64,
    /// Whether what is found must be at least this; else at most.
    pub at_least: bool,
    /// Whether it is a time, which a busy machine spoils.
    pub timed: bool,
}

impl Bars {
    /// The bars that are numbers, in the order of their keys here.
    #[must_use]
    pub fn numbers(&self) -> Vec<Bar> {
        let rows = [
            ("held_out", self.held_out, true, false),
            ("per_item", self.per_item, true, false),
            ("relative_error", self.relative_error, false, false),
            ("mae_over_sd", self.mae_over_sd, false, false),
            ("speed_up", self.speed_up, true, true),
            ("set_up", self.set_up, false, true),
            ("break_even", self.break_even, false, true),
            ("best_sd", self.best_sd, false, false),
            ("descent_sd", self.descent_sd, false, false),
            ("best_searched_sd", self.best_searched_sd, false, false),
            ("descent_searched_sd", self.descent_searched_sd, false, false),
            ("centred_r2", self.centred_r2, true, false),
            ("median", self.median, true, false),
        ];
        rows.into_iter()
            .filter_map(|(key, value, at_least, timed)| {
                Some(Bar { key, value: value?, at_least, timed })
            })
            .collect()
    }
}

impl Bar {
    /// What is wrong with it for entries of this kind, if anything is.
    fn problem(&self, kind: Kind) -> Option<String> {
        let Self { key, value, .. } = *self;
        let belongs = match key {
            "best_sd" | "descent_sd" | "best_searched_sd" | "descent_searched_sd" => {
                Some(Kind::Search)
            }
            "centred_r2" | "median" => Some(Kind::Position),
            "held_out" | "per_item" | "relative_error" | "mae_over_sd" => Some(Kind::Orders),
            _ => None,
        };
        let with = match belongs {
            Some(Kind::Search) if kind != Kind::Search => Some("an entry with search:"),
            Some(Kind::Position) if kind != Kind::Position => Some("an entry with position:"),
            Some(Kind::Orders) if kind != Kind::Orders => {
                Some("an entry without search: and position:")
            }
            _ => None,
        };
        if let Some(with) = with {
            return Some(format!("{key} is a bar of {with}"));
        }
        let (fits, range) = match key {
            "held_out" | "per_item" | "centred_r2" | "median" => {
                (value > 0.0 && value <= 1.0, "above 0 and at most 1, as in 0.9")
            }
            "best_sd" | "descent_sd" | "best_searched_sd" | "descent_searched_sd" => {
                (value < 0.0 && value.is_finite(), "below 0, as in -1.5: a lower loss is better")
            }
            _ => (value > 0.0 && value.is_finite(), "above 0"),
        };
        (!fits).then(|| format!("{key} is {value}: it must be {range}"))
    }
}

impl EstimateUse {
    /// The sort of the entry.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (&self.search, &self.position) {
            (Some(_), _) => Kind::Search,
            (None, Some(_)) => Kind::Position,
            (None, None) => Kind::Orders,
        }
    }

    /// Test orders.
    #[must_use]
    pub fn test_orders(&self) -> u32 {
        self.orders.unwrap_or(64)
    }

    /// What it asks of the estimator.
    #[must_use]
    pub fn fit(&self) -> FitSettings {
        FitSettings {
            last: self.last,
            items: self.items,
            estimator: self.estimator.clone(),
            directions: self.k,
            pilots: self.pilots,
            gate: self.gate,
            passes: self.passes,
            centres: self.centres,
            seed: self.seed,
            held_out: self.held_out,
            target: Target::Split,
        }
    }

    /// What decides the numbers: the entry without its name and its bars.
    #[must_use]
    pub fn settings(&self) -> Self {
        Self { name: String::new(), bars: Bars::default(), ..self.clone() }
    }

    /// True runs of the window that one seed takes; `None` where that depends on the window.
    #[must_use]
    pub fn true_runs(&self) -> Option<u64> {
        // The recorded order, and seven runs to time.
        let fitted = u64::from(self.pilots) + u64::from(self.gate) + 8;
        match (&self.search, &self.position) {
            (Some(search), _) => {
                let found = search.keep + search.descents + search.against;
                Some(fitted + u64::from(found))
            }
            (None, Some(position)) => {
                let items = match position.items.len() as u64 {
                    0 => self.last?,
                    items => items,
                };
                Some(fitted + items * self.last?)
            }
            (None, None) => Some(fitted + u64::from(self.test_orders())),
        }
    }

    /// What is wrong with it beside its run, with the place within the entry.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let at = |field: &str| vec![key(field)];
        if self.name.trim().is_empty() {
            return Some(Problem::at("name", "name is empty: it is what tables show"));
        }
        let named = std::iter::once((at("estimator"), &self.estimator));
        let beside = self.beside.iter().enumerate();
        let beside =
            beside.map(|(place, id)| ([at("beside"), vec![Step::Index(place)]].concat(), id));
        for (path, id) in named.chain(beside) {
            if !ESTIMATORS.contains(&id.as_str()) {
                return Some(Problem(
                    path,
                    format!("unknown estimator \"{id}\"{}", hint(id, ESTIMATORS)),
                ));
            }
        }
        if self.centres > 1 && self.estimator != "surrogate" {
            let message =
                "centres belongs to the estimator surrogate: no other is made around several";
            return Some(Problem::at("centres", message));
        }
        if self.search.is_some() && self.position.is_some() {
            let message = "search and position are two entries: give each its own";
            return Some(Problem::at("position", message));
        }
        let kind = self.kind();
        if kind != Kind::Orders && self.orders.is_some() {
            let message = "orders belongs to an entry without search: and position:";
            return Some(Problem::at("orders", message));
        }
        if kind != Kind::Orders && !self.beside.is_empty() {
            let message = "beside belongs to an entry without search: and position:";
            return Some(Problem::at("beside", message));
        }
        let search = self.search.unwrap_or_default();
        let ranges = [
            ("", "last", self.last.unwrap_or(2), 2, u64::from(u32::MAX)),
            ("", "k", u64::from(self.k.unwrap_or(1)), 1, 4096),
            ("", "passes", u64::from(self.passes), 1, 2),
            ("", "centres", u64::from(self.centres), 1, 64),
            ("", "pilots", u64::from(self.pilots), 2, 1000),
            ("", "gate", u64::from(self.gate), 8, 1000),
            ("", "orders", u64::from(self.test_orders()), 16, 100_000),
            ("search", "random", u64::from(search.random), 16, 10_000_000),
            ("search", "keep", u64::from(search.keep), 1, 1000),
            ("search", "descents", u64::from(search.descents), 0, 64),
            ("search", "against", u64::from(search.against), 8, 10_000),
        ];
        for (section, field, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                let path =
                    if section.is_empty() { at(field) } else { [at(section), at(field)].concat() };
                return Some(Problem(
                    path,
                    format!("{field} is {value}: it must be {low} to {high}"),
                ));
            }
        }
        self.bars
            .numbers()
            .iter()
            .find_map(|bar| Some(Problem::at(bar.key, bar.problem(kind)?).below([key("bars")])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(more: &str) -> EstimateUse {
        serde_yaml::from_str(&format!("{{ name: a, run: w/a, {more} }}")).unwrap()
    }

    fn refused(more: &str) -> (String, String) {
        let Problem(path, message) = entry(more).problem().unwrap();
        let path: Vec<String> = path
            .iter()
            .map(|step| match step {
                Step::Key(key) => key.clone(),
                Step::Index(index) => index.to_string(),
            })
            .collect();
        (path.join("/"), message)
    }

    #[test]
    fn an_entry_of_a_name_and_a_run_is_that_of_the_command_line() {
        let plain = entry("last: 16");
        assert_eq!(plain.problem(), None);
        assert_eq!((plain.pilots, plain.gate, plain.passes, plain.test_orders()), (6, 16, 1, 64));
        assert_eq!((plain.estimator.as_str(), plain.kind()), ("surrogate", Kind::Orders));
        // Pilots, gate, the recorded order, seven timed runs, test orders.
        assert_eq!(plain.true_runs(), Some(6 + 16 + 1 + 7 + 64));
        assert_eq!(entry("search: {}, last: 16").true_runs(), Some(30 + 16 + 4 + 64));
        assert_eq!(entry("position: {}, last: 16").true_runs(), Some(30 + 256));
        assert_eq!(entry("position: {}").true_runs(), None);
    }

    #[test]
    fn names_and_bars_do_not_change_what_is_computed() {
        let (one, other) = (entry("k: 3"), entry("k: 3, bars: { held_out: 0.5 }"));
        assert_eq!(one.settings(), EstimateUse { name: "b".into(), ..other }.settings());
        assert_ne!(one.settings(), entry("k: 4").settings());
    }

    #[test]
    fn wrong_entries_are_refused_with_their_place_and_a_way_out() {
        let (path, message) = refused("estimator: surogate");
        assert_eq!(
            (path.as_str(), message.contains("did you mean \"surrogate\"?")),
            ("estimator", true)
        );
        assert_eq!(refused("beside: [null, repaly]").0, "beside/1");
        let cases = [
            ("gate: 3", "gate", "gate is 3: it must be 8 to 1000"),
            ("search: { against: 2 }", "search/against", "against is 2: it must be 8 to 10000"),
            (
                "bars: { held_out: 1.2 }",
                "bars/held_out",
                "held_out is 1.2: it must be above 0 and at most 1, as in 0.9",
            ),
            ("bars: { best_sd: -1 }", "bars/best_sd", "best_sd is a bar of an entry with search:"),
            (
                "search: {}, bars: { best_sd: 1 }",
                "bars/best_sd",
                "best_sd is 1: it must be below 0, as in -1.5: a lower loss is better",
            ),
            ("bars: { speed_up: .nan }", "bars/speed_up", "speed_up is NaN: it must be above 0"),
            (
                "position: {}, beside: [replay]",
                "beside",
                "beside belongs to an entry without search: and position:",
            ),
            (
                "position: {}, search: {}",
                "position",
                "search and position are two entries: give each its own",
            ),
        ];
        for (more, path, message) in cases {
            assert_eq!(refused(more), (path.to_owned(), message.to_owned()), "{more}");
        }
    }
}

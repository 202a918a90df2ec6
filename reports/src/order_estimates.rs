//! How the order estimates of a suite read: the same words on the page, in tables and on the
//! terminal.

use analysis::summary::Analysis;
use analysis::summary::order_estimates::{
    CheckVerdict, EstimateFound, EstimateOutcome, EstimateSeed, Numbers, OrderEstimate,
};
use stats::estimates::agreement::Signal;

use crate::figure::Figure;
use crate::text::{ABSENT, fixed};

/// One estimator of an entry under one seed, ready to be shown.
#[derive(Debug)]
pub struct Row<'a> {
    /// The entry.
    pub entry: &'a OrderEstimate,
    /// The seed.
    pub seed: &'a EstimateSeed,
    /// The estimator; those beside the entry's own have no bars.
    pub estimator: String,
    /// What the gate says.
    pub validity: String,
    /// Spearman of the held-out loss, or what a search or curves gave.
    pub held_out: String,
    /// Its interval.
    pub interval: String,
    /// Spearman of the items' own losses.
    pub per_item: String,
    /// Relative error of the parameters.
    pub relative_error: String,
    /// Mean absolute error over sd.
    pub mae_over_sd: String,
    /// The same of the null.
    pub null: String,
    /// Times faster per order.
    pub speed_up: String,
    /// Set-up in retrainings.
    pub set_up: String,
    /// Orders after which it has paid.
    pub break_even: String,
    /// `met`, `missed: held_out`, `withheld: speed_up`, `not made: …` or `no bar`.
    pub outcome: String,
    /// Class of its badge.
    pub class: &'static str,
    /// Its mark.
    pub symbol: &'static str,
    /// The numbers that it shows, and the place of its estimator among them.
    pub(crate) found: Option<(&'a EstimateFound, usize)>,
}

/// Headings of the columns, after entry, seed and estimator.
pub const COLUMNS: [&str; 11] = [
    "validity",
    "held-out ρ",
    "95 % interval",
    "per item",
    "rel. error",
    "mae/sd",
    "null",
    "faster",
    "set-up",
    "even after",
    "bars",
];

impl<'a> Row<'a> {
    /// Every row of a suite, in its order.
    #[must_use]
    pub fn all(analysis: &'a Analysis) -> Vec<Self> {
        let mut rows = Vec::new();
        for entry in &analysis.order_estimates {
            for seed in &entry.seeds {
                rows.extend(Self::of(entry, seed));
            }
        }
        rows
    }

    fn of(entry: &'a OrderEstimate, seed: &'a EstimateSeed) -> Vec<Self> {
        let found = match &seed.outcome {
            EstimateOutcome::Found(found) => found,
            EstimateOutcome::Missing(reason) => {
                let outcome = format!("not made: {reason}");
                return vec![Self {
                    outcome,
                    class: "open",
                    symbol: "?",
                    ..Self::bare(entry, seed)
                }];
            }
        };
        let (outcome, class, symbol) = outcome(seed);
        match &found.numbers {
            Numbers::Orders(all) => {
                let rows = all.iter().enumerate().map(|(place, one)| {
                    let agreement = &one.agreement;
                    let mut row = Self::bare(entry, seed).costs(found, place);
                    row.estimator.clone_from(&one.source.estimator);
                    row.validity = one.source.validity.verdict.to_string();
                    row.held_out = match agreement.signal {
                        Signal::Present => number(agreement.held_out, 3),
                        Signal::NoOrderSignal => "no signal".to_owned(),
                        Signal::Failed => "failed".to_owned(),
                    };
                    let interval = agreement.held_out_interval;
                    row.interval = interval.map_or(ABSENT.to_owned(), |at| {
                        format!("{} … {}", fixed(at.low, 3), fixed(at.high, 3))
                    });
                    row.per_item = number(agreement.per_item.map(|items| items.mean), 3);
                    row.relative_error = number(agreement.relative_error, 3);
                    row.mae_over_sd = number(agreement.mae_over_sd, 3);
                    row.null = number(agreement.null_mae_over_sd, 3);
                    if place == 0 {
                        (row.outcome, row.class, row.symbol) = (outcome.clone(), class, symbol);
                    } else {
                        row.outcome = "beside".to_owned();
                    }
                    row
                });
                rows.collect()
            }
            Numbers::Search(search) => {
                let sd = |of: &Option<stats::estimates::search::Verified>| {
                    of.as_ref().map_or(ABSENT.to_owned(), |of| fixed(of.difference_in_sd, 2))
                };
                let mut row = Self::bare(entry, seed).costs(found, 0);
                row.estimator.clone_from(&search.source.estimator);
                row.validity = search.source.validity.verdict.to_string();
                row.held_out =
                    format!("best {} sd, descent {} sd", sd(&search.best), sd(&search.descents));
                if let Some(at) = &search.elsewhere {
                    // The verdict; a search keeps its promise where it looked.
                    let split = at.split.name();
                    row.held_out = format!(
                        "{split}: best {} sd, descent {} sd (searched: {} sd, {} sd)",
                        sd(&at.best),
                        sd(&at.descents),
                        sd(&search.best),
                        sd(&search.descents)
                    );
                }
                (row.outcome, row.class, row.symbol) = (outcome, class, symbol);
                vec![row]
            }
            Numbers::Position(curves) => {
                let own = curves.own_agreement.as_ref();
                let mut row = Self::bare(entry, seed).costs(found, 0);
                row.estimator.clone_from(&curves.source.estimator);
                row.validity = curves.source.validity.verdict.to_string();
                row.held_out =
                    format!("centred R² {}", number(own.and_then(|own| own.centred_r2), 3));
                row.per_item = format!("median {}", number(own.and_then(|own| own.median), 3));
                (row.outcome, row.class, row.symbol) = (outcome, class, symbol);
                vec![row]
            }
        }
    }

    fn bare(entry: &'a OrderEstimate, seed: &'a EstimateSeed) -> Self {
        let absent = || ABSENT.to_owned();
        Self {
            entry,
            seed,
            estimator: absent(),
            validity: absent(),
            held_out: absent(),
            interval: absent(),
            per_item: absent(),
            relative_error: absent(),
            mae_over_sd: absent(),
            null: absent(),
            speed_up: absent(),
            set_up: absent(),
            break_even: absent(),
            outcome: String::new(),
            class: "plain",
            symbol: "·",
            found: None,
        }
    }

    /// With the costs of the estimator at `place`.
    fn costs(mut self, found: &'a EstimateFound, place: usize) -> Self {
        self.found = Some((found, place));
        let source = match &found.numbers {
            Numbers::Orders(all) => all.get(place).map(|one| &one.source),
            Numbers::Search(_) | Numbers::Position(_) => found.source(),
        };
        if let Some(cost) = source.and_then(|source| source.cost.as_ref()) {
            self.speed_up = format!("{}×", fixed(cost.speed_up, 1));
            self.set_up = fixed(cost.set_up, 0);
            self.break_even = cost.break_even.map_or("never".to_owned(), |orders| fixed(orders, 0));
        }
        self
    }

    /// The cells of the row below [`COLUMNS`].
    #[must_use]
    pub fn cells(&self) -> [&str; 11] {
        [
            &self.validity,
            &self.held_out,
            &self.interval,
            &self.per_item,
            &self.relative_error,
            &self.mae_over_sd,
            &self.null,
            &self.speed_up,
            &self.set_up,
            &self.break_even,
            &self.outcome,
        ]
    }
}

/// The bars of a seed in words, with class and mark.
fn outcome(seed: &EstimateSeed) -> (String, &'static str, &'static str) {
    let named = |verdict| {
        let bars = seed.checks.iter().filter(|check| check.verdict == verdict);
        bars.map(|check| format!("{} {} (is {})", check.bar, check.expected, check.found))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (missed, withheld) = (named(CheckVerdict::Missed), named(CheckVerdict::Withheld));
    match (seed.checks.is_empty(), missed.is_empty(), withheld.is_empty()) {
        (true, ..) => ("no bar".to_owned(), "plain", "·"),
        (_, true, true) => ("met".to_owned(), "yes", "✓"),
        (_, true, false) => (format!("met; withheld: {withheld}"), "yes", "✓"),
        (_, false, true) => (format!("missed: {missed}"), "no", "✗"),
        (_, false, false) => (format!("missed: {missed}; withheld: {withheld}"), "no", "✗"),
    }
}

/// How many seeds met all their bars, missed one, were not made and had none.
#[must_use]
pub fn counts(rows: &[Row<'_>]) -> String {
    let of = |class: &str| rows.iter().filter(|row| row.class == class).count();
    let none = rows.iter().filter(|row| row.outcome == "no bar").count();
    format!("{} met, {} missed, {} not made, {none} without a bar", of("yes"), of("no"), of("open"))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or(ABSENT.to_owned(), |value| fixed(value, digits))
}

/// One figure per entry and seed that has numbers: scatter, strip or curves.
pub(crate) fn figures(analysis: &Analysis) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (number, entry) in analysis.order_estimates.iter().enumerate() {
        for seed in &entry.seeds {
            let EstimateOutcome::Found(found) = &seed.outcome else { continue };
            let mut figure = match &found.numbers {
                Numbers::Orders(all) => match all.first() {
                    Some(first) => crate::estimates::scatter::figure(first),
                    None => continue,
                },
                Numbers::Search(found) => crate::estimates::strip::figure(found),
                Numbers::Position(found) => crate::estimates::curves::figure(found),
            };
            // The question first: what its figure names of its own is the run.
            let (of, what) = figure.title.split_once(": ").unwrap_or(("", &figure.title));
            let estimator = of.split_once(", ").map_or("", |(_, estimator)| estimator);
            let title = format!("{}, seed {}, {estimator}: {what}", entry.name, seed.seed);
            figure.retitle(&title);
            figure.name = format!("estimate-{}-{}", number + 1, crate::text::slug(&seed.seed));
            figures.push(figure);
        }
    }
    figures
}

//! Who trained on which order: a strip a seed, a row an arm, the same shade where the first epoch is the same.

use std::collections::BTreeMap;

use analysis::summary::{Analysis, WorkloadAnalysis};

use crate::figure::{Align, COLUMN, Colour, Figure, INK, MUTED, SMALL, WIDTH};
use crate::font::{shorten, text_width};
use crate::series::{PALETTE, Series};
use crate::text;
use crate::time_to_target::{ROW, label_column};

const TOP: f64 = 82.0;
/// Seeds shown at most, and the narrowest cell that has room for a digest.
const MOST_SEEDS: usize = 24;
const LEAST: f64 = 31.0;
/// How much of its colour a cell has over the ground, light or dark, on which its digest is written.
const TINT: f64 = 0.34;
/// Widest cell.
const WIDEST: f64 = 76.0;
/// Widest law, over both columns and over one.
const LAWS: [f64; 2] = [150.0, 84.0];

/// The figure, where two arms at least have orders; as wide as asked, or wider where digests need it.
pub(crate) fn figure(
    analysis: &Analysis,
    workload: &WorkloadAnalysis,
    series: &[Series],
    width: f64,
) -> Option<Figure> {
    let mine = || analysis.runs.iter().filter(|row| row.workload == workload.workload);
    let mut seeds: Vec<&str> = Vec::new();
    for row in mine() {
        if !seeds.contains(&row.seed.as_str()) {
            seeds.push(&row.seed);
        }
    }
    let left_out = seeds.len().saturating_sub(MOST_SEEDS);
    seeds.truncate(MOST_SEEDS);
    let orders: BTreeMap<(&str, &str), &str> = mine()
        .filter_map(|row| {
            Some(((row.arm.as_str(), row.seed.as_str()), row.first_order_hash.as_deref()?))
        })
        .collect();
    let with = workload
        .arms
        .iter()
        .filter(|arm| seeds.iter().any(|seed| orders.contains_key(&(arm.label.as_str(), *seed))));
    if with.count() < 2 {
        return None;
    }
    let mut explanation =
        "first digits of the digest of the first epoch; cells of one seed with the same shade trained on the same order"
            .to_owned();
    if left_out > 0 {
        explanation.push_str(&format!("; {left_out} more seeds are in the tables"));
    }
    if let Some(words) = Series::left_out(workload) {
        explanation.push_str(&format!("; {words}"));
    }
    let title = format!("{}: orders by seed", workload.workload);
    let widest = workload.arms.iter().map(|arm| text_width(&arm.order_law, SMALL, false));
    let widest = widest.fold(40.0, f64::max);
    let count = seeds.len().max(1) as f64;
    let law = |narrow: bool| widest.min(LAWS[usize::from(narrow)]);
    let room =
        |figure: &Figure, left: f64| (figure.width - 24.0 - law(figure.narrow()) - left) / count;
    let mut figure = Figure::wide(width, title.clone(), &explanation);
    let mut left = label_column(&mut figure, series, TOP);
    if width <= COLUMN && room(&figure, left) < LEAST {
        figure = Figure::wide(WIDTH, title, &explanation);
        left = label_column(&mut figure, series, TOP);
    }
    figure.name = "orders".to_owned();
    let bottom = TOP + ROW * series.len() as f64;
    figure.height = (bottom + 12.0).ceil();
    let cell = room(&figure, left).min(WIDEST);
    let (law_width, laws) = (law(figure.narrow()), left + cell * count + 12.0);
    figure.label((laws, TOP - 8.0), "law", Align::Left, MUTED);
    for (column, seed) in seeds.iter().enumerate() {
        if cell < 16.0 {
            break;
        }
        let seed = shorten(&text::one_line(seed), cell - 4.0, SMALL, false);
        let at = (left + cell * (column as f64 + 0.5), TOP - 8.0);
        figure.write(at, &seed, SMALL, false, Align::Centre, MUTED);
        // Orders in the order in which arms bring them: the baseline's comes first in most suites.
        let mut known: Vec<&str> = Vec::new();
        for (row, arm) in workload.arms.iter().take(series.len()).enumerate() {
            let Some(order) = orders.get(&(arm.label.as_str(), seeds[column])) else { continue };
            let place = known.iter().position(|other| other == order).unwrap_or_else(|| {
                known.push(order);
                known.len() - 1
            });
            let (x, y) = (left + cell * column as f64, TOP + ROW * row as f64);
            let (right, foot) = (x + cell - 2.0, y + ROW - 3.0);
            let corners = vec![(x, y + 1.0), (right, y + 1.0), (right, foot), (x, foot)];
            figure.area(corners, tint(place), TINT);
            if cell >= LEAST {
                let digest: String = order.chars().take(4).collect();
                let at = ((x + right) / 2.0, y + ROW / 2.0 + 3.0);
                figure.write(at, &text::one_line(&digest), SMALL, false, Align::Centre, INK);
            }
        }
    }
    for (row, arm) in workload.arms.iter().take(series.len()).enumerate() {
        let law = shorten(&text::one_line(&arm.order_law), law_width, SMALL, false);
        let at = (laws, TOP + ROW * (row as f64 + 0.5) + 4.0);
        figure.write(at, &law, SMALL, false, Align::Left, MUTED);
    }
    Some(figure)
}

/// A colour for each order of a seed: grey for the first, which most arms share.
fn tint(place: usize) -> Colour {
    if place == 0 { (0x8a, 0x93, 0x9e) } else { PALETTE[1 + (place - 1) % 6] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Shape;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::sample;
    use crate::series::Looks;

    #[test]
    fn arms_that_share_an_order_share_a_shade_and_others_do_not() {
        let mut analysis = sample::loss();
        for row in &mut analysis.runs {
            let own = if row.arm == "muon" { "bb" } else { "aa" };
            row.first_order_hash = Some(format!("{own}{}", row.seed).repeat(20));
        }
        let workload = &analysis.workloads[0];
        let series = Series::of(&Looks::of(&analysis), workload);
        let figure = figure(&analysis, workload, &series, WIDTH).unwrap();
        check_texts(&figure);
        check_shapes(&figure);
        let cells: Vec<Colour> = figure
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Area { colour, .. } => Some(*colour),
                _ => None,
            })
            .collect();
        let column = cells.len() / 5;
        assert_eq!(cells.iter().filter(|colour| **colour == tint(0)).count(), 5 * (column - 1));
        assert_eq!(cells.iter().filter(|colour| **colour == tint(1)).count(), 5);
    }

    #[test]
    fn few_seeds_fit_a_column_of_a_paper_and_many_need_both() {
        let mut analysis = sample::loss();
        for row in &mut analysis.runs {
            row.first_order_hash = Some("ab".repeat(20));
        }
        for wider in [false, true] {
            if wider {
                for seed in 10..22 {
                    let mut row = analysis.runs[0].clone();
                    row.seed = seed.to_string();
                    analysis.runs.push(row);
                }
            }
            let workload = &analysis.workloads[0];
            let series = Series::of(&Looks::of(&analysis), workload);
            let drawn = figure(&analysis, workload, &series, COLUMN).unwrap();
            assert_eq!(drawn.width, if wider { WIDTH } else { COLUMN });
            check_texts(&drawn);
            check_shapes(&drawn);
        }
    }

    #[test]
    fn without_orders_there_is_no_strip() {
        let mut analysis = sample::loss();
        analysis.runs.iter_mut().for_each(|row| row.first_order_hash = None);
        let workload = &analysis.workloads[0];
        let series = Series::of(&Looks::default(), workload);
        assert!(figure(&analysis, workload, &series, WIDTH).is_none());
    }
}

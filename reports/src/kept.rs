//! What stays of each look while a run goes on: a row a look, a column an evaluation, a block an arm. Where looks are what
//! was learnt in turn and evaluations come at the ends of turns, this is the forgetting matrix.

use std::collections::BTreeMap;

use analysis::summary::{ArmAnalysis, CurvePoint, WorkloadAnalysis};

use crate::figure::{Align, BODY, COLUMN, Colour, Figure, INK, MOST_ARMS, MUTED, WIDTH};
use crate::font::{shorten, text_width};
use crate::series::Series;
use crate::text;

const TOP: f64 = 62.0;
/// Height of a row, of a block's heading, and between blocks.
const ROW: f64 = 20.0;
const HEADING: f64 = 22.0;
const GAP: f64 = 12.0;
/// Widest column, and the narrowest that has room for a number.
const WIDEST: f64 = 72.0;
const LEAST: f64 = 40.0;
/// One colour for all arms, so that their shades compare, and how much of it the best value has: letters are read on it,
/// in the light and in the dark.
const SHADE: Colour = (0x00, 0x72, 0xb2);
const DARKEST: f64 = 0.5;

/// Evaluations at which some look was taken, by the samples seen.
fn columns(workload: &WorkloadAnalysis) -> Vec<f64> {
    let points = looking(workload).flat_map(|(_, arm)| arm.looks_by_samples.values().flatten());
    let mut all: Vec<f64> = points.map(|point| point.x).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// Arms with looks along the run, by their place in the suite.
fn looking(workload: &WorkloadAnalysis) -> impl Iterator<Item = (usize, &ArmAnalysis)> {
    let arms = workload.arms.iter().enumerate().take(MOST_ARMS);
    arms.filter(|(_, arm)| !arm.looks_by_samples.is_empty())
}

/// The figure, where looks were taken along the run; as wide as asked, or wider where numbers need it.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Option<Figure> {
    let columns = columns(workload);
    let blocks: Vec<_> =
        looking(workload).filter_map(|(at, arm)| Some((series.get(at)?, arm))).collect();
    if columns.is_empty() || blocks.is_empty() {
        return None;
    }
    let (metric, split) = (&workload.target.metric, &workload.split);
    let explanation =
        format!("{split} {metric}, mean over seeds; a column an evaluation, by samples seen");
    let title = format!("{}: {metric} of each look along the run", workload.workload);
    let names = blocks.iter().flat_map(|(_, arm)| arm.looks_by_samples.keys());
    let widest = names.map(|name| text_width(name, BODY, false)).fold(40.0, f64::max);
    let left = 28.0 + widest.min(240.0);
    let least = left + LEAST * columns.len() as f64 + 12.0;
    let mut figure = Figure::wide(if least <= COLUMN { width } else { WIDTH }, title, &explanation);
    figure.name = "kept".to_owned();
    let cell = ((figure.width - left - 12.0) / columns.len() as f64).min(WIDEST);
    // Blocks stand side by side where there is room.
    let block = left + cell * columns.len() as f64;
    let across = ((figure.width / (block + GAP)) as usize).clamp(1, blocks.len());
    let values = blocks.iter().flat_map(|(_, arm)| arm.looks_by_samples.values().flatten());
    let ends = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], point| {
        [low.min(point.mean), high.max(point.mean)]
    });
    let higher = workload.target.direction.is_higher();
    for aside in (0..across).filter(|_| cell >= LEAST) {
        for (column, samples) in columns.iter().enumerate() {
            let x = (block + GAP) * aside as f64 + left + cell * (column as f64 + 0.5);
            let samples = shorten(&text::fixed(*samples, 0), cell - 4.0, BODY, false);
            figure.write((x, TOP), &samples, BODY, false, Align::Centre, MUTED);
        }
    }
    let mut top = TOP + 6.0;
    for row in blocks.chunks(across) {
        for (place, (series, arm)) in row.iter().enumerate() {
            let from = (block + GAP) * place as f64;
            let label = shorten(&series.label, block - 12.0, BODY, true);
            figure.write((from + 12.0, top + 16.0), &label, BODY, true, Align::Left, INK);
            let cells = Cells { columns: &columns, ends, higher, left: from + left, cell };
            cells.draw(&mut figure, arm, top + HEADING);
        }
        let looks = row.iter().map(|(_, arm)| arm.looks_by_samples.len()).max().unwrap_or(0);
        top += HEADING + ROW * looks as f64 + GAP;
    }
    figure.height = top.ceil();
    Some(figure)
}

/// What the cells of a block stand in.
struct Cells<'a> {
    columns: &'a [f64],
    ends: [f64; 2],
    higher: bool,
    left: f64,
    cell: f64,
}

impl Cells<'_> {
    fn draw(&self, figure: &mut Figure, arm: &ArmAnalysis, mut top: f64) {
        for (name, points) in &arm.looks_by_samples {
            let name = shorten(&text::one_line(name), 240.0, BODY, false);
            figure.write((self.left - 12.0, top + 14.5), &name, BODY, false, Align::Right, INK);
            let at: BTreeMap<u64, &CurvePoint> =
                points.iter().map(|p| (p.x.to_bits(), p)).collect();
            for (column, samples) in self.columns.iter().enumerate() {
                let Some(point) = at.get(&samples.to_bits()) else { continue };
                let x = self.left + self.cell * (column as f64 + 0.5);
                let half = self.cell / 2.0 - 1.0;
                let corners = [(-half, 1.0), (half, 1.0), (half, ROW - 1.0), (-half, ROW - 1.0)];
                let corners = corners.map(|(dx, dy)| (x + dx, top + dy)).to_vec();
                figure.area(corners, SHADE, DARKEST * shade(point.mean, self.ends, self.higher));
                if self.cell >= LEAST {
                    let value = number(point.mean, self.ends);
                    let value = shorten(&value, self.cell - 4.0, BODY, false);
                    figure.write((x, top + 14.5), &value, BODY, false, Align::Centre, INK);
                }
            }
            top += ROW;
        }
    }
}

/// Where a value lies between the worst and the best of all, from a little above 0 up to 1.
fn shade(value: f64, [low, high]: [f64; 2], higher_is_better: bool) -> f64 {
    let share = if high > low { (value - low) / (high - low) } else { 1.0 };
    0.1 + 0.9 * if higher_is_better { share } else { 1.0 - share }
}

/// A value with as many decimals as tell the ends apart.
fn number(value: f64, [low, high]: [f64; 2]) -> String {
    let decimals = if high - low >= 2.0 { 1 } else { 3 };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Shape;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::sample;
    use crate::series::Looks;

    fn learnt_in_turn() -> WorkloadAnalysis {
        let mut workload = sample::full().workloads.remove(0);
        let point = |x: f64, mean: f64| CurvePoint { x, mean, low: mean, high: mean, n: 5 };
        for (place, arm) in workload.arms.iter_mut().take(2).enumerate() {
            let lost = 6.0 * place as f64;
            arm.looks_by_samples = [
                ("session-1".to_owned(), vec![point(16.0, 30.0), point(32.0, 30.0 - lost)]),
                ("session-2".to_owned(), vec![point(32.0, 28.0)]),
            ]
            .into();
        }
        workload
    }

    #[test]
    fn each_arm_has_a_number_for_every_evaluation_of_every_look_and_no_other() {
        let workload = learnt_in_turn();
        let figure = figure(&workload, &Series::of(&Looks::default(), &workload), WIDTH).unwrap();
        let texts: Vec<&str> = figure
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text { text, align: Align::Centre, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        // The arms stand side by side, each below its evaluations.
        let numbers = ["30.0", "30.0", "28.0", "30.0", "24.0", "28.0"];
        assert_eq!(texts[..4], ["16", "32", "16", "32"]);
        assert_eq!(texts[4..], numbers);
        check_texts(&figure);
        check_shapes(&figure);
    }

    #[test]
    fn shades_of_all_arms_compare_and_a_column_of_a_paper_holds_few_evaluations() {
        let mut workload = learnt_in_turn();
        for (width, expected) in [(COLUMN, COLUMN), (WIDTH, WIDTH)] {
            let series = Series::of(&Looks::default(), &workload);
            let figure = figure(&workload, &series, width).unwrap();
            assert_eq!(figure.width, expected);
            check_texts(&figure);
            check_shapes(&figure);
            let cells = figure.shapes.iter().filter_map(|shape| match shape {
                Shape::Area { colour, alpha, .. } => Some((*colour, *alpha)),
                _ => None,
            });
            assert!(cells.clone().count() == 6);
            assert!(cells.clone().all(|(colour, alpha)| colour == SHADE && alpha <= DARKEST));
        }
        let point = |x: f64| CurvePoint { x, mean: 1.0, low: 1.0, high: 1.0, n: 5 };
        for arm in &mut workload.arms {
            let many = (0..40).map(|step| point(f64::from(step))).collect();
            arm.looks_by_samples.insert("a look of sixty letters and more ".repeat(3), many);
        }
        let series = Series::of(&Looks::default(), &workload);
        let figure = figure(&workload, &series, COLUMN).unwrap();
        assert_eq!(figure.width, WIDTH);
        check_texts(&figure);
        check_shapes(&figure);
    }

    #[test]
    fn without_looks_along_the_run_there_is_no_figure() {
        let workload = sample::loss().workloads.remove(0);
        assert!(figure(&workload, &Series::of(&Looks::default(), &workload), WIDTH).is_none());
    }
}

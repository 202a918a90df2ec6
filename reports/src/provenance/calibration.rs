//! p-values that must be uniform: their distribution functions beside the diagonal, in the band
//! that those of uniform numbers leave once in a hundred times.

use std::path::{Path, PathBuf};

use stats::provenance::calibration::public::{PublicCalibration, UniformityCheck};

use crate::ReportError;
use crate::figure::{Align, Colour, Figure, GRID, INK, MUTED, Point};
use crate::series::Dash;
use crate::text::fixed;

const TOP: f64 = 84.0;
const SIDE: f64 = 330.0;
/// Height of a curve's words: what it is, and below it what it came to.
const ENTRY: f64 = 38.0;
const LEFTS: [f64; 2] = [52.0, 466.0];
const COLOURS: [Colour; 3] = [(0x00, 0x72, 0xb2), (0xd5, 0x5e, 0x00), (0x00, 0x9e, 0x73)];
const DASHES: [Dash; 3] = [Dash::Solid, Dash::Dashed, Dash::Chained];

/// Root of n times the distance that Kolmogorov's limit law exceeds with probability 0.01.
const BAND: f64 = 1.6276;

/// Points of a curve at most: more cannot be seen.
const MOST_POINTS: usize = 600;

/// Writes `calibration` as SVG, PNG, CSV and JSON into `out`; returns the paths.
///
/// # Errors
/// When a figure cannot be drawn or the disk refuses.
pub fn render(found: &PublicCalibration, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    super::write(&figure(found), table(found), found, out)
}

/// One row per check.
fn table(found: &PublicCalibration) -> String {
    let mut text =
        "models,examples,reference,p_values,ks_statistic,ks_p,below_0.05,low_0.05,high_0.05,\
         below_0.01,low_0.01,high_0.01,passed\n"
            .to_owned();
    for check in &found.checks {
        let UniformityCheck { models, examples, reference, found, passed, .. } = check;
        let tails = found.tails.iter();
        let tails: Vec<String> =
            tails.map(|tail| format!("{},{},{}", tail.fraction, tail.low, tail.high)).collect();
        text += &format!(
            "{models},{examples},{reference},{},{},{},{},{passed}\n",
            found.n,
            found.ks_statistic,
            found.ks_p,
            tails.join(",")
        );
    }
    text
}

fn figure(found: &PublicCalibration) -> Figure {
    let title = format!("{}: p-values where there is nothing to find", found.workload);
    let explanation = "share of p-values up to p; grey: where uniform ones stay 99 times in 100";
    let mut figure = Figure::new(title, explanation);
    figure.name = "calibration".to_owned();
    let panels = [true, false].map(|models| {
        found.checks.iter().filter(|check| check.models == models).collect::<Vec<_>>()
    });
    let most = panels.iter().map(Vec::len).max().unwrap_or(0);
    figure.height = TOP + SIDE + 58.0 + ENTRY * most as f64;
    for (left, checks) in LEFTS.into_iter().zip(&panels) {
        panel(&mut figure, left, checks);
    }
    figure
}

fn panel(figure: &mut Figure, left: f64, checks: &[&UniformityCheck]) {
    let Some(first) = checks.first() else { return };
    let at = |x: f64, y: f64| (left + x * SIDE, TOP + (1.0 - y) * SIDE);
    let heading = if first.models {
        format!("{} models, each against an order it never saw", whole(first.found.n))
    } else {
        format!("one model against {} fresh orders", whole(first.found.n))
    };
    figure.write((left, TOP - 12.0), &heading, 12.5, true, Align::Left, INK);
    let half = BAND / (first.found.n.max(1) as f64).sqrt();
    figure.area(
        vec![
            at(0.0, 0.0),
            at(0.0, half),
            at(1.0 - half, 1.0),
            at(1.0, 1.0),
            at(1.0, 1.0 - half),
            at(half, 0.0),
        ],
        MUTED,
        0.22,
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        figure.line(vec![at(tick, 0.0), at(tick, 1.0)], GRID, 1.0);
        figure.line(vec![at(0.0, tick), at(1.0, tick)], GRID, 1.0);
        let label = fixed(tick, 2);
        let (x, y) = at(tick, 0.0);
        figure.label((x, y + 18.0), &label, Align::Centre, MUTED);
        let (x, y) = at(0.0, tick);
        figure.label((x - 7.0, y + 4.0), &label, Align::Right, MUTED);
    }
    figure.line(vec![at(0.0, 0.0), at(1.0, 1.0)], MUTED, 1.0);
    for (place, check) in checks.iter().enumerate() {
        let (colour, dash) = (COLOURS[place % 3], DASHES[place % 3]);
        let curve: Vec<Point> = steps(&check.ps).into_iter().map(|(x, y)| at(x, y)).collect();
        figure.dashed(&curve, dash, colour, 1.8);
        let y = TOP + SIDE + 60.0 + ENTRY * place as f64;
        figure.dashed(&[(left, y - 4.0), (left + 26.0, y - 4.0)], dash, colour, 2.2);
        let reference = if check.reference { "with reference" } else { "no reference" };
        let label = format!("n = {}, {reference}", whole(check.examples));
        figure.label((left + 34.0, y), &label, Align::Left, INK);
        let found = format!(
            "KS p = {}, below 0.05: {}",
            fixed(check.found.ks_p, 2),
            check.found.tails.first().map_or_else(String::new, |tail| fixed(tail.fraction, 3))
        );
        figure.label((left + 34.0, y + 16.0), &found, Align::Left, MUTED);
    }
    let (x, y) = at(0.5, 0.0);
    figure.label((x, y + 36.0), "p", Align::Centre, INK);
}

/// A count with thousands separators.
fn whole(count: u64) -> String {
    fixed(count as f64, 0)
}

/// The distribution function of `ps` as a staircase from (0, 0) to (1, 1).
fn steps(ps: &[f64]) -> Vec<Point> {
    let mut sorted = ps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len().max(1) as f64;
    let each = sorted.len().div_ceil(MOST_POINTS).max(1);
    let mut points = vec![(0.0, 0.0)];
    let mut height = 0.0;
    for (place, p) in sorted.iter().enumerate().skip(each - 1).step_by(each) {
        points.push((*p, height));
        height = (place + 1) as f64 / n;
        points.push((*p, height));
    }
    points.extend([(1.0, height), (1.0, 1.0)]);
    points
}

#[cfg(test)]
mod tests {
    use stats::provenance::calibration::calibrate;

    use super::*;

    fn check(models: bool, ps: Vec<f64>) -> UniformityCheck {
        let found = calibrate(&ps).unwrap();
        UniformityCheck { models, examples: 50, reference: true, found, passed: true, ps }
    }

    fn found() -> PublicCalibration {
        let ps = |n: u32| (0..n).map(|k| (f64::from(k) + 0.5) / f64::from(n)).collect();
        PublicCalibration {
            workload: "markov-mlp".to_owned(),
            method: "adam".to_owned(),
            examples: 50,
            checks: vec![check(true, ps(20)), check(false, ps(100))],
            enumerations: Vec::new(),
            passed: true,
        }
    }

    #[test]
    fn the_staircase_rises_by_one_part_at_each_value() {
        let steps = steps(&[0.75, 0.25]);
        let expected = [
            (0.0, 0.0),
            (0.25, 0.0),
            (0.25, 0.5),
            (0.75, 0.5),
            (0.75, 1.0),
            (1.0, 1.0),
            (1.0, 1.0),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn words_of_many_examples_stay_in_the_figure_and_apart() {
        let mut many = found();
        for models in [true, false] {
            let ps: Vec<f64> = (0..40).map(|k| (f64::from(k) + 0.5) / 40.0).collect();
            for reference in [true, false] {
                let examples = 123_456_789;
                let check = check(models, ps.clone());
                many.checks.push(UniformityCheck { examples, reference, ..check });
            }
        }
        let figure = figure(&many);
        crate::figure::tests::check_texts(&figure);
        crate::figure::tests::check_shapes(&figure);
    }

    #[test]
    fn all_four_files_are_written_and_the_table_has_a_row_per_check() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(render(&found(), folder.path()).unwrap().len(), 4);
        let table = table(&found());
        let columns: Vec<usize> = table.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [13, 13, 13]);
    }
}

//! Methods by workloads: how many times sooner each arm reaches each target than the baseline.

use analysis::summary::{Analysis, ArmAnalysis, SpeedUp, WorkloadAnalysis};

use crate::figure::{Align, BODY, Colour, Figure, GRID, INK, MOST_ARMS, MUTED, PAPER, SMALL};
use crate::font::{shorten, text_width, wrap};
use crate::text;

/// The figure's file.
pub(crate) const NAME: &str = "arms-by-workloads";
const TOP: f64 = 62.0;
const ROW: f64 = 25.0;
/// Lines of a workload's name.
const LINES: usize = 2;
/// Widest cell, and the narrowest with a number.
const WIDEST: f64 = 112.0;
const LEAST: f64 = 46.0;
/// Workloads shown at most.
const MOST_WORKLOADS: usize = 40;
/// Sooner than the baseline, and later.
const SOONER: Colour = (0x00, 0x72, 0xb2);
const LATER: Colour = (0xd5, 0x5e, 0x00);
/// How much of its colour a cell without a number has.
const NOTHING: f64 = 0.6;
/// The ratio whose colour is full.
const FULL: f64 = 4.0;

/// What the cells hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Times,
    Samples,
}

impl Of {
    fn ratio(self, arm: &ArmAnalysis) -> Option<&SpeedUp> {
        let found = match self {
            Self::Times => arm.speed_up.as_ref(),
            Self::Samples => arm.fewer_samples.as_ref(),
        };
        found.filter(|found| found.ratio.is_finite() && found.ratio > 0.0)
    }
}

/// The figure, where a suite has several workloads and some arm a ratio to the baseline: of times, or where these are
/// withheld, of samples.
pub(crate) fn figure(analysis: &Analysis, width: f64) -> Option<Figure> {
    let workloads: Vec<&WorkloadAnalysis> =
        analysis.workloads.iter().take(MOST_WORKLOADS).collect();
    let all_arms = || workloads.iter().flat_map(|workload| &workload.arms);
    let of = [Of::Times, Of::Samples]
        .into_iter()
        .find(|of| all_arms().any(|arm| of.ratio(arm).is_some()))?;
    if workloads.len() < 2 {
        return None;
    }
    let mut labels: Vec<&str> = Vec::new();
    for arm in all_arms() {
        if !labels.contains(&arm.label.as_str()) {
            labels.push(&arm.label);
        }
    }
    let left_out = labels.len().saturating_sub(MOST_ARMS);
    labels.truncate(MOST_ARMS);
    let what = match of {
        Of::Times => "train time",
        Of::Samples => "samples",
    };
    let mut explanation = format!(
        "baseline's {what} to the target over the arm's, geometric mean over seeds; blue: less than the baseline, orange: more; a share: seeds that reached it, where not all did"
    );
    if of == Of::Samples {
        explanation.push_str("; times are withheld");
    }
    if left_out > 0 {
        explanation.push_str(&format!("; {left_out} more arms are in the tables"));
    }
    let title = format!("{}: arms by workloads", analysis.suite);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = NAME.to_owned();
    let most = if figure.narrow() { 118.0 } else { 210.0 };
    let names: Vec<String> =
        labels.iter().map(|label| shorten(&text::one_line(label), most, BODY, false)).collect();
    let left = 24.0 + names.iter().map(|name| text_width(name, BODY, false)).fold(40.0, f64::max);
    let room = figure.width - 12.0 - left;
    let cell = (room / workloads.len() as f64).min(WIDEST);
    let top = TOP + 15.0 * LINES as f64;
    for (column, workload) in workloads.iter().enumerate() {
        if cell < LEAST {
            break;
        }
        let lines =
            wrap(&text::one_line(&workload.workload).replace('-', "- "), cell - 6.0, SMALL, LINES);
        let first = top - 6.0 - 14.0 * lines.len().saturating_sub(1) as f64;
        for (line, y) in lines.iter().zip((0..).map(|row| first + 14.0 * f64::from(row))) {
            let at = (left + cell * (column as f64 + 0.5), y);
            figure.write(at, &line.replace("- ", "-"), SMALL, false, Align::Centre, INK);
        }
    }
    for (row, (label, name)) in labels.iter().zip(&names).enumerate() {
        let y = top + ROW * row as f64;
        figure.label((left - 12.0, y + ROW / 2.0 + 4.3), name, Align::Right, INK);
        for (column, workload) in workloads.iter().enumerate() {
            let Some(arm) = workload.arms.iter().find(|arm| arm.label == *label) else { continue };
            let baseline = workload.baseline.as_deref() == Some(*label);
            let x = left + cell * column as f64;
            let (colour, alpha, words, ink) = shown(of, arm, baseline);
            let (right, bottom) = (x + cell - 2.0, y + ROW - 2.0);
            figure.area(vec![(x, y), (right, y), (right, bottom), (x, bottom)], colour, alpha);
            if cell >= LEAST {
                let words = shorten(&words, cell - 6.0, SMALL, false);
                let at = ((x + right) / 2.0, y + ROW / 2.0 + 3.4);
                figure.write(at, &words, SMALL, false, Align::Centre, ink);
            }
        }
    }
    figure.height = (top + ROW * labels.len() as f64 + 10.0).ceil();
    Some(figure)
}

/// Colour of a cell and how much of it lies over the ground, light or dark; what it says, and in which ink.
fn shown(of: Of, arm: &ArmAnalysis, baseline: bool) -> (Colour, f64, String, Colour) {
    let outcomes = &arm.outcomes;
    let ran = outcomes.reached + outcomes.censored + outcomes.diverged;
    if arm.idle {
        return (GRID, NOTHING, "idle".to_owned(), MUTED);
    }
    if let Some(found) = of.ratio(arm) {
        let share = (found.ratio.ln().abs() / FULL.ln()).min(1.0);
        // Where the ground's colour is read better than that of letters, in the light and in the dark; orange is lighter.
        let (colour, full) = if found.ratio >= 1.0 { (SOONER, 0.65) } else { (LATER, 0.8) };
        let ink = if share > full { PAPER } else { INK };
        return (colour, 0.12 + 0.88 * share, text::ratio(found.ratio), ink);
    }
    if outcomes.reached < ran {
        return (GRID, NOTHING, format!("{}/{ran}", outcomes.reached), MUTED);
    }
    let words = if baseline { "baseline" } else { text::ABSENT };
    (GRID, NOTHING, words.to_owned(), MUTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, Shape, WIDTH};
    use crate::sample;

    fn texts(figure: &Figure) -> Vec<&str> {
        let shapes = figure.shapes.iter();
        let texts = shapes.filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn a_cell_says_the_ratio_or_how_many_seeds_got_there() {
        let mut analysis = sample::several();
        let arm = &mut analysis.workloads[1].arms[2];
        (arm.speed_up, arm.outcomes.reached, arm.outcomes.censored) = (None, 3, 2);
        let drawn = figure(&analysis, WIDTH).unwrap();
        let ratio = analysis.workloads[0].arms[1].speed_up.as_ref().unwrap().ratio;
        assert!(texts(&drawn).contains(&text::ratio(ratio).as_str()));
        assert!(texts(&drawn).contains(&"3/5") && texts(&drawn).contains(&"baseline"));
        // Where the clock withholds every time, samples stand in, and the figure says so.
        analysis.workloads.iter_mut().flat_map(|w| &mut w.arms).for_each(|arm| arm.speed_up = None);
        let samples = figure(&analysis, WIDTH).unwrap();
        assert!(samples.explanation.contains("times are withheld"), "{}", samples.explanation);
    }

    #[test]
    fn one_workload_is_no_grid_and_many_fit_a_column() {
        assert!(figure(&sample::full(), WIDTH).is_none());
        let mut analysis = sample::several();
        for copy in 0..30 {
            let mut workload = analysis.workloads[0].clone();
            workload.workload = format!("workload-with-a-long-name-{copy}");
            analysis.workloads.push(workload);
        }
        for width in [COLUMN, WIDTH] {
            for few in [2, 5, 32] {
                let mut analysis = analysis.clone();
                analysis.workloads.truncate(few);
                let figure = figure(&analysis, width).unwrap();
                check_texts(&figure);
                check_shapes(&figure);
            }
        }
    }
}

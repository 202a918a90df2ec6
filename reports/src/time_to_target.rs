//! Train time to the target: one row per arm, with the arms that never reached it in plain sight.

use analysis::summary::{ArmAnalysis, Outcomes, WorkloadAnalysis};

use crate::axis::{Axis, Scale};
use crate::curve::{LOG_FROM, axis_unit, x_axis};
use crate::figure::{Align, BODY, Figure, GRID, INK, MUTED, WIDTH};
use crate::font::text_width;
use crate::series::{Dash, Series};
use crate::text;

const TOP: f64 = 78.0;
/// Height of an arm's row.
pub(crate) const ROW: f64 = 27.0;

/// The figure.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series]) -> Figure {
    let goal = format!(
        "{} {} {}",
        workload.split,
        workload.target.metric,
        text::given(workload.target.value)
    );
    let mut explanation =
        "geometric mean (or median) and 95 % interval; small dots are seeds".to_owned();
    let rows: Vec<(&ArmAnalysis, &Series)> = workload.arms.iter().zip(series).collect();
    if rows.iter().any(|(arm, _)| !arm.idle && arm.outcomes.reached < ran(&arm.outcomes)) {
        explanation.push_str("; open marker with arrow: not reached by then");
    }
    let values = shown_values(&rows);
    let positive = values.iter().copied().filter(|v| *v > 0.0);
    let least = positive.fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    let scale = if most > LOG_FROM * least { Scale::Log } else { Scale::Linear };
    if scale == Scale::Log {
        explanation.push_str("; log axis");
    }
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let mut figure =
        Figure::new(format!("{}: train time to {goal}", workload.workload), &explanation);
    figure.name = "time-to-target".to_owned();
    let bottom = TOP + ROW * rows.len().max(1) as f64 + 4.0;
    figure.height = (bottom + 48.0).ceil();

    let left = label_column(&mut figure, series, TOP);
    let words: Vec<String> = rows.iter().map(|(arm, _)| words(arm)).collect();
    let times = words.iter().map(|words| text_width(words, BODY, false)).fold(75.0, f64::max);
    let tallies = rows.iter().map(|(arm, _)| text_width(&reached(arm), BODY, false));
    let column = WIDTH - 12.0 - tallies.fold(40.0, f64::max) - 16.0 - times;
    let right = column - 24.0;
    let (unit, length) = axis_unit(most, scale);
    let least = if least.is_finite() { least } else { 0.0 };
    let range = match scale {
        Scale::Log => (least / 1.25 / length, most * 1.25 / length),
        // From zero, so that lengths compare, unless all arms are close together.
        Scale::Linear if least < 0.6 * most => (0.0, most * 1.06 / length),
        Scale::Linear => ((least - 0.1 * (most - least)) / length, most * 1.02 / length),
    };
    let x = Axis::new(range, scale, left, right);
    grid(&mut figure, &x, TOP, bottom);
    x_axis(&mut figure, &x, (left, right, bottom), &format!("train time to target ({unit})"));
    figure.label((column, TOP - 9.0), "time [95 %]", Align::Left, MUTED);
    figure.label((WIDTH - 12.0, TOP - 9.0), "seeds", Align::Right, MUTED);

    let baseline = rows.iter().find(|(_, series)| series.baseline);
    if let Some((value, _)) = baseline.and_then(|(arm, _)| text::centre(&arm.time_to_target)) {
        let at = x.at(value / length);
        figure.dashed(&[(at, TOP), (at, bottom)], Dash::Dotted, MUTED, 1.0);
    }
    for (i, ((arm, series), words)) in rows.iter().zip(&words).enumerate() {
        let y = TOP + ROW * (i as f64 + 0.5);
        row(&mut figure, arm, series, &x, length, y);
        let ink = if text::centre(&arm.time_to_target).is_some() { INK } else { MUTED };
        figure.label((column, y + 4.3), words, Align::Left, ink);
        figure.label((WIDTH - 12.0, y + 4.3), &reached(arm), Align::Right, INK);
    }
    if values.is_empty() {
        let middle = ((left + right) / 2.0, (TOP + bottom) / 2.0 + 4.0);
        figure.label(middle, "no arm has run", Align::Centre, MUTED);
    }
    figure
}

/// Cells that count: crashed ones don't.
fn ran(outcomes: &Outcomes) -> u32 {
    outcomes.reached + outcomes.censored + outcomes.diverged
}

/// Everything that the axis must show; interval ends only as far as three times the centre.
fn shown_values(rows: &[(&ArmAnalysis, &Series)]) -> Vec<f64> {
    let mut values = Vec::new();
    for (arm, _) in rows {
        let time = &arm.time_to_target;
        values.extend(time.values.iter().flatten().copied());
        if !arm.idle && arm.outcomes.reached < ran(&arm.outcomes) {
            values.push(time.censored_at.unwrap_or(time.horizon));
        }
        if let Some((centre, _)) = text::centre(time) {
            values.push(centre);
            if let Some(interval) = time.interval {
                values.extend([interval.low.max(centre / 3.0), interval.high.min(centre * 3.0)]);
            }
        }
    }
    values.retain(|v| v.is_finite() && *v >= 0.0);
    values
}

/// `4/5 reached`.
fn reached(arm: &ArmAnalysis) -> String {
    format!("{}/{} reached", arm.outcomes.reached, ran(&arm.outcomes))
}

/// The centre and its interval, or why there is none.
fn words(arm: &ArmAnalysis) -> String {
    let time = &arm.time_to_target;
    let Some((centre, name)) = text::centre(time) else {
        if arm.idle {
            return "trains nothing".to_owned();
        }
        if let Some(words) = text::at_start(time) {
            return words;
        }
        if text::without_clock(arm) {
            return "no clock".to_owned();
        }
        return match (ran(&arm.outcomes), arm.outcomes.diverged) {
            (0, _) => "no run".to_owned(),
            (_, 0) => "not reached".to_owned(),
            (_, diverged) => format!("not reached, {diverged} diverged"),
        };
    };
    let mut words = text::time(centre);
    if let Some(interval) = time.interval {
        let (_, unit) = text::time_unit(centre);
        words.push_str(&format!(" {}", text::interval(&interval, unit)));
    }
    if name == "median" {
        words.push_str(" median");
    }
    words
}

/// One arm: seeds, interval, centre, and an arrow where seeds never got there.
fn row(figure: &mut Figure, arm: &ArmAnalysis, series: &Series, x: &Axis, length: f64, y: f64) {
    let time = &arm.time_to_target;
    let at = |seconds: f64| x.at(seconds / length);
    for value in time.values.iter().flatten() {
        figure.disc((at(*value), y + 7.0), 2.2, series.colour, 0.45);
    }
    if !arm.idle && arm.outcomes.reached < ran(&arm.outcomes) {
        // Open marker where the last censored cell stopped, arrow onwards: the time is at least this.
        let horizon = at(time.censored_at.unwrap_or(time.horizon));
        figure.line(vec![(horizon, y), (horizon + 15.0, y)], series.colour, 1.5);
        let tip = horizon + 20.0;
        let head = vec![(tip, y), (tip - 7.0, y - 4.0), (tip - 7.0, y + 4.0)];
        figure.area(head, series.colour, 1.0);
        figure.marker((horizon, y), 4.6, series, true);
    }
    if let Some((centre, _)) = text::centre(time) {
        if let Some(interval) = time.interval {
            interval_bar(figure, (at(interval.low), at(interval.high)), x, y, series);
        }
        figure.marker((at(centre), y), 5.0, series, false);
    }
}

/// A bar between two positions with caps, cut at the ends of the axis (without a cap there).
pub(crate) fn interval_bar(
    figure: &mut Figure,
    (low, high): (f64, f64),
    x: &Axis,
    y: f64,
    series: &Series,
) {
    let (start, end) = x.ends();
    let (from, to) = (low.clamp(start, end), high.clamp(start, end));
    figure.line(vec![(from, y), (to, y)], series.colour, 2.0);
    for (position, cut) in [(from, low < start), (to, high > end)] {
        if !cut {
            figure.line(vec![(position, y - 4.0), (position, y + 4.0)], series.colour, 1.5);
        }
    }
}

/// Arm names at the left; returns where the plot may begin.
pub(crate) fn label_column(figure: &mut Figure, series: &[Series], top: f64) -> f64 {
    let widths = series.iter().map(|s| text_width(&s.label, BODY, s.baseline));
    let edge = 12.0 + widths.fold(40.0, f64::max);
    for (i, series) in series.iter().enumerate() {
        let y = top + ROW * (i as f64 + 0.5);
        let at = (edge, y + 4.3);
        figure.write(at, &series.label, BODY, series.baseline, Align::Right, INK);
    }
    edge + 16.0
}

/// Vertical grid lines at the ticks.
pub(crate) fn grid(figure: &mut Figure, x: &Axis, top: f64, bottom: f64) {
    let (start, end) = x.ends();
    for tick in x.ticks(((end - start) / 60.0) as usize) {
        figure.line(vec![(tick.at, top), (tick.at, bottom)], GRID, 1.0);
    }
}

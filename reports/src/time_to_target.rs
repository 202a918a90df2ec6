//! Train time to the target: one row per arm, with the arms that never reached it in plain sight.

use analysis::summary::{ArmAnalysis, Outcomes, SpeedUp, ToTarget, WorkloadAnalysis};
use stats::interval::Interval;

use crate::axis::{Axis, Scale};
use crate::curve::{LEAST_SEEDS, LOG_FROM, axis_unit, cut_mark, x_axis};
use crate::figure::{Align, BODY, Figure, GRID, INK, MUTED, TWO_COLUMNS_FROM};
use crate::font::text_width;
use crate::series::{Dash, Series};
use crate::text;

const TOP: f64 = 78.0;
/// Height of an arm's row.
pub(crate) const ROW: f64 = 27.0;
/// Widest arm name where the figure is one column wide.
const NARROW_LABEL: f64 = 132.0;
/// Width of the panel of speed-ups, before it, and the least of the panel of times.
const RATIOS: f64 = 150.0;
const BEFORE_RATIOS: f64 = 30.0;
const LEAST_PANEL: f64 = 120.0;

/// The figure.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Figure {
    let goal = format!(
        "{} {} {}",
        workload.split,
        workload.target.metric,
        text::given(workload.target.value)
    );
    let mut explanation =
        "geometric mean (or median) and 95 % interval from 3 seeds on; small dots are seeds"
            .to_owned();
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
    let narrow = width < TWO_COLUMNS_FROM;
    // One column of a paper has room for the marks alone: the numbers are in the tables.
    let words: Vec<String> =
        rows.iter().map(|(arm, _)| if narrow { String::new() } else { words(arm) }).collect();
    let widest = words.iter().map(|words| text_width(words, BODY, false)).fold(75.0, f64::max);
    let tallies = rows.iter().map(|(arm, _)| text_width(&reached(arm), BODY, false));
    let tallies = tallies.fold(40.0, f64::max) + 16.0;
    let column = width - 12.0 - if narrow { 0.0 } else { widest + tallies };
    let names = label_width(series, narrow) + 28.0;
    // Long names and numbers can leave no room for a second panel.
    let ratios = if narrow || column - names - RATIOS - BEFORE_RATIOS - 24.0 >= LEAST_PANEL {
        Ratios::of(&rows)
    } else {
        Ratios::None
    };
    explanation.push_str(ratios.words());
    let floored = |arm: &ArmAnalysis| ratios.shows(arm).is_some() && arm.noise_floor.is_some();
    if ratios == Ratios::Times && rows.iter().any(|(arm, _)| floored(arm)) {
        explanation.push_str("; grey: what this machine shows between a program and itself (A/A)");
    }
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title = format!("{}: train time to {goal}", workload.workload);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = "time-to-target".to_owned();
    let bottom = TOP + ROW * rows.len().max(1) as f64 + 4.0;
    figure.height = (bottom + 48.0).ceil();

    let left = label_column(&mut figure, series, TOP);
    let beside = if ratios == Ratios::None {
        0.0
    } else if narrow {
        0.4 * (column - left)
    } else {
        RATIOS + BEFORE_RATIOS
    };
    let right = column - 24.0 - beside;
    let (unit, length) = if values.is_empty() { ("s", 1.0) } else { axis_unit(most, scale) };
    let least = if least.is_finite() { least } else { 0.0 };
    let none_reached = rows.iter().all(|(arm, _)| text::centre(&arm.time_to_target).is_none());
    let range = match scale {
        _ if values.is_empty() => (0.0, 1.0),
        Scale::Log => (least / 1.25 / length, most * 1.25 / length),
        // From zero, so that lengths compare, unless all arms are close together; where none has a time, or all have
        // the same, only zero says how far that is.
        Scale::Linear if least < 0.6 * most || none_reached || least > 0.99 * most => {
            (0.0, most * 1.06 / length)
        }
        Scale::Linear => ((least - 0.1 * (most - least)) / length, most * 1.02 / length),
    };
    let x = Axis::new(range, scale, left, right);
    grid(&mut figure, &x, TOP, bottom);
    let name = match (narrow, ratios) {
        (true, _) => "time",
        (false, Ratios::None) => "train time to target",
        (false, _) => "time to target",
    };
    x_axis(&mut figure, &x, (left, right, bottom), &format!("{name} ({unit})"));
    if scale == Scale::Linear && range.0 > 0.0 {
        cut_mark(&mut figure, (left + 1.0, bottom));
    }
    if !narrow {
        figure.label((column, TOP - 9.0), "time [95 %]", Align::Left, MUTED);
        figure.label((figure.width - 12.0, TOP - 9.0), "seeds", Align::Right, MUTED);
    }

    let baseline = rows.iter().find(|(_, series)| series.baseline);
    if let Some((value, _)) = baseline.and_then(|(arm, _)| text::centre(&arm.time_to_target)) {
        let at = x.at(value / length);
        figure.dashed(&[(at, TOP), (at, bottom)], Dash::Dotted, MUTED, 1.0);
    }
    if ratios != Ratios::None {
        let from = right + if narrow { 22.0 } else { BEFORE_RATIOS };
        ratios.draw(&mut figure, &rows, (from, right + beside), bottom);
    }
    for (i, ((arm, series), words)) in rows.iter().zip(&words).enumerate() {
        let y = TOP + ROW * (i as f64 + 0.5);
        row(&mut figure, arm, series, &x, length, y);
        if let Some((value, _)) = text::centre(&arm.time_to_target) {
            figure.spot((x.at(value / length), y), &format!("{}: {words}", series.label));
        }
        let ink = if text::centre(&arm.time_to_target).is_some() { INK } else { MUTED };
        if !narrow {
            figure.label((column, y + 4.3), words, Align::Left, ink);
            figure.label((figure.width - 12.0, y + 4.3), &reached(arm), Align::Right, INK);
        }
    }
    if values.is_empty() {
        let middle = ((left + right) / 2.0, (TOP + bottom) / 2.0 + 4.0);
        let arms = || rows.iter().map(|(arm, _)| arm);
        let words = if arms().any(|arm| arm.time_to_target.at_start > 0) {
            "met at the start"
        } else if arms().any(|arm| ran(&arm.outcomes) > 0) {
            "no arm has a time"
        } else {
            "no arm has run"
        };
        figure.label(middle, words, Align::Centre, MUTED);
    }
    figure
}

/// The ratios to the baseline that stand beside the times: of times where some arm has one, else of samples, which no
/// clock withholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ratios {
    Times,
    Samples,
    None,
}

impl Ratios {
    fn of(rows: &[(&ArmAnalysis, &Series)]) -> Self {
        let any = |ratios: Self| rows.iter().any(|(arm, _)| ratios.shows(arm).is_some());
        [Self::Times, Self::Samples].into_iter().find(|ratios| any(*ratios)).unwrap_or(Self::None)
    }

    fn shows(self, arm: &ArmAnalysis) -> Option<&SpeedUp> {
        let found = match self {
            Self::Times => arm.speed_up.as_ref(),
            Self::Samples => arm.fewer_samples.as_ref(),
            Self::None => None,
        };
        found.filter(|found| found.ratio.is_finite() && found.ratio > 0.0)
    }

    fn words(self) -> &'static str {
        match self {
            Self::Times => "; right: baseline's time over the arm's, by seed",
            Self::Samples => {
                "; right: baseline's samples over the arm's, by seed (times are withheld)"
            }
            Self::None => "",
        }
    }

    fn draw(
        self,
        figure: &mut Figure,
        rows: &[(&ArmAnalysis, &Series)],
        (from, to): (f64, f64),
        bottom: f64,
    ) {
        let shown = rows.iter().filter_map(|(arm, _)| self.shows(arm));
        let ends = shown.flat_map(|found| {
            let interval = found.interval.filter(|_| found.n >= LEAST_SEEDS);
            // An interval that is wider than the rest of the panel is cut.
            let [low, high] = interval.map_or([found.ratio; 2], |i| {
                [i.low.max(found.ratio / 2.0), i.high.min(found.ratio * 2.0)]
            });
            [found.ratio, low, high]
        });
        let (low, high) = ends.fold((1.0_f64, 1.0_f64), |(l, h), v| (l.min(v), h.max(v)));
        let x = Axis::new((low / 1.08, high * 1.08), Scale::Log, from, to);
        for (i, (arm, _)) in rows.iter().enumerate() {
            let y = TOP + ROW * i as f64;
            if let Some(floor) = arm.noise_floor.filter(|_| self == Self::Times) {
                let [low, high] = [-floor, floor].map(|log| x.at(log.exp()).clamp(from, to));
                let corners = vec![(low, y), (high, y), (high, y + ROW), (low, y + ROW)];
                figure.area(corners, MUTED, 0.22);
            }
        }
        grid(figure, &x, TOP, bottom);
        let narrow = figure.narrow();
        let name = match (self, narrow) {
            (Self::Times, false) => "times faster",
            (Self::Times, true) => "× faster",
            (_, false) => "times fewer samples",
            (_, true) => "× fewer samples",
        };
        x_axis(figure, &x, (from, to, bottom), name);
        let one = x.at(1.0);
        figure.dashed(&[(one, TOP), (one, bottom)], Dash::Dotted, MUTED, 1.0);
        for (i, (arm, series)) in rows.iter().enumerate() {
            let y = TOP + ROW * (i as f64 + 0.5);
            if let Some(found) = self.shows(arm) {
                if let Some(interval) = found.interval.filter(|_| found.n >= LEAST_SEEDS) {
                    interval_bar(figure, (x.at(interval.low), x.at(interval.high)), &x, y, series);
                }
                figure.marker((x.at(found.ratio), y), 5.0, series, false);
            } else if !series.baseline && !arm.idle {
                figure.label(((from + to) / 2.0, y + 4.3), text::ABSENT, Align::Centre, MUTED);
            }
        }
    }
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
            if let Some(interval) = interval(arm) {
                values.extend([interval.low.max(centre / 3.0), interval.high.min(centre * 3.0)]);
            }
        }
    }
    values.retain(|v| v.is_finite() && *v >= 0.0);
    values
}

/// The interval of the centre, where there are seeds enough for one and an end of it is a number.
fn interval(arm: &ArmAnalysis) -> Option<Interval> {
    let ToTarget { values, interval, .. } = &arm.time_to_target;
    let told = |found: &Interval| found.low.is_finite() || found.high.is_finite();
    interval.filter(|found| values.len() >= LEAST_SEEDS as usize && told(found))
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
    if let Some(interval) = interval(arm) {
        let (_, unit) = text::time_unit(centre);
        words.push_str(&format!(" {}", text::interval(&interval, unit)));
    }
    if name == "median" {
        words.push_str(" median");
    }
    if time.values.len() == 2 {
        words.push_str(", 2 seeds");
    }
    words
}

/// One arm: seeds, interval, centre, and an arrow where seeds never got there.
fn row(figure: &mut Figure, arm: &ArmAnalysis, series: &Series, x: &Axis, length: f64, y: f64) {
    let time = &arm.time_to_target;
    let at = |seconds: f64| x.at(seconds / length);
    for value in time.values.iter().flatten().filter(|value| x.shows(**value / length)) {
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
        if let Some(interval) = interval(arm) {
            interval_bar(figure, (at(interval.low), at(interval.high)), x, y, series);
        }
        figure.marker((at(centre), y), 5.0, series, false);
    }
}

/// A bar between two positions with caps, cut at the ends of the axis: with an arrow there.
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
    // Axes may be laid over either direction; positions are compared with a hair's breadth.
    for (position, cut, inwards) in [(from, low < start - 0.01, 6.0), (to, high > end + 0.01, -6.0)]
    {
        if cut {
            let base = position + inwards;
            figure.area(vec![(position, y), (base, y - 4.0), (base, y + 4.0)], series.colour, 1.0);
        } else {
            figure.line(vec![(position, y - 4.0), (position, y + 4.0)], series.colour, 1.5);
        }
    }
}

/// Width of the widest arm name.
fn label_width(series: &[Series], narrow: bool) -> f64 {
    let most = if narrow { NARROW_LABEL } else { f64::INFINITY };
    let widths = series.iter().map(|s| text_width(&s.label, BODY, s.baseline).min(most));
    widths.fold(40.0, f64::max)
}

/// Arm names at the left; returns where the plot may begin.
pub(crate) fn label_column(figure: &mut Figure, series: &[Series], top: f64) -> f64 {
    let edge = 12.0 + label_width(series, figure.narrow());
    let short = Series::within(series, if figure.narrow() { NARROW_LABEL } else { f64::INFINITY });
    for (i, series) in short.iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, Shape, WIDTH};
    use crate::sample;
    use crate::series::Looks;

    fn drawn(workload: &WorkloadAnalysis, width: f64) -> Figure {
        figure(workload, &Series::of(&Looks::default(), workload), width)
    }

    fn texts(figure: &Figure) -> Vec<&str> {
        let texts = figure.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn where_no_arm_has_a_time_the_axis_begins_at_nothing_and_arrows_stand_at_the_budget() {
        for analysis in [sample::forty(), sample::lone()] {
            for width in [COLUMN, WIDTH] {
                let figure = drawn(&analysis.workloads[0], width);
                check_shapes(&figure);
                check_texts(&figure);
                assert!(texts(&figure).contains(&"0"), "{:?}", texts(&figure));
                // Open markers, whose paper is the last that is painted of them, in the last fifth of the axis.
                let axis = figure.shapes.iter().find_map(|shape| match shape {
                    Shape::Line { points, colour: MUTED, .. } if points[0].1 == points[1].1 => {
                        Some((points[0].0, points[1].0))
                    }
                    _ => None,
                });
                let (left, right) = axis.unwrap();
                let heads = figure.shapes.iter().filter_map(|shape| match shape {
                    Shape::Area { points, alpha, .. } if points.len() == 3 && *alpha == 1.0 => {
                        Some(points[0].0)
                    }
                    _ => None,
                });
                let tips: Vec<f64> = heads.collect();
                assert!(
                    tips.iter()
                        .any(|tip| (left + 0.8 * (right - left)..right + 26.0).contains(tip)),
                    "{tips:?}"
                );
            }
        }
    }

    #[test]
    fn a_floor_is_explained_only_where_one_is_drawn() {
        let mut workload = sample::full().workloads.remove(0);
        assert!(drawn(&workload, WIDTH).explanation.contains("A/A"));
        workload.arms.iter_mut().for_each(|arm| arm.speed_up = None);
        let figure = drawn(&workload, WIDTH);
        assert!(figure.explanation.contains("times are withheld"), "{}", figure.explanation);
        assert!(!figure.explanation.contains("A/A"), "{}", figure.explanation);
    }

    #[test]
    fn an_interval_without_a_number_is_no_interval_and_makes_no_log_axis() {
        let mut workload = sample::full().workloads.remove(0);
        workload.arms.truncate(4);
        let nothing = Interval { low: f64::NAN, high: f64::NAN, level: 0.95 };
        workload.arms.iter_mut().for_each(|arm| arm.time_to_target.interval = Some(nothing));
        let figure = drawn(&workload, WIDTH);
        assert!(!figure.explanation.contains("log axis"), "{}", figure.explanation);
        let words = texts(&figure);
        assert!(words.contains(&"5.76 s"), "{words:?}");
        assert!(words.iter().all(|words| !words.contains('–')), "{words:?}");
    }
}

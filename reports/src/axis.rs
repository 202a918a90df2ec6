//! Axes: where a value stands on a figure and which round values are labelled.

use crate::text;

/// Whether equal distances mean equal differences or equal ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Log,
}

/// A range of values laid over a range of figure units.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    from: f64,
    to: f64,
}

/// A labelled value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

impl Axis {
    /// Lays `low..high` (any order, made finite and non-empty) over `from..to` figure units.
    pub(crate) fn new((low, high): (f64, f64), scale: Scale, from: f64, to: f64) -> Self {
        let finite = |v: f64, otherwise: f64| if v.is_finite() { v } else { otherwise };
        let (mut low, mut high) = (finite(low.min(high), 0.0), finite(low.max(high), 1.0));
        let scale = if low > 0.0 { scale } else { Scale::Linear };
        if high <= low + low.abs() * 1e-12 {
            let margin = (low.abs() * 0.05).max(1e-3);
            // What is not negative has no room below nothing: no time before the start.
            let below = if low >= 0.0 { low.min(margin) } else { margin };
            (low, high) = (low - below, high + margin);
        }
        Self { low, high, scale, from, to }
    }

    /// Position of `value`, clamped to ten axis lengths beyond either end.
    pub(crate) fn at(&self, value: f64) -> f64 {
        // Halves keep the difference of two huge values of opposite sign finite.
        let share = match self.scale {
            Scale::Linear => (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0),
            Scale::Log => {
                (value.max(f64::MIN_POSITIVE).ln() - self.low.ln())
                    / (self.high.ln() - self.low.ln())
            }
        };
        let share = if share.is_nan() { 0.0 } else { share.clamp(-10.0, 11.0) };
        self.from + share * (self.to - self.from)
    }

    /// Where the axis begins and ends on the figure.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.from, self.to)
    }

    /// True when `value` lies on the axis.
    pub(crate) fn shows(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round values on the axis, about `count` of them, each with its label.
    pub(crate) fn ticks(&self, count: usize) -> Vec<Tick> {
        let mut values = match self.scale {
            Scale::Linear => Vec::new(),
            Scale::Log => self.log_values(count),
        };
        let logarithmic = values.len() >= 3;
        let mut step = self.step(count);
        if !logarithmic {
            values = self.linear_values(step);
            // One label says where a value is and not how far it is to another: two at least.
            for finer in [2, 4, 8, 16] {
                if values.len() < 2 {
                    step = self.step(count.max(1) * finer);
                    values = self.linear_values(step);
                }
            }
        }
        let mut ticks: Vec<Tick> = Vec::new();
        for value in values {
            let label =
                if logarithmic { plain(value) } else { stepped(value, step, self.largest()) };
            // Labels repeat when the range is finer than a double can hold.
            if ticks.last().is_none_or(|last| last.label != label) {
                ticks.push(Tick { at: self.at(value), label });
            }
        }
        ticks
    }

    fn largest(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    fn step(&self, count: usize) -> f64 {
        let rough = (self.high / 2.0 - self.low / 2.0) / count.max(1) as f64 * 2.0;
        let power = 10f64.powf(rough.log10().floor());
        let lead = rough / power;
        let round = [1.0, 2.0, 5.0].into_iter().find(|r| lead <= r * 1.0001).unwrap_or(10.0);
        round * power
    }

    fn linear_values(&self, step: f64) -> Vec<f64> {
        let first = (self.low / step - 1e-9).ceil();
        (0..50)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|value| *value <= self.high + step * 1e-9)
            .collect()
    }

    fn log_values(&self, count: usize) -> Vec<f64> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let within = |leads: &[f64], stride: usize| -> Vec<f64> {
            (first..=last)
                .step_by(stride)
                .flat_map(|power| leads.iter().map(move |lead| lead * 10f64.powi(power)))
                .filter(|value| self.shows(*value))
                .collect()
        };
        let detailed = within(&[1.0, 2.0, 5.0], 1);
        if detailed.len() <= count + 3 {
            return detailed;
        }
        let stride = ((last - first) as usize).div_ceil(count.max(1)).max(1);
        within(&[1.0], stride)
    }
}

fn plain(value: f64) -> String {
    if (1e-3..1e6).contains(&value) {
        let decimals = (-value.log10().floor()).max(0.0) as usize;
        text::fixed(value, decimals)
    } else {
        format!("{value:.0e}")
    }
}

fn stepped(value: f64, step: f64, largest: f64) -> String {
    // The sum of rounding errors must not show as −0.000.
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    if largest >= 1e6 || step < 1e-5 {
        let digits = (largest / step).log10().ceil().clamp(0.0, 6.0) as usize;
        return if value == 0.0 { "0".to_owned() } else { format!("{value:.digits$e}") };
    }
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    text::fixed(value, decimals)
}

/// A range that shows the bulk of `values` and all of `keep`, with a margin.
///
/// Values beyond three interquartile ranges are left off, so that one diverged arm can't squeeze
/// the others into a line; a caller marks what it leaves off.
pub(crate) fn zoom(values: &[f64], keep: &[f64]) -> (f64, f64) {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let quartile = |share: f64| {
        let index = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
        sorted.get(index).copied().unwrap_or(0.0)
    };
    let (first, third) = (quartile(0.25), quartile(0.75));
    let reach = 3.0 * (third - first).max(0.01 * first.abs().max(third.abs()));
    let shown = sorted
        .iter()
        .copied()
        .filter(|v| (first - reach..=third + reach).contains(v))
        .chain(keep.iter().copied().filter(|v| v.is_finite()));
    let (low, high) =
        shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    // Where nothing was measured, how near a value lies to what is to be kept says nothing.
    let least = if sorted.is_empty() { 0.1 } else { 1e-4 };
    let margin = ((high / 2.0 - low / 2.0) * 0.12).max(high.abs().max(low.abs()) * least);
    (low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(axis: &Axis, count: usize) -> Vec<String> {
        axis.ticks(count).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let axis = Axis::new((0.0, 10.0), Scale::Linear, 0.0, 100.0);
        assert_eq!(labels(&axis, 5), ["0", "2", "4", "6", "8", "10"]);
        let axis = Axis::new((0.912, 0.958), Scale::Linear, 0.0, 100.0);
        assert_eq!(labels(&axis, 5), ["0.92", "0.93", "0.94", "0.95"]);
        let axis = Axis::new((0.5, 60.0), Scale::Log, 0.0, 100.0);
        assert_eq!(labels(&axis, 6), ["0.5", "1", "2", "5", "10", "20", "50"]);
    }

    #[test]
    fn an_axis_has_two_labels_at_least_however_short_it_is() {
        for (low, high) in [(0.65, 1.95), (0.2, 0.9), (1.01, 1.04), (3.0, 49.0), (0.1, 0.1001)] {
            for scale in [Scale::Linear, Scale::Log] {
                for count in [0, 1, 5] {
                    let labels = labels(&Axis::new((low, high), scale, 0.0, 60.0), count);
                    assert!((2..=12).contains(&labels.len()), "{low} to {high}: {labels:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_but_zeros_leaves_no_room_for_less() {
        let axis = Axis::new((0.0, 0.0), Scale::Linear, 0.0, 100.0);
        assert!(axis.shows(0.0) && !axis.shows(-1e-9), "{axis:?}");
        assert_eq!(axis.at(0.0), 0.0);
    }

    #[test]
    fn a_target_alone_is_in_the_middle_of_a_range_that_can_be_read() {
        let (low, high) = zoom(&[f64::NAN], &[0.95]);
        assert!(low < 0.9 && high > 1.0, "{low} {high}");
        assert_eq!(zoom(&[], &[]), (0.0, 1.0));
    }

    #[test]
    fn outlier_does_not_squeeze_the_rest() {
        let (low, _) = zoom(&[0.90, 0.91, 0.92, 0.93, 0.10], &[]);
        assert!(low > 0.85, "{low}");
        let (low, _) = zoom(&[0.90, 0.91, 0.92, 0.93, 0.10], &[0.5]);
        assert!(low < 0.5, "the target must be shown, {low}");
    }

    proptest! {
        #[test]
        fn any_range_gives_finite_positions_and_distinct_labels(
            a in any::<f64>(), b in any::<f64>(), v in any::<f64>(), log in any::<bool>(),
        ) {
            let scale = if log { Scale::Log } else { Scale::Linear };
            let axis = Axis::new((a, b), scale, 10.0, 210.0);
            prop_assert!(axis.at(v).is_finite());
            let ticks = axis.ticks(5);
            prop_assert!(ticks.len() <= 50);
            prop_assert!(ticks.windows(2).all(|pair| pair[0].label != pair[1].label));
            prop_assert!(ticks.iter().all(|tick| tick.at.is_finite()));
        }
    }
}

//! How numbers and labels read: units, sensible digits, and labels that can't break a line.

use analysis::suite::CompareBy;
use analysis::summary::{ArmAnalysis, ClaimOutcome, CurvePoint, Estimate, ToTarget};
use stats::interval::Interval;

/// Shown where a value does not exist.
pub(crate) const ABSENT: &str = "–";

/// `label` on one line: control characters and those that reorder text become U+FFFD.
///
/// XML forbids most control characters, and a right-to-left override in a label could make a
/// number read backwards.
pub(crate) fn one_line(label: &str) -> String {
    label
        .chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => '\u{FFFD}',
            '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
            c if c.is_control() => '\u{FFFD}',
            c => c,
        })
        .collect()
}

/// What a run counts, as people say it: `forward_tokens` are forward tokens.
pub(crate) fn counted(cost: &str) -> String {
    one_line(&cost.replace('_', " "))
}

/// The name of an axis of what is counted, up to `most` of it, and how many one of its units are.
pub(crate) fn count_axis(what: &str, most: f64) -> (String, f64) {
    match most {
        m if m >= 2e6 => (format!("{what} (millions)"), 1e6),
        m if m >= 2e3 => (format!("{what} (thousands)"), 1e3),
        _ => (what.to_owned(), 1.0),
    }
}

/// `text` with a capital letter first.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// `value` with `digits` significant digits and thousands separators; scientific when extreme.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return non_finite(value);
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // Rounding first: 9.996 at three digits is 10.0, not 10.00.
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let exponent: i32 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    if !(-4..9).contains(&exponent) {
        return scientific;
    }
    let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    fixed(value, decimals)
}

/// `value` as somebody gave it, such as a target: the shortest decimal that reads back as the same number.
#[must_use]
pub fn given(value: f64) -> String {
    if !value.is_finite() {
        return non_finite(value);
    }
    let short = match value.abs() {
        size if size > 0.0 && !(1e-5..1e9).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    };
    short.replacen('-', "−", usize::from(value < 0.0))
}

/// `value` with `decimals` digits after the point and thousands separators.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return non_finite(value);
    }
    if value.abs() >= 1e9 {
        return format!("{value:.2e}");
    }
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) =
        plain.split_once('.').map_or((plain.as_str(), None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let zero = plain.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !zero { "−" } else { "" };
    match fraction {
        Some(fraction) => format!("{sign}{grouped}.{fraction}"),
        None => format!("{sign}{grouped}"),
    }
}

/// A value that was measured at, as it was given where that is short.
pub(crate) fn measured(value: f64) -> String {
    let given = value.to_string().replace('-', "−");
    if value.fract() == 0.0 && value.abs() < 1e9 {
        fixed(value, 0)
    } else if given.chars().count() <= 7 {
        given
    } else {
        significant(value, 3)
    }
}

fn non_finite(value: f64) -> String {
    if value.is_nan() {
        ABSENT.to_owned()
    } else if value > 0.0 {
        "∞".to_owned()
    } else {
        "−∞".to_owned()
    }
}

/// Digits after the point that show `half_width` with one digit, or two when it starts with a 1.
pub(crate) fn decimals_for(half_width: f64) -> usize {
    if !half_width.is_finite() || half_width <= 0.0 {
        return 3;
    }
    let exponent = half_width.log10().floor();
    let leading = half_width / 10f64.powf(exponent);
    let digits = if leading < 1.95 { 1.0 } else { 0.0 };
    (digits - exponent).clamp(0.0, 6.0) as usize
}

/// The unit in which a time of `seconds` reads best: its name and its length in seconds.
pub(crate) fn time_unit(seconds: f64) -> (&'static str, f64) {
    match seconds.abs() {
        s if s < 0.5 => ("ms", 1e-3),
        s if s < 600.0 => ("s", 1.0),
        s if s < 7200.0 => ("min", 60.0),
        _ => ("h", 3600.0),
    }
}

/// `12.4 s`.
pub(crate) fn time(seconds: f64) -> String {
    let (unit, length) = time_unit(seconds);
    format!("{} {unit}", significant(seconds / length, 3))
}

/// `[11.8, 13.1]`, both ends over `unit`.
pub(crate) fn interval(interval: &Interval, unit: f64) -> String {
    format!("[{}, {}]", significant(interval.low / unit, 3), significant(interval.high / unit, 3))
}

/// The point shown for a time (or samples) to target: the geometric mean where every cell reached
/// the target, else the median, with its name.
pub(crate) fn centre(to_target: &ToTarget) -> Option<(f64, &'static str)> {
    to_target
        .geometric_mean
        .map(|value| (value, "geometric mean"))
        .or_else(|| to_target.median.map(|value| (value, "median")))
        .filter(|(value, _)| value.is_finite())
}

/// Whether an arm has runs and none of them has a time: they were imported from logs without a clock.
#[must_use]
pub fn without_clock(arm: &ArmAnalysis) -> bool {
    let outcomes = &arm.outcomes;
    let ran = outcomes.reached + outcomes.censored + outcomes.diverged > 0;
    let time = &arm.time_to_target;
    ran && !arm.idle && time.values.is_empty() && time.at_start == 0
}

/// That cells met the target before their first step, where some did: they have no time.
pub(crate) fn at_start(to_target: &ToTarget) -> Option<String> {
    let all = to_target.values.len() + to_target.at_start as usize;
    match to_target.at_start as usize {
        0 => None,
        met if met == all => Some("met at the start".to_owned()),
        met => Some(format!("met at the start, {met} of {all}")),
    }
}

/// A mean and its interval: `0.953` with `± 0.004`, or with `[0.949, 0.956]` when lopsided.
pub(crate) fn estimate(estimate: &Estimate) -> (String, String) {
    let Some(interval) = estimate.interval else {
        return (significant(estimate.value, 3), format!("n = {}", estimate.n));
    };
    let half = (interval.high - interval.low) / 2.0;
    let lean = (interval.high + interval.low) / 2.0 - estimate.value;
    if half.abs() >= 1e5 || half.abs() < 1e-6 || estimate.value.abs() >= 1e6 {
        return (significant(estimate.value, 4), self::interval(&interval, 1.0));
    }
    let decimals = decimals_for(half);
    let value = fixed(estimate.value, decimals);
    if lean.abs() <= 0.02 * half.abs() {
        (value, format!("± {}", fixed(half, decimals)))
    } else {
        (value, format!("[{}, {}]", fixed(interval.low, decimals), fixed(interval.high, decimals)))
    }
}

/// `sgd: 0.953 [0.949, 0.957] at 12.4`, a point of a curve in the figure's units.
pub(crate) fn point(label: &str, point: &CurvePoint) -> String {
    let ends = Interval { low: point.low, high: point.high, level: 0.95 };
    let ends = if point.n > 1 { format!(" {}", interval(&ends, 1.0)) } else { String::new() };
    format!("{label}: {}{ends} at {}", significant(point.mean, 4), significant(point.x, 4))
}

/// `p = 0.0625`, or `p < 0.001`.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {}", significant(p, 3)) }
}

/// `1.21×`.
pub(crate) fn ratio(value: f64) -> String {
    format!("{}×", significant(value, 3))
}

/// The measured effect of a claim with its interval, on the claim's scale.
pub(crate) fn effect(claim: &ClaimOutcome) -> String {
    let Some(effect) = claim.effect else { return ABSENT.to_owned() };
    let ends = claim.interval.map(|i| format!(" {}", interval(&i, 1.0))).unwrap_or_default();
    format!("{}{ends}", on_scale(claim, effect))
}

/// `value` on the scale of `claim`: `1.21×` or `+0.012`.
pub(crate) fn on_scale(claim: &ClaimOutcome, value: f64) -> String {
    if claim.scale == CompareBy::Ratio {
        ratio(value)
    } else {
        let sign = if value > 0.0 { "+" } else { "" };
        format!("{sign}{}", significant(value, 3))
    }
}

/// The effect that a claim asks for, as its suite gives it: `1.2×` or `+0.012`; of one that claims to be at most so much
/// worse the margin, `−0.005` or `0.909×`.
#[must_use]
pub fn asked(claim: &ClaimOutcome) -> String {
    let bar = claim.bar();
    match claim.scale {
        CompareBy::Ratio if claim.non_inferior => ratio(bar),
        CompareBy::Ratio => format!("{}×", given(bar)),
        CompareBy::Difference if bar > 0.0 => format!("+{}", given(bar)),
        CompareBy::Difference => given(bar),
    }
}

/// First eight characters of a digest, with an ellipsis when there are more.
pub(crate) fn short_hash(digest: &str) -> String {
    let short: String = digest.chars().take(8).collect();
    if short.len() < digest.len() { format!("{short}…") } else { short }
}

/// A file name made of `label`: lower-case letters, digits, `.`, `_` and `-`; never a path.
pub(crate) fn slug(label: &str) -> String {
    let mut slug = String::new();
    for c in label.chars().take(80) {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '_' | '.') => slug.push(c),
            _ if !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_matches(['-', '.']);
    if slug.is_empty() { "workload".to_owned() } else { slug.to_owned() }
}

/// True when the point can be placed on a plot.
pub(crate) fn drawable(point: &CurvePoint) -> bool {
    point.x.is_finite() && point.mean.is_finite()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_interval(value: f64, low: f64, high: f64) -> Estimate {
        let interval = Some(Interval { low, high, level: 0.95 });
        Estimate { value, interval, method: "student-t".to_owned(), n: 5, values: vec![] }
    }

    #[test]
    fn numbers_keep_their_significant_digits() {
        assert_eq!(significant(12.37, 3), "12.4");
        assert_eq!(significant(9.996, 3), "10.0");
        assert_eq!(significant(12_800.0, 3), "12,800");
        assert_eq!(significant(-0.000_5, 2), "−0.00050");
        assert_eq!(significant(1.5e300, 3), "1.50e300");
        assert_eq!(significant(f64::INFINITY, 3), "∞");
        assert_eq!(fixed(-0.0001, 2), "0.00");
    }

    #[test]
    fn what_was_given_is_shown_with_all_its_digits_and_no_others() {
        for (value, shown) in [
            (0.9999, "0.9999"),
            (0.97, "0.97"),
            (1.0, "1"),
            (12_345.678_9, "12345.6789"),
            (-0.05, "−0.05"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-2.5e-9, "−2.5e-9"),
            (1e21, "1e21"),
        ] {
            assert_eq!(given(value), shown);
        }
    }

    #[test]
    fn times_choose_their_unit() {
        assert_eq!(time(0.0124), "12.4 ms");
        assert_eq!(time(12.37), "12.4 s");
        assert_eq!(time(3600.0), "60.0 min");
        assert_eq!(time(360_000.0), "100 h");
    }

    #[test]
    fn mean_has_the_digits_of_its_interval() {
        assert_eq!(
            estimate(&with_interval(0.95321, 0.94921, 0.95721)),
            ("0.953".to_owned(), "± 0.004".to_owned())
        );
        assert_eq!(
            estimate(&with_interval(0.8, 0.38, 0.96)),
            ("0.8".to_owned(), "[0.4, 1.0]".to_owned())
        );
    }

    #[test]
    fn hostile_labels_become_one_harmless_line() {
        assert_eq!(one_line("a\nb\u{0}c\u{202E}d"), "a b\u{FFFD}c\u{FFFD}d");
        // What the terminal shows by its code, too.
        let turning = "\u{61C}\u{200E}\u{200F}\u{202A}\u{2066}\u{2069}\u{9B}";
        assert_eq!(one_line(turning), "\u{FFFD}".repeat(7));
        assert_eq!(one_line("a\u{2028}b\u{2029}c"), "a b c");
        assert_eq!(slug("../../etc/Passwd"), "etc-passwd");
        assert_eq!(slug("…"), "workload");
    }
}

//! Where one series of numbers changes its level.

use std::collections::BTreeSet;

use stats::divisive::{Search, mean, t_test};

use super::calibrate::{Noise, Null, correlation};
use super::changes::Options;

/// p-value above which a split is not even a candidate.
const WEAK: f64 = 0.05;
/// p-value at which a split counts while the noise is being measured.
const PROVISIONAL: f64 = 0.001;
/// Each coarser look at a series joins this many values of the finer one.
const COARSER: usize = 4;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// First value of the new level.
    pub(super) at: usize,
    /// t-test of the two levels, over all of their values.
    pub(super) p: f64,
    /// Bound on the chance that noise gives such a change anywhere in the series.
    pub(super) chance: f64,
}

/// What was found in a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Levels {
    /// Changes, in order.
    pub(super) found: Vec<Found>,
    /// Windows that were searched, at all strides.
    pub(super) windows: usize,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    at: usize,
    /// Values per block of the look that found it: how exactly it is placed.
    stride: usize,
    p: f64,
}

/// Finds the changes of a series of finite numbers.
///
/// Windows that overlap by half are searched and split until nothing is left to split, first over
/// the values and then over means of 4, 16, … of them, so that a change too small or too slow for
/// one window is found as well. A candidate stands when noise gives one as clear, anywhere in the
/// series, with a chance of at most `false_alarms`: in the window that it was found in, and again
/// between the two whole levels that it parts.
pub(super) fn levels(values: &[f64], options: &Options, purpose: &str) -> Levels {
    let (candidates, windows) = candidates(values, options);
    let provisional = standing(values, &candidates, options.minimum, |p| p <= PROVISIONAL);
    if candidates.is_empty() {
        return Levels { found: Vec::new(), windows };
    }
    let noise = residuals(values, &provisional);
    let Options { window, minimum, draws, seed, .. } = *options;
    let noise = Noise { values: &noise, correlation: correlation(values) };
    let null = Null::of_noise(&noise, window, minimum, draws, seed, purpose);
    let chance = |p: f64| (null.chance(p) * windows as f64).min(1.0);
    let stands = |p: f64| chance(p) <= options.false_alarms;
    let points = standing(values, &candidates, minimum, stands);
    let found = (0..points.len())
        .map(|place| {
            let p = p_at(values, &points, place, minimum);
            Found { at: points[place], p, chance: chance(p) }
        })
        .collect();
    Levels { found, windows }
}

/// Candidates of all looks, and how many windows were searched.
fn candidates(values: &[f64], options: &Options) -> (Vec<Candidate>, usize) {
    let Options { window, minimum, .. } = *options;
    let mut search = Search::new(minimum);
    let mut candidates = Vec::new();
    let mut windows = 0;
    let mut stride = 1;
    let mut blocks = values.to_vec();
    loop {
        for range in halves_overlapping(blocks.len(), window) {
            windows += 1;
            let mut open = vec![range];
            while let Some((from, to)) = open.pop() {
                let part = &blocks[from..to];
                let Some(split) = search.best(part) else { continue };
                let p = t_test(&part[..split.at], &part[split.at..split.end]);
                if p <= WEAK {
                    let at = from + split.at;
                    candidates.push(Candidate { at: at * stride, stride, p });
                    open.extend([(from, at), (at, to)]);
                }
            }
        }
        stride *= COARSER;
        if values.len() / stride < window / 2 {
            return (candidates, windows);
        }
        blocks = values.chunks_exact(stride).map(mean).collect();
    }
}

/// Windows of `window` values that overlap by half and cover `0..length`.
fn halves_overlapping(length: usize, window: usize) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut from = 0;
    loop {
        let to = (from + window).min(length);
        ranges.push((from, to));
        if to == length {
            return ranges;
        }
        from += window / 2;
    }
}

/// The candidates that `stands` lets pass: the clearest first, none nearer than `minimum` to another
/// or to an end, moved to where the two levels fit best, and each standing between whole levels.
fn standing(
    values: &[f64],
    candidates: &[Candidate],
    minimum: usize,
    stands: impl Fn(f64) -> bool,
) -> Vec<usize> {
    let mut clearest: Vec<Candidate> =
        candidates.iter().copied().filter(|candidate| stands(candidate.p)).collect();
    clearest
        .sort_by(|a, b| a.p.total_cmp(&b.p).then(a.stride.cmp(&b.stride)).then(a.at.cmp(&b.at)));
    let mut taken = BTreeSet::from([0, values.len()]);
    let mut chosen = Vec::new();
    for candidate in clearest {
        let below = taken.range(..=candidate.at).next_back();
        let above = taken.range(candidate.at..).next();
        let apart = below.is_none_or(|&other| candidate.at - other >= minimum)
            && above.is_none_or(|&other| other - candidate.at >= minimum);
        if apart {
            taken.insert(candidate.at);
            chosen.push((candidate.at, candidate.stride));
        }
    }
    chosen.sort_unstable();
    let mut points: Vec<usize> = chosen.iter().map(|point| point.0).collect();
    for (place, &(_, stride)) in chosen.iter().enumerate() {
        points[place] = best_place(values, &points, place, stride.max(minimum), minimum);
    }
    merge(values, points, minimum, stands)
}

/// Where around point `place`, at most `reach` away, two constant levels fit the values from the
/// point before to the point after best.
fn best_place(
    values: &[f64],
    points: &[usize],
    place: usize,
    reach: usize,
    minimum: usize,
) -> usize {
    let (from, to) = around(values, points, place);
    let at = points[place];
    let (first, last) =
        ((from + minimum).max(at.saturating_sub(reach)), (to - minimum).min(at + reach));
    let part = &values[from..to];
    let centre = mean(part);
    let mut sum = 0.0;
    let mut best = (f64::NEG_INFINITY, at);
    for (index, value) in part.iter().enumerate() {
        let split = from + index;
        if split >= first && split <= last && index > 0 {
            // What splitting here takes off the sum of squares, over the length.
            let gain = sum * sum / (index as f64 * (part.len() - index) as f64);
            if gain > best.0 {
                best = (gain, split);
            }
        }
        sum += value - centre;
    }
    best.1
}

/// Removes the least clear point until all stand between the levels that are left.
fn merge(
    values: &[f64],
    mut points: Vec<usize>,
    minimum: usize,
    stands: impl Fn(f64) -> bool,
) -> Vec<usize> {
    let mut ps: Vec<f64> =
        (0..points.len()).map(|place| p_at(values, &points, place, minimum)).collect();
    while let Some((place, &p)) = ps.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)) {
        if stands(p) {
            break;
        }
        points.remove(place);
        ps.remove(place);
        // Only the points beside the removed one have another level next to them now.
        for (beside, p) in ps.iter_mut().enumerate().take(place + 1).skip(place.saturating_sub(1)) {
            *p = p_at(values, &points, beside, minimum);
        }
    }
    points
}

/// The points before and after point `place`, or the ends.
fn around(values: &[f64], points: &[usize], place: usize) -> (usize, usize) {
    let before = if place == 0 { 0 } else { points[place - 1] };
    (before, points.get(place + 1).copied().unwrap_or(values.len()))
}

/// The t-test of the levels beside point `place`; 1 where one of them has fewer than `minimum`
/// values that are nearer to its own mean than to the other's: one or two spikes and an ordinary
/// value beside them are no level.
fn p_at(values: &[f64], points: &[usize], place: usize, minimum: usize) -> f64 {
    let (from, to) = around(values, points, place);
    let (left, right) = (&values[from..points[place]], &values[points[place]..to]);
    let (first, second) = (mean(left), mean(right));
    let own = |part: &[f64], own: f64, other: f64| {
        part.iter().filter(|value| (*value - own).abs() < (*value - other).abs()).count() >= minimum
    };
    if own(left, first, second) && own(right, second, first) { t_test(left, right) } else { 1.0 }
}

/// The values less the mean of their level.
fn residuals(values: &[f64], points: &[usize]) -> Vec<f64> {
    let mut noise = Vec::with_capacity(values.len());
    let ends = points.iter().copied().chain([values.len()]);
    let mut from = 0;
    for to in ends {
        let level = mean(&values[from..to]);
        noise.extend(values[from..to].iter().map(|value| value - level));
        from = to;
    }
    noise
}

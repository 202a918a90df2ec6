//! Power curves: how deep p-values go over a quantity, such as the number of examples queried.

use serde::{Deserialize, Serialize};

use super::membership::{MembershipAnalysis, TestOutcome};

/// The power curves of a suite: the document of `palimpsest provenance power`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Power {
    /// Name of the suite.
    pub suite: String,
    /// Numbers of examples that the tests with a bar were made on again.
    pub queries: Vec<u64>,
    /// Integer seed of the draw of those examples.
    pub draw: u64,
    /// One per quantity.
    pub curves: Vec<PowerCurve>,
}

/// One quantity: a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PowerCurve {
    /// The quantity, with its unit.
    pub axis: String,
    /// Its lines, in the order of the suite.
    pub lines: Vec<PowerLine>,
    /// What has no place on the curve, and why.
    pub left_out: Vec<String>,
}

/// One line of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PowerLine {
    /// Its name; may be empty where it is the only one.
    pub line: String,
    /// Its points, by the value on the axis.
    pub points: Vec<PowerPoint>,
}

/// One value on the axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PowerPoint {
    /// The value.
    pub at: f64,
    /// Median of log10 p over seeds.
    pub median: f64,
    /// The smallest: the seed with the deepest p-value.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// log10 p of each seed.
    pub log10_ps: Vec<f64>,
}

/// What one seed gives to a curve: log10 p, or why there is none.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) axis: String,
    pub(super) line: String,
    pub(super) at: f64,
    pub(super) log10_p: Result<f64, String>,
}

/// The curves that the tests of a suite are points of, in the order of the suite. A seed whose test
/// was refused or not made is left out and said to be.
#[must_use]
pub fn curves(tests: &[MembershipAnalysis]) -> Vec<PowerCurve> {
    let placed = tests.iter().filter_map(|test| Some((test, test.curve.as_ref()?)));
    let measured = placed.flat_map(|(test, place)| {
        test.seeds.iter().map(|seed| Measured {
            axis: place.axis.clone(),
            line: place.line.clone(),
            at: place.at,
            log10_p: match &seed.outcome {
                TestOutcome::Found(finding) => Ok(finding.log10_p),
                TestOutcome::Refused(reason) | TestOutcome::Missing(reason) => {
                    Err(format!("{}, seed {}: {reason}", test.id, seed.seed))
                }
            },
        })
    });
    gather(measured)
}

/// Several sets of curves as one: those over the same quantity share a figure.
#[must_use]
pub fn merge(sets: impl IntoIterator<Item = PowerCurve>) -> Vec<PowerCurve> {
    let mut merged: Vec<PowerCurve> = Vec::new();
    for curve in sets {
        match merged.iter_mut().find(|other| other.axis == curve.axis) {
            None => merged.push(curve),
            Some(other) => {
                other.lines.extend(curve.lines);
                other.left_out.extend(curve.left_out);
            }
        }
    }
    merged
}

/// Sorts what was measured into curves, lines and points.
pub(super) fn gather(measured: impl IntoIterator<Item = Measured>) -> Vec<PowerCurve> {
    let mut curves: Vec<PowerCurve> = Vec::new();
    for one in measured {
        let place = curves.iter().position(|curve| curve.axis == one.axis);
        let place = place.unwrap_or_else(|| {
            let axis = one.axis.clone();
            curves.push(PowerCurve { axis, lines: Vec::new(), left_out: Vec::new() });
            curves.len() - 1
        });
        let curve = &mut curves[place];
        let log10_p = match one.log10_p {
            // No finding has one that is not finite; a place on an axis may be anything.
            Ok(log10_p) if log10_p.is_finite() && one.at.is_finite() => log10_p,
            Ok(log10_p) => {
                curve.left_out.push(format!("{}: log10 p {log10_p} at {}", one.line, one.at));
                continue;
            }
            Err(reason) => {
                curve.left_out.push(reason);
                continue;
            }
        };
        let place = curve.lines.iter().position(|line| line.line == one.line);
        let place = place.unwrap_or_else(|| {
            curve.lines.push(PowerLine { line: one.line, points: Vec::new() });
            curve.lines.len() - 1
        });
        let points = &mut curve.lines[place].points;
        match points.iter_mut().find(|point| point.at == one.at) {
            Some(point) => point.log10_ps.push(log10_p),
            None => points.push(PowerPoint {
                at: one.at,
                median: log10_p,
                low: log10_p,
                high: log10_p,
                log10_ps: vec![log10_p],
            }),
        }
    }
    for line in curves.iter_mut().flat_map(|curve| &mut curve.lines) {
        line.points.sort_by(|a, b| a.at.total_cmp(&b.at));
        line.points.iter_mut().for_each(summarise);
    }
    curves
}

fn summarise(point: &mut PowerPoint) {
    let mut sorted = point.log10_ps.clone();
    sorted.sort_by(f64::total_cmp);
    // A point is made with its first value, so that none is without.
    let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    point.median = f64::midpoint(below, above);
    (point.low, point.high) = (sorted[0], sorted[sorted.len() - 1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(line: &str, at: f64, log10_p: f64) -> Measured {
        Measured { axis: "steps".into(), line: line.into(), at, log10_p: Ok(log10_p) }
    }

    #[test]
    fn a_point_is_the_median_of_its_seeds_and_a_line_is_sorted() {
        let seeds = [(200.0, -9.0), (100.0, -4.0), (200.0, -1.0), (200.0, -5.0), (100.0, -3.0)];
        let curves = gather(seeds.map(|(at, log10_p)| measured("adam", at, log10_p)));
        let points = &curves[0].lines[0].points;
        assert_eq!(points.iter().map(|point| point.at).collect::<Vec<_>>(), [100.0, 200.0]);
        assert_eq!((points[0].median, points[0].low, points[0].high), (-3.5, -4.0, -3.0));
        assert_eq!((points[1].median, points[1].low, points[1].high), (-5.0, -9.0, -1.0));
        assert_eq!(points[1].log10_ps, [-9.0, -1.0, -5.0]);
    }

    #[test]
    fn what_was_refused_is_left_out_and_said_to_be() {
        let refused =
            Measured { log10_p: Err("t, seed 1: too few".into()), ..measured("a", 1.0, 0.0) };
        let curves = gather([measured("a", 1.0, -2.0), refused, measured("b", f64::NAN, -2.0)]);
        assert_eq!(curves[0].lines.len(), 1);
        assert_eq!(curves[0].lines[0].points[0].log10_ps, [-2.0]);
        assert_eq!(curves[0].left_out, ["t, seed 1: too few", "b: log10 p -2 at NaN"]);
    }

    #[test]
    fn lines_over_the_same_quantity_share_a_figure() {
        let first = gather([measured("a", 1.0, -2.0)]);
        let other = Measured { axis: "examples".into(), ..measured("c", 1.0, -1.0) };
        let merged = merge(first.into_iter().chain(gather([measured("b", 1.0, -3.0), other])));
        let lines: Vec<usize> = merged.iter().map(|curve| curve.lines.len()).collect();
        assert_eq!(lines, [2, 1]);
    }
}

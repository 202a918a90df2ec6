//! How each arm looks: the same colour, dash and marker in every figure and table of a workload.

use analysis::summary::WorkloadAnalysis;

use crate::figure::{BODY, Colour, MOST_ARMS, Point};
use crate::font::shorten;
use crate::text;

/// Okabe and Ito's colour-blind-safe palette (Color Universal Design, 2008) without its yellow,
/// which is too light for a thin line on white, and without black, which is the baseline's.
const PALETTE: [Colour; 6] = [
    (0x00, 0x72, 0xb2),
    (0xd5, 0x5e, 0x00),
    (0x00, 0x9e, 0x73),
    (0xcc, 0x79, 0xa7),
    (0xe6, 0x9f, 0x00),
    (0x56, 0xb4, 0xe9),
];
const BLACK: Colour = (0, 0, 0);
/// Widest label in a figure.
const LABEL_WIDTH: f64 = 210.0;

/// How a line is broken: second cue beside colour, for more than six arms and for grey print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Chained,
}

/// Third cue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Disc,
    Square,
    Triangle,
    Diamond,
}

/// An arm's looks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Label as figures show it: one line, shortened, unique.
    pub(crate) label: String,
    pub(crate) colour: Colour,
    pub(crate) dash: Dash,
    pub(crate) marker: Marker,
    pub(crate) baseline: bool,
}

impl Series {
    /// One series per arm of `workload` (at most [`MOST_ARMS`]), in the suite's order.
    pub(crate) fn of(workload: &WorkloadAnalysis) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut coloured = 0;
        for (i, arm) in workload.arms.iter().take(MOST_ARMS).enumerate() {
            let baseline = workload.baseline.as_deref() == Some(arm.label.as_str());
            let line = text::one_line(&arm.label);
            let mut label = shorten(&line, LABEL_WIDTH, BODY, false);
            if all.iter().any(|other| other.label == label) {
                label = shorten(&format!("#{} {line}", i + 1), LABEL_WIDTH, BODY, false);
            }
            let mut series =
                Self { label, colour: BLACK, dash: Dash::Solid, marker: Marker::Disc, baseline };
            if !baseline {
                (series.colour, series.dash, series.marker) = looks(coloured);
                coloured += 1;
            }
            all.push(series);
        }
        all
    }

    /// One series per label (at most [`MOST_ARMS`]), none of them a baseline.
    pub(crate) fn named(labels: &[&str]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (i, name) in labels.iter().take(MOST_ARMS).enumerate() {
            let line = text::one_line(name);
            let mut label = shorten(&line, LABEL_WIDTH, BODY, false);
            if all.iter().any(|other| other.label == label) {
                label = shorten(&format!("#{} {line}", i + 1), LABEL_WIDTH, BODY, false);
            }
            let (colour, dash, marker) = looks(i);
            all.push(Self { label, colour, dash, marker, baseline: false });
        }
        all
    }

    /// Says which arms a figure leaves out, when it does.
    pub(crate) fn left_out(workload: &WorkloadAnalysis) -> Option<String> {
        let arms = workload.arms.len();
        (arms > MOST_ARMS)
            .then(|| format!("first {MOST_ARMS} of {arms} arms; the rest are in the tables"))
    }
}

/// Colours first, then dashes and markers.
fn looks(number: usize) -> (Colour, Dash, Marker) {
    let (round, turn) = (number / PALETTE.len(), number % PALETTE.len());
    let (dash, marker) = match round % 4 {
        0 => (Dash::Solid, Marker::Disc),
        1 => (Dash::Dashed, Marker::Square),
        2 => (Dash::Dotted, Marker::Triangle),
        _ => (Dash::Chained, Marker::Diamond),
    };
    (PALETTE.get(turn).copied().unwrap_or(BLACK), dash, marker)
}

impl Dash {
    /// Lengths drawn and skipped, alternately.
    fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[7.0, 3.5],
            Self::Dotted => &[2.0, 3.0],
            Self::Chained => &[8.0, 3.0, 2.0, 3.0],
        }
    }

    /// Cuts a path into the pieces that are drawn.
    pub(crate) fn cut(self, path: &[Point]) -> Vec<Vec<Point>> {
        let pattern = self.pattern();
        if pattern.is_empty() {
            return vec![path.to_vec()];
        }
        let mut lengths = pattern.iter().copied().cycle();
        let mut left = lengths.next().unwrap_or(f64::INFINITY);
        let mut drawn = true;
        let mut pieces: Vec<Vec<Point>> = Vec::new();
        let mut piece: Vec<Point> = path.first().copied().into_iter().collect();
        for (&(x0, y0), &(x1, y1)) in path.iter().zip(path.iter().skip(1)) {
            let length = (x1 - x0).hypot(y1 - y0);
            let mut done = 0.0;
            while length - done > left {
                done += left;
                let cut = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length);
                if drawn {
                    piece.push(cut);
                    pieces.push(std::mem::take(&mut piece));
                } else {
                    piece = vec![cut];
                }
                drawn = !drawn;
                left = lengths.next().unwrap_or(f64::INFINITY);
            }
            left -= length - done;
            if drawn {
                piece.push((x1, y1));
            }
        }
        if drawn && piece.len() > 1 {
            pieces.push(piece);
        }
        pieces
    }
}

impl Marker {
    /// Corners of the marker around `centre`, none for a disc; areas look alike at equal radius.
    pub(crate) fn corners(self, (x, y): Point, radius: f64) -> Option<Vec<Point>> {
        let at = |corners: &[Point]| -> Option<Vec<Point>> {
            Some(corners.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect())
        };
        match self {
            Self::Disc => None,
            Self::Square => at(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            Self::Triangle => at(&[(0.0, -1.2), (1.15, 0.8), (-1.15, 0.8)]),
            Self::Diamond => at(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dashes_and_gaps_add_up_to_the_path(length in 1.0f64..500.0) {
            let path = [(0.0, 0.0), (length * 0.6, 0.0), (length * 0.6, length * 0.4)];
            let drawn: f64 = Dash::Dashed
                .cut(&path)
                .iter()
                .flat_map(|piece| piece.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)))
                .sum();
            let whole = (length / 10.5).floor();
            let expected = whole * 7.0 + (length - whole * 10.5).min(7.0);
            prop_assert!((drawn - expected).abs() < 1e-6, "{drawn} {expected}");
        }
    }
}

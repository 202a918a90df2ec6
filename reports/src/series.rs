//! How each arm looks: the same colour, dash and marker in every figure and table of a suite, and of other suites.

use std::collections::BTreeMap;

use analysis::summary::{Analysis, WorkloadAnalysis};

use crate::figure::{BODY, Colour, MOST_ARMS, Point};
use crate::font::shorten;
use crate::text;

/// Black, and Okabe and Ito's colour-blind-safe palette (Color Universal Design, 2008) without its yellow, which is
/// too light for a thin line on white.
pub(crate) const PALETTE: [Colour; 7] = [
    (0, 0, 0),
    (0x00, 0x72, 0xb2),
    (0xd5, 0x5e, 0x00),
    (0x00, 0x9e, 0x73),
    (0xcc, 0x79, 0xa7),
    (0xe6, 0x9f, 0x00),
    (0x56, 0xb4, 0xe9),
];
const BLACK: usize = 0;

/// Arms that several suites have, by label, each with its place in [`PALETTE`] and in [`Marker::ALL`]: the same looks
/// wherever they appear. Arms that meet in a suite differ in colour as far as there are colours. An entry is never
/// changed, or figures made before would no longer compare with those made after; new ones go to the end.
static KNOWN: [(&str, usize, usize); 28] = [
    ("sgd", 0, 0),
    ("adamw", 1, 0),
    ("muon", 2, 1),
    ("drop-muon", 3, 2),
    ("label-smoothing", 4, 3),
    ("ps-kd", 5, 4),
    ("rs2", 6, 1),
    ("static-subset", 1, 3),
    ("granet", 2, 0),
    ("pruned-erk", 3, 0),
    ("pruned-uniform", 4, 0),
    ("pruned-snip", 5, 0),
    ("gradual-magnitude", 6, 4),
    ("static-erk", 1, 2),
    ("grpo", 0, 1),
    ("dr-grpo", 1, 4),
    ("ppo", 2, 2),
    ("dpo", 3, 3),
    ("dump", 4, 1),
    ("uniform", 6, 0),
    ("untrained", 0, 6),
    ("random-tasks", 5, 1),
    ("alp-gmm", 2, 3),
    ("covar-gmm", 3, 1),
    ("riac", 4, 2),
    ("trained", 1, 1),
    ("real-data", 0, 5),
    ("cosine", 1, 5),
];

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
    Down,
    Plus,
    Cross,
}

impl Marker {
    /// Every marker, in the order in which arms get them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Disc,
        Self::Square,
        Self::Triangle,
        Self::Diamond,
        Self::Down,
        Self::Plus,
        Self::Cross,
    ];
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

/// How the arms of a suite look in all its figures, by label: a place in [`PALETTE`] and one in [`Marker::ALL`].
///
/// An arm of [`KNOWN`] looks the same in every suite. A baseline that is not known is black. Any other arm takes the
/// colour and the marker that its label says, unless another arm of the suite has that colour: then the next that the
/// fewest have. So the order of a suite's arms decides nothing, and an arm keeps its looks when others come and go,
/// except where they would be told apart less well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looks(BTreeMap<String, (usize, usize)>);

impl Looks {
    /// Those of the arms of all workloads.
    pub(crate) fn of(analysis: &Analysis) -> Self {
        let arms = analysis.workloads.iter().flat_map(|workload| &workload.arms);
        let labels = arms.map(|arm| arm.label.as_str()).collect();
        let baselines = analysis.workloads.iter().filter_map(|w| w.baseline.as_deref());
        Self::among(labels, &baselines.collect::<Vec<_>>())
    }

    fn among(mut labels: Vec<&str>, baselines: &[&str]) -> Self {
        labels.sort_unstable();
        labels.dedup();
        let mut all = Self::default();
        let known = |label: &str| KNOWN.iter().find(|(known, ..)| *known == label);
        for label in &labels {
            if let Some((_, colour, marker)) = known(label) {
                all.0.insert((*label).to_owned(), (*colour, *marker));
            }
        }
        labels.retain(|label| known(label).is_none());
        labels.sort_by_key(|label| (!baselines.contains(label), scatter(label), *label));
        for label in labels {
            let (colours, markers) = (PALETTE.len(), Marker::ALL.len());
            let mixed = scatter(label);
            let (first, marker) = if baselines.contains(&label) {
                (BLACK, 0)
            } else {
                // Black last: it reads as the arm that others are held against.
                (1 + (mixed % (colours as u64 - 1)) as usize, (mixed / 6 % markers as u64) as usize)
            };
            let turned = (0..colours).map(|step| (first + step) % colours);
            let used = |colour: usize| all.0.values().filter(|look| look.0 == colour).count();
            let colour = turned
                .min_by_key(|colour| {
                    used(*colour) + usize::from(*colour == BLACK && first != BLACK)
                })
                .unwrap_or(first);
            let free = (0..markers)
                .map(|step| (colour, (marker + step) % markers))
                .find(|look| !all.0.values().any(|other| other == look));
            all.0.insert(label.to_owned(), free.unwrap_or((colour, marker)));
        }
        all
    }

    fn get(&self, label: &str) -> (Colour, Dash, Marker) {
        let (colour, marker) = self.0.get(label).copied().unwrap_or((BLACK, 0));
        dressed(colour, marker)
    }
}

/// A number that stands for a label: FNV-1a of 64 bits, since it must never change.
fn scatter(label: &str) -> u64 {
    label.bytes().fold(0xcbf2_9ce4_8422_2325, |mixed, byte| {
        (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The looks at a place of the palette and one of the markers; lines are broken by the marker.
fn dressed(colour: usize, marker: usize) -> (Colour, Dash, Marker) {
    let dash = match marker % 4 {
        0 => Dash::Solid,
        1 => Dash::Dashed,
        2 => Dash::Dotted,
        _ => Dash::Chained,
    };
    let colour = PALETTE.get(colour).copied().unwrap_or((0, 0, 0));
    (colour, dash, Marker::ALL.get(marker).copied().unwrap_or(Marker::Disc))
}

impl Series {
    /// One series per arm of `workload` (at most [`MOST_ARMS`]), in the suite's order.
    pub(crate) fn of(looks: &Looks, workload: &WorkloadAnalysis) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (i, arm) in workload.arms.iter().take(MOST_ARMS).enumerate() {
            let baseline = workload.baseline.as_deref() == Some(arm.label.as_str());
            let line = text::one_line(&arm.label);
            let mut label = shorten(&line, LABEL_WIDTH, BODY, false);
            if all.iter().any(|other| other.label == label) {
                label = shorten(&format!("#{} {line}", i + 1), LABEL_WIDTH, BODY, false);
            }
            let (colour, dash, marker) = looks.get(&arm.label);
            all.push(Self { label, colour, dash, marker, baseline });
        }
        all
    }

    /// The same with labels no wider than `width`, still unique.
    pub(crate) fn within(all: &[Self], width: f64) -> Vec<Self> {
        let mut short: Vec<Self> = Vec::new();
        for (i, series) in all.iter().enumerate() {
            let mut label = shorten(&series.label, width, BODY, series.baseline);
            if short.iter().any(|other| other.label == label) {
                let numbered = format!("#{} {}", i + 1, series.label);
                label = shorten(&numbered, width, BODY, series.baseline);
            }
            short.push(Self { label, ..series.clone() });
        }
        short
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
    let colours = PALETTE.len() - 1;
    dressed(1 + number % colours, number / colours % Marker::ALL.len())
}

/// Corners of a plus.
const PLUS: [Point; 12] = [
    (-0.42, -1.25),
    (0.42, -1.25),
    (0.42, -0.42),
    (1.25, -0.42),
    (1.25, 0.42),
    (0.42, 0.42),
    (0.42, 1.25),
    (-0.42, 1.25),
    (-0.42, 0.42),
    (-1.25, 0.42),
    (-1.25, -0.42),
    (-0.42, -0.42),
];

impl Dash {
    /// Lengths drawn and skipped, alternately.
    pub(crate) fn pattern(self) -> &'static [f64] {
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
            Self::Down => at(&[(0.0, 1.2), (-1.15, -0.8), (1.15, -0.8)]),
            Self::Plus => at(&PLUS),
            Self::Cross => at(&PLUS.map(|(x, y)| (0.707 * (x - y), 0.707 * (x + y)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_arm_looks_the_same_beside_any_others_and_in_any_role() {
        let alone = Looks::among(vec!["rs2"], &[]);
        let many: Vec<&str> = KNOWN.iter().map(|known| known.0).chain(["a", "b"]).collect();
        for (others, baselines) in [(many.clone(), vec!["sgd"]), (many, vec!["rs2"])] {
            assert_eq!(Looks::among(others, &baselines).get("rs2"), alone.get("rs2"));
        }
    }

    #[test]
    fn no_two_known_arms_look_alike() {
        for (place, (label, colour, marker)) in KNOWN.iter().enumerate() {
            let twin = KNOWN.iter().skip(place + 1).find(|(_, c, m)| (c, m) == (colour, marker));
            assert_eq!(twin, None, "{label}");
        }
    }

    #[test]
    fn six_arms_of_ones_own_have_six_colours_and_the_baseline_is_black() {
        let labels = vec!["plain", "mine", "mine-2", "theirs", "other", "last"];
        let looks = Looks::among(labels.clone(), &["plain"]);
        let mut colours: Vec<Colour> = labels.iter().map(|label| looks.get(label).0).collect();
        assert_eq!(colours[0], PALETTE[BLACK]);
        colours.sort_unstable();
        colours.dedup();
        assert_eq!(colours.len(), 6);
    }

    proptest! {
        #[test]
        fn looks_are_decided_by_who_is_there_and_not_by_the_order(
            labels in prop::collection::vec("[a-z]{1,6}", 1..40), turn in 0usize..40,
        ) {
            let sorted: Vec<&str> = labels.iter().map(String::as_str).collect();
            let mut turned = sorted.clone();
            turned.rotate_left(turn % sorted.len());
            let looks = Looks::among(sorted.clone(), &[]);
            prop_assert_eq!(&looks, &Looks::among(turned, &[]));
            let mut seen: Vec<&(usize, usize)> = looks.0.values().collect();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), looks.0.len(), "two arms look alike");
        }

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

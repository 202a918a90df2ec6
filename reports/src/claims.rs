//! The scoreboard of claims: a row a claim, with the paper's number, ours with its interval, and the verdict.
//!
//! Claims are told in different units, so each row has its own scale: no effect stands on one line for all, and the
//! effect that the claim asks for is marked.

use analysis::suite::CompareBy;
use analysis::summary::{Analysis, ClaimOutcome};
use stats::verdict::Verdict;

use crate::curve::LEAST_SEEDS;
use crate::figure::{Align, BODY, Colour, Figure, GRID, INK, MUTED, PAPER, SMALL};
use crate::font::{shorten, text_width, wrap};
use crate::series::{Dash, Marker};
use crate::text;

/// The figure's file.
pub(crate) const NAME: &str = "claims";
const TOP: f64 = 82.0;
/// Claims shown at most; the rest are in the tables.
const MOST: usize = 40;
/// Width of the measured numbers: as wide as the widest of them, within these.
const NUMBERS: (f64, f64) = (110.0, 232.0);
/// Green, red and grey that colour-blind readers tell apart by lightness; the mark and the words say it, too.
const KEPT: Colour = (0x00, 0x7a, 0x5a);
const BROKEN: Colour = (0xc0, 0x4a, 0x00);
const OPEN: Colour = (0x5f, 0x67, 0x72);

/// Where the columns of a row begin; none where there is no room for one.
struct Columns {
    row: f64,
    name: f64,
    paper: Option<(f64, f64)>,
    panel: (f64, f64),
    ours: Option<f64>,
    verdict: f64,
}

impl Columns {
    fn of(figure: &Figure, claims: &[&ClaimOutcome]) -> Self {
        let right = figure.width - 12.0;
        let words =
            Verdict::ALL.into_iter().map(|verdict| text_width(verdict.words(), SMALL, true));
        let verdict = right - words.fold(60.0, f64::max) - 14.0;
        if figure.narrow() {
            let panel = (verdict - 92.0, verdict - 10.0);
            return Self {
                row: 52.0,
                name: panel.0 - 20.0,
                paper: None,
                panel,
                ours: None,
                verdict,
            };
        }
        let widths = claims.iter().flat_map(|claim| numbers(claim));
        let widest = widths.map(|line| text_width(&line, SMALL, false)).fold(NUMBERS.0, f64::max);
        let ours = verdict - widest.min(NUMBERS.1) - 12.0;
        let panel = (ours - 140.0, ours - 12.0);
        // What the numbers leave goes to the paper's words and to the names.
        let spare = (panel.0 - 330.0).max(0.0) / 3.0;
        let paper = (panel.0 - 154.0 - spare, 140.0 + spare);
        Self {
            row: 40.0,
            name: paper.0 - 22.0,
            paper: Some(paper),
            panel,
            ours: Some(ours),
            verdict,
        }
    }
}

/// What was measured, on two lines: the effect beside the one asked for, and its interval.
fn numbers(claim: &ClaimOutcome) -> [String; 2] {
    let effect = claim.effect.map_or(text::ABSENT.to_owned(), |v| text::on_scale(claim, v));
    let n = format!("n = {}", claim.n);
    let ends = claim.interval.map_or(n.clone(), |i| format!("{}, {n}", text::interval(&i, 1.0)));
    [format!("{effect}, asked {}", text::asked(claim)), ends]
}

/// The figure, where the suite has claims.
pub(crate) fn figure(analysis: &Analysis, width: f64) -> Option<Figure> {
    let claims: Vec<&ClaimOutcome> = analysis.claims.iter().take(MOST).collect();
    if claims.is_empty() {
        return None;
    }
    let mut explanation =
        "measured effect with its 95 % interval, a scale a row; dotted line: no effect, open square: what the claim asks for"
            .to_owned();
    if analysis.claims.len() > MOST {
        explanation.push_str(&format!(
            "; first {MOST} of {} claims; the rest are in the tables",
            analysis.claims.len()
        ));
    }
    let title = format!("{}: what papers claim, and what came of it here", analysis.suite);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = NAME.to_owned();
    let columns = Columns::of(&figure, &claims);
    let bottom = TOP + columns.row * claims.len() as f64;
    figure.height = (bottom + 12.0).ceil();
    let heads = [
        (12.0, "claim", true),
        (columns.paper.map_or(0.0, |paper| paper.0), "paper", columns.paper.is_some()),
        (columns.panel.0, "effect", true),
        (columns.ours.unwrap_or(0.0), "here", columns.ours.is_some()),
        (columns.verdict, "verdict", true),
    ];
    for (x, head, shown) in heads {
        if shown {
            figure.label((x, TOP - 10.0), head, Align::Left, MUTED);
        }
    }
    for (place, claim) in claims.iter().enumerate() {
        row(&mut figure, claim, &columns, TOP + columns.row * place as f64);
    }
    figure.line(vec![(12.0, bottom), (width - 12.0, bottom)], GRID, 1.0);
    Some(figure)
}

fn row(figure: &mut Figure, claim: &ClaimOutcome, columns: &Columns, top: f64) {
    let right = figure.width - 12.0;
    figure.line(vec![(12.0, top), (right, top)], GRID, 1.0);
    let name = text::one_line(&format!("{} against {}", claim.arm, claim.baseline));
    let where_ = text::one_line(&format!("{}, {}", claim.metric, claim.workload));
    let name = shorten(&name, columns.name - 12.0, BODY, false);
    let where_ = shorten(&where_, columns.name - 12.0, SMALL, false);
    figure.label((12.0, top + 16.0), &name, Align::Left, INK);
    figure.write((12.0, top + 31.0), &where_, SMALL, false, Align::Left, MUTED);
    let paper =
        if claim.paper_number.is_empty() { text::ABSENT } else { claim.paper_number.as_str() };
    let paper = text::one_line(paper);
    match columns.paper {
        Some((x, width)) => {
            let lines = wrap(&paper, width, SMALL, 2);
            let first = if lines.len() > 1 { top + 16.0 } else { top + 24.0 };
            for (line, y) in lines.iter().zip([first, first + 15.0]) {
                figure.write((x, y), line, SMALL, false, Align::Left, INK);
            }
        }
        None => {
            let words = shorten(&format!("paper: {paper}"), columns.name - 12.0, SMALL, false);
            figure.write((12.0, top + 46.0), &words, SMALL, false, Align::Left, INK);
        }
    }
    let middle = top + columns.row / 2.0;
    let colour = match claim.verdict {
        Verdict::Reproduced => KEPT,
        Verdict::NotReproduced => BROKEN,
        Verdict::Inconclusive => OPEN,
    };
    Scale::of(claim).draw(figure, claim, columns.panel, (middle, columns.row), colour);
    if let Some(x) = columns.ours {
        let width = columns.verdict - x - 8.0;
        let lines = numbers(claim).map(|line| shorten(&line, width, SMALL, false));
        for ((line, y), ink) in lines.iter().zip([16.0, 31.0]).zip([INK, MUTED]) {
            figure.write((x, top + y), line, SMALL, false, Align::Left, ink);
        }
    }
    verdict(figure, claim.verdict, (columns.verdict, middle), colour);
}

/// The verdict in words, with a mark of its own shape.
fn verdict(figure: &mut Figure, verdict: Verdict, (x, y): (f64, f64), colour: Colour) {
    let at = (x + 5.0, y);
    match verdict {
        Verdict::Reproduced => figure.disc(at, 4.6, colour, 1.0),
        Verdict::NotReproduced => {
            figure.area(Marker::Cross.corners(at, 4.6).unwrap_or_default(), colour, 1.0);
        }
        Verdict::Inconclusive => {
            figure.disc(at, 4.6, colour, 1.0);
            figure.disc(at, 2.9, PAPER, 1.0);
        }
    }
    figure.write((x + 14.0, y + 4.0), verdict.words(), SMALL, true, Align::Left, colour);
}

/// The scale of one row: how far to either side of no effect it reaches, in the claim's own measure.
struct Scale {
    ratio: bool,
    reach: f64,
}

impl Scale {
    fn of(claim: &ClaimOutcome) -> Self {
        let mut scale = Self { ratio: claim.scale == CompareBy::Ratio, reach: 1.0 };
        let measure = |value: f64| Some(scale.measure(value).abs()).filter(|v| v.is_finite());
        let core = [claim.effect, Some(claim.bar())];
        let core = core.into_iter().flatten().filter_map(measure).fold(0.0, f64::max);
        let ends = claim.interval.map_or([0.0; 2], |i| [i.low, i.high]);
        let ends = ends.into_iter().filter_map(measure).fold(0.0, f64::max);
        // An interval many times wider than the effect would leave nothing of it: it is cut.
        let reach = if core > 0.0 { core.max(ends.min(3.0 * core)) } else { ends };
        scale.reach = if reach > 0.0 { 1.12 * reach } else { 1.0 };
        scale
    }

    /// 0 where there is no effect, positive where it is as claimed.
    fn measure(&self, value: f64) -> f64 {
        if self.ratio { value.max(f64::MIN_POSITIVE).ln() } else { value }
    }

    fn draw(
        &self,
        figure: &mut Figure,
        claim: &ClaimOutcome,
        (from, to): (f64, f64),
        (middle, row): (f64, f64),
        colour: Colour,
    ) {
        let none = (from + to) / 2.0;
        let at = |value: f64| none + self.measure(value) / self.reach * (to - from) / 2.0;
        let (top, bottom) = (middle - row / 2.0 + 3.0, middle + row / 2.0 - 3.0);
        figure.dashed(&[(none, top), (none, bottom)], Dash::Dotted, MUTED, 1.0);
        let asked = at(claim.bar()).clamp(from, to);
        let square = Marker::Square.corners((asked, middle), 4.2).unwrap_or_default();
        figure.area(square, MUTED, 1.0);
        let hole = Marker::Square.corners((asked, middle), 2.6).unwrap_or_default();
        figure.area(hole, PAPER, 1.0);
        if let Some(interval) = claim.interval.filter(|_| claim.n >= LEAST_SEEDS) {
            let (low, high) = (at(interval.low), at(interval.high));
            let ends = (low.clamp(from, to), high.clamp(from, to));
            figure.line(vec![(ends.0, middle), (ends.1, middle)], colour, 2.0);
            for (end, cut, inwards) in [(ends.0, low < from, 6.0), (ends.1, high > to, -6.0)] {
                if cut {
                    let base = end + inwards;
                    figure.area(
                        vec![(end, middle), (base, middle - 4.0), (base, middle + 4.0)],
                        colour,
                        1.0,
                    );
                } else {
                    figure.line(vec![(end, middle - 4.0), (end, middle + 4.0)], colour, 1.5);
                }
            }
        }
        if let Some(effect) = claim.effect.filter(|effect| effect.is_finite()) {
            let place = (at(effect).clamp(from, to), middle);
            figure.disc(place, 4.4, colour, 1.0);
            figure.spot(place, &format!("{}: {}", claim.arm, text::effect(claim)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, Shape, WIDTH};
    use crate::sample;

    #[test]
    fn every_claim_has_its_paper_number_its_effect_and_its_verdict_in_words() {
        let analysis = sample::full();
        let figure = figure(&analysis, WIDTH).unwrap();
        let texts: Vec<&str> = figure
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        for wanted in ["reproduced", "not reproduced", "inconclusive"] {
            assert!(texts.contains(&wanted), "{wanted}: {texts:?}");
        }
        assert_eq!(texts.iter().filter(|text| text.starts_with("up to 1.4×")).count(), 3);
        assert!(texts.contains(&"1.62×, asked 1.05×"), "{texts:?}");
    }

    #[test]
    fn small_numbers_and_long_intervals_are_whole_beside_a_long_name() {
        let mut analysis = sample::full();
        let small = [(0.000_12, -0.000_123_4, 0.000_456_7), (-0.000_15, -0.123_456, 0.065_432)];
        for (claim, (effect, low, high)) in analysis.claims.iter_mut().zip(small) {
            claim.scale = CompareBy::Difference;
            (claim.effect, claim.smallest_effect, claim.n) = (Some(effect), 0.005, 12);
            claim.interval = claim.interval.map(|i| stats::interval::Interval { low, high, ..i });
            claim.arm = "a-name-of-sixty-characters-that-goes-on-until-it-is-that-long".to_owned();
        }
        // A margin lies below no effect, and so does its mark.
        analysis.claims[1].non_inferior = true;
        let figure = figure(&analysis, WIDTH).unwrap();
        check_texts(&figure);
        check_shapes(&figure);
        let texts = format!("{:?}", figure.shapes);
        for wanted in [
            "+0.000120, asked +0.005",
            "[−0.000123, 0.000457], n = 12",
            "−0.000150, asked −0.005",
            "[−0.123, 0.0654], n = 12",
        ] {
            assert!(texts.contains(&format!("\"{wanted}\"")), "{wanted}: {texts}");
        }
    }

    #[test]
    fn rows_fit_one_column_and_two_and_wild_claims_stay_in_their_panel() {
        let mut analysis = sample::full();
        let claim = &mut analysis.claims[0];
        claim.arm = "a".repeat(60);
        claim.paper_number = "many words ".repeat(20);
        (claim.effect, claim.smallest_effect) = (Some(1e-300), 1.0);
        claim.interval =
            claim.interval.map(|i| stats::interval::Interval { low: 0.0, high: 1e300, ..i });
        analysis.claims[1].effect = Some(f64::NAN);
        analysis.claims[2].interval = None;
        for width in [COLUMN, WIDTH] {
            let figure = figure(&analysis, width).unwrap();
            check_texts(&figure);
            check_shapes(&figure);
        }
        assert!(figure(&sample::empty(), WIDTH).is_none());
    }
}

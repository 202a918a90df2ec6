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

/// Lines of a claim's name, and of the paper's words.
const NAME_LINES: usize = 2;
const PAPER_LINES: usize = 4;
/// Between lines, and what a row has besides.
const LINE: f64 = 15.0;
const ROOM: f64 = 10.0;

/// Where the columns of a row begin, and how wide those of words are.
struct Columns {
    name: f64,
    paper: (f64, f64),
    panel: (f64, f64),
    ours: f64,
    verdict: f64,
}

impl Columns {
    fn of(figure: &Figure, claims: &[&ClaimOutcome]) -> Self {
        let right = figure.width - 12.0;
        let words =
            Verdict::ALL.into_iter().map(|verdict| text_width(verdict.words(), SMALL, true));
        let verdict = right - words.fold(60.0, f64::max) - 14.0;
        let widths = claims.iter().flat_map(|claim| numbers(claim));
        let widest = widths.map(|line| text_width(&line, SMALL, false)).fold(NUMBERS.0, f64::max);
        let ours = verdict - widest.min(NUMBERS.1) - 12.0;
        let panel = (ours - 140.0, ours - 12.0);
        // What the numbers leave goes to the paper's words and to the names.
        let spare = (panel.0 - 330.0).max(0.0) / 3.0;
        let paper = (panel.0 - 154.0 - spare, 140.0 + spare);
        Self { name: paper.0 - 22.0, paper, panel, ours, verdict }
    }
}

/// The words of a row, line by line: what is claimed, where, and what the paper says.
struct Words {
    name: Vec<String>,
    place: String,
    paper: Vec<String>,
}

impl Words {
    fn of(claim: &ClaimOutcome, columns: &Columns) -> Self {
        let room = columns.name - 12.0;
        let name = text::one_line(&format!("{} against {}", claim.arm, claim.baseline));
        let place = text::one_line(&format!("{}, {}", claim.metric, claim.workload));
        let paper =
            if claim.paper_number.is_empty() { text::ABSENT } else { claim.paper_number.as_str() };
        Self {
            name: wrap(&name, room, BODY, NAME_LINES),
            place: shorten(&place, room, SMALL, false),
            paper: wrap(&text::one_line(paper), columns.paper.1, SMALL, PAPER_LINES),
        }
    }

    fn height(&self) -> f64 {
        ROOM + LINE * (self.name.len() + 1).max(self.paper.len()).max(2) as f64
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
pub(crate) fn figure(analysis: &Analysis) -> Option<Figure> {
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
    let mut figure = Figure::new(title, &explanation);
    figure.name = NAME.to_owned();
    let columns = Columns::of(&figure, &claims);
    let heads = [
        (12.0, "claim"),
        (columns.paper.0, "paper"),
        (columns.panel.0, "effect"),
        (columns.ours, "here"),
        (columns.verdict, "verdict"),
    ];
    for (x, head) in heads {
        figure.label((x, TOP - 10.0), head, Align::Left, MUTED);
    }
    let mut top = TOP;
    for claim in claims {
        let words = Words::of(claim, &columns);
        row(&mut figure, claim, &columns, &words, top);
        top += words.height();
    }
    figure.line(vec![(12.0, top), (figure.width - 12.0, top)], GRID, 1.0);
    figure.height = (top + 12.0).ceil();
    Some(figure)
}

fn row(figure: &mut Figure, claim: &ClaimOutcome, columns: &Columns, words: &Words, top: f64) {
    let right = figure.width - 12.0;
    figure.line(vec![(12.0, top), (right, top)], GRID, 1.0);
    let (height, middle) = (words.height(), top + words.height() / 2.0);
    let first = |lines: usize| middle - LINE * lines as f64 / 2.0 + 11.5;
    let mut y = first(words.name.len() + 1);
    for line in &words.name {
        figure.label((12.0, y), line, Align::Left, INK);
        y += LINE;
    }
    figure.write((12.0, y), &words.place, SMALL, false, Align::Left, MUTED);
    let mut y = first(words.paper.len());
    for line in &words.paper {
        figure.write((columns.paper.0, y), line, SMALL, false, Align::Left, INK);
        y += LINE;
    }
    let colour = match claim.verdict {
        Verdict::Reproduced => KEPT,
        Verdict::NotReproduced => BROKEN,
        Verdict::Inconclusive => OPEN,
    };
    Scale::of(claim).draw(figure, claim, columns.panel, (middle, height), colour);
    let width = columns.verdict - columns.ours - 8.0;
    let lines = numbers(claim).map(|line| shorten(&line, width, SMALL, false));
    for ((line, y), ink) in lines.iter().zip([first(2), first(2) + LINE]).zip([INK, MUTED]) {
        figure.write((columns.ours, y), line, SMALL, false, Align::Left, ink);
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
    use crate::figure::Shape;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::sample;

    #[test]
    fn every_claim_has_its_paper_number_its_effect_and_its_verdict_in_words() {
        let analysis = sample::full();
        let figure = figure(&analysis).unwrap();
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
        let figure = figure(&analysis).unwrap();
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
    fn names_and_papers_words_are_whole_on_as_many_lines_as_they_take() {
        let mut analysis = sample::full();
        analysis.claims.truncate(2);
        let claim = &mut analysis.claims[0];
        (claim.arm, claim.baseline) = ("ps-kd".to_owned(), "gradual-magnitude".to_owned());
        claim.paper_number =
            "CIFAR-10 to 94 % in 2.6 instead of 3.3 A100-seconds, by the speedrun".to_owned();
        let figure = figure(&analysis).unwrap();
        check_texts(&figure);
        check_shapes(&figure);
        let texts = figure.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let all = texts.collect::<Vec<_>>().join(" ");
        for wanted in ["ps-kd against gradual-magnitude", analysis.claims[0].paper_number.as_str()]
        {
            assert!(all.contains(wanted), "no {wanted} in {all}");
        }
    }

    #[test]
    fn wild_claims_stay_in_their_panel_and_their_words_in_their_columns() {
        let mut analysis = sample::full();
        let claim = &mut analysis.claims[0];
        claim.arm = "a".repeat(60);
        claim.paper_number = "many words ".repeat(20);
        (claim.effect, claim.smallest_effect) = (Some(1e-300), 1.0);
        claim.interval =
            claim.interval.map(|i| stats::interval::Interval { low: 0.0, high: 1e300, ..i });
        analysis.claims[1].effect = Some(f64::NAN);
        analysis.claims[2].interval = None;
        let figure = super::figure(&analysis).unwrap();
        check_texts(&figure);
        check_shapes(&figure);
        assert!(super::figure(&sample::empty()).is_none());
    }
}

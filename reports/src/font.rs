//! The embedded font: Noto Sans (SIL Open Font License 1.1), so that no system font is needed.

use std::borrow::Cow;
use std::sync::LazyLock;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

/// CSS family list of the SVG text; the embedded Noto Sans is registered under this name, so the
/// bitmap and the measured widths come from it.
pub(crate) const FAMILY: &str = "Noto Sans, system-ui, sans-serif";
/// Ascent plus descent of the embedded Noto Sans over its em (2789/2048).
pub(crate) const LINE_PER_EM: f64 = 2789.0 / 2048.0;

/// Registers the embedded font once; the error is the reason why it can't be read.
pub(crate) fn fonts() -> Result<(), &'static str> {
    static REGISTERED: LazyLock<Result<(), &'static str>> = LazyLock::new(|| {
        register_font(FAMILY, FontStyle::Normal, notosans::REGULAR_TTF)
            .and_then(|()| register_font(FAMILY, FontStyle::Bold, notosans::BOLD_TTF))
            .map_err(|_| "the embedded font can't be read")
    });
    *REGISTERED
}

/// The embedded font, read: normal or bold. None where it can't be, which [`fonts`] says.
pub(crate) fn face(bold: bool) -> Option<&'static ttf_parser::Face<'static>> {
    type Parsed = Option<ttf_parser::Face<'static>>;
    static FACES: LazyLock<[Parsed; 2]> =
        LazyLock::new(|| [false, true].map(|bold| ttf_parser::Face::parse(bytes(bold), 0).ok()));
    FACES[usize::from(bold)].as_ref()
}

/// The file of the embedded font.
pub(crate) fn bytes(bold: bool) -> &'static [u8] {
    if bold { notosans::BOLD_TTF } else { notosans::REGULAR_TTF }
}

/// Whether the embedded font has a picture of the character.
fn has(c: char, bold: bool) -> bool {
    face(bold).is_none_or(|face| face.glyph_index(c).is_some())
}

/// `text` as a bitmap has it: characters that the embedded font lacks by their numbers, `U+4E2D`, where
/// the font has nothing but a box; of more than there is room for the first and the last.
pub(crate) fn drawn(text: &str, size: f64, bold: bool) -> Cow<'_, str> {
    if text.chars().all(|c| has(c, bold)) {
        return text.into();
    }
    let width = |text: &str| measured(&numbered(text, bold), size, bold);
    numbered(&shorten_by(text, text_width(text, size, bold), &width), bold).into()
}

/// With numbers in the place of characters that the embedded font lacks.
fn numbered(text: &str, bold: bool) -> String {
    let mut drawn = String::new();
    let mut numbered = false;
    for c in text.chars() {
        if has(c, bold) {
            drawn.push(c);
            numbered = false;
        } else {
            drawn.push_str(if numbered { " " } else { "" });
            drawn.push_str(&format!("U+{:04X}", c as u32));
            numbered = true;
        }
    }
    drawn
}

/// Room for the fonts that a browser without Noto Sans falls back to, the widest being DejaVu Sans.
const SLACK: f64 = 1.12;

/// Width to set aside for `text` at `size` units per em. A character that the embedded font lacks is as wide as the em,
/// as most are in the font that a browser has for it; all of them together are never narrower than the numbers of two,
/// which is what a bitmap has at least.
pub(crate) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    let own: String = text.chars().filter(|c| has(*c, bold)).collect();
    let numbers = match text.chars().filter(|c| !has(*c, bold)).count() {
        0 => return measured(text, size, bold),
        1 => measured("U+1F600", size, bold),
        lacking => measured("U+1F600…U+1F600", size, bold).max(lacking as f64 * size * SLACK),
    };
    // Widths of parts are rounded, each for itself.
    measured(&own, size, bold) + numbers + 0.02 * size
}

/// Width of text of which the embedded font has every character.
fn measured(text: &str, size: f64, bold: bool) -> f64 {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    // A description made before the fonts are known never finds them.
    let known = fonts();
    // Measured large, since the library rounds to whole pixels.
    let font = FontDesc::new(FontFamily::Name(FAMILY), 1000.0 * LINE_PER_EM, style);
    let per_em = known.ok().and_then(|()| font.box_size(text).ok());
    // Without a font the figure will be refused when painted; any width does until then.
    per_em.map_or(0.6 * text.chars().count() as f64, |(width, _)| f64::from(width) / 1000.0)
        * size
        * SLACK
}

/// `text`, or its beginning and end around an ellipsis, no wider than `width`.
pub(crate) fn shorten(text: &str, width: f64, size: f64, bold: bool) -> String {
    shorten_by(text, width, &|text| text_width(text, size, bold))
}

fn shorten_by(text: &str, width: f64, width_of: &dyn Fn(&str) -> f64) -> String {
    // Far beyond any width: keeps the search below short for hostile labels.
    let chars: Vec<char> = text.chars().take(400).collect();
    let whole: String = chars.iter().collect();
    if chars.len() == text.chars().count() && width_of(&whole) <= width {
        return whole;
    }
    for kept in (1..chars.len()).rev() {
        let (head, tail) = (kept - kept / 3, kept / 3);
        let start: String = chars.iter().take(head).collect();
        let end: String = chars.iter().skip(chars.len() - tail).collect();
        let short = format!("{start}…{end}");
        if width_of(&short) <= width {
            return short;
        }
    }
    "…".to_owned()
}

/// `text` on lines no wider than `width`, broken at spaces; what does not fit on `most` lines is elided in the last.
pub(crate) fn wrap(text: &str, width: f64, size: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut words = text.split(' ').peekable();
    while words.peek().is_some() {
        if lines.len() + 1 == most {
            let rest = words.collect::<Vec<_>>().join(" ");
            lines.push(shorten(&rest, width, size, false));
            break;
        }
        let mut line = String::new();
        while let Some(word) = words.peek() {
            let longer =
                if line.is_empty() { (*word).to_owned() } else { format!("{line} {word}") };
            if !line.is_empty() && text_width(&longer, size, false) > width {
                break;
            }
            line = longer;
            words.next();
        }
        lines.push(shorten(&line, width, size, false));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_text_keeps_every_word_and_no_line_is_too_wide() {
        let text = "share of workloads and seeds on which an arm needs at most so many times what the best needs";
        let lines = wrap(text, 200.0, 12.0, 9);
        assert!(lines.len() > 2, "{lines:?}");
        assert_eq!(lines.join(" "), text);
        assert!(lines.iter().all(|line| text_width(line, 12.0, false) <= 200.0), "{lines:?}");
        let cut = wrap(text, 200.0, 12.0, 2);
        assert!(cut.len() == 2 && cut[1].contains('…'), "{cut:?}");
    }

    #[test]
    fn embedded_font_measures_text() {
        fonts().unwrap();
        let (narrow, wide) = (text_width("ill", 12.0, false), text_width("WWW", 12.0, false));
        assert!(narrow > 5.0 && wide > 2.0 * narrow, "{narrow} {wide}");
        assert!(text_width("sgd", 12.0, true) > text_width("sgd", 12.0, false));
    }

    #[test]
    fn letters_that_the_font_lacks_are_named_and_not_drawn_as_boxes() {
        assert_eq!(drawn("sgd 中文, a", 12.0, false), "sgd U+4E2D U+6587, a");
        assert_eq!(
            drawn("naïve Δ ∞ × ± − … ≥ ≤ → ρ ² – ·", 12.0, true),
            "naïve Δ ∞ × ± − … ≥ ≤ → ρ ² – ·"
        );
        let (short, long) = (text_width("中", 12.0, false), text_width("U+4E2D", 12.0, false));
        assert!(short >= long, "room for the number: {short} {long}");
    }

    #[test]
    fn a_name_of_letters_that_the_font_lacks_is_whole_where_a_browser_has_room_and_cut_in_a_bitmap()
    {
        let name = "動量與自適應學習率之比較";
        let width = text_width(name, 12.5, false);
        assert!((168.0..169.0).contains(&width), "an em each: {width}");
        assert_eq!(shorten(name, 170.0, 12.5, false), name);
        let shown = drawn(name, 12.5, false);
        assert!(
            shown.starts_with("U+52D5") && shown.ends_with("U+8F03") && shown.contains('…'),
            "{shown}"
        );
        assert!(text_width(&shown, 12.5, false) <= width);
        for text in ["中", "中文", "a中b", "שיטה מימין לשמאל", "x 😀 y", "😀😀😀"]
        {
            for bold in [false, true] {
                let (room, shown) = (text_width(text, 11.7, bold), drawn(text, 11.7, bold));
                assert!(measured(&shown, 11.7, bold) <= room + 1e-9, "{text}: {shown}");
                assert!(shown.contains("U+"), "{text}: {shown}");
            }
        }
    }

    #[test]
    fn long_label_keeps_its_beginning_and_end() {
        let short = shorten("drop-muon[cutoff=uniform, momentum=0.95]", 120.0, 12.0, false);
        assert!(short.starts_with("drop-muon") && short.ends_with(']') && short.contains('…'));
        assert!(text_width(&short, 12.0, false) <= 120.0);
        assert_eq!(shorten("sgd", 120.0, 12.0, false), "sgd");
        assert_eq!(shorten("anything", 1.0, 12.0, false), "…");
    }
}

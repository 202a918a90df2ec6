//! A figure as PDF: one page of its size, the letters that it shows embedded, its stamp in the Info dictionary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use subsetter::GlyphRemapper;

use super::explained;
use crate::ReportError;
use crate::figure::{Align, Colour, Figure, Point, Shape};
use crate::font::{bytes, drawn, face};

/// Control points of a quarter of a circle, over its radius.
const QUARTER: f64 = 0.552_284_75;
/// Numbers of the objects.
const CATALOGUE: usize = 1;
const PAGES: usize = 2;
const PAGE: usize = 3;
const CONTENT: usize = 4;
const INFO: usize = 5;
/// The first object of the first font; each takes [`FONT_OBJECTS`].
const FIRST_FONT: usize = 6;
const FONT_OBJECTS: usize = 5;
/// How glyphs are numbered.
const IDENTITY: &str = "<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>";

/// The figure as a PDF file.
pub(crate) fn pdf(figure: &Figure) -> Result<Vec<u8>, ReportError> {
    let laid = figure.laid();
    let explained = explained(&laid);
    let figure = explained.as_ref().unwrap_or(&laid);
    let refuse = |reason: String| ReportError::Figure { figure: figure.name.clone(), reason };
    let mut sheet = Sheet::of(figure);
    for shape in &figure.shapes {
        sheet.draw(shape).map_err(&refuse)?;
    }
    sheet.finish(figure).map_err(&refuse)
}

/// The letters of one font that are shown.
#[derive(Default)]
struct Letters {
    glyphs: GlyphRemapper,
    /// By their number in the file: the letter and its width over the em, in thousandths.
    shown: BTreeMap<u16, (char, f64)>,
}

struct Sheet {
    content: String,
    height: f64,
    unit: f64,
    letters: [Letters; 2],
    /// Transparencies in thousandths, in the order in which they are needed.
    alphas: Vec<u32>,
    now: Now,
}

/// What the next shape is painted with if nothing is said.
#[derive(Default)]
struct Now {
    fill: Option<Colour>,
    stroke: Option<Colour>,
    alpha: Option<u32>,
    width: Option<u32>,
}

impl Sheet {
    fn of(figure: &Figure) -> Self {
        Self {
            // Round joins, as on the screen.
            content: "1 j\n".to_owned(),
            height: figure.height,
            unit: figure.unit(),
            letters: Default::default(),
            alphas: Vec::new(),
            now: Now::default(),
        }
    }

    fn say(&mut self, words: &str) {
        self.content.push_str(words);
        self.content.push('\n');
    }

    /// On the page: points from the lower left corner.
    fn place(&self, (x, y): Point) -> String {
        format!("{} {}", number(x * self.unit), number((self.height - y) * self.unit))
    }

    fn fill(&mut self, colour: Colour, alpha: f64) {
        self.alpha(alpha);
        if self.now.fill.replace(colour) != Some(colour) {
            self.say(&format!("{} rg", shares(colour)));
        }
    }

    fn stroke(&mut self, colour: Colour, alpha: f64, width: f64) {
        self.alpha(alpha);
        if self.now.stroke.replace(colour) != Some(colour) {
            self.say(&format!("{} RG", shares(colour)));
        }
        let thousandths = (width * self.unit * 1e3).round() as u32;
        if self.now.width.replace(thousandths) != Some(thousandths) {
            self.say(&format!("{} w", number(f64::from(thousandths) / 1e3)));
        }
    }

    fn alpha(&mut self, alpha: f64) {
        let thousandths = (alpha.clamp(0.0, 1.0) * 1e3).round() as u32;
        if self.now.alpha.replace(thousandths) != Some(thousandths) {
            if !self.alphas.contains(&thousandths) {
                self.alphas.push(thousandths);
            }
            self.say(&format!("/A{thousandths} gs"));
        }
    }

    fn draw(&mut self, shape: &Shape) -> Result<(), String> {
        match shape {
            Shape::Line { points, colour, alpha, width } => {
                self.stroke(*colour, *alpha, *width);
                self.path(points);
                self.say("S");
            }
            Shape::Area { points, colour, alpha } => {
                self.fill(*colour, *alpha);
                self.path(points);
                self.say("h f");
            }
            Shape::Disc { centre, radius, colour, alpha } => {
                self.fill(*colour, *alpha);
                self.disc(*centre, *radius);
            }
            Shape::Text { at, text, size, bold, align, colour } => {
                self.fill(*colour, 1.0);
                self.text(*at, &drawn(text, *size, *bold), (*size, *bold), *align)?;
            }
        }
        Ok(())
    }

    fn path(&mut self, points: &[Point]) {
        for (index, point) in points.iter().enumerate() {
            let step = if index == 0 { "m" } else { "l" };
            let place = self.place(*point);
            self.say(&format!("{place} {step}"));
        }
    }

    fn disc(&mut self, centre: Point, radius: f64) {
        let at = |sheet: &Self, (x, y): Point| {
            sheet.place((centre.0 + radius * x, centre.1 + radius * y))
        };
        let first = at(self, (1.0, 0.0));
        self.say(&format!("{first} m"));
        let mut from = (1.0, 0.0);
        for _ in 0..4 {
            // Each quarter turns the one before it.
            let to: Point = (-from.1, from.0);
            let near = (from.0 + QUARTER * to.0, from.1 + QUARTER * to.1);
            let far = (to.0 + QUARTER * from.0, to.1 + QUARTER * from.1);
            let [near, far, end] = [near, far, to].map(|point| at(self, point));
            self.say(&format!("{near} {far} {end} c"));
            from = to;
        }
        self.say("h f");
    }

    fn text(
        &mut self,
        at: Point,
        text: &str,
        (size, bold): (f64, bool),
        align: Align,
    ) -> Result<(), String> {
        let face = face(bold).ok_or(NO_FONT)?;
        let Letters { glyphs, shown } = &mut self.letters[usize::from(bold)];
        let (mut codes, mut width) = (String::new(), 0.0);
        for letter in text.chars() {
            let glyph = face.glyph_index(letter).unwrap_or_default();
            let advance = f64::from(face.glyph_hor_advance(glyph).unwrap_or(0));
            let advance = advance / f64::from(face.units_per_em());
            let code = glyphs.remap(glyph.0);
            shown.insert(code, (letter, advance * 1e3));
            codes.push_str(&format!("{code:04X}"));
            width += advance;
        }
        let before = match align {
            Align::Left => 0.0,
            Align::Centre => 0.5,
            Align::Right => 1.0,
        };
        let place = self.place((at.0 - before * width * size, at.1));
        let size = number(size * self.unit);
        self.say(&format!("BT /F{} {size} Tf {place} Td <{codes}> Tj ET", u8::from(bold)));
        Ok(())
    }

    fn finish(self, figure: &Figure) -> Result<Vec<u8>, String> {
        let mut file = File::new();
        let used = [0, 1].map(|bold| !self.letters[bold].shown.is_empty());
        let (mut fonts, mut states, mut info) = (String::new(), String::new(), String::new());
        for bold in (0..2).filter(|bold| used[*bold]) {
            let _ = write!(fonts, "/F{bold} {} 0 R", FIRST_FONT + FONT_OBJECTS * bold);
        }
        for alpha in &self.alphas {
            let share = number(f64::from(*alpha) / 1e3);
            let _ = write!(states, "/A{alpha}<</ca {share}/CA {share}>>");
        }
        for (key, value) in &figure.stamp {
            // As PDF calls them.
            let key = match key.as_str() {
                "Description" => "Subject",
                "Software" => "Creator",
                key => key,
            };
            let _ = write!(info, "/{key} {}", text_string(value));
        }
        let [width, height] =
            [figure.width, figure.height].map(|units| number(units * figure.unit()));
        file.object(CATALOGUE, &format!("<</Type/Catalog/Pages {PAGES} 0 R>>"));
        file.object(PAGES, &format!("<</Type/Pages/Kids[{PAGE} 0 R]/Count 1>>"));
        file.object(
            PAGE,
            &format!(
                "<</Type/Page/Parent {PAGES} 0 R/MediaBox[0 0 {width} {height}]/Contents {CONTENT} 0 R/Resources<</Font<<{fonts}>>/ExtGState<<{states}>>>>>>"
            ),
        );
        file.stream(CONTENT, "", self.content.as_bytes())?;
        file.object(INFO, &format!("<<{info}/Producer(palimpsest)>>"));
        for bold in (0..2).filter(|bold| used[*bold]) {
            embed(&mut file, &self.letters[bold], bold == 1)?;
        }
        Ok(file.finish())
    }
}

const NO_FONT: &str = "the embedded font can't be read";

/// Writes a font with the letters that are shown and no others.
fn embed(file: &mut File, letters: &Letters, bold: bool) -> Result<(), String> {
    let face = face(bold).ok_or(NO_FONT)?;
    let first = FIRST_FONT + FONT_OBJECTS * usize::from(bold);
    let [font, descendant, descriptor, data, unicode] =
        [first, first + 1, first + 2, first + 3, first + 4];
    let subset = subsetter::subset(bytes(bold), 0, &letters.glyphs)
        .map_err(|error| format!("the embedded font can't be cut: {error}"))?;
    // Six letters before the name mark a part of a font.
    let name = if bold { "PALIMB+NotoSans-Bold" } else { "PALIMR+NotoSans-Regular" };
    let (mut widths, mut map) = (String::new(), String::new());
    for (code, (letter, width)) in &letters.shown {
        let _ = write!(widths, "{code}[{}]", number(*width));
        let units: String =
            letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("{unit:04X}")).collect();
        let _ = write!(map, "1 beginbfchar\n<{code:04X}> <{units}>\nendbfchar\n");
    }
    file.object(
        font,
        &format!(
            "<</Type/Font/Subtype/Type0/BaseFont/{name}/Encoding/Identity-H/DescendantFonts[{descendant} 0 R]/ToUnicode {unicode} 0 R>>"
        ),
    );
    file.object(
        descendant,
        &format!(
            "<</Type/Font/Subtype/CIDFontType2/BaseFont/{name}/CIDSystemInfo{IDENTITY}/FontDescriptor {descriptor} 0 R/DW 0/CIDToGIDMap/Identity/W[{widths}]>>"
        ),
    );
    let per_em = |units: i16| number(f64::from(units) * 1e3 / f64::from(face.units_per_em()));
    let bounds = face.global_bounding_box();
    let bounds = [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max].map(per_em).join(" ");
    file.object(
        descriptor,
        // No symbols; the thickness of stems by eye, which readers use only without the font.
        &format!(
            "<</Type/FontDescriptor/FontName/{name}/Flags 32/FontBBox[{bounds}]/ItalicAngle 0/Ascent {}/Descent {}/CapHeight {}/StemV {}/FontFile2 {data} 0 R>>",
            per_em(face.ascender()),
            per_em(face.descender()),
            per_em(face.capital_height().unwrap_or(face.ascender())),
            if bold { 140 } else { 80 },
        ),
    );
    file.stream(data, &format!("/Length1 {}", subset.len()), &subset)?;
    let map = format!(
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo {IDENTITY} def\n/CMapName /Palimpsest def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n{map}endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
    );
    file.stream(unicode, "", map.as_bytes())
}

/// A PDF file as it grows: objects one after the other, then the table of their places.
struct File {
    bytes: Vec<u8>,
    places: BTreeMap<usize, usize>,
}

impl File {
    fn new() -> Self {
        // Bytes above 127 in a comment tell those who copy it that it is no text.
        Self { bytes: b"%PDF-1.7\n%\x80\x81\x82\x83\n".to_vec(), places: BTreeMap::new() }
    }

    fn object(&mut self, id: usize, body: &str) {
        self.places.insert(id, self.bytes.len());
        self.bytes.extend_from_slice(format!("{id} 0 obj\n{body}\nendobj\n").as_bytes());
    }

    fn stream(&mut self, id: usize, more: &str, bytes: &[u8]) -> Result<(), String> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
        let packed = packed.map_err(|error| error.to_string())?;
        self.places.insert(id, self.bytes.len());
        let head = format!("{id} 0 obj\n<</Length {}/Filter/FlateDecode{more}>>", packed.len());
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(b"\nstream\n");
        self.bytes.extend_from_slice(&packed);
        self.bytes.extend_from_slice(b"\nendstream\nendobj\n");
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        let table = self.bytes.len();
        let count = self.places.keys().last().map_or(1, |last| last + 1);
        let mut end = format!("xref\n0 {count}\n0000000000 65535 f\r\n");
        for id in 1..count {
            // A font that shows nothing leaves its numbers free.
            let _ = match self.places.get(&id) {
                Some(place) => write!(end, "{place:010} 00000 n\r\n"),
                None => write!(end, "0000000000 65535 f\r\n"),
            };
        }
        let _ = write!(
            end,
            "trailer\n<</Size {count}/Root {CATALOGUE} 0 R/Info {INFO} 0 R>>\nstartxref\n{table}\n%%EOF\n"
        );
        self.bytes.extend_from_slice(end.as_bytes());
        self.bytes
    }
}

/// A number as PDF wants it: no exponent, no digits that nobody sees.
fn number(value: f64) -> String {
    let fixed = format!("{value:.3}");
    let short = fixed.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" || short.is_empty() { "0".to_owned() } else { short.to_owned() }
}

/// A text of the Info dictionary: as it is, or in UTF-16 where it has other letters.
fn text_string(text: &str) -> String {
    if text.chars().all(|letter| matches!(letter, ' '..='~')) {
        let escaped = text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        return format!("({escaped})");
    }
    let units: String = text.encode_utf16().map(|unit| format!("{unit:04X}")).collect();
    format!("<FEFF{units}>")
}

fn shares((red, green, blue): Colour) -> String {
    [red, green, blue].map(|byte| number(f64::from(byte) / 255.0)).join(" ")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::figure::INK;

    fn figure() -> Figure {
        let mut figure = Figure::new("a title (with brackets)".to_owned(), "≥ 0.97, 中");
        figure.height = 90.0;
        figure.area(vec![(1.0, 1.0), (20.0, 1.0), (20.0, 20.0)], INK, 0.13);
        figure.disc((30.0, 30.0), 4.0, INK, 1.0);
        figure.line(vec![(1.0, 1.0), (30.0, 30.0)], INK, 1.5);
        figure.stamp = vec![
            ("Title".to_owned(), "a ≥ b".to_owned()),
            ("Runs".to_owned(), "0123 ab".to_owned()),
        ];
        figure
    }

    /// Every stream of the file, unpacked where it is packed.
    fn streams(file: &[u8]) -> Vec<Vec<u8>> {
        let find = |from: usize, what: &[u8]| {
            file[from..].windows(what.len()).position(|part| part == what).map(|at| from + at)
        };
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(start) = find(at, b">>\nstream\n") {
            let start = start + 10;
            let end = find(start, b"\nendstream").unwrap();
            let raw = &file[start..end];
            let mut plain = Vec::new();
            let unpacked = flate2::read::ZlibDecoder::new(raw).read_to_end(&mut plain);
            found.push(if unpacked.is_ok() { plain } else { raw.to_vec() });
            at = end;
        }
        found
    }

    #[test]
    fn every_letter_that_is_shown_is_in_a_font_of_the_file() {
        let file = pdf(&figure()).unwrap();
        let all = streams(&file);
        let fonts: Vec<_> =
            all.iter().filter_map(|bytes| ttf_parser::Face::parse(bytes, 0).ok()).collect();
        assert_eq!(fonts.len(), 2, "normal and bold");
        let maps: Vec<String> = all
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .filter(|text| text.contains("beginbfchar"))
            .collect();
        assert_eq!(maps.len(), 2);
        assert!(maps.iter().any(|map| map.contains("<2265>")), "no ≥ to copy: {maps:?}");
        let glyphs: usize = fonts.iter().map(|font| usize::from(font.number_of_glyphs())).sum();
        assert!(glyphs < 120, "{glyphs} glyphs: no subset");
        let text = String::from_utf8_lossy(&file);
        assert_eq!(text.matches("/FontFile2").count(), 2);
        assert_eq!(text.matches("/Identity-H").count(), 2);
        // Every object is where the table says.
        let start: usize =
            text.rsplit_once("startxref\n").unwrap().1.lines().next().unwrap().parse().unwrap();
        let table = String::from_utf8_lossy(&file[start..]).into_owned();
        let places: Vec<usize> = table
            .lines()
            .filter(|line| line.ends_with(" n"))
            .map(|line| line[..10].parse().unwrap())
            .collect();
        assert_eq!(places.len(), 5 + 2 * 5);
        for (id, place) in (1..).zip(places) {
            assert!(file[place..].starts_with(format!("{id} 0 obj\n").as_bytes()), "object {id}");
        }
        assert!(file.len() < 60_000, "{} bytes", file.len());
    }

    #[test]
    fn runs_and_title_are_in_the_info_dictionary() {
        let file = pdf(&figure()).unwrap();
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("/Runs (0123 ab)"), "{text}");
        let trailer = text.rsplit_once("trailer").unwrap().1;
        assert!(trailer.contains("/Info 5 0 R"), "{trailer}");
        // UTF-16 with a mark, since ≥ is no letter of the plain form.
        assert!(text.contains("/Title <FEFF"), "{text}");
    }

    #[test]
    fn numbers_have_no_exponent_and_brackets_of_a_text_do_not_end_it() {
        assert_eq!(
            [1e-9, -1e-9, 12.5, 100.0, -0.25].map(number),
            ["0", "0", "12.5", "100", "-0.25"]
        );
        assert_eq!(text_string("a (b\\) c"), "(a \\(b\\\\\\) c)");
    }

    #[test]
    fn the_page_has_the_size_of_the_figure_on_paper() {
        let file = pdf(&figure().bare()).unwrap();
        let text = String::from_utf8_lossy(&file);
        assert!(text.contains("/MediaBox[0 0 504 "), "7 inches: {text}");
    }

    #[test]
    fn the_same_figure_gives_the_same_bytes() {
        assert_eq!(pdf(&figure()).unwrap(), pdf(&figure()).unwrap());
    }
}

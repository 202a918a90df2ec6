//! Paints a figure through plotters' drawing interface: as SVG by its own backend, as PNG by `bitmap`; `pdf` writes it
//! as PDF.

use std::borrow::Cow;
use std::panic::resume_unwind;
use std::thread;

use plotters::prelude::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, RGBAColor, RGBColor, ShapeStyle};

use crate::ReportError;
use crate::figure::{Align, Colour, Figure, MUTED, PAPER, Point, SMALL, Shape};
use crate::font::{FAMILY, drawn, fonts, wrap};
use crate::paint::bitmap::{BASELINE, Bitmap, FINE, SIZE_PER_EM};
use crate::themed::themed;

mod bitmap;
pub(crate) mod pdf;

/// SVG units per figure unit: plotters places shapes on whole units, too coarse at 1.
const SVG_SCALE: f64 = 10.0;
/// Dots per inch of a PNG where nobody asks for others: two pixels per unit on a screen.
pub(crate) const DPI: f64 = 192.0;
/// Points of an inch.
const INCH: f64 = 72.0;
/// Most pixels of a PNG.
const MOST_PIXELS: f64 = 6e7;
/// Pixels of a row that are looked at together.
const STRETCH: usize = 8;
/// Figures painted at a time, at most: each takes some ten megabytes.
const MOST_PAINTERS: usize = 4;

/// Below a bitmap with letters that the embedded font lacks.
const NUMBERED: &str =
    "U+…: a letter that the font of this picture lacks, by its Unicode number; the SVG has it";

/// How a backend differs from the figure's units.
struct Surface {
    scale: f64,
    /// Whether letters are painted by the embedded font, and not by those of whoever looks.
    own_font: bool,
}

const SVG: Surface = Surface { scale: SVG_SCALE, own_font: false };

/// The figure as an SVG document, with its stamp as JSON in `<metadata>`.
pub(crate) fn svg(figure: &Figure) -> Result<String, ReportError> {
    Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", element(figure, true)?))
}

/// The stamp as one JSON object in an element, or nothing.
fn metadata(figure: &Figure) -> Result<String, ReportError> {
    if figure.stamp.is_empty() {
        return Ok(String::new());
    }
    let pairs: serde_json::Map<String, serde_json::Value> =
        figure.stamp.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    Ok(format!("<metadata>{}</metadata>\n", escaped(&serde_json::to_string(&pairs)?)))
}

/// The figure as an `<svg>` element for an HTML page, which needs no namespace and has values to point at.
pub(crate) fn inline_svg(figure: &Figure) -> Result<String, ReportError> {
    let mut svg = themed(&element(figure, false)?);
    if let Some(end) = svg.rfind("</svg>") {
        svg.insert_str(end, &spots(figure));
    }
    Ok(svg)
}

/// Unseen discs over the values of a figure, each with its words as a title.
fn spots(figure: &Figure) -> String {
    let disc = |((x, y), words): &(Point, String)| {
        let place = |at: f64| (at * SVG_SCALE).round();
        let words = escaped(words);
        format!(
            "<circle cx=\"{}\" cy=\"{}\"><title>{words}</title></circle>\n",
            place(*x),
            place(*y)
        )
    };
    let discs: String = figure.spots.iter().map(disc).collect();
    if discs.is_empty() { discs } else { format!("<g class=\"spots\">\n{discs}</g>\n") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn element(figure: &Figure, namespace: bool) -> Result<String, ReportError> {
    let figure = &*figure.laid();
    let mut drawn = String::new();
    let size = ((figure.width * SVG_SCALE) as u32, (figure.height * SVG_SCALE) as u32);
    paint(figure, SVGBackend::with_string(&mut drawn, size), &SVG)?;
    // The backend's opening tag has no room for a size in figure units and a description.
    let body = joined(drawn.split_once('\n').map_or("", |(_, body)| body));
    let (declared, stamp) = if namespace {
        (" xmlns=\"http://www.w3.org/2000/svg\"", metadata(figure)?)
    } else {
        ("", String::new())
    };
    let title = escaped(&figure.title);
    let (width, height) = if figure.bare {
        let points = |units: f64| format!("{:.1}pt", units * figure.unit());
        (points(figure.width), points(figure.height))
    } else {
        (figure.width.to_string(), figure.height.to_string())
    };
    Ok(format!(
        "<svg{declared} width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\" role=\"img\">\n<title>{title}</title>\n{stamp}{body}",
        size.0, size.1,
    ))
}

/// The figure as a PNG file.
pub(crate) fn png(figure: &Figure) -> Result<Vec<u8>, ReportError> {
    png_at(figure, DPI)
}

/// The figures as PNG files, in their order, on as many cores as there are.
pub(crate) fn pngs(figures: &[&Figure]) -> Result<Vec<Vec<u8>>, ReportError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let painters = cores.min(MOST_PAINTERS).min(figures.len()).max(1);
    // In turns: figures of one kind, which take as long, stand together.
    let part = |painter: usize| -> Vec<Result<Vec<u8>, ReportError>> {
        let mine = figures.iter().skip(painter).step_by(painters);
        let mut canvas = Vec::new();
        mine.map(|figure| png_on(&mut canvas, figure, DPI)).collect()
    };
    let part = &part;
    let mut parts: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> =
            (1..painters).map(|painter| scope.spawn(move || part(painter))).collect();
        let mine = part(0);
        let others =
            others.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
        std::iter::once(mine).chain(others).map(Vec::into_iter).collect()
    });
    (0..figures.len()).filter_map(|place| parts[place % painters].next()).collect()
}

/// The same with so many dots per inch; its stamp is in text chunks.
pub(crate) fn png_at(figure: &Figure, dpi: f64) -> Result<Vec<u8>, ReportError> {
    png_on(&mut Vec::new(), figure, dpi)
}

/// The same by way of a canvas, which can be used again: fresh memory takes longer to come by than to paint.
fn png_on(canvas: &mut Vec<u8>, figure: &Figure, dpi: f64) -> Result<Vec<u8>, ReportError> {
    let laid = figure.laid();
    let explained = explained(&laid);
    let figure = explained.as_ref().unwrap_or(&laid);
    let refuse = |reason: String| ReportError::Figure { figure: figure.name.clone(), reason };
    let scale = figure.unit() * dpi / INCH;
    let pixels = |units: f64| (units * scale).round().max(1.0);
    let many = pixels(figure.width) * pixels(figure.height);
    if many > MOST_PIXELS || many.is_nan() {
        return Err(refuse(format!(
            "{many:.0} pixels at {dpi} dots per inch are more than {MOST_PIXELS:.0}; ask for fewer dots, or for SVG or PDF"
        )));
    }
    let (width, height) = (pixels(figure.width) as usize, pixels(figure.height) as usize);
    let bytes = width * height * 4;
    if canvas.len() < bytes {
        *canvas = vec![0; bytes];
    }
    // The ground is painted first, over whatever is there.
    let canvas = &mut canvas[..bytes];
    let bitmap = Bitmap::over(canvas, (width as u32, height as u32))
        .ok_or_else(|| refuse(format!("{width} × {height} pixels are no picture")))?;
    paint(figure, bitmap, &Surface { scale: scale * FINE, own_font: true })?;
    let pixels = opaque(canvas);
    let pixels = &canvas[..pixels];
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    if !figure.bare {
        // Half as large again, in a third of the time: a screen waits, a paper does not.
        encoder.set_compression(png::Compression::Fast);
        encoder.set_filter(png::Filter::Up);
    }
    // So that a paper includes the figure at its designed size.
    let per_metre = (dpi / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    for (key, value) in &figure.stamp {
        // The plain chunk knows only Latin letters.
        let added = if value.is_ascii() {
            encoder.add_text_chunk(key.clone(), value.clone())
        } else {
            encoder.add_itxt_chunk(key.clone(), value.clone())
        };
        added.map_err(|error| refuse(error.to_string()))?;
    }
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels))
        .map_err(|error| refuse(error.to_string()))?;
    Ok(bytes)
}

/// The figure with a line that says what U+… stands for, where the embedded font lacks letters of it.
pub(super) fn explained(figure: &Figure) -> Option<Figure> {
    let lacks = |shape: &Shape| match shape {
        Shape::Text { text, size, bold, .. } => {
            matches!(drawn(text, *size, *bold), Cow::Owned(_))
        }
        _ => false,
    };
    figure.shapes.iter().any(lacks).then(|| {
        let mut explained = figure.clone();
        let lines = wrap(NUMBERED, figure.width - 24.0, SMALL, 3);
        for (line, y) in lines.iter().zip((0..).map(|row| 11.0 + 15.0 * f64::from(row))) {
            let at = (12.0, figure.height + y);
            explained.write(at, line, SMALL, false, Align::Left, MUTED);
        }
        explained.height += 3.0 + 15.0 * lines.len() as f64;
        explained
    })
}

/// Takes out the opacity of the pixels, which is whole everywhere, in their own place; says how many bytes are left.
/// Most of a figure is ground: a stretch of it is compared and copied whole. Plain loops for the rest: everyday builds do
/// not optimise this crate, where chains of iterators over every byte would take seconds.
fn opaque(pixels: &mut [u8]) -> usize {
    let (red, green, blue) = PAPER;
    let ground = [red, green, blue, u8::MAX].repeat(STRETCH);
    let bare = [red, green, blue].repeat(STRETCH);
    let (mut from, mut to) = (0, 0);
    while from < pixels.len() {
        let end = pixels.len().min(from + 4 * STRETCH);
        if pixels[from..end] == ground[..end - from] {
            let length = (end - from) / 4 * 3;
            pixels[to..to + length].copy_from_slice(&bare[..length]);
            (from, to) = (end, to + length);
            continue;
        }
        while from < end {
            pixels[to] = pixels[from];
            pixels[to + 1] = pixels[from + 1];
            pixels[to + 2] = pixels[from + 2];
            from += 4;
            to += 3;
        }
    }
    to
}

fn paint<B: DrawingBackend>(
    figure: &Figure,
    mut backend: B,
    surface: &Surface,
) -> Result<(), ReportError> {
    let refuse = |reason: String| ReportError::Figure { figure: figure.name.clone(), reason };
    fonts().map_err(|reason| refuse(reason.to_owned()))?;
    let corner = surface.place((figure.width, figure.height));
    backend
        .draw_rect((0, 0), corner, &style(PAPER, 1.0, 1), true)
        .map_err(|error| refuse(error.to_string()))?;
    for shape in &figure.shapes {
        surface.draw(&mut backend, shape).map_err(&refuse)?;
    }
    backend.present().map_err(|error| refuse(error.to_string()))
}

impl Surface {
    fn place(&self, (x, y): Point) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn length(&self, units: f64) -> u32 {
        (units * self.scale).round().max(1.0) as u32
    }

    fn draw<B: DrawingBackend>(&self, backend: &mut B, shape: &Shape) -> Result<(), String> {
        let outcome = match shape {
            Shape::Line { points, colour, alpha, width } => {
                return self.draw_line(
                    backend,
                    points,
                    style(*colour, *alpha, self.length(*width)),
                );
            }
            Shape::Area { points, colour, alpha } => {
                let corners = points.iter().map(|point| self.place(*point));
                backend.fill_polygon(corners, &style(*colour, *alpha, 1))
            }
            Shape::Disc { centre, radius, colour, alpha } => backend.draw_circle(
                self.place(*centre),
                self.length(*radius),
                &style(*colour, *alpha, 1),
                true,
            ),
            Shape::Text { at: (x, y), text, size, bold, align, colour } => {
                let weight = if *bold { FontStyle::Bold } else { FontStyle::Normal };
                let em = size * self.scale;
                let font = FontDesc::new(FontFamily::Name(FAMILY), em * SIZE_PER_EM, weight);
                let side = match align {
                    Align::Left => HPos::Left,
                    Align::Centre => HPos::Center,
                    Align::Right => HPos::Right,
                };
                let mut style = font.color(&rgb(*colour));
                style.pos = Pos::new(side, VPos::Top);
                let text = if self.own_font { drawn(text, *size, *bold) } else { text.into() };
                backend.draw_text(&text, &style, self.place((*x, y - BASELINE * size)))
            }
        };
        outcome.map_err(|error| error.to_string())
    }

    fn draw_line<B: DrawingBackend>(
        &self,
        backend: &mut B,
        points: &[Point],
        style: ShapeStyle,
    ) -> Result<(), String> {
        let mut placed: Vec<(i32, i32)> = points.iter().map(|point| self.place(*point)).collect();
        placed.dedup();
        if placed.len() < 2 {
            return Ok(());
        }
        backend.draw_path(placed, &style).map_err(|error| error.to_string())
    }
}

/// The same picture with lines that follow on one another in one look as one path: the dashes of a line are hundreds.
fn joined(svg: &str) -> String {
    const LINE: &str = "<polyline ";
    let parts = |line: &str| -> Option<(String, String)> {
        let (look, points) =
            line.strip_prefix(LINE)?.strip_suffix(" \"/>")?.split_once("points=\"")?;
        Some((look.to_owned(), points.to_owned()))
    };
    let mut joined = String::with_capacity(svg.len());
    let mut lines = svg.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((look, mut path)) = parts(line) else {
            joined += line;
            joined.push('\n');
            continue;
        };
        let mut alone = true;
        while let Some((_, more)) =
            lines.peek().and_then(|next| parts(next)).filter(|(other, _)| *other == look)
        {
            path += &format!("M{more}");
            alone = false;
            lines.next();
        }
        joined +=
            &if alone { format!("{line}\n") } else { format!("<path {look}d=\"M{path}\"/>\n") };
    }
    joined
}

fn rgb((red, green, blue): Colour) -> RGBColor {
    RGBColor(red, green, blue)
}

fn style((red, green, blue): Colour, alpha: f64, stroke_width: u32) -> ShapeStyle {
    ShapeStyle { color: RGBAColor(red, green, blue, alpha), filled: true, stroke_width }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_label_gives_well_formed_svg(label in any::<String>()) {
            let mut figure = Figure::new(label.clone(), &label);
            figure.height = 60.0;
            let svg = svg(&figure).unwrap();
            // The title on a line, the explanation on as many as it takes.
            let texts = svg.matches("<text ").count();
            prop_assert!(texts >= 2);
            prop_assert_eq!(svg.matches('<').count(), svg.matches('>').count());
            // One declaration; svg, title and texts, each opened and closed; one rectangle.
            prop_assert_eq!(svg.matches('<').count(), 1 + 2 * (2 + texts) + 1);
            let allowed = |c: char| matches!(c, '\n' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
            prop_assert!(svg.chars().all(allowed), "XML 1.0 forbids a character in {svg:?}");
        }
    }

    #[test]
    fn a_bitmap_says_what_the_numbers_of_missing_letters_are() {
        let plain = Figure::new("sgd: accuracy ≥ 0.97".to_owned(), "mean ± interval");
        assert!(explained(&plain).is_none());
        let figure = Figure::new("مثال".to_owned(), "mean");
        let explained = explained(&figure).unwrap();
        assert!(
            explained.height > figure.height && svg(&explained).unwrap().contains("U+…: a letter")
        );
        assert!(svg(&figure).unwrap().contains("مثال"), "a browser has the letters");
        let narrow = super::explained(&Figure { width: 400.0, ..figure }).unwrap();
        let said = svg(&narrow).unwrap();
        assert!(said.contains("the SVG has it") && !said.contains("pictur…"), "{said}");
    }

    /// Rows of pixels of a PNG, and how many bytes each has.
    fn pixels(figure: &Figure) -> (Vec<u8>, usize) {
        let bytes = png(figure).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let row = reader.next_frame(&mut pixels).unwrap().line_size;
        (pixels, row)
    }

    #[test]
    fn a_bitmap_has_the_numbers_of_missing_letters_where_they_would_stand_and_says_what_they_are() {
        let figure = |text: &str| Figure { height: 60.0, ..Figure::new("sgd".to_owned(), text) };
        let (missing, row) = pixels(&figure("中文, a"));
        let (numbers, _) = pixels(&figure("U+4E2D U+6587, a"));
        let explained = (18 * 2) * row;
        assert_eq!(missing.len(), numbers.len() + explained, "no line says what U+ means");
        assert!(missing.starts_with(&numbers), "the numbers are not drawn");
    }

    #[test]
    fn files_say_where_a_figure_comes_from() {
        let mut figure = Figure { height: 60.0, ..Figure::new("a < b".to_owned(), "") };
        figure.stamp =
            vec![("Runs".to_owned(), "ab12".to_owned()), ("Title".to_owned(), "a < ∞".to_owned())];
        let svg = svg(&figure).unwrap();
        assert!(
            svg.contains("<metadata>{\"Runs\":\"ab12\",\"Title\":\"a &lt; ∞\"}</metadata>"),
            "{svg}"
        );
        assert!(!inline_svg(&figure).unwrap().contains("<metadata>"), "a page says it once");
        let bytes = png(&figure).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let info = reader.info();
        let plain = &info.uncompressed_latin1_text[0];
        assert_eq!((plain.keyword.as_str(), plain.text.as_str()), ("Runs", "ab12"));
        assert_eq!(info.utf8_text[0].get_text().unwrap(), "a < ∞");
    }

    #[test]
    fn dots_per_inch_decide_the_pixels_and_not_the_size_on_paper() {
        let figure = Figure { height: 100.0, ..Figure::new("a".to_owned(), "b") }.bare();
        for dpi in [150.0, 300.0] {
            let bytes = png_at(&figure, dpi).unwrap();
            let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
            let info = reader.info();
            assert_eq!(info.width, (7.0 * dpi) as u32);
            assert_eq!(info.pixel_dims.unwrap().xppu, (dpi / 0.0254).round() as u32);
        }
        let error = png_at(&figure, 1e6).unwrap_err().to_string();
        assert!(error.contains("fewer dots"), "{error}");
    }

    #[test]
    fn an_explanation_too_long_for_a_line_is_drawn_whole_on_several() {
        let long = "word ".repeat(60) + "end";
        let mut figure = Figure::new("a".to_owned(), &long);
        figure.height = 100.0;
        figure.disc((10.0, 90.0), 2.0, MUTED, 1.0);
        let laid = figure.laid();
        let svg = svg(&figure).unwrap();
        assert!(svg.contains("word end") && !svg.contains('…'), "{svg}");
        assert!(laid.height > figure.height);
        assert!(matches!(laid.shapes[1], Shape::Disc { centre: (_, y), .. } if y > 100.0));
    }

    #[test]
    fn pixels_lose_their_opacity_and_nothing_else_wherever_the_ground_ends() {
        let (red, green, blue) = PAPER;
        for length in [1, STRETCH - 1, STRETCH, 3 * STRETCH + 5] {
            for dark in 0..length {
                let pixel =
                    |at: usize| if at == dark { [9, 8, 7, 255] } else { [red, green, blue, 255] };
                let mut found: Vec<u8> = (0..length).flat_map(pixel).collect();
                let left = opaque(&mut found);
                found.truncate(left);
                let expected: Vec<u8> =
                    (0..length).flat_map(|at| pixel(at)[..3].to_vec()).collect();
                assert_eq!(found, expected, "{dark} of {length}");
            }
        }
    }

    #[test]
    fn figures_painted_together_have_the_bytes_of_each_alone() {
        let figure = |place: usize| Figure {
            height: 40.0 + 30.0 * (place % 3) as f64,
            ..Figure::new(format!("number {place}"), "with words")
        };
        let figures: Vec<Figure> = (0..7).map(figure).collect();
        let together = pngs(&figures.iter().collect::<Vec<_>>()).unwrap();
        let alone: Vec<Vec<u8>> = figures.iter().map(|figure| png(figure).unwrap()).collect();
        assert!(together == alone);
        assert!(pngs(&[]).unwrap().is_empty());
    }

    #[test]
    fn lines_in_one_look_are_one_path_and_others_stay_as_they_are() {
        let mut figure = Figure { height: 90.0, ..Figure::new("a".to_owned(), "b") };
        for place in 0..3 {
            let x = 10.0 * f64::from(place);
            figure.line(vec![(x, 60.0), (x + 5.0, 70.0)], MUTED, 1.0);
        }
        figure.line(vec![(1.0, 2.0), (3.0, 4.0)], PAPER, 1.0);
        let svg = svg(&figure).unwrap();
        assert!(svg.contains("d=\"M0,600 50,700M100,600 150,700M200,600 250,700\"/>"), "{svg}");
        assert!(svg.contains("points=\"10,20 30,40 \"/>"), "{svg}");
        assert_eq!(svg.matches("<path ").count(), 1);
    }
}

//! Paints a figure as SVG or PNG with plotters' two backends.

use std::borrow::Cow;

use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, RGBAColor, RGBColor, ShapeStyle};

use crate::ReportError;
use crate::figure::{Align, Colour, Figure, MUTED, PAPER, Point, Shape, WIDTH};
use crate::font::{FAMILY, LINE_PER_EM, drawn, fonts};

/// SVG units per figure unit: plotters places shapes on whole units, too coarse at 1.
const SVG_SCALE: f64 = 10.0;
/// PNG pixels per figure unit.
const PNG_SCALE: usize = 2;
/// Each PNG pixel is the mean of this many painted pixels squared: plotters does not smooth edges
/// of areas.
const SMOOTH: usize = 3;

/// Below a bitmap with letters that the embedded font lacks.
const NUMBERED: &str =
    "U+…: a letter that the font of this picture lacks, by its Unicode number; the SVG has it";

/// How a backend differs from the figure's units.
struct Surface {
    scale: f64,
    /// Font size that the backend wants per em.
    size_per_em: f64,
    /// Baseline below the point of a top-anchored text, over the em.
    baseline: f64,
    /// Whether a thick path must be painted piece by piece: plotters' bitmap turns it into one
    /// polygon, which has holes where it crosses itself.
    piecewise: bool,
    /// Whether letters are painted by the embedded font, and not by those of whoever looks.
    own_font: bool,
}

/// plotters' SVG divides sizes by 1.24 and moves top-anchored text down by 0.76 em.
const SVG: Surface = Surface {
    scale: SVG_SCALE,
    size_per_em: 1.24,
    baseline: 0.76,
    piecewise: false,
    own_font: false,
};
/// plotters' bitmap takes the size for ascent plus descent and puts the baseline at half of it.
const PNG: Surface = Surface {
    scale: (PNG_SCALE * SMOOTH) as f64,
    size_per_em: LINE_PER_EM,
    baseline: LINE_PER_EM / 2.0,
    piecewise: true,
    own_font: true,
};

/// The figure as an SVG document.
pub(crate) fn svg(figure: &Figure) -> Result<String, ReportError> {
    Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", element(figure, true)?))
}

/// The figure as an `<svg>` element for an HTML page, which needs no namespace.
pub(crate) fn inline_svg(figure: &Figure) -> Result<String, ReportError> {
    element(figure, false)
}

fn element(figure: &Figure, namespace: bool) -> Result<String, ReportError> {
    let mut drawn = String::new();
    let size = ((WIDTH * SVG_SCALE) as u32, (figure.height * SVG_SCALE) as u32);
    paint(figure, SVGBackend::with_string(&mut drawn, size), &SVG)?;
    // The backend's opening tag has no room for a size in figure units and a description.
    let body = drawn.split_once('\n').map_or("", |(_, body)| body);
    let namespace = if namespace { " xmlns=\"http://www.w3.org/2000/svg\"" } else { "" };
    let title = figure.title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Ok(format!(
        "<svg{namespace} width=\"{WIDTH}\" height=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\">\n<title>{title}</title>\n{body}",
        figure.height, size.0, size.1,
    ))
}

/// The figure as a PNG file.
pub(crate) fn png(figure: &Figure) -> Result<Vec<u8>, ReportError> {
    let explained = explained(figure);
    let figure = explained.as_ref().unwrap_or(figure);
    let refuse = |reason: String| ReportError::Figure { figure: figure.name.clone(), reason };
    let (width, height) = (WIDTH as usize * PNG_SCALE, figure.height as usize * PNG_SCALE);
    let (fine_width, fine_height) = (width * SMOOTH, height * SMOOTH);
    let mut fine = vec![0; fine_width * fine_height * 3];
    let size = (fine_width as u32, fine_height as u32);
    paint(figure, BitMapBackend::with_buffer(&mut fine, size), &PNG)?;
    let pixels = shrink(&fine, width, height);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    // Two pixels per 1/96 inch, so that a paper includes the figure at its designed size.
    let per_metre = (96.0 * PNG_SCALE as f64 / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&pixels))
        .map_err(|error| refuse(error.to_string()))?;
    Ok(bytes)
}

/// The figure with a line that says what U+… stands for, where the embedded font lacks letters of it.
fn explained(figure: &Figure) -> Option<Figure> {
    let lacks = |shape: &Shape| match shape {
        Shape::Text { text, bold, .. } => matches!(drawn(text, *bold), Cow::Owned(_)),
        _ => false,
    };
    figure.shapes.iter().any(lacks).then(|| {
        let mut explained = figure.clone();
        explained.height += 18.0;
        let at = (12.0, explained.height - 7.0);
        explained.label(at, NUMBERED, Align::Left, MUTED);
        explained
    })
}

/// Means over squares of `SMOOTH` by `SMOOTH` pixels of an RGB image. Plain loops: everyday builds do not optimise
/// this crate, where chains of iterators over every byte would take seconds.
fn shrink(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let fine_row = width * SMOOTH * 3;
    let count = (SMOOTH * SMOOTH) as u32;
    let mut pixels = vec![0; width * height * 3];
    let mut sums = vec![0u32; fine_row];
    for (y, band) in fine.chunks_exact(fine_row * SMOOTH).take(height).enumerate() {
        sums.fill(0);
        for row in band.chunks_exact(fine_row) {
            let mut at = 0;
            while at < fine_row {
                sums[at] += row[at] as u32;
                at += 1;
            }
        }
        let means = &mut pixels[y * width * 3..(y + 1) * width * 3];
        let mut at = 0;
        while at < width * 3 {
            let first = at / 3 * 3 * SMOOTH + at % 3;
            let mut sum = count / 2;
            let mut step = 0;
            while step < SMOOTH {
                sum += sums[first + 3 * step];
                step += 1;
            }
            means[at] = (sum / count) as u8;
            at += 1;
        }
    }
    pixels
}

fn paint<B: DrawingBackend>(
    figure: &Figure,
    mut backend: B,
    surface: &Surface,
) -> Result<(), ReportError> {
    let refuse = |reason: String| ReportError::Figure { figure: figure.name.clone(), reason };
    fonts().map_err(|reason| refuse(reason.to_owned()))?;
    let corner = surface.place((WIDTH, figure.height));
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
                let font = FontDesc::new(FontFamily::Name(FAMILY), em * self.size_per_em, weight);
                let side = match align {
                    Align::Left => HPos::Left,
                    Align::Centre => HPos::Center,
                    Align::Right => HPos::Right,
                };
                let mut style = font.color(&rgb(*colour));
                style.pos = Pos::new(side, VPos::Top);
                let text = if self.own_font { drawn(text, *bold) } else { text.into() };
                backend.draw_text(&text, &style, self.place((*x, y - self.baseline * size)))
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
        if !self.piecewise {
            return backend.draw_path(placed, &style).map_err(|error| error.to_string());
        }
        for (from, to) in placed.iter().zip(placed.iter().skip(1)) {
            backend.draw_path([*from, *to], &style).map_err(|error| error.to_string())?;
        }
        // Round joints close the wedge that two pieces leave open on the outside of a bend.
        for joint in placed.iter().skip(1).take(placed.len() - 2) {
            let radius = style.stroke_width / 2;
            backend.draw_circle(*joint, radius, &style, true).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
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
            prop_assert_eq!(svg.matches("<text ").count(), 2);
            prop_assert_eq!(svg.matches('<').count(), svg.matches('>').count());
            // One declaration; svg, title and two texts, each opened and closed; one rectangle.
            prop_assert_eq!(svg.matches('<').count(), 1 + 2 * 4 + 1);
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
        let explained = (18 * PNG_SCALE) * row;
        assert_eq!(missing.len(), numbers.len() + explained, "no line says what U+ means");
        assert!(missing.starts_with(&numbers), "the numbers are not drawn");
    }

    #[test]
    fn each_pixel_is_the_mean_of_its_square() {
        let mut fine = vec![0u8; 2 * SMOOTH * SMOOTH * 3];
        for pixel in fine.chunks_exact_mut(3).step_by(2) {
            pixel.copy_from_slice(&[90, 180, 255]);
        }
        // 2 × 1 pixels of 3 × 3: the left square holds columns 0, 2 of each row, the right 4.
        let lit = |columns: u32, value: u32| ((columns * SMOOTH as u32 * value * 2 + 9) / 18) as u8;
        let expected = [lit(2, 90), lit(2, 180), lit(2, 255), lit(1, 90), lit(1, 180), lit(1, 255)];
        assert_eq!(shrink(&fine, 2, 1), expected);
    }
}

//! Bitmaps: plotters' drawing interface over tiny-skia, which paints paths with smooth edges.
//!
//! Coordinates of the interface are whole numbers, so a unit of it is a part of a pixel here, [`FINE`] to one. What lies
//! along the axes, a rule or a cell, goes to whole pixels: its edges are sharp, and cells that touch leave no seam.

use std::convert::Infallible;

use plotters_backend::text_anchor::HPos;
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontStyle,
};
use tiny_skia::{FillRule, LineJoin, Paint, Path, PathBuilder, PixmapMut, Rect, Stroke, Transform};
use ttf_parser::OutlineBuilder;

use crate::font::face;

/// Units of the interface in a pixel.
pub(super) const FINE: f64 = 16.0;
/// Sizes over the em, and the baseline below the point of a text over the em, as plotters' SVG has them.
pub(super) const SIZE_PER_EM: f64 = 1.24;
pub(super) const BASELINE: f64 = 0.76;

type Outcome = Result<(), DrawingErrorKind<Infallible>>;

/// Pixels to paint on.
pub(super) struct Bitmap<'a> {
    pixels: PixmapMut<'a>,
}

impl<'a> Bitmap<'a> {
    /// Over four bytes a pixel; none where there are not as many.
    pub(super) fn over(bytes: &'a mut [u8], (width, height): (u32, u32)) -> Option<Self> {
        PixmapMut::from_bytes(bytes, width, height).map(|pixels| Self { pixels })
    }

    fn fill(&mut self, path: Option<Path>, colour: BackendColor) {
        if let Some(path) = path {
            let paint = paint(colour);
            self.pixels.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
        }
    }

    /// Fills from pixel to pixel, where there is anything between.
    fn fill_whole(&mut self, [left, top, right, bottom]: [f32; 4], colour: BackendColor) {
        let ends = [left, top, right, bottom].map(f32::round);
        if let Some(rect) = Rect::from_ltrb(ends[0], ends[1], ends[2], ends[3]) {
            let paint = Paint { anti_alias: false, ..paint(colour) };
            self.pixels.fill_rect(rect, &paint, Transform::identity(), None);
        }
    }
}

/// In pixels.
fn pixels(units: f64) -> f32 {
    (units / FINE) as f32
}

fn place((x, y): BackendCoord) -> (f32, f32) {
    (pixels(f64::from(x)), pixels(f64::from(y)))
}

fn paint(colour: BackendColor) -> Paint<'static> {
    let (red, green, blue) = colour.rgb;
    let mut paint = Paint::default();
    let alpha = (colour.alpha.clamp(0.0, 1.0) * 255.0).round() as u8;
    paint.set_color_rgba8(red, green, blue, alpha);
    paint
}

fn path(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (index, (x, y)) in points.iter().enumerate() {
        if index == 0 {
            builder.move_to(*x, *y);
        } else {
            builder.line_to(*x, *y);
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

/// Left, top, right and bottom of four corners that are those of a rectangle along the axes.
fn upright(corners: &[(f32, f32)]) -> Option<[f32; 4]> {
    let [a, b, c, d] = corners else { return None };
    let turned = a.0 == d.0 && b.0 == c.0 && a.1 == b.1 && c.1 == d.1;
    let lying = a.0 == b.0 && c.0 == d.0 && a.1 == d.1 && b.1 == c.1;
    let ends = [a.0.min(c.0), a.1.min(c.1), a.0.max(c.0), a.1.max(c.1)];
    (turned || lying).then_some(ends)
}

/// The pixels of a stroke along an axis: at least one across, and as near as whole ones come.
fn rule(from: (f32, f32), to: (f32, f32), width: f32) -> Option<[f32; 4]> {
    let across = width.round().max(1.0);
    let begin = |middle: f32| (middle - across / 2.0).round();
    if from.1 == to.1 {
        let top = begin(from.1);
        Some([from.0.min(to.0), top, from.0.max(to.0), top + across])
    } else if from.0 == to.0 {
        let left = begin(from.0);
        Some([left, from.1.min(to.1), left + across, from.1.max(to.1)])
    } else {
        None
    }
}

impl DrawingBackend for Bitmap<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        let units = |pixels: u32| (f64::from(pixels) * FINE) as u32;
        (units(self.pixels.width()), units(self.pixels.height()))
    }

    fn ensure_prepared(&mut self) -> Outcome {
        Ok(())
    }

    fn present(&mut self) -> Outcome {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, colour: BackendColor) -> Outcome {
        let (x, y) = place(point);
        self.fill_whole([x.floor(), y.floor(), x.floor() + 1.0, y.floor() + 1.0], colour);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Outcome {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Outcome {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        if fill {
            return self.fill_polygon(corners, style);
        }
        self.draw_path(corners.into_iter().chain([corners[0]]), style)
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Outcome {
        let points: Vec<(f32, f32)> = points.into_iter().map(place).collect();
        let (width, colour) = (pixels(f64::from(style.stroke_width())), style.color());
        if let [from, to] = points[..]
            && let Some(whole) = rule(from, to, width)
        {
            self.fill_whole(whole, colour);
        } else if let Some(path) = path(&points, false) {
            let stroke = Stroke { width, line_join: LineJoin::Round, ..Stroke::default() };
            self.pixels.stroke_path(&path, &paint(colour), &stroke, Transform::identity(), None);
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        centre: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Outcome {
        let ((x, y), radius) = (place(centre), pixels(f64::from(radius)));
        let circle = PathBuilder::from_circle(x, y, radius);
        if fill {
            self.fill(circle, style.color());
        } else if let Some(circle) = circle {
            let stroke =
                Stroke { width: pixels(f64::from(style.stroke_width())), ..Stroke::default() };
            let paint = paint(style.color());
            self.pixels.stroke_path(&circle, &paint, &stroke, Transform::identity(), None);
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Outcome {
        let corners: Vec<(f32, f32)> = corners.into_iter().map(place).collect();
        match upright(&corners) {
            Some(whole) => self.fill_whole(whole, style.color()),
            None => self.fill(path(&corners, true), style.color()),
        }
        Ok(())
    }

    /// By the outlines of the embedded font; the point is the upper end of the text's first, middle or last letter.
    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        point: BackendCoord,
    ) -> Outcome {
        let bold = matches!(style.style(), FontStyle::Bold);
        let face = face(bold)
            .ok_or_else(|| DrawingErrorKind::FontError("the embedded font can't be read".into()))?;
        let em = pixels(style.size() / SIZE_PER_EM);
        let scale = em / f32::from(face.units_per_em());
        let glyphs = || text.chars().map(|letter| face.glyph_index(letter).unwrap_or_default());
        let advance = |glyph| scale * f32::from(face.glyph_hor_advance(glyph).unwrap_or(0));
        let before = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => 0.5,
            HPos::Right => 1.0,
        };
        let (x, y) = place(point);
        // A baseline between two pixels would make every letter soft.
        let baseline = (y + pixels(BASELINE * FINE) * em).round();
        let mut pen = Pen { builder: PathBuilder::new(), scale, x, y: baseline };
        pen.x -= before * glyphs().map(advance).sum::<f32>();
        for glyph in glyphs() {
            // A space has no outline.
            let _ = face.outline_glyph(glyph, &mut pen);
            pen.x += advance(glyph);
        }
        self.fill(pen.builder.finish(), style.color());
        Ok(())
    }
}

/// Writes outlines of letters where they stand: font units, upwards, from a point of the bitmap.
struct Pen {
    builder: PathBuilder,
    scale: f32,
    x: f32,
    y: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + self.scale * x, self.y - self.scale * y)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: BackendColor = BackendColor { alpha: 1.0, rgb: (255, 255, 255) };
    const BLACK: BackendColor = BackendColor { alpha: 1.0, rgb: (0, 0, 0) };

    /// The red of every pixel, row by row, after something is painted on white.
    fn painted(size: (u32, u32), draw: impl FnOnce(&mut Bitmap<'_>)) -> Vec<Vec<u8>> {
        let mut bytes = vec![7; (size.0 * size.1 * 4) as usize];
        let mut bitmap = Bitmap::over(&mut bytes, size).unwrap();
        let corner = bitmap.get_size();
        bitmap.draw_rect((0, 0), (corner.0 as i32, corner.1 as i32), &WHITE, true).unwrap();
        draw(&mut bitmap);
        let rows = bytes.chunks((size.0 * 4) as usize);
        rows.map(|row| row.chunks(4).map(|pixel| pixel[0]).collect()).collect()
    }

    /// A style with a width.
    struct Wide(f64);

    impl BackendStyle for Wide {
        fn color(&self) -> BackendColor {
            BLACK
        }
        fn stroke_width(&self) -> u32 {
            (self.0 * FINE) as u32
        }
    }

    fn at(x: f64, y: f64) -> BackendCoord {
        ((x * FINE) as i32, (y * FINE) as i32)
    }

    #[test]
    fn a_rule_has_whole_pixels_wherever_it_lies_and_a_slanted_line_smooth_edges() {
        for y in [4.0, 4.3, 4.5, 4.8] {
            let rows = painted((12, 9), |bitmap| {
                bitmap.draw_path([at(2.0, y), at(10.0, y)], &Wide(2.0)).unwrap();
            });
            let dark: Vec<&Vec<u8>> = rows.iter().filter(|row| row[5] < 255).collect();
            assert_eq!(dark.len(), 2, "{y}: {rows:?}");
            assert!(dark.iter().all(|row| row[2..10] == [0; 8] && row[1] == 255), "{rows:?}");
        }
        let rows = painted((12, 9), |bitmap| {
            bitmap.draw_path([at(1.0, 1.0), at(11.0, 7.0)], &Wide(2.0)).unwrap();
        });
        let between = rows.iter().flatten().filter(|red| (1..255).contains(*red)).count();
        assert!(between > 10, "{rows:?}");
    }

    #[test]
    fn cells_that_touch_leave_no_seam_between_them() {
        let rows = painted((20, 4), |bitmap| {
            for cell in 0..6 {
                let (from, to) = (3.3 * f64::from(cell), 3.3 * f64::from(cell + 1));
                let corners = [at(from, 0.0), at(to, 0.0), at(to, 4.0), at(from, 4.0)];
                bitmap.fill_polygon(corners, &BackendColor { alpha: 0.5, ..BLACK }).unwrap();
            }
        });
        assert!(rows.iter().flatten().all(|red| *red == rows[0][0]), "{rows:?}");
    }

    #[test]
    fn a_stroke_is_one_colour_where_it_crosses_itself() {
        let half = |bitmap: &mut Bitmap<'_>| {
            let points = [at(2.0, 2.0), at(18.0, 18.0), at(18.0, 2.0), at(2.0, 18.0)];
            bitmap.draw_path(points, &Wide(4.0)).unwrap();
        };
        let rows = painted((20, 20), half);
        assert_eq!((rows[10][10], rows[9][9]), (0, 0), "a hole where it crosses itself");
    }

    #[test]
    fn a_bitmap_needs_four_bytes_a_pixel() {
        assert!(Bitmap::over(&mut [0; 15], (2, 2)).is_none());
        assert!(Bitmap::over(&mut [0; 16], (2, 2)).is_some());
    }
}

//! Every figure of every invented analysis as a picture. `FIGURES=DIR cargo test -p reports --test reports bitmaps` keeps
//! them in a folder, those of pages and those of papers, to be looked at.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use analysis::summary::Analysis;
use reports::preset::{self, Paper};
use reports::{Format, render};

use super::sample;

fn analyses() -> Vec<(&'static str, Analysis)> {
    let ordinary = [
        ("full", sample::full()),
        ("sixteen", sample::sixteen()),
        ("loss", sample::loss()),
        ("single-seed", sample::single_seed()),
        ("extreme", sample::extreme()),
        ("several", sample::several()),
        ("provenance", sample::provenance()),
        ("recorded", sample::recorded()),
        ("lone", sample::lone()),
        ("none-reached", sample::forty()),
        ("strange", sample::strange()),
    ];
    ordinary.into_iter().chain(sample::hostile()).collect()
}

/// Whether the outermost pixels are all paper, and the others not.
fn framed(path: &Path) -> [bool; 2] {
    let bytes = fs::read(path).unwrap();
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let row = reader.next_frame(&mut pixels).unwrap().line_size;
    let rows: Vec<&[u8]> = pixels.chunks(row).collect();
    let paper = |pixels: &[u8]| pixels.iter().all(|part| *part == 255);
    let sides = rows.iter().all(|row| paper(&row[..3]) && paper(&row[row.len() - 3..]));
    [paper(rows[0]) && paper(rows[rows.len() - 1]) && sides, !paper(&pixels)]
}

#[test]
fn no_figure_of_a_paper_is_empty_or_reaches_its_edge_whatever_the_suite_is() {
    let folder = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("FIGURES").map(PathBuf::from);
    for (name, analysis) in analyses() {
        let out = kept.as_deref().unwrap_or(folder.path()).join(name);
        if kept.is_some() {
            render(&analysis, &Format::ALL, &out).unwrap();
        }
        // Few dots: an edge is an edge.
        let dpi = if kept.is_some() { 200.0 } else { 100.0 };
        let paper = Paper { dpi, formats: vec![Format::Png], ..Paper::default() };
        let paths = preset::render(&analysis, &paper, &out).unwrap();
        for path in paths.iter().filter(|path| path.extension().unwrap() == "png") {
            assert_eq!(framed(path), [true, true], "{}", path.display());
        }
    }
}

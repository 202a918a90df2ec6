//! What the figures of a report are for.

use anyhow::bail;
use clap::ValueEnum;
use reports::Format;
use reports::preset::Paper;

/// A screen, or a paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// The page, with figures of its width
    Screen,
    /// Figures of a column's width with 7 to 9 pt letters and no titles, and a file of captions
    Paper,
}

/// Options of the preset.
#[derive(Debug, Clone, clap::Args)]
pub struct PresetOptions {
    /// What the figures are for; `paper` writes PDF, SVG and PNG to the folder `paper` of the report
    #[arg(long, value_enum, default_value = "screen")]
    preset: Preset,
    /// With `--preset paper`: width of the figures, 1 column (3.33 in) or 2 (7 in)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=2))]
    columns: Option<u8>,
    /// With `--preset paper`: dots per inch of PNG files [default: 300]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(50..=1200))]
    dpi: Option<u32>,
    /// With `--preset paper`: only these arms, by label
    #[arg(long, value_delimiter = ',', value_name = "ARM")]
    arms: Vec<String>,
    /// With `--preset paper`: these metrics, too, such as `nll`: at the budget, and as a curve where they were recorded
    /// along the run
    #[arg(long, value_delimiter = ',', value_name = "METRIC")]
    metrics: Vec<String>,
    /// With `--preset paper`: only these figures, by the ends of their names, such as `time-to-target`
    #[arg(long, value_delimiter = ',', value_name = "FIGURE")]
    figures: Vec<String>,
}

impl PresetOptions {
    /// What the paper wants; none for a screen. `formats` are those that were asked for.
    ///
    /// # Errors
    /// When an option of a paper stands beside a screen, or a paper is asked for tables.
    pub fn paper(&self, formats: &[Format]) -> anyhow::Result<Option<Paper>> {
        let Self { preset, columns, dpi, arms, metrics, figures } = self;
        if *preset == Preset::Screen {
            let given = [
                (columns.is_some(), "--columns"),
                (dpi.is_some(), "--dpi"),
                (!arms.is_empty(), "--arms"),
                (!metrics.is_empty(), "--metrics"),
                (!figures.is_empty(), "--figures"),
            ];
            if let Some((_, option)) = given.into_iter().find(|(given, _)| *given) {
                bail!("{option} is of figures for a paper: add --preset paper");
            }
            return Ok(None);
        }
        let figures_of = [Format::Pdf, Format::Svg, Format::Png];
        if let Some(format) = formats.iter().find(|format| !figures_of.contains(format)) {
            bail!(
                "--preset paper writes figures, and {format} is none of pdf, svg and png: leave --preset away for it"
            );
        }
        let mut paper = Paper {
            wide: *columns == Some(2),
            arms: arms.clone(),
            metrics: metrics.clone(),
            figures: figures.clone(),
            ..Paper::default()
        };
        if let Some(dpi) = dpi {
            paper.dpi = f64::from(*dpi);
        }
        if !formats.is_empty() {
            paper.formats = formats.to_vec();
        }
        Ok(Some(paper))
    }
}

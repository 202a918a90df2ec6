//! The formats a report can take.

use std::fmt;
use std::str::FromStr;

/// One kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// One self-contained page with every figure and table.
    Html,
    /// Figures as bitmaps, two pixels per unit.
    Png,
    /// Figures as vectors, text kept as text.
    Svg,
    /// Figures as vectors with the letters of their text embedded.
    Pdf,
    /// Tables and numbers for a paper.
    Tex,
    /// The same tables as Markdown.
    Md,
    /// One table of arms, of runs, of claims, of scores over workloads, of membership tests.
    Csv,
    /// The analysis itself.
    Json,
}

impl Format {
    /// Every format; a report has all but PDF where nobody asks for others.
    pub const ALL: [Self; 8] =
        [Self::Html, Self::Png, Self::Svg, Self::Pdf, Self::Tex, Self::Md, Self::Csv, Self::Json];

    /// The name used on the command line, which is also the file extension.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Pdf => "pdf",
            Self::Tex => "tex",
            Self::Md => "md",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format name that is none of [`Format::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown format {name:?}; did you mean \"{nearest}\"? (one of html, png, svg, pdf, tex, md, csv, json)"
)]
pub struct UnknownFormat {
    /// What was written.
    pub name: String,
    /// The closest name that exists.
    pub nearest: Format,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let wanted = name.trim().to_lowercase();
        if let Some(format) = Self::ALL.into_iter().find(|format| format.name() == wanted) {
            return Ok(format);
        }
        let nearest = Self::ALL
            .into_iter()
            .min_by_key(|format| strsim::damerau_levenshtein(format.name(), &wanted))
            .unwrap_or(Self::Html);
        Err(UnknownFormat { name: name.to_owned(), nearest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_its_format() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!(" PNG ".parse(), Ok(Format::Png));
    }

    #[test]
    fn misspelt_format_names_its_neighbour() {
        let error = "htlm".parse::<Format>().unwrap_err();
        assert_eq!(error.nearest, Format::Html);
        assert!(
            error.to_string().starts_with("unknown format \"htlm\"; did you mean \"html\"? ("),
            "{error}"
        );
    }
}

//! The line and marker of an arm as a small picture: a table's swatch and a figure's legend are one thing.

use crate::series::Series;
use crate::themed::variable;

/// Where the marker stands in the picture, and how large it is.
const MIDDLE: (f64, f64) = (14.0, 6.0);
const RADIUS: f64 = 4.0;

/// An `<svg>` element; its colour is the arm's, `data-dash` how its line is broken.
pub(super) fn key(series: &Series) -> String {
    let (red, green, blue) = series.colour;
    let colour = variable(&format!("{red:02x}{green:02x}{blue:02x}"));
    let dash: Vec<String> = series.dash.pattern().iter().map(f64::to_string).collect();
    let (attribute, drawn) = match dash.join(" ") {
        dash if dash.is_empty() => (String::new(), String::new()),
        dash => (format!(" data-dash=\"{dash}\""), format!(" stroke-dasharray=\"{dash}\"")),
    };
    let mark = match series.marker.corners(MIDDLE, RADIUS) {
        None => format!(
            "<circle class=\"mark\" cx=\"{}\" cy=\"{}\" r=\"{RADIUS}\"/>",
            MIDDLE.0, MIDDLE.1
        ),
        Some(corners) => {
            let corners: Vec<String> =
                corners.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            format!("<path class=\"mark\" d=\"M{}Z\"/>", corners.join("L"))
        }
    };
    format!(
        "<svg class=\"key\" viewBox=\"0 0 28 12\" width=\"28\" height=\"12\" color=\"{colour}\"{attribute} aria-hidden=\"true\"><path class=\"stroke\" d=\"M1 6H27\"{drawn}/>{mark}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::series::Looks;

    #[test]
    fn no_two_arms_have_the_same_key() {
        let analysis = sample::sixteen();
        let mut keys: Vec<String> =
            Series::of(&Looks::of(&analysis), &analysis.workloads[0]).iter().map(key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 16);
    }
}

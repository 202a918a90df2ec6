//! Figures on a page: their colours follow its light and dark.

/// The SVG with every colour `#RRGGBB` as a variable `--xRRGGBB` that has it as its value until the page's
/// style gives it another, and without what the page says once for all texts.
///
/// Only attributes are changed: a quote in a text is written as `&quot;`.
pub(crate) fn themed(svg: &str) -> String {
    let mut themed = String::with_capacity(svg.len() + svg.len() / 4);
    let mut rest = svg;
    while let Some(at) = rest.find("=\"#") {
        let (before, colour) = rest.split_at(at + 2);
        themed.push_str(before);
        match colour.get(..8) {
            Some(hex) if is_colour(hex) => {
                themed.push_str(&variable(&hex[1..7]));
                rest = &colour[7..];
            }
            _ => rest = colour,
        }
    }
    themed.push_str(rest);
    themed
        .replace(" font-family=\"Noto Sans, system-ui, sans-serif\"", "")
        .replace(" opacity=\"1\"", "")
}

/// `#0072B2"`.
fn is_colour(text: &str) -> bool {
    let digits = text.bytes().skip(1).take(6).all(|byte| byte.is_ascii_hexdigit());
    text.len() == 8 && text.starts_with('#') && text.ends_with('"') && digits
}

/// A colour of six hexadecimal digits as the page's style may change it.
pub(crate) fn variable(hex: &str) -> String {
    let hex = hex.to_ascii_uppercase();
    format!("var(--x{hex},#{hex})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_shapes_become_variables_and_those_in_texts_stay() {
        let svg = "<rect opacity=\"1\" fill=\"#FFFFFF\" stroke=\"none\"/><text opacity=\"0.5\" fill=\"#0072b2\">=&quot;#FFFFFF&quot; =\"#12\"</text>";
        assert_eq!(
            themed(svg),
            "<rect fill=\"var(--xFFFFFF,#FFFFFF)\" stroke=\"none\"/><text opacity=\"0.5\" fill=\"var(--x0072B2,#0072B2)\">=&quot;#FFFFFF&quot; =\"#12\"</text>"
        );
        assert_eq!(themed("fill=\"#é00000\""), "fill=\"#é00000\"");
    }
}

//! A finding of a membership test, for people.

use analysis::evidence::certificate::odds;
use stats::provenance::Finding;

use super::{print_text, warn};

/// What was tested, the answer, and what it means.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_finding(subject: &str, finding: &Finding) -> anyhow::Result<()> {
    print_text(&text(subject, finding))?;
    finding.warnings.iter().for_each(|warning| warn(warning));
    Ok(())
}

fn text(subject: &str, finding: &Finding) -> String {
    let Finding { metric, statistic, n, ties, tail, adjust, log10_p, .. } = finding;
    let ties = if *ties > 0 { format!(", {ties} of them tied") } else { String::new() };
    let how = match (&finding.monte_carlo, finding.exact) {
        (Some(draws), _) => format!("by {} drawn orders, seed {}", draws.draws, draws.seed),
        (None, true) => "exact".to_owned(),
        (None, false) if finding.saddlepoint => "saddlepoint".to_owned(),
        (None, false) => "closed form".to_owned(),
    };
    let mut text = format!(
        "{subject}\n\
         \n  {metric:<12}{statistic:+.4}   {}\
         \n  examples    {n}{ties}\
         \n  p           {}   {tail}, {how}\
         \n  reference   {adjust}\n",
        finding.direction,
        p_value(*log10_p),
    );
    if let Some(table) = &finding.epochs {
        text += "\n  epoch  statistic    log10 p  weight\n";
        for row in &table.rows {
            text += &format!(
                "  {:>5}  {:>+9.4}  {:>9.2}  {:>6.3}\n",
                row.epoch, row.statistic, row.log10_p, row.weight
            );
        }
    }
    let supported = finding.floor_log10_p.map_or(*log10_p, |floor| log10_p.max(floor));
    text + &format!(
        "\nIf the suspect had nothing to do with this order, chance alone would give an association\n\
         at least this strong {}.\n",
        odds(supported)
    )
}

/// A p-value as people read it: as a number, or as a power of ten.
fn p_value(log10_p: f64) -> String {
    if log10_p > -4.0 { format!("{:.4}", 10_f64.powf(log10_p)) } else { format!("10^{log10_p:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::provenance::Query;

    #[test]
    fn a_finding_is_told_with_its_sign_and_its_odds() {
        let positions: Vec<u64> = (0..200).collect();
        let scores: Vec<f64> =
            positions.iter().map(|&at| ((at * 7919) % 201) as f64 - at as f64).collect();
        let finding = Query::new(&positions, &scores).run().unwrap();
        insta::assert_snapshot!(text("s.npy against the order of o.npy", &finding), @"
        s.npy against the order of o.npy

          spearman    -0.7187   negative: later examples have lower loss
          examples    200
          p           10^-30.42   two-sided, saddlepoint
          reference   none

        If the suspect had nothing to do with this order, chance alone would give an association
        at least this strong in about 1 of 2.7 × 10³⁰ cases.
        ");
    }

    #[test]
    fn p_is_a_number_down_to_a_ten_thousandth() {
        assert_eq!(p_value(-1.0), "0.1000");
        assert_eq!(p_value(-51_301.85), "10^-51301.85");
    }
}

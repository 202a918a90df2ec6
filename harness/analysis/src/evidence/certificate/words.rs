//! What a certificate says in words. Everything follows from the finding and its origin, so that a
//! reader of the certificate can find out whether the words were changed.

use super::{FindingView, Origin};
use crate::evidence::OrderPromise;
use ledger::seed::Randomness;

/// The answer in one sentence, without a verdict.
#[must_use]
pub fn headline(finding: &FindingView) -> String {
    let odds = odds(finding.supported_log10_p());
    if finding.simulation {
        format!(
            "Simulation: the order came from a public fixed seed. Had it been drawn at random, chance alone \
             would give an association at least this strong {odds}."
        )
    } else {
        format!(
            "If the suspect had nothing to do with this training order, chance alone would give an association \
             at least this strong {odds}."
        )
    }
}

/// A probability in words: `in about 1 of 2.0 × 10⁵¹ cases`.
#[must_use]
pub fn odds(log10_p: f64) -> String {
    let times = -log10_p;
    if times < 0.005 {
        return "nearly always".to_owned();
    }
    if times < 6.0 {
        let cases = 10_f64.powf(times);
        return if cases < 10.0 {
            format!("in about 1 of {cases:.1} cases")
        } else {
            format!("in about 1 of {} cases", grouped(cases))
        };
    }
    let mut exponent = times.floor();
    // One digit after the point is all that a reader needs.
    let mut mantissa = (10_f64.powf(times - exponent) * 10.0).round() / 10.0;
    if mantissa >= 10.0 {
        mantissa = 1.0;
        exponent += 1.0;
    }
    format!("in about 1 of {mantissa:.1} × 10{} cases", superscript(exponent))
}

/// A whole exponent in raised digits.
fn superscript(exponent: f64) -> String {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let text = format!("{exponent:.0}");
    text.chars().filter_map(|digit| digits.get(digit.to_digit(10)? as usize)).collect()
}

/// `12,345`.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What the p-value means.
pub(super) fn meaning(finding: &FindingView) -> Vec<String> {
    let sign = match finding.tail.as_str() {
        "less" => "Only a negative association counts; this was fixed before looking.",
        "greater" => "Only a positive association counts; this was fixed before looking.",
        _ => "Associations of either sign count.",
    };
    let mut lines = vec![
        format!(
            "A training run saw its examples in an order drawn by chance. The test asks whether the suspect's \
             scores on {} of these examples go along with their places in that order ({}).",
            finding.n, finding.metric
        ),
        format!(
            "The p-value is the probability of an association at least as strong as the one found, if the \
             suspect is independent of the order. It needs no assumption about the data, the models or how the \
             suspect was made, only that the order was drawn uniformly at random. {sign}"
        ),
        format!("What was found: {}.", finding.direction.trim_end_matches('.')),
    ];
    if finding.log10_p > -2.0 {
        lines.push(
            "A p-value of this size is common when there is no dependence at all. It is no evidence of dependence, \
             and no proof of independence either."
                .to_owned(),
        );
    }
    if let Some(floor) = finding.floor_log10_p.filter(|_| finding.below_floor()) {
        lines.push(format!(
            "The computed p-value is smaller than the randomness of the seed supports. The sentence at the top \
             uses that limit, log10 p = {floor:.1}, instead of log10 p = {:.1}.",
            finding.log10_p
        ));
    }
    lines
}

/// All that the limits of a certificate follow from.
pub(super) struct Subject<'a> {
    pub(super) finding: &'a FindingView,
    pub(super) origin: Option<&'a Origin>,
    /// Whether models of runs were tested.
    pub(super) of_runs: bool,
    /// The promise of the order's files.
    pub(super) promise: Option<&'a OrderPromise>,
    /// Tests that were planned beforehand, this one among them.
    pub(super) planned: Option<u64>,
    /// Version of the certificate.
    pub(super) version: u32,
}

/// What it does not mean.
pub(super) fn limits(subject: &Subject<'_>) -> Vec<String> {
    let Subject { finding, origin, .. } = *subject;
    let mut lines = Vec::new();
    if finding.simulation {
        lines.push(
            "This is a simulation: anybody could know the order beforehand. The number shows how the method works; \
             it is no evidence about a person or a model."
                .to_owned(),
        );
    }
    match origin {
        None if let Some(promise) = subject.promise => lines.push(format!(
            "The order is taken from files that the promise {} fixed. When it was made is shown only by whoever \
             published it then; nothing here shows that the order was drawn at random, or that the training followed \
             it.",
            promise.commitment
        )),
        None => lines.push(
            "The order is taken from files. Nothing here shows that it was drawn at random, that it was fixed before \
             training, or that the training followed it; whoever relies on the result must show this otherwise."
                .to_owned(),
        ),
        Some(origin) => {
            lines.push(from_a_run(origin));
            lines.extend(left_open(origin));
        }
    }
    if subject.of_runs && subject.version >= 2 {
        lines.push(
            "The scores are the bytes named under tested. That they are the scores of these models is shown by \
             computing them anew (verify-certificate --rescore)."
                .to_owned(),
        );
    }
    if origin.is_none() && finding.randomness == "os" {
        lines.push(
            "That the order is random is what the maker of this certificate says; the files cannot show it."
                .to_owned(),
        );
    }
    let counted = match subject.planned {
        None => "It counts one test, chosen before looking. Whoever tried several suspects, metrics, references or \
             orders must correct for all of them."
            .to_owned(),
        Some(tests) => format!(
            "It is one of {tests} tests of the plan named under options, and is not corrected for the others. That \
             the plan was fixed before looking is shown by whoever published it then."
        ),
    };
    lines.extend(
        [
            "The p-value is not the probability that the suspect is innocent, and it does not say how much was taken, \
             by which way, or whether that was wrong. Dependence on the order can come from copying, fine-tuning, \
             merging, distilling, or from training on the same examples in the same order.",
            &counted,
            "References must come from models that never met this order. A reference that depends on it can accuse an \
             independent suspect.",
            "A large p-value does not clear the suspect: long further training and training schedules can wash the \
             traces out.",
        ]
        .map(str::to_owned),
    );
    lines
}

/// What of the order nothing has held or recomputed.
fn left_open(origin: &Origin) -> Vec<String> {
    let mut lines = Vec::new();
    if origin.order_version == Some(1) {
        lines.push(format!(
            "The promise is of version 1 and does not hold the law of the order: that it is {} is the record's word.",
            origin.law.name()
        ));
    }
    if origin.follows_from_seed == Some(false) {
        lines.push(
            "The order was not recomputed from the seed by its law; whoever made the record could have chosen it."
                .to_owned(),
        );
    }
    lines
}

fn from_a_run(origin: &Origin) -> String {
    let Origin { promises, abandoned, .. } = origin;
    let seed = match (origin.randomness, &origin.beacon_source) {
        (Randomness::Os, _) => "a seed from the operating system".to_owned(),
        (Randomness::Fixed, _) => "a public fixed seed".to_owned(),
        (Randomness::Beacon, None) => "a seed and public randomness to come".to_owned(),
        (Randomness::Beacon, Some(source)) => {
            format!("a seed and the public randomness to come of {source}")
        }
    };
    let others = match abandoned {
        0 => "Every promise of its index has a run.".to_owned(),
        _ => format!(
            "{abandoned} of the {promises} promises of its index have no run. If runs were abandoned because of \
             their results, multiply the p-value by {}.",
            abandoned.saturating_add(1)
        ),
    };
    format!(
        "The order is that of run {}, which committed to {seed} before its first step. This binds the order; that \
         the training followed it is shown by running it again, and when the promise was made only by whoever \
         published it then. {others}",
        origin.run
    )
}

#[cfg(test)]
mod tests {
    use super::odds;

    #[test]
    fn probabilities_are_told_as_odds() {
        for (log10_p, expected) in [
            (0.0, "nearly always"),
            (-0.602_06, "in about 1 of 4.0 cases"),
            (-1.301_029_995_663_981_2, "in about 1 of 20 cases"),
            (-4.0, "in about 1 of 10,000 cases"),
            (-6.0, "in about 1 of 1.0 × 10⁶ cases"),
            (-51.3, "in about 1 of 2.0 × 10⁵¹ cases"),
            (-9.99999, "in about 1 of 1.0 × 10¹⁰ cases"),
            (-51_301.85, "in about 1 of 7.1 × 10⁵¹³⁰¹ cases"),
        ] {
            assert_eq!(odds(log10_p), expected, "{log10_p}");
        }
    }
}

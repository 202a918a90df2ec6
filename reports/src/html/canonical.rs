//! Canonical JSON (RFC 8785) as text: the digest of a page is taken over it, and a browser writes the same from what
//! it has read.

use std::fmt::Write as _;

use serde_json::Value;

/// The one text of a JSON value: keys by their UTF-16 units, numbers as ECMAScript writes them.
pub(super) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Array(values) => {
            text.push('[');
            for (i, value) in values.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                write(text, value);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_cached_key(|(key, _)| key.encode_utf16().collect::<Vec<u16>>());
            text.push('{');
            for (i, (key, value)) in fields.into_iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                let _ = write!(text, "{}:", Value::from(key.as_str()));
                write(text, value);
            }
            text.push('}');
        }
        Value::Number(value) => text.push_str(&number(value.as_f64().unwrap_or_default())),
        // serde_json escapes what ECMAScript escapes, and in the same way.
        Value::Null | Value::Bool(_) | Value::String(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

/// The shortest decimal that reads back as the same number, laid out by ECMA-262, `Number::toString`.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let short = format!("{:e}", value.abs());
    let (lead, power) = short.split_once('e').unwrap_or((&short, "0"));
    let digits = lead.replace('.', "");
    // The point stands behind so many digits.
    let point = power.parse::<i32>().unwrap_or_default() + 1;
    let length = digits.len() as i32;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let body = if (length..=21).contains(&point) {
        format!("{digits}{}", zeros(point - length))
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or_default());
        format!("{whole}.{fraction}")
    } else if (-5..=0).contains(&point) {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
        let plus = if point > 0 { "+" } else { "" };
        format!("{first}{rest}e{plus}{}", point - 1)
    };
    format!("{sign}{body}")
}

#[cfg(test)]
mod tests {
    use ledger::digest::Digest;
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    /// Canonical as the ledger has it, by another program than the one above.
    fn is_that_of_the_ledger(value: &Value) -> bool {
        Digest::of(canonical(value).as_bytes()) == Digest::of_json(value).unwrap()
    }

    #[test]
    fn an_analysis_has_the_canonical_json_that_digests_are_taken_over() {
        for analysis in [sample::full(), sample::extreme(), sample::provenance()] {
            let value = serde_json::to_value(&analysis).unwrap();
            assert!(is_that_of_the_ledger(&value));
        }
        let keys = serde_json::json!({ "\u{1F600}": 1, "\u{FF5E}": 2, "a\u{1}\"\\": [true, null, -0.0, 1e21, 1e-7] });
        assert_eq!(
            canonical(&keys),
            "{\"a\\u0001\\\"\\\\\":[true,null,0,1e+21,1e-7],\"\u{1F600}\":1,\"\u{FF5E}\":2}"
        );
        assert!(is_that_of_the_ledger(&keys));
    }

    proptest! {
        #[test]
        fn every_number_is_written_as_the_ledger_writes_it(bits in any::<u64>(), whole in -1_000_000i64..1_000_000, power in -30i32..30) {
            for value in [f64::from_bits(bits), whole as f64 * 10f64.powi(power)] {
                prop_assume!(value.is_finite());
                prop_assert!(is_that_of_the_ledger(&serde_json::json!(value)), "{value:e}: {}", number(value));
            }
        }
    }
}

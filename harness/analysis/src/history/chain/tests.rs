use super::super::entry::{Accepted, Metric};
use super::*;

fn commit(number: u32) -> String {
    format!("{number:040x}")
}

fn measured(number: u32, seconds: f64) -> Entry {
    let metric = Metric { unit: "s".into(), better: Better::Lower, values: vec![seconds] };
    Entry::Measured(Measured {
        commit: commit(number),
        suite_digest: Digest::of(b"suite"),
        software: BTreeMap::new(),
        metrics: BTreeMap::from([("digits/sgd/time".to_owned(), metric)]),
    })
}

fn accepted(number: u32, metric: &str, reason: &str) -> Entry {
    Entry::Accepted(Accepted {
        commit: commit(number),
        metrics: vec![metric.to_owned()],
        reason: reason.to_owned(),
    })
}

fn written(entries: impl IntoIterator<Item = Entry>) -> Vec<Vec<u8>> {
    let mut history = History::new("h.jsonl", "digits", "0123456789ab");
    entries.into_iter().map(|entry| history.push(entry).unwrap()).collect()
}

fn four() -> Vec<Vec<u8>> {
    let mut entries: Vec<Entry> = (0..3).map(|i| measured(i, 1.5 + f64::from(i))).collect();
    entries.push(accepted(2, "digits/sgd/time", "a larger batch is wanted"));
    written(entries)
}

fn parse(bytes: &[u8]) -> Result<History, HistoryError> {
    History::parse("h.jsonl", "digits", "0123456789ab", bytes)
}

fn refusal(bytes: &[u8]) -> String {
    parse(bytes).unwrap_err().to_string()
}

fn bad(entry: Entry) -> String {
    let mut history = parse(&four().concat()).unwrap();
    let before = history.clone();
    let message = history.push(entry).unwrap_err().to_string();
    assert_eq!(history, before, "a refused entry leaves no trace");
    message
}

#[test]
fn a_history_comes_back_as_it_was_written() {
    let lines = four();
    let history = parse(&lines.concat()).unwrap();
    assert_eq!(history.lines.len(), 4);
    assert_eq!(history.measured().count(), 3);
    assert!(history.has(&commit(2)) && !history.has(&commit(3)));
    assert_eq!(history.metrics().collect::<Vec<_>>(), [("digits/sgd/time", "s", Better::Lower)]);
    assert_eq!(parse(b"").unwrap().head(), origin());
}

#[test]
fn the_form_of_a_line_is_pinned() {
    insta::assert_snapshot!(String::from_utf8(four()[0].clone()).unwrap(), @r#"{"digest":"9cf2d4eb1a17aef9f682143e449f4f912b293633b788ebeeb4ad4a838021a7dd","entry":{"commit":"0000000000000000000000000000000000000000","kind":"measured","metrics":{"digits/sgd/time":{"better":"lower","unit":"s","values":[1.5]}},"suite_digest":"f8ebd43dbef1f029bf4930c65c9b7c5cc76af476927cee861ff18fcc73bfc4ab"},"machine":"0123456789ab","previous":"80d7c781e2e6f140e980c996ff3c29df94fd970edca9f34fec434a71ae36fb5d","sequence":0,"suite":"digits","version":1}"#);
}

#[test]
fn the_digest_of_a_line_is_that_of_its_canonical_json_without_the_digest() {
    let line = &four()[1];
    let mut value: serde_json::Value = serde_json::from_slice(line).unwrap();
    let digest = value.as_object_mut().unwrap().remove("digest").unwrap();
    assert_eq!(digest, Digest::of_json(&value).unwrap().to_string());
}

#[test]
fn every_changed_byte_of_every_line_is_found_with_its_line() {
    let lines = four();
    let whole = lines.concat();
    let mut start = 0;
    for (index, line) in lines.iter().enumerate() {
        for at in 0..line.len() - 1 {
            let mut changed = whole.clone();
            changed[start + at] ^= 1;
            let message = refusal(&changed);
            assert!(message.starts_with(&format!("h.jsonl:{}: ", index + 1)), "{at}: {message}");
        }
        start += line.len();
    }
}

#[test]
fn removed_moved_and_repeated_lines_are_found() {
    let l = four();
    for (lines, wanted) in [
        (vec![&l[1], &l[2]], "h.jsonl:1: sequence is 1, expected 0: a line was removed"),
        (vec![&l[0], &l[2]], "h.jsonl:2: sequence is 2, expected 1"),
        (vec![&l[0], &l[0]], "h.jsonl:2: sequence is 0, expected 1"),
        (vec![&l[1], &l[0]], "h.jsonl:1: sequence is 1, expected 0"),
    ] {
        let bytes: Vec<u8> = lines.into_iter().flatten().copied().collect();
        let message = refusal(&bytes);
        assert!(message.starts_with(wanted), "{message}");
        assert!(message.contains("restore the file from its branch"), "{message}");
    }
}

#[test]
fn a_line_of_another_history_breaks_the_chain() {
    let other = written([measured(7, 1.0), measured(8, 1.0)]);
    let message = refusal(&[four()[0].clone(), other[1].clone()].concat());
    assert!(message.starts_with("h.jsonl:2: previous is "), "{message}");
    assert!(message.contains("the chain is broken"), "{message}");
}

#[test]
fn a_torn_last_line_is_told_from_damage_and_its_repair_keeps_the_rest() {
    let lines = four();
    let whole = lines.concat();
    let end = whole.len() - lines[3].len();
    for cut in end + 1..whole.len() {
        let message = refusal(&whole[..cut]);
        let wanted = format!("h.jsonl:4: the last line is torn: {} bytes", cut - end);
        assert!(message.starts_with(&wanted), "{message}");
        assert!(message.contains("--repair` drops them and keeps the 3 whole lines"), "{message}");
        assert_eq!(whole_lines(&whole[..cut]), &whole[..end]);
    }
    assert_eq!(parse(&whole[..end]).unwrap().lines.len(), 3);
}

#[test]
fn lines_that_something_else_wrote_are_refused() {
    let text = String::from_utf8(four()[0].clone()).unwrap();
    for (changed, wanted) in [
        (text.replace("\"sequence\":0", "\"sequence\": 0"), "h.jsonl:1: not in canonical form"),
        (text.replace("\"sequence\":0", "\"sequence\":0,\"x\":1"), "unknown field `x`"),
        (text.replace("[1.5]", "[NaN]"), "h.jsonl:1: not a line of a history"),
        (text.replace("[1.5]", "[null]"), "h.jsonl:1: not a line of a history"),
        (text.replace("[1.5]", "[1e999]"), "number out of range"),
        (text.replace("[1.5]", "[Infinity]"), "h.jsonl:1: not a line of a history"),
        (text.replace("\"version\":1", "\"new\":0,\"version\":3"), "history version 3"),
        ("\n".to_owned(), "h.jsonl:1: not a line of a history"),
        ("\u{0}\u{0}\n".to_owned(), "h.jsonl:1: not a line of a history"),
        ("[".repeat(200_000) + "\n", "h.jsonl:1: not a line of a history"),
    ] {
        let message = refusal(changed.as_bytes());
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
    assert!(refusal(b"\xff\n").contains("h.jsonl:1: "));
}

#[test]
fn a_history_of_another_suite_or_machine_is_refused() {
    let bytes = four().concat();
    let other = History::parse("h.jsonl", "mnist", "0123456789ab", &bytes).unwrap_err().to_string();
    assert!(other.starts_with("h.jsonl:1: suite is \"digits\", but this history is of \"mnist\""));
    let other = History::parse("h.jsonl", "digits", "ffffffffffff", &bytes).unwrap_err();
    assert!(other.to_string().contains("machine is \"0123456789ab\""), "{other}");
}

#[test]
fn a_commit_is_measured_once() {
    let message = bad(measured(1, 2.0));
    assert!(message.contains(&format!("commit {} was measured on line 2 already", commit(1))));
}

#[test]
fn a_metric_keeps_its_unit_and_its_direction() {
    let with = |change: fn(&mut Metric)| {
        let Entry::Measured(mut entry) = measured(9, 1.0) else { unreachable!() };
        entry.metrics.values_mut().for_each(change);
        bad(Entry::Measured(entry))
    };
    let message = with(|metric| metric.unit = "ms".into());
    assert!(message.contains("is in \"ms\", but in \"s\" on line 1: give the metric"), "{message}");
    let message = with(|metric| metric.better = Better::Higher);
    assert!(message.contains("is better Higher, but Lower on line 1"), "{message}");
    let message = with(|metric| metric.values.clear());
    assert!(message.contains("has no value"), "{message}");
}

#[test]
fn values_that_are_no_numbers_are_refused_before_they_are_written() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        let message = bad(measured(9, value));
        assert!(message.contains(&format!("value 0 is {value}")), "{message}");
        assert!(message.contains("leave a failed run out"), "{message}");
    }
}

#[test]
fn an_acceptance_names_what_is_there_and_says_why() {
    let time = "digits/sgd/time";
    for (entry, wanted) in [
        (accepted(9, time, "because"), "is not in this history: accept the commit that"),
        (accepted(1, "other", "because"), "metric \"other\" is not in this history"),
        (accepted(1, time, " "), "reason is empty"),
        (accepted(1, time, "a\nb"), "reason \"a\\nb\" must be one line"),
        (accepted(1, time, "a\u{1b}[31m"), "without control characters"),
    ] {
        let message = bad(entry);
        assert!(message.contains(wanted), "{wanted}: {message}");
    }
}

#[test]
fn hostile_commits_names_and_units_are_refused() {
    for hostile in ["--upload-pack=x", "HEAD", "../..", "ABCDEF", "", &"é".repeat(40)] {
        let Entry::Measured(mut entry) = measured(9, 1.0) else { unreachable!() };
        hostile.clone_into(&mut entry.commit);
        assert!(bad(Entry::Measured(entry)).contains("git rev-parse HEAD"), "{hostile:?}");
    }
    for name in ["", "a\nb", "a\u{7}", &"x".repeat(301)] {
        let Entry::Measured(mut entry) = measured(9, 1.0) else { unreachable!() };
        let metric = entry.metrics.pop_first().unwrap().1;
        entry.metrics.insert(name.to_owned(), metric);
        assert!(bad(Entry::Measured(entry)).contains("metric name"), "{name:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn any_finite_values_come_back_bit_for_bit(values in proptest::collection::vec(-1e150..1e150f64, 1..20)) {
        let Entry::Measured(mut entry) = measured(0, 1.0) else { unreachable!() };
        entry.metrics.values_mut().for_each(|metric| metric.values.clone_from(&values));
        let bytes = written([Entry::Measured(entry)]).concat();
        let history = parse(&bytes).unwrap();
        let back = &history.measured().next().unwrap().metrics["digits/sgd/time"].values;
        proptest::prop_assert_eq!(back, &values);
    }
}

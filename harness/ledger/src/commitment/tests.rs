use std::fs;

use super::*;

fn entry(number: u64) -> CommitmentEntry {
    CommitmentEntry::new(format!("cell-{number}"), terms(number))
}

fn terms(number: u64) -> Terms {
    Terms {
        dataset_root: Digest::of(b"root"),
        config_hash: Digest::of(&number.to_le_bytes()),
        examples: 10,
        epochs: 3,
        seed_commit: Digest::of(b"seed"),
        drawn: Some(Drawn {
            law: OrderLaw::Uniform,
            unit: Unit::Sample,
            layout: None,
            beacon_source: None,
        }),
    }
}

/// An index of `n` lines and the text of it.
fn index(n: u64) -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("commitments.jsonl");
    for number in 0..n {
        CommitmentIndex::append(&path, entry(number)).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    (folder, path, text)
}

fn broken_line(path: &Path) -> (u64, LineProblem) {
    match CommitmentIndex::read_and_verify(path).unwrap_err() {
        CommitmentError::Broken { line, problem, .. } => (line, problem),
        other => panic!("{other}"),
    }
}

#[test]
fn the_commitment_hashes_its_parts_in_the_order_of_the_contract() {
    let [root, config, seed] = [[1; 32], [2; 32], [3; 32]].map(Digest);
    let parts = |name: &[u8]| {
        let numbers: &[u8] = &[10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0];
        [name, &[1; 32], &[2; 32], numbers, &[3; 32]].concat()
    };
    let terms = |drawn| Terms {
        dataset_root: root,
        config_hash: config,
        examples: 10,
        epochs: 3,
        seed_commit: seed,
        drawn,
    };
    assert_eq!(terms(None).commitment(), Digest::of(&parts(b"palimpsest/run/v1")));
    let drawn = |beacon_source: Option<&str>| {
        let (law, beacon_source) = (OrderLaw::UniformSubset, beacon_source.map(str::to_owned));
        Some(Drawn { law, unit: Unit::Pack, layout: None, beacon_source })
    };
    let mut text = parts(b"palimpsest/run/v2");
    text.extend(b"uniform-subset\0pack\0");
    assert_eq!(terms(drawn(None)).commitment(), Digest::of(&text));
    text.extend(b"drand, round 7\0");
    assert_eq!(terms(drawn(Some("drand, round 7"))).commitment(), Digest::of(&text));
    let roles = [("support", 5), ("query", 15)].map(|(role, n)| (role.to_owned(), n));
    let layout = Some(Layout::new(roles.to_vec()).unwrap());
    let (law, unit) = (OrderLaw::Uniform, Unit::of(layout.as_ref()));
    let laid_out = Some(Drawn { law, unit, layout, beacon_source: None });
    let mut text = parts(b"palimpsest/run/v2");
    text.extend(b"uniform\0pack support*5 query*15\0");
    assert_eq!(terms(laid_out.clone()).commitment(), Digest::of(&text));
    let entry = CommitmentEntry::new("cell".into(), terms(laid_out));
    assert_eq!(entry.recomputed().unwrap(), entry.commitment);
    let lawless = CommitmentEntry { law: None, unit: None, ..entry };
    assert!(lawless.recomputed().is_err());
}

#[test]
fn commitment_and_first_line_of_the_contracts_example_are_those_of_hashlib() {
    let digest = |text: &str| Digest(crate::digest::parse_hex32(text).unwrap());
    let root = "d60616edf34d78736abd5be5a5832a3c9d2ff676a9db1465535e528644ea2208";
    let config = "7c15ec36fd58dcd354b0063da5f229e9c64146aa018b88b7a83240c8ae57af42";
    let seed = "9a8fb3d5f3bb4f5ead11a658cae926b37f1bb8a33372e5bfa0f699dfc2791b42";
    let example = Terms {
        dataset_root: digest(root),
        config_hash: digest(config),
        epochs: 1,
        seed_commit: digest(seed),
        ..terms(0)
    };
    let old = Terms { drawn: None, ..example.clone() }.commitment().to_string();
    assert_eq!(old, "a39d90c7b7c4b072be8262a340b00b103734e374e23e7777b84bd06f5e16d1cc");
    let h_0 = "1fdd81ab5e47f1f659f68d54443c94def8173fd39a472cc0b14caebd3beaa0ba";
    assert_eq!(example.commitment().to_string(), h_0);
    let folder = tempfile::tempdir().unwrap();
    let entry = CommitmentEntry::new("6575d676eb90bb73".into(), example);
    let line = CommitmentIndex::append(&folder.path().join("c.jsonl"), entry).unwrap();
    let first = "bc216f6702a5d22a6db6eb4c68c3ca4be4040a6cbe237a3e68a01df17ce8cbc0";
    assert_eq!(line.digest.to_string(), first);
}

#[test]
fn a_promise_of_version_1_is_read_and_half_a_version_2_is_not() {
    let (_folder, path, _) = index(1);
    let old = CommitmentEntry::new("old".into(), Terms { drawn: None, ..terms(7) });
    CommitmentIndex::append(&path, old).unwrap();
    assert_eq!(CommitmentIndex::read_and_verify(&path).unwrap().lines[1].entry.law, None);
    let half = CommitmentEntry { unit: None, ..entry(8) };
    let refused = CommitmentIndex::append(&path, half).unwrap_err().to_string();
    assert!(refused.contains("law and unit stand together"), "{refused}");
}

#[test]
fn appended_lines_are_chained_and_read_back() {
    let (_folder, path, _) = index(3);
    let index = CommitmentIndex::read_and_verify(&path).unwrap();
    assert_eq!(index.torn_bytes, 0);
    assert_eq!(index.lines[0].previous, CommitmentIndex::origin());
    assert_eq!(index.lines[2].previous, index.lines[1].digest);
    assert_eq!(index.head(), index.lines[2].digest);
    let entries: Vec<_> = index.lines.into_iter().map(|line| line.entry).collect();
    assert_eq!(entries, [entry(0), entry(1), entry(2)]);
}

#[test]
fn a_writer_killed_at_any_byte_of_its_line_leaves_an_index_that_goes_on() {
    let (_folder, path, text) = index(3);
    let kept = text.trim_end().rfind('\n').unwrap() + 1;
    for cut in kept..text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        let torn = CommitmentIndex::read_and_verify(&path).unwrap();
        assert_eq!(torn.lines.len(), 2, "cut at byte {cut}");
        assert_eq!(torn.torn_bytes, (cut - kept) as u64);
        let line = CommitmentIndex::append(&path, entry(2)).unwrap();
        assert_eq!(line.sequence, 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "cut at byte {cut}");
    }
}

#[test]
fn a_writer_killed_in_the_first_line_leaves_an_empty_index() {
    let (_folder, path, text) = index(1);
    for cut in 0..text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        assert!(CommitmentIndex::read_and_verify(&path).unwrap().lines.is_empty());
        CommitmentIndex::append(&path, entry(0)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn every_changed_byte_is_found_in_its_line() {
    let (_folder, path, text) = index(2);
    let first_line = text.find('\n').unwrap();
    for at in 0..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (line, _) = broken_line(&path);
        let expected = if at <= first_line { 1 } else { 2 };
        assert_eq!(line, expected, "byte {at}");
    }
}

#[test]
fn removed_moved_and_repeated_lines_are_found() {
    let (_folder, path, text) = index(4);
    let lines: Vec<&str> = text.lines().collect();
    for (order, first_broken) in [
        (&[1, 2, 3][..], 1),
        (&[0, 2, 3], 2),
        (&[0, 1, 3], 3),
        (&[1, 0, 2, 3], 1),
        (&[0, 1, 3, 2], 3),
        (&[0, 0, 1, 2, 3], 2),
    ] {
        let text: String = order.iter().map(|&i| format!("{}\n", lines[i])).collect();
        fs::write(&path, text).unwrap();
        let (line, problem) = broken_line(&path);
        assert_eq!(line, first_broken, "{order:?}");
        assert!(matches!(problem, LineProblem::Sequence { .. }), "{problem}");
    }
}

#[test]
fn a_line_with_a_digest_of_its_own_breaks_the_line_after_it() {
    let (_folder, path, text) = index(3);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = CommitmentLine::new(1, parse_line(lines[0].as_bytes()).unwrap().digest, entry(9));
    lines[1] = serde_json::to_string(&line.unwrap()).unwrap();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let (line, problem) = broken_line(&path);
    assert_eq!(line, 3);
    assert!(matches!(problem, LineProblem::Previous { .. }), "{problem}");
}

#[test]
fn nothing_is_appended_to_a_broken_last_line() {
    let (_folder, path, text) = index(2);
    let broken = text.replace("cell-1", "cell-7");
    fs::write(&path, &broken).unwrap();
    let error = CommitmentIndex::append(&path, entry(2)).unwrap_err();
    assert!(matches!(error, CommitmentError::Broken { line: 2, .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), broken);
}

#[test]
fn a_long_index_is_appended_to_by_its_end_and_is_the_same_as_one_that_is_read() {
    // Longer than what is read of it first.
    let (_folder, path, text) = index(120);
    assert!(text.len() as u64 > END && text.len() as u64 / 120 < END / 3);
    assert_eq!(CommitmentIndex::read_and_verify(&path).unwrap().lines.len(), 120);
    fs::write(&path, format!("{text}{}", &text[..40])).unwrap();
    let line = CommitmentIndex::append(&path, entry(120)).unwrap();
    assert_eq!(line.sequence, 120);
    let index = CommitmentIndex::read_and_verify(&path).unwrap();
    assert_eq!((index.lines.len(), index.torn_bytes), (121, 0), "the torn line is gone");

    // A line that is at fault is named by its number.
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("cell-120", "cell-999")).unwrap();
    let error = CommitmentIndex::append(&path, entry(121)).unwrap_err();
    assert!(matches!(error, CommitmentError::Broken { line: 121, .. }), "{error}");
    // So is one that does not follow the one before.
    let lines: Vec<&str> = whole.lines().collect();
    let gap = [&lines[..119], &lines[120..]].concat().join("\n") + "\n";
    fs::write(&path, gap).unwrap();
    let error = CommitmentIndex::append(&path, entry(121)).unwrap_err();
    assert!(matches!(error, CommitmentError::Broken { line: 120, .. }), "{error}");
}

#[test]
fn an_entry_whose_commitment_is_not_its_own_is_refused() {
    let (_folder, path, text) = index(1);
    let mut wrong = entry(1);
    wrong.epochs += 1;
    let error = CommitmentIndex::append(&path, wrong).unwrap_err();
    assert!(error.to_string().starts_with("cell cell-1: commitment is "), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_count_that_json_would_round_is_refused() {
    let (_folder, path, text) = index(1);
    let beyond = Terms { examples: (1 << 53) + 1, ..terms(1) };
    let entry = CommitmentEntry::new("c".into(), beyond);
    let error = CommitmentIndex::append(&path, entry).unwrap_err();
    assert!(matches!(error, CommitmentError::BadEntry { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn writers_at_the_same_time_lose_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("commitments.jsonl");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for number in 0..10 {
                    CommitmentIndex::append(path, entry(10 * writer + number)).unwrap();
                }
            });
        }
    });
    assert_eq!(CommitmentIndex::read_and_verify(&path).unwrap().lines.len(), 40);
}

#[test]
fn a_missing_index_is_named() {
    let error = CommitmentIndex::read_and_verify(Path::new("no/such/index")).unwrap_err();
    assert_eq!(error.to_string(), "cannot open no/such/index");
}

//! Data that are missing, cut, changed or of another kind.

use std::fs;
use std::process::Command;

use crate::support::{Bench, Output, TINY, output, sources};

/// The published digits, wherever set-up put them.
fn digits() -> Vec<u8> {
    let sources = sources();
    let places = [sources.data_dir.join("digits"), sources.cache_dir.join("data/digits")];
    let file = places.iter().find_map(|folder| fs::read(folder.join("digits.csv.gz")).ok());
    file.expect("digits load, so their file is in one of the two folders")
}

/// A bench whose only data folder is its own `data`.
fn apart(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command: Command = bench.command(arguments);
    command.env("PALIMPSEST_DATA", bench.path("data")).env("PALIMPSEST_CACHE", bench.path("cache"));
    output(command)
}

#[test]
fn missing_data_are_named_with_places_and_remedy() {
    let bench = Bench::new();
    bench.write("digits.yaml", TINY);
    let refused = apart(&bench, &["run", "digits.yaml"]).ends(2);
    for part in ["digits.csv.gz is missing", "data/digits/digits.csv.gz", "cache", "setup"] {
        assert!(refused.stderr.contains(part), "{part:?} is not in {}", refused.stderr);
    }
    bench.write("mnist.yaml", &TINY.replace("digits-mlp", "mnist-cnn"));
    let refused = apart(&bench, &["run", "mnist.yaml"]).ends(2);
    for part in ["train-images-idx3-ubyte", "is missing", "palimpsest data fetch mnist"] {
        assert!(refused.stderr.contains(part), "{part:?} is not in {}", refused.stderr);
    }
    assert!(bench.cells().is_empty());
}

#[test]
fn digits_are_found_in_the_cache_of_the_build_where_nobody_names_one() {
    let bench = Bench::new();
    bench.write("digits.yaml", TINY);
    let mut command: Command = bench.command(&["run", "digits.yaml"]);
    command.env_remove("PALIMPSEST_CACHE").env_remove("XDG_CACHE_HOME");
    command.env("HOME", bench.path("home")).env("PALIMPSEST_DATA", bench.path("data"));
    output(command).ends(0);
}

#[test]
fn a_cut_or_changed_file_is_refused_by_name() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let whole = digits();
    let file = bench.write("data/digits/digits.csv.gz", "");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    let longer = [&whole[..], b"more"].concat();
    let cases: [(&str, &[u8]); 5] = [
        ("cut", &whole[..whole.len() / 2]),
        ("flipped", &flipped),
        ("longer", &longer),
        ("empty", b""),
        ("text", b"<html>404</html>"),
    ];
    for (what, bytes) in cases {
        fs::write(&file, bytes).unwrap();
        let refused = apart(&bench, &["run", "suite.yaml"]).ends(2);
        assert!(refused.stderr.contains("data/digits/digits.csv.gz"), "{what}: {}", refused.stderr);
        let checked = apart(&bench, &["data", "verify", "digits"]).ends(1);
        assert!(checked.stdout.contains("corrupt"), "{what}: {}", checked.stdout);
    }
    fs::write(&file, &whole).unwrap();
    apart(&bench, &["data", "verify", "digits"]).ends(0);
    apart(&bench, &["run", "suite.yaml", "--device", "cpu"]).ends(0);
}

#[test]
fn a_file_that_is_not_the_published_one_or_is_not_there_fails_a_check() {
    let bench = Bench::new();
    bench.write("data/tinyshakespeare/input.txt", "Before we proceed any further");
    let checked = apart(&bench, &["data", "verify", "tinyshakespeare"]).ends(1);
    assert!(checked.stdout.contains("modified"), "{}", checked.stdout);
    apart(&bench, &["data", "verify"]).ends(1);
    let absent = apart(&bench, &["data", "verify", "mnist"]).ends(1);
    assert!(absent.stdout.contains("absent"), "{}", absent.stdout);
    apart(&bench, &["data", "verify", "blobs"]).ends(0);
}

#[test]
fn a_gzip_file_of_two_streams_is_read() {
    let bench = Bench::new();
    let mut empty = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0];
    empty.extend([0; 8]);
    fs::write(bench.write("data/digits/digits.csv.gz", ""), [digits(), empty].concat()).unwrap();
    let checked = apart(&bench, &["data", "verify", "digits"]).ends(0);
    assert!(checked.stdout.contains("official"), "{}", checked.stdout);
}

#[test]
fn a_data_set_nobody_knows_is_refused_with_the_nearest_name() {
    let bench = Bench::new();
    let refused = bench.run(&["data", "verify", "minst"]).ends(2);
    assert!(refused.stderr.contains("did you mean \"mnist\"?"), "{}", refused.stderr);
}

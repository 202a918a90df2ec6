//! Keys, signatures, statements and certificates as a user meets them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use analysis::evidence::Certificate;
use analysis::evidence::certificate::{Draft, InputFile, Role, Tested};
use ledger::digest::Digest;
use serde_json::{Value, json};

use crate::support::{Bench, Output, TINY, output, python, root};

#[test]
fn keys_are_made_once_and_openssl_reads_them() {
    let bench = Bench::new();
    let made = bench.run(&["keygen", "my.pem"]).ends(0);
    assert!(
        made.stdout.contains("my.pub.pem") && made.stdout.contains("key id"),
        "{}",
        made.stdout
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(bench.path("my.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let before = fs::read(bench.path("my.pem")).unwrap();
    let again = bench.run(&["keygen", "my.pem"]).ends(2);
    assert!(again.stderr.contains("never overwritten"), "{}", again.stderr);
    fs::remove_file(bench.path("my.pub.pem")).unwrap();
    bench.run(&["keygen", "my.pem"]).ends(2);
    assert_eq!(fs::read(bench.path("my.pem")).unwrap(), before);
    bench.run(&["keygen", "other.pem", "--json"]).ends(0);
    let mut openssl = Command::new("openssl");
    openssl.args(["pkey", "-in", "other.pem", "-pubout"]).current_dir(bench.path(""));
    if let Ok(read) = openssl.output() {
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        assert_eq!(read.stdout, fs::read(bench.path("other.pub.pem")).unwrap());
    }
}

#[test]
fn a_signed_run_verifies_until_it_changes() {
    let bench = Bench::with_run(TINY);
    for name in ["a.pem", "b.pem"] {
        bench.run(&["keygen", name]).ends(0);
    }
    let cell = bench.record("sgd", 0).cell;
    let signed = bench.run(&["sign", &cell, "--key", "a.pem"]).ends(0);
    assert!(signed.stdout.starts_with(&format!("signed run {cell} by key ")), "{}", signed.stdout);
    bench.run(&["verify"]).ends(0);
    let verified = bench.run(&["verify", &cell, "--key", "a.pub.pem"]).ends(0);
    assert!(verified.stdout.contains("signature by key"), "{}", verified.stdout);
    let stranger = bench.run(&["verify", &cell, "--key", "b.pub.pem"]).ends(1);
    assert!(stranger.stdout.contains("it did not sign this run"), "{}", stranger.stdout);
    // A forger who rebuilds the manifest leaves the old signature behind.
    let folder = bench.path("runs").join(&cell);
    let manifest = fs::read_to_string(folder.join("manifest.json")).unwrap();
    fs::write(folder.join("manifest.json"), manifest.trim_end()).unwrap();
    let changed = bench.run(&["verify", &cell]).ends(1);
    assert!(changed.stdout.contains("what was signed has changed"), "{}", changed.stdout);
    let refused = bench.run(&["sign", &cell, "--key", "a.pem"]).ends(2);
    assert!(refused.stderr.contains("does not verify and is not signed"), "{}", refused.stderr);
    let swapped = bench.run(&["sign", &cell, "--key", "a.pub.pem"]).ends(2);
    assert!(swapped.stderr.contains("not an ed25519 secret key"), "{}", swapped.stderr);
    let swapped = bench.run(&["verify", &cell, "--key", "a.pem"]).ends(2);
    assert!(swapped.stderr.contains("it is a secret key"), "{}", swapped.stderr);
}

#[test]
fn any_file_is_signed_beside_itself() {
    let bench = Bench::new();
    bench.run(&["keygen", "a.pem"]).ends(0);
    bench.write("scores.csv", "loss\n1\n2\n");
    let unsigned = bench.run(&["verify", "scores.csv"]).ends(2);
    assert!(unsigned.stderr.contains("has no signature"), "{}", unsigned.stderr);
    bench.run(&["sign", "scores.csv", "--key", "a.pem"]).ends(0);
    assert!(bench.path("scores.csv.sig.json").exists());
    bench.run(&["verify", "scores.csv", "--key", "a.pub.pem"]).ends(0);
    bench.write("scores.csv", "loss\n1\n3\n");
    let changed = bench.run(&["verify", "scores.csv"]).ends(1);
    assert!(changed.stdout.contains("what was signed has changed"), "{}", changed.stdout);
}

#[test]
fn a_statement_names_files_and_order_and_its_envelope_opens_for_its_key() {
    let bench = Bench::with_run(TINY);
    let record = bench.record("sgd", 0);
    let statement = bench.run(&["export", &record.cell, "--to", "in-toto"]).ends(0).json();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    let order = record.order.unwrap();
    let predicate = &statement["predicate"]["order"];
    assert_eq!(predicate["commitment"], order.commitment.to_string());
    assert_eq!(predicate["epochs"][0]["orderHash"], order.epochs[0].order_hash.to_string());
    assert_eq!(predicate["randomness"], "fixed");
    assert!(!statement.to_string().contains(&order.seed_hex), "the seed is in the statement");
    let subjects = statement["subject"].as_array().unwrap();
    for subject in subjects {
        let file = bench.path("runs").join(&record.cell).join(subject["name"].as_str().unwrap());
        let digest = Digest::of(&fs::read(&file).unwrap()).to_string();
        assert_eq!(subject["digest"]["sha256"], digest, "{}", file.display());
    }
    assert_eq!(subjects.len(), bench.files(&format!("runs/{}", record.cell)).len());

    for name in ["a.pem", "b.pem"] {
        bench.run(&["keygen", name]).ends(0);
    }
    let arguments = ["export", &record.cell, "--to", "in-toto", "--key", "a.pem", "--out", "out"];
    let path = bench.run(&arguments).ends(0).stdout.trim_end().to_owned();
    bench.run(&["verify", &path, "--key", "a.pub.pem"]).ends(0);
    let other = bench.run(&["verify", &path, "--key", "b.pub.pem"]).ends(1);
    assert!(other.stdout.contains("did not sign this envelope"), "{}", other.stdout);
    assert!(bench.run(&["verify", &path]).ends(2).stderr.contains("--key"));
    let form = bench.run(&["export", &record.cell, "--to", "wandb"]).ends(2);
    assert!(form.stderr.contains("in-toto"), "{}", form.stderr);
}

#[test]
fn abandoned_promises_are_counted_and_listed() {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 1).cell;
    let before = bench.run(&["verify"]).ends(0).stdout;
    assert!(
        before.contains("commitment index: 4 promises, head ") && !before.contains("no run here")
    );
    fs::remove_dir_all(bench.path("runs").join(&cell)).unwrap();
    let after = bench.run(&["verify"]).ends(0).stdout;
    assert!(after.contains("1 of them have no run here"), "{after}");
    assert!(after.contains(&format!("cell {cell}")), "{after}");
    let json = bench.run(&["verify", "--json"]).ends(0).json();
    assert_eq!(json["index"]["abandoned"][0]["cell"], cell);
    let bad = bench.run(&["verify", "--head", "abc"]).ends(2);
    assert!(bad.stderr.contains("64 hexadecimal characters"), "{}", bad.stderr);
}

/// The bytes of a `.npy` file, version 1.0.
fn npy(dtype: &str, n: usize, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({n},), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

/// Order, scores and reference of 200 examples, and a certificate of them whose numbers were computed
/// with SciPy 1.17.1 (`spearmanr` of the positions and the difference) and with the saddlepoint of
/// `harness/stats/tests/reference/saddlepoint.py`, which has log10 p -5.872 196 413 7.
fn certified(bench: &Bench) -> Certificate {
    let n = 200_u32;
    let order: Vec<u32> = (0..n).map(|t| t * 77 % n).map(|i| (i + 13) % n).collect();
    let position = |i: u32| order.iter().position(|id| *id == i).unwrap() as f64;
    let noise = |i: u32, k: u32| f64::from(i * k % 101) / 10.0;
    let reference: Vec<f64> = (0..n).map(|i| noise(i, 53)).collect();
    let scores: Vec<f64> =
        (0..n).map(|i| noise(i, 53) + noise(i, 37) - 0.02 * position(i)).collect();
    let bytes = |column: &[f64]| column.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let ids: Vec<u8> = order.iter().flat_map(|id| id.to_le_bytes()).collect();
    let files = [
        (Role::Order, "order.npy", npy("<u4", 200, &ids)),
        (Role::Scores, "scores.npy", npy("<f8", 200, &bytes(&scores))),
        (Role::Reference, "reference.npy", npy("<f8", 200, &bytes(&reference))),
    ];
    let files = files.map(|(role, name, bytes)| {
        fs::write(bench.path(name), &bytes).unwrap();
        InputFile {
            role,
            name: name.to_owned(),
            column: None,
            size: bytes.len() as u64,
            sha256: Digest::of(&bytes),
        }
    });
    let draft = Draft {
        tested: Tested { files: files.to_vec(), runs: Vec::new(), promise: None },
        options: [
            ("metric", "spearman"),
            ("tail", "two-sided"),
            ("adjust", "difference"),
            ("kind", "loss"),
            ("law", "uniform"),
            ("unit", "sample"),
            ("resolution", "sample"),
        ]
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .into(),
        finding: json!({
            "metric": "spearman", "statistic": STATISTIC, "n": 200, "ties": 0, "tail": "two-sided",
            "adjust": "difference", "p": P, "log10_p": LOG10_P, "exact": false, "saddlepoint": true,
            "direction": "negative: later examples have lower loss, beside the reference", "randomness": "undeclared",
            "simulation": false, "floor_log10_p": null, "monte_carlo": null, "warnings": []
        }),
        origin: None,
        software: BTreeMap::from([("palimpsest".to_owned(), "0.1.0".to_owned())]),
    };
    let certificate = draft.seal().unwrap();
    fs::write(bench.path("cert.json"), certificate.to_bytes().unwrap()).unwrap();
    certificate
}

const STATISTIC: f64 = -0.335_921_398_034_950_9;
const P: f64 = 1.3421578204282407e-06;
const LOG10_P: f64 = -5.8721964137413805;

const INPUTS: [&str; 6] =
    ["--order", "order.npy", "--scores", "scores.npy", "--reference", "reference.npy"];

#[test]
fn a_certificate_is_checked_against_files_key_and_page() {
    let bench = Bench::new();
    let certificate = certified(&bench);
    let alone = bench.run(&["verify-certificate", "cert.json"]).ends(3);
    assert!(
        alone.stdout.contains("unchecked  who made it: it has no signature"),
        "{}",
        alone.stdout
    );
    assert!(alone.stdout.contains(&certificate.headline), "{}", alone.stdout);
    bench.run(&["keygen", "a.pem"]).ends(0);
    let unsigned = bench.run(&["verify-certificate", "cert.json", "--key", "a.pub.pem"]).ends(1);
    assert!(unsigned.stdout.contains("it did not sign this certificate"), "{}", unsigned.stdout);
    assert!(unsigned.stdout.contains("does NOT hold"), "{}", unsigned.stdout);
    bench.run(&["sign", "cert.json", "--key", "a.pem"]).ends(0);
    let signed = Certificate::read(&fs::read(bench.path("cert.json")).unwrap()).unwrap();
    bench.write("cert.html", &reports::certificate::page(&signed).unwrap());
    let whole = [
        &["verify-certificate", "cert.json", "--key", "a.pub.pem", "--page", "cert.html"],
        &INPUTS[..],
    ]
    .concat();
    bench.run(&whole).ends(0);
    let page = fs::read_to_string(bench.path("cert.html")).unwrap();
    bench.write("cert.html", &page.replace("What it does not mean", "What it proves"));
    assert!(bench.run(&whole).ends(1).stdout.contains("not the page of this certificate"));
    bench.write("scores.npy", "other");
    let json = bench.run(&[&whole[..], &["--json"]].concat()).ends(1).json();
    let failed = json["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false);
    let names: Vec<_> = failed.map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["scores scores.npy", "page cert.html"]);
}

#[test]
fn what_is_no_certificate_cannot_be_checked() {
    let bench = Bench::new();
    certified(&bench);
    bench.write("x.json", "{\"version\": 1}");
    for (arguments, part) in [
        (["verify-certificate", "absent.json", "--scores", "scores.npy"], "absent.json"),
        (["verify-certificate", "x.json", "--scores", "scores.npy"], "x.json: not a certificate"),
        (["verify-certificate", "order.npy", "--scores", "scores.npy"], "not a certificate"),
        (["verify-certificate", "cert.json", "--scores", "absent.npy"], "cannot read absent.npy"),
        (["verify-certificate", "cert.json", "--key", "order.npy"], "not an ed25519 public key"),
    ] {
        let refused = bench.run(&arguments).ends(2);
        assert!(refused.stderr.contains(part), "{arguments:?}: {}", refused.stderr);
    }
}

fn script(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command = Command::new(python("numpy scipy"));
    command.arg(root().join("docs/verify_certificate.py")).args(arguments);
    command.current_dir(bench.path(""));
    output(command)
}

#[test]
fn python_checks_a_certificate_without_palimpsest() {
    let bench = Bench::new();
    let certificate = certified(&bench);
    bench.run(&["keygen", "a.pem"]).ends(0);
    bench.run(&["keygen", "b.pem"]).ends(0);
    bench.run(&["sign", "cert.json", "--key", "a.pem"]).ends(0);
    let whole = [&["cert.json", "--key", "a.pub.pem"], &INPUTS[..]].concat();
    let checked = script(&bench, &whole).ends(0).stdout;
    for part in ["canonical form", "digest", "signature by key", "statistic -0.", "log10 p -"] {
        assert!(checked.contains(&format!("ok         {part}")), "{part}: {checked}");
    }
    assert!(checked.ends_with(&format!("{}\n", certificate.headline)), "{checked}");
    let stranger = script(&bench, &["cert.json", "--key", "b.pub.pem"]).ends(1).stdout;
    assert!(stranger.contains("this key did not sign the certificate"), "{stranger}");
    // Forged numbers, with the digest taken anew.
    let forged = |key: &str, value: Value| {
        let Certificate { tested, options, mut finding, origin, software, .. } =
            certificate.clone();
        finding[key] = value;
        let forged = Draft { tested, options, finding, origin, software }.seal().unwrap();
        fs::write(bench.path("forged.json"), forged.to_bytes().unwrap()).unwrap();
        script(&bench, &[&["forged.json"], &INPUTS[..]].concat()).ends(1).stdout
    };
    assert!(forged("statistic", json!(STATISTIC - 1e-9)).contains("MISMATCH   statistic"));
    assert!(forged("n", json!(201)).contains("MISMATCH   n"));
    // A changed byte, and a file that is none.
    let text = fs::read_to_string(bench.path("cert.json")).unwrap();
    bench.write("changed.json", &text.replace("\"n\":200", "\"n\":100"));
    let changed = script(&bench, &["changed.json"]).ends(1).stdout;
    assert!(changed.contains("MISMATCH   digest"), "{changed}");
    bench.write("x.json", "{}");
    script(&bench, &["x.json"]).ends(2);
}

#[test]
fn python_verifies_the_signatures_of_rfc_8032() {
    // Section 7.1, tests 1 and 3; then the first with a changed message.
    let program = "import sys; sys.path.insert(0, sys.argv[1]); import verify_certificate as v; \
        print([v.ed25519_verifies(*map(bytes.fromhex, case.split(','))) for case in sys.argv[2:]])";
    let first = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let third = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025";
    let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    let of_third = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    let mut command = Command::new(python("numpy scipy"));
    command.args(["-c", program]).arg(root().join("docs"));
    command.args([
        format!("{first},,{signature}"),
        format!("{third},af82,{of_third}"),
        format!("{first},00,{signature}"),
    ]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    assert_eq!(output(command).ends(0).stdout, "[True, True, False]\n");
}

#[test]
fn an_order_of_files_is_promised_before_training_and_shown_afterwards() {
    let bench = Bench::new();
    certified(&bench);
    let promise = ["provenance", "promise", "order.npy", "--promise", "private.json", "--json"];
    let published = bench.run(&promise).ends(0);
    bench.write("promised.json", &published.stdout);
    bench.run(&promise).ends(2);
    let query = [&["provenance", "query"], &INPUTS[..], &["--promise", "private.json"]].concat();
    bench.run(&[&query[..], &["--certificate", "c"]].concat()).ends(0);
    let checked = |more: &[&str]| {
        let whole = [&["c.json"], &INPUTS[..], more].concat();
        let rust = bench.run(&[&["verify-certificate"], &whole[..]].concat());
        let python = script(&bench, &whole);
        assert_eq!(rust.code, python.code, "{}{}", rust.stdout, python.stdout);
        rust
    };
    let alone = checked(&[]).ends(0).stdout;
    assert!(alone.contains("unchecked  when the promise"), "{alone}");
    checked(&["--promised", "promised.json"]).ends(0);
    bench.write("others.json", &format!("[{{\"commitment\": \"{}\"}}]", "00".repeat(32)));
    let other = checked(&["--promised", "others.json"]).ends(1).stdout;
    assert!(other.contains("MISMATCH   published commitments"), "{other}");
    // It is of these bytes, this law and this unit.
    let law = [&query[..], &["--law", "uniform-subset"]].concat();
    assert!(bench.run(&law).ends(2).stderr.contains("the promise is of law uniform"));
    let certificate = fs::read_to_string(bench.path("c.json")).unwrap();
    let nonce: Value = serde_json::from_str(&certificate).unwrap();
    let nonce = nonce["tested"]["promise"]["nonce"].as_str().unwrap().to_owned();
    bench.write("c.json", &certificate.replace(&nonce, &"00".repeat(32)));
    let forged = checked(&[]).ends(1).stdout;
    assert!(forged.contains("MISMATCH   promise"), "{forged}");
}

/// A timestamp and what belongs to it, made by `harness/analysis/tests/timestamps/make.sh`.
fn stamped(bench: &Bench, names: &[&str]) {
    for name in names {
        let from = root().join("harness/analysis/tests/timestamps").join(name);
        fs::copy(from, bench.path(name)).unwrap();
    }
}

#[test]
fn a_timestamp_says_when_a_published_promise_was_there() {
    let bench = Bench::new();
    stamped(
        &bench,
        &["promised.json", "p256.tsr", "promise.tsr", "head.tsr", "ca.pem", "other.pem"],
    );
    let verify = |line: &str| {
        let words: Vec<&str> = std::iter::once("verify").chain(line.split(' ')).collect();
        bench.run(&words)
    };
    let line = "--promised promised.json --timestamp p256.tsr";
    let told = verify(&format!("{line} --timestamp-ca ca.pem")).ends(0).stdout;
    let stated = "p256.tsr  verified: promised.json was there on TIME UTC, says CN=Stamp E, O=Example Time\n";
    assert_eq!(undated(&told), stated);
    let open = verify(line).ends(0).stdout;
    let unchecked = "p256.tsr  unchecked chain of CN=Stamp E, O=Example Time, who signed p256.tsr: give the root \
                     certificate of the authority that you trust with --timestamp-ca\n";
    assert_eq!(undated(&open), format!("{stated}{unchecked}"));
    verify(&format!("{line} --complete")).ends(3);
    let other = verify(&format!("{line} --timestamp-ca other.pem")).ends(1).stdout;
    assert!(
        other
            .contains("p256.tsr  MISMATCH timestamp: no valid chain leads from the certificate of"),
        "{other}"
    );
    let json = verify(&format!("{line} --json")).ends(0).json();
    let stated = &json["timestamps"][0]["stated"];
    assert_eq!(
        stated["imprint"],
        Digest::of(&fs::read(bench.path("promised.json")).unwrap()).to_string()
    );
    assert_eq!(
        (&stated["chain"], &stated["authority"]),
        (&json!(false), &json!("CN=Stamp E, O=Example Time"))
    );

    // The promise may have been stamped by itself.
    let alone = "--promised promised.json --timestamp promise.tsr --timestamp-ca ca.pem";
    let told = verify(alone).ends(0).stdout;
    let stated = "promise.tsr  verified: promise 154c2881c95b2a59 of promised.json was there on ";
    assert!(told.starts_with(stated), "{told}");

    // Beside the file it is checked unasked, and a changed file is found.
    fs::copy(bench.path("p256.tsr"), bench.path("promised.json.tsr")).unwrap();
    let beside = verify("--promised promised.json --timestamp-ca ca.pem").ends(0).stdout;
    assert!(
        beside.starts_with("promised.json.tsr  verified: promised.json was there on "),
        "{beside}"
    );
    let text = fs::read_to_string(bench.path("promised.json")).unwrap();
    bench.write("promised.json", &text.replace("154c", "154d"));
    let changed = verify("--promised promised.json").ends(1).stdout;
    assert!(changed.contains("promised.json.tsr  MISMATCH timestamp: it is of "), "{changed}");

    // Of an index, by its head.
    fs::create_dir(bench.path("runs")).unwrap();
    stamped(&bench, &["commitments.jsonl"]);
    fs::rename(bench.path("commitments.jsonl"), bench.path("runs/commitments.jsonl")).unwrap();
    let head = verify("--timestamp head.tsr --timestamp-ca ca.pem").ends(0).stdout;
    assert!(
        head.starts_with("head.tsr  verified: the index with its first 1 promises was there on "),
        "{head}"
    );
    let index = verify("--json").ends(0).json();
    let published = index["index"]["head"].as_str().unwrap().to_owned();
    let named =
        verify(&format!("--head {published} --timestamp head.tsr --timestamp-ca ca.pem")).ends(0);
    assert!(named.stdout.contains("the published head was there on "), "{}", named.stdout);
    let other = verify("--timestamp p256.tsr").ends(1).stdout;
    let expected = "neither a file given with --promised, nor a promise in it, nor a line of the index has this digest";
    assert!(other.contains(expected), "{other}");

    for (line, part) in [
        ("--timestamp-ca ca.pem", "--timestamp-ca ca.pem would not be used"),
        ("--timestamp head.tsr --timestamp-ca promised.json", "no certificate of an authority"),
        ("--timestamp head.tsr --timestamp-ca none.pem", "cannot read none.pem"),
    ] {
        let refused = verify(line).ends(2);
        assert!(refused.stderr.contains(part), "{line}: {}", refused.stderr);
    }
    let none = verify("--timestamp none.tsr").ends(1).stdout;
    assert!(none.contains("none.tsr  MISMATCH timestamp: cannot read none.tsr"), "{none}");
}

/// The day and time of a timestamp, which are those of when it was made.
fn undated(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.as_bytes() {
        [b'2', b'0', _, _, b'-', ..] => "",
        [_, _, b':', _, _, b':', _, _] => "TIME",
        _ => word,
    });
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").replace("tsr ", "tsr  ")
}

#[test]
fn a_timestamp_dates_the_promise_of_a_certificate() {
    let bench = Bench::new();
    certified(&bench);
    stamped(&bench, &["promised.json", "p256.tsr", "promise.tsr", "head.tsr", "ca.pem"]);
    let digest = Digest::of(&fs::read(bench.path("order.npy")).unwrap());
    let (law, unit) = (ledger::order::OrderLaw::Uniform, ledger::order::Unit::Sample);
    let promise = analysis::evidence::OrderPromise::of(Digest([7; 32]), law, unit, vec![digest]);
    let published = fs::read_to_string(bench.path("promised.json")).unwrap();
    assert!(published.contains(&promise.commitment.to_string()), "{}", promise.commitment);
    bench.write("private.json", &serde_json::to_string(&promise).unwrap());
    let made = ["--promise", "private.json", "--certificate", "c"];
    bench.run(&[&["provenance", "query"], &INPUTS[..], &made].concat()).ends(0);
    let verify = |line: &str| {
        let words = line.split(' ').collect();
        bench.run(&[vec!["verify-certificate", "c.json"], INPUTS.to_vec(), words].concat())
    };
    let whole = "--promised promised.json --timestamp p256.tsr --timestamp-ca ca.pem";
    let told = verify(whole).ends(0).stdout;
    assert!(told.contains("ok         timestamp p256.tsr: promised.json was there on "), "{told}");
    // The promise may have been stamped itself; without the authority's root nobody stands behind it.
    let told = verify("--timestamp promise.tsr --timestamp-ca ca.pem").ends(0).stdout;
    assert!(told.contains("ok         timestamp promise.tsr: the promise was there on "), "{told}");
    assert!(!told.contains("when the promise"), "{told}");
    let told = verify("--timestamp promise.tsr").ends(0).stdout;
    for open in ["unchecked  when the promise", "unchecked  chain of CN=Stamp E"] {
        assert!(told.contains(open), "{told}");
    }
    let other = verify("--timestamp head.tsr --timestamp-ca ca.pem").ends(1).stdout;
    let expected = "nothing that this certificate was promised by has this digest";
    assert!(other.contains(expected), "{other}");
}

#[test]
fn a_stamped_head_dates_no_promise_that_no_store_shows_under_it() {
    let bench = Bench::new();
    certified(&bench);
    stamped(&bench, &["commitments.jsonl", "head.tsr", "ca.pem"]);
    let index = bench.path("commitments.jsonl");
    let index = ledger::commitment::CommitmentIndex::read_and_verify(&index).unwrap();
    // Whoever makes a certificate may write any stamped digest there.
    let text = fs::read_to_string(bench.path("cert.json")).unwrap();
    let mut forged: Value = serde_json::from_str(&text).unwrap();
    let digest = Digest::of(b"x");
    forged["origin"] = json!({
        "run": "0123456789abcdef", "run_digest": digest, "law": "uniform", "unit": "sample", "randomness": "fixed",
        "examples": 200, "dataset_root": digest, "seed_commit": digest, "commitment": digest, "order_hashes": [digest],
        "index": null, "promises": 1, "abandoned": 0, "head": index.head(),
    });
    bench.write("c.json", &forged.to_string());
    let verify = |more: &[&str]| {
        let line =
            ["verify-certificate", "c.json", "--timestamp", "head.tsr", "--timestamp-ca", "ca.pem"];
        bench.run(&[&line[..], more].concat()).ends(1).stdout
    };
    let told = verify(&[]);
    for part in [
        "ok         timestamp head.tsr: the head that it names (without --store nothing says that the promise is under it) \
         was there on ",
        "unchecked  when the promise ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // The store dates it, and says whether the promise is there.
    let told = verify(&["--store", "runs"]);
    for part in ["timestamp head.tsr: the index with it was there on ", "MISMATCH   index head: "] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("when the promise"), "{told}");
}

#[test]
fn both_verifiers_come_to_the_same_verdict_on_honest_and_forged_certificates() {
    let bench = Bench::new();
    let mut command = bench.prepared(python("numpy scipy").to_str().unwrap(), &[]);
    command.arg(root().join("scripts/forge_certificates.py"));
    command.args([env!("CARGO_BIN_EXE_palimpsest"), "--table", "table.md"]);
    let judged = output(command).ends(0).stdout;
    let last = judged.lines().last().unwrap_or_default();
    assert!(last.ends_with(", 0 wrong"), "{last}");
    let table = fs::read_to_string(bench.path("table.md")).unwrap();
    let page = fs::read_to_string(root().join("docs/forgeries.md")).unwrap();
    assert!(page.ends_with(&table), "the table of docs/forgeries.md should read:\n{table}");
}

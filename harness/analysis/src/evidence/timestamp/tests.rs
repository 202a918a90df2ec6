use super::*;

/// Made by `make.sh` beside them.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timestamps").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

fn given(name: &str) -> Authorities {
    Authorities::read(&file(name)).unwrap()
}

fn promised() -> Digest {
    Digest::of(&bytes("promised.json"))
}

/// What does not hold of a file, beside the authority that made the honest ones.
fn fault(name: &str) -> String {
    read(&file(name), &given("ca.pem")).unwrap_err().to_string()
}

#[test]
fn a_timestamp_tells_what_was_there_when_and_by_whom() {
    let authorities = given("ca.pem");
    for (name, signer) in [
        ("rsa.tsr", "R"),
        ("p256.tsr", "E"),
        ("p384.tsr", "F"),
        ("sha512.tsr", "R"),
        ("chain.tsr", "G"),
        ("token.tst", "E"),
    ] {
        let told = read(&file(name), &authorities).unwrap();
        assert_eq!((told.imprint, told.chain), (promised(), true), "{name}");
        assert_eq!(told.authority, format!("CN=Stamp {signer}, O=Example Time"));
        assert!(told.unix >= 1_795_000_000, "{name}: {}", told.unix);
        let unknown = read(&file(name), &Authorities::default()).unwrap();
        assert_eq!(unknown, Timestamp { chain: false, ..told }, "{name}");
    }
    let head = read(&file("head.tsr"), &authorities).unwrap();
    let index = ledger::commitment::CommitmentIndex::read_and_verify(&file("commitments.jsonl"));
    assert_eq!(head.imprint, index.unwrap().head());
    let stated = Timestamp { unix: 1_795_981_552, ..head };
    assert_eq!(stated.to_string(), "2026-11-29 19:45:52 UTC, says CN=Stamp E, O=Example Time");
}

#[test]
fn authorities_are_read_in_pem_and_in_der() {
    for name in ["ca.pem", "ca.crt", "ca-and-stamp.pem"] {
        assert!(read(&file("p256.tsr"), &given(name)).unwrap().chain, "{name}");
    }
    // One between is enough for whoever trusts it.
    assert!(read(&file("chain.tsr"), &given("middle.pem")).unwrap().chain);
    for (name, reason) in [
        ("p256.crt", "no certificate of an authority"),
        ("promised.json", "no certificate of an authority"),
        ("p256.tsr", "certificate 1"),
        ("none.pem", "cannot read"),
    ] {
        let error = Authorities::read(&file(name)).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(name), "{error}");
    }
}

#[test]
fn a_timestamp_of_another_authority_is_refused() {
    for other in ["other.pem", "twin.pem"] {
        let error = read(&file("p256.tsr"), &given(other)).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "no valid chain leads from the certificate of CN=Stamp E, O=Example Time to an auth"
            ),
            "{error}"
        );
    }
    // The other way round: the same names and numbers everywhere, under other keys.
    assert!(read(&file("twin.tsr"), &given("twin.pem")).unwrap().chain);
    let twin = fault("twin.tsr");
    assert!(twin.ends_with("by another than the one whose name it gives"), "{twin}");
}

#[test]
fn a_chain_holds_by_each_certificate_between() {
    for (name, expected) in [
        ("no-sign.tsr", "a certificate between may not sign others"),
        ("year2099.tst", "a certificate between was not valid at the time stated"),
    ] {
        let error = fault(name);
        assert!(
            error.starts_with("no valid chain leads from") && error.ends_with(expected),
            "{error}"
        );
        // It is the chain alone that does not hold.
        assert!(!read(&file(name), &Authorities::default()).unwrap().chain, "{name}");
    }
}

#[test]
fn a_timestamp_with_many_certificates_is_refused_before_a_path_is_looked_for() {
    let many = bytes("many.tsr");
    for authorities in [given("ca.pem"), Authorities::default()] {
        let error = check(&many, &authorities).unwrap_err();
        assert_eq!(error, TimestampError::Certificates(17));
        assert!(error.to_string().ends_with("at most 16 are read"), "{error}");
    }
}

#[test]
fn a_signer_who_may_not_is_refused() {
    for (name, expected) in [
        ("no-eku.tst", "CN=No Stamp, O=Example Time is not one for timestamps"),
        ("other-use.tst", "CN=Code, O=Example Time is not one for timestamps"),
        ("other-key.tst", "is of a key that signs no documents"),
        ("uncritical.tst", "does not say as critical that it is for timestamps"),
        ("two-uses.tst", "is for timestamps and for something else, too"),
        ("year1999.tst", "was not valid on 1999-"),
        ("year2199.tst", "was not valid on 2199-"),
    ] {
        let error = fault(name);
        assert!(error.contains(expected), "{name}: {error}");
        // Whether or not anybody asks who is behind it.
        let unknown = read(&file(name), &Authorities::default()).unwrap_err().to_string();
        assert_eq!(unknown, error);
    }
}

#[test]
fn what_is_signed_otherwise_than_a_timestamp_is_refused() {
    for (name, expected) in [
        ("no-ess.tst", "its signature names no certificate"),
        ("no-attributes.tst", "nothing but its content was signed"),
        ("other-content.tst", "the signed content is malformed"),
        ("two-signers.tst", "the signed content is malformed"),
        ("refused.tsr", "the authority refused: its response has status 2"),
        ("imprint512.tsr", "its imprint is made by algorithm 2.16.840.1.101.3.4.2.3"),
        ("bare.tsr", "the certificate of its signer is not in it"),
        ("pss.tst", "its signature is made by algorithm 1.2.840.113549.1.1.10 with 2.16"),
        ("promised.json", "its frame is malformed"),
    ] {
        let error = fault(name);
        assert!(error.contains(expected), "{name}: {error}");
    }
    // A certificate that did not come along may be given.
    assert!(read(&file("bare.tsr"), &given("ca-and-stamp.pem")).unwrap().chain);
}

#[test]
fn openssl_comes_to_the_same() {
    // It takes the time of today for that of the certificates, and reads other digests than ours and any number of
    // certificates.
    const THERE: [&str; 5] =
        ["year1999.tst", "year2099.tst", "year2199.tst", "imprint512.tsr", "many.tsr"];
    let mut judged = 0;
    for entry in std::fs::read_dir(file("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let bare = name.ends_with(".tst");
        if !bare && !name.ends_with(".tsr") {
            continue;
        }
        let ours = read(&file(&name), &given("ca.pem")).ok();
        let ours = ours.is_some_and(|stated| stated.imprint == promised());
        let mut openssl = std::process::Command::new("openssl");
        openssl.args([
            "ts",
            "-verify",
            "-data",
            "promised.json",
            "-CAfile",
            "ca.pem",
            "-in",
            &name,
        ]);
        openssl.args(bare.then_some("-token_in")).current_dir(file(""));
        // A bare machine may have none: then there is nothing to compare with.
        let Ok(theirs) = openssl.output() else { return };
        let theirs = theirs.status.success();
        assert_eq!(theirs, ours || THERE.contains(&name.as_str()), "{name}");
        judged += 1;
    }
    assert!(judged > 20, "{judged}");
}

/// The bytes with the first `from` in them replaced by `to`, which is as long.
fn with(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes(name);
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

fn fault_of(bytes: &[u8]) -> String {
    check(bytes, &given("ca.pem")).unwrap_err().to_string()
}

#[test]
fn a_changed_statement_is_found() {
    // The time, the digest; and whatever else is stated, the nonce among it, by the digest over all of it.
    let year = with("p256.tsr", b"202611", b"202511");
    assert!(
        fault_of(&year).contains("is not what was signed: time, digest"),
        "{}",
        fault_of(&year)
    );
    let other = with("p256.tsr", promised().as_bytes(), Digest::of(b"another").as_bytes());
    assert!(fault_of(&other).contains("is not what was signed"), "{}", fault_of(&other));
    // With the digest over it made anew: the signature.
    let whole = bytes("p256.tsr");
    let content = read::signed(&whole).unwrap().content;
    let changed = read::signed(&year).unwrap().content;
    let mut forged = year.clone();
    let old = digest(&SHA256, content);
    let at = forged.windows(32).position(|window| window == old.as_ref()).unwrap();
    forged[at..at + 32].copy_from_slice(digest(&SHA256, changed).as_ref());
    assert!(fault_of(&forged).contains("was not made by CN=Stamp E"), "{}", fault_of(&forged));
    // Under another signer's certificate, which the signature does not name.
    let twin = bytes("twin.tsr");
    let [mine, theirs] =
        [&whole, &twin].map(|bytes| read::signed(bytes).unwrap().certificates[0].to_vec());
    assert_eq!(mine.len(), theirs.len(), "make them anew until they are as long");
    let swapped = with("p256.tsr", &mine, &theirs);
    assert!(fault_of(&swapped).contains("certificate of its signer is not in it"));
}

#[test]
fn what_was_signed_as_something_else_cannot_be_made_a_timestamp() {
    // The authority signed the same content as another kind, whose name stands outside and inside of what is signed.
    let kind = |last: u8| {
        [&[6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1][..], &[last]].concat()
    };
    assert!(fault("other-kind.tst").contains("the signed content is malformed"));
    let forged = with("other-kind.tst", &kind(2), &kind(4));
    assert!(fault_of(&forged).contains("what was signed is no timestamp"), "{}", fault_of(&forged));
}

#[test]
fn no_changed_byte_gives_another_statement() {
    for name in ["p256.tsr", "rsa.tsr", "token.tst"] {
        let whole = bytes(name);
        let authorities = given("ca.pem");
        let told = check(&whole, &authorities).unwrap();
        let mut refused = 0;
        for at in 0..whole.len() {
            for flip in [1, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                match check(&changed, &authorities) {
                    Ok(anew) => assert_eq!(anew, told, "{name}: byte {at}"),
                    Err(_) => refused += 1,
                }
            }
        }
        // What is left lies around what was signed, such as the status or the version.
        assert!(refused >= 2 * whole.len() - 40, "{name}: {refused} of {}", 2 * whole.len());
    }
}

#[test]
fn what_is_cut_or_goes_on_is_refused() {
    let whole = bytes("chain.tsr");
    let none = Authorities::default();
    for length in 0..whole.len() {
        assert!(check(&whole[..length], &none).is_err(), "{length} bytes");
    }
    assert!(check(&[whole.as_slice(), b"\0"].concat(), &none).is_err());
}

#[test]
fn only_plain_files_of_a_sensible_size_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::File::create(path("large")).unwrap().set_len(MOST_BYTES + 1).unwrap();
    let mut names = vec![("large", "has more than 1048576 bytes"), ("none", "No such file")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(file("p256.tsr"), path("link")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        names.extend([("link", "it is a link"), ("pipe", "it is a pipe")]);
    }
    for (name, reason) in names {
        for error in [
            read(&path(name), &Authorities::default()).unwrap_err().to_string(),
            Authorities::read(&path(name)).unwrap_err().to_string(),
        ] {
            assert!(error.contains(reason) && error.contains(name), "{error}");
        }
    }
}

#[test]
fn fractions_of_a_second_are_cut_off_and_odd_times_refused() {
    let seconds = |time: &str| read::seconds(time.as_bytes());
    assert_eq!(seconds("20261129194552Z"), Some(1_795_981_552));
    assert_eq!(seconds("20261129194552.25Z"), Some(1_795_981_552));
    for odd in [
        "",
        "Z",
        "20261129194552",
        "20261129194552.Z",
        "2026112919455Z",
        "20261329194552Z",
        "20260230194552Z",
        "+0261129194552Z",
        "20261129194552+0100",
        "２０２６112919Z",
    ] {
        assert_eq!(seconds(odd), None, "{odd}");
    }
}

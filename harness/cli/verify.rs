//! `palimpsest verify`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use analysis::evidence::statement::Envelope;
use analysis::evidence::{Kind, PublicKey, Signature, signature};
use analysis::verify::{Check, IndexSummary, Known, Verified, Verifier};
use anyhow::Context as _;
use ledger::digest::{Digest, of_reader};

use super::Ask;
use super::drawing::Drawing;
use super::suite_options::Places;
use super::timestamps::{Stamped, Timestamps, Told};
use crate::exit::Exit;
use crate::voice::{print_json, print_text, printable};

/// Options of `palimpsest verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs, by id or unique prefix, or signed files; all runs of the store when none is given
    runs: Vec<String>,
    /// A public key that must have signed each of them; may be repeated
    #[arg(long, value_name = "KEY.pub.pem")]
    key: Vec<PathBuf>,
    /// Digest of the commitment index that was published: the runs must have been promised by then
    #[arg(long, value_name = "DIGEST")]
    head: Option<Digest>,
    /// Commitments published before training, as `palimpsest commit --json` prints them: the runs
    /// must have kept them
    #[arg(long, value_name = "FILE")]
    promised: Option<PathBuf>,
    #[command(flatten)]
    timestamps: Timestamps,
    /// End with 3 where something could not be checked
    #[arg(long)]
    complete: bool,
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args, ask: Ask<'_>) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let (files, names): (Vec<_>, Vec<_>) =
        args.runs.iter().partition(|name| Path::new(name).is_file());
    let cells = if args.runs.is_empty() {
        store.cells()?
    } else {
        names.iter().map(|run| store.find(run)).collect::<Result<_, _>>()?
    };
    let keys = args.key.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>()?;
    let promised = args.promised.as_deref().map(read_promised).transpose()?;
    let of_the_store = files.is_empty() || !names.is_empty();
    let files = files
        .into_iter()
        .map(|file| {
            let checks = check_file(Path::new(file), &keys)?;
            Ok((file.as_str(), Verified { checks, unchecked: Vec::new() }))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let drawing = Drawing::of(ask, &args.places, &cells);
    let draw = |cell: &str| drawing.draw(cell);
    let commitments = promised.as_ref().map(|promised| promised.commitments.clone());
    let known = Known { head: args.head, promised: commitments, keys };
    let verifier = Verifier::knowing(&store, known).drawing(&draw);
    let indexed =
        store.root().join("commitments.jsonl").exists() || !store.merged_indices().is_empty();
    let index = of_the_store && indexed;
    let index = index.then(|| verifier.index());
    let told = timestamps(args, promised.as_ref(), &verifier)?;
    let stamps: Vec<_> = told.iter().map(|told| (told.file.as_str(), told.verified())).collect();
    if cells.is_empty() && files.is_empty() && index.is_none() && stamps.is_empty() {
        anyhow::bail!("there are no runs in {}", store.root().display());
    }
    let runs: Vec<_> = cells.iter().map(|cell| (cell.as_str(), verifier.verify(cell))).collect();
    let head = args.head.and_then(|head| verifier.contains_head(&head).err());
    let all = runs.iter().chain(&files).chain(&stamps).all(|(_, verified)| verified.passed())
        && index.as_ref().is_none_or(Result::is_ok)
        && head.is_none();
    if args.json {
        let row = |kind: &str, (name, verified): &(&str, Verified)| {
            serde_json::json!({
                kind: name, "checks": verified.checks, "unchecked": verified.unchecked,
            })
        };
        print_json(&serde_json::json!({
            "runs": runs.iter().map(|run| row("run", run)).collect::<Vec<_>>(),
            "files": files.iter().map(|file| row("file", file)).collect::<Vec<_>>(),
            "timestamps": told.iter().map(Told::to_json).collect::<Vec<_>>(),
            "index": index.as_ref().and_then(|index| index.as_ref().ok()),
            "head": head,
        }))?;
    } else {
        let all = runs.iter().chain(&files).chain(&stamps);
        all.clone().try_for_each(|(name, verified)| print_checks(name, verified))?;
        print_text(&unchecked_text(&runs))?;
        print_text(&unchecked_text(&stamps))?;
        if let Some(problem) = &head {
            print_text(&format!("commitment index  MISMATCH published head: {problem}\n"))?;
        }
        match &index {
            Some(Ok(summary)) => print_text(&index_text(summary))?,
            Some(Err(problem)) if runs.is_empty() => {
                print_text(&format!("commitment index  MISMATCH {problem}\n"))?;
            }
            _ => {}
        }
    }
    let left = runs.iter().chain(&stamps).any(|(_, verified)| !verified.unchecked.is_empty());
    Ok(match all {
        false => Exit::CheckFailed,
        true if args.complete && left => Exit::NotJudged,
        true => Exit::Fine,
    })
}

fn print_checks(name: &str, verified: &Verified) -> anyhow::Result<()> {
    let name = printable(name);
    let failed: Vec<_> = verified.checks.iter().filter(|check| !check.passed).collect();
    if failed.is_empty() {
        let names: Vec<_> = verified.checks.iter().map(|check| check.name.as_str()).collect();
        print_text(&format!("{name}  verified: {}\n", printable(&names.join(", "))))?;
    }
    for check in failed {
        let (what, detail) = (printable(&check.name), printable(&check.detail));
        print_text(&format!("{name}  MISMATCH {what}: {detail}\n"))?;
    }
    Ok(())
}

/// What could not be checked, each reason once, with the runs that it is about.
fn unchecked_text(runs: &[(&str, Verified)]) -> String {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, verified) in runs {
        for reason in &verified.unchecked {
            reasons.entry(reason).or_default().push(name);
        }
    }
    let lines = reasons.into_iter().map(|(reason, names)| {
        let whose = match names.as_slice() {
            [name] => printable(name),
            several => format!("{} of {} runs", several.len(), runs.len()),
        };
        format!("{whose}  unchecked {}\n", printable(reason))
    });
    lines.collect()
}

/// How many promises there are, and which of them no run keeps.
fn index_text(index: &IndexSummary) -> String {
    let IndexSummary { promises, head, abandoned, repeated, merged, .. } = index;
    let mut text = format!("\ncommitment index: {promises} promises, head {head}\n");
    for head in merged {
        text += &format!("of a store that was merged into this one: head {head}\n");
    }
    if *repeated > 0 {
        text += &format!("{repeated} of them promise again what a run keeps\n");
    }
    if !abandoned.is_empty() {
        text += &format!(
            "{} of them have no run here; if they were abandoned for their results, multiply p-values by {}\n",
            abandoned.len(),
            abandoned.len() + 1
        );
        for line in abandoned {
            text += &format!(
                "  line {}  cell {}  commitment {}\n",
                line.sequence, line.cell, line.commitment
            );
        }
    }
    text
}

/// Timestamps of what was published: the file of --promised, a promise in it, the head, or, without one, any line of the
/// index.
fn timestamps(
    args: &Args,
    promised: Option<&Published>,
    verifier: &Verifier<'_>,
) -> anyhow::Result<Vec<Told>> {
    let published = promised.into_iter().flat_map(|Published { commitments, stamped }| {
        let promises = commitments.iter().map(move |commitment| Stamped {
            what: format!("promise {} of {}", commitment.short(16), stamped.what),
            digest: *commitment,
        });
        std::iter::once(stamped.clone()).chain(promises)
    });
    let head =
        args.head.map(|head| Stamped { what: "the published head".to_owned(), digest: head });
    let expected: Vec<Stamped> = published.chain(head).collect();
    let other = |digest: &Digest| {
        let neither = |last: &str| {
            format!(
                "neither a file given with --promised, nor a promise in it, nor {last} has this digest"
            )
        };
        if args.head.is_some() {
            return Err(neither("the head given"));
        }
        // Of an index that is broken nothing is said but that.
        verifier.index()?;
        verifier
            .promised_until(digest)
            .map(|until| format!("the index with its first {} promises", until.promises))
            .map_err(|_| neither("a line of the index"))
    };
    args.timestamps.check(args.promised.as_deref(), &expected, &other)
}

/// Commitments that were published, and the file that told them.
pub(super) struct Published {
    pub commitments: Vec<Digest>,
    pub stamped: Stamped,
}

/// Commitments out of what `palimpsest commit --json` printed.
///
/// # Errors
/// When the file cannot be read, or holds none.
pub(super) fn read_promised(path: &Path) -> anyhow::Result<Published> {
    #[derive(serde::Deserialize)]
    struct Row {
        commitment: Option<Digest>,
    }
    let text =
        bytes_of_promises(path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows: Vec<Row> = serde_json::from_slice(&text).with_context(|| {
        format!(
            "{} is not a list of commitments, as `palimpsest commit --json` prints it",
            path.display()
        )
    })?;
    // What descends from other runs is promised once they have run.
    let commitments: Vec<Digest> = rows.into_iter().filter_map(|row| row.commitment).collect();
    if commitments.is_empty() {
        anyhow::bail!("{} holds no commitment", path.display());
    }
    let stamped = Stamped { what: path.display().to_string(), digest: Digest::of(&text) };
    Ok(Published { commitments, stamped })
}

/// Largest file of commitments that is read: those of some 10⁵ cells.
const MOST_PROMISED_BYTES: u64 = 64 << 20;

fn bytes_of_promises(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST_PROMISED_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_PROMISED_BYTES {
        let most = format!("it has more than {MOST_PROMISED_BYTES} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, most));
    }
    Ok(bytes)
}

/// The signature beside a file, or inside it where it is an envelope.
fn check_file(file: &Path, keys: &[PublicKey]) -> anyhow::Result<Vec<Check>> {
    let beside = signature::beside(file);
    if !beside.exists()
        && let Some(envelope) = read_envelope(file)
    {
        if keys.is_empty() {
            // An envelope names its key by id only.
            anyhow::bail!(
                "{} is an envelope: give the public key to check it with --key",
                file.display()
            );
        }
        return Ok(check_envelope(&envelope, keys));
    }
    if !beside.exists() {
        anyhow::bail!("{} has no signature: there is no {}", file.display(), beside.display());
    }
    let key = || {
        let text =
            std::fs::read(&beside).map_err(|error| format!("{}: {error}", beside.display()))?;
        let signature: Signature = serde_json::from_slice(&text)
            .map_err(|error| format!("{} is not a signature: {error}", beside.display()))?;
        let (_, digest) = std::fs::File::open(file)
            .and_then(|mut file| of_reader(&mut file))
            .map_err(|error| error.to_string())?;
        signature.check(Kind::File, &digest).map_err(|error| error.to_string())
    };
    let key = key();
    let mut checks = vec![Check {
        name: key.as_ref().map_or_else(
            |_| "signature".to_owned(),
            |key| format!("signature by key {}", key.id().short(16)),
        ),
        passed: key.is_ok(),
        detail: key.as_ref().err().cloned().unwrap_or_default(),
    }];
    checks.extend(keys.iter().map(|wanted| {
        let passed = key.as_ref() == Ok(wanted);
        let detail = if passed { "" } else { "it did not sign this file" };
        let name = format!("signed by given key {}", wanted.id().short(16));
        Check { name, passed, detail: detail.to_owned() }
    }));
    Ok(checks)
}

fn read_envelope(file: &Path) -> Option<Envelope> {
    let small = std::fs::metadata(file).ok()?.len() < super::verify_certificate::MOST_BYTES;
    small
        .then(|| std::fs::read(file).ok())
        .flatten()
        .and_then(|text| serde_json::from_slice(&text).ok())
}

fn check_envelope(envelope: &Envelope, keys: &[PublicKey]) -> Vec<Check> {
    let checks = keys.iter().map(|key| {
        let opened = envelope.open(key);
        let name = format!("envelope signed by given key {}", key.id().short(16));
        let detail = opened.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Check { name, passed: opened.is_ok(), detail }
    });
    checks.collect()
}

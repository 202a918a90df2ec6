//! `palimpsest sign`

use std::path::{Path, PathBuf};

use analysis::evidence::certificate::{Given, verify};
use analysis::evidence::{Certificate, Kind, SecretKey, Signature, signature};
use analysis::imported::refusal;
use analysis::verify::Verifier;
use anyhow::{Context as _, bail};
use ledger::digest::of_reader;
use ledger::record::writer::{SIGNATURES, write_atomic};

use super::Ask;
use super::drawing::Drawing;
use super::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest sign`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, by id or unique prefix; a certificate; or any file
    what: String,
    /// Secret key, as `palimpsest keygen` writes it
    #[arg(long, value_name = "KEY.pem")]
    key: PathBuf,
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
    let key = SecretKey::read(&args.key)?;
    let file = Path::new(&args.what);
    let (kind, path) = if file.is_file() {
        sign_file(file, &key)?
    } else {
        (Kind::Run, sign_run(args, ask, &key)?)
    };
    let id = key.public().id();
    if args.json {
        print_json(&serde_json::json!({ "kind": kind, "signature": path, "key": id }))?;
    } else {
        print_text(&format!(
            "signed {kind} {} by key {}: {}\n",
            args.what,
            id.short(16),
            path.display()
        ))?;
    }
    Ok(Exit::Fine)
}

/// Signs a certificate inside itself, any other file beside it.
fn sign_file(file: &Path, key: &SecretKey) -> anyhow::Result<(Kind, PathBuf)> {
    let cannot = || format!("cannot read {}", file.display());
    let small =
        std::fs::metadata(file).with_context(cannot)?.len() < super::verify_certificate::MOST_BYTES;
    let bytes = if small { std::fs::read(file).with_context(cannot)? } else { Vec::new() };
    if let Ok(mut certificate) = Certificate::read(&bytes) {
        let outcome = verify(&bytes, &Given::default())?;
        if let Some(failed) = outcome.checks.iter().find(|check| !check.passed) {
            bail!(
                "{} does not hold and is not signed: {}: {}",
                file.display(),
                failed.name,
                failed.detail
            );
        }
        certificate.sign(key);
        write_atomic(file, &certificate.to_bytes()?)?;
        return Ok((Kind::Certificate, file.to_owned()));
    }
    let (_, digest) =
        std::fs::File::open(file).and_then(|mut file| of_reader(&mut file)).with_context(cannot)?;
    let path = signature::beside(file);
    write_atomic(&path, &serde_json::to_vec(&Signature::make(key, Kind::File, digest))?)?;
    Ok((Kind::File, path))
}

/// Signs the manifest of a run that verifies; the signature lies in the run folder, outside of the
/// manifest.
fn sign_run(args: &Args, ask: Ask<'_>, key: &SecretKey) -> anyhow::Result<PathBuf> {
    let store = args.places.store();
    let cell = store.find(&args.what)?;
    let what = "its signature would vouch for what nobody here has seen; sign the logs themselves";
    if let Some(refusal) = refusal(&store.record(&cell)?, what) {
        bail!(refusal);
    }
    let drawing = Drawing::of(ask, &args.places, std::slice::from_ref(&cell));
    let draw = |cell: &str| drawing.draw(cell);
    let verified = Verifier::new(&store).drawing(&draw).verify(&cell);
    if let Some(failed) = verified.checks.iter().find(|check| !check.passed) {
        bail!("{cell} does not verify and is not signed: {}: {}", failed.name, failed.detail);
    }
    let (_, digest) = store.manifest(&cell)?;
    let folder = store.folder(&cell).join(SIGNATURES);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let path = folder.join(format!("{}.json", key.public().id().short(16)));
    write_atomic(&path, &serde_json::to_vec(&Signature::make(key, Kind::Run, digest))?)?;
    Ok(path)
}

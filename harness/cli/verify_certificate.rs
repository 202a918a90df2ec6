//! `palimpsest verify-certificate`

mod anew;
mod origin;

use std::path::PathBuf;

use analysis::evidence::PublicKey;
use analysis::evidence::certificate::{Certificate, Given, Role, Verification, verify};
use analysis::verify::Check;
use anyhow::Context as _;
use ledger::record::Store;

use crate::exit::Exit;
use crate::voice::{print_json, print_text};

/// Largest certificate that is read: one of 10,000 epochs has about 1 MB.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Options of `palimpsest verify-certificate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The certificate (JSON)
    certificate: PathBuf,
    /// The file with the order, repeated as in the certificate; with one about a run, its ids must be
    /// the run's
    #[arg(long, value_name = "FILE")]
    order: Vec<PathBuf>,
    /// The file with the positions
    #[arg(long, value_name = "FILE")]
    positions: Option<PathBuf>,
    /// The file with the suspect's scores
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// A file with reference scores; repeat it in the order of the certificate
    #[arg(long, value_name = "FILE")]
    reference: Vec<PathBuf>,
    /// A file with the order of a reference; repeat it in the order of the certificate
    #[arg(long, value_name = "FILE")]
    reference_order: Vec<PathBuf>,
    /// The file with the id of each scored example
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// The file with the unit of each scored example
    #[arg(long, value_name = "FILE")]
    units: Option<PathBuf>,
    /// The file with the block of each scored example
    #[arg(long, value_name = "FILE")]
    blocks: Option<PathBuf>,
    /// A public key that must have signed it; may be repeated
    #[arg(long, value_name = "KEY.pub.pem")]
    key: Vec<PathBuf>,
    /// Folder with the runs that it names
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The HTML page beside it, which must show this certificate and nothing else
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let shown = args.certificate.display();
    let read = |path: &PathBuf| -> anyhow::Result<Vec<u8>> {
        let cannot = || format!("cannot read {}", path.display());
        let size = std::fs::metadata(path).with_context(cannot)?.len();
        if size > MOST_BYTES {
            anyhow::bail!(
                "{} has {size} bytes; a certificate has at most {MOST_BYTES}",
                path.display()
            );
        }
        std::fs::read(path).with_context(cannot)
    };
    let bytes = read(&args.certificate)?;
    let one = |role, file: &Option<PathBuf>| file.clone().map(|path| (role, path));
    let several = |role, files: &[PathBuf]| {
        files.iter().cloned().map(|path| (role, path)).collect::<Vec<_>>()
    };
    let repeated = [
        several(Role::Order, &args.order),
        several(Role::Reference, &args.reference),
        several(Role::ReferenceOrder, &args.reference_order),
    ];
    let files = [
        one(Role::Positions, &args.positions),
        one(Role::Scores, &args.scores),
        one(Role::Ids, &args.ids),
        one(Role::Units, &args.units),
        one(Role::Blocks, &args.blocks),
    ];
    let certificate = Certificate::read(&bytes).with_context(|| shown.to_string())?;
    let mut files: Vec<_> =
        files.into_iter().flatten().chain(repeated.into_iter().flatten()).collect();
    for (_, path) in &files {
        std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    // An order that the certificate names no file of can still be that of its run.
    if certificate.origin.is_some() && certificate.tested.files.is_empty() {
        files.retain(|(role, _)| *role != Role::Order);
    }
    let store = args.store.as_deref().map(Store::at);
    let given = Given {
        files,
        keys: args.key.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?,
        store: store.as_ref(),
        recompute: Some(&anew::finding),
    };
    let mut outcome = verify(&bytes, &given).with_context(|| shown.to_string())?;
    if args.order.is_empty() {
        origin::check(&certificate, None, &mut outcome);
    }
    args.order.iter().for_each(|order| origin::check(&certificate, Some(order), &mut outcome));
    if let Some(page) = &args.page {
        let same = read(page)? == reports::certificate::page(&certificate)?.as_bytes();
        let detail = if same {
            ""
        } else {
            "it is not the page of this certificate: it was changed, or another version drew it"
        };
        let name = format!("page {}", page.display());
        outcome.checks.push(Check { name, passed: same, detail: detail.to_owned() });
    }
    if args.json {
        print_json(&serde_json::json!({
            "certificate": args.certificate,
            "digest": certificate.digest,
            "passed": outcome.passed(),
            "checks": outcome.checks,
            "unchecked": outcome.unchecked,
        }))?;
    } else {
        print_text(&text(&shown.to_string(), &certificate, &outcome))?;
    }
    Ok(if outcome.passed() { Exit::Fine } else { Exit::CheckFailed })
}

/// One line for each check, what is left to check, and what the certificate says.
fn text(shown: &str, certificate: &Certificate, outcome: &Verification) -> String {
    let mut text = String::new();
    for check in &outcome.checks {
        text += &if check.passed {
            format!("ok         {}\n", check.name)
        } else {
            format!("MISMATCH   {}: {}\n", check.name, check.detail)
        };
    }
    for unchecked in &outcome.unchecked {
        text += &format!("unchecked  {unchecked}\n");
    }
    text += &if outcome.passed() {
        format!("\n{shown} holds in all that was checked. It says:\n{}\n", certificate.headline)
    } else {
        format!("\n{shown} does NOT hold; what it says is not to be relied on\n")
    };
    text
}

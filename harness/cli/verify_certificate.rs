//! `palimpsest verify-certificate`

mod anew;
mod origin;
mod plan;

use std::ffi::OsString;
use std::path::PathBuf;

use analysis::evidence::PublicKey;
use analysis::evidence::certificate::{
    Certificate, Given, Rescore, Role, Verification, is_about_the_signer, verify,
};
use analysis::verify::{Check, Draw};
use anyhow::Context as _;
use ledger::record::Store;
use ledger::record::store::is_cell_id;

use super::Ask;
use super::drawing::Drawing;
use super::suite_options::Places;
use super::timestamps::{Stamped, Timestamps, Told};
use super::verify::read_promised;
use crate::exit::Exit;
use crate::voice::{print_json, print_text, printable};

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
    /// Commitments published before training, as `commit --json` or `provenance promise --json` prints them:
    /// the order's must be one of them
    #[arg(long, value_name = "FILE")]
    promised: Option<PathBuf>,
    #[command(flatten)]
    timestamps: Timestamps,
    /// The plan that it names: the test must be one of those declared there
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Folder with the runs that it names
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The HTML page beside it, which must show this certificate and nothing else
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Folder with data sets, for --rescore
    #[arg(long, value_name = "DIR", env = "PALIMPSEST_DATA")]
    data_dir: Option<PathBuf>,
    /// Compute the scores of the store's models anew, and compare
    #[arg(long, requires = "store")]
    rescore: bool,
    /// End with 1 where anything but whose the signing key is could not be checked
    #[arg(long)]
    complete: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args, ask: Ask<'_>) -> anyhow::Result<Exit> {
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
    let places = args
        .store
        .as_ref()
        .map(|store| Places { store: store.clone(), data_dir: args.data_dir.clone() });
    let runs: Vec<String> = certificate.origin.iter().map(|origin| origin.run.clone()).collect();
    let runs: Vec<String> = runs.into_iter().filter(|run| is_cell_id(run)).collect();
    let drawing = places.as_ref().map(|places| Drawing::of(ask, places, &runs));
    let draw = drawing.as_ref().map(|drawing| |cell: &str| drawing.draw(cell));
    let rescore = places.as_ref().filter(|_| args.rescore);
    let rescore = rescore.map(|places| |model: &str, on: &str| again(ask, places, model, on));
    let published = args.promised.as_deref().map(read_promised).transpose()?;
    let stamped = published.as_ref().map(|published| published.stamped.clone());
    let told = timestamps(args, &certificate, stamped)?;
    let head = certificate.origin.as_ref().map(|origin| origin.head);
    let unbound = head.filter(|_| store.is_none());
    let given = Given {
        promised: published.map(|published| published.commitments),
        dated: told.iter().filter_map(Told::trusted).any(|stated| Some(stated.imprint) != unbound),
        draw: draw.as_ref().map(|draw| draw as &Draw<'_>),
        rescore: rescore.as_ref().map(|rescore| rescore as Rescore<'_>),
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
    plan::check(&certificate, args.plan.as_deref(), &mut outcome)?;
    for told in &told {
        let Check { name, passed, detail } = told.check();
        let name = match passed {
            true => format!("timestamp {}: {name}", told.file),
            false => format!("timestamp {}", told.file),
        };
        outcome.checks.push(Check { name, passed, detail });
        outcome.unchecked.extend(told.unchecked());
    }
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
            "recomputed": outcome.recomputed,
            "checks": outcome.checks,
            "unchecked": outcome.unchecked,
        }))?;
    } else {
        print_text(&text(&shown.to_string(), &certificate, &outcome))?;
    }
    let left = outcome.unchecked.iter().any(|what| !is_about_the_signer(what));
    Ok(match outcome.passed() {
        false => Exit::CheckFailed,
        true if args.complete && left => Exit::CheckFailed,
        true if !outcome.recomputed => Exit::NotJudged,
        true => Exit::Fine,
    })
}

/// Timestamps of what the order was promised by: the file of --promised, the promise itself, or the index with it, which
/// only the store shows to be in it.
fn timestamps(
    args: &Args,
    certificate: &Certificate,
    published: Option<Stamped>,
) -> anyhow::Result<Vec<Told>> {
    let stamped = |what: &str, digest| Stamped { what: what.to_owned(), digest };
    let promise = certificate.tested.promise.iter();
    let promise = promise.map(|promise| stamped("the promise", promise.commitment));
    let index = match args.store {
        Some(_) => "the index with it",
        None => {
            "the head that it names (without --store nothing says that the promise is under it)"
        }
    };
    let of_run = certificate.origin.iter().flat_map(|origin| {
        [stamped("the promise", origin.commitment), stamped(index, origin.head)]
    });
    let expected: Vec<_> = published.into_iter().chain(promise).chain(of_run).collect();
    let other =
        |_: &_| Err("nothing that this certificate was promised by has this digest".to_owned());
    args.timestamps.check(args.promised.as_deref(), &expected, &other)
}

/// Has the engine score a model anew and compare with the store.
fn again(ask: Ask<'_>, places: &Places, model: &str, on: &str) -> Result<(), String> {
    let mut arguments: Vec<OsString> =
        ["provenance", "scores", "--check", "--model", model, "--on", on, "--store"]
            .map(OsString::from)
            .to_vec();
    arguments.push(places.store.clone().into());
    if let Some(folder) = &places.data_dir {
        arguments.extend(["--data-dir".into(), folder.clone().into()]);
    }
    ask(&arguments).map(drop).map_err(|error| format!("{error:#}"))
}

/// One line for each check, what is left to check, and what the certificate says.
fn text(shown: &str, certificate: &Certificate, outcome: &Verification) -> String {
    let mut text = String::new();
    for check in &outcome.checks {
        let name = printable(&check.name);
        text += &if check.passed {
            format!("ok         {name}\n")
        } else {
            format!("MISMATCH   {name}: {}\n", printable(&check.detail))
        };
    }
    for unchecked in &outcome.unchecked {
        text += &format!("unchecked  {}\n", printable(unchecked));
    }
    let shown = printable(shown);
    text += &if !outcome.passed() {
        format!("\n{shown} does NOT hold; what it says is not to be relied on\n")
    } else if outcome.recomputed {
        format!("\n{shown} holds in all that was checked. It says:\n{}\n", certificate.headline)
    } else {
        format!(
            "\nnothing of the answer of {shown} was recomputed, and the rest agrees. It says, unchecked:\n{}\n",
            certificate.headline
        )
    };
    text
}

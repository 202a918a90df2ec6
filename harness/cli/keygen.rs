//! `palimpsest keygen`

use std::path::PathBuf;

use analysis::evidence::SecretKey;
use anyhow::Context as _;

use crate::exit::Exit;
use crate::machine;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest keygen`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File for the secret key (PEM, PKCS#8); the public key goes beside it as `.pub.pem`
    #[arg(default_value = "palimpsest.pem")]
    secret: PathBuf,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let public = args.secret.with_extension("pub.pem");
    if public.exists() {
        anyhow::bail!(
            "{} is there already and a key is never overwritten; choose another name",
            public.display()
        );
    }
    let mut seed = [0; 32];
    machine::os_random(&mut seed).context("cannot draw a key from the operating system")?;
    let key = SecretKey::from_seed(&seed);
    key.write(&args.secret)?;
    key.public().write(&public)?;
    let id = key.public().id();
    if args.json {
        print_json(&serde_json::json!({ "secret": args.secret, "public": public, "key": id }))?;
    } else {
        print_text(&format!(
            "secret key  {}  (keep it to yourself; nobody can make it again)\n\
             public key  {}  (give it to those who check)\n\
             key id      {id}\n",
            args.secret.display(),
            public.display()
        ))?;
    }
    Ok(Exit::Fine)
}

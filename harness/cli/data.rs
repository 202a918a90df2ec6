//! `palimpsest data`

use ::data::Sources;
use ::data::fetch::{Event, Fetcher};
use ::data::status::{self, SetStatus, State};
use clap::Subcommand;

use super::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{note, print_json, print_table};

/// Options of `palimpsest data`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show data sets and whether their files are here
    List {
        #[command(flatten)]
        places: Places,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a data set, check it, and put it in the data folder
    Fetch {
        /// Names of data sets
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        places: Places,
    },
    /// Check the files of a data set against their digests; exit 1 when one differs or is missing
    Verify {
        /// Names of data sets; all whose files are here when none is given
        names: Vec<String>,
        #[command(flatten)]
        places: Places,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.verb {
        Verb::List { places, json } => list(&places.sources(), *json),
        Verb::Fetch { names, places } => fetch(names, &places.sources()),
        Verb::Verify { names, places, json } => verify(names, &places.sources(), *json),
    }
}

/// Shows all data sets.
///
/// # Errors
/// When standard output cannot be written.
pub fn list(sources: &Sources, json: bool) -> anyhow::Result<Exit> {
    show(&status::list(sources), json)?;
    Ok(Exit::Fine)
}

fn show(sets: &[SetStatus], json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&sets);
    }
    let rows = sets.iter().map(|set| {
        [
            set.name.to_string(),
            state(&set.state).to_owned(),
            set.what.to_string(),
            set.licence.to_string(),
        ]
    });
    print_table(["data set", "here", "what", "licence"], rows)
}

fn state(state: &State) -> &'static str {
    match state {
        State::Generated => "generated",
        State::Official => "official",
        State::Modified => "modified",
        State::Corrupt => "corrupt",
        State::Absent => "absent",
    }
}

fn fetch(names: &[String], sources: &Sources) -> anyhow::Result<Exit> {
    for name in names {
        let paths = Fetcher::default().fetch(name, sources, &mut |event| match event {
            Event::Failed { url, problem } => note(&format!("{url}: {problem}")),
            Event::Present(_) | Event::Progress { .. } | Event::Done(_) => {}
        })?;
        for path in paths {
            note(&format!("{name}: {}", path.display()));
        }
    }
    Ok(Exit::Fine)
}

fn verify(names: &[String], sources: &Sources, json: bool) -> anyhow::Result<Exit> {
    let mut sets =
        names.iter().map(|name| status::verify(name, sources)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        sets = status::list(sources);
        sets.retain(|set| set.state != State::Absent);
    }
    show(&sets, json)?;
    let sound = sets.iter().all(|set| matches!(set.state, State::Official | State::Generated));
    Ok(if sound { Exit::Fine } else { Exit::CheckFailed })
}

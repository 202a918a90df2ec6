//! `palimpsest doctor`

use ::data::status::{self, State};
use serde::Serialize;

use super::Exit;
use super::suite_options::Places;
use crate::machine;
use crate::voice::{print_json, print_text};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    fine: bool,
    found: String,
    remedy: Option<&'static str>,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let findings = [libtorch(), cuda(), digits(args), store(args), load()];
    if args.json {
        print_json(&findings)?;
    } else {
        for Finding { what, fine, found, remedy } in &findings {
            let mark = if *fine { "ok     " } else { "missing" };
            print_text(&format!("{mark}  {what:<9} {found}\n"))?;
            if let Some(remedy) = remedy {
                print_text(&format!("                   {remedy}\n"))?;
            }
        }
    }
    Ok(if findings.iter().all(|finding| finding.fine) { Exit::Fine } else { Exit::CheckFailed })
}

/// Adds two numbers on libtorch: this binary could not have started without it, but may compute wrongly.
fn libtorch() -> Finding {
    lab::device::prepare_process(1);
    let fine = lab::device::computes();
    let found = format!(
        "{} on {} ({} logical CPUs)",
        lab::device::LIBTORCH_VERSION,
        machine::cpu_model(),
        machine::cpus()
    );
    Finding {
        what: "libtorch",
        fine,
        found,
        remedy: (!fine).then_some("set it up again: just setup"),
    }
}

fn cuda() -> Finding {
    let count = lab::device::cuda_devices();
    let (found, remedy) = match (machine::driver(), count) {
        (Some(driver), 0) => (
            format!("driver {driver}, but no usable device"),
            Some("install the CUDA libraries: just setup cuda"),
        ),
        (Some(driver), count) => (format!("{count} devices, driver {driver}"), None),
        (None, _) => ("no NVIDIA driver; runs use the CPU".to_owned(), None),
    };
    Finding { what: "CUDA", fine: remedy.is_none(), found, remedy }
}

fn digits(args: &Args) -> Finding {
    let sources = args.places.sources();
    let sets = status::list(&sources);
    let here: Vec<_> = sets
        .iter()
        .filter(|set| !matches!(set.state, State::Absent | State::Corrupt))
        .map(|set| set.name.to_string())
        .collect();
    let fine = here.iter().any(|name| name == "digits");
    let found = format!("{} (data folder {})", here.join(", "), sources.data_dir.display());
    Finding {
        what: "data",
        fine,
        found,
        remedy: (!fine).then_some("the quick suite needs digits: just setup"),
    }
}

fn store(args: &Args) -> Finding {
    let store = args.places.store();
    match store.prepare() {
        Ok(()) => {
            let runs = store.cells().map_or(0, |cells| cells.len());
            Finding {
                what: "store",
                fine: true,
                found: format!("{} with {runs} runs", store.root().display()),
                remedy: None,
            }
        }
        Err(error) => Finding {
            what: "store",
            fine: false,
            found: error.to_string(),
            remedy: Some("choose a folder that can be written: --store DIR or PALIMPSEST_STORE"),
        },
    }
}

fn load() -> Finding {
    let load = machine::load();
    let busy = load.is_some_and(|load| load > f64::from(machine::cpus()));
    let found =
        load.map_or_else(|| "unknown".to_owned(), |load| format!("{load:.2} (one-minute average)"));
    Finding {
        what: "load",
        fine: true,
        found,
        remedy: busy.then_some("busier than its cores: timed verdicts would be withheld"),
    }
}

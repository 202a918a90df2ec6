//! `palimpsest doctor`: libtorch and CUDA, then what needs neither.

use palimpsest::cli::doctor::{Args, Finding, conclude, findings};
use palimpsest::exit::Exit;
use palimpsest::machine;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    conclude(&[vec![libtorch(), cuda()], findings(&args.places)].concat(), args.json)
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

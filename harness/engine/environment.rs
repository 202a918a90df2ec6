//! The machine and build as a record describes them.

use ledger::record::format::Environment;
use palimpsest::machine;
use training::clock;

/// What decides the bits of a run beside its code: processor and its instructions, or the GPU.
pub fn trains_on(device: &str) -> String {
    let gpu = device.strip_prefix("cuda:").and_then(|index| machine::gpu(index.parse().ok()?));
    let parts = [Some(machine::cpu_model()), machine::instructions(), gpu];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Describes this machine and build; `device` is the run's, and `code` decided it.
pub fn environment(code: &str, device: &str, threads: u32, argv: &[String]) -> Environment {
    let gpu = device.strip_prefix("cuda:").and_then(|index| machine::gpu(index.parse().ok()?));
    Environment {
        palimpsest: env!("CARGO_PKG_VERSION").to_owned(),
        code_digest: code.to_owned(),
        git_commit: option_env!("PALIMPSEST_GIT_COMMIT").map(str::to_owned),
        git_dirty: option_env!("PALIMPSEST_GIT_DIRTY").map(|dirty| dirty == "true"),
        git_diff_digest: option_env!("PALIMPSEST_GIT_DIFF_DIGEST").map(str::to_owned),
        cargo_lock_digest: env!("PALIMPSEST_CARGO_LOCK_DIGEST").to_owned(),
        libtorch: lab::device::LIBTORCH_VERSION.to_owned(),
        device: device.to_owned(),
        cpu: machine::cpu_model(),
        cpus: machine::cpus(),
        gpu,
        driver: machine::driver(),
        os: machine::kernel(),
        instructions: machine::instructions(),
        threads,
        load_at_start: machine::load(),
        cpu_share: None,
        started_unix: clock::unix_seconds(),
        argv: argv.to_vec(),
        peak_memory_bytes: None,
        scheduler: machine::scheduler(),
    }
}

//! What machine this is, for the record: read once per run, never used to decide a result.

use std::fs;

use lab::clock;
use ledger::record::format::Environment;

/// Describes this machine and build; `device` is the run's.
pub fn environment(device: &str, threads: u32, argv: &[String]) -> Environment {
    let gpu = device.starts_with("cuda").then(gpu).flatten();
    Environment {
        palimpsest: env!("CARGO_PKG_VERSION").to_owned(),
        code_digest: code_digest().to_owned(),
        git_commit: option_env!("PALIMPSEST_GIT_COMMIT").map(str::to_owned),
        git_dirty: option_env!("PALIMPSEST_GIT_DIRTY").map(|dirty| dirty == "true"),
        git_diff_digest: option_env!("PALIMPSEST_GIT_DIFF_DIGEST").map(str::to_owned),
        cargo_lock_digest: env!("PALIMPSEST_CARGO_LOCK_DIGEST").to_owned(),
        libtorch: lab::device::LIBTORCH_VERSION.to_owned(),
        device: device.to_owned(),
        cpu: cpu_model(),
        cpus: cpus(),
        gpu,
        driver: driver(),
        os: kernel(),
        threads,
        load_at_start: load(),
        cpu_share: None,
        started_unix: clock::unix_seconds(),
        argv: argv.to_vec(),
        peak_memory_bytes: None,
    }
}

/// Digest of the code that decides results.
pub fn code_digest() -> &'static str {
    env!("PALIMPSEST_CODE_DIGEST")
}

/// Logical CPUs this process may use.
pub fn cpus() -> u32 {
    std::thread::available_parallelism()
        .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

fn first_line_after(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// CPU model, or `unknown`.
pub fn cpu_model() -> String {
    first_line_after("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned())
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned()
}

/// NVIDIA driver version, when the driver is loaded.
pub fn driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.split_whitespace()
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
}

fn gpu() -> Option<String> {
    let first =
        fs::read_dir("/proc/driver/nvidia/gpus").ok()?.next()?.ok()?.path().join("information");
    first_line_after(&first.to_string_lossy(), "Model")
}

/// One-minute load average.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Processor seconds of this process so far, and its largest resident set in bytes.
#[expect(unsafe_code, reason = "getrusage fills a plain struct that lives on this stack")]
pub fn usage() -> Option<(f64, u64)> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds of a process stay far below 2^52")]
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    let kilobytes = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    Some((seconds(usage.ru_utime) + seconds(usage.ru_stime), kilobytes * 1024))
}

/// Keeps this process on one CPU, so that parallel workers do not push each other around.
#[expect(unsafe_code, reason = "a CPU set on this stack, passed to the kernel by pointer")]
pub fn pin(cpu: usize) {
    unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// 32 bytes at a time from the operating system's generator.
pub fn os_random(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read as _;
    fs::File::open("/dev/urandom")?.read_exact(buffer)
}

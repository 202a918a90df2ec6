//! What machine this is: for the record and for `doctor`, never used to decide a result.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ledger::digest::Digest;
use ledger::record::format::Scheduler;

/// Logical CPUs this process may use.
#[must_use]
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
#[must_use]
pub fn cpu_model() -> String {
    first_line_after("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned())
}

/// The vector instructions that libtorch takes on this processor, by the rule of its dispatcher: the
/// best that the processor has, or what `ATEN_CPU_CAPABILITY` asks for. None where the kernel does not
/// list the processor's flags.
#[must_use]
pub fn instructions() -> Option<String> {
    let flags = first_line_after("/proc/cpuinfo", "flags")?;
    let has = |wanted: &[&str]| {
        wanted.iter().all(|flag| flags.split_whitespace().any(|known| known == *flag))
    };
    let avx2 = has(&["avx2", "fma"]);
    let avx512 = avx2 && has(&["avx512f", "avx512bw", "avx512vl", "avx512dq"]);
    let asked = std::env::var("ATEN_CPU_CAPABILITY").ok();
    Some(match asked.as_deref() {
        Some(asked @ ("default" | "avx2" | "avx512")) => asked.to_owned(),
        _ if avx512 => "avx512".to_owned(),
        _ if avx2 => "avx2".to_owned(),
        _ => "default".to_owned(),
    })
}

/// The job of a scheduler that this process runs in, by the variables that Slurm and Kubernetes set.
#[must_use]
pub fn scheduler() -> Option<Scheduler> {
    scheduler_by(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn scheduler_by(variable: &dyn Fn(&str) -> Option<String>) -> Option<Scheduler> {
    let count = |name: &str| variable(name).and_then(|text| text.parse().ok()).unwrap_or(0_u32);
    if let Some(job) = variable("SLURM_JOB_ID") {
        let array = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
        let job = array.map_or(job, |(array, task)| format!("{array}_{task}"));
        let node = variable("SLURMD_NODENAME");
        let restarts = count("SLURM_RESTART_COUNT");
        return Some(Scheduler { kind: "slurm".to_owned(), job, node, restarts });
    }
    let index = variable("JOB_COMPLETION_INDEX")?;
    let job = variable("PALIMPSEST_JOB").unwrap_or_else(|| "job".to_owned());
    let (kind, node) = ("kubernetes".to_owned(), variable("PALIMPSEST_NODE"));
    // Kubernetes starts another pod under the same index and does not say how often it has.
    Some(Scheduler { kind, job: format!("{job}_{index}"), node, restarts: 0 })
}

/// Operating system and kernel release.
#[must_use]
pub fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned()
}

/// NVIDIA driver version, when the driver is loaded.
#[must_use]
pub fn driver() -> Option<String> {
    let text = fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    text.split_whitespace()
        .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
}

/// Model of the NVIDIA GPU that libtorch calls `cuda:index`: by its place on the bus where the environment says that
/// GPUs are numbered so, else of the first.
#[must_use]
pub fn gpu(index: usize) -> Option<String> {
    let entries = fs::read_dir("/proc/driver/nvidia/gpus").ok()?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    let variable = |name: &str| std::env::var(name).ok();
    let place = match variable("CUDA_DEVICE_ORDER").as_deref() {
        Some("PCI_BUS_ID") => place_on_bus(index, variable("CUDA_VISIBLE_DEVICES").as_deref()),
        _ => None,
    };
    let information = folders.get(place.unwrap_or(0))?.join("information");
    first_line_after(&information.to_string_lossy(), "Model")
}

/// The number on the bus of the visible device `index`; none where devices are named in another way.
fn place_on_bus(index: usize, visible: Option<&str>) -> Option<usize> {
    match visible {
        None => Some(index),
        Some(list) => list.split(',').nth(index)?.trim().parse().ok(),
    }
}

/// Bytes of memory that processes can still have without swapping.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let line = first_line_after("/proc/meminfo", "MemAvailable:")?;
    line.strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What a run's record does not tell of a machine's speed, by name: memory, instruction set,
/// governor, limits of a container.
#[must_use]
pub fn speed_parts() -> BTreeMap<String, String> {
    let text = |file: &str| {
        let text = fs::read_to_string(file).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let gibibytes = |text: String| {
        let kibibytes = text.strip_suffix(" kB")?.trim().parse::<u64>().ok()?;
        // Kernels keep a few megabytes of their own, not always as many.
        Some(format!("{} GiB", (kibibytes + (1 << 19)) >> 20))
    };
    let flags = |text: String| {
        let mut flags: Vec<&str> = text.split_whitespace().collect();
        flags.sort_unstable();
        Digest::of(flags.join(" ").as_bytes()).short(12)
    };
    let parts = [
        ("memory", first_line_after("/proc/meminfo", "MemTotal:").and_then(gibibytes)),
        ("flags", first_line_after("/proc/cpuinfo", "flags").map(flags)),
        ("governor", text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        ("cpu limit", text("/sys/fs/cgroup/cpu.max")),
        ("memory limit", text("/sys/fs/cgroup/memory.max")),
    ];
    parts.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))).collect()
}

/// One-minute load average.
#[must_use]
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
    Some(cost(&usage))
}

/// Processor seconds, and the largest resident set in bytes.
fn cost(usage: &libc::rusage) -> (f64, u64) {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a process stay far below 2^52")]
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    let kilobytes = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    (seconds(usage.ru_utime) + seconds(usage.ru_stime), kilobytes * 1024)
}

/// Keeps this process on the CPU at `index` of those it may use, so that parallel workers do not
/// push each other around. Does nothing where the kernel refuses.
#[expect(unsafe_code, reason = "CPU sets on this stack, passed to the kernel by pointer")]
pub fn pin(index: usize) {
    let size = std::mem::size_of::<libc::cpu_set_t>();
    unsafe {
        let mut allowed = std::mem::zeroed::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size, &raw mut allowed) != 0 {
            return;
        }
        let mut cpus = (0..8 * size).filter(|cpu| libc::CPU_ISSET(*cpu, &allowed));
        if let Some(cpu) = cpus.nth(index) {
            let mut only = std::mem::zeroed::<libc::cpu_set_t>();
            libc::CPU_SET(cpu, &mut only);
            libc::sched_setaffinity(0, size, &raw const only);
        }
    }
}

/// Ends this process when the one that started it ends, however that is. Does nothing where the kernel
/// refuses.
#[expect(unsafe_code, reason = "prctl takes a number here and touches no memory")]
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

/// How a child ended, what it and those it waited for cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// Its exit status; none where a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Processor seconds.
    pub cpu_seconds: f64,
    /// Largest resident set in bytes.
    pub peak_memory_bytes: u64,
}

/// Has a command's process end with this one, in a process group of its own.
#[expect(unsafe_code, reason = "between fork and exec nothing but two system calls is made")]
pub fn bind_to_this(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    let parent = std::process::id();
    command.process_group(0);
    unsafe {
        command.pre_exec(move || {
            end_with_parent();
            // It may have ended before the kernel was asked.
            if libc::getppid().cast_unsigned() == parent {
                return Ok(());
            }
            Err(std::io::ErrorKind::BrokenPipe.into())
        });
    }
}

/// Whether a child of this process is over; it stays to be collected.
#[expect(unsafe_code, reason = "waitid fills a plain struct that lives on this stack")]
#[must_use]
pub fn is_over(child: u32) -> bool {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    unsafe {
        libc::waitid(libc::P_PID, child, info.as_mut_ptr(), how) != 0
            || info.assume_init().si_pid() != 0
    }
}

/// Whether a signal is one by which somebody ends a process, and none that a fault of the process brings about.
#[must_use]
pub fn is_an_order(signal: i32) -> bool {
    [libc::SIGHUP, libc::SIGINT, libc::SIGKILL, libc::SIGTERM].contains(&signal)
}

/// Whether `file`, a pipe or the like, can be read at once or within this time; so it can where its other end
/// is closed.
///
/// # Errors
/// When the kernel cannot tell.
#[expect(unsafe_code, reason = "poll takes one plain struct that lives on this stack")]
pub fn is_readable(file: &fs::File, within: std::time::Duration) -> std::io::Result<bool> {
    use std::os::fd::AsRawFd as _;
    let mut asked = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    match unsafe { libc::poll(&raw mut asked, 1, within) } {
        0 => Ok(false),
        1.. => Ok(true),
        _ => {
            let error = std::io::Error::last_os_error();
            if error.kind() == std::io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
        }
    }
}

/// The largest resident set that a running process has had since it became the program that it is, in
/// bytes; what the kernel tells of an ended one includes that of the process that started it.
#[must_use]
pub fn peak_of(process: u32) -> Option<u64> {
    let line = first_line_after(&format!("/proc/{process}/status"), "VmHWM:")?;
    line.strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Processor seconds of a running process so far, and of those that it waited for.
#[must_use]
pub fn processor_seconds_of(process: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    seconds_of(&text, ticks_per_second()?)
}

/// Processor seconds of a line as `/proc/PID/stat` has it.
fn seconds_of(stat: &str, ticks_per_second: f64) -> Option<f64> {
    // The name before the last bracket is the program's to choose, spaces and brackets too.
    let after = stat.rsplit_once(')')?.1;
    let mut fields = after.split_whitespace().skip(11);
    // utime, stime, cutime, cstime: fields 14 to 17, where the name is the second.
    let mut ticks = 0.0;
    for _ in 0..4 {
        ticks += fields.next()?.parse::<f64>().ok()?;
    }
    Some(ticks / ticks_per_second)
}

#[expect(unsafe_code, reason = "sysconf takes and gives a number")]
fn ticks_per_second() -> Option<f64> {
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let ticks = i32::try_from(ticks).ok()?;
    (ticks > 0).then(|| f64::from(ticks))
}

/// Kills a child that leads a process group, with all of the group, and collects it.
#[expect(unsafe_code, reason = "kill takes numbers; wait4 fills a plain struct on this stack")]
pub fn end_group(child: u32) -> Option<Ended> {
    let child = i32::try_from(child).ok().filter(|child| *child > 1)?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // Until it is collected, the number of a child is nobody else's.
    let usage = unsafe {
        libc::kill(-child, libc::SIGKILL);
        if libc::wait4(child, &raw mut status, 0, usage.as_mut_ptr()) != child {
            return None;
        }
        usage.assume_init()
    };
    let (cpu_seconds, peak_memory_bytes) = cost(&usage);
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    Some(Ended { code, signal, cpu_seconds, peak_memory_bytes })
}

/// Asks a child to end, politely. The caller has not collected it yet: until then its number is nobody else's.
#[expect(unsafe_code, reason = "kill takes two numbers")]
pub fn ask_to_end(child: u32) {
    if let Some(child) = i32::try_from(child).ok().filter(|child| *child > 1) {
        unsafe {
            libc::kill(child, libc::SIGTERM);
        }
    }
}

/// Ends this process at once. What libtorch would tear down on the way out is in use by the thread that
/// trains, so that an ordinary exit from another thread crashes.
#[expect(unsafe_code, reason = "_exit takes a number and does not return")]
pub fn end_now(code: i32) -> ! {
    unsafe { libc::_exit(code) }
}

/// 32 bytes at a time from the operating system's generator.
///
/// # Errors
/// When it cannot be read.
pub fn os_random(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read as _;
    fs::File::open("/dev/urandom")?.read_exact(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_behind_a_name_with_brackets_and_of_children_too() {
        let line = "7 (a) 9 (b) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 20 30 20 0 1 0 88";
        assert_eq!(seconds_of(line, 100.0), Some(2.5));
        assert_eq!(seconds_of("7 (short) S 1 x", 100.0), None);
        assert_eq!(seconds_of("no name", 100.0), None);
    }

    #[test]
    fn a_visible_device_is_the_one_that_the_environment_lists_at_its_place() {
        assert_eq!(place_on_bus(2, None), Some(2));
        assert_eq!(place_on_bus(1, Some("6, 4")), Some(4));
        assert_eq!(place_on_bus(0, Some("GPU-8a1b")), None);
        assert_eq!(place_on_bus(2, Some("6,4")), None);
    }
}

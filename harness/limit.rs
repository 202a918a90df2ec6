//! Time limits: as they are given, and children that keep them.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::Duration;

/// A limit such as `90`, `90s`, `10m` or `2h`.
///
/// # Errors
/// When it is none, or nothing.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wanted = || format!("\"{text}\" is no time limit: write seconds, or 90s, 10m, 2h");
    let (number, unit) = match text.char_indices().last() {
        Some((place, 's')) => (&text[..place], 1),
        Some((place, 'm')) => (&text[..place], 60),
        Some((place, 'h')) => (&text[..place], 3600),
        _ => (text, 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match seconds {
        // A century is a slip.
        Some(seconds) if (1..=3_000_000_000).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(wanted()),
    }
}

/// The limit in words.
#[must_use]
pub fn shown(limit: Duration) -> String {
    match limit.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// Makes what the command starts die with this process, and killable as a whole.
#[expect(unsafe_code, reason = "one system call between fork and exec, which allocates nothing")]
pub fn bind(command: &mut Command) {
    command.process_group(0);
    #[cfg(target_os = "linux")]
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Kills a child that was bound, by its id, and what it has started.
#[expect(unsafe_code, reason = "a system call on two numbers")]
pub fn kill(id: u32) {
    if let Ok(group) = i32::try_from(id) {
        unsafe {
            libc::kill(-group, libc::SIGKILL);
        }
    }
}

/// Runs the command to its end, or kills it and all that it has started after `limit`: then `None`.
///
/// # Errors
/// When it cannot be started.
pub fn output(mut command: Command, limit: Duration) -> io::Result<Option<Output>> {
    bind(&mut command);
    let child = command.spawn()?;
    let id = child.id();
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = send.send(child.wait_with_output());
    });
    match ended.recv_timeout(limit) {
        Ok(output) => output.map(Some),
        Err(_) => {
            kill(id);
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn piped(command: &mut Command) {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    }

    #[test]
    fn limits_are_seconds_minutes_or_hours_and_never_nothing() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for none in ["", "0", "-1", "s", "1.5m", "10 m", "1d", "99999999999999999999h"] {
            assert!(parse(none).is_err(), "{none}");
        }
        assert_eq!(shown(Duration::from_secs(5400)), "90 min");
    }

    #[test]
    fn a_child_that_hangs_is_killed_with_what_it_has_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; sleep 1000"]);
        piped(&mut command);
        assert!(output(command, Duration::from_secs(1)).unwrap().is_none());
        let mut quick = Command::new("sh");
        quick.args(["-c", "echo said; exit 3"]);
        piped(&mut quick);
        let ended = output(quick, Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(3), &b"said\n"[..]));
    }
}

//! Slurm: an array job with a task for each part. Only `sbatch`, `squeue` and `scancel` are called:
//! accounting (`sacct`) is not there everywhere, and what came of a part stands in its store anyway.

use std::collections::BTreeMap;
use std::path::Path;
use std::process;

use analysis::suite::ExecutorUse;
use anyhow::{Context as _, bail};

use super::Command;
use crate::voice::quoted;

/// Most parts of a job: what a controller takes as an array unless told otherwise.
pub const MOST_PARTS: u32 = 1000;
/// Seconds between the polite signal and the end, at a time limit and when a job must make room.
const GRACE_SECONDS: u32 = 60;

/// What is handed in: the tasks of an array, each with a part.
///
/// # Errors
/// When a folder has a name that the scheduler's lines cannot hold.
pub fn script(
    name: &str,
    folder: &Path,
    command: &Command,
    parts: u32,
    wanted: &ExecutorUse,
) -> anyhow::Result<String> {
    let place = |path: &Path| {
        let text = path.to_string_lossy().into_owned();
        if text.contains(['"', '\\', '\n', '\r', '%']) {
            bail!(
                "{text:?} cannot stand in a script for Slurm; take a folder without \" \\ % or line ends"
            );
        }
        Ok(text)
    };
    let (here, folder) = (place(&command.folder)?, place(folder)?);
    let at_once = wanted.at_once.map_or_else(String::new, |most| format!("%{most}"));
    let mut lines = vec![
        format!("--job-name=palimpsest-{name}"),
        format!("--array=1-{parts}{at_once}"),
        format!("--chdir=\"{here}\""),
        format!("--output=\"{folder}/part-%a.log\""),
        "--open-mode=append".to_owned(),
        "--requeue".to_owned(),
        format!("--signal=B:TERM@{GRACE_SECONDS}"),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", wanted.cpus.unwrap_or(1)),
    ];
    let words = [
        ("partition", &wanted.partition),
        ("account", &wanted.account),
        ("qos", &wanted.qos),
        ("constraint", &wanted.constraint),
        ("time", &wanted.time),
        ("mem", &wanted.memory),
    ];
    let words = words.into_iter().filter_map(|(key, word)| Some((key, word.as_ref()?)));
    lines.extend(words.map(|(key, word)| format!("--{key}=\"{word}\"")));
    let gpus = wanted.gpus.filter(|gpus| *gpus > 0);
    lines.extend(gpus.map(|gpus| format!("--gres=gpu:{gpus}")));
    let mut text = "#!/bin/bash\n".to_owned();
    for line in lines {
        text += &format!("#SBATCH {line}\n");
    }
    text += "set -euo pipefail\n";
    if !wanted.modules.is_empty() {
        // The function of most sites reads variables that are not set.
        text += &format!("set +u; module load {}; set -u\n", wanted.modules.join(" "));
    }
    let within = match &wanted.container {
        Some(image) => {
            let nv = if gpus.is_some() { "--nv " } else { "" };
            format!("apptainer exec {nv}{image} ")
        }
        None => String::new(),
    };
    let shard = format!("\"$SLURM_ARRAY_TASK_ID/{parts}\"");
    let store = format!("{}\"$SLURM_ARRAY_TASK_ID\"", quoted(&format!("{folder}/part-")));
    // The signals reach the program itself, and its answer is the task's.
    text += &format!("exec {within}{}\n", command.line(&shard, &store));
    Ok(text)
}

/// A task that the scheduler has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Whether it runs, and does not wait.
    pub runs: bool,
    /// Where it runs, or why it waits.
    pub why: String,
}

/// Hands a script in, or only these parts of it; the scheduler's id of the array.
///
/// # Errors
/// When `sbatch` is not there or refuses, with its words.
pub fn submit(script: &Path, parts: Option<&[u32]>) -> anyhow::Result<String> {
    let mut command = process::Command::new("sbatch");
    command.arg("--parsable");
    if let Some(parts) = parts {
        let list: Vec<String> = parts.iter().map(u32::to_string).collect();
        command.arg(format!("--array={}", list.join(",")));
    }
    let said = ask(command.arg(script))?;
    // `ID`, or `ID;CLUSTER`.
    let id = said.trim().split(';').next().unwrap_or_default();
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("sbatch answered {:?}, which is no job", said.trim());
    }
    Ok(id.to_owned())
}

/// The tasks of arrays that wait or run, by part. None of an array that the scheduler has forgotten.
///
/// # Errors
/// When the scheduler does not answer.
pub fn alive(arrays: &[&str]) -> anyhow::Result<BTreeMap<u32, Task>> {
    let mut tasks = BTreeMap::new();
    for array in arrays {
        let mut command = process::Command::new("squeue");
        let said = ask(command.args(["-h", "-r", "-j", array, "-o", "%K|%t|%N|%r"]));
        match said {
            Ok(said) => tasks.extend(said.lines().filter_map(task)),
            Err(error) if format!("{error:#}").contains("Invalid job id") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tasks)
}

/// A line of `squeue`.
fn task(line: &str) -> Option<(u32, Task)> {
    let mut fields = line.trim().splitn(4, '|');
    let part = fields.next()?.parse().ok()?;
    let (state, node, reason) = (fields.next()?, fields.next()?, fields.next()?);
    // Completing tasks have ended; their nodes are being cleaned.
    if state == "CG" {
        return None;
    }
    let runs = state == "R";
    let why = if runs { node } else { reason };
    Some((part, Task { runs, why: why.to_owned() }))
}

/// Takes arrays back.
///
/// # Errors
/// When `scancel` is not there or refuses.
pub fn cancel(arrays: &[&str]) -> anyhow::Result<()> {
    ask(process::Command::new("scancel").args(arrays)).map(|_| ())
}

fn ask(command: &mut process::Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(process::Stdio::null()).output();
    let output = output.with_context(|| {
        format!("cannot start {name}; run this where Slurm's commands are, such as a login node")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command {
            program: "/opt/my programs/palimpsest".into(),
            arguments: vec!["run".to_owned(), "'my suite.yaml'".to_owned()],
            folder: "/home/me/my work".into(),
        }
    }

    #[test]
    fn a_script_says_all_that_was_asked_for_and_nothing_else() {
        let wanted = ExecutorUse {
            partition: Some("main".to_owned()),
            time: Some("1:30:00".to_owned()),
            gpus: Some(1),
            at_once: Some(4),
            modules: vec!["cuda/12.8".to_owned(), "gcc".to_owned()],
            container: Some("image.sif".to_owned()),
            ..ExecutorUse::default()
        };
        let made = script("x-1", Path::new("/s/jobs/x-1"), &command(), 8, &wanted).unwrap();
        assert_eq!(
            made,
            "\
#!/bin/bash
#SBATCH --job-name=palimpsest-x-1
#SBATCH --array=1-8%4
#SBATCH --chdir=\"/home/me/my work\"
#SBATCH --output=\"/s/jobs/x-1/part-%a.log\"
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --partition=\"main\"
#SBATCH --time=\"1:30:00\"
#SBATCH --gres=gpu:1
set -euo pipefail
set +u; module load cuda/12.8 gcc; set -u
exec apptainer exec --nv image.sif '/opt/my programs/palimpsest' run 'my suite.yaml' --shard \"$SLURM_ARRAY_TASK_ID/8\" --store /s/jobs/x-1/part-\"$SLURM_ARRAY_TASK_ID\"
"
        );
    }

    #[test]
    fn a_folder_that_would_end_a_line_is_refused() {
        for folder in ["/a\nb", "/a\"b", "/a%jb"] {
            let wanted = ExecutorUse::default();
            assert!(
                script("x-1", Path::new(folder), &command(), 2, &wanted).is_err(),
                "{folder:?}"
            );
        }
    }

    #[test]
    fn lines_of_the_queue_tell_what_runs_where_and_why_the_rest_waits() {
        let runs = Task { runs: true, why: "node7".to_owned() };
        assert_eq!(task("3|R|node7|None"), Some((3, runs)));
        let waits = Task { runs: false, why: "Resources".to_owned() };
        assert_eq!(task("4|PD||Resources"), Some((4, waits)));
        assert_eq!(task("5|CG|node7|None"), None);
        assert_eq!(task("N/A|R|node7|None"), None);
        assert_eq!(task(""), None);
    }
}

//! Kubernetes: an Indexed Job with a pod for each part, which the user applies. The volume is mounted
//! where this machine has the store, so that all paths mean the same.

use std::path::Path;

use analysis::suite::ExecutorUse;
use anyhow::Context as _;
use serde_json::{Value, json};

use super::Command;
use crate::voice::quoted;

/// The image that `Dockerfile` makes.
const IMAGE: &str = "palimpsest:latest";
/// The claim of the store's volume where none is named.
const VOLUME: &str = "palimpsest-store";

/// The manifest, as JSON that is YAML too. An index that fails is started again, but not where the
/// program says that its command is wrong (2), or has recorded what failed (4); pods that the cluster itself takes away do not count.
///
/// # Errors
/// When the store's folder cannot be found.
pub fn manifest(
    name: &str,
    store: &Path,
    folder: &Path,
    command: &Command,
    parts: u32,
    wanted: &ExecutorUse,
) -> anyhow::Result<Value> {
    let absolute = |path: &Path| {
        let path = std::path::absolute(path);
        let path = path.with_context(|| format!("cannot tell where {} is", store.display()))?;
        Ok::<_, anyhow::Error>(path.to_string_lossy().into_owned())
    };
    let (root, folder) = (absolute(store)?, absolute(folder)?);
    // Indices count from 0.
    let shard = format!("\"$((JOB_COMPLETION_INDEX + 1))/{parts}\"");
    let own = format!("{}\"$((JOB_COMPLETION_INDEX + 1))\"", quoted(&format!("{folder}/part-")));
    let log =
        format!("{}\"$((JOB_COMPLETION_INDEX + 1)).log\"", quoted(&format!("{folder}/part-")));
    let inner = Command { program: "palimpsest".into(), ..command.clone() };
    let line = format!("exec {} >> {log} 2>&1", inner.line(&shard, &own));
    let mut limits = json!({ "cpu": wanted.cpus.unwrap_or(1).to_string() });
    if let Some(memory) = &wanted.memory {
        // Slurm's `4G` is Kubernetes' `4Gi`.
        let binary = memory.ends_with(|letter: char| letter.is_ascii_alphabetic());
        limits["memory"] = json!(if binary { format!("{memory}i") } else { format!("{memory}Mi") });
    }
    if let Some(gpus) = wanted.gpus.filter(|gpus| *gpus > 0) {
        limits["nvidia.com/gpu"] = json!(gpus.to_string());
    }
    let mut metadata =
        json!({ "name": format!("palimpsest-{}", name.to_lowercase().replace(['_', '.'], "-")) });
    if let Some(namespace) = &wanted.namespace {
        metadata["namespace"] = json!(namespace);
    }
    let retries = wanted.retries.unwrap_or(3);
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": parts,
            "parallelism": wanted.at_once.unwrap_or(parts).min(parts),
            "backoffLimitPerIndex": retries,
            "maxFailedIndexes": parts,
            "podFailurePolicy": { "rules": [
                // Up to 1.34 a condition's status has no default.
                { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                { "action": "FailIndex", "onExitCodes": { "operator": "In", "values": [2, 4] } },
            ] },
            "template": { "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "part",
                    "image": wanted.container.as_deref().unwrap_or(IMAGE),
                    "command": ["/bin/bash", "-c", line],
                    "workingDir": command.folder.to_string_lossy(),
                    "env": [
                        { "name": "PALIMPSEST_JOB", "value": name },
                        { "name": "PALIMPSEST_NODE", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
                    ],
                    "resources": { "limits": limits },
                    "volumeMounts": [{ "name": "store", "mountPath": root }],
                }],
                "volumes": [{
                    "name": "store",
                    "persistentVolumeClaim": { "claimName": wanted.volume.as_deref().unwrap_or(VOLUME) },
                }],
            } },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(wanted: &ExecutorUse) -> Value {
        let command = Command {
            program: "/elsewhere/palimpsest-engine".into(),
            arguments: vec!["run".to_owned(), "digits".to_owned()],
            folder: "/work here".into(),
        };
        let (store, folder) = (Path::new("/runs"), Path::new("/runs/jobs/digits-1"));
        manifest("Digits_1", store, folder, &command, 5, wanted).unwrap()
    }

    #[test]
    fn every_index_has_a_part_and_a_store_of_its_own() {
        let job = made(&ExecutorUse { at_once: Some(9), ..ExecutorUse::default() });
        assert_eq!(job["metadata"]["name"], "palimpsest-digits-1");
        let spec = &job["spec"];
        assert_eq!((&spec["completions"], &spec["parallelism"]), (&json!(5), &json!(5)));
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(
            container["command"][2],
            "exec palimpsest run digits --shard \"$((JOB_COMPLETION_INDEX + 1))/5\" \
             --store /runs/jobs/digits-1/part-\"$((JOB_COMPLETION_INDEX + 1))\" \
             >> /runs/jobs/digits-1/part-\"$((JOB_COMPLETION_INDEX + 1)).log\" 2>&1"
        );
        assert_eq!(container["workingDir"], "/work here");
        assert_eq!(container["volumeMounts"][0]["mountPath"], "/runs");
        assert_eq!(container["resources"]["limits"], json!({ "cpu": "1" }));
    }

    #[test]
    fn what_is_asked_for_stands_where_kubernetes_looks_for_it() {
        let job = made(&ExecutorUse {
            memory: Some("4G".to_owned()),
            gpus: Some(2),
            cpus: Some(3),
            retries: Some(7),
            namespace: Some("lab".to_owned()),
            volume: Some("mine".to_owned()),
            container: Some("registry/image:1".to_owned()),
            ..ExecutorUse::default()
        });
        let pod = &job["spec"]["template"]["spec"];
        let limits = json!({ "cpu": "3", "memory": "4Gi", "nvidia.com/gpu": "2" });
        assert_eq!(pod["containers"][0]["resources"]["limits"], limits);
        assert_eq!(pod["containers"][0]["image"], "registry/image:1");
        assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "mine");
        assert_eq!(job["metadata"]["namespace"], "lab");
        assert_eq!(job["spec"]["backoffLimitPerIndex"], 7);
        // An index that may fail needs pods that are never restarted in place.
        assert_eq!(pod["restartPolicy"], "Never");
    }
}

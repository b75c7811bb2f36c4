//! An indexed Job: a pod for each item, with no right but to read and write the volumes.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::{getegid, geteuid};
use serde_json::{Value, json};

use super::args::Args;
use super::plan::{Plan, about};
use super::script::{TRIES, memory};
use crate::show::Escaped;
use crate::stop::{Step, Stop};

/// Pods of an indexed Job at most, where each has a number of tries of its own.
const MOST: u64 = 100_000;
/// Pods at once, if the plan does not say.
const AT_ONCE: u64 = 10;
/// Nobody, as in the container image.
const NOBODY: u32 = 65532;
/// What the container is called in messages of the cluster.
const CONTAINER: &str = "instar";

/// The manifest, as JSON, which is YAML too.
pub(super) fn job(args: &Args, plan: &mut Plan, place: &str) -> Step<String> {
    let image = args.image.as_deref().and_then(std::ffi::OsStr::to_str);
    let (Some(image), false) = (image, args.claims.is_empty()) else {
        return Err(Stop::Misuse(
            b"--kubernetes needs --image REFERENCE and at least one --claim NAME:PATH".to_vec(),
        ));
    };
    if plan.head.items == 0 || plan.head.items > MOST {
        let why = format!(
            "the plan has {} items, and a Job takes 1 to {MOST}",
            plan.head.items
        );
        return Err(about(&plan.path, &why));
    }
    on_claims(args, plan, place)?;
    let head = &plan.head;
    let at_once = head.in_flight.unwrap_or(AT_ONCE).min(head.items);
    let name = format!("instar-fleet-{}", head.id);
    let labels = json!({ "app.kubernetes.io/name": "instar-fleet", "app.kubernetes.io/instance": head.id });
    let manifest = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "labels": labels },
        "spec": {
            "completionMode": "Indexed",
            "completions": head.items,
            "parallelism": at_once,
            "backoffLimitPerIndex": TRIES.saturating_sub(1),
            "maxFailedIndexes": head.items,
            // A pod that a cluster takes away is no failure of its item; one that refuses an image is the end of it.
            "podFailurePolicy": { "rules": [
                { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
                {
                    "action": "FailIndex",
                    "onExitCodes": { "containerName": CONTAINER, "operator": "In", "values": [1] },
                },
            ] },
            "template": {
                "metadata": { "labels": labels },
                "spec": pod(args, head.lanes.unwrap_or(1), image, place, memory(head)),
            },
        },
    });
    let mut text = serde_json::to_string_pretty(&manifest).map_err(|error| Stop::say(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

fn pod(args: &Args, lanes: u64, image: &str, plan: &str, memory: u64) -> Value {
    let (user, group) = match geteuid().is_root() {
        true => (NOBODY, NOBODY),
        false => (geteuid().as_raw(), getegid().as_raw()),
    };
    let names: BTreeMap<&str, String> = args
        .claims
        .iter()
        .zip(0..)
        .map(|(claim, number)| (claim.name.as_str(), format!("images-{number}")))
        .collect();
    let mounts: Vec<Value> = args
        .claims
        .iter()
        .map(|claim| json!({ "name": names[claim.name.as_str()], "mountPath": claim.path }))
        .collect();
    let volumes: Vec<Value> = names
        .iter()
        .map(|(claim, name)| json!({ "name": name, "persistentVolumeClaim": { "claimName": claim } }))
        .collect();
    let memory = format!("{memory}Mi");
    json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": user,
            "runAsGroup": group,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": CONTAINER,
            "image": image,
            // The number of the item is in the environment, under JOB_COMPLETION_INDEX.
            "args": ["fleet", "run", plan],
            "resources": {
                "requests": { "cpu": lanes.to_string(), "memory": memory },
                "limits": { "memory": memory },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    })
}

/// Refuses a plan with a file that a pod would not see.
fn on_claims(args: &Args, plan: &mut Plan, place: &str) -> Step<()> {
    let mut files = vec![place.to_owned()];
    files.extend(plan.head.whole.iter().filter_map(|whole| whole.hidden.clone()));
    for item in plan.all()? {
        files.extend([item.source, item.target]);
    }
    let lost = files.iter().find(|file| {
        !args
            .claims
            .iter()
            .any(|claim| Path::new(file).starts_with(&claim.path))
    });
    match lost {
        None => Ok(()),
        Some(file) => Err(Stop::say(format!(
            "'{}' is not on a volume of --claim, so that no pod would find it; the volumes must be mounted here where they are mounted there",
            Escaped(file.as_bytes())
        ))),
    }
}

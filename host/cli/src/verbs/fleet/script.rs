//! `fleet script`: what an engine is given, for those who want no library of it.

use super::args::Args;
use super::choice::Engine;
use super::lay::{absolute, text};
use super::plan::{Head, Plan};
use super::script_kubernetes;
use crate::run::Context;
use crate::stop::{Step, Stop};

/// How often an item is tried before a script gives up.
pub(super) const TRIES: u64 = 4;
/// Elements of a job array that Slurm takes without being configured for more.
const ARRAY: u64 = 1000;
/// What a conversion takes beside the memory of its sandbox, at most. Ours.
const BESIDE: u64 = 128 << 20;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let mut plan = Plan::open(args.plan())?;
    let place = text(&absolute(plan.path.as_os_str())?)?;
    let engine = args
        .engine
        .ok_or_else(|| Stop::Misuse(b"Expecting one of --slurm, --kubernetes and --parallel".to_vec()))?;
    if engine != Engine::Kubernetes && (args.image.is_some() || !args.claims.is_empty()) {
        return Err(Stop::Misuse(b"--image and --claim are for --kubernetes".to_vec()));
    }
    let text = match engine {
        Engine::Slurm => slurm(&plan.head, &place),
        Engine::Parallel => parallel(&plan.head, &place),
        Engine::Kubernetes => script_kubernetes::job(args, &mut plan, &place)?,
    };
    context.console.print(text.as_bytes());
    Ok(0)
}

/// Memory that an item is given, in MiB.
pub(super) fn memory(head: &Head) -> u64 {
    head.memory.saturating_add(BESIDE).div_ceil(1 << 20)
}

fn slurm(head: &Head, plan: &str) -> String {
    let items = head.items;
    let elements = items.min(ARRAY);
    let last = elements.saturating_sub(1);
    let at_once = head.in_flight.map_or_else(String::new, |most| format!("%{most}"));
    let (lanes, memory) = (head.lanes.unwrap_or(1), memory(head));
    let plan = quoted(plan);
    format!(
        r#"#!/bin/bash
#SBATCH --job-name=instar-fleet-{id}
#SBATCH --array=0-{last}{at_once}
#SBATCH --cpus-per-task={lanes}
#SBATCH --mem={memory}M
#SBATCH --requeue
#SBATCH --open-mode=append
# Each element of the array carries out every {elements}th item. What is done already is not done again, and an image that was
# refused is not tried again.
plan={plan}
worst=0
for ((item = SLURM_ARRAY_TASK_ID; item < {items}; item += {elements})); do
    for ((try = 1; try <= {TRIES}; try++)); do
        instar fleet run --item "$item" "$plan"
        code=$?
        (((code == 75 || code > 128) && try < {TRIES})) || break
        sleep $((try * 60))
    done
    ((code == 0)) || worst=$code
done
exit "$worst"
"#,
        id = head.id,
    )
}

fn parallel(head: &Head, plan: &str) -> String {
    let at_once = match head.in_flight {
        Some(most) => most.to_string(),
        None => "100%".to_owned(),
    };
    // A second run of an item that was refused ends at once, so that tries cost nothing there.
    format!(
        "seq 0 {last} | parallel --quote --jobs {at_once} --retries {TRIES} instar fleet run --item {{}} {plan}\n",
        last = head.items.saturating_sub(1),
        plan = quoted(plan),
    )
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

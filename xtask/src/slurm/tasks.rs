//! What Slurm says of the elements of a job array.

use super::cluster::Cluster;

/// An element of a job array; it carries out the item of the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) item: usize,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `FAILED` and others.
    pub(super) state: String,
    /// The node that it runs or ran on; empty: on none yet.
    pub(super) node: String,
    /// How often it was put back into the queue.
    pub(super) restarts: u32,
    /// The code that the script ended with.
    pub(super) code: u32,
}

impl Task {
    pub(super) fn runs(&self) -> bool {
        self.state == "RUNNING"
    }

    /// Whether Slurm has nothing left to do with it.
    pub(super) fn is_over(&self) -> bool {
        !["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "CONFIGURING"].contains(&self.state.as_str())
    }
}

/// The columns of a line: each ends with a bar.
const COLUMNS: &str = "ArrayTaskID:|,State:|,NodeList:|,RestartCnt:|,exit_code:|";

/// All elements of a job, in the order of their numbers.
pub(super) fn of(cluster: &Cluster, job: &str) -> Result<Vec<Task>, String> {
    let words = ["-h", "-r", "-t", "all", "-j", job, "-O", COLUMNS];
    let text = cluster.ask("squeue", &words)?;
    let mut tasks = text
        .lines()
        .map(|line| task(line).ok_or_else(|| format!("squeue prints a line that is not understood: {line}")))
        .collect::<Result<Vec<_>, _>>()?;
    tasks.sort_by_key(|task| task.item);
    Ok(tasks)
}

fn task(line: &str) -> Option<Task> {
    let mut fields = line.split('|').map(str::trim);
    let mut next = || fields.next();
    let (item, state, node, restarts, status) = (next()?, next()?, next()?, next()?, next()?);
    // As a process that is waited for has it: the code is in the second byte.
    let status: u32 = status.parse().ok()?;
    Some(Task {
        item: item.parse().ok()?,
        state: state.to_owned(),
        node: node.to_owned(),
        restarts: restarts.parse().ok()?,
        code: status >> 8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_squeue_is_a_task() {
        let failed = task("1|FAILED|n1|2|256|").unwrap();
        assert_eq!((failed.item, failed.restarts, failed.code), (1, 2, 1));
        assert!(failed.is_over() && !failed.runs());
        let waiting = task("10|PENDING||0|0|").unwrap();
        assert!(!waiting.is_over() && waiting.node.is_empty());
        assert_eq!(task("slurm_load_jobs error: Invalid job id specified"), None);
    }
}

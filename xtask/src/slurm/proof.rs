//! What happens to the fleet: a job array, a task that is taken back, a node that dies, the array once more.

use std::collections::BTreeSet;
use std::time::Instant;

use super::cluster::{Cluster, NODES, PROCESSORS};
use super::fleet::{AT_ONCE, Fleet};
use super::tasks::{self, Task};
use super::watch::{Watch, expect, found};
use crate::Outcome;
use crate::apt::write;

/// The node that dies.
const VICTIM: &str = NODES[0];

/// What happens to a fleet.
pub(super) struct Story<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) watch: Watch,
}

pub(super) fn run(fleet: &Fleet, cluster: &mut Cluster) -> Outcome {
    let story = Story {
        fleet,
        watch: Watch::start(),
    };
    story.watch.within(20, "both nodes are idle", || {
        let states = NODES
            .iter()
            .map(|node| cluster.state(node))
            .collect::<Result<Vec<_>, _>>()?;
        found(states.iter().all(|state| state == "idle"), (), || {
            states.join(", ")
        })
    })?;
    story.watch.fact("slurmctld and two slurmd are up");
    let job = story.submit(cluster)?;
    let requeued = story.requeue(cluster, &job)?;
    let lost = story.lose_node(cluster, &job)?;
    story.recover(cluster, &job, &lost, requeued)?;
    let status = story.judge()?;
    story.again(cluster, &status)
}

impl Story<'_> {
    /// Submits the script that instar makes of the plan; the number of the job.
    pub(super) fn submit(&self, cluster: &Cluster) -> Result<String, String> {
        let made = self.fleet.run("script", &["--slurm"])?;
        expect(made.status.success(), || {
            String::from_utf8_lossy(&made.stderr).into_owned()
        })?;
        let script = self.fleet.plan.with_file_name("job.sh");
        write(&script, &String::from_utf8_lossy(&made.stdout))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::iter::once(self.fleet.programs.clone()).chain(std::env::split_paths(&path));
        let path = std::env::join_paths(directories).map_err(|error| error.to_string())?;
        let mut submit = cluster.command("sbatch")?;
        let line = crate::run::output(submit.arg("--parsable").arg(&script).env("PATH", path))?;
        let job = line.trim().to_owned();
        self.watch.fact(&format!("sbatch took the script: job {job}"));
        Ok(job)
    }

    /// Has Slurm take back a task of the other node, as it does for a job of higher priority; the item.
    fn requeue(&self, cluster: &Cluster, job: &str) -> Result<usize, String> {
        let item = self
            .watch
            .within(30, "a conversion is under way on the node that stays", || {
                let tasks = tasks::of(cluster, job)?;
                let under_way = self.under_way(&tasks, NODES[1])?;
                under_way.first().copied().ok_or_else(|| format!("{tasks:?}"))
            })?;
        cluster.ask("scontrol", &["requeue", &format!("{job}_{item}")])?;
        self.watch
            .within(10, "the item of the task that was taken back waits", || {
                let status = self.fleet.status()?;
                let item = status.item(item);
                let free = item.is_some_and(|item| item.state == "waiting" && !item.target.exists());
                found(free, (), || format!("{item:?}"))
            })?;
        self.watch.fact(&format!(
            "scontrol requeue: item {item} has no target, and waits to be done again"
        ));
        Ok(item)
    }

    /// Sound items that instar converts for tasks of a node.
    fn under_way(&self, tasks: &[Task], node: &str) -> Result<BTreeSet<usize>, String> {
        let status = self.fleet.status()?;
        Ok(tasks
            .iter()
            .filter(|task| task.runs() && task.node == node)
            .filter_map(|task| status.item(task.item))
            .filter(|item| item.state == "running" && self.fleet.is_sound(item))
            .map(|item| item.item)
            .collect())
    }

    /// Kills a node in the middle of its conversions; the items that were under way there.
    fn lose_node(&self, cluster: &mut Cluster, job: &str) -> Result<BTreeSet<usize>, String> {
        let mut most = 0;
        let mut nodes = BTreeSet::new();
        let running =
            self.watch
                .within(60, "conversions are under way on the node that is to die", || {
                    let tasks = tasks::of(cluster, job)?;
                    most = most.max(tasks.iter().filter(|task| task.runs()).count());
                    let ended = |task: &&Task| task.state == "COMPLETED";
                    nodes.extend(tasks.iter().filter(ended).map(|task| task.node.clone()));
                    let under_way = self.under_way(&tasks, VICTIM)?;
                    let ready = !under_way.is_empty() && nodes.len() == NODES.len();
                    found(ready, under_way, || format!("{tasks:?}"))
                })?;
        expect(most == AT_ONCE, || {
            let could = NODES.len() * PROCESSORS;
            format!("{most} tasks ran at once where {could} could, and the plan allows {AT_ONCE}")
        })?;
        self.watch.fact(&format!(
            "both nodes converted images, and {AT_ONCE} tasks ran at once, as many as --in-flight allows"
        ));
        cluster.kill(VICTIM)?;
        let status = self.fleet.status()?;
        let lost: BTreeSet<usize> = running
            .into_iter()
            .filter(|item| status.item(*item).is_some_and(|item| item.state != "done"))
            .collect();
        expect(!lost.is_empty(), || {
            "all conversions had ended before the node died".to_owned()
        })?;
        for item in status.list.iter().filter(|item| lost.contains(&item.item)) {
            expect(item.state == "waiting" && !item.target.exists(), || {
                format!(
                    "after its process was killed: {item:?}, target there: {}",
                    item.target.exists()
                )
            })?;
        }
        self.watch.fact(&format!(
            "SIGKILL for slurmd of {VICTIM} and all below it: items {lost:?} have no target, and wait to be done again"
        ));
        Ok(lost)
    }

    /// Waits for what the other node makes of it.
    fn recover(&self, cluster: &Cluster, job: &str, lost: &BTreeSet<usize>, requeued: usize) -> Outcome {
        let died = Instant::now();
        self.watch.within(60, "slurmctld gives up the dead node", || {
            let state = cluster.state(VICTIM)?;
            found(state.starts_with("down"), (), || state)
        })?;
        let seconds = died.elapsed().as_secs_f64();
        self.watch.fact(&format!(
            "slurmctld found out by itself that {VICTIM} is down: {seconds:.1} s after the kill"
        ));
        let tasks = self.wait(cluster, job, 90)?;
        for task in &tasks {
            let restarts = u32::from(lost.contains(&task.item)) + u32::from(task.item == requeued);
            let right = task.node == NODES[1] || !lost.contains(&task.item);
            expect(right && task.restarts >= restarts, || {
                format!("not put back {restarts} times, or not on the node that stayed: {task:?}")
            })?;
        }
        self.watch.fact("its tasks were put back into the queue, and done by the other node, and so was the one that was taken back");
        Ok(())
    }

    /// Waits until Slurm has nothing left to do: bad images have failed tasks, and no others.
    pub(super) fn wait(&self, cluster: &Cluster, job: &str, seconds: u64) -> Result<Vec<Task>, String> {
        let tasks = self.watch.within(seconds, "all tasks are over", || {
            let tasks = tasks::of(cluster, job)?;
            let over = tasks.iter().all(Task::is_over);
            found(over, tasks.clone(), || format!("{tasks:?}"))
        })?;
        let status = self.fleet.status()?;
        expect(tasks.len() == status.items, || {
            format!("not a task for each item: {tasks:?}")
        })?;
        for task in &tasks {
            let item = status.item(task.item);
            let wanted = if item.is_some_and(|item| self.fleet.is_sound(item)) {
                ("COMPLETED", 0)
            } else {
                ("FAILED", 1)
            };
            expect((task.state.as_str(), task.code) == wanted, || {
                format!("item {item:?} should have ended as {wanted:?}: {task:?}")
            })?;
        }
        Ok(tasks)
    }
}

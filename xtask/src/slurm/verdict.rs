//! What has to come of it.

use std::collections::BTreeSet;

use super::cluster::Cluster;
use super::fleet::Status;
use super::proof::Story;
use super::watch::expect;
use crate::Outcome;

impl Story<'_> {
    /// What instar says when all is over, and what qemu-img says of the targets.
    pub(super) fn judge(&self) -> Result<Status, String> {
        let status = self.fleet.status()?;
        let (sound, bad): (Vec<_>, Vec<_>) = status.list.iter().partition(|item| self.fleet.is_sound(item));
        expect(
            bad.len() == 2 && status.failed == bad.len() && status.done == sound.len(),
            || format!("not what should be done and failed: {status:?}"),
        )?;
        expect(sound.iter().all(|item| item.state == "done"), || {
            format!("{sound:?}")
        })?;
        for item in &bad {
            let cause = self.fleet.source(item)?.fault;
            expect(
                item.state == "failed" && item.cause.as_deref() == cause && item.tries == Some(1),
                || format!("not tried once, with {cause:?} as the cause: {item:?}"),
            )?;
        }
        let code = self.fleet.run("status", &[])?.status.code();
        expect(code == Some(1), || {
            format!("fleet status ends with {code:?}, not with 1")
        })?;
        self.watch.fact(&format!(
            "fleet status: {} done; the hostile image was refused, the one that was cut short is broken, and each was tried once",
            status.done
        ));
        let refusal = self.fleet.run("finish", &[])?;
        expect(
            refusal.status.code() == Some(1) && !refusal.stderr.is_empty(),
            || {
                format!(
                    "fleet finish ends with {} while items are not done",
                    refusal.status
                )
            },
        )?;
        let numbers: Vec<String> = bad.iter().map(|item| item.item.to_string()).collect();
        let numbers = numbers.join(",");
        let finish = self.fleet.run("finish", &["--waive", &numbers])?;
        expect(finish.status.success(), || {
            format!(
                "fleet finish --waive {numbers}: {}",
                String::from_utf8_lossy(&finish.stderr)
            )
        })?;
        self.watch.fact(&format!(
            "fleet finish refuses, and succeeds with --waive {numbers}"
        ));
        for item in &sound {
            self.fleet.compare(item)?;
        }
        let targets: BTreeSet<_> = sound.iter().map(|item| item.target.clone()).collect();
        let entries = std::fs::read_dir(&self.fleet.targets).map_err(|error| error.to_string())?;
        let there: BTreeSet<_> = entries.flatten().map(|entry| entry.path()).collect();
        expect(there == targets, || {
            format!("other targets than those of sound images: {there:?}")
        })?;
        self.watch.fact(&format!(
            "qemu-img compare: {} targets equal their sources, and no other file is there",
            targets.len()
        ));
        Ok(status)
    }

    /// Submits the same script once more: nothing is left to do for it.
    pub(super) fn again(&self, cluster: &Cluster, before: &Status) -> Outcome {
        let job = self.submit(cluster)?;
        self.wait(cluster, &job, 60)?;
        let after = self.fleet.status()?;
        expect(after == *before, || {
            format!("the second job changed something: {before:?} to {after:?}")
        })?;
        self.watch
            .fact("the second job did nothing again, and tried no refused image again");
        Ok(())
    }
}

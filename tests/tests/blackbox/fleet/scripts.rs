//! What engines are given.

use std::fs;
use std::process::Command;

use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, both_sandboxes, ledger};
use serde_json::Value;

use super::{lines, plan, states, status};

/// Five images in `old`, one of them not what its format says, and a plan for them.
fn fleet(bench: &Bench, options: &[&str]) {
    for name in ["old", "new"] {
        fs::create_dir(bench.path(name)).unwrap();
    }
    let names = ["a", "b", "c", "d", "it's e"].map(|name| format!("old/{name}.qcow2"));
    for (name, number) in names.iter().zip(1..) {
        disk::make(&bench.path("disk"), 1 << 20, &[Piece::Data(0, number << 16, number)]);
        bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk", name]).succeeds();
    }
    let file = fs::File::options().write(true).open(bench.path("old/b.qcow2")).unwrap();
    file.set_len(50).unwrap();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    plan(bench, &[options, &["--to", "new", "-f", "qcow2"], &names].concat());
}

/// A program with instar on its PATH.
fn with_instar(bench: &Bench, program: &str) -> Command {
    let instar = bench.command(["--version"]);
    let directory = std::path::Path::new(instar.get_program()).parent().unwrap().to_owned();
    let path = std::env::join_paths(
        [directory].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut command = Command::new(program);
    command
        .current_dir(bench.directory())
        .env("PATH", path.unwrap())
        .env("XDG_STATE_HOME", bench.state())
        .env("HOME", bench.directory());
    command
}

fn script(bench: &Bench, words: &[&str]) -> String {
    bench.instar([&["fleet", "script"], words, &["plan"]].concat()).succeeds().text()
}

/// Four are done, and the fifth has failed for good.
#[track_caller]
fn all_but_one(bench: &Bench) {
    let mut states = states(bench);
    states.sort();
    assert_eq!(states, ["done", "done", "done", "done", "failed"]);
    let found = status(bench).0;
    let failed = found["list"].as_array().unwrap().iter().find(|item| item["state"] == "failed");
    assert_eq!(failed.unwrap()["tries"], 1, "a broken image is tried once");
    bench.qemu(["compare", "old/it's e.qcow2", "new/it's e.raw"]).succeeds();
}

both_sandboxes!(
    the_job_array_of_slurm_carries_out_every_item,
    the_command_line_of_gnu_parallel_carries_out_every_item,
    the_job_of_kubernetes_confines_its_pods,
    scripts_that_make_no_sense_are_refused,
);

fn the_job_array_of_slurm_carries_out_every_item(bench: &Bench) {
    fleet(bench, &["--in-flight", "3", "-m", "2", "--memory", "256M"]);
    let text = script(bench, &["--slurm"]);
    for line in
        ["#SBATCH --array=0-4%3", "#SBATCH --cpus-per-task=2", "#SBATCH --mem=384M", "#SBATCH --requeue"]
    {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    fs::write(bench.path("job"), text).unwrap();
    for element in 0..5 {
        let mut command = with_instar(bench, "bash");
        command.arg("job").env("SLURM_ARRAY_TASK_ID", element.to_string());
        let outcome = Outcome::of(&mut command);
        outcome.is_civil();
        assert!(matches!(outcome.code(), Some(0 | 1)), "{}", outcome.errors());
    }
    all_but_one(bench);
}

fn the_command_line_of_gnu_parallel_carries_out_every_item(bench: &Bench) {
    let version = Command::new("parallel").arg("--version").output();
    // Another program of that name takes other options.
    if !version.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("GNU parallel")) {
        return ledger::skip("GNU parallel is not installed");
    }
    fleet(bench, &["--in-flight", "2"]);
    let text = script(bench, &["--parallel"]);
    assert!(text.starts_with("seq 0 4 | parallel --quote --jobs 2 "), "{text}");
    let outcome = Outcome::of(with_instar(bench, "sh").args(["-c", &text]));
    assert_eq!(outcome.code(), Some(1), "one item fails: {}", outcome.errors());
    all_but_one(bench);
}

fn the_job_of_kubernetes_confines_its_pods(bench: &Bench) {
    fleet(bench, &["--in-flight", "2"]);
    let claim = format!("images:{}", bench.directory().display());
    let words = ["--kubernetes", "--image", "example.org/instar:1", "--claim", &claim];
    let job: Value = serde_json::from_str(&script(bench, &words)).unwrap();
    assert_eq!((&job["kind"], &job["apiVersion"]), (&"Job".into(), &"batch/v1".into()));
    let spec = &job["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    assert_eq!((&spec["completions"], &spec["parallelism"]), (&5.into(), &2.into()));
    assert_eq!(spec["backoffLimitPerIndex"], 3);
    let rule = &spec["podFailurePolicy"]["rules"][1];
    assert_eq!(
        (&rule["action"], &rule["onExitCodes"]["values"]),
        (&"FailIndex".into(), &serde_json::json!([1]))
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_ne!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["name"], rule["onExitCodes"]["containerName"]);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(container["resources"]["limits"]["memory"], "256Mi");
    assert_eq!(container["volumeMounts"][0]["mountPath"], bench.directory().to_str().unwrap());
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "images");
    // What a pod runs, with the number that the cluster gives it.
    let arguments = container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    for index in 0..5 {
        let mut command = bench.command(arguments.clone());
        Outcome::of(command.env("JOB_COMPLETION_INDEX", index.to_string())).is_civil();
    }
    all_but_one(bench);
}

fn scripts_that_make_no_sense_are_refused(bench: &Bench) {
    fleet(bench, &[]);
    for (words, why) in [
        (&[][..], "Expecting one of --slurm, --kubernetes and --parallel"),
        (&["--slurm", "--parallel"], "Only one of"),
        (&["--slurm", "--image", "x"], "are for --kubernetes"),
        (&["--kubernetes", "--image", "x"], "at least one --claim"),
        (&["--kubernetes", "--claim", "images:/srv"], "needs --image"),
        (&["--kubernetes", "--image", "x", "--claim", "images:/srv"], "is not on a volume of --claim"),
        (&["--kubernetes", "--image", "x", "--claim", "Images:/srv"], "--claim expects NAME:PATH"),
    ] {
        bench.instar([&["fleet", "script"], words, &["plan"]].concat()).fails_with(why);
    }
    assert_eq!(lines(bench).len(), 6);
}

//! `fleet`: plans, items and what becomes of them when machines fail.

mod images;
mod ranges;
mod scripts;

use std::fs;
use std::path::Path;

use instar_tests::{Bench, Outcome, wait};
use serde_json::Value;

/// What `fleet plan` prints, as the file `plan`.
fn plan(bench: &Bench, words: &[&str]) {
    let planned = bench.instar([&["fleet", "plan"], words].concat());
    fs::write(bench.path("plan"), &planned.succeeds().stdout).unwrap();
}

/// The lines of the plan.
fn lines(bench: &Bench) -> Vec<Value> {
    let text = fs::read_to_string(bench.path("plan")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn run(bench: &Bench, item: u64) -> Outcome {
    bench.instar(["fleet", "run", "--item", &item.to_string(), "plan"])
}

/// `fleet status`, and what it exits with.
fn status(bench: &Bench) -> (Value, Option<i32>) {
    let said = bench.instar(["fleet", "status", "--output=json", "plan"]);
    (serde_json::from_slice(&said.stdout).unwrap(), said.code())
}

/// The states of all items.
fn states(bench: &Bench) -> Vec<String> {
    let (status, _) = status(bench);
    let items = status["list"].as_array().unwrap();
    items.iter().map(|item| item["state"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn wait_for(path: &Path) {
    wait::until(&path.display().to_string(), || path.exists());
}

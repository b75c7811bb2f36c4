//! Test suites of callers, from their source packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Bench, missing};
use crate::run::output;

/// A package with tests that run qemu-img.
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// Whose tests these are.
    package: &'static str,
    /// The directory of its environment, which suites can share.
    place: &'static str,
    /// Tests of our own that call the packages' functions, where their own do without qemu-img.
    script: Option<&'static str>,
    /// What the tests want to have installed.
    wants: &'static [&'static str],
    /// What is done in the source before, by sh.
    prepare: &'static str,
    tests: &'static [&'static str],
}

const OPENSTACK: &str = include_str!("scripts/test_openstack.py");

const OPENSTACK_WANTS: &[&str] = &[
    "pytest",
    "nova==34.0.0",
    "cinder==29.0.0",
    "glance==33.0.0",
    "ironic-python-agent==13.0.0",
];

pub(super) const SUITES: &[Suite] = &[
    Suite {
        name: "oslo.utils",
        package: "oslo.utils==10.2.0",
        place: "oslo.utils",
        script: None,
        wants: &[
            "pytest",
            "oslotest",
            "testscenarios",
            "testtools",
            "ddt",
            "fixtures",
            "eventlet",
            "cryptography",
            ".",
        ],
        prepare: "true",
        tests: &["oslo_utils/tests/imageutils"],
    },
    Suite {
        name: "ovirt-imageio",
        package: "ovirt-imageio==2.5.1",
        place: "ovirt-imageio",
        script: None,
        wants: &["pytest", "pytest-timeout", "userstorage", "setuptools"],
        // Its tests ask which of Red Hat's systems this is, and fail where it is none of them.
        prepare: "python setup.py -q build_ext --build-lib .; \
                  printf 'def is_fedora(version=\"\"):\\n    return False\\n\\n\\nis_centos = is_rhel = is_fedora\\n' > test/distro.py",
        tests: &[
            "test/qemu_img_test.py",
            "test/measure_test.py",
            "test/nbd_test.py",
            "test/qemu_nbd_test.py",
            "test/client_test.py",
            "test/client_io_test.py",
            "test/backup_test.py",
            "test/backends/nbd_test.py",
            "test/handlers/extents_test.py",
            "test/handlers/checksum_test.py",
        ],
    },
    Suite {
        name: "nova",
        package: "nova==34.0.0",
        place: "openstack",
        script: Some(OPENSTACK),
        wants: OPENSTACK_WANTS,
        prepare: "true",
        tests: &["test_suite.py", "-k", "nova"],
    },
    Suite {
        name: "cinder",
        package: "cinder==29.0.0",
        place: "openstack",
        script: Some(OPENSTACK),
        wants: OPENSTACK_WANTS,
        prepare: "true",
        tests: &["test_suite.py", "-k", "cinder"],
    },
    Suite {
        name: "glance",
        package: "glance==33.0.0",
        place: "openstack",
        script: Some(OPENSTACK),
        wants: OPENSTACK_WANTS,
        prepare: "true",
        tests: &["test_suite.py", "-k", "glance"],
    },
    Suite {
        name: "ironic-python-agent",
        package: "ironic-python-agent==13.0.0",
        place: "openstack",
        script: Some(OPENSTACK),
        wants: OPENSTACK_WANTS,
        prepare: "true",
        tests: &["test_suite.py", "-k", "ironic_python_agent"],
    },
];

/// Runs a suite with both programs; how many tests pass with qemu-img and fail with instar, without a missing verb.
pub(super) fn run(bench: &Bench, suite: &Suite) -> Result<usize, String> {
    println!("── {} ({})", suite.name, suite.package);
    let place = fetch(bench, suite)?;
    if let Some(script) = suite.script {
        std::fs::write(place.join("test_suite.py"), script).map_err(|error| error.to_string())?;
    }
    let stock = attempt(bench, suite, &place, false)?;
    let ours = attempt(bench, suite, &place, true)?;
    let failed = |tests: &BTreeMap<String, String>| -> BTreeSet<String> { tests.keys().cloned().collect() };
    let new: BTreeSet<String> = failed(&ours.failed)
        .difference(&failed(&stock.failed))
        .cloned()
        .collect();
    let mut worse = 0;
    let mut absent = 0;
    for test in &new {
        let reason = ours.failed.get(test).map_or("", String::as_str);
        match missing(reason) {
            Some(verb) => {
                absent += 1;
                println!("  missing verb {verb}: {test}");
            }
            None => {
                worse += 1;
                println!("  FAILS: {test}: {reason}");
            }
        }
    }
    println!(
        "{}: with qemu-img {} passed, {} failed; with instar {} passed, {} failed ({absent} for a missing verb, {worse} for other reasons)",
        suite.name,
        stock.passed.len(),
        stock.failed.len(),
        ours.passed.len(),
        ours.failed.len()
    );
    for test in stock
        .passed
        .difference(&ours.passed)
        .filter(|test| !ours.failed.contains_key(*test))
    {
        println!("  not run: {test} (it asks for a format that is not there)");
    }
    for line in [&stock.last, &ours.last] {
        println!("  {line}");
    }
    Ok(worse)
}

/// Fetches the source and makes an environment for its tests.
fn fetch(bench: &Bench, suite: &Suite) -> Result<PathBuf, String> {
    let home = bench.home.join(suite.place);
    let done = home.join("done");
    let source = home.join("source");
    let wanted = format!("{:?}", suite.wants);
    if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(source);
    }
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&source).map_err(|error| error.to_string())?;
    output(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(home.join("python")),
    )?;
    let python = home.join("python/bin/python");
    let pip = || {
        let mut command = Command::new(&python);
        command
            .current_dir(&source)
            .args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
        command
    };
    if suite.script.is_none() {
        output(
            pip()
                .args(["download", "--no-deps", "--no-binary", ":all:", "-d"])
                .arg(&home)
                .arg(suite.package),
        )?;
        output(
            Command::new("sh")
                .current_dir(&home)
                .args(["-c", "tar -xzf ./*.tar.gz --strip-components=1 -C source"]),
        )?;
    }
    output(pip().arg("install").args(suite.wants))?;
    output(
        Command::new("sh")
            .current_dir(&source)
            .args(["-e", "-c", suite.prepare])
            .env(
                "PATH",
                format!(
                    "{}:{}",
                    home.join("python/bin").display(),
                    std::env::var("PATH").unwrap_or_default()
                ),
            ),
    )?;
    std::fs::write(&done, &wanted).map_err(|error| error.to_string())?;
    Ok(source)
}

/// What a run of a suite showed.
struct Run {
    passed: BTreeSet<String>,
    /// The failed tests, each with the end of what it said.
    failed: BTreeMap<String, String>,
    last: String,
}

fn attempt(bench: &Bench, suite: &Suite, place: &Path, ours: bool) -> Result<Run, String> {
    let result = Command::new("timeout")
        .args(["1200", "../python/bin/python", "-m", "pytest"])
        .args(["-q", "-rfEp", "--tb=no", "-p", "no:cacheprovider"])
        .arg("--basetemp")
        .arg(bench.home.join("pytest"))
        .args(suite.tests)
        .current_dir(place)
        .env("PATH", bench.path(ours))
        .env("STOCK_QEMU_IMG", bench.stock.join("qemu-img"))
        // pytest cuts its reasons to the width of the terminal.
        .env("COLUMNS", "600")
        .output()
        .map_err(|error| error.to_string())?;
    let report = String::from_utf8_lossy(&result.stdout).into_owned();
    let last = report
        .lines()
        .last()
        .unwrap_or_default()
        .trim_matches('=')
        .trim()
        .to_owned();
    if !last.contains("passed") {
        return Err(format!("the suite cannot be run: {last}"));
    }
    let after = |word: &str| -> Vec<String> {
        let lines = report.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    let failed = [after("FAILED "), after("ERROR ")].concat();
    Ok(Run {
        passed: after("PASSED ").into_iter().collect(),
        failed: failed
            .iter()
            .map(|line| {
                let (name, reason) = line.split_once(" - ").unwrap_or((line, ""));
                (name.to_owned(), reason.to_owned())
            })
            .collect(),
        last,
    })
}

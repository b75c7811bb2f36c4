//! Another instance of ourselves that looks at an image before the run.
//!
//! Only a guest can tell what is in an image, and a process can be confined but once; so another process looks, and says it as JSON.
//! It reads the configuration and the environment as this one did; what only this command line says is handed on to it, so that
//! it is bound as this one is.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use instar_sandbox::Choice;
use rustix::io::Errno;
use rustix::process::getegid;
use serde_json::Value;

use crate::program::Program;
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::words::{self, run::NO_LANDLOCK};
use instar_run::Policy;

/// Why an instance has not answered.
pub(crate) enum Silence {
    /// It said why.
    Refused(String),
    /// It could not be run or understood.
    Broken(String),
}

/// An instance for `verb` under this policy.
pub(crate) fn under(policy: &Policy, verb: &str) -> Step<Command> {
    // Whatever forbids to look at an image here forbids it there, where the environment may not be believed.
    let sandbox = match policy.choice()? {
        Choice::Auto => "auto",
        Choice::Kvm => "kvm",
        Choice::Process => "process",
    };
    if policy.require_landlock && instar_jail::landlock_abi().is_none() {
        return Err(Stop::say(NO_LANDLOCK));
    }
    let mut command = again();
    command.args([verb, "--output=json", "-U", "--sandbox", sandbox]);
    if policy.untrusted {
        command.arg("--untrusted");
    }
    for directory in &policy.allow_dirs {
        command.arg("--allow-dir").arg(directory);
    }
    for directory in &policy.untrusted_dirs {
        command.arg("--untrusted-dir").arg(directory);
    }
    command.arg("--memory").arg(policy.memory.to_string());
    command.arg("--max-chain").arg(policy.max_chain.to_string());
    for (option, bytes) in [
        ("--max-size", policy.max_size),
        ("--max-output", policy.max_output),
    ] {
        if let Some(bytes) = bytes {
            command.arg(option).arg(bytes.to_string());
        }
    }
    if let Some(left) = instar_run::left(policy) {
        command.arg("--timeout").arg(left.as_secs_f64().to_string());
    }
    // What no option says.
    if let Some(key) = &policy.trust_key {
        command.env("INSTAR_TRUST_KEY", key);
    }
    for (name, required) in [
        ("INSTAR_REQUIRE_KVM", policy.require_kvm),
        ("INSTAR_REQUIRE_LANDLOCK", policy.require_landlock),
    ] {
        if required {
            command.env(name, "on");
        }
    }
    Ok(command)
}

/// This very program, to be started once more. Without /proc nobody knows where it is; its caller did, and is believed as far as the
/// environment is.
pub(crate) fn again() -> Command {
    const OURSELVES: &str = "/proc/self/exe";
    if std::path::Path::new(OURSELVES).exists() || instar_engine::is_elevated() {
        Command::new(OURSELVES)
    } else {
        Command::new(Program::of_process().called())
    }
}

/// One that is looking.
pub(crate) struct Asked(std::io::Result<Child>);

pub(crate) fn ask(mut command: Command) -> Asked {
    Asked(started(&mut command))
}

/// Starts it, with pipes for what it says.
///
/// Docker 20.10 answers clone3 with EPERM, with which the system's library starts programs at once; it gives up then, as it does not where
/// the call is missing. A program of a given group is started by fork, which takes the older call; this one keeps the group that it has.
pub(crate) fn started(command: &mut Command) -> std::io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match command.spawn() {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => {
            command.gid(getegid().as_raw()).spawn()
        }
        done => done,
    }
}

impl Asked {
    /// What it says.
    pub(crate) fn answer(self) -> Result<Value, Silence> {
        let text = heard(self.0.and_then(Child::wait_with_output))?;
        serde_json::from_slice(&text).map_err(|error| Silence::Broken(error.to_string()))
    }
}

/// What it says.
pub(crate) fn answer(command: Command) -> Result<Value, Silence> {
    ask(command).answer()
}

/// What it says that has no JSON to answer with.
pub(crate) fn said(command: Command) -> Result<Vec<u8>, Silence> {
    heard(ask(command).0.and_then(Child::wait_with_output))
}

fn heard(output: std::io::Result<Output>) -> Result<Vec<u8>, Silence> {
    let output = output.map_err(|error| {
        let why = words::system(&error);
        Silence::Broken(format!(
            "another instance of instar, which would look at it, cannot run: {why}"
        ))
    })?;
    if !output.status.success() {
        // What it took for the user's own word may be an image's.
        let text = match output.stderr.is_empty() {
            // A comparison that finds a difference has nothing to complain of.
            true => &output.stdout,
            false => &output.stderr,
        };
        let text = text.strip_prefix(b"instar: ").unwrap_or(text);
        return Err(Silence::Refused(Escaped(text.trim_ascii_end()).to_string()));
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use instar_abi::{ImageText, NamedSecret, Secret};

    use super::under;
    use instar_run::{Backend, Policy};

    #[test]
    fn an_instance_has_the_same_settings() {
        let policy = Policy {
            untrusted: true,
            allow_dirs: vec![PathBuf::from("/a")],
            untrusted_dirs: vec![PathBuf::from("/b")],
            trust_key: Some(PathBuf::from("/k")),
            require_kvm: true,
            timeout: Some(Duration::from_secs(100)),
            memory: 64 << 20,
            max_size: Some(5),
            max_output: Some(6),
            max_chain: 7,
            secrets: [NamedSecret {
                id: ImageText::new(b"s"),
                content: Secret::new(b"passphrase".to_vec()),
            }]
            .into(),
            ..Policy::default()
        };
        let command = under(&policy, "info").unwrap();
        let words: Vec<&str> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        let (last, words) = words.split_last().unwrap();
        assert_eq!(
            words.join(" "),
            "info --output=json -U --sandbox kvm --untrusted --allow-dir /a --untrusted-dir /b \
             --memory 67108864 --max-chain 7 --max-size 5 --max-output 6 --timeout"
        );
        let left: f64 = last.parse().unwrap();
        assert!(left > 0.0 && left <= 100.0, "{left}");
        let said: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert_eq!(said, ["INSTAR_REQUIRE_KVM", "INSTAR_TRUST_KEY"]);
        assert!(!format!("{command:?} {policy:?}").contains("passphrase"));
    }

    #[test]
    fn an_instance_that_the_policy_forbids_is_not_started() {
        let policy = Policy {
            backend: Backend::Process,
            require_kvm: true,
            ..Policy::default()
        };
        assert!(under(&policy, "info").is_err());
    }
}

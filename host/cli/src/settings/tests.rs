use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::apply;
use crate::release::Release;
use instar_run::{Backend, Policy};

use super::Settings;
use crate::stop::Stop;

fn applied(text: &str) -> Result<Settings, String> {
    let mut settings = Settings::default();
    match apply(Path::new("conf.toml"), text, &mut settings) {
        Ok(()) => Ok(settings),
        Err(Stop::Message(text)) => Err(String::from_utf8(text).unwrap()),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn every_key_is_understood() {
    let settings = applied(
        "untrusted = true\nallow-dir = [\"/a\", \"/b\"]\nuntrusted-dir = [\"/c\"]\ntrust-key = \"/k\"\nsandbox = \"process\"\nrequire-kvm = false\nrequire-landlock = true\n\
         timeout = 1.5\nmemory = \"64M\"\nmax-size = \"10G\"\nmax-output = 4096\nmax-chain = 5\n\
         qemu-version = \"7.2\"\n",
    );
    assert_eq!(
        settings,
        Ok(Settings {
            policy: Policy {
                untrusted: true,
                allow_dirs: vec![PathBuf::from("/a"), PathBuf::from("/b")],
                untrusted_dirs: vec![PathBuf::from("/c")],
                trust_key: Some(PathBuf::from("/k")),
                backend: Backend::Process,
                require_kvm: false,
                require_landlock: true,
                timeout: Some(Duration::from_millis(1500)),
                memory: 64 << 20,
                max_size: Some(10 << 30),
                max_output: Some(4096),
                max_chain: 5,
                ..Policy::default()
            },
            release: Release::parse(b"7.2").unwrap(),
        })
    );
}

#[test]
fn mistakes_in_a_configuration_are_named_with_file_and_line() {
    for (text, words) in [
        ("# one\nuntrusted = maybe\n", "conf.toml: line 2: "),
        (
            "\n\nallow-dirs = []\nfoo = 1",
            "conf.toml: line 4: foo: unknown key",
        ),
        ("a = 1\n[b]\nc = 2", "conf.toml: line 1: a: unknown key"),
        (
            "untrusted = true\nsandbox = \"none\"",
            "conf.toml: line 2: sandbox: expects auto, kvm or process, not 'none'",
        ),
        (
            "memory = \"1M\"",
            "memory: expects a size from 32M to 1280M, not 1048576 bytes",
        ),
        (
            "timeout = -1",
            "conf.toml: line 1: timeout: expects a number of seconds",
        ),
        ("max-chain = 0", "max-chain: expects a number from 1 to"),
        ("untrusted", "conf.toml: line 1: "),
        ("untrusted = [[]]", "expects a word"),
    ] {
        let message = applied(text).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn stricter_settings_stay() {
    let mut settings = Settings::default();
    settings.set("untrusted", b"on").unwrap();
    settings.set("untrusted", b"off").unwrap();
    assert!(settings.policy.untrusted);
}

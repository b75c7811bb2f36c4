//! The AppArmor profile.

use std::process::Command;

use instar_packages::root;

use crate::support::installed;

#[test]
fn the_profile_is_one_that_apparmor_accepts() {
    let Some(parser) = installed("apparmor_parser", "the AppArmor profile is not checked") else {
        return;
    };
    // Without AppArmor in the kernel it says so, which is no complaint about the profile.
    let output = Command::new(parser)
        .args(["--skip-kernel-load", "--skip-cache"])
        .arg(root().join("packages/files/usr.bin.instar"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

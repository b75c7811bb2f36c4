//! What every package contains.

use std::path::Path;

use instar_cli::completion::Shell;

use crate::date::Epoch;
use crate::files::{output, read, read_text};
use crate::gzip::gzip;
use crate::linked::Linked;
use crate::tree::Tree;
use crate::{copyright, papers, sbom};

/// Documents of the source that are of use without it.
const DOCUMENTS: &[&str] = &["configuration.md", "differences.md", "trust.md"];

/// Where the bill of materials is.
pub const BILL: &str = "share/doc/instar/sbom.cdx.json";

/// The tree of a program.
///
/// # Errors
/// What cannot be read.
pub fn tree(root: &Path, program: Vec<u8>, crates: &[Linked], epoch: Epoch) -> Result<Tree, String> {
    let mut tree = Tree::default();
    tree.program("bin/instar", program);
    // In a directory of its own: the package of QEMU keeps its name, and who wants ours puts this directory first in PATH.
    tree.link("lib/instar/bin/qemu-img", "../../../bin/instar");
    for (file, text) in papers::pages(epoch) {
        tree.file(&format!("share/man/man1/{file}.gz"), gzip(text.as_bytes())?);
    }
    for shell in Shell::ALL {
        let directory = match shell {
            Shell::Bash => "share/bash-completion/completions",
            Shell::Zsh => "share/zsh/site-functions",
            Shell::Fish => "share/fish/vendor_completions.d",
        };
        tree.file(
            &format!("{directory}/{}", shell.file()),
            papers::completion(shell),
        );
    }
    // Recent versions of bash-completion look beside the directories of PATH.
    tree.link(
        "lib/instar/share/bash-completion/completions/qemu-img",
        "../../../../../share/bash-completion/completions/instar",
    );
    // A profile that an administrator turns on.
    tree.file(
        "share/apparmor/extra-profiles/usr.bin.instar",
        read(&root.join("packages/files/usr.bin.instar"))?,
    );
    documents(&mut tree, root, crates, epoch)?;
    Ok(tree)
}

fn documents(tree: &mut Tree, root: &Path, crates: &[Linked], epoch: Epoch) -> Result<(), String> {
    let place = |name: &str| format!("share/doc/instar/{name}");
    for name in DOCUMENTS {
        tree.file(&place(name), read(&root.join("docs").join(name))?);
    }
    tree.file(&place("README.md"), read(&root.join("README.md"))?);
    tree.file(&place("SECURITY.md"), read(&root.join("SECURITY.md"))?);
    tree.file(&place("changelog.gz"), gzip(&read(&root.join("CHANGELOG.md"))?)?);
    tree.file(&place("copyright"), copyright::text(root, crates)?);
    let rustc = |arguments: &[&str]| {
        output(
            std::process::Command::new("rustc")
                .current_dir(root)
                .args(arguments),
        )
    };
    let compiler = rustc(&["--version"])?;
    let version = compiler.split_whitespace().nth(1).unwrap_or_default();
    tree.file(BILL, sbom::text(crates, version, epoch));
    let sysroot = rustc(&["--print", "sysroot"])?;
    let notices = Path::new(sysroot.trim()).join("share/doc/rust/COPYRIGHT-library.html");
    tree.file(&place("rust-standard-library.html"), read_text(&notices)?);
    Ok(())
}

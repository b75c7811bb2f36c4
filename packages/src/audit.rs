//! The list of crates that tools look for in a binary: the section `.dep-v0` as cargo-auditable writes it. It also names the crates of
//! the sandboxed program, which cargo does not count among the dependencies.

use serde_json::{Value, json};

use crate::gzip::zlib;
use crate::linked::Linked;

/// The section's name.
pub const SECTION: &str = ".dep-v0";

/// The registry's name, as the format has it.
const REGISTRY: &str = concat!("crates", ".io");

/// The content of the section.
///
/// # Errors
/// If it cannot be compressed.
pub fn section(crates: &[Linked]) -> Result<Vec<u8>, String> {
    let packages: Vec<Value> = crates
        .iter()
        .map(|linked| {
            let on: Vec<usize> = linked
                .dependencies
                .iter()
                .filter_map(|id| crates.iter().position(|other| other.id == *id))
                .collect();
            let mut package = json!({
                "name": linked.id.0,
                "version": linked.id.1,
                "source": if linked.ours { "local" } else { REGISTRY },
            });
            if !on.is_empty() {
                package["dependencies"] = json!(on);
            }
            if linked.id.0 == "instar" {
                package["root"] = json!(true);
            }
            package
        })
        .collect();
    zlib(json!({ "packages": packages }).to_string().as_bytes())
}

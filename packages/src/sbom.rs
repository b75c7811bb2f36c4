//! The bill of materials, in the JSON of CycloneDX 1.5.

use serde_json::{Value, json};

use crate::VERSION;
use crate::date::Epoch;
use crate::linked::{Id, Linked};

/// What is not a crate and is linked all the same: name, licence.
const LIBRARIES: &[(&str, &str)] = &[
    ("glibc", "LGPL-2.1-or-later"),
    ("libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ("rust-std", "MIT OR Apache-2.0"),
];

/// The text of the file.
#[must_use]
pub fn text(crates: &[Linked], compiler: &str, epoch: Epoch) -> String {
    let components: Vec<Value> = crates
        .iter()
        .filter(|linked| linked.id.0 != "instar")
        .map(component)
        .chain(LIBRARIES.iter().map(|library| of_library(library, compiler)))
        .collect();
    let dependencies: Vec<Value> = crates
        .iter()
        .map(|linked| {
            let on: Vec<String> = linked.dependencies.iter().map(reference).collect();
            json!({ "ref": reference(&linked.id), "dependsOn": on })
        })
        .collect();
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": epoch.timestamp(),
            "component": {
                "type": "application",
                "bom-ref": reference(&("instar".to_owned(), VERSION.to_owned())),
                "name": "instar",
                "version": VERSION,
                "licenses": [{ "expression": "MIT" }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    format!("{bill:#}\n")
}

fn component(linked: &Linked) -> Value {
    let (name, version) = &linked.id;
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(&linked.id),
        "name": name,
        "version": version,
        "licenses": [{ "expression": expression(&linked.licence) }],
    });
    if !linked.ours {
        component["purl"] = json!(format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")));
    }
    if let Some(checksum) = &linked.checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(repository) = &linked.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    component
}

fn of_library((name, licence): &(&str, &str), compiler: &str) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": name,
        "name": name,
        "licenses": [{ "expression": licence }],
    });
    if *name == "rust-std" {
        component["version"] = json!(compiler);
    }
    component
}

/// Old manifests have a slash between alternatives.
fn expression(licence: &str) -> String {
    licence.replace('/', " OR ")
}

fn reference((name, version): &Id) -> String {
    format!("{name}@{version}")
}

//! The page of a verb.

use super::roff::{Roff, bold, escaped, italic};
use super::{Edition, entries, options, prose};
use crate::flags::{Id, POLICY, Page};

/// Sections of `manual.txt` that stand elsewhere than before the examples.
const RELATED: &str = "SEE ALSO";
const EXIT_STATUS: &str = "EXIT STATUS";

pub(super) fn page(page: &Page, edition: Edition<'_>) -> String {
    let mut roff = Roff::new(&format!("instar-{}", page.name), edition);
    roff.heading("NAME");
    roff.raw(&escaped(&format!("instar-{} - {}", page.name, page.summary)));
    roff.heading("SYNOPSIS");
    roff.raw(&format!(
        "{} {}",
        bold(&format!("instar {}", page.name)),
        escaped(page.usage)
    ));
    roff.heading("DESCRIPTION");
    roff.text(page.about);
    for (left, right) in page.operands {
        roff.entry(&italic(left), right);
    }
    roff.heading("OPTIONS");
    for group in page.groups {
        roff.subheading(group.title);
        entries::write(&mut roff, group.flags);
    }
    roff.subheading("Safety");
    entries::write(&mut roff, POLICY);
    match page.flags().find(|flag| flag.id == Id::Options) {
        Some(_) if page.name == "create" => options::of_new_images(&mut roff),
        Some(_) if page.name == "amend" => options::of_existing_images(&mut roff),
        Some(_) => {
            roff.heading("FORMAT OPTIONS");
            roff.text("`instar-create`(1) lists what can follow `-o`.");
        }
        None => {}
    }
    ending(&mut roff, page);
    roff.finish()
}

/// What comes after the options.
fn ending(roff: &mut Roff, page: &Page) {
    let sections = prose::of(page.name).unwrap_or_default();
    let (last, first): (Vec<_>, Vec<_>) = sections
        .iter()
        .partition(|section| [RELATED, EXIT_STATUS].contains(&section.title.as_str()));
    for section in first {
        section.write(roff);
    }
    if !page.examples.is_empty() {
        roff.heading("EXAMPLES");
        for (command, purpose) in page.examples {
            let end = if purpose.ends_with('?') { "" } else { ":" };
            roff.typed(&format!("{purpose}{end}"), &format!("instar {command}"));
        }
    }
    for section in last.iter().filter(|section| section.title == EXIT_STATUS) {
        section.write(roff);
    }
    roff.heading("FILES");
    roff.entry(&bold("/etc/instar.toml"), "settings of this machine");
    roff.entry(
        &bold("~/.config/instar/config.toml"),
        "settings of this user; `instar`(1) describes both",
    );
    roff.heading("ENVIRONMENT");
    roff.text(
        "Each setting has a variable whose name begins with `INSTAR_`, such as `INSTAR_UNTRUSTED`; `instar`(1) lists them.",
    );
    roff.heading(RELATED);
    let verbs = last
        .iter()
        .filter(|section| section.title == RELATED)
        .flat_map(|section| &section.blocks)
        .filter_map(|block| match block {
            prose::Block::Paragraph(text) => Some(text.split(", ")),
            prose::Block::Entry(..) => None,
        });
    let names = [String::from("instar")]
        .into_iter()
        .chain(verbs.flatten().map(|verb| format!("instar-{verb}")))
        .chain([String::from("qemu-img")]);
    let names: Vec<String> = names.map(|name| format!("{}(1)", bold(&name))).collect();
    roff.raw(&names.join(", "));
}

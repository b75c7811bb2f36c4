use super::prose::{self, Block, Section};
use super::{Edition, explanation, pages, top};
use crate::{settings, verbs};

const EDITION: Edition<'_> = Edition {
    version: "1.2.3",
    date: "2026-11-27",
};

#[test]
fn every_verb_has_a_text_that_says_its_exit_codes_and_names_other_verbs() {
    for page in verbs::pages() {
        let sections = prose::of(page.name).unwrap_or_else(|| {
            panic!(
                "{}: write verbs/{0}/manual.txt, and name it in manual/prose.rs",
                page.name
            )
        });
        let section = |title: &str| {
            let found = sections.iter().find(|section| section.title == title);
            &found
                .unwrap_or_else(|| panic!("{}: no {title}", page.name))
                .blocks
        };
        let codes: Vec<&str> = section("EXIT STATUS")
            .iter()
            .filter_map(|block| match block {
                Block::Entry(term, _) => Some(term.as_str()),
                Block::Paragraph(_) => None,
            })
            .collect();
        assert!(codes.starts_with(&["0", "1"]), "{}: {codes:?}", page.name);
        let [Block::Paragraph(related)] = section("SEE ALSO").as_slice() else {
            panic!("{}: names of verbs", page.name)
        };
        for verb in related.split(", ") {
            assert!(
                verb != page.name && verbs::Verb::find(verb.as_bytes()).is_some(),
                "{}: {verb}",
                page.name
            );
        }
    }
}

#[test]
fn every_option_is_on_its_page_by_all_of_its_names() {
    let texts = pages(EDITION);
    for page in verbs::pages() {
        let file = format!("instar-{}.1", page.name);
        let text = &texts.iter().find(|page| page.file == file).unwrap().text;
        let shown: Vec<&str> = text.lines().filter(|line| line.starts_with("\\fB\\-")).collect();
        for flag in page.flags().filter(|flag| explanation(flag).is_some()) {
            let letter = flag.short.map(|letter| format!("\\-{}", char::from(letter)));
            let long = flag.long.iter().chain(flag.exact);
            let long = long.map(|name| format!("\\-\\-{}", name.replace('-', "\\-")));
            for name in letter.into_iter().chain(long) {
                let name = format!("\\fB{name}\\fP");
                assert!(shown.iter().any(|line| line.contains(&name)), "{file}: {name}");
            }
        }
        for (operand, _) in page.operands {
            assert!(text.contains(operand), "{file}: {operand}");
        }
        for (command, _) in page.examples {
            assert!(
                text.contains(&format!("instar {}", super::roff::escaped(command))),
                "{file}: {command}"
            );
        }
    }
}

#[test]
fn the_page_of_the_program_names_every_verb_and_every_setting() {
    let texts = pages(EDITION);
    let text = &texts.iter().find(|page| page.file == "instar.1").unwrap().text;
    for page in verbs::pages() {
        assert!(
            text.contains(&format!("instar\\-{}\\fP(1)", page.name)),
            "{}",
            page.name
        );
    }
    for key in settings::KEYS {
        assert!(text.contains(&settings::variable(key)), "{key}");
        let has_option = crate::flags::POLICY.iter().any(|flag| flag.exact == [*key]);
        assert_eq!(top::of_administrators(key).is_empty(), has_option, "{key}");
    }
}

#[test]
fn text_for_people_never_becomes_a_request() {
    let mut roff = super::roff::Roff::new("x", EDITION);
    roff.text(".so /etc/passwd and 'quoted' \\words of non-root `--users` with --options");
    let text = roff.finish();
    assert_eq!(
        text.lines().last().unwrap(),
        "\\&.so /etc/passwd and \\(aqquoted\\(aq \\ewords of non-root \\fB\\-\\-users\\fP with \\-\\-options"
    );
}

#[test]
fn a_text_is_sections_of_paragraphs_and_terms() {
    let read = prose::sections(
        "= ONE\nA line\nand another.\n\n0\n    success\n1\n    no\n    success\n\n= TWO\nb\n",
    );
    let entry = |term: &str, meaning: &str| Block::Entry(term.to_owned(), meaning.to_owned());
    let section = |title: &str, blocks: Vec<Block>| Section {
        title: title.to_owned(),
        blocks,
    };
    assert_eq!(
        read,
        [
            section(
                "ONE",
                vec![
                    Block::Paragraph("A line and another.".to_owned()),
                    entry("0", "success"),
                    entry("1", "no success")
                ]
            ),
            section("TWO", vec![Block::Paragraph("b".to_owned())]),
        ]
    );
}

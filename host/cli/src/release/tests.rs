use std::collections::HashSet;

use super::{DEFAULT, FACTS, Fact, PROFILES, Release, Series};

fn release(name: &str) -> Release {
    Release::parse(name.as_bytes()).unwrap()
}

#[test]
fn profiles_are_named_by_their_series() {
    assert_eq!(release("7.2").to_string(), "7.2.22");
    assert_eq!(release("10.0"), DEFAULT);
    assert_eq!(release("11.1").series, Series(11, 1));
    for word in ["", "10", "10.0.2", "8.2", "latest", "7.2 "] {
        let message = Release::parse(word.as_bytes()).unwrap_err();
        assert!(
            message.contains("expects auto or one of 7.2, 10.0, 11.1"),
            "{message}"
        );
    }
}

#[test]
fn a_package_has_the_release_in_its_version() {
    for (version, shown) in [
        ("1:7.2+dfsg-7+deb12u18+b3", Some("7.2.0")),
        ("1:10.0.13+ds-0+deb13u1", Some("10.0.13")),
        ("1:11.1.3+ds-1~bpo13+1", Some("11.1.3")),
        ("1:8.2.2+ds-0ubuntu1.16", Some("8.2.2")),
        ("9.2.4-r0", Some("9.2.4")),
        ("1:6.2", Some("6.2.0")),
        ("7", None),
        ("", None),
        ("99999.1", None),
        ("x.y", None),
    ] {
        let found = Release::of_package(version).map(|release| release.to_string());
        assert_eq!(found.as_deref(), shown, "{version}");
    }
}

#[test]
fn each_fact_has_one_row_and_tells_profiles_apart() {
    let mut known = HashSet::new();
    for row in FACTS {
        assert!(known.insert(row.fact), "{:?} has two rows", row.fact);
        let holds = PROFILES.iter().filter(|profile| profile.has(row.fact)).count();
        assert!(
            (1..PROFILES.len()).contains(&holds),
            "{:?} is the same for all",
            row.fact
        );
    }
}

#[test]
fn a_fact_holds_from_its_release_on_and_until_the_one_that_ended_it() {
    assert!(
        !Release::of_package("7.2.22")
            .unwrap()
            .has(Fact::InfoShowsChildren)
    );
    assert!(Release::of_package("8.0.0").unwrap().has(Fact::InfoShowsChildren));
    for (version, plain) in [
        ("7.2.0", false),
        ("9.2.0", false),
        ("10.0.13", true),
        ("11.1.3", false),
    ] {
        assert_eq!(
            Release::of_package(version).unwrap().has(Fact::PlainBlockCounts),
            plain,
            "{version}"
        );
    }
}

//! The share of differential fuzzing that belongs to every run of the tests: a few cases of each campaign, always the same ones.

#![allow(clippy::panic, reason = "a disagreement is a failure")]

use std::time::Duration;

use instar_differential::{Campaign, Fleet, Plan};
use instar_tests::{Reference, instar_path, ledger};

/// Cases of one campaign; `INSTAR_TEST_DIFFERENTIAL` asks for more.
const CASES: u64 = 150;
/// Less than a minute for all campaigns together.
const TIME: Duration = Duration::from_secs(12);

fn share(campaign: Campaign) {
    let asked = std::env::var("INSTAR_TEST_DIFFERENTIAL")
        .ok()
        .and_then(|text| text.parse().ok());
    // Another release in place of the usual one is for those who look for what it does.
    if Reference::installed().series != "10.0" {
        return ledger::skip("qemu-img is not 10.0, so no random cases were compared");
    }
    let kvm = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok();
    let fleet = Fleet::new(instar_path().to_owned(), Reference::installed().clone());
    let plan = Plan {
        campaign,
        seed: 19,
        first: 0,
        cases: asked.unwrap_or(CASES),
        workers: 1,
        without_kvm: !kvm,
        time: asked.is_none().then_some(TIME),
    };
    let account = fleet.run(&plan);
    println!(
        "{campaign:?}: {} cases in {:?}, {} comparisons",
        account.cases(),
        account.took,
        account.commands
    );
    assert!(account.agreed > 0, "nothing was compared");
    if let Some((signature, (_, number, _))) = account.found.iter().next() {
        let (script, verdict) = fleet.explain(&plan, *number, true);
        panic!("case {number}: {signature}\n{script}\n{verdict:?}");
    }
}

#[test]
fn dd_copies_what_qemu_img_copies() {
    share(Campaign::Dd);
}

#[test]
fn nearly_valid_images_are_read_alike() {
    share(Campaign::Images);
}

#[test]
fn chains_of_operations_give_the_same_disks() {
    share(Campaign::Chains);
}

#[test]
fn command_lines_are_answered_alike() {
    share(Campaign::Lines);
}

#[test]
fn a_case_depends_on_its_campaign_seed_and_number_alone() {
    for campaign in Campaign::ALL {
        let steps = |seed, number| campaign.case(seed, number).steps;
        assert_eq!(steps(1, 2), steps(1, 2));
        let others: Vec<_> = (0..20).map(|number| steps(2, number)).collect();
        assert!(others.iter().any(|other| *other != steps(1, 2)), "{campaign:?}");
    }
}

//! Many cases on all processors, and the account of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use instar_tests::{Reference, Sandbox};

use crate::campaign::Campaign;
use crate::case::Case;
use crate::execute::{Disagreement, Verdict, execute};
use crate::script::script;
use crate::shrink::shrink;
use crate::twins::{Kept, Twins};

/// Which cases are to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub campaign: Campaign,
    pub seed: u64,
    pub first: u64,
    pub cases: u64,
    /// Workers at once.
    pub workers: usize,
    /// Run nothing in a virtual machine.
    pub without_kvm: bool,
    /// Begin no case after this long.
    pub time: Option<Duration>,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Account {
    pub agreed: u64,
    pub commands: usize,
    pub void: BTreeMap<&'static str, u64>,
    pub known: BTreeMap<&'static str, u64>,
    /// By signature: how often, the number of the first case, and what it shows.
    pub found: BTreeMap<String, (u64, u64, Disagreement)>,
    pub took: Duration,
}

impl Account {
    #[must_use]
    pub fn cases(&self) -> u64 {
        let found: u64 = self.found.values().map(|(count, ..)| count).sum();
        self.agreed + self.void.values().sum::<u64>() + self.known.values().sum::<u64>() + found
    }

    fn add(&mut self, number: u64, verdict: Verdict) {
        match verdict {
            Verdict::Agreed(commands) => {
                self.agreed += 1;
                self.commands += commands;
            }
            Verdict::Void(why) => *self.void.entry(why).or_default() += 1,
            Verdict::Known(row) => *self.known.entry(row).or_default() += 1,
            Verdict::Disagreed(found) => {
                let entry = self
                    .found
                    .entry(found.signature())
                    .or_insert_with(|| (0, number, *found.clone()));
                entry.0 += 1;
                if number < entry.1 {
                    (entry.1, entry.2) = (number, *found);
                }
            }
        }
    }
}

/// Both programs, and what is kept between cases.
#[derive(Debug)]
pub struct Fleet {
    instar: PathBuf,
    reference: Reference,
    kept: Kept,
}

impl Fleet {
    #[must_use]
    pub fn new(instar: PathBuf, reference: Reference) -> Self {
        Self {
            instar,
            reference,
            kept: Kept::new(),
        }
    }

    fn twins(&self) -> Twins<'_> {
        Twins::new(&self.kept, &self.instar, &self.reference)
    }

    /// Carries `plan` out.
    ///
    /// # Panics
    ///
    /// If a worker does.
    #[must_use]
    pub fn run(&self, plan: &Plan) -> Account {
        let began = Instant::now();
        let next = AtomicU64::new(plan.first);
        let account = Mutex::new(Account::default());
        std::thread::scope(|scope| {
            for _ in 0..plan.workers {
                scope.spawn(|| {
                    let twins = self.twins();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let late = plan.time.is_some_and(|time| began.elapsed() > time);
                        if late || number >= plan.first + plan.cases {
                            break;
                        }
                        let verdict = execute(&case(plan, number), &twins);
                        account.lock().unwrap().add(number, verdict);
                    }
                });
            }
        });
        let mut account = account.into_inner().unwrap();
        account.took = began.elapsed();
        account
    }

    /// What comes of one case.
    #[must_use]
    pub fn one(&self, plan: &Plan, number: u64) -> Verdict {
        execute(&case(plan, number), &self.twins())
    }

    /// The smallest case that shows what a case shows, as a script, and what it shows.
    #[must_use]
    pub fn explain(&self, plan: &Plan, number: u64, shrunk: bool) -> (String, Verdict) {
        let twins = self.twins();
        let whole = case(plan, number);
        match execute(&whole, &twins) {
            Verdict::Disagreed(found) if shrunk => {
                let (small, found) = shrink(whole, *found, &twins);
                (script(&small, &twins), Verdict::Disagreed(Box::new(found)))
            }
            verdict => (script(&whole, &twins), verdict),
        }
    }
}

fn case(plan: &Plan, number: u64) -> Case {
    let mut case = plan.campaign.case(plan.seed, number);
    if plan.without_kvm {
        case.sandbox = Sandbox::Process;
    }
    case
}

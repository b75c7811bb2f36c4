//! Both programs, side by side.

use std::ffi::OsStr;

use crate::Bench;

/// The same command lines in two directories.
#[derive(Debug)]
pub struct Pair {
    /// That of qemu-img.
    pub theirs: Bench,
    /// That of instar.
    pub ours: Bench,
}

impl Pair {
    /// What `make` makes is in both.
    pub fn new(bench: &Bench, make: &dyn Fn(&Bench)) -> Self {
        let pair = Self {
            theirs: Bench::new(bench.sandbox()),
            ours: Bench::new(bench.sandbox()),
        };
        make(&pair.theirs);
        make(&pair.ours);
        pair
    }

    /// What both print and return agrees; gives whether they succeeded.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn agree(&self, words: &[impl AsRef<OsStr>]) -> bool {
        let (theirs, ours) = (self.theirs.qemu(words), self.ours.instar(words));
        assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
        assert_eq!(theirs.text(), ours.text(), "{theirs}{ours}");
        assert_eq!(theirs.message(), ours.message(), "{theirs}{ours}");
        theirs.code() == Some(0)
    }

    /// Likewise for each line of words; `_` stands for an empty word. Gives how many succeeded.
    ///
    /// # Panics
    /// As [`Pair::agree`].
    #[track_caller]
    pub fn agree_on(&self, lines: &[&str]) -> usize {
        let mut done = 0;
        for line in lines {
            let words: Vec<&str> = line.split(' ').map(|word| if word == "_" { "" } else { word }).collect();
            done += usize::from(self.agree(&words));
        }
        done
    }
}

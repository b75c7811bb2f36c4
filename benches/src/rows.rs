//! What is measured, and the goals.

mod changing;
mod codec;
mod cold;
mod formats;
mod limits;
mod looks;
mod making;
mod plain;
mod sparse;

use crate::peers::Peer;
use crate::place::Place;

/// Rows that are asked for together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Data that is moved as it is.
    Plain,
    /// Data that is decoded or encoded.
    Codec,
    /// Sources that are not in memory, and slow devices.
    Cold,
    /// The machine's limits, and work under a memory limit.
    Limits,
    /// Verbs that only read.
    Looks,
    Making,
    /// Verbs that change an image.
    Changing,
}

impl Group {
    /// All of them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Plain,
        Self::Codec,
        Self::Cold,
        Self::Limits,
        Self::Looks,
        Self::Making,
        Self::Changing,
    ];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Codec => "codec",
            Self::Cold => "cold",
            Self::Limits => "limits",
            Self::Looks => "looks",
            Self::Making => "making",
            Self::Changing => "changing",
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What is done.
    pub(crate) name: &'static str,
    /// Who asks for it.
    pub(crate) group: Group,
    /// Images that must be there.
    pub(crate) needs: &'static [&'static str],
    /// The command line; `@NAME` is an image and `@` alone the output.
    pub(crate) words: &'static [&'static str],
    /// The image that is changed: a new copy is the output before each run.
    pub(crate) changes: Option<Changed>,
    /// Who else does the same.
    pub(crate) peers: &'static [Peer],
    /// Where it runs.
    pub(crate) place: Place,
    /// Timed runs of each program.
    pub(crate) runs: usize,
    /// The ratio to reach in the better sandbox, if there is a goal.
    pub(crate) goal: Option<f64>,
    /// A goal of KVM's own.
    pub(crate) kvm_goal: Option<f64>,
    /// Whether KVM must stay within 1.25 of the process sandbox.
    pub(crate) conversion: bool,
    /// Whether it only moves data: then processor time and `cp` are goals too, and the first write of new pages is the limit.
    pub(crate) plain: bool,
    /// Whether it takes so much room that it must be asked for.
    pub(crate) large: bool,
}

/// An image that a row changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed {
    pub(crate) image: &'static str,
    /// The one below, which is changed too and then is copied beside it.
    pub(crate) base: Option<&'static str>,
}

impl Row {
    /// Every image that the row or one of its installed peers reads.
    pub(crate) fn images(&self) -> impl Iterator<Item = &'static str> {
        let peers = self.peers.iter().filter(|peer| peer.is_installed());
        self.needs
            .iter()
            .copied()
            .chain(
                self.changes
                    .iter()
                    .flat_map(|changed| [Some(changed.image), changed.base])
                    .flatten(),
            )
            .chain(peers.filter_map(|peer| peer.image()))
    }
}

const fn row(
    group: Group,
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
) -> Row {
    Row {
        name,
        group,
        needs,
        words,
        changes: None,
        peers: &[],
        place: Place::Warm,
        runs,
        goal: if goal > 0.0 { Some(goal) } else { None },
        kvm_goal: None,
        conversion: true,
        plain: false,
        large: false,
    }
}

/// A row of which only the time counts.
const fn timed(
    group: Group,
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
) -> Row {
    Row {
        conversion: false,
        ..row(group, name, needs, words, runs, goal)
    }
}

pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    plain::ROWS
        .iter()
        .chain(formats::ROWS)
        .chain(sparse::ROWS)
        .chain(codec::ROWS)
        .chain(cold::ROWS)
        .chain(limits::ROWS)
        .chain(looks::ROWS)
        .chain(making::ROWS)
        .chain(changing::ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = all().map(|row| row.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_image_of_a_command_is_needed() {
        for row in all() {
            let named = row.words.iter().filter_map(|word| word.split_once('@'));
            for (_, name) in named.filter(|(_, name)| !name.is_empty()) {
                assert!(row.needs.contains(&name), "{}: {name}", row.name);
            }
        }
    }
}

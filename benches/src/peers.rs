//! Who else does the same work.

/// Another way to the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// qemu-img itself, with options that callers use to make it faster.
    Qemu(&'static [&'static str]),
    /// nbdcopy, fed by qemu-nbd: the format, and the image.
    Nbd(&'static str, &'static str),
    /// What copies a sparse file without looking into it: the raw form of the same bytes.
    Copy(&'static str),
}

/// qemu-img with writes out of order.
pub(crate) const UNORDERED: Peer = Peer::Qemu(&["-W"]);
/// qemu-img with as many coroutines as it takes, and writes out of order.
pub(crate) const PARALLEL: Peer = Peer::Qemu(&["-m", "16", "-W"]);
/// qemu-img that asks the kernel to copy.
pub(crate) const CLONING: Peer = Peer::Qemu(&["-C"]);

/// The columns, in the order of the table.
pub(crate) const COLUMNS: [&str; 5] = ["-W", "-m 16 -W", "-C", "nbdcopy", "cp"];

impl Peer {
    /// The column that the peer stands in.
    pub(crate) fn column(self) -> String {
        match self {
            Self::Qemu(options) => options.join(" "),
            Self::Nbd(..) => "nbdcopy".to_owned(),
            Self::Copy(_) => "cp".to_owned(),
        }
    }

    /// An image that the peer reads and the row does not.
    pub(crate) fn image(self) -> Option<&'static str> {
        match self {
            Self::Qemu(_) => None,
            Self::Nbd(_, image) | Self::Copy(image) => Some(image),
        }
    }

    /// Whether its programs are there.
    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Qemu(_) => true,
            Self::Nbd(..) => installed("nbdcopy") && installed("qemu-nbd"),
            Self::Copy(_) => installed("cp"),
        }
    }
}

/// Whether a program stands in the search path, or where administrators' programs stand.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_of_every_row_has_a_column() {
        for row in crate::rows::all() {
            for peer in row.peers {
                assert!(
                    COLUMNS.contains(&peer.column().as_str()),
                    "{}: {peer:?}",
                    row.name
                );
            }
        }
    }
}

//! Namespaces: which words of a descriptor are OVF's.

use alloc::vec::Vec;

/// Prefixes, and whether what they stand for is OVF, with the depth at which each was declared.
#[derive(Debug, Default)]
pub(crate) struct Spaces<'x> {
    declared: Vec<(usize, &'x [u8], bool)>,
}

impl<'x> Spaces<'x> {
    /// Takes note of a declaration in the element at `depth`. The prefix of the default is empty.
    pub(crate) fn declare(&mut self, depth: usize, prefix: &'x [u8], space: &[u8]) {
        self.declared.push((depth, prefix, is_ovf(space)));
    }

    /// Forgets what was declared in elements below `depth`.
    pub(crate) fn leave(&mut self, depth: usize) {
        while self.declared.pop_if(|(own, _, _)| *own > depth).is_some() {}
    }

    /// The local part of `name`, if OVF may mean it. What has no prefix and no default is taken for OVF's: some writers leave it out.
    pub(crate) fn local<'n>(&self, name: &'n [u8], takes_default: bool) -> Option<&'n [u8]> {
        let colon = name.iter().position(|byte| *byte == b':');
        let (prefix, local) = match colon.and_then(|at| name.split_at_checked(at)) {
            Some((prefix, local)) => (prefix, local.strip_prefix(b":").unwrap_or_default()),
            None if takes_default => (&[][..], name),
            None => return Some(name),
        };
        let found = self.declared.iter().rev().find(|(_, known, _)| *known == prefix);
        match found {
            Some((_, _, is_ovf)) => is_ovf.then_some(local),
            None => prefix.is_empty().then_some(local),
        }
    }
}

/// Whether a namespace is that of envelopes, of any version.
fn is_ovf(space: &[u8]) -> bool {
    OURS.iter().any(|start| space.starts_with(start))
}

/// What namespaces of envelopes begin with: DMTF's, and the one from before.
const OURS: [&[u8]; 2] = [
    b"http://schemas.dmtf.org/ovf/envelope/",
    b"http://www.vmware.com/schema/ovf/",
];

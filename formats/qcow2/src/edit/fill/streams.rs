//! Places for compressed clusters, several to a cluster of the file.

use instar_disk::{Result, align_down, align_up};

use super::Existing;
use crate::num::{add, internal, shl, shr, sub};
use crate::packed;

impl Existing<'_> {
    /// Where a stream of `stored` bytes goes; counts the clusters that it touches.
    pub(super) fn place_stream(&mut self, stored: u64) -> Result<u64> {
        let bits = self.layout.cluster_bits();
        if let Some(tail) = self.tail.take() {
            let cluster = shr(tail, bits);
            let room = sub(align_up(tail, self.layout.cluster())?, tail)?;
            let full = self.ledger.count(cluster)? >= packed::limit(self.layout.refcount_order());
            let last = add(cluster, 1)? == self.ledger.clusters();
            if !full && (stored <= room || last) {
                self.ledger.add(cluster)?;
                // Counting may have taken the cluster that the stream would go on in.
                let next = shl(add(cluster, 1)?, bits)?;
                if stored <= room || self.ledger.take_last()? == next {
                    return self.after_stream(tail, stored);
                }
                return Err(internal(line!()));
            }
        }
        let host = self.ledger.take(1)?;
        self.after_stream(host, stored)
    }

    fn after_stream(&mut self, host: u64, stored: u64) -> Result<u64> {
        let end = add(host, stored)?;
        self.tail = (end != align_down(end, self.layout.cluster())).then_some(end);
        Ok(host)
    }
}

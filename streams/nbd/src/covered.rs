//! Which bytes of a request have come.

use alloc::vec::Vec;
use core::ops::Range;

/// Ranges that lie apart, in order.
#[derive(Debug, Default)]
pub(crate) struct Covered(Vec<Range<u64>>);

impl Covered {
    /// Notes a range that is not empty; `false` if part of it is there already.
    pub(crate) fn add(&mut self, range: Range<u64>) -> bool {
        let at = self.0.partition_point(|known| known.end < range.start);
        match self.0.get_mut(at) {
            Some(known) if known.end == range.start => {
                known.end = range.end;
                let behind = at.saturating_add(1);
                match self.0.get(behind).cloned() {
                    Some(next) if next.start < range.end => return false,
                    Some(next) if next.start == range.end => {
                        self.0.remove(behind);
                        if let Some(known) = self.0.get_mut(at) {
                            known.end = next.end;
                        }
                    }
                    _ => {}
                }
                true
            }
            Some(known) if known.start < range.end => false,
            Some(known) if known.start == range.end => {
                known.start = range.start;
                true
            }
            _ => {
                self.0.insert(at, range);
                true
            }
        }
    }

    /// Whether that is all that has come, without a gap.
    pub(crate) fn is(&self, range: &Range<u64>) -> bool {
        matches!(self.0.as_slice(), [only] if only == range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a judge that counts each byte.
    #[test]
    fn ranges_in_any_order_are_whole_only_when_each_byte_came_once() {
        let ranges: Vec<Range<u64>> = (0..5)
            .flat_map(|from| (from + 1..6).map(move |to| from..to))
            .collect();
        let mut whole = 0;
        for one in &ranges {
            for two in &ranges {
                for three in &ranges {
                    let mut covered = Covered::default();
                    let mut seen = [0; 5];
                    for range in [one, two, three] {
                        let fresh = range.clone().all(|at| seen[usize::try_from(at).unwrap()] == 0);
                        assert_eq!(covered.add(range.clone()), fresh, "{one:?} {two:?} {three:?}");
                        if !fresh {
                            break;
                        }
                        range
                            .clone()
                            .for_each(|at| seen[usize::try_from(at).unwrap()] += 1);
                        let all = seen.iter().all(|count| *count == 1);
                        assert_eq!(covered.is(&(0..5)), all, "{one:?} {two:?} {three:?}");
                        whole += usize::from(all);
                    }
                }
            }
        }
        assert!(whole > 10);
    }
}

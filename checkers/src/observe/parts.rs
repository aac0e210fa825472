//! Which data parts hold rows that were not read yet.
//!
//! Every insert makes a part with a block number of its own, and a merged part covers the block numbers of the parts that
//! it was made of (ClickHouse: `MergeTree`, `system.parts`). So a part is new if some block that it covers was not read.
//! A merged part may hold both old rows and rows that nobody has read yet: then it is read whole.

use std::collections::HashMap;

/// An active data part.
#[derive(Debug, Clone, PartialEq, Eq, ::clickhouse::Row, serde::Deserialize)]
pub struct Part {
    /// Its name, the value of `_part`.
    pub name: String,
    /// The partition that it belongs to.
    pub partition_id: String,
    /// The first block that it covers.
    pub min_block_number: i64,
    /// The last.
    pub max_block_number: i64,
    /// How many rows it holds.
    pub rows: u64,
}

/// The blocks that were read, per partition, as disjoint inclusive ranges in order.
#[derive(Debug, Clone, Default)]
pub struct ReadBlocks(HashMap<String, Vec<(i64, i64)>>);

impl ReadBlocks {
    /// Those of `parts` that cover a block that was not read.
    pub fn unread<'a>(&self, parts: &'a [Part]) -> Vec<&'a Part> {
        parts.iter().filter(|part| !self.covers(part)).collect()
    }

    fn covers(&self, part: &Part) -> bool {
        self.0.get(&part.partition_id).is_some_and(|ranges| {
            ranges.iter().any(|(from, to)| *from <= part.min_block_number && part.max_block_number <= *to)
        })
    }

    /// Notes that `part` was read whole.
    pub fn note(&mut self, part: &Part) {
        let ranges = self.0.entry(part.partition_id.clone()).or_default();
        ranges.push((part.min_block_number, part.max_block_number));
        ranges.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges.drain(..) {
            match joined.last_mut() {
                Some((_, last)) if from <= *last + 1 => *last = to.max(*last),
                _ => joined.push((from, to)),
            }
        }
        *ranges = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(partition: &str, from: i64, to: i64) -> Part {
        Part {
            name: format!("{partition}_{from}_{to}_0"),
            partition_id: partition.into(),
            min_block_number: from,
            max_block_number: to,
            rows: 1,
        }
    }

    #[test]
    fn what_was_read_is_not_read_again_across_merges() {
        let mut read = ReadBlocks::default();
        let unread = |read: &ReadBlocks, parts: &[Part]| read.unread(parts).len();
        let (first, second, merged) = (part("a", 1, 1), part("a", 2, 2), part("a", 1, 2));
        assert_eq!(unread(&read, &[first.clone(), second.clone()]), 2);
        read.note(&first);
        assert_eq!(unread(&read, &[first.clone(), second.clone()]), 1);
        assert_eq!(
            unread(&read, std::slice::from_ref(&merged)),
            1,
            "it holds rows of the second, which nobody has read"
        );
        read.note(&second);
        assert_eq!(unread(&read, std::slice::from_ref(&merged)), 0, "both halves were read");
        assert_eq!(unread(&read, &[part("b", 1, 1)]), 1, "blocks are numbered in each partition");
    }

    #[test]
    fn a_gap_is_read_once_with_the_part_that_covers_it() {
        let mut read = ReadBlocks::default();
        read.note(&part("a", 1, 1));
        read.note(&part("a", 3, 3));
        // Block 2 may have been a part that was merged before anyone saw it.
        let merged = part("a", 1, 3);
        assert_eq!(read.unread(std::slice::from_ref(&merged)).len(), 1);
        read.note(&merged);
        assert!(read.unread(&[merged, part("a", 2, 2)]).is_empty());
    }
}

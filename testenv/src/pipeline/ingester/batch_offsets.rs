//! The offsets after the messages of a batch.

use super::store::Offsets;

/// Of the few partitions of a batch: which offset is due next. A message is nearly always of the partition of the one
/// before it, and finding that costs no copy of the topic's name.
#[derive(Debug, Default)]
pub(super) struct BatchOffsets {
    partitions: Vec<Due>,
    latest: usize,
}

#[derive(Debug)]
struct Due {
    topic: String,
    partition: i32,
    next: i64,
    /// Whether a message of this batch moved it.
    moved: bool,
}

impl BatchOffsets {
    /// The offset that is due in a partition; `before` tells where this batch began in it.
    ///
    /// # Errors
    /// When `before` cannot tell.
    pub(super) fn due<E>(
        &mut self,
        topic: &str,
        partition: i32,
        before: impl FnOnce() -> Result<i64, E>,
    ) -> Result<i64, E> {
        let is_it = |due: &Due| due.partition == partition && due.topic == topic;
        if !self.partitions.get(self.latest).is_some_and(is_it) {
            self.latest = match self.partitions.iter().position(is_it) {
                Some(place) => place,
                None => {
                    let next = before()?;
                    self.partitions.push(Due { topic: topic.to_owned(), partition, next, moved: false });
                    self.partitions.len() - 1
                }
            };
        }
        Ok(self.partitions[self.latest].next)
    }

    /// In the partition that was just asked about, `next` is due now, or what was due already if that is more.
    pub(super) fn moves_to(&mut self, next: i64) {
        if let Some(due) = self.partitions.get_mut(self.latest) {
            due.next = due.next.max(next);
            due.moved = true;
        }
    }

    /// All that were moved.
    pub(super) fn moved(self) -> Offsets {
        let moved = self.partitions.into_iter().filter(|due| due.moved);
        moved.map(|due| ((due.topic, due.partition), due.next)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn each_partition_goes_on_from_where_it_was() {
        let mut offsets = BatchOffsets::default();
        let mut asked = Vec::new();
        for (topic, partition, offset) in [("a", 0, 7), ("a", 0, 8), ("b", 0, 5), ("a", 1, 3), ("a", 0, 9), ("b", 0, 4)]
        {
            let before = || {
                asked.push((topic, partition));
                Ok::<_, Infallible>(5)
            };
            let Ok(due) = offsets.due(topic, partition, before);
            if offset >= due {
                offsets.moves_to(offset + 1);
            }
        }
        assert_eq!(asked, [("a", 0), ("b", 0), ("a", 1)], "each once");
        assert_eq!(offsets.moved(), [(("a".into(), 0), 10), (("b".into(), 0), 6)].into());
    }

    #[test]
    fn what_comes_again_never_goes_back() {
        let mut offsets = BatchOffsets::default();
        let Ok(_) = offsets.due("t", 0, || Ok::<_, Infallible>(5));
        offsets.moves_to(3);
        assert_eq!(offsets.moved(), [(("t".into(), 0), 5)].into());
    }
}

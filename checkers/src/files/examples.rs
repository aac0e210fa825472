//! The first few of each class, in the order of the files, whatever the order in which they are judged.

use std::collections::BTreeMap;

use crate::reconcile::evidence::Class;

/// Where something stands: the file (sent, rows, reads), the line, and the place in it.
pub(super) type Place = (u8, u64, u64);

/// The first `most` of each class.
#[derive(Debug)]
pub(super) struct Examples<T> {
    most: usize,
    first: BTreeMap<Class, BTreeMap<Place, T>>,
}

impl<T> Examples<T> {
    pub const fn new(most: usize) -> Self {
        Self { most, first: BTreeMap::new() }
    }

    /// Keeps what `example` makes if it is among the first of its class so far.
    pub fn add(&mut self, class: Class, place: Place, example: impl FnOnce() -> T) {
        let first = self.first.entry(class).or_default();
        let is_full = first.len() >= self.most;
        if is_full && first.last_key_value().is_none_or(|(last, _)| *last < place) {
            return;
        }
        if is_full {
            first.pop_last();
        }
        first.insert(place, example());
    }

    /// Those of `class`, in their order.
    pub fn take(&mut self, class: Class) -> Vec<T> {
        self.first.remove(&class).unwrap_or_default().into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stay_whenever_they_come() {
        let of = |most, lines: &[u64]| {
            let mut examples = Examples::new(most);
            for line in lines {
                examples.add(Class::Lost, (0, *line, 0), || *line);
            }
            assert!(examples.take(Class::Vanished).is_empty());
            examples.take(Class::Lost)
        };
        assert_eq!(of(3, &[5, 9, 1, 7, 3, 8]), [1, 3, 5]);
        assert_eq!(of(9, &[5, 9, 1]), [1, 5, 9]);
        assert_eq!(of(0, &[5]), [] as [u64; 0]);
    }
}

//! What the pipeline's own components (capture, ingesters, exporter) may use together, and what each of them gets of it.
//!
//! Containers are held to it by the kernel. They share processors: one cpuset for all. Memory Docker limits container by
//! container, so each has an equal share of it, and what one does not use no other gets. Child processes keep to the same
//! processors by themselves ([`settings::confine`](crate::pipeline::settings::confine)), and nothing limits their memory: it can
//! only be judged by what they have used.

use super::EnvironmentError;
use crate::{
    containers::container::Limits,
    pipeline::settings::{allowed, last_of},
};

/// Limits of memory are whole pages.
const PAGE: u64 = 4_096;

/// What the pipeline's own components may use together; Kafka and ClickHouse are beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// How many whole processors: they run on these and no others.
    pub processors: Option<usize>,
    /// How much memory, in bytes.
    pub memory: Option<u64>,
}

impl Budget {
    /// How much memory each of so many components gets, in bytes: equal shares, together never more than the budget.
    pub fn memory_of_each(self, components: usize) -> Option<u64> {
        self.memory.map(|memory| memory / components.max(1) as u64 / PAGE * PAGE)
    }
}

/// How many components of its own a pipeline has, with so many ingesters.
pub const fn own_components(ingesters: usize, exports: bool) -> usize {
    1 + ingesters + exports as usize
}

/// Whether the component called `name` is the pipeline's own, and nothing that it needs beside it.
pub fn is_own(name: &str) -> bool {
    let is_further_ingester = |name: &str| name.strip_prefix("ingester-").is_some_and(|n| n.parse::<u8>().is_ok());
    ["capture", "ingester", "exporter", "second-ingester"].contains(&name) || is_further_ingester(name)
}

/// What a component is held to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Share {
    /// What it alone may use.
    pub limits: Limits,
    /// The processors that it runs on, where they are not all that there are.
    pub only_on: Vec<usize>,
}

impl Share {
    /// What each of `components` gets of `budget`, where none of them may use more than `limits` either.
    ///
    /// # Errors
    /// When there are not so many processors.
    pub(crate) fn of(budget: Budget, components: usize, limits: Limits) -> Result<Self, EnvironmentError> {
        let system = |source| EnvironmentError::System {
            what: "the system does not say which processors may be used".into(),
            source,
        };
        let there = if budget.processors.is_some() { allowed().map_err(system)? } else { Vec::new() };
        Self::among(budget, components, limits, &there)
    }

    fn among(budget: Budget, components: usize, limits: Limits, there: &[usize]) -> Result<Self, EnvironmentError> {
        let only_on = match budget.processors {
            Some(wanted) => {
                let too_few = EnvironmentError::TooFewProcessors { wanted, there: there.len() };
                last_of(there, wanted).ok_or(too_few)?.to_vec()
            }
            None => Vec::new(),
        };
        let memory = budget.memory_of_each(components).into_iter().chain(limits.memory).min();
        Ok(Self { limits: Limits { memory, ..limits }, only_on })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn memory_is_split_into_equal_shares_that_never_exceed_it() {
        let budget = |memory| Budget { processors: None, memory };
        assert_eq!(budget(None).memory_of_each(3), None);
        assert_eq!(budget(Some(GIB)).memory_of_each(own_components(1, false)), Some(GIB / 2));
        for (ingesters, exports) in [(1, true), (2, false), (4, true), (8, true)] {
            let components = own_components(ingesters, exports);
            let each = budget(Some(GIB)).memory_of_each(components).unwrap();
            let all = each * components as u64;
            assert!(each.is_multiple_of(PAGE) && all <= GIB && GIB - all < PAGE * components as u64, "{each}");
        }
    }

    #[test]
    fn all_have_the_same_processors_and_each_its_share_or_less() {
        let budget = Budget { processors: Some(1), memory: Some(GIB) };
        let none = Limits::default();
        let share = Share::among(budget, 2, none, &[0, 1, 6]).unwrap();
        let expected = Limits { processors: None, memory: Some(GIB / 2) };
        assert_eq!(share, Share { limits: expected, only_on: vec![6] });
        let both = Budget { processors: Some(2), ..budget };
        assert_eq!(Share::among(both, 2, none, &[0, 1, 6]).unwrap().only_on, [1, 6]);

        let own = Limits { processors: Some(0.5), memory: Some(GIB / 4) };
        assert_eq!(Share::among(budget, 2, own, &[0]).unwrap().limits, own, "the smaller of both holds");
        let unlimited = Share::among(Budget::default(), 2, own, &[]).unwrap();
        assert_eq!(unlimited, Share { limits: own, only_on: Vec::new() });

        let error = Share::among(Budget { processors: Some(4), memory: None }, 2, none, &[0, 1]).unwrap_err();
        assert!(error.to_string().contains("4 processors, and only 2"), "{error}");
    }

    #[test]
    fn what_is_beside_the_pipeline_is_not_its_own() {
        for own in ["capture", "ingester", "ingester-8", "exporter", "second-ingester"] {
            assert!(is_own(own), "{own}");
        }
        for other in ["kafka", "clickhouse", "webhook", "injector", "capture-db", "ingester-db", "assay"] {
            assert!(!is_own(other), "{other}");
        }
    }
}

//! Among which events the defects are: by partition, by traffic, by size.
//!
//! Every event counts by partition and traffic. To know an event's size it must be made anew, so sizes are known of the
//! first few defects of each window only, and of a few of all events to compare them with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::reconcile::evidence::Class;

/// So many defects of a window are measured, and so many of all its events.
pub const MEASURED: usize = 64;
/// So many groups are told by name, those with the most defects; the others are told together.
const GROUPS: usize = 48;
/// What the groups of several runs are called that are told together.
const OTHERS: &str = "others";
/// An event is of the first size that it is less than, in bytes; the last one has no end.
const SIZES: [(usize, &str); 7] = [
    (256, "under 256 B"),
    (1 << 10, "256 B to 1 kB"),
    (1 << 12, "1 to 4 kB"),
    (1 << 14, "4 to 16 kB"),
    (1 << 17, "16 to 128 kB"),
    (1 << 20, "128 kB to 1 MB"),
    (usize::MAX, "1 MB and more"),
];

/// Some events, and how many of them have a defect of each class.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    events: u64,
    defects: [u64; Class::ALL.len()],
}

impl Tally {
    fn add(&mut self, class: Option<Class>, events: u64) {
        self.events += events;
        if let Some(class) = class {
            self.defects[class as usize] += events;
        }
    }

    fn group(&self, name: String) -> Group {
        let defects = Class::ALL.into_iter().map(|class| (class, self.defects[class as usize]));
        Group { name, events: self.events, defects: defects.filter(|(_, count)| *count > 0).collect() }
    }
}

/// The groups while they are counted.
#[derive(Debug, Clone, Default)]
pub struct Breakdown {
    partitions: BTreeMap<i32, Tally>,
    traffics: BTreeMap<u16, Tally>,
    sizes: [Tally; SIZES.len()],
}

impl Breakdown {
    /// Adds events of one partition (-1 where it is not known) and one traffic.
    pub fn add(&mut self, partition: i32, traffic: u16, class: Option<Class>, events: u64) {
        self.partitions.entry(partition).or_default().add(class, events);
        self.traffics.entry(traffic).or_default().add(class, events);
    }

    /// Adds an event of any kind, to compare the defects with.
    pub fn measure(&mut self, bytes: usize) {
        self.sizes[size(bytes)].events += 1;
    }

    /// Adds an event with a defect.
    pub fn measure_defect(&mut self, bytes: usize, class: Class) {
        self.sizes[size(bytes)].defects[class as usize] += 1;
    }

    /// What it comes to; `traffic` names a traffic.
    pub fn facts(&self, traffic: impl Fn(u16) -> String) -> Breakdowns {
        let partition = |partition: i32| match partition {
            0.. => format!("partition {partition}"),
            _ => "never in Kafka".to_owned(),
        };
        Breakdowns {
            partitions: groups(self.partitions.iter().map(|(number, tally)| (partition(*number), *tally))),
            traffics: groups(self.traffics.iter().map(|(number, tally)| (traffic(*number), *tally))),
            sizes: SIZES.iter().zip(&self.sizes).map(|((_, name), tally)| tally.group((*name).to_owned())).collect(),
        }
    }
}

fn size(bytes: usize) -> usize {
    SIZES.iter().position(|(end, _)| bytes < *end).unwrap_or(SIZES.len() - 1)
}

/// All groups if they are few, else those with the most defects, in their order, and the others together.
fn groups(all: impl Iterator<Item = (String, Tally)>) -> Vec<Group> {
    let mut all: Vec<(usize, (String, Tally))> = all.enumerate().collect();
    let others = if all.len() > GROUPS {
        all.sort_by_key(|(place, (_, tally))| (std::cmp::Reverse(tally.defects.iter().sum::<u64>()), *place));
        all.split_off(GROUPS)
    } else {
        Vec::new()
    };
    all.sort_by_key(|(place, _)| *place);
    let mut groups: Vec<Group> = all.iter().map(|(_, (name, tally))| tally.group(name.clone())).collect();
    if !others.is_empty() {
        let mut rest = Tally::default();
        for (_, (_, tally)) in &others {
            rest.events += tally.events;
            rest.defects.iter_mut().zip(tally.defects).for_each(|(sum, more)| *sum += more);
        }
        groups.push(rest.group(format!("{} others", others.len())));
    }
    groups
}

/// Among which events the defects are, by their own class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Breakdowns {
    /// By partition of the capture topic.
    pub partitions: Vec<Group>,
    /// By traffic of the scenario, each with its tenant.
    pub traffics: Vec<Group>,
    /// By size: of some events, to compare with the first defects of each window.
    pub sizes: Vec<Group>,
}

impl Breakdowns {
    /// Adds those of other traffic through the same pipeline. Groups of the same name are one; where that makes too many of
    /// them, the last ones are told together.
    pub fn add(&mut self, more: &Self) {
        let pairs = [
            (&mut self.partitions, &more.partitions),
            (&mut self.traffics, &more.traffics),
            (&mut self.sizes, &more.sizes),
        ];
        for (groups, more) in pairs {
            for group in more {
                match groups.iter().position(|known| known.name == group.name) {
                    Some(place) => groups[place].add(group),
                    None if groups.len() < GROUPS => groups.push(group.clone()),
                    None => match groups.get_mut(GROUPS) {
                        Some(others) => others.add(group),
                        None => groups.push(Group { name: OTHERS.into(), ..group.clone() }),
                    },
                }
            }
        }
    }
}

/// Events that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What it is.
    pub name: String,
    /// How many there are.
    pub events: u64,
    /// How many have a defect, by class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defects: BTreeMap<Class, u64>,
}

impl Group {
    fn add(&mut self, more: &Self) {
        self.events += more.events;
        for (class, events) in &more.defects {
            *self.defects.entry(*class).or_default() += events;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_in_each_of_their_groups() {
        let mut breakdown = Breakdown::default();
        breakdown.add(3, 0, None, 90);
        breakdown.add(3, 1, Some(Class::Lost), 10);
        breakdown.add(-1, 1, Some(Class::Lost), 5);
        breakdown.measure(255);
        breakdown.measure_defect(256, Class::Lost);
        let facts = breakdown.facts(|number| format!("traffic {number}"));
        let told = |groups: &[Group]| -> Vec<(String, u64, u64)> {
            groups.iter().map(|group| (group.name.clone(), group.events, group.defects.values().sum())).collect()
        };
        assert_eq!(told(&facts.partitions), [("never in Kafka".into(), 5, 5), ("partition 3".into(), 100, 10)]);
        assert_eq!(told(&facts.traffics), [("traffic 0".into(), 90, 0), ("traffic 1".into(), 15, 15)]);
        assert_eq!(told(&facts.sizes)[..2], [("under 256 B".into(), 1, 0), ("256 B to 1 kB".into(), 0, 1)]);
    }

    #[test]
    fn of_many_groups_those_with_defects_are_named() {
        let mut breakdown = Breakdown::default();
        for partition in 0..1_000 {
            breakdown.add(partition, 0, (partition == 777).then_some(Class::Lost), 2);
        }
        let partitions = breakdown.facts(|_| String::new()).partitions;
        assert_eq!(partitions.len(), GROUPS + 1);
        assert!(partitions.iter().any(|group| group.name == "partition 777"));
        let others = partitions.last().unwrap();
        assert_eq!((others.name.as_str(), others.events), ("952 others", 1_904));
    }

    #[test]
    fn groups_of_the_same_name_add_up_and_never_become_too_many() {
        let group = |name: &str, lost: u64| Group {
            name: name.into(),
            events: 10,
            defects: if lost > 0 { [(Class::Lost, lost)].into() } else { BTreeMap::new() },
        };
        let mut all = Breakdowns::default();
        all.add(&Breakdowns { partitions: vec![group("partition 1", 0)], ..Breakdowns::default() });
        all.add(&Breakdowns {
            partitions: vec![group("partition 1", 2), group("partition 2", 1)],
            sizes: vec![group("1 to 4 kB", 3)],
            ..Breakdowns::default()
        });
        assert_eq!(all.partitions[0], Group { events: 20, ..group("partition 1", 2) });
        assert_eq!(
            (&all.partitions[1..], &all.sizes[..]),
            (&[group("partition 2", 1)][..], &[group("1 to 4 kB", 3)][..])
        );
        for number in 0..1_000 {
            let traffics = vec![group(&format!("traffic {number}"), 1)];
            all.add(&Breakdowns { traffics, ..Breakdowns::default() });
        }
        let others = Group { name: OTHERS.into(), events: 9_520, defects: [(Class::Lost, 952)].into() };
        assert_eq!((all.traffics.len(), all.traffics.last()), (GROUPS + 1, Some(&others)));
    }

    #[test]
    fn every_size_has_its_place() {
        assert_eq!([0, 255, 256, 1 << 20, usize::MAX].map(size), [0, 0, 1, 6, 6]);
    }
}

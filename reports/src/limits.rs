//! The limits that components are held to, as a run keeps them and as people read them.

use serde::{Deserialize, Serialize};

use crate::figures::count;

/// The limits in force on a component. What says nothing is not limited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitFacts {
    /// The component's name.
    pub component: String,
    /// The processors that it runs on and no others, as the kernel lists them: `1`, `0-2,6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_on: Option<String>,
    /// Processor time, in processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors: Option<f64>,
    /// Memory, in bytes; beyond it the kernel kills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl LimitFacts {
    /// Whether anything of the component is limited.
    pub const fn is_any(&self) -> bool {
        self.only_on.is_some() || self.processors.is_some() || self.memory.is_some()
    }

    fn told(&self) -> String {
        let parts = [
            self.only_on.as_ref().map(|processors| format!("on processor {processors} alone")),
            self.processors.map(|processors| format!("{processors} of a processor's time")),
            self.memory.map(|memory| format!("{} MiB", count(memory >> 20))),
        ];
        format!("{} {}", self.component, parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// The limits of several components in a line; none if nothing is limited.
pub fn told(limits: &[LimitFacts]) -> Option<String> {
    let told: Vec<String> = limits.iter().filter(|limit| limit.is_any()).map(LimitFacts::told).collect();
    (!told.is_empty()).then(|| told.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_where_there_are_any() {
        let none = LimitFacts { component: "kafka".into(), only_on: None, processors: None, memory: None };
        assert_eq!(told(std::slice::from_ref(&none)), None);
        let capture = LimitFacts {
            component: "capture".into(),
            only_on: Some("1".into()),
            memory: Some(2 << 30),
            ..none.clone()
        };
        let ingester = LimitFacts { component: "ingester".into(), processors: Some(0.5), ..none.clone() };
        let all = [capture, none, ingester];
        assert_eq!(told(&all).unwrap(), "capture on processor 1 alone, 2 048 MiB · ingester 0.5 of a processor's time");
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Vec<LimitFacts>>(&text).unwrap(), all);
    }
}

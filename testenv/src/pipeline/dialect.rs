//! The generations of PostHog's pipeline that the reference pipeline can play (ingestion contract, introduction).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A generation of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Dialect {
    /// Django's capture and the Node plugin server.
    #[serde(rename = "2021")]
    V2021,
    /// The Rust capture of hog-rs and the TypeScript plugin server.
    #[serde(rename = "2024")]
    V2024,
    /// rust/capture and nodejs/src/ingestion.
    #[default]
    #[serde(rename = "2026")]
    V2026,
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "2021" => Ok(Self::V2021),
            "2024" => Ok(Self::V2024),
            "2026" => Ok(Self::V2026),
            _ => Err(format!("`{text}` is no dialect: 2021, 2024 and 2026 are")),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2021 => "2021",
            Self::V2024 => "2024",
            Self::V2026 => "2026",
        })
    }
}

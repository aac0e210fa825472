//! A target that a person has named.

use std::path::Path;

use generators::client::target::{Target, TargetError};

use crate::failure::{Failure, Kind};

/// The target that is written `text`, if somebody answers there; plain HTTP where it is no more than an address and a port.
///
/// # Errors
/// When it is no target, does not answer, or is not trusted.
pub(super) fn usable(text: &str, ca: Option<&Path>) -> Result<Target, Failure> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let unusable = |error: TargetError| {
        let kind = match error {
            TargetError::NoTarget(_) | TargetError::NeedlessCa | TargetError::Ca { .. } => Kind::Usage,
            TargetError::Unresolved { .. } | TargetError::NoRoots | TargetError::Unavailable { .. } => {
                Kind::Unavailable
            }
        };
        Failure::caused(kind, "nothing can be sent there", "is something listening, and is it who it should be?", error)
    };
    let target = Target::resolve(&url, ca).map_err(unusable)?;
    // A certificate that is not trusted is better told now than once for each request.
    target.check().map_err(unusable)?;
    Ok(target)
}

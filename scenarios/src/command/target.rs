//! A target that a person has named.

use std::path::Path;

use generators::client::target::{Target, TargetError};

use crate::failure::{Failure, Kind};

/// The target that is written `text`; plain HTTP where it is no more than an address and a port. Nothing is sent to it.
///
/// # Errors
/// When it is no target, or has no address.
pub(super) fn resolve(text: &str, ca: Option<&Path>) -> Result<Target, Failure> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Target::resolve(&url, ca).map_err(unusable)
}

/// Makes sure that somebody answers at `target`: a certificate that is not trusted is better told now than once for each request.
///
/// # Errors
/// When nobody does, or nobody who is trusted.
pub(super) fn reach(target: Target) -> Result<Target, Failure> {
    target.check().map_err(unusable)?;
    Ok(target)
}

fn unusable(error: TargetError) -> Failure {
    let kind = match error {
        TargetError::NoTarget(_) | TargetError::NeedlessCa | TargetError::Ca { .. } => Kind::Usage,
        TargetError::Unresolved { .. } | TargetError::NoRoots | TargetError::Unavailable { .. } => Kind::Unavailable,
    };
    Failure::caused(kind, "nothing can be sent there", "is something listening, and is it who it should be?", error)
}

//! What a sample says about the pipeline: intervals with a stated confidence.

pub mod binomial;
pub mod clusters;
pub mod quantiles;
pub mod sequential;
pub mod student;
pub mod usl;

//! What a run proves about the pipeline: intervals with a stated confidence.

pub mod binomial;

//! The reference pipeline: capture and ingester, and the switches that plant defects in them.

pub mod capture;
pub mod defect;
pub mod ingester;

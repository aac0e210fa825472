//! Runs of one scenario, one after the other, in one place: what a watch and a soak share.

pub mod place;
pub mod rotation;

pub use self::place::Place;

//! A rehearsal, for people and programs.

pub mod film;

//! The plan file: YAML in, a validated [`crate::engine::plan::Plan`] out; every mistake with its place and its mend.

//! What the tests share.

pub(crate) mod engine_plan;
pub(crate) mod engine_world;

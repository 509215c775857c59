//! What the tests share.

pub(crate) mod cloudwatch_door;
pub(crate) mod ministack;
pub(crate) mod python;

//! Stand-ins, clients and helpers that several tests share.

pub(crate) mod cloudwatch_door;
pub(crate) mod fault_proxy;
pub(crate) mod iam;
pub(crate) mod ministack;
pub(crate) mod moto;
pub(crate) mod post_door;
pub(crate) mod program;
pub(crate) mod python;
pub(crate) mod route53_door;
pub(crate) mod route53_records;
pub(crate) mod server;
pub(crate) mod sts_door;
pub(crate) mod switch_door;
pub(crate) mod wire;
pub(crate) mod xml;

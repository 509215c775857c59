//! One integration binary: a file a behaviour. Every further binary would cost a link of its own.

mod active_active;
mod aws_adapters;
mod beside;
mod command_line;
mod contract;
mod contract_cloudwatch;
mod controller_hunt;
mod docs;
mod end_to_end;
mod foreign_text;
mod fuzz;
mod fuzz_seeds;
mod hints;
mod hunt;
mod hunt_seeds;
mod iam_policy;
mod journal;
mod layers;
mod ministack;
mod misery;
mod network;
mod plan_files;
mod rehearsal;
mod scripts;
mod support;

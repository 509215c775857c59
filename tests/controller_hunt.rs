//! The real controller, hunted: simulated AWS, a journal in memory, virtual time, and everything going wrong.

mod beside;
mod breaking_glass;
mod calls;
mod contained;
mod fleets;
mod held_together;
mod jobs;
mod jobs_hunt;
mod jobs_seldom;
mod journal_down;
mod notices;
mod outside;
mod pages;
mod scale;
mod world;
mod writers;

//! What is judged beyond alarms: numbers of both sides, and what they prove.

pub mod sequential;

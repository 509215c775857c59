//! Reads the processor time of a process. Unlike real time, it does not depend on what else the machine does.

use std::fs;
use std::time::Duration;

/// Returns the processor time that a process has used, in user and system mode; `None` if the process has ended.
/// `process` is its ID, or `self`.
///
/// Source: proc(5), fields 14 and 15, in ticks of `USER_HZ`, which is 100 on every Linux that Rust supports.
pub(crate) fn processor_time(process: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name that may contain anything; the third follows its last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Option<Vec<u64>> = ticks.map(|field| field.parse().ok()).collect();
    Some(Duration::from_millis(ticks?.iter().sum::<u64>() * 10))
}

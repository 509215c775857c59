//! Measures quiet rounds: the calls, processor time and memory of a controller that watches and changes nothing.

use std::fs;
use std::time::Duration;

use crate::line;
use crate::processor::processor_time;
use crate::scene::{CHANGE, Scene, sleep};

/// Watches fleets of these sizes for `secs` seconds each, at a round every 10 s, and prints what the rounds cost.
pub(crate) fn measure(secs: usize, sizes: &[usize]) {
    line(
        "quiet | services | rounds | DescribeAlarms a round | lists a minute | writes | ms of processor a round | RSS MiB | most RSS MiB",
    );
    for count in sizes {
        one(u32::try_from(secs).expect("a small number"), *count);
    }
}

fn one(secs: u32, count: usize) {
    let scene = Scene::new(count);
    let run = scene.baking("10s");
    scene.as_in_life();
    // The first rounds after the start are not quiet.
    sleep(Duration::from_secs(15));
    let (before, busy) = (scene.bed.counts(), busy_for(run.id()));
    sleep(Duration::from_secs(secs.into()));
    let after = scene.bed.counts();
    let spent = busy_for(run.id()).saturating_sub(busy);
    let made = |operation: &str| {
        let of = |counts: &std::collections::BTreeMap<String, usize>| {
            counts.get(operation).copied().unwrap_or(0)
        };
        f64::from(u32::try_from(of(&after) - of(&before)).expect("a small number"))
    };
    let rounds = f64::from(secs / 10);
    line(&format!(
        "quiet | {count} | {rounds} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {:.1}",
        made("DescribeAlarms") / rounds,
        made("ListResourceRecordSets") * 60.0 / f64::from(secs),
        made(CHANGE),
        spent.as_secs_f64() * 1_000.0 / rounds,
        memory(run.id(), "VmRSS:"),
        memory(run.id(), "VmHWM:"),
    ));
}

/// Returns the processor time that a process has used; zero if it has ended.
fn busy_for(id: u32) -> Duration {
    processor_time(&id.to_string()).unwrap_or_default()
}

/// Returns one value of `/proc/ID/status` in MiB, for example that of `VmRSS:`; 0 if the process has ended.
fn memory(id: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

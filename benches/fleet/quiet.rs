//! Quiet rounds: calls, processor time and memory of a controller that watches and does nothing.

use std::fs;
use std::time::Duration;

use crate::line;
use crate::scene::{CHANGE, Scene, sleep};

/// Clock ticks of the kernel's accounting in a second. Source: proc(5); 100 on Linux.
const TICKS_PER_SEC: f64 = 100.0;

/// Watches fleets of these sizes for so many seconds, at rounds of 10 s.
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
    // The end of the start.
    sleep(Duration::from_secs(15));
    let (before, ticks) = (scene.bed.counts(), ticks(run.id()));
    sleep(Duration::from_secs(secs.into()));
    let after = scene.bed.counts();
    let spent = self::ticks(run.id()) - ticks;
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
        spent / TICKS_PER_SEC * 1_000.0 / rounds,
        memory(run.id(), "VmRSS:"),
        memory(run.id(), "VmHWM:"),
    ));
}

/// The processor time that a process has had, in ticks. Source: proc(5), fields 14 and 15.
fn ticks(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let fields = fields.split(' ').skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// A line of a process's memory, in MiB.
fn memory(id: u32, key: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

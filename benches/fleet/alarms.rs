//! Measures the time from the moment that alarms turn red to the writes of the reverts.

use std::collections::BTreeMap;
use std::time::Duration;

use cutover::engine::observation::AlarmState;
use cutover::engine::units::DnsName;
use jiff::{SignedDuration, Timestamp};

use crate::line;
use crate::scene::{REGION, Scene, alarm_of, name_of, sleep};

/// Number of services whose alarms turn red at the same time.
const RED: usize = 50;

/// Turns the alarms of [`RED`] out of `count` services red, `runs` times, while the controller does a round every 10 s.
/// Prints how long the reverts took.
pub(crate) fn measure(runs: usize, count: usize) {
    line(
        "alarm → revert submitted | services | samples | p50 s | p99 s | after the poll that saw it: p50 s | p99 s",
    );
    let scene = Scene::new(count);
    let _run = scene.baking("10s");
    scene.as_in_life();
    sleep(Duration::from_secs(15));
    let (mut whole, mut seen) = (Vec::new(), Vec::new());
    for number in 0..runs {
        // The alarms turn red at a different point of the 10 s interval in each run.
        let offset = u64::try_from(number).expect("a small number") * 3_300 % 10_000;
        sleep(Duration::from_millis(offset));
        let services = number * RED..(number + 1) * RED;
        let red_at = scene.bed.now();
        for service in services.clone() {
            let cloudwatch = &mut scene.bed.world().cloudwatch;
            cloudwatch.set_state(REGION, &alarm_of(service, 0), AlarmState::Alarm, red_at);
        }
        let at = submitted(&scene, services, red_at);
        let calls = scene.bed.calls();
        for at in at {
            let polls = calls
                .iter()
                .filter(|call| call.operation == "DescribeAlarms" && call.at <= at);
            let poll = began(polls.map(|call| call.at));
            whole.push(at.duration_since(red_at).as_secs_f64());
            seen.push(at.duration_since(poll.unwrap_or(red_at)).as_secs_f64());
        }
        sleep(Duration::from_secs(20));
    }
    line(&format!(
        "alarm → revert submitted | {count} | {} | {:.2} | {:.2} | {:.2} | {:.2}",
        whole.len(),
        percentile(&mut whole, 50),
        percentile(&mut whole, 99),
        percentile(&mut seen, 50),
        percentile(&mut seen, 99),
    ));
}

/// Returns when the last round that read alarms began; `None` if no alarm was read. Reads at most 2 s apart belong to
/// one round.
fn began(polls: impl DoubleEndedIterator<Item = Timestamp>) -> Option<Timestamp> {
    let mut polls = polls.rev();
    let mut first = polls.next()?;
    for poll in polls {
        if first.duration_since(poll) > SignedDuration::from_secs(2) {
            break;
        }
        first = poll;
    }
    Some(first)
}

/// Returns for each service when its first revert after `red_at` was written. Waits for them for a minute, then panics.
fn submitted(scene: &Scene, services: std::ops::Range<usize>, red_at: Timestamp) -> Vec<Timestamp> {
    for _ in 0..600 {
        let mut first: BTreeMap<String, Timestamp> = BTreeMap::new();
        for write in scene.bed.world().route53.weight_writes() {
            let back = write.pair("eks", "ecs").is_some_and(|pair| pair.new.0 == 0);
            if back && write.at >= red_at {
                let name = write.group.name.to_string();
                first.entry(name).or_insert(write.at);
            }
        }
        let names = services
            .clone()
            .map(|service| DnsName::new(&name_of(service)).to_string());
        let at: Vec<Timestamp> = names.filter_map(|name| first.get(&name).copied()).collect();
        if at.len() == services.len() {
            return at;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("not all were taken back within a minute");
}

fn percentile(samples: &mut [f64], percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[(samples.len() * percent / 100).min(samples.len() - 1)]
}

//! Many services behind the HTTP test bed, and the built program that shifts their traffic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutover::engine::observation::AlarmState;
use cutover::engine::units::ZoneId;
use cutover::ports::ChangeAction;
use cutover::sim::fault::{Fault, Lasting};
use cutover::sim::route53::{ChangeBatch, NewZone, StoredRecord};
use jiff::SignedDuration;

use crate::support::program::{Program, Running};
use crate::support::server::{Call, TestBed};

/// The operation of Route 53 that writes weights.
pub(crate) const CHANGE: &str = "ChangeResourceRecordSets";
/// Delay of every answer of the test bed.
const LATENCY: Duration = Duration::from_millis(20);
/// The AWS region of all alarms.
pub(crate) const REGION: &str = "eu-west-1";
/// Number of services in one zone. Each has two records, so the zone stays below Route 53's limit of 10,000.
const PER_ZONE: usize = 2_500;
/// Number of services that the set-up handles at a time, and of record changes that it puts into one batch.
const AT_ONCE: usize = 400;
/// Number of alarms of each service.
pub(crate) const ALARMS: usize = 3;

/// The simulated services and the built program.
pub(crate) struct Scene {
    /// The built program, in a directory of its own.
    pub(crate) program: Program,
    /// The HTTP test bed, which stands in for AWS.
    pub(crate) bed: TestBed,
    /// The hosted zones, each with up to [`PER_ZONE`] services.
    pub(crate) zones: Vec<ZoneId>,
    /// Number of services.
    pub(crate) count: usize,
}

/// The number of calls that were made in some time, and how long the writes took.
pub(crate) struct Cost {
    /// All calls.
    pub(crate) calls: usize,
    /// Calls that write weights.
    pub(crate) writes: usize,
    /// Calls that were refused with a status of 400 or above.
    pub(crate) throttled: usize,
    /// Seconds from the start until the last accepted write was answered.
    pub(crate) submitted: f64,
}

/// Returns the real time from the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "measures how long it really takes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Blocks the thread for this long in real time.
#[expect(clippy::disallowed_methods, reason = "waits for real processes")]
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

impl Scene {
    /// Creates `count` services at the weights 100/0, each with [`ALARMS`] green alarms and a plan file.
    pub(crate) fn new(count: usize) -> Self {
        let bed = TestBed::start();
        let mut scene = Self {
            program: Program::new(bed.endpoint()),
            bed,
            zones: Vec::new(),
            count,
        };
        for number in 0..count.div_ceil(PER_ZONE) {
            let name = format!("zone{number}.example");
            let new = NewZone {
                caller_reference: name.clone(),
                name,
                ..NewZone::default()
            };
            let made = scene.bed.world().route53.create_zone(new, scene.bed.now());
            scene.zones.push(made.expect("a zone").0);
        }
        scene.weights(ChangeAction::Create, 100, 0);
        let at = scene.bed.now() - SignedDuration::from_hours(1);
        for service in 0..count {
            for alarm in 0..ALARMS {
                let cloudwatch = &mut scene.bed.world().cloudwatch;
                cloudwatch.set_state(REGION, &alarm_of(service, alarm), AlarmState::Ok, at);
            }
            let plan = plan(service);
            let path = format!("plans/svc{service:04}.yaml");
            scene.program.write(&path, &plan);
        }
        scene
    }

    /// Writes the same weights to all services, as somebody other than the program would.
    pub(crate) fn weights(&self, action: ChangeAction, old: u8, new: u8) {
        let services: Vec<usize> = (0..self.count).collect();
        let now = self.bed.now();
        for services in services.chunks(AT_ONCE) {
            let mut by_zone: BTreeMap<usize, Vec<_>> = BTreeMap::new();
            for service in services {
                let changes = by_zone.entry(service / PER_ZONE).or_default();
                for (identifier, weight) in [("eks", old), ("ecs", new)] {
                    let target = format!("{identifier}-{service}.example.org");
                    let name = name_of(*service);
                    let mut record =
                        StoredRecord::weighted(&name, "CNAME", identifier, weight, &target);
                    record.ttl = Some(60);
                    changes.push((action, record));
                }
            }
            for (zone, changes) in by_zone {
                for changes in changes.chunks(AT_ONCE) {
                    let batch = ChangeBatch::of(changes.to_vec());
                    let route53 = &mut self.bed.world().route53;
                    let made = route53.foreign_change(&self.zones[zone], &batch, now);
                    made.expect("a valid change");
                }
            }
        }
    }

    /// Returns the number of services whose last write set these weights.
    pub(crate) fn at(&self, old: u8, new: u8) -> usize {
        let mut latest = BTreeMap::new();
        for write in self.bed.world().route53.weight_writes() {
            let pair = write
                .pair("eks", "ecs")
                .map(|pair| (pair.old.0, pair.new.0));
            latest.insert((write.zone.clone(), write.group.clone()), pair);
        }
        latest
            .values()
            .filter(|pair| **pair == Some((old, new)))
            .count()
    }

    /// Starts the controller, and waits until all services bake their first step, 50/50.
    pub(crate) fn baking(&self, interval: &str) -> Running {
        let run = self
            .program
            .start(&["run", "plans", "--interval", interval]);
        while self.at(50, 50) < self.count || !self.all_bake() {
            sleep(Duration::from_millis(500));
        }
        run
    }

    fn all_bake(&self) -> bool {
        let said = self.program.say(&["status", "--format", "json"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&said.stdout).unwrap_or_default();
        rows.iter().filter(|row| row["phase"] == "baking").count() == self.count
    }

    /// Makes the test bed behave as AWS does: every answer takes [`LATENCY`], and calls are limited. The token buckets
    /// are full at first.
    pub(crate) fn as_in_life(&self) {
        self.bed.throttle(false);
        self.bed.clear_faults();
        self.bed.fault(None, Fault::Delay(LATENCY), Lasting::Always);
        self.bed.throttle(true);
    }

    /// Returns the cost of the calls after the first `before` ones. `began` is when they began, by the test bed's
    /// clock.
    pub(crate) fn cost(&self, before: usize, began: jiff::Timestamp) -> Cost {
        let calls = self.bed.calls();
        let calls = &calls[before..];
        let refused = |call: &&Call| call.status.is_some_and(|status| status >= 400);
        let writes = || calls.iter().filter(|call| call.operation == CHANGE);
        let accepted = writes().filter(|call| !refused(call));
        let last = accepted.map(|call| call.at).max().unwrap_or(began);
        Cost {
            calls: calls.len(),
            writes: writes().count(),
            throttled: calls.iter().filter(refused).count(),
            submitted: last.duration_since(began).as_secs_f64() + LATENCY.as_secs_f64(),
        }
    }
}

/// Returns the DNS name of a service.
pub(crate) fn name_of(service: usize) -> String {
    format!("svc{service:04}.zone{}.example", service / PER_ZONE)
}

/// Returns the index of a service's zone in [`Scene::zones`].
pub(crate) fn zone_of(service: usize) -> usize {
    service / PER_ZONE
}

/// Returns the name of one of a service's alarms. Alarms are numbered from 0.
pub(crate) fn alarm_of(service: usize, alarm: usize) -> String {
    format!("svc{service:04}-{alarm}")
}

fn plan(service: usize) -> String {
    let alarms: Vec<String> = (0..ALARMS).map(|alarm| alarm_of(service, alarm)).collect();
    format!(
        "version: 1\nname: svc{service:04}\nrecords:\n  - {{ zone: zone{}.example, name: {}, type: CNAME, old: eks, \
         new: ecs }}\nsettle: 0s\nsteps:\n  - {{ weight: 50%, bake: 1d }}\n  - {{ weight: 100%, bake: 1d }}\n\
         gates:\n  alarms: [{}]\n",
        zone_of(service),
        name_of(service),
        alarms.join(", ")
    )
}

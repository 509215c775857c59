//! The adapters with the real SDK, behind a connection that tampers with replies. Every call must return in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::aws::{Aws, caller_arn, connect};
use cutover::engine::evidence::plan::{Metric, Query, Series};
use cutover::engine::evidence::wanted::Minutes;
use cutover::engine::observation::AlarmState;
use cutover::engine::plan::{Account, ZoneRef};
use cutover::engine::record::{GroupName, RecordSet};
use cutover::engine::units::{AlarmId, ChangeId, DnsName, ZoneId};
use cutover::ports::{
    ChangeAction, Clock, Dns, Past, RecordChange, Signals, Urgency, Zone, follow_aliases,
};
use cutover::sim::cloudwatch::CloudWatch;
use cutover::sim::cloudwatch::metrics::MetricKey;
use cutover::sim::cloudwatch::statistic::Samples;
use cutover::sim::route53::{Change, ChangeBatch, NewZone, Route53, Route53Settings, StoredRecord};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use super::wire::{REGION, Services, Wire};
use super::{Play, mutate, plans};

/// The longest time that a call may take, in virtual time; the slowest reads are limited to less.
const CALL_WITHIN: Duration = Duration::from_mins(2);

/// A clock that stands still.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        plans::now()
    }
}

const NAMES: [&str; 4] = [
    "api.example.com",
    "*.example.com",
    "deep.api.example.com",
    "absent.example.com",
];

fn group(rng: &mut Rng) -> GroupName {
    GroupName {
        name: DnsName::new(mutate::one(rng, &NAMES)),
        record_type: mutate::one(rng, &["A", "AAAA", "CNAME", "TXT"]).to_owned(),
    }
}

/// A zone with two weighted groups, and its identifier.
fn zone() -> (Route53, ZoneId) {
    let mut route53 = Route53::new(Route53Settings::default());
    let new = NewZone {
        name: "example.com".to_owned(),
        caller_reference: "1".to_owned(),
        ..NewZone::default()
    };
    let (zone, _) = route53.create_zone(new, plans::now()).expect("a zone");
    let aliases = [("eks", 75), ("ecs", 25)].map(|(identifier, weight)| {
        let target = format!("{identifier}.us-east-1.elb.amazonaws.com.");
        StoredRecord::weighted_alias(NAMES[0], "A", identifier, weight, &target)
    });
    let values = [("eks", 255), ("ecs", 0)].map(|(identifier, weight)| {
        StoredRecord::weighted(NAMES[1], "CNAME", identifier, weight, "x.example.com.")
    });
    let changes = aliases.into_iter().chain(values).map(|record| Change {
        action: ChangeAction::Create,
        record,
    });
    let batch = ChangeBatch {
        comment: None,
        changes: changes.collect(),
    };
    route53
        .foreign_change(&zone, &batch, plans::now())
        .expect("records");
    (route53, zone)
}

fn services(route53: Route53, cloudwatch: CloudWatch) -> Services {
    Services {
        route53: Arc::new(Mutex::new(route53)),
        cloudwatch: Arc::new(Mutex::new(cloudwatch)),
        clock: Arc::new(Stopped),
        done: Arc::new(|| ()),
    }
}

/// Makes a few calls, each of which must end within [`CALL_WITHIN`].
fn times(
    play: &mut Play,
    services: Services,
    call: &impl AsyncFn(&Aws, &Wire, &mut Rng),
) -> Result<(), String> {
    let of = play.rng.u32(1..4);
    let wire = Wire::new(services, play.rng.fork(), of);
    let rng = &mut play.rng;
    let ended = plans::paused().block_on(async {
        let aws = connect(wire.options()).await;
        for _ in 0..rng.u8(1..5) {
            if tokio::time::timeout(CALL_WITHIN, call(&aws, &wire, rng))
                .await
                .is_err()
            {
                return Err(format!(
                    "a call has not ended after {} s",
                    CALL_WITHIN.as_secs()
                ));
            }
        }
        Ok(())
    });
    play.input = wire.log();
    ended
}

/// Replies of Route 53 and STS.
pub(super) fn route53(play: &mut Play) -> Result<(), String> {
    let (route53, zone) = zone();
    times(
        play,
        services(route53, CloudWatch::new()),
        &async |aws: &Aws, wire: &Wire, rng: &mut Rng| {
            read_or_write(aws, wire, &zone, rng).await;
        },
    )
}

async fn read_or_write(aws: &Aws, wire: &Wire, zone: &ZoneId, rng: &mut Rng) {
    let (dns, account) = (&aws.dns, Account::default());
    match rng.u8(0..8) {
        0 => {
            let by = ZoneRef {
                zone: mutate::one(rng, &["example.com", zone.as_str(), "absent.org"]).to_owned(),
                private: None,
            };
            drop(dns.find_zone(&account, &by).await);
        }
        1..=3 => {
            let wanted: BTreeSet<GroupName> = (0..rng.u8(1..12)).map(|_| group(rng)).collect();
            let read = dns
                .read_groups(&account, zone, &wanted, Urgency::Revert)
                .await;
            for members in read.into_values().flatten() {
                drop(follow_aliases(dns, &account, zone, members).await);
            }
        }
        4 => {
            let names = NAMES.map(DnsName::new).into_iter().collect();
            drop(dns.read_around(&account, zone, &names).await);
        }
        5 => {
            let zone = Zone {
                id: zone.clone(),
                name: DnsName::new("example.com"),
                private: false,
                record_count: None,
            };
            drop(dns.zones_below(&account, &zone).await);
        }
        6 => {
            let changes = [change("eks", 50), change("ecs", 50)];
            let sent = dns
                .change(&account, zone, &changes, "fuzz", Urgency::Revert)
                .await;
            let change = sent.map_or(ChangeId::from("/change/C1"), |sent| sent.change_id);
            dns.change_status(&account, &change).await;
        }
        _ => {
            drop(caller_arn(wire.options()).await);
            dns.clock_skew();
        }
    }
}

fn change(identifier: &str, weight: u8) -> RecordChange {
    let target = format!("{identifier}.us-east-1.elb.amazonaws.com.");
    let record: RecordSet =
        StoredRecord::weighted_alias(NAMES[0], "A", identifier, weight, &target).to_record_set();
    RecordChange {
        action: ChangeAction::Upsert,
        record,
    }
}

fn alarm(rng: &mut Rng) -> AlarmId {
    AlarmId {
        region: None,
        name: mutate::one(rng, &["api-5xx", "api-p99", "all-of-it", "absent"]).to_owned(),
    }
}

fn key(name: &str) -> MetricKey {
    MetricKey {
        namespace: "Test".to_owned(),
        name: name.to_owned(),
        dimensions: BTreeMap::new(),
    }
}

/// Three alarms with a past, and an hour of a metric.
fn watched() -> CloudWatch {
    let mut cloudwatch = CloudWatch::new();
    let mut at = plans::now() - SignedDuration::from_hours(2);
    for state in [AlarmState::Ok, AlarmState::Alarm, AlarmState::Ok] {
        for name in ["api-5xx", "api-p99"] {
            cloudwatch.set_state(REGION, name, state, at);
        }
        at += SignedDuration::from_mins(20);
    }
    cloudwatch.set_state(REGION, "all-of-it", AlarmState::Alarm, at);
    let mut samples = Samples::default();
    samples.add(1.5, 3.0);
    for minute in 1..60 {
        let at = plans::now() - SignedDuration::from_mins(minute);
        let region = cloudwatch.region(REGION, plans::now());
        region.record(&key("requests"), at.as_second(), &samples);
    }
    cloudwatch
}

/// Replies of `CloudWatch`.
pub(super) fn cloudwatch(play: &mut Play) -> Result<(), String> {
    let services = services(zone().0, watched());
    times(
        play,
        services,
        &async |aws: &Aws, _: &Wire, rng: &mut Rng| watch(aws, rng).await,
    )
}

async fn watch(aws: &Aws, rng: &mut Rng) {
    let (signals, account) = (&aws.signals, Account::default());
    let since = plans::now() - SignedDuration::from_hours(3);
    match rng.u8(0..6) {
        0 | 1 => {
            let wanted: BTreeSet<AlarmId> = (0..4).map(|_| alarm(rng)).collect();
            signals.read_alarms(&account, &wanted).await;
        }
        2 => {
            let alarm = alarm(rng);
            signals.alarm_history(&account, &alarm, since).await;
        }
        3 => {
            let alarm = alarm(rng);
            drop(
                signals
                    .alarm_changes(&account, &alarm, since, plans::now())
                    .await,
            );
        }
        4 => {
            let wanted: BTreeMap<Query, Minutes> = (0..rng.u8(1..4))
                .map(|_| {
                    let minutes = Minutes {
                        from: since,
                        until: plans::now(),
                    };
                    (series(rng), minutes)
                })
                .collect();
            signals.read_series(&account, &wanted).await;
        }
        _ => {
            let wanted: BTreeSet<AlarmId> = (0..4).map(|_| alarm(rng)).collect();
            signals.alarm_spans(&account, &wanted).await;
            signals.clock_skew();
        }
    }
}

fn series(rng: &mut Rng) -> Query {
    let metric = Metric {
        namespace: "Test".to_owned(),
        metric: mutate::one(rng, &["requests", "absent"]).to_owned(),
        dimensions: BTreeMap::new(),
        stat: mutate::one(rng, &["Sum", "p99", "Average"]).to_owned(),
    };
    let expression = rng.bool().then(|| "100 * m / m".to_owned());
    Query::from(Series {
        account: None,
        region: None,
        expression,
        inputs: BTreeMap::from([("m".to_owned(), metric)]),
        period_mins: [1, 5][rng.usize(0..2)],
    })
}

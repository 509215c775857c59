//! Plans drawn from a seed: bakes from seconds to 90 days, windows, zones and alarms that several share; and fleets of up
//! to 200 with what their file says.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cutover::engine::evidence::plan::Measures;
use cutover::engine::fleet::FleetSettings;
use cutover::engine::observation::FileReading;
use cutover::engine::plan::{
    AlarmGate, ApprovalTimeout, AwsSettings, BAKE_DAYS_MAX, Gates, Group, HoldOrRevert, NoData,
    Plan, PlanSource, Step, ZoneRef,
};
use cutover::engine::record::GroupName;
use cutover::engine::units::{AlarmId, CutoverName, DnsName, Share, WeightPair};
use cutover::engine::window::{Entry, Windows};
use fastrand::Rng;
use jiff::SignedDuration;

/// The shares that steps are drawn from.
const LADDER: [u8; 8] = [1, 5, 10, 25, 50, 75, 90, 100];

const DAY: i64 = 86_400;

/// A whole number between the bounds, each order of magnitude as likely as the others.
pub(crate) fn magnitude(rng: &mut Rng, least: u64, most: u64) -> u64 {
    let (low, high) = (least.max(1).ilog2(), most.max(1).ilog2());
    let power = 1_u64 << rng.u32(low..=high);
    rng.u64(power..power.saturating_mul(2)).clamp(least, most)
}

fn seconds(rng: &mut Rng, least: u64, most: i64) -> SignedDuration {
    let most = u64::try_from(most).expect("a bound");
    let drawn = magnitude(rng, least, most);
    SignedDuration::from_secs(i64::try_from(drawn).expect("a few days"))
}

/// What a scenario is about.
pub(crate) struct Drawn {
    pub(crate) sources: Vec<PlanSource>,
    /// What `fleet.yaml` says, where there is one.
    pub(crate) limits: Option<FleetSettings>,
}

/// One to six plans over the same few zones; now and then a fleet.
pub(crate) fn draw(rng: &mut Rng) -> Drawn {
    let (count, size) = match rng.u8(0..160) {
        0 => (rng.usize(60..=FLEET_MAX), Size::Fleet),
        1..=7 => (rng.usize(8..=40), Size::Fleet),
        _ => ([1, 1, 2, 3, 4, 6][rng.usize(0..6)], Size::Few),
    };
    let mut sources: Vec<PlanSource> = Vec::new();
    for number in 0..count {
        let mut plan = plan(rng, number, size);
        if number > 0 && rng.u8(0..8) == 0 {
            let before = sources[rng.usize(0..number)].plan.name.clone();
            plan.after.push(before);
        }
        sources.push(source(plan));
    }
    let limited = size == Size::Fleet || rng.u8(0..4) == 0;
    let limits = limited.then(|| limits(rng, count));
    Drawn { sources, limits }
}

/// The largest fleet.
const FLEET_MAX: usize = 200;

/// Whether plans are many and plain, or few and strange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Few,
    Fleet,
}

/// What the file of a fleet of so many says.
pub(crate) fn limits(rng: &mut Rng, count: usize) -> FleetSettings {
    let most = u64::try_from(count).expect("few");
    let mut some = |most: u64| {
        let number = u32::try_from(magnitude(rng, 1, most)).expect("few");
        (rng.u8(0..4) > 0).then_some(number)
    };
    FleetSettings {
        max_in_flight: some(most),
        failure_budget: some(most.min(5)),
        notify: None,
    }
}

fn plan(rng: &mut Rng, number: usize, size: Size) -> Plan {
    let name = format!("cut{number}");
    let mut records = Vec::new();
    let (zones, groups) = match size {
        Size::Few => (0..rng.usize(1..4), 4),
        Size::Fleet => (0..1, 2),
    };
    let first = if size == Size::Fleet { number % 3 } else { 0 };
    for zone in zones {
        for index in 0..rng.usize(1..groups) {
            let record_type = if rng.bool() { "A" } else { "CNAME" };
            records.push(group(&format!("{name}-{index}"), first + zone, record_type));
        }
    }
    let settle = rng.bool().then(|| match rng.u8(0..4) {
        0 => SignedDuration::ZERO,
        _ => seconds(rng, 1, 3_600),
    });
    let steps = steps(rng);
    let windows = (rng.u8(0..4) == 0).then(|| windows(rng, &steps, settle));
    Plan {
        labels: BTreeMap::new(),
        after: Vec::new(),
        windows,
        name: CutoverName::from(name.as_str()),
        description: None,
        aws: AwsSettings::default(),
        records,
        settle,
        steps,
        gates: gates(rng, number, size),
        notify: None,
        hooks: Vec::new(),
        jobs: None,
    }
}

/// Windows that open some time: those that never do are refused where plans are loaded.
fn windows(rng: &mut Rng, steps: &[Step], settle: Option<SignedDuration>) -> Windows {
    const ZONES: [&str; 5] = [
        "UTC",
        "Asia/Tokyo",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
    ];
    const ALLOWED: [&str; 6] = [
        "Mon-Fri 10:00-17:00",
        "22:00-02:00",
        "Sat",
        "Tue 02:10-02:50",
        "2026-03-28..2026-04-06",
        "Mon-Thu",
    ];
    const DENIED: [&str; 4] = [
        "Fri 15:00-24:00",
        "2026-03-09..2026-03-20",
        "12:00-13:00",
        "Sun 23:30-00:30",
    ];
    let some = |rng: &mut Rng, of: &[&str], most: usize| -> Vec<Entry> {
        let count = rng.usize(0..=most);
        let one = |_| {
            let entry = of[rng.usize(0..of.len())];
            entry.parse().expect("an entry")
        };
        (0..count).map(one).collect()
    };
    let zone = ZONES[rng.usize(0..ZONES.len())];
    let mut windows = Windows {
        time_zone: zone.parse().expect("a zone"),
        allow: some(rng, &ALLOWED, 2),
        deny: some(rng, &DENIED, 2),
        whole_bake: rng.u8(0..4) == 0,
    };
    let settle = settle.unwrap_or(SignedDuration::from_secs(60));
    let opens = |step: &Step| windows.can_open(step.bake + settle);
    windows.whole_bake = windows.whole_bake && steps.iter().all(opens);
    windows
}

fn group(name: &str, zone: usize, record_type: &str) -> Group {
    let zone = format!("zone{zone}.example");
    Group {
        name: GroupName {
            name: DnsName::new(&format!("{name}.{zone}")),
            record_type: record_type.to_owned(),
        },
        zone: ZoneRef {
            zone,
            private: None,
        },
        old: "eks".to_owned(),
        new: "ecs".to_owned(),
        account: None,
    }
}

fn steps(rng: &mut Rng) -> Vec<Step> {
    let mut shares: Vec<u8> = LADDER.to_vec();
    rng.shuffle(&mut shares);
    shares.truncate(rng.usize(1..=5));
    shares.sort_unstable();
    let step = |share: u8| {
        let approval = rng.u8(0..8) == 0;
        Step {
            share: Share::percent(share),
            pair: WeightPair::new(100 - share, share),
            bake: seconds(rng, 5, BAKE_DAYS_MAX * DAY),
            approval,
            approval_timeout: (approval && rng.bool()).then(|| ApprovalTimeout {
                after: seconds(rng, 5, 3 * DAY),
                on_timeout: answer(rng),
            }),
        }
    };
    shares.into_iter().map(step).collect()
}

fn answer(rng: &mut Rng) -> HoldOrRevert {
    if rng.bool() {
        HoldOrRevert::Hold
    } else {
        HoldOrRevert::Revert
    }
}

fn gates(rng: &mut Rng, number: usize, size: Size) -> Gates {
    let mut some = |what: &str, count: usize| -> Vec<AlarmGate> {
        (0..count)
            .map(|index| AlarmGate {
                id: AlarmId {
                    region: None,
                    name: if size == Size::Fleet && rng.u8(0..3) > 0 {
                        format!("{what}{index}-of{}", number % 5)
                    } else if rng.u8(0..3) == 0 {
                        format!("{what}{index}")
                    } else {
                        format!("{what}{index}-{number}")
                    },
                },
                no_data: if rng.u8(0..5) == 0 {
                    NoData::Pass
                } else {
                    NoData::Hold
                },
            })
            .collect()
    };
    let count = 1 + number % 3;
    let (alarms, fallback_alarms) = (some("errors", count), some("fallback", number % 2));
    Gates {
        alarms,
        fallback_alarms,
        measures: Measures::default(),
        unknown_for: seconds(rng, 30, DAY),
        on_unknown: answer(rng),
        both_red: answer(rng),
    }
}

/// A plan's source; the digest follows the plan.
pub(crate) fn source(plan: Plan) -> PlanSource {
    let mut digest = std::hash::DefaultHasher::new();
    let json = serde_json::to_string(&plan).expect("a plan is JSON");
    json.hash(&mut digest);
    PlanSource {
        path: format!("/plans/{}.yaml", plan.name),
        digest: format!("{:x}", digest.finish()),
        text: String::new(),
        plan,
    }
}

/// The same plan with something changed that `amend` takes.
pub(crate) fn amended(rng: &mut Rng, source_before: &PlanSource) -> PlanSource {
    let mut plan = source_before.plan.clone();
    if let Some(step) = plan.steps.last_mut() {
        step.bake = seconds(rng, 5, BAKE_DAYS_MAX * DAY);
        step.approval = rng.bool();
        step.approval_timeout = step.approval_timeout.filter(|_| step.approval);
    }
    plan.gates.unknown_for = seconds(rng, 30, DAY);
    source(plan)
}

/// A plan file as it is read.
pub(crate) fn reading(source: &PlanSource) -> FileReading {
    FileReading::Plan(Arc::new(source.clone()))
}

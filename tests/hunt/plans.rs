//! Plans drawn from a seed: bakes from seconds to 90 days, windows, and zones and alarms that several plans share; and
//! fleets of up to 200 with the settings of their `fleet.yaml`.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cutover::engine::evidence::plan::Measures;
use cutover::engine::fleet::FleetSettings;
use cutover::engine::observation::FileReading;
use cutover::engine::plan::{
    AlarmGate, ApprovalTimeout, AwsSettings, BAKE_DAYS_MAX, Gates, Group, HoldOrRevert, NoData,
    Notify, Plan, PlanSource, Step, ZoneRef,
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

/// The plans of a scenario, and its fleet settings.
pub(crate) struct Drawn {
    pub(crate) sources: Vec<PlanSource>,
    /// The settings of `fleet.yaml`, if there is one.
    pub(crate) limits: Option<FleetSettings>,
}

/// Draws one to six plans over the same few zones, or sometimes a fleet.
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

/// The size of a scenario: many plain plans, or few unusual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Few,
    Fleet,
}

/// Draws the settings of a fleet of `count` plans.
pub(crate) fn limits(rng: &mut Rng, count: usize) -> FleetSettings {
    let most = u64::try_from(count).expect("few");
    FleetSettings {
        max_in_flight: limit(rng, most),
        failure_budget: limit(rng, most.min(5)),
        notify: None,
    }
}

fn limit(rng: &mut Rng, most: u64) -> Option<u32> {
    let number = u32::try_from(magnitude(rng, 1, most)).expect("few");
    if rng.u8(0..4) > 0 { Some(number) } else { None }
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
        notify: Some(Notify {
            command: vec!["page".to_owned()],
            channels: Vec::new(),
        }),
        hooks: Vec::new(),
        jobs: None,
    }
}

/// Draws windows that open at some time; plans with windows that never open are refused when they are loaded.
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
    let zone = ZONES[rng.usize(0..ZONES.len())];
    let mut windows = Windows {
        time_zone: zone.parse().expect("a zone"),
        allow: entries(rng, &ALLOWED, 2),
        deny: entries(rng, &DENIED, 2),
        whole_bake: rng.u8(0..4) == 0,
    };
    let settle = settle.unwrap_or(SignedDuration::from_secs(60));
    let mut bakes = steps.iter().map(|step| step.bake + settle);
    let all_open = bakes.all(|time| windows.can_open(time));
    windows.whole_bake = windows.whole_bake && all_open;
    windows
}

/// At most `most` of these entries; an entry may come twice.
fn entries(rng: &mut Rng, of: &[&str], most: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for _ in 0..rng.usize(0..=most) {
        let entry = of[rng.usize(0..of.len())];
        entries.push(entry.parse().expect("an entry"));
    }
    entries
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
    let mut steps = Vec::new();
    for share in shares {
        let approval = rng.u8(0..8) == 0;
        let bake = seconds(rng, 5, BAKE_DAYS_MAX * DAY);
        let mut approval_timeout = None;
        if approval && rng.bool() {
            approval_timeout = Some(ApprovalTimeout {
                after: seconds(rng, 5, 3 * DAY),
                on_timeout: answer(rng),
            });
        }
        steps.push(Step {
            share: Share::percent(share),
            pair: WeightPair::new(100 - share, share),
            bake,
            approval,
            approval_timeout,
        });
    }
    steps
}

fn answer(rng: &mut Rng) -> HoldOrRevert {
    if rng.bool() {
        HoldOrRevert::Hold
    } else {
        HoldOrRevert::Revert
    }
}

fn gates(rng: &mut Rng, number: usize, size: Size) -> Gates {
    let mut alarms = Vec::new();
    for index in 0..=number % 3 {
        alarms.push(alarm_gate(rng, &format!("errors{index}"), number, size));
    }
    let mut fallback_alarms = Vec::new();
    for index in 0..number % 2 {
        fallback_alarms.push(alarm_gate(rng, &format!("fallback{index}"), number, size));
    }
    Gates {
        alarms,
        fallback_alarms,
        measures: Measures::default(),
        unknown_for: seconds(rng, 30, DAY),
        on_unknown: answer(rng),
        both_red: answer(rng),
    }
}

/// A gate on an alarm of plan `number`, which other plans may share.
fn alarm_gate(rng: &mut Rng, alarm: &str, number: usize, size: Size) -> AlarmGate {
    let name = if size == Size::Fleet && rng.u8(0..3) > 0 {
        format!("{alarm}-of{}", number % 5)
    } else if rng.u8(0..3) == 0 {
        alarm.to_owned()
    } else {
        format!("{alarm}-{number}")
    };
    let no_data = if rng.u8(0..5) == 0 {
        NoData::Pass
    } else {
        NoData::Hold
    };
    AlarmGate {
        id: AlarmId { region: None, name },
        no_data,
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

/// The plan with a change that `amend` accepts.
pub(crate) fn amended(rng: &mut Rng, source_before: &PlanSource) -> PlanSource {
    let mut plan = source_before.plan.clone();
    if let Some(step) = plan.steps.last_mut() {
        step.bake = seconds(rng, 5, BAKE_DAYS_MAX * DAY);
        step.approval = rng.bool();
        if !step.approval {
            step.approval_timeout = None;
        }
    }
    plan.gates.unknown_for = seconds(rng, 30, DAY);
    source(plan)
}

/// A plan file as it is read.
pub(crate) fn reading(source: &PlanSource) -> FileReading {
    FileReading::Plan(Arc::new(source.clone()))
}

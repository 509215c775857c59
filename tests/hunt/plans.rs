//! Plans drawn from a seed: bakes from seconds to 90 days, zones and alarms that several share.

use std::collections::BTreeMap;

use cutover::engine::observation::FileReading;
use cutover::engine::plan::{
    AlarmGate, AwsSettings, BAKE_DAYS_MAX, Gates, Group, HoldOrRevert, NoData, Plan, PlanSource,
    Step, ZoneRef,
};
use cutover::engine::record::GroupName;
use cutover::engine::units::{AlarmId, CutoverName, DnsName, Share, WeightPair};
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

/// One to four plans over the same few zones.
pub(crate) fn draw(rng: &mut Rng) -> Vec<PlanSource> {
    let count = [1, 1, 2, 3, 4, 6][rng.usize(0..6)];
    (0..count).map(|number| source(plan(rng, number))).collect()
}

fn plan(rng: &mut Rng, number: usize) -> Plan {
    let name = format!("cut{number}");
    let mut records = Vec::new();
    for zone in 0..rng.usize(1..4) {
        for index in 0..rng.usize(1..4) {
            let record_type = if rng.bool() { "A" } else { "CNAME" };
            records.push(group(&format!("{name}-{index}"), zone, record_type));
        }
    }
    let settle = rng.bool().then(|| match rng.u8(0..4) {
        0 => SignedDuration::ZERO,
        _ => seconds(rng, 1, 3_600),
    });
    Plan {
        labels: BTreeMap::new(),
        after: Vec::new(),
        windows: None,
        name: CutoverName::from(name.as_str()),
        description: None,
        aws: AwsSettings::default(),
        records,
        settle,
        steps: steps(rng),
        gates: gates(rng, number),
        notify: None,
    }
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
    }
}

fn steps(rng: &mut Rng) -> Vec<Step> {
    let mut shares: Vec<u8> = LADDER.to_vec();
    rng.shuffle(&mut shares);
    shares.truncate(rng.usize(1..=5));
    shares.sort_unstable();
    let step = |share: u8| Step {
        share: Share::percent(share),
        pair: WeightPair::new(100 - share, share),
        bake: seconds(rng, 5, BAKE_DAYS_MAX * DAY),
        approval: rng.u8(0..8) == 0,
        approval_timeout: None,
    };
    shares.into_iter().map(step).collect()
}

fn gates(rng: &mut Rng, number: usize) -> Gates {
    let mut some = |what: &str, count: usize| -> Vec<AlarmGate> {
        (0..count)
            .map(|index| AlarmGate {
                id: AlarmId {
                    region: None,
                    name: if rng.u8(0..3) == 0 {
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
    let answer = |rng: &mut Rng| {
        if rng.bool() {
            HoldOrRevert::Hold
        } else {
            HoldOrRevert::Revert
        }
    };
    Gates {
        alarms,
        fallback_alarms,
        unknown_for: seconds(rng, 30, DAY),
        on_unknown: answer(rng),
        both_red: answer(rng),
    }
}

/// A plan's source; the digest follows the plan.
pub(crate) fn source(plan: Plan) -> PlanSource {
    PlanSource {
        path: format!("/plans/{}.yaml", plan.name),
        digest: serde_json::to_string(&plan).expect("a plan is JSON"),
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
    }
    plan.gates.unknown_for = seconds(rng, 30, DAY);
    source(plan)
}

/// A plan file as it is read.
pub(crate) fn reading(source: &PlanSource) -> FileReading {
    FileReading::Plan(Box::new(source.clone()))
}

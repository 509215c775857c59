//! Plans, and parts of plans, for the tests of the engine.

use cutover_engine::plan::{
    Account, AlarmGate, AwsSettings, Gates, Group, HoldOrRevert, NoData, Plan, PlanSource, Step,
    ZoneRef,
};
use cutover_engine::record::{GroupName, RecordSet};
use cutover_engine::units::{AlarmId, CutoverName, DnsName, Share, Weight, WeightPair};
use jiff::SignedDuration;

/// Returns a plan with this number of groups in each zone. A step is `(percent, bake minutes, approval)`. The gates are
/// the alarms `errors` and `latency`, and the fallback alarm is `fallback`.
pub fn plan(zones: &[usize], steps: &[(u8, i64, bool)]) -> Plan {
    let mut records = Vec::new();
    for (zone, count) in zones.iter().enumerate() {
        for index in 0..*count {
            records.push(Group {
                zone: ZoneRef {
                    zone: format!("Z{zone}"),
                    private: None,
                },
                name: GroupName {
                    name: DnsName::new(&format!("api{index}.zone{zone}.example")),
                    record_type: "A".to_owned(),
                },
                old: "eks".to_owned(),
                new: "ecs".to_owned(),
                account: None,
            });
        }
    }
    let steps = steps.iter().map(|(percent, minutes, approval)| Step {
        share: Share::percent(*percent),
        pair: WeightPair::new(100 - percent, *percent),
        bake: SignedDuration::from_mins(*minutes),
        approval: *approval,
        approval_timeout: None,
    });
    Plan {
        labels: std::collections::BTreeMap::new(),
        after: Vec::new(),
        name: CutoverName::from("api"),
        description: None,
        aws: AwsSettings::default(),
        records,
        settle: None,
        steps: steps.collect(),
        gates: Gates {
            alarms: vec![gate("errors"), gate("latency")],
            fallback_alarms: vec![gate("fallback")],
            unknown_for: SignedDuration::from_mins(30),
            on_unknown: HoldOrRevert::Hold,
            both_red: HoldOrRevert::Hold,
            measures: cutover_engine::evidence::plan::Measures::default(),
        },
        windows: None,
        notify: None,
        hooks: Vec::new(),
        jobs: None,
    }
}

/// Returns a gate on the alarm of this name. It holds the cutover if the alarm has no data.
pub fn gate(name: &str) -> AlarmGate {
    AlarmGate {
        id: alarm(name),
        no_data: NoData::Hold,
    }
}

/// Returns the identity of the alarm of this name.
pub fn alarm(name: &str) -> AlarmId {
    AlarmId {
        region: None,
        name: name.to_owned(),
    }
}

/// Returns a plan's source. The digest differs if the plan differs.
pub fn source(plan: Plan) -> PlanSource {
    let digest = serde_json::to_string(&plan).expect("a plan is JSON");
    PlanSource {
        plan,
        path: "/plans/api.yaml".to_owned(),
        digest,
        text: String::new(),
    }
}

/// Returns a member of a group of type `A`.
pub fn record(name: &DnsName, identifier: &str, weight: u8) -> RecordSet {
    RecordSet {
        name: format!("{name}."),
        record_type: "A".to_owned(),
        set_identifier: identifier.to_owned(),
        weight: Weight(weight),
        ttl: Some(60),
        values: vec![format!("192.0.2.{}", identifier.len())],
        alias: None,
        health_check_id: None,
        unsupported: Vec::new(),
    }
}

/// The account of a role.
pub fn role(role_arn: &str) -> Account {
    Account::new(Some(role_arn.to_owned()), None, None)
}

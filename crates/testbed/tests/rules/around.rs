//! What stands around a group's name, how long its answers live, and what AWS denies (semantics L11, L12, L14, L15).

use std::sync::Arc;

use cutover_engine::around::{AliasTtl, Around, AroundReading};
use cutover_engine::decide::{self, Decision};
use cutover_engine::event::Event;
use cutover_engine::hold::HoldReason;
use cutover_engine::observation::{
    AlarmReading, AlarmState, ChangeReading, GroupReading, HistoryReading, Observation,
};
use cutover_engine::record::{AliasTarget, GroupName, RecordSet};
use cutover_engine::state::Phase;
use cutover_engine::units::{DnsName, Weight, WeightPair, ZoneId};
use cutover_engine::warnings;
use jiff::SignedDuration;

use super::{baking, kinds, simple};
use cutover_testbed::plan::{alarm, record};
use cutover_testbed::world::World;

const NAME: &str = "api0.zone0.example";

/// A record set beside the group.
fn other(name: &str, record_type: &str, values: &[&str]) -> RecordSet {
    RecordSet {
        record_type: record_type.to_owned(),
        set_identifier: String::new(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        unsupported: vec!["simple".to_owned()],
        ..record(&DnsName::new(name), "", 0)
    }
}

fn alias(zone: &str, name: &str) -> AliasTarget {
    AliasTarget {
        zone_id: zone.to_owned(),
        dns_name: format!("{name}."),
        evaluate_target_health: false,
    }
}

/// A world in which this stands beside the group.
fn among(records: Vec<RecordSet>) -> World {
    let mut world = World::new(simple());
    put(&mut world, records);
    world
}

fn put(world: &mut World, records: Vec<RecordSet>) {
    let around = Around {
        zone: DnsName::new("zone0.example"),
        records,
        longer: Vec::new(),
        longer_unread: None,
    };
    world.around = vec![AroundReading::Read(Arc::new(around))];
}

/// The same, with another target on the new side.
fn apart(records: Vec<RecordSet>) -> World {
    let mut world = among(records);
    world.groups[0].1[0].values = vec!["192.0.2.4".to_owned()];
    world
}

/// Why the start is refused, and what is warned about.
fn said(world: &mut World) -> (Vec<String>, Vec<String>) {
    let mut observation = world.observe(0);
    let decision = decide::decide(world.state(), &world.fleet, &observation, world.now);
    observation.around.clone_from(&world.around);
    let refused = decision.because.iter().filter_map(|reason| match reason {
        HoldReason::Preflight { message, .. } => Some(message.clone()),
        _ => None,
    });
    let warned = warnings::around(world.state().plan(), &observation);
    assert_eq!(decision.takes_a_step(), decision.because.is_empty());
    (refused.collect(), warned)
}

#[test]
fn a_twin_that_only_the_new_side_answers_refuses_the_start() {
    let lb = "ecs.eu-central-1.elb.amazonaws.com";
    let mut twin = other(NAME, "AAAA", &[]);
    twin.alias = Some(alias("Z9", lb));
    let mut world = among(vec![twin]);
    world.groups[0].1[0].values.clear();
    world.groups[0].1[0].alias = Some(alias("Z9", &format!("dualstack.{lb}")));
    let (refused, warned) = said(&mut world);
    assert_eq!(
        (refused.len(), warned.len()),
        (1, 0),
        "{refused:?} {warned:?}"
    );
    assert!(refused[0].contains("AAAA record leads to the new side only"));
    assert!(refused[0].contains(lb), "{refused:?}");
}

#[test]
fn a_weighted_twin_is_judged_by_the_members_that_are_answered() {
    let member = |identifier: &str, weight: u8| RecordSet {
        record_type: "AAAA".to_owned(),
        set_identifier: identifier.to_owned(),
        weight: Weight(weight),
        values: vec![format!("2001:db8::{weight}")],
        unsupported: Vec::new(),
        ..other(NAME, "AAAA", &[])
    };
    let refused = |members: Vec<RecordSet>| said(&mut among(members)).0.len();
    assert_eq!(refused(vec![member("eks", 0), member("ecs", 1)]), 1);
    assert_eq!(
        refused(vec![member("ecs", 0)]),
        1,
        "all weights 0: it is answered"
    );
    assert_eq!(refused(vec![member("eks", 1), member("ecs", 1)]), 0);
    assert_eq!(refused(vec![member("eks", 1), member("ecs", 0)]), 0);
}

#[test]
fn a_twin_that_the_plan_leaves_out_is_warned_about_unless_it_moves_with_the_name() {
    let warned = |record| said(&mut apart(vec![record])).1;
    let left = warned(other(NAME, "AAAA", &["2001:db8::1"]));
    assert_eq!(left.len(), 1);
    assert!(left[0].contains("leaves out the name's AAAA record (2001:db8::1)"));
    let hints = other(NAME, "HTTPS", &["1 . alpn=h2 ipv4hint=192.0.2.77"]);
    assert_eq!(warned(hints).len(), 1);
    assert_eq!(warned(other(NAME, "HTTPS", &["1 . alpn=h2"])), [""; 0]);
    assert_eq!(warned(other(NAME, "TXT", &["\"v=spf1\""])), [""; 0]);
    // The hint is the new side's address alone.
    let hint = other(NAME, "HTTPS", &["1 . ipv4hint=192.0.2.4"]);
    assert_eq!(said(&mut apart(vec![hint])).0.len(), 1);
}

#[test]
fn a_delegation_of_the_name_or_of_a_parent_refuses_the_start() {
    let refused = |name: &str| said(&mut among(vec![other(name, "NS", &["ns1.example"])])).0;
    let own = refused(NAME);
    assert_eq!(own.len(), 1);
    assert!(own[0].contains("delegate api0.zone0.example"), "{own:?}");
    assert_eq!(refused("zone0.example"), [""; 0], "the zone's own servers");
    assert_eq!(refused("0.zone0.example"), [""; 0], "another name");
}

#[test]
fn a_longer_hosted_zone_refuses_the_start() {
    let refused = |zones: &[&str]| {
        let around = Around {
            zone: DnsName::new("zone0.example"),
            records: Vec::new(),
            longer: zones
                .iter()
                .map(|zone| (ZoneId::from("Z7"), DnsName::new(zone)))
                .collect(),
            longer_unread: None,
        };
        let mut world = World::new(simple());
        world.around = vec![AroundReading::Read(Arc::new(around))];
        said(&mut world).0
    };
    let taken = refused(&["other.zone0.example", NAME]);
    assert_eq!(taken.len(), 1);
    assert!(taken[0].contains("hosted zone api0.zone0.example (Z7) answers for it"));
    assert_eq!(refused(&["other.zone0.example"]), [""; 0]);
}

#[test]
fn external_dns_is_found_under_every_name_that_it_uses_and_no_other() {
    let owner =
        "\"heritage=external-dns,external-dns/owner=prod,external-dns/resource=ingress/a/b\"";
    let warned = |name: &str, more: &[&str]| {
        let mut records = vec![other(name, "TXT", &[owner])];
        records.extend(more.iter().map(|name| other(name, "A", &["192.0.2.9"])));
        said(&mut apart(records)).1
    };
    for name in [
        "api0.zone0.example",
        "a-api0.zone0.example",
        "cname-api0.zone0.example",
        "extdns-a-api0.zone0.example",
        "_owner.api0.zone0.example",
    ] {
        let warned = warned(name, &[]);
        assert_eq!(warned.len(), 1, "{name}");
        assert!(warned[0].contains("ExternalDNS owns it"), "{warned:?}");
        assert!(warned[0].contains("ingress/a/b"), "{warned:?}");
    }
    let mine = "my-api0.zone0.example";
    assert_eq!(warned(mine, &[mine]), [""; 0]);
    assert_eq!(warned("a-my-api0.zone0.example", &[mine]), [""; 0]);
    assert_eq!(warned("myapi0.zone0.example", &[]), [""; 0]);
}

#[test]
fn one_target_on_both_sides_is_warned_about() {
    let (_, warned) = said(&mut among(Vec::new()));
    assert_eq!(warned.len(), 1, "both are 192.0.2.3 here: {warned:?}");
    assert!(warned[0].contains("both point to 192.0.2.3"));
    let mut world = among(Vec::new());
    world.groups[0].1[0].values = vec!["192.0.2.4".to_owned()];
    assert_eq!(said(&mut world).1, [""; 0]);
}

#[test]
fn no_start_before_the_surroundings_are_read() {
    let mut world = World::new(simple());
    world.around = vec![AroundReading::NotRead];
    world.tick(120);
    assert_eq!(world.phase(), Phase::Waiting);
    world.around = vec![AroundReading::Unreadable {
        message: "Throttling".to_owned(),
        denied: None,
    }];
    world.round(0);
    assert_eq!(kinds(&world), ["route53_unreadable"]);
    put(&mut world, Vec::new());
    world.tick(10);
    assert_ne!(world.phase(), Phase::Waiting);
}

/// Both members are aliases to records of the zone: the new one by way of another alias and two weighted records.
fn aliased() -> World {
    let mut chain = other("new.zone0.example", "A", &[]);
    chain.alias = Some(alias("Z0", "end.zone0.example"));
    let weighted = |identifier: &str, ttl: u32| RecordSet {
        ttl: Some(ttl),
        ..record(&DnsName::new("end.zone0.example"), identifier, 1)
    };
    let mut old = other("old.zone0.example", "A", &["192.0.2.1"]);
    old.ttl = Some(3_600);
    let ends = [weighted("one", 30), weighted("two", 3_600)];
    let mut world = among([vec![chain, old], ends.to_vec()].concat());
    for (member, name) in world.groups[0].1.iter_mut().zip(["new", "old"]) {
        (member.ttl, member.values) = (None, Vec::new());
        member.alias = Some(alias("Z0", &format!("{name}.zone0.example")));
    }
    world
}

#[test]
fn a_weighted_alias_settles_for_the_ttl_of_the_records_that_it_ends_at() {
    let mut world = aliased();
    world.run_to(Phase::Settling);
    let target = |name: &str| GroupName {
        name: DnsName::new(name),
        record_type: "A".to_owned(),
    };
    let ttl = |name: &str| AliasTtl {
        zone: ZoneId::from("Z0"),
        target: target(name),
        ttl_secs: 3_600,
    };
    let read: Vec<&Event> = world
        .journal
        .iter()
        .map(|entry| &entry.event)
        .filter(|event| matches!(event, Event::AliasTtlsRead { .. }))
        .collect();
    let ttls = vec![ttl("new.zone0.example"), ttl("old.zone0.example")];
    assert_eq!(
        read,
        [&Event::AliasTtlsRead { ttls }],
        "once, with the start"
    );
    assert_eq!(world.state().settle_time(), SignedDuration::from_hours(1));
}

#[test]
fn a_ring_of_aliases_ends() {
    let mut world = aliased();
    let mut ring = other("new.zone0.example", "A", &[]);
    ring.alias = Some(alias("Z0", "new.zone0.example"));
    put(&mut world, vec![ring]);
    world.run_to(Phase::Settling);
    assert_eq!(world.state().settle_time(), SignedDuration::from_mins(1));
}

/// What is said of an old A record with this TTL beside an alias to a load balancer.
fn beside_a_load_balancer(ttl: u32) -> Vec<String> {
    let mut world = among(Vec::new());
    let members = &mut world.groups[0].1;
    (members[0].ttl, members[0].values) = (None, Vec::new());
    members[0].alias = Some(alias("Z9", "ecs.eu-central-1.elb.amazonaws.com"));
    members[1].ttl = Some(ttl);
    said(&mut world).0
}

#[test]
fn a_record_of_a_minute_beside_an_alias_to_aws_is_accepted_and_one_of_five_is_not() {
    assert_eq!(beside_a_load_balancer(60), [""; 0]);
    let refused = beside_a_load_balancer(300);
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].contains("set the TTL of `eks` to 60 (it is 300)"),
        "{refused:?}"
    );
}

#[test]
fn the_ttl_that_is_to_change_is_that_of_the_record_behind_the_alias() {
    let mut world = aliased();
    world.groups[0].1[0].alias = Some(alias("Z9", "ecs.eu-central-1.elb.amazonaws.com"));
    let (refused, _) = said(&mut world);
    assert_eq!(refused.len(), 1);
    let hint = "set the TTL of old.zone0.example A, to which `eks` points, to 60 (it is 3600)";
    assert!(refused[0].contains(hint), "{refused:?}");
}

#[test]
fn a_fallback_alarm_without_data_holds_the_start_while_the_old_side_has_all() {
    let mut world = World::new(simple());
    world.alarms.get_mut(&alarm("fallback")).unwrap().state = AlarmState::InsufficientData;
    world.tick(60);
    assert_eq!(world.phase(), Phase::Waiting);
    assert_eq!(kinds(&world), ["fallback_unknown"]);
    world.alarms.get_mut(&alarm("fallback")).unwrap().state = AlarmState::Ok;
    world.alarms.get_mut(&alarm("errors")).unwrap().state = AlarmState::InsufficientData;
    world.tick(10);
    assert_ne!(
        world.phase(),
        Phase::Waiting,
        "the new side has no data yet"
    );
}

/// The holds of a decision about what was changed in the observation.
fn held(world: &mut World, change: impl FnOnce(&mut Observation)) -> Decision {
    let mut observation = world.observe(0);
    change(&mut observation);
    decide::decide(world.state(), &world.fleet, &observation, world.now)
}

fn denied(decision: &Decision) -> Vec<&str> {
    let actions = decision.because.iter().filter_map(|reason| match reason {
        HoldReason::Denied { action, .. } => Some(action.as_str()),
        _ => None,
    });
    actions.collect()
}

#[test]
fn what_aws_denies_is_a_reason_of_its_own_and_pages_at_once() {
    let mut world = World::new(simple());
    world.run_to(Phase::Settling);
    let decision = held(&mut world, |seen| {
        for reading in seen.changes.values_mut() {
            *reading = ChangeReading::Denied("AccessDenied: no".to_owned());
        }
    });
    assert_eq!(denied(&decision), ["route53:GetChange"]);
    assert!(decision.because.iter().any(HoldReason::pages));
    let held_now = |event: &Event| matches!(event, Event::StepHeld { .. });
    assert!(decision.events.iter().any(held_now), "{decision:?}");
}

#[test]
fn a_change_that_nobody_may_ask_for_is_not_called_late() {
    let mut world = World::new(simple());
    world.run_to(Phase::Settling);
    world.now += SignedDuration::from_mins(11);
    let deny = |seen: &mut Observation| {
        for reading in seen.changes.values_mut() {
            *reading = ChangeReading::Denied("AccessDenied: no".to_owned());
        }
    };
    let decision = held(&mut world, deny);
    let late = |reason: &HoldReason| matches!(reason, HoldReason::InSyncLate { .. });
    assert!(!decision.because.iter().any(late), "{decision:?}");
}

#[test]
fn denied_alarms_leave_their_gates_unknown_and_are_said_once() {
    let mut world = baking();
    let deny = |seen: &mut Observation| {
        for reading in seen.alarms.values_mut() {
            *reading = AlarmReading::Denied("AccessDenied: no".to_owned());
        }
    };
    let decision = held(&mut world, deny);
    let unknown = |event: &&Event| matches!(event, Event::GateUnknown { .. });
    assert_eq!(decision.events.iter().filter(unknown).count(), 3);
    assert!(!decision.gates_pass);
    assert_eq!(denied(&decision), ["cloudwatch:DescribeAlarms"]);
    let told_twice = |reason: &HoldReason| matches!(reason, HoldReason::Unknown { .. });
    assert!(!decision.because.iter().any(told_twice), "{decision:?}");
}

#[test]
fn a_denied_history_and_denied_groups_are_named_by_their_actions() {
    let mut world = baking();
    let decision = held(&mut world, |seen| {
        let history = HistoryReading::Denied("AccessDenied: no".to_owned());
        seen.histories.insert(alarm("errors"), history);
    });
    assert_eq!(denied(&decision), ["cloudwatch:DescribeAlarmHistory"]);
    let mut world = World::new(simple());
    let since = world.now;
    let decision = held(&mut world, |seen| {
        seen.groups.fill(GroupReading::Unreadable {
            message: "AccessDenied: no".to_owned(),
            permanent: true,
            since,
            denied: Some("route53:ListResourceRecordSets".to_owned()),
        });
    });
    assert_eq!(denied(&decision), ["route53:ListResourceRecordSets"]);
    assert_eq!(decision.because.len(), 1, "{decision:?}");
    assert_eq!(world.pair(0), WeightPair::new(100, 0));
}

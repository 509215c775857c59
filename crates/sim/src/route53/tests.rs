//! Tests of the model against AWS's documentation. `tests/contract.rs` checks the same rules over HTTP.

use jiff::{SignedDuration, Timestamp};

use super::*;
use cutover_engine::plan::Account;
use cutover_engine::record::GroupName;
use cutover_engine::units::{ChangeId, DnsName, Weight, WeightPair, ZoneId};
use cutover_ports::ChangeAction::{self, Create, Delete, Upsert};
use cutover_testbed::plan::role;

const NAME: &str = "test.example.com";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn us() -> Account {
    Account::default()
}

fn cname(name: &str, identifier: &str, weight: u8) -> StoredRecord {
    StoredRecord::weighted(name, "CNAME", identifier, weight, "target.example.net")
}

fn group() -> GroupName {
    GroupName {
        name: DnsName::new(NAME),
        record_type: "CNAME".to_owned(),
    }
}

/// Returns a service with one zone, which has the group at 100/0.
fn service() -> (Route53, ZoneId) {
    let mut model = Route53::default();
    let new = NewZone {
        name: "example.com".to_owned(),
        caller_reference: "one".to_owned(),
        ..NewZone::default()
    };
    let (zone, _) = model.create_zone(new, at(0)).unwrap();
    let batch = ChangeBatch::of([
        (Create, cname(NAME, "old", 100)),
        (Create, cname(NAME, "new", 0)),
    ]);
    model.change(&us(), &zone, &batch, at(0)).unwrap();
    (model, zone)
}

fn swap(from: (u8, u8), to: (u8, u8)) -> ChangeBatch {
    ChangeBatch::of([
        (Delete, cname(NAME, "old", from.0)),
        (Delete, cname(NAME, "new", from.1)),
        (Create, cname(NAME, "old", to.0)),
        (Create, cname(NAME, "new", to.1)),
    ])
}

fn pair(model: &Route53, zone: &ZoneId) -> Option<WeightPair> {
    model
        .weight_writes_of(zone, &group())
        .last()?
        .pair("old", "new")
}

fn refusal(model: &mut Route53, zone: &ZoneId, batch: &ChangeBatch) -> (String, String) {
    let error = model.change(&us(), zone, batch, at(1)).unwrap_err();
    (error.code, error.message)
}

#[test]
fn a_compare_and_swap_of_the_current_image_is_applied() {
    let (mut model, zone) = service();
    model
        .change(&us(), &zone, &swap((100, 0), (99, 1)), at(1))
        .unwrap();
    assert_eq!(pair(&model, &zone), Some(WeightPair::new(99, 1)));
}

#[test]
fn a_stale_compare_and_swap_names_both_failures_of_each_member_and_changes_nothing() {
    let (mut model, zone) = service();
    let batch = ChangeBatch::of([
        (Delete, cname(NAME, "old", 90)),
        (Create, cname(NAME, "old", 80)),
    ]);
    let (code, message) = refusal(&mut model, &zone, &batch);
    assert_eq!(code, "InvalidChangeBatch");
    assert_eq!(
        message,
        "[Tried to delete resource record set [name='test.example.com.', type='CNAME', set-identifier='old'] but the \
         values provided do not match the current values, Tried to create resource record set \
         [name='test.example.com.', type='CNAME', set-identifier='old'] but it already exists]"
    );
    assert_eq!(pair(&model, &zone), Some(WeightPair::new(100, 0)));
}

#[test]
fn every_field_of_a_deleted_image_must_match() {
    let image = StoredRecord {
        health_check_id: None,
        ..cname(NAME, "old", 100)
    };
    let wrong = [
        StoredRecord {
            weight: Some(99),
            ..image.clone()
        },
        StoredRecord {
            ttl: Some(61),
            ..image.clone()
        },
        StoredRecord {
            values: vec!["other.example.net".to_owned()],
            ..image.clone()
        },
        StoredRecord {
            health_check_id: Some("x".to_owned()),
            ..image
        },
    ];
    for record in wrong {
        let (mut model, zone) = service();
        let (_, message) = refusal(
            &mut model,
            &zone,
            &ChangeBatch::of([(Delete, record.clone())]),
        );
        assert!(
            message.contains("do not match the current values"),
            "{record:?}"
        );
    }
}

#[test]
fn one_bad_change_leaves_the_whole_batch_unapplied() {
    let (mut model, zone) = service();
    let before: Vec<_> = model
        .zone(&us(), &zone)
        .unwrap()
        .records()
        .cloned()
        .collect();
    let batch = ChangeBatch::of([
        (Upsert, cname(NAME, "new", 50)),
        (Create, cname("fresh.example.com", "old", 1)),
        (Upsert, cname("www.example.org", "old", 1)),
    ]);
    let (code, message) = refusal(&mut model, &zone, &batch);
    assert_eq!(code, "InvalidChangeBatch");
    assert_eq!(
        message,
        "[RRSet with DNS name www.example.org. is not permitted in zone example.com.]"
    );
    let after: Vec<_> = model
        .zone(&us(), &zone)
        .unwrap()
        .records()
        .cloned()
        .collect();
    assert_eq!(before, after);
    assert_eq!(model.weight_writes().len(), 1);
}

#[test]
fn a_change_is_pending_until_it_has_propagated() {
    let (mut model, zone) = service();
    model.settings.propagation = SignedDuration::from_secs(30);
    let info = model
        .change(&us(), &zone, &swap((100, 0), (50, 50)), at(100))
        .unwrap();
    assert!(!info.in_sync);
    assert!(!model.change_info(&info.id, at(129)).unwrap().in_sync);
    assert!(model.change_info(&info.id, at(130)).unwrap().in_sync);
    let old = |second| model.answering_weights(&zone, &group(), at(second))["old"];
    assert_eq!((old(129), old(130)), (Weight(100), Weight(50)));
}

#[test]
fn a_change_that_was_never_made_or_was_lost_is_unknown() {
    let (mut model, zone) = service();
    let info = model
        .change(&us(), &zone, &swap((100, 0), (50, 50)), at(1))
        .unwrap();
    model.forget_change(&info.id);
    for id in [info.id, ChangeId::from("C0000000000000")] {
        assert_eq!(
            model.change_info(&id, at(2)).unwrap_err().code,
            "NoSuchChange"
        );
    }
}

fn many(action: ChangeAction, count: usize) -> ChangeBatch {
    ChangeBatch::of((0..count).map(|i| (action, cname(&format!("n{i}.example.com"), "old", 1))))
}

#[test]
fn a_batch_takes_1000_elements_and_upserts_count_twice() {
    let too_many = "[Number of records limit of 1000 exceeded.]";
    for (batch, accepted) in [
        (many(Create, 1000), true),
        (many(Create, 1001), false),
        (many(Upsert, 500), true),
        (many(Upsert, 501), false),
    ] {
        let (mut model, zone) = service();
        match model.change(&us(), &zone, &batch, at(1)) {
            Ok(_) => assert!(accepted),
            Err(error) => {
                assert!(!accepted, "{error}");
                assert_eq!(error.message, too_many);
            }
        }
    }
}

#[test]
fn aliases_count_as_elements() {
    let (mut model, zone) = service();
    let alias = |i| {
        let name = format!("n{i}.example.com");
        (
            Create,
            StoredRecord::weighted_alias(&name, "A", "old", 1, "lb.example.net"),
        )
    };
    let (_, message) = refusal(&mut model, &zone, &ChangeBatch::of((0..1001).map(alias)));
    assert_eq!(message, "[Number of records limit of 1000 exceeded.]");
}

fn text(number: usize, length: usize) -> StoredRecord {
    StoredRecord {
        name: format!("t{number}.example.com"),
        record_type: "TXT".to_owned(),
        ttl: Some(60),
        values: vec![format!("\"{}\"", "x".repeat(length - 2))],
        ..StoredRecord::default()
    }
}

#[test]
fn a_batch_takes_32000_characters_of_values_and_upserts_count_twice() {
    let fits = ChangeBatch::of((0..100).map(|i| (Create, text(i, 320))));
    let twice = ChangeBatch::of((0..100).map(|i| (Upsert, text(i, 161))));
    let (mut model, zone) = service();
    model.change(&us(), &zone, &fits, at(1)).unwrap();
    let (_, message) = refusal(&mut model, &zone, &twice);
    assert_eq!(message, "[RDATA character limit of 32000 exceeded.]");
}

#[test]
fn members_of_a_weighted_group_share_one_ttl() {
    let with_ttl = |identifier, ttl| StoredRecord {
        ttl: Some(ttl),
        ..cname(NAME, identifier, 1)
    };
    let (mut model, zone) = service();
    let (_, message) = refusal(
        &mut model,
        &zone,
        &ChangeBatch::of([(Upsert, with_ttl("new", 300))]),
    );
    assert_eq!(
        message,
        "[RRSet with DNS name test.example.com., type CNAME, SetIdentifier new cannot be created as weighted sets \
         must contain the same TTL.]"
    );
    let both = ChangeBatch::of([
        (Upsert, with_ttl("old", 300)),
        (Upsert, with_ttl("new", 300)),
    ]);
    model.change(&us(), &zone, &both, at(1)).unwrap();
}

#[test]
fn policies_do_not_mix_but_one_batch_may_replace_one_by_another() {
    let simple = StoredRecord {
        set_identifier: None,
        weight: None,
        ..cname(NAME, "", 0)
    };
    let (mut model, zone) = service();
    let (_, message) = refusal(
        &mut model,
        &zone,
        &ChangeBatch::of([(Create, simple.clone())]),
    );
    assert!(message.contains("as other RRSets exist with the same name and type"));
    let to_simple = ChangeBatch::of([
        (Delete, cname(NAME, "old", 100)),
        (Delete, cname(NAME, "new", 0)),
        (Create, simple.clone()),
    ]);
    model.change(&us(), &zone, &to_simple, at(1)).unwrap();
    let member = ChangeBatch::of([(Create, cname(NAME, "old", 1))]);
    let (_, message) = refusal(&mut model, &zone, &member);
    assert!(message.contains("as a non-weighted set exists with the same name and type"));
    let back = ChangeBatch::of([(Delete, simple), (Create, cname(NAME, "old", 1))]);
    model.change(&us(), &zone, &back, at(1)).unwrap();
}

#[test]
fn the_same_record_set_may_be_changed_once_or_deleted_and_created() {
    let (mut model, zone) = service();
    for actions in [[Upsert, Upsert], [Delete, Delete], [Delete, Upsert]] {
        let batch = ChangeBatch::of(actions.map(|action| (action, cname(NAME, "old", 100))));
        let (_, message) = refusal(&mut model, &zone, &batch);
        assert!(message.contains("invalid set of changes"), "{message}");
    }
}

#[test]
fn the_zones_own_records_and_names_are_protected() {
    let (mut model, zone) = service();
    let apex: Vec<_> = model
        .zone(&us(), &zone)
        .unwrap()
        .records()
        .take(2)
        .cloned()
        .collect();
    for record in apex {
        let (_, message) = refusal(&mut model, &zone, &ChangeBatch::of([(Delete, record)]));
        assert!(message.contains("A HostedZone must contain"), "{message}");
    }
    let at_apex = ChangeBatch::of([(Create, cname("example.com", "old", 1))]);
    assert!(
        refusal(&mut model, &zone, &at_apex)
            .1
            .contains("not permitted at apex")
    );
    let beside = StoredRecord::weighted(NAME, "A", "old", 1, "192.0.2.1");
    let beside = ChangeBatch::of([(Create, beside)]);
    assert!(
        refusal(&mut model, &zone, &beside)
            .1
            .contains("conflicting RRSet of type CNAME")
    );
}

#[test]
fn malformed_requests_are_invalid_input() {
    let base = cname("bad.example.com", "old", 1);
    let bad = [
        StoredRecord {
            weight: Some(256),
            ..base.clone()
        },
        StoredRecord {
            weight: Some(-1),
            ..base.clone()
        },
        StoredRecord {
            weight: None,
            ..base.clone()
        },
        StoredRecord {
            set_identifier: None,
            ..base.clone()
        },
        StoredRecord {
            set_identifier: Some("s".repeat(129)),
            ..base.clone()
        },
        StoredRecord {
            ttl: None,
            ..base.clone()
        },
        StoredRecord {
            ttl: Some(60),
            ..StoredRecord::weighted_alias("bad.example.com", "A", "old", 1, "lb.example.net")
        },
    ];
    let (mut model, zone) = service();
    for record in bad {
        let (code, message) = refusal(&mut model, &zone, &ChangeBatch::of([(Upsert, record)]));
        assert_eq!(code, "InvalidInput", "{message}");
    }
    assert_eq!(
        refusal(&mut model, &zone, &ChangeBatch::default()).0,
        "InvalidInput"
    );
}

#[test]
fn pages_follow_one_another_without_gap_or_repeat() {
    let (mut model, zone) = service();
    let many = (0..100).map(|i| (Create, cname("many.example.com", &format!("s{i:03}"), 1)));
    model
        .change(&us(), &zone, &ChangeBatch::of(many), at(1))
        .unwrap();
    let (mut start, mut seen, mut pages) = (RecordStart::default(), Vec::new(), 0);
    loop {
        let page = model.list_records(&us(), &zone, &start, 30).unwrap();
        pages += 1;
        let listed = page
            .records
            .iter()
            .map(|it| (it.name.clone(), it.set_identifier.clone()));
        seen.extend(listed.zip(page.records.iter().map(|it| it.record_type.clone())));
        let Some(next) = page.next else { break };
        start = RecordStart {
            name: Some(next.name.clone()),
            record_type: Some(next.record_type.clone()),
            identifier: next.set_identifier.clone(),
        };
    }
    let mut unique = seen.clone();
    unique.dedup();
    assert_eq!((pages, seen.len(), unique.len()), (4, 104, 104));
}

#[test]
fn a_page_holds_300_at_most_and_its_start_needs_the_coarser_fields() {
    let (mut model, zone) = service();
    let many = (0..400).map(|i| (Create, cname(&format!("n{i}.example.com"), "old", 1)));
    model
        .change(&us(), &zone, &ChangeBatch::of(many), at(1))
        .unwrap();
    let all = RecordStart::default();
    let page = model.list_records(&us(), &zone, &all, 1000).unwrap();
    assert_eq!(page.records.len(), 300);
    for start in [
        RecordStart {
            record_type: Some("A".to_owned()),
            ..RecordStart::default()
        },
        RecordStart {
            name: Some(NAME.to_owned()),
            identifier: Some("old".to_owned()),
            ..RecordStart::default()
        },
    ] {
        let error = model.list_records(&us(), &zone, &start, 1).unwrap_err();
        assert_eq!(error.code, "InvalidInput");
    }
}

#[test]
fn a_busy_zone_refuses_the_next_change_but_not_a_read() {
    let (mut model, zone) = service();
    model.settings.processing = SignedDuration::from_secs(2);
    model
        .change(&us(), &zone, &swap((100, 0), (99, 1)), at(10))
        .unwrap();
    let error = model
        .change(&us(), &zone, &swap((99, 1), (98, 2)), at(11))
        .unwrap_err();
    assert_eq!(
        (error.status, error.code.as_str()),
        (400, "PriorRequestNotComplete")
    );
    model
        .list_records(&us(), &zone, &RecordStart::default(), 10)
        .unwrap();
    model
        .change(&us(), &zone, &swap((99, 1), (98, 2)), at(12))
        .unwrap();
}

#[test]
fn quotas_let_50_calls_through_at_once_and_10_a_second_after_that() {
    let (mut model, _) = service();
    model.settings.quotas = Some(Quotas::default());
    let mut admitted = |second: i64| {
        let calls = (0..100).filter(|_| model.admit(&us(), "GetChange", at(second)).is_ok());
        calls.count()
    };
    assert_eq!((admitted(10), admitted(10), admitted(11)), (50, 0, 10));
    let error = model
        .admit(&us(), "ListResourceRecordSets", at(11))
        .unwrap_err();
    assert_eq!(
        (error.status, error.message.as_str()),
        (400, "Rate exceeded")
    );
    let other = role("arn:aws:iam::222222222222:role/other");
    model.admit(&other, "GetChange", at(11)).unwrap();
}

#[test]
fn all_zero_weights_share_evenly_and_an_unhealthy_member_hands_over_even_to_weight_zero() {
    let (mut model, zone) = service();
    model.settings.propagation = SignedDuration::ZERO;
    let share = |model: &Route53, second| {
        let shares = model.shares(&zone, &group(), at(second));
        shares
            .into_iter()
            .map(|it| (it.identifier, it.share))
            .collect::<Vec<_>>()
    };
    let named = |new, old| vec![("new".to_owned(), new), ("old".to_owned(), old)];
    model
        .change(&us(), &zone, &swap((100, 0), (75, 25)), at(1))
        .unwrap();
    assert_eq!(share(&model, 1), named(0.25, 0.75));
    model
        .change(&us(), &zone, &swap((75, 25), (0, 0)), at(2))
        .unwrap();
    assert_eq!(share(&model, 2), named(0.5, 0.5));
    let config = HealthCheckConfig {
        check_type: "HTTPS".to_owned(),
        ..HealthCheckConfig::default()
    };
    let check = model.create_health_check("one", config, at(3)).unwrap();
    let new = StoredRecord {
        health_check_id: Some(check.id.clone()),
        ..cname(NAME, "new", 100)
    };
    model
        .change(&us(), &zone, &ChangeBatch::of([(Upsert, new)]), at(3))
        .unwrap();
    assert_eq!(share(&model, 3), named(1.0, 0.0));
    model.set_endpoint_health(&check.id, false).unwrap();
    assert_eq!(share(&model, 3), named(0.0, 1.0));
}

#[test]
fn a_late_batch_still_has_its_effect_when_it_arrives() {
    let (mut model, zone) = service();
    model.deliver_late(at(20), &us(), &zone, swap((100, 0), (50, 50)));
    model.advance(at(19));
    assert_eq!(pair(&model, &zone), Some(WeightPair::new(100, 0)));
    model.advance(at(25));
    assert_eq!(pair(&model, &zone), Some(WeightPair::new(50, 50)));
    assert_eq!(model.weight_writes().last().unwrap().at, at(20));
}

#[test]
fn a_foreign_write_is_kept_apart_from_ours() {
    let (mut model, zone) = service();
    model
        .foreign_weight(&zone, &group(), "new", Weight(7), at(5))
        .unwrap();
    let write = model.weight_writes().last().unwrap();
    assert!(write.foreign);
    assert_eq!(write.pair("old", "new"), Some(WeightPair::new(100, 7)));
}

#[test]
fn zones_belong_to_accounts_and_names_may_repeat() {
    let (mut model, zone) = service();
    let theirs = role("arn:aws:iam::222222222222:role/other");
    let new = |account: &Account, reference: &str| NewZone {
        account: account.clone(),
        name: "example.com".to_owned(),
        caller_reference: reference.to_owned(),
        ..NewZone::default()
    };
    model.create_zone(new(&theirs, "one"), at(1)).unwrap();
    model.create_zone(new(&us(), "two"), at(1)).unwrap();
    let again = model.create_zone(new(&us(), "two"), at(1)).unwrap_err();
    assert_eq!(
        (again.status, again.code.as_str()),
        (409, "HostedZoneAlreadyExists")
    );
    assert_eq!(model.zones_of(&us()).count(), 2);
    assert_eq!(model.zone(&theirs, &zone).unwrap_err().code, "AccessDenied");
    let unknown = ZoneId::from("Z00000000000000000000");
    assert_eq!(
        model.zone(&us(), &unknown).unwrap_err().code,
        "NoSuchHostedZone"
    );
    let error = model.delete_zone(&us(), &zone, at(2)).unwrap_err();
    assert_eq!(error.code, "HostedZoneNotEmpty");
}

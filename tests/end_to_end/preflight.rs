//! What stands around the plan's records, before the start: `preview` says it, and `run` holds or warns.

use cutover::engine::observation::AlarmState;
use cutover::engine::plan::Account;
use cutover::engine::record::{AliasTarget, GroupName};
use cutover::engine::units::DnsName;
use cutover::ports::ChangeAction;
use cutover::sim::fault::{Fault, Lasting};
use cutover::sim::route53::{ChangeBatch, NewZone, StoredRecord};
use serde_json::Value;

use super::scene::{FALLBACK, NAME, PLAN, Plan, Scene};
use crate::support::program::holds;

const HOST: &str = "web.example.com";

/// One group of example.com.
fn plan_of(kind: &'static str) -> Plan {
    Plan {
        records: vec![("example.com".to_owned(), HOST.to_owned(), kind)],
        ..Plan::resting_at_first_step()
    }
}

/// A scene whose plan moves one group.
fn scene_of(kind: &'static str) -> Scene {
    let scene = Scene::new(&plan_of(kind));
    scene.add_group("example.com", HOST, kind);
    scene
}

/// Writes records into example.com.
fn write(scene: &Scene, changes: Vec<(ChangeAction, StoredRecord)>) {
    let (zone, now) = (scene.zone("example.com"), scene.bed.now());
    let model = &mut scene.bed.world().route53;
    let made = model.change(&Account::default(), zone, &ChangeBatch::of(changes), now);
    made.expect("valid records");
}

/// A record that is not weighted.
fn plain(name: &str, record_type: &str, ttl: i64, values: &[&str]) -> StoredRecord {
    StoredRecord {
        set_identifier: None,
        weight: None,
        ttl: Some(ttl),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
        ..StoredRecord::weighted(name, record_type, "", 0, "")
    }
}

/// The preview as JSON, and its exit code.
fn previewed(scene: &Scene) -> (Value, Option<i32>) {
    let said = scene.say(&["preview", PLAN, "--format", "json"]);
    let all: Value = serde_json::from_str(&said.stdout).expect("a preview is JSON");
    (all[0].clone(), said.code)
}

#[test]
fn a_name_in_a_delegated_zone_is_refused_by_preview_and_by_run() {
    let scene = scene_of("CNAME");
    let delegation = plain(HOST, "NS", 300, &["ns-1.example.org."]);
    // Route 53 has no CNAME beside an NS: the delegation is of the parent here.
    let parent = StoredRecord {
        name: "sub.example.com".to_owned(),
        ..delegation
    };
    write(&scene, vec![(ChangeAction::Create, parent)]);
    scene.add_group("example.com", "api.sub.example.com", "CNAME");
    scene.plan(&Plan {
        records: vec![(
            "example.com".to_owned(),
            "api.sub.example.com".to_owned(),
            "CNAME",
        )],
        ..plan_of("CNAME")
    });
    let (preview, code) = previewed(&scene);
    assert_eq!(code, Some(11), "{preview:#}");
    let problem = preview["problems"][0]["message"].as_str().unwrap_or("");
    assert!(problem.contains("delegate sub.example.com"), "{preview:#}");
    let once = scene.say(&["run", "plans", "--once"]);
    assert_eq!(once.code, Some(11), "{once:#?}");
    assert_eq!(scene.count(NAME, "weight_change_intended"), 0);
}

#[test]
fn a_longer_hosted_zone_of_the_account_refuses_the_start() {
    let scene = scene_of("CNAME");
    let new = NewZone {
        name: HOST.to_owned(),
        caller_reference: "longer".to_owned(),
        ..NewZone::default()
    };
    let made = scene.bed.world().route53.create_zone(new, scene.bed.now());
    made.expect("a zone");
    let (preview, code) = previewed(&scene);
    assert_eq!(code, Some(11), "{preview:#}");
    let problem = preview["problems"][0]["message"].as_str().unwrap_or("");
    assert!(
        problem.contains("hosted zone web.example.com ("),
        "{preview:#}"
    );
}

#[test]
fn an_alias_to_a_record_of_the_zone_settles_for_that_records_ttl() {
    let scene = Scene::new(&Plan {
        settle: "",
        ..plan_of("A")
    });
    let zone = scene.zone("example.com").to_string();
    let ends = ["old", "new"].map(|side| {
        let name = format!("{side}-end.example.com");
        (
            ChangeAction::Create,
            plain(&name, "A", 3_600, &["192.0.2.1"]),
        )
    });
    write(&scene, ends.into());
    let members = [("eks", "old", 100), ("ecs", "new", 0)].map(|(identifier, side, weight)| {
        let record = StoredRecord::weighted_alias(HOST, "A", identifier, weight, "");
        let alias = AliasTarget {
            zone_id: zone.clone(),
            dns_name: format!("{side}-end.example.com."),
            evaluate_target_health: false,
        };
        let alias = Some(alias);
        (ChangeAction::Create, StoredRecord { alias, ..record })
    });
    write(&scene, members.into());
    let (preview, code) = previewed(&scene);
    assert_eq!(code, Some(0), "{preview:#}");
    assert_eq!(preview["settle_secs"], 3_600);
    let run = scene.run(PLAN);
    scene.wait_for_event(NAME, "alias_ttls_read", 1);
    let settling = scene.wait_for_phase(NAME, "settling");
    assert_eq!(settling["step"], 1);
    run.kill();
    let back = scene.ok(&["rollback", NAME, "--yes"]);
    assert!(back.stderr.contains("their TTL (3600 s)"), "{back:#?}");
}

#[test]
fn a_record_of_a_minute_may_move_to_a_load_balancers_alias_and_one_of_five_may_not() {
    for (ttl, code) in [(60, 0), (300, 11)] {
        let scene = Scene::new(&plan_of("A"));
        let old = StoredRecord {
            ttl: Some(ttl),
            ..StoredRecord::weighted(HOST, "A", "eks", 100, "192.0.2.1")
        };
        let lb = "ecs.eu-west-1.elb.amazonaws.com.";
        let new = StoredRecord::weighted_alias(HOST, "A", "ecs", 0, lb);
        write(
            &scene,
            vec![(ChangeAction::Create, old), (ChangeAction::Create, new)],
        );
        let (preview, exit) = previewed(&scene);
        assert_eq!(exit, Some(code), "{preview:#}");
        if code == 11 {
            let problem = preview["problems"][0]["message"].as_str().unwrap_or("");
            assert!(problem.contains("set the TTL of `eks` to 60"), "{problem}");
        }
    }
}

#[test]
fn a_fallback_alarm_without_data_holds_the_start() {
    let scene = scene_of("CNAME");
    scene.set_alarm(FALLBACK, AlarmState::InsufficientData);
    let said = scene.say(&["preview", PLAN]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(
        said.stdout.contains("an alarm holds the start"),
        "{said:#?}"
    );
    let _run = scene.run(PLAN);
    let status = scene.wait_for_hold(NAME, "fallback_unknown");
    assert_eq!(status["phase"], "waiting");
    assert_eq!(scene.count(NAME, "weight_change_intended"), 0);
}

#[test]
fn a_role_without_get_change_is_told_by_preview_and_paged_at_once_by_run() {
    let scene = scene_of("CNAME");
    scene
        .bed
        .fault(Some("GetChange"), Fault::deny(), Lasting::Always);
    let (preview, code) = previewed(&scene);
    assert_eq!(code, Some(11), "{preview:#}");
    assert_eq!(preview["problems"][0]["kind"], "denied");
    assert_eq!(preview["problems"][0]["action"], "route53:GetChange");
    let run = scene.run(PLAN);
    let status = scene.wait_for_hold(NAME, "denied");
    assert_eq!(status["phase"], "settling");
    assert!(!holds(&status, "in_sync_late"), "{status:#}");
    assert!(run.log().contains("page=true"), "{}", run.log());
}

#[test]
fn a_role_without_the_alarm_history_is_told_by_preview() {
    let scene = scene_of("CNAME");
    let history = Some("DescribeAlarmHistory");
    scene.bed.fault(history, Fault::deny(), Lasting::Always);
    let (preview, code) = previewed(&scene);
    assert_eq!(code, Some(11), "{preview:#}");
    let action = &preview["problems"][0]["action"];
    assert_eq!(action, "cloudwatch:DescribeAlarmHistory");
}

#[test]
fn external_dns_and_one_target_on_both_sides_are_warned_about_once() {
    let scene = Scene::new(&plan_of("CNAME"));
    let owner = "\"heritage=external-dns,external-dns/owner=prod\"";
    let txt = plain("cname-web.example.com", "TXT", 300, &[owner]);
    let member = |identifier: &str, weight: u8| {
        let record = StoredRecord::weighted(HOST, "CNAME", identifier, weight, "one.example.org.");
        (ChangeAction::Create, record)
    };
    write(
        &scene,
        vec![
            (ChangeAction::Create, txt),
            member("eks", 100),
            member("ecs", 0),
        ],
    );
    let (preview, code) = previewed(&scene);
    assert_eq!(code, Some(0), "{preview:#}");
    let warnings = preview["warnings"].to_string();
    assert!(warnings.contains("ExternalDNS owns it"), "{warnings}");
    assert!(
        warnings.contains("both point to one.example.org"),
        "{warnings}"
    );
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    let log = run.log();
    assert_eq!(log.matches("ExternalDNS owns it").count(), 1, "{log}");
    assert_eq!(
        log.matches("both point to one.example.org").count(),
        1,
        "{log}"
    );
    let group = GroupName {
        name: DnsName::new(HOST),
        record_type: "CNAME".to_owned(),
    };
    assert_eq!(group.to_string(), "web.example.com CNAME");
}

#[test]
fn a_preview_shows_when_it_would_start_and_where_it_stands() {
    let scene = scene_of("CNAME");
    let shut = Plan {
        more: "windows:\n  time_zone: UTC\n  allow: [\"2099-01-01..2099-12-31\"]\n".to_owned(),
        ..plan_of("CNAME")
    };
    scene.plan(&shut);
    let (preview, code) = previewed(&scene);
    assert_eq!(code, Some(0), "{preview:#}");
    assert_eq!(preview["holds"][0]["kind"], "window_shut", "{preview:#}");
    assert_eq!(preview["starts_at"], "2099-01-01T00:00:00Z");
    let said = scene.say(&["preview", PLAN]);
    assert!(!said.stdout.contains("could start now"), "{}", said.stdout);

    scene.plan(&plan_of("CNAME"));
    let _run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    let said = scene.say(&["preview", PLAN]);
    assert!(
        said.stdout.contains("it is baking at step 1 of 3"),
        "{}",
        said.stdout
    );
}

#[test]
fn route_53_that_cannot_be_read_is_not_shown_as_an_empty_group() {
    let scene = scene_of("CNAME");
    let list = Some("ListResourceRecordSets");
    scene.bed.fault(list, Fault::deny(), Lasting::Always);
    let said = scene.say(&["preview", PLAN]);
    assert_eq!(said.code, Some(11), "{said:#?}");
    assert!(!said.stdout.contains("no record sets"), "{}", said.stdout);
    assert!(said.stdout.contains("cannot be read:"), "{}", said.stdout);
}

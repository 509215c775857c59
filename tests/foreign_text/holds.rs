//! Every hold, every halt and every cause of a revert, with a text of others wherever they can have one.

use std::collections::BTreeSet;

use cutover::engine::evidence::gate::{Beyond, Bound, Unit};
use cutover::engine::evidence::number::Number;
use cutover::engine::evidence::sequential::{Judgement, Numbers, SideCounts};
use cutover::engine::hold::{HaltReason, HoldReason, RevertCause};
use cutover::engine::record::GroupName;
use cutover::engine::units::{DnsName, Share};
use serde_json::{Value, json};
use strum::VariantNames;

/// Stands where a text of others does.
pub(super) const TEXT: &str = "TEXT";

fn beyond() -> Value {
    let beyond = Beyond {
        value: Number::from(7),
        bound: Bound::Max(Number::from(5)),
        unit: Unit::Percent,
        points: 3,
        of: 5,
        old: None,
    };
    serde_json::to_value(beyond).expect("JSON")
}

fn gate() -> Value {
    json!({ "region": TEXT, "name": TEXT })
}

fn group() -> Value {
    let group = GroupName {
        name: DnsName::new(TEXT),
        record_type: TEXT.to_owned(),
    };
    let mut group = serde_json::to_value(group).expect("JSON");
    // A name is kept in lower case.
    group["name"] = TEXT.into();
    group
}

fn stray() -> Value {
    json!({ "group": group(), "set_identifier": TEXT, "weight": 25, "of": 200, "target": TEXT })
}

/// What somebody else made of a group, in each way that there is.
pub(super) fn found() -> Vec<Value> {
    let pair = json!({ "old": 50, "new": 50 });
    let is = [
        json!({ "is": "both", "weights": pair, "changed": [TEXT] }),
        json!({
            "is": "gone", "missing": [TEXT], "only_old": true, "force_leads_to": TEXT,
            "there": [{ "set_identifier": TEXT, "weight": 5 }],
        }),
        json!({ "is": "unweighted", "policy": TEXT, "target": TEXT, "to_new": true }),
    ];
    is.into_iter()
        .map(|found| json!({ "group": group(), "expected": pair, "found": found }))
        .collect()
}

/// One of each halt.
pub(super) fn halts() -> Vec<Value> {
    vec![
        json!({ "halt": "both_red", "gate": gate(), "fallback": gate() }),
        json!({ "halt": "drift", "groups": [group()], "found": found() }),
        json!({ "halt": "step_failed", "message": TEXT }),
        json!({ "halt": "invariant", "message": TEXT }),
    ]
}

/// One of each cause.
pub(super) fn causes() -> Vec<Value> {
    let side = SideCounts::default();
    let judgement = Judgement::Fail(Numbers {
        new: side,
        old: side,
        since: None,
        times: None,
        at_most: 1_000,
        odds: 1_000,
        odds_needed: 100,
        dispersion: 1_000,
        requests_needed: None,
    });
    let at = "2026-11-21T09:00:00Z";
    let hook = json!({ "point": "before_step", "step": 2, "index": 1 });
    vec![
        json!({ "cause": "alarm_red", "alarm": gate() }),
        json!({ "cause": "alarm_flapped", "alarm": gate(), "at": at }),
        json!({ "cause": "unknown_too_long", "alarm": gate(), "since": at }),
        json!({ "cause": "measure_beyond", "gate": gate(), "beyond": beyond() }),
        json!({ "cause": "worse", "gate": gate(), "judgement": judgement }),
        json!({ "cause": "step_failed", "message": TEXT }),
        json!({ "cause": "approval_timeout", "step": 2, "since": at }),
        json!({ "cause": "hook_failed", "hook": hook, "message": TEXT }),
        json!({ "cause": "operator", "actor": TEXT, "reason": TEXT }),
        json!({ "cause": "late_write" }),
    ]
}

/// One of each hold, and more than one of those that can have others in them.
pub(super) fn holds() -> Vec<Value> {
    let mut all = about_records();
    all.extend(about_gates());
    all.extend(about_files_and_the_fleet());
    all.extend(about_what_is_under_way());
    all
}

fn about_records() -> Vec<Value> {
    let at = "2026-11-21T09:00:00Z";
    let hook = json!({ "point": "before_step", "step": 2, "index": 1 });
    let mut all = vec![
        json!({ "kind": "journal_damaged", "entry": 19, "message": TEXT }),
        json!({ "kind": "revert_blocked", "message": TEXT }),
        json!({ "kind": "others_hold_weight", "members": [stray()] }),
        json!({ "kind": "jobs_both_off", "to": "new", "since": at }),
        json!({ "kind": "jobs_drift", "jobs": [TEXT], "both_on": [TEXT] }),
        json!({ "kind": "jobs_stuck", "job": TEXT, "side": "old", "message": TEXT }),
        json!({
            "kind": "jobs_unread", "job": TEXT, "side": "old", "message": TEXT, "since": at, "overdue": true,
        }),
        json!({ "kind": "hook_failed", "hook": hook, "tries": 3, "message": TEXT }),
        json!({ "kind": "denied", "action": TEXT, "needed_for": TEXT, "message": TEXT }),
        json!({ "kind": "already_at_baseline" }),
    ];
    for adoption in ["refused", "goes_on", "completes"] {
        all.push(json!({
            "kind": "drift", "groups": [group()], "found": found(), "adoption": adoption,
        }));
    }
    for reason in halts() {
        all.push(json!({ "kind": "halted", "reason": reason }));
    }
    for cause in causes() {
        all.push(json!({
            "kind": "reverted", "cause": cause, "share": Share::percent(5), "at": at, "unresolved": true,
        }));
    }
    all
}

fn about_gates() -> Vec<Value> {
    let at = "2026-11-21T09:00:00Z";
    vec![
        json!({ "kind": "alarm_red", "alarm": gate(), "started": true }),
        json!({ "kind": "measure_red", "gate": gate(), "beyond": beyond(), "started": true }),
        json!({
            "kind": "traffic_elsewhere", "intended": Share::percent(5), "observed": 1.0, "within": 50.0,
            "new_requests": 1, "old_requests": 1,
        }),
        json!({
            "kind": "climbing", "gate": gate(), "value": 1.0, "per_hour": 1.0, "limit": 9.0, "unit": "percent",
            "reaches_at": at,
        }),
        json!({ "kind": "fallback_red", "alarm": gate() }),
        json!({ "kind": "fallback_unknown", "alarm": gate(), "message": TEXT }),
        json!({ "kind": "alarm_missing", "alarm": gate(), "fallback": true, "since": at }),
        json!({ "kind": "no_data", "alarm": gate(), "since": at }),
        json!({ "kind": "unknown", "alarm": gate(), "message": TEXT, "since": at }),
        json!({ "kind": "unknown_too_long", "alarm": gate(), "since": at }),
        json!({
            "kind": "measure_near", "gate": gate(), "beyond": beyond(), "needed": 3, "every_mins": 5,
        }),
        json!({ "kind": "too_few_requests", "gate": gate(), "requests": 1, "needed": 100 }),
        json!({ "kind": "never_compared", "gate": gate(), "requests": 1 }),
    ]
}

fn about_files_and_the_fleet() -> Vec<Value> {
    let at = "2026-11-21T09:00:00Z";
    vec![
        json!({ "kind": "route53_unreadable", "group": group(), "message": TEXT }),
        json!({ "kind": "preflight", "group": group(), "message": TEXT }),
        json!({ "kind": "name_used", "path": TEXT, "phase": "reverted" }),
        json!({ "kind": "claimed", "group": group(), "by": TEXT }),
        json!({ "kind": "clock", "message": TEXT }),
        json!({ "kind": "plan_changed", "path": TEXT, "records": true, "refused": TEXT }),
        json!({ "kind": "plan_changed", "path": TEXT }),
        json!({ "kind": "plan_unreadable", "path": TEXT, "message": TEXT }),
        json!({ "kind": "plan_unreadable", "path": TEXT, "message": TEXT, "gone": true }),
        json!({ "kind": "journal_down", "message": TEXT }),
        json!({ "kind": "break_glass", "message": TEXT }),
        json!({ "kind": "fleet_unreadable", "message": TEXT }),
        json!({
            "kind": "budget_spent", "spent": 1, "budget": 1, "since": at, "reverted": [TEXT], "one_cause": true,
        }),
        json!({ "kind": "shared_fate", "services": 3, "named": [TEXT], "since": at }),
        json!({ "kind": "frozen", "until": at, "reason": TEXT }),
        json!({ "kind": "dependency", "on": TEXT, "phase": "halted", "step": 1, "steps": 3 }),
        json!({ "kind": "dependency", "on": TEXT, "phase": null, "step": 0, "steps": 0 }),
        json!({
            "kind": "dependency", "on": TEXT, "phase": "reverted", "step": 0, "steps": 3, "damaged": true,
        }),
        json!({ "kind": "fleet_full", "in_flight": 1, "max": 1 }),
    ]
}

fn about_what_is_under_way() -> Vec<Value> {
    let at = "2026-11-21T09:00:00Z";
    let hook = json!({ "point": "before_step", "step": 2, "index": 1 });
    vec![
        json!({ "kind": "paused", "reason": TEXT }),
        json!({ "kind": "approval", "step": 2 }),
        json!({ "kind": "approval_overdue", "step": 2, "since": at }),
        json!({
            "kind": "window_shut", "step": 2, "opens_at": at, "time_zone": "UTC", "whole_bake": true,
        }),
        json!({ "kind": "jobs_unseen" }),
        json!({ "kind": "jobs_firing", "until": at, "since": at }),
        json!({
            "kind": "jobs_running", "side": "old", "running": 1, "jobs": [TEXT], "since": at, "overdue": true,
        }),
        json!({ "kind": "jobs_moving", "to": "new", "off_since": at }),
        json!({ "kind": "hook_running", "hook": hook }),
        json!({ "kind": "calls_wait" }),
        json!({ "kind": "shifting", "step": 1, "message": TEXT }),
        json!({ "kind": "in_sync_late", "change_id": TEXT, "zone": TEXT }),
        json!({ "kind": "settling", "step": 1, "until": at }),
        json!({ "kind": "baking", "step": 1, "until": at, "counted_secs": 60 }),
        json!({ "kind": "reverting", "back": 1, "groups": 3 }),
    ]
}

fn as_set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn the_tables_have_every_hold_every_halt_and_every_cause() {
    let tags = |all: Vec<Value>, tag: &str| -> BTreeSet<String> {
        let tags = all.iter().map(|value| value[tag].as_str().expect("a tag"));
        tags.map(str::to_owned).collect()
    };
    assert_eq!(tags(holds(), "kind"), as_set(HoldReason::VARIANTS));
    assert_eq!(tags(halts(), "halt"), as_set(HaltReason::VARIANTS));
    assert_eq!(tags(causes(), "cause"), as_set(RevertCause::VARIANTS));
}

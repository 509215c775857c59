//! The `records` of a plan.

use crate::engine::account::Account;
use crate::engine::plan::{GROUPS_MAX, Group, ZoneRef};
use crate::engine::record::GroupName;
use crate::engine::units::{DnsName, ZoneId};

use super::at::At;
use super::diagnostics::{Sink, Span, quote};
use super::fields::{accept, require_all, shaped};
use super::raw::{RawRecord, RecordType};
use super::{accounts, shapes};

/// The groups of a plan; none if the list itself could not be read.
pub(super) fn convert(records: At<Vec<At<RawRecord>>>, sink: &mut Sink<'_>) -> Option<Vec<Group>> {
    let (span, records) = (records.span, records.value?);
    if records.is_empty() {
        let help = "list at least one: `{ zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }`";
        sink.error(
            &span,
            "no record is listed, so there is nothing to move",
            help,
        );
    }
    if let Some(first_too_many) = records.get(GROUPS_MAX) {
        let message = format!(
            "{} records are listed; {GROUPS_MAX} are the most, because they must fit in one change of Route 53",
            records.len()
        );
        sink.error(&first_too_many.span, message, "split the plan into several");
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut identities = Vec::<(Span, Identity)>::new();
    for record in records.into_iter().take(GROUPS_MAX) {
        let At { span, value } = record;
        let Some(mut raw) = value else {
            continue;
        };
        require_keys(&raw, &span, sink);
        let account = account(&mut raw, &span, sink);
        let members = members(raw.old.take(), raw.new.take(), &span, sink);
        let Some((zone, name)) = identity(raw, &span, sink) else {
            continue;
        };
        one_role_a_zone(&zone, account.as_ref(), &groups, &span, sink);
        compare(&(zone.clone(), name.clone()), &span, &identities, sink);
        identities.push((span, (zone.clone(), name.clone())));
        if let Some((old, new)) = members {
            groups.push(Group {
                zone,
                name,
                old,
                new,
                account,
            });
        }
    }
    Some(groups)
}

/// The account of the record's zone, if the record has a role of its own.
fn account(raw: &mut RawRecord, span: &Span, sink: &mut Sink<'_>) -> Option<Account> {
    let role_arn = shaped(raw.role_arn.take(), shapes::role_arn, sink);
    let external_id = shaped(raw.external_id.take(), shapes::external_id, sink);
    accounts::of_role(role_arn, external_id, None, span, sink)
}

/// Refuses two roles for records of one zone: they move in one write, which one role sends.
fn one_role_a_zone(
    zone: &ZoneRef,
    account: Option<&Account>,
    known: &[Group],
    span: &Span,
    sink: &mut Sink<'_>,
) {
    let of_zone = known.iter().find(|group| group.zone == *zone);
    if of_zone.is_some_and(|group| group.account.as_ref() != account) {
        let message = format!("two records of {} have different roles", zone.zone);
        let help = "give all records of one zone the same `role_arn` and `external_id`";
        sink.error(span, message, help);
    }
}

/// The identity of a group.
type Identity = (ZoneRef, GroupName);

fn require_keys(raw: &RawRecord, span: &Span, sink: &mut Sink<'_>) {
    let keys = [
        ("zone", raw.zone.is_some()),
        ("name", raw.name.is_some()),
        ("type", raw.record_type.is_some()),
        ("old", raw.old.is_some()),
        ("new", raw.new.is_some()),
    ];
    let help =
        "a record is `{ zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }`";
    require_all(&keys, "this record", help, span, sink);
}

/// The set identifiers of the old and the new cluster's record.
fn members(
    old: Option<At<String>>,
    new: Option<At<String>>,
    span: &Span,
    sink: &mut Sink<'_>,
) -> Option<(String, String)> {
    let new_span = new
        .as_ref()
        .map_or_else(|| span.clone(), |new| new.span.clone());
    let old = shaped(old, shapes::set_identifier, sink);
    let new = shaped(new, shapes::set_identifier, sink);
    if old.is_some() && old == new {
        let message = "`old` and `new` are the same record";
        let help = "write the set identifiers of the old and the new cluster's record";
        sink.error(&new_span, message, help);
    }
    old.zip(new)
}

fn identity(raw: RawRecord, span: &Span, sink: &mut Sink<'_>) -> Option<Identity> {
    let zone = shaped(raw.zone, shapes::zone, sink).map(|zone| {
        if ZoneId::is_written_as(&zone) {
            zone
        } else {
            DnsName::new(&zone).as_str().to_owned()
        }
    });
    let name_span = raw
        .name
        .as_ref()
        .map_or_else(|| span.clone(), |name| name.span.clone());
    let name = shaped(raw.name, shapes::dns_name, sink).map(|name| DnsName::new(&name));
    let record_type = raw.record_type.and_then(|record_type| record_type.value);
    if let (Some(zone), Some(name)) = (&zone, &name) {
        name_fits_zone(name, record_type, zone, &name_span, sink);
    }
    let zone = ZoneRef {
        zone: zone?,
        private: raw.private.and_then(|private| private.value),
    };
    let name = GroupName {
        name: name?,
        record_type: record_type?.as_str().to_owned(),
    };
    Some((zone, name))
}

fn name_fits_zone(
    name: &DnsName,
    record_type: Option<RecordType>,
    zone: &str,
    span: &Span,
    sink: &mut Sink<'_>,
) {
    if ZoneId::is_written_as(zone) {
        return;
    }
    let zone = DnsName::new(zone);
    let fits = accept(shapes::in_zone(name, &zone), span, sink);
    if fits && *name == zone && record_type == Some(RecordType::Cname) {
        let message = "a CNAME cannot stand at the top of its zone";
        let help = "use alias records of type A and AAAA there, as the DNS requires";
        sink.error(span, message, help);
    }
}

/// Compares a group with those before it.
fn compare(
    (zone, name): &Identity,
    span: &Span,
    earlier: &[(Span, Identity)],
    sink: &mut Sink<'_>,
) {
    let shown = quote(name.name.as_str());
    for (first, (other_zone, other)) in earlier {
        if !may_be_same_zone(other_zone, zone) || other.name != name.name {
            continue;
        }
        if other.record_type == name.record_type {
            let message = format!("the record {shown} {} is listed twice", name.record_type);
            let (help, here) = ("remove one of the two", "first listed here");
            sink.conflict(span, message, help, (first, here));
            return;
        }
        if is_cname(other) || is_cname(name) {
            let message = format!("{shown} cannot have a CNAME and another record");
            let help = "remove one of the two; the DNS allows nothing beside a CNAME";
            sink.conflict(span, message, help, (first, "the other one is here"));
            return;
        }
    }
}

/// Returns true if two references may mean the same zone: one without `private` may mean either.
fn may_be_same_zone(one: &ZoneRef, other: &ZoneRef) -> bool {
    let either = one.private.is_none() || other.private.is_none();
    one.zone == other.zone && (either || one.private == other.private)
}

fn is_cname(name: &GroupName) -> bool {
    name.record_type == RecordType::Cname.as_str()
}

//! The `records` of a plan.

use crate::engine::plan::GROUPS_MAX;
use crate::engine::plan::Group;
use crate::engine::plan::ZoneRef;
use crate::engine::record::GroupName;
use crate::engine::units::DnsName;

use super::convert::accept;
use super::convert::require_in;
use super::convert::shaped;
use super::diagnostics::Sink;
use super::diagnostics::Span;
use super::diagnostics::quote;
use super::raw::RawRecord;
use super::raw::RecordType;
use super::read::At;
use super::shapes;

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
    let mut groups = Vec::<(Span, Group)>::new();
    for record in records.into_iter().take(GROUPS_MAX) {
        let At { span, value } = record;
        if let Some(group) = value.and_then(|raw| convert_one(raw, &span, sink)) {
            compare(&group, &span, &groups, sink);
            groups.push((span, group));
        }
    }
    Some(groups.into_iter().map(|(_, group)| group).collect())
}

fn convert_one(raw: RawRecord, span: &Span, sink: &mut Sink<'_>) -> Option<Group> {
    let what = "this record";
    let zone = require_in(raw.zone, "zone", what, span, sink);
    let name = require_in(raw.name, "name", what, span, sink);
    let record_type = require_in(raw.record_type, "type", what, span, sink);
    let old = require_in(raw.old, "old", what, span, sink);
    let new = require_in(raw.new, "new", what, span, sink);

    let zone = shaped(zone, shapes::zone, sink).map(|zone| match shapes::is_zone_id(&zone) {
        true => zone,
        false => DnsName::new(&zone).as_str().to_owned(),
    });
    let name_span = name
        .as_ref()
        .map_or_else(|| span.clone(), |name| name.span.clone());
    let name = shaped(name, shapes::dns_name, sink).map(|name| DnsName::new(&name));
    let record_type = record_type.and_then(|record_type| record_type.value);
    if let (Some(zone), Some(name)) = (&zone, &name) {
        name_fits_zone(name, record_type, zone, &name_span, sink);
    }
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
    // A value that could not be read has been reported; the plan is lost, but other records still compare.
    let private = match raw.private {
        Some(private) => Some(private.value?),
        None => None,
    };
    Some(Group {
        zone: ZoneRef {
            zone: zone?,
            private,
        },
        name: GroupName {
            name: name?,
            record_type: record_type?.as_str().to_owned(),
        },
        old: old?,
        new: new?,
    })
}

fn name_fits_zone(
    name: &DnsName,
    record_type: Option<RecordType>,
    zone: &str,
    span: &Span,
    sink: &mut Sink<'_>,
) {
    if shapes::is_zone_id(zone) {
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
fn compare(group: &Group, span: &Span, earlier: &[(Span, Group)], sink: &mut Sink<'_>) {
    let same_zone = |other: &ZoneRef| {
        let either = other.private.is_none() || group.zone.private.is_none();
        other.zone == group.zone.zone && (either || other.private == group.zone.private)
    };
    let cname = |record_type: &str| record_type == RecordType::Cname.as_str();
    for (first, other) in earlier {
        if !same_zone(&other.zone) || other.name.name != group.name.name {
            continue;
        }
        let shown = quote(group.name.name.as_str());
        if other.name.record_type == group.name.record_type {
            let message = format!(
                "the record {shown} {} is listed twice",
                group.name.record_type
            );
            let (help, here) = ("remove one of the two", "first listed here");
            sink.conflict(span, message, help, (first, here));
            return;
        }
        if cname(&other.name.record_type) || cname(&group.name.record_type) {
            let message = format!("{shown} cannot have a CNAME and another record");
            let help = "remove one of the two; the DNS allows nothing beside a CNAME";
            sink.conflict(span, message, help, (first, "the other one is here"));
            return;
        }
    }
}

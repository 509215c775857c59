//! Checks of a batch that do not need the zone's records.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use cutover_ports::ChangeAction;

use super::batch::{Change, ChangeBatch};
use super::name;
use super::record::{Routing, StoredRecord};

/// The most record elements in a batch. UPSERT counts twice. Source: Developer Guide, quotas.
const BATCH_ELEMENTS_MAX: usize = 1_000;

/// The most characters of values in a batch. UPSERT counts twice. Source: Developer Guide, quotas.
const BATCH_CHARACTERS_MAX: usize = 32_000;

/// The most values in one record set. Source: Developer Guide, quotas.
const RECORD_VALUES_MAX: usize = 400;

/// The record types that Route 53 accepts. Source: API Reference, `ResourceRecordSet`.
const TYPES: [&str; 17] = [
    "A", "AAAA", "CAA", "CNAME", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV",
    "SSHFP", "SVCB", "TLSA", "TXT",
];

/// Returns the reason why a request is invalid for every zone (`InvalidInput`). `None` if it is valid.
pub(super) fn malformed(batch: &ChangeBatch) -> Option<String> {
    let constraints = constraint_violations(batch);
    if !constraints.is_empty() {
        let count = constraints.len();
        let noun = if count == 1 { "error" } else { "errors" };
        let list = constraints.join("; ");
        return Some(format!("{count} validation {noun} detected: {list}"));
    }
    let failures: Vec<_> = batch.changes.iter().flat_map(field_failures).collect();
    if failures.is_empty() {
        return None;
    }
    Some(format!("Invalid request: {}", failures.join(", ")))
}

/// Returns the values that are outside the bounds of the API's service model.
fn constraint_violations(batch: &ChangeBatch) -> Vec<String> {
    let mut violations = Vec::new();
    if batch.changes.is_empty() {
        let rule = "Member must have length greater than or equal to 1";
        violations.push(violation("[]", "changeBatch.changes", rule));
    }
    if let Some(comment) = &batch.comment
        && comment.chars().count() > 256
    {
        let rule = "Member must have length less than or equal to 256";
        violations.push(violation(comment, "changeBatch.comment", rule));
    }
    for (index, change) in batch.changes.iter().enumerate() {
        let record = &change.record;
        let path = format!("changeBatch.changes.{}.member.resourceRecordSet", index + 1);
        for (value, field, max) in [
            (record.weight, "weight", 255),
            (record.ttl, "tTL", 2_147_483_647),
        ] {
            if let Some(value) = value
                && !(0..=max).contains(&value)
            {
                violations.push(out_of_range(value, &format!("{path}.{field}"), max));
            }
        }
        if let Some(identifier) = &record.set_identifier
            && !(1..=128).contains(&identifier.chars().count())
        {
            let rule = if identifier.is_empty() {
                "Member must have length greater than or equal to 1"
            } else {
                "Member must have length less than or equal to 128"
            };
            violations.push(violation(
                identifier,
                &format!("{path}.setIdentifier"),
                rule,
            ));
        }
        if !TYPES.contains(&record.record_type.as_str()) {
            let rule = format!("Member must satisfy enum value set: [{}]", TYPES.join(", "));
            let path = format!("{path}.type");
            violations.push(violation(&record.record_type, &path, &rule));
        }
    }
    violations
}

/// Returns the text of a violation by a number outside 0 to `max`.
fn out_of_range(value: i64, path: &str, max: i64) -> String {
    let rule = if value < 0 {
        "Member must have value greater than or equal to 0".to_owned()
    } else {
        format!("Member must have value less than or equal to {max}")
    };
    violation(&value.to_string(), path, &rule)
}

/// Returns the text of a violated constraint, in AWS's words.
fn violation(value: &str, path: &str, rule: &str) -> String {
    format!("Value '{value}' at '{path}' failed to satisfy constraint: {rule}")
}

/// Returns the failures of fields that are missing or exclude each other.
fn field_failures(change: &Change) -> Vec<String> {
    let record = &change.record;
    let shown = format!(
        "in Change with [Action={}, Name={}, Type={}, SetIdentifier={}]",
        action_name(change.action),
        record.name,
        record.record_type,
        record.set_identifier.as_deref().unwrap_or("null"),
    );
    let mut failures = Vec::new();
    let policies = record.policies();
    if record.set_identifier.is_none() && !policies.is_empty() {
        failures.push(format!("Missing field 'SetIdentifier' {shown}"));
    }
    if record.set_identifier.is_some() && policies.len() != 1 {
        let found = if policies.is_empty() {
            "none"
        } else {
            "more than one"
        };
        failures.push(format!(
            "Expected exactly one of [Weight, Region, Failover, GeoLocation, or MultiValueAnswer], but \
             found {found} {shown}"
        ));
    }
    let parts = [record.ttl.is_some(), !record.values.is_empty()];
    let found = match (record.alias.is_some(), parts) {
        (true, [false, false]) | (false, [true, true]) => None,
        (false, _) if record.traffic_policy_instance_id.is_some() => None,
        (true, _) => Some("more than one"),
        (false, _) => Some("none"),
    };
    if let Some(found) = found {
        failures.push(format!(
            "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or \
             TrafficPolicyInstanceId], but found {found} {shown}"
        ));
    }
    failures
}

/// Returns the size limits that a batch exceeds, as texts.
pub(super) fn size_failures(batch: &ChangeBatch) -> Vec<String> {
    let (mut elements, mut characters) = (0, 0);
    for change in &batch.changes {
        let (record_elements, record_characters) = change.record.size();
        let times = if change.action == ChangeAction::Upsert {
            2
        } else {
            1
        };
        elements += record_elements * times;
        characters += record_characters * times;
    }
    let mut failures = Vec::new();
    if elements > BATCH_ELEMENTS_MAX {
        failures.push(format!(
            "Number of records limit of {BATCH_ELEMENTS_MAX} exceeded."
        ));
    }
    if characters > BATCH_CHARACTERS_MAX {
        failures.push(format!(
            "RDATA character limit of {BATCH_CHARACTERS_MAX} exceeded."
        ));
    }
    failures
}

/// Returns the reasons why a record set cannot be in this zone. The record's name is in stored form.
pub(super) fn record_failures(record: &StoredRecord, zone: &str) -> Vec<String> {
    let mut failures = Vec::new();
    if !name::is_in_zone(&record.name, zone) {
        failures.push(format!(
            "RRSet with DNS name {} is not permitted in zone {zone}",
            record.name
        ));
    }
    if record.record_type == "CNAME" && record.name == zone {
        failures.push(format!(
            "RRSet of type CNAME with DNS name {zone} is not permitted at apex in zone {zone}"
        ));
    }
    let shown = described(record);
    if record.values.len() > 1 && !matches!(record.routing(), Routing::Simple) {
        failures.push(format!(
            "{shown} cannot be created as only one resource record is permitted in a non-simple set."
        ));
    }
    if record.values.len() > 1 && record.record_type == "CNAME" {
        failures.push(format!(
            "{shown} cannot be created as a CNAME has exactly one value."
        ));
    }
    if record.values.len() > RECORD_VALUES_MAX {
        failures.push(format!(
            "{shown} cannot be created as the limit of {RECORD_VALUES_MAX} values is exceeded."
        ));
    }
    let mut seen = BTreeSet::new();
    for value in &record.values {
        if !seen.insert(value) {
            failures.push(format!("Duplicate Resource Record: '{value}'"));
        }
        failures.extend(value_failure(&record.record_type, value));
    }
    failures
}

/// Returns the failure of a value of this record type. `None` if the value is valid.
fn value_failure(record_type: &str, value: &str) -> Option<String> {
    let problem = match record_type {
        "A" if value.parse::<Ipv4Addr>().is_err() => {
            "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
        }
        "AAAA" if value.parse::<Ipv6Addr>().is_err() => {
            "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
        }
        "CNAME" | "NS" | "PTR" if name::stored(value).is_err() => {
            "DomainNameInvalid (Value is not a valid domain name)"
        }
        "TXT" | "SPF" if !(value.len() >= 2 && value.starts_with('"') && value.ends_with('"')) => {
            "InvalidCharacterString (Value should be enclosed in quotation marks)"
        }
        _ => return None,
    };
    Some(format!(
        "Invalid Resource Record: 'FATAL problem: {problem} encountered with '{value}''"
    ))
}

/// Returns the text that identifies a record set in error messages.
pub(super) fn described(record: &StoredRecord) -> String {
    let StoredRecord {
        name, record_type, ..
    } = record;
    match &record.set_identifier {
        Some(identifier) => {
            format!("RRSet with DNS name {name}, type {record_type}, SetIdentifier {identifier}")
        }
        None => format!("RRSet with DNS name {name}, type {record_type}"),
    }
}

/// Returns the name that the API uses for an action.
pub(super) fn action_name(action: ChangeAction) -> &'static str {
    match action {
        ChangeAction::Create => "CREATE",
        ChangeAction::Delete => "DELETE",
        ChangeAction::Upsert => "UPSERT",
    }
}

//! Converts record sets and health checks to and from XML elements.

use std::str::FromStr;

use cutover::engine::record::AliasTarget;
use cutover::ports::ChangeAction;
use cutover::sim::route53::{
    Change, ChangeBatch, Geo, HealthCheckConfig, Route53Error, StoredRecord,
};

use super::xml::Element;

/// Reads the batch of a `ChangeResourceRecordSetsRequest`.
pub(crate) fn read_batch(request: &Element) -> Result<ChangeBatch, Route53Error> {
    let batch = request
        .child("ChangeBatch")
        .ok_or_else(|| unreadable("ChangeBatch", "is missing"))?;
    let changes = batch.list("Changes").iter().map(read_change);
    Ok(ChangeBatch {
        comment: batch.text_of("Comment"),
        changes: changes.collect::<Result<_, _>>()?,
    })
}

fn read_change(change: &Element) -> Result<Change, Route53Error> {
    let action = match change.text_of("Action").as_deref() {
        Some("CREATE") => ChangeAction::Create,
        Some("DELETE") => ChangeAction::Delete,
        Some("UPSERT") => ChangeAction::Upsert,
        _ => {
            return Err(unreadable(
                "Action",
                "must be one of CREATE, DELETE, UPSERT",
            ));
        }
    };
    let record = change
        .child("ResourceRecordSet")
        .ok_or_else(|| unreadable("ResourceRecordSet", "is missing"))?;
    Ok(Change {
        action,
        record: read_record(record)?,
    })
}

fn read_record(record: &Element) -> Result<StoredRecord, Route53Error> {
    let geo = record.child("GeoLocation").map(|geo| Geo {
        continent: geo.text_of("ContinentCode"),
        country: geo.text_of("CountryCode"),
        subdivision: geo.text_of("SubdivisionCode"),
    });
    let cidr = record.child("CidrRoutingConfig").map(|cidr| {
        let collection = cidr.text_of("CollectionId").unwrap_or_default();
        (collection, cidr.text_of("LocationName").unwrap_or_default())
    });
    let alias = record.child("AliasTarget").map(|alias| AliasTarget {
        zone_id: alias.text_of("HostedZoneId").unwrap_or_default(),
        dns_name: alias.text_of("DNSName").unwrap_or_default(),
        evaluate_target_health: alias.text_of("EvaluateTargetHealth").as_deref() == Some("true"),
    });
    let values = record.list("ResourceRecords").iter();
    Ok(StoredRecord {
        name: record.text_of("Name").unwrap_or_default(),
        record_type: record.text_of("Type").unwrap_or_default(),
        set_identifier: record.text_of("SetIdentifier"),
        weight: number(record, "Weight")?,
        region: record.text_of("Region"),
        failover: record.text_of("Failover"),
        geo,
        multi_value: flag(record, "MultiValueAnswer"),
        cidr,
        ttl: number(record, "TTL")?,
        values: values.filter_map(|value| value.text_of("Value")).collect(),
        alias,
        health_check_id: record.text_of("HealthCheckId"),
        traffic_policy_instance_id: record.text_of("TrafficPolicyInstanceId"),
    })
}

/// Returns a record set in the form of `ListResourceRecordSets`.
pub(crate) fn shown_record(record: &StoredRecord) -> Element {
    let mut shown = Element::new("ResourceRecordSet")
        .with("Name", &record.name)
        .with("Type", &record.record_type)
        .with_some("SetIdentifier", record.set_identifier.as_ref())
        .with_some("Weight", record.weight)
        .with_some("Region", record.region.as_ref());
    if let Some(geo) = &record.geo {
        let geo = Element::new("GeoLocation")
            .with_some("ContinentCode", geo.continent.as_ref())
            .with_some("CountryCode", geo.country.as_ref())
            .with_some("SubdivisionCode", geo.subdivision.as_ref());
        shown = shown.containing(geo);
    }
    shown = shown
        .with_some("Failover", record.failover.as_ref())
        .with_some("MultiValueAnswer", record.multi_value)
        .with_some("TTL", record.ttl);
    if !record.values.is_empty() {
        let values = record.values.iter();
        let values = values.map(|value| Element::new("ResourceRecord").with("Value", value));
        shown = shown.containing(Element::new("ResourceRecords").containing_all(values));
    }
    if let Some(alias) = &record.alias {
        let alias = Element::new("AliasTarget")
            .with("HostedZoneId", &alias.zone_id)
            .with("DNSName", &alias.dns_name)
            .with("EvaluateTargetHealth", alias.evaluate_target_health);
        shown = shown.containing(alias);
    }
    shown = shown
        .with_some("HealthCheckId", record.health_check_id.as_ref())
        .with_some(
            "TrafficPolicyInstanceId",
            record.traffic_policy_instance_id.as_ref(),
        );
    if let Some((collection, location)) = &record.cidr {
        let cidr = Element::new("CidrRoutingConfig")
            .with("CollectionId", collection)
            .with("LocationName", location);
        shown = shown.containing(cidr);
    }
    shown
}

/// Reads the settings of a health check. In an update, only the changed settings are set.
pub(crate) fn read_health_config(config: &Element) -> HealthCheckConfig {
    HealthCheckConfig {
        check_type: config.text_of("Type").unwrap_or_default(),
        ip_address: config.text_of("IPAddress"),
        port: parsed(config, "Port"),
        resource_path: config.text_of("ResourcePath"),
        domain_name: config.text_of("FullyQualifiedDomainName"),
        request_interval: parsed(config, "RequestInterval"),
        failure_threshold: parsed(config, "FailureThreshold"),
        inverted: flag(config, "Inverted"),
        disabled: flag(config, "Disabled"),
    }
}

fn flag(element: &Element, name: &str) -> Option<bool> {
    element.text_of(name).map(|text| text == "true")
}

fn parsed<T: FromStr>(element: &Element, name: &str) -> Option<T> {
    element.text_of(name)?.parse().ok()
}

/// Reads an integer. `None` if the element is missing.
fn number(record: &Element, name: &str) -> Result<Option<i64>, Route53Error> {
    let Some(text) = record.text_of(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(unreadable(name, "must be an integer")),
    }
}

fn unreadable(field: &str, problem: &str) -> Route53Error {
    let message = format!("Invalid XML: {field} {problem}");
    Route53Error::new(400, "InvalidInput", message)
}

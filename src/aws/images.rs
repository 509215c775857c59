//! Converts record sets of the SDK to images and back. A compare-and-swap repeats an image exactly, so nothing is
//! normalised.

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::AliasTarget as SdkAlias;
use aws_sdk_route53::types::ChangeAction as SdkAction;
use aws_sdk_route53::types::{Change, ResourceRecord, ResourceRecordSet, RrType};

use crate::engine::record::{AliasTarget, GroupName, RecordSet};
use crate::engine::units::{DnsName, Weight};
use crate::ports::{ChangeAction, RecordChange};

/// Returns the name and type that identify a record set's group, normalised.
pub(super) fn group_name(record: &ResourceRecordSet) -> GroupName {
    GroupName {
        name: DnsName::new(&record.name),
        record_type: record.r#type.as_str().to_owned(),
    }
}

/// Converts a record set, as Route 53 returned it, to an image. `unsupported` lists the fields that an image cannot
/// hold.
pub(super) fn image(record: &ResourceRecordSet) -> RecordSet {
    let mut unsupported = foreign_fields(record);
    let weight = match record.weight.map(u8::try_from) {
        Some(Ok(weight)) => Weight(weight),
        Some(Err(_)) => {
            unsupported.push("Weight".to_owned());
            Weight(0)
        }
        None => Weight(0),
    };
    let ttl = match record.ttl.map(u32::try_from) {
        Some(Ok(ttl)) => Some(ttl),
        Some(Err(_)) => {
            unsupported.push("TTL".to_owned());
            None
        }
        None => None,
    };
    let values = record.resource_records();
    RecordSet {
        name: record.name.clone(),
        record_type: record.r#type.as_str().to_owned(),
        set_identifier: record.set_identifier.clone().unwrap_or_default(),
        weight,
        ttl,
        values: values.iter().map(|value| value.value.clone()).collect(),
        alias: record.alias_target.as_ref().map(|alias| AliasTarget {
            zone_id: alias.hosted_zone_id.clone(),
            dns_name: alias.dns_name.clone(),
            evaluate_target_health: alias.evaluate_target_health,
        }),
        health_check_id: record.health_check_id.clone(),
        unsupported,
    }
}

/// Returns the names of fields that are set but that an image cannot hold. `simple` stands for a record without weight
/// and set identifier.
fn foreign_fields(record: &ResourceRecordSet) -> Vec<String> {
    let present = [
        ("Region", record.region.is_some()),
        ("GeoLocation", record.geo_location.is_some()),
        ("Failover", record.failover.is_some()),
        ("MultiValueAnswer", record.multi_value_answer.is_some()),
        (
            "TrafficPolicyInstanceId",
            record.traffic_policy_instance_id.is_some(),
        ),
        ("CidrRoutingConfig", record.cidr_routing_config.is_some()),
        (
            "GeoProximityLocation",
            record.geo_proximity_location.is_some(),
        ),
        (
            "simple",
            record.weight.is_none() && record.set_identifier.is_none(),
        ),
    ];
    let mut names = Vec::new();
    for (name, is_set) in present {
        if is_set {
            names.push(name.to_owned());
        }
    }
    names
}

/// Converts a change to the SDK's type.
///
/// # Errors
/// A required field is missing.
pub(super) fn sdk_change(change: &RecordChange) -> Result<Change, BuildError> {
    let action = match change.action {
        ChangeAction::Create => SdkAction::Create,
        ChangeAction::Delete => SdkAction::Delete,
        ChangeAction::Upsert => SdkAction::Upsert,
    };
    let record_set = sdk_record_set(&change.record)?;
    Change::builder()
        .action(action)
        .resource_record_set(record_set)
        .build()
}

/// Converts an image to the SDK's type, field by field.
///
/// # Errors
/// A required field is missing.
fn sdk_record_set(record: &RecordSet) -> Result<ResourceRecordSet, BuildError> {
    let mut values = Vec::with_capacity(record.values.len());
    for value in &record.values {
        values.push(ResourceRecord::builder().value(value).build()?);
    }
    let alias = match &record.alias {
        Some(alias) => Some(
            SdkAlias::builder()
                .hosted_zone_id(&alias.zone_id)
                .dns_name(&alias.dns_name)
                .evaluate_target_health(alias.evaluate_target_health)
                .build()?,
        ),
        None => None,
    };
    ResourceRecordSet::builder()
        .name(&record.name)
        .r#type(RrType::from(record.record_type.as_str()))
        .set_identifier(&record.set_identifier)
        .weight(i64::from(record.weight.0))
        .set_ttl(record.ttl.map(i64::from))
        .set_resource_records((!values.is_empty()).then_some(values))
        .set_alias_target(alias)
        .set_health_check_id(record.health_check_id.clone())
        .build()
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::ResourceRecordSetFailover;
    use aws_sdk_route53::types::ResourceRecordSetRegion;

    use super::*;

    fn weighted() -> aws_sdk_route53::types::builders::ResourceRecordSetBuilder {
        ResourceRecordSet::builder()
            .name("\\052.api.example.com.")
            .r#type(RrType::A)
            .set_identifier("eks")
            .weight(100)
    }

    fn value(text: &str) -> ResourceRecord {
        ResourceRecord::builder().value(text).build().unwrap()
    }

    #[test]
    fn every_field_of_a_plain_record_comes_back_to_the_letter() {
        let record = weighted()
            .ttl(0)
            .resource_records(value("192.0.2.2"))
            .resource_records(value("192.0.2.1"))
            .health_check_id("hc-1")
            .build()
            .unwrap();
        let image = image(&record);
        assert_eq!(image.values, ["192.0.2.2", "192.0.2.1"]);
        assert_eq!(image.ttl, Some(0));
        assert_eq!(sdk_record_set(&image).unwrap(), record);
        assert!(image.unsupported.is_empty());
        assert_eq!(group_name(&record).name.as_str(), "*.api.example.com");
    }

    #[test]
    fn every_field_of_an_alias_comes_back_to_the_letter() {
        let alias = SdkAlias::builder()
            .hosted_zone_id("Z14GRHDCWA56QT")
            .dns_name("dualstack.lb-1.ap-northeast-1.elb.amazonaws.com.")
            .evaluate_target_health(true)
            .build()
            .unwrap();
        let record = weighted().alias_target(alias).build().unwrap();
        let image = image(&record);
        assert_eq!(image.ttl, None);
        assert_eq!(sdk_record_set(&image).unwrap(), record);
    }

    #[test]
    fn fields_that_cannot_be_written_back_are_named() {
        let record = weighted()
            .region(ResourceRecordSetRegion::UsEast1)
            .failover(ResourceRecordSetFailover::Primary)
            .multi_value_answer(false)
            .traffic_policy_instance_id("tp")
            .weight(256)
            .build()
            .unwrap();
        let expected = [
            "Region",
            "Failover",
            "MultiValueAnswer",
            "TrafficPolicyInstanceId",
            "Weight",
        ];
        assert_eq!(image(&record).unsupported, expected);
    }

    #[test]
    fn a_simple_record_is_marked_as_such() {
        let record = ResourceRecordSet::builder()
            .name("api.example.com.")
            .r#type(RrType::Cname)
            .ttl(60)
            .resource_records(value("old.example.com"))
            .build()
            .unwrap();
        let image = image(&record);
        assert_eq!(image.unsupported, ["simple"]);
        assert_eq!((image.set_identifier.as_str(), image.weight.0), ("", 0));
    }
}

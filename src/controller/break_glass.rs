//! The break-glass files: change batches that `aws route53 change-resource-record-sets --change-batch file://…` takes as
//! they are, so that the way back works without this program.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::controller::batch;
use crate::engine::decide::{How, Part};
use crate::engine::record::RecordSet;
use crate::engine::state::State;
use crate::engine::units::ZoneId;
use crate::ports::{ChangeAction, RecordChange};

/// The files for all cutovers between their first write and their end, by name: `ZONEID-01.json`, `-02` …, each within
/// Route 53's limits.
pub fn files<'a>(states: impl IntoIterator<Item = &'a State>) -> BTreeMap<String, String> {
    let mut zones: BTreeMap<ZoneId, Vec<Vec<RecordChange>>> = BTreeMap::new();
    for state in states {
        for (index, baseline) in state.baseline.iter().flatten().enumerate() {
            let verified = state.verified.as_ref().and_then(|images| images.get(index));
            let image = verified.unwrap_or(baseline).clone();
            let part = Part {
                group: index,
                to: baseline.pair(),
                image,
                how: How::Upsert,
            };
            zones
                .entry(baseline.zone.clone())
                .or_default()
                .push(batch::changes(&part));
        }
    }
    zones
        .into_iter()
        .flat_map(|(zone, groups)| zone_files(&zone, groups))
        .collect()
}

fn zone_files(zone: &ZoneId, groups: Vec<Vec<RecordChange>>) -> Vec<(String, String)> {
    let mut batches: Vec<Vec<RecordChange>> = Vec::new();
    for group in groups {
        let size = batch::size(&group);
        match batches
            .last_mut()
            .filter(|last| batch::size(last).plus(size).fits())
        {
            Some(last) => last.extend(group),
            None => batches.push(group),
        }
    }
    let file = |(index, changes): (usize, &Vec<RecordChange>)| {
        let changes: Vec<Value> = changes.iter().map(change).collect();
        let batch =
            json!({ "Comment": "cutover break-glass: back to the baseline", "Changes": changes });
        (
            format!("{zone}-{:02}.json", index + 1),
            format!("{batch:#}\n"),
        )
    };
    batches.iter().enumerate().map(file).collect()
}

fn change(change: &RecordChange) -> Value {
    let action = match change.action {
        ChangeAction::Create => "CREATE",
        ChangeAction::Delete => "DELETE",
        ChangeAction::Upsert => "UPSERT",
    };
    json!({ "Action": action, "ResourceRecordSet": record_set(&change.record) })
}

fn record_set(record: &RecordSet) -> Value {
    let mut set = json!({
        "Name": record.name,
        "Type": record.record_type,
        "SetIdentifier": record.set_identifier,
        "Weight": record.weight.0,
    });
    if let Some(ttl) = record.ttl {
        set["TTL"] = json!(ttl);
    }
    if !record.values.is_empty() {
        let values: Vec<Value> = record
            .values
            .iter()
            .map(|value| json!({ "Value": value }))
            .collect();
        set["ResourceRecords"] = json!(values);
    }
    if let Some(alias) = &record.alias {
        set["AliasTarget"] = json!({
            "HostedZoneId": alias.zone_id,
            "DNSName": alias.dns_name,
            "EvaluateTargetHealth": alias.evaluate_target_health,
        });
    }
    if let Some(check) = &record.health_check_id {
        set["HealthCheckId"] = json!(check);
    }
    set
}

//! The simulated world in which the real controller runs: models of Route 53 and CloudWatch, and a simulated clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use thiserror::Error;
use tokio::time::Instant;

use crate::cloudwatch::CloudWatch;
use crate::dns::SimDns;
use crate::route53::{Change, ChangeBatch, NewZone, Route53, Route53Settings, StoredRecord, Vpc};
use crate::signals::SimSignals;
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::{Account, Group, Plan, ZoneRef};
use cutover_engine::units::ZoneId;
use cutover_ports::{ChangeAction, Clock};

/// The region of alarms and metrics that name none.
pub(super) const DEFAULT_REGION: &str = "us-east-1";

/// A clock that starts at a given time and follows tokio's time. In a paused runtime it jumps to the next wake-up.
#[derive(Debug, Clone, Copy)]
pub struct SimClock {
    origin: Timestamp,
    started: Instant,
}

impl SimClock {
    /// Creates a clock that shows `origin` now.
    pub fn starting_at(origin: Timestamp) -> Self {
        Self {
            origin,
            started: Instant::now(),
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.origin + self.started.elapsed()
    }
}

/// The error of a plan whose zone or record the simulated Route 53 refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the simulated Route 53 refuses {what}: {why}")]
pub struct WorldError {
    what: String,
    why: String,
}

/// A simulated world for some plans, without faults. The old side has all the traffic, and every alarm is OK.
pub struct World {
    /// The simulated clock.
    pub clock: SimClock,
    /// The simulated Route 53, with the plans' zones and records.
    pub dns: SimDns,
    /// The simulated CloudWatch, with the plans' alarms.
    pub signals: SimSignals,
}

impl World {
    /// Creates the zones, records and alarms of the plans. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The model refuses a zone or a record.
    pub fn for_plans<'a>(
        plans: impl IntoIterator<Item = &'a Plan>,
        start: Timestamp,
    ) -> Result<Self, WorldError> {
        let clock = SimClock::starting_at(start);
        let shared: Arc<dyn Clock> = Arc::new(clock);
        let (mut route53, mut cloudwatch) =
            (Route53::new(Route53Settings::default()), CloudWatch::new());
        let mut zones = BTreeMap::new();
        let plans: Vec<&Plan> = plans.into_iter().collect();
        for plan in &plans {
            for (index, group) in plan.records.iter().enumerate() {
                let account = plan.account_of_group(index);
                let zone = zone(&mut route53, &mut zones, &plans, (account, group), start)?;
                records(&mut route53, account, &zone, group, start)?;
            }
            for gate in plan.alarms() {
                let region = gate.id.region.as_deref().unwrap_or(DEFAULT_REGION);
                cloudwatch.set_state(region, &gate.id.name, AlarmState::Ok, start);
            }
        }
        let cloudwatch = Arc::new(Mutex::new(cloudwatch));
        Ok(Self {
            clock,
            dns: SimDns::new(Arc::new(Mutex::new(route53)), Arc::clone(&shared)),
            signals: SimSignals::new(cloudwatch, shared, DEFAULT_REGION),
        })
    }
}

type SimZones = BTreeMap<(Account, String, bool), ZoneId>;

/// Returns a name for a zone that plans name only by its ID: the longest common parent of its groups' names.
fn name_of(zone: &ZoneRef, plans: &[&Plan]) -> String {
    let mut common: Option<Vec<&str>> = None;
    for plan in plans {
        for group in plan.records.iter().filter(|group| group.zone == *zone) {
            let labels: Vec<&str> = group.name.name.as_str().rsplit('.').collect();
            let shared = match &common {
                Some(earlier) => labels
                    .iter()
                    .zip(earlier)
                    .take_while(|(a, b)| a == b)
                    .count(),
                // The first label is left out, because a zone rarely has the name of a single record.
                None => labels.len().saturating_sub(1).max(1),
            };
            common = Some(labels[..shared].to_vec());
        }
    }
    let mut labels = common.unwrap_or_default();
    labels.reverse();
    labels.join(".")
}

/// Returns the group's zone. It is created for the first group that names it.
fn zone(
    route53: &mut Route53,
    zones: &mut SimZones,
    plans: &[&Plan],
    (account, group): (&Account, &Group),
    now: Timestamp,
) -> Result<ZoneId, WorldError> {
    let private = group.zone.private.unwrap_or(false);
    let key = (account.clone(), group.zone.zone.clone(), private);
    if let Some(zone) = zones.get(&key) {
        return Ok(zone.clone());
    }
    let vpc = Vpc {
        region: DEFAULT_REGION.to_owned(),
        id: "vpc-0".to_owned(),
    };
    let id = group.zone.id();
    let new = NewZone {
        account: account.clone(),
        name: match &id {
            Some(_) => name_of(&group.zone, plans),
            None => group.zone.zone.clone(),
        },
        caller_reference: format!("{key:?}"),
        comment: None,
        vpc: private.then_some(vpc),
    };
    let made = match id {
        Some(id) => route53.create_zone_as(id, new, now),
        None => route53.create_zone(new, now),
    };
    let made = made.map_err(|error| WorldError {
        what: format!("the zone {}", group.zone.zone),
        why: error.message,
    })?;
    zones.insert(key, made.0.clone());
    Ok(made.0)
}

/// Creates the two members of a group, with the weights 100 and 0.
fn records(
    route53: &mut Route53,
    account: &Account,
    zone: &ZoneId,
    group: &Group,
    now: Timestamp,
) -> Result<(), WorldError> {
    let members = [(&group.old, 100), (&group.new, 0)].map(|(identifier, weight)| Change {
        action: ChangeAction::Create,
        record: record(group, identifier, weight),
    });
    let batch = ChangeBatch {
        comment: None,
        changes: members.into(),
    };
    match route53.change(account, zone, &batch, now) {
        Ok(_) => Ok(()),
        Err(error) => Err(WorldError {
            what: group.name.to_string(),
            why: error.message,
        }),
    }
}

/// Returns a member of a group, with a value that is valid for the record type.
fn record(group: &Group, identifier: &str, weight: u8) -> StoredRecord {
    let (name, kind) = (group.name.name.as_str(), group.name.record_type.as_str());
    let value = match kind {
        "A" | "AAAA" => {
            let target = format!("{identifier}.{DEFAULT_REGION}.elb.amazonaws.com");
            return StoredRecord::weighted_alias(name, kind, identifier, weight, &target);
        }
        "TXT" | "SPF" => "\"rehearsal\"",
        "MX" => "10 mail.example.net.",
        "SRV" => "1 1 443 host.example.net.",
        "CAA" => "0 issue \"example.net\"",
        _ => "target.example.net.",
    };
    StoredRecord::weighted(name, kind, identifier, weight, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_testbed::plan::plan;

    #[tokio::test(start_paused = true)]
    async fn a_zone_that_a_plan_names_by_its_id_has_that_id_and_a_name_above_its_records() {
        let plan = plan(&[2, 1], &[(100, 60, false)]);
        assert_eq!(plan.records[0].zone.zone, "Z0");
        let world = World::for_plans([&plan], Timestamp::UNIX_EPOCH).expect("a world");
        let model = world.dns.model();
        for group in &plan.records {
            let id = group.zone.id().expect("an ID");
            let zone = model.zone(&Account::default(), &id).expect("a zone");
            assert_eq!(zone.group(&group.name).len(), 2);
        }
        let zone = model.zone(&Account::default(), &ZoneId::from("Z0"));
        assert_eq!(zone.expect("a zone").name, "zone0.example.");
    }
}

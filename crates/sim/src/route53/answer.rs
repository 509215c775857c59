//! Replies of the name servers: the weights in force, each member's share, and `TestDNSAnswer`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use cutover_engine::plan::Account;
use cutover_engine::record::GroupName;
use cutover_engine::units::{DnsName, Weight, ZoneId};

use super::error::Route53Error;
use super::health::HealthCheck;
use super::name;
use super::record::StoredRecord;
use super::service::Route53;
use super::zone::HostedZone;

/// One member of a weighted group, and its share of the queries.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberShare {
    /// The member's set identifier.
    pub identifier: String,
    /// The member's weight.
    pub weight: Weight,
    /// The member's part of the queries, 0 to 1.
    pub share: f64,
}

/// The reply of `TestDNSAnswer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsAnswer {
    /// The name server that answers.
    pub name_server: String,
    /// `NOERROR` or `NXDOMAIN`.
    pub response_code: &'static str,
    /// The values of the record that answers. Empty if there is none.
    pub values: Vec<String>,
}

/// The most aliases that are followed inside a zone for one reply. Real chains have one or two.
const ALIASES_MAX: usize = 8;

impl Route53 {
    /// Returns the weights that the name servers answer with, by set identifier: the weights of the newest change that
    /// is INSYNC at `now`. If no change is, returns the first weights of the group. A forgotten change counts as
    /// INSYNC.
    pub fn answering_weights(
        &self,
        zone: &ZoneId,
        group: &GroupName,
        now: Timestamp,
    ) -> BTreeMap<String, Weight> {
        let mut writes = self.weight_writes_of(zone, group);
        let first = writes.next();
        let in_force = writes
            .rev()
            .find(|write| self.in_sync_at(&write.change).is_none_or(|at| at <= now));
        let in_force = in_force.or(first);
        in_force
            .map(|write| write.weights.clone())
            .unwrap_or_default()
    }

    /// Returns each member's share of a group's queries at `now`.
    ///
    /// Healthy members share by weight. If the weights of all healthy members are 0, they share evenly. If no member is
    /// healthy, all count as healthy. Source: Developer Guide, "How Amazon Route 53 chooses records when health
    /// checking is configured" and "Weighted routing".
    pub fn shares(&self, zone: &ZoneId, group: &GroupName, now: Timestamp) -> Vec<MemberShare> {
        let weights = self.answering_weights(zone, group, now);
        let members = self.zones.get(zone).map(|zone| zone.group(group));
        let members = members.unwrap_or_default();
        let mut unhealthy = BTreeSet::new();
        for member in members {
            if let Some(identifier) = &member.set_identifier
                && !self.is_healthy(member)
            {
                unhealthy.insert(identifier);
            }
        }
        shares(&weights, &unhealthy)
    }

    /// Runs `TestDNSAnswer`. In a series of calls, each member of a weighted group answers in proportion to its weight.
    ///
    /// # Errors
    /// `InvalidInput` for a private zone or an invalid name; `NoSuchHostedZone`; `AccessDenied`.
    pub fn test_answer(
        &mut self,
        account: &Account,
        zone: &ZoneId,
        record_name: &str,
        record_type: &str,
        now: Timestamp,
    ) -> Result<DnsAnswer, Route53Error> {
        let stored = name::stored(record_name).map_err(Route53Error::invalid_input)?;
        if self.zone(account, zone)?.is_private() {
            return Err(Route53Error::invalid_input(
                "TestDNSAnswer is not supported for private hosted zones",
            ));
        }
        self.answers_given += 1;
        let zone = self.zone(account, zone)?;
        let [name_server, ..] = zone.name_servers();
        let mut asked = [Some(stored.clone()), name::wildcard(&stored)]
            .into_iter()
            .flatten();
        let found = asked.find(|name| zone.records().any(|record| record.name == *name));
        let Some(found) = found else {
            return Ok(DnsAnswer {
                name_server,
                response_code: "NXDOMAIN",
                values: Vec::new(),
            });
        };
        let values = self.values_of(zone, &found, record_type, now, ALIASES_MAX);
        Ok(DnsAnswer {
            name_server,
            response_code: "NOERROR",
            values,
        })
    }

    /// Returns the values of the member that answers next. Aliases inside the zone are followed.
    fn values_of(
        &self,
        zone: &HostedZone,
        stored: &str,
        record_type: &str,
        now: Timestamp,
        aliases_left: usize,
    ) -> Vec<String> {
        let group = GroupName {
            name: DnsName::new(stored),
            record_type: record_type.to_owned(),
        };
        let members = zone.group(&group);
        let shares = self.shares(&zone.id, &group, now);
        let chosen = turn_of(&shares, self.answers_given);
        let mut member = members.first();
        if chosen.is_some() {
            let mut members = members.iter();
            member = members
                .find(|member| member.set_identifier == chosen)
                .or(member);
        }
        let Some(member) = member else {
            return Vec::new();
        };
        match &member.alias {
            None => member.values.clone(),
            Some(alias) if alias.zone_id == zone.id.as_str() && aliases_left > 0 => {
                self.values_of(zone, &alias.dns_name, record_type, now, aliases_left - 1)
            }
            Some(alias) => vec![address_of(&alias.dns_name, record_type)],
        }
    }

    /// Returns true if the record's health check is healthy, or the record has none.
    fn is_healthy(&self, record: &StoredRecord) -> bool {
        let check = record.health_check_id.as_ref();
        let check = check.and_then(|id| self.health_checks.get(id));
        check.is_none_or(HealthCheck::is_healthy)
    }
}

/// Returns the shares of all members, in the order of their identifiers.
fn shares(weights: &BTreeMap<String, Weight>, unhealthy: &BTreeSet<&String>) -> Vec<MemberShare> {
    let any_healthy = weights.keys().any(|it| !unhealthy.contains(it));
    let mut sum = 0_u32;
    let mut count = 0.0;
    for (identifier, weight) in weights {
        if !any_healthy || !unhealthy.contains(identifier) {
            sum += u32::from(weight.0);
            count += 1.0;
        }
    }
    let mut shares = Vec::new();
    for (identifier, weight) in weights {
        let counts = !any_healthy || !unhealthy.contains(identifier);
        let share = match (counts, sum) {
            (false, _) => 0.0,
            (true, 0) => 1.0 / count,
            (true, sum) => f64::from(weight.0) / f64::from(sum),
        };
        shares.push(MemberShare {
            identifier: identifier.clone(),
            weight: *weight,
            share,
        });
    }
    shares
}

/// Returns the member that gives the `count`th reply. `None` if there are no members. Steps of the golden ratio spread
/// the replies evenly, without randomness.
fn turn_of(shares: &[MemberShare], count: u64) -> Option<String> {
    let step = u32::try_from(count % 1_000_000).unwrap_or(0);
    let point = (f64::from(step) * 0.618_033_988_749_895).fract();
    let mut reached = 0.0;
    let answering = shares.iter().filter(|member| member.share > 0.0);
    let mut chosen = None;
    for member in answering {
        chosen = Some(member.identifier.clone());
        reached += member.share;
        if point < reached {
            break;
        }
    }
    chosen
}

/// Returns an address for a target outside the zone, from the blocks reserved for documentation. The same target always
/// gets the same address.
fn address_of(target: &str, record_type: &str) -> String {
    let sum = target
        .bytes()
        .fold(7_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 251);
    match record_type {
        "AAAA" => format!("2001:db8::{sum:x}"),
        _ => format!("192.0.2.{}", sum + 1),
    }
}

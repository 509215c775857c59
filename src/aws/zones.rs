//! Finds hosted zones by identifier or name.

use aws_sdk_route53::types::HostedZone;

use super::errors::call_error;
use super::guard::called;
use super::session::Session;
use crate::engine::event::FailureClass;
use crate::engine::lists;
use crate::engine::plan::ZoneRef;
use crate::engine::units::{DnsName, ZoneId};
use crate::ports::{CallError, Urgency, Zone};

const BY_ID: &str = "GetHostedZone";
const BY_NAME: &str = "ListHostedZonesByName";
/// The most pages of a search by name. An account has at most 500 zones unless it asked for more, but many of them may
/// have the same name (a private zone per VPC).
const PAGES_MAX: usize = 10;
/// The least similarity (Jaro-Winkler, 0 to 1) of a name that is suggested. 1 is the same name.
const SIMILAR_ENOUGH: f64 = 0.8;
/// The most names that are suggested.
const SUGGESTIONS_MAX: usize = 3;

/// Finds the one zone that the plan names.
///
/// # Errors
/// A call fails, or none or more than one zone fits. The message then suggests a correction.
pub(super) async fn find(session: &Session, wanted: &ZoneRef) -> Result<Zone, CallError> {
    if let Some(id) = wanted.id() {
        let zone = by_id(session, &id, Urgency::Normal).await?;
        return match wanted.private {
            Some(private) if private != zone.private => Err(permanent(
                BY_ID,
                format!("hosted zone {id} is {}", kind(zone.private)),
            )),
            _ => Ok(zone),
        };
    }
    let name = DnsName::new(&wanted.zone);
    let found = by_name(session, &name).await?;
    let fitting: Vec<_> = found
        .iter()
        .filter(|zone| wanted.private.is_none_or(|private| private == zone.private))
        .collect();
    match fitting.as_slice() {
        [zone] => Ok((*zone).clone()),
        [] => Err(none_fits(session, wanted, &name, &found).await),
        several => Err(ambiguous(&name, several, wanted.private)),
    }
}

/// Reads one zone by its identifier.
///
/// # Errors
/// The call fails, or its reply has no zone.
pub(super) async fn by_id(
    session: &Session,
    id: &ZoneId,
    urgency: Urgency,
) -> Result<Zone, CallError> {
    session.token(BY_ID, urgency).await?;
    let request = session.client.get_hosted_zone().id(id.as_str());
    let reply = called(request.send()).await;
    let reply = reply.map_err(|error| call_error(BY_ID, &error))?;
    reply
        .hosted_zone()
        .map(zone)
        .ok_or_else(|| permanent(BY_ID, format!("no hosted zone {id} in the reply")))
}

/// Returns all zones of a name, in Route 53's order.
///
/// # Errors
/// A call fails, or there are too many zones of this name.
async fn by_name(session: &Session, name: &DnsName) -> Result<Vec<Zone>, CallError> {
    let mut zones = Vec::new();
    let (mut start_name, mut start_id) = (name.as_str().to_owned(), None);
    for _ in 0..PAGES_MAX {
        session.token(BY_NAME, Urgency::Normal).await?;
        let request = session
            .client
            .list_hosted_zones_by_name()
            .dns_name(&start_name)
            .set_hosted_zone_id(start_id.take());
        let reply = called(request.send()).await;
        let reply = reply.map_err(|error| call_error(BY_NAME, &error))?;
        let mut goes_on = true;
        for found in reply.hosted_zones().iter().map(zone) {
            if found.name != *name {
                goes_on = false;
                break;
            }
            zones.push(found);
        }
        match (&reply.next_dns_name, reply.is_truncated && goes_on) {
            (Some(next), true) if DnsName::new(next) == *name => {
                start_name.clone_from(next);
                start_id.clone_from(&reply.next_hosted_zone_id);
            }
            _ => return Ok(zones),
        }
    }
    Err(permanent(
        BY_NAME,
        format!("too many hosted zones are named {name}; name the zone by its ID"),
    ))
}

/// Returns all zones below this zone that are of the same kind, public or private.
///
/// Route 53 lists zones by their labels in reverse order, so these zones follow this one without a gap. If there are
/// more than 10 pages, the zones on later pages are left out.
///
/// # Errors
/// A call fails.
pub(super) async fn below(session: &Session, zone: &Zone) -> Result<Vec<Zone>, CallError> {
    let mut below = Vec::new();
    let (mut start_name, mut start_id) = (zone.name.as_str().to_owned(), None);
    for _ in 0..PAGES_MAX {
        session.token(BY_NAME, Urgency::Normal).await?;
        let request = session
            .client
            .list_hosted_zones_by_name()
            .dns_name(&start_name)
            .set_hosted_zone_id(start_id.take());
        let reply = called(request.send()).await;
        let reply = reply.map_err(|error| call_error(BY_NAME, &error))?;
        for other in reply.hosted_zones().iter().map(self::zone) {
            if !other.name.is_in_zone(&zone.name) {
                return Ok(below);
            }
            if other.name != zone.name && other.private == zone.private {
                below.push(other);
            }
        }
        match &reply.next_dns_name {
            Some(next) if reply.is_truncated => {
                start_name.clone_from(next);
                start_id.clone_from(&reply.next_hosted_zone_id);
            }
            _ => return Ok(below),
        }
    }
    // There are more than a thousand zones. The zones read so far are enough for a warning.
    Ok(below)
}

/// Returns the error if no zone fits, with the names of similar zones.
async fn none_fits(
    session: &Session,
    wanted: &ZoneRef,
    name: &DnsName,
    found: &[Zone],
) -> CallError {
    if let Some(other) = found.first() {
        let (is, set) = (kind(other.private), other.private);
        return permanent(
            BY_NAME,
            format!(
                "hosted zone {name} ({}) is {is}; write `private: {set}`",
                other.id
            ),
        );
    }
    let near = nearest(session, name).await;
    let hint = if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    };
    let zone = &wanted.zone;
    permanent(BY_NAME, format!("no hosted zone is named {zone}{hint}"))
}

/// Returns names of zones that are similar to a missing one: its parents first, then by similarity. Empty if zones
/// cannot be read.
async fn nearest(session: &Session, name: &DnsName) -> Vec<String> {
    // Route 53 lists zones by reversed labels, so the parent zone and all siblings come from the parent on.
    let parent = name.as_str().split_once('.').map_or("", |(_, rest)| rest);
    if session.token(BY_NAME, Urgency::Normal).await.is_err() {
        return Vec::new();
    }
    let request = session.client.list_hosted_zones_by_name();
    let Ok(reply) = called(request.dns_name(parent).send()).await else {
        return Vec::new();
    };
    let mut scored: Vec<(f64, String)> = Vec::new();
    for zone in reply.hosted_zones() {
        let other = DnsName::new(&zone.name);
        let score = if name.is_in_zone(&other) {
            1.0
        } else {
            strsim::jaro_winkler(name.as_str(), other.as_str())
        };
        if score >= SIMILAR_ENOUGH && !scored.iter().any(|(_, seen)| seen == other.as_str()) {
            scored.push((score, other.as_str().to_owned()));
        }
    }
    scored.sort_by(|left, right| right.0.total_cmp(&left.0));
    let names = scored.into_iter().map(|(_, name)| name);
    names.take(SUGGESTIONS_MAX).collect()
}

/// Returns the error if several zones fit, with a way to choose one.
fn ambiguous(name: &DnsName, zones: &[&Zone], private: Option<bool>) -> CallError {
    let listed: Vec<_> = zones
        .iter()
        .map(|zone| format!("{} ({})", zone.id, kind(zone.private)))
        .collect();
    let kinds_differ = zones.iter().any(|zone| zone.private != zones[0].private);
    let way_out = if private.is_none() && kinds_differ {
        "write `private: true` or `private: false`, or name the zone by its ID"
    } else {
        "name the zone by its ID"
    };
    let message = format!(
        "{} hosted zones are named {name}: {}; {way_out}",
        zones.len(),
        lists::some(&listed, ", ")
    );
    permanent(BY_NAME, message)
}

/// Converts a zone of the SDK.
fn zone(zone: &HostedZone) -> Zone {
    Zone {
        id: ZoneId::from(zone.id.trim_start_matches("/hostedzone/").to_owned()),
        name: DnsName::new(&zone.name),
        private: zone.config.as_ref().is_some_and(|it| it.private_zone),
        record_count: zone
            .resource_record_set_count
            .and_then(|count| u64::try_from(count).ok()),
    }
}

fn kind(private: bool) -> &'static str {
    if private { "private" } else { "public" }
}

fn permanent(operation: &'static str, message: String) -> CallError {
    CallError::new(operation, FailureClass::Permanent, message)
}

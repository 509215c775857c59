//! The service itself: its state, the propagation of changes, and the history of written weights.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use cutover_engine::plan::Account;
use cutover_engine::record::GroupName;
use cutover_engine::units::{ChangeId, Weight, WeightPair, ZoneId};

use super::batch::ChangeBatch;
use super::error::Route53Error;
use super::health::HealthCheck;
use super::quota::{QuotaBuckets, Quotas};
use super::zone::HostedZone;

/// The settings of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route53Settings {
    /// The time for which a change is PENDING. "Generally within 60 seconds" (API Reference, `ChangeInfo`).
    pub propagation: SignedDuration,
    /// The time for which a zone refuses further changes after one (`PriorRequestNotComplete`).
    pub processing: SignedDuration,
    /// The quotas of calls; none means no limit.
    pub quotas: Option<Quotas>,
}

impl Default for Route53Settings {
    fn default() -> Self {
        Self {
            propagation: SignedDuration::from_secs(30),
            processing: SignedDuration::ZERO,
            quotas: None,
        }
    }
}

/// Route 53.
#[derive(Debug, Clone, Default)]
pub struct Route53 {
    /// Its settings; they may be changed at any time.
    pub settings: Route53Settings,
    pub(super) zones: BTreeMap<ZoneId, HostedZone>,
    pub(super) health_checks: BTreeMap<String, HealthCheck>,
    pub(super) late: Vec<Late>,
    pub(super) answers_given: u64,
    changes: BTreeMap<ChangeId, StoredChange>,
    tags: BTreeMap<(String, String), BTreeMap<String, String>>,
    buckets: QuotaBuckets,
    writes: Vec<WeightWrite>,
    writes_of: BTreeMap<(ZoneId, GroupName), Vec<usize>>,
    serial: u64,
}

/// A batch on its way whose caller has given up.
#[derive(Debug, Clone)]
pub(super) struct Late {
    pub(super) at: Timestamp,
    pub(super) account: Account,
    pub(super) zone: ZoneId,
    pub(super) batch: ChangeBatch,
}

/// A submitted change.
#[derive(Debug, Clone)]
struct StoredChange {
    submitted_at: Timestamp,
    in_sync_at: Timestamp,
    comment: Option<String>,
}

/// The public view of a submitted change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeInfo {
    /// Its identifier, without prefix.
    pub id: ChangeId,
    /// True if it is on all of Route 53's name servers.
    pub in_sync: bool,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// The batch's comment.
    pub comment: Option<String>,
}

/// A change of a group's weights, as it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightWrite {
    /// When it was applied.
    pub at: Timestamp,
    /// The zone.
    pub zone: ZoneId,
    /// The group.
    pub group: GroupName,
    /// All members' weights after the change, by identifier.
    pub weights: BTreeMap<String, Weight>,
    /// The identifier of the change.
    pub change: ChangeId,
    /// The batch's comment.
    pub comment: Option<String>,
    /// True if another writer submitted it.
    pub foreign: bool,
}

impl WeightWrite {
    /// The weights of two members.
    pub fn pair(&self, old: &str, new: &str) -> Option<WeightPair> {
        Some(WeightPair {
            old: *self.weights.get(old)?,
            new: *self.weights.get(new)?,
        })
    }
}

impl Route53 {
    /// An empty service.
    pub fn new(settings: Route53Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Takes a token for a call. Adapters do this once for each call, before anything else.
    ///
    /// # Errors
    /// `Throttling`.
    pub fn admit(
        &mut self,
        account: &Account,
        operation: &str,
        now: Timestamp,
    ) -> Result<(), Route53Error> {
        self.advance(now);
        let Some(quotas) = &self.settings.quotas else {
            return Ok(());
        };
        if self.buckets.admit(quotas, account, operation, now) {
            Ok(())
        } else {
            Err(Route53Error::throttled())
        }
    }

    /// Returns a change, with whether it is in sync at `now`.
    ///
    /// # Errors
    /// `NoSuchChange`.
    pub fn change_info(&self, id: &ChangeId, now: Timestamp) -> Result<ChangeInfo, Route53Error> {
        match self.changes.get(id) {
            Some(change) => Ok(ChangeInfo {
                id: id.clone(),
                in_sync: now >= change.in_sync_at,
                submitted_at: change.submitted_at,
                comment: change.comment.clone(),
            }),
            None => Err(Route53Error::no_such_change(id.as_str())),
        }
    }

    /// Forgets a change, as a failover of the control plane may.
    pub fn forget_change(&mut self, id: &ChangeId) {
        self.changes.remove(id);
    }

    /// Ends all propagation at `now`.
    pub fn finish_propagation(&mut self, now: Timestamp) {
        for change in self.changes.values_mut() {
            change.in_sync_at = change.in_sync_at.min(now);
        }
    }

    /// Every applied change of weights, oldest first. The first one of a group is its creation.
    pub fn weight_writes(&self) -> &[WeightWrite] {
        &self.writes
    }

    /// The changes of one group's weights, oldest first.
    pub fn weight_writes_of(
        &self,
        zone: &ZoneId,
        group: &GroupName,
    ) -> impl DoubleEndedIterator<Item = &WeightWrite> {
        let indices = self.writes_of.get(&(zone.clone(), group.clone()));
        let indices = indices.into_iter().flatten();
        indices.filter_map(|index| self.writes.get(*index))
    }

    /// The time at which a change is on all of Route 53's name servers; none for a forgotten change.
    pub fn in_sync_at(&self, id: &ChangeId) -> Option<Timestamp> {
        self.changes.get(id).map(|change| change.in_sync_at)
    }

    /// A resource's tags.
    pub fn tags(&self, resource_type: &str, id: &str) -> BTreeMap<String, String> {
        let key = (resource_type.to_owned(), id.to_owned());
        self.tags.get(&key).cloned().unwrap_or_default()
    }

    /// Adds and removes tags of a zone (`hostedzone`) or health check (`healthcheck`).
    ///
    /// # Errors
    /// `NoSuchHostedZone`, `NoSuchHealthCheck`, `InvalidInput`.
    pub fn change_tags(
        &mut self,
        resource_type: &str,
        id: &str,
        add: impl IntoIterator<Item = (String, String)>,
        remove: &[String],
    ) -> Result<(), Route53Error> {
        match resource_type {
            "hostedzone" if self.zones.contains_key(&ZoneId::from(id)) => {}
            "hostedzone" => return Err(Route53Error::no_such_zone(id)),
            "healthcheck" => drop(self.health_check(id)?),
            other => {
                let message = format!("Invalid resource type: {other}");
                return Err(Route53Error::invalid_input(message));
            }
        }
        let key = (resource_type.to_owned(), id.to_owned());
        let tags = self.tags.entry(key).or_default();
        tags.retain(|tag, _| !remove.contains(tag));
        tags.extend(add);
        Ok(())
    }

    /// Stores a submitted change; it is PENDING for the time in the settings.
    pub(super) fn submit(&mut self, comment: Option<String>, now: Timestamp) -> ChangeInfo {
        let id = ChangeId::from(self.next_id('C'));
        let in_sync_at = now.saturating_add(self.settings.propagation).unwrap_or(now);
        let change = StoredChange {
            submitted_at: now,
            in_sync_at,
            comment: comment.clone(),
        };
        self.changes.insert(id.clone(), change);
        ChangeInfo {
            id,
            in_sync: false,
            submitted_at: now,
            comment,
        }
    }

    /// Stores a change of weights.
    pub(super) fn record_write(&mut self, write: WeightWrite) {
        let key = (write.zone.clone(), write.group.clone());
        self.writes_of
            .entry(key)
            .or_default()
            .push(self.writes.len());
        self.writes.push(write);
    }

    /// A number that was not used before.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// An identifier in the form of AWS's that was not used before, the same in every run.
    pub(super) fn next_id(&mut self, prefix: char) -> String {
        let mut rest = scrambled(self.next_serial());
        let mut digits = String::with_capacity(14);
        digits.push(prefix);
        for _ in 0..13 {
            let digit = u32::try_from(rest % 36).unwrap_or(0);
            digits.push(
                char::from_digit(digit, 36)
                    .unwrap_or('0')
                    .to_ascii_uppercase(),
            );
            rest /= 36;
        }
        digits
    }
}

/// A bijection on 64 bits (the finalizer of `SplitMix64`), so that different serials give different identifiers.
fn scrambled(serial: u64) -> u64 {
    let mut bits = serial.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

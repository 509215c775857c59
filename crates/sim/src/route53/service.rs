//! The service: its state, the propagation of changes, and the history of written weights.

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
    /// How long a change is PENDING: "generally within 60 seconds" (API Reference, `ChangeInfo`).
    pub propagation: SignedDuration,
    /// How long a zone refuses further changes after a change (`PriorRequestNotComplete`).
    pub processing: SignedDuration,
    /// The quotas of calls. `None` means no limit.
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

/// The simulated Route 53: all zones, health checks and changes of all accounts.
#[derive(Debug, Clone, Default)]
pub struct Route53 {
    /// Its settings; they may be changed at any time.
    pub settings: Route53Settings,
    pub(super) zones: BTreeMap<ZoneId, HostedZone>,
    pub(super) health_checks: BTreeMap<String, HealthCheck>,
    /// Batches that are still on their way.
    pub(super) late: Vec<Late>,
    /// The number of `TestDNSAnswer` replies so far.
    pub(super) answers_given: u64,
    changes: BTreeMap<ChangeId, StoredChange>,
    /// The tags, by resource type and identifier.
    tags: BTreeMap<(String, String), BTreeMap<String, String>>,
    buckets: QuotaBuckets,
    /// Every change of weights, oldest first.
    writes: Vec<WeightWrite>,
    /// The indices in `writes` of each group.
    writes_of: BTreeMap<(ZoneId, GroupName), Vec<usize>>,
    /// The number of identifiers so far.
    serial: u64,
}

/// A batch that arrives after its caller has given up.
#[derive(Debug, Clone)]
pub(super) struct Late {
    /// The time at which the batch arrives.
    pub(super) at: Timestamp,
    pub(super) account: Account,
    pub(super) zone: ZoneId,
    pub(super) batch: ChangeBatch,
}

/// A submitted change, as the service stores it.
#[derive(Debug, Clone)]
struct StoredChange {
    submitted_at: Timestamp,
    in_sync_at: Timestamp,
    comment: Option<String>,
}

/// A submitted change, as `GetChange` returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeInfo {
    /// The identifier, without the prefix `/change/`.
    pub id: ChangeId,
    /// True if the change is on all of Route 53's name servers (INSYNC).
    pub in_sync: bool,
    /// The time of the submission.
    pub submitted_at: Timestamp,
    /// The comment of the batch.
    pub comment: Option<String>,
}

/// An applied change of one group's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightWrite {
    /// The time at which the change was applied.
    pub at: Timestamp,
    /// The zone of the group.
    pub zone: ZoneId,
    /// The group whose weights changed.
    pub group: GroupName,
    /// The weights of all members after the change, by set identifier.
    pub weights: BTreeMap<String, Weight>,
    /// The identifier of the Route 53 change.
    pub change: ChangeId,
    /// The comment of the batch.
    pub comment: Option<String>,
    /// True if another writer submitted the change.
    pub foreign: bool,
}

impl WeightWrite {
    /// Returns the weights of two members, given their set identifiers. `None` if one of them does not exist.
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

    /// Consumes a quota token for a call. Adapters do this once for each call, before anything else.
    ///
    /// # Errors
    /// `Throttling` if no token is left.
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

    /// Runs `GetChange`: returns a change, and whether it is INSYNC at `now`.
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

    /// Forgets a change, as Route 53 may do if its control plane fails over.
    pub fn forget_change(&mut self, id: &ChangeId) {
        self.changes.remove(id);
    }

    /// Makes all changes INSYNC at `now`.
    pub fn finish_propagation(&mut self, now: Timestamp) {
        for change in self.changes.values_mut() {
            change.in_sync_at = change.in_sync_at.min(now);
        }
    }

    /// Returns every applied change of weights, oldest first. The first change of a group is its creation.
    pub fn weight_writes(&self) -> &[WeightWrite] {
        &self.writes
    }

    /// Returns the changes of one group's weights, oldest first.
    pub fn weight_writes_of(
        &self,
        zone: &ZoneId,
        group: &GroupName,
    ) -> impl DoubleEndedIterator<Item = &WeightWrite> {
        let indices = self.writes_of.get(&(zone.clone(), group.clone()));
        let indices = indices.into_iter().flatten();
        indices.filter_map(|index| self.writes.get(*index))
    }

    /// Returns the time at which a change is INSYNC. `None` for a forgotten change.
    pub fn in_sync_at(&self, id: &ChangeId) -> Option<Timestamp> {
        self.changes.get(id).map(|change| change.in_sync_at)
    }

    /// Returns the tags of a resource. Empty if there are none or the resource is unknown.
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

    /// Stores a submitted change. It is PENDING for `settings.propagation`.
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

    /// Stores an applied change of weights.
    pub(super) fn record_write(&mut self, write: WeightWrite) {
        let key = (write.zone.clone(), write.group.clone());
        self.writes_of
            .entry(key)
            .or_default()
            .push(self.writes.len());
        self.writes.push(write);
    }

    /// Returns a number that was not returned before.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Returns an identifier in AWS's form that was not returned before. Every run gets the same identifiers.
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

/// Mixes the bits of a number (the finalizer of `SplitMix64`). Different numbers give different results.
fn scrambled(serial: u64) -> u64 {
    let mut bits = serial.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

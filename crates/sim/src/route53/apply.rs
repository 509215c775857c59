//! Changes of record sets. A batch is validated as a whole, and then applied completely or not at all.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use cutover_engine::plan::Account;
use cutover_engine::record::GroupName;
use cutover_engine::units::{Weight, ZoneId};
use cutover_ports::ChangeAction;

use super::batch::ChangeBatch;
use super::draft::ZoneDraft;
use super::error::Route53Error;
use super::name;
use super::record::StoredRecord;
use super::service::{ChangeInfo, Late, Route53, WeightWrite};
use super::validate::{described, malformed, record_failures, size_failures};
use super::zone::{HostedZone, OrderKey};

impl Route53 {
    /// Runs `ChangeResourceRecordSets`: submits a batch.
    ///
    /// # Errors
    /// `InvalidInput`, `InvalidChangeBatch` (its message lists all failures), `NoSuchHostedZone`, `AccessDenied`,
    /// `NoSuchHealthCheck`, `PriorRequestNotComplete`. On an error, nothing is applied.
    pub fn change(
        &mut self,
        account: &Account,
        zone: &ZoneId,
        batch: &ChangeBatch,
        now: Timestamp,
    ) -> Result<ChangeInfo, Route53Error> {
        self.advance(now);
        if let Some(message) = malformed(batch) {
            return Err(Route53Error::invalid_input(message));
        }
        if now < self.zone(account, zone)?.busy_until {
            return Err(Route53Error::prior_request());
        }
        self.apply(zone, batch, now, false)
    }

    /// Submits a batch as another writer. The batch is accepted even while the zone is busy, and its writes are marked
    /// as foreign.
    ///
    /// # Errors
    /// The same as [`Route53::change`], except `AccessDenied` and `PriorRequestNotComplete`.
    pub fn foreign_change(
        &mut self,
        zone: &ZoneId,
        batch: &ChangeBatch,
        now: Timestamp,
    ) -> Result<ChangeInfo, Route53Error> {
        self.advance(now);
        match malformed(batch) {
            Some(message) => Err(Route53Error::invalid_input(message)),
            None => self.apply(zone, batch, now, true),
        }
    }

    /// Sets one member's weight as another writer.
    ///
    /// # Errors
    /// `InvalidChangeBatch` if there is no such member, and the errors of [`Route53::foreign_change`].
    pub fn foreign_weight(
        &mut self,
        zone: &ZoneId,
        group: &GroupName,
        identifier: &str,
        weight: Weight,
        now: Timestamp,
    ) -> Result<ChangeInfo, Route53Error> {
        let members = self.zones.get(zone).map(|zone| zone.group(group));
        let found = members.into_iter().flatten();
        let mut found = found.filter(|it| it.set_identifier.as_deref() == Some(identifier));
        let Some(record) = found.next().cloned() else {
            let failure = format!("{group} {identifier} was not found");
            return Err(Route53Error::invalid_batch(&[failure]));
        };
        let record = StoredRecord {
            weight: Some(i64::from(weight.0)),
            ..record
        };
        self.foreign_change(
            zone,
            &ChangeBatch::of([(ChangeAction::Upsert, record)]),
            now,
        )
    }

    /// Schedules a batch that arrives at Route 53 at `at`, after its caller has given up.
    pub fn deliver_late(
        &mut self,
        at: Timestamp,
        account: &Account,
        zone: &ZoneId,
        batch: ChangeBatch,
    ) {
        self.late.push(Late {
            at,
            account: account.clone(),
            zone: zone.clone(),
            batch,
        });
    }

    /// Applies the late batches that arrived until `now`. [`Route53::admit`] and every change call this first.
    pub fn advance(&mut self, now: Timestamp) {
        if self.late.iter().all(|late| late.at > now) {
            return;
        }
        let (mut due, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late| late.at <= now);
        self.late = waiting;
        due.sort_by_key(|late| late.at);
        for late in due {
            let owned = self.zone(&late.account, &late.zone).is_ok();
            if owned && malformed(&late.batch).is_none() {
                // The caller has given up, so nobody sees a refusal.
                drop(self.apply(&late.zone, &late.batch, late.at, false));
            }
        }
    }

    /// Validates a batch against the zone, and applies it completely or not at all.
    fn apply(
        &mut self,
        zone_id: &ZoneId,
        batch: &ChangeBatch,
        now: Timestamp,
        foreign: bool,
    ) -> Result<ChangeInfo, Route53Error> {
        let checks = batch
            .changes
            .iter()
            .filter_map(|change| match change.action {
                ChangeAction::Delete => None,
                ChangeAction::Create | ChangeAction::Upsert => {
                    change.record.health_check_id.as_ref()
                }
            });
        if let Some(missing) = checks
            .into_iter()
            .find(|id| !self.health_checks.contains_key(*id))
        {
            return Err(Route53Error::no_such_health_check(missing));
        }
        let zone = self
            .zones
            .get_mut(zone_id)
            .ok_or_else(|| Route53Error::no_such_zone(zone_id.as_str()))?;
        let too_big = size_failures(batch);
        if !too_big.is_empty() {
            return Err(Route53Error::invalid_batch(&too_big));
        }
        let changed =
            draft(zone, batch).map_err(|failures| Route53Error::invalid_batch(&failures))?;
        let groups: BTreeSet<_> = changed
            .keys()
            .map(|key| (key.order.clone(), key.record_type.clone()))
            .collect();
        let before: Vec<_> = groups.iter().map(|group| weights_of(zone, group)).collect();
        for (key, record) in changed {
            match record {
                Some(record) => drop(zone.records.insert(key, record)),
                None => drop(zone.records.remove(&key)),
            }
        }
        zone.busy_until = now.saturating_add(self.settings.processing).unwrap_or(now);
        let after: Vec<_> = groups.iter().map(|group| weights_of(zone, group)).collect();
        let info = self.submit(batch.comment.clone(), now);
        for (before, after) in before.into_iter().zip(after) {
            if before.1 == after.1 {
                continue;
            }
            let Some(group) = after.0.or(before.0) else {
                continue;
            };
            self.record_write(WeightWrite {
                at: now,
                zone: zone_id.clone(),
                group,
                weights: after.1,
                change: info.id.clone(),
                comment: batch.comment.clone(),
                foreign,
            });
        }
        Ok(info)
    }
}

/// Returns a group's name, or `None` if it has no members, and the weights of its members by set identifier.
fn weights_of(
    zone: &HostedZone,
    (order, record_type): &(String, String),
) -> (Option<GroupName>, BTreeMap<String, Weight>) {
    let members = zone.members(order, record_type);
    let weights = members.iter().filter_map(|member| {
        let identifier = member.set_identifier.clone()?;
        Some((identifier, member.weight()?))
    });
    (
        members.first().map(|member| member.group()),
        weights.collect(),
    )
}

/// Returns the record sets that a batch changes (`None` for a deleted one).
///
/// # Errors
/// All reasons why the batch cannot be applied.
fn draft(
    zone: &HostedZone,
    batch: &ChangeBatch,
) -> Result<BTreeMap<OrderKey, Option<StoredRecord>>, Vec<String>> {
    let mut draft = ZoneDraft::new(zone);
    let mut failures = Vec::new();
    let mut done: BTreeMap<OrderKey, Vec<ChangeAction>> = BTreeMap::new();
    for change in &batch.changes {
        let mut record = change.record.clone();
        match name::stored(&record.name) {
            Ok(stored) => record.name = stored,
            Err(reason) => {
                failures.push(reason);
                continue;
            }
        }
        if let Some(alias) = &mut record.alias {
            let lower = alias.dns_name.to_ascii_lowercase();
            alias.dns_name = format!("{}.", lower.trim_end_matches('.'));
        }
        let key = OrderKey::of(&record);
        let earlier = done.entry(key.clone()).or_default();
        earlier.push(change.action);
        if !may_follow(earlier) {
            failures.push(format!(
                "The request contains an invalid set of changes for a resource record set '{} {}'",
                record.record_type, record.name
            ));
            continue;
        }
        if let Err(found) = apply_change(&mut draft, key, change.action, record, &zone.name) {
            failures.extend(found);
        }
    }
    failures.extend(draft.failures());
    if failures.is_empty() {
        Ok(draft.into_changed())
    } else {
        Err(failures)
    }
}

/// Returns true if these actions on one record set may be in one batch: a single action, or DELETE and then CREATE.
fn may_follow(actions: &[ChangeAction]) -> bool {
    matches!(actions, [_] | [ChangeAction::Delete, ChangeAction::Create])
}

/// Applies one change to the draft, or returns the reasons why it cannot be applied.
fn apply_change(
    draft: &mut ZoneDraft<'_>,
    key: OrderKey,
    action: ChangeAction,
    record: StoredRecord,
    zone: &str,
) -> Result<(), Vec<String>> {
    let shown = quoted(&record);
    let current = draft.get(&key);
    if current.is_some_and(|current| current.traffic_policy_instance_id.is_some()) {
        let shown = described(&record);
        return Err(vec![format!(
            "{shown} cannot be changed as it is managed by a traffic policy instance."
        )]);
    }
    match (action, current) {
        (ChangeAction::Delete, None) => Err(vec![format!(
            "Tried to delete resource record set [{shown}] but it was not found"
        )]),
        (ChangeAction::Delete, Some(current)) if !record.is_same_image(current) => {
            Err(vec![format!(
                "Tried to delete resource record set [{shown}] but the values provided do not match the current values"
            )])
        }
        (ChangeAction::Delete, Some(_)) => {
            draft.set(key, None);
            Ok(())
        }
        (ChangeAction::Create, Some(_)) => Err(vec![format!(
            "Tried to create resource record set [{shown}] but it already exists"
        )]),
        (ChangeAction::Create | ChangeAction::Upsert, _) => {
            let failures = record_failures(&record, zone);
            if failures.is_empty() {
                draft.set(key, Some(record));
                Ok(())
            } else {
                Err(failures)
            }
        }
    }
}

/// Returns the text that identifies a record set in the message of a refused change.
fn quoted(record: &StoredRecord) -> String {
    let StoredRecord {
        name, record_type, ..
    } = record;
    match &record.set_identifier {
        Some(identifier) => {
            format!("name='{name}', type='{record_type}', set-identifier='{identifier}'")
        }
        None => format!("name='{name}', type='{record_type}'"),
    }
}

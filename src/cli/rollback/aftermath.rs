//! The end of a rollback, after the baseline is written: it waits until Route 53 answers with the baseline everywhere,
//! says until when caches may hold older answers, and reads every group a last time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp, Unit};
use tokio::time::Instant;

use super::calls::counted;
use crate::cli::context::Context;
use crate::engine::around::{self, AliasTtls};
use crate::engine::drifted::{other_policy, target};
use crate::engine::observation::ChangeReading;
use crate::engine::plan::Account;
use crate::engine::record::{GroupImage, GroupName, RecordSet};
use crate::engine::strays::{Stray, strays};
use crate::engine::units::{ChangeId, DnsName, Weight, ZoneId};
use crate::ports::{Clock, Dns, GroupReadings, Urgency, follow_aliases};
use crate::report::drifted::deletion;
use crate::report::text;

/// Time between two calls for the status of a change. A change usually takes a minute to be INSYNC.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Longest time for the last reading, whether or not Route 53 answers.
const READ_BACK_WITHIN: Duration = Duration::from_secs(30);

/// A zone, and the account with which it is read.
type AccountZone = (Account, ZoneId);

/// The images that were to be written back, by zone, and the TTLs of their aliases.
#[derive(Default)]
pub(super) struct Aftermath {
    images: BTreeMap<AccountZone, Vec<GroupImage>>,
    /// The TTLs of aliases to records of the same zone.
    ttls: AliasTtls,
}

impl Aftermath {
    /// Adds images that Route 53 should have, weights included, each with the account of its zone.
    pub(super) fn add(&mut self, images: impl IntoIterator<Item = (Account, GroupImage)>) {
        for (account, image) in images {
            let place = (account, image.zone.clone());
            self.images.entry(place).or_default().push(image);
        }
    }

    /// Returns how long resolvers that respect the TTL may cache older answers.
    fn ttl(&self) -> SignedDuration {
        let images = self.images.values().flatten();
        let longest = images.map(|image| around::group_ttl_secs(image, &self.ttls));
        let longest = longest.max().unwrap_or(around::AWS_ALIAS_TTL_SECS);
        SignedDuration::from_secs(longest.into())
    }

    /// Adds the TTLs of aliases from the journal.
    pub(super) fn add_ttls(&mut self, ttls: &AliasTtls) {
        let ttls = ttls.iter().map(|(target, ttl)| (target.clone(), *ttl));
        self.ttls.extend(ttls);
    }

    /// Reads the TTLs of aliases that the journal does not have. An alias whose TTL cannot be read counts as an alias
    /// to an AWS resource.
    async fn learn_ttls(&mut self, dns: &dyn Dns) {
        let until = Instant::now() + READ_BACK_WITHIN;
        for ((account, zone), images) in &self.images {
            let mut lacking = images.iter();
            if !lacking.any(|image| around::lacks_ttl(image, &self.ttls)) {
                continue;
            }
            let members = images.iter().flat_map(|image| [&image.old, &image.new]);
            let members: Vec<RecordSet> = members.cloned().collect();
            let reading = follow_aliases(dns, account, zone, members);
            let Ok(Ok(records)) = tokio::time::timeout_at(until, reading).await else {
                continue;
            };
            for image in images {
                let ttls = around::alias_ttls(image, &records);
                self.ttls.extend(ttls);
            }
        }
    }

    /// Waits until every accepted change is INSYNC or `until` has passed. Then prints until when caches may hold older
    /// answers.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) async fn drain(
        &mut self,
        context: &mut Context<'_>,
        dns: &dyn Dns,
        accepted: &BTreeMap<ZoneId, BTreeSet<ChangeId>>,
        until: Instant,
    ) -> Result<()> {
        self.learn_ttls(dns).await;
        let mut pending: BTreeSet<(Account, ChangeId)> = BTreeSet::new();
        for (account, zone) in self.images.keys() {
            let changes = accepted.get(zone).into_iter().flatten();
            pending.extend(changes.map(|change| (account.clone(), change.clone())));
        }
        if pending.is_empty() {
            let unknown = "no change of this rollback is known (nothing had to be written, a reply was lost, or somebody else wrote the baseline); \
                           Route 53 usually answers with it everywhere within a minute";
            return self.drained(context, unknown, " at the earliest");
        }
        let all = pending.len();
        loop {
            let mut left = BTreeSet::new();
            for (account, change) in pending {
                match dns.change_status(&account, &change).await {
                    ChangeReading::InSync => {}
                    ChangeReading::Pending
                    | ChangeReading::Unknown
                    | ChangeReading::Unreadable(_)
                    | ChangeReading::Denied(_) => drop(left.insert((account, change))),
                }
            }
            pending = left;
            if pending.is_empty() {
                return self.drained(context, "Route 53 answers with the baseline everywhere", "");
            }
            let next = Instant::now() + ASK_EVERY;
            if next >= until {
                let left = pending.len();
                let unknown = format!(
                    "{left} of {} not yet known to be on all of Route 53's name servers",
                    counted(all, "batch")
                );
                return self.drained(context, &unknown, " at the earliest");
            }
            tokio::time::sleep_until(next).await;
        }
    }

    fn drained(&self, context: &mut Context<'_>, how_far: &str, earliest: &str) -> Result<()> {
        let ttl = self.ttl();
        let at: Timestamp = context.clock.now().saturating_add(ttl)?;
        let at = at.round(Unit::Second).unwrap_or(at);
        context.note(&format!(
            "INSYNC: {how_far}. Resolvers may hold older answers for their TTL ({} s): until {}{earliest}; connections that \
             are open stay open",
            ttl.as_secs(),
            text::rfc3339(at)
        ))
    }

    /// Prints each group that cannot be written because another record is in its place.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) async fn tell_obstacles(
        &self,
        context: &mut Context<'_>,
        dns: &dyn Dns,
    ) -> Result<()> {
        let until = Instant::now() + READ_BACK_WITHIN;
        for (place, images) in &self.images {
            let readings = read(dns, place, images, until).await;
            for image in images {
                let name = group_name(image);
                if let Some(Ok(records)) = readings.get(&name)
                    && let Some(obstacle) = obstacle(image, records)
                {
                    context.note(&format!(
                        "{name}: {obstacle}; the group is retried automatically"
                    ))?;
                }
            }
        }
        Ok(())
    }

    /// Reads every group once more. Prints how many are at the baseline, and which are not or could not be read.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) async fn read_back(
        &self,
        context: &mut Context<'_>,
        dns: &dyn Dns,
    ) -> Result<LastReading> {
        let mut found = LastReading::default();
        let until = Instant::now() + READ_BACK_WITHIN;
        for (place, images) in &self.images {
            let readings = read(dns, place, images, until).await;
            for image in images {
                let name = group_name(image);
                if let Some(Ok(records)) = readings.get(&name) {
                    found
                        .strays
                        .extend(strays(&name, image, &as_read(image, records)));
                }
                match readings.get(&name) {
                    Some(Ok(records)) if is_at(image, records) => found.good += 1,
                    Some(Ok(records)) => {
                        found.astray += 1;
                        let what = elsewhere(image, records);
                        context.note(&format!("{name} is not back: {what}"))?;
                    }
                    Some(Err(error)) => {
                        found.unread += 1;
                        context.note(&format!("{name} cannot be read back: {error}"))?;
                    }
                    None => {
                        found.unread += 1;
                        context.note(&format!("{name} cannot be read back: no answer in time"))?;
                    }
                }
            }
        }
        let all = found.good + found.astray + found.unread;
        if all > 0 {
            let (good, all) = (found.good, counted(all, "group"));
            context.note(&format!("read back: {good} of {all} at the baseline"))?;
        }
        Ok(found)
    }
}

/// Reads the groups of the images. The result is empty if Route 53 does not answer before `until`.
async fn read(
    dns: &dyn Dns,
    (account, zone): &AccountZone,
    images: &[GroupImage],
    until: Instant,
) -> GroupReadings {
    let wanted: BTreeSet<GroupName> = images.iter().map(group_name).collect();
    let reading = dns.read_groups(account, zone, &wanted, Urgency::Revert);
    let readings = tokio::time::timeout_at(until, reading).await;
    readings.unwrap_or_default()
}

/// The counts and findings of the last reading.
#[derive(Debug, Clone, Default)]
pub(super) struct LastReading {
    /// Number of groups at their baseline.
    pub(super) good: usize,
    /// Number of groups that are not at their baseline.
    pub(super) astray: usize,
    /// Number of groups that could not be read.
    pub(super) unread: usize,
    /// Members that hold weight and are not in the images.
    pub(super) strays: Vec<Stray>,
}

/// Returns a group as it was read. A member that is missing is taken from the image, with weight 0.
fn as_read(image: &GroupImage, records: &[RecordSet]) -> GroupImage {
    let (old, new) = (
        member_as_read(&image.old, records),
        member_as_read(&image.new, records),
    );
    let mut others = records.to_vec();
    others.retain(|record| {
        record.set_identifier != old.set_identifier && record.set_identifier != new.set_identifier
    });
    GroupImage {
        zone: image.zone.clone(),
        old,
        new,
        others,
    }
}

fn member_as_read(member: &RecordSet, records: &[RecordSet]) -> RecordSet {
    for record in records {
        if record.set_identifier == member.set_identifier {
            return record.clone();
        }
    }
    member.with_weight(Weight(0))
}

/// Returns the record that prevents weighted records from being written, and how to remove it; `None` if there is no
/// such record.
fn obstacle(image: &GroupImage, records: &[RecordSet]) -> Option<String> {
    for record in records {
        let Some(policy) = other_policy(record) else {
            continue;
        };
        let what = if policy == "simple" {
            "a simple record (no weights)".to_owned()
        } else {
            format!("a record of another routing policy ({policy})")
        };
        return Some(format!(
            "{what} that leads to {} is in its place, and no weighted record can be written beside it; delete it: {}",
            target(record),
            deletion(image.zone.as_str(), &group_name(image))
        ));
    }
    None
}

/// Describes what was read instead of the stored weights.
fn elsewhere(image: &GroupImage, records: &[RecordSet]) -> String {
    if let Some(obstacle) = obstacle(image, records) {
        return format!("{obstacle}; then run this again");
    }
    for member in [&image.old, &image.new] {
        let mut records = records.iter();
        if !records.any(|record| record.set_identifier == member.set_identifier) {
            return format!("its member `{}` is missing", member.set_identifier);
        }
    }
    let (found, wanted) = (as_read(image, records).pair(), image.pair());
    format!("its weights are {found} (old/new), not {wanted}")
}

/// Returns true if both members have the weights of the image.
fn is_at(image: &GroupImage, records: &[RecordSet]) -> bool {
    [&image.old, &image.new].iter().all(|member| {
        records.iter().any(|record| {
            record.set_identifier == member.set_identifier && record.weight == member.weight
        })
    })
}

fn group_name(image: &GroupImage) -> GroupName {
    GroupName {
        name: DnsName::new(&image.old.name),
        record_type: image.old.record_type.clone(),
    }
}

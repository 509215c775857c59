//! After the weights are back: until Route 53 answers with them everywhere, until caches have drained, and a last look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp, Unit};
use tokio::time::Instant;

use super::calls::counted;
use crate::cli::context::Context;
use crate::engine::around::{self, AliasTtls};
use crate::engine::observation::ChangeReading;
use crate::engine::plan::Account;
use crate::engine::record::{GroupImage, GroupName, RecordSet};
use crate::engine::strays::{Stray, strays};
use crate::engine::units::{ChangeId, DnsName, Weight, ZoneId};
use crate::ports::{Clock, Dns, Urgency, follow_aliases};
use crate::report::text;

/// How often Route 53 is asked how far a change has come. It takes a minute as a rule.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The last look takes no longer than this, however Route 53 answers.
const READ_BACK_WITHIN: Duration = Duration::from_secs(30);

/// A zone, and the credentials that it is read with.
type Place = (Account, ZoneId);

/// What was to go back, by zone.
#[derive(Default)]
pub(super) struct Aftermath {
    images: BTreeMap<Place, Vec<GroupImage>>,
    /// The TTLs of aliases to records of their own zone.
    ttls: AliasTtls,
}

impl Aftermath {
    /// Adds images that Route 53 is to be at, weights included, each with the account of its zone.
    pub(super) fn add(&mut self, images: impl IntoIterator<Item = (Account, GroupImage)>) {
        for (account, image) in images {
            let place = (account, image.zone.clone());
            self.images.entry(place).or_default().push(image);
        }
    }

    /// How long answers from before may be cached, by those who keep to it.
    fn ttl(&self) -> SignedDuration {
        let images = self.images.values().flatten();
        let longest = images.map(|image| around::group_ttl_secs(image, &self.ttls));
        let longest = longest.max().unwrap_or(around::AWS_ALIAS_TTL_SECS);
        SignedDuration::from_secs(longest.into())
    }

    /// Takes the TTLs of aliases as the journal knows them.
    pub(super) fn add_ttls(&mut self, ttls: &AliasTtls) {
        let ttls = ttls.iter().map(|(target, ttl)| (target.clone(), *ttl));
        self.ttls.extend(ttls);
    }

    /// Reads the TTLs of aliases that nobody has journaled. What cannot be read counts as an alias to AWS.
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

    /// Waits until every change is answered everywhere, and says until when caches may hold what was there before.
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
            let unknown = "it is not known here which change took it back (a reply was lost, or somebody else wrote it); \
                           as a rule Route 53 answers with it everywhere within a minute";
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
                    "{left} of {}: not known to be at all of Route 53's name servers yet",
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

    /// Reads every group once more and says what came of it, naming those that are elsewhere or could not be read.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) async fn read_back(
        &self,
        context: &mut Context<'_>,
        dns: &dyn Dns,
    ) -> Result<Found> {
        let mut found = Found::default();
        let until = Instant::now() + READ_BACK_WITHIN;
        for ((account, zone), images) in &self.images {
            let wanted: BTreeSet<GroupName> = images.iter().map(group_name).collect();
            let reading = dns.read_groups(account, zone, &wanted, Urgency::Revert);
            let readings = tokio::time::timeout_at(until, reading).await;
            let readings = readings.unwrap_or_default();
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

/// What a last look at Route 53 found.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Groups at their baseline.
    pub(super) good: usize,
    /// Groups with other weights.
    pub(super) astray: usize,
    /// Groups that could not be read.
    pub(super) unread: usize,
    /// Members beside those of the files that hold weight.
    pub(super) strays: Vec<Stray>,
}

/// A group as it was read. A member that is gone stands as it is stored, with weight 0.
fn as_read(image: &GroupImage, records: &[RecordSet]) -> GroupImage {
    let own = |member: &RecordSet| {
        let mut found = records.iter();
        let found = found.find(|record| record.set_identifier == member.set_identifier);
        found.map_or_else(|| member.with_weight(Weight(0)), RecordSet::clone)
    };
    let (old, new) = (own(&image.old), own(&image.new));
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

/// What is there instead of the stored weights.
fn elsewhere(image: &GroupImage, records: &[RecordSet]) -> String {
    for member in [&image.old, &image.new] {
        let there = |record: &RecordSet| record.set_identifier == member.set_identifier;
        if !records.iter().any(there) {
            return format!("member `{}` is not there", member.set_identifier);
        }
    }
    let (found, wanted) = (as_read(image, records).pair(), image.pair());
    format!("other weights are there: {found} (old/new), not {wanted}")
}

/// Whether both members have their weights.
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

//! After the weights are back: until Route 53 answers with them everywhere, until caches have drained, and a last look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::calls::counted;
use crate::cli::context::Context;
use crate::engine::observation::ChangeReading;
use crate::engine::plan::Account;
use crate::engine::record::{GroupImage, GroupName, RecordSet};
use crate::engine::units::{ChangeId, DnsName, ZoneId};
use crate::ports::{Clock, Dns, Urgency};
use crate::report::text;

/// How often Route 53 is asked how far a change has come. It takes a minute as a rule.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// The time for which an alias to a load balancer may be cached. Source: Route 53 Developer Guide, alias records.
const ALIAS_TTL_SECS: u32 = 60;

/// A zone, and the credentials that it is read with.
type Place = (Account, ZoneId);

/// What was to go back, by zone.
#[derive(Default)]
pub(super) struct Aftermath {
    images: BTreeMap<Place, Vec<GroupImage>>,
}

impl Aftermath {
    /// Adds images that Route 53 is to be at, weights included.
    pub(super) fn add(&mut self, account: &Account, images: impl IntoIterator<Item = GroupImage>) {
        for image in images {
            let place = (account.clone(), image.zone.clone());
            self.images.entry(place).or_default().push(image);
        }
    }

    /// How long answers from before may be cached, by those who keep to it.
    fn ttl(&self) -> SignedDuration {
        let records = self.images.values().flatten();
        let ttls = records.flat_map(|image| [&image.old, &image.new].map(|record| record.ttl));
        let longest = ttls.map(|ttl| ttl.unwrap_or(ALIAS_TTL_SECS)).max();
        SignedDuration::from_secs(longest.unwrap_or(ALIAS_TTL_SECS).into())
    }

    /// Waits until every change is answered everywhere, and says until when caches may hold what was there before.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) async fn drain(
        &self,
        context: &mut Context<'_>,
        dns: &dyn Dns,
        accepted: &BTreeMap<ZoneId, BTreeSet<ChangeId>>,
        until: Instant,
    ) -> Result<()> {
        let mut pending: BTreeSet<(Account, ChangeId)> = BTreeSet::new();
        for (account, zone) in self.images.keys() {
            let changes = accepted.get(zone).into_iter().flatten();
            pending.extend(changes.map(|change| (account.clone(), change.clone())));
        }
        if pending.is_empty() {
            return Ok(());
        }
        let all = pending.len();
        loop {
            let mut left = BTreeSet::new();
            for (account, change) in pending {
                match dns.change_status(&account, &change).await {
                    ChangeReading::InSync => {}
                    ChangeReading::Pending
                    | ChangeReading::Unknown
                    | ChangeReading::Unreadable(_) => drop(left.insert((account, change))),
                }
            }
            pending = left;
            if pending.is_empty() {
                return self.drained(context);
            }
            let next = Instant::now() + ASK_EVERY;
            if next >= until {
                return context.note(&format!(
                    "INSYNC: {} of {all} batches are not known to be at all of Route 53's name servers yet",
                    pending.len()
                ));
            }
            tokio::time::sleep_until(next).await;
        }
    }

    fn drained(&self, context: &mut Context<'_>) -> Result<()> {
        let ttl = self.ttl();
        let at: Timestamp = context.clock.now().saturating_add(ttl)?;
        context.note(&format!(
            "INSYNC: Route 53 answers with the baseline everywhere. Resolvers may hold older answers for their TTL \
             ({} s): until {}; connections that are open stay open",
            ttl.as_secs(),
            text::rfc3339(at)
        ))
    }

    /// Reads every group once more and says what came of it; false if one is not at the baseline. What cannot be read
    /// now was read there before, or it would not have got this far.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub(super) async fn read_back(&self, context: &mut Context<'_>, dns: &dyn Dns) -> Result<bool> {
        let (mut good, mut astray, mut all) = (0, 0, 0);
        for ((account, zone), images) in &self.images {
            let wanted: BTreeSet<GroupName> = images.iter().map(group_name).collect();
            let readings = dns
                .read_groups(account, zone, &wanted, Urgency::Revert)
                .await;
            all += images.len();
            for image in images {
                let name = group_name(image);
                match readings.get(&name) {
                    Some(Ok(records)) if is_at(image, records) => good += 1,
                    Some(Err(error)) => context.note(&format!("{name} cannot be read: {error}"))?,
                    Some(Ok(_)) | None => {
                        astray += 1;
                        context.note(&format!("{name} is not back: other weights are there"))?;
                    }
                }
            }
        }
        if all > 0 {
            let all = counted(all, "group");
            context.note(&format!("read back: {good} of {all} at the baseline"))?;
        }
        Ok(astray == 0)
    }
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

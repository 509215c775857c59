//! Writes stored images over the records as they are, through the same zone writers as every revert: full batches,
//! zones in parallel, bad records put aside. For a rollback that has only break-glass files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::perform::Performer;
use crate::engine::decide::{How, Order, Part, Purpose};
use crate::engine::event::Event;
use crate::engine::plan::Account;
use crate::engine::record::GroupImage;
use crate::engine::units::{ChangeId, CutoverName, WriteId, ZoneId};
use crate::ports::{Dns, Journal};

/// A group that Route 53 has not accepted yet.
struct Unsent {
    account: Account,
    image: GroupImage,
    why: Option<String>,
}

/// Groups that are to be written as they are stored, until Route 53 has accepted each.
pub struct Emergency {
    performer: Performer,
    /// The groups that Route 53 has not accepted yet, each with the last error. Each group is a cutover of its own, so
    /// that one bad record does not delay the others.
    left: BTreeMap<CutoverName, Unsent>,
    accepted: BTreeMap<ZoneId, BTreeSet<ChangeId>>,
    done: usize,
}

impl Emergency {
    /// Takes each group with the account of its zone. Nothing is sent yet. The journal is only there because the zone
    /// writers take one: it is never written.
    pub fn new(
        dns: Arc<dyn Dns>,
        journal: Arc<dyn Journal>,
        images: Vec<(Account, GroupImage)>,
    ) -> Self {
        let mut left = BTreeMap::new();
        for (account, image) in images {
            let unsent = Unsent {
                account,
                image,
                why: None,
            };
            left.insert(label(&unsent.image), unsent);
        }
        Self {
            performer: Performer::new(dns, journal),
            left,
            accepted: BTreeMap::new(),
            done: 0,
        }
    }

    /// Sends all groups that are left, and waits for all answers. May be called again for the groups that are left
    /// then.
    ///
    /// `watch` is called after every answer.
    pub async fn send(&mut self, now: Timestamp, mut watch: impl FnMut(&Self)) {
        for (name, unsent) in &self.left {
            let order = Order {
                write_id: WriteId::from("break-glass"),
                purpose: Purpose::Revert,
                parts: vec![Part {
                    group: 0,
                    image: unsent.image.clone(),
                    to: unsent.image.pair(),
                    how: How::Upsert,
                }],
                send_by: None,
            };
            self.performer.perform(
                name,
                |_| unsent.account.clone(),
                &order,
                0,
                name.as_str(),
                now,
            );
        }
        while !self.performer.is_idle() {
            let outcome = self.performer.next().await;
            // The writers report nothing but these two events.
            if let Event::WeightChangeSubmitted {
                zone, change_id, ..
            } = outcome.event
            {
                self.left.remove(&outcome.cutover);
                self.accepted.entry(zone).or_default().insert(change_id);
                self.done += 1;
            } else if let Event::WeightChangeFailed { message, .. } = outcome.event
                && let Some(unsent) = self.left.get_mut(&outcome.cutover)
            {
                unsent.why = Some(message);
            }
            watch(self);
        }
    }

    /// The number of groups that Route 53 has accepted.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The accepted batches of each zone.
    pub fn accepted(&self) -> &BTreeMap<ZoneId, BTreeSet<ChangeId>> {
        &self.accepted
    }

    /// The groups that are not accepted, and why.
    pub fn left(&self) -> impl Iterator<Item = (&str, &str)> {
        self.left.iter().map(|(name, unsent)| {
            let why = unsent.why.as_deref().unwrap_or("no reply from Route 53");
            (name.as_str(), why)
        })
    }
}

/// The name of a group that is a cutover of its own.
fn label(image: &GroupImage) -> CutoverName {
    let (name, kind) = (&image.old.name, &image.old.record_type);
    CutoverName::from(format!("{name} {kind} of {}", image.zone))
}

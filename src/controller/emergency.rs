//! Writes stored images over the records as they are, for a rollback that has only break-glass files or a damaged
//! journal. Uses the zone writers of every revert: full batches, zones in parallel, bad records put aside.

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

/// Groups that are written as they are stored, until Route 53 has accepted all of them.
pub struct Emergency {
    performer: Performer,
    /// The groups that Route 53 has not accepted yet, each with the last error. Each group counts as a cutover of its
    /// own, so that one bad record does not delay the others.
    left: BTreeMap<CutoverName, Unsent>,
    accepted: BTreeMap<ZoneId, BTreeSet<ChangeId>>,
    done: usize,
}

impl Emergency {
    /// Prepares to write these groups, each with the account of its zone. Nothing is sent yet. `journal` is never
    /// written; it is needed only because the zone writers require one.
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

    /// Sends all groups that are left, and waits for all replies. May be called again for the groups that are left
    /// then.
    ///
    /// `watch` is called after every reply.
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

    /// Returns the number of groups that Route 53 has accepted.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Returns the IDs of the accepted changes, by zone.
    pub fn accepted(&self) -> &BTreeMap<ZoneId, BTreeSet<ChangeId>> {
        &self.accepted
    }

    /// Returns the groups that are not accepted, each with the reason.
    pub fn left(&self) -> impl Iterator<Item = (&str, &str)> {
        self.left.iter().map(|(name, unsent)| {
            let why = unsent.why.as_deref().unwrap_or("no reply from Route 53");
            (name.as_str(), why)
        })
    }
}

/// Returns the name under which a group counts as a cutover of its own.
fn label(image: &GroupImage) -> CutoverName {
    let (name, kind) = (&image.old.name, &image.old.record_type);
    CutoverName::from(format!("{name} {kind} of {}", image.zone))
}

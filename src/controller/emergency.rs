//! Writing stored images over whatever is there, through the same writers as every revert: full batches, zones in
//! parallel, the bad record put aside. For the way back that has nothing but break-glass files.

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
    /// What Route 53 has not accepted yet, and what it said of it last. Each group stands for itself, so that one bad
    /// record holds nobody back.
    left: BTreeMap<CutoverName, Unsent>,
    accepted: BTreeMap<ZoneId, BTreeSet<ChangeId>>,
    done: usize,
}

impl Emergency {
    /// Takes each group with the account of its zone. Nothing is sent yet. The journal is never written: a write of this kind needs none, and the writers want one.
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

    /// Sends everything that is left, and waits for all answers. May be called again for what is left then.
    ///
    /// `watch` sees this after every answer.
    pub async fn send(&mut self, now: Timestamp, mut watch: impl FnMut(&Self)) {
        let order = |image: &GroupImage| Order {
            write_id: WriteId::from("break-glass"),
            purpose: Purpose::Revert,
            parts: vec![Part {
                group: 0,
                image: image.clone(),
                to: image.pair(),
                how: How::Upsert,
            }],
            send_by: None,
        };
        for (name, unsent) in &self.left {
            let order = order(&unsent.image);
            let account_of = |_| unsent.account.clone();
            self.performer
                .perform(name, account_of, &order, 0, name.as_str(), now);
        }
        while !self.performer.is_idle() {
            let outcome = self.performer.next().await;
            match outcome.event {
                Event::WeightChangeSubmitted {
                    zone, change_id, ..
                } => {
                    self.left.remove(&outcome.cutover);
                    self.accepted.entry(zone).or_default().insert(change_id);
                    self.done += 1;
                }
                Event::WeightChangeFailed { message, .. } => {
                    if let Some(unsent) = self.left.get_mut(&outcome.cutover) {
                        unsent.why = Some(message);
                    }
                }
                // The writers report nothing else.
                _ => {}
            }
            watch(self);
        }
    }

    /// How many groups Route 53 has accepted.
    pub fn done(&self) -> usize {
        self.done
    }

    /// The accepted batches of each zone.
    pub fn accepted(&self) -> &BTreeMap<ZoneId, BTreeSet<ChangeId>> {
        &self.accepted
    }

    /// What is not accepted, and why.
    pub fn left(&self) -> impl Iterator<Item = (&str, &str)> {
        self.left.iter().map(|(name, unsent)| {
            let why = unsent.why.as_deref().unwrap_or("it was not answered");
            (name.as_str(), why)
        })
    }
}

/// How a group is named while it stands for itself.
fn label(image: &GroupImage) -> CutoverName {
    let (name, kind) = (&image.old.name, &image.old.record_type);
    CutoverName::from(format!("{name} {kind} of {}", image.zone))
}

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

/// Groups that are to be written as they are stored, until Route 53 has accepted each.
pub struct Emergency {
    account: Account,
    performer: Performer,
    /// What Route 53 has not accepted yet, and what it said of it last. Each group stands for itself, so that one bad
    /// record holds nobody back.
    left: BTreeMap<CutoverName, (GroupImage, Option<String>)>,
    accepted: BTreeMap<ZoneId, BTreeSet<ChangeId>>,
    done: usize,
}

impl Emergency {
    /// Nothing is sent yet. The journal is never written: a write of this kind needs none, and the writers want one.
    pub fn new(
        dns: Arc<dyn Dns>,
        journal: Arc<dyn Journal>,
        account: Account,
        images: Vec<GroupImage>,
    ) -> Self {
        let label = |image: &GroupImage| {
            let (name, kind) = (&image.old.name, &image.old.record_type);
            CutoverName::from(format!("{name} {kind} of {}", image.zone))
        };
        let left = images
            .into_iter()
            .map(|image| (label(&image), (image, None)));
        Self {
            account,
            performer: Performer::new(dns, journal),
            left: left.collect(),
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
        for (name, (image, _)) in &self.left {
            let account = &self.account;
            self.performer
                .perform(name, account, &order(image), 0, name.as_str(), now);
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
                    if let Some((_, why)) = self.left.get_mut(&outcome.cutover) {
                        *why = Some(message);
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
        self.left.iter().map(|(name, (_, why))| {
            let why = why.as_deref().unwrap_or("it was not answered");
            (name.as_str(), why)
        })
    }
}

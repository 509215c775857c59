//! The part of a round for the fleet as a whole: its limits, its news, its channels, and the cutovers that may go on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::Controller;
use super::outside::{ControllerError, Scope};
use super::queues::WriteOutcome;
use crate::engine::decide::Order;
use crate::engine::event::{Event, FailureClass};
use crate::engine::fleet;
use crate::engine::notify::{Channel, Via, recipients};
use crate::engine::state::Phase;
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::JournalError;

/// The most races that an append to `@fleet` may lose in one round (semantics F1).
const RACES_MAX: usize = 5;

/// How long after the end of a page a command is still told of it. An older version told commands only of pages, and
/// may have left ends that are years old.
const SETTLED_TOLD_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// The most news about the fleet that is journaled in one round.
const NEWS_MAX: usize = 8;

impl Controller {
    /// Journals the limits of the fleet's file if they changed: before any start that they may forbid, and after all
    /// reverts that are known.
    pub(super) async fn take_limits(&mut self) -> Result<(), ControllerError> {
        if self.settings.scope != Scope::Files {
            return Ok(());
        }
        let Some(files) = &self.outside.files else {
            return Ok(());
        };
        let Some((path, settings)) = files.fleet() else {
            return Ok(());
        };
        // Only a change of the file during this process counts: two controllers with two files would take turns.
        if self.offered.as_ref() == Some(&settings) {
            return Ok(());
        }
        let accepted = Event::FleetSettingsAccepted {
            settings: settings.clone(),
            path,
        };
        for _ in 0..RACES_MAX {
            let known = self.book.fleet().settings == settings;
            if known || self.append_fleet(accepted.clone()).await? {
                self.offered = Some(settings);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Journals that the budget is spent, or that a stream is damaged; both page. If another controller is faster, this
    /// finds it done in the next round.
    pub(super) async fn tell_fleet_news(&mut self) -> Result<(), ControllerError> {
        if self.settings.scope != Scope::Files {
            return Ok(());
        }
        for _ in 0..NEWS_MAX {
            let Some(news) = self.book.fleet().news() else {
                break;
            };
            if !self.append_fleet(news).await? {
                break;
            }
        }
        Ok(())
    }

    /// Returns true if a step that was just journaled may be sent. Another controller may have journaled a revert right
    /// before it. Reverts do not write to `@fleet`, so the append could not notice. Every entry before the step is read
    /// here; a revert after it did not count when the step was taken.
    pub(super) async fn step_stands(&mut self) -> Result<bool, ControllerError> {
        if self.book.fleet().settings.failure_budget.is_none() {
            return Ok(true);
        }
        self.refresh().await?;
        Ok(self.journal_trouble.is_none() && self.book.fleet().budget_spent().is_none())
    }

    /// Notes that a step is not sent: it is abandoned, and decided again when the fleet goes on.
    pub(super) fn take_back_unsent(&mut self, name: &CutoverName, order: Option<&Order>) {
        let Some(order) = order else {
            return;
        };
        let mut zones: BTreeMap<ZoneId, Vec<usize>> = BTreeMap::new();
        for part in &order.parts {
            let groups = zones.entry(part.image.zone.clone()).or_default();
            groups.push(part.group);
        }
        for (zone, groups) in zones {
            let outcome = WriteOutcome {
                cutover: name.clone(),
                groups: groups.len(),
                reverted_in: None,
                event: Event::WeightChangeFailed {
                    write_id: order.write_id.clone(),
                    zone,
                    groups,
                    class: FailureClass::NotSent,
                    message: "the failure budget was spent at the same moment".to_owned(),
                },
            };
            self.note_outcome(outcome);
        }
    }

    /// Appends an event to `@fleet`. Returns true if the journal took it.
    async fn append_fleet(&mut self, event: Event) -> Result<bool, ControllerError> {
        let now = self.now();
        let append_id = self.book.next_append_id();
        let fact = [(fleet::stream(), event)];
        let written = self.book.append_facts(now, &fact, append_id).await;
        if matches!(written, Err(JournalError::Conflict { .. })) {
            self.refresh().await?;
            return Ok(false);
        }
        let done = written.is_ok();
        self.journal_answered(written)?;
        Ok(done)
    }

    /// The cutovers that may go on because another one has ended or somebody wrote to `@fleet`. Of those that wait, no
    /// more than there are free slots, so that hundreds of them are not decided each time one ends.
    pub(super) fn freed(&mut self) -> BTreeSet<CutoverName> {
        if !self.book.take_fleet_news() {
            return BTreeSet::new();
        }
        let (fleet, now) = (self.book.fleet(), self.now());
        let slots = fleet.free_slots();
        let mut freed = BTreeSet::new();
        let mut starts = 0;
        for state in self.states() {
            if state.phase.is_final() || state.phase == Phase::Reverting {
                continue;
            }
            if state.phase == Phase::Waiting {
                if starts >= slots || !fleet.holds(state, now).is_empty() {
                    continue;
                }
                starts += 1;
            }
            freed.insert(state.name.clone());
        }
        freed
    }

    /// The recipients to which a page, or the end of one, is not delivered yet, by their channels' ids.
    pub fn owed(&self) -> BTreeSet<String> {
        let owed = self.channels.owed().into_iter();
        owed.map(str::to_owned).collect()
    }

    /// The channels that may be told of a stream. For the fleet also those of all plans: the plans of damaged cutovers
    /// are among them.
    fn channels_of(&self, stream: &CutoverName) -> Vec<Channel> {
        if !fleet::is_fleet(stream) {
            let state = self.book.state(stream);
            return recipients(state.and_then(|state| state.plan().notify.as_ref()));
        }
        let mut channels = recipients(self.book.fleet().settings.notify.as_ref());
        for state in self.book.states() {
            if let Some(notify) = &state.plan().notify {
                channels.extend(notify.all());
            }
        }
        channels
    }

    /// Queues the notices for channels. Only in a round, which first journals news about the fleet.
    pub(super) fn send_notices(&mut self) {
        let mut notices = self.book.take_notices();
        let now = self.now();
        notices.retain(|(channel, notice)| {
            let late = now.duration_since(notice.entry.at) > SETTLED_TOLD_WITHIN;
            let commands = matches!(channel.via, Via::Command { .. });
            notice.pages || !(late && commands)
        });
        self.channels.take(notices);
        self.pass_notices_on();
    }

    /// Starts the deliveries to channels that are due.
    pub(super) fn pass_notices_on(&mut self) {
        let mut streams = BTreeMap::new();
        for stream in self.channels.waiting() {
            let mine = if fleet::is_fleet(&stream) {
                self.settings.scope == Scope::Files
            } else {
                self.is_mine(&stream)
            };
            if mine {
                let channels = self.channels_of(&stream);
                let ids = channels.iter().map(Channel::id).collect();
                streams.insert(stream, ids);
            }
        }
        self.channels.send(&streams);
    }
}

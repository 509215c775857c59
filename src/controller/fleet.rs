//! What a round does for the fleet as a whole: its limits, its news, its pages, and who may go on because of it.

use std::collections::{BTreeMap, BTreeSet};

use super::perform::Outcome;
use super::{Controller, ControllerError, Scope};
use crate::engine::decide::Order;
use crate::engine::event::{Envelope, Event, FailureClass};
use crate::engine::fleet;
use crate::engine::notify::{Channel, Notify};
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::JournalError;

/// How often an append to `@fleet` is tried again after somebody else was faster, in one round (RULES F1).
const RACES_MAX: usize = 5;

/// How many pieces of news about the fleet are told in one round: more than there are causes that many can have at once.
const NEWS_MAX: usize = 8;

impl Controller {
    /// Journals the limits of the fleet's file where they changed: before anything starts that they may forbid, and after
    /// everything that is known to go back.
    pub(super) async fn take_limits(&mut self) -> Result<(), ControllerError> {
        if self.settings.scope != Scope::Files {
            return Ok(());
        }
        // Only a file that changed under this process is news: two controllers with two files would take turns.
        let file = self.outside.files.as_ref().and_then(|files| files.fleet());
        let Some((path, settings)) = file.filter(|(_, now)| self.offered.as_ref() != Some(now))
        else {
            return Ok(());
        };
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

    /// Journals that the budget is spent, or that many are held by one cause, which pages. Whoever loses the race finds it
    /// done in the next round.
    pub(super) async fn tell_fleet_news(&mut self) -> Result<(), ControllerError> {
        for _ in 0..NEWS_MAX {
            let news = self.book.fleet().news();
            let Some(news) = news.filter(|_| self.settings.scope == Scope::Files) else {
                break;
            };
            if !self.append_fleet(news).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether a step that was just journaled may be sent. A revert of another controller may have been journaled right
    /// before it, and reverts do not write to `@fleet`, so the append could not tell. One of the two sees the other: what
    /// is before the step in the journal is read here, and what comes after it was not before it.
    pub(super) async fn step_stands(&mut self) -> Result<bool, ControllerError> {
        if self.book.fleet().settings.failure_budget.is_none() {
            return Ok(true);
        }
        self.refresh().await?;
        Ok(self.journal_trouble.is_none() && self.book.fleet().budget_spent().is_none())
    }

    /// Notes that a step is not sent: it is given up, and decided afresh when the fleet goes on.
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
            let outcome = Outcome {
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

    /// Appends to `@fleet`; whether it was done.
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

    /// The cutovers that may start now that somebody else has ended or the fleet was spoken to: no more than there are
    /// slots, so that hundreds that wait are not looked at for each that ends.
    pub(super) fn freed(&mut self) -> BTreeSet<CutoverName> {
        if !self.book.take_fleet_news() {
            return BTreeSet::new();
        }
        let (fleet, now) = (self.book.fleet(), self.now());
        let slots = fleet.free_slots();
        let free = |state: &State| fleet.holds(state, now).is_empty();
        let mut freed = BTreeSet::new();
        let mut starts = 0;
        for state in self.states() {
            let waits = state.phase == Phase::Waiting;
            let moves = !state.phase.is_final() && state.phase != Phase::Reverting;
            if (moves && !waits) || (waits && starts < slots && free(state)) {
                starts += usize::from(waits);
                freed.insert(state.name.clone());
            }
        }
        freed
    }

    /// Whether an entry pages, and is not known to have been delivered.
    pub(super) fn is_undelivered(&self, stream: &CutoverName, seq: u64) -> bool {
        if fleet::is_fleet(stream) {
            return self.book.fleet().pages.contains_key(&seq);
        }
        let state = self.book.state(stream);
        state.is_some_and(|state| state.pages.contains_key(&seq))
    }

    /// Whether the fleet pages for an entry, and reaches everybody whom its plan names: of one cause one page is enough.
    fn is_paged_for(&self, stream: &CutoverName, seq: u64) -> bool {
        let told = self.book.fleet().paged_by(stream, seq);
        let wanted = self.notify(stream);
        told.is_some_and(|told| told.iter().all(|entry| self.reaches(*entry, wanted)))
    }

    /// Whether whom an entry of `@fleet` is told to are also those.
    fn reaches(&self, entry: u64, wanted: Option<&Notify>) -> bool {
        let mut told = self.told_of(entry);
        wanted.is_none() || told.any(|notify| Some(notify) == wanted)
    }

    /// Whom an entry of `@fleet` is told to: those whom the fleet's file names, and those of the cutovers that it is about.
    fn told_of(&self, entry: u64) -> impl Iterator<Item = &Notify> {
        let fleet = self.book.fleet();
        let held = fleet.held_by(entry).filter_map(|name| self.notify(name));
        fleet.settings.notify.iter().chain(held)
    }

    /// The command that pages what concerns a stream, if one does.
    fn command(&self, stream: &CutoverName) -> Option<&[String]> {
        let command = self.notify(stream)?.command.as_slice();
        (!command.is_empty()).then_some(command)
    }

    /// Who is told about a stream.
    fn notify(&self, stream: &CutoverName) -> Option<&Notify> {
        if fleet::is_fleet(stream) {
            return self.book.fleet().settings.notify.as_ref();
        }
        self.book.state(stream)?.plan().notify.as_ref()
    }

    /// Whether a page that the pager has delivered is delivered altogether. A command's word is enough; where there is none,
    /// the channels must have it too.
    pub(super) fn is_told(&self, stream: &CutoverName, seq: u64) -> bool {
        self.command(stream).is_some()
            || self.is_paged_for(stream, seq)
            || self.couriers.has_told(stream, seq)
    }

    /// Whether a page that waited for its channels waits no more.
    pub(super) fn has_told_pages(&self) -> bool {
        let mut delivered = self.delivered.iter();
        delivered.any(|(stream, seq)| self.is_told(stream, *seq))
    }

    /// Hands what pages to the pager. Only in a round, which tells first what concerns many.
    pub(super) fn send_pages(&mut self) {
        self.see_to_pages(true);
    }

    /// Notes what the pager has delivered.
    pub(super) fn note_delivered(&mut self) {
        self.see_to_pages(false);
    }

    fn see_to_pages(&mut self, send: bool) {
        let paging = self
            .states()
            .into_iter()
            .map(|state| (&state.name, &state.pages));
        let mut paging: Vec<(CutoverName, BTreeMap<u64, Envelope>)> = paging
            .filter(|(_, pages)| !pages.is_empty())
            .map(|(name, pages)| (name.clone(), pages.clone()))
            .collect();
        let fleets = &self.book.fleet().pages;
        if self.settings.scope == Scope::Files && !fleets.is_empty() {
            paging.push((fleet::stream(), fleets.clone()));
        }
        for (stream, pages) in paging {
            for entry in pages.into_values() {
                self.see_to_page(&stream, &entry, send);
            }
        }
    }

    /// Hands a page to the pager, until it is known to be delivered.
    ///
    /// Where the fleet pages for it, its command gets that entry, once for all who have the same command. Another
    /// controller's word that the fleet's page was sent says nothing about it: that one may look after other plans.
    fn see_to_page(&mut self, stream: &CutoverName, entry: &Envelope, send: bool) {
        let page = (stream.clone(), entry.seq);
        // These wait for a channel, and are not told to the log and the command again.
        if self.delivered.contains(&page) {
            return;
        }
        let fleet = self.book.fleet();
        let told = self.is_paged_for(stream, entry.seq);
        let told = told.then(|| fleet.paged_by(stream, entry.seq)).flatten();
        let told = told.into_iter().flatten();
        let mut entries: Vec<Envelope> = told.filter_map(|seq| fleet.told(*seq)).cloned().collect();
        if entries.is_empty() {
            entries.push(entry.clone());
        }
        let command = self.command(stream).map(<[String]>::to_vec);
        let mut delivered = true;
        for entry in &entries {
            delivered &= self.pager.deliver(entry, command.as_deref(), send);
        }
        if delivered {
            self.delivered.push(page);
        }
    }

    /// The channels that may be told of a stream; of the fleet also those of its plans, for what it tells in their stead.
    fn channels(&self, stream: &CutoverName) -> impl Iterator<Item = &Channel> {
        let plans = fleet::is_fleet(stream).then(|| self.book.states());
        let plans = plans.into_iter().flatten();
        let plans = plans.filter_map(|state| state.plan().notify.as_ref());
        let all = self.notify(stream).into_iter().chain(plans);
        all.flat_map(|notify| &notify.channels)
    }

    /// Hands what channels are to be told to the couriers. Only in a round, which tells first what concerns many.
    pub(super) fn send_notices(&mut self) {
        let mut notices = self.book.take_notices();
        notices.retain(|(_, notice)| {
            let entry = &notice.entry;
            !(notice.pages && self.is_paged_for(&entry.cutover, entry.seq))
        });
        self.couriers.take(notices);
        self.pass_notices_on();
    }

    /// Has the couriers go on with what they have.
    pub(super) fn pass_notices_on(&mut self) {
        let mut streams = BTreeMap::new();
        for stream in self.couriers.waiting() {
            let mine = if fleet::is_fleet(&stream) {
                self.settings.scope == Scope::Files
            } else {
                self.is_mine(&stream)
            };
            if mine {
                let ids = self.channels(&stream).map(Channel::id).collect();
                streams.insert(stream, ids);
            }
        }
        self.couriers.send(&streams);
    }
}

//! The part of a round for the fleet as a whole: its limits, its news, its pages, and the cutovers that may go on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::Controller;
use super::outside::{ControllerError, Scope};
use super::queues::WriteOutcome;
use crate::engine::decide::Order;
use crate::engine::event::{Envelope, Event, FailureClass};
use crate::engine::fleet;
use crate::engine::notify::{Channel, Notify};
use crate::engine::paged::Settled;
use crate::engine::state::Phase;
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::JournalError;

/// The most races that an append to `@fleet` may lose in one round (semantics F1).
const RACES_MAX: usize = 5;

/// How long after the end of a page a command is still told of it. An older version told commands only of pages, and
/// may have left ends that are years old.
const SETTLED_TOLD_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// The most news about the fleet that is journaled in one round: more than the causes that many cutovers can share at
/// once.
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

    /// Journals that the budget is spent, or that one cause holds many cutovers; both page. If another controller is
    /// faster, this finds it done in the next round.
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

    /// Returns true if an entry pages, and the page is not known to have been delivered.
    pub(super) fn is_undelivered(&self, stream: &CutoverName, seq: u64) -> bool {
        if fleet::is_fleet(stream) {
            return self.book.fleet().pages.contains_key(&seq);
        }
        let state = self.book.state(stream);
        state.is_some_and(|state| state.pages.contains_key(&seq))
    }

    /// Returns true if the journal does not know yet that a page, or the end of one, was delivered.
    pub(super) fn is_unrecorded(&self, stream: &CutoverName, seq: u64) -> bool {
        let settled = if fleet::is_fleet(stream) {
            self.book.fleet().settled.contains_key(&seq)
        } else {
            let state = self.book.state(stream);
            state.is_some_and(|state| state.settled.contains_key(&seq))
        };
        settled || self.is_undelivered(stream, seq)
    }

    /// Returns true if a page of the fleet stands for an entry and reaches all recipients of its plan: one page for one
    /// cause is enough.
    fn is_paged_for(&self, stream: &CutoverName, seq: u64) -> bool {
        let Some(entries) = self.book.fleet().paged_by(stream, seq) else {
            return false;
        };
        let Some(wanted) = self.notify(stream) else {
            return true;
        };
        entries.iter().all(|entry| self.reaches(*entry, wanted))
    }

    /// Returns true if an entry of `@fleet` is told to these recipients.
    fn reaches(&self, entry: u64, wanted: &Notify) -> bool {
        let mut told = self.told_of(entry);
        told.any(|notify| notify == wanted)
    }

    /// The recipients of an entry of `@fleet`: those of the fleet's file, and those of the cutovers that it is about.
    fn told_of(&self, entry: u64) -> impl Iterator<Item = &Notify> {
        let fleet = self.book.fleet();
        let held = fleet.held_by(entry).filter_map(|name| self.notify(name));
        fleet.settings.notify.iter().chain(held)
    }

    /// The command that is called for pages of a stream, if there is one.
    fn command(&self, stream: &CutoverName) -> Option<&[String]> {
        let command = self.notify(stream)?.command.as_slice();
        if command.is_empty() {
            return None;
        }
        Some(command)
    }

    /// The commands that are called for the page of an entry. If `@fleet` tells of a damaged cutover, the command of
    /// its plan is called too.
    fn commands(&self, stream: &CutoverName, seq: u64) -> BTreeSet<&[String]> {
        let mut commands: BTreeSet<&[String]> = self.command(stream).into_iter().collect();
        if fleet::is_fleet(stream)
            && let Some(damaged) = self.book.fleet().damage_told(seq)
        {
            commands.extend(self.command(damaged));
        }
        commands
    }

    /// The recipients of a stream.
    fn notify(&self, stream: &CutoverName) -> Option<&Notify> {
        if fleet::is_fleet(stream) {
            return self.book.fleet().settings.notify.as_ref();
        }
        self.book.state(stream)?.plan().notify.as_ref()
    }

    /// Returns true if a page that the pager has delivered needs nothing more. A command is enough; without one, all
    /// channels must have it too.
    pub(super) fn is_told(&self, stream: &CutoverName, seq: u64) -> bool {
        !self.commands(stream, seq).is_empty()
            || self.is_paged_for(stream, seq)
            || self.channels.has_told(stream, seq)
    }

    /// The event for a page, or the end of one, that was delivered.
    pub(super) fn page_sent(&self, page: &(CutoverName, u64)) -> Event {
        let (stream, seq) = page;
        Event::PageSent {
            of: *seq,
            logged_only: self.is_undelivered(stream, *seq) && self.is_logged_only(page),
            skipped: self.channels.skipped(page),
        }
    }

    /// Returns true if a page went only to the log.
    fn is_logged_only(&self, page: &(CutoverName, u64)) -> bool {
        let (stream, seq) = page;
        if self.command(stream).is_some() {
            return false;
        }
        if self.channels_of(stream).is_empty() {
            return true;
        }
        // If the fleet pages for it, the fleet's page goes to the channels.
        let tells = self.outside.notifier.has_channels();
        tells && !self.is_paged_for(stream, *seq) && !self.channels.wants(page)
    }

    /// Returns true if a page that waited for its channels is now delivered.
    pub(super) fn has_told_pages(&self) -> bool {
        let mut delivered = self.delivered.iter();
        delivered.any(|(stream, seq)| self.is_told(stream, *seq))
    }

    /// Hands pages to the pager. Only in a round, which first journals news that concern many cutovers.
    pub(super) fn send_pages(&mut self) {
        self.see_to_pages(true);
    }

    /// Notes the pages that the pager has delivered.
    pub(super) fn note_delivered(&mut self) {
        self.see_to_pages(false);
    }

    fn see_to_pages(&mut self, send: bool) {
        let send = send && !self.settings.calls_nothing;
        for (stream, pages) in self.pages() {
            for entry in pages.into_values() {
                self.see_to_page(&stream, &entry, send);
            }
        }
        for (stream, settled) in self.settled() {
            self.see_to_settled(&stream, &settled, send);
        }
    }

    /// The entries of each stream that page and whose pages are not known to be delivered.
    fn pages(&self) -> Vec<(CutoverName, BTreeMap<u64, Envelope>)> {
        let mut pages = Vec::new();
        for state in self.states() {
            if !state.pages.is_empty() && !self.book.is_damaged(&state.name) {
                pages.push((state.name.clone(), state.pages.clone()));
            }
        }
        let fleets = &self.book.fleet().pages;
        if self.settings.scope == Scope::Files && !fleets.is_empty() {
            pages.push((fleet::stream(), fleets.clone()));
        }
        pages
    }

    /// The entries that end a page and that a command is to be told of. An entry that pages itself is told as a page.
    fn settled(&self) -> Vec<(CutoverName, Settled)> {
        let now = self.now();
        let mut all: Vec<(CutoverName, &Settled)> = Vec::new();
        for state in self.states() {
            if self.book.is_damaged(&state.name) {
                continue;
            }
            let own = state.settled.values();
            all.extend(own.map(|settled| (state.name.clone(), settled)));
        }
        if self.settings.scope == Scope::Files {
            let own = self.book.fleet().settled.values();
            all.extend(own.map(|settled| (fleet::stream(), settled)));
        }
        let mut due = Vec::new();
        for (stream, settled) in all {
            let entry = &settled.entry;
            let late = now.duration_since(entry.at) > SETTLED_TOLD_WITHIN;
            if !late && !self.is_undelivered(&stream, entry.seq) {
                due.push((stream, settled.clone()));
            }
        }
        due
    }

    /// Hands an entry that ends a page to the command that got the page, until it is known to be delivered.
    fn see_to_settled(&mut self, stream: &CutoverName, settled: &Settled, send: bool) {
        let page = (stream.clone(), settled.entry.seq);
        let Some(command) = self.command(stream).map(<[String]>::to_vec) else {
            return;
        };
        if self.delivered.contains(&page) {
            return;
        }
        let (entry, of) = (&settled.entry, settled.of.as_slice());
        if self.pager.deliver(entry, of, Some(&command), send) {
            self.delivered.push(page);
        }
    }

    /// The recipients to which a page, or the end of one, is not delivered yet: channels by name, commands by program.
    pub fn owed(&self) -> BTreeSet<String> {
        let channels = self.channels.owed().into_iter();
        let mut owed: BTreeSet<String> = channels.map(str::to_owned).collect();
        let mut told: Vec<(CutoverName, u64)> = Vec::new();
        for (stream, pages) in self.pages() {
            told.extend(pages.into_keys().map(|seq| (stream.clone(), seq)));
        }
        for (stream, settled) in self.settled() {
            told.push((stream, settled.entry.seq));
        }
        for page in told {
            let program = self.command(&page.0).and_then(<[String]>::first);
            if let Some(program) = program
                && !self.delivered.contains(&page)
            {
                owed.insert(format!("command {program}"));
            }
        }
        owed
    }

    /// Hands a page to the pager, until it is known to be delivered.
    ///
    /// If the fleet pages for it, its command gets the fleet's entry, once for all cutovers with the same command. The
    /// journal's record that another controller sent the fleet's page does not count: that one may look after other
    /// plans.
    fn see_to_page(&mut self, stream: &CutoverName, entry: &Envelope, send: bool) {
        let page = (stream.clone(), entry.seq);
        // These wait for a channel; the log and the command are not told again.
        if self.delivered.contains(&page) {
            return;
        }
        let fleet = self.book.fleet();
        let mut entries: Vec<Envelope> = Vec::new();
        if self.is_paged_for(stream, entry.seq) {
            for seq in fleet.paged_by(stream, entry.seq).into_iter().flatten() {
                entries.extend(fleet.told(*seq).cloned());
            }
        }
        if entries.is_empty() {
            entries.push(entry.clone());
        }
        let mut commands: Vec<Option<Vec<String>>> = Vec::new();
        for command in self.commands(stream, entry.seq) {
            commands.push(Some(command.to_vec()));
        }
        if commands.is_empty() {
            commands.push(None);
        }
        let mut delivered = true;
        for entry in &entries {
            for command in &commands {
                delivered &= self.pager.deliver(entry, &[], command.as_deref(), send);
            }
        }
        if delivered {
            self.delivered.push(page);
        }
    }

    /// The channels that may be told of a stream. For the fleet also those of all plans, because its pages stand for
    /// theirs.
    fn channels_of(&self, stream: &CutoverName) -> Vec<&Channel> {
        let mut channels = Vec::new();
        if let Some(notify) = self.notify(stream) {
            channels.extend(&notify.channels);
        }
        if fleet::is_fleet(stream) {
            for state in self.book.states() {
                if let Some(notify) = &state.plan().notify {
                    channels.extend(&notify.channels);
                }
            }
        }
        channels
    }

    /// Queues the notices for channels. Only in a round, which first journals news that concern many cutovers.
    pub(super) fn send_notices(&mut self) {
        let mut notices = self.book.take_notices();
        notices.retain(|(_, notice)| {
            let entry = &notice.entry;
            !(notice.pages && self.is_paged_for(&entry.cutover, entry.seq))
        });
        for (_, notice) in &notices {
            let entry = &notice.entry;
            if notice.pages && self.is_undelivered(&entry.cutover, entry.seq) {
                self.channels.expect(&entry.cutover, entry.seq);
            }
        }
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
                let channels = self.channels_of(&stream).into_iter();
                let ids = channels.map(Channel::id).collect();
                streams.insert(stream, ids);
            }
        }
        self.channels.send(&streams);
    }
}

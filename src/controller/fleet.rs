//! What a round does for the fleet as a whole: its limits, its news, its pages, and who may go on because of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::perform::Outcome;
use super::{Controller, ControllerError, Scope};
use crate::engine::decide::Order;
use crate::engine::event::{Envelope, Event, FailureClass};
use crate::engine::fleet;
use crate::engine::notify::{Channel, Notify};
use crate::engine::paged::Settled;
use crate::engine::state::{Phase, State};
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::JournalError;

/// How often an append to `@fleet` is tried again after somebody else was faster, in one round (RULES F1).
const RACES_MAX: usize = 5;

/// How long after it something that is over is still told to a command that has not been told. A program of a version that
/// told commands of pages only leaves those of years.
const SETTLED_TOLD_WITHIN: SignedDuration = SignedDuration::from_hours(24);

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

    /// Whether the journal is still to know that a page, or the end of one, was delivered.
    pub(super) fn is_unrecorded(&self, stream: &CutoverName, seq: u64) -> bool {
        let settled = if fleet::is_fleet(stream) {
            self.book.fleet().settled.contains_key(&seq)
        } else {
            let state = self.book.state(stream);
            state.is_some_and(|state| state.settled.contains_key(&seq))
        };
        settled || self.is_undelivered(stream, seq)
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

    /// The commands that page an entry. Of a damaged cutover `@fleet` tells, to the command of its plan too.
    fn commands(&self, stream: &CutoverName, seq: u64) -> BTreeSet<&[String]> {
        let mut commands: BTreeSet<&[String]> = self.command(stream).into_iter().collect();
        if fleet::is_fleet(stream)
            && let Some(damaged) = self.book.fleet().damage_told(seq)
        {
            commands.extend(self.command(damaged));
        }
        commands
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
        !self.commands(stream, seq).is_empty()
            || self.is_paged_for(stream, seq)
            || self.couriers.has_told(stream, seq)
    }

    /// What the journal is to know of a page that was delivered, or of the end of one.
    pub(super) fn page_sent(&self, page: &(CutoverName, u64)) -> Event {
        let (stream, seq) = page;
        Event::PageSent {
            of: *seq,
            logged_only: self.is_undelivered(stream, *seq) && self.is_logged_only(page),
            skipped: self.couriers.skipped(page),
        }
    }

    /// Whether nobody but the log is told of a page.
    fn is_logged_only(&self, page: &(CutoverName, u64)) -> bool {
        let (stream, seq) = page;
        if self.command(stream).is_some() {
            return false;
        }
        if self.channels(stream).next().is_none() {
            return true;
        }
        // One that the fleet pages for has channels that the fleet's page goes to.
        let tells = self.outside.notifier.has_channels();
        tells && !self.is_paged_for(stream, *seq) && !self.couriers.wants(page)
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

    /// The entries that page and whose pages are not known to be delivered.
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

    /// The entries that settle what paged, and of which a command is to be told. One that pages itself is told as such.
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

    /// Hands an entry that settles what paged to the command that got the page, until it is known to be delivered.
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

    /// Whom a page, or the end of one, could not be delivered to so far: channels by their names, commands by their program.
    pub fn owed(&self) -> BTreeSet<String> {
        let channels = self.couriers.owed().into_iter();
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
        let commands = self.commands(stream, entry.seq).into_iter();
        let mut commands: Vec<Option<Vec<String>>> =
            commands.map(|command| Some(command.to_vec())).collect();
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
        for (_, notice) in &notices {
            let entry = &notice.entry;
            if notice.pages && self.is_undelivered(&entry.cutover, entry.seq) {
                self.couriers.expect(&entry.cutover, entry.seq);
            }
        }
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

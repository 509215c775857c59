//! The journal as this controller has read and folded it, and appending to it.

mod appends;
mod drafts;
mod shadows;
mod unjournaled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::event::{Envelope, Event};
use crate::engine::fleet::{self, Fleet};
use crate::engine::ledger::{Ledger, Took};
use crate::engine::notify::{Channel, News, Notice, Standing, Via, recipients};
use crate::engine::state::{Phase, State};
use crate::engine::units::{ControllerId, CutoverName};
use crate::ports::{Journal, JournalError, Position};

pub(super) use drafts::{Draft, groups};
use unjournaled::UnjournaledRevert;

/// Longest time for an append, or for a read after the first one. After that the journal counts as down (semantics F2).
const APPEND_WITHIN: Duration = Duration::from_secs(2);

/// Longest time for the first read. It reads the whole journal, and no gate is armed before it is done.
const CATCH_UP_WITHIN: Duration = Duration::from_mins(1);

/// The first characters of the actor of entries that controllers write.
const CONTROLLER: &str = "controller ";

/// Events that are true whatever else was written, each with its cutover. They are appended together.
pub(super) type Facts = Vec<(CutoverName, Event)>;

/// The journal as this controller has read and folded it.
pub(super) struct Book {
    journal: Arc<dyn Journal>,
    actor: String,
    position: Position,
    /// Why the last append failed; `None` once the journal has been read again. Without this, each cutover of a round
    /// would wait 2 s for a journal that hangs, and the last revert would wait for all of them.
    down: Option<String>,
    /// The fold of all entries that were read.
    ledger: Ledger,
    /// The time, cutover and actor of the first entry, which identify this journal. `None` while the journal is empty.
    journal_id: Option<String>,
    /// Sequence number of the last entry of `@fleet` that somebody else wrote; 0 if there is none.
    fleet_by_others: u64,
    /// True if since the last [`Book::take_fleet_news`] something happened that may let a cutover go on that waits for
    /// the fleet.
    fleet_news: bool,
    /// The position of each cutover in the order of their first entries.
    first: BTreeMap<CutoverName, u64>,
    /// The cutovers that revert while the journal is down, with their states in memory.
    unjournaled: BTreeMap<CutoverName, UnjournaledRevert>,
    /// The number of entries folded so far.
    folded: u64,
    /// Cutovers with a new entry by a person since the last [`Book::take_foreign`].
    foreign: BTreeSet<CutoverName>,
    /// Cutovers with a new entry by a person or another controller since the last [`Book::take_strangers`].
    strangers: BTreeSet<CutoverName>,
    /// Sequence number of the last entry of each stream that another controller wrote.
    rivals: BTreeMap<CutoverName, u64>,
    /// The streams that were found damaged since the last [`Book::take_damaged`].
    damaged: BTreeSet<CutoverName>,
    appends: u64,
    /// Entries folded since the last [`Book::take_news`], for the log.
    news: Vec<Envelope>,
    /// Notices for channels about entries folded since the last [`Book::take_notices`]; `None` if none are kept.
    notices: Option<Vec<(Channel, Arc<Notice>)>>,
    /// The entries that by the journal of an older version were paged to the log and the command.
    paged_before: BTreeSet<(CutoverName, u64)>,
}

impl Book {
    pub(super) fn new(journal: Arc<dyn Journal>, me: &ControllerId) -> Self {
        Self {
            journal,
            actor: format!("{CONTROLLER}{me}"),
            position: Position::default(),
            down: None,
            ledger: Ledger::default(),
            journal_id: None,
            fleet_by_others: 0,
            fleet_news: false,
            first: BTreeMap::new(),
            unjournaled: BTreeMap::new(),
            folded: 0,
            foreign: BTreeSet::new(),
            strangers: BTreeSet::new(),
            rivals: BTreeMap::new(),
            damaged: BTreeSet::new(),
            appends: 0,
            news: Vec::new(),
            notices: None,
            paged_before: BTreeSet::new(),
        }
    }

    /// Begins to keep notices for [`Book::take_notices`].
    pub(super) fn keep_notices(&mut self) {
        self.notices.get_or_insert_default();
    }

    /// Returns the notices kept since the last call, in the order of the journal.
    pub(super) fn take_notices(&mut self) -> Vec<(Channel, Arc<Notice>)> {
        let mut notices = match &mut self.notices {
            Some(notices) => std::mem::take(notices),
            None => Vec::new(),
        };
        if !self.paged_before.is_empty() {
            notices.retain(|(channel, notice)| !self.was_paged_before(channel, &notice.entry));
        }
        notices
    }

    /// Returns true if an older version has told a channel of an entry: it noted so for the log and for commands.
    fn was_paged_before(&self, channel: &Channel, entry: &Envelope) -> bool {
        let noted = match channel.via {
            Via::Log {} | Via::Command { .. } => true,
            Via::SlackWebhook { .. }
            | Via::SlackThread { .. }
            | Via::Sns { .. }
            | Via::Webhook { .. } => false,
        };
        let key = (entry.cutover.clone(), entry.seq);
        noted && self.paged_before.contains(&key)
    }

    /// Keeps a notice about an entry for each of these channels that gets it.
    fn note_notices(
        &mut self,
        channels: Vec<Channel>,
        news: News,
        entry: &Envelope,
        pages: bool,
        standing: Option<Standing>,
    ) {
        let Some(notices) = &mut self.notices else {
            return;
        };
        let (notice, channels) = news.notice(entry, pages, standing, channels);
        let notice = Arc::new(notice);
        for channel in channels {
            notices.push((channel, Arc::clone(&notice)));
        }
    }

    /// Reads the entries that have been appended since the last read, by anybody.
    pub(super) async fn refresh(&mut self) -> Result<(), JournalError> {
        let read = self.journal.read_after(self.position);
        let within = if self.position == Position::default() {
            CATCH_UP_WITHIN
        } else {
            APPEND_WITHIN
        };
        let (entries, position) = tokio::time::timeout(within, read)
            .await
            .map_err(|_| JournalError::Down(format!("not read within {} s", within.as_secs())))??;
        self.down = None;
        for entry in &entries {
            self.take(entry);
        }
        self.position = position;
        Ok(())
    }

    /// Returns the text that identifies this journal among all others; empty while the journal has no entry.
    pub(super) fn journal_id(&self) -> &str {
        self.journal_id.as_deref().unwrap_or_default()
    }

    /// Waits until the journal has an entry that was not read yet.
    pub(super) async fn changed(&self) {
        self.journal.changed(self.position).await;
    }

    /// Returns the state of a cutover. If the cutover reverts unjournaled, this is its state in memory. `None` if it is
    /// unknown.
    pub(super) fn state(&self, name: &CutoverName) -> Option<&State> {
        self.unjournaled_state(name)
            .or_else(|| self.journaled(name))
    }

    /// Returns the state by the journal alone, without decisions that are only in memory.
    fn journaled(&self, name: &CutoverName) -> Option<&State> {
        self.ledger.state(name)
    }

    /// Returns the states of all cutovers, each as [`Book::state`] does.
    pub(super) fn states(&self) -> impl Iterator<Item = &State> {
        let journaled = self.ledger.states();
        journaled.map(|state| self.unjournaled_state(&state.name).unwrap_or(state))
    }

    /// Returns true if a stream is damaged. Its cutover keeps the state before the damage, and nothing may be appended
    /// to it.
    pub(super) fn is_damaged(&self, name: &CutoverName) -> bool {
        self.ledger.is_damaged(name)
    }

    /// Returns the streams that were found damaged since the last call.
    pub(super) fn take_damaged(&mut self) -> BTreeSet<CutoverName> {
        std::mem::take(&mut self.damaged)
    }

    /// Returns a number that changes whenever a state changes; `None` while a state may change in memory only.
    pub(super) fn edition(&self) -> Option<u64> {
        self.unjournaled.is_empty().then_some(self.folded)
    }

    /// Returns the fleet, which says how cutovers limit each other.
    pub(super) fn fleet(&self) -> &Fleet {
        self.ledger.fleet()
    }

    /// Returns true if a slot became free, a cutover ended, or somebody wrote to `@fleet` since the last call.
    pub(super) fn take_fleet_news(&mut self) -> bool {
        std::mem::take(&mut self.fleet_news)
    }

    /// Returns true if [`Book::take_fleet_news`] would return true.
    pub(super) fn has_fleet_news(&self) -> bool {
        self.fleet_news
    }

    /// Returns true if `left`'s first entry comes before `right`'s.
    pub(super) fn came_first(&self, left: &CutoverName, right: &CutoverName) -> bool {
        self.first.get(left) < self.first.get(right)
    }

    /// Returns the cutovers with a new entry by a person since the last call. An entry of another controller causes no
    /// round: two controllers that see different things would keep each other busy.
    pub(super) fn take_foreign(&mut self) -> BTreeSet<CutoverName> {
        std::mem::take(&mut self.foreign)
    }

    /// Returns true if a person has written an entry since the last [`Book::take_foreign`].
    pub(super) fn has_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// Returns the cutovers with a new entry by a person or another controller since the last call. The zone writers
    /// need them.
    pub(super) fn take_strangers(&mut self) -> BTreeSet<CutoverName> {
        std::mem::take(&mut self.strangers)
    }

    /// Returns the sequence number of the last entry of a stream that another controller wrote; 0 if there is none.
    pub(super) fn rival_seq(&self, name: &CutoverName) -> u64 {
        self.rivals.get(name).copied().unwrap_or(0)
    }

    /// Returns the entries that are new since the last call, whoever wrote them.
    pub(super) fn take_news(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.news)
    }

    /// Folds an entry, unless it is known already.
    fn take(&mut self, entry: &Envelope) {
        self.journal_id.get_or_insert_with(|| {
            let (at, of, by) = (entry.at, &entry.cutover, &entry.actor);
            format!("{at} with {of}, by {by}")
        });
        if !fleet::is_fleet(&entry.cutover) {
            let order = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
            self.first.entry(entry.cutover.clone()).or_insert(order);
        }
        if let (Event::PageSent { of, .. }, Some(_)) = (&entry.event, &self.notices) {
            self.paged_before.insert((entry.cutover.clone(), *of));
        }
        let news = if self.notices.is_none() {
            News::default()
        } else if fleet::is_fleet(&entry.cutover) {
            News::of_fleet(self.fleet().settles(&entry.event))
        } else {
            News::of(self.ledger.state(&entry.cutover), entry)
        };
        let in_flight = self.ledger.fleet().in_flight();
        match self.ledger.take(entry) {
            Took::Known => return,
            Took::Fleet => {
                self.note_fleets(entry, news);
                return;
            }
            Took::Folded { before } => {
                unjournaled::drop_journaled(&mut self.unjournaled, &entry.cutover);
                self.note_folded(entry, before, in_flight, news);
            }
            Took::Damages => {
                // The decisions of this cutover in memory must no longer reach the journal.
                self.unjournaled.remove(&entry.cutover);
                self.damaged.insert(entry.cutover.clone());
                self.fleet_news = true;
            }
            Took::Behind => {}
        }
        self.folded += 1;
        if entry.actor != self.actor {
            if entry.actor.starts_with(CONTROLLER) {
                self.rivals.insert(entry.cutover.clone(), entry.seq);
            } else {
                self.foreign.insert(entry.cutover.clone());
            }
            self.strangers.insert(entry.cutover.clone());
        }
        self.news.push(entry.clone());
    }

    /// Keeps the notices about an entry of a cutover, and records whether the entry may let another cutover go on that
    /// waits for the fleet.
    fn note_folded(
        &mut self,
        entry: &Envelope,
        before: Option<Phase>,
        in_flight: usize,
        news: News,
    ) {
        let Some(after) = self.ledger.state(&entry.cutover) else {
            return;
        };
        let ended = after.phase.is_final() && before != Some(after.phase);
        self.fleet_news |= ended || self.ledger.fleet().in_flight() < in_flight;
        if self.notices.is_none() {
            return;
        }
        let pages = after.pages.contains(&entry.seq);
        let standing = Standing::of(after);
        let channels = recipients(after.plan().notify.as_ref());
        self.note_notices(channels, news, entry, pages, Some(standing));
    }

    /// The channels that may be told of an entry of `@fleet`: those of the fleet's file, and, if it tells of a damaged
    /// cutover, those of that cutover.
    fn fleets_channels(&self, entry: &Envelope) -> Vec<Channel> {
        let mut channels = recipients(self.fleet().settings.notify.as_ref());
        let damaged = self.fleet().damage_told(entry.seq);
        let damaged = damaged.and_then(|name| self.journaled(name));
        if let Some(notify) = damaged.and_then(|state| state.plan().notify.as_ref()) {
            for channel in notify.all() {
                if !channels.contains(&channel) {
                    channels.push(channel);
                }
            }
        }
        channels
    }

    /// Notes an entry of `@fleet`. An entry that cannot be applied holds steps, and never a revert.
    fn note_fleets(&mut self, entry: &Envelope, news: News) {
        let channels = self.fleets_channels(entry);
        self.note_notices(channels, news, entry, entry.event.pages(), None);
        if entry.actor != self.actor {
            self.fleet_news = true;
            self.fleet_by_others = entry.seq;
        }
        self.news.push(entry.clone());
    }
}

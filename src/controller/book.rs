//! The book: what the journal says about every cutover, folded, and the way to add to it.

mod appends;
mod shadows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::event::Envelope;
use crate::engine::fleet::{self, Fleet};
use crate::engine::hold::HoldReason;
use crate::engine::ledger::{Ledger, Took};
use crate::engine::notify::{Channel, Notice, Notify, Standing, follow_ups, fresh, topics};
use crate::engine::paged::Paged;
use crate::engine::state::{Phase, State};
use crate::engine::units::{ControllerId, CutoverName};
use crate::ports::{Journal, JournalError, Position};

pub(super) use appends::{Draft, groups};
use shadows::Shadow;

/// An append that takes longer means that the journal is down (semantics F2).
const APPEND_WITHIN: Duration = Duration::from_secs(2);

/// The first read is of the whole journal, before which nothing can be guarded; it may take longer.
const CATCH_UP_WITHIN: Duration = Duration::from_mins(1);

/// How the actor of a controller's entries begins.
const CONTROLLER: &str = "controller ";

/// What an entry says that its cutover did not say before.
#[derive(Default)]
struct Tidings {
    /// Why nothing moves, as far as it is new.
    fresh: Vec<HoldReason>,
    /// Holds that are back so soon that they page nobody again.
    again: Vec<HoldReason>,
    /// What is over that people were woken for.
    settles: Vec<Paged>,
}

impl Tidings {
    /// What an entry says after `before`.
    fn of(before: Option<&State>, entry: &Envelope) -> Self {
        Self {
            fresh: fresh(before, entry),
            again: before.map_or_else(Vec::new, |before| before.pages_again(entry)),
            settles: before.map_or_else(Vec::new, |before| before.settles(entry)),
        }
    }
}

/// The folded journal.
pub(super) struct Book {
    journal: Arc<dyn Journal>,
    actor: String,
    position: Position,
    /// Why the last append was not done, until the journal is read again. One that hangs would otherwise cost every
    /// cutover of a round its two seconds, and the last revert would wait for all of them.
    down: Option<String>,
    /// All that was read, folded.
    ledger: Ledger,
    /// What the first entry of all tells this journal by; none while it is empty.
    born: Option<String>,
    /// The last entry of `@fleet` that somebody else wrote.
    fleet_by_others: u64,
    /// Whether somebody who waits for the fleet may go on, since the last [`Book::take_fleet_news`].
    fleet_news: bool,
    /// Where each cutover stands in the order of their first entries.
    first: BTreeMap<CutoverName, u64>,
    /// What goes back while the journal takes nothing: where each stands by what was decided and came of it meanwhile.
    shadows: BTreeMap<CutoverName, Shadow>,
    /// How many entries were folded, ever.
    folded: u64,
    /// Cutovers that a person wrote about since the last [`Book::take_foreign`].
    foreign: BTreeSet<CutoverName>,
    /// Cutovers that anybody else wrote about since the last [`Book::take_strangers`].
    strangers: BTreeSet<CutoverName>,
    /// The last entry of each stream that another controller wrote.
    rivals: BTreeMap<CutoverName, u64>,
    /// The streams that turned out to be damaged since the last [`Book::take_damaged`].
    damaged: BTreeSet<CutoverName>,
    appends: u64,
    /// Entries folded since the last [`Book::take_news`], for the log.
    news: Vec<Envelope>,
    /// What channels are to be told of entries folded since the last [`Book::take_notices`]; none where nobody asks.
    notices: Option<Vec<(Channel, Arc<Notice>)>>,
}

impl Book {
    pub(super) fn new(journal: Arc<dyn Journal>, me: &ControllerId) -> Self {
        Self {
            journal,
            actor: format!("{CONTROLLER}{me}"),
            position: Position::default(),
            down: None,
            ledger: Ledger::default(),
            born: None,
            fleet_by_others: 0,
            fleet_news: false,
            first: BTreeMap::new(),
            shadows: BTreeMap::new(),
            folded: 0,
            foreign: BTreeSet::new(),
            strangers: BTreeSet::new(),
            rivals: BTreeMap::new(),
            damaged: BTreeSet::new(),
            appends: 0,
            news: Vec::new(),
            notices: None,
        }
    }

    /// From now on what channels are to be told is kept for [`Book::take_notices`].
    pub(super) fn keep_notices(&mut self) {
        self.notices.get_or_insert_default();
    }

    /// What channels are to be told, in the order of the journal, since the last call.
    pub(super) fn take_notices(&mut self) -> Vec<(Channel, Arc<Notice>)> {
        self.notices
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Notes whom an entry is to be told to.
    fn note_notices(
        &mut self,
        notify: Option<Notify>,
        tidings: Tidings,
        entry: &Envelope,
        pages: bool,
        standing: Option<Standing>,
    ) {
        let (Some(notices), Some(notify)) = (&mut self.notices, notify) else {
            return;
        };
        let mut topics = topics(&tidings.fresh, entry, pages);
        topics.extend(follow_ups(entry, &tidings.settles, &tidings.again));
        let wanting = notify.channels.into_iter();
        let mut wanting = wanting.filter(|channel| channel.wants(&topics)).peekable();
        if wanting.peek().is_none() {
            return;
        }
        let notice = Arc::new(Notice {
            entry: entry.clone(),
            pages,
            settles: tidings.settles,
            standing,
            test: false,
        });
        notices.extend(wanting.map(|channel| (channel, Arc::clone(&notice))));
    }

    /// Reads what has been appended since the last time, by whomever.
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

    /// What tells this journal from every other one, wherever it lies.
    pub(super) fn born(&self) -> &str {
        self.born.as_deref().unwrap_or_default()
    }

    /// Returns when somebody appended something that has not been read.
    pub(super) async fn changed(&self) {
        self.journal.changed(self.position).await;
    }

    pub(super) fn state(&self, name: &CutoverName) -> Option<&State> {
        self.shadowed(name).or_else(|| self.journaled(name))
    }

    /// As the journal has it, whatever was decided while it was down.
    fn journaled(&self, name: &CutoverName) -> Option<&State> {
        self.ledger.state(name)
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &State> {
        let journaled = self.ledger.states();
        journaled.map(|state| self.shadowed(&state.name).unwrap_or(state))
    }

    /// Whether a stream cannot be followed any further. Its cutover keeps its last good state, and nothing may be appended.
    pub(super) fn is_damaged(&self, name: &CutoverName) -> bool {
        self.ledger.is_damaged(name)
    }

    /// The streams that turned out to be damaged since the last call.
    pub(super) fn take_damaged(&mut self) -> BTreeSet<CutoverName> {
        std::mem::take(&mut self.damaged)
    }

    /// Equal numbers mean that no state has changed in between. None while one may change unseen: in memory only.
    pub(super) fn edition(&self) -> Option<u64> {
        self.shadows.is_empty().then_some(self.folded)
    }

    /// All cutovers, as far as they concern each other.
    pub(super) fn fleet(&self) -> &Fleet {
        self.ledger.fleet()
    }

    /// Whether a slot became free, a cutover ended, or somebody wrote about the fleet since the last call.
    pub(super) fn take_fleet_news(&mut self) -> bool {
        std::mem::take(&mut self.fleet_news)
    }

    /// Whether [`Book::take_fleet_news`] would say so.
    pub(super) fn has_fleet_news(&self) -> bool {
        self.fleet_news
    }

    /// Whether `left`'s first entry stands before `right`'s.
    pub(super) fn came_first(&self, left: &CutoverName, right: &CutoverName) -> bool {
        self.first.get(left) < self.first.get(right)
    }

    /// The cutovers that a person wrote about since the last call. What another controller journals is no reason to look
    /// again at once: two that see different things would keep each other busy.
    pub(super) fn take_foreign(&mut self) -> BTreeSet<CutoverName> {
        std::mem::take(&mut self.foreign)
    }

    /// Whether a person wrote about any cutover since the last [`Book::take_foreign`].
    pub(super) fn has_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// The cutovers that anybody else wrote about since the last call; kept beside the foreign ones, for the writers.
    pub(super) fn take_strangers(&mut self) -> BTreeSet<CutoverName> {
        std::mem::take(&mut self.strangers)
    }

    /// The last entry of a stream that another controller wrote; 0 if none did.
    pub(super) fn rival_seq(&self, name: &CutoverName) -> u64 {
        self.rivals.get(name).copied().unwrap_or(0)
    }

    /// The entries that are new since the last call, by whomever.
    pub(super) fn take_news(&mut self) -> Vec<Envelope> {
        std::mem::take(&mut self.news)
    }

    /// Folds an entry, unless it is known already.
    fn take(&mut self, entry: &Envelope) {
        self.born.get_or_insert_with(|| {
            let (at, of, by) = (entry.at, &entry.cutover, &entry.actor);
            format!("{at} with {of}, by {by}")
        });
        if !fleet::is_fleet(&entry.cutover) {
            let order = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
            self.first.entry(entry.cutover.clone()).or_insert(order);
        }
        let tells = self.notices.is_some();
        let tidings = if tells && fleet::is_fleet(&entry.cutover) {
            Tidings {
                settles: self.fleet().settles(&entry.event),
                ..Tidings::default()
            }
        } else if tells {
            Tidings::of(self.ledger.state(&entry.cutover), entry)
        } else {
            Tidings::default()
        };
        let in_flight = self.ledger.fleet().in_flight();
        match self.ledger.take(entry) {
            Took::Known => return,
            Took::Fleet => {
                self.note_fleets(entry, tidings);
                return;
            }
            Took::Folded { before } => {
                shadows::yield_to(&mut self.shadows, &entry.cutover);
                self.note_folded(entry, before, in_flight, tidings);
            }
            Took::Damages => {
                // Nothing that was decided of it in memory may reach the journal any more.
                self.shadows.remove(&entry.cutover);
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

    /// Notes whom a cutover's entry is to be told to, and whether somebody who waits may go on by it.
    fn note_folded(
        &mut self,
        entry: &Envelope,
        before: Option<Phase>,
        in_flight: usize,
        tidings: Tidings,
    ) {
        let Some(after) = self.ledger.state(&entry.cutover) else {
            return;
        };
        let ended = after.phase.is_final() && before != Some(after.phase);
        self.fleet_news |= ended || self.ledger.fleet().in_flight() < in_flight;
        if self.notices.is_none() {
            return;
        }
        let pages = after.pages.contains_key(&entry.seq);
        let (notify, standing) = (after.plan().notify.clone(), Standing::of(after));
        self.note_notices(notify, tidings, entry, pages, Some(standing));
    }

    /// Who is told of an entry of `@fleet`: those whom the fleet's file names, and those of the cutovers that it stands for.
    fn fleets_notify(&self, entry: &Envelope) -> Option<Notify> {
        let mut notify = self.fleet().settings.notify.clone();
        for name in self.fleet().held_by(entry.seq) {
            let own = self
                .journaled(name)
                .and_then(|state| state.plan().notify.as_ref());
            for channel in own.into_iter().flat_map(|own| &own.channels) {
                let channels = &mut notify.get_or_insert_default().channels;
                if !channels.contains(channel) {
                    channels.push(channel.clone());
                }
            }
        }
        notify
    }

    /// Notes an entry of `@fleet`. One that makes no sense holds steps; it stops nothing from going back.
    fn note_fleets(&mut self, entry: &Envelope, tidings: Tidings) {
        let pages = self.fleet().pages.contains_key(&entry.seq);
        let notify = self.fleets_notify(entry);
        self.note_notices(notify, tidings, entry, pages, None);
        if entry.actor != self.actor {
            self.fleet_news = true;
            self.fleet_by_others = entry.seq;
        }
        self.news.push(entry.clone());
    }
}

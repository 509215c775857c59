//! The book: what the journal says about every cutover, folded, and the way to add to it.

mod appends;
mod shadows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::event::Envelope;
use crate::engine::fleet::{self, Fleet};
use crate::engine::fold;
use crate::engine::hold::HoldReason;
use crate::engine::notify::{Channel, Notice, Notify, Standing, follow_ups, fresh, topics};
use crate::engine::paged::Paged;
use crate::engine::state::State;
use crate::engine::units::{ControllerId, CutoverName};
use crate::ports::{Journal, JournalError, Position};

pub(super) use appends::{Draft, groups};
use shadows::Shadow;

/// An append that takes longer means that the journal is down (RULES F2).
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
    /// Boxed: a state is large, and a map's nodes are half empty.
    states: BTreeMap<CutoverName, Box<Option<State>>>,
    /// What the first entry of all tells this journal by; none while it is empty.
    born: Option<String>,
    /// What all of them, and `@fleet`, amount to.
    fleet: Fleet,
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
            states: BTreeMap::new(),
            born: None,
            fleet: Fleet::default(),
            fleet_by_others: 0,
            fleet_news: false,
            first: BTreeMap::new(),
            shadows: BTreeMap::new(),
            folded: 0,
            foreign: BTreeSet::new(),
            strangers: BTreeSet::new(),
            rivals: BTreeMap::new(),
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
            self.take(entry)?;
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
        self.states.get(name)?.as_ref().as_ref()
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &State> {
        let journaled = self.states.iter();
        journaled.filter_map(|(name, state)| self.shadowed(name).or(state.as_ref().as_ref()))
    }

    /// Equal numbers mean that no state has changed in between. None while one may change unseen: in memory only.
    pub(super) fn edition(&self) -> Option<u64> {
        self.shadows.is_empty().then_some(self.folded)
    }

    /// All cutovers, as far as they concern each other.
    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
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
    fn take(&mut self, entry: &Envelope) -> Result<(), JournalError> {
        self.born.get_or_insert_with(|| {
            let (at, of, by) = (entry.at, &entry.cutover, &entry.actor);
            format!("{at} with {of}, by {by}")
        });
        if fleet::is_fleet(&entry.cutover) {
            self.take_fleets(entry);
            return Ok(());
        }
        let order = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
        self.first.entry(entry.cutover.clone()).or_insert(order);
        let state = self.states.entry(entry.cutover.clone()).or_default();
        let state = state.as_mut();
        if state.as_ref().is_some_and(|state| state.seq >= entry.seq) {
            return Ok(());
        }
        let before = state.as_ref().map(|state| state.phase);
        let tells = self.notices.is_some();
        let tidings = if tells {
            Tidings::of(state.as_ref(), entry)
        } else {
            Tidings::default()
        };
        fold::apply(state, entry).map_err(|error| JournalError::Unusable(error.to_string()))?;
        shadows::yield_to(&mut self.shadows, &entry.cutover);
        self.folded += 1;
        let told = state.as_ref().filter(|_| tells).map(|after| {
            let pages = after.pages.contains_key(&entry.seq);
            (after.plan().notify.clone(), pages, Standing::of(after))
        });
        if let Some(after) = state {
            let in_flight = self.fleet.in_flight();
            self.fleet.note(entry, before, after);
            let ended = after.phase.is_final() && before != Some(after.phase);
            self.fleet_news |= ended || self.fleet.in_flight() < in_flight;
        }
        if let Some((notify, pages, standing)) = told {
            self.note_notices(notify, tidings, entry, pages, Some(standing));
        }
        if entry.actor != self.actor {
            if entry.actor.starts_with(CONTROLLER) {
                self.rivals.insert(entry.cutover.clone(), entry.seq);
            } else {
                self.foreign.insert(entry.cutover.clone());
            }
            self.strangers.insert(entry.cutover.clone());
        }
        self.news.push(entry.clone());
        Ok(())
    }

    /// Who is told of an entry of `@fleet`: those whom the fleet's file names, and those of the cutovers that it stands for.
    fn fleets_notify(&self, entry: &Envelope) -> Option<Notify> {
        let mut notify = self.fleet.settings.notify.clone();
        for name in self.fleet.held_by(entry.seq) {
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

    /// Takes an entry of `@fleet`. One that makes no sense holds steps; it stops nothing from going back.
    fn take_fleets(&mut self, entry: &Envelope) {
        if entry.seq <= self.fleet.seq {
            return;
        }
        let tidings = Tidings {
            settles: self.fleet.settles(&entry.event),
            ..Tidings::default()
        };
        self.fleet.take(entry);
        let pages = self.fleet.pages.contains_key(&entry.seq);
        let notify = self.fleets_notify(entry);
        self.note_notices(notify, tidings, entry, pages, None);
        if entry.actor != self.actor {
            self.fleet_news = true;
            self.fleet_by_others = entry.seq;
        }
        self.news.push(entry.clone());
    }
}

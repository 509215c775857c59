//! The imperative shell: the round, and what carries its decisions out. Knows the ports, not AWS.

pub mod batch;
mod book;
pub mod break_glass;
mod claims;
mod couriers;
mod drift_checks;
pub mod emergency;
mod errands;
mod files;
mod fleet;
mod looks;
mod observe;
mod pager;
mod perform;
mod reading;
mod record;
mod round;
mod run;
mod series;
mod settle;
mod surveys;
mod zone_writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;
use tokio::time::Instant;

use crate::engine::event::Envelope;
use crate::engine::fleet::{Fleet, FleetSettings};
use crate::engine::hold::HoldReason;
use crate::engine::state::State;
use crate::engine::units::{ControllerId, CutoverName};
use crate::ports::{
    BreakGlass, Clock, Dns, Glance, Hooks, Jobs, Journal, JournalError, Notifier, PlanFiles,
    Signals,
};

use book::Book;
use couriers::Couriers;
use errands::Errands;
use observe::{Eyes, Memory};
use pager::Pager;
use perform::Performer;
use record::Facts;
pub use run::Ending;
use series::SeriesMemory;
use surveys::Warnings;
pub use surveys::around_now;

/// What a controller is connected to.
#[derive(Clone)]
pub struct Outside {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Route 53.
    pub dns: Arc<dyn Dns>,
    /// CloudWatch.
    pub signals: Arc<dyn Signals>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Who tells people.
    pub notifier: Arc<dyn Notifier>,
    /// Batch jobs.
    pub jobs: Arc<dyn Jobs>,
    /// What plans have called.
    pub hooks: Arc<dyn Hooks>,
    /// The plan files; none where nobody looks at them (a rollback).
    pub files: Option<Arc<dyn PlanFiles>>,
    /// Where the break-glass files are kept; none where nobody keeps them.
    pub break_glass: Option<Arc<dyn BreakGlass>>,
    /// Puts an entry into words, for the log.
    pub narrate: Arc<dyn Fn(&Envelope) -> String + Send + Sync>,
}

/// How a controller runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This process; a new one at every start.
    pub me: ControllerId,
    /// This machine.
    pub host: String,
    /// This program's version.
    pub version: String,
    /// How often everything is looked at.
    pub interval: Duration,
    /// `run --baseline-as-is`, with its reason.
    pub baseline_as_is: Option<String>,
    /// Which cutovers are looked after.
    pub scope: Scope,
    /// Whether nothing that a plan names is called: no hook, job, command or channel (`rollback --no-commands`). What is due
    /// stays due in the journal, for a controller that may call it.
    pub calls_nothing: bool,
}

/// Which cutovers a controller looks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those of the plan files.
    Files,
    /// These, until each of them is back (or cannot be without a person).
    Rollback(BTreeSet<CutoverName>),
}

/// A controller cannot go on.
#[derive(Debug, Error)]
pub enum ControllerError {
    /// The journal is missing, damaged or of a newer version.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
}

/// Repeats rounds: observe, decide, journal, perform.
pub struct Controller {
    outside: Outside,
    settings: Settings,
    eyes: Eyes,
    book: Book,
    memory: Memory,
    series: SeriesMemory,
    warnings: Warnings,
    performer: Performer,
    pager: Pager,
    couriers: Couriers,
    errands: Errands,
    /// The cutovers whose jobs were looked at since the last round.
    looked: BTreeSet<CutoverName>,
    /// What this process remembers of each cutover between rounds; nothing that a decision could not do without.
    notes: BTreeMap<CutoverName, Note>,
    /// What came of writes since the last time that was journaled.
    outcomes: Facts,
    /// Facts that the journal has not taken yet, each lot with the name of its append.
    unrecorded: Vec<(Facts, String)>,
    /// Pages that were delivered and are not journaled as such yet.
    delivered: Vec<pager::Delivered>,
    /// The files as last looked at.
    watched: files::Watched,
    /// The limits that the fleet's file held when this process last journaled them.
    offered: Option<FleetSettings>,
    break_glass_error: Option<String>,
    /// What the break-glass files say.
    break_glass_stored: Option<break_glass::Changes>,
    /// What the break-glass files were last made of: each cutover under way, and its last entry.
    break_glass_of: BTreeMap<CutoverName, u64>,
    journal_trouble: Option<String>,
    caught_up: bool,
    /// Cutovers whose groups are to be read again in this round: another controller wrote since they were read.
    outdated: BTreeSet<CutoverName>,
    /// Reverts whose read-back waits until every other revert of their zones is sent.
    read_back_later: BTreeSet<CutoverName>,
    /// When the last heartbeat was left.
    beat_at: Option<Instant>,
    /// Something was seen since then.
    beat_owed: bool,
    /// It has done its last round.
    ended: bool,
}

/// What a process remembers of one cutover between rounds.
#[derive(Debug, Clone, Default)]
struct Note {
    /// The last reading at which all gates passed, if the last reading was one.
    passed_at: Option<Timestamp>,
    /// The same moment by the monotonic clock.
    passed_by: Option<Instant>,
    /// When its groups were last read, all of them.
    groups_read_at: Option<Timestamp>,
    /// What another controller had written last when its groups were read.
    groups_read_after: u64,
    /// What it looked like.
    glance: Option<Glance>,
}

impl Controller {
    /// Connects a controller. Nothing is read before the first round.
    pub fn new(outside: Outside, settings: Settings) -> Self {
        let eyes = Eyes {
            dns: Arc::clone(&outside.dns),
            signals: Arc::clone(&outside.signals),
        };
        let performer = Performer::new(Arc::clone(&outside.dns), Arc::clone(&outside.journal));
        let mut book = Book::new(Arc::clone(&outside.journal), &settings.me);
        if outside.notifier.has_channels() && !settings.calls_nothing {
            book.keep_notices();
        }
        let mut errands = Errands::new(
            Arc::clone(&outside.clock),
            Arc::clone(&outside.jobs),
            Arc::clone(&outside.hooks),
            performer.shared(),
        );
        if settings.calls_nothing {
            errands.close();
        }
        Self {
            eyes,
            errands,
            looked: BTreeSet::new(),
            book,
            memory: Memory::default(),
            performer,
            series: SeriesMemory::default(),
            warnings: Warnings::default(),
            pager: Pager::new(Arc::clone(&outside.notifier)),
            couriers: Couriers::new(outside.clone(), settings.me.clone()),
            notes: BTreeMap::new(),
            outcomes: Facts::new(),
            unrecorded: Vec::new(),
            delivered: Vec::new(),
            watched: files::Watched::default(),
            offered: None,
            break_glass_error: None,
            break_glass_stored: None,
            break_glass_of: BTreeMap::new(),
            journal_trouble: None,
            caught_up: false,
            outdated: BTreeSet::new(),
            read_back_later: BTreeSet::new(),
            beat_at: None,
            beat_owed: false,
            ended: false,
            outside,
            settings,
        }
    }

    /// The cutovers that this controller looks after, as they stand.
    pub fn states(&self) -> Vec<&State> {
        self.book
            .states()
            .filter(|state| self.is_mine(&state.name))
            .collect()
    }

    /// The cutovers that this controller looks after whose stream of the journal is damaged.
    pub fn damaged(&self) -> impl Iterator<Item = &CutoverName> {
        let damaged = self.book.fleet().damaged();
        damaged
            .map(|(name, _)| name)
            .filter(|name| self.is_mine(name))
    }

    /// All cutovers of the journal, as far as they concern each other.
    pub fn fleet(&self) -> &Fleet {
        self.book.fleet()
    }

    /// Why a cutover does not move, as of the last round.
    pub fn because(&self, name: &CutoverName) -> &[HoldReason] {
        let glance = self.notes.get(name).and_then(|note| note.glance.as_ref());
        glance.map_or(&[], |glance| glance.because.as_slice())
    }

    fn is_mine(&self, name: &CutoverName) -> bool {
        match &self.settings.scope {
            Scope::Files => self.watched.readings.contains_key(name),
            Scope::Rollback(names) => names.contains(name),
        }
    }

    fn now(&self) -> Timestamp {
        self.outside.clock.now()
    }
}

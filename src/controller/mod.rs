//! The controller: the round, and the parts that carry its decisions out. It knows the ports, not AWS.

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
mod jobs_and_hooks;
mod looks;
mod observe;
mod outside;
mod perform;
mod queues;
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

use jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::fleet::FleetSettings;
use crate::engine::observation::FileReading;
use crate::engine::state::State;
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::{Glance, PlanFilesNow, RecordChange};

use book::{Book, Facts};
use couriers::ChannelQueues;
use errands::Errands;
use observe::{Eyes, Memory};
use perform::Performer;
use series::SeriesMemory;
use surveys::Warnings;

pub use outside::{ControllerError, Ending, Outside, Scope, Settings};
pub use surveys::around_now;

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
    channels: ChannelQueues,
    errands: Errands,
    /// The cutovers whose jobs were read since the last round.
    looked: BTreeSet<CutoverName>,
    /// Facts about each cutover that this process keeps between rounds. Decisions work without them too.
    notes: BTreeMap<CutoverName, Note>,
    /// Results of writes, jobs and hooks that have no append ID yet.
    outcomes: Facts,
    /// Facts that the journal has not accepted yet, in lots that are appended together, each with the ID of its append.
    unrecorded: Vec<(Facts, String)>,
    /// The plan files as last read.
    watched: WatchedPlans,
    /// The limits that the fleet's file had when this process last journaled them; `None` before that.
    offered: Option<FleetSettings>,
    /// Why the break-glass files cannot be written; `None` if the last attempt succeeded.
    break_glass_error: Option<String>,
    /// The contents of the break-glass files as last stored; `None` before this process has stored any.
    break_glass_stored: Option<Changes>,
    /// The cutovers that the break-glass files were last made of, each with the last entry of its stream.
    break_glass_of: BTreeMap<CutoverName, u64>,
    /// Why the journal did not answer when it was last used; `None` if it answered.
    journal_trouble: Option<String>,
    /// True if the log says that the journal is down. After something was written, the log says that it answers again.
    journal_down_told: bool,
    /// True once the journal was read for the first time.
    caught_up: bool,
    /// Cutovers whose groups must be read again in this round, because another controller has written since they were
    /// read.
    outdated: BTreeSet<CutoverName>,
    /// Reverts that are read back only after every other revert in their zones was sent.
    read_back_later: BTreeSet<CutoverName>,
    /// When the last heartbeat was left; `None` before the first one.
    beat_at: Option<Instant>,
    /// True if there was a round since the last heartbeat.
    beat_owed: bool,
    /// True if the last round is done.
    ended: bool,
}

/// Facts about one cutover that a process keeps between rounds.
#[derive(Debug, Clone, Default)]
struct Note {
    /// When the last decision was made, if all gates passed then; otherwise `None`.
    passed_at: Option<Timestamp>,
    /// The time of that decision by the monotonic clock; `None` if a gate did not pass.
    passed_by: Option<Instant>,
    /// When all groups of the cutover were last read; `None` before that.
    groups_read_at: Option<Timestamp>,
    /// Sequence number of the last entry by another controller when the groups were read; 0 if there was none.
    groups_read_after: u64,
    /// The cutover's part of the next heartbeat.
    glance: Option<Glance>,
}

/// The contents of the break-glass files: the changes of each zone, by group.
type Changes = BTreeMap<ZoneId, Vec<Vec<RecordChange>>>;

/// The plan files as last read, by the cutover that each belongs to.
#[derive(Debug, Default)]
struct WatchedPlans {
    readings: BTreeMap<CutoverName, FileReading>,
    /// The files that are refused, and why: they hold no valid plan, and no cutover came from them. The others go on.
    refused: BTreeMap<String, String>,
    /// The files and the [`Book::edition`] that this was made of; `None` if it must be made again in any case.
    made_of: Option<(PlanFilesNow, u64)>,
}

impl Controller {
    /// Creates a controller. Nothing is read before the first round.
    pub fn new(outside: Outside, settings: Settings) -> Self {
        let eyes = Eyes {
            dns: Arc::clone(&outside.dns),
            signals: Arc::clone(&outside.signals),
        };
        let performer = Performer::new(Arc::clone(&outside.dns), Arc::clone(&outside.journal));
        let mut book = Book::new(Arc::clone(&outside.journal), &settings.me);
        if outside.notifier.tells() && !settings.calls_nothing {
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
            channels: ChannelQueues::new(outside.clone(), settings.me.clone()),
            notes: BTreeMap::new(),
            outcomes: Facts::new(),
            unrecorded: Vec::new(),
            watched: WatchedPlans::default(),
            offered: None,
            break_glass_error: None,
            break_glass_stored: None,
            break_glass_of: BTreeMap::new(),
            journal_trouble: None,
            journal_down_told: false,
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

    /// Returns the states of the cutovers that this controller looks after.
    pub fn states(&self) -> Vec<&State> {
        self.book
            .states()
            .filter(|state| self.is_mine(&state.name))
            .collect()
    }

    /// Returns the cutovers that this controller looks after and whose stream is damaged.
    pub fn damaged(&self) -> impl Iterator<Item = &CutoverName> {
        let names = self.book.fleet().damaged().map(|(name, _)| name);
        names.filter(|name| self.is_mine(name))
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

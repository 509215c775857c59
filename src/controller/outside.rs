//! The ports that a controller is connected to, how it runs, and how a run ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::engine::event::Envelope;
use crate::engine::units::{ControllerId, CutoverName};
use crate::ports::{
    BreakGlass, Clock, Dns, Hooks, Jobs, Journal, JournalError, Notifier, PlanFiles, Signals,
};

/// The ports that a controller is connected to.
#[derive(Clone)]
pub struct Outside {
    /// The wall clock, for all times in the journal.
    pub clock: Arc<dyn Clock>,
    /// Reads and writes Route 53.
    pub dns: Arc<dyn Dns>,
    /// Reads alarms and metrics from CloudWatch.
    pub signals: Arc<dyn Signals>,
    /// The journal, which other controllers may share.
    pub journal: Arc<dyn Journal>,
    /// Delivers pages and notifications.
    pub notifier: Arc<dyn Notifier>,
    /// Reads and switches the jobs of plans.
    pub jobs: Arc<dyn Jobs>,
    /// Calls the hooks of plans.
    pub hooks: Arc<dyn Hooks>,
    /// The plan files; `None` if they are not watched (a rollback).
    pub files: Option<Arc<dyn PlanFiles>>,
    /// The store of the break-glass files; `None` if none are kept.
    pub break_glass: Option<Arc<dyn BreakGlass>>,
    /// Describes an entry in words, for the log.
    pub narrate: Arc<dyn Fn(&Envelope) -> String + Send + Sync>,
}

/// Settings of one controller, for its whole run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The ID of this process, a new one at every start.
    pub me: ControllerId,
    /// The name of this machine.
    pub host: String,
    /// The version of this program.
    pub version: String,
    /// The time between two rounds over all cutovers.
    pub interval: Duration,
    /// The reason given with `run --baseline-as-is`; `None` without that option.
    pub baseline_as_is: Option<String>,
    /// The cutovers that this controller looks after.
    pub scope: Scope,
    /// True if the controller goes on after every cutover has ended, and accepts new plans and commands (`run --stay`).
    pub stays: bool,
    /// True if the controller calls nothing that a plan names: no hook, job, command or channel (`rollback
    /// --no-commands`). Calls that are due stay due in the journal, for a controller that may make them.
    pub calls_nothing: bool,
}

/// The cutovers that a controller looks after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The cutovers of the plan files.
    Files,
    /// These cutovers, until each of them is back or needs a person.
    Rollback(BTreeSet<CutoverName>),
}

/// An error after which a controller cannot go on.
#[derive(Debug, Error)]
pub enum ControllerError {
    /// The journal is missing, damaged or of a newer version.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
}

/// How a run of the controller ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was left to do: every cutover had ended, or for a rollback was back or needed a person.
    Finished,
    /// The controller was asked to stop.
    Stopped,
}

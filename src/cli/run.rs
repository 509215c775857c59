//! `cutover run`: the controller.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use super::args::Run;
use super::books::{Books, open_journal};
use super::break_glass::BreakGlassBeside;
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::outcome;
use super::output::Output;
use super::plans::{self, Found};
use super::secrets;
use super::signals::Stopping;
use super::watched_files::{WatchedFiles, absolute};
use crate::aws::{Options, connect};
use crate::beside::hooks::RealHooks;
use crate::beside::jobs::RealJobs;
use crate::controller::{Controller, Ending, Outside, Scope, Settings};
use crate::engine::event::Envelope;
use crate::engine::units::{ControllerId, CutoverName};
use crate::journal::Open;
use crate::notify::{Channels, Pager, Wording, Words};
use crate::ports::{Clock, Journal, Page, Topics};
use crate::reach::aside::Aside;
use crate::report;
use crate::report::check::Checked;

/// How long the plans may take to be read at the start.
const READ_WITHIN: Duration = Duration::from_mins(1);

/// The same if a cutover is under way: its alarms must be looked at.
const READ_WITHIN_UNDER_WAY: Duration = Duration::from_secs(2);

/// Runs the controller over the plans.
///
/// # Errors
/// A plan is not valid and matches no unfinished cutover, or the journal cannot be made.
pub fn run(context: &mut Context<'_>, args: &Run, output: &Output) -> Result<Exit> {
    block_on(async {
        let journal = open_journal(context, Open::Create)?;
        match start(context, args, journal.as_ref()).await? {
            Start::Refused => Ok(Exit::PlanInvalid),
            Start::Go { file_refused } => {
                control(context, args, journal, file_refused, output).await
            }
        }
    })
}

/// Whether the controller may start.
enum Start {
    /// The plans do not say what it should do; that was said.
    Refused,
    /// It may, even if a file is refused.
    Go { file_refused: bool },
}

/// Looks at the plans before anything else. What it read is not kept: the controller reads for itself, for days.
async fn start(context: &mut Context<'_>, args: &Run, journal: &dyn Journal) -> Result<Start> {
    let books = Books::read(journal).await?;
    let guarded = Guarded::of(&books);
    let known: BTreeSet<CutoverName> = books.names().into_iter().collect();
    let paths = args.paths.clone();
    let limit = if guarded.names.is_empty() {
        READ_WITHIN
    } else {
        READ_WITHIN_UNDER_WAY
    };
    let found = Aside::default().within(limit, move || plans::find_beside(&paths, &known));
    let Some(found) = found else {
        return silent(args, &guarded);
    };
    let wrong = found.checked.iter().filter(|checked| !checked.ok);
    let file_refused = wrong.clone().any(|checked| !guarded.has(checked));
    let strange = wrong
        .filter(|checked| !guarded.has(checked))
        .any(|checked| !guarded.is_beside(checked, &args.paths))
        // Of a directory, one bad file does not stop the others; a path that holds no plan at all is a mistake.
        && holds_no_plan(&args.paths, &found, &guarded);
    if strange && !(args.once && found.checked.iter().any(|checked| checked.ok)) {
        found.require_valid(context)?;
        return Ok(Start::Refused);
    }
    secrets::require(&found, !guarded.names.is_empty())?;
    for checked in found.checked.iter().filter(|checked| !checked.ok) {
        context.say(&checked.rendered)?;
    }
    Ok(Start::Go { file_refused })
}

/// Goes on without the plans if a cutover of theirs is under way: the journal knows it, and its gates are armed.
///
/// # Errors
/// None is.
fn silent(args: &Run, guarded: &Guarded) -> Result<Start> {
    let mut roots = args.paths.iter().map(|path| PathBuf::from(absolute(path)));
    if roots.any(|root| guarded.paths.iter().any(|path| path.starts_with(&root))) {
        tracing::error!(
            page = true,
            "the plan files do not answer: the cutovers that are under way go on from the journal"
        );
        return Ok(Start::Go {
            file_refused: false,
        });
    }
    let hint = Some("look at the file system that they lie on");
    Err(Expected::usage("the plan files do not answer", hint).into())
}

/// The cutovers that are unfinished: no file that goes bad or away, theirs or another one, disarms them (semantics H1).
struct Guarded {
    paths: BTreeSet<PathBuf>,
    names: BTreeSet<CutoverName>,
}

/// Returns true if one of the paths of the command line stands neither for a valid plan nor for the file of an unfinished
/// cutover.
fn holds_no_plan(paths: &[PathBuf], found: &Found, guarded: &Guarded) -> bool {
    let mut plans = guarded.paths.clone();
    for checked in found.checked.iter().filter(|checked| checked.ok) {
        plans.insert(absolute(checked.path.as_ref()).into());
    }
    let mut roots = paths.iter().map(|path| PathBuf::from(absolute(path)));
    roots.any(|root| !has_below(&plans, &root))
}

/// Returns true if one of the paths is `root` or lies below it. Paths are ordered by their parts, so that those below a
/// directory follow it: there may be thousands of them, and as many roots.
fn has_below(paths: &BTreeSet<PathBuf>, root: &Path) -> bool {
    let mut from_root = paths.range(root.to_path_buf()..);
    from_root.next().is_some_and(|path| path.starts_with(root))
}

impl Guarded {
    fn of(books: &Books) -> Self {
        let unfinished = books.states().filter(|state| !state.phase.is_final());
        let all = unfinished.map(|state| (state.source.path.clone().into(), state.name.clone()));
        let (paths, names) = all.unzip();
        Self { paths, names }
    }

    /// Whether what was looked at is the file of one of them, or a directory that had it.
    fn has(&self, checked: &Checked) -> bool {
        let path = absolute(checked.path.as_ref());
        let named = checked.plan.as_ref().map(|plan| &plan.name);
        has_below(&self.paths, path.as_ref()) || named.is_some_and(|name| self.names.contains(name))
    }

    /// Whether the file stands in a directory that was asked for and that has the file of one of them.
    fn is_beside(&self, checked: &Checked, asked: &[PathBuf]) -> bool {
        let path = PathBuf::from(absolute(checked.path.as_ref()));
        let mut asked = asked.iter().map(|asked| absolute(asked));
        asked.any(|asked| path.starts_with(&asked) && has_below(&self.paths, asked.as_ref()))
    }
}

/// Says of which files nothing comes because a cutover of their name has ended, and why.
fn used_names(controller: &Controller, now: Timestamp) -> BTreeSet<CutoverName> {
    let used = controller.names_used();
    for (name, reason) in &used {
        tracing::error!(cutover = %name, "{}", report::holds::hold(reason, name, now));
    }
    used.into_keys().collect()
}

async fn control(
    context: &Context<'_>,
    args: &Run,
    journal: Arc<dyn Journal>,
    file_refused: bool,
    output: &Output,
) -> Result<Exit> {
    let mut outside = outside(context, journal).await;
    outside.files = Some(Arc::new(WatchedFiles::new(&args.paths)));
    outside.break_glass = Some(Arc::new(BreakGlassBeside::new(args.break_glass.clone())));
    let as_is = args.reason.clone().filter(|_| args.baseline_as_is);
    let settings = Settings {
        interval: args.interval.try_into().unwrap_or_default(),
        baseline_as_is: as_is,
        ..settings(Scope::Files)
    };
    let mut controller = Controller::new(outside, settings);
    if args.once {
        controller.run_once().await?;
        let used = used_names(&controller, context.clock.now());
        let exit = outcome::of_round(controller.states(), &used, file_refused);
        return Ok(exit.max(outcome::of_damaged(controller.damaged())));
    }
    tracing::info!("watching; a first SIGTERM or Ctrl-C stops cleanly, a second one at once");
    let stopping = Stopping {
        on_hangup: true,
        hung: Exit::Unexpected,
        output: output.clone(),
    };
    match controller.run(stopping.signal()?).await? {
        Ending::Stopped => Ok(Exit::Done),
        Ending::Finished => {
            let used = used_names(&controller, context.clock.now());
            let ended = outcome::of_run(controller.states(), &used);
            let exit = ended.unwrap_or(Exit::Done);
            Ok(exit.max(outcome::of_damaged(controller.damaged())))
        }
    }
}

/// Connects to AWS and to people, as every command that acts does.
pub(super) async fn outside(context: &Context<'_>, journal: Arc<dyn Journal>) -> Outside {
    let clock: Arc<dyn Clock> = Arc::new(context.clock);
    let aws = connect(Options::from_environment(Arc::clone(&clock))).await;
    let channels = channels(Arc::new(aws.topics), Arc::clone(&clock));
    Outside {
        clock,
        dns: Arc::new(aws.dns),
        signals: Arc::new(aws.signals),
        journal,
        notifier: Arc::new(Pager::new(page_wording()).with_channels(channels)),
        jobs: Arc::new(RealJobs::new(Arc::new(aws.jobs))),
        hooks: Arc::new(RealHooks::new(Arc::new(secrets::variable))),
        files: None,
        break_glass: None,
        narrate: Arc::new(|entry: &Envelope| report::events::event(&entry.event)),
    }
}

/// The words of pages and of their ends.
fn page_wording() -> Wording {
    Arc::new(|page: &Page| report::notice::page(&page.entry, &page.settles))
}

/// What tells channels, with the words of `report` and the secrets of this process.
pub(super) fn channels(topics: Arc<dyn Topics>, clock: Arc<dyn Clock>) -> Channels {
    let words = Words {
        line: Arc::new(report::notice::line),
        headline: Arc::new(report::notice::headline),
    };
    Channels::new(words, Arc::new(secrets::variable), topics, clock)
}

/// The settings of a new controller of this machine.
pub(super) fn settings(scope: Scope) -> Settings {
    Settings {
        me: ControllerId::from(format!("{:012x}", fastrand::u64(..) >> 16)),
        host: whoami::fallible::hostname().unwrap_or_else(|_| "unknown".to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interval: Duration::from_secs(10),
        baseline_as_is: None,
        calls_nothing: false,
        scope,
    }
}

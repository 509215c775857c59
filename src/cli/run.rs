//! `cutover run`: runs the controller.

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
use super::output::Output;
use super::plans::{self, FoundPlans, absolute};
use super::signals::Stopping;
use super::watched_files::WatchedFiles;
use super::{outcome, secrets, variables};
use crate::aws::{Options, connect};
use crate::beside::hooks::RealHooks;
use crate::beside::jobs::RealJobs;
use crate::controller::{Controller, Ending, Outside, Scope, Settings};
use crate::engine::event::Envelope;
use crate::engine::units::{ControllerId, CutoverName};
use crate::journal::Open;
use crate::notify::{Channels, Words};
use crate::ports::{Clock, Journal, Topics};
use crate::reach::aside::Aside;
use crate::report;
use crate::report::check::Checked;

/// The longest time to read the plans at the start.
const READ_WITHIN: Duration = Duration::from_mins(1);

/// Longest time to read the plans at the start if a cutover is unfinished, because its gates must be watched soon.
const READ_WITHIN_UNDER_WAY: Duration = Duration::from_secs(2);

/// Runs the controller until every cutover has ended or a signal comes, or for one round with `--once`.
///
/// # Errors
/// The paths have no valid plan and no unfinished cutover, a secret is missing, the plan files do not answer, or the
/// journal cannot be created or read.
pub fn run(context: &mut Context<'_>, args: &Run, output: &Output) -> Result<Exit> {
    block_on(async {
        let journal = open_journal(context, Open::Create).await?;
        match start(context, args, journal.as_ref()).await? {
            Readiness::Refused => Ok(Exit::PlanInvalid),
            Readiness::Go { file_refused } => {
                control(context, args, journal, file_refused, output).await
            }
        }
    })
}

/// Whether the controller may start.
enum Readiness {
    /// The controller may not start: the plans are not valid, and that was shown.
    Refused,
    /// The controller may start, although a file may have been refused.
    Go { file_refused: bool },
}

/// Checks the plans before anything else. The result is not kept, because the controller reads the files itself, again
/// and again.
async fn start(context: &mut Context<'_>, args: &Run, journal: &dyn Journal) -> Result<Readiness> {
    let books = Books::read(journal).await?;
    let guarded = Guarded::of(&books);
    let known: BTreeSet<CutoverName> = books.names().into_iter().collect();
    let paths = args.paths.clone();
    let limit = if guarded.names.is_empty() {
        READ_WITHIN
    } else {
        READ_WITHIN_UNDER_WAY
    };
    let found = Aside::default().within(limit, move || look(&paths, &known));
    let Some((found, lacks_a_path)) = found else {
        return unanswered(args, &guarded);
    };
    let mut file_refused = false;
    let mut is_unrelated = false;
    for checked in found.checked.iter().filter(|checked| !checked.ok) {
        if guarded.has(checked) {
            continue;
        }
        file_refused = true;
        is_unrelated = is_unrelated || !guarded.is_beside(checked, &args.paths);
    }
    // One bad file in a directory does not stop the others, but a path without any plan is a mistake. With `--stay`,
    // the controller may start before its plans exist.
    let is_mistake = if args.stay {
        is_unrelated && lacks_a_path
    } else {
        is_unrelated && holds_no_plan(&args.paths, &found, &guarded)
    };
    if is_mistake && !(args.once && found.checked.iter().any(|checked| checked.ok)) {
        found.require_valid(context)?;
        return Ok(Readiness::Refused);
    }
    secrets::require(&found, !guarded.names.is_empty())?;
    for checked in found.checked.iter().filter(|checked| !checked.ok) {
        context.say(&checked.rendered)?;
    }
    Ok(Readiness::Go { file_refused })
}

/// Reads the plan files. The flag is true if one of the paths does not exist.
fn look(paths: &[PathBuf], known: &BTreeSet<CutoverName>) -> (FoundPlans, bool) {
    let lacks_a_path = paths.iter().any(|path| !path.exists());
    (plans::find_beside(paths, known), lacks_a_path)
}

/// Lets the controller start without the plan files if one of their cutovers is unfinished: the journal has its plan,
/// and its gates must stay armed.
///
/// # Errors
/// No cutover of these files is unfinished.
fn unanswered(args: &Run, guarded: &Guarded) -> Result<Readiness> {
    let mut roots = args.paths.iter().map(|path| PathBuf::from(absolute(path)));
    if roots.any(|root| guarded.paths.iter().any(|path| path.starts_with(&root))) {
        tracing::error!(
            page = true,
            "the plan files do not answer; unfinished cutovers go on with the plans in the journal: check the file system \
             that the files are on"
        );
        return Ok(Readiness::Go {
            file_refused: false,
        });
    }
    let hint = Some("check the file system that they are on");
    Err(Expected::usage("the plan files do not answer", hint).into())
}

/// The unfinished cutovers of the journal. Their gates stay armed whatever file becomes invalid or disappears
/// (semantics H1).
struct Guarded {
    paths: BTreeSet<PathBuf>,
    names: BTreeSet<CutoverName>,
}

/// Returns true if one of the paths of the command line has neither a valid plan nor the file of an unfinished cutover.
fn holds_no_plan(paths: &[PathBuf], found: &FoundPlans, guarded: &Guarded) -> bool {
    let mut plans = guarded.paths.clone();
    for checked in found.checked.iter().filter(|checked| checked.ok) {
        plans.insert(absolute(checked.path.as_ref()).into());
    }
    let mut roots = paths.iter().map(|path| PathBuf::from(absolute(path)));
    roots.any(|root| !has_below(&plans, &root))
}

/// Returns true if one of the paths is `root` or lies below it. Paths are ordered by component, so the paths below a
/// directory follow it. A range query is used because there may be thousands of paths and as many roots.
fn has_below(paths: &BTreeSet<PathBuf>, root: &Path) -> bool {
    let mut from_root = paths.range(root.to_path_buf()..);
    from_root.next().is_some_and(|path| path.starts_with(root))
}

impl Guarded {
    fn of(books: &Books) -> Self {
        let (mut paths, mut names) = (BTreeSet::new(), BTreeSet::new());
        for state in books.states().filter(|state| !state.phase.is_final()) {
            paths.insert(PathBuf::from(&state.source.path));
            names.insert(state.name.clone());
        }
        Self { paths, names }
    }

    /// Returns true if the checked path is the file of an unfinished cutover, or a directory that had it.
    fn has(&self, checked: &Checked) -> bool {
        let path = absolute(checked.path.as_ref());
        let named = checked.plan.as_ref().map(|plan| &plan.name);
        has_below(&self.paths, path.as_ref()) || named.is_some_and(|name| self.names.contains(name))
    }

    /// Returns true if the file is in a directory of the command line that also has the file of an unfinished cutover.
    fn is_beside(&self, checked: &Checked, asked: &[PathBuf]) -> bool {
        let path = PathBuf::from(absolute(checked.path.as_ref()));
        let mut asked = asked.iter().map(|asked| absolute(asked));
        asked.any(|asked| path.starts_with(&asked) && has_below(&self.paths, asked.as_ref()))
    }
}

/// Logs which files are not started because a cutover of their name has ended (semantics L9), and returns those names.
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
    let baseline_as_is = if args.baseline_as_is {
        args.reason.clone()
    } else {
        None
    };
    let settings = Settings {
        interval: args.interval.try_into().unwrap_or_default(),
        baseline_as_is,
        stays: args.stay,
        ..settings(Scope::Files)
    };
    let mut controller = Controller::new(outside, settings);
    if args.once {
        controller.run_once().await?;
        let used = used_names(&controller, context.clock.now());
        let exit = outcome::of_round(controller.states(), &used, file_refused);
        return Ok(exit.max(outcome::of_damaged(controller.damaged())));
    }
    tracing::info!("watching; the first SIGTERM or Ctrl-C stops cleanly, a second one at once");
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

/// Connects to AWS and to the channels. Every command that writes to Route 53 uses this.
pub(super) async fn outside(context: &Context<'_>, journal: Arc<dyn Journal>) -> Outside {
    let clock: Arc<dyn Clock> = Arc::new(context.clock);
    let aws = connect(Options::from_environment(Arc::clone(&clock))).await;
    let channels = channels(Arc::new(aws.topics), Arc::clone(&clock));
    Outside {
        clock,
        dns: Arc::new(aws.dns),
        signals: Arc::new(aws.signals),
        journal,
        notifier: Arc::new(channels),
        jobs: Arc::new(RealJobs::new(Arc::new(aws.jobs))),
        hooks: Arc::new(RealHooks::new(Arc::new(variables::variable))),
        files: None,
        break_glass: None,
        narrate: Arc::new(|entry: &Envelope| report::events::event(&entry.event)),
    }
}

/// Returns the channels, with the wording of `report` and the secrets of this process.
pub(super) fn channels(topics: Arc<dyn Topics>, clock: Arc<dyn Clock>) -> Channels {
    let words = Words {
        line: Arc::new(report::notice::line),
        headline: Arc::new(report::notice::headline),
    };
    Channels::new(words, Arc::new(variables::variable), topics, clock)
}

/// Returns the name of this machine, or of the container.
pub(super) fn host() -> String {
    whoami::fallible::hostname().unwrap_or_else(|_| "unknown".to_owned())
}

/// Returns the default settings of a new controller on this machine: a random ID, and a round every 10 s.
pub(super) fn settings(scope: Scope) -> Settings {
    Settings {
        me: ControllerId::from(format!("{:012x}", fastrand::u64(..) >> 16)),
        host: host(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interval: Duration::from_secs(10),
        baseline_as_is: None,
        stays: false,
        calls_nothing: false,
        scope,
    }
}

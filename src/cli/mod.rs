//! The command line: one file per command, and the only room that may use all others.

pub mod abandon;
pub mod adopt_drift;
pub mod amend;
pub mod approve;
pub mod args;
pub mod backtest;
pub mod books;
pub mod break_glass;
pub mod check;
pub mod clock;
pub mod context;
pub mod error;
pub mod exit;
pub mod fleet;
pub mod generate;
pub mod healthy;
pub mod help;
pub mod history;
pub mod iam_policy;
pub mod ignore_alarm;
pub mod journals;
pub mod logging;
pub mod names;
pub mod notify_test;
pub mod operate;
pub mod outcome;
pub mod output;
pub mod plans;
pub mod preview;
pub mod rehearse;
pub mod rollback;
pub mod run;
pub mod secrets;
pub mod signals;
pub mod status;
pub mod variables;
pub mod watched_files;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use args::{Cli, Command, JournalCommand};
use clock::SystemClock;
use context::{Context, Terminal, block_on};
use error::Expected;
use exit::Exit;
use output::{Output, Patience};

use crate::aws::environment;
use crate::engine::state::State;
use crate::engine::{commands, foreign_text};
use crate::reach::attached;

/// Parses the command line, runs the command, and returns the exit code.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if let Some(first) = arguments.next()
        && first == attached::ATTACHED
    {
        return attached::attend(arguments);
    }
    attached::enable();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(error).into(),
    };
    let output = Output::start(manner(&cli.command).patience);
    let (mut out, mut err) = (output.out(), output.err());
    let mut context = Context {
        terminal: Terminal::detect(cli.global.width.as_deref()),
        global: cli.global,
        out: &mut out,
        err: &mut err,
        clock: SystemClock,
    };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        logging::start(&context.global, &cli.command, &output)?;
        logging::report_panics();
        signals::outlive(&cli.command)?;
        dispatch(&mut context, &cli.command, &output)
    }));
    let exit = match ended {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => error::report(&error, context.err),
        // The panic was logged. `Output::finish` writes the rest of the log before the process ends.
        Err(_) => Exit::Unexpected,
    };
    output.finish();
    exit.into()
}

/// Properties of a command that must be known before it runs.
struct Manner {
    /// Whether the command waits for the reader of its output. Commands that only read do; a command that writes, or
    /// runs for days, never waits (semantics M1).
    patience: Patience,
    /// True if the command calls AWS or channels over the network.
    uses_network: bool,
}

fn manner(command: &Command) -> Manner {
    let (patience, uses_network) = match command {
        Command::Preview(_)
        | Command::Backtest(_)
        | Command::Journal(JournalCommand::Verify(_)) => (Patience::ForReader, true),
        // `status --watch` runs until it is interrupted, and then ends, whether or not anybody reads its output.
        Command::Status(args) if args.watch => (Patience::None, false),
        Command::Check(_)
        | Command::Rehearse(_)
        | Command::Status(_)
        | Command::History(_)
        | Command::Healthy
        | Command::IamPolicy(_)
        | Command::Schema(_)
        | Command::Completions { .. }
        | Command::Man => (Patience::ForReader, false),
        Command::Run(_)
        | Command::Approve(_)
        | Command::Rollback(_)
        | Command::NotifyTest(_)
        | Command::Journal(JournalCommand::Create(_) | JournalCommand::Copy(_)) => {
            (Patience::None, true)
        }
        Command::Pause(_)
        | Command::Freeze(_)
        | Command::Unfreeze(_)
        | Command::Resume(_)
        | Command::Retry(_)
        | Command::SkipBake(_)
        | Command::Amend(_)
        | Command::AdoptDrift(_)
        | Command::IgnoreAlarm(_)
        | Command::Abandon(_) => (Patience::None, false),
    };
    Manner {
        patience,
        uses_network,
    }
}

/// Prints why clap did not return a command: an error, or the help or the version that was asked for. A failure to print
/// changes nothing (semantics M1).
fn not_parsed(error: clap::Error) -> Exit {
    if error.use_stderr() {
        // The message repeats arguments, which may be long, or file names that others chose.
        let said =
            foreign_text::lines(&shortened(with_proposal(error)).render().ansi().to_string());
        anstream::stderr()
            .write_all(said.as_bytes())
            .unwrap_or_default();
        Exit::Usage
    } else {
        error.print().unwrap_or_default();
        Exit::Done
    }
}

/// Names of commands in other tools, and ours for the same purpose. Misspelled names of our commands are found by
/// `clap`.
const ELSEWHERE: [(&[&str], &[&str]); 9] = [
    (&["start", "apply", "deploy", "shift", "up"], &["run"]),
    (&["plan", "diff", "dry-run"], &["preview", "check"]),
    (&["validate", "lint", "verify"], &["check"]),
    (&["simulate", "test"], &["rehearse"]),
    (&["list", "ls", "get", "describe", "show"], &["status"]),
    (&["log", "logs", "events"], &["history"]),
    (&["stop", "suspend", "halt"], &["pause", "rollback"]),
    (&["continue", "unpause"], &["resume", "retry"]),
    (
        &["revert", "undo", "abort", "cancel", "back", "down"],
        &["rollback"],
    ),
];

/// Suggests our command if the error is about another tool's name for it.
fn with_proposal(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    for (theirs, ours) in ELSEWHERE {
        if theirs.contains(&word.as_str()) {
            let ours = ours.iter().map(|&name| name.to_owned()).collect();
            let proposed = ContextValue::Strings(ours);
            error.insert(ContextKind::SuggestedSubcommand, proposed);
            break;
        }
    }
    error
}

/// Largest number of characters of an argument that a usage error repeats.
const REPEATED_CHARS_MAX: usize = 200;

/// Shortens the value that a usage error repeats (semantics M8).
fn shortened(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return error;
    };
    let short = foreign_text::cut(value, REPEATED_CHARS_MAX);
    error.insert(ContextKind::InvalidValue, ContextValue::String(short));
    error
}

/// Checks the environment before a command uses the network, for itself or for its journal.
fn prepare(command: &Command, journal: &str) -> Result<()> {
    if !manner(command).uses_network && !journals::open::is_remote(journal) {
        return Ok(());
    }
    environment::prepare(&variables::variable).map_err(|unfit| {
        let remedy = unfit.remedy.clone();
        Expected::usage(unfit.to_string(), Some(&remedy)).into()
    })
}

fn dispatch(context: &mut Context<'_>, command: &Command, output: &Output) -> Result<Exit> {
    prepare(command, &context.global.journal)?;
    match command {
        Command::Check(args) => check::run(context, args),
        Command::Preview(args) => preview::run(context, args),
        Command::Rehearse(args) => rehearse::run(context, args),
        Command::Backtest(args) => backtest::run(context, args),
        Command::Run(args) => run::run(context, args, output),
        Command::Status(args) => status::run(context, args),
        Command::Approve(args) => approve::run(context, args),
        Command::Pause(args) => operate(context, "pause", &args.names, |state| {
            commands::pause(state, args.reason.as_deref())
        }),
        Command::Freeze(args) => fleet::freeze(context, args),
        Command::Unfreeze(args) => fleet::unfreeze(context, args),
        Command::Resume(args) if args.fleet => fleet::resume(context, args),
        Command::Resume(args) => operate(context, "resume", &args.names, |state| {
            commands::resume(state, args.reason.as_deref())
        }),
        Command::Retry(args) => operate(context, "retry", &args.names, |state| {
            commands::retry(state, args.reason.as_deref())
        }),
        Command::SkipBake(args) => operate(context, "skip-bake", &args.names, |state| {
            commands::skip_bake(state, &args.reason)
        }),
        Command::Amend(args) => amend::run(context, args),
        Command::AdoptDrift(args) => adopt_drift::run(context, args),
        Command::Abandon(args) => abandon::run(context, args),
        Command::IgnoreAlarm(args) => ignore_alarm::run(context, args),
        Command::Rollback(args) => rollback::run(context, args, output),
        Command::NotifyTest(args) => notify_test::run(context, args),
        Command::History(args) => history::run(context, args),
        Command::Healthy => healthy::run(context),
        Command::IamPolicy(args) => iam_policy::run(context, args),
        Command::Journal(command) => journals::run(context, command),
        Command::Schema(args) => generate::schema(context, args),
        Command::Completions { shell } => generate::completions(context, *shell),
        Command::Man => generate::man(context),
    }
}

fn operate(
    context: &mut Context<'_>,
    command: &'static str,
    names: &[String],
    decide: impl Fn(&State) -> commands::Answer + Clone,
) -> Result<Exit> {
    block_on(operate::order_all(context, command, names, decide))
}

//! `cutover backtest`: reads past alarms and metrics, and replays plans over them. Writes nothing to AWS.

mod past;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use anyhow::Context as _;
use anyhow::Result;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::args::{self, Moment};
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::plans;
use super::rehearse::progress::ProgressLine;
use crate::aws::{Options, connect};
use crate::engine::backtest::{Backtest, Prepared, Record, Run};
use crate::engine::plan::PlanSource;
use crate::ports::Clock as _;
use crate::reach::regular_file;
use crate::report::{backtest, rehearsal, text};

/// How far back a backtest reads if `--since` is not given: `CloudWatch` keeps the history of alarms for at least two
/// weeks.
const SINCE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The largest number of starts; more would take too long.
const STARTS_MAX: i64 = 20_000;

/// Replays plans over a past that is read from AWS or from a file, and prints the result.
///
/// # Errors
/// A plan is not valid, the times are not valid, there are too many starts, AWS cannot be read, or the record cannot be
/// read or saved.
pub fn run(context: &mut Context<'_>, args: &args::Backtest) -> Result<Exit> {
    let sources = plans::find(&args.paths).require_valid(context)?;
    let record = if let Some(path) = &args.from {
        narrowed(load(path)?, args)?
    } else {
        let (since, until) = span(args, context.clock.now())?;
        let clock = Arc::new(context.clock);
        block_on(async {
            let aws = connect(Options::from_environment(clock)).await;
            past::read(context, &sources, &aws.signals, (since, until)).await
        })?
    };
    if let Some(path) = &args.save {
        save(path, &record)?;
        context.note(&format!("saved what was read to {}", path.display()))?;
    }
    let starts = record.until.duration_since(record.since).as_secs() / args.every.as_secs().max(1);
    if starts > STARTS_MAX {
        let hint = Some("put more time between two starts, for example `--every 6h`");
        let message = format!("{starts} starts are too many; at most {STARTS_MAX} are replayed");
        return Err(Expected::usage(message, hint).into());
    }
    let backtests = replay(context, &sources, &record, args.every)?;
    if context.json() {
        context.print_json(&backtest::to_json(&backtests))?;
        return Ok(Exit::Done);
    }
    let look = backtest::Look {
        width: context.terminal.width,
        zone: TimeZone::UTC,
        charts: !args.no_charts,
    };
    let shown = backtest::to_text(&backtests, &look);
    let shown = if args.ascii {
        rehearsal::to_ascii(&shown)
    } else {
        shown
    };
    context.print(&shown)?;
    Ok(Exit::Done)
}

/// Returns the start and the end of the past to read.
/// # Errors
/// `--until` is in the future, `--since` is not before it, or the span is refused by [`Record::check`].
fn span(args: &args::Backtest, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
    let until = args.until.map_or(Ok(now), |until| ago(until, now))?;
    let since = args.since.unwrap_or(Moment::In(SINCE));
    let since = ago(since, now)?;
    if until > now {
        return Err(Expected::usage("`--until` is in the future", None).into());
    }
    if since >= until {
        return Err(Expected::usage("`--since` is not before `--until`", None).into());
    }
    Record::between(since, until)
        .check()
        .map_err(|error| Expected::usage(format!("this past cannot be read: {error}"), None))?;
    Ok((since, until))
}

/// Returns a moment of the past: the time itself, or `now` minus the duration.
fn ago(moment: Moment, now: Timestamp) -> Result<Timestamp> {
    match moment {
        Moment::At(at) => Ok(at),
        Moment::In(length) => now
            .checked_sub(length)
            .map_err(|_| Expected::usage(format!("`{length}` is too long ago"), None).into()),
    }
}

/// Returns the part of a record between `--since` and `--until`; a duration such as `14d` counts back from its end.
fn narrowed(mut record: Record, args: &args::Backtest) -> Result<Record> {
    let end = record.until;
    if let Some(until) = args.until {
        record.until = ago(until, end)?.min(end);
    }
    if let Some(since) = args.since {
        record.since = ago(since, end)?.max(record.since);
    }
    if record.since >= record.until {
        let message = "the record has no data between `--since` and `--until`";
        return Err(Expected::usage(message, None).into());
    }
    Ok(record)
}

/// Largest record file that is read: 1 GiB.
const RECORD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

fn load(path: &Path) -> Result<Record> {
    let read = regular_file::read(path, None, RECORD_BYTES_MAX);
    let text = read.map_err(|error| no_record(path, &error))?;
    let record = serde_json::from_slice(&text);
    let record: Record = record.map_err(|error| no_record(path, &error))?;
    record.check().map_err(|error| no_record(path, &error))?;
    Ok(record)
}

fn no_record(path: &Path, why: &dyn std::fmt::Display) -> Expected {
    let shown = path.display();
    Expected::usage(
        format!("`{shown}` cannot be used as a record: {why}"),
        Some("write a record with `cutover backtest PLAN --save FILE`"),
    )
}

fn save(path: &Path, record: &Record) -> Result<()> {
    let mut text = serde_json::to_string(record)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Replays all starts of all plans, on all processor cores.
fn replay(
    context: &mut Context<'_>,
    sources: &[PlanSource],
    record: &Record,
    every: SignedDuration,
) -> Result<Vec<Backtest>> {
    let mut prepared: Vec<Prepared<'_>> = Vec::new();
    let mut queue: VecDeque<(usize, Timestamp)> = VecDeque::new();
    for (plan, source) in sources.iter().enumerate() {
        let source = Prepared::new(source, record, every);
        queue.extend(source.starts().into_iter().map(|start| (plan, start)));
        prepared.push(source);
    }
    let all = queue.len();
    let queue = Mutex::new(queue);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (done, finished) = mpsc::channel();
    let mut progress = ProgressLine::new(context);
    let mut runs: Vec<Vec<Run>> = prepared.iter().map(|_| Vec::new()).collect();
    thread::scope(|scope| -> Result<()> {
        for _ in 0..workers {
            let (done, queue, prepared) = (done.clone(), &queue, &prepared);
            scope.spawn(move || {
                while let Some((plan, start)) = next_start(queue) {
                    // The receiver is gone if standard error could not be written.
                    if done.send((plan, prepared[plan].replay(start))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let finished = finished;
        for (count, (plan, run)) in (1..).zip(&finished) {
            runs[plan].push(run);
            let words = format!(
                "{} of {} starts",
                text::thousands(count),
                text::thousands(all)
            );
            progress.say(context, &words)?;
        }
        Ok(())
    })?;
    progress.end(context)?;
    let mut backtests = Vec::new();
    for (prepared, runs) in prepared.into_iter().zip(runs) {
        backtests.push(prepared.gather(runs));
    }
    Ok(backtests)
}

fn next_start(queue: &Mutex<VecDeque<(usize, Timestamp)>>) -> Option<(usize, Timestamp)> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.pop_front()
}

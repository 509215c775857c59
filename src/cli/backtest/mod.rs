//! `cutover backtest`: had this plan run then. Reads the past, replays the plan over it, writes nothing to AWS.

mod past;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;
use anyhow::Result;
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::args;
use super::args::Moment;
use super::context::Context;
use super::context::block_on;
use super::error::Expected;
use super::exit::Exit;
use super::plans;
use super::rehearse::progress::Progress;
use crate::aws::Options;
use crate::aws::connect;
use crate::engine::backtest::Backtest;
use crate::engine::backtest::Prepared;
use crate::engine::backtest::Record;
use crate::engine::backtest::Run;
use crate::engine::plan::PlanSource;
use crate::ports::Clock as _;
use crate::report::backtest;
use crate::report::rehearsal;
use crate::report::text;

/// How far back is looked where nobody says: `CloudWatch` keeps the history of alarms for two weeks at least.
const SINCE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// More starts take longer than anybody waits.
const STARTS_MAX: i64 = 20_000;

/// Backtests plans.
///
/// # Errors
/// A plan is not valid, the time makes no sense, or the record cannot be read or kept.
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
        context.note(&format!("the past is kept in {}", path.display()))?;
    }
    let starts = record.until.duration_since(record.since).as_secs() / args.every.as_secs().max(1);
    if starts > STARTS_MAX {
        let hint = Some("let the starts be farther apart, for example `--every 6h`");
        return Err(Expected::usage("these are too many starts", hint).into());
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

/// From when to when.
fn span(args: &args::Backtest, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
    let until = args.until.map_or(Ok(now), |until| ago(until, now))?;
    let since = args.since.unwrap_or(Moment::In(SINCE));
    let since = ago(since, now)?;
    if until > now {
        return Err(Expected::usage("`--until` lies in the future", None).into());
    }
    if since >= until {
        return Err(Expected::usage("`--since` does not lie before `--until`", None).into());
    }
    Record::between(since, until)
        .check()
        .map_err(|error| Expected::usage(format!("no such past can be read: {error}"), None))?;
    Ok((since, until))
}

/// A moment of the past: a time, or how long ago.
fn ago(moment: Moment, now: Timestamp) -> Result<Timestamp> {
    match moment {
        Moment::At(at) => Ok(at),
        Moment::In(length) => now
            .checked_sub(length)
            .map_err(|_| Expected::usage(format!("`{length}` is too long ago"), None).into()),
    }
}

/// The part of a record that was asked for; `14d` counts back from its end.
fn narrowed(mut record: Record, args: &args::Backtest) -> Result<Record> {
    let end = record.until;
    if let Some(until) = args.until {
        record.until = ago(until, end)?.min(end);
    }
    if let Some(since) = args.since {
        record.since = ago(since, end)?.max(record.since);
    }
    if record.since >= record.until {
        let message = "the record has nothing of this time";
        return Err(Expected::usage(message, None).into());
    }
    Ok(record)
}

fn load(path: &Path) -> Result<Record> {
    let shown = path.display();
    let hint = Some("a record is written by `cutover backtest PLAN --save FILE`");
    let bad = |why: &dyn std::fmt::Display| {
        Expected::usage(format!("`{shown}` cannot be used as a record: {why}"), hint)
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(&error))?;
    let record: Record = serde_json::from_str(&text).map_err(|error| bad(&error))?;
    record.check().map_err(|error| bad(&error))?;
    Ok(record)
}

fn save(path: &Path, record: &Record) -> Result<()> {
    let mut text = serde_json::to_string(record)?;
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Replays all starts of all plans, on all cores.
fn replay(
    context: &mut Context<'_>,
    sources: &[PlanSource],
    record: &Record,
    every: SignedDuration,
) -> Result<Vec<Backtest>> {
    let prepared: Vec<Prepared<'_>> = sources
        .iter()
        .map(|source| Prepared::new(source, record, every))
        .collect();
    let starts = prepared.iter().enumerate().flat_map(|(plan, prepared)| {
        let starts = prepared.starts().into_iter();
        starts.map(move |start| (plan, start))
    });
    let queue: VecDeque<(usize, Timestamp)> = starts.collect();
    let all = queue.len();
    let queue = Mutex::new(queue);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (done, finished) = mpsc::channel();
    let mut progress = Progress::new(context);
    let mut runs: Vec<Vec<Run>> = prepared.iter().map(|_| Vec::new()).collect();
    thread::scope(|scope| -> Result<()> {
        for _ in 0..workers {
            let (done, queue, prepared) = (done.clone(), &queue, &prepared);
            scope.spawn(move || {
                let next = || {
                    queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front()
                };
                while let Some((plan, start)) = next() {
                    // Nobody listens any more once standard error is closed.
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
    let gathered = prepared.into_iter().zip(runs);
    Ok(gathered
        .map(|(prepared, runs)| prepared.gather(runs))
        .collect())
}

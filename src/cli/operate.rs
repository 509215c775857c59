//! Commands that a person gives to cutovers. They read the journal, check that the command applies, and append an
//! entry. If somebody else appended first, they decide again.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use super::books::{Books, open_journal};
use super::context::Context;
use super::error::Expected;
use super::exit::Exit;
use super::names::{Named, resolve};
use super::status;
use crate::engine::commands::{Answer, NotApplicable};
use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
use crate::engine::fold::apply;
use crate::engine::foreign_text::one_line;
use crate::engine::lists;
use crate::engine::state::State;
use crate::engine::units::CutoverName;
use crate::journal::Open;
use crate::ports::{APPEND_EVENTS_MAX, Append, Clock, Journal, JournalError, NewEntry};
use crate::report;
use crate::report::text;

/// Largest number of further tries to append after somebody else appended first (semantics F1).
pub(super) const RACES_MAX: u32 = 5;

/// Decides what a command does in a state: returns an event to append, `None` if there is nothing to append, or why the
/// command does not apply.
pub type Decide<'a> = Box<dyn Fn(&State) -> Result<Option<Event>, NotApplicable> + 'a>;

/// A command that is given to one cutover.
pub struct CommandOrder<'a> {
    /// The cutover, and whether only a pattern named it.
    pub named: Named,
    /// Decides which event is appended.
    pub decide: Decide<'a>,
}

impl<'a> CommandOrder<'a> {
    /// Returns an order that appends an event whenever the command applies.
    pub fn new(named: Named, decide: impl Fn(&State) -> Answer + 'a) -> Self {
        Self {
            named,
            decide: Box::new(move |state| decide(state).map(Some)),
        }
    }
}

/// A journal that was opened for a command, with its content.
pub struct Desk {
    /// The open journal, to which entries are appended.
    pub journal: Arc<dyn Journal>,
    /// The content of the journal, as last read.
    pub books: Books,
}

impl Desk {
    /// Opens and reads the journal. It must exist: only `run` creates one (semantics G2).
    ///
    /// # Errors
    /// The journal does not exist, or cannot be read.
    pub async fn open(context: &Context<'_>) -> Result<Self> {
        let journal = open_journal(context, Open::Existing).await?;
        let books = Books::read(journal.as_ref()).await?;
        Ok(Self { journal, books })
    }

    /// Returns why nothing may be appended to a cutover's stream; `None` if the stream is not damaged.
    fn damaged(&self, name: &CutoverName) -> Option<NotApplicable> {
        let damage = self.books.fleet().damage(name)?;
        let (entry, why) = (damage.entry, &damage.why);
        Some(NotApplicable(format!(
            "entry {entry} of its journal cannot be used: {why}; only `rollback`, `status` and `history` work for it"
        )))
    }
}

/// Gives the same command to all cutovers that match the names and patterns.
///
/// # Errors
/// A name matches no cutover, the command does not apply, or the journal cannot be read or written.
pub async fn order_all<'a>(
    context: &mut Context<'_>,
    command: &'static str,
    names: &[String],
    decide: impl Fn(&State) -> Answer + Clone + 'a,
) -> Result<Exit> {
    let desk = Desk::open(context).await?;
    let mut orders = Vec::new();
    for named in resolve(names, &desk.books.names())? {
        orders.push(CommandOrder::new(named, decide.clone()));
    }
    give(context, desk, command, orders).await
}

/// Checks all orders, appends them, and shows what was written.
///
/// If the command does not apply to a cutover named without a pattern, nothing at all is written. A cutover that only a
/// pattern named is passed over.
///
/// # Errors
/// The command does not apply, somebody else always appends first, or the journal cannot be read or written.
pub async fn give(
    context: &mut Context<'_>,
    mut desk: Desk,
    command: &'static str,
    orders: Vec<CommandOrder<'_>>,
) -> Result<Exit> {
    let orders = check(context, &desk, command, orders)?;
    let written = write(context, &mut desk, command, &orders).await?;
    say(context, &written)?;
    if let Some(unwatched) = status::unwatched(&desk.books, context.clock.now()) {
        context.note(&format!(
            "{unwatched}; this takes effect when one runs: `cutover run PATH…`"
        ))?;
    }
    Ok(Exit::Done)
}

/// Appends checked orders, up to [`APPEND_EVENTS_MAX`] at once, and returns what was written. If somebody else appended
/// first, reads the new entries, decides the remaining orders again, and appends them in smaller lots. If the command
/// no longer applies to a cutover that only a pattern named, that cutover is passed over.
///
/// # Errors
/// The command no longer applies to a cutover named without a pattern, somebody else appended first [`RACES_MAX`] times
/// more, or the journal cannot be read or written. The entries written before the error have been shown.
pub async fn write(
    context: &mut Context<'_>,
    desk: &mut Desk,
    command: &'static str,
    orders: &[CommandOrder<'_>],
) -> Result<Vec<Envelope>> {
    let mut written: Vec<Envelope> = Vec::new();
    let done = write_all(context, desk, command, orders, &mut written).await;
    if let Err(error) = done {
        // The user must see what was written before the error.
        say(context, &written)?;
        return Err(error);
    }
    Ok(written)
}

/// Does the same as [`write`], but shows nothing: it adds what was written to `written`, also if it fails later.
///
/// # Errors
/// The same as for [`write`].
pub async fn write_all(
    context: &mut Context<'_>,
    desk: &mut Desk,
    command: &'static str,
    orders: &[CommandOrder<'_>],
    written: &mut Vec<Envelope>,
) -> Result<()> {
    let mut left: Vec<&CommandOrder<'_>> = orders.iter().collect();
    for race in 0..=RACES_MAX {
        let mut lost = Vec::new();
        for lot in left.chunks((APPEND_EVENTS_MAX >> race).max(1)) {
            let entries = entries(context, desk, command, lot)?;
            if entries.is_empty() {
                continue;
            }
            match append(desk, entries).await {
                Ok(entries) => written.extend(entries),
                Err(JournalError::Conflict { .. }) => {
                    // The lots that follow are decided with the new entries too.
                    desk.books.refresh(desk.journal.as_ref()).await?;
                    lost.extend_from_slice(lot);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        left = lost;
    }
    let names: Vec<&str> = left.iter().map(|order| order.named.name.as_str()).collect();
    Err(anyhow!(
        "others write entries of {} faster than this command can: run it again",
        lists::some(&names, ", ")
    ))
}

/// Returns the entries to append for some orders, each with the sequence number of the state on which it was decided.
fn entries(
    context: &mut Context<'_>,
    desk: &Desk,
    command: &'static str,
    orders: &[&CommandOrder<'_>],
) -> Result<Vec<(u64, NewEntry)>> {
    let mut entries = Vec::new();
    for order in orders {
        if order.named.by_pattern && desk.damaged(&order.named.name).is_some() {
            continue;
        }
        let state = desk.books.state(&order.named.name)?;
        let decided = match decide(order, &state) {
            Ok(decided) => decided,
            Err(reason) if order.named.by_pattern => {
                context.note(&format!("{} passed over: {reason}", state.name))?;
                continue;
            }
            Err(reason) => return Err(refusal(command, order, &reason).into()),
        };
        let Some((event, attempt)) = decided else {
            continue;
        };
        let entry = NewEntry {
            cutover: state.name.clone(),
            attempt,
            at: context.clock.now().max(state.last_at),
            actor: actor(),
            event,
        };
        entries.push((state.seq, entry));
    }
    Ok(entries)
}

/// Appends entries, on the condition that the streams have not changed since the entries were decided.
async fn append(desk: &Desk, entries: Vec<(u64, NewEntry)>) -> Result<Vec<Envelope>, JournalError> {
    let (mut expect, mut new) = (Vec::new(), Vec::new());
    for (seq, entry) in entries {
        expect.push((entry.cutover.clone(), seq));
        new.push(entry);
    }
    let append = Append {
        expect,
        entries: new,
        append_id: format!("{:032x}", fastrand::u128(..)),
    };
    desk.journal.append(append).await
}

/// Returns the orders that apply now. Orders on cutovers that only a pattern named are left out if they do not apply.
///
/// # Errors
/// An order on a cutover named without a pattern does not apply, or none applies.
pub fn check<'a>(
    context: &mut Context<'_>,
    desk: &Desk,
    command: &'static str,
    orders: Vec<CommandOrder<'a>>,
) -> Result<Vec<CommandOrder<'a>>> {
    let mut fit = Vec::new();
    let mut passed_over = Vec::new();
    for order in orders {
        if let (true, Some(reason)) = (order.named.by_pattern, desk.damaged(&order.named.name)) {
            passed_over.push((order, reason));
            continue;
        }
        let state = desk.books.state(&order.named.name)?;
        match decide(&order, &state) {
            Ok(_) => fit.push(order),
            Err(reason) if order.named.by_pattern => passed_over.push((order, reason)),
            Err(reason) => return Err(refusal(command, &order, &reason).into()),
        }
    }
    if let (true, Some((order, reason))) = (fit.is_empty(), passed_over.first()) {
        return Err(refusal(command, order, reason).into());
    }
    for (order, reason) in passed_over {
        context.note(&format!("{} passed over: {reason}", order.named.name))?;
    }
    Ok(fit)
}

fn refusal(command: &'static str, order: &CommandOrder<'_>, reason: &NotApplicable) -> Expected {
    Expected::DoesNotApply {
        command,
        name: order.named.name.to_string(),
        reason: reason.to_string(),
    }
}

/// Returns the event and the attempt that it belongs to; `None` if there is nothing to append. An event that the fold
/// refuses does not apply.
fn decide(order: &CommandOrder<'_>, state: &State) -> Result<Option<(Event, u32)>, NotApplicable> {
    let Some(event) = (order.decide)(state)? else {
        return Ok(None);
    };
    let trial = Envelope {
        cutover: state.name.clone(),
        attempt: state.attempt,
        seq: state.seq + 1,
        at: state.last_at,
        actor: String::new(),
        version: JOURNAL_VERSION,
        event: event.clone(),
    };
    let mut after = Some(state.clone());
    apply(&mut after, &trial).map_err(|illegal| NotApplicable(illegal.why))?;
    let attempt = after.map_or(state.attempt, |state| state.attempt);
    Ok(Some((event, attempt)))
}

/// Returns the user of this machine who gives commands, as `user@host`.
pub fn actor() -> String {
    let host = whoami::fallible::hostname().unwrap_or_else(|_| "unknown".to_owned());
    format!("{}@{host}", whoami::username())
}

/// Prints the entries that were written.
///
/// # Errors
/// Standard output cannot be written.
pub fn say(context: &mut Context<'_>, written: &[Envelope]) -> Result<()> {
    if context.json() {
        let entries: Vec<Value> = written
            .iter()
            .map(|entry| {
                json!({
                    "cutover": entry.cutover.as_str(),
                    "seq": entry.seq,
                    "at": text::rfc3339(entry.at),
                    "actor": entry.actor,
                    "attempt": entry.attempt,
                    "event": entry.event,
                })
            })
            .collect();
        return context.print_json(&Value::from(entries));
    }
    let lines: Vec<String> = written
        .iter()
        .map(|entry| {
            let line = format!("{}: {}", entry.cutover, report::event(&entry.event));
            one_line(&line) + "\n"
        })
        .collect();
    context.print(&lines.concat())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::Cli;
    use crate::cli::clock::SystemClock;
    use crate::cli::context::Terminal;
    use crate::engine::commands::{RollbackNeed, rollback};
    use crate::engine::event::RevertMode;
    use crate::journal::MemoryJournal;
    use crate::plan_file;
    use crate::ports::{Heartbeat, Position};

    const PLAN: &str = "\
version: 1
name: NAME
records: [ { zone: example.com, name: NAME.example.com, type: A, old: eks, new: ecs } ]
steps: [ { weight: 100%, bake: 1h } ]
gates: { alarms: [ red ] }
";

    /// A journal in which somebody else always appends first: before each of the first `busy` appends, the first
    /// cutover of the append is paused.
    struct Contested {
        inner: MemoryJournal,
        busy: usize,
        appends: AtomicUsize,
    }

    #[async_trait]
    impl Journal for Contested {
        async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
            let count = self.appends.fetch_add(1, Ordering::Relaxed);
            if count < self.busy {
                let (name, seq) = append.expect[0].clone();
                let pause = Event::PauseRequested { reason: None };
                drop(journal_one(&self.inner, &name, seq, pause).await);
            }
            self.inner.append(append).await
        }

        async fn read_after(
            &self,
            position: Position,
        ) -> Result<(Vec<Envelope>, Position), JournalError> {
            self.inner.read_after(position).await
        }

        async fn head(&self, name: &CutoverName) -> Result<u64, JournalError> {
            self.inner.head(name).await
        }

        async fn changed(&self, position: Position) {
            self.inner.changed(position).await;
        }

        async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), JournalError> {
            self.inner.beat(heartbeat).await
        }

        async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
            self.inner.heartbeats().await
        }
    }

    async fn journal_one(
        journal: &MemoryJournal,
        name: &CutoverName,
        seq: u64,
        event: Event,
    ) -> Result<Vec<Envelope>, JournalError> {
        let entry = NewEntry {
            cutover: name.clone(),
            attempt: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            actor: "bob@desk".to_owned(),
            event,
        };
        let append = Append {
            expect: vec![(name.clone(), seq)],
            entries: vec![entry],
            append_id: format!("bob {name} {seq}"),
        };
        journal.append(append).await
    }

    fn requested() -> Event {
        Event::RollbackRequested {
            mode: RevertMode::Swap,
            reason: None,
        }
    }

    fn order(name: &CutoverName) -> CommandOrder<'static> {
        CommandOrder {
            named: Named {
                name: name.clone(),
                by_pattern: true,
            },
            decide: Box::new(|state: &State| {
                match rollback(state, RevertMode::Swap, false, None)? {
                    RollbackNeed::Request(event) => Ok(Some(*event)),
                    RollbackNeed::UnderWay | RollbackNeed::Ended => Ok(None),
                }
            }),
        }
    }

    #[tokio::test]
    async fn whoever_is_second_reads_once_and_asks_for_the_rest_in_full_lots() {
        let names: Vec<CutoverName> = (0..400)
            .map(|number| CutoverName::from(format!("svc{number:03}")))
            .collect();
        for (busy, faster, most) in [(0, 200, 11), (0, 400, 1), (4, 0, 30)] {
            let inner = MemoryJournal::new();
            for name in &names {
                let text = PLAN.replace("NAME", name.as_str());
                let source = plan_file::parse(&text, "/plan.yaml").unwrap().source;
                let source = Box::new(source);
                let accepted = Event::PlanAccepted { source };
                journal_one(&inner, name, 0, accepted).await.unwrap();
            }
            let journal = Arc::new(Contested {
                inner: inner.clone(),
                busy,
                appends: AtomicUsize::new(0),
            });
            let books = Books::read(journal.as_ref()).await.unwrap();
            let mut desk = Desk {
                journal: journal.clone(),
                books,
            };
            for name in &names[..faster] {
                journal_one(&inner, name, 1, requested()).await.unwrap();
            }
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut context = Context {
                global: Cli::parse_from(["cutover", "status"]).global,
                out: &mut out,
                err: &mut err,
                terminal: Terminal::detect(None),
                clock: SystemClock,
            };
            let orders: Vec<CommandOrder<'_>> = names.iter().map(order).collect();
            let written = write(&mut context, &mut desk, "rollback", &orders).await;
            assert_eq!(written.unwrap().len(), names.len() - faster);
            let appends = journal.appends.load(Ordering::Relaxed);
            assert!(appends <= most, "{appends} appends, {faster} were faster");
            desk.books.refresh(journal.as_ref()).await.unwrap();
            for name in &names {
                assert!(desk.books.state(name).unwrap().rollback.is_some());
            }
        }
    }
}

//! The commands that a person gives to cutovers: read, check whether it applies, append; again if somebody was faster.

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
use crate::engine::state::State;
use crate::journal::Open;
use crate::ports::{APPEND_EVENTS_MAX, Append, Clock, Journal, JournalError, NewEntry};
use crate::report;
use crate::report::text;

/// How often an append is tried again after somebody else was faster (RULES F1).
pub(super) const RACES_MAX: u32 = 5;

/// What a command means for one state: an event, nothing more to do, or why it does not apply.
pub type Decide<'a> = Box<dyn Fn(&State) -> Result<Option<Event>, NotApplicable> + 'a>;

/// One command for one cutover.
pub struct Order<'a> {
    /// The cutover.
    pub named: Named,
    /// What to append.
    pub decide: Decide<'a>,
}

impl<'a> Order<'a> {
    /// An order that always writes where it applies.
    pub fn new(named: Named, decide: impl Fn(&State) -> Answer + 'a) -> Self {
        Self {
            named,
            decide: Box::new(move |state| decide(state).map(Some)),
        }
    }
}

/// The journal, opened for a command, and what it says now.
pub struct Desk {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// What it says.
    pub books: Books,
}

impl Desk {
    /// Opens and reads the journal. It must exist: only `run` makes one (RULES G2).
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub async fn open(context: &Context<'_>) -> Result<Self> {
        let journal = open_journal(context, Open::Existing)?;
        let books = Books::read(journal.as_ref()).await?;
        Ok(Self { journal, books })
    }
}

/// Gives the same command to all cutovers that are named.
///
/// # Errors
/// As [`give`].
pub async fn order_all<'a>(
    context: &mut Context<'_>,
    command: &'static str,
    names: &[String],
    decide: impl Fn(&State) -> Answer + Clone + 'a,
) -> Result<Exit> {
    let desk = Desk::open(context).await?;
    let orders = resolve(names, &desk.books.names())?
        .into_iter()
        .map(|named| Order::new(named, decide.clone()));
    give(context, &desk, command, orders.collect()).await
}

/// Checks all orders, then appends them, and says what was written.
///
/// A cutover that was named outright and to which the command does not apply stops everything before anything is
/// written. One that only a pattern named is passed over.
///
/// # Errors
/// The command applies to none, or the journal cannot be read or written.
pub async fn give(
    context: &mut Context<'_>,
    desk: &Desk,
    command: &'static str,
    orders: Vec<Order<'_>>,
) -> Result<Exit> {
    let orders = check(context, desk, command, orders)?;
    let written = write(context, desk, command, &orders).await?;
    say(context, &written)?;
    if let Some(unwatched) = status::unwatched(&desk.books, context.clock.now()) {
        context.note(&format!(
            "{unwatched}; this takes effect when one runs: `cutover run PATH…`"
        ))?;
    }
    Ok(Exit::Done)
}

/// Appends orders that were checked, and returns what was written.
///
/// # Errors
/// Somebody else was faster and the command applies no more, or the journal cannot be written.
pub async fn write(
    context: &mut Context<'_>,
    desk: &Desk,
    command: &'static str,
    orders: &[Order<'_>],
) -> Result<Vec<Envelope>> {
    let mut written: Vec<Envelope> = Vec::new();
    for orders in orders.chunks(APPEND_EVENTS_MAX) {
        match append_together(context, desk, orders).await {
            Ok(Some(entries)) => {
                written.extend(entries);
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                say(context, &written)?;
                return Err(error);
            }
        }
        for order in orders {
            match append(context, desk, command, order).await {
                Ok(entry) => written.extend(entry),
                Err(error) => {
                    // What was written before is said all the same.
                    say(context, &written)?;
                    return Err(error);
                }
            }
        }
    }
    Ok(written)
}

/// Appends the events of several orders at once; none where somebody else was faster with any of them, or where one
/// does not apply: then each is looked at by itself.
async fn append_together(
    context: &Context<'_>,
    desk: &Desk,
    orders: &[Order<'_>],
) -> Result<Option<Vec<Envelope>>> {
    let (mut expect, mut entries) = (Vec::new(), Vec::new());
    for order in orders {
        let state = desk.books.state(&order.named.name)?;
        let Ok(decided) = decide(order, &state) else {
            return Ok(None);
        };
        let Some((event, attempt)) = decided else {
            continue;
        };
        expect.push((state.name.clone(), state.seq));
        entries.push(NewEntry {
            cutover: state.name.clone(),
            attempt,
            at: context.clock.now().max(state.last_at),
            actor: actor(),
            event,
        });
    }
    let append = Append {
        expect,
        entries,
        append_id: format!("{:032x}", fastrand::u128(..)),
    };
    match desk.journal.append(append).await {
        Ok(written) => Ok(Some(written)),
        Err(JournalError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The orders that apply now.
///
/// # Errors
/// One does not that was named outright, or none does.
pub fn check<'a>(
    context: &mut Context<'_>,
    desk: &Desk,
    command: &'static str,
    orders: Vec<Order<'a>>,
) -> Result<Vec<Order<'a>>> {
    let mut fit = Vec::new();
    let mut passed_over = Vec::new();
    for order in orders {
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

fn refusal(command: &'static str, order: &Order<'_>, reason: &NotApplicable) -> Expected {
    Expected::DoesNotApply {
        command,
        name: order.named.name.to_string(),
        reason: reason.to_string(),
    }
}

/// The event, if the command applies and the fold takes it.
fn decide(order: &Order<'_>, state: &State) -> Result<Option<(Event, u32)>, NotApplicable> {
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

/// Appends one order's event, conditional on the state that it was decided on.
async fn append(
    context: &Context<'_>,
    desk: &Desk,
    command: &'static str,
    order: &Order<'_>,
) -> Result<Option<Envelope>> {
    let mut state = desk.books.state(&order.named.name)?;
    for _ in 0..=RACES_MAX {
        let decided = decide(order, &state).map_err(|reason| refusal(command, order, &reason))?;
        let Some((event, attempt)) = decided else {
            return Ok(None);
        };
        let append = Append {
            expect: vec![(state.name.clone(), state.seq)],
            entries: vec![NewEntry {
                cutover: state.name.clone(),
                attempt,
                at: context.clock.now().max(state.last_at),
                actor: actor(),
                event,
            }],
            append_id: format!("{:032x}", fastrand::u128(..)),
        };
        match desk.journal.append(append).await {
            Ok(written) => {
                return Ok(written.into_iter().next());
            }
            Err(JournalError::Conflict { .. }) => {
                let books = Books::read(desk.journal.as_ref()).await?;
                state = books.state(&order.named.name)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(anyhow!(
        "{} changes faster than this command can be written; try again",
        order.named.name
    ))
}

/// Who gives commands here: `user@host`.
pub fn actor() -> String {
    let host = whoami::fallible::hostname().unwrap_or_else(|_| "unknown".to_owned());
    format!("{}@{host}", whoami::username())
}

/// Says what was written.
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
        .map(|entry| format!("{}: {}\n", entry.cutover, report::event(&entry.event)))
        .collect();
    context.print(&lines.concat())
}

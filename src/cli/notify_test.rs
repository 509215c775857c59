//! `cutover notify-test`: sends a test message to every channel of plans or cutovers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use super::args::NotifyTest;
use super::books::{Books, open_journal};
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::names::resolve;
use super::plans;
use super::run::channels;
use crate::aws::{Options, connect};
use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
use crate::engine::foreign_text::one_line;
use crate::engine::notify::{Channel, Notice, Notify, channel_shown};
use crate::engine::units::CutoverName;
use crate::journal::Open;
use crate::notify::Channels;
use crate::ports::{Clock, Delivery, Notifier};
use crate::report::text;

/// The channels to test, each once, with the first cutover that has it.
type Targets = BTreeMap<String, (Channel, CutoverName)>;

fn add(targets: &mut Targets, name: &CutoverName, notify: &Notify) {
    for channel in notify.all() {
        let known = targets.entry(channel.id());
        known.or_insert_with(|| (channel, name.clone()));
    }
}

/// The outcome of the test of one channel.
struct Tried {
    channel: String,
    outcome: Result<(), String>,
}

/// Sends a test message to every channel, and prints what each of them answered.
///
/// # Errors
/// There is no such plan or cutover, a plan is not valid, there is no channel to test, or the journal cannot be read.
pub fn run(context: &mut Context<'_>, args: &NotifyTest) -> Result<Exit> {
    block_on(async {
        let (paths, names): (Vec<&String>, Vec<&String>) =
            args.of.iter().partition(|of| Path::new(of).exists());
        let mut targets = Targets::default();
        of_files(context, &paths, &mut targets)?;
        if !names.is_empty() || args.of.is_empty() {
            let names: Vec<String> = names.into_iter().cloned().collect();
            of_journal(context, &names, &mut targets).await?;
        }
        if targets.is_empty() {
            let hint =
                "add `notify` to a plan: docs/notifications.md has an example for each channel";
            return Err(Expected::usage("there is no channel to test", Some(hint)).into());
        }
        let tried = try_all(context, targets).await;
        show(context, &tried)?;
        let failed = tried.iter().any(|tried| tried.outcome.is_err());
        Ok(if failed { Exit::Unexpected } else { Exit::Done })
    })
}

fn of_files(context: &mut Context<'_>, paths: &[&String], targets: &mut Targets) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
    let found = plans::find(&paths);
    let fleet = found.fleet.clone();
    for source in found.require_valid(context)? {
        if let Some(notify) = &source.plan.notify {
            add(targets, &source.plan.name, notify);
        }
    }
    if let Some(notify) = fleet.and_then(|(_, settings)| settings.notify) {
        add(targets, &crate::engine::fleet::stream(), &notify);
    }
    Ok(())
}

async fn of_journal(
    context: &mut Context<'_>,
    names: &[String],
    targets: &mut Targets,
) -> Result<()> {
    let journal = open_journal(context, Open::ReadOnly).await?;
    let books = Books::read(journal.as_ref()).await?;
    let wanted: Vec<CutoverName> = if names.is_empty() {
        let unfinished = books.states().filter(|state| !state.phase.is_final());
        unfinished.map(|state| state.name.clone()).collect()
    } else {
        let named = resolve(names, &books.names())?;
        named.into_iter().map(|named| named.name).collect()
    };
    for name in wanted {
        // Pages about a damaged cutover go to the channels of its plan before the damage.
        let state = books.last_good(&name);
        if let Some(notify) = state.and_then(|state| state.plan().notify.as_ref()) {
            add(targets, &name, notify);
        }
    }
    if names.is_empty()
        && let Some(notify) = &books.fleet().settings.notify
    {
        add(targets, &crate::engine::fleet::stream(), notify);
    }
    Ok(())
}

/// Tests all channels, one after the other.
async fn try_all(context: &Context<'_>, targets: Targets) -> Vec<Tried> {
    let clock: Arc<dyn Clock> = Arc::new(context.clock);
    let aws = connect(Options::from_environment(Arc::clone(&clock))).await;
    let channels: Channels = channels(Arc::new(aws.topics), Arc::clone(&clock));
    let mut tried = Vec::new();
    for (id, (channel, name)) in targets {
        let delivery = Delivery {
            channel,
            notice: test(&name, clock.as_ref()),
            memo: None,
        };
        let delivered = channels.deliver(&delivery).await;
        tried.push(Tried {
            channel: channel_shown(&id),
            outcome: delivered.map(drop).map_err(|undelivered| undelivered.why),
        });
    }
    tried
}

/// Returns the test message, as a notice about the cutover `name`.
fn test(name: &CutoverName, clock: &dyn Clock) -> Notice {
    Notice {
        entry: Envelope {
            cutover: name.clone(),
            attempt: 1,
            seq: 0,
            at: clock.now(),
            actor: "cutover notify-test".to_owned(),
            version: JOURNAL_VERSION,
            // This event is never shown: channels recognise a test by `test`.
            event: Event::StepHeld {
                because: Vec::new(),
            },
        },
        pages: false,
        settles: Vec::new(),
        causes: Vec::new(),
        others: Vec::new(),
        standing: None,
        test: true,
    }
}

fn show(context: &mut Context<'_>, tried: &[Tried]) -> Result<()> {
    if context.json() {
        let rows = tried.iter().map(|tried| {
            json!({
                "channel": tried.channel,
                "ok": tried.outcome.is_ok(),
                "message": tried.outcome.as_ref().err(),
            })
        });
        return context.print_json(&Value::Array(rows.collect()));
    }
    for tried in tried {
        let line = match &tried.outcome {
            Ok(()) => format!(
                "{} {}\n",
                text::styled(text::GOOD, "delivered"),
                one_line(&tried.channel)
            ),
            Err(why) => format!(
                "{} {}: {}\n",
                text::styled(text::BAD, "failed   "),
                one_line(&tried.channel),
                one_line(why)
            ),
        };
        context.print(&line)?;
    }
    Ok(())
}

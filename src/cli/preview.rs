//! `cutover preview`: what is in AWS, what each step would change, and when it can happen. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use jiff::{SignedDuration, Timestamp};

use super::args;
use super::books::{Books, open_journal};
use super::clock::here;
use super::context::{Context, runtime};
use super::error::Expected;
use super::exit::Exit;
use super::plans;
use crate::aws::{Options, connect};
use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
use crate::engine::fleet::FleetSettings;
use crate::engine::fold::fold;
use crate::engine::observation::{AlarmReading, Beside, FileReading, GroupReading, Observation};
use crate::engine::plan::{Group, HoldOrRevert, Plan, PlanSource};
use crate::engine::preflight;
use crate::engine::record::RecordSet;
use crate::engine::state::State;
use crate::engine::units::{AlarmId, ControllerId, CutoverName, ZoneId};
use crate::journal::Open;
use crate::plan_file;
use crate::ports::{CallError, Clock, Dns, Signals, Urgency};
use crate::report::preview::{AlarmView, GroupView, Preview, to_json, to_text};
use crate::report::text;

/// What an alias to a load balancer is answered with: its records live 60 s.
///
/// Source: Route 53 Developer Guide, choosing between alias and non-alias records.
const ALIAS_TTL_SECS: u32 = 60;

/// Previews plans against AWS.
///
/// # Errors
/// A plan is not valid, or the start is refused.
pub fn run(context: &mut Context<'_>, args: &args::Preview) -> Result<Exit> {
    runtime()?.block_on(async {
        let known = known_names(context).await?;
        let sources = plans::find_beside(&args.paths, &known).require_valid(context)?;
        let aws = connect(Options::from_environment(Arc::new(context.clock))).await;
        preview(context, args, &sources, &aws.dns, &aws.signals).await
    })
}

/// Looks at what each plan would meet, and shows it.
///
/// # Errors
/// The start of any is refused.
pub async fn preview(
    context: &mut Context<'_>,
    args: &args::Preview,
    sources: &[PlanSource],
    dns: &dyn Dns,
    signals: &dyn Signals,
) -> Result<Exit> {
    let known = known_states(context, sources).await?;
    let now = context.clock.now();
    let mut previews = Vec::new();
    for source in sources {
        let state = match known.get(&source.plan.name) {
            Some(state) => State {
                source: source.clone(),
                ..state.clone()
            },
            None => fresh_state(source, now)?,
        };
        let readings = Readings::take(&source.plan, dns, signals, now).await;
        let fleet = fleet_of(source);
        let preview = readings.into_preview(args, &state, &known, now);
        previews.push(Preview { fleet, ..preview });
    }
    if context.json() {
        context.print_json(&to_json(&previews))?;
    } else {
        let width = context.terminal.width;
        let shown: Vec<String> = previews
            .iter()
            .map(|preview| to_text(preview, width))
            .collect();
        context.print(&shown.join("\n"))?;
    }
    if previews.iter().any(Preview::refused) {
        return Ok(Exit::PreflightRefused);
    }
    Ok(Exit::Done)
}

/// The limits of the fleet's file that applies to a plan. What is wrong with it was said when the plan was loaded.
fn fleet_of(source: &PlanSource) -> Option<FleetSettings> {
    let directory = Path::new(&source.path).parent()?;
    let path = plan_file::fleet_path(directory).ok().flatten()?;
    plan_file::load_fleet(&path)
        .ok()
        .map(|fleet| fleet.settings)
}

/// The cutovers that the journal knows, which plans may come after.
async fn known_names(context: &Context<'_>) -> Result<BTreeSet<CutoverName>> {
    match open_journal(context, Open::ReadOnly) {
        Ok(journal) => {
            let books = Books::read(journal.as_ref()).await?;
            Ok(books.names().into_iter().collect())
        }
        // What is wrong with it is said when the preview is made.
        Err(_) => Ok(BTreeSet::new()),
    }
}

/// What the journal says, if there is one: a preview needs none.
async fn known_states(
    context: &mut Context<'_>,
    sources: &[PlanSource],
) -> Result<BTreeMap<CutoverName, State>> {
    let journal = match open_journal(context, Open::ReadOnly) {
        Ok(journal) => journal,
        Err(error) => match error.downcast_ref::<Expected>() {
            Some(Expected::JournalMissing { .. }) => return Ok(BTreeMap::new()),
            _ => return Err(error),
        },
    };
    let (states, _) = Books::read(journal.as_ref()).await?.states();
    for source in sources {
        if let Some(state) = states.get(&source.plan.name) {
            let name = &source.plan.name;
            let phase = state.phase.label();
            context.note(&format!("the journal knows {name}: it is {phase}"))?;
        }
    }
    Ok(states)
}

/// The state of a cutover that has only been accepted.
fn fresh_state(source: &PlanSource, now: Timestamp) -> Result<State> {
    let accepted = Envelope {
        cutover: source.plan.name.clone(),
        attempt: 1,
        seq: 1,
        at: now,
        actor: String::new(),
        version: JOURNAL_VERSION,
        event: Event::PlanAccepted {
            source: Box::new(source.clone()),
        },
    };
    fold([&accepted])?.ok_or_else(|| anyhow!("a plan that was accepted has no state"))
}

/// What was read for one plan.
struct Readings {
    groups: Vec<(GroupReading, Option<ZoneId>)>,
    alarms: BTreeMap<AlarmId, AlarmReading>,
    spans: BTreeMap<AlarmId, SignedDuration>,
    credentials_expire_at: Option<Timestamp>,
}

impl Readings {
    async fn take(plan: &Plan, dns: &dyn Dns, signals: &dyn Signals, now: Timestamp) -> Self {
        let mut groups = Vec::new();
        for group in &plan.records {
            groups.push(read_group(plan, group, dns, now).await);
        }
        let (mut alarms, mut spans) = (BTreeMap::new(), BTreeMap::new());
        for (account, wanted) in plan.alarms_by_account() {
            alarms.extend(signals.read_alarms(&account, &wanted).await);
            spans.extend(signals.alarm_spans(&account, &wanted).await);
        }
        Self {
            groups,
            alarms,
            spans,
            credentials_expire_at: signals.credentials_expire_at().await,
        }
    }

    fn into_preview(
        self,
        args: &args::Preview,
        state: &State,
        known: &BTreeMap<CutoverName, State>,
        now: Timestamp,
    ) -> Preview {
        let plan = state.plan().clone();
        let observation = Observation {
            me: ControllerId::from("preview"),
            groups: self
                .groups
                .iter()
                .map(|(reading, _)| reading.clone())
                .collect(),
            alarms: BTreeMap::new(),
            histories: BTreeMap::new(),
            series: BTreeMap::new(),
            changes: BTreeMap::new(),
            file: FileReading::NotWatched,
            in_flight: false,
            passed_at: None,
            groups_read_at: None,
            clock_skew: None,
            break_glass_error: None,
            claimed: claimed(&plan, known),
            baseline_as_is: args.baseline_as_is.then(String::new),
            beside: Beside::default(),
        };
        let problems = if state.has_started() {
            Vec::new()
        } else {
            preflight::images(state, &observation)
                .err()
                .unwrap_or_default()
        };
        let groups: Vec<GroupView> = plan
            .records
            .iter()
            .zip(self.groups)
            .map(|(group, (reading, zone_id))| view(group, reading, zone_id))
            .collect();
        let settle = plan.settle.unwrap_or_else(|| largest_ttl(&groups));
        let mut warnings = warnings(&plan, &groups);
        warnings.extend(short_bakes(&plan, &self.spans));
        if let Some(at) = self.credentials_expire_at {
            warnings.extend(short_credentials(&plan, settle, now, at));
        }
        Preview {
            fleet: None,
            warnings,
            path: state.source.path.clone(),
            alarms: alarm_views(&plan, &self.alarms),
            plan,
            now,
            here: here(),
            groups,
            settle,
            problems,
        }
    }
}

async fn read_group(
    plan: &Plan,
    group: &Group,
    dns: &dyn Dns,
    now: Timestamp,
) -> (GroupReading, Option<ZoneId>) {
    let account = &plan.aws.account;
    let zone = match dns.find_zone(account, &group.zone).await {
        Ok(zone) => zone,
        Err(error) => return (unreadable(&error, now), None),
    };
    let wanted = BTreeSet::from([group.name.clone()]);
    let mut read = dns
        .read_groups(account, &zone.id, &wanted, Urgency::Normal)
        .await;
    let reading = match read.remove(&group.name) {
        Some(Ok(members)) => GroupReading::Read {
            zone: zone.id.clone(),
            members,
            at: now,
        },
        Some(Err(error)) => unreadable(&error, now),
        None => GroupReading::NotRead,
    };
    (reading, Some(zone.id))
}

fn unreadable(error: &CallError, now: Timestamp) -> GroupReading {
    use crate::engine::event::FailureClass;
    GroupReading::Unreadable {
        message: error.to_string(),
        permanent: matches!(error.class, FailureClass::Permanent | FailureClass::Denied),
        since: now,
    }
}

/// The groups that other unfinished cutovers of the journal move.
fn claimed(plan: &Plan, known: &BTreeMap<CutoverName, State>) -> Vec<(usize, CutoverName)> {
    let others = || {
        known
            .values()
            .filter(|other| other.name != plan.name && !other.phase.is_final())
    };
    let mut claimed = Vec::new();
    for (index, group) in plan.records.iter().enumerate() {
        let same = |theirs: &Group| theirs.name == group.name && theirs.zone == group.zone;
        if let Some(other) = others().find(|other| other.plan().records.iter().any(same)) {
            claimed.push((index, other.name.clone()));
        }
    }
    claimed
}

fn view(group: &Group, reading: GroupReading, zone_id: Option<ZoneId>) -> GroupView {
    let members = match reading {
        GroupReading::Read { members, .. } => members,
        GroupReading::NotRead | GroupReading::Unreadable { .. } => Vec::new(),
    };
    GroupView {
        name: group.name.clone(),
        zone: group.zone.zone.clone(),
        zone_id,
        old: group.old.clone(),
        new: group.new.clone(),
        members,
    }
}

fn alarm_views(plan: &Plan, readings: &BTreeMap<AlarmId, AlarmReading>) -> Vec<AlarmView> {
    let gates = plan.gates.alarms.iter().map(|gate| (gate, false));
    let fallbacks = plan.gates.fallback_alarms.iter().map(|gate| (gate, true));
    let view = |id: &AlarmId, fallback: bool| {
        let not_answered = || AlarmReading::Unreadable("CloudWatch did not answer".to_owned());
        let reading = readings.get(id).cloned();
        AlarmView {
            id: id.clone(),
            fallback,
            reading: reading.unwrap_or_else(not_answered),
        }
    };
    gates
        .chain(fallbacks)
        .map(|(gate, fallback)| view(&gate.id, fallback))
        .collect()
}

fn ttl(record: &RecordSet) -> u32 {
    record.ttl.unwrap_or(ALIAS_TTL_SECS)
}

/// How long resolvers may go on with an old answer (RULES D2).
fn largest_ttl(groups: &[GroupView]) -> SignedDuration {
    let ttls = groups
        .iter()
        .flat_map(|group| group.members.iter().map(ttl));
    SignedDuration::from_secs(i64::from(ttls.max().unwrap_or(ALIAS_TTL_SECS)))
}

/// What CloudWatch may need on top of an alarm's own span until the alarm is red: late data, and its evaluation.
const ALARM_DELAY: SignedDuration = SignedDuration::from_mins(5);

/// Bakes that end before a bad step could have turned an alarm red (RULES K).
fn short_bakes(plan: &Plan, spans: &BTreeMap<AlarmId, SignedDuration>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (alarm, span) in spans {
        let needed = *span + ALARM_DELAY;
        let short = (1_u16..).zip(&plan.steps);
        let short: Vec<String> = short
            .filter(|(_, step)| step.bake < needed)
            .map(|(number, _)| number.to_string())
            .collect();
        if !short.is_empty() {
            let (steps, are) = if short.len() == 1 {
                ("bake of step", "is")
            } else {
                ("bakes of steps", "are")
            };
            warnings.push(format!(
                "the {steps} {} {are} too short for alarm {alarm}, which may need {} to turn red: {} of data \
                 and 5m until they are seen",
                short.join(", "),
                text::duration(needed),
                text::duration(*span),
            ));
        }
    }
    warnings
}

/// Credentials that end before the step after the first (RULES K).
fn short_credentials(
    plan: &Plan,
    settle: SignedDuration,
    now: Timestamp,
    expire_at: Timestamp,
) -> Option<String> {
    let bake = plan.steps.first()?.bake;
    let next = now.checked_add(settle).ok()?.checked_add(bake).ok()?;
    (expire_at < next).then(|| {
        format!(
            "the credentials expire at {}, before the next step at {}; run with a role, or with credentials that \
             renew themselves",
            text::minute(expire_at),
            text::minute(next),
        )
    })
}

/// What may be regretted later, as far as the records and the plan show it (RULES K).
fn warnings(plan: &Plan, groups: &[GroupView]) -> Vec<String> {
    let mut warnings = Vec::new();
    if plan.gates.on_unknown == HoldOrRevert::Revert {
        warnings.push(
            "`on_unknown: revert`: an outage of CloudWatch takes all traffic back to the old cluster"
                .to_owned(),
        );
    }
    let inside = plan
        .records
        .iter()
        .filter(|group| group.zone.private == Some(true));
    for group in inside.filter(|_| !plan.gates.measures.is_empty()) {
        warnings.push(format!(
            "{}: a private name has few callers, and all of one resolver go to the same side for as long as it keeps \
             the answer: the observed share is coarse by nature; steps of 50% and 100% with long bakes say more",
            group.name
        ));
    }
    for group in groups {
        let evaluates = |member: &&RecordSet| {
            let alias = member.alias.as_ref();
            member.set_identifier == group.old
                && alias.is_some_and(|alias| alias.evaluate_target_health)
        };
        let old = group.members.iter().find(evaluates);
        if old.is_some() && plan.gates.fallback_alarms.is_empty() {
            warnings.push(format!(
                "{}: the old side evaluates target health, and no fallback alarm watches it: if it is emptied, \
                 going back finds nothing; list one in `fallback_alarms`",
                group.name
            ));
        }
        for other in &group.members {
            if other.set_identifier != group.old && other.set_identifier != group.new {
                warnings.push(format!(
                    "{}: a third member, `{}`, has weight {}",
                    group.name, other.set_identifier, other.weight.0
                ));
            }
        }
        let longest = group.members.iter().map(ttl).max().unwrap_or(0);
        let settle = plan.settle.map(|settle| settle.as_secs());
        if settle.is_some_and(|settle| settle < i64::from(longest)) {
            warnings.push(format!(
                "{}: `settle` is shorter than the TTL of {}, so a bake begins before resolvers have seen the step",
                group.name,
                text::duration(SignedDuration::from_secs(i64::from(longest)))
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "\
version: 1
name: a
records: [ { zone: example.com, name: a.example.com, type: A, old: eks, new: ecs } ]
steps: [ { weight: 5%, bake: 10m }, { weight: 50%, bake: 4m }, { weight: 100%, bake: 1h } ]
gates: { alarms: [ errors, latency ] }
";

    #[test]
    fn bakes_that_end_before_an_alarm_could_be_red_are_warned_about() {
        let plan = plan_file::parse(PLAN, "a.yaml").unwrap().source.plan;
        let span = |name: &str, mins| {
            let alarm = AlarmId {
                name: name.to_owned(),
                region: None,
            };
            (alarm, SignedDuration::from_mins(mins))
        };
        let fits = BTreeMap::from([span("errors", 5)]);
        let warned = short_bakes(&plan, &fits);
        assert_eq!(warned.len(), 1);
        assert!(warned[0].contains("step 2 is too short for alarm errors"));
        let long = BTreeMap::from([span("errors", 6), span("latency", 90)]);
        let warned = short_bakes(&plan, &long);
        assert!(warned[0].contains("steps 1, 2 are"), "{warned:?}");
        assert!(warned[1].contains("steps 1, 2, 3 are"), "{warned:?}");
    }

    #[test]
    fn credentials_that_end_before_the_next_step_are_warned_about() {
        let plan = plan_file::parse(PLAN, "a.yaml").unwrap().source.plan;
        let (now, settle) = (Timestamp::UNIX_EPOCH, SignedDuration::from_mins(1));
        let after = |mins| now + SignedDuration::from_mins(mins);
        assert!(short_credentials(&plan, settle, now, after(10)).is_some());
        assert_eq!(short_credentials(&plan, settle, now, after(11)), None);
    }
}

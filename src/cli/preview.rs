//! `cutover preview`: what is in AWS, what each step would change, and when it can happen. Writes nothing.

mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use jiff::{SignedDuration, Timestamp};

use super::books::{Books, open_journal};
use super::check::SAY_WHO_IS_TOLD;
use super::clock::here;
use super::context::{Context, block_on};
use super::error::Expected;
use super::exit::Exit;
use super::{args, plans};
use crate::aws::{Options, connect};
use crate::engine::around::{self, AliasTtls, AroundReading};
use crate::engine::decide::{self, name_used};
use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
use crate::engine::evidence::outlook::outlook;
use crate::engine::evidence::plan::{Metric, Query};
use crate::engine::evidence::reading::{Readings as Series, SeriesReading};
use crate::engine::fleet::{Fleet, FleetSettings};
use crate::engine::fold::fold;
use crate::engine::hold::HoldReason;
use crate::engine::observation::{AlarmReading, Beside, FileReading, GroupReading, Observation};
use crate::engine::plan::{Group, HoldOrRevert, Plan, PlanSource};
use crate::engine::state::{Phase, State};
use crate::engine::units::{AlarmId, ControllerId, CutoverName, ZoneId};
use crate::engine::{preflight, warnings};
use crate::journal::Open;
use crate::plan_file;
use crate::ports::{Clock, Dns, Signals};
use crate::report::check::silence;
use crate::report::preview::{AlarmView, GroupView, Preview, StartedCutover, to_json, to_text};
use crate::report::{self, text};
use reads::{probe, read_group, read_series};

/// Shows what the plans would find and change in AWS.
///
/// # Errors
/// A plan is not valid, or the journal cannot be read. A refused start is an exit code.
pub fn run(context: &mut Context<'_>, args: &args::Preview) -> Result<Exit> {
    block_on(async {
        let known = known_names(context).await?;
        let sources = plans::find_beside(&args.paths, &known).require_valid(context)?;
        let aws = connect(Options::from_environment(Arc::new(context.clock))).await;
        preview(context, args, &sources, &aws.dns, &aws.signals).await
    })
}

/// Reads what each plan finds in AWS, and prints it. The exit code is [`Exit::PreflightRefused`] if preflight refuses
/// any start.
///
/// # Errors
/// The journal exists but cannot be read, or standard output cannot be written.
pub async fn preview(
    context: &mut Context<'_>,
    args: &args::Preview,
    sources: &[PlanSource],
    dns: &dyn Dns,
    signals: &dyn Signals,
) -> Result<Exit> {
    let (known, fleet) = known_states(context, sources).await?;
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
        let readings = PlanReadings::take(&state, dns, signals, now).await;
        let limits = fleet_of(source);
        let mut fleet = fleet.clone();
        if let Some(limits) = &limits {
            fleet.settings = limits.clone();
        }
        let file = FileReading::Plan(Arc::new(source.clone()));
        let ended = known.get(&source.plan.name);
        let used = ended.and_then(|ended| name_used(ended, &file));
        let preview = readings.into_preview(args, &state, (&known, &fleet), used, now);
        previews.push(Preview {
            fleet: limits,
            ..preview
        });
    }
    warn_of_silence(sources, &mut previews);
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

/// Adds one warning about all plans whose pages reach nobody, to the preview of the first such plan.
fn warn_of_silence(sources: &[PlanSource], previews: &mut [Preview]) {
    let mut names: Vec<String> = Vec::new();
    for source in sources {
        if source.plan.notify.is_none() {
            names.push(source.plan.name.to_string());
        }
    }
    let Some(first) = names.first() else {
        return;
    };
    let warning = format!("{}; {SAY_WHO_IS_TOLD}", silence(&names));
    for preview in previews {
        if preview.plan.name.as_str() == first {
            preview.warnings.push(warning);
            return;
        }
    }
}

/// Returns the settings of the `fleet.yaml` that applies to a plan; `None` if there is none or it is not valid. Its
/// problems were shown when the plan was loaded.
fn fleet_of(source: &PlanSource) -> Option<FleetSettings> {
    let directory = Path::new(&source.path).parent()?;
    let path = plan_file::fleet_path(directory).ok().flatten()?;
    plan_file::load_fleet(&path)
        .ok()
        .map(|fleet| fleet.settings)
}

/// Returns the names of the cutovers in the journal, because plans may come `after` them.
async fn known_names(context: &Context<'_>) -> Result<BTreeSet<CutoverName>> {
    match open_journal(context, Open::ReadOnly).await {
        Ok(journal) => {
            let books = Books::read(journal.as_ref()).await?;
            Ok(books.names().into_iter().collect())
        }
        // The error is reported by `known_states`, which opens the journal again.
        Err(_) => Ok(BTreeSet::new()),
    }
}

/// Returns the states of all cutovers in the journal, and the fleet. Both are empty if there is no journal, because a
/// preview needs none.
async fn known_states(
    context: &mut Context<'_>,
    sources: &[PlanSource],
) -> Result<(BTreeMap<CutoverName, State>, Fleet)> {
    let journal = match open_journal(context, Open::ReadOnly).await {
        Ok(journal) => journal,
        Err(error) => {
            if let Some(Expected::JournalMissing { .. }) = error.downcast_ref::<Expected>() {
                return Ok((BTreeMap::new(), Fleet::default()));
            }
            return Err(error);
        }
    };
    let books = Books::read(journal.as_ref()).await?;
    let states = books
        .states()
        .map(|state| (state.name.clone(), state.clone()));
    let states: BTreeMap<CutoverName, State> = states.collect();
    for source in sources {
        if let Some(damage) = books.fleet().damage(&source.plan.name) {
            let (name, entry, why) = (&source.plan.name, damage.entry, &damage.why);
            context.note(&format!(
                "the journal of {name} is damaged: entry {entry} cannot be used: {why}; the preview uses the entries before it"
            ))?;
        }
        if let Some(state) = states.get(&source.plan.name) {
            let name = &source.plan.name;
            let phase = state.phase.label();
            context.note(&format!("{name} is in the journal already, and is {phase}"))?;
        }
    }
    Ok((states, books.fleet().clone()))
}

/// Returns the state of a cutover right after its plan was accepted.
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

/// Everything that was read from AWS for one plan.
struct PlanReadings {
    groups: Vec<(GroupReading, Option<ZoneId>)>,
    around: Vec<AroundReading>,
    alarms: BTreeMap<AlarmId, AlarmReading>,
    series: Series,
    spans: BTreeMap<AlarmId, SignedDuration>,
    /// Calls that a controller needs later and that the credentials may not make.
    denied: Vec<HoldReason>,
    credentials_expire_at: Option<Timestamp>,
}

impl PlanReadings {
    async fn take(state: &State, dns: &dyn Dns, signals: &dyn Signals, now: Timestamp) -> Self {
        let plan = state.plan();
        let (mut groups, mut around) = (Vec::new(), Vec::new());
        for (index, group) in plan.records.iter().enumerate() {
            let account = plan.account_of_group(index);
            let (reading, zone_id, surroundings) = read_group(account, group, dns, now).await;
            groups.push((reading, zone_id));
            around.push(surroundings);
        }
        let (mut readings, mut spans) = (BTreeMap::new(), BTreeMap::new());
        for (account, wanted) in plan.alarms_by_account() {
            readings.extend(signals.read_alarms(&account, &wanted).await);
            spans.extend(signals.alarm_spans(&account, &wanted).await);
        }
        Self {
            groups,
            around,
            alarms: readings,
            series: read_series(state, signals, now).await,
            spans,
            denied: probe(plan, dns, signals, now).await,
            credentials_expire_at: signals.credentials_expire_at().await,
        }
    }

    fn observation(
        &self,
        plan: &Plan,
        args: &args::Preview,
        known: &BTreeMap<CutoverName, State>,
    ) -> Observation {
        let groups = self.groups.iter();
        Observation {
            me: ControllerId::from("preview"),
            groups: groups.map(|(reading, _)| reading.clone()).collect(),
            around: self.around.clone(),
            alarms: self.alarms.clone(),
            histories: BTreeMap::new(),
            series: self.series.clone(),
            changes: BTreeMap::new(),
            file: FileReading::NotWatched,
            in_flight: false,
            passed_at: None,
            passed_for: None,
            groups_read_at: None,
            clock_skew: None,
            break_glass_error: None,
            claimed: claimed(plan, known),
            baseline_as_is: args.baseline_as_is.then(String::new),
            beside: Beside::default(),
        }
    }

    fn into_preview(
        self,
        args: &args::Preview,
        state: &State,
        (known, fleet): (&BTreeMap<CutoverName, State>, &Fleet),
        used: Option<HoldReason>,
        now: Timestamp,
    ) -> Preview {
        let plan = state.plan().clone();
        let observation = self.observation(&plan, args, known);
        let (mut problems, mut holds) = (Vec::new(), Vec::new());
        if state.phase == Phase::Waiting {
            let refused = preflight::images(state, &observation).err();
            problems = refused.unwrap_or_default();
            let because = decide::decide(state, fleet, &observation, now).because;
            for reason in because {
                if matches!(reason, HoldReason::Denied { .. }) {
                    problems.push(reason);
                } else if !problems.contains(&reason) && !is_of_first_look(&reason) {
                    holds.push(reason);
                }
            }
        }
        problems.extend(used);
        problems.extend(self.denied);
        problems.sort();
        problems.dedup();
        let groups: Vec<GroupView> = plan
            .records
            .iter()
            .zip(self.groups)
            .map(|(group, (reading, zone_id))| view(group, reading, zone_id))
            .collect();
        let settle = match plan.settle {
            Some(settle) => settle,
            None => largest_ttl(&observation, &plan),
        };
        let mut warned = of_plan(&plan, &groups);
        warned.extend(short_settle(&plan, &observation));
        warned.extend(warnings::around(&plan, &observation));
        warned.extend(warnings::short_bakes(&plan, &self.spans));
        warned.extend(silent_series(&plan, &self.series));
        let standing = standing(state);
        let outlook = match standing {
            Some(_) => None,
            None => outlook(&plan, &self.series),
        };
        if let Some(seen) = &outlook {
            warned.extend(report::outlook::warnings(seen, &plan));
        }
        if let Some(at) = self.credentials_expire_at {
            warned.extend(short_credentials(&plan, settle, now, at));
        }
        Preview {
            fleet: None,
            warnings: warned,
            path: state.source.path.clone(),
            alarms: alarm_views(&plan, &self.alarms),
            standing,
            plan,
            now,
            here: here(),
            groups,
            settle,
            problems,
            holds,
            outlook,
        }
    }
}

/// Returns true if the hold exists only because a controller has just started. Such a hold does not apply to a preview.
fn is_of_first_look(reason: &HoldReason) -> bool {
    matches!(reason, HoldReason::JobsUnseen {})
}

/// Returns where a cutover is; `None` if it still waits.
fn standing(state: &State) -> Option<StartedCutover> {
    if state.phase == Phase::Waiting {
        return None;
    }
    Some(StartedCutover {
        phase: state.phase,
        step: state.step,
        since: state.phase_since,
        because: state.held.clone(),
    })
}

/// Returns the index of each group that another unfinished cutover of the journal moves too, with the first such
/// cutover.
fn claimed(plan: &Plan, known: &BTreeMap<CutoverName, State>) -> Vec<(usize, CutoverName)> {
    let mut claimed = Vec::new();
    for (index, group) in plan.records.iter().enumerate() {
        for other in known.values() {
            if other.name != plan.name && !other.phase.is_final() && moves(other, group) {
                claimed.push((index, other.name.clone()));
                break;
            }
        }
    }
    claimed
}

fn moves(state: &State, group: &Group) -> bool {
    let mut theirs = state.plan().records.iter();
    theirs.any(|theirs| theirs.name == group.name && theirs.zone == group.zone)
}

fn view(group: &Group, reading: GroupReading, zone_id: Option<ZoneId>) -> GroupView {
    let (members, unread) = match reading {
        GroupReading::Read { members, .. } => (members, None),
        GroupReading::NotRead => (Vec::new(), Some("Route 53 did not answer".to_owned())),
        GroupReading::Unreadable { message, .. } => (Vec::new(), Some(message)),
    };
    GroupView {
        name: group.name.clone(),
        zone: group.zone.zone.clone(),
        zone_id,
        old: group.old.clone(),
        new: group.new.clone(),
        members,
        unread,
    }
}

fn alarm_views(plan: &Plan, readings: &BTreeMap<AlarmId, AlarmReading>) -> Vec<AlarmView> {
    let mut views = Vec::new();
    for gate in &plan.gates.alarms {
        views.push(alarm_view(&gate.id, false, readings));
    }
    for gate in &plan.gates.fallback_alarms {
        views.push(alarm_view(&gate.id, true, readings));
    }
    views
}

fn alarm_view(
    id: &AlarmId,
    fallback: bool,
    readings: &BTreeMap<AlarmId, AlarmReading>,
) -> AlarmView {
    let reading = match readings.get(id) {
        Some(reading) => reading.clone(),
        None => AlarmReading::Unreadable("CloudWatch did not answer".to_owned()),
    };
    AlarmView {
        id: id.clone(),
        fallback,
        reading,
    }
}

/// Returns how long resolvers may keep an old answer: the largest TTL of all groups (semantics D2, L11).
fn largest_ttl(observation: &Observation, plan: &Plan) -> SignedDuration {
    let mut longest: Option<u32> = None;
    for (index, group) in plan.records.iter().enumerate() {
        longest = longest.max(group_ttl(observation, index, group));
    }
    let longest = longest.unwrap_or(around::AWS_ALIAS_TTL_SECS);
    SignedDuration::from_secs(i64::from(longest))
}

/// Returns how long resolvers keep an answer about a group, in seconds; `None` if the group could not be read.
fn group_ttl(observation: &Observation, index: usize, group: &Group) -> Option<u32> {
    let image = preflight::read_image(group, observation.groups.get(index)?).ok()?;
    let known = match observation.around.get(index) {
        Some(AroundReading::Read(around)) => around::alias_ttls(&image, &around.records),
        Some(AroundReading::NotRead | AroundReading::Unreadable { .. }) | None => AliasTtls::new(),
    };
    Some(around::group_ttl_secs(&image, &known))
}

/// Returns a warning for each group whose TTL is longer than the plan's `settle`.
fn short_settle(plan: &Plan, observation: &Observation) -> Vec<String> {
    let Some(settle) = plan.settle else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    for (index, group) in plan.records.iter().enumerate() {
        let ttl = group_ttl(observation, index, group).unwrap_or(0);
        let ttl = SignedDuration::from_secs(i64::from(ttl));
        if settle < ttl {
            warnings.push(format!(
                "{}: `settle` is shorter than the TTL of {}, so a bake begins before resolvers have seen the step",
                group.name,
                text::duration(ttl)
            ));
        }
    }
    warnings
}

/// Returns warnings about metrics without data in the last hour. Before the start, a wrong name and a service without
/// traffic look the same.
fn silent_series(plan: &Plan, series: &Series) -> Vec<String> {
    let mut warnings = Vec::new();
    for (query, _) in plan.gates.measures.queries() {
        let said = match series.get(query) {
            Some(SeriesReading::Read { points, .. }) if points.is_empty() => {
                let hint = if query.inputs.values().any(is_container_insights) {
                    "turn on Container Insights, or check the names"
                } else {
                    "check the names, unless nobody has used it yet"
                };
                format!("has no data in the last hour; {hint}")
            }
            Some(SeriesReading::Read { .. } | SeriesReading::Denied(_)) => continue,
            Some(SeriesReading::Unreadable(why)) => format!("cannot be read: {why}"),
            None => "was not read".to_owned(),
        };
        let warning = format!("the metric {} {said}", shown(query));
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

fn is_container_insights(metric: &Metric) -> bool {
    metric.namespace.contains("ContainerInsights")
}

/// Returns a series as text: its metrics with their dimensions, or its expression.
fn shown(query: &Query) -> String {
    if query.inputs.is_empty()
        && let Some(expression) = &query.expression
    {
        return expression.clone();
    }
    let inputs: Vec<String> = query.inputs.values().map(metric_shown).collect();
    inputs.join(" and ")
}

fn metric_shown(metric: &Metric) -> String {
    let mut dimensions = Vec::new();
    for (key, value) in &metric.dimensions {
        dimensions.push(format!("{key}={value}"));
    }
    let dimensions = dimensions.join(", ");
    format!("{} {} ({dimensions})", metric.namespace, metric.metric)
}

/// Returns a warning if the credentials expire before the second step (semantics K).
fn short_credentials(
    plan: &Plan,
    settle: SignedDuration,
    now: Timestamp,
    expire_at: Timestamp,
) -> Option<String> {
    let bake = plan.steps.first()?.bake;
    let next = now.checked_add(settle).ok()?.checked_add(bake).ok()?;
    if expire_at >= next {
        return None;
    }
    Some(format!(
        "the credentials expire at {}, before the next step at {}; use a role, or credentials that are renewed \
         automatically",
        text::minute(expire_at),
        text::minute(next),
    ))
}

/// Returns warnings about the plan and its records (semantics K).
fn of_plan(plan: &Plan, groups: &[GroupView]) -> Vec<String> {
    let mut warnings = Vec::new();
    if plan.gates.on_unknown == HoldOrRevert::Revert {
        warnings.push(
            "`on_unknown: revert`: an outage of CloudWatch sends all traffic back to the old cluster"
                .to_owned(),
        );
    }
    for group in &plan.records {
        if group.zone.private == Some(true) && !plan.gates.measures.is_empty() {
            warnings.push(format!(
                "{}: a private name has few callers, and all callers of one resolver go to the same side until its cached \
                 answer expires, so the observed share is coarse; use steps of 50% and 100% with long bakes",
                group.name
            ));
        }
    }
    for group in groups {
        if plan.gates.fallback_alarms.is_empty() && evaluates_old_health(group) {
            warnings.push(format!(
                "{}: the old side evaluates target health, and no fallback alarm watches it: if it has no healthy \
                 target, a revert cannot send traffic to it; add an alarm to `fallback_alarms`",
                group.name
            ));
        }
        let misspelt = preflight::in_other_case(&group.old, &group.new, &group.members);
        for other in &group.members {
            if let Some((key, identifier)) = misspelt
                && other.set_identifier == identifier
            {
                warnings.push(format!(
                    "{}: set identifiers are case-sensitive: write `{key}: {identifier}` in the plan",
                    group.name
                ));
            } else if other.set_identifier != group.old && other.set_identifier != group.new {
                warnings.push(format!(
                    "{}: a third member, `{}`, has weight {}",
                    group.name, other.set_identifier, other.weight.0
                ));
            }
        }
    }
    warnings
}

/// Returns true if the old member is an alias that evaluates the health of its target.
fn evaluates_old_health(group: &GroupView) -> bool {
    for member in &group.members {
        if member.set_identifier == group.old
            && let Some(alias) = &member.alias
            && alias.evaluate_target_health
        {
            return true;
        }
    }
    false
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

    fn span(name: &str, mins: i64) -> (AlarmId, SignedDuration) {
        let alarm = AlarmId {
            name: name.to_owned(),
            region: None,
        };
        (alarm, SignedDuration::from_mins(mins))
    }

    #[test]
    fn bakes_that_end_before_an_alarm_could_be_red_are_warned_about() {
        let plan = plan_file::parse(PLAN, "a.yaml").unwrap().source.plan;
        let fits = BTreeMap::from([span("errors", 5)]);
        let warned = warnings::short_bakes(&plan, &fits);
        assert_eq!(warned.len(), 1);
        assert!(warned[0].contains("step 2 is too short for alarm errors"));
        let long = BTreeMap::from([span("errors", 6), span("latency", 90)]);
        let warned = warnings::short_bakes(&plan, &long);
        assert!(warned[0].contains("steps 1, 2 are"), "{warned:?}");
        assert!(warned[1].contains("steps 1, 2, 3 are"), "{warned:?}");
    }

    #[test]
    fn credentials_that_end_before_the_next_step_are_warned_about() {
        let plan = plan_file::parse(PLAN, "a.yaml").unwrap().source.plan;
        let (now, settle) = (Timestamp::UNIX_EPOCH, SignedDuration::from_mins(1));
        let (early, late) = (
            now + SignedDuration::from_mins(10),
            now + SignedDuration::from_mins(11),
        );
        assert!(short_credentials(&plan, settle, now, early).is_some());
        assert_eq!(short_credentials(&plan, settle, now, late), None);
    }
}

//! Surveys before a start: readings of the records around the plan's own, made once for all cutovers that start in a
//! zone.
//!
//! A survey of a large zone takes more pages than a round may wait for. It runs in parallel to the rounds, and only the
//! starts that need it wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::around::{self, Around, AroundReading};
use crate::engine::decide::DRIFT_CHECK_EVERY;
use crate::engine::event::FailureClass;
use crate::engine::plan::{Account, Plan, ZoneRef};
use crate::engine::record::GroupName;
use crate::engine::state::{Phase, State};
use crate::engine::units::{AlarmId, CutoverName, ZoneId};
use crate::engine::warnings;
use crate::ports::{CallError, Dns, Signals, Zone, follow_aliases};

/// The longest time for a survey: enough for the 34 pages of a zone of 10,000 record sets among other calls.
const SURVEY_WITHIN: Duration = Duration::from_mins(1);

/// Number of tries of a survey before it counts as failed.
const TRIES: u32 = 3;
/// Time between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long the result of a survey is used before the zone is surveyed again.
const VALID: SignedDuration = DRIFT_CHECK_EVERY;

/// A zone, and the credentials that it is read with.
pub(super) type SurveyPlace = (Account, ZoneId);

type SurveyOutcome = Result<Arc<Around>, CallError>;

/// A zone that must be surveyed.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The zone as the plan names it.
    pub(super) named: ZoneRef,
    /// The zone as it was found; `None` if it was not looked up.
    pub(super) zone: Option<Zone>,
    /// The groups of the cutovers that are about to start.
    pub(super) groups: BTreeSet<GroupName>,
}

/// A survey that is in progress or done.
struct Survey {
    began_at: Timestamp,
    groups: BTreeSet<GroupName>,
    outcome: watch::Receiver<Option<SurveyOutcome>>,
    /// The task that reads. It is cancelled when this is dropped.
    _task: JoinSet<()>,
}

/// The last survey of each zone by this process.
#[derive(Default)]
pub(super) struct Surveys {
    known: BTreeMap<SurveyPlace, Survey>,
}

impl Surveys {
    /// Starts the surveys that are needed and not known. Returns one task per zone, which ends when its survey has
    /// ended.
    pub(super) fn begin(
        &mut self,
        dns: &Arc<dyn Dns>,
        wanted: BTreeMap<SurveyPlace, Wanted>,
        now: Timestamp,
    ) -> JoinSet<SurveyPlace> {
        let mut waits = JoinSet::new();
        for (place, wanted) in wanted {
            if !self.is_known(&place, &wanted, now) {
                let survey = Survey::begin(dns, &place, wanted, now);
                self.known.insert(place.clone(), survey);
            }
            let Some(survey) = self.known.get(&place) else {
                continue;
            };
            let mut outcome = survey.outcome.clone();
            waits.spawn(async move {
                // A survey that ended without an outcome is started again with the next reading.
                drop(outcome.wait_for(Option::is_some).await);
                place
            });
        }
        waits
    }

    fn is_known(&self, place: &SurveyPlace, wanted: &Wanted, now: Timestamp) -> bool {
        let Some(survey) = self.known.get(place) else {
            return false;
        };
        let covers = survey.groups.is_superset(&wanted.groups);
        let failed = matches!(*survey.outcome.borrow(), Some(Err(_)));
        covers && !failed && now.duration_since(survey.began_at) < VALID
    }

    /// Returns the records around a group, as far as they were read.
    pub(super) fn reading(&self, place: &SurveyPlace, group: &GroupName) -> AroundReading {
        let Some(survey) = self.known.get(place) else {
            return AroundReading::NotRead;
        };
        if !survey.groups.contains(group) {
            return AroundReading::NotRead;
        }
        match &*survey.outcome.borrow() {
            None => AroundReading::NotRead,
            Some(Ok(around)) => AroundReading::Read(Arc::clone(around)),
            Some(Err(error)) => unreadable(error),
        }
    }
}

fn unreadable(error: &CallError) -> AroundReading {
    AroundReading::Unreadable {
        message: error.to_string(),
        denied: denied_action(error),
    }
}

impl Survey {
    fn begin(dns: &Arc<dyn Dns>, place: &SurveyPlace, wanted: Wanted, now: Timestamp) -> Self {
        let (told, outcome) = watch::channel(None);
        let groups = wanted.groups.clone();
        let (dns, (account, id)) = (Arc::clone(dns), place.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let looking = try_to_look(dns.as_ref(), &account, &id, &wanted);
            let looked = tokio::time::timeout(SURVEY_WITHIN, looking).await;
            let outcome = looked.unwrap_or_else(|_| Err(late()));
            told.send_replace(Some(outcome.map(Arc::new)));
        });
        Self {
            began_at: now,
            groups,
            outcome,
            _task: task,
        }
    }
}

fn late() -> CallError {
    let message = "Route 53 did not answer within 60 s";
    CallError::new("ListResourceRecordSets", FailureClass::Transient, message)
}

async fn try_to_look(
    dns: &dyn Dns,
    account: &Account,
    id: &ZoneId,
    wanted: &Wanted,
) -> Result<Around, CallError> {
    let mut tries = 1;
    loop {
        let failed = match look_around(dns, account, id, wanted).await {
            Ok(around) => return Ok(around),
            Err(error) => error,
        };
        let for_good = matches!(failed.class, FailureClass::Denied | FailureClass::Permanent);
        if for_good || tries >= TRIES {
            return Err(failed);
        }
        tries += 1;
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
}

/// Reads the records around some groups of a zone, and the zones below it.
async fn look_around(
    dns: &dyn Dns,
    account: &Account,
    id: &ZoneId,
    wanted: &Wanted,
) -> Result<Around, CallError> {
    let zone = match &wanted.zone {
        Some(zone) => zone.clone(),
        None => dns.find_zone(account, &wanted.named).await?,
    };
    let groups = wanted.groups.iter();
    let names = groups.flat_map(|group| around::names(group, &zone.name));
    let records = dns.read_around(account, id, &names.collect()).await?;
    let records = follow_aliases(dns, account, id, records).await?;
    let (mut longer, mut longer_unread) = (Vec::new(), None);
    match dns.zones_below(account, &zone).await {
        Ok(zones) => longer.extend(zones.into_iter().map(|zone| (zone.id, zone.name))),
        // Plans that name zones by ID did not need permission for this action before. So its lack is reported, and
        // holds nothing.
        Err(error) if error.class == FailureClass::Denied => {
            longer_unread = Some(error.to_string());
        }
        Err(error) => return Err(error),
    }
    Ok(Around {
        zone: zone.name,
        records,
        longer,
        longer_unread,
    })
}

/// Reads the records around one group now, for previews. Waits at most `SURVEY_WITHIN`.
pub async fn around_now(
    dns: &dyn Dns,
    account: &Account,
    named: &ZoneRef,
    zone: Zone,
    group: &GroupName,
) -> AroundReading {
    let id = zone.id.clone();
    let wanted = Wanted {
        named: named.clone(),
        zone: Some(zone),
        groups: BTreeSet::from([group.clone()]),
    };
    let looking = try_to_look(dns, account, &id, &wanted);
    let looked = tokio::time::timeout(SURVEY_WITHIN, looking).await;
    match looked.unwrap_or_else(|_| Err(late())) {
        Ok(around) => AroundReading::Read(Arc::new(around)),
        Err(error) => unreadable(&error),
    }
}

/// Returns true if the records around a cutover's groups must be read: it is about to start, or one of its images leads
/// through an alias whose TTL is not known.
pub(super) fn wants(state: &State) -> bool {
    if state.phase == Phase::Waiting {
        return state.rollback.is_none();
    }
    if !matches!(state.phase, Phase::Settling | Phase::Baking) {
        return false;
    }
    let mut images = state.verified.iter().flatten();
    images.any(|image| around::lacks_ttl(image, &state.alias_ttls))
}

/// The warnings about starts that were logged, and the readings in progress of how far back alarms look.
#[derive(Default)]
pub(super) struct Warnings {
    told: BTreeSet<(CutoverName, String)>,
    asked: BTreeSet<CutoverName>,
    spans: JoinSet<Spans>,
}

/// The plans of some cutovers, and how far back their alarms look.
type Spans = (
    Vec<(CutoverName, Arc<Plan>)>,
    BTreeMap<AlarmId, SignedDuration>,
);

impl Warnings {
    /// Starts to read how far back the alarms of starting cutovers look, once for each cutover.
    pub(super) fn ask(&mut self, signals: &Arc<dyn Signals>, states: &[&State]) {
        let mut fresh: BTreeMap<Account, Vec<(CutoverName, Arc<Plan>)>> = BTreeMap::new();
        for state in states {
            let waits = state.phase == Phase::Waiting && !state.has_started();
            if !waits || !self.asked.insert(state.name.clone()) {
                continue;
            }
            let plan = Arc::new(state.plan().clone());
            for account in plan.alarms_by_account().into_keys() {
                let plan = (state.name.clone(), Arc::clone(&plan));
                fresh.entry(account).or_default().push(plan);
            }
        }
        for (account, plans) in fresh {
            let signals = Arc::clone(signals);
            self.spans.spawn(async move {
                let alarms = plans.iter().flat_map(|(_, plan)| plan.alarms());
                let alarms = alarms.map(|gate| gate.id.clone()).collect();
                let spans = signals.alarm_spans(&account, &alarms).await;
                (plans, spans)
            });
        }
    }

    /// Logs warnings about bakes that are shorter than alarms look back, for plans whose reading has arrived.
    pub(super) fn tell_spans(&mut self) {
        while let Some(joined) = self.spans.try_join_next() {
            // If the adapter panics, the spans stay unknown, and no warning is logged.
            let Ok((plans, spans)) = joined else {
                continue;
            };
            for (name, plan) in plans {
                let mut own = BTreeMap::new();
                for gate in plan.alarms() {
                    if let Some(span) = spans.get(&gate.id) {
                        own.insert(gate.id.clone(), *span);
                    }
                }
                self.tell(&name, warnings::short_bakes(&plan, &own));
            }
        }
    }

    /// Logs warnings that were not logged before.
    pub(super) fn tell(&mut self, name: &CutoverName, warnings: Vec<String>) {
        for warning in warnings {
            if self.told.insert((name.clone(), warning.clone())) {
                tracing::warn!(cutover = %name, "{warning}");
            }
        }
    }
}

/// Returns the IAM action that was denied, as policies name it; `None` if the error is another one.
pub(super) fn denied_action(error: &CallError) -> Option<String> {
    if error.class != FailureClass::Denied {
        return None;
    }
    Some(format!("route53:{}", error.operation))
}

//! Looking around before a start: what stands beside the plan's records, read once for all that start in a zone.
//!
//! A survey of a large zone takes more pages than a round may wait for. It goes on beside the rounds, and the starts that
//! want it wait; nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::observe::denied_action;
use crate::engine::around::{self, Around, AroundReading};
use crate::engine::decide::DRIFT_CHECK_EVERY;
use crate::engine::event::FailureClass;
use crate::engine::plan::{Account, Plan, ZoneRef};
use crate::engine::record::{GroupImage, GroupName};
use crate::engine::state::{Phase, State};
use crate::engine::units::{AlarmId, CutoverName, ZoneId};
use crate::engine::warnings;
use crate::ports::{CallError, Dns, Signals, Zone, follow_aliases};

/// A survey takes no longer than this: 34 pages of a zone of 10,000 record sets, and their turns among other calls.
const SURVEY_WITHIN: Duration = Duration::from_mins(1);

/// How often a survey is tried before it counts as failed, and the pause before it is tried again.
const TRIES: u32 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long what was found is believed.
const VALID: SignedDuration = DRIFT_CHECK_EVERY;

/// A zone, and the credentials that it is read with.
pub(super) type Place = (Account, ZoneId);

type Outcome = Result<Arc<Around>, CallError>;

/// A zone to look at.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// As the plan names it.
    pub(super) named: ZoneRef,
    /// As it was found, if it was looked up.
    pub(super) zone: Option<Zone>,
    /// The groups that are to start.
    pub(super) groups: BTreeSet<GroupName>,
}

/// One survey, under way or done.
struct Survey {
    began_at: Timestamp,
    groups: BTreeSet<GroupName>,
    outcome: watch::Receiver<Option<Outcome>>,
    /// Given up when this is dropped.
    _task: JoinSet<()>,
}

/// The surveys of a process, the last one of each zone.
#[derive(Default)]
pub(super) struct Surveys {
    known: BTreeMap<Place, Survey>,
}

impl Surveys {
    /// Begins what is wanted and not known, and returns a wait for each zone.
    pub(super) fn begin(
        &mut self,
        dns: &Arc<dyn Dns>,
        wanted: BTreeMap<Place, Wanted>,
        now: Timestamp,
    ) -> JoinSet<Place> {
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
                // A survey that ended without an outcome is begun again with the next reading.
                drop(outcome.wait_for(Option::is_some).await);
                place
            });
        }
        waits
    }

    fn is_known(&self, place: &Place, wanted: &Wanted, now: Timestamp) -> bool {
        let Some(survey) = self.known.get(place) else {
            return false;
        };
        let covers = survey.groups.is_superset(&wanted.groups);
        let failed = matches!(*survey.outcome.borrow(), Some(Err(_)));
        covers && !failed && now.duration_since(survey.began_at) < VALID
    }

    /// What is known of the surroundings of a group.
    pub(super) fn reading(&self, place: &Place, group: &GroupName) -> AroundReading {
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
    fn begin(dns: &Arc<dyn Dns>, place: &Place, wanted: Wanted, now: Timestamp) -> Self {
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

/// Reads what stands around groups of a zone.
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
        // Plans that name zones by their identifiers have never needed this action: it is said, and holds nothing.
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

/// What stands around one group, read now: for previews.
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

/// Whether the surroundings of a cutover's groups are to be read: it is to start, or images are there that lead through an
/// alias of which no TTL is known.
pub(super) fn wants(state: &State) -> bool {
    if state.phase == Phase::Waiting {
        return state.rollback.is_none();
    }
    let lacks = |image: &GroupImage| around::lacks_ttl(image, &state.alias_ttls);
    let watched = matches!(state.phase, Phase::Settling | Phase::Baking);
    watched && state.verified.iter().flatten().any(lacks)
}

/// Warnings about starts: what has been said, and how long alarms look back, on its way here.
#[derive(Default)]
pub(super) struct Warnings {
    told: BTreeSet<(CutoverName, String)>,
    asked: BTreeSet<CutoverName>,
    spans: JoinSet<Spans>,
}

/// Plans, and how long their alarms look back.
type Spans = (
    Vec<(CutoverName, Arc<Plan>)>,
    BTreeMap<AlarmId, SignedDuration>,
);

impl Warnings {
    /// Asks how long the alarms of starts look back, once for each cutover.
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

    /// Logs the warnings about bakes whose alarms' spans have arrived.
    pub(super) fn tell_spans(&mut self) {
        while let Some(joined) = self.spans.try_join_next() {
            // A panic of the adapter leaves the spans unknown, of which nothing is said.
            let Ok((plans, spans)) = joined else {
                continue;
            };
            for (name, plan) in plans {
                let own = plan.alarms().filter_map(|gate| {
                    let span = spans.get(&gate.id)?;
                    Some((gate.id.clone(), *span))
                });
                self.tell(&name, warnings::short_bakes(&plan, &own.collect()));
            }
        }
    }

    /// Logs warnings that were not said before.
    pub(super) fn tell(&mut self, name: &CutoverName, warnings: Vec<String>) {
        for warning in warnings {
            if self.told.insert((name.clone(), warning.clone())) {
                tracing::warn!(cutover = %name, "{warning}");
            }
        }
    }
}

//! Reads everything that the decisions of a round need, in few bulk calls and within a time limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::surveys::denied_action;
use super::surveys::{self, SurveyPlace, Surveys, Wanted};
use crate::engine::around::AroundReading;
use crate::engine::event::FailureClass;
use crate::engine::observation::{ChangeReading, GroupReading, HistoryReading, Observation};
use crate::engine::plan::{Account, ZoneRef};
use crate::engine::record::GroupName;
use crate::engine::state::{Phase, State};
use crate::engine::units::{ChangeId, CutoverName, ZoneId};
use crate::engine::verdict;
use crate::ports::{CallError, Dns, GroupReadings, Signals, Urgency, Zone};

/// Longest time for a read of a round. A reading that takes longer is unknown (semantics F1).
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Facts about Route 53 that a process keeps between rounds. Decisions work without them too.
#[derive(Default)]
pub(super) struct Memory {
    zones: BTreeMap<(Account, ZoneRef), Zone>,
    zone_errors: BTreeMap<(Account, ZoneRef), CallError>,
    unreadable_since: BTreeMap<(CutoverName, usize), Timestamp>,
    surveys: Surveys,
}

/// The ports through which AWS is read.
#[derive(Clone)]
pub(super) struct Eyes {
    pub(super) dns: Arc<dyn Dns>,
    pub(super) signals: Arc<dyn Signals>,
}

/// The observations of a round, by cutover, as far as they have been read.
pub(super) type Seen = BTreeMap<CutoverName, Observation>;

/// Reads the histories of the alarms that may have flapped.
pub(super) async fn histories(eyes: &Eyes, states: &[&State], seen: &mut Seen) {
    let mut tasks = JoinSet::new();
    for state in states {
        let (Some(observation), Some(first_write)) = (seen.get(&state.name), state.first_write)
        else {
            continue;
        };
        for (alarm, reading) in &observation.alarms {
            if !verdict::needs_history(state, alarm, reading) {
                continue;
            }
            let signals = Arc::clone(&eyes.signals);
            let account = state.plan().account_of(alarm).clone();
            let alarm = alarm.clone();
            let name = state.name.clone();
            tasks.spawn(async move {
                let read = signals.alarm_history(&account, &alarm, first_write);
                let reading = match tokio::time::timeout(READ_WITHIN, read).await {
                    Ok(reading) => reading,
                    Err(_) => HistoryReading::Unreadable(
                        "CloudWatch did not answer within 5 s".to_owned(),
                    ),
                };
                (name, alarm, reading)
            });
        }
    }
    while let Some(joined) = tasks.join_next().await {
        if let Ok((name, alarm, reading)) = joined
            && let Some(observation) = seen.get_mut(&name)
        {
            observation.histories.insert(alarm, reading);
        }
    }
}

/// Returns the changes of a settling cutover that are not known to be in sync, each with its account.
fn pending(state: &State) -> Vec<(&ChangeId, &Account)> {
    let mut pending = Vec::new();
    if state.phase == Phase::Settling {
        for (id, change) in &state.changes {
            if change.in_sync_at.is_none() {
                pending.push((id, state.account_of(change)));
            }
        }
    }
    pending
}

/// Readings of the changes of settling cutovers. Each change is read once, however many cutovers were in its batch.
pub(super) struct ChangesRead(JoinSet<((Account, ChangeId), ChangeReading)>);

impl ChangesRead {
    pub(super) fn begin(eyes: &Eyes, states: &[&State]) -> Self {
        let mut wanted = BTreeSet::new();
        for state in states {
            for (id, account) in pending(state) {
                wanted.insert((account.clone(), id.clone()));
            }
        }
        let mut tasks = JoinSet::new();
        for (account, id) in wanted {
            let dns = Arc::clone(&eyes.dns);
            tasks.spawn(async move {
                let reading = read_change(&dns, &account, &id).await;
                ((account, id), reading)
            });
        }
        Self(tasks)
    }

    pub(super) async fn finish(mut self) -> BTreeMap<(Account, ChangeId), ChangeReading> {
        let mut readings = BTreeMap::new();
        while let Some(joined) = self.0.join_next().await {
            readings.extend(joined);
        }
        readings
    }
}

/// Gives each cutover the readings of its own changes.
pub(super) fn take_changes(
    states: &[&State],
    readings: &BTreeMap<(Account, ChangeId), ChangeReading>,
    seen: &mut Seen,
) {
    for state in states {
        let Some(observation) = seen.get_mut(&state.name) else {
            continue;
        };
        for (id, account) in pending(state) {
            if let Some(reading) = readings.get(&(account.clone(), id.clone())) {
                observation.changes.insert(id.clone(), reading.clone());
            }
        }
    }
}

async fn read_change(dns: &Arc<dyn Dns>, account: &Account, id: &ChangeId) -> ChangeReading {
    let read = dns.change_status(account, id);
    match tokio::time::timeout(READ_WITHIN, read).await {
        Ok(reading) => reading,
        Err(_) => ChangeReading::Unreadable("Route 53 did not answer within 5 s".to_owned()),
    }
}

impl Memory {
    /// Starts to read the groups of these cutovers, with one call or a few per zone for all of them together.
    pub(super) async fn begin(&mut self, eyes: &Eyes, states: &[&State], now: Timestamp) -> Reads {
        self.find_zones(eyes, states).await;
        let mut wanted: BTreeMap<(Account, ZoneId), (BTreeSet<GroupName>, Urgency)> =
            BTreeMap::new();
        for state in states {
            let urgency = urgency(state);
            for (index, group) in state.plan().records.iter().enumerate() {
                if let Some(zone) = self.zone_of(state, index) {
                    let place = (state.plan().account_of_group(index).clone(), zone);
                    let entry = wanted.entry(place).or_insert((BTreeSet::new(), urgency));
                    entry.0.insert(group.name.clone());
                    entry.1 = entry.1.min(urgency);
                }
            }
        }
        let wanted_around = self.wanted_around(states);
        Reads {
            at: now,
            around_under_way: wanted_around.keys().cloned().collect(),
            around: self.surveys.begin(&eyes.dns, wanted_around, now),
            around_by: Instant::now() + READ_WITHIN,
            under_way: wanted.keys().cloned().collect(),
            tasks: read_groups(eyes, wanted),
            arrived: BTreeMap::new(),
        }
    }

    /// Returns the zones that must be surveyed before cutovers start in them, each with the groups that start.
    fn wanted_around(&self, states: &[&State]) -> BTreeMap<SurveyPlace, Wanted> {
        let mut wanted: BTreeMap<SurveyPlace, Wanted> = BTreeMap::new();
        for state in states {
            if !surveys::wants(state) {
                continue;
            }
            for (index, group) in state.plan().records.iter().enumerate() {
                let Some(zone) = self.zone_of(state, index) else {
                    continue;
                };
                let account = state.plan().account_of_group(index);
                let found = self.zones.get(&(account.clone(), group.zone.clone()));
                let entry = wanted.entry((account.clone(), zone));
                let entry = entry.or_insert_with(|| Wanted {
                    named: group.zone.clone(),
                    zone: found.cloned(),
                    groups: BTreeSet::new(),
                });
                entry.groups.insert(group.name.clone());
            }
        }
        wanted
    }

    /// Returns the records around each of a cutover's groups, as far as they were read.
    pub(super) fn around(&self, state: &State) -> Vec<AroundReading> {
        let mut around = Vec::new();
        for (index, group) in state.plan().records.iter().enumerate() {
            around.push(match self.zone_of(state, index) {
                Some(zone) => {
                    let account = state.plan().account_of_group(index).clone();
                    self.surveys.reading(&(account, zone), &group.name)
                }
                None => AroundReading::NotRead,
            });
        }
        around
    }

    /// Returns true if every zone of a cutover is known, so that none must be looked up before a read.
    pub(super) fn knows_zones(&self, state: &State) -> bool {
        (0..state.plan().records.len()).all(|index| self.zone_of(state, index).is_some())
    }

    /// Returns true if nothing that a cutover waits for is still being read.
    pub(super) fn has_arrived(&self, reads: &Reads, state: &State) -> bool {
        let starts = state.phase == Phase::Waiting && surveys::wants(state);
        for index in 0..state.plan().records.len() {
            let Some(zone) = self.zone_of(state, index) else {
                continue;
            };
            let place = (state.plan().account_of_group(index).clone(), zone);
            if reads.under_way.contains(&place) {
                return false;
            }
            if starts && reads.around_under_way.contains(&place) {
                return false;
            }
        }
        true
    }

    /// Returns the readings of a cutover's groups, in the order of its plan.
    pub(super) fn groups(&mut self, reads: &Reads, state: &State) -> Vec<GroupReading> {
        (0..state.plan().records.len())
            .map(|index| self.reading(state, index, &reads.arrived, reads.at))
            .collect()
    }

    /// Returns the zone of a group; `None` if it is not known yet. If there is a baseline, its zone counts, so that a
    /// revert needs no look-up.
    pub(super) fn zone_of(&self, state: &State, index: usize) -> Option<ZoneId> {
        let baseline = state.baseline.as_ref().and_then(|images| images.get(index));
        if let Some(image) = baseline {
            return Some(image.zone.clone());
        }
        let group = state.plan().records.get(index)?;
        let account = state.plan().account_of_group(index).clone();
        let zone = self.zones.get(&(account, group.zone.clone()))?;
        Some(zone.id.clone())
    }

    async fn find_zones(&mut self, eyes: &Eyes, states: &[&State]) {
        let mut unknown = BTreeSet::new();
        for state in states {
            for (index, group) in state.plan().records.iter().enumerate() {
                if self.zone_of(state, index).is_none() {
                    let account = state.plan().account_of_group(index).clone();
                    unknown.insert((account, group.zone.clone()));
                }
            }
        }
        self.zone_errors.clear();
        let mut tasks = JoinSet::new();
        for (account, zone) in unknown {
            let dns = Arc::clone(&eyes.dns);
            tasks.spawn(async move {
                let find = dns.find_zone(&account, &zone);
                let found = tokio::time::timeout(READ_WITHIN, find).await;
                ((account, zone), found.unwrap_or_else(|_| Err(late())))
            });
        }
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((place, Ok(found))) => drop(self.zones.insert(place, found)),
                Ok((place, Err(error))) => drop(self.zone_errors.insert(place, error)),
                // If the adapter panics, the zone stays unknown and is looked up again.
                Err(_) => {}
            }
        }
    }

    fn reading(
        &mut self,
        state: &State,
        index: usize,
        readings: &BTreeMap<(Account, ZoneId), GroupReadings>,
        now: Timestamp,
    ) -> GroupReading {
        let Some(group) = state.plan().records.get(index) else {
            return GroupReading::NotRead;
        };
        let account = state.plan().account_of_group(index).clone();
        let key = (state.name.clone(), index);
        let outcome = match self.zone_of(state, index) {
            None => {
                let error = self.zone_errors.get(&(account, group.zone.clone()));
                Err(error.cloned().unwrap_or_else(late))
            }
            Some(zone) => {
                let of_zone = readings.get(&(account, zone.clone()));
                match of_zone.and_then(|all| all.get(&group.name)) {
                    None => Err(late()),
                    Some(Err(error)) => Err(error.clone()),
                    Some(Ok(members)) => Ok((zone, members.clone())),
                }
            }
        };
        match outcome {
            Ok((zone, members)) => {
                self.unreadable_since.remove(&key);
                GroupReading::Read {
                    zone,
                    members,
                    at: now,
                }
            }
            Err(error) => GroupReading::Unreadable {
                permanent: matches!(error.class, FailureClass::Permanent | FailureClass::Denied),
                message: error.to_string(),
                denied: denied_action(&error),
                since: *self.unreadable_since.entry(key).or_insert(now),
            },
        }
    }
}

type ReadTasks = JoinSet<((Account, ZoneId), GroupReadings)>;

/// Readings of groups in progress, one zone at a time, so that a zone that hangs does not delay the others.
pub(super) struct Reads {
    at: Timestamp,
    under_way: BTreeSet<(Account, ZoneId)>,
    tasks: ReadTasks,
    arrived: BTreeMap<(Account, ZoneId), GroupReadings>,
    /// The zones whose surveys starting cutovers wait for: until `around_by`, and then again in the next round.
    around_under_way: BTreeSet<SurveyPlace>,
    around: JoinSet<SurveyPlace>,
    around_by: Instant,
}

impl Reads {
    /// Waits for the next zones; returns false if all have arrived. Zones that have arrived already are handled
    /// together.
    pub(super) async fn next(&mut self) -> bool {
        let joined = tokio::select! {
            biased;
            Some(joined) = self.tasks.join_next() => joined,
            Some(looked) = self.around.join_next() => {
                if let Ok(place) = looked {
                    self.around_under_way.remove(&place);
                }
                return true;
            }
            () = tokio::time::sleep_until(self.around_by), if !self.around.is_empty() => {
                self.around.abort_all();
                self.around = JoinSet::new();
                self.around_under_way.clear();
                return true;
            }
            else => {
                self.under_way.clear();
                self.around_under_way.clear();
                return false;
            }
        };
        // If the adapter panics, its zone stays unread until all others have arrived.
        let mut next = Some(joined);
        while let Some(joined) = next {
            if let Ok((place, readings)) = joined {
                self.under_way.remove(&place);
                self.arrived.insert(place, readings);
            }
            next = self.tasks.try_join_next();
        }
        true
    }
}

fn read_groups(
    eyes: &Eyes,
    wanted: BTreeMap<(Account, ZoneId), (BTreeSet<GroupName>, Urgency)>,
) -> ReadTasks {
    let mut tasks = JoinSet::new();
    for ((account, zone), (names, urgency)) in wanted {
        let dns = Arc::clone(&eyes.dns);
        tasks.spawn(async move {
            let read = dns.read_groups(&account, &zone, &names, urgency);
            let readings = match tokio::time::timeout(READ_WITHIN, read).await {
                Ok(readings) => readings,
                Err(_) => all_late(&names),
            };
            ((account, zone), readings)
        });
    }
    tasks
}

fn all_late(names: &BTreeSet<GroupName>) -> GroupReadings {
    let mut readings = GroupReadings::new();
    for name in names {
        readings.insert(name.clone(), Err(late()));
    }
    readings
}

fn urgency(state: &State) -> Urgency {
    if state.phase == Phase::Reverting || state.rollback.is_some() {
        Urgency::Revert
    } else {
        Urgency::Normal
    }
}

fn late() -> CallError {
    let message = "Route 53 did not answer within 5 s";
    CallError::new("ListResourceRecordSets", FailureClass::Transient, message)
}

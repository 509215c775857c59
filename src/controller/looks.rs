//! What a round asks CloudWatch for, on its way here: alarms a page at a time, series and changes beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::controller::observe::{self, ChangesRead, Eyes, Seen};
use crate::controller::series::SeriesRead;
use crate::controller::{Controller, ControllerError, round};
use crate::engine::event::Event;
use crate::engine::observation::{AlarmReading, AlarmState};
use crate::engine::plan::Account;
use crate::engine::state::State;
use crate::engine::units::{AlarmId, CutoverName};
use crate::ports::{AlarmPage, alarms_within};

/// Those whose alarms are red are answered together, no more often than this: each answer reads groups, and a thousand
/// services that turn red at once would read a zone thirty times over.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

type Alarms = BTreeMap<(Account, AlarmId), AlarmReading>;

/// Readings on their way here. Whatever is still on its way is given up with it.
pub(super) struct Looks {
    alarms: AlarmReads,
    changes: ChangesRead,
    series: SeriesRead,
    at: Timestamp,
}

/// Alarms on their way here.
struct AlarmReads {
    tasks: JoinSet<AlarmPage>,
    pages: UnboundedReceiver<AlarmPage>,
    arrived: Alarms,
}

impl AlarmReads {
    fn begin(eyes: &Eyes, states: &[&State]) -> Self {
        let mut wanted: BTreeMap<Account, BTreeSet<AlarmId>> = BTreeMap::new();
        for state in states {
            let alarms = state.plan().alarms().map(|gate| gate.id.clone());
            let account = state.plan().aws.account.clone();
            wanted.entry(account).or_default().extend(alarms);
        }
        let (told, pages) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (account, alarms) in wanted {
            let (signals, told) = (Arc::clone(&eyes.signals), told.clone());
            tasks.spawn(async move {
                let read = signals.read_alarms_by_page(&account, &alarms, &told);
                let read = tokio::time::timeout(alarms_within(alarms.len()), read).await;
                (account, read.unwrap_or_else(|_| late(&alarms)))
            });
        }
        Self {
            tasks,
            pages,
            arrived: Alarms::new(),
        }
    }

    /// Waits for more, and says which of it is red; none when all is here. What is here already comes together.
    async fn next(&mut self) -> Option<BTreeSet<(Account, AlarmId)>> {
        let mut next = tokio::select! {
            biased;
            Some(page) = self.pages.recv() => Some(page),
            Some(joined) = self.tasks.join_next() => joined.ok(),
            else => return None,
        };
        let mut red = BTreeSet::new();
        while let Some((account, readings)) = next {
            for (alarm, reading) in readings {
                let key = (account.clone(), alarm);
                if is_red(&reading) {
                    red.insert(key.clone());
                }
                // What came in time counts, also where the rest did not.
                self.arrived.entry(key).or_insert(reading);
            }
            next = self.pages.try_recv().ok();
        }
        Some(red)
    }
}

fn late(alarms: &BTreeSet<AlarmId>) -> BTreeMap<AlarmId, AlarmReading> {
    let late = || AlarmReading::Unreadable("CloudWatch did not answer in time".to_owned());
    alarms.iter().map(|alarm| (alarm.clone(), late())).collect()
}

fn is_red(reading: &AlarmReading) -> bool {
    let AlarmReading::Found { state, .. } = reading else {
        return false;
    };
    *state == AlarmState::Alarm
}

/// What has arrived of a cutover's alarms; none if one is missing.
fn alarms_of(arrived: &Alarms, state: &State) -> Option<BTreeMap<AlarmId, AlarmReading>> {
    let account = &state.plan().aws.account;
    let reading = |id: &AlarmId| arrived.get(&(account.clone(), id.clone())).cloned();
    let alarms = state.plan().alarms();
    alarms
        .map(|gate| Some((gate.id.clone(), reading(&gate.id)?)))
        .collect()
}

impl Controller {
    /// Reads what signals there are of these cutovers into what is seen of them. Those whose alarms turn them back are
    /// answered at once, as soon as all of their own alarms are here; they are returned.
    pub(super) async fn look(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
    ) -> Result<BTreeSet<CutoverName>, ControllerError> {
        let mut looks = self.begin_looks(names);
        let (mut red, mut answered) = (BTreeSet::new(), BTreeSet::new());
        let mut answered_at: Option<Instant> = None;
        loop {
            let more = looks.alarms.next().await;
            let is_last = more.is_none();
            red.extend(more.into_iter().flatten());
            let waits = answered_at.is_some_and(|at| at.elapsed() < ANSWER_EVERY) && !is_last;
            if !waits && !red.is_empty() {
                let turned = self.turned_back(names, &red, &looks.alarms.arrived, seen, &answered);
                if !turned.is_empty() {
                    answered_at = Some(Instant::now());
                    let names: Vec<CutoverName> = turned.keys().cloned().collect();
                    answered.extend(names.iter().cloned());
                    self.settle_seen(names, turned).await?;
                }
            }
            if is_last {
                break;
            }
        }
        self.finish_looks(looks, names, &answered, seen).await;
        Ok(answered)
    }

    fn unfinished(&self, names: &[CutoverName]) -> Vec<&State> {
        let states = names.iter().filter_map(|name| self.book.state(name));
        states.filter(|state| !state.phase.is_final()).collect()
    }

    fn begin_looks(&self, names: &[CutoverName]) -> Looks {
        let states = self.unfinished(names);
        let at = self.now();
        Looks {
            alarms: AlarmReads::begin(&self.eyes, &states),
            changes: ChangesRead::begin(&self.eyes, &states),
            series: self.series.begin(&self.eyes, &states, at),
            at,
        }
    }

    /// What is seen of those that go back because of a red alarm, whatever else is to come. Gates of metrics are told with
    /// a revert, so that those who have them wait for their series.
    fn turned_back(
        &self,
        names: &[CutoverName],
        red: &BTreeSet<(Account, AlarmId)>,
        arrived: &Alarms,
        seen: &Seen,
        answered: &BTreeSet<CutoverName>,
    ) -> Seen {
        let now = self.now();
        let mut turned = Seen::new();
        for state in self.unfinished(names) {
            let account = &state.plan().aws.account;
            let mut ids = state.plan().gates.alarms.iter().map(|gate| gate.id.clone());
            let concerns = ids.any(|id| red.contains(&(account.clone(), id)));
            if !concerns
                || answered.contains(&state.name)
                || !state.plan().gates.measures.is_empty()
            {
                continue;
            }
            let alarms = alarms_of(arrived, state);
            let Some((alarms, blank)) = alarms.zip(seen.get(&state.name)) else {
                continue;
            };
            let mut observation = blank.clone();
            observation.alarms = alarms;
            let decision = round::lawful(state, self.book.fleet(), &observation, now);
            let reverts = |event: &Event| matches!(event, Event::RevertIntended { .. });
            if decision.events.iter().any(reverts) {
                turned.insert(state.name.clone(), observation);
            }
        }
        turned
    }

    async fn finish_looks(
        &mut self,
        looks: Looks,
        names: &[CutoverName],
        answered: &BTreeSet<CutoverName>,
        seen: &mut Seen,
    ) {
        let changes = looks.changes.finish().await;
        self.series.finish(looks.series, looks.at).await;
        let names: Vec<CutoverName> = names.to_vec();
        let states: Vec<&State> = names
            .iter()
            .filter(|name| !answered.contains(*name))
            .filter_map(|name| self.book.state(name))
            .filter(|state| !state.phase.is_final())
            .collect();
        for state in &states {
            if let Some(observation) = seen.get_mut(&state.name) {
                let account = &state.plan().aws.account;
                for gate in state.plan().alarms() {
                    let key = (account.clone(), gate.id.clone());
                    let reading = looks.alarms.arrived.get(&key).cloned();
                    observation
                        .alarms
                        .extend(reading.map(|reading| (key.1, reading)));
                }
            }
        }
        observe::take_changes(&states, &changes, seen);
        observe::histories(&self.eyes, &states, seen).await;
        self.series.hand_out(&states, seen, looks.at);
    }
}

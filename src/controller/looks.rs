//! The readings of a round that are in progress: alarms page by page, with series and changes in parallel.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::controller::observe::{self, ChangesRead, Eyes, Seen};
use crate::controller::outside::ControllerError;
use crate::controller::reading::Reading;
use crate::controller::series::SeriesRead;
use crate::controller::{Controller, round};
use crate::engine::observation::{AlarmReading, AlarmState};
use crate::engine::plan::Account;
use crate::engine::state::State;
use crate::engine::units::{AlarmId, CutoverName};
use crate::ports::{AlarmPage, alarms_within};

/// Shortest time between two answers to red alarms. Each answer reads groups. Without this limit, a thousand services
/// that turn red at once would read a zone thirty times.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

type Alarms = BTreeMap<Account, BTreeMap<AlarmId, AlarmReading>>;

/// Readings that are in progress. If this is dropped, they are cancelled.
pub(super) struct Looks {
    alarms: AlarmReads,
    changes: ChangesRead,
    series: SeriesRead,
    at: Timestamp,
}

/// Readings of alarms that are in progress.
struct AlarmReads {
    /// The tasks that read. They are cancelled when this is dropped.
    _tasks: JoinSet<()>,
    pages: UnboundedReceiver<AlarmPage>,
    arrived: Alarms,
}

impl AlarmReads {
    fn begin(eyes: &Eyes, states: &[&State]) -> Self {
        let mut wanted: BTreeMap<Account, BTreeSet<AlarmId>> = BTreeMap::new();
        for state in states {
            for (account, alarms) in state.plan().alarms_by_account() {
                wanted.entry(account).or_default().extend(alarms);
            }
        }
        let (told, pages) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (account, alarms) in wanted {
            let (signals, told) = (Arc::clone(&eyes.signals), told.clone());
            tasks.spawn(async move {
                let read = signals.read_alarms_by_page(&account, &alarms, &told);
                let read = tokio::time::timeout(alarms_within(alarms.len()), read).await;
                if read.is_err() {
                    // Pages that came in time still count.
                    drop(told.send((account, late(alarms))));
                }
            });
        }
        Self {
            _tasks: tasks,
            pages,
            arrived: Alarms::new(),
        }
    }

    /// Waits for more readings, and returns the alarms among them that are red; `None` if all readings have arrived.
    /// Pages that have arrived already are handled together.
    async fn next(&mut self) -> Option<BTreeSet<(Account, AlarmId)>> {
        let mut page = self.pages.recv().await?;
        let mut red = BTreeSet::new();
        loop {
            let (account, readings) = page;
            let arrived = self.arrived.entry(account.clone()).or_default();
            for (alarm, reading) in readings {
                if is_red(&reading) {
                    red.insert((account.clone(), alarm.clone()));
                }
                arrived.entry(alarm).or_insert(reading);
            }
            match self.pages.try_recv() {
                Ok(next) => page = next,
                Err(_) => return Some(red),
            }
        }
    }
}

/// Cutovers that revert because of a red alarm before all other readings have arrived: their observations, and the
/// reading of their groups.
struct RedAnswer {
    reading: Reading,
    seen: Seen,
}

/// Waits until some groups of one of these answers have arrived, and returns its index.
async fn any_arrives(answers: &mut [RedAnswer]) -> usize {
    poll_fn(|context| {
        let mut each = answers.iter_mut();
        let first = each.position(|it| pin!(it.reading.arrives()).poll(context).is_ready());
        first.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn late(alarms: BTreeSet<AlarmId>) -> Vec<(AlarmId, AlarmReading)> {
    let mut readings = Vec::new();
    for alarm in alarms {
        let reading = AlarmReading::Unreadable("CloudWatch did not answer in time".to_owned());
        readings.push((alarm, reading));
    }
    readings
}

fn is_red(reading: &AlarmReading) -> bool {
    let AlarmReading::Found { state, .. } = reading else {
        return false;
    };
    *state == AlarmState::Alarm
}

/// Returns the readings of a cutover's alarms that have arrived so far.
fn alarms_of(arrived: &Alarms, state: &State) -> BTreeMap<AlarmId, AlarmReading> {
    let plan = state.plan();
    let mut alarms = BTreeMap::new();
    for gate in plan.alarms() {
        let of_account = arrived.get(plan.account_of(&gate.id));
        if let Some(reading) = of_account.and_then(|arrived| arrived.get(&gate.id)) {
            alarms.insert(gate.id.clone(), reading.clone());
        }
    }
    alarms
}

impl Controller {
    /// Reads the signals of these cutovers into their observations. A cutover that reverts because of an alarm is
    /// answered as soon as all its own alarms have arrived. Returns the cutovers that were answered.
    pub(super) async fn look(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
    ) -> Result<BTreeSet<CutoverName>, ControllerError> {
        let mut looks = self.begin_looks(names);
        let (mut red, mut answered) = (BTreeSet::new(), BTreeSet::new());
        let mut answers: Vec<RedAnswer> = Vec::new();
        let mut answered_at: Option<Instant> = None;
        let mut is_last = false;
        while !is_last || !answers.is_empty() {
            tokio::select! {
                biased;
                more = looks.alarms.next(), if !is_last => {
                    is_last = more.is_none();
                    red.extend(more.into_iter().flatten());
                }
                // A zone that hangs does not delay other cutovers whose alarms turn red meanwhile.
                index = any_arrives(&mut answers), if !answers.is_empty() => {
                    let answer = answers.swap_remove(index);
                    answers.extend(self.go_on(answer).await?);
                    continue;
                }
            }
            let waits = answered_at.is_some_and(|at| at.elapsed() < ANSWER_EVERY) && !is_last;
            if waits || red.is_empty() {
                continue;
            }
            let turned = self.turned_back(names, &red, &looks.alarms.arrived, seen, &answered);
            if !turned.is_empty() {
                answered_at = Some(Instant::now());
                answered.extend(turned.keys().cloned());
                answers.push(self.answer(turned).await?);
            }
        }
        self.finish_looks(looks, names, &answered, seen).await;
        Ok(answered)
    }

    /// Decides and journals the reverts of these cutovers, and starts to read the groups that they write.
    async fn answer(&mut self, mut turned: Seen) -> Result<RedAnswer, ControllerError> {
        let names: Vec<CutoverName> = turned.keys().cloned().collect();
        self.decide_until_quiet(&names, &mut turned).await?;
        let now = self.now();
        let mut reading = names;
        reading.retain(|name| self.wants_groups(name, &turned, now));
        Ok(RedAnswer {
            reading: self.begin_reading(reading).await,
            seen: turned,
        })
    }

    /// Decides the cutovers of an answer whose groups have arrived, and orders their writes. Returns the answer if it
    /// still waits for groups, otherwise `None`.
    async fn go_on(&mut self, mut answer: RedAnswer) -> Result<Option<RedAnswer>, ControllerError> {
        self.decide_arrived(&mut answer.reading, &mut answer.seen)
            .await?;
        if answer.reading.is_over() {
            return Ok(None);
        }
        Ok(Some(answer))
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

    /// Returns the observations of the cutovers that revert because of a red alarm, whatever the readings still to come
    /// say. A cutover with metric gates waits for its series instead, because a revert names all gates that failed.
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
            let plan = state.plan();
            let concerns = plan.gates.alarms.iter().any(|gate| {
                let account = plan.account_of(&gate.id).clone();
                red.contains(&(account, gate.id.clone()))
            });
            if !concerns || answered.contains(&state.name) || !plan.gates.measures.is_empty() {
                continue;
            }
            let alarms = alarms_of(arrived, state);
            if !plan.alarms().all(|gate| alarms.contains_key(&gate.id)) {
                continue;
            }
            let Some(blank) = seen.get(&state.name) else {
                continue;
            };
            let mut observation = blank.clone();
            observation.alarms = alarms;
            let decision = round::decide_checked(state, self.book.fleet(), &observation, now);
            if decision.goes_back() {
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
        let mut states = self.unfinished(names);
        states.retain(|state| !answered.contains(&state.name));
        for state in &states {
            if let Some(observation) = seen.get_mut(&state.name) {
                observation.alarms = alarms_of(&looks.alarms.arrived, state);
            }
        }
        observe::take_changes(&states, &changes, seen);
        observe::histories(&self.eyes, &states, seen).await;
        self.series.hand_out(&states, seen, looks.at);
    }
}

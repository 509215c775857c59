//! What a round asks CloudWatch for, on its way here: alarms a page at a time, series and changes beside them.

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
use crate::controller::reading::Reading;
use crate::controller::series::SeriesRead;
use crate::controller::{Controller, ControllerError, round};
use crate::engine::event::Event;
use crate::engine::observation::{AlarmReading, AlarmState};
use crate::engine::plan::{Account, AlarmGate};
use crate::engine::state::State;
use crate::engine::units::{AlarmId, CutoverName};
use crate::ports::{AlarmPage, alarms_within};

/// Those whose alarms are red are answered together, no more often than this: each answer reads groups, and a thousand
/// services that turn red at once would read a zone thirty times over.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

type Alarms = BTreeMap<Account, BTreeMap<AlarmId, AlarmReading>>;

/// Readings on their way here. Whatever is still on its way is given up with it.
pub(super) struct Looks {
    alarms: AlarmReads,
    changes: ChangesRead,
    series: SeriesRead,
    at: Timestamp,
}

/// Alarms on their way here.
struct AlarmReads {
    /// Given up when this is dropped.
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
                    // Whatever came in time counts all the same.
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

    /// Waits for more, and says which of it is red; none when all is here. What is here already comes together.
    async fn next(&mut self) -> Option<BTreeSet<(Account, AlarmId)>> {
        let mut page = self.pages.recv().await?;
        let mut red = BTreeSet::new();
        loop {
            let (account, readings) = page;
            let reds = readings.iter().filter(|(_, reading)| is_red(reading));
            red.extend(reds.map(|(alarm, _)| (account.clone(), alarm.clone())));
            let arrived = self.arrived.entry(account).or_default();
            for (alarm, reading) in readings {
                arrived.entry(alarm).or_insert(reading);
            }
            match self.pages.try_recv() {
                Ok(next) => page = next,
                Err(_) => return Some(red),
            }
        }
    }
}

/// Those who go back because of a red alarm, before everything else is seen: what is seen of them, and their groups.
struct Answer {
    reading: Reading,
    seen: Seen,
}

/// Waits until groups of one of these have arrived, and says of which.
async fn any_arrives(answers: &mut [Answer]) -> usize {
    poll_fn(|context| {
        let mut each = answers.iter_mut();
        let first = each.position(|it| pin!(it.reading.arrives()).poll(context).is_ready());
        first.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn late(alarms: BTreeSet<AlarmId>) -> Vec<(AlarmId, AlarmReading)> {
    let late = || AlarmReading::Unreadable("CloudWatch did not answer in time".to_owned());
    alarms.into_iter().map(|alarm| (alarm, late())).collect()
}

fn is_red(reading: &AlarmReading) -> bool {
    let AlarmReading::Found { state, .. } = reading else {
        return false;
    };
    *state == AlarmState::Alarm
}

/// What has arrived of a cutover's alarms.
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
    /// Reads what signals there are of these cutovers into what is seen of them. Those whose alarms turn them back are
    /// answered at once, as soon as all of their own alarms are here; they are returned.
    pub(super) async fn look(
        &mut self,
        names: &[CutoverName],
        seen: &mut Seen,
    ) -> Result<BTreeSet<CutoverName>, ControllerError> {
        let mut looks = self.begin_looks(names);
        let (mut red, mut answered) = (BTreeSet::new(), BTreeSet::new());
        let mut answers: Vec<Answer> = Vec::new();
        let mut answered_at: Option<Instant> = None;
        let mut is_last = false;
        while !is_last || !answers.is_empty() {
            tokio::select! {
                biased;
                more = looks.alarms.next(), if !is_last => {
                    is_last = more.is_none();
                    red.extend(more.into_iter().flatten());
                }
                // A zone that hangs keeps nobody waiting whose alarm turns red meanwhile.
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

    /// Decides and journals that these go back, and starts to read the groups that are to be written.
    async fn answer(&mut self, mut turned: Seen) -> Result<Answer, ControllerError> {
        let names: Vec<CutoverName> = turned.keys().cloned().collect();
        self.settle_all(&names, &mut turned).await?;
        let now = self.now();
        let wants = |name: &CutoverName| self.wants_groups(name, &turned, now);
        let reading = names.into_iter().filter(wants).collect();
        Ok(Answer {
            reading: self.begin_reading(reading).await,
            seen: turned,
        })
    }

    /// Writes what has arrived of an answer's groups, and gives back what still waits for some.
    async fn go_on(&mut self, mut answer: Answer) -> Result<Option<Answer>, ControllerError> {
        self.settle_arrived(&mut answer.reading, &mut answer.seen)
            .await?;
        Ok((!answer.reading.is_over()).then_some(answer))
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
            let plan = state.plan();
            let concerns = plan.gates.alarms.iter().any(|gate| {
                let account = plan.account_of(&gate.id).clone();
                red.contains(&(account, gate.id.clone()))
            });
            if !concerns
                || answered.contains(&state.name)
                || !state.plan().gates.measures.is_empty()
            {
                continue;
            }
            let alarms = alarms_of(arrived, state);
            let is_here = |gate: &AlarmGate| alarms.contains_key(&gate.id);
            let are_all_here = state.plan().alarms().all(is_here);
            let Some(blank) = seen.get(&state.name).filter(|_| are_all_here) else {
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

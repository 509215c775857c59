//! The disturbances of a scenario.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover::controller::Scope;
use cutover::engine::commands::{self, RollbackNeed};
use cutover::engine::event::{Event, RevertMode};
use cutover::engine::fleet::commands as fleet_commands;
use cutover::engine::observation::{AlarmState, FileReading};
use cutover::engine::plan::Account;
use cutover::engine::state::State;
use cutover::engine::units::Weight;
use cutover::ports::ChangeAction;
use cutover::sim::route53::{Change, ChangeBatch};
use jiff::SignedDuration;

use super::clock::jump;
use super::plans;
use super::scenario::Scenario;
use super::world::{locked, record};

/// The most controllers that are alive at once.
const CONTROLLERS_MAX: usize = 3;

/// The most streams that are damaged.
const DAMAGED_MAX: usize = 2;

impl Scenario {
    /// Makes one disturbance, or several at once.
    pub(super) async fn disturb(&mut self) -> Result<(), String> {
        let times = if self.rng.u8(0..4) == 0 { 3 } else { 1 };
        for _ in 0..times {
            self.bury().await?;
            if self.is_alone() && self.rng.u8(0..8) > 0 {
                self.start();
            }
            self.one().await?;
        }
        Ok(())
    }

    async fn one(&mut self) -> Result<(), String> {
        match self.rng.u8(0..35) {
            0 | 1 if self.processes.len() < CONTROLLERS_MAX => self.start(),
            2..=5 => self.kill(),
            6..=9 => self.alarm(),
            10..=12 => self.journal_trouble(),
            13 | 14 => self.route53_trouble(),
            15 | 16 => self.alarm_trouble(),
            17 | 18 => self.stranger(),
            19 => self.file(),
            20 => {
                let fail = self.rng.bool();
                self.world.glass.fail(fail);
            }
            21 => {
                let fail = self.rng.bool();
                *locked(&self.world.pages_fail) = fail;
            }
            22 | 23 => self.clock_jumps(),
            24 | 25 => self.drill().await?,
            26 => self.fleet_person().await,
            32 => self.damage().await,
            33 => self.renamer(),
            _ => self.person().await,
        }
        self.world.moved();
        Ok(())
    }

    /// Kills a controller now, at one of its next polls, or at one of its next calls.
    fn kill(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let victim = self.rng.usize(0..self.processes.len());
        let later = plans::magnitude(&mut self.rng, 1, 64) - 1;
        let process = &self.processes[victim];
        let how = match self.rng.u8(0..4) {
            0 => {
                process.task.abort();
                "now"
            }
            1 => {
                process.luck.die_at_poll(later);
                "at a step"
            }
            _ => {
                process.luck.die_at_call(later);
                "at a call"
            }
        };
        let what = format!("ctl-{} dies {how} ({later} on)", process.number);
        self.note(&what);
        if self.rng.bool() {
            self.start();
        }
    }

    fn alarm(&mut self) {
        let alarm = self.alarms[self.rng.usize(0..self.alarms.len())].clone();
        let kind = self.rng.u8(0..11);
        match kind {
            0 | 1 => self.world.turn(&alarm, AlarmState::Alarm),
            2 => self.world.turn(&alarm, AlarmState::InsufficientData),
            3 => {
                self.world.turn(&alarm, AlarmState::Alarm);
                self.world.turn(&alarm, AlarmState::Ok);
            }
            4 => {
                if let Some(alarm) = locked(&self.world.alarms).get_mut(&alarm) {
                    alarm.evaluation = Some("EVALUATION_FAILURE".to_owned());
                }
            }
            5 | 6 => {
                if let Some(alarm) = locked(&self.world.alarms).get_mut(&alarm) {
                    alarm.gone = true;
                }
            }
            _ => self.all_green(),
        }
        self.note(&format!("alarm {alarm}: {kind}"));
    }

    pub(super) fn all_green(&mut self) {
        for alarm in self.alarms.clone() {
            self.world.turn(&alarm, AlarmState::Ok);
            if let Some(alarm) = locked(&self.world.alarms).get_mut(&alarm) {
                (alarm.evaluation, alarm.gone) = (None, false);
            }
        }
    }

    fn journal_trouble(&mut self) {
        let kind = self.rng.u8(0..12);
        let odds = self.rng.u32(1..12);
        let takes = Duration::from_millis(plans::magnitude(&mut self.rng, 1, 4_000));
        let full = self.rng.bool();
        let mut hit = Vec::new();
        for process in &self.processes {
            if self.rng.bool() {
                continue;
            }
            hit.push(process.number);
            process.luck.change(|troubles| match kind {
                0..=3 => troubles.appends = odds,
                4..=5 => troubles.reads = odds,
                6 => (troubles.appends, troubles.reads) = (1, 1),
                7 if full => troubles.journal_full = true,
                7 => troubles.journal_takes = takes,
                8 => {}
                _ => {
                    (troubles.appends, troubles.reads) = (0, 0);
                    troubles.journal_takes = Duration::ZERO;
                    troubles.journal_full = false;
                }
            });
            if kind == 8 {
                process.luck.lose_journal();
            }
        }
        self.note(&format!("journal {kind} 1/{odds} {takes:?} of {hit:?}"));
    }

    fn route53_trouble(&mut self) {
        let (kind, odds) = (self.rng.u8(0..6), self.rng.u32(1..20));
        for process in &self.processes {
            process.luck.change(|troubles| match kind {
                0 | 1 => troubles.route53 = odds,
                2 => troubles.garbage = odds,
                3 => troubles.overtaken = odds,
                _ => {
                    (troubles.route53, troubles.garbage) = (0, 0);
                    troubles.overtaken = 0;
                }
            });
        }
        self.note(&format!("Route 53 {kind} 1/{odds}"));
    }

    /// From now on, another writer overwrites one in `odds` writes before it is read back.
    pub(super) fn overtakers(&mut self, odds: u32) {
        for process in &self.processes {
            process.luck.change(|troubles| troubles.overtaken = odds);
        }
        self.note(&format!("another writer overwrites writes, 1/{odds}"));
    }

    fn alarm_trouble(&mut self) {
        let (kind, odds) = (self.rng.u8(0..3), self.rng.u32(1..12));
        for process in &self.processes {
            process.luck.change(|troubles| match kind {
                0 => troubles.alarms = odds,
                1 => troubles.odd_alarms = odds,
                _ => (troubles.alarms, troubles.odd_alarms) = (0, 0),
            });
        }
        self.note(&format!("CloudWatch {kind} 1/{odds}"));
    }

    fn clock_jumps(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let victim = self.rng.usize(0..self.processes.len());
        let offset = if self.rng.bool() {
            jump(&mut self.rng)
        } else {
            SignedDuration::ZERO
        };
        let process = &self.processes[victim];
        let by = offset - process.luck.clock_offset();
        process.luck.set_clock_offset(offset);
        let what = format!("the clock of ctl-{} is off by {offset:#}", process.number);
        locked(&self.world.witness).jumps(by);
        self.note(&what);
    }

    /// Another writer deletes a member, gives both members other identifiers, or restores the members of the plan.
    fn renamer(&mut self) {
        let now = self.world.now();
        let source = &self.sources[self.rng.usize(0..self.sources.len())];
        let group = &source.plan.records[self.rng.usize(0..source.plan.records.len())];
        let what = format!("a renamer at {}", group.name);
        let zone = self.world.zones[&group.zone.zone].clone();
        let kind = self.rng.usize(0..6);
        let mut route53 = locked(&self.world.route53);
        let hosted = route53.zone(&Account::default(), &zone).expect("a zone");
        let there: Vec<_> = hosted.group(&group.name).into_iter().cloned().collect();
        let mut changes = Vec::new();
        match kind {
            0 | 1 => {
                let victim = ["eks", "ecs"][kind];
                for member in there {
                    if member.set_identifier.as_deref() == Some(victim) {
                        changes.push((ChangeAction::Delete, member));
                    }
                }
            }
            2 => {
                for member in there {
                    let renamed = match member.set_identifier.as_deref() {
                        Some("eks") => "cluster-old",
                        Some("ecs") => "cluster-new",
                        Some(_) | None => continue,
                    };
                    let mut record = member.clone();
                    record.set_identifier = Some(renamed.to_owned());
                    changes.push((ChangeAction::Delete, member));
                    changes.push((ChangeAction::Upsert, record));
                }
            }
            _ => {
                for member in there {
                    changes.push((ChangeAction::Delete, member));
                }
                for (identifier, weight) in [("eks", 100), ("ecs", 0)] {
                    let record = record(&group.name, identifier, weight);
                    changes.push((ChangeAction::Create, record));
                }
            }
        }
        // Route 53 refuses to delete a missing record; then nothing changes.
        drop(route53.foreign_change(&zone, &ChangeBatch::of(changes), now));
        drop(route53);
        self.world.sync();
        self.note(&format!("{what}: {kind}"));
    }

    /// Another writer changes weights, adds or deletes a third member, or puts everything back.
    fn stranger(&mut self) {
        let now = self.world.now();
        let source = &self.sources[self.rng.usize(0..self.sources.len())];
        let group = &source.plan.records[self.rng.usize(0..source.plan.records.len())];
        let what = format!("a stranger at {}", group.name);
        let zone = self.world.zones[&group.zone.zone].clone();
        let mut route53 = locked(&self.world.route53);
        let kind = self.rng.usize(0..7);
        if kind < 2 {
            let action = [ChangeAction::Upsert, ChangeAction::Delete][kind];
            let change = Change {
                action,
                record: record(&group.name, "stranger", 30),
            };
            let batch = ChangeBatch {
                comment: None,
                changes: vec![change],
            };
            // Route 53 refuses to delete a missing record; then nothing changes.
            drop(route53.foreign_change(&zone, &batch, now));
        } else {
            let (old, new) = [(100, 0), (100, 0), (90, 10), (77, 7), (0, 100)][kind - 2];
            for (identifier, weight) in [("eks", old), ("ecs", new)] {
                drop(route53.foreign_weight(&zone, &group.name, identifier, Weight(weight), now));
            }
        }
        drop(route53);
        self.world.sync();
        self.note(&format!("{what}: {kind}"));
    }

    fn file(&mut self) {
        let index = self.rng.usize(0..self.sources.len());
        let source = self.sources[index].clone();
        let kind = self.rng.u8(0..5);
        let reading = match kind {
            0 => FileReading::Removed,
            1 => FileReading::Unreadable("not YAML".to_owned()),
            2 => plans::reading(&plans::amended(&mut self.rng, &source)),
            _ => plans::reading(&source),
        };
        self.world.file(&source.path, reading);
        self.note(&format!("file of {}: {kind}", source.plan.name));
    }

    /// A newer version writes an entry that this one cannot read, or a bug writes an impossible one. This is rare, because the
    /// cutover is left alone from then on.
    async fn damage(&mut self) {
        let source = &self.sources[self.rng.usize(0..self.sources.len())];
        let (seldom, newer) = (self.rng.u8(0..4) == 0, self.rng.bool());
        let Some(state) = self.world.state(&source.plan.name) else {
            return;
        };
        let damaged = locked(&self.world.witness).damaged().count();
        if !seldom || damaged >= DAMAGED_MAX {
            return;
        }
        let event = if newer {
            Event::Unreadable {
                why: "a newer cutover wrote it: this one does not know `teleported`".to_owned(),
            }
        } else {
            let step = state.plan().step_count() + 7;
            Event::BakeStarted { step }
        };
        self.note(&format!("{}: damaged by {}", state.name, event.label()));
        self.world.damage(&state, event).await;
    }

    /// A person gives a command, as the command line would.
    async fn person(&mut self) {
        let index = self.rng.usize(0..self.sources.len());
        let source = self.sources[index].clone();
        let Some(state) = self.world.state(&source.plan.name) else {
            return;
        };
        let event = match self.rng.u8(0..17) {
            0 | 1 => commands::pause(&state, None).ok(),
            2 | 3 => commands::resume(&state, None).ok(),
            4 | 5 => commands::approve(&state, None, "fine").ok(),
            6 => commands::skip_bake(&state, "enough").ok(),
            7..=9 => commands::retry(&state, None).ok(),
            10 | 11 => commands::adopt_drift(&state, "fine").ok(),
            12 => rollback(&state, RevertMode::Swap),
            13 => rollback(&state, RevertMode::Force),
            // Rare, because nothing more happens to an abandoned cutover.
            14 if self.rng.u8(0..4) == 0 => commands::abandon(&state, "it moves by hand").ok(),
            15 => {
                let amended = plans::amended(&mut self.rng, &source);
                let event = commands::amend(&state, &amended, None).ok();
                if event.is_some() {
                    self.world.file(&amended.path, plans::reading(&amended));
                    self.sources[index] = amended;
                }
                event
            }
            _ => commands::ignore_alarm(&state, &source.plan.gates.alarms[0].id, "known").ok(),
        };
        if let Some(event) = event {
            self.note(&format!("{}: {}", source.plan.name, event.label()));
            let goes_back = matches!(event, Event::RollbackRequested { .. });
            self.world.ask(&state, event).await;
            if goes_back && self.rng.u8(0..3) == 0 && self.processes.len() < CONTROLLERS_MAX {
                self.start_for(Scope::Rollback(BTreeSet::from([source.plan.name])));
            }
        }
    }

    /// A person gives a command for all cutovers, or changes `fleet.yaml`.
    async fn fleet_person(&mut self) {
        let now = self.world.now();
        let fleet = locked(&self.world.witness).fleet().clone();
        let event = match self.rng.u8(0..8) {
            0 | 1 => {
                let secs = plans::magnitude(&mut self.rng, 1, 10 * 86_400);
                let secs = i64::try_from(secs).expect("some days");
                let until = now + SignedDuration::from_secs(secs);
                let until = self.rng.bool().then_some(until);
                fleet_commands::freeze(&fleet, until, "a sale", now).ok()
            }
            2..=4 => fleet_commands::unfreeze(&fleet, None, now).ok(),
            5 | 6 => fleet_commands::resume(&fleet, "looked at").ok(),
            _ => {
                let limits = plans::limits(&mut self.rng, self.sources.len());
                self.note(&format!("limits {limits:?}"));
                *locked(&self.world.files.limits) = Some(limits);
                None
            }
        };
        if let Some(event) = event {
            self.note(&format!("the fleet: {}", event.label()));
            self.world.tell_fleet(event).await;
        }
    }
}

pub(super) fn rollback(state: &State, mode: RevertMode) -> Option<Event> {
    match commands::rollback(state, mode, true, None) {
        Ok(RollbackNeed::Request(event)) => Some(*event),
        Ok(RollbackNeed::UnderWay | RollbackNeed::Ended) | Err(_) => None,
    }
}

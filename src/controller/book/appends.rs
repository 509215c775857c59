//! Appending to the journal: the events of many cutovers in one round go into few appends.
//!
//! An append costs one sync of a disk or one transaction, however many entries it has. If each revert had its own
//! append, a thousand reverts would be journaled long after the first second.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::drafts::Draft;
use super::{APPEND_WITHIN, Book};
use crate::engine::event::Event;
use crate::engine::fleet;
use crate::engine::units::CutoverName;
use crate::ports::{APPEND_EVENTS_MAX, Append, JournalError, NewEntry};

/// Largest number of times that an append may be repeated because somebody else appended first. After that the
/// remaining cutovers wait for the next round (semantics F1).
const RACES_MAX: usize = 5;

impl Book {
    /// Appends the drafts of several cutovers at once, and returns one result for each. If somebody else appended to a
    /// cutover's stream first, its result is `Conflict`, and the cutover must be decided again; the others are
    /// appended.
    ///
    /// A draft that was decided from a revert that the journal did not know of is a conflict too: once the journal
    /// knows the revert, the cutover must be decided again.
    pub(in crate::controller) async fn append_group(
        &mut self,
        at: Timestamp,
        group: &[Draft],
    ) -> Vec<Result<(), JournalError>> {
        let mut answers: Vec<Option<Result<(), JournalError>>> = Vec::new();
        for draft in group {
            answers.push(self.barred(draft, at).await.map(Err));
        }
        for _ in 0..=RACES_MAX {
            let open: Vec<usize> = (0..group.len())
                .filter(|index| answers[*index].is_none())
                .collect();
            if open.is_empty() {
                break;
            }
            let drafts: Vec<&Draft> = open.iter().map(|index| &group[*index]).collect();
            match self.append_drafts(at, &drafts).await {
                Err(JournalError::Conflict { stream, .. }) => {
                    let read = self.refresh().await;
                    for index in open {
                        let draft = &group[index];
                        if let Err(error) = &read {
                            answers[index] = Some(Err(error.clone()));
                        } else if draft.depends_on(&stream) || self.is_stale(draft) {
                            // The stream that the conflict names has a new entry, even if that entry was not read yet.
                            answers[index] = Some(Err(self.lost(draft)));
                        }
                    }
                }
                answer => {
                    for index in open {
                        answers[index] = Some(answer.clone());
                    }
                }
            }
        }
        let drafts = group.iter().zip(answers);
        drafts
            .map(|(draft, answer)| answer.unwrap_or_else(|| Err(self.lost(draft))))
            .collect()
    }

    /// Returns why a draft cannot be appended at all: a stream has a new entry since the decision, its stream is
    /// damaged, or the journal did not know the revert that it was decided from. `None` if it can be appended.
    async fn barred(&mut self, draft: &Draft, at: Timestamp) -> Option<JournalError> {
        if self.is_unjournaled(&draft.name) {
            return match self.flush(&draft.name, at).await {
                Ok(()) => Some(self.lost(draft)),
                Err(error) => Some(error),
            };
        }
        if self.is_stale(draft) || self.is_damaged(&draft.name) {
            return Some(self.lost(draft));
        }
        None
    }

    /// Returns true if a stream has a new entry since the draft was decided.
    fn is_stale(&self, draft: &Draft) -> bool {
        if self.seq(&draft.name) != draft.seq {
            return true;
        }
        let mut conditions = draft.unless_moved.iter();
        conditions.any(|(stream, seq)| self.moved_by_others(stream) > *seq)
    }

    /// Returns the last entry of a stream that makes earlier decided steps stale. In `@fleet`, entries of this process
    /// do not: it counts free slots itself while it decides.
    fn moved_by_others(&self, stream: &CutoverName) -> u64 {
        if fleet::is_fleet(stream) {
            return self.fleet_by_others;
        }
        self.seq(stream)
    }

    fn lost(&self, draft: &Draft) -> JournalError {
        JournalError::Conflict {
            stream: draft.name.clone(),
            expected: draft.seq,
            head: self.seq(&draft.name),
        }
    }

    /// Appends drafts together. A single draft that is too large goes into several appends.
    async fn append_drafts(
        &mut self,
        at: Timestamp,
        drafts: &[&Draft],
    ) -> Result<(), JournalError> {
        let fleet = fleet::stream();
        let mut events: Vec<(&CutoverName, &Event)> = Vec::new();
        for draft in drafts {
            events.extend(draft.events.iter().map(|event| (&draft.name, event)));
            events.extend(draft.fleet.iter().map(|event| (&fleet, event)));
        }
        let mut others = BTreeSet::new();
        for (stream, _) in drafts.iter().flat_map(|draft| &draft.unless_moved) {
            others.insert(stream.clone());
        }
        for events in events.chunks(APPEND_EVENTS_MAX) {
            let append_id = self.next_append_id();
            self.append_events(at, events, &others, append_id).await?;
        }
        Ok(())
    }

    /// Appends at most [`APPEND_EVENTS_MAX`] facts, which are true whatever else was written. The journal accepts an
    /// `append_id` only once, however often a reply is lost (semantics G1).
    pub(in crate::controller) async fn append_facts(
        &mut self,
        at: Timestamp,
        facts: &[(CutoverName, Event)],
        append_id: String,
    ) -> Result<(), JournalError> {
        for (name, _) in facts {
            self.flush(name, at).await?;
        }
        let events: Vec<(&CutoverName, &Event)> =
            facts.iter().map(|(name, event)| (name, event)).collect();
        self.append_events(at, &events, &BTreeSet::new(), append_id)
            .await
    }

    /// Returns an ID that no other append of this journal has.
    pub(in crate::controller) fn next_append_id(&mut self) -> String {
        self.appends += 1;
        format!("{}-{}", self.actor, self.appends)
    }

    /// Returns the sequence number of the last entry of a stream that was read; 0 if there is none.
    pub(in crate::controller) fn seq(&self, name: &CutoverName) -> u64 {
        self.ledger.seq(name)
    }

    /// Appends events, on the condition that their streams and `others` have no entries that this controller has not
    /// read.
    pub(super) async fn append_events(
        &mut self,
        at: Timestamp,
        events: &[(&CutoverName, &Event)],
        others: &BTreeSet<CutoverName>,
        append_id: String,
    ) -> Result<(), JournalError> {
        if let Some(why) = &self.down {
            return Err(JournalError::Down(why.clone()));
        }
        let mut entries = Vec::new();
        for (name, event) in events {
            let state = self.journaled(name);
            entries.push(NewEntry {
                cutover: (*name).clone(),
                attempt: state.map_or(1, |state| state.attempt),
                at,
                actor: self.actor.clone(),
                event: (*event).clone(),
            });
        }
        let written_to = events.iter().map(|(name, _)| *name);
        let streams: BTreeSet<&CutoverName> = written_to.chain(others).collect();
        let expect = streams
            .into_iter()
            .map(|stream| (stream.clone(), self.seq(stream)))
            .collect();
        let append = Append {
            expect,
            entries,
            append_id,
        };
        let written = match tokio::time::timeout(APPEND_WITHIN, self.journal.append(append)).await {
            Ok(written) => written,
            Err(_) => Err(JournalError::Down(
                "an append took longer than 2 s".to_owned(),
            )),
        };
        if let Err(JournalError::Down(why)) = &written {
            self.down = Some(why.clone());
        }
        for entry in &written? {
            self.take(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use crate::engine::event::{Envelope, JOURNAL_VERSION};
    use crate::engine::plan::{AwsSettings, Gates, HoldOrRevert, Plan, PlanSource};
    use crate::engine::units::ControllerId;
    use crate::ports::{Heartbeat, Journal, Position};

    /// A minimal journal that counts its appends.
    #[derive(Default)]
    struct Counted(Mutex<(Vec<Envelope>, usize)>);

    #[async_trait]
    impl Journal for Counted {
        async fn append(&self, append: Append) -> Result<Vec<Envelope>, JournalError> {
            let mut inside = self.0.lock().unwrap();
            inside.1 += 1;
            let mut heads: BTreeMap<CutoverName, u64> = BTreeMap::new();
            for entry in &inside.0 {
                heads.insert(entry.cutover.clone(), entry.seq);
            }
            for (stream, expected) in &append.expect {
                let head = heads.get(stream).copied().unwrap_or(0);
                if head != *expected {
                    return Err(JournalError::Conflict {
                        stream: stream.clone(),
                        expected: *expected,
                        head,
                    });
                }
            }
            let mut written = Vec::new();
            for entry in append.entries {
                let head = heads.entry(entry.cutover.clone()).or_default();
                *head += 1;
                written.push(Envelope {
                    cutover: entry.cutover,
                    attempt: entry.attempt,
                    seq: *head,
                    at: entry.at,
                    actor: entry.actor,
                    version: JOURNAL_VERSION,
                    event: entry.event,
                });
            }
            inside.0.extend(written.iter().cloned());
            Ok(written)
        }

        async fn read_after(
            &self,
            position: Position,
        ) -> Result<(Vec<Envelope>, Position), JournalError> {
            let inside = self.0.lock().unwrap();
            let from = usize::try_from(position.0).unwrap();
            let read = inside.0[from..].to_vec();
            Ok((read, Position(u64::try_from(inside.0.len()).unwrap())))
        }

        async fn head(&self, _: &CutoverName) -> Result<u64, JournalError> {
            Ok(0)
        }

        async fn changed(&self, _: Position) {}

        async fn beat(&self, _: &Heartbeat) -> Result<(), JournalError> {
            Ok(())
        }

        async fn heartbeats(&self) -> Result<Vec<Heartbeat>, JournalError> {
            Ok(Vec::new())
        }
    }

    fn accepted(name: &str) -> Draft {
        let day = jiff::SignedDuration::from_hours(24);
        let plan = Plan {
            name: CutoverName::from(name),
            description: None,
            aws: AwsSettings::default(),
            records: Vec::new(),
            settle: None,
            steps: Vec::new(),
            gates: Gates {
                alarms: Vec::new(),
                fallback_alarms: Vec::new(),
                unknown_for: day,
                on_unknown: HoldOrRevert::Hold,
                both_red: HoldOrRevert::Hold,
                measures: crate::engine::evidence::plan::Measures::default(),
            },
            windows: None,
            notify: None,
            hooks: Vec::new(),
            jobs: None,
            labels: BTreeMap::new(),
            after: Vec::new(),
        };
        let source = PlanSource {
            path: format!("/{name}.yaml"),
            digest: String::new(),
            text: String::new(),
            plan,
        };
        let event = Event::PlanAccepted {
            source: Box::new(source),
        };
        Draft::alone(CutoverName::from(name), 0, vec![event])
    }

    #[tokio::test]
    async fn of_twenty_cutovers_only_the_one_that_lost_its_race_is_decided_afresh() {
        let journal = Arc::new(Counted::default());
        let mine = &mut Book::new(journal.clone(), &ControllerId::from("mine"));
        let theirs = &mut Book::new(journal.clone(), &ControllerId::from("theirs"));
        let names: Vec<String> = (0..20).map(|number| format!("svc{number:02}")).collect();
        let drafts: Vec<Draft> = names.iter().map(|name| accepted(name)).collect();
        let at = Timestamp::UNIX_EPOCH;
        let answers = mine.append_group(at, &drafts).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        theirs.refresh().await.unwrap();
        let faster = theirs.append_group(at, &[draft("svc07", 1, 1)]).await;
        assert!(faster[0].is_ok(), "{faster:?}");
        let before = journal.0.lock().unwrap().1;
        let drafts: Vec<Draft> = names.iter().map(|name| draft(name, 1, 1)).collect();
        let answers = mine.append_group(at, &drafts).await;
        for (name, answer) in names.iter().zip(&answers) {
            assert_eq!(answer.is_ok(), name != "svc07", "{name}: {answer:?}");
        }
        assert_eq!(
            journal.0.lock().unwrap().1 - before,
            2,
            "one append that loses the race, one without svc07"
        );
        let state = mine.state(&CutoverName::from("svc07")).unwrap();
        assert_eq!(state.seq, 2, "the entry that was faster is read");
    }

    fn draft(name: &str, seq: u64, events: usize) -> Draft {
        let event = Event::PauseRequested { reason: None };
        Draft::alone(CutoverName::from(name), seq, vec![event; events])
    }
}

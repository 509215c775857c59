//! The contract that every journal keeps, run against each.

#![expect(
    clippy::unwrap_used,
    reason = "the claims are tests; a macro puts `#[test]` on their callers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cutover::engine::event::{Event, JOURNAL_VERSION};
use cutover::journal::{MemoryJournal, Open, SlotJournal, open};
use cutover::ports::{Append, Claim, Cursor, Heartbeat, Journal, JournalError, Position, Trouble};
use cutover::sim::slots::MemorySlots;
use tempfile::TempDir;

use super::{append_one, at, entry, examples};

/// A place that a journal can be opened at, more than once.
pub(super) enum Place {
    Memory(MemoryJournal),
    Sqlite(TempDir),
    /// A journal in a table.
    Slots(MemorySlots),
    /// A journal in a table of an emulator by others.
    #[cfg(feature = "dynamodb")]
    Emulated(super::ministack::EmulatedTable),
}

impl Place {
    fn memory() -> Self {
        Self::Memory(MemoryJournal::new())
    }

    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a folder"))
    }

    fn slots() -> Self {
        Self::Slots(MemorySlots::new())
    }

    fn open(&self) -> Arc<dyn Journal> {
        match self {
            #[cfg(feature = "dynamodb")]
            Self::Emulated(table) => table.open(),
            Self::Slots(slots) => {
                let slots = Arc::new(slots.clone());
                Arc::new(SlotJournal::new(slots, "J", "dynamodb:T/J"))
            }
            Self::Memory(journal) => Arc::new(journal.clone()),
            Self::Sqlite(folder) => {
                let url = format!("sqlite:{}", folder.path().join("journal.db").display());
                open(&url, Open::Create).expect("a journal")
            }
        }
    }
}

/// Makes a test of every claim for every kind of journal. The emulator is started once for all of them.
macro_rules! contract {
    ($($claim:ident),* $(,)?) => {
        #[cfg(feature = "dynamodb")]
        pub(super) async fn every_claim_holds(place: impl Fn(&str) -> Place) {
            $(Box::pin($claim(&place(stringify!($claim)))).await;)*
        }

        mod memory {
            $(#[tokio::test]
            async fn $claim() {
                super::$claim(&super::Place::memory()).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $claim() {
                super::$claim(&super::Place::sqlite()).await;
            })*
        }

        mod slots {
            $(#[tokio::test]
            async fn $claim() {
                super::$claim(&super::Place::slots()).await;
            })*
        }
    };
}

contract!(
    entries_are_numbered_from_one_and_read_back_in_order,
    every_event_is_read_back_as_it_was_written,
    an_append_at_a_stale_number_is_refused_and_writes_nothing,
    an_append_over_two_streams_is_all_or_nothing,
    an_append_that_comes_twice_is_written_once,
    an_append_that_comes_twice_succeeds_although_others_went_on,
    an_append_that_comes_again_with_newer_numbers_is_written_once,
    an_entry_is_never_dated_before_the_one_before_it,
    too_many_entries_at_once_are_refused,
    an_append_must_say_where_each_of_its_streams_stands,
    an_append_without_entries_checks_and_writes_nothing,
    reading_goes_on_where_it_ended,
    a_waiter_wakes_when_another_handle_appends,
    a_waiter_that_comes_late_does_not_wait,
    a_waiter_sleeps_while_nothing_is_appended,
    writers_that_race_lose_nothing_and_leave_no_gap,
    heartbeats_are_replaced_and_dropped_after_a_day,
    heartbeats_wake_nobody,
    a_cursor_is_stored_only_over_the_revision_before_it,
    of_many_cursors_those_are_stored_that_follow,
    of_two_who_claim_a_cursor_one_gets_it,
    cursors_wake_nobody_and_are_no_entries,
);

async fn entries_are_numbered_from_one_and_read_back_in_order(place: &Place) {
    let journal = place.open();
    assert_eq!(journal.head(&"api".into()).await, Ok(0));
    let first = journal.append(append_one("api", 0, "a")).await.unwrap();
    let other = journal.append(append_one("web", 0, "b")).await.unwrap();
    let second = journal.append(append_one("api", 1, "c")).await.unwrap();
    assert_eq!((first[0].seq, second[0].seq, other[0].seq), (1, 2, 1));
    assert_eq!(first[0].version, JOURNAL_VERSION);
    let (entries, _) = place.open().read_after(Position(0)).await.unwrap();
    assert_eq!(entries, [first, other, second].concat());
    assert_eq!(journal.head(&"api".into()).await, Ok(2));
}

async fn every_event_is_read_back_as_it_was_written(place: &Place) {
    let journal = place.open();
    let events = examples::events();
    for (number, event) in (0..).zip(&events) {
        let append = Append {
            expect: vec![("api".into(), number)],
            entries: vec![entry("api", 0, event.clone())],
            append_id: format!("append-{number}"),
        };
        journal.append(append).await.unwrap();
    }
    let (entries, _) = place.open().read_after(Position(0)).await.unwrap();
    let read: Vec<_> = entries.into_iter().map(|entry| entry.event).collect();
    assert_eq!(read, events);
}

async fn an_append_at_a_stale_number_is_refused_and_writes_nothing(place: &Place) {
    let journal = place.open();
    journal.append(append_one("api", 0, "a")).await.unwrap();
    for expected in [0, 2] {
        let refused = place.open().append(append_one("api", expected, "b")).await;
        let conflict = JournalError::Conflict {
            stream: "api".into(),
            expected,
            head: 1,
        };
        assert_eq!(refused, Err(conflict));
    }
    assert_eq!(journal.read_after(Position(0)).await.unwrap().0.len(), 1);
}

async fn an_append_over_two_streams_is_all_or_nothing(place: &Place) {
    let journal = place.open();
    journal.append(append_one("@fleet", 0, "a")).await.unwrap();
    let both = |fleet| Append {
        expect: vec![("api".into(), 0), ("@fleet".into(), fleet)],
        entries: vec![
            entry("api", 0, Event::BakeStarted { step: 1 }),
            entry("@fleet", 0, Event::Completed { adopted: None }),
            entry("api", 0, Event::GatesPassed {}),
        ],
        append_id: format!("both-{fleet}"),
    };
    let refused = journal.append(both(0)).await.unwrap_err();
    assert!(
        matches!(refused, JournalError::Conflict { head: 1, .. }),
        "{refused}"
    );
    assert_eq!(journal.head(&"api".into()).await, Ok(0));
    let written = journal.append(both(1)).await.unwrap();
    let numbers: Vec<_> = written
        .iter()
        .map(|entry| (entry.cutover.as_str(), entry.seq))
        .collect();
    assert_eq!(numbers, [("api", 1), ("@fleet", 2), ("api", 2)]);
    // A condition on a stream that is not written to counts as well.
    let mut watching = append_one("api", 2, "c");
    watching.expect.push(("@fleet".into(), 1));
    let refused = journal.append(watching).await.unwrap_err();
    assert!(matches!(
        refused,
        JournalError::Conflict {
            expected: 1,
            head: 2,
            ..
        }
    ));
}

async fn an_append_that_comes_twice_is_written_once(place: &Place) {
    let first = place
        .open()
        .append(append_one("api", 0, "a"))
        .await
        .unwrap();
    let again = place
        .open()
        .append(append_one("api", 0, "a"))
        .await
        .unwrap();
    assert_eq!(first, again);
    let (entries, _) = place.open().read_after(Position(0)).await.unwrap();
    assert_eq!(entries, first);
}

async fn an_append_that_comes_twice_succeeds_although_others_went_on(place: &Place) {
    let journal = place.open();
    let mut two = append_one("api", 0, "a");
    two.entries.push(entry("api", 5, Event::GatesPassed {}));
    let first = journal.append(two.clone()).await.unwrap();
    journal.append(append_one("api", 2, "b")).await.unwrap();
    assert_eq!(journal.append(two).await, Ok(first));
    assert_eq!(journal.head(&"api".into()).await, Ok(3));
}

async fn an_append_that_comes_again_with_newer_numbers_is_written_once(place: &Place) {
    let journal = place.open();
    let first = journal.append(append_one("api", 0, "a")).await.unwrap();
    // The reply was lost. The writer has then read its own entry, and expects it.
    let again = journal.append(append_one("api", 1, "a")).await;
    assert_eq!(again, Ok(first.clone()));
    let elsewhere = place.open();
    let again = elsewhere.append(append_one("api", 1, "a")).await;
    assert_eq!(again, Ok(first));
    assert_eq!(journal.head(&"api".into()).await, Ok(1));
}

async fn an_entry_is_never_dated_before_the_one_before_it(place: &Place) {
    let journal = place.open();
    let append = |expected, times: &[i64]| Append {
        expect: vec![("api".into(), expected)],
        entries: times
            .iter()
            .map(|secs| entry("api", *secs, Event::GatesPassed {}))
            .collect(),
        append_id: format!("at-{expected}"),
    };
    journal.append(append(0, &[100])).await.unwrap();
    let written = journal.append(append(1, &[40, 160, 50])).await.unwrap();
    let times: Vec<_> = written.iter().map(|entry| entry.at).collect();
    assert_eq!(times, [at(100), at(160), at(160)]);
    // Another stream has a time of its own.
    let other = journal.append(append_one("web", 0, "web")).await.unwrap();
    assert_eq!(other[0].at, at(0));
    let (entries, _) = place.open().read_after(Position(1)).await.unwrap();
    assert_eq!(entries[..3], written);
}

async fn too_many_entries_at_once_are_refused(place: &Place) {
    let journal = place.open();
    let mut append = append_one("api", 0, "a");
    append.entries = vec![append.entries[0].clone(); 21];
    let refused = journal.append(append.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("at most 20"), "{refused}");
    append.entries.pop();
    assert_eq!(journal.append(append).await.unwrap().len(), 20);
}

async fn an_append_must_say_where_each_of_its_streams_stands(place: &Place) {
    let journal = place.open();
    let mut unconditional = append_one("api", 0, "a");
    unconditional
        .entries
        .push(entry("web", 0, Event::Completed { adopted: None }));
    let refused = journal.append(unconditional).await.unwrap_err();
    assert!(refused.to_string().contains("stream web"), "{refused}");
    let mut twice = append_one("api", 0, "b");
    twice.expect.push(("api".into(), 1));
    assert!(journal.append(twice).await.is_err());
    assert_eq!(
        journal.read_after(Position(0)).await,
        Ok((Vec::new(), Position(0)))
    );
}

async fn an_append_without_entries_checks_and_writes_nothing(place: &Place) {
    let journal = place.open();
    let mut nothing = append_one("api", 0, "a");
    nothing.entries.clear();
    assert_eq!(journal.append(nothing.clone()).await, Ok(Vec::new()));
    journal.append(append_one("api", 0, "b")).await.unwrap();
    let refused = journal.append(nothing).await;
    assert!(matches!(refused, Err(JournalError::Conflict { .. })));
}

async fn reading_goes_on_where_it_ended(place: &Place) {
    let journal = place.open();
    journal.append(append_one("api", 0, "a")).await.unwrap();
    let (first, position) = journal.read_after(Position(0)).await.unwrap();
    assert_eq!(
        journal.read_after(position).await,
        Ok((Vec::new(), position))
    );
    let written = place
        .open()
        .append(append_one("web", 0, "b"))
        .await
        .unwrap();
    let (second, end) = journal.read_after(position).await.unwrap();
    assert_eq!((first.len(), second), (1, written));
    assert!(end > position);
    // A place beyond the end is kept, as when a file was put back from a backup.
    assert_eq!(
        journal.read_after(Position(99)).await,
        Ok((Vec::new(), Position(99)))
    );
}

async fn a_waiter_wakes_when_another_handle_appends(place: &Place) {
    let (journal, other) = (place.open(), place.open());
    journal.append(append_one("api", 0, "a")).await.unwrap();
    let (_, position) = journal.read_after(Position(0)).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_secs(5), journal.changed(position));
    let append = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        other.append(append_one("api", 1, "b")).await.unwrap();
    };
    let (woken, ()) = tokio::join!(wait, append);
    woken.expect("woken well before the time is up");
}

async fn a_waiter_that_comes_late_does_not_wait(place: &Place) {
    let journal = place.open();
    journal.append(append_one("api", 0, "a")).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_secs(5), journal.changed(Position(0)));
    wait.await.expect("it had changed before");
}

async fn a_waiter_sleeps_while_nothing_is_appended(place: &Place) {
    let journal = place.open();
    let wait = tokio::time::timeout(Duration::from_millis(500), journal.changed(Position(0)));
    assert!(wait.await.is_err(), "nothing was appended");
}

/// Four writers with handles of their own append 100 entries each to one stream, and try again when they lose.
async fn writers_that_race_lose_nothing_and_leave_no_gap(place: &Place) {
    const WRITERS: usize = 4;
    const EACH: usize = 100;
    let write = |writer: usize, journal: Arc<dyn Journal>| {
        move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut head = 0;
                for number in 0..EACH {
                    let append_id = format!("{writer}-{number}");
                    loop {
                        match journal.append(append_one("api", head, &append_id)).await {
                            Ok(written) => break head = written[0].seq,
                            Err(JournalError::Conflict { head: stands, .. }) => head = stands,
                            // A machine under load; the same append is tried again.
                            Err(JournalError::Down(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    };
    let handles: Vec<_> = (0..WRITERS).map(|_| place.open()).collect();
    std::thread::scope(|scope| {
        for (writer, journal) in handles.into_iter().enumerate() {
            scope.spawn(write(writer, journal));
        }
    });
    let (entries, _) = place.open().read_after(Position(0)).await.unwrap();
    let numbers: Vec<_> = entries.iter().map(|entry| entry.seq).collect();
    let gapless: Vec<_> = (1..).take(WRITERS * EACH).collect();
    assert_eq!(numbers, gapless);
}

fn heartbeat(controller: &str, secs: i64) -> Heartbeat {
    Heartbeat {
        refused: BTreeMap::new(),
        ended: false,
        controller: controller.to_owned(),
        host: "host".to_owned(),
        version: "0.1.0".to_owned(),
        at: at(secs),
        interval_secs: 10,
        cutovers: BTreeMap::new(),
    }
}

async fn heartbeats_are_replaced_and_dropped_after_a_day(place: &Place) {
    let journal = place.open();
    let beats = [("a", 0), ("b", 10), ("a", 20), ("c", 86_410)];
    for (controller, secs) in beats {
        journal.beat(&heartbeat(controller, secs)).await.unwrap();
    }
    let kept = [
        heartbeat("c", 86_410),
        heartbeat("a", 20),
        heartbeat("b", 10),
    ];
    assert_eq!(place.open().heartbeats().await.unwrap(), kept);
    journal.beat(&heartbeat("c", 86_411)).await.unwrap();
    let kept = place.open().heartbeats().await.unwrap();
    let names: BTreeSet<_> = kept.iter().map(|beat| beat.controller.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["a", "c"]));
}

async fn heartbeats_wake_nobody(place: &Place) {
    let journal = place.open();
    journal.beat(&heartbeat("a", 0)).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(300), journal.changed(Position(0)));
    assert!(wait.await.is_err());
    assert_eq!(
        journal.read_after(Position(0)).await,
        Ok((Vec::new(), Position(0)))
    );
}

fn cursor(stream: &str, revision: u64, told: u64) -> Cursor {
    Cursor {
        revision,
        told,
        claim: Some(Claim {
            by: "controller-1".to_owned(),
            until: at(30),
        }),
        trouble: Some(Trouble {
            since: at(1),
            tries: 3,
            why: "HTTP 503".to_owned(),
            again_at: at(9),
            of: 3,
        }),
        memo: Some(serde_json::json!({ "ts": "1.2" })),
        ..Cursor::new(stream.into(), "slack ${SLACK}".to_owned())
    }
}

/// Stores one cursor.
async fn put(journal: &Arc<dyn Journal>, cursor: Cursor) -> Result<bool, JournalError> {
    let put = journal.put_cursors(&[cursor]).await;
    put.map(|stored| stored == [true])
}

async fn of_many_cursors_those_are_stored_that_follow(place: &Place) {
    let journal = place.open();
    assert_eq!(put(&journal, cursor("b", 1, 1)).await, Ok(true));
    let many = [cursor("a", 1, 7), cursor("b", 1, 7), cursor("c", 1, 7)];
    assert_eq!(
        journal.put_cursors(&many).await,
        Ok(vec![true, false, true])
    );
    let told: Vec<u64> = journal
        .cursors()
        .await
        .unwrap()
        .iter()
        .map(|one| one.told)
        .collect();
    assert_eq!(told, [7, 1, 7]);
    assert_eq!(journal.put_cursors(&[]).await, Ok(Vec::new()));
}

async fn a_cursor_is_stored_only_over_the_revision_before_it(place: &Place) {
    let journal = place.open();
    let (api, id) = ("api".into(), "slack ${SLACK}");
    assert_eq!(journal.cursor(&api, id).await, Ok(None));
    assert_eq!(put(&journal, cursor("api", 2, 5)).await, Ok(false));
    assert_eq!(put(&journal, cursor("api", 1, 5)).await, Ok(true));
    assert_eq!(put(&journal, cursor("api", 1, 6)).await, Ok(false));
    let other = place.open();
    assert_eq!(other.cursor(&api, id).await, Ok(Some(cursor("api", 1, 5))));
    assert_eq!(put(&other, cursor("api", 2, 7)).await, Ok(true));
    assert_eq!(put(&journal, cursor("api", 2, 8)).await, Ok(false));
    assert_eq!(put(&other, cursor("@fleet", 1, 1)).await, Ok(true));
    let all = journal.cursors().await;
    assert_eq!(all, Ok(vec![cursor("@fleet", 1, 1), cursor("api", 2, 7)]));
    assert_eq!(journal.cursor(&api, "sns x").await, Ok(None));
}

async fn of_two_who_claim_a_cursor_one_gets_it(place: &Place) {
    let mut claims = tokio::task::JoinSet::new();
    for told in 0..8 {
        let journal = place.open();
        claims.spawn(async move { put(&journal, cursor("api", 1, told)).await });
    }
    let claims = claims.join_all().await;
    let got = claims.iter().filter(|claim| **claim == Ok(true)).count();
    assert_eq!(got, 1, "{claims:?}");
}

async fn cursors_wake_nobody_and_are_no_entries(place: &Place) {
    let journal = place.open();
    put(&journal, cursor("api", 1, 1)).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(300), journal.changed(Position(0)));
    assert!(wait.await.is_err());
    assert_eq!(journal.head(&"api".into()).await, Ok(0));
}

//! What only a journal in a table can suffer: calls that fail in every way, changed items, packs, and what calls cost.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy does not take for tests"
)]

use std::sync::Arc;
use std::time::Duration;

use cutover::engine::event::Event;
use cutover::engine::hold::HoldReason;
use cutover::engine::units::{Weight, WeightPair};
use cutover::journal::{Open, SlotJournal};
use cutover::ports::{
    Append, Glance, Heartbeat, Journal, JournalError, Position, SlotField, SlotItem, Slots,
    StorageReport,
};
use cutover::sim::slots::{MemorySlots, SlotFault};
use jiff::SignedDuration;
use tokio::time::Instant;

use super::{append_one, at, entry};

/// The faults that end without an answer in time, or with none at all.
const FAULTS: [SlotFault; 6] = [
    SlotFault::Throttled,
    SlotFault::LostBefore,
    SlotFault::LostAfter,
    SlotFault::Slow(Duration::from_secs(5)),
    SlotFault::Hangs(false),
    SlotFault::Hangs(true),
];

fn journal(slots: &MemorySlots) -> SlotJournal {
    SlotJournal::new(Arc::new(slots.clone()), "J", "dynamodb:T/J")
}

/// All entries as a fresh process reads them, as stream and number.
async fn fresh_read(slots: &MemorySlots) -> Vec<(String, u64)> {
    let (entries, _) = journal(slots).read_after(Position(0)).await.unwrap();
    let mut read = Vec::new();
    for entry in entries {
        read.push((entry.cutover.to_string(), entry.seq));
    }
    read
}

fn is_down<T>(answer: &Result<T, JournalError>) -> bool {
    matches!(answer, Err(JournalError::Down(_)))
}

#[tokio::test(start_paused = true)]
async fn an_append_is_down_within_two_seconds_whichever_call_fails_and_is_written_once_when_tried_again()
 {
    for fault in FAULTS {
        for failing_call in 0..3 {
            let slots = MemorySlots::new();
            let (mine, theirs) = (journal(&slots), journal(&slots));
            mine.append(append_one("api", 0, "first")).await.unwrap();
            // Somebody else is faster, so that the append puts, reads on and puts again.
            theirs.append(append_one("web", 0, "theirs")).await.unwrap();
            let before = vec![None; failing_call];
            slots.fail_next(before.into_iter().chain([Some(fault)]));
            let began = Instant::now();
            let failed = mine.append(append_one("api", 1, "second")).await;
            assert!(is_down(&failed), "{fault:?} at {failing_call}: {failed:?}");
            assert!(began.elapsed() <= Duration::from_secs(2), "{fault:?}");
            let again = mine.append(append_one("api", 1, "second")).await.unwrap();
            assert_eq!(again[0].seq, 2, "{fault:?} at {failing_call}");
            let third = mine.append(append_one("api", 2, "third")).await.unwrap();
            assert_eq!(third[0].seq, 3);
            let numbers = [("api", 1), ("web", 1), ("api", 2), ("api", 3)];
            let numbers = numbers.map(|(stream, seq)| (stream.to_owned(), seq));
            assert_eq!(fresh_read(&slots).await, numbers, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn an_append_that_the_client_sent_twice_after_a_lost_reply_has_succeeded() {
    let slots = MemorySlots::new();
    let journal = journal(&slots);
    journal.append(append_one("api", 0, "first")).await.unwrap();
    slots.fail_next([Some(SlotFault::SentTwice)]);
    let written = journal
        .append(append_one("api", 1, "second"))
        .await
        .unwrap();
    assert_eq!(written[0].seq, 2);
    assert_eq!(fresh_read(&slots).await.len(), 2);
}

#[tokio::test]
async fn a_cursor_that_the_client_sent_twice_is_stored() {
    let slots = MemorySlots::new();
    let journal = journal(&slots);
    let mut cursor = cutover::ports::Cursor::new("api".into(), "sns x".to_owned());
    cursor.revision = 1;
    slots.fail_next([Some(SlotFault::SentTwice)]);
    assert_eq!(
        journal.put_cursors(std::slice::from_ref(&cursor)).await,
        Ok(vec![true])
    );
    assert_eq!(
        journal.put_cursors(std::slice::from_ref(&cursor)).await,
        Ok(vec![false]),
        "another write"
    );
}

#[tokio::test]
async fn an_append_that_lost_its_reply_conflicts_with_the_next_one_of_the_same_process() {
    let slots = MemorySlots::new();
    let journal = journal(&slots);
    journal.append(append_one("api", 0, "first")).await.unwrap();
    slots.fail_next([Some(SlotFault::LostAfter)]);
    assert!(is_down(&journal.append(append_one("api", 1, "lost")).await));
    let other = journal.append(append_one("api", 1, "other")).await;
    assert!(matches!(other, Err(JournalError::Conflict { head: 2, .. })));
    assert_eq!(fresh_read(&slots).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_other_call_ends_in_time_and_is_down() {
    for fault in FAULTS {
        let slots = MemorySlots::new();
        let journal = journal(&slots);
        journal.append(append_one("api", 0, "first")).await.unwrap();
        slots.fail_always(Some(fault));
        let began = Instant::now();
        let beat = heartbeat("a", 0);
        let cursor = cutover::ports::Cursor {
            revision: 1,
            ..cutover::ports::Cursor::new("api".into(), "sns x".to_owned())
        };
        let slow = matches!(fault, SlotFault::Slow(_));
        assert!(is_down(&journal.beat(&beat).await), "{fault:?}");
        assert!(
            is_down(&journal.put_cursors(std::slice::from_ref(&cursor)).await),
            "{fault:?}"
        );
        assert_eq!(is_down(&journal.read_after(Position(0)).await), !slow);
        assert_eq!(is_down(&journal.head(&"api".into()).await), !slow);
        assert_eq!(is_down(&journal.heartbeats().await), !slow);
        assert_eq!(is_down(&journal.cursors().await), !slow);
        assert!(began.elapsed() < Duration::from_secs(130), "{fault:?}");
        slots.fail_always(None);
        assert_eq!(journal.head(&"api".into()).await, Ok(1));
    }
}

fn heartbeat(controller: &str, secs: i64) -> Heartbeat {
    Heartbeat {
        controller: controller.to_owned(),
        host: "host".to_owned(),
        version: "0.1.0".to_owned(),
        at: at(secs),
        interval_secs: 10,
        cutovers: std::collections::BTreeMap::new(),
        ended: false,
        refused: std::collections::BTreeMap::new(),
    }
}

/// An item of the log.
async fn log_item(slots: &MemorySlots, position: u64) -> SlotItem {
    let item = slots.get("J/log", &format!("{position:016}")).await;
    item.unwrap().expect("the item is there")
}

/// A table with five appends.
async fn five_appends() -> MemorySlots {
    let slots = MemorySlots::new();
    let journal = journal(&slots);
    for number in 0..5 {
        let append = append_one("api", number, &format!("append-{number}"));
        journal.append(append).await.unwrap();
    }
    slots
}

async fn assert_unusable(slots: &MemorySlots, says: &str) {
    let before = slots.items();
    let fresh = journal(slots);
    let Err(JournalError::Unusable(why)) = fresh.read_after(Position(0)).await else {
        panic!("{says}: it can be read");
    };
    assert!(why.contains(says), "{why}");
    assert!(why.contains("dynamodb:T/J"), "{why}");
    let refused = fresh.append(append_one("web", 0, "new")).await;
    assert!(matches!(refused, Err(JournalError::Unusable(_))));
    let unread = journal(slots).append(append_one("web", 0, "new")).await;
    assert!(matches!(unread, Err(JournalError::Unusable(_))));
    assert_eq!(slots.items(), before, "{says}: something was written");
}

#[tokio::test]
async fn a_changed_item_breaks_the_chain_and_nothing_more_is_written() {
    let slots = five_appends().await;
    let (second, third) = (log_item(&slots, 2).await, log_item(&slots, 3).await);
    let mut forged = second.clone();
    forged
        .fields
        .insert("data".to_owned(), third.fields["data"].clone());
    slots.tamper("J/log", &second.sort, Some(forged));
    assert_unusable(&slots, "append 2 was changed").await;
}

#[tokio::test]
async fn an_item_that_was_removed_breaks_the_chain() {
    let slots = five_appends().await;
    slots.tamper("J/log", &format!("{:016}", 3), None);
    assert_unusable(&slots, "append 3 is missing").await;
    let slots = five_appends().await;
    slots.tamper("J/log", &format!("{:016}", 1), None);
    assert_unusable(&slots, "append 1 is missing").await;
}

#[tokio::test]
async fn an_item_that_another_wrote_over_with_a_hash_of_its_own_breaks_the_chain() {
    let slots = five_appends().await;
    let other = MemorySlots::new();
    let forger = journal(&other);
    for number in 0..2 {
        let append = append_one("api", number, &format!("forged-{number}"));
        forger.append(append).await.unwrap();
    }
    let forged = log_item(&other, 2).await;
    slots.tamper("J/log", &forged.sort.clone(), Some(forged));
    assert_unusable(&slots, "append 2 was changed").await;
}

#[tokio::test]
async fn an_item_that_is_cut_off_or_newer_is_not_read() {
    for (name, value, says) in [
        (
            "data",
            SlotField::Bytes(vec![1, 2, 3]),
            "cannot be unpacked",
        ),
        ("version", SlotField::Number(2), "a newer cutover wrote it"),
        ("hash", SlotField::Number(2), "it has no hash"),
    ] {
        let slots = five_appends().await;
        let mut item = log_item(&slots, 4).await;
        item.fields.insert(name.to_owned(), value);
        slots.tamper("J/log", &item.sort.clone(), Some(item));
        assert_unusable(&slots, says).await;
    }
}

#[tokio::test]
async fn appends_of_one_process_that_run_at_once_are_all_written_and_none_is_lost() {
    let slots = MemorySlots::new();
    let journal = Arc::new(journal(&slots));
    let mut appends = tokio::task::JoinSet::new();
    for number in 0..50 {
        let journal = Arc::clone(&journal);
        let stream = format!("svc{number}");
        appends.spawn(async move { journal.append(append_one(&stream, 0, &stream)).await });
        slots.fail_next([Some(SlotFault::Slow(Duration::from_millis(1)))]);
    }
    for written in appends.join_all().await {
        assert_eq!(written.unwrap().len(), 1);
    }
    assert_eq!(fresh_read(&slots).await.len(), 50);
}

#[tokio::test]
async fn an_append_that_is_larger_than_an_item_is_written_and_read_whole() {
    let slots = MemorySlots::new();
    let journal = journal(&slots);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut append = append_one("api", 0, "large");
    append.entries.clear();
    for _ in 0..20 {
        let mut reason = String::new();
        for _ in 0..100_000 {
            reason.push(rng.alphanumeric());
        }
        let event = Event::BakeSkipRequested { step: 1, reason };
        append.entries.push(entry("api", 0, event));
    }
    let written = journal.append(append).await.unwrap();
    let fresh = self::journal(&slots);
    let (read, _) = fresh.read_after(Position(0)).await.unwrap();
    assert_eq!(read, written);
    assert!(slots.items().len() > 3);
}

#[tokio::test]
async fn only_what_may_create_a_journal_creates_it_and_a_newer_format_is_refused() {
    let slots = MemorySlots::new();
    let shared: Arc<dyn Slots> = Arc::new(slots.clone());
    let place = "dynamodb:T/J";
    for mode in [Open::ReadOnly, Open::Existing] {
        let missing = SlotJournal::open(Arc::clone(&shared), "J", place, mode, at(0)).await;
        assert_eq!(missing.err(), Some(JournalError::Missing(place.to_owned())));
    }
    assert!(slots.items().is_empty(), "nothing was written");
    for mode in [Open::Create, Open::Create, Open::Existing, Open::ReadOnly] {
        let opened = SlotJournal::open(Arc::clone(&shared), "J", place, mode, at(0)).await;
        opened.unwrap();
    }
    assert_eq!(slots.items().len(), 1);
    let format = slots.items().remove(0);
    for (changed, says) in [
        (
            format.clone().with_number("version", 2),
            "was written by a newer cutover",
        ),
        (
            format.clone().with_text("application", "x"),
            "another program's",
        ),
        (format.clone().with_text("version", "x"), "is damaged"),
    ] {
        slots.tamper("J/meta", "format", Some(changed));
        let refused = SlotJournal::open(Arc::clone(&shared), "J", place, Open::Create, at(0)).await;
        let Err(JournalError::Unusable(why)) = refused else {
            panic!("{says}: it was opened");
        };
        assert!(why.contains(says), "{why}");
    }
}

#[tokio::test]
async fn journals_of_one_table_know_nothing_of_each_other() {
    let slots = MemorySlots::new();
    let shared: Arc<dyn Slots> = Arc::new(slots.clone());
    let one = SlotJournal::new(Arc::clone(&shared), "one", "dynamodb:T/one");
    let two = SlotJournal::new(shared, "two", "dynamodb:T/two");
    one.append(append_one("api", 0, "a")).await.unwrap();
    two.append(append_one("api", 0, "b")).await.unwrap();
    one.beat(&heartbeat("a", 0)).await.unwrap();
    assert_eq!(one.head(&"api".into()).await, Ok(1));
    assert!(two.heartbeats().await.unwrap().is_empty());
}

/// Appends of 1 to 20 entries as a week of many services leaves them, up to this many entries.
pub(super) async fn long_history(journal: &SlotJournal, entries: u64) {
    let mut heads = std::collections::BTreeMap::new();
    let (mut written, mut number) = (0, 0);
    while written < entries {
        number += 1;
        let many = if number % 3 == 0 { 10 } else { 1 };
        let mut append = Append {
            expect: Vec::new(),
            entries: Vec::new(),
            append_id: format!("controller 0123456789ab-{number}"),
        };
        for index in 0..many {
            let stream = format!("service-{:04}", (number * 31 + index * 7) % 1_000);
            let head: &mut u64 = heads.entry(stream.clone()).or_default();
            append.expect.push((stream.as_str().into(), *head));
            *head += 1;
            let event = event(number + index);
            let secs = i64::try_from(written).unwrap();
            append.entries.push(entry(&stream, secs, event));
        }
        written += many;
        journal.append(append).await.unwrap();
    }
}

/// An event of those that a week has most of, about as large as they are.
fn event(number: u64) -> Event {
    let examples = super::examples::events();
    let index = usize::try_from(number % 1_009).unwrap() % examples.len();
    examples.into_iter().nth(index).expect("in range")
}

#[tokio::test]
async fn thirty_thousand_entries_are_read_in_few_calls_once_they_are_packed() {
    let slots = MemorySlots::new();
    let writer = journal(&slots);
    long_history(&writer, 30_000).await;
    // A controller packs 500 appends with each heartbeat.
    for secs in 0..60 {
        let mut beat = heartbeat("a", secs);
        beat.ended = true;
        writer.beat(&beat).await.unwrap();
    }
    let fresh = journal(&slots);
    slots.take_usage();
    let (read, end) = fresh.read_after(Position(0)).await.unwrap();
    let usage = slots.take_usage();
    assert!(read.len() >= 30_000);
    let (whole, _) = writer.read_after(Position(1)).await.unwrap();
    let first_append = read.len() - whole.len();
    assert_eq!(read[first_append..], whole, "packs and log hold the same");
    assert!(usage.reads <= 5, "{usage:?}");
    assert_eq!(fresh.read_after(end).await, Ok((Vec::new(), end)));
    // `status` reads heartbeats, cursors and the log; 10 calls of 20 ms are far below 2 s.
    let shared: Arc<dyn Slots> = Arc::new(slots.clone());
    let place = "dynamodb:T/J";
    slots.take_usage();
    SlotJournal::open(Arc::clone(&shared), "K", place, Open::Create, at(0))
        .await
        .unwrap();
    read_all(&journal(&slots)).await;
    let describe_table = 1;
    assert!(describe_table + slots.take_usage().reads <= 10);
    // `run --once` does the same, and then its controller reads the log, and again in each of its rounds.
    SlotJournal::open(shared, "K", place, Open::Existing, at(0))
        .await
        .unwrap();
    let single = journal(&slots);
    read_all(&single).await;
    single.read_after(Position(0)).await.unwrap();
    for _ in 0..3 {
        single.read_after(end).await.unwrap();
    }
    single.beat(&heartbeat("once", 100)).await.unwrap();
    assert!(describe_table + slots.take_usage().reads <= 20);
}

/// Reads what a command reads at its start.
async fn read_all(journal: &SlotJournal) {
    journal.heartbeats().await.unwrap();
    journal.cursors().await.unwrap();
    journal.read_after(Position(0)).await.unwrap();
}

#[tokio::test]
async fn a_pack_that_was_changed_is_not_used_and_the_log_is_read_instead() {
    let slots = MemorySlots::new();
    let writer = journal(&slots);
    long_history(&writer, 4_500).await;
    for secs in 0..4 {
        let mut beat = heartbeat("a", secs);
        beat.ended = true;
        writer.beat(&beat).await.unwrap();
    }
    let packs: Vec<SlotItem> = slots
        .items()
        .into_iter()
        .filter(|item| item.partition == "J/pack")
        .collect();
    assert!(packs.len() >= 2, "{}", packs.len());
    let expected = fresh_read(&slots).await;
    for (index, pack) in packs.iter().enumerate() {
        let other = &packs[(index + 1) % packs.len()];
        let spoiled = [
            pack.clone().with_bytes("data", vec![7; 40]),
            pack.clone()
                .with_bytes("data", other.bytes("data").unwrap().to_vec()),
            pack.clone()
                .with_bytes("hash", other.bytes("hash").unwrap().to_vec()),
            pack.clone()
                .with_number("last", pack.number("last").unwrap() + 1),
            pack.clone().with_number("version", 2),
        ];
        for spoiled in spoiled {
            slots.tamper("J/pack", &pack.sort, Some(spoiled));
            assert_eq!(fresh_read(&slots).await, expected);
        }
        slots.tamper("J/pack", &pack.sort, None);
        assert_eq!(fresh_read(&slots).await, expected);
        slots.tamper("J/pack", &pack.sort, Some(pack.clone()));
    }
}

#[tokio::test]
async fn two_processes_that_pack_at_once_leave_one_row_of_packs() {
    let slots = MemorySlots::new();
    let (one, two) = (journal(&slots), journal(&slots));
    long_history(&one, 3_000).await;
    two.read_after(Position(0)).await.unwrap();
    for secs in 0..4 {
        let mut beat = heartbeat("a", secs);
        beat.ended = true;
        let (left, right) = tokio::join!(one.beat(&beat), two.beat(&beat));
        left.unwrap();
        right.unwrap();
    }
    slots.take_usage();
    let expected = slots
        .items()
        .iter()
        .filter(|item| item.partition == "J/log")
        .count();
    let (_, end) = journal(&slots).read_after(Position(0)).await.unwrap();
    assert_eq!(end, Position(u64::try_from(expected).unwrap()));
    assert!(slots.take_usage().reads <= 3);
}

/// The heartbeat of a controller that watches a thousand cutovers, all at different points of their bakes.
fn large_heartbeat(controller: &str, secs: i64) -> Heartbeat {
    let mut beat = heartbeat(controller, secs);
    for number in 0..1_000_i64 {
        // Steps begin when Route 53 and CloudWatch have answered, so these times have nanoseconds.
        let nanos = (number * 377_770_417) % 1_000_000_000;
        let until = at(90_000 + number * 53) + SignedDuration::from_nanos(nanos);
        let because = HoldReason::Baking {
            step: u16::try_from(number % 7 + 1).unwrap(),
            until: Some(until),
            counted_secs: 10_000 + (number * 7_919) % 80_000 + secs,
        };
        let glance = Glance {
            because: vec![because],
            next_at: Some(until),
            weights: vec![Some(WeightPair {
                old: Weight(90),
                new: Weight(10),
            })],
            observed_at: Some(at(secs) + SignedDuration::from_millis(number % 7)),
            observed_share: None,
        };
        let name = format!("service-{number:04}");
        beat.cutovers.insert(name.as_str().into(), glance);
    }
    beat
}

/// What a controller does with its journal while nothing happens: it waits for entries, and every 10 s it reads the journal
/// and leaves a heartbeat.
async fn quiet_controller(journal: SlotJournal, name: &str, secs: i64) {
    for round in 0..secs / 10 {
        let wait = tokio::time::timeout(Duration::from_secs(10), journal.changed(Position(1)));
        assert!(wait.await.is_err(), "nothing was appended");
        let read = journal.read_after(Position(1)).await;
        assert_eq!(read, Ok((Vec::new(), Position(1))));
        let beat = large_heartbeat(name, round * 10);
        journal.beat(&beat).await.unwrap();
    }
}

/// An hour costs, at AWS's list prices for billing on demand in us-east-1 (since November 2024 US$ 0.125 for a million read
/// units and US$ 0.625 for a million write units):
///
/// - looks for entries: 2 controllers × 3,600 × 1 read unit = 7,200
/// - rounds: 2 × 360 × 1 read unit = 720
/// - heartbeats: 2 × 360 × 24 write units = 17,280, and a look at all heartbeats each hour
///
/// A month of 730 hours has 5.9 million read units (US$ 0.73) and 12.3 million write units (US$ 7.68). The 130,000 entries of
/// a month of 1,000 services add about US$ 0.15, and the storage of less than 1 GB, with recovery, US$ 0.45. Ten minutes are
/// played.
#[tokio::test(start_paused = true)]
async fn a_quiet_month_of_a_thousand_services_with_two_controllers_costs_less_than_ten_dollars() {
    let slots = MemorySlots::new();
    let (one, two) = (journal(&slots), journal(&slots));
    one.append(append_one("api", 0, "first")).await.unwrap();
    two.read_after(Position(0)).await.unwrap();
    slots.take_usage();
    tokio::join!(
        quiet_controller(one, "controller-1", 600),
        quiet_controller(two, "controller-2", 600),
    );
    let part = slots.take_usage();
    assert!(part.reads <= 1_350, "{part:?}");
    assert!(part.writes <= 120, "{part:?}");
    let micro_dollars_an_hour = (part.read_units * 125 + part.write_units * 625) * 6 / 1_000;
    let dollars_a_month = micro_dollars_an_hour * 730 / 1_000_000;
    assert!(dollars_a_month < 9, "US$ {dollars_a_month}: {part:?}");
}

/// Breaks an item in one way.
fn broken(rng: &mut fastrand::Rng, item: &SlotItem) -> SlotItem {
    let mut item = item.clone();
    let names: Vec<String> = item.fields.keys().cloned().collect();
    let name = names[rng.usize(0..names.len())].clone();
    match rng.u8(0..6) {
        0 => drop(item.fields.remove(&name)),
        1 => drop(item.fields.insert(name, SlotField::Number(rng.u64(..)))),
        2 => drop(
            item.fields
                .insert(name, SlotField::Text("\u{0}".repeat(rng.usize(0..9)))),
        ),
        3 => {
            let bytes: Vec<u8> = (0..rng.usize(0..300)).map(|_| rng.u8(..)).collect();
            item.fields.insert(name, SlotField::Bytes(bytes));
        }
        4 => {
            item.fields
                .insert("parts".to_owned(), SlotField::Number(rng.u64(0..300)));
        }
        _ => {
            if let Some(SlotField::Bytes(bytes)) = item.fields.get_mut("data") {
                let at = rng.usize(0..bytes.len());
                bytes[at] ^= 1 << rng.u8(0..8);
            }
        }
    }
    item
}

#[tokio::test]
async fn an_item_that_is_broken_in_any_way_is_refused_or_makes_no_difference() {
    let slots = MemorySlots::new();
    let writer = journal(&slots);
    long_history(&writer, 2_300).await;
    let mut beat = heartbeat("a", 0);
    beat.ended = true;
    writer.beat(&beat).await.unwrap();
    let (expected, _) = journal(&slots).read_after(Position(0)).await.unwrap();
    let items = slots.items();
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..80 {
        // Most items are appends, and few are packs and heartbeats.
        let from = if rng.bool() { items.len() - 4 } else { 0 };
        let item = &items[rng.usize(from..items.len())];
        slots.tamper(&item.partition, &item.sort, Some(broken(&mut rng, item)));
        let fresh = journal(&slots);
        drop(fresh.heartbeats().await.unwrap());
        match fresh.read_after(Position(0)).await {
            Ok((entries, _)) => {
                assert_eq!(entries, expected);
                read += 1;
            }
            Err(JournalError::Unusable(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        slots.tamper(&item.partition, &item.sort, Some(item.clone()));
    }
    assert!(refused > 3 && read > 10, "{refused} refused, {read} read");
}

#[tokio::test]
async fn a_check_reads_the_log_itself_and_finds_packs_that_do_not_fit() {
    let slots = MemorySlots::new();
    let writer = journal(&slots);
    long_history(&writer, 4_500).await;
    for secs in 0..3 {
        let mut beat = heartbeat("a", secs);
        beat.ended = true;
        writer.beat(&beat).await.unwrap();
    }
    let mut packs = slots.items();
    packs.retain(|item| item.partition == "J/pack");
    let appends = slots.items().len() - packs.len() - 1;
    let appends = u64::try_from(appends).unwrap();
    let whole = StorageReport::Table {
        appends,
        packs: u64::try_from(packs.len()).unwrap(),
        spoiled_packs: Vec::new(),
    };
    assert_eq!(journal(&slots).verify().await, Ok(whole));
    let second = packs[1].clone();
    let data = packs[0].bytes("data").unwrap().to_vec();
    slots.tamper(
        "J/pack",
        &second.sort,
        Some(second.clone().with_bytes("data", data)),
    );
    let spoiled = StorageReport::Table {
        appends,
        packs: u64::try_from(packs.len()).unwrap() - 1,
        spoiled_packs: vec![second.sort.parse().unwrap()],
    };
    assert_eq!(journal(&slots).verify().await, Ok(spoiled));
    // A change below a pack is not seen by those who read the pack, but by a check.
    let third = log_item(&slots, 3).await;
    let changed = third.clone().with_text("append_id", "another");
    slots.tamper("J/log", &third.sort, Some(changed));
    let Err(JournalError::Unusable(why)) = journal(&slots).verify().await else {
        panic!("it is found whole");
    };
    assert!(why.contains("append 3 was changed"), "{why}");
}

/// A partition takes 1,000 write units a second (`DynamoDB` Developer Guide, partitions); a quarter is left to heartbeats and
/// cursors. A call takes 20 ms at the fastest, and appends of one process go one after the other.
#[tokio::test]
async fn the_reverts_of_a_thousand_services_take_few_calls_and_fit_into_a_partition() {
    const OF_A_REVERT: [&str; 5] = [
        "revert_intended",
        "weight_change_submitted",
        "weights_verified",
        "baseline_seen",
        "reverted",
    ];
    let slots = MemorySlots::new();
    let journal = journal(&slots);
    let mut events = super::examples::events();
    events.retain(|event| OF_A_REVERT.contains(&event.label()));
    assert!(events.len() >= OF_A_REVERT.len());
    for (seq, event) in (0..).zip(&events) {
        for group in 0..50 {
            let mut append = Append {
                expect: Vec::new(),
                entries: Vec::new(),
                append_id: format!("controller 0123456789ab-{seq}-{group}"),
            };
            for number in 0..20 {
                let stream = format!("service-{:04}", group * 20 + number);
                append.expect.push((stream.as_str().into(), seq));
                append.entries.push(entry(&stream, number, event.clone()));
            }
            journal.append(append).await.unwrap();
        }
    }
    let usage = slots.take_usage();
    let calls = usage.reads + usage.writes;
    let call_millis = 20;
    assert!(calls * call_millis <= 60_000, "{usage:?}");
    let units_a_second = usage.write_units * 1_000 / (usage.writes * call_millis);
    assert!(units_a_second <= 750, "{units_a_second}: {usage:?}");
}

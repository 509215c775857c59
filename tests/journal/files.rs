//! What only a journal in a file can suffer: it is missing, damaged, foreign, newer, locked or taken away.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cutover::engine::event::Event;
use cutover::journal::{Open, open};
use cutover::ports::{Cursor, Journal, JournalError, Position};
use rusqlite::Connection;
use tempfile::TempDir;

use super::append_one;

/// A folder with a journal of three entries in it, closed.
struct Written {
    folder: TempDir,
    path: PathBuf,
}

async fn written() -> Written {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let journal = open_at(&path, Open::Create).expect("a journal");
    for number in 0..3 {
        let append = append_one("api", number, &format!("append-{number}"));
        journal.append(append).await.expect("written");
    }
    Written { folder, path }
}

fn open_at(path: &Path, mode: Open) -> Result<Arc<dyn Journal>, JournalError> {
    open(&format!("sqlite:{}", path.display()), mode)
}

/// Opens a file that must be refused in every mode, and makes sure that it was not touched. Returns the message.
fn refused_untouched(path: &Path) -> String {
    let before = fs::read(path).expect("readable");
    let mut messages = Vec::new();
    for mode in [Open::ReadOnly, Open::Existing, Open::Create] {
        match open_at(path, mode) {
            Err(JournalError::Unusable(message)) => messages.push(message),
            Err(other) => panic!("{mode:?}: {other:?}"),
            Ok(_) => panic!("{mode:?} opened it"),
        }
        assert!(
            fs::read(path).expect("readable") == before,
            "{mode:?} changed the file"
        );
    }
    messages.dedup();
    let [message] = &messages[..] else {
        panic!("modes differ: {messages:?}")
    };
    assert!(message.contains(&path.display().to_string()), "{message}");
    message.clone()
}

/// Does something to the database that no journal would.
fn tamper(path: &Path, statements: &str) {
    let connection = Connection::open(path).expect("opens");
    connection.execute_batch(statements).expect("done");
}

/// As [`tamper`], and ends as a process does that is killed: what it wrote is in the log beside the file only.
fn tamper_and_die(path: &Path, statements: &str) {
    let connection = Connection::open(path).expect("opens");
    let no_checkpoint = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(no_checkpoint, true).expect("set");
    connection.execute_batch(statements).expect("done");
}

#[test]
fn only_run_makes_a_journal_and_others_name_the_absolute_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/er/journal.db");
    for mode in [Open::Existing, Open::ReadOnly] {
        let missing = JournalError::Missing(path.display().to_string());
        assert_eq!(open_at(&path, mode).err(), Some(missing));
    }
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
    drop(open_at(&path, Open::Create).expect("made"));
    let left: Vec<_> = fs::read_dir(path.parent().expect("a folder"))
        .expect("readable")
        .collect();
    assert_eq!(left.len(), 1, "no draft stays behind: {left:?}");
    open_at(&path, Open::Existing).expect("it is there");
    let Err(JournalError::Missing(relative)) = open("sqlite:no/such.db", Open::Existing) else {
        panic!("it is not there");
    };
    assert!(Path::new(&relative).is_absolute(), "{relative}");
}

#[test]
fn urls_that_are_no_journal_are_refused_with_what_to_write_instead() {
    for (url, says) in [
        ("dynamodb:table", "is a table"),
        ("dynamodb:", "dynamodb:TABLE"),
        ("journal.db", "sqlite:PATH"),
        ("sqlite:", "sqlite:PATH"),
        ("sqlite://host/journal.db", "sqlite:PATH"),
        ("memory:x", "sqlite:PATH"),
        ("postgres://x", "sqlite:PATH"),
    ] {
        match open(url, Open::Create) {
            Err(JournalError::Unusable(message)) => {
                assert!(message.contains(says) && message.contains(url), "{message}");
            }
            Err(other) => panic!("{url}: {other:?}"),
            Ok(_) => panic!("{url} was opened"),
        }
    }
    open("memory:", Open::Existing).expect("memory is always there");
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_refused_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    for contents in [&b"version: 1\nname: recipe-api\n"[..], &[0xA5; 8192]] {
        fs::write(&path, contents).expect("written");
        let message = refused_untouched(&path);
        assert!(message.contains("is not a cutover journal"), "{message}");
    }
    fs::write(&path, b"").expect("written");
    assert!(refused_untouched(&path).contains("empty file"));
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    let refused = open_at(&path, Open::Create).err().expect("refused");
    assert!(refused.to_string().contains("is not a file"), "{refused}");
}

#[tokio::test]
async fn another_programs_database_is_refused_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.db");
    tamper(
        &path,
        "CREATE TABLE events (stream TEXT); PRAGMA journal_mode = WAL;",
    );
    assert!(refused_untouched(&path).contains("another program's"));
    tamper(&path, "PRAGMA application_id = 42;");
    assert!(refused_untouched(&path).contains("another program's"));
}

#[tokio::test]
async fn a_journal_of_a_newer_cutover_is_refused_untouched() {
    let journal = written().await;
    tamper(&journal.path, "PRAGMA user_version = 2;");
    let message = refused_untouched(&journal.path);
    assert!(message.contains("newer cutover"), "{message}");
    let journal = written().await;
    tamper_and_die(&journal.path, "PRAGMA user_version = 2;");
    let log = journal.folder.path().join("journal.db-wal");
    let before = fs::read(&log).expect("the version is in the log only");
    let message = refused_untouched(&journal.path);
    assert!(message.contains("newer cutover"), "{message}");
    assert!(fs::read(&log).expect("still there") == before);
}

#[tokio::test]
async fn entries_of_a_process_that_was_killed_are_there() {
    let journal = written().await;
    tamper_and_die(
        &journal.path,
        "INSERT INTO events (stream, seq, at, attempt, actor, version, append_id, event)
         SELECT stream, 4, at, attempt, actor, version, 'killed', event FROM events WHERE seq = 3",
    );
    for mode in [Open::ReadOnly, Open::Existing] {
        let opened = open_at(&journal.path, mode).expect("opens");
        assert_eq!(opened.head(&"api".into()).await, Ok(4), "{mode:?}");
    }
}

#[tokio::test]
async fn a_damaged_journal_is_refused_untouched() {
    let journal = written().await;
    let whole = fs::read(&journal.path).expect("readable");
    for kept in [60, 100, 512, 4096, 4096 * 2 + 77, whole.len() - 4096] {
        fs::write(&journal.path, &whole[..kept]).expect("written");
        let message = refused_untouched(&journal.path);
        assert!(
            message.contains("damaged") || message.contains("not a cutover"),
            "{message}"
        );
    }
    for page in 1..whole.len() / 4096 {
        let mut garbage = whole.clone();
        garbage[page * 4096..page * 4096 + 64].fill(0xA5);
        fs::write(&journal.path, &garbage).expect("written");
        let message = refused_untouched(&journal.path);
        assert!(message.contains("damaged"), "page {page}: {message}");
    }
}

#[tokio::test]
async fn an_entry_of_a_newer_cutover_is_read_as_unreadable_in_its_place_and_no_other_is() {
    for (column, value) in [
        ("version", "2"),
        ("event", r#"'{"type":"teleported","to":"mars"}'"#),
        ("event", r#"'{"type":"unreadable","why":"x"}'"#),
        (
            "event",
            r#"'{"type":"step_held","because":[{"kind":"eclipse"}]}'"#,
        ),
    ] {
        let why = read_tampered(column, value).await;
        assert!(why.contains("newer cutover"), "{value}: {why}");
    }
}

#[tokio::test]
async fn a_damaged_entry_is_read_as_unreadable_in_its_place_and_no_other_is() {
    for (column, value) in [
        ("event", r#"'{"type":"bake_sta'"#),
        ("event", r#"'{"type":"bake_started"}'"#),
        ("event", "''"),
        ("at", "'yesterday'"),
        ("version", "0"),
        ("attempt", "-1"),
    ] {
        let why = read_tampered(column, value).await;
        assert!(why.starts_with("it is damaged: "), "{value}: {why}");
    }
}

/// Reads a journal whose second entry of one stream was changed by force, and returns why that cannot be read. All others
/// are read as they were, also those of other streams, and both streams can still be appended to.
async fn read_tampered(column: &str, value: &str) -> String {
    let journal = written().await;
    let opened = open_at(&journal.path, Open::Existing).expect("opens");
    let append = append_one("web", 0, "web");
    opened.append(append).await.expect("written");
    let (before, _) = opened.read_after(Position(0)).await.expect("read");
    drop(opened);
    tamper(
        &journal.path,
        &format!(
            "DROP TRIGGER events_are_not_changed; UPDATE events SET {column} = {value} WHERE seq = 2;"
        ),
    );
    let opened = open_at(&journal.path, Open::Existing).expect("the file itself is whole");
    let (mut after, _) = opened.read_after(Position(0)).await.expect("all is read");
    assert_eq!(after.len(), before.len());
    let spoilt = after.remove(1);
    assert_eq!((spoilt.cutover.as_str(), spoilt.seq), ("api", 2));
    assert_eq!([&before[..1], &before[2..]].concat(), after);
    for (stream, head) in [("web", 1), ("api", 3)] {
        let append = append_one(stream, head, &format!("{stream} after"));
        opened.append(append).await.expect("written");
    }
    match spoilt.event {
        Event::Unreadable { why } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stream_whose_last_entry_has_no_time_can_be_appended_to() {
    let journal = written().await;
    tamper(
        &journal.path,
        "DROP TRIGGER events_are_not_changed; UPDATE events SET at = 'soon' WHERE seq = 3;",
    );
    let opened = open_at(&journal.path, Open::Existing).expect("opens");
    let append = append_one("api", 3, "after");
    assert_eq!(opened.append(append).await.expect("written")[0].seq, 4);
}

#[tokio::test]
async fn history_can_be_neither_changed_nor_deleted() {
    let journal = written().await;
    let connection = Connection::open(&journal.path).expect("opens");
    for statement in ["UPDATE events SET actor = 'x'", "DELETE FROM events"] {
        let refused = connection
            .execute(statement, [])
            .expect_err("a trigger is there");
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test]
async fn a_read_only_journal_reads_and_leaves_the_file_as_it_was() {
    let journal = written().await;
    let before = fs::read(&journal.path).expect("readable");
    let opened = open_at(&journal.path, Open::ReadOnly).expect("opens");
    assert_eq!(
        opened.read_after(Position(0)).await.expect("read").0.len(),
        3
    );
    let refused = opened.append(append_one("api", 3, "x")).await;
    let Err(JournalError::Down(message)) = refused else {
        panic!("{refused:?}")
    };
    assert!(message.contains("read-only"), "{message}");
    drop(opened);
    assert!(fs::read(&journal.path).expect("readable") == before);
}

#[tokio::test]
async fn a_reader_sees_what_a_writer_that_is_still_there_wrote() {
    let journal = written().await;
    let writer = open_at(&journal.path, Open::Existing).expect("opens");
    let reader = open_at(&journal.path, Open::ReadOnly).expect("opens");
    writer
        .append(append_one("api", 3, "x"))
        .await
        .expect("written");
    assert_eq!(reader.head(&"api".into()).await, Ok(4));
}

#[tokio::test]
async fn an_append_ends_within_its_limit_while_another_process_holds_the_lock() {
    let journal = written().await;
    let opened = open_at(&journal.path, Open::Existing).expect("opens");
    let mut locking = Connection::open(&journal.path).expect("opens");
    let lock = locking.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate);
    let lock = lock.expect("locked");
    let started = tokio::time::Instant::now();
    let refused = opened.append(append_one("api", 3, "x")).await;
    let Err(JournalError::Down(message)) = refused else {
        panic!("{refused:?}")
    };
    // The second on a machine under load.
    assert!(
        message.contains("locked") || message.contains("took longer than 2 s"),
        "{message}"
    );
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!(opened.head(&"api".into()).await, Ok(3), "reading goes on");
    drop(lock);
    opened
        .append(append_one("api", 3, "x"))
        .await
        .expect("written once it is free");
}

#[tokio::test]
async fn a_journal_that_is_taken_away_while_open_is_down() {
    let journal = written().await;
    let opened = open_at(&journal.path, Open::Existing).expect("opens");
    let aside = journal.path.with_extension("aside");
    fs::rename(&journal.path, &aside).expect("moved");
    let gone = opened.append(append_one("api", 3, "x")).await;
    assert!(matches!(gone, Err(JournalError::Down(_))), "{gone:?}");
    drop(open_at(&journal.path, Open::Create).expect("another one"));
    let replaced = opened.append(append_one("api", 3, "x")).await;
    let Err(JournalError::Down(message)) = replaced else {
        panic!("{replaced:?}")
    };
    assert!(message.contains("replaced"), "{message}");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let refused = open("sqlite:/proc/none/journal.db", Open::Create)
        .err()
        .expect("refused");
    let JournalError::Down(message) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        message.contains("/proc/none/journal.db cannot be created"),
        "{message}"
    );
}

#[tokio::test]
async fn processes_that_make_the_journal_at_once_share_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let opened = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| open_at(&path, Open::Create)))
            .collect();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        joined.collect::<Result<Vec<_>, _>>().expect("all open")
    });
    for (number, journal) in (0..).zip(&opened) {
        let append = append_one("api", number, &format!("append-{number}"));
        journal.append(append).await.expect("one journal");
    }
    assert_eq!(opened[0].head(&"api".into()).await, Ok(8));
}

#[tokio::test]
async fn a_file_from_before_there_were_cursors_is_read_as_it_is_and_gets_them_when_it_is_written() {
    let written = written().await;
    tamper(&written.path, "DROP TABLE cursors");
    let reader = open_at(&written.path, Open::ReadOnly).expect("an old file can be read");
    assert_eq!(reader.cursors().await, Ok(Vec::new()));
    assert_eq!(reader.cursor(&"api".into(), "slack").await, Ok(None));
    drop(reader);
    let writer = open_at(&written.path, Open::Existing).expect("an old file can be written");
    let cursor = Cursor {
        revision: 1,
        told: 3,
        ..Cursor::new("api".into(), "slack".to_owned())
    };
    assert_eq!(
        writer.put_cursors(std::slice::from_ref(&cursor)).await,
        Ok(vec![true])
    );
    let reader = open_at(&written.path, Open::ReadOnly).expect("a new file can be read");
    assert_eq!(reader.cursors().await, Ok(vec![cursor]));
    assert_eq!(reader.head(&"api".into()).await, Ok(3));
}

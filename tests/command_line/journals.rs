//! `journal copy` and `journal verify` of files; those of tables are in `tests/ministack.rs`.

use cutover::ports::{Cursor, Position};

use super::*;

const COPY: &str = "journal copy sqlite:.cutover/journal.db sqlite:copy.db";

/// A journal of a reverted and a baking cutover, and a channel that was told something.
fn desk_with_history() -> Desk {
    let mut desk = Desk::new();
    desk.bake("recipe-api", ago(30));
    desk.bake("web", ago(20));
    let journal = desk.journal();
    for revision in 1..=3 {
        let cursor = Cursor {
            revision,
            told: revision * 2,
            ..Cursor::new("web".into(), "sns x".to_owned())
        };
        let put = desk
            .runtime
            .block_on(journal.put_cursors(std::slice::from_ref(&cursor)));
        assert_eq!(put, Ok(vec![true]));
    }
    desk
}

#[test]
fn a_copy_has_all_entries_and_cursors() {
    let mut desk = desk_with_history();
    let said = desk.says(COPY);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out
            .contains("copied 14 entries of 2 streams and 1 cursors of channels to sqlite:copy.db"),
        "{}",
        said.out
    );
    assert!(
        said.err.contains("export CUTOVER_JOURNAL='sqlite:copy.db'"),
        "{}",
        said.err
    );
    let original = desk.journal();
    let url = format!("sqlite:{}", desk.path("copy.db").display());
    let copy = open(&url, Open::ReadOnly).expect("a journal");
    let read = |journal: Arc<dyn Journal>| {
        let entries = desk.runtime.block_on(journal.read_after(Position(0)));
        entries.expect("it can be read").0
    };
    assert_eq!(read(Arc::clone(&copy)), read(original));
    let cursors = desk.runtime.block_on(copy.cursors()).expect("cursors");
    assert_eq!((cursors.len(), cursors[0].told), (1, 6));
    let said = desk.says("journal copy sqlite:copy.db sqlite:again.db --format json");
    assert_eq!(said.code, 0, "{}", said.err);
    let json = said.json();
    assert_eq!(
        (&json["entries"], &json["streams"]),
        (&14.into(), &2.into())
    );
}

#[test]
fn a_journal_that_is_in_use_is_not_copied() {
    let mut desk = desk_with_history();
    desk.beat("web", ago(0), Vec::new());
    let said = desk.says(COPY);
    assert_eq!(said.code, 12, "{}", said.out);
    assert!(
        said.err.contains("the controller c1 on host uses"),
        "{}",
        said.err
    );
    assert!(!desk.path("copy.db").exists());
    desk.beat("web", ago(5), Vec::new());
    desk.accept("mail", ago(1));
    let intended = Event::WeightChangeIntended {
        write_id: WriteId::from("w2"),
        owner: ControllerId::from("c1"),
        perform_by: ago(0),
        step: 1,
        targets: vec![Target {
            group: 0,
            zone: ZoneId::from("Z1"),
            from: image(100, 0),
            to: WeightPair::new(95, 5),
        }],
        baseline: Some(vec![image(100, 0)]),
    };
    desk.write("mail", ago(1), vec![intended]);
    let said = desk.says(COPY);
    assert_eq!(said.code, 12, "{}", said.out);
    assert!(
        said.err.contains("a write is under way in mail"),
        "{}",
        said.err
    );
    assert!(!desk.path("copy.db").exists());
}

#[test]
fn a_target_that_is_not_empty_is_left_as_it_is() {
    let desk = desk_with_history();
    assert_eq!(desk.says(COPY).code, 0);
    let before = std::fs::read(desk.path("copy.db")).expect("a file");
    let said = desk.says(COPY);
    assert_eq!(said.code, 12, "{}", said.out);
    assert!(
        said.err
            .contains("sqlite:copy.db is not empty: it has 14 entries"),
        "{}",
        said.err
    );
    let after = std::fs::read(desk.path("copy.db")).expect("a file");
    assert_eq!(before, after);
}

#[test]
fn what_cannot_be_copied_or_made_is_said_with_2() {
    let desk = desk_with_history();
    for (line, says) in [
        (
            "journal copy sqlite:none.db sqlite:copy.db",
            "no journal at",
        ),
        ("journal copy sqlite:a.db sqlite:a.db", "onto itself"),
        ("journal copy sqlite:.cutover/journal.db memory:", "memory"),
        (
            "journal copy sqlite:.cutover/journal.db dynamodb:",
            "dynamodb:TABLE",
        ),
        ("journal create", "is not a table"),
        ("journal create dynamodb:t?x=y", "region"),
        ("journal verify sqlite:none.db", "no journal at"),
        ("status --journal dynamodb:arn:aws:x", "write its name"),
    ] {
        let said = desk.says(line);
        assert_eq!(said.code, 2, "{line}: {}", said.err);
        assert!(said.err.contains(says), "{line}: {}", said.err);
    }
}

#[test]
fn verify_ends_with_0_22_or_1() {
    let mut desk = desk_with_history();
    let said = desk.says("journal verify");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.out.contains("14 entries of 2 cutovers"),
        "{}",
        said.out
    );
    assert!(said.out.contains("integrity check"), "{}", said.out);
    let cannot_follow = Event::ChangeInSync {
        change_id: ChangeId::from("C9"),
    };
    desk.write(
        "web",
        ago(1),
        vec![cannot_follow, Event::BakeStarted { step: 9 }],
    );
    let said = desk.says("journal verify --format json");
    assert_eq!(said.code, 22, "{}", said.err);
    let json = said.json();
    assert_eq!(json["whole"], false);
    assert_eq!(json["damaged"][0]["name"], "web");
    drop(desk.journal.take());
    std::fs::write(desk.path("broken.db"), vec![7; 9_000]).expect("a file");
    assert_eq!(desk.says("journal verify sqlite:broken.db").code, 1);
}

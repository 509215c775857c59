//! The journal in a table of an emulator by others, through the real SDK.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use cutover::aws::{CreatedTable, DynamoSlots, Options, TableAddress};
use cutover::cli::clock::SystemClock;
use cutover::engine::plan::Account;
use cutover::journal::SlotJournal;
use cutover::ports::{Journal, JournalError, Position};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::append_one;
use super::contract::{self, Place};
use crate::support::ministack::Ministack;

/// A journal of its own in a table of the emulator.
pub(super) struct EmulatedTable {
    endpoint: String,
    journal: String,
}

impl EmulatedTable {
    /// The journal, as a process of its own sees it: with a client of its own.
    pub(super) fn open(&self) -> Arc<dyn Journal> {
        let endpoint = self.endpoint.clone();
        let connected = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(connect(&endpoint))
        });
        let slots = Arc::new(connected.join().expect("no panic"));
        Arc::new(SlotJournal::new(slots, &self.journal, "dynamodb:cutover"))
    }
}

async fn connect(endpoint: &str) -> DynamoSlots {
    let credentials = Credentials::new("testing", "testing", None, None, "tests");
    let options = Options {
        endpoint_url: Some(endpoint.to_owned()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        isolated: true,
        ..Options::from_environment(Arc::new(SystemClock))
    };
    let address = TableAddress {
        table: "cutover".to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: Account::default(),
    };
    let connected = DynamoSlots::connect(options, &address).await;
    connected.expect("a region is named")
}

/// An emulator with an empty table.
async fn with_table() -> Ministack {
    let ministack = Ministack::start();
    let slots = connect(&ministack.endpoint()).await;
    let missing = slots.check().await;
    assert!(
        matches!(missing, Err(JournalError::Missing(_))),
        "{missing:?}"
    );
    let made = slots.create().await.expect("it can be made");
    assert!(matches!(made, CreatedTable::Made(_)), "{made:?}");
    let found = slots.create().await.expect("it is there");
    assert!(matches!(found, CreatedTable::Found(_)), "{found:?}");
    assert_eq!(slots.check().await, Ok(()));
    ministack
}

#[tokio::test]
async fn a_table_of_an_emulator_by_others_keeps_the_contract() {
    let ministack = with_table().await;
    contract::every_claim_holds(|claim| {
        Place::Emulated(EmulatedTable {
            endpoint: ministack.endpoint(),
            journal: claim.to_owned(),
        })
    })
    .await;
}

#[tokio::test]
async fn of_fifty_appends_that_race_one_wins_in_each_of_twenty_rounds() {
    let ministack = with_table().await;
    let slots = Arc::new(connect(&ministack.endpoint()).await);
    let mut racers = Vec::new();
    for _ in 0..50 {
        racers.push(SlotJournal::new(
            slots.clone(),
            "race",
            "dynamodb:cutover/race",
        ));
    }
    for round in 0..20 {
        let mut appends = JoinSet::new();
        for (number, racer) in racers.iter().enumerate() {
            let (racer, append_id) = (racer.clone(), format!("{round}-{number}"));
            appends.spawn(async move { racer.append(append_one("api", round, &append_id)).await });
        }
        let mut won = 0;
        for answer in appends.join_all().await {
            match answer {
                Ok(_) => won += 1,
                Err(JournalError::Conflict { head, .. }) => assert_eq!(head, round + 1),
                // A machine under load: the race is lost because of the time.
                Err(JournalError::Down(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let (entries, _) = racers[0].read_after(Position(0)).await.unwrap();
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
        let gapless: Vec<u64> = (1..=round + 1).collect();
        assert_eq!(numbers, gapless, "round {round}");
        assert!(won <= 1, "round {round}: {won}");
    }
}

//! What a rollback from files has to do with a journal that is at hand: it is told of it, and knows which cutover has which
//! groups. The journal may hang or be damaged: nothing here is waited for longer than it says (semantics L7).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::cli::books::Books;
use crate::cli::context::block_on;
use crate::cli::operate::{RACES_MAX, actor};
use crate::engine::commands::{RollbackNeed, rollback};
use crate::engine::event::RevertMode;
use crate::engine::record::{GroupImage, GroupName};
use crate::engine::state::State;
use crate::engine::units::{CutoverName, DnsName, ZoneId};
use crate::journal::{Open, open};
use crate::ports::{Append, JournalError, NewEntry};

/// How long the journal may take to say which cutover has which groups.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// How long is waited, once everything else is done, for the journal to take the requests.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// A group and its zone.
pub(super) type Place = (ZoneId, GroupName);

/// Where an image belongs.
pub(super) fn place(image: &GroupImage) -> Place {
    let name = GroupName {
        name: DnsName::new(&image.old.name),
        record_type: image.old.record_type.clone(),
    };
    (image.zone.clone(), name)
}

/// The groups of some cutovers of the journal, by their names or patterns. None: the journal cannot tell.
pub(super) async fn groups_of(url: &str, names: &[String]) -> Option<BTreeSet<Place>> {
    let (url, names) = (url.to_owned(), names.to_vec());
    let (answer, answered) = oneshot::channel();
    // A thread of its own, which nobody waits for: a disk that hangs would hold the end of this process up.
    std::thread::spawn(move || answer.send(read_groups(&url, &names)));
    let answered = tokio::time::timeout(READ_WITHIN, answered).await;
    answered.ok()?.ok()?
}

fn read_groups(url: &str, names: &[String]) -> Option<BTreeSet<Place>> {
    let books = block_on(async {
        let journal = open(url, Open::ReadOnly)?;
        Ok(Books::read(journal.as_ref()).await?)
    });
    let books = books.ok()?;
    // Nobody of that name is an answer, too.
    let named = crate::cli::names::resolve(names, &books.names()).unwrap_or_default();
    let mut places = BTreeSet::new();
    for state in books.whole() {
        if named.iter().any(|named| named.name == state.name) {
            places.extend(state.baseline.iter().flatten().map(place));
        }
    }
    Some(places)
}

/// A journal that is being told.
pub(super) struct Telling(oneshot::Receiver<Result<Vec<CutoverName>, JournalError>>);

/// What a journal that was told says.
pub(super) enum Told {
    /// There is none.
    NoJournal,
    /// The cutovers whose rollback it has now; any controller ends them.
    Cutovers(Vec<CutoverName>),
    /// It did not take it, and why.
    Failed(String),
}

impl Telling {
    /// Begins to write down that everybody whose groups these are goes back. Compare-and-swap is enough for the controllers:
    /// it is this process that overwrites.
    pub(super) fn begin(
        url: &str,
        images: &[GroupImage],
        reason: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let places: BTreeSet<Place> = images.iter().map(place).collect();
        let (url, reason) = (url.to_owned(), reason.map(str::to_owned));
        let (answer, answered) = oneshot::channel();
        std::thread::spawn(move || {
            let telling = async { Ok(tell(&url, &places, reason.as_deref(), now).await) };
            let told = block_on(telling);
            let told = told.unwrap_or_else(|error| Err(JournalError::Down(error.to_string())));
            answer.send(told)
        });
        Self(answered)
    }

    /// What came of it, if that is known soon.
    pub(super) async fn end(self) -> Told {
        match tokio::time::timeout(TOLD_WITHIN, self.0).await {
            Ok(Ok(Ok(names))) => Told::Cutovers(names),
            Ok(Ok(Err(JournalError::Missing(_)))) => Told::NoJournal,
            Ok(Ok(Err(error))) => Told::Failed(error.to_string()),
            Ok(Err(_)) => Told::Failed("it broke off".to_owned()),
            Err(_) => Told::Failed("it did not answer in time".to_owned()),
        }
    }
}

async fn tell(
    url: &str,
    places: &BTreeSet<Place>,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Vec<CutoverName>, JournalError> {
    let journal = open(url, Open::Existing)?;
    let mut books = Books::read(journal.as_ref()).await?;
    let theirs = |state: &&State| {
        let mut own = state.baseline.iter().flatten().map(place);
        own.any(|own| places.contains(&own))
    };
    let names: Vec<CutoverName> = books
        .whole()
        .filter(theirs)
        .map(|state| state.name.clone())
        .collect();
    let mut told = Vec::new();
    for name in names {
        for _ in 0..=RACES_MAX {
            let Ok(state) = books.state(&name) else {
                break;
            };
            let event = match rollback(&state, RevertMode::Swap, false, reason) {
                Ok(RollbackNeed::Request(event)) => *event,
                Ok(RollbackNeed::UnderWay) => {
                    told.push(name.clone());
                    break;
                }
                // What is over is not stepped.
                Ok(RollbackNeed::Ended) | Err(_) => break,
            };
            let entry = NewEntry {
                cutover: name.clone(),
                attempt: state.attempt,
                at: now.max(state.last_at),
                actor: actor(),
                event,
            };
            let append = Append {
                expect: vec![(name.clone(), state.seq)],
                entries: vec![entry],
                append_id: format!("{:032x}", fastrand::u128(..)),
            };
            match journal.append(append).await {
                Ok(_) => {
                    told.push(name.clone());
                    break;
                }
                Err(JournalError::Conflict { .. }) => books.refresh(journal.as_ref()).await?,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(told)
}

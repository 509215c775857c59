//! The journal during a rollback from files. It says which groups a cutover has, and the request is appended to it. It
//! may hang or be damaged, so every wait here is bounded (semantics L7).

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::cli::books::Books;
use crate::cli::context::block_on;
use crate::cli::journals::open::open_url;
use crate::cli::operate::{RACES_MAX, actor};
use crate::engine::commands::{RollbackNeed, rollback};
use crate::engine::event::RevertMode;
use crate::engine::record::{GroupImage, GroupName};
use crate::engine::units::{CutoverName, DnsName, ZoneId};
use crate::journal::Open;
use crate::ports::{Append, JournalError, NewEntry};

/// Longest time to read from the journal which groups a cutover has.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Longest wait for the requests to be appended to the journal, after everything else is done.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// A group and its zone.
pub(super) type ZoneGroup = (ZoneId, GroupName);

/// Returns the zone and the group of an image.
pub(super) fn zone_group(image: &GroupImage) -> ZoneGroup {
    let name = GroupName {
        name: DnsName::new(&image.old.name),
        record_type: image.old.record_type.clone(),
    };
    (image.zone.clone(), name)
}

/// Returns the groups of the cutovers that match the names or patterns; `None` if the journal cannot be read within
/// [`READ_WITHIN`].
pub(super) async fn groups_of(url: &str, names: &[String]) -> Option<BTreeSet<ZoneGroup>> {
    let (url, names) = (url.to_owned(), names.to_vec());
    let (answer, answered) = oneshot::channel();
    // This thread is never joined: a disk that hangs must not delay the end of this process.
    std::thread::spawn(move || answer.send(read_groups(&url, &names)));
    let answered = tokio::time::timeout(READ_WITHIN, answered).await;
    answered.ok()?.ok()?
}

fn read_groups(url: &str, names: &[String]) -> Option<BTreeSet<ZoneGroup>> {
    let books = block_on(async {
        let journal = open_url(url, Open::ReadOnly).await?;
        Ok(Books::read(journal.as_ref()).await?)
    });
    let books = books.ok()?;
    // An unknown name is no failure: it has no groups.
    let named = crate::cli::names::resolve(names, &books.names()).unwrap_or_default();
    let mut places = BTreeSet::new();
    for state in books.whole() {
        if named.iter().any(|named| named.name == state.name) {
            places.extend(state.baseline.iter().flatten().map(zone_group));
        }
    }
    Some(places)
}

/// Appends the requests to the journal in a separate thread.
pub(super) struct Telling(oneshot::Receiver<Result<Vec<CutoverName>, JournalError>>);

/// Whether the journal has the requests.
pub(super) enum JournalTold {
    /// The journal does not exist.
    NoJournal,
    /// The journal has the requests for these cutovers, and any controller carries them out.
    Cutovers(Vec<CutoverName>),
    /// The requests could not be appended, and why.
    Failed(String),
}

impl Telling {
    /// Begins to journal a rollback of every cutover that has one of these groups. The request asks for
    /// compare-and-swap only, because this process, not a controller, overwrites the records.
    pub(super) fn begin(
        url: &str,
        images: &[GroupImage],
        reason: Option<&str>,
        now: Timestamp,
    ) -> Self {
        let places: BTreeSet<ZoneGroup> = images.iter().map(zone_group).collect();
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

    /// Returns whether the journal has the requests; [`JournalTold::Failed`] if that is not known within
    /// [`TOLD_WITHIN`].
    pub(super) async fn end(self) -> JournalTold {
        match tokio::time::timeout(TOLD_WITHIN, self.0).await {
            Ok(Ok(Ok(names))) => JournalTold::Cutovers(names),
            Ok(Ok(Err(JournalError::Missing(_)))) => JournalTold::NoJournal,
            Ok(Ok(Err(error))) => JournalTold::Failed(error.to_string()),
            Ok(Err(_)) => JournalTold::Failed("it crashed".to_owned()),
            Err(_) => JournalTold::Failed("it did not answer in time".to_owned()),
        }
    }
}

async fn tell(
    url: &str,
    places: &BTreeSet<ZoneGroup>,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Vec<CutoverName>, JournalError> {
    let journal = open_url(url, Open::Existing).await?;
    let mut books = Books::read(journal.as_ref()).await?;
    let mut names: Vec<CutoverName> = Vec::new();
    for state in books.whole() {
        let mut own = state.baseline.iter().flatten().map(zone_group);
        if own.any(|own| places.contains(&own)) {
            names.push(state.name.clone());
        }
    }
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
                // No controller takes a step of an ended cutover, so it needs no request.
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

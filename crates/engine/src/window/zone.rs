//! Time zones by their IANA names, from the database that is compiled in.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A time zone. It is journaled by its name, and compared by it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// The error for a name that the database does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no time zone {0}")]
pub struct UnknownZone(pub String);

/// The compiled-in database. The machine's own database is not used, because a decision must not depend on the machine
/// that makes it.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

impl Zone {
    /// Returns coordinated universal time.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            rules: TimeZone::UTC,
        }
    }

    /// Returns the zone's IANA name, as the database writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the offsets of the zone and their changes.
    pub fn rules(&self) -> &TimeZone {
        &self.rules
    }

    /// Returns all names in the database.
    pub fn names() -> impl Iterator<Item = String> {
        DATABASE.available().map(|name| name.as_str().to_owned())
    }

    /// Returns the local time of an instant.
    pub fn wall(&self, at: Timestamp) -> DateTime {
        self.rules.to_datetime(at)
    }

    /// Returns the instant of a local time. If the local time occurs twice, the first instant. If a change of the clock
    /// skips it, the instant right after the change.
    pub(super) fn instant(&self, wall: DateTime) -> Timestamp {
        let end = if wall.year() < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        self.rules.to_timestamp(wall).unwrap_or(end)
    }

    /// Returns the offset at this instant, and the instant of the next change.
    pub(super) fn until_change(&self, at: Timestamp) -> (Offset, Timestamp) {
        let change = self.rules.following(at).next();
        let until = change.map_or(Timestamp::MAX, |change| change.timestamp());
        (self.rules.to_offset(at), until)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Ord for Zone {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl PartialOrd for Zone {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let rules = DATABASE
            .get(name)
            .map_err(|_| UnknownZone(name.to_owned()))?;
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, rules })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(name: String) -> Result<Self, UnknownZone> {
        name.parse()
    }
}

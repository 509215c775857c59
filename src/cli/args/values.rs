//! Parsers for the values of the command line: times, durations, labels, phases, reasons.

use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, Zoned};

use crate::aws::PolicyRole;
use crate::engine::state::Phase;
use crate::journal::JournalUrl;

/// The start of a rehearsal, and the time zone in which its times are shown.
#[derive(Debug, Clone)]
pub struct Start {
    /// When the rehearsal starts.
    pub at: Timestamp,
    /// The time zone that the user wrote, in which times are shown.
    pub zone: TimeZone,
}

/// Reads a time with its zone: `2026-12-01T09:00+09:00`, `2026-12-01T09:00[Asia/Tokyo]`, `2026-12-01T00:00Z`. A time
/// without a zone is refused.
pub(super) fn start(text: &str) -> Result<Start, String> {
    let example = "write for example `2026-12-01T09:00+09:00`, or `2026-12-01T09:00[Asia/Tokyo]`";
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(Start {
            at: zoned.timestamp(),
            zone: zoned.time_zone().clone(),
        });
    }
    let at = text.parse::<Timestamp>().map_err(|_| example.to_owned())?;
    let pieces = Pieces::parse(text).map_err(|_| example.to_owned())?;
    let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
    let zone = if offset == Offset::UTC {
        TimeZone::UTC
    } else {
        TimeZone::fixed(offset)
    };
    Ok(Start { at, zone })
}

/// A time, or a duration from now. The duration leads into the future, or into the past for `backtest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// An exact time.
    At(Timestamp),
    /// A duration from now, or before now for `backtest`.
    In(SignedDuration),
}

/// Reads an RFC 3339 time, or a duration from now.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    duration(text).map(Moment::In).map_err(|_| {
        "write a time such as `2026-12-28T09:00:00+09:00`, or a duration such as `4h`".to_owned()
    })
}

/// Reads an RFC 3339 time, or a duration before now.
pub(super) fn past_moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    duration(text).map(Moment::In).map_err(|_| {
        "write a time such as `2026-11-07T09:00:00Z`, or how long ago, such as `14d`".to_owned()
    })
}

/// Reads the time between two starts of a backtest: at least a minute.
pub(super) fn apart(text: &str) -> Result<SignedDuration, String> {
    let length = duration(text)?;
    if length < SignedDuration::from_mins(1) {
        return Err("must be `1m` or more".to_owned());
    }
    Ok(length)
}

/// Reads a duration as plan files write it: `90s`, `15m`, `1d 12h`; a day is 24 h.
///
/// # Errors
/// The text is not a duration, is not above zero, or has months or years.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let example = "write for example `90s`, `15m` or `1d 12h`";
    let span: Span = text.parse().map_err(|_| example.to_owned())?;
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| example.to_owned())?;
    if length <= SignedDuration::ZERO {
        return Err("must be above zero".to_owned());
    }
    Ok(length)
}

/// The key and the value of a label that a cutover must have.
pub type Label = (String, String);

/// Reads a label of the form `KEY=VALUE`, and trims both parts.
pub(super) fn label(text: &str) -> Result<Label, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "write for example `team=search`".to_owned())?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Reads the name of a phase, for example `baking`.
pub(super) fn phase(text: &str) -> Result<Phase, String> {
    let mut labels = Vec::new();
    for phase in Phase::ALL {
        if phase.label() == text {
            return Ok(*phase);
        }
        labels.push(phase.label());
    }
    Err(format!("the phases are {}", labels.join(", ")))
}

/// Reads the work that a policy is for.
pub(super) fn policy_role(text: &str) -> Result<PolicyRole, String> {
    let mut labels = Vec::new();
    for role in PolicyRole::ALL {
        if role.label() == text {
            return Ok(role);
        }
        labels.push(role.label());
    }
    Err(format!("the roles are {}", labels.join(", ")))
}

/// Reads the longest time to wait: a duration, or `0s` for no wait.
pub(super) fn patience(text: &str) -> Result<SignedDuration, String> {
    if text.trim() == "0s" {
        return Ok(SignedDuration::ZERO);
    }
    duration(text)
}

/// Reads the time between two rounds, within [`INTERVAL_MIN`] and [`INTERVAL_MAX`].
pub(super) fn interval(text: &str) -> Result<SignedDuration, String> {
    let length = duration(text)?;
    if length < INTERVAL_MIN || length > INTERVAL_MAX {
        return Err("must be from `100ms` to `5m`".to_owned());
    }
    Ok(length)
}

/// Shortest time between two rounds. With less, a controller would do nothing but read AWS. Its share of the account's
/// quota is bounded elsewhere.
const INTERVAL_MIN: SignedDuration = SignedDuration::from_millis(100);
/// Longest time between two rounds. With more, the controller would read alarms less often than most of them are
/// evaluated.
const INTERVAL_MAX: SignedDuration = SignedDuration::from_secs(300);

/// Reads the URL of a journal: `sqlite:PATH` or `memory:`. The journal need not exist.
pub(super) fn journal_url(text: &str) -> Result<String, String> {
    JournalUrl::parse(text).map(|_| text.to_owned())
}

/// Longest reason, in bytes (semantics M8). It is bounded because every entry that repeats it is sent to people.
pub(super) const REASON_BYTES_MAX: usize = 2_048;

/// End of a reason that was shortened because it was too long.
pub(in crate::cli) const SHORTENED: &str = "… (shortened)";

/// Reads a reason and trims it. It must not be empty, and has at most [`REASON_BYTES_MAX`] bytes.
pub(super) fn words(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if trimmed.len() > REASON_BYTES_MAX {
        return Err(format!(
            "has {} bytes; write at most {REASON_BYTES_MAX}, with a link to the rest",
            trimmed.len()
        ));
    }
    Ok(trimmed.to_owned())
}

/// Reads the reason of a rollback. A rollback must never fail because of its reason, so a reason that is too long is
/// shortened and ends with [`SHORTENED`].
pub(super) fn any_words(text: String) -> String {
    if text.len() <= REASON_BYTES_MAX {
        return text;
    }
    let mut end = REASON_BYTES_MAX - SHORTENED.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, _) = text.split_at(end);
    format!("{kept}{SHORTENED}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_is_too_long_is_refused_and_a_rollbacks_is_shortened() {
        let fits = "é".repeat(REASON_BYTES_MAX / 2);
        assert_eq!(words(&fits).as_deref(), Ok(fits.as_str()));
        assert_eq!(any_words(fits.clone()), fits);
        let long = format!("a{fits}");
        let refused = words(&long).unwrap_err();
        assert!(refused.contains("2049 bytes"), "{refused}");
        let kept = any_words(long);
        assert!(kept.len() <= REASON_BYTES_MAX);
        assert!(kept.ends_with("é… (shortened)"), "{kept}");
    }

    /// Returns the start as text, in the zone in which it was written.
    fn shown(text: &str) -> String {
        let start = start(text).unwrap();
        start.at.to_zoned(start.zone).to_string()
    }

    #[test]
    fn a_start_keeps_the_zone_that_it_was_written_in() {
        assert_eq!(
            shown("2026-12-01T09:00+09:00"),
            "2026-12-01T09:00:00+09:00[+09:00]"
        );
        assert_eq!(
            shown("2026-12-01T09:00[Asia/Tokyo]"),
            "2026-12-01T09:00:00+09:00[Asia/Tokyo]"
        );
        assert_eq!(shown("2026-12-01T09:00Z"), "2026-12-01T09:00:00+00:00[UTC]");
        assert!(start("2026-12-01T09:00").is_err(), "no zone at all");
    }

    #[test]
    fn durations_are_read_as_in_plan_files() {
        assert_eq!(duration("1d 12h"), Ok(SignedDuration::from_hours(36)));
        assert_eq!(duration("15m"), Ok(SignedDuration::from_mins(15)));
        for wrong in ["", "15", "-1h", "0s", "1mo", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(patience("0s"), Ok(SignedDuration::ZERO));
        assert!(patience("-1s").is_err());
        assert!(interval("10s").is_ok() && interval("10ms").is_err() && interval("1h").is_err());
    }
}

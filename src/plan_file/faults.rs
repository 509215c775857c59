//! Faults of a rehearsal in one line: `new errors 20% at step 3 + 2h for 40m`.

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::diagnostics::quote;
use super::{durations, keys, shapes};
use crate::engine::units::{CutoverName, Share};
use crate::scenario::{
    AlarmTrouble, ClusterTrouble, FaultKind, FaultStart, PersonAct, Route53Trouble, ScenarioFault,
    Side,
};

/// The error if a line is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct FaultError {
    /// The mistake.
    pub message: String,
    /// The suggested fix.
    pub help: String,
}

/// The words that a line may begin with.
const SUBJECTS: [&str; 16] = [
    "new",
    "old",
    "callers",
    "cloudwatch",
    "route53",
    "journal",
    "jobs",
    "hooks",
    "controller",
    "foreign",
    "alarm",
    "push",
    "pause",
    "resume",
    "rollback",
    "approve",
];

/// The faults of a cluster.
const TROUBLES: [&str; 7] = [
    "errors",
    "latency",
    "leak",
    "outage",
    "slow",
    "capacity",
    "unhealthy",
];

const EXAMPLE: &str = "write for example `new errors 20% at step 3 + 2h`";

/// Reads one fault.
///
/// # Errors
/// The line is not a fault. The error names the mistake and a fix.
pub fn fault(line: &str) -> Result<ScenarioFault, FaultError> {
    let text = line.trim();
    let (cutover, rest) = match text.split_once(": ") {
        Some((name, rest)) => {
            let checked = shapes::cutover_name(name.trim());
            checked.map_err(|(message, help)| FaultError { message, help })?;
            (Some(CutoverName::from(name.trim().to_owned())), rest)
        }
        None => (None, text),
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (words, lasts) = cut(&words, "for");
    let (words, at) = cut(words, "at");
    // `for` and `at` may come in either order.
    let (lasts, at) = match lasts.map(|lasts| cut(lasts, "at")) {
        Some((lasts, Some(late))) => (Some(lasts), Some(late)),
        Some((lasts, None)) => (Some(lasts), at),
        None => (None, at),
    };
    let start = at.map(moment).transpose()?;
    let mut lasts = lasts.map(|words| duration(&words.join(" "))).transpose()?;
    let (kind, left) = kind(words)?;
    if !left.is_empty() {
        let said = left.join(" ");
        if lasts.is_some() || has_no_duration(&kind) {
            let message = format!("{} is not expected here", quote(&said));
            let help =
                "write the time as `at step 3 + 2h`, and the duration as `for 40m`".to_owned();
            return Err(FaultError { message, help });
        }
        lasts = Some(duration(&said)?);
    }
    if start.is_none() && needs_a_time(&kind) {
        let message = format!("{} needs a time", quote(text));
        let help = format!("write for example `{rest} at step 2 + 1h`");
        return Err(FaultError { message, help });
    }
    Ok(ScenarioFault {
        text: text.to_owned(),
        cutover,
        kind,
        start,
        lasts,
    })
}

/// Returns true if a fault must say when it begins.
fn needs_a_time(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::ControllerKilled
            | FaultKind::Person(PersonAct::Pause | PersonAct::Rollback | PersonAct::RollbackForced)
    )
}

/// Returns true if a fault has no duration that could be written without `for`.
fn has_no_duration(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::ForeignWrite { .. } => true,
        FaultKind::Person(act) => *act != PersonAct::Pause,
        FaultKind::Cluster { .. }
        | FaultKind::Push { .. }
        | FaultKind::CallersPinned
        | FaultKind::Alarm { .. }
        | FaultKind::CloudWatchDown
        | FaultKind::Route53(_)
        | FaultKind::ControllerKilled
        | FaultKind::JournalDown
        | FaultKind::JobsDown
        | FaultKind::HooksFail => false,
    }
}

/// The words before the last `word`, and those after it.
fn cut<'w, 't>(words: &'w [&'t str], word: &str) -> (&'w [&'t str], Option<&'w [&'t str]>) {
    match words.iter().rposition(|other| *other == word) {
        Some(at) => (&words[..at], Some(&words[at + 1..])),
        None => (words, None),
    }
}

/// The fault, and the words that are left.
fn kind<'w, 't>(words: &'w [&'t str]) -> Result<(FaultKind, &'w [&'t str]), FaultError> {
    let Some((subject, rest)) = words.split_first() else {
        return error("the fault is empty", EXAMPLE);
    };
    let side = match *subject {
        "new" => Some(Side::New),
        "old" => Some(Side::Old),
        _ => None,
    };
    if let Some(side) = side {
        let (trouble, left) = trouble(subject, rest)?;
        return Ok((FaultKind::Cluster { side, trouble }, left));
    }
    match (*subject, rest) {
        ("callers", ["pinned", left @ ..]) => Ok((FaultKind::CallersPinned, left)),
        ("cloudwatch", ["down", left @ ..]) => Ok((FaultKind::CloudWatchDown, left)),
        ("route53", ["down", left @ ..]) => Ok((FaultKind::Route53(Route53Trouble::Down), left)),
        ("route53", ["throttled", left @ ..]) => {
            Ok((FaultKind::Route53(Route53Trouble::Throttled), left))
        }
        ("route53", ["busy", left @ ..]) => Ok((FaultKind::Route53(Route53Trouble::Busy), left)),
        ("route53", ["loses", "replies", left @ ..]) => {
            Ok((FaultKind::Route53(Route53Trouble::LosesReplies), left))
        }
        ("journal", ["down", left @ ..]) => Ok((FaultKind::JournalDown, left)),
        ("jobs", ["down", left @ ..]) => Ok((FaultKind::JobsDown, left)),
        ("hooks", ["fail", left @ ..]) => Ok((FaultKind::HooksFail, left)),
        ("controller", ["killed", left @ ..]) => Ok((FaultKind::ControllerKilled, left)),
        ("foreign", ["write", pair, left @ ..]) => Ok((foreign_write(pair)?, left)),
        ("alarm", [name, "red", left @ ..]) => Ok((of_alarm(name, AlarmTrouble::Red), left)),
        ("alarm", [name, "missing", left @ ..]) => {
            Ok((of_alarm(name, AlarmTrouble::Missing), left))
        }
        ("alarm", [name, "no", "data", left @ ..]) => {
            Ok((of_alarm(name, AlarmTrouble::NoData), left))
        }
        ("alarm", [name, "unclear", left @ ..]) => {
            Ok((of_alarm(name, AlarmTrouble::Unclear), left))
        }
        ("push", [factor, left @ ..]) => {
            let factor = times(factor, "push 20x")?;
            Ok((FaultKind::Push { factor }, left))
        }
        ("pause", left) => Ok((FaultKind::Person(PersonAct::Pause), left)),
        ("resume", left) => Ok((FaultKind::Person(PersonAct::Resume), left)),
        ("rollback", ["--force", left @ ..]) => {
            Ok((FaultKind::Person(PersonAct::RollbackForced), left))
        }
        ("rollback", left) => Ok((FaultKind::Person(PersonAct::Rollback), left)),
        ("approve", ["after", rest @ ..]) => {
            let after = duration(&rest.join(" "))?;
            Ok((FaultKind::Person(PersonAct::ApproveAfter(after)), &[]))
        }
        (subject, _) => Err(unknown(subject, rest.first().copied())),
    }
}

fn of_alarm(name: &str, trouble: AlarmTrouble) -> FaultKind {
    let alarm = name.to_owned();
    FaultKind::Alarm { alarm, trouble }
}

/// The error for an unknown subject, or for an unknown fault of a subject.
fn unknown(subject: &str, verb: Option<&str>) -> FaultError {
    let help = match subject {
        "callers" => "write `callers pinned at step 2`".to_owned(),
        "cloudwatch" => "write `cloudwatch down 40m at step 2`".to_owned(),
        "route53" => {
            "write `route53 down 20m at step 2`, or `throttled`, `busy`, `loses replies`".to_owned()
        }
        "journal" => "write `journal down 20m at step 2`".to_owned(),
        "jobs" => "write `jobs down 20m at step 2`".to_owned(),
        "hooks" => "write `hooks fail 20m at step 2`".to_owned(),
        "controller" => "write `controller killed at step 2 + 1h`".to_owned(),
        "foreign" => "write `foreign write 70/30 at step 2 + 1h`, old weight first".to_owned(),
        "alarm" => {
            "write `alarm NAME red 5m at step 2`, or `missing`, `no data`, `unclear`".to_owned()
        }
        "push" => "write `push 20x at step 2 + 1h`".to_owned(),
        "approve" => "write `approve after 3h`".to_owned(),
        _ => keys::instead_of_word(subject, &SUBJECTS),
    };
    let message = match verb {
        Some(verb) if SUBJECTS.contains(&subject) => {
            format!("{} is not a fault of {}", quote(verb), quote(subject))
        }
        None if SUBJECTS.contains(&subject) => {
            format!("the fault of {} is missing", quote(subject))
        }
        Some(_) | None => format!("a fault cannot begin with {}", quote(subject)),
    };
    FaultError { message, help }
}

/// The fault of a cluster, and the words that are left.
fn trouble<'w, 't>(
    subject: &str,
    words: &'w [&'t str],
) -> Result<(ClusterTrouble, &'w [&'t str]), FaultError> {
    match words {
        ["errors", share, left @ ..] => {
            let share = percent(share)?;
            Ok((ClusterTrouble::Errors { share }, left))
        }
        ["latency", factor, left @ ..] => {
            let factor = times(factor, "new latency 5x")?;
            Ok((ClusterTrouble::Latency { factor }, left))
        }
        ["leak", rest @ ..] if !rest.is_empty() => {
            let bites_after = duration(&rest.join(" "))?;
            Ok((ClusterTrouble::Leak { bites_after }, &[]))
        }
        ["outage", left @ ..] => Ok((ClusterTrouble::Outage, left)),
        ["slow", "start", left @ ..] => Ok((ClusterTrouble::SlowStart, left)),
        ["capacity", number, left @ ..] => {
            let per_minute = rate(number)?;
            Ok((ClusterTrouble::Capacity { per_minute }, left))
        }
        ["unhealthy", left @ ..] => Ok((ClusterTrouble::Unhealthy, left)),
        [
            word @ ("errors" | "latency" | "leak" | "slow" | "capacity"),
            ..,
        ] => {
            let full = match *word {
                "errors" => "errors 20%",
                "latency" => "latency 5x",
                "leak" => "leak 30h",
                "slow" => "slow start",
                _ => "capacity 2000/min",
            };
            let message = format!("{} is incomplete", quote(word));
            error(message, &format!("write `{subject} {full}`"))
        }
        [word, ..] => {
            let message = format!("{} is not a fault of a cluster", quote(word));
            error(message, &keys::instead_of_word(word, &TROUBLES))
        }
        [] => {
            let message = format!("the fault of the {subject} cluster is missing");
            error(
                message,
                &format!("write for example `{subject} errors 20%`"),
            )
        }
    }
}

/// The time that the words after `at` name.
fn moment(words: &[&str]) -> Result<FaultStart, FaultError> {
    let text = words.join(" ");
    let (base, plus) = match text.split_once('+') {
        // The offset of an RFC 3339 time has a plus too.
        Some((base, plus)) if text.starts_with("step") => {
            (base.trim().to_owned(), duration(plus.trim())?)
        }
        _ => (text.clone(), SignedDuration::ZERO),
    };
    if let Some(number) = base.strip_prefix("step") {
        return match number.trim().parse() {
            Ok(number) if number > 0 => Ok(FaultStart::Step { number, plus }),
            _ => error(
                format!("{} is not a step", quote(&base)),
                "steps count from 1: write `at step 3`, or `at step 3 + 2h`",
            ),
        };
    }
    if let Ok(at) = base.parse::<Timestamp>() {
        return Ok(FaultStart::At(at));
    }
    let help = "write `at step 3 + 2h`, `at 30h` (after the start) or `at 2026-12-03T09:00+09:00`";
    match durations::parse(&base) {
        Ok(after) => Ok(FaultStart::After(after)),
        Err(_) => error(format!("{} is not a moment", quote(&text)), help),
    }
}

fn foreign_write(pair: &str) -> Result<FaultKind, FaultError> {
    let weights = pair.split_once('/');
    let weights = weights.and_then(|(old, new)| Some((old.parse().ok()?, new.parse().ok()?)));
    match weights {
        Some((old, new)) => Ok(FaultKind::ForeignWrite { old, new }),
        None => error(
            format!("{} is not a pair of weights", quote(pair)),
            "write the old weight and the new one, each 0 to 255: `foreign write 70/30`",
        ),
    }
}

/// A percentage as a fraction of 1.
pub(super) fn percent(text: &str) -> Result<f64, FaultError> {
    match text.parse::<Share>() {
        Ok(share) => Ok(share.as_percent() / 100.0),
        Err(wrong) => error(wrong.to_string(), "write a percentage, for example `20%`"),
    }
}

/// A factor such as `5x`, from 0.01 to 1000.
fn times(text: &str, example: &str) -> Result<f64, FaultError> {
    let number = text.strip_suffix(['x', '×']).unwrap_or(text);
    match number.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (0.01..=1000.0).contains(&factor) => Ok(factor),
        _ => error(
            format!("{} is not a factor", quote(text)),
            &format!("write for example `{example}`"),
        ),
    }
}

/// Requests per minute, from `2000/min`, `/s` or `/h`.
pub(super) fn rate(text: &str) -> Result<f64, FaultError> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "min"));
    let scale = match unit.trim() {
        "min" | "m" | "minute" => Some(1.0),
        "s" | "sec" | "second" => Some(60.0),
        "h" | "hour" => Some(1.0 / 60.0),
        _ => None,
    };
    let number = number.trim().parse::<f64>().ok();
    match number.zip(scale) {
        Some((number, scale)) if number.is_finite() && (0.0..=1e12).contains(&number) => {
            Ok(number * scale)
        }
        _ => error(
            format!("{} is not a number of requests", quote(text)),
            "write for example `2000/min`",
        ),
    }
}

/// A duration of a fault.
pub(super) fn duration(text: &str) -> Result<SignedDuration, FaultError> {
    durations::parse(text).map_err(|wrong| FaultError {
        message: wrong.message,
        help: wrong.help,
    })
}

fn error<T>(message: impl Into<String>, help: &str) -> Result<T, FaultError> {
    Err(FaultError {
        message: message.into(),
        help: help.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ScenarioFault {
        fault(text).unwrap_or_else(|error| panic!("{text}: {error}: {}", error.help))
    }

    fn hours(hours: i64) -> SignedDuration {
        SignedDuration::from_hours(hours)
    }

    #[test]
    fn every_kind_of_fault_is_read() {
        for text in [
            "new errors 20% at step 3 + 2h",
            "new latency 5x at 30h for 40m",
            "new leak 30h",
            "new outage 10m at step 2",
            "new slow start",
            "new capacity 2000/min",
            "old unhealthy at step 2",
            "old errors 3% at 2026-12-03T09:00+09:00",
            "cloudwatch down 40m at step 2 + 1h 30m",
            "route53 down 20m at step 1",
            "route53 throttled 20m at step 1",
            "controller killed at step 2 + 5m",
            "foreign write 70/30 at step 2 + 1h",
            "alarm recipe-api-5xx red 5m at step 2",
            "alarm recipe-api-5xx missing",
            "push 20x at step 2 + 3h",
            "pause 2h at step 2",
            "resume at 40h",
            "rollback at step 2 + 1h",
            "approve after 3h",
            "recipe-api: new errors 20%",
        ] {
            assert_eq!(read(text).text, text);
        }
    }

    #[test]
    fn moments_and_durations_are_read() {
        let read_fault = read("recipe-api: new errors 20% at step 3 + 2h for 40m");
        let plus = hours(2);
        assert_eq!(read_fault.start, Some(FaultStart::Step { number: 3, plus }));
        assert_eq!(read_fault.lasts, Some(SignedDuration::from_mins(40)));
        assert_eq!(read_fault.cutover, Some(CutoverName::from("recipe-api")));
        let trouble = ClusterTrouble::Errors { share: 0.2 };
        let side = Side::New;
        assert_eq!(read_fault.kind, FaultKind::Cluster { side, trouble });
        let at: Timestamp = "2026-12-03T00:00:00Z".parse().unwrap();
        let fault = read("old outage at 2026-12-03T09:00+09:00");
        assert_eq!(fault.start, Some(FaultStart::At(at)));
        assert_eq!(
            read("cloudwatch down 40m at 30h").start,
            Some(FaultStart::After(hours(30)))
        );
        assert_eq!(
            read("cloudwatch down 40m at 30h").lasts,
            Some(SignedDuration::from_mins(40))
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (text, message, help) in [
            ("", "empty", "new errors 20%"),
            (
                "mew errors 20%",
                "a fault cannot begin with `mew`",
                "did you mean `new`?",
            ),
            (
                "new erors 20%",
                "`erors` is not a fault of a cluster",
                "did you mean `errors`?",
            ),
            ("new errors 20", "no unit", "percentage"),
            ("new errors", "is incomplete", "new errors 20%"),
            ("new latency much", "is not a factor", "latency 5x"),
            (
                "new outage at noon",
                "`noon` is not a moment",
                "at step 3 + 2h",
            ),
            ("new outage at step zero", "not a step", "at step 3"),
            (
                "cloudwatch up",
                "`up` is not a fault of `cloudwatch`",
                "cloudwatch down 40m",
            ),
            (
                "foreign write 70:30",
                "pair of weights",
                "foreign write 70/30",
            ),
            ("new outage 40", "no unit", "40m"),
            ("controller killed", "needs a time", "at step 2 + 1h"),
            ("rollback now", "is not expected here", "at step 3 + 2h"),
        ] {
            let error = fault(text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {}", error.message);
            assert!(error.help.contains(help), "{text}: {}", error.help);
        }
    }
}

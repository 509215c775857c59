//! Durations as people write them: `90s`, `4h`, `1d 12h`.

use jiff::SignedDuration;

/// The pattern of a duration, for the schema. Units go from large to small, each at most once.
pub(super) const PATTERN: &str = r"^(?=.)([0-9]+d)?( ?[0-9]+h)?( ?[0-9]+m)?( ?[0-9]+s)?$";

/// The error if a text is not a duration: the message and the suggested fix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DurationError {
    pub(super) message: String,
    pub(super) help: String,
}

/// The units, large to small, in seconds. A day is always 24 hours (semantics I).
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The longest duration, ten years: longer ones have no use in a plan, and sums must not overflow.
const SECONDS_MAX: u64 = 3_650 * 86_400;

/// Examples of durations, from short to long.
const EXAMPLES: [&str; 5] = ["90s", "30m", "4h", "2d", "1d 12h"];

/// Reads a duration. `0s` is one.
pub(super) fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    parse_for(text, |_| true, "4h")
}

/// Reads a duration for a key. Only durations for which `takes` returns true are suggested; if none is likely, `example`.
pub(super) fn parse_for(
    text: &str,
    takes: impl Fn(SignedDuration) -> bool,
    example: &str,
) -> Result<SignedDuration, DurationError> {
    read(text.trim()).map_err(|wrong| {
        let text = super::diagnostics::quote(text.trim());
        let (message, help) = match wrong {
            Wrong::NoUnit(number) => (format!("{text} has no unit"), unit_for(&number, takes)),
            Wrong::NotOne(meant) => (format!("{text} is not a duration"), likely(meant, takes)),
        };
        DurationError {
            message,
            help: help.unwrap_or_else(|| format!("write for example `{example}`")),
        }
    })
}

/// The reason why a text is not a duration.
enum Wrong {
    /// It is a number without a unit.
    NoUnit(String),
    /// It is something else. The duration that was most likely meant, if there is one.
    NotOne(Option<SignedDuration>),
}

fn read(trimmed: &str) -> Result<SignedDuration, Wrong> {
    if !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::NoUnit(trimmed.to_owned()));
    }
    let (mut rest, mut units, mut total) = (trimmed, UNITS.as_slice(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit());
        let (number, tail) = rest.split_at(digits.unwrap_or(rest.len()));
        let mut tail = tail.chars();
        let place = tail
            .next()
            .and_then(|unit| units.iter().position(|(known, _)| *known == unit));
        let Some((place, number)) = place.zip(number.parse::<u64>().ok()) else {
            return Err(Wrong::NotOne(corrected(trimmed)));
        };
        total = total.saturating_add(number.saturating_mul(units[place].1));
        units = &units[place + 1..];
        rest = tail.as_str().trim_start();
    }
    if trimmed.is_empty() {
        return Err(Wrong::NotOne(None));
    }
    let seconds = i64::try_from(total.min(SECONDS_MAX)).unwrap_or(i64::MAX);
    Ok(SignedDuration::from_secs(seconds))
}

/// A duration as people write it; [`parse`] reads it back. Parts of a second are left out.
pub(super) fn show(duration: SignedDuration) -> String {
    let mut seconds = duration.as_secs().unsigned_abs();
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        if seconds >= size {
            parts.push(format!("{}{unit}", seconds / size));
            seconds %= size;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// The help for a number without a unit: the units with which the key takes it.
fn unit_for(number: &str, takes: impl Fn(SignedDuration) -> bool) -> Option<String> {
    if number.bytes().all(|byte| byte == b'0') {
        return takes(SignedDuration::ZERO).then(|| "write `0s`".to_owned());
    }
    let mut fitting = Vec::new();
    for (unit, name) in [("h", "hours"), ("d", "days"), ("m", "minutes")] {
        let written = format!("{number}{unit}");
        if read(&written).is_ok_and(&takes) {
            let is = if fitting.is_empty() { " is" } else { "" };
            fitting.push(format!("`{written}`{is} {name}"));
        }
    }
    if fitting.is_empty() {
        return None;
    }
    Some(format!("write the unit: {}", fitting.join(", ")))
}

/// The help for a text that is not a duration: the one that was meant, or examples.
fn likely(meant: Option<SignedDuration>, takes: impl Fn(SignedDuration) -> bool) -> Option<String> {
    if let Some(meant) = meant {
        return takes(meant).then(|| format!("write `{}`", show(meant)));
    }
    let mut examples = Vec::new();
    for example in EXAMPLES {
        if !read(example).is_ok_and(&takes) {
            return None;
        }
        examples.push(example);
    }
    let examples = super::diagnostics::listed(&examples, "or");
    Some(format!("write for example {examples}"))
}

/// The duration that was most likely meant by a number with another unit: `4 hours`, `1.5h`, `2w`, `PT4H`.
fn corrected(text: &str) -> Option<SignedDuration> {
    let lower = text.to_ascii_lowercase();
    let text = lower.strip_prefix("pt").unwrap_or(&lower);
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(split);
    let unit_seconds = match unit.trim() {
        "w" | "week" | "weeks" => 604_800,
        "d" | "day" | "days" => 86_400,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = decimals.get(..decimals.len().min(3))?;
    let scale = 10_u64.pow(u32::try_from(digits.len()).ok()?);
    let fraction = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let scaled = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let scaled = scaled.checked_add(fraction)?;
    let seconds = scaled.checked_mul(unit_seconds)? / scale;
    let duration = SignedDuration::from_secs(i64::try_from(seconds.min(SECONDS_MAX)).ok()?);
    (seconds > 0).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str) -> i64 {
        parse(text).unwrap().as_secs()
    }

    fn help(text: &str) -> String {
        parse(text).unwrap_err().help
    }

    #[test]
    fn durations_are_sums_of_units_from_large_to_small() {
        assert_eq!(seconds("90s"), 90);
        assert_eq!(seconds("0s"), 0);
        assert_eq!(seconds("4h"), 14_400);
        assert_eq!(seconds("1d 12h"), 129_600);
        assert_eq!(seconds("1d12h30m5s"), 131_405);
        for wrong in [
            "", "h", "4h 1d", "1h 1h", "-4h", "4 h", "1.5h", "4H", "4x", "４h",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_meant_is_suggested() {
        assert_eq!(
            help("4"),
            "write the unit: `4h` is hours, `4d` days, `4m` minutes"
        );
        assert_eq!(help("0"), "write `0s`");
        assert_eq!(help("4 hours"), "write `4h`");
        assert_eq!(help("1.5h"), "write `1h 30m`");
        assert_eq!(help("2w"), "write `14d`");
        assert_eq!(help("PT4H"), "write `4h`");
        assert!(help("soon").starts_with("write for example"));
    }

    proptest! {
        #[test]
        fn every_duration_reads_back(seconds in 0_i64..315_360_000) {
            let duration = SignedDuration::from_secs(seconds);
            prop_assert_eq!(parse(&show(duration)).unwrap(), duration);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            if let Err(error) = parse(&text) {
                prop_assert!(!error.help.is_empty());
            }
        }
    }
}

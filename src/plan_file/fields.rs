//! Values of single keys, as every part of a plan reads them: durations, texts of a shape, choices, required keys.

use jiff::SignedDuration;

use crate::engine::plan::BAKE_DAYS_MAX;
use crate::engine::plan::HoldOrRevert;

use super::diagnostics::Sink;
use super::diagnostics::Span;
use super::durations;
use super::keys;
use super::raw_values::DurationText;
use super::raw_values::RawChoice;
use super::read::At;
use super::shapes::Complaint;

/// The choice between hold and revert; by default hold.
pub(super) fn choice(raw: Option<At<RawChoice>>) -> HoldOrRevert {
    match raw.and_then(|choice| choice.value) {
        Some(RawChoice::Revert) => HoldOrRevert::Revert,
        Some(RawChoice::Hold) | None => HoldOrRevert::Hold,
    }
}

/// A duration of at most 90 days. Zero is accepted only if `zero` is true.
pub(super) fn duration(
    text: &At<DurationText>,
    key: &str,
    zero: bool,
    sink: &mut Sink<'_>,
) -> Option<SignedDuration> {
    let written = &text.value.as_ref()?.0;
    let parsed = durations::parse(written);
    let complaint = match parsed {
        Ok(duration) if duration.is_zero() && !zero => (
            format!("`{key}` must be longer than zero"),
            keys::example_of(&format!("`{key}`")),
        ),
        Ok(duration) if duration > SignedDuration::from_hours(24 * BAKE_DAYS_MAX) => (
            format!("`{key}` is longer than {BAKE_DAYS_MAX} days"),
            format!("write `{BAKE_DAYS_MAX}d` or less"),
        ),
        Ok(duration) => return Some(duration),
        Err(error) => (error.message, error.help),
    };
    accept(Err(complaint), &text.span, sink);
    None
}

/// A text that passes a check of its shape.
pub(super) fn shaped(
    text: Option<At<String>>,
    check: fn(&str) -> Result<(), Complaint>,
    sink: &mut Sink<'_>,
) -> Option<String> {
    let At { span, value } = text?;
    let value = value?;
    accept(check(&value), &span, sink).then_some(value)
}

/// Records a complaint. Returns true if there is none.
pub(super) fn accept(checked: Result<(), Complaint>, span: &Span, sink: &mut Sink<'_>) -> bool {
    match checked {
        Ok(()) => true,
        Err((message, help)) => {
            sink.error(span, message, &help);
            false
        }
    }
}

/// Reports a required key that is missing, and returns its value.
pub(super) fn require_in<T>(
    value: Option<At<T>>,
    key: &str,
    place: &str,
    span: &Span,
    sink: &mut Sink<'_>,
) -> Option<At<T>> {
    let help = format!("add `{}`", keys::line_of(key));
    require_all(&[(key, value.is_some())], place, &help, span, sink);
    value
}

/// Reports the required keys that are missing, together.
pub(super) fn require_all(
    keys: &[(&str, bool)],
    place: &str,
    help: &str,
    span: &Span,
    sink: &mut Sink<'_>,
) {
    let missing = keys.iter().filter(|(_, given)| !given);
    let missing: Vec<&str> = missing.map(|(key, _)| *key).collect();
    if !missing.is_empty() {
        let message = format!("{place} has no {}", keys::listed(&missing, "or"));
        sink.error(span, message, help);
    }
}

//! Values of single keys, as every part of a plan reads them: durations, texts of a shape, choices, required keys.

use jiff::SignedDuration;
use schemars::JsonSchema;

use crate::engine::plan::{BAKE_DAYS_MAX, HoldOrRevert};

use super::at::At;
use super::diagnostics::{Sink, Span, listed};
use super::raw::{DurationText, RawChoice};
use super::shapes::Complaint;
use super::{durations, keys};

/// The choice between hold and revert; by default hold.
pub(super) fn choice(raw: Option<At<RawChoice>>) -> HoldOrRevert {
    match raw.and_then(|choice| choice.value) {
        Some(RawChoice::Revert) => HoldOrRevert::Revert,
        Some(RawChoice::Hold) | None => HoldOrRevert::Hold,
    }
}

/// The durations that a key takes.
pub(super) struct Lengths {
    /// Zero is one of them.
    pub(super) zero: bool,
    /// Returns true for the others.
    pub(super) fits: fn(SignedDuration) -> bool,
    /// The complaint about a duration that does not fit; the key is given.
    pub(super) refusal: fn(&str) -> Complaint,
}

impl Lengths {
    /// Returns true if the key takes this duration.
    fn takes(&self, length: SignedDuration) -> bool {
        if length.is_zero() {
            self.zero
        } else {
            (self.fits)(length)
        }
    }
}

/// Durations of at most 90 days, and zero.
pub(super) const ANY: Lengths = Lengths {
    zero: true,
    fits: is_short_enough,
    refusal: too_long,
};

/// Durations of at most 90 days, but not zero.
pub(super) const ABOVE_ZERO: Lengths = Lengths { zero: false, ..ANY };

fn is_short_enough(length: SignedDuration) -> bool {
    length <= SignedDuration::from_hours(24 * BAKE_DAYS_MAX)
}

fn too_long(key: &str) -> Complaint {
    let message = format!("`{key}` is longer than {BAKE_DAYS_MAX} days");
    (message, format!("write `{BAKE_DAYS_MAX}d` or less"))
}

/// The duration of a key of the map `M`. Only durations that the key takes are suggested.
pub(super) fn duration<M: JsonSchema>(
    text: &At<DurationText>,
    key: &str,
    lengths: &Lengths,
    sink: &mut Sink<'_>,
) -> Option<SignedDuration> {
    let written = &text.value.as_ref()?.0;
    let line = keys::line_of::<M>(key);
    let parsed = durations::parse_for(written, |length| lengths.takes(length), &line);
    let complaint = match parsed {
        Ok(length) if lengths.takes(length) => return Some(length),
        Ok(length) if length.is_zero() => (
            format!("`{key}` must be longer than zero"),
            format!("write for example `{line}`"),
        ),
        Ok(_) => (lengths.refusal)(key),
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

/// Reports a required key of the map `M` that is missing, and returns its value.
pub(super) fn require_in<M: JsonSchema, T>(
    value: Option<At<T>>,
    key: &str,
    place: &str,
    span: &Span,
    sink: &mut Sink<'_>,
) -> Option<At<T>> {
    let help = format!("add `{}`", keys::line_of::<M>(key));
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
        let message = format!("{place} has no {}", listed(&missing, "or"));
        sink.error(span, message, help);
    }
}

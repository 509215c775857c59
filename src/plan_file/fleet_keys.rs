//! The keys that relate plans to each other, `labels` and `after`, and the numbers of a fleet's file.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::engine::units::CutoverName;

use super::at::At;
use super::diagnostics::{Sink, quote};
use super::fields::accept;
use super::keys;
use super::raw::{CountText, NameText};
use super::shapes::{self, Complaint};

/// The most names in `after`: the append that starts a cutover is conditional on the stream of each.
const AFTER_MAX: usize = 50;

/// The most characters of a label's key or value, as in Kubernetes.
const LABEL_CHARS_MAX: usize = 63;

/// The labels that have the right shape.
pub(super) fn labels(
    labels: At<BTreeMap<String, At<String>>>,
    sink: &mut Sink<'_>,
) -> BTreeMap<String, String> {
    let mut converted = BTreeMap::new();
    for (key, value) in labels.value.unwrap_or_default() {
        let (span, Some(value)) = (value.span, value.value) else {
            continue;
        };
        let checked = label(&key).and_then(|()| label(&value));
        if accept(checked, &span, sink) {
            converted.insert(key, value);
        }
    }
    converted
}

fn label(word: &str) -> Result<(), Complaint> {
    let allowed = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if allowed && !word.is_empty() && word.len() <= LABEL_CHARS_MAX {
        return Ok(());
    }
    let message = format!(
        "the label {} may have only letters, digits and `-_./`, at most {LABEL_CHARS_MAX} of them",
        quote(word)
    );
    Err((message, "write for example `team: search`".to_owned()))
}

/// The cutovers that must have completed before `own` starts.
pub(super) fn after(
    after: At<Vec<At<NameText>>>,
    own: Option<&CutoverName>,
    sink: &mut Sink<'_>,
) -> Vec<CutoverName> {
    let (span, names) = (after.span, after.value.unwrap_or_default());
    if names.len() > AFTER_MAX {
        let message = format!(
            "{} cutovers are listed; {AFTER_MAX} are the most",
            names.len()
        );
        sink.error(&span, message, "list only the last ones of each chain");
        return Vec::new();
    }
    let mut converted: Vec<CutoverName> = Vec::new();
    for name in names {
        let (span, Some(NameText(name))) = (name.span, name.value) else {
            continue;
        };
        let known = CutoverName::from(name);
        if !accept(shapes::cutover_name(known.as_str()), &span, sink) {
            continue;
        }
        if own == Some(&known) {
            let message = format!(
                "{} comes after itself, and would never start",
                quote(known.as_str())
            );
            sink.error(&span, message, "remove it");
        } else if converted.contains(&known) {
            let message = format!("{} is listed twice", quote(known.as_str()));
            sink.error(&span, message, "remove one of the two");
        } else {
            converted.push(known);
        }
    }
    converted
}

/// A whole number of at least 1, of a key of the map `M`.
pub(super) fn count<M: JsonSchema>(
    text: &At<CountText>,
    key: &str,
    sink: &mut Sink<'_>,
) -> Option<u32> {
    let written = &text.value.as_ref()?.0;
    match written.parse::<u32>() {
        Ok(number) if number > 0 => Some(number),
        Err(_) if !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit()) => {
            let message = format!(
                "`{key}` is {}, and {} is the most that can be counted",
                quote(written),
                u32::MAX
            );
            let line = keys::line_of::<M>(key);
            let help = format!("write for example `{line}`, or leave the key out");
            sink.error(&text.span, message, &help);
            None
        }
        Ok(_) | Err(_) => {
            let message = format!(
                "`{key}` must be a whole number of at least 1, but it is {}",
                quote(written)
            );
            let help = format!("write for example `{}`", keys::line_of::<M>(key));
            sink.error(&text.span, message, &help);
            None
        }
    }
}

//! The `hooks` of a plan.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::engine::hooks::{HOOK_RETRIES_MAX, HOOK_TIMEOUT_MAX, Hook, HookAction, HookPoint};
use crate::engine::plan::{HoldOrRevert, Step};
use crate::engine::secret_text::is_telling;
use crate::engine::units::Share;

use super::at::At;
use super::diagnostics::{Sink, Span, quote};
use super::fields::{Lengths, choice, duration, require_in};
use super::raw::{NumberText, RawHook, RawHttp, RawPoint, ShareText};
use super::shapes::Complaint;
use super::{guarded, secrets, steps};

/// The longest time of one try by default.
const TIMEOUT_DEFAULT: SignedDuration = SignedDuration::from_secs(30);

/// The times that one try may take.
const TIMEOUTS: Lengths = Lengths {
    zero: false,
    fits: is_short_enough,
    refusal: too_long,
};

fn is_short_enough(timeout: SignedDuration) -> bool {
    timeout <= HOOK_TIMEOUT_MAX
}

fn too_long(key: &str) -> Complaint {
    let help = "write `10m` or less; if the work takes longer, start it in one hook and check it in another";
    (format!("a hook's `{key}` is at most 10m"), help.to_owned())
}

/// The number of retries by default.
const RETRIES_DEFAULT: u32 = 2;

/// The most hooks of a plan.
const HOOKS_MAX: usize = 50;

/// The hooks of a plan, in its order.
pub(super) fn convert(
    hooks: At<Vec<At<RawHook>>>,
    steps: &[Step],
    sink: &mut Sink<'_>,
) -> Vec<Hook> {
    let hooks = hooks.value.unwrap_or_default();
    if let Some(first_too_many) = hooks.get(HOOKS_MAX) {
        let message = format!("{} hooks are listed; {HOOKS_MAX} are the most", hooks.len());
        sink.error(
            &first_too_many.span,
            message,
            "let one hook do several things",
        );
    }
    let entries = hooks.into_iter();
    let converted = entries.filter_map(|entry| hook(entry.value?, &entry.span, steps, sink));
    converted.collect()
}

fn hook(raw: RawHook, span: &Span, steps: &[Step], sink: &mut Sink<'_>) -> Option<Hook> {
    let action = action(&raw, span, sink);
    let point =
        require_in::<RawHook, _>(raw.at, "at", "this hook", span, sink).and_then(|at| at.value);
    let at = point.map(point_of);
    let step = raw.step.and_then(|step| {
        if at.is_some_and(|at| !at.has_step()) {
            let message = "only `before_step` and `after_step` belong to a step";
            sink.error(&step.span, message, "remove `step`");
            return None;
        }
        of_step(&step.span, step.value.as_ref()?, steps, sink)
    });
    let timeout = match raw.timeout {
        Some(timeout) => duration::<RawHook>(&timeout, "timeout", &TIMEOUTS, sink),
        None => Some(TIMEOUT_DEFAULT),
    };
    let retries = raw
        .retries
        .map_or(Some(RETRIES_DEFAULT), |text| retries(&text, sink));
    let place = raw.on_failure.as_ref().map(|choice| choice.span.clone());
    let on_failure = choice(raw.on_failure);
    if let (Some(place), Some(at)) = (place, at) {
        check_on_failure(at, on_failure, &place, sink);
    }
    let detach = raw.detach.and_then(|detach| {
        if raw.http.is_some() {
            let message = "`detach` means nothing beside `http`";
            sink.error(&detach.span, message, "remove it");
        }
        detach.value
    });
    Some(Hook {
        at: at?,
        step,
        call: action?,
        timeout: timeout?,
        retries: retries?,
        on_failure,
        detach: detach.unwrap_or(false),
    })
}

fn point_of(raw: RawPoint) -> HookPoint {
    match raw {
        RawPoint::BeforeStart => HookPoint::BeforeStart,
        RawPoint::BeforeStep => HookPoint::BeforeStep,
        RawPoint::AfterStep => HookPoint::AfterStep,
        RawPoint::BeforeRevert => HookPoint::BeforeRevert,
        RawPoint::AfterRevert => HookPoint::AfterRevert,
        RawPoint::Completed => HookPoint::Completed,
    }
}

/// Refuses an `on_failure` that makes no sense at this point.
fn check_on_failure(at: HookPoint, on_failure: HoldOrRevert, place: &Span, sink: &mut Sink<'_>) {
    if !at.can_hold() {
        let message = format!("at `{at}` there is nothing left to hold or to take back");
        let help =
            "remove `on_failure`: if all tries fail, people are notified and the cutover goes on";
        sink.error(place, message, help);
    } else if at == HookPoint::BeforeStart && on_failure == HoldOrRevert::Revert {
        let message = "before the first step there is nothing to take back";
        sink.error(
            place,
            message,
            "write `on_failure: hold`, which pages a person",
        );
    }
}

/// The share of a step, which must be one of the plan's.
pub(super) fn of_step(
    span: &Span,
    text: &ShareText,
    steps: &[Step],
    sink: &mut Sink<'_>,
) -> Option<Share> {
    let share = match steps::weights(text) {
        Ok((share, _)) => share,
        Err((message, help)) => {
            sink.error(span, message, &help);
            return None;
        }
    };
    if steps.is_empty() || steps.iter().any(|step| step.share == share) {
        return Some(share);
    }
    let known: Vec<String> = steps.iter().map(|step| step.share.to_string()).collect();
    let message = format!("no step has the weight {share}");
    sink.error(span, message, &format!("write one of {}", known.join(", ")));
    None
}

fn retries(text: &At<NumberText>, sink: &mut Sink<'_>) -> Option<u32> {
    let written = &text.value.as_ref()?.0;
    if let Ok(number) = written.parse::<u32>()
        && number <= HOOK_RETRIES_MAX
    {
        return Some(number);
    }
    let message = format!("{} is not a number of retries", quote(written));
    let help = format!("write a whole number from 0 to {HOOK_RETRIES_MAX}: `retries: 2`");
    sink.error(&text.span, message, &help);
    None
}

fn action(raw: &RawHook, span: &Span, sink: &mut Sink<'_>) -> Option<HookAction> {
    match (&raw.command, &raw.http) {
        (Some(command), None) => argv(command, "command", sink).map(HookAction::Command),
        (None, Some(http)) => request(http.value.as_ref()?, &http.span, sink),
        (None, None) => {
            let help = "add `command: [ /usr/local/bin/warm-up ]`, or `http: { url: https://… }`";
            sink.error(span, "this hook calls nothing", help);
            None
        }
        (Some(_), Some(http)) => {
            let help = "write two hooks instead";
            sink.error(&http.span, "this hook calls two things", help);
            None
        }
    }
}

/// A program and its arguments.
pub(super) fn argv(
    command: &At<Vec<At<String>>>,
    key: &str,
    sink: &mut Sink<'_>,
) -> Option<Vec<String>> {
    let words = command.value.as_ref()?;
    let program = words.first().map(|program| program.value.as_deref());
    if program.is_none_or(|program| program.is_some_and(|text| text.trim().is_empty())) {
        let help =
            format!("write a program and its arguments: `{key}: [ /usr/local/bin/{key}, orders ]`");
        sink.error(&command.span, format!("`{key}` names no program"), &help);
        return None;
    }
    secrets::arguments(words, sink);
    words.iter().map(|word| word.value.clone()).collect()
}

fn request(raw: &RawHttp, span: &Span, sink: &mut Sink<'_>) -> Option<HookAction> {
    let written = raw
        .headers
        .as_ref()
        .and_then(|headers| headers.value.as_ref());
    // Before any finding is recorded: a finding shows the whole line, secrets beside its place included.
    for value in written.into_iter().flat_map(BTreeMap::values) {
        let kept = value.value.as_deref().is_none_or(guarded::stands);
        if !kept {
            sink.hide(&value.span);
        }
    }
    let url = require_in::<RawHttp, _>(raw.url.clone(), "url", "`http`", span, sink);
    let help = "send it in a header as an environment variable: `authorization: \"Bearer ${TOKEN}\"`; \
                or name a variable in the URL: `${NAME}`";
    let url = url.and_then(|url| secrets::url(url, help, sink));
    let mut headers = Vec::new();
    for (name, value) in written.into_iter().flatten() {
        if let Some(text) = &value.value {
            header(name, text, &value.span, sink);
            headers.push((name.to_ascii_lowercase(), text.clone()));
        }
    }
    Some(HookAction::Http { url: url?, headers })
}

/// Refuses a header that cannot be sent or contains a secret.
fn header(name: &str, text: &str, place: &Span, sink: &mut Sink<'_>) {
    if name.is_empty() || !name.chars().all(may_be_in_token) {
        let message = format!("{} is not the name of a header", quote(name));
        let help = "names have letters, digits and `-`: `x-api-key`";
        sink.error(place, message, help);
    }
    if text.chars().any(char::is_control) {
        let message = "a header cannot contain line breaks or control characters";
        sink.error(place, message, "write it on one line");
    }
    if let Err((message, help)) = guarded::filled(text) {
        sink.hide(place);
        sink.error(place, message, help);
    } else if is_telling(name) && !guarded::stands(text) {
        let message = format!("{} is written out, and a plan is journaled", quote(name));
        let help = "name an environment variable or a file instead: `\"Bearer ${TOKEN}\"`, `\"${file:/run/secrets/token}\"`";
        sink.error(place, message, help);
    }
}

/// Returns true for the characters of a `token`. Source: RFC 9110, section 5.6.2.
fn may_be_in_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

//! The `notify` of a plan: its command, its channels, and the references to their secrets.

use std::collections::BTreeMap;

use crate::engine::notify::{
    Address, Channel, INFO, KINDS, MalformedRef, Notify, PAGE, SecretRef, Via, channel_shown,
};

use super::at::{At, Several};
use super::diagnostics::{Sink, Span, quote};
use super::fields::accept;
use super::raw::{RawNotify, RawSlack, RawSns, RawWebhook};
use super::shapes::Complaint;
use super::slips::slips;
use super::{keys, secrets};

/// The address of Slack's API.
const SLACK_API: &str = "https://slack.com/api";

/// The command and the channels; none after recording what is wrong.
pub(super) fn convert(raw: At<RawNotify>, sink: &mut Sink<'_>) -> Option<Notify> {
    let (span, raw) = (raw.span, raw.value?);
    let nobody =
        raw.command.is_none() && raw.slack.is_none() && raw.sns.is_none() && raw.webhook.is_none();
    if nobody {
        let help = "add `command: [ /usr/local/bin/page, sre ]`, `slack`, `sns` or `webhook`, or remove `notify`";
        sink.error(&span, "`notify` has no command and no channel", help);
        return None;
    }
    let command = raw
        .command
        .map_or(Some(Vec::new()), |words| command(words, sink));
    let mut all = KnownChannels::default();
    for one in entries(raw.slack) {
        all.add(one, slack, sink);
    }
    for one in entries(raw.sns) {
        all.add(one, sns, sink);
    }
    for one in entries(raw.webhook) {
        all.add(one, webhook, sink);
    }
    Some(Notify {
        command: command?,
        channels: all.channels,
    })
}

fn entries<T>(several: Option<At<Several<T>>>) -> Vec<At<T>> {
    let several = several.and_then(|several| several.value);
    several.map_or_else(Vec::new, |Several(entries)| entries)
}

/// The channels so far, and the place of each.
#[derive(Default)]
struct KnownChannels {
    channels: Vec<Channel>,
    places: BTreeMap<String, Span>,
}

impl KnownChannels {
    fn add<T>(
        &mut self,
        one: At<T>,
        convert: fn(T, &Span, &mut Sink<'_>) -> Option<Channel>,
        sink: &mut Sink<'_>,
    ) {
        let span = one.span;
        let converted = one.value.and_then(|raw| convert(raw, &span, sink));
        let Some(channel) = converted else {
            return;
        };
        let id = channel.id();
        if let Some(first) = self.places.get(&id) {
            let message = format!("the channel {} is listed twice", quote(&channel_shown(&id)));
            let help = "list it once, with all its kinds under `on`";
            sink.conflict(&span, message, help, (first, "first listed here"));
        }
        self.places.insert(id, span);
        self.channels.push(channel);
    }
}

fn command(command: At<Vec<At<String>>>, sink: &mut Sink<'_>) -> Option<Vec<String>> {
    let words = command.value?;
    let empty = words.first().is_none_or(|program| {
        let text = program.value.as_deref();
        text.is_some_and(|text| text.trim().is_empty())
    });
    if empty {
        let help = "write a program and its arguments: `command: [ /usr/local/bin/page, sre ]`";
        sink.error(&command.span, "`command` names no program", help);
    }
    secrets::arguments(&words, sink);
    words.into_iter().map(|word| word.value).collect()
}

fn slack(raw: RawSlack, span: &Span, sink: &mut Sink<'_>) -> Option<Channel> {
    let told = (words(raw.on, "on", sink), words(raw.except, "except", sink));
    let via = match (raw.webhook, raw.token) {
        (Some(webhook), None) => {
            let webhook = kept(&webhook, "webhook", "SLACK_WEBHOOK", sink);
            if let Some(channel) = &raw.channel {
                let help = "remove it: a webhook belongs to one channel; use `token` to choose the channel";
                sink.error(
                    &channel.span,
                    "`channel` means nothing beside `webhook`",
                    help,
                );
            }
            Via::SlackWebhook { webhook: webhook? }
        }
        (None, Some(token)) => {
            let token = kept(&token, "token", "SLACK_TOKEN", sink);
            let help = "add `channel: \"#deploys\"`, or the channel's ID";
            let Some(channel) = raw.channel else {
                sink.error(span, "`slack` has a `token`, but no `channel`", help);
                return None;
            };
            let api = raw.api.and_then(|api| plain_url(api, sink));
            let api = api.unwrap_or_else(|| SLACK_API.to_owned());
            Via::SlackThread {
                token: token?,
                channel: named(channel, "channel", help, sink)?,
                api: api.trim_end_matches('/').to_owned(),
            }
        }
        (webhook, token) => {
            let what = if webhook.is_some() && token.is_some() {
                "`slack` has both `webhook` and `token`"
            } else {
                "`slack` has neither `webhook` nor `token`"
            };
            for both in [webhook, token].into_iter().flatten() {
                hide(&both, sink);
            }
            let help = "write `webhook: ${SLACK_WEBHOOK}`; or `token: ${SLACK_TOKEN}` and `channel`, for one thread per attempt";
            sink.error(span, what, help);
            return None;
        }
    };
    channel(via, told)
}

fn sns(raw: RawSns, span: &Span, sink: &mut Sink<'_>) -> Option<Channel> {
    let told = (words(raw.on, "on", sink), words(raw.except, "except", sink));
    let Some(topic) = raw.topic_arn else {
        let help = format!("add `{}`", keys::line_of::<RawSns>("topic_arn"));
        sink.error(span, "`sns` has no `topic_arn`", &help);
        return None;
    };
    let arn = topic.value?;
    if !accept(topic_arn(&arn), &topic.span, sink) {
        return None;
    }
    channel(Via::Sns { topic_arn: arn }, told)
}

fn webhook(raw: RawWebhook, span: &Span, sink: &mut Sink<'_>) -> Option<Channel> {
    let told = (words(raw.on, "on", sink), words(raw.except, "except", sink));
    let secret = match raw.secret {
        Some(secret) => Some(kept(&secret, "secret", "WEBHOOK_SECRET", sink)?),
        None => None,
    };
    let Some(url) = raw.url else {
        let help = format!("add `{}`", keys::line_of::<RawWebhook>("url"));
        sink.error(span, "`webhook` has no `url`", &help);
        return None;
    };
    let text = url.value.as_deref()?;
    let url = if text.starts_with('$') || text.starts_with("file:") {
        Address::Kept(kept(&url, "url", "WEBHOOK_URL", sink)?)
    } else {
        Address::Plain(plain_url(url, sink)?)
    };
    channel(Via::Webhook { url, secret }, told)
}

/// The words of `on` and of `except`; none if they could not be read.
type OnAndExcept = (Option<Vec<String>>, Option<Vec<String>>);

fn channel(via: Via, (on, except): OnAndExcept) -> Option<Channel> {
    let on = on?;
    Some(Channel {
        via,
        on: if on.is_empty() {
            vec![PAGE.to_owned()]
        } else {
            on
        },
        except: except?,
    })
}

/// The words of `on` or `except`.
fn words(raw: Option<At<Several<String>>>, key: &str, sink: &mut Sink<'_>) -> Option<Vec<String>> {
    let Some(raw) = raw else {
        return Some(Vec::new());
    };
    let mut all = Some(Vec::new());
    let levels: &[&str] = if key == "on" { &[PAGE, INFO] } else { &[] };
    let known: Vec<&str> = levels.iter().chain(&KINDS).copied().collect();
    let Several(entries) = raw.value?;
    if entries.is_empty() {
        let help = format!(
            "write for example `{}`, or remove the line",
            keys::line_of::<RawWebhook>(key)
        );
        sink.error(&raw.span, format!("`{key}` lists nothing"), &help);
        return None;
    }
    for At { span, value } in entries {
        let Some(word) = value else {
            all = None;
            continue;
        };
        if !known.contains(&word.as_str()) {
            let message = format!("{} is not a kind of notification", quote(&word));
            sink.error(&span, message, &closest(&word, &known));
            all = None;
            continue;
        }
        if let Some(all) = &mut all {
            all.push(word);
        }
    }
    all
}

fn closest(word: &str, known: &[&str]) -> String {
    let near = known.iter().min_by_key(|known| slips(word, known));
    if let Some(near) = near
        && slips(word, near) * 3 <= near.len()
    {
        return format!("did you mean `{near}`?");
    }
    "write `page`, `info`, or kinds of events and holds, for example `completed` or `approval`; \
     docs/reference/json.md and docs/operations/troubleshooting.md list them"
        .to_owned()
}

/// The reference to a secret. A secret itself is refused and not shown.
fn kept(text: &At<String>, key: &str, example: &str, sink: &mut Sink<'_>) -> Option<SecretRef> {
    let written = text.value.as_deref()?;
    let error = match written.parse() {
        Ok(kept) => return Some(kept),
        Err(error) => error,
    };
    let (message, help) = match error {
        MalformedRef::Literal if !may_be_secret(written) => (
            format!(
                "{} names no variable and no file for `{key}`",
                quote(written)
            ),
            format!(
                "write for example `{key}: \"${{{example}}}\"`, or `{key}: file:/run/secrets/{key}`"
            ),
        ),
        MalformedRef::Literal => (
            format!("`{key}` contains the secret itself, which would be journaled with the plan"),
            format!(
                "name a variable or a file: `{key}: \"${{{example}}}\"`, or `{key}: file:/run/secrets/{key}`; and rotate \
                 this secret: treat it as leaked"
            ),
        ),
        MalformedRef::NotAName => (
            format!("`{key}` does not name a variable of the environment"),
            format!("write for example `{key}: \"${{{example}}}\"`"),
        ),
        MalformedRef::NotAbsolute => (
            format!("`{key}` names no absolute path"),
            format!("write for example `{key}: file:/run/secrets/{key}`"),
        ),
    };
    hide(text, sink);
    sink.error(&text.span, message, &help);
    None
}

/// Returns true if a text may be a secret: no secret is a short number, a yes or a no, or shorter than 4 characters.
fn may_be_secret(text: &str) -> bool {
    let word = text.trim().to_ascii_lowercase();
    let plain = ["true", "false", "yes", "no", "on", "off", "null", "~"].contains(&word.as_str());
    let number = word.len() < 8 && word.parse::<f64>().is_ok();
    !(plain || number || word.len() < 4)
}

fn hide(text: &At<String>, sink: &mut Sink<'_>) {
    let kept = text
        .value
        .as_deref()
        .is_none_or(|text| text.parse::<SecretRef>().is_ok() || !may_be_secret(text));
    if !kept {
        sink.hide(&text.span);
    }
}

fn named(text: At<String>, key: &str, help: &str, sink: &mut Sink<'_>) -> Option<String> {
    let value = text.value?;
    if value.trim().is_empty() {
        sink.error(&text.span, format!("`{key}` is empty"), help);
        return None;
    }
    Some(value)
}

/// A URL that is not a secret.
fn plain_url(text: At<String>, sink: &mut Sink<'_>) -> Option<String> {
    let whole = text.value.as_deref()?;
    if whole.contains("${") {
        let message = "a reference must replace the whole URL, not a part of it";
        let help = "write for example `url: \"${WEBHOOK_URL}\"`, or `url: file:/run/secrets/url`";
        sink.hide(&text.span);
        sink.error(&text.span, message, help);
        return None;
    }
    let help = "name a variable or a file: `url: \"${WEBHOOK_URL}\"`, or `url: file:/run/secrets/url`; Slack's \
                webhooks go under `slack`";
    secrets::url(text, help, sink)
}

/// Checks the ARN of a topic. Source: Service Authorization Reference, resource types defined by Amazon SNS.
fn topic_arn(arn: &str) -> Result<(), Complaint> {
    let parts: Vec<&str> = arn.split(':').collect();
    let is_topic = match parts.as_slice() {
        ["arn", partition, "sns", region, account, name] => {
            let digits = account.len() == 12 && account.chars().all(|c| c.is_ascii_digit());
            let bare = name.strip_suffix(".fifo").unwrap_or(name);
            let named = bare
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            let fits = named && !bare.is_empty() && name.len() <= 256;
            partition.starts_with("aws") && region.contains('-') && digits && fits
        }
        _ => false,
    };
    if is_topic {
        return Ok(());
    }
    let message = format!("{} is not the ARN of an SNS topic", quote(arn));
    Err((
        message,
        format!(
            "write for example `{}`",
            keys::line_of::<RawSns>("topic_arn")
        ),
    ))
}

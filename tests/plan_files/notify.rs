//! `notify`: what channels are made of, what is refused, and that a secret that was written down is not shown.

use cutover::engine::notify::{Address, Channel, SecretRef, Via};
use cutover::plan_file;

use super::{VALID, findings};

fn channels(notify: &str) -> Vec<Channel> {
    let text = format!("{VALID}notify:\n{notify}");
    let loaded = plan_file::parse(&text, "plan.yaml").unwrap_or_else(|error| panic!("{error}"));
    loaded.source.plan.notify.expect("somebody").channels
}

fn kept(text: &str) -> SecretRef {
    text.parse().expect("a reference")
}

#[test]
fn the_shortest_forms_are_one_line_a_channel() {
    let all = channels(
        "  slack: ${SLACK_WEBHOOK}\n  sns: arn:aws:sns:eu-west-1:111111111111:cutovers\n  webhook: https://x.example/h\n",
    );
    let via: Vec<&Via> = all.iter().map(|channel| &channel.via).collect();
    let expected = [
        &Via::SlackWebhook {
            webhook: kept("${SLACK_WEBHOOK}"),
        },
        &Via::Sns {
            topic_arn: "arn:aws:sns:eu-west-1:111111111111:cutovers".to_owned(),
        },
        &Via::Webhook {
            url: Address::Plain("https://x.example/h".to_owned()),
            secret: None,
        },
    ];
    assert_eq!(via, expected);
    assert!(all.iter().all(|channel| channel.on == ["page"]));
}

#[test]
fn channels_of_one_kind_are_a_list_and_each_says_what_it_is_told() {
    let all = channels(
        "  slack:\n    - ${ONCALL}\n    - { token: file:/run/secrets/slack, channel: '#deploys', on: info, except: [ approval, no_data ] }\n  \
         webhook: { url: \"${HOOK}\", secret: \"${KEY}\", on: [ page, completed ] }\n",
    );
    assert_eq!(all.len(), 3);
    assert_eq!(
        all[1].via,
        Via::SlackThread {
            token: kept("file:/run/secrets/slack"),
            channel: "#deploys".to_owned(),
            api: "https://slack.com/api".to_owned(),
        }
    );
    assert_eq!(
        (all[1].on.as_slice(), all[1].except.len()),
        (&["info".to_owned()][..], 2)
    );
    assert_eq!(all[2].on, ["page", "completed"]);
    let ids: Vec<String> = all.iter().map(Channel::id).collect();
    assert_eq!(
        ids,
        ["slack ${ONCALL}", "slack #deploys", "webhook ${HOOK}"]
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_makes_no_sense_is_refused_with_what_to_write() {
    for (notify, message, help) in [
        (
            "{}",
            "`notify` has no command and no channel",
            "add `command",
        ),
        (
            "{ slack: {} }",
            "neither `webhook` nor `token`",
            "write `webhook: ${SLACK_WEBHOOK}`",
        ),
        (
            "{ slack: { token: \"${T}\" } }",
            "no `channel`",
            "add `channel",
        ),
        (
            "{ slack: \"$SLACK\" }",
            "does not name a variable",
            "write for example",
        ),
        (
            "{ slack: 5 }",
            "`5` names no variable and no file for `webhook`",
            "write for example `webhook: \"${SLACK_WEBHOOK}\"`",
        ),
        (
            "{ slack: yes }",
            "`yes` names no variable and no file",
            "file:/run/secrets",
        ),
        (
            "{ webhook: \"https://x.example/${A}\" }",
            "a reference must replace the whole URL, not a part of it",
            "url: \"${WEBHOOK_URL}\"",
        ),
        (
            "{ slack: file:slack }",
            "names no absolute path",
            "write for example",
        ),
        (
            "{ sns: arn:aws:sqs:eu-west-1:111111111111:t }",
            "is not the ARN of an SNS topic",
            "write for example",
        ),
        (
            "{ webhook: { secret: \"${K}\" } }",
            "`webhook` has no `url`",
            "add `url",
        ),
        (
            "{ webhook: ftp://x.example }",
            "is not a URL that can be posted to",
            "https://hooks.example.com",
        ),
        (
            "{ webhook: { url: https://x.example, on: complete } }",
            "`complete` is not a kind of notification",
            "did you mean `completed`?",
        ),
        (
            "{ webhook: { url: https://x.example, except: page } }",
            "`page` is not a kind of notification",
            "write `page`, `info`",
        ),
        (
            "{ webhook: { url: https://x.example, on: [] } }",
            "`on` lists nothing",
            "",
        ),
        (
            "{ webhook: [ https://x.example, https://x.example ] }",
            "is listed twice",
            "list it once",
        ),
        (
            "{ pagerduty: x }",
            "unknown key `pagerduty`",
            "the keys of `notify` are",
        ),
    ] {
        let found = findings(&format!("{VALID}notify: {notify}\n"));
        // A key that nobody knows tells nobody, and that is said too.
        let all = if notify.contains("pagerduty") { 2 } else { 1 };
        assert_eq!(found.len(), all, "{notify}: {found:#?}");
        assert!(found[0].message.contains(message), "{notify}: {found:#?}");
        let said = found[0].help.as_deref().unwrap_or("");
        assert!(said.contains(help), "{notify}: {found:#?}");
    }
}

#[test]
fn a_secret_that_was_written_down_is_refused_and_shown_nowhere() {
    const SECRET: &str = "T000/B000/hunter2";
    for notify in [
        format!("slack: https://hooks.slack.com/services/{SECRET}"),
        format!("slack: {{ token: '{SECRET}', channel: x }}"),
        format!("slack: {{ token: '{SECRET}', webhook: '{SECRET}' }}"),
        format!("webhook: {{ url: https://x.example, secret: '{SECRET}', on: nonsense }}"),
        format!("webhook: https://hooks.slack.com/services/{SECRET}"),
        format!("webhook: https://user:{SECRET}@x.example/"),
        format!("webhook: https://x.example/h?token={SECRET}"),
        format!("webhook: hooks.slack.com/services/{SECRET}"),
        format!("webhook: https://discord.com/api/webhooks/1/{SECRET}"),
        format!("webhook: https://contoso.webhook.office.com/webhookb2/{SECRET}"),
        format!("webhook: https://events.pagerduty.com/integration/{SECRET}/enqueue"),
        format!("webhook: https://prod-1.westus.logic.azure.com/workflows/{SECRET}"),
    ] {
        let text = format!("{VALID}notify: {{ {notify} }}\n");
        let error = plan_file::parse(&text, "plan.yaml").expect_err("it is refused");
        let shown = format!(
            "{}{}",
            error.render(false),
            serde_json::to_string(&error).expect("JSON")
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("line\":"), "{shown}");
    }
}

#[test]
fn who_is_told_is_no_change_of_the_plan() {
    let digest = |text: &str| plan_file::parse(text, "plan.yaml").unwrap().source.digest;
    let told = format!("{VALID}notify: {{ slack: \"${{A}}\" }}\n");
    assert_eq!(digest(VALID), digest(&told));
}

#[test]
fn what_can_be_read_on_the_way_is_warned_about() {
    let warnings = |url: &str| {
        let text = format!("{VALID}notify: {{ webhook: '{url}' }}\n");
        plan_file::parse(&text, "plan.yaml").unwrap().warnings.len()
    };
    let quiet = warnings("https://x.example/");
    assert_eq!(warnings("http://localhost:8080/x"), quiet);
    assert_eq!(warnings("http://x.example/"), quiet + 1);
}

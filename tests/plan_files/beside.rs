//! Hooks and jobs of plan files: what loads, and what a person is told about what does not.

use cutover::engine::hooks::{HookAction, HookPoint};
use cutover::engine::jobs::{JobHalf, SwitchAt};
use cutover::engine::plan::HoldOrRevert;
use cutover::engine::units::Share;
use jiff::SignedDuration;

use super::{VALID, findings, load};

/// The one thing that is wrong with the plan that ends with this: its place, and what is said.
fn wrong(end: &str) -> (Option<usize>, String, String) {
    let found = findings(&format!("{VALID}{end}"));
    let mut errors = found
        .into_iter()
        .filter(|finding| format!("{:?}", finding.severity) == "Error");
    let first = errors.next().expect("an error");
    let more: Vec<_> = errors.map(|finding| finding.message).collect();
    assert!(more.is_empty(), "{} and {more:?}", first.message);
    (first.line, first.message, first.help.unwrap_or_default())
}

#[test]
fn hooks_are_read_with_their_defaults() {
    let plan = load(&format!(
        "{VALID}hooks:\n  - {{ at: before_start, command: [ /bin/warm, up ] }}\n  - at: before_step\n    step: 100%\n    \
         http: {{ url: https://x.example/y, headers: {{ Authorization: \"Bearer ${{TOKEN}}\" }} }}\n    timeout: 5s\n    \
         retries: 0\n    on_failure: revert\n"
    ));
    let [first, second] = plan.hooks.as_slice() else {
        panic!("{:?}", plan.hooks);
    };
    assert_eq!(
        (first.at, first.step, first.retries),
        (HookPoint::BeforeStart, None, 2)
    );
    assert_eq!(first.timeout, SignedDuration::from_secs(30));
    assert_eq!(
        first.call,
        HookAction::Command(vec!["/bin/warm".into(), "up".into()])
    );
    assert_eq!(
        (second.step, second.retries),
        (Some(Share::percent(100)), 0)
    );
    assert_eq!(second.on_failure, HoldOrRevert::Revert);
    let HookAction::Http { headers, .. } = &second.call else {
        panic!("{second:?}");
    };
    assert_eq!(
        headers[0],
        ("authorization".into(), "Bearer ${TOKEN}".into())
    );
}

#[test]
fn hooks_that_make_no_sense_are_refused_with_a_hint() {
    let cases = [
        (
            "{ at: before_start }",
            "this hook calls nothing",
            "add `command",
        ),
        (
            "{ at: completed, command: [ a ], on_failure: hold }",
            "at `completed` there is nothing left to hold or to take back",
            "remove `on_failure`",
        ),
        (
            "{ at: before_start, command: [ a ], on_failure: revert }",
            "before the first step there is nothing to take back",
            "on_failure: hold",
        ),
        (
            "{ at: before_start, command: [ a ], step: 5% }",
            "only `before_step` and `after_step` belong to a step",
            "remove `step`",
        ),
        (
            "{ at: after_step, command: [ a ], step: 50% }",
            "no step has the weight 50%",
            "write one of 5%, 100%",
        ),
        (
            "{ at: after_step, command: [ a ], timeout: 11m }",
            "a hook's `timeout` is at most 10m",
            "10m",
        ),
        (
            "{ at: after_step, command: [ a ], retries: many }",
            "is not a number of retries",
            "retries: 2",
        ),
        (
            "{ at: after_step, command: [] }",
            "`command` names no program",
            "command: [",
        ),
    ];
    are_refused(&cases);
}

/// Each of these hooks, with what is said of it and a part of the hint.
fn are_refused(cases: &[(&str, &str, &str)]) {
    for (hook, message, help) in cases {
        let (line, said, hint) = wrong(&format!("hooks:\n  - {hook}\n"));
        assert_eq!(line, Some(12), "{hook}");
        assert!(said.contains(message), "{hook}: {said}");
        assert!(hint.contains(help), "{hook}: {hint}");
    }
}

#[test]
fn calls_of_hooks_that_are_broken_or_show_a_secret_are_refused_with_a_hint() {
    let cases = [
        (
            "{ at: after_step, http: { url: ftp://x } }",
            "this is not a URL that can be posted to",
            "https://",
        ),
        (
            "{ at: after_step, http: { url: \"https://u:p@x/y\" } }",
            "a user and a password in a URL would be journaled with the plan, and are not sent",
            "a header",
        ),
        (
            "{ at: after_step, http: { url: https://x, headers: { authorization: Bearer abc } } }",
            "`authorization` is written out, and a plan is journaled",
            "${TOKEN}",
        ),
        (
            "{ at: after_step, http: { url: \"https://x/y?token=abc\" } }",
            "this URL contains a secret",
            "${TOKEN}",
        ),
        (
            "{ at: after_step, http: { url: \"https://x/${A\" } }",
            "`${` is not closed",
            "${NAME}",
        ),
        (
            "{ at: after_step, http: { url: \"https://x/${a-b}\" } }",
            "`${…}` names neither a variable nor a file",
            "${file:/",
        ),
        (
            "{ at: after_step, http: { url: https://x, headers: { x-a: \"Bearer ${A\" } } }",
            "`${` is not closed",
            "${NAME}",
        ),
        (
            "{ at: after_step, http: { url: https://x, headers: { x-access-token: abc } } }",
            "`x-access-token` is written out",
            "${TOKEN}",
        ),
        (
            "{ at: after_step, http: { url: https://x, headers: { \"bad header\": x } } }",
            "`bad header` is not the name of a header",
            "x-api-key",
        ),
    ];
    are_refused(&cases);
}

#[test]
fn jobs_are_read_with_their_defaults() {
    let plan = load(&format!(
        "{VALID}jobs:\n  at: 100%\n  move:\n    - {{ name: a, old: {{ rule: a-old, running: [ c ] }}, new: {{ schedule: a-new, \
         group: g, running: [ c ] }} }}\n    - name: b\n      old: {{ cron_job: b, namespace: n, context: eks }}\n      new: {{ \
         off: [ x, stop ], on: [ x, start ], state: [ x, state ], running: [ x, count ] }}\n"
    ));
    let jobs = plan.jobs.expect("jobs");
    assert_eq!(jobs.at, SwitchAt::Step(Share::percent(100)));
    assert_eq!(jobs.wait, SignedDuration::from_mins(2));
    assert_eq!(jobs.away, SignedDuration::from_mins(5));
    assert_eq!(jobs.drain, SignedDuration::from_hours(1));
    assert!(
        matches!(&jobs.jobs[0].old, Some(JobHalf::Rule { name, bus: None, .. }) if name == "a-old")
    );
    assert!(
        matches!(&jobs.jobs[0].new, Some(JobHalf::Schedule { group: Some(group), .. }) if group == "g")
    );
    assert!(matches!(
        &jobs.jobs[1].old,
        Some(JobHalf::CronJob {
            context: Some(_),
            ..
        })
    ));
    assert!(matches!(&jobs.jobs[1].new, Some(JobHalf::Command { .. })));
    let plan = load(&format!(
        "{VALID}jobs: {{ at: complete, move: [ {{ name: a, old: {{ cron_job: a }}, new: {{ cron_job: b }} }} ] }}\n"
    ));
    assert_eq!(plan.jobs.expect("jobs").at, SwitchAt::Complete);
}

#[test]
fn jobs_that_make_no_sense_are_refused_with_a_hint() {
    let job = |old: &str| {
        format!(
            "jobs:\n  at: complete\n  move:\n    - {{ name: a, old: {old}, new: {{ cron_job: new }} }}\n"
        )
    };
    let cases = [
        (job("{ off: [ a ], on: [ b ] }"), "this job has no `state`", "state: ["),
        (job("{}"), "nothing says how this job is switched", "rule: NAME"),
        (job("{ rule: a, cron_job: b }"), "switched in two ways", "write one of"),
        (job("{ cron_job: a, group: g }"), "`group` means nothing beside `cron_job`", "remove it"),
        (job("{ cron_job: \"a b\" }"), "is not a name", "letters"),
        (job("{ cron_job: new }"), "named twice", "on the side where it runs"),
        ("jobs:\n  at: complete\n  move: []\n".to_owned(), "no job is listed", "list at least one"),
        (
            "jobs:\n  at: 50%\n  move: [ { name: a, old: { cron_job: a }, new: { cron_job: b } } ]\n".to_owned(),
            "no step has the weight 50%",
            "write one of 5%, 100%",
        ),
        (
            "jobs:\n  at: 2\n  move: [ { name: a, old: { cron_job: a }, new: { cron_job: b } } ]\n".to_owned(),
            "is not a time at which jobs can move",
            "at: complete",
        ),
    ];
    for (end, message, help) in cases {
        let (line, said, hint) = wrong(&end);
        assert!(line > Some(11), "{end}");
        assert!(said.contains(message), "{end}: {said}");
        assert!(hint.contains(help), "{end}: {hint}");
    }
}

#[test]
fn what_may_be_a_secret_of_a_hook_is_shown_nowhere() {
    let hooks = [
        "{ at: before_step, http: { url: \"https://x.example/f?token=hunter22\", headers: { x-a: hunter22, \"bad header\": x } } }",
        "{ at: before_step, http: { url: \"https://u:hunter22@x.example/f\" } }",
        "{ at: before_step, http: { url: \"${URL}\", headers: { authorization: \"Bearer hunter22 ${A\" } } }",
        "{ at: before_step, http: { url: hunter22 } }",
        "{ at: before_start, command: [ x, --token, hunter22, --password=hunter22 ], on_failure: revert }",
        "{ at: before_start, command: [ sh, -c, \"TOKEN=hunter22 x\" ] }",
        "{ at: before_start, command: [ sh, -c, \"curl -H 'Authorization: Bearer hunter22' x\" ] }",
        "{ at: before_start, command: [ curl, \"https://discord.com/api/webhooks/1/hunter22\" ] }",
        "{ at: before_start, command: [ x, --key, hunter22 ], retires: 2 }",
        "{ at: before_start, command: \"x --token hunter22\" }",
        "{ at: before_start, comand: [ x, hunter22 ] }",
        "{ at: before_start, tokn: hunter22 }",
        "{ at: before_start, name: hunter22, command: [ x ] }",
        "{ at: before_start, http: { url: https://x.example, header: { x-a: hunter22 } } }",
        "{ at: before_start, http: { url: [ hunter22 ] } }",
        "{ at: before_start, http: { url: https://x.example/hunter22, headers: { \"a b\": x } } }",
        "{ at: before_start, http: { url: https://x.webhook.office.com/webhookb2/hunter22 } }",
        "{ at: before_start, command: [ x ], timeout: { a: hunter22 } }",
    ];
    for hook in hooks {
        let found = findings(&format!("{VALID}hooks:\n  - {hook}\n"));
        assert!(!found.is_empty(), "{hook}");
        let shown = cutover::plan_file::render(&found, false);
        let json = serde_json::to_string(&found).expect("JSON");
        assert!(!shown.contains("hunter22"), "{shown}");
        assert!(!json.contains("hunter22"), "{json}");
    }
}

#[test]
fn one_job_is_known_by_whatever_it_is_spelled() {
    let pairs = [
        ("{ rule: a }", "{ rule: a, bus: default, running: [ x ] }"),
        ("{ schedule: a }", "{ schedule: a, group: default }"),
        (
            "{ rule: a, bus: \"arn:aws:events:eu-west-1:111111111111:event-bus/b\" }",
            "{ rule: a, bus: b }",
        ),
    ];
    for (old, new) in pairs {
        let job = format!("{{ name: n, old: {old}, new: {new} }}");
        let (_, said, _) = wrong(&format!("jobs:\n  at: complete\n  move: [ {job} ]\n"));
        assert!(said.contains("this is named twice"), "{job}: {said}");
    }
    let plan = format!(
        "{VALID}aws: {{ region: eu-west-1 }}\njobs:\n  at: complete\n  move: [ {{ name: n, old: {{ rule: a }}, new: {{ rule: a, region: eu-west-1 }} }} ]\n"
    );
    let found = findings(&plan);
    let twice = |finding: &cutover::plan_file::Finding| finding.message.contains("named twice");
    assert!(found.iter().any(twice), "{found:?}");
}

#[test]
fn secrets_in_commands_are_refused_by_the_patterns_of_headers() {
    for (command, refused) in [
        ("[ x, --token, hunter22 ]", true),
        ("[ x, --api-key=hunter22 ]", true),
        ("[ env, API_TOKEN=hunter22, x ]", true),
        ("[ sh, -c, 'TOKEN=hunter22 curl x' ]", true),
        ("[ curl, -H, 'X-Api-Key: hunter22' ]", true),
        ("[ curl, 'https://u:hunter22@x.example/' ]", true),
        ("[ curl, 'https://x.example/?token=hunter22' ]", true),
        (
            "[ curl, 'https://hooks.slack.com/services/T/B/hunter22' ]",
            true,
        ),
        ("[ x, xoxb-1-hunter22 ]", true),
        ("[ x, --token-file, /run/secrets/token ]", false),
        (
            "[ sh, -c, 'curl -H \"Authorization: Bearer $TOKEN\" x' ]",
            false,
        ),
        ("[ x, --secret-id, prod/db ]", false),
    ] {
        for place in [
            format!("hooks: [ {{ at: before_start, command: {command} }} ]\n"),
            format!("notify: {{ command: {command} }}\n"),
            format!(
                "jobs:\n  at: complete\n  move: [ {{ name: n, old: {{ off: {command}, on: [ x ], state: [ x ], running: [ x ] }}, new: {{ rule: a, running: [ x ] }} }} ]\n"
            ),
        ] {
            let found = match cutover::plan_file::parse(&format!("{VALID}{place}"), "plan.yaml") {
                Ok(loaded) => loaded.warnings,
                Err(error) => error.findings,
            };
            let said = found
                .iter()
                .any(|one| one.message.contains("this contains a secret"));
            assert_eq!(said, refused, "{place}: {found:#?}");
            let shown = cutover::plan_file::render(&found, false);
            assert!(!shown.contains("hunter22"), "{shown}");
        }
    }
}

#[test]
fn values_of_misspelt_keys_are_shown_nowhere() {
    for end in [
        "notify: { slak: https://x.example/hunter22 }\n",
        "notify: { slack: { tokn: hunter22, channel: x } }\n",
        "notify: { webhook: { url: https://x.example/a, secrt: hunter22, on: nonsense } }\n",
        "notify: { webhook: { url: https://x.example/hunter22, on: nonsense } }\n",
        "notify: https://x.example/hunter22\n",
        "notify:\n  slack:\n    tokn: |\n      hunter22\n      hunter22\n    onn: page\n",
        "notfy: { slack: hunter22 }\n",
        "hoks: [ { at: before_start, http: { url: hunter22 } } ]\n",
        "jobs: { at: complete, move: [ { name: n, old: { password: hunter22 }, new: { rule: a } } ] }\n",
        "notify: { webhook: { url: hunter22, [ } }\n",
        "notify:\n  slack:\n    tokn: hunter22\n   webhook: x\n",
        "nme: x\nnotify: { slack: { token: hunter22, token: hunter22 } }\n",
        "api_key: hunter22\n",
    ] {
        let found = findings(&format!("{VALID}{end}"));
        assert!(!found.is_empty(), "{end}");
        let shown = cutover::plan_file::render(&found, false);
        let json = serde_json::to_string(&found).expect("JSON");
        assert!(!shown.contains("hunter22"), "{end}: {shown}");
        assert!(!json.contains("hunter22"), "{end}: {json}");
    }
}

#[test]
fn names_with_control_characters_are_refused_and_shown_harmless() {
    for (key, end) in [
        ("an alarm", "gates: { alarms: [ \"a\\nb\\e[31m\" ] }\n"),
        (
            "a load balancer",
            "gates: { alarms: [ a ], sides: { new: { alb: { load_balancer: \"app/a\\eb/1\" } } } }\n",
        ),
        (
            "a metric",
            "gates: { metrics: [ { metric: { namespace: \"A\\eB\", metric: b, dimensions: { c: d } }, name: n, max: 1 } ] }\n",
        ),
        (
            "a dimension",
            "gates: { metrics: [ { metric: { namespace: AB, metric: b, dimensions: { c: \"d\\x7f\" } }, name: n, max: 1 } ] }\n",
        ),
    ] {
        let text = VALID.split("gates:").next().expect("the beginning");
        let found = findings(&format!("{text}{end}"));
        let said = found
            .iter()
            .any(|one| one.message.contains("control characters"));
        assert!(said, "{key}: {found:#?}");
        let shown = cutover::plan_file::render(&found, false);
        assert!(
            !shown.contains(|c: char| c.is_control() && c != '\n'),
            "{shown:?}"
        );
    }
    let text = VALID.replace("old: eks", "old: \"e\\eks\"");
    let found = findings(&text);
    let said = found
        .iter()
        .any(|one| one.message.contains("control characters"));
    assert!(said, "{found:#?}");
}

#[test]
fn a_job_may_list_several_of_a_side_or_have_one_side_only() {
    let plan = load(&format!(
        "{VALID}jobs:\n  at: complete\n  move:\n    - {{ name: reports, old: [ {{ rule: a, running: [ c ] }}, {{ rule: b, running: [ c ] }} ], new: {{ \
         schedule: all, running: [ c ] }} }}\n    - {{ name: gone, old: {{ cron_job: gone }} }}\n    - {{ name: born, new: [ {{ cron_job: born }} ] }}\n"
    ));
    let jobs = plan.jobs.expect("jobs");
    let shape: Vec<_> = jobs
        .jobs
        .iter()
        .map(|job| (job.name.as_str(), job.old.is_some(), job.new.is_some()))
        .collect();
    assert_eq!(
        shape,
        [
            ("reports", true, true),
            ("reports (2)", true, false),
            ("gone", true, false),
            ("born", false, true),
        ]
    );
    for (job, why) in [
        ("{ name: a }", "neither `old` nor `new`"),
        ("{ name: a, old: [] }", "`old` lists nothing"),
        (
            "{ name: a, old: [ { cron_job: x }, { cron_job: x } ] }",
            "named twice",
        ),
    ] {
        let found = findings(&format!(
            "{VALID}jobs: {{ at: complete, move: [ {job} ] }}\n"
        ));
        assert!(
            found.iter().any(|it| it.message.contains(why)),
            "{job}: {found:?}"
        );
    }
}

#[test]
fn a_secret_that_is_written_with_escapes_is_shown_nowhere() {
    for word in [
        r"\u0078oxb-1234567890123-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx",
        r"xoxb\x2d1234567890123-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx",
        r"gh\x70_abcdefghijAbCdEfGhIjKlMnOpQrStUvWx1234",
    ] {
        let text =
            format!("{VALID}hooks: [ {{ at: completed, command: [ post, \"{word}\" ] }} ]\n");
        let error = cutover::plan_file::parse(&text, "plan.yaml").expect_err("it is refused");
        let shown = format!(
            "{}{}",
            error.render(false),
            serde_json::to_string(&error).expect("JSON")
        );
        assert!(
            !shown.contains("AbCdEfGhIj") && !shown.contains("1234567890123"),
            "{shown}"
        );
    }
}

#[test]
fn the_value_of_a_key_that_is_given_twice_is_not_shown() {
    let text = format!("{VALID}notify:\n  slack: ${{A}}\n  slack: hunter2secretpw\n");
    let error = cutover::plan_file::parse(&text, "plan.yaml").expect_err("it is refused");
    let shown = error.render(false);
    assert!(
        shown.contains("given twice") && !shown.contains("hunter2"),
        "{shown}"
    );
}

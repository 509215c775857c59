//! What an entry is worth telling, whom, and under which name.

use cutover_engine::event::{Envelope, Event, FailureClass, JOURNAL_VERSION, RevertMode};
use cutover_engine::hold::{HaltReason, HoldReason, RevertCause};
use cutover_engine::jobs::JobSide;
use cutover_engine::notify::{
    Address, Channel, INFO, KINDS, News, Notice, PAGE, Standing, Via, channel_shown, fresh, key,
    topics,
};
use cutover_engine::paged::Paged;
use cutover_engine::state::Phase;
use cutover_engine::units::{CutoverName, Share, WriteId};
use jiff::Timestamp;

use super::{baking, simple};
use cutover_testbed::plan::alarm;
use cutover_testbed::world::World;

fn entry(event: Event) -> Envelope {
    Envelope {
        cutover: CutoverName::from("api"),
        attempt: 1,
        seq: 7,
        at: "2026-11-21T09:00:00.25Z".parse().expect("a timestamp"),
        actor: "controller c".to_owned(),
        version: JOURNAL_VERSION,
        event,
    }
}

fn channel(on: &str) -> Channel {
    Channel {
        via: Via::Sns {
            topic_arn: "arn:aws:sns:eu-west-1:111111111111:t".to_owned(),
        },
        on: vec![on.to_owned()],
        except: Vec::new(),
    }
}

/// Whether somebody who follows along is told of it, and whether it is told as what pages.
fn told(event: Event, pages: bool) -> (bool, bool) {
    let entry = entry(event);
    let topics = topics(&fresh(None, &entry), &entry, pages);
    (channel(INFO).wants(&topics), channel(PAGE).wants(&topics))
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table: one line an event, none left out"
)]
fn who_follows_along_hears_what_moved_what_people_did_and_what_went_wrong() {
    let at: Timestamp = "2026-11-21T09:00:00Z".parse().expect("a timestamp");
    let write_id = || WriteId::from("1-2-ctl");
    let id = || alarm("errors");
    let operator = || RevertCause::Operator {
        actor: "ada@desk".to_owned(),
        reason: None,
    };
    let worth = [
        Event::DriftCleared {},
        Event::StepCompleted { step: 1 },
        Event::Completed { adopted: None },
        Event::Reverted { cancelled: false },
        Event::GateKnown { alarm: id().into() },
        Event::AlarmIgnored {
            alarm: id(),
            reason: "known".to_owned(),
        },
        Event::RevertIntended {
            write_id: write_id(),
            cause: operator(),
            mode: RevertMode::Swap,
            shared: None,
            seen: None,
        },
        Event::RevertPerformedUnjournaled {
            write_id: write_id(),
            cause: operator(),
            decided_at: at,
        },
        Event::PauseRequested { reason: None },
        Event::ResumeRequested { reason: None },
        Event::RetryRequested { reason: None },
        Event::RollbackRequested {
            mode: RevertMode::Swap,
            reason: None,
        },
        Event::JobsMoved { to: JobSide::New },
        Event::FleetUnfrozen { reason: None },
    ];
    for event in worth {
        assert_eq!(told(event.clone(), false), (true, false), "{event:?}");
    }
    let routine = [
        Event::WeightChangeFailed {
            write_id: write_id(),
            zone: "Z1".into(),
            groups: vec![0],
            class: FailureClass::Throttled,
            message: "slow down".to_owned(),
        },
        Event::BakeStarted { step: 1 },
        Event::GatesPassed {},
        Event::BakeCounted {
            until: at,
            running: true,
        },
        Event::AlarmArmed { alarm: id() },
        Event::BaselineSeen { at: None },
        Event::PageSent {
            of: 3,
            logged_only: false,
            skipped: Vec::new(),
        },
        Event::JobsOff { side: JobSide::Old },
        Event::FleetSlotTaken {
            of: CutoverName::from("api"),
        },
    ];
    for event in routine {
        assert_eq!(told(event.clone(), false), (false, false), "{event:?}");
        assert_eq!(told(event.clone(), true), (true, true), "{event:?}");
    }
}

#[test]
fn holds_are_worth_telling_where_they_are_not_how_a_cutover_goes() {
    let hold = |reason: HoldReason, pages: bool| {
        let because = vec![reason];
        told(Event::StepHeld { because }, pages)
    };
    let message = || "denied".to_owned();
    for reason in [
        HoldReason::Shifting {
            step: 1,
            message: None,
        },
        HoldReason::Settling {
            step: 1,
            until: None,
        },
        HoldReason::Baking {
            step: 1,
            until: None,
            counted_secs: 0,
        },
        HoldReason::Reverting { back: 0, groups: 1 },
        HoldReason::Paused { reason: None },
        HoldReason::JobsUnseen {},
        HoldReason::JobsMoving {
            to: JobSide::New,
            off_since: None,
        },
    ] {
        assert_eq!(hold(reason.clone(), false), (false, false), "{reason:?}");
        assert_eq!(hold(reason.clone(), true), (false, false), "{reason:?}");
    }
    let frozen = HoldReason::Frozen {
        until: None,
        reason: "sale".to_owned(),
    };
    assert_eq!(hold(frozen.clone(), false), (true, false));
    assert_eq!(hold(frozen, true), (true, false), "nobody is woken for it");
    let clock = HoldReason::Clock { message: message() };
    assert_eq!(hold(clock.clone(), true), (true, true));
    assert_eq!(hold(clock, false), (true, false));
}

#[test]
fn what_the_fleet_tells_goes_by_the_words_of_what_it_stands_for() {
    let at: Timestamp = "2026-11-21T09:00:00Z".parse().expect("a timestamp");
    let event = Event::FleetHeld {
        reason: HoldReason::AlarmRed {
            alarm: alarm("errors").into(),
            started: false,
        },
        services: 3,
        named: Vec::new(),
        since: at,
    };
    let entry = entry(event);
    let topics = topics(&[], &entry, true);
    for word in ["fleet_held", "step_held", "alarm_red", INFO, PAGE] {
        assert!(channel(word).wants(&topics), "{word}");
    }
    assert!(!channel("drift").wants(&topics));
}

#[test]
fn a_hold_is_news_once_and_again_when_it_comes_back_late() {
    let mut world = baking();
    let drift = HoldReason::AlreadyAtBaseline {};
    let because = vec![drift.clone()];
    let held = Event::StepHeld { because };
    let news = |world: &World| {
        fresh(
            Some(world.state()),
            &Envelope {
                at: world.now,
                ..entry(held.clone())
            },
        )
    };
    assert_eq!(news(&world), std::slice::from_ref(&drift));
    world.append("controller", held.clone());
    assert_eq!(news(&world), [], "it is known");
    let because = Vec::new();
    world.append("controller", Event::StepHeld { because });
    world.pass(20 * 60 - 1);
    assert_eq!(news(&world), [], "it ended lately");
    world.pass(1);
    assert_eq!(news(&world), [drift]);
}

#[test]
fn every_word_that_a_channel_may_ask_for_is_an_events_or_a_holds() {
    let gone = Event::Halted {
        reason: HaltReason::Drift {
            groups: Vec::new(),
            found: Vec::new(),
        },
    };
    for label in [gone.label(), "reverted", "alarm_red", "jobs_both_off"] {
        assert!(KINDS.contains(&label), "{label}");
    }
    let mut words = KINDS.to_vec();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), KINDS.len(), "each is there once");
}

#[test]
fn a_channel_is_known_by_its_service_and_its_address_and_names_its_secrets() {
    let secret = |text: &str| text.parse().expect("it names a secret");
    for (via, id, secrets) in [
        (Via::Log {}, "log", vec![]),
        (
            Via::Command {
                argv: vec!["page".to_owned(), "sre".to_owned()],
            },
            "command page\u{1f}sre",
            vec![],
        ),
        (
            Via::SlackWebhook {
                webhook: secret("${SLACK_URL}"),
            },
            "slack ${SLACK_URL}",
            vec!["${SLACK_URL}"],
        ),
        (
            Via::SlackThread {
                token: secret("file:/run/token"),
                channel: "#cutovers".to_owned(),
                api: "https://slack.com/api".to_owned(),
            },
            "slack #cutovers",
            vec!["file:/run/token"],
        ),
        (
            Via::Sns {
                topic_arn: "arn:aws:sns:eu-west-1:111111111111:t".to_owned(),
            },
            "sns arn:aws:sns:eu-west-1:111111111111:t",
            vec![],
        ),
        (
            Via::Webhook {
                url: Address::from("https://x.example/h".to_owned()),
                secret: None,
            },
            "webhook https://x.example/h",
            vec![],
        ),
        (
            Via::Webhook {
                url: Address::from("${HOOK_URL}".to_owned()),
                secret: Some(secret("${KEY}")),
            },
            "webhook ${HOOK_URL}",
            vec!["${HOOK_URL}", "${KEY}"],
        ),
    ] {
        let names: Vec<String> = via.secrets().iter().map(ToString::to_string).collect();
        assert_eq!(names, secrets, "{id}");
        let channel = Channel {
            via,
            ..channel(PAGE)
        };
        assert_eq!(channel.id(), id);
        let json = serde_json::to_string(&channel).expect("it is JSON");
        assert_eq!(
            serde_json::from_str::<Channel>(&json).expect("it reads back"),
            channel
        );
    }
}

#[test]
fn the_log_gets_pages_and_a_command_their_ends_too_and_nothing_else() {
    let command = Via::Command {
        argv: vec!["page".to_owned()],
    };
    let told = |via: &Via, pages: bool, settles: &[Paged]| {
        let (entry, settles) = (
            entry(Event::Reverted { cancelled: false }),
            settles.to_vec(),
        );
        let channel = Channel {
            via: via.clone(),
            ..channel(PAGE)
        };
        let (_, told) = News::of_fleet(settles).notice(&entry, pages, None, vec![channel]);
        !told.is_empty()
    };
    let ends = [Paged::Event("halted")];
    assert!(told(&Via::Log {}, true, &[]) && told(&command, true, &[]));
    assert!(!told(&Via::Log {}, false, &ends) && told(&command, false, &ends));
    assert!(!told(&Via::Log {}, false, &[]) && !told(&command, false, &[]));
}

#[test]
fn a_hold_that_is_back_soon_is_told_to_services_that_paged_for_it_and_to_no_command() {
    let mut world = baking();
    let held = |because: Vec<HoldReason>| Event::StepHeld { because };
    let drift = HoldReason::AlreadyAtBaseline {};
    world.append("controller", held(vec![drift.clone()]));
    world.append("controller", held(Vec::new()));
    let back = Envelope {
        at: world.now,
        ..entry(held(vec![drift]))
    };
    let command = Via::Command {
        argv: vec!["page".to_owned()],
    };
    let command = Channel {
        via: command,
        ..channel(PAGE)
    };
    let news = News::of(Some(world.state()), &back);
    let (_, told) = news.notice(&back, false, None, vec![command, channel(PAGE)]);
    assert_eq!(told, [channel(PAGE)]);
}

#[test]
fn a_command_is_shown_without_what_looks_like_a_secret() {
    let argv = ["page", "--token", "xoxb-1234567890-abcdefghij"];
    let channel = Channel {
        via: Via::Command {
            argv: argv.map(str::to_owned).to_vec(),
        },
        ..channel(PAGE)
    };
    let shown = channel_shown(&channel.id());
    assert!(shown.starts_with("command page --token "), "{shown}");
    assert!(!shown.contains("xoxb"), "{shown}");
}

#[test]
fn a_notice_has_one_key_and_says_where_the_cutover_stands() {
    let mut notice = Notice {
        entry: entry(Event::Completed { adopted: None }),
        pages: false,
        settles: Vec::new(),
        causes: Vec::new(),
        others: Vec::new(),
        standing: None,
        test: false,
    };
    assert_eq!(
        (notice.idempotency_key().as_str(), notice.kind()),
        ("api/7", "completed")
    );
    assert_eq!(key(&CutoverName::from("other"), 12), "other/12");
    notice.test = true;
    let of_test = "api/test-1795251600250";
    assert_eq!(
        (notice.idempotency_key().as_str(), notice.kind()),
        (of_test, "notify_test")
    );
    let mut world = World::new(simple());
    let mut standing = Standing {
        phase: Phase::Waiting,
        paused: false,
        step: 0,
        steps: 2,
        share: Share::ZERO,
    };
    assert_eq!(Standing::of(world.state()), standing);
    world.run_to_bake(1);
    world.ask(Event::PauseRequested { reason: None });
    standing.phase = Phase::Baking;
    (standing.paused, standing.step) = (true, 1);
    standing.share = Share::percent(10);
    assert_eq!(Standing::of(world.state()), standing);
}

use super::*;
use crate::event::{Envelope, Event};
use crate::hold::{HaltReason, HoldReason};
use crate::paged::Paged;

fn channel(on: &[&str], except: &[&str]) -> Channel {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Channel {
        via: Via::Sns {
            topic_arn: "arn:aws:sns:eu-west-1:111111111111:t".to_owned(),
        },
        on: owned(on),
        except: owned(except),
    }
}

fn entry(event: Event) -> Envelope {
    Envelope {
        cutover: "api".into(),
        attempt: 1,
        seq: 7,
        at: "2026-11-21T09:00:00Z".parse().unwrap(),
        actor: "controller c".to_owned(),
        version: 1,
        event,
    }
}

fn told(channel: &Channel, event: Event, pages: bool) -> bool {
    let entry = entry(event);
    channel.wants(&topics(&fresh(None, &entry), &entry, pages))
}

fn halted() -> Event {
    let message = "both weights are 0".to_owned();
    Event::Halted {
        reason: HaltReason::Invariant { message },
    }
}

fn held(because: &[HoldReason]) -> Event {
    Event::StepHeld {
        because: because.to_vec(),
    }
}

#[test]
fn a_channel_for_pages_hears_what_wakes_and_one_for_information_hears_both() {
    let (pages, infos) = (channel(&[PAGE], &[]), channel(&[INFO], &[]));
    for channel in [&pages, &infos] {
        assert!(told(channel, halted(), true));
        assert!(!told(channel, Event::GatesPassed {}, false));
        assert!(!told(
            channel,
            Event::PageSent {
                of: 3,
                logged_only: false,
                skipped: Vec::new()
            },
            false
        ));
    }
    assert!(!told(&pages, Event::Completed { adopted: None }, false));
    assert!(told(&infos, Event::Completed { adopted: None }, false));
}

#[test]
fn kinds_add_to_what_a_channel_hears_and_exceptions_take_away() {
    let some = channel(&[PAGE, "completed", "bake_started"], &["approval"]);
    assert!(told(&some, Event::Completed { adopted: None }, false));
    assert!(told(&some, Event::BakeStarted { step: 1 }, false));
    assert!(!told(&some, Event::StepCompleted { step: 1 }, false));
    let (approval, drift) = (
        HoldReason::Approval { step: 2 },
        HoldReason::AlreadyAtBaseline {},
    );
    assert!(!told(&some, held(std::slice::from_ref(&approval)), true));
    assert!(told(&some, held(&[drift, approval.clone()]), true));
    let asked = channel(&["approval"], &[]);
    assert!(told(&asked, held(&[approval]), true));
    assert!(!told(&asked, halted(), true));
}

#[test]
fn who_got_a_page_is_told_its_end_and_nobody_else_whatever_on_and_except_say() {
    let ended = entry(Event::Reverted { cancelled: false });
    let mut topics = topics(&[], &ended, false);
    topics.extend(follow_ups(&ended, &[Paged::Event("revert_intended")], &[]));
    assert!(channel(&[PAGE], &[]).wants(&topics));
    assert!(channel(&[PAGE], &["reverted"]).wants(&topics));
    assert!(channel(&["revert_intended"], &[]).wants(&topics));
    assert!(!channel(&[PAGE], &["revert_intended"]).wants(&topics));
    assert!(!channel(&["drift"], &[]).wants(&topics));
}

#[test]
fn a_hold_that_was_known_and_one_that_is_routine_are_no_news() {
    let infos = channel(&[INFO], &[]);
    let shut = HoldReason::Paused { reason: None };
    let full = |in_flight| HoldReason::FleetFull { in_flight, max: 9 };
    assert!(!told(&infos, held(&[shut]), false));
    assert!(told(&infos, held(&[full(9)]), false));
    let again = entry(held(&[full(10)]));
    assert!(!infos.wants(&topics(&[], &again, false)), "it was known");
}

#[test]
fn secrets_are_named_by_variable_or_file_and_by_nothing_else() {
    let read = |text: &str| text.parse::<SecretRef>();
    let variable = SecretRef::Environment("SLACK_URL".to_owned());
    assert_eq!(read("${SLACK_URL}"), Ok(variable));
    let file = || SecretRef::File("/run/secrets/x".to_owned());
    assert_eq!(read("file:/run/secrets/x"), Ok(file()));
    assert_eq!(read("file:///run/secrets/x"), Ok(file()));
    assert_eq!(read("${file:/run/secrets/x}"), Ok(file()));
    for kept in ["${A}", "file:/x"] {
        assert_eq!(read(kept).unwrap().to_string(), kept);
    }
    assert_eq!(read("xoxb-1"), Err(MalformedRef::Literal));
    assert_eq!(read("https://${HOST}/x"), Err(MalformedRef::Literal));
    for wrong in ["$A", "${}", "${1A}", "${A B}", "${A}x"] {
        assert_eq!(read(wrong), Err(MalformedRef::NotAName), "{wrong}");
    }
    for wrong in ["file:x", "file:/", "${file:x}"] {
        assert_eq!(read(wrong), Err(MalformedRef::NotAbsolute), "{wrong}");
    }
}

#[test]
fn a_channel_is_known_by_where_it_is_and_names_no_secret() {
    let mut hook = channel(&[PAGE], &[]);
    hook.via = Via::Webhook {
        url: Address::from("https://x.example/h".to_owned()),
        secret: Some("${KEY}".parse().unwrap()),
    };
    assert_eq!(hook.id(), "webhook https://x.example/h");
    assert_eq!(hook.via.secrets().len(), 1);
    let json = serde_json::to_value(&hook).unwrap();
    assert_eq!(json["via"], "webhook");
    assert_eq!(json["secret"], "${KEY}");
    assert_eq!(serde_json::from_value::<Channel>(json).unwrap(), hook);
}

#[test]
fn a_notify_of_the_first_version_is_read() {
    let old: Notify = serde_json::from_str(r#"{"command":["page","sre"]}"#).unwrap();
    assert_eq!((old.command.len(), old.channels.len()), (2, 0));
    let json = serde_json::to_string(&old).unwrap();
    assert_eq!(json, r#"{"command":["page","sre"]}"#);
}

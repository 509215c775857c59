//! What people get over channels.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cutover::engine::event::Event;
use cutover::engine::hold::HoldReason;
use cutover::engine::notify::{Channel, Notice, PAGE, SecretRef, Standing, Via};
use cutover::engine::paged::Paged;
use cutover::engine::state::Phase;
use cutover::engine::units::Share;
use cutover::notify::{Channels, Words};
use cutover::ports::{Clock, Delivery, Notifier, Publication, Topics, Undelivered};
use cutover::report::notice;
use jiff::Timestamp;
use serde_json::Value;

use super::{entry, is_clean, nasty_events, nasty_holds, now};
use crate::support::post_door::PostDoor;

/// A clock that stands still.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// Keeps what is published.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Publication>>);

#[async_trait]
impl Topics for Kept {
    async fn publish(&self, publication: &Publication) -> Result<(), Undelivered> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(publication.clone());
        Ok(())
    }
}

fn notice(event: Event, pages: bool, settles: Vec<Paged>) -> Notice {
    Notice {
        entry: entry(event),
        pages,
        settles,
        causes: Vec::new(),
        others: Vec::new(),
        standing: Some(Standing {
            phase: Phase::Baking,
            paused: false,
            step: 1,
            steps: 3,
            share: Share::percent(5),
        }),
        test: false,
    }
}

/// Every event with nasty texts as a page and as news, and the end of every hold.
fn notices() -> Vec<Notice> {
    let mut all = Vec::new();
    for event in nasty_events() {
        all.push(notice(event.clone(), true, Vec::new()));
        all.push(notice(event, false, Vec::new()));
    }
    for hold in nasty_holds() {
        let over = Event::StepHeld {
            because: vec![HoldReason::Paused { reason: None }],
        };
        all.push(notice(over, false, vec![Paged::Hold(hold)]));
    }
    all
}

/// On one line, without anything that acts on what shows it.
fn assert_one_clean_line(text: &str) {
    assert!(is_clean(text) && !text.contains('\n'), "{text:?}");
}

#[tokio::test]
async fn no_text_of_others_makes_a_line_of_a_page_or_acts_where_it_is_read() {
    let (door, topics) = (PostDoor::start(), Arc::new(Kept::default()));
    let url = door.url("/slack");
    let words = Words {
        line: Arc::new(notice::line),
        headline: Arc::new(notice::headline),
    };
    let environment: cutover::reach::secrets::Environment = Arc::new(move |_| Some(url.clone()));
    let kept: Arc<dyn Topics> = topics.clone();
    let channels = Channels::new(words, environment, kept, Arc::new(Stopped));
    let all = notices();
    assert!(all.len() > 1_000, "{} notices", all.len());
    for (number, notice) in all.into_iter().enumerate() {
        let webhook = "${URL}".parse::<SecretRef>().expect("a reference");
        let topic_arn = "arn:aws:sns:us-east-1:111111111111:cutovers".to_owned();
        let mut vias = vec![Via::Sns { topic_arn }];
        // A text goes the same way over Slack; some of them are enough to see that.
        if number % 10 == 0 {
            vias.push(Via::SlackWebhook { webhook });
        }
        for via in vias {
            let channel = Channel {
                via,
                on: vec![PAGE.to_owned()],
                except: Vec::new(),
            };
            let delivery = Delivery {
                channel,
                notice: notice.clone(),
                memo: None,
            };
            channels.deliver(&delivery).await.expect("it is delivered");
        }
    }
    let published = topics.0.lock().unwrap_or_else(PoisonError::into_inner);
    for publication in published.iter() {
        assert_one_clean_line(&publication.subject);
        let message: Value = serde_json::from_str(&publication.message).expect("JSON");
        for people in ["email", "sms"] {
            assert_one_clean_line(message[people].as_str().expect("a text"));
        }
    }
    let posted = door.posted("/slack");
    assert!(posted.len() > 100, "{} posts", posted.len());
    for post in posted {
        let body = post.json();
        assert_one_clean_line(body["text"].as_str().expect("a text"));
    }
}

//! Channels with the built program: what arrives, under which key and signature, through kills and dead endpoints; and that
//! secrets are nowhere but there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::scene::{GATES, NAME, PLAN, Plan, Scene};
use crate::support::moto::Moto;
use crate::support::post_door::{Mood, PostDoor, Posted};
use crate::support::program::{pause, until};
use crate::support::python::python;

/// What is known only to the process and the other side.
const SECRETS: [&str; 3] = [
    "hunter2-signing-key",
    "xoxb-1234-bot-token",
    "T000/B000/webhook-path",
];

const TOPIC: &str = "arn:aws:sns:eu-west-1:111111111111:cutovers";

/// A scene whose plan tells every kind of channel.
fn scene(plan: &Plan, notify: &str, door: &PostDoor) -> Scene {
    let scene = Scene::new(plan);
    scene.write(PLAN, &format!("{}notify:\n{notify}", plan.text()));
    scene.set("HOOK_SECRET", SECRETS[0]);
    scene.set("SLACK_TOKEN", SECRETS[1]);
    let webhook = door.url(&format!("/services/{}", SECRETS[2]));
    scene.write("slack-url", &format!("{webhook}\n"));
    scene.set("AWS_ENDPOINT_URL_SNS", &door.url("/sns"));
    scene
}

fn webhook(door: &PostDoor) -> String {
    format!(
        "  webhook:\n    url: {}\n    secret: ${{HOOK_SECRET}}\n    on: info\n",
        door.url("/hook")
    )
}

/// The numbers of the entries that arrived, in the order in which they did.
fn seqs(posted: &[Posted]) -> Vec<u64> {
    let seq = |posted: &Posted| posted.json()["data"]["seq"].as_u64().expect("a number");
    posted.iter().map(seq).collect()
}

/// The entries that a channel `on: info` is told of, by the program's own history, as far as their types say it.
fn noteworthy(scene: &Scene) -> BTreeSet<u64> {
    let types = [
        "plan_accepted",
        "weights_verified",
        "step_completed",
        "completed",
        "revert_intended",
        "reverted",
    ];
    let of_note = |entry: &Value| {
        let kind = entry["event"]["type"].as_str().expect("a type");
        types
            .contains(&kind)
            .then(|| entry["seq"].as_u64().expect("a number"))
    };
    scene.history(NAME).iter().filter_map(of_note).collect()
}

/// All bytes of all files of a folder, as text.
fn everything_in(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.push_str(&everything_in(&path));
        } else if !path.ends_with("slack-url") {
            all.push_str(&String::from_utf8_lossy(
                &fs::read(&path).unwrap_or_default(),
            ));
        }
    }
    all
}

/// Whether Python's own `hmac` makes the same signature.
fn python_agrees(posted: &Posted) -> bool {
    let script = "
import base64, hashlib, hmac, json, sys
posted = json.load(sys.stdin)
headers = posted['headers']
signed = headers['webhook-id'] + '.' + headers['webhook-timestamp'] + '.' + posted['body']
code = hmac.new(sys.argv[1].encode(), signed.encode(), hashlib.sha256).digest()
print(hmac.compare_digest('v1,' + base64.b64encode(code).decode(), headers['webhook-signature']))
";
    let mut child = Command::new(python())
        .args(["-c", script, SECRETS[0]])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python starts");
    let posted = serde_json::json!({ "headers": posted.headers, "body": posted.body });
    let stdin = child.stdin.take().expect("a pipe");
    serde_json::to_writer(stdin, &posted).expect("python reads");
    let output = child.wait_with_output().expect("python ends");
    String::from_utf8_lossy(&output.stdout).trim() == "True"
}

#[test]
fn every_channel_is_told_in_its_own_way_and_secrets_are_nowhere_else() {
    let door = PostDoor::start();
    let notify = format!(
        "{}  slack:\n    - webhook: file:SLACK_FILE\n      on: [ completed, revert_intended ]\n    - token: ${{SLACK_TOKEN}}\n      \
         channel: '#deploys'\n      api: {}\n      on: info\n  sns: {{ topic_arn: '{TOPIC}', on: info }}\n",
        webhook(&door),
        door.url("/api")
    );
    let plan = Plan::default();
    let scene = scene(&plan, &notify, &door);
    let file = scene.path("slack-url").display().to_string();
    let text = format!("{}notify:\n{notify}", plan.text());
    scene.write(PLAN, &text.replace("SLACK_FILE", &file));
    assert_eq!(scene.run(PLAN).exit_code(), 0, "{}", scene.everything(NAME));

    let hooks = door.posted("/hook");
    let told = seqs(&hooks);
    assert!(told.is_sorted(), "{told:?}");
    let told: BTreeSet<u64> = told.into_iter().collect();
    assert!(told.is_superset(&noteworthy(&scene)), "{told:?}");
    let last = hooks.last().expect("something");
    let event = last.json();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["type"], "cutover.completed");
    assert_eq!(event["id"], last.headers["webhook-id"].as_str());
    assert_eq!(event["data"]["phase"], "completed");
    assert_eq!(event["data"]["level"], "info");
    assert!(last.headers["content-type"].starts_with("application/cloudevents+json"));
    assert!(python_agrees(last));

    let slack = door.posted("/services/");
    assert_eq!(slack.len(), 1, "only what it is told `on`");
    let text = slack[0].json()["text"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("api: completed"), "{text}");

    let posts = door.posted("/api/chat.postMessage");
    assert!(posts[0].json()["thread_ts"].is_null());
    let ts = posts[1].json()["thread_ts"]
        .as_str()
        .expect("a reply")
        .to_owned();
    assert!(
        posts[1..]
            .iter()
            .all(|post| post.json()["thread_ts"] == ts.as_str())
    );
    assert_eq!(posts.len(), told.len() + 1);
    let updates = door.posted("/api/chat.update");
    let newest = updates.last().expect("an update").json();
    assert_eq!(
        (newest["ts"].as_str(), newest["channel"].as_str()),
        (Some(ts.as_str()), Some("C0123"))
    );
    let headline = newest["text"].as_str().expect("a text");
    assert_eq!(
        headline,
        "api: completed: all traffic is on the new cluster"
    );
    let bearer = format!("Bearer {}", SECRETS[1]);
    assert_eq!(posts[0].headers["authorization"], bearer);

    let topics = door.posted("/sns");
    assert_eq!(topics.len(), told.len());
    let newest = &topics.last().expect("a publication").body;
    assert!(
        newest.starts_with("Action=Publish&Version=2010-03-31"),
        "{newest}"
    );
    assert!(topics[0].headers["authorization"].contains("/eu-west-1/sns/aws4_request"));

    let written = everything_in(&scene.path("."));
    let shown = scene.ok(&["history", NAME, "--format", "json"]).stdout;
    for secret in SECRETS {
        assert!(!written.contains(secret), "{secret} is in a file");
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

#[test]
fn killed_while_it_delivers_it_tells_everything_under_the_same_keys() {
    let door = PostDoor::start();
    door.mood(Mood {
        takes: Duration::from_millis(150),
        ..Mood::default()
    });
    let scene = scene(&Plan::default(), &webhook(&door), &door);
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..4 {
        let mut run = scene.run(PLAN);
        let before = door.posted("/hook").len();
        // In the midst of a delivery, or right after it.
        let mut told = || door.posted("/hook").len() > before || !run.is_alive();
        until(|| told().then_some(())).expect("something is told");
        pause(Duration::from_millis(rng.u64(0..400)));
        run.kill();
    }
    // It waits for the claim of the one that was killed.
    assert_eq!(scene.run(PLAN).exit_code(), 0, "{}", scene.everything(NAME));
    let everything = || {
        let told: BTreeSet<u64> = seqs(&door.posted("/hook")).into_iter().collect();
        told.is_superset(&noteworthy(&scene)).then_some(())
    };
    let posted = door.posted("/hook");
    assert!(everything().is_some(), "{:?}", seqs(&posted));
    let mut seen = BTreeSet::new();
    let first: Vec<u64> = seqs(&posted)
        .into_iter()
        .filter(|seq| seen.insert(*seq))
        .collect();
    assert!(first.is_sorted(), "{first:?}");
    for posted in &posted {
        let key = format!("{NAME}/{}", posted.json()["data"]["seq"]);
        assert_eq!(posted.headers["webhook-id"], key);
    }
}

#[test]
fn a_dead_endpoint_delays_nothing_and_is_shown_until_it_is_back() {
    let door = PostDoor::start();
    door.mood(Mood {
        status: Some(503),
        takes: Duration::from_secs(1),
        ..Mood::default()
    });
    let slack = "  slack: { webhook: 'file:SLACK_FILE', on: info }\n";
    let plan = Plan::resting_at_first_step();
    let scene = scene(&plan, slack, &door);
    let file = scene.path("slack-url").display().to_string();
    let text = format!("{}notify:\n{slack}", plan.text());
    scene.write(PLAN, &text.replace("SLACK_FILE", &file));
    let mut run = scene.run(PLAN);
    let status = scene.wait_for("trouble", NAME, |status| {
        status["phase"] == "baking" && status["notifications"][0]["tries"].as_u64() > Some(1)
    });
    let trouble = &status["notifications"][0];
    let message = trouble["message"].as_str().expect("a message");
    assert!(message.starts_with("HTTP 503"), "{message}");
    let said = scene.ok(&["status"]).stdout;
    let line = said
        .lines()
        .find(|line| line.contains("notifications of api"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("has failed since"), "{line}");
    scene.red(GATES[0]);
    scene.wait_for_phase(NAME, "reverted");
    // It owes a page (semantics L10).
    pause(Duration::from_secs(6));
    assert!(run.is_alive(), "{}", scene.everything(NAME));
    door.mood(Mood::default());
    assert_eq!(run.exit_code(), 20, "{}", scene.everything(NAME));
    assert!(!scene.logs().contains(SECRETS[2]), "{}", scene.logs());
    assert!(!said.contains(SECRETS[2]), "{said}");
    assert_eq!(scene.status(NAME)["notifications"], serde_json::json!([]));
    let texts: Vec<String> = door
        .posted("/services/")
        .iter()
        .map(|posted| posted.json()["text"].as_str().expect("a text").to_owned())
        .collect();
    assert!(
        texts.last().expect("told").contains("reverted"),
        "{texts:#?}"
    );
}

#[test]
fn who_was_woken_by_a_revert_is_told_that_the_traffic_is_back() {
    let door = PostDoor::start();
    let plan = Plan::resting_at_first_step();
    let default = format!("  webhook: {{ url: '{}' }}\n", door.url("/hook"));
    let scene = scene(&plan, &default, &door);
    let mut run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    scene.red(GATES[0]);
    assert_eq!(run.exit_code(), 20, "{}", scene.everything(NAME));
    let told: Vec<Value> = door.posted("/hook").iter().map(Posted::json).collect();
    let kinds: Vec<&str> = told
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(kinds, ["cutover.revert_intended", "cutover.reverted"]);
    let message = told[0]["data"]["message"].as_str().expect("a message");
    assert!(message.contains("revert: alarm"), "{message}");
    let resolves = serde_json::json!(["revert_intended"]);
    assert_eq!(told[1]["data"]["resolves"], resolves, "{}", told[1]);
    let history = scene.ok(&["history", NAME]).stdout;
    assert!(!history.contains("logged only"), "{history}");
}

#[test]
fn a_plan_that_tells_nobody_is_warned_about_and_its_pages_are_logged_only() {
    let plan = Plan::resting_at_first_step();
    let scene = Scene::new(&plan);
    scene.write(PLAN, &plan.text());
    let checked = scene.ok(&["check", PLAN]).stdout;
    assert!(checked.contains("no `notify`: pages of api"), "{checked}");
    let mut run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    scene.red(GATES[0]);
    assert_eq!(run.exit_code(), 20, "{}", scene.everything(NAME));
    let history = scene.ok(&["history", NAME]).stdout;
    assert!(history.contains("logged only"), "{history}");
}

#[test]
fn notify_test_says_what_each_channel_answered() {
    let door = PostDoor::start();
    let notify = format!(
        "  command: [ sh, -c, 'cat > told.json' ]\n{}",
        webhook(&door)
    );
    let scene = scene(&Plan::default(), &notify, &door);
    let said = scene.ok(&["notify-test", PLAN]);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert!(lines[0].starts_with("delivered command sh -c"), "{said:?}");
    assert!(
        lines[1].starts_with("delivered webhook http://"),
        "{said:?}"
    );
    let event = door.posted("/hook")[0].json();
    assert_eq!(event["type"], "cutover.notify_test");
    let told = fs::read_to_string(scene.path("told.json")).expect("the command ran");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["event"]["type"], "notify_test");

    door.mood(Mood {
        status: Some(302),
        ..Mood::default()
    });
    let said = scene.say(&["notify-test", PLAN, "--format", "json"]);
    assert_eq!(said.code, Some(1));
    let rows: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(rows[1]["ok"], false);
    assert_eq!(rows[1]["message"], "HTTP 302: redirects are not followed");
    assert_eq!(door.posted("/elsewhere").len(), 0);
    assert_eq!(scene.say(&["notify-test", "no-such"]).code, Some(2));
}

#[test]
fn a_secret_that_is_not_there_is_said_before_anything_starts() {
    let door = PostDoor::start();
    let scene = Scene::new(&Plan::resting_at_first_step());
    let text = format!(
        "{}notify:\n{}",
        Plan::resting_at_first_step().text(),
        webhook(&door)
    );
    scene.write(PLAN, &text);
    let said = scene.say(&["run", PLAN, "--once"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.stderr
            .contains("api: webhook: the environment has no HOOK_SECRET"),
        "{said:?}"
    );
    let said = scene.say(&["notify-test", PLAN]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.stdout.contains("the environment has no HOOK_SECRET"),
        "{said:?}"
    );
    // What is under way is guarded all the same.
    scene.set("HOOK_SECRET", SECRETS[0]);
    let run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "baking");
    run.kill();
    scene.set("HOOK_SECRET", "");
    scene.red(GATES[0]);
    let mut run = scene.run(PLAN);
    scene.wait_for_phase(NAME, "reverted");
    // It owes the page that it cannot deliver, and can be stopped all the same (semantics L10).
    run.terminate();
    assert_eq!(run.exit_code(), 0, "{}", scene.everything(NAME));
    assert!(
        run.log().contains("a channel cannot be used"),
        "{}",
        run.log()
    );
}

#[test]
fn a_secret_that_is_written_into_a_plan_is_refused_and_not_shown() {
    let door = PostDoor::start();
    let literal = format!(
        "  slack: {{ webhook: '{}' }}\n",
        door.url(&format!("/services/{}", SECRETS[2]))
    );
    let scene = scene(&Plan::default(), &literal, &door);
    for format in ["human", "json"] {
        let said = scene.say(&["check", PLAN, "--format", format]);
        assert_eq!(said.code, Some(10));
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("contains the secret itself"), "{all}");
        assert!(!all.contains(SECRETS[2]), "{all}");
    }
}

#[test]
fn a_topic_of_an_emulator_by_others_gets_text_for_people_and_the_event_for_programs() {
    let moto = Moto::start();
    let made = moto.python(
        "
sns, sqs = boto3.client('sns', **kw), boto3.client('sqs', **kw)
topic = sns.create_topic(Name='cutovers')['TopicArn']
queue = sqs.create_queue(QueueName='told')['QueueUrl']
arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=['QueueArn'])['Attributes']['QueueArn']
sns.subscribe(TopicArn=topic, Protocol='sqs', Endpoint=arn)
print(topic)
",
    );
    let door = PostDoor::start();
    let scene = scene(
        &Plan::default(),
        &format!("  sns: {{ topic_arn: '{made}' }}\n"),
        &door,
    );
    scene.set("AWS_ENDPOINT_URL_SNS", &moto.endpoint());
    let said = scene.say(&["notify-test", PLAN]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let got = moto.python(
        "
sqs = boto3.client('sqs', **kw)
queue = sqs.get_queue_url(QueueName='told')['QueueUrl']
body = json.loads(sqs.receive_message(QueueUrl=queue)['Messages'][0]['Body'])
print(json.dumps({'subject': body['Subject'], 'event': json.loads(body['Message']), 'attributes': body['MessageAttributes']}))
",
    );
    let got: Value = serde_json::from_str(&got).expect("JSON");
    assert_eq!(got["event"]["type"], "cutover.notify_test");
    assert_eq!(got["attributes"]["level"]["Value"], "info");
    let subject = got["subject"].as_str().expect("a subject");
    assert!(
        subject.starts_with("[info] api: a test of notifications"),
        "{subject}"
    );
    scene.plan(&Plan::default());
    let other = format!(
        "{}notify: {{ sns: '{made}-not-there' }}\n",
        Plan::default().text()
    );
    scene.write(PLAN, &other);
    let said = scene.say(&["notify-test", PLAN]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("Publish: NotFound"), "{said:?}");
}

#[test]
fn slack_that_answers_slowly_gets_one_thread_and_each_message_once() {
    let door = PostDoor::start();
    // Two requests of a message together take longer than one may.
    door.mood(Mood {
        takes: Duration::from_secs(6),
        ..Mood::default()
    });
    let notify = format!(
        "  slack:\n    token: ${{SLACK_TOKEN}}\n    channel: '#deploys'\n    api: {}\n    on: completed\n",
        door.url("/api")
    );
    let scene = scene(&Plan::default(), &notify, &door);
    assert_eq!(scene.run(PLAN).exit_code(), 0, "{}", scene.everything(NAME));
    let posts = door.posted("/api/chat.postMessage");
    let replies = posts
        .iter()
        .filter(|post| !post.json()["thread_ts"].is_null());
    assert_eq!((posts.len(), replies.count()), (2, 1));
}

//! Services that are called over the loopback, with answers that are broken from the first byte of HTTP to the last one of
//! JSON. Every call must return, and with a short message.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use cutover::aws::{Aws, Options, connect};
use cutover::beside::hooks::RealHooks;
use cutover::beside::jobs::RealJobs;
use cutover::engine::event::{Envelope, Event};
use cutover::engine::hooks::HookAction;
use cutover::engine::jobs::JobHalf;
use cutover::engine::notify::{Address, Channel, Notice, SecretRef, Via};
use cutover::engine::plan::AwsSettings;
use cutover::notify::{Channels, Words};
use cutover::ports::{Clock, Delivery, HookRequest, Hooks, Jobs, Notifier, Publication, Topics};
use fastrand::Rng;
use jiff::Timestamp;
use tokio::runtime::Builder;

use super::{Play, mutate, plans};

/// The longest result of a call, as it is written for debugging: 16 KiB of which each character may be escaped.
const SAID_BYTES_MAX: usize = 120_000;

/// A clock that stands still.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        plans::now()
    }
}

/// A server that gives the latest answer that it got, whatever the request, and closes the connection.
struct AnswerServer {
    address: SocketAddr,
    answers: mpsc::Sender<Vec<u8>>,
}

fn server() -> &'static AnswerServer {
    static SERVER: OnceLock<AnswerServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (answers, handed) = mpsc::channel::<Vec<u8>>();
        std::thread::spawn(move || {
            let mut last = Vec::new();
            for stream in listener.incoming().flatten() {
                while let Ok(answer) = handed.try_recv() {
                    last = answer;
                }
                // The caller may have gone.
                drop(answer(stream, &last));
            }
        });
        AnswerServer { address, answers }
    })
}

/// Reads a request to its end and answers it.
fn answer(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut asked = Vec::new();
    let mut part = vec![0_u8; 65_536];
    loop {
        let count = stream.read(&mut part)?;
        asked.extend_from_slice(&part[..count]);
        if count == 0 || is_whole(&asked) {
            break;
        }
    }
    stream.write_all(answer)
}

fn is_whole(asked: &[u8]) -> bool {
    let asked = String::from_utf8_lossy(asked);
    let Some((head, body)) = asked.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head
        .split("content-length:")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let length: usize = length
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or_default();
    body.len() >= length
}

/// Answers of the services, good and bad ones.
const BODIES: [(u16, &str); 14] = [
    (
        200,
        r#"{"Name":"nightly","Arn":"arn:aws:events:us-east-1:1:rule/nightly","State":"ENABLED","ScheduleExpression":"rate(5 minutes)","EventBusName":"default"}"#,
    ),
    (
        200,
        r#"{"Name":"nightly","State":"DISABLED","ScheduleExpression":"cron(0 12 * * ? *)"}"#,
    ),
    (
        200,
        r#"{"Arn":"arn:aws:scheduler:us-east-1:1:schedule/g/n","Name":"n","GroupName":"g","State":"ENABLED","ScheduleExpression":"cron(0/15 8-17 ? * MON-FRI 2026)","ScheduleExpressionTimezone":"Europe/Berlin","FlexibleTimeWindow":{"Mode":"FLEXIBLE","MaximumWindowInMinutes":15},"Target":{"Arn":"arn:aws:lambda:us-east-1:1:function:f","RoleArn":"arn:aws:iam::1:role/r","Input":"{}"},"CreationDate":1764000000.5,"LastModificationDate":1764000000}"#,
    ),
    (
        200,
        r#"{"Name":"n","State":"ENABLED","ScheduleExpression":"at(2026-12-01T10:00:00)","FlexibleTimeWindow":{"Mode":"OFF"},"Target":{"Arn":"a","RoleArn":"r"}}"#,
    ),
    (
        200,
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>",
    ),
    (
        403,
        "<ErrorResponse><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>no &amp; no</Message></Error></ErrorResponse>",
    ),
    (
        400,
        r#"{"__type":"com.amazonaws#ResourceNotFoundException","message":"Rule nightly does not exist"}"#,
    ),
    (
        429,
        r#"{"__type":"ThrottlingException","Message":"Rate exceeded"}"#,
    ),
    (
        200,
        r#"{"ok":true,"channel":"C0123456789","ts":"1764579600.000100"}"#,
    ),
    (200, r#"{"ok":false,"error":"invalid_auth"}"#),
    (
        200,
        r#"{"ok":false,"error":"ratelimited","response_metadata":{"messages":["[ERROR] no"]}}"#,
    ),
    (200, "ok"),
    (404, "no_service"),
    (
        200,
        r#"{"spec":{"schedule":"*/5 * * * *","suspend":false,"timeZone":"Europe/Berlin"},"status":{"active":[{"name":"a"}]},"metadata":{"name":"n"}}"#,
    ),
];

/// A broken answer, as bytes of HTTP.
fn broken(rng: &mut Rng) -> Vec<u8> {
    let (status, body) = BODIES[rng.usize(0..BODIES.len())];
    let others = BODIES.map(|(_, body)| body.to_owned());
    let body = mutate::text(rng, body, &others);
    let mut text =
        format!("HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\nconnection: close\r\n");
    if rng.bool() {
        writeln!(text, "content-length: {}\r", body.len()).unwrap_or_default();
    }
    text.push_str("\r\n");
    text.push_str(&body);
    match rng.u8(0..8) {
        0 => mutate::bytes(rng, text.as_bytes()),
        1 => mutate::text(rng, &text, &[]).into_bytes(),
        _ => text.into_bytes(),
    }
}

fn kept(text: &str) -> SecretRef {
    text.parse().expect("a reference")
}

async fn aws(url: &str) -> Aws {
    let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "key", None, None, "test");
    connect(Options {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(url.to_owned()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        isolated: true,
        ..Options::from_environment(Arc::new(Stopped))
    })
    .await
}

/// Answers of services.
pub(super) fn services(play: &mut Play) -> Result<(), String> {
    let rng = &mut play.rng;
    let http = broken(rng);
    play.input = String::from_utf8_lossy(&http).into_owned();
    server().answers.send(http).expect("the server is there");
    let url = format!("http://{}", server().address);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let said = runtime.block_on(async {
        match rng.u8(0..8) {
            0..=2 => job(&url, rng).await,
            3 => topic(&url).await,
            4 | 5 => channel(&url, rng).await,
            6 => hook(&url).await,
            _ => command(&play.input, rng).await,
        }
    });
    if said.len() > SAID_BYTES_MAX {
        return Err(format!("a result of {} bytes", said.len()));
    }
    Ok(())
}

async fn job(url: &str, rng: &mut Rng) -> String {
    let jobs = aws(url).await.jobs;
    let (name, region, running) = ("nightly".to_owned(), None, None);
    let half = if rng.bool() {
        let bus = None;
        JobHalf::Rule {
            name,
            bus,
            region,
            running,
        }
    } else {
        let group = Some("g".to_owned());
        JobHalf::Schedule {
            name,
            group,
            region,
            running,
        }
    };
    let settings = AwsSettings::default();
    if rng.bool() {
        return format!("{:?}", jobs.look(&settings, &half).await);
    }
    format!("{:?}", jobs.turn(&settings, &half, rng.bool(), "key").await)
}

async fn topic(url: &str) -> String {
    let publication = Publication {
        topic_arn: "arn:aws:sns:us-east-1:111111111111:cutovers".to_owned(),
        subject: "a subject".to_owned(),
        message: "{}".to_owned(),
        attributes: BTreeMap::new(),
        group: "g".to_owned(),
        deduplication: "d".to_owned(),
    };
    format!("{:?}", aws(url).await.topics.publish(&publication).await)
}

async fn channel(url: &str, rng: &mut Rng) -> String {
    let words = Words {
        line: Arc::new(|_| "a line".to_owned()),
        headline: Arc::new(|_| "a headline".to_owned()),
    };
    let webhook = format!("{url}/hook");
    let environment: cutover::reach::secrets::Environment = Arc::new(move |name| match name {
        "URL" => Some(webhook.clone()),
        _ => Some("xoxb-secret".to_owned()),
    });
    let channels = Channels::new(
        words,
        environment,
        Arc::new(aws(url).await.topics),
        Arc::new(Stopped),
    );
    let via = match rng.u8(0..3) {
        0 => Via::SlackWebhook {
            webhook: kept("${URL}"),
        },
        1 => Via::SlackThread {
            token: kept("${TOKEN}"),
            channel: "#ops".to_owned(),
            api: url.to_owned(),
        },
        _ => Via::Webhook {
            url: Address::Plain(format!("{url}/x")),
            secret: None,
        },
    };
    let delivery = Delivery {
        channel: Channel {
            via,
            on: vec!["page".to_owned()],
            except: Vec::new(),
        },
        notice: Notice {
            entry: Envelope {
                cutover: "api".into(),
                attempt: 1,
                seq: 3,
                at: plans::now(),
                actor: "controller ctl-1".to_owned(),
                version: 1,
                event: Event::BakeStarted { step: 1 },
            },
            pages: true,
            settles: Vec::new(),
            causes: Vec::new(),
            others: Vec::new(),
            standing: None,
            test: false,
        },
        memo: rng
            .bool()
            .then(|| serde_json::json!({ "attempt": 1, "channel": "C1", "ts": "1.2" })),
    };
    format!("{:?}", channels.deliver(&delivery).await)
}

fn request(action: HookAction) -> HookRequest {
    HookRequest {
        action,
        timeout: Duration::from_secs(3),
        key: "key".to_owned(),
        input: "{}".to_owned(),
        detach: false,
    }
}

async fn hook(url: &str) -> String {
    let hooks = RealHooks::new(Arc::new(|_| Some("secret".to_owned())));
    let action = HookAction::Http {
        url: format!("{url}/done"),
        headers: vec![("x-token".to_owned(), "${TOKEN}".to_owned())],
    };
    format!("{:?}", hooks.call(&request(action)).await)
}

/// Output of a command: `kubectl`, the state of a job, a hook.
async fn command(input: &str, rng: &mut Rng) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (said, program) = (folder.path().join("said"), folder.path().join("program"));
    let body = input.split_once("\r\n\r\n").map_or(input, |(_, body)| body);
    std::fs::write(&said, body).expect("written");
    std::fs::write(
        &program,
        format!("#!/bin/sh\nexec cat '{}'\n", said.display()),
    )
    .expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("set");
    let argv = vec!["/bin/cat".to_owned(), said.display().to_string()];
    let nobody = Arc::new(aws("http://127.0.0.1:9").await.jobs);
    let jobs = RealJobs::new(nobody).with_kubectl(&program.display().to_string());
    let half = match rng.u8(0..3) {
        0 => JobHalf::CronJob {
            name: "nightly".to_owned(),
            namespace: None,
            context: None,
        },
        1 => JobHalf::Command {
            off: argv.clone(),
            on: argv.clone(),
            state: argv.clone(),
            running: Some(argv.clone()),
            detach: false,
        },
        _ => {
            let hooks = RealHooks::new(Arc::new(|_| None));
            return format!(
                "{:?}",
                hooks.call(&request(HookAction::Command(argv))).await
            );
        }
    };
    let settings = AwsSettings::default();
    let looked = jobs.look(&settings, &half).await;
    format!(
        "{looked:?} {:?}",
        jobs.turn(&settings, &half, true, "key").await
    )
}

//! Hooks: what a command and an HTTP server get, and what is kept of what they say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use cutover::beside::hooks::RealHooks;
use cutover::engine::hooks::HookAction;
use cutover::ports::{HookRequest, Hooks};

fn hooks() -> RealHooks {
    RealHooks::new(Arc::new(|name| {
        (name == "TOKEN").then(|| "s3cret".to_owned())
    }))
}

fn request(action: HookAction) -> HookRequest {
    HookRequest {
        action,
        timeout: Duration::from_secs(5),
        key: "api/1/2/before_step/1".to_owned(),
        input: r#"{"hook":"before_step"}"#.to_owned(),
        detach: false,
    }
}

fn shell(script: &str) -> HookAction {
    HookAction::Command(["sh", "-c", script].map(str::to_owned).to_vec())
}

#[tokio::test]
async fn a_command_gets_the_event_and_the_key_and_its_output_is_kept() {
    let answer = hooks()
        .call(&request(shell(
            "printf '%s ' \"$CUTOVER_IDEMPOTENCY_KEY\"; cat",
        )))
        .await;
    assert_eq!(answer.failure, None);
    assert_eq!(
        answer.output,
        r#"api/1/2/before_step/1 {"hook":"before_step"}"#
    );
}

#[tokio::test]
async fn a_command_that_fails_or_hangs_says_so() {
    let answer = hooks()
        .call(&request(shell("echo no such thing >&2; exit 3")))
        .await;
    let failure = answer.failure.expect("a failure");
    assert!(
        failure.contains("exit status: 3: no such thing"),
        "{failure}"
    );
    let silent = hooks().call(&request(shell("exit 3"))).await.failure;
    assert_eq!(silent.as_deref(), Some("`sh` ended with exit status: 3"));
    let mut hanging = request(shell("sleep 60"));
    hanging.timeout = Duration::from_millis(300);
    let failure = hooks().call(&hanging).await.failure.expect("a failure");
    assert!(failure.contains("did not end within"), "{failure}");
}

/// A server that takes one request, answers with this, and gives the request.
fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
    let address = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let (mut seen, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().expect("a length");
            }
            seen.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        seen.push_str(&String::from_utf8_lossy(&body));
        let mut stream = stream;
        write!(stream, "{answer}").expect("an answer can be sent");
        seen
    });
    (format!("http://{address}/hook"), server)
}

fn http(url: String) -> HookAction {
    let headers = vec![("authorization".to_owned(), "Bearer ${TOKEN}".to_owned())];
    HookAction::Http { url, headers }
}

#[tokio::test]
async fn a_server_gets_the_event_the_key_and_the_secret_and_the_secret_is_not_kept() {
    let (url, server) = serve("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\ngot s3cret ok");
    let answer = hooks().call(&request(http(url))).await;
    assert_eq!(answer.failure, None);
    assert_eq!(answer.output, "got [secret] ok");
    let seen = server.join().expect("a request");
    assert!(seen.starts_with("POST /hook HTTP/1.1"), "{seen}");
    let lower = seen.to_ascii_lowercase();
    assert!(
        lower.contains("idempotency-key: api/1/2/before_step/1"),
        "{seen}"
    );
    assert!(lower.contains("authorization: bearer s3cret"), "{seen}");
    assert!(lower.contains("content-type: application/json"), "{seen}");
    assert!(seen.ends_with(r#"{"hook":"before_step"}"#), "{seen}");
}

#[tokio::test]
async fn a_server_that_refuses_is_a_failure_without_the_secret() {
    let (url, server) = serve("HTTP/1.1 503 Busy\r\ncontent-length: 15\r\n\r\nbusy for s3cret");
    let answer = hooks().call(&request(http(url))).await;
    server.join().expect("a request");
    assert_eq!(
        answer.failure.as_deref(),
        Some("HTTP status 503: busy for [secret]")
    );
}

#[tokio::test]
async fn nothing_is_sent_where_a_secret_is_missing() {
    let action = HookAction::Http {
        url: "http://127.0.0.1:9/${NO_SUCH}".to_owned(),
        headers: Vec::new(),
    };
    let answer = hooks().call(&request(action)).await;
    let failure = answer.failure.expect("a failure");
    assert_eq!(failure, "the environment has no NO_SUCH");
}

#[tokio::test]
async fn no_more_is_kept_of_an_answer_than_of_a_commands_output() {
    let body = "[".repeat(50_000);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (url, server) = serve(Box::leak(answer.into_boxed_str()));
    let answer = hooks().call(&request(http(url))).await;
    server.join().expect("a request");
    assert_eq!((answer.failure, answer.output.len()), (None, 16 * 1024));
}

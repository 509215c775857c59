//! Replies of AWS that never end, through the real SDKs (semantics M8).

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::world::{Stream, start};
use crate::end_to_end::scene::{PLAN, Plan};
use crate::support::program::Program;

/// The most memory that the program may use, whatever it receives, in MiB.
pub(super) const MEMORY_MAX: u64 = 256;

/// Starts a server that answers every request with status 200 and a body that never ends. Returns its address.
fn endless(content_type: &'static str, begins: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || pour(stream, content_type, begins));
        }
    });
    format!("http://{address}")
}

/// Sends the body for as long as the client is connected.
fn pour(mut stream: TcpStream, content_type: &str, begins: &str) {
    let mut request = [0; 8192];
    let asked = stream.read(&mut request).unwrap_or_default();
    if asked == 0 {
        return;
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nsmithy-protocol: rpc-v2-cbor\r\n\
         connection: close\r\n\r\n{begins}"
    );
    let mut written = stream.write_all(head.as_bytes());
    let more = vec![b'x'; 64 * 1024];
    while written.is_ok() {
        written = stream.write_all(&more);
    }
}

#[test]
fn a_reply_without_end_fails_its_call_and_takes_no_memory() {
    for (content_type, begins) in [
        (
            "text/xml",
            "<?xml version=\"1.0\"?><ListHostedZonesByNameResponse>",
        ),
        ("application/cbor", "\u{7f}"),
    ] {
        let program = Program::new(&endless(content_type, begins));
        program.write(PLAN, &Plan::default().text());
        for args in [
            &["preview", PLAN][..],
            &["run", PLAN, "--once"],
            &["backtest", PLAN, "--since", "1h"],
        ] {
            let mut started = start(program.command(args), Stream::Kept, Stream::Kept);
            let peak = started.peak_memory();
            let code = started.code();
            let (said, peak) = (started.said(), peak.join().expect("a number"));
            assert!(peak < MEMORY_MAX, "{args:?}: {peak} MiB\n{said}");
            assert!(peak > 0, "{args:?}");
            let bounds = [
                "the reply is larger than 32 MiB",
                "the replies that are read at once are larger than 64 MiB",
            ];
            assert!(
                bounds.iter().any(|bound| said.contains(bound)),
                "{args:?}: {said}"
            );
            assert!(!said.contains("panicked"), "{args:?}: {said}");
            // `preview` fails, because a plan whose records cannot be read cannot start. The others say what they could
            // not read.
            if args[0] == "preview" {
                assert_ne!(code, Some(0), "{args:?}: {said}");
            }
        }
    }
}

#[test]
fn endless_replies_to_a_whole_fleet_take_no_more_memory_than_one() {
    let program = Program::new(&endless("text/xml", "<a>"));
    for number in 0..20 {
        let zone = |letter| format!("{letter}{number}.example.com");
        let record = |letter| (zone(letter), format!("api.{}", zone(letter)), "CNAME");
        let plan = Plan {
            name: format!("api-{number}"),
            records: ["a", "b"].map(record).to_vec(),
            ..Plan::default()
        };
        program.write(&format!("plans/{}.yaml", plan.name), &plan.text());
    }
    let run = program.command(&["run", "plans", "--once"]);
    let mut started = start(run, Stream::Kept, Stream::Kept);
    let peak = started.peak_memory();
    assert!(started.code().is_some(), "{}", started.said());
    let peak = peak.join().expect("a number");
    assert!((1..MEMORY_MAX).contains(&peak), "{peak} MiB");
    assert!(
        started.said().contains("larger than "),
        "{}",
        started.said()
    );
}

#[test]
fn a_configuration_without_end_is_refused_and_takes_no_memory() {
    let program = Program::new("http://127.0.0.1:9");
    program.write(PLAN, &Plan::default().text());
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        let mut command = program.command(&["run", PLAN, "--once"]);
        command.env(name, "/dev/zero");
        let mut started = start(command, Stream::Kept, Stream::Kept);
        let peak = started.peak_memory();
        assert_eq!(started.code(), Some(2), "{}", started.said());
        let peak = peak.join().expect("a number");
        assert!(peak < MEMORY_MAX, "{name}: {peak} MiB");
        assert!(started.said().contains(name), "{}", started.said());
    }
}

//! A plan's command: it gets each page, and each end of one, as JSON on standard input.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::channels::{Channels, keys, slim};
use crate::engine::notify::Notice;
use crate::engine::paged::Paged;
use crate::ports::Undelivered;
use crate::reach::command::{self, CommandRun};

/// The longest time that a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of the command's standard error that are kept.
const KEPT_BYTES: u64 = 4096;

/// The JSON object that a command gets on standard input. Fields are only ever added.
#[derive(Debug, Serialize)]
struct PageInput<'page> {
    idempotency_key: &'page str,
    cutover: &'page str,
    attempt: u32,
    seq: u64,
    at: jiff::Timestamp,
    /// The event in one sentence, so that a command need not word it again.
    message: &'page str,
    /// The kinds of the earlier pages that the entry resolves; empty for a page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolves: Vec<&'static str>,
    /// The keys of the entries of other cutovers that this page is also for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
    event: Value,
}

/// Runs a command: an argv without a shell, with this process's environment. It exits with code 0 if it has delivered the
/// page. It may get the same page twice, with the same `idempotency_key`.
///
/// # Errors
/// It cannot be started, took too long, or failed.
pub(super) async fn deliver(
    channels: &Channels,
    notice: &Notice,
    argv: &[String],
) -> Result<Option<Value>, Undelivered> {
    let entry = &notice.entry;
    // An entry that pages and ends other pages is told as a page.
    let resolves = if notice.pages {
        Vec::new()
    } else {
        notice.settles.iter().map(Paged::kind).collect()
    };
    let input = PageInput {
        idempotency_key: &notice.idempotency_key(),
        cutover: entry.cutover.as_str(),
        attempt: entry.attempt,
        seq: entry.seq,
        at: entry.at,
        message: &(channels.words.line)(notice),
        resolves,
        also: keys(&notice.others),
        event: slim(notice),
    };
    let json = serde_json::to_string(&input)
        .map_err(|error| Undelivered::because(format!("no JSON: {error}")))?;
    run(argv, json + "\n", COMMAND_LIMIT)
        .await
        .map_err(Undelivered::because)?;
    Ok(None)
}

/// Runs `argv` with `input` on standard input, and waits until it ends, or ends it at the limit.
///
/// # Errors
/// It cannot be started, took too long, or failed; then with the beginning of its standard error.
async fn run(argv: &[String], input: String, limit: Duration) -> Result<(), String> {
    let run = CommandRun {
        argv,
        input: &input,
        environment: &[],
        limit,
        keep_bytes: KEPT_BYTES,
        // Only commands of hooks and jobs have the processes ended that they leave behind.
        detach: true,
    };
    let ran = command::run(run).await?;
    if ran.success {
        Ok(())
    } else {
        Err(ran.failure)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::engine::event::Envelope;
    use crate::engine::event::Event;
    use crate::engine::hold::HaltReason;
    use crate::engine::notify::Channel;
    use crate::engine::notify::PAGE;
    use crate::engine::notify::Via;
    use crate::notify::Words;
    use crate::ports::Clock;
    use crate::ports::Delivery;
    use crate::ports::Notifier;
    use crate::ports::Publication;
    use crate::ports::Topics;

    /// A page.
    fn page() -> Notice {
        let message = "both weights are 0".to_owned();
        Notice {
            entry: Envelope {
                cutover: "recipe-api".into(),
                attempt: 2,
                seq: 17,
                at: "2026-11-21T09:00:00Z".parse().unwrap(),
                actor: "controller c".to_owned(),
                version: 1,
                event: Event::Halted {
                    reason: HaltReason::Invariant { message },
                },
            },
            pages: true,
            settles: Vec::new(),
            causes: Vec::new(),
            others: Vec::new(),
            standing: None,
            test: false,
        }
    }

    /// Nothing is published, and the clock stands.
    struct Nothing;

    #[async_trait]
    impl Topics for Nothing {
        async fn publish(&self, _: &Publication) -> Result<(), Undelivered> {
            Ok(())
        }
    }

    impl Clock for Nothing {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    fn channels() -> Channels {
        let words = Words {
            line: Arc::new(|notice| format!("{} is halted", notice.entry.cutover)),
            headline: Arc::new(|_| String::new()),
        };
        Channels::new(
            words,
            Arc::new(|_| None),
            Arc::new(Nothing),
            Arc::new(Nothing),
        )
    }

    /// Delivers a notice over a channel.
    async fn tell(via: Via, notice: Notice) -> Result<(), String> {
        let delivery = Delivery {
            channel: Channel {
                via,
                on: vec![PAGE.to_owned()],
                except: Vec::new(),
            },
            notice,
            memo: None,
        };
        let told = channels().deliver(&delivery).await;
        told.map(drop).map_err(|undelivered| undelivered.why)
    }

    /// Delivers a notice by this command.
    async fn by_command(argv: &[&str], notice: Notice) -> Result<(), String> {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        tell(Via::Command { argv }, notice).await
    }

    /// Delivers a page by this shell script.
    async fn by_script(script: &str) -> Result<(), String> {
        by_command(&["sh", "-c", script], page()).await
    }

    /// Delivers a notice by a command, and returns the JSON that the command got.
    async fn json_of(notice: Notice) -> Value {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("page.json");
        let script = format!("cat > '{}'", out.display());
        let told = by_command(&["sh", "-c", &script], notice).await;
        assert_eq!(told, Ok(()));
        serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_command_gets_the_page_as_json_and_says_that_it_is_delivered() {
        let got = json_of(page()).await;
        let expected = serde_json::json!({
            "idempotency_key": "recipe-api/17",
            "cutover": "recipe-api",
            "attempt": 2,
            "seq": 17,
            "at": "2026-11-21T09:00:00Z",
            "message": "recipe-api is halted",
            "event": {
                "type": "halted",
                "reason": { "halt": "invariant", "message": "both weights are 0" },
            },
        });
        assert_eq!(got, expected);
    }

    #[tokio::test]
    async fn the_command_is_told_which_pages_are_over_and_which_entries_a_page_is_also_for() {
        let over = Notice {
            pages: false,
            settles: vec![Paged::Event("halted")],
            ..page()
        };
        let ends_too = Notice {
            pages: true,
            ..over.clone()
        };
        let shared = Notice {
            others: vec![("search".into(), 4), ("web".into(), 9)],
            ..page()
        };
        assert_eq!(json_of(over).await["resolves"][0], "halted");
        let got = json_of(ends_too).await;
        assert!(got["resolves"].is_null(), "it is a page: {got}");
        let got = json_of(shared.clone()).await;
        assert_eq!(got["also"], serde_json::json!(["search/4", "web/9"]));
        let key = got["idempotency_key"].as_str().unwrap();
        assert!(key.starts_with("recipe-api/17+2-"), "{key}");
        assert_eq!(key, shared.idempotency_key());
        let more = Notice {
            others: vec![("search".into(), 4), ("web".into(), 10)],
            ..page()
        };
        assert_ne!(
            key,
            more.idempotency_key(),
            "another set is another message"
        );
    }

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_page_is_one_error_line_of_the_log() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        assert_eq!(tell(Via::Log {}, page()).await, Ok(()));
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["level"], "ERROR");
        let fields = &line["fields"];
        assert_eq!(fields["page"], true);
        assert_eq!(fields["cutover"], "recipe-api");
        assert_eq!(fields["event"], "halted");
        assert_eq!(fields["message"], "recipe-api is halted");
    }

    #[tokio::test]
    async fn a_command_that_fails_says_why_in_200_characters() {
        let script = "i=0; while [ $i -lt 300 ]; do printf 'ö' >&2; i=$((i+1)); done; exit 3";
        let refused = by_script(script).await.unwrap_err();
        assert!(refused.contains("exit status: 3"), "{refused}");
        assert_eq!(refused.matches('ö').count(), 200);
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_started_says_so() {
        let refused = by_command(&["/no/such/command"], page()).await;
        let refused = refused.unwrap_err();
        assert!(
            refused.contains("`/no/such/command` cannot be started"),
            "{refused}"
        );
        assert!(by_command(&[], page()).await.is_err());
    }

    #[tokio::test]
    async fn a_command_need_not_read_its_input_nor_keep_its_output_short() {
        let script = "exec <&-; head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
        assert_eq!(by_script(script).await, Ok(()));
    }

    /// Returns true if a process runs. One that has ended may not have been reaped yet by its new parent.
    fn runs(pid: &str) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        status.is_ok_and(|status| !status.contains(") Z "))
    }

    #[tokio::test]
    async fn a_command_that_leaves_something_running_is_not_waited_for() {
        let script = "sleep 61 & echo $! >&2; exit 4";
        let started = tokio::time::Instant::now();
        let refused = by_script(script).await.unwrap_err();
        assert!(started.elapsed().as_secs() < 5);
        let (_, left) = refused.split_once("exit status: 4: ").unwrap();
        assert!(runs(left));
        let pid = rustix::process::Pid::from_raw(left.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!("sleep 61 & echo $! > '{}'; wait", pids.display());
        let argv = ["sh", "-c", &script].map(str::to_owned);
        let ended = run(&argv, String::new(), Duration::from_secs(1)).await;
        let refused = ended.unwrap_err();
        assert!(refused.contains("did not end within 1 s"), "{refused}");
        let child = std::fs::read_to_string(pids).unwrap();
        // It was killed; a busy machine takes a moment to carry that out.
        for _ in 0..100 {
            if !runs(child.trim()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {child} is still there");
    }
}

//! The pager: every page is an ERROR line in the log and, if the plan has a command, a run of it (semantics K).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::channels::Channels;
use super::channels::slim;
use super::command;
use crate::engine::notify::Notice;
use crate::engine::paged::Paged;
use crate::ports;
use crate::ports::Notifier;
use crate::ports::Page;
use crate::ports::Undelivered;

/// Words a page, or the end of one, for people. Given from outside, because all wording is `report`'s.
pub type Wording = Arc<dyn Fn(&Page) -> String + Send + Sync>;

/// The longest time that a command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// How many pages are remembered as logged. A page that is still retried after this many others is logged again, which does
/// no harm.
const LOGGED_MAX: usize = 1000;

/// Pages people by the log and by a command.
///
/// The log line is an ERROR with `page=true`, written once per page and process. The command is an argv, run without a
/// shell and with this process's environment. It gets one JSON object on standard input, has 10 s, and exits with code 0 if
/// it has delivered the page. It may get the same page twice, with the same `idempotency_key`.
pub struct Pager {
    wording: Wording,
    channels: Option<Channels>,
    /// The keys of the pages that were logged, oldest first.
    logged: Mutex<VecDeque<String>>,
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager").finish_non_exhaustive()
    }
}

/// Runs a command as a page would, with a test notice; its event has the type `notify_test`.
///
/// # Errors
/// The command cannot be started, took too long, or failed.
pub async fn test_command(argv: &[String], notice: &Notice, message: &str) -> Result<(), String> {
    let entry = &notice.entry;
    let key = notice.idempotency_key();
    let delivery = PageInput {
        idempotency_key: &key,
        cutover: entry.cutover.as_str(),
        attempt: entry.attempt,
        seq: entry.seq,
        at: entry.at,
        message,
        resolves: Vec::new(),
        event: slim(notice),
    };
    let json = serde_json::to_string(&delivery).map_err(|error| error.to_string())?;
    command::run(argv, json + "\n", COMMAND_LIMIT).await
}

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
    event: Value,
}

impl Pager {
    /// A pager without channels; `wording` words its pages.
    pub fn new(wording: Wording) -> Self {
        Self {
            wording,
            channels: None,
            logged: Mutex::default(),
        }
    }

    /// The same pager, which also notifies channels.
    #[must_use]
    pub fn with_channels(self, channels: Channels) -> Self {
        Self {
            channels: Some(channels),
            ..self
        }
    }

    /// Remembers that a page is logged. Returns false if it was logged before.
    fn is_first(&self, key: &str) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.iter().any(|known| known == key) {
            return false;
        }
        if logged.len() == LOGGED_MAX {
            logged.pop_front();
        }
        logged.push_back(key.to_owned());
        true
    }
}

#[async_trait]
impl Notifier for Pager {
    async fn page(&self, page: &Page) -> Result<(), String> {
        let entry = &page.entry;
        let message = (self.wording)(page);
        // The end of a trouble wakes nobody; the entry itself is in the log.
        if page.settles.is_empty() && self.is_first(&page.idempotency_key) {
            tracing::error!(
                page = true,
                cutover = %entry.cutover,
                event = entry.event.label(),
                seq = entry.seq,
                idempotency_key = %page.idempotency_key,
                "{message}"
            );
        }
        let Some(argv) = &page.command else {
            return Ok(());
        };
        let delivery = PageInput {
            idempotency_key: &page.idempotency_key,
            cutover: entry.cutover.as_str(),
            attempt: entry.attempt,
            seq: entry.seq,
            at: entry.at,
            message: &message,
            resolves: page.settles.iter().map(Paged::kind).collect(),
            event: serde_json::to_value(&entry.event).map_err(|error| error.to_string())?,
        };
        let json = serde_json::to_string(&delivery).map_err(|error| error.to_string())?;
        command::run(argv, json + "\n", COMMAND_LIMIT).await
    }

    fn has_channels(&self) -> bool {
        self.channels.is_some()
    }

    async fn deliver(&self, told: &ports::Delivery) -> Result<Option<Value>, Undelivered> {
        match &self.channels {
            Some(channels) => channels.deliver(told).await,
            None => Err(Undelivered::because("this pager has no channels")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::Envelope;
    use crate::engine::event::Event;
    use crate::engine::hold::HaltReason;

    /// A page whose command is this shell script.
    fn page(script: Option<&str>) -> Page {
        let message = "both weights are 0".to_owned();
        Page {
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
            idempotency_key: "recipe-api/17".to_owned(),
            settles: Vec::new(),
            command: script.map(|script| ["sh", "-c", script].map(str::to_owned).to_vec()),
        }
    }

    fn pager() -> Pager {
        Pager::new(Arc::new(|page| format!("{} is halted", page.entry.cutover)))
    }

    #[tokio::test]
    async fn the_command_gets_the_page_as_json_and_says_that_it_is_delivered() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("page.json");
        let script = format!("cat > '{}'", out.display());
        assert_eq!(pager().page(&page(Some(&script))).await, Ok(()));
        let got: Value = serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap();
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
    async fn without_a_command_the_log_is_enough() {
        assert_eq!(pager().page(&page(None)).await, Ok(()));
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
    async fn a_page_is_one_error_line_however_often_it_is_tried() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let pager = pager();
        for _ in 0..3 {
            pager.page(&page(Some("exit 1"))).await.unwrap_err();
        }
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

    #[test]
    fn what_was_logged_is_forgotten_after_a_thousand_others() {
        let pager = pager();
        assert!(pager.is_first("a"));
        assert!(!pager.is_first("a"));
        for other in 0..LOGGED_MAX {
            assert!(pager.is_first(&other.to_string()));
        }
        assert!(pager.is_first("a"));
    }

    #[tokio::test]
    async fn a_command_that_fails_says_why_in_200_characters() {
        let script = "i=0; while [ $i -lt 300 ]; do printf 'ö' >&2; i=$((i+1)); done; exit 3";
        let refused = pager().page(&page(Some(script))).await.unwrap_err();
        assert!(refused.contains("exit status: 3"), "{refused}");
        assert_eq!(refused.matches('ö').count(), 200);
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_started_says_so() {
        let mut missing = page(None);
        missing.command = Some(vec!["/no/such/command".to_owned()]);
        let refused = pager().page(&missing).await.unwrap_err();
        assert!(
            refused.contains("`/no/such/command` cannot be started"),
            "{refused}"
        );
        missing.command = Some(Vec::new());
        assert!(pager().page(&missing).await.is_err());
    }

    #[tokio::test]
    async fn a_command_need_not_read_its_input_nor_keep_its_output_short() {
        let script = "exec <&-; head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
        assert_eq!(pager().page(&page(Some(script))).await, Ok(()));
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
        let refused = pager().page(&page(Some(script))).await.unwrap_err();
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
        let ended = command::run(&argv, String::new(), Duration::from_secs(1)).await;
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

//! Runs the built program as people do, in its own folder, with an endpoint in place of AWS.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The longest wait of a test for anything. It is long because the machine may run ten tests at once.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
/// The interval between two checks of a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A folder with plans and a journal, and the environment in which the program is started.
pub(crate) struct Program {
    folder: TempDir,
    endpoint: String,
    environment: Mutex<Vec<(String, String)>>,
    runs: AtomicUsize,
}

/// The exit code and the output of a command that has ended. The exit code is `None` if a signal ended it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that is running. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Creates an empty folder for the program. All its calls to AWS go to `endpoint`.
    pub(crate) fn new(endpoint: &str) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            endpoint: endpoint.to_owned(),
            environment: Mutex::default(),
            runs: AtomicUsize::new(0),
        }
    }

    /// Sets an environment variable for all later commands.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let mut environment = self.environment.lock().expect("nobody panicked");
        environment.push((name.to_owned(), value.to_owned()));
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and creates its folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let parent = path.parent().expect("a file has a folder");
        fs::create_dir_all(parent).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    /// Runs a command to its end. It may fail.
    pub(crate) fn say(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().expect("the program starts");
        Said::from(output)
    }

    /// Runs a command to its end. Panics if its exit code is not 0.
    pub(crate) fn ok(&self, args: &[&str]) -> Said {
        let said = self.say(args);
        assert_eq!(said.code, Some(0), "{args:?}: {said:#?}\n{}", self.logs());
        said
    }

    /// Starts a controller with an interval of one second.
    pub(crate) fn run(&self, plans: &str) -> Running {
        self.start(&["run", plans, "--interval", "1s"])
    }

    /// Starts a command, which runs until it ends by itself or is ended.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let log = self.path(&format!(
            "log-{:03}",
            self.runs.fetch_add(1, Ordering::Relaxed)
        ));
        let stderr = File::create(&log).expect("a log can be made");
        let mut command = self.command(args);
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn();
        Running {
            child: child.expect("the program starts"),
            log,
        }
    }

    /// Returns the row of `status` for a cutover; JSON null if the journal does not know it.
    pub(crate) fn status(&self, name: &str) -> Value {
        let said = self.ok(&["status", "--format", "json"]);
        let rows: Vec<Value> = serde_json::from_str(&said.stdout).expect("status is JSON");
        let mut mine = rows.into_iter().filter(|row| row["name"] == name);
        mine.next().unwrap_or(Value::Null)
    }

    /// Returns the entries of a cutover, oldest first.
    pub(crate) fn history(&self, name: &str) -> Vec<Value> {
        let said = self.ok(&["history", name, "--format", "json"]);
        serde_json::from_str(&said.stdout).expect("history is JSON")
    }

    /// Returns the types of a cutover's events, oldest first.
    pub(crate) fn events(&self, name: &str) -> Vec<String> {
        let types = self.history(name).into_iter();
        types
            .map(|entry| entry["event"]["type"].as_str().unwrap_or("?").to_owned())
            .collect()
    }

    /// Returns the number of a cutover's events of one type.
    pub(crate) fn count(&self, name: &str, event: &str) -> usize {
        let events = self.events(name);
        events.iter().filter(|it| *it == event).count()
    }

    /// Waits until the status of a cutover meets a condition, and returns it. `what` names the condition in the panic.
    pub(crate) fn wait_for(&self, what: &str, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let seen = until(|| {
            let status = self.status(name);
            if is_so(&status) { Some(status) } else { None }
        });
        seen.unwrap_or_else(|| {
            let status = self.status(name);
            panic!(
                "waited in vain for: {what}\n{status:#}\n{}",
                self.everything(name)
            );
        })
    }

    /// Waits until a cutover is in this phase.
    pub(crate) fn wait_for_phase(&self, name: &str, phase: &str) -> Value {
        self.wait_for(phase, name, |status| status["phase"] == phase)
    }

    /// Waits until a hold of this kind holds the cutover.
    pub(crate) fn wait_for_hold(&self, name: &str, kind: &str) -> Value {
        self.wait_for(kind, name, |status| holds(status, kind))
    }

    /// Waits until a cutover has at least `times` events of a type.
    pub(crate) fn wait_for_event(&self, name: &str, event: &str, times: usize) {
        let seen = until(|| {
            let known = !self.status(name).is_null();
            (known && self.count(name, event) >= times).then_some(())
        });
        seen.unwrap_or_else(|| {
            panic!(
                "waited in vain for {event} ×{times}\n{}",
                self.everything(name)
            );
        });
    }

    /// Returns the logs of all commands that were started.
    pub(crate) fn logs(&self) -> String {
        let mut logs = Vec::new();
        for run in 0..self.runs.load(Ordering::Relaxed) {
            let text = fs::read_to_string(self.path(&format!("log-{run:03}"))).unwrap_or_default();
            logs.push(format!("--- log {run}\n{text}"));
        }
        logs.concat()
    }

    /// Returns history and logs, for the messages of failed tests.
    pub(crate) fn everything(&self, name: &str) -> String {
        let history = self.say(&["history", name]);
        format!("{}{}\n{}", history.stdout, history.stderr, self.logs())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "testing")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null());
        let environment = self.environment.lock().expect("nobody panicked");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Running {
    /// Waits until the command has ended, and returns its exit code. Panics if a signal ended it.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let ended = until(|| self.child.try_wait().expect("a child can be waited for"));
        let Some(status) = ended else {
            panic!("it does not end:\n{}", self.log());
        };
        code(status, &self.log())
    }

    /// Returns true if the command is still running.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the command at once, as the kernel does if memory runs out.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Asks the command to stop with SIGTERM, as a service manager does.
    pub(crate) fn terminate(&self) {
        let id = i32::try_from(self.id()).expect("a process id");
        let pid = Pid::from_raw(id).expect("a process id is above zero");
        kill_process(pid, Signal::TERM).expect("a child can be signalled");
    }

    /// Returns the command's process ID.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the command's log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn code(status: ExitStatus, log: &str) -> i32 {
    status
        .code()
        .unwrap_or_else(|| panic!("ended by a signal: {status}\n{log}"))
}

/// Returns true if a status has a hold of this kind.
pub(crate) fn holds(status: &Value, kind: &str) -> bool {
    let reasons = status["because"].as_array();
    reasons.is_some_and(|reasons| reasons.iter().any(|reason| reason["kind"] == kind))
}

/// Calls `look` until it returns something. `None` if [`PATIENCE`] ends first.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for real processes, outside any runtime"
)]
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Lets real time pass. It is for random moments, and must never be needed for an assertion.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for real processes, outside any runtime"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Returns the names of the files in a folder, sorted. Empty if the folder does not exist.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

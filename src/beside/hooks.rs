//! Calls hooks: runs a command or sends an HTTP request, with the event and its idempotency key.

use std::fmt;

use async_trait::async_trait;

use crate::engine::hooks::HookAction;
use crate::ports::{HookAnswer, HookRequest, Hooks};
use crate::reach::command::{self, CommandRun};
use crate::reach::http;
use crate::reach::secrets::{Environment, Secrets};

/// The most bytes that are kept of a command's output, or of the reply to a request.
const KEPT_BYTES: u64 = 16 * 1024;

/// The most characters of a reply that a failure repeats.
const SHOWN_CHARS: usize = 200;

/// The environment variable that holds the idempotency key.
pub const KEY_VARIABLE: &str = "CUTOVER_IDEMPOTENCY_KEY";

/// Calls the hooks of plans.
///
/// A command is a list of arguments. It runs without a shell, with this process's environment and the idempotency key
/// in [`KEY_VARIABLE`]. It gets the event as JSON on standard input. Exit code 0 means success. An HTTP request is a
/// POST with the event as its body and the key in `Idempotency-Key`. Any status of 200 to 299 means success.
#[derive(Clone)]
pub struct RealHooks {
    environment: Environment,
    client: http::Client,
}

impl fmt::Debug for RealHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealHooks").finish_non_exhaustive()
    }
}

impl RealHooks {
    /// Creates the adapter. References to secrets are filled in from this environment.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            client: http::Client::default(),
        }
    }

    /// Runs a command.
    async fn run(&self, argv: &[String], request: &HookRequest) -> HookAnswer {
        let run = CommandRun {
            argv,
            input: &request.input,
            environment: &[(KEY_VARIABLE, &request.key)],
            limit: request.timeout,
            keep_bytes: KEPT_BYTES,
            detach: request.detach,
        };
        match command::run(run).await {
            Ok(ran) => HookAnswer {
                failure: if ran.success { None } else { Some(ran.failure) },
                output: ran.stdout,
            },
            Err(failure) => failed(failure),
        }
    }

    /// Sends an HTTP request.
    async fn post(
        &self,
        url: &str,
        headers: &[(String, String)],
        request: &HookRequest,
    ) -> HookAnswer {
        let mut secrets = Secrets::new(self.environment.clone());
        let filled = fill(&mut secrets, url, headers);
        let (url, mut headers) = match filled {
            Ok(filled) => filled,
            Err(why) => return failed(why),
        };
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        headers.push(("idempotency-key".to_owned(), request.key.clone()));
        let post = http::Request {
            method: "POST",
            url,
            headers,
            body: request.input.clone(),
        };
        match self.client.send(post, request.timeout).await {
            Ok(answer) => {
                let mut output = secrets.redact(&answer.body);
                let kept = usize::try_from(KEPT_BYTES).unwrap_or(usize::MAX);
                output.truncate(output.floor_char_boundary(kept));
                let shown: String = output.trim().chars().take(SHOWN_CHARS).collect();
                let failure = if (200..300).contains(&answer.status) {
                    None
                } else {
                    Some(format!("HTTP status {}: {shown}", answer.status))
                };
                HookAnswer { failure, output }
            }
            Err(failure) => failed(secrets.redact(&failure.to_string())),
        }
    }
}

/// Returns the answer of a call that failed without output.
fn failed(why: String) -> HookAnswer {
    HookAnswer {
        output: String::new(),
        failure: Some(why),
    }
}

/// An address and its headers, with secrets filled in.
type Filled = (String, Vec<(String, String)>);

/// Fills the secrets into an address and its headers.
///
/// # Errors
/// A secret cannot be read.
fn fill(secrets: &mut Secrets, url: &str, headers: &[(String, String)]) -> Result<Filled, String> {
    let url = secrets.fill(url)?;
    let mut filled = Vec::new();
    for (name, value) in headers {
        filled.push((name.clone(), secrets.fill(value)?));
    }
    Ok((url, filled))
}

#[async_trait]
impl Hooks for RealHooks {
    async fn call(&self, request: &HookRequest) -> HookAnswer {
        match &request.action {
            HookAction::Command(argv) => self.run(argv, request).await,
            HookAction::Http { url, headers } => self.post(url, headers, request).await,
        }
    }
}

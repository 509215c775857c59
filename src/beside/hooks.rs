//! Calls hooks: a command or an HTTP request, with the event and its idempotency key.

use std::fmt;

use async_trait::async_trait;

use crate::engine::hooks::HookAction;
use crate::ports::HookAnswer;
use crate::ports::HookRequest;
use crate::ports::Hooks;
use crate::reach::command;
use crate::reach::command::CommandRun;
use crate::reach::http;
use crate::reach::secrets::Environment;
use crate::reach::secrets::Secrets;

/// The most bytes of a command's output, or of the answer to a request, that are kept.
const KEPT_BYTES: u64 = 16 * 1024;

/// The most characters of an HTTP answer that a failure repeats.
const SHOWN_CHARS: usize = 200;

/// The environment variable with the idempotency key.
pub const KEY_VARIABLE: &str = "CUTOVER_IDEMPOTENCY_KEY";

/// Calls hooks.
///
/// A command is an argv. It runs without a shell, with this process's environment and the key in [`KEY_VARIABLE`]. It
/// gets the event as JSON on standard input, and exit code 0 means success. An HTTP request is a POST with the event as
/// its body and the key in `Idempotency-Key`; any 2xx means success.
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
    /// Creates the caller. References to secrets are filled from this environment.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            client: http::Client::default(),
        }
    }

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

fn failed(why: String) -> HookAnswer {
    HookAnswer {
        output: String::new(),
        failure: Some(why),
    }
}

type Filled = (String, Vec<(String, String)>);

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

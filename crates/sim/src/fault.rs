//! Faults of simulated calls: how a call fails, and for how long.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// How a simulated call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The service refuses the call, which then has no effect.
    Error {
        /// The HTTP status.
        status: u16,
        /// The service's error code, for example `Throttling`.
        code: String,
        /// The service's message.
        message: String,
    },
    /// The connection is lost before the call arrives. The call has no effect.
    DropBefore,
    /// The call has its effect, but the reply is lost.
    LoseReply,
    /// The call arrives after this delay. If the caller has given up by then, the call still has its effect.
    Delay(Duration),
}

impl Fault {
    /// Returns a refusal because a quota is used up.
    pub fn throttle() -> Self {
        Self::error(400, "Throttling", "Rate exceeded")
    }

    /// Returns a refusal because a permission is missing.
    pub fn deny() -> Self {
        let message =
            "User: arn:aws:iam::111111111111:user/test is not authorized to perform this operation";
        Self::error(403, "AccessDenied", message)
    }

    /// Returns an internal error of the service.
    pub fn unavailable() -> Self {
        Self::error(503, "ServiceUnavailable", "Service is unavailable")
    }

    /// Returns a refusal with this HTTP status, code and message.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// For this number of calls to the operation.
    Calls(u32),
    /// Until this time of the simulated clock, exclusive.
    Until(Timestamp),
    /// Until it is cleared.
    Always,
}

/// A function that returns the faults of a call. Its arguments are the operation and the time.
pub type FaultHook = Box<dyn FnMut(&str, Timestamp) -> Vec<Fault> + Send>;

/// The active faults of a service.
#[derive(Default)]
pub struct Faults {
    rules: Vec<FaultRule>,
    hook: Option<FaultHook>,
}

/// One active fault.
#[derive(Debug)]
struct FaultRule {
    /// The operation that fails. `None` means all operations.
    operation: Option<String>,
    fault: Fault,
    lasting: Lasting,
}

impl Faults {
    /// Adds a fault for one operation. `None` means all operations.
    pub fn add(&mut self, operation: Option<&str>, fault: Fault, lasting: Lasting) {
        self.rules.push(FaultRule {
            operation: operation.map(str::to_owned),
            fault,
            lasting,
        });
    }

    /// Asks `hook` for faults at every call, in addition to the faults that were added.
    pub fn set_hook(&mut self, hook: FaultHook) {
        self.hook = Some(hook);
    }

    /// Removes all faults and the hook.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.hook = None;
    }

    /// Returns the faults of this call, and counts them as used.
    pub fn take(&mut self, operation: &str, now: Timestamp) -> Vec<Fault> {
        self.rules.retain(|rule| match rule.lasting {
            Lasting::Calls(left) => left > 0,
            Lasting::Until(end) => now < end,
            Lasting::Always => true,
        });
        let mut faults = Vec::new();
        for rule in &mut self.rules {
            let only = rule.operation.as_deref().unwrap_or(operation);
            if only != operation {
                continue;
            }
            if let Lasting::Calls(left) = &mut rule.lasting {
                *left -= 1;
            }
            faults.push(rule.fault.clone());
        }
        if let Some(hook) = &mut self.hook {
            faults.extend(hook(operation, now));
        }
        faults
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("rules", &self.rules)
            .field("hook", &self.hook.is_some())
            .finish()
    }
}

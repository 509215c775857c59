//! Faults of simulated calls: how a call fails, and for how long.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// How a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is refused before it has any effect.
    Error {
        /// The HTTP status.
        status: u16,
        /// The service's code.
        code: String,
        /// The message.
        message: String,
    },
    /// It never arrives: the connection is lost before it has any effect.
    DropBefore,
    /// It has its effect, and the reply is lost.
    LoseReply,
    /// It arrives late. If the caller has given up by then, it still has its effect when it arrives.
    Delay(Duration),
}

impl Fault {
    /// A refusal by the quotas.
    pub fn throttle() -> Self {
        Self::error(400, "Throttling", "Rate exceeded")
    }

    /// A refusal because a permission is missing.
    pub fn deny() -> Self {
        let message =
            "User: arn:aws:iam::111111111111:user/test is not authorized to perform this operation";
        Self::error(403, "AccessDenied", message)
    }

    /// An error of the service itself.
    pub fn unavailable() -> Self {
        Self::error(503, "ServiceUnavailable", "Service is unavailable")
    }

    /// A refusal with this status, code and message.
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
    /// For the next calls that it fits.
    Calls(u32),
    /// Until this time (of the world's clock).
    Until(Timestamp),
    /// Until it is cleared.
    Always,
}

/// A function that returns the faults of a call, given the operation and the time.
pub type FaultHook = Box<dyn FnMut(&str, Timestamp) -> Vec<Fault> + Send>;

/// The faults in force.
#[derive(Default)]
pub struct Faults {
    rules: Vec<FaultRule>,
    hook: Option<FaultHook>,
}

/// One fault in force.
#[derive(Debug)]
struct FaultRule {
    operation: Option<String>,
    fault: Fault,
    lasting: Lasting,
}

impl Faults {
    /// Puts a fault in force, for one operation or (with none) for all.
    pub fn add(&mut self, operation: Option<&str>, fault: Fault, lasting: Lasting) {
        self.rules.push(FaultRule {
            operation: operation.map(str::to_owned),
            fault,
            lasting,
        });
    }

    /// Calls `hook` at every call, in addition to the faults that were added.
    pub fn set_hook(&mut self, hook: FaultHook) {
        self.hook = Some(hook);
    }

    /// Ends all faults.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.hook = None;
    }

    /// The faults of this call, each counted as used.
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

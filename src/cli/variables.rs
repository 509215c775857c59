//! The variables of this process's environment, which are read only here.

/// Returns a variable of the environment; `None` if it is not set or is not UTF-8.
#[expect(
    clippy::disallowed_methods,
    reason = "only plans say which variables hold secrets"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

//! The variables of this process's environment, which are read only here.

/// Returns a variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "only plans say which variables hold secrets"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

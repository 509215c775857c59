//! The log: to standard error, for people or programs. It never blocks `run` and never ends it (`output.rs`, RULES M2).

use anstream::{AutoStream, ColorChoice};
use anyhow::Result;
use tracing_subscriber::EnvFilter;

use super::args::{Command, Format, Global};
use super::error::Expected;
use super::output::Output;

/// Starts the log. `run` says what it does; all others only what goes wrong (`rollback` tells of its progress by itself).
///
/// # Errors
/// The filter cannot be read.
pub fn start(global: &Global, command: &Command, output: &Output) -> Result<()> {
    let talks = matches!(command, Command::Run(_) | Command::Rehearse(_));
    let filter = match &global.log_filter {
        Some(filter) if !filter.is_empty() => filter.clone(),
        _ => default_filter(talks, global.verbose).to_owned(),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        Expected::usage(
            format!("CUTOVER_LOG is not a log filter: {error}"),
            Some("write for example `cutover=debug`"),
        )
    })?;
    let err = output.err();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || err.clone())
        .log_internal_errors(false)
        .with_target(global.verbose > 0);
    let colours = AutoStream::choice(&std::io::stderr()) != ColorChoice::Never;
    let started = match global.log_format {
        Format::Human => builder.with_ansi(colours).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}

/// Others' targets stay quiet longer than our own: the AWS SDK logs much.
fn default_filter(talks: bool, verbose: u8) -> &'static str {
    match (verbose, talks) {
        (0, false) => "warn",
        (0, true) => "warn,cutover=info",
        (1, _) => "info,cutover=debug",
        _ => "debug,cutover=trace",
    }
}

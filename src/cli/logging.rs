//! The log on standard error, for people or programs. It never blocks or ends `run` (`output.rs`, semantics M2), and text that
//! others wrote can neither control a terminal nor look like a line of the log (semantics M6).

use std::fmt::{self, Debug};
use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use anyhow::Result;
use serde_json::Value;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use super::args::{Command, Format, Global};
use super::error::Expected;
use super::output::Output;
use crate::engine::foreign_text::{cut, json_log_line, one_line};

/// Largest number of characters of one field that are logged (semantics M8). Longer text comes from a service that does
/// not work.
const FIELD_CHARS_MAX: usize = 4_000;

/// Longest line of a JSON log, in bytes, that is written as it is. A longer one is parsed again, and its long fields
/// are shortened.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Starts the log. By default `run` and `rehearse` log what they do, and all others only warnings and errors (`rollback` shows
/// its progress itself).
///
/// # Errors
/// The filter is not valid.
pub fn start(global: &Global, command: &Command, output: &Output) -> Result<()> {
    let narrates = matches!(command, Command::Run(_) | Command::Rehearse(_));
    let filter = match &global.log_filter {
        Some(filter) if !filter.is_empty() => filter.clone(),
        _ => default_filter(narrates, global.verbose).to_owned(),
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
        .log_internal_errors(false)
        .with_target(global.verbose > 0);
    let colours = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let started = match global.log_format {
        Format::Human => builder
            .with_writer(move || err.clone())
            .with_ansi(colours)
            .fmt_fields(debug_fn(field).delimited(" "))
            .try_init(),
        Format::Json => builder
            .with_writer(move || JsonLines(err.clone()))
            .json()
            .flatten_event(true)
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}

/// Logs the text of every panic. Rust's own hook would write to standard error directly: it would wait for a reader
/// that may never come (semantics M2), and its text would stand between the lines of a JSON log.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or("no text");
        let place = panic.location().map(ToString::to_string);
        let place = place.as_deref().unwrap_or("an unknown place");
        tracing::error!(place, "a part of the program failed: {said}");
    }));
}

/// Shortens the long fields of a line of a JSON log.
fn bounded_line(line: &str) -> String {
    if line.len() <= LINE_BYTES_MAX {
        return line.to_owned();
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    for value in fields.values_mut() {
        if let Value::String(text) = value {
            *text = cut(text, FIELD_CHARS_MAX);
        }
    }
    format!("{}\n", Value::Object(fields))
}

/// Writes one field of a log line for people.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let value = cut(&one_line(&format!("{value:?}")), FIELD_CHARS_MAX);
    if field.name() == "message" {
        return writer.write_str(&value);
    }
    let (name, sign) = if writer.has_ansi_escapes() {
        (Style::new().italic(), Style::new().dimmed())
    } else {
        (Style::new(), Style::new())
    };
    let key = field.name().trim_start_matches("r#");
    write!(writer, "{name}{key}{name:#}{sign}={sign:#}{value}")
}

/// A writer that escapes each line of a JSON log. The subscriber writes each line in one piece.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = json_log_line(&bounded_line(&String::from_utf8_lossy(line)));
        self.0.write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns the log filter. Other crates log less than our own: the AWS SDK logs a lot, and a warning of its credential
/// providers comes back as the error of a call anyway.
fn default_filter(narrates: bool, verbose: u8) -> &'static str {
    match (verbose, narrates) {
        (0, false) => "warn,aws_config=error",
        (0, true) => "warn,aws_config=error,cutover=info",
        (1, _) => "info,cutover=debug",
        _ => "debug,cutover=trace",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;

    /// A writer that collects what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const NASTY: &str = "a\n2026-01-01 forged\u{1b}[31mred\u{9b}2J\u{7f}\u{202e}\u{200b}\"q";

    fn log_nasty() {
        tracing::error!(shown = %NASTY, quoted = NASTY, debug = ?NASTY, number = 7, "it said: {NASTY}");
        let error = io::Error::other(NASTY);
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "plain");
    }

    fn is_clean(text: &str) -> bool {
        !text.contains(|c: char| c.is_control() || "\u{202e}\u{200b}".contains(c))
    }

    #[test]
    fn no_field_of_a_log_for_people_acts_on_a_terminal_or_makes_a_line() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(debug_fn(field).delimited(" "))
            .finish();
        tracing::subscriber::with_default(subscriber, log_nasty);
        let text = log.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(is_clean), "{text:?}");
        let shown = r"it said: a\n2026-01-01 forged\u{1b}[31mred\u{9b}2J\u{7f}\u{202e}\u{200b}";
        assert!(text.contains(shown), "{text}");
        assert!(
            text.contains(r"shown=a\n2026") && text.contains("number=7"),
            "{text}"
        );
    }

    #[test]
    fn long_fields_are_cut_in_both_logs() {
        let long = "x".repeat(70_000);
        for json in [true, false] {
            let log = Log::default();
            let writer = log.clone();
            if json {
                let subscriber = tracing_subscriber::fmt()
                    .with_writer(move || JsonLines(writer.clone()))
                    .json()
                    .flatten_event(true)
                    .finish();
                tracing::subscriber::with_default(subscriber, || tracing::error!(long, "a {long}"));
            } else {
                let subscriber = tracing_subscriber::fmt()
                    .with_writer(move || writer.clone())
                    .with_ansi(false)
                    .fmt_fields(debug_fn(field).delimited(" "))
                    .finish();
                tracing::subscriber::with_default(subscriber, || tracing::error!(long, "a {long}"));
            }
            let text = log.text();
            assert_eq!(text.lines().count(), 1);
            assert!(text.len() < 3 * FIELD_CHARS_MAX, "{}", text.len());
            assert!(!json || serde_json::from_str::<Value>(&text).is_ok());
        }
    }

    #[test]
    fn styles_of_a_log_are_ours_alone() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(true)
            .fmt_fields(debug_fn(field).delimited(" "))
            .finish();
        tracing::subscriber::with_default(subscriber, log_nasty);
        let text = log.text();
        assert!(
            text.contains("\u{1b}[3mnumber\u{1b}[0m\u{1b}[2m=\u{1b}[0m7"),
            "{text:?}"
        );
        assert!(!text.contains("\u{1b}[31mred"), "{text:?}");
    }

    #[test]
    fn no_field_of_a_log_for_programs_has_more_than_its_words() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || JsonLines(writer.clone()))
            .json()
            .flatten_event(true)
            .finish();
        tracing::subscriber::with_default(subscriber, log_nasty);
        let text = log.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(is_clean), "{text:?}");
        let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["number"], 7);
        for key in ["message", "shown", "quoted", "debug"] {
            let value = line[key].as_str().unwrap();
            assert!(is_clean(value), "{key}: {value:?}");
            assert!(value.contains(r"\u{202e}"), "{key}: {value:?}");
        }
    }
}

//! The context of every command: its output, its global options, and the clock.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Result;
use serde_json::Value;
use tokio::runtime::Builder;

use super::args::{Format, Global};
use super::clock::SystemClock;
use super::error::Expected;
use crate::engine::foreign_text;
use crate::report::text;

/// The output, the global options and the clock of a command.
pub struct Context<'a> {
    /// The options that every command accepts, such as `--journal` and `--format`.
    pub global: Global,
    /// Standard output, for results.
    pub out: &'a mut dyn Write,
    /// Standard error, for messages.
    pub err: &'a mut dyn Write,
    /// Properties of the standard streams of this process.
    pub terminal: Terminal,
    /// The wall clock, for the current time.
    pub clock: SystemClock,
}

/// Says which standard streams are a terminal, and how wide the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// True if a person can be asked: standard input and standard error are a terminal.
    pub can_ask: bool,
    /// True if standard output is a terminal.
    pub out: bool,
    /// The width of results in columns; `None` if lines are not wrapped.
    pub width: Option<usize>,
}

impl Terminal {
    /// Returns the properties of this process's standard streams. `told` is the width to use if standard output is not a
    /// terminal.
    pub fn detect(told: Option<&str>) -> Self {
        let out = std::io::stdout().is_terminal();
        let told = told.and_then(|width| width.parse().ok());
        let measured = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self {
            can_ask: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            out,
            width: if out { measured.or(told) } else { told },
        }
    }
}

impl Context<'_> {
    /// Returns true if results are JSON, for programs.
    pub fn json(&self) -> bool {
        self.global.format == Format::Json
    }

    /// Writes a result. Control characters in it are escaped, since others may have written parts of it (semantics M6).
    pub fn print(&mut self, text: &str) -> Result<()> {
        Ok(self.out.write_all(foreign_text::lines(text).as_bytes())?)
    }

    /// Writes a result in one line. Line breaks in it are escaped.
    pub fn print_line(&mut self, text: &str) -> Result<()> {
        self.print(&(foreign_text::one_line(text) + "\n"))
    }

    /// Clears the screen of the terminal.
    pub fn wipe(&mut self) -> Result<()> {
        Ok(self.out.write_all(b"\x1b[H\x1b[2J")?)
    }

    /// Writes a result as indented JSON, for programs.
    pub fn print_json(&mut self, value: &Value) -> Result<()> {
        let mut shown = foreign_text::json(&serde_json::to_string_pretty(value)?);
        shown.push('\n');
        Ok(self.out.write_all(shown.as_bytes())?)
    }

    /// Writes a note to standard error, on one line.
    pub fn note(&mut self, text: &str) -> Result<()> {
        self.note_lines(&foreign_text::one_line(text))
    }

    /// Writes a note of several lines to standard error. The caller has escaped the text of others in it.
    pub fn note_lines(&mut self, text: &str) -> Result<()> {
        // Everything goes into one write, so that no line of the log comes in between.
        let note = text::styled(text::FAINT, "note:");
        self.say(&format!("{note} {text}\n"))
    }

    /// Writes messages to standard error. Control characters in them are escaped, as [`Self::print`] does.
    pub fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.err.write_all(foreign_text::lines(text).as_bytes())?)
    }

    /// Asks for confirmation, unless `yes` is given. Never waits if nobody can answer.
    ///
    /// # Errors
    /// There is no terminal, or the answer is not yes.
    pub fn confirm(&mut self, command: &'static str, yes: bool, question: &str) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !self.terminal.can_ask {
            return Err(Expected::NoTerminal(command).into());
        }
        self.say(&format!("{question} [y/N] "))?;
        self.err.flush()?;
        let mut answer = String::new();
        // A terminal that went away leaves the answer empty, which means no.
        drop(std::io::stdin().lock().read_line(&mut answer));
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Expected::Declined.into()),
        }
    }
}

/// Runs a command's work on this thread. A thread that hangs in file I/O does not delay the end (semantics M4).
///
/// # Errors
/// The work fails, or the runtime cannot be started.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

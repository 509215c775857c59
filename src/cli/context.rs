//! What every command is given: where to write, how wide, what time it is.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Result;
use serde_json::Value;
use tokio::runtime::Builder;

use super::args::{Format, Global};
use super::clock::SystemClock;
use super::error::Expected;
use crate::engine::foreign_text;
use crate::report::text;

/// Where a command writes, and what it was told.
pub struct Context<'a> {
    /// The options that all commands take.
    pub global: Global,
    /// Results.
    pub out: &'a mut dyn Write,
    /// Talk.
    pub err: &'a mut dyn Write,
    /// What is a terminal.
    pub terminal: Terminal,
    /// The wall clock.
    pub clock: SystemClock,
}

/// What is a terminal, and how wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// A person can be asked: standard input and standard error are a terminal.
    pub can_ask: bool,
    /// Results go to a terminal.
    pub out: bool,
    /// How wide results may be; none where lines may be as long as they are.
    pub width: Option<usize>,
}

impl Terminal {
    /// Looks at this process's standard streams. `told` is the width that was asked for, for all that is no terminal.
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
    /// Whether results are for programs.
    pub fn json(&self) -> bool {
        self.global.format == Format::Json
    }

    /// Writes a result. Nothing in it acts on a terminal, whoever's text it is (semantics M6).
    pub fn print(&mut self, text: &str) -> Result<()> {
        Ok(self.out.write_all(foreign_text::lines(text).as_bytes())?)
    }

    /// Writes a result of one line.
    pub fn print_line(&mut self, text: &str) -> Result<()> {
        self.print(&(foreign_text::one_line(text) + "\n"))
    }

    /// Wipes the screen of a terminal.
    pub fn wipe(&mut self) -> Result<()> {
        Ok(self.out.write_all(b"\x1b[H\x1b[2J")?)
    }

    /// Writes a result for programs.
    pub fn print_json(&mut self, value: &Value) -> Result<()> {
        let mut shown = foreign_text::json(&serde_json::to_string_pretty(value)?);
        shown.push('\n');
        Ok(self.out.write_all(shown.as_bytes())?)
    }

    /// Says something that is no result, on one line.
    pub fn note(&mut self, text: &str) -> Result<()> {
        self.note_lines(&foreign_text::one_line(text))
    }

    /// Says something that is no result, on lines that are ours: what is others' in them was escaped before.
    pub fn note_lines(&mut self, text: &str) -> Result<()> {
        // At once, so that no line of the log comes in between.
        let note = text::styled(text::FAINT, "note:");
        self.say(&format!("{note} {text}\n"))
    }

    /// Writes messages to standard error, as [`Self::print`] does.
    pub fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.err.write_all(foreign_text::lines(text).as_bytes())?)
    }

    /// Asks before something is done that cannot be taken back. Never waits where nobody can answer.
    ///
    /// # Errors
    /// There is no terminal to ask on, or the answer is not yes.
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
        // A terminal that went away says nothing, and that is no.
        drop(std::io::stdin().lock().read_line(&mut answer));
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Expected::Declined.into()),
        }
    }
}

/// Does a command's work, one thing at a time. A thread that hangs in a file does not hold up the end (semantics M4).
///
/// # Errors
/// The work's own, or the operating system refuses.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

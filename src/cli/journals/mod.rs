//! `cutover journal`: makes, copies and checks journals. And opening a journal, wherever it is.

mod copy;
mod create;
#[cfg(feature = "dynamodb")]
mod make;
pub mod open;
#[cfg(feature = "dynamodb")]
mod table;
mod verify;

use anyhow::Result;

use super::args::JournalCommand;
use super::context::{Context, block_on};
use super::exit::Exit;

/// Carries out a command on a journal as a whole.
///
/// # Errors
/// A journal cannot be opened, made, read or written, or the command does not apply to it.
pub fn run(context: &mut Context<'_>, command: &JournalCommand) -> Result<Exit> {
    match command {
        JournalCommand::Create(args) => block_on(create::run(context, args)),
        JournalCommand::Copy(args) => block_on(copy::run(context, args)),
        JournalCommand::Verify(args) => block_on(verify::run(context, args)),
    }
}

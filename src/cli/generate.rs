//! `cutover schema`, `completions` and `man`: files about this program for editors, shells and `man`.

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::args::{Cli, Schema};
use super::context::Context;
use super::exit::Exit;
use crate::plan_file;

/// Prints the JSON Schema of plan files, or of `fleet.yaml`.
///
/// # Errors
/// Standard output cannot be written.
pub fn schema(context: &mut Context<'_>, args: &Schema) -> Result<Exit> {
    let schema = if args.fleet {
        plan_file::fleet_schema()
    } else {
        plan_file::schema()
    };
    context.print_json(&schema)?;
    Ok(Exit::Done)
}

/// Prints a completion script. It is made in memory first, because the generator panics on a closed pipe.
///
/// # Errors
/// Standard output cannot be written.
pub fn completions(context: &mut Context<'_>, shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cutover", &mut script);
    context.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Prints one manual page with all commands on it.
///
/// # Errors
/// Standard output cannot be written.
pub fn man(context: &mut Context<'_>) -> Result<Exit> {
    let mut root = Cli::command();
    root.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(root.clone()).render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for command in root.get_subcommands() {
        page.push_str(&section(command, command.get_name())?);
        for below in command.get_subcommands() {
            let name = format!("{} {}", command.get_name(), below.get_name());
            page.push_str(&section(below, &name)?);
        }
    }
    context.print(&page)?;
    Ok(Exit::Done)
}

/// Returns one command's section: its own manual page, with the headings a level lower.
fn section(command: &Command, name: &str) -> Result<String> {
    let man = clap_mangen::Man::new(command.clone());
    let mut body = Vec::new();
    man.render_synopsis_section(&mut body)?;
    man.render_description_section(&mut body)?;
    man.render_options_section(&mut body)?;
    man.render_extra_section(&mut body)?;
    let body = String::from_utf8_lossy(&body).replace(".SH ", ".SS ");
    let name = name.to_uppercase();
    Ok(format!(".SH CUTOVER {name}\n{body}"))
}

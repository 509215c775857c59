//! `docs/reference/command-line.md`: the help of every command as a page. And: what the pages say of commands and options.

use std::collections::BTreeSet;
use std::fmt::Write;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser};
use cutover::cli::args::Cli;

use super::pages::{self, check_generated};

/// What stands above the commands.
const HEAD: &str = "\
# Command line

<!-- Generated from the help: UPDATE=1 cargo test --test it docs. Do not edit. -->

Each command explains itself with `--help`. The [exit codes](exit-codes.md) have a page of their own.

";

/// Options in pages that are not this program's.
const OF_OTHERS: [&str; 1] = ["--token"];

/// The page.
fn render() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = HEAD.to_owned();
    let mut globals = Vec::new();
    for argument in root.get_arguments() {
        if argument.is_global_set() && !argument.is_hide_set() {
            globals.push(argument);
        }
    }
    page.push_str("## Options of every command\n\n");
    page.push_str(&table("option", &globals));
    for command in root.get_subcommands() {
        if !command.is_hide_set() && command.get_name() != "help" {
            page.push_str(&section(command, command.get_name()));
        }
        for below in command.get_subcommands() {
            let name = format!("{} {}", command.get_name(), below.get_name());
            page.push_str(&section(below, &name));
        }
    }
    let page = page.trim_end();
    format!("{page}\n")
}

/// One command.
fn section(command: &Command, name: &str) -> String {
    let about = command.get_about().expect("a command says what it does");
    let usage = command.clone().render_usage().to_string();
    let mut text = format!("## {name}\n\n{about}.\n\n```text\n{usage}\n```\n\n");
    let mut positional = Vec::new();
    let mut options = Vec::new();
    for argument in command.get_arguments() {
        if argument.is_hide_set() || argument.is_global_set() || argument.get_id() == "help" {
            continue;
        }
        if argument.is_positional() {
            positional.push(argument);
        } else {
            options.push(argument);
        }
    }
    text.push_str(&table("argument", &positional));
    text.push_str(&table("option", &options));
    if let Some(more) = command.get_after_help().or(command.get_after_long_help()) {
        text.push_str(&prose(&more.to_string()));
    }
    text
}

/// Arguments or options.
fn table(what: &str, arguments: &[&Arg]) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    let mut text = format!("| {what} | default | meaning |\n|---|---|---|\n");
    for argument in arguments {
        let mut defaults = Vec::new();
        for value in argument.get_default_values() {
            defaults.push(format!("`{}`", value.to_string_lossy()));
        }
        if argument.is_required_set() {
            defaults.push("**required**".to_owned());
        }
        if let Some(variable) = argument.get_env() {
            defaults.push(format!("`{}`", variable.to_string_lossy()));
        }
        if defaults.is_empty() || !argument.get_action().takes_values() {
            defaults = vec!["–".to_owned()];
        }
        let help = argument.get_help().map(ToString::to_string);
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            argument_name(argument).replace('|', "\\|"),
            defaults.join(", "),
            help.unwrap_or_default().replace('|', "\\|")
        );
    }
    text.push('\n');
    text
}

/// An argument as it is written on the command line.
fn argument_name(argument: &Arg) -> String {
    let mut name = String::new();
    if let Some(short) = argument.get_short() {
        let _ = write!(name, "-{short}, ");
    }
    if let Some(long) = argument.get_long() {
        let _ = write!(name, "--{long}");
    }
    if argument.get_action().takes_values() {
        let values = argument.get_value_names().unwrap_or_default();
        let separator = if name.is_empty() { "" } else { " " };
        let _ = write!(name, "{separator}<{}>", values.join("> <"));
    }
    name
}

/// Help as Markdown: indented lines become a block.
fn prose(help: &str) -> String {
    let mut text = String::new();
    let mut in_block = false;
    for line in help.lines() {
        let is_indented = line.starts_with("  ");
        if is_indented && !in_block {
            text.push_str("\n```text\n");
        } else if in_block && !is_indented {
            text.push_str("```\n");
            if !line.is_empty() {
                text.push('\n');
            }
        }
        in_block = is_indented;
        text.push_str(line.strip_prefix("  ").unwrap_or(line));
        text.push('\n');
    }
    if in_block {
        text.push_str("```\n");
    }
    text.push('\n');
    text
}

/// Splits a line into words as a shell does, as far as single quotes go.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Whether the command line is understood: with `--help` at its end it is parsed, and not carried out.
fn is_understood(line: &str) -> bool {
    let mut all = vec!["cutover".to_owned()];
    all.extend(words(line));
    all.push("--help".to_owned());
    match Cli::try_parse_from(all) {
        Ok(_) => true,
        Err(error) => [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind()),
    }
}

/// The arguments of this program in a line, if the line calls it.
fn call(line: &str) -> Option<&str> {
    if let Some(arguments) = line.strip_prefix("cargo run -- ") {
        return Some(arguments);
    }
    if let Some(arguments) = line.strip_prefix("cutover ") {
        return Some(arguments);
    }
    line.split_once(" cutover ").map(|(_, arguments)| arguments)
}

/// The options of a command, long and short, with their hyphens.
fn options(command: &Command) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for argument in command.get_arguments() {
        if let Some(long) = argument.get_long() {
            names.insert(format!("--{long}"));
        }
        if let Some(short) = argument.get_short() {
            names.insert(format!("-{short}"));
        }
    }
    names
}

/// The options of a command and of those below it.
fn all_options(command: &Command) -> BTreeSet<String> {
    let mut names = options(command);
    for below in command.get_subcommands() {
        names.extend(options(below));
    }
    names
}

#[test]
fn the_command_line_page_is_as_the_help_says() {
    check_generated("docs/reference/command-line.md", &render());
}

#[test]
fn every_command_line_of_the_pages_is_understood() {
    let mut checked = 0;
    for page in pages::all() {
        let spans = pages::code_spans(&page.text);
        let mut lines: Vec<&str> = spans.iter().map(String::as_str).collect();
        lines.extend(pages::shell_lines(&page.text));
        for line in lines {
            if let Some(arguments) = call(line) {
                checked += 1;
                assert!(is_understood(arguments), "{}: {line}", page.name);
            }
        }
    }
    assert!(checked > 100, "only {checked} command lines");
}

#[test]
fn every_option_in_the_text_of_a_page_exists() {
    let mut root = Cli::command();
    root.build();
    let mut of_any = options(&root);
    for command in root.get_subcommands() {
        of_any.extend(all_options(command));
    }
    for page in pages::for_users() {
        for span in pages::code_spans(&page.text) {
            let span = span.strip_prefix("cutover ").unwrap_or(&span);
            let first = span.split([' ', '=']).next().unwrap_or_default();
            let known = match root.find_subcommand(first) {
                Some(command) => all_options(command),
                None if first.starts_with("--") => of_any.clone(),
                None => continue,
            };
            for word in span.split([' ', '=']) {
                if word.starts_with("--") && !OF_OTHERS.contains(&word) {
                    assert!(known.contains(word), "{}: no {word}: {span}", page.name);
                }
            }
        }
    }
}

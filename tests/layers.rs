//! The house rules that can be read off the source: which room of `src` may name which (ARCHITECTURE.md). The compiler keeps
//! the rooms of `crates` apart.
//!
//! The check is textual. It asks for paths that begin with `crate::` and a room, and refuses those that hide the room.
//! Tests within the source (from `#[cfg(test)]` on, and files named `tests.rs`) may name any room.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Each room and those that it may name besides itself. `engine`, `ports`, `sim` and `scenario` are crates.
const ROOMS: [(&str, &[&str]); 14] = [
    ("engine", &[]),
    ("scenario", &[]),
    ("plan_file", &["reach", "scenario", "engine"]),
    ("ports", &[]),
    ("report", &["engine"]),
    ("journal", &["reach", "ports", "engine"]),
    ("reach", &[]),
    ("aws", &["reach", "ports", "engine"]),
    ("sim", &[]),
    ("notify", &["reach", "ports", "engine"]),
    ("beside", &["reach", "ports", "engine"]),
    ("controller", &["ports", "engine"]),
    ("web", &["report", "ports", "engine"]),
    (
        "cli",
        &[
            "engine",
            "scenario",
            "plan_file",
            "ports",
            "report",
            "journal",
            "aws",
            "sim",
            "notify",
            "reach",
            "beside",
            "controller",
            "web",
        ],
    ),
];

/// Crates that only some rooms may name, by the beginning of their names.
const OWNED_CRATES: [(&str, &[&str]); 3] = [
    ("aws_", &["aws", "reach", "cli"]),
    ("rusqlite", &["journal"]),
    ("clap", &["cli"]),
];

/// What a source file does against the rules, as `line: what`.
fn violations(room: &str, source: &str, dependencies: &[String]) -> Vec<String> {
    let allowed = ROOMS.iter().find(|(name, _)| *name == room);
    let allowed = allowed.map_or(&[][..], |(_, below)| below);
    let mut found = Vec::new();
    for (number, line) in production_lines(source) {
        let mut complain = |what: String| found.push(format!("{number}: {what}"));
        for named in roots_after(line, "crate::") {
            match named {
                "" => {
                    complain("a path from `crate` must go on with its room, one a line".to_owned());
                }
                named if named == room || allowed.contains(&named) => {}
                named => complain(format!("`{room}` may not name `{named}`")),
            }
        }
        for named in roots_after(line, "super::") {
            if named == "super" {
                complain("`super::super` hides what is named; begin with `crate`".to_owned());
            }
            // From a room's `mod.rs` a single `super` leads out of it.
            if named != room && ROOMS.iter().any(|(name, _)| *name == named) && room != "root" {
                complain(format!(
                    "`super::{named}` may lead out of the room; begin with `crate`"
                ));
            }
        }
        for (prefix, owners) in OWNED_CRATES {
            let mut crates = dependencies.iter().filter(|name| name.starts_with(prefix));
            if !owners.contains(&room) && crates.any(|name| names_crate(line, name)) {
                complain(format!("only {owners:?} may name `{prefix}`"));
            }
        }
        for unfinished in ["todo!", "unimplemented!"] {
            if line.contains(unfinished) {
                complain(format!("`{unfinished}`"));
            }
        }
    }
    found
}

/// The numbered lines of a file up to its tests, without comments.
fn production_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(source.lines());
    numbered
        .take_while(|(_, line)| {
            line.trim() != "#[cfg(test)]" && !line.trim().starts_with("#[cfg(all(test")
        })
        .map(|(number, line)| {
            let code = if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            };
            (
                number,
                code.split_once(" // ").map_or(code, |(code, _)| code),
            )
        })
}

/// The names that follow each occurrence of `root` as a path's beginning; empty where no name follows.
fn roots_after<'line>(line: &'line str, root: &str) -> Vec<&'line str> {
    let starts = line.match_indices(root).filter(|(at, _)| {
        let before = line[..*at].chars().next_back();
        !before.is_some_and(is_name)
    });
    let names = starts.map(|(at, _)| {
        let rest = &line[at + root.len()..];
        &rest[..rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())]
    });
    names.collect()
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether a line names a crate, in a path or as a whole.
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let in_path = line.match_indices(&path).any(|(at, _)| {
        let before = &line[..at];
        let before = before.strip_suffix("::").unwrap_or(before);
        !before.ends_with(is_name)
    });
    in_path || line.trim() == format!("use {name};")
}

/// The crates of `[dependencies]`, as they are named in source.
fn dependencies() -> Vec<String> {
    let manifest = read(&root().join("Cargo.toml"));
    let (_, section) = manifest
        .split_once("\n[dependencies]")
        .expect("dependencies");
    let (section, _) = section.split_once("\n[").expect("a section follows");
    let names = section.lines().filter_map(|line| line.split_once(" = "));
    names
        .map(|(name, _)| name.trim().replace('-', "_"))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files under a folder, in order.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for found in fs::read_dir(folder).expect("a folder") {
        let path = found.expect("readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The room that a file under `src` lies in; `root` for `lib.rs` and `main.rs`.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("under src");
    let first = inside
        .components()
        .next()
        .expect("a name")
        .as_os_str()
        .to_string_lossy();
    match first.strip_suffix(".rs") {
        Some("lib" | "main") => "root".to_owned(),
        Some(room) => room.to_owned(),
        None => first.into_owned(),
    }
}

#[test]
fn every_room_names_only_the_rooms_below_it() {
    let dependencies = dependencies();
    let mut found = Vec::new();
    for path in rust_files(&root().join("src")) {
        let room = room_of(&path);
        let known = room == "root" || ROOMS.iter().any(|(name, _)| *name == room);
        assert!(known, "{room} is a new room; say here what it may name");
        if room != "root" && !path.ends_with("tests.rs") {
            let here = violations(&room, &read(&path), &dependencies);
            found.extend(
                here.into_iter()
                    .map(|what| format!("{}:{what}", path.display())),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_test_file_is_in_the_one_test_binary() {
    let main = read(&root().join("tests/main.rs"));
    for found in fs::read_dir(root().join("tests")).expect("a folder") {
        let path = found.expect("readable").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let is_test = path.extension().is_some_and(|extension| extension == "rs")
            || path.join("mod.rs").exists();
        let listed = main
            .lines()
            .any(|line| line.trim() == format!("mod {name};"));
        assert!(
            !is_test || listed || name == "main",
            "tests/main.rs does not list {name}"
        );
    }
}

#[test]
fn every_test_file_of_a_folder_is_listed_by_the_file_of_its_name() {
    let mut folders = vec![root().join("tests")];
    while let Some(folder) = folders.pop() {
        for found in fs::read_dir(&folder).expect("a folder") {
            let path = found.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_rust = path.extension().is_some_and(|extension| extension == "rs");
            let name = path.file_stem().expect("a name").to_string_lossy();
            if !is_rust || folder == root().join("tests") || name == "mod" {
                continue;
            }
            let parent = folder.with_extension("rs");
            let parent = if parent.exists() {
                parent
            } else {
                folder.join("mod.rs")
            };
            let listed = read(&parent)
                .lines()
                .any(|line| line.trim().ends_with(&format!("mod {name};")));
            assert!(listed, "{} does not list {name}", parent.display());
        }
    }
}

#[test]
fn a_room_that_names_one_above_it_is_found() {
    for (room, line, says) in [
        (
            "controller",
            "    crate::aws::route53::Client::new()",
            "may not name `aws`",
        ),
        (
            "notify",
            "fn word(x: &crate::report::Text) {}",
            "may not name `report`",
        ),
        (
            "journal",
            "use crate::{engine::event::Event, sim::World};",
            "one a line",
        ),
        ("journal", "use crate::sim as engine;", "may not name `sim`"),
        ("aws", "use super::super::controller;", "super::super"),
        ("aws", "use super::controller::Round;", "may lead out"),
        ("controller", "use aws_sdk_route53::Client;", "aws_"),
        (
            "controller",
            "let x = rusqlite::Connection::open(path);",
            "rusqlite",
        ),
        ("report", "    todo!()", "todo!"),
        ("report", "    unimplemented!(\"later\")", "unimplemented!"),
    ] {
        let found = violations(room, line, &dependencies());
        assert!(
            found.iter().any(|what| what.contains(says)),
            "{line}: {found:?}"
        );
    }
}

#[test]
fn what_the_rules_allow_is_not_complained_of() {
    for (room, source) in [
        (
            "report",
            "use crate::engine::units::Share;\nuse super::text::Text;\nuse jiff::Timestamp;",
        ),
        (
            "report",
            "// crate::ports is not named here\n/// nor [`crate::cli`]",
        ),
        (
            "journal",
            "use rusqlite::Connection;\nuse crate::ports::Journal;",
        ),
        (
            "cli",
            "use crate::aws;\nuse aws_config::SdkConfig;\nuse clap::Parser;",
        ),
        (
            "notify",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::controller::round;\n}",
        ),
        ("aws", "let my_crate::controller = 1;\nlet pretokio::x = 2;"),
    ] {
        assert_eq!(
            violations(room, source, &dependencies()),
            Vec::<String>::new(),
            "{source}"
        );
    }
}

//! The pages for people say what is so: links, plans, commands, keys, kinds, exit codes, files and tests.

mod command_line;
mod pages;
mod plan_reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cutover::engine::event::Event;
use cutover::engine::hold::HoldReason;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use pages::files;

use pages::{code_spans, document, root};

/// The most lines of the README.
const README_LINES_MAX: usize = 220;

/// Keys of a plan that pages show without the rest of the plan. They are tried under the README's plan.
const PARTS: [&str; 3] = ["hooks:", "jobs:", "notify:"];

/// Words in front of a colon that are no keys of a plan, a scenario or a fleet.
const OTHER_KEYS: [&str; 1] = ["because"];

/// Made of the schema itself; its examples have headers and labels.
const PLAN_REFERENCE: &str = "docs/reference/plan.md";

/// Folders of the project that pages name files of.
const FOLDERS: [&str; 8] = [
    "src/", "tests/", "plans/", "benches/", "docs/", ".ci/", "crates/", "deploy/",
];

#[test]
fn the_readme_is_short_and_has_its_two_commands() {
    let readme = document("README.md");
    let lines = readme.lines().count();
    assert!(lines <= README_LINES_MAX, "{lines} lines");
    for command in [
        "\ncargo run -- rehearse plans/recipe-api.yaml ",
        "\ncargo test ",
    ] {
        assert!(readme.contains(command), "{command}");
    }
}

#[test]
fn every_link_of_the_pages_leads_to_a_file_and_a_heading() {
    let mut links = 0;
    for page in pages::all() {
        for part in page.text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let here = root().join(&page.name);
            let path = if file.is_empty() {
                here
            } else {
                here.parent().expect("a page lies in a folder").join(file)
            };
            assert!(path.exists(), "{} links to {target}", page.name);
            if !anchor.is_empty() {
                let text = fs::read_to_string(&path).expect("a page can be read");
                let known = pages::anchors(&text).contains(&anchor.to_owned());
                assert!(known, "{} links to {target}: no such heading", page.name);
            }
        }
    }
    assert!(links > 100, "only {links} links");
}

#[test]
fn the_summary_lists_every_page_of_the_book() {
    let summary = document("docs/SUMMARY.md");
    for path in files(&root().join("docs"), "md") {
        let name = path.strip_prefix(root().join("docs")).expect("in docs");
        let link = format!("]({})", name.display());
        let is_listed = name == Path::new("SUMMARY.md") || summary.contains(&link);
        assert!(
            is_listed,
            "docs/SUMMARY.md does not list {}",
            name.display()
        );
    }
}

#[test]
fn every_file_that_the_pages_name_is_there() {
    for page in pages::all() {
        let apart = |letter: char| letter.is_whitespace() || "`()\"',;#|".contains(letter);
        for word in page.text.split(apart) {
            let is_named = FOLDERS.iter().any(|folder| word.starts_with(folder));
            let word = word.trim_end_matches([':', '.']);
            let is_pattern = word.contains(['*', '…', '<']);
            if is_named && !is_pattern && page.name != "CHANGELOG.md" {
                assert!(root().join(word).exists(), "{} names {word}", page.name);
            }
        }
    }
}

#[test]
fn every_place_in_src_that_the_architecture_names_is_there() {
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for span in code_spans(&document(name)) {
            let Some((room, _)) = span.split_once('/') else {
                continue;
            };
            let src = root().join("src");
            if room.is_empty() || !src.join(room).is_dir() || span.contains(' ') {
                continue;
            }
            let path = src.join(span.trim_end_matches('/'));
            let there = path.exists() || path.with_extension("rs").exists();
            assert!(there, "{name} names {span}");
        }
    }
}

#[test]
fn the_architecture_names_every_folder_of_src() {
    let spans = code_spans(&document("ARCHITECTURE.md"));
    let mut folders = BTreeSet::new();
    for path in files(&root().join("src"), "rs") {
        let inside = path.strip_prefix(root().join("src")).expect("in src");
        folders.extend(inside.parent().map(Path::to_path_buf));
    }
    folders.remove(Path::new(""));
    for folder in folders {
        let mut names = spans.iter().filter(|span| span.ends_with('/'));
        let known = names.any(|name| folder.ends_with(name.trim_end_matches('/')));
        assert!(
            known,
            "ARCHITECTURE.md does not name the folder {}",
            folder.display()
        );
    }
}

/// Whether a block of YAML is read without a mistake, as the plan, the fleet, the scenario or the part that it is.
fn is_valid(block: &str, plan: &str) -> bool {
    if block.starts_with("max_in_flight") {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("fleet.yaml");
        fs::write(&path, block).expect("the file can be written");
        return cutover::plan_file::load_fleet(&path).is_ok();
    }
    if block.contains("version:") {
        return cutover::plan_file::parse(block, "page.yaml").is_ok();
    }
    if PARTS.iter().any(|key| block.starts_with(key)) {
        let whole = format!("{plan}\n{block}\n");
        return cutover::plan_file::parse(&whole, "page.yaml").is_ok();
    }
    cutover::plan_file::parse_scenario(block, "page.yaml").is_ok()
}

#[test]
fn every_plan_of_the_pages_is_valid_and_every_json_is_json() {
    let readme = document("README.md");
    let plan = pages::blocks(&readme, "yaml")[0];
    let (mut plans, mut samples) = (0, 0);
    for page in pages::all() {
        for block in pages::blocks(&page.text, "yaml") {
            plans += 1;
            assert!(is_valid(block, plan), "{}: {block}", page.name);
        }
        for sample in pages::blocks(&page.text, "json") {
            samples += 1;
            let parsed: Result<Value, _> = serde_json::from_str(sample);
            assert!(parsed.is_ok(), "{}: {sample}", page.name);
        }
    }
    assert!(plans >= 10 && samples >= 3, "{plans} plans, {samples} JSON");
}

/// The names of all keys in a schema.
fn keys(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                names.extend(properties.keys().cloned());
            }
            for value in object.values() {
                keys(value, names);
            }
        }
        Value::Array(values) => {
            for value in values {
                keys(value, names);
            }
        }
        _ => {}
    }
}

#[test]
fn every_plan_key_in_the_text_of_a_page_exists() {
    let mut known = BTreeSet::from(OTHER_KEYS.map(str::to_owned));
    keys(&cutover::plan_file::schema(), &mut known);
    keys(&cutover::plan_file::fleet_schema(), &mut known);
    let top = cutover::plan_file::schema();
    let mut checked = 0;
    for page in pages::for_users() {
        if page.name == PLAN_REFERENCE {
            continue;
        }
        for span in code_spans(&page.text) {
            let is_word = |word: &str| {
                let plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
                !word.is_empty() && word.chars().all(plain)
            };
            let mut named = Vec::new();
            match span.split_once(": ") {
                Some((key, _)) if is_word(key) => named.push(key),
                _ => {}
            }
            let path: Vec<&str> = span.split('.').collect();
            if path.len() > 1 && top["properties"][path[0]].is_object() {
                named.extend(path.into_iter().filter(|part| is_word(part)));
            }
            for key in named {
                checked += 1;
                assert!(known.contains(key), "{}: {span}", page.name);
            }
        }
    }
    assert!(checked > 40, "only {checked} keys");
}

/// The words by which the variants of an enum go in JSON.
fn variants<T: DeserializeOwned>(tag: &str) -> BTreeSet<String> {
    let nothing = format!("{{\"{tag}\":\"no such variant\"}}");
    let parsed: Result<T, _> = serde_json::from_str(&nothing);
    let Err(error) = parsed else {
        panic!("`no such variant` is understood");
    };
    let error = error.to_string();
    let (_, listed) = error.split_once("expected one of").expect("a list");
    code_spans(listed).into_iter().collect()
}

#[test]
fn troubleshooting_explains_every_reason_and_no_other() {
    let page = document("docs/operations/troubleshooting.md");
    let (page, _) = page.split_once("## Other messages").expect("the last part");
    let explained: BTreeSet<String> = pages::first_column(page).into_iter().collect();
    assert_eq!(explained, variants::<HoldReason>("kind"));
}

#[test]
fn the_page_about_json_lists_every_type_of_entry_and_no_other() {
    let page = document("docs/reference/json.md");
    let (_, table) = page.split_once("| type | when |").expect("the table");
    let (table, _) = table.split_once("\n## ").expect("a part follows");
    let listed: BTreeSet<String> = pages::first_column(table).into_iter().collect();
    let mut known = variants::<Event>("type");
    // It stands for an entry that cannot be read, and is never written.
    known.insert("unreadable".to_owned());
    assert_eq!(listed, known);
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let page = document("docs/reference/exit-codes.md");
    let mut listed = BTreeSet::new();
    for line in page.lines() {
        if let Some(row) = line.strip_prefix("| ") {
            let first = row.split(' ').next().unwrap_or_default();
            listed.extend(first.parse::<u8>().ok());
        }
    }
    let mut help = Command::new(env!("CARGO_BIN_EXE_cutover"));
    let help = help.arg("--help").output().expect("the command runs");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let (_, codes) = help
        .split_once("Exit codes:")
        .expect("the help lists the exit codes");
    let mut known = BTreeSet::new();
    for line in codes.lines() {
        if let Some((code, _)) = line.trim().split_once("  ") {
            known.extend(code.parse::<u8>().ok());
        }
    }
    assert_eq!(listed, known);
}

#[test]
fn every_test_that_the_architecture_names_is_there() {
    let mut tests: Vec<(PathBuf, String)> = Vec::new();
    for folder in ["tests", "crates/testbed/tests"] {
        for path in files(&root().join(folder), "rs") {
            let source = fs::read_to_string(&path).expect("a source can be read");
            tests.push((path, source));
        }
    }
    let mut named = 0;
    let text = document("ARCHITECTURE.md");
    for line in text.lines().filter(|line| line.starts_with("| I")) {
        for span in code_spans(line) {
            let Some((file, claim)) = span.split_once("::") else {
                continue;
            };
            named += 1;
            let function = format!("fn {claim}(");
            let there = tests.iter().any(|(path, source)| {
                path.file_stem().is_some_and(|stem| stem == file) && source.contains(&function)
            });
            assert!(there, "no test `{file}::{claim}`");
        }
    }
    assert!(named > 20, "only {named} tests are named");
}

#[test]
fn every_rule_that_is_cited_is_on_the_page_of_semantics() {
    let page = document("docs/reference/semantics.md");
    let mut rules = BTreeSet::new();
    for line in page.lines() {
        let Some(heading) = line.strip_prefix("##") else {
            continue;
        };
        let number = heading.trim_start_matches('#').trim_start();
        rules.extend(number.split(['.', ' ']).next());
    }
    assert!(rules.len() > 60, "{rules:?}");
    let mut texts = Vec::new();
    for page in pages::all() {
        texts.push((page.name, page.text));
    }
    for folder in ["src", "crates", "tests", "benches"] {
        for path in files(&root().join(folder), "rs") {
            let text = fs::read_to_string(&path).expect("a source can be read");
            texts.push((path.display().to_string(), text));
        }
    }
    let mut cited = 0;
    for (name, text) in texts {
        for part in text.split("(semantics ").skip(1) {
            let mut numbers = part.split(|letter: char| !letter.is_ascii_alphanumeric());
            let number = numbers.next().unwrap_or_default();
            if number.starts_with(|letter| ('A'..='M').contains(&letter)) {
                cited += 1;
                assert!(rules.contains(number), "{name}: {number}");
            }
        }
    }
    assert!(cited > 100, "only {cited} citations");
}

//! What the documents name exists: plans, commands and their options, exit codes, files, tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The Rust files of a folder and those in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    files(folder, "rs")
}

/// The files of a folder and those in it whose names end so.
fn files(folder: &Path, wanted: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let (folders, here): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let is_wanted = |path: &PathBuf| path.extension().is_some_and(|ending| ending == wanted);
    let mut found: Vec<PathBuf> = here.into_iter().filter(is_wanted).collect();
    found.extend(folders.iter().flat_map(|folder| files(folder, wanted)));
    found
}

fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a name")
}

/// What stands between single backticks, outside fenced blocks.
fn code_spans(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

/// The lines of fenced blocks that a shell is to run, without prompt and comment, and only up to a pipe.
fn shell_lines(text: &str) -> Vec<&str> {
    let mut shell = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            shell = language == "sh" || language == "console";
        } else if shell {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let line = line.split_once(" #").map_or(line, |(command, _)| command);
            found.push(line.split_once(" | ").map_or(line, |(command, _)| command));
        }
    }
    found
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
fn is_understood(arguments: &[String]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command.args(arguments).arg("--help").stdin(Stdio::null());
    let output = command.output().expect("the command runs");
    output.status.success()
}

#[test]
fn every_plan_that_the_documents_name_is_there() {
    for name in ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
        let text = document(name);
        let apart = |letter: char| letter.is_whitespace() || "`()\"',".contains(letter);
        for word in text.split(apart).filter(|word| word.starts_with("plans/")) {
            let path = word.trim_end_matches([':', '.', ';']);
            assert!(root().join(path).exists(), "{name} names {path}");
        }
    }
}

#[test]
fn every_command_line_of_the_readme_is_understood() {
    let readme = document("README.md");
    let spans = code_spans(&readme);
    let lines: BTreeSet<&str> = spans
        .iter()
        .map(String::as_str)
        .chain(shell_lines(&readme))
        .filter_map(|line| {
            line.strip_prefix("cutover ")
                .or_else(|| line.strip_prefix("cargo run -- "))
        })
        .collect();
    assert!(lines.len() > 15, "{lines:?}");
    for line in lines {
        assert!(is_understood(&words(line)), "cutover {line}");
    }
}

/// The fenced blocks in one language.
fn blocks<'text>(text: &'text str, language: &str) -> Vec<&'text str> {
    let opening = format!("```{language}\n");
    let blocks = text.split(opening.as_str()).skip(1);
    blocks
        .filter_map(|block| Some(block.split_once("\n```")?.0))
        .collect()
}

#[test]
fn the_plan_of_the_readme_is_valid_and_its_json_is_json() {
    let readme = document("README.md");
    let plans = blocks(&readme, "yaml");
    assert!(!plans.is_empty());
    let (fleets, others): (Vec<&str>, Vec<&str>) = plans
        .into_iter()
        .partition(|block| block.starts_with("max_in_flight"));
    for fleet in fleets {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("fleet.yaml");
        fs::write(&path, fleet).expect("the file can be written");
        assert!(cutover::plan_file::load_fleet(&path).is_ok(), "{fleet}");
    }
    let (plans, scenarios): (Vec<&str>, Vec<&str>) = others
        .into_iter()
        .partition(|block| block.contains("version:"));
    // A part of a plan stands for itself and is tried under the page's own plan.
    let keys = ["hooks:", "jobs:", "notify:"];
    let is_part = |block: &&str| keys.iter().any(|key| block.starts_with(key));
    let (parts, scenarios): (Vec<&str>, Vec<&str>) = scenarios.into_iter().partition(is_part);
    assert_eq!(parts.len(), 4);
    for part in parts {
        let plan = format!("{}\n{part}\n", plans[0]);
        let read = cutover::plan_file::parse(&plan, "README.md");
        assert!(read.is_ok(), "{part}");
    }
    for scenario in scenarios {
        let read = cutover::plan_file::parse_scenario(scenario, "README.md");
        assert!(read.is_ok(), "{scenario}");
    }
    for plan in plans {
        let folder = tempfile::tempdir().expect("a temporary directory");
        if plan.starts_with("max_in_flight") {
            let path = folder.path().join("fleet.yaml");
            fs::write(&path, plan).expect("the file can be written");
            assert!(cutover::plan_file::load_fleet(&path).is_ok(), "{plan}");
            continue;
        }
        let path = folder.path().join("plan.yaml");
        fs::write(&path, plan).expect("the plan can be written");
        assert!(cutover::plan_file::load(&path).is_ok(), "{plan}");
    }
    let samples = blocks(&readme, "json");
    assert!(samples.len() >= 3);
    for sample in samples {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(sample);
        assert!(parsed.is_ok(), "{sample}");
    }
}

#[test]
fn the_readme_lists_the_exit_codes_that_the_help_lists() {
    let readme = document("README.md");
    let listed: BTreeSet<u8> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    let mut help = Command::new(env!("CARGO_BIN_EXE_cutover"));
    let help = help
        .arg("--help")
        .output()
        .expect("the command runs")
        .stdout;
    let help = String::from_utf8(help).expect("UTF-8");
    let (_, codes) = help
        .split_once("Exit codes:")
        .expect("the help lists the exit codes");
    let known: BTreeSet<u8> = codes
        .lines()
        .filter_map(|line| line.trim().split_once("  ")?.0.parse().ok())
        .collect();
    assert_eq!(listed, known);
}

#[test]
fn every_test_that_the_architecture_names_is_there() {
    let text = document("ARCHITECTURE.md");
    let tests: Vec<(PathBuf, String)> = sources(&root().join("tests"))
        .into_iter()
        .map(|path| {
            let source = fs::read_to_string(&path).expect("a source can be read");
            (path, source)
        })
        .collect();
    let mut named = 0;
    for line in text.lines().filter(|line| line.starts_with("| I")) {
        let spans = code_spans(line);
        for (file, claim) in spans.iter().filter_map(|span| span.split_once("::")) {
            named += 1;
            let function = format!("fn {claim}(");
            let there = tests
                .iter()
                .any(|(path, source)| stem(path) == file && source.contains(&function));
            assert!(there, "no test `{file}::{claim}`");
        }
    }
    assert!(named > 20, "only {named} tests are named");
}

#[test]
fn the_architecture_names_every_file_of_the_engine_and_the_controller() {
    let text = document("ARCHITECTURE.md");
    let spans = code_spans(&text);
    let named: BTreeSet<&str> = spans
        .iter()
        .map(|span| span.trim_end_matches('/'))
        .collect();
    for room in ["src/engine", "src/controller"] {
        for path in sources(&root().join(room)) {
            let file = stem(&path);
            let known = file == "mod" || file == "tests" || named.contains(file);
            assert!(known, "ARCHITECTURE.md does not name {}", path.display());
        }
    }
}

/// The pages for people, each with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut paths = files(&root().join("docs"), "md");
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ] {
        paths.push(root().join(name));
    }
    let mut pages = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a page can be read");
        pages.push((path, text));
    }
    pages
}

#[test]
fn every_link_of_the_pages_leads_to_a_file() {
    let mut links = 0;
    for (page, text) in pages() {
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            let folder = page.parent().expect("a page lies in a folder");
            let there = folder.join(target).exists();
            assert!(there, "{} links to {target}", page.display());
        }
    }
    assert!(links > 3, "only {links} links");
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
    let mut cited = 0;
    let mut texts = pages();
    for folder in ["src", "tests", "benches"] {
        for path in sources(&root().join(folder)) {
            let text = fs::read_to_string(&path).expect("a source can be read");
            texts.push((path, text));
        }
    }
    for (path, text) in texts {
        for part in text.split("(semantics ").skip(1) {
            let number = part
                .split(|letter: char| !letter.is_ascii_alphanumeric())
                .next();
            let number = number.unwrap_or_default();
            if !number.starts_with(|letter| ('A'..='M').contains(&letter)) {
                continue;
            }
            cited += 1;
            assert!(rules.contains(number), "{}: {number}", path.display());
        }
    }
    assert!(cited > 100, "only {cited} citations");
}

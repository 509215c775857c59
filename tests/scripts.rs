//! Stories: what the program does when something goes wrong, as pages that an on-call engineer can read, and add one.
//!
//! A page in `tests/scripts/` (and README.md, and each page in `docs/`) has fenced blocks. One whose language is followed
//! by a file name is that file. One that begins with `$ cutover rehearse`, `backtest` or `check` is played, and must
//! print what stands below it. To add a page, write all but the output; to take what is printed now into all pages, and
//! then to read the difference:
//!
//! ```sh
//! UPDATE=1 cargo test --test it scripts
//! git diff tests/scripts README.md docs
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use cutover::cli::args::{Cli, Command};
use cutover::cli::clock::SystemClock;
use cutover::cli::context::{Context, Terminal};
use cutover::cli::exit::Exit;
use cutover::cli::{backtest, check, rehearse};

/// What played blocks begin with.
const PROMPTS: [&str; 3] = [
    "$ cutover rehearse ",
    "$ cutover backtest ",
    "$ cutover check ",
];

/// As wide as a page is read.
const WIDTH: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages, in order.
fn pages() -> Vec<PathBuf> {
    let found = fs::read_dir(root().join("tests/scripts")).expect("tests/scripts is there");
    let paths = found.map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    pages.sort();
    pages
}

/// A page with the output of each played block as it is now.
fn played(page: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut shown = String::new();
    let mut rest = page;
    while let Some((before, block)) = rest.split_once("\n```") {
        let (head, body) = block.split_once('\n').expect("a block has a first line");
        let (body, after) = body.split_once("\n```").expect("a block is closed");
        shown = format!("{shown}{before}\n```{head}\n");
        if let Some((_, name)) = head.split_once(' ') {
            fs::write(folder.path().join(name), body).expect("the file can be written");
        }
        match PROMPTS.iter().find(|prompt| body.starts_with(**prompt)) {
            Some(_) => {
                let line = body.lines().next().unwrap_or_default();
                shown = format!("{shown}{line}\n{}", output(line, folder.path()));
            }
            None => shown = format!("{shown}{body}\n"),
        }
        shown.push_str("```");
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// What a command line prints, without colour; and its exit code, where that is not 0.
fn output(line: &str, folder: &Path) -> String {
    let words = words(line.trim_start_matches("$ "));
    let placed = words.iter().map(|word| placed(word, folder));
    let cli = Cli::try_parse_from(placed).unwrap_or_else(|error| panic!("{line}: {error}"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut context = Context {
        global: cli.global,
        out: &mut out,
        err: &mut err,
        terminal: Terminal {
            can_ask: false,
            out: false,
            width: Some(WIDTH),
        },
        clock: SystemClock,
    };
    let exit = match &cli.command {
        Command::Rehearse(args) => rehearse::run(&mut context, args),
        Command::Backtest(args) => backtest::run(&mut context, args),
        Command::Check(args) => check::run(&mut context, args),
        _ => panic!("{line} is not played"),
    };
    let exit = exit.unwrap_or_else(|error| panic!("{line}: {error:#}"));
    let mut shown =
        anstream::adapter::strip_str(&String::from_utf8(out).expect("UTF-8")).to_string();
    shown = shown.replace(&format!("{}/", root().display()), "");
    if exit != Exit::Done {
        shown = format!("{shown}\nexit code {}\n", exit.code());
    }
    shown
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

/// A word that names a file of the page, of this folder or of the project, as its path.
fn placed(word: &str, folder: &Path) -> String {
    let folders = [
        folder.to_path_buf(),
        root().join("tests/scripts"),
        root().to_path_buf(),
    ];
    let mut paths = folders.iter().map(|folder| folder.join(word));
    let found = paths.find(|path| word.contains('.') && path.is_file());
    found.map_or_else(|| word.to_owned(), |path| path.display().to_string())
}

/// Plays the pages, and compares or rewrites them.
fn compare(pages: &[PathBuf]) {
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for path in pages {
        let page = fs::read_to_string(path).expect("a page can be read");
        let now = played(&page);
        if now == page {
            continue;
        }
        if update {
            fs::write(path, now).expect("a page can be written");
        } else {
            wrong.push(difference(path, &page, &now));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nTo take it as it is now: UPDATE=1 cargo test --test it scripts",
        wrong.join("\n")
    );
}

/// The first lines that differ.
fn difference(path: &Path, page: &str, now: &str) -> String {
    let mut lines = (1..).zip(page.lines().zip(now.lines()));
    let first = lines.find(|(_, (was, is))| was != is);
    match first {
        Some((number, (was, is))) => format!("{}:{number}\n- {was}\n+ {is}", path.display()),
        None => format!("{}: one is longer", path.display()),
    }
}

/// A page in so many: each test plays its own part, so that they run beside each other.
fn part(number: usize, of: usize) -> Vec<PathBuf> {
    let pages = pages().into_iter().enumerate();
    let mine = pages.filter(|(index, _)| index % of == number);
    mine.map(|(_, page)| page).collect()
}

#[test]
fn every_story_is_as_it_is_told_part_1() {
    compare(&part(0, 4));
}

#[test]
fn every_story_is_as_it_is_told_part_2() {
    compare(&part(1, 4));
}

#[test]
fn every_story_is_as_it_is_told_part_3() {
    compare(&part(2, 4));
}

#[test]
fn every_story_is_as_it_is_told_part_4() {
    compare(&part(3, 4));
}

#[test]
fn the_outputs_in_the_documents_are_real() {
    let mut pages = crate::docs::files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    compare(&pages);
}

#[test]
fn a_story_says_what_it_claims_and_why() {
    let pages = pages();
    assert!(pages.len() >= 20, "{} stories", pages.len());
    for path in pages {
        let page = fs::read_to_string(&path).expect("a page can be read");
        assert!(page.starts_with("# "), "{} has no title", path.display());
        let told = page
            .lines()
            .skip(1)
            .take_while(|line| !line.starts_with("```"));
        assert!(
            told.into_iter().any(|line| !line.is_empty()),
            "{} says nothing",
            path.display()
        );
        let plays = PROMPTS.iter().any(|prompt| page.contains(*prompt));
        assert!(plays, "{} plays nothing", path.display());
    }
}

/// The example plans that stand alone, or (`true`) the scenarios beside them.
fn examples(scenarios: bool) -> Vec<PathBuf> {
    let found = fs::read_dir(root().join("plans")).expect("the folder is there");
    let paths = found.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".yaml") && name.ends_with(".scenario.yaml") == scenarios
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_example_plan_is_valid_without_warnings_and_completes_in_a_world_where_all_is_well() {
    for path in examples(false) {
        let loaded = cutover::plan_file::load(&path);
        let loaded = loaded.unwrap_or_else(|error| panic!("{}", error.render(false)));
        assert!(loaded.warnings.is_empty(), "{}", path.display());
        let line = format!("$ cutover rehearse {} --no-charts", path.display());
        let shown = output(&line, root());
        assert!(shown.contains("completed after"), "{shown}");
    }
}

#[test]
fn the_example_fleet_completes_in_its_order() {
    let shown = output("$ cutover rehearse plans/microservices --no-charts", root());
    assert_eq!(shown.matches(": completed after").count(), 12, "{shown}");
    assert!(
        shown.contains("held: after user-api: it has not started"),
        "{shown}"
    );
}

#[test]
fn every_example_scenario_belongs_to_a_plan_and_a_story_plays_it() {
    let told: Vec<String> = pages()
        .iter()
        .map(|path| fs::read_to_string(path).expect("a page can be read"))
        .collect();
    let plans = examples(false);
    for path in examples(true) {
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let of_plan = |plan: &PathBuf| {
            let stem = plan
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            name.starts_with(&stem)
        };
        assert!(plans.iter().any(of_plan), "{name} is named after no plan");
        let played = format!("--scenario plans/{name}");
        assert!(
            told.iter().any(|page| page.contains(&played)),
            "no story plays {name}"
        );
    }
}

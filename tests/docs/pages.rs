//! The pages for people, and what stands in them: code spans, fenced blocks, command lines, headings.

use std::fs;
use std::path::{Path, PathBuf};

/// Pages outside `docs/`.
const AT_THE_ROOT: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
];

/// Pages for those who change the program, not for those who use it.
const FOR_DEVELOPERS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

/// One page.
pub(super) struct Page {
    /// Its path from the project's root.
    pub(super) name: String,
    /// Its text.
    pub(super) text: String,
}

/// The project's root.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the project.
pub(super) fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files of a folder and of those in it whose names end so, in order.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|ending| ending == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All pages.
pub(super) fn all() -> Vec<Page> {
    let mut pages = Vec::new();
    for name in AT_THE_ROOT {
        pages.push(page(name.to_owned()));
    }
    for path in files(&root().join("docs"), "md") {
        let name = path.strip_prefix(root()).expect("a path of the project");
        pages.push(page(name.display().to_string()));
    }
    pages
}

/// The pages for those who use the program.
pub(super) fn for_users() -> Vec<Page> {
    let mut pages = all();
    pages.retain(|page| !FOR_DEVELOPERS.contains(&page.name.as_str()));
    pages
}

fn page(name: String) -> Page {
    let text = document(&name);
    Page { name, text }
}

/// The text between single backticks, outside fenced blocks.
pub(super) fn code_spans(text: &str) -> Vec<String> {
    let mut prose = String::new();
    for line in outside_blocks(text) {
        prose.push_str(line);
        prose.push(' ');
    }
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

/// The lines outside fenced blocks.
pub(super) fn outside_blocks(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push(line);
        }
    }
    lines
}

/// The fenced blocks in one language.
pub(super) fn blocks<'text>(text: &'text str, language: &str) -> Vec<&'text str> {
    let opening = format!("```{language}\n");
    let mut found = Vec::new();
    for block in text.split(opening.as_str()).skip(1) {
        if let Some((body, _)) = block.split_once("\n```") {
            found.push(body);
        }
    }
    found
}

/// The lines of fenced blocks for a shell, without prompt and comment, and only up to a pipe.
pub(super) fn shell_lines(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for body in [blocks(text, "sh"), blocks(text, "console")].concat() {
        for line in body.lines() {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let line = line.split_once(" #").map_or(line, |(command, _)| command);
            found.push(line.split_once(" | ").map_or(line, |(command, _)| command));
        }
    }
    found
}

/// The anchors of a page's headings, as they are made on a forge and by mdBook.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut anchors = Vec::new();
    for line in outside_blocks(text) {
        if line.starts_with('#') {
            anchors.push(anchor(line.trim_start_matches('#').trim()));
        }
    }
    anchors
}

/// The anchor of a heading: lower case, hyphens for spaces, no punctuation.
pub(super) fn anchor(heading: &str) -> String {
    let mut anchor = String::new();
    for letter in heading.chars() {
        if letter == ' ' {
            anchor.push('-');
        } else if letter.is_alphanumeric() || letter == '-' || letter == '_' {
            anchor.extend(letter.to_lowercase());
        }
    }
    anchor
}

/// The code spans in the first column of a page's tables.
pub(super) fn first_column(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in outside_blocks(text) {
        if let Some(row) = line.strip_prefix("| ") {
            let first = row.split(" | ").next().unwrap_or_default();
            found.extend(code_spans(first));
        }
    }
    found
}

/// Compares a generated page with its file, or rewrites the file if `UPDATE=1`.
pub(super) fn check_generated(name: &str, now: &str) {
    let path = root().join(name);
    let was = fs::read_to_string(&path).unwrap_or_default();
    if was == now {
        return;
    }
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(&path, now).expect("the page can be written");
        return;
    }
    let mut lines = was.lines().zip(now.lines());
    let first = lines.find(|(was, now)| was != now);
    panic!("{name} is not as it is generated: {first:?}; UPDATE=1 cargo test --test it docs");
}

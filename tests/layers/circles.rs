//! No files of a crate import each other in a circle: each can be read, and moved, after those that it names.
//!
//! The check is textual. A file names another if one of its paths leads to something in it: in a `use`, or through a module's
//! name. That a module lists its children is no import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{root, rust_files};

/// The path of a module within its crate; empty for the crate itself.
type Module = Vec<String>;

/// The words and marks of a source, without comments, texts and tests.
fn tokens(source: &str) -> Vec<String> {
    let source = match source.find("\nmod tests {") {
        Some(tests) => &source[..tests],
        None => source,
    };
    let letters: Vec<char> = source.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < letters.len() {
        let letter = letters[at];
        let next = letters.get(at + 1).copied();
        if letter == '/' && next == Some('/') {
            while at < letters.len() && letters[at] != '\n' {
                at += 1;
            }
        } else if letter == '"' {
            at = end_of_text(&letters, at);
        } else if letter == '\'' && next == Some('\\') {
            at += 3;
            while letters.get(at).is_some_and(|letter| *letter != '\'') {
                at += 1;
            }
            at += 1;
        } else if letter == '\'' && letters.get(at + 2) == Some(&'\'') {
            at += 3;
        } else if letter.is_alphanumeric() || letter == '_' {
            let from = at;
            while at < letters.len() && (letters[at].is_alphanumeric() || letters[at] == '_') {
                at += 1;
            }
            found.push(letters[from..at].iter().collect());
        } else if letter == ':' && next == Some(':') {
            found.push("::".to_owned());
            at += 2;
        } else {
            if !letter.is_whitespace() {
                found.push(letter.to_string());
            }
            at += 1;
        }
    }
    found
}

/// The place behind a text that begins at `from`; raw if `r` or `r#` stand before it.
fn end_of_text(letters: &[char], from: usize) -> usize {
    let hashes = letters[..from]
        .iter()
        .rev()
        .take_while(|letter| **letter == '#')
        .count();
    let is_raw = letters[..from - hashes].last() == Some(&'r');
    let mut at = from + 1;
    while at < letters.len() {
        if letters[at] == '\\' && !is_raw {
            at += 2;
            continue;
        }
        let closing = &letters[at + 1..(at + 1 + hashes).min(letters.len())];
        if letters[at] == '"' && (!is_raw || closing.iter().all(|letter| *letter == '#')) {
            return at + 1;
        }
        at += 1;
    }
    at
}

/// All paths of a tree as it stands in a `use`; moves behind it.
fn tree(tokens: &[String], at: &mut usize, before: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(*at) {
        match token.as_str() {
            "{" => {
                *at += 1;
                while tokens
                    .get(*at)
                    .is_some_and(|token| token != "}" && token != ";")
                {
                    tree(tokens, at, &path, paths);
                    if tokens.get(*at).is_some_and(|token| token == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "," | "}" | ";" => break,
            "::" => {}
            "as" => *at += 1,
            word => path.push(word.to_owned()),
        }
        *at += 1;
    }
    paths.push(path);
}

/// The paths of a source: those of its `use`s, and all others.
fn paths(tokens: &[String]) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let (mut used, mut others, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at] == "use" {
            at += 1;
            tree(tokens, &mut at, &[], &mut used);
            continue;
        }
        let mut path = Vec::new();
        let is_word = |token: &String| {
            token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
        };
        while tokens.get(at).is_some_and(is_word) {
            path.push(tokens[at].clone());
            at += 1;
            if tokens.get(at).is_none_or(|token| token != "::") {
                break;
            }
            at += 1;
        }
        if path.len() > 1 {
            others.push(path);
        } else if path.is_empty() {
            at += 1;
        }
    }
    (used, others)
}

/// A path from the crate's root; none if it leads out of the crate.
fn absolute(
    path: &[String],
    here: &Module,
    modules: &BTreeMap<Module, String>,
) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let ups = path.iter().take_while(|word| *word == "super").count();
    let mut all = here.clone();
    match first.as_str() {
        "crate" => all = Vec::new(),
        "self" => {}
        "super" => {
            all.truncate(here.len().checked_sub(ups)?);
            all.extend_from_slice(&path[ups..]);
            return Some(all);
        }
        child => {
            all.push(child.to_owned());
            if !modules.contains_key(&all) {
                return None;
            }
        }
    }
    all.extend_from_slice(rest);
    Some(all)
}

/// The modules that a module names.
fn named(here: &Module, source: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let (used, others) = paths(&tokens(source));
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut all = Vec::new();
    for path in used {
        if let (Some(path), Some(word)) = (absolute(&path, here, modules), path.last()) {
            known.insert(word.clone(), path.clone());
            all.push(path);
        }
    }
    for path in others {
        match known.get(&path[0]) {
            Some(begin) => all.push([begin, &path[1..]].concat()),
            None => all.extend(absolute(&path, here, modules)),
        }
    }
    let mut found = BTreeSet::new();
    for path in all {
        let lengths = (0..=path.len()).rev();
        let mut known = lengths.filter(|length| modules.contains_key(&path[..*length]));
        // The name of a module alone takes nothing from it.
        if let Some(length) = known.next()
            && length < path.len()
            && path[..length] != here[..]
        {
            found.insert(path[..length].to_vec());
        }
    }
    found
}

/// The modules of a crate by their paths, with their sources.
fn modules(folder: &Path) -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    for path in rust_files(folder) {
        if path.ends_with("tests.rs") || path.ends_with("main.rs") {
            continue;
        }
        let inside = path.strip_prefix(folder).expect("in the folder");
        let mut module: Module = Vec::new();
        for part in inside.with_extension("").components() {
            module.push(part.as_os_str().to_string_lossy().into_owned());
        }
        if ["mod", "lib"].contains(&module[module.len() - 1].as_str()) {
            module.pop();
        }
        let source = fs::read_to_string(&path).expect("a source can be read");
        modules.insert(module, source);
    }
    modules
}

/// The modules that lead back to themselves, each with those that it names on the way.
fn circles(modules: &BTreeMap<Module, String>) -> Vec<String> {
    let mut names: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, source) in modules {
        names.insert(module, named(module, source, modules));
    }
    let mut reached: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for module in modules.keys() {
        let mut seen = BTreeSet::new();
        let mut left: Vec<Module> = names[module].iter().cloned().collect();
        while let Some(next) = left.pop() {
            if seen.insert(next.clone()) {
                left.extend(names[&next].iter().cloned());
            }
        }
        reached.insert(module, seen);
    }
    let mut found = Vec::new();
    for (module, next) in &names {
        let round: Vec<String> = next
            .iter()
            .filter(|next| reached[next].contains(*module))
            .map(|next| next.join("::"))
            .collect();
        if !round.is_empty() {
            found.push(format!("{} names {}", module.join("::"), round.join(", ")));
        }
    }
    found
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let mut files = 0;
    for folder in [
        "src",
        "crates/engine/src",
        "crates/ports/src",
        "crates/sim/src",
        "crates/testbed/src",
    ] {
        let modules = modules(&root().join(folder));
        files += modules.len();
        let found = circles(&modules);
        assert!(found.is_empty(), "{folder}:\n{}", found.join("\n"));
    }
    assert!(files > 300, "only {files} files");
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let module = |name: &str, source: &str| (vec![name.to_owned()], source.to_owned());
    for (a, b) in [
        ("use crate::b::B;\n", "use crate::a::A;\n"),
        ("use super::b::{self, B};\n", "fn f() -> super::a::A {}\n"),
        (
            "use crate::b;\nfn f() { b::g() }\n",
            "use crate::{a::A, c::C};\n",
        ),
    ] {
        let modules = BTreeMap::from([module("a", a), module("b", b), module("c", "")]);
        assert_eq!(circles(&modules).len(), 2, "{a}{b}");
    }
    let quiet = "// crate::a::A\nfn f() -> &'static str { \"crate::a::A\" }\n\
                 #[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n";
    let modules = BTreeMap::from([module("a", "use crate::b::B;\n"), module("b", quiet)]);
    assert_eq!(circles(&modules), Vec::<String>::new());
}

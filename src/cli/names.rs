//! The names of cutovers on the command line: patterns, and suggestions for names that do not exist.

use std::collections::BTreeSet;

use super::args::Label;
use super::error::Expected;
use crate::engine::plan::Plan;
use crate::engine::units::CutoverName;

/// Returns true if a name is a pattern: it contains `*` or `?`.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Returns true if `name` matches `pattern`: `*` matches any text, `?` one character.
///
/// Backtracks only to the last `*`, so the time is at most the product of both lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(&c) if c == '?' || c == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            Some(_) | None => {
                let Some((star_at, taken)) = star else {
                    return false;
                };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                in_name = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// A cutover that a name or a pattern of the command line matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Name of the cutover.
    pub name: CutoverName,
    /// True if only a pattern matched it. If the command does not apply to such a cutover, it is passed over.
    pub by_pattern: bool,
}

/// Returns the cutovers among `known` that match the names and patterns, without duplicates, ordered by name.
///
/// # Errors
/// A name or pattern matches no cutover.
pub fn resolve(asked: &[String], known: &[CutoverName]) -> Result<Vec<Named>, Expected> {
    let mut literal: BTreeSet<CutoverName> = BTreeSet::new();
    let mut all: BTreeSet<CutoverName> = BTreeSet::new();
    for name in asked {
        let fitting: Vec<CutoverName> = known
            .iter()
            .filter(|known| matches(name, known.as_str()))
            .cloned()
            .collect();
        if fitting.is_empty() {
            return Err(unknown(name, known));
        }
        if !is_pattern(name) {
            literal.extend(fitting.iter().cloned());
        }
        all.extend(fitting);
    }
    let named = all.into_iter().map(|name| Named {
        by_pattern: !literal.contains(&name),
        name,
    });
    Ok(named.collect())
}

/// Returns true if a plan has all these labels.
pub fn has_labels(plan: &Plan, asked: &[Label]) -> bool {
    asked
        .iter()
        .all(|(key, value)| plan.labels.get(key) == Some(value))
}

/// Returns the error for a name that matches no cutover, with up to `ALIKE_MAX` similar names.
pub fn unknown(name: &str, known: &[CutoverName]) -> Expected {
    let known: Vec<String> = known.iter().map(CutoverName::to_string).collect();
    Expected::UnknownName {
        name: name.to_owned(),
        suggestions: alike(name, &known),
        known,
    }
}

/// The least similarity (Jaro-Winkler, 0 to 1) of a suggestion; with less it would mislead.
const LIKENESS_MIN: f64 = 0.8;

/// Largest number of suggestions for a name that does not exist.
const ALIKE_MAX: usize = 3;

/// Returns the candidate most similar to `name`; `None` if no candidate has a similarity of `LIKENESS_MIN`.
pub fn closest(name: &str, candidates: &[String]) -> Option<String> {
    alike(name, candidates).into_iter().next()
}

/// The longest name for which similar ones are looked for, in bytes. None that is known is longer.
const COMPARED_MAX: usize = 255;

/// Returns up to [`ALIKE_MAX`] candidates similar to `name`, the most similar first.
fn alike(name: &str, candidates: &[String]) -> Vec<String> {
    if name.len() > COMPARED_MAX {
        return Vec::new();
    }
    let mut alike: Vec<(f64, &String)> = candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    let alike = alike.into_iter().take(ALIKE_MAX);
    alike.map(|(_, candidate)| candidate.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<CutoverName> {
        ["recipe-api", "recipe-web", "user-api"]
            .map(CutoverName::from)
            .to_vec()
    }

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "abc"),
            ("a?c", "abc"),
            ("*-api", "user-api"),
            ("a*b*c", "axxbxbxc"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("?", ""), ("*-api", "user-web"), ("a*b", "ba")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn names_and_patterns_stand_for_each_cutover_once() {
        let asked = ["recipe-*".to_owned(), "recipe-api".to_owned()];
        let named = resolve(&asked, &known()).unwrap();
        let shown: Vec<(&str, bool)> = named
            .iter()
            .map(|named| (named.name.as_str(), named.by_pattern))
            .collect();
        assert_eq!(shown, [("recipe-api", false), ("recipe-web", true)]);
    }

    #[test]
    fn a_name_that_fits_nothing_is_answered_with_what_was_meant() {
        let error = resolve(&["recipe-ap".to_owned()], &known()).unwrap_err();
        let Expected::UnknownName { suggestions, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(suggestions, ["recipe-api", "recipe-web"]);
    }
}

//! Findings: mistakes in a file with their place and a suggested fix; and how they are printed.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::engine::foreign_text::one_line;
use crate::engine::secret_text;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plan is not loaded.
    Error,
    /// The plan is loaded, but a person should know this.
    Warning,
}

/// One thing that is wrong, or worth knowing, about a plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as the user named it.
    pub path: String,
    /// The line, from 1; none if the finding is about the whole file.
    pub line: Option<usize>,
    /// The column in characters, from 1; none if the finding is about the whole file.
    pub column: Option<usize>,
    /// The mistake.
    pub message: String,
    /// The suggested fix.
    pub help: Option<String>,
    /// Another place in the file that is related to it.
    pub related: Option<Related>,
    /// The offending line.
    #[serde(skip)]
    excerpt: Option<Excerpt>,
}

/// Another place in the file that a finding points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// The file: the finding's own, or the fleet's.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The label of that place.
    pub message: String,
    #[serde(skip)]
    excerpt: Excerpt,
}

/// The error if a plan was not loaded: every mistake in it, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PlanFileError {
    /// At least one finding, at least one of them an error.
    pub findings: Vec<Finding>,
}

/// A line of the file and the bytes in it that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// The offset of its first byte, counted like a [`Span`].
    at: usize,
    range: Range<usize>,
    /// True if the line was so long that `text` is only a part of it.
    cropped: bool,
}

/// A place in the file, in bytes.
pub(super) type Span = Range<usize>;

/// The most findings that are collected of one file; a file with more is not a plan.
const FINDINGS_MAX: usize = 200;

/// Longer lines are cropped around the place of the finding.
const LINE_BYTES_MAX: usize = 1000;

/// Shorter texts are hidden only in their own place, not elsewhere.
const HIDDEN_BYTES_MIN: usize = 4;

/// Longer texts of the file are shortened when they are quoted in a message.
const QUOTE_CHARS_MAX: usize = 60;

impl Finding {
    /// A finding about a file as a whole.
    pub(super) fn about_file(path: &str, message: impl Into<String>, help: &str) -> Self {
        Self {
            severity: Severity::Error,
            path: path.to_owned(),
            line: None,
            column: None,
            message: message.into(),
            help: Some(help.to_owned()),
            related: None,
            excerpt: None,
        }
    }

    /// The finding as a compiler would print it, without a final line break.
    pub fn render(&self, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (message, path) = (one_line(&self.message), one_line(&self.path));
        let mut group = Group::with_title(level.primary_title(&message));
        group = match (&self.excerpt, self.line, self.column) {
            (Some(excerpt), Some(line), Some(column)) => {
                let kind = AnnotationKind::Primary;
                with_excerpt(group, &path, (line, column), excerpt, kind, None)
            }
            _ => group.element(Origin::path(&path)),
        };
        let related = self.related.as_ref().map(|related| {
            let (path, message) = (one_line(&related.path), one_line(&related.message));
            (related, path, message)
        });
        if let Some((related, path, message)) = &related {
            let place = (related.line, related.column);
            let (kind, label) = (AnnotationKind::Context, Some(message.as_str()));
            group = with_excerpt(group, path, place, &related.excerpt, kind, label);
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }
}

fn with_excerpt<'a>(
    group: Group<'a>,
    path: &'a str,
    (line, column): (usize, usize),
    excerpt: &'a Excerpt,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Group<'a> {
    let annotation = kind.span(excerpt.range.clone()).label(label);
    let snippet = Snippet::source(&excerpt.text)
        .line_start(line)
        .annotation(annotation);
    if excerpt.cropped {
        // The renderer would count the column from the beginning of the crop.
        let origin = Origin::path(path).line(line).char_column(column);
        group.element(origin).element(snippet)
    } else {
        group.element(snippet.path(path))
    }
}

/// Renders findings one after the other, with a blank line between them and a line break at the end.
pub fn render(findings: &[Finding], color: bool) -> String {
    let mut rendered = String::new();
    for finding in findings {
        if !rendered.is_empty() {
            rendered.push('\n');
        }
        rendered.push_str(&finding.render(color));
        rendered.push('\n');
    }
    rendered
}

impl PlanFileError {
    /// All findings as a compiler would print them.
    pub fn render(&self, color: bool) -> String {
        render(&self.findings, color)
    }
}

impl fmt::Display for PlanFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for PlanFileError {}

impl From<Finding> for PlanFileError {
    fn from(finding: Finding) -> Self {
        Self {
            findings: vec![finding],
        }
    }
}

/// Collects the findings of one file.
pub(super) struct Sink<'t> {
    path: &'t str,
    text: &'t str,
    /// Another file from which values of this one came; its places follow those of `text`.
    beside: Option<(&'t str, &'t str)>,
    findings: Vec<Finding>,
    dropped: usize,
    /// Places in the file that are never shown.
    hidden_places: Vec<Span>,
    /// Texts that are never shown, wherever they occur.
    hidden: BTreeSet<String>,
}

impl<'t> Sink<'t> {
    pub(super) fn new(path: &'t str, text: &'t str) -> Self {
        Self {
            path,
            text,
            beside: None,
            findings: Vec::new(),
            dropped: 0,
            hidden_places: Vec::new(),
            hidden: BTreeSet::new(),
        }
    }

    /// Adds a second file, with a path and a text. Returns the number of bytes by which its places must be shifted.
    pub(super) fn beside(&mut self, path: &'t str, text: &'t str) -> usize {
        self.beside = Some((path, text));
        self.text.len() + 1
    }

    /// Hides the text of a place in all findings, earlier ones included.
    pub(super) fn hide(&mut self, whole: &Span) {
        let (_, text, span) = self.file_of(whole);
        let (start, end) = (floor_char(text, span.start), floor_char(text, span.end));
        self.hide_text(text.get(start..end).unwrap_or_default());
        self.hide_place(whole);
    }

    /// Hides a part of a place's text; all of the text if the part is not written there literally.
    pub(super) fn hide_within(&mut self, whole: &Span, part: &str) {
        let (_, text, span) = self.file_of(whole);
        let (start, end) = (floor_char(text, span.start), floor_char(text, span.end));
        let written = text.get(start..end).unwrap_or_default();
        if let Some(at) = written.find(part)
            && !part.is_empty()
        {
            let from = whole.start + at;
            self.hidden_places.push(from..from + part.len());
        } else {
            // It is written with escapes, and nobody knows where it begins.
            self.hide_place(whole);
        }
    }

    /// Hides the text of a place, there alone.
    pub(super) fn hide_place(&mut self, whole: &Span) {
        self.hidden_places.push(whole.clone());
    }

    /// Hides a text wherever it occurs, unless it is so short that it could be a part of any word.
    pub(super) fn hide_text(&mut self, text: &str) {
        for line in text.lines() {
            let hidden = line.trim().trim_matches(['"', '\'']);
            if hidden.len() >= HIDDEN_BYTES_MIN {
                self.hidden.insert(hidden.to_owned());
            }
        }
    }

    /// Hides the parts of a text that look like secrets.
    pub(super) fn hide_secrets(&mut self, whole: &Span, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        for found in secret_text::find(&words) {
            if let Some(word) = words.get(found.word) {
                let part = &word[found.range];
                self.hide_text(part);
                self.hide_within(whole, part);
            }
        }
    }

    /// Records an error.
    pub(super) fn error(&mut self, span: &Span, message: impl Into<String>, help: &str) {
        self.record(Severity::Error, span, message.into(), help, None);
    }

    /// Records an error that is related to an earlier place.
    pub(super) fn conflict(
        &mut self,
        span: &Span,
        message: impl Into<String>,
        help: &str,
        (earlier, said): (&Span, &str),
    ) {
        let (path, (line, column), excerpt) = self.locate(earlier);
        let related = Related {
            path: path.to_owned(),
            line,
            column,
            message: said.to_owned(),
            excerpt,
        };
        self.record(Severity::Error, span, message.into(), help, Some(related));
    }

    /// Records a warning.
    pub(super) fn warning(&mut self, span: &Span, message: impl Into<String>, help: &str) {
        self.record(Severity::Warning, span, message.into(), help, None);
    }

    fn record(
        &mut self,
        severity: Severity,
        span: &Span,
        message: String,
        help: &str,
        related: Option<Related>,
    ) {
        if self.findings.len() >= FINDINGS_MAX {
            self.dropped += 1;
            return;
        }
        let (path, (line, column), excerpt) = self.locate(span);
        self.findings.push(Finding {
            severity,
            path: path.to_owned(),
            line: Some(line),
            column: Some(column),
            message,
            help: Some(help.to_owned()),
            related,
            excerpt: Some(excerpt),
        });
    }

    /// The file of a span, its text, and the span in it.
    fn file_of(&self, span: &Span) -> (&'t str, &'t str, Span) {
        let base = self.text.len() + 1;
        match self.beside {
            Some((path, text)) if span.start >= base => (
                path,
                text,
                span.start - base..span.end.max(span.start) - base,
            ),
            Some(_) | None => (self.path, self.text, span.clone()),
        }
    }

    /// The path of a span's file, the 1-based line and column of its start, and the line itself.
    fn locate(&self, span: &Span) -> (&'t str, (usize, usize), Excerpt) {
        let whole = span;
        let (path, text, span) = self.file_of(whole);
        let start = floor_char(text, span.start);
        let shift = whole.start - span.start;
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let rest = &text[line_start..];
        let text = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
        let from = start - line_start;
        let until = floor_char(text, span.end.max(start) - line_start).max(from.min(text.len()));
        let excerpt = Excerpt::new(text, line_start + shift, from..until);
        (path, (line, column), excerpt)
    }

    /// Drops all findings, if the file turns out to be of another kind.
    pub(super) fn forget(&mut self) {
        self.findings.clear();
        self.dropped = 0;
    }

    /// Returns true if an error has been recorded.
    pub(super) fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// All findings, in the order of the file.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        // The longest first: one may be a part of another.
        let mut hidden: Vec<String> = self.hidden.into_iter().collect();
        hidden.sort_by_key(|text| Reverse(text.len()));
        let places = &self.hidden_places;
        for finding in &mut self.findings {
            hide_in_message(&mut finding.message, &hidden);
            if let Some(help) = &mut finding.help {
                hide_in_message(help, &hidden);
            }
            if let Some(excerpt) = &mut finding.excerpt {
                excerpt.hide(places, &hidden);
            }
            if let Some(related) = &mut finding.related {
                hide_in_message(&mut related.message, &hidden);
                related.excerpt.hide(places, &hidden);
            }
        }
        self.findings
            .sort_by_key(|finding| (finding.path != self.path, finding.line, finding.column));
        if self.dropped > 0 {
            let message = format!("{} more findings are not shown", self.dropped);
            let help = "fix these first, then check again";
            self.findings
                .push(Finding::about_file(self.path, message, help));
        }
        self.findings
    }
}

impl Excerpt {
    /// Replaces texts, and what still looks like a secret, by stars; byte for byte, so that columns stay the same.
    fn hide(&mut self, places: &[Span], hidden: &[String]) {
        let mut parts = Vec::new();
        for place in places {
            let start = place.start.max(self.at) - self.at;
            let end = place.end.max(self.at) - self.at;
            let (start, end) = (floor_char(&self.text, start), floor_char(&self.text, end));
            if start < end {
                parts.push(start..end);
            }
        }
        self.text = secret_text::starred(&self.text, parts, stars);
        for text in hidden {
            self.text = self.text.replace(text, &stars(text));
        }
        let found = secret_text::find(&[format!(" {}", self.text)]);
        let mut parts = Vec::new();
        for one in found {
            if one.certain {
                // Without the blank that was put before the line.
                parts.push(one.range.start.saturating_sub(1)..one.range.end.saturating_sub(1));
            }
        }
        self.text = secret_text::starred(&self.text, parts, stars);
    }

    fn new(line: &str, at: usize, range: Range<usize>) -> Self {
        let (start, end) = (range.start.min(line.len()), range.end.min(line.len()));
        if line.len() <= LINE_BYTES_MAX {
            return Self {
                text: line.to_owned(),
                at,
                range: start..end,
                cropped: false,
            };
        }
        let from = floor_char(line, start.saturating_sub(60));
        let until = floor_char(line, (start + 120).min(line.len()));
        Self {
            text: line[from..until].to_owned(),
            at: at + from,
            range: start - from..end.min(until) - from,
            cropped: true,
        }
    }
}

fn stars(text: &str) -> String {
    "*".repeat(text.len())
}

/// The closest character boundary at or before a byte.
fn floor_char(text: &str, byte: usize) -> usize {
    text.floor_char_boundary(byte.min(text.len()))
}

/// Replaces texts by stars, also if they are quoted and shortened.
fn hide_in_message(message: &mut String, hidden: &[String]) {
    for text in hidden {
        let quoted = quote(text);
        *message = message.replace(&quoted, "`***`").replace(text, "***");
    }
}

/// A text of the file in backticks, short enough for a message and without control characters.
pub(super) fn quote(text: &str) -> String {
    let begin: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    let more = if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{}{more}`", one_line(&begin))
}

/// `a`, `b` and `c`.
pub(super) fn listed(words: &[&str], and: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {and} {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

//! YAML text → a tree in which every node knows its place.
//!
//! Plan files are read in two stages because serde alone stops at the first mistake. Here the YAML parser's events
//! become a tree; `read` then reads the serde model from it and goes on after every mistake. This is the only file that
//! uses the YAML parser, so that it can be replaced easily.
//!
//! Scalars stay text: `1.10` is not 1.1 and `no` is not false, whatever YAML 1.1 says. The model decides what they mean.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use crate::engine::notify::SecretRef;

use super::diagnostics::{Sink, Span, quote};
use super::guarded;

/// A value and its place in the text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: YamlValue,
    /// The number of nodes in this one, aliases followed; a long text counts as several.
    pub(super) size: usize,
}

/// The value of a node.
#[derive(Debug)]
pub(super) enum YamlValue {
    /// No value, or `~`, or `null`.
    Null,
    /// A text, a number, a word: any value except a list or a map.
    Scalar(String),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A map, in the order of the file, each key once.
    Map(Vec<(Key, Rc<Node>)>),
}

/// A map's key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) span: Span,
    pub(super) text: String,
}

/// The most nodes of a plan, aliases followed, as a protection against alias bombs. A plan of 100 records and 100 steps has
/// about 2,000.
const NODES_MAX: usize = 50_000;

/// This many bytes of text count as one more node; else a long text with many aliases could fill the memory.
const TEXT_BYTES_PER_NODE: usize = 64;

/// The deepest nesting of lists and maps. A plan needs five.
const DEPTH_MAX: usize = 32;

/// Reads the one document of a file; none after recording a mistake that leaves no tree. `begin` is the suggested fix for an
/// empty file.
pub(super) fn read(text: &str, begin: &str, sink: &mut Sink<'_>) -> Option<Rc<Node>> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        sink,
        anchors: BTreeMap::new(),
        text,
        length: text.len(),
    };
    match builder.document() {
        Ok(root) => Some(root),
        Err(stop) => {
            guarded::hide_unread(text, builder.sink);
            builder.explain(stop, begin);
            None
        }
    }
}

/// The reason why reading stopped.
enum Stop {
    /// The YAML is malformed.
    Malformed(ScanError),
    /// The file is empty.
    Empty,
    /// A second document begins here.
    SecondDocument(Span),
    /// There are too many nodes, aliases followed.
    TooLarge(Span),
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Malformed(error)
    }
}

struct Builder<'t, 's, 'p> {
    parser: Parser<'t, StrInput<'t>>,
    sink: &'s mut Sink<'p>,
    anchors: BTreeMap<usize, Rc<Node>>,
    text: &'t str,
    length: usize,
}

impl<'t> Builder<'t, '_, '_> {
    /// The next event and its place.
    fn next(&mut self) -> Result<(Event<'t>, Span), Stop> {
        match self.parser.next_event() {
            Some(next) => {
                let (event, span) = next?;
                let bytes = span.byte_range();
                Ok((event, bytes.unwrap_or(self.length..self.length)))
            }
            None => Ok((Event::StreamEnd, self.length..self.length)),
        }
    }

    fn document(&mut self) -> Result<Rc<Node>, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return root.ok_or(Stop::Empty),
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Stop::SecondDocument(span));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                node => root = Some(self.node(node, span)?),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Rc<Node>, Stop> {
        let (node, anchor) = match event {
            Event::Alias(anchor) => return Ok(self.alias(anchor, span)),
            Event::UnresolvedAlias(name) => {
                let message = format!("the alias {} has no anchor before it", quote(&name));
                let help = if name.contains('.') {
                    format!("a name that begins with `*` is written in quotes: `\"*{name}\"`")
                } else {
                    format!("write `&{name}` at the value that it stands for, further up")
                };
                self.sink.error(&span, message, &help);
                // A scalar, so that the reader of the value does not report it a second time.
                (Node::new(span, YamlValue::Scalar(format!("*{name}"))), 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                let plain = style == ScalarStyle::Plain;
                (Node::new(span, scalar(text, plain)), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                (self.list(span)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                (self.map(span)?, anchor)
            }
            // The parser guarantees that only nodes come where a node is expected.
            _ => (Node::new(span, YamlValue::Null), 0),
        };
        if node.size > NODES_MAX {
            return Err(Stop::TooLarge(node.span));
        }
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    /// The anchored node. If it is a scalar, its place is that of the alias, where a person will look.
    fn alias(&mut self, anchor: usize, span: Span) -> Rc<Node> {
        let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
            self.sink.error(
                &span,
                "an alias is inside the value that it stands for",
                "write the value out",
            );
            return Rc::new(Node::new(span, YamlValue::Null));
        };
        match &node.value {
            YamlValue::Scalar(text) => Rc::new(Node::new(span, YamlValue::Scalar(text.clone()))),
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => node,
        }
    }

    fn list(&mut self, start: Span) -> Result<Node, Stop> {
        let (mut entries, mut size) = (Vec::new(), 1_usize);
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                let value = YamlValue::List(entries);
                let span = start;
                return Ok(Node { span, value, size });
            }
            let entry = self.node(event, span)?;
            size = grow(size, &entry)?;
            entries.push(entry);
        }
    }

    fn map(&mut self, start: Span) -> Result<Node, Stop> {
        let (mut entries, mut size) = (Vec::<(Key, Rc<Node>)>::new(), 1_usize);
        let mut seen = BTreeMap::<String, Span>::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                let span = entries.first().map_or(start, |(key, _)| key.span.clone());
                let value = YamlValue::Map(entries);
                return Ok(Node { span, value, size });
            }
            let key = self.node(event, span.clone())?;
            let (event, value_span) = self.next()?;
            let mut value = self.node(event, value_span)?;
            size = grow(grow(size, &key)?, &value)?;
            let Some(key) = self.key(&key, span) else {
                continue;
            };
            if matches!(value.value, YamlValue::Null) {
                value = Rc::new(Node::new(key.span.clone(), YamlValue::Null));
            }
            if let Some(first) = seen.get(&key.text) {
                value.hide_places(self.sink);
                let message = format!("the key {} is given twice", quote(&key.text));
                let (help, here) = ("remove one of the two", "first given here");
                self.sink.conflict(&key.span, message, help, (first, here));
            } else {
                seen.insert(key.text.clone(), key.span.clone());
                entries.push((key, value));
            }
        }
    }

    fn key(&mut self, node: &Node, span: Span) -> Option<Key> {
        match &node.value {
            YamlValue::Scalar(text) if text == "<<" => {
                self.sink.error(
                    &span,
                    "merge keys (`<<`) are not supported",
                    "write the keys out; an alias for a whole value (`*name`) does work",
                );
                None
            }
            YamlValue::Scalar(text) => {
                let text = text.clone();
                Some(Key { span, text })
            }
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => {
                let help = "a key is a single word, followed by a colon";
                self.sink.error(&span, "this is not a key", help);
                None
            }
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: &Span) {
        let Some(tag) = tag else {
            return;
        };
        if tag.core_suffix() == Some("str") {
            return;
        }
        let message = format!("the tag {} is not supported", quote(&tag.original()));
        self.sink
            .error(span, message, "remove the tag; plans are plain YAML");
    }

    fn explain(&mut self, stop: Stop, begin: &str) {
        let end = self.length..self.length;
        match stop {
            Stop::Empty => self.sink.error(&(0..0), "the file is empty", begin),
            Stop::SecondDocument(span) => self.sink.error(
                &span,
                "a second document begins here",
                "one file holds one plan; move what follows `---` to a file of its own",
            ),
            Stop::TooLarge(span) => self.sink.error(
                &span,
                format!(
                    "the plan has more than {NODES_MAX} values once its aliases are followed; a long text counts as several"
                ),
                "write the plan without aliases of long texts, and without aliases that are made of aliases",
            ),
            Stop::Malformed(error) => {
                let marker = error.marker();
                let mut at = marker.byte_offset().map_or(end, |byte| byte..byte + 1);
                if is_about_tabs(error.kind()) {
                    // The parser points at the start of the value; the finding must point at the tab.
                    let tab = self.text.get(at.start..).and_then(|rest| rest.find('\t'));
                    let start = at.start + tab.unwrap_or(0);
                    at = start..start + 1;
                }
                let help = help_for(error.kind());
                let what = format!("this is not valid YAML: {}", error.info());
                self.sink.error(&at, what, &help);
            }
        }
    }
}

impl Node {
    fn new(span: Span, value: YamlValue) -> Self {
        let size = match &value {
            YamlValue::Scalar(text) => 1 + text.len() / TEXT_BYTES_PER_NODE,
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => 1,
        };
        Self { span, value, size }
    }

    /// Hides all values of this part where they are written. Nothing else reads the value of a key that is given twice.
    fn hide_places(&self, sink: &mut Sink<'_>) {
        match &self.value {
            YamlValue::Null => {}
            YamlValue::Scalar(_) => sink.hide_place(&self.span),
            YamlValue::List(entries) => {
                for entry in entries {
                    entry.hide_places(sink);
                }
            }
            YamlValue::Map(entries) => {
                for (_, entry) in entries {
                    entry.hide_places(sink);
                }
            }
        }
    }

    /// Hides all values in this part of the file, except for references to secrets.
    pub(super) fn hide_values(&self, sink: &mut Sink<'_>) {
        match &self.value {
            YamlValue::Null => {}
            YamlValue::Scalar(text)
                if guarded::stands(text) || text.parse::<SecretRef>().is_ok() => {}
            YamlValue::Scalar(text) => {
                sink.hide_text(text);
                sink.hide(&self.span);
            }
            YamlValue::List(entries) => {
                for entry in entries {
                    entry.hide_values(sink);
                }
            }
            YamlValue::Map(entries) => {
                for (_, entry) in entries {
                    entry.hide_values(sink);
                }
            }
        }
    }
}

/// The size of a list or map with one more child.
fn grow(size: usize, child: &Node) -> Result<usize, Stop> {
    let size = size.saturating_add(child.size);
    if size > NODES_MAX {
        return Err(Stop::TooLarge(child.span.clone()));
    }
    Ok(size)
}

/// A scalar, or null for the unquoted spellings of null.
fn scalar(text: Cow<'_, str>, plain: bool) -> YamlValue {
    if plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL") {
        YamlValue::Null
    } else {
        YamlValue::Scalar(text.into_owned())
    }
}

/// The suggested fix for malformed YAML, for people who do not know the grammar.
fn help_for(kind: &ErrorKind) -> String {
    use ErrorKind as Kind;
    match kind {
        kind if is_about_tabs(kind) => "YAML is indented with spaces, never with tabs".to_owned(),
        Kind::UnclosedQuotedScalar | Kind::InvalidQuotedScalarIndent => {
            "close the quote in the line that opens it".to_owned()
        }
        Kind::MappingValueNotAllowed | Kind::InvalidColonPlacement => {
            "look at the indentation and for an open bracket in the lines above; quote a value with a colon in it"
                .to_owned()
        }
        Kind::UnexpectedEofFlowMapping
        | Kind::UnexpectedEofFlowSequence
        | Kind::UnexpectedEofImplicitFlowMapping
        | Kind::UnclosedFlowCollection { .. }
        | Kind::ExpectedFlowMappingSeparator
        | Kind::ExpectedFlowSequenceSeparator => {
            "close the bracket, or put a comma between the entries".to_owned()
        }
        Kind::RecursionLimitExceeded => {
            format!("a plan is not nested deeper than {DEPTH_MAX} levels")
        }
        Kind::UnexpectedCharacter { .. } => {
            "put the value in quotes, or remove the character".to_owned()
        }
        _ => "look at the indentation, and for a missing colon, quote or bracket, here and in the line above"
            .to_owned(),
    }
}

fn is_about_tabs(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    )
}

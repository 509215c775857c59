//! A tree of XML elements, sufficient to read and write Route 53's messages.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

/// An element: a name, and either text or children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Element {
    name: String,
    text: String,
    children: Vec<Self>,
}

impl Element {
    /// Creates an empty element.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a child with a text.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "texts, numbers and flags are given alike, borrowed or not"
    )]
    pub(crate) fn with(mut self, name: &str, text: impl ToString) -> Self {
        self.children.push(Self {
            text: text.to_string(),
            ..Self::new(name)
        });
        self
    }

    /// Adds a child with a text. Does nothing for `None`.
    #[must_use]
    pub(crate) fn with_some(self, name: &str, text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => self.with(name, text),
            None => self,
        }
    }

    /// Adds a child.
    #[must_use]
    pub(crate) fn containing(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Adds children.
    #[must_use]
    pub(crate) fn containing_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// Sets the element's text.
    #[must_use]
    pub(crate) fn holding(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    /// Returns the first child with a name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Returns all children of the first child with a name. Empty if there is no such child.
    pub(crate) fn list(&self, name: &str) -> &[Self] {
        self.child(name).map_or(&[], |list| &list.children)
    }

    /// Returns the text of the first child with a name.
    pub(crate) fn text_of(&self, name: &str) -> Option<String> {
        self.child(name).map(|child| child.text.clone())
    }

    /// Returns the element's own text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the element as a document in Route 53's namespace.
    pub(crate) fn to_document(&self) -> String {
        let mut document = String::from("<?xml version=\"1.0\"?>\n");
        self.write(
            &mut document,
            " xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"",
        );
        document
    }

    /// Reads a document. `None` if it is not well-formed.
    pub(crate) fn parse(document: &str) -> Option<Self> {
        let mut reader = Reader::from_str(document);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => open.push(Self::new(start.local_name().as_ref())),
                Event::Empty(empty) => {
                    let child = Self::new(empty.local_name().as_ref());
                    open.last_mut()?.children.push(child);
                }
                Event::End(_) => {
                    let closed = open.pop()?;
                    open.last_mut()?.children.push(closed);
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text.into_inner()),
                Event::GeneralRef(reference) => {
                    let character = referenced(&reference.into_inner())?;
                    open.last_mut()?.text.push(character);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let [root] = <[Self; 1]>::try_from(open).ok()?;
        root.children.into_iter().next()
    }

    fn write(&self, out: &mut String, attributes: &str) {
        out.extend(["<", &self.name, attributes, ">"]);
        if self.children.is_empty() {
            out.push_str(&escape(self.text.as_str()));
        }
        for child in &self.children {
            child.write(out, "");
        }
        out.extend(["</", &self.name, ">"]);
    }
}

/// Returns the character that an XML reference stands for. `None` if it is unknown.
fn referenced(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

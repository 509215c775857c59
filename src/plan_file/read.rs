//! The tree → the serde model, going on after every mistake.
//!
//! A [`serde::Deserializer`] that records each mistake in a [`Sink`] at once, with its place; the `At` wrapper
//! swallows the failure of the value inside. So the model stays ordinary derived serde (the JSON Schema comes from the same
//! types), and all mistakes of a file are still found in one go.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::at::{AT, SEVERAL};
use super::diagnostics::{Sink, Span, quote};
use super::tree::{Key, Node, YamlValue};
use super::{guarded, keys};

/// Reads the model from a tree.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    root: &Node,
    what: &str,
    sink: &mut Sink<'_>,
) -> Option<T> {
    let sink = RefCell::new(sink);
    let reader = Reader {
        node: root,
        place: &root.span,
        what: what.to_owned(),
        map: "",
        sink: &sink,
        guarded: false,
    };
    T::deserialize(reader).ok()
}

struct Reader<'n, 's, 'p> {
    node: &'n Node,
    /// The place that a finding points at: the value, or the key if the value does not matter.
    place: &'n Span,
    /// The name of the value in messages: `` `bake` ``.
    what: String,
    /// The type of the map that it is in; empty for the whole file.
    map: &'static str,
    sink: &'n RefCell<&'s mut Sink<'p>>,
    /// True in a part of the file that may contain secrets: values of the wrong shape are not shown there.
    guarded: bool,
}

/// A mistake on its way up. It is already in the sink, unless serde has just created it.
#[derive(Debug)]
enum ReadMistake {
    Recorded,
    Other {
        message: String,
    },
    Word {
        word: String,
        expected: &'static [&'static str],
    },
}

impl fmt::Display for ReadMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mistake in the plan")
    }
}

impl std::error::Error for ReadMistake {}

impl serde::de::Error for ReadMistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        Self::Other { message }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let word = variant.to_owned();
        Self::Word { word, expected }
    }
}

impl Reader<'_, '_, '_> {
    /// Records a mistake that a visitor returned.
    fn noted<T>(&self, result: Result<T, ReadMistake>) -> Result<T, ReadMistake> {
        result.map_err(|mistake| {
            let (message, help) = match mistake {
                ReadMistake::Recorded => return mistake,
                ReadMistake::Other { message } => (
                    format!("{}: {message}", self.what),
                    "compare with the example plans".to_owned(),
                ),
                ReadMistake::Word { word, expected } => (
                    format!("{} cannot be {}", self.what, quote(&word)),
                    keys::instead_of_value(&word, expected, (self.map, &self.what)),
                ),
            };
            self.sink.borrow_mut().error(self.place, message, &help);
            ReadMistake::Recorded
        })
    }

    /// Records that another kind of value was expected here.
    fn mismatch<T>(&self, expected: &str) -> Result<T, ReadMistake> {
        let what = &self.what;
        let message = match &self.node.value {
            YamlValue::Null => format!("{what} has no value"),
            YamlValue::Scalar(text) => {
                format!("{what} must be {expected}, but it is {}", quote(text))
            }
            YamlValue::List(_) => format!("{what} must be {expected}, but it is a list"),
            YamlValue::Map(_) => format!("{what} must be {expected}, but it is a map"),
        };
        let help = keys::example_of(what, self.map);
        let mut sink = self.sink.borrow_mut();
        let nested = matches!(self.node.value, YamlValue::List(_) | YamlValue::Map(_));
        if self.guarded && (nested || guarded::may_be_guarded(what)) {
            self.node.hide_values(&mut sink);
        } else if let YamlValue::Scalar(text) = &self.node.value {
            sink.hide_secrets(&self.node.span, text);
        }
        sink.error(self.place, message, &help);
        Err(ReadMistake::Recorded)
    }

    /// The text of a scalar.
    fn text(&self) -> Result<&str, ReadMistake> {
        match &self.node.value {
            YamlValue::Scalar(text) => Ok(text),
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => {
                self.mismatch("a single value")
            }
        }
    }

    /// The entries of a map with known keys; the others are reported.
    fn known<'n>(
        &self,
        entries: &'n [(Key, Rc<Node>)],
        map: &'static str,
        fields: &'static [&'static str],
    ) -> Vec<(&'n str, &'n Node, &'n Span)> {
        let mut known = Vec::new();
        for (key, node) in entries {
            if fields.contains(&key.text.as_str()) {
                known.push((key.text.as_str(), node.as_ref(), &node.span));
            } else {
                let place = (map, self.what.as_str());
                let (message, help) = keys::unknown_key(&key.text, place, fields);
                let mut sink = self.sink.borrow_mut();
                if self.guarded || guarded::may_be_guarded(&key.text) {
                    node.hide_values(&mut sink);
                }
                sink.error(&key.span, message, &help);
            }
        }
        known
    }
}

impl<'de> Deserializer<'de> for Reader<'_, '_, '_> {
    type Error = ReadMistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadMistake> {
        let text = self.text()?;
        let result = visitor.visit_str(text);
        self.noted(result)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadMistake> {
        match self.text()? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => self.mismatch("`true` or `false`"),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadMistake> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadMistake> {
        if name == AT {
            visitor.visit_seq(AtAccess {
                reader: Some(self),
                given: 0,
            })
        } else if name == SEVERAL {
            match &self.node.value {
                YamlValue::List(_) => self.deserialize_seq(visitor),
                YamlValue::Null | YamlValue::Scalar(_) | YamlValue::Map(_) => {
                    visitor.visit_seq(OnlyAccess(Some(self)))
                }
            }
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadMistake> {
        let YamlValue::List(entries) = &self.node.value else {
            return self.mismatch("a list");
        };
        let access = ListAccess {
            parent: &self,
            entries: entries.iter(),
        };
        let result = visitor.visit_seq(access);
        self.noted(result)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadMistake> {
        let YamlValue::Map(entries) = &self.node.value else {
            return self.mismatch("a map of keys and values");
        };
        let entries = entries
            .iter()
            .map(|(key, node)| (key.text.as_str(), node.as_ref(), &node.span));
        let access = StructAccess {
            parent: &self,
            map: "",
            entries,
            next: None,
        };
        let result = visitor.visit_map(access);
        self.noted(result)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadMistake> {
        let bare = if keys::may_be_bare(name) {
            fields.first()
        } else {
            None
        };
        let (map, entries) = match (&self.node.value, bare) {
            (YamlValue::Map(entries), _) => (name, self.known(entries, name, fields)),
            // Messages speak of the key that the bare value was written for.
            (YamlValue::Scalar(_), Some(field)) => {
                (self.map, vec![(*field, self.node, self.place)])
            }
            (_, Some(field)) => {
                let article = if field.starts_with('a') { "an" } else { "a" };
                return self.mismatch(&format!("{article} {field}, or a map"));
            }
            (_, None) => return self.mismatch("a map of keys and values"),
        };
        let access = StructAccess {
            parent: &self,
            map,
            entries: entries.into_iter(),
            next: None,
        };
        let result = visitor.visit_map(access);
        self.noted(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadMistake> {
        let text: StrDeserializer<'_, ReadMistake> = self.text()?.into_deserializer();
        let result = visitor.visit_enum(text);
        self.noted(result)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadMistake> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct identifier
    }
}

/// Returns the start of the place, its end, and the value.
struct AtAccess<'n, 's, 'p> {
    reader: Option<Reader<'n, 's, 'p>>,
    given: u8,
}

impl<'de> SeqAccess<'de> for AtAccess<'_, '_, '_> {
    type Error = ReadMistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadMistake> {
        let Some(reader) = &self.reader else {
            return Ok(None);
        };
        self.given += 1;
        match self.given {
            1 => seed.deserialize(offset(reader.place.start)).map(Some),
            2 => seed.deserialize(offset(reader.place.end)).map(Some),
            _ => match self.reader.take() {
                Some(reader) => seed.deserialize(reader).map(Some),
                None => Ok(None),
            },
        }
    }
}

fn offset(value: usize) -> UsizeDeserializer<ReadMistake> {
    value.into_deserializer()
}

/// Returns the single value that is not in a list.
struct OnlyAccess<'n, 's, 'p>(Option<Reader<'n, 's, 'p>>);

impl<'de> SeqAccess<'de> for OnlyAccess<'_, '_, '_> {
    type Error = ReadMistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadMistake> {
        let reader = self.0.take();
        reader.map(|reader| seed.deserialize(reader)).transpose()
    }
}

struct ListAccess<'r, 'n, 's, 'p> {
    parent: &'r Reader<'n, 's, 'p>,
    entries: std::slice::Iter<'r, Rc<Node>>,
}

impl<'de> SeqAccess<'de> for ListAccess<'_, '_, '_, '_> {
    type Error = ReadMistake;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadMistake> {
        let Some(node) = self.entries.next() else {
            return Ok(None);
        };
        let reader = Reader {
            node,
            place: &node.span,
            what: format!("an entry of {}", self.parent.what),
            map: self.parent.map,
            sink: self.parent.sink,
            guarded: self.parent.guarded,
        };
        seed.deserialize(reader).map(Some)
    }
}

struct StructAccess<'r, 'n, 's, 'p, I> {
    parent: &'r Reader<'n, 's, 'p>,
    /// The type of the map; empty if its keys are names.
    map: &'static str,
    entries: I,
    next: Option<Reader<'r, 's, 'p>>,
}

impl<'de, 'r, 'n: 'r, I> MapAccess<'de> for StructAccess<'r, 'n, '_, '_, I>
where
    I: Iterator<Item = (&'r str, &'r Node, &'r Span)>,
{
    type Error = ReadMistake;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadMistake> {
        let Some((key, node, place)) = self.entries.next() else {
            return Ok(None);
        };
        self.next = Some(Reader {
            node,
            place,
            what: format!("`{key}`"),
            map: self.map,
            sink: self.parent.sink,
            guarded: self.parent.guarded || guarded::is_guarded(key),
        });
        let key: StrDeserializer<'_, ReadMistake> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, ReadMistake> {
        let reader = self.next.take().ok_or(ReadMistake::Recorded)?;
        seed.deserialize(reader)
    }
}

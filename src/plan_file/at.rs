//! Values with their places, as fields of the model: [`At`], and [`Several`] for a list that may be a single entry.
//!
//! [`At`] swallows the failure of the value inside, which the reader (`read`) has recorded by then, so that reading goes on.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::diagnostics::Span;

/// A value of the file and its place; none if it could not be read, which has been reported.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) span: Span,
    pub(super) value: Option<T>,
}

/// A list, or a single entry without a list.
#[derive(Debug)]
pub(super) struct Several<T>(pub(super) Vec<At<T>>);

/// The name under which [`At`] asks the reader (`read`) for a value together with its place.
pub(super) const AT: &str = "$cutover::At";

/// The name under which [`Several`] asks for a list of one if there is no list.
pub(super) const SEVERAL: &str = "$cutover::Several";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AT, AtVisitor(PhantomData))
    }
}

struct AtVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtVisitor<T> {
    type Value = At<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value and its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
        let start = seq.next_element()?.unwrap_or_default();
        let end = seq.next_element()?.unwrap_or_default();
        // The failure is in the sink; this type exists so that reading goes on.
        let value = seq.next_element().ok().flatten();
        let span = start..end;
        Ok(At { span, value })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(SEVERAL, SeveralVisitor(PhantomData))
    }
}

struct SeveralVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SeveralVisitor<T> {
    type Value = Several<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or one entry")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Several<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element()? {
            entries.push(entry);
        }
        Ok(Several(entries))
    }
}

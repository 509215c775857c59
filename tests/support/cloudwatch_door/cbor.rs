//! A tree of CBOR items, sufficient for the service's requests and replies. The same tree is used for JSON.

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::decode::DeserializeError;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use serde_json::Value;

/// The deepest nesting of a request. It bounds the recursion of the decoder.
const DEPTH_MAX: usize = 32;

/// A CBOR item with its contents.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cbor {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Time(Timestamp),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Cbor {
    /// Decodes one item. Bytes after it are ignored.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, String> {
        item(&mut Decoder::new(body), 0).map_err(|error| error.to_string())
    }

    /// Encodes the item as bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        self.write(&mut encoder);
        encoder.into_writer()
    }

    /// Converts JSON to an item. Times are numbers in JSON, and stay numbers.
    pub(crate) fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(number) => Self::Int(number),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Value::Object(members) => {
                let members = members.iter();
                let members = members.map(|(name, value)| (name.clone(), Self::from_json(value)));
                Self::Map(members.collect())
            }
        }
    }

    /// Converts the item to JSON. Times become seconds since 1970.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
            Self::Time(value) => DateTime::from_millis(value.as_millisecond())
                .as_secs_f64()
                .into(),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(members) => {
                let members = members.iter();
                let members = members.map(|(name, value)| (name.clone(), value.to_json()));
                Value::Object(members.collect())
            }
        }
    }

    /// Returns a member of a map. `None` if it is missing or null, or if the item is not a map.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else {
            return None;
        };
        match members.iter().find(|(key, _)| key == name) {
            None | Some((_, Self::Null)) => None,
            Some((_, value)) => Some(value),
        }
    }

    fn write(&self, encoder: &mut Encoder) {
        match self {
            Self::Null => {
                encoder.null();
            }
            Self::Bool(value) => {
                encoder.boolean(*value);
            }
            Self::Int(value) => {
                encoder.long(*value);
            }
            Self::Float(value) => {
                encoder.double(*value);
            }
            Self::Text(value) => {
                encoder.str(value);
            }
            Self::Time(value) => {
                // AWS sends times in milliseconds.
                encoder.timestamp(&DateTime::from_millis(value.as_millisecond()));
            }
            Self::List(items) => {
                encoder.array(items.len());
                for item in items {
                    item.write(encoder);
                }
            }
            Self::Map(members) => {
                encoder.map(members.len());
                for (name, value) in members {
                    encoder.str(name);
                    value.write(encoder);
                }
            }
        }
    }
}

fn item(decoder: &mut Decoder<'_>, depth: usize) -> Result<Cbor, DeserializeError> {
    let at = decoder.position();
    if depth > DEPTH_MAX {
        return Err(DeserializeError::custom("nests too deep", at));
    }
    match decoder.datatype()? {
        Type::Null | Type::Undefined => {
            decoder.skip()?;
            Ok(Cbor::Null)
        }
        Type::Bool => decoder.boolean().map(Cbor::Bool),
        Type::F16 | Type::F32 | Type::F64 => decoder.double().map(Cbor::Float),
        Type::String | Type::StringIndef => decoder.string().map(Cbor::Text),
        Type::Tag => {
            let time = decoder.timestamp()?;
            let time = Timestamp::from_nanosecond(time.as_nanos());
            time.map(Cbor::Time)
                .map_err(|error| DeserializeError::custom(error.to_string(), at))
        }
        Type::Array | Type::ArrayIndef => {
            let length = decoder.list()?;
            let mut items = Vec::new();
            while more(decoder, length, items.len())? {
                items.push(item(decoder, depth + 1)?);
            }
            Ok(Cbor::List(items))
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map()?;
            let mut members = Vec::new();
            while more(decoder, length, members.len())? {
                members.push((decoder.string()?, item(decoder, depth + 1)?));
            }
            Ok(Cbor::Map(members))
        }
        _ => decoder.long().map(Cbor::Int),
    }
}

/// Returns true if a list or map has more items. Consumes the end mark if it has no length.
fn more(
    decoder: &mut Decoder<'_>,
    length: Option<u64>,
    read: usize,
) -> Result<bool, DeserializeError> {
    if let Some(length) = length {
        return Ok(u64::try_from(read).is_ok_and(|read| read < length));
    }
    if decoder.datatype()? == Type::Break {
        decoder.skip()?;
        return Ok(false);
    }
    Ok(true)
}

#[test]
fn cbor_survives_a_round_trip() {
    let tree = Cbor::Map(vec![
        (
            "a".to_owned(),
            Cbor::List(vec![Cbor::Int(-3), Cbor::Float(0.5), Cbor::Null]),
        ),
        (
            "t".to_owned(),
            Cbor::Time(Timestamp::from_millisecond(1_800_000_000_250).unwrap()),
        ),
        ("b".to_owned(), Cbor::Bool(true)),
    ]);
    assert_eq!(Cbor::decode(&tree.encode()).unwrap(), tree);
    assert!(Cbor::decode(&[0xbf, 0x61]).is_err());
}

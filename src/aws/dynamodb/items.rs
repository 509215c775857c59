//! Items of the port to those of the SDK and back.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::ports::{SlotField, SlotItem};

/// The attribute with the partition: the table's partition key.
pub(super) const PARTITION: &str = "pk";
/// The attribute with the sort key: the table's sort key.
pub(super) const SORT: &str = "sk";

/// The attributes of an item.
pub(super) fn to_attributes(item: SlotItem) -> Vec<(String, AttributeValue)> {
    let mut attributes = vec![
        (PARTITION.to_owned(), AttributeValue::S(item.partition)),
        (SORT.to_owned(), AttributeValue::S(item.sort)),
    ];
    for (name, field) in item.fields {
        let value = match field {
            SlotField::Text(text) => AttributeValue::S(text),
            SlotField::Number(number) => AttributeValue::N(number.to_string()),
            SlotField::Bytes(bytes) => AttributeValue::B(Blob::new(bytes)),
        };
        attributes.push((name, value));
    }
    attributes
}

/// The item of attributes. An attribute of a kind that a journal never writes is left out.
///
/// # Errors
/// It has no key of texts.
pub(super) fn from_attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a AttributeValue)>,
) -> Result<SlotItem, &'static str> {
    let mut item = SlotItem::new("", "");
    for (name, value) in attributes {
        let field = match value {
            AttributeValue::S(text) if name == PARTITION => {
                item.partition.clone_from(text);
                continue;
            }
            AttributeValue::S(text) if name == SORT => {
                item.sort.clone_from(text);
                continue;
            }
            AttributeValue::S(text) => SlotField::Text(text.clone()),
            AttributeValue::N(number) => match number.parse() {
                Ok(number) => SlotField::Number(number),
                Err(_) => continue,
            },
            AttributeValue::B(bytes) => SlotField::Bytes(bytes.as_ref().to_vec()),
            _ => continue,
        };
        item.fields.insert(name.clone(), field);
    }
    if item.partition.is_empty() || item.sort.is_empty() {
        return Err("it has no key");
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_comes_back_as_it_was() {
        let item = SlotItem::new("J/log", "1")
            .with_text("append_id", "a")
            .with_number("version", u64::MAX)
            .with_bytes("data", vec![0, 255]);
        let attributes = to_attributes(item.clone());
        let pairs = attributes.iter().map(|(name, value)| (name, value));
        assert_eq!(from_attributes(pairs), Ok(item));
        let none: [(&String, &AttributeValue); 0] = [];
        assert!(from_attributes(none).is_err());
    }
}

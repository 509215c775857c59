//! The forms in which a value may be written, as changes of its JSON Schema.

use schemars::Schema;
use serde_json::{Value, json};

/// Allows a whole number of at least 1, with or without quotes.
pub(super) fn count(schema: &mut Schema) {
    schema.remove("type");
    let number = json!({ "type": "integer", "minimum": 1 });
    let text = json!({ "type": "string", "pattern": "^[1-9][0-9]*$" });
    schema.insert("anyOf".to_owned(), json!([number, text]));
}

/// Allows a number with or without a unit.
pub(super) fn number(schema: &mut Schema) {
    schema.remove("type");
    let number = json!({ "type": "number", "minimum": 0 });
    let text = json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(%|ms|s)?$" });
    schema.insert("anyOf".to_owned(), json!([number, text]));
}

/// Allows a whole number, with or without quotes.
pub(super) fn count_or_zero(schema: &mut Schema) {
    schema.remove("type");
    let number = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string", "pattern": "^[0-9]+$" });
    schema.insert("anyOf".to_owned(), json!([number, text]));
}

/// Allows an entry to be written as a bare text.
pub(super) fn or_bare_text(schema: &mut Schema) {
    let object = std::mem::take(schema).to_value();
    let mut both = json!({ "anyOf": [{ "type": "string", "minLength": 1 }, object] });
    if let Value::Object(both) = both.take() {
        *schema = both.into();
    }
}

/// Allows an approval to be written as the word `required`.
pub(super) fn or_required(schema: &mut Schema) {
    let object = std::mem::take(schema).to_value();
    let mut both = json!({ "anyOf": [{ "type": "string", "const": "required" }, object] });
    if let Value::Object(both) = both.take() {
        *schema = both.into();
    }
}

/// Allows the version with or without quotes.
pub(super) fn version(schema: &mut Schema) {
    schema.remove("type");
    schema.insert("enum".to_owned(), json!([1, "1"]));
}

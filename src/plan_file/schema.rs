//! The JSON Schema of plan files, for editors.

use std::borrow::Cow;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::transform::Transform;
use serde_json::Value;
use serde_json::json;

use super::raw::RawFleet;
use super::raw::RawPlan;
use super::read::At;
use super::read::Several;

/// The JSON Schema (draft 2020-12) of a plan file. It describes shapes only; `cutover check` checks the rest.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<RawPlan>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema.to_value()
}

/// The JSON Schema (draft 2020-12) of a fleet's file.
pub fn fleet_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<RawFleet>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema.to_value()
}

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

/// Removes null: in the model every key is optional, but in the file a key without a value is a mistake.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice != &json!({ "type": "null" }));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            // What a key says of itself is closer than what its type says.
            if key != "description" || schema.get("description").is_none() {
                schema.insert(key, value);
            }
        }
    }
}

/// The schema of the value: its place is not part of the file.
impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The schema of a list, or of a single entry.
impl<T: JsonSchema> JsonSchema for Several<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Several_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<T>();
        let list = json!({ "type": "array", "minItems": 1, "items": entry });
        schemars::json_schema!({ "anyOf": [entry, list] })
    }
}

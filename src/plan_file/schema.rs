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

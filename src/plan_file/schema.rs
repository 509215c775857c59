//! The JSON Schema of plan files, for editors.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::at::{At, Several};
use super::diagnostics::Sink;
use super::raw::{RawFleet, RawPlan};
use super::tree::{self, Node};

/// The JSON Schema (draft 2020-12) of a plan file. It describes shapes only; `cutover check` checks the rest.
pub fn schema() -> Value {
    schema_of::<RawPlan>()
}

/// The JSON Schema (draft 2020-12) of a fleet's file.
pub fn fleet_schema() -> Value {
    schema_of::<RawFleet>()
}

fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    RecursiveTransform(without_null).transform(&mut schema);
    RecursiveTransform(examples_as_values).transform(&mut schema);
    schema.to_value()
}

/// Turns examples, which `raw` has as YAML, into the values that they stand for.
fn examples_as_values(schema: &mut Schema) {
    let Some(Value::Array(examples)) = schema.get_mut("examples") else {
        return;
    };
    for example in examples {
        if let Some(text) = example.as_str() {
            let mut sink = Sink::new("", text);
            let node = tree::read(text, "", &mut sink);
            *example = node.map_or(Value::Null, |node| value_of(&node));
        }
    }
}

/// The value that a part of a file stands for.
fn value_of(node: &Node) -> Value {
    match &node.value {
        tree::YamlValue::Null => Value::Null,
        tree::YamlValue::Scalar(text) => {
            if let Ok(truth) = text.parse::<bool>() {
                Value::from(truth)
            } else if let Ok(number) = text.parse::<u64>() {
                Value::from(number)
            } else {
                Value::from(text.as_str())
            }
        }
        tree::YamlValue::List(entries) => entries.iter().map(|entry| value_of(entry)).collect(),
        tree::YamlValue::Map(entries) => {
            let mut map = serde_json::Map::new();
            for (key, entry) in entries {
                map.insert(key.text.clone(), value_of(entry));
            }
            Value::Object(map)
        }
    }
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

/// The schema of the value: its place is not part of the file. Maps are referred to by name, also where they are required.
impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("At_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
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

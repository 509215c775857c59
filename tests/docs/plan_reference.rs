//! `docs/reference/plan.md`: the JSON Schemas of plans and of `fleet.yaml` as tables for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::pages::{anchor, check_generated};

/// What stands above the tables.
const HEAD: &str = "\
# Plan files

<!-- Generated from the schema: UPDATE=1 cargo test --test it docs. Do not edit. -->

A plan is a YAML file. This page lists every key. `cutover check` finds every mistake at once, with its place;
`cutover schema` prints the JSON Schema for editors. An unknown key is an error. The guides say how the keys work
together: [windows and approvals](../windows-and-approvals.md), [gates and metrics](../gates-and-metrics.md),
[jobs and hooks](../jobs-and-hooks.md), [notifications](../notifications.md), [fleets](../fleets.md).

| type | how it is written |
|---|---|
| duration | `90s`, `30m`, `4h`, `1d 12h`; a day has 24 hours |
| share | a percentage, `5%` or `0.5%`, with at most six decimals |
| name | lower-case letters, digits and hyphens, a letter or digit first and last, at most 64 |
| whole number, number | with or without quotes; a number may have a unit: `1%`, `800ms`, `1.5s` |
| list | `[ a, b ]`, or one entry a line |
| map | `{ key: value }`, or one key a line; the link leads to its keys |

";

/// What stands between the tables of plans and those of `fleet.yaml`.
const FLEET: &str = "\
## fleet.yaml

A file `fleet.yaml` holds what the plans in its directory and below it have in common ([Fleets](../fleets.md)).

";

/// How the description of a key begins that is explained with the plan's own key.
const AS_IN_A_PLAN: &str = "As in a plan";

/// Patterns of the schema, and what they are called here.
const TEXTS: [(&str, &str); 6] = [
    ("^(?=.)([0-9]+d)?", "duration"),
    ("^(100(", "share"),
    ("^[a-z0-9]([a-z0-9-]*", "name"),
    ("^[1-9][0-9]? of", "M of N"),
    ("^(complete|", "share, or `complete`"),
    ("^[0-9]+", "number"),
];

/// Tables in the making.
struct Tables<'schema> {
    /// The named parts of the schema.
    defs: &'schema Map<String, Value>,
    /// The maps that have a table already, by their keys as JSON, and where.
    known: &'schema mut BTreeMap<String, String>,
    /// The page.
    text: String,
}

/// A map that gets a table: its place in the file, and its schema.
type Child<'schema> = (String, &'schema Value);

impl<'schema> Tables<'schema> {
    /// One table, and those of the maps in it.
    fn map(&mut self, path: &str, schema: &'schema Value) {
        let properties = &schema["properties"];
        let Value::Object(keys) = properties else {
            return;
        };
        let mut children = Vec::new();
        if !path.is_empty() {
            let _ = write!(self.text, "### `{path}`\n\n{}\n\n", meaning(schema));
        }
        self.text
            .push_str("| key | type | default | example | meaning |\n|---|---|---|---|---|\n");
        for (key, value) in keys {
            let place = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            let meaning = meaning(value);
            let shape = if meaning.starts_with(AS_IN_A_PLAN) && self.has_table(key) {
                format!("[as in a plan](#{})", anchor(key))
            } else {
                self.shape(&place, value, &mut children)
            };
            let default = if is_required(schema, key) {
                "**required**".to_owned()
            } else {
                default(&meaning).unwrap_or_else(|| "–".to_owned())
            };
            let example = examples(value);
            let cells = [shape, default, example, meaning];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(self.text, "| `{key}` | {} |", cells.join(" | "));
        }
        self.text.push('\n');
        for (place, child) in children {
            self.map(&place, child);
        }
    }

    /// Whether the maps of a top-level key have a table already.
    fn has_table(&self, key: &str) -> bool {
        let list = format!("{key}[]");
        let mut places = self.known.values();
        places.any(|place| *place == key || *place == list)
    }

    /// The type of a value, with its bounds. Maps without a table are added to `children`.
    fn shape(
        &mut self,
        path: &str,
        value: &'schema Value,
        children: &mut Vec<Child<'schema>>,
    ) -> String {
        let value = self.resolved(value);
        if value["properties"].is_object() {
            return self.link(path, value, children);
        }
        if let Some(choices) = value["oneOf"].as_array().or(value["anyOf"].as_array()) {
            return self.choices(path, choices, children);
        }
        if let Some(words) = value["enum"].as_array() {
            return words_of(words);
        }
        if let Some(word) = value["const"].as_str() {
            return format!("`{word}`");
        }
        match value["type"].as_str() {
            Some("array") => {
                let entries = self.shape(&format!("{path}[]"), &value["items"], children);
                format!("list of {}{}", many(&entries), bounds(value, "Items", ""))
            }
            Some("object") => {
                let entries = self.shape(path, &value["additionalProperties"], children);
                format!("map of {}", many(&entries))
            }
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("integer") => format!("whole number{}", least(value)),
            Some("number") => format!("number{}", least(value)),
            _ => text_shape(value),
        }
    }

    /// The schema that a `$ref` stands for.
    fn resolved(&self, value: &'schema Value) -> &'schema Value {
        let Some(name) = value["$ref"].as_str() else {
            return value;
        };
        let name = name.trim_start_matches("#/$defs/");
        self.defs
            .get(name)
            .unwrap_or_else(|| panic!("no definition {name}"))
    }

    /// A link to the table of a map.
    fn link(
        &mut self,
        path: &str,
        value: &'schema Value,
        children: &mut Vec<Child<'schema>>,
    ) -> String {
        let keys = value["properties"].to_string();
        if let Some(place) = self.known.get(&keys) {
            return format!("[map](#{})", anchor(place));
        }
        self.known.insert(keys, path.to_owned());
        children.push((path.to_owned(), value));
        format!("[map](#{})", anchor(path))
    }

    /// Several types; a number with or without quotes is one.
    fn choices(
        &mut self,
        path: &str,
        choices: &'schema [Value],
        children: &mut Vec<Child<'schema>>,
    ) -> String {
        let mut shapes = Vec::new();
        for choice in choices {
            let is_quoted_number = choice["type"] == "string" && choice["pattern"].is_string();
            let after_number = shapes
                .last()
                .is_some_and(|shape: &String| shape.contains("number"));
            if choice["type"] == "null" || (is_quoted_number && after_number) {
                continue;
            }
            let shape = self.shape(path, choice, children);
            let is_list_of_the_first = choice["type"] == "array" && shapes.len() == 1;
            if is_list_of_the_first && shape.starts_with(&format!("list of {}", many(&shapes[0]))) {
                shapes.push("a list of them".to_owned());
            } else if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        let separator = if shapes.len() > 2 { ", " } else { " or " };
        shapes.join(separator)
    }
}

/// The plural of a type.
fn many(shape: &str) -> String {
    let shape = shape.replace("[map](", "[maps](");
    for word in ["text", "name"] {
        if let Some(rest) = shape.strip_prefix(word) {
            return format!("{word}s{rest}");
        }
    }
    shape
}

/// What a text is called.
fn text_shape(value: &Value) -> String {
    let pattern = value["pattern"].as_str().unwrap_or_default();
    for (begins, called) in TEXTS {
        if pattern.starts_with(begins) {
            return called.to_owned();
        }
    }
    format!("text{}", bounds(value, "Length", " characters"))
}

/// The words of an enumeration; a word with and without quotes is one.
fn words_of(words: &[Value]) -> String {
    let mut shown = Vec::new();
    for word in words {
        let word = match word {
            Value::Null => continue,
            Value::String(word) => format!("`{word}`"),
            other => format!("`{other}`"),
        };
        if !shown.contains(&word) {
            shown.push(word);
        }
    }
    shown.join(", ")
}

/// The bounds of a length, for example ` (1 to 100)`.
fn bounds(value: &Value, of: &str, unit: &str) -> String {
    let least = value[format!("min{of}")].as_u64();
    let most = value[format!("max{of}")].as_u64();
    match (least, most) {
        (Some(least), Some(most)) => format!(" ({least} to {most}{unit})"),
        (None, Some(most)) => format!(" (at most {most}{unit})"),
        (Some(1), None) if of == "Length" => String::new(),
        (Some(least), None) => format!(" (at least {least}{unit})"),
        (None, None) => String::new(),
    }
}

/// The lower bound of a number.
fn least(value: &Value) -> String {
    match value["minimum"].as_u64() {
        Some(least) => format!(", at least {least}"),
        None => String::new(),
    }
}

fn is_required(schema: &Value, key: &str) -> bool {
    match schema["required"].as_array() {
        Some(required) => required.iter().any(|name| name == key),
        None => false,
    }
}

/// The description of a part of the schema, on one line.
fn meaning(value: &Value) -> String {
    let text = value["description"].as_str().unwrap_or_default();
    text.replace('\n', " ")
}

/// The default that a description names: `by default 30m`, `for ever by default`, `default: 30m`, `defaults to 30m`.
fn default(meaning: &str) -> Option<String> {
    let lower = meaning.to_lowercase();
    for opening in ["default: ", "defaults to ", "by default "] {
        let Some(at) = lower.find(opening) else {
            continue;
        };
        let rest = &meaning[at + opening.len()..];
        let end = [". ", ", ", "; ", ": "]
            .iter()
            .filter_map(|mark| rest.find(mark))
            .min();
        let said = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
        if said.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Some(format!("`{said}`"));
        }
        return Some(said.to_owned());
    }
    let before = &meaning[..lower.find(" by default")?];
    let start = before.rfind(['.', ';', ',']).map_or(0, |at| at + 1);
    Some(before[start..].trim().to_lowercase())
}

/// The examples of a key, as a person would write them.
fn examples(schema: &Value) -> String {
    let mut written = Vec::new();
    for example in schema["examples"].as_array().into_iter().flatten() {
        written.push(format!("`{}`", yaml(example)));
    }
    if written.is_empty() {
        return "–".to_owned();
    }
    written.join(" or ")
}

/// A value as YAML, on one line.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(entries) => {
            let entries: Vec<String> = entries.iter().map(yaml).collect();
            format!("[ {} ]", entries.join(", "))
        }
        Value::Object(entries) => {
            let mut written = Vec::new();
            for (key, value) in entries {
                written.push(format!("{key}: {}", yaml(value)));
            }
            format!("{{ {} }}", written.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Returns true if a text needs no quotes in YAML, wherever it stands.
fn is_plain(text: &str) -> bool {
    let starts_plain =
        text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '/');
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " -_./:%()*".contains(letter);
    starts_plain && text.chars().all(plain) && !text.contains(": ")
}

/// The page.
fn render(plan: &Value, fleet: &Value) -> String {
    let mut known = BTreeMap::new();
    let mut page = HEAD.to_owned();
    for (heading, schema) in [("## Plan\n\n", plan), (FLEET, fleet)] {
        page.push_str(heading);
        let mut tables = Tables {
            defs: schema["$defs"].as_object().expect("definitions"),
            known: &mut known,
            text: String::new(),
        };
        tables.map("", schema);
        page.push_str(&tables.text);
    }
    let page = page.trim_end();
    format!("{page}\n")
}

#[test]
fn the_plan_reference_is_as_the_schema_says() {
    let page = render(
        &cutover::plan_file::schema(),
        &cutover::plan_file::fleet_schema(),
    );
    check_generated("docs/reference/plan.md", &page);
}

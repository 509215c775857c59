//! What messages say of keys and words: an example of each key, the key that was meant, the place where a misplaced one
//! belongs. All of it is made from the schemas of `raw` and of scenarios, so no key is listed here.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::diagnostics::{listed, quote};
use super::raw::{RawFleet, RawPlan};
use super::raw_scenario::RawScenario;
use super::slips::slips;

/// The name of a fleet's file in messages.
pub(super) const FLEET: &str = "the fleet's file";

/// Words that are no keys, or keys of something else, but that people write for a key of the plan; and the hint for each.
const FOREIGN: [(&[&str], &str); 6] = [
    (
        &["depends_on", "needs", "requires", "before"],
        "the cutovers that must have completed before this one starts are `after: [ user-api ]`",
    ),
    (
        &["share", "percent", "percentage"],
        "the share of the new cluster is `weight: 5%`",
    ),
    (
        &["duration", "soak", "wait", "pause", "interval"],
        "how long a step is watched is `bake: 4h`",
    ),
    (
        &["blue", "primary", "from", "source"],
        "the set identifier of the old cluster is `old:`",
    ),
    (
        &["green", "canary", "to", "target"],
        "the set identifier of the new cluster is `new:`",
    ),
    (&["fleet"], IN_FLEET),
];

/// The place of the top-level keys of a fleet's file.
const IN_FLEET: &str = "write it in a `fleet.yaml` beside the plans";

/// The maps of the format, by the names of their types.
static MAPS: LazyLock<BTreeMap<String, KnownMap>> = LazyLock::new(|| {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    generator.subschema_for::<RawPlan>();
    generator.subschema_for::<RawFleet>();
    generator.subschema_for::<RawScenario>();
    let mut maps = BTreeMap::new();
    for (name, schema) in generator.definitions() {
        maps.insert(name.clone(), KnownMap::of(schema));
    }
    maps
});

/// One map of the format.
#[derive(Default)]
struct KnownMap {
    /// True if a bare value may replace it, which stands for its first key.
    bare: bool,
    keys: Vec<KnownKey>,
}

/// One key of a map.
struct KnownKey {
    name: String,
    /// Values as a person would write them.
    examples: Vec<String>,
    /// True if its value is a list.
    listed: bool,
    /// The maps in its value, by the names of their types.
    maps: Vec<String>,
}

impl KnownMap {
    fn of(schema: &Value) -> Self {
        let choices = schema["anyOf"].as_array();
        let shapes = choices.map_or(std::slice::from_ref(schema), Vec::as_slice);
        let mut map = Self::default();
        for shape in shapes {
            map.bare |= shape["type"] == "string";
            for (name, value) in shape["properties"].as_object().into_iter().flatten() {
                map.keys.push(KnownKey::of(name, value));
            }
        }
        map
    }
}

impl KnownKey {
    fn of(name: &str, schema: &Value) -> Self {
        let mut examples = Vec::new();
        for example in schema["examples"].as_array().into_iter().flatten() {
            examples.extend(example.as_str().map(str::to_owned));
        }
        let mut maps = Vec::new();
        references(schema, &mut maps);
        Self {
            name: name.to_owned(),
            examples,
            listed: schema["items"].is_object(),
            maps,
        }
    }
}

/// Collects the names of the definitions that a schema refers to.
fn references(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(parts) => {
            for (key, part) in parts {
                match part.as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
                    Some(name) if key == "$ref" => names.push(name.to_owned()),
                    _ => references(part, names),
                }
            }
        }
        Value::Array(parts) => {
            for part in parts {
                references(part, names);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The lines with this key that serve as examples.
fn lines(map: &str, key: &str) -> Vec<String> {
    // A default of a fleet is a key of the plan, and has its examples.
    let map = if map == "RawDefaults" { "RawPlan" } else { map };
    let mut lines = Vec::new();
    for known in MAPS.get(map).into_iter().flat_map(|map| &map.keys) {
        if known.name == key {
            let examples = known.examples.iter();
            lines.extend(examples.map(|example| format!("{key}: {example}")));
        }
    }
    lines
}

/// A line with this key of a map, as an example.
pub(super) fn line_of<M: JsonSchema>(key: &str) -> String {
    let lines = lines(&M::schema_name(), key);
    lines.into_iter().next().unwrap_or_else(|| key.to_owned())
}

/// Returns true if a bare value may replace the map. It stands for the map's first key.
pub(super) fn may_be_bare(map: &str) -> bool {
    MAPS.get(map).is_some_and(|map| map.bare)
}

/// The message and the help for an unknown key of a map, whose name in messages is `place`.
pub(super) fn unknown_key(
    key: &str,
    (map, place): (&str, &str),
    fields: &[&str],
) -> (String, String) {
    let message = format!("unknown key {}", quote(key));
    let foreign = FOREIGN.iter().find(|(words, _)| words.contains(&key));
    let help = if let Some((_, hint)) = foreign {
        (*hint).to_owned()
    } else if let Some(field) = closest(key, fields) {
        format!("did you mean `{field}`?")
    } else if let Some(hint) = elsewhere(key, map) {
        hint
    } else {
        format!("the keys of {place} are {}", listed(fields, "and"))
    };
    (message, help)
}

/// The hint where a key belongs that a map does not have: in the map below it that has the key, or else anywhere in the file.
fn elsewhere(key: &str, map: &str) -> Option<String> {
    let mut places = maps_in(map, "");
    let of_scenario = maps_in("RawScenario", "write it at the top level of the scenario");
    if of_scenario.iter().any(|(known, _)| known == map) {
        places.extend(of_scenario);
    } else {
        places.extend(maps_in("RawPlan", "write it at the top level of the plan"));
        places.extend(maps_in("RawFleet", IN_FLEET));
    }
    for (map, hint) in places {
        let keys = MAPS.get(&map).map(|map| map.keys.as_slice());
        if keys
            .unwrap_or_default()
            .iter()
            .any(|known| known.name == key)
        {
            return Some(hint);
        }
    }
    None
}

/// A map and all maps in it, the nearest first, by the names of their types; each with the hint for a key of it.
fn maps_in(root: &str, at_root: &str) -> Vec<(String, String)> {
    let mut maps = vec![(root.to_owned(), at_root.to_owned())];
    let mut next = 0;
    while let Some((map, _)) = maps.get(next) {
        let keys = MAPS.get(map).map(|map| map.keys.as_slice());
        for known in keys.unwrap_or_default() {
            for map in &known.maps {
                if maps.iter().all(|(seen, _)| seen != map) {
                    let place = if known.listed {
                        "in an entry of"
                    } else {
                        "under"
                    };
                    let hint = format!("write it {place} `{}:`", known.name);
                    maps.push((map.clone(), hint));
                }
            }
        }
        next += 1;
    }
    maps
}

/// The help for a word of a key if only certain words are allowed. `what` is the value's name in messages, and `map` the map
/// that it is in.
pub(super) fn instead_of_value(word: &str, expected: &[&str], (map, what): (&str, &str)) -> String {
    let lines = lines(map, key_in(what));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    if expected.len() == 1 && !lines.is_empty() {
        return format!("write {}, or remove the line", listed(&lines, "or"));
    }
    instead_of_word(word, expected)
}

/// The help for a word if only certain words are allowed.
pub(super) fn instead_of_word(word: &str, expected: &[&str]) -> String {
    let upper = word.to_ascii_uppercase();
    match closest(word, expected) {
        _ if expected.contains(&upper.as_str()) => format!("write `{upper}`"),
        _ if upper == "NS" || upper == "SOA" => {
            format!("Route 53 has no weighted {upper} records; move A, AAAA or CNAME records")
        }
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("write {}", listed(expected, "or")),
    }
}

/// The key in the name of a value: `bake` in `` `bake` ``, `alarms` in `` an entry of `alarms` ``.
fn key_in(what: &str) -> &str {
    what.rsplit('`').nth(1).unwrap_or("")
}

/// The help for a value of the wrong shape, or for no value at all. `map` is the map that it is in.
pub(super) fn example_of(what: &str, map: &str) -> String {
    match what {
        "the plan" => {
            "a plan is a map whose first line is `version: 1`; the example plans show the rest"
                .to_owned()
        }
        "the scenario" => {
            "a scenario is a map, for example `faults: [ new errors 20% at step 3 + 2h ]`"
                .to_owned()
        }
        FLEET => "a fleet's file is a map, for example `max_in_flight: 10`".to_owned(),
        _ => match lines(map, key_in(what)).first() {
            Some(line) => format!("write for example `{line}`"),
            None => "write a value, or remove the line".to_owned(),
        },
    }
}

/// The field that a mistyped key most likely means.
fn closest<'f>(key: &str, fields: &[&'f str]) -> Option<&'f str> {
    let key = key.to_lowercase();
    let fields = fields.iter().copied();
    let closest = fields.min_by_key(|field| slips(&key, field))?;
    // Two wrong letters in a word of six are a slip; in a word of three they make another word.
    let slips = slips(&key, closest);
    if slips * 3 <= closest.len().max(3) {
        Some(closest)
    } else {
        None
    }
}

//! A fleet's defaults under a plan's own keys (semantics I): maps merge; lists and scalars replace.

use std::rc::Rc;

use super::tree::{Key, Node, YamlValue};

/// The plan's tree with the keys that only `defaults` has. Their places are shifted by `base`, so that they do not overlap
/// with the plan's.
pub(super) fn merged(own: &Rc<Node>, defaults: &Rc<Node>, base: usize) -> Rc<Node> {
    let (YamlValue::Map(mine), YamlValue::Map(theirs)) = (&own.value, &defaults.value) else {
        return Rc::clone(own);
    };
    let mut entries: Vec<(Key, Rc<Node>)> = Vec::new();
    for (key, node) in mine {
        let default = theirs.iter().find(|(other, _)| other.text == key.text);
        let node = match default {
            Some((_, default)) => merged(node, default, base),
            None => Rc::clone(node),
        };
        entries.push((shifted_key(key, 0), node));
    }
    for (key, node) in theirs {
        if mine.iter().any(|(own, _)| own.text == key.text) {
            continue;
        }
        entries.push((shifted_key(key, base), shifted(node, base)));
    }
    Rc::new(Node {
        span: own.span.clone(),
        size: own.size.saturating_add(defaults.size),
        value: YamlValue::Map(entries),
    })
}

fn shifted_key(key: &Key, by: usize) -> Key {
    Key {
        span: key.span.start + by..key.span.end + by,
        text: key.text.clone(),
    }
}

fn shifted(node: &Node, by: usize) -> Rc<Node> {
    let value = match &node.value {
        YamlValue::Null => YamlValue::Null,
        YamlValue::Scalar(text) => YamlValue::Scalar(text.clone()),
        YamlValue::List(entries) => {
            YamlValue::List(entries.iter().map(|entry| shifted(entry, by)).collect())
        }
        YamlValue::Map(entries) => {
            let mut moved = Vec::new();
            for (key, node) in entries {
                moved.push((shifted_key(key, by), shifted(node, by)));
            }
            YamlValue::Map(moved)
        }
    };
    Rc::new(Node {
        span: node.span.start + by..node.span.end + by,
        size: node.size,
        value,
    })
}

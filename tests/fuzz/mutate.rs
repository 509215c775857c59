//! Mutations of valid inputs, as an accident or a person may make them.
//!
//! Texts are changed in their structure (lines, numbers, words, indentation), bytes at lengths and tags, and JSON as a tree.
//! Sometimes something enormous is inserted.

use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::Value;

/// The largest input: a little more than the largest plan file that is read.
pub(super) const BYTES_MAX: usize = 1_200_000;

/// One in this many changes inserts something enormous.
const ENORMOUS_OF: u8 = 100;

/// Numbers at which programs break.
const NUMBERS: [&str; 30] = [
    "0",
    "-1",
    "1",
    "01",
    "100",
    "101",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999999",
    "1e308",
    "1e999",
    "-1e999",
    "1e-400",
    "-0",
    "-0.0",
    "0.000001",
    "0.0000001",
    "NaN",
    "inf",
    "0x10",
    "1_000",
    "1.7976931348623157e308",
];

/// Times and lengths of time at which programs break.
const TIMES: [&str; 20] = [
    "9999-12-31T23:59:59Z",
    "9999-12-30T22:00:00.999999999Z",
    "-009999-01-02T01:59:59Z",
    "1969-12-31T23:59:59Z",
    "2026-02-29T00:00:00Z",
    "2026-03-29T02:30:00[Europe/Berlin]",
    "2026-12-01T09:00+99:99",
    "0s",
    "1ns",
    "-1h",
    "90d",
    "91d",
    "106751991167d",
    "9223372036854775807s",
    "9223372036854775808s",
    "99999999999999999999h",
    "1h 1h",
    "00:00-24:00",
    "23:59-00:00",
    "P9999999Y",
];

/// Characters with unusual effects.
const ODD: [&str; 22] = [
    "\u{0}",
    "\u{1b}[31m",
    "\u{9b}2J",
    "\u{7}",
    "\u{8}",
    "\r",
    "\t",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{feff}",
    "\u{301}\u{301}\u{301}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{10ffff}",
    "\u{fffd}",
    "\u{e000}",
    "İ",
    "ß",
    "ﬃ",
    "日本語",
];

/// Pieces of YAML, JSON, XML and URLs.
const PIECES: [&str; 62] = [
    "&a ",
    "*a",
    "*b",
    "!!binary ",
    "!x ",
    "<<: *a",
    "\n---\n",
    "\n...\n",
    "? ",
    "- ",
    ": ",
    "|\n",
    ">-\n",
    " #",
    "%YAML 9.9\n",
    "{",
    "}",
    "[",
    "]",
    "{}",
    "[]",
    "\"",
    "'",
    "@",
    "`",
    "~",
    "null",
    "true",
    "no",
    ",",
    ":",
    "\n",
    "\n\n",
    "    ",
    "\\u0000",
    "\\ud800",
    "\\",
    "/",
    "<",
    ">",
    "</",
    "/>",
    "&amp;",
    "&x;",
    "&#0;",
    "&#x110000;",
    "&#xD800;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "<?x?>",
    "<!DOCTYPE a [<!ENTITY x \"y\">]>",
    " xmlns:a=\"b\"",
    "%00",
    "%",
    "?",
    "#",
    "*",
    "${X}",
    "env:X",
    "file:/dev/zero",
    "@fleet",
];

/// Bytes with a meaning in CBOR: lengths, tags, ends, numbers of every size.
const TAGS: [u8; 28] = [
    0x00, 0x17, 0x18, 0x1b, 0x20, 0x3b, 0x40, 0x5b, 0x5f, 0x60, 0x7b, 0x7f, 0x80, 0x9b, 0x9f, 0xa0,
    0xbb, 0xbf, 0xc0, 0xc1, 0xc4, 0xdb, 0xf4, 0xf6, 0xf7, 0xf9, 0xfb, 0xff,
];

/// The number of changes of an input: 1, 2, 4 or 8.
fn changes(rng: &mut Rng) -> usize {
    1 << rng.usize(0..4)
}

/// One of these.
pub(super) fn one<'a, T: ?Sized>(rng: &mut Rng, of: &[&'a T]) -> &'a T {
    of[rng.usize(0..of.len())]
}

/// A number between 1 and `most`, each order of magnitude as likely as the others.
pub(super) fn magnitude(rng: &mut Rng, most: usize) -> usize {
    let bits = rng.u32(0..=most.max(1).ilog2());
    let least = 1_usize << bits;
    rng.usize(least..=most.min(least * 2 - 1).max(least))
        .min(most.max(1))
}

/// A broken version of a text; parts of `others` are spliced in.
pub(super) fn text(rng: &mut Rng, base: &str, others: &[String]) -> String {
    let mut text = base.to_owned();
    for _ in 0..changes(rng) {
        change_text(rng, &mut text, others);
        cut(&mut text, BYTES_MAX);
    }
    text
}

fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = text.floor_char_boundary(most);
        text.truncate(end);
    }
}

fn change_text(rng: &mut Rng, text: &mut String, others: &[String]) {
    if rng.u8(0..ENORMOUS_OF) == 0 {
        return enormous(rng, text);
    }
    match rng.u8(0..20) {
        0 | 1 => replace_run(rng, text, |c| c.is_ascii_digit() || c == '.', &NUMBERS),
        2 => replace_run(
            rng,
            text,
            |c| c.is_alphanumeric() || "-:+.".contains(c),
            &TIMES,
        ),
        3 => insert(rng, text, &ODD),
        4..=6 => insert(rng, text, &PIECES),
        7 | 8 => swap_words(rng, text, others),
        9 | 10 => delete_line(rng, text),
        11 => repeat_line(rng, text),
        12 => move_line(rng, text),
        13 => indent_line(rng, text),
        14 => delete_range(rng, text),
        15 => repeat_range(rng, text),
        16 | 17 => splice(rng, text, others),
        18 => flip(rng, text),
        _ => whole(rng, text),
    }
}

/// A place in a text.
fn place(rng: &mut Rng, text: &str) -> usize {
    text.floor_char_boundary(rng.usize(0..=text.len()))
}

/// A part of a text, mostly a short one.
fn range(rng: &mut Rng, text: &str) -> std::ops::Range<usize> {
    let start = place(rng, text);
    let length = magnitude(rng, (text.len() - start).max(1));
    start..text.ceil_char_boundary((start + length).min(text.len()))
}

fn insert(rng: &mut Rng, text: &mut String, of: &[&str]) {
    let at = place(rng, text);
    text.insert_str(at, one(rng, of));
}

/// The first run of such characters at or after a random place.
fn run_of(rng: &mut Rng, text: &str, is: impl Fn(char) -> bool) -> Option<std::ops::Range<usize>> {
    let from = place(rng, text);
    let start = from + text[from..].find(&is)?;
    let length = text[start..].find(|c| !is(c)).unwrap_or(text.len() - start);
    Some(start..start + length)
}

fn replace_run(rng: &mut Rng, text: &mut String, is: impl Fn(char) -> bool, with: &[&str]) {
    if let Some(run) = run_of(rng, text, is) {
        text.replace_range(run, one(rng, with));
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Replaces a word by another, for example a value by a key, or a name by one that is used twice.
fn swap_words(rng: &mut Rng, text: &mut String, others: &[String]) {
    let from = if others.is_empty() || rng.bool() {
        text.clone()
    } else {
        others[rng.usize(0..others.len())].clone()
    };
    let (Some(taken), Some(given)) = (run_of(rng, text, is_word), run_of(rng, &from, is_word))
    else {
        return;
    };
    text.replace_range(taken, &from[given]);
}

/// The bytes of a random line, its line break included.
fn line(rng: &mut Rng, text: &str) -> std::ops::Range<usize> {
    let at = place(rng, text);
    let start = text[..at].rfind('\n').map_or(0, |found| found + 1);
    let end = text[at..]
        .find('\n')
        .map_or(text.len(), |found| at + found + 1);
    start..end
}

fn delete_line(rng: &mut Rng, text: &mut String) {
    let line = line(rng, text);
    text.replace_range(line, "");
}

fn repeat_line(rng: &mut Rng, text: &mut String) {
    let line = line(rng, text);
    let times = if rng.u8(0..16) == 0 {
        magnitude(rng, 3_000)
    } else {
        1
    };
    let copies = text[line.clone()].repeat(times.min(BYTES_MAX / line.len().max(1)));
    text.insert_str(line.end, &copies);
}

fn move_line(rng: &mut Rng, text: &mut String) {
    let taken = line(rng, text);
    let moved = text[taken.clone()].to_owned();
    text.replace_range(taken, "");
    let at = line(rng, text).start;
    text.insert_str(at, &moved);
}

fn indent_line(rng: &mut Rng, text: &mut String) {
    let line = line(rng, text);
    if rng.bool() {
        text.insert_str(line.start, one(rng, &[" ", "  ", "    ", "\t"]));
    } else if text[line.clone()].starts_with(' ') {
        text.remove(line.start);
    }
}

fn delete_range(rng: &mut Rng, text: &mut String) {
    let range = range(rng, text);
    text.replace_range(range, "");
}

fn repeat_range(rng: &mut Rng, text: &mut String) {
    let range = range(rng, text);
    let again = text[range.clone()].to_owned();
    text.insert_str(range.end, &again);
}

fn splice(rng: &mut Rng, text: &mut String, others: &[String]) {
    if others.is_empty() {
        return;
    }
    let other = &others[rng.usize(0..others.len())];
    if rng.bool() {
        let line = line(rng, other);
        let at = self::line(rng, text).start;
        text.insert_str(at, &other[line]);
    } else {
        let (head, tail) = (place(rng, text), place(rng, other));
        text.truncate(head);
        text.push_str(&other[tail..]);
    }
}

/// Flips one bit; invalid UTF-8 is then replaced, as reading would do.
fn flip(rng: &mut Rng, text: &mut String) {
    let mut bytes = std::mem::take(text).into_bytes();
    if !bytes.is_empty() {
        let at = rng.usize(0..bytes.len());
        bytes[at] ^= 1 << rng.u8(0..8);
    }
    *text = String::from_utf8_lossy(&bytes).into_owned();
}

fn whole(rng: &mut Rng, text: &mut String) {
    match rng.u8(0..6) {
        0 => *text = text.replace('\n', "\r\n"),
        1 => *text = text.replace("  ", "\t"),
        2 => text.insert(0, '\u{feff}'),
        3 => text.clear(),
        4 => {
            let end = place(rng, text);
            text.truncate(end);
        }
        _ => *text = text.replace('\n', " "),
    }
}

/// Inserts something that may take time and memory out of all proportion.
fn enormous(rng: &mut Rng, text: &mut String) {
    let count = magnitude(rng, 100_000);
    let at = line(rng, text).start;
    let bomb = match rng.u8(0..12) {
        0 => one(
            rng,
            &["[", "{", "- ", "? ", "{a: ", "[[", "<a>", "(", "\"", "&a "],
        )
        .repeat(count),
        1 => one(
            rng,
            &[
                "a", "é", "\u{301}", "9", " ", "\n", "#", ",", "a, ", "'", "\\", "\u{202e}",
            ],
        )
        .repeat(magnitude(rng, BYTES_MAX) / 2),
        2 => laughs(rng),
        // One long scalar, used again and again.
        3 => {
            let scalar = "x".repeat(magnitude(rng, 500_000));
            format!(
                "description: &long {scalar}\nlabels: [{}]\n",
                "*long, ".repeat(count)
            )
        }
        4 => {
            let keys: Vec<String> = (0..count).map(|key| format!("k{key}: 1\n")).collect();
            keys.concat()
        }
        5 => {
            let anchors: Vec<String> = (0..count)
                .map(|key| format!("- &a{key} *a{key}\n"))
                .collect();
            anchors.concat()
        }
        6 => format!("x: [{}]\n", "1,".repeat(count)),
        7 => format!("labels: {{{}}}\n", "a: b, ".repeat(count)),
        8 => {
            let deep: Vec<String> = (0..count.min(1_500))
                .map(|depth| format!("{}a:\n", " ".repeat(depth)))
                .collect();
            deep.concat()
        }
        9 => "\n".repeat(count) + "x: y",
        // A large part of the text itself, over and over.
        10 => {
            let part = range(rng, text);
            let part = text[part].to_owned();
            part.repeat(count.min(BYTES_MAX / part.len().max(1)))
        }
        _ => {
            let word =
                run_of(rng, text, is_word).map_or("x".to_owned(), |run| text[run].to_owned());
            word.repeat(count.min(BYTES_MAX / word.len().max(1)))
        }
    };
    let at = if rng.bool() { at } else { place(rng, text) };
    text.insert_str(at, &bomb);
}

/// Lists of aliases of lists of aliases.
fn laughs(rng: &mut Rng) -> String {
    let (depth, width) = (rng.usize(2..30), rng.usize(2..20));
    let mut text = "a0: &a0 [lol, lol]\n".to_owned();
    for level in 1..depth {
        let alias = format!("*a{}, ", level - 1).repeat(width);
        writeln!(text, "a{level}: &a{level} [{alias}]").unwrap_or_default();
    }
    writeln!(text, "labels: *a{}", depth - 1).unwrap_or_default();
    text
}

/// Broken bytes: of CBOR, of a database, of a text whose encoding breaks too.
pub(super) fn bytes(rng: &mut Rng, base: &[u8]) -> Vec<u8> {
    let mut bytes = base.to_vec();
    for _ in 0..changes(rng) {
        change_bytes(rng, &mut bytes);
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

fn change_bytes(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.usize(0..=bytes.len());
    let length = magnitude(rng, (bytes.len() - at).max(1)).min(bytes.len() - at);
    match rng.u8(0..12) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(0..8);
            }
        }
        2 | 3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = TAGS[rng.usize(0..TAGS.len())];
            }
        }
        4 => bytes.insert(at, TAGS[rng.usize(0..TAGS.len())]),
        // An enormous length.
        5 => {
            let tag = [0x5b, 0x7b, 0x9b, 0xbb][rng.usize(0..4)];
            let length = [0xff_u8, 0x7f, 0x00][rng.usize(0..3)];
            let rest = if rng.bool() { 0xff } else { 0x00 };
            let long = [tag, length, rest, rest, rest, 0xff, 0xff, 0xff, 0xff];
            drop(bytes.splice(at..at, long));
        }
        // Deep nesting.
        6 if rng.u8(0..8) == 0 => {
            let deep = vec![
                [0x81_u8, 0x9f, 0xc1, 0xa1, 0xbf, 0x5f][rng.usize(0..6)];
                magnitude(rng, 200_000)
            ];
            drop(bytes.splice(at..at, deep));
        }
        // A number that cannot be a time.
        7 => {
            let number =
                [f64::MAX, f64::NAN, f64::INFINITY, -1e300, 2.6e11, 9.3e18][rng.usize(0..6)];
            let mut tagged = vec![0xc1, 0xfb];
            tagged.extend(number.to_be_bytes());
            drop(bytes.splice(at..at, tagged));
        }
        8 => drop(bytes.drain(at..at + length)),
        9 => {
            let again = bytes[at..at + length].to_vec();
            drop(bytes.splice(at..at, again));
        }
        10 => bytes.truncate(at),
        _ => {
            for byte in &mut bytes[at..at + length.min(16)] {
                *byte = rng.u8(..);
            }
        }
    }
}

/// Changes a JSON value somewhere inside; parts of `others` are put in.
pub(super) fn json(rng: &mut Rng, value: &mut Value, others: &[Value]) {
    for _ in 0..changes(rng) {
        change_json(rng, value, others);
    }
}

fn change_json(rng: &mut Rng, value: &mut Value, others: &[Value]) {
    // Mostly goes further down, so that leaves are changed more often than whole objects.
    match value {
        Value::Object(map) if !map.is_empty() && rng.u8(0..8) > 0 => {
            let key = map
                .keys()
                .nth(rng.usize(0..map.len()))
                .cloned()
                .unwrap_or_default();
            if rng.u8(0..12) == 0 {
                drop(map.remove(&key));
            } else if rng.u8(0..16) == 0 {
                let moved = map.remove(&key).unwrap_or_default();
                drop(map.insert(text(rng, &key, &[]), moved));
            } else if let Some(inner) = map.get_mut(&key) {
                change_json(rng, inner, others);
            }
        }
        Value::Array(list) if !list.is_empty() && rng.u8(0..8) > 0 => {
            let at = rng.usize(0..list.len());
            match rng.u8(0..12) {
                0 => drop(list.remove(at)),
                1 => {
                    let times = if rng.u8(0..8) == 0 {
                        magnitude(rng, 2_000)
                    } else {
                        1
                    };
                    let again = vec![list[at].clone(); times];
                    drop(list.splice(at..at, again));
                }
                2 => list.reverse(),
                _ => change_json(rng, &mut list[at], others),
            }
        }
        leaf => *leaf = leaf_of(rng, leaf, others),
    }
}

fn leaf_of(rng: &mut Rng, leaf: &Value, others: &[Value]) -> Value {
    match rng.u8(0..10) {
        0 => Value::Null,
        1 => Value::Bool(rng.bool()),
        2 | 3 => serde_json::from_str(one(rng, &NUMBERS)).unwrap_or_default(),
        4 => Value::from(one(rng, &TIMES)),
        5 => Value::from(one(rng, &PIECES).repeat(magnitude(rng, 20))),
        6 => serde_json::json!([]),
        7 if !others.is_empty() => {
            let other = &others[rng.usize(0..others.len())];
            inside(rng, other).clone()
        }
        _ => match leaf {
            Value::String(words) => Value::from(text(rng, words, &[])),
            Value::Number(number) => {
                let near = number.as_i64().unwrap_or_default();
                Value::from(near.wrapping_add(rng.i64(-3..=3)))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Value::from(one(rng, &ODD))
            }
        },
    }
}

/// Some value inside of a value.
fn inside<'a>(rng: &mut Rng, value: &'a Value) -> &'a Value {
    let inner = match value {
        Value::Object(map) if !map.is_empty() => map.values().nth(rng.usize(0..map.len())),
        Value::Array(list) if !list.is_empty() => list.get(rng.usize(0..list.len())),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    };
    match inner {
        Some(inner) if rng.u8(0..4) > 0 => inside(rng, inner),
        Some(inner) => inner,
        None => value,
    }
}

//! Finds a secret in a text in every form in which a service may repeat it: as it is, escaped as in JSON, URLs or HTML,
//! even several times, or in base64.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The most levels of nested escapes that are resolved.
const LEVELS_MAX: usize = 4;

/// The least length of a base64 form that is searched for, in bytes. Shorter ones would be found by chance.
const ENCODED_BYTES_MIN: usize = 6;

/// The length of the longest HTML entity that is decoded, in bytes.
const ENTITY_BYTES_MAX: usize = 10;

/// Replaces `hidden` in a text by `shown`, in whatever form it occurs.
pub(super) fn hidden_in(text: &str, hidden: &str, shown: &str) -> String {
    if hidden.is_empty() {
        return text.to_owned();
    }
    let mut parts: Vec<(usize, usize)> = Vec::new();
    let wanted = decoded_wholly(plain(hidden));
    let encoded: Vec<Vec<u8>> = encodings(hidden).collect();
    let mut letters = plain(text);
    for _ in 0..=LEVELS_MAX {
        find(&letters, hidden.as_bytes(), &mut parts);
        find(&letters, &wanted, &mut parts);
        for form in &encoded {
            find(&letters, form, &mut parts);
        }
        let Some(next) = decoded(&letters) else {
            break;
        };
        letters = next;
    }
    parts.sort_unstable();
    let (mut kept, mut at) = (String::new(), 0);
    for (start, end) in parts {
        if start < at {
            // This part overlaps the one before.
            at = at.max(end);
            continue;
        }
        kept.push_str(text.get(at..start).unwrap_or_default());
        kept.push_str(shown);
        at = end;
    }
    kept.push_str(text.get(at..).unwrap_or_default());
    kept
}

/// A decoded byte, and the range of the original text that it was decoded from.
#[derive(Debug, Clone, Copy)]
struct Letter {
    byte: u8,
    start: usize,
    end: usize,
}

/// Converts a text without decoding it. Each byte of a character has the range of the whole character, so that no
/// character is cut.
fn plain(text: &str) -> Vec<Letter> {
    let mut letters = Vec::new();
    for (start, character) in text.char_indices() {
        push(&mut letters, character, start, start + character.len_utf8());
    }
    letters
}

/// Adds the bytes of a character, all with the same range.
fn push(letters: &mut Vec<Letter>, character: char, start: usize, end: usize) {
    let mut bytes = [0; 4];
    for byte in character.encode_utf8(&mut bytes).bytes() {
        letters.push(Letter { byte, start, end });
    }
}

/// Adds the ranges of all occurrences of `wanted` to `parts`.
fn find(letters: &[Letter], wanted: &[u8], parts: &mut Vec<(usize, usize)>) {
    for window in letters.windows(wanted.len().max(1)) {
        let same = window
            .iter()
            .zip(wanted)
            .all(|(letter, byte)| letter.byte == *byte);
        if let ([first, ..], [.., last], true) = (window, window, same) {
            parts.push((first.start, last.end));
        }
    }
}

/// Resolves all levels of escapes, at most [`LEVELS_MAX`], and returns the bytes.
fn decoded_wholly(mut letters: Vec<Letter>) -> Vec<u8> {
    for _ in 0..LEVELS_MAX {
        match decoded(&letters) {
            Some(next) => letters = next,
            None => break,
        }
    }
    letters.iter().map(|letter| letter.byte).collect()
}

/// Resolves one level of escapes. `None` if the text has no escapes.
fn decoded(letters: &[Letter]) -> Option<Vec<Letter>> {
    let mut next = Vec::with_capacity(letters.len());
    let (mut at, mut any) = (0, false);
    while let Some(letter) = letters.get(at) {
        let rest = &letters[at..];
        let (meant, length) = match letter.byte {
            b'\\' => of_json(rest),
            b'%' => of_url(rest),
            b'&' => of_html(rest),
            _ => (None, 0),
        };
        let Some(meant) = meant else {
            next.push(*letter);
            at += 1;
            continue;
        };
        any = true;
        let (start, end) = (letter.start, letters[at + length - 1].end);
        match meant {
            Meant::Byte(byte) => next.push(Letter { byte, start, end }),
            Meant::Character(character) => push(&mut next, character, start, end),
        }
        at += length;
    }
    any.then_some(next)
}

/// The character or byte that an escape stands for.
enum Meant {
    Byte(u8),
    Character(char),
}

/// Decodes an escape of JSON or JavaScript: `\n`, `\/`, `\u0041`, `\x41`. Returns its meaning, or `None`, and its
/// length.
fn of_json(rest: &[Letter]) -> (Option<Meant>, usize) {
    let Some(sign) = rest.get(1) else {
        return (None, 0);
    };
    let digits = match sign.byte {
        b'u' => 4,
        b'x' => 2,
        b'n' => return (Some(Meant::Byte(b'\n')), 2),
        b't' => return (Some(Meant::Byte(b'\t')), 2),
        b'r' => return (Some(Meant::Byte(b'\r')), 2),
        b'/' | b'"' | b'\\' | b'\'' => return (Some(Meant::Byte(sign.byte)), 2),
        _ => return (None, 0),
    };
    let code = number(rest.get(2..2 + digits).unwrap_or_default(), 16);
    (
        code.and_then(char::from_u32).map(Meant::Character),
        2 + digits,
    )
}

/// Decodes an escape of URLs: `%41`. Returns its meaning, or `None`, and its length.
fn of_url(rest: &[Letter]) -> (Option<Meant>, usize) {
    let code = number(rest.get(1..3).unwrap_or_default(), 16);
    let byte = code.and_then(|code| u8::try_from(code).ok());
    (byte.map(Meant::Byte), 3)
}

/// Decodes an entity of HTML: `&amp;`, `&#65;`, `&#x41;`. Returns its meaning, or `None`, and its length.
fn of_html(rest: &[Letter]) -> (Option<Meant>, usize) {
    let near = &rest[..rest.len().min(ENTITY_BYTES_MAX)];
    let Some(end) = near.iter().position(|letter| letter.byte == b';') else {
        return (None, 0);
    };
    let inner = &rest[1..end];
    let name: Vec<u8> = inner.iter().map(|letter| letter.byte).collect();
    let character = match name.as_slice() {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        b"sol" => Some('/'),
        b"plus" => Some('+'),
        b"equals" => Some('='),
        b"eacute" => Some('é'),
        [b'#', b'x' | b'X', ..] => number(&inner[2..], 16).and_then(char::from_u32),
        [b'#', ..] => number(&inner[1..], 10).and_then(char::from_u32),
        _ => None,
    };
    (character.map(Meant::Character), end + 1)
}

/// Reads a number. `None` if a digit is not valid in `radix`, there are none, or the number is too large.
fn number(digits: &[Letter], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let mut number: u32 = 0;
    for letter in digits {
        let digit = char::from(letter.byte).to_digit(radix)?;
        number = number.checked_mul(radix)?.checked_add(digit)?;
    }
    Some(number)
}

/// Returns the base64 forms of a text for each of the three offsets, without the letters that depend on the bytes
/// before and after it.
fn encodings(hidden: &str) -> impl Iterator<Item = Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend(hidden.as_bytes());
        let bits = bytes.len() * 8;
        let encoded = BASE64_STANDARD.encode(&bytes);
        let first = (before * 8).div_ceil(6);
        let Some(form) = encoded.get(first..bits / 6) else {
            continue;
        };
        if form.len() < ENCODED_BYTES_MIN {
            continue;
        }
        forms.push(form.as_bytes().to_vec());
        let in_urls = form.replace('+', "-").replace('/', "_");
        forms.push(in_urls.into_bytes());
    }
    forms.into_iter()
}

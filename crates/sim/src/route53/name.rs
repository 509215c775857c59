//! Domain names in the form in which Route 53 stores, compares and sorts them.

/// Normalises a name: lower case, one trailing dot, and every byte outside `a-z 0-9 - _` as a three-digit octal escape.
///
/// `*` becomes `\052`. Source: Developer Guide, "DNS domain name format".
///
/// # Errors
/// The reason why the text is not a valid domain name.
pub(super) fn stored(name: &str) -> Result<String, String> {
    let mut labels = Vec::new();
    let mut label = Vec::new();
    let mut rest = name.strip_suffix('.').unwrap_or(name).as_bytes();
    if rest.is_empty() {
        return Err(format!("'{name}' is not a valid domain name (it is empty)"));
    }
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => {
                let (value, tail) = octal(rest).ok_or_else(|| {
                    format!("'{name}' contains an escape that is not three octal digits")
                })?;
                rest = tail;
                label.push(value);
            }
            _ => label.push(byte),
        }
    }
    labels.push(label);
    if let Some(bad) = labels
        .iter()
        .find(|label| label.is_empty() || label.len() > 63)
    {
        let reason = if bad.is_empty() {
            "an empty label"
        } else {
            "a label of more than 63 octets"
        };
        return Err(format!("'{name}' is not a valid domain name ({reason})"));
    }
    let octets: usize = labels.iter().map(|label| label.len() + 1).sum();
    if octets > 255 {
        return Err(format!("'{name}' is longer than 255 octets"));
    }
    Ok(labels.iter().map(|label| escaped(label) + ".").collect())
}

/// Returns the key by which Route 53 sorts a name: its labels in reverse order, with the trailing dot, compared as
/// ASCII.
///
/// The dot is compared too, so `a-b` sorts before `a`. Source: API Reference, `ListHostedZonesByName` and
/// `ListResourceRecordSets`.
pub(super) fn order_key(stored: &str) -> String {
    let labels = stored.trim_end_matches('.').rsplit('.');
    labels.flat_map(|label| [label, "."]).collect()
}

/// Returns true if `stored` is the zone's apex or lies below it. Both names are in stored form.
pub(super) fn is_in_zone(stored: &str, zone: &str) -> bool {
    stored
        .strip_suffix(zone)
        .is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// Returns the wildcard that would answer for `stored`: its first label is replaced by `\052`.
pub(super) fn wildcard(stored: &str) -> Option<String> {
    let (_, parent) = stored.split_once('.')?;
    Some(format!("\\052.{parent}"))
}

/// Reads three octal digits, and returns the byte and the text after them. `None` if they are not octal digits.
fn octal(digits: &[u8]) -> Option<(u8, &[u8])> {
    let (head, tail) = digits.split_at_checked(3)?;
    let text = std::str::from_utf8(head).ok()?;
    if !text.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return None;
    }
    Some((u8::from_str_radix(text, 8).ok()?, tail))
}

/// Returns one label in lower case and escaped.
fn escaped(label: &[u8]) -> String {
    label
        .iter()
        .map(|byte| match byte.to_ascii_lowercase() {
            plain @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => char::from(plain).to_string(),
            other => format!("\\{other:03o}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stored_in_lower_case_with_a_dot_and_octal_escapes() {
        assert_eq!(stored("APP.Example.com").unwrap(), "app.example.com.");
        assert_eq!(stored("*.example.com.").unwrap(), "\\052.example.com.");
        assert_eq!(stored("\\052.example.com").unwrap(), "\\052.example.com.");
        assert_eq!(
            stored("a\\057b.example.com").unwrap(),
            "a\\057b.example.com."
        );
        assert_eq!(stored("a/b.example.com").unwrap(), "a\\057b.example.com.");
        assert_eq!(stored("\\141.example.com").unwrap(), "a.example.com.");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", ".", "a..example.com", "\\9.example.com"] {
            assert!(stored(name).is_err(), "{name}");
        }
        assert!(stored(&"x".repeat(64)).is_err());
    }

    #[test]
    fn the_trailing_dot_takes_part_in_the_order() {
        assert!(order_key("z.a.example.com.") < order_key("b.example.com."));
        assert!(order_key("a-b.example.com.") < order_key("a.example.com."));
        assert!(order_key("example.com.") < order_key("a.example.com."));
    }
}

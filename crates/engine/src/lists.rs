//! Lists in messages, which are kept short (semantics M8).

/// The largest number of names that a message lists.
pub const NAMED_MAX: usize = 10;

/// Joins the first [`NAMED_MAX`] of these texts, and adds the number of those that are left out. Empty for no texts.
pub fn some<T: AsRef<str>>(all: &[T], separator: &str) -> String {
    let mut named: Vec<&str> = Vec::new();
    for name in all.iter().take(NAMED_MAX) {
        named.push(name.as_ref());
    }
    let shown = named.join(separator);
    match all.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown}{separator}and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_at_most_ten_names_and_says_how_many_more_there_are() {
        let names: Vec<String> = (1..=12).map(|number| format!("n{number}")).collect();
        assert_eq!(some(&names[..2], ", "), "n1, n2");
        assert_eq!(some(&names[..10], ", ").matches('n').count(), 10);
        let shown = some(&names, "; ");
        assert!(shown.ends_with("n9; n10; and 2 more"), "{shown}");
        assert_eq!(some::<&str>(&[], ", "), "");
    }
}

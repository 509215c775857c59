//! Lists in a message are short, however long they are (semantics M8).

/// How many names a message lists.
pub const NAMED_MAX: usize = 10;

/// At most ten of these, and how many more there are.
pub fn some<T: AsRef<str>>(all: &[T], separator: &str) -> String {
    let shown = all.iter().take(NAMED_MAX).map(AsRef::as_ref);
    let shown: Vec<&str> = shown.collect();
    let shown = shown.join(separator);
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

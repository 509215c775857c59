//! How many slips of the pen lie between a word of a file and a known one: for "did you mean".

/// The longest word that is compared letter by letter, in bytes. No known word is half as long, and the work grows with
/// the length of both.
const COMPARED_MAX: usize = 100;

/// Returns the number of slips (a letter added, left out or changed, or two letters swapped) between two words. For a word
/// that is too long for any slip, returns the difference of the lengths: there are at least as many.
pub(super) fn slips(word: &str, known: &str) -> usize {
    if word.len() > COMPARED_MAX {
        return word.len().abs_diff(known.len());
    }
    strsim::damerau_levenshtein(word, known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_word_is_like_no_known_one_and_costs_nothing() {
        assert_eq!(slips("wieght", "weight"), 1);
        let long = "x".repeat(10_000_000);
        assert_eq!(slips(&long, "weight"), 9_999_994);
    }
}

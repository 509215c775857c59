//! Finds the names of series in metric math. `CloudWatch` computes the expressions.
//!
//! Series of many cutovers are read in one call, and in a call every expression can use the names of all series. So an
//! expression may name only its own inputs. Any other name could be a series of another cutover.
//!
//! Source: `CloudWatch` User Guide, "Using metric math"; API Reference, `MetricDataQuery` (an identifier begins with a
//! lower-case letter, and has letters, digits and underscores).

use std::fmt;

/// The functions and constants of metric math. All of them are in upper case, and no name of a series is.
const WORDS: &[&str] = &[
    "ABS",
    "AND",
    "ANOMALY_DETECTION_BAND",
    "ASC",
    "AVG",
    "CEIL",
    "DATAPOINT_COUNT",
    "DATE",
    "DAY",
    "DB_PERF_INSIGHTS",
    "DESC",
    "DIFF",
    "DIFF_TIME",
    "EPOCH",
    "FILL",
    "FIRST",
    "FLOOR",
    "HOUR",
    "IF",
    "INSIGHT_RULE_METRIC",
    "LAMBDA",
    "LAST",
    "LINEAR",
    "LOG",
    "LOG10",
    "MAX",
    "METRIC_COUNT",
    "MIN",
    "MINUTE",
    "MONTH",
    "OR",
    "PERIOD",
    "RATE",
    "REMOVE_EMPTY",
    "REPEAT",
    "RUNNING_SUM",
    "SEARCH",
    "SERVICE_QUOTA",
    "SLICE",
    "SORT",
    "STDDEV",
    "SUM",
    "TIME_SERIES",
    "YEAR",
];

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// The expression names this series, which is not one of its inputs.
    Undefined(String),
    /// The expression uses all series of the call.
    Everything,
    /// There is no function of this name.
    NoFunction(String),
    /// A bracket or a quote is not closed, or not opened.
    Unclosed,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined(name) => {
                write!(
                    f,
                    "the expression names `{name}`, which is not one of its inputs"
                )
            }
            Self::Everything => f.write_str(
                "`METRICS()` takes every series of the call, also those of other cutovers",
            ),
            Self::NoFunction(name) => write!(f, "metric math has no function `{name}`"),
            Self::Unclosed => {
                f.write_str("a bracket or a quote of the expression is not opened or not closed")
            }
        }
    }
}

/// A part of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'e> {
    /// A word: the name of a series or of a function.
    Word(&'e str),
    /// A text with its quotes.
    Quoted(&'e str),
    /// Numbers, operators and spaces.
    Other(&'e str),
}

/// Returns the parts of an expression in order. Joined, they are the expression.
pub fn pieces(expression: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' => rest[1..].find(first).map(|at| at + 2),
            // `1e5` and `0.99` are numbers, and not words.
            '0'..='9' => rest.find(|sign| !is_word(sign) && sign != '.'),
            _ if is_word(first) => rest.find(|sign| !is_word(sign)),
            _ => rest.find(|sign| is_word(sign) || matches!(sign, '\'' | '"')),
        };
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(match first {
            '\'' | '"' => Piece::Quoted(piece),
            '0'..='9' => Piece::Other(piece),
            _ if is_word(first) => Piece::Word(piece),
            _ => Piece::Other(piece),
        });
        rest = after;
    }
    pieces
}

/// Returns true if a character can be part of a word.
fn is_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_'
}

/// Returns the first mistake of an expression. `None` if it has none. `is_input` returns true for the names of its
/// inputs.
pub fn mistake(expression: &str, is_input: impl Fn(&str) -> bool) -> Option<Mistake> {
    let mut open: Vec<char> = Vec::new();
    for piece in pieces(expression) {
        match piece {
            Piece::Word(word) if is_input(word) || WORDS.contains(&word) => {}
            Piece::Word(word) if word.eq_ignore_ascii_case("METRICS") => {
                return Some(Mistake::Everything);
            }
            Piece::Word(word) if word.starts_with(|first: char| first.is_ascii_uppercase()) => {
                return Some(Mistake::NoFunction(word.to_owned()));
            }
            Piece::Word(word) => return Some(Mistake::Undefined(word.to_owned())),
            Piece::Quoted(text) => {
                let closed = text.len() > 1 && text.ends_with(&text[..1]);
                if !closed {
                    return Some(Mistake::Unclosed);
                }
            }
            Piece::Other(text) => {
                for sign in text.chars() {
                    let closes = match sign {
                        '(' | '[' | '{' => {
                            open.push(sign);
                            continue;
                        }
                        ')' => '(',
                        ']' => '[',
                        '}' => '{',
                        _ => continue,
                    };
                    if open.pop() != Some(closes) {
                        return Some(Mistake::Unclosed);
                    }
                }
            }
        }
    }
    if open.is_empty() {
        return None;
    }
    Some(Mistake::Unclosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expression: &str) -> Option<Mistake> {
        mistake(expression, |word| ["failed", "tried", "e5"].contains(&word))
    }

    #[test]
    fn an_expression_names_its_own_inputs_and_functions() {
        for well in [
            "100 * FILL(failed, 0) / tried",
            "IF(tried > 1e5 AND failed>=0.5, failed/PERIOD(failed), 0)",
            "SUM(SEARCH('{AWS/ECS,ClusterName} m1 METRICS', 'Sum', 60)) + failed",
            "SORT([failed, tried], MAX, DESC, 1)",
            "SEARCH('a ) of (', \"'\", 60) + {failed}",
        ] {
            assert_eq!(found(well), None, "{well}");
        }
    }

    #[test]
    fn what_belongs_to_somebody_else_is_found() {
        for (expression, name) in [("100 * failed / m1", "m1"), ("_x", "_x")] {
            let undefined = Mistake::Undefined(name.to_owned());
            assert_eq!(found(expression), Some(undefined));
        }
        assert_eq!(found("failed + SUM(METRICS())"), Some(Mistake::Everything));
        assert_eq!(found("SUM(metrics('x'))"), Some(Mistake::Everything));
        let none = Some(Mistake::NoFunction("SUMM".to_owned()));
        assert_eq!(found("SUMM(failed)"), none);
        for unclosed in [
            "failed ++ ((",
            "failed)",
            "SUM([failed)]",
            "SEARCH('x",
            "failed + 'x",
            "failed + '",
            "{failed",
            "failed}",
            "failed]",
        ] {
            assert_eq!(found(unclosed), Some(Mistake::Unclosed), "{unclosed}");
        }
    }

    #[test]
    fn a_mistake_names_what_is_wrong() {
        for (expression, wanted) in [
            (
                "failed / m1",
                "the expression names `m1`, which is not one of its inputs",
            ),
            (
                "SUM(METRICS())",
                "`METRICS()` takes every series of the call, also those of other cutovers",
            ),
            ("SUMM(failed)", "metric math has no function `SUMM`"),
            (
                "(failed",
                "a bracket or a quote of the expression is not opened or not closed",
            ),
        ] {
            let mistake = found(expression).map(|mistake| mistake.to_string());
            assert_eq!(mistake.as_deref(), Some(wanted));
        }
    }

    #[test]
    fn numbers_are_no_words_and_what_is_quoted_is_one_piece() {
        let wanted = [
            Piece::Other("0.99"),
            Piece::Other("*"),
            Piece::Word("m_1"),
            Piece::Other("+"),
            Piece::Other("1.5e3"),
            Piece::Other(" "),
            Piece::Quoted("'a \"(b'"),
            Piece::Quoted("\"c"),
        ];
        assert_eq!(pieces("0.99*m_1+1.5e3 'a \"(b'\"c"), wanted);
    }

    #[test]
    fn the_pieces_are_the_whole_expression() {
        for text in ["100*a/b", "SEARCH('{a b}', \"c\")", "", "é+'", "1.5e3x a"] {
            let mut joined = String::new();
            for piece in pieces(text) {
                let (Piece::Word(text) | Piece::Quoted(text) | Piece::Other(text)) = piece;
                joined.push_str(text);
            }
            assert_eq!(joined, text);
        }
    }
}

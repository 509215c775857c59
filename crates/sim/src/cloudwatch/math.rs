//! Metric math, for example `100 * (errors / FILL(requests, 0))`.
//!
//! Modelled: numbers, ids, `+ - * / ^`, unary minus, parentheses, `FILL(series, number | REPEAT)`. An operation on two
//! series keeps only the times that both have, and a division by zero gives no datapoint. Source: `CloudWatch` User
//! Guide, "Using metric math".

use std::collections::{BTreeMap, BTreeSet};

/// The deepest nesting of an expression. It bounds the recursion of the parser; AWS gives no number.
const DEPTH_MAX: usize = 100;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A constant.
    Number(f64),
    /// The series of the query with this id.
    Id(String),
    /// The negative of an expression.
    Negative(Box<Self>),
    /// An operator (`+ - * / ^`) and its two operands.
    Binary(char, Box<Self>, Box<Self>),
    /// A series whose missing datapoints are filled with a number. `None` repeats the datapoint before.
    Fill(Box<Self>, Option<f64>),
}

/// The result of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Yield {
    /// The same number for all times.
    Scalar(f64),
    /// Values by time, in seconds since 1970.
    Series(BTreeMap<i64, f64>),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// A text for people that says where the expression is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = MathParser { rest: text.trim() };
        let expression = parser.sum(0)?;
        if parser.rest.is_empty() {
            Ok(expression)
        } else {
            Err(format!("unexpected `{}` in `{text}`", parser.rest))
        }
    }

    /// Returns the ids of the queries that the expression refers to.
    pub fn ids(&self) -> BTreeSet<&str> {
        match self {
            Self::Number(_) => BTreeSet::new(),
            Self::Id(id) => BTreeSet::from([id.as_str()]),
            Self::Negative(inner) | Self::Fill(inner, _) => inner.ids(),
            Self::Binary(_, left, right) => &left.ids() | &right.ids(),
        }
    }

    /// Computes the expression. `lookup` returns the series of an id. `times` are the starts of all periods in range,
    /// in seconds since 1970. `None` if `lookup` does not know an id.
    pub fn evaluate(&self, lookup: &dyn Fn(&str) -> Option<Yield>, times: &[i64]) -> Option<Yield> {
        match self {
            Self::Number(number) => Some(Yield::Scalar(*number)),
            Self::Id(id) => lookup(id),
            Self::Negative(inner) => {
                let inner = inner.evaluate(lookup, times)?;
                Some(combine('-', &Yield::Scalar(0.0), &inner))
            }
            Self::Binary(operator, left, right) => {
                let left = left.evaluate(lookup, times)?;
                Some(combine(*operator, &left, &right.evaluate(lookup, times)?))
            }
            Self::Fill(inner, with) => match inner.evaluate(lookup, times)? {
                Yield::Scalar(number) => Some(Yield::Scalar(number)),
                Yield::Series(series) => Some(Yield::Series(fill(&series, *with, times))),
            },
        }
    }
}

/// Fills the missing times of a series with a number. `None` fills with the value before, if there is one.
fn fill(series: &BTreeMap<i64, f64>, with: Option<f64>, times: &[i64]) -> BTreeMap<i64, f64> {
    let mut last = None;
    let mut filled = series.clone();
    for at in times {
        match series.get(at) {
            Some(value) => last = Some(*value),
            None => {
                if let Some(value) = with.or(last) {
                    filled.insert(*at, value);
                }
            }
        }
    }
    filled
}

/// Applies an operator to two results, time by time. Times that only one series has are left out.
fn combine(operator: char, left: &Yield, right: &Yield) -> Yield {
    let series = match (left, right) {
        (Yield::Scalar(left), Yield::Scalar(right)) => match apply(operator, *left, *right) {
            Some(number) => return Yield::Scalar(number),
            None => BTreeMap::new(),
        },
        (Yield::Series(series), Yield::Scalar(number)) => series
            .iter()
            .filter_map(|(at, value)| Some((*at, apply(operator, *value, *number)?)))
            .collect(),
        (Yield::Scalar(number), Yield::Series(series)) => series
            .iter()
            .filter_map(|(at, value)| Some((*at, apply(operator, *number, *value)?)))
            .collect(),
        (Yield::Series(left), Yield::Series(right)) => left
            .iter()
            .filter_map(|(at, value)| Some((*at, apply(operator, *value, *right.get(at)?)?)))
            .collect(),
    };
    Yield::Series(series)
}

/// Applies an operator to two numbers. `None` if the result is not finite.
fn apply(operator: char, left: f64, right: f64) -> Option<f64> {
    let value = match operator {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        _ => left.powf(right),
    };
    value.is_finite().then_some(value)
}

/// A parser of expressions, by recursive descent.
struct MathParser<'a> {
    /// The text that is not parsed yet.
    rest: &'a str,
}

impl MathParser<'_> {
    fn sum(&mut self, depth: usize) -> Result<Expression, String> {
        let mut left = self.product(depth)?;
        while let Some(operator) = self.one_of("+-") {
            let right = self.product(depth)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn product(&mut self, depth: usize) -> Result<Expression, String> {
        let mut left = self.power(depth)?;
        while let Some(operator) = self.one_of("*/") {
            let right = self.power(depth)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn power(&mut self, depth: usize) -> Result<Expression, String> {
        if depth > DEPTH_MAX {
            return Err("the expression nests too deep".to_owned());
        }
        if self.one_of("-").is_some() {
            return Ok(Expression::Negative(Box::new(self.power(depth + 1)?)));
        }
        let left = self.operand(depth)?;
        if self.one_of("^").is_some() {
            let right = self.power(depth + 1)?;
            return Ok(Expression::Binary('^', Box::new(left), Box::new(right)));
        }
        Ok(left)
    }

    fn operand(&mut self, depth: usize) -> Result<Expression, String> {
        if self.one_of("(").is_some() {
            let inner = self.sum(depth + 1)?;
            return self.closed(inner);
        }
        let end = self
            .rest
            .find(|next: char| !(next.is_ascii_alphanumeric() || "_.".contains(next)))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        if word.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            let number = word
                .parse()
                .map_err(|_| format!("`{word}` is not a number"))?;
            return Ok(Expression::Number(number));
        }
        if word == "FILL" && self.one_of("(").is_some() {
            return self.fill(depth);
        }
        if word.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Ok(Expression::Id(word.to_owned()));
        }
        Err(format!("`{word}{}` is not an expression", self.rest))
    }

    fn fill(&mut self, depth: usize) -> Result<Expression, String> {
        let series = self.sum(depth + 1)?;
        if self.one_of(",").is_none() {
            return Err("FILL needs two arguments".to_owned());
        }
        let with = if let Some(rest) = self.rest.strip_prefix("REPEAT") {
            self.rest = rest.trim_start();
            None
        } else {
            match self.power(depth + 1)? {
                Expression::Number(number) => Some(number),
                Expression::Negative(inner) => match *inner {
                    Expression::Number(number) => Some(-number),
                    _ => return Err("FILL fills with a number or REPEAT".to_owned()),
                },
                _ => return Err("FILL fills with a number or REPEAT".to_owned()),
            }
        };
        self.closed(Expression::Fill(Box::new(series), with))
    }

    /// Consumes the closing parenthesis and returns `inner`.
    fn closed(&mut self, inner: Expression) -> Result<Expression, String> {
        match self.one_of(")") {
            Some(_) => Ok(inner),
            None => Err("a parenthesis is not closed".to_owned()),
        }
    }

    /// Consumes the next character and the space after it if the character is one of `symbols`. Otherwise returns
    /// `None`.
    fn one_of(&mut self, symbols: &str) -> Option<char> {
        let found = self.rest.chars().next()?;
        if !symbols.contains(found) {
            return None;
        }
        self.rest = self.rest[1..].trim_start();
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &str) -> Vec<(i64, f64)> {
        let lookup = |id: &str| {
            let points: &[(i64, f64)] = match id {
                "e" => &[(0, 4.0), (60, 30.0)],
                "r" => &[(0, 200.0), (60, 200.0), (180, 50.0), (240, 0.0)],
                _ => return None,
            };
            Some(Yield::Series(points.iter().copied().collect()))
        };
        let times = [0, 60, 120, 180, 240];
        match Expression::parse(text).unwrap().evaluate(&lookup, &times) {
            Some(Yield::Series(series)) => series.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_times_that_both_series_have_remain() {
        assert_eq!(series("100*(e/r)"), [(0, 2.0), (60, 15.0)]);
    }

    #[test]
    fn a_division_by_zero_gives_no_datapoint() {
        assert_eq!(
            series("FILL(e, 0) / r"),
            [(0, 0.02), (60, 0.15), (180, 0.0)]
        );
    }

    #[test]
    fn fill_repeats_or_takes_a_number() {
        assert_eq!(series("FILL(e, REPEAT)").len(), 5);
        assert_eq!(series("-FILL(e, -1)")[2], (120, 1.0));
    }

    #[test]
    fn operators_bind_as_in_arithmetic() {
        let lookup = |_: &str| None;
        let value = Expression::parse("2 + 3 * 2 ^ 2 - -4 / 2").unwrap();
        assert_eq!(value.evaluate(&lookup, &[]), Some(Yield::Scalar(16.0)));
    }

    #[test]
    fn broken_expressions_are_refused() {
        for text in [
            "",
            "e +",
            "(e",
            "e r",
            "1.2.3",
            "FILL(e)",
            "FILL(e, r)",
            "E1",
            "SEARCH('x')",
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}

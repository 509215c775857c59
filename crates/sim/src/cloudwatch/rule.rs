//! The rule language of composite alarms.
//!
//! Example: `ALARM(name) AND (OK("other name") OR NOT INSUFFICIENT_DATA(third)) OR TRUE`. A name may be quoted and may
//! be an ARN. `NOT` binds closest, then `AND`, then `OR`. Source: `CloudWatch` API Reference, `PutCompositeAlarm`.

use std::collections::BTreeSet;

use super::state::parse_state;
use cutover_engine::observation::AlarmState;

/// The longest rule, in characters. Source: API Reference, `PutCompositeAlarm`.
const RULE_LENGTH_MAX: usize = 10_240;
/// The most alarms that a rule may name. Source: API Reference, `PutCompositeAlarm`.
const CHILDREN_MAX: usize = 100;
/// The deepest nesting of parentheses and `NOT`. It bounds the recursion of the parser; AWS gives no number.
const DEPTH_MAX: usize = 100;

/// A parsed rule, with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The rule as it was written in the request.
    pub text: String,
    expression: RuleExpression,
}

/// A parsed part of a rule.
#[derive(Debug, Clone, PartialEq)]
enum RuleExpression {
    Constant(bool),
    State(AlarmState, String),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// A text for people that says what is wrong: the length, the syntax, or more than 100 alarms.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().count() > RULE_LENGTH_MAX {
            return Err(format!(
                "AlarmRule must have between 1 and {RULE_LENGTH_MAX} characters"
            ));
        }
        let mut parser = RuleParser { rest: text.trim() };
        let expression = parser.or(0)?;
        if !parser.rest.is_empty() {
            return Err(format!("AlarmRule: unexpected `{}`", parser.rest));
        }
        let rule = Self {
            text: text.to_owned(),
            expression,
        };
        if rule.children().len() > CHILDREN_MAX {
            return Err(format!("AlarmRule names more than {CHILDREN_MAX} alarms"));
        }
        Ok(rule)
    }

    /// Returns the names of the alarms in the rule.
    pub fn children(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.expression.collect(&mut names);
        names
    }

    /// Returns true if the rule holds. `state_of` returns the state of an alarm, or `None` if the alarm does not exist.
    /// A condition on an alarm that does not exist is false.
    pub fn holds(&self, state_of: &dyn Fn(&str) -> Option<AlarmState>) -> bool {
        self.expression.holds(state_of)
    }
}

impl RuleExpression {
    fn collect<'a>(&'a self, names: &mut BTreeSet<&'a str>) {
        match self {
            Self::Constant(_) => {}
            Self::State(_, name) => {
                names.insert(name);
            }
            Self::Not(inner) => inner.collect(names),
            Self::And(left, right) | Self::Or(left, right) => {
                left.collect(names);
                right.collect(names);
            }
        }
    }

    fn holds(&self, state_of: &dyn Fn(&str) -> Option<AlarmState>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::State(state, name) => state_of(name) == Some(*state),
            Self::Not(inner) => !inner.holds(state_of),
            Self::And(left, right) => left.holds(state_of) && right.holds(state_of),
            Self::Or(left, right) => left.holds(state_of) || right.holds(state_of),
        }
    }
}

/// A parser of rules, by recursive descent.
struct RuleParser<'a> {
    /// The text that is not parsed yet.
    rest: &'a str,
}

impl RuleParser<'_> {
    fn or(&mut self, depth: usize) -> Result<RuleExpression, String> {
        let mut left = self.and(depth)?;
        while self.word("OR") {
            left = RuleExpression::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<RuleExpression, String> {
        let mut left = self.not(depth)?;
        while self.word("AND") {
            left = RuleExpression::And(Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<RuleExpression, String> {
        if depth > DEPTH_MAX {
            return Err("AlarmRule nests too deep".to_owned());
        }
        if self.word("NOT") {
            return Ok(RuleExpression::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.symbol('(') {
            let inner = self.or(depth + 1)?;
            if !self.symbol(')') {
                return Err("AlarmRule: a parenthesis is not closed".to_owned());
            }
            return Ok(inner);
        }
        if self.word("TRUE") {
            return Ok(RuleExpression::Constant(true));
        }
        if self.word("FALSE") {
            return Ok(RuleExpression::Constant(false));
        }
        self.state()
    }

    fn state(&mut self) -> Result<RuleExpression, String> {
        let end = self.rest.find('(').unwrap_or(self.rest.len());
        let (function, rest) = self.rest.split_at(end);
        let state = parse_state(function.trim())
            .ok_or_else(|| format!("AlarmRule: expected a function at `{}`", self.rest))?;
        let rest = rest
            .strip_prefix('(')
            .ok_or_else(|| format!("AlarmRule: {function} needs an alarm name in parentheses"))?
            .trim_start();
        let (name, rest) =
            argument(rest).ok_or_else(|| format!("AlarmRule: {function}( is not closed"))?;
        self.rest = rest.trim_start();
        let name = match name.split_once(":alarm:") {
            Some((head, tail)) if head.starts_with("arn:") => tail,
            _ => name,
        };
        if name.is_empty() {
            return Err(format!("AlarmRule: {function}() names no alarm"));
        }
        Ok(RuleExpression::State(state, name.to_owned()))
    }

    /// Consumes a keyword, if it comes next and a space, a parenthesis or the end follows it. Returns true if it did.
    fn word(&mut self, keyword: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(keyword) else {
            return false;
        };
        let ends = rest
            .chars()
            .next()
            .is_none_or(|next| next.is_whitespace() || "()".contains(next));
        if ends {
            self.rest = rest.trim_start();
        }
        ends
    }

    /// Consumes a character, if it comes next. Returns true if it did.
    fn symbol(&mut self, symbol: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(symbol) else {
            return false;
        };
        self.rest = rest.trim_start();
        true
    }
}

/// Splits a function's argument, quoted or bare, from the text after its closing parenthesis. `None` if the parenthesis
/// or a quote is not closed.
fn argument(text: &str) -> Option<(&str, &str)> {
    if let Some(quote @ ('"' | '\'')) = text.chars().next() {
        let (name, rest) = text[1..].split_once(quote)?;
        return Some((name, rest.trim_start().strip_prefix(')')?));
    }
    let (name, rest) = text.split_once(')')?;
    Some((name.trim(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let rule = Rule::parse(text).unwrap();
        rule.holds(&|name| match name {
            "red" => Some(AlarmState::Alarm),
            "green one" => Some(AlarmState::Ok),
            _ => None,
        })
    }

    #[test]
    fn operators_bind_not_before_and_before_or() {
        assert!(holds("TRUE OR TRUE AND FALSE"));
        assert!(!holds("(TRUE OR TRUE) AND FALSE"));
        assert!(holds("NOT FALSE AND TRUE"));
        assert!(!holds("NOT (FALSE OR ALARM(red))"));
    }

    #[test]
    fn names_may_be_bare_quoted_or_arns() {
        assert!(holds("ALARM(red)"));
        assert!(holds("OK( \"green one\" ) AND OK('green one')"));
        assert!(holds(
            "ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:red)"
        ));
        assert!(!holds("INSUFFICIENT_DATA(unknown) OR OK(unknown)"));
    }

    #[test]
    fn broken_rules_are_refused() {
        for text in [
            "",
            "ALARM",
            "ALARM(",
            "ALARM()",
            "red",
            "TRUE FALSE",
            "(TRUE",
            "RED(x)",
        ] {
            assert!(Rule::parse(text).is_err(), "{text}");
        }
        let many: Vec<_> = (0..=100).map(|i| format!("ALARM(a{i})")).collect();
        assert!(Rule::parse(&many.join(" OR ")).is_err());
    }
}

//! What is wrong with a configuration, in words a person can act on.

use std::borrow::Cow;
use std::fmt;

use crate::option::OptionInfo;
use crate::origin::Origin;

/// The builder was given values that can't be used. Lists all of them, not only the first.
///
/// Only values from code end here: a bad value from the environment or a file never stops the program, see
/// [`DDConfig::problems`](crate::DDConfig::problems).
#[derive(Clone, Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        for problem in &mut problems {
            problem.outcome = None;
        }
        Self { problems }
    }

    /// Every value that was refused, in the order of the option table.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "value" } else { "values" };
        write!(f, "the Datadog configuration has {count} unusable {noun}:")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One value that was refused, or that was used although it looks wrong. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    option: &'static str,
    name: String,
    given: String,
    origin: Origin,
    message: String,
    refused: bool,
    outcome: Option<String>,
}

impl Problem {
    /// A value of `option` that can't be used. A secret's text is not kept.
    pub(crate) fn refused(
        option: &'static OptionInfo,
        name: &str,
        given: &str,
        origin: Origin,
        message: &str,
    ) -> Self {
        let given = if option.sensitive {
            REDACTED.to_owned()
        } else {
            shown(given)
        };
        let (name, message) = (name.to_owned(), shown(message));
        Self {
            option: option.name,
            name,
            given,
            origin,
            message,
            refused: true,
            outcome: None,
        }
    }

    /// A value of `option` that is used, and a remark on it.
    pub(crate) fn remark(
        option: &'static OptionInfo,
        name: &str,
        given: &str,
        origin: Origin,
        message: &str,
    ) -> Self {
        Self {
            refused: false,
            ..Self::refused(option, name, given, origin, message)
        }
    }

    /// A problem of a whole layer, such as a file that can't be read.
    pub(crate) fn of_layer(name: &str, origin: Origin, message: &str) -> Self {
        let (name, message) = (name.to_owned(), shown(message));
        Self {
            option: "",
            name,
            given: String::new(),
            origin,
            message,
            refused: true,
            outcome: None,
        }
    }

    /// States what is used instead, or all the same.
    pub(crate) fn conclude(&mut self, outcome: String) {
        self.outcome = Some(outcome);
    }

    /// Whether it stops the builder.
    pub(crate) fn is_error_of_code(&self) -> bool {
        self.refused && self.origin == Origin::Code
    }

    /// The documented name of the option, such as `DD_TRACE_SAMPLE_RATE`; empty when a whole file is the problem.
    pub fn option(&self) -> &str {
        self.option
    }

    /// What was given, shortened to one line; `***` for a secret.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Where the value came from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What is wrong, and what was expected.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            given,
            origin,
            message,
            ..
        } = self;
        match origin {
            _ if self.option.is_empty() => write!(f, "{name} ({origin}): {message}")?,
            Origin::Code => write!(f, "{name} = \"{given}\" ({origin}): {message}")?,
            _ => write!(f, "{name}={given} ({origin}): {message}")?,
        }
        match &self.outcome {
            Some(outcome) => write!(f, "; {outcome}"),
            None => Ok(()),
        }
    }
}

/// A text that is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    expected: &'static str,
}

impl Invalid {
    pub(crate) const fn expected(expected: &'static str) -> Self {
        Self { expected }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for Invalid {}

/// What is shown in place of a secret.
pub(crate) const REDACTED: &str = "***";

/// `text` in a form that may be shown: one line, not longer than a line of a log should be, and no password of a URL in it.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let text = without_password(text);
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Puts stars in place of the user and password of the first URL in `text`. A slash does not end the search: passwords have some.
fn without_password(text: &str) -> Cow<'_, str> {
    let Some((before, rest)) = text.split_once("://") else {
        return Cow::Borrowed(text);
    };
    let url = rest.split(char::is_whitespace).next().unwrap_or(rest);
    match url.rfind('@') {
        Some(at) => Cow::Owned(format!("{before}://{REDACTED}{}", &rest[at..])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_is_shown() {
        for (text, line) in [
            ("http://user:pass@host/path", "http://***@host/path"),
            ("http://user:pa/s@s@host", "http://***@host"),
            ("see https://u@host and a@b", "see https://***@host and a@b"),
            ("http://host/path", "http://host/path"),
            ("owner:me@example.com", "owner:me@example.com"),
        ] {
            assert_eq!(shown(text), line);
        }
    }

    #[test]
    fn a_line_is_one_and_not_long() {
        assert_eq!(shown("a\nb\u{1b}[0m\tÄ"), "a\\nb\\u{1b}[0m\\tÄ");
        assert_eq!(shown(&"ä".repeat(1000)), "ä".repeat(200) + "…");
    }
}

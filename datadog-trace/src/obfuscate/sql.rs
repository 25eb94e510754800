//! SQL and CQL without the values: what is left tells which statement it was (datadog-agent: `pkg/obfuscate/sql.go`).

mod lexer;

use std::borrow::Cow;

use lexer::{Kind, Lexer, Token};

/// Stands for statements that can't be read: they might tell anything (datadog-agent: `pkg/trace/agent/obfuscate.go`).
const NOT_READABLE: &str = "Non-parsable SQL query";

/// The same as a text that can't be read either, so that the agent finds that too.
const STILL_NOT_READABLE: &str = "'Non-parsable SQL query";

/// A statement with `?` for each value and each list of values, without comments and aliases, and with one blank
/// between its parts.
pub(crate) fn obfuscate(statement: &str) -> String {
    readable(statement).unwrap_or_else(|| NOT_READABLE.to_owned())
}

/// What whoever obfuscates it once more gets the same of.
pub(crate) fn without_values(statement: &str) -> String {
    readable(statement).unwrap_or_else(|| STILL_NOT_READABLE.to_owned())
}

fn readable(statement: &str) -> Option<String> {
    // Backslashes mean something in some databases, and nothing in others.
    let (first, saw_backslash) = attempt(statement, false);
    let second = || saw_backslash.then(|| attempt(statement, true).0).flatten();
    first.or_else(second)
}

/// `None` if it can't be read. Also whether there was a backslash in a text.
fn attempt(statement: &str, plain_backslashes: bool) -> (Option<String>, bool) {
    let mut lexer = Lexer::new(statement, plain_backslashes);
    let mut writer = Writer::default();
    let shown = loop {
        match lexer.next() {
            Ok(None) => break Some(writer.out).filter(|out| !out.is_empty()),
            Ok(Some(token)) => match writer.take(token) {
                Some(()) => {}
                None => break None,
            },
            Err(_) => break None,
        }
    };
    (shown, lexer.saw_backslash())
}

/// Writes the tokens that are to be seen.
#[derive(Default)]
struct Writer {
    out: String,
    /// What became of the token before.
    last: Kind,
    /// How many values of a list there were: only the first is shown.
    values: usize,
    /// How many lists of values there were: only the first is shown.
    lists: usize,
}

/// A token on its way, without a text if it is not to be seen.
struct Passing<'a> {
    kind: Kind,
    text: Option<Cow<'a, str>>,
}

impl Writer {
    /// `None` if the statement is wrong.
    fn take(&mut self, token: Token<'_>) -> Option<()> {
        let passing = self.without_aliases(token)?;
        let passing = self.without_values(passing);
        let passing = self.without_lists(passing);
        if let Some(text) = passing.text {
            let close = match passing.kind {
                Kind::Sign(',') => true,
                Kind::Sign('=') => self.last == Kind::Sign(':'),
                _ => false,
            };
            if !self.out.is_empty() && !close {
                self.out.push(' ');
            }
            self.out.push_str(&text);
        }
        self.last = passing.kind;
        Some(())
    }

    /// Leaves out comments, semicolons, and `AS` with the name that follows.
    fn without_aliases<'a>(&self, token: Token<'a>) -> Option<Passing<'a>> {
        let gone = |kind| Some(Passing { kind, text: None });
        match (self.last, token.kind) {
            (Kind::HiddenBracket, Kind::Sign(']')) => gone(Kind::Hidden),
            (Kind::HiddenBracket, Kind::Name) => gone(Kind::HiddenBracket),
            (Kind::HiddenBracket, _) => None,
            (Kind::As, Kind::Sign('[')) => gone(Kind::HiddenBracket),
            (Kind::As, _) | (_, Kind::Comment) => gone(Kind::Hidden),
            (_, Kind::Sign(';')) => gone(Kind::HiddenValue),
            (_, Kind::As) => gone(Kind::As),
            (_, kind) => Some(Passing {
                kind,
                text: Some(token.text),
            }),
        }
    }

    /// Puts `?` in the place of values.
    fn without_values<'a>(&self, passing: Passing<'a>) -> Passing<'a> {
        let is_value = match (self.last, passing.kind) {
            (Kind::Savepoint, _) => true,
            (Kind::Sign('='), Kind::Quoted) => true,
            (_, kind) => matches!(kind, Kind::Value | Kind::Sign('?')),
        };
        if !is_value {
            return passing;
        }
        let text = Some(Cow::Borrowed("?"));
        Passing {
            kind: hidden(passing.kind),
            text,
        }
    }

    /// Shows `( ?, ? )` as `( ? )`, and several of them as one.
    fn without_lists<'a>(&mut self, passing: Passing<'a>) -> Passing<'a> {
        let Passing { kind, text } = passing;
        let opens = kind == Kind::Sign('(');
        if (self.last == Kind::Sign('(') && kind.is_hidden_value()) || (opens && self.lists > 0) {
            self.lists += 1;
        }
        let starts_query = matches!(kind, Kind::Query | Kind::Name);
        if self.lists > 0 && self.last == Kind::HiddenParenthesis && starts_query {
            // No list of values, but a statement within the statement.
            self.reset();
            let text = text.map(|text| Cow::Owned(format!("( {text}")));
            return Passing { kind, text };
        }
        let gone = Passing {
            kind: hidden(kind),
            text: None,
        };
        if kind.is_hidden_value() {
            self.values += 1;
            if self.values > 1 {
                return gone;
            }
        } else if (self.values > 0 && kind == Kind::Sign(',')) || self.lists > 1 {
            return gone;
        } else if !matches!(kind, Kind::Sign(',' | '(' | ')')) {
            self.reset();
        }
        Passing { kind, text }
    }

    fn reset(&mut self) {
        (self.values, self.lists) = (0, 0);
    }
}

fn hidden(kind: Kind) -> Kind {
    match kind {
        Kind::Sign('(') => Kind::HiddenParenthesis,
        _ => Kind::HiddenValue,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_go_and_the_statement_stays() {
        for (statement, shown) in [
            ("SELECT 1", "SELECT ?"),
            (
                "select * from users where id = 42",
                "select * from users where id = ?",
            ),
            (
                "SELECT \"t\".\"a\" FROM `t` WHERE a='x''y'",
                "SELECT t . a FROM t WHERE a = ?",
            ),
            ("SELECT a AS b, c as d FROM t;", "SELECT a, c FROM t"),
            ("SELECT a AS [b] FROM t", "SELECT a FROM t"),
            (
                "SELECT a -- hidden 7\nFROM t /* and\nthis */ LIMIT 5 # more",
                "SELECT a FROM t LIMIT ?",
            ),
            (
                "SELECT * FROM t WHERE id IN (1, 2, 3)",
                "SELECT * FROM t WHERE id IN ( ? )",
            ),
            (
                "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (3, 'z')",
                "INSERT INTO t ( a, b ) VALUES ( ? )",
            ),
            (
                "SELECT a FROM (SELECT b FROM c WHERE d = 1) WHERE e IN (?, ?)",
                "SELECT a FROM ( SELECT b FROM c WHERE d = ? ) WHERE e IN ( ? )",
            ),
            (
                "UPDATE t SET a = \"secret\", b = NULL, c = TRUE",
                "UPDATE t SET a = ? b = ? c = ?",
            ),
            ("SAVEPOINT \"s139956586256192_x1\"", "SAVEPOINT ?"),
            ("SELECT $1, $2", "SELECT ?"),
            ("SELECT $tag$ it's $tag$ FROM t", "SELECT ? FROM t"),
            ("CREATE TABLE \"x\" (a text)", "CREATE TABLE x ( a text )"),
            (
                "SELECT :name, :1, @x FROM t WHERE a::int > -5.5e-3",
                "SELECT :name, :1, @x FROM t WHERE a :: int > ?",
            ),
            ("SET @x := 0x1F", "SET @x := ?"),
            (
                "SELECT a FROM t WHERE x LIKE '%\\'' OR 1",
                "SELECT a FROM t WHERE x LIKE ? OR ?",
            ),
            (
                "SELECT a FROM t WHERE x = 'C:\\'",
                "SELECT a FROM t WHERE x = ?",
            ),
            (
                "SELECT a FROM t WHERE x = %s AND y = %(name)s",
                "SELECT a FROM t WHERE x = ? AND y = ?",
            ),
            (
                "SELECT 5 % 3, !a, a != b, a <> b, a <=> b",
                "SELECT ? % ? ! a, a != b, a <> b, a <=> b",
            ),
            ("{call proc(?, ?)}", "{ call proc ( ? ) }"),
            ("INSERT INTO t JSON {a: 1}", "INSERT INTO t JSON ?"),
            ("SELECT ''", "SELECT ?"),
            ("SELECT `` , \"\" FROM t", "SELECT ``, \"\" FROM t"),
            ("naïve ünïcode", "naïve ünïcode"),
        ] {
            assert_eq!(obfuscate(statement), shown, "{statement}");
            assert_eq!(obfuscate(&without_values(statement)), shown);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_value_is_shown(
            text in ".{0,60}",
            statement in "[a-z'\"`$(){}\\[\\]:;,.%@#!<>=/*?+ \\\\0-9-]{0,40}",
            secret in "[A-Z]{8}",
        ) {
            obfuscate(&text);
            obfuscate(&statement);
            let shown = obfuscate(&format!("SELECT a FROM t WHERE b = '{secret}' AND c IN (1, '{secret}')"));
            prop_assert!(!shown.contains(&secret), "{shown}");
        }

        #[test]
        fn what_was_obfuscated_stays_the_same(statement in "SELECT [a-z]{1,5} FROM [a-z]{1,5} WHERE [b-z]{2,5} IN \\([0-9](, '[0-9]{1,3}'){0,3}\\)") {
            let once = obfuscate(&statement);
            prop_assert_eq!(&obfuscate(&once), &once);
            prop_assert_eq!(without_values(&statement), once);
        }
    }

    #[test]
    fn what_can_not_be_read_is_not_shown() {
        for statement in [
            "",
            "   ",
            "-- only this",
            "SELECT 'open",
            "SELECT \"open",
            "SELECT /* open",
            "SELECT {x",
            "SELECT }",
            "SELECT $a$ open",
            "a AS [1]",
            "SELECT \\ 1",
            "SELECT :",
            "!",
            "SELECT 08",
            ";",
        ] {
            assert_eq!(obfuscate(statement), NOT_READABLE, "{statement}");
            assert_eq!(obfuscate(&without_values(statement)), NOT_READABLE);
        }
    }
}

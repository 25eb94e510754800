//! The parts of a statement, whatever its database (datadog-agent: `pkg/obfuscate/sql_tokenizer.go`).

use std::borrow::Cow;

/// What a token is, or what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// None yet.
    #[default]
    Start,
    /// An identifier, plain or in backticks.
    Name,
    /// A text in double quotes: a name, or a value.
    Quoted,
    /// A number, a text, or anything else that is not to be seen.
    Value,
    /// One character.
    Sign(char),
    /// An operator of more than one, or a bind variable.
    Other,
    Comment,
    As,
    Savepoint,
    /// What a statement within a statement starts with.
    Query,
    /// Left out.
    Hidden,
    /// Left out, or shown as `?`; part of a list.
    HiddenValue,
    /// Left out: the start of another list of values.
    HiddenParenthesis,
    /// Left out: within the brackets around an alias.
    HiddenBracket,
}

impl Kind {
    pub(super) fn is_hidden_value(self) -> bool {
        matches!(self, Self::HiddenValue | Self::HiddenParenthesis)
    }
}

pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As it is shown; empty for those that never are.
    pub(super) text: Cow<'a, str>,
}

/// The statement is wrong.
pub(super) struct Unreadable;

type Scanned<T> = Result<T, Unreadable>;

/// Reads a statement token by token.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// The byte at which the next character stands.
    at: usize,
    plain_backslashes: bool,
    saw_backslash: bool,
    /// How many braces are open around the whole statement.
    braces: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, plain_backslashes: bool) -> Self {
        Self {
            text,
            at: 0,
            plain_backslashes,
            saw_backslash: false,
            braces: 0,
        }
    }

    /// Whether there was a backslash in a text.
    pub(super) fn saw_backslash(&self) -> bool {
        self.saw_backslash
    }

    /// `None` at the end.
    pub(super) fn next(&mut self) -> Scanned<Option<Token<'a>>> {
        self.skip_while(|c| c.is_whitespace() || c == '\0');
        let start = self.at;
        let Some(first) = self.advance() else {
            return Ok(None);
        };
        if is_first_letter(first) {
            return Ok(Some(self.name(start)));
        }
        if first.is_ascii_digit() {
            self.at = start;
            self.number(false)?;
            return Ok(Some(value()));
        }
        self.sign(first, start).map(Some)
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn advance_if(&mut self, wanted: char) -> bool {
        let fits = self.peek() == Some(wanted);
        if fits {
            self.at += wanted.len_utf8();
        }
        fits
    }

    fn skip_while(&mut self, fits: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&fits) {
            self.advance();
        }
    }

    fn shown(&self, kind: Kind, start: usize) -> Token<'a> {
        Token {
            kind,
            text: Cow::Borrowed(self.text.get(start..self.at).unwrap_or_default()),
        }
    }

    fn name(&mut self, start: usize) -> Token<'a> {
        self.skip_while(|c| is_letter(c) || c.is_ascii_digit() || matches!(c, '.' | '*'));
        let mut token = self.shown(Kind::Name, start);
        token.kind = keyword(&token.text);
        token
    }

    fn sign(&mut self, first: char, start: usize) -> Scanned<Token<'a>> {
        let next = self.peek();
        let is_digit = next.is_some_and(|c| c.is_ascii_digit());
        match first {
            '\'' => return self.quoted('\'', Kind::Value),
            '"' => return self.quoted('"', Kind::Quoted),
            '`' => return self.quoted('`', Kind::Name),
            '.' if is_digit => {
                self.number(true)?;
                return Ok(value());
            }
            '-' | '/' | '#' => return self.comment_or_sign(first, start),
            ':' => return self.colon(start),
            '%' => return self.percent(start),
            '$' if is_digit => {
                self.number(false)?;
                return Ok(value());
            }
            '$' => return self.dollar_quoted(),
            '{' | '}' => return self.brace(first, start),
            '<' | '>' | '!' | '~' => return self.comparison(first, start),
            '?' | '=' | ',' | ';' | '(' | ')' | '+' | '*' | '&' | '|' | '^' | '[' | ']' | '.' => {}
            _ => return Err(Unreadable),
        }
        Ok(self.shown(Kind::Sign(first), start))
    }

    fn comment_or_sign(&mut self, first: char, start: usize) -> Scanned<Token<'a>> {
        let next = self.peek();
        match (first, next) {
            ('-', Some('-')) | ('/', Some('/')) | ('#', _) => {
                self.advance();
                self.skip_while(|c| c != '\n');
                self.advance();
                Ok(comment())
            }
            ('/', Some('*')) => {
                self.advance();
                let rest = self.text.get(self.at..).unwrap_or_default();
                let end = rest.find("*/").ok_or(Unreadable)?;
                self.at += end + 2;
                Ok(comment())
            }
            // The agent reads the arrow of JSON as a minus without a number.
            ('-', Some('>' | '0'..='9')) => {
                self.number(false)?;
                Ok(value())
            }
            ('-', Some('.')) if self.digit_after_next() => {
                self.advance();
                self.number(true)?;
                Ok(value())
            }
            _ => Ok(self.shown(Kind::Sign(first), start)),
        }
    }

    fn digit_after_next(&self) -> bool {
        let bytes = self.text.as_bytes();
        bytes.get(self.at + 1).is_some_and(u8::is_ascii_digit)
    }

    /// A cast, an assignment, the end of a label, or a bind variable.
    fn colon(&mut self, start: usize) -> Scanned<Token<'a>> {
        match self.peek() {
            Some(':') => {
                self.advance();
                Ok(self.shown(Kind::Other, start))
            }
            Some(c) if c == '=' || c.is_whitespace() => Ok(self.shown(Kind::Sign(':'), start)),
            Some(c) if is_letter(c) || c.is_ascii_digit() => {
                self.skip_while(|c| is_letter(c) || c.is_ascii_digit() || c == '.');
                Ok(self.shown(Kind::Other, start))
            }
            _ => Err(Unreadable),
        }
    }

    /// A place for a value, as `printf` and Python have it, or the remainder of a division.
    fn percent(&mut self, start: usize) -> Scanned<Token<'a>> {
        match self.peek() {
            Some('(') => {
                self.skip_while(|c| c != ')');
                self.advance();
                match self.advance() {
                    Some(c) if is_letter(c) => Ok(value()),
                    _ => Err(Unreadable),
                }
            }
            Some(c) if is_letter(c) => {
                self.advance();
                Ok(value())
            }
            _ => Ok(self.shown(Kind::Sign('%'), start)),
        }
    }

    /// Braces around the whole statement are shown, others hide what is in them.
    fn brace(&mut self, first: char, start: usize) -> Scanned<Token<'a>> {
        if first == '}' {
            self.braces = self.braces.checked_sub(1).ok_or(Unreadable)?;
            return Ok(self.shown(Kind::Sign('}'), start));
        }
        let is_first = start == 0 && self.peek().is_none_or(|c| c.is_ascii());
        if is_first || self.braces > 0 {
            self.braces += 1;
            return Ok(self.shown(Kind::Sign('{'), start));
        }
        self.skip_while(|c| c != '}');
        self.advance().map(|_| value()).ok_or(Unreadable)
    }

    fn comparison(&mut self, first: char, start: usize) -> Scanned<Token<'a>> {
        let more = match first {
            '<' if self.advance_if('=') => {
                self.advance_if('>');
                true
            }
            '<' => self.advance_if('>'),
            '>' => self.advance_if('='),
            '~' => self.advance_if('*'),
            _ if self.advance_if('~') => {
                self.advance_if('*');
                true
            }
            _ => self.advance_if('='),
        };
        if more {
            return Ok(self.shown(Kind::Other, start));
        }
        let fits = |c: char| {
            is_letter(c) || c.is_ascii_digit() || c.is_whitespace() || "(`'\"+-".contains(c)
        };
        match first {
            '!' if self.peek().is_some_and(fits) => Ok(self.shown(Kind::Other, start)),
            '!' => Err(Unreadable),
            _ => Ok(self.shown(Kind::Sign(first), start)),
        }
    }

    /// Moves behind a number: decimal with or without an exponent, octal or hexadecimal.
    fn number(&mut self, after_point: bool) -> Scanned<()> {
        let start = self.at;
        let digits = |lexer: &mut Self| lexer.skip_while(|c| c.is_ascii_digit());
        if !after_point && self.advance_if('0') {
            if self.advance_if('x') || self.advance_if('X') {
                self.skip_while(|c| c.is_ascii_hexdigit());
                return Ok(());
            }
            digits(self);
            let octal = self.text.get(start..self.at).unwrap_or_default();
            let is_octal = !octal.contains(['8', '9']);
            if !matches!(self.peek(), Some('.' | 'e' | 'E')) {
                return if is_octal { Ok(()) } else { Err(Unreadable) };
            }
        } else {
            digits(self);
        }
        if !after_point && self.advance_if('.') {
            digits(self);
        }
        if self.advance_if('e') || self.advance_if('E') {
            let _sign = self.advance_if('+') || self.advance_if('-');
            digits(self);
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, kind: Kind) -> Scanned<Token<'a>> {
        let content = self.content(quote)?;
        // A name has to stay one.
        let text = if content.trim().is_empty() {
            format!("{quote}{quote}")
        } else {
            content
        };
        Ok(Token {
            kind,
            text: Cow::Owned(text),
        })
    }

    /// What stands before the next quote; a doubled one stands for itself.
    fn content(&mut self, quote: char) -> Scanned<String> {
        let mut content = String::new();
        loop {
            let mut next = self.advance().ok_or(Unreadable)?;
            if next == quote {
                if !self.advance_if(quote) {
                    return Ok(content);
                }
            } else if next == '\\' {
                self.saw_backslash = true;
                if !self.plain_backslashes {
                    next = self.advance().ok_or(Unreadable)?;
                }
            }
            content.push(next);
        }
    }

    /// A text between two `$name$` (PostgreSQL).
    fn dollar_quoted(&mut self) -> Scanned<Token<'a>> {
        let name = self.content('$')?;
        let name = if name.trim().is_empty() { "" } else { &name };
        let end: Vec<char> = format!("${name}$").chars().collect();
        let mut found = 0;
        while found < end.len() {
            let next = self.advance().ok_or(Unreadable)?;
            found = if next == end[found] { found + 1 } else { 0 };
        }
        Ok(value())
    }
}

fn value() -> Token<'static> {
    Token {
        kind: Kind::Value,
        text: Cow::Borrowed(""),
    }
}

fn comment() -> Token<'static> {
    Token {
        kind: Kind::Comment,
        text: Cow::Borrowed(""),
    }
}

fn keyword(name: &str) -> Kind {
    match &*name.to_uppercase() {
        "NULL" | "TRUE" | "FALSE" => Kind::Value,
        "SAVEPOINT" => Kind::Savepoint,
        "AS" => Kind::As,
        "SELECT" | "UPDATE" | "DELETE" => Kind::Query,
        "LIMIT" | "ALTER" | "CREATE" | "GRANT" | "REVOKE" | "COMMIT" | "BEGIN" | "TRUNCATE"
        | "DROP" | "FROM" | "INSERT" | "INTO" | "JOIN" => Kind::Other,
        _ => Kind::Name,
    }
}

fn is_first_letter(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '@')
}

fn is_letter(c: char) -> bool {
    is_first_letter(c) || c == '#'
}

//! How patterns are written, and what they mean.

use std::iter::Peekable;
use std::str::Chars;

use super::{Anchor, Set};

/// The deepest nesting of groups.
const MOST_DEPTH: usize = 50;

/// A pattern as it is written.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Empty,
    Take(Set),
    At(Anchor),
    Sequence(Vec<Self>),
    Either(Vec<Self>),
    Repeat(Box<Self>, u32, Option<u32>),
}

impl Node {
    /// `None` for a pattern that is wrong, or has something that is not known here.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parser = Parser {
            rest: text.chars().peekable(),
            any_case: false,
            dot_takes_newline: false,
            depth: 0,
        };
        let node = parser.either()?;
        parser.rest.next().is_none().then_some(node)
    }
}

impl Set {
    fn one(character: char) -> Self {
        Self::of(&[(character, character)])
    }

    fn of(ranges: &[(char, char)]) -> Self {
        Self {
            ranges: ranges.to_vec(),
            ..Self::default()
        }
    }

    fn all_but(ranges: &[(char, char)]) -> Self {
        Self {
            negated: true,
            ..Self::of(ranges)
        }
    }
}

const DIGITS: &[(char, char)] = &[('0', '9')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const SPACES: &[(char, char)] = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    any_case: bool,
    dot_takes_newline: bool,
    depth: usize,
}

impl Parser<'_> {
    fn either(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return None;
        }
        let mut ways = vec![self.sequence()?];
        while self.rest.next_if_eq(&'|').is_some() {
            ways.push(self.sequence()?);
        }
        self.depth -= 1;
        Some(match ways.len() {
            1 => ways.pop()?,
            _ => Node::Either(ways),
        })
    }

    fn sequence(&mut self) -> Option<Node> {
        let mut parts = Vec::new();
        while self
            .rest
            .peek()
            .is_some_and(|next| !matches!(next, '|' | ')'))
        {
            let part = self.atom()?;
            parts.push(self.repeated(part)?);
        }
        Some(Node::Sequence(parts))
    }

    fn atom(&mut self) -> Option<Node> {
        Some(match self.rest.next()? {
            '(' => return self.group(),
            '[' => Node::Take(self.class()?),
            '.' if self.dot_takes_newline => Node::Take(Set::all_but(&[])),
            '.' => Node::Take(Set::all_but(&[('\n', '\n')])),
            '^' => Node::At(Anchor::Start),
            '$' => Node::At(Anchor::End),
            '\\' => return self.escape(),
            '*' | '+' | '?' => return None,
            other => Node::Take(self.cased(Set::one(other))),
        })
    }

    fn group(&mut self) -> Option<Node> {
        let (any_case, dot_takes_newline) = (self.any_case, self.dot_takes_newline);
        if self.rest.next_if_eq(&'?').is_some() {
            let mut on = true;
            loop {
                match self.rest.next()? {
                    ':' => break,
                    'i' => self.any_case = on,
                    's' => self.dot_takes_newline = on,
                    '-' => on = false,
                    // Flags for what follows, up to the end of the group around.
                    ')' => return Some(Node::Empty),
                    'P' | '<' => {
                        self.rest.find(|character| *character == '>')?;
                        break;
                    }
                    _ => return None,
                }
            }
        }
        let inner = self.either()?;
        self.rest.next_if_eq(&')')?;
        (self.any_case, self.dot_takes_newline) = (any_case, dot_takes_newline);
        Some(inner)
    }

    fn escape(&mut self) -> Option<Node> {
        Some(match self.rest.next()? {
            'A' => Node::At(Anchor::Start),
            'z' => Node::At(Anchor::End),
            'b' => Node::At(Anchor::WordEdge(true)),
            'B' => Node::At(Anchor::WordEdge(false)),
            other => Node::Take(self.escaped(other)?),
        })
    }

    /// What a letter or sign stands for after a backslash.
    fn escaped(&self, character: char) -> Option<Set> {
        let set = match character {
            'd' => Set::of(DIGITS),
            'D' => Set::all_but(DIGITS),
            'w' => Set::of(WORD),
            'W' => Set::all_but(WORD),
            's' => Set::of(SPACES),
            'S' => Set::all_but(SPACES),
            't' => Set::one('\t'),
            'n' => Set::one('\n'),
            'r' => Set::one('\r'),
            sign if sign.is_ascii_punctuation() => Set::one(sign),
            _ => return None,
        };
        Some(self.cased(set))
    }

    fn class(&mut self) -> Option<Set> {
        let mut set = Set {
            negated: self.rest.next_if_eq(&'^').is_some(),
            ..Set::default()
        };
        let mut is_first = true;
        loop {
            let from = match self.rest.next()? {
                ']' if !is_first => return Some(self.cased(set)),
                '[' if self.rest.peek() == Some(&':') => return None,
                '\\' => {
                    let escaped = self.rest.next()?;
                    let inner = self.escaped(escaped)?;
                    if inner.negated {
                        return None;
                    }
                    match inner.ranges[..] {
                        [(from, to)] if from == to => from,
                        _ => {
                            set.ranges.extend(inner.ranges);
                            is_first = false;
                            continue;
                        }
                    }
                }
                other => other,
            };
            is_first = false;
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|to| to != ']');
            let to = if is_range {
                self.rest.next();
                match self.rest.next()? {
                    '\\' => {
                        let escaped = self.rest.next()?;
                        let inner = self.escaped(escaped)?;
                        match inner.ranges[..] {
                            [(from, to)] if from == to && !inner.negated => to,
                            _ => return None,
                        }
                    }
                    to => to,
                }
            } else {
                from
            };
            if to < from {
                return None;
            }
            set.ranges.push((from, to));
        }
    }

    fn cased(&self, mut set: Set) -> Set {
        set.any_case = self.any_case;
        set
    }

    fn repeated(&mut self, mut part: Node) -> Option<Node> {
        loop {
            let (least, most) = match self.rest.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => match self.counts() {
                    Some(counts) => counts,
                    // A brace that counts nothing is a character.
                    None => return Some(part),
                },
                _ => return Some(part),
            };
            // The sign; of counts, the closing brace.
            self.rest.next();
            // Whether as few as possible are taken makes no difference to whether it fits.
            self.rest.next_if_eq(&'?');
            part = Node::Repeat(Box::new(part), least, most);
        }
    }

    /// Reads `{2}`, `{2,}` or `{2,5}` up to the closing brace; moves nothing if it is none of them.
    fn counts(&mut self) -> Option<(u32, Option<u32>)> {
        let mut ahead = self.rest.clone();
        ahead.next();
        let text: String = ahead
            .by_ref()
            .take_while(|character| *character != '}')
            .collect();
        let counts = match text.split_once(',') {
            None => {
                let count = text.parse().ok()?;
                (count, Some(count))
            }
            Some((least, "")) => (least.parse().ok()?, None),
            Some((least, most)) => (least.parse().ok()?, Some(most.parse().ok()?)),
        };
        let is_closed = self.rest.clone().nth(text.chars().count() + 1) == Some('}');
        let in_order = counts.1.is_none_or(|most| counts.0 <= most);
        if !is_closed || !in_order {
            return None;
        }
        for _ in 0..=text.chars().count() {
            self.rest.next();
        }
        Some(counts)
    }
}

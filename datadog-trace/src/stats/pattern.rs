//! Regular expressions as the agent's trace filters have them (Go: `regexp/syntax`), without what is hardly used there.
//! A text is looked at once, whatever the pattern: no pattern can make it slow.

mod syntax;

use syntax::Node;

/// The most steps of a pattern; counted repetitions are written out.
const MOST_STEPS: usize = 2_000;

/// A pattern that is looked for anywhere in a text.
#[derive(Debug)]
pub(crate) struct Pattern {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Takes a character of the set.
    Take(Set),
    /// Goes on at both places.
    Fork(usize, usize),
    Jump(usize),
    At(Anchor),
    Matched,
}

#[derive(Clone, Copy, Debug)]
enum Anchor {
    Start,
    End,
    WordEdge(bool),
}

/// Characters in ranges, or all others.
#[derive(Clone, Debug, Default)]
struct Set {
    ranges: Vec<(char, char)>,
    negated: bool,
    any_case: bool,
}

impl Pattern {
    /// `None` for a pattern that is wrong, or has something that is not known here.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let node = Node::read(text)?;
        let mut steps = Vec::new();
        write(&node, &mut steps)?;
        steps.push(Step::Matched);
        Some(Self { steps })
    }

    /// Whether the pattern fits anywhere in the text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let (mut now, mut next) = (Threads::new(self), Threads::new(self));
        let mut before = None;
        let mut rest = text.chars();
        loop {
            let character = rest.next();
            let place = Place {
                before,
                after: character,
            };
            if now.add(self, 0, place) {
                return true;
            }
            let Some(character) = character else {
                return false;
            };
            before = Some(character);
            let after = rest.clone().next();
            for at in &now.list {
                if let Some(Step::Take(set)) = self.steps.get(*at)
                    && set.has(character)
                    && next.add(self, at + 1, Place { before, after })
                {
                    return true;
                }
            }
            std::mem::swap(&mut now, &mut next);
            next.clear();
        }
    }
}

/// The characters around a place in the text.
#[derive(Clone, Copy)]
struct Place {
    before: Option<char>,
    after: Option<char>,
}

/// The steps at which the pattern may stand, each once.
struct Threads {
    list: Vec<usize>,
    has: Vec<bool>,
}

impl Threads {
    fn new(pattern: &Pattern) -> Self {
        Self {
            list: Vec::new(),
            has: vec![false; pattern.steps.len()],
        }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.has.fill(false);
    }

    /// Adds a step and all that can be reached from it without taking a character. Whether the end is among them.
    fn add(&mut self, pattern: &Pattern, at: usize, place: Place) -> bool {
        let mut waiting = vec![at];
        while let Some(at) = waiting.pop() {
            let Some(step) = pattern.steps.get(at) else {
                continue;
            };
            if std::mem::replace(&mut self.has[at], true) {
                continue;
            }
            match step {
                Step::Take(_) => self.list.push(at),
                Step::Fork(one, other) => waiting.extend([*one, *other]),
                Step::Jump(to) => waiting.push(*to),
                Step::At(anchor) if anchor.holds(place) => waiting.push(at + 1),
                Step::At(_) => {}
                Step::Matched => return true,
            }
        }
        false
    }
}

impl Anchor {
    fn holds(self, place: Place) -> bool {
        let word = |character: Option<char>| character.is_some_and(is_word);
        match self {
            Self::Start => place.before.is_none(),
            Self::End => place.after.is_none(),
            Self::WordEdge(wanted) => (word(place.before) != word(place.after)) == wanted,
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

impl Set {
    fn has(&self, character: char) -> bool {
        let listed = |c: char| {
            self.ranges
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&c))
        };
        let found = listed(character)
            || (self.any_case
                && (listed(character.to_ascii_lowercase())
                    || listed(character.to_ascii_uppercase())));
        found != self.negated
    }
}

/// Appends the steps of a node.
fn write(node: &Node, steps: &mut Vec<Step>) -> Option<()> {
    if steps.len() > MOST_STEPS {
        return None;
    }
    match node {
        Node::Empty => {}
        Node::Take(set) => steps.push(Step::Take(set.clone())),
        Node::At(anchor) => steps.push(Step::At(*anchor)),
        Node::Sequence(parts) => parts.iter().try_for_each(|part| write(part, steps))?,
        Node::Either(ways) => write_either(ways, steps)?,
        Node::Repeat(part, least, most) => write_repeat(part, *least, *most, steps)?,
    }
    Some(())
}

fn write_either(ways: &[Node], steps: &mut Vec<Step>) -> Option<()> {
    let mut ends = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        let fork = steps.len();
        let is_last = at + 1 == ways.len();
        if !is_last {
            steps.push(Step::Jump(0));
        }
        write(way, steps)?;
        if !is_last {
            ends.push(steps.len());
            steps.push(Step::Jump(0));
            steps[fork] = Step::Fork(fork + 1, steps.len());
        }
    }
    let end = steps.len();
    ends.into_iter().for_each(|at| steps[at] = Step::Jump(end));
    Some(())
}

fn write_repeat(part: &Node, least: u32, most: Option<u32>, steps: &mut Vec<Step>) -> Option<()> {
    for _ in 0..least {
        write(part, steps)?;
    }
    match most {
        None => {
            let fork = steps.len();
            steps.push(Step::Jump(0));
            write(part, steps)?;
            steps.push(Step::Jump(fork));
            steps[fork] = Step::Fork(fork + 1, steps.len());
        }
        Some(most) => {
            let mut forks = Vec::new();
            for _ in least..most {
                forks.push(steps.len());
                steps.push(Step::Jump(0));
                write(part, steps)?;
            }
            let end = steps.len();
            forks
                .into_iter()
                .for_each(|at| steps[at] = Step::Fork(at + 1, end));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_fit_where_they_should() {
        for (pattern, fits, does_not) in [
            ("", vec!["", "x"], vec![]),
            ("abc", vec!["abc", "xabcx"], vec!["ab", "aBc"]),
            (
                "^GET /health(z|check)?$",
                vec!["GET /health", "GET /healthz", "GET /healthcheck"],
                vec!["GET /healthx", "xGET /health"],
            ),
            (
                "(?i)^get /PING",
                vec!["GET /ping", "get /PinGs"],
                vec!["GOT /ping"],
            ),
            (
                r"^\d{3}-\w+$",
                vec!["123-a_b"],
                vec!["12-a", "123-", "1234-a"],
            ),
            ("a{2,}b", vec!["aab", "aaaab"], vec!["ab"]),
            ("^a{1,2}$", vec!["a", "aa"], vec!["", "aaa"]),
            ("a{x}", vec!["a{x}"], vec!["a"]),
            ("[^a-c.]", vec!["d", "ad"], vec!["a.b"]),
            ("[]x-]", vec!["]", "-", "x"], vec!["y"]),
            (r"[\d_]+z", vec!["1_z"], vec!["z"]),
            ("a.c", vec!["abc", "aéc"], vec!["a\nc", "ac"]),
            (r"\bcat\b", vec!["a cat.", "cat"], vec!["concat", "cats"]),
            ("(a|b)*?c", vec!["abac", "c"], vec!["ab"]),
            ("(?:ab)+$", vec!["xabab"], vec!["aba"]),
            (r"a\.b", vec!["a.b"], vec!["axb"]),
            ("x|", vec!["", "x", "y"], vec![]),
            ("(a*)*b", vec!["aaab"], vec!["aaac"]),
            ("(?P<name>a)b", vec!["ab"], vec!["b"]),
            ("(?s)a.c", vec!["a\nc"], vec![]),
        ] {
            let compiled = Pattern::new(pattern).unwrap();
            for text in fits {
                assert!(compiled.is_in(text), "{pattern} in {text:?}");
            }
            for text in does_not {
                assert!(!compiled.is_in(text), "{pattern} in {text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[ab().|*+?{}0-9,^$\\[\\]\\\\-]{0,12}", text in "[ab]{0,8}") {
            if let Some(pattern) = Pattern::new(&pattern) {
                pattern.is_in(&text);
            }
        }

        #[test]
        fn a_plain_text_is_found_where_it_stands(text in "[a-z/ ]{1,8}", before in "[a-z]{0,4}", after in "[a-z]{0,4}") {
            let pattern = Pattern::new(&text).unwrap();
            let within = format!("{before}{text}{after}");
            prop_assert!(pattern.is_in(&within));
            let whole = Pattern::new(&format!("^{within}$")).unwrap();
            prop_assert!(whole.is_in(&within));
        }
    }

    #[test]
    fn what_is_wrong_or_unknown_is_none() {
        let deep = "(".repeat(5_000);
        for pattern in [
            "(",
            ")",
            "a)",
            "[a",
            "[]",
            "*",
            "a|*",
            r"\p{L}",
            "[[:alpha:]]",
            r"\",
            "(?=a)",
            "[z-a]",
            "((a{999}){999}){999}",
            &deep,
        ] {
            assert!(Pattern::new(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn no_pattern_is_slow() {
        let pattern = Pattern::new("(a+)+(a|aa)*$").unwrap();
        let text = format!("{}!", "a".repeat(1_000));
        assert!(!pattern.is_in(&text));
    }
}

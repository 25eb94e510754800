//! Texts that are written once in a payload: after that, their number stands for them
//! (datadog-agent: `pkg/trace/api/version.go`, "streaming strings").

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::msgpack;

/// More than this is not kept for the next payload.
const MOST_KEPT: usize = 1 << 14;

/// Fewer than this rarely find what was written a few spans ago; with more, it takes longer to forget them.
const RECENT: usize = 64;

/// The texts of one payload so far, by where they stand in it.
#[derive(Debug, Default)]
pub(super) struct Strings {
    known: HashTable<Known>,
    recent: Recent,
    hasher: DefaultHashBuilder,
    /// How many texts were written. The empty one has the number 0 without being written.
    count: u32,
}

/// Texts that were written of late, each in the one place that few of its bytes tell. Most texts come again soon: to compare
/// one takes less time than to look it up among all.
#[derive(Debug)]
struct Recent([Known; RECENT]);

#[derive(Clone, Copy, Debug)]
struct Known {
    start: usize,
    len: usize,
    number: u32,
}

impl Strings {
    /// Forgets the texts, for a new payload.
    pub(super) fn clear(&mut self) {
        if self.known.capacity() > MOST_KEPT {
            self.known = HashTable::new();
        }
        self.known.clear();
        self.recent = Recent::default();
        self.count = 0;
    }

    /// Writes a text, or its number if `out` has it already.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, text: &str) {
        if text.is_empty() {
            return msgpack::uint(out, 0);
        }
        let recent = self.recent.place_of(text);
        if recent.bytes(out) == text.as_bytes() {
            return msgpack::uint(out, recent.number.into());
        }
        let hash = self.hasher.hash_one(text.as_bytes());
        let same = |known: &Known| known.bytes(out) == text.as_bytes();
        if let Some(known) = self.known.find(hash, same) {
            *recent = *known;
            return msgpack::uint(out, known.number.into());
        }
        msgpack::str(out, text);
        self.count += 1;
        let known = Known {
            start: out.len() - text.len(),
            len: text.len(),
            number: self.count,
        };
        *recent = known;
        let hash_of = |known: &Known| self.hasher.hash_one(known.bytes(out));
        self.known.insert_unique(hash, known, hash_of);
    }
}

impl Default for Recent {
    fn default() -> Self {
        let nothing = Known {
            start: 0,
            len: 0,
            number: 0,
        };
        Self([nothing; RECENT])
    }
}

impl Recent {
    /// Where a text stands, if it is here.
    #[inline]
    fn place_of(&mut self, text: &str) -> &mut Known {
        let bytes = text.as_bytes();
        let byte = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte));
        let [first, middle, last] = [0, bytes.len() / 2, bytes.len().saturating_sub(1)].map(byte);
        &mut self.0[(bytes.len() + 3 * first + 5 * middle + 9 * last) % RECENT]
    }
}

impl Known {
    fn bytes<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        let bytes = payload.get(self.start..self.start + self.len);
        bytes.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_once_and_then_its_number() {
        let (mut strings, mut out) = (Strings::default(), Vec::new());
        for text in ["a", "", "b", "a", "b", "c"] {
            strings.write(&mut out, text);
        }
        assert_eq!(out, b"\xa1a\x00\xa1b\x01\x02\xa1c");
        strings.clear();
        out.clear();
        strings.write(&mut out, "b");
        assert_eq!(out, b"\xa1b", "nothing of the payload before");
    }

    #[test]
    fn texts_with_the_same_place_are_told_apart() {
        let (mut strings, mut out) = (Strings::default(), Vec::new());
        let texts = ["GET //a//b", "GET //x//b"];
        let [one, other] = texts.map(|text| {
            let place: *const Known = strings.recent.place_of(text);
            place
        });
        assert_eq!(one, other);
        for _ in 0..2 {
            texts.iter().for_each(|text| strings.write(&mut out, text));
        }
        assert_eq!(out, b"\xaaGET //a//b\xaaGET //x//b\x01\x02");
    }

    #[test]
    fn many_texts_are_told_apart() {
        let (mut strings, mut out) = (Strings::default(), Vec::new());
        let texts: Vec<String> = (0..40_000).map(|at| format!("text {at}")).collect();
        texts.iter().for_each(|text| strings.write(&mut out, text));
        let written = out.len();
        for (at, text) in texts.iter().enumerate() {
            let start = out.len();
            strings.write(&mut out, text);
            let number = rmpv::decode::read_value(&mut &out[start..]).unwrap();
            assert_eq!(number.as_u64(), Some(at as u64 + 1));
        }
        assert!(out.len() - written < written, "numbers are shorter");
        strings.clear();
        assert_eq!(strings.known.capacity(), 0, "an unusual size is not kept");
    }
}

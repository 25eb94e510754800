//! Texts that are written once in a payload: after that, their number stands for them
//! (datadog-agent: `pkg/trace/api/version.go`, "streaming strings").

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::msgpack;

/// More than this is not kept for the next payload.
const MOST_KEPT: usize = 1 << 14;

/// The texts of one payload so far, by where they stand in it.
#[derive(Debug, Default)]
pub(super) struct Strings {
    known: HashTable<Known>,
    hasher: DefaultHashBuilder,
    /// How many texts were written. The empty one has the number 0 without being written.
    count: u32,
}

#[derive(Debug)]
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
        self.count = 0;
    }

    /// Writes a text, or its number if `out` has it already.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, text: &str) {
        if text.is_empty() {
            return msgpack::uint(out, 0);
        }
        let hash = self.hasher.hash_one(text.as_bytes());
        let same = |known: &Known| known.bytes(out) == text.as_bytes();
        if let Some(known) = self.known.find(hash, same) {
            return msgpack::uint(out, known.number.into());
        }
        msgpack::str(out, text);
        self.count += 1;
        let known = Known {
            start: out.len() - text.len(),
            len: text.len(),
            number: self.count,
        };
        let hash_of = |known: &Known| self.hasher.hash_one(known.bytes(out));
        self.known.insert_unique(hash, known, hash_of);
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

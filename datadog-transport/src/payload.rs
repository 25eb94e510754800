//! One request body, and how it is halved where a receiver finds it too large.

use std::ops::Range;

use crate::Headers;

/// One request body.
#[derive(Clone, Debug)]
pub struct Payload {
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Headers,
    pub(crate) items: u64,
    parts: Vec<Part>,
    frame: Option<Frame>,
}

/// One entry of a body that is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it stands in the body.
    pub bytes: Range<usize>,
    /// Items of the account that it holds.
    pub items: u64,
}

/// Makes a list of entries that are encoded already, each with the items that it holds.
pub type Frame = fn(&[(&[u8], u64)]) -> Payload;

impl Payload {
    /// A body as it goes over the wire, that holds `items` items of the account, with the headers of this request
    /// alone. A receiver takes it whole or not at all.
    pub fn new(body: Vec<u8>, headers: Headers, items: u64) -> Self {
        Self {
            body,
            headers,
            items,
            parts: Vec::new(),
            frame: None,
        }
    }

    /// A body that is a list, and can be halved: `frame` makes a body of some of its `parts`.
    pub fn list(body: Vec<u8>, headers: Headers, parts: Vec<Part>, frame: Frame) -> Self {
        let items = parts.iter().map(|part| part.items).sum();
        Self {
            body,
            headers,
            items,
            parts,
            frame: Some(frame),
        }
    }

    /// Sets a header of the request that is about to be made, in place of one of the same name. A payload that is halved
    /// after that loses it.
    pub fn set_header(&mut self, name: &'static str, value: String) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
    }

    /// The body as it goes over the wire.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body alone.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The headers of this request alone.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// How many items of the account it holds.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// How many bytes the body has.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The bytes that it occupies in memory, but for its few headers.
    pub(crate) fn memory(&self) -> usize {
        self.body.capacity() + self.parts.capacity() * size_of::<Part>()
    }

    /// Gives back the memory that it does not need: a body that grew while it was written may have twice that.
    pub(crate) fn trim(&mut self) {
        self.body.shrink_to_fit();
    }

    /// Both halves of a list of two entries or more.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let frame = self.frame.filter(|_| self.parts.len() > 1)?;
        let entries: Vec<(&[u8], u64)> = self
            .parts
            .iter()
            .filter_map(|part| Some((self.body.get(part.bytes.clone())?, part.items)))
            .collect();
        let (first, second) = entries.split_at(entries.len() / 2);
        Some([frame(first), frame(second)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[(&[u8], u64)]) -> Payload {
        let (mut body, mut parts) = (Vec::new(), Vec::new());
        for (entry, items) in entries {
            let start = body.len();
            body.extend_from_slice(entry);
            parts.push(Part {
                bytes: start..body.len(),
                items: *items,
            });
            body.push(b'\n');
        }
        Payload::list(body, Headers::new(), parts, lines)
    }

    #[test]
    fn a_list_is_halved_down_to_its_entries() {
        let whole = lines(&[(b"a", 1), (b"bb", 2), (b"ccc", 4)]);
        assert_eq!(whole.items, 7);
        let [first, second] = whole.halves().unwrap();
        assert_eq!((first.body.as_slice(), first.items), (b"a\n".as_slice(), 1));
        assert_eq!(
            (second.body.as_slice(), second.items),
            (b"bb\nccc\n".as_slice(), 6)
        );
        let [_, last] = second.halves().unwrap();
        assert_eq!((last.body.as_slice(), last.items), (b"ccc\n".as_slice(), 4));
        assert!(last.halves().is_none());
        assert!(
            Payload::new(b"whole".to_vec(), Headers::new(), 9)
                .halves()
                .is_none()
        );
    }
}

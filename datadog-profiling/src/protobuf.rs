//! Protocol buffers, as far as a profile needs them.

/// A message that is being written. Fields of value 0 may be left out; a reader takes them as 0.
#[derive(Debug, Default)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

/// The wire types of a field's tag (protobuf.dev: programming-guides/encoding).
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

impl Message {
    /// A number: `int64`, `uint64` or `bool`.
    pub(crate) fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.varint(field << 3 | VARINT);
            self.varint(value);
        }
    }

    /// All of a `repeated` number.
    pub(crate) fn numbers(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut packed = Self::default();
        values.into_iter().for_each(|value| packed.varint(value));
        self.bytes(field, &packed.bytes);
    }

    /// A message within this one, also where it is empty.
    pub(crate) fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.bytes);
    }

    /// A text, also where it is empty.
    pub(crate) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds the fields of another part of the same message.
    pub(crate) fn append(&mut self, part: &Self) {
        self.bytes.extend_from_slice(&part.bytes);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Seven bits a byte, the lowest first; the high bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_examples_of_the_specification() {
        let mut message = Message::default();
        message.number(1, 150);
        assert_eq!(message.into_bytes(), [0x08, 0x96, 0x01]);

        let mut message = Message::default();
        message.bytes(2, b"testing");
        assert_eq!(message.into_bytes(), b"\x12\x07testing");

        let mut message = Message::default();
        message.numbers(6, [3, 270, 86942]);
        assert_eq!(
            message.into_bytes(),
            [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]
        );

        let mut inner = Message::default();
        inner.number(1, 150);
        let mut message = Message::default();
        message.message(3, &inner);
        message.number(4, 0);
        assert_eq!(message.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);

        let mut message = Message::default();
        message.number(1, u64::MAX);
        assert_eq!(message.into_bytes().len(), 11);
    }
}

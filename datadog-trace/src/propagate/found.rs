//! The headers of a request that tell of its trace, looked for together.

use super::{Extract, Header};

/// What a request has of the headers.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    first: [Option<&'a str>; Header::COUNT],
    /// Values of headers that came several times.
    more: Vec<(usize, &'a str)>,
}

impl<'a> Found<'a> {
    /// Looks for the headers `wanted`, which are the first ones of [`Header::NAMES`]. Whether there is any.
    #[inline]
    pub(super) fn look(&mut self, carrier: &'a impl Extract, wanted: &[&'static str]) -> bool {
        let mut any = false;
        carrier.find(wanted, |at, value| {
            any = true;
            match self.first.get_mut(at) {
                Some(first @ None) => *first = Some(value),
                Some(_) => self.more.push((at, value)),
                None => {}
            }
        });
        any
    }

    /// All values of a header, in order.
    pub(super) fn values(&self, header: Header) -> impl Iterator<Item = &'a str> {
        let at = header as usize;
        let more = self.more.iter().filter(move |(of, _)| *of == at);
        self.first[at]
            .into_iter()
            .chain(more.map(|(_, value)| *value))
    }

    /// The value of a header; `None` if there is none, or several.
    #[inline]
    pub(super) fn value(&self, header: Header) -> Option<&'a str> {
        let at = header as usize;
        self.first[at].filter(|_| !self.more.iter().any(|(of, _)| *of == at))
    }
}

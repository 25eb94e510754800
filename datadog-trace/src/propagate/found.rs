//! The headers of a request that tell of its trace, looked for together.

use std::borrow::Cow;
use std::iter;

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

    /// The value of a header that is a list; several of them are one list (RFC 9110, section 5.3).
    #[inline]
    pub(super) fn list(&self, header: Header) -> Option<Cow<'a, str>> {
        let first = self.first[header as usize]?;
        Some(match self.has_more(header) {
            true => self.join(header, first),
            false => first.into(),
        })
    }

    #[cold]
    fn join(&self, header: Header, first: &str) -> Cow<'a, str> {
        let more = self.more.iter().filter(|(of, _)| *of == header as usize);
        let more = more.map(|(_, value)| *value);
        iter::once(first)
            .chain(more)
            .collect::<Vec<_>>()
            .join(",")
            .into()
    }

    /// The value of a header; `None` if there is none, or several.
    #[inline]
    pub(super) fn value(&self, header: Header) -> Option<&'a str> {
        self.first[header as usize].filter(|_| !self.has_more(header))
    }

    #[inline]
    fn has_more(&self, header: Header) -> bool {
        !self.more.is_empty() && self.more.iter().any(|(of, _)| *of == header as usize)
    }
}

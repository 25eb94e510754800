//! Headers on their way into a request, in memory that is used again.

use std::cell::Cell;

use super::{Header, Inject};

thread_local! {
    /// In a box, because what was just written is slow to move.
    static KEPT: Cell<Option<Box<HeaderLines>>> = const { Cell::new(None) };
}

/// A thread keeps no more memory than this for headers to come.
const MOST_KEPT: usize = 16 * 1024;

/// The headers of one request. They are written here first, because a carrier is the program's code, and may do what it
/// likes, while headers are written from data behind a lock.
#[derive(Debug, Default)]
pub(crate) struct HeaderLines {
    text: String,
    /// Where the value of each header begins, once each; it ends where the next one begins.
    lines: Vec<(Header, usize)>,
}

impl HeaderLines {
    /// Runs `work` with memory that this thread used before.
    pub(crate) fn with<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        let mut lines = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
        let result = work(&mut lines);
        if lines.text.capacity() <= MOST_KEPT {
            lines.text.clear();
            lines.lines.clear();
            let _ = KEPT.try_with(|kept| kept.set(Some(lines)));
        }
        result
    }

    /// Begins a header. Its value is what is appended from here on.
    pub(super) fn begin(&mut self, header: Header) -> &mut String {
        self.lines.push((header, self.text.len()));
        &mut self.text
    }

    /// Takes the last header back.
    pub(super) fn take_back(&mut self) {
        if let Some((_, start)) = self.lines.pop() {
            self.text.truncate(start);
        }
    }

    /// Sets all headers of a request.
    pub(crate) fn set(&self, carrier: &mut impl Inject) {
        let mut headers = [("", ""); Header::COUNT];
        let mut rest = &*self.text;
        let places = headers.iter_mut().zip(&self.lines);
        for (place, (header, start)) in places.rev() {
            let (before, value) = rest.split_at_checked(*start).unwrap_or((rest, ""));
            *place = (header.name(), value);
            rest = before;
        }
        carrier.set_all(headers.get(..self.lines.len()).unwrap_or(&headers));
    }
}

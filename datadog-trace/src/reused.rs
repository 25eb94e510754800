//! A list whose items are filled in where they stand.

use std::ops::{Deref, DerefMut};

/// What a list can hold: its items exist before they mean anything.
pub(crate) trait Blank {
    /// An item that holds nothing.
    const BLANK: Self;
}

/// A list that keeps the items behind its end, to be used again: what is put together first and moved then would have to
/// wait for its own writes.
#[derive(Debug)]
pub(crate) struct Reused<T> {
    /// Those from `len` on mean nothing.
    items: Vec<T>,
    len: usize,
}

impl<T> Reused<T> {
    pub(crate) const fn new() -> Self {
        Self {
            items: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Forgets the items, which still hold what they do.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// What stands behind the end.
    pub(crate) fn rest(&self) -> &[T] {
        &self.items[self.len..]
    }

    /// Forgets the items from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Counts in the item behind the end, if there is one.
    #[inline]
    pub(crate) fn advance(&mut self) {
        if self.len < self.items.len() {
            self.len += 1;
        }
    }

    /// Forgets the last item, which still holds what it does.
    #[inline]
    pub(crate) fn forget_last(&mut self) {
        self.len = self.len.saturating_sub(1);
    }
}

impl<T: Blank> Reused<T> {
    /// One item more. It may hold what it held when it was used before.
    #[inline]
    pub(crate) fn next(&mut self) -> &mut T {
        if self.len == self.items.len() {
            self.grow();
        }
        let next = &mut self.items[self.len];
        self.len += 1;
        next
    }

    /// The item behind the end, which [`next`](Self::next) gives when it is called next. It may hold what it held when it was
    /// used before.
    #[inline]
    pub(crate) fn behind(&mut self) -> &mut T {
        if self.len == self.items.len() {
            self.grow();
        }
        &mut self.items[self.len]
    }

    /// Takes the items out from `start` on.
    pub(crate) fn split_off(&mut self, start: usize) -> Vec<T> {
        let items = self[start..].iter_mut();
        let taken = items.map(|item| std::mem::replace(item, T::BLANK));
        let taken = taken.collect();
        self.len = start;
        taken
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.items.push(T::BLANK);
        let room = self.items.capacity();
        self.items.resize_with(room, || T::BLANK);
    }
}

impl<T> Default for Reused<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Reused<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T> DerefMut for Reused<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Blank for Option<u8> {
        const BLANK: Self = None;
    }

    fn list(items: impl IntoIterator<Item = u8>) -> Reused<Option<u8>> {
        let mut list = Reused::new();
        for item in items {
            *list.next() = Some(item);
        }
        list
    }

    #[test]
    fn items_come_and_go_at_the_end_and_their_memory_stays() {
        let mut list = list(0..100);
        assert_eq!((list.len(), list[99]), (100, Some(99)));
        let room = list.capacity();
        list.forget_last();
        assert_eq!(list.last(), Some(&Some(98)));
        assert_eq!(list.split_off(97), [Some(97), Some(98)]);
        assert_eq!(
            *list.next(),
            None,
            "what was taken out is not there any more"
        );
        list.truncate(98);
        list.truncate(50);
        list.truncate(60);
        assert_eq!(list.len(), 50);
        list.clear();
        list.forget_last();
        assert!(list.is_empty());
        assert_eq!(*list.next(), Some(0), "what is forgotten stays where it is");
        assert_eq!(list.capacity(), room);
        *list.behind() = Some(7);
        assert_eq!(list.len(), 1);
        list.advance();
        assert_eq!(*list, [Some(0), Some(7)]);
    }
}

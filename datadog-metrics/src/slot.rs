//! Numbers that handles use to find a thread's cell without a look-up.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

static SERIALS: AtomicU64 = AtomicU64::new(0);
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static USED: AtomicU64 = AtomicU64::new(0);

/// A place in each thread's list of cells. The index is used again when the slot is dropped; the serial number never is,
/// so a cell that was left there by an earlier owner is told apart.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) index: usize,
    pub(crate) serial: u64,
}

impl Slot {
    pub(crate) fn new() -> Self {
        let free = FREE.lock().pop();
        Self {
            index: free.unwrap_or_else(|| USED.fetch_add(1, Ordering::Relaxed) as usize),
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        FREE.lock().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_used_again_with_another_serial() {
        let first = Slot::new();
        let (index, serial) = (first.index, first.serial);
        let second = Slot::new();
        assert_ne!(second.index, index);
        drop(first);
        // Other tests may take the index first; whoever does gets a serial of its own.
        let again = Slot::new();
        assert_ne!(again.serial, serial);
    }
}

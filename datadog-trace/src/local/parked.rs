//! Spans that a future keeps open while it waits, which are not on the stack of active spans meanwhile.

use super::{Active, By, Local, Ready, with};

/// Takes the spans off the stack that stand above `span_id`: those that a future keeps open while it waits. What was made
/// active by hand is so no more, as the future may go on elsewhere.
pub(crate) fn park_above(span_id: u64) -> Vec<Active> {
    let mut ready = Vec::new();
    let parked = with(|local| {
        let own = local
            .active
            .iter()
            .rposition(|open| open.span_id == span_id)?;
        let mut above = local.active.split_off(own + 1);
        above.retain(|open| {
            if open.by != By::Guard {
                let mut closed = None;
                local.leave_open(open.segment, &mut closed);
                ready.extend(closed);
            }
            open.by == By::Guard
        });
        local.show_top();
        Some(above)
    });
    ready.into_iter().for_each(Ready::go);
    parked.flatten().unwrap_or_default()
}

/// Puts spans back on the stack.
pub(crate) fn unpark(spans: &mut Vec<Active>) {
    if !spans.is_empty() {
        with(|local| {
            for span in spans.drain(..) {
                let ended = |id: &u64| *id == span.span_id;
                match local.ended_parked.iter().position(ended) {
                    Some(at) => _ = local.ended_parked.swap_remove(at),
                    None => *local.active.next() = span,
                }
            }
            local.show_top();
        });
    }
}

impl Local {
    /// Removes a span from the stack that ends, or goes on elsewhere.
    #[inline]
    pub(super) fn leave_for_good(&mut self, span_id: u64) {
        if self.leave(span_id).is_none() {
            self.note_parked(span_id);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_parked(&mut self, span_id: u64) {
        self.ended_parked.push(span_id);
    }
}

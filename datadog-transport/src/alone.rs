//! What is read all the time.

/// Alone in its cache lines, two of which some processors fetch together: every call reads it, and what the linker puts beside it may
/// be written all the time.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Alone<T>(pub(crate) T);

//! What an error says about itself, in the terms of Datadog's error tracking.

use std::any::type_name;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt::Write;

/// The three standard fields of an error: `error.type` (traces) or `error.kind` (logs), `error.message`, and
/// `error.stack`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorReport {
    /// The error's type, such as `std::io::Error`.
    pub kind: String,
    /// What it displays.
    pub message: String,
    /// Its sources, one `caused by: …` line each, and the backtrace of this call where `RUST_BACKTRACE` asks for
    /// backtraces. `None` where there is neither.
    pub stack: Option<String>,
}

impl ErrorReport {
    /// Describes an error. For a `&dyn Error`, whose type is not known, the kind is the first word of its `Debug`
    /// form, which is the type's name where `Debug` is derived.
    ///
    /// With `RUST_BACKTRACE` set, this names the functions of the calling thread's stack, which takes milliseconds,
    /// and the first time in a process much longer; `RUST_LIB_BACKTRACE=0` switches it off for libraries alone.
    pub fn of<E: Error + ?Sized>(error: &E) -> Self {
        Self {
            kind: kind(error),
            message: error.to_string(),
            stack: stack(error),
        }
    }
}

fn kind<E: Error + ?Sized>(error: &E) -> String {
    let name = type_name::<E>();
    if !name.starts_with("dyn ") {
        return name.to_owned();
    }
    let debug = format!("{error:?}");
    let word: String = debug
        .chars()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
        .collect();
    if word.is_empty() {
        "Error".to_owned()
    } else {
        word
    }
}

fn stack<E: Error + ?Sized>(error: &E) -> Option<String> {
    let mut stack = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = writeln!(stack, "caused by: {cause}");
        source = cause.source();
    }
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = write!(stack, "{backtrace}");
    }
    stack.truncate(stack.trim_end().len());
    (!stack.is_empty()).then_some(stack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bad quantity")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn names_the_type_the_message_and_the_sources() {
        let error = Outer("x".parse::<i32>().unwrap_err());
        let report = ErrorReport::of(&error);
        assert!(report.kind.ends_with("tests::Outer"), "{report:?}");
        assert_eq!(report.message, "bad quantity");
        assert!(
            report
                .stack
                .unwrap()
                .starts_with("caused by: invalid digit found in string")
        );
        let erased: &dyn Error = &error;
        assert_eq!(ErrorReport::of(erased).kind, "Outer");
    }
}

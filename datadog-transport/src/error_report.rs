//! What an error says about itself, in the terms of Datadog's error tracking.

use std::any::type_name;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt::{self, Write};

/// The three standard fields of an error: `error.type` (traces) or `error.kind` (logs), `error.message`, and
/// `error.stack`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ErrorReport {
    /// The error's type, such as `std::io::Error`.
    pub kind: String,
    /// What it displays.
    pub message: String,
    /// `None` where the error has no source, and `RUST_BACKTRACE` asks for no backtraces.
    pub stack: Option<ErrorStack>,
}

/// An error's sources, one `caused by: …` line each, and the backtrace of where the error was reported, if
/// `RUST_BACKTRACE` asks for backtraces.
///
/// To display a backtrace means to look up the names of its functions. That takes milliseconds, and the first time in
/// a process much longer, so it is for the worker.
#[derive(Debug)]
pub struct ErrorStack {
    causes: String,
    backtrace: Option<Backtrace>,
}

impl ErrorReport {
    /// Describes an error. For a `&dyn Error`, whose type is not known, the kind is the first word of its `Debug`
    /// form, which is the type's name where `Debug` is derived.
    pub fn of<E: Error + ?Sized>(error: &E) -> Self {
        Self {
            kind: kind(error),
            message: error.to_string(),
            stack: ErrorStack::of(error),
        }
    }
}

impl ErrorStack {
    fn of<E: Error + ?Sized>(error: &E) -> Option<Self> {
        let mut causes = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            let _ = writeln!(causes, "caused by: {cause}");
            source = cause.source();
        }
        causes.truncate(causes.trim_end().len());
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        (!causes.is_empty() || backtrace.is_some()).then_some(Self { causes, backtrace })
    }

    /// Whether it takes long to display.
    pub fn has_backtrace(&self) -> bool {
        self.backtrace.is_some()
    }
}

impl fmt::Display for ErrorStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.causes)?;
        match &self.backtrace {
            Some(backtrace) if self.causes.is_empty() => write!(f, "{backtrace}"),
            Some(backtrace) => write!(f, "\n{backtrace}"),
            None => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

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
                .to_string()
                .starts_with("caused by: invalid digit found in string")
        );
        let erased: &dyn Error = &error;
        assert_eq!(ErrorReport::of(erased).kind, "Outer");
    }
}

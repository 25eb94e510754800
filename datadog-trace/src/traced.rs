//! What the code of `#[traced]` calls. No API: it may change with any version.

#![allow(missing_docs, reason = "no API")]

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::detached::DetachedSpan;
use crate::{Span, TagValue};

/// A value on its way to become a tag. Which trait's method is called says what it can be: method calls prefer the impl
/// that needs no further reference.
#[derive(Debug)]
pub struct Value<'a, T>(pub &'a T);

pub trait ByValue<'t> {
    fn tag(&self) -> TagValue<'t>;
}

impl<'t, T: Clone + Into<TagValue<'t>>> ByValue<'t> for Value<'_, T> {
    fn tag(&self) -> TagValue<'t> {
        self.0.clone().into()
    }
}

pub trait ByDisplay {
    fn tag(&self) -> TagValue<'static>;
}

impl<T: Display> ByDisplay for &Value<'_, T> {
    fn tag(&self) -> TagValue<'static> {
        self.0.to_string().into()
    }
}

/// What a function returned. As with [`Value`], the impl with the most references comes first.
#[derive(Debug)]
pub struct Outcome<'a, R>(pub &'a R);

pub trait IsError {
    fn tell(&self, span: &mut Span);
}

impl<T, E: Error> IsError for &&&&&Outcome<'_, Result<T, E>> {
    fn tell(&self, span: &mut Span) {
        if let Err(error) = self.0 {
            span.set_error(error);
        }
    }
}

/// `Box<dyn Error>`, and what crates such as `anyhow` have.
pub trait IsErrorBox {
    fn tell(&self, span: &mut Span);
}

impl<T, E: Deref<Target: Error>> IsErrorBox for &&&&Outcome<'_, Result<T, E>> {
    fn tell(&self, span: &mut Span) {
        if let Err(error) = self.0 {
            span.set_error(&**error);
        }
    }
}

pub trait IsDisplay {
    fn tell(&self, span: &mut Span);
}

impl<T, E: Display> IsDisplay for &&&Outcome<'_, Result<T, E>> {
    fn tell(&self, span: &mut Span) {
        if let Err(error) = self.0 {
            span.set_failure(std::any::type_name::<E>(), &error.to_string());
        }
    }
}

pub trait IsDebug {
    fn tell(&self, span: &mut Span);
}

impl<T, E: Debug> IsDebug for &&Outcome<'_, Result<T, E>> {
    fn tell(&self, span: &mut Span) {
        if let Err(error) = self.0 {
            span.set_failure(std::any::type_name::<E>(), &format!("{error:?}"));
        }
    }
}

/// An error that says nothing.
pub trait IsResult {
    fn tell(&self, span: &mut Span);
}

impl<T, E> IsResult for &Outcome<'_, Result<T, E>> {
    fn tell(&self, span: &mut Span) {
        if self.0.is_err() {
            span.set_failure(std::any::type_name::<E>(), "");
        }
    }
}

/// No result.
pub trait IsAny {
    fn tell(&self, span: &mut Span);
}

impl<R> IsAny for Outcome<'_, R> {
    fn tell(&self, _span: &mut Span) {}
}

/// Runs the body of a function. As it is called once only, it may return what it borrows of the function's arguments.
#[inline]
pub fn once<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// Runs a future in a span, and shows what it returns to `look`.
pub fn in_span<T, F, L>(future: F, span: DetachedSpan, look: L) -> LookedAt<F, L>
where
    F: Future<Output = T>,
    L: FnOnce(&T, &mut Span),
{
    LookedAt {
        inner: span.around(future),
        look: Some(look),
    }
}

pin_project! {
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct LookedAt<F, L> {
        #[pin]
        inner: crate::InSpan<F>,
        look: Option<L>,
    }
}

impl<T, F: Future<Output = T>, L: FnOnce(&T, &mut Span)> Future for LookedAt<F, L> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        this.inner.poll_and(task, |result, mut span| {
            if let Some(look) = this.look.take() {
                look(&result, &mut span);
            }
            result
        })
    }
}

//! The attribute `#[traced]`, re-exported by `datadog` and `datadog-trace`. It needs no other crate to compile.

mod error;
mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

/// Runs a function in a span.
///
/// The span starts when the function is called and ends when it returns, or for an `async fn` when its future is done or
/// dropped; an `async fn` may move between threads meanwhile. An `Err` that it returns and a panic mark the span as
/// failed. Without options the span's name is the function's, and its resource is the function's path, such as
/// `shop::cart::checkout`.
///
/// The span is of the default client, `datadog::client()`, and where there is none, nothing happens. No argument is
/// recorded that is not named.
///
/// | option | meaning |
/// |---|---|
/// | `name = "cart.checkout"` | the span's name |
/// | `resource = "…"`, `service = "…"`, `span_type = "web"` | as the setters of a span |
/// | `tags(order_id, user = user.id)` | tags, from arguments: what becomes a tag by itself, or can be displayed |
/// | `tracer = self.tracer` | another client or tracer than the default client |
/// | `crate = datadog_trace` | the crate that has the client's types, for programs without `datadog`; needs `tracer` |
///
/// Options take any expression that may stand at the begin of the function.
///
/// ```
/// use datadog_trace::{Tracer, traced};
///
/// struct Cart { tracer: Tracer }
///
/// impl Cart {
///     #[traced(crate = datadog_trace, tracer = self.tracer, name = "cart.checkout", tags(items, coupon = coupon.len()))]
///     async fn checkout(&self, items: u32, coupon: &str) -> Result<u32, std::num::ParseIntError> {
///         let discount: u32 = coupon.parse()?;
///         Ok(items * 100 - discount)
///     }
/// }
/// ```
///
/// What it can't do is told when it is compiled:
///
/// ```compile_fail
/// # use datadog_trace::traced;
/// #[traced]
/// const fn answer() -> u32 { 42 } // starting a span is no constant
/// ```
///
/// ```compile_fail
/// # use datadog_trace::traced;
/// #[traced]
/// struct Cart; // no function
/// ```
///
/// ```compile_fail
/// # use datadog_trace::traced;
/// trait Shop {
///     #[traced]
///     fn checkout(&self); // no body
/// }
/// ```
///
/// ```compile_fail
/// # use datadog_trace::traced;
/// #[traced(nam = "cart.checkout")] // no such option
/// fn checkout() {}
/// ```
///
/// ```compile_fail
/// # use datadog_trace::traced;
/// #[traced(crate = datadog_trace)] // which tracer?
/// fn checkout() {}
/// ```
///
/// ```compile_fail
/// # use datadog_trace::{Tracer, traced};
/// #[traced(crate = datadog_trace, tracer = tracer)]
/// #[track_caller] // the body runs in a closure, which has no caller's place
/// fn line(tracer: &Tracer) -> u32 { std::panic::Location::caller().line() }
/// ```
///
/// # What to know
///
/// **A function that returns a future without being an `async fn`**, as `-> impl Future` or `-> Pin<Box<dyn Future>>`,
/// is in its span only while it makes the future: what the future does is neither timed nor looked at. Make it an
/// `async fn`, or put the future into a span with `FutureExt::in_span`.
///
/// Arguments may be dropped after the span has ended, and in another order than without the attribute. Where that
/// matters, such as for the guard of a lock, drop them in the body.
///
/// An `Err` is not noticed in a function whose return type contains `impl`. In a trait of the crate `async-trait`, it
/// stands on the methods, inside the `impl` block.
#[proc_macro_attribute]
pub fn traced(options: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = options::parse(options)
        .and_then(|options| Ok((function::parse(item.clone())?, options)))
        .and_then(|(function, options)| expand::expand(&function, &options));
    match expanded {
        Ok(function) => function,
        // The function too, so that whoever calls it has no errors of their own.
        Err(error) => [error.tokens(), item].into_iter().collect(),
    }
}

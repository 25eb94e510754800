//! Macros that keep a handle for the place they are called from.

use std::sync::OnceLock;

use crate::Metrics;

/// What a macro keeps for the place in the program that it is called from. Used by the macros only.
#[doc(hidden)]
#[derive(Debug)]
pub struct CallSite<H> {
    /// The handle, for the metrics of this scope.
    kept: OnceLock<(u64, H)>,
}

impl<H> CallSite<H> {
    /// Keeps nothing yet.
    #[allow(
        clippy::new_without_default,
        reason = "a static needs a const function"
    )]
    pub const fn new() -> Self {
        Self {
            kept: OnceLock::new(),
        }
    }
}

impl Metrics {
    /// Uses the handle that `site` keeps; it keeps that of the first client and namespace that comes by, and makes one
    /// each time for others. Used by the macros only.
    #[doc(hidden)]
    #[inline]
    pub fn at<H>(&self, site: &CallSite<H>, make: impl Fn(&Self) -> H, work: impl FnOnce(&H)) {
        let (scope, kept) = site.kept.get_or_init(|| (self.scope(), make(self)));
        if *scope == self.scope() {
            work(kept);
        } else {
            work(&make(self));
        }
    }
}

/// Adds to a count. With literal tags, the place it is called from keeps a [`Counter`](crate::Counter), so that a call costs a few
/// nanoseconds; with others it is [`Metrics::count`](crate::Metrics::count).
///
/// ```
/// # use datadog_config::DDConfig;
/// # use datadog_metrics::{Metrics, count, distribution, gauge};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let agent = datadog_local_agent::LocalAgent::start()?;
/// # let config = DDConfig::builder().environment([("", "")]).dogstatsd_url(agent.dogstatsd_url()).build()?;
/// # let metrics = Metrics::start(&config)?;
/// # let route = String::from("/cart");
/// count!(metrics, "page.views", 1, "route" => "/cart");
/// count!(metrics, "page.views", 1, "route" => route);
/// gauge!(metrics, "queue.depth", 12.0);
/// distribution!(metrics, "page.bytes", 512.0, "route" => "/cart", "cached" => "yes");
/// # assert_eq!(metrics.health().total().accepted, 4);
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! count {
    ($metrics:expr, $($rest:tt)+) => {
        $crate::__submit!(Counter, counter, increment, count, $metrics, $($rest)+)
    };
}

/// Sets a gauge. See [`count!`](crate::count) for the handle it keeps.
#[macro_export]
macro_rules! gauge {
    ($metrics:expr, $($rest:tt)+) => {
        $crate::__submit!(Gauge, gauge_handle, set, gauge, $metrics, $($rest)+)
    };
}

/// Adds to a distribution. See [`count!`](crate::count) for the handle it keeps.
#[macro_export]
macro_rules! distribution {
    ($metrics:expr, $($rest:tt)+) => {
        $crate::__submit!(Distribution, distribution_handle, record, distribution, $metrics, $($rest)+)
    };
}

/// Literal names and tags by a kept handle, others by name.
#[doc(hidden)]
#[macro_export]
macro_rules! __submit {
    (
        $handle:ident, $find:ident, $write:ident, $submit:ident,
        $metrics:expr, $name:literal, $value:expr $(, $key:literal => $tag:literal)* $(,)?
    ) => {{
        static SITE: $crate::CallSite<$crate::$handle> = $crate::CallSite::new();
        let tags: &[(&str, &str)] = &[$(($key, $tag)),*];
        $metrics.at(&SITE, |metrics| metrics.$find($name, tags), |kept| kept.$write($value))
    }};
    (
        $handle:ident, $find:ident, $write:ident, $submit:ident,
        $metrics:expr, $name:expr, $value:expr $(, $key:expr => $tag:expr)* $(,)?
    ) => {
        $metrics.$submit(
            ::core::convert::AsRef::<str>::as_ref(&$name),
            $value,
            &[$((
                ::core::convert::AsRef::<str>::as_ref(&$key),
                ::core::convert::AsRef::<str>::as_ref(&$tag),
            )),*] as &[(&str, &str)],
        )
    };
}

//! The metrics macros, for the default client or another one.

/// Adds to a count, of the default client if the name comes first: it keeps a handle, so that a call costs a few
/// nanoseconds. See [`metrics::count!`](crate::metrics::count).
///
/// ```
/// # let config = datadog::DDConfig::builder().environment([("", "")]).build().unwrap();
/// # let client = datadog::DDClient::new(config).unwrap();
/// datadog::count!("page.views", 1, "route" => "/cart"); // nothing, as long as there is no default client
/// datadog::count!(client, "page.views", 1, "route" => "/cart");
/// ```
#[macro_export]
macro_rules! count {
    ($($all:tt)+) => { $crate::__of_client!(count, $($all)+) };
}

/// Sets a gauge, of the default client if the name comes first: see [`count!`](crate::count).
#[macro_export]
macro_rules! gauge {
    ($($all:tt)+) => { $crate::__of_client!(gauge, $($all)+) };
}

/// Adds to a distribution, of the default client if the name comes first: see [`count!`](crate::count).
#[macro_export]
macro_rules! distribution {
    ($($all:tt)+) => { $crate::__of_client!(distribution, $($all)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __of_client {
    ($submit:ident, $name:literal, $($rest:tt)+) => {
        if let Some(client) = $crate::__private::default_client() {
            $crate::metrics::$submit!(client.metrics(), $name, $($rest)+);
        }
    };
    ($submit:ident, $client:expr, $($rest:tt)+) => {
        $crate::metrics::$submit!($client.metrics(), $($rest)+)
    };
}

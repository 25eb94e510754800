//! Fields with the names of OpenTelemetry's conventions.

use datadog_local_agent::Span;
use tracing::info_span;

use crate::support::{Fixture, named};

fn one(work: impl FnOnce()) -> Span {
    let [span] = Fixture::new().spans_of(work).try_into().unwrap();
    span
}

/// The span that comes of a span of `tracing` with these fields.
macro_rules! span {
    ($($fields:tt)*) => { one(|| drop(info_span!($($fields)*))) };
}

fn identity(span: &Span) -> (&str, &str, &str) {
    (&span.name, &span.resource, &span.type_)
}

#[test]
fn requests_that_are_served() {
    let span = one(|| {
        let span = info_span!(
            "HTTP request",
            otel.kind = "server",
            http.request.method = "GET",
            http.route = "/cart/{id}",
            url.full = "http://shop/cart/7?token=secret",
            client.address = "192.0.2.1",
            user_agent.original = "curl",
            http.response.status_code = tracing::field::Empty,
        );
        span.record("http.response.status_code", 503);
    });
    let expected = ("http.server.request", "GET /cart/{id}", "web");
    assert_eq!(identity(&span), expected);
    assert_eq!(span.error, 1);
    for (key, value) in [
        ("span.kind", "server"),
        ("http.method", "GET"),
        ("http.route", "/cart/{id}"),
        ("http.url", "http://shop/cart/7?<redacted>"),
        ("http.useragent", "curl"),
        ("http.status_code", "503"),
    ] {
        assert_eq!(span.meta.get(key).map(String::as_str), Some(value), "{key}");
    }
    for key in ["otel.kind", "client.address", "http.client_ip"] {
        assert!(!span.meta.contains_key(key), "{key}");
    }
}

#[test]
fn requests_that_are_made() {
    let span = span!(
        "call",
        otel.kind = "client",
        http.method = "POST",
        http.status_code = 404_u64,
        server.address = "api.example",
        server.port = 8443,
    );
    assert_eq!(identity(&span), ("http.client.request", "POST", "http"));
    assert_eq!(span.error, 1, "a client's 4xx is its failure");
    assert_eq!(span.meta["out.host"], "api.example");
    assert_eq!(span.metrics["network.destination.port"], 8443.0);
    let served = span!(
        "x",
        otel.kind = "SERVER",
        http.method = "GET",
        http.status_code = 404
    );
    assert_eq!((served.error, &*served.resource), (0, "GET"));
}

#[test]
fn options_say_which_status_is_a_failure_and_whether_addresses_are_told() {
    let request = |kind: &str, status: &str, address: &str| {
        let name = format!("{kind} {status}");
        drop(info_span!(
            "x",
            otel.kind = kind,
            http.method = "GET",
            dd.resource = name,
            http.status_code = status,
            client.address = address,
        ));
    };
    let requests = || {
        request("client", "503", "192.0.2.1");
        request("client", "404", "192.0.2.1:443");
        request("server", "404", "[2001:db8::1]:443");
        request("server", "500", "unknown");
    };
    let by_default = ["client 404", "server 500"];
    let as_said = ["client 503", "server 404"];
    let said = [
        ("DD_TRACE_HTTP_CLIENT_ERROR_STATUSES", "503"),
        ("DD_TRACE_HTTP_SERVER_ERROR_STATUSES", "400-404"),
        ("DD_TRACE_CLIENT_IP_ENABLED", "true"),
    ];
    for (variables, expected, addresses) in [
        (&[][..], by_default, &[][..]),
        (&said, as_said, &["192.0.2.1", "192.0.2.1", "2001:db8::1"]),
    ] {
        let spans = Fixture::with(variables).spans_of(requests);
        let failed = spans.iter().filter(|span| span.error == 1);
        let mut failed: Vec<_> = failed.map(|span| &*span.resource).collect();
        failed.sort_unstable();
        assert_eq!(failed, expected);
        let told = spans
            .iter()
            .filter_map(|span| span.meta.get("http.client_ip"));
        let mut told: Vec<_> = told.collect();
        told.sort_unstable();
        assert_eq!(told, addresses);
    }
}

#[test]
fn databases() {
    let span = span!(
        "query",
        otel.kind = "client",
        db.system = "postgresql",
        db.statement = "SELECT 1",
        db.name = "shop",
    );
    assert_eq!(identity(&span), ("postgresql.query", "SELECT ?", "sql"));
    assert_eq!(span.meta["db.name"], "shop");
    let redis = span!(
        "GET",
        otel.kind = "client",
        db.system.name = "redis",
        db.operation.name = "GET"
    );
    assert_eq!(identity(&redis), ("redis.query", "GET", "redis"));
    assert_eq!(redis.meta["db.system"], "redis");
}

#[test]
fn messages_calls_functions_and_graphs() {
    let consumer = span!(
        "take",
        otel.kind = "consumer",
        messaging.system = "kafka",
        messaging.operation = "receive",
        messaging.destination.name = "orders",
    );
    assert_eq!(
        identity(&consumer),
        ("kafka.receive", "receive orders", "custom")
    );
    let server = span!(
        "call",
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = "shop.Cart",
        rpc.method = "Add",
    );
    assert_eq!(
        identity(&server),
        ("grpc.server.request", "Add shop.Cart", "web")
    );
    let aws = span!(
        target: "aws_sdk_sqs::operation",
        "SQS.SendMessage",
        rpc.system = "aws-api",
        rpc.service = "SQS",
        rpc.method = "SendMessage",
        cloud.region = "eu-west-1",
        server.address = "sqs.eu-west-1.amazonaws.com",
    );
    assert_eq!(
        identity(&aws),
        ("aws.sqs.request", "SendMessage SQS", "http")
    );
    for (key, value) in [
        ("component", "aws-sdk"),
        ("aws.service", "SQS"),
        ("aws.operation", "SendMessage"),
        ("region", "eu-west-1"),
        ("out.host", "sqs.eu-west-1.amazonaws.com"),
    ] {
        assert_eq!(aws.meta[key], value, "{key}");
    }
    let function = span!("f", otel.kind = "server", faas.trigger = "timer");
    assert_eq!(identity(&function), ("timer.invoke", "f", "web"));
    let graph = span!(
        "g",
        otel.kind = "server",
        graphql.operation.type = "query",
        graphql.operation.name = "Cart",
    );
    assert_eq!(
        identity(&graph),
        ("graphql.server.request", "query Cart", "web")
    );
    let within = span!("g", graphql.operation.type = "query");
    assert_eq!(
        identity(&within),
        ("graphql.server.request", "query", "custom")
    );
}

#[test]
fn what_the_program_says_beats_the_conventions() {
    let span = span!(
        "x",
        otel.kind = "server",
        http.method = "GET",
        otel.name = "not this",
        dd.name = "shop.page",
        dd.resource = "front page",
        dd.service = "front",
        dd.type = "worker",
    );
    assert_eq!(identity(&span), ("shop.page", "front page", "worker"));
    assert_eq!(span.service, "front");
    assert!(
        span.meta.keys().all(|key| !key.starts_with("dd.")),
        "{span:?}"
    );
    let by_other_names = span!(
        "x",
        span.kind = "client",
        http.method = "GET",
        dd.operation = "shop.call",
        dd.span_type = "worker",
    );
    assert_eq!(identity(&by_other_names), ("shop.call", "GET", "worker"));
    assert_eq!(by_other_names.meta["span.kind"], "client");
    assert!(
        by_other_names
            .meta
            .keys()
            .all(|key| !key.starts_with("dd.")),
        "{by_other_names:?}"
    );
    let named = span!("x", otel.name = "load cart");
    assert_eq!(identity(&named), ("x", "load cart", "custom"));
}

#[test]
fn the_fields_of_other_bridges_say_what_they_say_there() {
    let of_tracing_datadog = span!(
        "x",
        operation = "shop.page",
        resource = "front page",
        service = "front",
        span.type = "worker",
    );
    let of_opentelemetry = span!(
        "x",
        operation.name = "shop.page",
        resource.name = "front page",
        service.name = "front",
        span.type = "worker",
    );
    // As sqlx-datadog has it.
    let recorded_later = one(|| {
        let span = info_span!(
            "x",
            operation = "shop.page",
            resource = tracing::field::Empty,
            service = "front",
            span.type = "worker",
        );
        span.record("resource", "front page");
    });
    for span in [of_tracing_datadog, of_opentelemetry, recorded_later] {
        assert_eq!(identity(&span), ("shop.page", "front page", "worker"));
        assert_eq!(span.service, "front");
        for key in ["operation", "resource", "service", "span.type"] {
            assert!(!span.meta.contains_key(key), "{span:?}");
        }
    }
    let without_name = span!("x", resource = "page", service = "front", span.type = "web");
    assert_eq!(identity(&without_name), ("x", "page", "web"));
    assert_eq!(without_name.service, "front");
    let both = span!(
        "x",
        operation = "a",
        service = "this not",
        span.type = "web",
        dd.service = "front"
    );
    assert_eq!((&*both.name, &*both.service), ("a", "front"));
    let number = span!("x", operation = 7, resource = "page", span.type = "web");
    assert_eq!(
        (identity(&number), number.metrics["operation"]),
        (("x", "page", "web"), 7.0)
    );
}

#[test]
fn words_of_the_program_do_not_change_its_spans() {
    // As `#[instrument] fn authorize(operation: &str, resource: &str, service: &str)` has it.
    let span = span!(
        "authorize",
        operation = "write",
        resource = "cpu",
        service = "billing"
    );
    let plain = span!("authorize");
    assert_eq!(
        (identity(&span), &span.service),
        (identity(&plain), &plain.service)
    );
    let tags = ["operation", "resource", "service"].map(|key| &*span.meta[key]);
    assert_eq!(tags, ["write", "cpu", "billing"]);
    let alone = span!("file", operation = "read", http.route = "/files");
    assert_eq!(identity(&alone), ("file", "file", "custom"));
    assert_eq!(alone.meta["operation"], "read");
}

#[test]
fn failures() {
    let status = span!(
        "x",
        otel.status_code = "ERROR",
        otel.status_message = "too slow"
    );
    assert_eq!(
        (status.error, &*status.meta["error.message"]),
        (1, "too slow")
    );
    let described = span!(
        "x",
        otel.status_code = "Error",
        otel.status_description = "too late"
    );
    assert_eq!(
        (described.error, &*described.meta["error.message"]),
        (1, "too late")
    );
    assert!(!described.meta.contains_key("otel.status_description"));
    let error = std::io::Error::other("disk on fire");
    let value = span!("x", error = &error as &(dyn std::error::Error + 'static));
    assert_eq!(
        (value.error, &*value.meta["error.message"]),
        (1, "disk on fire")
    );
    assert_eq!(value.meta["error.type"], "Custom");
    let text = one(|| {
        let span = info_span!("x", err = tracing::field::Empty);
        span.record("err", tracing::field::display("refused"));
    });
    assert_eq!((text.error, &*text.meta["error.message"]), (1, "refused"));
    let exception = span!(
        "x",
        exception.type = "Refused",
        exception.message = "no",
        exception.stacktrace = "at a"
    );
    let tags = ["error.type", "error.message", "error.stack"];
    let tags = tags.map(|key| &*exception.meta[key]);
    assert_eq!((exception.error, tags), (1, ["Refused", "no", "at a"]));
    let flag = span!("x", error = true);
    let fine = span!("x", error = false, otel.status_code = "OK");
    assert_eq!((flag.error, fine.error), (1, 0));
    assert_eq!(span!("x", err = true).error, 1);
    assert_eq!(span!("x", error = 1).error, 1);
    let code = span!("x", error = 7);
    assert_eq!((code.error, &*code.meta["error"]), (1, "7"));
    let negative = span!("x", err = -11);
    assert_eq!((negative.error, negative.metrics["err"]), (1, -11.0));
    let none = span!("x", error = 0, err = 0);
    assert_eq!((none.error, none.metrics["err"]), (0, 0.0));
}

#[test]
fn a_failure_that_the_fields_take_back_is_none() {
    let fixture = Fixture::new();
    let call = |name: &'static str, is_told: bool| {
        let span = info_span!(
            "call",
            dd.name = name,
            otel.kind = "client",
            http.request.method = "GET",
            otel.status_code = "ERROR",
            http.response.status_code = 429,
        );
        if is_told {
            span.in_scope(|| tracing::error!("too many"));
        }
        span.record("http.response.status_code", 200);
        span.record("otel.status_code", "OK");
        span
    };
    let spans = fixture.spans_of(|| {
        drop(call("retried", false));
        drop(call("told", true));
        let again = call("again", false);
        again.record("http.response.status_code", 404);
    });
    for (name, error, status) in [
        ("retried", 0, None),
        ("told", 1, None),
        ("again", 1, Some(404.0)),
    ] {
        let span = named(&spans, name);
        let told = span.metrics.get("error.status").copied();
        assert_eq!((span.error, told), (error, status), "{name}");
    }
}

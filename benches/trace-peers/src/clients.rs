//! The same work for each client: a trace of a root and children, each with two tags.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use datadog_config::{DDConfig, DDConfigBuilder, TraceProtocol};
use datadog_trace::Tracer;
use datadog_transport::Standalone;
use fastrace::collector::Config as FastraceConfig;
use fastrace::prelude::{LocalSpan, Span as FastraceSpan, SpanContext as FastraceContext};
use tracing::Dispatch;
use tracing_datadog::DatadogTraceLayer;
use tracing_subscriber::layer::SubscriberExt;

/// The clients by name; ours is the first.
pub const NAMES: [&str; 5] = [
    "datadog",
    "datadog-opentelemetry",
    "opentelemetry-datadog",
    "fastrace-datadog",
    "tracing-datadog",
];

/// Ours with a buffer that holds a longer burst than that of the default.
pub const LARGE: &str = "datadog, buffer of 256 MiB";

/// Ours with an agent from before v1.0, which takes more bytes a span.
pub const V04: &str = "datadog, agent without v1.0";

/// Nobody: what the program itself costs.
pub const NONE: &str = "(none)";

/// Runs what makes the children, and may measure it.
pub type Around<'a> = &'a mut dyn FnMut(&mut dyn FnMut());

/// What is asked of a client.
pub trait Client {
    /// Makes a trace with so many children, which `around` makes all at once.
    fn trace(&self, children: u64, around: Around<'_>);

    /// Sends what is buffered, as far as the client can do that.
    fn flush(&self);

    /// The end of the program. How many spans were dropped, if the client says that.
    fn finish(self: Box<Self>) -> Option<u64>;
}

/// A client that sends to `address`.
pub fn start(name: &str, address: SocketAddr) -> Box<dyn Client> {
    match name {
        NONE => Box::new(Nobody),
        "datadog" => Box::new(Ours(ours(address, |config| config))),
        LARGE => Box::new(Ours(ours(address, |config| {
            config.tracing_buffer_bytes(256 << 20)
        }))),
        V04 => Box::new(Ours(ours(address, |config| {
            config.tracing_protocol(TraceProtocol::V04)
        }))),
        "datadog-opentelemetry" => Box::new(Otel(otel(address))),
        "opentelemetry-datadog" => Box::new(OldOtel(old_otel(address))),
        "fastrace-datadog" => {
            let reporter = fastrace_datadog::DatadogReporter::new(address, "bench", "bench", "web");
            fastrace::set_reporter(reporter, FastraceConfig::default());
            Box::new(Fastrace)
        }
        "tracing-datadog" => Box::new(Tracing(tracing_datadog(address))),
        _ => panic!("no client {name}"),
    }
}

struct Nobody;

impl Client for Nobody {
    fn trace(&self, children: u64, around: Around<'_>) {
        around(&mut || {
            for child in 0..children {
                black_box(child);
            }
        });
    }

    fn flush(&self) {}

    fn finish(self: Box<Self>) -> Option<u64> {
        None
    }
}

struct Ours(Standalone<Tracer>);

fn ours(
    address: SocketAddr,
    configure: impl FnOnce(DDConfigBuilder) -> DDConfigBuilder,
) -> Standalone<Tracer> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(format!("http://{address}"))
        .service("bench")
        .shutdown_timeout(Duration::from_secs(10));
    Tracer::start(&configure(config).build().unwrap()).unwrap()
}

impl Client for Ours {
    fn trace(&self, children: u64, around: Around<'_>) {
        let _root = self.0.trace("root");
        around(&mut || {
            for _ in 0..children {
                let mut span = self.0.trace("child");
                span.set_tag("http.route", "/cart").set_tag("items", 3);
                black_box(&mut span);
            }
        });
    }

    fn flush(&self) {
        self.0.flush(Duration::from_secs(10));
    }

    fn finish(self: Box<Self>) -> Option<u64> {
        self.0.shutdown(Duration::from_secs(10));
        Some(self.0.health().total().dropped.total())
    }
}

/// A client that is an exporter of OpenTelemetry's, in the version of its API that the client is bound to. The child is made
/// current, as it is in the other clients.
macro_rules! of_opentelemetry {
    ($name:ident, $api:ident, $sdk:ident) => {
        struct $name($sdk::trace::SdkTracerProvider);

        impl Client for $name {
            fn trace(&self, children: u64, around: Around<'_>) {
                use $api::trace::{Span as _, TraceContextExt, Tracer as _, TracerProvider};
                use $api::{Context, KeyValue};

                let tracer = self.0.tracer("bench");
                let root =
                    Context::new().with_span(tracer.start_with_context("root", &Context::new()));
                let _active = root.attach();
                around(&mut || {
                    for _ in 0..children {
                        let mut span = tracer.start("child");
                        span.set_attribute(KeyValue::new("http.route", "/cart"));
                        span.set_attribute(KeyValue::new("items", 3));
                        let _active = black_box(Context::current_with_span(span)).attach();
                    }
                });
            }

            fn flush(&self) {
                let _ = self.0.force_flush();
            }

            fn finish(self: Box<Self>) -> Option<u64> {
                let _ = self.0.force_flush();
                let _ = self.0.shutdown();
                None
            }
        }
    };
}

of_opentelemetry!(Otel, opentelemetry, opentelemetry_sdk);
of_opentelemetry!(OldOtel, opentelemetry_032, opentelemetry_sdk_032);

fn otel(address: SocketAddr) -> opentelemetry_sdk::trace::SdkTracerProvider {
    let mut config = datadog_opentelemetry::configuration::Config::builder();
    config
        .set_service("bench".to_owned())
        .set_trace_agent_url(format!("http://{address}"))
        .set_remote_config_enabled(false)
        .set_telemetry_enabled(false);
    let tracing = datadog_opentelemetry::tracing().with_config(config.build());
    tracing.init_local().0
}

#[expect(deprecated, reason = "programs use it still")]
fn old_otel(address: SocketAddr) -> opentelemetry_sdk_032::trace::SdkTracerProvider {
    opentelemetry_datadog::new_pipeline()
        .with_service_name("bench")
        .with_agent_endpoint(format!("http://{address}"))
        .install_batch()
        .unwrap()
}

struct Fastrace;

impl Client for Fastrace {
    fn trace(&self, children: u64, around: Around<'_>) {
        let root = FastraceSpan::root("root", FastraceContext::random());
        let _active = root.set_local_parent();
        around(&mut || {
            for _ in 0..children {
                let tags = || [("http.route", "/cart"), ("items", "3")];
                let _span =
                    black_box(LocalSpan::enter_with_local_parent("child").with_properties(tags));
            }
        });
    }

    fn flush(&self) {
        fastrace::flush();
    }

    fn finish(self: Box<Self>) -> Option<u64> {
        fastrace::flush();
        None
    }
}

struct Tracing(Dispatch);

fn tracing_datadog(address: SocketAddr) -> Dispatch {
    let layer = DatadogTraceLayer::builder()
        .service("bench")
        .env("bench")
        .version("1")
        .agent_address(address.to_string());
    Dispatch::new(tracing_subscriber::registry().with(layer.build().unwrap()))
}

impl Client for Tracing {
    fn trace(&self, children: u64, around: Around<'_>) {
        let _subscriber = tracing::dispatcher::set_default(&self.0);
        let _root = tracing::info_span!("root").entered();
        around(&mut || {
            for _ in 0..children {
                let span = tracing::info_span!("child", http.route = "/cart", items = 3);
                let _span = black_box(span.entered());
            }
        });
    }

    /// It has none: it sends once a second.
    fn flush(&self) {}

    fn finish(self: Box<Self>) -> Option<u64> {
        drop(self);
        std::thread::sleep(Duration::from_secs(3));
        None
    }
}

//! The clients that are compared.

#![allow(clippy::unwrap_used, reason = "a bench ends at the first surprise")]

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use cadence::{
    BufferedUdpMetricSink, BufferedUnixMetricSink, MetricSink, QueuingMetricSink, StatsdClient,
};
use datadog_config::DDConfig;
use datadog_metrics::Metrics;
use datadog_transport::Standalone;
use dogstatsd::{BatchingOptions, OptionsBuilder};
use libdd_dogstatsd_client::DogStatsDClient;
use metrics_exporter_dogstatsd::{DogStatsDBuilder, DogStatsDRecorder};

/// Where a client sends to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Server {
    /// A UDP address.
    Udp(SocketAddr),
    /// The path of a Unix datagram socket.
    Unix(PathBuf),
}

impl Server {
    /// The most bytes of a datagram: what the official clients send.
    fn datagram_bytes(&self) -> usize {
        match self {
            Self::Udp(_) => 1432,
            Self::Unix(_) => 8192,
        }
    }

    /// As a URL; `unix` is the scheme of a Unix datagram socket.
    fn url(&self, unix: &str) -> String {
        match self {
            Self::Udp(address) => format!("udp://{address}"),
            Self::Unix(path) => format!("{unix}://{}", path.display()),
        }
    }
}

/// `datadog-metrics`.
pub fn ours(server: &Server) -> Standalone<Metrics> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("bench")
        .dogstatsd_url(server.url("unixgram"))
        .build()
        .unwrap();
    Metrics::start(&config).unwrap()
}

/// `dogstatsd`, plain or with its batching.
pub fn dogstatsd(server: &Server, batching: bool) -> dogstatsd::Client {
    let mut options = OptionsBuilder::new();
    match server {
        Server::Udp(address) => options.to_addr(address.to_string()),
        Server::Unix(path) => options.socket_path(Some(path.display().to_string())),
    };
    if batching {
        options.batching_options(BatchingOptions {
            max_buffer_size: server.datagram_bytes(),
            max_time: Duration::from_millis(100),
            max_retry_attempts: 3,
            initial_retry_delay: 10,
        });
    }
    dogstatsd::Client::new(options.build()).unwrap()
}

/// `cadence` with a buffer, written to by the callers or by a thread behind a queue.
pub fn cadence(server: &Server, queued: bool) -> StatsdClient {
    let bytes = server.datagram_bytes();
    match server {
        Server::Udp(address) => {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let sink = BufferedUdpMetricSink::with_capacity(address, socket, bytes).unwrap();
            cadence_with(sink, queued)
        }
        Server::Unix(path) => {
            let socket = UnixDatagram::unbound().unwrap();
            socket.set_nonblocking(true).unwrap();
            cadence_with(
                BufferedUnixMetricSink::with_capacity(path, socket, bytes),
                queued,
            )
        }
    }
}

fn cadence_with(
    sink: impl MetricSink + Send + Sync + std::panic::RefUnwindSafe + 'static,
    queued: bool,
) -> StatsdClient {
    if queued {
        // Bounded, because an unbounded queue would take all memory in a bench.
        StatsdClient::from_sink("", QueuingMetricSink::with_capacity(sink, 128 * 1024))
    } else {
        StatsdClient::from_sink("", sink)
    }
}

/// `metrics-exporter-dogstatsd`, flushing as often as ours.
pub fn exporter(server: &Server) -> DogStatsDRecorder {
    DogStatsDBuilder::default()
        .with_remote_address(server.url("unixgram"))
        .unwrap()
        .with_flush_interval(Duration::from_secs(2))
        .build()
        .unwrap()
}

/// `libdd-dogstatsd-client`.
pub fn libdd(server: &Server) -> DogStatsDClient {
    let url = libdd_common::parse_uri(&server.url("unix")).unwrap();
    DogStatsDClient::new(libdd_common::Endpoint::from_url(url)).unwrap()
}

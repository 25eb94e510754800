//! One program, compiled for the `dogstatsd` crate and for its stand-in: both accept it, and what arrives is the same.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use datadog_local_agent::{LocalAgent, Metric};

use crate::received::{Relay, arrived, checks_of, events_of, metrics_of};

/// Compiles the program with the names of a crate.
macro_rules! program {
    ($module:ident, $($crate_path:tt)+) => {
        #[allow(
            clippy::needless_borrows_for_generic_args,
            reason = "so it stands in the documentation of the crate"
        )]
        mod $module {
            use $($crate_path)+::{
                BatchingOptions, Client, DogstatsdError, DogstatsdResult, EventAlertType, EventOptions,
                EventPriority, Options, OptionsBuilder, ServiceCheckOptions, ServiceStatus,
            };

            include!("program.rs");

            /// Runs all of it.
            pub(crate) fn run(to_addr: &str) {
                let client = Client::new(options(to_addr)).unwrap();
                send(&client).unwrap();
                send_events(&client).unwrap();
                assert_eq!(super::at_once(send_async(&client)), 9);
                assert!(compare(&client, &Client::new(options(to_addr)).unwrap()));
                assert!(!compare(&client, &Client::new(Options::default()).unwrap()));
            }
        }
    };
}

program!(theirs, dogstatsd);
program!(ours, datadog_metrics::dogstatsd_compat);

/// The result of a future that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

/// Without what no two runs have in common.
fn comparable(mut metrics: Vec<Metric>) -> Vec<Metric> {
    for metric in &mut metrics {
        if metric.name.ends_with("time") {
            assert!((0.0..1000.0).contains(&metric.values[0]), "{metric:?}");
            metric.values.clear();
        }
    }
    metrics
}

#[test]
fn a_program_for_the_crate_does_the_same_with_its_stand_in() {
    const THINGS: usize = 19 + 2 + 1;
    let agent = LocalAgent::start().unwrap();
    let relay = Relay::start();
    let expected = arrived(&agent, THINGS, || {
        theirs::run(&relay.address());
        relay.pass_on(&agent, THINGS);
    });
    let got = arrived(&agent, THINGS, || {
        ours::run(&agent.dogstatsd_addr().to_string())
    });
    let [got_metrics, expected_metrics] =
        [&got, &expected].map(|received| comparable(metrics_of(received)));
    assert_eq!(got_metrics, expected_metrics);
    assert_eq!(got_metrics.len(), 17);
    assert_eq!(events_of(&got), events_of(&expected));
    assert_eq!(checks_of(&got), checks_of(&expected));
}

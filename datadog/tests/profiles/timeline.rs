//! Samples that carry their times.

use std::collections::HashSet;

use datadog_local_agent::LocalAgent;

use crate::support::{self, LIMIT, VISIBLE, spin};

#[inline(never)]
fn timed_work() {
    spin(4 * VISIBLE);
}

fn times(wanted: bool) -> (Vec<Option<u64>>, [i64; 2]) {
    let agent = LocalAgent::start().unwrap();
    let client = support::profiled(&agent, |config| config.profiling_timeline_enabled(wanted));
    timed_work();
    assert!(client.flush(LIMIT).complete);
    let samples = support::samples(&agent);
    let own = samples.iter().filter(|sample| sample.is_in("timed_work"));
    let times = own
        .map(|sample| sample.number("end_timestamp_ns"))
        .collect();
    let event = &agent.profiles()[0].event;
    (times, [event.start_ns, event.end_ns])
}

#[test]
fn each_sample_has_its_time_where_that_is_wanted() {
    let _turn = support::turn();
    let (times, [start, end]) = times(true);
    let times: Vec<u64> = times.into_iter().map(Option::unwrap).collect();
    // Equal samples would be one row without it: the work is one loop.
    assert!(times.len() >= 10, "{times:?}");
    let different: HashSet<_> = times.iter().collect();
    assert_eq!(different.len(), times.len());
    let within = start as u64..=end as u64;
    assert!(
        times.iter().all(|time| within.contains(time)),
        "{within:?}: {times:?}"
    );
}

#[test]
fn samples_have_no_times_unless_that_is_wanted() {
    let _turn = support::turn();
    let (times, _) = times(false);
    assert!(
        !times.is_empty() && times.iter().all(Option::is_none),
        "{times:?}"
    );
}

//! The client tells how its process and a tokio runtime in it are, where the config asks for it.

use std::time::Duration;

use datadog::profiling::ProfiledAllocator;
use datadog::{DDClient, DDConfig};
use datadog_local_agent::LocalAgent;

#[global_allocator]
static ALLOCATOR: ProfiledAllocator = ProfiledAllocator::system();

/// Longer than the period of 10 seconds, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_process_and_a_runtime_are_told_if_asked_for() {
    let [not_asked, asked] = [false, true].map(|enabled| {
        let agent = LocalAgent::start().unwrap();
        let config = DDConfig::builder()
            .environment([("", "")])
            .agent_url(agent.url())
            .dogstatsd_url(agent.dogstatsd_url())
            .service("shop")
            .runtime_metrics_enabled(enabled)
            .profiling_enabled(enabled)
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let client = DDClient::new(config).unwrap();
        client.observe_tokio(runtime.handle());
        drop(runtime.spawn(std::future::pending::<()>()));
        (agent, client, runtime)
    });
    let (agent, client, _runtime) = &asked;
    let wait_for_all = || {
        let arrived = agent.wait_for(LIMIT, |got| {
            let named = |name| got.metrics().iter().any(|metric| metric.name == name);
            // Not all of them come in one datagram.
            named("runtime.rust.alloc.bytes")
                && named("runtime.rust.alloc.count")
                && named("runtime.rust.alloc.in_use.bytes")
                && named("runtime.rust.mem.rss")
                && named("runtime.rust.tokio.alive_tasks")
        });
        arrived.unwrap();
    };
    // Once there has been a profile, the profiler has begun. To name functions takes memory, too, which is told first,
    // and some of which stays in use.
    client.flush_profiles();
    let first = vec![1_u8; 16 << 20];
    wait_for_all();
    let before = agent.metric_values("runtime.rust.alloc.in_use.bytes")[0];
    agent.clear();
    let blocks: Vec<Vec<u8>> = (0..1024).map(|_| vec![1; 100 << 10]).collect();
    wait_for_all();
    let resident = &agent.metrics_named("runtime.rust.mem.rss")[0];
    let runtime_id = format!("runtime-id:{}", client.config().runtime_id());
    for tag in ["service:shop", "lang:rust", &runtime_id] {
        assert!(resident.has_tag(tag), "{resident:?}");
    }
    assert!(resident.values[0] > 1e6, "{resident:?}");
    assert_eq!(agent.metric_values("runtime.rust.tokio.alive_tasks"), [1.0]);
    // 100 MiB in blocks, estimated from about 200 samples.
    let near = 80e6..130e6;
    for (name, before) in [("alloc.bytes", 0.0), ("alloc.in_use.bytes", before)] {
        let bytes = agent.metric_values(&format!("runtime.rust.{name}"))[0] - before;
        assert!(near.contains(&bytes), "{name} {bytes}");
    }
    assert!(agent.metric_values("runtime.rust.alloc.count")[0] > 500.0);
    drop((first, blocks));
    assert!(client.shutdown(LIMIT).complete);
    let health = client.health().total();
    assert_eq!(health.accepted, health.delivered, "{health:?}");

    // It was started first, and everything it had is sent.
    let (agent, client, _runtime) = &not_asked;
    client.increment("last", ());
    client.flush(LIMIT);
    agent
        .wait_for(LIMIT, |got| {
            got.metrics().iter().any(|metric| metric.name == "last")
        })
        .unwrap();
    let metrics = agent.metrics();
    let about_runtime = metrics
        .iter()
        .filter(|metric| metric.name.starts_with("runtime"));
    assert_eq!(about_runtime.count(), 0, "{metrics:?}");
}

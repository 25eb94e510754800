//! OpenTelemetry's process context: a named mapping in memory, by which profilers on the host find out whose process
//! this is. Beside the file of [`discovery`](crate::discovery), as `libdd-library-config` publishes both
//! (opentelemetry-specification: `oteps/profiles/4719-process-ctx.md`).

mod mapping;

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_transport::context;
use parking_lot::Mutex;
use rustix::io;

use self::mapping::Mapping;
use crate::protobuf::{message, text};

/// How long to wait for another thread that publishes. Not for ever: in a forked child it may not be there any more.
const PATIENCE: Duration = Duration::from_millis(100);

/// A process has one context: that of the tracer that started last, of those that run.
static PUBLISHED: Mutex<Option<Published>> = Mutex::new(None);

static LAST_ID: AtomicU64 = AtomicU64::new(0);

struct Published {
    mapping: Mapping,
    /// Children of this process don't have the mapping.
    process: u32,
    /// By tracer, the one that is shown last. Their bytes must not move.
    payloads: Vec<(u64, Box<[u8]>)>,
}

/// Keeps the context of a tracer published.
#[derive(Debug)]
pub(crate) struct ProcessContext {
    id: u64,
}

impl ProcessContext {
    /// `None` where the kernel gives no such memory: nobody depends on it.
    pub(crate) fn publish(config: &DDConfig) -> Option<Self> {
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        let mut published = PUBLISHED.try_lock_for(PATIENCE)?;
        forget_parents(&mut published);
        let shown = show(&mut published, id, payload(config).into());
        let shown = shown
            .inspect_err(|error| log::debug!(target: "datadog", "no process context: {error}"));
        shown.ok().map(|()| Self { id })
    }
}

impl Drop for ProcessContext {
    fn drop(&mut self) {
        let Some(mut published) = PUBLISHED.try_lock_for(PATIENCE) else {
            return;
        };
        forget_parents(&mut published);
        let Some(known) = &mut *published else { return };
        let own = known.payloads.iter().position(|(id, _)| *id == self.id);
        let Some(own) = own else { return };
        // It must not go before nothing points to it any more.
        let gone = known.payloads.remove(own);
        match known.payloads.last() {
            Some((_, last)) => known.mapping.show(last),
            None => *published = None,
        }
        drop(gone);
    }
}

fn show(published: &mut Option<Published>, id: u64, payload: Box<[u8]>) -> io::Result<()> {
    let known = match published {
        Some(known) => known,
        None => published.insert(Published {
            mapping: Mapping::new()?,
            process: process::id(),
            payloads: Vec::new(),
        }),
    };
    known.mapping.show(&payload);
    known.payloads.push((id, payload));
    Ok(())
}

/// Forgets what the parent of a forked child published: it is not here.
fn forget_parents(published: &mut Option<Published>) {
    if published
        .as_ref()
        .is_some_and(|known| known.process != process::id())
        && let Some(known) = published.take()
    {
        known.mapping.forget();
    }
}

/// The context in Protocol Buffers (opentelemetry-proto: `opentelemetry/proto/common/v1/process_context.proto`), with the
/// attributes of `libdd-library-config` (`src/tracer_metadata.rs`).
fn payload(config: &DDConfig) -> Vec<u8> {
    let resource = [
        ("service.name", Some(config.service())),
        ("service.instance.id", Some(config.runtime_id())),
        ("service.version", config.version()),
        ("deployment.environment.name", config.env()),
        ("telemetry.sdk.language", Some("rust")),
        ("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION"))),
        ("telemetry.sdk.name", Some(env!("CARGO_PKG_NAME"))),
        ("host.name", config.hostname()),
        ("container.id", config.container_id()),
    ];
    let extra = [("datadog.process_tags", config.process_tags())];
    let mut out = Vec::with_capacity(512);
    message(&mut out, 1, |out| attributes(out, 1, &resource));
    attributes(&mut out, 2, &extra);
    let threads = config.otel_context_enabled().then(context::publish);
    if let Some(threads) = threads.flatten() {
        attributes(
            &mut out,
            2,
            &[("threadlocal.schema_version", Some(threads.schema))],
        );
        message(&mut out, 2, |out| {
            text(out, 1, "threadlocal.attribute_key_map");
            message(out, 2, |out| {
                message(out, 5, |out| {
                    for key in threads.attributes {
                        message(out, 1, |out| text(out, 1, key));
                    }
                });
            });
        });
    }
    out
}

fn attributes(out: &mut Vec<u8>, field: u8, attributes: &[(&str, Option<&str>)]) {
    for (key, value) in attributes {
        let Some(value) = value else { continue };
        message(out, field, |out| {
            text(out, 1, key);
            message(out, 2, |out| text(out, 1, value));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use super::*;

    /// What another process finds: the bytes of the payload.
    fn found() -> Option<Vec<u8>> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let named = |line: &&str| {
            line.split_whitespace().nth(5).is_some_and(|name| {
                [
                    "/memfd:OTEL_CTX",
                    "[anon:OTEL_CTX]",
                    "[anon_shmem:OTEL_CTX]",
                ]
                .contains(&name)
            })
        };
        let mut lines = maps.lines().filter(named);
        let line = lines.next()?;
        assert_eq!(lines.next(), None, "one for a process");
        let start = line.split('-').next().unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let read = |at: u64, bytes: usize| {
            let mut read = vec![0; bytes];
            memory.read_exact_at(&mut read, at).unwrap();
            read
        };
        let header = read(u64::from_str_radix(start, 16).unwrap(), 32);
        let number = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().unwrap());
        let half = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        assert_eq!((&header[..8], half(8)), (&b"OTEL_CTX"[..], 2));
        assert_ne!(number(16), 0, "it is not being changed");
        Some(read(number(24), half(12) as usize))
    }

    #[test]
    fn others_find_the_context_of_the_tracer_that_started_last() {
        let config = |service: &str| {
            let builder = DDConfig::builder().environment([("", "")]);
            builder.service(service).env("prod").build().unwrap()
        };
        // Other tests of this process start tracers too.
        let (shop, bank) = (config("shop"), config("a bank"));
        let has = |service: &str| {
            let payload = found().unwrap();
            let entry = [b"service.name\x12", &[service.len() as u8 + 2, 10][..]].concat();
            let entry = [&entry, &[service.len() as u8][..], service.as_bytes()].concat();
            payload.windows(entry.len()).any(|part| part == entry)
        };
        let first = ProcessContext::publish(&shop).unwrap();
        assert!(has("shop"));
        let second = ProcessContext::publish(&bank).unwrap();
        assert!(has("a bank") && !has("shop"));
        drop(second);
        assert!(has("shop"));
        drop(first);
        assert_eq!(found(), None);
    }
}

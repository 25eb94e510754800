//! OpenTelemetry's process context: a named mapping in memory, by which profilers on the host find out whose process
//! this is (open-telemetry/opentelemetry-specification: `oteps/profiles/4719-process-ctx.md`, a draft). It stands beside the
//! file for Datadog's own process discovery, as `libdd-library-config` publishes both.

mod mapping;

use std::io;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datadog_config::DDConfig;
use parking_lot::Mutex;

use self::mapping::Mapping;
use crate::otel;

/// How long to wait for another thread that publishes. Not for ever: in a forked child it may not be there any more.
const PATIENCE: Duration = Duration::from_millis(100);

/// A process has one context: that of the client that started last, of those that run.
static PUBLISHED: Mutex<Option<Published>> = Mutex::new(None);

static LAST_ID: AtomicU64 = AtomicU64::new(0);

struct Published {
    mapping: Mapping,
    /// Children of this process don't have the mapping.
    process: u32,
    /// By client, the one that is shown last. Their bytes must not move.
    payloads: Vec<(u64, Box<[u8]>)>,
}

/// Keeps the context of one client published.
#[derive(Debug)]
pub struct ProcessContext {
    id: u64,
}

impl ProcessContext {
    /// Publishes what the configuration says of the process, and how its threads show their spans, if they do. `None`
    /// where the kernel gives no such memory: nobody depends on it.
    pub fn publish(config: &DDConfig) -> Option<Self> {
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

/// The message `ProcessContext`, with attributes by the names of OpenTelemetry's conventions (open-telemetry/
/// opentelemetry-proto: `opentelemetry/proto/common/v1/common.proto`, `opentelemetry/proto/resource/v1/resource.proto`;
/// libdatadog: `libdd-library-config/src/tracer_metadata.rs`).
fn payload(config: &DDConfig) -> Vec<u8> {
    let mut resource = Vec::new();
    for (key, value) in [
        ("service.name", Some(config.service())),
        ("service.version", config.version()),
        ("service.instance.id", Some(config.runtime_id())),
        ("deployment.environment.name", config.env()),
        ("host.name", config.hostname()),
        ("container.id", config.container_id()),
        ("telemetry.sdk.name", Some("datadog")),
        ("telemetry.sdk.language", Some("rust")),
        ("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION"))),
    ] {
        if let Some(value) = value {
            field(&mut resource, 1, &attribute(key, &text(value)));
        }
    }
    let mut context = Vec::new();
    field(&mut context, 1, &resource);
    let mut extra = |key: &str, value: &[u8]| field(&mut context, 2, &attribute(key, value));
    if let Some(tags) = config.process_tags() {
        extra("datadog.process_tags", &text(tags));
    }
    if config.otel_context_enabled()
        && let Some((schema, names)) = otel::records()
    {
        let mut all = Vec::new();
        for name in names {
            field(&mut all, 1, &text(name));
        }
        let mut list = Vec::new();
        field(&mut list, 5, &all);
        extra("threadlocal.schema_version", &text(schema));
        extra("threadlocal.attribute_key_map", &list);
    }
    context
}

/// The message `KeyValue`.
fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, key.as_bytes());
    field(&mut out, 2, value);
    out
}

/// The message `AnyValue` with a text.
fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, 1, text.as_bytes());
    out
}

/// Appends a field of Protocol Buffers that has a length.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
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

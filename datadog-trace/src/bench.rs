//! The encoder alone, for its bench. No API.

#![allow(missing_docs, reason = "no API")]

use datadog_config::{DDConfig, TraceProtocol};
use datadog_transport::Payload;

use crate::batch::Batch;
use crate::encode::Encoder;
use crate::sample::Decision;
use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::trace::Chunk;

/// A trace that is encoded again and again.
#[derive(Debug)]
pub struct Encoding {
    encoder: Encoder,
    chunk: Chunk,
}

impl Encoding {
    /// Of `spans` spans with `tags` each.
    pub fn new(config: &DDConfig, spans: u64, tags: &[(&'static str, &str)]) -> Self {
        let mut batch = Batch::default();
        for span_id in 1..=spans {
            let mut span = SpanData {
                span_id: u64::MAX - span_id,
                parent_id: u64::MAX - span_id / 2,
                is_local_root: span_id == 1,
                name: "http.request".into(),
                resource: Some("GET /cart/{id}".into()),
                span_type: Some("web".into()),
                start: Ticks::now(),
                ..SpanData::default()
            };
            for (key, value) in tags {
                match value.parse() {
                    Ok(number) => span.tags.set_number((*key).into(), number),
                    Err(_) => span.tags.set_text((*key).into(), value),
                }
            }
            batch.push(&mut span, Ticks::now());
        }
        Self {
            encoder: Encoder::new(config),
            chunk: Chunk {
                trace_id: u128::MAX,
                upstream: None,
                decision: Decision::default(),
                spans: batch,
            },
        }
    }

    /// Encodes a payload of so many traces. How many bytes it has.
    pub fn payload(&mut self, protocol: TraceProtocol, traces: u64) -> usize {
        let mut filling = self.encoder.start(protocol);
        for _ in 0..traces {
            self.encoder.add(&mut filling, &mut self.chunk);
        }
        let payload = self.encoder.close(filling, false);
        let body = payload.map_or_else(Vec::new, Payload::into_body);
        let bytes = body.len();
        self.encoder.reuse(body);
        bytes
    }
}

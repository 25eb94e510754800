//! The worker's half: takes finished traces, encodes them, and posts them to the agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_transport::{Account, AgentClient, Occasion, Outbox, Pass, Payload, Queue, Signal};

use crate::encode::{Encoder, Filling};
use crate::trace::SpanData;

const PATH: &str = "/v0.4/traces";

const PERIOD: Duration = Duration::from_secs(1);

/// The most bytes of encoded traces that wait for the agent.
const OUTBOX_BYTES: usize = 20 << 20;

pub(crate) struct TraceSink {
    agent: Arc<AgentClient>,
    queue: Arc<Queue<Vec<SpanData>>>,
    encoder: Encoder,
    outbox: Outbox,
}

impl TraceSink {
    pub(crate) fn new(
        config: &DDConfig,
        agent: Arc<AgentClient>,
        queue: Arc<Queue<Vec<SpanData>>>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            agent,
            queue,
            encoder: Encoder::new(config),
            outbox: Outbox::new(OUTBOX_BYTES, account),
        }
    }

    /// Encodes what waits, up to one full payload.
    fn next_payload(&self) -> Option<Payload> {
        let mut filling = Filling::default();
        while !filling.is_full() {
            let Some((spans, _)) = self.queue.pop() else {
                break;
            };
            self.encoder.add(&mut filling, spans);
        }
        filling.close()
    }
}

impl Signal for TraceSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        // Not while somebody waits: what is buffered goes first.
        if pass.occasion == Occasion::Due {
            self.agent.refresh_info(self.agent.limit());
        }
        // One payload at a time, so that a fast producer finds room in the queue while the agent is busy.
        loop {
            let payload = self.next_payload();
            let more = payload.is_some() && Instant::now() < pass.deadline;
            payload
                .into_iter()
                .for_each(|payload| self.outbox.push(payload));
            let agent = &self.agent;
            let again = self.outbox.deliver(pass, agent.limit(), |payload, limit| {
                agent.post(PATH, payload, limit)
            });
            if !more {
                return again;
            }
        }
    }

    fn close(&mut self) {
        self.queue.close();
        self.outbox.close();
    }
}

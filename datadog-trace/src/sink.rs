//! The worker's half: takes finished traces, encodes them, and posts them to the agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_transport::{Account, AgentClient, Occasion, Outbox, Pass, Payload, Signal};

use crate::encode::{Encoder, Filling};
use crate::endpoint::TracesEndpoint;
use crate::keep_rate::KeepRate;
use crate::tracer::Shared;

/// The agent leaves its sampling rates out of the answer if this names them
/// (datadog-agent: `pkg/trace/api/api.go`).
const RATES_VERSION: &str = "Datadog-Rates-Payload-Version";

const PERIOD: Duration = Duration::from_secs(1);

pub(crate) struct TraceSink {
    endpoint: TracesEndpoint,
    shared: Arc<Shared>,
    encoder: Encoder,
    outbox: Outbox,
    account: Arc<Account>,
    keep_rate: KeepRate,
}

impl TraceSink {
    pub(crate) fn new(
        config: &DDConfig,
        agent: Arc<AgentClient>,
        shared: Arc<Shared>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            endpoint: TracesEndpoint::new(agent, Arc::clone(&account)),
            shared,
            encoder: Encoder::new(config),
            outbox: Outbox::new(config.tracing_buffer_bytes() / 3 * 2, Arc::clone(&account)),
            account,
            keep_rate: KeepRate::default(),
        }
    }

    /// Encodes what waits, up to one full payload.
    fn next_payload(&self) -> Option<Payload> {
        let mut filling = Filling::default();
        while !filling.is_full() {
            let Some(mut chunk) = self.shared.next_chunk() else {
                break;
            };
            self.encoder.add(&mut filling, &mut chunk);
            self.shared.pool.put(chunk.spans);
        }
        let known = self.shared.sampler.agent_rates().version();
        Some(filling.close()?.with_header(RATES_VERSION, known))
    }
}

impl Signal for TraceSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        // Not while somebody waits: what is buffered goes first.
        if pass.occasion == Occasion::Due
            && let Some(info) = self.endpoint.refresh()
        {
            self.encoder.learn(&info);
        }
        if pass.occasion == Occasion::Due {
            let rate = self.keep_rate.learn(&self.account.snapshot());
            self.encoder.set_keep_rate(rate);
        }
        self.encoder.renew_clock();
        // One payload at a time, so that a fast producer finds room in the queue while the agent is busy.
        loop {
            let payload = self.next_payload();
            let more = payload.is_some() && Instant::now() < pass.deadline;
            payload
                .into_iter()
                .for_each(|payload| self.outbox.push(payload));
            let (endpoint, rates) = (&mut self.endpoint, self.shared.sampler.agent_rates());
            let again = self
                .outbox
                .deliver(pass, endpoint.limit(), |payload, limit| {
                    endpoint.post(payload, limit).inspect(|answer| {
                        if answer.status() == 200 {
                            rates.learn(answer.body(), answer.header(RATES_VERSION));
                        }
                    })
                });
            if !more {
                return again;
            }
        }
    }

    fn close(&mut self) {
        self.shared.close();
        self.outbox.close();
    }
}

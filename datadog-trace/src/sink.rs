//! The worker's half: takes finished traces, counts them in statistics, encodes them, and posts both to the agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_transport::{Account, AgentClient, Occasion, Outbox, Pass, Signal};

use crate::encode::{Encoder, has_computed_stats};
use crate::endpoint::TracesEndpoint;
use crate::keep_rate::KeepRate;
use crate::obfuscate::SpanRules;
use crate::peer_service::PeerService;
use crate::startup;
use crate::stats::{LeftOut, Stats};
use crate::tracer::Shared;

/// The agent leaves its sampling rates out of the answer if this names them
/// (datadog-agent: `pkg/trace/api/api.go`).
const RATES_VERSION: &str = "Datadog-Rates-Payload-Version";

/// How much was left out since the last payload that the agent took (datadog-agent: `pkg/trace/api/internal/header/headers.go`).
const LEFT_OUT_CHUNKS: &str = "Datadog-Client-Dropped-P0-Traces";
const LEFT_OUT_SPANS: &str = "Datadog-Client-Dropped-P0-Spans";

const PERIOD: Duration = Duration::from_secs(1);

/// After so many spans the worker looks at the time, though most of them may not be sent.
const SPANS_A_TURN: usize = 50_000;

/// The most bytes of statistics that wait for the agent: about a minute's of a large service.
const STATS_BYTES: usize = 4 << 20;

pub(crate) struct TraceSink {
    endpoint: TracesEndpoint,
    shared: Arc<Shared>,
    account: Arc<Account>,
    encoder: Encoder,
    keep_rate: KeepRate,
    stats: Stats,
    /// Its items are groups of statistics.
    stats_account: Arc<Account>,
    peer_service: Option<PeerService>,
    span_rules: SpanRules,
    /// When the worker [looked around](Self::look_around) last.
    looked_around: Instant,
    /// Whether the agent takes spans that are still open.
    takes_running: bool,
    /// The agent's address, until the line about it is logged, once: whether it answers or not.
    untold_agent: Option<String>,
    traces_outbox: Outbox,
    stats_outbox: Outbox,
}

impl TraceSink {
    pub(crate) fn new(
        config: &DDConfig,
        agent: Arc<AgentClient>,
        shared: Arc<Shared>,
        traces_outbox: Outbox,
        account: Arc<Account>,
        stats_account: Arc<Account>,
    ) -> Self {
        Self {
            endpoint: TracesEndpoint::new(agent, Arc::clone(&account), config.tracing_protocol()),
            shared,
            encoder: Encoder::new(config),
            stats: Stats::new(config),
            peer_service: PeerService::new(config),
            span_rules: SpanRules::default(),
            looked_around: Instant::now(),
            takes_running: false,
            untold_agent: config
                .startup_logs()
                .then(|| config.trace_agent().to_string()),
            traces_outbox,
            stats_outbox: Outbox::new(STATS_BYTES, Arc::clone(&stats_account)),
            stats_account,
            account,
            keep_rate: KeepRate::default(),
        }
    }

    /// Asks the agent what it can do, if that may have changed.
    fn refresh(&mut self, limit: Duration) {
        if limit.is_zero() {
            return;
        }
        let info = self.endpoint.refresh(limit);
        if let Some(info) = &info {
            self.stats.learn(info);
            if !self.stats.are_on() {
                self.endpoint.leave_stats_to(info);
            }
            self.encoder.learn(info);
            self.span_rules.learn(info);
            self.takes_running = info.long_running_spans;
        }
        if let Some(url) = self.untold_agent.take() {
            let protocol = self.endpoint.protocol();
            startup::log_agent(&url, info.as_ref(), protocol, self.stats.are_on());
        }
    }

    /// Sees to what changes by itself as time goes on.
    fn look_around(&mut self, now: Instant) {
        self.looked_around = now;
        let rate = self.keep_rate.learn(&self.account.snapshot());
        self.encoder.set_keep_rate(rate);
        self.shared.sampler.agent_rates().grow(now);
        self.report_running(now);
    }

    /// Adds to the queue what is to be shown of traces that still run.
    fn report_running(&self, now: Instant) {
        if let Some(long_running) = &self.shared.long_running
            && self.takes_running
        {
            long_running.report(now);
        }
    }

    /// Encodes what waits and posts it. Returns when to try again, if something is left.
    fn send_traces(&mut self, pass: &Pass) -> Option<Instant> {
        // One payload at a time, so that a fast producer finds room in the queue while the agent is busy.
        loop {
            self.encoder.reuse(self.traces_outbox.take_spare());
            let more = self.encode();
            let (endpoint, rates) = (&mut self.endpoint, self.shared.sampler.agent_rates());
            let stats = &mut self.stats;
            let again = self
                .traces_outbox
                .deliver(pass, endpoint.limit(), |payload, limit| {
                    payload.set_header(RATES_VERSION, rates.version());
                    // Only now, so that nothing is missing of what a payload was to tell that was not taken, and nothing
                    // twice of what its halves tell.
                    let mut left_out = LeftOut::default();
                    if has_computed_stats(payload) {
                        left_out = stats.left_out();
                        payload.set_header(LEFT_OUT_CHUNKS, left_out.chunks.to_string());
                        payload.set_header(LEFT_OUT_SPANS, left_out.spans.to_string());
                    }
                    endpoint.post(payload, limit).inspect(|answer| {
                        if answer.status() == 200 {
                            let version = answer.header(RATES_VERSION);
                            rates.learn(answer.body(), version, Instant::now());
                            stats.told(left_out);
                        }
                    })
                });
            if !more || Instant::now() >= pass.deadline {
                return again;
            }
        }
    }

    /// Encodes what waits, up to one full payload. Whether there may be more.
    fn encode(&mut self) -> bool {
        let mut filling = self.encoder.start(self.endpoint.protocol());
        let mut spans = 0;
        // Spans that are in the queue no more, and in no payload yet.
        let mut between = 0;
        let mut more = true;
        while more && !filling.is_full() && spans < SPANS_A_TURN {
            let Some(mut chunk) = self.shared.next_chunk() else {
                more = false;
                continue;
            };
            chunk.spans.prefetch();
            spans += chunk.spans.len();
            between += chunk.spans.len() as i64;
            self.account.pending(chunk.spans.len() as i64);
            if let Some(peer_service) = &self.peer_service {
                peer_service.set(&mut chunk.spans);
            }
            if let Some((reason, spans)) = self.stats.take(&self.encoder, &mut chunk) {
                between -= spans as i64;
                self.account.pending(-(spans as i64));
                self.account.drop_items(reason, spans);
            }
            if !chunk.spans.is_empty() {
                self.span_rules.hide(&mut chunk.spans);
                self.encoder.add(&mut filling, &mut chunk);
            }
            self.shared.pool.put(chunk.spans);
        }
        if let Some(payload) = self.encoder.close(filling, self.stats.are_on()) {
            self.traces_outbox.push(payload);
        }
        self.account.pending(-between);
        more
    }

    /// Posts the statistics that are complete, or all that there are if somebody waits for it.
    fn send_stats(&mut self, pass: &Pass) -> Option<Instant> {
        let all = pass.occasion != Occasion::Due;
        for payload in self.stats.flush(self.encoder.now(), all) {
            self.stats_account.accept(payload.items());
            self.stats_outbox.push(payload);
        }
        let endpoint = &self.endpoint;
        self.stats_outbox
            .deliver(pass, endpoint.limit(), |payload, limit| {
                endpoint.post_stats(payload, limit)
            })
    }
}

impl Signal for TraceSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        match pass.occasion {
            Occasion::Due => {
                self.refresh(self.endpoint.limit());
                self.look_around(Instant::now());
            }
            // A program that flushes all the time keeps the worker from being due.
            Occasion::Flush if self.looked_around.elapsed() >= PERIOD => {
                self.look_around(Instant::now());
            }
            Occasion::Shutdown => self.shared.waiting.close(),
            _ => {}
        }
        self.encoder.renew_clock();
        let traces = self.send_traces(pass);
        let stats = self.send_stats(pass);
        let again = traces.into_iter().chain(stats).min();
        // While somebody waits, what is buffered goes first.
        if pass.occasion == Occasion::Flush && again.is_none() {
            self.refresh(pass.deadline.saturating_duration_since(Instant::now()));
        }
        again
    }

    fn close(&mut self) {
        self.shared.close();
        self.traces_outbox.close();
        self.stats_outbox.close();
    }
}

//! The worker's half without an agent: takes what is owed, and posts it to the metrics intake.
//!
//! The bodies are those of the public API reference (datadog-api-client-rust: `.generator/schemas/v2/openapi.yaml`,
//! "Submit metrics", and `v1`, "Submit distribution points").

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use datadog_config::DDConfig;
use datadog_transport::{
    ContentEncoding, DropReason, IntakeClient, Occasion, Pass, Signal, TransportBuilder,
    TransportError,
};

use crate::bodies::Bodies;
use crate::context::{Context, Kind};
use crate::encode::{float, unix_seconds, write_float};
use crate::owed::Owed;
use crate::shared::Shared;

const SERIES_PATH: &str = "/api/v2/series";
const DISTRIBUTIONS_PATH: &str = "/api/v1/distribution_points";

/// The interval that the agent sums up, too.
const INTERVAL: u64 = 10;
const PERIOD: Duration = Duration::from_secs(INTERVAL);

/// The most tags that Datadog keeps of one metric.
const MAX_TAGS: usize = 100;

/// The intake takes points of the last hour, of which one minute is left for the way …
const OLDEST: u64 = 59 * 60;
/// … and of the next ten minutes.
const AHEAD: u64 = 9 * 60;

/// The client of the metrics intake; `None` if nothing says where it is.
pub(crate) fn intake(
    transport: &mut TransportBuilder,
) -> Result<Option<IntakeClient>, TransportError> {
    let config = transport.config().clone();
    let Some(url) = config.metrics_intake_url() else {
        log::warn!(
            target: "datadog",
            "metrics have no receiver and are dropped: set DD_API_KEY or DD_METRICS_URL, or unset DD_METRICS_AGENTLESS"
        );
        return Ok(None);
    };
    transport.intake(url).map(Some)
}

#[derive(Debug)]
pub(crate) struct AgentlessSink {
    shared: Arc<Shared>,
    /// `None` where there is nowhere to send to.
    intake: Option<IntakeClient>,
    host: String,
    due: Instant,
    seconds: Seconds,
    series: Bodies,
    distributions: Bodies,
}

impl AgentlessSink {
    pub(crate) fn new(
        config: &DDConfig,
        intake: Option<IntakeClient>,
        shared: Arc<Shared>,
    ) -> Self {
        let bodies = || Bodies::new(Arc::clone(&shared.account));
        Self {
            intake,
            host: config.hostname().unwrap_or_default().to_owned(),
            due: Instant::now() + PERIOD,
            seconds: Seconds::default(),
            series: bodies(),
            distributions: bodies(),
            shared,
        }
    }

    /// Packs what is owed, all of it with one time that no earlier point has.
    fn pack_owed(&mut self, occasion: Occasion) {
        let Some(at) = self.seconds.next(unix_seconds(SystemTime::now()), occasion) else {
            return;
        };
        let mut all = self.shared.owed().collect();
        merge(&mut all);
        for (context, owed) in all {
            self.pack(&context, &owed, at);
        }
        self.shared.registry.evict();
    }

    fn pack(&mut self, context: &Context, owed: &Owed, at: u64) {
        if let Some(reason) = self.obstacle(&context.tail) {
            return self.shared.give_up(reason, owed.items);
        }
        let name = context.head.trim_end_matches(':');
        let value = match context.kind {
            Kind::Count => owed.sum.to_string(),
            Kind::Gauge => float(context.last()),
            Kind::Set => owed.members.len().to_string(),
            Kind::Histogram | Kind::Distribution | Kind::Timing => {
                return self.pack_samples(name, &context.tail, owed, at);
            }
        };
        let interval = (context.kind == Kind::Count).then_some(INTERVAL);
        let entry = self.series_entry(name, &value, interval, &context.tail, at);
        self.shared.account.queued(-(owed.items as i64));
        self.series.push(&entry, owed.items);
    }

    fn pack_samples(&mut self, name: &str, tail: &str, owed: &Owed, at: u64) {
        let kept = owed.samples.values().len() as u64;
        self.shared
            .give_up(DropReason::Sampled, owed.items.saturating_sub(kept));
        let mut entry = format!(r#"{{"metric":"{name}","type":"distribution","points":[[{at},["#);
        for (at, value) in owed.samples.values().iter().enumerate() {
            if at > 0 {
                entry.push(',');
            }
            write_float(&mut entry, *value);
        }
        entry.push_str("]]]");
        push_tags(&mut entry, tail);
        if !self.host.is_empty() {
            entry.push_str(r#","host":"#);
            push_string(&mut entry, &self.host);
        }
        entry.push('}');
        let items = owed.items.min(kept);
        self.shared.account.queued(-(items as i64));
        self.distributions.push(&entry, items);
    }

    /// Packs the counts and gauges of a certain time. Events and service checks have no receiver.
    fn pack_lines(&mut self) {
        while let Some((line, items)) = self.shared.lines.pop() {
            let account = Arc::clone(&self.shared.account);
            let Some(point) = Point::read(&line) else {
                account.drop_items(DropReason::NoReceiver, items);
                continue;
            };
            let now = unix_seconds(SystemTime::now());
            let in_time = (now.saturating_sub(OLDEST)..=now + AHEAD).contains(&point.at);
            let reason = (!in_time).then_some(DropReason::Invalid);
            if let Some(reason) = self.obstacle(point.tail).or(reason) {
                account.drop_items(reason, items);
                continue;
            }
            let Point {
                name,
                value,
                tail,
                at,
                ..
            } = point;
            let entry = self.series_entry(name, value, point.is_count.then_some(1), tail, at);
            self.series.push(&entry, items);
        }
    }

    /// Why nothing with these tags can be sent, if so.
    fn obstacle(&self, tail: &str) -> Option<DropReason> {
        if self.intake.is_none() {
            return Some(DropReason::NoReceiver);
        }
        (tags(tail).count() > MAX_TAGS).then(|| {
            let message = format!("a metric has more than {MAX_TAGS} tags");
            self.shared.account.error(message);
            DropReason::Invalid
        })
    }

    /// One point: a count of `interval` seconds, else a gauge. The types are those of the API: 1 and 3.
    fn series_entry(
        &self,
        name: &str,
        value: &str,
        interval: Option<u64>,
        tail: &str,
        at: u64,
    ) -> String {
        let mut entry = format!(r#"{{"metric":"{name}","#);
        let _ = match interval {
            Some(interval) => write!(entry, r#""type":1,"interval":{interval}"#),
            None => write!(entry, r#""type":3"#),
        };
        let _ = write!(entry, r#","points":[{{"timestamp":{at},"value":{value}}}]"#);
        push_tags(&mut entry, tail);
        if !self.host.is_empty() {
            entry.push_str(r#","resources":[{"type":"host","name":"#);
            push_string(&mut entry, &self.host);
            entry.push_str("}]");
        }
        entry.push('}');
        entry
    }

    fn deliver(&mut self, pass: &Pass) -> Option<Instant> {
        let intake = self.intake.as_ref()?;
        let limit = intake.limit();
        let series = self.series.deliver(pass, limit, |payload, limit| {
            intake.post_compressed(SERIES_PATH, payload, ContentEncoding::Gzip, limit)
        });
        // This path takes no gzip.
        let distributions = self.distributions.deliver(pass, limit, |payload, limit| {
            intake.post_compressed(DISTRIBUTIONS_PATH, payload, ContentEncoding::Deflate, limit)
        });
        series.into_iter().chain(distributions).min()
    }
}

impl Signal for AgentlessSink {
    fn period(&self) -> Duration {
        PERIOD
    }

    fn run(&mut self, pass: &Pass) -> Option<Instant> {
        let now = Instant::now();
        if pass.occasion != Occasion::Due || now >= self.due {
            self.pack_owed(pass.occasion);
        }
        if now >= self.due {
            self.due = now + PERIOD;
        }
        self.pack_lines();
        let again = self.deliver(pass);
        // A retry must not put off the end of the period.
        Some(again.map_or(self.due, |again| again.min(self.due)))
    }

    fn close(&mut self) {
        self.shared.close();
        self.shared.count();
        self.series.close();
        self.distributions.close();
    }
}

/// The times of points. Datadog keeps only the last one of a series' points of the same second, so none is given twice.
#[derive(Debug, Default)]
struct Seconds {
    last: u64,
}

impl Seconds {
    /// The start of the interval, or the present second where somebody asked for a flush; later if an earlier point has
    /// that. `None` if the intake would find it too far ahead, after a great many flushes.
    fn next(&mut self, now: u64, occasion: Occasion) -> Option<u64> {
        if self.last > now + AHEAD {
            // The clock was set back.
            self.last = 0;
        }
        let wanted = match occasion {
            Occasion::Due => now - now % INTERVAL,
            _ => now,
        };
        let next = wanted.max(self.last + 1);
        (next <= now + AHEAD).then(|| {
            self.last = next;
            next
        })
    }
}

/// A count or gauge of a certain time.
struct Point<'a> {
    name: &'a str,
    value: &'a str,
    is_count: bool,
    tail: &'a str,
    at: u64,
}

impl<'a> Point<'a> {
    /// Reads what [`line_at`](crate::encode::line_at) wrote; `None` for an event or a service check.
    fn read(line: &'a str) -> Option<Self> {
        if line.starts_with('_') {
            return None;
        }
        let (rest, at) = line.trim_end().rsplit_once("|T")?;
        let (name, rest) = rest.split_once(':')?;
        let (value, rest) = rest.split_once('|')?;
        let (code, tail) = rest.split_at_checked(1)?;
        Some(Self {
            name,
            value,
            is_count: code == Kind::Count.code(),
            tail,
            at: at.parse().ok()?,
        })
    }
}

/// Makes one of the contexts that are one series: one that was retired, and the one in its place.
fn merge(all: &mut Vec<(Arc<Context>, Owed)>) {
    all.sort_by(|(one, _), (other, _)| key(one).cmp(&key(other)));
    all.dedup_by(|(next, owed), (first, sum)| {
        // Points of distributions add up.
        let is_same = key(next) == key(first) && !first.kind.has_samples();
        if is_same {
            sum.absorb(std::mem::take(owed));
        }
        is_same
    });
}

/// What tells series apart.
fn key(context: &Context) -> (&str, &str, &str) {
    (&context.head, &context.tail, context.kind.code())
}

/// The tags in a line from the tags on.
fn tags(tail: &str) -> impl Iterator<Item = &str> {
    let tags = tail.strip_prefix("|#").unwrap_or_default();
    let end = tags.find(['|', '\n']).unwrap_or(tags.len());
    tags[..end].split(',').filter(|tag| !tag.is_empty())
}

fn push_tags(entry: &mut String, tail: &str) {
    entry.push_str(r#","tags":["#);
    for (at, tag) in tags(tail).enumerate() {
        if at > 0 {
            entry.push(',');
        }
        push_string(entry, tag);
    }
    entry.push(']');
}

/// Writes a string of JSON.
fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            _ if char.is_control() => {
                let _ = write!(json, "\\u{:04x}", u32::from(char));
            }
            _ => json.push(char),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use datadog_transport::Birthplace;

    use super::*;
    use crate::context::{Home, Value};
    use crate::rate::Rate;
    use crate::samples::Budget;

    #[test]
    fn contexts_of_one_series_make_one_point() {
        let home = Home {
            account: Arc::default(),
            budget: Budget::new(1000),
            birthplace: Birthplace::here(),
        };
        let owed = |head, kind, value| {
            let context = Arc::new(Context::new(kind, Rate::ALL, head, "\n", &home));
            context.write_direct(value);
            let owed = context.take().1.unwrap();
            (context, owed)
        };
        let mut all = vec![
            owed("a:", Kind::Count, Value::Count(1)),
            owed("b:", Kind::Count, Value::Count(2)),
            owed("d:", Kind::Distribution, Value::Sample(1.0)),
            owed("a:", Kind::Count, Value::Count(4)),
            owed("d:", Kind::Distribution, Value::Sample(1.0)),
        ];
        merge(&mut all);
        let sums: Vec<_> = all
            .iter()
            .map(|(context, owed)| (&*context.head, owed.sum, owed.items))
            .collect();
        assert_eq!(
            sums,
            [("a:", 5, 2), ("b:", 2, 1), ("d:", 0, 1), ("d:", 0, 1)]
        );
    }

    #[test]
    fn no_second_is_given_twice() {
        let mut seconds = Seconds::default();
        let mut next = |now, occasion| seconds.next(now, occasion);
        assert_eq!(next(1009, Occasion::Due), Some(1000));
        assert_eq!(next(1012, Occasion::Flush), Some(1012));
        assert_eq!(next(1012, Occasion::Flush), Some(1013));
        assert_eq!(next(1019, Occasion::Due), Some(1014));
        assert_eq!(next(1029, Occasion::Due), Some(1020));
    }

    #[test]
    fn no_second_is_too_far_ahead() {
        let mut seconds = Seconds::default();
        let given = (0..2000).map_while(|_| seconds.next(5000, Occasion::Flush));
        assert_eq!(given.last(), Some(5000 + AHEAD));
        assert_eq!(seconds.next(5000, Occasion::Flush), None);
        assert_eq!(seconds.next(5001, Occasion::Flush), Some(5001 + AHEAD));
        assert_eq!(seconds.next(4000, Occasion::Flush), Some(4000), "set back");
    }

    #[test]
    fn strings_of_json() {
        let mut json = String::new();
        push_string(&mut json, "a\"b\\c\nd\u{9b}é");
        assert_eq!(json, r#""a\"b\\c\u000ad\u009bé""#);
    }
}

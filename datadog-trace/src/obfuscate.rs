//! Takes out of resources and tags what they must not tell, such as the values in a query, by the rules of the agent:
//! what is counted under a resource has to be the same whoever counts (datadog-agent: `pkg/obfuscate`).

mod card;
mod redis;
mod sql;
mod url;

use std::borrow::Cow;

use datadog_transport::{AgentInfo, CreditCards, Obfuscation};

use crate::batch::Batch;
use crate::event::EventValue;

/// The version of the agent's rules (datadog-agent: `pkg/obfuscate/obfuscate.go`).
pub(crate) const VERSION: u64 = 1;

/// A statement in SQL or CQL with `?` for each value and each list of values, without comments and aliases, as the agent
/// shows it (datadog-agent: `pkg/obfuscate/sql.go`). One that can't be read becomes `Non-parsable SQL query`.
pub fn obfuscate_sql(statement: &str) -> String {
    sql::obfuscate(statement)
}

/// The names of Redis commands, one of which is in each line with its arguments, without these: of `get user:7`, `GET`
/// (datadog-agent: `pkg/obfuscate/redis.go`). More than three are cut.
pub fn quantize_redis(commands: &str) -> String {
    redis::quantize(commands)
}

/// Agents with one of these flags obfuscate statements in other ways, which is left to them
/// (dd-trace-go: `ddtrace/tracer/tracer.go`).
const OTHER_WAYS: [&str; 4] = [
    "quantize_sql_tables",
    "replace_sql_digits",
    "keep_sql_alias",
    "dollar_quoted_func",
];

/// The tag to which the agent copies the resource of a statement (datadog-agent: `pkg/trace/agent/obfuscate.go`).
const SQL_QUERY: &str = "sql.query";

/// Whether an agent wants the resources of these rules.
pub(crate) fn is_wanted(info: &AgentInfo) -> bool {
    let mut flags = info.feature_flags.iter();
    (1..=VERSION).contains(&info.obfuscation_version)
        && !flags.any(|flag| OTHER_WAYS.contains(&&**flag))
}

/// The resource of a span of this type as statistics have it; `None` if that is the same
/// (dd-trace-go: `ddtrace/tracer/tracer.go`, obfuscatedResource).
pub(crate) fn resource(span_type: &str, resource: &str) -> Option<String> {
    match span_type {
        "sql" | "cassandra" => Some(sql::obfuscate(resource)),
        "redis" | "valkey" => Some(redis::quantize(resource)),
        _ => None,
    }
}

/// The resource of a span of this type as it is sent: of which the agent, who hides what is hidden already once more, makes
/// what statistics have.
fn sent_resource(span_type: &str, resource: &str) -> Option<String> {
    match span_type {
        "sql" | "cassandra" => Some(sql::without_values(resource)),
        "redis" | "valkey" => Some(redis::without_arguments(resource)),
        _ => None,
    }
}

/// What spans must not tell: what the agent would hide anyway, as far as its `/info` says so. So it does not even leave
/// the process (datadog-agent: `pkg/trace/agent/obfuscate.go`). The official clients leave the spans themselves to the agent.
#[derive(Debug, Default)]
pub(crate) struct SpanRules {
    /// Whether to hide the values of statements and the arguments of commands.
    resources: bool,
    tags: Option<Obfuscation>,
}

impl SpanRules {
    /// Takes up what the agent says of itself. Older ones don't say which numbers of cards are to be kept.
    pub(crate) fn learn(&mut self, info: &AgentInfo) {
        self.resources = is_wanted(info);
        let says = info.obfuscation_version >= VERSION;
        self.tags = info.obfuscation.clone().filter(|_| says);
    }

    /// Hides it in spans that are about to be sent.
    pub(crate) fn hide(&self, spans: &mut Batch) {
        if self.resources {
            spans.change_resources(sent_resource);
            spans.change_texts(|span_type, key, text| {
                let is_statement = key == SQL_QUERY && matches!(span_type, "sql" | "cassandra");
                is_statement.then(|| Cow::Owned(sql::without_values(text)))
            });
        }
        let Some(rules) = &self.tags else { return };
        spans.change_texts(|span_type, key, text| {
            if key == "http.url" && matches!(span_type, "web" | "http") {
                let (query, digits) = (rules.remove_query_string, rules.remove_path_digits);
                return url::obfuscate(text, query, digits).map(Cow::Owned);
            }
            let cards = rules.credit_cards.as_ref()?;
            is_card(cards, key, text).then_some(Cow::Borrowed(card::HIDDEN))
        });
        let Some(cards) = &rules.credit_cards else {
            return;
        };
        let events = spans.extras_mut().flat_map(|extras| &mut extras.events);
        for (key, value) in events.flat_map(|event| &mut event.attributes) {
            hide_card(cards, key, value);
        }
    }
}

fn is_card(rules: &CreditCards, key: &str, text: &str) -> bool {
    card::is_number(text, rules.luhn)
        && !card::is_kept(key)
        && !rules.keep_values.iter().any(|kept| kept == key)
}

fn hide_card(rules: &CreditCards, key: &str, value: &mut EventValue) {
    let is_card = match value {
        EventValue::Text(text) => is_card(rules, key, text),
        EventValue::Int(number) => is_card(rules, key, &number.to_string()),
        EventValue::Double(number) => is_card(rules, key, &number.to_string()),
        EventValue::Bool(_) => false,
        EventValue::List(values) => {
            values
                .iter_mut()
                .for_each(|value| hide_card(rules, key, value));
            false
        }
    };
    if is_card {
        *value = EventValue::Text(Cow::Borrowed(card::HIDDEN));
    }
}

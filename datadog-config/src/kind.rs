//! The kinds of values an option can have: how a text is read, and what is expected of it.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::choice::{
    Cardinality, ExtractBehavior, LogLevel, ProfilingEnabled, PropagationStyle, TraceProtocol,
};
use crate::endpoint::{self, AgentUrl, DogStatsDUrl, IntakeUrl};
use crate::error::Invalid;
use crate::logs_output::LogsOutput;
use crate::sampling::{self, SamplingRule, SpanSamplingRule};
use crate::scrub::{self, ScrubRule};
use crate::secret::ApiKey;
use crate::{logs_level, site, tags};

/// One kind of value. The type's `Default` is the value of an option that nobody set and that has no default of its own.
pub(crate) trait Kind {
    type Value: Clone + Default;
    /// Completes the sentence "expected …".
    const EXPECTS: &'static str;
    /// Whether the text must not be shown.
    const SENSITIVE: bool = false;

    fn read(text: &str) -> Reading<Self::Value>;
}

/// What came of reading a text.
#[derive(Debug)]
pub(crate) struct Reading<T> {
    /// The value, unless the text is of no use at all.
    pub(crate) value: Option<T>,
    /// What is wrong with the text, or with parts of it.
    pub(crate) errors: Vec<String>,
    /// What is accepted, yet probably not what was meant.
    pub(crate) remark: Option<String>,
    /// How the value is written, if the text wrote it otherwise.
    pub(crate) written: Option<String>,
}

impl<T> Reading<T> {
    fn new(value: Option<T>, errors: Vec<String>) -> Self {
        Self {
            value,
            errors,
            remark: None,
            written: None,
        }
    }

    pub(crate) fn bad(error: String) -> Self {
        Self::new(None, vec![error])
    }
}

/// Either the value, or not what the kind `K` expects.
fn reading<K: Kind>(value: Option<K::Value>) -> Reading<K::Value> {
    match value {
        Some(value) => Reading::new(Some(value), Vec::new()),
        None => Reading::bad(Invalid::expected(K::EXPECTS).to_string()),
    }
}

macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident -> $value:ty, $expects:expr, $read:expr; )+) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) enum $kind {}

        impl Kind for $kind {
            type Value = $value;
            const EXPECTS: &'static str = $expects;

            fn read(text: &str) -> Reading<$value> {
                let read: fn(&str) -> Option<$value> = $read;
                reading::<Self>(read(text))
            }
        }
    )+ };
}

kinds! {
    /// On or off.
    Flag -> bool, "true or false (or 1, yes, on, 0, no, off)", flag;
    /// Any text that is not blank.
    Text -> Option<String>, "a text that is not empty", |text| Some(Some(filled(text)?.to_owned()));
    /// A list of names.
    List -> Vec<String>, "names with commas between them", |text| Some(list(text).map(str::to_owned).collect());
    /// Tags in the form of `DD_TAGS`.
    Tags -> Vec<(String, String)>, "key:value pairs with commas, or spaces, between them", |text| Some(tags::parse(text));
    /// What is switched on and off.
    Switches -> Vec<(String, bool)>, "name:bool pairs with commas between them, such as redis:false,sqlx:true", switches;
    /// Statuses of HTTP answers.
    Statuses -> Vec<RangeInclusive<u16>>, "statuses and ranges of them with commas between, such as 404,500-599", statuses;
    /// A regular expression, or an empty text for none.
    Pattern -> Option<String>, "a regular expression, or nothing", |text| Some(Some(text.to_owned()));
    /// A port.
    Port -> Option<u16>, "a port from 1 to 65535", |text| endpoint::parse_port(text.trim()).map(Some);
    /// A host name or address.
    Host -> Option<String>, "a host name, an IPv4 or an IPv6 address",
        |text| Some(Some(endpoint::parse_host(text.trim())?.to_owned()));
    /// The part of something that is kept.
    Rate -> Option<f64>, sampling::RATE, |text| sampling::parse_rate(text).map(Some);
    /// How many a second, without a limit above.
    PerSecond -> f64, "a number that is 0 or more", per_second;
    /// A count of things.
    Count -> usize, "a whole number from 1 up", |text| number(text).filter(|count| *count > 0);
    /// The length of the `x-datadog-tags` header: 512 at most (`dd-trace-go: internal/config`).
    TagsLength -> usize, "a whole number from 0 to 512", |text| number(text).filter(|length| *length <= 512);
    /// A time span.
    Seconds -> Duration, "seconds above 0 and up to a day, such as 10, 0.5 or 500ms", seconds;
    /// The interval of remote configuration, at most 5 seconds (`dd-trace-rs: supported-configurations.json`).
    PollSeconds -> Duration, "seconds above 0 and up to 5",
        |text| seconds(text).filter(|time| *time <= Duration::from_secs(5));
    /// The Agent's address for traces.
    TraceUrl -> Option<AgentUrl>, AgentUrl::EXPECTS, from_str;
    /// The Agent's address for metrics.
    StatsUrl -> Option<DogStatsDUrl>, DogStatsDUrl::EXPECTS, from_str;
    /// An address of an intake.
    Intake -> Option<IntakeUrl>, IntakeUrl::EXPECTS, from_str;
    /// Where logs go.
    Output -> LogsOutput, LogsOutput::EXPECTS, |text| text.parse().ok();
    /// The part of the logs of each level that is kept.
    LevelRates -> Vec<(String, f64)>, logs_level::EXPECTS_RATES, |text| logs_level::parse(text, 1.0);
    /// How many logs of each level are taken a second.
    LevelLimits -> Vec<(String, f64)>, logs_level::EXPECTS_LIMITS, |text| logs_level::parse(text, f64::MAX);
    /// How much detail origin detection may add.
    CardinalityName -> Option<Cardinality>, Cardinality::EXPECTS, from_str;
    /// What to do with the context of a caller.
    Behavior -> ExtractBehavior, ExtractBehavior::EXPECTS, |text| text.trim().parse().ok();
    /// In which format traces are sent.
    Protocol -> TraceProtocol, TraceProtocol::EXPECTS, |text| text.trim().parse().ok();
    /// When to profile.
    Profiling -> ProfilingEnabled, ProfilingEnabled::EXPECTS, |text| text.trim().parse().ok();
    /// How much the client says about itself.
    Level -> LogLevel, LogLevel::EXPECTS, |text| text.trim().parse().ok();
    /// Header formats.
    Styles -> Option<Vec<PropagationStyle>>, PropagationStyle::EXPECTS,
        |text| Some(Some(list(text).map(|name| name.parse().ok()).collect::<Option<_>>()?));
}

/// A key of Datadog's API.
#[derive(Debug)]
pub(crate) enum Secret {}

impl Kind for Secret {
    type Value = Option<ApiKey>;
    const EXPECTS: &'static str = "an API key: 32 lower-case letters and digits";
    const SENSITIVE: bool = true;

    fn read(text: &str) -> Reading<Self::Value> {
        let key = ApiKey::new(text.trim());
        // What can't stand in a header can't be a key at all.
        if key.expose().is_empty() || !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return reading::<Self>(None);
        }
        let remark =
            (!key.looks_valid()).then(|| format!("expected {}; used as given", Self::EXPECTS));
        Reading {
            remark,
            ..reading::<Self>(Some(Some(key)))
        }
    }
}

/// A site of Datadog.
#[derive(Debug)]
pub(crate) enum Site {}

impl Kind for Site {
    type Value = String;
    const EXPECTS: &'static str = site::EXPECTS;

    fn read(text: &str) -> Reading<String> {
        match site::parse(text) {
            Some((site, remark)) => Reading {
                remark,
                written: Some(site.clone()),
                ..reading::<Self>(Some(site))
            },
            None => reading::<Self>(None),
        }
    }
}

/// Rules that choose traces.
#[derive(Debug)]
pub(crate) enum TraceRules {}

impl Kind for TraceRules {
    type Value = Vec<SamplingRule>;
    const EXPECTS: &'static str = sampling::RULES;

    fn read(text: &str) -> Reading<Self::Value> {
        let (value, errors) = sampling::parse_rules(text, SamplingRule::from_json, Self::EXPECTS);
        Reading::new(value, errors)
    }
}

/// Rules that choose single spans.
#[derive(Debug)]
pub(crate) enum SpanRules {}

impl Kind for SpanRules {
    type Value = Vec<SpanSamplingRule>;
    const EXPECTS: &'static str = sampling::SPAN_RULES;

    fn read(text: &str) -> Reading<Self::Value> {
        let (value, errors) =
            sampling::parse_rules(text, SpanSamplingRule::from_json, Self::EXPECTS);
        Reading::new(value, errors)
    }
}

/// Rules that replace parts of texts.
#[derive(Debug)]
pub(crate) enum ScrubRules {}

impl Kind for ScrubRules {
    type Value = Vec<ScrubRule>;
    const EXPECTS: &'static str = scrub::RULES;

    fn read(text: &str) -> Reading<Self::Value> {
        let (value, errors) = sampling::parse_rules(text, ScrubRule::from_json, Self::EXPECTS);
        Reading::new(value, errors)
    }
}

/// The words of Go's `strconv.ParseBool` and of libdatadog, and the usual ones beside them.
pub(crate) fn flag(text: &str) -> Option<bool> {
    let text = text.trim();
    let is_one_of = |words: [&str; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "1", "yes", "on", "t", "y"]) {
        Some(true)
    } else if is_one_of(["false", "0", "no", "off", "f", "n"]) {
        Some(false)
    } else {
        None
    }
}

fn filled(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter_map(filled)
}

fn switches(text: &str) -> Option<Vec<(String, bool)>> {
    let switch = |item: &str| {
        let (name, on) = item.rsplit_once(':')?;
        Some((filled(name)?.to_owned(), flag(on)?))
    };
    list(text).map(switch).collect()
}

fn number(text: &str) -> Option<usize> {
    let text = text.trim();
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn per_second(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Longer is a mistake, and might be more than a clock can add.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn statuses(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list(text).map(range).collect()
}

/// Seconds. Some of Datadog's libraries write their unit, `10s` or `500ms`.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit)
        .ok()
        .filter(|time| !time.is_zero() && *time <= DAY)
}

fn from_str<T: FromStr>(text: &str) -> Option<Option<T>> {
    text.parse().ok().map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::option::{Id, option_table};

    #[test]
    fn flags() {
        for text in ["true", "True", "1", "yes", "ON", "t", " y "] {
            assert_eq!(flag(text), Some(true), "{text}");
        }
        for text in ["false", "FALSE", "0", "no", "off", "F", "n"] {
            assert_eq!(flag(text), Some(false), "{text}");
        }
        for text in ["", "2", "truee", "enabled", "-1"] {
            assert_eq!(flag(text), None, "{text}");
        }
    }

    #[test]
    fn time_spans() {
        for text in [" 0.5 ", "500ms", "0.5s", "5e-1"] {
            assert_eq!(seconds(text), Some(Duration::from_millis(500)), "{text}");
        }
        for text in [
            "", "0", "-1", "NaN", "inf", "1e300", "1e-300", "10m", "s", "ms", "0ms",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_of_another_form_is_used_with_a_remark() {
        let reading = Secret::read("short");
        assert_eq!(reading.value.flatten().unwrap().expose(), "short");
        assert!(reading.remark.unwrap().contains("used as given"));
        for text in ["", " ", "a b", "a\nb", "schlüssel"] {
            assert!(Secret::read(text).value.is_none(), "{text}");
        }
    }

    macro_rules! defaults {
        ($( $section:ident { $(
            $(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal $(| $alias:literal)*, $signal:ident
            $(, default $default:literal)? $(, otel $($otel:literal)+)?;
        )+ } )+) => {
            #[test]
            fn defaults_are_values() {
                $($( $( assert!($kind::read($default).value.is_some(), "{}: {}", $name, $default); )? )+)+
            }

            fn read_as_everything(text: &str) {
                $($( let _ = ($kind::read(text), Id::$field); )+)+
            }
        };
    }

    option_table!(defaults);

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), number in "[-+]?[0-9.eE]{0,24}(s|ms)?") {
            read_as_everything(&text);
            read_as_everything(&number);
        }
    }
}

//! OpenTelemetry's variables, in terms of our options.
//!
//! After `dd-trace-go: internal/config/provider/otelenvconfigsource.go` and OpenTelemetry's specification ("Environment variable
//! specification"). The layer lies below the `DD_*` variables, so a set one always wins.

use crate::environment::Environment;
use crate::error::Problem;
use crate::layer::Values;
use crate::option::Id;
use crate::origin::Origin;
use crate::tags;

/// What the `OTEL_*` variables say about our options, and what of it can't be followed.
#[derive(Debug, Default)]
pub(crate) struct Translation {
    pub(crate) values: Values,
    pub(crate) problems: Vec<Problem>,
}

pub(crate) fn translate(environment: &Environment) -> Translation {
    let mut translation = Translation::default();
    // An empty variable counts as not set, says the specification.
    let given = |name: &str| {
        environment
            .get(name)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    if let Some(attributes) = given(RESOURCE) {
        translation.resource(attributes);
    }
    if let Some(service) = given(SERVICE) {
        translation.set(Id::service, service.to_owned(), SERVICE);
    }
    if let Some(sampler) = given(SAMPLER) {
        translation.sampler(sampler, given(SAMPLER_ARG));
    }
    if let Some(propagators) = given(PROPAGATORS) {
        translation.propagators(propagators);
    }
    if let Some(exporter) = given(TRACES_EXPORTER) {
        translation.word(
            Id::tracing_enabled,
            TRACES_EXPORTER,
            exporter,
            &[("none", "false"), ("otlp", "true")],
        );
    }
    if let Some(exporter) =
        given(METRICS_EXPORTER).filter(|exporter| !exporter.eq_ignore_ascii_case("otlp"))
    {
        translation.word(
            Id::runtime_metrics_enabled,
            METRICS_EXPORTER,
            exporter,
            &[("none", "false")],
        );
    }
    if let Some(level) = given(LOG_LEVEL) {
        translation.word(Id::debug, LOG_LEVEL, level, &[("debug", "true")]);
    }
    translation
}

const SERVICE: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";
const TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const METRICS_EXPORTER: &str = "OTEL_METRICS_EXPORTER";
const LOG_LEVEL: &str = "OTEL_LOG_LEVEL";

/// How many resource attributes become tags; those that name the service don't count.
const MOST_ATTRIBUTES: usize = 10;

impl Translation {
    fn set(&mut self, id: Id, text: String, variable: &str) {
        self.values.insert(id.info().name, text, variable);
    }

    fn refuse(&mut self, id: Id, variable: &str, given: &str, message: &str) {
        self.problems.push(Problem::refused(
            id.info(),
            variable,
            given,
            Origin::OtelEnv,
            message,
        ));
    }

    fn remark(&mut self, id: Id, variable: &str, given: &str, message: &str) {
        self.problems.push(Problem::remark(
            id.info(),
            variable,
            given,
            Origin::OtelEnv,
            message,
        ));
    }

    /// One of a few words; all others are refused.
    fn word(&mut self, id: Id, variable: &str, given: &str, words: &[(&str, &str)]) {
        match words
            .iter()
            .find(|(word, _)| given.eq_ignore_ascii_case(word))
        {
            Some((_, meaning)) => self.set(id, (*meaning).to_owned(), variable),
            None => {
                let expected: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                self.refuse(
                    id,
                    variable,
                    given,
                    &format!("expected {}; not used", expected.join(" or ")),
                );
            }
        }
    }

    /// `key=value` pairs: the identity, and tags.
    fn resource(&mut self, attributes: &str) {
        let mut others = Vec::new();
        for (key, value) in attributes
            .split(',')
            .filter_map(|pair| pair.split_once('='))
        {
            let (key, value) = (percent_decoded(key.trim()), percent_decoded(value.trim()));
            match key.as_str() {
                "" => {}
                "service.name" => self.set(Id::service, value, RESOURCE),
                "deployment.environment" | "deployment.environment.name" => {
                    self.set(Id::env, value, RESOURCE)
                }
                "service.version" => self.set(Id::version, value, RESOURCE),
                _ => others.push((key, value)),
            }
        }
        if others.len() > MOST_ATTRIBUTES {
            let message = format!("only the first {MOST_ATTRIBUTES} attributes become tags");
            self.remark(Id::tags, RESOURCE, attributes, &message);
            others.truncate(MOST_ATTRIBUTES);
        }
        if !others.is_empty() {
            self.set(Id::tags, tags::print(others), RESOURCE);
        }
    }

    /// Datadog's sampling always follows the parent, so the samplers that don't are read as those that do.
    fn sampler(&mut self, sampler: &str, argument: Option<&str>) {
        let name = sampler.to_ascii_lowercase();
        let by_parent = name.strip_prefix("parentbased_");
        let rate = match by_parent.unwrap_or(&name) {
            "always_on" => "1",
            "always_off" => "0",
            "traceidratio" => argument.unwrap_or("1"),
            _ => {
                let expected =
                    "parentbased_always_on, parentbased_always_off or parentbased_traceidratio";
                return self.refuse(
                    Id::tracing_sample_rate,
                    SAMPLER,
                    sampler,
                    &format!("expected {expected}; not used"),
                );
            }
        };
        if by_parent.is_none() {
            self.remark(
                Id::tracing_sample_rate,
                SAMPLER,
                sampler,
                &format!("read as parentbased_{name}"),
            );
        }
        let variable = if name.ends_with("traceidratio") && argument.is_some() {
            SAMPLER_ARG
        } else {
            SAMPLER
        };
        self.set(Id::tracing_sample_rate, rate.to_owned(), variable);
    }

    /// The names of formats, most of which are ours too.
    fn propagators(&mut self, given: &str) {
        let mut known = Vec::new();
        for name in given
            .split(',')
            .map(|name| name.trim().to_ascii_lowercase())
            .filter(|name| !name.is_empty())
        {
            match name.as_str() {
                "tracecontext" | "baggage" | "b3" | "b3multi" | "datadog" | "none" => {
                    known.push(name)
                }
                _ => self.refuse(
                    Id::propagation_style,
                    PROPAGATORS,
                    given,
                    &format!("{name} is not supported; left out"),
                ),
            }
        }
        if !known.is_empty() {
            self.set(Id::propagation_style, known.join(","), PROPAGATORS);
        }
    }
}

/// Attributes are written like W3C baggage, with `%2C` for a comma. What is no such sequence stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| {
            after
                .get(at)
                .and_then(|byte| char::from(*byte).to_digit(16))
        };
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use config::Source;

    use super::*;

    /// The translated options, and the lines of the problems.
    fn translated(variables: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
        let translation = translate(&Environment::new(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        ));
        let values = translation.values.collect().unwrap();
        let mut values: Vec<_> = values
            .into_iter()
            .map(|(name, value)| (name, value.into_string().unwrap()))
            .collect();
        values.sort();
        (
            values,
            translation
                .problems
                .iter()
                .map(ToString::to_string)
                .collect(),
        )
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &[(&str, &str)], lines: &[&str]) {
        let (values, problems) = translated(variables);
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(values, expected);
        assert_eq!(problems, lines);
    }

    #[test]
    fn resource_attributes() {
        let attributes = "service.name=mail, service.version=1,deployment.environment=prod,region=eu%2C%20west,x,=y,a=b:c";
        check(
            &[(RESOURCE, attributes)],
            &[
                ("DD_ENV", "prod"),
                ("DD_SERVICE", "mail"),
                ("DD_TAGS", "region:eu_ west,a:b:c,"),
                ("DD_VERSION", "1"),
            ],
            &[],
        );
        check(
            &[(RESOURCE, attributes), (SERVICE, "web")][1..],
            &[("DD_SERVICE", "web")],
            &[],
        );
        let (values, _) = translated(&[(RESOURCE, attributes), (SERVICE, "web")]);
        assert!(values.contains(&("DD_SERVICE".to_owned(), "web".to_owned())));
    }

    #[test]
    fn ten_attributes_at_most() {
        let attributes: Vec<_> = (0..12)
            .map(|index| format!("k{index}=v"))
            .chain(["service.name=mail".to_owned()])
            .collect();
        let (values, problems) = translated(&[(RESOURCE, &attributes.join(","))]);
        assert_eq!(values[0], ("DD_SERVICE".to_owned(), "mail".to_owned()));
        assert_eq!(tags::parse(&values[1].1).len(), MOST_ATTRIBUTES);
        assert!(
            problems[0].ends_with("only the first 10 attributes become tags"),
            "{problems:?}"
        );
    }

    #[test]
    fn samplers() {
        check(
            &[(SAMPLER, "parentbased_always_on")],
            &[("DD_TRACE_SAMPLE_RATE", "1")],
            &[],
        );
        check(
            &[(SAMPLER, "ParentBased_Always_Off")],
            &[("DD_TRACE_SAMPLE_RATE", "0")],
            &[],
        );
        let ratio = (SAMPLER, "parentbased_traceidratio");
        check(&[ratio], &[("DD_TRACE_SAMPLE_RATE", "1")], &[]);
        check(
            &[ratio, (SAMPLER_ARG, "0.25")],
            &[("DD_TRACE_SAMPLE_RATE", "0.25")],
            &[],
        );
        check(
            &[(SAMPLER, "always_on")],
            &[("DD_TRACE_SAMPLE_RATE", "1")],
            &["OTEL_TRACES_SAMPLER=always_on (otel env): read as parentbased_always_on"],
        );
        check(
            &[(SAMPLER, "jaeger_remote")],
            &[],
            &[
                "OTEL_TRACES_SAMPLER=jaeger_remote (otel env): expected parentbased_always_on, parentbased_always_off or parentbased_traceidratio; not used",
            ],
        );
    }

    #[test]
    fn propagators() {
        check(
            &[(PROPAGATORS, "tracecontext, B3,b3multi")],
            &[("DD_TRACE_PROPAGATION_STYLE", "tracecontext,b3,b3multi")],
            &[],
        );
        check(
            &[(PROPAGATORS, "xray,baggage")],
            &[("DD_TRACE_PROPAGATION_STYLE", "baggage")],
            &["OTEL_PROPAGATORS=xray,baggage (otel env): xray is not supported; left out"],
        );
        let (values, _) = translated(&[(PROPAGATORS, "xray")]);
        assert!(values.is_empty());
    }

    #[test]
    fn switches() {
        check(
            &[(TRACES_EXPORTER, "none")],
            &[("DD_TRACE_ENABLED", "false")],
            &[],
        );
        check(
            &[(TRACES_EXPORTER, "otlp")],
            &[("DD_TRACE_ENABLED", "true")],
            &[],
        );
        check(
            &[(METRICS_EXPORTER, "none")],
            &[("DD_RUNTIME_METRICS_ENABLED", "false")],
            &[],
        );
        check(&[(METRICS_EXPORTER, "otlp")], &[], &[]);
        check(&[(LOG_LEVEL, "Debug")], &[("DD_TRACE_DEBUG", "true")], &[]);
        check(
            &[(TRACES_EXPORTER, "zipkin")],
            &[],
            &["OTEL_TRACES_EXPORTER=zipkin (otel env): expected none or otlp; not used"],
        );
        check(
            &[(LOG_LEVEL, "info")],
            &[],
            &["OTEL_LOG_LEVEL=info (otel env): expected debug; not used"],
        );
    }

    #[test]
    fn an_empty_variable_is_none() {
        check(
            &[
                (SERVICE, ""),
                (SAMPLER, " "),
                (PROPAGATORS, ""),
                (TRACES_EXPORTER, ""),
            ],
            &[],
            &[],
        );
    }

    /// The table names the variables for the reference page; they are those that are read here.
    #[test]
    fn the_table_names_every_variable() {
        let mut named: Vec<_> = crate::options()
            .iter()
            .flat_map(|option| option.otel)
            .copied()
            .collect();
        named.sort_unstable();
        named.dedup();
        let mut read = [
            SERVICE,
            RESOURCE,
            SAMPLER,
            SAMPLER_ARG,
            PROPAGATORS,
            TRACES_EXPORTER,
            METRICS_EXPORTER,
            LOG_LEVEL,
        ];
        read.sort_unstable();
        assert_eq!(named, read);
    }

    #[test]
    fn sequences_of_bytes() {
        for (text, decoded) in [
            ("a%20b", "a b"),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz%41", "%zzA"),
            ("%C3%A4", "ä"),
            ("%ff", "\u{FFFD}"),
        ] {
            assert_eq!(percent_decoded(text), decoded, "{text}");
        }
    }
}

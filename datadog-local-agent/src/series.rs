//! The metrics intake: `POST /api/v2/series` and `POST /api/v1/distribution_points`, both as JSON.
//!
//! Rules from the public API reference (`datadog-api-client-rust: .generator/schemas/v2/openapi.yaml` and `v1`). The
//! intake takes points outside its time window and drops them; here they are refused, as are names and tags that it
//! would change.

use std::time::{SystemTime, UNIX_EPOCH};

use rmpv::Value;

use crate::dogstatsd::{check_name, check_tag};
use crate::intake;
use crate::metric::{Metric, MetricKind, Origin, Via};
use crate::request::{Refused, Request};
use crate::value::{self, Fields};

/// Most bytes of a series request as sent.
pub(crate) const MAX_SERIES_SENT: usize = 512_000;
/// Most bytes of a series request unpacked.
const MAX_SERIES: usize = 5_242_880;
/// The reference names no limit for distribution points; this one only protects the receiver.
const MAX_DISTRIBUTION_POINTS: usize = 64 * 1024 * 1024;
/// Most tags of one metric.
const MAX_TAGS: usize = 100;
/// Points may be this many seconds old …
const MAX_AGE: i64 = 60 * 60;
/// … and this many seconds ahead.
const MAX_AHEAD: i64 = 10 * 60;

/// Checks the headers and decodes the body of a `/api/v2/series` request. One metric for each point.
pub(crate) fn decode_series(request: &Request, key: Option<&str>) -> Result<Vec<Metric>, Refused> {
    intake::check_key(request, key)?;
    intake::check_json(request)?;
    let body = intake::unpack(request, &["gzip", "deflate"], MAX_SERIES)?;
    each_series(&body, series).map_err(Refused::bad)
}

/// Checks the headers and decodes the body of a `/api/v1/distribution_points` request. One metric for each point.
pub(crate) fn decode_distributions(
    request: &Request,
    key: Option<&str>,
) -> Result<Vec<Metric>, Refused> {
    intake::check_key(request, key)?;
    intake::check_json(request)?;
    let body = intake::unpack(request, &["deflate"], MAX_DISTRIBUTION_POINTS)?;
    each_series(&body, distribution).map_err(Refused::bad)
}

fn each_series(
    body: &[u8],
    read: impl Fn(Fields) -> Result<Vec<Metric>, String>,
) -> Result<Vec<Metric>, String> {
    let mut payload = Fields::of(value::json(body)?)?;
    let series = payload.required("series", |list| value::list(list, "series"))?;
    payload.none_left()?;
    let mut metrics = Vec::new();
    for (at, value) in series.into_iter().enumerate() {
        let read = Fields::of(value).and_then(&read);
        metrics.extend(read.map_err(|reason| format!("series {at}: {reason}"))?);
    }
    Ok(metrics)
}

fn series(mut fields: Fields) -> Result<Vec<Metric>, String> {
    let name = fields.required("metric", name)?;
    let kind = fields.optional("type", value::unsigned)?;
    let kind = match kind {
        0 => MetricKind::Unspecified,
        1 => MetricKind::Count,
        2 => MetricKind::Rate,
        3 => MetricKind::Gauge,
        other => return Err(format!("field `type`: expected 0 to 3, got {other}")),
    };
    let interval = match kind {
        MetricKind::Count | MetricKind::Rate => Some(fields.required("interval", value::positive)?),
        _ => Some(fields.optional("interval", value::not_negative)?).filter(|seconds| *seconds > 0),
    };
    let points = fields.required("points", |list| value::each(list, "points", point))?;
    let host = fields.optional("resources", |list| value::each(list, "resources", resource))?;
    let host = host.into_iter().find(|(kind, _)| kind == "host");
    let template = Metric {
        name,
        kind,
        values: Vec::new(),
        set_value: None,
        sample_rate: 1.0,
        tags: fields.optional("tags", tags)?,
        timestamp: None,
        interval,
        host: host.map(|(_, name)| name),
        origin: Origin::default(),
        via: Via::Series,
    };
    fields.optional("unit", value::text)?;
    fields.optional("source_type_name", value::text)?;
    fields.optional("metadata", |value| Fields::of(value).map(|_| ()))?;
    fields.none_left()?;
    one_for_each(points, &template)
}

fn distribution(mut fields: Fields) -> Result<Vec<Metric>, String> {
    let points = fields.required("points", |list| {
        value::each(list, "points", distribution_point)
    })?;
    let kind = fields.optional("type", value::text)?;
    if !["", "distribution"].contains(&kind.as_str()) {
        return Err(format!("field `type`: expected distribution, got `{kind}`"));
    }
    let template = Metric {
        name: fields.required("metric", name)?,
        kind: MetricKind::Distribution,
        values: Vec::new(),
        set_value: None,
        sample_rate: 1.0,
        tags: fields.optional("tags", tags)?,
        timestamp: None,
        interval: None,
        host: Some(fields.optional("host", value::text)?).filter(|host| !host.is_empty()),
        origin: Origin::default(),
        via: Via::DistributionPoints,
    };
    fields.none_left()?;
    one_for_each(points, &template)
}

/// A point in time with its values.
type Point = (i64, Vec<f64>);

fn one_for_each(points: Vec<Point>, template: &Metric) -> Result<Vec<Metric>, String> {
    if points.is_empty() {
        return Err("field `points`: it is empty".to_owned());
    }
    let metrics = points.into_iter().map(|(timestamp, values)| Metric {
        timestamp: Some(timestamp),
        values,
        ..template.clone()
    });
    Ok(metrics.collect())
}

/// `{"timestamp": seconds, "value": number}`
fn point(point: Value) -> Result<Point, String> {
    let mut fields = Fields::of(point)?;
    let timestamp = fields.required("timestamp", timestamp)?;
    let value = fields.required("value", value::number)?;
    fields.none_left()?;
    Ok((timestamp, vec![value]))
}

/// `[seconds, [number, …]]`
fn distribution_point(point: Value) -> Result<Point, String> {
    let pair: Result<[Value; 2], _> = value::list(point, "a time and its values")?.try_into();
    let Ok([time, values]) = pair else {
        return Err("expected a time and its values".to_owned());
    };
    let values = value::each(values, "values", value::number)?;
    if values.is_empty() {
        return Err("a point without values".to_owned());
    }
    Ok((timestamp(time)?, values))
}

fn timestamp(value: Value) -> Result<i64, String> {
    let timestamp = value::positive(value)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64);
    if timestamp < now - MAX_AGE {
        return Err(format!("{timestamp} is more than an hour ago"));
    }
    if timestamp > now + MAX_AHEAD {
        return Err(format!("{timestamp} is more than ten minutes ahead"));
    }
    Ok(timestamp)
}

fn name(value: Value) -> Result<String, String> {
    let name = value::text(value)?;
    check_name(&name).map(|()| name)
}

fn tags(value: Value) -> Result<Vec<String>, String> {
    let tags = value::each(value, "tags", value::text)?;
    if tags.len() > MAX_TAGS {
        return Err(format!("{} tags, at most {MAX_TAGS} may come", tags.len()));
    }
    tags.iter().try_for_each(|tag| check_tag(tag))?;
    Ok(tags)
}

/// `{"type": …, "name": …}`, as those two.
fn resource(value: Value) -> Result<(String, String), String> {
    let mut fields = Fields::of(value)?;
    let kind = fields.required("type", value::filled)?;
    let name = fields.required("name", value::filled)?;
    fields.none_left()?;
    Ok((kind, name))
}

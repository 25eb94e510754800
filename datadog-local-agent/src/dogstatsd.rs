//! The DogStatsD datagram parser, strict: what an agent would change, skip or misread is refused.
//!
//! Grammar from `documentation: content/en/extend/dogstatsd/datagram_shell.md` and
//! `datadog-agent: comp/dogstatsd/server/impl/parse*.go`.

use crate::metric::{Event, Metric, MetricKind, Origin, ServiceCheck, ServiceStatus, Via};

/// What the agent reads of one datagram (`datadog-agent` option `dogstatsd_buffer_size`); the rest would be cut.
pub(crate) const MAX_DATAGRAM: usize = 8192;
/// The longest metric name and the longest tag that the backend keeps.
const MAX_NAME: usize = 200;

/// One line's meaning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Metric(Metric),
    Event(Event),
    ServiceCheck(ServiceCheck),
}

/// Parses every line of a datagram; each is accepted or refused on its own.
pub(crate) fn datagram(bytes: &[u8], via: Via) -> Vec<Result<Item, String>> {
    if bytes.is_empty() {
        return vec![Err("an empty datagram".to_owned())];
    }
    if bytes.len() > MAX_DATAGRAM {
        return vec![Err(format!(
            "a datagram of {} bytes: an agent reads {MAX_DATAGRAM} and cuts the rest",
            bytes.len()
        ))];
    }
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|bytes| {
            let shown = || String::from_utf8_lossy(bytes);
            line(bytes, via).map_err(|reason| format!("{reason}, in line {:?}", shown()))
        })
        .collect()
}

/// Parses one line with its line end.
fn line(bytes: &[u8], via: Via) -> Result<Item, String> {
    let line = bytes
        .strip_suffix(b"\n")
        .ok_or("the line does not end in a newline")?;
    let line = str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    if let Some(bad) = line.chars().find(|char| char.is_control() && *char != '\t') {
        return Err(format!("control character {bad:?}"));
    }
    if line.starts_with("_e{") {
        event(line, via).map(Item::Event)
    } else if line.starts_with("_sc|") {
        service_check(line, via).map(Item::ServiceCheck)
    } else {
        metric(line, via).map(Item::Metric)
    }
}

/// `name:value[:value…]|kind[|@rate][|#tags][|c:…][|e:…][|card:…][|Ttimestamp]`
fn metric(line: &str, via: Via) -> Result<Metric, String> {
    let (head, rest) = line.split_once('|').ok_or("no `|` and so no kind")?;
    let (name, values) = head.split_once(':').ok_or("no `:` and so no value")?;
    check_name(name)?;
    let mut sections = rest.split('|');
    let kind = kind(sections.next().unwrap_or_default())?;
    let mut metric = Metric {
        name: name.to_owned(),
        kind,
        values: Vec::new(),
        set_value: None,
        sample_rate: 1.0,
        tags: Vec::new(),
        timestamp: None,
        interval: None,
        host: None,
        origin: Origin::default(),
        via,
    };
    if kind == MetricKind::Set {
        metric.set_value = Some(set_value(values)?);
    } else {
        metric.values = values.split(':').map(value).collect::<Result<_, _>>()?;
    }
    let mut seen = Once::default();
    for section in sections {
        if let Some(rate) = section.strip_prefix('@') {
            seen.mark("@")?;
            metric.sample_rate = sample_rate(rate)?;
        } else if let Some(time) = section.strip_prefix('T') {
            seen.mark("T")?;
            if !matches!(kind, MetricKind::Count | MetricKind::Gauge) {
                return Err(format!("a {kind} can't have a timestamp"));
            }
            metric.timestamp = Some(timestamp(time)?);
        } else {
            shared_section(section, &mut seen, &mut metric.tags, &mut metric.origin)?;
        }
    }
    Ok(metric)
}

/// `_e{title length,text length}:title|text[|d:…][|h:…][|k:…][|p:…][|s:…][|t:…][|#tags][|c:…][|e:…][|card:…]`
fn event(line: &str, via: Via) -> Result<Event, String> {
    let shape = "expected _e{title length,text length}:title|text";
    let (lengths, rest) = line
        .strip_prefix("_e{")
        .and_then(|rest| rest.split_once("}:"))
        .ok_or(shape)?;
    let (title, text) = lengths.split_once(',').ok_or(shape)?;
    let (title, rest) = split_counted(rest, title, "title")?;
    let rest = rest.strip_prefix('|').ok_or("no `|` behind the title")?;
    let (text, rest) = split_counted(rest, text, "text")?;
    let mut event = Event {
        title: title.replace("\\n", "\n"),
        text: text.replace("\\n", "\n"),
        timestamp: None,
        hostname: None,
        aggregation_key: None,
        priority: None,
        source_type: None,
        alert_type: None,
        tags: Vec::new(),
        origin: Origin::default(),
        via,
    };
    let sections = match rest.strip_prefix('|') {
        Some(sections) => sections.split('|'),
        None if rest.is_empty() => return Ok(event),
        None => return Err(format!("`{rest}` follows the counted text")),
    };
    let mut seen = Once::default();
    for section in sections {
        match section.split_once(':') {
            Some(("d", time)) => event.timestamp = Some(seen.first("d:", timestamp(time)?)?),
            Some(("h", host)) => event.hostname = Some(seen.first("h:", filled(host)?)?),
            Some(("k", key)) => event.aggregation_key = Some(seen.first("k:", filled(key)?)?),
            Some(("p", name)) => {
                let priority = one_of(name, &["normal", "low"])?;
                event.priority = Some(seen.first("p:", priority)?);
            }
            Some(("s", name)) => event.source_type = Some(seen.first("s:", filled(name)?)?),
            Some(("t", name)) => {
                let alert_type = one_of(name, &["error", "warning", "info", "success"])?;
                event.alert_type = Some(seen.first("t:", alert_type)?);
            }
            _ => shared_section(section, &mut seen, &mut event.tags, &mut event.origin)?,
        }
    }
    Ok(event)
}

/// `_sc|name|status[|d:…][|h:…][|#tags][|m:message][|c:…][|e:…][|card:…]`
fn service_check(line: &str, via: Via) -> Result<ServiceCheck, String> {
    let mut sections = line.split('|').skip(1);
    let name = filled(sections.next().unwrap_or_default())?;
    let status = match sections.next() {
        Some("0") => ServiceStatus::Ok,
        Some("1") => ServiceStatus::Warning,
        Some("2") => ServiceStatus::Critical,
        Some("3") => ServiceStatus::Unknown,
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("status: expected 0, 1, 2 or 3, got `{other}`"));
        }
    };
    let mut check = ServiceCheck {
        name,
        status,
        timestamp: None,
        hostname: None,
        message: None,
        tags: Vec::new(),
        origin: Origin::default(),
        via,
    };
    let mut seen = Once::default();
    for section in sections {
        let own = match section.split_once(':') {
            Some((own @ ("d" | "h" | "m"), _)) => own,
            _ if section.starts_with('#') => "#",
            _ => "",
        };
        if check.message.is_some() && !own.is_empty() {
            return Err(format!("`{own}` follows the message, which has to be last"));
        }
        let value = section.get(2..).unwrap_or_default();
        match own {
            "d" => check.timestamp = Some(seen.first("d:", timestamp(value)?)?),
            "h" => check.hostname = Some(seen.first("h:", filled(value)?)?),
            "m" => check.message = Some(value.replace("\\n", "\n").replace("m\\:", "m:")),
            _ => shared_section(section, &mut seen, &mut check.tags, &mut check.origin)?,
        }
    }
    Ok(check)
}

/// The sections that metrics, events and service checks have in common.
fn shared_section(
    section: &str,
    seen: &mut Once,
    tags: &mut Vec<String>,
    origin: &mut Origin,
) -> Result<(), String> {
    if let Some(list) = section.strip_prefix('#') {
        seen.mark("#")?;
        *tags = list.split(',').map(tag).collect::<Result<_, _>>()?;
        return Ok(());
    }
    match section.split_once(':') {
        Some(("c", id)) => origin.container_id = Some(seen.first("c:", local_data(id)?)?),
        Some(("e", data)) => origin.external_env = Some(seen.first("e:", external_data(data)?)?),
        Some(("card", name)) => {
            let cardinality = one_of(name, &["none", "low", "orchestrator", "high"])?;
            origin.cardinality = Some(seen.first("card:", cardinality)?);
        }
        _ => return Err(format!("unknown section `{section}`")),
    }
    Ok(())
}

/// Sections met so far: none may come twice.
#[derive(Default)]
struct Once(Vec<&'static str>);

impl Once {
    fn mark(&mut self, section: &'static str) -> Result<(), String> {
        if self.0.contains(&section) {
            return Err(format!("section `{section}` comes twice"));
        }
        self.0.push(section);
        Ok(())
    }

    fn first<T>(&mut self, section: &'static str, value: T) -> Result<T, String> {
        self.mark(section).map(|()| value)
    }
}

/// A metric name: a letter, then letters, digits, `_` and `.`, 200 bytes at most. The backend changes all others.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '.';
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(format!("name `{name}` does not start with a letter"));
    }
    if let Some(bad) = name.chars().find(|char| !allowed(*char)) {
        return Err(format!("name `{name}` has a {bad:?}"));
    }
    if name.len() > MAX_NAME {
        return Err(format!(
            "a name of {} bytes, longer than {MAX_NAME}",
            name.len()
        ));
    }
    Ok(())
}

/// A tag starts with a letter and has at most 200 characters.
pub(crate) fn check_tag(tag: &str) -> Result<(), String> {
    if tag.is_empty() {
        return Err("an empty tag".to_owned());
    }
    if !tag.starts_with(char::is_alphabetic) {
        return Err(format!("tag `{tag}` does not start with a letter"));
    }
    if tag.chars().count() > MAX_NAME {
        return Err(format!("tag `{tag}` is longer than {MAX_NAME} characters"));
    }
    Ok(())
}

fn tag(tag: &str) -> Result<String, String> {
    check_tag(tag).map(|()| tag.to_owned())
}

fn kind(text: &str) -> Result<MetricKind, String> {
    Ok(match text {
        "c" => MetricKind::Count,
        "g" => MetricKind::Gauge,
        "h" => MetricKind::Histogram,
        "d" => MetricKind::Distribution,
        "ms" => MetricKind::Timing,
        "s" => MetricKind::Set,
        other => return Err(format!("kind: expected c, g, h, d, ms or s, got `{other}`")),
    })
}

fn value(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("value: expected a finite number, got `{text}`")),
    }
}

fn set_value(text: &str) -> Result<String, String> {
    if text.contains(':') {
        return Err("a set takes one value".to_owned());
    }
    filled(text)
}

fn sample_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err(format!(
            "sample rate: expected a number above 0, at most 1, got `{text}`"
        )),
    }
}

fn timestamp(text: &str) -> Result<i64, String> {
    match text.parse::<i64>() {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(format!(
            "timestamp: expected positive whole seconds, got `{text}`"
        )),
    }
}

/// Letters, digits, `-` and `,` (`saluki: lib/saluki-io/src/deser/codec/dogstatsd/helpers.rs`).
fn local_data(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b',';
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(format!(
            "c: expected letters, digits, `-` and `,`, got `{text}`"
        ));
    }
    Ok(text.to_owned())
}

/// Lower-case letters, digits, `-` and `,` (the same source).
fn external_data(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b','
    };
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(format!(
            "e: expected lower-case letters, digits, `-` and `,`, got `{text}`"
        ));
    }
    Ok(text.to_owned())
}

fn one_of(text: &str, allowed: &[&str]) -> Result<String, String> {
    if allowed.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected {}, got `{text}`", allowed.join(", ")))
}

fn filled(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("an empty field".to_owned());
    }
    Ok(text.to_owned())
}

/// Splits off a field whose length in bytes was told.
fn split_counted<'a>(
    text: &'a str,
    length: &str,
    what: &str,
) -> Result<(&'a str, &'a str), String> {
    let bytes = length
        .parse::<usize>()
        .map_err(|_| format!("{what} length: expected a number of bytes, got `{length}`"))?;
    if bytes == 0 && what == "title" {
        return Err("an empty title".to_owned());
    }
    text.split_at_checked(bytes)
        .ok_or_else(|| format!("{what} length {bytes} does not fit the line"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<Item, String> {
        let bytes = format!("{line}\n");
        let [item] = datagram(bytes.as_bytes(), Via::Udp).try_into().unwrap();
        item
    }

    fn metric(line: &str) -> Metric {
        match parse(line) {
            Ok(Item::Metric(metric)) => metric,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn kinds_and_values() {
        for (letters, kind) in [
            ("c", MetricKind::Count),
            ("g", MetricKind::Gauge),
            ("h", MetricKind::Histogram),
            ("d", MetricKind::Distribution),
            ("ms", MetricKind::Timing),
        ] {
            let metric = metric(&format!("a.b_1:1:-2.5:1e3|{letters}"));
            assert_eq!((metric.name.as_str(), metric.kind), ("a.b_1", kind));
            assert_eq!(metric.values, [1.0, -2.5, 1000.0]);
            assert_eq!((metric.sample_rate, metric.set_value), (1.0, None));
        }
        let set = metric("users:näme 1|s");
        assert_eq!(set.set_value.as_deref(), Some("näme 1"));
        assert!(set.values.is_empty());
    }

    #[test]
    fn sections_in_any_order() {
        let expected =
            metric("a:1|c|@0.5|#env:test,solo|c:ci-0a|e:it-false,cn-x|card:low|T1700000000");
        assert_eq!(expected.sample_rate, 0.5);
        assert_eq!(expected.sum(), 2.0);
        assert_eq!(expected.tags, ["env:test", "solo"]);
        assert_eq!(expected.timestamp, Some(1_700_000_000));
        assert_eq!(expected.origin.container_id.as_deref(), Some("ci-0a"));
        assert_eq!(
            expected.origin.external_env.as_deref(),
            Some("it-false,cn-x")
        );
        assert_eq!(expected.origin.cardinality.as_deref(), Some("low"));
        let other =
            metric("a:1|c|T1700000000|card:low|e:it-false,cn-x|c:ci-0a|#env:test,solo|@0.5");
        assert_eq!(other, expected);
    }

    #[test]
    fn events() {
        let line =
            "_e{6,8}:a|b…|x\\ny: |z|d:1700000000|h:host|k:key|p:low|s:src|t:error|#a:b|c:in-1";
        let Ok(Item::Event(event)) = parse(line) else {
            panic!("{:?}", parse(line));
        };
        assert_eq!((&*event.title, &*event.text), ("a|b…", "x\ny: |z"));
        assert_eq!(event.timestamp, Some(1_700_000_000));
        assert_eq!(event.hostname.as_deref(), Some("host"));
        assert_eq!(event.aggregation_key.as_deref(), Some("key"));
        assert_eq!(event.priority.as_deref(), Some("low"));
        assert_eq!(event.source_type.as_deref(), Some("src"));
        assert_eq!(event.alert_type.as_deref(), Some("error"));
        assert_eq!(event.tags, ["a:b"]);
        assert_eq!(event.origin.container_id.as_deref(), Some("in-1"));
    }

    #[test]
    fn service_checks() {
        let line = "_sc|db.up|2|d:1700000000|h:host|#a:b|m:no m\\: answer\\nat all|c:ci-1";
        let Ok(Item::ServiceCheck(check)) = parse(line) else {
            panic!("{:?}", parse(line));
        };
        assert_eq!(
            (&*check.name, check.status),
            ("db.up", ServiceStatus::Critical)
        );
        assert_eq!(check.timestamp, Some(1_700_000_000));
        assert_eq!(check.hostname.as_deref(), Some("host"));
        assert_eq!(check.message.as_deref(), Some("no m: answer\nat all"));
        assert_eq!(check.tags, ["a:b"]);
        assert_eq!(check.origin.container_id.as_deref(), Some("ci-1"));
    }

    #[test]
    fn refused_lines() {
        for (line, reason) in [
            ("", "no `|`"),
            ("a", "no `|`"),
            ("a|c", "no `:`"),
            (":1|c", "name `` does not start with a letter"),
            ("1a:1|c", "name `1a` does not start with a letter"),
            ("a b:1|c", "name `a b` has a ' '"),
            ("ä:1|c", "name `ä` does not start"),
            ("a:|c", "value: expected a finite number, got ``"),
            ("a:1:|c", "value: expected a finite number, got ``"),
            ("a:x|c", "got `x`"),
            ("a:nan|g", "got `nan`"),
            ("a:inf|g", "got `inf`"),
            ("a:1e999|g", "got `1e999`"),
            ("a:1|", "kind: expected"),
            ("a:1|m", "got `m`"),
            ("a:1|c|", "unknown section ``"),
            ("a:1|c|@0", "sample rate"),
            ("a:1|c|@1.1", "sample rate"),
            ("a:1|c|@", "sample rate"),
            ("a:1|c|@1|@1", "section `@` comes twice"),
            ("a:1|c|#", "an empty tag"),
            ("a:1|c|#a,,b", "an empty tag"),
            ("a:1|c|#1a", "tag `1a` does not start"),
            ("a:1|c|#a|#b", "section `#` comes twice"),
            ("a:1|c|c:", "c: expected"),
            ("a:1|c|c:ci_1", "c: expected"),
            ("a:1|c|e:IT", "e: expected"),
            ("a:1|c|card:all", "expected none, low"),
            ("a:1|c|T1.5", "timestamp: expected"),
            ("a:1|h|T1700000000", "a histogram can't have a timestamp"),
            ("a:1|c|x:1", "unknown section `x:1`"),
            ("a:1|c\r", "control character '\\r'"),
            ("a:1:2|s", "a set takes one value"),
            ("a:|s", "an empty field"),
            ("_e{1,1}", "expected _e{"),
            ("_e{1}:a|b", "expected _e{"),
            ("_e{0,1}:|b", "an empty title"),
            ("_e{9,1}:a|b", "title length 9 does not fit"),
            ("_e{1,9}:a|b", "text length 9 does not fit"),
            ("_e{1,1}:ab|b", "no `|` behind the title"),
            ("_e{1,1}:a|bc", "`c` follows the counted text"),
            ("_e{x,1}:a|b", "title length: expected"),
            ("_e{1,1}:ä|b", "title length 1 does not fit"),
            ("_e{1,1}:a|b|p:high", "expected normal, low"),
            ("_e{1,1}:a|b|t:bad", "expected error, warning"),
            ("_e{1,1}:a|b|h:x|h:y", "section `h:` comes twice"),
            ("_e{1,1}:a|b|z:x", "unknown section `z:x`"),
            ("_sc", "no `|`"),
            ("_sc||0", "an empty field"),
            ("_sc|a", "status: expected"),
            ("_sc|a|4", "status: expected 0, 1, 2 or 3, got `4`"),
            ("_sc|a|0|m:x|#a:b", "`#` follows the message"),
            ("_sc|a|0|m:x|m:y", "`m` follows the message"),
        ] {
            match parse(line) {
                Err(got) => assert!(got.contains(reason), "{line}: wanted {reason}, got {got}"),
                Ok(item) => panic!("{line} was accepted: {item:?}"),
            }
        }
        let long = "a".repeat(201);
        assert!(parse(&format!("{long}:1|c")).is_err());
        assert!(parse(&format!("a:1|c|#{long}")).is_err());
        assert!(parse(&format!("{}:1|c|#{}", &long[1..], &long[1..])).is_ok());
    }

    #[test]
    fn refused_datagrams() {
        let only = |bytes: &[u8]| {
            let [item] = datagram(bytes, Via::Udp).try_into().unwrap();
            item.unwrap_err()
        };
        assert_eq!(only(b""), "an empty datagram");
        assert!(
            only(b"a:1|c").starts_with("the line does not end in a newline, in line \"a:1|c\"")
        );
        assert!(only(b"\xff:1|c\n").starts_with("not UTF-8"));
        assert!(only(&[b'a'; 8193]).starts_with("a datagram of 8193 bytes"));
    }

    #[test]
    fn good_lines_beside_bad_ones_are_kept() {
        let items = datagram(b"a:1|c\nbad\n\nb:2|g\nc:3|c", Via::Udp);
        let good: Vec<_> = items.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, false, true, false]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            datagram(&bytes, Via::Udp);
        }

        #[test]
        fn nearly_good_lines_do_not_make_it_panic(
            text in "(_e\\{[0-9]{0,3},[0-9]{0,3}\\}:|_sc\\||)[a:|#@,dhkpstmceT{}0-9é.\\\\-]{0,40}\n"
        ) {
            datagram(text.as_bytes(), Via::Udp);
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-zA-Z][a-zA-Z0-9_.]{0,30}",
            values in prop::collection::vec(-1e12..1e12, 1..5),
            rate in 0.001..=1.0,
            tags in prop::collection::vec("[a-z][a-zà-ž0-9:/ _-]{0,20}", 1..4),
        ) {
            let written: Vec<_> = values.iter().map(f64::to_string).collect();
            let read = metric(&format!("{name}:{}|d|@{rate}|#{}", written.join(":"), tags.join(",")));
            prop_assert_eq!(read.name, name);
            prop_assert_eq!(read.values, values);
            prop_assert_eq!(read.sample_rate, rate);
            prop_assert_eq!(read.tags, tags);
        }
    }
}

//! Tags: how `DD_TAGS` is read, and how Datadog writes a tag.

use std::borrow::Cow;

/// Reads the text of `DD_TAGS`: `key:value` pairs.
///
/// With a comma anywhere in the text, commas separate the pairs and spaces belong to the values; without one, spaces
/// separate. The first `:` ends the key. A pair without a colon is a key with an empty value; one without a key is
/// skipped. (`dd-trace-go: internal/env.go, ForEachStringTag`; vectors in `system-tests: test_config_consistency.py`.)
pub(crate) fn parse(text: &str) -> Vec<(String, String)> {
    let separator = if text.contains(',') { ',' } else { ' ' };
    let pairs = text
        .split(separator)
        .map(|pair| pair.split_once(':').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

/// Writes pairs so that [`parse`] reads them back.
///
/// The form has no quoting: a comma, and a colon in a key, become `_`, as Datadog itself writes such a tag.
pub(crate) fn print(
    pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        text.push_str(&key.into().replace([',', ':'], "_"));
        text.push(':');
        text.push_str(&value.into().replace(',', "_"));
        // The comma after the last pair tells that commas separate.
        text.push(',');
    }
    text
}

/// Writes a tag, `key:value` or one word, as Datadog's Agent does.
///
/// Lower case; a letter first (anything else in front is dropped); then letters, digits, `_`, `-`, `:`, `.` and `/`; each run of
/// other characters becomes one `_`, none at the end; at most 200 characters.
/// (`datadog-agent: pkg/trace/traceutil/normalize/normalize.go, NormalizeTag`.)
pub fn normalize_tag(tag: &str) -> Cow<'_, str> {
    if is_normal(tag) {
        return Cow::Borrowed(tag);
    }
    let mut normal = String::with_capacity(tag.len());
    let mut length = 0;
    for character in tag.chars().flat_map(char::to_lowercase) {
        if length == LONGEST_TAG {
            break;
        }
        let starts = character.is_alphabetic() || character == ':';
        if starts
            || (length > 0 && (character.is_numeric() || matches!(character, '-' | '.' | '/')))
        {
            normal.push(character);
        } else if length > 0 && !normal.ends_with('_') {
            normal.push('_');
        } else {
            continue;
        }
        length += 1;
    }
    normal.truncate(normal.trim_end_matches('_').len());
    Cow::Owned(normal)
}

const LONGEST_TAG: usize = 200;

/// The common case, told without a copy.
fn is_normal(tag: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-:./".contains(&byte);
    tag.len() <= LONGEST_TAG
        && tag
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_lowercase() || first == b':')
        && tag.bytes().all(allowed)
        && !tag.contains("__")
        && !tag.ends_with('_')
}

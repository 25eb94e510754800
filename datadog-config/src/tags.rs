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
/// Lower case; a letter or a colon first, anything else in front is dropped; then letters, digits, `:`, `.`, `/` and `-`; each run
/// of other characters becomes one `_`, none at the end. What counts beyond 200 characters is cut off.
/// (`datadog-agent: pkg/trace/traceutil/normalize/normalize.go, NormalizeTag`.)
pub fn normalize_tag(tag: &str) -> Cow<'_, str> {
    normalize(tag, true)
}

/// Writes a tag's value, such as the name of a service, as Datadog's Agent does: as [`normalize_tag`], but what comes
/// first may be what comes later.
/// (`datadog-agent: pkg/trace/traceutil/normalize/normalize.go, NormalizeTagValue`.)
pub fn normalize_tag_value(value: &str) -> Cow<'_, str> {
    normalize(value, false)
}

fn normalize(tag: &str, letter_first: bool) -> Cow<'_, str> {
    if is_normal(tag, letter_first) {
        return Cow::Borrowed(tag);
    }
    let mut normal = String::with_capacity(tag.len());
    // Characters of `tag` since the first that is kept: a run of bad ones counts in full.
    let mut length = 0;
    for (start, character) in tag.char_indices() {
        let character = lower(character);
        if character.is_alphabetic() || character == ':' {
            normal.push(character);
            length += 1;
        } else if length > 0 || !letter_first {
            if character.is_numeric() || matches!(character, '.' | '/' | '-') {
                normal.push(character);
            } else if !normal.ends_with('_') {
                normal.push('_');
            }
            length += 1;
        }
        if length == LONGEST_TAG || start + character.len_utf8() >= 2 * LONGEST_TAG {
            break;
        }
    }
    if normal.ends_with('_') {
        normal.pop();
    }
    Cow::Owned(normal)
}

/// The lower case of a capital, if it is one character of the same length in UTF-8.
fn lower(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) if lower.len_utf8() == character.len_utf8() => lower,
        _ => character,
    }
}

const LONGEST_TAG: usize = 200;

/// The common case, told without a copy.
fn is_normal(tag: &str, letter_first: bool) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-:./".contains(&byte);
    let may_begin = |first: u8| !letter_first || first.is_ascii_lowercase() || first == b':';
    tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_none_or(may_begin)
        && tag.bytes().all(allowed)
        && !tag.contains("__")
        && !tag.ends_with('_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let tags = parse(text);
        let tags: Vec<_> = tags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(tags, expected, "{text}");
    }

    /// The vectors of `system-tests: tests/parametric/test_config_consistency.py, tag_scenarios`.
    #[test]
    fn published_vectors() {
        check(
            "key1:value1,key2:value2",
            &[("key1", "value1"), ("key2", "value2")],
        );
        check(
            "key1:value1 key2:value2",
            &[("key1", "value1"), ("key2", "value2")],
        );
        let four = [
            ("env", "test"),
            ("aKey", "aVal"),
            ("bKey", "bVal"),
            ("cKey", ""),
        ];
        check("env:test aKey:aVal bKey:bVal cKey:", &four);
        check("env:test,aKey:aVal,bKey:bVal,cKey:", &four);
        let mixed = [("env", "test"), ("aKey", "aVal bKey:bVal cKey:")];
        check("env:test,aKey:aVal bKey:bVal cKey:", &mixed);
        check(
            "env:test     bKey :bVal dKey: dVal cKey:",
            &[
                ("env", "test"),
                ("bKey", ""),
                ("dKey", ""),
                ("dVal", ""),
                ("cKey", ""),
            ],
        );
        check("env :test, aKey : aVal bKey:bVal cKey:", &mixed);
        check(
            "env:keyWithA:Semicolon bKey:bVal cKey",
            &[
                ("env", "keyWithA:Semicolon"),
                ("bKey", "bVal"),
                ("cKey", ""),
            ],
        );
        check(
            "env:keyWith:  , ,   Lots:Of:Semicolons ",
            &[("env", "keyWith:"), ("Lots", "Of:Semicolons")],
        );
        check("a:b,c,d", &[("a", "b"), ("c", ""), ("d", "")]);
        check("a,1", &[("a", ""), ("1", "")]);
        check("a:b:c:d", &[("a", "b:c:d")]);
    }

    #[test]
    fn nothing_is_no_tag() {
        check("", &[]);
        check(" , ,,", &[]);
        check(":value", &[]);
    }

    #[test]
    fn what_has_no_form_is_written_as_an_underscore() {
        check(
            &print([("a:b", "c,d"), ("e", "f g:h")]),
            &[("a_b", "c_d"), ("e", "f g:h")],
        );
    }

    #[test]
    fn values_may_begin_with_anything() {
        for (value, expected) in [
            ("", ""),
            ("1love", "1love"),
            ("3rd Party", "3rd_party"),
            ("#hash", "_hash"),
            ("___trim", "_trim"),
            ("-._x_", "-._x"),
            ("12.:trim@@", "12.:trim"),
            ("™Ö™Ö™™Ö™", "_ö_ö_ö"),
            ("@@", ""),
            (&"0".repeat(888), &"0".repeat(200)),
        ] {
            assert_eq!(normalize_tag_value(value), expected, "{value}");
        }
    }

    /// The vectors of `datadog-agent: pkg/trace/traceutil/normalize/normalize_test.go`.
    #[test]
    fn the_agents_vectors() {
        let a_and_dogs = format!("a{}b", "🐶".repeat(799));
        let (long, cut) = ("a".repeat(888), "a".repeat(200));
        let (zeros, counted) = (
            format!("A{} {}", "0".repeat(197), "0".repeat(12)),
            format!("a{}_0", "0".repeat(197)),
        );
        for (tag, expected) in [
            ("#test_starting_hash", "test_starting_hash"),
            ("TestCAPSandSuch", "testcapsandsuch"),
            (
                "Test Conversion Of Weird !@#$%^&**() Characters",
                "test_conversion_of_weird_characters",
            ),
            ("$#weird_starting", "weird_starting"),
            ("allowed:c0l0ns", "allowed:c0l0ns"),
            ("1love", "love"),
            ("ünicöde", "ünicöde"),
            ("ünicöde:metäl", "ünicöde:metäl"),
            ("Data🐨dog🐶 繋がっ⛰てて", "data_dog_繋がっ_てて"),
            (" spaces   ", "spaces"),
            (" #hashtag!@#spaces #__<>#  ", "hashtag_spaces"),
            (":testing", ":testing"),
            ("_foo", "foo"),
            (":::test", ":::test"),
            ("contiguous_____underscores", "contiguous_underscores"),
            ("foo_", "foo"),
            (
                "\u{17F}odd_\u{17F}case\u{17F}",
                "\u{17F}odd_\u{17F}case\u{17F}",
            ),
            ("", ""),
            (" ", ""),
            ("ok", "ok"),
            ("™Ö™Ö™™Ö™", "ö_ö_ö"),
            ("AlsO:ök", "also:ök"),
            (":still_ok", ":still_ok"),
            ("___trim", "trim"),
            ("12.:trim@", ":trim"),
            ("12.:trim@@", ":trim"),
            ("fun:ky__tag/1", "fun:ky_tag/1"),
            ("fun:ky@tag/2", "fun:ky_tag/2"),
            ("fun:ky@@@tag/3", "fun:ky_tag/3"),
            ("tag:1/2.3", "tag:1/2.3"),
            ("---fun:k####y_ta@#g/1_@@#", "fun:k_y_ta_g/1"),
            ("AlsO:œ#@ö))œk", "also:œ_ö_œk"),
            (&long, &cut),
            (&a_and_dogs, "a"),
            ("a\u{FFFD}", "a"),
            ("a\u{FFFD}\u{FFFD}b", "a_b"),
            (&zeros, &counted),
        ] {
            assert_eq!(normalize_tag(tag), expected, "{tag}");
        }
    }

    proptest! {
        #[test]
        fn printed_tags_parse_back(tags in prop::collection::vec(("[^:,\\s]{1,9}", "[^,]{0,9}"), 0..5)) {
            let tags: Vec<_> = tags.into_iter().map(|(key, value)| (key, value.trim().to_owned())).collect();
            prop_assert_eq!(parse(&print(tags.clone())), tags);
        }

        #[test]
        fn what_is_parsed_has_keys_without_a_colon(text in any::<String>()) {
            for (key, value) in parse(&text) {
                prop_assert!(!key.is_empty() && !key.contains(':') && key == key.trim() && value == value.trim());
            }
        }

        #[test]
        fn normal_tags_stay(tag in any::<String>()) {
            let once = normalize_tag(&tag).into_owned();
            prop_assert!(once.chars().count() <= LONGEST_TAG);
            prop_assert!(!once.ends_with('_') && !once.contains("__"));
            prop_assert_eq!(normalize_tag(&once), once.as_str());
        }
    }
}

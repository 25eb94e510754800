//! Numbers for the levels of logs.

/// Datadog's statuses (`datadog-agent: pkg/logs/message/status.go`).
const STATUSES: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warn",
    "error",
    "critical",
    "alert",
    "emergency",
];

pub(crate) const EXPECTS_RATES: &str = "level:rate pairs with commas between them, such as debug:0.1 (levels debug to emergency, rates 0 to 1)";

pub(crate) const EXPECTS_LIMITS: &str =
    "level:number pairs with commas between them, such as debug:100 (levels debug to emergency)";

/// Reads `level:number` pairs whose numbers are at least 0 and at most `most`.
pub(crate) fn parse(text: &str, most: f64) -> Option<Vec<(String, f64)>> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    pairs.map(|pair| parse_pair(pair, most)).collect()
}

fn parse_pair(pair: &str, most: f64) -> Option<(String, f64)> {
    let (level, number) = pair.split_once(':')?;
    let level = level.trim().to_ascii_lowercase();
    let number: f64 = number.trim().parse().ok()?;
    let fits = STATUSES.contains(&&*level) && (0.0..=most).contains(&number);
    fits.then_some((level, number))
}

/// Writes pairs so that [`parse`] reads them back.
pub(crate) fn print(pairs: impl IntoIterator<Item = (impl AsRef<str>, f64)>) -> String {
    let pairs = pairs
        .into_iter()
        .map(|(level, number)| format!("{}:{number}", level.as_ref()));
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_printed_back() {
        let pairs = parse(" Debug:0.1, info : 1,", 1.0).unwrap();
        assert_eq!(pairs, [("debug".to_owned(), 0.1), ("info".to_owned(), 1.0)]);
        assert_eq!(parse(&print(pairs.clone()), 1.0), Some(pairs));
    }

    #[test]
    fn other_pairs_are_refused() {
        for text in [
            "debug",
            "debug:",
            "loud:1",
            "debug:1.5",
            "debug:-1",
            "debug:nan",
        ] {
            assert_eq!(parse(text, 1.0), None, "{text}");
        }
    }
}

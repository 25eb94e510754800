//! Numbers that may be those of payment cards (datadog-agent: `pkg/obfuscate/credit_cards.go`).

/// What stands for such a number.
pub(crate) const HIDDEN: &str = "?";

/// How many digits they have.
const LEAST_DIGITS: usize = 12;
const MOST_DIGITS: usize = 16;

/// Tags whose values look like card numbers but are none, beside those that begin with `_`
/// (datadog-agent: `pkg/obfuscate/credit_cards.go`).
const KEPT: [&str; 31] = [
    "account_id",
    "aws_account",
    "config.spark_app_startTime",
    "config.spark_databricks_job_parentRunId",
    "databricks_job_id",
    "databricks_job_run_id",
    "databricks_task_run_id",
    "env",
    "error",
    "error.msg",
    "error.stack",
    "error.type",
    "graphql.field",
    "graphql.operation.name",
    "graphql.query",
    "graphql.type",
    "grpc.code",
    "grpc.method",
    "grpc.request",
    "http.method",
    "http.status_code",
    "out.host",
    "out.port",
    "runtime-id",
    "sampling.priority",
    "service",
    "service.name",
    "span.name",
    "span.type",
    "sql.query",
    "version",
];

/// Whether the tag is left as it is, whatever its value.
pub(crate) fn is_kept(key: &str) -> bool {
    key.starts_with('_') || KEPT.contains(&key)
}

/// Whether a text may be a card's number: by how many digits it has, how they begin, and if `luhn` says so, by the last
/// of them, which checks the others.
pub(crate) fn is_number(text: &str, luhn: bool) -> bool {
    if text.len() < LEAST_DIGITS {
        return false;
    }
    let mut digits = [0; MOST_DIGITS];
    let mut count = 0;
    for byte in text.bytes() {
        let digit = match byte {
            b' ' | b'-' => continue,
            b'0'..=b'9' => byte - b'0',
            _ => return false,
        };
        let Some(place) = digits.get_mut(count) else {
            return false;
        };
        *place = digit;
        count += 1;
    }
    let digits = digits.get(..count).unwrap_or_default();
    count >= LEAST_DIGITS && begins_as_one(digits) && (!luhn || is_right(digits))
}

/// Whether an issuer's numbers begin so (<https://www.regular-expressions.info/creditcard.html>).
fn begins_as_one(digits: &[u8]) -> bool {
    let begin = |count: usize| {
        let first = digits.iter().take(count);
        first.fold(0, |number, digit| number * 10 + u32::from(*digit))
    };
    matches!(begin(1), 1 | 4 | 6)
        || matches!(begin(2), 34..=39 | 50..=58)
        || matches!(begin(3), 300..=305 | 309)
        || matches!(begin(6), 222_100..=272_099)
}

/// Whether the last digit is the one that the others demand (<https://en.wikipedia.org/wiki/Luhn_algorithm>).
fn is_right(digits: &[u8]) -> bool {
    let from_the_end = digits.iter().rev().enumerate();
    let sum: u32 = from_the_end
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_cards_are_told_from_others() {
        for number in [
            "378282246310005",
            "  3782-8224-6310-005 ",
            "4111 1111 1111 1111",
            "2223003122003222",
            "6011000990139424",
            "30569309025904",
        ] {
            assert!(is_number(number, true), "{number}");
        }
        for (text, luhn) in [
            ("4111 1111 1111 1112", true),
            ("41111111111", false),
            ("41111111111111111", false),
            ("7712378231899", false),
            ("3714djkkkksii31", false),
            ("４１１１111111111111", false),
            ("", false),
            ("   ---      ", false),
        ] {
            assert!(!is_number(text, luhn), "{text}");
        }
        assert!(is_number("4111 1111 1111 1112", false));
        assert!(is_kept("_dd.p.dm") && is_kept("account_id") && !is_kept("card"));
    }
}

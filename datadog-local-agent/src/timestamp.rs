//! Times as text: `2026-01-02T03:04:05.678Z`.

/// Nanoseconds since the Unix epoch of a UTC time with a `Z` and at most 9 decimals, the form that
/// `system-tests: tests/test_profiling.py` asks for.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (seconds, decimals) = match text.split_once('.') {
        Some((seconds, decimals)) if !decimals.is_empty() => (seconds, decimals),
        Some(_) => return None,
        None => (text, ""),
    };
    let bytes = seconds.as_bytes();
    let shape = "dddd-dd-ddTdd:dd:dd";
    let fits = |(own, wanted): (&u8, u8)| match wanted {
        b'd' => own.is_ascii_digit(),
        _ => *own == wanted,
    };
    if bytes.len() != shape.len() || !bytes.iter().zip(shape.bytes()).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| seconds[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !in_range || decimals.len() > 9 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{decimals:0<9}").parse().ok()?;
    let days = days_before_year(year) - days_before_year(1970)
        + (1..month)
            .map(|month| days_of_month(year, month))
            .sum::<i64>()
        + day
        - 1;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_before_year(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn known_times() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        // `date -u -d @1709210096 +%FT%TZ`
        assert_eq!(
            parse("2024-02-29T12:34:56.789Z"),
            Some(1_709_210_096_789_000_000)
        );
        assert_eq!(parse("1969-12-31T23:59:59.000000001Z"), Some(-999_999_999));
    }

    #[test]
    fn refused_forms() {
        for text in [
            "2024-02-29T12:34:56",
            "2024-02-29T12:34:56+00:00",
            "2024-02-29 12:34:56Z",
            "2023-02-29T12:34:56Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01T00:00:00.12x4Z",
            "+024-01-01T00:00:00Z",
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

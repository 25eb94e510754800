//! Pieces of text that all sections use: numbers, bars, cut texts, aligned tables.

use std::fmt::{self, Write};

/// Columns of the whole report.
pub(super) const WIDTH: usize = 110;

/// Writes the line that a section starts with.
pub(super) fn heading(f: &mut fmt::Formatter<'_>, title: &str, detail: &str) -> fmt::Result {
    let text = format!("━━ {title} ━━ {detail} ");
    let rest = "━".repeat(WIDTH.saturating_sub(width(&text)));
    writeln!(f, "{text}{rest}")
}

/// `3 spans`, `1 span`.
pub(super) fn counted(count: usize, singular: &str, plural: &str) -> String {
    let noun = if count == 1 { singular } else { plural };
    format!("{count} {noun}")
}

/// Columns that a text takes, if no character is wide.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text with blanks up to a width.
pub(super) fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// The text on one line, cut to a width with `…`; line ends become `⏎`, other control characters blanks.
pub(super) fn shorten(text: &str, to: usize) -> String {
    let mut short = String::new();
    for (at, char) in text.chars().enumerate() {
        if at + 1 == to && width(text) > to {
            short.push('…');
            break;
        }
        short.push(match char {
            '\n' => '⏎',
            char if char.is_control() => ' ',
            char => char,
        });
    }
    short
}

/// Joins pieces with two blanks into lines of at most `to` columns.
pub(super) fn wrap(pieces: impl IntoIterator<Item = String>, to: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        let piece = shorten(&piece, to);
        match lines.last_mut() {
            Some(line) if width(line) + 2 + width(&piece) <= to => {
                line.push_str("  ");
                line.push_str(&piece);
            }
            _ => lines.push(piece),
        }
    }
    lines
}

/// A time in nanoseconds with three digits and the unit that suits it.
pub(super) fn duration(nanoseconds: f64) -> String {
    let units = [
        (1e9 * 60.0, "min"),
        (1e9, "s"),
        (1e6, "ms"),
        (1e3, "µs"),
        (1.0, "ns"),
    ];
    // 999.6 µs is written as 1.00 ms, not as 1000 µs.
    let fits = |(size, _): &&(f64, &str)| nanoseconds.abs() >= size * 0.9995;
    let (size, unit) = units.iter().find(fits).unwrap_or(&(1.0, "ns"));
    let value = nanoseconds / size;
    let decimals = match value.abs() {
        0.0 => 0,
        value if value >= 99.95 || *unit == "ns" => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// A number with at most three decimals and commas between thousands.
pub(super) fn number(value: f64) -> String {
    if value.abs() >= 1e15 || (value != 0.0 && value.abs() < 0.001) {
        return format!("{value:e}");
    }
    let text = format!("{:.3}", value.abs());
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let decimals = decimals.trim_end_matches('0');
    let sign = if value < 0.0 { "-" } else { "" };
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{decimals}")
}

/// A bar that fills a share of `width` columns, to an eighth of a column.
pub(super) fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let bar = format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8]);
    pad(&bar, width)
}

/// Eight-step columns, the highest for the largest count.
pub(super) fn spark(counts: &[usize]) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let step = |count: &usize| match count {
        0 => ' ',
        count => STEPS[(count * 8).div_ceil(most) - 1],
    };
    counts.iter().map(step).collect()
}

/// Rows of cells, the columns aligned.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table whose columns of these numbers are aligned to the right.
    pub(super) fn aligned_right(right: &[usize]) -> Self {
        Self {
            rows: Vec::new(),
            right: right.to_vec(),
        }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes the rows behind two blanks, two blanks between columns.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width_of).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let room = " ".repeat(widths[column] - width(cell));
                if self.right.contains(&column) {
                    write!(line, "  {room}{cell}")?;
                } else {
                    write!(line, "  {cell}{room}")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (nanoseconds, text) in [
            (0.0, "0 ns"),
            (12.0, "12 ns"),
            (1_500.0, "1.50 µs"),
            (999_600.0, "1.00 ms"),
            (84_210_000.0, "84.2 ms"),
            (842_100_000.0, "842 ms"),
            (1e9, "1.00 s"),
            (9e10, "1.50 min"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
    }

    #[test]
    fn numbers() {
        for (value, text) in [
            (0.0, "0"),
            (-1.5, "-1.5"),
            (1234567.0, "1,234,567"),
            (999.9995, "1,000"),
            (0.125, "0.125"),
            (1e-7, "1e-7"),
            (1e16, "1e16"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn cut_and_wrapped_texts() {
        assert_eq!(shorten("one\n\ttwo", 10), "one⏎ two");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("abcd", 4), "abcd");
        let pieces = ["aa", "bb", "cccccc"].map(str::to_owned);
        assert_eq!(wrap(pieces, 6), ["aa  bb", "cccccc"]);
    }

    #[test]
    fn bars() {
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.03, 4), "▏   ");
        assert_eq!(spark(&[0, 1, 8]), " ▁█");
    }
}

//! What the configuration came to, in a form for people.

use std::fmt;

use crate::origin::Origin;

/// Every option and derived fact with its value and origin. Prints as an aligned table. Shows no secret.
#[derive(Clone, Debug)]
pub struct Description {
    rows: Vec<Row>,
}

impl Description {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self { rows }
    }

    /// The rows: first what was found out, then the options in the order of the reference page.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// One option or derived fact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The documented variable, such as `DD_SERVICE`, or the name of a derived fact, such as `trace_agent`.
    pub option: &'static str,
    /// The value as it was written; `***` for a secret, `-` for none.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// The exact variable, setter or file, or the reason for a derived fact; empty for a default.
    pub place: String,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer values push their row aside instead of widening the table.
        const WIDEST: usize = 40;
        let width = |of: fn(&Row) -> &str| {
            self.rows
                .iter()
                .map(|row| of(row).chars().count())
                .max()
                .unwrap_or(0)
        };
        let option = width(|row| row.option);
        let value = width(|row| &row.value).min(WIDEST);
        for Row {
            option: name,
            value: text,
            origin,
            place,
        } in &self.rows
        {
            let line = format!("{name:option$}  {text:value$}  {origin:10}  {place}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

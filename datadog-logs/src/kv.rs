//! Key-values of the `log` macros as attributes.

use log::kv::{Error, Key, Source, Value as KvValue, VisitSource, VisitValue};

use crate::{Record, Value};

/// Adds the key-values of a line.
pub(crate) fn add(record: &mut Record, source: &dyn Source) {
    // An error means that a source of the caller's gave up; what it gave before stays.
    let _ = source.visit(&mut Adding(record));
}

struct Adding<'r>(&'r mut Record);

impl<'kvs> VisitSource<'kvs> for Adding<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: KvValue<'kvs>) -> Result<(), Error> {
        let mut reading = Reading(Value::Null);
        value.visit(&mut reading)?;
        self.0.set(key.as_str(), reading.0);
        Ok(())
    }
}

/// What was read last.
struct Reading<'v>(Value<'v>);

impl Reading<'_> {
    fn set(&mut self, value: impl Into<Value<'static>>) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }
}

impl<'v> VisitValue<'v> for Reading<'v> {
    /// Values that `log` knows by their `Display` or `Debug` only.
    fn visit_any(&mut self, value: KvValue<'_>) -> Result<(), Error> {
        self.set(value.to_string())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        self.set(Value::Null)
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.set(value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.set(value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        self.set(value)
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.set(value)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.set(value.to_owned())
    }

    fn visit_borrowed_str(&mut self, value: &'v str) -> Result<(), Error> {
        self.0 = value.into();
        Ok(())
    }
}

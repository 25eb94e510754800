//! Strict reading of decoded values, msgpack or JSON: what was expected and what came, in words.

use std::collections::BTreeMap;

use rmpv::Value;

/// Decodes JSON that has to be exactly one value.
pub(crate) fn json(text: &[u8]) -> Result<Value, String> {
    let value = serde_json::from_slice(text).map_err(|error| format!("not JSON: {error}"))?;
    Ok(from_json(value))
}

/// JSON's values are a subset of msgpack's, so one set of readers does for both.
fn from_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Boolean(value),
        serde_json::Value::Number(number) => {
            let whole = number.as_u64().map(Value::from);
            let whole = whole.or_else(|| number.as_i64().map(Value::from));
            whole.unwrap_or_else(|| Value::F64(number.as_f64().unwrap_or(f64::NAN)))
        }
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Array(values) => {
            Value::Array(values.into_iter().map(from_json).collect())
        }
        serde_json::Value::Object(fields) => {
            let pairs = fields
                .into_iter()
                .map(|(name, value)| (Value::from(name), from_json(value)));
            Value::Map(pairs.collect())
        }
    }
}

/// Decodes msgpack that has to be exactly one value.
pub(crate) fn msgpack(body: &[u8]) -> Result<Value, String> {
    let mut rest = body;
    let value =
        rmpv::decode::read_value(&mut rest).map_err(|error| format!("not msgpack: {error}"))?;
    match rest.len() {
        0 => Ok(value),
        left => Err(format!("{left} bytes follow the end of the payload")),
    }
}

/// The fields of a map with text keys, taken one by one.
pub(crate) struct Fields(BTreeMap<String, Value>);

impl Fields {
    pub(crate) fn of(value: Value) -> Result<Self, String> {
        map(value, Ok).map(Self)
    }

    /// Takes a field that has to be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<T, String> {
        let value = self
            .0
            .remove(name)
            .ok_or_else(|| format!("field `{name}` is missing"))?;
        read(value).map_err(|reason| format!("field `{name}`: {reason}"))
    }

    /// Takes a field that may be left out.
    pub(crate) fn optional<T: Default>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.0.contains_key(name) {
            self.required(name, read)
        } else {
            Ok(T::default())
        }
    }

    /// Fails on a field that nothing took.
    pub(crate) fn none_left(self) -> Result<(), String> {
        match self.0.into_keys().next() {
            Some(name) => Err(format!("field `{name}` is unknown")),
            None => Ok(()),
        }
    }
}

/// A map with text keys, none twice.
pub(crate) fn map<T>(
    value: Value,
    read: impl Fn(Value) -> Result<T, String>,
) -> Result<BTreeMap<String, T>, String> {
    let Value::Map(pairs) = value else {
        return Err(format!("expected a map, got {}", kind(&value)));
    };
    let mut entries = BTreeMap::new();
    for (key, value) in pairs {
        let key = text(key).map_err(|reason| format!("key: {reason}"))?;
        let value = read(value).map_err(|reason| format!("key `{key}`: {reason}"))?;
        if entries.insert(key.clone(), value).is_some() {
            return Err(format!("key `{key}` comes twice"));
        }
    }
    Ok(entries)
}

/// A list; `of` names what it holds.
pub(crate) fn list(value: Value, of: &str) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(format!("expected a list of {of}, got {}", kind(&other))),
    }
}

/// A list with each of its values read.
pub(crate) fn each<T>(
    value: Value,
    of: &str,
    read: impl Fn(Value) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    list(value, of)?
        .into_iter()
        .enumerate()
        .map(|(at, value)| read(value).map_err(|reason| format!("item {at}: {reason}")))
        .collect()
}

pub(crate) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => text
            .into_str()
            .ok_or_else(|| "a str is not UTF-8".to_owned()),
        other => Err(format!("expected a str, got {}", kind(&other))),
    }
}

/// Text that is not empty.
pub(crate) fn filled(value: Value) -> Result<String, String> {
    let text = text(value)?;
    if text.is_empty() {
        return Err("expected a str, got an empty one".to_owned());
    }
    Ok(text)
}

pub(crate) fn boolean(value: Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("expected a bool, got {}", kind(&value)))
}

/// An id: an unsigned 64-bit integer that is not zero.
pub(crate) fn id(value: Value) -> Result<u64, String> {
    match value.as_u64() {
        Some(id) if id != 0 => Ok(id),
        _ => Err(format!(
            "expected an integer from 1 to 2^64-1, got {}",
            kind(&value)
        )),
    }
}

pub(crate) fn unsigned(value: Value) -> Result<u64, String> {
    value
        .as_u64()
        .ok_or_else(|| format!("expected a non-negative integer, got {}", kind(&value)))
}

pub(crate) fn unsigned_32(value: Value) -> Result<u32, String> {
    let number = value.as_u64().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| format!("expected a 32-bit integer, got {}", kind(&value)))
}

pub(crate) fn signed(value: Value) -> Result<i64, String> {
    value
        .as_i64()
        .ok_or_else(|| format!("expected an integer, got {}", kind(&value)))
}

pub(crate) fn positive(value: Value) -> Result<i64, String> {
    match value.as_i64() {
        Some(number) if number > 0 => Ok(number),
        _ => Err(format!("expected a positive integer, got {}", kind(&value))),
    }
}

pub(crate) fn not_negative(value: Value) -> Result<i64, String> {
    match value.as_i64() {
        Some(number) if number >= 0 => Ok(number),
        _ => Err(format!(
            "expected a non-negative integer, got {}",
            kind(&value)
        )),
    }
}

/// A finite number, integer or float.
pub(crate) fn number(value: Value) -> Result<f64, String> {
    match value.as_f64() {
        Some(number) if number.is_finite() => Ok(number),
        _ => Err(format!("expected a finite number, got {}", kind(&value))),
    }
}

/// Bytes that are a msgpack map themselves.
pub(crate) fn packed_map(value: Value) -> Result<Vec<u8>, String> {
    let Value::Binary(bytes) = value else {
        return Err(format!("expected bin, got {}", kind(&value)));
    };
    match msgpack(&bytes)? {
        Value::Map(_) => Ok(bytes),
        other => Err(format!("expected a packed map, got {}", kind(&other))),
    }
}

/// What a value is, for error texts. Numbers are shown, texts are not: they may be long or private.
pub(crate) fn kind(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Boolean(_) => "bool".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::String(_) => "str".to_owned(),
        Value::Binary(_) => "bin".to_owned(),
        Value::Array(_) => "list".to_owned(),
        Value::Map(_) => "map".to_owned(),
        Value::Ext(..) => "ext".to_owned(),
    }
}

//! Decoded CPU and memory profiles: the pprof format with every reference checked and resolved.
//!
//! Messages and rules: `google/pprof: proto/profile.proto`. Labels and their kinds: `libdatadog:
//! libdd-profiling/src/internal/profile/mod.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use prost::Message;

/// A profile with its strings, functions and locations filled in.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Pprof {
    /// What each of a sample's values means.
    pub sample_types: Vec<SampleType>,
    /// The samples.
    pub samples: Vec<Sample>,
    /// What [`Pprof::period`] counts.
    pub period_type: Option<SampleType>,
    /// Distance between samples, in the unit of the period type.
    pub period: i64,
    /// When the profile was taken, in nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// How long it lasted, in nanoseconds.
    pub duration_ns: i64,
}

/// What a value means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampleType {
    /// Such as `cpu-time`.
    pub name: String,
    /// Such as `nanoseconds`.
    pub unit: String,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// One value for each sample type.
    pub values: Vec<i64>,
    /// The call stack, the innermost call first. Inlined calls are frames of their own.
    pub stack: Vec<Frame>,
    /// The labels in the order sent.
    pub labels: Vec<(Arc<str>, Label)>,
}

impl Sample {
    /// The first label of this name.
    pub fn label(&self, name: &str) -> Option<&Label> {
        let found = self.labels.iter().find(|(own, _)| &**own == name);
        found.map(|(_, label)| label)
    }
}

/// One call of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The function's name; the address in hexadecimal if it has none.
    pub function: Arc<str>,
    /// The source file; empty if unknown.
    pub file: Arc<str>,
    /// The line in the file; 0 if unknown.
    pub line: i64,
    /// The address of the instruction; 0 if unknown.
    pub address: u64,
}

/// The value of a label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Label {
    /// A text.
    Text(Arc<str>),
    /// A number. Span ids are 64-bit unsigned numbers in a signed field.
    Number(i64),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Number(number) => f.pad(&number.to_string()),
        }
    }
}

/// What one function cost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FunctionCost {
    /// The function's name.
    pub function: Arc<str>,
    /// The sum over samples in which it was the innermost call.
    pub self_value: i64,
    /// The sum over samples in which it was anywhere on the stack, once for each.
    pub total_value: i64,
}

impl Pprof {
    /// The place of a sample type in [`Sample::values`].
    pub fn sample_type(&self, name: &str) -> Option<usize> {
        self.sample_types.iter().position(|own| own.name == name)
    }

    /// What each function cost in this sample type, the highest self value first. `None` if there is no such sample type.
    pub fn hottest(&self, sample_type: &str) -> Option<Vec<FunctionCost>> {
        self.hottest_where(sample_type, |_| true)
    }

    /// Like [`Pprof::hottest`], counting only samples that `wanted` picks, such as those with a label.
    pub fn hottest_where(
        &self,
        sample_type: &str,
        wanted: impl Fn(&Sample) -> bool,
    ) -> Option<Vec<FunctionCost>> {
        let at = self.sample_type(sample_type)?;
        let mut costs: HashMap<&Arc<str>, (i64, i64)> = HashMap::new();
        for sample in self.samples.iter().filter(|sample| wanted(sample)) {
            let value = sample.values[at];
            if let Some(innermost) = sample.stack.first() {
                costs.entry(&innermost.function).or_default().0 += value;
            }
            let functions: HashSet<_> = sample.stack.iter().map(|frame| &frame.function).collect();
            for function in functions {
                costs.entry(function).or_default().1 += value;
            }
        }
        let mut costs: Vec<_> = costs
            .into_iter()
            .map(|(function, (self_value, total_value))| FunctionCost {
                function: Arc::clone(function),
                self_value,
                total_value,
            })
            .collect();
        costs.sort_by(|a, b| {
            let by_cost = (b.self_value, b.total_value).cmp(&(a.self_value, a.total_value));
            by_cost.then_with(|| a.function.cmp(&b.function))
        });
        Some(costs)
    }

    /// The sum of a sample type for each value of a label, such as `local root span id`. Samples without the label are
    /// left out. `None` if there is no such sample type.
    pub fn sum_by_label(&self, sample_type: &str, label: &str) -> Option<BTreeMap<Label, i64>> {
        let at = self.sample_type(sample_type)?;
        let mut sums = BTreeMap::new();
        for sample in &self.samples {
            if let Some(label) = sample.label(label) {
                *sums.entry(label.clone()).or_default() += sample.values[at];
            }
        }
        Some(sums)
    }

    /// The sum of a sample type over all samples. `None` if there is no such sample type.
    pub fn sum(&self, sample_type: &str) -> Option<i64> {
        let at = self.sample_type(sample_type)?;
        Some(self.samples.iter().map(|sample| sample.values[at]).sum())
    }
}

/// Decodes an unpacked profile and checks every index and reference in it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Pprof, String> {
    let wire =
        WireProfile::decode(bytes).map_err(|error| format!("not a pprof protobuf: {error}"))?;
    Tables::of(&wire)?.profile(&wire)
}

/// Labels that the backend takes as numbers only.
const NUMBER_LABELS: [&str; 3] = ["local root span id", "span id", "end_timestamp_ns"];

/// The profile's tables by id.
struct Tables {
    strings: Vec<Arc<str>>,
    /// Name and file.
    functions: HashMap<u64, (Arc<str>, Arc<str>)>,
    /// Frames, innermost first.
    locations: HashMap<u64, Vec<Frame>>,
}

impl Tables {
    fn of(wire: &WireProfile) -> Result<Self, String> {
        if wire
            .string_table
            .first()
            .is_none_or(|first| !first.is_empty())
        {
            return Err("string_table: entry 0 has to be the empty string".to_owned());
        }
        let strings = wire
            .string_table
            .iter()
            .map(|text| Arc::from(text.as_str()));
        let mut tables = Self {
            strings: strings.collect(),
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        let mut mappings = HashSet::new();
        for (at, mapping) in wire.mapping.iter().enumerate() {
            let place = |reason| format!("mapping {at}: {reason}");
            check_id(mapping.id).map_err(place)?;
            tables.string(mapping.filename).map_err(place)?;
            tables.string(mapping.build_id).map_err(place)?;
            if !mappings.insert(mapping.id) {
                return Err(place(format!("id {} comes twice", mapping.id)));
            }
        }
        for (at, function) in wire.function.iter().enumerate() {
            let place = |reason| format!("function {at}: {reason}");
            check_id(function.id).map_err(place)?;
            let name = tables.string(function.name).map_err(place)?;
            let file = tables.string(function.filename).map_err(place)?;
            tables.string(function.system_name).map_err(place)?;
            let known = tables.functions.insert(function.id, (name, file));
            if known.is_some() {
                return Err(place(format!("id {} comes twice", function.id)));
            }
        }
        for (at, location) in wire.location.iter().enumerate() {
            let place = |reason| format!("location {at}: {reason}");
            check_id(location.id).map_err(place)?;
            if location.mapping_id != 0 && !mappings.contains(&location.mapping_id) {
                return Err(place(format!(
                    "mapping {} does not exist",
                    location.mapping_id
                )));
            }
            let frames = tables.frames(location).map_err(place)?;
            if tables.locations.insert(location.id, frames).is_some() {
                return Err(place(format!("id {} comes twice", location.id)));
            }
        }
        Ok(tables)
    }

    fn profile(&self, wire: &WireProfile) -> Result<Pprof, String> {
        let sample_types: Vec<_> = wire
            .sample_type
            .iter()
            .map(|wire| self.sample_type(wire))
            .collect::<Result<_, _>>()
            .map_err(|reason| format!("sample_type: {reason}"))?;
        if sample_types.is_empty() {
            return Err("it has no sample types".to_owned());
        }
        let mut samples = Vec::with_capacity(wire.sample.len());
        for (at, sample) in wire.sample.iter().enumerate() {
            let sample = self.sample(sample, &sample_types);
            samples.push(sample.map_err(|reason| format!("sample {at}: {reason}"))?);
        }
        let period_type = wire.period_type.as_ref().map(|wire| self.sample_type(wire));
        for index in [wire.drop_frames, wire.keep_frames, wire.default_sample_type]
            .iter()
            .chain(&wire.comment)
        {
            self.string(*index)?;
        }
        if wire.duration_nanos < 0 {
            return Err(format!("duration_nanos is {}", wire.duration_nanos));
        }
        Ok(Pprof {
            sample_types,
            samples,
            period_type: period_type
                .transpose()
                .map_err(|reason| format!("period_type: {reason}"))?,
            period: wire.period,
            time_ns: wire.time_nanos,
            duration_ns: wire.duration_nanos,
        })
    }

    fn sample(&self, wire: &WireSample, types: &[SampleType]) -> Result<Sample, String> {
        if wire.value.len() != types.len() {
            return Err(format!(
                "{} values for {} sample types",
                wire.value.len(),
                types.len()
            ));
        }
        if let Some(negative) = wire.value.iter().find(|value| **value < 0) {
            return Err(format!("value {negative} is negative"));
        }
        let mut stack = Vec::with_capacity(wire.location_id.len());
        for id in &wire.location_id {
            let frames = self.locations.get(id);
            stack.extend_from_slice(frames.ok_or_else(|| format!("location {id} does not exist"))?);
        }
        let labels = wire.label.iter().enumerate().map(|(at, wire)| {
            self.label(wire)
                .map_err(|reason| format!("label {at}: {reason}"))
        });
        Ok(Sample {
            values: wire.value.clone(),
            stack,
            labels: labels.collect::<Result<_, _>>()?,
        })
    }

    fn label(&self, wire: &WireLabel) -> Result<(Arc<str>, Label), String> {
        let key = self.string(wire.key)?;
        if key.is_empty() {
            return Err("it has no key".to_owned());
        }
        self.string(wire.num_unit)?;
        let text = self.string(wire.str)?;
        if text.is_empty() {
            return Ok((key, Label::Number(wire.num)));
        }
        if wire.num != 0 {
            return Err(format!("`{key}` has both a text and a number"));
        }
        if NUMBER_LABELS.contains(&&*key) {
            return Err(format!("`{key}` has to be a number, not a text"));
        }
        Ok((key, Label::Text(text)))
    }

    fn frames(&self, location: &WireLocation) -> Result<Vec<Frame>, String> {
        if location.line.is_empty() {
            if location.address == 0 {
                return Err("it has neither a line nor an address".to_owned());
            }
            return Ok(vec![Frame {
                function: format!("{:#x}", location.address).into(),
                file: "".into(),
                line: 0,
                address: location.address,
            }]);
        }
        location
            .line
            .iter()
            .map(|line| {
                let function = self.functions.get(&line.function_id);
                let (name, file) = function
                    .ok_or_else(|| format!("function {} does not exist", line.function_id))?;
                Ok(Frame {
                    function: Arc::clone(name),
                    file: Arc::clone(file),
                    line: line.line,
                    address: location.address,
                })
            })
            .collect()
    }

    fn sample_type(&self, wire: &WireValueType) -> Result<SampleType, String> {
        let name = self.string(wire.r#type)?;
        let unit = self.string(wire.unit)?;
        if name.is_empty() || unit.is_empty() {
            return Err("it needs a type and a unit".to_owned());
        }
        Ok(SampleType {
            name: name.to_string(),
            unit: unit.to_string(),
        })
    }

    fn string(&self, index: i64) -> Result<Arc<str>, String> {
        let found = usize::try_from(index)
            .ok()
            .and_then(|at| self.strings.get(at));
        found.cloned().ok_or_else(|| {
            format!(
                "string {index} does not exist, there are {}",
                self.strings.len()
            )
        })
    }
}

fn check_id(id: u64) -> Result<(), String> {
    if id == 0 {
        return Err("id 0 is not allowed".to_owned());
    }
    Ok(())
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireProfile {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sample_type: Vec<WireValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<WireSample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) mapping: Vec<WireMapping>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) location: Vec<WireLocation>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) function: Vec<WireFunction>,
    #[prost(string, repeated, tag = "6")]
    pub(crate) string_table: Vec<String>,
    #[prost(int64, tag = "7")]
    pub(crate) drop_frames: i64,
    #[prost(int64, tag = "8")]
    pub(crate) keep_frames: i64,
    #[prost(int64, tag = "9")]
    pub(crate) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(crate) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(crate) period_type: Option<WireValueType>,
    #[prost(int64, tag = "12")]
    pub(crate) period: i64,
    #[prost(int64, repeated, tag = "13")]
    pub(crate) comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    pub(crate) default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct WireValueType {
    #[prost(int64, tag = "1")]
    pub(crate) r#type: i64,
    #[prost(int64, tag = "2")]
    pub(crate) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireSample {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(crate) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) label: Vec<WireLabel>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct WireLabel {
    #[prost(int64, tag = "1")]
    pub(crate) key: i64,
    #[prost(int64, tag = "2")]
    pub(crate) str: i64,
    #[prost(int64, tag = "3")]
    pub(crate) num: i64,
    #[prost(int64, tag = "4")]
    pub(crate) num_unit: i64,
}

/// The address range is of no use here and left out.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct WireMapping {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(int64, tag = "5")]
    pub(crate) filename: i64,
    #[prost(int64, tag = "6")]
    pub(crate) build_id: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireLocation {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) line: Vec<WireLine>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct WireLine {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct WireFunction {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) name: i64,
    #[prost(int64, tag = "3")]
    pub(crate) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(crate) filename: i64,
}

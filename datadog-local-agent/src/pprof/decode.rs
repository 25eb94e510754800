//! Reading a pprof: every index and reference is checked, then resolved.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prost::Message;

use super::wire::{WireLabel, WireLocation, WireProfile, WireSample, WireValueType};
use super::{Frame, Label, Pprof, Sample, SampleType};

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

#[cfg(test)]
mod tests {
    use super::super::wire::{WireFunction, WireLine, WireMapping};
    use super::*;

    /// One sample of 5 ns in `f` called by `g`; the strings are numbered as they stand.
    fn good() -> WireProfile {
        let strings = ["", "cpu-time", "nanoseconds", "f", "g", "span id", "file"];
        let cpu = WireValueType { r#type: 1, unit: 2 };
        let location = |id, function_id| WireLocation {
            id,
            mapping_id: 9,
            address: 0x10,
            line: vec![WireLine {
                function_id,
                line: 1,
            }],
        };
        let function = |id, name| WireFunction {
            id,
            name,
            system_name: name,
            filename: 6,
        };
        WireProfile {
            sample_type: vec![cpu],
            sample: vec![WireSample {
                location_id: vec![1, 2],
                value: vec![5],
                label: vec![WireLabel {
                    key: 5,
                    num: 7,
                    ..WireLabel::default()
                }],
            }],
            mapping: vec![WireMapping {
                id: 9,
                ..WireMapping::default()
            }],
            location: vec![location(1, 1), location(2, 2)],
            function: vec![function(1, 3), function(2, 4)],
            string_table: strings.map(str::to_owned).to_vec(),
            period_type: Some(cpu),
            period: 1,
            ..WireProfile::default()
        }
    }

    fn refused(change: impl FnOnce(&mut WireProfile)) -> String {
        let mut wire = good();
        change(&mut wire);
        decode(&wire.encode_to_vec()).unwrap_err()
    }

    #[test]
    fn a_good_profile_is_resolved() {
        let pprof = decode(&good().encode_to_vec()).unwrap();
        let stack: Vec<_> = pprof.samples[0].stack.iter().collect();
        assert_eq!((&*stack[0].function, &*stack[1].function), ("f", "g"));
        assert_eq!((&*stack[0].file, stack[0].address), ("file", 0x10));
        assert_eq!(pprof.samples[0].label("span id"), Some(&Label::Number(7)));
        assert_eq!(pprof.period_type.unwrap().name, "cpu-time");
    }

    #[test]
    fn a_location_without_a_line_is_named_by_its_address() {
        let mut wire = good();
        wire.location[0].line.clear();
        let pprof = decode(&wire.encode_to_vec()).unwrap();
        assert_eq!(&*pprof.samples[0].stack[0].function, "0x10");
    }

    #[test]
    fn recursion_counts_once() {
        let mut wire = good();
        wire.sample[0].location_id = vec![1, 1, 2, 1];
        let hottest = decode(&wire.encode_to_vec())
            .unwrap()
            .hottest("cpu-time")
            .unwrap();
        let totals: Vec<_> = hottest
            .iter()
            .map(|cost| (&*cost.function, cost.self_value, cost.total_value))
            .collect();
        assert_eq!(totals, [("f", 5, 5), ("g", 0, 5)]);
    }

    #[test]
    fn every_reference_is_checked() {
        for (got, wanted) in [
            (refused(|wire| wire.string_table.clear()), "string_table"),
            (
                refused(|wire| wire.string_table[0].push('x')),
                "string_table",
            ),
            (refused(|wire| wire.sample_type.clear()), "no sample types"),
            (
                refused(|wire| wire.sample_type[0].unit = 0),
                "sample_type: it needs",
            ),
            (
                refused(|wire| wire.sample_type[0].r#type = 7),
                "string 7 does not exist, there are 7",
            ),
            (
                refused(|wire| wire.function[1].name = -1),
                "function 1: string -1",
            ),
            (
                refused(|wire| wire.function[1].system_name = 99),
                "function 1: string 99",
            ),
            (
                refused(|wire| wire.function[1].filename = 99),
                "function 1: string 99",
            ),
            (refused(|wire| wire.function[1].id = 0), "function 1: id 0"),
            (
                refused(|wire| wire.function[1].id = 1),
                "function 1: id 1 comes twice",
            ),
            (refused(|wire| wire.mapping[0].id = 0), "mapping 0: id 0"),
            (
                refused(|wire| wire.mapping[0].filename = 99),
                "mapping 0: string 99",
            ),
            (
                refused(|wire| wire.mapping[0].build_id = 99),
                "mapping 0: string 99",
            ),
            (
                refused(|wire| wire.mapping.push(wire.mapping[0])),
                "mapping 1: id 9 comes twice",
            ),
            (refused(|wire| wire.location[0].id = 0), "location 0: id 0"),
            (
                refused(|wire| wire.location[1].id = 1),
                "location 1: id 1 comes twice",
            ),
            (
                refused(|wire| wire.location[1].mapping_id = 8),
                "location 1: mapping 8",
            ),
            (
                refused(|wire| wire.location[1].line[0].function_id = 8),
                "location 1: function 8 does not exist",
            ),
            (
                refused(|wire| {
                    wire.location[1].line.clear();
                    wire.location[1].address = 0;
                }),
                "location 1: it has neither",
            ),
            (
                refused(|wire| wire.sample[0].value.push(1)),
                "sample 0: 2 values for 1 sample types",
            ),
            (
                refused(|wire| wire.sample[0].value[0] = -5),
                "sample 0: value -5 is negative",
            ),
            (
                refused(|wire| wire.sample[0].location_id[1] = 3),
                "sample 0: location 3",
            ),
            (
                refused(|wire| wire.sample[0].label[0].key = 0),
                "label 0: it has no key",
            ),
            (
                refused(|wire| wire.sample[0].label[0].key = 99),
                "label 0: string 99",
            ),
            (
                refused(|wire| wire.sample[0].label[0].num_unit = 99),
                "label 0: string 99",
            ),
            (
                refused(|wire| wire.sample[0].label[0].str = 3),
                "both a text and a number",
            ),
            (
                refused(|wire| {
                    wire.sample[0].label[0].num = 0;
                    wire.sample[0].label[0].str = 3;
                }),
                "`span id` has to be a number",
            ),
            (refused(|wire| wire.comment.push(99)), "string 99"),
            (refused(|wire| wire.default_sample_type = 99), "string 99"),
            (
                refused(|wire| wire.duration_nanos = -1),
                "duration_nanos is -1",
            ),
            (
                refused(|wire| wire.period_type = Some(WireValueType::default())),
                "period_type: it needs",
            ),
        ] {
            assert!(got.contains(wanted), "wanted {wanted}, got {got}");
        }
        assert!(decode(b"\xff").unwrap_err().starts_with("not a pprof"));
    }
}

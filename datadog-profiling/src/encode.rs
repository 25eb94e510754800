//! A profile in the pprof format (google/pprof: `proto/profile.proto`).

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::counted::{Counted, Values};
use crate::modules::Module;
use crate::protobuf::Message;
use crate::sample::{Profile, SAMPLE_NANOS, Sample, SpanIds};
use crate::symbol::{Symbol, Symbols};

/// Fields of `Profile`.
mod profile {
    pub(super) const SAMPLE_TYPE: u64 = 1;
    pub(super) const SAMPLE: u64 = 2;
    pub(super) const MAPPING: u64 = 3;
    pub(super) const LOCATION: u64 = 4;
    pub(super) const FUNCTION: u64 = 5;
    pub(super) const STRING_TABLE: u64 = 6;
    pub(super) const TIME_NANOS: u64 = 9;
    pub(super) const DURATION_NANOS: u64 = 10;
    pub(super) const PERIOD_TYPE: u64 = 11;
    pub(super) const PERIOD: u64 = 12;
    pub(super) const DEFAULT_SAMPLE_TYPE: u64 = 14;
}

/// Fields of `ValueType`.
mod value_type {
    pub(super) const TYPE: u64 = 1;
    pub(super) const UNIT: u64 = 2;
}

/// Fields of `Sample`.
mod sample {
    pub(super) const LOCATION_ID: u64 = 1;
    pub(super) const VALUE: u64 = 2;
    pub(super) const LABEL: u64 = 3;
}

/// Fields of `Label`.
mod label {
    pub(super) const KEY: u64 = 1;
    pub(super) const STR: u64 = 2;
    pub(super) const NUM: u64 = 3;
}

/// Fields of `Mapping`.
mod mapping {
    pub(super) const ID: u64 = 1;
    pub(super) const MEMORY_START: u64 = 2;
    pub(super) const MEMORY_LIMIT: u64 = 3;
    pub(super) const FILE_OFFSET: u64 = 4;
    pub(super) const FILENAME: u64 = 5;
    pub(super) const BUILD_ID: u64 = 6;
    pub(super) const HAS_FUNCTIONS: u64 = 7;
}

/// Fields of `Location`.
mod location {
    pub(super) const ID: u64 = 1;
    pub(super) const MAPPING_ID: u64 = 2;
    pub(super) const ADDRESS: u64 = 3;
    pub(super) const LINE: u64 = 4;
}

/// Fields of `Line`.
mod line {
    pub(super) const FUNCTION_ID: u64 = 1;
    pub(super) const LINE: u64 = 2;
}

/// Fields of `Function`.
mod function {
    pub(super) const ID: u64 = 1;
    pub(super) const NAME: u64 = 2;
    pub(super) const SYSTEM_NAME: u64 = 3;
    pub(super) const FILENAME: u64 = 4;
}

/// Name and unit of each of a sample's values (libdatadog: `libdd-profiling/src/api/sample_type.rs`).
const CPU_SAMPLES: (&str, &str) = ("cpu-samples", "count");
const CPU_TIME: (&str, &str) = ("cpu-time", "nanoseconds");

/// The labels that the backend shows as the thread (ddprof: `src/pprof/ddprof_pprof.cc`).
const THREAD_NAME: &str = "thread name";
const THREAD_ID: &str = "thread id";

/// The labels that link a sample to its trace, as numbers (libdatadog: `libdd-profiling/src/internal/profile`).
const SPAN_ID: &str = "span id";
const LOCAL_ROOT_SPAN_ID: &str = "local root span id";

/// The label with the resource of the local root (dd-trace-go: `internal/traceprof/traceprof.go`).
const TRACE_ENDPOINT: &str = "trace endpoint";

/// The label that puts a sample on the timeline, a number (libdatadog: `libdd-profiling/src/internal/profile`).
const END_TIMESTAMP: &str = "end_timestamp_ns";

/// The label with the kind of an exception (dd-trace-py:
/// `ddtrace/internal/datadog/profiling/dd_wrapper/include/constants.hpp`).
const EXCEPTION_TYPE: &str = "exception type";

/// Encodes a profile, names its functions by `symbols`, and says which of the `modules` they are in.
pub(crate) fn encode(profile: &Profile, symbols: &mut Symbols, modules: &[Module]) -> Vec<u8> {
    let mut message = Message::default();
    let mut tables = Tables::new(symbols, modules);
    let present = Values::present(profile);
    for value in [CPU_SAMPLES, CPU_TIME].into_iter().chain(present.types()) {
        message.message(profile::SAMPLE_TYPE, &tables.value_type(value));
    }
    for sample in profile.samples.iter() {
        message.message(profile::SAMPLE, &tables.sample(sample, profile, &present));
    }
    for counted in &profile.counted {
        message.message(profile::SAMPLE, &tables.counted(counted, profile, &present));
    }
    let lasted = profile
        .end
        .duration_since(profile.start)
        .unwrap_or_default();
    message.number(profile::TIME_NANOS, unix_nanos(profile.start));
    message.number(profile::DURATION_NANOS, nanos(lasted));
    message.message(profile::PERIOD_TYPE, &tables.value_type(CPU_TIME));
    message.number(profile::PERIOD, SAMPLE_NANOS);
    message.number(profile::DEFAULT_SAMPLE_TYPE, tables.string(CPU_TIME.0));
    tables.add_mappings(&mut message);
    for table in [&tables.locations, &tables.functions, &tables.strings] {
        message.append(table);
    }
    message.into_bytes()
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What samples refer to by number, encoded as it comes up.
struct Tables<'a> {
    symbols: &'a mut Symbols,
    modules: &'a [Module],
    /// By the place in `modules`, of those that locations are in. The first id is 1.
    mappings: HashMap<usize, Mapping>,
    strings: Message,
    string_indexes: HashMap<Box<str>, u64>,
    functions: Message,
    /// By the strings of name and file. The first id is 1.
    function_ids: HashMap<(u64, u64), u64>,
    locations: Message,
    /// By address. The first id is 1.
    location_ids: HashMap<usize, u64>,
}

struct Mapping {
    id: u64,
    /// Whether a function in it has a name, and so need not be named by the backend.
    is_named: bool,
}

impl<'a> Tables<'a> {
    fn new(symbols: &'a mut Symbols, modules: &'a [Module]) -> Self {
        let mut tables = Self {
            symbols,
            modules,
            mappings: HashMap::new(),
            strings: Message::default(),
            string_indexes: HashMap::new(),
            functions: Message::default(),
            function_ids: HashMap::new(),
            locations: Message::default(),
            location_ids: HashMap::new(),
        };
        // The format wants the empty string first.
        tables.string("");
        tables
    }

    fn value_type(&mut self, (name, unit): (&str, &str)) -> Message {
        let mut message = Message::default();
        message.number(value_type::TYPE, self.string(name));
        message.number(value_type::UNIT, self.string(unit));
        message
    }

    fn sample(&mut self, sample: Sample<'_>, profile: &Profile, present: &Values) -> Message {
        let mut message = self.stack(sample.stack);
        let cpu = [sample.count, sample.count.saturating_mul(SAMPLE_NANOS)];
        let others = present.of(&Values::of_sample(&sample));
        message.numbers(sample::VALUE, cpu.into_iter().chain(others));
        self.label(&mut message, THREAD_NAME, sample.thread);
        if sample.thread_id != 0 {
            self.label(&mut message, THREAD_ID, &sample.thread_id.to_string());
        }
        self.span_labels(&mut message, sample.span, profile);
        if sample.time != 0 {
            self.number_label(&mut message, END_TIMESTAMP, sample.time);
        }
        message
    }

    fn counted(&mut self, counted: &Counted, profile: &Profile, present: &Values) -> Message {
        let mut message = self.stack(&counted.stack);
        let values = present.of(&counted.values);
        message.numbers(sample::VALUE, [0, 0].into_iter().chain(values));
        self.label(&mut message, THREAD_NAME, &counted.thread);
        self.label(&mut message, EXCEPTION_TYPE, counted.exception);
        self.span_labels(&mut message, counted.span, profile);
        message
    }

    fn span_labels(&mut self, sample: &mut Message, span: Option<SpanIds>, profile: &Profile) {
        let Some(span) = span else { return };
        if span.id != 0 {
            self.number_label(sample, SPAN_ID, span.id);
            self.number_label(sample, LOCAL_ROOT_SPAN_ID, span.local_root);
        }
        if let Some(endpoint) = profile.endpoints.by_root.get(&span.local_root) {
            self.label(sample, TRACE_ENDPOINT, endpoint);
        }
    }

    /// A sample that has its stack so far.
    fn stack(&mut self, stack: &[usize]) -> Message {
        let mut message = Message::default();
        let locations = stack.iter().map(|address| self.location(*address));
        message.numbers(sample::LOCATION_ID, locations);
        message
    }

    /// Labels a sample, unless the text is empty.
    fn label(&mut self, sample: &mut Message, key: &str, text: &str) {
        if !text.is_empty() {
            let mut label = Message::default();
            label.number(label::KEY, self.string(key));
            label.number(label::STR, self.string(text));
            sample.message(sample::LABEL, &label);
        }
    }

    fn number_label(&mut self, sample: &mut Message, key: &str, number: u64) {
        let mut label = Message::default();
        label.number(label::KEY, self.string(key));
        label.number(label::NUM, number);
        sample.message(sample::LABEL, &label);
    }

    fn location(&mut self, address: usize) -> u64 {
        if let Some(id) = self.location_ids.get(&address) {
            return *id;
        }
        let id = self.location_ids.len() as u64 + 1;
        self.location_ids.insert(address, id);
        let mut message = Message::default();
        message.number(location::ID, id);
        // Within the call instruction, as the format wants it, not behind it.
        let within = address.saturating_sub(1) as u64;
        message.number(location::ADDRESS, within);
        // A copy, because naming them changes the tables.
        let symbols = self.symbols.at(address).to_vec();
        message.number(
            location::MAPPING_ID,
            self.mapping(within, !symbols.is_empty()),
        );
        for symbol in symbols {
            let mut line = Message::default();
            line.number(line::FUNCTION_ID, self.function(&symbol));
            line.number(line::LINE, symbol.line.into());
            message.message(location::LINE, &line);
        }
        self.locations.message(profile::LOCATION, &message);
        id
    }

    /// The id of the mapping that an address is in; 0 where that is not known.
    fn mapping(&mut self, address: u64, is_named: bool) -> u64 {
        let is_in = |module: &Module| (module.start..module.end).contains(&address);
        let Some(module) = self.modules.iter().position(is_in) else {
            return 0;
        };
        let id = self.mappings.len() as u64 + 1;
        let mapping = self.mappings.entry(module).or_insert(Mapping {
            id,
            is_named: false,
        });
        mapping.is_named |= is_named;
        mapping.id
    }

    /// To be called when all locations are there.
    fn add_mappings(&mut self, whole: &mut Message) {
        let modules = self.modules;
        for (module, Mapping { id, is_named }) in std::mem::take(&mut self.mappings) {
            let module = &modules[module];
            let mut message = Message::default();
            message.number(mapping::ID, id);
            message.number(mapping::MEMORY_START, module.start);
            message.number(mapping::MEMORY_LIMIT, module.end);
            message.number(mapping::FILE_OFFSET, module.offset);
            message.number(mapping::FILENAME, self.string(&module.file));
            message.number(mapping::BUILD_ID, self.string(&module.build_id));
            message.number(mapping::HAS_FUNCTIONS, is_named.into());
            whole.message(profile::MAPPING, &message);
        }
    }

    fn function(&mut self, symbol: &Symbol) -> u64 {
        let (name, file) = (self.string(&symbol.name), self.string(&symbol.file));
        if let Some(id) = self.function_ids.get(&(name, file)) {
            return *id;
        }
        let id = self.function_ids.len() as u64 + 1;
        self.function_ids.insert((name, file), id);
        let mut message = Message::default();
        message.number(function::ID, id);
        message.number(function::NAME, name);
        message.number(function::SYSTEM_NAME, name);
        message.number(function::FILENAME, file);
        self.functions.message(profile::FUNCTION, &message);
        id
    }

    fn string(&mut self, text: &str) -> u64 {
        if let Some(index) = self.string_indexes.get(text) {
            return *index;
        }
        let index = self.string_indexes.len() as u64;
        self.string_indexes.insert(text.into(), index);
        self.strings.bytes(profile::STRING_TABLE, text.as_bytes());
        index
    }
}

#[cfg(test)]
mod tests {
    use libdd_profiling_protobuf::prost_impls::{self as read, Message as _};

    use datadog_transport::profiled::Endpoints;

    use super::*;
    use crate::sample::Samples;

    fn decoded(samples: &[Sample<'_>]) -> read::Profile {
        decoded_with(samples, Vec::new())
    }

    fn decoded_with(samples: &[Sample<'_>], counted: Vec<Counted>) -> read::Profile {
        let mut all = Samples::default();
        samples.iter().for_each(|sample| all.add(*sample));
        let start = UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let profile = Profile {
            samples: all,
            counted,
            endpoints: Endpoints {
                by_root: [(8, "GET /cart".into())].into(),
                ..Endpoints::default()
            },
            start,
            end: start + Duration::from_millis(1500),
        };
        let modules = [Module {
            start: 1 << 40,
            end: u64::MAX,
            offset: 4096,
            file: "/opt/shop".to_owned(),
            build_id: "ab01".to_owned(),
        }];
        let bytes = encode(&profile, &mut Symbols::default(), &modules);
        read::Profile::decode(&*bytes).unwrap()
    }

    fn text(profile: &read::Profile, index: i64) -> &str {
        &profile.string_table[index as usize]
    }

    /// The return addresses of this test's own stack.
    fn addresses() -> Vec<usize> {
        let mut stack = Vec::new();
        backtrace::trace(|frame| {
            stack.push(frame.ip() as usize);
            frame.ip() as usize != 0
        });
        stack
    }

    #[test]
    fn another_reader_finds_types_times_and_counts() {
        let stack = addresses();
        let (inner, outer) = (&stack[..], &stack[1..]);
        let profile = decoded(&[
            Sample {
                stack: inner,
                thread: "main",
                count: 3,
                ..Sample::default()
            },
            Sample {
                stack: inner,
                thread: "main",
                count: 4,
                ..Sample::default()
            },
            Sample {
                stack: outer,
                thread: "",
                count: 1,
                ..Sample::default()
            },
        ]);
        assert_eq!(profile.string_table[0], "");
        let types: Vec<_> = profile
            .sample_types
            .iter()
            .chain(&profile.period_type)
            .map(|own| (text(&profile, own.r#type), text(&profile, own.unit)))
            .collect();
        assert_eq!(types, [CPU_SAMPLES, CPU_TIME, CPU_TIME]);
        assert_eq!(text(&profile, profile.default_sample_type), "cpu-time");
        assert_eq!(profile.period, 10_101_010);
        assert_eq!(profile.time_nanos, 1_767_323_045_000_000_000);
        assert_eq!(profile.duration_nanos, 1_500_000_000);

        let mut samples = profile.samples.clone();
        samples.sort_by_key(|sample| sample.values[0]);
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].values, [1, 10_101_010]);
        assert_eq!(samples[0].labels, []);
        assert_eq!(samples[1].values, [7, 7 * 10_101_010]);
        let label = &samples[1].labels[0];
        assert_eq!(
            (text(&profile, label.key), text(&profile, label.str)),
            ("thread name", "main")
        );
        assert_eq!(samples[1].location_ids.len(), stack.len());
        assert_eq!(
            samples[1].location_ids[1..],
            samples[0].location_ids,
            "an address has one location"
        );
    }

    #[test]
    fn each_kind_of_value_has_a_column_where_there_is_one() {
        let counted = |values, exception| Counted {
            stack: [32].into(),
            thread: "main".into(),
            exception,
            span: None,
            values,
        };
        let held = Values {
            in_use_objects: 3,
            in_use_bytes: 300,
            ..Values::default()
        };
        let panicked = Values {
            exceptions: 1,
            ..Values::default()
        };
        let profile = decoded_with(
            &[Sample {
                stack: &[16],
                thread: "",
                count: 1,
                ..Sample::default()
            }],
            vec![counted(held, ""), counted(panicked, "panic")],
        );
        let types: Vec<_> = profile
            .sample_types
            .iter()
            .map(|own| (text(&profile, own.r#type), text(&profile, own.unit)))
            .collect();
        assert_eq!(
            types,
            [
                CPU_SAMPLES,
                CPU_TIME,
                ("inuse-objects", "count"),
                ("inuse-space", "bytes"),
                ("exception-samples", "count"),
            ]
        );
        let values: Vec<_> = profile
            .samples
            .iter()
            .map(|sample| sample.values.clone())
            .collect();
        assert_eq!(
            values,
            [[1, 10_101_010, 0, 0, 0], [0, 0, 3, 300, 0], [0, 0, 0, 0, 1]]
        );
        let labels: Vec<_> = profile.samples[2]
            .labels
            .iter()
            .map(|label| (text(&profile, label.key), text(&profile, label.str)))
            .collect();
        assert_eq!(
            labels,
            [("thread name", "main"), ("exception type", "panic")]
        );
    }

    #[test]
    fn another_reader_finds_span_endpoint_and_time() {
        let seen = |span, time| Sample {
            stack: &[16],
            count: 1,
            span,
            time,
            ..Sample::default()
        };
        let (id, big) = (7, u64::MAX - 5);
        let profile = decoded(&[
            seen(Some(SpanIds { id, local_root: 8 }), 0),
            seen(Some(SpanIds { id, local_root: 9 }), 0),
            seen(
                Some(SpanIds {
                    id: big,
                    local_root: big,
                }),
                0,
            ),
            seen(
                Some(SpanIds {
                    id: 0,
                    local_root: 8,
                }),
                0,
            ),
            seen(None, 1_767_323_045_000_000_001),
            seen(None, 1_767_323_045_000_000_002),
        ]);
        let mut found: Vec<String> = profile
            .samples
            .iter()
            .map(|sample| {
                let labels = sample.labels.iter().map(|label| {
                    let (key, text) = (text(&profile, label.key), text(&profile, label.str));
                    format!("{key}={text}{}", label.num as u64)
                });
                labels.collect::<Vec<_>>().join(" ")
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "end_timestamp_ns=1767323045000000001",
                "end_timestamp_ns=1767323045000000002",
                &format!("span id={big} local root span id={big}"),
                "span id=7 local root span id=8 trace endpoint=GET /cart0",
                "span id=7 local root span id=9",
                "trace endpoint=GET /cart0",
            ]
        );
    }

    #[test]
    fn another_reader_finds_the_functions_of_each_address() {
        let stack = addresses();
        let profile = decoded(&[Sample {
            stack: &stack,
            thread: "main",
            count: 1,
            ..Sample::default()
        }]);
        for (address, id) in stack.iter().zip(&profile.samples[0].location_ids) {
            let location = profile
                .locations
                .iter()
                .find(|location| location.id == *id)
                .unwrap();
            assert_eq!(location.address, address.saturating_sub(1) as u64);
            let named: Vec<_> = location
                .lines
                .iter()
                .map(|line| {
                    let function = profile
                        .functions
                        .iter()
                        .find(|function| function.id == line.function_id)
                        .unwrap();
                    Symbol {
                        name: text(&profile, function.name).to_owned(),
                        file: text(&profile, function.filename).to_owned(),
                        line: line.line as u32,
                    }
                })
                .collect();
            assert_eq!(named, Symbols::default().at(*address));
        }
        let names: Vec<_> = profile
            .functions
            .iter()
            .map(|function| text(&profile, function.name))
            .collect();
        assert!(
            names.iter().any(|name| name.contains("addresses")),
            "{names:?}"
        );
    }

    #[test]
    fn addresses_are_in_the_file_that_they_were_loaded_from() {
        let addresses = [0x7700_0000_0001, 32, 0x7700_0000_0011];
        let profile = decoded(&[Sample {
            stack: &addresses,
            thread: "",
            count: 1,
            ..Sample::default()
        }]);
        let ids: Vec<_> = profile.locations.iter().map(|at| at.mapping_id).collect();
        assert_eq!(ids, [1, 0, 1]);
        let [mapping] = &profile.mappings[..] else {
            panic!("{:?}", profile.mappings);
        };
        assert_eq!(
            (mapping.id, mapping.memory_start, mapping.memory_limit),
            (1, 1 << 40, u64::MAX)
        );
        assert_eq!((mapping.file_offset, mapping.has_functions), (4096, false));
        assert_eq!(
            (
                text(&profile, mapping.filename),
                text(&profile, mapping.build_id)
            ),
            ("/opt/shop", "ab01")
        );
    }

    #[test]
    fn an_address_without_a_symbol_keeps_its_address() {
        let profile = decoded(&[Sample {
            stack: &[17],
            thread: "",
            count: 1,
            ..Sample::default()
        }]);
        assert_eq!(profile.locations[0].address, 16);
        assert_eq!(profile.locations[0].lines, []);
    }
}

//! Decoded CPU and memory profiles: the pprof format with every reference checked and resolved.
//!
//! Messages and rules: `google/pprof: proto/profile.proto`. Labels and their kinds: `libdatadog:
//! libdd-profiling/src/internal/profile/mod.rs`.

mod decode;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

pub(crate) use decode::decode;

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

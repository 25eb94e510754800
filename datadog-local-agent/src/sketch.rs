//! DDSketches: histograms whose quantiles are off by a known part at most.

use std::collections::BTreeMap;

use prost::Message;

/// A decoded sketch of durations in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    gamma: f64,
    index_offset: f64,
    zeros: f64,
    bins: BTreeMap<i32, f64>,
}

impl Sketch {
    /// Decodes a sketch that holds no negative values (`sketches-go: ddsketch/pb/sketchpb/ddsketch.proto`).
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let sketch = wire::DdSketch::decode(bytes)
            .map_err(|error| format!("not a DDSketch in Protocol Buffers: {error}"))?;
        let mapping = sketch.mapping.ok_or("the sketch has no mapping")?;
        if !(mapping.gamma > 1.0 && mapping.gamma.is_finite()) {
            return Err(format!("the sketch's gamma is {}", mapping.gamma));
        }
        if mapping.interpolation != 0 || !mapping.index_offset.is_finite() {
            return Err("the sketch's mapping is not the logarithm itself".to_owned());
        }
        let positive = sketch.positive_values.unwrap_or_default().bins()?;
        let negative = sketch.negative_values.unwrap_or_default().bins()?;
        if !negative.is_empty() {
            return Err("the sketch has negative values".to_owned());
        }
        Ok(Self {
            gamma: mapping.gamma,
            index_offset: mapping.index_offset,
            zeros: count(sketch.zero_count)?,
            bins: positive,
        })
    }

    /// How many values there are.
    pub fn count(&self) -> f64 {
        self.zeros + self.bins.values().sum::<f64>()
    }

    /// By which part quantiles are off at most, such as 0.01.
    pub fn relative_accuracy(&self) -> f64 {
        1.0 - 2.0 / (1.0 + self.gamma)
    }

    /// The value below which the part `quantile` (0 to 1) of all values lies; `None` for an empty sketch.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        let rank = quantile * (count - 1.0);
        if count == 0.0 {
            return None;
        }
        let mut seen = self.zeros;
        if seen > rank {
            return Some(0.0);
        }
        let (bin, _) = self.bins.iter().find(|(_, count)| {
            seen += **count;
            seen > rank
        })?;
        // In the middle of the bin, by its relative width.
        let lower = ((f64::from(*bin) - self.index_offset) * self.gamma.ln()).exp();
        Some(lower * (1.0 + self.relative_accuracy()))
    }
}

fn count(count: f64) -> Result<f64, String> {
    if count >= 0.0 && count.is_finite() {
        Ok(count)
    } else {
        Err(format!("the sketch has a count of {count}"))
    }
}

impl wire::Store {
    /// The counts that are not zero, by bin.
    fn bins(self) -> Result<BTreeMap<i32, f64>, String> {
        let offset = self.contiguous_bin_index_offset;
        let contiguous = (offset..).zip(self.contiguous_bin_counts);
        let mut bins = BTreeMap::new();
        for (bin, weight) in self.bin_counts.into_iter().chain(contiguous) {
            if count(weight)? > 0.0 {
                *bins.entry(bin).or_default() += weight;
            }
        }
        Ok(bins)
    }
}

mod wire {
    use std::collections::HashMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct DdSketch {
        #[prost(message, optional, tag = "1")]
        pub(super) mapping: Option<IndexMapping>,
        #[prost(message, optional, tag = "2")]
        pub(super) positive_values: Option<Store>,
        #[prost(message, optional, tag = "3")]
        pub(super) negative_values: Option<Store>,
        #[prost(double, tag = "4")]
        pub(super) zero_count: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct IndexMapping {
        #[prost(double, tag = "1")]
        pub(super) gamma: f64,
        #[prost(double, tag = "2")]
        pub(super) index_offset: f64,
        #[prost(int32, tag = "3")]
        pub(super) interpolation: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Store {
        #[prost(map = "sint32, double", tag = "1")]
        pub(super) bin_counts: HashMap<i32, f64>,
        #[prost(double, repeated, tag = "2")]
        pub(super) contiguous_bin_counts: Vec<f64>,
        #[prost(sint32, tag = "3")]
        pub(super) contiguous_bin_index_offset: i32,
    }
}

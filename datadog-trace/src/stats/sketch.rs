//! A DDSketch: a histogram whose quantiles are at most 1 % off (<https://arxiv.org/abs/1908.10693>).

use std::sync::LazyLock;

use crate::protobuf::{double, head, message, uint};

/// How much wider each bin is than the one before it: (1 + a) / (1 - a) for the relative accuracy a = 0.01, as the
/// agent's own statistics have it (datadog-agent: `pkg/trace/stats/statsraw.go`).
const GAMMA: f64 = 1.01 / 0.99;

/// The most bins of a sketch; what is below them counts as the lowest (datadog-agent: `pkg/trace/stats/statsraw.go`).
const MOST_BINS: i32 = 2048;

static BINS_PER_E: LazyLock<f64> = LazyLock::new(|| 1.0 / GAMMA.ln());

/// How often values of each bin came. Bin `i` is for values from `GAMMA`^i up to before `GAMMA`^(i + 1).
#[derive(Clone, Debug, Default)]
pub(crate) struct Sketch {
    zeros: u64,
    /// The bins that have values, lowest first: most sketches have few.
    bins: Vec<(i32, u64)>,
}

impl Sketch {
    /// Counts a duration.
    pub(crate) fn add(&mut self, value: u64) {
        if value == 0 {
            self.zeros += 1;
            return;
        }
        let bin = ((value as f64).ln() * *BINS_PER_E).floor() as i32;
        match self.bins.binary_search_by_key(&bin, |(known, _)| *known) {
            Ok(place) => self.bins[place].1 += 1,
            Err(place) => self.bins.insert(place, (bin, 1)),
        }
    }

    /// Writes the sketch in Protocol Buffers (sketches-go: `ddsketch/pb/sketchpb/ddsketch.proto`).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        message(out, 1, |mapping| double(mapping, 1, GAMMA));
        message(out, 2, |positive| self.encode_bins(positive));
        message(out, 3, |_negative| ());
        if self.zeros > 0 {
            double(out, 4, self.zeros as f64);
        }
    }

    fn encode_bins(&self, out: &mut Vec<u8>) {
        let (Some((first, _)), Some((last, _))) = (self.bins.first(), self.bins.last()) else {
            return;
        };
        let lowest = (*first).max(last - MOST_BINS + 1);
        let mut counts = vec![0.0; (last - lowest + 1) as usize];
        for (bin, count) in &self.bins {
            let place = (bin - lowest).max(0) as usize;
            if let Some(sum) = counts.get_mut(place) {
                *sum += *count as f64;
            }
        }
        head(out, 2, counts.len() * 8);
        counts
            .iter()
            .for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
        if lowest != 0 {
            uint(out, 3, zigzag(lowest).into());
        }
    }
}

fn zigzag(number: i32) -> u32 {
    (number << 1 ^ number >> 31) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(values: &[u64]) -> Vec<u8> {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        let mut out = Vec::new();
        sketch.encode(&mut out);
        out
    }

    #[test]
    fn few_values_are_written_byte_by_byte() {
        let mapping = [&[0x0a, 9, 0x09][..], &GAMMA.to_le_bytes()].concat();
        assert_eq!(
            encoded(&[]),
            [&mapping[..], &[0x12, 0, 0x1a, 0]].concat(),
            "nothing"
        );
        let one = 1f64.to_le_bytes();
        // 100 is in bin 230: ln(100) / ln(GAMMA) = 230.2…; zigzag makes 460 of it, that is 0xcc 0x03.
        assert_eq!(
            encoded(&[100]),
            [
                &mapping[..],
                &[0x12, 13, 0x12, 8],
                &one,
                &[0x18, 0xcc, 0x03, 0x1a, 0]
            ]
            .concat()
        );
        // 1 is in bin 0, which is the default and left out.
        assert_eq!(
            encoded(&[1, 0]),
            [
                &mapping[..],
                &[0x12, 10, 0x12, 8],
                &one,
                &[0x1a, 0, 0x21],
                &one
            ]
            .concat()
        );
    }

    #[test]
    fn what_is_too_far_below_the_highest_counts_as_the_lowest() {
        let bytes = encoded(&[1, 2, u64::MAX]);
        // The mapping, two heads of 4 bytes, the counts, the offset of 3 bytes, and no negative ones.
        assert_eq!(bytes.len(), 11 + 4 + 4 + MOST_BINS as usize * 8 + 3 + 2);
        let first = 11 + 4 + 4;
        assert_eq!(
            f64::from_le_bytes(bytes[first..first + 8].try_into().unwrap()),
            2.0
        );
    }
}

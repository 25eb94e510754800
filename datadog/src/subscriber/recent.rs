//! Texts that a library tells of a call when it starts, for what it tells when the call is done.

use super::lock::Lock;

/// How many are known at the same time. Of a call that runs while so many others start, the text is lost.
const MOST: usize = 1_024;

/// The longest text that is kept, in bytes.
const LONGEST: usize = 256;

/// Texts by the numbers of calls, each in the place that is left when its number is divided by how many there are.
#[derive(Debug, Default)]
pub(super) struct Recent(Lock<Vec<(u64, String)>>);

impl Recent {
    pub(super) fn note(&self, number: u64, text: &str) {
        let Some(mut known) = self.0.lock() else {
            return;
        };
        if known.is_empty() {
            known.resize(MOST, (0, String::new()));
        }
        let (of, kept) = &mut known[place(number)];
        *of = number;
        kept.clear();
        if text.len() <= LONGEST {
            kept.push_str(text);
        }
    }

    /// Calls `tell` with the text of a call, if it is known.
    pub(super) fn tell(&self, number: u64, tell: impl FnOnce(&str)) {
        if let Some(known) = self.0.lock()
            && let Some((of, text)) = known.get(place(number))
            && *of == number
            && !text.is_empty()
        {
            tell(text);
        }
    }
}

fn place(number: u64) -> usize {
    (number % MOST as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(recent: &Recent, number: u64) -> Option<String> {
        let mut told = None;
        recent.tell(number, |text| told = Some(text.to_owned()));
        told
    }

    #[test]
    fn so_many_are_known_and_none_that_is_another_s() {
        let recent = Recent::default();
        assert_eq!(told(&recent, 0), None);
        for number in 0..=MOST as u64 {
            recent.note(number, &number.to_string());
        }
        assert_eq!(told(&recent, 0), None, "it lost its place");
        assert_eq!(told(&recent, 1), Some("1".to_owned()));
        assert_eq!(told(&recent, MOST as u64), Some("1024".to_owned()));
        recent.note(1, &"long".repeat(LONGEST));
        assert_eq!(told(&recent, 1), None);
    }
}

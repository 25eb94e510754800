//! Names of the functions at addresses.

use std::collections::HashMap;
use std::ffi::c_void;

/// Addresses that are remembered: some 10 MB with long names.
const MOST_ADDRESSES: usize = 16_384;

/// A function in the program's source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// Its path, such as `shop::cart::total`, without the hash that the compiler adds.
    pub(crate) name: String,
    /// The source file; empty where it is not known.
    pub(crate) file: String,
    /// The line; 0 where it is not known.
    pub(crate) line: u32,
}

/// Finds symbols, and remembers them: most addresses come again in the next profile.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    known: HashMap<usize, Vec<Symbol>>,
}

impl Symbols {
    /// The functions at a return address: the innermost inlined one first, the one that the machine called last.
    /// None where the program has no symbol there.
    pub(crate) fn at(&mut self, address: usize) -> &[Symbol] {
        if self.known.len() >= MOST_ADDRESSES && !self.known.contains_key(&address) {
            self.known.clear();
        }
        self.known.entry(address).or_insert_with(|| find(address))
    }
}

/// The name of the function at a return address, that of the outermost where others are inlined into it.
#[cfg(any(test, feature = "pprof"))]
pub(crate) fn function_name(address: usize) -> Option<String> {
    find(address).pop().map(|symbol| symbol.name)
}

fn find(address: usize) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    backtrace::resolve(address as *mut c_void, |found| {
        // The alternate form leaves the hash away.
        let Some(name) = found.name().map(|name| format!("{name:#}")) else {
            return;
        };
        symbols.push(Symbol {
            name,
            file: found
                .filename()
                .map(|file| file.to_string_lossy().into_owned())
                .unwrap_or_default(),
            line: found.lineno().unwrap_or(0),
        });
    });
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_function_with_file_and_line() {
        let mut stack = Vec::new();
        let line = line!() + 1;
        backtrace::trace(|frame| {
            stack.push(frame.ip() as usize);
            true
        });
        let mut symbols = Symbols::default();
        let here = stack.iter().find_map(|address| {
            let found = symbols.at(*address);
            let own =
                |symbol: &&Symbol| symbol.name.ends_with("names_a_function_with_file_and_line");
            found.iter().find(own).cloned()
        });
        let here = here.expect("this test is on its own stack");
        assert!(here.file.ends_with("src/symbol.rs"), "{here:?}");
        assert_eq!(here.line, line);
    }

    #[test]
    fn an_address_outside_the_program_has_no_symbol() {
        assert_eq!(Symbols::default().at(16), []);
        assert_eq!(function_name(16), None);
    }

    #[test]
    fn forgets_rather_than_grows() {
        let mut symbols = Symbols::default();
        for address in 0..=MOST_ADDRESSES {
            symbols.known.insert(address, Vec::new());
        }
        symbols.at(usize::MAX);
        assert_eq!(symbols.known.len(), 1);
    }
}

//! The files that the program's code was loaded from, and their build ids, by which symbols are found elsewhere.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};

/// A piece of a file in memory, from which code runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// The first address.
    pub(crate) start: u64,
    /// The address after the last.
    pub(crate) end: u64,
    /// Where in the file the first address is.
    pub(crate) offset: u64,
    /// The path of the file.
    pub(crate) file: String,
    /// The GNU build id in hexadecimal; empty where the file has none.
    pub(crate) build_id: String,
}

/// Finds modules, and remembers the build ids of files: reading them takes system calls.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    build_ids: HashMap<String, String>,
}

impl Modules {
    /// Those of this moment, by address. None on systems other than Linux.
    pub(crate) fn loaded(&mut self) -> Vec<Module> {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mut modules: Vec<_> = maps.lines().filter_map(parse).collect();
        for module in &mut modules {
            let known = self.build_ids.get(&module.file);
            module.build_id = known.cloned().unwrap_or_else(|| {
                // A file that was replaced or is hidden from this process has none.
                let id = build_id_of(&module.file).ok().flatten().unwrap_or_default();
                self.build_ids.insert(module.file.clone(), id.clone());
                id
            });
        }
        modules
    }
}

/// A line of `/proc/self/maps` (proc_pid_maps(5)), if it is of code in a file.
pub(crate) fn parse(line: &str) -> Option<Module> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()?.contains('x');
    let offset = fields.next()?;
    // Device and inode come between.
    let file = fields.nth(2)?.trim_start();
    (is_code && file.starts_with('/')).then_some(())?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(Module {
        start: number(start)?,
        end: number(end)?,
        offset: number(offset)?,
        file: file.to_owned(),
        build_id: String::new(),
    })
}

fn build_id_of(file: &str) -> io::Result<Option<String>> {
    // Not a device, which may wait or do something when it is read.
    if !fs::metadata(file)?.is_file() {
        return Ok(None);
    }
    build_id(&mut File::open(file)?)
}

/// The most bytes of a note segment that are read. Real ones have some 100.
const MOST_NOTES: u64 = 64 << 10;

/// `PT_NOTE` and `NT_GNU_BUILD_ID` (elf(5)).
const SEGMENT_OF_NOTES: u32 = 4;
const NOTE_OF_BUILD_ID: u32 = 3;

/// Reads the build id of a 64-bit ELF file of this machine's byte order (elf(5)).
fn build_id(file: &mut (impl Read + Seek)) -> io::Result<Option<String>> {
    let mut header = [0; 64];
    file.read_exact(&mut header)?;
    if header[..5] != *b"\x7fELF\x02" {
        return Ok(None);
    }
    let (table, size, count) = (long(&header, 32), short(&header, 54), short(&header, 56));
    for index in 0..u64::from(count) {
        let mut segment = [0; 56];
        let at = index.saturating_mul(size.into()).saturating_add(table);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut segment)?;
        if word(&segment, 0) == SEGMENT_OF_NOTES {
            let mut notes = Vec::new();
            file.seek(SeekFrom::Start(long(&segment, 8)))?;
            let size = long(&segment, 32).min(MOST_NOTES);
            file.take(size).read_to_end(&mut notes)?;
            let align = if long(&segment, 48) == 8 { 8 } else { 4 };
            if let Some(id) = id_among(&notes, align) {
                return Ok(Some(id.iter().map(|byte| format!("{byte:02x}")).collect()));
            }
        }
    }
    Ok(None)
}

/// The description of the note that has the build id.
fn id_among(mut notes: &[u8], align: usize) -> Option<&[u8]> {
    loop {
        let (header, rest) = notes.split_at_checked(12)?;
        let (name_len, len) = (word(header, 0) as usize, word(header, 4) as usize);
        let name = rest.get(..name_len)?;
        let rest = rest.get(name_len.next_multiple_of(align)..)?;
        let description = rest.get(..len)?;
        if word(header, 8) == NOTE_OF_BUILD_ID && name == b"GNU\0" {
            return Some(description);
        }
        notes = rest.get(len.next_multiple_of(align)..)?;
    }
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(array(bytes, at))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(array(bytes, at))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(array(bytes, at))
}

/// The bytes from here on; zeros where there are not enough.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// An ELF file with one segment of these notes, each a type, a name and a description.
    fn elf(notes: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
        let mut segment = Vec::new();
        for (kind, name, description) in notes {
            for number in [name.len() as u32, description.len() as u32, *kind] {
                segment.extend(number.to_ne_bytes());
            }
            for part in [name, description] {
                segment.extend(*part);
                segment.resize(segment.len().next_multiple_of(4), 0);
            }
        }
        let mut file = vec![0; 120];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        file[32..40].copy_from_slice(&64u64.to_ne_bytes());
        file[54..56].copy_from_slice(&56u16.to_ne_bytes());
        file[56..58].copy_from_slice(&1u16.to_ne_bytes());
        file[64..68].copy_from_slice(&SEGMENT_OF_NOTES.to_ne_bytes());
        file[72..80].copy_from_slice(&120u64.to_ne_bytes());
        file[96..104].copy_from_slice(&(segment.len() as u64).to_ne_bytes());
        file.extend(segment);
        file
    }

    fn read(file: Vec<u8>) -> Option<String> {
        build_id(&mut Cursor::new(file)).ok().flatten()
    }

    #[test]
    fn reads_the_build_id_among_other_notes() {
        let other: (u32, &[u8], &[u8]) = (NOTE_OF_BUILD_ID, b"Go\0", b"12345");
        let file = elf(&[other, (3, b"GNU\0", &[0xab, 0x01, 0xff]), other]);
        assert_eq!(read(file.clone()).as_deref(), Some("ab01ff"));
        assert_eq!(read(elf(&[other])), None);
        for length in 0..file.len() {
            // Whatever is cut off, nothing but the right one is found.
            let id = read(file[..length].to_vec());
            assert!(id.is_none_or(|id| id == "ab01ff"), "{length}");
        }
        let mut huge = file;
        huge[120..124].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(read(huge), None);
    }

    #[test]
    fn reads_lines_of_code_in_files() {
        let line = "55d0-55e0 r-xp 00001000 08:01 1234                       /opt/my shop/bin";
        let module = parse(line).unwrap();
        assert_eq!(
            (module.start, module.end, module.offset),
            (0x55d0, 0x55e0, 4096)
        );
        assert_eq!(module.file, "/opt/my shop/bin");
        for other in [
            "55d0-55e0 r--p 00000000 08:01 1234                       /opt/shop/bin",
            "7ffc-7ffd r-xp 00000000 00:00 0                          [vdso]",
            "7ffc-7ffd rwxp 00000000 00:00 0 ",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn finds_this_program_around_its_own_code() {
        let modules = Modules::default().loaded();
        let here = finds_this_program_around_its_own_code as fn() as usize as u64;
        let own = modules
            .iter()
            .find(|module| (module.start..module.end).contains(&here))
            .unwrap();
        assert_eq!(
            fs::canonicalize(&own.file).unwrap(),
            std::env::current_exe().unwrap()
        );
    }
}

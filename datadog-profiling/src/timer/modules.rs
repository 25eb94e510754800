//! The program and the libraries that are loaded, with their unwind tables.
#![expect(
    unsafe_code,
    reason = "only the dynamic loader knows where unwind tables are in memory"
)]

use std::borrow::Cow;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::slice;

use framehop::{ExplicitModuleSectionInfo, Module};
use libc::dl_phdr_info;

use crate::timer::untold::{self, Told};

/// The bytes of an unwind table.
pub(super) type Table = Cow<'static, [u8]>;

/// How many libraries were loaded and unloaded so far. The same numbers stand for the same set of them. A static program of musl
/// has none of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version {
    loaded: u64,
    unloaded: u64,
}

/// The present version. Waits for the dynamic loader.
pub(super) fn version() -> Version {
    let mut version = Version::default();
    each(|info| {
        version = Version {
            loaded: info.dlpi_adds,
            unloaded: info.dlpi_subs,
        };
        false
    });
    version
}

/// Everything that is loaded and has unwind tables, and what they tell of where the C library has none. Waits for the dynamic loader.
///
/// The program's own tables stay where they are, because it is never unloaded. Those of libraries are copied, so
/// that they can be read also while or after the library is unloaded.
pub(super) fn load() -> (Vec<Module<Table>>, Option<Told>) {
    let mut modules = Vec::new();
    let mut told = untold::EXPECTED.then(Told::default);
    let mut first = true;
    each(|info| {
        // The program comes first.
        let stays = std::mem::take(&mut first);
        if let Some(told) = &mut told {
            let code = segments(info).filter(|segment| segment.executable);
            code.for_each(|segment| told.add_code(segment.range));
        }
        modules.extend(module(info, stays, &mut told));
        true
    });
    (modules, told.map(Told::sorted))
}

fn module(info: &dl_phdr_info, stays: bool, told: &mut Option<Told>) -> Option<Module<Table>> {
    let header = segments(info).find(|segment| segment.kind == libc::PT_GNU_EH_FRAME)?;
    let loaded = || segments(info).filter(|segment| segment.kind == libc::PT_LOAD);
    let holds = |address: u64| loaded().find(|segment| segment.range.contains(&address));
    let start = loaded().map(|segment| segment.range.start).min()?;
    let end = loaded().map(|segment| segment.range.end).max()?;

    let index = Section::within(&holds(header.range.start)?, header.range, stays)?;
    let frames = eh_frame(&index)?;
    let segment = holds(frames)?;
    // The table ends by itself, at the latest where the segment does.
    let table = Section::within(&segment, frames..segment.range.end, stays)?;
    if let Some(known) = told
        && known
            .add(&table.bytes, table.range.start, &(start..end))
            .is_none()
    {
        *told = None;
    }
    let sections = ExplicitModuleSectionInfo {
        base_svma: start,
        eh_frame_hdr_svma: Some(index.range),
        eh_frame_hdr: Some(index.bytes),
        eh_frame_svma: Some(table.range),
        eh_frame: Some(table.bytes),
        ..ExplicitModuleSectionInfo::default()
    };
    // Addresses as they are in this process, also for the module's own, so that nothing has to be converted.
    Some(Module::new(String::new(), start..end, start, sections))
}

/// Where `.eh_frame` is, by the start of `.eh_frame_hdr`: a version, how the address of the table is written, two more
/// bytes, the address (refspecs.linuxfoundation.org: LSB, "Exception Frame Header"). Linkers write it relative to its
/// own place, in four bytes.
fn eh_frame(index: &Section) -> Option<u64> {
    const RELATIVE_IN_FOUR_BYTES: u8 = 0x10 | 0x0b;
    let [1, RELATIVE_IN_FOUR_BYTES, _, _, offset @ ..] = index.bytes.first_chunk::<8>()? else {
        return None;
    };
    let place = index.range.start + 4;
    place.checked_add_signed(i32::from_ne_bytes(*offset).into())
}

struct Section {
    range: Range<u64>,
    bytes: Table,
}

impl Section {
    /// A part of a segment that can be read; `None` where it lies outside.
    fn within(segment: &Segment, range: Range<u64>, stays: bool) -> Option<Self> {
        if !segment.readable || range.start < segment.range.start || range.end > segment.range.end {
            return None;
        }
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        // SAFETY: the dynamic loader keeps the segment mapped and readable while `dl_iterate_phdr` calls back, which
        // is when this runs, and the range was just checked. Nobody writes to tables of constants. The program itself is
        // never unloaded, so that its tables live forever; all others are copied.
        let bytes: &'static [u8] =
            unsafe { slice::from_raw_parts(range.start as *const u8, length) };
        let bytes = match stays {
            true => Cow::Borrowed(bytes),
            false => Cow::Owned(bytes.to_vec()),
        };
        Some(Self { range, bytes })
    }
}

struct Segment {
    kind: u32,
    range: Range<u64>,
    readable: bool,
    executable: bool,
}

fn segments(info: &dl_phdr_info) -> impl Iterator<Item = Segment> {
    let headers = match info.dlpi_phdr.is_null() {
        true => &[],
        // SAFETY: the loader says where the headers are and how many, and keeps them while it calls back.
        false => unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) },
    };
    headers.iter().map(|header| {
        let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
        Segment {
            kind: header.p_type,
            range: start..start.saturating_add(header.p_memsz),
            readable: header.p_flags & libc::PF_R != 0,
            executable: header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0,
        }
    })
}

/// Calls `visit` with each loaded object, until it returns false.
fn each(mut visit: impl FnMut(&dl_phdr_info) -> bool) {
    let mut visit: &mut dyn FnMut(&dl_phdr_info) -> bool = &mut visit;
    // SAFETY: `call` has the signature that is wanted, and gets the pointer to `visit`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(call), (&raw mut visit).cast()) };
}

unsafe extern "C" fn call(info: *mut dl_phdr_info, _: usize, visit: *mut c_void) -> c_int {
    // SAFETY: it is what `each` passed, which is exclusively borrowed for the time of the call.
    let visit = unsafe { &mut *visit.cast::<&mut dyn FnMut(&dl_phdr_info) -> bool>() };
    // SAFETY: the loader passes a valid structure.
    let goes_on = visit(unsafe { &*info });
    c_int::from(!goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_program_and_the_c_library() {
        let (modules, told) = load();
        let has = |address: usize| {
            let mut ranges = modules.iter().map(|module| module.avma_range());
            ranges.any(|range| range.contains(&(address as u64)))
        };
        assert!(has(finds_the_program_and_the_c_library as fn() as usize));
        assert!(has(libc::getpid as *const () as usize));
        assert!(!has(&raw const modules as usize));
        assert_eq!(version(), version());
        assert_eq!(told.is_some(), untold::EXPECTED);
        if let Some(told) = told {
            assert!(told.has(finds_the_program_and_the_c_library as fn() as usize as u64));
            assert!(!told.has(libc::getpid as *const () as u64));
        }
    }
}

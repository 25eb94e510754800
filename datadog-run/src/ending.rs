//! Ending as the program did.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use signal_hook::low_level::emulate_default_handler;

/// Dies of the signal that killed the program, or gives the status that it ended with.
pub(crate) fn like(status: ExitStatus) -> ExitCode {
    let Some(signal) = status.signal() else {
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return ExitCode::from(code.unwrap_or(u8::MAX));
    };
    prevent_core_dump();
    // Returns only for a signal that it does not know, such as a real-time signal: then as shells do.
    let _ = emulate_default_handler(signal);
    ExitCode::from(u8::try_from(signal).unwrap_or(u8::MAX).saturating_add(128))
}

/// The program left its own, which ours would replace.
fn prevent_core_dump() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // At worst there is one too many.
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

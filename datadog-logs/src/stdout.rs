//! The standard output, without waiting for a reader that has stopped.

use std::fs::File;
use std::io::{self, Write};

/// The process's standard output.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    /// A way of our own to the pipe or terminal, which does not block. `None` where it is something else, such as a
    /// file, or belongs to another user, as in a process that gave its privileges up.
    own: Option<File>,
}

impl Stdout {
    /// Looks what the standard output is now: a program may have replaced it.
    pub(crate) fn open(&mut self) {
        #[cfg(target_os = "linux")]
        linux::open(&mut self.own);
    }

    /// Writes some of `lines`: whole lines, as far as a pipe takes them in one piece, so that the program's own
    /// lines don't get in between. [`io::ErrorKind::WouldBlock`] while the reader takes nothing.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match &mut self.own {
            Some(own) => own.write(first_lines(lines)),
            None => io::stdout().write(lines),
        }
    }

    /// Passes on what the process itself still holds.
    pub(crate) fn flush(&self) -> io::Result<()> {
        match self.own {
            Some(_) => Ok(()),
            None => io::stdout().flush(),
        }
    }
}

/// What a pipe takes as a whole or not at all (pipe(7), `PIPE_BUF`).
const ONE_PIECE: usize = 4096;

/// As many lines as make one piece; of a longer line, all of it.
fn first_lines(lines: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| *byte == b'\n';
    let piece = &lines[..lines.len().min(ONE_PIECE)];
    let end = piece
        .iter()
        .rposition(is_end)
        .or_else(|| lines.iter().position(is_end));
    end.map_or(lines, |end| &lines[..=end])
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File, OpenOptions};
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

    /// Where Linux lets a process open its standard output once more. Whether writing blocks is a property of the
    /// opening, so the program's own writing goes on as it was.
    const PATH: &str = "/proc/self/fd/1";

    pub(super) fn open(own: &mut Option<File>) {
        let Ok(there) = fs::metadata(PATH) else {
            *own = None;
            return;
        };
        let place = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let is_open = own
            .as_ref()
            .and_then(|own| own.metadata().ok())
            .is_some_and(|open| place(&open) == place(&there));
        if is_open {
            return;
        }
        let kind = there.file_type();
        *own = if kind.is_fifo() || kind.is_char_device() {
            let mut options = OpenOptions::new();
            options.write(true).custom_flags(libc::O_NONBLOCK);
            options.open(PATH).ok()
        } else {
            None
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_whole_lines() {
        let line = |len: usize| [vec![b'x'; len - 1], vec![b'\n']].concat();
        let lines = |lens: &[usize]| lens.iter().flat_map(|len| line(*len)).collect::<Vec<_>>();
        assert_eq!(first_lines(&lines(&[10, 20])).len(), 30);
        assert_eq!(first_lines(&lines(&[4000, 96, 1])).len(), 4096);
        assert_eq!(first_lines(&lines(&[4000, 97, 1])).len(), 4000);
        assert_eq!(first_lines(&lines(&[5000, 10])).len(), 5000);
        assert_eq!(first_lines(b"the rest of a line"), b"the rest of a line");
    }
}

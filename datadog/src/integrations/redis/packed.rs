//! Commands as they are sent: arrays of texts with their lengths (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

/// More commands than this are not named: one more than those that a resource names.
pub(super) const SHOWN: usize = 4;

/// The names of the first commands and their first arguments, one command in a line. What can't be read ends it.
pub(super) fn commands(packed: &[u8]) -> String {
    let mut lines = Vec::new();
    let mut rest = packed;
    while lines.len() < SHOWN
        && let Some(line) = command(&mut rest)
    {
        lines.push(line);
    }
    lines.join("\n")
}

/// A word of a command as text that has its place in a line.
pub(super) fn word(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.replace([' ', '\n'], "_")
}

fn command(rest: &mut &[u8]) -> Option<String> {
    let words = number(rest, b'*')?;
    let mut command = String::new();
    for at in 0..words {
        let length = number(rest, b'$')?;
        let (text, after) = rest.split_at_checked(length)?;
        *rest = after.strip_prefix(b"\r\n")?;
        if at < 2 {
            if at > 0 {
                command.push(' ');
            }
            command.push_str(&word(text));
        }
    }
    Some(command)
}

/// A line with a sign and a number.
fn number(rest: &mut &[u8], sign: u8) -> Option<usize> {
    let after = rest.strip_prefix(&[sign])?;
    let end = after.iter().position(|byte| *byte == b'\r')?;
    let (digits, after) = after.split_at(end);
    *rest = after.strip_prefix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_first_arguments_are_read() {
        let mut pipeline = redis::pipe();
        pipeline.set("key with blanks", "a\r\nb").get("x");
        let packed = pipeline.get_packed_pipeline();
        assert_eq!(commands(&packed), "SET key_with_blanks\nGET x");
        assert_eq!(commands(&packed[..packed.len() - 1]), "SET key_with_blanks");
        for _ in 0..5 {
            pipeline.ping();
        }
        let packed = pipeline.get_packed_pipeline();
        assert_eq!(commands(&packed).lines().count(), SHOWN);
    }

    #[test]
    fn what_is_no_command_is_none() {
        for packed in ["", "GET x\r\n", "*1\r\n$99\r\nGET\r\n", "*x\r\n", "*1\r\n"] {
            assert_eq!(commands(packed.as_bytes()), "", "{packed:?}");
        }
    }
}

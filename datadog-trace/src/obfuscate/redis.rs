//! Redis commands (datadog-agent: `pkg/obfuscate/redis.go`).

/// The most commands that are named.
const MOST_COMMANDS: usize = 3;

/// What integrations end a command with that they cut.
const CUT: &str = "...";

/// Commands whose first argument says what they do.
const OF_TWO_WORDS: [&str; 6] = ["CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "SCRIPT"];

/// The names of the first commands, one for each line.
pub(crate) fn quantize(query: &str) -> String {
    shown(query, " ")
}

/// The same, still each in a line of its own: whoever takes the names of these gets the same.
pub(crate) fn without_arguments(query: &str) -> String {
    shown(query, "\n")
}

fn shown(query: &str, between: &str) -> String {
    let mut commands: Vec<String> = Vec::new();
    let mut cut = false;
    for line in query.split('\n') {
        if commands.len() == MOST_COMMANDS {
            break;
        }
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let Some(first) = words.next() else { continue };
        if first.ends_with(CUT) {
            cut = true;
            continue;
        }
        let mut command = upper(first);
        if OF_TWO_WORDS.contains(&&*command)
            && let Some(second) = words.next()
        {
            if second.ends_with(CUT) {
                cut = true;
                continue;
            }
            command.push(' ');
            command.push_str(&upper(second));
        }
        commands.push(command);
        cut = false;
    }
    let mut shown = commands.join(between);
    if commands.len() == MOST_COMMANDS || cut {
        if !shown.is_empty() {
            shown.push_str(between);
        }
        shown.push_str(CUT);
    }
    shown
}

/// In upper case, letter by letter: one that would become two stays.
fn upper(word: &str) -> String {
    let upper = |letter: char| {
        let mut upper = letter.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(one), None) => one,
            _ => letter,
        }
    };
    word.chars().map(upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_commands_stay() {
        for (query, shown) in [
            ("", ""),
            ("CLIENT", "CLIENT"),
            ("client list", "CLIENT LIST"),
            ("get my_key", "GET"),
            ("SET le_key le_value", "SET"),
            ("\n\n  SET foo bar  \n  GET foo  \n\n\n", "SET GET"),
            ("CONFIG SET parameter value", "CONFIG SET"),
            ("SET toto tata \n \n  EXPIRE toto 15  ", "SET EXPIRE"),
            ("MSET toto tata toto tata toto tata \n ", "MSET"),
            (
                "MULTI\nSET k1 v1\nSET k2 v2\nSET k3 v3\nEXEC",
                "MULTI SET SET ...",
            ),
            (
                "DEL k1\nDEL k2\nHMSET k1 \"a\" 1 \"b\" 2",
                "DEL DEL HMSET ...",
            ),
            ("GET k...", "GET"),
            ("GE...", "..."),
            ("GET k\nCONFIG SE...", "GET ..."),
            ("UNKNOWN 123", "UNKNOWN"),
            ("straße x", "STRAßE"),
        ] {
            assert_eq!(quantize(query), shown, "{query:?}");
            let sent = without_arguments(query);
            assert_eq!(sent.replace('\n', " "), shown, "{query:?}");
            assert_eq!(quantize(&sent), shown, "{query:?}");
        }
    }
}

//! Names of modules, as people write them.

use super::modules::{GROUPS, MODULES, ModuleId};

/// What a name means.
#[derive(Debug, PartialEq)]
pub(super) enum Named {
    Module(ModuleId),
    /// Several modules, and what they have in common.
    Group(&'static [ModuleId], &'static str),
    /// Nothing; perhaps the name that is nearest to it was meant.
    Nothing(Option<&'static str>),
}

/// The most letters that a name may be away from the one that is meant.
const FAR: usize = 3;

pub(super) fn resolve(name: &str) -> Named {
    let name = name.trim().to_ascii_lowercase().replace('_', "-");
    let is_it = |known: &&str| **known == *name;
    if let Some(module) = MODULES
        .iter()
        .find(|module| module.name == name || module.others.iter().any(is_it))
    {
        return Named::Module(module.id);
    }
    if let Some((_, ids, note)) = GROUPS.iter().find(|(names, ..)| names.iter().any(is_it)) {
        return Named::Group(ids, note);
    }
    Named::Nothing(nearest(&name))
}

fn nearest(name: &str) -> Option<&'static str> {
    let names = MODULES.iter().map(|module| module.name);
    let groups = GROUPS.iter().flat_map(|(names, ..)| *names).copied();
    let (distance, nearest) = names
        .chain(groups)
        .map(|known| (distance(name, known), known))
        .min_by_key(|(distance, _)| *distance)?;
    // A name of few letters is near to everything.
    (distance <= FAR.min(name.len() / 2)).then_some(nearest)
}

/// How many letters have to be changed, added or left out (V. I. Levenshtein, 1966).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], line + 1);
        for (column, known) in other.bytes().enumerate() {
            let changed = before + usize::from(letter != known);
            before = row[column + 1];
            row[column + 1] = changed.min(before + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_they_are_written() {
        for name in ["sea-orm", "sea_orm", " SEA_ORM "] {
            assert_eq!(resolve(name), Named::Module(ModuleId::SeaOrm), "{name}");
        }
        assert_eq!(resolve("postgres"), Named::Module(ModuleId::TokioPostgres));
        let Named::Group(ids, note) = resolve("psycopg2") else {
            panic!("a group")
        };
        assert_eq!(
            ids,
            [ModuleId::TokioPostgres, ModuleId::Sqlx, ModuleId::Diesel]
        );
        assert!(note.contains("PostgreSQL"));
    }

    #[test]
    fn names_that_are_nearly_right_are_told() {
        for (name, near) in [
            ("axumm", Some("axum")),
            ("reqest", Some("reqwest")),
            ("djano", Some("django")),
            ("tokio-postgress", Some("tokio-postgres")),
            ("x", None),
            ("", None),
            ("something-else", None),
        ] {
            assert_eq!(resolve(name), Named::Nothing(near), "{name}");
        }
    }
}

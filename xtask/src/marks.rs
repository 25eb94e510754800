//! Tables inside a page that is written by hand: each goes between two marks.

use std::fs;
use std::path::Path;

use crate::{Outcome, workspace};

/// A page of the workspace with parts that a task writes.
pub(crate) struct Page {
    path: &'static str,
    before: String,
    text: String,
}

impl Page {
    /// Reads the page at `path`, from the workspace's folder.
    pub(crate) fn read(path: &'static str) -> Outcome<Self> {
        let before = fs::read_to_string(workspace::root().join(Path::new(path)))?;
        let text = before.clone();
        Ok(Self { path, before, text })
    }

    /// Puts `rows` between the marks of this name.
    pub(crate) fn replace(&mut self, name: &str, rows: &str) -> Outcome {
        self.text = replace(&self.text, name, rows)
            .ok_or_else(|| format!("{} has no marks for {name}", self.path))?;
        Ok(())
    }

    /// Writes the page if it changed, and tells what it is now.
    pub(crate) fn write(self) -> Outcome<String> {
        let verdict = if self.text == self.before {
            "is current"
        } else {
            fs::write(workspace::root().join(self.path), self.text)?;
            "written"
        };
        Ok(format!("{} {verdict}", self.path))
    }
}

fn replace(page: &str, name: &str, rows: &str) -> Option<String> {
    let (start, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (head, rest) = page.split_once(&start)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{start}\n{rows}\n{end}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_goes_between_its_marks() {
        let page = "a\n<!-- t -->\n\nold\n\n<!-- end of t -->\nb\n";
        let new = replace(page, "t", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- t -->\n\nnew\n\n<!-- end of t -->\nb\n");
        assert_eq!(replace(&new, "t", "new\n").unwrap(), new);
        assert!(replace(page, "other", "").is_none());
    }
}

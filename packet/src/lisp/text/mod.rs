//! Messages for people: a tree of every field, in RFC words, and short forms of addresses.
//!
//! [`Tree`] knows nothing of formats; its `Display` indents it as packet analysers do, and
//! `weft decode --json` makes objects of the same tree. Labels are unique among siblings outside
//! of lists, and [`Tree::key`] makes names for machines of them.

mod address;
mod data;
mod message;
mod record;
mod security;

use std::fmt;

/// A field with what is inside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// What the field is, in RFC words; its bit's letter or its unit stands in parentheses.
    pub label: &'static str,
    /// What it holds.
    pub value: Value,
    /// Its parts, or the items of a list.
    pub children: Vec<Self>,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing but its parts.
    None,
    /// A bit.
    Flag(bool),
    /// A number.
    Number(u64),
    /// Anything else, and the short form of what has parts.
    Text(String),
    /// As many items of one kind as there are children.
    List,
}

impl Tree {
    /// The label as a name for machines: lower case, words joined by hyphens, without what stands
    /// in parentheses.
    pub fn key(&self) -> String {
        let plain = self.label.split('(').next().unwrap_or_default().trim_end();
        plain.to_ascii_lowercase().replace([' ', '/'], "-")
    }

    /// The child of that label, for those who look for one field.
    pub fn child(&self, label: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.label == label)
    }

    fn node(label: &'static str, children: Vec<Self>) -> Self {
        Self { label, value: Value::None, children }
    }

    fn list(label: &'static str, children: impl IntoIterator<Item = Self>) -> Self {
        Self { label, value: Value::List, children: children.into_iter().collect() }
    }

    fn flag(label: &'static str, value: bool) -> Self {
        Self { label, value: Value::Flag(value), children: Vec::new() }
    }

    fn number(label: &'static str, value: impl Into<u64>) -> Self {
        Self { label, value: Value::Number(value.into()), children: Vec::new() }
    }

    fn text(label: &'static str, value: impl fmt::Display) -> Self {
        Self { label, value: Value::Text(value.to_string()), children: Vec::new() }
    }

    fn octets(label: &'static str, octets: &[u8]) -> Self {
        Self::text(label, Hex(octets))
    }

    fn indented(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "{:depth$}{}", "", self.label, depth = depth * 2)?;
        match &self.value {
            Value::None => {}
            Value::Flag(true) => f.write_str(": yes")?,
            Value::Flag(false) => f.write_str(": no")?,
            Value::Number(number) => write!(f, ": {number}")?,
            Value::Text(text) => write!(f, ": {text}")?,
            Value::List => write!(f, ": {}", self.children.len())?,
        }
        for child in &self.children {
            f.write_str("\n")?;
            child.indented(f, depth + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Tree {
    /// One line a field, parts two columns further in, no line end at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.indented(f, 0)
    }
}

/// Octets as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_parts_and_counts_items() {
        let tree = Tree::node(
            "Map-Reply",
            vec![
                Tree::flag("Probe (P)", true),
                Tree::list("Records", [Tree::node("Record", vec![Tree::number("TTL", 5_u8)])]),
            ],
        );
        assert_eq!(
            tree.to_string(),
            "Map-Reply\n  Probe (P): yes\n  Records: 1\n    Record\n      TTL: 5"
        );
        assert_eq!(tree.children[0].key(), "probe");
        assert_eq!(Tree::number("Source/Dest mask-len", 1_u8).key(), "source-dest-mask-len");
    }
}

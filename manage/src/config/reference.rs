//! The manual of the configuration: one annotated file, from which `explain` takes what it says,
//! and complete examples for roles.

use super::section::nearest;

/// Every key with its meaning and default.
pub const REFERENCE: &str = include_str!("reference.toml");

const EXAMPLES: [(&str, &str); 5] = [
    ("xtr", include_str!("examples/xtr.toml")),
    ("map-server", include_str!("examples/map-server.toml")),
    ("proxy", include_str!("examples/proxy.toml")),
    ("vpn", include_str!("examples/vpn.toml")),
    ("reference", REFERENCE),
];

/// What a table or key means, its value in the reference and whether that is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    about: String,
    /// The line as it stands; empty for a table.
    line: String,
}

/// A complete configuration for a role.
pub fn example(role: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(name, _)| *name == role).map(|(_, text)| *text)
}

/// The roles there are examples for.
pub fn example_roles() -> Vec<&'static str> {
    EXAMPLES.iter().map(|(name, _)| *name).collect()
}

/// What a key means; of a table, with its keys.
pub fn explain(path: &str) -> Option<String> {
    let path = path.trim_matches(['[', ']']);
    let entries = entries();
    let named = |entry: &&Entry| entry.path == path;
    let mut out = String::new();
    for entry in entries.iter().filter(named) {
        out.push_str(&text(entry));
    }
    if out.is_empty() {
        return None;
    }
    let within = format!("{path}.");
    let below =
        |entry: &&Entry| entry.path.strip_prefix(&within).is_some_and(|rest| !rest.contains('.'));
    for entry in entries.iter().filter(below) {
        out.push('\n');
        out.push_str(&text(entry));
    }
    Some(out)
}

/// What was probably meant by a path that is not there.
pub fn suggest(path: &str) -> Option<String> {
    let entries = entries();
    let near = nearest(path, entries.iter().map(|entry| entry.path.as_str()))?;
    Some(format!("did you mean `{near}`?"))
}

fn text(entry: &Entry) -> String {
    let mut out = format!("{}\n", entry.path);
    for line in entry.about.lines() {
        out.extend(["    ", line, "\n"]);
    }
    match entry.line.strip_prefix("# ") {
        Some(default) => out.extend(["    default: ", default, "\n"]),
        None if entry.line.is_empty() => {}
        None => out.extend(["    example: ", &entry.line, "\n"]),
    }
    out
}

/// The reference, taken apart: comment lines tell about the table or key that follows them.
fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let (mut about, mut table) = (String::new(), String::new());
    for line in REFERENCE.lines() {
        if line.is_empty() {
            about.clear();
        } else if let Some(name) = line.strip_prefix('[') {
            table = path_of(name.trim_matches(['[', ']']));
            let entry = Entry { path: table.clone(), about: about.clone(), line: String::new() };
            entries.push(entry);
            about.clear();
        } else if let Some(key) = key_of(line) {
            let path = format!("{table}.{key}");
            entries.push(Entry { path, about: about.clone(), line: line.to_owned() });
            about.clear();
        } else if let Some(words) = line.strip_prefix('#') {
            about.push_str(words.trim());
            about.push('\n');
        }
    }
    entries
}

/// Names given by the operator are written NAME.
fn path_of(table: &str) -> String {
    match table.split_once('.') {
        Some((kind @ ("locator-set" | "vpn"), _)) => format!("{kind}.NAME"),
        _ => table.to_owned(),
    }
}

/// The key of `key = value` or `# key = value`; prose is neither.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    let word = |c: char| c.is_ascii_lowercase() || c == '-';
    (!key.is_empty() && key.chars().all(word)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::super::{UplinkNames, check_text};
    use super::*;

    #[test]
    fn examples_are_valid() {
        for (role, text) in EXAMPLES.iter().filter(|(role, _)| *role != "reference") {
            let (config, report) = check_text(role, text, &mut UplinkNames::default());
            assert!(config.is_some(), "{role}: {report}");
        }
    }

    #[test]
    fn reference_is_valid_with_every_default_written_out() {
        let shown = REFERENCE
            .lines()
            .map(|line| match key_of(line) {
                Some(_) => line.strip_prefix("# ").unwrap_or(line),
                None => line,
            })
            .filter(|line| {
                !["proxy-itrs", "listen", "resolve = "].iter().any(|k| line.starts_with(k))
            })
            // What is written instead of what the example shows would be given twice.
            .filter(|line| !line.starts_with("vpn = ") && !line.starts_with("map-servers = []"))
            .collect::<Vec<_>>()
            .join("\n")
            .replace("{ file = \"ms1.key\" }", "\"secret\"")
            .replace("{ file = \"site1.key\" }", "\"secret\"");
        let (config, report) = check_text("reference.toml", &shown, &mut UplinkNames::default());
        assert!(config.is_some(), "{report}");
    }

    #[test]
    fn every_key_says_what_it_means() {
        let entries = entries();
        assert!(entries.len() > 100, "{} entries", entries.len());
        for entry in &entries {
            assert!(!entry.about.is_empty(), "{} has no meaning", entry.path);
        }
    }

    #[test]
    fn explain_finds_keys_and_tables() {
        let key = explain("etr.map-server.algorithm").unwrap();
        assert!(key.contains("default: algorithm = \"hmac-sha-256-128\""), "{key}");
        assert!(explain("itr.rloc-probing").unwrap().contains("itr.rloc-probing.retries"));
        assert_eq!(explain("etr.map-sever.key"), None);
        let meant = suggest("etr.map-sever.key").unwrap();
        assert_eq!(meant, "did you mean `etr.map-server.key`?");
    }
}

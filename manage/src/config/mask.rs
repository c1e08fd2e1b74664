//! Reports quote the lines they are about, and go to logs and to everybody who may ask the router.
//! So secrets in those lines are covered. Only words and quotes count here, since what is quoted
//! is often not valid TOML: rather too much is covered than too little.

use std::ops::Range;

use super::section::nearest;

/// `text` with an asterisk for every octet of a secret; places stay where they are.
pub(super) fn masked(text: &str) -> String {
    let mut shown = text.to_owned();
    // Where the inline table ends that stands for a secret: `key = { … }`.
    let mut table_end = 0;
    let mut at = 0;
    while let Some((word, value)) = next_key(text, at) {
        at = value;
        let word = &text[word];
        let indirect = matches!(word, "file" | "env" | "credential" | "key-id");
        if indirect || !(value < table_end || is_secret(word)) {
            continue;
        }
        let rest = &text[value..];
        if rest.starts_with('{') {
            table_end = value + rest.find('}').unwrap_or(rest.len());
            continue;
        }
        let secret = secret(text, value);
        at = secret.end;
        let cover = |octet| if octet == b'\n' { '\n' } else { '*' };
        let cover: String = text[secret.clone()].bytes().map(cover).collect();
        shown.replace_range(secret, &cover);
    }
    shown
}

/// The next `word =` from `at` on: the word, and where its value begins.
fn next_key(text: &str, at: usize) -> Option<(Range<usize>, usize)> {
    let equals = at + text.get(at..)?.find('=')?;
    let before = text[at..equals].trim_end_matches([' ', '\t', '"', '\'']);
    let end = at + before.len();
    let start = before
        .rfind(|c: char| !is_word(c))
        .map_or(at, |n| at + n + before[n..].chars().next().map_or(1, char::len_utf8));
    let after = &text[equals + 1..];
    let blanks = after.len() - after.trim_start_matches([' ', '\t']).len();
    Some((start..end, equals + 1 + blanks))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// True for `key`, `keys` and what is likely meant to be one; numbers are key-ids.
fn is_secret(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let numbered = !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit());
    let telling = ["key", "secret", "passw", "psk"].iter().any(|part| word.contains(part));
    numbered || telling || nearest(&word, ["key", "keys"].into_iter()).is_some()
}

/// The value that begins at `start`: a sound string, or the rest of the line.
fn secret(text: &str, start: usize) -> Range<usize> {
    let line = start + text[start..].find('\n').unwrap_or(text.len() - start);
    let Some(end) = end_of_string(text, start) else { return start..line };
    let rest = text[end..].trim_start_matches([' ', '\t', '\r']);
    let ends_well = rest.is_empty() || rest.starts_with(['\n', '#', ',', '}', ']']);
    start..if ends_well { end } else { end.max(line) }
}

/// Where the string that begins at `start` ends, quotes included. `None`: there is none, or it
/// does not end.
fn end_of_string(text: &str, start: usize) -> Option<usize> {
    let rest = &text[start..];
    for quote in ["\"\"\"", "'''"] {
        if let Some(inner) = rest.strip_prefix(quote) {
            return Some(start + quote.len() + inner.find(quote)? + quote.len());
        }
    }
    let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut escaped = false;
    for (n, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return Some(start + n + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_covered_however_they_are_written() {
        for (written, shown) in [
            ("key = \"hunter2\"", "key = *********"),
            ("key = \"hunter2", "key = ********"),
            ("key = \"hun\"ter2\"", "key = **********"),
            ("key = \"hun\\\"ter2\" # note", "key = *********** # note"),
            ("key = hunter2", "key = *******"),
            ("\"key\" = 'hunter2'", "\"key\" = *********"),
            ("key = \"\"\"\nhunter2\"\"\"\nname = \"a\"", "key = ***\n**********\nname = \"a\""),
            ("{ key = \"hunter2\", merge = treu }", "{ key = *********, merge = treu }"),
            ("keys = { 1 = \"hunter2\", 2 = \"b\" }", "keys = { 1 = *********, 2 = *** }"),
            ("keys = { one = \"hunter2\" }", "keys = { one = ********* }"),
            ("key = { text = \"hunter2\" }", "key = { text = ********* }"),
            ("kay = \"hunter2\"", "kay = *********"),
            ("password = \"hunter2\"", "password = *********"),
        ] {
            assert_eq!(masked(written), shown, "{written}");
        }
    }

    #[test]
    fn everything_else_is_shown() {
        for text in [
            "key = { file = \"ms1.key\" }",
            "keys = { 1 = { file = \"old.key\" }, 2 = { env = \"NEW\" } }",
            "key-id = 7",
            "name = \"site1\"\naddress = \"192.0.2.1\"",
            "# key: see above",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    proptest! {
        #[test]
        fn places_stay_whatever_is_written(text in "([a-z0-9 =\"'{}#,\\\\\n\u{e4}]|key = |\"\"\"){0,60}") {
            let shown = masked(&text);
            prop_assert_eq!(shown.len(), text.len());
            let lines = |text: &str| text.lines().map(str::len).collect::<Vec<_>>();
            prop_assert_eq!(lines(&shown), lines(&text));
        }
    }
}

//! Reading a table key by key: each value is checked as it is taken, keys nobody takes are
//! unknown, and all problems go to one report.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use weft_packet::addr::Prefix;

use super::document::{Node, Table, Value};
use super::report::{Place, Report};

/// A table being read. [`Section::finish`] reports the keys that were not asked for.
pub(super) struct Section<'a> {
    table: &'a Table,
    place: Place,
    path: String,
    known: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    /// Reads `node`, which must be a table; `path` is how the manual names it.
    pub(super) fn new(node: &'a Node, path: &str, report: &mut Report) -> Option<Self> {
        let Value::Table(table) = &node.value else {
            let message = format!("`{path}` must be a table, not {}", node.value.kind());
            report.error(&node.place, message, "here");
            return None;
        };
        let place = node.place.clone();
        Some(Self { table, place, path: path.to_owned(), known: BTreeSet::new() })
    }

    /// Where the table is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The value of `key` as it is written.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.insert(key);
        self.table.0.get(key).map(|(_, node)| node)
    }

    /// A table within.
    pub(super) fn section(&mut self, key: &'static str, report: &mut Report) -> Option<Self> {
        let path = self.join(key);
        Section::new(self.take(key)?, &path, report)
    }

    /// A list of tables within (`[[path.key]]`).
    pub(super) fn sections(&mut self, key: &'static str, report: &mut Report) -> Vec<Self> {
        let path = self.join(key);
        let Some(node) = self.take(key) else { return Vec::new() };
        list(node, &path, report).iter().filter_map(|n| Section::new(n, &path, report)).collect()
    }

    /// Every table within, by name (`[path.NAME]`).
    pub(super) fn named(&mut self, report: &mut Report) -> Vec<(&'a str, Self)> {
        let mut found = Vec::new();
        for (name, (_, node)) in &self.table.0 {
            let path = self.join(name);
            found.extend(Section::new(node, &path, report).map(|s| (name.as_str(), s)));
        }
        found
    }

    /// Text.
    pub(super) fn text(&mut self, key: &'static str, report: &mut Report) -> Option<&'a str> {
        let path = self.join(key);
        text(self.take(key)?, &path, report)
    }

    /// A value that is written as text and parses.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        report: &mut Report,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let path = self.join(key);
        parsed(self.take(key)?, &path, report, parse)
    }

    /// A list of values that are written as text and parse; one alone may stand for a list.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        report: &mut Report,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<(T, Place)> {
        let path = self.join(key);
        let Some(node) = self.take(key) else { return Vec::new() };
        let items = match &node.value {
            Value::Text(_) => std::slice::from_ref(node),
            _ => list(node, &path, report),
        };
        items
            .iter()
            .filter_map(|n| Some((parsed(n, &path, report, &parse)?, n.place.clone())))
            .collect()
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        report: &mut Report,
    ) -> Option<T> {
        let node = self.take(key)?;
        let path = self.join(key);
        let word = text(node, &path, report)?;
        if let Some((_, value)) = words.iter().find(|(known, _)| *known == word) {
            return Some(*value);
        }
        let all: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        let help = nearest(word, all.iter().copied()).map_or_else(
            || format!("one of: {}", all.join(", ")),
            |n| format!("did you mean `{n}`?"),
        );
        report.error_with_help(
            &node.place,
            format!("`{word}` is not a value of `{path}`"),
            "",
            Some(help),
        );
        None
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &'static str, report: &mut Report) -> Option<bool> {
        let path = self.join(key);
        let node = self.take(key)?;
        if let Value::Boolean(flag) = node.value {
            return Some(flag);
        }
        wrong_kind(node, &path, "true or false", report);
        None
    }

    /// A whole number within bounds.
    pub(super) fn number<T: TryFrom<i64> + Display>(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<i64>,
        report: &mut Report,
    ) -> Option<T> {
        let path = self.join(key);
        let node = self.take(key)?;
        let Value::Integer(number) = node.value else {
            wrong_kind(node, &path, "a whole number", report);
            return None;
        };
        let fits = bounds.contains(&number).then(|| T::try_from(number).ok()).flatten();
        if fits.is_none() {
            let (from, to) = (bounds.start(), bounds.end());
            report.error(&node.place, format!("`{path}` must be {from} to {to}"), "out of range");
        }
        fits
    }

    /// A duration such as `"500ms"`, `"10m"` within bounds.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<Duration>,
        report: &mut Report,
    ) -> Option<Duration> {
        let path = self.join(key);
        let node = self.take(key)?;
        let Value::Text(text) = &node.value else {
            wrong_kind(node, &path, "a duration such as \"30s\"", report);
            return None;
        };
        let duration =
            parse_duration(text).map_err(|message| report.error(&node.place, message, "here"));
        let duration = duration.ok()?;
        if bounds.contains(&duration) {
            return Some(duration);
        }
        let (from, to) = (short(*bounds.start()), short(*bounds.end()));
        report.error(&node.place, format!("`{path}` must be {from} to {to}"), "out of range");
        None
    }

    /// Reports that `key` is missing.
    pub(super) fn missing(&self, key: &str, example: &str, report: &mut Report) {
        report.error_with_help(
            &self.place,
            format!("`{}` needs `{key}`", self.path),
            "in this table",
            Some(format!("add: {key} = {example}")),
        );
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, report: &mut Report) {
        for (key, (place, _)) in &self.table.0 {
            if self.known.contains(key.as_str()) {
                continue;
            }
            let help = nearest(key, self.known.iter().copied())
                .map(|known| format!("did you mean `{known}`?"))
                .or_else(|| {
                    let known: Vec<_> = self.known.iter().copied().collect();
                    Some(format!("known here: {}", known.join(", ")))
                });
            let of = if self.path.is_empty() { "weft.toml" } else { &self.path };
            report.error_with_help(place, format!("`{key}` is not a key of `{of}`"), "", help);
        }
    }

    /// How the manual names `key`.
    pub(super) fn join(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Text of a node.
pub(super) fn text<'a>(node: &'a Node, path: &str, report: &mut Report) -> Option<&'a str> {
    if let Value::Text(text) = &node.value {
        return Some(text);
    }
    wrong_kind(node, path, "text", report);
    None
}

/// The items of a list.
pub(super) fn list<'a>(node: &'a Node, path: &str, report: &mut Report) -> &'a [Node] {
    if let Value::List(list) = &node.value {
        return list;
    }
    wrong_kind(node, path, "a list", report);
    &[]
}

fn parsed<T>(
    node: &Node,
    path: &str,
    report: &mut Report,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let text = text(node, path, report)?;
    parse(text).map_err(|message| report.error(&node.place, message, "here")).ok()
}

fn wrong_kind(node: &Node, path: &str, wanted: &str, report: &mut Report) {
    let message = format!("`{path}` must be {wanted}, not {}", node.value.kind());
    report.error(&node.place, message, "here");
}

/// An IP address.
pub(super) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IPv4 or IPv6 address"))
}

/// A prefix with no host bits.
pub(super) fn parse_prefix(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|error: weft_packet::addr::PrefixError| error.to_string())
}

/// Any text.
#[expect(clippy::unnecessary_wraps, reason = "one of the parsers a list may use")]
pub(super) fn parse_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// A number with its unit.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration; write for example \"500ms\", \"30s\" or \"24h\"");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds_each = match unit.trim() {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds_each).map(Duration::from_secs).ok_or_else(wrong)
}

/// A duration with the largest unit that has no remainder; one day is 24 hours.
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_millis() > 0 || seconds == 0 {
        return format!("{}ms", duration.as_millis());
    }
    for (unit, length, least) in [("d", 86_400, 2), ("h", 3600, 1), ("m", 60, 1)] {
        if seconds.is_multiple_of(length) && seconds / length >= least {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

/// A rate such as `"200/s"`.
pub(super) fn parse_rate(text: &str) -> Result<u32, String> {
    text.strip_suffix("/s")
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| format!("`{text}` is not a rate; write for example \"200/s\""))
}

/// The known word that was probably meant.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = std::mem::replace(&mut row[j + 1], 0);
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("24h"), Ok(Duration::from_hours(24)));
        for wrong in
            ["30", "s", "1.5s", "-1s", "1 week", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for written in ["1500ms", "90s", "15m", "24h", "36h", "7d"] {
            assert_eq!(short(parse_duration(written).unwrap()), written);
        }
    }

    #[test]
    fn nearest_finds_typing_errors_only() {
        let known = ["map-resolvers", "proxy", "rloc-probing"];
        assert_eq!(nearest("map-resolver", known.into_iter()), Some("map-resolvers"));
        assert_eq!(nearest("banana", known.into_iter()), None);
    }
}

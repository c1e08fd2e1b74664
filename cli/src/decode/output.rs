//! Findings as text for people, and as one JSON object a line.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use weft_packet::lisp::auth;
use weft_packet::lisp::{Tree, Value};

use super::message::{Decoded, Finding};

/// Prints findings one after the other.
pub(super) struct Printer<W> {
    out: W,
    json: bool,
    first: bool,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, json: bool) -> Self {
        Self { out, json, first: true }
    }

    pub(super) fn print(&mut self, finding: &Finding) -> io::Result<()> {
        if self.json {
            return writeln!(self.out, "{}", object(finding));
        }
        if !std::mem::take(&mut self.first) {
            writeln!(self.out)?;
        }
        if let Some(line) = heading(finding) {
            writeln!(self.out, "{line}")?;
        }
        match &finding.result {
            Err(error) => writeln!(self.out, "refused: {error}"),
            Ok(decoded) => {
                writeln!(self.out, "{}", decoded.tree)?;
                if let Some(verification) = decoded.verification {
                    writeln!(self.out, "  Verification: {}", verdict(verification))?;
                }
                if decoded.trailing > 0 {
                    writeln!(self.out, "  Octets behind the message: {}", decoded.trailing)?;
                }
                Ok(())
            }
        }
    }
}

/// Where and when, for frames of a capture.
fn heading(finding: &Finding) -> Option<String> {
    let mut words = vec![format!("frame {}", finding.frame?)];
    words.extend(finding.time.map(utc));
    words.extend(finding.ends.map(|(source, destination)| format!("{source} > {destination}")));
    Some(words.join("  "))
}

fn object(finding: &Finding) -> Json {
    let mut object = Map::new();
    let mut put = |key: &str, value| object.insert(key.to_owned(), value);
    if let Some(frame) = finding.frame {
        put("frame", json!(frame));
    }
    if let Some(time) = finding.time {
        put("time", json!(utc(time)));
    }
    if let Some((source, destination)) = finding.ends {
        put("source", json!(source));
        put("destination", json!(destination));
    }
    match &finding.result {
        Err(error) => {
            put("refused", json!(error.to_string()));
        }
        Ok(Decoded { tree, trailing, verification }) => {
            put("type", json!(tree.label));
            put("fields", fields(tree));
            put("trailing-octets", json!(trailing));
            if let Some(verification) = verification {
                put("verification", json!(verdict(*verification)));
            }
        }
    }
    Json::Object(object)
}

fn verdict(verification: Result<(), auth::Error>) -> String {
    match verification {
        Ok(()) => "ok".to_owned(),
        Err(auth::Error::Mismatch) => "mismatch".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// A list becomes an array, a field with parts an object, any other field its value. What has
/// parts and a short form keeps the latter as `text`.
fn fields(tree: &Tree) -> Json {
    if tree.value == Value::List {
        return tree.children.iter().map(fields).collect();
    }
    let value = match &tree.value {
        Value::None | Value::List => Json::Null,
        Value::Flag(flag) => json!(flag),
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
    };
    if tree.children.is_empty() && tree.value != Value::None {
        return value;
    }
    let text = (value != Json::Null).then(|| ("text".to_owned(), value));
    let parts = tree.children.iter().map(|child| (child.key(), fields(child)));
    Json::Object(text.into_iter().chain(parts).collect())
}

/// A time since 1970 as RFC 3339 has it, in microseconds.
fn utc(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let micros = time.subsec_micros();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// The date that many days after 1970-01-01, counted in years that begin in March so that the
/// leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_a_date() {
        let utc = |seconds| utc(Duration::from_secs(seconds));
        assert_eq!(utc(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00.000000Z");
        assert_eq!(utc(1_709_251_199), "2024-02-29T23:59:59.000000Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00.000000Z");
    }
}

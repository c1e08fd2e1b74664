//! A command and what its answer must be: exit status, text, values in its JSON.

use regex_automata::meta::Regex;
use serde_json::Value;

use crate::json_path::{self, JsonPath};

/// `on` + `run` with its expectations.
#[derive(Debug, Clone)]
pub struct CommandCheck {
    /// The node.
    pub on: String,
    /// Given to `sh -c`.
    pub run: String,
    /// The exit status it must have.
    pub exit: i32,
    /// What must be in its output.
    pub output: Option<Pattern>,
    /// What must be in its JSON.
    pub json: Vec<(JsonPath, Expected)>,
}

/// `"text"` anywhere in the output, or `"/regular expression/"`.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Appears literally.
    Text(String),
    /// Matches somewhere; `^` and `$` are line ends.
    Regex(Box<Regex>),
}

/// What the values at a JSON path must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// At least one value, and all are this.
    Each(Value),
    /// Exactly these values in this order (or one value which is this list).
    List(Vec<Value>),
    /// `{ min, max, count, not }`.
    Bounds {
        /// Every value is a number not below.
        min: Option<f64>,
        /// Every value is a number not above.
        max: Option<f64>,
        /// How many values there are; with `min`/`max` only how many are looked at.
        count: Option<usize>,
        /// No value is this.
        not: Option<Value>,
    },
}

impl CommandCheck {
    /// What is wrong with an answer; empty if nothing is.
    pub fn judge(&self, exit: Option<i32>, stdout: &str, stderr: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        if exit != Some(self.exit) {
            let exit = exit.map_or("a signal".to_owned(), |code| format!("status {code}"));
            wrong.push(format!("`{}` ended with {exit}, expected {}", self.run, self.exit));
        }
        if let Some(pattern) = &self.output
            && !pattern.matches(stdout)
        {
            wrong.push(format!("{} is not in the output", pattern.describe()));
        }
        if !self.json.is_empty() {
            match serde_json::from_str(stdout) {
                Ok(value) => wrong.extend(self.json.iter().filter_map(|(path, expected)| {
                    expected.judge(&path.select(&value)).map(|why| format!("{path} {why}"))
                })),
                Err(error) => wrong.push(format!("the output is not JSON: {error}")),
            }
        }
        if !wrong.is_empty() {
            wrong.extend(last_lines(if stderr.trim().is_empty() { stdout } else { stderr }, 6));
        }
        wrong
    }
}

impl Pattern {
    /// Parses `text` or `/regex/`.
    ///
    /// # Errors
    /// What is wrong with the regular expression.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
        match inner {
            Some(inner) if !inner.is_empty() => Regex::builder()
                .syntax(regex_automata::util::syntax::Config::new().multi_line(true))
                .build(inner)
                .map(|regex| Self::Regex(Box::new(regex)))
                .map_err(|error| format!("`{inner}` is not a regular expression: {error}")),
            _ => Ok(Self::Text(text.to_owned())),
        }
    }

    fn matches(&self, output: &str) -> bool {
        match self {
            Self::Text(text) => output.contains(text),
            Self::Regex(regex) => regex.is_match(output),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("`{text}`"),
            Self::Regex(_) => "a match of the regular expression".to_owned(),
        }
    }
}

impl Expected {
    /// Reads the right-hand side of `json = { "$.path" = … }`.
    ///
    /// # Errors
    /// What is wrong with `{ min, max, count, not }`.
    pub fn parse(value: Value) -> Result<Self, String> {
        let members = match value {
            Value::Array(items) => return Ok(Self::List(items)),
            Value::Object(members) => members,
            scalar => return Ok(Self::Each(scalar)),
        };
        let (mut min, mut max, mut count, mut not) = (None, None, None, None);
        for (key, value) in members {
            let number = value.as_f64().ok_or_else(|| format!("`{key}` must be a number"));
            match key.as_str() {
                "min" => min = Some(number?),
                "max" => max = Some(number?),
                "count" => {
                    let whole = value.as_u64().and_then(|count| usize::try_from(count).ok());
                    count = Some(whole.ok_or("`count` must be a whole number")?);
                }
                "not" => not = Some(value),
                _ => return Err(format!("`{key}` is not one of min, max, count, not")),
            }
        }
        Ok(Self::Bounds { min, max, count, not })
    }

    /// Why the selected values are not as expected.
    fn judge(&self, found: &[&Value]) -> Option<String> {
        let shown = || shorten(&serde_json::to_string(found).unwrap_or_default(), 200);
        match self {
            Self::Each(wanted) => {
                let right =
                    !found.is_empty() && found.iter().all(|value| json_path::same(value, wanted));
                (!right).then(|| format!("is {}, expected {wanted}", shown()))
            }
            Self::List(wanted) => {
                let as_list = found.len() == wanted.len()
                    && found
                        .iter()
                        .zip(wanted)
                        .all(|(found, wanted)| json_path::same(found, wanted));
                let wanted = Value::Array(wanted.clone());
                let as_value = matches!(found, [only] if json_path::same(only, &wanted));
                (!as_list && !as_value).then(|| format!("is {}, expected {wanted}", shown()))
            }
            Self::Bounds { min, max, count, not } => {
                let counted = count.is_none_or(|count| found.len() == count);
                let bounded = min.is_none() && max.is_none()
                    || !found.is_empty()
                        && found.iter().all(|value| {
                            value.as_f64().is_some_and(|number| {
                                min.is_none_or(|min| number >= min)
                                    && max.is_none_or(|max| number <= max)
                            })
                        });
                let other = not.as_ref().is_none_or(|not| {
                    !found.is_empty() && !found.iter().any(|value| json_path::same(value, not))
                });
                (!(counted && bounded && other))
                    .then(|| format!("is {}, expected {}", shown(), self.describe()))
            }
        }
    }

    fn describe(&self) -> String {
        let Self::Bounds { min, max, count, not } = self else { return String::new() };
        let parts = [
            count.map(|count| format!("{count} of them")),
            min.map(|min| format!("at least {min}")),
            max.map(|max| format!("at most {max}")),
            not.as_ref().map(|not| format!("not {not}")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// The last lines of a text, as evidence.
fn last_lines(text: &str, count: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| shorten(line, 200)).collect()
}

fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(json: &[(&str, Value)]) -> CommandCheck {
        CommandCheck {
            on: "ms".into(),
            run: "weft status --json".into(),
            exit: 0,
            output: None,
            json: json
                .iter()
                .map(|(path, expected)| {
                    let path = JsonPath::parse(path).unwrap();
                    (path, Expected::parse(expected.clone()).unwrap())
                })
                .collect(),
        }
    }

    #[test]
    fn both_sites_must_be_registered() {
        let check = check(&[("$.items[*].registered", json!([true, true]))]);
        let one = r#"{"items": [{"registered": true}, {"registered": false}]}"#;
        assert_eq!(
            check.judge(Some(0), one, "")[0],
            "$.items[*].registered is [true,false], expected [true,true]"
        );
        let both = r#"{"items": [{"registered": true}, {"registered": true}]}"#;
        assert_eq!(check.judge(Some(0), both, ""), [] as [String; 0]);
    }

    #[test]
    fn a_single_value_stands_for_all_but_needs_at_least_one() {
        let check = check(&[("$.items[*].state", json!("up"))]);
        assert!(
            check.judge(Some(0), r#"{"items":[{"state":"up"},{"state":"up"}]}"#, "").is_empty()
        );
        assert!(
            !check.judge(Some(0), r#"{"items":[{"state":"up"},{"state":"x"}]}"#, "").is_empty()
        );
        assert!(!check.judge(Some(0), r#"{"items":[]}"#, "").is_empty());
    }

    #[test]
    fn bounds_hold_for_numbers_and_counts() {
        let check = check(&[
            ("$.drops", json!({"min": 1, "max": 5})),
            ("$.items[*]", json!({"count": 2})),
            ("$.state", json!({"not": "down"})),
        ]);
        assert!(check.judge(Some(0), r#"{"drops":3,"items":[1,2],"state":"up"}"#, "").is_empty());
        let wrong = check.judge(Some(0), r#"{"drops":9,"items":[1],"state":"down"}"#, "");
        assert_eq!(wrong[0], "$.drops is [9], expected at least 1, at most 5");
        assert_eq!(wrong[1], "$.items[*] is [1], expected 2 of them");
        assert_eq!(wrong[2], "$.state is [\"down\"], expected not \"down\"");
        assert!(Expected::parse(json!({"mni": 1})).is_err());
    }

    #[test]
    fn a_failed_command_shows_its_last_words() {
        let wrong = check(&[]).judge(Some(4), "", "error: cannot reach the daemon\n");
        assert_eq!(wrong[1], "error: cannot reach the daemon");
    }

    #[test]
    fn output_is_matched_as_text_or_as_a_regular_expression() {
        let pattern = |text| Pattern::parse(text).unwrap();
        assert!(pattern("10.0.0.1").matches("via 10.0.0.1 dev core"));
        assert!(!pattern("10.0.0.1").matches("via 10.0.x.1"));
        assert!(pattern("/^via .*core$/").matches("default\nvia 10.0.0.1 dev core\n"));
        assert!(Pattern::parse("/(/").is_err());
    }
}

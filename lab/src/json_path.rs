//! The part of JSONPath that checks need: `$.items[*].registered`, `$.items[0]['eid-prefix']`,
//! `$.items[?(@.rloc=='10.0.0.4')].state`. A path selects a list of values, possibly empty.
//! RFC 9535 is the model; keys may hold dashes, as all of weft's do.

use std::fmt;

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
    All,
    Filter { path: Vec<String>, equal: bool, value: Value },
}

impl JsonPath {
    /// Parses a path.
    ///
    /// # Errors
    /// A sentence that says what was expected where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.strip_prefix('$').ok_or("a JSON path starts with `$`")?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    /// The values the path selects, in document order.
    pub fn select<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut selected = vec![root];
        for step in &self.steps {
            selected = selected.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        selected
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Key(key) => value.get(key).into_iter().collect(),
            Self::Index(index) => value.get(index).into_iter().collect(),
            Self::All => children(value),
            Self::Filter { path, equal, value: wanted } => children(value)
                .into_iter()
                .filter(|child| {
                    let found = path.iter().try_fold(*child, |value, key| value.get(key));
                    found.is_some_and(|found| same(found, wanted) == *equal)
                })
                .collect(),
        }
    }
}

/// Are two values equal, whatever way their numbers are written (`1` is `1.0`)?
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

/// One step from the front of `text`, and what follows it.
fn step(text: &str) -> Result<(Step, &str), String> {
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, rest) = rest.split_at(end);
        return match key {
            "" => Err(format!("a key must follow the dot in `{text}`")),
            "*" => Ok((Step::All, rest)),
            _ => Ok((Step::Key(key.to_owned()), rest)),
        };
    }
    let inner = text.strip_prefix('[').ok_or_else(|| format!("expected `.` or `[` at `{text}`"))?;
    let end = closing_bracket(inner).ok_or_else(|| format!("`]` is missing after `{text}`"))?;
    let (inside, rest) = (inner[..end].trim(), &inner[end + 1..]);
    if inside == "*" {
        return Ok((Step::All, rest));
    }
    if let Some(expression) = inside.strip_prefix('?') {
        return Ok((filter(expression)?, rest));
    }
    if let Some(key) = quoted(inside) {
        return Ok((Step::Key(key.to_owned()), rest));
    }
    let index = inside
        .parse()
        .map_err(|_| format!("`[{inside}]` is not an index, `[*]`, a quoted key or a filter"))?;
    Ok((Step::Index(index), rest))
}

/// Where the bracket that is open at the start of `text` closes; quoted text does not count.
fn closing_bracket(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// `(@.state=='down')`; the parentheses may be left out.
fn filter(text: &str) -> Result<Step, String> {
    let wrong = || format!("`?{text}` is not a filter; write `?(@.key=='value')`");
    let inner = text.trim();
    let inner = inner.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(inner);
    let (left, right, equal) = inner
        .split_once("==")
        .map(|(left, right)| (left, right, true))
        .or_else(|| inner.split_once("!=").map(|(left, right)| (left, right, false)))
        .ok_or_else(wrong)?;
    let path: Vec<String> =
        left.trim().strip_prefix("@.").ok_or_else(wrong)?.split('.').map(String::from).collect();
    let right = right.trim();
    let value = match quoted(right) {
        Some(text) => Value::String(text.to_owned()),
        None => serde_json::from_str(right).map_err(|_| wrong())?,
    };
    Ok(Step::Filter { path, equal, value })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn select(path: &str, value: &Value) -> Vec<Value> {
        JsonPath::parse(path).unwrap().select(value).into_iter().cloned().collect()
    }

    #[test]
    fn selects_by_key_index_and_wildcard() {
        let value = json!({"items": [{"eid-prefix": "a"}, {"eid-prefix": "b"}], "n": 2});
        assert_eq!(select("$.n", &value), [json!(2)]);
        assert_eq!(select("$.items[1].eid-prefix", &value), [json!("b")]);
        assert_eq!(select("$.items[*]['eid-prefix']", &value), [json!("a"), json!("b")]);
        assert_eq!(select("$.items[7].eid-prefix", &value), [] as [Value; 0]);
        assert_eq!(select("$", &json!(1)), [json!(1)]);
    }

    #[test]
    fn filters_compare_text_numbers_and_booleans() {
        let value = json!({"items": [
            {"rloc": "10.0.0.4", "state": "down", "probe": {"lost": 3}},
            {"rloc": "fd00::4", "state": "up", "probe": {"lost": 0}},
        ]});
        assert_eq!(select("$.items[?(@.rloc=='10.0.0.4')].state", &value), [json!("down")]);
        assert_eq!(select("$.items[?@.probe.lost == 0].state", &value), [json!("up")]);
        assert_eq!(select("$.items[?(@.state!='up')].rloc", &value), [json!("10.0.0.4")]);
        assert_eq!(select("$.items[?(@.none==1)]", &value), [] as [Value; 0]);
    }

    #[test]
    fn a_bracket_inside_quotes_does_not_close_the_step() {
        assert_eq!(select("$['a]b']", &json!({"a]b": 1})), [json!(1)]);
    }

    #[test]
    fn one_and_one_point_zero_are_the_same_number() {
        assert!(same(&json!([1, {"a": 2}]), &json!([1.0, {"a": 2.0}])));
        assert!(!same(&json!([1]), &json!([1, 1])));
        assert!(!same(&json!("1"), &json!(1)));
    }

    #[test]
    fn wrong_paths_are_refused_with_a_sentence() {
        for wrong in ["items", "$.", "$.a[", "$.a[x]", "$.a[?(@.b)]", "$.a[?(b==1)]", "$x"] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! The files as one tree: `weft.toml`, then `conf.d/*.toml` beside it in the order of their
//! names. Tables merge, lists append, and a value set twice is an error that names both places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{Place, Problem, Report, Severity, Source};

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Something this configuration has no use for: a date, a fraction.
    Other(&'static str),
}

/// A table: each key with the place it is written at.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) BTreeMap<String, (Place, Node)>);

impl Value {
    /// What people call the kind of value.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads `path` and the `conf.d` folder beside it. `None`: a file cannot be read or is not TOML,
/// and what would be said of the rest might be wrong.
pub(super) fn read(path: &Path, report: &mut Report) -> Option<Node> {
    let root = parse_file(path, report);
    let extra: Vec<_> = extra_files(path).iter().map(|file| parse_file(file, report)).collect();
    let mut root = root?;
    for node in extra.into_iter().collect::<Option<Vec<_>>>()? {
        merge(&mut root, node, "", report);
    }
    Some(root)
}

/// Parses one text as if it were a file.
pub(super) fn parse(name: &str, text: &str, report: &mut Report) -> Option<Node> {
    let source = Arc::new(Source::new(name.to_owned(), text.to_owned()));
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let place = Place { source: source.clone(), span };
        report.error(&place, format!("not valid TOML: {}", error.message()), "here");
    }
    let place = Place { source: source.clone(), span: table.span() };
    let value = Value::Table(convert_table(table.get_ref(), &source));
    errors.is_empty().then_some(Node { place, value })
}

fn parse_file(path: &Path, report: &mut Report) -> Option<Node> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&name, &text, report),
        Err(error) => {
            report.push(Problem {
                severity: Severity::Error,
                message: format!("cannot read `{name}`: {error}"),
                places: Vec::new(),
                help: None,
            });
            None
        }
    }
}

fn extra_files(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(".")).join("conf.d");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

fn convert_table(table: &DeTable<'_>, source: &Arc<Source>) -> Table {
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let place = Place { source: source.clone(), span: key.span() };
        (key.get_ref().to_string(), (place, convert(value, source)))
    };
    Table(table.iter().map(entry).collect())
}

fn convert(value: &Spanned<DeValue<'_>>, source: &Arc<Source>) -> Node {
    let place = Place { source: source.clone(), span: value.span() };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(list) => {
            Value::List(list.iter().map(|item| convert(item, source)).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(table, source)),
    };
    Node { place, value }
}

fn merge(into: &mut Node, from: Node, path: &str, report: &mut Report) {
    match (&mut into.value, from.value) {
        (Value::Table(into), Value::Table(from)) => {
            for (key, (place, node)) in from.0 {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match into.0.get_mut(&key) {
                    Some((_, there)) => merge(there, node, &path, report),
                    None => drop(into.0.insert(key, (place, node))),
                }
            }
        }
        (Value::List(into), Value::List(from)) => into.extend(from),
        (first, again) => {
            let help = match (first, again) {
                (Value::List(_), Value::Table(_)) => format!("write [[{path}]] to add to the list"),
                _ => "remove one of them".to_owned(),
            };
            report.push(Problem {
                severity: Severity::Error,
                message: format!("`{path}` is set twice"),
                places: vec![
                    (from.place, "set again here".into()),
                    (into.place.clone(), "first set here".into()),
                ],
                help: Some(help),
            });
        }
    }
}

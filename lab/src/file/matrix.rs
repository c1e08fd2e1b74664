//! `[matrix]`: one file, many labs. Each axis lists words, or tables with a `name` and other keys;
//! `${axis}` stands for the word or name, `${key}` for the other keys. They are replaced everywhere
//! in the file, once for every combination.

use std::collections::BTreeMap;

use toml::Spanned;

use super::problem::{Problem, Problems};

/// The text of one combination.
pub(super) struct Variant {
    /// Added to the lab's name.
    pub suffix: String,
    pub text: String,
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    matrix: BTreeMap<Spanned<String>, Vec<Value>>,
}

#[derive(Clone, serde::Deserialize)]
#[serde(untagged)]
enum Value {
    Word(String),
    Table(BTreeMap<String, String>),
}

impl Value {
    /// The word by which a combination is known.
    fn label(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Table(keys) => keys.get("name").map(String::as_str),
        }
    }

    fn replace(&self, axis: &str, text: &str) -> String {
        match self {
            Self::Word(word) => text.replace(&format!("${{{axis}}}"), word),
            Self::Table(keys) => keys.iter().fold(text.to_owned(), |text, (key, value)| {
                let key = if key == "name" { axis } else { key };
                text.replace(&format!("${{{key}}}"), value)
            }),
        }
    }
}

/// The text of every combination; the text itself if there is no matrix.
pub(super) fn expand(text: &str) -> Result<Vec<Variant>, Vec<Problem>> {
    let file: File = toml::from_str(text).map_err(|error| vec![Problem::from_toml(&error)])?;
    let mut problems = Problems::default();
    let mut variants = vec![Variant { suffix: String::new(), text: text.to_owned() }];
    for (axis, values) in &file.matrix {
        if values.is_empty() || values.iter().any(|value| value.label().is_none()) {
            problems.add(
                axis.span(),
                format!("matrix axis `{}` needs words, or tables with a `name`", axis.get_ref()),
            );
            continue;
        }
        variants = variants
            .iter()
            .flat_map(|variant| {
                values.iter().map(|value| Variant {
                    suffix: format!("{}-{}", variant.suffix, value.label().unwrap_or_default()),
                    text: value.replace(axis.get_ref(), &variant.text),
                })
            })
            .collect();
    }
    if problems.is_empty() { Ok(variants) } else { Err(problems.into_vec()) }
}

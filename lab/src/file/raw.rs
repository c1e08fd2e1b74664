//! A lab file as it is written, before anything is resolved: one struct per table, every
//! reference with the place it stands at. `topology` is the resolved form.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use toml::Spanned;

/// Named tables, in the order of their names, with the place of each name.
pub(super) type Named<T> = BTreeMap<Spanned<String>, T>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    #[serde(default)]
    pub lab: Lab,
    /// Already expanded when the rest is read; see `matrix`.
    #[serde(default)]
    #[expect(dead_code, reason = "accepted here, used by the matrix")]
    pub matrix: Option<de::IgnoredAny>,
    #[serde(default)]
    pub link: Named<Link>,
    #[serde(default)]
    pub node: Named<Node>,
    /// `[host.h1]` is `[node.h1]` with `kind = "host"`.
    #[serde(default)]
    pub host: Named<Node>,
    /// `[router.core]` is `[node.core]` with `kind = "router"`.
    #[serde(default)]
    pub router: Named<Node>,
    #[serde(default)]
    pub check: Vec<Spanned<Check>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Lab {
    pub name: Option<Spanned<String>>,
    pub about: String,
    /// Links recorded from the start of the lab.
    pub record: Texts,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Link {
    pub subnet: Texts,
    pub mtu: Option<Spanned<u16>>,
    pub delay: Option<Spanned<String>>,
    pub loss: Option<Spanned<Scalar>>,
    pub rate: Option<Spanned<String>>,
    pub queue: Option<Spanned<usize>>,
    pub seed: Option<u64>,
    /// Use one of our own wires even if nothing is impaired yet.
    pub wire: bool,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Node {
    pub kind: Option<Spanned<String>>,
    pub config: Option<Spanned<String>>,
    pub config_file: Option<Spanned<String>>,
    pub command: Option<Spanned<String>>,
    pub ready: Option<Spanned<String>>,
    pub files: BTreeMap<Spanned<String>, String>,
    pub links: Named<Texts>,
    pub via: Option<Spanned<String>>,
    pub routes: Texts,
    pub sysctls: BTreeMap<Spanned<String>, Scalar>,
    pub environment: BTreeMap<String, String>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Check {
    pub name: Option<Spanned<String>>,
    pub until: Option<Spanned<String>>,
    pub on: Option<Spanned<String>>,
    pub run: Option<Spanned<String>>,
    pub json: BTreeMap<Spanned<String>, Value>,
    pub output: Option<Spanned<String>>,
    pub exit: Option<i32>,
    pub ping: Option<Spanned<Ping>>,
    pub tcp: Option<Spanned<Tcp>>,
    pub udp_flows: Option<Spanned<UdpFlows>>,
    pub storm: Option<Spanned<Storm>>,
    pub capture: Option<OneOrMany<Capture>>,
    pub split: Option<Spanned<Split>>,
    #[serde(rename = "while")]
    pub during: Option<OneOrMany<Traffic>>,
    #[serde(rename = "do")]
    pub actions: Texts,
    pub outage: Option<Spanned<String>>,
}

/// What may run as background: exactly one of these.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Traffic {
    pub ping: Option<Spanned<Ping>>,
    pub tcp: Option<Spanned<Tcp>>,
    pub udp_flows: Option<Spanned<UdpFlows>>,
    pub storm: Option<Spanned<Storm>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Ping {
    pub from: Spanned<String>,
    pub to: Spanned<String>,
    pub count: Option<Spanned<u32>>,
    pub interval: Option<Spanned<String>>,
    pub size: Option<Spanned<u16>>,
    pub loss: Option<Spanned<Scalar>>,
    #[serde(default)]
    pub df: bool,
    pub family: Option<Spanned<Scalar>>,
    pub too_big: Option<Spanned<Scalar>>,
    pub reach: Option<bool>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Tcp {
    pub from: Spanned<String>,
    pub to: Spanned<String>,
    pub bytes: Option<Spanned<u64>>,
    pub seconds: Option<Spanned<f64>>,
    pub family: Option<Spanned<Scalar>>,
    pub reach: Option<bool>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct UdpFlows {
    pub from: Spanned<String>,
    pub to: Spanned<String>,
    pub flows: Option<Spanned<u16>>,
    pub packets: Option<Spanned<u32>>,
    pub size: Option<Spanned<u16>>,
    pub rate: Option<Spanned<String>>,
    pub loss: Option<Spanned<Scalar>>,
    pub family: Option<Spanned<Scalar>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Storm {
    pub from: Spanned<String>,
    pub to: Spanned<String>,
    pub destinations: Spanned<u32>,
    pub rate: Option<Spanned<String>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Capture {
    pub on: Spanned<String>,
    #[serde(default)]
    pub filter: Option<Spanned<String>>,
    pub packets: Spanned<Bounds>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Split {
    pub on: Texts,
    pub shares: Spanned<Vec<f64>>,
    pub tolerance: Option<Spanned<f64>>,
    pub node: Option<Spanned<String>>,
}

/// `"text"` or `["text", "text"]`, each with its place.
#[derive(Default)]
pub(super) struct Texts(pub Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Inner {
            One(String),
            Many(Vec<Spanned<String>>),
        }
        struct InnerVisitor;
        impl<'de> Visitor<'de> for InnerVisitor {
            type Value = Inner;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Inner, E> {
                Ok(Inner::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Inner, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Inner::Many(items))
            }
        }
        impl<'de> Deserialize<'de> for Inner {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(InnerVisitor)
            }
        }
        let whole = Spanned::<Inner>::deserialize(deserializer)?;
        let span = whole.span();
        Ok(Self(match whole.into_inner() {
            Inner::One(text) => vec![Spanned::new(span, text)],
            Inner::Many(items) => items,
        }))
    }
}

/// A table or a list of tables.
pub(super) struct OneOrMany<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyVisitor<T> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table or a list of tables")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
                Ok(vec![T::deserialize(MapAccessDeserializer::new(map))?])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(items)
            }
        }
        deserializer.deserialize_any(AnyVisitor(PhantomData)).map(Self)
    }
}

/// A string, number or boolean where any way of writing it is welcome: `5`, `"5%"`, `true`.
#[derive(Clone)]
pub(super) struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a boolean")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// `0` (exactly), `{ min = 1 }`, `{ max = 5 }` or both.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub min: u64,
    pub max: u64,
}

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Range {
            #[serde(default)]
            min: u64,
            #[serde(default = "unlimited")]
            max: u64,
        }
        fn unlimited() -> u64 {
            u64::MAX
        }
        struct BoundsVisitor;
        impl<'de> Visitor<'de> for BoundsVisitor {
            type Value = Bounds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of packets, or { min = …, max = … }")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bounds, E> {
                let exact = u64::try_from(number)
                    .map_err(|_| E::custom("a number of packets cannot be negative"))?;
                Ok(Bounds { min: exact, max: exact })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Bounds, A::Error> {
                let range = Range::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Bounds { min: range.min, max: range.max })
            }
        }
        deserializer.deserialize_any(BoundsVisitor)
    }
}

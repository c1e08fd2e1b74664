//! Reading lab files: TOML in, topologies out, or all mistakes at once with their places.

mod checks;
mod matrix;
mod nodes;
mod problem;
mod raw;

use std::path::{Path, PathBuf};

pub use problem::Problem;

use crate::topology::Topology;
use problem::Problems;

/// A lab file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("error: cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has mistakes, shown with their places.
    #[error("{shown}")]
    Invalid {
        /// The mistakes.
        problems: Vec<Problem>,
        /// The same, rendered for people.
        shown: String,
    },
}

/// Reads a lab file. A file with a `[matrix]` gives one topology for each combination.
///
/// # Errors
/// The file cannot be read, or has mistakes; `color` is for showing them.
pub fn read(path: &Path, color: bool) -> Result<Vec<Topology>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text, color)
}

/// Like `read`, from text; `path` gives the name, and the folder of the files it names.
///
/// # Errors
/// The text has mistakes.
pub fn parse(path: &Path, text: &str, color: bool) -> Result<Vec<Topology>, Error> {
    let shown_path = path.display().to_string();
    let invalid = |text: &str, problems: Vec<Problem>| Error::Invalid {
        shown: problem::render(&shown_path, text, &problems, color),
        problems,
    };
    let variants = matrix::expand(text).map_err(|problems| invalid(text, problems))?;
    variants
        .into_iter()
        .map(|variant| resolve(path, &variant).map_err(|problems| invalid(&variant.text, problems)))
        .collect()
}

fn resolve(path: &Path, variant: &matrix::Variant) -> Result<Topology, Vec<Problem>> {
    let file: raw::File =
        toml::from_str(&variant.text).map_err(|error| vec![Problem::from_toml(&error)])?;
    let mut problems = Problems::default();
    let mut topology = nodes::resolve(path, variant, &file, &mut problems);
    checks::resolve(&file, &mut topology, &mut problems);
    if problems.is_empty() { Ok(topology) } else { Err(problems.into_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Family, Kind};

    fn read(text: &str) -> Topology {
        let mut labs = parse(Path::new("labs/test.toml"), text, false).unwrap();
        assert_eq!(labs.len(), 1);
        labs.remove(0)
    }

    /// All mistakes of a file, each in one line.
    fn mistakes(text: &str) -> Vec<String> {
        match parse(Path::new("labs/test.toml"), text, false) {
            Err(Error::Invalid { problems, .. }) => {
                problems.iter().map(|problem| problem.message().to_owned()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    const SITES: &str = r#"
        [link.core]
        subnet = ["10.0.0.0/24", "fd00::/64"]
        [router.r1]
        links = { core = ["10.0.0.1", "fd00::1"], site = ["192.168.1.1/24", "fd01::1/64"] }
        routes = ["default via r2 metric 100"]
        [router.r2]
        links = { core = ["10.0.0.2", "fd00::2"] }
        [host.h1]
        links = { site = ["192.168.1.10/24", "fd01::10/64"] }
        via = "r1"
    "#;

    #[test]
    fn addresses_take_their_length_from_the_subnet() {
        let lab = read(SITES);
        assert_eq!(lab.name, "test");
        let r1 = lab.node("r1").unwrap();
        assert_eq!(r1.kind, Kind::Router);
        let core: Vec<String> =
            r1.attachments[0].addresses.iter().map(ToString::to_string).collect();
        assert_eq!(core, ["10.0.0.1/24", "fd00::1/64"]);
        assert_eq!(r1.address(Family::V6), Some("fd00::1".parse().unwrap()));
    }

    #[test]
    fn a_node_as_next_hop_gives_a_route_of_each_family() {
        let lab = read(SITES);
        let routes = |node: &str| -> Vec<String> {
            let routes = &lab.node(node).unwrap().routes;
            routes.iter().map(|r| format!("{} {} {:?}", r.to, r.via.unwrap(), r.metric)).collect()
        };
        assert_eq!(routes("h1"), ["0.0.0.0/0 192.168.1.1 None", "::/0 fd01::1 None"]);
        assert_eq!(routes("r1"), ["0.0.0.0/0 10.0.0.2 Some(100)", "::/0 fd00::2 Some(100)"]);
    }

    #[test]
    fn every_mistake_is_named_in_the_order_of_the_file() {
        let text = r#"
            [link.core]
            subnet = "10.0.0.0/24"
            delay = "5"
            [node.xtr1]
            links = { core = "10.1.0.1", sit1 = "192.168.1.1" }
            [host.h1]
            links = { core = "10.0.0.9", site1 = "192.168.1.10" }
            via = "xrt1"
            [[check]]
            name = "reach"
            ping = { from = "h1", to = "h2" }
            do = "link core cut h1"
        "#;
        let mistakes = mistakes(text);
        let expected = [
            "`5` is not a duration",
            "node `xtr1` runs weft and needs",
            "`10.1.0.1` is in no subnet of link `core`",
            "link `sit1` has one end only",
            "link `site1` has one end only",
            "no node is called `xrt1`",
            "no node is called `h2`",
            "`link core cut h1` is not something that can be done",
        ];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(mistake.starts_with(expected), "{mistake}");
        }
    }

    #[test]
    fn an_unknown_key_is_shown_with_advice() {
        let error = parse(Path::new("x.toml"), "[link.core]\ndelya = \"5ms\"\n", false);
        let shown = error.unwrap_err().to_string();
        assert!(shown.contains("x.toml:2:1"), "{shown}");
        assert!(shown.contains("did you mean `delay`?"), "{shown}");
    }

    #[test]
    fn a_link_becomes_a_wire_when_it_is_or_will_be_impaired() {
        let with = |link: &str, actions: &str| {
            let text = format!(
                "{SITES}\n[link.site]\n{link}\n[[check]]\nname = \"x\"\ndo = [{actions}]\n\
                 ping = {{ from = \"h1\", to = \"r1\" }}\n"
            );
            read(&text).link("site").unwrap().wire.is_some()
        };
        assert!(!with("", ""));
        assert!(with("delay = \"5ms\"", ""));
        assert!(with("", "\"link site loss 5%\""));
        assert!(!with("", "\"link site down h1\""));
    }

    #[test]
    fn a_matrix_gives_one_lab_for_each_combination() {
        let text = r#"
            [matrix]
            family = ["ipv4", "ipv6"]
            core = [{ name = "near", delay = "0ms" }, { name = "far", delay = "50ms" }]
            [link.core]
            delay = "${delay}"
            [host.a]
            links = { core = "10.0.0.1/24" }
            [host.b]
            links = { core = "10.0.0.2/24" }
            [[check]]
            name = "${family} is only a word"
            ping = { from = "a", to = "b" }
        "#;
        let labs = parse(Path::new("m.toml"), text, false).unwrap();
        let names: Vec<&str> = labs.iter().map(|lab| lab.name.as_str()).collect();
        assert_eq!(names, ["m-near-ipv4", "m-near-ipv6", "m-far-ipv4", "m-far-ipv6"]);
        assert_eq!(labs[1].checks[0].name, "ipv6 is only a word");
        assert_eq!(labs[2].links[0].wire.as_ref().unwrap().delay.as_millis(), 50);
    }
}

//! A lab's network in the kernel: one namespace a node, one namespace a link with its bridge, and
//! our own wires where a link is impaired. Interfaces carry the name of their link, ports of a
//! bridge the name of their node, so `ip link` in any namespace reads like the lab file.

mod build;
mod fault;
mod namespace;
mod script;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use namespace::Namespace;
pub use script::Error as ScriptError;

use crate::process;
use crate::topology::{Topology, namespace_prefix};
use crate::wait::Interrupted;

/// The network of one lab, cheap to clone into the threads that make traffic in it.
#[derive(Debug, Clone)]
pub struct Network {
    topology: Arc<Topology>,
    directory: PathBuf,
}

/// The kernel or a wire refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A batch of `ip` commands failed.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A sysctl could not be written.
    #[error("sysctl {key} = {value} on {node}: {source}")]
    Sysctl {
        /// The node.
        node: String,
        /// The key, with dots.
        key: String,
        /// The value.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// A wire did not start or refused an order.
    #[error("wire {link}: {message}")]
    Wire {
        /// The link.
        link: String,
        /// Why.
        message: String,
    },
    /// A wire's process could not be started.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A file of the lab could not be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user wants to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Network {
    /// The network of a lab that is up.
    pub fn of(topology: Arc<Topology>, directory: &Path) -> Self {
        Self { topology, directory: directory.to_owned() }
    }

    /// The lab.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The namespace of a node or link.
    pub fn namespace(&self, name: &str) -> Namespace {
        Namespace::named(self.topology.namespace(name))
    }

    /// Removes all namespaces of a lab, and with them everything that was in them.
    pub fn remove(lab: &str) -> Result<(), Error> {
        let mut script = script::Script::default();
        for namespace in Namespace::with_prefix(&namespace_prefix(lab)) {
            script.add(format_args!("netns del {}", namespace.name()));
        }
        Ok(script.run(None)?)
    }

    fn wire_socket(&self, link: &str) -> PathBuf {
        self.directory.join(format!("{link}.wire.sock"))
    }
}

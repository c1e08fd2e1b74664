//! Our own wires, for kernels without netem. A wire is a process that holds a TAP device in each
//! attached node and switches frames between them, late, lossy, slow or not at all. It can take
//! away the carrier of one end, and takes orders on a Unix socket while it runs.

mod order;
mod process;
mod switch;
mod tap;

use std::path::PathBuf;
use std::time::Duration;

pub use order::order;
pub use process::run;

use crate::topology::Impairment;

/// What a wire's process is given, as JSON in a file.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Specification {
    /// The link, also the name of the TAP devices.
    pub link: String,
    /// Where orders are taken.
    pub socket: PathBuf,
    /// How bad the wire is.
    pub impairment: Impairment,
    /// Who is attached.
    pub ends: Vec<End>,
}

/// One end of a wire.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct End {
    /// The node, as orders name it.
    pub node: String,
    /// The namespace its TAP device is made in.
    pub namespace: String,
}

/// How long a wire may take to start.
pub const START_LIMIT: Duration = Duration::from_secs(10);

//! Is this machine able to run the router? Everything operators stumble over, each with what it
//! means and the command that puts it right. Nothing is changed, and no router need run.

mod machine;
mod network;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;
use weft_data::ebpf::SharedPorts;
use weft_fib::Encapsulation;
use weft_manage::config::{Config, Driver, UplinkNames, check_text, load};

use crate::host::netlink::Netlink;
use crate::host::uplinks::uplinks;
use crate::router::Error;

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found, and what follows from it.
    pub text: String,
    /// What puts it right.
    pub fix: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Right,
    /// The router works, but not as well as it could.
    Doubtful,
    /// The router, or a part of it, does not work.
    Wrong,
}

impl State {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Right => "ok",
            Self::Doubtful => "warn",
            Self::Wrong => "FAIL",
        }
    }
}

impl Finding {
    fn right(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: State::Right, text: text.into(), fix: None }
    }

    fn doubtful(check: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Doubtful, text: text.into(), fix: Some(fix.into()) }
    }

    fn wrong(check: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, state: State::Wrong, text: text.into(), fix: Some(fix.into()) }
    }
}

/// Looks at everything. Without a configuration only the machine is looked at; `running` says that
/// a router runs here already.
pub async fn doctor(config: Option<&Path>, running: bool) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let config = if let Some(path) = config {
        load(path, &mut UplinkNames::default())
            .map_err(|report| Error::Config(report.to_string()))?
    } else {
        let text = "there is no configuration; only the machine is looked at";
        findings.push(Finding::doubtful("configuration", text, "weft doctor --config FILE"));
        nothing()?
    };
    let system = |source| Error::System { what: "read links and addresses", source };
    let netlink = Netlink::connect(Arc::new(Notify::new())).map_err(system)?;
    let facts = netlink.facts().await.map_err(system)?;
    let tunnel_router = config.lisp.itr.is_some() || config.lisp.etr.is_some();
    let carries = config.data_plane.driver != Driver::None && tunnel_router;
    findings.push(machine::rights());
    if carries || config.lisp == nothing()?.lisp {
        findings.push(machine::fast_path(&config.data_plane));
        findings.extend(machine::pins(&config.data_plane));
        findings.push(machine::tun());
        findings.extend(network::settings(&config, &facts));
    }
    // What a stopped router keeps has the data port.
    let kept = facts.links.values().any(|link| SharedPorts::owns_port(&link.name));
    let vxlan = config.lisp.encapsulation == Encapsulation::Vxlan;
    findings.extend(network::ports(carries && !kept, vxlan, running));
    let local = uplinks(&config.uplinks, &facts);
    findings.extend(network::uplinks(&config, &local, &facts));
    findings.extend(network::offloads(&local, &facts));
    Ok(findings)
}

/// A configuration that says nothing.
fn nothing() -> Result<Config, Error> {
    let (config, report) = check_text("nothing", "", &mut UplinkNames::default());
    config.ok_or_else(|| Error::Config(report.to_string()))
}

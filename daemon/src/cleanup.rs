//! The end of what a stopped router left forwarding.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Notify;
use weft_data::ebpf::SharedPorts;
use weft_manage::config::{UplinkNames, load};

use crate::host::netlink::{KEPT, Netlink};
use crate::host::pins;
use crate::router::Error;

/// Removes pinned programs, devices, rules and routes of this network namespace; tells what. No
/// router may run. `pins` is where programs are pinned, if not where the configuration says or,
/// without one, by default.
pub async fn cleanup(config: Option<&Path>, pins: Option<&Path>) -> Result<Vec<String>, Error> {
    let path = match (pins, config) {
        (Some(path), _) => path.to_owned(),
        (None, Some(config)) => {
            load(config, &mut UplinkNames::default())
                .map_err(|report| Error::Config(report.to_string()))?
                .data_plane
                .pin_path
        }
        (None, None) => DEFAULT_PIN_PATH.into(),
    };
    let system = |what| move |source| Error::System { what, source };
    let mut removed = Vec::new();
    if pins::remove(&path).map_err(system("remove pinned programs"))? {
        removed.push(format!("the programs pinned in {}", path.display()));
    }
    SharedPorts::clear().map_err(system("remove the device on the data port"))?;
    let netlink = Netlink::connect(Arc::new(Notify::new())).map_err(system("open netlink"))?;
    let (rules, routes) = netlink.installed().await.map_err(system("read rules and routes"))?;
    netlink.flush().await.map_err(system("remove rules and routes"))?;
    let facts = netlink.facts().await.map_err(system("read links"))?;
    for link in facts.links.values().filter(|link| link.alias.as_deref() == Some(KEPT)) {
        netlink.remove_link(link.index).await.map_err(system("remove a device"))?;
        removed.push(format!("the device {}", link.name));
    }
    if rules + routes > 0 {
        removed.push(format!("{rules} rules and {routes} routes"));
    }
    Ok(removed)
}

const DEFAULT_PIN_PATH: &str = "/run/weft_bpf";

//! What kernel and rights allow.

use std::fs;
use std::io;

use weft_manage::config::{DataPlane, Driver, OnExit};

use super::Finding;
use crate::data_plane::fast_path_refused;
use crate::host::pins;

/// Are the capabilities there that every tunnel router needs?
pub(super) fn rights() -> Finding {
    let check = "rights";
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    match missing(&status).as_slice() {
        [] => Finding::right(check, "the capabilities net_admin and net_raw are there"),
        missing => Finding::wrong(
            check,
            format!("{} missing: devices, rules and sockets cannot be made", missing.join(", ")),
            "run it as root, or give its service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW \
             CAP_BPF CAP_PERFMON",
        ),
    }
}

/// Can packets be forwarded in the kernel?
pub(super) fn fast_path(plane: &DataPlane) -> Finding {
    let check = "fast path";
    let kernel = nix::sys::utsname::uname()
        .map(|uname| uname.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    let Some(why) = fast_path_refused() else {
        return Finding::right(check, format!("kernel {kernel} takes the programs and tables"));
    };
    let text = format!("kernel {kernel}: {why}");
    match plane.driver {
        Driver::Ebpf => Finding::wrong(
            check,
            text,
            "grant what is missing, or set dataplane.driver = \"auto\" to do without",
        ),
        Driver::Tun | Driver::None => {
            Finding::right(check, format!("{text}; the configuration does without"))
        }
        Driver::Auto => Finding::doubtful(
            check,
            format!("{text}; the portable plane forwards, at a fraction of the speed"),
            "run it as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, on Linux 6.6 or later",
        ),
    }
}

/// Can the kernel go on forwarding while the router is away?
pub(super) fn pins(plane: &DataPlane) -> Option<Finding> {
    let wanted = matches!(plane.driver, Driver::Auto | Driver::Ebpf)
        && plane.on_exit.unwrap_or_default() == OnExit::Keep;
    if !wanted {
        return None;
    }
    let check = "restart";
    Some(match pins::check(&plane.pin_path) {
        Ok(()) => Finding::right(
            check,
            format!("what forwards is kept in {} while no router runs", plane.pin_path.display()),
        ),
        Err(error) => Finding::doubtful(
            check,
            format!("a restart interrupts forwarding: {error}"),
            format!(
                "mkdir -p {path} && mount -t bpf bpf {path}, before the router starts and outside \
                 its mount namespace; then chown it to the router's user",
                path = plane.pin_path.display()
            ),
        ),
    })
}

/// Can TUN devices be made?
pub(super) fn tun() -> Finding {
    let check = "tun";
    let opened = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let Err(error) = opened else {
        return Finding::right(check, "/dev/net/tun is there and can be opened");
    };
    let fix = match error.kind() {
        io::ErrorKind::NotFound => {
            "modprobe tun; in a container: --device /dev/net/tun; without udev: mkdir -p /dev/net \
             && mknod /dev/net/tun c 10 200"
        }
        io::ErrorKind::PermissionDenied => "chmod 0666 /dev/net/tun, or run it as root",
        _ => "modprobe tun",
    };
    Finding::wrong(check, format!("/dev/net/tun: {error}"), fix)
}

/// The names of the capabilities that are missing, of those every tunnel router needs.
fn missing(status: &str) -> Vec<&'static str> {
    const NEEDED: [(u32, &str); 2] = [(12, "net_admin"), (13, "net_raw")];
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    let lacks = |(bit, name): (u32, &'static str)| (effective >> bit & 1 == 0).then_some(name);
    NEEDED.into_iter().filter_map(lacks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing("CapEff:\t0000000000003000\n"), [""; 0]);
        assert_eq!(missing("CapEff:\t0000000000001000\n"), ["net_raw"]);
        assert_eq!(missing("Name:\tweft\n"), ["net_admin", "net_raw"]);
    }
}

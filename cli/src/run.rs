//! `weft run`: be the router.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;
use weft_manage::config::{Driver, Log, LogFormat, OnExit, UplinkNames, check};

use crate::arguments::{self, Global, Run};
use crate::exit::{BUG, CONFIG, DENIED, End, Outcome};

/// Runs the router until it is told to stop.
pub(crate) fn run(run: &Run, global: &Global) -> Outcome {
    let (config, report) = check(&run.config, &mut UplinkNames::default());
    let colored = std::io::stderr().is_terminal() && !global.no_color;
    if !report.problems().is_empty() {
        eprintln!("{}", report.render(colored));
    }
    let Some(config) = config else { return Err(End::silent(CONFIG)) };
    start_log(&config.log, colored)?;
    let socket = std::env::var_os("WEFT_SOCKET").is_some()
        || global.socket != std::path::Path::new("/run/weft/weft.sock");
    let options = weft_daemon::Options {
        config: run.config.clone(),
        socket: socket.then(|| global.socket.clone()),
        state: run.state.clone(),
        driver: run.driver.map(|driver| match driver {
            arguments::Driver::Ebpf => Driver::Ebpf,
            arguments::Driver::Tun => Driver::Tun,
        }),
        on_exit: run.on_exit.map(|on_exit| match on_exit {
            arguments::OnExit::Keep => OnExit::Keep,
            arguments::OnExit::Clean => OnExit::Clean,
        }),
        pin_path: run.pin_path.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| End::new(BUG, format!("cannot start: {error}")))?;
    let ready = |config: &weft_manage::config::Config| {
        tracing::info!(
            node = config.node.name,
            socket = %config.management.socket.display(),
            "weft {} is ready", env!("CARGO_PKG_VERSION")
        );
        notify_ready();
    };
    runtime.block_on(weft_daemon::run(options, ready)).map_err(|error| end(&error))
}

fn start_log(log: &Log, colored: bool) -> Result<(), End> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|error| End::new(CONFIG, format!("log.level `{}`: {error}", log.level)))?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match log.format {
        LogFormat::Json => layer.json().boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Auto => layer.with_ansi(colored).with_target(false).boxed(),
    };
    tracing_subscriber::registry().with(layer).with(filter).init();
    Ok(())
}

/// Tells the service manager that we are ready, where there is one.
fn notify_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() else { return };
    // Nobody to tell is no reason to stop.
    let _ = socket.send_to(b"READY=1\n", path);
}

pub(crate) fn end(error: &weft_daemon::Error) -> End {
    let denied = |source: &std::io::Error| source.kind() == std::io::ErrorKind::PermissionDenied;
    match error {
        weft_daemon::Error::Config(report) => End::new(CONFIG, report.clone()),
        weft_daemon::Error::System { source, .. } | weft_daemon::Error::Socket { source, .. }
            if denied(source) =>
        {
            End::new(DENIED, error.to_string())
                .help("run it as root, or with CAP_NET_ADMIN and CAP_NET_RAW")
        }
        other => End::new(1, other.to_string()),
    }
}

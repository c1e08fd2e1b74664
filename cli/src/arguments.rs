//! The command line: noun first, a noun alone shows it, `weft show NOUN` is the same.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A programmable overlay router.
#[derive(Debug, Parser)]
#[command(name = "weft", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done or healthy, 1 the answer is no, 2 wrong usage, \
    3 invalid configuration, 4 router not reachable, 5 not permitted, 6 timed out, 70 a bug.")]
pub(crate) struct Weft {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The router's management socket.
    #[arg(long, global = true, env = "WEFT_SOCKET", default_value = "/run/weft/weft.sock")]
    pub(crate) socket: PathBuf,
    /// Print JSON: one object, or one a line for streams.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Repeat every SECONDS until interrupted.
    #[arg(long, short, global = true, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2")]
    pub(crate) watch: Option<f64>,
    /// Do not colour.
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// What the command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Be the router, in the foreground.
    Run(Run),
    /// The configuration: check, show, diff, reload, explain, example.
    #[command(subcommand)]
    Config(Config),
    /// Verdict, roles, registrations, locators, traffic.
    Status {
        /// Print nothing; the exit code says whether all is well.
        #[arg(long)]
        check: bool,
    },
    /// Learned and static mappings; with EID, the one that would be used.
    #[command(alias = "mc")]
    MapCache {
        #[command(subcommand)]
        verb: Option<MapCacheVerb>,
        /// An address or prefix.
        eid: Option<String>,
        #[command(flatten)]
        instance: Instance,
        /// Show at most this many.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Our own EID-prefixes, and how they are registered.
    #[command(alias = "db")]
    Database,
    /// Registration with each Map-Server.
    Registration {
        #[command(subcommand)]
        verb: Option<RegistrationVerb>,
    },
    /// Remote locators: state, round trip, probes.
    Rloc {
        #[command(subcommand)]
        verb: Option<RlocVerb>,
    },
    /// This Map-Server: sites, registrations, refusals.
    #[command(subcommand)]
    MapServer(MapServerVerb),
    /// This Map-Resolver.
    MapResolver,
    /// Uplinks, overlay devices and host-facing interfaces.
    Interface,
    /// Every counter with its reason.
    Counters {
        /// Leave out what is zero.
        #[arg(long)]
        nonzero: bool,
        /// Only what changes within SECONDS.
        #[arg(long, value_name = "SECONDS")]
        delta: Option<f64>,
    },
    /// Live events: what changed, control messages, drops with their reasons.
    Monitor(Monitor),
    /// Ask the mapping system (RFC 6835).
    Lig(Lig),
    /// Explain what would happen to a packet; none is sent.
    Trace(Trace),
    /// Is this machine able to run the router? With the remedies.
    Doctor(Machine),
    /// End what a stopped router left forwarding: programs, devices, rules, routes.
    Cleanup {
        #[command(flatten)]
        machine: Machine,
        /// Where programs are pinned, instead of dataplane.pin-path.
        #[arg(long, value_name = "PATH")]
        pin_path: Option<PathBuf>,
    },
    /// Ping through the overlay, and say which locators carried it.
    Ping(Ping),
    /// Read LISP messages and packets from hex, files and captures.
    Decode(crate::decode::Decode),
    /// Networks of routers in namespaces: tutorials, demos and tests.
    Lab(crate::lab::Lab),
    /// Completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    Man {
        /// The folder.
        directory: PathBuf,
    },
}

/// Which instance an EID is in.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Instance {
    /// Instance-ID.
    #[arg(long = "instance", short = 'I', value_name = "IID")]
    pub(crate) id: Option<u32>,
}

/// `weft run`
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// The configuration file.
    #[arg(long, short, default_value = "/etc/weft/weft.toml")]
    pub(crate) config: PathBuf,
    /// Where state is kept across restarts, instead of management.state.
    #[arg(long)]
    pub(crate) state: Option<PathBuf>,
    /// What dataplane.driver = "auto" means.
    #[arg(long)]
    pub(crate) driver: Option<Driver>,
    /// What stays when the router stops, unless dataplane.on-exit says.
    #[arg(long)]
    pub(crate) on_exit: Option<OnExit>,
    /// Where what stays is pinned, instead of dataplane.pin-path.
    #[arg(long, value_name = "PATH")]
    pub(crate) pin_path: Option<PathBuf>,
}

/// A data plane.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Driver {
    /// Programs in the kernel.
    Ebpf,
    /// TUN devices and UDP sockets.
    Tun,
}

/// What stays when the router stops.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnExit {
    /// A kernel that goes on forwarding.
    Keep,
    /// Nothing.
    Clean,
}

/// Which configuration a command is about.
#[derive(Clone, Debug, Args)]
pub(crate) struct Machine {
    /// The configuration file.
    #[arg(long, short, default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
}

/// Where the configuration is unless a command is told otherwise.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/weft/weft.toml";

/// `weft config`
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Read a file and say everything that is wrong with it.
    Check {
        /// The file; `-` is standard input, which is not compared with this machine.
        #[arg(default_value = "/etc/weft/weft.toml")]
        file: PathBuf,
        /// Warnings are errors.
        #[arg(long)]
        strict: bool,
    },
    /// What the router runs with; secrets are masked.
    Show {
        /// Only keys below this.
        path: Option<String>,
        /// Of a file instead of the running router.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// What a file would change of what runs.
    Diff {
        /// The file; default: the one the router was started with.
        file: Option<PathBuf>,
        /// Exit with 1 when there is a difference.
        #[arg(long)]
        exit_code: bool,
    },
    /// Apply the difference between the file and what runs, losing no packet.
    Reload,
    /// What a key means, its values and default.
    Explain {
        /// Such as etr.map-server.algorithm.
        path: String,
    },
    /// A complete example for a role.
    Example {
        /// xtr, map-server, proxy, vpn or reference.
        role: String,
    },
}

/// `weft map-cache`
#[derive(Debug, Subcommand)]
pub(crate) enum MapCacheVerb {
    /// Forget learned entries: one, or all.
    Flush {
        /// An address or prefix.
        eid: Option<String>,
        #[command(flatten)]
        instance: Instance,
    },
}

/// `weft registration`
#[derive(Debug, Subcommand)]
pub(crate) enum RegistrationVerb {
    /// Register at once.
    Now,
}

/// `weft rloc`
#[derive(Debug, Subcommand)]
pub(crate) enum RlocVerb {
    /// Probe a locator at once.
    Probe {
        /// Which.
        rloc: IpAddr,
    },
}

/// `weft map-server`
#[derive(Debug, Subcommand)]
pub(crate) enum MapServerVerb {
    /// Who may register what, and what is registered.
    Site {
        /// Only this site.
        name: Option<String>,
    },
    /// Every registered EID-prefix.
    Registration {
        /// Only what covers or lies within this.
        eid: Option<String>,
        #[command(flatten)]
        instance: Instance,
        /// Show at most this many.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// What was refused lately, and why.
    Refused,
}

/// `weft monitor`
#[derive(Clone, Debug, Args)]
pub(crate) struct Monitor {
    /// Begin with this many past events.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) last: usize,
    /// End after the past events.
    #[arg(long)]
    pub(crate) past_only: bool,
    /// Only what changed: no control messages, no drops.
    #[arg(long)]
    pub(crate) changes: bool,
    /// Only events of this kind, such as map-reply, rloc-down or drop.
    #[arg(long = "type", value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only events whose line contains this EID.
    #[arg(long)]
    pub(crate) eid: Option<String>,
    /// Only events whose line contains this locator.
    #[arg(long)]
    pub(crate) rloc: Option<String>,
}

/// `weft lig`
#[derive(Clone, Debug, Args)]
pub(crate) struct Lig {
    /// Whose mapping.
    pub(crate) eid: String,
    /// Ask this Map-Resolver, written @ADDRESS.
    pub(crate) resolver: Option<String>,
    #[command(flatten)]
    pub(crate) instance: Instance,
}

/// `weft trace`
#[derive(Clone, Debug, Args)]
pub(crate) struct Trace {
    /// The packet: `[udp|tcp|icmp] [SOURCE[:PORT] >] DESTINATION[:PORT] [len N]`. IPv6 addresses
    /// with a port are written [ADDRESS]:PORT.
    #[arg(required = true, num_args = 1..)]
    pub(crate) packet: Vec<String>,
    #[command(flatten)]
    pub(crate) instance: Instance,
}

/// `weft ping`
#[derive(Clone, Debug, Args)]
pub(crate) struct Ping {
    /// Whom.
    pub(crate) eid: IpAddr,
    /// How often; without, until interrupted.
    #[arg(long, short)]
    pub(crate) count: Option<u16>,
    /// Seconds between pings.
    #[arg(long, short, default_value_t = 1.0)]
    pub(crate) interval: f64,
    /// From this EID of the router.
    #[arg(long, short = 'S')]
    pub(crate) source: Option<IpAddr>,
    /// Octets of payload.
    #[arg(long, short, default_value_t = 56)]
    pub(crate) size: u16,
    #[command(flatten)]
    pub(crate) instance: Instance,
}

/// `weft show NOUN` is `weft NOUN`, also behind options of every command.
pub(crate) fn without_show(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = arguments.collect();
    let mut at = 1;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        match word {
            "show" => {
                words.remove(at);
                break;
            }
            "--socket" => at += 2,
            option if option.starts_with('-') => at += 1,
            _ => break,
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn grammar_is_sound() {
        Weft::command().debug_assert();
    }

    #[test]
    fn show_before_a_noun_says_nothing_new() {
        let words = ["weft", "--socket", "show", "--json", "show", "rloc"].map(OsString::from);
        let kept = without_show(words.into_iter());
        assert_eq!(kept, ["weft", "--socket", "show", "--json", "rloc"]);
        let words = ["weft", "show", "rloc"].map(OsString::from);
        let kept = without_show(words.into_iter());
        assert_eq!(kept, ["weft", "rloc"]);
        let words = ["weft", "config", "show"].map(OsString::from);
        assert_eq!(without_show(words.into_iter()).len(), 3);
    }
}
